//! `save`: register the delivery or change it. What the manager entered is kept with the
//! delivery, then the order is wished for like any other; the answer is what became of it.

use jiff::Timestamp;
use shared::domain::delivery::DeliveryState as S;
use shared::domain::{CrmOrderId, Delivery, OrderNumber, status_list};
use shared::retailcrm::CrmError;
use shared::retailcrm::wire::callbacks::{SaveRequest, SaveResult};
use shared::store::deliveries::DeliveryKey;
use shared::store::intents::{Want, Wish};
use shared::store::past_deliveries::PastDelivery;

use crate::callbacks::{Answered, Desk, Refusal, Request, Waited, key_field, result, texts, wait_served};
use crate::hint::Hint;
use crate::order::report::module_status;
use crate::order::saved_request::Overlay;
use crate::vendor::Shop;

/// # Errors
/// What the manager has to know.
pub async fn save(desk: &Desk, request: &Request) -> Answered {
    let (shop, language) = (&request.shop, request.language());
    let raw = request.body.to_string();
    let save = SaveRequest::parse(&raw).map_err(|bad| texts::misread(language, &bad))?;
    let number = number(desk, shop, &save).await?;
    let store = &desk.tools.store;
    let now = desk.tools.clock.now();
    let overlay = Overlay::of_save(&save, &raw, shop.id(), &store.key, now, request.answer_by);
    let key = DeliveryKey {
        integration: shop.id(),
        crm_order: save.order,
        number: &number,
        prefix: &shop.integration.prefix,
    };
    let wish = Wish {
        integration: shop.id(),
        number: number.clone(),
        order: Some(save.order),
        want: Want::Send,
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
        // In this order: whoever serves the wish reads the overlay.
        store.put_overlay(&key, &overlay.text()).await?;
        store.record_wishes(&[wish]).await
    };
    stored.await.map_err(|error| {
        tracing::warn!(%error, "a save could not be recorded");
        texts::unavailable(language)
    })?;
    let _ = desk.hints.send(Hint { integration: shop.id(), due_at: now }).await;
    let waited = wait_served(desk, shop.id(), save.order, request.answer_by).await;
    if waited == Waited::Served
        && let Some(answer) = outcome(desk, shop, save.order, now).await?
    {
        return Ok(result(answer));
    }
    // It goes on without the manager; its end is told by tracking.
    Ok(result(SaveResult {
        delivery_id: Delivery::external_id(shop.id(), save.order),
        status: Some(status_list::PREPROCESSING.to_owned()),
        extra_data: key_field(shop),
        ..SaveResult::default()
    }))
}

/// The order's number: as told, as the ledger has it, or as REST does.
async fn number(desk: &Desk, shop: &Shop, save: &SaveRequest) -> Result<OrderNumber, Refusal> {
    if let Some(number) = &save.order_number {
        return Ok(number.clone());
    }
    let language = shop.integration.settings.language;
    let known = desk.tools.store.delivery_by_order(shop.id(), save.order).await;
    if let Ok(Some(delivery)) = known
        && let Ok(number) = OrderNumber::parse(&delivery.number)
    {
        return Ok(number);
    }
    match shop.vendors.crm.order(save.order).await {
        Ok(order) => Ok(order.number),
        Err(CrmError::NotFound { .. }) => Err(texts::gave_up(language, shared::reason::ORDER_NOT_FOUND, "")),
        Err(_) => Err(texts::unavailable(language)),
    }
}

/// What became of it; `None` when that is not known yet.
async fn outcome(desk: &Desk, shop: &Shop, order: CrmOrderId, since: Timestamp) -> Result<Option<SaveResult>, Refusal> {
    let language = shop.integration.settings.language;
    let store = &desk.tools.store;
    let read = async {
        let dead = store.newest_dead_letter(shop.id(), order, since).await?;
        Ok::<_, shared::store::StoreError>((dead, store.delivery_by_order(shop.id(), order).await?))
    };
    let (dead, delivery) = read.await.map_err(|_| texts::unavailable(language))?;
    if let Some(dead) = dead {
        return Err(texts::dead_letter(language, &dead));
    }
    let Some(d) = delivery else { return over(desk, shop, order).await };
    let known = d.state.is_placed() || matches!(d.state, S::Cancelled | S::Returned | S::NotDelivered | S::Lost);
    if !known {
        return Ok(None);
    }
    Ok(Some(SaveResult {
        delivery_id: Delivery::external_id(shop.id(), order),
        track_number: Some(d.orderno.as_str().to_owned()),
        cost: None,
        status: Some(module_status(shop, d.status.as_deref().unwrap_or("NEW"))),
        extra_data: key_field(shop),
    }))
}

/// What ended so long ago that only that is known: nothing of it is done again.
async fn over(desk: &Desk, shop: &Shop, order: CrmOrderId) -> Result<Option<SaveResult>, Refusal> {
    let past = desk.tools.store.past_deliveries(shop.id(), &[order]).await;
    let past = past.map_err(|_| texts::unavailable(shop.integration.settings.language))?;
    Ok(past.into_iter().find(PastDelivery::is_final).map(|past| SaveResult {
        delivery_id: Delivery::external_id(shop.id(), order),
        track_number: Some(past.orderno.as_str().to_owned()),
        cost: None,
        status: Some(module_status(shop, past.status.as_deref().unwrap_or("NEW"))),
        extra_data: key_field(shop),
    }))
}
