//! The console on a socket of its own, with something to see on every page.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bridge_worker::order::figures::Field;
use bridge_worker::vendor::held;
use shared::bootstrap::Ctx;
use shared::clock::Clock;
use shared::config::{Config, Role as Process, Source};
use shared::domain::{
    CrmOrderId, Fault, Integration, IntegrationId, IntegrationState, OrderNumber, PausedBy, Secret, Settings,
};
use shared::message::{Command, Envelope};
use shared::phrases::{Detail, Details, Value as _};
use shared::store::Store;
use shared::store::audit::{AuditFilter, Audited, Who};
use shared::store::breakers::Held;
use shared::store::console::{Person, Role};
use shared::store::dead_letters::{DeadFilter, NewDeadLetter};
use shared::store::integrations::NewIntegration;
use shared::store::intents::{OrderRequest, RequestKind};
use shared::store::journal::{Entry, What};
use shared::store::shadow_orders::{Difference, Refusal, ShadowOrder, Side, Verdict};
use shared::story::Event;
use shared::telemetry::metrics::{BreakerState, BreakerTarget};
use simulators::retailcrm::{AccountId, Options as CrmOptions, RetailcrmSim};
use tokio::net::TcpListener;

pub(crate) struct World {
    pub(crate) ctx: Ctx,
    pub(crate) address: SocketAddr,
    pub(crate) http: reqwest::Client,
}

impl Drop for World {
    fn drop(&mut self) {
        self.ctx.stop.cancel();
    }
}

/// Both vendors, and what they know of.
pub(crate) struct Vendors {
    pub(crate) courier: simulators::measoft::MeasoftSim,
    pub(crate) crm: RetailcrmSim,
    pub(crate) account: AccountId,
    pub(crate) integration: Integration,
}

/// An answer as far as it matters.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(&[], Clock::standing_at("2026-09-01T10:00:00Z".parse().expect("a moment"))).await
    }

    /// With both vendors, and an integration that they know.
    pub(crate) async fn with_vendors(change: impl FnOnce(&mut Settings)) -> (Self, Vendors) {
        let mut cabinet = simulators::measoft::Account::new("8", "shop-demo", "planted-password");
        cabinet.sync_after_ms = Some(0);
        let options = simulators::measoft::Options {
            accounts: vec![cabinet],
            enforcement: simulators::measoft::Enforcement::Off,
            ..simulators::measoft::Options::default()
        };
        let courier = simulators::measoft::MeasoftSim::start(options).await.expect("the courier's simulator");
        let crm = RetailcrmSim::start(CrmOptions::default()).await.expect("the CRM's simulator");
        let account = crm.add_account("planted-crm-key");
        let env = [("CRM_ALLOWED_HOSTS", "127.0.0.1"), ("CRM_RPS", "1000"), ("MEASOFT_PER_MINUTE", "100000")];
        let world = Self::with(&env, Clock::standing_at("2026-09-01T10:00:00Z".parse().expect("a moment"))).await;
        let mut settings = Settings { delivery_types: vec!["incity".to_owned()], ..Settings::default() };
        change(&mut settings);
        let new = NewIntegration {
            title: "Город".to_owned(),
            crm_url: crm.url(),
            crm_api_key: Secret::new("planted-crm-key"),
            measoft_url: courier.url(),
            extra: "8".to_owned(),
            login: "shop-demo".to_owned(),
            password: Secret::new("planted-password"),
            settings,
            ..NewIntegration::default()
        };
        let integration = world.store().add_integration(new).await.expect("an integration");
        let code = integration.code(&world.ctx.config.module_code);
        crm.add_delivery_type(account, "incity", Some(&code), &["cash", "bank-card"]);
        (world, Vendors { courier, crm, account, integration })
    }

    pub(crate) async fn with(env: &[(&str, &str)], clock: Clock) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.expect("a port"), env, clock).await
    }

    pub(crate) async fn on(listener: TcpListener, env: &[(&str, &str)], clock: Clock) -> Self {
        Self::over(listener, env, Store::in_memory(clock).await).await
    }

    pub(crate) async fn over(listener: TcpListener, env: &[(&str, &str)], store: Store) -> Self {
        let address = listener.local_addr().expect("an address");
        let config = Config::read(Process::Bridge, &Source::from_pairs(env.iter().copied())).expect("good settings");
        let ctx = Ctx::new(Arc::new(config), store);
        let served = ctx.clone();
        tokio::spawn(async move { bridge_console::run_on(&served, listener).await });
        let http = simulators::http().redirect(reqwest::redirect::Policy::none());
        let http = http.timeout(Duration::from_secs(20)).build().expect("a client");
        Self { ctx, address, http }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.ctx.store
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// As the command makes it.
    pub(crate) async fn link(&self, name: &str, role: Role) -> Secret {
        let who = Who::at_machine(Some(name.to_owned()), "root".to_owned());
        let person = Person { name: name.to_owned(), os_user: Some("root".to_owned()), role };
        self.store().make_console_link(&person, &who).await.expect("a link")
    }

    /// The cookie of somebody who came by a one-time address.
    pub(crate) async fn session(&self, name: &str, role: Role) -> String {
        let link = self.link(name, role).await;
        let entered = self.post("/enter", None, &[("link", link.expose())]).await;
        assert_eq!((entered.status, entered.header("location")), (303, "/"), "{entered:?}");
        entered.header("set-cookie").split(';').next().expect("a cookie").to_owned()
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let answer = request.send().await.expect("an answer");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = String::from_utf8(answer.bytes().await.expect("a body").to_vec()).expect("text");
        Answer { status, headers, body }
    }

    pub(crate) fn request(&self, method: &str, path: &str, cookie: Option<&str>) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let request = self.http.request(method, self.url(path));
        match cookie {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str, cookie: Option<&str>) -> Answer {
        self.send(self.request("GET", path, cookie)).await
    }

    /// As a browser sends a form of this site.
    pub(crate) fn form(&self, path: &str, cookie: Option<&str>, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let origin = format!("http://{}", self.address);
        self.request("POST", path, cookie).header("origin", origin).form(fields)
    }

    pub(crate) async fn post(&self, path: &str, cookie: Option<&str>, fields: &[(&str, &str)]) -> Answer {
        self.send(self.form(path, cookie, fields)).await
    }

    /// The token of a person's forms, read from a page.
    pub(crate) async fn token(&self, cookie: &str) -> String {
        let page = self.get("/audit", Some(cookie)).await.body;
        let at = page.find("name=\"token\" value=\"").expect("a form on the page") + "name=\"token\" value=\"".len();
        page[at..].split('"').next().expect("a value").to_owned()
    }

    /// A form that is as it should be.
    pub(crate) async fn act(&self, path: &str, cookie: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.token(cookie).await;
        let fields: Vec<(&str, &str)> = [("token", token.as_str())].into_iter().chain(fields.iter().copied()).collect();
        self.post(path, Some(cookie), &fields).await
    }

    /// A page that tells how an errand is, once it is over.
    pub(crate) async fn ended(&self, path: &str, cookie: &str) -> String {
        for _ in 0..20 {
            let page = self.get(path, Some(cookie)).await.body;
            if !page.contains("Выполняется.") {
                return page;
            }
        }
        panic!("{path} never ends");
    }

    /// Acts, the newest first.
    pub(crate) async fn audit(&self) -> Vec<Audited> {
        self.store().audit(&AuditFilter { limit: 200, ..AuditFilter::default() }).await.expect("listed")
    }

    pub(crate) async fn add_integration(&self, title: &str, extra: &str) -> Integration {
        let new = NewIntegration {
            title: title.to_owned(),
            crm_url: format!("https://shop-{extra}.retailcrm.example"),
            crm_api_key: Secret::new("planted-crm-key"),
            measoft_url: "https://courier.example/api/".to_owned(),
            extra: extra.to_owned(),
            login: "shop".to_owned(),
            password: Secret::new("planted-password"),
            settings: Settings { delivery_types: vec!["courier".to_owned()], ..Settings::default() },
            ..NewIntegration::default()
        };
        self.store().add_integration(new).await.expect("an integration")
    }

    pub(crate) async fn add_letter(&self, of: &Integration, number: &str, reason: &str, fault: Fault) -> i64 {
        self.add_letter_of(Some(of.id), number, reason, fault).await
    }

    pub(crate) async fn add_letter_of(
        &self,
        integration: Option<IntegrationId>,
        number: &str,
        reason: &str,
        fault: Fault,
    ) -> i64 {
        let number = OrderNumber::parse(number).expect("a number");
        let envelope = Envelope::new(Command::SyncStatuses {}, integration, self.ctx.clock.now());
        let dead = NewDeadLetter {
            integration,
            delivery: None,
            number: Some(number.as_str().to_owned()),
            kind: "SendOrder".to_owned(),
            reason: reason.to_owned(),
            fault,
            detail: Detail::some().into(),
            tries: 1,
            command: serde_json::to_string(&envelope).ok(),
            raw: None,
        };
        self.store().add_dead_letter(&dead).await.expect("a letter")
    }

    pub(crate) async fn want(&self, of: &Integration, number: &str, due_in: Duration) {
        let now = self.ctx.clock.now();
        let request = OrderRequest {
            integration: of.id,
            number: OrderNumber::parse(number).expect("a number"),
            order: None,
            want: RequestKind::Send,
            declared: None,
            candidates: Vec::new(),
            due_at: now + due_in,
            received_at: now,
            generation: 0,
            traceparent: None,
            command_id: format!("command {number}"),
        };
        self.store().record_requests(&[request]).await.expect("recorded");
    }

    /// Something on every page: two shops, one of them paused; failures, orders that wait, a story.
    pub(crate) async fn filled(&self, first: &str, second: &str) -> (Integration, Integration) {
        let (city, region) = (self.add_integration(first, "8").await, self.add_integration(second, "12").await);
        for number in ["1001A", "1002A", "1003A"] {
            self.add_letter(&city, number, "bad_phone", Fault::Shop).await;
        }
        self.add_letter(&city, "1004A", "town_unclear", Fault::Shop).await;
        self.add_letter(&region, "2001", "auth_failed", Fault::Courier).await;
        self.want(&city, "1005A", Duration::from_secs(300)).await;
        self.want(&city, "1006A", Duration::ZERO).await;
        self.want(&region, "2002", Duration::from_secs(60)).await;
        let by_hand = IntegrationState::Paused { by: PausedBy::Operator, reason: second.to_owned() };
        let who = Who::at_machine(Some(first.to_owned()), "root".to_owned());
        self.store().set_integration_state_by(&who, region.id, &by_hand).await.expect("paused");
        let until = self.ctx.clock.now() + Duration::from_secs(90);
        let account = Held {
            target: BreakerTarget::Account,
            name: held::named(&city.courier_account()),
            state: BreakerState::Open,
            until,
            why: "no answer within 20 s".to_owned(),
        };
        self.store().note_breakers("worker", &[account]).await.expect("noted");
        let unclear = DeadFilter { reason: Some("town_unclear".to_owned()), ..DeadFilter::default() };
        self.store().plan_replay(&unclear, 60, false, &who).await.expect("planned");
        self.story(&city).await;
        self.shadow(&city).await;
        (city, region)
    }

    /// What a shadow found of some orders: one of each verdict.
    async fn shadow(&self, of: &Integration) {
        let row = |(n, verdict): (i64, Verdict)| {
            let (order, number) = (Some(CrmOrderId(900 + n)), format!("30{n}"));
            let mut row = ShadowOrder::new(of.id, order, &number, Side::Shadow, self.ctx.clock.now());
            row.verdict = verdict;
            let refusal = Refusal { reason: "bad_phone".to_owned(), fault: Fault::Shop, detail: Details::NONE };
            row.content.refusal = Some(refusal).filter(|_| verdict == Verdict::Refused);
            let value = |text: &str| Some(text.to_owned());
            let differs = |field: &str| Difference { field: field.to_owned(), ours: value("1"), theirs: value("2") };
            if verdict == Verdict::Different {
                row.content.differences = Field::ALL.iter().map(|field| differs(field.as_str())).collect();
            }
            row
        };
        let rows: Vec<ShadowOrder> = (0..).zip(Verdict::ALL).map(row).collect();
        self.store().choose_sides(&rows).await.expect("kept");
    }

    /// An order that was placed, with the exchanges that led there.
    async fn story(&self, of: &Integration) {
        let now = self.ctx.clock.now();
        let mut tx = self.store().db.begin().await.expect("begins");
        let row = format!(
            "INSERT INTO deliveries (integration_id, crm_order_id, number, orderno, state, status, price, created_at, updated_at) \
             VALUES ({}, 77, '1007A', '1007A', 'in_work', 'DELIVERY', 379000, {at}, {at})",
            of.id,
            at = now.as_millisecond() - 7_200_000
        );
        tx.exec(row, vec![]).await.expect("written");
        let call = |vendor, op: &str, outcome: &str, request: &str, response: &str| {
            let mut entry = Entry::of(now, What::Call, Vec::new()).about(of.id, "1007A").outcome(outcome);
            (entry.vendor, entry.op) = (Some(vendor), Some(op.to_owned()));
            (entry.request, entry.response) = (Some(request.to_owned()), Some(response.to_owned()));
            entry.duration = Some(Duration::from_millis(240));
            entry
        };
        // Whatever can happen to an order, and last of all what its page is tried with.
        let some = Event::some().into_iter().map(|one| Entry::new(now, What::Decision, one).about(of.id, "1007A"));
        for entry in some.chain([
            Entry::new(now, What::Trigger, Event::SendAsked).about(of.id, "1007A"),
            call(
                "retailcrm",
                "orders",
                "ok",
                "GET /api/v5/orders?filter[numbers][]=1007A",
                "{\"success\":true,\"orders\":[]}",
            ),
            call("measoft", "neworder", "transient", "<neworder><order orderno=\"1007A\"/></neworder>", "[no answer]"),
            call(
                "measoft",
                "neworder",
                "ok",
                "<neworder><order orderno=\"1007A\"/></neworder>",
                "<neworder><ok/></neworder>",
            ),
            Entry::new(now, What::Decision, Event::Placed).about(of.id, "1007A").outcome("done"),
        ]) {
            tx.append_journal(&entry).await.expect("written");
        }
        tx.commit().await.expect("committed");
    }
}

/// This machine.
pub(crate) const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
