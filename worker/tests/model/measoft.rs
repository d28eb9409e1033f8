//! MeaSoft's account as this test knows it: numbers are unique within a calendar year,
//! only a new order can be changed or cancelled, an answer may be lost. It watches that
//! nobody writes what must not be written.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bridge_worker::order::prepayment::PREPAYMENT;
use futures_util::FutureExt as _;
use jiff::civil::Date;
use jiff::tz::{TimeZone, offset};
use jiff::{Timestamp, ToSpan};
use shared::clock::Clock;
use shared::domain::{DeliveryState, IntegrationId, Kopecks, OrderNo};
use shared::measoft::error::Break;
use shared::measoft::wire::statusreq::Status;
use shared::measoft::*;
use shared::store::Store;

use crate::crm::FakeCrm;
use crate::steps::{Run, Spot, vendor_step, write_step};
use crate::world::Said;

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is done, and nobody hears of it.
    AnswerLost,
    /// It never arrives, and nobody knows.
    RequestLost,
    /// Nobody hears of it, and it is done these seconds later.
    DoneLater(u8),
    NotSent,
    /// A page instead of an answer; nothing is done.
    Html,
    /// HTTP 503; nothing is done.
    Down,
    /// A documented refusal.
    Refused,
    /// The same for the request as a whole.
    RefusedWhole,
    /// A refusal that no table knows.
    RefusedOddly,
}

/// A line of a shipment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    code: String,
    pub extcode: String,
    pub quantity: u32,
    pub price: Kopecks,
}

/// What the courier would bring, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub phone: String,
    /// Sum to collect.
    pub price: Kopecks,
    /// (our line, quantity, unit price), sorted.
    pub lines: Vec<(String, u32, Kopecks)>,
}

#[derive(Debug, Clone)]
pub struct Shipment {
    pub orderno: OrderNo,
    pub ordercode: String,
    /// The CRM order it was made for.
    pub order: i64,
    pub status: &'static str,
    pub made_at: Timestamp,
    changed_at: Timestamp,
    year: i16,
    phone: String,
    price: Kopecks,
    declared: Option<Kopecks>,
    lines: Vec<Line>,
    cancelled_by_us: bool,
    /// A cancel of ours was on its way and its answer was never heard.
    cancel_unheard: bool,
    /// The courier has done something with it.
    pub touched: bool,
    /// Nobody is shown it before.
    shown_from: Timestamp,
    /// Place of its last change among all changes.
    change: u64,
    /// Every status it had, as MeaSoft dates them.
    pub past: Vec<(&'static str, Timestamp)>,
}

/// A code that no table knows.
pub const UNKNOWN_CODE: &str = "TELEPORTED";

impl Shipment {
    pub fn is_live(&self) -> bool {
        self.status != "CANCELED"
    }

    /// Nobody can tell whose a cancel was when the answer to ours was not heard: who wants it
    /// sent after that gets a new parcel.
    pub fn may_be_cancelled_by_us(&self) -> bool {
        self.cancelled_by_us || (self.cancel_unheard && self.status == "CANCELED")
    }

    fn is_new(&self) -> bool {
        self.status == "NEW"
    }

    pub fn content(&self) -> Content {
        // A prepayment is no goods.
        let live = self.lines.iter().filter(|line| line.quantity > 0 && line.extcode != PREPAYMENT);
        let mut lines: Vec<_> = live.map(|line| (line.extcode.clone(), line.quantity, line.price)).collect();
        lines.sort();
        Content { phone: self.phone.clone(), price: self.price, lines }
    }
}

/// A request that nobody heard of again, and that is done all the same.
enum Late {
    Create(NewOrder),
    Edit(NewOrder),
    Cancel(OrderNo),
}

#[derive(Default)]
struct State {
    shipments: Vec<Shipment>,
    next_code: u32,
    write_faults: VecDeque<Fault>,
    read_faults: VecDeque<Fault>,
    /// Requests that are still under way.
    later: Vec<(Timestamp, Late)>,
    /// Numbers sent with no word back yet, and when.
    unsettled: BTreeMap<OrderNo, Timestamp>,
    /// Sent, no word back, looked up since.
    looked_up: BTreeMap<OrderNo, Timestamp>,
    /// What a run was shown of a number last.
    seen: BTreeMap<(usize, OrderNo), &'static str>,
    /// Faults that happened.
    pub happened: BTreeSet<&'static str>,
    /// What is created before shows only then.
    blind_until: Option<Timestamp>,
    /// Changes so far, and how many of them the stream has handed out, and had acknowledged.
    changes: u64,
    offered: u64,
    acknowledged: u64,
}

impl State {
    fn next_change(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }
}

/// One account.
pub struct Account {
    pub integration: IntegrationId,
    clock: Clock,
    store: Store,
    crm: Arc<FakeCrm>,
    said: Said,
    state: Mutex<State>,
}

/// A slow request is done within the longest time a call may take.
pub const UNKNOWN_RECHECK: Duration = Duration::from_secs(30);

fn year(at: Timestamp) -> i16 {
    at.to_zoned_datetime(TimeZone::fixed(offset(3))).year()
}

impl Account {
    pub fn new(integration: IntegrationId, clock: Clock, store: Store, crm: Arc<FakeCrm>, said: Said) -> Arc<Self> {
        Arc::new(Self { integration, clock, store, crm, said, state: Mutex::default() })
    }

    /// What is created in the next while shows only after it.
    pub fn blind(&self, time: Duration) {
        self.state.lock().expect("lock").blind_until = Some(self.clock.now() + time);
    }

    pub fn trouble(&self, fault: Fault, on_writes: bool) {
        let mut state = self.state.lock().expect("lock");
        if on_writes { state.write_faults.push_back(fault) } else { state.read_faults.push_back(fault) }
    }

    pub fn heal(&self) {
        let mut state = self.state.lock().expect("lock");
        state.write_faults.clear();
        state.read_faults.clear();
    }

    pub fn happened(&self, what: &str) -> bool {
        self.state.lock().expect("lock").happened.contains(what)
    }

    /// Requests that were under way arrive by now.
    pub fn time_passed(&self, all: bool) {
        let now = self.clock.now();
        let mut state = self.state.lock().expect("lock");
        let (due, rest) = std::mem::take(&mut state.later).into_iter().partition(|(at, _)| all || *at <= now);
        state.later = rest;
        for (_, late) in due {
            let (what, orderno, code) = match late {
                Late::Create(order) => ("neworder", order.orderno.clone(), self.make(&mut state, &order).code),
                Late::Edit(order) => ("editorder", order.orderno.clone(), self.edit(&mut state, &order).code),
                Late::Cancel(orderno) => ("cancelorder", orderno.clone(), self.cancel(&mut state, &orderno)),
            };
            self.said.line(format!("   MeaSoft {}: a slow {what} {orderno} is done: {code}", self.integration));
        }
    }

    /// The courier takes an order on, ends it, or corrects what was said of it. A record may
    /// be older than that of the status before.
    pub fn courier_does(&self, order: i64, status: &'static str, backdated: bool) {
        let now = self.clock.now();
        let mut state = self.state.lock().expect("lock");
        let change = state.next_change();
        let his = |s: &&mut Shipment| s.order == order && (s.is_live() || !s.cancelled_by_us);
        if let Some(shipment) = state.shipments.iter_mut().rfind(his) {
            shipment.status = status;
            shipment.changed_at = if backdated { now - 30.minutes() } else { now };
            shipment.touched = true;
            shipment.change = change;
            shipment.past.push((status, shipment.changed_at));
            self.said.line(format!("   MeaSoft {}: {} is {status}", self.integration, shipment.orderno));
        }
    }

    /// Whether nothing is left in the stream.
    pub fn is_read_out(&self) -> bool {
        let state = self.state.lock().expect("lock");
        state.shipments.iter().all(|s| s.change <= state.acknowledged)
    }

    /// A parcel is one order's, as that order once was.
    fn check(&self, shipment: &Shipment) {
        let content = shipment.content();
        if !self.crm.ever(shipment.order, &content) {
            self.said.broke(format!(
                "{} of order {} holds what that order never was: {content:?}",
                shipment.orderno, shipment.order
            ));
        }
        if let Some(declared) = shipment.declared
            && !self.crm.may_declare(shipment.order, declared)
        {
            let (orderno, order) = (&shipment.orderno, shipment.order);
            self.said.broke(format!("{orderno} is insured with {declared}, which order {order} never cost"));
        }
    }

    /// Everything that was ever placed.
    pub fn all(&self) -> Vec<Shipment> {
        self.state.lock().expect("lock").shipments.clone()
    }

    /// The ledger may have lost what it knew of sends: only MeaSoft knows by now whether a number
    /// was sent before.
    pub fn ledger_forgot(&self) {
        let mut state = self.state.lock().expect("lock");
        state.unsettled.clear();
        state.looked_up.clear();
    }

    pub fn shipments(&self, order: i64) -> Vec<Shipment> {
        self.state.lock().expect("lock").shipments.iter().filter(|s| s.order == order).cloned().collect()
    }

    fn note(&self, text: String) {
        let who = Run::current().map_or_else(|| "?".to_owned(), |run| run.owner.clone());
        self.said.line(format!("   {who} at MeaSoft {}: {text}", self.integration));
    }

    /// Whoever begins a write must hold the delivery's lease at that moment.
    async fn must_hold(&self, orderno: &OrderNo, op: Op) {
        let Some(run) = Run::current() else { return };
        let (store, id, text) = (self.store.clone(), self.integration, orderno.as_str().to_owned());
        // In a task of its own the look is no step of the run.
        let row = tokio::spawn(async move {
            let sql = "SELECT lease_owner, state FROM deliveries WHERE integration_id = $1 AND orderno = $2";
            let row = store.db.fetch_one(sql, shared::args![id, text]).await.expect("a look")?;
            Some((row.opt_text("lease_owner").expect("owner"), row.text("state").expect("state")))
        });
        let found = row.await.expect("a look");
        let Some((owner, state)) = found else {
            return self.said.broke(format!("{op} of {orderno}, which the ledger does not know"));
        };
        if owner.as_deref() != Some(run.owner.as_str()) {
            self.said.broke(format!("{} began {op} of {orderno} after its lease was lost", run.owner));
        }
        let state = DeliveryState::parse(&state).expect("a state");
        let fits = match op {
            Op::NewOrder => state == DeliveryState::Sending,
            _ => state == DeliveryState::Created,
        };
        if !fits {
            self.said.broke(format!("{op} of {orderno}, which is {} in the ledger", state.as_str()));
        }
    }

    /// Changing what is known to be in work is forbidden.
    fn must_be_new(&self, orderno: &OrderNo, op: Op, must_have_looked: bool) {
        let Some(run) = Run::current() else { return };
        let state = self.state.lock().expect("lock");
        match state.seen.get(&(run.id, orderno.clone())) {
            Some(&"NEW") => {}
            // Only MeaSoft knows whether it can still be cancelled.
            Some(&UNKNOWN_CODE) if op == Op::CancelOrder => {}
            Some(status) => self.said.broke(format!("{op} of {orderno} although MeaSoft showed it as {status}")),
            None if must_have_looked => self.said.broke(format!("{op} of {orderno} without a look at it")),
            None => {}
        }
    }

    fn make(&self, state: &mut State, order: &NewOrder) -> CreateRow {
        let now = self.clock.now();
        let row = |code: i64| CreateRow {
            orderno: order.orderno.clone(),
            barcode: None,
            code,
            text_ru: None,
            text_en: None,
            orderprice: None,
        };
        if state.shipments.iter().any(|s| s.orderno == order.orderno && s.year == year(now)) {
            return row(17);
        }
        let crm_order = order_of(order);
        if self.crm.is_foreign(crm_order) {
            self.said.broke(format!("order {crm_order}, which another integration handed over, ships again"));
        }
        if let Some(other) = state.shipments.iter().find(|s| s.order == crm_order && !s.may_be_cancelled_by_us()) {
            self.said.broke(format!(
                "a second shipment of order {crm_order}: {} beside {}, which is {}",
                order.orderno, other.orderno, other.status
            ));
        }
        state.next_code += 1;
        let mut shipment = Shipment {
            orderno: order.orderno.clone(),
            ordercode: format!("{}", 7000 + state.next_code),
            order: crm_order,
            status: "NEW",
            made_at: now,
            changed_at: now,
            year: year(now),
            phone: String::new(),
            price: Kopecks::ZERO,
            declared: None,
            lines: Vec::new(),
            cancelled_by_us: false,
            cancel_unheard: false,
            touched: false,
            shown_from: state.blind_until.map_or(now, |until| until.max(now)),
            change: state.next_change(),
            past: vec![("NEW", now)],
        };
        fill(&mut shipment, order, &mut state.next_code);
        self.check(&shipment);
        let price = shipment.price;
        state.shipments.push(shipment);
        CreateRow { orderprice: Some(price), ..row(0) }
    }

    fn rows(&self, state: &State, matches: impl Fn(&Shipment) -> bool) -> Vec<StatusRow> {
        let now = self.clock.now();
        state.shipments.iter().filter(|s| matches(s) && s.shown_from <= now).map(row_of).collect()
    }

    fn edit(&self, state: &mut State, order: &NewOrder) -> CreateRow {
        let now = self.clock.now();
        let mut next_code = state.next_code;
        let found = state.shipments.iter_mut().rfind(|s| s.orderno == order.orderno && s.shown_from <= now);
        let code = match found {
            None => 52,
            Some(s) if s.is_new() => {
                let whose = order_of(order);
                if whose != s.order {
                    self.said.broke(format!("{} of order {} is changed into order {whose}", s.orderno, s.order));
                }
                if s.declared.is_some() && order.declared.is_none() {
                    self.said.broke(format!("the declared value of {} is lost in an edit", s.orderno));
                }
                // No news for the stream: an edit is no status.
                fill(s, order, &mut next_code);
                self.check(s);
                0
            }
            Some(_) => 4712,
        };
        state.next_code = next_code;
        refused(order.orderno.clone(), code)
    }

    fn cancel(&self, state: &mut State, orderno: &OrderNo) -> i64 {
        let (now, change) = (self.clock.now(), state.next_change());
        let shown = |s: &&mut Shipment| s.orderno == *orderno && s.shown_from <= now;
        match state.shipments.iter_mut().rfind(shown) {
            None => 52,
            Some(s) if s.is_new() => {
                s.status = "CANCELED";
                s.changed_at = now;
                s.cancelled_by_us = true;
                s.change = change;
                s.past.push(("CANCELED", now));
                0
            }
            Some(_) => 4712,
        }
    }

    /// Says how it was before.
    fn set_cancel_unheard(&self, orderno: &OrderNo, unheard: bool) -> bool {
        let mut state = self.state.lock().expect("lock");
        let shipment = state.shipments.iter_mut().rfind(|s| s.orderno == *orderno);
        shipment.is_some_and(|s| std::mem::replace(&mut s.cancel_unheard, unheard))
    }

    fn refusal(fault: Option<Fault>) -> Option<i64> {
        match fault {
            Some(Fault::Refused) => Some(5),
            Some(Fault::RefusedOddly) => Some(4711),
            _ => None,
        }
    }

    /// What keeps a request from being done at all.
    fn stopper(&self, state: &mut State, op: Op, fault: Option<Fault>) -> Option<MeasoftError> {
        let (name, error) = match fault? {
            Fault::RequestLost => ("lost", MeasoftError::NoAnswer { op, how: Break::Timeout }),
            Fault::NotSent => ("not sent", MeasoftError::NotSent { op, cause: "dns" }),
            Fault::Html => ("html", MeasoftError::BadFormat { op, why: "a page", html: true, excerpt: String::new() }),
            Fault::Down => ("down", MeasoftError::Http { op, status: 503, retry_after: None, excerpt: String::new() }),
            Fault::RefusedWhole => {
                let (code, text) = (Some(5), "receiver town not found".to_owned());
                ("refused", MeasoftError::Refused { op, code, verdict: classify(op, code, &text), text })
            }
            _ => return None,
        };
        state.happened.insert(name);
        Some(error)
    }

    async fn new_orders_(&self, orders: &[NewOrder]) -> Result<Vec<CreateRow>, MeasoftError> {
        let op = Op::NewOrder;
        let names: Vec<&str> = orders.iter().map(|o| o.orderno.as_str()).collect();
        self.note(format!("neworder {}", names.join(", ")));
        for order in orders {
            self.must_hold(&order.orderno, op).await;
        }
        {
            let now = self.clock.now();
            let mut state = self.state.lock().expect("lock");
            for order in orders {
                if let Some(at) = state.unsettled.insert(order.orderno.clone(), now) {
                    let since = now.duration_since(at).as_secs();
                    self.said.broke(format!("{} sent again after {since} s without a look-up", order.orderno));
                }
                if let Some(at) = state.looked_up.remove(&order.orderno)
                    && now.duration_since(at).unsigned_abs() < UNKNOWN_RECHECK
                {
                    self.said.broke(format!("{} sent again too soon", order.orderno));
                }
            }
        }
        write_step(Spot::Asking).await;
        let answer = {
            let mut state = self.state.lock().expect("lock");
            let state = &mut *state;
            let fault = state.write_faults.pop_front();
            if let Some(Fault::DoneLater(after)) = fault {
                let at = self.clock.now() + Duration::from_secs(u64::from(after));
                state.later.extend(orders.iter().map(|order| (at, Late::Create(order.clone()))));
                Err(MeasoftError::NoAnswer { op, how: Break::Timeout })
            } else if let Some(error) = self.stopper(state, op, fault) {
                Err(error)
            } else {
                let refusal = Self::refusal(fault);
                let rows = orders.iter().enumerate().map(|(n, order)| match refusal {
                    // One of several is refused, the others are not.
                    Some(code) if n == 0 => {
                        state.happened.insert("refused");
                        refused(order.orderno.clone(), code)
                    }
                    _ => self.make(state, order),
                });
                let rows: Vec<CreateRow> = rows.collect();
                if fault == Some(Fault::AnswerLost) {
                    Err(MeasoftError::NoAnswer { op, how: Break::Timeout })
                } else {
                    Ok(rows)
                }
            }
        };
        write_step(Spot::Answered).await;
        self.note(match &answer {
            Ok(rows) => format!("→ {}", rows.iter().map(|r| r.code.to_string()).collect::<Vec<_>>().join(", ")),
            Err(error) => format!("→ {error}"),
        });
        let mut state = self.state.lock().expect("lock");
        match &answer {
            Ok(rows) => {
                for row in rows.iter().filter(|row| row.code != 17) {
                    state.unsettled.remove(&row.orderno);
                }
            }
            Err(error) if error.class() != Class::UnknownOutcome => {
                for order in orders {
                    state.unsettled.remove(&order.orderno);
                }
            }
            Err(_) => {}
        }
        answer
    }

    async fn edit_(&self, order: &NewOrder) -> Result<CreateRow, MeasoftError> {
        let op = Op::EditOrder;
        self.note(format!("editorder {}", order.orderno));
        self.must_hold(&order.orderno, op).await;
        self.must_be_new(&order.orderno, op, true);
        write_step(Spot::Asking).await;
        let answer = {
            let mut state = self.state.lock().expect("lock");
            let state = &mut *state;
            let fault = state.write_faults.pop_front();
            match self.stopper(state, op, fault) {
                Some(error) => Err(error),
                None => {
                    let row = match (Self::refusal(fault), fault) {
                        (Some(code), _) => {
                            state.happened.insert("refused");
                            refused(order.orderno.clone(), code)
                        }
                        (None, Some(Fault::DoneLater(after))) => {
                            let at = self.clock.now() + Duration::from_secs(u64::from(after));
                            state.later.push((at, Late::Edit(order.clone())));
                            refused(order.orderno.clone(), 0)
                        }
                        (None, _) => self.edit(state, order),
                    };
                    match fault {
                        Some(Fault::AnswerLost | Fault::DoneLater(_)) => {
                            Err(MeasoftError::NoAnswer { op, how: Break::Timeout })
                        }
                        _ => Ok(row),
                    }
                }
            }
        };
        write_step(Spot::Answered).await;
        self.note(match &answer {
            Ok(row) => format!("→ {}", row.code),
            Err(error) => format!("→ {error}"),
        });
        answer
    }

    async fn cancel_(&self, orderno: &OrderNo, ordercode: Option<&str>) -> Result<CancelRow, MeasoftError> {
        let op = Op::CancelOrder;
        self.note(format!("cancelorder {orderno}"));
        self.must_hold(orderno, op).await;
        self.must_be_new(orderno, op, false);
        write_step(Spot::Asking).await;
        let unheard_before = self.set_cancel_unheard(orderno, true);
        let row = |code: i64| CancelRow {
            orderno: orderno.clone(),
            ordercode: ordercode.map(str::to_owned),
            code,
            text_ru: None,
            text_en: None,
        };
        let answer = {
            let mut state = self.state.lock().expect("lock");
            let state = &mut *state;
            let fault = state.write_faults.pop_front();
            match self.stopper(state, op, fault) {
                Some(error) => Err(error),
                None => {
                    let code = match (Self::refusal(fault), fault) {
                        (Some(code), _) => {
                            state.happened.insert("refused");
                            code
                        }
                        (None, Some(Fault::DoneLater(after))) => {
                            let at = self.clock.now() + Duration::from_secs(u64::from(after));
                            state.later.push((at, Late::Cancel(orderno.clone())));
                            0
                        }
                        (None, _) => self.cancel(state, orderno),
                    };
                    match fault {
                        Some(Fault::AnswerLost | Fault::DoneLater(_)) => {
                            Err(MeasoftError::NoAnswer { op, how: Break::Timeout })
                        }
                        _ => Ok(row(code)),
                    }
                }
            }
        };
        write_step(Spot::Answered).await;
        self.note(match &answer {
            Ok(row) => format!("→ {}", row.code),
            Err(error) => format!("→ {error}"),
        });
        if answer.is_ok() {
            self.set_cancel_unheard(orderno, unheard_before);
        }
        answer
    }

    /// A look-up; without a number it asks for everything that was made on some days.
    async fn look(&self, orderno: Option<&OrderNo>, days: [Date; 2]) -> Result<Vec<StatusRow>, MeasoftError> {
        let op = Op::StatusReq;
        let is_asked = |s: &Shipment| match orderno {
            Some(number) => *number == s.orderno,
            None => (days[0]..=days[1]).contains(&s.made_at.to_zoned_datetime(TimeZone::UTC).date()),
        };
        vendor_step().await;
        let answer = {
            let mut state = self.state.lock().expect("lock");
            let state = &mut *state;
            let fault = state.read_faults.pop_front();
            let unreadable = match fault {
                Some(Fault::AnswerLost | Fault::DoneLater(_)) => Some(Fault::RequestLost),
                Some(Fault::Refused | Fault::RefusedOddly | Fault::RefusedWhole) => None,
                other => other,
            };
            match self.stopper(state, op, unreadable) {
                Some(error) => Err(error),
                None => {
                    if let Some(run) = Run::current() {
                        let now = self.clock.now();
                        let shown = |s: &&Shipment| is_asked(s) && s.shown_from <= now;
                        for s in state.shipments.iter().filter(shown) {
                            state.seen.insert((run.id, s.orderno.clone()), s.status);
                        }
                    }
                    let asked: Vec<OrderNo> =
                        state.unsettled.keys().filter(|n| orderno.is_none_or(|o| o == *n)).cloned().collect();
                    for n in asked {
                        if let Some(at) = state.unsettled.remove(&n) {
                            state.looked_up.insert(n, at);
                        }
                    }
                    Ok(self.rows(state, is_asked))
                }
            }
        };
        vendor_step().await;
        self.note(format!(
            "statusreq {} → {}",
            orderno.map_or("all", OrderNo::as_str),
            match &answer {
                Ok(rows) => rows.iter().map(|r| format!("{:?}", r.status)).collect::<Vec<_>>().join(", "),
                Err(error) => error.to_string(),
            }
        ));
        answer
    }
}

impl Account {
    /// What changed since the last acknowledgement.
    async fn read_out(&self) -> Result<StatusStream, MeasoftError> {
        vendor_step().await;
        let answer = {
            let now = self.clock.now();
            let mut state = self.state.lock().expect("lock");
            let state = &mut *state;
            match state.read_faults.pop_front() {
                Some(fault) if !matches!(fault, Fault::Refused | Fault::RefusedOddly | Fault::RefusedWhole) => {
                    Err(MeasoftError::NoAnswer { op: Op::StatusReq, how: Break::Timeout })
                }
                _ => {
                    let news = |s: &&Shipment| s.change > state.acknowledged && s.shown_from <= now;
                    // What does not show yet holds the rest up: it is handed out in its turn.
                    let hidden = state.shipments.iter().filter(|s| s.shown_from > now).map(|s| s.change).min();
                    state.offered = hidden.map_or(state.changes, |first| (first - 1).max(state.acknowledged));
                    let offered = state.offered;
                    Ok(state.shipments.iter().filter(news).filter(|s| s.change <= offered).map(row_of).collect())
                }
            }
        };
        vendor_step().await;
        let rows: Vec<StatusRow> = answer?;
        if !rows.is_empty() {
            let shown = rows.iter().map(|row| format!("{:?} {:?}", row.orderno, row.status));
            self.note(format!("stream → {}", shown.collect::<Vec<_>>().join(", ")));
        }
        Ok(StatusStream::of(rows.into_iter().map(Ok).collect()))
    }

    async fn acknowledge(&self) -> Result<(), MeasoftError> {
        vendor_step().await;
        {
            let mut state = self.state.lock().expect("lock");
            state.acknowledged = state.offered;
        }
        vendor_step().await;
        Ok(())
    }
}

fn refused(orderno: OrderNo, code: i64) -> CreateRow {
    CreateRow { orderno, barcode: None, code, text_ru: None, text_en: None, orderprice: None }
}

/// Line ids are made of the CRM order's id.
fn order_of(order: &NewOrder) -> i64 {
    let line = order.items.first().expect("the test's orders have lines");
    let id: i64 = line.extcode.split('-').next().unwrap_or_default().parse().expect("a line id");
    id / 100
}

fn fill(shipment: &mut Shipment, order: &NewOrder, next_code: &mut u32) {
    shipment.phone = order.receiver.phone.clone().unwrap_or_default();
    shipment.declared = order.declared;
    for line in &mut shipment.lines {
        let kept = order.items.iter().any(|item| item.code.as_deref() == Some(line.code.as_str()));
        if !kept {
            line.quantity = 0;
        }
    }
    for item in &order.items {
        match shipment.lines.iter_mut().find(|line| item.code.as_deref() == Some(line.code.as_str())) {
            Some(line) => {
                line.quantity = item.quantity;
                line.price = item.retprice;
            }
            None => {
                *next_code += 1;
                shipment.lines.push(Line {
                    code: format!("L{next_code}"),
                    extcode: item.extcode.clone(),
                    quantity: item.quantity,
                    price: item.retprice,
                });
            }
        }
    }
    // With «NO» nothing is collected, whatever the lines say.
    let sum: i64 = shipment.lines.iter().map(|line| line.price.0 * i64::from(line.quantity)).sum();
    shipment.price = if order.paytype == PayType::No { Kopecks::ZERO } else { Kopecks(sum) };
}

fn row_of(s: &Shipment) -> StatusRow {
    let status = |code: &str, at: Timestamp| Status { code: StatusCode::parse(code), createtime_gmt: Some(at) };
    let items = s
        .lines
        .iter()
        .map(|line| StatusItem {
            code: Some(line.code.clone()),
            extcode: Some(line.extcode.clone()),
            quantity: line.quantity,
            retprice: line.price,
            returns: 0,
        })
        .collect();
    let is_ours = s.status == "CANCELED" && s.cancelled_by_us;
    StatusRow {
        orderno: Some(s.orderno.clone()),
        ordercode: Some(s.ordercode.clone()),
        status: Some(status(s.status, s.changed_at)),
        history: s.past.iter().map(|(code, at)| status(code, *at)).collect(),
        price: Some(s.price),
        paytype: Some("CASH".to_owned()),
        receiver_phones: vec![s.phone.clone()],
        deliveredto: is_ours.then(|| "Отменено заказчиком".to_owned()),
        items,
        ..StatusRow::default()
    }
}

impl Courier for Account {
    fn new_orders<'a>(&'a self, orders: &'a [NewOrder]) -> Answer<'a, Vec<CreateRow>> {
        self.new_orders_(orders).boxed()
    }

    fn edit_order<'a>(&'a self, order: &'a NewOrder) -> Answer<'a, CreateRow> {
        self.edit_(order).boxed()
    }

    fn cancel_order<'a>(&'a self, orderno: &'a OrderNo, ordercode: Option<&'a str>) -> Answer<'a, CancelRow> {
        self.cancel_(orderno, ordercode).boxed()
    }

    fn status_by_orderno<'a>(&'a self, orderno: &'a OrderNo) -> Answer<'a, Vec<StatusRow>> {
        self.look(Some(orderno), [Date::ZERO; 2]).boxed()
    }

    fn status_by_created(&self, from: Date, to: Date, _: Done) -> Answer<'_, Vec<StatusRow>> {
        self.look(None, [from, to]).boxed()
    }

    fn only_last(&self, _: u32) -> Answer<'_, StatusStream> {
        self.read_out().boxed()
    }

    fn commit_last_status(&self, _: u32) -> Answer<'_, ()> {
        self.acknowledge().boxed()
    }

    fn probe(&self) -> Answer<'_, String> {
        async { Ok("client".to_owned()) }.boxed()
    }

    fn calculate<'a>(&'a self, _: &'a CalcRequest) -> Answer<'a, Vec<Tariff>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn services(&self) -> Answer<'_, Vec<Service>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn pickup_points<'a>(&'a self, _: &'a PickupFilter) -> Answer<'a, Vec<PickupPoint>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn towns<'a>(&'a self, _: &'a TownQuery) -> Answer<'a, Vec<Town>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn waybill<'a>(&'a self, _: &'a [OrderNo], _: &'a str) -> Answer<'a, Vec<u8>> {
        async { Ok(Vec::new()) }.boxed()
    }
}
