//! The control face `/_sim/…` for demos and suites that run the simulator as a process, and the page at `/`.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::orders::{Order, Payment};
use super::patch;
use super::state::{AccountId, Source};
use super::triggers::{TriggerKind, TriggerSetup, trigger_fields};
use super::wire::Params;
use super::{OrderBuilder, RetailcrmSim, an_order};
use crate::control::{self, Refusal, gone, read, refuse};

type Plain = (u16, &'static str, String);

/// Answers a request of the control face: status, content type, body.
pub(super) async fn answer(
    sim: &RetailcrmSim,
    method: &str,
    segments: &[String],
    params: &Params,
    body: &[u8],
) -> Plain {
    let path: Vec<&str> = segments.iter().map(String::as_str).collect();
    if method == "GET" && path == [""] {
        return (200, "text/html", page(sim));
    }
    let (status, text) = control::answer(carry_out(sim, method, &path, params, body).await);
    (status, "application/json", text)
}

async fn carry_out(
    sim: &RetailcrmSim,
    method: &str,
    path: &[&str],
    params: &Params,
    body: &[u8],
) -> Result<Value, Refusal> {
    let account = AccountId(params.get("account").and_then(|text| text.parse().ok()).unwrap_or(0));
    if sim.world().account(account).is_none() && path.get(1) != Some(&"accounts") && needs_account(path) {
        return Err(refuse(404, "no such account"));
    }
    match (method, path) {
        ("GET", ["_sim", "orders"]) => Ok(Value::Array(sim.orders(account))),
        ("POST", ["_sim", "orders"]) => add_order(sim, account, &read_map(body)?),
        ("GET", ["_sim", "orders", id]) => sim.order(account, order_id(sim, account, id)?).ok_or_else(gone),
        ("PATCH", ["_sim", "orders", id]) => edit_order(sim, account, order_id(sim, account, id)?, &read_map(body)?),
        ("GET", ["_sim", "tracking", id]) => Ok(json!(sim.tracking(account, order_id(sim, account, id)?))),
        ("POST", ["_sim", "accounts"]) => {
            let NewAccount { api_key } = read(body)?;
            Ok(json!({"account": sim.add_account(&api_key)}))
        }
        ("POST", ["_sim", "delivery-types"]) => {
            let kind: NewDeliveryType = read(body)?;
            let cod: Vec<&str> = kind.cod.iter().map(String::as_str).collect();
            sim.add_delivery_type(account, &kind.code, kind.integration_code.as_deref(), &cod);
            Ok(json!({"code": kind.code}))
        }
        ("GET", ["_sim", "modules", code]) => sim.module(account, code).ok_or_else(gone),
        ("PATCH", ["_sim", "modules", code, "settings"]) => {
            if sim.set_module_settings(account, code, &Value::Object(read_map(body)?)) {
                Ok(json!({}))
            } else {
                Err(gone())
            }
        }
        ("GET", ["_sim", "requests"]) => Ok(json!(sim.requests())),
        ("DELETE", ["_sim", "requests"]) => {
            sim.forget_requests();
            Ok(json!({}))
        }
        ("GET", ["_sim", "stats"]) => Ok(stats(sim)),
        (_, ["_sim", "faults"]) => control::faults(&mut sim.world().faults, method, body),
        ("PUT", ["_sim", "triggers"]) => {
            let setup: TriggerSetup = read(body)?;
            sim.set_triggers(account, Some(setup));
            Ok(json!({}))
        }
        ("DELETE", ["_sim", "triggers"]) => {
            sim.set_triggers(account, None);
            Ok(json!({}))
        }
        ("GET", ["_sim", "triggers"]) => Ok(json!(sim.triggers_fired())),
        ("POST", ["_sim", "fire"]) => fire(sim, account, read(body)?).await,
        ("POST", ["_sim", "callbacks", action]) => callback(sim, account, action, read(body)?).await,
        ("POST", ["_sim", "options"]) => set_options(sim, &read_map(body)?),
        _ => Err(control::no_such_call()),
    }
}

fn needs_account(path: &[&str]) -> bool {
    !matches!(path.get(1), Some(&("requests" | "stats" | "faults" | "options")))
}

fn read_map(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    if body.is_empty() { Ok(Map::new()) } else { read(body) }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewAccount {
    #[serde(alias = "key", alias = "api_key")]
    api_key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewDeliveryType {
    code: String,
    #[serde(default, alias = "integration_code")]
    integration_code: Option<String>,
    #[serde(default = "usual_cod")]
    cod: Vec<String>,
}

fn usual_cod() -> Vec<String> {
    vec!["cash".into(), "bank-card".into()]
}

/// An internal id, or a number that only one order has.
fn order_id(sim: &RetailcrmSim, account: AccountId, text: &str) -> Result<i64, Refusal> {
    if let Ok(id) = text.parse()
        && sim.order(account, id).is_some()
    {
        return Ok(id);
    }
    match sim.ids_by_number(account, text).as_slice() {
        [id] => Ok(*id),
        _ => Err(gone()),
    }
}

/// Short names for what demos change most, beside the API's own shape.
fn with_short_names(mut patch: Map<String, Value>) -> Map<String, Value> {
    let mut delivery = match patch.remove("delivery") {
        Some(Value::Object(delivery)) => delivery,
        _ => Map::new(),
    };
    for (short, field) in [("deliveryType", "code"), ("deliveryCost", "cost"), ("address", "address")] {
        if let Some(value) = patch.remove(short) {
            delivery.insert(field.into(), value);
        }
    }
    if let Some(key) = patch.remove("deliveryApiKey") {
        let data = delivery.entry("data").or_insert_with(|| json!({}));
        data["extraData"]["deliveryApiKey"] = key;
    }
    if !delivery.is_empty() {
        patch.insert("delivery".into(), Value::Object(delivery));
    }
    patch
}

fn add_order(sim: &RetailcrmSim, account: AccountId, given: &Map<String, Value>) -> Result<Value, Refusal> {
    let patch = with_short_names(given.clone());
    let builder = {
        let world = sim.world();
        let row = world.account(account).ok_or_else(gone)?;
        let mut order = an_order().build(0, "");
        order.number = String::new();
        order.external_id = None;
        order.created_at = String::new();
        order.payments.clear();
        if patch.contains_key("items") {
            order.items.clear();
        }
        if patch.get("delivery").is_some_and(|delivery| delivery["address"].is_object()) {
            order.delivery.address.clear();
        }
        let kept = order.delivery.data.clone();
        patch::apply_order(&mut order, &patch, &row.references)
            .map_err(|errors| refuse(400, json!(errors).to_string()))?;
        for (name, value) in kept {
            order.delivery.data.entry(name).or_insert(value);
        }
        let payments = match patch.get("payments") {
            None => None,
            Some(rows) => Some(read_payments(rows, &row.references)?),
        };
        OrderBuilder::from_order(order, payments, patch.contains_key("weight"))
    };
    let id = sim.add_order(account, builder);
    sim.order(account, id).ok_or_else(gone)
}

fn read_payments(
    rows: &Value,
    references: &super::references::References,
) -> Result<Vec<(Option<i64>, Payment)>, Refusal> {
    let rows: Vec<&Value> = match rows {
        Value::Array(rows) => rows.iter().collect(),
        Value::Object(rows) => rows.values().collect(),
        _ => return Err(refuse(400, "payments must be a list")),
    };
    let mut payments = Vec::new();
    for row in rows {
        let Some(row) = row.as_object() else { return Err(refuse(400, "a payment must be an object")) };
        let id = row.get("id").and_then(Value::as_i64).unwrap_or(0);
        let mut payment = Payment { id, ..Payment::new("cash", 0, "not-paid") };
        patch::apply_payment(&mut payment, row, references).map_err(|errors| refuse(400, json!(errors).to_string()))?;
        payments.push((row.contains_key("amount").then_some(payment.amount), payment));
    }
    Ok(payments)
}

fn edit_order(sim: &RetailcrmSim, account: AccountId, id: i64, given: &Map<String, Value>) -> Result<Value, Refusal> {
    let patch = with_short_names(given.clone());
    let changed = {
        let world = sim.world();
        let row = world.account(account).ok_or_else(gone)?;
        let mut order: Order = row.newest(id).ok_or_else(gone)?.as_ref().clone();
        patch::apply_order(&mut order, &patch, &row.references)
            .map_err(|errors| refuse(400, json!(errors).to_string()))?;
        if let Some(rows) = patch.get("payments") {
            order.payments.clear();
            for (place, (_, payment)) in (1..).zip(read_payments(rows, &row.references)?) {
                order.payments.insert(if payment.id > 0 { payment.id } else { -place }, payment);
            }
        }
        order
    };
    sim.with(|world| world.save(account, changed, Source::User));
    sim.order(account, id).ok_or_else(gone)
}

fn stats(sim: &RetailcrmSim) -> Value {
    let world = sim.world();
    let orders: Vec<usize> = world.accounts.iter().map(|row| row.all_newest().count()).collect();
    json!({"requests": world.counts(), "orders": orders, "triggers": world.fired.len()})
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fire {
    ingress: String,
    kind: TriggerKind,
    /// Number or internal id of an order of the account; fills in what is not given.
    #[serde(default)]
    order: Option<Value>,
    #[serde(default)]
    number: Option<String>,
    #[serde(default)]
    sum: Option<String>,
    /// `key` for send and update, or delivery type code → key for cancel.
    #[serde(default)]
    keys: Option<Map<String, Value>>,
}

async fn fire(sim: &RetailcrmSim, account: AccountId, fire: Fire) -> Result<Value, Refusal> {
    let mut fields: Vec<(String, String)> = match &fire.order {
        None => vec![("id".into(), fire.number.clone().unwrap_or_default()), ("sum".into(), String::new())],
        Some(order) => {
            let text = order.as_str().map_or_else(|| order.to_string(), str::to_owned);
            let id = order_id(sim, account, &text)?;
            let world = sim.world();
            let row = world.account(account).ok_or_else(gone)?;
            let keys = row.triggers.as_ref().map(|setup| setup.keys.clone()).unwrap_or_default();
            trigger_fields(fire.kind, row.newest(id).ok_or_else(gone)?, &keys)
        }
    };
    if let Some(number) = fire.number {
        fields[0].1 = number;
    }
    if let Some(sum) = fire.sum {
        fields[1].1 = sum;
    }
    if let Some(keys) = fire.keys {
        fields.truncate(2);
        fields.extend(keys.into_iter().map(|(name, key)| (name, key.as_str().unwrap_or_default().to_owned())));
    }
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let url = format!("{}{}", fire.ingress.trim_end_matches('/'), fire.kind.path());
    let answer = sim.post(&url, &fields).await.map_err(|error| refuse(502, error.to_string()))?;
    Ok(json!({"status": answer.status, "body": answer.text()}))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct CallbackCall {
    order: Option<Value>,
    module: String,
    delivery_id: String,
    form: String,
    city: String,
    active: Option<bool>,
    freeze: bool,
}

async fn callback(sim: &RetailcrmSim, account: AccountId, action: &str, call: CallbackCall) -> Result<Value, Refusal> {
    let order = || {
        let order = call.order.as_ref().ok_or_else(|| refuse(400, "order is missing"))?;
        order_id(sim, account, &order.as_str().map_or_else(|| order.to_string(), str::to_owned))
    };
    let answer = match action {
        "calculate" => sim.calculate(account, order()?).await,
        "save" => sim.save(account, order()?).await,
        "delete" => sim.delete_delivery(account, order()?).await,
        "get" => sim.get_delivery(account, &call.module, &call.delivery_id).await,
        "print" => sim.print(account, &call.module, &call.form, &[&call.delivery_id]).await,
        "tariffList" => sim.tariff_list(account, &call.module).await,
        "shipmentPointList" => sim.shipment_point_list(account, &call.module, &call.city).await,
        "activity" => sim.activity(account, &call.module, call.active.unwrap_or(true), call.freeze).await,
        "settings" => sim.send_settings(account, &call.module).await,
        "account" => sim.open_account_page(account, &call.module).await,
        _ => return Err(refuse(404, "no such callback")),
    };
    let answer = answer.map_err(|error| refuse(502, error.to_string()))?;
    let shown = match answer.as_manager_sees() {
        Ok(_) => Value::Null,
        Err(text) => text.into(),
    };
    let body = match answer.json() {
        Value::Null => format!("{} bytes", answer.body.len()).into(),
        json => json,
    };
    Ok(json!({"status": answer.status, "contentType": answer.content_type, "body": body, "shown": shown}))
}

fn set_options(sim: &RetailcrmSim, given: &Map<String, Value>) -> Result<Value, Refusal> {
    let number = |name: &str| given.get(name).and_then(Value::as_u64);
    sim.configure(|options| {
        if let Some(ms) = number("commitLagMs") {
            options.commit_lag_ms = ms;
        }
        if let Some(shapes) = given.get("callbacks").and_then(|shapes| serde_json::from_value(shapes.clone()).ok()) {
            options.callbacks = shapes;
        }
        if let Some(allowed) = given.get("embedJs").and_then(Value::as_bool) {
            options.embed_js = allowed;
        }
    });
    Ok(json!({}))
}

fn page(sim: &RetailcrmSim) -> String {
    let world = sim.world();
    let mut rows = String::new();
    for (account, row) in world.accounts.iter().enumerate() {
        for order in row.all_newest() {
            let told = row.tracking.get(&order.id).and_then(|entries| entries.last());
            let payments: Vec<String> = order
                .payments
                .values()
                .map(|p| format!("{} {} {}", p.payment_type, super::wire::roubles(p.amount), p.status))
                .collect();
            let cells = [
                account.to_string(),
                order.id.to_string(),
                order.number.clone(),
                order.status.clone(),
                order.delivery.code.clone().unwrap_or_default(),
                order.delivery.external_id().unwrap_or_default().to_owned(),
                told.map(|entry| format!("{} {}", entry.code, entry.updated_at)).unwrap_or_default(),
                super::wire::roubles(order.total()),
                payments.join("; "),
            ];
            rows.push_str("<tr>");
            for cell in cells {
                rows.push_str("<td>");
                rows.push_str(&escape(&cell));
            }
        }
    }
    format!(
        "<!doctype html><meta charset=utf-8><title>RetailCRM simulator</title>\
        <style>body{{font:14px sans-serif}}td,th{{border:1px solid #ccc;padding:2px 6px;text-align:left}}\
        table{{border-collapse:collapse}}</style><h1>RetailCRM simulator</h1>\
        <p>API: <code>{}/api/v5</code>, control: <code>/_sim/orders</code>, <code>/_sim/requests</code>, \
        <code>/_sim/stats</code>, <code>/_sim/triggers</code></p>\
        <table><tr><th>account<th>id<th>number<th>status<th>delivery<th>delivery id<th>last tracking<th>sum<th>payments\
        {rows}</table>",
        sim.inner.url
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
