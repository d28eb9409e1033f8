//! One small surface over SQLite and PostgreSQL, so that every statement is written
//! once. Both understand `$1`, `ON CONFLICT`, `RETURNING`; what they do not share is
//! kept in [`Dialect`].

use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Connection as _};

use crate::store::row::{postgres_rows, sqlite_rows};
use crate::store::steps::{Step, about_to};
use crate::store::trouble::{Trouble, headline, within};
use crate::store::tx::Open;
use crate::store::value::{bind_postgres, bind_sqlite};
use crate::waiting;

pub use crate::store::dialect::Dialect;
pub use crate::store::error::{Result, StoreError};
pub use crate::store::row::Row;
pub use crate::store::tx::Tx;
pub use crate::store::value::Value;

/// The open database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Db {
    pub(super) pools: Pools,
    /// How long one statement may take, the wait for a connection included.
    limit: Duration,
    trouble: Trouble,
    /// Connections were found to be sessions of ours alone.
    pub(super) sessions: Arc<AtomicBool>,
}

#[derive(Debug, Clone)]
pub(super) enum Pools {
    /// One writer connection per process, so that writers queue here and not on a busy
    /// file; readers beside it (WAL).
    Sqlite {
        write: SqlitePool,
        read: SqlitePool,
    },
    Postgres(PgPool),
}

/// What the names of our processes' sessions begin with.
pub(super) const OURS: &str = "measoft-bridge ";
/// What sessions of commands are called, which come and go, unless the URL says another name.
pub(super) const PASSING: &str = "bridge";
/// Of one statement. Longer than any of ours takes, so that a server that stands still is told
/// from one that works.
const STATEMENT_LIMIT: Duration = Duration::from_secs(60);
/// A statement of its own that gave way to another transaction is tried again so often.
const AGAIN: u32 = 4;

/// The write connection goes back to its pool only without a transaction, and only if it writes.
/// SQLite ends a transaction by itself when the disk is full or fails, `sqlx` goes on counting it,
/// and would refuse every later one on this connection. And a file that may not be written to is
/// opened for reading instead, which stays so when the file may be written to again.
fn only_fit(options: SqlitePoolOptions, only_reads: Arc<AtomicBool>) -> SqlitePoolOptions {
    options.after_release(move |connection, _| {
        let only_reads = only_reads.swap(false, Ordering::Relaxed);
        Box::pin(async move {
            // What is under way, a rollback for one, is over then; and the next commit waits for
            // the disk.
            sqlx::query("PRAGMA synchronous = FULL").execute(&mut *connection).await?;
            let rest = !connection.is_in_transaction();
            if !rest {
                tracing::warn!("the write connection to the database lost its transaction and is opened anew");
            }
            if only_reads {
                tracing::warn!("the write connection to the database may only read and is opened anew");
            }
            Ok(rest && !only_reads)
        })
    })
}

/// A connection is asked whether it is there only where that is in doubt.
fn unless_in_doubt(options: PgPoolOptions, trouble: Trouble) -> PgPoolOptions {
    options.test_before_acquire(false).before_acquire(move |connection, lain| {
        let doubted = trouble.doubts(lain.idle_for);
        Box::pin(async move {
            // One that is gone is no news: another is made.
            Ok(!doubted || connection.ping().await.is_ok())
        })
    })
}

impl Db {
    fn with_trouble(pools: Pools, trouble: Trouble) -> Self {
        Self { pools, limit: STATEMENT_LIMIT, trouble, sessions: Arc::default() }
    }

    /// Opens a SQLite file, creating it when missing.
    ///
    /// # Errors
    /// [`StoreError::Failing`] when the file cannot be opened.
    pub async fn open_sqlite(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        let trouble = Trouble::default();
        let write = only_fit(SqlitePoolOptions::new(), trouble.only_reads.clone())
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            // A file does not go away as a server does.
            .test_before_acquire(false)
            .connect_with(options.clone())
            .await?;
        let read = SqlitePoolOptions::new()
            .max_connections(4)
            .test_before_acquire(false)
            .connect_lazy_with(options.read_only(true));
        Ok(Self::with_trouble(Pools::Sqlite { write, read }, trouble))
    }

    /// Whether a SQLite file holds a database of ours, whatever its version. The file is only
    /// read: it may be somebody else's.
    ///
    /// # Errors
    /// [`StoreError::Failing`] when it cannot be read as a database.
    pub async fn is_ours(path: &Path) -> Result<bool> {
        let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(Duration::from_secs(10));
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await?;
        let look = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name IN ('_sqlx_migrations', 'integrations')";
        let found = sqlx::query(look).fetch_all(&mut connection).await?;
        connection.close().await?;
        Ok(found.len() == 2)
    }

    /// Opens a SQLite file that is there, to read it and nothing else.
    ///
    /// # Errors
    /// [`StoreError::Failing`] when the file cannot be opened.
    pub async fn look_at(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(Duration::from_secs(10));
        let pool = SqlitePoolOptions::new().max_connections(1).test_before_acquire(false).connect_with(options).await?;
        Ok(Self::with_trouble(Pools::Sqlite { write: pool.clone(), read: pool }, Trouble::default()))
    }

    /// A SQLite database that lives in memory and ends with its last handle.
    #[cfg(feature = "testing")]
    pub async fn open_in_memory() -> Result<Self> {
        let options = SqliteConnectOptions::new().in_memory(true).foreign_keys(true);
        // A second connection would be a second database.
        let only = SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(options)
            .await?;
        Ok(Self::with_trouble(Pools::Sqlite { write: only.clone(), read: only }, Trouble::default()))
    }

    /// Connects lazily: a PostgreSQL that is away does not keep a process from starting.
    ///
    /// # Errors
    /// [`StoreError::Config`] when the URL cannot be read (it is not repeated, it may hold a
    /// password).
    pub fn open_postgres(url: &str, max_connections: u32) -> Result<Self> {
        Self::connect_postgres(url, max_connections, |options| {
            if options.get_application_name().is_some() { options } else { options.application_name(PASSING) }
        })
    }

    /// The same for a process that runs on the database: its sessions say which it is.
    pub fn run_on_postgres(url: &str, max_connections: u32, role: &str) -> Result<Self> {
        Self::connect_postgres(url, max_connections, |options| options.application_name(&format!("{OURS}{role}")))
    }

    fn connect_postgres(
        url: &str,
        max_connections: u32,
        named: impl FnOnce(PgConnectOptions) -> PgConnectOptions,
    ) -> Result<Self> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| StoreError::Config("DATABASE_URL is not a valid PostgreSQL URL".to_owned()))?;
        let trouble = Trouble::default();
        let pool = unless_in_doubt(PgPoolOptions::new(), trouble.clone())
            .max_connections(max_connections)
            .acquire_timeout(Duration::from_secs(5))
            .connect_lazy_with(named(options));
        Ok(Self::with_trouble(Pools::Postgres(pool), trouble))
    }

    /// With another limit of one statement.
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    pub const fn dialect(&self) -> Dialect {
        match self.pools {
            Pools::Sqlite { .. } => Dialect::Sqlite,
            Pools::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Host and port of the server; `None`: a file.
    pub fn server(&self) -> Option<String> {
        match &self.pools {
            Pools::Sqlite { .. } => None,
            Pools::Postgres(pool) => {
                let options = pool.connect_options();
                let host =
                    options.get_socket().map_or_else(|| options.get_host().to_owned(), |p| p.display().to_string());
                Some(format!("{host}:{}", options.get_port()))
            }
        }
    }

    /// Host, port and database of the server, as one word; `None`: a file.
    pub fn place(&self) -> Option<String> {
        let Pools::Postgres(pool) = &self.pools else { return None };
        let options = pool.connect_options();
        Some(format!("{}/{}", self.server()?, options.get_database().unwrap_or(options.get_username())))
    }

    /// What the database said of itself in the last moments, if it could not do its work.
    pub fn recent_trouble(&self, within: Duration) -> Option<String> {
        self.trouble.recent(within)
    }

    /// A connection beside the pool, made now: the server's own answer to whoever asks it to
    /// come in, where the pool only knows that none came free. Nothing for a file.
    pub async fn knock(&self, limit: Duration) -> Result<()> {
        let Pools::Postgres(pool) = &self.pools else { return Ok(()) };
        let options = pool.connect_options();
        within(limit, "connecting", async { Ok(PgConnection::connect_with(&options).await?.close().await?) }).await
    }

    /// The statement in its time; again when PostgreSQL let another transaction go first or ended
    /// the connection, since then nothing of it happened. One that only reads is asked again also
    /// after a connection that broke.
    async fn attempt<T, F>(&self, sql: &str, reads: bool, run: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        about_to(Step::Statement).await?;
        let what = headline(sql);
        waiting::on(|| format!("the database ({what})"));
        let mut tries = 1;
        loop {
            let done = self.trouble.noted(within(self.limit, &what, run()).await);
            let again = |error: &StoreError| {
                error.is_contention()
                    || tries == 1 && (error.is_of_an_ended_session() || reads && error.is_of_a_broken_connection())
            };
            if tries < AGAIN && self.dialect() == Dialect::Postgres && done.as_ref().is_err_and(again) {
                tries += 1;
                continue;
            }
            return done;
        }
    }

    /// Runs a statement; answers how many rows it changed.
    pub async fn exec(&self, sql: impl Into<String>, args: Vec<Value>) -> Result<u64> {
        let sql: Arc<str> = sql.into().into();
        self.attempt(&sql, false, || async {
            let (sql, args) = (AssertSqlSafe(sql.clone()), args.clone());
            Ok(match &self.pools {
                Pools::Sqlite { write, .. } => {
                    bind_sqlite!(sqlx::query(sql), args).execute(write).await?.rows_affected()
                }
                Pools::Postgres(pool) => bind_postgres!(sqlx::query(sql), args).execute(pool).await?.rows_affected(),
            })
        })
        .await
    }

    /// Reads rows.
    pub async fn fetch(&self, sql: impl Into<String>, args: Vec<Value>) -> Result<Vec<Row>> {
        self.rows(sql.into().into(), args, false).await
    }

    /// A writing statement with `RETURNING`.
    pub async fn exec_returning(&self, sql: impl Into<String>, args: Vec<Value>) -> Result<Vec<Row>> {
        self.rows(sql.into().into(), args, true).await
    }

    async fn rows(&self, sql: Arc<str>, args: Vec<Value>, writes: bool) -> Result<Vec<Row>> {
        self.attempt(&sql, !writes, || async {
            let (sql, args) = (AssertSqlSafe(sql.clone()), args.clone());
            Ok(match &self.pools {
                Pools::Sqlite { write, read } => {
                    let pool = if writes { write } else { read };
                    sqlite_rows(bind_sqlite!(sqlx::query(sql), args).fetch_all(pool).await?)
                }
                Pools::Postgres(pool) => postgres_rows(bind_postgres!(sqlx::query(sql), args).fetch_all(pool).await?),
            })
        })
        .await
    }

    /// Reads at most one row.
    pub async fn fetch_one(&self, sql: impl Into<String>, args: Vec<Value>) -> Result<Option<Row>> {
        Ok(self.fetch(sql, args).await?.into_iter().next())
    }

    /// What time it is for PostgreSQL; SQLite has no clock of its own.
    pub async fn server_clock(&self) -> Result<Option<Timestamp>> {
        if self.dialect() == Dialect::Sqlite {
            return Ok(None);
        }
        let sql = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) AS now_ms";
        let Some(row) = self.fetch_one(sql, vec![]).await? else { return Ok(None) };
        Timestamp::from_millisecond(row.int("now_ms")?).map(Some).map_err(|_| StoreError::BadRow("now_ms"))
    }

    /// Runs a statement, whatever it changed.
    pub async fn run(&self, sql: impl Into<String>, args: Vec<Value>) -> Result<()> {
        self.exec(sql, args).await.map(|_| ())
    }

    /// Runs a statement about one row; answers whether it was there and changed.
    pub async fn changed(&self, sql: impl Into<String>, args: Vec<Value>) -> Result<bool> {
        Ok(self.exec(sql, args).await? == 1)
    }

    /// Reads every row as something.
    pub async fn read_all<T, C: FromIterator<T>>(
        &self,
        sql: impl Into<String>,
        args: Vec<Value>,
        read: impl Fn(&Row) -> Result<T>,
    ) -> Result<C> {
        self.fetch(sql, args).await?.iter().map(read).collect()
    }

    /// Reads the first row, if there is one, as something.
    pub async fn read_one<T>(
        &self,
        sql: impl Into<String>,
        args: Vec<Value>,
        read: impl Fn(&Row) -> Result<T>,
    ) -> Result<Option<T>> {
        self.fetch_one(sql, args).await?.as_ref().map(read).transpose()
    }

    /// Writes with `RETURNING`, and reads what came back.
    pub async fn write_all<T, C: FromIterator<T>>(
        &self,
        sql: impl Into<String>,
        args: Vec<Value>,
        read: impl Fn(&Row) -> Result<T>,
    ) -> Result<C> {
        self.exec_returning(sql, args).await?.iter().map(read).collect()
    }

    /// The moment in a column of the only row.
    pub async fn moment(
        &self,
        sql: impl Into<String>,
        args: Vec<Value>,
        column: &'static str,
    ) -> Result<Option<Timestamp>> {
        Ok(self.read_one(sql, args, |row| row.opt_moment(column)).await?.flatten())
    }

    /// The number that a `SELECT COUNT(*) AS n` answers.
    pub async fn count(&self, sql: impl Into<String>, args: Vec<Value>) -> Result<i64> {
        self.read_one(sql, args, |row| row.int("n")).await?.ok_or(StoreError::BadRow("n"))
    }

    /// Begins a write transaction (on SQLite with the write lock taken at once).
    pub async fn begin(&self) -> Result<Tx> {
        self.begin_with("BEGIN IMMEDIATE", "BEGIN").await
    }

    /// One whose commit does not wait for the disk. A machine or a server that breaks down may
    /// forget it, with all that came after; a commit of [`Db::begin`] that is there shows that it
    /// is as well. For what costs no more then than to be done again, and what nothing outside
    /// follows from.
    pub async fn begin_forgettable(&self) -> Result<Tx> {
        let (sqlite, postgres) =
            ("PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE", "BEGIN; SET LOCAL synchronous_commit = off");
        self.begin_with(sqlite, postgres).await
    }

    async fn begin_with(&self, sqlite: &'static str, postgres: &'static str) -> Result<Tx> {
        about_to(Step::Begin).await?;
        let open = async || {
            let begun = within(self.limit, "BEGIN", async {
                Ok(match &self.pools {
                    Pools::Sqlite { write, .. } => Open::Sqlite(write.begin_with(sqlite).await?),
                    Pools::Postgres(pool) => Open::Postgres(pool.begin_with(postgres).await?),
                })
            });
            self.trouble.noted(begun.await)
        };
        let begun = match open().await {
            // Nothing has happened yet.
            Err(error) if error.is_of_an_ended_session() || error.is_of_a_broken_connection() => open().await,
            begun => begun,
        };
        Ok(Tx::of(begun?, self.limit, self.trouble.clone()))
    }

    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { write, read } => {
                read.close().await;
                write.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}
