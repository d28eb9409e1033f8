//! Every way in, tried by one tenant with what belongs to another: ids, numbers, keys,
//! sessions. Nothing of the other is shown, changed or asked for.

mod installation;

use installation::{Installation, Plan};
use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use shared::domain::{CrmOrderId, Delivery, Integration};
use shared::store::dead_letters::DeadFilter;
use simulators::measoft::Account;
use simulators::retailcrm::{AccountId, an_order};

const ACTIONS: [&str; 9] =
    ["calculate", "save", "get", "delete", "print", "tariffList", "shipmentPointList", "activity", "settings"];
const PAGES: [&str; 6] = ["", "/debug", "/triggers", "/settings", "/check", "/replay"];
const TRIGGERS: [&str; 3] = ["trigger", "update", "cancel"];
/// What only the other tenant's order says.
const THEIR_WORDS: [&str; 3] = ["Соседкина", "9037654321", "N-8"];

struct Answered {
    status: u16,
    text: String,
}

/// Two tenants of one installation; the first one is the intruder.
struct Tenants {
    world: Installation,
    http: reqwest::Client,
    theirs: Integration,
    their_account: AccountId,
    /// Placed at the courier.
    their_order: i64,
    /// Of an order of theirs that could not be sent.
    their_letter: i64,
    their_secrets: Vec<String>,
}

/// Everything of the other tenant that must be as it was.
#[derive(Debug, PartialEq)]
struct State {
    integration: Value,
    delivery: Option<Delivery>,
    letters: Vec<i64>,
    at_the_courier: usize,
    at_the_crm: usize,
}

impl Tenants {
    async fn meet() -> Self {
        let world = Installation::of(Plan::default()).await;
        let their_account = world.crm.add_account("key-of-another");
        world.crm.add_delivery_type(their_account, "theirs", None, &["cash", "bank-card"]);
        let mut cabinet = Account::new("8", "neighbour", "pass-of-another");
        cabinet.sync_after_ms = Some(0);
        world.courier.add_account(cabinet);
        let theirs = world.neighbour().await;
        let an_order = |number: &str| an_order().number(number).delivery_type("theirs").text("lastName", "Соседкина");
        let placed = an_order("N-7").text("phone", "+7 903 765-43-21");
        let their_order = world.crm.add_order(their_account, placed);
        world.crm.add_order(their_account, an_order("N-8").text("phone", "нет"));
        let http = simulators::http().redirect(Policy::none()).build().expect("a client");
        let secrets = &theirs.secrets;
        let their_secrets = [&secrets.crm_api_key, &secrets.password, &secrets.delivery_api_key, &secrets.client_id];
        let their_secrets = their_secrets.map(|secret| secret.expose().to_owned()).to_vec();
        let mut tenants = Self { world, http, theirs, their_account, their_order, their_letter: 0, their_secrets };
        let key = tenants.theirs.secrets.delivery_api_key.expose().to_owned();
        tenants
            .world
            .until("their key is known", async || tenants.fire("trigger", "N-7", &key).await.status == 200)
            .await;
        assert_eq!(tenants.fire("trigger", "N-8", &key).await.status, 200);
        tenants.world.until("theirs is placed", async || tenants.world.courier.order("N-N-7").is_some()).await;
        tenants.world.until("theirs has failed", async || !tenants.letters().await.is_empty()).await;
        tenants.world.at_rest().await;
        tenants.their_letter = tenants.letters().await[0];
        tenants
    }

    async fn fire(&self, trigger: &str, number: &str, key: &str) -> Answered {
        let fields = [("id", number), ("sum", ""), ("key", key)];
        self.post(&format!("/reintegrations/requests/{trigger}/retailcrm"), &fields, "").await
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)], cookie: &str) -> Answered {
        self.ask(self.http.post(format!("{}{path}", self.world.url())).form(fields), cookie).await
    }

    async fn get(&self, path: &str, cookie: &str) -> Answered {
        self.ask(self.http.get(format!("{}{path}", self.world.url())), cookie).await
    }

    /// Whatever is asked, the answer shows nothing of theirs.
    async fn ask(&self, request: reqwest::RequestBuilder, cookie: &str) -> Answered {
        let answer = request.header(COOKIE, cookie).send().await.expect("answered");
        let (status, head) = (answer.status().as_u16(), format!("{:?}", answer.headers()));
        let text = String::from_utf8_lossy(&answer.bytes().await.expect("a body")).into_owned();
        for words in THEIR_WORDS.iter().copied().chain(self.their_secrets.iter().map(String::as_str)) {
            assert!(!text.contains(words) && !head.contains(words), "{words} is shown: {text}");
        }
        Answered { status, text }
    }

    /// A session as RetailCRM opens it: its cookie, and the token of its forms.
    async fn session(&self, client: &str) -> (String, String) {
        let fields = [("clientId", client)];
        let opened = self.http.post(format!("{}/retailcrm/account", self.world.url())).form(&fields);
        let opened = opened.send().await.expect("answered");
        assert_eq!(opened.status(), 303);
        let cookie = opened.headers()[SET_COOKIE].to_str().expect("ascii");
        let cookie = cookie.split(';').next().expect("a pair").to_owned();
        let page = self.http.get(format!("{}/retailcrm/account", self.world.url())).header(COOKIE, &cookie);
        let page = page.send().await.expect("answered").text().await.expect("text");
        let token = page.split_once("name=\"csrf\" value=\"").expect("a form").1.split_once('"').expect("a token").0;
        (cookie, token.to_owned())
    }

    async fn letters(&self) -> Vec<i64> {
        let filter = DeadFilter { integration: Some(self.theirs.id), ..DeadFilter::default() };
        self.world.ctx.store.dead_letters(&filter).await.expect("read").iter().map(|dead| dead.id).collect()
    }

    async fn state(&self) -> State {
        let store = &self.world.ctx.store;
        let now = store.integration(self.theirs.id).await.expect("read").expect("there");
        let secrets = &now.secrets;
        let integration = json!([
            now.title,
            now.crm_url,
            now.measoft_url,
            now.prefix,
            now.settings,
            format!("{:?}", now.state),
            secrets.crm_api_key.expose(),
            secrets.password.expose(),
            secrets.delivery_api_key.expose(),
            secrets.client_id.expose(),
        ]);
        let requests = self.world.courier.requests();
        State {
            integration,
            delivery: store.delivery_by_order(now.id, CrmOrderId(self.their_order)).await.expect("read"),
            letters: self.letters().await,
            at_the_courier: requests.iter().filter(|request| request.account == "8:neighbour").count(),
            at_the_crm: self.world.crm.requests().iter().filter(|r| r.account == Some(self.their_account)).count(),
        }
    }

    fn their_delivery(&self) -> String {
        Delivery::external_id(self.theirs.id, CrmOrderId(self.their_order))
    }

    /// What an action is asked about the other tenant's order.
    fn about_theirs(&self, action: &str) -> Vec<(&'static str, String)> {
        let delivery = self.their_delivery();
        let sample = |name: &str| -> Value {
            let path = format!("{}/../shared/fixtures/retailcrm/{name}", env!("CARGO_MANIFEST_DIR"));
            serde_json::from_str(&std::fs::read_to_string(path).expect("a sample")).expect("JSON")
        };
        match action {
            "calculate" => vec![("calculate", sample("callback-calculate-request.json")["calculate"].to_string())],
            "save" => {
                let mut save = sample("callback-save-edit-request.json")["save"].clone();
                save["deliveryId"] = json!(delivery);
                save["order"] = json!(self.their_order.to_string());
                save["orderNumber"] = json!("N-7");
                vec![("save", save.to_string())]
            }
            "get" => vec![("deliveryId", delivery)],
            "delete" => vec![("delete", json!({ "deliveryId": delivery }).to_string())],
            "print" => {
                let print = json!({ "entityType": "order", "type": "waybill", "deliveryIds": [[delivery]] });
                vec![("print", print.to_string())]
            }
            "activity" => vec![
                ("activity", json!({ "active": false, "freeze": true }).to_string()),
                ("systemUrl", self.theirs.crm_url.clone()),
            ],
            "settings" => vec![("settings", json!({ "system_language": { "value": "EN" } }).to_string())],
            _ => Vec::new(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_callback_reaches_another_tenants_delivery() {
    let tenants = Tenants::meet().await;
    let before = tenants.state().await;
    let own = tenants.world.client_id().to_owned();
    let id = tenants.theirs.id.to_string();
    for action in ACTIONS {
        let path = format!("/retailcrm/callback/{action}");
        let about = tenants.about_theirs(action);
        let fields = |client: &str| -> Vec<(String, String)> {
            let about = about.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
            std::iter::once(("clientId".to_owned(), client.to_owned())).chain(about).collect()
        };
        let foreign = [&id, tenants.theirs.secrets.delivery_api_key.expose(), "key-of-another", "neighbour", "Сосед"];
        for client in foreign {
            let fields = fields(client);
            let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let answer = tenants.post(&path, &fields, "").await;
            assert_eq!(answer.status, 403, "{action} as {client}: {}", answer.text);
        }
        // Last, for it freezes the module of the one who asks.
        if action == "activity" {
            continue;
        }
        let fields = fields(&own);
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = tenants.post(&path, &fields, "").await;
        if matches!(action, "get" | "print") {
            let body: Value = serde_json::from_str(&answer.text).expect("JSON");
            assert_eq!(body["success"], false, "{action}: {}", answer.text);
        } else {
            // `save` means the order of this id in its own RetailCRM; what one has not is deleted.
            assert!(!answer.text.contains(&tenants.their_delivery()), "{action}: {}", answer.text);
        }
        tenants.world.at_rest().await;
        assert_eq!(tenants.state().await, before, "after {action}");
    }
    let mut fields = vec![("clientId", own)];
    fields.extend(tenants.about_theirs("activity"));
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    tenants.post("/retailcrm/activity", &fields, "").await;
    tenants.world.at_rest().await;
    assert_eq!(tenants.state().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_shows_or_changes_another_tenants_integration() {
    let tenants = Tenants::meet().await;
    let (own_cookie, own_token) = tenants.session(tenants.world.client_id()).await;
    let (_, their_token) = tenants.session(tenants.theirs.secrets.client_id.expose()).await;
    let before = tenants.state().await;
    let letter = tenants.their_letter.to_string();
    // The cookie's first part says whose session it is; the rest proves it.
    let (name, value) = own_cookie.split_once('=').expect("a pair");
    let (_, proof) = value.split_once('.').expect("an id and a proof");
    let forged = format!("{name}={}.{proof}", tenants.theirs.id);
    for page in PAGES {
        let path = format!("/retailcrm/account{page}");
        assert_eq!(tenants.get(&path, &forged).await.status, 403, "GET {path} with a forged session");
        for token in [own_token.as_str(), &their_token] {
            let fields = [("csrf", token), ("id", letter.as_str()), ("title", "мой"), ("crm_url", "https://a.example")];
            let answer = tenants.post(&path, &fields, &forged).await;
            assert_eq!(answer.status, 403, "POST {path} with a forged session: {}", answer.text);
        }
        if matches!(page, "/settings" | "/check" | "/replay") {
            let fields = [("csrf", their_token.as_str()), ("id", letter.as_str()), ("title", "мой")];
            let answer = tenants.post(&path, &fields, &own_cookie).await;
            assert_eq!(answer.status, 403, "POST {path} with their token: {}", answer.text);
        }
        tenants.get(&format!("{path}?q=N-7&id={letter}&integration={}", tenants.theirs.id), &own_cookie).await;
        assert_eq!(tenants.state().await, before, "after {path}");
    }
    let replay = [("csrf", own_token.as_str()), ("id", letter.as_str())];
    assert_eq!(tenants.post("/retailcrm/account/replay", &replay, &own_cookie).await.status, 404);
    for client in [&tenants.theirs.id.to_string(), "key-of-another", "neighbour"] {
        let answer = tenants.post("/retailcrm/account", &[("clientId", client)], "").await;
        assert_eq!(answer.status, 403, "opened as {client}");
    }
    tenants.world.at_rest().await;
    assert_eq!(tenants.state().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_trigger_moves_another_tenants_order() {
    let tenants = Tenants::meet().await;
    let before = tenants.state().await;
    let own = tenants.world.key().to_owned();
    let secrets = tenants.theirs.secrets.clone();
    for trigger in TRIGGERS {
        let id = tenants.theirs.id.to_string();
        for key in [secrets.client_id.expose(), secrets.crm_api_key.expose(), secrets.password.expose(), &id] {
            let answer = tenants.fire(trigger, "N-7", key).await;
            assert!((400..500).contains(&answer.status), "{trigger} with {key}: {}", answer.status);
        }
        // A key shows whose order is meant: one of this name is looked for in its own CRM.
        assert_eq!(tenants.fire(trigger, "N-7", &own).await.status, 200, "{trigger}");
        let path = format!("/reintegrations/requests/{trigger}/retailcrm");
        let mixed = [("id", "N-7"), ("sum", ""), ("theirs", own.as_str()), ("incity", own.as_str())];
        tenants.post(&path, &mixed, "").await;
        tenants.world.at_rest().await;
        assert_eq!(tenants.state().await, before, "after {trigger}");
    }
}
