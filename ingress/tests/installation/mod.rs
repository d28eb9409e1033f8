//! Ingress and a worker in one process, between both simulators: what RetailCRM's module
//! callbacks and the settings page meet.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bridge_worker::callbacks::registration::{self, Registered};
use bridge_worker::vendor::connect::Clients;
use bridge_worker::vendor::{ActiveIntegration, Connect as _};
use shared::bootstrap::Ctx;
use shared::clock::Clock;
use shared::config::{Config, Role, Source};
use shared::crypto::SecretKey;
use shared::domain::{CrmOrderId, Delivery, Integration, IntegrationId, IntegrationState, Secret, Settings};
use shared::queue::open::{self, Opened};
use shared::store::integrations::NewIntegration;
use shared::store::journal::Journal;
use shared::store::{Db, Store, StoreError};
use simulators::measoft::{Account, Enforcement, MeasoftSim, Options as CourierOptions};
use simulators::retailcrm::{AccountId, Answer, OrderBuilder, RetailcrmSim, TriggerSetup, an_order};
use tokio::net::TcpListener;

pub(crate) struct Installation {
    pub(crate) ctx: Ctx,
    pub(crate) queue: Opened,
    pub(crate) courier: MeasoftSim,
    pub(crate) crm: RetailcrmSim,
    pub(crate) account: AccountId,
    pub(crate) integration: Integration,
    pub(crate) address: SocketAddr,
    folder: PathBuf,
}

impl Drop for Installation {
    fn drop(&mut self) {
        self.ctx.stop.cancel();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub(crate) const CABINET: &str = "8:shop-demo";

/// How one is put together.
pub(crate) struct Plan {
    pub(crate) worker: bool,
    pub(crate) env: Vec<(&'static str, String)>,
    pub(crate) settings: Settings,
    pub(crate) registered: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self { worker: true, env: Vec::new(), settings: Settings::default(), registered: true }
    }
}

impl Installation {
    pub(crate) async fn new() -> Self {
        Self::of(Plan::default()).await
    }

    pub(crate) async fn of(plan: Plan) -> Self {
        let folder = std::env::temp_dir().join(format!("bridge-module-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut cabinet = Account::new("8", "shop-demo", "pass-demo");
        cabinet.sync_after_ms = Some(0);
        let options =
            CourierOptions { accounts: vec![cabinet], enforcement: Enforcement::Off, ..CourierOptions::default() };
        let courier = MeasoftSim::start(options).await.expect("the courier's simulator");
        let crm = RetailcrmSim::start(simulators::retailcrm::Options::default()).await.expect("the CRM's simulator");
        let account = crm.add_account("crm-key");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("address");
        let mut pairs: Vec<(&str, String)> = vec![
            ("DATA_DIR", folder.to_str().expect("utf-8").to_owned()),
            ("PUBLIC_URL", format!("http://{address}")),
            ("CRM_ALLOWED_HOSTS", "127.0.0.1".into()),
            ("SETTLE_MS", "5".into()),
            ("RETRY_RUNGS_S", "0.3,0.6,1".into()),
            ("UNKNOWN_RECHECK_S", "0.3".into()),
            ("MEASOFT_PER_MINUTE", "100000".into()),
            ("MEASOFT_PER_20MIN", "1000000".into()),
            ("MEASOFT_ACCOUNT_PER_HOUR", "1000000".into()),
            ("CRM_RPS", "1000".into()),
        ];
        pairs.extend(plan.env);
        let source = Source::from_pairs(pairs.iter().map(|(name, value)| (*name, value.as_str())));
        let config = Config::read(Role::Bridge, &source).expect("good settings");
        let db = Db::open_sqlite(&folder.join("bridge.db")).await.expect("a database");
        db.migrate().await.expect("a schema");
        let ctx = Ctx::new(Arc::new(config), Store::new(db, SecretKey::from_bytes([7; 32]), Clock::system()));
        let new = NewIntegration {
            title: "Магазин".into(),
            crm_url: crm.url(),
            crm_api_key: Secret::new("crm-key"),
            measoft_url: courier.url(),
            extra: "8".into(),
            login: "shop-demo".into(),
            password: Secret::new("pass-demo"),
            settings: plan.settings,
            ..NewIntegration::default()
        };
        let integration = ctx.store.add_integration(new).await.expect("an integration");
        let queue = open::start(&ctx).await.expect("a queue");
        tokio::spawn(bridge_ingress::run_on(ctx.clone(), queue.clone(), listener));
        if plan.worker {
            tokio::spawn(bridge_worker::run(ctx.clone(), queue.clone()));
        }
        let world = Self { ctx, queue, courier, crm, account, integration, address, folder };
        if plan.registered {
            world.register().await;
        }
        world
    }

    /// Another tenant at the same vendors, with a key and a cabinet of its own.
    pub(crate) async fn tenant(&self, build: impl FnOnce(&mut NewIntegration)) -> Integration {
        let mut new = NewIntegration {
            title: "Сосед".to_owned(),
            crm_url: self.crm.url(),
            crm_api_key: Secret::new("key-of-another"),
            measoft_url: self.courier.url(),
            extra: "8".to_owned(),
            login: "neighbour".to_owned(),
            password: Secret::new("pass-of-another"),
            ..NewIntegration::default()
        };
        build(&mut new);
        self.ctx.store.add_integration(new).await.expect("added")
    }

    /// One that RetailCRM's simulator does not know yet, with a delivery type of its own.
    pub(crate) async fn neighbour(&self) -> Integration {
        self.tenant(|new| {
            new.prefix = "N-".to_owned();
            new.settings.delivery_types = vec!["theirs".to_owned()];
        })
        .await
    }

    /// The module's instance code.
    pub(crate) fn module(&self) -> String {
        self.integration.code(&self.ctx.config.module_code)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn client_id(&self) -> &str {
        self.integration.secrets.client_id.expose()
    }

    pub(crate) fn key(&self) -> &str {
        self.integration.secrets.delivery_api_key.expose()
    }

    /// What `bridge integration register` does, and a delivery type tied to the module.
    pub(crate) async fn register(&self) -> Registered {
        let (store, metrics) = (self.ctx.store.clone(), self.ctx.metrics.clone());
        let journal = Journal::start(store.clone());
        let clients = Clients::new(&self.ctx.config, store, journal, metrics).expect("clients");
        let vendors = clients.connect(&self.integration).expect("vendors");
        let shop = ActiveIntegration::new(self.integration.clone(), vendors);
        let done = registration::register(&shop, true, &self.ctx.config).await.expect("registered");
        self.crm.add_delivery_type(self.account, "incity", Some(&self.module()), &["cash", "bank-card"]);
        done
    }

    pub(crate) fn add_order(&self, order: OrderBuilder) -> i64 {
        self.crm.add_order(self.account, order)
    }

    pub(crate) fn plain_order(&self, number: &str) -> i64 {
        self.add_order(an_order().number(number).delivery_type("incity"))
    }

    pub(crate) fn with_triggers(&self) {
        let setup = TriggerSetup::new(&self.url(), &["incity"], &[("incity", self.key())]);
        self.crm.set_triggers(self.account, Some(setup));
    }

    pub(crate) async fn delivery(&self, order: i64) -> Option<Delivery> {
        self.ctx.store.delivery_by_order(self.integration.id, CrmOrderId(order)).await.expect("read")
    }

    /// What RetailCRM asks for as the manager saves an order.
    pub(crate) async fn save(&self, order: i64) -> Answer {
        self.crm.save(self.account, order).await.expect("answered")
    }

    pub(crate) async fn calculate(&self, order: i64) -> Answer {
        self.crm.calculate(self.account, order).await.expect("answered")
    }

    pub(crate) async fn withdraw(&self, order: i64) -> Answer {
        self.crm.delete_delivery(self.account, order).await.expect("answered")
    }

    pub(crate) async fn print(&self, ids: &[&str]) -> Answer {
        self.crm.print(self.account, &self.module(), "courier", ids).await.expect("answered")
    }

    /// A callback as it is posted, with our `clientId`.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let fields = [&[("clientId", self.client_id())], fields].concat();
        self.crm.post(&format!("{}/retailcrm/{path}", self.url()), &fields).await.expect("answered")
    }

    /// Changes an integration as the operator does.
    pub(crate) async fn change(&self, id: IntegrationId, change: impl Fn(&mut Integration)) -> Integration {
        let change = |i: &mut Integration| -> Result<(), StoreError> {
            change(i);
            Ok(())
        };
        self.ctx.store.change_integration(id, change).await.expect("changed")
    }

    pub(crate) async fn set_state(&self, state: &IntegrationState) {
        self.ctx.store.set_integration_state(self.integration.id, state).await.expect("stored");
    }

    /// The integration as it is stored now.
    pub(crate) async fn stored(&self) -> Integration {
        self.ctx.store.integration(self.integration.id).await.expect("read").expect("there")
    }

    pub(crate) async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let patience = tokio::time::Instant::now() + Duration::from_secs(20);
        while !holds().await {
            assert!(tokio::time::Instant::now() < patience, "in vain: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until nothing is wanted any more.
    pub(crate) async fn at_rest(&self) {
        self.until("everything is served", async || self.ctx.store.backlog().await.expect("read").0 == 0).await;
    }

    /// Requests that changed or could have changed something at MeaSoft.
    pub(crate) fn writes(&self) -> (usize, usize, usize) {
        (self.courier.count("neworder"), self.courier.count("editorder"), self.courier.count("cancelorder"))
    }
}
