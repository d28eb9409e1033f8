//! A shop that wants to know what MeaSoft has of an order: it is looked up, as what is in doubt is.

use crate::args;
use crate::domain::Delivery;
use crate::store::Store;
use crate::store::audit::{Act, NewAudit, Who};
use crate::store::db::Result;
use crate::store::journal::{Entry, What};
use crate::story::Event;

impl Store {
    /// Has a delivery looked up at MeaSoft and brought in line. False when its requests are not
    /// those that were `seen`: it was asked for before, or something else is wanted by now.
    pub async fn ask_courier(&self, delivery: &Delivery, seen: i64, who: &Who) -> Result<bool> {
        let (integration, order, number) = (delivery.integration, delivery.crm_order, &delivery.number);
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        // Written first: whoever asks at the same moment waits here, and then counts one more.
        tx.suspect_deliveries(std::slice::from_ref(delivery), now).await?;
        let sql = "SELECT requested FROM order_intents WHERE integration_id = $1 AND crm_order_id = $2";
        let row = tx.fetch_one(sql, args![integration, order]).await?;
        if row.map(|row| row.int("requested")).transpose()? != Some(seen + 1) {
            return Ok(false);
        }
        let event = Event::CourierAsked { who: who.person() };
        tx.append_journal(&Entry::new(now, What::Operator, event).about(integration, number.as_str())).await?;
        let entry = NewAudit::new(who, Act::Asked, Some(integration), format!("order {number}"));
        tx.append_audit(&self.key, &entry, now).await?;
        tx.commit().await?;
        Ok(true)
    }
}
