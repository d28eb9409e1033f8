//! A stand-in for MeaSoft's XML API («Курьерская служба 2008»), faithful enough for the demo, for stories over real
//! sockets, for fault suites and for benchmarks. It reads and writes the protocol on its own, so that a mistake in
//! the product's reader cannot hide behind the same mistake here.
//!
//! # What is answered
//!
//! `POST /api/` or `/api` with a raw XML body; the root element selects the operation
//! (protocols/measoft.md#operations): `neworder`, `editorder`, `cancelorder`, `statusreq`,
//! `commitlaststatus`, `client`, `calculator`, `services`, `pvzlist`, `townlist`, `waybill`.
//!
//! Wrong credentials and other request-wide errors of orders take shape 2 (`<request><error …/>`), errors of the
//! calculator, of printing and of lists shape 3 (attributes on the root), XML that is not well formed shape 4.
//!
//! # What the vendor's documents leave open, and what is done here
//!
//! Row codes that no list names (protocols/measoft.md#open-questions) are invented:
//!
//! | Code | When |
//! |---|---|
//! | 8 | no number of 10–15 digits: `field [receiver phone] has no valid phone number` |
//! | 80 | edit or cancel while the paid option is off |
//! | 81 | edit or cancel of an order that is past `NEW` / `AWAITING_SYNC` |
//! | 82 | cancel of an order that the client has already cancelled |
//! | 83 | `barcode` in an edit |
//! | 84 | a marking code on a line whose quantity is not 1 |
//! | 85 | a quantity that is negative or not whole |
//! | 86 | more than 1000 places |
//! | 87 | unknown `paytype`, also `OPTION` |
//! | 88 | a VAT rate that is no whole percentage |
//! | 89 | an edited line whose `code` the order does not have |
//!
//! * `orderno` is unique per account and calendar year of Moscow; a cancelled order keeps its number. A given barcode
//!   is unique per account for ever. Only the first error of a row is reported.
//! * `receiver/address` is required even with a `pvz`.
//! * An edit replaces everything except the barcode. Lines it leaves out stay with quantity 0; a line without `code`
//!   is a new line. So an edit repeated without codes doubles the lines, while the sum stays right as long as the
//!   earlier lines fall to 0.
//! * Creation, edit ([`Options::edits_are_changes`]), cancellation and every change by the courier bring an order into
//!   `ONLY_LAST` of every stream.
//! * An order that is not in the courier's system yet (`AWAITING_SYNC`) shows fewer elements and unformatted values.
//! * A town is known when the reference lists it (by code, full or short name); of two homonyms without a region the
//!   first is taken.
//!
//! # Control face
//!
//! JSON below `/_sim`, sums in kopecks, moments in RFC 3339:
//!
//! | Request | Meaning |
//! |---|---|
//! | `GET /_sim/orders?account=&status=&orderno=&prefix=&limit=` | all [`Order`]s |
//! | `GET /_sim/orders/{orderno}`, `DELETE` | the newest with this number (or internal code); make it vanish |
//! | `POST /_sim/orders/{orderno}/status` | a [`StatusChange`]: `{"code":"PARTIALLY","at":"…","returns":{"line-1":1},"paytype":"CARD","price_kopecks":100}` |
//! | `GET /_sim/requests?op=&since=&orderno=&limit=` | [`RequestRecord`]s with a `seq` above `since` |
//! | `GET /_sim/stats`, `GET /_sim/effects` | [`Stats`]; [`Effects`] by order number |
//! | `PUT /_sim/faults`, `GET`, `DELETE` | a list of [`FaultRule`]s: `[{"op":"neworder","first":1,"action":"fail_after"}]` |
//! | `POST /_sim/accounts`, `GET`; `PATCH /_sim/accounts/{extra:login}` | add or replace an [`Account`]; change some fields |
//! | `GET /_sim/options`, `PATCH` | [`Options`] (the address, the accounts and the time scale stay) |
//! | `POST /_sim/clock` | `{"now":"…"}`, `{"advance_s":60}` or `{"advance_year":true}` |
//! | `POST /_sim/seed` | `{"account":"8:shop-demo","count":1000,"prefix":"S-"}` creates plain orders |
//! | `POST /_sim/reset` | forget requests, counters and limit windows |
//! | `GET /` | a page for people |

mod control;
mod faults;
mod http;
mod limits;
mod model;
mod operations;
mod reference;
mod state;
mod waybill;
mod xml;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod protocol_tests;

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard};

use jiff::{SignedDuration, Timestamp};

use crate::socket::Server;

pub use faults::{FaultAction, FaultRule};
pub use limits::{Enforcement, LimitReport, Limits};
pub use model::{
    Account, CommitMode, Done, Effects, Item, Options, Order, Package, Party, RequestRecord, Stats, StatusChange,
    StatusRecord,
};

/// Handle of a running simulator; clones share it. The server ends with [`stop`](Self::stop) or with the last handle.
#[derive(Clone)]
pub struct MeasoftSim {
    inner: Arc<Inner>,
}

struct Inner {
    platform: Arc<http::Platform>,
    server: Server,
}

impl MeasoftSim {
    /// Binds `options.listen` and serves until stopped. Fails when the address cannot be bound.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let (server, listener) = Server::bind(options.listen).await?;
        let platform = Arc::new(http::Platform::new(state::State::new(options)));
        server.serve(listener, http::router(Arc::clone(&platform)));
        Ok(Self { inner: Arc::new(Inner { platform, server }) })
    }

    /// Without a socket and with a clock that stands still until it is set: for stories in one process, which ask by
    /// [`answer`](Self::answer).
    pub fn standing_at(options: Options, now: Timestamp) -> Self {
        let mut state = state::State::new(options);
        state.stand_at(now);
        Self { inner: Arc::new(Inner { platform: Arc::new(http::Platform::new(state)), server: Server::nowhere() }) }
    }

    /// What a request comes to. Of the faults only refusals of rows are heeded; limits are not counted.
    ///
    /// # Panics
    /// When it is no XML.
    pub fn answer(&self, request: &str) -> Done {
        let root = xml::parse(request.as_bytes()).expect("a document");
        let mut state = self.state();
        let plan = state.faults.plan(&root.name, &operations::sent_account(&root), &operations::sent_ordernos(&root));
        let outcome = operations::perform(&mut state, &root, &plan);
        state.settle();
        match outcome.body {
            operations::Body::Rows(found) => Done { orders: found.orders, ..Done::default() },
            operations::Body::Xml(text) => {
                let answer = xml::parse(text.as_bytes()).expect("our own document");
                let rows = answer.all("createorder").chain(answer.all("order"));
                let code = |row: &xml::Element| row.attr("error").parse().expect("a code");
                Done { rows: rows.map(|row| (row.attr("orderno").to_owned(), code(row))).collect(), ..Done::default() }
            }
        }
    }

    /// Whether some stream of an account (`extra:login`) has been confirmed to its end.
    pub fn is_read_out(&self, key: &str) -> bool {
        let state = self.state();
        let account = state.accounts().iter().position(|account| account.key() == key);
        account.is_some_and(|account| state.is_read_out(account))
    }

    /// `http://127.0.0.1:PORT/api/`
    pub fn url(&self) -> String {
        format!("http://{}/api/", self.inner.server.address)
    }

    /// Base of the control face, `http://127.0.0.1:PORT/_sim`.
    pub fn control_url(&self) -> String {
        format!("http://{}/_sim", self.inner.server.address)
    }

    /// Stops listening and cuts every connection; callers are refused from then on. The state stays.
    pub async fn stop(&self) {
        self.inner.server.stop().await;
    }

    /// Listens again on the same address with the same state. Does nothing while running.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.inner.server.restart(http::router(Arc::clone(&self.inner.platform))).await
    }

    /// The state as of now.
    fn state(&self) -> MutexGuard<'_, state::State> {
        let mut state = self.inner.platform.lock();
        state.settle();
        state
    }

    // ---- accounts and settings

    /// Adds an account, or replaces the one with the same `extra` and `login`.
    pub fn add_account(&self, account: Account) {
        self.state().add_account(account);
    }

    /// Changes settings of the account `extra:login`; false when it does not exist.
    pub fn update_account(&self, key: &str, change: impl FnOnce(&mut Account)) -> bool {
        self.state().update_account(key, change)
    }

    /// Changes settings of the running simulator; the address, the accounts and the time scale do not change.
    pub fn configure(&self, change: impl FnOnce(&mut Options)) {
        change(&mut self.state().options);
    }

    // ---- what happened

    /// All orders in the order of creation, vanished ones too.
    pub fn orders(&self) -> Vec<Order> {
        self.state().orders()
    }

    /// The newest order with this number.
    pub fn order(&self, orderno: &str) -> Option<Order> {
        self.state().order(orderno).map(|order| (**order).clone())
    }

    /// The newest order that is as wanted.
    pub fn find(&self, wanted: impl Fn(&Order) -> bool) -> Option<Order> {
        self.state().newest_that(wanted)
    }

    /// What was really done, by order number.
    pub fn effects(&self) -> BTreeMap<String, Effects> {
        self.state().effects()
    }

    /// The latest requests, oldest first.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.state().requests().cloned().collect()
    }

    /// Requests with this root element so far, whatever became of them.
    pub fn count(&self, op: &str) -> usize {
        self.state().count(op)
    }

    /// All counters.
    pub fn stats(&self) -> Stats {
        self.state().stats()
    }

    /// The highest loads ever seen, compared with the vendor's limits.
    pub fn limits(&self) -> LimitReport {
        self.state().stats().limits
    }

    /// Forgets requests, counters and limit windows, but no order.
    pub fn reset_counters(&self) {
        self.state().reset_counters();
    }

    // ---- faults

    /// Replaces all fault rules and their counters.
    pub fn set_faults(&self, rules: Vec<FaultRule>) {
        self.state().faults.replace(rules);
    }

    /// Removes all fault rules.
    pub fn clear_faults(&self) {
        self.state().faults.replace(Vec::new());
    }

    // ---- the courier's side; every one answers false when there is no such order

    /// Gives an order a status with this `createtimegmt`.
    pub fn set_status(&self, orderno: &str, code: &str, at: Timestamp) -> bool {
        self.change_status(orderno, &StatusChange::to(code, at))
    }

    /// Gives an order a status whose text says who took it or why it was not delivered.
    pub fn set_status_with_reason(&self, orderno: &str, code: &str, at: Timestamp, deliveredto: &str) -> bool {
        let change = StatusChange { deliveredto: Some(deliveredto.to_owned()), ..StatusChange::to(code, at) };
        self.change_status(orderno, &change)
    }

    /// Delivers in part: `returns` holds refused units by `extcode` or line code; the sum is computed anew.
    pub fn deliver_partly(&self, orderno: &str, at: Timestamp, returns: &[(&str, i64)]) -> bool {
        let returns = returns.iter().map(|(line, count)| ((*line).to_owned(), *count)).collect();
        self.change_status(orderno, &StatusChange { returns, ..StatusChange::to("PARTIALLY", at) })
    }

    /// Sets what was really taken, without a new status.
    pub fn set_payment(&self, orderno: &str, paytype: &str, price_kopecks: i64) -> bool {
        let change = StatusChange {
            paytype: Some(paytype.to_owned()),
            price_kopecks: Some(price_kopecks),
            ..StatusChange::default()
        };
        self.change_status(orderno, &change)
    }

    /// Any change the courier can make.
    pub fn change_status(&self, orderno: &str, change: &StatusChange) -> bool {
        self.state().change_status(orderno, change)
    }

    /// Makes an order vanish from the platform; its number becomes free.
    pub fn delete(&self, orderno: &str) -> bool {
        self.state().delete(orderno)
    }

    /// Creates plain orders `<prefix>1` to `<prefix><count>` of the account `extra:login`.
    pub fn seed_orders(&self, account: &str, count: usize, prefix: &str) -> bool {
        self.state().seed(account, count, prefix)
    }

    // ---- clock

    /// The simulator's present moment.
    pub fn now(&self) -> Timestamp {
        self.state().now()
    }

    /// Sets the clock, which runs on from there.
    pub fn set_now(&self, now: Timestamp) {
        self.state().set_now(now);
    }

    /// Moves the clock.
    pub fn advance(&self, by: SignedDuration) {
        self.state().advance(by);
    }

    /// Moves the clock to the same time of the next year: numbers become free again.
    pub fn advance_year(&self) {
        self.state().advance_year();
    }
}
