//! Cancelling an order that MeaSoft has not begun to work on, and reading it back. A cancel whose
//! answer was lost stays marked: whoever comes next looks before the order is taken for placed.

use shared::domain::Language;
use shared::domain::delivery::{DeliveryState as S, Phase};
use shared::measoft::{Class, MeasoftError, StatusRow, Verdict};
use shared::message::{Change, Needless, Outcome, RetryWhy};
use shared::phrases::Details;
use shared::reason;
use shared::story::Event as Told;

use crate::order::attempt::{Attempt, Step};
use crate::order::change::{begin_change, is_young, not_shown_yet, refused};
use crate::order::look_up::rows_of;
use crate::order::take_over::{cancelled, mark_cancel, newest, phase, remember_status, shown_status, take_over};
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::budget::Priority;

/// Tries of a cancel that MeaSoft took and does not show.
const NOT_SHOWN_TRIES: u32 = 3;

pub(crate) async fn cancel(tools: &Tools, active: &ActiveIntegration, attempt: &mut Attempt) -> Step {
    let ticket = tools.limiter.pass(&active.integration.courier_account(), Priority::Interactive).await?;
    // Marked before the call: should its outcome never be recorded, the next holder looks
    // before it takes the order for placed, and knows whose cancel it finds.
    let d = attempt.held_mut();
    let asked_before = d.cancelled_by_us;
    mark_cancel(d);
    d.requests += 2;
    d.sent_at = Some(tools.clock.now());
    let (orderno, ordercode) = (d.orderno.clone(), d.ordercode.clone());
    begin_change(tools, attempt).await?;
    let call = active.vendors.courier.cancel_order(&orderno, ordercode.as_deref());
    let refusal = match ticket.make(call).await {
        Ok(answer) => answer.verdict().map(|v| (v, answer.text(Language::Ru).unwrap_or_default().to_owned())),
        Err(MeasoftError::Refused { verdict, text, .. }) if is_final(verdict) => Some((verdict, text)),
        Err(error) => {
            if error.class() != Class::UnknownOutcome {
                attempt.held_mut().cancelled_by_us = asked_before;
            }
            return Err(tools.failure(active, &error).await);
        }
    };
    let rows = rows_of(tools, active, attempt, &orderno).await?;
    match newest(rows.iter(), attempt.held()) {
        None if is_young(attempt.held(), tools.clock.now()) => Err(not_shown_yet(tools, attempt)),
        // MeaSoft never had it, or has it no more: there is nothing left to cancel.
        None => {
            cancelled(attempt.held_mut());
            Err(Outcome::AlreadyDone(Needless::NotAtMeasoft))
        }
        Some(row) => Err(read_back(tools, active, attempt, row, refusal, asked_before).await),
    }
}

/// Whether the order is worth reading after a refusal: MeaSoft's word of it stands.
fn is_final(verdict: Verdict) -> bool {
    !matches!(verdict.class, Class::UnknownOutcome | Class::Transient | Class::Blocked { .. })
}

/// What the order as it is now says of the answer.
async fn read_back(
    tools: &Tools,
    active: &ActiveIntegration,
    attempt: &mut Attempt,
    row: &StatusRow,
    refusal: Option<(Verdict, String)>,
    asked_before: bool,
) -> Outcome {
    let now = tools.clock.now();
    match (phase(row), refusal) {
        (Phase::NotDelivered, None) => {
            let looked_at = attempt.looked_at;
            let d = attempt.held_mut();
            cancelled(d);
            remember_status(d, row, looked_at);
            attempt.effect_at = Some(now);
            Outcome::Done(Change::Cancelled)
        }
        (Phase::NotDelivered, Some(_)) => {
            attempt.held_mut().cancelled_by_us = asked_before;
            take_over(attempt, row);
            Outcome::AlreadyDone(Needless::Cancelled)
        }
        (Phase::New, None) if attempt.intent.attempt < NOT_SHOWN_TRIES => {
            attempt.notes.push(Told::CancelNotShown);
            Outcome::retry_at(RetryWhy::UnknownOutcome, now.checked_add(tools.limits.unknown_recheck).ok())
        }
        (Phase::New, None) => Outcome::GiveUp(reason::give_up(reason::CANCEL_DROPPED, Details::NONE)),
        (Phase::New, Some((verdict, text))) => {
            attempt.held_mut().cancelled_by_us = asked_before;
            refused(tools, active, attempt, verdict, text).await
        }
        _ => {
            take_over(attempt, row);
            Outcome::GiveUp(reason::give_up(reason::TOO_LATE, shown_status(row)))
        }
    }
}

/// Nothing was sent, as far as is known: the ledger's row is closed without a call.
pub(crate) fn withdraw(attempt: &mut Attempt) -> Outcome {
    // An update must not bring back what was withdrawn; only a new send may. Marked,
    // should a create that is still under way arrive after all.
    if let Some(d) = &mut attempt.delivery {
        d.state = S::Planned;
        d.reject_reason = None;
        d.cancelled_by_us = true;
    }
    if attempt.intent.send_seq > attempt.intent.served {
        Outcome::Done(Change::Withdrawn)
    } else {
        Outcome::AlreadyDone(Needless::NothingSent)
    }
}
