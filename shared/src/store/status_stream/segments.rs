//! Rows as they were fetched, until they are unpacked.

use std::collections::HashSet;

use jiff::Timestamp;

use crate::args;
use crate::store::Store;
use crate::store::db::{Result, Row, StoreError, Tx};
use crate::store::leases::Lease;
use crate::store::status_stream::rows::{NewRow, Placed, Stored};

/// Rows as they were fetched, waiting to be unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub id: i64,
    pub batch: i64,
    /// The place of its first row in the answer.
    pub first: usize,
    /// The poller's own form, without personal data.
    pub content: String,
    /// When its answer was asked for.
    pub asked_at: Timestamp,
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

    /// The segments of a stream that were fetched first, at most `limit` and all of one batch.
    pub async fn next_segments(&self, account: &str, stream: u32, limit: u32) -> Result<Vec<Segment>> {
        let sql = "SELECT s.id, s.batch_id, s.first_place, s.content, s.created_at, \
                   COALESCE(b.created_at, s.created_at) AS asked_at FROM status_segments s \
                   LEFT JOIN status_batches b ON b.id = s.batch_id \
                   WHERE s.account = $1 AND s.stream_id = $2 ORDER BY s.id LIMIT $3";
        let read = |row: &Row| {
            Ok(Segment {
                id: row.int("id")?,
                batch: row.int("batch_id")?,
                first: usize::try_from(row.int("first_place")?).map_err(|_| StoreError::BadRow("first_place"))?,
                content: row.text("content")?,
                asked_at: row.moment("asked_at")?,
                created_at: row.moment("created_at")?,
            })
        };
        let mut segments: Vec<Segment> = self.db.read_all(sql, args![account, stream, limit], read).await?;
        let batch = segments.first().map(|first| first.batch);
        segments.retain(|segment| Some(segment.batch) == batch);
        Ok(segments)
    }

    /// Puts the rows of segments of one batch in their place, in one commit. Done twice, the
    /// second changes nothing. `None` when the lease was lost.
    /// On an error the segments still wait.
    pub async fn unpack_segments(
        &self,
        lease: &Lease,
        account: &str,
        segments: &[(Segment, Vec<NewRow>)],
    ) -> Result<Option<Stored>> {
        let Some((first, _)) = segments.first() else { return Ok(Some(Stored::default())) };
        self.under_lease(lease, async |tx| {
            let rows = tx.take_segments(segments).await?;
            tx.store_status_rows(account, first.batch, rows).await
        })
        .await
    }
}

impl Tx {
    /// Ends segments; answers the rows of those that still waited.
    pub async fn take_segments<'a>(&mut self, segments: &'a [(Segment, Vec<NewRow>)]) -> Result<Vec<Placed<'a>>> {
        let ids: Vec<i64> = segments.iter().map(|(segment, _)| segment.id).collect();
        let sql = format!("DELETE FROM status_segments WHERE {} RETURNING id", self.dialect().among("id", 1));
        let waited: HashSet<i64> = self.read_all(sql, args![ids], |row| row.int("id")).await?;
        Ok(segments.iter().filter(|(segment, _)| waited.contains(&segment.id)).flat_map(placed).collect())
    }
}

fn placed((segment, rows): &(Segment, Vec<NewRow>)) -> impl Iterator<Item = Placed<'_>> {
    rows.iter().enumerate().map(|(at, row)| Placed::new(row, segment.first + at, segment.created_at))
}
