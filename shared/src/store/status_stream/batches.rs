//! Answers of the stream: how far each got, and which may be acknowledged.

use jiff::Timestamp;

use crate::store::Store;
use crate::store::db::{Result, Row, StoreError, Value};
use crate::store::leases::Lease;
use crate::{args, closed_set};

closed_set! {
    /// How far an answer got.
    BatchState {
        /// Begun; the answer may be incomplete.
        Filling => "filling",
        /// Complete and stored.
        Sealed => "sealed",
        /// Acknowledged to MeaSoft.
        Committed => "committed",
        /// Nothing was in it, or it broke off.
        Void => "void",
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub id: i64,
    pub state: BatchState,
    /// Hash of everything the answer held, whatever the order of its rows.
    pub content: Option<String>,
}

impl Store {
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
        let read = |row: &Row| {
            Ok(Batch {
                id: row.int("id")?,
                state: row.word("state", BatchState::parse)?,
                content: row.opt_text("content")?,
            })
        };
        self.db.read_one(sql, args, read).await
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
        self.under_lease(lease, async |tx| {
            let sql =
                "UPDATE status_batches SET state = 'void' WHERE account = $1 AND stream_id = $2 AND state = 'filling'";
            tx.exec(sql, args![account, stream]).await?;
            let sql = "INSERT INTO status_batches (account, stream_id, state, created_at) \
                       VALUES ($1, $2, 'filling', $3) RETURNING id";
            let id = tx.read_one(sql, args![account, stream, asked_at], |row| row.int("id")).await?;
            id.ok_or(StoreError::BadRow("id"))
        })
        .await
    }

    /// Closes an answer that arrived whole. False when the lease was lost.
    pub async fn seal_batch(&self, lease: &Lease, batch: i64, rows: usize, content: &str) -> Result<bool> {
        let (state, now) = (if rows == 0 { BatchState::Void } else { BatchState::Sealed }, self.clock.now_ms());
        let sealed = self.under_lease(lease, async |tx| {
            let sql =
                "UPDATE status_batches SET state = $2, row_count = $3, content = $4, sealed_at = $5 WHERE id = $1";
            tx.run(sql, args![batch, state.as_str(), i64::try_from(rows).unwrap_or(i64::MAX), content, now]).await
        });
        Ok(sealed.await?.is_some())
    }

    pub async fn batch_committed(&self, batch: i64) -> Result<()> {
        let sql = "UPDATE status_batches SET state = 'committed', committed_at = $2 WHERE id = $1 AND state = 'sealed'";
        self.db.run(sql, args![batch, self.clock.now_ms()]).await
    }
}
