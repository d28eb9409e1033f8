//! What follows from a row that was taken over: what is to be reported to RetailCRM, what the journal
//! tells, the letters. Pure.

use jiff::Timestamp;
use shared::domain::{Delivery, DeliveryId, IntegrationId};
use shared::message::{Command, Envelope, GiveUp, Kind};
use shared::phrases::Detail;
use shared::reason;
use shared::store::dead_letters::NewDeadLetter;
use shared::store::tracking_outbox::{NewTracking, TrackingState};
use shared::story::{Event, Reported};

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

/// A row as the journal keeps it.
pub(super) fn seen(added: Vec<Reported>, facts: &OrderSnapshot) -> Vec<Event> {
    let mut told = vec![if added.is_empty() { Event::SeenAgain } else { Event::StatusesTaken { statuses: added } }];
    let paytype = || facts.paytype.clone().unwrap_or_default();
    told.extend(facts.price.map(|sum| Event::SumSeen { sum, paytype: paytype() }));
    if !facts.unreadable.is_empty() {
        told.push(Event::UnreadableFields { names: facts.unreadable.clone() });
    }
    told
}

/// What a letter about a status code is filed under: it is about the code, not about an order.
pub(super) fn code_name(code: &str) -> String {
    format!("status {code}")
}

/// A status that RetailCRM is not told, because nobody has said what it stands for.
pub(super) fn unmapped_letter(d: &Delivery, code: &str) -> NewDeadLetter {
    let give_up = reason::give_up(
        reason::STATUS_UNMAPPED,
        Detail::StatusFirstSeen { status: code.to_owned(), number: d.number.clone() },
    );
    NewDeadLetter {
        integration: Some(d.integration),
        number: Some(code_name(code)),
        ..NewDeadLetter::new(Kind::SyncStatuses.as_str(), give_up)
    }
}

/// A payment may have been changed for a delivery that is not closed any more.
pub(super) fn corrected_letter(d: &Delivery, now: Timestamp) -> NewDeadLetter {
    let status_now = d.status.clone().map_or(Detail::NoStatus, |status| Detail::StatusNow { status });
    let give_up = reason::give_up(reason::PAYMENT_CORRECTED, status_now);
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

/// A status as the journal keeps it.
pub(super) fn reported(status: &NewTracking) -> Reported {
    Reported { status: status.code.clone(), at: status.made_at, silent: status.why }
}
