//! Several rows as one table of a statement: what is durable together is written together, in
//! one round trip.
//!
//! PostgreSQL is given an array for each column, SQLite one JSON text. Around it the statement is
//! the same for both and for any number of rows, so that it is found prepared.

use crate::store::db::{Db, Result, Row, Tx};
use crate::store::dialect::Dialect;
use crate::store::value::{Value, without_nul};

/// Rows of values under the names of their columns.
pub(crate) struct Set {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

impl Set {
    /// Each value of a column is of one type, which the first row shows also where it is NULL.
    /// There are no bytes in a set.
    pub(crate) fn of<T>(
        columns: impl IntoIterator<Item = &'static str>,
        rows: impl IntoIterator<Item = T>,
        values: impl Fn(T) -> Vec<Value>,
    ) -> Self {
        let set = Self { columns: columns.into_iter().collect(), rows: rows.into_iter().map(values).collect() };
        debug_assert!(set.rows.iter().all(|row| row.len() == set.columns.len()), "a value for each column");
        set
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// What stands for the set in a statement's `FROM`, as the table `v`, and its values, of
    /// which the first is that of the place `first`.
    fn table(self, dialect: Dialect, first: usize) -> (String, Vec<Value>) {
        let Self { columns, rows } = self;
        match dialect {
            Dialect::Sqlite => {
                let named = |(at, name): (usize, &&str)| format!("value ->> {at} AS {name}");
                let columns = columns.iter().enumerate().map(named).collect::<Vec<_>>().join(", ");
                (format!("(SELECT {columns} FROM json_each(${first})) AS v"), vec![Value::from(json(rows))])
            }
            Dialect::Postgres => {
                let arrays = arrays(rows, columns.len());
                let places = crate::store::many::places(first, arrays.len());
                (format!("unnest({places}) AS v ({})", columns.join(", ")), arrays)
            }
        }
    }
}

/// A JSON array of arrays.
fn json(rows: Vec<Vec<Value>>) -> String {
    let cell = |value| match value {
        Value::Int(number) => number.map_or(serde_json::Value::Null, serde_json::Value::from),
        Value::Text(text) => text.map_or(serde_json::Value::Null, |text| without_nul(text).into()),
        Value::Bytes(_) | Value::Ints(_) | Value::Texts(_) => unreachable!("a set has numbers and texts"),
    };
    let rows = rows.into_iter().map(|row| serde_json::Value::Array(row.into_iter().map(cell).collect()));
    serde_json::Value::Array(rows.collect()).to_string()
}

/// The columns as arrays.
fn arrays(rows: Vec<Vec<Value>>, columns: usize) -> Vec<Value> {
    let count = rows.len();
    let mut arrays: Vec<Value> = Vec::with_capacity(columns);
    for (at, row) in rows.into_iter().enumerate() {
        for (column, value) in row.into_iter().enumerate() {
            if at == 0 {
                arrays.push(match &value {
                    Value::Int(_) => Value::Ints(Vec::with_capacity(count)),
                    _ => Value::Texts(Vec::with_capacity(count)),
                });
            }
            match (&mut arrays[column], value) {
                (Value::Ints(numbers), Value::Int(number)) => numbers.push(number),
                (Value::Texts(texts), Value::Text(text)) => texts.push(text),
                _ => unreachable!("a column has numbers or texts"),
            }
        }
    }
    arrays
}

impl Db {
    /// Runs a statement about a set, as a transaction of its own; `sql` is told what stands for
    /// the set. Answers how many rows it changed. Of an empty set nothing is run.
    pub(crate) async fn exec_set(&self, set: Set, sql: impl FnOnce(&str) -> String) -> Result<u64> {
        if set.is_empty() {
            return Ok(0);
        }
        let (table, values) = set.table(self.dialect(), 1);
        self.exec(sql(&table), values).await
    }
}

impl Tx {
    /// Runs a statement about a set; `sql` is told what stands for the set, and the other values
    /// have the first places. Answers how many rows it changed. Of an empty set nothing is run.
    pub(crate) async fn exec_set(
        &mut self,
        set: Set,
        mut args: Vec<Value>,
        sql: impl FnOnce(&str) -> String,
    ) -> Result<u64> {
        if set.is_empty() {
            return Ok(0);
        }
        let (table, values) = set.table(self.dialect(), args.len() + 1);
        args.extend(values);
        self.exec(sql(&table), args).await
    }

    /// The same for a statement that answers rows.
    pub(crate) async fn fetch_set(
        &mut self,
        set: Set,
        mut args: Vec<Value>,
        sql: impl FnOnce(&str) -> String,
    ) -> Result<Vec<Row>> {
        if set.is_empty() {
            return Ok(Vec::new());
        }
        let (table, values) = set.table(self.dialect(), args.len() + 1);
        args.extend(values);
        self.fetch(sql(&table), args).await
    }
}
