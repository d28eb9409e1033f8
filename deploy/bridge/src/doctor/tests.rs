//! Deliberately broken set-ups on real simulators and SQLite. What needs a broker is in
//! `tests/doctor_broker.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use jiff::Timestamp;
use serde_json::json;
use shared::clock::Clock;
use shared::config::{Config, Role, Source};
use shared::crypto::SecretKey;
use shared::domain::{Fault, Integration, IntegrationState, OrderNumber, PausedBy, Secret, Settings};
use shared::retailcrm::wire::module::{
    DeliveryConfiguration, IntegrationModule, Integrations, ModulePaymentType, ModuleSettings, ModuleStatus,
    StatusMapping,
};
use shared::retailcrm::wire::order::PayerType;
use shared::store::Store;
use shared::store::breakers::Held;
use shared::store::dead_letters::NewDeadLetter;
use shared::store::integrations::NewIntegration;
use shared::store::intents::{OrderRequest, RequestKind};
use shared::store::journal::{Entry, What};
use shared::store::tracking_outbox::{NewTracking, TrackingState, UNKNOWN_CODE};
use shared::telemetry::metrics::{BreakerState, BreakerTarget};
use shared::{bootstrap, retailcrm};
use simulators::measoft::{Account, MeasoftSim};
use simulators::retailcrm::{AccountId, OrderBuilder, RetailcrmSim, SCOPES, an_order};

use super::{Finding, Level, examine};
use crate::output::Progress;

const KEY: &str = "crm-key-of-the-shop";
const STATUSES: [(&str, &str); 4] =
    [("NEW", "SentMeaSoft"), ("COMPLETE", "complete"), ("PARTIALLY", "complete"), ("CANCELED", "return")];

/// A whole installation in which nothing is wrong.
struct Stage {
    folder: PathBuf,
    settings: BTreeMap<&'static str, String>,
    clock: Clock,
    measoft: MeasoftSim,
    crm: RetailcrmSim,
    account: AccountId,
    integration: Integration,
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Stage {
    async fn new() -> Self {
        let measoft = MeasoftSim::start(Default::default()).await.expect("MeaSoft");
        measoft.add_account(Account::new("8", "shop-demo", "secret-demo"));
        let crm = RetailcrmSim::start(Default::default()).await.expect("RetailCRM");
        let account = crm.add_account(KEY);
        let folder = std::env::temp_dir().join(format!("bridge-doctor-{}", SecretKey::generate().replace('/', "_")));
        let settings = BTreeMap::from([
            ("DATA_DIR", folder.display().to_string()),
            ("CRM_ALLOWED_HOSTS", "127.0.0.1".to_owned()),
            ("CRM_RPS", "1000".to_owned()),
        ]);
        let mut stage =
            Self { folder, settings, clock: Clock::system(), integration: placeholder(), measoft, crm, account };
        stage.config().make_folders().expect("folders");
        stage.integration = stage.add("incity", "").await;
        stage.crm.add_delivery_type(account, "incity", Some("measoft-1"), &["cash", "bank-card"]);
        stage.register(|_| {}).await;
        stage
    }

    fn config(&self) -> Config {
        Config::read(Role::Bridge, &Source::from_pairs(self.settings.clone())).expect("settings")
    }

    async fn store(&self) -> Store {
        let config = self.config();
        bootstrap::open_store(&config, config.load_secret_key().expect("key"), Clock::system()).await.expect("store")
    }

    async fn add(&self, delivery_type: &str, prefix: &str) -> Integration {
        let new = NewIntegration {
            title: "Shop".to_owned(),
            crm_url: self.crm.url(),
            crm_api_key: Secret::new(KEY),
            measoft_url: self.measoft.url(),
            extra: "8".to_owned(),
            login: "shop-demo".to_owned(),
            password: Secret::new("secret-demo"),
            prefix: prefix.to_owned(),
            settings: Settings { delivery_types: vec![delivery_type.to_owned()], ..Settings::default() },
        };
        self.store().await.add_integration(new).await.expect("added")
    }

    /// An order of today.
    fn order(&self, number: &str, build: impl FnOnce(OrderBuilder) -> OrderBuilder) {
        let now = self.clock.now().to_zoned_datetime(jiff::tz::TimeZone::UTC).strftime("%F %T").to_string();
        let order = an_order().number(number).delivery_type("incity").created_at(&now);
        self.crm.add_order(self.account, build(order));
    }

    async fn change(&mut self, change: impl FnOnce(&mut Integration)) {
        change(&mut self.integration);
        let store = self.store().await;
        store.update_integration(&self.integration).await.expect("changed");
        self.integration = store.integration(self.integration.id).await.expect("read").expect("there");
    }

    /// Registers the module in RetailCRM as the bridge does.
    async fn register(&self, change: impl FnOnce(&mut IntegrationModule)) {
        let public_url = self.config().public_url;
        let status = |code: &str| ModuleStatus { code: code.to_owned(), name: code.to_owned(), ..Default::default() };
        let mut module = IntegrationModule {
            code: "measoft-1".to_owned(),
            integration_code: "measoft".to_owned(),
            active: true,
            client_id: Some(self.integration.secrets.client_id.clone()),
            account_url: Some(format!("{public_url}/retailcrm/account")),
            actions: BTreeMap::from([("activity".to_owned(), "/retailcrm/activity".to_owned())]),
            base_url: Some(public_url),
            integrations: Integrations {
                delivery: Some(DeliveryConfiguration {
                    payer_type: vec![PayerType::Receiver],
                    status_list: STATUSES.iter().map(|(code, _)| status(code)).collect(),
                    settings: Some(ModuleSettings {
                        payment_types: ["cash", "bank-card"]
                            .map(|code| ModulePaymentType { code: code.to_owned(), active: true, cod: true })
                            .to_vec(),
                        statuses: STATUSES.map(|(ours, theirs)| mapping(ours, theirs)).to_vec(),
                        ..Default::default()
                    }),
                    ..Default::default()
                }),
            },
            ..Default::default()
        };
        change(&mut module);
        self.crm_client().edit_module(&module).await.expect("registered");
    }

    fn crm_client(&self) -> impl retailcrm::Crm {
        let allowed = retailcrm::AllowedHosts::parse("127.0.0.1").expect("hosts");
        let url = retailcrm::check(&self.crm.url(), &allowed).expect("url");
        let http = retailcrm::CrmHttp::new().expect("client");
        let (tap, limiter) = (std::sync::Arc::new(retailcrm::NoTap), std::sync::Arc::new(retailcrm::NoLimiter));
        retailcrm::CrmClient::new(http, url, Secret::new(KEY), tap, limiter)
    }

    async fn dead(&self, kind: &str, reason: &str) {
        self.dead_of(kind, reason, "").await;
    }

    async fn dead_of(&self, kind: &str, reason: &str, detail: &str) {
        let dead = NewDeadLetter {
            integration: Some(self.integration.id),
            delivery: None,
            number: Some("1001A".to_owned()),
            kind: kind.to_owned(),
            reason: reason.to_owned(),
            fault: Fault::Courier,
            detail: detail.to_owned(),
            tries: 1,
            command: None,
            raw: None,
        };
        self.store().await.add_dead_letter(&dead).await.expect("buried");
    }

    async fn examine(&self) -> Vec<Finding> {
        examine(None, &self.config(), self.clock.clone(), &Progress::silent())
            .await
            .unwrap_or_else(|_| panic!("failed"))
    }
}

use retailcrm::Crm as _;

fn mapping(ours: &str, theirs: &str) -> StatusMapping {
    StatusMapping { tracking_status_code: ours.to_owned(), code: theirs.to_owned() }
}

fn settings_of(module: &mut IntegrationModule) -> &mut ModuleSettings {
    module.integrations.delivery.as_mut().and_then(|d| d.settings.as_mut()).expect("settings")
}

fn placeholder() -> Integration {
    Integration {
        id: shared::domain::IntegrationId(0),
        title: String::new(),
        crm_url: String::new(),
        crm_proof: None,
        measoft_url: String::new(),
        extra: String::new(),
        login: String::new(),
        prefix: String::new(),
        settings: Settings::default(),
        secrets: shared::domain::Secrets {
            crm_api_key: Secret::new(""),
            password: Secret::new(""),
            delivery_api_key: Secret::new(""),
            client_id: Secret::new(""),
        },
        state: IntegrationState::Active,
        version: 0,
        created_at: Timestamp::UNIX_EPOCH,
    }
}

#[tokio::test]
async fn a_set_up_in_which_nothing_is_wrong_is_said_to_be_well() {
    let stage = Stage::new().await;
    let findings = stage.examine().await;
    let bad: Vec<&Finding> = findings.iter().filter(|f| f.level != Level::Ok).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    for area in ["config", "store", "integration", "clock"] {
        assert!(findings.iter().any(|f| f.area.as_str() == area), "{area} in {findings:#?}");
    }
}

type Break = for<'a> fn(&'a mut Stage) -> LocalBoxFuture<'a, ()>;

struct Case {
    name: &'static str,
    broken: Break,
    level: Level,
    area: &'static str,
    /// Words of the fault and of its remedy.
    what: &'static str,
    remedy: &'static str,
}

const CASES: &[Case] = &[
    Case {
        name: "the RetailCRM key is wrong",
        broken: |s| s.change(|i| i.secrets.crm_api_key = Secret::new("nobody")).boxed_local(),
        level: Level::Error,
        area: "integration",
        what: "does not know the API key",
        remedy: "edit 1 --crm-key",
    },
    Case {
        name: "the RetailCRM key lacks a right",
        broken: |s| {
            s.crm.add_key(s.account, "narrow", None, &SCOPES[..5]);
            s.change(|i| i.secrets.crm_api_key = Secret::new("narrow")).boxed_local()
        },
        level: Level::Error,
        area: "integration",
        what: "lacks rights",
        remedy: "tick",
    },
    Case {
        name: "the RetailCRM key sees one shop",
        broken: |s| {
            s.crm.add_key(s.account, "one-shop", Some(&["main-shop"]), &SCOPES);
            s.change(|i| i.secrets.crm_api_key = Secret::new("one-shop")).boxed_local()
        },
        level: Level::Error,
        area: "integration",
        what: "sees selected shops only (main-shop)",
        remedy: "Access to all shops",
    },
    Case {
        name: "the CRM's host is not allowed",
        broken: |s| {
            s.settings.remove("CRM_ALLOWED_HOSTS");
            async {}.boxed_local()
        },
        level: Level::Error,
        area: "integration",
        what: "is not an address of RetailCRM",
        remedy: "CRM_ALLOWED_HOSTS",
    },
    Case {
        name: "RetailCRM is away",
        broken: |s| async { s.crm.stop().await }.boxed_local(),
        level: Level::Error,
        area: "integration",
        what: "no connection and no answer from RetailCRM",
        remedy: "firewall",
    },
    Case {
        name: "the MeaSoft password is wrong",
        broken: |s| s.change(|i| i.secrets.password = Secret::new("old")).boxed_local(),
        level: Level::Error,
        area: "integration",
        what: "client: refused",
        remedy: "--password-stdin",
    },
    Case {
        name: "MeaSoft is away",
        broken: |s| async { s.measoft.stop().await }.boxed_local(),
        level: Level::Error,
        area: "integration",
        what: "no connection to MeaSoft",
        remedy: "--measoft-url",
    },
    Case {
        name: "a delivery type does not exist",
        broken: |s| s.change(|i| i.settings.delivery_types = vec!["incty".to_owned()]).boxed_local(),
        level: Level::Error,
        area: "integration",
        what: "no delivery type «incty»",
        remedy: "--delivery-type CODE` (incity",
    },
    Case {
        name: "a delivery type is another module's",
        broken: |s| {
            s.crm.add_delivery_type(s.account, "incity", Some("boxberry-3"), &["cash"]);
            async {}.boxed_local()
        },
        level: Level::Error,
        area: "integration",
        what: "tied to the module boxberry-3, not to measoft-1",
        remedy: "choose measoft-1",
    },
    Case {
        name: "no delivery type is tied to the integration",
        broken: |s| {
            s.crm.add_delivery_type(s.account, "incity", None, &["cash"]);
            s.crm.add_delivery_type(s.account, "measoft-1", None, &["cash"]);
            s.change(|i| i.settings.delivery_types.clear()).boxed_local()
        },
        level: Level::Error,
        area: "integration",
        what: "no delivery type of RetailCRM belongs to measoft-1",
        remedy: "--delivery-type CODE",
    },
    Case {
        name: "two integrations have one delivery type",
        broken: |s| async { drop(s.add("incity", "B-").await) }.boxed_local(),
        level: Level::Error,
        area: "integration",
        what: "integration 2 works for the delivery type «incity» too",
        remedy: "trigger-help 1",
    },
    Case {
        name: "the module is not registered",
        broken: |s| {
            s.settings.insert("MODULE_CODE", "courier".to_owned());
            s.crm.add_delivery_type(s.account, "incity", Some("courier-1"), &["cash"]);
            async {}.boxed_local()
        },
        level: Level::Error,
        area: "integration",
        what: "module courier-1 is not registered",
        remedy: "bridge integration register 1",
    },
    Case {
        name: "the module is switched off",
        broken: |s| async { drop(s.crm.activity(s.account, "measoft-1", false, false).await) }.boxed_local(),
        level: Level::Error,
        area: "integration",
        what: "measoft-1 is switched off",
        remedy: "switch it on",
    },
    Case {
        name: "the module is frozen",
        broken: |s| async { drop(s.crm.activity(s.account, "measoft-1", true, true).await) }.boxed_local(),
        level: Level::Error,
        area: "integration",
        what: "frozen",
        remedy: "pay for it",
    },
    Case {
        name: "the module was registered under another address",
        broken: |s| s.register(|m| m.base_url = Some("https://old.example.org".to_owned())).boxed_local(),
        level: Level::Error,
        area: "integration",
        what: "«https://old.example.org», but PUBLIC_URL is http://127.0.0.1:8080",
        remedy: "bridge integration register 1",
    },
    Case {
        name: "RetailCRM knows another clientId",
        broken: |s| s.register(|m| m.client_id = Some(Secret::new("0f0f"))).boxed_local(),
        level: Level::Error,
        area: "integration",
        what: "another clientId",
        remedy: "bridge integration register 1",
    },
    Case {
        name: "an end of delivery has no order status",
        broken: |s| s.register(|m| settings_of(m).statuses = vec![mapping("COMPLETE", "complete")]).boxed_local(),
        level: Level::Warning,
        area: "integration",
        what: "without an order status: PARTIALLY, CANCELED",
        remedy: "«Statuses»",
    },
    Case {
        name: "a mapped order status is gone",
        broken: |s| s.register(|m| settings_of(m).statuses.push(mapping("LOST", "vanished"))).boxed_local(),
        level: Level::Warning,
        area: "integration",
        what: "does not have: vanished",
        remedy: "choose existing ones",
    },
    Case {
        name: "nothing counts as cash on delivery",
        broken: |s| {
            s.crm.add_delivery_type(s.account, "incity", Some("measoft-1"), &[]);
            s.crm.set_module_settings(s.account, "measoft-1", &json!({"paymentTypes": []}));
            async {}.boxed_local()
        },
        level: Level::Warning,
        area: "integration",
        what: "no payment type counts as cash on delivery",
        remedy: "«Cash on delivery»",
    },
    Case {
        name: "the payment status does not exist",
        broken: |s| s.change(|i| i.settings.payment_status = Some("payed".to_owned())).boxed_local(),
        level: Level::Error,
        area: "integration",
        what: "no payment status «payed»",
        remedy: "--payment-status CODE` (",
    },
    Case {
        name: "the payment status does not mean paid",
        broken: |s| s.change(|i| i.settings.payment_status = Some("not-paid".to_owned())).boxed_local(),
        level: Level::Warning,
        area: "integration",
        what: "«not-paid» does not count as paid",
        remedy: "Payment completed",
    },
    Case {
        name: "payment_type_map names an unknown type",
        broken: |s| {
            s.change(|i| {
                i.settings.receive_payment = true;
                i.settings.payment_type_map.insert("CARD".to_owned(), "terminal".to_owned());
            })
            .boxed_local()
        },
        level: Level::Error,
        area: "integration",
        what: "no payment type «terminal», which payment_type_map gives for CARD",
        remedy: "--set payment_type_map.CARD=CODE",
    },
    Case {
        name: "the integration is paused over its credentials",
        broken: |s| {
            let by = PausedBy::Credentials(Fault::Courier);
            s.change(move |i| i.state = IntegrationState::Paused { by, reason: "code 1".to_owned() }).boxed_local()
        },
        level: Level::Error,
        area: "integration",
        what: "paused by courier_credentials and its orders wait: code 1",
        remedy: "--password-stdin",
    },
    Case {
        name: "the courier refused a cancellation",
        broken: |s| s.dead("CancelOrder", "unknown_code").boxed_local(),
        level: Level::Warning,
        area: "integration",
        what: "refused 1 change(s) or cancellation(s) with a code of its own",
        remedy: "Разрешить отмену и изменение заказов",
    },
    Case {
        name: "our setting refused a change",
        broken: |s| {
            async {
                s.change(|i| i.settings.allow_edit_cancel = false).await;
                s.dead("UpdateOrder", "edit_cancel_off").await;
            }
            .boxed_local()
        },
        level: Level::Warning,
        area: "integration",
        what: "because allow_edit_cancel is off",
        remedy: "--set allow_edit_cancel=true",
    },
    Case {
        name: "RetailCRM denied a call for which the key lacks a right",
        broken: |s| {
            let detail =
                "RetailCRM denies payment_delete, for which the API key needs the right order_write: Access denied.";
            s.dead_of("SyncPayments", "crm_scope_missing", detail).boxed_local()
        },
        level: Level::Error,
        area: "integration",
        what: "the API key needs order_write",
        remedy: "tick order_write",
    },
    Case {
        name: "a status code in use that nothing maps",
        broken: |s| {
            async {
                let store = s.store().await;
                let status = NewTracking {
                    integration: s.integration.id,
                    delivery: shared::domain::DeliveryId(1),
                    orderno: "1001A".to_owned(),
                    code: "SOMETHING_NEW".to_owned(),
                    made_at: None,
                    tell_at: None,
                    comment: None,
                    state: TrackingState::Kept,
                    why: Some(UNKNOWN_CODE),
                    seen_at: store.clock.now(),
                };
                let mut tx = store.db.begin().await.expect("begins");
                assert!(tx.add_tracking(&status).await.expect("kept"));
                tx.commit().await.expect("commits");
            }
            .boxed_local()
        },
        level: Level::Warning,
        area: "integration",
        what: "nothing maps, and RetailCRM is not told of them: SOMETHING_NEW",
        remedy: "--set status_map.SOMETHING_NEW=STATUS",
    },
    Case {
        name: "there are open dead letters",
        broken: |s| s.dead("SendOrder", "bad_phone").boxed_local(),
        level: Level::Warning,
        area: "integration",
        what: "1 open dead letter",
        remedy: "bridge dead list --integration 1",
    },
    Case {
        name: "towns that the courier's list does not have",
        broken: |s| {
            async {
                let store = s.store().await;
                let now = store.clock.now();
                let entry = |days: i64, text: &str| {
                    let at = now.checked_sub(Duration::from_secs(days.unsigned_abs() * 86_400)).expect("moment");
                    Entry::new(at, What::Decision, text).about(s.integration.id, "1001A")
                };
                let entries = [
                    entry(1, "the courier's list has no town «Нигде»; placed at MeaSoft as 1, 0.00 to collect"),
                    entry(29, "gave up (town_unclear, shop): Which town [Городов «Калиновка» несколько (две)]"),
                    entry(2, "the courier's list has no town «Нигде»"),
                    entry(31, "the courier's list has no town «Давно»"),
                ];
                store.append_journal(&entries).await.expect("written");
            }
            .boxed_local()
        },
        level: Level::Warning,
        area: "integration",
        what: "2 town(s) of the last 30 days are not in the courier's list, or it is not clear which is meant: «Нигде» (2), «Калиновка» (1)",
        remedy: "ask the courier service",
    },
    Case {
        name: "an order waits for half an hour",
        broken: |s| {
            async {
                let store = s.store().await;
                let since = store.clock.now().checked_sub(Duration::from_secs(1900)).expect("moment");
                let request = OrderRequest {
                    integration: s.integration.id,
                    number: OrderNumber::parse("1001A").expect("number"),
                    order: None,
                    want: RequestKind::Send,
                    declared: None,
                    candidates: Vec::new(),
                    due_at: since,
                    received_at: since,
                    generation: 0,
                    traceparent: None,
                    command_id: "c1".to_owned(),
                };
                store.record_requests(&[request]).await.expect("recorded");
            }
            .boxed_local()
        },
        level: Level::Warning,
        area: "integration",
        what: "1 order(s) wait, the oldest for 31 min",
        remedy: "start a worker",
    },
    Case {
        name: "the clock is five minutes slow",
        broken: |s| {
            let slow = Clock::system().now().checked_sub(Duration::from_secs(300)).expect("moment");
            s.clock = Clock::standing_at(slow);
            async {}.boxed_local()
        },
        level: Level::Error,
        area: "clock",
        what: "s behind MeaSoft's",
        remedy: "set-ntp",
    },
    Case {
        name: "PUBLIC_URL is plain http",
        broken: |s| {
            s.settings.insert("PUBLIC_URL", "http://bridge.example.org".to_owned());
            s.register(|_| {}).boxed_local()
        },
        level: Level::Error,
        area: "config",
        what: "would travel unencrypted",
        remedy: "TLS proxy",
    },
    #[cfg(unix)]
    Case {
        name: "others may read the secret key",
        broken: |s| {
            use std::os::unix::fs::PermissionsExt as _;
            let open = std::fs::Permissions::from_mode(0o644);
            std::fs::set_permissions(s.folder.join("secret.key"), open).expect("permissions");
            async {}.boxed_local()
        },
        level: Level::Error,
        area: "config",
        what: "other users may read the secret key",
        remedy: "chmod 600",
    },
    Case {
        name: "the secret key is another one",
        broken: |s| {
            s.settings.insert("BRIDGE_SECRET_KEY", SecretKey::generate());
            async {}.boxed_local()
        },
        level: Level::Error,
        area: "store",
        what: "written with another key",
        remedy: "from the backup",
    },
    Case {
        name: "the database file is damaged",
        broken: |s| {
            let (broken, other) = (s.folder.join("broken.db"), "not a database at all, but long enough. ".repeat(100));
            std::fs::write(&broken, other).expect("written");
            s.settings.insert("DATABASE_URL", format!("sqlite://{}", broken.display()));
            async {}.boxed_local()
        },
        level: Level::Error,
        area: "store",
        what: "cannot be used",
        remedy: "backup",
    },
    Case {
        name: "PostgreSQL is away",
        broken: |s| {
            s.settings.insert("DATABASE_URL", "postgres://bridge:hunter2@127.0.0.1:1/bridge".to_owned());
            s.settings.insert("BRIDGE_SECRET_KEY", SecretKey::generate());
            async {}.boxed_local()
        },
        level: Level::Error,
        area: "store",
        what: "PostgreSQL cannot be used: the database is not reachable",
        remedy: "DATABASE_URL",
    },
    Case {
        name: "orders are paid by a type that nothing maps",
        broken: |s| {
            s.crm.set_module_settings(s.account, "measoft-1", &json!({"paymentTypes": []}));
            s.crm.add_payment_type(s.account, "kurier", false);
            s.order("7", |order| order.no_payments().payment_of_the_rest("kurier", "not-paid"));
            async {}.boxed_local()
        },
        level: Level::Error,
        area: "integration",
        what: "1 orders of the last 30 days are to be paid by «kurier»",
        remedy: "paytype_map.kurier=CASH",
    },
    Case {
        name: "payments are in a status that nobody explains",
        broken: |s| {
            s.crm.add_payment_status(s.account, "dict-7", false);
            s.order("7", |order| order.no_payments().payment_of_the_rest("cash", "dict-7"));
            async {}.boxed_local()
        },
        level: Level::Warning,
        area: "integration",
        what: "payments in the status «dict-7»",
        remedy: "ended_payment_statuses=dict-7",
    },
    Case {
        name: "goods bear last year's VAT",
        broken: |s| {
            s.order("7", |order| order.item("Стул", 100_000, 1, 500).vat("20"));
            async {}.boxed_local()
        },
        level: Level::Warning,
        area: "integration",
        what: "bear VAT of 20 %",
        remedy: "correct the rate",
    },
    Case {
        name: "a worker leaves the MeaSoft account alone",
        broken: |s| {
            Box::pin(async {
                let account = s.integration.courier_account();
                let address = bridge_worker::vendor::limiter::address_of(&account);
                let held = |name: String| Held {
                    target: BreakerTarget::Account,
                    name,
                    state: BreakerState::Open,
                    until: s.clock.now() + std::time::Duration::from_secs(600),
                    why: "neworder: HTTP status 503".to_owned(),
                };
                let ours = held(format!("{address} courier 8 login shop-demo"));
                let others = held(format!("{address} courier 8 login another"));
                s.store().await.note_breakers("worker-1", &[ours, others]).await.expect("noted");
            })
        },
        level: Level::Warning,
        area: "integration",
        what: "courier 8 login shop-demo failed in a row and is left alone",
        remedy: "its orders wait",
    },
    Case {
        name: "another installation reads the status stream",
        broken: |s| {
            Box::pin(async {
                let store = s.store().await;
                let now = store.clock.now().as_millisecond();
                let batch =
                    "INSERT INTO status_batches (account, stream_id, state, created_at) VALUES ('a', 0, 'sealed', 1)";
                store.db.exec(batch, vec![]).await.expect("a batch");
                for n in 0..3 {
                    let sql = format!(
                        "INSERT INTO status_rows (batch_id, account, order_key, mark, integration_id, state, facts, seq, \
                         due_at, created_at, updated_at) SELECT MAX(id), 'a', '{n}', '{n}', {}, 'done', \
                         '{{\"code\":\"COURIER\"}}', {n}, 0, {now}, {now} FROM status_batches",
                        s.integration.id
                    );
                    store.db.exec(sql, vec![]).await.expect("a row");
                }
            })
        },
        level: Level::Warning,
        area: "integration",
        what: "3 statuses of the last 7 days did not come through the status stream",
        remedy: "--set stream_id=N",
    },
    Case {
        name: "RabbitMQ is away",
        broken: |s| {
            s.settings.insert("AMQP_URL", "amqp://bridge:hunter2@127.0.0.1:1/".to_owned());
            async {}.boxed_local()
        },
        level: Level::Error,
        area: "broker",
        what: "RabbitMQ cannot be reached",
        remedy: "AMQP_URL",
    },
];

#[tokio::test]
async fn every_broken_set_up_is_named_with_its_remedy() {
    let run = |case: &'static Case| async move {
        let mut stage = Stage::new().await;
        (case.broken)(&mut stage).await;
        let findings = stage.examine().await;
        let found = findings.iter().any(|f| {
            (f.level, f.area.as_str()) == (case.level, case.area)
                && f.what.contains(case.what)
                && f.remedy.contains(case.remedy)
        });
        let whole = format!("{findings:?}");
        let leaked = ["secret-demo", "hunter2", KEY].iter().any(|secret| whole.contains(secret));
        (!found || leaked).then(|| format!("{}: {findings:#?}", case.name))
    };
    let results = futures_util::future::join_all(CASES.iter().map(run)).await;
    let failed: Vec<String> = results.into_iter().flatten().collect();
    assert!(failed.is_empty(), "{} of {} failed\n{}", failed.len(), CASES.len(), failed.join("\n"));
    assert!(CASES.len() >= 30);
}

#[tokio::test]
async fn every_finding_that_is_not_ok_says_what_to_do() {
    let mut stage = Stage::new().await;
    stage.change(|i| i.settings.payment_status = Some("payed".to_owned())).await;
    let findings = stage.examine().await;
    for finding in findings {
        assert_eq!(finding.remedy.is_empty(), finding.level == Level::Ok, "{finding:?}");
        let document = finding.document();
        for name in ["level", "area", "integration", "what", "remedy"] {
            assert!(document.get(name).is_some(), "{document}");
        }
    }
}

#[tokio::test]
async fn an_integration_that_does_not_exist_is_an_error_of_the_caller() {
    let stage = Stage::new().await;
    let asked = examine(Some(9), &stage.config(), Clock::system(), &Progress::silent()).await;
    assert!(asked.is_err());
    let asked = examine(Some(1), &stage.config(), Clock::system(), &Progress::silent()).await;
    assert!(asked.is_ok_and(|findings| findings.iter().any(|f| f.integration == Some(1))));
}
