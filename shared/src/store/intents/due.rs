//! What waits, of either sort of intent, and since when.

use jiff::Timestamp;

use crate::args;
use crate::domain::IntegrationId;
use crate::store::db::{Result, Row, StoreError, Value};
use crate::store::intents::{NUMBERS, ORDERS};
use crate::store::{Store, free, moment};

/// Everything that waits, of either sort, with what asking for due work needs.
const WAITING: &str = "(SELECT integration_id, due_at, lease_until FROM intents WHERE requested > served UNION ALL \
                       SELECT integration_id, due_at, lease_until FROM order_intents WHERE requested > served) waiting";

impl Store {
    /// Integrations with unserved, unheld intents and when their next one is due. What is put off
    /// for longer than anything may be was written while a clock was ahead, and is due now.
    pub async fn integrations_with_work(&self) -> Result<Vec<(IntegrationId, Timestamp)>> {
        let now = self.clock.now_ms();
        let sql = format!(
            "SELECT integration_id, MAX(due_at) AS last, MIN(CASE WHEN {} THEN due_at \
             WHEN lease_until > due_at THEN lease_until ELSE due_at END) AS due \
             FROM {WAITING} GROUP BY integration_id",
            free(1)
        );
        let rows = self.db.fetch(sql, args![now]).await?;
        let mut work = Vec::with_capacity(rows.len());
        let mut asleep = false;
        for row in &rows {
            asleep |= row.int("last")? > self.latest(now);
            work.push((IntegrationId(row.int("integration_id")?), row.moment("due")?));
        }
        if asleep {
            for table in [NUMBERS, ORDERS] {
                let wake = format!("UPDATE {table} SET due_at = $1 WHERE requested > served AND due_at > $2");
                self.db.exec(wake, args![now, self.latest(now)]).await?;
            }
            for (_, due) in work.iter_mut().filter(|(_, due)| *due > moment(self.latest(now))) {
                *due = moment(now);
            }
        }
        Ok(work)
    }

    /// Unserved intents: how many, and since when the oldest due one has been due.
    pub async fn backlog(&self) -> Result<(i64, Option<Timestamp>)> {
        self.backlog_where("1 = 1", args![self.clock.now_ms()]).await
    }

    /// [`Store::backlog`] of one integration.
    pub async fn backlog_of(&self, integration: IntegrationId) -> Result<(i64, Option<Timestamp>)> {
        self.backlog_where("integration_id = $2", args![self.clock.now_ms(), integration]).await
    }

    async fn backlog_where(&self, condition: &str, args: Vec<Value>) -> Result<(i64, Option<Timestamp>)> {
        let sql = format!(
            "SELECT COUNT(*) AS n, MIN(CASE WHEN due_at <= $1 THEN due_at END) AS oldest FROM {WAITING} WHERE {condition}"
        );
        let read = |row: &Row| Ok((row.int("n")?, row.opt_moment("oldest")?));
        self.db.read_one(sql, args, read).await?.ok_or(StoreError::BadRow("n"))
    }
}
