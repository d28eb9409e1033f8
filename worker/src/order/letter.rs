//! The dead letter of an attempt that gave up, and the command that a replay of it publishes.

use jiff::Timestamp;
use shared::message::{Command, Envelope, GiveUp, Kind};
use shared::store::dead_letters::NewDeadLetter;

use crate::order::attempt::Attempt;

pub(crate) fn dead_letter(attempt: &Attempt, kind: Kind, give_up: &GiveUp, now: Timestamp) -> NewDeadLetter {
    NewDeadLetter {
        integration: Some(attempt.intent.integration),
        delivery: attempt.delivery.as_ref().map(|d| d.id),
        number: Some(attempt.intent.number.as_str().to_owned()),
        kind: kind.as_str().to_owned(),
        reason: give_up.reason.to_owned(),
        fault: give_up.fault,
        detail: give_up.detail.clone(),
        tries: attempt.intent.attempt + 1,
        command: Some(replayable(attempt, kind, now)),
        raw: None,
    }
}

/// What the attempt was for; the newest unserved request gives its name.
pub(crate) fn kind_of(attempt: &Attempt) -> Kind {
    let (i, w) = (&attempt.intent, attempt.requested());
    [
        (w.send, i.send_seq, Kind::SendOrder),
        (w.update, i.update_seq, Kind::UpdateOrder),
        (w.cancel, i.cancel_seq, Kind::CancelOrder),
    ]
    .into_iter()
    .filter(|(wanted, ..)| *wanted)
    .max_by_key(|(_, seq, _)| *seq)
    .map_or(Kind::ResumeOrder, |(.., kind)| kind)
}

/// The command as it is published again by a replay.
fn replayable(attempt: &Attempt, kind: Kind, now: Timestamp) -> String {
    let i = &attempt.intent;
    let number = i.number.clone();
    let command = match kind {
        Kind::CancelOrder => Command::CancelOrder { number, declared: i.declared, candidates: i.candidates.clone() },
        Kind::UpdateOrder => Command::UpdateOrder { number, declared: i.declared },
        _ => Command::SendOrder { number, declared: i.declared },
    };
    let mut envelope = Envelope::new(command, Some(i.integration), now);
    envelope.generation = i.generation;
    envelope.order = i.order;
    serde_json::to_string(&envelope).expect("an envelope serialises")
}
