//! What MeaSoft shows of an order, and what the ledger takes over of it. Pure.

use jiff::{Timestamp, ToSpan};
use shared::domain::Delivery;
use shared::domain::delivery::{DeliveryState as S, Event, Phase};
use shared::measoft::StatusRow;
use shared::mutant::{Mutant, is_mutant};
use shared::phrases::Detail;

use crate::order::attempt::Attempt;
use crate::order::recognise::{is_cancelled_by_client, item_codes};

pub(crate) fn phase(row: &StatusRow) -> Phase {
    row.status.as_ref().map_or(Phase::New, |status| Phase::of(status.code.as_str()))
}

pub(crate) fn shown_status(row: &StatusRow) -> Detail {
    row.status.as_ref().map_or(Detail::NoStatus, |status| Detail::Status { status: status.code.to_string() })
}

/// Numbers repeat over the years (protocols/measoft.md#statusreq): ours is the one with our code,
/// else the newest that is not older than the delivery.
pub(crate) fn newest<'a>(rows: impl Iterator<Item = &'a StatusRow> + Clone, d: &Delivery) -> Option<&'a StatusRow> {
    if let Some(code) = &d.ordercode
        && let Some(row) = rows.clone().find(|row| row.ordercode.as_ref() == Some(code))
    {
        return Some(row);
    }
    let made = |row: &StatusRow| row.status.as_ref().and_then(|status| status.createtime_gmt);
    // What another integration placed before us may be of any age.
    let never_sent = d.sent_hash.is_none() && d.sending_hash.is_none();
    let oldest_possible = d.created_at - 36.hours();
    rows.filter(|row| never_sent || made(row).is_none_or(|at| at >= oldest_possible)).max_by_key(|row| made(row))
}

/// Takes over what a row shows: number, line codes, sum, status and the state it implies.
pub(crate) fn take_over(attempt: &mut Attempt, row: &StatusRow) {
    let looked_at = attempt.looked_at;
    // What another integration cancelled before us is placed anew by a send, as what we did.
    let asked = attempt.intent.cancel_seq > 0 || attempt.moves_in;
    let d = attempt.held_mut();
    let asked = asked || d.sending.as_ref().is_some_and(|sent| sent.cancel_unheard);
    remember_status(d, row, looked_at);
    let codes = item_codes(row);
    if !codes.is_empty() {
        d.item_codes = codes;
    }
    d.price = row.price.or(d.price);
    let phase = phase(row);
    if phase == Phase::NotDelivered
        && d.state == S::Created
        && (d.cancelled_by_us || (asked && is_cancelled_by_client(row.deliveredto.as_deref())))
    {
        cancelled(d);
    } else if let Some(next) = d.state.after(Event::Reported(phase)) {
        // A cancel of ours that was under way has not come to anything.
        d.cancelled_by_us &= next == S::Cancelled;
        d.state = next;
    }
}

pub(crate) fn remember_status(d: &mut Delivery, row: &StatusRow, looked_at: Option<Timestamp>) {
    // A code that nobody knows says nothing about where the order is.
    if let Some(status) = row.status.as_ref().filter(|status| status.code.is_known()) {
        d.status = Some(status.code.as_str().to_owned());
        d.status_at = status.createtime_gmt.or(d.status_at);
        d.status_seen_at = looked_at;
    }
    d.ordercode = row.ordercode.clone().or_else(|| d.ordercode.take());
}

pub(crate) fn cancelled(d: &mut Delivery) {
    d.state = S::Cancelled;
    mark_cancel(d);
}

/// We asked MeaSoft to cancel it. In state `created` it is not known yet whether it did.
pub(crate) fn mark_cancel(d: &mut Delivery) {
    d.cancelled_by_us = !is_mutant(Mutant::CancelForgotten);
}
