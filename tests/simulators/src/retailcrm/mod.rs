//! A stand-in for RetailCRM: REST API v5 over real sockets, triggers, delivery-module callbacks, faults on purpose.
//!
//! Written from `shared/protocols/retailcrm.md` with its own reading and writing of the wire,
//! independent of the product. Where the reference is silent, [`Options`] offers the possible
//! behaviours.

pub mod builder;
mod connect;
mod control;
mod embed;
pub mod faults;
mod http;
pub mod orders;
mod patch;
pub mod references;
mod rest;
pub mod state;
pub mod triggers;
pub mod wire;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use jiff::tz::TimeZone;
use serde_json::Value;
use tokio::sync::watch;

pub use builder::{OrderBuilder, OrderDraft, an_order};
pub use faults::{Action, FaultRule, When};
pub use orders::{Item, Payment};
pub use state::{
    AccountId, CallbackShapes, NOTIFICATIONS, Notified, Options, RequestRecord, SCOPES, Source, TrackingEntry,
};
pub use triggers::{Answer, TriggerKind, TriggerRecord, TriggerSetup, WATCHED};
pub use wire::Numbers;

use references::{PaymentStatus, PaymentType};
use state::World;

use crate::socket::Server;

/// A running simulator. Clones are handles to the same one; it stops with [`RetailcrmSim::stop`].
#[derive(Clone)]
pub struct RetailcrmSim {
    inner: Arc<Inner>,
}

struct Inner {
    world: Mutex<World>,
    http: reqwest::Client,
    url: String,
    runtime: tokio::runtime::Handle,
    server: Server,
    on_the_way: watch::Sender<usize>,
}

/// Counts a trigger as on its way until dropped.
struct OnTheWay(Arc<Inner>);

impl Drop for OnTheWay {
    fn drop(&mut self) {
        self.0.on_the_way.send_modify(|count| *count -= 1);
    }
}

impl RetailcrmSim {
    /// Binds `options.listen` and serves until [`RetailcrmSim::stop`].
    ///
    /// # Errors
    /// When the address cannot be bound or the time zone is unknown.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let zone = match TimeZone::get(&options.time_zone) {
            Ok(zone) => zone,
            // Machines without a zone database still run with the default zone, which has had no changes since 2014.
            Err(_) if options.time_zone == "Europe/Moscow" => TimeZone::fixed(jiff::tz::offset(3)),
            Err(error) => return Err(error).context("time zone of the simulator"),
        };
        let (server, listener) = Server::bind(options.listen).await?;
        let url = format!("http://{}", server.address);
        let http = crate::http().redirect(reqwest::redirect::Policy::none()).build()?;
        let sim = Self {
            inner: Arc::new(Inner {
                world: Mutex::new(World::new(options, zone)),
                http,
                url,
                runtime: tokio::runtime::Handle::current(),
                server,
                on_the_way: watch::Sender::new(0),
            }),
        };
        sim.inner.server.serve(listener, http::router(sim.clone()));
        Ok(sim)
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.inner.url.clone()
    }

    /// A new account with its own orders, references and modules; the known one when the key exists.
    pub fn add_account(&self, api_key: &str) -> AccountId {
        self.with(|world| world.add_account(api_key))
    }

    /// Another key of an account. `sites` limits it to shops, `scopes` to methods (all: [`SCOPES`]).
    pub fn add_key(&self, account: AccountId, api_key: &str, sites: Option<&[&str]>, scopes: &[&str]) {
        self.with(|world| world.add_key(account, api_key, sites, scopes));
    }

    /// Adds a delivery type, or changes its tie to a module instance and its cash-on-delivery payment types.
    pub fn add_delivery_type(
        &self,
        account: AccountId,
        code: &str,
        integration_code: Option<&str>,
        cod_payment_types: &[&str],
    ) {
        self.with_account(account, |row| {
            row.references.put_delivery_type(code, "", integration_code, cod_payment_types);
            row.references_changed();
        });
    }

    /// Adds a payment type; an online one belongs to a payment module.
    pub fn add_payment_type(&self, account: AccountId, code: &str, online: bool) {
        self.with_account(account, |row| {
            if row.references.payment_type(code).is_none() {
                row.references.payment_types.push(PaymentType { code: code.into(), name: code.into(), online });
            }
        });
    }

    /// Adds a payment status, or changes whether it counts as paid.
    pub fn add_payment_status(&self, account: AccountId, code: &str, complete: bool) {
        self.with_account(account, |row| {
            let statuses = &mut row.references.payment_statuses;
            match statuses.iter_mut().find(|status| status.code == code) {
                Some(known) => known.complete = complete,
                None => {
                    statuses.push(PaymentStatus { code: code.into(), name: code.into(), complete, ordering: 100 });
                }
            }
        });
    }

    /// Adds an order as a manager or a shop would; returns its internal id.
    ///
    /// # Panics
    /// When there is no such account.
    pub fn add_order(&self, account: AccountId, order: OrderBuilder) -> i64 {
        self.with(|world| world.add_order(account, order, Source::User)).expect("an account of this simulator")
    }

    /// The newest version of an order in the shape of the API, visible to the API already or not.
    pub fn order(&self, account: AccountId, id: i64) -> Option<Value> {
        self.world().account(account)?.order_json(id)
    }

    /// All orders, oldest first.
    pub fn orders(&self, account: AccountId) -> Vec<Value> {
        let world = self.world();
        let Some(row) = world.account(account) else { return Vec::new() };
        row.all_newest().filter_map(|order| row.order_json(order.id)).collect()
    }

    /// Internal ids of the orders that have this number now.
    pub fn ids_by_number(&self, account: AccountId, number: &str) -> Vec<i64> {
        let world = self.world();
        let Some(row) = world.account(account) else { return Vec::new() };
        row.all_newest().filter(|order| order.number == number).map(|order| order.id).collect()
    }

    /// A manager's change: history is written and triggers fire. False when there is no such order.
    pub fn edit(&self, account: AccountId, id: i64, f: impl FnOnce(&mut OrderDraft)) -> bool {
        self.with(|world| world.edit(account, id, f))
    }

    /// A manager deletes an order; no trigger fires. False when there is no such order.
    pub fn delete_order(&self, account: AccountId, id: i64) -> bool {
        self.with(|world| world.remove(account, id, None))
    }

    /// A manager combines an order into another: it is gone, and its history names the other.
    pub fn combine_orders(&self, account: AccountId, id: i64, into: i64) -> bool {
        self.with(|world| world.remove(account, id, Some(into)))
    }

    /// What the CRM was told about the order's delivery, in order of arrival.
    pub fn tracking(&self, account: AccountId, id: i64) -> Vec<TrackingEntry> {
        let world = self.world();
        world.account(account).and_then(|row| row.tracking.get(&id)).cloned().unwrap_or_default()
    }

    /// Payments of an order by id.
    pub fn payments(&self, account: AccountId, id: i64) -> Vec<Payment> {
        let world = self.world();
        let order = world.account(account).and_then(|row| row.newest(id));
        order.map(|order| order.payments.values().cloned().collect()).unwrap_or_default()
    }

    /// What users of the account were told, oldest first.
    pub fn notified(&self, account: AccountId) -> Vec<Notified> {
        self.world().account(account).map(|row| row.notified.clone()).unwrap_or_default()
    }

    /// Configuration of a module instance as it was registered.
    pub fn module(&self, account: AccountId, code: &str) -> Option<Value> {
        Some(self.world().account(account)?.modules.get(code)?.config.clone())
    }

    /// A manager's change of a module's settings (`statuses`, `paymentTypes`, …): objects are merged, lists replaced.
    /// False when the module is not registered.
    pub fn set_module_settings(&self, account: AccountId, code: &str, settings: &Value) -> bool {
        self.with(|world| {
            let module = world.accounts.get_mut(account.0).and_then(|row| row.modules.get_mut(code));
            let Some(module) = module else { return false };
            rest::merge_deep(&mut module.config["integrations"]["delivery"]["settings"], settings);
            true
        })
    }

    /// Sets the account's triggers up; `None` removes them.
    pub fn set_triggers(&self, account: AccountId, setup: Option<TriggerSetup>) {
        self.with_account(account, |row| row.triggers = setup);
    }

    /// Every trigger that was sent or deliberately lost, in order of completion.
    pub fn triggers_fired(&self) -> Vec<TriggerRecord> {
        self.world().fired.clone()
    }

    /// Waits until no trigger is on its way.
    pub async fn triggers_settled(&self) {
        let mut count = self.inner.on_the_way.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = count.wait_for(|count| *count == 0).await;
    }

    /// The last requests, oldest first.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.world().requests()
    }

    /// Number of requests of an operation (`orders.list`) or a group (`payments.*`).
    pub fn count(&self, op: &str) -> usize {
        self.world().count(op)
    }

    /// Forgets recorded requests, counts and peaks.
    pub fn forget_requests(&self) {
        self.with(World::forget_requests);
    }

    /// Replaces all fault rules; their counters start anew.
    pub fn set_faults(&self, rules: Vec<FaultRule>) {
        self.with(|world| world.faults.replace(rules));
    }

    /// Removes all fault rules.
    pub fn clear_faults(&self) {
        self.set_faults(Vec::new());
    }

    /// Changes the options of the running simulator (all but the address and the time zone).
    pub fn configure(&self, f: impl FnOnce(&mut Options)) {
        self.with(|world| {
            f(&mut world.options);
            let numbers = world.options.numbers;
            for row in &mut world.accounts {
                row.numbers = numbers;
                row.references_changed();
            }
        });
    }

    /// Stops listening and cuts every connection; callers are refused from then on.
    pub async fn stop(&self) {
        self.inner.server.stop().await;
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.inner.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, then sends what the change fires. Nothing is sent while the state is locked.
    fn with<R>(&self, f: impl FnOnce(&mut World) -> R) -> R {
        let (result, firings) = {
            let mut world = self.world();
            let result = f(&mut world);
            (result, std::mem::take(&mut world.outbox))
        };
        self.send_out(firings);
        result
    }

    fn with_account(&self, account: AccountId, f: impl FnOnce(&mut state::Account)) {
        self.with(|world| {
            if let Some(row) = world.accounts.get_mut(account.0) {
                f(row);
            }
        });
    }

    fn http(&self) -> &reqwest::Client {
        &self.inner.http
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.inner.runtime.spawn(task);
    }

    fn trigger_leaves(&self) -> OnTheWay {
        self.inner.on_the_way.send_modify(|count| *count += 1);
        OnTheWay(Arc::clone(&self.inner))
    }
}
