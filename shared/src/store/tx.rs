//! A write transaction.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Postgres, Sqlite, Transaction};

use crate::store::dialect::Dialect;
use crate::store::error::{Result, StoreError};
use crate::store::row::{Row, postgres_rows, sqlite_rows};
use crate::store::snapshot::connection::Conn;
use crate::store::steps::{Step, about_to};
use crate::store::trouble::{Trouble, headline, within};
use crate::store::value::{Value, bind_postgres, bind_sqlite};
use crate::waiting;

/// A write transaction. A statement that fails ends it, as PostgreSQL has it: nothing of it
/// happens then.
pub struct Tx {
    inner: Open,
    broken: bool,
    limit: Duration,
    trouble: Trouble,
}

pub(super) enum Open {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Tx {
    pub(super) const fn of(inner: Open, limit: Duration, trouble: Trouble) -> Self {
        Self { inner, broken: false, limit, trouble }
    }

    pub const fn dialect(&self) -> Dialect {
        match self.inner {
            Open::Sqlite(_) => Dialect::Sqlite,
            Open::Postgres(_) => Dialect::Postgres,
        }
    }

    /// The connection it is on, for what is read or written without end. What fails there ends the
    /// transaction for whoever does not go on with it.
    pub(super) fn connection(&mut self) -> Conn<'_> {
        match &mut self.inner {
            Open::Sqlite(tx) => Conn::Sqlite(tx),
            Open::Postgres(tx) => Conn::Postgres(tx),
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
                Open::Sqlite(tx) => bind_sqlite!(sqlx::query(query), args).execute(&mut **tx).await?.rows_affected(),
                Open::Postgres(tx) => {
                    bind_postgres!(sqlx::query(query), args).execute(&mut **tx).await?.rows_affected()
                }
            })
        })
        .await
    }

    pub async fn fetch(&mut self, sql: impl Into<String>, args: Vec<Value>) -> Result<Vec<Row>> {
        let sql: Arc<str> = sql.into().into();
        let query = AssertSqlSafe(sql.clone());
        self.attempt(&sql, async |open| {
            Ok(match open {
                Open::Sqlite(tx) => sqlite_rows(bind_sqlite!(sqlx::query(query), args).fetch_all(&mut **tx).await?),
                Open::Postgres(tx) => {
                    postgres_rows(bind_postgres!(sqlx::query(query), args).fetch_all(&mut **tx).await?)
                }
            })
        })
        .await
    }

    pub async fn fetch_one(&mut self, sql: impl Into<String>, args: Vec<Value>) -> Result<Option<Row>> {
        Ok(self.fetch(sql, args).await?.into_iter().next())
    }

    /// Runs a statement, whatever it changed.
    pub async fn run(&mut self, sql: impl Into<String>, args: Vec<Value>) -> Result<()> {
        self.exec(sql, args).await.map(|_| ())
    }

    /// Runs a statement about one row; answers whether it was there and changed.
    pub async fn changed(&mut self, sql: impl Into<String>, args: Vec<Value>) -> Result<bool> {
        Ok(self.exec(sql, args).await? == 1)
    }

    /// Reads every row as something.
    pub async fn read_all<T, C: FromIterator<T>>(
        &mut self,
        sql: impl Into<String>,
        args: Vec<Value>,
        read: impl Fn(&Row) -> Result<T>,
    ) -> Result<C> {
        self.fetch(sql, args).await?.iter().map(read).collect()
    }

    /// Reads the first row, if there is one, as something.
    pub async fn read_one<T>(
        &mut self,
        sql: impl Into<String>,
        args: Vec<Value>,
        read: impl Fn(&Row) -> Result<T>,
    ) -> Result<Option<T>> {
        self.fetch_one(sql, args).await?.as_ref().map(read).transpose()
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
