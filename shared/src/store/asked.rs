//! A shop that wants to know now what MeaSoft has of an order.

use crate::args;
use crate::domain::{Delivery, DeliveryState};
use crate::message::{Command, Envelope};
use crate::store::Store;
use crate::store::audit::{Act, NewAudit, Who};
use crate::store::db::Result;
use crate::store::jobs::NewJob;
use crate::store::journal::{Entry, What};
use crate::story::Event;

/// Whether MeaSoft can be asked about a delivery; `is_served`: no request of its order waits. A
/// placed one that is about to be changed is not asked about meanwhile.
pub const fn is_askable(state: DeliveryState, is_served: bool) -> bool {
    state.needs_lookup() || (is_served && matches!(state, DeliveryState::Created | DeliveryState::InWork))
}

impl Store {
    /// Asks MeaSoft about a delivery. What is in doubt is looked up; of what is known to be there
    /// only the statuses are fetched, since a look-up may end in an edit that undoes what a
    /// dispatcher changed. False when there is nothing to ask, or its requests are not those that
    /// were `seen`: it was asked for before, or something else is wanted by now.
    pub async fn ask_courier(&self, delivery: &Delivery, seen: i64, who: &Who) -> Result<bool> {
        let (integration, order, number) = (delivery.integration, delivery.crm_order, &delivery.number);
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        // Whoever asks at the same moment waits at this row, and then counts one more.
        let sql = "INSERT INTO order_intents (integration_id, crm_order_id, number, requested, due_at, wanted_at, \
                   created_at, updated_at) VALUES ($1, $2, $3, 0, $4, $4, $4, $4) ON CONFLICT DO NOTHING";
        tx.exec(sql, args![integration, order, number, now]).await?;
        let lock = self.db.dialect().for_update();
        let sql = format!(
            "SELECT id, requested, served FROM order_intents WHERE integration_id = $1 AND crm_order_id = $2 {lock}"
        );
        let Some(row) = tx.fetch_one(sql, args![integration, order]).await? else { return Ok(false) };
        let (id, requested) = (row.int("id")?, row.int("requested")?);
        let is_served = requested == row.int("served")?;
        let row = tx.fetch_one("SELECT state FROM deliveries WHERE id = $1", args![delivery.id]).await?;
        let Some(state) = row.map(|row| row.word("state", DeliveryState::parse)).transpose()? else { return Ok(false) };
        if requested != seen || !is_askable(state, is_served) {
            return Ok(false);
        }
        match (state.needs_lookup(), is_served) {
            (true, true) => tx.suspect_deliveries(std::slice::from_ref(delivery), now).await?,
            // Whoever serves what waits looks it up by itself: it only comes sooner.
            (true, false) => {
                let sql = "UPDATE order_intents SET requested = requested + 1, updated_at = $2, \
                           due_at = CASE WHEN due_at > $2 THEN $2 ELSE due_at END WHERE id = $1";
                tx.run(sql, args![id, now]).await?;
            }
            (false, _) => {
                // It counts, and leaves nothing to serve.
                let sql = "UPDATE order_intents SET requested = requested + 1, served = served + 1, updated_at = $2 \
                           WHERE id = $1";
                tx.run(sql, args![id, now]).await?;
                let sync = Envelope::new(Command::SyncStatuses {}, Some(integration), now);
                tx.enqueue(&NewJob::of(&sync, now), now).await?;
            }
        }
        let event = Event::CourierAsked { who: who.person() };
        tx.append_journal(&Entry::new(now, What::Operator, event).about(integration, number.as_str())).await?;
        let entry = NewAudit::new(who, Act::Asked, Some(integration), format!("order {number}"));
        tx.append_audit(&self.key, &entry, now).await?;
        tx.commit().await?;
        Ok(true)
    }
}
