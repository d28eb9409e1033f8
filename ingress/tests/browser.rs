//! The settings page in a real Chromium: what the shop's manager sees, types and presses.

mod installation;

use std::path::PathBuf;

use harness::browser::{Browser, Look, key};
use installation::{Installation, Plan};
use shared::domain::Settings;
use shared::trigger_forms::{self, Served};
use simulators::retailcrm::an_order;

fn pictures() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("screenshots")
}

async fn shop() -> Installation {
    let settings = Settings { delivery_types: vec!["incity".into(), "outcity".into()], ..Settings::default() };
    Installation::of(Plan { settings, ..Plan::default() }).await
}

/// As the manager does it: «Настройки» of the module in RetailCRM.
async fn opened(world: &Installation, look: Look) -> Browser {
    let browser = Browser::open(look).await;
    browser
        .post_from_elsewhere(&format!("{}/retailcrm/account", world.url()), &[("clientId", world.client_id())])
        .await;
    browser.element("#title").await;
    browser
}

/// Distance from the lower edge of a field to the upper one of its message, CSS pixels.
async fn gap(browser: &Browser, field: &str) -> f64 {
    let expression = format!(
        "document.querySelector('#{field}-note .error').getBoundingClientRect().top \
         - document.querySelector('#{field}').getBoundingClientRect().bottom"
    );
    browser.measure(&expression).await.as_f64().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_fills_in_checks_and_saves_the_settings() {
    let world = shop().await;
    let browser = opened(&world, Look::default()).await;
    assert_eq!(browser.address().await, format!("{}/retailcrm/account", world.url()), "no id in the address");
    browser.shows("Код статуса оплаты").await;
    browser.screenshot(&pictures(), "settings-ru").await;

    // A mistake: said at the top and beside its field, and what was typed is still there.
    browser.fill("#title", "Магазин «По городу»").await;
    browser.fill("#crm_url", "https://evil.example").await;
    browser.fill("#default_weight_g", "полкило").await;
    browser.press("#save").await;
    browser.shows("Настройки не сохранены").await;
    assert!(browser.text_of("#crm_url-note").await.starts_with("Это не адрес RetailCRM"));
    assert!(browser.text_of("#default_weight_g-note").await.starts_with("Целое число граммов"));
    for field in ["crm_url", "default_weight_g"] {
        let gap = gap(&browser, field).await;
        assert!((0.0..24.0).contains(&gap), "the message of {field} stands {gap} px below it");
        assert_eq!(browser.attribute(&format!("#{field}"), "aria-invalid").await.as_deref(), Some("true"));
    }
    assert!(!browser.has("#title[aria-invalid]").await);
    assert_eq!(browser.value("#title").await, "Магазин «По городу»");
    assert_eq!(browser.value("#crm_url").await, "https://evil.example");
    assert_eq!(world.stored().await, world.integration, "nothing is saved");
    browser.screenshot(&pictures(), "settings-error-ru").await;

    // The way from the summary to the field.
    browser.press(".notice a[href='#crm_url']").await;
    assert_eq!(browser.focused("id").await, "crm_url");
    browser.fill("#crm_url", &world.crm.url()).await;
    browser.fill("#default_weight_g", "750").await;
    browser.fill("#payment_status", "paid").await;
    browser.choose("#receive_payment", "yes").await;
    browser.press("#save").await;
    browser.shows("Настройки сохранены.").await;
    let kept = world.stored().await;
    assert_eq!((kept.title.as_str(), kept.settings.default_weight_g), ("Магазин «По городу»", 750));
    assert!(kept.settings.receive_payment && kept.settings.payment_status.as_deref() == Some("paid"));
    assert_eq!(kept.secrets.password.expose(), "pass-demo", "the empty field kept it");

    browser.fill("#town", "Химки").await;
    browser.fill("#weight", "1400").await;
    browser.press("#run-check").await;
    browser.shows("Не срочно: 400.00").await;
    for words in ["Ключ API принят", "клиент 2417"] {
        browser.shows(words).await;
    }
    assert_eq!(browser.value("#town").await, "Химки");
    browser.screenshot(&pictures(), "settings-checked-ru").await;

    // A new password is tried before it is saved, and what was typed stays.
    world.courier.update_account(installation::CABINET, |cabinet| cabinet.pass = "another".into());
    browser.fill("#title", "По области").await;
    browser.fill("#password", "mistyped").await;
    browser.press("#run-check").await;
    browser.shows("Плохо").await;
    browser.shows("Проверьте").await;
    assert_eq!(browser.value("#title").await, "По области");
    assert_eq!(world.stored().await.title, "Магазин «По городу»", "a check saves nothing");
    assert!(world.stored().await.is_active(), "what was only tried pauses nothing");
    browser.screenshot(&pictures(), "settings-check-failed-ru").await;
    browser.fill("#password", "another").await;
    browser.press("#run-check").await;
    browser.shows("клиент 2417").await;
    browser.shows("Проверены ещё не сохранённые значения").await;
    assert_eq!(browser.value("#password").await, "", "a secret is not shown");
    for secret in ["another", "mistyped"] {
        assert!(!browser.measure("document.documentElement.outerHTML").await.to_string().contains(secret));
    }
    browser.screenshot(&pictures(), "settings-checked-unsaved-ru").await;
    browser.press("#save").await;
    browser.shows("Настройки сохранены.").await;
    let kept = world.stored().await;
    assert_eq!((kept.title.as_str(), kept.secrets.password.expose()), ("По области", "another"), "as it was checked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_finds_a_failed_order_mends_it_and_sends_it_again() {
    let world = shop().await;
    let order = world.add_order(an_order().number("A-77").delivery_type("incity").text("phone", "нет"));
    world.crm.save(world.account, order).await.expect("answered");
    let fine = world.plain_order("B-1");
    world.crm.save(world.account, fine).await.expect("answered");
    world.at_rest().await;
    let browser = opened(&world, Look::default()).await;
    browser.press("nav a[href$='/debug']").await;
    browser.shows("A-77").await;
    browser.fill("#q", "A-77").await;
    browser.press("[role=search] button").await;
    browser.shows("field [receiver phone] has no valid phone number").await;
    browser.shows("Укажите в заказе телефон получателя").await;
    assert!(!browser.text().await.contains("B-1"), "only what was looked for");
    browser.screenshot(&pictures(), "debug-failed-ru").await;

    world.crm.edit(world.account, order, |draft| draft.set_text("phone", "+7 916 222-33-44"));
    browser.press("form[action$='/replay'] button").await;
    browser.shows("Команда отправлена повторно").await;
    assert_eq!(browser.value("#q").await, "A-77", "still at the order");
    world.until("the order is placed", async || world.courier.order("A-77").is_some()).await;
    world.at_rest().await;
    world
        .until("the exchange is shown", async || {
            browser.press("[role=search] button").await;
            browser.text().await.contains("MeaSoft: создание заказа — принято")
        })
        .await;
    browser.press("details:last-of-type summary").await;
    let text = browser.text().await;
    assert!(text.contains("Неудач нет"), "the success closed it: {text}");
    for personal in ["9162223344", "222-33-44", "pass-demo", "crm-key", world.client_id()] {
        assert!(!browser.measure("document.documentElement.outerHTML").await.to_string().contains(personal));
    }
    browser.screenshot(&pictures(), "debug-replayed-ru").await;
    browser.fill("#q", "no such order").await;
    browser.press("[role=search] button").await;
    browser.shows("Ничего не найдено").await;
    browser.screenshot(&pictures(), "debug-empty-ru").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_triggers_tab_shows_what_to_paste_character_by_character() {
    let world = shop().await;
    let browser = opened(&world, Look::default()).await;
    browser.press("nav a[href$='/triggers']").await;
    browser.shows("/reintegrations/requests/trigger/retailcrm").await;
    browser.screenshot(&pictures(), "triggers-ru").await;
    let served = Served::all(std::slice::from_ref(&world.integration), "measoft", &[]);
    for form in &trigger_forms::forms(world.integration.id, &served, &world.url()) {
        let which = form.which.as_str();
        // A field's value is what the clipboard gets: no line break may come in.
        assert_eq!(browser.value(&format!("#condition-{which}")).await, form.condition);
        if let Some(extended) = &form.extended_condition {
            assert_eq!(browser.value(&format!("#extended-{which}")).await, *extended);
        }
        let text = browser.text_of(&format!("#form-{which}")).await;
        assert!(text.contains(&form.url), "{text}");
        for (name, value) in &form.parameters {
            assert!(text.contains(name.as_str()) && text.contains(value.as_str()), "{name}: {text}");
        }
        if let Some(key) = &form.literal_key {
            assert!(text.contains(&format!("сам ключ: {key}")), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_on_a_phone_in_english_everything_works_and_nothing_is_cut_off() {
    let world = shop().await;
    let order = world.add_order(an_order().number("A-77").delivery_type("incity").text("phone", "нет"));
    world.crm.save(world.account, order).await.expect("answered");
    world.at_rest().await;
    let browser = Browser::open(Look { width: 390, scripts: false, ..Look::default() }).await;
    browser.go("data:text/html,<p id=p>before</p><script>p.textContent='after'</script>").await;
    assert_eq!(browser.text_of("#p").await, "before", "scripts are off");
    let open = format!("{}/retailcrm/account", world.url());
    browser.post_from_elsewhere(&open, &[("clientId", world.client_id())]).await;
    browser.press("a[hreflang=en]").await;
    browser.shows("Payment status code").await;
    assert_eq!(browser.attribute("html", "lang").await.as_deref(), Some("en"));
    let fits = async |name: &str| {
        assert_eq!(browser.too_wide_by().await, 0, "{name} is wider than the phone");
        let small = "[...document.querySelectorAll('button, nav a, select, input:not([type=hidden]), summary')]\
                     .filter(e => e.getBoundingClientRect().height < 40).map(e => e.outerHTML)";
        assert_eq!(browser.measure(small).await, serde_json::json!([]), "{name}: too small for a finger");
        browser.screenshot(&pictures(), &format!("{name}-phone-en")).await;
    };
    fits("settings").await;
    browser.fill("#title", "").await;
    browser.press("#save").await;
    browser.shows("Fill this field in").await;
    fits("settings-error").await;
    browser.fill("#title", "City").await;
    browser.press("#save").await;
    browser.shows("The settings are saved.").await;
    assert_eq!(world.stored().await.title, "City");
    browser.fill("#town", "Химки").await;
    browser.press("#run-check").await;
    browser.shows("The API key is accepted").await;
    fits("settings-checked").await;
    browser.press("nav a[href$='/debug']").await;
    browser.shows("has no valid phone number").await;
    fits("debug").await;
    browser.press("nav a[href$='/triggers']").await;
    browser.shows("Condition (editor)").await;
    fits("triggers").await;
    browser.go(&format!("{open}/nothing")).await;
    browser.shows("There is no such page").await;
    fits("not-found").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_alone_is_enough_and_the_focus_is_seen() {
    let world = shop().await;
    let browser = opened(&world, Look { dark: true, ..Look::default() }).await;
    browser.screenshot(&pictures(), "settings-dark-ru").await;
    browser.keys(&key::TAB.to_string()).await;
    assert_eq!(browser.focused("href").await, "#content", "first the way past the tabs");
    browser.keys(&key::ENTER.to_string()).await;
    browser.tab_to("id", "title").await;
    let outline = "getComputedStyle(document.activeElement).outlineWidth";
    assert_ne!(browser.measure(outline).await, "0px");
    // Reached with Tab, a field's text is selected: what is typed replaces it.
    browser.keys("Город").await;
    let passed = browser.tab_to("id", "save").await;
    assert!(passed.starts_with(&["crm_url".to_owned(), "crm_api_key".to_owned()]), "in the order seen: {passed:?}");
    browser.screenshot(&pictures(), "settings-focus-dark-ru").await;
    browser.keys(&key::ENTER.to_string()).await;
    browser.shows("Настройки сохранены.").await;
    assert_eq!(world.stored().await.title, "Город");

    browser.tab_to("href", "/retailcrm/account/debug").await;
    browser.keys(&key::ENTER.to_string()).await;
    browser.element("#q").await;
    browser.tab_to("id", "q").await;
    browser.keys("A-1").await;
    browser.keys(&key::ENTER.to_string()).await;
    browser.shows("Ничего не найдено").await;
    assert!(browser.address().await.ends_with("q=A-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_session_the_browser_is_sent_back_to_retailcrm() {
    let world = shop().await;
    let browser = Browser::open(Look::default()).await;
    browser.go(&format!("{}/retailcrm/account", world.url())).await;
    browser.shows("Откройте эту страницу из RetailCRM").await;
    browser.screenshot(&pictures(), "no-session-ru").await;
    browser.post_from_elsewhere(&format!("{}/retailcrm/account", world.url()), &[("clientId", "stranger")]).await;
    browser.shows("Нет доступа").await;
}
