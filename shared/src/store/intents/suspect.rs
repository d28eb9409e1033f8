//! Intents that are looked at once more, without anything new being wanted.

use jiff::Timestamp;

use crate::args;
use crate::domain::Delivery;
use crate::store::db::{Result, Tx};
use crate::store::intents::Intent;
use crate::store::sets::Set;

impl Tx {
    /// MeaSoft reports on orders that by the ledger were never placed: whoever takes one next
    /// looks at MeaSoft first. Nothing is wanted by this alone. Each delivery is named once.
    pub async fn suspect_deliveries(&mut self, deliveries: &[Delivery], now: Timestamp) -> Result<()> {
        self.look_again(deliveries, true, now).await
    }

    /// RetailCRM is to be told of a delivery that was taken over as it is. Nothing else is wanted.
    pub async fn ask_to_tell(&mut self, delivery: &Delivery, now: Timestamp) -> Result<()> {
        self.look_again(std::slice::from_ref(delivery), false, now).await
    }

    async fn look_again(&mut self, deliveries: &[Delivery], verify: bool, now: Timestamp) -> Result<()> {
        let columns = ["integration_id", "crm_order_id", "number"];
        let set = Set::of(columns, deliveries, |d| args![d.integration, d.crm_order, &d.number]);
        let verify = i64::from(verify);
        let suspected = self.exec_set(set, args![now], |v| {
            format!(
                "INSERT INTO order_intents (integration_id, crm_order_id, number, requested, verify, due_at, wanted_at, \
                 created_at, updated_at) SELECT v.integration_id, v.crm_order_id, v.number, 1, {verify}, $1, $1, $1, $1 \
                 FROM {v} WHERE 1 = 1 ON CONFLICT (integration_id, crm_order_id) DO UPDATE SET \
                 wanted_at = CASE WHEN order_intents.requested = order_intents.served THEN $1 ELSE order_intents.wanted_at END, \
                 requested = order_intents.requested + 1, verify = CASE WHEN {verify} = 1 THEN 1 ELSE order_intents.verify END, \
                 due_at = $1, attempt = 0, rereads = 0, spent_ms = 0, \
                 updated_at = $1"
            )
        });
        suspected.await.map(|_| ())
    }

    /// An intent that was served is looked at once more: RetailCRM is owed a word about it.
    /// Nothing is wanted by this alone.
    pub async fn wake_intent(&mut self, intent: &Intent, due_at: Timestamp, now: Timestamp) -> Result<()> {
        let sql = format!(
            "UPDATE {} SET wanted_at = CASE WHEN requested = served THEN $3 ELSE wanted_at END, \
             requested = requested + 1, due_at = CASE WHEN requested = served THEN $2 ELSE due_at END, attempt = 0, \
             rereads = 0, spent_ms = 0, updated_at = $3 WHERE id = $1 AND {}",
            intent.table(),
            intent.its_own(4)
        );
        self.run(sql, args![intent.id, due_at, now, intent.integration, intent.key()]).await
    }

    /// A holder that began a write and lost its lease asks the next one to look first, but
    /// not before what it sent can be there.
    pub async fn ask_to_verify(&mut self, intent: &Intent, due_at: Timestamp, now: Timestamp) -> Result<()> {
        let sql = format!(
            "UPDATE {} SET requested = requested + 1, verify = 1, due_at = $1, updated_at = $2 WHERE {}",
            intent.table(),
            intent.its_own(3)
        );
        self.run(sql, args![due_at, now, intent.integration, intent.key()]).await
    }
}
