//! What an edit and a cancel have in common: the ledger's word before the call, the reading of
//! the order as MeaSoft has it, and a refusal of what is untouched.

use std::time::Duration;

use jiff::Timestamp;
use shared::domain::{Delivery, Fault};
use shared::measoft::{Class, StatusRow, Verdict};
use shared::message::{GiveUp, Outcome, RetryWhy};
use shared::phrases::Detail;
use shared::store;
use shared::story::Event as Told;

use crate::order::attempt::{Attempt, Step};
use crate::order::look_up::rows_of;
use crate::order::take_over::newest;
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;

/// How old the ledger's word of a send may be when the request leaves: what a later look-up
/// finds, or does not, is judged by it.
const FRESH: Duration = Duration::from_secs(5);
/// Times it is written down anew; a ledger slower than that must not keep orders from going.
pub(crate) const FRESHENED: usize = 3;

/// How long after a write MeaSoft's lists may not show an order that it confirmed.
const NOT_SHOWN_YET: Duration = Duration::from_secs(10 * 60);

/// Whether what was written down at that moment may be followed by its call.
pub(crate) fn is_fresh(tools: &Tools, written: Timestamp) -> bool {
    tools.clock.now().duration_since(written).unsigned_abs() < FRESH
}

/// Writes down that a change is about to be asked for; nothing but the call may follow.
/// `Err`: the lease was lost, or the ledger is away.
pub(crate) async fn begin_change(tools: &Tools, attempt: &mut Attempt) -> Step {
    for _ in 0..FRESHENED {
        let now = tools.clock.now();
        match save(tools, attempt.held(), now).await {
            Ok(true) => attempt.began = true,
            Ok(false) => return Err(Outcome::retry(RetryWhy::LeaseHeld)),
            Err(_) => return Err(Outcome::retry(RetryWhy::Internal)),
        }
        // The process may have stood still meanwhile, and others hold the lease by now.
        if is_fresh(tools, now) {
            break;
        }
    }
    Ok(())
}

async fn save(tools: &Tools, d: &Delivery, now: Timestamp) -> store::Result<bool> {
    let mut tx = tools.store.db.begin().await?;
    let held = tx.save_delivery(d, false, now).await?;
    tx.commit().await?;
    Ok(held)
}

/// The order as MeaSoft has it.
pub(crate) async fn read(tools: &Tools, active: &ActiveIntegration, attempt: &mut Attempt) -> Step<StatusRow> {
    let orderno = attempt.held().orderno.clone();
    let rows = rows_of(tools, active, attempt, &orderno).await?;
    match newest(rows.iter(), attempt.held()) {
        Some(row) => Ok(row.clone()),
        None if is_young(attempt.held(), tools.clock.now()) => Err(not_shown_yet(tools, attempt)),
        None => Err(Outcome::GiveUp(GiveUp {
            reason: "order_not_found_at_courier",
            fault: Fault::Courier,
            detail: Detail::Number { orderno: orderno.to_string() }.into(),
        })),
    }
}

/// Confirmed minutes ago: that it does not show yet proves nothing.
pub(crate) fn is_young(d: &Delivery, now: Timestamp) -> bool {
    d.sent_at.is_some_and(|at| now.duration_since(at).unsigned_abs() < NOT_SHOWN_YET)
}

/// Asked again, later each time: look-ups of what is not there are rationed.
pub(crate) fn not_shown_yet(tools: &Tools, attempt: &mut Attempt) -> Outcome {
    attempt.notes.push(Told::NotShownYet);
    let pause = tools.limits.unknown_recheck * 2_u32.pow(attempt.intent.attempt.min(3));
    Outcome::retry_at(RetryWhy::UnknownOutcome, tools.clock.now().checked_add(pause).ok())
}

/// An edit or cancel that MeaSoft refused although the order is untouched.
pub(crate) async fn refused(
    tools: &Tools,
    active: &ActiveIntegration,
    attempt: &Attempt,
    verdict: Verdict,
    text: String,
) -> Outcome {
    match verdict.class {
        Class::Transient | Class::Blocked { .. } => Outcome::retry(RetryWhy::CourierUnavailable),
        Class::UnknownOutcome => Outcome::retry(RetryWhy::UnknownOutcome),
        Class::Config => tools.suspect_credentials(active, verdict.reason, verdict.fault, &text).await,
        _ if attempt.may_pass(verdict.reason) => Outcome::retry(RetryWhy::CourierUnavailable),
        _ => Outcome::GiveUp(GiveUp { reason: verdict.reason, fault: verdict.fault, detail: text.into() }),
    }
}
