//! Deliberately broken set-ups on real simulators and SQLite. What needs a broker is in
//! `tests/doctor_broker.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use serde_json::json;
use shared::clock::Clock;
use shared::config::{Config, Role, Source};
use shared::crypto::SecretKey;
use shared::domain::{Fault, Integration, IntegrationState, OrderNumber, PausedBy, Secret, Settings};
use shared::phrases::Detail;
use shared::retailcrm::wire::module::{
    DeliveryConfiguration, IntegrationModule, Integrations, ModulePaymentType, ModuleSettings, ModuleStatus,
    StatusMapping,
};
use shared::retailcrm::wire::order::PayerType;
use shared::store::Store;
use shared::store::audit::{Act, NewAudit, Who};
use shared::store::breakers::Held;
use shared::store::dead_letters::NewDeadLetter;
use shared::store::integrations::NewIntegration;
use shared::store::intents::{OrderRequest, RequestKind};
use shared::store::journal::{Entry, What};
use shared::store::tracking_outbox::{NewTracking, TrackingState};
use shared::story::{Event, Silence};
use shared::telemetry::metrics::{BreakerState, BreakerTarget};
use shared::{bootstrap, retailcrm};
use simulators::measoft::{Account, MeasoftSim};
use simulators::retailcrm::{AccountId, OrderBuilder, RetailcrmSim, SCOPES, an_order};

use super::examine;
use super::finding::{Area, Finding, Level};
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

fn config(settings: &BTreeMap<&'static str, String>) -> Config {
    Config::read(Role::Bridge, &Source::from_pairs(settings.clone())).expect("settings")
}

async fn store(config: &Config) -> Store {
    bootstrap::open_store(config, config.load_secret_key().expect("key"), Clock::system()).await.expect("store")
}

async fn add(
    store: &Store,
    measoft: &MeasoftSim,
    crm: &RetailcrmSim,
    delivery_type: &str,
    prefix: &str,
) -> Integration {
    let new = NewIntegration {
        crm_url: crm.url(),
        crm_api_key: Secret::new(KEY),
        measoft_url: measoft.url(),
        extra: "8".to_owned(),
        login: "shop-demo".to_owned(),
        password: Secret::new("secret-demo"),
        prefix: prefix.to_owned(),
        settings: Settings { delivery_types: vec![delivery_type.to_owned()], ..Settings::default() },
        ..NewIntegration::default()
    };
    store.add_integration(new).await.expect("added")
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
        let config = config(&settings);
        config.make_folders().expect("folders");
        let integration = add(&store(&config).await, &measoft, &crm, "incity", "").await;
        let stage = Self { folder, settings, clock: Clock::system(), integration, measoft, crm, account };
        stage.crm.add_delivery_type(account, "incity", Some("measoft-1"), &["cash", "bank-card"]);
        stage.register(|_| {}).await;
        stage
    }

    fn config(&self) -> Config {
        config(&self.settings)
    }

    async fn store(&self) -> Store {
        store(&self.config()).await
    }

    async fn add(&self, delivery_type: &str, prefix: &str) -> Integration {
        add(&self.store().await, &self.measoft, &self.crm, delivery_type, prefix).await
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
                embed_js: None,
            },
            ..Default::default()
        };
        change(&mut module);
        self.crm_client().edit_module(&module).await.expect("registered");
    }

    fn crm_client(&self) -> impl retailcrm::Crm {
        let allowed = retailcrm::AllowedHosts::parse("127.0.0.1").expect("hosts");
        let url = retailcrm::check(&self.crm.url(), &allowed).expect("url");
        let http = retailcrm::CrmHttp::new(&shared::tls::Tls::default()).expect("client");
        let (tap, limiter) = (std::sync::Arc::new(retailcrm::NoObserver), std::sync::Arc::new(retailcrm::NoLimiter));
        retailcrm::CrmClient::new(http, url, Secret::new(KEY), tap, limiter)
    }

    /// A built widget, and what a registration of the module came to.
    async fn widget(&mut self, registered: &str) {
        let folder = self.folder.join("widget");
        std::fs::create_dir_all(&folder).expect("a folder");
        for name in ["widget.js", "widget.js.gz", "widget.css", "widget.css.gz"] {
            std::fs::write(folder.join(name), "").expect("a file");
        }
        self.settings.insert("WIDGET_DIR", folder.display().to_string());
        let who = Who::at_machine(None, "root".to_owned());
        let mut entry = NewAudit::of_integration(&who, Act::Registered, self.integration.id);
        entry.after.insert("widget".to_owned(), json!(registered));
        self.store().await.note_act(&entry).await.expect("noted");
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
            detail: detail.into(),
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

#[tokio::test]
async fn a_set_up_in_which_nothing_is_wrong_is_said_to_be_well() {
    let stage = Stage::new().await;
    let findings = stage.examine().await;
    let bad: Vec<&Finding> = findings.iter().filter(|f| f.level != Level::Ok).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    for area in [Area::Config, Area::Store, Area::Integration, Area::Clock] {
        assert!(findings.iter().any(|f| f.area == area), "{area:?} in {findings:#?}");
    }
}

type Break = for<'a> fn(&'a mut Stage) -> LocalBoxFuture<'a, ()>;

struct Case {
    name: &'static str,
    broken: Break,
    level: Level,
    area: Area,
    /// Words of the fault and of its remedy.
    what: &'static str,
    remedy: &'static str,
}

/// What it is: how bad, in which area, and words of what is said => of the remedy; how it is made.
macro_rules! cases {
    ($($(#[$only:meta])* $name:literal: $level:ident $area:ident $what:literal => $remedy:literal, |$s:ident| $broken:expr;)*) => {
        const CASES: &[Case] = &[$(
            $(#[$only])*
            Case {
                name: $name,
                broken: |$s| async move { $broken; }.boxed_local(),
                level: Level::$level,
                area: Area::$area,
                what: $what,
                remedy: $remedy,
            },
        )*];
    };
}

cases! {
    "the RetailCRM key is wrong": Error Integration "does not know the API key" => "edit 1 --crm-key",
        |s| s.change(|i| i.secrets.crm_api_key = Secret::new("nobody")).await;
    "the RetailCRM key lacks a right": Error Integration "lacks rights" => "tick",
        |s| {
            s.crm.add_key(s.account, "narrow", None, &SCOPES[..5]);
            s.change(|i| i.secrets.crm_api_key = Secret::new("narrow")).await;
        };
    "the RetailCRM key sees one shop": Error Integration
        "sees selected shops only (main-shop)" => "Access to all shops",
        |s| {
            s.crm.add_key(s.account, "one-shop", Some(&["main-shop"]), &SCOPES);
            s.change(|i| i.secrets.crm_api_key = Secret::new("one-shop")).await;
        };
    "the CRM's host is not allowed": Error Integration "is not an address of RetailCRM" => "CRM_ALLOWED_HOSTS",
        |s| { s.settings.remove("CRM_ALLOWED_HOSTS"); };
    "RetailCRM is away": Error Integration "no connection and no answer from RetailCRM" => "firewall",
        |s| s.crm.stop().await;
    "the MeaSoft password is wrong": Error Integration "client: refused" => "--password-stdin",
        |s| s.change(|i| i.secrets.password = Secret::new("old")).await;
    "MeaSoft is away": Error Integration "no connection to MeaSoft" => "--measoft-url",
        |s| s.measoft.stop().await;
    "a delivery type does not exist": Error Integration "no delivery type «incty»" => "--delivery-type CODE` (incity",
        |s| s.change(|i| i.settings.delivery_types = vec!["incty".to_owned()]).await;
    "a delivery type is another module's": Error Integration
        "tied to the module boxberry-3, not to measoft-1" => "choose measoft-1",
        |s| { s.crm.add_delivery_type(s.account, "incity", Some("boxberry-3"), &["cash"]); };
    "no delivery type is tied to the integration": Error Integration
        "no delivery type of RetailCRM belongs to measoft-1" => "--delivery-type CODE",
        |s| {
            s.crm.add_delivery_type(s.account, "incity", None, &["cash"]);
            s.crm.add_delivery_type(s.account, "measoft-1", None, &["cash"]);
            s.change(|i| i.settings.delivery_types.clear()).await;
        };
    "two integrations have one delivery type": Error Integration
        "integration 2 works for the delivery type «incity» too" => "trigger-help 1",
        |s| drop(s.add("incity", "B-").await);
    "the module is not registered": Error Integration
        "module courier-1 is not registered" => "bridge integration register 1",
        |s| {
            s.settings.insert("MODULE_CODE", "courier".to_owned());
            s.crm.add_delivery_type(s.account, "incity", Some("courier-1"), &["cash"]);
        };
    "the widget is not built": Warning Integration "which holds no built widget" => "npm run build",
        |s| drop(s.settings.insert("WIDGET_DIR", "nowhere".to_owned()));
    "RetailCRM refused the widget": Warning Integration "only without its button" => "RetailCRM's support",
        |s| s.widget("refused").await;
    "the module was registered before the widget was built": Warning Integration
        "was registered without its button" => "bridge integration register 1",
        |s| s.widget("without").await;
    "the module is switched off": Error Integration "measoft-1 is switched off" => "switch it on",
        |s| drop(s.crm.activity(s.account, "measoft-1", false, false).await);
    "the module is frozen": Error Integration "frozen" => "pay for it",
        |s| drop(s.crm.activity(s.account, "measoft-1", true, true).await);
    "the module was registered under another address": Error Integration
        "«https://old.example.org», but PUBLIC_URL is http://127.0.0.1:8080" => "bridge integration register 1",
        |s| s.register(|m| m.base_url = Some("https://old.example.org".to_owned())).await;
    "RetailCRM knows another clientId": Error Integration "another clientId" => "bridge integration register 1",
        |s| s.register(|m| m.client_id = Some(Secret::new("0f0f"))).await;
    "an end of delivery has no order status": Warning Integration
        "without an order status: PARTIALLY, CANCELED" => "«Statuses»",
        |s| s.register(|m| settings_of(m).statuses = vec![mapping("COMPLETE", "complete")]).await;
    "a mapped order status is gone": Warning Integration "does not have: vanished" => "choose existing ones",
        |s| s.register(|m| settings_of(m).statuses.push(mapping("LOST", "vanished"))).await;
    "nothing counts as cash on delivery": Warning Integration
        "no payment type counts as cash on delivery" => "«Cash on delivery»",
        |s| {
            s.crm.add_delivery_type(s.account, "incity", Some("measoft-1"), &[]);
            s.crm.set_module_settings(s.account, "measoft-1", &json!({"paymentTypes": []}));
        };
    "the payment status does not exist": Error Integration "no payment status «payed»" => "--payment-status CODE` (",
        |s| s.change(|i| i.settings.payment_status = Some("payed".to_owned())).await;
    "the payment status does not mean paid": Warning Integration
        "«not-paid» does not count as paid" => "Payment completed",
        |s| s.change(|i| i.settings.payment_status = Some("not-paid".to_owned())).await;
    "payment_type_map names an unknown type": Error Integration
        "no payment type «terminal», which payment_type_map gives for CARD" => "--set payment_type_map.CARD=CODE",
        |s| {
            s.change(|i| {
                i.settings.receive_payment = true;
                i.settings.payment_type_map.insert("CARD".to_owned(), "terminal".to_owned());
            }).await;
        };
    "the integration is paused over its credentials": Error Integration
        "paused by courier_credentials and its orders wait: code 1" => "--password-stdin",
        |s| {
            let by = PausedBy::Credentials(Fault::Courier);
            s.change(move |i| i.state = IntegrationState::Paused { by, reason: "code 1".to_owned() }).await;
        };
    "the courier refused a cancellation": Warning Integration
        "refused 1 change(s) or cancellation(s) with a code of its own" => "Разрешить отмену и изменение заказов",
        |s| s.dead("CancelOrder", "unknown_code").await;
    "our setting refused a change": Warning Integration
        "because allow_edit_cancel is off" => "--set allow_edit_cancel=true",
        |s| {
            s.change(|i| i.settings.allow_edit_cancel = false).await;
            s.dead("UpdateOrder", "edit_cancel_off").await;
        };
    "RetailCRM denied a call for which the key lacks a right": Error Integration
        "the API key needs order_write" => "tick order_write",
        |s| {
            let detail =
                "RetailCRM denies payment_delete, for which the API key needs the right order_write: Access denied.";
            s.dead_of("SyncPayments", "crm_scope_missing", detail).await;
        };
    "RetailCRM refuses to notify its users": Warning Integration
        "users of superadmins are not notified in RetailCRM: it denies it" => "allow notifications/send",
        |s| {
            s.change(|i| i.settings.notify_groups = vec!["superadmins".to_owned()]).await;
            let store = s.store().await;
            let mut tx = store.db.begin().await.expect("begins");
            let kept = r#"{"refused": "it denies it"}"#;
            tx.set_cursor("notified:1", kept, store.clock.now()).await.expect("kept");
            tx.commit().await.expect("commits");
        };
    "a status code in use that nothing maps": Warning Integration
        "nothing maps, and RetailCRM is not told of them: SOMETHING_NEW" => "--set status_map.SOMETHING_NEW=STATUS",
        |s| {
            let store = s.store().await;
            let status = NewTracking {
                integration: s.integration.id,
                delivery: shared::domain::DeliveryId(1),
                orderno: "1001A".to_owned(),
                code: "SOMETHING_NEW".to_owned(),
                made_at: None,
                tell_at: None,
                comment: None,
                details: None,
                state: TrackingState::Kept,
                why: Some(Silence::UnknownCode),
                seen_at: store.clock.now(),
            };
            let mut tx = store.db.begin().await.expect("begins");
            assert_eq!(tx.add_tracking(&[status]).await.expect("kept"), 1);
            tx.commit().await.expect("commits");
        };
    "there are open dead letters": Warning Integration "1 open dead letter" => "bridge dead list --integration 1",
        |s| s.dead("SendOrder", "bad_phone").await;
    "towns that the courier's list does not have": Warning Integration
        "2 town(s) of the last 30 days are not in the courier's list, or it is not clear which is meant: «Нигде» (2), «Калиновка» (1)"
        => "ask the courier service",
        |s| {
            let store = s.store().await;
            let now = store.clock.now();
            let entry = |days: i64, story: Vec<Event>| {
                let at = now.checked_sub(Duration::from_secs(days.unsigned_abs() * 86_400)).expect("moment");
                Entry::of(at, What::Decision, story).about(s.integration.id, "1001A")
            };
            let nowhere = |town: &str| Event::NoTown { town: town.to_owned() };
            let several = Detail::SeveralTowns { town: "Калиновка".to_owned(), choices: vec!["две".to_owned()] };
            let entries = [
                entry(1, vec![Event::WhichIsMeant, nowhere("Нигде"), Event::Placed]),
                entry(
                    29,
                    vec![
                        Event::GaveUp { reason: "town_unclear".into(), fault: Fault::Shop },
                        Event::Figures { detail: several.into() },
                    ],
                ),
                entry(2, vec![nowhere("Нигде")]),
                entry(31, vec![nowhere("Давно")]),
            ];
            store.append_journal(&entries).await.expect("written");
        };
    "an order waits for half an hour": Warning Integration
        "1 order(s) wait, the oldest for 31 min" => "start a worker",
        |s| {
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
        };
    "the clock is five minutes slow": Error Clock "s behind MeaSoft's" => "set-ntp",
        |s| {
            let slow = Clock::system().now().checked_sub(Duration::from_secs(300)).expect("moment");
            s.clock = Clock::standing_at(slow);
        };
    "PUBLIC_URL is plain http": Error Config "would travel unencrypted" => "TLS proxy",
        |s| {
            s.settings.insert("PUBLIC_URL", "http://bridge.example.org".to_owned());
            s.register(|_| {}).await;
        };
    #[cfg(unix)]
    "others may read the secret key": Error Config "other users may read the secret key" => "chmod 600",
        |s| {
            use std::os::unix::fs::PermissionsExt as _;
            let open = std::fs::Permissions::from_mode(0o644);
            std::fs::set_permissions(s.folder.join("secret.key"), open).expect("permissions");
        };
    "the secret key is another one": Error Store "written with another key" => "from the backup",
        |s| { s.settings.insert("BRIDGE_SECRET_KEY", SecretKey::generate()); };
    "the database file is damaged": Error Store "cannot be used" => "backup",
        |s| {
            let (broken, other) = (s.folder.join("broken.db"), "not a database at all, but long enough. ".repeat(100));
            std::fs::write(&broken, other).expect("written");
            s.settings.insert("DATABASE_URL", format!("sqlite://{}", broken.display()));
        };
    "PostgreSQL is away": Error Store "PostgreSQL cannot be used: the database is not reachable" => "DATABASE_URL",
        |s| {
            s.settings.insert("DATABASE_URL", "postgres://bridge:hunter2@127.0.0.1:1/bridge".to_owned());
            s.settings.insert("BRIDGE_SECRET_KEY", SecretKey::generate());
        };
    "orders are paid by a type that nothing maps": Error Integration
        "1 orders of the last 30 days are to be paid by «kurier»" => "paytype_map.kurier=CASH",
        |s| {
            s.crm.set_module_settings(s.account, "measoft-1", &json!({"paymentTypes": []}));
            s.crm.add_payment_type(s.account, "kurier", false);
            s.order("7", |order| order.no_payments().payment_of_the_rest("kurier", "not-paid"));
        };
    "payments are in a status that nobody explains": Warning Integration
        "payments in the status «dict-7»" => "ended_payment_statuses=dict-7",
        |s| {
            s.crm.add_payment_status(s.account, "dict-7", false);
            s.order("7", |order| order.no_payments().payment_of_the_rest("cash", "dict-7"));
        };
    "goods bear last year's VAT": Warning Integration "bear VAT of 20 %" => "correct the rate",
        |s| { s.order("7", |order| order.item("Стул", 100_000, 1, 500).vat("20")); };
    "a worker leaves the MeaSoft account alone": Warning Integration
        "courier 8 login shop-demo failed in a row and is left alone" => "its orders wait",
        |s| {
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
        };
    "another installation reads the status stream": Warning Integration
        "3 statuses of the last 7 days did not come through the status stream" => "--set stream_id=N",
        |s| {
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
        };
    "RabbitMQ is away": Error Broker "RabbitMQ cannot be reached" => "AMQP_URL",
        |s| { s.settings.insert("AMQP_URL", "amqp://bridge:hunter2@127.0.0.1:1/".to_owned()); };
}

#[tokio::test]
async fn every_broken_set_up_is_named_with_its_remedy() {
    let run = |case: &'static Case| async move {
        let mut stage = Stage::new().await;
        (case.broken)(&mut stage).await;
        let findings = stage.examine().await;
        let found = findings.iter().any(|f| {
            (f.level, f.area) == (case.level, case.area) && f.what.contains(case.what) && f.remedy.contains(case.remedy)
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
        let document = serde_json::to_value(&finding).expect("JSON");
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
