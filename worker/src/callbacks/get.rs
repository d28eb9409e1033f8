//! `get`: what we know of a delivery. It waits for nobody: RetailCRM may ask while our own
//! edit of the order is still open (protocols/retailcrm.md#without-save), so neither a lease is
//! taken nor a vendor asked.

use jiff::ZonedDateTime;
use shared::domain::delivery::DeliveryState as S;
use shared::domain::{Language, status_list};
use shared::measoft::StatusCode;
use shared::retailcrm::tolerant::Misread;
use shared::retailcrm::wire::callbacks::{DeliveryStatus, GetQuery, GetResult, Interval};

use crate::callbacks::{Answered, CallbackContext, Request, delivery_of, key_field, lists, result, texts};
use crate::order::report::module_status;
use crate::order::saved_request::SavedRequest;
use crate::vendor::references::References;

/// # Errors
/// 404 for an id that is not of this integration.
pub async fn get(context: &CallbackContext, request: &Request) -> Answered {
    let (active, language) = (&request.active, request.language());
    let id = request.body.get("deliveryId").and_then(|id| match id {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    });
    let query = GetQuery::read(id.as_deref().map(|id| ("deliveryId", id)))
        .map_err(|bad: Misread| texts::misread(language, &bad))?;
    let Some(d) = delivery_of(context, active, &query.delivery_id).await? else {
        return Err(texts::unknown_delivery(language));
    };
    let saved = SavedRequest::of_delivery(&d).saved(d.integration, d.crm_order, &context.tools.store.key);
    let zone =
        context.tools.references.latest(active.id()).map_or_else(|| References::default().zone, |r| r.zone.clone());
    let (code, comment) = match d.state {
        S::Planned | S::Sending | S::Unknown => (status_list::PREPROCESSING.to_owned(), None),
        S::Rejected => (status_list::ERROR.to_owned(), d.crm_written.error.clone()),
        _ => {
            let status = d.status.as_deref().unwrap_or("NEW");
            (module_status(active, status), Some(status_words(status, language)))
        }
    };
    let at = d.status_at.or(d.sent_at).unwrap_or(d.created_at);
    let placed = d.ordercode.is_some() || d.state.is_placed();
    let mut answer = GetResult {
        track_number: placed.then(|| d.orderno.as_str().to_owned()),
        status: Some(DeliveryStatus { code, updated_at: ZonedDateTime::new(at, zone), comment }),
        extra_data: key_field(active),
        ..GetResult::default()
    };
    if let Some(saved) = saved {
        let s = saved.delivery;
        answer.shipment_date = s.shipment_date;
        answer.delivery_date = s.delivery_date;
        let slot = &s.delivery_time;
        answer.delivery_time =
            (slot.from.is_some() || slot.to.is_some()).then_some(Interval { from: slot.from, to: slot.to });
        if let Some(tariff) = s.tariff.filter(|tariff| !tariff.is_empty()) {
            answer.tariff_name = lists::kept_name(context, active, &tariff).await;
            answer.tariff = Some(tariff);
        }
        answer.payer_type = s.payer_type;
        answer.shipment_address = Some(s.shipment_address);
        answer.delivery_address = Some(s.delivery_address);
    }
    Ok(result(answer))
}

fn status_words(code: &str, language: Language) -> String {
    let code = StatusCode::parse(code);
    match language {
        Language::Ru => code.name_ru().to_owned(),
        Language::En => code.name_en().to_owned(),
    }
}
