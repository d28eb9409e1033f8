//! What MeaSoft's status stream brought, kept before it is acknowledged
//! (measoft-api.md §11, §23.4). A batch is one answer; only a sealed one may be
//! acknowledged. A row is one order's snapshot; it waits until the ledger has taken it.

use std::collections::HashSet;

use jiff::Timestamp;

use crate::args;
use crate::domain::{DeliveryId, IntegrationId};
use crate::store::db::{Result, Row, StoreError, Tx, Value};
use crate::store::leases::Lease;
use crate::store::{Store, moment};

/// The stream number that rows found here are kept under; real ones begin at 100.
pub const NO_STREAM: u32 = 0;

/// How far an answer got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchState {
    /// Begun; the answer may be incomplete.
    Filling,
    /// Complete and stored.
    Sealed,
    /// Acknowledged to MeaSoft.
    Committed,
    /// Nothing was in it, or it broke off.
    Void,
}

impl BatchState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Filling => "filling",
            Self::Sealed => "sealed",
            Self::Committed => "committed",
            Self::Void => "void",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Filling, Self::Sealed, Self::Committed, Self::Void].into_iter().find(|s| s.as_str() == text)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub id: i64,
    pub state: BatchState,
    /// Hash of everything the answer held, whatever the order of its rows.
    pub content: Option<String>,
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowState {
    /// Of a delivery of ours, not taken over yet.
    Pending,
    Applied,
    /// Of an order that is not ours: recorded and skipped.
    Foreign,
    /// Set aside: it cannot be read, or its delivery never took it.
    Parked,
}

impl RowState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Applied => "applied",
            Self::Foreign => "foreign",
            Self::Parked => "parked",
        }
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

/// Rows as they were fetched, waiting to be unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub id: i64,
    pub batch: i64,
    /// The place of its first row in the answer.
    pub first: usize,
    /// The poller's own form, without personal data.
    pub content: String,
    /// When it was fetched.
    pub created_at: Timestamp,
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
        let row = self
            .db
            .fetch_one(
                "SELECT COUNT(*) AS n FROM status_rows r JOIN status_batches b ON b.id = r.batch_id \
                 WHERE b.stream_id = $3 AND r.integration_id = $1 AND r.created_at >= $2 \
                 AND COALESCE(r.facts, '') NOT LIKE '%\"NEW\"%'",
                args![integration, since.as_millisecond(), NO_STREAM],
            )
            .await?;
        row.map_or(Ok(0), |row| row.int("n"))
    }

    /// The newest answer of a stream that was begun, if any.
    pub async fn newest_batch(&self, account: &str, stream: u32) -> Result<Option<Batch>> {
        self.one_batch("account = $1 AND stream_id = $2", args![account, stream]).await
    }

    /// The newest acknowledged answer of a stream.
    pub async fn last_committed_batch(&self, account: &str, stream: u32) -> Result<Option<Batch>> {
        self.one_batch("account = $1 AND stream_id = $2 AND state = 'committed'", args![account, stream]).await
    }

    async fn one_batch(&self, condition: &str, args: Vec<Value>) -> Result<Option<Batch>> {
        let sql = format!("SELECT id, state, content FROM status_batches WHERE {condition} ORDER BY id DESC LIMIT 1");
        let Some(row) = self.db.fetch_one(sql, args).await? else { return Ok(None) };
        Ok(Some(Batch {
            id: row.int("id")?,
            state: BatchState::parse(&row.text("state")?).ok_or(StoreError::BadRow("state"))?,
            content: row.opt_text("content")?,
        }))
    }

    /// Notes that an answer is about to be fetched; from then on an older one must not be
    /// acknowledged any more. `None` when the lease was lost.
    pub async fn begin_batch(
        &self,
        lease: &Lease,
        account: &str,
        stream: u32,
        asked_at: Timestamp,
    ) -> Result<Option<i64>> {
        let mut tx = self.db.begin().await?;
        if !tx.holds_lease(lease).await? {
            return Ok(None);
        }
        tx.exec(
            "UPDATE status_batches SET state = 'void' WHERE account = $1 AND stream_id = $2 AND state = 'filling'",
            args![account, stream],
        )
        .await?;
        let row = tx
            .fetch_one(
                "INSERT INTO status_batches (account, stream_id, state, created_at) VALUES ($1, $2, 'filling', $3) \
                 RETURNING id",
                args![account, stream, asked_at.as_millisecond()],
            )
            .await?
            .ok_or(StoreError::BadRow("id"))?;
        let id = row.int("id")?;
        tx.commit().await?;
        Ok(Some(id))
    }

    /// Stores rows of a batch as they were fetched, in one commit: each segment with the
    /// place of its first row in the answer. False when the lease was lost.
    /// On an error nothing is stored.
    pub async fn store_segments(
        &self,
        lease: &Lease,
        account: &str,
        stream: u32,
        batch: i64,
        segments: Vec<(usize, String)>,
    ) -> Result<bool> {
        if segments.is_empty() {
            return Ok(true);
        }
        let mut tx = self.db.begin().await?;
        if !tx.holds_lease(lease).await? {
            return Ok(false);
        }
        let now = self.clock.now_ms();
        for (first, content) in segments {
            let first = i64::try_from(first).unwrap_or(i64::MAX);
            tx.exec(
                "INSERT INTO status_segments (account, stream_id, batch_id, first_place, content, created_at) \
                 VALUES ($1, $2, $3, $4, $5, $6)",
                args![account, stream, batch, first, content, now],
            )
            .await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// The segment of a stream that was fetched first.
    pub async fn next_segment(&self, account: &str, stream: u32) -> Result<Option<Segment>> {
        let sql = "SELECT id, batch_id, first_place, content, created_at FROM status_segments WHERE account = $1 \
                   AND stream_id = $2 ORDER BY id LIMIT 1";
        let Some(row) = self.db.fetch_one(sql, args![account, stream]).await? else { return Ok(None) };
        Ok(Some(Segment {
            id: row.int("id")?,
            batch: row.int("batch_id")?,
            first: usize::try_from(row.int("first_place")?).map_err(|_| StoreError::BadRow("first_place"))?,
            content: row.text("content")?,
            created_at: moment(row.int("created_at")?),
        }))
    }

    /// Puts the rows of a segment in its place, in one commit. Done twice, the second changes
    /// nothing. `None` when the lease was lost.
    /// On an error the segment still waits.
    pub async fn unpack_segment(
        &self,
        lease: &Lease,
        account: &str,
        segment: &Segment,
        rows: &[NewRow],
    ) -> Result<Option<Stored>> {
        let mut tx = self.db.begin().await?;
        if !tx.holds_lease(lease).await? {
            return Ok(None);
        }
        if tx.exec("DELETE FROM status_segments WHERE id = $1", args![segment.id]).await? == 0 {
            return Ok(Some(Stored::default()));
        }
        let stored = tx.store_status_rows(account, segment.batch, segment.first, rows, segment.created_at).await?;
        tx.commit().await?;
        Ok(Some(stored))
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
        let mut tx = self.db.begin().await?;
        if !tx.holds_lease(lease).await? {
            return Ok(None);
        }
        let stored = tx.store_status_rows(account, batch, first, rows, self.clock.now()).await?;
        tx.commit().await?;
        Ok(Some(stored))
    }

    /// Closes an answer that arrived whole. False when the lease was lost.
    pub async fn seal_batch(&self, lease: &Lease, batch: i64, rows: usize, content: &str) -> Result<bool> {
        let (state, now) = (if rows == 0 { BatchState::Void } else { BatchState::Sealed }, self.clock.now_ms());
        let mut tx = self.db.begin().await?;
        if !tx.holds_lease(lease).await? {
            return Ok(false);
        }
        tx.exec(
            "UPDATE status_batches SET state = $2, row_count = $3, content = $4, sealed_at = $5 WHERE id = $1",
            args![batch, state.as_str(), i64::try_from(rows).unwrap_or(i64::MAX), content, now],
        )
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    pub async fn batch_committed(&self, batch: i64) -> Result<()> {
        self.db
            .exec(
                "UPDATE status_batches SET state = 'committed', committed_at = $2 WHERE id = $1 AND state = 'sealed'",
                args![batch, self.clock.now_ms()],
            )
            .await
            .map(|_| ())
    }

    /// Whose orders these numbers are, among some integrations. Only the live number of a
    /// delivery counts.
    pub async fn owners_of(&self, integrations: &[IntegrationId], ordernos: &[&str]) -> Result<Vec<Owner>> {
        let ids = list(integrations.iter().map(|id| id.0));
        let mut owners = Vec::new();
        if ids.is_empty() {
            return Ok(owners);
        }
        for chunk in ordernos.chunks(1000) {
            let places: Vec<String> = (1..=chunk.len()).map(|n| format!("${n}")).collect();
            let sql = format!(
                "SELECT id, integration_id, orderno, ordercode FROM deliveries WHERE orderno IN ({}) \
                 AND integration_id IN ({ids})",
                places.join(",")
            );
            for row in self.db.fetch(sql, chunk.iter().map(|n| Value::from(*n)).collect()).await? {
                owners.push(Owner {
                    delivery: DeliveryId(row.int("id")?),
                    integration: IntegrationId(row.int("integration_id")?),
                    orderno: row.text("orderno")?,
                    ordercode: row.opt_text("ordercode")?,
                });
            }
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
            let places: Vec<String> = (2..=chunk.len() + 1).map(|n| format!("${n}")).collect();
            let mut args = args![account];
            args.extend(chunk.iter().map(|mark| Value::from(*mark)));
            let sql = format!("SELECT mark FROM status_rows WHERE account = $1 AND mark IN ({})", places.join(","));
            for row in self.db.fetch(sql, args).await? {
                known.insert(row.text("mark")?);
            }
        }
        Ok(known)
    }

    /// Deliveries of an account with rows that are due, at most `limit`, in the order of
    /// their arrival.
    pub async fn deliveries_with_rows(&self, account: &str, limit: u32) -> Result<Vec<DeliveryId>> {
        let rows = self
            .db
            .fetch(
                format!(
                    "SELECT delivery_id, MIN(seq) AS seq FROM status_rows WHERE account = $1 AND state = 'pending' \
                     AND {} GROUP BY delivery_id ORDER BY seq LIMIT $3",
                    self.due("due_at", 2)
                ),
                args![account, self.clock.now_ms(), limit],
            )
            .await?;
        rows.iter().map(|row| Ok(DeliveryId(row.int("delivery_id")?))).collect()
    }

    /// All waiting rows of some deliveries, due or not, as they were read: an older snapshot
    /// is never overtaken.
    pub async fn pending_rows(&self, account: &str, deliveries: &[DeliveryId]) -> Result<Vec<PendingRow>> {
        let ids = list(deliveries.iter().map(|id| id.0));
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self
            .db
            .fetch(
                format!(
                    "SELECT r.id, r.delivery_id, r.facts, r.attempt, r.created_at, b.created_at AS asked_at \
                     FROM status_rows r LEFT JOIN status_batches b ON b.id = r.batch_id WHERE r.account = $1 \
                     AND r.state = 'pending' AND r.delivery_id IN ({ids}) ORDER BY r.seq"
                ),
                args![account],
            )
            .await?;
        rows.iter().map(read_pending).collect()
    }

    /// Puts the rows of a delivery off.
    pub async fn postpone_rows(&self, account: &str, deliveries: &[DeliveryId], due_at: Timestamp) -> Result<()> {
        let ids = list(deliveries.iter().map(|id| id.0));
        if ids.is_empty() {
            return Ok(());
        }
        self.db
            .exec(
                format!(
                    "UPDATE status_rows SET due_at = $2, attempt = attempt + 1 WHERE {}",
                    self.db.dialect().in_order(
                        "status_rows",
                        &format!("account = $1 AND state = 'pending' AND delivery_id IN ({ids})")
                    )
                ),
                args![account, due_at.as_millisecond()],
            )
            .await
            .map(|_| ())
    }

    /// When the next waiting row of an account is due.
    pub async fn next_row_due(&self, account: &str) -> Result<Option<Timestamp>> {
        let row = self
            .db
            .fetch_one(
                format!(
                    "SELECT MIN({}) AS due FROM status_rows WHERE account = $1 AND state = 'pending'",
                    self.due_when("due_at", 2)
                ),
                args![account, self.clock.now_ms()],
            )
            .await?;
        Ok(row.map(|row| row.opt_int("due")).transpose()?.flatten().map(moment))
    }

    /// Accounts with rows that are due.
    pub async fn accounts_with_rows(&self) -> Result<Vec<String>> {
        let rows = self
            .db
            .fetch(
                format!(
                    "SELECT DISTINCT account FROM status_rows WHERE state = 'pending' AND {}",
                    self.due("due_at", 1)
                ),
                args![self.clock.now_ms()],
            )
            .await?;
        rows.iter().map(|row| row.text("account")).collect()
    }

    /// Rows by what became of them, for tests and diagnosis.
    pub async fn count_status_rows(&self, state: RowState) -> Result<i64> {
        let row =
            self.db.fetch_one("SELECT COUNT(*) AS n FROM status_rows WHERE state = $1", args![state.as_str()]).await?;
        row.ok_or(StoreError::BadRow("n"))?.int("n")
    }

    /// Forgets rows and answers: foreign rows last touched before `foreign`, the others
    /// before `others`. Answers how many, at most `limit` of each.
    pub async fn forget_status_rows(&self, foreign: Timestamp, others: Timestamp, limit: u32) -> Result<u64> {
        let mut gone = self
            .db
            .exec(
                "DELETE FROM status_rows WHERE id IN (SELECT id FROM status_rows WHERE (updated_at < $1 \
                 AND state = 'foreign') OR updated_at < $2 ORDER BY updated_at LIMIT $3)",
                args![foreign.as_millisecond(), others.as_millisecond(), limit],
            )
            .await?;
        // Of a stream that nobody has polled since.
        gone += self
            .db
            .exec(
                "DELETE FROM status_segments WHERE id IN (SELECT id FROM status_segments WHERE created_at < $1 \
                 ORDER BY id LIMIT $2)",
                args![others.as_millisecond(), limit],
            )
            .await?;
        // The newest batch of a stream says what may be acknowledged: it stays.
        gone += self
            .db
            .exec(
                "DELETE FROM status_batches WHERE id IN (SELECT b.id FROM status_batches b WHERE b.created_at < $1 \
                 AND EXISTS (SELECT 1 FROM status_batches n WHERE n.account = b.account AND n.stream_id = b.stream_id \
                 AND n.id > b.id AND n.state = 'committed') LIMIT $2)",
                args![foreign.as_millisecond(), limit],
            )
            .await?;
        Ok(gone)
    }
}

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
        let now = now.as_millisecond();
        let mut stored = Stored::default();
        let mut seen = HashSet::with_capacity(rows.len());
        for (part, chunk) in rows.chunks(PER_STATEMENT).enumerate() {
            let mut args = args![account, batch, now];
            let mut places = Vec::with_capacity(chunk.len());
            for (at, row) in chunk.iter().enumerate() {
                // PostgreSQL touches no row twice in one statement.
                if !seen.insert(row.mark.as_str()) {
                    stored.repeated += 1;
                    continue;
                }
                // Batches come one after another, so this orders rows over all of them.
                let place = first + part * PER_STATEMENT + at;
                let seq = batch.saturating_mul(10_000_000) + i64::try_from(place).unwrap_or(i64::MAX);
                let n = args.len();
                args.extend(args![
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
                ]);
                let mine: Vec<String> = (n + 1..=n + 10).map(|n| format!("${n}")).collect();
                places.push(format!("($1, $2, {}, $3, $3, $3)", mine.join(", ")));
            }
            if places.is_empty() {
                continue;
            }
            let sql = format!(
                "INSERT INTO status_rows (account, batch_id, order_key, mark, orderno, ordercode, delivery_id, \
                 integration_id, state, why, facts, seq, due_at, created_at, updated_at) VALUES {} \
                 ON CONFLICT (account, mark) DO UPDATE SET repeats = status_rows.repeats + 1, \
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
                 RETURNING repeats",
                places.join(", ")
            );
            for row in self.fetch(sql, args).await? {
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
        self.exec(
            "UPDATE status_rows SET state = $2, why = $3, updated_at = $4 WHERE id = $1",
            args![id, state.as_str(), why, now.as_millisecond()],
        )
        .await
        .map(|_| ())
    }
}

/// Numbers as the inside of an `IN (…)`.
pub(crate) fn list(ids: impl Iterator<Item = i64>) -> String {
    ids.map(|id| id.to_string()).collect::<Vec<_>>().join(",")
}

fn read_pending(row: &Row) -> Result<PendingRow> {
    Ok(PendingRow {
        id: row.int("id")?,
        delivery: DeliveryId(row.int("delivery_id")?),
        facts: row.opt_text("facts")?.unwrap_or_default(),
        attempt: u32::try_from(row.int("attempt")?).unwrap_or(u32::MAX),
        asked_at: moment(row.opt_int("asked_at")?.map_or_else(|| row.int("created_at"), Ok)?),
        created_at: moment(row.int("created_at")?),
    })
}
