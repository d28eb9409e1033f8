//! Counters of requests per window slice, shared by all workers behind one address.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::args;
use crate::store::db::{Dialect, Result, Row, Tx, Value};
use crate::store::{CLOCKS_DIFFER, Store, many, moment};

/// Slices a window is cut into.
pub const SLICES: u32 = 10;

/// One limit: at most `limit` requests in any `SLICES` slices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    pub scope: String,
    pub limit: u32,
    /// Length of one slice.
    pub slice: Duration,
    /// Under which name one of several who share the window is counted apart; what stands before
    /// [`SHARED_BY`] is common to them all.
    pub share: Option<String>,
}

/// Between the name of a shared window's counts and that of who is counted.
pub const SHARED_BY: char = '/';

/// The part of a shared window that is kept for who has used less than an equal share of it.
const KEPT: u32 = 5;

impl Window {
    /// One that nobody shares.
    pub const fn new(scope: String, limit: u32, slice: Duration) -> Self {
        Self { scope, limit, slice, share: None }
    }

    /// The window under which one of those who share it is counted.
    fn own(&self) -> Option<Self> {
        self.share.clone().map(|share| Self::new(share, u32::MAX, self.slice))
    }

    fn millis(&self) -> i64 {
        i64::try_from(self.slice.as_millis()).unwrap_or(i64::MAX).max(1)
    }

    fn current(&self, now: Timestamp) -> i64 {
        now.as_millisecond().div_euclid(self.millis())
    }

    /// When the current slice ends, in UTC milliseconds.
    pub fn slice_end(&self, now: Timestamp) -> i64 {
        (self.current(now) + 1) * self.millis()
    }

    /// A window that does not begin with a slice touches one slice more, and a request that
    /// arrives in it may have been counted in the slice before.
    fn oldest(&self, now: Timestamp) -> i64 {
        self.current(now) - i64::from(SLICES) - 1
    }

    /// What is counted later was counted while a clock was ahead, and says nothing of now.
    fn newest(&self, now: Timestamp) -> i64 {
        self.current(now + CLOCKS_DIFFER)
    }
}

/// Requests that may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    pub count: u32,
    /// When they were counted: they are good until the slice of that moment ends.
    pub at: Timestamp,
}

impl Store {
    /// Takes up to `block` requests out of every window at once, as many as all of them
    /// allow; with `leave_some` a fifth of each window stays untouched. Who has had more than an
    /// equal share of a shared window leaves the last fifth of it to the others. The inner error
    /// is the moment the first used-up slice leaves its window.
    pub async fn take_budget(
        &self,
        windows: &[Window],
        block: u32,
        leave_some: bool,
    ) -> Result<std::result::Result<Taken, Timestamp>> {
        // Nobody waits for the disk: what a crash of the database forgets is less than a second's
        // use.
        let mut tx = self.db.begin_forgettable().await?;
        if self.db.dialect() == Dialect::Postgres {
            // Two workers must not both read the same sum; the lock goes with the transaction.
            // Whoever shares a window shares the first one; others do not wait.
            let sql = "SELECT pg_advisory_xact_lock(7204107, hashtext($1))";
            tx.fetch(sql, args![windows.first().map_or("", |window| window.scope.as_str())]).await?;
        }
        // Only now: waiting for one's turn must not make what is taken old.
        let now = self.clock.now();
        let counted_in: Vec<Window> = windows.iter().cloned().chain(windows.iter().filter_map(Window::own)).collect();
        let used = used(&mut tx, &counted_in, now).await?;
        let mut allowed = block;
        let mut free_at: Option<i64> = None;
        for window in windows {
            let left = left_in(&mut tx, window, &used, allowed, leave_some, now).await?;
            if left == 0 {
                let first = used.get(&window.scope).map_or_else(|| window.current(now), |used| used.first);
                let at = (first + i64::from(SLICES) + 2) * window.millis();
                free_at = Some(free_at.map_or(at, |other| other.max(at)));
            }
            allowed = allowed.min(left);
        }
        if allowed == 0 {
            return Ok(Err(moment(free_at.unwrap_or_else(|| now.as_millisecond() + 1000))));
        }
        count(&mut tx, &counted_in, allowed, now).await?;
        // Once a slice is enough.
        if counted_in.iter().any(|window| used.get(&window.scope).is_none_or(|used| used.last < window.current(now))) {
            forget_slices(&mut tx, &counted_in, now).await?;
        }
        tx.commit().await?;
        Ok(Ok(Taken { count: allowed, at: now }))
    }

    /// Requests counted now in one window.
    pub async fn budget_used(&self, window: &Window) -> Result<u32> {
        let sql = "SELECT CAST(COALESCE(SUM(used), 0) AS BIGINT) AS used FROM budget_slices \
                   WHERE scope = $1 AND slice BETWEEN $2 AND $3";
        let now = self.clock.now();
        let args = args![&window.scope, window.oldest(now), window.newest(now)];
        Ok(self.db.read_one(sql, args, |row| row.small("used")).await?.unwrap_or(0))
    }

    /// Of each of these windows: requests counted now in the fullest of those whose scope is its
    /// scope, a colon and somebody's name.
    pub async fn budget_used_most(&self, windows: &[&Window]) -> Result<Vec<u32>> {
        let now = self.clock.now();
        let fullest = |at: usize| {
            let first = at * 3 + 1;
            format!(
                "SELECT {at} AS place, CAST(COALESCE(MAX(used), 0) AS BIGINT) AS used FROM (SELECT SUM(used) AS used \
                 FROM budget_slices WHERE scope LIKE ${first} AND slice BETWEEN ${} AND ${} GROUP BY scope) AS w{at}",
                first + 1,
                first + 2
            )
        };
        let sql = (0..windows.len()).map(fullest).collect::<Vec<_>>().join(" UNION ALL ") + " ORDER BY place";
        let args = windows.iter().flat_map(|w| args![format!("{}:%", w.scope), w.oldest(now), w.newest(now)]);
        self.db.read_all(sql, args.collect(), |row| row.small("used")).await
    }
}

/// How much of a window one who wants `wanted` may have.
async fn left_in(
    tx: &mut Tx,
    window: &Window,
    used: &HashMap<String, Used>,
    wanted: u32,
    leave_some: bool,
    now: Timestamp,
) -> Result<u32> {
    let of = |scope: &str| used.get(scope).map_or(0, |used| used.used);
    let limit = if leave_some { window.limit - window.limit / 5 } else { window.limit };
    let left = limit.saturating_sub(of(&window.scope));
    let kept = window.limit / KEPT;
    match window.own() {
        Some(own) if left > 0 && left - left.min(kept) < wanted => {
            let had = of(&own.scope);
            let sharers = sharers(tx, &own, had == 0, now).await?;
            Ok(left.min(share_left(window.limit, left, had, sharers)))
        }
        _ => Ok(left),
    }
}

/// Counts requests in the present slice of each window.
async fn count(tx: &mut Tx, windows: &[Window], requests: u32, now: Timestamp) -> Result<()> {
    let sql = format!(
        "INSERT INTO budget_slices (scope, slice, used) VALUES {} \
         ON CONFLICT (scope, slice) DO UPDATE SET used = budget_slices.used + excluded.used",
        many::values(windows.len(), 3)
    );
    tx.run(sql, windows.iter().flat_map(|w| args![&w.scope, w.current(now), requests]).collect()).await
}

/// Forgets the slices of windows that they do not reach any more.
async fn forget_slices(tx: &mut Tx, windows: &[Window], now: Timestamp) -> Result<()> {
    let (counts, args) = bounds(windows, now);
    let ours: Vec<String> = (0..windows.len()).map(|n| format!("${}", 3 * n + 1)).collect();
    let sql = format!("DELETE FROM budget_slices WHERE scope IN ({}) AND NOT ({counts})", ours.join(", "));
    tx.run(sql, args).await
}

/// What one of `sharers` may take of the `left` that all of them have: everything as long as it
/// stays within an equal share of the limit, and the last fifth of the window only then. Pure.
fn share_left(limit: u32, left: u32, had: u32, sharers: u32) -> u32 {
    if sharers <= 1 {
        return left;
    }
    let within = (limit / sharers).saturating_sub(had);
    within.max(left.saturating_sub(limit / KEPT)).min(left)
}

/// How many have used a shared window, with one who comes `anew`.
async fn sharers(tx: &mut Tx, own: &Window, anew: bool, now: Timestamp) -> Result<u32> {
    let all = own.scope.split_inclusive(SHARED_BY).next().unwrap_or_default();
    let sql = "SELECT COUNT(DISTINCT scope) AS n FROM budget_slices WHERE SUBSTR(scope, 1, LENGTH($1)) = $1 \
               AND slice BETWEEN $2 AND $3 AND used > 0";
    let row = tx.fetch_one(sql, args![all, own.oldest(now), own.newest(now)]).await?;
    let n = row.map(|row| row.int("n")).transpose()?.unwrap_or(0);
    Ok(u32::try_from(n).unwrap_or(u32::MAX).saturating_add(u32::from(anew)))
}

/// The rows that count in some windows: those of the slices that they reach.
fn bounds(windows: &[Window], now: Timestamp) -> (String, Vec<Value>) {
    let one = |n: usize| format!("(scope = ${} AND slice BETWEEN ${} AND ${})", 3 * n + 1, 3 * n + 2, 3 * n + 3);
    let condition = (0..windows.len()).map(one).collect::<Vec<_>>().join(" OR ");
    (condition, windows.iter().flat_map(|w| args![&w.scope, w.oldest(now), w.newest(now)]).collect())
}

/// Requests counted in a window, and its first and last slice with any.
#[derive(Debug, Clone, Copy)]
struct Used {
    used: u32,
    first: i64,
    last: i64,
}

async fn used(tx: &mut Tx, windows: &[Window], now: Timestamp) -> Result<HashMap<String, Used>> {
    let (condition, args) = bounds(windows, now);
    let sql = format!(
        "SELECT scope, CAST(SUM(used) AS BIGINT) AS used, MIN(slice) AS first, MAX(slice) AS last FROM budget_slices \
         WHERE ({condition}) AND used > 0 GROUP BY scope"
    );
    let read = |row: &Row| {
        let used = row.small("used")?;
        Ok((row.text("scope")?, Used { used, first: row.int("first")?, last: row.int("last")? }))
    };
    tx.fetch(sql, args).await?.iter().map(read).collect()
}
