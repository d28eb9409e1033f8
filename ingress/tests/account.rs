//! The settings page as a browser without JavaScript meets it.

mod installation;

use std::time::Duration;

use harness::{LONG, eventually};
use installation::{Installation, Plan};
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use shared::domain::{Integration, IntegrationState, PausedBy, Secret};
use shared::phrases::Value as _;
use shared::store::StoreError;
use shared::store::journal::{Entry, Search, What};
use shared::story::Event;
use simulators::retailcrm::an_order;

/// A browser that keeps the cookies it is given.
struct Browser {
    http: reqwest::Client,
    base: String,
    cookies: std::sync::Mutex<Vec<(String, String)>>,
}

struct Page {
    status: u16,
    text: String,
    headers: reqwest::header::HeaderMap,
}

impl Page {
    fn token(&self) -> String {
        let rest = self.text.split_once("name=\"csrf\" value=\"").expect("a form").1;
        rest.split_once('"').expect("a token").0.to_owned()
    }

    /// What the form's fields hold.
    fn value(&self, name: &str) -> String {
        let rest = self.text.split_once(&format!("name=\"{name}\"")).expect("a field").1;
        rest.split_once("value=\"").expect("a value").1.split_once('"').expect("a value").0.to_owned()
    }
}

impl Browser {
    fn new(world: &Installation) -> Self {
        let http = simulators::http().redirect(Policy::none()).build().expect("a client");
        Self { http, base: world.url(), cookies: std::sync::Mutex::default() }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Page {
        let cookies: Vec<String> =
            self.cookies.lock().expect("not poisoned").iter().map(|(name, value)| format!("{name}={value}")).collect();
        let answer = request.header(COOKIE, cookies.join("; ")).send().await.expect("answered");
        self.keep(&answer);
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Page { status, headers, text: answer.text().await.expect("text") }
    }

    fn keep(&self, answer: &reqwest::Response) {
        let mut kept = self.cookies.lock().expect("not poisoned");
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let pair = cookie.to_str().expect("ascii").split(';').next().expect("a pair").to_owned();
            let (name, value) = pair.split_once('=').expect("a pair");
            kept.retain(|(known, _)| known != name);
            kept.push((name.to_owned(), value.to_owned()));
        }
    }

    async fn get(&self, path: &str) -> Page {
        self.send(self.http.get(format!("{}{path}", self.base))).await
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        self.send(self.http.post(format!("{}{path}", self.base)).form(fields)).await
    }

    /// As RetailCRM opens it.
    async fn open(&self, world: &Installation) -> Page {
        let opened = self.post("/retailcrm/account", &[("clientId", world.client_id())]).await;
        assert_eq!(opened.status, 303, "{}", opened.text);
        assert_eq!(opened.headers[LOCATION], "/retailcrm/account");
        self.get("/retailcrm/account").await
    }
}

const FIELDS: [&str; 4] = ["title", "crm_url", "extra", "login"];

/// The settings form as it was opened.
struct Form {
    browser: Browser,
    token: String,
    values: Vec<(String, String)>,
}

impl Form {
    async fn open(world: &Installation) -> (Self, Page) {
        let browser = Browser::new(world);
        let page = browser.open(world).await;
        (Self { token: page.token(), values: stored(&page), browser }, page)
    }

    /// Saves it with these changes.
    async fn save(&self, changes: &[(&str, &str)]) -> Page {
        let changed = |name: &str| changes.iter().any(|(changed, _)| *changed == name);
        let values = self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut fields: Vec<(&str, &str)> = [("csrf", self.token.as_str())].into_iter().chain(values).collect();
        fields.retain(|(name, _)| !changed(name));
        fields.extend_from_slice(changes);
        self.browser.post("/retailcrm/account/settings", &fields).await
    }
}

fn stored(page: &Page) -> Vec<(String, String)> {
    FIELDS.iter().map(|name| ((*name).to_owned(), page.value(name))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_session_every_page_is_refused() {
    let world = Installation::of(Plan { worker: false, registered: false, ..Plan::default() }).await;
    let browser = Browser::new(&world);
    for path in ["", "/debug", "/triggers", "/settings", "/check", "/replay", "/nothing"] {
        let page = browser.get(&format!("/retailcrm/account{path}")).await;
        assert_eq!(page.status, 403, "{path}");
        assert!(page.text.contains("Откройте эту страницу из RetailCRM"), "{}", page.text);
        assert!(page.headers["content-type"].to_str().expect("ascii").starts_with("text/html"));
    }
    for fields in [&[][..], &[("clientId", "stranger")], &[("clientId", "")], &[("clientId", world.key())]] {
        let page = browser.post("/retailcrm/account", fields).await;
        assert_eq!(page.status, 403, "{fields:?}");
        assert!(page.headers.get(SET_COOKIE).is_none());
    }
    for cookie in ["1", "1.99999999999.aa.bb", "1.99999999999.00.", "x"] {
        browser.cookies.lock().expect("not poisoned").clear();
        browser.cookies.lock().expect("not poisoned").push(("measoft_account".into(), cookie.into()));
        assert_eq!(browser.get("/retailcrm/account").await.status, 403, "{cookie}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retailcrm_opens_the_page_and_its_cookie_is_kept_from_scripts_and_strangers() {
    let world = Installation::new().await;
    let opened = world.crm.open_account_page(world.account, &world.module()).await.expect("answered");
    assert_eq!(opened.status, 303);
    let cookie = opened.header("set-cookie").expect("a cookie").to_owned();
    for part in ["HttpOnly", "SameSite=Lax", "Max-Age=1800", "Path=/retailcrm/account"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "{cookie}");
    assert!(!cookie.contains(world.client_id()));
    let browser = Browser::new(&world);
    let page = browser.open(&world).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.headers["cache-control"], "no-store");
    assert!(page.headers["content-security-policy"].to_str().expect("ascii").starts_with("default-src 'none'"));
    for secret in ["crm-key", "pass-demo", world.client_id()] {
        assert!(!page.text.contains(secret), "{secret}");
    }
    assert!(page.text.contains("lang=\"ru\"") && page.text.contains("Код статуса оплаты"));
    let english = browser.get("/retailcrm/account?lang=en").await;
    assert!(english.text.contains("lang=\"en\"") && english.text.contains("Payment status code"));
    assert!(browser.get("/retailcrm/account/triggers").await.text.contains("Condition (editor)"), "the choice is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cookie_is_secure_behind_https_and_links_keep_the_proxy_s_path() {
    let env = vec![("PUBLIC_URL", "https://bridge.example/measoft".to_owned())];
    let world = Installation::of(Plan { worker: false, registered: false, env, ..Plan::default() }).await;
    let browser = Browser::new(&world);
    world
        .until("the key is known", async || {
            browser.post("/retailcrm/account", &[("clientId", world.client_id())]).await.status == 303
        })
        .await;
    let opened = browser.post("/retailcrm/account", &[("clientId", world.client_id())]).await;
    assert!(opened.headers[SET_COOKIE].to_str().expect("ascii").contains("; Secure"));
    assert_eq!(opened.headers[LOCATION], "/measoft/retailcrm/account");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_saved_and_mistakes_stand_beside_their_fields() {
    let world = Installation::new().await;
    let (form, _) = Form::open(&world).await;
    let wrong = form.save(&[("crm_url", "https://evil.example"), ("title", "<b>&\"")]).await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.text.contains("Это не адрес RetailCRM") && wrong.text.contains("aria-invalid=\"true\""));
    assert!(
        wrong.text.contains("&#60;b&#62;") || wrong.text.contains("&lt;b&gt;"),
        "what was entered is shown, escaped"
    );
    let kept = world.stored().await;
    assert_eq!(kept.crm_url, world.integration.crm_url);

    let good = [("title", "Новое имя"), ("payment_status", "paid"), ("receive_payment", "yes"), ("password", "")];
    let saved = form.save(&good).await;
    assert_eq!((saved.status, saved.headers[LOCATION].to_str().expect("ascii")), (303, "/retailcrm/account?saved=1"));
    assert!(form.browser.get("/retailcrm/account?saved=1").await.text.contains("Настройки сохранены"));
    let kept = world.stored().await;
    assert_eq!((kept.title.as_str(), kept.settings.payment_status.as_deref()), ("Новое имя", Some("paid")));
    assert!(kept.settings.receive_payment);
    assert_eq!(kept.secrets.password.expose(), "pass-demo");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_status_that_retailcrm_does_not_have_is_refused_on_the_page_and_told_by_its_check() {
    let world = Installation::new().await;
    let (form, _) = Form::open(&world).await;
    let typed = [("payment_status", "payed")];
    let refused = form.save(&typed).await;
    assert_eq!(refused.status, 200, "{}", refused.text);
    assert!(refused.text.contains("возможно, имелся в виду paid"), "{}", refused.text);
    assert_eq!(refused.value("payment_status"), "payed", "what was typed is kept");
    assert_eq!(world.stored().await.settings.payment_status, None);
    // One that an older release saved is told.
    world.change(world.integration.id, |i| i.settings.payment_status = Some("payed".to_owned())).await;
    // The worker takes a change up within two seconds.
    eventually("the check tells of the code", LONG, || async {
        let text = form.browser.post("/retailcrm/account/check", &[("csrf", &form.token)]).await.text;
        let told =
            text.contains("Коды справочников RetailCRM") && text.contains("payment_status: в RetailCRM нет кода");
        if told { Ok(()) } else { Err(text) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_was_opened_before_a_change_undoes_nothing() {
    let world = Installation::new().await;
    let (mut form, page) = Form::open(&world).await;
    form.values.push(("seen".to_owned(), page.value("seen")));
    world.change(world.integration.id, |i| i.title = "Название оператора".to_owned()).await;
    let typed = [("payment_status", "paid")];
    let refused = form.save(&typed).await;
    assert_eq!(refused.status, 409);
    assert!(refused.text.contains("пока страница была открыта") && refused.text.contains("«Название оператора»"));
    assert_eq!(refused.value("payment_status"), "paid", "what was typed is kept");
    let kept = world.stored().await;
    assert_eq!((kept.title.as_str(), kept.settings.payment_status.as_deref()), ("Название оператора", None));
    // Who has seen the change and saves again means it.
    form.values.retain(|(name, _)| name != "seen");
    form.values.push(("seen".to_owned(), refused.value("seen")));
    assert_eq!(form.save(&typed).await.status, 303);
    assert_eq!(world.stored().await.settings.payment_status.as_deref(), Some("paid"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_undoes_neither_a_rotated_key_nor_a_pause_of_the_same_moment() {
    let world = Installation::of(Plan { worker: false, registered: false, ..Plan::default() }).await;
    let (form, _) = Form::open(&world).await;
    let id = world.integration.id;
    for round in 0..20 {
        let (key, title) = (format!("dk-{round}"), format!("Название {round}"));
        let rotate = |i: &mut Integration| -> Result<(), StoreError> {
            i.secrets.delivery_api_key = Secret::new(key.clone());
            Ok(())
        };
        let state = match round % 2 {
            0 => IntegrationState::Paused { by: PausedBy::Operator, reason: "ремонт".to_owned() },
            _ => IntegrationState::Active,
        };
        let changes = [("title", title.as_str())];
        let (page, rotated, paused) = tokio::join!(
            form.save(&changes),
            world.ctx.store.change_integration(id, rotate),
            world.ctx.store.set_integration_state(id, &state),
        );
        let now = world.stored().await;
        assert!(paused.expect("written") && now.state == state, "round {round}");
        assert_eq!(rotated.is_ok(), now.secrets.delivery_api_key.expose() == key, "round {round}");
        assert_eq!(page.status == 303, now.title == title, "round {round}: {}", page.status);
        assert!([303, 409].contains(&page.status), "{}", page.text);
    }
}

/// Another tenant, whose RetailCRM account is there.
async fn neighbour_of(world: &Installation) -> Integration {
    world.crm.add_account("key-of-another");
    world.neighbour().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_never_shows_a_key_of_another_account_whatever_address_it_names() {
    let world = Installation::new().await;
    let other = neighbour_of(&world).await;
    let browser = Browser::new(&world);
    browser.open(&world).await;
    let page = browser.get("/retailcrm/account/triggers").await;
    assert!(page.text.contains(world.key()), "its own is there");
    for secret in [other.secrets.delivery_api_key.expose(), other.secrets.client_id.expose(), "theirs"] {
        assert!(!page.text.contains(secret), "{secret}");
    }
    // One that is of the same account, by its key, is named in the cancel form.
    world.change(other.id, |i| i.secrets.crm_api_key = Secret::new("crm-key")).await;
    assert!(browser.get("/retailcrm/account/triggers").await.text.contains("theirs"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_taken_over_only_with_a_key_that_works_there_and_both_sides_are_told() {
    let world = Installation::new().await;
    let there = simulators::retailcrm::RetailcrmSim::start(Default::default()).await.expect("another CRM");
    there.add_account("key-there");
    let address = there.url();
    let mut theirs = neighbour_of(&world).await;
    theirs = world.change(theirs.id, |i| i.crm_url.clone_from(&address)).await;
    let (form, _) = Form::open(&world).await;
    for key in ["", "key-of-nobody"] {
        let changes = [("crm_url", address.as_str()), ("crm_api_key", key)];
        let refused = form.save(&changes).await;
        assert_eq!(refused.status, 200);
        assert!(refused.text.contains("только если ключ там действует"), "{}", refused.text);
        assert_eq!(world.stored().await.crm_url, world.integration.crm_url);
    }
    let wrong_key = [("crm_api_key", "key-of-nobody")];
    let refused = form.save(&wrong_key).await;
    assert!(refused.text.contains("только если ключ там действует"), "{}", refused.text);
    assert_eq!(world.stored().await.secrets.crm_api_key.expose(), "crm-key");
    let good = [("crm_url", address.as_str()), ("crm_api_key", "key-there")];
    assert_eq!(form.save(&good).await.status, 303);
    assert_eq!(world.stored().await.crm_url.trim_end_matches('/'), address.trim_end_matches('/'));
    for (id, words) in [(world.integration.id, "address changed from"), (theirs.id, "names this RetailCRM address")] {
        let search = Search { integration: Some(id), text: None, since: None, limit: 100 };
        let told = world.ctx.store.search_journal(&search).await.expect("read");
        assert!(told.iter().any(|entry| entry.text.contains(words)), "{id}: {words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cabinet_of_another_integration_is_not_shared_by_guessing_its_login() {
    let world = Installation::new().await;
    let other = neighbour_of(&world).await;
    let (form, _) = Form::open(&world).await;
    let changes = [("login", "neighbour")];
    let refused = form.save(&changes).await;
    assert!(refused.text.contains("подключён другой интеграцией"), "{}", refused.text);
    assert_ne!(world.stored().await.courier_account(), other.courier_account());
    let with_password = [("login", "neighbour"), ("password", "pass-of-another")];
    let saved = form.save(&with_password).await;
    assert_eq!(saved.status, 303, "who knows the password may");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_another_site_does_nothing() {
    let world = Installation::new().await;
    let (mut form, _) = Form::open(&world).await;
    let (theirs, _) = Form::open(&world).await;
    for token in ["", "00", &theirs.token] {
        token.clone_into(&mut form.token);
        assert_eq!(form.save(&[("title", "x")]).await.status, 403, "{token}");
        let ours = &form.browser;
        assert_eq!(ours.post("/retailcrm/account/check", &[("csrf", token)]).await.status, 403);
        assert_eq!(ours.post("/retailcrm/account/replay", &[("csrf", token), ("id", "1")]).await.status, 403);
    }
    let kept = world.stored().await;
    assert_eq!(kept.title, world.integration.title);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_is_checked_at_both_ends() {
    let world = Installation::new().await;
    let browser = Browser::new(&world);
    let token = browser.open(&world).await.token();
    let page =
        browser.post("/retailcrm/account/check", &[("csrf", &token), ("town", "Химки"), ("weight", "1400")]).await;
    assert_eq!(page.status, 200);
    for words in ["Ключ API принят", "клиент 2417", "Не срочно: 400.00"] {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
    assert_eq!(page.value("town"), "Химки", "the form keeps what was entered");
    world.courier.update_account(installation::CABINET, |cabinet| cabinet.pass = "another".into());
    let page = browser.post("/retailcrm/account/check", &[("csrf", &token)]).await;
    assert!(page.text.contains("Плохо"), "{}", page.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_without_a_worker_says_so() {
    let env = vec![("CALLBACK_DEADLINE_S", "0.3".to_owned())];
    let world = Installation::of(Plan { worker: false, env, ..Plan::default() }).await;
    let browser = Browser::new(&world);
    let token = browser.open(&world).await.token();
    let page = browser.post("/retailcrm/account/check", &[("csrf", &token)]).await;
    assert!(page.text.contains("Проверка не ответила вовремя"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_order_is_found_explained_and_tried_again() {
    let world = Installation::new().await;
    let order = world.add_order(an_order().number("A-77").delivery_type("incity").text("phone", "нет"));
    world.add_order(an_order().number("B-1").delivery_type("incity"));
    world.crm.save(world.account, order).await.expect("answered");
    let browser = Browser::new(&world);
    browser.open(&world).await;
    let page = browser.get("/retailcrm/account/debug?q=A-77").await;
    assert!(page.text.contains("В заказе нет правильного телефона получателя."));
    assert!(page.text.contains("Укажите в заказе телефон получателя"), "the next step");
    assert!(!browser.get("/retailcrm/account/debug?q=B-1").await.text.contains("нет правильного телефона"));
    let id = page.value("id");
    world.crm.edit(world.account, order, |draft| draft.set_text("phone", "+7 916 222-33-44"));
    let token = page.token();
    let again = browser.post("/retailcrm/account/replay", &[("csrf", &token), ("id", &id), ("q", "A-77")]).await;
    assert_eq!(again.headers[LOCATION], "/retailcrm/account/debug?replayed=1&q=A-77");
    world.until("the order is placed", async || world.courier.order("A-77").is_some()).await;
    let twice = browser.post("/retailcrm/account/replay", &[("csrf", &token), ("id", &id)]).await;
    assert!(twice.headers[LOCATION].to_str().expect("ascii").contains("replayed=0"));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let page = browser.get("/retailcrm/account/debug?q=A-77").await;
    assert!(page.text.contains("neworder"), "the exchange is shown");
    for personal in ["9162223344", "222-33-44", "Петрова", "Толстого", "pass-demo", "crm-key"] {
        assert!(!page.text.contains(personal), "{personal} on the page");
    }
}

/// What a page says, without its tags and what quotes a vendor.
fn said(html: &str) -> String {
    let mut text = String::new();
    for piece in html.split('<').skip(1) {
        let (tag, words) = piece.split_once('>').unwrap_or((piece, ""));
        // Links to the other language are named in it.
        if !tag.contains(" lang=\"") && !tag.starts_with("pre") {
            text.push_str(&format!(" {words}"));
        }
    }
    text.replace("&#38;", "&").replace("&amp;", "&")
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happened_is_told_in_the_reader_s_language_and_zone_and_old_entries_as_they_are() {
    let world = Installation::new().await;
    let (id, now) = (world.integration.id, "2026-06-15T21:30:00Z".parse().expect("a moment"));
    let entry = |event: Event| Entry::new(now, What::Decision, event).about(id, "77");
    let events: Vec<Entry> = Event::some().into_iter().map(entry).collect();
    assert!(events.len() < 100, "a page shows all of them");
    world.ctx.store.append_journal(&events).await.expect("written");
    let browser = Browser::new(&world);
    browser.open(&world).await;
    let names = ["RetailCRM", "MeaSoft", "PostgreSQL", "API", "HTTP", "HTML", "English", "Русский"];
    for (language, russian) in [("ru", true), ("en", false)] {
        let page = browser.get(&format!("/retailcrm/account/debug?lang={language}")).await;
        let strange = |word: &&str| word.chars().any(|c| c.is_ascii_alphabetic()) == russian && !names.contains(word);
        let page = said(page.text.split_once("<section").expect("its content").1);
        let words = page.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
        let found: Vec<&str> = words.filter(strange).collect();
        assert!(found.is_empty(), "{language}: {found:?} in {page}");
    }
    let page = browser.get("/retailcrm/account/debug?lang=ru").await;
    assert!(page.text.contains("создан в MeaSoft под номером 4711, к оплате при вручении 3790.00"), "{}", page.text);
    assert!(page.text.contains("16.06.2026 00:30:00"), "in the reader's zone: {}", page.text);
    let old = format!(
        "INSERT INTO journal (at, integration_id, number, what, text) VALUES ({}, {id}, '77', 'decision', 'said before')",
        now.as_millisecond() + 1
    );
    world.ctx.store.db.exec(old, vec![]).await.expect("written");
    let page = browser.get("/retailcrm/account/debug?lang=ru").await;
    assert!(page.text.contains("lang=\"en\" translate=\"no\">said before<"), "{}", page.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_or_replays_another_integration_s_failures() {
    let world = Installation::new().await;
    let order = world.add_order(an_order().number("A-77").delivery_type("incity").text("phone", "нет"));
    world.crm.save(world.account, order).await.expect("answered");
    let other = world
        .tenant(|new| {
            new.crm_url = "https://other.retailcrm.ru".into();
            new.extra = "9".into();
        })
        .await;
    let browser = Browser::new(&world);
    world
        .until("the other is known", async || {
            browser.post("/retailcrm/account", &[("clientId", other.secrets.client_id.expose())]).await.status == 303
        })
        .await;
    let page = browser.get("/retailcrm/account/debug").await;
    assert!(!page.text.contains("A-77"));
    let token = browser.get("/retailcrm/account").await.token();
    assert_eq!(browser.post("/retailcrm/account/replay", &[("csrf", &token), ("id", "1")]).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trigger_values_are_those_of_this_integration() {
    let settings = shared::domain::Settings {
        delivery_types: vec!["incity".into(), "outcity".into()],
        ..shared::domain::Settings::default()
    };
    let world = Installation::of(Plan { settings, ..Plan::default() }).await;
    let browser = Browser::new(&world);
    browser.open(&world).await;
    let page = browser.get("/retailcrm/account/triggers").await;
    for words in [
        format!("{}/reintegrations/requests/trigger/retailcrm", world.url()),
        format!("{}/reintegrations/requests/update/retailcrm", world.url()),
        format!("{}/reintegrations/requests/cancel/retailcrm", world.url()),
        "{{ order.getNumber() }}".to_owned(),
        world.key().to_owned(),
        "outcity".to_owned(),
    ] {
        assert!(page.text.contains(&words), "{words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_types_that_nobody_named_are_asked_of_retailcrm_for_the_trigger_values() {
    let world = Installation::new().await;
    let browser = Browser::new(&world);
    browser.open(&world).await;
    let page = browser.get("/retailcrm/account/triggers").await;
    assert!(page.text.contains("incity"), "RetailCRM ties it to this module");
    assert!(!page.text.contains("никогда не сработает"), "there is no gap");
    for words in ["Расширенное условие", "delivery_address.street", "сам ключ"] {
        assert!(page.text.contains(words), "{words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_triggers_tab_says_where_a_delivery_type_is_missing() {
    // Nobody answers for RetailCRM here.
    let env = vec![("CALLBACK_DEADLINE_S", "1".to_owned())];
    let world = Installation::of(Plan { worker: false, registered: false, env, ..Plan::default() }).await;
    let browser = Browser::new(&world);
    browser.open(&world).await;
    let page = browser.get("/retailcrm/account/triggers").await;
    assert_eq!(page.status, 200);
    for words in ["никогда не сработает", "Интеграции без типов доставки: Магазин", "…"]
    {
        assert!(page.text.contains(words), "{words}");
    }
}
