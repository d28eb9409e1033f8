//! Values that a statement is given.

use jiff::Timestamp;

use crate::domain::{CrmOrderId, DeliveryId, IntegrationId, Kopecks, OrderNo, OrderNumber};

/// A bound value. Typed even when NULL, since PostgreSQL wants to know.
#[derive(Debug, Clone)]
pub enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
    /// A list: an array for PostgreSQL, a JSON text for SQLite.
    Ints(Vec<Option<i64>>),
    Texts(Vec<Option<String>>),
}

impl Value {
    /// A list of texts.
    pub(crate) fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Texts(texts.into_iter().map(|text| Some(text.to_owned())).collect())
    }
}

macro_rules! into_value {
    ($($from:ty => |$v:ident| $to:expr),* $(,)?) => { $(
        impl From<$from> for Value { fn from($v: $from) -> Self { $to } }
    )* };
}
into_value! {
    i64 => |v| Self::Int(Some(v)),
    i32 => |v| Self::Int(Some(i64::from(v))),
    u32 => |v| Self::Int(Some(i64::from(v))),
    bool => |v| Self::Int(Some(i64::from(v))),
    Option<i64> => |v| Self::Int(v),
    &str => |v| Self::Text(Some(v.to_owned())),
    String => |v| Self::Text(Some(v)),
    &String => |v| Self::Text(Some(v.clone())),
    Option<String> => |v| Self::Text(v),
    Option<&str> => |v| Self::Text(v.map(str::to_owned)),
    &OrderNumber => |v| Self::Text(Some(v.as_str().to_owned())),
    &OrderNo => |v| Self::Text(Some(v.as_str().to_owned())),
    Vec<u8> => |v| Self::Bytes(Some(v)),
    Option<Vec<u8>> => |v| Self::Bytes(v),
    IntegrationId => |v| Self::Int(Some(v.0)),
    Option<IntegrationId> => |v| Self::Int(v.map(|id| id.0)),
    CrmOrderId => |v| Self::Int(Some(v.0)),
    DeliveryId => |v| Self::Int(Some(v.0)),
    Option<DeliveryId> => |v| Self::Int(v.map(|id| id.0)),
    &[DeliveryId] => |v| Self::Ints(v.iter().map(|id| Some(id.0)).collect()),
    &[CrmOrderId] => |v| Self::Ints(v.iter().map(|id| Some(id.0)).collect()),
    &[IntegrationId] => |v| Self::Ints(v.iter().map(|id| Some(id.0)).collect()),
    Vec<i64> => |v| Self::Ints(v.into_iter().map(Some).collect()),
    Kopecks => |v| Self::Int(Some(v.0)),
    Option<Kopecks> => |v| Self::Int(v.map(|k| k.0)),
    Option<CrmOrderId> => |v| Self::Int(v.map(|id| id.0)),
    Timestamp => |v| Self::Int(Some(v.as_millisecond())),
    Option<Timestamp> => |v| Self::Int(v.map(Timestamp::as_millisecond)),
}

#[macro_export]
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::Value::from($value)),*] };
}
/// PostgreSQL refuses NUL in a text, and one of a vendor's broken answer must not keep the
/// rest of a commit out. SQLite gets the same text.
pub(super) fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// A list as SQLite is given it.
pub(super) fn list<T: serde::Serialize>(values: &[T]) -> String {
    serde_json::to_string(values).expect("numbers and texts serialise")
}

macro_rules! bind_postgres {
    ($query:expr, $args:expr) => {{
        let mut query = $query;
        for value in $args {
            let clean = |text: Option<String>| text.map($crate::store::value::without_nul);
            query = match value {
                Value::Int(v) => query.bind(v),
                Value::Text(v) => query.bind(clean(v)),
                Value::Bytes(v) => query.bind(v),
                Value::Ints(v) => query.bind(v),
                Value::Texts(v) => query.bind(v.into_iter().map(clean).collect::<Vec<_>>()),
            };
        }
        query
    }};
}
macro_rules! bind_sqlite {
    ($query:expr, $args:expr) => {{
        let mut query = $query;
        for value in $args {
            query = match value {
                Value::Int(v) => query.bind(v),
                Value::Text(v) => query.bind(v.map($crate::store::value::without_nul)),
                Value::Bytes(v) => query.bind(v),
                Value::Ints(v) => query.bind($crate::store::value::list(&v)),
                Value::Texts(v) => query.bind($crate::store::value::list(&v)),
            };
        }
        query
    }};
}
pub(super) use {bind_postgres, bind_sqlite};
