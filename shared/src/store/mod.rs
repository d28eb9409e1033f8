//! The ledger and everything else that is kept: one database, SQLite or PostgreSQL, one
//! file per table.

pub mod again;
pub mod asked;
pub mod audit;
pub mod breakers;
pub mod broker_notes;
pub mod budgets;
pub mod causes;
pub mod console;
mod copy;
pub mod corrections;
pub mod cursors;
pub mod db;
pub mod dead_letters;
pub mod deliveries;
mod dialect;
mod discards;
mod due;
pub mod error;
pub mod file;
pub mod holders;
pub mod integrations;
pub mod intents;
pub mod jobs;
pub mod journal;
pub mod last_day;
pub mod leases;
mod letter_pages;
pub mod line_returns;
mod look;
mod many;
pub mod migrations;
pub mod numbers;
pub mod past_deliveries;
pub mod payment_moves;
pub mod promotion;
pub mod pulse;
pub mod references;
pub mod replays;
pub mod rotation;
mod row;
mod row_lease;
mod sets;
pub mod shadow_orders;
pub mod slots;
pub mod snapshot;
pub mod status_stream;
pub mod steps;
pub mod tick;
pub mod tracking_outbox;
mod trouble;
mod tx;
mod value;
pub mod waiting_orders;
pub mod waits;

pub use db::{Db, Dialect, Row, Tx, Value};
pub use error::{Result, StoreError};
pub(crate) use row::moment;

use jiff::Timestamp;

use std::sync::Arc;

use crate::clock::Clock;
use crate::crypto::SecretKey;

/// The open store: a database, the key that opens its secrets, and the clock its rows
/// are dated by.
#[derive(Debug, Clone)]
pub struct Store {
    pub db: Db,
    pub key: SecretKey,
    pub clock: Clock,
    /// Longest pause that anything is put off for.
    longest_ms: i64,
    /// The installation's address of MeaSoft, for integrations without one of their own.
    measoft_url: Option<Arc<str>>,
    ticks: Arc<tick::Ticks>,
}

/// No lease is longer; one that says so was written while a clock was ahead, and is over.
pub(crate) const LONGEST_LEASE_MS: i64 = 3_600_000;

/// Clocks of two machines may differ by so much and both be called right.
pub(crate) const CLOCKS_DIFFER: std::time::Duration = std::time::Duration::from_secs(60);

/// What [`Store::latest`] goes by until it is told.
const LONGEST_PAUSE: std::time::Duration = std::time::Duration::from_secs(3600);

impl Store {
    pub fn new(db: Db, key: SecretKey, clock: Clock) -> Self {
        let ticks = Arc::new(tick::Ticks::new());
        Self { db, key, clock, longest_ms: LONGEST_PAUSE.as_millis() as i64, measoft_url: None, ticks }
    }

    /// A new one in memory.
    #[cfg(feature = "testing")]
    pub async fn in_memory(clock: Clock) -> Self {
        let db = Db::open_in_memory().await.expect("a database");
        db.migrate().await.expect("migrated");
        Self::new(db, SecretKey::from_bytes([7; 32]), clock)
    }

    /// With another longest pause, that of the ladder of retries.
    pub fn with_longest_pause(mut self, longest: std::time::Duration) -> Self {
        self.longest_ms = i64::try_from(longest.as_millis()).unwrap_or(i64::MAX).max(self.longest_ms);
        self
    }

    /// With the installation's address of MeaSoft; without it each integration keeps the one it
    /// was added with.
    pub fn with_measoft_url(mut self, url: &str) -> Self {
        self.measoft_url = Some(url.into());
        self
    }

    /// The moment by the one clock that all processes see: PostgreSQL's, or the process's steady
    /// one with SQLite. What was done is put into its order by this one alone: a clock that is
    /// wrong, or was put right, mixes nothing up.
    pub async fn agreed_now(&self) -> Result<Timestamp> {
        let server = if self.clock.is_system() { self.db.server_clock().await? } else { None };
        Ok(server.unwrap_or_else(|| self.clock.steady()))
    }

    /// The latest moment that something may honestly be put off to; what says later was
    /// written while a clock was ahead.
    const fn latest(&self, from_ms: i64) -> i64 {
        from_ms.saturating_add(self.longest_ms)
    }

    /// The condition that a column's moment has come, at the moment of an argument. See
    /// [`Store::latest`].
    fn due(&self, column: &str, now: usize) -> String {
        format!("({column} <= ${now} OR {column} > ${now} + {})", self.longest_ms)
    }

    /// A column's moment as it counts at the moment of an argument. See [`Store::latest`].
    fn due_when(&self, column: &str, now: usize) -> String {
        format!("CASE WHEN {column} > ${now} + {} THEN ${now} ELSE {column} END", self.longest_ms)
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        self.db.fetch("SELECT 1 AS one", vec![]).await.map(|_| ())
    }
}

/// The condition that nobody holds a row at the moment of an argument.
pub(crate) fn free(now: usize) -> String {
    free_by("lease_until", now)
}

/// [`free`], with the column's name.
pub(crate) fn free_by(column: &str, now: usize) -> String {
    format!("({column} <= ${now} OR {column} > ${now} + {LONGEST_LEASE_MS})")
}
