//! What the CRM knows: accounts with their keys, references, orders, modules, history and received tracking. No HTTP.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::builder::{OrderBuilder, OrderDraft};
use super::faults::Action;
use super::orders::{Change, Order};
use super::references::References;
use super::triggers::{self, Firing, TriggerRecord, TriggerSetup};
use super::wire::{self, Numbers};
use crate::faults::FaultTable;

/// An account of the simulator: its place in the order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct AccountId(pub usize);

/// How the simulator behaves where installations differ or the protocol is silent.
#[derive(Clone, Debug)]
pub struct Options {
    /// Address to bind; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The accounts' time zone.
    pub time_zone: String,
    /// A manager's change becomes visible to the API this many milliseconds after its triggers have fired.
    pub commit_lag_ms: u64,
    /// How money is written.
    pub numbers: Numbers,
    /// How callbacks write what their sources show in two ways.
    pub callbacks: CallbackShapes,
    /// Whether modules may show pages and widgets of theirs (`embedJs`).
    pub embed_js: bool,
}

/// Two ways in which callbacks are known to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallbackShapes {
    /// In turns, so that both are always met.
    #[default]
    InTurns,
    /// The guide and recordings: dates `Y-m-d`, `print.deliveryIds` nested one list deep.
    Guide,
    /// RetailCRM's own models for modules: dates `Y-m-d H:i:s`, `print.deliveryIds` flat.
    Models,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            time_zone: "Europe/Moscow".into(),
            commit_lag_ms: 0,
            numbers: Numbers::default(),
            callbacks: CallbackShapes::default(),
            embed_js: true,
        }
    }
}

/// Who made a change, as history names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A manager in the interface.
    User,
    /// An API call with the key of this index.
    Api(usize),
    /// The CRM itself, e.g. on an answer of the delivery module.
    Code,
}

/// One status the CRM was told for a delivery.
#[derive(Clone, Serialize)]
pub struct TrackingEntry {
    /// Id of the delivery the status was addressed to.
    pub delivery_id: String,
    /// Status code of the module.
    pub code: String,
    /// Time of the status, exactly as received.
    pub updated_at: String,
    /// Text for the manager.
    pub comment: Option<String>,
    /// Track number given with the delivery.
    pub track_number: Option<String>,
    /// Actual cost in kopecks.
    pub cost: Option<i64>,
    /// Extra fields given with the delivery.
    pub extra_data: Value,
    /// When it arrived.
    pub received_at: Timestamp,
    /// Number of the tracking request within the account, from 1.
    pub batch: u64,
}

impl std::fmt::Debug for TrackingEntry {
    /// Without the comment and the extra data: they may name the receiver.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrackingEntry")
            .field("delivery_id", &self.delivery_id)
            .field("code", &self.code)
            .field("updated_at", &self.updated_at)
            .field("batch", &self.batch)
            .finish_non_exhaustive()
    }
}

/// One answered (or deliberately unanswered) request. The API key itself is never kept.
#[derive(Clone, Debug, Serialize)]
pub struct RequestRecord {
    /// Arrival.
    pub at: Timestamp,
    /// `orders.list`, `payments.create`, `reference.statuses`, `tracking`, `unknown`, …
    pub op: &'static str,
    /// Account of the key, `None` for a missing or wrong key.
    pub account: Option<AccountId>,
    /// Index of the key over all accounts.
    pub key: Option<usize>,
    /// Internal ids the request named.
    pub order_ids: Vec<i64>,
    /// Order numbers the request asked for.
    pub numbers: Vec<String>,
    /// Status of the answer; 0 when the connection was closed without one.
    pub status: u16,
    /// Name of the fault that struck, if any.
    pub fault: Option<String>,
}

/// An API key and its rights.
pub(super) struct ApiKey {
    pub(super) account: usize,
    pub(super) sites: Option<Vec<String>>,
    pub(super) scopes: Vec<String>,
}

/// All scopes a delivery integration may need (protocols/retailcrm.md#keys). How RetailCRM calls the
/// last one is not known: the name is ours.
pub const SCOPES: [&str; 8] = [
    "order_read",
    "order_write",
    "reference_read",
    "delivery_read",
    "delivery_write",
    "integration_read",
    "integration_write",
    NOTIFICATIONS,
];

/// The scope that lets a key notify users.
pub const NOTIFICATIONS: &str = "notification_write";

/// What users were told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notified {
    /// `api.info` or `api.error`.
    pub kind: String,
    /// HTML.
    pub message: String,
    /// Codes of the groups that were told.
    pub groups: Vec<String>,
}

/// An installed instance of a delivery module.
pub(super) struct Module {
    pub(super) config: Value,
    pub(super) freeze: bool,
}

impl Module {
    pub(super) fn is_working(&self) -> bool {
        self.config["active"].as_bool() == Some(true) && !self.freeze
    }

    pub(super) fn delivery(&self) -> &Value {
        &self.config["integrations"]["delivery"]
    }

    pub(super) fn name(&self) -> &str {
        self.config["name"].as_str().or_else(|| self.config["code"].as_str()).unwrap_or_default()
    }

    /// Rows of a settings collection, which may be a list or a map
    /// (protocols/retailcrm.md#settings).
    pub(super) fn setting_rows(&self, name: &str) -> Vec<&Value> {
        match &self.delivery()["settings"][name] {
            Value::Array(rows) => rows.iter().collect(),
            Value::Object(rows) => rows.values().collect(),
            _ => Vec::new(),
        }
    }

    pub(super) fn status_codes(&self) -> Vec<&Value> {
        self.delivery()["statusList"].as_array().map(|list| list.iter().collect()).unwrap_or_default()
    }
}

/// One field change of one order, as `orders/history` lists it.
pub(super) struct HistoryRecord {
    pub(super) id: i64,
    pub(super) at: String,
    pub(super) source: Source,
    pub(super) created: bool,
    pub(super) change: Change,
    pub(super) order: Arc<Order>,
    visible_at: Instant,
}

/// An order's newest version and the one the API already sees.
struct Slot {
    newest: Arc<Order>,
    visible: Option<Arc<Order>>,
    pending: VecDeque<(Instant, Arc<Order>)>,
    rendered: Option<Arc<str>>,
}

impl Slot {
    fn settle(&mut self, now: Instant) {
        while self.pending.front().is_some_and(|(at, _)| *at <= now) {
            self.visible = self.pending.pop_front().map(|(_, order)| order);
            self.rendered = None;
        }
    }
}

/// One CRM account.
#[derive(Default)]
pub(super) struct Account {
    pub(super) references: References,
    orders: BTreeMap<i64, Slot>,
    by_number: HashMap<String, BTreeSet<i64>>,
    by_external_id: HashMap<String, BTreeSet<i64>>,
    by_delivery: HashMap<String, BTreeSet<i64>>,
    payment_owner: HashMap<i64, i64>,
    pub(super) modules: BTreeMap<String, Module>,
    history: Vec<HistoryRecord>,
    pub(super) tracking: HashMap<i64, Vec<TrackingEntry>>,
    pub(super) batches: u64,
    pub(super) notified: Vec<Notified>,
    pub(super) triggers: Option<TriggerSetup>,
    next_order: i64,
    next_item: i64,
    next_payment: i64,
    pub(super) numbers: Numbers,
}

/// A point in time, for comparing and for showing.
pub(super) struct Moment {
    pub(super) instant: Instant,
    pub(super) text: String,
}

impl Account {
    fn new(options: &Options) -> Self {
        Self { next_order: 4801, next_item: 3301, next_payment: 1422, numbers: options.numbers, ..Self::default() }
    }

    /// The newest version, whether the API sees it or not.
    pub(super) fn newest(&self, id: i64) -> Option<&Arc<Order>> {
        self.orders.get(&id).map(|slot| &slot.newest)
    }

    /// The newest versions of all orders, oldest order first.
    pub(super) fn all_newest(&self) -> impl Iterator<Item = &Arc<Order>> {
        self.orders.values().map(|slot| &slot.newest)
    }

    /// The version the API sees.
    pub(super) fn visible(&mut self, id: i64, now: Instant) -> Option<Arc<Order>> {
        let slot = self.orders.get_mut(&id)?;
        slot.settle(now);
        slot.visible.clone()
    }

    /// The API's view of an order as JSON text, kept until it changes.
    pub(super) fn rendered(&mut self, id: i64, now: Instant) -> Option<Arc<str>> {
        let slot = self.orders.get_mut(&id)?;
        slot.settle(now);
        let order = slot.visible.as_ref()?;
        if slot.rendered.is_none() {
            let style = self.numbers.style_of(id);
            let text = order.to_json(&self.references, style, false).to_string();
            slot.rendered = Some(text.into());
        }
        slot.rendered.clone()
    }

    /// An order as a JSON value, newest version.
    pub(super) fn order_json(&self, id: i64) -> Option<Value> {
        let order = self.newest(id)?;
        Some(order.to_json(&self.references, self.numbers.style_of(id), false))
    }

    /// Ids of all orders, newest first.
    pub(super) fn ids_newest_first(&self) -> Vec<i64> {
        self.orders.keys().rev().copied().collect()
    }

    /// Ids of orders that have or had one of these numbers. Check the visible version.
    pub(super) fn ids_by_number<'a>(&self, numbers: impl Iterator<Item = &'a str>) -> BTreeSet<i64> {
        numbers.filter_map(|number| self.by_number.get(number)).flatten().copied().collect()
    }

    /// Ids of orders that have or had this id of the shop. Check the visible version.
    pub(super) fn ids_by_external_id(&self, external_id: &str) -> BTreeSet<i64> {
        self.by_external_id.get(external_id).cloned().unwrap_or_default()
    }

    /// The order whose delivery has this id at the module instance `module`.
    pub(super) fn order_of_delivery(&self, delivery_id: &str, module: &str) -> Option<i64> {
        let ids = self.by_delivery.get(delivery_id)?;
        ids.iter().copied().find(|id| {
            self.newest(*id).is_some_and(|order| {
                order.delivery.external_id() == Some(delivery_id)
                    && self.module_code_of(order).is_some_and(|code| code == module)
            })
        })
    }

    /// The module instance behind the order's delivery type.
    pub(super) fn module_code_of(&self, order: &Order) -> Option<&str> {
        let code = order.delivery.code.as_deref()?;
        self.references.delivery_type(code)?.integration_code.as_deref()
    }

    /// The order that has the payment.
    pub(super) fn order_of_payment(&self, payment: i64) -> Option<i64> {
        self.payment_owner.get(&payment).copied()
    }

    /// Whether the payment type is cash on delivery for the order's delivery type.
    pub(super) fn is_cod(&self, order: &Order, payment_type: &str) -> bool {
        let module = self.module_code_of(order).and_then(|code| self.modules.get(code));
        let setting = module.and_then(|module| {
            let rows = module.setting_rows("paymentTypes");
            rows.into_iter().find(|row| row["code"] == payment_type).and_then(|row| row["cod"].as_bool())
        });
        setting.unwrap_or_else(|| {
            let kind = order.delivery.code.as_deref().and_then(|code| self.references.delivery_type(code));
            kind.is_some_and(|kind| kind.payment_types.iter().any(|(code, cod)| *cod && code == payment_type))
        })
    }

    /// Forgets rendered orders after a change of the references.
    pub(super) fn references_changed(&mut self) {
        for slot in self.orders.values_mut() {
            slot.rendered = None;
        }
    }

    /// History the API may see, ascending.
    pub(super) fn history(&self, since: Option<i64>, now: Instant) -> &[HistoryRecord] {
        let start = since.map_or(0, |since| self.history.partition_point(|record| record.id <= since));
        let end = self.history[start..].iter().position(|record| record.visible_at > now);
        &self.history[start..end.map_or(self.history.len(), |end| start + end)]
    }

    fn add(&mut self, builder: OrderBuilder, source: Source, moment: &Moment, lag: Duration) -> (i64, Vec<Firing>) {
        let id = self.next_order;
        self.next_order += 1;
        let order = builder.build(id, &moment.text);
        (id, self.save(order, source, moment, lag))
    }

    /// Stores a new version: gives ids, recomputes sums, writes history, says which triggers fire.
    pub(super) fn save(&mut self, mut order: Order, source: Source, moment: &Moment, lag: Duration) -> Vec<Firing> {
        let old = self.newest(order.id).cloned();
        self.give_ids(&mut order);
        self.fill_module_defaults(&mut order, old.as_deref());
        order.recompute(&self.references, &moment.text);
        if old.as_ref().is_some_and(|old| old.status != order.status) {
            order.status_updated_at.clone_from(&moment.text);
        }
        let changes = match &old {
            Some(old) => order.changes_since(old, &self.references),
            None => vec![Change {
                field: "status".into(),
                old: Value::Null,
                new: json!({"code": order.status}),
                detail: None,
            }],
        };
        if changes.is_empty() {
            return Vec::new();
        }
        let order = Arc::new(order);
        // Only a manager's form fires triggers ahead of its own commit; an API call answers after it.
        let visible_at = if source == Source::User { moment.instant + lag } else { moment.instant };
        self.index(&order);
        for change in &changes {
            self.history.push(HistoryRecord {
                id: 90_110 + i64::try_from(self.history.len()).unwrap_or(0),
                at: moment.text.clone(),
                source,
                created: old.is_none(),
                change: change.clone(),
                order: Arc::clone(&order),
                visible_at,
            });
        }
        self.put(&order, visible_at, moment.instant);
        let Some(setup) = &self.triggers else { return Vec::new() };
        triggers::evaluate(setup, &order, old.is_none(), &changes, source)
    }

    /// Takes an order away, for good or because it was combined into another
    /// (protocols/retailcrm.md#history). It is seen by nobody afterwards; history keeps it. False
    /// when there is no such order.
    pub(super) fn remove(&mut self, id: i64, into: Option<i64>, moment: &Moment) -> bool {
        let Some(slot) = self.orders.remove(&id) else { return false };
        let details = [into.map(|into| ("combinedTo", json!({"id": into}))), Some(("deleted", Value::Bool(true)))];
        for detail in details.into_iter().flatten() {
            let change = Change { field: "deleted".into(), old: Value::Null, new: Value::Null, detail: Some(detail) };
            self.history.push(HistoryRecord {
                id: 90_110 + i64::try_from(self.history.len()).unwrap_or(0),
                at: moment.text.clone(),
                source: Source::User,
                created: false,
                change,
                order: Arc::clone(&slot.newest),
                visible_at: moment.instant,
            });
        }
        true
    }

    fn give_ids(&mut self, order: &mut Order) {
        for item in order.items.iter_mut().filter(|item| item.id <= 0) {
            item.id = self.next_item;
            self.next_item += 1;
            item.external_id.get_or_insert_with(|| format!("pos-{}", item.id));
        }
        let fresh: Vec<i64> = order.payments.keys().rev().copied().filter(|id| *id <= 0).collect();
        for place in fresh {
            if let Some(mut payment) = order.payments.remove(&place) {
                payment.id = self.next_payment;
                self.next_payment += 1;
                order.payments.insert(payment.id, payment);
            }
        }
    }

    /// A delivery that has just come to a module gets the module's default extra fields and lock
    /// (protocols/retailcrm.md#settings).
    fn fill_module_defaults(&self, order: &mut Order, old: Option<&Order>) {
        if old.is_some_and(|old| old.delivery.code == order.delivery.code) {
            return;
        }
        let Some(module) = self.module_code_of(order).and_then(|code| self.modules.get(code)) else { return };
        let settings = &module.delivery()["settings"];
        if let Some(defaults) = settings["deliveryExtraData"].as_object() {
            for (code, value) in defaults {
                if order.delivery.extra(code).is_none() {
                    order.delivery.set_extra(code, value.clone());
                }
            }
        }
        if !order.delivery.data.contains_key("locked") {
            let locked = settings["lockedByDefault"].as_bool().unwrap_or(false);
            order.delivery.data.insert("locked".into(), locked.into());
        }
    }

    fn index(&mut self, order: &Order) {
        self.by_number.entry(order.number.clone()).or_default().insert(order.id);
        if let Some(external_id) = &order.external_id {
            self.by_external_id.entry(external_id.clone()).or_default().insert(order.id);
        }
        if let Some(delivery_id) = order.delivery.external_id() {
            self.by_delivery.entry(delivery_id.to_owned()).or_default().insert(order.id);
        }
        for payment in order.payments.keys() {
            self.payment_owner.insert(*payment, order.id);
        }
    }

    fn put(&mut self, order: &Arc<Order>, visible_at: Instant, now: Instant) {
        let slot = self.orders.entry(order.id).or_insert_with(|| Slot {
            newest: Arc::clone(order),
            visible: None,
            pending: VecDeque::new(),
            rendered: None,
        });
        slot.newest = Arc::clone(order);
        if visible_at <= now {
            // The row lock of the database: a later committed change carries the earlier ones with it.
            slot.pending.clear();
            slot.visible = Some(Arc::clone(order));
            slot.rendered = None;
        } else {
            slot.pending.push_back((visible_at, Arc::clone(order)));
        }
    }
}

/// All accounts and everything observed about the requests.
pub(super) struct World {
    pub(super) options: Options,
    pub(super) zone: TimeZone,
    pub(super) accounts: Vec<Account>,
    keys: HashMap<String, usize>,
    pub(super) key_rows: Vec<ApiKey>,
    pub(super) faults: FaultTable<Action>,
    requests: VecDeque<RequestRecord>,
    counts: HashMap<&'static str, usize>,
    pub(super) outbox: Vec<(AccountId, Firing)>,
    pub(super) fired: Vec<TriggerRecord>,
    /// Callbacks whose shape was in question so far.
    shaped: u64,
}

/// Requests kept; older ones are only counted.
const KEPT_REQUESTS: usize = 200_000;

impl World {
    /// Whether the callback about to leave is written as RetailCRM's models are.
    pub(super) fn writes_as_models(&mut self) -> bool {
        self.shaped += 1;
        match self.options.callbacks {
            CallbackShapes::InTurns => self.shaped.is_multiple_of(2),
            CallbackShapes::Guide => false,
            CallbackShapes::Models => true,
        }
    }

    pub(super) fn new(options: Options, zone: TimeZone) -> Self {
        Self {
            options,
            zone,
            accounts: Vec::new(),
            keys: HashMap::new(),
            key_rows: Vec::new(),
            faults: FaultTable::default(),
            requests: VecDeque::new(),
            counts: HashMap::new(),
            outbox: Vec::new(),
            fired: Vec::new(),
            shaped: 0,
        }
    }

    pub(super) fn moment(&self) -> Moment {
        Moment { instant: Instant::now(), text: wire::local_text(Timestamp::now(), &self.zone) }
    }

    pub(super) fn add_account(&mut self, api_key: &str) -> AccountId {
        if let Some(known) = self.keys.get(api_key) {
            return AccountId(self.key_rows[*known].account);
        }
        let account = self.accounts.len();
        self.accounts.push(Account::new(&self.options));
        self.add_key(AccountId(account), api_key, None, &SCOPES);
        AccountId(account)
    }

    pub(super) fn add_key(&mut self, account: AccountId, api_key: &str, sites: Option<&[&str]>, scopes: &[&str]) {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<String>>();
        self.key_rows.push(ApiKey { account: account.0, sites: sites.map(owned), scopes: owned(scopes) });
        self.keys.insert(api_key.to_owned(), self.key_rows.len() - 1);
    }

    pub(super) fn key_index(&self, api_key: &str) -> Option<usize> {
        self.keys.get(api_key).copied()
    }

    pub(super) fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(id.0)
    }

    fn lag(&self) -> Duration {
        Duration::from_millis(self.options.commit_lag_ms)
    }

    pub(super) fn add_order(&mut self, account: AccountId, builder: OrderBuilder, source: Source) -> Option<i64> {
        let (moment, lag) = (self.moment(), self.lag());
        let (id, firings) = self.accounts.get_mut(account.0)?.add(builder, source, &moment, lag);
        self.outbox.extend(firings.into_iter().map(|firing| (account, firing)));
        Some(id)
    }

    pub(super) fn save(&mut self, account: AccountId, order: Order, source: Source) {
        let (moment, lag) = (self.moment(), self.lag());
        let Some(row) = self.accounts.get_mut(account.0) else { return };
        let firings = row.save(order, source, &moment, lag);
        self.outbox.extend(firings.into_iter().map(|firing| (account, firing)));
    }

    /// A change on the newest version. False when there is no such order.
    pub(super) fn edit(&mut self, account: AccountId, id: i64, f: impl FnOnce(&mut OrderDraft)) -> bool {
        let order = self.account(account).and_then(|account| account.newest(id)).map(|order| order.as_ref().clone());
        let Some(order) = order else { return false };
        let mut draft = OrderDraft { order };
        f(&mut draft);
        self.save(account, draft.order, Source::User);
        true
    }

    /// See [`Account::remove`].
    pub(super) fn remove(&mut self, account: AccountId, id: i64, into: Option<i64>) -> bool {
        let moment = self.moment();
        self.accounts.get_mut(account.0).is_some_and(|row| row.remove(id, into, &moment))
    }

    pub(super) fn record(&mut self, record: RequestRecord) {
        *self.counts.entry(record.op).or_default() += 1;
        if self.requests.len() == KEPT_REQUESTS {
            self.requests.pop_front();
        }
        self.requests.push_back(record);
    }

    pub(super) fn requests(&self) -> Vec<RequestRecord> {
        self.requests.iter().cloned().collect()
    }

    pub(super) fn count(&self, op: &str) -> usize {
        match op.strip_suffix('*') {
            Some(prefix) => self.counts.iter().filter(|(op, _)| op.starts_with(prefix)).map(|(_, count)| count).sum(),
            None => self.counts.get(op).copied().unwrap_or(0),
        }
    }

    pub(super) fn counts(&self) -> BTreeMap<&'static str, usize> {
        self.counts.iter().map(|(op, count)| (*op, *count)).collect()
    }

    pub(super) fn forget_requests(&mut self) {
        self.requests.clear();
        self.counts.clear();
    }
}

/// `GET settings` → `settings` (protocols/retailcrm.md#formats).
pub(super) fn settings(time_zone: &str) -> Value {
    let stamp = "2023-02-01 10:00:00";
    let mut value = Map::new();
    for (name, text) in [("default_currency", "RUB"), ("system_language", "RU"), ("timezone", time_zone)] {
        value.insert(name.into(), json!({"value": text, "updated_at": stamp}));
    }
    value.insert(
        "work_times".into(),
        json!([{"day_type": "Monday", "start_time": "09:00", "end_time": "18:00", "lunch_start_time": "13:00",
            "lunch_end_time": "14:00"}]),
    );
    value.insert("non_working_days".into(), json!([{"start_date": "01.01", "end_date": "01.08"}]));
    Value::Object(value)
}
