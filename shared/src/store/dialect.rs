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

    /// The condition that a column's value is among those of a list, the argument of a place.
    pub(super) fn among(self, column: &str, place: usize) -> String {
        match self {
            Self::Sqlite => format!("{column} IN (SELECT value FROM json_each(${place}))"),
            Self::Postgres => format!("{column} = ANY(${place})"),
        }
    }

    /// The rows of a table whose column is among those of a list, the argument of a place; an
    /// item of `FROM` under a name of its own. They are found through the index of the column, one value after another,
    /// and nothing else of the statement is looked at before: a planner that has not counted a
    /// young table yet would rather read all of it each time.
    pub(super) fn found_by(self, table: &str, column: &str, place: usize, name: &str) -> String {
        match self {
            Self::Sqlite => {
                let among = self.among(column, place);
                format!("(SELECT * FROM {table} WHERE {among} LIMIT -1) AS {name}")
            }
            Self::Postgres => format!(
                "unnest(${place}) AS list (item) CROSS JOIN LATERAL (SELECT * FROM {table} \
                 WHERE {column} = list.item OFFSET 0) AS {name}"
            ),
        }
    }
}
