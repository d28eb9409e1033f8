//! Every screen in a real Chromium, on a desk and on a phone: nothing is cut off, everything has a
//! name and can be read, and an operator's work is done by pressing.

mod world;

use std::path::PathBuf;
use std::time::Duration;

use harness::browser::{Browser, Look, key};
use serde_json::json;
use shared::domain::IntegrationState;
use shared::store::console::Role;
use simulators::retailcrm::an_order;
use world::World;

fn pictures() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("screenshots")
}

/// Where ./tests/run installs axe-core.
fn axe() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("axe")
}

const SCREENS: [(&str, &str); 18] = [
    ("now", "/"),
    ("causes", "/causes"),
    ("letters", "/letters?reason=bad_phone&integration=1"),
    ("waiting", "/waiting"),
    ("order", "/orders/1/1007A"),
    ("order-failed", "/orders/1/1001A"),
    ("order-preview", "/orders/1/1007A/preview"),
    ("replays", "/replays"),
    ("replay", "/replays/1"),
    ("compare", "/compare"),
    ("shadow", "/shadow"),
    ("integration-edit", "/integrations/1/edit"),
    ("integrations", "/integrations"),
    ("integration", "/integrations/1"),
    ("budget", "/budget"),
    ("audit", "/audit"),
    ("people", "/people"),
    ("not-found", "/nothing"),
];

/// What is wrong with a page for whoever hears it or works it with keys: each thing in a few words.
const WRONG: &str = r"(() => {
    const all = css => [...document.querySelectorAll(css)];
    const short = e => e.outerHTML.slice(0, 90);
    const wrong = [];
    all('input:not([type=hidden]), select, textarea').filter(e => !e.labels.length).forEach(e => wrong.push('no label: ' + short(e)));
    all('button, a, summary').filter(e => !(e.getAttribute('aria-label') || e.textContent).trim())
        .forEach(e => wrong.push('no name: ' + short(e)));
    all('svg[role=img]').filter(e => !e.getAttribute('aria-label')).forEach(e => wrong.push('no words: ' + short(e)));
    const ids = all('[id]').map(e => e.id);
    ids.filter((id, n) => ids.indexOf(id) !== n).forEach(id => wrong.push('id twice: ' + id));
    const levels = all('h1, h2, h3').map(e => +e.tagName[1]);
    if (levels.filter(n => n === 1).length !== 1) wrong.push('not one h1: ' + levels);
    levels.forEach((n, i) => { if (i && n > levels[i - 1] + 1) wrong.push('a heading is left out: ' + levels); });
    if (!all('main').length || !document.title.trim()) wrong.push('no main or title');
    const numbers = text => text.match(/[\d.]+/g).map(Number);
    const light = ([r, g, b]) => { const f = v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
        return .2126 * f(r) + .7152 * f(g) + .0722 * f(b); };
    const behind = e => { for (; e; e = e.parentElement) { const c = numbers(getComputedStyle(e).backgroundColor);
        if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const e = walker.currentNode.parentElement;
        if (!walker.currentNode.textContent.trim() || !e.checkVisibility()) continue;
        const [one, other] = [light(numbers(getComputedStyle(e).color)), light(behind(e))];
        const ratio = (Math.max(one, other) + .05) / (Math.min(one, other) + .05);
        if (ratio < 4.5) wrong.push('contrast ' + ratio.toFixed(1) + ': ' + short(e));
    }
    return wrong;
})()";

/// Too small for a finger.
const SMALL: &str = "[...document.querySelectorAll('button, nav a, select, input:not([type=hidden]):not([type=checkbox]), \
                     summary')].filter(e => e.checkVisibility()).filter(e => e.getBoundingClientRect().height < 38 \
                     && !e.classList.contains('link')).map(e => e.outerHTML.slice(0, 90))";

/// As somebody comes who was given an address.
async fn entered(world: &World, look: Look, role: Role) -> Browser {
    let browser = Browser::open(look).await;
    let link = world.link("Анна", role).await;
    browser.go(&world.url(&format!("/enter/{}", link.expose()))).await;
    browser.press("#enter").await;
    browser.element("nav a[aria-current=page]").await;
    browser
}

async fn looked_at(world: &World, browser: &Browser, look: &str) {
    for (name, path) in SCREENS {
        browser.go(&world.url(path)).await;
        browser.element("main").await;
        browser.screenshot(&pictures(), &format!("console-{name}-{look}")).await;
        assert_eq!(browser.too_wide_by().await, 0, "{name} on a {look} is wider than its window");
        assert_eq!(browser.measure(WRONG).await, json!([]), "{name} on a {look}");
        if look.starts_with("phone") {
            assert_eq!(browser.measure(SMALL).await, json!([]), "{name}: too small for a finger");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_screen_fits_a_desk_and_is_named_and_readable() {
    let world = World::new().await;
    world.filled("Город", "Область").await;
    let browser = entered(&world, Look { width: 1280, ..Look::default() }, Role::Owner).await;
    looked_at(&world, &browser, "desk-ru").await;
    browser.go(&world.url("/?lang=en")).await;
    browser.shows("Need attention").await;
    looked_at(&world, &browser, "desk-en").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_screen_fits_a_phone_without_scripts_in_the_dark_too() {
    let world = World::new().await;
    world.filled("Город", "Область").await;
    let browser = entered(&world, Look { width: 390, scripts: false, dark: false }, Role::Owner).await;
    looked_at(&world, &browser, "phone-ru").await;
    let dark = entered(&world, Look { width: 390, scripts: false, dark: true }, Role::Operator).await;
    dark.go(&world.url("/causes")).await;
    dark.screenshot(&pictures(), "console-causes-phone-dark-ru").await;
    assert_eq!(dark.measure(WRONG).await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_serious_on_any_screen_with_everything_unfolded() {
    let world = World::new().await;
    world.filled("Город", "Область").await;
    for (width, dark) in [(1280, false), (390, true)] {
        let browser = entered(&world, Look { width, scripts: true, dark }, Role::Owner).await;
        for (name, path) in SCREENS {
            browser.go(&world.url(path)).await;
            browser.element("main").await;
            browser.measure("document.querySelectorAll('details').forEach(e => e.open = true)").await;
            assert_eq!(browser.axe(&axe()).await, Vec::<String>::new(), "{name} at {width}, unfolded");
            assert!(browser.too_wide_by().await <= 0, "{name} at {width}, unfolded");
        }
    }
    let stranger = Browser::open(Look { width: 1280, ..Look::default() }).await;
    for path in ["/", "/enter/0000"] {
        stranger.go(&world.url(path)).await;
        stranger.element("main").await;
        assert_eq!(stranger.axe(&axe()).await, Vec::<String>::new(), "{path} for a stranger");
    }
    // What it is there for.
    browser_with_a_fault(&stranger).await;
}

/// A control without a name is found, or the test above says nothing.
async fn browser_with_a_fault(browser: &Browser) {
    browser.measure("document.querySelector('main').appendChild(document.createElement('button')) && 1").await;
    let found = browser.axe(&axe()).await;
    assert!(found.iter().any(|words| words.contains("button-name")), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_works_by_pressing_and_sees_what_came_of_it() {
    let world = World::new().await;
    let (city, _) = world.filled("Город", "Область").await;
    let browser = entered(&world, Look { width: 1280, scripts: false, dark: false }, Role::Operator).await;
    browser.press("nav a[href='/causes']").await;
    browser.press("form[action='/causes/acknowledge'] button").await;
    browser.shows("Причина принята в работу.").await;
    browser.shows("В работе у Анна").await;
    // One after the other: a reason is asked for before anything is paused.
    browser.press("nav a[href='/']").await;
    browser.press(".level-error details.act summary").await;
    browser.fill(&format!("#why-{}", city.id.0), "переезд склада").await;
    browser.screenshot(&pictures(), "console-pause-ru").await;
    browser.press(".level-error details.act button").await;
    browser.shows("Интеграция приостановлена").await;
    let state = world.store().integration(city.id).await.expect("read").expect("there").state;
    assert!(matches!(state, IntegrationState::Paused { reason, .. } if reason == "переезд склада"));
    // By its number, from anywhere.
    browser.fill("#order-number", "1007A").await;
    browser.press(".search button").await;
    browser.shows("у курьерской службы").await;
    browser.press(".story li:nth-child(2) details:last-of-type summary").await;
    browser.shows("<neworder>").await;
    browser.screenshot(&pictures(), "console-order-open-ru").await;
    browser.press("button.link").await;
    browser.shows("Нужно войти").await;
    browser.screenshot(&pictures(), "console-signed-out-ru").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_alone_is_enough_and_the_focus_is_seen() {
    let world = World::new().await;
    world.filled("Город", "Область").await;
    let browser = entered(&world, Look { width: 1280, ..Look::default() }, Role::Operator).await;
    browser.go(&world.url("/")).await;
    browser.keys(&key::TAB.to_string()).await;
    assert_eq!(browser.focused("href").await, "#content", "first the way past the navigation");
    browser.tab_to("href", "/causes").await;
    let outline = "getComputedStyle(document.activeElement).outlineWidth";
    assert_eq!(browser.measure(outline).await, "3px");
    browser.keys(&key::ENTER.to_string()).await;
    browser.shows("Что делать").await;
    assert!(browser.address().await.ends_with("/causes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_sees_everything_and_nothing_to_press() {
    let world = World::new().await;
    world.filled("Город", "Область").await;
    let browser = entered(&world, Look { width: 1280, ..Look::default() }, Role::Viewer).await;
    for (name, path) in SCREENS.iter().filter(|(name, _)| !["people", "integration-edit"].contains(name)) {
        browser.go(&world.url(path)).await;
        browser.element("main").await;
        let forms = browser.measure("document.querySelectorAll('main form[method=post]').length").await;
        assert_eq!(forms, 0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_previewed_and_corrected_by_keys_on_a_phone_without_scripts() {
    let (world, vendors) = World::with_vendors(|_| ()).await;
    let draft = an_order().number("7001").delivery_type("incity").status("new").receiver("Яна", "нет");
    vendors.crm.add_order(vendors.account, draft);
    world.want(&vendors.integration, "7001", Duration::from_secs(300)).await;
    let browser = entered(&world, Look { width: 390, scripts: false, dark: false }, Role::Operator).await;
    browser.go(&world.url("/orders/1/7001")).await;
    browser.press("#preview").await;
    browser.shows("не может быть передан").await;
    browser.screenshot(&pictures(), "console-preview-phone-ru").await;
    assert_eq!(browser.too_wide_by().await, 0);
    browser.press(".title a").await;
    browser.press("#correct summary").await;
    browser.fill("#correct-phone", "позвоните").await;
    browser.press("#correct button").await;
    browser.shows("Недопустимое значение поля: телефон").await;
    assert_eq!(browser.value("#correct-phone").await, "позвоните");
    browser.screenshot(&pictures(), "console-correct-phone-ru").await;
    assert_eq!(browser.measure(WRONG).await, json!([]));
    browser.fill("#correct-phone", "+79161234567").await;
    browser.keys(&key::ENTER.to_string()).await;
    browser.shows("MeaSoft получит изменение").await;
    browser.press("#preview").await;
    browser.shows("будет создан в MeaSoft").await;
    browser.screenshot(&pictures(), "console-preview-good-phone-ru").await;
}
