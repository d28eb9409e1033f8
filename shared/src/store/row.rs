//! A row that was read.

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use crate::store::error::{Result, StoreError};
use crate::store::value::Value;

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

    /// What stands at a place, as SQLite's word for its column says.
    pub(super) fn value_at(&self, place: usize, kind: &str) -> Result<Value> {
        macro_rules! get {
            ($ty:ty) => {
                match self {
                    Self::Sqlite(row) => row.try_get::<$ty, _>(place),
                    Self::Postgres(row) => row.try_get::<$ty, _>(place),
                }
                .map_err(|_| StoreError::BadRow("a copied column"))
            };
        }
        Ok(match kind {
            "INTEGER" => Value::Int(get!(Option<i64>)?),
            "BLOB" => Value::Bytes(get!(Option<Vec<u8>>)?),
            _ => Value::Text(get!(Option<String>)?),
        })
    }

    pub fn flag(&self, column: &'static str) -> Result<bool> {
        Ok(self.int(column)? != 0)
    }

    /// A number that is never negative and never large.
    pub fn small(&self, column: &'static str) -> Result<u32> {
        u32::try_from(self.int(column)?).map_err(|_| StoreError::BadRow(column))
    }

    pub fn moment(&self, column: &'static str) -> Result<Timestamp> {
        self.int(column).map(moment)
    }

    pub fn opt_moment(&self, column: &'static str) -> Result<Option<Timestamp>> {
        Ok(self.opt_int(column)?.map(moment))
    }

    /// A word of a closed set, by what reads it.
    pub fn word<T>(&self, column: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
        parse(&self.text(column)?).ok_or(StoreError::BadRow(column))
    }
}

pub(crate) fn moment(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

pub(super) fn sqlite_rows(rows: Vec<SqliteRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Sqlite).collect()
}

pub(super) fn postgres_rows(rows: Vec<PgRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Postgres).collect()
}
