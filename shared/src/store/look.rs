//! How the database is: not only whether it answers, but whether it takes what is written.

use std::time::Duration;

use crate::args;
use crate::store::db::{Db, Dialect};
use crate::store::error::{Result, StoreError};
use crate::store::{Store, migrations};

/// A lock on a table that stays this long is told.
const LOCK_LIMIT: Duration = Duration::from_millis(1500);
/// What the pool did not say in time, the server may say itself within this.
const KNOCK: Duration = Duration::from_millis(1500);
/// What a statement of real work said this long ago is still the database's state.
const RECENT: Duration = Duration::from_secs(10);

/// The tables without which nothing is recorded, each with a column to write.
const WRITTEN: [(&str, &str); 7] = [
    ("jobs", "run_at"),
    ("intents", "due_at"),
    ("order_intents", "due_at"),
    ("deliveries", "fence"),
    ("leases", "fence"),
    ("dead_letters", "attempts"),
    ("integrations", "version"),
];

impl Store {
    /// What stands against working with the database, in one sentence; `None`: nothing. It
    /// reads and writes, and answers within `limit` and a moment more.
    pub async fn problem(&self, who: &str, limit: Duration) -> Option<String> {
        let found = match tokio::time::timeout(limit, self.look(who)).await {
            Ok(Ok(())) => self.db.recent_trouble(RECENT),
            Ok(Err(found)) => Some(match found {
                Found::Said(said) => said,
                Found::Failed(error) => self.db.explained(error).await.to_string(),
                Found::Locked(table, error) => format!("the table {table} cannot be written: {error}"),
            }),
            Err(_) => Some(match self.db.knock(KNOCK).await {
                Err(error) => error.to_string(),
                Ok(()) => format!("the database did not answer within {} s", limit.as_secs()),
            }),
        };
        found.map(|said| match self.db.server() {
            Some(server) => format!("{said} [PostgreSQL at {server}]"),
            None => said,
        })
    }

    /// Writes a row that needs room, and takes it back: a disk may be full for all that grows
    /// and still take what fits in a page.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn grow(&self) -> Result<()> {
        // More than SQLite keeps in memory and than its log holds from before; what PostgreSQL
        // cannot make smaller.
        let room = match self.db.dialect() {
            Dialect::Sqlite => "hex(zeroblob(3145728))",
            Dialect::Postgres => "(SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 8192))",
        };
        let mut tx = self.db.begin().await?;
        let put = format!("INSERT INTO cursors (name, value, updated_at) VALUES ($1, {room}, $2)");
        tx.exec(put, args![format!("room {}", uuid::Uuid::new_v4()), self.clock.now_ms()]).await.map(|_| ())
    }

    async fn look(&self, who: &str) -> std::result::Result<(), Found> {
        let version = self.db.schema_version().await?;
        if version < migrations::newest() {
            return Err(Found::Said(format!(
                "the database schema is at version {version}, this release needs {}: run `bridge migrate`",
                migrations::newest()
            )));
        }
        if !self.key_fits().await? {
            return Err(StoreError::WrongKey.into());
        }
        self.write(who).await
    }

    /// Writes a row that says so, and on PostgreSQL asks for each table.
    async fn write(&self, who: &str) -> std::result::Result<(), Found> {
        if self.db.dialect() == Dialect::Postgres {
            let mut tx = self.db.begin().await?;
            tx.exec(format!("SET LOCAL lock_timeout = {}", LOCK_LIMIT.as_millis()), vec![]).await?;
            for (table, column) in WRITTEN {
                let touch = format!("UPDATE {table} SET {column} = {column} WHERE FALSE");
                tx.exec(touch, vec![]).await.map_err(|error| match error {
                    // Whoever holds a table is named by it.
                    StoreError::Failing(..) if error.is_locked() => Found::Locked(table, error),
                    other => Found::Failed(other),
                })?;
            }
            tx.commit().await?;
        }
        // On its own: a process that is stopped in between holds no row that others wait for.
        self.db
            .exec(
                "INSERT INTO cursors (name, value, updated_at) VALUES ($1, '', $2) \
                 ON CONFLICT (name) DO UPDATE SET updated_at = excluded.updated_at",
                args![format!("written by {who}"), self.clock.now_ms()],
            )
            .await?;
        Ok(())
    }
}

/// Why the look came to nothing.
enum Found {
    Said(String),
    Locked(&'static str, StoreError),
    Failed(StoreError),
}

impl From<StoreError> for Found {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl Db {
    /// The error with its cause: a pool only knows that no connection came free, the server
    /// says why it lets nobody in.
    pub async fn explained(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Unreachable(sqlx::Error::PoolTimedOut) => match self.knock(KNOCK).await {
                Err(cause) => cause,
                Ok(()) => error,
            },
            other => other,
        }
    }

    /// The version the schema is at; 0 for a database without one.
    ///
    /// # Errors
    /// [`StoreError`]; whatever is not «there is no such table» says nothing of the version.
    pub async fn schema_version(&self) -> Result<i64> {
        match self.fetch_one("SELECT MAX(version) AS version FROM _sqlx_migrations", vec![]).await {
            Ok(row) => Ok(row.map(|row| row.opt_int("version")).transpose()?.flatten().unwrap_or(0)),
            Err(error) if error.is_missing_table() => Ok(0),
            Err(other) => Err(other),
        }
    }
}
