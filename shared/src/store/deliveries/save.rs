//! Deliveries written back.

use std::collections::HashSet;

use jiff::Timestamp;

use crate::args;
use crate::crypto::random_number;
use crate::domain::{Delivery, DeliveryId, DeliveryState};
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

/// Deliveries as they are written back, with what each row is known by.
fn saved<'a>(deliveries: impl IntoIterator<Item = &'a Delivery>) -> Set {
    let columns = ["row_id", "held", "whose", "crm_order", "finished"].into_iter().chain(WRITTEN);
    Set::of(columns, deliveries, |d| {
        let mut values = args![d.id, d.fence, d.integration, d.crm_order, is_finished(d)];
        values.extend(written(d));
        values
    })
}

/// Writes a set back whose rows meet `held`, at the moment `$1`; and does what else it is told.
fn save(v: &str, held: &str, also: &str) -> String {
    let both = if is_mutant(Mutant::FencesCounted) { "OR" } else { "AND" };
    format!(
        "UPDATE deliveries SET {}, updated_at = $1, \
         finished_at = CASE WHEN v.finished = 1 THEN COALESCE(finished_at, $1) ELSE NULL END, {also} FROM {v} \
         WHERE id = v.row_id AND {held} AND (integration_id = v.whose {both} crm_order_id = v.crm_order) RETURNING id",
        WRITTEN.map(|name| format!("{name} = v.{name}")).join(", ")
    )
}

impl Tx {
    /// Writes a held delivery back, all but its saved request; with `release` it also lets go.
    /// Answers false when the lease was lost: then nothing was written.
    pub async fn save_delivery(&mut self, d: &Delivery, release: bool, now: Timestamp) -> Result<bool> {
        Ok(!self.save_deliveries([d], release, now).await?.is_empty())
    }

    /// The same for several, in one statement. Answers those whose lease was held still.
    pub async fn save_deliveries<'a>(
        &mut self,
        deliveries: impl IntoIterator<Item = &'a Delivery>,
        release: bool,
        now: Timestamp,
    ) -> Result<HashSet<DeliveryId>> {
        let held = if is_mutant(Mutant::FenceUnchecked) { "(fence > 0 OR fence = v.held)" } else { "fence = v.held" };
        let lease = "lease_until = CASE WHEN $2 = 1 THEN 0 ELSE lease_until END, \
                     lease_owner = CASE WHEN $2 = 1 THEN NULL ELSE lease_owner END";
        let rows = self.fetch_set(saved(deliveries), args![now, release], |v| save(v, held, lease)).await?;
        rows.iter().map(|row| Ok(DeliveryId(row.int("id")?))).collect()
    }

    /// Writes deliveries back that this transaction has locked while nobody held them, all in
    /// one statement. Each gets a new fence: who held it before and is late writes nothing.
    ///
    /// # Errors
    /// [`StoreError::ChangedMeanwhile`] when one is not as it was read.
    pub async fn save_locked_deliveries(&mut self, deliveries: &[Delivery], now: Timestamp) -> Result<()> {
        let also = format!("lease_until = 0, lease_owner = NULL, {}", drawn("deliveries", 2));
        let rows = self.fetch_set(saved(deliveries), args![now, random_number()], |v| save(v, "fence = v.held", &also));
        if rows.await?.len() == deliveries.len() { Ok(()) } else { Err(StoreError::ChangedMeanwhile) }
    }
}
