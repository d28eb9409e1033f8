//! The schema, one step per file, each safe with the previous release running.

use std::borrow::Cow;

use sqlx::AssertSqlSafe;
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgPool;

use crate::store::db::{Db, Dialect, Pools};
use crate::store::error::{Result, StoreError};

/// Version, name and text of every step, oldest first.
const STEPS: &[(i64, &str, &str)] = &[
    (1, "ledger", include_str!("../../migrations/0001_ledger.sql")),
    (2, "statuses", include_str!("../../migrations/0002_statuses.sql")),
    (3, "status segments", include_str!("../../migrations/0003_status_segments.sql")),
    (4, "segments uncompressed", include_str!("../../migrations/0004_segments_uncompressed.sql")),
    (5, "orders by id", include_str!("../../migrations/0005_orders_by_id.sql")),
    (6, "newest facts", include_str!("../../migrations/0006_newest_facts.sql")),
    (7, "neighbours", include_str!("../../migrations/0007_neighbours.sql")),
    (8, "certain holders", include_str!("../../migrations/0008_certain_holders.sql")),
    (9, "rows by delivery", include_str!("../../migrations/0009_rows_by_delivery.sql")),
    (10, "causes", include_str!("../../migrations/0010_causes.sql")),
    (11, "waits", include_str!("../../migrations/0011_waits.sql")),
    (12, "audit", include_str!("../../migrations/0012_audit.sql")),
    (14, "replays", include_str!("../../migrations/0014_replays.sql")),
    (15, "corrections", include_str!("../../migrations/0015_corrections.sql")),
    (16, "console", include_str!("../../migrations/0016_console.sql")),
    (17, "delivery fields", include_str!("../../migrations/0017_delivery_fields.sql")),
    (18, "story", include_str!("../../migrations/0018_story.sql")),
    (19, "shadow", include_str!("../../migrations/0019_shadow.sql")),
    (20, "returns", include_str!("../../migrations/0020_returns.sql")),
    (22, "sign in", include_str!("../../migrations/0022_sign_in.sql")),
    (23, "room on the page", include_str!("../../migrations/0023_room_on_the_page.sql")),
];

/// The newest version this release knows.
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
            // How a column is laid out, and what its sequence hands out, is PostgreSQL's own affair.
            .filter(|line| {
                ![" SET STORAGE ", " SET DEFAULT ", " SET (fillfactor "].iter().any(|own| line.contains(own))
            })
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

/// A table that others have locked, or another migration, is not waited for without end.
async fn on_postgres(pool: &PgPool, migrator: &Migrator) -> std::result::Result<(), MigrateError> {
    let mut connection = pool.acquire().await?;
    sqlx::query("SET lock_timeout = '60s'").execute(&mut *connection).await?;
    let done = migrator.run(&mut *connection).await;
    // The setting is the connection's, and goes with it.
    connection.close_on_drop();
    done
}

impl Db {
    /// Brings the schema up to date. Safe to repeat and to run in several processes.
    pub async fn migrate(&self) -> Result<()> {
        self.migrate_to(newest()).await
    }

    /// Brings the schema to a version and no further: what an earlier release left behind.
    pub async fn migrate_to(&self, last: i64) -> Result<()> {
        let migrator = migrator(self.dialect(), last);
        let done = match &self.pools {
            // The migrator locks PostgreSQL against other processes; here the write lock does it.
            Pools::Sqlite { write, .. } => {
                let mut tx = write.begin_with("BEGIN IMMEDIATE").await?;
                match migrator.run(&mut *tx).await {
                    Ok(()) => tx.commit().await.map_err(MigrateError::Execute),
                    failed => failed,
                }
            }
            Pools::Postgres(pool) => on_postgres(pool, &migrator).await,
        };
        done.map_err(|error| match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => StoreError::from(error),
            other => StoreError::Config(format!("the database cannot be migrated: {other}")),
        })
    }
}
