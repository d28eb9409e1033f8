//! The order card's widget: its endpoints as RetailCRM calls them, and itself in RetailCRM's own
//! sandbox for extensions under Chromium, with ingress and a worker behind it.

mod installation;

use std::path::PathBuf;

use axum::Router;
use axum::body::Body;
use axum::http::{StatusCode, Uri, header};
use axum::response::Response;
use harness::browser::{Browser, Look, key};
use installation::{Installation, Plan};
use serde_json::{Value, json};
use shared::domain::Settings;
use shared::message::{Command, Envelope};
use shared::store::audit::{Act, AuditFilter};
use shared::store::dead_letters::DeadFilter;
use simulators::retailcrm::{Answer, an_order};
use tokio::net::TcpListener;

/// What a browser loads of it, packed, bytes.
const LIMIT: u64 = 60_000;

fn widget() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("widget")
}

/// # Panics
/// Without a build: a widget that nobody has seen must not count as seen.
fn built() -> PathBuf {
    let folder = widget().join("dist");
    assert!(
        shared::widget::is_built(&folder),
        "the widget is not built: ./tests/run does it, or `npm ci && npm run build` in ingress/widget"
    );
    folder
}

async fn shop() -> Installation {
    shop_with(Vec::new()).await
}

async fn shop_with(mut env: Vec<(&'static str, String)>) -> Installation {
    let settings = Settings { delivery_types: vec!["incity".into()], ..Settings::default() };
    env.push(("WIDGET_DIR", built().to_str().expect("utf-8").to_owned()));
    Installation::of(Plan { settings, env, ..Plan::default() }).await
}

impl Installation {
    /// What the widget gets when it asks through RetailCRM.
    async fn asks(&self, what: &str, payload: &Value) -> Answer {
        let path = format!("/retailcrm/widget/{what}");
        let module = self.module();
        self.crm.http_call(self.account, &module, &path, Some(&payload.to_string())).await.expect("an answer")
    }

    async fn card(&self, order: i64) -> Value {
        let answer = self.asks("order", &json!({"order": order, "language": "ru-RU"})).await;
        let body = answer.json();
        assert_eq!(body["success"], true, "{body}");
        body["result"].clone()
    }

    async fn button(&self, order: i64) -> String {
        self.card(order).await["button"].as_str().expect("a text").to_owned()
    }

    /// An order that gave up: it has no phone.
    async fn failed(&self, number: &str) -> i64 {
        let order = self.add_order(an_order().number(number).delivery_type("incity").text("phone", "нет"));
        self.crm.save(self.account, order).await.expect("answered");
        self.at_rest().await;
        order
    }

    /// Has MeaSoft's statuses fetched, as the scheduler does.
    async fn sync(&self) {
        let now = self.ctx.store.clock.now();
        let command = Envelope::new(Command::SyncStatuses {}, Some(self.integration.id), now);
        self.queue.publisher.publish(command).await.expect("published");
        self.until("the status is known", async || {
            let all = self.ctx.store.deliveries_by_number("D-1", None).await.expect("read");
            all[0].status.as_deref() == Some("DELIVERY")
        })
        .await;
    }

    async fn saved(&self, number: &str) -> i64 {
        let order = self.plain_order(number);
        self.save(order).await;
        self.at_rest().await;
        order
    }
}

fn is_refused(answer: &Answer, status: u16) {
    let body = answer.json();
    assert_eq!((answer.status, &body["success"]), (status, &json!(false)), "{body}");
    assert!(body["errorMsg"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
}

#[test]
fn what_a_browser_loads_stays_small() {
    let size = |name: &str| std::fs::metadata(built().join(name)).expect("a file").len();
    let all = size("widget.js.gz") + size("widget.css.gz");
    assert!(all <= LIMIT, "{all} bytes, packed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_acts_once_is_noted_under_the_client_and_ends_in_success() {
    let world = shop().await;
    let order = world.failed("A-77").await;
    let card = world.card(order).await;
    assert_eq!((&card["button"], &card["tone"]), (&json!("Доставка MeaSoft: ошибка (1)"), &json!("bad")));
    let failure = &card["failures"][0];
    assert!(failure["nextStep"].as_str().is_some_and(|text| !text.is_empty()), "{failure}");
    world.crm.edit(world.account, order, |draft| draft.set_text("phone", "+7 916 222-33-44"));

    let letter = &failure["id"];
    let again = world.asks("retry", &json!({"letter": letter, "language": "ru"})).await.json();
    assert!(again["result"]["said"].as_str().expect("words").starts_with("Команда отправлена"), "{again}");
    let replayed = world.asks("retry", &json!({"letter": letter, "language": "ru"})).await.json();
    assert!(replayed["result"]["said"].as_str().expect("words").contains("уже закрыта"), "{replayed}");

    world.until("it is placed", async || world.courier.order("A-77").is_some()).await;
    world.at_rest().await;
    assert_eq!(world.button(order).await, "Доставка MeaSoft: принят");
    assert_eq!(world.writes().0, 1, "one order at MeaSoft");
    let noted = AuditFilter { act: Some(Act::Replayed), limit: 9, ..AuditFilter::default() };
    let noted = world.ctx.store.audit(&noted).await.expect("read");
    assert_eq!(noted.len(), 1, "{noted:?}");
    assert_eq!(noted[0].who, format!("manager of integration {}", world.integration.id));
    let story = world.asks("story", &json!({"order": order, "language": "ru-RU"})).await.json();
    assert!(story["result"].as_array().is_some_and(|told| !told.is_empty()), "{story}");
    for personal in ["9162223344", "222-33-44", "pass-demo", "crm-key", world.client_id()] {
        assert!(!story.to_string().contains(personal), "{personal} in {story}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_brings_a_status_once_for_what_was_seen_and_leaves_what_a_dispatcher_changed() {
    let world = shop().await;
    let order = world.saved("B-1").await;
    assert!(world.courier.set_payment("B-1", "CARD", 12_300));
    let asked = async |world: &Installation| {
        let looked = world.courier.count("statusreq");
        let ask = json!({"order": order, "seen": world.card(order).await["ask"], "language": "ru"});
        let first = world.asks("ask", &ask).await.json();
        assert!(first["result"]["said"].as_str().expect("words").starts_with("Запрос отправлен"), "{first}");
        for _ in 0..3 {
            let again = world.asks("ask", &ask).await.json();
            assert!(again["result"]["said"].as_str().expect("words").starts_with("Запрос уже отправлен"), "{again}");
        }
        world.until("MeaSoft is asked", async || world.courier.count("statusreq") > looked).await;
        world.at_rest().await;
    };
    asked(&world).await;
    assert!(world.courier.set_status("B-1", "DELIVERY", jiff::Timestamp::now()));
    asked(&world).await;
    world.until("it is shown", async || world.button(order).await == "Доставка MeaSoft: в пути").await;
    assert_eq!(world.writes(), (1, 0, 0), "asking changes nothing at MeaSoft");
    let there = world.courier.order("B-1").expect("there");
    assert_eq!((there.paytype.as_str(), there.price_kopecks), ("CARD", 12_300));
    let noted = AuditFilter { act: Some(Act::Asked), limit: 9, ..AuditFilter::default() };
    assert_eq!(world.ctx.store.audit(&noted).await.expect("read").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_reads_and_changes_what_is_its_own_and_nothing_else() {
    let world = shop().await;
    let order = world.failed("A-77").await;
    let letters = world.ctx.store.dead_letters(&DeadFilter::default()).await.expect("read");
    let letter = letters[0].id;
    let neighbour = world.neighbour().await;
    let client = neighbour.secrets.client_id.expose().to_owned();
    world
        .until("its key is known", async || {
            let sent = json!({"order": order}).to_string();
            let fields = [("clientId", client.as_str()), ("payload", sent.as_str())];
            world.crm.post(&format!("{}/retailcrm/widget/order", world.url()), &fields).await.expect("answered").status
                == 200
        })
        .await;
    let as_neighbour = async |what: &str, payload: Value| {
        let sent = payload.to_string();
        let fields = [("clientId", client.as_str()), ("payload", sent.as_str())];
        world.crm.post(&format!("{}/retailcrm/widget/{what}", world.url()), &fields).await.expect("answered")
    };
    let card = as_neighbour("order", json!({"order": order, "number": "A-77", "language": "ru"})).await.json();
    assert_eq!(card["result"]["button"], "Доставка MeaSoft: не передавался", "as an order that nobody knows");
    assert_eq!((&card["result"]["failures"], &card["result"]["facts"]), (&json!([]), &json!([])));
    let story = as_neighbour("story", json!({"order": order, "number": "A-77"})).await.json();
    assert_eq!(story["result"], json!([]));
    assert_eq!(as_neighbour("failures", json!({})).await.json()["result"]["failures"], json!([]));
    is_refused(&as_neighbour("retry", json!({"letter": letter})).await, 404);
    is_refused(&as_neighbour("ask", json!({"order": order, "seen": 1})).await, 404);
    assert_eq!(world.button(order).await, "Доставка MeaSoft: ошибка (1)", "nothing happened");

    let stranger = [("clientId", "of nobody"), ("payload", "{}")];
    for what in ["order", "story", "failures", "retry", "ask"] {
        let url = format!("{}/retailcrm/widget/{what}", world.url());
        is_refused(&world.crm.post(&url, &stranger).await.expect("answered"), 403);
    }
    let mine = |payload| [("clientId", world.client_id()), ("payload", payload)];
    let at = |what: &str| format!("{}/retailcrm/widget/{what}", world.url());
    is_refused(&world.crm.post(&at("order"), &mine("no JSON")).await.expect("answered"), 400);
    is_refused(&world.crm.post(&at("order"), &mine("{}")).await.expect("answered"), 400);
    is_refused(&world.crm.post(&at("nothing"), &mine("{}")).await.expect("answered"), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_floods_is_held_back_and_others_are_served() {
    let world = shop().await;
    let order = world.saved("B-1").await;
    let neighbour = world.neighbour().await;
    world
        .until("its key is known", async || {
            let fields = [("clientId", neighbour.secrets.client_id.expose()), ("payload", "{}")];
            let url = format!("{}/retailcrm/widget/failures", world.url());
            world.crm.post(&url, &fields).await.expect("answered").status == 200
        })
        .await;
    let sent = json!({"order": order}).to_string();
    let url = format!("{}/retailcrm/widget/order", world.url());
    let mine = [("clientId", world.client_id()), ("payload", sent.as_str())];
    let theirs = [("clientId", neighbour.secrets.client_id.expose()), ("payload", sent.as_str())];
    let meanwhile = async {
        for _ in 0..20 {
            assert_eq!(world.crm.post(&url, &theirs).await.expect("answered").status, 200);
        }
    };
    let flood = futures_util::future::join_all((0..1000).map(|_| world.crm.post(&url, &mine)));
    let (flood, ()) = tokio::join!(flood, meanwhile);
    let count = |status| flood.iter().filter(|answer| answer.as_ref().expect("answered").status == status).count();
    let (served, held) = (count(200), count(429));
    assert_eq!(served + held, 1000);
    assert!((120..500).contains(&served), "{served} of 1000 at once");
    // Whoever shows a key is no failure of its address: RetailCRM's is that of all shops.
    let stranger = [("clientId", "of nobody"), ("payload", "{}")];
    is_refused(&world.crm.post(&url, &stranger).await.expect("answered"), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_flood_are_held_back_and_a_known_client_of_their_address_is_served() {
    let world = shop().await;
    let order = world.saved("B-1").await;
    let sent = json!({"order": order}).to_string();
    let url = format!("{}/retailcrm/widget/order", world.url());
    let stranger = [("clientId", "of nobody"), ("payload", sent.as_str())];
    let mine = [("clientId", world.client_id()), ("payload", sent.as_str())];
    let flood = futures_util::future::join_all((0..1000).map(|_| world.crm.post(&url, &stranger)));
    let meanwhile = async {
        for _ in 0..20 {
            assert_eq!(world.crm.post(&url, &mine).await.expect("answered").status, 200);
        }
    };
    let (flood, ()) = tokio::join!(flood, meanwhile);
    let count = |status| flood.iter().filter(|answer| answer.as_ref().expect("answered").status == status).count();
    let (unknown, held) = (count(403), count(429));
    assert_eq!(unknown + held, 1000);
    assert!(held > 0, "none of {unknown} was held back");
    assert_eq!(world.crm.post(&url, &mine).await.expect("answered").status, 200, "afterwards too");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_known_client_asks_wrongly_is_no_failure_of_the_address_of_all() {
    let world = shop().await;
    let url = format!("{}/retailcrm/callback/nothing", world.url());
    let mine = [("clientId", world.client_id())];
    // More than an address may fail at once, and is forgiven meanwhile.
    let looping = futures_util::future::join_all((0..1500).map(|_| world.crm.post(&url, &mine))).await;
    for answer in looping {
        is_refused(&answer.expect("answered"), 404);
    }
    is_refused(&world.asks("retry", &json!({"letter": 99})).await, 404);
    let stranger = [("clientId", "of nobody")];
    is_refused(&world.crm.post(&url, &stranger).await.expect("answered"), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_loaded_is_given_to_retailcrm_s_pages_packed_and_not_twice() {
    let world = shop().await;
    let http = reqwest::Client::builder().no_proxy().no_gzip().build().expect("a client");
    let at = |rest: &str| format!("{}/retailcrm/extension/measoft{rest}", world.url());
    let page = http.get(at("")).header("origin", world.crm.url()).send().await.expect("answered");
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    assert_eq!(page.headers()["access-control-allow-origin"], world.crm.url().as_str());
    assert_eq!(page.headers()["access-control-allow-credentials"], "true");
    assert!(page.text().await.expect("text").contains("<script type=\"module\" src=\"measoft/script\">"));
    let style = http.head(at("/stylesheet")).send().await.expect("answered");
    assert_eq!(
        (style.status().as_u16(), &style.headers()["content-type"]),
        (200, &"text/css; charset=utf-8".parse().expect("a value"))
    );
    let script = http.get(at("/script")).header("accept-encoding", "gzip").send().await.expect("answered");
    assert_eq!(script.headers()["content-encoding"], "gzip");
    let mark = script.headers()["etag"].clone();
    let again = http.get(at("/script")).header("if-none-match", mark).send().await.expect("answered");
    assert_eq!(again.status().as_u16(), 304);
    for stranger in ["https://evil.example", "null", "https://retailcrm.ru.evil.example"] {
        let page = http.get(at("")).header("origin", stranger).send().await.expect("answered");
        assert!(!page.headers().contains_key("access-control-allow-origin"), "{stranger}");
    }
    let outside = http.get(at("/..%2f..%2fsecret.key")).send().await.expect("answered");
    assert!(outside.status().is_client_error());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_build_or_the_right_to_it_the_module_is_registered_without_a_widget() {
    let embed = |world: &Installation| {
        world.crm.module(world.account, &world.module()).expect("registered")["integrations"]["embedJs"].clone()
    };
    let without = Installation::new().await;
    assert_eq!((without.register().await.widget.as_str(), embed(&without)), ("without", Value::Null));
    let at = format!("{}/retailcrm/extension/measoft", without.url());
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    assert_eq!(http.get(at).send().await.expect("answered").status().as_u16(), 404);

    let world = shop().await;
    assert_eq!(embed(&world)["targets"], json!(["order/card:delivery.after", "order/mg:delivery.after"]));
    assert_eq!(embed(&world)["entrypoint"], format!("{}/retailcrm/extension/measoft/script", world.url()));
    world.crm.configure(|options| options.embed_js = false);
    let registered = world.register().await;
    assert_eq!(registered.widget.as_str(), "refused");
    assert!(!registered.first_time, "the module itself is there");
}

/// RetailCRM's sandbox for extensions, as its package serves it: files, and its page for the rest.
async fn sandbox() -> String {
    let folder = widget().join("node_modules/@retailcrm/embed-ui-v1-sandbox/dist/app");
    assert!(folder.join("index.html").is_file(), "./tests/run installs it (`npm ci` in ingress/widget)");
    let serve = move |uri: Uri| async move {
        let name = uri.path().trim_start_matches('/');
        let name = if name.is_empty() || name.contains("..") { "index.html" } else { name };
        let kind = match name.rsplit('.').next() {
            Some("js") => "text/javascript",
            Some("css") => "text/css",
            Some("svg") => "image/svg+xml",
            _ => "text/html; charset=utf-8",
        };
        let (status, body) = match std::fs::read(folder.join(name)) {
            Ok(bytes) => (StatusCode::OK, bytes),
            Err(_) => (StatusCode::NOT_FOUND, Vec::new()),
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, kind.parse().expect("a media type"));
        response
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(serve)).await });
    url
}

fn pictures() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("screenshots")
}

/// A manager's browser in the sandbox.
struct Card<'a> {
    world: &'a Installation,
    browser: Browser,
    sandbox: String,
}

impl<'a> Card<'a> {
    async fn of(world: &'a Installation) -> Self {
        Self { world, browser: Browser::open(Look { width: 1400, ..Look::default() }).await, sandbox: sandbox().await }
    }

    /// Opens the sandbox, which posts what a widget asks to RetailCRM's simulator.
    async fn open(&self, mode: &str) {
        let extension = format!("{}/retailcrm/extension/measoft", self.world.url());
        let calls =
            format!("{}/embed/{}/{}/extension/x", self.world.crm.url(), self.world.account.0, self.world.module());
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("manifestUrl", &extension)
            .append_pair("extensionUrl", &calls)
            .append_pair("mode", mode)
            .append_pair("pageCode", "measoft-failures")
            .append_pair("targets", "order/card:delivery.after")
            .append_pair("fixture", "order-with-delivery")
            .finish();
        self.browser.go(&format!("{}/?{query}", self.sandbox)).await;
    }

    /// How often the widget asked since the page was opened.
    async fn calls(&self) -> i64 {
        let count = "performance.getEntriesByType('resource').filter(e => e.name.includes('/embed/')).length";
        self.browser.measure(count).await.as_i64().expect("a number")
    }

    /// Has another order open, in another language, as the sandbox's own panel does.
    async fn show(&self, order: i64, number: &str, locale: &str) {
        self.open("widget").await;
        self.browser.shows("MeaSoft").await;
        self.browser.press("[aria-controls$=sandbox-dev-panel-drawer]").await;
        let editor = "document.querySelector('textarea[id*=context-json]')";
        let change = format!(
            "(() => {{ const area = {editor}; const all = JSON.parse(area.value); \
             Object.assign(all['order/card'], {{ id: {order}, number: '{number}' }}); \
             all.settings['system.locale'] = '{locale}'; area.value = JSON.stringify(all); \
             area.dispatchEvent(new Event('input', {{ bubbles: true }})); }})()"
        );
        self.browser.element("textarea[id*=context-json]").await;
        self.browser.measure(&change).await;
        self.browser.press_words("Применить контекст").await;
        // It opens its panel once more when it has begun anew.
        self.browser.shows(if locale == "ru-RU" { "Изменён вручную" } else { "Changed manually" }).await;
        self.browser.keys(&key::ESCAPE.to_string()).await;
    }

    async fn picture(&self, name: &str) {
        self.browser.screenshot(&pictures(), &format!("card-{name}")).await;
    }
}

/// The day after today in the zone that moments are shown in.
fn tomorrow() -> String {
    let now = jiff::Timestamp::now().in_tz("Europe/Moscow").expect("a zone");
    now.date().tomorrow().expect("a day").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_sees_in_the_card_how_a_delivery_is_and_mends_it_there() {
    let world = shop().await;
    let failed = world.failed("A-77").await;
    world.failed("A-78").await;
    let due = an_order().number("D-1").delivery_type("incity").delivery_at(&tomorrow(), "10:00", "18:00");
    let going = world.add_order(due);
    world.save(going).await;
    world.at_rest().await;
    assert!(world.courier.set_status("D-1", "DELIVERY", jiff::Timestamp::now()));
    world.sync().await;
    let card = Card::of(&world).await;

    card.open("widget").await;
    card.browser.shows("Доставка MeaSoft: не передавался").await;
    assert_eq!(card.calls().await, 1, "one question before the button is there");
    card.picture("unknown-ru").await;

    card.show(failed, "A-77", "ru-RU").await;
    card.browser.press_words("Доставка MeaSoft: ошибка (1)").await;
    card.browser.shows("Укажите в заказе телефон получателя").await;
    card.browser.shows("История").await;
    card.picture("failed-ru").await;
    world.crm.edit(world.account, failed, |draft| draft.set_text("phone", "+7 916 222-33-44"));
    card.browser.press_words("Повторить").await;
    card.browser.shows("Команда отправлена повторно").await;
    card.browser.shows("Доставка MeaSoft: принят").await;
    assert!(world.courier.order("A-77").is_some());
    card.picture("retried-ru").await;

    card.show(going, "D-1", "en-GB").await;
    card.browser.press_words("MeaSoft delivery: on its way, tomorrow 10–18").await;
    card.browser.shows("To collect").await;
    card.picture("going-en").await;
    card.browser.press_words("Ask the courier").await;
    card.browser.shows("The courier service is asked").await;
    world.at_rest().await;

    card.open("page").await;
    card.browser.shows("Доставка MeaSoft: ошибки").await;
    card.browser.shows("A-78").await;
    card.picture("page-ru").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_sees_in_the_card_what_an_order_waits_for() {
    let world = shop_with(vec![("RETRY_RUNGS_S", "600".to_owned())]).await;
    world.courier.stop().await;
    let waiting = world.plain_order("W-1");
    world.save(waiting).await;
    let card = Card::of(&world).await;
    card.show(waiting, "W-1", "ru-RU").await;
    card.browser.press_words("Доставка MeaSoft: ждёт: курьерская служба не отвечает").await;
    card.browser.shows("следующая попытка").await;
    card.picture("waiting-ru").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_that_got_no_answer_says_so_and_comes_by_itself() {
    let world = shop().await;
    let card = Card::of(&world).await;
    let away = "const real = window.fetch; window.away = true; window.fetch = (url, ...rest) => \
                window.away && String(url).includes('/embed/') ? Promise.reject(new TypeError('away')) : real(url, ...rest)";
    card.browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": away})).await;
    card.open("widget").await;
    card.browser.press_words("Доставка MeaSoft: нет ответа").await;
    card.browser.shows("Интеграция с MeaSoft не отвечает, повторите через минуту").await;
    card.picture("away-ru").await;
    card.browser.measure("window.away = false").await;
    card.browser.shows("Доставка MeaSoft: не передавался").await;
}
