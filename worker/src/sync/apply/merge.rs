//! What a status row does to a delivery, and what RetailCRM is told of it. Pure.

use std::time::Duration;

use jiff::{Timestamp, ToSpan};
use shared::domain::delivery::{DeliveryState as S, Event as Move, Phase};
use shared::domain::status_list::module_code;
use shared::domain::{Delivery, Settings};
use shared::measoft::{Details, StatusCode};
use shared::mutant::{Mutant, is_mutant};
use shared::store::status_stream::PendingRow;
use shared::story::Silence;

use crate::order::recognise::is_cancelled_by_client;
use crate::sync::facts::{Event, OrderSnapshot};

/// How long an order whose create had no answer is left to its own look-up.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Why a row waits whose order the ledger does not hold for placed.
pub(super) const NEVER_PLACED: &str = "by the ledger nothing of it is at MeaSoft under this number";

/// What a row comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Taken {
    Applied(Box<Merged>),
    /// The delivery has to be settled first.
    NotYet(&'static str),
    /// An earlier number of the order, or an order of an earlier year under this one.
    NotOurs,
}

/// A delivery after a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    pub delivery: Delivery,
    /// Each status with what RetailCRM is told of it.
    pub statuses: Vec<(Event, Report)>,
    /// What was not delivered, in the courier's words; belongs to the last status.
    pub reason: Option<String>,
    /// Belongs to the last status as well.
    pub details: Details,
    /// The delivery is closed: its payment may have to change.
    pub closed: bool,
    /// It was closed as delivered and is not any more.
    pub reopened: bool,
}

/// What RetailCRM is told of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    AsMade,
    /// With this time: its own is older than what was told before, and it is the present all
    /// the same.
    At(Timestamp),
    /// Nothing, and why.
    Silent(Silence),
}

impl Report {
    pub(super) const fn silent(self) -> Option<Silence> {
        match self {
            Self::Silent(why) => Some(why),
            Self::AsMade | Self::At(_) => None,
        }
    }
}

/// When a row was read.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// The answer was asked for then: it shows what was true then or later.
    pub asked_at: Timestamp,
    /// The same row was read first then.
    pub first_at: Timestamp,
}

impl Reading {
    pub(super) fn of(row: &PendingRow) -> Self {
        Self { asked_at: row.asked_at, first_at: row.created_at }
    }
}

/// Decides what a snapshot does to a delivery. `noted` is the newest time that RetailCRM was or
/// will be told.
pub fn merge(
    delivery: &Delivery,
    facts: &OrderSnapshot,
    settings: &Settings,
    noted: Option<Timestamp>,
    reading: Reading,
    now: Timestamp,
) -> Taken {
    if !is_this(delivery, facts) {
        return Taken::NotOurs;
    }
    if let Some(why) = not_yet(delivery, reading, now) {
        return Taken::NotYet(why);
    }
    let mut d = delivery.clone();
    // Nobody looked it up; the number is ours and MeaSoft reports on it.
    if matches!(d.state, S::Sending | S::Unknown) {
        let one = d.sending.as_ref().is_none_or(|sent| sent.earlier.is_empty());
        d.sent_hash = d.sending_hash.take().filter(|_| one);
    }
    // Where an unknown code is the present, what is understood still holds.
    let present = facts.understood().or(facts.present());
    let fresh = present.is_some_and(|present| is_present(present, &d, reading));
    if let Some(present) = present.filter(|_| fresh) {
        move_on(&mut d, present, facts, reading);
    }
    d.ordercode = facts.ordercode.clone().or(d.ordercode);
    // A row that was asked for before MeaSoft was last looked at may have waited while the
    // order was edited: an edit makes no news, so no newer row would put its figures right.
    if delivery.status_seen_at.is_none_or(|seen| reading.asked_at >= seen) || is_mutant(Mutant::StaleFigures) {
        d.price = facts.price.or(d.price);
        if !facts.item_codes.is_empty() {
            d.item_codes.clone_from(&facts.item_codes);
        }
    }
    let ended_well = |state| matches!(state, S::Delivered | S::Partly);
    Taken::Applied(Box::new(Merged {
        statuses: reports(facts, &d, settings, noted, fresh),
        reason: facts.reason.clone(),
        details: facts.details.clone(),
        closed: fresh && ended_well(d.state) && facts.is_closed(),
        reopened: ended_well(delivery.state) && !ended_well(d.state),
        delivery: d,
    }))
}

/// Why a delivery has to be settled first, if it has to.
fn not_yet(d: &Delivery, reading: Reading, now: Timestamp) -> Option<&'static str> {
    match d.state {
        // A request that arrived long after everybody had stopped waiting for it.
        S::Planned | S::Rejected => Some(NEVER_PLACED),
        S::Sending | S::Unknown if now.duration_since(reading.first_at).unsigned_abs() < PATIENCE => {
            Some("its own look-up comes first")
        }
        _ => None,
    }
}

/// What MeaSoft holds for present becomes the delivery's status and state.
fn move_on(d: &mut Delivery, present: &Event, facts: &OrderSnapshot, reading: Reading) {
    let phase = Phase::of(&present.code);
    if phase != Phase::Unclear {
        d.status = Some(present.code.clone());
        d.status_at = present.at.or(d.status_at);
        d.status_seen_at = d.status_seen_at.max(Some(reading.asked_at));
    }
    let unheard = d.sending.as_ref().is_some_and(|sent| sent.cancel_unheard);
    let ours = d.cancelled_by_us || (unheard && is_cancelled_by_client(facts.reason.as_deref()));
    if phase == Phase::NotDelivered && d.state == S::Created && ours {
        // The cancel whose answer was lost: still ours, so that a later send places it again.
        d.state = S::Cancelled;
        d.cancelled_by_us = true;
    } else if let Some(next) = d.state.after(Move::Reported(phase)) {
        d.state = next;
    }
}

/// What RetailCRM is told of each status, given the delivery as it is now.
fn reports(
    facts: &OrderSnapshot,
    d: &Delivery,
    settings: &Settings,
    noted: Option<Timestamp>,
    fresh: bool,
) -> Vec<(Event, Report)> {
    let newest = facts.events.iter().filter_map(|event| event.at).chain(noted).max();
    let last = facts.events.len().saturating_sub(1);
    let report = |at: usize, event: &Event| {
        if let Some(why) = why_silent(event, d, settings) {
            return Report::Silent(why);
        }
        let Some(made) = event.at else { return Report::AsMade };
        if at == last && fresh {
            let newer = newest.filter(|newest| made < *newest);
            return newer.map_or(Report::AsMade, |newest| Report::At(newest + 1.second()));
        }
        if noted.is_some_and(|noted| made < noted) { Report::Silent(Silence::CameLate) } else { Report::AsMade }
    };
    facts.events.iter().enumerate().map(|(at, event)| (event.clone(), report(at, event))).collect()
}

/// Whether what a row holds for present is the present. One that was asked for after the
/// ledger's own status was read is, whatever the times of the records: MeaSoft's `status` is
/// what it holds for present. Of one that waited meanwhile, older never overwrites newer; a
/// status without a time is as new as its reading. Times are whole seconds: of one second,
/// «new» was the first.
fn is_present(present: &Event, d: &Delivery, reading: Reading) -> bool {
    if d.status_seen_at.is_some_and(|seen| reading.asked_at >= seen) {
        return true;
    }
    let is_new = |code: &str| Phase::of(code) == Phase::New;
    match (present.at, d.status_at) {
        (Some(made), Some(known)) if made == known => !is_new(&present.code) || d.status.as_deref().is_none_or(is_new),
        (Some(made), Some(known)) => made > known,
        _ => true,
    }
}

/// A row that waited may be of the number that was cancelled meanwhile; and numbers repeat
/// over the years (protocols/measoft.md#statusreq).
fn is_this(d: &Delivery, facts: &OrderSnapshot) -> bool {
    if facts.orderno.as_deref().is_some_and(|number| number != d.orderno.as_str()) {
        return false;
    }
    match (d.ordercode.as_deref(), facts.ordercode.as_deref()) {
        (Some(ours), Some(theirs)) => ours == theirs,
        // Not known yet: what changed last cannot be older than the delivery itself.
        _ => facts.present().and_then(|e| e.at).is_none_or(|at| at >= d.created_at - 36.hours()),
    }
}

/// Why RetailCRM is not told of a status whatever its time; `None`: it is.
fn why_silent(event: &Event, d: &Delivery, settings: &Settings) -> Option<Silence> {
    let written = &d.crm_written;
    if !settings.receive_statuses {
        return Some(Silence::SwitchedOff);
    }
    if d.state == S::Cancelled {
        return Some(Silence::CancelledByUs);
    }
    if Phase::of(&event.code) == Phase::New
        && !written.external_id.is_empty()
        && !written.status.is_empty()
        && written.error.is_none()
    {
        return Some(Silence::ToldBefore);
    }
    if module_code(settings, &event.code).is_none() {
        let known = StatusCode::parse(&event.code).is_known() || settings.status_map.contains_key(&event.code);
        return Some(if known { Silence::MappedToNothing } else { Silence::UnknownCode });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, delivery, status_row};
    use shared::domain::{Kopecks, OrderNo};

    fn taken(d: &Delivery, orderno: &str, code: &str) -> Taken {
        let reading = Reading { asked_at: at(99), first_at: at(100) };
        merge(d, &OrderSnapshot::of(&status_row(orderno, code, 100)), &Settings::default(), None, reading, at(101))
    }

    #[test]
    fn a_row_of_the_number_before_a_re_creation_says_nothing_about_the_new_one() {
        let again =
            Delivery { orderno: OrderNo::known("A-1-2"), generation: 2, ordercode: None, ..delivery(S::Created) };
        assert_eq!(taken(&again, "A-1", "CANCELED"), Taken::NotOurs);
        assert!(matches!(taken(&again, "A-1-2", "NEW"), Taken::Applied(_)));
    }

    #[test]
    fn a_row_that_waited_while_the_order_was_edited_says_nothing_of_its_sum() {
        let mut edited = Delivery { price: Some(Kopecks(7)), ..delivery(S::Created) };
        for (seen, sum) in [(Some(at(100)), 7), (Some(at(99)), 100_000), (None, 100_000)] {
            edited.status_seen_at = seen;
            let Taken::Applied(merged) = taken(&edited, "A-1", "ACCEPTED") else { panic!("it is this order") };
            assert_eq!((merged.delivery.state, merged.delivery.price), (S::InWork, Some(Kopecks(sum))), "{seen:?}");
        }
    }

    #[test]
    fn an_order_placed_and_cancelled_within_a_second_stays_cancelled() {
        let status = Some("CANCELED".to_owned());
        let cancelled = Delivery { cancelled_by_us: true, status, status_at: Some(at(100)), ..delivery(S::Cancelled) };
        let Taken::Applied(merged) = taken(&cancelled, "A-1", "NEW") else { panic!("it is this order") };
        assert_eq!((merged.delivery.state, merged.delivery.status.as_deref()), (S::Cancelled, Some("CANCELED")));
        let placed = Delivery { status: Some("NEW".to_owned()), status_at: Some(at(100)), ..delivery(S::Created) };
        let Taken::Applied(merged) = taken(&placed, "A-1", "ACCEPTED") else { panic!("it is this order") };
        assert_eq!(merged.delivery.state, S::InWork, "and what came after «new» within it counts");
    }

    #[test]
    fn a_cancel_of_ours_whose_answer_was_lost_is_still_ours_when_the_stream_reports_it() {
        let asked = Delivery { cancelled_by_us: true, ..delivery(S::Created) };
        let Taken::Applied(merged) = taken(&asked, "A-1", "CANCELED") else { panic!("it is this order") };
        assert_eq!((merged.delivery.state, merged.delivery.cancelled_by_us), (S::Cancelled, true));
        assert!(merged.statuses.iter().all(|(_, report)| report.silent().is_some()), "no news for RetailCRM");
        let Taken::Applied(merged) = taken(&delivery(S::Created), "A-1", "CANCELED") else { panic!("this order") };
        assert_eq!(merged.delivery.state, S::NotDelivered, "the courier's own cancel is news");
    }
}
