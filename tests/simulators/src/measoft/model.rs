//! What the simulated platform knows: accounts, orders and the settings of the whole.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::limits::{Enforcement, Limits};

/// How `commitlaststatus` moves the cursor (protocols/measoft.md#changes leaves it open).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommitMode {
    /// Marks what the last answer returned; a change between fetch and commit comes with the next fetch.
    #[default]
    ReturnedSet,
    /// Stamps the time of the commit; a change between fetch and commit is swallowed. Rows that a row limit held
    /// back are not.
    StampNow,
}

/// Settings of one simulator.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Address to bind; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Accounts that exist from the start.
    pub accounts: Vec<Account>,
    /// Most rows of one `ONLY_LAST` answer; absent = no limit.
    pub only_last_limit: Option<usize>,
    /// How a commit moves the cursor.
    pub commit: CommitMode,
    /// An edit brings the order into `ONLY_LAST`; else only a status does.
    pub edits_are_changes: bool,
    /// Makes every limit window this many times shorter.
    pub time_scale: f64,
    /// The limits.
    pub limits: Limits,
    /// What happens over a limit.
    pub enforcement: Enforcement,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            accounts: Vec::new(),
            only_last_limit: None,
            commit: CommitMode::default(),
            edits_are_changes: true,
            time_scale: 1.0,
            limits: Limits::default(),
            enforcement: Enforcement::default(),
        }
    }
}

/// One client cabinet at one courier service.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Account {
    /// Number of the courier service.
    pub extra: String,
    /// Login of the client's cabinet.
    pub login: String,
    /// Password; read from JSON, never written.
    #[serde(skip_serializing)]
    pub pass: String,
    /// What the `client` request answers.
    pub client_code: String,
    /// Sender of orders that name none.
    pub company: String,
    /// The paid option «Разрешить отмену и изменение заказов».
    pub allow_edit_cancel: bool,
    /// The plan includes `statushistory` and the courier's own price.
    pub statushistory: bool,
    /// Milliseconds from `AWAITING_SYNC` to `NEW`; absent = only [`set_status`](super::MeasoftSim::set_status) moves it.
    pub sync_after_ms: Option<u64>,
    /// Milliseconds during which a fresh order is not yet found by anybody, though its number is taken.
    pub visible_after_ms: u64,
    /// The contract has insurance; without it a declared value of the order is refused with 11.
    pub insurance: bool,
    /// Articles lying at the courier's warehouse; any other `article` is refused with 12.
    pub articles: Vec<String>,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            extra: String::new(),
            login: String::new(),
            pass: String::new(),
            client_code: "2417".to_owned(),
            company: "ООО Ромашка".to_owned(),
            allow_edit_cancel: true,
            statushistory: true,
            sync_after_ms: Some(200),
            visible_after_ms: 0,
            insurance: true,
            articles: Vec::new(),
        }
    }
}

impl Account {
    /// An account with everything allowed.
    pub fn new(extra: &str, login: &str, pass: &str) -> Self {
        Self { extra: extra.to_owned(), login: login.to_owned(), pass: pass.to_owned(), ..Self::default() }
    }

    /// `extra:login`, the name of the account in records and reports.
    pub fn key(&self) -> String {
        account_key(&self.extra, &self.login)
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("extra", &self.extra).field("login", &self.login).finish_non_exhaustive()
    }
}

pub(crate) fn account_key(extra: &str, login: &str) -> String {
    format!("{extra}:{login}")
}

/// Sender or receiver. Holds personal data, so `Debug` shows nothing of it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Party {
    pub company: String,
    pub person: String,
    pub phone: String,
    pub zipcode: String,
    pub town: String,
    pub regioncode: String,
    pub country: String,
    pub address: String,
    pub pvz: String,
    pub date: String,
    pub time_min: String,
    pub time_max: String,
    pub inn: String,
    pub delivery_pin: String,
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Party(..)")
    }
}

/// A line of an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Internal code of the line.
    pub code: String,
    /// The shop's id of the line.
    pub extcode: String,
    /// Name of the goods.
    pub name: String,
    /// Count; 0 for a line that an edit left out.
    pub quantity: i64,
    /// Kilograms of one unit, as sent.
    pub mass: String,
    /// Price of one unit, kopecks; negative for prepayment.
    pub retprice_kopecks: i64,
    /// Declared value of one unit, kopecks.
    pub inshprice_kopecks: i64,
    /// VAT percent as sent; empty when it was not sent (the platform then assumes 18).
    pub vat_rate: String,
    /// Manufacturer's barcode.
    pub barcode: String,
    /// Warehouse article.
    pub article: String,
    /// Free-text article.
    pub text_article: String,
    /// Kind of line, protocols/measoft.md#item-types: 1 goods, 2 delivery, 3 service, 4 prepayment,
    /// 6 credit, 7 pick-up.
    #[serde(rename = "type")]
    pub kind: u8,
    /// Marking code «Честный ЗНАК».
    pub government_code: String,
    /// Units the receiver refused.
    pub returns: i64,
    /// Added by the platform («Доставка», «Предоплата»).
    pub automatic: bool,
}

impl Item {
    /// What the line adds to the sum to collect, kopecks.
    pub fn total_kopecks(&self) -> i64 {
        let bought = self.quantity - self.returns;
        match self.kind {
            // Of a prepayment the quantity is ignored: one that an edit left out goes on counting
            // (protocols/measoft.md#items).
            4 if self.automatic && self.quantity == 0 => 0,
            4 => -self.retprice_kopecks.saturating_abs(),
            7 => -bought.saturating_mul(self.retprice_kopecks.saturating_abs()),
            _ => bought.saturating_mul(self.retprice_kopecks),
        }
    }
}

/// A place of an order, as sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct Package {
    pub code: String,
    pub strbarcode: String,
    pub mass: String,
    pub length: String,
    pub width: String,
    pub height: String,
    pub message: String,
    pub quantity: String,
    pub name: String,
}

/// One entry of the status history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusRecord {
    /// Code of protocols/measoft.md#status-codes, or one that nobody knows yet.
    pub code: String,
    /// `createtimegmt`.
    pub at: Timestamp,
    /// Branch.
    pub eventstore: String,
    /// Note of the branch.
    pub message: String,
}

/// One shipment.
#[derive(Clone, Default, Serialize)]
pub struct Order {
    /// The client's number.
    pub orderno: String,
    /// Internal number with leading zeros.
    pub ordercode: String,
    /// `extra:login`.
    pub account: String,
    /// Barcode: the given one or the number.
    pub barcode: String,
    /// Present status code.
    pub status: String,
    /// All statuses, ascending by time.
    pub history: Vec<StatusRecord>,
    /// Lines with the automatic ones.
    pub items: Vec<Item>,
    /// Places.
    pub packages: Vec<Package>,
    /// Sum to collect, or collected. Kopecks.
    pub price_kopecks: i64,
    /// Declared value of the order, kopecks.
    pub inshprice_kopecks: i64,
    /// Fee charged to the receiver, kopecks.
    pub deliveryprice_kopecks: i64,
    /// `CASH`, `CARD`, `NO`, `OTHER`, or `OPTION`.
    pub paytype: String,
    /// Sender as given.
    pub sender: Party,
    /// Receiver as given.
    pub receiver: Party,
    /// Kilograms, as sent.
    pub weight: String,
    /// Number of places, as sent.
    pub quantity: String,
    /// Delivery mode.
    pub service: String,
    /// Kind of shipment.
    #[serde(rename = "type")]
    pub kind: String,
    /// Contents in words.
    pub enclosure: String,
    /// Note for the courier.
    pub instruction: String,
    /// Client's department.
    pub department: String,
    /// Cost centre.
    pub costcode: String,
    /// `YES`/`NO`: goods come back.
    #[serde(rename = "return")]
    pub returning: String,
    /// `YES`/`NO`: pick-up instead of delivery.
    pub pickup: String,
    /// `YES`/`NO`: the receiver pays for the delivery.
    pub receiverpays: String,
    /// `YES`/`NO`: the receiver may refuse a part.
    pub acceptpartially: String,
    /// Who took it, or why it was not delivered.
    pub deliveredto: String,
    /// `YYYY-MM-DD` or empty.
    pub delivereddate: String,
    /// `HH:MM` or empty.
    pub deliveredtime: String,
    /// Code and name of the courier.
    pub courier: (String, String),
    /// When it was created.
    pub created_at: Timestamp,
    /// How many orders with this number the account has created up to and with this one.
    pub creates: u32,
    /// Edits carried out.
    pub edits: u32,
    /// Cancellations carried out.
    pub cancels: u32,
    /// Gone from the platform; kept here for comparison only.
    pub deleted: bool,
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order")
            .field("orderno", &self.orderno)
            .field("ordercode", &self.ordercode)
            .field("account", &self.account)
            .field("status", &self.status)
            .field("price_kopecks", &self.price_kopecks)
            .field("paytype", &self.paytype)
            .field("creates", &self.creates)
            .field("edits", &self.edits)
            .field("cancels", &self.cancels)
            .finish_non_exhaustive()
    }
}

/// What was really done under one order number, all accounts and years together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Effects {
    /// Orders created.
    pub creates: u32,
    /// Edits carried out.
    pub edits: u32,
    /// Cancellations carried out.
    pub cancels: u32,
}

/// What a request in this process comes to.
#[derive(Debug, Default)]
pub struct Done {
    /// Number and error code of each row of an answer.
    pub rows: Vec<(String, i64)>,
    /// The shipments that a `statusreq` found.
    pub orders: Vec<Arc<Order>>,
}

/// One request as the server saw it. Carries no personal data and no credentials.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RequestRecord {
    /// Position among all requests, from 1.
    pub seq: u64,
    /// When it arrived, by the simulator's clock.
    pub at: Timestamp,
    /// Address of the caller.
    pub ip: String,
    /// Root element, empty when unreadable.
    pub op: String,
    /// `extra:login` as sent, also when it was refused.
    pub account: String,
    /// Order numbers in the request.
    pub ordernos: Vec<String>,
    /// It asked for what a stream has new.
    pub only_last: bool,
    /// Orders in the answer of a `statusreq`, or rows of the answer.
    pub rows: usize,
    /// Request-wide error code, or the first row's error that is not 0, or 0; absent while in progress and for
    /// malformed requests.
    pub code: Option<i64>,
    /// HTTP status answered.
    pub http_status: u16,
    /// The request was carried out.
    pub acted: bool,
    /// The connection was closed without an answer.
    pub lost: bool,
    /// The fault that hit it.
    pub fault: Option<String>,
    /// The answer has been decided.
    pub finished: bool,
    /// When the request was carried out, by the simulator's clock.
    pub acted_at: Option<Timestamp>,
    /// When the answer had been decided and every delay was over.
    pub finished_at: Option<Timestamp>,
}

/// Counters of one simulator.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Stats {
    /// Requests by root element; unreadable ones under the empty name.
    pub requests: BTreeMap<String, usize>,
    /// All requests.
    pub total_requests: usize,
    /// Answers lost on purpose.
    pub lost_answers: usize,
    /// Orders created.
    pub orders: usize,
    /// Effects over all numbers.
    pub effects: Effects,
    /// Present orders by status.
    pub statuses: BTreeMap<String, usize>,
    /// How often each fault rule fired, in the order of the rules.
    pub faults_fired: Vec<u64>,
    /// The limit report.
    pub limits: super::limits::LimitReport,
}

/// A change that the courier makes. Every field that is absent stays as it is.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusChange {
    /// New status code.
    pub code: Option<String>,
    /// `createtimegmt`; absent = the simulator's now.
    pub at: Option<Timestamp>,
    /// Note of the branch.
    pub message: String,
    /// Branch; absent = «Москва».
    pub eventstore: Option<String>,
    /// Who took it, or the reason of non-delivery.
    pub deliveredto: Option<String>,
    /// Refused units by `extcode` or line code. Without `price_kopecks` the sum is computed anew.
    pub returns: BTreeMap<String, i64>,
    /// How it was really paid.
    pub paytype: Option<String>,
    /// What was really taken, kopecks.
    pub price_kopecks: Option<i64>,
}

impl fmt::Debug for StatusChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusChange").field("code", &self.code).field("at", &self.at).finish_non_exhaustive()
    }
}

impl StatusChange {
    /// A change to a status at a moment.
    pub fn to(code: &str, at: Timestamp) -> Self {
        Self { code: Some(code.to_owned()), at: Some(at), ..Self::default() }
    }
}
