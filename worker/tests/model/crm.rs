//! RetailCRM as this test knows it: orders that a manager saves, shown a little later than
//! the triggers that the save fires. Orders may share a number, be deleted, be combined.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use jiff::Timestamp;
use jiff::tz::{TimeZone, offset};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::domain::{CrmOrderId, Kopecks, OrderNumber};
use shared::retailcrm::wire::order::read_single;
use shared::retailcrm::wire::references::DeliveryPaymentType;
use shared::retailcrm::{
    AccountSettings, Answer, Credentials, Crm, CrmError, Deleted, DeliveryType, HistoryFrom, HistoryPage,
    IntegrationModule, ModuleInfo, NewPayment, Notification, Order, OrdersPage, PaymentPatch, PaymentStatus,
    PaymentType, ProductStatus, Status, TrackingUpdate, Unreadable,
};

use crate::measoft::Content;
use crate::steps::{Run, vendor_step};
use crate::world::Said;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrmFault {
    Unreachable,
    /// Done, but nobody hears of it.
    AnswerLost,
    TooFast,
}

/// An order as it was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    pub number: String,
    /// Code of the delivery type.
    pub kind: String,
    pub phone: u8,
    /// Roubles of the first line.
    pub price: u8,
    /// Lines beside the first.
    pub more: u8,
    /// It has the status that means «send».
    pub to_be_sent: bool,
}

/// The status that means «send».
pub const TO_BE_SENT: &str = "send";

impl Saved {
    /// No two orders have the same: whose receiver a parcel has can be told.
    pub fn phone_text(&self, id: i64) -> String {
        if self.phone == BAD_PHONE {
            "нет телефона".to_owned()
        } else {
            format!("+7900{id}00{}", self.phone)
        }
    }

    /// No two orders cost the same either.
    fn lines(&self, id: i64) -> Vec<(i64, u32, i64)> {
        let first = (id * 100, 1, i64::from(self.price) + 10 + 100 * (id - 1000));
        std::iter::once(first).chain((1..=i64::from(self.more)).map(|n| (id * 100 + n, 2, 5 * n))).collect()
    }

    /// What MeaSoft should hold for it.
    pub fn content(&self, id: i64) -> Content {
        let lines = self.lines(id);
        let sum = lines.iter().map(|(_, quantity, price)| i64::from(*quantity) * price).sum::<i64>();
        let mut lines: Vec<_> = lines
            .into_iter()
            .map(|(line, quantity, price)| (line.to_string(), quantity, Kopecks(price * 100)))
            .collect();
        lines.sort();
        Content { phone: self.phone_text(id), price: Kopecks(sum * 100), lines }
    }

    /// Roubles the order costs.
    pub fn total(&self, id: i64) -> i64 {
        self.lines(id).iter().map(|(_, quantity, price)| i64::from(*quantity) * price).sum()
    }
}

/// A phone nobody can be called under.
pub const BAD_PHONE: u8 = 9;

/// The status a payment is in that counts as paid.
pub const PAID: &str = "paid";

/// A change of an order, for the history.
struct Change {
    at: Timestamp,
    order: i64,
    deleted: bool,
    combined_to: Option<i64>,
}

#[derive(Default)]
struct State {
    /// By order: every save with the moment it shows.
    saves: BTreeMap<i64, Vec<(Timestamp, Saved)>>,
    external_ids: BTreeMap<i64, String>,
    /// Orders that another integration handed over before us.
    foreign: BTreeSet<i64>,
    /// Those that ever were such.
    handed_over: BTreeSet<i64>,
    /// Delivery id → track number told last.
    tracks: BTreeMap<String, Option<String>>,
    /// Delivery id → statuses told, as they came.
    statuses: BTreeMap<String, Vec<String>>,
    /// Orders whose payment is marked paid, with the sum it had then.
    paid: BTreeMap<i64, i64>,
    /// Orders that are there no more, and since when.
    gone: BTreeMap<i64, Timestamp>,
    /// Phones that an operator put in the place of the order's.
    corrected: BTreeMap<i64, Vec<String>>,
    log: Vec<Change>,
    /// It cannot be reached before.
    away_until: Option<Timestamp>,
    faults: VecDeque<CrmFault>,
}

pub struct FakeCrm {
    clock: Clock,
    said: Said,
    state: Mutex<State>,
}

impl FakeCrm {
    pub fn new(clock: Clock, said: Said) -> Arc<Self> {
        Arc::new(Self { clock, said, state: Mutex::default() })
    }

    /// Saves an order; answers when it shows.
    pub fn save(&self, id: i64, saved: Saved, lag: std::time::Duration) -> Timestamp {
        let mut state = self.state.lock().expect("lock");
        let saves = state.saves.entry(id).or_default();
        let shows = saves.last().map_or(Timestamp::UNIX_EPOCH, |(at, _)| *at).max(self.clock.now() + lag);
        let moved = saves.last().is_some_and(|(_, before)| before.kind != saved.kind);
        saves.push((shows, saved));
        state.log.push(Change { at: shows, order: id, deleted: false, combined_to: None });
        // RetailCRM drops what a carrier told of an order when its type changes.
        if moved && state.foreign.remove(&id) {
            state.external_ids.remove(&id);
        }
        shows
    }

    /// Another integration has handed the order over, and left its own id on it.
    /// An operator set its phone right for MeaSoft.
    pub fn corrected(&self, id: i64, phone: String) {
        self.state.lock().expect("lock").corrected.entry(id).or_default().push(phone);
    }

    pub fn handed_over_before(&self, id: i64) {
        let mut state = self.state.lock().expect("lock");
        state.foreign.insert(id);
        state.handed_over.insert(id);
        state.external_ids.insert(id, format!("MSK-{id}"));
    }

    pub fn was_handed_over(&self, id: i64) -> bool {
        self.state.lock().expect("lock").handed_over.contains(&id)
    }

    pub fn is_foreign(&self, id: i64) -> bool {
        self.state.lock().expect("lock").foreign.contains(&id)
    }

    /// The order is deleted, or combined into another.
    pub fn delete(&self, id: i64, combined_to: Option<i64>) {
        let at = self.clock.now();
        let mut state = self.state.lock().expect("lock");
        state.gone.insert(id, at);
        state.log.push(Change { at, order: id, deleted: true, combined_to });
    }

    pub fn is_gone(&self, id: i64) -> bool {
        self.state.lock().expect("lock").gone.contains_key(&id)
    }

    /// Nobody reaches it for a while.
    pub fn away(&self, time: std::time::Duration) {
        self.state.lock().expect("lock").away_until = Some(self.clock.now() + time);
    }

    /// The order once was so.
    pub fn ever(&self, id: i64, content: &Content) -> bool {
        let state = self.state.lock().expect("lock");
        let paid = state.paid.contains_key(&id);
        let is = |saved: &Saved| {
            let mut wanted = saved.content(id);
            if state.corrected.get(&id).is_some_and(|phones| phones.contains(&content.phone)) {
                wanted.phone.clone_from(&content.phone);
            }
            // Of what was paid once only the rest is left.
            Content { price: if paid { content.price } else { wanted.price }, ..wanted } == *content
        };
        state.saves.get(&id).is_some_and(|saves| saves.iter().any(|(_, saved)| is(saved)))
    }

    /// Whether the order ever had this sum to collect.
    pub fn ever_cost(&self, id: i64, sum: Kopecks) -> bool {
        let state = self.state.lock().expect("lock");
        let left = sum == Kopecks::ZERO && state.paid.contains_key(&id);
        left || state
            .saves
            .get(&id)
            .is_some_and(|saves| saves.iter().any(|(_, s)| Kopecks::roubles(s.total(id)) == sum))
    }

    /// Whether a declared value can be the order's: it once cost so, or a namesake's trigger
    /// may have been taken for its own.
    pub fn may_declare(&self, id: i64, value: Kopecks) -> bool {
        let state = self.state.lock().expect("lock");
        let numbers = |id: &i64| {
            let saves = state.saves.get(id).into_iter().flatten();
            saves.map(|(_, saved)| saved.number.clone()).collect::<BTreeSet<_>>()
        };
        let own = numbers(&id);
        state.saves.get(&id).is_some_and(|saves| saves.iter().any(|(_, s)| Kopecks::roubles(s.total(id)) == value))
            || state.saves.keys().any(|other| *other != id && !numbers(other).is_disjoint(&own))
    }

    /// Statuses told of a delivery, as they came.
    pub fn statuses_of(&self, delivery: &str) -> Vec<String> {
        self.state.lock().expect("lock").statuses.get(delivery).cloned().unwrap_or_default()
    }

    pub fn is_paid(&self, id: i64) -> bool {
        self.state.lock().expect("lock").paid.contains_key(&id)
    }

    /// An order as the API would show it had it been saved so.
    pub fn document(&self, id: i64, saved: &Saved) -> Value {
        let state = self.state.lock().expect("lock");
        let made = state.saves.get(&id).and_then(|saves| saves.first()).map(|(at, _)| *at);
        document(id, saved, made, state.external_ids.get(&id).cloned(), state.paid.get(&id).copied())
    }

    pub fn trouble(&self, fault: CrmFault) {
        self.state.lock().expect("lock").faults.push_back(fault);
    }

    pub fn heal(&self) {
        let mut state = self.state.lock().expect("lock");
        state.faults.clear();
        state.away_until = None;
    }

    /// The order's last save, whether it shows yet or not.
    pub fn last(&self, id: i64) -> Option<Saved> {
        self.state.lock().expect("lock").saves.get(&id).and_then(|saves| saves.last()).map(|(_, saved)| saved.clone())
    }

    /// The order as the API shows it now.
    pub fn shown_now(&self, id: i64) -> Option<Saved> {
        let state = self.state.lock().expect("lock");
        self.shown(&state).into_iter().find(|shown| shown.id == id).map(|shown| shown.saved)
    }

    /// The number told for a delivery, and the id on the order.
    pub fn told(&self, id: i64, delivery: &str) -> (Option<String>, Option<String>) {
        let state = self.state.lock().expect("lock");
        (state.external_ids.get(&id).cloned(), state.tracks.get(delivery).cloned().flatten())
    }

    fn shown(&self, state: &State) -> Vec<Shown> {
        let now = self.clock.now();
        let shown = state.saves.iter().filter_map(|(id, saves)| {
            if state.gone.get(id).is_some_and(|since| *since <= now) {
                return None;
            }
            let (_, saved) = saves.iter().rfind(|(shows, _)| *shows <= now)?;
            let (made, paid) = (saves.first().map(|(at, _)| *at), state.paid.get(id).copied());
            let document = document(*id, saved, made, state.external_ids.get(id).cloned(), paid);
            Some(Shown { id: *id, saved: saved.clone(), document })
        });
        shown.collect()
    }

    /// What the next call meets.
    fn fault(&self, state: &mut State) -> Option<CrmFault> {
        if state.away_until.is_some_and(|until| self.clock.now() < until) {
            return Some(CrmFault::Unreachable);
        }
        state.faults.pop_front()
    }

    async fn read(
        &self,
        wanted: impl Fn(i64, &Saved) -> bool + Send,
    ) -> Result<Vec<Result<Order, Unreadable>>, CrmError> {
        vendor_step().await;
        let answer = {
            let mut state = self.state.lock().expect("lock");
            match self.fault(&mut state) {
                Some(fault) => Err(error(fault)),
                None => Ok(self.shown(&state)),
            }
        };
        vendor_step().await;
        let orders = match answer {
            Ok(orders) => orders,
            Err(error) => {
                self.note(&format!("read → {error}"));
                return Err(error);
            }
        };
        let found: Vec<_> = orders.into_iter().filter(|shown| wanted(shown.id, &shown.saved)).collect();
        let words: Vec<_> = found.iter().map(|s| format!("{} {} {}", s.id, s.saved.number, s.saved.kind)).collect();
        self.note(&format!("read {}", words.join(", ")));
        Ok(found.into_iter().map(|shown| read_single(&shown.document)).collect())
    }

    async fn write(&self, words: String, change: impl FnOnce(&mut State) + Send) -> Result<(), CrmError> {
        vendor_step().await;
        let answer = {
            let mut state = self.state.lock().expect("lock");
            match self.fault(&mut state) {
                Some(CrmFault::AnswerLost) => {
                    change(&mut state);
                    Err(CrmError::Unreachable { before_sent: false })
                }
                Some(fault) => Err(error(fault)),
                None => {
                    change(&mut state);
                    Ok(())
                }
            }
        };
        vendor_step().await;
        let result = answer.as_ref().map_or_else(ToString::to_string, |()| "ok".to_owned());
        self.note(&format!("{words} → {result}"));
        answer
    }

    fn note(&self, text: &str) {
        let who = Run::current().map_or_else(|| "?".to_owned(), |run| run.owner.clone());
        self.said.line(format!("   {who} at RetailCRM: {text}"));
    }
}

/// An order as the API shows it.
struct Shown {
    id: i64,
    saved: Saved,
    document: Value,
}

fn error(fault: CrmFault) -> CrmError {
    match fault {
        CrmFault::Unreachable => CrmError::Unreachable { before_sent: true },
        CrmFault::AnswerLost => CrmError::Unreachable { before_sent: false },
        CrmFault::TooFast => CrmError::RateLimited { retry_after: None },
    }
}

/// The one payment of an order.
fn payment_of(id: i64) -> i64 {
    id * 10
}

fn local(at: Timestamp) -> String {
    at.to_zoned_datetime(TimeZone::fixed(offset(3))).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn document(id: i64, saved: &Saved, made: Option<Timestamp>, external_id: Option<String>, paid: Option<i64>) -> Value {
    let lines = saved.lines(id);
    let items: Vec<Value> = lines
        .iter()
        .map(|(line, quantity, price)| {
            json!({"id": line, "quantity": quantity, "initialPrice": price, "productName": format!("goods {line}"),
                   "prices": [{"price": price, "quantity": quantity}]})
        })
        .collect();
    let total = saved.total(id);
    let payment = payment_of(id);
    let status = if paid.is_some() { PAID } else { "not-paid" };
    json!({
        "id": id, "createdAt": made.map(local), "number": saved.number, "site": format!("shop-{id}"), "status": if saved.to_be_sent { TO_BE_SENT } else { "new" }, "firstName": "Анна",
        "phone": saved.phone_text(id), "totalSumm": total, "prepaySum": paid.unwrap_or(0), "items": items,
        "payments": {payment.to_string(): {
            "id": payment, "type": "cash", "status": status, "amount": paid.unwrap_or(total),
        }},
        "delivery": {
            "code": saved.kind, "cost": 0, "address": {"city": "Москва", "text": "ул. Новая, 1"},
            "data": external_id.map_or_else(|| json!({}), |id| json!({"externalId": id})),
        },
    })
}

fn nothing<'a, T: Default + Send + 'a>() -> Answer<'a, T> {
    async { Ok(T::default()) }.boxed()
}

fn absent<'a, T: Send + 'a>() -> Answer<'a, T> {
    async { Err(CrmError::NotFound { text: "not here".to_owned() }) }.boxed()
}

impl Crm for FakeCrm {
    fn orders_by_numbers<'a>(&'a self, numbers: &'a [OrderNumber]) -> Answer<'a, Vec<Result<Order, Unreadable>>> {
        self.read(|_, saved| numbers.iter().any(|n| n.as_str() == saved.number)).boxed()
    }

    fn orders_by_ids<'a>(&'a self, ids: &'a [CrmOrderId]) -> Answer<'a, Vec<Result<Order, Unreadable>>> {
        self.read(|id, _| ids.contains(&CrmOrderId(id))).boxed()
    }

    fn order(&self, id: CrmOrderId) -> Answer<'_, Order> {
        async move {
            match self.read(|found, _| found == id.0).await?.pop() {
                Some(Ok(order)) => Ok(order),
                _ => Err(CrmError::NotFound { text: "not here".to_owned() }),
            }
        }
        .boxed()
    }

    fn edit_order<'a>(&'a self, id: CrmOrderId, _: &'a str, patch: Value) -> Answer<'a, ()> {
        let external = patch["delivery"]["data"]["externalId"].as_str().map(str::to_owned);
        self.write(format!("order {id} gets {external:?}"), move |state| {
            if let Some(external) = external {
                state.external_ids.insert(id.0, external);
            }
        })
        .boxed()
    }

    fn tracking<'a>(&'a self, _: &'a str, updates: &'a [TrackingUpdate]) -> Answer<'a, ()> {
        let told: Vec<_> = updates
            .iter()
            .map(|u| (u.delivery_id.clone(), u.track_number.clone(), u.history.last().map(|h| h.code.clone())))
            .collect();
        let all: Vec<_> =
            updates.iter().flat_map(|u| u.history.iter().map(|h| (u.delivery_id.clone(), h.code.clone()))).collect();
        self.write(format!("tracking {told:?}"), move |state| {
            state.tracks.extend(told.into_iter().map(|(id, track, _)| (id, track)));
            for (id, code) in all {
                state.statuses.entry(id).or_default().push(code);
            }
        })
        .boxed()
    }

    fn payment_types(&self) -> Answer<'_, Vec<PaymentType>> {
        let cash = PaymentType { code: "cash".to_owned(), active: true, integration_module: false };
        async move { Ok(vec![cash]) }.boxed()
    }
    fn payment_statuses(&self) -> Answer<'_, Vec<PaymentStatus>> {
        let all = [("not-paid", false), (PAID, true)]
            .map(|(code, payment_complete)| PaymentStatus { code: code.to_owned(), payment_complete });
        async move { Ok(all.to_vec()) }.boxed()
    }
    fn product_statuses(&self) -> Answer<'_, Vec<ProductStatus>> {
        nothing()
    }
    fn delivery_types(&self) -> Answer<'_, Vec<DeliveryType>> {
        let all = ["courier-0", "courier-1", "post"].map(|code| DeliveryType {
            code: code.to_owned(),
            active: true,
            integration_code: None,
            payment_types: vec![DeliveryPaymentType { code: "cash".to_owned(), cod: Some(true) }],
        });
        async move { Ok(all.to_vec()) }.boxed()
    }
    fn statuses(&self) -> Answer<'_, Vec<Status>> {
        nothing()
    }
    fn credentials(&self) -> Answer<'_, Credentials> {
        nothing()
    }
    fn settings(&self) -> Answer<'_, AccountSettings> {
        nothing()
    }
    fn orders_by_delivery_types<'a>(&'a self, _: &'a [String], _: u64) -> Answer<'a, OrdersPage> {
        absent()
    }
    fn history(&self, from: HistoryFrom, _: u32) -> Answer<'_, HistoryPage> {
        async move {
            vendor_step().await;
            let now = self.clock.now();
            let state = self.state.lock().expect("lock");
            let after = match from {
                HistoryFrom::After(id) => usize::try_from(id).unwrap_or(0),
                HistoryFrom::Since(_) => 0,
            };
            let records: Vec<Value> = state
                .log
                .iter()
                .enumerate()
                .skip(after)
                .take_while(|(_, change)| change.at <= now)
                .map(|(n, change)| {
                    let mut record = json!({
                        "id": n + 1, "createdAt": local(change.at),
                        "source": "user", "deleted": change.deleted, "order": {"id": change.order},
                    });
                    if let Some(into) = change.combined_to {
                        record["combinedTo"] = json!({"id": into});
                    }
                    record
                })
                .collect();
            drop(state);
            Ok(HistoryPage::read(&json!({"history": records})).expect("a page"))
        }
        .boxed()
    }
    fn create_payment<'a>(&'a self, _: &'a str, _: &'a NewPayment) -> Answer<'a, i64> {
        absent()
    }
    fn edit_payment<'a>(&'a self, id: i64, _: &'a str, patch: &'a PaymentPatch) -> Answer<'a, ()> {
        let status = patch.status.clone();
        let order = id / 10;
        self.write(format!("payment {id} becomes {status:?}"), move |state| {
            let total = state.saves.get(&order).and_then(|saves| saves.last()).map(|(_, saved)| saved.total(order));
            match (status.as_deref(), total) {
                (Some(PAID), Some(total)) => {
                    state.paid.entry(order).or_insert(total);
                }
                (Some(_), _) => {
                    state.paid.remove(&order);
                }
                (None, _) => {}
            }
        })
        .boxed()
    }
    fn delete_payment(&self, _: i64) -> Answer<'_, Deleted> {
        absent()
    }
    fn module<'a>(&'a self, _: &'a str) -> Answer<'a, IntegrationModule> {
        absent()
    }
    fn edit_module<'a>(&'a self, _: &'a IntegrationModule) -> Answer<'a, ModuleInfo> {
        absent()
    }
    fn notify<'a>(&'a self, _: &'a Notification) -> Answer<'a, ()> {
        absent()
    }
}
