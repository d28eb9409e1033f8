//! What an operator and an owner do on the pages that asks the vendors: over sockets, to both
//! simulators, through the same operations as the commands.

mod world;

use bridge_worker::correct::Corrigible;
use bridge_worker::manage::edit::{Edit, edit};
use shared::domain::{CorrectedField, Fault, Integration, OrderNumber, Secret};
use shared::message::decode;
use shared::store::StoreError;
use shared::store::audit::Who;
use shared::store::console::Role;
use shared::store::dead_letters::{DeadFilter, DeadState};
use shared::store::replays::ReplayState;
use simulators::retailcrm::{Action, FaultRule, When, an_order};
use world::{Vendors, World};

/// Names of acts with who did them, the newest first.
async fn acts(world: &World) -> Vec<(String, String)> {
    world.audit().await.into_iter().map(|act| (act.who, act.act)).collect()
}

/// What a form on a page says to have been filled with.
fn seen(page: &str) -> &str {
    page.split("name=\"seen\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a mark")
}

/// A delivery that the ledger has.
async fn placed(world: &World, vendors: &Vendors, number: &str, crm_id: i64) {
    let row = format!(
        "INSERT INTO deliveries (integration_id, crm_order_id, number, orderno, state, status, price, created_at, updated_at) \
         VALUES ({}, {crm_id}, '{number}', '{number}', 'created', 'NEW', 379000, {at}, {at})",
        vendors.integration.id,
        at = world.ctx.clock.now().as_millisecond() - 7_200_000
    );
    world.store().db.exec(row, vec![]).await.expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_shows_what_would_leave_masked_and_nothing_leaves() {
    let (world, vendors) = World::with_vendors(|_| ()).await;
    vendors.crm.add_order(vendors.account, an_order().number("7001").delivery_type("incity").status("new"));
    let (operator, viewer) = (world.session("Анна", Role::Operator).await, world.session("Вера", Role::Viewer).await);
    let at = "/orders/1/7001/preview";
    let before = world.get(at, Some(&viewer)).await.body;
    assert!(before.contains("Ещё не запрашивали") && !before.contains("<form method=\"post\" action=\"/orders"));
    assert_eq!(world.act(at, &viewer, &[]).await.status, 403, "it spends the vendors' limits");
    let asked = world.act(at, &operator, &[("back", "/orders/1/7001")]).await;
    assert_eq!((asked.status, asked.header("location")), (303, at));
    let page = world.ended(at, &viewer).await;
    for words in ["будет создан в MeaSoft", "В MeaSoft такого заказа нет.", "neworder", "Кем запрошено: Анна"]
    {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains("Петрова") && !page.contains("planted"), "masked, and without secrets: {page}");
    assert_eq!(vendors.courier.count("neworder"), 0);
    let mistaken = an_order().number("7002").delivery_type("incity").status("new").receiver("Яна", "нет");
    vendors.crm.add_order(vendors.account, mistaken);
    world.act("/orders/1/7002/preview", &operator, &[]).await;
    let page = world.ended("/orders/1/7002/preview", &operator).await;
    assert!(page.contains("не может быть передан") && page.contains("bad_phone"), "{page}");
    vendors.crm.stop().await;
    world.act(at, &operator, &[]).await;
    let page = world.ended(at, &operator).await;
    assert!(page.contains("Не получилось.") && page.contains("RetailCRM cannot be asked"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_corrected_and_the_second_of_two_is_told_and_may_go_on() {
    let (world, vendors) = World::with_vendors(|_| ()).await;
    let draft = an_order().number("7001").delivery_type("incity").status("new").receiver("Яна", "нет");
    let id = vendors.crm.add_order(vendors.account, draft);
    placed(&world, &vendors, "7001", id).await;
    let cookie = world.session("Анна", Role::Operator).await;
    let at = "/orders/1/7001/correct";
    let fields = [("seen", "0"), ("phone", "+79161234567"), ("back", "/orders/1/7001")];
    let empty = world.act(at, &cookie, &[("seen", "0"), ("phone", " ")]).await;
    assert!(empty.header("location").ends_with("done=nothing-given"), "{empty:?}");
    let bad = world.act(at, &cookie, &[("seen", "0"), ("phone", "позвоните"), ("date", "2026-12-03")]).await;
    assert_eq!(bad.status, 422);
    for words in
        ["Недопустимое значение поля: телефон", "value=\"позвоните\"", "value=\"2026-12-03\"", "id=\"correct\" open"]
    {
        assert!(bad.body.contains(words), "what was typed is there: {words}: {}", bad.body);
    }
    let done = world.act(at, &cookie, &fields).await;
    assert_eq!(done.header("location"), "/orders/1/7001?done=corrected");
    assert_eq!(acts(&world).await[0], ("Анна".to_owned(), "corrected".to_owned()));
    let page = world.get("/orders/1/7001", Some(&cookie)).await.body;
    assert!(page.contains("исправлено: телефон изменён, Анна") && !page.contains("9161234567"), "{page}");
    assert!(page.contains("name=\"seen\" value=\"1\""), "the form knows of it");

    // Somebody who has looked before.
    let boris = world.session("Борис", Role::Operator).await;
    let late = world.act(at, &boris, &[("seen", "0"), ("phone", "+79037654321")]).await;
    assert_eq!(late.status, 422);
    assert!(
        late.body.contains("заказ уже изменён: Анна") && late.body.contains("name=\"seen\" value=\"1\""),
        "{}",
        late.body
    );
    let number = OrderNumber::parse("7001").expect("a number");
    let used = async || {
        let config = &world.ctx.config;
        let order = Corrigible::find(config, world.store(), &vendors.integration, &number).await.expect("an order");
        order.used(CorrectedField::Phone)
    };
    assert_eq!(used().await, "+79161234567", "the first one's stays");
    world.act(at, &boris, &[("seen", "1"), ("phone", "+79037654321")]).await;
    assert_eq!(used().await, "+79037654321");
    world.act(at, &boris, &[("seen", "2"), ("no-date", "1")]).await;
    let story = world.get("/orders/1/7001", Some(&boris)).await.body;
    assert!(story.contains("дата"), "a date is taken away: {story}");

    let unknown = world.act("/orders/1/4711/correct", &cookie, &fields).await;
    assert!(unknown.status == 422 && unknown.body.contains("нет такого заказа"), "{}", unknown.body);
    vendors.crm.stop().await;
    let silent = world.act(at, &cookie, &[("seen", "3"), ("phone", "+79161111111")]).await;
    assert!(silent.status == 422 && silent.body.contains("RetailCRM не ответила"), "{}", silent.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn measoft_is_asked_about_one_order_and_what_is_news_is_fetched() {
    let (world, vendors) = World::with_vendors(|_| ()).await;
    assert!(vendors.courier.seed_orders("8:shop-demo", 1, "S"));
    placed(&world, &vendors, "S1", 77).await;
    let cookie = world.session("Анна", Role::Operator).await;
    let page = world.get("/orders/1/S1", Some(&cookie)).await.body;
    let links = [format!("{}/orders/77/edit", vendors.crm.url()), vendors.courier.url().replace("/api/", "/8/")];
    for link in links {
        assert!(page.contains(&format!("href=\"{link}\"")), "{link}: {page}");
    }
    let asked = world.act("/orders/1/S1/ask", &cookie, &[]).await;
    assert_eq!(asked.header("location"), "/orders/1/S1#measoft");
    let page = world.ended("/orders/1/S1", &cookie).await;
    assert!(page.contains("MeaSoft: <code>S1</code>") && page.contains("1000.00"), "{page}");
    assert!(!page.contains("Статус новый"), "as the ledger has it");
    let jobs = world.store().due_jobs().await.expect("counted");
    vendors.courier.set_status("S1", "DELIVERY", vendors.courier.now());
    world.act("/orders/1/S1/ask", &cookie, &[]).await;
    let page = world.ended("/orders/1/S1", &cookie).await;
    assert!(page.contains("<code>DELIVERY</code>") && page.contains("Статус новый"), "{page}");
    assert_eq!(world.store().due_jobs().await.expect("counted"), jobs + 1, "a sync is asked for");
    vendors.courier.delete("S1");
    world.act("/orders/1/S1/ask", &cookie, &[]).await;
    assert!(world.ended("/orders/1/S1", &cookie).await.contains("В MeaSoft такого заказа нет."));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_planned_looked_at_started_paced_and_stopped() {
    let world = World::new().await;
    world.filled("Город", "Область").await;
    let cookie = world.session("Анна", Role::Operator).await;
    let plan = [("reason", "bad_phone"), ("integration", "1"), ("back", "/causes")];
    let planned = world.act("/causes/replay", &cookie, &plan).await;
    assert_eq!(planned.header("location"), "/replays/2?done=planned");
    let page = world.get("/replays/2", Some(&cookie)).await.body;
    for words in ["запланирован", "неудач: 3", "<b>3</b> × отправка заказа", "/orders/1/1001A", "MeaSoft 3"]
    {
        assert!(page.contains(words), "{words}: {page}");
    }
    let state = async |id| world.store().replay(id).await.expect("read").expect("there");
    assert_eq!(state(2).await.state, ReplayState::Planned);
    let open = world.store().dead_letter(1).await.expect("read").expect("there").state;
    assert_eq!(open, DeadState::Open, "nothing is sent before it is started");
    let at = ("back", "/replays/2");
    let told = async |act: &str, fields: &[(&str, &str)]| {
        let fields: Vec<_> = fields.iter().copied().chain([at]).collect();
        let done = world.act(&format!("/replays/2/{act}"), &cookie, &fields).await;
        done.header("location").rsplit("done=").next().expect("a word").to_owned()
    };
    assert_eq!(told("pace", &[("per_minute", "5")]).await, "paced");
    assert_eq!(told("start", &[]).await, "replay-started");
    assert_eq!(told("start", &[]).await, "replay-is");
    let running = state(2).await;
    assert_eq!((running.state, running.per_minute), (ReplayState::Running, 5));
    assert!(world.get("/orders/1/1001A", Some(&cookie)).await.body.contains("Будет повторено"));
    let again = world.act("/causes/replay", &cookie, &plan).await;
    assert_eq!(again.header("location"), "/causes?done=nothing-to-replay", "their turn comes in the other");
    assert_eq!(told("stop", &[]).await, "replay-stopped");
    assert_eq!(state(2).await.state, ReplayState::Stopped);
    for bad in ["0", "6001", "x"] {
        assert_eq!(world.act("/replays/2/pace", &cookie, &[("per_minute", bad)]).await.status, 400, "{bad}");
    }
    assert_eq!(world.act("/replays/99/start", &cookie, &[]).await.status, 404);
    assert_eq!(world.get("/replays/99", Some(&cookie)).await.status, 404);
    let told: Vec<String> = acts(&world).await.into_iter().take(4).map(|(who, act)| format!("{who} {act}")).collect();
    assert_eq!(told, ["Анна replay_stopped", "Анна replay_started", "Анна replay_paced", "Анна replay_planned"]);
    let list = world.get("/replays", Some(&cookie)).await.body;
    assert!(list.contains("остановлен") && list.contains("запланирован"), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_compared_beside_the_pages_told_as_a_table_and_made_good() {
    let (world, vendors) = World::with_vendors(|settings| settings.send_statuses = vec!["new".to_owned()]).await;
    let draft = an_order().number("7001").delivery_type("incity").status("new").created_at("2026-08-31 12:00:00");
    vendors.crm.add_order(vendors.account, draft);
    let cookie = world.session("Анна", Role::Operator).await;
    let page = world.get("/compare", Some(&cookie)).await.body;
    assert!(
        page.contains("value=\"2026-08-31\"") && page.contains("Сверки за этот день ещё не было"),
        "yesterday: {page}"
    );
    let asked = world.act("/compare", &cookie, &[("day", "2026-08-31")]).await;
    assert_eq!((asked.status, asked.header("location")), (303, "/compare?day=2026-08-31"));
    let at = "/compare?day=2026-08-31";
    let page = world.ended(at, &cookie).await;
    for words in ["не передан", "/orders/1/7001", "RetailCRM <b>1</b>", "У нас <b>0</b>", "отправить"]
    {
        assert!(page.contains(words), "{words}: {page}");
    }
    let file = world.get("/compare.csv?day=2026-08-31", Some(&cookie)).await;
    assert!(file.header("content-disposition").contains("compare-2026-08-31.csv"));
    assert!(file.body.contains("Город,7001,,не передан"), "{}", file.body);
    let repair = [("day", "2026-08-31"), ("integration", "1"), ("back", at)];
    let done = world.act("/compare/repair", &cookie, &repair).await;
    assert!(done.header("location").ends_with("done=repaired"), "{done:?}");
    let jobs = world.store().claim_jobs(None, "test", std::time::Duration::from_secs(9), 9).await.expect("claimed");
    let kinds: Vec<&str> =
        jobs.iter().map(|job| decode(&job.body).expect("readable").command.kind().as_str()).collect();
    assert_eq!(kinds, ["SendOrder"], "as the missed trigger would have");
    assert_eq!(acts(&world).await[0], ("Анна".to_owned(), "repaired".to_owned()));
    let again = world.act("/compare/repair", &cookie, &repair).await;
    assert!(again.header("location").ends_with("done=not-compared"), "once: {again:?}");
    for bad in ["2026-09-02", "yesterday"] {
        assert_eq!(world.act("/compare", &cookie, &[("day", bad)]).await.status, 400, "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_edits_an_integration_as_the_command_does_and_sees_no_secret() {
    let (world, vendors) = World::with_vendors(|_| ()).await;
    let cookie = world.session("Ольга", Role::Owner).await;
    let at = "/integrations/1/edit";
    let form = world.get(at, Some(&cookie)).await.body;
    assert!(form.contains("value=\"shop-demo\"") && !form.contains("planted"), "{form}");
    let operator = world.session("Анна", Role::Operator).await;
    assert_eq!(world.get(at, Some(&operator)).await.status, 403);
    let stored = async || world.store().integration(vendors.integration.id).await.expect("read").expect("there");
    let send = async |fields: &[(&str, &str)]| {
        let page = world.get(at, Some(&cookie)).await.body;
        let fields: Vec<_> = fields.iter().copied().chain([("seen", seen(&page))]).collect();
        world.act(at, &cookie, &fields).await
    };

    let fields =
        [("title", "Область"), ("prefix", "R-"), ("password", " new pass "), ("set", "vat_none=20\nsender.town=Тверь")];
    assert_eq!(send(&fields).await.header("location"), "/integrations/1?done=edited");
    let now = stored().await;
    assert_eq!((now.title.as_str(), now.prefix.as_str(), now.settings.vat_none), ("Область", "R-", 20));
    assert_eq!(now.settings.sender.town.as_deref(), Some("Тверь"));
    assert_eq!(now.secrets.password.expose(), " new pass ", "its spaces are its own");
    assert_eq!(now.secrets.crm_api_key.expose(), "planted-crm-key", "what is left empty stays");
    let newest = world.audit().await.remove(0);
    assert_eq!((newest.who.as_str(), newest.act.as_str()), ("Ольга", "edited"));
    assert!(!newest.after.contains("new pass"), "{}", newest.after);

    for (fields, words) in [
        ([("prefix", "кириллица"), ("title", "X")], "Latin letters"),
        ([("crm-url", "https://evil.example"), ("title", "X")], "Адрес RetailCRM"),
        ([("measoft-url", "http://courier.example/api"), ("title", "X")], "https address"),
        ([("set", "vat_nnone=20"), ("title", "X")], "there is no setting"),
        ([("set", "vat_none"), ("title", "X")], "строка не похожа"),
        ([("set", "payment_status=no-such-status"), ("title", "X")], "no-such-status"),
    ] {
        let refused = send(&fields).await;
        assert!(refused.status == 422 && refused.body.contains(words), "{words}: {}", refused.body);
        assert!(refused.body.contains("value=\"X\""), "what was typed is there");
        assert_eq!(stored().await, now, "{words}: nothing is stored");
    }
    vendors.crm.stop().await;
    let unverified = send(&[("set", "payment_status=paid-later")]).await;
    assert_eq!(unverified.header("location"), "/integrations/1?done=edited-unverified");
    send(&[("prefix", "")]).await;
    assert_eq!(stored().await.prefix, "", "a prefix is taken away by an empty field");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_takes_nothing_back_that_another_owner_has_changed_meanwhile() {
    let (world, vendors) = World::with_vendors(|_| ()).await;
    let (cookie, at) = (world.session("Ольга", Role::Owner).await, "/integrations/1/edit");
    let looked = world.get(at, Some(&cookie)).await.body;
    // All fields are sent, as a browser does it.
    let (crm, courier) = (vendors.crm.url(), vendors.courier.url());
    let addresses = [("crm-url", crm.as_str()), ("measoft-url", courier.as_str())];
    let own = [("title", "Город"), ("extra", "8"), ("login", "shop-demo"), ("prefix", "R-"), ("seen", seen(&looked))];
    let fields: Vec<_> = addresses.into_iter().chain(own).collect();
    let who = Who::at_machine(Some("Борис".to_owned()), "root".to_owned());
    let other = Edit { login: Some("shop-new".to_owned()), ..Edit::default() };
    let (config, store) = (&world.ctx.config, world.store());
    edit(config, store, &vendors.integration, &other, None, &who).await.expect("changed by the other");
    let stored = async || {
        let now = store.integration(vendors.integration.id).await.expect("read").expect("there");
        (now.login, now.prefix)
    };
    let late = world.act(at, &cookie, &fields).await;
    assert!(late.status == 422 && late.body.contains("изменил кто-то ещё"), "{}", late.body);
    assert_eq!(seen(&late.body), seen(&looked), "until the page is opened anew");
    assert_eq!(stored().await, ("shop-new".to_owned(), String::new()), "nothing is taken back");
    let again = world.get(at, Some(&cookie)).await.body;
    let known = [("login", "shop-new"), ("prefix", "R-"), ("seen", seen(&again))];
    assert_eq!(world.act(at, &cookie, &known).await.header("location"), "/integrations/1?done=edited");
    assert_eq!(stored().await, ("shop-new".to_owned(), "R-".to_owned()));
    assert_eq!(world.act(at, &cookie, &[("prefix", "X-")]).await.status, 400, "a form says what it has shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_errand_works_with_the_integration_as_it_is_when_its_turn_comes() {
    let (world, vendors) = World::with_vendors(|_| ()).await;
    let cookie = world.session("Ольга", Role::Owner).await;
    let code = vendors.integration.code(&world.ctx.config.module_code);
    let other = vendors.crm.add_account("another-crm-key");
    vendors.crm.set_faults(vec![FaultRule::new("*", When::Always, Action::Hang)]);
    for number in ["7001", "7002", "7003"] {
        world.act(&format!("/orders/1/{number}/preview"), &cookie, &[]).await;
    }
    world.act("/integrations/1/register", &cookie, &[]).await;
    let another = |found: &mut Integration| {
        found.secrets.crm_api_key = Secret::new("another-crm-key");
        Ok::<(), StoreError>(())
    };
    world.store().change_integration(vendors.integration.id, another).await.expect("changed");
    vendors.crm.clear_faults();
    world.ended("/integrations/1", &cookie).await;
    let of = |account| vendors.crm.module(account, &code).is_some();
    assert_eq!((of(vendors.account), of(other)), (false, true), "registered with the key that is good now");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cause_of_no_integration_is_one_of_its_own() {
    let world = World::new().await;
    world.filled("Город", "Область").await;
    world.add_letter_of(None, "3001", "bad_phone", Fault::Shop).await;
    let cookie = world.session("Анна", Role::Operator).await;
    let of_none = [("reason", "bad_phone"), ("integration", ""), ("back", "/causes")];
    world.act("/causes/acknowledge", &cookie, &of_none).await;
    let causes = world.store().causes(&DeadFilter::default()).await.expect("listed");
    assert!(causes.iter().all(|cause| cause.acknowledged.is_some() == cause.integration.is_none()), "{causes:?}");
    let page = world.get("/causes", Some(&cookie)).await.body;
    assert!(page.contains("integration=none"), "{page}");
    let page = world.get("/letters?reason=bad_phone&integration=none", Some(&cookie)).await.body;
    assert!(page.contains("3001") && !page.contains("1001A"), "{page}");
    let planned = world.act("/causes/replay", &cookie, &of_none).await;
    assert_eq!(planned.header("location"), "/replays/2?done=planned");
    let page = world.get("/replays/2", Some(&cookie)).await.body;
    assert!(page.contains("неудач: 1") && page.contains("без интеграции"), "{page}");
    for path in ["replay", "acknowledge", "discard"] {
        let bad = [("reason", "bad_phone"), ("integration", "первая"), ("seen_until", "1"), ("why", "нет")];
        assert_eq!(world.act(&format!("/causes/{path}"), &cookie, &bad).await.status, 400, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_integration_is_checked_and_registered_from_its_page() {
    let (world, vendors) = World::with_vendors(|_| ()).await;
    let cookie = world.session("Ольга", Role::Owner).await;
    world.act("/integrations/1/check", &cookie, &[]).await;
    let page = world.ended("/integrations/1", &cookie).await;
    for words in ["Ключ API RetailCRM", "Вход в кабинет MeaSoft", "accepted, client"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    vendors.courier.update_account("8:shop-demo", |account| account.pass = "another".to_owned());
    world.act("/integrations/1/check", &cookie, &[]).await;
    let page = world.ended("/integrations/1", &cookie).await;
    assert!(page.contains("плохо") && !page.contains("accepted, client"), "{page}");

    world.act("/integrations/1/register", &cookie, &[]).await;
    let page = world.ended("/integrations/1", &cookie).await;
    let code = vendors.integration.code(&world.ctx.config.module_code);
    assert!(page.contains("Модуль зарегистрирован:") && page.contains(&code), "{page}");
    assert!(vendors.crm.module(vendors.account, &code).is_some());
    assert_eq!(acts(&world).await[0], ("Ольга".to_owned(), "registered".to_owned()));
    let operator = world.session("Анна", Role::Operator).await;
    let page = world.get("/integrations/1", Some(&operator)).await.body;
    assert!(!page.contains("Зарегистрировать модуль"), "an operator has nothing to press there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_shown_once_and_a_form_that_comes_twice_makes_one() {
    let world = World::new().await;
    world.filled("Город", "Область").await;
    let cookie = world.session("Ольга", Role::Owner).await;
    let key = async || {
        let id = shared::domain::IntegrationId(1);
        world.store().integration(id).await.expect("read").expect("there").secrets.delivery_api_key.expose().to_owned()
    };
    let old = key().await;
    let page = world.get("/integrations/1", Some(&cookie)).await.body;
    assert!(!page.contains(&old), "a key is not shown");
    let fields = [("seen", seen(&page)), ("back", "/integrations/1")];
    let shown = world.act("/integrations/1/rotate-key", &cookie, &fields).await;
    let fresh = key().await;
    assert!(fresh != old && shown.status == 200 && shown.body.contains(&fresh), "{}", shown.body);
    assert_eq!(shown.header("cache-control"), "no-store");
    assert_eq!(acts(&world).await[0], ("Ольга".to_owned(), "key_rotated".to_owned()));
    let twice = world.act("/integrations/1/rotate-key", &cookie, &fields).await;
    assert_eq!(twice.header("location"), "/integrations/1?done=key-is-another");
    assert_eq!(key().await, fresh, "it is the one that was shown");
    for path in ["/integrations/1", "/audit", "/audit.csv"] {
        assert!(!world.get(path, Some(&cookie)).await.body.contains(&fresh), "{path}: never again");
    }
    // Somebody at the machine makes one as ever.
    let who = Who::at_machine(None, "root".to_owned());
    let of_command = bridge_worker::manage::key::rotate(world.store(), shared::domain::IntegrationId(1), None, &who);
    assert_ne!(of_command.await.expect("made").expose(), fresh);
}
