//! From the number that a trigger names to the orders that bear it.

use jiff::Timestamp;

use crate::args;
use crate::domain::{CrmOrderId, DeliveryId};
use crate::store::db::{Result, Tx};
use crate::store::intents::{Intent, RequestKind};

/// Requests by number on their way to one of the orders that bear it.
#[derive(Debug, Clone)]
pub struct HandOver<'a> {
    pub from: &'a Intent,
    pub order: CrmOrderId,
    /// The number it bears now.
    pub number: &'a str,
    /// Oldest first.
    pub wants: &'a [RequestKind],
    /// The declared value that the triggers named is this order's.
    pub with_declared: bool,
}

impl Tx {
    /// Remembers which delivery a number spoke of last: should the order's number be edited
    /// meanwhile, a trigger that still names the old one finds it.
    pub async fn note_delivery(&mut self, number: &Intent, delivery: DeliveryId) -> Result<()> {
        let sql = format!("UPDATE intents SET delivery_id = $3 WHERE id = $1 AND fence = $2 AND {}", number.its_own(4));
        self.run(sql, args![number.id, number.fence, delivery, number.integration, number.key()]).await
    }

    /// Hands requests by number over to an order that bears it. A send that is older than the
    /// order's withdrawal is none any more.
    pub async fn hand_over(&mut self, requests: &HandOver<'_>, now: Timestamp) -> Result<()> {
        let from = requests.from;
        let place = |want: RequestKind| requests.wants.iter().position(|w| *w == want).map_or(0, |at| at as i64 + 1);
        let candidates = (!from.candidates.is_empty())
            .then(|| serde_json::to_string(&from.candidates).expect("candidates serialise"));
        let sql = "INSERT INTO order_intents (integration_id, crm_order_id, number, requested, send_seq, update_seq, cancel_seq, \
                   candidates, declared, verify, due_at, rereads, wanted_at, generation, traceparent, created_at, updated_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $11, $11) \
                   ON CONFLICT (integration_id, crm_order_id) DO UPDATE SET number = excluded.number, \
                   send_seq = CASE WHEN excluded.send_seq > 0 AND COALESCE(order_intents.withdrawn_at, 0) <= $16 \
                   THEN order_intents.requested + excluded.send_seq ELSE order_intents.send_seq END, \
                   update_seq = CASE WHEN excluded.update_seq > 0 THEN order_intents.requested + excluded.update_seq \
                   ELSE order_intents.update_seq END, \
                   cancel_seq = CASE WHEN excluded.cancel_seq > 0 THEN order_intents.requested + excluded.cancel_seq \
                   ELSE order_intents.cancel_seq END, \
                   candidates = CASE WHEN excluded.cancel_seq > 0 THEN COALESCE(excluded.candidates, order_intents.candidates) \
                   ELSE order_intents.candidates END, \
                   declared = COALESCE(excluded.declared, order_intents.declared), \
                   verify = CASE WHEN excluded.verify = 1 THEN 1 ELSE order_intents.verify END, \
                   requested = order_intents.requested + excluded.requested, due_at = excluded.due_at, attempt = 0, \
                   rereads = excluded.rereads, spent_ms = 0, \
                   wanted_at = CASE WHEN order_intents.requested = order_intents.served THEN excluded.wanted_at \
                   ELSE order_intents.wanted_at END, generation = excluded.generation, \
                   traceparent = COALESCE(excluded.traceparent, order_intents.traceparent), updated_at = excluded.updated_at";
        let args = args![
            from.integration,
            requests.order,
            requests.number,
            // A doubt alone is a request too: it wants a look.
            requests.wants.len().max(1) as i64,
            place(RequestKind::Send),
            place(RequestKind::Update),
            place(RequestKind::Cancel),
            candidates,
            from.declared.filter(|_| requests.with_declared),
            from.verify,
            now,
            from.rereads,
            from.wanted_at,
            from.generation,
            from.traceparent.as_deref(),
            from.send_at.map_or(i64::MAX, Timestamp::as_millisecond)
        ];
        self.run(sql, args).await
    }

    /// A cancel by number that was served turned out to mean another order: nobody takes this
    /// one for cancelled on its account. A newer cancel stays.
    pub async fn forget_cancel(&mut self, intent: &Intent) -> Result<()> {
        let sql = "UPDATE order_intents SET cancel_seq = 0 WHERE id = $1 AND crm_order_id = $2 AND cancel_seq = $3";
        self.run(sql, args![intent.id, intent.order.map_or(0, |order| order.0), intent.cancel_seq]).await
    }
}
