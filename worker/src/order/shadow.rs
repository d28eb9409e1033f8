//! Orders of an integration that is a shadow of another one: decided on and converted as any other,
//! over a delivery that is made up of what would have been done so far. Nothing leaves and nothing
//! goes into the ledger; what would be at MeaSoft is kept, to be compared with what is.
//!
//! Some orders of a shadow go live all the same (a canary). On which side an order is, is kept
//! before anything else is done with it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use shared::clock::later;
use shared::domain::delivery::{DeliveryState as S, Event, Fingerprint, Phase};
use shared::domain::{CrmOrderId, Delivery, DeliveryId, OrderNo};
use shared::message::{GiveUp, Needless, Outcome, RetryWhy};
use shared::phrases::Value as _;
use shared::retailcrm::wire::order::Order;
use shared::store;
use shared::store::shadow_orders::{Content, Refusal, ShadowOrder, Side, Verdict};
use shared::story::Event as Told;

use crate::order::attempt::{Attempt, Step};
use crate::order::decide::{Decision, Presence};
use crate::order::read::{LedgerBefore, Read};
use crate::order::report::{Whose, whose};
use crate::order::situation::next;
use crate::order::{confidential, figures, town};
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::references::References;

/// The other integration gets a minute, as it is installed, before MeaSoft is asked what it made of
/// the trigger.
const ASKED_AFTER: u32 = 40;

/// Before it went live, in pauses: a trigger of that time may have been left to the other integration
/// when that one was switched off already.
const HANDED_OVER: u32 = 10;

/// Decisions of one attempt.
const ROUNDS: usize = 3;

/// Who acts for the orders that were read.
#[derive(Default)]
pub(crate) struct Sides {
    /// The integration is none's shadow.
    all_live: bool,
    live: BTreeSet<CrmOrderId>,
    known: BTreeMap<CrmOrderId, ShadowOrder>,
}

impl Sides {
    /// Reads on which side orders are, and keeps it of those whose first it is.
    pub(crate) async fn of(
        tools: &Tools,
        active: &ActiveIntegration,
        read: &Read,
        seen: &LedgerBefore,
        attempts: &[Attempt],
    ) -> store::Result<Self> {
        if !active.integration.settings.is_shadow() {
            return Ok(Self { all_live: true, ..Self::default() });
        }
        // What the ledger has was placed by us, or is to be.
        let asked = attempts.iter().filter_map(|attempt| attempt.intent.order);
        let all: BTreeSet<CrmOrderId> = read.orders.keys().copied().chain(asked).collect();
        let (live, rest): (Vec<CrmOrderId>, Vec<CrmOrderId>) = all.into_iter().partition(|id| seen.of(*id).is_some());
        let mut known = rows(tools, active, &rest).await?;
        let first = |order: &&Order| !live.contains(&order.id) && !known.contains_key(&order.id);
        let ours = |order: &&Order| is_ours(tools, active, order);
        let now = tools.clock.now();
        let new: Vec<ShadowOrder> =
            read.orders.values().filter(first).filter(ours).map(|order| chosen(active, order, now)).collect();
        if !new.is_empty() {
            tools.store.choose_sides(&new).await?;
            // Another worker may have been first.
            known = rows(tools, active, &rest).await?;
        }
        let chosen_live = known.values().filter(|row| row.side == Side::Live).filter_map(|row| row.order);
        let live = live.into_iter().chain(chosen_live).collect();
        Ok(Self { all_live: false, live, known })
    }

    pub(crate) fn is_live(&self, order: CrmOrderId) -> bool {
        self.all_live || self.live.contains(&order)
    }

    /// Whether a send would place it, where it is not in the ledger.
    pub(crate) fn would_be_placed(&self, order: CrmOrderId) -> Option<bool> {
        self.known.get(&order).map(|row| !matches!(row.state, S::Planned | S::Rejected | S::Cancelled))
    }

    /// Notes on those attempts that nobody acts for what is known of their orders.
    pub(crate) fn mark(self, active: &ActiveIntegration, now: Timestamp, attempts: &mut [Attempt]) {
        if self.all_live {
            return;
        }
        for attempt in attempts {
            let order = attempt.intent.order;
            if attempt.delivery.is_some() || attempt.past.is_some() || order.is_some_and(|order| self.is_live(order)) {
                continue;
            }
            let known = order.and_then(|order| self.known.get(&order).cloned());
            let number = attempt.intent.number.as_str();
            let made = || ShadowOrder::new(active.id(), order, number, Side::Shadow, now);
            attempt.shadow = Some(Box::new(known.unwrap_or_else(made)));
        }
    }
}

async fn rows(
    tools: &Tools,
    active: &ActiveIntegration,
    orders: &[CrmOrderId],
) -> store::Result<BTreeMap<CrmOrderId, ShadowOrder>> {
    let rows = tools.store.shadow_orders(active.id(), orders).await?;
    Ok(rows.into_iter().filter_map(|row| Some((row.order?, row))).collect())
}

/// Whether RetailCRM shows an order for this integration's.
pub(crate) fn is_ours(tools: &Tools, active: &ActiveIntegration, order: &Order) -> bool {
    let nothing = Whose { candidates: &[], known_type: None, cancel: false };
    whose(order, &nothing, active, &tools.module_code) == Presence::Ours
}

pub(crate) fn chosen(active: &ActiveIntegration, order: &Order, now: Timestamp) -> ShadowOrder {
    let number = order.number.as_str();
    let canary = active.integration.settings.is_canary(number, order.delivery.code.as_deref());
    let side = if canary { Side::Live } else { Side::Shadow };
    ShadowOrder::new(active.id(), Some(order.id), number, side, now)
}

/// Gives each order that nobody acts for the delivery that it would have.
pub(crate) fn imagine(active: &ActiveIntegration, attempts: &mut [Attempt], now: Timestamp) {
    for attempt in attempts.iter_mut().filter(|attempt| attempt.is_open()) {
        if let Some(row) = &attempt.shadow {
            attempt.delivery = imagined(active, attempt, row, now);
            // What would be looked up is asked about later.
            attempt.verified = true;
        }
    }
}

fn imagined(active: &ActiveIntegration, attempt: &Attempt, row: &ShadowOrder, now: Timestamp) -> Option<Delivery> {
    let order = row.order?;
    let number = attempt.order.as_ref().map_or(&attempt.intent.number, |order| &order.number);
    let Content { generation, hash, undeclared_hash, status, .. } = &row.content;
    let moved = |status: &String| row.state.after(Event::Reported(Phase::of(status)));
    let state = match row.state {
        S::Created => status.as_ref().and_then(moved).unwrap_or(S::Created),
        other => other,
    };
    let (sent_hash, sending_hash) = if state == S::Rejected { (None, hash.clone()) } else { (hash.clone(), None) };
    Some(Delivery {
        id: DeliveryId(0),
        integration: active.id(),
        crm_order: order,
        number: row.number.clone(),
        site: String::new(),
        delivery_type: String::new(),
        orderno: OrderNo::derive(&active.integration.prefix, number, order, *generation),
        ordercode: None,
        generation: *generation,
        state,
        status: status.clone(),
        status_at: None,
        status_seen_at: None,
        cancelled_by_us: state == S::Cancelled,
        sent_hash,
        sending_hash,
        sending: Some(Fingerprint { undeclared_hash: undeclared_hash.clone(), ..Fingerprint::default() }),
        // The other integration's marks on the order are what is expected.
        sent_at: Some(now),
        price: None,
        item_codes: BTreeMap::new(),
        saved_request: None,
        crm_written: Default::default(),
        reject_reason: None,
        requests: 0,
        fence: 0,
        prior_fence: 0,
        created_at: now,
    })
}

/// Decides on the orders that nobody acts for, and keeps what would have been done.
pub(crate) async fn think(
    tools: &Tools,
    active: &ActiveIntegration,
    references: &References,
    attempts: &mut [Attempt],
) {
    let now = tools.clock.now();
    let mut kept = Vec::new();
    for attempt in attempts.iter_mut().filter(|attempt| attempt.shadow.is_some()) {
        let before = attempt.shadow.clone();
        for _ in 0..ROUNDS {
            if !attempt.is_open() {
                break;
            }
            let decision = next(tools, active, references, attempt);
            let step = would(tools, active, attempt, decision).await;
            attempt.close_on(step);
        }
        attempt.delivery = None;
        refuse(tools, active, attempt);
        let settled = attempt.outcome.as_ref().is_some_and(is_settled) && attempt.shadow != before;
        let row = attempt.shadow.as_deref().filter(|_| settled);
        kept.extend(row.map(|row| ShadowOrder { decided_at: now, ..row.clone() }));
    }
    if let Err(error) = tools.store.keep_shadow_orders(&kept).await {
        tracing::warn!(%error, "what a shadow decided could not be kept");
        for attempt in attempts.iter_mut().filter(|attempt| attempt.shadow.is_some()) {
            attempt.retry(RetryWhy::Internal, None);
        }
    }
}

const fn is_settled(outcome: &Outcome) -> bool {
    !matches!(outcome, Outcome::RetryLater { .. })
}

const IN_SHADOW: Outcome = Outcome::AlreadyDone(Needless::InShadow);

/// What would be done. `Ok`: it is to be decided anew.
async fn would(tools: &Tools, active: &ActiveIntegration, attempt: &mut Attempt, decision: Decision) -> Step {
    match decision {
        Decision::Create | Decision::Recreate | Decision::Edit => {
            let again = decision == Decision::Recreate;
            if let Some(Err(give_up)) = &attempt.desired {
                return Err(Outcome::GiveUp(give_up.clone()));
            }
            town::fill_in(tools, active, attempt).await?;
            place(tools, active, attempt, again, decision == Decision::Edit);
            Err(IN_SHADOW)
        }
        Decision::Cancel => {
            let orderno = attempt.held().orderno.to_string();
            attempt.notes.push(Told::WouldCancel { orderno });
            if let Some(row) = &mut attempt.shadow {
                row.content.figures.clear();
                expect(tools, row, S::Cancelled);
            }
            Err(IN_SHADOW)
        }
        Decision::Withdraw => {
            if let Some(row) = &mut attempt.shadow {
                (row.state, row.verdict, row.due_at) = (S::Cancelled, Verdict::Nothing, None);
                row.content = Content { generation: row.content.generation, ..Content::default() };
            }
            Err(IN_SHADOW)
        }
        // MeaSoft is asked by the comparison.
        Decision::LookUp => Err(Outcome::retry(RetryWhy::Internal)),
        Decision::CancelByNumber | Decision::WriteBack => Err(IN_SHADOW),
        Decision::AlreadyDone(why) => Err(Outcome::AlreadyDone(why)),
        Decision::Superseded(why) => Err(Outcome::Superseded(why)),
        Decision::ReadAgain => Err(attempt.read_again()),
        Decision::GiveUp(give_up) => Err(Outcome::GiveUp(give_up)),
    }
}

fn place(tools: &Tools, active: &ActiveIntegration, attempt: &mut Attempt, again: bool, edit: bool) {
    let Some(Ok(desired)) = attempt.desired.clone() else { return };
    let Some(row) = &mut attempt.shadow else { return };
    row.content.generation += u32::from(again);
    if let (Some(order), Some(of)) = (&attempt.order, row.order) {
        order.number.as_str().clone_into(&mut row.number);
        let orderno = OrderNo::derive(&active.integration.prefix, &order.number, of, row.content.generation);
        row.orderno = Some(orderno.to_string());
    }
    let orderno = row.orderno.clone().unwrap_or_default();
    row.content.hash = Some(desired.hash.clone());
    row.content.undeclared_hash.clone_from(&desired.undeclared_hash);
    row.content.figures = figures::of(&desired.order, &tools.store.key);
    expect(tools, row, S::Created);
    let collect = desired.collect;
    attempt.notes.push(match edit {
        true => Told::WouldChange { orderno, collect },
        false => Told::WouldPlace { orderno, collect },
    });
}

/// MeaSoft is asked what has become of it.
fn expect(tools: &Tools, row: &mut ShadowOrder, state: S) {
    row.state = state;
    row.verdict = Verdict::Waiting;
    row.content.refusal = None;
    row.content.differences.clear();
    row.asks = 0;
    row.due_at = Some(later(tools.clock.now(), pause(tools)));
}

/// Until MeaSoft is asked for the first time, and asked again.
pub(crate) fn pause(tools: &Tools) -> Duration {
    tools.limits.settle * ASKED_AFTER
}

/// Since when triggers are ours to see to, of an integration that was a shadow. `None`: it was none.
pub(crate) fn handed_over(tools: &Tools, active: &ActiveIntegration) -> Option<Timestamp> {
    active.integration.settings.moved_in_at.map(|at| at - pause(tools) * HANDED_OVER)
}

/// What would be given up is kept with the order, and is no dead letter: the other integration does
/// what is to be done.
fn refuse(tools: &Tools, active: &ActiveIntegration, attempt: &mut Attempt) {
    let wanted = attempt.requested();
    let Some(Outcome::GiveUp(GiveUp { reason, fault, detail })) = attempt.outcome.clone() else { return };
    let Some(row) = &mut attempt.shadow else { return };
    let mut detail = detail;
    detail.hide(&confidential::all(active, attempt.order.as_ref()));
    if let (Some(order), Some(of)) = (&attempt.order, row.order) {
        let orderno = OrderNo::derive(&active.integration.prefix, &order.number, of, row.content.generation);
        row.orderno.get_or_insert_with(|| orderno.to_string());
    }
    let hash = attempt.desired.as_ref().and_then(|desired| desired.as_ref().ok()).map(|desired| desired.hash.clone());
    let state = match row.state {
        S::Planned | S::Rejected if wanted.send || wanted.update => {
            row.content.hash = hash;
            S::Rejected
        }
        state => state,
    };
    expect(tools, row, state);
    row.verdict = Verdict::Refused;
    row.content.refusal = Some(Refusal { reason: reason.to_owned(), fault, detail });
    if row.orderno.is_none() {
        row.due_at = None;
    }
    attempt.notes.push(Told::WouldRefuse { reason: reason.into(), fault });
    attempt.close(IN_SHADOW);
}
