//! Notices that the ledger went back to an earlier state: another PostgreSQL server has taken over,
//! or a backup was restored. Each takeover begins a new timeline of the server's log; who restores
//! leaves a mark. What was accepted since is not in it: the window is told, and both sides are
//! compared anew.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::args;
use crate::clock::later;
use crate::message::{Command, Envelope, RECONCILE_HISTORY};
use crate::store::db::{Dialect, Result, Tx};
use crate::store::jobs::NewJob;
use crate::store::{Store, moment};

/// What may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The last moment of which the ledger knows.
    pub from: Timestamp,
    /// When it was noticed.
    pub until: Timestamp,
}

/// The timeline that was seen last, and when.
const SEEN: &str = "timeline";
/// The last window.
const TAKEN_OVER: &str = "taken over";
/// When the backup was made that was restored, until that was noticed.
const RESTORED: &str = "restored";

impl Store {
    /// Says once for each takeover and each restored backup what may be missing, and asks for the
    /// reconcile of every active integration in the same commit, with one more look at each account
    /// of MeaSoft `after` that. To be asked every few seconds with PostgreSQL: each time is noted.
    pub async fn taken_over(&self, after: Duration) -> Result<Option<Window>> {
        // As it is stored.
        let now = moment(self.clock.now_ms());
        let active: Vec<_> =
            self.integrations().await?.into_iter().filter(crate::domain::Integration::is_active).collect();
        let mut tx = self.db.begin().await?;
        let server = tx.another_server(now).await?;
        let window = tx.restored(now).await?.or(server);
        if let Some(window) = window {
            tx.set_cursor(TAKEN_OVER, &window.from.as_millisecond().to_string(), now).await?;
            let mut accounts = BTreeSet::new();
            let mut jobs = Vec::new();
            for integration in &active {
                let mut envelope = Envelope::new(Command::Reconcile {}, Some(integration.id), now);
                if accounts.insert(integration.courier_account()) {
                    // And one more when whatever has an order was found: for what has none.
                    let once_more = Envelope::new(Command::Reconcile {}, Some(integration.id), now);
                    jobs.push(NewJob::of(&once_more, later(now, after)));
                } else {
                    // What was acknowledged to MeaSoft does not come again by itself: one look
                    // at each of its accounts.
                    envelope.key = RECONCILE_HISTORY.to_owned();
                }
                jobs.push(NewJob::of(&envelope, now));
            }
            tx.enqueue_all(&jobs, now).await?;
        }
        tx.commit().await?;
        Ok(window)
    }

    /// Whether another server has taken over, or a backup was restored, and nobody has said so yet.
    /// Only read: cheap enough to be asked before each send.
    pub async fn is_taken_over_unnoticed(&self) -> Result<bool> {
        let restored = "SELECT value FROM cursors WHERE name = $1";
        let found = match self.db.dialect() {
            Dialect::Sqlite => self.db.fetch_one(restored, args![RESTORED]).await?,
            Dialect::Postgres => {
                let server = "name = $2 AND value <> SUBSTR(pg_walfile_name(pg_current_wal_lsn()), 1, 8)";
                self.db.fetch_one(format!("{restored} OR ({server})"), args![RESTORED, SEEN]).await?
            }
        };
        Ok(found.is_some())
    }

    /// Notes a takeover that the log of the server does not show.
    #[cfg(feature = "testing")]
    pub async fn note_takeover(&self, window: Window) -> Result<()> {
        let put = "INSERT INTO cursors (name, value, updated_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at";
        let from = window.from.as_millisecond().to_string();
        self.db.run(put, args![TAKEN_OVER, from, window.until]).await
    }

    /// The last window, for whoever asks how the installation is.
    pub async fn last_takeover(&self) -> Result<Option<Window>> {
        let sql = "SELECT value, updated_at FROM cursors WHERE name = $1";
        let Some(row) = self.db.fetch_one(sql, args![TAKEN_OVER]).await? else { return Ok(None) };
        let from = row.text("value")?.parse().unwrap_or(0);
        Ok(Some(Window { from: moment(from), until: row.moment("updated_at")? }))
    }

    /// Whether replicas follow that confirm nothing: then a takeover may lose what was accepted.
    pub async fn replicates_behind(&self) -> Result<bool> {
        if self.db.dialect() == Dialect::Sqlite {
            return Ok(false);
        }
        let sql = "SELECT COUNT(*) AS n FROM pg_stat_replication \
                   WHERE current_setting('synchronous_standby_names') = ''";
        Ok(self.db.fetch_one(sql, vec![]).await?.is_some_and(|row| row.int("n").is_ok_and(|n| n > 0)))
    }
}

impl Tx {
    /// Leaves the mark that the ledger is as a backup had it. Whoever runs next says what may be
    /// missing until then.
    pub async fn note_restored(&mut self, made_at: Timestamp, now: Timestamp) -> Result<()> {
        self.set_cursor(RESTORED, &made_at.as_millisecond().to_string(), now).await
    }

    /// What may be missing since a backup was made that was restored; said once.
    async fn restored(&mut self, now: Timestamp) -> Result<Option<Window>> {
        let sql = "DELETE FROM cursors WHERE name = $1 RETURNING value";
        let made_at = self.read_one(sql, args![RESTORED], |row| row.text("value")).await?;
        Ok(made_at.map(|at| Window { from: moment(at.parse().unwrap_or(0)), until: now }))
    }

    /// What may be missing since another server took over; said once. Notes which it is.
    async fn another_server(&mut self, now: Timestamp) -> Result<Option<Window>> {
        if self.dialect() == Dialect::Sqlite {
            return Ok(None);
        }
        let sql = "SELECT SUBSTR(pg_walfile_name(pg_current_wal_lsn()), 1, 8) AS timeline";
        let Some(timeline) = self.read_one(sql, vec![], |row| row.text("timeline")).await? else { return Ok(None) };
        let sql = "SELECT value, updated_at FROM cursors WHERE name = $1 FOR UPDATE";
        let seen = self.read_one(sql, args![SEEN], |row| Ok((row.text("value")?, row.moment("updated_at")?))).await?;
        self.set_cursor(SEEN, &timeline, now).await?;
        Ok(seen.filter(|(known, _)| *known != timeline).map(|(_, from)| Window { from, until: now }))
    }
}
