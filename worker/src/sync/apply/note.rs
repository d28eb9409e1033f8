//! Writes what follows from a row that was taken over: what is to be reported to RetailCRM, the
//! journal, the request to settle the payment, letters.

use jiff::Timestamp;
use shared::crypto::sha256_hex;
use shared::domain::{Delivery, DeliveryId, IntegrationId, Settings};
use shared::measoft::StatusCode;
use shared::message::{Command, Envelope, GiveUp, Kind};
use shared::store::dead_letters::NewDeadLetter;
use shared::store::journal::{Entry, What};
use shared::store::tracking_outbox::{NewTracking, TrackingState, UNKNOWN_CODE};
use shared::{reason, store};

use crate::sync::apply::merge::{Merged, Report};
use crate::sync::facts::OrderSnapshot;
use crate::tools::Tools;

/// Writes what follows from a row that was taken over; answers how many unknown codes are new.
pub(super) async fn note(
    tx: &mut store::Tx,
    tools: &Tools,
    merged: &Merged,
    facts: &OrderSnapshot,
    settings: &Settings,
    seen_at: Timestamp,
    now: Timestamp,
) -> store::Result<u64> {
    let d = &merged.delivery;
    let mut added = Vec::new();
    let mut unknown = 0;
    for new in tracking(merged, seen_at) {
        if tx.add_tracking(&new).await? {
            added.push(words(&new));
            if new.why == Some(UNKNOWN_CODE) {
                unknown += 1;
                tx.add_dead_letter_once(&unmapped_letter(d, &new.code), now).await?;
            } else if !StatusCode::parse(&new.code).is_known() {
                let (name, kind) = (code_name(&new.code), Kind::SyncStatuses);
                tx.resolve_dead_letters_of(d.integration, Some(&name), kind.as_str(), now).await?;
            }
        }
    }
    let entry = Entry::new(now, What::Status, seen(&added, facts)).about(d.integration, d.number.as_str());
    tx.append_journal(&entry.orderno(d.orderno.as_str())).await?;
    let wanted = settings.payment_status.is_some() || settings.receive_payment;
    if merged.closed && wanted {
        let mark = sha256_hex(format!("{}|{:?}|{:?}", d.orderno, facts.price, facts.paytype).as_bytes());
        let text = serde_json::to_string(facts).expect("facts serialise");
        tx.want_payment(d.integration, d.id, &mark, &text, now).await?;
    } else if merged.reopened && tx.reopen_payment(d.id, now).await? && wanted {
        let give_up = reason::give_up(reason::PAYMENT_CORRECTED, format!("now {}", d.status.as_deref().unwrap_or("?")));
        tx.add_dead_letter(&payment_letter(tools, d.integration, Some(d.id), &d.number, &give_up, 1), now).await?;
    }
    Ok(unknown)
}

/// The statuses of a row as they are to be reported to RetailCRM, or not.
fn tracking(merged: &Merged, seen_at: Timestamp) -> impl Iterator<Item = NewTracking> {
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
        state: if report.silent().is_none() { TrackingState::Waiting } else { TrackingState::Kept },
        why: report.silent(),
        seen_at,
    })
}

/// A row in the journal's words.
fn seen(added: &[String], facts: &OrderSnapshot) -> String {
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
fn code_name(code: &str) -> String {
    format!("status {code}")
}

/// A status that RetailCRM is not told, because nobody has said what it stands for.
fn unmapped_letter(d: &Delivery, code: &str) -> NewDeadLetter {
    let give_up = reason::give_up(reason::STATUS_UNMAPPED, format!("{code}, first seen on order {}", d.number));
    NewDeadLetter {
        integration: Some(d.integration),
        number: Some(code_name(code)),
        ..NewDeadLetter::new(Kind::SyncStatuses.as_str(), give_up)
    }
}

/// A dead letter about an order's payment; its replay looks at the payment again.
pub(crate) fn payment_letter(
    tools: &Tools,
    integration: IntegrationId,
    delivery: Option<DeliveryId>,
    number: &str,
    give_up: &GiveUp,
    tries: u32,
) -> NewDeadLetter {
    let envelope = Envelope::new(Command::SyncPayments {}, Some(integration), tools.clock.now());
    NewDeadLetter { delivery, number: Some(number.to_owned()), tries, ..NewDeadLetter::of(&envelope, give_up.clone()) }
}

fn words(status: &NewTracking) -> String {
    let name = StatusCode::parse(&status.code);
    let at = status.made_at.map_or_else(String::new, |at| format!(" at {at}"));
    let silent = status.why.map_or_else(String::new, |why| format!(" (not passed on: {why})"));
    if name.is_known() {
        format!("{} «{}»{at}{silent}", status.code, name.name_ru())
    } else {
        format!("{}{at}{silent}", status.code)
    }
}
