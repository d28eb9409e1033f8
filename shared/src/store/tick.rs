//! What the loops of every role ask all the time, asked once a second for all loops of a process.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::args;
use crate::store::Store;
use crate::store::db::{Result, StoreError};
use crate::store::integrations::Stamp;

/// What the product promises to notice within two seconds is looked at this often.
const EVERY: Duration = Duration::from_secs(1);

/// One look may take this long.
const LIMIT: Duration = Duration::from_secs(5);

/// What tells a loop whether there is anything to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// Messages of the job table that are due, those in hand included.
    pub due_jobs: u64,
    pub integrations: Stamp,
}

/// The last tick of a process, and the number of its second.
#[derive(Debug)]
pub(super) struct Ticks {
    began: Instant,
    last: Mutex<Option<(u32, Tick)>>,
}

impl Ticks {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), last: Mutex::new(None) }
    }

    /// The second that has begun, as a number.
    fn second(&self) -> u32 {
        u32::try_from(self.began.elapsed().as_secs() / EVERY.as_secs()).unwrap_or(u32::MAX)
    }
}

impl Store {
    /// Waits until the next second of the process begins: at most one. Whoever comes first asks,
    /// the others of that second hear the same.
    ///
    /// # Errors
    /// The database's, to each who waited.
    pub async fn next_tick(&self) -> Result<Tick> {
        let next = self.ticks.second() + 1;
        tokio::time::sleep_until(self.ticks.began + EVERY * next).await;
        self.tick_of(next).await
    }

    /// That of the second that has begun.
    ///
    /// # Errors
    /// The database's.
    pub async fn tick(&self) -> Result<Tick> {
        self.tick_of(self.ticks.second()).await
    }

    async fn tick_of(&self, second: u32) -> Result<Tick> {
        let mut last = self.ticks.last.lock().await;
        if let Some((_, tick)) = last.filter(|(of, _)| *of >= second) {
            return Ok(tick);
        }
        let sql = format!(
            "SELECT (SELECT COUNT(*) FROM jobs WHERE {}) AS jobs, COUNT(*) AS n, \
             CAST(COALESCE(SUM(version), 0) AS BIGINT) AS v FROM integrations",
            self.due("run_at", 1)
        );
        // Others wait for the same answer: a connection that is dead and does not say so must not
        // hold all of them.
        let asked = self.db.fetch_one(sql, args![self.clock.now_ms()]);
        let silent = || StoreError::Silent { what: "looking".to_owned(), seconds: LIMIT.as_secs() };
        let row = tokio::time::timeout(LIMIT, asked).await.map_err(|_| silent())??;
        let row = row.ok_or(StoreError::BadRow("n"))?;
        let due_jobs = u64::try_from(row.int("jobs")?).unwrap_or(0);
        let tick = Tick { due_jobs, integrations: Stamp(row.int("n")?, row.int("v")?) };
        *last = Some((second, tick));
        Ok(tick)
    }

    /// That of the integrations alone, as they are at this moment.
    ///
    /// # Errors
    /// The database's.
    pub async fn integrations_stamp(&self) -> Result<Stamp> {
        let sql = "SELECT COUNT(*) AS n, CAST(COALESCE(SUM(version), 0) AS BIGINT) AS v FROM integrations";
        let row = self.db.fetch_one(sql, vec![]).await?;
        let row = row.ok_or(StoreError::BadRow("n"))?;
        Ok(Stamp(row.int("n")?, row.int("v")?))
    }
}
