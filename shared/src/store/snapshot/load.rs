//! Rows put into an empty database, all of them or none: one transaction, in which they are read
//! back before it ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnection, PgCopyIn};
use sqlx::sqlite::SqliteConnection;

use crate::args;
use crate::store::db::{Db, Dialect, Result, Tx, Value};
use crate::store::error::StoreError;
use crate::store::many;
use crate::store::migrations::newest;
use crate::store::snapshot::connection::Conn;
use crate::store::snapshot::line::Sum;
use crate::store::snapshot::tables::Table;
use crate::store::value::{bind_sqlite, without_nul};

/// Bytes that are gathered before they are handed over.
const GATHERED: usize = 256 * 1024;
/// Arguments of one statement of SQLite.
const ARGUMENTS: usize = 3_000;
/// What PostgreSQL's binary copy begins with (its documentation, «COPY», «Binary Format»).
const COPY_HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// A transaction that fills an empty database.
pub struct Load {
    tx: Tx,
    /// Of what was put in.
    sums: Vec<(Table, Sum)>,
}

/// A table that is being filled.
pub enum Filling<'a> {
    Sqlite { connection: &'a mut SqliteConnection, table: &'a Table, rows: Vec<Vec<Value>>, bytes: usize },
    Postgres { copy: Box<PgCopyIn<&'a mut PgConnection>>, buffer: Vec<u8> },
}

impl Db {
    /// Refuses a database that holds anything, whoever put it there, and one of a newer release.
    ///
    /// # Errors
    /// [`StoreError::Config`] with a sentence that names what is in it.
    pub async fn needs_emptiness(&self) -> Result<()> {
        let version = self.schema_version().await?;
        if version > newest() {
            return Err(StoreError::Config(format!(
                "its schema is at version {version}, and this release knows {}: use the release that made it",
                newest()
            )));
        }
        let mut tx = self.begin().await?;
        if version == 0 {
            let names = tx.connection().table_names().await?;
            return match names.is_empty() {
                true => Ok(()),
                false => Err(StoreError::Config(format!(
                    "it holds tables that are none of the bridge's ({}): name an empty database",
                    listed(names.iter().map(String::as_str))
                ))),
            };
        }
        let tables = tx.connection().tables().await?;
        tx.need_empty(&tables).await
    }
}

/// The first few of some names.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let more = if names.len() > 5 { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(5)].join(", "))
}

impl Load {
    /// Begins to fill a database whose schema is that of `tables`. Nobody else writes into it
    /// until this ends.
    ///
    /// # Errors
    /// [`StoreError::Config`] with a sentence when the database holds something, or its tables are
    /// others.
    pub async fn begin(db: &Db, tables: &[Table]) -> Result<Self> {
        let mut tx = db.begin().await?;
        let found = tx.connection().tables().await?;
        if let Some(other) = tables
            .iter()
            .find(|table| !found.contains(table))
            .or_else(|| found.iter().find(|table| !tables.contains(table)))
        {
            return Err(StoreError::Config(format!("the table {} is not the same on both sides", other.name)));
        }
        if tx.dialect() == Dialect::Postgres {
            let names = tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>().join(", ");
            let alone = format!(
                "SET LOCAL lock_timeout = '30s'; SET LOCAL statement_timeout = 0; \
                 SET LOCAL idle_in_transaction_session_timeout = 0; LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE"
            );
            tx.connection().run(alone).await?;
        }
        tx.need_empty(tables).await?;
        // What is left is about the server, or about who ran on it.
        for table in tables {
            tx.connection().run(format!("DELETE FROM {} WHERE NOT ({})", table.name, table.condition())).await?;
        }
        Ok(Self { tx, sums: Vec::with_capacity(tables.len()) })
    }

    /// Begins with a table. What it refers to was put in before.
    pub async fn fill<'a>(&'a mut self, table: &'a Table) -> Result<Filling<'a>> {
        Ok(match self.tx.connection() {
            Conn::Sqlite(connection) => Filling::Sqlite { connection, table, rows: Vec::new(), bytes: 0 },
            Conn::Postgres(connection) => {
                let copy = format!("COPY {} ({}) FROM STDIN (FORMAT binary)", table.name, table.names());
                let copy = Box::new(connection.copy_in_raw(&copy).await?);
                Filling::Postgres { copy, buffer: COPY_HEAD.to_vec() }
            }
        })
    }

    /// Reads a table back, which must hold what it was given.
    ///
    /// # Errors
    /// [`StoreError::Config`] when it does not.
    pub async fn must_hold(&mut self, table: &Table, given: Sum) -> Result<()> {
        let found = self.tx.connection().sum(table).await?;
        if found != given {
            return Err(StoreError::Config(format!(
                "the table {} does not hold what was put into it: {} rows instead of {}, sum {found} instead of {given}; \
                 nothing was changed",
                table.name, found.rows, given.rows
            )));
        }
        self.sums.push((table.clone(), given));
        Ok(())
    }

    /// What each table was found to hold.
    pub fn held(&self) -> &[(Table, Sum)] {
        &self.sums
    }

    /// Has ids go on above those that were given, does the last of it, and commits.
    pub async fn finish(
        mut self,
        ids: &BTreeMap<String, i64>,
        last: impl AsyncFnOnce(&mut Tx) -> Result<()>,
    ) -> Result<()> {
        for sequence in self.tx.connection().sequences().await? {
            let given = ids.get(&sequence.table).copied().unwrap_or(0) / sequence.factor;
            if given == 0 {
                continue;
            }
            match self.tx.dialect() {
                Dialect::Sqlite => {
                    self.tx.run("DELETE FROM sqlite_sequence WHERE name = $1", args![&sequence.table]).await?;
                    let put = "INSERT INTO sqlite_sequence (name, seq) VALUES ($1, $2)";
                    self.tx.run(put, args![&sequence.table, given]).await?;
                }
                Dialect::Postgres => {
                    let set = "SELECT setval(quote_ident($1)::regclass, $2)";
                    self.tx.fetch(set, args![format!("{}_id_seq", sequence.table), given]).await?;
                }
            }
        }
        last(&mut self.tx).await?;
        self.tx.commit().await
    }
}

impl Filling<'_> {
    pub async fn put(&mut self, values: Vec<Value>) -> Result<()> {
        match self {
            Self::Sqlite { rows, bytes, table, .. } => {
                *bytes += values.iter().map(size).sum::<usize>();
                rows.push(values);
                if *bytes > GATHERED || (rows.len() + 1) * table.columns.len() > ARGUMENTS {
                    self.hand_over().await?;
                }
            }
            Self::Postgres { buffer, .. } => {
                copy_row(values, buffer);
                if buffer.len() > GATHERED {
                    self.hand_over().await?;
                }
            }
        }
        Ok(())
    }

    async fn hand_over(&mut self) -> Result<()> {
        match self {
            Self::Sqlite { connection, table, rows, bytes } => {
                if rows.is_empty() {
                    return Ok(());
                }
                let (names, values) = (table.names(), many::values(rows.len(), table.columns.len()));
                let sql: Arc<str> = format!("INSERT INTO {} ({names}) VALUES {values}", table.name).into();
                let query = sqlx::query(AssertSqlSafe(sql));
                bind_sqlite!(query, rows.drain(..).flatten()).execute(&mut **connection).await?;
                *bytes = 0;
            }
            Self::Postgres { copy, buffer } => {
                copy.send(&buffer[..]).await?;
                buffer.clear();
            }
        }
        Ok(())
    }

    /// Hands the last rows over.
    pub async fn finish(mut self) -> Result<()> {
        if let Self::Postgres { buffer, .. } = &mut self {
            buffer.extend((-1_i16).to_be_bytes());
        }
        self.hand_over().await?;
        if let Self::Postgres { copy, .. } = self {
            copy.finish().await?;
        }
        Ok(())
    }
}

const fn size(value: &Value) -> usize {
    match value {
        Value::Text(Some(text)) => text.len(),
        Value::Bytes(Some(bytes)) => bytes.len(),
        _ => 8,
    }
}

/// A row of PostgreSQL's binary copy: the number of its fields, and each with its length before it.
fn copy_row(values: Vec<Value>, buffer: &mut Vec<u8>) {
    buffer.extend(i16::try_from(values.len()).unwrap_or(i16::MAX).to_be_bytes());
    let mut field = |bytes: Option<&[u8]>| match bytes {
        None => buffer.extend((-1_i32).to_be_bytes()),
        Some(bytes) => {
            buffer.extend(i32::try_from(bytes.len()).unwrap_or(i32::MAX).to_be_bytes());
            buffer.extend(bytes);
        }
    };
    for value in values {
        match value {
            Value::Int(number) => field(number.map(i64::to_be_bytes).as_ref().map(|bytes| &bytes[..])),
            Value::Text(text) => field(text.map(without_nul).as_ref().map(|text| text.as_bytes())),
            Value::Bytes(bytes) => field(bytes.as_deref()),
            Value::Ints(_) | Value::Texts(_) => field(None),
        }
    }
}

impl Tx {
    /// Refuses a database that holds rows of the ledger's.
    async fn need_empty(&mut self, tables: &[Table]) -> Result<()> {
        let mut full = Vec::new();
        for table in tables {
            let look = format!("SELECT 1 AS one FROM {} WHERE {} LIMIT 1", table.name, table.condition());
            if !self.connection().all(look, |_| Ok(())).await?.is_empty() {
                full.push(table.name.as_str());
            }
        }
        if full.is_empty() {
            return Ok(());
        }
        Err(StoreError::Config(format!(
            "it is not empty: there are rows in {}. Name an empty database; nothing was changed",
            listed(full.into_iter())
        )))
    }
}
