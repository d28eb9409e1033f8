//! What SQLite and PostgreSQL do not share.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// The rows of a table that meet a condition, locked in the order of their ids: sessions that
    /// want the same rows then wait for each other in turn, and never in a circle.
    pub(super) fn in_order(self, table: &str, condition: &str) -> String {
        match self {
            Self::Sqlite => condition.to_owned(),
            Self::Postgres => format!("id IN (SELECT id FROM {table} WHERE {condition} ORDER BY id FOR UPDATE)"),
        }
    }

    /// Rows that others hold are passed over.
    pub(super) const fn skip_locked(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => "FOR UPDATE SKIP LOCKED",
        }
    }

    /// The rows are held until the transaction ends.
    pub(super) const fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => "FOR UPDATE",
        }
    }
}
