//! The control face below `/_sim`, and the page for people at `/`.

use std::fmt::Write as _;

use axum::extract::Query;
use axum::http::Uri;
use jiff::{SignedDuration, Timestamp};
use quick_xml::escape::escape;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::model::{Account, Options, Order, RequestRecord};
use super::state::State;
use super::xml;
use crate::control::{self, Refusal, gone, read, refuse};

/// Answers a request of the control face: status and body.
pub(crate) fn answer(state: &mut State, method: &str, uri: &Uri, body: &[u8]) -> (u16, String) {
    state.settle();
    let segments = control::segments(uri.path());
    let path: Vec<&str> = segments.iter().skip(1).map(String::as_str).collect();
    control::answer(carry_out(state, method, &path, uri, body))
}

fn carry_out(state: &mut State, method: &str, path: &[&str], uri: &Uri, body: &[u8]) -> Result<Value, Refusal> {
    match (method, path) {
        ("GET", ["orders"]) => {
            let filter: OrderFilter = filter(uri)?;
            let orders = state.orders().into_iter().filter(|order| filter.fits(order));
            Ok(json!(orders.take(filter.limit.unwrap_or(usize::MAX)).collect::<Vec<_>>()))
        }
        ("GET", ["orders", orderno]) => state.order(orderno).map(|order| json!(**order)).ok_or_else(gone),
        ("DELETE", ["orders", orderno]) => found(state.delete(orderno)),
        ("POST", ["orders", orderno, "status"]) => found(state.change_status(orderno, &read(body)?)),
        ("GET", ["requests"]) => {
            let filter: RequestFilter = filter(uri)?;
            let records = state.requests().filter(|record| filter.fits(record));
            Ok(json!(records.take(filter.limit.unwrap_or(usize::MAX)).collect::<Vec<_>>()))
        }
        ("GET", ["stats"]) => Ok(json!(state.stats())),
        ("GET", ["effects"]) => Ok(json!(state.effects())),
        (_, ["faults"]) => control::faults(&mut state.faults, method, body),
        ("GET", ["accounts"]) => Ok(json!(state.accounts())),
        ("POST", ["accounts"]) => {
            let account: Account = read(body)?;
            if account.extra.is_empty() || account.login.is_empty() {
                return Err(refuse(400, "extra and login are required"));
            }
            state.add_account(account);
            found(true)
        }
        ("PATCH", ["accounts", key]) => patch_account(state, key, read(body)?),
        ("GET", ["options"]) => Ok(json!(options(state))),
        ("PATCH", ["options"]) => {
            state.options = patched(&options(state), read(body)?)?;
            found(true)
        }
        ("POST", ["clock"]) => Ok(json!({"ok": true, "now": set_clock(state, &read(body)?)})),
        ("POST", ["seed"]) => {
            let seed: Seed = read(body)?;
            found(state.seed(&seed.account, seed.count, &seed.prefix))
        }
        ("POST", ["reset"]) => {
            state.reset_counters();
            found(true)
        }
        _ => Err(control::no_such_call()),
    }
}

fn found(yes: bool) -> Result<Value, Refusal> {
    if yes { Ok(json!({"ok": true})) } else { Err(refuse(404, "no such order or account")) }
}

/// What is asked for after the question mark.
fn filter<T: DeserializeOwned>(uri: &Uri) -> Result<T, Refusal> {
    Query::try_from_uri(uri).map(|Query(filter)| filter).map_err(|error| refuse(400, error.to_string()))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct OrderFilter {
    account: Option<String>,
    status: Option<String>,
    orderno: Option<String>,
    prefix: Option<String>,
    limit: Option<usize>,
}

impl OrderFilter {
    fn fits(&self, order: &Order) -> bool {
        let same = |wanted: &Option<String>, have: &str| wanted.as_deref().is_none_or(|wanted| wanted == have);
        same(&self.account, &order.account)
            && same(&self.status, &order.status)
            && same(&self.orderno, &order.orderno)
            && self.prefix.as_deref().is_none_or(|prefix| order.orderno.starts_with(prefix))
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RequestFilter {
    op: Option<String>,
    /// Only records with a larger `seq`.
    since: u64,
    orderno: Option<String>,
    limit: Option<usize>,
}

impl RequestFilter {
    fn fits(&self, record: &RequestRecord) -> bool {
        record.seq > self.since
            && self.op.as_deref().is_none_or(|op| op == record.op)
            && self.orderno.as_ref().is_none_or(|number| record.ordernos.contains(number))
    }
}

/// Puts the fields of `patch` over the JSON form of `current`.
fn patched<T: serde::Serialize + DeserializeOwned>(current: &T, patch: Value) -> Result<T, Refusal> {
    let bad = |error: serde_json::Error| refuse(400, error.to_string());
    let mut whole = serde_json::to_value(current).map_err(bad)?;
    if let (Value::Object(whole), Value::Object(patch)) = (&mut whole, patch) {
        whole.extend(patch);
    }
    serde_json::from_value(whole).map_err(bad)
}

fn patch_account(state: &mut State, key: &str, patch: Value) -> Result<Value, Refusal> {
    let known = state.accounts().into_iter().find(|account| account.key() == key);
    let current = known.ok_or_else(|| refuse(404, "no such order or account"))?;
    let new_pass = patch.get("pass").is_some();
    let mut account = patched(&current, patch)?;
    if !new_pass {
        account.pass = current.pass;
    }
    account.extra = current.extra;
    account.login = current.login;
    state.add_account(account);
    found(true)
}

fn options(state: &State) -> Options {
    Options { accounts: Vec::new(), ..state.options.clone() }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Clock {
    now: Option<Timestamp>,
    advance_s: i64,
    advance_year: bool,
}

fn set_clock(state: &mut State, clock: &Clock) -> Timestamp {
    if let Some(now) = clock.now {
        state.set_now(now);
    }
    state.advance(SignedDuration::from_secs(clock.advance_s));
    if clock.advance_year {
        state.advance_year();
    }
    state.now()
}

#[derive(Deserialize)]
struct Seed {
    account: String,
    count: usize,
    prefix: String,
}

/// A page for people: what happened so far.
pub(crate) fn page(state: &mut State) -> String {
    state.settle();
    let stats = state.stats();
    let mut out = String::from(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"3\">\
         <title>MeaSoft simulator</title><style>body{font:14px system-ui;margin:2em}table{border-collapse:collapse}\
         td,th{border:1px solid #ccc;padding:.2em .6em;text-align:left}</style></head><body><h1>MeaSoft simulator</h1>\
         <p>Stand-in for the vendor's XML API at <code>POST /api/</code>. Control face: <code>/_sim/stats</code>, \
         <code>/_sim/orders</code>, <code>/_sim/requests</code>, <code>/_sim/faults</code>.</p>",
    );
    let _ = write!(
        out,
        "<p>{} requests, {} answers lost on purpose, {} orders; highest load {} per minute, {} per 20 minutes; \
         limits crossed: {}</p>",
        stats.total_requests,
        stats.lost_answers,
        stats.orders,
        stats.limits.highest_ip_per_minute,
        stats.limits.highest_ip_per_20_minutes,
        if stats.limits.exceeded.is_empty() { "none".to_owned() } else { stats.limits.exceeded.join(", ") },
    );
    out.push_str(
        "<h2>Latest orders</h2><table><tr><th>number<th>code<th>status<th>to collect<th>edits<th>cancels</tr>",
    );
    for order in state.latest_orders(20) {
        let _ = write!(
            out,
            "<tr><td>{}<td>{}<td>{}<td>{} {}<td>{}<td>{}</tr>",
            escape(order.orderno.as_str()),
            order.ordercode,
            escape(order.status.as_str()),
            xml::money(order.price_kopecks),
            escape(order.paytype.as_str()),
            order.edits,
            order.cancels,
        );
    }
    out.push_str("</table><h2>Latest requests</h2><table><tr><th>time<th>operation<th>orders<th>code<th>fault</tr>");
    for record in state.requests().rev().take(20) {
        let _ = write!(
            out,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{}</tr>",
            record.at,
            escape(record.op.as_str()),
            escape(record.ordernos.join(", ")),
            record.code.map(|code| code.to_string()).unwrap_or_default(),
            record.fault.as_deref().unwrap_or(""),
        );
    }
    out.push_str("</table></body></html>");
    out
}
