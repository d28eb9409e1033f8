//! The simulator seen through its socket, compared with the sample documents.

use std::time::{Duration, Instant};

use reqwest::Response;
use serde_json::{Map, Value, json};

use super::*;

const KEY: &str = "k3yFr0mCrm0000000000000000000000";

struct Bench {
    sim: RetailcrmSim,
    account: AccountId,
    http: reqwest::Client,
}

struct Got {
    status: u16,
    body: Value,
    raw: String,
}

impl Bench {
    async fn start() -> Self {
        Self::with(Options::default()).await
    }

    async fn with(options: Options) -> Self {
        let sim = RetailcrmSim::start(options).await.unwrap();
        let account = sim.add_account(KEY);
        Self { sim, account, http: crate::http().build().unwrap() }
    }

    async fn read(response: Response) -> Got {
        let status = response.status().as_u16();
        let raw = response.text().await.unwrap();
        Got { status, body: serde_json::from_str(&raw).unwrap_or(Value::Null), raw }
    }

    async fn get(&self, path: &str) -> Got {
        let url = format!("{}/api/v5/{path}", self.sim.url());
        Self::read(self.http.get(url).header("X-API-KEY", KEY).send().await.unwrap()).await
    }

    async fn try_post(&self, path: &str, fields: &[(&str, String)]) -> reqwest::Result<Response> {
        let url = format!("{}/api/v5/{path}", self.sim.url());
        self.http.post(url).header("X-API-KEY", KEY).form(fields).send().await
    }

    async fn post(&self, path: &str, fields: &[(&str, String)]) -> Got {
        Self::read(self.try_post(path, fields).await.unwrap()).await
    }

    async fn edit(&self, id: i64, patch: Value) -> Got {
        self.post(&format!("orders/{id}/edit"), &[("by", "id".into()), ("order", patch.to_string())]).await
    }

    async fn create_payment(&self, payment: Value) -> Got {
        self.post("orders/payments/create", &[("site", "main-shop".into()), ("payment", payment.to_string())]).await
    }

    async fn register(&self, code: &str) -> Got {
        let mut module = fixture("module-edit-request")["integrationModule"].clone();
        module["code"] = code.into();
        self.post(&format!("integration-modules/{code}/edit"), &[("integrationModule", module.to_string())]).await
    }

    async fn track(&self, updates: Value) -> Got {
        self.post("delivery/generic/measoft-17/tracking", &[("statusUpdate", updates.to_string())]).await
    }

    /// A registered module with `incity` tied to it and one order known there as `ms-17-1`.
    async fn with_delivery(options: Options) -> (Self, i64) {
        let bench = Self::with(options).await;
        assert_eq!(bench.register("measoft-17").await.status, 201);
        bench.sim.add_delivery_type(bench.account, "incity", Some("measoft-17"), &["cash", "bank-card"]);
        let id = bench.sim.add_order(bench.account, an_order().delivery_data("externalId", "ms-17-1".into()));
        (bench, id)
    }
}

fn fixture(name: &str) -> Value {
    let path = format!("{}/../../shared/fixtures/retailcrm/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn step(code: &str, at: &str) -> Value {
    json!({"code": code, "updatedAt": at, "comment": "по делу"})
}

/// Every path at which two documents differ in keys or types; `-` is missing in ours, `+` is only in ours.
fn shape(sample: &Value, ours: &Value) -> Vec<String> {
    fn walk(path: &str, sample: &Value, ours: &Value, found: &mut Vec<String>) {
        match (sample, ours) {
            (Value::Object(sample), Value::Object(ours)) => {
                for (key, value) in sample {
                    match ours.get(key) {
                        Some(other) => walk(&format!("{path}.{key}"), value, other, found),
                        None => found.push(format!("-{path}.{key}")),
                    }
                }
                found.extend(ours.keys().filter(|key| !sample.contains_key(*key)).map(|key| format!("+{path}.{key}")));
            }
            (Value::Array(sample), Value::Array(ours)) => {
                if let (Some(first), Some(other)) = (sample.first(), ours.first()) {
                    walk(&format!("{path}[]"), first, other, found);
                }
            }
            (sample, ours) if std::mem::discriminant(sample) == std::mem::discriminant(ours) => {}
            _ => found.push(format!("!{path}: {ours}")),
        }
    }
    let mut found = Vec::new();
    walk("", sample, ours, &mut found);
    found.sort();
    found
}

/// A map keyed by generated ids or codes, reduced to one entry so that shapes can be compared.
fn only_first(value: &Value) -> Value {
    let map = value.as_object().unwrap();
    let mut one = Map::new();
    one.insert("first".into(), map.values().next().unwrap().clone());
    Value::Object(one)
}

#[tokio::test]
async fn a_missing_or_wrong_key_is_refused_and_never_recorded() {
    let bench = Bench::start().await;
    let url = format!("{}/api/v5/orders", bench.sim.url());
    let missing = Bench::read(bench.http.get(&url).send().await.unwrap()).await;
    assert_eq!((missing.status, missing.body["errorMsg"].as_str()), (403, Some("\"apiKey\" is missing.")));
    let wrong = Bench::read(bench.http.get(format!("{url}?apiKey=guess")).send().await.unwrap()).await;
    assert_eq!((wrong.status, &wrong.body), (403, &fixture("error-wrong-key")));
    let in_query = Bench::read(bench.http.get(format!("{url}?apiKey={KEY}")).send().await.unwrap()).await;
    assert_eq!(in_query.status, 200);
    let records = bench.sim.requests();
    assert_eq!(records.iter().map(|record| record.status).collect::<Vec<_>>(), [403, 403, 200]);
    assert_eq!((records[1].key, records[2].key), (None, Some(0)));
    let text = serde_json::to_string(&records).unwrap();
    assert!(!text.contains(KEY) && !text.contains("guess"));
}

#[tokio::test]
async fn a_key_sees_only_its_own_account_its_shops_and_its_methods() {
    let bench = Bench::start().await;
    let id = bench.sim.add_order(bench.account, an_order().number("1234A"));
    let other = bench.sim.add_account("other-account");
    bench.sim.add_order(other, an_order().number("1234A").site("second-shop"));
    assert_eq!(bench.get("orders?filter[numbers][]=1234A").await.body["pagination"]["totalCount"], 1);
    bench.sim.add_key(bench.account, "narrow", Some(&["second-shop"]), &["order_read"]);
    let as_narrow = async |path: &str| {
        let url = format!("{}/api/{path}", bench.sim.url());
        Bench::read(bench.http.get(url).header("X-API-KEY", "narrow").send().await.unwrap()).await
    };
    assert_eq!(as_narrow("v5/orders?filter[numbers][]=1234A").await.body["orders"], json!([]));
    assert_eq!(as_narrow(&format!("v5/orders/{id}?by=id")).await.body["errorMsg"], "Access denied.");
    assert_eq!(as_narrow("v5/reference/statuses").await.status, 403);
    let rights = as_narrow("credentials").await.body;
    assert_eq!(rights["siteAccess"], "access_selective");
    assert_eq!(rights["sitesAvailable"], json!(["second-shop"]));
}

#[tokio::test]
async fn orders_are_listed_by_numbers_newest_first() {
    let bench = Bench::start().await;
    let first = bench.sim.add_order(bench.account, an_order().number("А/7 #1"));
    bench.sim.add_order(bench.account, an_order().number("1235A"));
    let twin = bench.sim.add_order(bench.account, an_order().number("А/7 #1").site("second-shop"));
    let got = bench.get("orders?filter%5Bnumbers%5D%5B%5D=%D0%90%2F7+%231&limit=20").await;
    assert_eq!(got.status, 200);
    let ids: Vec<&Value> = got.body["orders"].as_array().unwrap().iter().map(|order| &order["id"]).collect();
    assert_eq!(ids, [&json!(twin), &json!(first)]);
    assert_eq!(bench.get("orders?filter[numbers][]=1234a").await.body["orders"], json!([]));
    assert_eq!(bench.sim.requests()[0].numbers, ["А/7 #1"]);
    // The number has moved on: the old one finds nothing.
    bench.sim.edit(bench.account, first, |order| order.set_number("9"));
    assert_eq!(bench.get("orders?filter[numbers][]=%D0%90/7 %231").await.body["pagination"]["totalCount"], 1);
    assert_eq!(bench.get("orders?filter[numbers][0]=9").await.body["orders"][0]["id"], first);
}

#[tokio::test]
async fn orders_are_filtered_by_status_type_group_and_date() {
    let bench = Bench::start().await;
    let account = bench.account;
    let sent = bench.sim.add_order(account, an_order().status("SentMeaSoft").created_at("2024-05-16 11:20:33"));
    let post = bench.sim.add_order(account, an_order().delivery_type("russian-post").created_at("2024-05-17 00:00:01"));
    for (query, expected) in [
        ("filter[extendedStatus][]=SentMeaSoft", vec![sent]),
        ("filter[extendedStatus][]=new&filter[extendedStatus][]=delivery", vec![post, sent]),
        ("filter[deliveryTypes][]=russian-post", vec![post]),
        ("filter[createdAtTo]=2024-05-16", vec![sent]),
        ("filter[createdAtFrom]=2024-05-17", vec![post]),
        ("filter[externalIds][]=SHOP-4801", vec![sent]),
        ("filter[ids][]=4801&filter[ids][]=4802&filter[ids][]=9", vec![post, sent]),
        ("filter[shipped]=1", vec![]),
    ] {
        let got = bench.get(&format!("orders?{query}")).await.body;
        let ids: Vec<i64> =
            got["orders"].as_array().unwrap().iter().map(|order| order["id"].as_i64().unwrap()).collect();
        assert_eq!(ids, expected, "{query}");
    }
    for wrong in ["filter[number][]=1", "filter[ids][]=x", "filter[numbers]=1", "filter[createdAtFrom]=16.05.2024"] {
        assert_eq!(bench.get(&format!("orders?{wrong}")).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn pages_have_three_sizes_and_nothing_else() {
    let bench = Bench::start().await;
    for _ in 0..53 {
        bench.sim.add_order(bench.account, an_order());
    }
    let got = bench.get("orders?limit=50&page=2").await.body;
    assert_eq!(got["orders"].as_array().unwrap().len(), 3);
    assert_eq!(got["pagination"], json!({"limit": 50, "totalCount": 53, "currentPage": 2, "totalPageCount": 2}));
    assert_eq!(bench.get("orders").await.body["orders"].as_array().unwrap().len(), 20);
    assert_eq!(bench.get("orders?page=9").await.body["orders"], json!([]));
    for wrong in ["limit=10", "limit=250", "page=0", "page=x"] {
        let got = bench.get(&format!("orders?{wrong}")).await;
        assert_eq!(
            (got.status, got.body["errorMsg"].as_str()),
            (400, Some("Errors in the input parameters")),
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn by_defaults_to_the_external_id_and_then_needs_the_shop() {
    let bench = Bench::start().await;
    let id = bench.sim.add_order(bench.account, an_order().external_id("SHOP/99 31"));
    assert_eq!(bench.get(&format!("orders/{id}?site=main-shop")).await.status, 404);
    assert_eq!(bench.get(&format!("orders/{id}?by=id")).await.body["order"]["id"], id);
    assert_eq!(bench.get("orders/SHOP%2F99%2031?site=main-shop").await.body["order"]["id"], id);
    assert_eq!(bench.get("orders/SHOP%2F99%2031?site=second-shop").await.status, 404);
    assert_eq!(bench.get("orders/SHOP%2F99%2031").await.status, 400);
    assert_eq!(bench.get("orders//edit").await.body["errorMsg"], "API method not found");
}

#[tokio::test]
async fn an_edit_changes_what_it_names_and_keeps_the_rest() {
    let bench = Bench::start().await;
    let id = bench.sim.add_order(bench.account, an_order());
    let before = bench.sim.order(bench.account, id).unwrap();
    let got = bench
        .edit(id, json!({"delivery": {"code": "incity", "data": {"externalId": "ms-1", "extraData": {"deliveryApiKey": "dk"}}}}))
        .await;
    assert_eq!((got.status, &got.body["id"]), (200, &json!(id)));
    let mut expected = before.clone();
    expected["delivery"]["data"]["externalId"] = "ms-1".into();
    expected["delivery"]["data"]["extraData"] = json!({"deliveryApiKey": "dk"});
    assert_eq!(got.body["order"], expected);
    assert_eq!(bench.get(&format!("orders/{id}?by=id")).await.body["order"], expected);
    // Status fields of the delivery belong to tracking, payments to their own methods.
    let got = bench.edit(id, json!({"delivery": {"data": {"status": "COMPLETE"}}})).await;
    assert!(got.body["order"]["delivery"]["data"]["status"].is_null());
    assert_eq!(bench.edit(id, json!({"payments": []})).await.status, 400);
    let refused = bench.edit(id, json!({"status": "no-such"})).await;
    assert_eq!((refused.status, refused.body["errors"]["status"].is_string()), (400, true));
    let refused = bench.edit(id, json!({"delivery": {"code": "no-such"}})).await;
    assert_eq!(refused.status, 400);
    assert_eq!(bench.get(&format!("orders/{id}?by=id")).await.body["order"], expected);
}

#[tokio::test]
async fn another_delivery_type_drops_the_data_of_the_former_one() {
    let (bench, id) = Bench::with_delivery(Options::default()).await;
    let got = bench.edit(id, json!({"delivery": {"code": "russian-post"}})).await.body;
    assert_eq!(got["order"]["delivery"]["data"], json!([]));
    assert!(got["order"]["delivery"]["integrationCode"].is_null());
}

#[tokio::test]
async fn a_list_of_items_is_the_whole_list() {
    let bench = Bench::start().await;
    let id = bench.sim.add_order(bench.account, an_order().no_payments());
    let order = bench.sim.order(bench.account, id).unwrap();
    let kept = order["items"][0]["id"].clone();
    let got = bench
        .edit(id, json!({"items": [{"id": kept, "quantity": 1}, {"productName": "Чехол", "initialPrice": "99.90", "quantity": 3}]}))
        .await
        .body;
    let items = got["order"]["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!((&items[0]["id"], &items[0]["quantity"]), (&kept, &json!(1)));
    assert_eq!((items[1]["productName"].as_str(), items[1]["offer"].is_null()), (Some("Чехол"), true));
    assert_eq!(got["order"]["totalSumm"].to_string(), "2049.7");
    assert_eq!(bench.edit(id, json!({"items": [{"id": 1}]})).await.status, 400);
}

#[tokio::test]
async fn a_json_body_is_not_understood() {
    let bench = Bench::start().await;
    let id = bench.sim.add_order(bench.account, an_order());
    let url = format!("{}/api/v5/orders/{id}/edit?by=id", bench.sim.url());
    let body = json!({"by": "id", "order": {"managerComment": "x"}}).to_string();
    let request = bench.http.post(url).header("X-API-KEY", KEY).header("content-type", "application/json").body(body);
    let got = Bench::read(request.send().await.unwrap()).await;
    assert_eq!((got.status, got.body["errorMsg"].as_str()), (400, Some("Parameter 'order' is missing")));
    assert_eq!(bench.sim.order(bench.account, id).unwrap()["managerComment"], "Хрупкое");
}

#[tokio::test]
async fn payments_are_created_edited_and_deleted_by_the_rules() {
    let bench = Bench::start().await;
    let id = bench.sim.add_order(
        bench.account,
        an_order().payment("bank-card", 100_000, "paid").payment_of_the_rest("cash", "not-paid"),
    );
    let order = bench.get(&format!("orders/{id}?by=id")).await.body["order"].clone();
    assert_eq!((order["totalSumm"].to_string(), order["prepaySum"].to_string()), ("4140".into(), "1000".into()));
    let cash = bench.sim.payments(bench.account, id)[1].clone();
    assert_eq!(cash.amount, 314_000);

    let refused = bench.create_payment(json!({"type": "cash", "amount": "x"})).await;
    assert_eq!((refused.status, shape(&fixture("errors-map"), &refused.body)), (400, vec![]));

    let created = bench
        .create_payment(json!({"order": {"id": id}, "type": "bank-card", "status": "paid", "amount": 3140.0,
            "paidAt": "2024-05-18 16:42:10", "externalId": "measoft-17-4817-1"}))
        .await;
    assert_eq!((created.status, shape(&fixture("payment-create-response"), &created.body)), (201, vec![]));
    let order = bench.get(&format!("orders/{id}?by=id")).await.body["order"].clone();
    assert_eq!(order["prepaySum"].to_string(), "4140");
    assert!(order["fullPaidAt"].is_string());

    let path = format!("orders/payments/{}/delete", cash.id);
    assert_eq!(bench.post(&path, &[]).await.body, fixture("payment-delete-response"));
    let gone = bench.post(&path, &[]).await;
    assert_eq!((gone.status, gone.body["errorMsg"].as_str()), (404, Some("Payment not found")));

    let path = "orders/payments/measoft-17-4817-1/edit";
    let edited = bench.post(path, &[("payment", json!({"status": "not-paid", "amount": "3000.50"}).to_string())]).await;
    assert_eq!(edited.body, json!({"success": true, "id": created.body["id"]}));
    let by_id = bench.post(path, &[("by", "id".into()), ("payment", "{}".into())]).await;
    assert_eq!(by_id.status, 404);
    let left = bench.sim.payments(bench.account, id);
    assert_eq!(left.iter().map(|payment| payment.amount).collect::<Vec<_>>(), [100_000, 300_050]);
    let bad_date = json!({"paidAt": "2024-05-18T16:42:10+03:00"}).to_string();
    assert_eq!(bench.post(path, &[("payment", bad_date)]).await.status, 400);
    assert!(bench.sim.order(bench.account, id).unwrap()["fullPaidAt"].is_null());
}

#[tokio::test]
async fn payments_of_an_online_module_are_not_editable() {
    let bench = Bench::start().await;
    let id = bench.sim.add_order(bench.account, an_order().payment("2", 414_000, "paid"));
    let payment = bench.sim.payments(bench.account, id)[0].id;
    assert_eq!(bench.post(&format!("orders/payments/{payment}/delete"), &[]).await.status, 400);
    assert_eq!(bench.sim.payments(bench.account, id).len(), 1);
}

#[tokio::test]
async fn tracking_sets_the_delivery_and_by_the_map_the_order_status() {
    let (bench, id) = Bench::with_delivery(Options::default()).await;
    let got = bench
        .track(json!([{"deliveryId": "ms-17-1", "trackNumber": "MS1", "cost": 312.5,
            "history": [step("DELIVERY", "2024-05-18T09:12:00+03:00"), step("COMPLETE", "2024-05-18T13:42:10+00:00")],
            "extraData": {"deliveredTo": "Петрова"}}]))
        .await;
    assert_eq!((got.status, &got.body), (200, &fixture("tracking-response")));
    let order = bench.get(&format!("orders/{id}?by=id")).await.body["order"].clone();
    let data = &order["delivery"]["data"];
    assert_eq!((data["status"].as_str(), data["statusText"].as_str()), (Some("COMPLETE"), Some("Доставлен")));
    assert_eq!(data["statusDate"], "2024-05-18 16:42:10");
    assert_eq!(
        (data["trackNumber"].as_str(), data["extraData"]["deliveredTo"].as_str()),
        (Some("MS1"), Some("Петрова"))
    );
    assert_eq!(order["status"], "complete");
    let told = bench.sim.tracking(bench.account, id);
    assert_eq!(told.iter().map(|entry| entry.code.as_str()).collect::<Vec<_>>(), ["DELIVERY", "COMPLETE"]);
    assert_eq!((told[0].updated_at.as_str(), told[0].cost), ("2024-05-18T09:12:00+03:00", Some(31_250)));
    // NEW has no mapping: shown, but the order's status stays.
    bench.track(json!([{"deliveryId": "ms-17-1", "history": [step("NEW", "2024-05-18T20:00:00+03:00")]}])).await;
    let order = bench.sim.order(bench.account, id).unwrap();
    assert_eq!(
        (order["delivery"]["data"]["status"].as_str(), order["status"].as_str()),
        (Some("NEW"), Some("complete"))
    );
    assert_eq!(bench.sim.tracking(bench.account, id)[2].batch, 2);
}

#[tokio::test]
async fn one_bad_item_refuses_the_whole_batch() {
    let (bench, id) = Bench::with_delivery(Options::default()).await;
    let good = json!({"deliveryId": "ms-17-1", "history": [step("NEW", "2024-05-18T09:12:00+03:00")]});
    let time = "2024-05-18T09:12:00+03:00";
    for (bad, path) in [
        (json!({"deliveryId": "ms-17-1", "history": [step("NO_SUCH", time)]}), "[1][history][0][code]"),
        (
            json!({"deliveryId": "ms-17-1", "history": [step("NEW", "2024-05-18 09:12:00")]}),
            "[1][history][0][updatedAt]",
        ),
        (json!({"deliveryId": "ms-17-1", "history": []}), "[1][history]"),
        (json!({"deliveryId": "unknown", "history": [step("NEW", time)]}), "[1][deliveryId]"),
        (
            json!({"deliveryId": "ms-17-1", "history": [step("NEW", time)], "extraData": {"x": "1"}}),
            "[1][extraData][x]",
        ),
    ] {
        let got = bench.track(json!([good, bad])).await;
        assert_eq!((got.status, got.body["errors"][path].is_string()), (400, true), "{path}: {}", got.raw);
    }
    assert!(bench.sim.tracking(bench.account, id).is_empty());
    assert_eq!(bench.track(json!(vec![good.clone(); 101])).await.status, 400);
    assert_eq!(bench.track(json!(vec![good.clone(); 100])).await.status, 200);
    assert_eq!(bench.sim.tracking(bench.account, id).len(), 100);
}

#[tokio::test]
async fn tracking_is_addressed_by_the_instance_of_a_working_module() {
    let (bench, id) = Bench::with_delivery(Options::default()).await;
    let good = json!([{"deliveryId": "ms-17-1", "history": [step("NEW", "2024-05-18T09:12:00+03:00")]}]).to_string();
    for (code, status) in [("incity", 404), ("measoft", 404), ("measoft-17", 200)] {
        let path = format!("delivery/generic/{code}/tracking");
        assert_eq!(bench.post(&path, &[("statusUpdate", good.clone())]).await.status, status, "{code}");
    }
    // The type has changed: its module's delivery is not this order's any more.
    bench.sim.edit(bench.account, id, |order| order.set_delivery_type("russian-post"));
    let path = "delivery/generic/measoft-17/tracking";
    assert_eq!(bench.post(path, &[("statusUpdate", good.clone())]).await.status, 400);
    let switched_off = json!({"code": "measoft-17", "active": false}).to_string();
    let got = bench.post("integration-modules/measoft-17/edit", &[("integrationModule", switched_off)]).await;
    assert_eq!(got.status, 200);
    let got = bench.post(path, &[("statusUpdate", good)]).await;
    assert_eq!((got.status, got.body["errorMsg"].as_str()), (400, Some("Integration module is not active.")));
}

#[tokio::test]
async fn a_widget_is_taken_whole_and_only_where_modules_may_have_one() {
    let bench = Bench::start().await;
    bench.register("measoft-17").await;
    let at = "https://bridge.example/retailcrm/extension/measoft";
    let title = json!({"ru": "Ошибки", "en": "Failures", "es": "Errores"});
    let embed = json!({
        "entrypoint": format!("{at}/script"), "stylesheet": format!("{at}/stylesheet"), "runner": "worker",
        "targets": ["order/card:delivery.after"],
        "pages": [{"code": "failures", "menu": "activity_main_menu", "menuItemTitle": title}],
    });
    let edit = async |embed: &Value| {
        let module = json!({"code": "measoft-17", "integrations": {"embedJs": embed}}).to_string();
        bench.post("integration-modules/measoft-17/edit", &[("integrationModule", module)]).await
    };
    assert_eq!(edit(&embed).await.status, 200);
    let module = bench.get("integration-modules/measoft-17").await.body["integrationModule"].clone();
    assert_eq!(module["integrations"]["embedJs"], embed);
    for (field, value) in
        [("runner", json!("page")), ("entrypoint", json!("script")), ("pages", json!([{"code": "x"}]))]
    {
        let mut broken = embed.clone();
        broken[field] = value;
        assert_eq!(edit(&broken).await.status, 400, "{field}");
    }
    bench.sim.configure(|options| options.embed_js = false);
    let refused = edit(&embed).await;
    assert_eq!((refused.status, &refused.body["errors"]["integrations[embedJs]"]), (400, &json!("Access denied.")));
    assert!(bench.sim.http_call(bench.account, "measoft-18", "/x", None).await.is_err(), "no such module");
}

#[tokio::test]
async fn a_module_is_created_once_then_edited_and_keeps_its_settings() {
    let bench = Bench::start().await;
    let created = bench.register("measoft-17").await;
    assert_eq!(created.status, 201);
    assert_eq!(shape(&fixture("module-edit-response"), &created.body), [""; 0]);
    let again = json!({"code": "measoft-17", "name": "Другое имя", "integrations": {"delivery": {"statusList": []}}});
    let edited = bench.post("integration-modules/measoft-17/edit", &[("integrationModule", again.to_string())]).await;
    assert_eq!(edited.status, 200);
    let module = bench.get("integration-modules/measoft-17").await.body["integrationModule"].clone();
    assert_eq!((module["name"].as_str(), module["freeze"].as_bool()), (Some("Другое имя"), Some(false)));
    let delivery = &module["integrations"]["delivery"];
    assert_eq!(delivery["statusList"], json!([]));
    assert_eq!(
        delivery["settings"],
        fixture("module-edit-request")["integrationModule"]["integrations"]["delivery"]["settings"]
    );
    assert_eq!(
        bench.get("reference/delivery-types").await.body["deliveryTypes"]["measoft-17"]["integrationCode"],
        "measoft-17"
    );
    let mut broken = fixture("module-edit-request")["integrationModule"].clone();
    broken["clientId"] = Value::Null;
    broken["integrations"]["delivery"]["statusList"][1]["code"] = "PENDING".into();
    let refused = bench.post("integration-modules/measoft-17/edit", &[("integrationModule", broken.to_string())]).await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.body["errors"].as_object().unwrap().len(), 2, "{}", refused.raw);
    assert_eq!(bench.get("integration-modules/measoft-99").await.status, 404);
}

#[tokio::test]
async fn history_tells_who_changed_what() {
    let bench = Bench::start().await;
    let id = bench.sim.add_order(bench.account, an_order());
    bench.sim.edit(bench.account, id, |order| {
        order.set_status("SentMeaSoft");
        order.set_quantity(0, 1);
    });
    bench.sim.edit(bench.account, id, |order| order.set_delivery_type("russian-post"));
    bench.create_payment(json!({"order": {"id": id}, "type": "bank-card", "amount": 1})).await;
    let got = bench.get("orders/history?limit=100").await.body;
    let rows = got["history"].as_array().unwrap();
    let fields: Vec<&str> = rows.iter().map(|row| row["field"].as_str().unwrap()).collect();
    for expected in ["order_product.quantity", "total_summ", "delivery_type", "payments"] {
        assert!(fields.contains(&expected), "{expected} in {fields:?}");
    }
    let sample = fixture("orders-history");
    let of = |rows: &Value, field: &str| {
        let rows = rows["history"].as_array().unwrap();
        rows.iter().rfind(|row| row["field"] == field).cloned().unwrap()
    };
    for field in ["status", "delivery_type", "payments", "order_product.quantity"] {
        assert_eq!(shape(&of(&sample, field), &of(&got, field)), [""; 0], "{field}");
    }
    assert_eq!(of(&got, "delivery_type")["oldValue"], json!({"code": "incity"}));
    assert_eq!(of(&got, "payments")["apiKey"], json!({"current": true}));
    assert!(rows[0]["created"] == true && rows[0]["order"]["payments"].is_array());

    bench.sim.add_key(bench.account, "second-key", None, &SCOPES);
    let url = format!("{}/api/v5/orders/history?limit=100", bench.sim.url());
    let other = Bench::read(bench.http.get(url).header("X-API-KEY", "second-key").send().await.unwrap()).await;
    assert_eq!(of(&other.body, "payments")["apiKey"], json!({"current": false}));

    let last = rows.last().unwrap()["id"].as_i64().unwrap();
    assert_eq!(
        bench.get(&format!("orders/history?filter[sinceId]={}", last - 1)).await.body["history"],
        json!([rows.last()])
    );
    assert_eq!(bench.get(&format!("orders/history?filter[sinceId]={last}")).await.body["history"], json!([]));
    assert_eq!(bench.get("orders/history?filter[sinceId]=1&page=1").await.status, 400);
    assert_eq!(bench.get("orders/history?filter[orderId]=1").await.body["pagination"]["totalCount"], 0);
}

#[tokio::test]
async fn empty_maps_are_lists_and_numbers_come_in_several_spellings() {
    let bench = Bench::with(Options { numbers: Numbers::Mixed, ..Options::default() }).await;
    let mut spellings = Vec::new();
    for _ in 0..3 {
        let id = bench.sim.add_order(bench.account, an_order().no_payments().item("Стол", 100_000, 1, 100).vat("none"));
        let raw = bench.get(&format!("orders/{id}?by=id")).await;
        assert_eq!(raw.body["order"]["payments"], json!([]));
        assert_eq!(raw.body["order"]["customFields"], json!([]));
        assert_eq!(raw.body["order"]["items"][0]["vatRate"], "none");
        spellings.push(raw.body["order"]["summ"].to_string());
    }
    spellings.sort();
    assert_eq!(spellings, ["\"1000.00\"", "1000", "1000.00"]);
    let paid = bench.sim.add_order(bench.account, an_order());
    let payments = bench.get(&format!("orders/{paid}?by=id")).await.body["order"]["payments"].clone();
    let (key, payment) = payments.as_object().unwrap().iter().next().unwrap();
    assert_eq!(*key, payment["id"].to_string());
}

#[tokio::test]
async fn an_order_has_the_shape_of_the_sample() {
    let (bench, _) = Bench::with_delivery(Options::default()).await;
    let id = bench.sim.add_order(
        bench.account,
        an_order()
            .text("additionalPhone", "8 495 000 11 22")
            .service("express")
            .tariff("express", "dk-1")
            .with_item(Item {
                properties: json!({"color": {"code": "color", "name": "Цвет", "value": "синий"}})
                    .as_object()
                    .unwrap()
                    .clone(),
                ..Item::new("Стул", 150_000, 2000, 100)
            })
            .discount(20_000)
            .payment("cash", 1, "not-paid")
            .custom_field("gift", true.into()),
    );
    let sample = fixture("order-full");
    let got = bench.get(&format!("orders/{id}?by=id")).await.body;
    let differing: Vec<String> = shape(&sample, &got)
        .into_iter()
        .filter(|path| !path.contains("-.order.delivery.data.") && !path.contains(".order.payments."))
        .collect();
    assert_eq!(
        differing,
        ["-.order.customFields.slot_hint", "-.order.delivery.address.id", "-.order.delivery.time.custom"]
    );
    let payment = |order: &Value| order["order"]["payments"].as_object().unwrap().values().next_back().unwrap().clone();
    assert_eq!(shape(&payment(&sample), &payment(&got)), [""; 0]);
    assert_eq!(got["order"]["items"][0]["prices"], json!([{"price": 1400, "quantity": 2}]));
    assert_eq!(got["order"]["delivery"]["integrationCode"], "measoft-17");
    let list = bench.get(&format!("orders?filter[ids][]={id}")).await.body;
    assert_eq!(list["orders"][0], got["order"]);
    assert_eq!(shape(&fixture("orders-list")["pagination"], &list["pagination"]), [""; 0]);
}

#[tokio::test]
async fn references_and_account_facts_have_the_shapes_of_the_samples() {
    let bench = Bench::start().await;
    bench.register("measoft-17").await;
    for (book, sample, key) in [
        ("payment-types", "reference-payment-types", "paymentTypes"),
        ("payment-statuses", "reference-payment-statuses", "paymentStatuses"),
        ("statuses", "reference-statuses", "statuses"),
    ] {
        let got = bench.get(&format!("reference/{book}")).await.body;
        let sample = fixture(sample);
        let code = if key == "paymentTypes" { "2" } else { sample[key].as_object().unwrap().keys().next().unwrap() };
        let extra: Vec<String> = shape(&sample[key][code], &got[key][code]);
        assert!(extra.iter().all(|path| path == "+.description"), "{book}: {extra:?}");
        assert!(got[key].is_object());
    }
    let got = bench.get("reference/delivery-types").await.body;
    let missing =
        shape(&fixture("reference-delivery-types")["deliveryTypes"]["measoft-17"], &got["deliveryTypes"]["measoft-17"]);
    assert!(missing.iter().all(|path| path.starts_with("-.defaultTariff")), "{missing:?}");
    assert_eq!(shape(&fixture("settings"), &bench.get("settings").await.body), [""; 0]);
    assert_eq!(shape(&fixture("credentials"), &bench.get("../credentials").await.body), [""; 0]);
    let info = Bench::read(bench.http.get(format!("{}/api/system-info", bench.sim.url())).send().await.unwrap()).await;
    assert_eq!(shape(&fixture("system-info"), &info.body), [""; 0]);
    assert_eq!(bench.get("reference/nonsense").await.status, 404);
}

#[tokio::test]
async fn a_change_is_invisible_until_it_is_committed() {
    let bench = Bench::with(Options { commit_lag_ms: 300, ..Options::default() }).await;
    let begun = Instant::now();
    let id = bench.sim.add_order(bench.account, an_order().number("77A"));
    let early = bench.get("orders?filter[numbers][]=77A").await.body;
    let history = bench.get("orders/history").await.body;
    if begun.elapsed() < Duration::from_millis(300) {
        assert_eq!((&early["orders"], &history["history"]), (&json!([]), &json!([])));
    }
    while bench.get("orders?filter[numbers][]=77A").await.body["orders"] == json!([]) {
        assert!(begun.elapsed() < Duration::from_secs(5), "the order never appeared");
        tokio::task::yield_now().await;
    }
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(bench.sim.order(bench.account, id).unwrap()["number"], "77A");
}

#[tokio::test]
async fn faults_strike_before_or_after_the_deed() {
    let bench = Bench::start().await;
    let id = bench.sim.add_order(bench.account, an_order().no_payments());
    let payment = [("payment", json!({"order": {"id": id}, "type": "cash", "amount": 1}).to_string())];
    let paid = || bench.sim.payments(bench.account, id).len();
    bench.sim.set_faults(vec![
        FaultRule::new("payments.create", When::FirstN(1), Action::FailBefore),
        FaultRule::new("payments.create", When::FirstN(1), Action::LoseAnswer),
    ]);
    let lost = bench.try_post("orders/payments/create", &payment).await.unwrap_err();
    assert!((lost.is_request() || lost.is_body()) && !lost.is_connect(), "{lost:?}");
    assert_eq!(paid(), 0);
    bench.try_post("orders/payments/create", &payment).await.unwrap_err();
    assert_eq!(paid(), 1);
    assert_eq!(bench.post("orders/payments/create", &payment).await.status, 201);
    let records = bench.sim.requests();
    assert_eq!(records.iter().map(|record| record.status).collect::<Vec<_>>(), [0, 0, 201]);
    let faults: Vec<_> = records.iter().map(|record| record.fault.as_deref()).collect();
    assert_eq!(faults, [Some("fail_before"), Some("lose_answer"), None]);
    assert_eq!(bench.sim.count("payments.create"), 3);
    assert!(records.iter().all(|record| record.order_ids == [id]));
}

#[tokio::test]
async fn spoiled_answers_look_like_those_of_proxies_and_tired_servers() {
    let bench = Bench::start().await;
    bench.sim.add_order(bench.account, an_order());
    let one = |action| vec![FaultRule::new("orders.*", When::Always, action)];
    bench.sim.set_faults(one(Action::Html { status: 405, acted: false }));
    let got = bench.get("orders").await;
    assert!(got.status == 405 && got.raw.starts_with('<'), "{}", got.raw);
    bench.sim.set_faults(one(Action::RateLimited { status: 429, retry_after_s: Some(7) }));
    let url = format!("{}/api/v5/orders", bench.sim.url());
    let limited = bench.http.get(&url).header("X-API-KEY", KEY).send().await.unwrap();
    assert_eq!(limited.headers()["retry-after"], "7");
    assert_eq!(Bench::read(limited).await.body, fixture("error-rate-limit"));
    bench.sim.set_faults(one(Action::CutJson));
    let got = bench.get("orders").await;
    assert!(got.status == 200 && got.raw.starts_with("{\"success\":true") && got.body.is_null());
    bench.sim.set_faults(one(Action::Empty));
    assert_eq!(bench.get("orders").await.raw, "");
    bench.sim.set_faults(one(Action::ServerError { acted: false }));
    assert_eq!(bench.get("orders").await.status, 500);
    bench.sim.set_faults(one(Action::Forbidden));
    assert_eq!(bench.get("orders").await.body["errorMsg"], "Access denied.");
    bench.sim.set_faults(one(Action::Delay { ms: 60 }));
    let begun = Instant::now();
    assert_eq!(bench.get("orders").await.status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(60));
    bench.sim.clear_faults();
    assert_eq!(bench.get("orders").await.body["success"], true);
}

#[tokio::test]
async fn a_thousand_orders_are_found_by_number_without_reading_them_all() {
    let bench = Bench::start().await;
    for number in 0..1000 {
        bench.sim.add_order(bench.account, an_order().number(&format!("{number}B")));
    }
    let query: Vec<String> = (0..100).map(|number| format!("filter[numbers][]={}B", number * 7)).collect();
    let got = bench.get(&format!("orders?limit=100&{}", query.join("&"))).await.body;
    assert_eq!(got["orders"].as_array().unwrap().len(), 100);
    let too_many: Vec<String> = (0..101).map(|number| format!("filter[numbers][]={number}B")).collect();
    assert_eq!(bench.get(&format!("orders?limit=100&{}", too_many.join("&"))).await.status, 400);
}

#[tokio::test]
async fn a_stopped_simulator_refuses_connections() {
    let bench = Bench::start().await;
    bench.get("settings").await;
    bench.sim.stop().await;
    let url = format!("{}/api/v5/settings", bench.sim.url());
    assert!(bench.http.get(url).send().await.is_err());
}

/// The other side of triggers and callbacks: answers from a table, keeps what it was sent.
mod module_side {
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::extract::{Request, State};
    use axum::response::{IntoResponse, Response};
    use serde_json::Value;

    use super::super::wire::Params;

    type Log = Arc<Mutex<Vec<(String, Params)>>>;

    #[derive(Clone)]
    pub(super) struct Ingress {
        pub(super) url: String,
        log: Log,
        answers: Arc<HashMap<&'static str, (u16, Value)>>,
    }

    impl Ingress {
        pub(super) async fn start(answers: &[(&'static str, u16, Value)]) -> Self {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let ingress = Self {
                url: format!("http://{}", listener.local_addr().unwrap()),
                log: Log::default(),
                answers: Arc::new(
                    answers.iter().map(|(path, status, body)| (*path, (*status, body.clone()))).collect(),
                ),
            };
            let app = Router::new().fallback(answer).with_state(ingress.clone());
            tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
            ingress
        }

        pub(super) fn received(&self) -> Vec<(String, Params)> {
            self.log.lock().unwrap().clone()
        }

        /// Paths received, shortened to their last distinctive part.
        pub(super) fn kinds(&self) -> Vec<String> {
            let mut kinds: Vec<String> =
                self.received().iter().map(|(path, _)| path.split('/').nth(3).unwrap_or_default().to_owned()).collect();
            kinds.sort();
            kinds
        }
    }

    async fn answer(State(ingress): State<Ingress>, request: Request) -> Response {
        let path = request.uri().path().to_owned();
        let mut params = Params::default();
        params.extend(request.uri().query().unwrap_or_default().as_bytes());
        let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
        params.extend(&body);
        ingress.log.lock().unwrap().push((path.clone(), params));
        let (status, body) = ingress.answers.get(path.as_str()).cloned().unwrap_or((200, Value::Null));
        let status = axum::http::StatusCode::from_u16(status).unwrap();
        (status, [("content-type", "application/json")], body.to_string()).into_response()
    }
}

use module_side::Ingress;

#[tokio::test]
async fn triggers_fire_on_the_conditions_of_the_guide() {
    let ingress = Ingress::start(&[]).await;
    let bench = Bench::start().await;
    bench.sim.set_triggers(
        bench.account,
        Some(TriggerSetup::new(&ingress.url, &["incity", "outcity"], &[("incity", "K1"), ("outcity", "K2")])),
    );
    let id = bench.sim.add_order(bench.account, an_order().number("1234A").delivery_api_key("K1"));
    let fired = async |bench: &Bench| {
        bench.sim.triggers_settled().await;
        let kinds: Vec<TriggerKind> = bench.sim.triggers_fired().iter().map(|record| record.kind).collect();
        kinds
    };
    assert_eq!(fired(&bench).await, [], "an order that is only new");
    bench.sim.edit(bench.account, id, |order| order.set_address("Москва", "другая улица"));
    assert_eq!(fired(&bench).await, [], "the address is not watched");
    bench.sim.edit(bench.account, id, |order| order.set_status("SentMeaSoft"));
    assert_eq!(fired(&bench).await, [TriggerKind::Send]);
    bench.sim.edit(bench.account, id, |order| order.set_text("managerComment", "позвонить"));
    assert_eq!(fired(&bench).await, [TriggerKind::Send; 2], "the send condition is about a state");
    bench.sim.edit(bench.account, id, |order| order.set_phone("+79990000000"));
    bench.sim.triggers_settled().await;
    assert_eq!(ingress.kinds(), ["trigger", "trigger", "trigger", "update"]);
    bench.sim.edit(bench.account, id, |order| order.set_delivery_type("russian-post"));
    bench.sim.triggers_settled().await;
    let (path, form) = ingress.received().pop().unwrap();
    assert_eq!(path, "/reintegrations/requests/cancel/retailcrm");
    let value = |name| form.get(name).unwrap().to_owned();
    assert_eq!([value("id"), value("sum"), value("incity"), value("outcity")], ["1234A", "", "K1", "K2"]);
    let (_, form) = ingress.received().into_iter().find(|(path, _)| path.ends_with("trigger/retailcrm")).unwrap();
    assert_eq!([form.get("id"), form.get("sum"), form.get("key")], [Some("1234A"), Some("3790"), Some("K1")]);
    assert!(bench.sim.triggers_fired().iter().all(|record| record.status == Some(200)));
}

#[tokio::test]
async fn own_writes_fire_triggers_too() {
    let ingress = Ingress::start(&[]).await;
    let bench = Bench::start().await;
    bench.sim.set_triggers(bench.account, Some(TriggerSetup::new(&ingress.url, &["incity"], &[])));
    let id = bench.sim.add_order(bench.account, an_order());
    bench.create_payment(json!({"order": {"id": id}, "type": "cash", "amount": 1})).await;
    bench.sim.triggers_settled().await;
    assert_eq!(ingress.kinds(), ["update"]);
    assert_eq!(bench.sim.triggers_fired()[0].source, Source::Api(0));
}

#[tokio::test]
async fn a_trigger_is_fired_by_hand_in_the_recorded_form() {
    let ingress =
        Ingress::start(&[("/reintegrations/requests/trigger/retailcrm", 403, json!({"success": false}))]).await;
    let bench = Bench::start().await;
    let answer = bench.sim.fire(TriggerKind::Send, &ingress.url, "А 7", "3790", &[("key", "K1")]).await.unwrap();
    assert_eq!((answer.status, answer.json()["success"].as_bool()), (403, Some(false)));
    let (_, form) = ingress.received().pop().unwrap();
    assert_eq!([form.get("id"), form.get("sum"), form.get("key")], [Some("А 7"), Some("3790"), Some("K1")]);
}

async fn with_module(answers: &[(&'static str, u16, Value)]) -> (Bench, Ingress) {
    let ingress = Ingress::start(answers).await;
    let bench = Bench::start().await;
    let mut module = fixture("module-edit-request")["integrationModule"].clone();
    module["baseUrl"] = format!("{}/", ingress.url).into();
    module["accountUrl"] = format!("{}/retailcrm/account", ingress.url).into();
    module["integrations"]["delivery"]["settings"]["deliveryExtraData"] = json!([]);
    bench.post("integration-modules/measoft-17/edit", &[("integrationModule", module.to_string())]).await;
    bench.sim.add_delivery_type(bench.account, "incity", Some("measoft-17"), &["cash", "bank-card"]);
    (bench, ingress)
}

fn sent(ingress: &Ingress, field: &str) -> Value {
    let (_, form) = ingress.received().pop().unwrap();
    assert_eq!(form.get("clientId"), Some("c1f0a6de4b7e49d2a35e0f6b8d94c7e1"));
    serde_json::from_str(form.get(field).unwrap()).unwrap()
}

#[tokio::test]
async fn save_sends_the_order_and_keeps_what_the_module_answers() {
    let (bench, ingress) = with_module(&[("/retailcrm/callback/save", 200, fixture("callback-save-response"))]).await;
    let id = bench.sim.add_order(
        bench.account,
        an_order()
            .number("1234A")
            .text("additionalPhone", "8 495 000 11 22")
            .tariff("express", "dk-1")
            .payment("bank-card", 100_000, "paid")
            .payment_of_the_rest("cash", "not-paid"),
    );
    let answer = bench.sim.save(bench.account, id).await.unwrap();
    assert_eq!(answer.as_manager_sees().unwrap()["result"]["deliveryId"], "ms-17-4817");
    let save = sent(&ingress, "save");
    assert_eq!(shape(&fixture("callback-save-request")["save"], &save), ["-.delivery.extraData.packing"]);
    assert_eq!((save["order"].as_str(), save["delivery"]["withCod"].as_bool()), (Some("4801"), Some(true)));
    let cod: i64 = save["packages"][0]["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| wire::read_kopecks(&item["cod"]).unwrap() * item["quantity"].as_i64().unwrap())
        .sum::<i64>()
        + wire::read_kopecks(&save["delivery"]["cod"]).unwrap();
    assert_eq!(cod, 314_000);
    let data = bench.sim.order(bench.account, id).unwrap()["delivery"]["data"].clone();
    assert_eq!(data["externalId"], "ms-17-4817");
    assert_eq!((data["status"].as_str(), data["statusText"].as_str()), (Some("NEW"), Some("Новый")));
    assert_eq!(data["extraData"]["deliveryApiKey"], "dk-7f3c9a52e1b04d6f8a90c1e2");
    bench.sim.save(bench.account, id).await.unwrap();
    assert_eq!(sent(&ingress, "save")["deliveryId"], "ms-17-4817");
}

#[tokio::test]
async fn a_paid_order_is_saved_without_cash_on_delivery() {
    let (bench, ingress) = with_module(&[("/retailcrm/callback/save", 200, fixture("callback-save-response"))]).await;
    let paid = bench.sim.add_order(bench.account, an_order().payment_of_the_rest("bank-card", "paid"));
    let online = bench.sim.add_order(bench.account, an_order().payment_of_the_rest("2", "not-paid"));
    for id in [paid, online] {
        bench.sim.save(bench.account, id).await.unwrap();
        let save = sent(&ingress, "save");
        assert_eq!(
            (save["delivery"]["withCod"].as_bool(), save["delivery"]["cod"].to_string()),
            (Some(false), "0".into())
        );
    }
}

#[tokio::test]
async fn the_manager_sees_errors_as_the_crm_shows_them() {
    let (bench, _) = with_module(&[
        ("/retailcrm/callback/save", 200, fixture("callback-error-response")),
        ("/retailcrm/callback/calculate", 500, json!("not an object")),
    ])
    .await;
    let id = bench.sim.add_order(bench.account, an_order());
    let shown = bench.sim.save(bench.account, id).await.unwrap().as_manager_sees().unwrap_err();
    assert_eq!(
        shown,
        "Ошибка сервиса доставки \"Курьерская служба 2008\": field [receiver phone] has no valid phone number"
    );
    assert!(bench.sim.order(bench.account, id).unwrap()["delivery"]["data"]["externalId"].is_null());
    let shown = bench.sim.calculate(bench.account, id).await.unwrap().as_manager_sees().unwrap_err();
    assert_eq!(shown, "Служба доставки прислала ответ в неверном формате");
}

#[tokio::test]
async fn choosing_a_tariff_brings_the_key_for_triggers() {
    let (bench, ingress) =
        with_module(&[("/retailcrm/callback/calculate", 200, fixture("callback-calculate-response"))]).await;
    let id = bench.sim.add_order(bench.account, an_order());
    let answer = bench.sim.calculate(bench.account, id).await.unwrap();
    let request = sent(&ingress, "calculate");
    let differing = shape(&fixture("callback-calculate-request")["calculate"], &request);
    assert_eq!(differing, ["!.extraData: []", "+.shipmentDate"]);
    bench.sim.choose_tariff(bench.account, id, &answer.json()["result"][0]).unwrap();
    let data = bench.sim.order(bench.account, id).unwrap()["delivery"]["data"].clone();
    assert!(data["extraData"]["deliveryApiKey"].is_string() && data["tariff"].is_string(), "{data}");
}

#[tokio::test]
async fn dates_of_callbacks_come_with_and_without_a_time_in_turns() {
    let (bench, ingress) = with_module(&[
        ("/retailcrm/callback/calculate", 200, fixture("callback-calculate-response")),
        ("/retailcrm/callback/save", 200, fixture("callback-save-response")),
    ])
    .await;
    let order = an_order().text("shipmentDate", "2024-05-17").delivery_at("2024-05-18", "10:00", "18:00");
    let id = bench.sim.add_order(bench.account, order);
    let mut seen = Vec::new();
    for _ in 0..2 {
        bench.sim.calculate(bench.account, id).await.unwrap();
        let calculate = sent(&ingress, "calculate");
        seen.push((calculate["shipmentDate"].clone(), calculate["deliveryDate"].clone()));
    }
    assert_eq!(seen[0], (json!("2024-05-17"), json!("2024-05-18")));
    assert_eq!(seen[1], (json!("2024-05-17 00:00:00"), json!("2024-05-18 00:00:00")));
    bench.sim.configure(|options| options.callbacks = CallbackShapes::Models);
    bench.sim.save(bench.account, id).await.unwrap();
    assert_eq!(sent(&ingress, "save")["delivery"]["deliveryDate"], "2024-05-18 00:00:00");
}

#[tokio::test]
async fn the_other_callbacks_are_sent_as_recorded() {
    let (bench, ingress) = with_module(&[
        ("/retailcrm/callback/get", 200, fixture("callback-get-response")),
        ("/retailcrm/callback/delete", 200, json!({"success": true})),
        ("/retailcrm/callback/activity", 200, json!({"success": true})),
    ])
    .await;
    let account = bench.account;
    let id = bench.sim.add_order(account, an_order().delivery_data("externalId", "ms-17-4817".into()));
    let got = bench.sim.get_delivery(account, "measoft-17", "ms-17-4817").await.unwrap();
    assert_eq!(got.as_manager_sees().unwrap()["result"]["status"]["code"], "NEW");
    let (path, query) = ingress.received().pop().unwrap();
    assert_eq!((path.as_str(), query.get("deliveryId")), ("/retailcrm/callback/get", Some("ms-17-4817")));
    for (shapes, recorded) in
        [(CallbackShapes::Guide, "callback-print-request"), (CallbackShapes::Models, "callback-print-models-request")]
    {
        bench.sim.configure(|options| options.callbacks = shapes);
        bench.sim.print(account, "measoft-17", "waybill", &["ms-17-4817", "ms-17-4820"]).await.unwrap();
        assert_eq!(sent(&ingress, "print"), fixture(recorded)["print"]);
    }
    bench.sim.tariff_list(account, "measoft-17").await.unwrap();
    assert_eq!(ingress.received().pop().unwrap().0, "/retailcrm/callback/tariffs");
    assert!(bench.sim.shipment_point_list(account, "measoft-17", "Москва").await.is_err(), "not listed in actions");
    bench.sim.activity(account, "measoft-17", false, false).await.unwrap();
    assert_eq!(sent(&ingress, "activity"), json!({"active": false, "freeze": false}));
    assert_eq!(bench.sim.module(account, "measoft-17").unwrap()["active"], false);
    bench.sim.send_settings(account, "measoft-17").await.unwrap();
    assert_eq!(shape(&fixture("callback-settings")["request"]["settings"], &sent(&ingress, "settings")), [""; 0]);
    bench.sim.open_account_page(account, "measoft-17").await.unwrap();
    assert_eq!(ingress.received().pop().unwrap().0, "/retailcrm/account");
    bench.sim.delete_delivery(account, id).await.unwrap();
    assert_eq!(sent(&ingress, "delete"), fixture("callback-delete-request")["delete"]);
    assert!(bench.sim.order(account, id).unwrap()["delivery"]["data"]["externalId"].is_null());
}

async fn control(bench: &Bench, method: &str, path: &str, body: Value) -> Got {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let url = format!("{}{path}", bench.sim.url());
    Bench::read(bench.http.request(method, url).body(body.to_string()).send().await.unwrap()).await
}

#[tokio::test]
async fn the_control_face_does_what_the_library_does() {
    let ingress = Ingress::start(&[]).await;
    let bench = Bench::start().await;
    let second = control(&bench, "POST", "/_sim/accounts", json!({"apiKey": "second"})).await.body;
    assert_eq!(second, json!({"account": 1}));
    let kind = json!({"code": "incity", "integrationCode": "measoft-1"});
    assert_eq!(control(&bench, "POST", "/_sim/delivery-types?account=1", kind).await.status, 200);
    let triggers = json!({"ingress": ingress.url, "sendStatuses": ["SentMeaSoft"], "deliveryTypes": ["incity"],
        "keys": {"incity": "K1"}});
    assert_eq!(control(&bench, "PUT", "/_sim/triggers?account=1", triggers).await.status, 200);
    let order = json!({"number": "55A", "deliveryType": "incity", "deliveryApiKey": "K1", "firstName": "Олег",
        "phone": "89160000000", "items": [{"name": "Стол", "price": 1000, "quantity": 2, "weight": 500}],
        "payments": [{"type": "bank-card"}], "address": {"city": "Тверь", "text": "ул. Новая, 1"}, "deliveryCost": 0});
    let added = control(&bench, "POST", "/_sim/orders?account=1", order).await.body;
    assert_eq!((added["number"].as_str(), added["totalSumm"].to_string()), (Some("55A"), "2000".into()), "{added}");
    assert_eq!((added["weight"].as_i64(), &added["delivery"]["address"]["street"]), (Some(1000), &Value::Null));
    assert_eq!(added["delivery"]["integrationCode"], "measoft-1");
    assert_eq!(only_first(&added["payments"])["first"]["amount"].to_string(), "2000");
    let edited = control(&bench, "PATCH", "/_sim/orders/55A?account=1", json!({"status": "SentMeaSoft"})).await.body;
    assert_eq!(edited["status"], "SentMeaSoft");
    bench.sim.triggers_settled().await;
    let (_, form) = ingress.received().pop().unwrap();
    assert_eq!([form.get("id"), form.get("sum"), form.get("key")], [Some("55A"), Some("2000"), Some("K1")]);
    let fire = json!({"ingress": ingress.url, "kind": "update", "order": "55A"});
    assert_eq!(control(&bench, "POST", "/_sim/fire?account=1", fire).await.body["status"], 200);
    let fire = json!({"ingress": ingress.url, "kind": "cancel", "order": "55A", "sum": ""});
    control(&bench, "POST", "/_sim/fire?account=1", fire).await;
    assert_eq!(ingress.received().pop().unwrap().1.get("incity"), Some("K1"));
    assert_eq!(ingress.kinds(), ["cancel", "trigger", "update"]);
    let rules = json!([{"op": "orders.list", "action": {"html": {"status": 502}}}]);
    assert_eq!(control(&bench, "PUT", "/_sim/faults", rules).await.body, json!({"ok": true}));
    assert_eq!(bench.get("orders").await.status, 502);
    control(&bench, "DELETE", "/_sim/faults", Value::Null).await;
    assert_eq!(bench.get("orders").await.status, 200);
    let stats = control(&bench, "GET", "/_sim/stats", Value::Null).await.body;
    assert_eq!((&stats["requests"]["orders.list"], &stats["orders"]), (&json!(2), &json!([0, 1])));
    assert_eq!(control(&bench, "GET", "/_sim/requests", Value::Null).await.body.as_array().unwrap().len(), 2);
    assert_eq!(control(&bench, "GET", "/_sim/tracking/55A?account=1", Value::Null).await.body, json!([]));
    assert_eq!(control(&bench, "GET", "/_sim/orders/55A?account=7", Value::Null).await.status, 404);
    assert_eq!(control(&bench, "POST", "/_sim/orders", json!({"status": "nope"})).await.status, 400);
    let page = control(&bench, "GET", "/", Value::Null).await;
    assert!(page.status == 200 && page.raw.contains("55A"));
}
