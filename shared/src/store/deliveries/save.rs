//! Deliveries written back.

use jiff::Timestamp;

use crate::args;
use crate::crypto::random_number;
use crate::domain::{Delivery, DeliveryState};
use crate::mutant::{Mutant, is_mutant};
use crate::store::db::{Result, StoreError, Tx, Value};
use crate::store::row_lease::drawn;
use crate::store::sets::Set;

/// The columns that are written back, all but the saved request (see
/// [`crate::store::Store::put_saved_request`]).
const WRITTEN: [&str; 20] = [
    "number",
    "site",
    "delivery_type",
    "orderno",
    "ordercode",
    "generation",
    "state",
    "status",
    "status_at",
    "status_seen_at",
    "cancelled_by_us",
    "sent_hash",
    "sending_hash",
    "sending",
    "sent_at",
    "price",
    "item_codes",
    "crm_written",
    "reject_reason",
    "requests",
];

/// What stands in [`WRITTEN`], in its order.
fn written(d: &Delivery) -> Vec<Value> {
    args![
        &d.number,
        &d.site,
        &d.delivery_type,
        d.orderno.as_str(),
        d.ordercode.as_deref(),
        d.generation,
        d.state.as_str(),
        d.status.as_deref(),
        d.status_at,
        d.status_seen_at,
        d.cancelled_by_us,
        d.sent_hash.as_deref(),
        d.sending_hash.as_deref(),
        d.sending.as_ref().map(json),
        d.sent_at,
        d.price,
        json(&d.item_codes),
        json(&d.crm_written),
        d.reject_reason.as_deref(),
        d.requests
    ]
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain data serialises")
}

fn is_finished(d: &Delivery) -> bool {
    d.state.is_ended() || d.state == DeliveryState::Cancelled
}

impl Tx {
    /// Writes a held delivery back, all but its saved request; with `release` it also lets go.
    /// Answers false when the lease was lost: then nothing was written.
    pub async fn save_delivery(&mut self, d: &Delivery, release: bool, now: Timestamp) -> Result<bool> {
        let held = if is_mutant(Mutant::FenceUnchecked) { "(fence > 0 OR fence = $2)" } else { "fence = $2" };
        let both = if is_mutant(Mutant::FencesCounted) { "OR" } else { "AND" };
        let mut args = args![d.id, d.fence, d.integration, d.crm_order, now.as_millisecond(), is_finished(d), release];
        let first = args.len() + 1;
        let columns = WRITTEN.iter().enumerate().map(|(at, name)| format!("{name} = ${}", first + at));
        let sql = format!(
            "UPDATE deliveries SET {}, updated_at = $5, \
             finished_at = CASE WHEN $6 = 1 THEN COALESCE(finished_at, $5) ELSE NULL END, \
             lease_until = CASE WHEN $7 = 1 THEN 0 ELSE lease_until END, \
             lease_owner = CASE WHEN $7 = 1 THEN NULL ELSE lease_owner END \
             WHERE id = $1 AND {held} AND (integration_id = $3 {both} crm_order_id = $4)",
            columns.collect::<Vec<_>>().join(", ")
        );
        args.extend(written(d));
        self.changed(sql, args).await
    }

    /// Writes deliveries back that this transaction has locked while nobody held them, all in
    /// one statement. Each gets a new fence: who held it before and is late writes nothing.
    ///
    /// # Errors
    /// [`StoreError::ChangedMeanwhile`] when one is not as it was read.
    pub async fn save_locked_deliveries(&mut self, deliveries: &[Delivery], now: Timestamp) -> Result<()> {
        let columns = ["id", "held", "integration_id", "crm_order_id", "finished"].into_iter().chain(WRITTEN);
        let set = Set::of(columns, deliveries, |d| {
            let mut values = args![d.id, d.fence, d.integration, d.crm_order, is_finished(d)];
            values.extend(written(d));
            values
        });
        let changed = self.exec_set(set, args![now.as_millisecond(), random_number()], |v| {
            format!(
                "UPDATE deliveries SET {}, updated_at = $1, \
                 finished_at = CASE WHEN v.finished = 1 THEN COALESCE(finished_at, $1) ELSE NULL END, \
                 lease_until = 0, lease_owner = NULL, {} FROM {v} \
                 WHERE deliveries.id = v.id AND deliveries.fence = v.held \
                 AND deliveries.integration_id = v.integration_id AND deliveries.crm_order_id = v.crm_order_id",
                WRITTEN.map(|name| format!("{name} = v.{name}")).join(", "),
                drawn("deliveries", 2)
            )
        });
        if changed.await? == deliveries.len() as u64 { Ok(()) } else { Err(StoreError::ChangedMeanwhile) }
    }
}
