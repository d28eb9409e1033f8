//! Snapshots of orders, each until the ledger has taken it.

use std::collections::HashSet;

use jiff::Timestamp;

use crate::domain::{DeliveryId, IntegrationId};
use crate::store::Store;
use crate::store::db::{Result, Row, Tx, Value};
use crate::store::due::STATUS_ROWS;
use crate::store::leases::Lease;
use crate::store::sets::Set;
use crate::store::status_stream::NO_STREAM;
use crate::{args, closed_set};

closed_set! {
    /// What became of a row.
    RowState {
        /// Of a delivery of ours, not taken over yet.
        Pending => "pending",
        Applied => "applied",
        /// Of an order that is not ours: recorded and skipped.
        Foreign => "foreign",
        /// Set aside: it cannot be read, or its delivery never took it.
        Parked => "parked",
    }
}

/// A row to be stored.
#[derive(Debug, Clone)]
pub struct NewRow {
    /// What tells one order from another within an account.
    pub order_key: String,
    /// What tells one snapshot from another: the same again is a repeat.
    pub mark: String,
    pub orderno: Option<String>,
    pub ordercode: Option<String>,
    pub delivery: Option<(DeliveryId, IntegrationId)>,
    pub state: RowState,
    pub why: Option<String>,
    /// JSON without personal data.
    pub facts: Option<String>,
}

/// A row with its place in the answer, when it was read, and what became of it.
#[derive(Debug, Clone)]
pub struct Placed<'a> {
    pub row: &'a NewRow,
    pub read_at: Timestamp,
    pub state: RowState,
    pub why: Option<&'a str>,
    place: usize,
}

impl<'a> Placed<'a> {
    pub(crate) fn new(row: &'a NewRow, place: usize, read_at: Timestamp) -> Self {
        Self { row, read_at, state: row.state, why: row.why.as_deref(), place }
    }
}

/// What storing a chunk came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stored {
    pub fresh: u64,
    pub repeated: u64,
}

/// Whose order a number is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub delivery: DeliveryId,
    pub integration: IntegrationId,
    pub orderno: String,
    pub ordercode: Option<String>,
}

impl Store {
    /// Statuses of an integration since a moment that the stream has not brought, and a look at
    /// the orders has: somebody else acknowledges them.
    pub async fn missed_by_stream(&self, integration: IntegrationId, since: Timestamp) -> Result<i64> {
        let sql = "SELECT COUNT(*) AS n FROM status_rows r JOIN status_batches b ON b.id = r.batch_id \
                   WHERE b.stream_id = $3 AND r.integration_id = $1 AND r.created_at >= $2 \
                   AND COALESCE(r.facts, '') NOT LIKE '%\"NEW\"%'";
        let row = self.db.fetch_one(sql, args![integration, since, NO_STREAM]).await?;
        row.map_or(Ok(0), |row| row.int("n"))
    }

    /// Stores rows of a batch in one commit; `first` is the place of the first of them in
    /// the answer. A snapshot known before is counted as repeated, unless another one of its
    /// order came in between: then it is news again. `None` when the lease was lost.
    /// On an error none is stored.
    pub async fn store_status_rows(
        &self,
        lease: &Lease,
        account: &str,
        batch: i64,
        first: usize,
        rows: &[NewRow],
    ) -> Result<Option<Stored>> {
        let read_at = self.clock.now();
        let placed = |(at, row)| Placed::new(row, first + at, read_at);
        let rows = || rows.iter().enumerate().map(placed).collect();
        self.under_lease(lease, async |tx| tx.store_status_rows(account, batch, rows()).await).await
    }

    /// Whose orders these numbers are, among some integrations. Only the live number of a
    /// delivery counts.
    pub async fn owners_of(&self, integrations: &[IntegrationId], ordernos: &[&str]) -> Result<Vec<Owner>> {
        let mut owners = Vec::new();
        if integrations.is_empty() {
            return Ok(owners);
        }
        let dialect = self.db.dialect();
        let sql = format!(
            "SELECT id, integration_id, orderno, ordercode FROM deliveries WHERE {} AND {}",
            dialect.among("orderno", 1),
            dialect.among("integration_id", 2)
        );
        for chunk in ordernos.chunks(1000) {
            let read = |row: &Row| {
                Ok(Owner {
                    delivery: DeliveryId(row.int("id")?),
                    integration: IntegrationId(row.int("integration_id")?),
                    orderno: row.text("orderno")?,
                    ordercode: row.opt_text("ordercode")?,
                })
            };
            let args = vec![Value::texts(chunk.iter().copied()), Value::from(integrations)];
            let found: Vec<Owner> = self.db.read_all(&*sql, args, read).await?;
            owners.extend(found);
        }
        Ok(owners)
    }

    /// Which of these snapshots are stored already.
    pub async fn known_marks<'a>(
        &self,
        account: &str,
        marks: impl Iterator<Item = &'a str>,
    ) -> Result<HashSet<String>> {
        let marks: Vec<&str> = marks.collect();
        let mut known = HashSet::new();
        let among = self.db.dialect().among("mark", 2);
        let sql = format!("SELECT mark FROM status_rows WHERE account = $1 AND {among}");
        for chunk in marks.chunks(1000) {
            let args = vec![Value::from(account), Value::texts(chunk.iter().copied())];
            let some: Vec<String> = self.db.read_all(&*sql, args, |row| row.text("mark")).await?;
            known.extend(some);
        }
        Ok(known)
    }

    /// Rows by what became of them, for tests and diagnosis.
    pub async fn count_status_rows(&self, state: RowState) -> Result<i64> {
        self.count_in(STATUS_ROWS, state.as_str()).await
    }

    /// Forgets rows and answers: foreign rows last touched before `foreign`, the others
    /// before `others`. Answers how many, at most `limit` of each.
    pub async fn forget_status_rows(&self, foreign: Timestamp, others: Timestamp, limit: u32) -> Result<u64> {
        let sql = "DELETE FROM status_rows WHERE id IN (SELECT id FROM status_rows WHERE (updated_at < $1 \
                   AND state = 'foreign') OR updated_at < $2 ORDER BY updated_at LIMIT $3)";
        let mut gone = self.db.exec(sql, args![foreign, others, limit]).await?;
        // Of a stream that nobody has polled since.
        gone += self.forget("status_segments", "created_at", others, "1 = 1", limit).await?;
        // The newest batch of a stream says what may be acknowledged: it stays.
        let sql = "DELETE FROM status_batches WHERE id IN (SELECT b.id FROM status_batches b WHERE b.created_at < $1 \
                   AND EXISTS (SELECT 1 FROM status_batches n WHERE n.account = b.account AND n.stream_id = b.stream_id \
                   AND n.id > b.id AND n.state = 'committed') LIMIT $2)";
        gone += self.db.exec(sql, args![foreign, limit]).await?;
        Ok(gone)
    }
}

/// What a row is put in its order by. Batches come one after another, so this orders rows over all
/// of them.
fn in_order(batch: i64, place: usize) -> i64 {
    batch.saturating_mul(10_000_000) + i64::try_from(place).unwrap_or(i64::MAX)
}

const COLUMNS: [&str; 11] = [
    "order_key",
    "mark",
    "orderno",
    "ordercode",
    "delivery_id",
    "integration_id",
    "state",
    "why",
    "facts",
    "seq",
    "created_at",
];

fn values_of(Placed { row, read_at, state, why, place }: &Placed<'_>, batch: i64) -> Vec<Value> {
    args![
        &row.order_key,
        &row.mark,
        row.orderno.as_deref(),
        row.ordercode.as_deref(),
        row.delivery.map(|(delivery, _)| delivery),
        row.delivery.map(|(_, integration)| integration),
        state.as_str(),
        *why,
        row.facts.as_deref(),
        in_order(batch, *place),
        *read_at
    ]
}

/// A snapshot that is known counts a repeat; it waits anew when another came in between.
const OR_AGAIN: &str = "ON CONFLICT (account, mark) DO UPDATE SET repeats = status_rows.repeats + 1, \
    batch_id = excluded.batch_id, updated_at = excluded.updated_at, seq = excluded.seq, \
    delivery_id = COALESCE(status_rows.delivery_id, excluded.delivery_id), \
    integration_id = COALESCE(status_rows.integration_id, excluded.integration_id), \
    facts = COALESCE(excluded.facts, status_rows.facts), \
    due_at = CASE WHEN status_rows.state = 'pending' THEN status_rows.due_at ELSE excluded.due_at END, \
    state = CASE \
    WHEN status_rows.state = 'foreign' AND excluded.state = 'pending' THEN 'pending' \
    WHEN status_rows.state = 'applied' AND excluded.state = 'pending' AND EXISTS (SELECT 1 FROM status_rows n \
    WHERE n.account = status_rows.account AND n.order_key = status_rows.order_key \
    AND n.seq > status_rows.seq AND n.batch_id < excluded.batch_id) THEN 'pending' \
    ELSE status_rows.state END \
    RETURNING repeats";

impl Tx {
    /// As [`Store::store_status_rows`], within a transaction. What is new is stored as what became
    /// of it.
    pub async fn store_status_rows(&mut self, account: &str, batch: i64, rows: Vec<Placed<'_>>) -> Result<Stored> {
        let count = rows.len() as u64;
        // PostgreSQL touches no row twice in one statement.
        let mut seen = HashSet::with_capacity(rows.len());
        let fresh = rows.iter().filter(|placed| seen.insert(placed.row.mark.as_str()));
        let set = Set::of(COLUMNS, fresh, |placed| values_of(placed, batch));
        let written = self.fetch_set(set, args![account, batch], |v| {
            let columns = COLUMNS.join(", ");
            let values = COLUMNS.map(|name| format!("v.{name}")).join(", ");
            format!(
                "INSERT INTO status_rows (account, batch_id, due_at, updated_at, {columns}) \
                 SELECT $1, $2, v.created_at, v.created_at, {values} FROM {v} WHERE 1 = 1 {OR_AGAIN}"
            )
        });
        let mut stored = Stored::default();
        for row in written.await? {
            stored.fresh += u64::from(row.int("repeats")? == 0);
        }
        stored.repeated = count - stored.fresh;
        Ok(stored)
    }
}
