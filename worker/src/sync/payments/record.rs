//! What came of payments, written down: a few at one time, in one commit.

use shared::message::Kind;
use shared::store;
use shared::store::again::at_once;
use shared::store::journal::{Entry, What};
use shared::store::payment_moves::{MoveState, PaymentEnd, PaymentMove};
use shared::story::Event;

use crate::sync::apply::payment_letter;
use crate::sync::next_try;
use crate::sync::payments::outcome::{Came, Settled, Trouble};
use crate::tools::Tools;

/// Records what attempts came to, in one commit. What newer facts have overtaken says nothing any
/// more.
pub(super) async fn conclude(tools: &Tools, done: Vec<(&PaymentMove, Came)>) -> Result<(), Trouble> {
    let (mut rest, mut refused) = (&done[..], None);
    while !rest.is_empty() {
        let mut these = rest.len();
        while let Err(error) = at_once(|| record(tools, &rest[..these])).await {
            if error.is_the_databases() {
                return Err(error.into());
            }
            // One that the database refuses holds up no other.
            if these == 1 {
                refused = Some(error);
                break;
            }
            these /= 2;
        }
        rest = &rest[these..];
    }
    if let Some(error) = refused {
        return Err(error.into());
    }
    let broken = |came| match came {
        Err(trouble @ (Trouble::Halt(_) | Trouble::Store(_))) => Some(trouble),
        _ => None,
    };
    done.into_iter().find_map(|(_, came)| broken(came)).map_or(Ok(()), Err)
}

async fn record(tools: &Tools, done: &[(&PaymentMove, Came)]) -> store::Result<()> {
    let now = tools.clock.now();
    let (mut ends, mut entries, mut postponed) = (Vec::new(), Vec::new(), Vec::new());
    for (row, came) in done {
        let mut end = |state, why: &str, steps, what, story: Vec<Event>| {
            let entry = Entry::of(now, what, story).about(row.integration, row.number.as_str());
            entries.push(entry.orderno(row.orderno.as_str()));
            let taken_back = matches!(came, Err(Trouble::TakenBack(_)));
            ends.push(PaymentEnd { id: row.id, state, why: why.to_owned(), steps, taken_back });
        };
        match came {
            Ok(Settled::Moved(number, steps)) => {
                let story = vec![Event::PaymentsMoved { steps: steps.clone() }];
                end(MoveState::Done, "", Some(*number), What::Crm, story);
            }
            Ok(Settled::Left(why)) => {
                let story = vec![Event::PaymentsFit { why: why.clone() }];
                end(MoveState::Nothing, &why.plain(), None, What::Decision, story);
            }
            Err(Trouble::GiveUp(give_up) | Trouble::TakenBack(give_up)) => {
                let gave_up = Event::PaymentsGaveUp { reason: give_up.reason.into(), fault: give_up.fault };
                let story = vec![gave_up, Event::Figures { detail: give_up.detail.clone() }];
                end(MoveState::Dead, give_up.reason, None, What::Decision, story);
            }
            Err(Trouble::Later(why)) => postponed.push((row.id, next_try(tools, row.attempt), why.as_str())),
            Err(Trouble::Halt(error)) => postponed.push((row.id, next_try(tools, row.attempt), error.label())),
            Err(Trouble::Overtaken | Trouble::Store(_)) => {}
        }
    }
    let mut tx = tools.store.db.begin().await?;
    let ended = tx.end_payments(&ends, now).await?;
    tx.postpone_payments(&postponed, now).await?;
    let mut settled = Vec::new();
    for (row, came) in done.iter().filter(|(row, _)| ended.contains(&row.id)) {
        match came {
            Ok(_) => settled.push((row.crm_order, row.delivery)),
            Err(Trouble::GiveUp(give_up) | Trouble::TakenBack(give_up)) => {
                let (tries, number) = (row.attempt + 1, &row.number);
                let letter = payment_letter(now, row.integration, Some(row.delivery), number, give_up, tries);
                tx.add_dead_letter(&letter, now).await?;
            }
            Err(_) => {}
        }
    }
    if let Some((row, _)) = done.first() {
        let kind = Kind::SyncPayments.as_str();
        tx.resolve_dead_letters_of_orders(row.integration, &settled, kind, now).await?;
    }
    tx.append_all(&entries).await?;
    tx.commit().await
}
