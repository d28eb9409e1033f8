//! What an attempt came to, for the timeline.

use shared::domain::Delivery;
use shared::message::{Change, Outcome};
use shared::store::intents::Leave;
use shared::story::Event;

use crate::order::attempt::Attempt;

pub(crate) fn story(attempt: &Attempt, outcome: &Outcome, leave: Leave) -> Vec<Event> {
    let mut told = attempt.notes.clone();
    match outcome {
        Outcome::Done(Change::Created) => told.push(placed(attempt.delivery.as_ref())),
        Outcome::Done(Change::Updated) => {
            told.push(Event::Changed);
            if !attempt.changes.is_empty() {
                told.push(Event::FieldsChanged { changes: attempt.changes.clone() });
            }
        }
        Outcome::Done(Change::Cancelled) => told.push(Event::Cancelled),
        Outcome::Done(Change::Withdrawn) => told.push(Event::Withdrawn),
        Outcome::Done(Change::WrittenBack | Change::Synced) => told.push(Event::CrmKnows),
        Outcome::AlreadyDone(why) => told.push(Event::AlreadyDone { why: *why }),
        Outcome::Superseded(why) => told.push(Event::Superseded { why: *why }),
        Outcome::RetryLater { why, .. } => told.push(match leave {
            Leave::Wait { due_at: until, .. } => Event::PutOff { until, why: *why },
            Leave::Served => Event::NotDone { why: *why },
        }),
        Outcome::GiveUp(give_up) => {
            told.push(Event::GaveUp { reason: give_up.reason.into(), fault: give_up.fault });
            if !give_up.detail.is_empty() {
                told.push(Event::Figures { detail: give_up.detail.clone() });
            }
        }
    }
    told
}

fn placed(delivery: Option<&Delivery>) -> Event {
    match delivery.and_then(|d| Some((d, d.price?))) {
        Some((d, collect)) => Event::PlacedAs { orderno: d.orderno.to_string(), collect },
        None => Event::Placed,
    }
}
