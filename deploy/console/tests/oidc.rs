//! Signing in at a real provider of OpenID Connect (tests/oidc): who is let in and as what, and who
//! is not.

mod world;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use harness::browser::{Browser, Look};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::store::console::Role;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout, Command};
use url::Url;
use world::{Answer, World};

/// The provider's process; gone with this value.
struct Provider {
    issuer: String,
    child: Child,
    /// It would end at its next word if nobody listened.
    _said: Lines<BufReader<ChildStdout>>,
}

impl Provider {
    async fn start(back: &str, host: &str, more: &Value) -> Self {
        let installed = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("oidc");
        assert!(installed.join("node_modules").is_dir(), "./tests/run installs oidc-provider, with npm and a network");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oidc/provider.mjs");
        let mut settings = json!({ "host": host, "back": back, "alg": "RS256", "in_token": false });
        for (name, value) in more.as_object().into_iter().flatten() {
            settings[name] = value.clone();
        }
        let mut command = Command::new("node");
        command.arg(script).arg(installed).arg(settings.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().expect("node starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let issuer = lines.next_line().await.expect("read").expect("the provider starts");
        Self { issuer, child, _said: lines }
    }

    async fn told(&self, world: &World, path: &str, body: String) {
        let told = world.send(world.http.post(format!("{}{path}", self.issuer)).body(body)).await;
        assert_eq!(told.status, 200);
    }
}

/// A console with a provider that knows it.
async fn signing_in(more: Value) -> (World, Provider) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let own = format!("http://{}", listener.local_addr().expect("an address"));
    // Another site than the console's, as browsers see it.
    let provider = Provider::start(&format!("{own}/sign-in/done"), "localhost", &more).await;
    let secret = more["secret"].as_str().unwrap_or("console planted-client-secret+%");
    let env = [
        ("CONSOLE_OIDC_ISSUER", provider.issuer.as_str()),
        ("CONSOLE_OIDC_CLIENT_ID", "console"),
        ("CONSOLE_OIDC_CLIENT_SECRET", secret),
        ("CONSOLE_PUBLIC_URL", own.as_str()),
    ];
    (World::on(listener, &env, Clock::standing_at(jiff::Timestamp::now())).await, provider)
}

/// Somebody with a browser: it keeps cookies.
struct Person<'a> {
    world: &'a World,
    cookies: Mutex<BTreeMap<String, String>>,
}

impl<'a> Person<'a> {
    fn new(world: &'a World) -> Self {
        Self { world, cookies: Mutex::default() }
    }

    fn cookies(&self) -> String {
        let kept = self.cookies.lock().expect("whole");
        kept.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn cookie(&self, begins: &str) -> Option<(String, String)> {
        let kept = self.cookies.lock().expect("whole");
        kept.iter().find(|(name, _)| name.starts_with(begins)).map(|(name, value)| (name.clone(), value.clone()))
    }

    fn keep(&self, name: &str, value: &str) {
        self.cookies.lock().expect("whole").insert(name.to_owned(), value.to_owned());
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let answer = self.world.send(request.header("cookie", self.cookies())).await;
        for set in answer.headers.get_all("set-cookie") {
            let set = set.to_str().expect("text").split(';').next().expect("a cookie").to_owned();
            let (name, value) = set.split_once('=').expect("a cookie");
            self.keep(name, value);
            self.cookies.lock().expect("whole").retain(|_, value| !value.is_empty());
        }
        answer
    }

    async fn get(&self, url: &str) -> Answer {
        self.send(self.world.http.get(url)).await
    }

    async fn page(&self, path: &str) -> Answer {
        self.get(&self.world.url(path)).await
    }

    /// Begins to sign in; the provider's address.
    async fn begin(&self) -> Url {
        let away = self.page("/sign-in").await;
        assert_eq!(away.status, 303, "{away:?}");
        Url::parse(away.header("location")).expect("an address")
    }

    /// Does what the provider's pages want, until they send back; where to.
    async fn at_provider(&self, mut url: Url, login: &str) -> Url {
        for _ in 0..12 {
            let answer = self.get(url.as_str()).await;
            let answer = if answer.status == 200 {
                let prompt = if answer.body.contains("value=\"login\"") { "login" } else { "consent" };
                let fields = [("prompt", prompt), ("login", login), ("password", "x")];
                self.send(self.world.http.post(url.clone()).form(&fields)).await
            } else {
                answer
            };
            let to = answer.header("location");
            assert!(!to.is_empty(), "the provider: {} {}", answer.status, answer.body);
            url = url.join(to).expect("an address");
            if url.query_pairs().any(|(name, _)| name == "code" || name == "error") {
                return url;
            }
        }
        panic!("the provider never sends back");
    }

    /// What the provider sends back with.
    async fn back(&self, login: &str) -> Url {
        let away = self.begin().await;
        self.at_provider(away, login).await
    }

    async fn sign_in(&self, login: &str) -> Answer {
        let back = self.back(login).await;
        self.get(back.as_str()).await
    }
}

fn value(url: &Url, name: &str) -> String {
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}

fn with(url: &Url, name: &str, value: &str) -> Url {
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .into_owned()
        .filter(|(known, _)| known != name)
        .chain([(name.into(), value.into())])
        .collect();
    let mut url = url.clone();
    url.query_pairs_mut().clear().extend_pairs(kept);
    url
}

/// What the audit says last: who, what, and what else.
async fn last(world: &World) -> (String, String, String) {
    let newest = world.audit().await.remove(0);
    (newest.who, newest.act, newest.after)
}

async fn refused(world: &World, answer: &Answer, words: &str, why: &str) {
    assert!(answer.status == 403 && answer.body.contains(words), "{answer:?}");
    let noted = ("stranger".to_owned(), "refused".to_owned(), json!({ "why": why }).to_string());
    assert_eq!(last(world).await, noted);
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_at_the_provider_say_what_somebody_may() {
    for more in [json!({}), json!({ "in_token": true, "alg": "ES256" })] {
        let (world, provider) = signing_in(more).await;
        let (city, _) = world.filled("Город", "Область").await;
        let stranger = Person::new(&world).page("/").await;
        assert!(stranger.status == 401 && stranger.body.contains("href=\"/sign-in\""), "{stranger:?}");
        for (login, role, people, act) in
            [("anna", Role::Viewer, 403, 403), ("boris", Role::Operator, 403, 303), ("olga", Role::Owner, 200, 303)]
        {
            let person = Person::new(&world);
            let entered = person.sign_in(login).await;
            assert!(entered.status == 200 && entered.body.contains("Вы вошли"), "{entered:?}");
            let set: Vec<&str> =
                entered.headers.get_all("set-cookie").iter().filter_map(|one| one.to_str().ok()).collect();
            assert!(set.iter().any(|one| one.ends_with("Path=/; SameSite=Strict; Max-Age=28800; HttpOnly")), "{set:?}");
            let signed_in = json!({ "role": role.as_str(), "issuer": provider.issuer, "subject": login });
            let (who, what, after) = last(&world).await;
            assert_eq!((who.as_str(), what.as_str()), (login, "signed_in"));
            assert_eq!(serde_json::from_str::<Value>(&after).expect("JSON"), signed_in);
            assert_eq!((person.page("/").await.status, person.page("/people").await.status), (200, people), "{login}");
            let sync = format!("/integrations/{}/sync", city.id);
            assert_eq!(world.act(&sync, &person.cookies(), &[]).await.status, act, "{login}");
            assert_eq!(world.act("/leave", &person.cookies(), &[]).await.status, 303);
            assert_eq!(person.page("/").await.status, 401, "{login} has left");
        }
        let eve = Person::new(&world);
        let kept_out = eve.sign_in("eve").await;
        assert!(kept_out.status == 403 && kept_out.body.contains("bridge-viewer"), "{kept_out:?}");
        let no_group = ("eve".to_owned(), "refused".to_owned(), json!({ "why": "no group" }).to_string());
        assert_eq!(last(&world).await, no_group);
        assert_eq!((eve.page("/").await.status, eve.cookie("bridge_console_")), (401, None));
        let nameless = Person::new(&world).sign_in("nameless").await;
        refused(&world, &nameless, "CONSOLE_OIDC_USER_CLAIM", "no name").await;
        assert!(world.store().verify_audit(None).await.expect("read").flaws.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_is_ended_once_soon_and_by_the_browser_that_began_it() {
    let (world, _provider) = signing_in(json!({})).await;
    let (anna, eve) = (Person::new(&world), Person::new(&world));
    let back = anna.back("anna").await;
    // Of another's address neither a browser without a sign-in nor one with its own makes anything.
    let words = "начат не здесь";
    refused(&world, &Person::new(&world).get(back.as_str()).await, words, "another browser's sign-in").await;
    let away = eve.begin().await;
    refused(&world, &eve.get(back.as_str()).await, words, "another browser's sign-in").await;
    let other_state = with(&back, "state", &value(&away, "state"));
    for wrong in [other_state, with(&back, "state", ""), with(&back, "state", "0")] {
        let answer = Person { world: &world, cookies: Mutex::new(anna.cookies.lock().expect("whole").clone()) };
        refused(&world, &answer.get(wrong.as_str()).await, words, "another browser's sign-in").await;
    }
    let (name, held) = anna.cookie("bridge_console_sign_in_").expect("it is under way");
    assert_eq!(anna.get(back.as_str()).await.status, 200, "what others tried used nothing up");
    assert_eq!(anna.cookie("bridge_console_sign_in_"), None);

    anna.keep(&name, &held);
    refused(&world, &anna.get(back.as_str()).await, "уже использован", "used sign-in").await;
    // Her code in the sign-in of another: it was made for another verifier, and is used.
    let away = eve.begin().await;
    let stolen = with(&with(&back, "state", &value(&away, "state")), "code", &value(&back, "code"));
    refused(&world, &eve.get(stolen.as_str()).await, "не узнала свой код", "code refused").await;
    let fresh = anna.back("anna").await;
    let away = eve.begin().await;
    let injected = with(&fresh, "state", &value(&away, "state"));
    refused(&world, &eve.get(injected.as_str()).await, "не узнала свой код", "code refused").await;
    assert_eq!(eve.page("/").await.status, 401);

    let (late, away) = (Person::new(&world), eve.begin().await);
    let elsewhere = with(&away, "prompt", "none");
    let denied = eve.at_provider(elsewhere, "eve").await;
    refused(&world, &eve.get(denied.as_str()).await, "не впустила", "the provider refused").await;
    let back = late.back("anna").await;
    let of_another = with(&back, "iss", "https://id.example");
    world.ctx.clock.advance(Duration::from_secs(599));
    refused(&world, &late.get(of_another.as_str()).await, "верить ему нельзя", "ID token").await;
    let back = late.back("anna").await;
    world.ctx.clock.advance(Duration::from_secs(600));
    refused(&world, &late.get(back.as_str()).await, "за десять минут", "late sign-in").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_client_or_sign_in_is_not_believed() {
    let (world, provider) = signing_in(json!({})).await;
    let person = Person::new(&world);
    let token_for = async |client: &str, to: &str, nonce: &str| {
        let mut url = Url::parse(&format!("{}/auth?response_type=code&scope=openid", provider.issuer)).expect("a URL");
        url.query_pairs_mut().extend_pairs([("client_id", client), ("redirect_uri", to), ("nonce", nonce)]);
        let code = value(&person.at_provider(url, "olga").await, "code");
        let fields = [("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", to)];
        let request = world.http.post(format!("{}/token", provider.issuer)).form(&fields);
        let secret = format!("{client}+planted-client-secret%2B%25");
        let answer = world.send(request.basic_auth(client, Some(secret))).await;
        let answer: Value = serde_json::from_str(&answer.body).expect("JSON");
        answer["id_token"].as_str().unwrap_or_else(|| panic!("a token: {answer}")).to_owned()
    };
    // All are by the provider's own key. The audience is another, the nonce is right.
    let away = person.begin().await;
    let foreign = token_for("other", "http://127.0.0.1:9/back", &value(&away, "nonce")).await;
    let back = person.at_provider(away, "olga").await;
    provider.told(&world, "/test/plant", foreign).await;
    refused(&world, &person.get(back.as_str()).await, "верить ему нельзя", "ID token").await;
    // The console's own, of another sign-in.
    let earlier = token_for("console", &world.url("/sign-in/done"), "of-another-sign-in").await;
    let back = person.back("olga").await;
    provider.told(&world, "/test/plant", earlier).await;
    refused(&world, &person.get(back.as_str()).await, "верить ему нельзя", "ID token").await;
    assert_eq!(person.page("/").await.status, 401);
    assert_eq!(person.sign_in("olga").await.status, 200, "and her own is");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_keys_of_the_provider_are_read_when_they_are_met() {
    let (world, provider) = signing_in(json!({})).await;
    assert_eq!(Person::new(&world).sign_in("anna").await.status, 200);
    for _ in 0..2 {
        provider.told(&world, "/test/rotate", String::new()).await;
        let entered = Person::new(&world).sign_in("anna").await;
        assert_eq!(entered.status, 200, "{entered:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_or_knows_another_secret_is_told() {
    let (world, mut provider) = signing_in(json!({})).await;
    let person = Person::new(&world);
    let back = person.back("anna").await;
    provider.child.kill().await.expect("ended");
    let away = person.get(back.as_str()).await;
    assert!(away.status == 502 && away.body.contains("не отвечает"), "{away:?}");
    let english = world.send(world.http.get(world.url("/sign-in/done?lang=en"))).await;
    assert!(english.status == 403 && english.body.contains("Sign in anew"), "{english:?}");

    let (world, mut provider) = signing_in(json!({ "secret": "another" })).await;
    let wrong = Person::new(&world).sign_in("anna").await;
    assert!(wrong.status == 502 && wrong.body.contains("CONSOLE_OIDC_CLIENT_SECRET"), "{wrong:?}");
    provider.child.kill().await.expect("ended");
    let issuer = provider.issuer.clone();
    let env = [
        ("CONSOLE_OIDC_ISSUER", issuer.as_str()),
        ("CONSOLE_OIDC_CLIENT_ID", "console"),
        ("CONSOLE_OIDC_CLIENT_SECRET", "planted-client-secret"),
        ("CONSOLE_PUBLIC_URL", "http://127.0.0.1:1"),
    ];
    let alone = World::with(&env, Clock::standing_at(jiff::Timestamp::now())).await;
    let away = alone.get("/sign-in", None).await;
    assert!(away.status == 502 && away.body.contains("не отвечает"), "{away:?}");
    // One-time addresses need no provider.
    let cookie = alone.session("Anna", Role::Viewer).await;
    assert_eq!(alone.get("/", Some(&cookie)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_planted_is_of_no_use_after_the_sign_in() {
    let (world, _provider) = signing_in(json!({})).await;
    let planted = world.session("Eve", Role::Viewer).await;
    let (name, token) = planted.split_once('=').expect("a cookie");
    let person = Person::new(&world);
    person.keep(name, token);
    assert_eq!(person.sign_in("olga").await.status, 200);
    let (_, own) = person.cookie(&format!("bridge_console_{}", world.address.port())).expect("in");
    assert!(own != token && own.len() == 64, "{own}");
    assert_eq!((world.get("/", Some(&planted)).await.status, person.page("/people").await.status), (401, 200));
}

/// The provider is another site here, as it always is: what browsers send along with that decides.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_comes_back_from_the_provider_and_is_in() {
    let (world, _provider) = signing_in(json!({})).await;
    world.filled("Город", "Область").await;
    let browser = Browser::open(Look::default()).await;
    browser.go(&world.url("/?lang=ru")).await;
    browser.element("#sign-in").await;
    let axe = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("axe");
    assert_eq!(browser.axe(&axe).await, Vec::<String>::new());
    browser.press("#sign-in").await;
    browser.fill("input[name=login]", "boris").await;
    browser.fill("input[name=password]", "x").await;
    browser.press("button[type=submit]").await;
    browser.element("input[name=prompt][value=consent]").await;
    browser.press("button[type=submit]").await;
    browser.shows("Город").await;
    assert_eq!(browser.address().await, world.url("/"));
}
