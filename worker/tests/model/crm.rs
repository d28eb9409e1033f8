//! RetailCRM as this test knows it: orders that a manager saves, shown a little later than
//! the triggers that the save fires.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::domain::{CrmOrderId, Kopecks, OrderNumber, Secret};
use shared::retailcrm::wire::order::read_single;
use shared::retailcrm::{
    AccountSettings, Credentials, Crm, CrmError, Deleted, DeliveryType, HistoryFrom, HistoryPage, IntegrationModule,
    ModuleInfo, NewPayment, Order, OrderStatus, OrdersPage, PaymentPatch, PaymentStatus, PaymentType, ProductStatus,
    Site, Status, Store, SystemInfo, TrackingUpdate, Unreadable,
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
}

impl Saved {
    pub fn phone_text(&self) -> String {
        if self.phone == BAD_PHONE {
            "нет телефона".to_owned()
        } else {
            format!("+7900000000{}", self.phone)
        }
    }

    fn lines(&self, id: i64) -> Vec<(i64, u32, i64)> {
        let first = (id * 100, 1, i64::from(self.price) + 10);
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
        Content { phone: self.phone_text(), price: Kopecks(sum * 100), lines }
    }
}

/// A phone nobody can be called under.
pub const BAD_PHONE: u8 = 9;

#[derive(Default)]
struct State {
    /// By order: every save with the moment it shows.
    saves: BTreeMap<i64, Vec<(Timestamp, Saved)>>,
    external_ids: BTreeMap<i64, String>,
    /// Delivery id → track number told last.
    tracks: BTreeMap<String, Option<String>>,
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
        saves.push((shows, saved));
        shows
    }

    pub fn trouble(&self, fault: CrmFault) {
        self.state.lock().expect("lock").faults.push_back(fault);
    }

    pub fn heal(&self) {
        self.state.lock().expect("lock").faults.clear();
    }

    /// The order's last save, whether it shows yet or not.
    pub fn last(&self, id: i64) -> Option<Saved> {
        self.state.lock().expect("lock").saves.get(&id).and_then(|saves| saves.last()).map(|(_, saved)| saved.clone())
    }

    /// The order as the API shows it now.
    pub fn shown_now(&self, id: i64) -> Option<Saved> {
        let state = self.state.lock().expect("lock");
        self.shown(&state).into_iter().find(|(found, ..)| *found == id).map(|(_, saved, _)| saved)
    }

    /// The number told for a delivery, and the id on the order.
    pub fn told(&self, id: i64, delivery: &str) -> (Option<String>, Option<String>) {
        let state = self.state.lock().expect("lock");
        (state.external_ids.get(&id).cloned(), state.tracks.get(delivery).cloned().flatten())
    }

    fn shown(&self, state: &State) -> Vec<(i64, Saved, Option<String>)> {
        let now = self.clock.now();
        let shown = state.saves.iter().filter_map(|(id, saves)| {
            let (_, saved) = saves.iter().rfind(|(shows, _)| *shows <= now)?;
            Some((*id, saved.clone(), state.external_ids.get(id).cloned()))
        });
        shown.collect()
    }

    async fn read(
        &self,
        wanted: impl Fn(i64, &Saved) -> bool + Send,
    ) -> Result<Vec<Result<Order, Unreadable>>, CrmError> {
        vendor_step().await;
        let answer = {
            let mut state = self.state.lock().expect("lock");
            match state.faults.pop_front() {
                Some(fault) => Err(error(fault)),
                None => Ok(self.shown(&state)),
            }
        };
        vendor_step().await;
        let who = Run::current().map_or_else(|| "?".to_owned(), |run| run.owner.clone());
        let orders = match answer {
            Ok(orders) => orders,
            Err(error) => {
                self.said.line(format!("   {who} at RetailCRM: read → {error}"));
                return Err(error);
            }
        };
        let found: Vec<_> = orders.into_iter().filter(|(id, saved, _)| wanted(*id, saved)).collect();
        let words: Vec<_> = found.iter().map(|(_, s, _)| format!("{} {}", s.number, s.kind)).collect();
        self.said.line(format!("   {who} at RetailCRM: read {}", words.join(", ")));
        Ok(found.into_iter().map(|(id, saved, external)| read_single(&document(id, &saved, external))).collect())
    }

    async fn write(&self, words: String, change: impl FnOnce(&mut State) + Send) -> Result<(), CrmError> {
        vendor_step().await;
        let answer = {
            let mut state = self.state.lock().expect("lock");
            match state.faults.pop_front() {
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
        let who = Run::current().map_or_else(|| "?".to_owned(), |run| run.owner.clone());
        let result = answer.as_ref().map_or_else(ToString::to_string, |()| "ok".to_owned());
        self.said.line(format!("   {who} at RetailCRM: {words} → {result}"));
        answer
    }
}

fn error(fault: CrmFault) -> CrmError {
    match fault {
        CrmFault::Unreachable => CrmError::Unreachable { before_sent: true },
        CrmFault::AnswerLost => CrmError::Unreachable { before_sent: false },
        CrmFault::TooFast => CrmError::RateLimited { retry_after: None },
    }
}

pub fn document(id: i64, saved: &Saved, external_id: Option<String>) -> Value {
    let lines = saved.lines(id);
    let items: Vec<Value> = lines
        .iter()
        .map(|(line, quantity, price)| {
            json!({"id": line, "quantity": quantity, "initialPrice": price, "productName": format!("goods {line}"),
                   "prices": [{"price": price, "quantity": quantity}]})
        })
        .collect();
    let total: i64 = lines.iter().map(|(_, quantity, price)| i64::from(*quantity) * price).sum();
    json!({
        "id": id, "number": saved.number, "site": "shop", "status": "send", "firstName": "Анна",
        "phone": saved.phone_text(), "totalSumm": total, "prepaySum": 0, "items": items, "payments": {},
        "delivery": {
            "code": saved.kind, "cost": 0, "address": {"city": "Москва", "text": "ул. Новая, 1"},
            "data": external_id.map_or_else(|| json!({}), |id| json!({"externalId": id})),
        },
    })
}

type Answer<'a, T> = BoxFuture<'a, Result<T, CrmError>>;

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

    fn order(&self, _: CrmOrderId) -> Answer<'_, Order> {
        absent()
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
        self.write(format!("tracking {told:?}"), move |state| {
            state.tracks.extend(told.into_iter().map(|(id, track, _)| (id, track)));
        })
        .boxed()
    }

    fn payment_types(&self) -> Answer<'_, Vec<PaymentType>> {
        nothing()
    }
    fn payment_statuses(&self) -> Answer<'_, Vec<PaymentStatus>> {
        nothing()
    }
    fn product_statuses(&self) -> Answer<'_, Vec<ProductStatus>> {
        nothing()
    }
    fn delivery_types(&self) -> Answer<'_, Vec<DeliveryType>> {
        nothing()
    }
    fn statuses(&self) -> Answer<'_, Vec<Status>> {
        nothing()
    }
    fn sites(&self) -> Answer<'_, Vec<Site>> {
        nothing()
    }
    fn stores(&self) -> Answer<'_, Vec<Store>> {
        nothing()
    }
    fn credentials(&self) -> Answer<'_, Credentials> {
        nothing()
    }
    fn system_info(&self) -> Answer<'_, SystemInfo> {
        nothing()
    }
    fn settings(&self) -> Answer<'_, AccountSettings> {
        nothing()
    }
    fn order_statuses<'a>(&'a self, _: &'a [CrmOrderId]) -> Answer<'a, Vec<OrderStatus>> {
        nothing()
    }
    fn orders_by_status<'a>(&'a self, _: &'a [String], _: &'a [String], _: u64) -> Answer<'a, OrdersPage> {
        absent()
    }
    fn history(&self, _: HistoryFrom, _: u32) -> Answer<'_, HistoryPage> {
        absent()
    }
    fn create_payment<'a>(&'a self, _: &'a str, _: &'a NewPayment) -> Answer<'a, i64> {
        absent()
    }
    fn edit_payment<'a>(&'a self, _: i64, _: &'a str, _: &'a PaymentPatch) -> Answer<'a, ()> {
        absent()
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
    fn update_scopes<'a>(&'a self, _: &'a str, _: &'a [&'a str]) -> Answer<'a, Secret> {
        absent()
    }
}
