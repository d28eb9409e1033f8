//! What taking the waiting rows of several deliveries over comes to, row after row of each. Pure;
//! `write` puts all of it down at once.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use shared::clock::later;
use shared::crypto::sha256_hex;
use shared::domain::{Delivery, DeliveryId, Integration, IntegrationId, Settings};
use shared::measoft::StatusCode;
use shared::store::dead_letters::NewDeadLetter;
use shared::store::journal::{Entry, What};
use shared::store::line_returns::NewReturns;
use shared::store::payment_moves::Closing;
use shared::store::status_stream::{PendingRow, RowEnd, RowState};
use shared::store::tracking_outbox::{NewTracking, Noted, TrackingState};
use shared::story::{Event, Silence};

use crate::sync::apply::merge::{Merged, NEVER_PLACED, Reading, Taken, merge};
use crate::sync::apply::note::{corrected_letter, reported, seen, tracking, unmapped_letter};
use crate::sync::facts::OrderSnapshot;
use crate::sync::returns;

/// A row that its delivery has not taken in so much time of trying never will be.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Longest pause, in seconds, of a row whose delivery is at work: whoever holds it is done soon.
const HELD_PAUSE: u64 = 8;
/// Longest pause, in seconds, of a row whose delivery has to be settled first.
const SETTLING_PAUSE: u64 = 60;

/// What is written when rows are taken over.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// As they are after it.
    pub(super) deliveries: Vec<Delivery>,
    pub(super) ends: Vec<RowEnd>,
    /// Rows that wait until then.
    pub(super) put_off: Vec<(i64, Timestamp)>,
    pub(super) statuses: Vec<NewTracking>,
    pub(super) entries: Vec<Entry>,
    pub(super) closings: Vec<Closing>,
    pub(super) returns: Vec<NewReturns>,
    /// Deliveries that are not closed any more, each with the letter about its payment where the
    /// shop wants to hear of payments.
    pub(super) reopened: Vec<(DeliveryId, Option<NewDeadLetter>)>,
    /// One for each code that nobody has said what it stands for.
    pub(super) unmapped: BTreeMap<(IntegrationId, String), NewDeadLetter>,
    /// Codes of which somebody has.
    pub(super) mapped: BTreeSet<(IntegrationId, String)>,
    /// Deliveries that MeaSoft reports on although they were never placed, and their rows, which
    /// wait until then. Their intents are written, and nobody writes an intent who has locked a
    /// delivery: this is another commit.
    pub(super) suspects: Vec<Delivery>,
    pub(super) suspicious: Vec<(i64, Timestamp)>,
    pub(super) counts: Counts,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) unknown: u64,
    pub(super) unreadable: u64,
    pub(super) parked: u64,
}

/// What RetailCRM was or will be told of the deliveries at hand.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Number, code and time of each.
    known: HashSet<(DeliveryId, String, String, Option<Timestamp>)>,
    /// The newest time under a number. What is kept back stands in nothing's way.
    newest: HashMap<(DeliveryId, String), Timestamp>,
}

impl Told {
    pub(super) fn of(noted: Vec<Noted>) -> Self {
        let mut told = Self::default();
        for Noted { delivery, orderno, code, made_at, tell_at, state } in noted {
            told.note(delivery, orderno, code, made_at, tell_at, state);
        }
        told
    }

    /// False when it is known already.
    fn note(
        &mut self,
        delivery: DeliveryId,
        orderno: String,
        code: String,
        made_at: Option<Timestamp>,
        tell_at: Option<Timestamp>,
        state: TrackingState,
    ) -> bool {
        if !self.known.insert((delivery, orderno.clone(), code, made_at)) {
            return false;
        }
        if let Some(at) = made_at.map(|made| tell_at.unwrap_or(made)).filter(|_| state != TrackingState::Kept) {
            let newest = self.newest.entry((delivery, orderno)).or_insert(at);
            *newest = at.max(*newest);
        }
        true
    }

    fn newest(&self, d: &Delivery) -> Option<Timestamp> {
        self.newest.get(&(d.id, d.orderno.as_str().to_owned())).copied()
    }
}

/// Plans one delivery after another.
pub(super) struct Planner<'a> {
    integrations: &'a HashMap<IntegrationId, Integration>,
    told: Told,
    now: Timestamp,
    plan: Plan,
}

impl<'a> Planner<'a> {
    pub(super) fn new(integrations: &'a HashMap<IntegrationId, Integration>, told: Told, now: Timestamp) -> Self {
        Self { integrations, told, now, plan: Plan::default() }
    }

    pub(super) fn done(self) -> Plan {
        self.plan
    }

    fn end(&mut self, row: &PendingRow, state: RowState, why: Option<&'static str>) {
        self.plan.counts.parked += u64::from(state == RowState::Parked);
        self.plan.ends.push(RowEnd { row: row.id, state, why });
    }

    fn park(&mut self, rows: &[PendingRow], why: &'static str) {
        rows.iter().for_each(|row| self.end(row, RowState::Parked, Some(why)));
    }

    /// Rows of a delivery that cannot be had: another holds it, or the database does not write it.
    /// They wait; the delivery's order does not.
    pub(super) fn wait(&mut self, rows: &[PendingRow], hopeless: &'static str) {
        let Some(first) = rows.first() else { return };
        if is_hopeless(first, HELD_PAUSE, self.now) {
            self.park(rows, hopeless);
        } else {
            let until = pause(self.now, first.attempt, HELD_PAUSE);
            self.plan.put_off.extend(rows.iter().map(|row| (row.id, until)));
        }
    }

    /// All rows of a delivery, in their order.
    pub(super) fn take(&mut self, d: Delivery, rows: &[PendingRow]) {
        let integrations = self.integrations;
        let Some(integration) = integrations.get(&d.integration) else {
            self.park(rows, "its integration was removed");
            return;
        };
        let mut taking = Taking {
            before: d.clone(),
            d,
            told: Vec::new(),
            reopened: None,
            closing: None,
            returns: None,
            waits: Vec::new(),
        };
        for row in rows {
            self.row(&mut taking, &integration.settings, row);
        }
        self.finish(taking, &integration.settings);
    }

    fn row(&mut self, taking: &mut Taking, settings: &Settings, row: &PendingRow) {
        let Ok(facts) = serde_json::from_str::<OrderSnapshot>(&row.facts) else {
            self.end(row, RowState::Parked, Some("the stored row cannot be read"));
            return;
        };
        let noted = self.told.newest(&taking.d);
        match merge(&taking.d, &facts, settings, noted, Reading::of(row), self.now) {
            Taken::NotOurs => {
                self.end(row, RowState::Foreign, Some("another year's order, or an earlier number"));
            }
            Taken::NotYet(why) if is_hopeless(row, SETTLING_PAUSE, self.now) => {
                self.end(row, RowState::Parked, Some(why));
            }
            Taken::NotYet(why) => {
                taking.waits.push((row.id, row.attempt, why));
            }
            Taken::Applied(merged) => {
                self.end(row, RowState::Applied, None);
                self.note(taking, &merged, &facts, settings, row.created_at);
                taking.d = merged.delivery;
            }
        }
    }

    /// What follows from a row that was taken over.
    fn note(
        &mut self,
        taking: &mut Taking,
        merged: &Merged,
        facts: &OrderSnapshot,
        settings: &Settings,
        seen_at: Timestamp,
    ) {
        let d = &merged.delivery;
        let mut added = Vec::new();
        for new in tracking(merged, seen_at) {
            let (orderno, code) = (new.orderno.clone(), new.code.clone());
            if !self.told.note(d.id, orderno, code.clone(), new.made_at, new.tell_at, new.state) {
                continue;
            }
            added.push(reported(&new));
            if new.why == Some(Silence::UnknownCode) {
                self.plan.counts.unknown += 1;
                self.plan.unmapped.entry((d.integration, code.clone())).or_insert_with(|| unmapped_letter(d, &code));
            } else if !StatusCode::parse(&code).is_known() {
                self.plan.mapped.insert((d.integration, code));
            }
            self.plan.statuses.push(new);
        }
        self.plan.counts.unreadable += u64::from(!facts.unreadable.is_empty());
        taking.told.extend(seen(added, facts));
        let turns = (merged.closed, merged.reopened);
        taking.returns = returns::news(d, turns, facts, settings).or(taking.returns.take());
        if merged.closed && wants_payments(settings) {
            taking.closing = Some(Closing {
                integration: d.integration,
                delivery: d.id,
                mark: sha256_hex(format!("{}|{:?}|{:?}", d.orderno, facts.price, facts.paytype).as_bytes()),
                facts: serde_json::to_string(&facts.of_money()).expect("facts serialise"),
            });
        } else if merged.reopened {
            taking.closing = None;
            taking.reopened = Some(corrected_letter(d, self.now));
        }
    }

    fn finish(&mut self, taking: Taking, settings: &Settings) {
        let Taking { before, d, told, reopened, closing, returns, waits } = taking;
        if !told.is_empty() {
            let entry = Entry::of(self.now, What::Status, told).about(d.integration, d.number.as_str());
            self.plan.entries.push(entry.orderno(d.orderno.as_str()));
        }
        self.plan.closings.extend(closing);
        self.plan.returns.extend(returns);
        self.plan.reopened.extend(reopened.map(|letter| (d.id, Some(letter).filter(|_| wants_payments(settings)))));
        if let Some(&(_, attempt, why)) = waits.first() {
            let until = pause(self.now, attempt, SETTLING_PAUSE);
            let rows = waits.iter().map(|(row, ..)| (*row, until));
            // Only what was once sent: a number that the courier's people typed in themselves is none
            // of ours.
            if why == NEVER_PLACED && attempt == 0 && d.sending.is_some() {
                self.plan.suspects.push(d.clone());
                self.plan.suspicious.extend(rows);
            } else {
                self.plan.put_off.extend(rows);
            }
        }
        if d != before {
            self.plan.deliveries.push(d);
        }
    }
}

/// A delivery and its rows, on their way.
struct Taking {
    before: Delivery,
    d: Delivery,
    /// The rows as the journal keeps them.
    told: Vec<Event>,
    reopened: Option<NewDeadLetter>,
    /// The newest.
    closing: Option<Closing>,
    returns: Option<NewReturns>,
    /// Rows before which it has to be settled: how often each was tried, and why it waits.
    waits: Vec<(i64, u32, &'static str)>,
}

const fn wants_payments(settings: &Settings) -> bool {
    settings.payment_status.is_some() || settings.receive_payment
}

fn pause(now: Timestamp, attempt: u32, longest: u64) -> Timestamp {
    later(now, Duration::from_secs((1_u64 << attempt.min(6)).min(longest)))
}

/// Whether a row was tried for as long as any may be. What waits for a worker is not tried: a
/// status that lay for days is taken like a new one.
fn is_hopeless(row: &PendingRow, longest: u64, now: Timestamp) -> bool {
    let climbing: u64 = (0..row.attempt.min(6)).map(|attempt| (1 << attempt).min(longest)).sum();
    let tried = climbing + u64::from(row.attempt.saturating_sub(6)) * longest;
    tried > GIVEN_UP_AFTER.as_secs() && now > row.created_at + GIVEN_UP_AFTER
}
