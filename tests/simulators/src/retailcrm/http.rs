//! Sockets: reads requests, keeps the records, lets the faults strike, hands the rest to the REST and control faces.

use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::Value;

use super::faults::Action;
use super::rest::{Call, Reply, Route};
use super::state::{AccountId, RequestRecord};
use super::wire::{self, Params};
use super::{RetailcrmSim, control};
use crate::control::segments;
use crate::socket::Connection;

const BODY_LIMIT: usize = 8 * 1024 * 1024;

/// All routes.
pub(super) fn router(sim: RetailcrmSim) -> Router {
    Router::new().fallback(handle).with_state(sim)
}

async fn handle(
    State(sim): State<RetailcrmSim>,
    ConnectInfo(peer): ConnectInfo<Connection>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let segments = segments(parts.uri.path());
    let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT).await else {
        return answer(413, "text/html", "<html><body>413 Request Entity Too Large</body></html>".to_owned());
    };
    let mut params = Params::default();
    params.extend(parts.uri.query().unwrap_or_default().as_bytes());
    match segments.first().map(String::as_str) {
        Some("api") => {
            if is_form(&parts.headers) {
                params.extend(&body);
            }
            let key = api_key(&parts.headers, &params);
            let request = ApiRequest { route: Route::read(parts.method.as_str(), &segments), params, key };
            api(&sim, &peer, request).await
        }
        Some("embed") => {
            params.extend(&body);
            let (status, body) = sim.pass_on(&segments, &params).await;
            let mut response = answer(status, "application/json", body);
            // Without credentials, so that any page may ask: it is a stand-in for RetailCRM's own.
            response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            response
        }
        Some("_sim" | "") => {
            let (status, kind, text) = control::answer(&sim, parts.method.as_str(), &segments, &params, &body).await;
            answer(status, kind, text)
        }
        _ => answer(404, "text/html", "<html><body>404 Not Found</body></html>".to_owned()),
    }
}

struct ApiRequest {
    route: Route,
    params: Params,
    key: Option<String>,
}

async fn api(sim: &RetailcrmSim, peer: &Connection, request: ApiRequest) -> Response {
    let op = request.route.op();
    let at = jiff::Timestamp::now();
    let numbers: Vec<String> = request.params.list("filter[numbers]").into_iter().map(str::to_owned).collect();
    let (key, plan) = {
        let mut world = sim.world();
        let key = request.key.as_deref().and_then(|key| world.key_index(key));
        let account = key.map(|key| world.key_rows[key].account.to_string()).unwrap_or_default();
        (key, world.faults.plan(op, &account, &numbers))
    };
    plan.hold(|| sim.world().faults.changes()).await;
    let reply = if plan.acts() { Some(act(sim, &request, key)) } else { None };
    plan.linger().await;
    let order_ids = reply.as_ref().map(|reply| reply.order_ids.clone()).unwrap_or_default();
    let response = if plan.is_silent() {
        peer.cut();
        answer(500, "text/plain", String::new())
    } else {
        spoil(reply, plan.ending.as_ref())
    };
    let mut world = sim.world();
    let account = key.map(|key| AccountId(world.key_rows[key].account));
    world.record(RequestRecord {
        at,
        op,
        account,
        key,
        order_ids: if order_ids.is_empty() { named_ids(&request) } else { order_ids },
        numbers,
        status: if plan.is_silent() { 0 } else { response.status().as_u16() },
        fault: plan.label(),
    });
    response
}

fn act(sim: &RetailcrmSim, request: &ApiRequest, key: Option<usize>) -> Reply {
    let known = match (key, &request.key) {
        (Some(key), _) => Ok(key),
        (None, None) => Err("\"apiKey\" is missing."),
        (None, Some(_)) => Err("Wrong \"apiKey\" value."),
    };
    sim.with(|world| {
        let url = sim.inner.url.as_str();
        Call { world, params: &request.params, url, now: Instant::now() }.answer(&request.route, known)
    })
}

fn spoil(reply: Option<Reply>, action: Option<&Action>) -> Response {
    let json = |status, body: String| answer(status, "application/json", body);
    let good = || {
        let reply = reply.unwrap_or_else(|| Reply::refused(500, "Internal Server Error"));
        (reply.status, reply.body)
    };
    match action {
        Some(Action::Html { status, .. }) => {
            let page =
                format!("<html>\r\n<head><title>{status}</title></head>\r\n<body><h1>{status}</h1></body></html>");
            answer(*status, "text/html", page)
        }
        Some(Action::RateLimited { status, retry_after_s }) => too_many(*status, *retry_after_s),
        Some(Action::ServerError { .. }) => json(500, wire::refusal("Internal Server Error", None).to_string()),
        Some(Action::Refuse { field, text }) => {
            let errors = serde_json::json!({ field: text });
            json(400, wire::refusal("Errors in the entity format", Some(errors)).to_string())
        }
        Some(Action::Forbidden) => json(403, wire::refusal("Access denied.", None).to_string()),
        Some(Action::CutJson) => {
            let (status, mut body) = good();
            let mut half = body.len() / 2;
            while !body.is_char_boundary(half) {
                half -= 1;
            }
            body.truncate(half);
            json(status, body)
        }
        Some(Action::Empty) => {
            let (status, _) = good();
            json(status, String::new())
        }
        _ => {
            let (status, body) = good();
            json(status, body)
        }
    }
}

fn too_many(status: u16, retry_after_s: Option<u64>) -> Response {
    let body = wire::refusal("Rate limit exceeded", None).to_string();
    let mut response = answer(status, "application/json", body);
    if let Some(seconds) = retry_after_s {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn answer(status: u16, content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type = match content_type {
        "text/html" => "text/html; charset=utf-8",
        other => other,
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Ids a refused request was about, as far as its path and filters tell.
fn named_ids(request: &ApiRequest) -> Vec<i64> {
    let by_id = request.params.get("by") == Some("id");
    match &request.route {
        Route::OrderGet(id) | Route::OrderEdit(id) if by_id => id.parse().into_iter().collect(),
        Route::OrdersList => request.params.list("filter[ids]").iter().filter_map(|id| id.parse().ok()).collect(),
        Route::PaymentCreate => {
            let payment: Option<Value> = request.params.get("payment").and_then(|text| serde_json::from_str(text).ok());
            payment.and_then(|payment| wire::read_integer(&payment["order"]["id"])).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn api_key(headers: &HeaderMap, params: &Params) -> Option<String> {
    let from_header = headers.get("x-api-key").and_then(|value| value.to_str().ok());
    from_header.or_else(|| params.get("apiKey")).filter(|key| !key.is_empty()).map(str::to_owned)
}

/// Bodies of any other type are not read: their fields are simply missing
/// (protocols/retailcrm.md#requests).
fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}
