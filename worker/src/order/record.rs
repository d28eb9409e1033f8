//! What the attempts of a batch came to, in one commit: deliveries, intents, dead letters and the
//! journal. Then the orders are let go.

use std::time::Duration;

use jiff::Timestamp;
use shared::clock::{elapsed, later};
use shared::domain::delivery::{DeliveryState as S, Event};
use shared::message::{Change, Kind, Outcome, RetryWhy};
use shared::mutant::{Mutant, is_mutant};
use shared::phrases::{Detail, Details, Value as _};
use shared::retry::Waits;
use shared::store::Tx;
use shared::store::again::at_once;
use shared::store::intents::{Held, Leave};
use shared::store::journal::{Entry, What};
use shared::story::Event as Told;
use shared::{reason, store};

use crate::hint::Hint;
use crate::order::attempt::Attempt;
use crate::order::confidential;
use crate::order::decide::Presence;
use crate::order::left_behind::{clear_elsewhere, clearing_up, is_found_gone, is_served_here};
use crate::order::letter::{dead_letter, kind_of};
use crate::order::report::shown;
use crate::order::settle::{Settlement, settle, spent_trying};
use crate::order::story::story;
use crate::policy::Policy;
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;

/// What an attempt came to, as it is written down.
struct Conclusion {
    kind: Kind,
    outcome: Outcome,
    leave: Leave,
    at: Timestamp,
    /// Whether the order is this shop's, as it was read.
    is_here: Option<bool>,
}

impl Conclusion {
    const fn next_at(&self) -> Option<Timestamp> {
        match self.leave {
            Leave::Wait { due_at, .. } => Some(due_at),
            Leave::Served => None,
        }
    }
}

/// An attempt and what it came to.
type Concluded = (Attempt, Conclusion);

/// How an order was let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LetGo {
    Lost,
    /// Nothing is wanted of it by now.
    Served,
    /// A newer request, or the same, waits.
    Wanted,
}

/// Stores what attempts came to, and lets go. Answers when the orders are due again.
pub(crate) async fn record(
    tools: &Tools,
    active: &ActiveIntegration,
    attempts: Vec<Attempt>,
    started: Timestamp,
) -> Vec<Hint> {
    let now = tools.clock.now();
    let conclude = |mut attempt: Attempt| {
        hide_personal(active, &mut attempt);
        keep_cancel_open(&mut attempt, now);
        let mut conclusion = conclude(&mut attempt, started, now, &tools.policy);
        let is_ours = |read| shown(read, &attempt, active, &tools.module_code) == Presence::Ours;
        conclusion.is_here = attempt.order.as_ref().map(is_ours);
        (attempt, conclusion)
    };
    let mut done: Vec<Concluded> = attempts.into_iter().map(conclude).collect();
    let held = store_until_taken(tools, active, &mut done).await;
    let mut again = Vec::with_capacity(done.len());
    for ((attempt, conclusion), held) in done.iter().zip(held) {
        let Some(held) = held else { continue };
        observe(tools, active, attempt, conclusion, started, held != LetGo::Lost);
        if let Some(order) = attempt.intent.order {
            tools.notifier.notify(active.id(), order);
        }
        if held != LetGo::Served {
            again.push(Hint { integration: active.id(), due_at: conclusion.next_at().unwrap_or(now) });
        }
    }
    again
}

/// RetailCRM was told its own customer's data; letters and journal are read by others too.
fn hide_personal(active: &ActiveIntegration, attempt: &mut Attempt) {
    let known = confidential::all(active, attempt.order.as_ref());
    if let Some(Outcome::GiveUp(give_up)) = &mut attempt.outcome {
        give_up.detail.hide(&known);
    }
    attempt.notes.hide(&known);
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
                Outcome::RetryLater { why, .. } => Detail::Waited { why: *why }.into(),
                _ => Details::NONE,
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
    Conclusion { kind: kind_of(attempt), outcome, leave, at: now, is_here: None }
}

/// How each order was let go. `None`: nothing could be stored, not even that.
async fn store_until_taken(tools: &Tools, active: &ActiveIntegration, done: &mut [Concluded]) -> Vec<Option<LetGo>> {
    let mut held = Vec::with_capacity(done.len());
    let mut rest = done;
    while !rest.is_empty() {
        let mut these = rest.len();
        let mut waits = Waits::between(Duration::from_millis(50), Duration::from_secs(5));
        let mut left = 20;
        loop {
            match store_results(tools, active, &rest[..these]).await {
                Ok(stored) => {
                    held.extend(stored.into_iter().map(Some));
                    break;
                }
                // One attempt that the database refuses holds up no other.
                Err(error) if these > 1 && !error.is_the_databases() => these /= 2,
                // What the database refuses it goes on refusing; what is only away comes back.
                Err(error) if left > 0 => {
                    // The leases are kept alive meanwhile; giving up here would only cost a repeat.
                    tracing::warn!(%error, attempts = these, "results could not be stored yet");
                    left -= if error.is_the_databases() { 1 } else { 7.min(left) };
                    tokio::time::sleep(waits.next_wait()).await;
                }
                Err(error) => {
                    tracing::error!(%error, "results could not be stored: a person has to see the orders");
                    for (attempt, conclusion) in &mut rest[..these] {
                        conclusion.outcome = Outcome::GiveUp(reason::give_up(reason::INTERNAL, error.to_string()));
                        let set_aside = set_aside(tools, attempt, conclusion).await;
                        held.push(
                            set_aside
                                .inspect_err(|error| {
                                    tracing::error!(%error, "nor could a dead letter; the order will be looked at again");
                                })
                                .ok(),
                        );
                    }
                    break;
                }
            }
        }
        rest = &mut rest[these..];
    }
    held
}

/// Stores results in one commit. Where the lease was lost on the way the next holder looks at
/// MeaSoft first.
async fn store_results(tools: &Tools, active: &ActiveIntegration, done: &[Concluded]) -> store::Result<Vec<LetGo>> {
    // Before this shop's own result: a request too many is served without effect.
    let placed = |(attempt, conclusion): &&Concluded| {
        conclusion.is_here == Some(true)
            && conclusion.leave == Leave::Served
            && is_served_here(attempt, &conclusion.outcome)
    };
    clear_elsewhere(tools, active, done.iter().filter(placed).map(|(attempt, _)| attempt)).await?;
    let mut held = vec![LetGo::Served; done.len()];
    loop {
        let these: Vec<usize> = (0..done.len()).filter(|at| held[*at] != LetGo::Lost).collect();
        let rest: Vec<&Concluded> = these.iter().map(|at| &done[*at]).collect();
        let stored = at_once(|| store_held(tools, active, &rest)).await?;
        let is_stored = !stored.contains(&LetGo::Lost);
        for (at, stored) in these.into_iter().zip(stored).filter(|(_, stored)| is_stored || *stored == LetGo::Lost) {
            held[at] = stored;
            if stored == LetGo::Lost {
                lease_lost(tools, active, &done[at].0, &done[at].1).await?;
            }
        }
        if is_stored {
            return Ok(held);
        }
    }
}

/// Stores results whose leases are all held. Where some are not, nothing is stored.
async fn store_held(tools: &Tools, active: &ActiveIntegration, done: &[&Concluded]) -> store::Result<Vec<LetGo>> {
    let Some(now) = done.first().map(|(_, conclusion)| conclusion.at) else { return Ok(Vec::new()) };
    let attempts = || done.iter().map(|(attempt, _)| attempt);
    let mut tx = tools.store.db.begin().await?;
    // In the order that everybody keeps to: intents, then deliveries.
    let left: Vec<_> = done.iter().map(|(attempt, conclusion)| (&attempt.intent, conclusion.leave)).collect();
    let intents = tx.leave_intents(&left, now).await?;
    let deliveries = tx.save_deliveries(attempts().filter_map(|attempt| attempt.delivery.as_ref()), true, now).await?;
    let let_go = |attempt: &Attempt| {
        let delivery = attempt.delivery.as_ref().is_none_or(|d| deliveries.contains(&d.id));
        match intents.get(&Held::from(&attempt.intent)).filter(|_| delivery) {
            None => LetGo::Lost,
            Some(true) => LetGo::Wanted,
            Some(false) => LetGo::Served,
        }
    };
    let stored: Vec<LetGo> = attempts().map(let_go).collect();
    if stored.contains(&LetGo::Lost) {
        return Ok(stored);
    }
    tx.keep_past(&attempts().filter_map(|attempt| attempt.retired.as_ref()).collect::<Vec<_>>()).await?;
    let late = attempts().filter(|attempt| attempt.reported_late).filter_map(|attempt| attempt.delivery.as_ref());
    tx.tracking_is_known(&late.map(|d| d.id).collect::<Vec<_>>(), now).await?;
    note_letters(&mut tx, tools, active, done, now).await?;
    note_requests(&mut tx, tools, active, done, now).await?;
    tx.append_all(&done.iter().map(|one| entry(active, one)).collect::<Vec<_>>()).await?;
    tx.commit().await?;
    Ok(stored)
}

fn entry(active: &ActiveIntegration, (attempt, conclusion): &Concluded) -> Entry {
    let Conclusion { outcome, leave, at, .. } = conclusion;
    let entry = Entry::of(*at, What::Decision, story(attempt, outcome, *leave))
        .about(active.id(), attempt.intent.number.as_str())
        .outcome(outcome.label());
    match &attempt.delivery {
        Some(d) => entry.orderno(d.orderno.as_str()),
        None => entry,
    }
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
    let event = if is_known { Told::LeaseLostAndFound } else { Told::LeaseLost };
    let entry = Entry::new(now, What::Decision, event).about(active.id(), attempt.intent.number.as_str());
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

/// Letters of what gave up; those of what is done by now are closed.
async fn note_letters(
    tx: &mut Tx,
    tools: &Tools,
    active: &ActiveIntegration,
    done: &[&Concluded],
    now: Timestamp,
) -> store::Result<()> {
    let (mut resolved, mut cancelled) = (Vec::new(), Vec::new());
    for (attempt, conclusion) in done.iter().copied() {
        match (&conclusion.outcome, attempt.intent.order) {
            (Outcome::GiveUp(give_up), order) => {
                let letter = dead_letter(attempt, conclusion.kind, give_up, now);
                tx.add_dead_letter_of(order, &letter, now).await?;
                if attempt.unreported {
                    let pause = tools.policy.rungs.first().copied().unwrap_or_default();
                    tx.wake_intent(&attempt.intent, later(now, pause), now).await?;
                }
            }
            // Telling RetailCRM of the order as it was leaves open what never reached MeaSoft.
            (Outcome::Done(change), Some(order)) if *change != Change::WrittenBack || attempt.is_as_wanted() => {
                resolved.push((order, attempt.intent.number.as_str()));
                // RetailCRM drops the delivery: nobody waits for its statuses any more.
                let delivery = attempt.delivery.as_ref().filter(|d| d.state == S::Cancelled);
                cancelled.extend(delivery.map(|d| (order, d.id)));
            }
            _ => {}
        }
    }
    tx.resolve_dead_letters(active.id(), &resolved, now).await?;
    tx.resolve_dead_letters_of_orders(active.id(), &cancelled, Kind::PushStatuses.as_str(), now).await?;
    Ok(())
}

/// What else is wanted of the orders after this, and what is not any more.
async fn note_requests(
    tx: &mut Tx,
    tools: &Tools,
    active: &ActiveIntegration,
    done: &[&Concluded],
    now: Timestamp,
) -> store::Result<()> {
    let mut settled = Vec::new();
    for (attempt, conclusion) in done.iter().copied() {
        let Conclusion { outcome, leave, is_here, .. } = conclusion;
        let (intent, served, wanted) = (&attempt.intent, *leave == Leave::Served, attempt.requested());
        // What may still arrive at MeaSoft is looked for when it can no longer be under way.
        let late = attempt.late_until.filter(|until| *until > now && served);
        if let Some(until) = late.filter(|_| !is_mutant(Mutant::LateWriteForgotten)) {
            tx.ask_to_verify(intent, until, now).await?;
        }
        let has_left = attempt.is_withdrawn() || *is_here == Some(false);
        let is_cancel = wanted.cancel && !wanted.send_after_cancel;
        if served && is_cancel && *is_here == Some(true) && !has_left {
            tx.forget_cancel(intent).await?;
        }
        if matches!(outcome, Outcome::Done(_) | Outcome::AlreadyDone(_)) {
            settled.extend(intent.order.map(|order| (order, has_left)));
        }
        let left_behind =
            attempt.delivery.as_ref().filter(|d| *is_here == Some(false) && is_found_gone(d, outcome, wanted));
        if let (Some(d), Some(_), true) = (left_behind, intent.order, served) {
            let due_at = later(now, tools.limits.settle);
            tx.record_request(&clearing_up(d, intent.number.clone(), intent, due_at, now), now).await?;
        }
    }
    tx.resolve_ambiguous(active.id(), &settled, now).await?;
    Ok(())
}

/// What the database refuses to store of an attempt ends as a dead letter all the same, without
/// the order's own row. What the ledger said before stays, and is looked up by whoever comes
/// next.
async fn set_aside(tools: &Tools, attempt: &Attempt, conclusion: &Conclusion) -> store::Result<LetGo> {
    let Outcome::GiveUp(give_up) = &conclusion.outcome else { return Ok(LetGo::Lost) };
    let mut tx = tools.store.db.begin().await?;
    if !tx.leave_intent(&attempt.intent, Leave::Served, conclusion.at).await? {
        return Ok(LetGo::Lost);
    }
    let mut dead = dead_letter(attempt, conclusion.kind, give_up, conclusion.at);
    dead.delivery = None;
    tx.add_dead_letter_of(attempt.intent.order, &dead, conclusion.at).await?;
    tx.commit().await?;
    if let Some(d) = &attempt.delivery {
        tools.store.release_delivery(d).await?;
    }
    Ok(LetGo::Wanted)
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
