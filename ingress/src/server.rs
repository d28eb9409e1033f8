//! The HTTP shell: which path means what, how a body is read, and a server whose limits
//! keep slow or hostile senders from holding it.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use shared::domain::Language;
use shared::listen::{Descriptors, Places, serve_connection};
use shared::store::journal::{Entry, What};
use shared::telemetry::metrics::{TriggerKind, TriggerResult};
use shared::telemetry::{Heartbeat, Metrics};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::{discard, read_body};
use crate::hand_over::{Answer, publish};
use crate::reply::Reply;
use crate::triggers::{self, Form, TriggerUrl};
use crate::{State, callbacks, connect, push, settings_page, widget};

/// Longest body of a trigger, bytes.
const BODY_LIMIT: usize = 64 * 1024;

/// What a path means. Repeated and trailing slashes are forgiven: shops paste them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Root,
    Trigger(TriggerUrl),
    /// Of MeaSoft, with its token.
    Push,
    Unknown,
}

impl Route {
    fn of(path: &str) -> Self {
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let mut next = || parts.next();
        match (next(), next(), next(), next(), next()) {
            (None, ..) => Self::Root,
            _ if push::token_of(path).is_some() => Self::Push,
            (Some("reintegrations"), Some("requests"), Some(url), Some("retailcrm"), None) => match url {
                "trigger" => Self::Trigger(TriggerUrl::Send),
                "update" => Self::Trigger(TriggerUrl::Update),
                "cancel" => Self::Trigger(TriggerUrl::Cancel),
                _ => Self::Unknown,
            },
            _ => Self::Unknown,
        }
    }
}

/// Whose failures a request's are: those of who sent it to the proxy, where that is believed.
fn sender(state: &State, request: &Request, peer: IpAddr) -> IpAddr {
    let told = request.headers().get_all("x-forwarded-for").iter();
    state.0.config.trusted_proxies.sender(peer, told.map(|value| value.to_str().unwrap_or("")))
}

/// Answers any request that the address `peer` brings; the only way in.
async fn answer(state: &State, request: Request, peer: IpAddr) -> Response {
    let from = sender(state, &request, peer);
    let started = Instant::now();
    let language = Language::from_accept(request.headers().get(header::ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok()));
    // Triggers are nearly all there is: only what is none is looked up further.
    let route = Route::of(request.uri().path());
    if route == Route::Unknown {
        if let Some(action) = callbacks::action_of(request.uri().path()) {
            return callbacks::answer(state, action, request, from, language).await;
        }
        if let Some(asked) = widget::Asked::of(request.uri().path()) {
            return widget::answer(state, asked, request, from, language).await;
        }
        if let Some(secret) = state.0.config.module_secret.as_ref().filter(|_| connect::is_path(request.uri().path())) {
            return connect::answer(state, secret, request, from, language).await;
        }
        if let Some(page) = settings_page::Page::of(request.uri().path()) {
            return settings_page::answer(state, page, request, from, language).await;
        }
    }
    if route == Route::Root && matches!(*request.method(), Method::GET | Method::HEAD) {
        return front_page();
    }
    let kind = match route {
        Route::Trigger(url) => url.kind(),
        Route::Push => TriggerKind::Push,
        Route::Root | Route::Unknown => TriggerKind::Other,
    };
    let handled = AssertUnwindSafe(async {
        match route {
            Route::Trigger(url) => trigger(state, url, request).await,
            Route::Push => {
                let path = request.uri().path().to_owned();
                push::answer(state, push::token_of(&path).unwrap_or(""), request).await
            }
            Route::Root => turn_away(request, Reply::NotAllowed("GET, HEAD")).await,
            Route::Unknown => turn_away(request, Reply::NotFound).await,
        }
    });
    let mut given = handled.catch_unwind().await.unwrap_or(Answer { reply: Reply::Internal, known: false });
    if counts_as_failure(given) && !state.0.failures.allow(from) {
        given.reply = Reply::Limited;
    }
    let result = given.reply.result();
    state.0.metrics.trigger(kind, result, started.elapsed());
    match result {
        TriggerResult::Accepted | TriggerResult::Limited => {}
        TriggerResult::Unavailable | TriggerResult::Internal => {
            tracing::error!(kind = kind.as_str(), result = result.as_str(), "a request was not accepted");
        }
        _ => tracing::info!(kind = kind.as_str(), result = result.as_str(), "a request was refused"),
    }
    given.reply.into_response(language)
}

fn counts_as_failure(answer: Answer) -> bool {
    !answer.known && answer.reply.status().is_client_error()
}

fn front_page() -> Response {
    let page = format!(
        r#"{{"service":"measoft-bridge","version":"{}","about":"RetailCRM – MeaSoft integration: triggers are accepted under /reintegrations/requests/"}}"#,
        Metrics::VERSION
    );
    ([(header::CONTENT_TYPE, "application/json")], page).into_response()
}

/// Answers without using the body, which is read up to a point all the same.
async fn turn_away(request: Request, reply: Reply) -> Answer {
    discard(request.into_body(), 0).await;
    reply.into()
}

/// One trigger, from its headers to its answer.
async fn trigger(state: &State, url: TriggerUrl, request: Request) -> Answer {
    if request.method() != Method::POST {
        return turn_away(request, Reply::NotAllowed("POST")).await;
    }
    let (head, body) = request.into_parts();
    let form = Form::of(head.headers.get(header::CONTENT_TYPE).map(header::HeaderValue::as_bytes));
    let body = match read_body(body, BODY_LIMIT, state.0.patience.body).await {
        Ok(body) => body,
        Err(reply) => return reply.into(),
    };
    let mut params = Vec::with_capacity(8);
    if let Some(query) = head.uri.query() {
        triggers::read_urlencoded(query.as_bytes(), &mut params);
    }
    // Without a body its type means nothing: the parameters are in the query.
    if !body.is_empty() {
        match form {
            None => return Reply::UnsupportedType.into(),
            Some(Form::UrlEncoded) => triggers::read_urlencoded(&body, &mut params),
            Some(Form::Json) => {
                if let Err(bad) = triggers::read_json(&body, &mut params) {
                    return Reply::Bad(bad).into();
                }
            }
        }
    }
    let find = |key: &str| state.0.keys.find(key);
    let trigger = match triggers::understand(url, &params) {
        Ok(trigger) => trigger,
        // Who shows a known key is never held back, whatever else is wrong.
        Err(bad) => return Answer { reply: Reply::Bad(bad), known: triggers::shows_known_key(&params, find) },
    };
    let authenticated = match triggers::authenticate(&trigger.keys, find) {
        Ok(authenticated) => authenticated,
        Err(reply) => {
            return Answer { reply, known: matches!(reply, Reply::Bad(_)) };
        }
    };
    let strangers = &authenticated.strangers;
    let strangers = (!strangers.is_empty()).then(|| triggers::strangers_told(strangers));
    for event in strangers.into_iter().chain(trigger.left_out.map(triggers::left_out_told)) {
        let entry = Entry::new(state.0.clock.now(), What::Trigger, event)
            .about(authenticated.integration, trigger.number.as_str());
        state.0.journal.write(entry);
    }
    let traceparent = head.headers.get("traceparent").and_then(|value| value.to_str().ok());
    let envelope = triggers::envelope(url, trigger, authenticated, state.0.clock.now(), traceparent);
    Answer { reply: publish(state, envelope).await, known: true }
}

/// Accepts connections until the process stops, then answers what has begun.
pub async fn serve(listener: TcpListener, state: State, stop: &CancellationToken, beat: &Heartbeat) {
    let connections = TaskTracker::new();
    let places = Places::new(Descriptors::now().public);
    loop {
        beat.beat();
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            // An idle listener still turns.
            () = tokio::time::sleep(Duration::from_secs(5)) => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                let place = tokio::select! {
                    () = stop.cancelled() => break,
                    place = places.take(from.ip()) => place,
                };
                // An address that is busy on all of its share waits for its own answers.
                let Some(place) = place else { continue };
                // Of its own: every poll looks at it, and a lock that all share would be contended.
                let (state, stop) = (state.clone(), stop.child_token());
                connections.spawn(async move {
                    let answer = |request: hyper::Request<_>| answer(&state, request.map(Body::new), from.ip());
                    serve_connection(stream, place, state.0.patience.headers, &stop, answer).await;
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: wait for some to come back.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}
