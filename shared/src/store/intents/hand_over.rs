//! From the number that a trigger names to the orders that bear it.

use jiff::Timestamp;

use crate::args;
use crate::domain::{CrmOrderId, DeliveryId};
use crate::store::db::{Result, Tx};
use crate::store::intents::record::rounds;
use crate::store::intents::{Intent, RequestKind, its_own};
use crate::store::sets::Set;

/// What is written of an order's intent when requests come to it.
const COLUMNS: [&str; 14] = [
    "integration_id",
    "crm_order_id",
    "number",
    "requested",
    "send_seq",
    "update_seq",
    "cancel_seq",
    "candidates",
    "declared",
    "verify",
    "rereads",
    "wanted_at",
    "generation",
    "traceparent",
];

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

impl HandOver<'_> {
    /// Where a request stands among those that are handed over; 0: it is not.
    fn place(&self, want: RequestKind) -> i64 {
        self.wants.iter().position(|w| *w == want).map_or(0, |at| at as i64 + 1)
    }
}

impl Tx {
    /// Remembers which deliveries some numbers spoke of last: should an order's number be edited
    /// meanwhile, a trigger that still names the old one finds it.
    pub async fn note_deliveries(&mut self, noted: &[(&Intent, DeliveryId)]) -> Result<()> {
        let set = Set::of(["row_id", "held", "whose", "known_by", "delivery"], noted, |(number, delivery)| {
            args![number.id, number.fence, number.integration, number.key(), *delivery]
        });
        let own = its_own(false, "v.whose", "v.known_by");
        let noted = self.exec_set(set, vec![], |v| {
            format!(
                "UPDATE intents SET delivery_id = v.delivery FROM {v} WHERE id = v.row_id AND fence = v.held AND {own}"
            )
        });
        noted.await.map(|_| ())
    }

    /// Hands requests by number over to orders that bear it, those of one order in their sequence.
    /// A send that is older than the order's withdrawal is none any more.
    pub async fn hand_over(&mut self, requests: &[HandOver<'_>], now: Timestamp) -> Result<()> {
        for round in rounds(requests.iter().collect(), |requests| requests.order) {
            self.hand_over_once(&round, now).await?;
        }
        Ok(())
    }

    /// The same of requests that are each of another order.
    async fn hand_over_once(&mut self, requests: &[&HandOver<'_>], now: Timestamp) -> Result<()> {
        let set = Set::of(COLUMNS.into_iter().chain(["sent_at"]), requests, |requests| {
            let from = requests.from;
            let candidates = (!from.candidates.is_empty())
                .then(|| serde_json::to_string(&from.candidates).expect("candidates serialise"));
            args![
                from.integration,
                requests.order,
                requests.number,
                // A doubt alone is a request too: it wants a look.
                requests.wants.len().max(1) as i64,
                requests.place(RequestKind::Send),
                requests.place(RequestKind::Update),
                requests.place(RequestKind::Cancel),
                candidates,
                from.declared.filter(|_| requests.with_declared),
                from.verify,
                from.rereads,
                from.wanted_at,
                from.generation,
                from.traceparent.as_deref(),
                from.send_at.map_or(i64::MAX, Timestamp::as_millisecond)
            ]
        });
        let handed = self.exec_set(set, args![now], |v| {
            let raised = |seq: &str| {
                format!(
                    "{seq} = CASE WHEN excluded.{seq} > 0 THEN order_intents.requested + excluded.{seq} \
                     ELSE order_intents.{seq} END"
                )
            };
            format!(
                "INSERT INTO order_intents ({}, due_at, created_at, updated_at) SELECT {}, $1, $1, $1 FROM {v} WHERE 1 = 1 \
                 ON CONFLICT (integration_id, crm_order_id) DO UPDATE SET number = excluded.number, \
                 send_seq = CASE WHEN excluded.send_seq > 0 AND COALESCE(order_intents.withdrawn_at, 0) <= \
                 (SELECT v.sent_at FROM {v} WHERE v.crm_order_id = order_intents.crm_order_id) \
                 THEN order_intents.requested + excluded.send_seq ELSE order_intents.send_seq END, {}, {}, \
                 candidates = CASE WHEN excluded.cancel_seq > 0 THEN COALESCE(excluded.candidates, order_intents.candidates) \
                 ELSE order_intents.candidates END, \
                 declared = COALESCE(excluded.declared, order_intents.declared), \
                 verify = CASE WHEN excluded.verify = 1 THEN 1 ELSE order_intents.verify END, \
                 requested = order_intents.requested + excluded.requested, due_at = excluded.due_at, attempt = 0, \
                 rereads = excluded.rereads, spent_ms = 0, \
                 wanted_at = CASE WHEN order_intents.requested = order_intents.served THEN excluded.wanted_at \
                 ELSE order_intents.wanted_at END, generation = excluded.generation, \
                 traceparent = COALESCE(excluded.traceparent, order_intents.traceparent), updated_at = excluded.updated_at",
                COLUMNS.join(", "),
                COLUMNS.map(|name| format!("v.{name}")).join(", "),
                raised("update_seq"),
                raised("cancel_seq")
            )
        });
        handed.await.map(|_| ())
    }

    /// A cancel by number that was served turned out to mean another order: nobody takes this
    /// one for cancelled on its account. A newer cancel stays.
    pub async fn forget_cancel(&mut self, intent: &Intent) -> Result<()> {
        let sql = "UPDATE order_intents SET cancel_seq = 0 WHERE id = $1 AND crm_order_id = $2 AND cancel_seq = $3";
        self.run(sql, args![intent.id, intent.order.map_or(0, |order| order.0), intent.cancel_seq]).await
    }
}
