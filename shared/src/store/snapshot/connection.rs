//! A connection of either database that reads without end and without holding what it has read.

use futures_util::TryStreamExt as _;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;

use crate::store::dialect::Dialect;
use crate::store::error::{Result, StoreError};
use crate::store::row::Row;

pub enum Conn<'a> {
    Sqlite(&'a mut SqliteConnection),
    Postgres(&'a mut PgConnection),
}

impl Conn<'_> {
    pub const fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Gives each row to `take` as it comes; the database waits meanwhile.
    pub async fn each<E: From<StoreError>>(
        &mut self,
        sql: String,
        mut take: impl AsyncFnMut(Row) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let query = AssertSqlSafe(sql);
        match self {
            Self::Sqlite(connection) => {
                let mut rows = sqlx::query(query).fetch(&mut **connection);
                while let Some(row) = rows.try_next().await.map_err(StoreError::from)? {
                    take(Row::Sqlite(row)).await?;
                }
            }
            Self::Postgres(connection) => {
                let mut rows = sqlx::query(query).fetch(&mut **connection);
                while let Some(row) = rows.try_next().await.map_err(StoreError::from)? {
                    take(Row::Postgres(row)).await?;
                }
            }
        }
        Ok(())
    }

    /// A few rows at once.
    pub async fn all<T>(&mut self, sql: impl Into<String>, read: impl Fn(&Row) -> Result<T>) -> Result<Vec<T>> {
        let mut found = Vec::new();
        self.each(sql.into(), async |row| {
            found.push(read(&row)?);
            Ok::<_, StoreError>(())
        })
        .await?;
        Ok(found)
    }

    pub async fn run(&mut self, sql: impl Into<String>) -> Result<()> {
        let query = AssertSqlSafe(sql.into());
        match self {
            Self::Sqlite(connection) => sqlx::raw_sql(query).execute(&mut **connection).await.map(|_| ())?,
            Self::Postgres(connection) => sqlx::raw_sql(query).execute(&mut **connection).await.map(|_| ())?,
        }
        Ok(())
    }
}
