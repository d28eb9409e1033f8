//! Parcels that MeaSoft still has of orders that went to another carrier, another shop, or
//! nowhere. The trigger that should tell so names a number, which may be another order's by then.

use std::collections::HashMap;

use jiff::Timestamp;
use shared::clock::later;
use shared::domain::delivery::DeliveryState as S;
use shared::domain::{CrmOrderId, Delivery, OrderNumber};
use shared::message::{Candidate, Outcome};
use shared::store;
use shared::store::intents::{Intent, OrderRequest, RequestKind};
use uuid::Uuid;

use crate::order::attempt::Attempt;
use crate::order::decide::Requested;
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;

/// Whether MeaSoft may have it and nobody has asked for its cancel yet. Pure.
pub fn is_left_behind(d: &Delivery, intent: Option<&Intent>) -> bool {
    let asked = intent.is_some_and(|intent| intent.cancel_seq > intent.send_seq);
    matches!(d.state, S::Sending | S::Unknown | S::Created | S::InWork) && !asked
}

/// An order is found gone to another carrier while MeaSoft has it. Pure.
pub fn is_found_gone(d: &Delivery, outcome: &Outcome, wanted: Requested) -> bool {
    matches!(outcome, Outcome::Superseded(_)) && d.state == S::Created && !wanted.cancel
}

/// The request to cancel what an order left behind. Whoever serves it reads the order first: one
/// that is back by then keeps its parcel.
pub fn clearing_up(
    d: &Delivery,
    number: OrderNumber,
    like: &Intent,
    due_at: Timestamp,
    now: Timestamp,
) -> OrderRequest {
    OrderRequest {
        integration: d.integration,
        number,
        order: Some(d.crm_order),
        want: RequestKind::Cancel,
        declared: None,
        candidates: vec![Candidate::of(&d.delivery_type, d.integration)],
        due_at,
        received_at: now,
        generation: like.generation,
        traceparent: like.traceparent.clone(),
        command_id: Uuid::now_v7().to_string(),
    }
}

/// Whether this shop has placed the order. Pure.
pub fn is_served_here(attempt: &Attempt, outcome: &Outcome) -> bool {
    let placed = attempt.delivery.as_ref().is_some_and(|d| matches!(d.state, S::Created | S::InWork));
    placed && matches!(outcome, Outcome::Done(_) | Outcome::AlreadyDone(_))
}

/// What other shops of the same RetailCRM account still have of orders that this one serves.
pub async fn clear_elsewhere<'a>(
    tools: &Tools,
    active: &ActiveIntegration,
    served: impl Iterator<Item = &'a Attempt>,
) -> store::Result<()> {
    let served: HashMap<CrmOrderId, &Attempt> =
        served.filter_map(|attempt| Some((attempt.intent.order?, attempt))).collect();
    let now = tools.clock.now();
    let due_at = later(now, tools.limits.settle);
    let orders: Vec<CrmOrderId> = served.keys().copied().collect();
    let mut requests = Vec::new();
    for d in tools.store.deliveries_of_orders(&active.siblings, &orders).await? {
        let intent = match is_left_behind(&d, None) {
            true => tools.store.intent(d.integration, d.crm_order).await?,
            false => continue,
        };
        if let (true, Ok(number)) = (is_left_behind(&d, intent.as_ref()), OrderNumber::parse(&d.number)) {
            let like = intent.as_ref().unwrap_or(&served[&d.crm_order].intent);
            requests.push(clearing_up(&d, number, like, due_at, now));
        }
    }
    if requests.is_empty() { Ok(()) } else { tools.store.record_requests(&requests).await }
}
