//! How the database is: not only whether it answers, but whether it takes what is written.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use crate::args;
use crate::store::db::{Db, Dialect, Pools};
use crate::store::error::{NO_SESSIONS, Result, StoreError};
use crate::store::{Store, migrations};

/// A lock on a table that stays this long is told.
const LOCK_LIMIT: Duration = Duration::from_millis(1500);
/// The same when it is known that one is locked, but not which.
const NAME_LIMIT: Duration = Duration::from_millis(100);
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
                LookFailure::Said(said) => said,
                LookFailure::Failed(error) => self.db.explained(error).await.to_string(),
                LookFailure::Locked(table, error) => format!("the table {table} cannot be written: {error}"),
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
    pub async fn grow(&self) -> Result<()> {
        // More than SQLite keeps in memory and than its log holds from before; what PostgreSQL
        // cannot make smaller.
        let room = match self.db.dialect() {
            Dialect::Sqlite => "hex(zeroblob(3145728))",
            Dialect::Postgres => "(SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 8192))",
        };
        let mut tx = self.db.begin().await?;
        let put = format!("INSERT INTO cursors (name, value, updated_at) VALUES ($1, {room}, $2)");
        tx.run(put, args![format!("room {}", uuid::Uuid::new_v4()), self.clock.now_ms()]).await
    }

    async fn look(&self, who: &str) -> std::result::Result<(), LookFailure> {
        let version = self.db.schema_version().await?;
        if version < migrations::newest() {
            return Err(LookFailure::Said(format!(
                "the database schema is at version {version}, this release needs {}: run `bridge migrate`",
                migrations::newest()
            )));
        }
        if !self.key_fits().await? {
            return Err(StoreError::WrongKey.into());
        }
        self.db.needs_sessions().await?;
        self.write(who).await
    }

    /// Names the table that somebody holds.
    async fn who_is_locked(&self, error: StoreError) -> LookFailure {
        for (table, column) in WRITTEN {
            let touch = async {
                let mut tx = self.db.begin().await?;
                tx.exec(format!("SET LOCAL lock_timeout = {}", NAME_LIMIT.as_millis()), vec![]).await?;
                tx.exec(format!("UPDATE {table} SET {column} = {column} WHERE FALSE"), vec![]).await
            };
            match touch.await {
                Err(error) if error.is_locked() => return LookFailure::Locked(table, error),
                Err(other) => return LookFailure::Failed(other),
                Ok(_) => {}
            }
        }
        LookFailure::Failed(error)
    }

    /// Writes a row that says so, and on PostgreSQL asks for each table.
    async fn write(&self, who: &str) -> std::result::Result<(), LookFailure> {
        if self.db.dialect() == Dialect::Postgres {
            let mut tx = self.db.begin().await?;
            tx.exec(format!("SET LOCAL lock_timeout = {}", LOCK_LIMIT.as_millis()), vec![]).await?;
            let touched = WRITTEN.map(|(table, column)| {
                format!("w_{table} AS (UPDATE {table} SET {column} = {column} WHERE FALSE RETURNING 1)")
            });
            match tx.exec(format!("WITH {} SELECT 1", touched.join(", ")), vec![]).await {
                Err(error) if error.is_locked() => return Err(self.who_is_locked(error).await),
                touched => touched?,
            };
            tx.commit().await?;
        }
        // On its own: a process that is stopped in between holds no row that others wait for.
        let sql = "INSERT INTO cursors (name, value, updated_at) VALUES ($1, '', $2) \
                   ON CONFLICT (name) DO UPDATE SET updated_at = excluded.updated_at";
        self.db.exec(sql, args![format!("written by {who}"), self.clock.now_ms()]).await?;
        Ok(())
    }
}

/// Why the look came to nothing.
enum LookFailure {
    Said(String),
    Locked(&'static str, StoreError),
    Failed(StoreError),
}

impl From<StoreError> for LookFailure {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// Whether a session bears a mark that one of ours was given.
async fn marked(connection: &mut PgConnection, mark: &str) -> Result<bool, sqlx::Error> {
    let ask = "SELECT COALESCE(current_setting('bridge.session', true), '') AS mark";
    let rows = sqlx::raw_sql(ask).fetch_all(connection).await?;
    Ok(rows.first().is_some_and(|row| row.try_get::<String, _>("mark").is_ok_and(|found| found == mark)))
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

    /// Refuses a pooler that gives each transaction another session: locks and settings of a
    /// session would be somebody else's. Asked once; a database that is away is asked later.
    pub async fn needs_sessions(&self) -> Result<()> {
        let Pools::Postgres(pool) = &self.pools else { return Ok(()) };
        if self.sessions.load(Ordering::Relaxed) {
            return Ok(());
        }
        let options = pool.connect_options();
        let mark = uuid::Uuid::new_v4().to_string();
        let own = tokio::time::timeout(KNOCK, async {
            let mut first = PgConnection::connect_with(&options).await?;
            let mut second = PgConnection::connect_with(&options).await?;
            let set = format!("SELECT set_config('bridge.session', '{mark}', false)");
            sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut first).await?;
            // While one is in a transaction, a pooler has to give the other another connection.
            sqlx::raw_sql("BEGIN").execute(&mut second).await?;
            let (others, mine) = (marked(&mut second, &mark).await?, marked(&mut first, &mark).await?);
            sqlx::raw_sql("ROLLBACK").execute(&mut second).await?;
            first.close().await?;
            second.close().await?;
            Ok::<_, sqlx::Error>(mine && !others)
        });
        match own.await {
            Ok(Ok(true)) => self.sessions.store(true, Ordering::Relaxed),
            Ok(Ok(false)) => return Err(StoreError::Config(NO_SESSIONS.to_owned())),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {
                return Err(StoreError::Silent { what: "connecting".to_owned(), seconds: KNOCK.as_secs() });
            }
        }
        Ok(())
    }

    /// The version the schema is at; 0 for a database without one.
    /// An error that is not «there is no such table» says nothing of the version.
    pub async fn schema_version(&self) -> Result<i64> {
        match self.fetch_one("SELECT MAX(version) AS version FROM _sqlx_migrations", vec![]).await {
            Ok(row) => Ok(row.map(|row| row.opt_int("version")).transpose()?.flatten().unwrap_or(0)),
            Err(error) if error.is_missing_table() => Ok(0),
            Err(other) => Err(other),
        }
    }
}
