//! Tables whose rows wait for their moment, and the questions that each of them is asked.

use std::collections::HashSet;

use jiff::Timestamp;

use crate::args;
use crate::store::Store;
use crate::store::db::{Result, Row, Value};

/// A table of rows that wait, each until its `due_at`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiting {
    table: &'static str,
    /// The condition that a row waits still.
    waits: &'static str,
}

pub(crate) const STATUS_ROWS: Waiting = Waiting { table: "status_rows", waits: "state = 'pending'" };
pub(crate) const TRACKING: Waiting = Waiting { table: "tracking_outbox", waits: "state = 'waiting'" };
pub(crate) const RETURNS: Waiting = Waiting { table: "line_returns", waits: "state = 'wanted'" };
pub(crate) const PAYMENTS: Waiting = Waiting { table: "payment_moves", waits: "state IN ('wanted', 'moving')" };

impl Store {
    /// Whose rows are due: what stands in `column`, once each.
    pub(crate) async fn whose_are_due<T>(
        &self,
        of: Waiting,
        column: &'static str,
        read: impl Fn(&Row) -> Result<T>,
    ) -> Result<Vec<T>> {
        let Waiting { table, waits } = of;
        let sql = format!("SELECT DISTINCT {column} FROM {table} WHERE {waits} AND {}", self.due("due_at", 1));
        self.db.read_all(sql, args![self.clock.now_ms()], read).await
    }

    /// When the next row of one of them is due.
    pub(crate) async fn next_due(
        &self,
        of: Waiting,
        column: &str,
        whose: impl Into<Value>,
    ) -> Result<Option<Timestamp>> {
        let Waiting { table, waits } = of;
        // Two looks at an index, however many wait. What a clock that was ahead put off is due now.
        let sql = format!(
            "SELECT MIN(due) AS due FROM (SELECT MIN(due_at) AS due FROM {table} WHERE {column} = $1 AND {waits} \
             UNION ALL SELECT MIN($2) AS due FROM {table} WHERE {column} = $1 AND {waits} AND due_at > $2 + {}) AS next",
            self.longest_ms
        );
        let args = vec![whose.into(), self.clock.now_ms().into()];
        self.db.moment(sql, args, "due").await
    }

    /// Reads the column `what` of the rows of one of them that are due longest, at most `limit`:
    /// each value once, in that order.
    pub(crate) async fn due_longest(
        &self,
        of: Waiting,
        (column, whose): (&str, Value),
        what: &'static str,
        limit: u32,
    ) -> Result<Vec<i64>> {
        let Waiting { table, waits } = of;
        // One stretch of the index each: what is due, and what a clock that was ahead put off.
        let stretch = |due: &str| {
            format!(
                "SELECT {what}, due_at FROM (SELECT {what}, due_at FROM {table} WHERE {column} = $1 AND {waits} \
                 AND {due} ORDER BY due_at LIMIT $3) AS stretch"
            )
        };
        let ahead = format!("due_at > $2 + {}", self.longest_ms);
        let sql = format!("{} UNION ALL {} ORDER BY due_at", stretch("due_at <= $2"), stretch(&ahead));
        let args = vec![whose, self.clock.now_ms().into(), limit.into()];
        let mut values: Vec<i64> = self.db.read_all(sql, args, |row| row.int(what)).await?;
        let mut seen = HashSet::with_capacity(values.len());
        values.retain(|value| seen.insert(*value));
        Ok(values)
    }

    /// Puts those off that wait and meet a condition, whose values begin with the second; one try more
    /// is counted.
    pub(crate) async fn put_off(
        &self,
        of: Waiting,
        condition: &str,
        due_at: Timestamp,
        values: Vec<Value>,
    ) -> Result<()> {
        let Waiting { table, waits } = of;
        let rows = self.db.dialect().in_order(table, &format!("{waits} AND {condition}"));
        let sql = format!("UPDATE {table} SET due_at = $1, attempt = attempt + 1 WHERE {rows}");
        self.db.run(sql, args![due_at].into_iter().chain(values).collect()).await
    }

    /// Rows by what became of them, for tests and diagnosis.
    pub(crate) async fn count_in(&self, of: Waiting, state: &str) -> Result<i64> {
        self.db.count(format!("SELECT COUNT(*) AS n FROM {} WHERE state = $1", of.table), args![state]).await
    }

    /// Forgets rows of a table whose moment in `column` is over and that also meet a condition, the
    /// oldest first.
    pub(crate) async fn forget(
        &self,
        table: &str,
        column: &str,
        before: Timestamp,
        also: &str,
        limit: u32,
    ) -> Result<u64> {
        let sql = format!(
            "DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE {column} < $1 AND {also} \
             ORDER BY {column} LIMIT $2)"
        );
        self.db.exec(sql, args![before, limit]).await
    }
}
