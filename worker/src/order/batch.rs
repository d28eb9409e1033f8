//! One batch of due intents of one integration, from lease to ledger: gather the orders,
//! decide, act at MeaSoft, tell RetailCRM, record, let go.
//!
//! The order of the steps is the guarantee: an order is worked on as it was read under its
//! leases, the ledger is written before each call that changes something, and everything an
//! order's attempt came to is recorded in one commit.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use shared::domain::delivery::{DeliveryState as S, Event, Fingerprint};
use shared::domain::{Delivery, IntegrationId, IntegrationState, OrderNo, OrderNumber, PausedBy};
use shared::explain;
use shared::message::{Command, Envelope, GiveUp, Kind, Outcome, RetryWhy};
use shared::planted::{Bug, is_planted};
use shared::retry::Waits;
use shared::store::dead_letters::NewDeadLetter;
use shared::store::deliveries::{DeliveryKey, Leased};
use shared::store::intents::{Intent, Leave};
use shared::store::journal::{Entry, What};
use shared::store::numbers::{numbers, numbers_by_id};
use shared::store::past_deliveries::PastDelivery;
use shared::{reason, store};

use crate::hint::Hint;
use crate::order::attempt::Attempt;
use crate::order::courier::{next_generation, year_changed};
use crate::order::decide::{Decision, Known, REREADS, Shown, Situation, decide};
use crate::order::gather::gather;
use crate::order::lease::OrderLeaseGuard;
use crate::order::left_behind::{clear_elsewhere, clearing_up, is_found_gone};
use crate::order::report::{self, fail_all, shown};
use crate::order::saved_request::SavedRequest;
use crate::order::settle::{Settlement, settle, spent_trying};
use crate::order::{confidential, lost_sends, money, receiver, request, town};
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
            attempts = gather(tools, active, &guard, attempts).await;
            work(tools, active, &references, &mut attempts).await;
            report::write_back(tools, active, &references, &mut attempts).await;
        }
        Err(error) => fail_all(tools, active, &mut attempts, &error).await,
    }
    let mut again = Vec::new();
    for attempt in attempts {
        if let Some(hint) = record(tools, active, attempt, started).await {
            again.push(hint);
        }
    }
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
        let give_up = reason::give_up(reason::UNKNOWN_INTEGRATION, "");
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

/// Lays what a `save` said over the order that REST shows, and remembers what that was.
async fn apply_saved(tools: &Tools, active: &ActiveIntegration, attempt: &mut Attempt) {
    let (Some(order), Some(d)) = (&attempt.order, &mut attempt.delivery) else { return };
    let Some(text) = d.saved_request.clone() else { return };
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
        match tools.store.swap_saved_request(d.id, &text, &noted).await {
            Ok(_) => d.saved_request = Some(noted),
            Err(_) => return attempt.retry(RetryWhy::Internal, None),
        }
    }
    let saved = saved_request.saved(d.integration, d.crm_order, &tools.store.key);
    let instance = active.integration.code(&tools.module_code);
    let (order, saved_request) = saved_request.over(order, saved.as_ref(), &instance, now);
    attempt.order = Some(order);
    attempt.saved_request = saved_request;
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

/// Decides and acts until every case has an outcome.
async fn work(tools: &Tools, active: &ActiveIntegration, references: &Arc<References>, attempts: &mut [Attempt]) {
    for attempt in attempts.iter_mut().filter(|attempt| attempt.is_open()) {
        apply_saved(tools, active, attempt).await;
    }
    let references = lists_for(tools, active, references, attempts).await;
    for _ in 0..ROUNDS {
        let mut creates: Vec<&mut Attempt> = Vec::new();
        let mut singles: Vec<(&mut Attempt, Decision)> = Vec::new();
        for attempt in attempts.iter_mut().filter(|attempt| attempt.is_open()) {
            match next(tools, active, &references, attempt) {
                Decision::Create => creates.push(attempt),
                Decision::Edit if !sendable(attempt) => {}
                other => singles.push((attempt, other)),
            }
        }
        creates.retain_mut(|attempt| sendable(attempt));
        for attempt in &mut creates {
            town::place(tools, active, attempt).await;
        }
        creates.retain(|attempt| attempt.is_open());
        let seen = lost_sends::find(tools, active, &mut creates).await;
        creates.retain(|attempt| attempt.is_open() && is_as_decided(attempt));
        let decided = singles.len();
        singles.retain_mut(|(attempt, _)| !seen.report(attempt));
        if creates.is_empty() && singles.is_empty() && singles.len() == decided && !seen.anew {
            break;
        }
        for (attempt, decision) in singles {
            act(tools, active, attempt, decision).await;
        }
        // An order that failed in company is tried alone.
        let (mut alone, mut together): (Vec<&mut Attempt>, Vec<&mut Attempt>) =
            creates.into_iter().partition(|attempt| attempt.intent.attempt > 0);
        if !together.is_empty() {
            tools.create(active, &mut together).await;
        }
        for attempt in &mut alone {
            tools.create(active, std::slice::from_mut(attempt)).await;
        }
    }
    for attempt in attempts.iter_mut().filter(|attempt| attempt.is_open()) {
        attempt.notes.push("no decision led to an end".to_owned());
        attempt.retry(RetryWhy::Internal, None);
    }
}

/// Whether what is about to be created bears the number it has by now.
fn is_as_decided(attempt: &Attempt) -> bool {
    let wanted = attempt.desired.as_ref().and_then(|desired| desired.as_ref().ok());
    let number = wanted.map(|desired| &desired.order.orderno);
    attempt.delivery.as_ref().is_some_and(|d| matches!(d.state, S::Planned | S::Rejected) && Some(&d.orderno) == number)
}

/// Whether the order can be handed over as it is; closes the case if not.
fn sendable(attempt: &mut Attempt) -> bool {
    match attempt.desired.clone() {
        Some(Ok(_)) => true,
        // During `save` RetailCRM may still show the payments as they were before.
        Some(Err(give_up))
            if attempt.saving && give_up.reason == reason::COD_MISMATCH && attempt.intent.rereads < REREADS =>
        {
            attempt.read_again = true;
            attempt.retry(RetryWhy::CrmLag, None);
            false
        }
        Some(Err(give_up)) => {
            attempt.give_up(give_up);
            false
        }
        None => {
            attempt.retry(RetryWhy::Internal, None);
            false
        }
    }
}

fn next(tools: &Tools, active: &ActiveIntegration, references: &References, attempt: &mut Attempt) -> Decision {
    let shown = match &attempt.order {
        // RetailCRM said so itself; the order's type, or its absence, says nothing more.
        _ if attempt.is_withdrawn() => Shown::Elsewhere,
        None => Shown::NotFound,
        Some(order) => shown(order, attempt, active, &tools.module_code),
    };
    if let (Some(order), Some(d)) = (&attempt.order, &mut attempt.delivery) {
        if shown == Shown::Ours {
            order.number.as_str().clone_into(&mut d.number);
            d.site.clone_from(&order.site);
            if let Some(code) = order.delivery.code.clone() {
                d.delivery_type = code;
            }
            report::notice_forgotten(order, d);
        }
        let desired = request::desired_with(
            order,
            &active.integration,
            references,
            attempt.intent.declared,
            d,
            &attempt.saved_request,
        );
        attempt.desired = Some(desired);
    }
    let now = tools.clock.now();
    // A cancel of ours that nobody recorded the outcome of.
    let cancel_open = attempt.delivery.as_ref().is_some_and(|d| d.state == S::Created && d.cancelled_by_us);
    let known = attempt.delivery.as_mut().map(|d| {
        if is_planted(Bug::ResentUnseen) && d.state.needs_lookup() {
            d.state = S::Planned;
        }
        // MeaSoft refuses a repeated number within one calendar year only.
        if matches!(d.state, S::Planned | S::Rejected) && year_changed(d.sent_at, now) {
            d.state = S::Unknown;
            d.sent_at = None;
        }
        let wanted = attempt.desired.as_ref().and_then(|x| x.as_ref().ok());
        let hash = wanted.map(|x| x.hash.as_str());
        let there = if d.state == S::Rejected { d.sending_hash.as_deref() } else { d.sent_hash.as_deref() };
        let same = match d.state {
            // What still cannot be handed over is as it was when it was refused.
            S::Rejected => hash.is_none() || there == hash,
            _ => hash.is_some() && there == hash,
        };
        let undeclared = d.sending.as_ref().map(|sent| sent.undeclared_hash.as_str());
        let only_declared = there.is_some() && undeclared == wanted.map(|x| x.undeclared_hash.as_str());
        Known {
            state: d.state,
            cancelled_by_us: d.cancelled_by_us,
            same,
            shown_before: same || (only_declared && !is_planted(Bug::DeclaredPassesForChange)),
            written_back: report::is_reported(d, active),
            shows_error: d.crm_written.error.is_some(),
        }
    });
    let never_ours = attempt.delivery.as_ref().is_none_or(|d| {
        d.generation == 1 && d.sent_at.is_none() && !d.cancelled_by_us && d.crm_written.external_id.is_empty()
    });
    let seen = never_ours && !is_planted(Bug::HandOverUnseen);
    let foreign = attempt.order.as_ref().filter(|_| seen).and_then(report::foreign);
    let situation = Situation {
        wanted: attempt.requested(),
        shown,
        known,
        over: attempt.past.is_some(),
        foreign: foreign.is_some(),
        rereads: attempt.intent.rereads,
        allow_edit_cancel: active.integration.settings.allow_edit_cancel,
        verify: attempt.intent.verify || cancel_open,
        looked: attempt.verified,
        saving: attempt.saving,
    };
    match (decide(&situation), foreign) {
        (Decision::GiveUp(give_up), Some(detail)) if give_up.reason == reason::HANDED_OVER_ELSEWHERE => {
            Decision::GiveUp(GiveUp { detail, ..give_up })
        }
        (Decision::GiveUp(give_up), _) if attempt.order.is_none() && attempt.delivery.is_some() => {
            Decision::GiveUp(GiveUp { detail: "the order is gone from RetailCRM".to_owned(), ..give_up })
        }
        (decision, _) => decision,
    }
}

async fn act(tools: &Tools, active: &ActiveIntegration, attempt: &mut Attempt, decision: Decision) {
    match decision {
        Decision::Create => {}
        Decision::Recreate => {
            let Some(d) = &attempt.delivery else { return };
            match free_number(tools, active, d).await {
                Ok((generation, orderno)) => place_anew(attempt, generation, orderno, tools.clock.now()),
                Err(error) => {
                    tracing::warn!(%error, "no number for an order that is placed anew");
                    attempt.retry(RetryWhy::Internal, None);
                }
            }
        }
        Decision::Edit => {
            town::place(tools, active, attempt).await;
            if attempt.is_open() {
                tools.edit(active, attempt).await;
            }
        }
        Decision::Cancel => tools.cancel(active, attempt).await,
        Decision::LookUp => tools.look_up(active, attempt).await,
        Decision::CancelByNumber => cancel_by_number(tools, active, attempt).await,
        Decision::WriteBack => attempt.close(Outcome::Done(shared::message::Change::WrittenBack)),
        Decision::Withdraw => {
            // An update must not bring back what was withdrawn; only a new send may. Marked,
            // should a create that is still under way arrive after all.
            if let Some(d) = &mut attempt.delivery {
                d.state = S::Planned;
                d.reject_reason = None;
                d.cancelled_by_us = true;
            }
            let outcome = if attempt.intent.send_seq > attempt.intent.served {
                Outcome::Done(shared::message::Change::Withdrawn)
            } else {
                Outcome::AlreadyDone("nothing was sent")
            };
            attempt.close(outcome);
        }
        Decision::AlreadyDone(why) => attempt.close(Outcome::AlreadyDone(why)),
        Decision::Superseded(why) => attempt.close(Outcome::Superseded(why)),
        Decision::ReadAgain => {
            attempt.read_again = true;
            attempt.retry(RetryWhy::CrmLag, None);
        }
        Decision::GiveUp(give_up) => attempt.give_up(give_up),
    }
}

/// The next number for what we cancelled and is wanted again. Another order may bear the
/// obvious one.
async fn free_number(tools: &Tools, active: &ActiveIntegration, d: &Delivery) -> store::Result<(u32, OrderNo)> {
    let (prefix, next) = (&active.integration.prefix, d.generation + 1);
    match OrderNumber::parse(&d.number) {
        Ok(number) if !d.orderno.as_str().starts_with(&format!("{prefix}R{}", d.crm_order)) => {
            tools.store.free_number(active.id(), numbers(prefix, &number, d.crm_order, next)).await
        }
        _ => tools.store.free_number(active.id(), numbers_by_id(prefix, d.crm_order, next)).await,
    }
}

fn place_anew(attempt: &mut Attempt, generation: u32, orderno: OrderNo, now: Timestamp) {
    let Some(d) = &mut attempt.delivery else { return };
    attempt.cancelled = Some(Box::new(d.clone()));
    attempt.retired = Some(PastDelivery::of(d, now));
    next_generation(d, generation, orderno);
    attempt.recreated = true;
    attempt.notes.push(format!("wanted again after our cancel: new number {}", d.orderno));
}

/// Our ledger has no delivery of the order here. Another candidate's may; only when none
/// does, MeaSoft is asked by the number we would have given it.
async fn cancel_by_number(tools: &Tools, active: &ActiveIntegration, attempt: &mut Attempt) {
    let Some(order) = attempt.order.clone() else { return };
    for candidate in &attempt.intent.candidates {
        match tools.store.delivery_by_order(candidate.integration, order.id).await {
            Ok(None) => {}
            Ok(Some(_)) => return attempt.close(Outcome::AlreadyDone("this courier never had the order")),
            Err(_) => return attempt.retry(RetryWhy::Internal, None),
        }
    }
    let key = DeliveryKey {
        integration: active.id(),
        crm_order: order.id,
        number: &order.number,
        prefix: &active.integration.prefix,
    };
    let orderno = OrderNo::derive(key.prefix, key.number, key.crm_order, 1);
    // Another order of this number may be there: it is not touched for this one's sake.
    let untouched = Outcome::AlreadyDone("neither we nor MeaSoft know the order");
    match tools.store.number_is_another_s(active.id(), &orderno, order.id).await {
        Ok(false) => {}
        Ok(true) => return attempt.close(untouched),
        Err(_) => return attempt.retry(RetryWhy::Internal, None),
    }
    match tools.ask(active, active.vendors.courier.status_by_orderno(&orderno)).await {
        Err(closed) => attempt.close(closed),
        Ok(Err(error)) => {
            let outcome = tools.failure(active, &error).await;
            attempt.close(outcome);
        }
        Ok(Ok(rows)) if rows.is_empty() => attempt.close(untouched),
        Ok(Ok(_)) => match tools.store.lease_delivery(&key, &tools.owner, tools.lease_until()).await {
            Ok(Leased::Taken(delivery)) => {
                let mut delivery = *delivery;
                if delivery.orderno != orderno {
                    let _ = tools.store.release_delivery(&delivery).await;
                    return attempt.close(untouched);
                }
                attempt.notes.push("MeaSoft has an order under this number".to_owned());
                delivery.state = S::Unknown;
                // It was not sent by us: the receiver's phone is all there is to tell it by.
                let phone_hash = receiver::phones(&order).first().map(|c| tools.store.key.blind(c.phone.as_str()));
                delivery.sending =
                    Some(Fingerprint { phone_hash: phone_hash.unwrap_or_default(), ..Fingerprint::default() });
                attempt.delivery = Some(delivery);
            }
            Ok(Leased::Over(past)) => {
                attempt.past = Some(past);
                attempt.close(Outcome::AlreadyDone("the delivery has ended before"));
            }
            Ok(Leased::Held) => attempt.retry(RetryWhy::LeaseHeld, None),
            Err(_) => attempt.retry(RetryWhy::Internal, None),
        },
    }
}

/// Stores what an attempt came to, in one commit, and lets go. Answers when the order is
/// due again.
async fn record(tools: &Tools, active: &ActiveIntegration, mut attempt: Attempt, started: Timestamp) -> Option<Hint> {
    let now = tools.clock.now();
    let mut outcome =
        attempt.outcome.take().unwrap_or(Outcome::RetryLater { why: RetryWhy::Internal, not_before: None });
    // RetailCRM was told its own customer's data; letters and journal are read by others too.
    let known = confidential::all(active, attempt.order.as_ref());
    if let Outcome::GiveUp(give_up) = &mut outcome {
        give_up.detail = known.hide(&give_up.detail);
    }
    attempt.notes.iter_mut().for_each(|notes| *notes = known.hide(notes));
    let since =
        |at: Timestamp| Duration::from_millis(u64::try_from(now.as_millisecond() - at.as_millisecond()).unwrap_or(0));
    let until_due = match &outcome {
        Outcome::RetryLater { not_before: Some(at), .. } => {
            Duration::from_millis(u64::try_from(at.as_millisecond() - now.as_millisecond()).unwrap_or(0))
        }
        _ => Duration::ZERO,
    };
    let step = if attempt.read_again { attempt.intent.rereads } else { attempt.intent.attempt };
    // A cancel that may still arrive stays open.
    if let Some(d) = &mut attempt.delivery
        && attempt.cancel_open
        && d.state == S::Created
        && attempt.late_until.is_some_and(|until| until > now)
    {
        d.cancelled_by_us = true;
    }
    let mut spent = spent_trying(attempt.intent.spent, since(started));
    if is_planted(Bug::AgeInherited) {
        spent = since(attempt.intent.wanted_at);
    }
    let mut settlement = settle(&outcome, step, spent, until_due, &tools.policy);
    if settlement == Settlement::Expire {
        let why = match &outcome {
            Outcome::RetryLater { why, .. } => why.as_str(),
            _ => "",
        };
        outcome = Outcome::GiveUp(reason::give_up(reason::EXPIRED, why));
        settlement = Settlement::DeadLetter;
    }
    // What could not be sent is refused, whoever refused it and why: an update that mends the
    // order sends it.
    let wanted = attempt.requested();
    if let (Outcome::GiveUp(give_up), Some(d)) = (&outcome, &mut attempt.delivery)
        && (d.state == S::Planned && wanted.send || d.state == S::Rejected && (wanted.send || wanted.update))
    {
        d.state = d.state.after(Event::Refused).unwrap_or(S::Rejected);
        d.reject_reason = Some(give_up.reason.to_owned());
    }
    let kind = kind_of(&attempt);
    let leave = match &settlement {
        Settlement::Wait { pause, counts } => Leave::Wait {
            due_at: now.checked_add(*pause).unwrap_or(now),
            attempt: attempt.intent.attempt + u32::from(*counts && !attempt.read_again),
            rereads: attempt.intent.rereads + u32::from(attempt.read_again),
            spent: if *counts { spent + *pause } else { attempt.intent.spent },
        },
        _ => Leave::Served,
    };
    let next_at = match leave {
        Leave::Wait { due_at, .. } => Some(due_at),
        Leave::Served => None,
    };
    let mut waits = Waits::between(Duration::from_millis(50), Duration::from_secs(5));
    let mut left = 20;
    let held = loop {
        match store_result(tools, active, &attempt, kind, &outcome, leave, now).await {
            Ok(held) => break held,
            // What the database refuses it goes on refusing; what is only away comes back.
            Err(error) if left > 0 => {
                // The lease is kept alive meanwhile; giving up here would only cost a repeat.
                tracing::warn!(%error, "an attempt's result could not be stored yet");
                left -= if error.is_the_databases() { 1 } else { 7.min(left) };
                tokio::time::sleep(waits.next_wait()).await;
            }
            Err(error) => {
                tracing::error!(%error, "an attempt's result could not be stored: a person has to see the order");
                outcome = Outcome::GiveUp(reason::give_up(reason::INTERNAL, error.to_string()));
                match set_aside(tools, &attempt, kind, &outcome, now).await {
                    Ok(held) => break held,
                    Err(error) => {
                        tracing::error!(%error, "nor could its dead letter; the order will be looked at again");
                        return None;
                    }
                }
            }
        }
    };
    let (retry_why, reason_label) = match &outcome {
        Outcome::RetryLater { why, .. } => (Some(*why), None),
        Outcome::GiveUp(give_up) => (None, Some(give_up.reason)),
        _ => (None, None),
    };
    tools.metrics.command(kind, &outcome, since(started));
    if let Some(why) = retry_why {
        tools.metrics.retry(kind, why);
    }
    if let (Some(at), Outcome::Done(_)) = (attempt.effect_at, &outcome) {
        let took = at.as_millisecond() - attempt.intent.wanted_at.as_millisecond();
        tools.metrics.effect(kind, Duration::from_millis(u64::try_from(took).unwrap_or(0)));
    }
    if let (Outcome::Done(shared::message::Change::Created), Some(d)) = (&outcome, &attempt.delivery) {
        tools.metrics.requests_per_order(d.requests);
    }
    tracing::info!(
        integration = active.id().0,
        order = attempt.intent.number.as_str(),
        command = kind.as_str(),
        attempt = attempt.intent.attempt,
        outcome = outcome.label(),
        why = retry_why.map(shared::message::RetryWhy::as_str),
        reason = reason_label,
        duration_ms = u64::try_from(since(started).as_millis()).unwrap_or(u64::MAX),
        next_attempt_at = next_at.map(tracing::field::display),
        traceparent = attempt.intent.traceparent.as_deref(),
        fence_held = held,
        "attempt.finished"
    );
    if let Some(order) = attempt.intent.order {
        tools.notifier.notify(active.id(), order);
    }
    // A newer request may be waiting behind the one just served.
    Some(Hint { integration: active.id(), due_at: next_at.unwrap_or(now) })
}

/// The next holder found the order that this one placed, and the ledger has it as it left: no
/// doubt is left of it.
async fn is_known_as_left(
    tools: &Tools,
    active: &ActiveIntegration,
    attempt: &Attempt,
    outcome: &Outcome,
) -> store::Result<bool> {
    let (Outcome::Done(shared::message::Change::Created), Some(d)) = (outcome, &attempt.delivery) else {
        return Ok(false);
    };
    let kept = tools.store.delivery_by_order(active.id(), d.crm_order).await?;
    Ok(kept.is_some_and(|kept| {
        (&kept.orderno, kept.state, &kept.status) == (&d.orderno, d.state, &d.status)
            && kept.sent_hash.is_some()
            && kept.sent_hash == d.sent_hash
    }))
}

/// False when the lease was lost on the way: then the next holder looks at MeaSoft first.
async fn store_result(
    tools: &Tools,
    active: &ActiveIntegration,
    attempt: &Attempt,
    kind: Kind,
    outcome: &Outcome,
    leave: Leave,
    now: Timestamp,
) -> store::Result<bool> {
    let number = attempt.intent.number.as_str();
    let is_here = attempt.order.as_ref().map(|read| shown(read, attempt, active, &tools.module_code) == Shown::Ours);
    // Before this shop's own result: a request too many is served without effect.
    if let (Some(true), Some(order), Leave::Served) = (is_here, attempt.intent.order, leave) {
        clear_elsewhere(tools, active, attempt, outcome, order).await?;
    }
    let mut tx = tools.store.db.begin().await?;
    // In the order that everybody keeps to: intents, then deliveries.
    let mut held = tx.leave_intent(&attempt.intent, leave, now).await?;
    if held && let Some(d) = &attempt.delivery {
        held = tx.save_delivery(d, true, now).await?;
        if let Some(retired) = &attempt.retired {
            tx.keep_past(retired).await?;
        }
        if held && attempt.reported_late {
            tx.tracking_is_known(d.id, now).await?;
        }
    }
    if !held {
        drop(tx);
        let is_known = is_known_as_left(tools, active, attempt, outcome).await?;
        let mut tx = tools.store.db.begin().await?;
        if attempt.began && !is_known {
            let unknown = attempt.delivery.as_ref().is_some_and(|d| d.state == S::Unknown);
            let due_at = if unknown { now.checked_add(tools.limits.call_limit).unwrap_or(now) } else { now };
            tx.ask_to_verify(&attempt.intent, due_at, now).await?;
        }
        let words = if is_known {
            "the lease was lost during this attempt; the next holder found the order as it was placed"
        } else {
            "the lease was lost during this attempt; the next holder looks at MeaSoft first"
        };
        tx.append_journal(&Entry::new(now, What::Decision, words).about(active.id(), number).outcome("fence_lost"))
            .await?;
        tx.commit().await?;
        return Ok(false);
    }
    // What may still arrive at MeaSoft is looked for when it can no longer be under way.
    let late = attempt.late_until.filter(|until| *until > now && leave == Leave::Served);
    if let Some(until) = late.filter(|_| !is_planted(Bug::LateWriteForgotten)) {
        tx.ask_to_verify(&attempt.intent, until, now).await?;
    }
    match outcome {
        Outcome::GiveUp(give_up) => {
            tx.add_dead_letter_of(attempt.intent.order, &dead_letter(attempt, kind, give_up, now), now).await?;
            if attempt.unreported {
                let pause = tools.policy.rungs.first().copied().unwrap_or_default();
                tx.wake_intent(&attempt.intent, now.checked_add(pause).unwrap_or(now), now).await?;
            }
        }
        // Telling RetailCRM of the order as it was leaves open what never reached MeaSoft.
        Outcome::Done(change) if *change != shared::message::Change::WrittenBack || attempt.is_as_wanted() => {
            if let Some(order) = attempt.intent.order {
                tx.resolve_dead_letters(active.id(), order, number, now).await?;
            }
        }
        _ => {}
    }
    let has_left = attempt.is_withdrawn() || is_here == Some(false);
    let wanted = attempt.requested();
    let is_cancel = wanted.cancel && !wanted.send_after_cancel;
    if leave == Leave::Served && is_cancel && is_here == Some(true) && !has_left {
        tx.forget_cancel(&attempt.intent).await?;
    }
    if let (Outcome::Done(_) | Outcome::AlreadyDone(_), Some(order)) = (outcome, attempt.intent.order) {
        tx.resolve_ambiguous(active.id(), order, has_left, now).await?;
    }
    let left_behind = attempt.delivery.as_ref().filter(|d| is_here == Some(false) && is_found_gone(d, outcome, wanted));
    if let (Some(d), Some(_), Leave::Served) = (left_behind, attempt.intent.order, leave) {
        let due_at = now.checked_add(tools.limits.settle).unwrap_or(now);
        tx.record_request(&clearing_up(d, attempt.intent.number.clone(), &attempt.intent, due_at, now), now).await?;
    }
    let mut entry = Entry::new(now, What::Decision, words(attempt, outcome, leave)).about(active.id(), number);
    if let Some(d) = &attempt.delivery {
        entry = entry.orderno(d.orderno.as_str());
    }
    tx.append_journal(&entry.outcome(outcome.label())).await?;
    tx.commit().await?;
    Ok(true)
}

/// What the database refuses to store of an attempt ends as a dead letter all the same, without
/// the order's own row. What the ledger said before stays, and is looked up by whoever comes
/// next. False when the lease was lost.
async fn set_aside(
    tools: &Tools,
    attempt: &Attempt,
    kind: Kind,
    outcome: &Outcome,
    now: Timestamp,
) -> store::Result<bool> {
    let Outcome::GiveUp(give_up) = outcome else { return Ok(false) };
    let mut tx = tools.store.db.begin().await?;
    if !tx.leave_intent(&attempt.intent, Leave::Served, now).await? {
        return Ok(false);
    }
    let mut dead = dead_letter(attempt, kind, give_up, now);
    dead.delivery = None;
    tx.add_dead_letter_of(attempt.intent.order, &dead, now).await?;
    tx.commit().await?;
    if let Some(d) = &attempt.delivery {
        tools.store.release_delivery(d).await?;
    }
    Ok(true)
}

fn dead_letter(attempt: &Attempt, kind: Kind, give_up: &GiveUp, now: Timestamp) -> NewDeadLetter {
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
fn kind_of(attempt: &Attempt) -> Kind {
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

/// The attempt in a sentence, for the timeline.
fn words(attempt: &Attempt, outcome: &Outcome, leave: Leave) -> String {
    use shared::message::Change;
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
            let words = explain::reason(give_up.reason, shared::domain::Language::En).text;
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

impl Tools {
    #[must_use]
    pub fn lease_until(&self) -> Timestamp {
        let now = self.clock.now();
        now.checked_add(self.limits.lease).unwrap_or(now)
    }

    /// Stops an integration whose CRM refuses its key; its commands wait.
    pub async fn pause_for_crm(&self, active: &ActiveIntegration, why: &str) {
        self.pause(active, PausedBy::Credentials(shared::domain::Fault::Crm), why).await;
    }
}
