//! A real Chromium, driven over WebDriver's plain HTTP and JSON, as a person uses a page:
//! by labels, keys and what can be seen.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde_json::{Value, json};

use super::eventually::{LONG, eventually};

/// Keys of WebDriver that are no characters.
pub mod key {
    #![allow(missing_docs)]
    pub const TAB: char = '\u{E004}';
    pub const ENTER: char = '\u{E007}';
    pub const ESCAPE: char = '\u{E00C}';
}

const FLAGS: [&str; 12] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--no-proxy-server",
    "--force-color-profile=srgb",
    // Chromium ends when the driver does, however that went.
    "--remote-debugging-pipe",
];

/// What kind of browser.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Width of the page, CSS pixels; below 600 it is a phone.
    pub width: u32,
    /// Whether pages may run scripts.
    pub scripts: bool,
    /// Whether the person prefers dark pages.
    pub dark: bool,
}

impl Default for Look {
    fn default() -> Self {
        Self { width: 1100, scripts: true, dark: false }
    }
}

/// A running browser with an empty profile; gone with this value.
pub struct Browser {
    driver: Child,
    http: reqwest::Client,
    session: String,
    profile: PathBuf,
}

/// An element of the page, as WebDriver names it.
#[derive(Debug, Clone)]
pub struct Element(String);

const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

impl Browser {
    /// # Panics
    /// When Chromium or its driver is missing or does not start: a page that nobody has
    /// seen must not count as seen.
    pub async fn open(look: Look) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("chromedriver is missing: ./tests/run installs it (Debian's chromium and chromium-driver)");
        let mut said = BufReader::new(driver.stdout.take().expect("piped"));
        let port: u16 = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            while said.read_line(&mut line).unwrap_or(0) > 0 {
                if let Some((_, port)) = line.split_once("started successfully on port ") {
                    let port = port.trim().trim_end_matches('.').parse().expect("a port");
                    // Its pipe must not fill up.
                    std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
                    return port;
                }
                line.clear();
            }
            panic!("chromedriver ended without a port");
        })
        .await
        .expect("chromedriver says its port");
        let profile = std::env::temp_dir().join(format!("bridge-browser-{}", uuid::Uuid::new_v4().simple()));
        let mut arguments: Vec<String> = FLAGS.iter().map(|flag| (*flag).to_owned()).collect();
        arguments.push(format!("--user-data-dir={}", profile.display()));
        arguments.push(format!("--window-size={},900", look.width));
        let scripts = if look.scripts { 1 } else { 2 };
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {
                "args": arguments,
                "prefs": {"profile.managed_default_content_settings.javascript": scripts, "intl.accept_languages": "ru"},
            },
        }}});
        let http = simulators::http().timeout(LONG).build().expect("a client");
        let mut browser = Self { driver, http, session: format!("http://127.0.0.1:{port}/session"), profile };
        let begun = browser.call("", wanted).await.unwrap_or_else(|error| panic!("Chromium does not start: {error}"));
        browser.session.push('/');
        browser.session.push_str(begun["sessionId"].as_str().expect("a session"));
        let metrics = json!({"width": look.width, "height": 844, "deviceScaleFactor": 2, "mobile": look.width < 600});
        browser.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        let scheme = if look.dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        browser.devtools("Emulation.setEmulatedMedia", media).await;
        browser
    }

    async fn exchange(&self, request: reqwest::RequestBuilder) -> Result<Value, String> {
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| error.to_string())?;
        let body: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        let value = body["value"].clone();
        if status.is_success() {
            return Ok(value);
        }
        let text = value["message"].as_str().unwrap_or_default();
        Err(format!("{}: {}", value["error"].as_str().unwrap_or("no error"), text.lines().next().unwrap_or_default()))
    }

    async fn call(&self, path: &str, body: Value) -> Result<Value, String> {
        let post = self.http.post(format!("{}{path}", self.session)).header("content-type", "application/json");
        self.exchange(post.body(body.to_string())).await
    }

    async fn read(&self, path: &str) -> Result<Value, String> {
        self.exchange(self.http.get(format!("{}{path}", self.session))).await
    }

    async fn must(&self, path: &str, body: Value) -> Value {
        self.call(path, body).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// A command of Chromium's own protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.must("/goog/cdp/execute", json!({"cmd": command, "params": parameters})).await
    }

    /// Opens an address.
    pub async fn go(&self, url: &str) {
        self.must("/url", json!({ "url": url })).await;
    }

    /// Opens a page as RetailCRM does: the form of a page of another site is sent.
    pub async fn post_from_elsewhere(&self, url: &str, fields: &[(&str, &str)]) {
        let hidden: String =
            fields.iter().map(|(name, value)| format!("<input type=hidden name={name} value='{value}'>")).collect();
        let page = format!("<form method=post action='{url}'>{hidden}<button>Open</button></form>");
        self.go(&format!("data:text/html,{page}")).await;
        self.press("button").await;
    }

    /// The address shown.
    pub async fn address(&self) -> String {
        self.read("/url").await.expect("an address").as_str().unwrap_or_default().to_owned()
    }

    /// The value of an expression in the page, for measuring it.
    pub async fn measure(&self, expression: &str) -> Value {
        self.must("/execute/sync", json!({"script": format!("return {expression}"), "args": []})).await
    }

    /// What axe-core finds serious or critical on the page, with where. `folder`: where ./tests/run has
    /// installed it. The page's scripts must be on.
    ///
    /// # Panics
    /// When axe-core is not there: what nobody looked at must not count as looked at.
    pub async fn axe(&self, folder: &Path) -> Vec<String> {
        let engine = folder.join("node_modules/axe-core/axe.min.js");
        let engine = std::fs::read_to_string(&engine).unwrap_or_else(|error| {
            panic!("{}: {error}; ./tests/run installs axe-core, with npm and a network", engine.display())
        });
        const LOOK: &str = "const done = arguments[arguments.length - 1];
            const bad = v => ['serious', 'critical'].includes(v.impact);
            const words = v => `${v.impact} ${v.id}: ${v.nodes.map(n => n.target.join(' ')).join(', ')}`;
            axe.run(document, {resultTypes: ['violations']})
                .then(r => done(r.violations.filter(bad).map(words)), e => done(['axe fails: ' + e]));";
        let found = self.must("/execute/async", json!({"script": format!("{engine}\n{LOOK}"), "args": []})).await;
        let found = found.as_array().expect("a list").iter();
        found.map(|words| words.as_str().unwrap_or_default().to_owned()).collect()
    }

    async fn find(&self, css: &str) -> Result<Element, String> {
        let found = self.call("/element", json!({"using": "css selector", "value": css})).await?;
        found[ELEMENT].as_str().map(|id| Element(id.to_owned())).ok_or_else(|| "no element".to_owned())
    }

    /// The first element that fits; waits for it, since the page may be on its way.
    pub async fn element(&self, css: &str) -> Element {
        eventually(&format!("«{css}» is on the page"), Duration::from_secs(20), || self.find(css)).await
    }

    /// Whether something is there now.
    pub async fn has(&self, css: &str) -> bool {
        self.find(css).await.is_ok()
    }

    /// The text of the whole page as it is seen.
    pub async fn text(&self) -> String {
        self.text_of("body").await
    }

    /// The text of an element as it is seen.
    pub async fn text_of(&self, css: &str) -> String {
        self.of_element(css, "text").await.as_str().unwrap_or_default().to_owned()
    }

    /// Something of an element, which may not be there yet.
    async fn of_element(&self, css: &str, what: &str) -> Value {
        eventually(&format!("«{css}» can be read"), Duration::from_secs(20), || self.seen_of(css, what)).await
    }

    /// An error also when the page was replaced between the two calls.
    async fn seen_of(&self, css: &str, what: &str) -> Result<Value, String> {
        let element = self.find(css).await?;
        self.read(&format!("/element/{}/{what}", element.0)).await
    }

    /// Waits until the page shows these words.
    pub async fn shows(&self, words: &str) {
        eventually(&format!("the page shows «{words}»"), Duration::from_secs(20), || async {
            let text = self.seen_of("body", "text").await?;
            let text = text.as_str().unwrap_or_default();
            if text.contains(words) { Ok(()) } else { Err(text.to_owned()) }
        })
        .await;
    }

    /// What a field holds.
    pub async fn value(&self, css: &str) -> String {
        self.of_element(css, "property/value").await.as_str().unwrap_or_default().to_owned()
    }

    /// An attribute, `None` when it is not there.
    pub async fn attribute(&self, css: &str, name: &str) -> Option<String> {
        self.of_element(css, &format!("attribute/{name}")).await.as_str().map(str::to_owned)
    }

    /// Clicks what can be clicked.
    pub async fn press(&self, css: &str) {
        let element = self.element(css).await;
        self.must(&format!("/element/{}/click", element.0), json!({})).await;
    }

    /// Clicks the first button that bears these words, once it is there and nothing covers it.
    pub async fn press_words(&self, words: &str) {
        let path = format!("//button[contains(normalize-space(.), \"{words}\")]");
        eventually(&format!("the button «{words}» is pressed"), Duration::from_secs(20), || async {
            let found = self.call("/element", json!({"using": "xpath", "value": path})).await?;
            let id = found[ELEMENT].as_str().ok_or("no element")?;
            self.call(&format!("/element/{id}/click"), json!({})).await.map(|_| ())
        })
        .await;
    }

    /// Empties a field and types into it.
    pub async fn fill(&self, css: &str, text: &str) {
        let element = self.element(css).await;
        self.must(&format!("/element/{}/clear", element.0), json!({})).await;
        self.must(&format!("/element/{}/value", element.0), json!({ "text": text })).await;
    }

    /// Chooses an entry of a list.
    pub async fn choose(&self, css: &str, value: &str) {
        self.press(&format!("{css} option[value=\"{value}\"]")).await;
    }

    /// Types to whatever has the focus, as at a keyboard.
    pub async fn keys(&self, text: &str) {
        let actions: Vec<Value> = text
            .chars()
            .flat_map(|key| {
                let key = key.to_string();
                [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})]
            })
            .collect();
        self.must("/actions", json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})).await;
    }

    /// An attribute of what has the focus, or its text when it has no such attribute.
    pub async fn focused(&self, attribute: &str) -> String {
        let active = self.read("/element/active").await.expect("something has the focus");
        let id = active[ELEMENT].as_str().expect("an element");
        let named = self.read(&format!("/element/{id}/attribute/{attribute}")).await.expect("an attribute");
        match named.as_str() {
            Some(named) => named.to_owned(),
            None => self.read(&format!("/element/{id}/text")).await.expect("a text").as_str().unwrap_or("").to_owned(),
        }
    }

    /// Presses Tab until the wanted element has the focus; what was passed on the way.
    ///
    /// # Panics
    /// When it cannot be reached.
    pub async fn tab_to(&self, attribute: &str, wanted: &str) -> Vec<String> {
        let mut passed = Vec::new();
        for _ in 0..80 {
            self.keys(&key::TAB.to_string()).await;
            let here = self.focused(attribute).await;
            passed.push(here.clone());
            if here == wanted {
                return passed;
            }
        }
        panic!("{attribute}={wanted} cannot be reached with Tab: {passed:?}");
    }

    /// Pixels by which the page is wider than the window.
    pub async fn too_wide_by(&self) -> i64 {
        let wide = self.measure("document.documentElement.scrollWidth - window.innerWidth").await;
        wide.as_i64().expect("a number")
    }

    /// The whole page as a picture below `target/screenshots`.
    ///
    /// # Panics
    /// When it cannot be taken or written.
    pub async fn screenshot(&self, folder: &Path, name: &str) {
        let shot = json!({"format": "png", "captureBeyondViewport": true});
        let picture = self.devtools("Page.captureScreenshot", shot).await;
        let bytes = BASE64.decode(picture["data"].as_str().expect("a picture")).expect("base64");
        assert!(bytes.starts_with(b"\x89PNG"), "a picture");
        std::fs::create_dir_all(folder).expect("a folder for pictures");
        std::fs::write(folder.join(format!("{name}.png")), bytes).expect("the picture can be written");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // With the browser itself, which would write into its folder for a while yet.
        let group = format!("-{}", self.driver.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}
