//! One small surface over SQLite and PostgreSQL, so that every statement is written
//! once. Both understand `$1`, `ON CONFLICT`, `RETURNING`; what they do not share is
//! kept in [`Dialect`].

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Postgres, Row as _, Sqlite, Transaction};

use crate::domain::{CrmOrderId, DeliveryId, IntegrationId, Kopecks};
use crate::store::steps::{Step, about_to};

/// Why the store did not do it. The text never holds values of a row.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database is not reachable")]
    Unreachable(#[source] sqlx::Error),
    /// It lets nobody in until a person has done something.
    #[error("{0}")]
    Closed(&'static str, #[source] sqlx::Error),
    #[error("the database refused the statement")]
    Refused(#[source] sqlx::Error),
    #[error("a row holds something unreadable in column {0}")]
    BadRow(&'static str),
    /// The row was written between its reading and this write; nothing was changed.
    #[error("somebody else changed it at the same moment, so nothing was changed: look at it and do it again")]
    ChangedMeanwhile,
    #[error("a stored secret cannot be decrypted: BRIDGE_SECRET_KEY is not the key it was written with")]
    WrongKey,
    #[error("{0}")]
    Config(String),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_) => Self::Unreachable(error),
            // Class 57P: the server is going down or starting up.
            sqlx::Error::Database(ref db) if db.code().is_some_and(|code| code.starts_with("57P")) => {
                Self::Unreachable(error)
            }
            sqlx::Error::Database(ref db) => match closed(db.code().as_deref()) {
                Some(why) => Self::Closed(why, error),
                None => Self::Refused(error),
            },
            other => Self::Refused(other),
        }
    }
}

/// What PostgreSQL says to whom it does not let in, by its code.
fn closed(code: Option<&str>) -> Option<&'static str> {
    Some(match code? {
        "3D000" => "the database that DATABASE_URL names does not exist: create it, or correct the URL",
        "28P01" | "28000" => "PostgreSQL refuses the user name or password of DATABASE_URL",
        "42501" => "the user of DATABASE_URL may not use the tables: grant it the rights of their owner",
        _ => return None,
    })
}

impl StoreError {
    /// A unique or foreign key stood against it.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused(sqlx::Error::Database(db)) if db.is_unique_violation())
    }
}

pub type Result<T, E = StoreError> = std::result::Result<T, E>;

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

    /// # Errors
    /// As [`Row::int`].
    pub fn flag(&self, column: &'static str) -> Result<bool> {
        Ok(self.int(column)? != 0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

/// The open database.
#[derive(Debug, Clone)]
pub enum Db {
    /// One writer connection per process, so that writers queue here and not on a busy
    /// file; readers beside it (WAL).
    Sqlite {
        write: SqlitePool,
        read: SqlitePool,
    },
    Postgres(PgPool),
}

/// A write transaction.
pub enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Db {
    /// Opens a SQLite file, creating it when missing.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] when the file cannot be opened.
    pub async fn open_sqlite(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        let write = SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone())
            .await?;
        let read = SqlitePoolOptions::new().max_connections(4).connect_lazy_with(options.read_only(true));
        Ok(Self::Sqlite { write, read })
    }

    /// A SQLite database that lives in memory and ends with its last handle.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`].
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
        Ok(Self::Sqlite { write: only.clone(), read: only })
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
        Ok(Self::Postgres(pool))
    }

    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite { .. } => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs a statement; answers how many rows it changed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn exec(&self, sql: impl Into<String>, args: Vec<Value>) -> Result<u64> {
        about_to(Step::Statement).await?;
        let sql = AssertSqlSafe(sql.into());
        Ok(match self {
            Self::Sqlite { write, .. } => bind_all!(sqlx::query(sql), args).execute(write).await?.rows_affected(),
            Self::Postgres(pool) => bind_all!(sqlx::query(sql), args).execute(pool).await?.rows_affected(),
        })
    }

    /// Reads rows.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn fetch(&self, sql: impl Into<String>, args: Vec<Value>) -> Result<Vec<Row>> {
        about_to(Step::Statement).await?;
        let sql = AssertSqlSafe(sql.into());
        Ok(match self {
            Self::Sqlite { read, .. } => {
                bind_all!(sqlx::query(sql), args).fetch_all(read).await?.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(pool) => {
                bind_all!(sqlx::query(sql), args).fetch_all(pool).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Reads at most one row.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn fetch_one(&self, sql: impl Into<String>, args: Vec<Value>) -> Result<Option<Row>> {
        Ok(self.fetch(sql, args).await?.into_iter().next())
    }

    /// A writing statement with `RETURNING`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn exec_returning(&self, sql: impl Into<String>, args: Vec<Value>) -> Result<Vec<Row>> {
        about_to(Step::Statement).await?;
        let sql = AssertSqlSafe(sql.into());
        Ok(match self {
            Self::Sqlite { write, .. } => {
                bind_all!(sqlx::query(sql), args).fetch_all(write).await?.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(pool) => {
                bind_all!(sqlx::query(sql), args).fetch_all(pool).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Begins a write transaction (on SQLite with the write lock taken at once).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin(&self) -> Result<Tx> {
        about_to(Step::Begin).await?;
        Ok(match self {
            Self::Sqlite { write, .. } => Tx::Sqlite(write.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(pool) => Tx::Postgres(pool.begin().await?),
        })
    }

    pub async fn close(&self) {
        match self {
            Self::Sqlite { write, read } => {
                read.close().await;
                write.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Tx {
    /// # Errors
    /// [`StoreError`].
    pub async fn exec(&mut self, sql: impl Into<String>, args: Vec<Value>) -> Result<u64> {
        about_to(Step::Within).await?;
        let sql = AssertSqlSafe(sql.into());
        Ok(match self {
            Self::Sqlite(tx) => bind_all!(sqlx::query(sql), args).execute(&mut **tx).await?.rows_affected(),
            Self::Postgres(tx) => bind_all!(sqlx::query(sql), args).execute(&mut **tx).await?.rows_affected(),
        })
    }

    /// # Errors
    /// [`StoreError`].
    pub async fn fetch(&mut self, sql: impl Into<String>, args: Vec<Value>) -> Result<Vec<Row>> {
        about_to(Step::Within).await?;
        let sql = AssertSqlSafe(sql.into());
        Ok(match self {
            Self::Sqlite(tx) => {
                bind_all!(sqlx::query(sql), args).fetch_all(&mut **tx).await?.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(tx) => {
                bind_all!(sqlx::query(sql), args).fetch_all(&mut **tx).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// # Errors
    /// [`StoreError`].
    pub async fn fetch_one(&mut self, sql: impl Into<String>, args: Vec<Value>) -> Result<Option<Row>> {
        Ok(self.fetch(sql, args).await?.into_iter().next())
    }

    /// # Errors
    /// [`StoreError`]; then nothing of the transaction happened, or (lost connection) it is
    /// not known.
    pub async fn commit(self) -> Result<()> {
        about_to(Step::Commit).await?;
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }
}
