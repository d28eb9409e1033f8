//! A database as it is at one moment, read while others go on writing.

use std::collections::BTreeMap;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;

use crate::store::db::{Db, Dialect, Pools, Result, Row, Value};
use crate::store::error::StoreError;
use crate::store::snapshot::connection::Conn;
use crate::store::snapshot::line::{Sum, write_line};
use crate::store::snapshot::tables::Table;

/// The schema's version, and rows as they were when it was begun; what is written later is not seen.
pub struct Snapshot {
    open: Open,
    pub version: i64,
    /// Those that are referred to come first.
    pub tables: Vec<Table>,
}

enum Open {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// Ids of tables without the twenty random bits below them, and with ([`Snapshot::ids`]).
const PLAIN: i64 = 1;
pub(super) const WITH_RANDOM: i64 = 1 << 20;

impl Snapshot {
    /// Begins one, on a connection of its own that cannot write.
    pub async fn of(db: &Db) -> Result<Self> {
        let mut open = match &db.pools {
            Pools::Sqlite { read, .. } => {
                let options = (*read.connect_options()).clone().read_only(true);
                Open::Sqlite(SqliteConnection::connect_with(&options).await?)
            }
            Pools::Postgres(pool) => Open::Postgres(PgConnection::connect_with(&pool.connect_options()).await?),
        };
        let mut connection = open.connection();
        connection
            .run(match connection.dialect() {
                Dialect::Sqlite => "BEGIN",
                Dialect::Postgres => {
                    "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL statement_timeout = 0; \
                     SET LOCAL idle_in_transaction_session_timeout = 0"
                }
            })
            .await?;
        // The first reading fixes the moment.
        let sql = "SELECT MAX(version) AS version FROM _sqlx_migrations";
        let version = match connection.all(sql, |row| row.opt_int("version")).await {
            Ok(found) => found.into_iter().next().flatten().unwrap_or(0),
            Err(error) if error.is_missing_table() => {
                return Err(StoreError::Config("there are no tables of the bridge in it".to_owned()));
            }
            Err(other) => return Err(other),
        };
        let tables = connection.tables().await?;
        Ok(Self { open, version, tables })
    }

    /// Gives each row of a table to `take`, as values and as a line, and says what they come to.
    pub async fn rows<E: From<StoreError>>(
        &mut self,
        table: &Table,
        take: impl AsyncFnMut(Vec<Value>, &[u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<Sum, E> {
        self.open.connection().rows(table, take).await
    }

    /// What a table's rows come to.
    pub async fn sum(&mut self, table: &Table) -> Result<Sum> {
        self.open.connection().sum(table).await
    }

    /// Of each table with numbered rows the largest id that may have been given, to whatever row
    /// it was: one that is gone may still be spoken of.
    pub async fn ids(&mut self) -> Result<BTreeMap<String, i64>> {
        let mut connection = self.open.connection();
        let mut ids: BTreeMap<String, i64> =
            connection.sequences().await?.into_iter().map(|of| (of.table, of.given)).collect();
        for (table, given) in &mut ids {
            let newest = connection.all(format!("SELECT MAX(id) AS id FROM {table}"), |row| row.opt_int("id")).await?;
            *given = newest.into_iter().flatten().fold(*given, i64::max);
        }
        Ok(ids)
    }
}

impl Open {
    fn connection(&mut self) -> Conn<'_> {
        match self {
            Self::Sqlite(connection) => Conn::Sqlite(connection),
            Self::Postgres(connection) => Conn::Postgres(connection),
        }
    }
}

/// How a table numbers its rows.
#[derive(Debug)]
pub(super) struct Sequence {
    pub table: String,
    /// What the sequence's number is multiplied by.
    pub factor: i64,
    /// The largest id that it has given.
    given: i64,
}

impl Conn<'_> {
    pub async fn rows<E: From<StoreError>>(
        &mut self,
        table: &Table,
        mut take: impl AsyncFnMut(Vec<Value>, &[u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<Sum, E> {
        let (mut sum, mut line) = (Sum::default(), Vec::new());
        self.each(table.select(), async |row| {
            let values = row.values(table)?;
            write_line(&values, &mut line);
            sum.add(&line);
            take(values, &line).await
        })
        .await?;
        Ok(sum)
    }

    pub async fn sum(&mut self, table: &Table) -> Result<Sum> {
        self.rows(table, async |_, _| Ok::<_, StoreError>(())).await
    }

    /// Sequences of the tables that have one. Only the read of a table's `id` gives numbers.
    pub(super) async fn sequences(&mut self) -> Result<Vec<Sequence>> {
        let sql = match self.dialect() {
            Dialect::Sqlite => {
                "SELECT t.name AS name, '' AS given_by, COALESCE((SELECT MAX(seq) FROM sqlite_sequence s \
                 WHERE s.name = t.name), 0) AS last FROM sqlite_master t WHERE t.sql LIKE '%AUTOINCREMENT%'"
            }
            Dialect::Postgres => {
                "SELECT t.relname::text AS name, pg_get_expr(d.adbin, d.adrelid) AS given_by, \
                 COALESCE(s.last_value, 0) AS last FROM pg_class t JOIN pg_attribute a ON a.attrelid = t.oid \
                 AND a.attname = 'id' JOIN pg_attrdef d ON d.adrelid = t.oid AND d.adnum = a.attnum \
                 JOIN pg_sequences s ON s.schemaname = current_schema() AND s.sequencename = t.relname || '_id_seq' \
                 WHERE t.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())"
            }
        };
        let read = |row: &Row| {
            let factor = if row.text("given_by")?.contains(&WITH_RANDOM.to_string()) { WITH_RANDOM } else { PLAIN };
            let given = row.int("last")?.saturating_mul(factor).saturating_add(factor - 1);
            Ok(Sequence { table: row.text("name")?, factor, given: if row.int("last")? == 0 { 0 } else { given } })
        };
        self.all(sql, read).await
    }
}
