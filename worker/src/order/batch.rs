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
use crate::order::attempt::Case;
use crate::order::courier::{next_generation, year_changed};
use crate::order::decide::{Decision, Known, REREADS, Shown, Situation, decide};
use crate::order::gather::gather;
use crate::order::lease::LeaseKeeper;
use crate::order::left_behind::{clear_elsewhere, clearing_up, is_found_gone};
use crate::order::report::{self, fail_all, shown};
use crate::order::saved_request::Overlay;
use crate::order::settle::{Settlement, settle, spent_trying};
use crate::order::{confidential, lost_sends, money, receiver, request, town};
use crate::tools::Tools;
use crate::vendor::Shop;
use crate::vendor::references::References;

/// Decisions of one attempt; more would mean going round in circles.
const ROUNDS: usize = 6;

/// Works on a batch and answers when something of it is due again.
pub async fn serve(tools: &Tools, shop: &Shop, intents: Vec<Intent>) -> Vec<Hint> {
    let started = tools.clock.now();
    let keeper = LeaseKeeper::start(tools, &intents);
    let mut cases: Vec<Case> = intents.into_iter().map(Case::new).collect();
    match References::of(tools, shop).await {
        Ok(references) => {
            cases = gather(tools, shop, &keeper, cases).await;
            work(tools, shop, &references, &mut cases).await;
            report::tell(tools, shop, &references, &mut cases).await;
        }
        Err(error) => fail_all(tools, shop, &mut cases, &error).await,
    }
    let mut again = Vec::new();
    for case in cases {
        if let Some(hint) = record(tools, shop, case, started).await {
            again.push(hint);
        }
    }
    drop(keeper);
    again
}

/// Ends the wishes of an integration that was removed as dead letters. One that is merely
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
        let case = Case::new(intent);
        let kind = kind_of(&case);
        let give_up = reason::give_up(reason::UNKNOWN_INTEGRATION, "");
        let buried = async {
            let mut tx = tools.store.db.begin().await?;
            if tx.leave_intent(&case.intent, Leave::Served, now).await? {
                tx.bury_of(case.intent.order, &dead_letter(&case, kind, &give_up, now), now).await?;
            }
            tx.commit().await
        };
        if let Err(error) = buried.await {
            tracing::warn!(%error, "a command of a removed integration could not be put aside yet");
        }
    }
    Vec::new()
}

/// Lays what a `save` said over the order that REST shows, and remembers what that was.
async fn lay_over(tools: &Tools, shop: &Shop, case: &mut Case) {
    let (Some(order), Some(d)) = (&case.order, &mut case.delivery) else { return };
    let Some(text) = d.overlay.clone() else { return };
    let now = tools.clock.now();
    let mut overlay = Overlay::of_delivery(d);
    if overlay.is_new() {
        if overlay.is_late(now) {
            overlay = overlay.overtaken();
        } else {
            case.saving = true;
            case.answer_by = overlay.awaited_until(now);
        }
        overlay = overlay.noted(order, now);
        let noted = overlay.text();
        match tools.store.swap_overlay(d.id, &text, &noted).await {
            Ok(_) => d.overlay = Some(noted),
            Err(_) => return case.retry(RetryWhy::Internal, None),
        }
    }
    let saved = overlay.saved(d.integration, d.crm_order, &tools.store.key);
    let instance = shop.integration.code(&tools.module_code);
    let (order, overlay) = overlay.over(order, saved.as_ref(), &instance, now);
    case.order = Some(order);
    case.overlay = overlay;
}

/// The lists the batch's money is decided by: read anew when an order names something they
/// do not have, or is not collected at the door by lists that are older than its trigger (a
/// payment type may have been ticked meanwhile).
async fn lists_for(tools: &Tools, shop: &Shop, kept: &Arc<References>, cases: &mut [Case]) -> Arc<References> {
    let settings = &shop.integration.settings;
    let hangs = |case: &Case, lists: &References| {
        let order = case.order.as_ref().filter(|_| case.is_open() && case.delivery.is_some());
        order.is_some_and(|order| money::hangs_on_lists(order, settings, lists, case.overlay.said(order)))
    };
    let Some(since) = cases.iter().filter(|case| hangs(case, kept)).map(|case| case.intent.wanted_at).max() else {
        return kept.clone();
    };
    match References::since(tools, shop, since).await {
        Ok(lists) => lists,
        Err(error) => {
            let outcome = report::failure(tools, shop, &error).await;
            for case in cases.iter_mut().filter(|case| hangs(case, kept)) {
                case.close(outcome.clone());
            }
            kept.clone()
        }
    }
}

/// Decides and acts until every case has an outcome.
async fn work(tools: &Tools, shop: &Shop, references: &Arc<References>, cases: &mut [Case]) {
    for case in cases.iter_mut().filter(|case| case.is_open()) {
        lay_over(tools, shop, case).await;
    }
    let references = lists_for(tools, shop, references, cases).await;
    for _ in 0..ROUNDS {
        let mut creates: Vec<&mut Case> = Vec::new();
        let mut singles: Vec<(&mut Case, Decision)> = Vec::new();
        for case in cases.iter_mut().filter(|case| case.is_open()) {
            match next(tools, shop, &references, case) {
                Decision::Create => creates.push(case),
                Decision::Edit if !sendable(case) => {}
                other => singles.push((case, other)),
            }
        }
        creates.retain_mut(|case| sendable(case));
        for case in &mut creates {
            town::place(tools, shop, case).await;
        }
        creates.retain(|case| case.is_open());
        let seen = lost_sends::find(tools, shop, &mut creates).await;
        creates.retain(|case| case.is_open() && is_as_decided(case));
        let decided = singles.len();
        singles.retain_mut(|(case, _)| !seen.tell(case));
        if creates.is_empty() && singles.is_empty() && singles.len() == decided && !seen.anew {
            break;
        }
        for (case, decision) in singles {
            act(tools, shop, case, decision).await;
        }
        // An order that failed in company is tried alone.
        let (mut alone, mut together): (Vec<&mut Case>, Vec<&mut Case>) =
            creates.into_iter().partition(|case| case.intent.attempt > 0);
        if !together.is_empty() {
            tools.create(shop, &mut together).await;
        }
        for case in &mut alone {
            tools.create(shop, std::slice::from_mut(case)).await;
        }
    }
    for case in cases.iter_mut().filter(|case| case.is_open()) {
        case.told.push("no decision led to an end".to_owned());
        case.retry(RetryWhy::Internal, None);
    }
}

/// Whether what is about to be created bears the number it has by now.
fn is_as_decided(case: &Case) -> bool {
    let wanted = case.desired.as_ref().and_then(|desired| desired.as_ref().ok());
    let number = wanted.map(|desired| &desired.order.orderno);
    case.delivery.as_ref().is_some_and(|d| matches!(d.state, S::Planned | S::Rejected) && Some(&d.orderno) == number)
}

/// Whether the order can be handed over as it is; closes the case if not.
fn sendable(case: &mut Case) -> bool {
    match case.desired.clone() {
        Some(Ok(_)) => true,
        // During `save` RetailCRM may still show the payments as they were before.
        Some(Err(give_up))
            if case.saving && give_up.reason == reason::COD_MISMATCH && case.intent.rereads < REREADS =>
        {
            case.read_again = true;
            case.retry(RetryWhy::CrmLag, None);
            false
        }
        Some(Err(give_up)) => {
            case.give_up(give_up);
            false
        }
        None => {
            case.retry(RetryWhy::Internal, None);
            false
        }
    }
}

fn next(tools: &Tools, shop: &Shop, references: &References, case: &mut Case) -> Decision {
    let shown = match &case.order {
        // RetailCRM said so itself; the order's type, or its absence, says nothing more.
        _ if case.is_withdrawn() => Shown::Elsewhere,
        None => Shown::NotFound,
        Some(order) => shown(order, case, shop, &tools.module_code),
    };
    if let (Some(order), Some(d)) = (&case.order, &mut case.delivery) {
        if shown == Shown::Ours {
            order.number.as_str().clone_into(&mut d.number);
            d.site.clone_from(&order.site);
            if let Some(code) = order.delivery.code.clone() {
                d.delivery_type = code;
            }
            report::notice_forgotten(order, d);
        }
        let desired =
            request::desired_with(order, &shop.integration, references, case.intent.declared, d, &case.overlay);
        case.desired = Some(desired);
    }
    let now = tools.clock.now();
    // A cancel of ours that nobody recorded the outcome of.
    let cancel_open = case.delivery.as_ref().is_some_and(|d| d.state == S::Created && d.cancelled_by_us);
    let known = case.delivery.as_mut().map(|d| {
        if is_planted(Bug::ResentUnseen) && d.state.needs_lookup() {
            d.state = S::Planned;
        }
        // MeaSoft refuses a repeated number within one calendar year only.
        if matches!(d.state, S::Planned | S::Rejected) && year_changed(d.sent_at, now) {
            d.state = S::Unknown;
            d.sent_at = None;
        }
        let wanted = case.desired.as_ref().and_then(|x| x.as_ref().ok());
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
            written_back: report::is_told(d, shop),
            shows_error: d.crm_written.error.is_some(),
        }
    });
    let never_ours = case.delivery.as_ref().is_none_or(|d| {
        d.generation == 1 && d.sent_at.is_none() && !d.cancelled_by_us && d.crm_written.external_id.is_empty()
    });
    let seen = never_ours && !is_planted(Bug::HandOverUnseen);
    let foreign = case.order.as_ref().filter(|_| seen).and_then(report::foreign);
    let situation = Situation {
        wanted: case.wanted(),
        shown,
        known,
        over: case.past.is_some(),
        foreign: foreign.is_some(),
        rereads: case.intent.rereads,
        allow_edit_cancel: shop.integration.settings.allow_edit_cancel,
        verify: case.intent.verify || cancel_open,
        looked: case.verified,
        saving: case.saving,
    };
    match (decide(&situation), foreign) {
        (Decision::GiveUp(give_up), Some(detail)) if give_up.reason == reason::HANDED_OVER_ELSEWHERE => {
            Decision::GiveUp(GiveUp { detail, ..give_up })
        }
        (Decision::GiveUp(give_up), _) if case.order.is_none() && case.delivery.is_some() => {
            Decision::GiveUp(GiveUp { detail: "the order is gone from RetailCRM".to_owned(), ..give_up })
        }
        (decision, _) => decision,
    }
}

async fn act(tools: &Tools, shop: &Shop, case: &mut Case, decision: Decision) {
    match decision {
        Decision::Create => {}
        Decision::Recreate => {
            let Some(d) = &case.delivery else { return };
            match free_number(tools, shop, d).await {
                Ok((generation, orderno)) => place_anew(case, generation, orderno, tools.clock.now()),
                Err(error) => {
                    tracing::warn!(%error, "no number for an order that is placed anew");
                    case.retry(RetryWhy::Internal, None);
                }
            }
        }
        Decision::Edit => {
            town::place(tools, shop, case).await;
            if case.is_open() {
                tools.edit(shop, case).await;
            }
        }
        Decision::Cancel => tools.cancel(shop, case).await,
        Decision::LookUp => tools.look_up(shop, case).await,
        Decision::CancelByNumber => cancel_by_number(tools, shop, case).await,
        Decision::WriteBack => case.close(Outcome::Done(shared::message::Change::WrittenBack)),
        Decision::Withdraw => {
            // An update must not bring back what was withdrawn; only a new send may. Marked,
            // should a create that is still under way arrive after all.
            if let Some(d) = &mut case.delivery {
                d.state = S::Planned;
                d.reject_reason = None;
                d.cancelled_by_us = true;
            }
            let outcome = if case.intent.send_seq > case.intent.served {
                Outcome::Done(shared::message::Change::Withdrawn)
            } else {
                Outcome::AlreadyDone("nothing was sent")
            };
            case.close(outcome);
        }
        Decision::AlreadyDone(why) => case.close(Outcome::AlreadyDone(why)),
        Decision::Superseded(why) => case.close(Outcome::Superseded(why)),
        Decision::ReadAgain => {
            case.read_again = true;
            case.retry(RetryWhy::CrmLag, None);
        }
        Decision::GiveUp(give_up) => case.give_up(give_up),
    }
}

/// The next number for what we cancelled and is wanted again. Another order may bear the
/// obvious one.
async fn free_number(tools: &Tools, shop: &Shop, d: &Delivery) -> store::Result<(u32, OrderNo)> {
    let (prefix, next) = (&shop.integration.prefix, d.generation + 1);
    match OrderNumber::parse(&d.number) {
        Ok(number) if !d.orderno.as_str().starts_with(&format!("{prefix}R{}", d.crm_order)) => {
            tools.store.free_number(shop.id(), numbers(prefix, &number, d.crm_order, next)).await
        }
        _ => tools.store.free_number(shop.id(), numbers_by_id(prefix, d.crm_order, next)).await,
    }
}

fn place_anew(case: &mut Case, generation: u32, orderno: OrderNo, now: Timestamp) {
    let Some(d) = &mut case.delivery else { return };
    case.cancelled = Some(Box::new(d.clone()));
    case.retired = Some(PastDelivery::of(d, now));
    next_generation(d, generation, orderno);
    case.recreated = true;
    case.told.push(format!("wanted again after our cancel: new number {}", d.orderno));
}

/// Our ledger has no delivery of the order here. Another candidate's may; only when none
/// does, MeaSoft is asked by the number we would have given it.
async fn cancel_by_number(tools: &Tools, shop: &Shop, case: &mut Case) {
    let Some(order) = case.order.clone() else { return };
    for candidate in &case.intent.candidates {
        match tools.store.delivery_by_order(candidate.integration, order.id).await {
            Ok(None) => {}
            Ok(Some(_)) => return case.close(Outcome::AlreadyDone("this courier never had the order")),
            Err(_) => return case.retry(RetryWhy::Internal, None),
        }
    }
    let key = DeliveryKey {
        integration: shop.id(),
        crm_order: order.id,
        number: &order.number,
        prefix: &shop.integration.prefix,
    };
    let orderno = OrderNo::derive(key.prefix, key.number, key.crm_order, 1);
    // Another order of this number may be there: it is not touched for this one's sake.
    let untouched = Outcome::AlreadyDone("neither we nor MeaSoft know the order");
    match tools.store.number_is_another_s(shop.id(), &orderno, order.id).await {
        Ok(false) => {}
        Ok(true) => return case.close(untouched),
        Err(_) => return case.retry(RetryWhy::Internal, None),
    }
    match tools.ask(shop, shop.vendors.courier.status_by_orderno(&orderno)).await {
        Err(closed) => case.close(closed),
        Ok(Err(error)) => {
            let outcome = tools.failure(shop, &error).await;
            case.close(outcome);
        }
        Ok(Ok(rows)) if rows.is_empty() => case.close(untouched),
        Ok(Ok(_)) => match tools.store.lease_delivery(&key, &tools.owner, tools.lease_until()).await {
            Ok(Leased::Taken(delivery)) => {
                let mut delivery = *delivery;
                if delivery.orderno != orderno {
                    let _ = tools.store.release_delivery(&delivery).await;
                    return case.close(untouched);
                }
                case.told.push("MeaSoft has an order under this number".to_owned());
                delivery.state = S::Unknown;
                // It was not sent by us: the receiver's phone is all there is to tell it by.
                let phone_hash = receiver::phones(&order).first().map(|c| tools.store.key.blind(c.phone.as_str()));
                delivery.sending =
                    Some(Fingerprint { phone_hash: phone_hash.unwrap_or_default(), ..Fingerprint::default() });
                case.delivery = Some(delivery);
            }
            Ok(Leased::Over(past)) => {
                case.past = Some(past);
                case.close(Outcome::AlreadyDone("the delivery has ended before"));
            }
            Ok(Leased::Held) => case.retry(RetryWhy::LeaseHeld, None),
            Err(_) => case.retry(RetryWhy::Internal, None),
        },
    }
}

/// Stores what an attempt came to, in one commit, and lets go. Answers when the order is
/// due again.
async fn record(tools: &Tools, shop: &Shop, mut case: Case, started: Timestamp) -> Option<Hint> {
    let now = tools.clock.now();
    let mut outcome = case.outcome.take().unwrap_or(Outcome::RetryLater { why: RetryWhy::Internal, not_before: None });
    // RetailCRM was told its own customer's data; letters and journal are read by others too.
    let known = confidential::all(shop, case.order.as_ref());
    if let Outcome::GiveUp(give_up) = &mut outcome {
        give_up.detail = known.hide(&give_up.detail);
    }
    case.told.iter_mut().for_each(|told| *told = known.hide(told));
    let since =
        |at: Timestamp| Duration::from_millis(u64::try_from(now.as_millisecond() - at.as_millisecond()).unwrap_or(0));
    let until_due = match &outcome {
        Outcome::RetryLater { not_before: Some(at), .. } => {
            Duration::from_millis(u64::try_from(at.as_millisecond() - now.as_millisecond()).unwrap_or(0))
        }
        _ => Duration::ZERO,
    };
    let step = if case.read_again { case.intent.rereads } else { case.intent.attempt };
    // A cancel that may still arrive stays open.
    if let Some(d) = &mut case.delivery
        && case.cancel_open
        && d.state == S::Created
        && case.late_until.is_some_and(|until| until > now)
    {
        d.cancelled_by_us = true;
    }
    let mut spent = spent_trying(case.intent.spent, since(started));
    if is_planted(Bug::AgeInherited) {
        spent = since(case.intent.wanted_at);
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
    let wanted = case.wanted();
    if let (Outcome::GiveUp(give_up), Some(d)) = (&outcome, &mut case.delivery)
        && (d.state == S::Planned && wanted.send || d.state == S::Rejected && (wanted.send || wanted.update))
    {
        d.state = d.state.after(Event::Refused).unwrap_or(S::Rejected);
        d.reject_reason = Some(give_up.reason.to_owned());
    }
    let kind = kind_of(&case);
    let leave = match &settlement {
        Settlement::Wait { pause, counts } => Leave::Wait {
            due_at: now.checked_add(*pause).unwrap_or(now),
            attempt: case.intent.attempt + u32::from(*counts && !case.read_again),
            rereads: case.intent.rereads + u32::from(case.read_again),
            spent: if *counts { spent + *pause } else { case.intent.spent },
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
        match store_result(tools, shop, &case, kind, &outcome, leave, now).await {
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
                match set_aside(tools, &case, kind, &outcome, now).await {
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
    if let (Some(at), Outcome::Done(_)) = (case.effect_at, &outcome) {
        let took = at.as_millisecond() - case.intent.wanted_at.as_millisecond();
        tools.metrics.effect(kind, Duration::from_millis(u64::try_from(took).unwrap_or(0)));
    }
    if let (Outcome::Done(shared::message::Change::Created), Some(d)) = (&outcome, &case.delivery) {
        tools.metrics.requests_per_order(d.requests);
    }
    tracing::info!(
        integration = shop.id().0,
        order = case.intent.number.as_str(),
        command = kind.as_str(),
        attempt = case.intent.attempt,
        outcome = outcome.label(),
        why = retry_why.map(shared::message::RetryWhy::as_str),
        reason = reason_label,
        duration_ms = u64::try_from(since(started).as_millis()).unwrap_or(u64::MAX),
        next_attempt_at = next_at.map(tracing::field::display),
        traceparent = case.intent.traceparent.as_deref(),
        fence_held = held,
        "attempt.finished"
    );
    if let Some(order) = case.intent.order {
        tools.bell.ring(shop.id(), order);
    }
    // A newer wish may be waiting behind the one just served.
    Some(Hint { integration: shop.id(), due_at: next_at.unwrap_or(now) })
}

/// The next holder found the order that this one placed, and the ledger has it as it left: no
/// doubt is left of it.
async fn is_known_as_left(tools: &Tools, shop: &Shop, case: &Case, outcome: &Outcome) -> store::Result<bool> {
    let (Outcome::Done(shared::message::Change::Created), Some(d)) = (outcome, &case.delivery) else {
        return Ok(false);
    };
    let kept = tools.store.delivery_by_order(shop.id(), d.crm_order).await?;
    Ok(kept.is_some_and(|kept| {
        (&kept.orderno, kept.state, &kept.status) == (&d.orderno, d.state, &d.status)
            && kept.sent_hash.is_some()
            && kept.sent_hash == d.sent_hash
    }))
}

/// False when the lease was lost on the way: then the next holder looks at MeaSoft first.
async fn store_result(
    tools: &Tools,
    shop: &Shop,
    case: &Case,
    kind: Kind,
    outcome: &Outcome,
    leave: Leave,
    now: Timestamp,
) -> store::Result<bool> {
    let number = case.intent.number.as_str();
    let is_here = case.order.as_ref().map(|read| shown(read, case, shop, &tools.module_code) == Shown::Ours);
    // Before this shop's own result: a wish too many is served without effect.
    if let (Some(true), Some(order), Leave::Served) = (is_here, case.intent.order, leave) {
        clear_elsewhere(tools, shop, case, outcome, order).await?;
    }
    let mut tx = tools.store.db.begin().await?;
    // In the order that everybody keeps to: intents, then deliveries.
    let mut held = tx.leave_intent(&case.intent, leave, now).await?;
    if held && let Some(d) = &case.delivery {
        held = tx.save_delivery(d, true, now).await?;
        if let Some(retired) = &case.retired {
            tx.keep_past(retired).await?;
        }
    }
    if !held {
        drop(tx);
        let is_known = is_known_as_left(tools, shop, case, outcome).await?;
        let mut tx = tools.store.db.begin().await?;
        if case.began && !is_known {
            let unknown = case.delivery.as_ref().is_some_and(|d| d.state == S::Unknown);
            let due_at = if unknown { now.checked_add(tools.limits.call_limit).unwrap_or(now) } else { now };
            tx.ask_to_verify(&case.intent, due_at, now).await?;
        }
        let words = if is_known {
            "the lease was lost during this attempt; the next holder found the order as it was placed"
        } else {
            "the lease was lost during this attempt; the next holder looks at MeaSoft first"
        };
        tx.append_journal(&Entry::new(now, What::Decision, words).about(shop.id(), number).outcome("fence_lost"))
            .await?;
        tx.commit().await?;
        return Ok(false);
    }
    // What may still arrive at MeaSoft is looked for when it can no longer be under way.
    let late = case.late_until.filter(|until| *until > now && leave == Leave::Served);
    if let Some(until) = late.filter(|_| !is_planted(Bug::LateWriteForgotten)) {
        tx.ask_to_verify(&case.intent, until, now).await?;
    }
    match outcome {
        Outcome::GiveUp(give_up) => {
            tx.bury_of(case.intent.order, &dead_letter(case, kind, give_up, now), now).await?;
            if case.untold {
                let pause = tools.policy.rungs.first().copied().unwrap_or_default();
                tx.wake_intent(&case.intent, now.checked_add(pause).unwrap_or(now), now).await?;
            }
        }
        // Telling RetailCRM of the order as it was leaves open what never reached MeaSoft.
        Outcome::Done(change) if *change != shared::message::Change::WrittenBack || case.is_as_wanted() => {
            if let Some(order) = case.intent.order {
                tx.resolve_dead_letters(shop.id(), order, number, now).await?;
            }
        }
        _ => {}
    }
    let has_left = case.is_withdrawn() || is_here == Some(false);
    let wanted = case.wanted();
    let is_cancel = wanted.cancel && !wanted.send_after_cancel;
    if leave == Leave::Served && is_cancel && is_here == Some(true) && !has_left {
        tx.forget_cancel(&case.intent).await?;
    }
    if let (Outcome::Done(_) | Outcome::AlreadyDone(_), Some(order)) = (outcome, case.intent.order) {
        tx.resolve_ambiguous(shop.id(), order, has_left, now).await?;
    }
    let left_behind = case.delivery.as_ref().filter(|d| is_here == Some(false) && is_found_gone(d, outcome, wanted));
    if let (Some(d), Some(_), Leave::Served) = (left_behind, case.intent.order, leave) {
        let due_at = now.checked_add(tools.limits.settle).unwrap_or(now);
        tx.record_wish(&clearing_up(d, case.intent.number.clone(), &case.intent, due_at, now), now).await?;
    }
    let mut entry = Entry::new(now, What::Decision, words(case, outcome, leave)).about(shop.id(), number);
    if let Some(d) = &case.delivery {
        entry = entry.orderno(d.orderno.as_str());
    }
    tx.append_journal(&entry.outcome(outcome.label())).await?;
    tx.commit().await?;
    Ok(true)
}

/// What the database refuses to store of an attempt ends as a dead letter all the same, without
/// the order's own row. What the ledger said before stays, and is looked up by whoever comes
/// next. False when the lease was lost.
async fn set_aside(tools: &Tools, case: &Case, kind: Kind, outcome: &Outcome, now: Timestamp) -> store::Result<bool> {
    let Outcome::GiveUp(give_up) = outcome else { return Ok(false) };
    let mut tx = tools.store.db.begin().await?;
    if !tx.leave_intent(&case.intent, Leave::Served, now).await? {
        return Ok(false);
    }
    let mut dead = dead_letter(case, kind, give_up, now);
    dead.delivery = None;
    tx.bury_of(case.intent.order, &dead, now).await?;
    tx.commit().await?;
    if let Some(d) = &case.delivery {
        tools.store.release_delivery(d).await?;
    }
    Ok(true)
}

fn dead_letter(case: &Case, kind: Kind, give_up: &GiveUp, now: Timestamp) -> NewDeadLetter {
    NewDeadLetter {
        integration: Some(case.intent.integration),
        delivery: case.delivery.as_ref().map(|d| d.id),
        number: Some(case.intent.number.as_str().to_owned()),
        kind: kind.as_str().to_owned(),
        reason: give_up.reason.to_owned(),
        fault: give_up.fault,
        detail: give_up.detail.clone(),
        tries: case.intent.attempt + 1,
        command: Some(replayable(case, kind, now)),
        raw: None,
    }
}

/// What the attempt was for; the newest unserved wish gives its name.
fn kind_of(case: &Case) -> Kind {
    let (i, w) = (&case.intent, case.wanted());
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
fn replayable(case: &Case, kind: Kind, now: Timestamp) -> String {
    let i = &case.intent;
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
fn words(case: &Case, outcome: &Outcome, leave: Leave) -> String {
    use shared::message::Change;
    let mut said = case.told.clone();
    said.push(match outcome {
        Outcome::Done(Change::Created) => placed(case.delivery.as_ref()),
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
            let words = reason::explain(give_up.reason, shared::domain::Language::En).text;
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
    pub async fn pause_for_crm(&self, shop: &Shop, why: &str) {
        self.pause(shop, PausedBy::Credentials(shared::domain::Fault::Crm), why).await;
    }
}
