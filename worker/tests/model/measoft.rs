//! MeaSoft's account in this test: the simulator's own state without its socket, with what may go
//! wrong with a request. It watches that nobody writes what must not be written.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bridge_worker::order::prepayment::PREPAYMENT;
use futures_util::FutureExt as _;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use shared::clock::Clock;
use shared::domain::{DeliveryState, IntegrationId, Kopecks, OrderNo};
use shared::measoft::error::Break;
use shared::measoft::wire::cancelorder::write_cancelorder;
use shared::measoft::wire::neworder::{write_editorder, write_neworder};
use shared::measoft::wire::statusreq::{self, Status};
use shared::measoft::{Account as Cabinet, *};
use shared::store::Store;
use simulators::measoft::{self, FaultAction, FaultRule, MeasoftSim, Options, StatusChange};

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

/// What the courier would bring, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub phone: String,
    /// Sum to collect.
    pub price: Kopecks,
    /// (our line, quantity, unit price), sorted.
    pub lines: Vec<(String, u32, Kopecks)>,
}

/// A parcel at MeaSoft, and what this test knows of it.
#[derive(Debug, Clone)]
pub struct Shipment {
    pub orderno: OrderNo,
    parcel: measoft::Order,
    /// The CRM order it was made for.
    pub order: i64,
    declared: Option<Kopecks>,
    /// A cancel of ours was on its way and its answer was never heard.
    cancel_unheard: bool,
    /// The courier has done something with it.
    pub touched: bool,
    /// Every status it had in the order in which it got them, as MeaSoft dates them.
    pub past: Vec<(&'static str, Timestamp)>,
}

/// A code that no table knows.
pub const UNKNOWN_CODE: &str = "TELEPORTED";

impl Shipment {
    pub fn status(&self) -> &'static str {
        self.past.last().expect("its first status").0
    }

    pub fn is_live(&self) -> bool {
        self.status() != "CANCELED"
    }

    pub fn made_at(&self) -> Timestamp {
        self.parcel.created_at
    }

    pub fn ordercode(&self) -> &str {
        &self.parcel.ordercode
    }

    fn is_cancelled_by_us(&self) -> bool {
        self.parcel.cancels > 0
    }

    /// Nobody can tell whose a cancel was when the answer to ours was not heard: who wants it
    /// sent after that gets a new parcel.
    pub fn may_be_cancelled_by_us(&self) -> bool {
        self.is_cancelled_by_us() || (self.cancel_unheard && !self.is_live())
    }

    pub fn content(&self) -> Content {
        // A prepayment is no goods, whoever added it.
        let goods = |line: &&measoft::Item| line.quantity > 0 && !line.automatic && line.extcode != PREPAYMENT;
        let line = |line: &measoft::Item| {
            let quantity = u32::try_from(line.quantity).expect("a quantity");
            (line.extcode.clone(), quantity, Kopecks(line.retprice_kopecks))
        };
        let mut lines: Vec<_> = self.parcel.items.iter().filter(goods).map(line).collect();
        lines.sort();
        Content { phone: self.parcel.receiver.phone.clone(), price: Kopecks(self.parcel.price_kopecks), lines }
    }

    fn row(&self) -> StatusRow {
        let status =
            |(code, at): &(&str, Timestamp)| Status { code: StatusCode::parse(code), createtime_gmt: Some(*at) };
        let item = |line: &measoft::Item| StatusItem {
            code: Some(line.code.clone()),
            extcode: Some(line.extcode.clone()),
            quantity: u32::try_from(line.quantity).expect("a quantity"),
            retprice: Kopecks(line.retprice_kopecks),
            returns: 0,
        };
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        StatusRow {
            orderno: Some(self.orderno.clone()),
            ordercode: Some(self.ordercode().to_owned()),
            status: self.past.last().map(status),
            history: self.past.iter().map(status).collect(),
            price: Some(Kopecks(self.parcel.price_kopecks)),
            paytype: given(&self.parcel.paytype),
            receiver_phones: vec![self.parcel.receiver.phone.clone()],
            deliveredto: given(&self.parcel.deliveredto),
            items: self.parcel.items.iter().map(item).collect(),
            ..StatusRow::default()
        }
    }
}

/// A write on its way.
#[derive(Clone)]
struct Deed {
    op: Op,
    numbers: Vec<OrderNo>,
    /// Of a cancel none.
    orders: Vec<NewOrder>,
    request: String,
}

#[derive(Default)]
struct State {
    /// As MeaSoft made them.
    shipments: Vec<Shipment>,
    write_faults: VecDeque<Fault>,
    read_faults: VecDeque<Fault>,
    /// Requests that nobody heard of again and that are done all the same, and when.
    later: Vec<(Timestamp, Deed)>,
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
}

/// One account.
pub struct Account {
    pub integration: IntegrationId,
    clock: Clock,
    store: Store,
    crm: Arc<FakeCrm>,
    said: Said,
    sim: MeasoftSim,
    state: Mutex<State>,
}

/// A slow request is done within the longest time a call may take.
pub const UNKNOWN_RECHECK: Duration = Duration::from_secs(30);

const KEY: &str = "8:login";

fn cabinet() -> Cabinet {
    let url = "https://courier.example/".parse().expect("a URL");
    Cabinet { url, extra: "8".to_owned(), login: "login".to_owned(), password: "password".to_owned() }
}

impl Account {
    pub fn new(integration: IntegrationId, clock: Clock, store: Store, crm: Arc<FakeCrm>, said: Said) -> Arc<Self> {
        let account = measoft::Account { sync_after_ms: Some(0), ..measoft::Account::new("8", "login", "password") };
        // The hardest case: no row that comes after an edit puts right what an older one said.
        let options = Options { accounts: vec![account], edits_are_changes: false, ..Options::default() };
        let sim = MeasoftSim::standing_at(options, clock.now());
        Arc::new(Self { integration, clock, store, crm, said, sim, state: Mutex::default() })
    }

    /// MeaSoft as of now.
    fn sim(&self) -> &MeasoftSim {
        self.sim.set_now(self.clock.now());
        &self.sim
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
        for (_, deed) in due {
            let done = self.carry_out(&mut state, &deed, None);
            self.said.line(format!("   MeaSoft {}: a slow {} is done: {done:?}", self.integration, deed.op));
        }
    }

    /// The courier takes an order on, ends it, or corrects what was said of it. A record may
    /// be older than that of the status before.
    pub fn courier_does(&self, order: i64, status: &'static str, backdated: bool) {
        let now = self.clock.now();
        let mut state = self.state.lock().expect("lock");
        let his = |s: &&mut Shipment| s.order == order && (s.is_live() || !s.is_cancelled_by_us());
        if let Some(shipment) = state.shipments.iter_mut().rfind(his) {
            let at = if backdated { now - 30.minutes() } else { now };
            assert!(self.sim().change_status(shipment.ordercode(), &StatusChange::to(status, at)), "it is there");
            shipment.touched = true;
            shipment.past.push((status, at));
            self.said.line(format!("   MeaSoft {}: {} is {status}", self.integration, shipment.orderno));
        }
        self.see(&mut state, &[]);
    }

    /// Whether nothing is left in the stream.
    pub fn is_read_out(&self) -> bool {
        self.sim().is_read_out(KEY)
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

    /// What was sent and not heard of is looked up first, and not at once.
    fn must_not_be_sent_twice(&self, numbers: &[OrderNo]) {
        let now = self.clock.now();
        let mut state = self.state.lock().expect("lock");
        for orderno in numbers {
            if let Some(at) = state.unsettled.insert(orderno.clone(), now) {
                let since = now.duration_since(at).as_secs();
                self.said.broke(format!("{orderno} sent again after {since} s without a look-up"));
            }
            if let Some(at) = state.looked_up.remove(orderno)
                && now.duration_since(at).unsigned_abs() < UNKNOWN_RECHECK
            {
                self.said.broke(format!("{orderno} sent again too soon"));
            }
        }
    }

    /// Number and code of each row of the answer.
    fn carry_out(&self, state: &mut State, deed: &Deed, refused: Option<i64>) -> Vec<(String, i64)> {
        let now = self.clock.now();
        let blind = state.blind_until.map_or(0, |until| until.duration_since(now).as_millis());
        let refusal = |code| {
            let action = FaultAction::Refuse { code, text: String::new() };
            // One of several is refused, the others are not.
            FaultRule::new(action).orderno(deed.numbers[0].as_str())
        };
        let sim = self.sim();
        sim.update_account(KEY, |account| account.visible_after_ms = u64::try_from(blind).unwrap_or(0));
        sim.set_faults(refused.into_iter().map(refusal).collect());
        let done = sim.answer(&deed.request);
        self.see(state, &deed.orders);
        done.rows
    }

    /// Brings what is known of the parcels up to what MeaSoft has by now.
    fn see(&self, state: &mut State, asked: &[NewOrder]) {
        let now = self.clock.now();
        for (n, parcel) in self.sim().orders().into_iter().enumerate() {
            let asked = asked.iter().find(|order| order.orderno.as_str() == parcel.orderno);
            match (state.shipments.get_mut(n), asked) {
                (None, Some(asked)) => self.made(state, parcel, asked),
                (None, None) => self.said.broke(format!("nobody sent {}", parcel.orderno)),
                (Some(s), Some(asked)) if parcel.edits > s.parcel.edits => {
                    s.parcel = parcel;
                    self.edited(s, asked);
                }
                (Some(s), _) => {
                    if parcel.cancels > s.parcel.cancels {
                        s.past.push(("CANCELED", now));
                    }
                    s.parcel = parcel;
                }
            }
        }
    }

    fn made(&self, state: &mut State, parcel: measoft::Order, asked: &NewOrder) {
        let order = order_of(asked);
        if self.crm.is_foreign(order) {
            self.said.broke(format!("order {order}, which another integration handed over, ships again"));
        }
        if let Some(other) = state.shipments.iter().find(|s| s.order == order && !s.may_be_cancelled_by_us()) {
            self.said.broke(format!(
                "a second shipment of order {order}: {} beside {}, which is {}",
                asked.orderno,
                other.orderno,
                other.status()
            ));
        }
        let shipment = Shipment {
            orderno: asked.orderno.clone(),
            order,
            declared: asked.declared,
            cancel_unheard: false,
            touched: false,
            past: ["AWAITING_SYNC", "NEW"].map(|code| (code, parcel.created_at)).to_vec(),
            parcel,
        };
        self.check(&shipment);
        state.shipments.push(shipment);
    }

    fn edited(&self, s: &mut Shipment, asked: &NewOrder) {
        let whose = order_of(asked);
        if whose != s.order {
            self.said.broke(format!("{} of order {} is changed into order {whose}", s.orderno, s.order));
        }
        if s.declared.is_some() && asked.declared.is_none() {
            self.said.broke(format!("the declared value of {} is lost in an edit", s.orderno));
        }
        s.declared = asked.declared;
        self.check(s);
    }

    /// The parcels that a `statusreq` finds.
    fn found(&self, state: &State, request: &str) -> Vec<Shipment> {
        let found = self.sim().answer(request).orders;
        let known = |ordercode: &str| state.shipments.iter().find(|s| s.ordercode() == ordercode).cloned();
        found.iter().filter_map(|parcel| known(&parcel.ordercode)).collect()
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

    /// Number and code of each row of the answer.
    async fn write(&self, deed: Deed) -> Result<Vec<(OrderNo, i64)>, MeasoftError> {
        let op = deed.op;
        let names: Vec<&str> = deed.numbers.iter().map(OrderNo::as_str).collect();
        self.note(format!("{op} {}", names.join(", ")));
        for orderno in &deed.numbers {
            self.must_hold(orderno, op).await;
        }
        match op {
            Op::NewOrder => self.must_not_be_sent_twice(&deed.numbers),
            _ => self.must_be_new(&deed.numbers[0], op, op == Op::EditOrder),
        }
        write_step(Spot::Asking).await;
        let unheard_before = (op == Op::CancelOrder).then(|| self.set_cancel_unheard(&deed.numbers[0], true));
        let answer = self.meet(&deed);
        write_step(Spot::Answered).await;
        self.note(match &answer {
            Ok(rows) => format!("→ {}", rows.iter().map(|(_, code)| code.to_string()).collect::<Vec<_>>().join(", ")),
            Err(error) => format!("→ {error}"),
        });
        if let (Some(before), true) = (unheard_before, answer.is_ok()) {
            self.set_cancel_unheard(&deed.numbers[0], before);
        }
        let mut state = self.state.lock().expect("lock");
        match &answer {
            Ok(rows) => state.unsettled.retain(|number, _| !rows.iter().any(|(of, code)| of == number && *code != 17)),
            Err(error) if error.class() != Class::UnknownOutcome => {
                state.unsettled.retain(|number, _| !deed.numbers.contains(number));
            }
            Err(_) => {}
        }
        answer
    }

    /// What a write comes to with the fault that it meets.
    fn meet(&self, deed: &Deed) -> Result<Vec<(OrderNo, i64)>, MeasoftError> {
        let mut state = self.state.lock().expect("lock");
        let state = &mut *state;
        let fault = state.write_faults.pop_front();
        let unheard = MeasoftError::NoAnswer { op: deed.op, how: Break::Timeout };
        if let Some(Fault::DoneLater(after)) = fault {
            state.later.push((self.clock.now() + Duration::from_secs(u64::from(after)), deed.clone()));
            return Err(unheard);
        }
        if let Some(error) = self.stopper(state, deed.op, fault) {
            return Err(error);
        }
        let refused = Self::refusal(fault);
        if refused.is_some() {
            state.happened.insert("refused");
        }
        let rows = self.carry_out(state, deed, refused);
        if fault == Some(Fault::AnswerLost) {
            return Err(unheard);
        }
        Ok(rows.into_iter().map(|(number, code)| (OrderNo::known(&number), code)).collect())
    }

    async fn write_order(&self, op: Op, orders: &[NewOrder], request: String) -> Result<Vec<CreateRow>, MeasoftError> {
        let numbers = orders.iter().map(|order| order.orderno.clone()).collect();
        let rows = self.write(Deed { op, numbers, orders: orders.to_vec(), request }).await?;
        let state = self.state.lock().expect("lock");
        let row = |(orderno, code): (OrderNo, i64)| {
            let parcel = state.shipments.iter().rfind(|s| code == 0 && s.orderno == orderno);
            let orderprice = parcel.map(|s| Kopecks(s.parcel.price_kopecks));
            CreateRow { orderno, barcode: None, code, text_ru: None, text_en: None, orderprice }
        };
        Ok(rows.into_iter().map(row).collect())
    }

    /// A look-up; without a number it asks for everything that was made on some days.
    async fn look(&self, orderno: Option<&OrderNo>, request: String) -> Result<Vec<StatusRow>, MeasoftError> {
        let op = Op::StatusReq;
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
                    let found = self.found(state, &request);
                    if let Some(run) = Run::current() {
                        state.seen.extend(found.iter().map(|s| ((run.id, s.orderno.clone()), s.status())));
                    }
                    let asked: Vec<OrderNo> =
                        state.unsettled.keys().filter(|n| orderno.is_none_or(|o| o == *n)).cloned().collect();
                    for n in asked {
                        if let Some(at) = state.unsettled.remove(&n) {
                            state.looked_up.insert(n, at);
                        }
                    }
                    Ok(found.iter().map(Shipment::row).collect::<Vec<_>>())
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

    /// What changed since the last acknowledgement.
    async fn read_out(&self, request: String) -> Result<StatusStream, MeasoftError> {
        vendor_step().await;
        let answer = {
            let mut state = self.state.lock().expect("lock");
            match state.read_faults.pop_front() {
                Some(fault) if !matches!(fault, Fault::Refused | Fault::RefusedOddly | Fault::RefusedWhole) => {
                    Err(MeasoftError::NoAnswer { op: Op::StatusReq, how: Break::Timeout })
                }
                _ => Ok(self.found(&state, &request)),
            }
        };
        vendor_step().await;
        let found = answer?;
        if !found.is_empty() {
            let shown = found.iter().map(|s| format!("{} {}", s.orderno, s.status()));
            self.note(format!("stream → {}", shown.collect::<Vec<_>>().join(", ")));
        }
        Ok(StatusStream::of(found.iter().map(|s| Ok(s.row())).collect()))
    }

    async fn acknowledge(&self, request: String) -> Result<(), MeasoftError> {
        vendor_step().await;
        self.sim().answer(&request);
        vendor_step().await;
        Ok(())
    }
}

/// Line ids are made of the CRM order's id.
fn order_of(order: &NewOrder) -> i64 {
    let line = order.items.first().expect("the test's orders have lines");
    let id: i64 = line.extcode.split('-').next().unwrap_or_default().parse().expect("a line id");
    id / 100
}

impl Courier for Account {
    fn new_orders<'a>(&'a self, orders: &'a [NewOrder]) -> Answer<'a, Vec<CreateRow>> {
        self.write_order(Op::NewOrder, orders, write_neworder(&cabinet(), orders)).boxed()
    }

    fn edit_order<'a>(&'a self, order: &'a NewOrder) -> Answer<'a, CreateRow> {
        async move {
            let orders = std::slice::from_ref(order);
            let rows = self.write_order(Op::EditOrder, orders, write_editorder(&cabinet(), order)).await?;
            Ok(rows.into_iter().next().expect("a row"))
        }
        .boxed()
    }

    fn cancel_order<'a>(&'a self, orderno: &'a OrderNo, ordercode: Option<&'a str>) -> Answer<'a, CancelRow> {
        async move {
            let request = write_cancelorder(&cabinet(), orderno, ordercode);
            let deed = Deed { op: Op::CancelOrder, numbers: vec![orderno.clone()], orders: Vec::new(), request };
            let (orderno, code) = self.write(deed).await?.pop().expect("a row");
            Ok(CancelRow { orderno, ordercode: ordercode.map(str::to_owned), code, text_ru: None, text_en: None })
        }
        .boxed()
    }

    fn status_by_orderno<'a>(&'a self, orderno: &'a OrderNo) -> Answer<'a, Vec<StatusRow>> {
        self.look(Some(orderno), statusreq::write_by_orderno(&cabinet(), orderno)).boxed()
    }

    fn status_by_created(&self, from: Date, to: Date, done: Done) -> Answer<'_, Vec<StatusRow>> {
        self.look(None, statusreq::write_by_created(&cabinet(), from, to, done)).boxed()
    }

    fn only_last(&self, streamid: u32) -> Answer<'_, StatusStream> {
        self.read_out(statusreq::write_only_last(&cabinet(), streamid)).boxed()
    }

    fn commit_last_status(&self, streamid: u32) -> Answer<'_, ()> {
        self.acknowledge(statusreq::write_commit(&cabinet(), streamid)).boxed()
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
