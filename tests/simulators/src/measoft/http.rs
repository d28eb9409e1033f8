//! The sockets: the vendor's face (`POST /api/` and `/api`), and the control face below `/_sim`.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, State as Shared};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Json, Response};
use axum::routing::{get, post};
use axum::serve::{IncomingStream, Listener};
use futures_util::stream;
use jiff::{SignedDuration, Timestamp};
use quick_xml::escape::escape;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::faults::{FaultAction, FaultRule, Plan};
use super::limits::Enforcement;
use super::model::{Account, DesktopEdit, Options, StatusChange};
use super::operations::{self, Outcome};
use super::state::{Refusal, State};
use super::xml::{self, Element};

/// Largest request body. The vendor's limit is unknown.
const MAX_BODY: usize = 16 << 20;
/// Rows rendered between two looks at the socket.
const ROWS_PER_CHUNK: usize = 500;

/// What every handler shares.
pub(crate) struct Platform {
    state: Mutex<State>,
}

impl Platform {
    pub(crate) fn new(state: State) -> Self {
        Self { state: Mutex::new(state) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// ---- connections that can be cut

/// Listens for connections that a handler, or the stop of the server, can cut without a farewell.
pub(crate) struct CuttableListener {
    inner: TcpListener,
    down: Arc<AtomicBool>,
}

impl CuttableListener {
    pub(crate) fn new(inner: TcpListener, down: Arc<AtomicBool>) -> Self {
        Self { inner, down }
    }
}

pub(crate) struct CuttableStream {
    inner: TcpStream,
    cut: Arc<AtomicBool>,
    down: Arc<AtomicBool>,
}

impl CuttableStream {
    fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire) || self.down.load(Ordering::Acquire)
    }
}

impl Listener for CuttableListener {
    type Io = CuttableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.inner.accept().await {
                Ok((inner, address)) => {
                    // Small answers must not wait for the peer's acknowledgement.
                    if let Err(error) = inner.set_nodelay(true) {
                        tracing::debug!(%error, "TCP_NODELAY was refused");
                    }
                    let cut = Arc::new(AtomicBool::new(false));
                    return (CuttableStream { inner, cut, down: Arc::clone(&self.down) }, address);
                }
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

impl AsyncRead for CuttableStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        if self.is_cut() {
            return Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        if self.is_cut() {
            return Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// What a handler knows of its connection.
#[derive(Clone)]
pub(crate) struct Connection {
    ip: IpAddr,
    cut: Arc<AtomicBool>,
}

impl Connected<IncomingStream<'_, CuttableListener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Self {
        Self { ip: stream.remote_addr().ip(), cut: Arc::clone(&stream.io().cut) }
    }
}

// ---- the vendor's face

/// What becomes of a request.
enum Reply {
    Answer(Response),
    /// Close the connection without a byte.
    Silence,
}

/// All routes.
pub(crate) fn router(platform: Arc<Platform>) -> axum::Router {
    axum::Router::new()
        .route("/api/", post(api))
        .route("/api", post(api))
        .route("/", get(page))
        .route("/_sim/orders", get(list_orders))
        .route("/_sim/orders/{orderno}", get(show_order).delete(delete_order))
        .route("/_sim/orders/{orderno}/status", post(change_status))
        .route("/_sim/orders/{orderno}/desktop", post(desktop_edit))
        .route("/_sim/requests", get(list_requests))
        .route("/_sim/stats", get(show_stats))
        .route("/_sim/effects", get(show_effects))
        .route("/_sim/faults", get(show_faults).put(put_faults).delete(clear_faults))
        .route("/_sim/accounts", get(list_accounts).post(add_account))
        .route("/_sim/accounts/{key}", axum::routing::patch(patch_account))
        .route("/_sim/options", get(show_options).patch(patch_options))
        .route("/_sim/clock", post(set_clock))
        .route("/_sim/seed", post(seed))
        .route("/_sim/reset", post(reset))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(platform)
}

async fn api(
    Shared(platform): Shared<Arc<Platform>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    body: Bytes,
) -> Response {
    // A task of its own, because a real server carries on when the caller hangs up.
    let served = tokio::spawn(serve(platform, connection.ip, body)).await;
    match served {
        Ok(Reply::Answer(response)) => response,
        Ok(Reply::Silence) => {
            connection.cut.store(true, Ordering::Release);
            StatusCode::OK.into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the simulated request panicked");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn serve(platform: Arc<Platform>, ip: IpAddr, body: Bytes) -> Reply {
    let parsed = xml::parse(&body);
    let (seq, plan) = match arrive(&platform, ip, &parsed) {
        Arrival::Accepted { seq, plan } => (seq, plan),
        Arrival::Blocked(response) => return Reply::Answer(response),
    };
    if plan.delay_before_ms > 0 {
        tokio::time::sleep(Duration::from_millis(plan.delay_before_ms)).await;
    }
    if plan.ending == Some(FaultAction::Hang) {
        let changes = platform.lock().faults.changes();
        while platform.lock().faults.changes() == changes {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let acts = match &plan.ending {
        Some(FaultAction::FailBefore | FaultAction::Hang | FaultAction::AuthError | FaultAction::RootError { .. }) => {
            false
        }
        Some(FaultAction::Html { act, .. } | FaultAction::Empty { act } | FaultAction::Status { act, .. }) => *act,
        _ => true,
    };
    let mut acted_at = None;
    let outcome = match (&parsed, acts) {
        (Ok(root), true) => {
            let mut state = platform.lock();
            acted_at = Some(state.now());
            Some(operations::perform(&mut state, root, &plan))
        }
        (Err(message), true) => {
            Some(Outcome { body: operations::Body::Xml(xml::malformed(message)), code: MALFORMED, rows: 0 })
        }
        (_, false) => None,
    };
    platform.lock().amend(seq, |record| {
        record.acted = acts && parsed.is_ok();
        record.acted_at = acted_at;
        record.fault = plan.label();
        match &plan.ending {
            Some(FaultAction::AuthError) => record.code = Some(operations::auth_refusal().code),
            Some(FaultAction::RootError { code, .. }) => record.code = Some(*code),
            _ => {}
        }
        if let Some(outcome) = &outcome {
            record.code = (outcome.code != MALFORMED).then_some(outcome.code);
            record.rows = outcome.rows;
        }
    });
    if plan.delay_after_ms > 0 {
        tokio::time::sleep(Duration::from_millis(plan.delay_after_ms)).await;
    }
    let root = parsed.as_ref().map_or("request", |root| root.name.as_str());
    let reply = answer(&platform, ip, root, outcome, plan.ending.as_ref());
    let mut state = platform.lock();
    let now = state.now();
    state.amend(seq, |record| {
        record.finished = true;
        record.finished_at = Some(now);
        match &reply {
            Reply::Answer(response) => record.http_status = response.status().as_u16(),
            Reply::Silence => record.lost = true,
        }
    });
    drop(state);
    reply
}

/// Stands for "no code" inside an outcome: shape 4 has none.
const MALFORMED: i64 = i64::MIN;

enum Arrival {
    Accepted { seq: u64, plan: Plan },
    Blocked(Response),
}

/// Counts and records a request, and decides which faults hit it.
fn arrive(platform: &Platform, ip: IpAddr, parsed: &Result<Element, String>) -> Arrival {
    let (op, account, ordernos) = match parsed {
        Ok(root) => (root.name.as_str(), operations::sent_account(root), operations::sent_ordernos(root)),
        Err(_) => ("", String::new(), Vec::new()),
    };
    let now = Instant::now();
    let mut guard = platform.lock();
    let state = &mut *guard;
    let enforced = state.options.enforcement != Enforcement::Off;
    let limits = state.options.limits;
    let mut blocked = state.limits.request(ip, now, &limits, enforced);
    if op == "tracking" {
        state.limits.tracking_request(ip, now);
    }
    let known = parsed.as_ref().ok().and_then(|root| operations::authenticated(state, root));
    if let Some(known) = known {
        let key = state.account_key(known).to_owned();
        blocked = blocked.or(state.limits.account_request(&key, ip, now, &limits, enforced));
    }
    let plan = if blocked.is_some() { Plan::default() } else { state.faults.plan(op, &account, &ordernos) };
    let seq = state.record(ip, op, account, ordernos);
    let only_last = parsed.as_ref().is_ok_and(operations::asks_only_last);
    state.amend(seq, |record| record.only_last = only_last);
    let Some(left) = blocked else {
        return Arrival::Accepted { seq, plan };
    };
    let response = match state.options.enforcement {
        Enforcement::Html { status } => html(status),
        _ => bare_status(429, Some(left.as_secs().max(1))),
    };
    let status = response.status().as_u16();
    state.amend(seq, |record| {
        record.fault = Some("limit".to_owned());
        record.http_status = status;
        record.finished = true;
    });
    Arrival::Blocked(response)
}

fn answer(
    platform: &Arc<Platform>,
    ip: IpAddr,
    root: &str,
    outcome: Option<Outcome>,
    ending: Option<&FaultAction>,
) -> Reply {
    match ending {
        Some(FaultAction::FailBefore | FaultAction::FailAfter | FaultAction::Hang) => return Reply::Silence,
        Some(FaultAction::Html { status, .. }) => return Reply::Answer(html(*status)),
        Some(FaultAction::Empty { .. }) => return Reply::Answer(xml_response(Body::empty())),
        Some(FaultAction::Status { status, retry_after, .. }) => {
            return Reply::Answer(bare_status(*status, *retry_after));
        }
        Some(FaultAction::AuthError) => {
            return Reply::Answer(xml_response(Body::from(xml::request_error(&operations::auth_refusal()))));
        }
        Some(FaultAction::RootError { code, text }) => {
            let refusal = Refusal::new(*code, text, text);
            return Reply::Answer(xml_response(Body::from(xml::root_error(root, &refusal))));
        }
        _ => {}
    }
    let Some(outcome) = outcome else {
        return Reply::Silence;
    };
    let cut = ending == Some(&FaultAction::CutXml);
    let text = match outcome.body {
        operations::Body::Xml(text) => text,
        operations::Body::Rows(rows) if rows.orders.len() <= ROWS_PER_CHUNK || cut => rows.chunks(usize::MAX).collect(),
        operations::Body::Rows(rows) => {
            let platform = Arc::clone(platform);
            let chunks = rows.chunks(ROWS_PER_CHUNK).map(move |chunk| {
                platform.lock().limits.bytes(ip, Instant::now(), chunk.len() as u64);
                Ok::<_, Infallible>(chunk)
            });
            return Reply::Answer(xml_response(Body::from_stream(stream::iter(chunks))));
        }
    };
    let mut bytes = text.into_bytes();
    if cut {
        bytes.truncate(bytes.len() / 2);
    }
    platform.lock().limits.bytes(ip, Instant::now(), bytes.len() as u64);
    Reply::Answer(xml_response(Body::from(bytes)))
}

fn xml_response(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], body).into_response()
}

fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn bare_status(status: u16, retry_after: Option<u64>) -> Response {
    let mut response = status_code(status).into_response();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// What a blocked or misdirected caller of the real platform may see.
fn html(status: u16) -> Response {
    let page = "<!DOCTYPE html>\n<html lang=\"ru\">\n<head><meta charset=\"utf-8\"><title>Вход в личный кабинет</title></head>\n\
                <body><form action=\"/login\" method=\"post\"><input name=\"login\"><input name=\"pass\" type=\"password\"></form>\n\
                <br>Сервис временно недоступен</body>\n</html>\n";
    (status_code(status), Html(page)).into_response()
}

// ---- the control face

fn found(yes: bool) -> Response {
    if yes { Json(json!({"ok": true})).into_response() } else { not_found() }
}

fn not_found() -> Response {
    (StatusCode::NOT_FOUND, Json(json!({"ok": false, "error": "no such order or account"}))).into_response()
}

fn bad_request(error: &impl std::fmt::Display) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({"ok": false, "error": error.to_string()}))).into_response()
}

/// Reads JSON whatever the content type says, so that a bare `curl -d` works.
fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Box<Response>> {
    serde_json::from_slice(body).map_err(|error| Box::new(bad_request(&error)))
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

async fn list_orders(Shared(platform): Shared<Arc<Platform>>, Query(filter): Query<OrderFilter>) -> Response {
    let mut state = platform.lock();
    state.settle();
    let orders: Vec<_> = state
        .orders()
        .into_iter()
        .filter(|order| {
            let fits = |wanted: &Option<String>, have: &str| wanted.as_deref().is_none_or(|wanted| wanted == have);
            fits(&filter.account, &order.account)
                && fits(&filter.status, &order.status)
                && fits(&filter.orderno, &order.orderno)
                && filter.prefix.as_deref().is_none_or(|prefix| order.orderno.starts_with(prefix))
        })
        .take(filter.limit.unwrap_or(usize::MAX))
        .collect();
    drop(state);
    Json(orders).into_response()
}

async fn show_order(Shared(platform): Shared<Arc<Platform>>, Path(orderno): Path<String>) -> Response {
    let mut state = platform.lock();
    state.settle();
    let order = state.order(&orderno).cloned();
    drop(state);
    order.map_or_else(not_found, |order| Json(&*order).into_response())
}

async fn delete_order(Shared(platform): Shared<Arc<Platform>>, Path(orderno): Path<String>) -> Response {
    found(platform.lock().delete(&orderno))
}

async fn change_status(Shared(platform): Shared<Arc<Platform>>, Path(orderno): Path<String>, body: Bytes) -> Response {
    match read::<StatusChange>(&body) {
        Ok(change) => {
            let mut state = platform.lock();
            state.settle();
            found(state.change_status(&orderno, &change))
        }
        Err(response) => *response,
    }
}

async fn desktop_edit(Shared(platform): Shared<Arc<Platform>>, Path(orderno): Path<String>, body: Bytes) -> Response {
    match read::<DesktopEdit>(&body) {
        Ok(edit) => found(platform.lock().desktop_edit(&orderno, &edit)),
        Err(response) => *response,
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

async fn list_requests(Shared(platform): Shared<Arc<Platform>>, Query(filter): Query<RequestFilter>) -> Response {
    let state = platform.lock();
    let records: Vec<_> = state
        .requests()
        .filter(|record| {
            record.seq > filter.since
                && filter.op.as_deref().is_none_or(|op| op == record.op)
                && filter.orderno.as_ref().is_none_or(|number| record.ordernos.contains(number))
        })
        .take(filter.limit.unwrap_or(usize::MAX))
        .cloned()
        .collect();
    drop(state);
    Json(records).into_response()
}

async fn show_stats(Shared(platform): Shared<Arc<Platform>>) -> Response {
    let mut state = platform.lock();
    state.settle();
    Json(state.stats()).into_response()
}

async fn show_effects(Shared(platform): Shared<Arc<Platform>>) -> Response {
    Json(platform.lock().effects()).into_response()
}

async fn show_faults(Shared(platform): Shared<Arc<Platform>>) -> Response {
    let state = platform.lock();
    Json(json!({"rules": state.faults.rules(), "fired": state.faults.fired()})).into_response()
}

async fn put_faults(Shared(platform): Shared<Arc<Platform>>, body: Bytes) -> Response {
    match read::<Vec<FaultRule>>(&body) {
        Ok(rules) => {
            platform.lock().faults.replace(rules);
            found(true)
        }
        Err(response) => *response,
    }
}

async fn clear_faults(Shared(platform): Shared<Arc<Platform>>) -> Response {
    platform.lock().faults.replace(Vec::new());
    found(true)
}

async fn list_accounts(Shared(platform): Shared<Arc<Platform>>) -> Response {
    Json(platform.lock().accounts()).into_response()
}

async fn add_account(Shared(platform): Shared<Arc<Platform>>, body: Bytes) -> Response {
    match read::<Account>(&body) {
        Ok(account) if account.extra.is_empty() || account.login.is_empty() => {
            bad_request(&"extra and login are required")
        }
        Ok(account) => {
            platform.lock().add_account(account);
            found(true)
        }
        Err(response) => *response,
    }
}

/// Puts the fields of `patch` over the JSON form of `current`.
fn patched<T: serde::Serialize + DeserializeOwned>(current: &T, patch: Value) -> Result<T, serde_json::Error> {
    let mut whole = serde_json::to_value(current)?;
    if let (Value::Object(whole), Value::Object(patch)) = (&mut whole, patch) {
        whole.extend(patch);
    }
    serde_json::from_value(whole)
}

async fn patch_account(Shared(platform): Shared<Arc<Platform>>, Path(key): Path<String>, body: Bytes) -> Response {
    let patch = match read::<Value>(&body) {
        Ok(patch) => patch,
        Err(response) => return *response,
    };
    let mut state = platform.lock();
    let Some(current) = state.accounts().into_iter().find(|account| account.key() == key) else {
        return not_found();
    };
    let new_pass = patch.get("pass").is_some();
    match patched(&current, patch) {
        Ok(mut account) => {
            if !new_pass {
                account.pass = current.pass;
            }
            account.extra = current.extra;
            account.login = current.login;
            state.add_account(account);
            found(true)
        }
        Err(error) => bad_request(&error),
    }
}

async fn show_options(Shared(platform): Shared<Arc<Platform>>) -> Response {
    let mut options = platform.lock().options.clone();
    options.accounts.clear();
    Json(options).into_response()
}

async fn patch_options(Shared(platform): Shared<Arc<Platform>>, body: Bytes) -> Response {
    let patch = match read::<Value>(&body) {
        Ok(patch) => patch,
        Err(response) => return *response,
    };
    let mut state = platform.lock();
    let mut current: Options = state.options.clone();
    current.accounts.clear();
    match patched(&current, patch) {
        Ok(options) => {
            state.options = options;
            found(true)
        }
        Err(error) => bad_request(&error),
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Clock {
    now: Option<Timestamp>,
    advance_s: i64,
    advance_year: bool,
}

async fn set_clock(Shared(platform): Shared<Arc<Platform>>, body: Bytes) -> Response {
    let clock = match read::<Clock>(&body) {
        Ok(clock) => clock,
        Err(response) => return *response,
    };
    let mut state = platform.lock();
    if let Some(now) = clock.now {
        state.set_now(now);
    }
    state.advance(SignedDuration::from_secs(clock.advance_s));
    if clock.advance_year {
        state.advance_year();
    }
    Json(json!({"ok": true, "now": state.now()})).into_response()
}

#[derive(Deserialize)]
struct Seed {
    account: String,
    count: usize,
    prefix: String,
}

async fn seed(Shared(platform): Shared<Arc<Platform>>, body: Bytes) -> Response {
    match read::<Seed>(&body) {
        Ok(seed) => found(platform.lock().seed(&seed.account, seed.count, &seed.prefix)),
        Err(response) => *response,
    }
}

async fn reset(Shared(platform): Shared<Arc<Platform>>) -> Response {
    platform.lock().reset_counters();
    found(true)
}

/// A page for people: what happened so far.
async fn page(Shared(platform): Shared<Arc<Platform>>) -> Html<String> {
    let mut state = platform.lock();
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
    Html(out)
}
