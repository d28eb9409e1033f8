//! `save`: register the delivery or change it. What the manager entered is kept with the
//! delivery, then the order is asked for like any other; the answer is what became of it.

use jiff::Timestamp;
use shared::domain::delivery::DeliveryState as S;
use shared::domain::{CrmOrderId, Delivery, OrderNumber, status_list};
use shared::phrases::Details;
use shared::retailcrm::CrmError;
use shared::retailcrm::wire::callbacks::{SaveRequest, SaveResult};
use shared::store::deliveries::DeliveryKey;
use shared::store::intents::{OrderRequest, RequestKind};
use shared::store::past_deliveries::PastDelivery;
use shared::store::shadow_orders::Side;

use crate::callbacks::{Answered, CallbackContext, Refusal, Request, Waited, key_field, result, texts, wait_served};
use crate::hint::Hint;
use crate::order::report::module_status;
use crate::order::saved_request::SavedRequest;
use crate::order::shadow;
use crate::vendor::ActiveIntegration;

pub async fn save(context: &CallbackContext, request: &Request) -> Answered {
    let (active, language) = (&request.active, request.language());
    let raw = request.body.to_string();
    let save = SaveRequest::parse(&raw).map_err(|bad| texts::misread(language, &bad))?;
    let number = number(context, active, &save).await?;
    let store = &context.tools.store;
    let now = context.tools.clock.now();
    if active.integration.settings.is_shadow() {
        goes_live(context, active, save.order).await?;
    }
    let saved_request = SavedRequest::of_save(&save, &raw, active.id(), &store.key, now, request.answer_by);
    let key = DeliveryKey {
        integration: active.id(),
        crm_order: save.order,
        number: &number,
        prefix: &active.integration.prefix,
    };
    let order_request = OrderRequest {
        integration: active.id(),
        number: number.clone(),
        order: Some(save.order),
        want: RequestKind::Send,
        declared: None,
        candidates: Vec::new(),
        // The manager waits: REST need not have settled, the request itself says what is meant.
        due_at: now,
        received_at: request.received_at,
        generation: 0,
        traceparent: None,
        command_id: request.command.clone(),
    };
    let stored = async {
        // In this order: whoever serves the request reads the saved request.
        store.put_saved_request(&key, &saved_request.text()).await?;
        store.record_requests(&[order_request]).await
    };
    stored.await.map_err(|error| {
        tracing::warn!(%error, "a save could not be recorded");
        texts::unavailable(language)
    })?;
    let _ = context.hints.send(Hint { integration: active.id(), due_at: now }).await;
    let waited = wait_served(context, active.id(), save.order, request.answer_by).await;
    if waited == Waited::Served
        && let Some(answer) = outcome(context, active, save.order, now).await?
    {
        return Ok(result(answer));
    }
    // It goes on without the manager; its end is told by tracking.
    Ok(result(SaveResult {
        delivery_id: Delivery::external_id(active.id(), save.order),
        status: Some(status_list::PREPROCESSING.to_owned()),
        extra_data: key_field(active),
        ..SaveResult::default()
    }))
}

/// Refuses an order of a shadow that the integration before it sees to, and keeps on which side one is
/// whose first it is.
async fn goes_live(context: &CallbackContext, active: &ActiveIntegration, order: CrmOrderId) -> Result<(), Refusal> {
    let language = active.integration.settings.language;
    let tools = &context.tools;
    let unavailable = |_| texts::unavailable(language);
    // What the ledger has is ours.
    if tools.store.delivery_by_order(active.id(), order).await.map_err(unavailable)?.is_some() {
        return Ok(());
    }
    let side = async || {
        let known = tools.store.shadow_orders(active.id(), &[order]).await.map_err(unavailable)?;
        Ok::<_, Refusal>(known.first().map(|row| row.side))
    };
    if side().await?.is_none() {
        let shown = match active.vendors.crm.order(order).await {
            Ok(shown) => shown,
            Err(CrmError::NotFound { .. }) => {
                return Err(texts::gave_up(language, shared::reason::ORDER_NOT_FOUND, &Details::NONE));
            }
            Err(_) => return Err(texts::unavailable(language)),
        };
        // RetailCRM may show an older delivery type yet: by that no side is chosen.
        if !shadow::is_ours(tools, active, &shown) {
            return Err(texts::in_shadow(language));
        }
        let row = shadow::chosen(active, &shown, tools.clock.now());
        tools.store.choose_sides(&[row]).await.map_err(unavailable)?;
    }
    match side().await? {
        Some(Side::Live) => Ok(()),
        _ => Err(texts::in_shadow(language)),
    }
}

/// The order's number: as told, as the ledger has it, or as REST does.
async fn number(
    context: &CallbackContext,
    active: &ActiveIntegration,
    save: &SaveRequest,
) -> Result<OrderNumber, Refusal> {
    if let Some(number) = &save.order_number {
        return Ok(number.clone());
    }
    let language = active.integration.settings.language;
    let known = context.tools.store.delivery_by_order(active.id(), save.order).await;
    if let Ok(Some(delivery)) = known
        && let Ok(number) = OrderNumber::parse(&delivery.number)
    {
        return Ok(number);
    }
    match active.vendors.crm.order(save.order).await {
        Ok(order) => Ok(order.number),
        Err(CrmError::NotFound { .. }) => {
            Err(texts::gave_up(language, shared::reason::ORDER_NOT_FOUND, &Details::NONE))
        }
        Err(_) => Err(texts::unavailable(language)),
    }
}

/// What became of it; `None` when that is not known yet.
async fn outcome(
    context: &CallbackContext,
    active: &ActiveIntegration,
    order: CrmOrderId,
    since: Timestamp,
) -> Result<Option<SaveResult>, Refusal> {
    let language = active.integration.settings.language;
    let store = &context.tools.store;
    let read = async {
        let dead = store.newest_dead_letter(active.id(), order, since).await?;
        Ok::<_, shared::store::StoreError>((dead, store.delivery_by_order(active.id(), order).await?))
    };
    let (dead, delivery) = read.await.map_err(|_| texts::unavailable(language))?;
    if let Some(dead) = dead {
        return Err(texts::dead_letter(language, &dead));
    }
    let Some(d) = delivery else { return over(context, active, order).await };
    let known = d.state.is_placed() || matches!(d.state, S::Cancelled | S::Returned | S::NotDelivered | S::Lost);
    if !known {
        return Ok(None);
    }
    Ok(Some(SaveResult {
        delivery_id: Delivery::external_id(active.id(), order),
        track_number: Some(d.orderno.as_str().to_owned()),
        cost: None,
        status: Some(module_status(active, d.status.as_deref().unwrap_or("NEW"))),
        extra_data: key_field(active),
    }))
}

/// What ended so long ago that only that is known: nothing of it is done again.
async fn over(
    context: &CallbackContext,
    active: &ActiveIntegration,
    order: CrmOrderId,
) -> Result<Option<SaveResult>, Refusal> {
    let past = context.tools.store.past_deliveries(active.id(), &[order]).await;
    let past = past.map_err(|_| texts::unavailable(active.integration.settings.language))?;
    Ok(past.into_iter().find(PastDelivery::is_final).map(|past| SaveResult {
        delivery_id: Delivery::external_id(active.id(), order),
        track_number: Some(past.orderno.as_str().to_owned()),
        cost: None,
        status: Some(module_status(active, past.status.as_deref().unwrap_or("NEW"))),
        extra_data: key_field(active),
    }))
}
