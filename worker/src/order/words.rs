//! An attempt in a sentence, for the timeline.

use shared::domain::{Delivery, Language};
use shared::explain;
use shared::message::{Change, Outcome};
use shared::store::intents::Leave;

use crate::order::attempt::Attempt;

pub(crate) fn words(attempt: &Attempt, outcome: &Outcome, leave: Leave) -> String {
    let mut said = attempt.notes.clone();
    said.push(match outcome {
        Outcome::Done(Change::Created) => placed(attempt.delivery.as_ref()),
        Outcome::Done(Change::Updated) => "changed at MeaSoft".to_owned(),
        Outcome::Done(Change::Cancelled) => "cancelled at MeaSoft".to_owned(),
        Outcome::Done(Change::Withdrawn) => "withdrawn before anything was sent".to_owned(),
        Outcome::Done(Change::WrittenBack | Change::Synced) => "RetailCRM told".to_owned(),
        Outcome::AlreadyDone(why) => format!("already done: {why}"),
        Outcome::Superseded(why) => format!("superseded: {why}"),
        Outcome::RetryLater { why, .. } => match leave {
            Leave::Wait { due_at, .. } => format!("tried again at {due_at} ({})", why.as_str()),
            Leave::Served => why.as_str().to_owned(),
        },
        Outcome::GiveUp(give_up) => {
            let words = explain::reason(give_up.reason, Language::En).text;
            if give_up.detail.is_empty() {
                format!("gave up ({}, {}): {words}", give_up.reason, give_up.fault)
            } else {
                format!("gave up ({}, {}): {words} [{}]", give_up.reason, give_up.fault, give_up.detail)
            }
        }
    });
    said.join("; ")
}

fn placed(delivery: Option<&Delivery>) -> String {
    match delivery.and_then(|d| Some((d, d.price?))) {
        Some((d, price)) => format!("placed at MeaSoft as {}, {price} to collect", d.orderno),
        None => "placed at MeaSoft".to_owned(),
    }
}
