//! What follows from a row that was taken over, in words: what is to be reported to RetailCRM, the
//! journal's, the letters'. Pure.

use jiff::Timestamp;
use shared::domain::{Delivery, DeliveryId, IntegrationId};
use shared::measoft::StatusCode;
use shared::message::{Command, Envelope, GiveUp, Kind};
use shared::reason;
use shared::store::dead_letters::NewDeadLetter;
use shared::store::tracking_outbox::{NewTracking, TrackingState};

use crate::sync::apply::merge::{Merged, Report};
use crate::sync::facts::OrderSnapshot;

/// The statuses of a row as they are to be reported to RetailCRM, or not.
pub(super) fn tracking(merged: &Merged, seen_at: Timestamp) -> impl Iterator<Item = NewTracking> {
    let d = &merged.delivery;
    let last = merged.statuses.len().saturating_sub(1);
    merged.statuses.iter().enumerate().map(move |(at, (event, report))| NewTracking {
        integration: d.integration,
        delivery: d.id,
        orderno: d.orderno.as_str().to_owned(),
        code: event.code.clone(),
        made_at: event.at,
        tell_at: if let Report::At(at) = report { Some(*at) } else { None },
        comment: merged.reason.clone().filter(|_| at == last),
        details: Some(&merged.details)
            .filter(|details| at == last && !details.is_empty())
            .map(|details| serde_json::to_string(details).expect("details serialise")),
        state: if report.silent().is_none() { TrackingState::Waiting } else { TrackingState::Kept },
        why: report.silent(),
        seen_at,
    })
}

/// A row in the journal's words.
pub(super) fn seen(added: &[String], facts: &OrderSnapshot) -> String {
    let mut text = if added.is_empty() { "seen again with other figures".to_owned() } else { added.join(", ") };
    if let Some(price) = facts.price {
        text.push_str(&format!("; sum {price} {}", facts.paytype.as_deref().unwrap_or("")));
    }
    if !facts.unreadable.is_empty() {
        text.push_str(&format!("; could not be read: {}", facts.unreadable.join(", ")));
    }
    text.trim_end().to_owned()
}

/// What a letter about a status code is filed under: it is about the code, not about an order.
pub(super) fn code_name(code: &str) -> String {
    format!("status {code}")
}

/// A status that RetailCRM is not told, because nobody has said what it stands for.
pub(super) fn unmapped_letter(d: &Delivery, code: &str) -> NewDeadLetter {
    let give_up = reason::give_up(reason::STATUS_UNMAPPED, format!("{code}, first seen on order {}", d.number));
    NewDeadLetter {
        integration: Some(d.integration),
        number: Some(code_name(code)),
        ..NewDeadLetter::new(Kind::SyncStatuses.as_str(), give_up)
    }
}

/// A payment may have been changed for a delivery that is not closed any more.
pub(super) fn corrected_letter(d: &Delivery, now: Timestamp) -> NewDeadLetter {
    let give_up = reason::give_up(reason::PAYMENT_CORRECTED, format!("now {}", d.status.as_deref().unwrap_or("?")));
    payment_letter(now, d.integration, Some(d.id), &d.number, &give_up, 1)
}

/// A dead letter about an order's payment; its replay looks at the payment again.
pub(crate) fn payment_letter(
    now: Timestamp,
    integration: IntegrationId,
    delivery: Option<DeliveryId>,
    number: &str,
    give_up: &GiveUp,
    tries: u32,
) -> NewDeadLetter {
    let envelope = Envelope::new(Command::SyncPayments {}, Some(integration), now);
    NewDeadLetter { delivery, number: Some(number.to_owned()), tries, ..NewDeadLetter::of(&envelope, give_up.clone()) }
}

pub(super) fn words(status: &NewTracking) -> String {
    let name = StatusCode::parse(&status.code);
    let at = status.made_at.map_or_else(String::new, |at| format!(" at {at}"));
    let silent = status.why.map_or_else(String::new, |why| format!(" (not passed on: {why})"));
    if name.is_known() {
        format!("{} «{}»{at}{silent}", status.code, name.name_ru())
    } else {
        format!("{}{at}{silent}", status.code)
    }
}
