//! What to do next about an order: its row is brought up to what was read, the facts are collected
//! from it, and `decide` has the word.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, ZonedDateTime};
use shared::domain::Delivery;
use shared::domain::delivery::DeliveryState as S;
use shared::message::GiveUp;
use shared::mutant::{Mutant, is_mutant};
use shared::phrases::Detail;
use shared::reason;

use crate::order::attempt::Attempt;
use crate::order::decide::{Decision, Known, Presence, Situation, decide};
use crate::order::report::{self, shown};
use crate::order::request;
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::references::References;

pub(crate) fn next(
    tools: &Tools,
    active: &ActiveIntegration,
    references: &References,
    attempt: &mut Attempt,
) -> Decision {
    let shown = match &attempt.order {
        // RetailCRM said so itself; the order's type, or its absence, says nothing more.
        _ if attempt.is_withdrawn() => Presence::Elsewhere,
        None => Presence::NotFound,
        Some(order) => shown(order, attempt, active, &tools.module_code),
    };
    bring_up_to_date(attempt, shown, active, references);
    mark_unsure(attempt, tools.clock.now());
    let foreign = foreign(attempt);
    attempt.moves_in |= moves_in(attempt, active);
    let wanted = attempt.requested();
    // A number of today that is taken MeaSoft itself refuses: looking up what is unknown is rationed.
    let refused_if_there = wanted.send && !wanted.cancel && is_young(attempt, references, tools.clock.now());
    let situation = Situation {
        wanted,
        shown,
        known: attempt.delivery.as_ref().map(|d| known(d, attempt, active)),
        over: attempt.past.is_some(),
        foreign: foreign.is_some(),
        rereads: attempt.intent.rereads,
        allow_edit_cancel: active.integration.settings.allow_edit_cancel,
        verify: attempt.intent.verify || attempt.is_cancel_open() || (attempt.moves_in && !refused_if_there),
        looked: attempt.verified,
        saving: attempt.saving,
    };
    match (decide(&situation), foreign) {
        (Decision::GiveUp(give_up), Some(detail)) if give_up.reason == reason::HANDED_OVER_ELSEWHERE => {
            Decision::GiveUp(GiveUp { detail: detail.into(), ..give_up })
        }
        (Decision::GiveUp(give_up), _) if attempt.order.is_none() && attempt.delivery.is_some() => {
            Decision::GiveUp(GiveUp { detail: Detail::OrderGone.into(), ..give_up })
        }
        (decision, _) => decision,
    }
}

/// What RetailCRM shows goes into the ledger's row, and what MeaSoft should hold is worked out.
fn bring_up_to_date(attempt: &mut Attempt, shown: Presence, active: &ActiveIntegration, references: &References) {
    let (Some(order), Some(d)) = (&attempt.order, &mut attempt.delivery) else { return };
    if shown == Presence::Ours {
        order.number.as_str().clone_into(&mut d.number);
        d.site.clone_from(&order.site);
        if let Some(code) = order.delivery.code.clone() {
            d.delivery_type = code;
        }
        report::notice_forgotten(order, d);
    }
    let (declared, saved) = (attempt.intent.declared, &attempt.saved_request);
    let desired = request::desired_with(order, &active.integration, references, declared, d, saved);
    attempt.desired = Some(desired);
}

/// MeaSoft refuses a repeated number within one calendar year only
/// (protocols/measoft.md#duplicates): what was sent in an earlier one is looked up first.
fn mark_unsure(attempt: &mut Attempt, now: Timestamp) {
    let Some(d) = &mut attempt.delivery else { return };
    if is_mutant(Mutant::ResentUnseen) && d.state.needs_lookup() {
        d.state = S::Planned;
    }
    if matches!(d.state, S::Planned | S::Rejected) && d.sent_at.is_some_and(|at| year(at) != year(now)) {
        d.state = S::Unknown;
        d.sent_at = None;
    }
}

fn known(d: &Delivery, attempt: &Attempt, active: &ActiveIntegration) -> Known {
    let wanted = attempt.wanted();
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
        shown_before: same || (only_declared && !is_mutant(Mutant::DeclaredPassesForChange)),
        written_back: report::is_reported(d, active),
        shows_error: d.crm_written.error.is_some(),
    }
}

/// Whether the integration before us may have placed the order: nothing of it is known to be ours,
/// and that one is at work, or was when the order was made.
fn moves_in(attempt: &Attempt, active: &ActiveIntegration) -> bool {
    let settings = &active.integration.settings;
    let first = |d: &Delivery| d.generation == 1 && d.sent_hash.is_none();
    let never_sent = |d: &Delivery| matches!(d.state, S::Planned | S::Rejected) && d.sent_at.is_none();
    // Of a number that is taken it is not known yet by whom.
    let may_be_theirs = |d: &Delivery| first(d) && (never_sent(d) || d.state.needs_lookup());
    // The account's days may begin earlier or later than ours.
    let until = settings.moved_in_at.map(|at| ZonedDateTime::new(at, TimeZone::UTC).date().saturating_add(1.day()));
    let made = attempt.order.as_ref().and_then(|order| order.created_at).map(|at| at.date());
    let older = until.is_some_and(|until| made.is_none_or(|made| made <= until));
    attempt.delivery.as_ref().is_some_and(may_be_theirs) && (settings.is_shadow() || older)
}

/// Made a day ago at most and in this calendar year, in which MeaSoft takes a number once
/// (protocols/measoft.md#duplicates).
fn is_young(attempt: &Attempt, references: &References, now: Timestamp) -> bool {
    let made = attempt.order.as_ref().and_then(|order| order.created_at);
    let since = now - 24.hours();
    let local = ZonedDateTime::new(since, references.zone.clone()).datetime();
    year(since) == year(now) && made.is_some_and(|made| made >= local)
}

/// The courier's.
fn year(at: Timestamp) -> i16 {
    ZonedDateTime::new(at.checked_add(3.hours()).unwrap_or(at), TimeZone::UTC).year()
}

/// Another integration's delivery on an order of which we never sent anything.
fn foreign(attempt: &Attempt) -> Option<Detail> {
    let never_ours = attempt.delivery.as_ref().is_none_or(|d| {
        d.generation == 1 && d.sent_at.is_none() && !d.cancelled_by_us && d.crm_written.external_id.is_empty()
    });
    let seen = never_ours && !is_mutant(Mutant::HandOverUnseen);
    attempt.order.as_ref().filter(|_| seen).and_then(report::foreign)
}
