//! Takes stored status rows over into the ledger: state, status, line codes, what RetailCRM
//! is to be told, and the request to settle the payment, all in one commit per batch of
//! deliveries.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{Timestamp, ToSpan};
use shared::crypto::sha256_hex;
use shared::domain::delivery::{DeliveryState as S, Event as Move, Phase};
use shared::domain::status_list::module_code;
use shared::domain::{Delivery, DeliveryId, Integration, IntegrationId, Settings};
use shared::measoft::StatusCode;
use shared::message::{Change, Command, Envelope, Kind, Outcome};
use shared::planted::{Bug, is_planted};
use shared::store::dead_letters::NewDeadLetter;
use shared::store::journal::{Entry, What};
use shared::store::status_stream::{PendingRow, RowState};
use shared::store::tracking_outbox::{NewTracking, TrackingState, UNKNOWN_CODE};
use shared::telemetry::metrics::StatusRowResult;
use shared::{reason, store};

use crate::order::recognise::is_cancelled_by_client;
use crate::sync::facts::{Event, Facts};
use crate::sync::{internal, of_account};
use crate::tools::Tools;

/// Deliveries taken over in one commit.
const BATCH: u32 = 100;
/// Deliveries are held for one commit only, so that no order waits for a status.
const HELD: Duration = Duration::from_secs(15);
/// How long an order whose create had no answer is left to its own look-up.
const PATIENCE: Duration = Duration::from_secs(3600);
/// A row that its delivery has not taken in so much time of trying never will be.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Longest pause of a row whose delivery is at work: whoever holds it is done in seconds.
const HELD_PAUSE: u64 = 8;
/// Longest pause of a row whose delivery has to be settled first.
const SETTLING_PAUSE: u64 = 60;

/// Why a row waits whose order the ledger does not hold for placed.
const NEVER_PLACED: &str = "by the ledger nothing of it is at MeaSoft under this number";

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
    Silent(&'static str),
}

impl Report {
    const fn silent(self) -> Option<&'static str> {
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
    fn of(row: &PendingRow) -> Self {
        Self { asked_at: row.asked_at, first_at: row.created_at }
    }
}

/// Decides what a snapshot does to a delivery. `noted` is the newest time that RetailCRM was or
/// will be told.
pub fn merge(
    delivery: &Delivery,
    facts: &Facts,
    settings: &Settings,
    noted: Option<Timestamp>,
    reading: Reading,
    now: Timestamp,
) -> Taken {
    if !is_this(delivery, facts) {
        return Taken::NotOurs;
    }
    let mut d = delivery.clone();
    match d.state {
        // A request that arrived long after everybody had stopped waiting for it.
        S::Planned | S::Rejected => return Taken::NotYet(NEVER_PLACED),
        S::Sending | S::Unknown if now.duration_since(reading.first_at).unsigned_abs() < PATIENCE => {
            return Taken::NotYet("its own look-up comes first");
        }
        // Nobody looked it up; the number is ours and MeaSoft reports on it.
        S::Sending | S::Unknown => {
            let one = d.sending.as_ref().is_none_or(|sent| sent.earlier.is_empty());
            d.sent_hash = d.sending_hash.take().filter(|_| one);
        }
        _ => {}
    }
    let before = d.state;
    // Where an unknown code is the present, what is understood still holds.
    let present = facts.understood().or(facts.present());
    let fresh = present.is_some_and(|present| is_present(present, &d, reading));
    if let Some(present) = present.filter(|_| fresh) {
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
    d.ordercode = facts.ordercode.clone().or(d.ordercode);
    // A row that was asked for before MeaSoft was last looked at may have waited while the
    // order was edited: an edit makes no news, so no newer row would put its figures right.
    if delivery.status_seen_at.is_none_or(|seen| reading.asked_at >= seen) || is_planted(Bug::StaleFigures) {
        d.price = facts.price.or(d.price);
        if !facts.item_codes.is_empty() {
            d.item_codes.clone_from(&facts.item_codes);
        }
    }
    let reported_before = facts.events.iter().filter_map(|event| event.at).chain(noted).max();
    let last = facts.events.len().saturating_sub(1);
    let statuses = facts
        .events
        .iter()
        .enumerate()
        .map(|(at, event)| {
            let report = match (why_silent(event, &d, settings), event.at) {
                (Some(why), _) => Report::Silent(why),
                (None, Some(made)) if at == last && fresh && reported_before.is_some_and(|told| made < told) => {
                    Report::At(reported_before.map_or(made, |told| told + 1.second()))
                }
                (None, Some(made)) if at != last || !fresh => match noted {
                    Some(noted) if made < noted => Report::Silent("came after a newer one"),
                    _ => Report::AsMade,
                },
                (None, _) => Report::AsMade,
            };
            (event.clone(), report)
        })
        .collect();
    let ended_well = |state| matches!(state, S::Delivered | S::Partly);
    Taken::Applied(Box::new(Merged {
        statuses,
        reason: facts.reason.clone(),
        closed: fresh && ended_well(d.state) && facts.is_closed(),
        reopened: ended_well(before) && !ended_well(d.state),
        delivery: d,
    }))
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
/// over the years (measoft-api.md §10.1).
fn is_this(d: &Delivery, facts: &Facts) -> bool {
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
fn why_silent(event: &Event, d: &Delivery, settings: &Settings) -> Option<&'static str> {
    let written = &d.crm_written;
    if !settings.receive_statuses {
        return Some("switched off");
    }
    if d.state == S::Cancelled {
        return Some("cancelled by us");
    }
    if Phase::of(&event.code) == Phase::New
        && !written.external_id.is_empty()
        && !written.status.is_empty()
        && written.error.is_none()
    {
        return Some("told when it was placed");
    }
    if module_code(settings, &event.code).is_none() {
        let known = StatusCode::parse(&event.code).is_known() || settings.status_map.contains_key(&event.code);
        return Some(if known { "mapped to nothing" } else { UNKNOWN_CODE });
    }
    None
}

/// Takes over whatever waits of a cabinet.
pub async fn run(tools: &Tools, account: &str) -> Outcome {
    match take_over(tools, account).await {
        Ok(0) => Outcome::AlreadyDone("no status waits"),
        Ok(_) => Outcome::Done(Change::Synced),
        Err(error) => {
            tracing::warn!(%error, "stored statuses wait for the database");
            internal()
        }
    }
}

async fn take_over(tools: &Tools, account: &str) -> store::Result<u64> {
    let integrations: HashMap<IntegrationId, Integration> =
        of_account(tools, account).await?.into_iter().map(|integration| (integration.id, integration)).collect();
    let mut applied = 0;
    loop {
        let due = tools.store.deliveries_with_rows(account, BATCH).await?;
        if due.is_empty() {
            return Ok(applied);
        }
        let now = tools.clock.now();
        let until = now.checked_add(HELD).unwrap_or(now);
        let leased = tools.store.lease_deliveries(&due, &tools.owner, until).await?;
        let rows = tools.store.pending_rows(account, &due).await?;
        applied += apply(tools, account, &integrations, &leased, &rows).await?;
        // An order at work, or gone: its rows wait; the order does not.
        let held: Vec<DeliveryId> = due.iter().copied().filter(|id| !leased.iter().any(|d| d.id == *id)).collect();
        put_off(tools, account, &held, &rows).await?;
    }
}

/// Rows of deliveries that others hold.
async fn put_off(tools: &Tools, account: &str, held: &[DeliveryId], rows: &[PendingRow]) -> store::Result<()> {
    let now = tools.clock.now();
    for id in held {
        let Some(first) = rows.iter().find(|row| row.delivery == *id) else { continue };
        if is_hopeless(first, HELD_PAUSE, now) {
            let mut tx = tools.store.db.begin().await?;
            for row in rows.iter().filter(|row| row.delivery == *id) {
                tx.settle_status_row(row.id, RowState::Parked, Some("its delivery was never free"), now).await?;
            }
            tx.commit().await?;
            tools.metrics.status_rows(StatusRowResult::Parked, 1);
        } else {
            tools.store.postpone_rows(account, &[*id], pause(now, first.attempt, HELD_PAUSE)).await?;
        }
    }
    Ok(())
}

fn pause(now: Timestamp, attempt: u32, longest: u64) -> Timestamp {
    now.checked_add(Duration::from_secs((1_u64 << attempt.min(6)).min(longest))).unwrap_or(now)
}

/// Whether a row was tried for as long as any may be. What waits for a worker is not tried: a
/// status that lay for days is taken like a new one.
fn is_hopeless(row: &PendingRow, longest: u64, now: Timestamp) -> bool {
    let climbing: u64 = (0..row.attempt.min(6)).map(|attempt| (1 << attempt).min(longest)).sum();
    let tried = climbing + u64::from(row.attempt.saturating_sub(6)) * longest;
    tried > GIVEN_UP_AFTER.as_secs() && now > row.created_at + GIVEN_UP_AFTER
}

/// All rows of some leased deliveries in one commit; answers how many were taken over.
async fn apply(
    tools: &Tools,
    account: &str,
    integrations: &HashMap<IntegrationId, Integration>,
    leased: &[Delivery],
    rows: &[PendingRow],
) -> store::Result<u64> {
    let now = tools.clock.now();
    let mut applied = 0;
    let mut unknown = 0;
    let mut unreadable = 0;
    let mut not_yet = Vec::new();
    let mut tx = tools.store.db.begin().await?;
    for original in leased {
        let Some(integration) = integrations.get(&original.integration) else {
            for row in rows.iter().filter(|row| row.delivery == original.id) {
                tx.settle_status_row(row.id, RowState::Parked, Some("its integration was removed"), now).await?;
            }
            tx.save_delivery(original, true, now).await?;
            continue;
        };
        let settings = &integration.settings;
        let mut d = original.clone();
        for row in rows.iter().filter(|row| row.delivery == original.id) {
            let Ok(facts) = serde_json::from_str::<Facts>(&row.facts) else {
                tx.settle_status_row(row.id, RowState::Parked, Some("the stored row cannot be read"), now).await?;
                continue;
            };
            let noted = tx.newest_tracking(d.id, d.orderno.as_str()).await?;
            match merge(&d, &facts, settings, noted, Reading::of(row), now) {
                Taken::NotOurs => {
                    tx.settle_status_row(
                        row.id,
                        RowState::Foreign,
                        Some("another year's order, or an earlier number"),
                        now,
                    )
                    .await?
                }
                Taken::NotYet(why) => {
                    if is_hopeless(row, SETTLING_PAUSE, now) {
                        tx.settle_status_row(row.id, RowState::Parked, Some(why), now).await?;
                    } else {
                        // Only what was once sent: a number that the courier's people typed in
                        // themselves is none of ours.
                        if why == NEVER_PLACED && row.attempt == 0 && d.sending.is_some() {
                            tx.suspect_delivery(&d, now).await?;
                            let words = "MeaSoft reports on an order that was not known to be placed: it is looked up";
                            let entry = Entry::new(now, What::Status, words).about(d.integration, d.number.as_str());
                            tx.append_journal(&entry.orderno(d.orderno.as_str())).await?;
                        }
                        not_yet.push((d.id, row.attempt));
                    }
                }
                Taken::Applied(merged) => {
                    tx.settle_status_row(row.id, RowState::Applied, None, now).await?;
                    unknown += note(&mut tx, tools, &merged, &facts, settings, row.created_at, now).await?;
                    unreadable += u64::from(!facts.unreadable.is_empty());
                    d = merged.delivery;
                    applied += 1;
                }
            }
        }
        if !tx.save_delivery(&d, true, now).await? {
            // Nobody takes a lease of seconds over while this commit is open; but if the
            // machine slept, everything of this commit is taken back.
            return Ok(0);
        }
    }
    tx.commit().await?;
    tools.metrics.status_rows(StatusRowResult::UnknownCode, unknown);
    tools.metrics.status_rows(StatusRowResult::SideFieldDropped, unreadable);
    for (delivery, attempt) in not_yet {
        tools.store.postpone_rows(account, &[delivery], pause(now, attempt, SETTLING_PAUSE)).await?;
    }
    Ok(applied)
}

/// Writes what follows from a row that was taken over; answers how many unknown codes are new.
async fn note(
    tx: &mut store::Tx,
    tools: &Tools,
    merged: &Merged,
    facts: &Facts,
    settings: &Settings,
    seen_at: Timestamp,
    now: Timestamp,
) -> store::Result<u64> {
    let d = &merged.delivery;
    let mut told = Vec::new();
    let mut unknown = 0;
    let last = merged.statuses.len().saturating_sub(1);
    for (at, (event, report)) in merged.statuses.iter().enumerate() {
        let silent = report.silent();
        let new = NewTracking {
            integration: d.integration,
            delivery: d.id,
            orderno: d.orderno.as_str().to_owned(),
            code: event.code.clone(),
            made_at: event.at,
            tell_at: if let Report::At(at) = report { Some(*at) } else { None },
            comment: merged.reason.clone().filter(|_| at == last),
            state: if silent.is_none() { TrackingState::Waiting } else { TrackingState::Kept },
            why: silent,
            seen_at,
        };
        if tx.add_tracking(&new).await? {
            told.push(words(event, silent));
            if silent == Some(UNKNOWN_CODE) {
                unknown += 1;
                tx.add_dead_letter_once(&unmapped_letter(d, &event.code), now).await?;
            } else if !StatusCode::parse(&event.code).is_known() {
                let (name, kind) = (code_name(&event.code), Kind::SyncStatuses);
                tx.resolve_dead_letters_of(d.integration, Some(&name), kind.as_str(), now).await?;
            }
        }
    }
    let mut text = if told.is_empty() { "seen again with other figures".to_owned() } else { told.join(", ") };
    if let Some(price) = facts.price {
        text.push_str(&format!("; sum {price} {}", facts.paytype.as_deref().unwrap_or("")));
    }
    if !facts.unreadable.is_empty() {
        text.push_str(&format!("; could not be read: {}", facts.unreadable.join(", ")));
    }
    let entry = Entry::new(now, What::Status, text.trim_end()).about(d.integration, d.number.as_str());
    tx.append_journal(&entry.orderno(d.orderno.as_str())).await?;
    let wanted = settings.payment_status.is_some() || settings.receive_payment;
    if merged.closed && wanted {
        let mark = sha256_hex(format!("{}|{:?}|{:?}", d.orderno, facts.price, facts.paytype).as_bytes());
        let text = serde_json::to_string(facts).expect("facts serialise");
        tx.want_payment(d.integration, d.id, &mark, &text, now).await?;
    } else if merged.reopened && tx.reopen_payment(d.id, now).await? && wanted {
        let give_up = reason::give_up(reason::PAYMENT_CORRECTED, format!("now {}", d.status.as_deref().unwrap_or("?")));
        tx.add_dead_letter(&payment_letter(tools, d.integration, Some(d.id), &d.number, &give_up, 1), now).await?;
    }
    Ok(unknown)
}

/// What a letter about a status code is filed under: it is about the code, not about an order.
fn code_name(code: &str) -> String {
    format!("status {code}")
}

/// A status that RetailCRM is not told, because nobody has said what it stands for.
fn unmapped_letter(d: &Delivery, code: &str) -> NewDeadLetter {
    let give_up = reason::give_up(reason::STATUS_UNMAPPED, format!("{code}, first seen on order {}", d.number));
    NewDeadLetter {
        integration: Some(d.integration),
        delivery: None,
        number: Some(code_name(code)),
        kind: Kind::SyncStatuses.as_str().to_owned(),
        reason: give_up.reason.to_owned(),
        fault: give_up.fault,
        detail: give_up.detail,
        tries: 1,
        command: None,
        raw: None,
    }
}

/// A dead letter about an order's payment; its replay looks at the payment again.
pub(crate) fn payment_letter(
    tools: &Tools,
    integration: IntegrationId,
    delivery: Option<DeliveryId>,
    number: &str,
    give_up: &shared::message::GiveUp,
    tries: u32,
) -> NewDeadLetter {
    let envelope = Envelope::new(Command::SyncPayments {}, Some(integration), tools.clock.now());
    NewDeadLetter {
        integration: Some(integration),
        delivery,
        number: Some(number.to_owned()),
        kind: Kind::SyncPayments.as_str().to_owned(),
        reason: give_up.reason.to_owned(),
        fault: give_up.fault,
        detail: give_up.detail.clone(),
        tries,
        command: serde_json::to_string(&envelope).ok(),
        raw: None,
    }
}

fn words(event: &Event, silent: Option<&str>) -> String {
    let name = StatusCode::parse(&event.code);
    let at = event.at.map_or_else(String::new, |at| format!(" at {at}"));
    let silent = silent.map_or_else(String::new, |why| format!(" (not passed on: {why})"));
    if name.is_known() {
        format!("{} «{}»{at}{silent}", event.code, name.name_ru())
    } else {
        format!("{}{at}{silent}", event.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, delivery, status_row};
    use shared::domain::{Kopecks, OrderNo};

    fn taken(d: &Delivery, orderno: &str, code: &str) -> Taken {
        let reading = Reading { asked_at: at(99), first_at: at(100) };
        merge(d, &Facts::of(&status_row(orderno, code, 100)), &Settings::default(), None, reading, at(101))
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
