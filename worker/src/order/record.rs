//! What an attempt came to, in one commit: the delivery, the intent, dead letters and the journal.
//! Then the order is let go.

use std::time::Duration;

use jiff::Timestamp;
use shared::clock::{elapsed, later};
use shared::domain::delivery::{DeliveryState as S, Event};
use shared::message::{Change, Kind, Outcome, RetryWhy};
use shared::mutant::{Mutant, is_mutant};
use shared::retry::Waits;
use shared::store::Tx;
use shared::store::intents::Leave;
use shared::store::journal::{Entry, What};
use shared::{reason, store};

use crate::hint::Hint;
use crate::order::attempt::Attempt;
use crate::order::confidential;
use crate::order::decide::Presence;
use crate::order::left_behind::{clear_elsewhere, clearing_up, is_found_gone};
use crate::order::letter::{dead_letter, kind_of};
use crate::order::report::shown;
use crate::order::settle::{Settlement, settle, spent_trying};
use crate::order::words::words;
use crate::policy::Policy;
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;

/// What an attempt came to, as it is written down.
struct Conclusion {
    kind: Kind,
    outcome: Outcome,
    leave: Leave,
    at: Timestamp,
}

impl Conclusion {
    const fn next_at(&self) -> Option<Timestamp> {
        match self.leave {
            Leave::Wait { due_at, .. } => Some(due_at),
            Leave::Served => None,
        }
    }
}

/// Stores what an attempt came to, and lets go. Answers when the order is due again.
pub(crate) async fn record(
    tools: &Tools,
    active: &ActiveIntegration,
    mut attempt: Attempt,
    started: Timestamp,
) -> Option<Hint> {
    let now = tools.clock.now();
    hide_personal(active, &mut attempt);
    keep_cancel_open(&mut attempt, now);
    let mut conclusion = conclude(&mut attempt, started, now, &tools.policy);
    let held = store_until_taken(tools, active, &attempt, &mut conclusion).await?;
    observe(tools, active, &attempt, &conclusion, started, held);
    if let Some(order) = attempt.intent.order {
        tools.notifier.notify(active.id(), order);
    }
    // A newer request may be waiting behind the one just served.
    Some(Hint { integration: active.id(), due_at: conclusion.next_at().unwrap_or(now) })
}

/// RetailCRM was told its own customer's data; letters and journal are read by others too.
fn hide_personal(active: &ActiveIntegration, attempt: &mut Attempt) {
    let known = confidential::all(active, attempt.order.as_ref());
    if let Some(Outcome::GiveUp(give_up)) = &mut attempt.outcome {
        give_up.detail = known.hide(&give_up.detail);
    }
    attempt.notes.iter_mut().for_each(|notes| *notes = known.hide(notes));
}

/// A cancel that may still arrive stays open.
fn keep_cancel_open(attempt: &mut Attempt, now: Timestamp) {
    let late = attempt.cancel_open && attempt.late_until.is_some_and(|until| until > now);
    if let Some(d) = attempt.delivery.as_mut().filter(|d| late && d.state == S::Created) {
        d.cancelled_by_us = true;
    }
}

/// What the attempt's outcome means for its request and its delivery. Pure.
fn conclude(attempt: &mut Attempt, started: Timestamp, now: Timestamp, policy: &Policy) -> Conclusion {
    let mut outcome = attempt.outcome.take().unwrap_or(Outcome::retry(RetryWhy::Internal));
    let intent = &attempt.intent;
    let until_due = match &outcome {
        Outcome::RetryLater { not_before: Some(at), .. } => elapsed(now, *at),
        _ => Duration::ZERO,
    };
    let step = if attempt.read_again { intent.rereads } else { intent.attempt };
    let mut spent = spent_trying(intent.spent, elapsed(started, now));
    if is_mutant(Mutant::AgeInherited) {
        spent = elapsed(intent.wanted_at, now);
    }
    let leave = match settle(&outcome, step, spent, until_due, policy) {
        Settlement::Wait { pause, counts } => Leave::Wait {
            why: match &outcome {
                Outcome::RetryLater { why, .. } => *why,
                _ => RetryWhy::Internal,
            },
            due_at: later(now, pause),
            attempt: intent.attempt + u32::from(counts && !attempt.read_again),
            rereads: intent.rereads + u32::from(attempt.read_again),
            spent: if counts { spent + pause } else { intent.spent },
        },
        Settlement::Expire => {
            let why = match &outcome {
                Outcome::RetryLater { why, .. } => why.as_str(),
                _ => "",
            };
            outcome = Outcome::GiveUp(reason::give_up(reason::EXPIRED, why));
            Leave::Served
        }
        Settlement::Ack | Settlement::DeadLetter => Leave::Served,
    };
    // What could not be sent is refused, whoever refused it and why: an update that mends the
    // order sends it.
    let wanted = attempt.requested();
    if let (Outcome::GiveUp(give_up), Some(d)) = (&outcome, &mut attempt.delivery)
        && (d.state == S::Planned && wanted.send || d.state == S::Rejected && (wanted.send || wanted.update))
    {
        d.state = d.state.after(Event::Refused).unwrap_or(S::Rejected);
        d.reject_reason = Some(give_up.reason.to_owned());
    }
    Conclusion { kind: kind_of(attempt), outcome, leave, at: now }
}

/// Whether the lease was held to the end. `None`: nothing could be stored, not even that.
async fn store_until_taken(
    tools: &Tools,
    active: &ActiveIntegration,
    attempt: &Attempt,
    conclusion: &mut Conclusion,
) -> Option<bool> {
    let mut waits = Waits::between(Duration::from_millis(50), Duration::from_secs(5));
    let mut left = 20;
    loop {
        match store_result(tools, active, attempt, conclusion).await {
            Ok(held) => return Some(held),
            // What the database refuses it goes on refusing; what is only away comes back.
            Err(error) if left > 0 => {
                // The lease is kept alive meanwhile; giving up here would only cost a repeat.
                tracing::warn!(%error, "an attempt's result could not be stored yet");
                left -= if error.is_the_databases() { 1 } else { 7.min(left) };
                tokio::time::sleep(waits.next_wait()).await;
            }
            Err(error) => {
                tracing::error!(%error, "an attempt's result could not be stored: a person has to see the order");
                conclusion.outcome = Outcome::GiveUp(reason::give_up(reason::INTERNAL, error.to_string()));
                return set_aside(tools, attempt, conclusion)
                    .await
                    .inspect_err(|error| {
                        tracing::error!(%error, "nor could its dead letter; the order will be looked at again");
                    })
                    .ok();
            }
        }
    }
}

/// False when the lease was lost on the way: then the next holder looks at MeaSoft first.
async fn store_result(
    tools: &Tools,
    active: &ActiveIntegration,
    attempt: &Attempt,
    conclusion: &Conclusion,
) -> store::Result<bool> {
    let Conclusion { outcome, leave, at: now, .. } = conclusion;
    let number = attempt.intent.number.as_str();
    let is_here = attempt.order.as_ref().map(|read| shown(read, attempt, active, &tools.module_code) == Presence::Ours);
    // Before this shop's own result: a request too many is served without effect.
    if let (Some(true), Some(order), Leave::Served) = (is_here, attempt.intent.order, leave) {
        clear_elsewhere(tools, active, attempt, outcome, order).await?;
    }
    let mut tx = tools.store.db.begin().await?;
    // In the order that everybody keeps to: intents, then deliveries.
    let mut held = tx.leave_intent(&attempt.intent, *leave, *now).await?;
    if held && let Some(d) = &attempt.delivery {
        held = tx.save_delivery(d, true, *now).await?;
        if let Some(retired) = &attempt.retired {
            tx.keep_past(retired).await?;
        }
        if held && attempt.reported_late {
            tx.tracking_is_known(&[d.id], *now).await?;
        }
    }
    if !held {
        drop(tx);
        lease_lost(tools, active, attempt, conclusion).await?;
        return Ok(false);
    }
    note_letters(&mut tx, tools, active, attempt, conclusion).await?;
    note_requests(&mut tx, tools, active, attempt, conclusion, is_here).await?;
    let mut entry = Entry::new(*now, What::Decision, words(attempt, outcome, *leave)).about(active.id(), number);
    if let Some(d) = &attempt.delivery {
        entry = entry.orderno(d.orderno.as_str());
    }
    tx.append_journal(&entry.outcome(outcome.label())).await?;
    tx.commit().await?;
    Ok(true)
}

/// Another holds the order by now: it is asked to look at MeaSoft before anything else, unless it
/// has found all that was done here.
async fn lease_lost(
    tools: &Tools,
    active: &ActiveIntegration,
    attempt: &Attempt,
    conclusion: &Conclusion,
) -> store::Result<()> {
    let now = conclusion.at;
    let is_known = is_known_as_left(tools, active, attempt, &conclusion.outcome).await?;
    let mut tx = tools.store.db.begin().await?;
    if attempt.began && !is_known {
        let unknown = attempt.delivery.as_ref().is_some_and(|d| d.state == S::Unknown);
        let due_at = if unknown { later(now, tools.limits.call_limit) } else { now };
        tx.ask_to_verify(&attempt.intent, due_at, now).await?;
    }
    let words = if is_known {
        "the lease was lost during this attempt; the next holder found the order as it was placed"
    } else {
        "the lease was lost during this attempt; the next holder looks at MeaSoft first"
    };
    let entry = Entry::new(now, What::Decision, words).about(active.id(), attempt.intent.number.as_str());
    tx.append_journal(&entry.outcome("fence_lost")).await?;
    tx.commit().await
}

/// The next holder found the order that this one placed, and the ledger has it as it left: no
/// doubt is left of it.
async fn is_known_as_left(
    tools: &Tools,
    active: &ActiveIntegration,
    attempt: &Attempt,
    outcome: &Outcome,
) -> store::Result<bool> {
    let (Outcome::Done(Change::Created), Some(d)) = (outcome, &attempt.delivery) else {
        return Ok(false);
    };
    let kept = tools.store.delivery_by_order(active.id(), d.crm_order).await?;
    Ok(kept.is_some_and(|kept| {
        (&kept.orderno, kept.state, &kept.status) == (&d.orderno, d.state, &d.status)
            && kept.sent_hash.is_some()
            && kept.sent_hash == d.sent_hash
    }))
}

/// A letter of what gave up; those of what is done by now are closed.
async fn note_letters(
    tx: &mut Tx,
    tools: &Tools,
    active: &ActiveIntegration,
    attempt: &Attempt,
    conclusion: &Conclusion,
) -> store::Result<()> {
    let now = conclusion.at;
    match &conclusion.outcome {
        Outcome::GiveUp(give_up) => {
            let letter = dead_letter(attempt, conclusion.kind, give_up, now);
            tx.add_dead_letter_of(attempt.intent.order, &letter, now).await?;
            if attempt.unreported {
                let pause = tools.policy.rungs.first().copied().unwrap_or_default();
                tx.wake_intent(&attempt.intent, later(now, pause), now).await?;
            }
        }
        // Telling RetailCRM of the order as it was leaves open what never reached MeaSoft.
        Outcome::Done(change) if *change != Change::WrittenBack || attempt.is_as_wanted() => {
            if let Some(order) = attempt.intent.order {
                tx.resolve_dead_letters(active.id(), order, attempt.intent.number.as_str(), now).await?;
                // RetailCRM drops the delivery: nobody waits for its statuses any more.
                if let Some(d) = attempt.delivery.as_ref().filter(|d| d.state == S::Cancelled) {
                    let kind = Kind::PushStatuses.as_str();
                    tx.resolve_dead_letters_of_orders(active.id(), &[(order, d.id)], kind, now).await?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// What else is wanted of the order after this, and what is not any more.
async fn note_requests(
    tx: &mut Tx,
    tools: &Tools,
    active: &ActiveIntegration,
    attempt: &Attempt,
    conclusion: &Conclusion,
    is_here: Option<bool>,
) -> store::Result<()> {
    let Conclusion { outcome, leave, at: now, .. } = conclusion;
    let (intent, served, wanted) = (&attempt.intent, *leave == Leave::Served, attempt.requested());
    // What may still arrive at MeaSoft is looked for when it can no longer be under way.
    let late = attempt.late_until.filter(|until| until > now && served);
    if let Some(until) = late.filter(|_| !is_mutant(Mutant::LateWriteForgotten)) {
        tx.ask_to_verify(intent, until, *now).await?;
    }
    let has_left = attempt.is_withdrawn() || is_here == Some(false);
    let is_cancel = wanted.cancel && !wanted.send_after_cancel;
    if served && is_cancel && is_here == Some(true) && !has_left {
        tx.forget_cancel(intent).await?;
    }
    if let (Outcome::Done(_) | Outcome::AlreadyDone(_), Some(order)) = (outcome, intent.order) {
        tx.resolve_ambiguous(active.id(), order, has_left, *now).await?;
    }
    let left_behind = attempt.delivery.as_ref().filter(|d| is_here == Some(false) && is_found_gone(d, outcome, wanted));
    if let (Some(d), Some(_), true) = (left_behind, intent.order, served) {
        let due_at = later(*now, tools.limits.settle);
        tx.record_request(&clearing_up(d, intent.number.clone(), intent, due_at, *now), *now).await?;
    }
    Ok(())
}

/// What the database refuses to store of an attempt ends as a dead letter all the same, without
/// the order's own row. What the ledger said before stays, and is looked up by whoever comes
/// next. False when the lease was lost.
async fn set_aside(tools: &Tools, attempt: &Attempt, conclusion: &Conclusion) -> store::Result<bool> {
    let Outcome::GiveUp(give_up) = &conclusion.outcome else { return Ok(false) };
    let mut tx = tools.store.db.begin().await?;
    if !tx.leave_intent(&attempt.intent, Leave::Served, conclusion.at).await? {
        return Ok(false);
    }
    let mut dead = dead_letter(attempt, conclusion.kind, give_up, conclusion.at);
    dead.delivery = None;
    tx.add_dead_letter_of(attempt.intent.order, &dead, conclusion.at).await?;
    tx.commit().await?;
    if let Some(d) = &attempt.delivery {
        tools.store.release_delivery(d).await?;
    }
    Ok(true)
}

fn observe(
    tools: &Tools,
    active: &ActiveIntegration,
    attempt: &Attempt,
    conclusion: &Conclusion,
    started: Timestamp,
    held: bool,
) {
    let Conclusion { kind, outcome, at: now, .. } = conclusion;
    let (why, reason) = match outcome {
        Outcome::RetryLater { why, .. } => (Some(*why), None),
        Outcome::GiveUp(give_up) => (None, Some(give_up.reason)),
        _ => (None, None),
    };
    let took = elapsed(started, *now);
    tools.metrics.command(*kind, outcome, took);
    if let Some(why) = why {
        tools.metrics.retry(*kind, why);
    }
    if let (Some(at), Outcome::Done(_)) = (attempt.effect_at, outcome) {
        tools.metrics.effect(*kind, elapsed(attempt.intent.wanted_at, at));
    }
    if let (Outcome::Done(Change::Created), Some(d)) = (outcome, &attempt.delivery) {
        tools.metrics.requests_per_order(d.requests);
    }
    tracing::info!(
        integration = active.id().0,
        order = attempt.intent.number.as_str(),
        command = kind.as_str(),
        attempt = attempt.intent.attempt,
        outcome = outcome.label(),
        why = why.map(RetryWhy::as_str),
        reason,
        duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        next_attempt_at = conclusion.next_at().map(tracing::field::display),
        traceparent = attempt.intent.traceparent.as_deref(),
        fence_held = held,
        "attempt.finished"
    );
}
