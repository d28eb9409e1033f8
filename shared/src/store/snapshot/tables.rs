//! Which tables there are, in the order in which rows may be put into them, and their columns.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::store::db::{Dialect, Result, Row};
use crate::store::error::StoreError;
use crate::store::snapshot::connection::Conn;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    #[serde(rename = "table")]
    pub name: String,
    /// Name and kind of each, in the table's order.
    pub columns: Vec<(String, Kind)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Int,
    Text,
    Bytes,
}

impl Kind {
    /// As SQLite's schema calls it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Int => "INTEGER",
            Self::Text => "TEXT",
            Self::Bytes => "BLOB",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Int, Self::Text, Self::Bytes].into_iter().find(|kind| kind.word() == word)
    }
}

impl Table {
    /// The columns' names as a statement lists them.
    pub fn names(&self) -> String {
        self.columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// What of it is the ledger's. The rest is about the server or the processes that ran on it.
    pub fn condition(&self) -> &'static str {
        match self.name.as_str() {
            "holders" => "1 = 0",
            "cursors" => "name <> 'timeline' AND name NOT LIKE 'written by %'",
            _ => "1 = 1",
        }
    }

    /// The statement that reads all of it that is the ledger's.
    pub fn select(&self) -> String {
        format!("SELECT {} FROM {} WHERE {}", self.names(), self.name, self.condition())
    }
}

/// A column's table, its name and SQLite's word for its kind; of other kinds PostgreSQL's own.
const COLUMNS: [&str; 2] = [
    "SELECT t.name AS child, c.name AS name, c.type AS kind FROM sqlite_master t, pragma_table_info(t.name) c \
     WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' AND t.name <> '_sqlx_migrations' ORDER BY t.name, c.cid",
    "SELECT t.relname::text AS child, c.attname::text AS name, CASE format_type(c.atttypid, NULL) \
     WHEN 'bigint' THEN 'INTEGER' WHEN 'bytea' THEN 'BLOB' WHEN 'text' THEN 'TEXT' \
     ELSE format_type(c.atttypid, NULL) END AS kind FROM pg_class t JOIN pg_attribute c ON c.attrelid = t.oid \
     WHERE t.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) \
     AND t.relkind IN ('r', 'p') AND t.relname <> '_sqlx_migrations' AND c.attnum > 0 AND NOT c.attisdropped \
     ORDER BY t.relname::text COLLATE \"C\", c.attnum",
];

/// A table, and another whose rows its own refer to.
const REFERENCES: [&str; 2] = [
    "SELECT t.name AS child, f.\"table\" AS name, '' AS kind FROM sqlite_master t, pragma_foreign_key_list(t.name) f \
     WHERE t.type = 'table'",
    "SELECT t.relname::text AS child, p.relname::text AS name, '' AS kind FROM pg_constraint k \
     JOIN pg_class t ON t.oid = k.conrelid JOIN pg_class p ON p.oid = k.confrelid WHERE k.contype = 'f' \
     AND t.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())",
];

impl Conn<'_> {
    async fn triples(&mut self, sql: [&str; 2]) -> Result<Vec<(String, String, String)>> {
        let place = usize::from(self.dialect() == Dialect::Postgres);
        self.all(sql[place], |row: &Row| Ok((row.text("child")?, row.text("name")?, row.text("kind")?))).await
    }

    /// The names of all tables but the migrator's own, whosever they are.
    pub async fn table_names(&mut self) -> Result<BTreeSet<String>> {
        Ok(self.triples(COLUMNS).await?.into_iter().map(|(table, ..)| table).collect())
    }

    /// All tables but the migrator's own, referred-to ones first.
    pub async fn tables(&mut self) -> Result<Vec<Table>> {
        let mut found: BTreeMap<String, Table> = BTreeMap::new();
        for (table, name, word) in self.triples(COLUMNS).await? {
            let kind = Kind::parse(&word).ok_or_else(|| {
                StoreError::Config(format!(
                    "the column {name} of the table {table} is of the type {word}, which no table of the bridge has: \
                     keep the bridge in a database or schema of its own"
                ))
            })?;
            let empty = || Table { name: table.clone(), columns: Vec::new() };
            found.entry(table.clone()).or_insert_with(empty).columns.push((name, kind));
        }
        let references = self.triples(REFERENCES).await?.into_iter();
        let pairs: Vec<(String, String)> = references.map(|(child, parent, _)| (child, parent)).collect();
        in_order(found, &pairs).ok_or_else(|| StoreError::Config("tables refer to each other in a circle".to_owned()))
    }
}

/// Tables so that each comes after those it refers to; `None` where they go in a circle.
fn in_order(mut tables: BTreeMap<String, Table>, pairs: &[(String, String)]) -> Option<Vec<Table>> {
    let mut ordered: Vec<Table> = Vec::with_capacity(tables.len());
    while !tables.is_empty() {
        let waits = |name: &String| pairs.iter().any(|(child, parent)| child == name && tables.contains_key(parent));
        let next = tables.keys().find(|name| !waits(name))?.clone();
        ordered.extend(tables.remove(&next));
    }
    Some(ordered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(names: &[&str]) -> BTreeMap<String, Table> {
        let table = |name: &&str| ((*name).to_owned(), Table { name: (*name).to_owned(), columns: Vec::new() });
        names.iter().map(table).collect()
    }

    #[test]
    fn a_table_comes_after_those_it_refers_to() {
        let pair = |child: &str, parent: &str| (child.to_owned(), parent.to_owned());
        let pairs = [pair("a", "c"), pair("c", "b"), pair("b", "gone")];
        let ordered = in_order(tables(&["a", "b", "c", "d"]), &pairs).expect("no circle");
        assert_eq!(ordered.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["b", "c", "a", "d"]);
        assert_eq!(in_order(tables(&["a", "b"]), &[pair("a", "b"), pair("b", "a")]), None);
    }
}
