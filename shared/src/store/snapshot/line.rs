//! A row as it is written down: a JSON array, the values in the order of the table's columns, bytes
//! in base64. And what many rows come to.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::store::db::{Result, Row, Value};
use crate::store::snapshot::tables::{Kind, Table};
use crate::store::value::without_nul;

impl Row {
    /// The values of a row that was read with [`Table::select`]. A text is read as either database
    /// would have stored it.
    pub(super) fn values(&self, table: &Table) -> Result<Vec<Value>> {
        let read = |(place, (_, kind)): (usize, &(String, Kind))| {
            Ok(match self.value_at(place, kind.word())? {
                Value::Text(text) => Value::Text(text.map(without_nul)),
                other => other,
            })
        };
        table.columns.iter().enumerate().map(read).collect()
    }
}

/// Writes a row, without the end of its line.
pub fn write_line(values: &[Value], line: &mut Vec<u8>) {
    line.clear();
    for value in values {
        line.push(if line.is_empty() { b'[' } else { b',' });
        let written = match value {
            Value::Int(Some(number)) => serde_json::to_writer(&mut *line, number),
            Value::Text(Some(text)) => serde_json::to_writer(&mut *line, text),
            Value::Bytes(Some(bytes)) => serde_json::to_writer(&mut *line, &STANDARD.encode(bytes)),
            _ => serde_json::to_writer(&mut *line, &()),
        };
        written.expect("numbers and texts serialise");
    }
    line.push(b']');
}

/// Reads a row of a table; `None` for what is none.
pub fn read_line(line: &[u8], table: &Table) -> Option<Vec<Value>> {
    let cells: Vec<Option<serde_json::Value>> = serde_json::from_slice(line).ok()?;
    if cells.len() != table.columns.len() {
        return None;
    }
    let read = |(cell, (_, kind)): (Option<serde_json::Value>, &(String, Kind))| {
        Some(match (kind, cell) {
            (Kind::Int, None) => Value::Int(None),
            (Kind::Int, Some(number)) => Value::Int(Some(number.as_i64()?)),
            (Kind::Text, None) => Value::Text(None),
            (Kind::Text, Some(serde_json::Value::String(text))) => Value::Text(Some(text)),
            (Kind::Bytes, None) => Value::Bytes(None),
            (Kind::Bytes, Some(text)) => Value::Bytes(Some(STANDARD.decode(text.as_str()?).ok()?)),
            (Kind::Text, Some(_)) => return None,
        })
    };
    cells.into_iter().zip(&table.columns).map(read).collect()
}

/// How many rows, and the sum of their hashes: the same in whatever order they come, another when
/// one is changed, missing or there twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "(u64, String)", try_from = "(u64, String)")]
pub struct Sum {
    pub rows: u64,
    hashes: u128,
}

impl Sum {
    pub fn add(&mut self, line: &[u8]) {
        let hash = Sha256::digest(line);
        let (half, _) = hash.split_at(16);
        self.rows += 1;
        self.hashes = self.hashes.wrapping_add(half.iter().fold(0, |sum, byte| (sum << 8) | u128::from(*byte)));
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.hashes)
    }
}

impl From<Sum> for (u64, String) {
    fn from(sum: Sum) -> Self {
        (sum.rows, sum.to_string())
    }
}

impl TryFrom<(u64, String)> for Sum {
    type Error = std::num::ParseIntError;

    fn try_from((rows, hashes): (u64, String)) -> std::result::Result<Self, Self::Error> {
        Ok(Self { rows, hashes: u128::from_str_radix(&hashes, 16)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let columns = [("a", Kind::Int), ("b", Kind::Text), ("c", Kind::Bytes)];
        Table { name: "t".to_owned(), columns: columns.map(|(name, kind)| (name.to_owned(), kind)).to_vec() }
    }

    fn written(values: &[Value]) -> Vec<u8> {
        let mut line = b"of the row before".to_vec();
        write_line(values, &mut line);
        line
    }

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let full = [
            Value::Int(Some(i64::MIN)),
            Value::Text(Some("«a\"b»\n\u{1}\u{2028}".to_owned())),
            Value::Bytes(Some(vec![0, 255])),
        ];
        for values in [full, [Value::Int(None), Value::Text(None), Value::Bytes(None)]] {
            let line = written(&values);
            assert!(!line.contains(&b'\n'), "one line");
            let read = read_line(&line, &table()).expect("a row");
            assert_eq!(format!("{read:?}"), format!("{values:?}"));
        }
        for bad in ["", "[]", "[1,\"\"]", "[1.5,\"\",\"\"]", "[1,2,\"\"]", "[1,\"\",\"§\"]", "[1,\"\",\"\""] {
            assert!(read_line(bad.as_bytes(), &table()).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_sum_tells_what_rows_there_are_and_not_in_which_order() {
        let of = |lines: &[&str]| {
            let mut sum = Sum::default();
            lines.iter().for_each(|line| sum.add(line.as_bytes()));
            sum
        };
        assert_eq!(of(&["[1]", "[2]", "[2]"]), of(&["[2]", "[1]", "[2]"]));
        assert_ne!(of(&["[1]", "[2]"]), of(&["[1]", "[3]"]));
        assert_ne!(of(&["[1]", "[1]", "[2]"]).to_string(), of(&["[1]", "[2]", "[2]"]).to_string());
        let sum = of(&["[1]"]);
        let text = serde_json::to_string(&sum).expect("JSON");
        assert_eq!(serde_json::from_str::<Sum>(&text).expect("a sum"), sum);
        assert!(serde_json::from_str::<Sum>("[1,\"x\"]").is_err());
    }
}
