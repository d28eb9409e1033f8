//! One batch of due intents of one integration, from lease to ledger: gather the orders,
//! decide, act at MeaSoft, tell RetailCRM, record, let go.
//!
//! The order of the steps is the guarantee: an order is worked on as it was read under its
//! leases, the ledger is written before each call that changes something, and everything that
//! the batch came to is recorded in one commit.

use std::sync::Arc;

use shared::domain::delivery::DeliveryState as S;
use shared::domain::{IntegrationId, IntegrationState};
use shared::message::{Change, Outcome, RetryWhy};
use shared::phrases::Details;
use shared::store::corrections::Correction;
use shared::store::intents::{Intent, Leave};
use shared::story::Event as Told;
use shared::{reason, store};

use crate::hint::Hint;
use crate::order::attempt::{Attempt, Step};
use crate::order::cancel::{cancel, withdraw};
use crate::order::cancel_by_number::cancel_by_number;
use crate::order::decide::{Decision, REREADS};
use crate::order::edit::edit;
use crate::order::gather::gather;
use crate::order::lease::OrderLeaseGuard;
use crate::order::letter::{dead_letter, kind_of};
use crate::order::look_up::look_up;
use crate::order::place::place;
use crate::order::place_anew::place_anew;
use crate::order::record::record;
use crate::order::report::{self, fail_all};
use crate::order::saved_request::SavedRequest;
use crate::order::situation::next;
use crate::order::{correction, lost_writes, money, shadow, town};
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::references::References;

/// Decisions of one attempt; more would mean going round in circles.
const ROUNDS: usize = 6;

/// Works on a batch and answers when something of it is due again.
pub async fn process(tools: &Tools, active: &ActiveIntegration, intents: Vec<Intent>) -> Vec<Hint> {
    let started = tools.clock.now();
    let guard = OrderLeaseGuard::start(tools, &intents);
    let mut attempts: Vec<Attempt> = intents.into_iter().map(Attempt::new).collect();
    match References::of(tools, active).await {
        Ok(references) => {
            // Before the orders are read: what is made meanwhile may be of a newer reading than theirs.
            let corrections = tools.store.corrections_of(active.id()).await;
            attempts = gather(tools, active, &guard, attempts).await;
            work(tools, active, &references, corrections, &mut attempts).await;
            report::write_back(tools, active, &references, &mut attempts).await;
        }
        Err(error) => fail_all(tools, active, &mut attempts, &error).await,
    }
    let again = record(tools, active, attempts, started).await;
    drop(guard);
    again
}

/// Ends the requests of an integration that was removed as dead letters. One that is merely
/// newer than our picture of the integrations is left for the next look.
pub async fn abandon(tools: &Tools, id: IntegrationId, intents: Vec<Intent>) -> Vec<Hint> {
    let now = tools.clock.now();
    let gone = match tools.store.integration(id).await {
        Ok(found) => found.is_none_or(|i| i.state == IntegrationState::Removed),
        Err(_) => false,
    };
    for intent in intents {
        if !gone {
            let _ = tools.store.release_intent(&intent).await;
            continue;
        }
        let attempt = Attempt::new(intent);
        let kind = kind_of(&attempt);
        let give_up = reason::give_up(reason::UNKNOWN_INTEGRATION, Details::NONE);
        let dead_lettered = async {
            let mut tx = tools.store.db.begin().await?;
            if tx.leave_intent(&attempt.intent, Leave::Served, now).await? {
                tx.add_dead_letter_of(attempt.intent.order, &dead_letter(&attempt, kind, &give_up, now), now).await?;
            }
            tx.commit().await
        };
        if let Err(error) = dead_lettered.await {
            tracing::warn!(%error, "a command of a removed integration could not be put aside yet");
        }
    }
    Vec::new()
}

/// Decides and acts until every attempt has an outcome.
async fn work(
    tools: &Tools,
    active: &ActiveIntegration,
    references: &Arc<References>,
    corrections: store::Result<Vec<Correction>>,
    attempts: &mut [Attempt],
) {
    shadow::imagine(active, attempts, tools.clock.now());
    for attempt in attempts.iter_mut().filter(|attempt| attempt.is_open()) {
        let step = apply_saved(tools, active, attempt).await;
        attempt.close_on(step);
    }
    if set_right(tools, active, corrections, attempts).await.is_err() {
        attempts.iter_mut().filter(|attempt| attempt.is_open()).for_each(|a| a.retry(RetryWhy::Internal, None));
    }
    let references = lists_for(tools, active, references, attempts).await;
    shadow::think(tools, active, &references, attempts).await;
    for _ in 0..ROUNDS {
        if !round(tools, active, &references, attempts).await {
            break;
        }
    }
    for attempt in attempts.iter_mut().filter(|attempt| attempt.is_open()) {
        attempt.notes.push(Told::NoEnd);
        attempt.retry(RetryWhy::Internal, None);
    }
}

/// Decides on each order that is open and acts on that, once. False: there was nothing to do.
async fn round(tools: &Tools, active: &ActiveIntegration, references: &References, attempts: &mut [Attempt]) -> bool {
    let mut creates: Vec<&mut Attempt> = Vec::new();
    let mut singles: Vec<(&mut Attempt, Decision)> = Vec::new();
    for attempt in attempts.iter_mut().filter(|attempt| attempt.is_open()) {
        let decision = next(tools, active, references, attempt);
        if matches!(decision, Decision::Create | Decision::Edit)
            && let Err(outcome) = sendable(attempt)
        {
            attempt.close(outcome);
            continue;
        }
        match decision {
            Decision::Create => creates.push(attempt),
            other => singles.push((attempt, other)),
        }
    }
    for attempt in &mut creates {
        let step = town::fill_in(tools, active, attempt).await;
        attempt.close_on(step);
    }
    creates.retain(|attempt| attempt.is_open());
    let anew = lost_writes::look(tools, active, &mut creates, &mut singles).await;
    creates.retain(|attempt| attempt.is_open() && is_as_decided(attempt));
    if creates.is_empty() && singles.is_empty() && !anew {
        return false;
    }
    for (attempt, decision) in singles {
        let step = act(tools, active, attempt, decision).await;
        attempt.close_on(step);
    }
    // An order that failed in company is tried alone.
    let (mut alone, mut together): (Vec<&mut Attempt>, Vec<&mut Attempt>) =
        creates.into_iter().partition(|attempt| attempt.intent.attempt > 0);
    if !together.is_empty() {
        place(tools, active, &mut together).await;
    }
    for attempt in &mut alone {
        place(tools, active, std::slice::from_mut(attempt)).await;
    }
    true
}

/// Lays what a `save` said over the order that REST shows, and remembers what that was.
async fn apply_saved(tools: &Tools, active: &ActiveIntegration, attempt: &mut Attempt) -> Step {
    let (Some(order), Some(d)) = (&attempt.order, &mut attempt.delivery) else { return Ok(()) };
    let Some(text) = d.saved_request.clone() else { return Ok(()) };
    let now = tools.clock.now();
    let mut saved_request = SavedRequest::of_delivery(d);
    if saved_request.is_new() {
        if saved_request.is_late(now) {
            saved_request = saved_request.overtaken();
        } else {
            attempt.saving = true;
            attempt.answer_by = saved_request.awaited_until(now);
        }
        saved_request = saved_request.noted(order, now);
        let noted = saved_request.text();
        let swapped = tools.store.swap_saved_request(d.id, &text, &noted).await;
        swapped.map_err(|_| Outcome::retry(RetryWhy::Internal))?;
        d.saved_request = Some(noted);
    }
    let saved = saved_request.saved(d.integration, d.crm_order, &tools.store.key);
    let instance = active.integration.code(&tools.module_code);
    let (order, saved_request) = saved_request.over(order, saved.as_ref(), &instance, now);
    attempt.order = Some(order);
    attempt.saved_request = saved_request;
    Ok(())
}

/// Lays what people set right over their orders, and ends what RetailCRM has overtaken.
async fn set_right(
    tools: &Tools,
    active: &ActiveIntegration,
    corrections: store::Result<Vec<Correction>>,
    attempts: &mut [Attempt],
) -> store::Result<()> {
    let all = corrections?;
    for attempt in attempts.iter_mut().filter(|attempt| attempt.is_open()) {
        let Some(order) = &mut attempt.order else { continue };
        let own: Vec<Correction> = all.iter().filter(|one| one.order == order.id).cloned().collect();
        let over = correction::lay_over(order, &own);
        for one in &own {
            let (field, who) = (one.field, one.who.clone());
            if over.contains(&one) {
                tools.store.end_correction(active.id(), one).await?;
                attempt.notes.push(Told::CorrectionEnded { field, who });
            } else {
                attempt.notes.push(Told::CorrectionUsed { field, who });
            }
        }
    }
    Ok(())
}

/// The lists the batch's money is decided by: read anew when an order names something they
/// do not have, or is not collected at the door by lists that are older than its trigger (a
/// payment type may have been ticked meanwhile).
async fn lists_for(
    tools: &Tools,
    active: &ActiveIntegration,
    kept: &Arc<References>,
    attempts: &mut [Attempt],
) -> Arc<References> {
    let settings = &active.integration.settings;
    let hangs = |attempt: &Attempt, lists: &References| {
        let order = attempt.order.as_ref().filter(|_| attempt.is_open() && attempt.delivery.is_some());
        order.is_some_and(|order| money::hangs_on_lists(order, settings, lists, attempt.saved_request.said(order)))
    };
    let Some(since) =
        attempts.iter().filter(|attempt| hangs(attempt, kept)).map(|attempt| attempt.intent.wanted_at).max()
    else {
        return kept.clone();
    };
    match References::since(tools, active, since).await {
        Ok(lists) => lists,
        Err(error) => {
            let outcome = report::failure(tools, active, &error).await;
            for attempt in attempts.iter_mut().filter(|attempt| hangs(attempt, kept)) {
                attempt.close(outcome.clone());
            }
            kept.clone()
        }
    }
}

/// Whether what is about to be created bears the number it has by now.
fn is_as_decided(attempt: &Attempt) -> bool {
    let number = attempt.wanted().map(|desired| &desired.order.orderno);
    attempt.delivery.as_ref().is_some_and(|d| matches!(d.state, S::Planned | S::Rejected) && Some(&d.orderno) == number)
}

/// Whether the order can be handed over as it is.
fn sendable(attempt: &mut Attempt) -> Step {
    match &attempt.desired {
        Some(Ok(_)) => Ok(()),
        // During `save` RetailCRM may still show the payments as they were before.
        Some(Err(give_up))
            if attempt.saving && give_up.reason == reason::COD_MISMATCH && attempt.intent.rereads < REREADS =>
        {
            Err(attempt.read_again())
        }
        Some(Err(give_up)) => Err(Outcome::GiveUp(give_up.clone())),
        None => Err(Outcome::retry(RetryWhy::Internal)),
    }
}

async fn act(tools: &Tools, active: &ActiveIntegration, attempt: &mut Attempt, decision: Decision) -> Step {
    match decision {
        // Those go together.
        Decision::Create => Ok(()),
        Decision::Recreate => place_anew(tools, active, attempt).await,
        Decision::Edit => {
            town::fill_in(tools, active, attempt).await?;
            edit(tools, active, attempt).await
        }
        Decision::Cancel => cancel(tools, active, attempt).await,
        Decision::LookUp => look_up(tools, active, attempt).await,
        Decision::CancelByNumber => cancel_by_number(tools, active, attempt).await,
        Decision::WriteBack => Err(Outcome::Done(Change::WrittenBack)),
        Decision::Withdraw => Err(withdraw(attempt)),
        Decision::AlreadyDone(why) => Err(Outcome::AlreadyDone(why)),
        Decision::Superseded(why) => Err(Outcome::Superseded(why)),
        Decision::ReadAgain => Err(attempt.read_again()),
        Decision::GiveUp(give_up) => Err(Outcome::GiveUp(give_up)),
    }
}
