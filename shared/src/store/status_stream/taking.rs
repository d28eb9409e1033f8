//! Snapshots that wait until the ledger takes them over, and what becomes of each.

use std::collections::HashSet;

use jiff::Timestamp;

use crate::args;
use crate::domain::DeliveryId;
use crate::store::Store;
use crate::store::db::{Result, Row, Tx, Value};
use crate::store::due::STATUS_ROWS;
use crate::store::moment;
use crate::store::sets::Set;
use crate::store::status_stream::rows::{Placed, RowState};

/// A row that waits to be taken over.
#[derive(Debug, Clone)]
pub struct PendingRow {
    pub id: i64,
    pub delivery: DeliveryId,
    pub facts: String,
    pub attempt: u32,
    /// When its answer was asked for: it shows what was true then or later.
    pub asked_at: Timestamp,
    /// When it was read first.
    pub created_at: Timestamp,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowEnd {
    pub row: i64,
    pub state: RowState,
    pub why: Option<&'static str>,
}

impl Store {
    /// Deliveries of an account with rows that are due, those of the `limit` rows that are due
    /// longest.
    pub async fn deliveries_with_rows(&self, account: &str, limit: u32) -> Result<Vec<DeliveryId>> {
        let due = self.due_longest(STATUS_ROWS, ("account", account.into()), "delivery_id", limit).await?;
        Ok(due.into_iter().map(DeliveryId).collect())
    }

    /// When the next waiting row of an account is due.
    pub async fn next_row_due(&self, account: &str) -> Result<Option<Timestamp>> {
        self.next_due(STATUS_ROWS, "account", account).await
    }

    /// Accounts with rows that are due.
    pub async fn accounts_with_rows(&self) -> Result<Vec<String>> {
        self.whose_are_due(STATUS_ROWS, "account", |row| row.text("account")).await
    }
}

impl Tx {
    /// All waiting rows of some deliveries, due or not, as they were read: an older snapshot
    /// is never overtaken.
    pub async fn pending_rows(&mut self, account: &str, deliveries: &[DeliveryId]) -> Result<Vec<PendingRow>> {
        let sql = format!(
            "SELECT r.id, r.delivery_id, r.facts, r.attempt, r.created_at, b.created_at AS asked_at FROM {} \
             LEFT JOIN status_batches b ON b.id = r.batch_id WHERE r.account = $1 AND r.state = 'pending' ORDER BY r.seq",
            self.dialect().found_by("status_rows", "delivery_id", 2, "r")
        );
        self.read_all(sql, args![account, deliveries], read).await
    }

    /// Deliveries of new rows that these alone say nothing certain about: other rows of theirs wait,
    /// or one of these was read before.
    pub async fn deliveries_with_more(&mut self, account: &str, rows: &[&Placed<'_>]) -> Result<HashSet<DeliveryId>> {
        let delivery = |row: &&Placed<'_>| row.row.delivery.map(|(delivery, _)| delivery);
        let deliveries: Vec<DeliveryId> = rows.iter().filter_map(delivery).collect();
        let marks = Value::texts(rows.iter().map(|row| row.row.mark.as_str()));
        let sql = format!(
            "SELECT mark, delivery_id FROM status_rows WHERE account = $1 AND {} \
             UNION ALL SELECT NULL, r.delivery_id FROM {} WHERE r.account = $1 AND r.state = 'pending'",
            self.dialect().among("mark", 2),
            self.dialect().found_by("status_rows", "delivery_id", 3, "r")
        );
        let read = |row: &Row| Ok((row.opt_text("mark")?, row.opt_int("delivery_id")?.map(DeliveryId)));
        let found: Vec<_> = self.read_all(sql, args![account, marks, &*deliveries], read).await?;
        let mut with_more = HashSet::new();
        let mut read_before = HashSet::new();
        for (mark, delivery) in found {
            with_more.extend(delivery);
            read_before.extend(mark);
        }
        for row in rows {
            // Twice in one answer is once before, too.
            if !read_before.insert(row.row.mark.clone()) {
                with_more.extend(delivery(row));
            }
        }
        Ok(with_more)
    }

    /// Writes down what became of rows.
    pub async fn settle_status_rows(&mut self, ends: &[RowEnd], now: Timestamp) -> Result<()> {
        let set = Set::of(["id", "state", "why"], ends, |end| args![end.row, end.state.as_str(), end.why]);
        let settled = self.exec_set(set, args![now], |v| {
            format!(
                "UPDATE status_rows SET state = v.state, why = v.why, updated_at = $1 FROM {v} \
                 WHERE status_rows.id = v.id"
            )
        });
        settled.await.map(|_| ())
    }

    /// Puts rows off, each to its moment; one try more is counted.
    pub async fn postpone_rows(&mut self, until: &[(i64, Timestamp)]) -> Result<()> {
        let set = Set::of(["id", "due"], until, |(row, due)| args![*row, *due]);
        let postponed = self.exec_set(set, vec![], |v| {
            format!("UPDATE status_rows SET due_at = v.due, attempt = attempt + 1 FROM {v} WHERE status_rows.id = v.id")
        });
        postponed.await.map(|_| ())
    }
}

fn read(row: &Row) -> Result<PendingRow> {
    Ok(PendingRow {
        id: row.int("id")?,
        delivery: DeliveryId(row.int("delivery_id")?),
        facts: row.opt_text("facts")?.unwrap_or_default(),
        attempt: row.small("attempt")?,
        asked_at: moment(row.opt_int("asked_at")?.map_or_else(|| row.int("created_at"), Ok)?),
        created_at: row.moment("created_at")?,
    })
}
