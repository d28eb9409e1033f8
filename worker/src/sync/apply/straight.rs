//! Takes rows over in the commit that unpacks them: they are stored as what became of them, instead
//! of being stored, found, read and changed again. Only where that is all there is to it: the
//! delivery is placed, nobody holds it, and no other row of it waits. What is left waits as rows do.

use std::collections::HashSet;

use shared::domain::{Delivery, DeliveryId, DeliveryState as S};
use shared::store;
use shared::store::again::at_once;
use shared::store::leases::Lease;
use shared::store::status_stream::{NewRow, PendingRow, Placed, RowState, Segment, Stored};

use crate::sync::apply::plan::{Plan, Planner, Told};
use crate::sync::apply::write::write;
use crate::sync::apply::{Cabinet, by_delivery};

impl Cabinet<'_> {
    /// Puts the rows of segments of one batch in their place, and takes those over that their
    /// deliveries can have now, in one commit. `None` when the lease was lost.
    ///
    /// # Errors
    /// The database's; then the segments still wait.
    pub(in crate::sync) async fn unpack(
        &self,
        lease: &Lease,
        segments: &[(Segment, Vec<NewRow>)],
    ) -> store::Result<Option<Stored>> {
        match at_once(|| self.straight(lease, segments)).await {
            // The database refuses one of the deliveries: each row waits for its own.
            Err(error) if !error.is_the_databases() => {
                tracing::debug!(%error, "statuses are stored first and taken over afterwards");
                self.tools.store.unpack_segments(lease, self.account, segments).await
            }
            done => done,
        }
    }

    async fn straight(&self, lease: &Lease, segments: &[(Segment, Vec<NewRow>)]) -> store::Result<Option<Stored>> {
        let Some((first, _)) = segments.first() else { return Ok(Some(Stored::default())) };
        let now = self.tools.clock.now();
        let mut tx = self.tools.store.db.begin().await?;
        if !tx.holds_lease(lease).await? {
            return Ok(None);
        }
        let mut rows = tx.take_segments(segments).await?;
        let mut plan =
            if tx.is_my_turn(&self.turn).await? { self.plan(&mut tx, first, &rows).await? } else { Plan::default() };
        for end in std::mem::take(&mut plan.ends) {
            let row = &mut rows[usize::try_from(end.row).expect("a place in the list")];
            (row.state, row.why) = (end.state, end.why);
        }
        let stored = tx.store_status_rows(self.account, first.batch, rows).await?;
        write(&mut tx, &plan, now).await?;
        tx.commit().await?;
        self.count(&plan);
        Ok(Some(stored))
    }

    /// What taking over comes to; a row's number in it is its place in the list.
    async fn plan(&self, tx: &mut store::Tx, of: &Segment, rows: &[Placed<'_>]) -> store::Result<Plan> {
        let now = self.tools.clock.now();
        let new: Vec<&Placed<'_>> = rows.iter().filter(|row| row.state == RowState::Pending).collect();
        let with_more = tx.deliveries_with_more(self.account, &new).await?;
        let mut waiting = by_delivery(new_rows(rows, of, &with_more));
        let deliveries: Vec<DeliveryId> = waiting.keys().copied().collect();
        let free = tx.lock_free_deliveries(&deliveries, now).await?;
        let noted = tx.noted_tracking(&deliveries).await?;
        let mut planner = Planner::new(&self.integrations, Told::of(noted), now);
        for d in free.into_iter().filter(is_placed) {
            let rows = waiting.remove(&d.id).unwrap_or_default();
            planner.take(d, &rows);
        }
        // A row that its delivery does not take after all waits as it is: its number is none of the
        // database's.
        Ok(Plan { put_off: Vec::new(), suspects: Vec::new(), suspicious: Vec::new(), ..planner.done() })
    }
}

/// A delivery that need not be settled before its rows can be taken.
const fn is_placed(d: &Delivery) -> bool {
    !matches!(d.state, S::Planned | S::Rejected | S::Sending | S::Unknown)
}

fn new_rows(rows: &[Placed<'_>], of: &Segment, with_more: &HashSet<DeliveryId>) -> Vec<PendingRow> {
    let waits = |(at, row): (usize, &Placed<'_>)| {
        let (delivery, _) = row.row.delivery.filter(|(delivery, _)| !with_more.contains(delivery))?;
        (row.state == RowState::Pending).then(|| PendingRow {
            id: i64::try_from(at).expect("a place in a list"),
            delivery,
            facts: row.row.facts.clone().unwrap_or_default(),
            attempt: 0,
            asked_at: of.asked_at,
            created_at: row.read_at,
        })
    };
    rows.iter().enumerate().filter_map(waits).collect()
}
