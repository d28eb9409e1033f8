//! What people read is in their language: every page, as it is rendered.

mod world;

use shared::store::console::Role;
use world::World;

/// Names that are the same in both languages.
const NAMES: [&str; 10] = ["RetailCRM", "MeaSoft", "PostgreSQL", "CSV", "API", "HTTP", "HTML", "XML", "root", "shop"];

/// Attributes that people read or hear.
const READ: [&str; 4] = ["aria-label=\"", "title=\"", "placeholder=\"", "alt=\""];

/// What a page says, without code, quoted records and passages that say to be of another language.
fn said(html: &str) -> String {
    let mut text = String::new();
    let mut skipped: Option<(String, usize)> = None;
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        if skipped.is_none() {
            text.push_str(&rest[..at]);
        }
        let end = at + rest[at..].find('>').expect("a tag ends");
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        let closes = tag.starts_with('/');
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default().to_owned();
        match &mut skipped {
            Some((of, depth)) if *of == name => {
                *depth = if closes { *depth - 1 } else { *depth + 1 };
                if *depth == 0 {
                    skipped = None;
                }
            }
            Some(_) => {}
            None => {
                let foreign = name != "html" && (tag.contains(" lang=\"") || tag.contains("translate=\"no\""));
                if !closes && (["code", "pre"].contains(&name.as_str()) || foreign) {
                    skipped = Some((name, 1));
                    continue;
                }
                for read in READ {
                    if let Some(value) = tag.split(read).nth(1).and_then(|value| value.split('"').next()) {
                        text.push_str(&format!(" {value} "));
                    }
                }
                text.push(' ');
            }
        }
    }
    text.replace("&#38;", "&").replace("&amp;", "&")
}

/// What a file says, but for its sixth column: of the audit, what was changed, by names and values.
fn listed(file: &str) -> String {
    let line = |line: &str| line.splitn(6, ',').take(5).collect::<Vec<_>>().join(",");
    file.trim_start_matches('\u{feff}').lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Words of the other language.
fn strange(text: &str, russian: bool) -> Vec<String> {
    let words = text.split(|c: char| c.is_whitespace() || ",;()«»\"".contains(c));
    // Nor are codes words, which files have in a column of their own.
    let addresses = words.filter(|word| !word.contains("://") && !word.contains('_'));
    let letters = addresses.flat_map(|word| word.split(|c: char| !c.is_alphabetic()));
    let of_other = |word: &&str| {
        let latin = word.chars().any(|c| c.is_ascii_alphabetic());
        word.chars().count() > 1 && latin == russian && !NAMES.contains(word)
    };
    letters.filter(of_other).map(str::to_owned).collect()
}

const PAGES: [&str; 20] = [
    "/",
    "/causes?snoozed=1",
    "/letters",
    "/letters?reason=bad_phone&integration=1",
    "/waiting",
    "/orders?number=1007A",
    "/orders/1/1007A",
    "/orders/1/1001A",
    "/orders/1/404",
    "/orders/1/1007A/preview",
    "/replays",
    "/replays/1",
    "/compare",
    "/shadow",
    "/integrations/1/edit",
    "/integrations",
    "/integrations/1",
    "/integrations/2",
    "/budget",
    "/audit?verify=1",
];
const FILES: [&str; 7] =
    ["/now.csv", "/causes.csv", "/waiting.csv", "/budget.csv", "/audit.csv", "/compare.csv", "/shadow.csv"];

async fn read_all(language: &str, first: &str, second: &str, who: &str) {
    let world = World::new().await;
    world.filled(first, second).await;
    let cookie = world.session(who, Role::Owner).await;
    world.act("/causes/snooze", &cookie, &[("reason", "bad_phone"), ("integration", "1"), ("hours", "4")]).await;
    world.act("/causes/acknowledge", &cookie, &[("reason", "auth_failed"), ("integration", "2")]).await;
    world.act("/waiting/hurry", &cookie, &[("work", "orders"), ("integration", "1")]).await;
    let mut stopped = vec!["/nothing", "/enter/0000"];
    stopped.extend(["/people", "/?done=paused", "/?done=reason-missing"]);
    for path in PAGES.iter().chain(&stopped).chain(&FILES) {
        for cookie in [Some(cookie.as_str()), None] {
            let got = world.send(world.request("GET", path, cookie).header("accept-language", language)).await;
            if got.status == 303 {
                continue;
            }
            let lang = format!("<html lang=\"{language}\">");
            assert!(got.body.starts_with('\u{feff}') || got.body.contains(&lang), "{path}: {}", got.body);
            let text = if got.body.starts_with('\u{feff}') { listed(&got.body) } else { said(&got.body) };
            let found = strange(&text, language == "ru");
            assert!(found.is_empty(), "{path} in {language}: {found:?}");
        }
    }
    for link in ["used", "unknown"] {
        let asked = world.form("/enter", None, &[("link", link)]).header("accept-language", language);
        let found = strange(&said(&world.send(asked).await.body), language == "ru");
        assert!(found.is_empty(), "{link} in {language}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_english_word_is_on_a_russian_page() {
    read_all("ru", "Город", "Область", "Анна").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_russian_word_is_on_an_english_page() {
    read_all("en", "City", "Region", "Anna").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_language_is_the_browser_s_until_somebody_chooses() {
    let world = World::new().await;
    let is = async |request: reqwest::RequestBuilder| {
        let got = world.send(request).await;
        (got.body.contains("<html lang=\"en\">"), got.header("set-cookie").to_owned())
    };
    let page = || world.request("GET", "/", None);
    assert!(!is(page()).await.0 && is(page().header("accept-language", "en-GB,ru")).await.0);
    let (english, cookie) = is(world.request("GET", "/?lang=en", None)).await;
    assert!(english && cookie.starts_with("bridge_console_language=en;"), "{cookie}");
    assert!(is(page().header("cookie", "bridge_console_language=en")).await.0);
    assert!(!is(world.request("GET", "/?lang=xx", None)).await.0);
}

#[test]
fn the_reader_of_pages_sees_words_and_leaves_code_out() {
    let html = "<html lang=\"ru\"><p title=\"One\">слово <code>code <b>x</b></code> <a lang=\"en\">English</a> two</p><pre>z</pre>";
    let text = said(&format!("{html}<i>"));
    assert_eq!(strange(&text, true), ["One", "two"]);
    assert_eq!(strange("a word и слово", false), ["слово"]);
}
