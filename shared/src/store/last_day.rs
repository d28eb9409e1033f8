//! What came of the last 24 hours, hour by hour.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::args;
use crate::domain::IntegrationId;
use crate::store::Store;
use crate::store::db::{Result, Row};

/// Hours of a day.
pub const HOURS: usize = 24;

/// Of one integration, the oldest hour first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hours {
    /// Orders that came.
    pub orders: [i64; HOURS],
    /// Dead letters that were opened.
    pub failures: [i64; HOURS],
}

const HOUR_MS: i64 = 3_600_000;

impl Store {
    /// Orders and failures of each integration by whole hours; the last one is the present one.
    pub async fn last_day(&self) -> Result<BTreeMap<IntegrationId, Hours>> {
        let since = self.day_began().as_millisecond();
        // Found by the index of the moment: grouped by a column that another index begins with, all
        // rows would be read in that one's order.
        let counted = |table: &str, also: &str| {
            format!(
                "SELECT integration_id, hour, COUNT(*) AS n FROM (SELECT integration_id + 0 AS integration_id, \
                 (created_at - $1) / {HOUR_MS} AS hour FROM {table} WHERE {also} created_at >= $1 \
                 AND integration_id IS NOT NULL) AS each_one GROUP BY integration_id, hour"
            )
        };
        let read = |row: &Row| Ok((IntegrationId(row.int("integration_id")?), row.int("hour")?, row.int("n")?));
        let mut all: BTreeMap<IntegrationId, Hours> = BTreeMap::new();
        let orders: Vec<_> = self.db.read_all(counted("deliveries", ""), args![since], read).await?;
        // By the index, a stretch for each state.
        let letters = "state IN ('open', 'replayed', 'discarded', 'resolved') AND";
        let failures: Vec<_> = self.db.read_all(counted("dead_letters", letters), args![since], read).await?;
        for (id, hour, n) in orders {
            add(&mut all.entry(id).or_default().orders, hour, n);
        }
        for (id, hour, n) in failures {
            add(&mut all.entry(id).or_default().failures, hour, n);
        }
        Ok(all)
    }

    /// When the first of those hours began.
    pub fn day_began(&self) -> Timestamp {
        crate::store::moment((self.clock.now_ms() / HOUR_MS - HOURS as i64 + 1) * HOUR_MS)
    }
}

/// What a clock that was ahead wrote falls behind the last hour, and is of none.
fn add(hours: &mut [i64; HOURS], hour: i64, n: i64) {
    if let Some(slot) = usize::try_from(hour).ok().and_then(|hour| hours.get_mut(hour)) {
        *slot += n;
    }
}
