//! The product's tables, read past the product.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Column as _, Row as _, ValueRef as _};

/// A row: numbers, texts (bytes as text, readable or not) and nulls by column.
pub type Line = BTreeMap<String, Value>;

/// What the job table has put off for longer is not waited for.
const SOON: Duration = Duration::from_secs(5);

/// A database of the product, for looking only.
pub enum Ledger {
    /// The file of the one-process mode.
    Sqlite(SqlitePool),
    /// A database of the run's server.
    Postgres(PgPool),
}

/// Both drivers' rows have the same methods and no common trait worth naming.
macro_rules! line {
    ($row:expr) => {{
        let mut line = Line::new();
        for (place, column) in $row.columns().iter().enumerate() {
            // SQLite's driver reads a number from nothing.
            let value = if $row.try_get_raw(place).is_ok_and(|value| value.is_null()) {
                Value::Null
            } else if let Ok(number) = $row.try_get::<i64, _>(place) {
                Value::from(number)
            } else if let Ok(text) = $row.try_get::<String, _>(place) {
                Value::from(text)
            } else if let Ok(bytes) = $row.try_get::<Vec<u8>, _>(place) {
                Value::from(String::from_utf8_lossy(&bytes).into_owned())
            } else {
                Value::Null
            };
            line.insert(column.name().to_owned(), value);
        }
        line
    }};
}

impl Ledger {
    pub(crate) fn sqlite(file: &Path) -> Self {
        let options = SqliteConnectOptions::new().filename(file).busy_timeout(Duration::from_secs(10));
        // Opened anew each time: another file may have the name by then.
        let pool = SqlitePoolOptions::new().max_connections(2).after_release(|_, _| Box::pin(async { Ok(false) }));
        Self::Sqlite(pool.connect_lazy_with(options))
    }

    pub(crate) fn postgres(url: &str) -> anyhow::Result<Self> {
        Ok(Self::Postgres(PgPoolOptions::new().max_connections(2).connect_lazy(url)?))
    }

    /// All rows of a question.
    ///
    /// # Errors
    /// Of the database.
    pub async fn rows(&self, sql: &str) -> anyhow::Result<Vec<Line>> {
        let question = AssertSqlSafe(sql.to_owned());
        let failed = || sql.to_owned();
        Ok(match self {
            Self::Sqlite(pool) => {
                sqlx::query(question).fetch_all(pool).await.with_context(failed)?.iter().map(|row| line!(row)).collect()
            }
            Self::Postgres(pool) => {
                sqlx::query(question).fetch_all(pool).await.with_context(failed)?.iter().map(|row| line!(row)).collect()
            }
        })
    }

    /// The number a question answers with.
    ///
    /// # Errors
    /// Of the database, or when it answers no number.
    pub async fn count(&self, sql: &str) -> anyhow::Result<i64> {
        let rows = self.rows(sql).await?;
        let row = rows.first().context("no row")?;
        row.values().next().and_then(Value::as_i64).with_context(|| format!("no number: {sql}"))
    }

    /// Orders with triggers that are wanted and not served, and messages of the job table that
    /// somebody should take by now or soon. What is put off for longer is none: a status whose
    /// order is not known to be placed is looked at again for a day.
    ///
    /// # Errors
    /// Of the database.
    pub async fn waiting(&self) -> anyhow::Result<(i64, i64)> {
        let waiting = "SELECT (SELECT COUNT(*) FROM intents WHERE requested > served) \
                       + (SELECT COUNT(*) FROM order_intents WHERE requested > served) AS n";
        let soon = (jiff::Timestamp::now() + SOON).as_millisecond();
        // In the order in which work goes: what left the first between the two is in the second.
        let jobs = self.count(&format!("SELECT COUNT(*) AS n FROM jobs WHERE run_at <= {soon}")).await?;
        Ok((self.count(waiting).await?, jobs))
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}
