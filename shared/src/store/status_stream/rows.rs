//! Snapshots of orders, each until the ledger has taken it.

use std::collections::HashSet;

use jiff::Timestamp;

use crate::domain::{DeliveryId, IntegrationId};
use crate::store::db::{Result, Row, Tx, Value};
use crate::store::due::STATUS_ROWS;
use crate::store::leases::Lease;
use crate::store::many::{ids, places};
use crate::store::status_stream::NO_STREAM;
use crate::store::{Store, moment};
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

/// What storing a chunk came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stored {
    pub fresh: u64,
    pub repeated: u64,
}

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

/// Whose order a number is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub delivery: DeliveryId,
    pub integration: IntegrationId,
    pub orderno: String,
    pub ordercode: Option<String>,
}

/// Rows of one statement: parameters stay far below what either database takes.
const PER_STATEMENT: usize = 64;

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
        let now = self.clock.now();
        self.under_lease(lease, async |tx| tx.store_status_rows(account, batch, first, rows, now).await).await
    }

    /// Whose orders these numbers are, among some integrations. Only the live number of a
    /// delivery counts.
    pub async fn owners_of(&self, integrations: &[IntegrationId], ordernos: &[&str]) -> Result<Vec<Owner>> {
        let mut owners = Vec::new();
        if integrations.is_empty() {
            return Ok(owners);
        }
        let among = ids(integrations);
        for chunk in ordernos.chunks(1000) {
            let sql = format!(
                "SELECT id, integration_id, orderno, ordercode FROM deliveries WHERE orderno IN ({}) \
                 AND integration_id IN ({among})",
                places(1, chunk.len())
            );
            let read = |row: &Row| {
                Ok(Owner {
                    delivery: DeliveryId(row.int("id")?),
                    integration: IntegrationId(row.int("integration_id")?),
                    orderno: row.text("orderno")?,
                    ordercode: row.opt_text("ordercode")?,
                })
            };
            let found: Vec<Owner> =
                self.db.read_all(sql, chunk.iter().map(|n| Value::from(*n)).collect(), read).await?;
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
        for chunk in marks.chunks(1000) {
            let args = args![account].into_iter().chain(chunk.iter().map(|mark| Value::from(*mark))).collect();
            let marks = places(2, chunk.len());
            let sql = format!("SELECT mark FROM status_rows WHERE account = $1 AND mark IN ({marks})");
            for row in self.db.fetch(sql, args).await? {
                known.insert(row.text("mark")?);
            }
        }
        Ok(known)
    }

    /// Deliveries of an account with rows that are due, at most `limit`, in the order of
    /// their arrival.
    pub async fn deliveries_with_rows(&self, account: &str, limit: u32) -> Result<Vec<DeliveryId>> {
        let sql = format!(
            "SELECT delivery_id, MIN(seq) AS seq FROM status_rows WHERE account = $1 AND state = 'pending' \
             AND {} GROUP BY delivery_id ORDER BY seq LIMIT $3",
            self.due("due_at", 2)
        );
        self.db
            .read_all(sql, args![account, self.clock.now_ms(), limit], |row| Ok(DeliveryId(row.int("delivery_id")?)))
            .await
    }

    /// All waiting rows of some deliveries, due or not, as they were read: an older snapshot
    /// is never overtaken.
    pub async fn pending_rows(&self, account: &str, deliveries: &[DeliveryId]) -> Result<Vec<PendingRow>> {
        let of = ids(deliveries);
        if of.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT r.id, r.delivery_id, r.facts, r.attempt, r.created_at, b.created_at AS asked_at \
             FROM status_rows r LEFT JOIN status_batches b ON b.id = r.batch_id WHERE r.account = $1 \
             AND r.state = 'pending' AND r.delivery_id IN ({of}) ORDER BY r.seq"
        );
        self.db.read_all(sql, args![account], read_pending).await
    }

    /// Puts the rows of a delivery off.
    pub async fn postpone_rows(&self, account: &str, deliveries: &[DeliveryId], due_at: Timestamp) -> Result<()> {
        if deliveries.is_empty() {
            return Ok(());
        }
        let condition = format!("account = $2 AND delivery_id IN ({})", ids(deliveries));
        self.put_off(STATUS_ROWS, &condition, due_at, args![account]).await
    }

    /// When the next waiting row of an account is due.
    pub async fn next_row_due(&self, account: &str) -> Result<Option<Timestamp>> {
        self.next_due(STATUS_ROWS, "account", account).await
    }

    /// Accounts with rows that are due.
    pub async fn accounts_with_rows(&self) -> Result<Vec<String>> {
        self.whose_are_due(STATUS_ROWS, "account", |row| row.text("account")).await
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

fn values_of(row: &NewRow, seq: i64) -> Vec<Value> {
    args![
        &row.order_key,
        &row.mark,
        row.orderno.as_deref(),
        row.ordercode.as_deref(),
        row.delivery.map(|(delivery, _)| delivery),
        row.delivery.map(|(_, integration)| integration),
        row.state.as_str(),
        row.why.as_deref(),
        row.facts.as_deref(),
        seq
    ]
}

const INTO: &str = "INSERT INTO status_rows (account, batch_id, order_key, mark, orderno, ordercode, delivery_id, \
                    integration_id, state, why, facts, seq, due_at, created_at, updated_at) VALUES";
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
    /// As [`Store::store_status_rows`], within a transaction.
    pub async fn store_status_rows(
        &mut self,
        account: &str,
        batch: i64,
        first: usize,
        rows: &[NewRow],
        now: Timestamp,
    ) -> Result<Stored> {
        let mut stored = Stored::default();
        let mut seen = HashSet::with_capacity(rows.len());
        for (part, chunk) in rows.chunks(PER_STATEMENT).enumerate() {
            // PostgreSQL touches no row twice in one statement.
            let fresh: Vec<(usize, &NewRow)> =
                chunk.iter().enumerate().filter(|(_, row)| seen.insert(row.mark.as_str())).collect();
            stored.repeated += (chunk.len() - fresh.len()) as u64;
            let mut args = args![account, batch, now];
            let mut values = Vec::with_capacity(fresh.len());
            for (at, row) in fresh {
                values.push(format!("($1, $2, {}, $3, $3, $3)", places(args.len() + 1, 10)));
                args.extend(values_of(row, in_order(batch, first + part * PER_STATEMENT + at)));
            }
            if values.is_empty() {
                continue;
            }
            for row in self.fetch(format!("{INTO} {} {OR_AGAIN}", values.join(", ")), args).await? {
                if row.int("repeats")? == 0 {
                    stored.fresh += 1;
                } else {
                    stored.repeated += 1;
                }
            }
        }
        Ok(stored)
    }

    pub async fn settle_status_row(
        &mut self,
        id: i64,
        state: RowState,
        why: Option<&str>,
        now: Timestamp,
    ) -> Result<()> {
        let sql = "UPDATE status_rows SET state = $2, why = $3, updated_at = $4 WHERE id = $1";
        self.run(sql, args![id, state.as_str(), why, now]).await
    }
}

fn read_pending(row: &Row) -> Result<PendingRow> {
    Ok(PendingRow {
        id: row.int("id")?,
        delivery: DeliveryId(row.int("delivery_id")?),
        facts: row.opt_text("facts")?.unwrap_or_default(),
        attempt: row.small("attempt")?,
        asked_at: moment(row.opt_int("asked_at")?.map_or_else(|| row.int("created_at"), Ok)?),
        created_at: row.moment("created_at")?,
    })
}
