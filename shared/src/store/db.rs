//! One small surface over SQLite and PostgreSQL, so that every statement is written
//! once. Both understand `$1`, `ON CONFLICT`, `RETURNING`; what they do not share is
//! kept in [`Dialect`].

use std::path::Path;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgRow};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Connection as _, Postgres, Row as _, Sqlite, Transaction};

use crate::domain::{CrmOrderId, DeliveryId, IntegrationId, Kopecks};
use crate::store::steps::{Step, about_to};
use crate::waiting;

pub use crate::store::error::{Result, StoreError};

/// A bound value. Typed even when NULL, since PostgreSQL wants to know.
#[derive(Debug, Clone)]
pub enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

macro_rules! into_value {
    ($($from:ty => |$v:ident| $to:expr),* $(,)?) => { $(
        impl From<$from> for Value { fn from($v: $from) -> Self { $to } }
    )* };
}
into_value! {
    i64 => |v| Self::Int(Some(v)),
    i32 => |v| Self::Int(Some(i64::from(v))),
    u32 => |v| Self::Int(Some(i64::from(v))),
    bool => |v| Self::Int(Some(i64::from(v))),
    Option<i64> => |v| Self::Int(v),
    &str => |v| Self::Text(Some(v.to_owned())),
    String => |v| Self::Text(Some(v)),
    &String => |v| Self::Text(Some(v.clone())),
    Option<String> => |v| Self::Text(v),
    Option<&str> => |v| Self::Text(v.map(str::to_owned)),
    Vec<u8> => |v| Self::Bytes(Some(v)),
    Option<Vec<u8>> => |v| Self::Bytes(v),
    IntegrationId => |v| Self::Int(Some(v.0)),
    Option<IntegrationId> => |v| Self::Int(v.map(|id| id.0)),
    CrmOrderId => |v| Self::Int(Some(v.0)),
    DeliveryId => |v| Self::Int(Some(v.0)),
    Option<DeliveryId> => |v| Self::Int(v.map(|id| id.0)),
    Kopecks => |v| Self::Int(Some(v.0)),
    Option<Kopecks> => |v| Self::Int(v.map(|k| k.0)),
}

#[macro_export]
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::db::Value::from($value)),*] };
}
pub use args;

/// PostgreSQL refuses NUL in a text, and one of a vendor's broken answer must not keep the
/// rest of a commit out. SQLite gets the same text.
fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

macro_rules! bind_all {
    ($query:expr, $args:expr) => {{
        let mut query = $query;
        for value in $args {
            query = match value {
                Value::Int(v) => query.bind(v),
                Value::Text(v) => query.bind(v.map(without_nul)),
                Value::Bytes(v) => query.bind(v),
            };
        }
        query
    }};
}

/// A row of either database, read by column name.
#[derive(Debug)]
pub enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

macro_rules! getter {
    ($name:ident, $ty:ty) => {
        /// # Errors
        /// [`StoreError::BadRow`] when the column is missing or of another type.
        pub fn $name(&self, column: &'static str) -> Result<$ty> {
            match self {
                Self::Sqlite(row) => row.try_get::<$ty, _>(column),
                Self::Postgres(row) => row.try_get::<$ty, _>(column),
            }
            .map_err(|_| StoreError::BadRow(column))
        }
    };
}

impl Row {
    getter!(int, i64);
    getter!(opt_int, Option<i64>);
    getter!(text, String);
    getter!(opt_text, Option<String>);
    getter!(bytes, Vec<u8>);
    getter!(opt_bytes, Option<Vec<u8>>);

    pub fn flag(&self, column: &'static str) -> Result<bool> {
        Ok(self.int(column)? != 0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// The rows of a table that meet a condition, locked in the order of their ids: sessions that
    /// want the same rows then wait for each other in turn, and never in a circle.
    pub(super) fn in_order(self, table: &str, condition: &str) -> String {
        match self {
            Self::Sqlite => condition.to_owned(),
            Self::Postgres => format!("id IN (SELECT id FROM {table} WHERE {condition} ORDER BY id FOR UPDATE)"),
        }
    }
}

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

/// A write transaction. A statement that fails ends it, as PostgreSQL has it: nothing of it
/// happens then.
pub struct Tx {
    inner: Open,
    broken: bool,
    limit: Duration,
    trouble: Trouble,
}

enum Open {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// What the database said last of its own trouble.
#[derive(Debug, Clone, Default)]
struct Trouble {
    /// When it said that it cannot do its work, for whoever asks how it is.
    last: Arc<Mutex<Option<(Instant, String)>>>,
    /// SQLite's write connection was opened for reading alone.
    only_reads: Arc<AtomicBool>,
}

impl Trouble {
    fn noted<T>(&self, result: Result<T>) -> Result<T> {
        // A lock ends by itself, and only whoever asks how the database is gives up on one.
        if let Err(error @ StoreError::Failing(..)) = &result
            && !error.is_locked()
        {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), error.to_string()));
            if error.is_of_a_read_only_connection() {
                self.only_reads.store(true, Ordering::Relaxed);
            }
        }
        result
    }
}

/// Of one statement. Longer than any of ours takes, so that a server that stands still is told
/// from one that works.
const STATEMENT_LIMIT: Duration = Duration::from_secs(60);
/// A statement of its own that gave way to another transaction is tried again so often.
const AGAIN: u32 = 4;

/// The statement without its values: its first words, for an error's text.
fn headline(sql: &str) -> String {
    let mut words = sql.split_whitespace().take_while(|word| !word.starts_with(['(', '$']));
    let few: Vec<&str> = words.by_ref().take(4).collect();
    few.join(" ")
}

/// A test's failure or delay, then the statement within its time.
async fn within<T>(limit: Duration, what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(StoreError::Silent { what: what.to_owned(), seconds: limit.as_secs() }),
    }
}

/// The write connection goes back to its pool only without a transaction, and only if it writes.
/// SQLite ends a transaction by itself when the disk is full or fails, `sqlx` goes on counting it,
/// and would refuse every later one on this connection. And a file that may not be written to is
/// opened for reading instead, which stays so when the file may be written to again.
fn only_fit(options: SqlitePoolOptions, only_reads: Arc<AtomicBool>) -> SqlitePoolOptions {
    options.after_release(move |connection, _| {
        let only_reads = only_reads.swap(false, Ordering::Relaxed);
        Box::pin(async move {
            // What is under way, a rollback for one, is over then.
            connection.ping().await?;
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

impl Db {
    fn new(pools: Pools) -> Self {
        Self::with_trouble(pools, Trouble::default())
    }

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
            .connect_with(options.clone())
            .await?;
        let read = SqlitePoolOptions::new().max_connections(4).connect_lazy_with(options.read_only(true));
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
        Ok(Self::new(Pools::Sqlite { write: only.clone(), read: only }))
    }

    /// Connects lazily: a PostgreSQL that is away does not keep a process from starting.
    ///
    /// # Errors
    /// [`StoreError::Config`] when the URL cannot be read (it is not repeated, it may hold a
    /// password).
    pub fn open_postgres(url: &str, max_connections: u32) -> Result<Self> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| StoreError::Config("DATABASE_URL is not a valid PostgreSQL URL".to_owned()))?;
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(Duration::from_secs(5))
            .connect_lazy_with(options);
        Ok(Self::new(Pools::Postgres(pool)))
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

    /// What the database said of itself in the last moments, if it could not do its work.
    pub fn recent_trouble(&self, within: Duration) -> Option<String> {
        let last = self.trouble.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(at, _)| at.elapsed() <= within).map(|(_, words)| words.clone())
    }

    /// A connection beside the pool, made now: the server's own answer to whoever asks it to
    /// come in, where the pool only knows that none came free. Nothing for a file.
    pub async fn knock(&self, limit: Duration) -> Result<()> {
        let Pools::Postgres(pool) = &self.pools else { return Ok(()) };
        let options = pool.connect_options();
        within(limit, "connecting", async { Ok(PgConnection::connect_with(&options).await?.close().await?) }).await
    }

    /// The statement in its time; again when PostgreSQL let another transaction go first, since
    /// then nothing of it happened.
    async fn attempt<T, F>(&self, sql: &str, run: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        about_to(Step::Statement).await?;
        let what = headline(sql);
        waiting::on(|| format!("the database ({what})"));
        let mut tries = 1;
        loop {
            let done = self.trouble.noted(within(self.limit, &what, run()).await);
            if tries < AGAIN
                && self.dialect() == Dialect::Postgres
                && done.as_ref().is_err_and(StoreError::is_contention)
            {
                tries += 1;
                continue;
            }
            return done;
        }
    }

    /// Runs a statement; answers how many rows it changed.
    pub async fn exec(&self, sql: impl Into<String>, args: Vec<Value>) -> Result<u64> {
        let sql: Arc<str> = sql.into().into();
        self.attempt(&sql, || async {
            let (sql, args) = (AssertSqlSafe(sql.clone()), args.clone());
            Ok(match &self.pools {
                Pools::Sqlite { write, .. } => bind_all!(sqlx::query(sql), args).execute(write).await?.rows_affected(),
                Pools::Postgres(pool) => bind_all!(sqlx::query(sql), args).execute(pool).await?.rows_affected(),
            })
        })
        .await
    }

    /// Reads rows.
    pub async fn fetch(&self, sql: impl Into<String>, args: Vec<Value>) -> Result<Vec<Row>> {
        let sql: Arc<str> = sql.into().into();
        self.attempt(&sql, || async {
            let (sql, args) = (AssertSqlSafe(sql.clone()), args.clone());
            Ok(match &self.pools {
                Pools::Sqlite { read, .. } => sqlite_rows(bind_all!(sqlx::query(sql), args).fetch_all(read).await?),
                Pools::Postgres(pool) => postgres_rows(bind_all!(sqlx::query(sql), args).fetch_all(pool).await?),
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

    /// A writing statement with `RETURNING`.
    pub async fn exec_returning(&self, sql: impl Into<String>, args: Vec<Value>) -> Result<Vec<Row>> {
        let sql: Arc<str> = sql.into().into();
        self.attempt(&sql, || async {
            let (sql, args) = (AssertSqlSafe(sql.clone()), args.clone());
            Ok(match &self.pools {
                Pools::Sqlite { write, .. } => sqlite_rows(bind_all!(sqlx::query(sql), args).fetch_all(write).await?),
                Pools::Postgres(pool) => postgres_rows(bind_all!(sqlx::query(sql), args).fetch_all(pool).await?),
            })
        })
        .await
    }

    /// Begins a write transaction (on SQLite with the write lock taken at once).
    pub async fn begin(&self) -> Result<Tx> {
        about_to(Step::Begin).await?;
        let begun = within(self.limit, "BEGIN", async {
            Ok(match &self.pools {
                Pools::Sqlite { write, .. } => Open::Sqlite(write.begin_with("BEGIN IMMEDIATE").await?),
                Pools::Postgres(pool) => Open::Postgres(pool.begin().await?),
            })
        });
        let inner = self.trouble.noted(begun.await)?;
        Ok(Tx { inner, broken: false, limit: self.limit, trouble: self.trouble.clone() })
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

fn sqlite_rows(rows: Vec<SqliteRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Sqlite).collect()
}

fn postgres_rows(rows: Vec<PgRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Postgres).collect()
}

impl Tx {
    pub const fn dialect(&self) -> Dialect {
        match self.inner {
            Open::Sqlite(_) => Dialect::Sqlite,
            Open::Postgres(_) => Dialect::Postgres,
        }
    }

    async fn attempt<T>(&mut self, sql: &str, run: impl AsyncFnOnce(&mut Open) -> Result<T>) -> Result<T> {
        about_to(Step::Within).await?;
        if self.broken {
            return Err(StoreError::Broken);
        }
        let what = headline(sql);
        waiting::on(|| format!("the database ({what})"));
        let done = within(self.limit, &what, run(&mut self.inner)).await;
        self.broken = done.is_err();
        self.trouble.noted(done)
    }

    pub async fn exec(&mut self, sql: impl Into<String>, args: Vec<Value>) -> Result<u64> {
        let sql: Arc<str> = sql.into().into();
        let query = AssertSqlSafe(sql.clone());
        self.attempt(&sql, async |open| {
            Ok(match open {
                Open::Sqlite(tx) => bind_all!(sqlx::query(query), args).execute(&mut **tx).await?.rows_affected(),
                Open::Postgres(tx) => bind_all!(sqlx::query(query), args).execute(&mut **tx).await?.rows_affected(),
            })
        })
        .await
    }

    pub async fn fetch(&mut self, sql: impl Into<String>, args: Vec<Value>) -> Result<Vec<Row>> {
        let sql: Arc<str> = sql.into().into();
        let query = AssertSqlSafe(sql.clone());
        self.attempt(&sql, async |open| {
            Ok(match open {
                Open::Sqlite(tx) => sqlite_rows(bind_all!(sqlx::query(query), args).fetch_all(&mut **tx).await?),
                Open::Postgres(tx) => postgres_rows(bind_all!(sqlx::query(query), args).fetch_all(&mut **tx).await?),
            })
        })
        .await
    }

    pub async fn fetch_one(&mut self, sql: impl Into<String>, args: Vec<Value>) -> Result<Option<Row>> {
        Ok(self.fetch(sql, args).await?.into_iter().next())
    }

    /// On an error nothing of the transaction happened, or (lost connection) it is not known.
    pub async fn commit(self) -> Result<()> {
        about_to(Step::Commit).await?;
        if self.broken {
            return Err(StoreError::Broken);
        }
        let trouble = self.trouble.clone();
        trouble.noted(
            within(self.limit, "COMMIT", async {
                match self.inner {
                    Open::Sqlite(tx) => tx.commit().await?,
                    Open::Postgres(tx) => tx.commit().await?,
                }
                Ok(())
            })
            .await,
        )
    }
}
