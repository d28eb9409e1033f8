//! Rows as they were fetched, until they are unpacked.

use jiff::Timestamp;

use crate::args;
use crate::store::Store;
use crate::store::db::{Result, StoreError};
use crate::store::leases::Lease;
use crate::store::status_stream::rows::{NewRow, Stored};

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

impl Store {
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
        let now = self.clock.now_ms();
        let stored = self.under_lease(lease, async |tx| {
            for (first, content) in segments {
                let first = i64::try_from(first).unwrap_or(i64::MAX);
                let sql = "INSERT INTO status_segments (account, stream_id, batch_id, first_place, content, created_at) \
                           VALUES ($1, $2, $3, $4, $5, $6)";
                tx.exec(sql, args![account, stream, batch, first, content, now]).await?;
            }
            Ok(())
        });
        Ok(stored.await?.is_some())
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
            created_at: row.moment("created_at")?,
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
        self.under_lease(lease, async |tx| {
            if tx.exec("DELETE FROM status_segments WHERE id = $1", args![segment.id]).await? == 0 {
                return Ok(Stored::default());
            }
            tx.store_status_rows(account, segment.batch, segment.first, rows, segment.created_at).await
        })
        .await
    }
}
