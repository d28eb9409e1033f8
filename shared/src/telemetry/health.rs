//! Whether a process is alive and ready, and the small HTTP server that tells.
//!
//! *Alive* is progress: every loop that must not hang says so from time to time, and one
//! that is silent for longer than its limit makes `/live` fail by name. *Ready* is about
//! what the process depends on.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::listen::{Descriptors, Places, serve_connection};
use crate::locked::locked;
use crate::telemetry::Metrics;

/// A look at a dependency may take this long.
const CHECK_LIMIT: Duration = Duration::from_millis(4500);

type Check = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// Without it the process cannot serve.
    Needed,
    /// Worth knowing; the process serves without it.
    Noted,
}

struct Inner {
    start: Instant,
    loops: Mutex<Vec<Arc<Pulse>>>,
    checks: Mutex<Vec<(&'static str, Weight, Check)>>,
    stopping: AtomicBool,
}

/// The registry of loops and checks. Cheap to clone.
#[derive(Clone)]
pub struct Health(Arc<Inner>);

struct Pulse {
    name: String,
    limit: Duration,
    /// Milliseconds since the registry's start of the last beat.
    beat_ms: AtomicU64,
    state: Mutex<PulseState>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PulseState {
    Beating,
    Idle,
    /// Dropped without being told to stop: its task panicked or returned.
    Ended,
}

/// One loop's side of the registry. Dropping it while the process is not stopping means
/// that the loop died.
pub struct Heartbeat {
    health: Health,
    pulse: Arc<Pulse>,
}

/// An answer of `/live` or `/ready`.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub ok: bool,
    pub body: Value,
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            start: Instant::now(),
            loops: Mutex::default(),
            checks: Mutex::default(),
            stopping: AtomicBool::new(false),
        }))
    }

    /// Registers a loop that reports at least once per `limit` unless it is idle.
    #[must_use]
    pub fn heartbeat(&self, name: impl Into<String>, limit: Duration) -> Heartbeat {
        let pulse = Arc::new(Pulse {
            name: name.into(),
            limit,
            beat_ms: AtomicU64::new(self.now_ms()),
            state: Mutex::new(PulseState::Beating),
        });
        locked(&self.0.loops).push(pulse.clone());
        Heartbeat { health: self.clone(), pulse }
    }

    /// Registers something the process cannot serve without. The check answers a sentence
    /// when it fails.
    pub fn need<F>(&self, name: &'static str, check: F)
    where
        F: Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    {
        locked(&self.0.checks).push((name, Weight::Needed, Arc::new(check)));
    }

    /// Registers something worth showing whose failure does not make the process unready:
    /// ingress serves on without its database.
    pub fn note<F>(&self, name: &'static str, check: F)
    where
        F: Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    {
        locked(&self.0.checks).push((name, Weight::Noted, Arc::new(check)));
    }

    /// From now on the process is not ready, and loops may end.
    pub fn stopping(&self) {
        self.0.stopping.store(true, Ordering::SeqCst);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// `/live`: fails naming each loop that is silent for too long or has died.
    pub fn live(&self) -> Report {
        self.live_at(self.now_ms())
    }

    fn live_at(&self, now: u64) -> Report {
        let mut ok = true;
        let mut loops = Vec::new();
        for pulse in locked(&self.0.loops).iter() {
            let silent = Duration::from_millis(now.saturating_sub(pulse.beat_ms.load(Ordering::SeqCst)));
            let state = match *locked(&pulse.state) {
                PulseState::Idle => "idle",
                PulseState::Ended => "ended",
                PulseState::Beating if silent > pulse.limit => "silent",
                PulseState::Beating => "ok",
            };
            ok &= matches!(state, "ok" | "idle");
            loops.push(json!({
                "name": pulse.name,
                "state": state,
                "silent_s": silent.as_secs(),
                "limit_s": pulse.limit.as_secs(),
            }));
        }
        let status = if ok { "ok" } else { "failing" };
        Report { ok, body: json!({ "status": status, "version": Metrics::VERSION, "loops": loops }) }
    }

    /// `/ready`: runs every check, all at once.
    pub async fn ready(&self) -> Report {
        self.ready_within(CHECK_LIMIT).await
    }

    async fn ready_within(&self, limit: Duration) -> Report {
        let checks = locked(&self.0.checks).clone();
        let looks = checks.into_iter().map(|(name, weight, check)| async move {
            let found = match tokio::time::timeout(limit, check()).await {
                Ok(found) => found,
                Err(_) => Err(format!("no answer within {} s", limit.as_secs())),
            };
            (name, weight, found)
        });
        let found = futures_util::future::join_all(looks).await;
        let stopping = self.0.stopping.load(Ordering::SeqCst);
        let (mut ok, mut whole) = (!stopping, true);
        let mut list = Vec::new();
        for (name, weight, found) in found {
            whole &= found.is_ok();
            ok &= found.is_ok() || weight == Weight::Noted;
            list.push(match found {
                Ok(()) => json!({ "name": name, "ok": true }),
                Err(why) => json!({ "name": name, "ok": false, "needed": weight == Weight::Needed, "why": why }),
            });
        }
        let status = match (stopping, ok, whole) {
            (true, ..) => "stopping",
            (_, false, _) => "failing",
            (_, _, false) => "degraded",
            _ => "ok",
        };
        Report { ok, body: json!({ "status": status, "version": Metrics::VERSION, "checks": list }) }
    }
}

impl Heartbeat {
    /// The loop got round.
    pub fn beat(&self) {
        self.pulse.beat_ms.store(self.health.now_ms(), Ordering::SeqCst);
        *locked(&self.pulse.state) = PulseState::Beating;
    }

    /// The loop waits for work that may never come; silence is fine until the next beat.
    pub fn idle(&self) {
        self.pulse.beat_ms.store(self.health.now_ms(), Ordering::SeqCst);
        *locked(&self.pulse.state) = PulseState::Idle;
    }

    /// The loop ends as it should.
    pub fn done(self) {
        self.forget();
    }

    fn forget(&self) {
        locked(&self.health.0.loops).retain(|other| !Arc::ptr_eq(other, &self.pulse));
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        if self.health.0.stopping.load(Ordering::SeqCst) {
            self.forget();
        } else {
            *locked(&self.pulse.state) = PulseState::Ended;
        }
    }
}

impl IntoResponse for Report {
    fn into_response(self) -> Response {
        let status = if self.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, [(header::CONTENT_TYPE, "application/json")], self.body.to_string()).into_response()
    }
}

/// `/live`, `/ready` and `/metrics`.
pub fn router(health: Health, metrics: Arc<Metrics>) -> Router {
    let ready = health.clone();
    Router::new()
        .route("/live", get(move || async move { health.live() }))
        .route("/ready", get(move || async move { ready.ready().await }))
        .route(
            "/metrics",
            get(move || async move {
                ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
            }),
        )
        .fallback(|| async {
            let body = json!({ "status": "not found", "paths": ["/live", "/ready", "/metrics"] });
            (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "application/json")], body.to_string())
        })
}

/// A probe or a scrape comes at once or not at all.
const OPS_HEADERS: Duration = Duration::from_secs(10);

/// Opens `OPS_LISTEN` and serves until the returned task is aborted.
pub async fn serve(
    listen: SocketAddr,
    health: Health,
    metrics: Arc<Metrics>,
) -> std::io::Result<(SocketAddr, tokio::task::JoinHandle<()>)> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(serve_on(listener, router(health, metrics), Descriptors::now().ops));
    Ok((address, task))
}

/// Never ends. Its connections do with it: they belong to the set.
async fn serve_on(listener: TcpListener, router: Router, most: usize) {
    let places = Places::new(most);
    let never = CancellationToken::new();
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: wait for some to come back.
                tracing::warn!(%error, "a connection of monitoring could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(place) = places.take(from.ip()).await else { continue };
        let (router, never) = (router.clone(), never.clone());
        connections.spawn(async move {
            let answer = |request: hyper::Request<_>| {
                let answered = router.clone().oneshot(request.map(axum::body::Body::new));
                async { answered.await.unwrap_or_else(|never| match never {}) }
            };
            serve_connection(stream, place, OPS_HEADERS, &never, answer).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn a_silent_loop_is_named_and_an_idle_one_is_not() {
        let health = Health::new();
        let turning = health.heartbeat("turning", Duration::from_secs(5));
        let waiting = health.heartbeat("waiting", Duration::from_secs(5));
        waiting.idle();
        let now = health.now_ms();
        assert!(health.live_at(now + 4_000).ok);
        let report = health.live_at(now + 6_000);
        assert!(!report.ok);
        assert_eq!(report.body["loops"][0]["name"], "turning");
        assert_eq!(report.body["loops"][0]["state"], "silent");
        assert_eq!(report.body["loops"][1]["state"], "idle");
        turning.beat();
        assert!(health.live().ok);
    }

    #[tokio::test]
    async fn a_loop_that_dies_fails_live_but_one_that_is_done_or_stopped_does_not() {
        let health = Health::new();
        health.heartbeat("done", Duration::from_secs(5)).done();
        assert!(health.live().ok);
        let died = health.heartbeat("died", Duration::from_secs(5));
        let task = tokio::spawn(async move {
            let _held = died;
            panic!("planned");
        });
        assert!(task.await.is_err());
        assert_eq!(health.live().body["loops"][0]["state"], "ended");
        let health = Health::new();
        let stopped = health.heartbeat("stopped", Duration::from_secs(5));
        health.stopping();
        drop(stopped);
        assert!(health.live().ok);
    }

    #[tokio::test]
    async fn ready_tells_needed_from_noted_and_ends_with_stopping() {
        let health = Health::new();
        assert!(health.ready().await.ok);
        health.note("database", || async { Err("the database is not reachable".to_owned()) }.boxed());
        let report = health.ready().await;
        assert!(report.ok);
        assert_eq!(report.body["status"], "degraded");
        health.need("queue", || async { Err("no broker".to_owned()) }.boxed());
        let report = health.ready().await;
        assert!(!report.ok);
        assert_eq!(report.body["checks"][1]["why"], "no broker");
        let health = Health::new();
        health.stopping();
        assert_eq!(health.ready().await.body["status"], "stopping");
    }

    #[tokio::test]
    async fn a_check_that_hangs_is_a_failure() {
        let health = Health::new();
        health.need("queue", || std::future::pending().boxed());
        assert!(!health.ready_within(Duration::from_millis(1)).await.ok);
    }

    #[tokio::test]
    async fn the_server_answers_its_three_paths() {
        let health = Health::new();
        let (address, task) = serve("127.0.0.1:0".parse().expect("address"), health.clone(), Arc::new(Metrics::new()))
            .await
            .expect("bound");
        let ask = async |path: &str| {
            let mut stream = tokio::net::TcpStream::connect(address).await.expect("connects");
            let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.expect("sent");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("read");
            answer
        };
        assert!(ask("/live").await.starts_with("HTTP/1.1 200"));
        assert!(ask("/ready").await.contains(r#""status":"ok""#));
        assert!(ask("/metrics").await.contains("bridge_triggers_total"));
        assert!(ask("/else").await.starts_with("HTTP/1.1 404"));
        let _silent = health.heartbeat("loop", Duration::ZERO);
        while !ask("/live").await.starts_with("HTTP/1.1 503") {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        task.abort();
    }
}
