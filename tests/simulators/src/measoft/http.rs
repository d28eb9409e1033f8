//! The sockets: the vendor's face (`POST /api/` and `/api`), and the way to the control face below `/_sim`.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, State as Shared};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get, post};
use futures_util::stream;

use super::control;
use super::faults::{FaultAction, Plan};
use super::limits::Enforcement;
use super::operations::{self, Outcome};
use super::state::{Refusal, State};
use super::xml::{self, Element};
use crate::socket::Connection;

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
        .route("/_sim/{*call}", any(call))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(platform)
}

async fn call(Shared(platform): Shared<Arc<Platform>>, method: Method, uri: Uri, body: Bytes) -> Response {
    let (status, text) = control::answer(&mut platform.lock(), method.as_str(), &uri, &body);
    (status_code(status), [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

async fn page(Shared(platform): Shared<Arc<Platform>>) -> Html<String> {
    Html(control::page(&mut platform.lock()))
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
            connection.cut();
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
    plan.hold(|| platform.lock().faults.changes()).await;
    let acts = plan.acts();
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
    plan.linger().await;
    let root = parsed.as_ref().map_or("request", |root| root.name.as_str());
    let reply =
        if plan.is_silent() { Reply::Silence } else { answer(&platform, ip, root, outcome, plan.ending.as_ref()) };
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
