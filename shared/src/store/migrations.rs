//! The schema, one step per file, each safe with the previous release running.

use std::borrow::Cow;

use sqlx::AssertSqlSafe;
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use crate::store::db::{Db, Dialect, Result, StoreError};

/// Version, name and text of every step, oldest first.
const STEPS: &[(i64, &str, &str)] = &[
    (1, "ledger", include_str!("../../migrations/0001_ledger.sql")),
    (2, "statuses", include_str!("../../migrations/0002_statuses.sql")),
    (3, "status segments", include_str!("../../migrations/0003_status_segments.sql")),
    (4, "segments uncompressed", include_str!("../../migrations/0004_segments_uncompressed.sql")),
    (5, "orders by id", include_str!("../../migrations/0005_orders_by_id.sql")),
    (6, "newest facts", include_str!("../../migrations/0006_newest_facts.sql")),
    (7, "neighbours", include_str!("../../migrations/0007_neighbours.sql")),
];

/// The newest version this release knows.
#[must_use]
pub fn newest() -> i64 {
    STEPS.last().map_or(0, |(version, ..)| *version)
}

fn translate(sql: &str, dialect: Dialect) -> String {
    match dialect {
        Dialect::Postgres => sql.to_owned(),
        Dialect::Sqlite => sql
            .replace("BIGSERIAL PRIMARY KEY", "INTEGER PRIMARY KEY AUTOINCREMENT")
            .replace("BIGINT", "INTEGER")
            .replace("BYTEA", "BLOB")
            .lines()
            // How a column is laid out is PostgreSQL's own affair.
            .filter(|line| !line.contains(" SET STORAGE "))
            .map(|line| if line == ");" { ") STRICT;" } else { line })
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

fn migrator(dialect: Dialect, last: i64) -> Migrator {
    let migrations: Vec<Migration> = STEPS
        .iter()
        .filter(|(version, ..)| *version <= last)
        .map(|(version, name, sql)| {
            Migration::new(
                *version,
                Cow::Borrowed(*name),
                MigrationType::Simple,
                AssertSqlSafe(translate(sql, dialect)).into_sql_str(),
                false,
            )
        })
        .collect();
    let mut migrator = Migrator::with_migrations(migrations);
    // A newer release may have migrated already; rolling back must still start.
    migrator.set_ignore_missing(true);
    migrator
}

impl Db {
    /// Brings the schema up to date. Safe to repeat and to run in several processes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn migrate(&self) -> Result<()> {
        self.migrate_to(newest()).await
    }

    /// Brings the schema to a version and no further: what an earlier release left behind.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn migrate_to(&self, last: i64) -> Result<()> {
        let migrator = migrator(self.dialect(), last);
        let done = match self {
            // The migrator locks PostgreSQL against other processes; here the write lock does it.
            Self::Sqlite { write, .. } => {
                let mut tx = write.begin_with("BEGIN IMMEDIATE").await?;
                match migrator.run(&mut *tx).await {
                    Ok(()) => tx.commit().await.map_err(sqlx::migrate::MigrateError::Execute),
                    failed => failed,
                }
            }
            Self::Postgres(pool) => migrator.run(pool).await,
        };
        done.map_err(|error| match error {
            sqlx::migrate::MigrateError::Execute(error) => StoreError::from(error),
            other => StoreError::Config(format!("the database cannot be migrated: {other}")),
        })
    }

    /// The version the schema is at; 0 for an empty database.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] or [`StoreError::Closed`].
    pub async fn schema_version(&self) -> Result<i64> {
        match self.fetch_one("SELECT MAX(version) AS version FROM _sqlx_migrations", vec![]).await {
            Ok(row) => Ok(row.map(|row| row.opt_int("version")).transpose()?.flatten().unwrap_or(0)),
            Err(StoreError::Refused(_)) => Ok(0),
            Err(other) => Err(other),
        }
    }
}
