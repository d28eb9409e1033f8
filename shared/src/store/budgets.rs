//! Counters of requests per window slice, shared by all workers behind one address.

use std::time::Duration;

use jiff::Timestamp;

use crate::args;
use crate::store::db::{Dialect, Result, Tx};
use crate::store::{Store, moment};

/// Slices a window is cut into.
pub const SLICES: u32 = 10;

/// One limit: at most `limit` requests in any `SLICES` slices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    pub scope: String,
    pub limit: u32,
    /// Length of one slice.
    pub slice: Duration,
}

impl Window {
    fn millis(&self) -> i64 {
        i64::try_from(self.slice.as_millis()).unwrap_or(i64::MAX).max(1)
    }

    fn current(&self, now: Timestamp) -> i64 {
        now.as_millisecond().div_euclid(self.millis())
    }

    /// When the current slice ends, in UTC milliseconds.
    #[must_use]
    pub fn slice_end(&self, now: Timestamp) -> i64 {
        (self.current(now) + 1) * self.millis()
    }

    /// A window that does not begin with a slice touches one slice more, and a request that
    /// arrives in it may have been counted in the slice before.
    fn oldest(&self, now: Timestamp) -> i64 {
        self.current(now) - i64::from(SLICES) - 1
    }
}

impl Store {
    /// Takes up to `block` requests out of every window at once, as many as all of them
    /// allow; with `leave_some` a fifth of each window stays untouched. The inner error is
    /// the moment the first used-up slice leaves its window.
    ///
    /// # Errors
    /// [`crate::store::StoreError`].
    pub async fn take_budget(
        &self,
        windows: &[Window],
        block: u32,
        leave_some: bool,
    ) -> Result<std::result::Result<u32, Timestamp>> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if self.db.dialect() == Dialect::Postgres {
            // Two workers must not both read the same sum; the lock goes with the transaction.
            tx.fetch("SELECT pg_advisory_xact_lock(7204107), 1 AS one", vec![]).await?;
        }
        let mut allowed = block;
        let mut free_at: Option<i64> = None;
        for window in windows {
            let used = used(&mut tx, window, now).await?;
            let limit = if leave_some { window.limit - window.limit / 5 } else { window.limit };
            let left = limit.saturating_sub(used);
            if left == 0 {
                let first = tx
                    .fetch_one(
                        "SELECT MIN(slice) AS slice FROM budget_slices WHERE scope = $1 AND slice >= $2 AND used > 0",
                        args![&window.scope, window.oldest(now)],
                    )
                    .await?
                    .map(|row| row.opt_int("slice"))
                    .transpose()?
                    .flatten()
                    .unwrap_or_else(|| window.current(now));
                let at = (first + i64::from(SLICES) + 2) * window.millis();
                free_at = Some(free_at.map_or(at, |other| other.max(at)));
            }
            allowed = allowed.min(left);
        }
        if allowed == 0 {
            return Ok(Err(moment(free_at.unwrap_or_else(|| now.as_millisecond() + 1000))));
        }
        for window in windows {
            let current = window.current(now);
            tx.exec(
                "INSERT INTO budget_slices (scope, slice, used) VALUES ($1, $2, $3) \
                 ON CONFLICT (scope, slice) DO UPDATE SET used = budget_slices.used + $3",
                args![&window.scope, current, allowed],
            )
            .await?;
            tx.exec(
                "DELETE FROM budget_slices WHERE scope = $1 AND slice < $2",
                args![&window.scope, window.oldest(now)],
            )
            .await?;
        }
        tx.commit().await?;
        Ok(Ok(allowed))
    }

    /// Requests counted in a window now.
    ///
    /// # Errors
    /// [`crate::store::StoreError`].
    pub async fn budget_used(&self, window: &Window) -> Result<u32> {
        let row = self.db.fetch_one(USED, args![&window.scope, window.oldest(self.clock.now())]).await?;
        Ok(row.map(|row| row.int("used")).transpose()?.and_then(|n| u32::try_from(n).ok()).unwrap_or(0))
    }
}

impl Store {
    /// Requests counted now in the fullest of the windows whose scope is `window.scope`, a
    /// colon and somebody's name.
    ///
    /// # Errors
    /// [`crate::store::StoreError`].
    pub async fn budget_used_most(&self, window: &Window) -> Result<u32> {
        let sql = "SELECT CAST(COALESCE(MAX(used), 0) AS BIGINT) AS used FROM (SELECT SUM(used) AS used FROM budget_slices \
                   WHERE scope LIKE $1 AND slice >= $2 GROUP BY scope) AS windows";
        let scopes = format!("{}:%", window.scope);
        let row = self.db.fetch_one(sql, args![scopes, window.oldest(self.clock.now())]).await?;
        Ok(row.map(|row| row.int("used")).transpose()?.and_then(|n| u32::try_from(n).ok()).unwrap_or(0))
    }
}

const USED: &str =
    "SELECT CAST(COALESCE(SUM(used), 0) AS BIGINT) AS used FROM budget_slices WHERE scope = $1 AND slice >= $2";

async fn used(tx: &mut Tx, window: &Window, now: Timestamp) -> Result<u32> {
    let row = tx.fetch_one(USED, args![&window.scope, window.oldest(now)]).await?;
    Ok(row.map(|row| row.int("used")).transpose()?.and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX))
}
