//! `delete`: RetailCRM withdraws a delivery. What is gone already is a success.

use shared::domain::delivery::DeliveryState as S;
use shared::domain::{Language, OrderNumber};
use shared::message::Candidate;
use shared::retailcrm::wire::callbacks::DeleteRequest;
use shared::store::intents::{OrderRequest, RequestKind};

use crate::callbacks::{Answered, CallbackContext, Refusal, Request, Waited, delivery_of, done, texts, wait_served};
use crate::hint::Hint;

pub async fn delete(context: &CallbackContext, request: &Request) -> Answered {
    let (active, language) = (&request.active, request.language());
    let asked = DeleteRequest::parse(&request.body.to_string()).map_err(|bad| texts::misread(language, &bad))?;
    let Some(delivery) = delivery_of(context, active, &asked.delivery_id).await? else { return Ok(done()) };
    let Ok(number) = OrderNumber::parse(&delivery.number) else { return Ok(done()) };
    let store = &context.tools.store;
    let now = context.tools.clock.now();
    let order_request = OrderRequest {
        integration: active.id(),
        number,
        order: Some(delivery.crm_order),
        want: RequestKind::Cancel,
        declared: None,
        candidates: vec![Candidate::withdrawn(active.id())],
        due_at: now,
        received_at: request.received_at,
        generation: 0,
        traceparent: None,
        command_id: request.command.clone(),
    };
    store.record_requests(&[order_request]).await.map_err(|error| {
        tracing::warn!(%error, "a withdrawal could not be recorded");
        texts::unavailable(language)
    })?;
    let _ = context.hints.send(Hint { integration: active.id(), due_at: now }).await;
    if wait_served(context, active.id(), delivery.crm_order, request.answer_by).await == Waited::GoesOn {
        return Err(goes_on(language));
    }
    let read = async {
        let dead = store.newest_dead_letter(active.id(), delivery.crm_order, now).await?;
        Ok::<_, shared::store::StoreError>((dead, store.delivery(delivery.id).await?))
    };
    let (dead, left) = read.await.map_err(|_| texts::unavailable(language))?;
    if let Some(dead) = dead {
        return Err(texts::dead_letter(language, &dead));
    }
    match left.map(|d| d.state) {
        Some(S::Sending | S::Unknown) => Err(goes_on(language)),
        _ => Ok(done()),
    }
}

fn goes_on(language: Language) -> Refusal {
    let text = match language {
        Language::Ru => {
            "Курьерская служба ещё не подтвердила отмену, она будет выполнена позже: проверьте статус доставки"
        }
        Language::En => {
            "The courier service has not confirmed the cancellation yet, it will be carried out later: check the status"
        }
    };
    Refusal::new("goes_on", text)
}
