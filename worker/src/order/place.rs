//! Placing orders at MeaSoft, several in one request.
//!
//! The ledger says `sending` with what is sent, in one commit for all, before the request leaves.
//! What is answered for each decides its row. A lost answer leaves the rows `unknown`, and only a
//! look-up leads out of that; a refusal as a whole created nothing.

use std::collections::HashSet;

use jiff::Timestamp;
use shared::domain::delivery::{DeliveryState as S, Event};
use shared::domain::{Delivery, DeliveryId, Kopecks, Language};
use shared::measoft::{Class, CreateRow, MeasoftError, NewOrder, Op, Verdict};
use shared::message::{Change, GiveUp, Outcome, RetryWhy};
use shared::phrases::Detail;
use shared::reason;
use shared::store::again::at_once;
use shared::store::{self, StoreError};
use shared::story::Event as Told;

use crate::order::attempt::{Attempt, Step};
use crate::order::change::{FRESHENED, is_fresh};
use crate::order::look_up::{look_up_batch, never_arrived};
use crate::order::recognise::fingerprint;
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::budget::Priority;

/// Earlier sends under one number that are remembered.
const EARLIER: usize = 5;

/// Tries after which a number that MeaSoft calls taken, and never shows, is a person's.
const TAKEN_TRIES: u32 = 5;

/// Places orders. Those whose answer was lost stay open in state `unknown`: a look-up follows.
pub(crate) async fn place(tools: &Tools, active: &ActiveIntegration, attempts: &mut [&mut Attempt]) {
    let account = active.integration.courier_account();
    let ticket = match tools.limiter.pass(&account, Priority::Interactive).await {
        Ok(ticket) => ticket,
        Err(closed) => return attempts.iter_mut().for_each(|attempt| attempt.close(closed.clone())),
    };
    announce(tools, attempts).await;
    let mut sending = open(attempts);
    let orders: Vec<NewOrder> = sending.iter().filter_map(|attempt| Some(attempt.wanted()?.order.clone())).collect();
    if orders.is_empty() {
        return;
    }
    let result = ticket.make(active.vendors.courier.new_orders(&orders)).await;
    let now = tools.clock.now();
    match result {
        Ok(rows) => {
            for attempt in &mut sending {
                let row = rows.iter().find(|row| attempt.held().orderno == row.orderno);
                let step = answered(tools, active, attempt, row, now).await;
                attempt.close_on(step);
            }
            settle(tools, &sending, now).await;
        }
        Err(error) if error.class() == Class::UnknownOutcome => {
            for attempt in &mut sending {
                answer_lost(attempt, now);
                attempt.notes.push(Told::AnswerLost { why: error.detail() });
            }
            if sending.len() > 1 {
                look_up_batch(tools, active, &mut sending).await;
            }
        }
        Err(error) => not_placed(tools, active, &mut sending, &error).await,
    }
}

fn open<'a>(attempts: &'a mut [&mut Attempt]) -> Vec<&'a mut Attempt> {
    attempts.iter_mut().map(|attempt| &mut **attempt).filter(|attempt| attempt.is_open()).collect()
}

/// Says in the ledger what is about to be sent. What could not be said there is not sent.
async fn announce(tools: &Tools, attempts: &mut [&mut Attempt]) {
    for _ in 0..FRESHENED {
        let now = tools.clock.now();
        if let Err(error) = begin(tools, attempts, now).await {
            tracing::warn!(%error, "the ledger could not be written; nothing was sent");
            // One order's refused statement holds up no other.
            let alone = attempts.len() == 1 || error.is_the_databases();
            for attempt in open(attempts) {
                if alone || begin(tools, &mut [&mut *attempt], now).await.is_err() {
                    attempt.began = false;
                    attempt.retry(RetryWhy::Internal, None);
                }
            }
        }
        // The process may have stood still meanwhile: others may hold the lease by now,
        // and would count their patience from the moment written down.
        if is_fresh(tools, now) {
            break;
        }
    }
}

/// Writes `sending` for all of them in one commit. One whose lease was lost is closed. What could
/// not be written leaves them as they were.
async fn begin(tools: &Tools, attempts: &mut [&mut Attempt], now: Timestamp) -> store::Result<()> {
    let mut attempts = open(attempts);
    let before: Vec<Option<Delivery>> = attempts.iter().map(|attempt| attempt.delivery.clone()).collect();
    attempts.iter_mut().for_each(|attempt| mark_sending(tools, attempt, now));
    match write(tools, &attempts, now).await {
        Ok(held) => {
            for attempt in attempts {
                if held.contains(&attempt.held().id) {
                    attempt.began = true;
                } else {
                    attempt.retry(RetryWhy::LeaseHeld, None);
                }
            }
            Ok(())
        }
        Err(error) => {
            for (attempt, delivery) in attempts.into_iter().zip(before) {
                attempt.delivery = delivery;
                // Its new number may be another order's by now: the next is looked for again.
                if matches!(error, StoreError::Refused(_))
                    && let Some(cancelled) = attempt.cancelled.take()
                {
                    attempt.delivery = Some(*cancelled);
                    attempt.retired = None;
                    attempt.recreated = false;
                }
            }
            Err(error)
        }
    }
}

/// The ledger's row of an order that is about to be sent.
fn mark_sending(tools: &Tools, attempt: &mut Attempt, now: Timestamp) {
    let wanted = attempt.wanted().expect("only what can be handed over is placed");
    let (hash, mut mark) = (wanted.hash.clone(), fingerprint(wanted, &tools.store.key));
    let d = attempt.held_mut();
    d.state = d.state.after(Event::SendBegun).unwrap_or(S::Sending);
    if let Some(mut before) = d.sending.take() {
        mark.earlier = std::mem::take(&mut before.earlier);
        if d.sending_hash.as_ref() != Some(&hash) {
            mark.earlier.insert(0, before);
            mark.earlier.truncate(EARLIER);
        }
    }
    d.sending_hash = Some(hash);
    d.sending = Some(mark);
    d.sent_at = Some(now);
    d.cancelled_by_us = false;
    d.requests += 1;
}

/// Writes down how the ledger's rows are now, all in one commit. Answers those whose lease is held
/// still.
async fn write(tools: &Tools, attempts: &[&mut Attempt], now: Timestamp) -> store::Result<HashSet<DeliveryId>> {
    at_once(async || {
        let mut tx = tools.store.db.begin().await?;
        let held = tx.save_deliveries(attempts.iter().map(|attempt| attempt.held()), false, now).await?;
        let retired = attempts.iter().filter(|attempt| held.contains(&attempt.held().id));
        tx.keep_past(&retired.filter_map(|attempt| attempt.retired.as_ref()).collect::<Vec<_>>()).await?;
        tx.commit().await?;
        Ok(held)
    })
    .await
}

/// What MeaSoft has taken is known to the ledger before RetailCRM is told, which may take a while.
/// Of a lone order that is soon enough together with the rest, and so it is where the database does
/// not take it now: its send is announced, and whoever comes next looks it up.
async fn settle(tools: &Tools, sent: &[&mut Attempt], now: Timestamp) {
    let taken: Vec<&Delivery> = sent.iter().filter(|attempt| is_taken(attempt)).map(|attempt| attempt.held()).collect();
    if taken.len() < 2 {
        return;
    }
    let written = async || {
        let mut tx = tools.store.db.begin().await?;
        tx.save_deliveries(taken.iter().copied(), false, now).await?;
        tx.commit().await
    };
    if let Err(error) = at_once(written).await {
        tracing::warn!(%error, "orders that MeaSoft has taken are written down once RetailCRM was told");
    }
}

fn is_taken(attempt: &Attempt) -> bool {
    matches!(attempt.outcome, Some(Outcome::Done(Change::Created)))
}

/// What the answer says of one order. No row: whether it arrived is not known.
async fn answered(
    tools: &Tools,
    active: &ActiveIntegration,
    attempt: &mut Attempt,
    row: Option<&CreateRow>,
    now: Timestamp,
) -> Step {
    let Some(row) = row else {
        answer_lost(attempt, now);
        return Ok(());
    };
    match row.verdict(Op::NewOrder) {
        None => Err(accepted(attempt, row.orderprice, now)),
        Some(verdict) => refused(tools, active, attempt, verdict, row.text(Language::Ru).unwrap_or_default()).await,
    }
}

fn accepted(attempt: &mut Attempt, orderprice: Option<Kopecks>, now: Timestamp) -> Outcome {
    attempt.step(Event::Accepted);
    let collect = attempt.wanted().map(|desired| desired.collect);
    let d = attempt.held_mut();
    d.sent_hash = d.sending_hash.take();
    d.reject_reason = None;
    d.status = Some("NEW".to_owned());
    d.price = orderprice.or(collect);
    attempt.effect_at = Some(now);
    match (orderprice, collect) {
        (Some(theirs), Some(ours)) if theirs != ours => {
            Outcome::GiveUp(reason::give_up(reason::PRICE_MISMATCH, Detail::Prices { ours, theirs }))
        }
        _ => Outcome::Done(Change::Created),
    }
}

async fn refused(
    tools: &Tools,
    active: &ActiveIntegration,
    attempt: &mut Attempt,
    verdict: Verdict,
    text: &str,
) -> Step {
    match verdict.class {
        Class::AlreadyExists => {
            // Perhaps an earlier try of ours: a look-up tells.
            attempt.step(Event::AnswerLost);
            attempt.notes.push(Told::SaidToBeTaken);
            if attempt.intent.attempt >= TAKEN_TRIES {
                return Err(Outcome::GiveUp(reason::give_up(reason::CONFLICT, text)));
            }
        }
        Class::UnknownOutcome => answer_lost(attempt, tools.clock.now()),
        Class::Transient | Class::Blocked { .. } => return Err(not_taken_now(attempt)),
        Class::Config => {
            refuse(attempt, verdict.reason);
            return Err(tools.suspect_credentials(active, verdict.reason, verdict.fault, text).await);
        }
        Class::Permanent | Class::NotFound | Class::Bug if attempt.may_pass(verdict.reason) => {
            attempt.notes.push(Told::RefusedInUnknownWords { said: text.to_owned() });
            return Err(not_taken_now(attempt));
        }
        Class::Permanent | Class::NotFound | Class::Bug => {
            refuse(attempt, verdict.reason);
            let detail = text.into();
            return Err(Outcome::GiveUp(GiveUp { reason: verdict.reason, fault: verdict.fault, detail }));
        }
    }
    Ok(())
}

/// Refused as a whole or never sent: no order of it was created.
async fn not_placed(tools: &Tools, active: &ActiveIntegration, sending: &mut [&mut Attempt], error: &MeasoftError) {
    let alone = sending.len() == 1;
    let outcome = tools.failure(active, error).await;
    for attempt in sending {
        never_arrived(attempt);
        attempt.began = false;
        let outcome = match &outcome {
            // One bad order must not take the others with it: next time alone.
            Outcome::GiveUp(_) if !alone => Outcome::retry(RetryWhy::Internal),
            Outcome::GiveUp(give_up) if attempt.may_pass(give_up.reason) => {
                Outcome::retry(RetryWhy::CourierUnavailable)
            }
            Outcome::GiveUp(give_up) => {
                refuse(attempt, give_up.reason);
                outcome.clone()
            }
            other => other.clone(),
        };
        attempt.close(outcome);
    }
}

fn refuse(attempt: &mut Attempt, reason: &str) {
    attempt.step(Event::Refused);
    attempt.held_mut().reject_reason = Some(reason.to_owned());
}

fn not_taken_now(attempt: &mut Attempt) -> Outcome {
    never_arrived(attempt);
    attempt.began = false;
    Outcome::retry(RetryWhy::CourierUnavailable)
}

/// Whether the request arrived is not known, and may not be for a while yet. It may have left
/// long after it was written down, had the process stood still in between.
fn answer_lost(attempt: &mut Attempt, now: Timestamp) {
    attempt.step(Event::AnswerLost);
    attempt.held_mut().sent_at = Some(now);
}
