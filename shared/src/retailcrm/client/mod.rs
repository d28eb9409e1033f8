//! HTTP with one RetailCRM account: forms out, JSON in (protocols/retailcrm.md#keys).

mod calls;
mod hold_back;
mod request;
#[cfg(test)]
mod tests;

pub use calls::OrdersPage;
pub use hold_back::{HeldBack, HoldBack};

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use serde_json::Value;

use crate::clock::Clock;
use crate::domain::Secret;
use crate::retailcrm::client::request::Call;
use crate::retailcrm::error::{CrmError, Reply, judge};
use crate::retailcrm::{CrmUrl, Exchange, ExchangeObserver, Limiter, Op, mask};
use crate::tls::Tls;
use crate::tls_trouble::TlsTrouble;

/// Time for one exchange, connection included.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The same for what only reads.
const READING: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest pause that is believed of a `Retry-After`.
const MOST_PAUSE: Duration = Duration::from_secs(3600);
/// What is kept of the answer to an edit that was made.
const WRITTEN: &str = r#"{"success":true}"#;

/// Characters of a masked body that are kept of an exchange.
const KEPT_CHARS: usize = 16 * 1024;

/// The HTTP client of all accounts. A type of its own because its settings are part of the
/// guard: it follows no redirect, so the key goes nowhere but to the checked address.
#[derive(Debug, Clone)]
pub struct CrmHttp {
    client: reqwest::Client,
    timeout: Duration,
}

impl CrmHttp {
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(tls: &Tls) -> Result<Self, reqwest::Error> {
        let client = crate::http::client(tls)
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("measoft-bridge/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, timeout: TIMEOUT })
    }

    /// Another limit for one exchange.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// One RetailCRM account.
#[derive(Clone)]
pub struct CrmClient {
    http: CrmHttp,
    url: CrmUrl,
    key: Secret,
    tap: Arc<dyn ExchangeObserver<Exchange>>,
    limiter: Arc<dyn Limiter>,
    clock: Clock,
    hold_back: Option<Arc<HoldBack>>,
}

impl fmt::Debug for CrmClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CrmClient").field("url", &self.url).finish_non_exhaustive()
    }
}

impl CrmClient {
    pub fn new(
        http: CrmHttp,
        url: CrmUrl,
        key: Secret,
        tap: Arc<dyn ExchangeObserver<Exchange>>,
        limiter: Arc<dyn Limiter>,
    ) -> Self {
        Self { http, url, key, tap, limiter, clock: Clock::system(), hold_back: None }
    }

    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// One that keeps what would change something instead of sending it.
    #[must_use]
    pub fn holding_back(mut self, hold_back: Arc<HoldBack>) -> Self {
        self.hold_back = Some(hold_back);
        self
    }

    pub const fn url(&self) -> &CrmUrl {
        &self.url
    }

    async fn call(&self, call: Call<'_>) -> Result<Value, CrmError> {
        let (request, shown) = call.addressed(&self.http.client, &self.url);
        if let Some(hold_back) = self.hold_back.as_ref().filter(|_| call.form.is_some()) {
            hold_back.keep(HeldBack { op: call.op, masked: mask::cut(&shown, KEPT_CHARS) });
            return Err(CrmError::Unreachable { before_sent: true });
        }
        // What cannot stand in a header is no key.
        let mut key = HeaderValue::from_str(self.key.expose()).map_err(|_| CrmError::WrongKey)?;
        key.set_sensitive(true);
        self.limiter.admit().map_err(|pause| CrmError::Resting { pause })?;
        let mut admitted = Admitted { limiter: &*self.limiter, sent: None, is_told: false };
        self.limiter.pass().await;
        let started = self.clock.now();
        let stopwatch = Instant::now();
        admitted.sent = Some(stopwatch);
        // What changes nothing is asked again sooner than it is waited for.
        let limit = if call.form.is_some() { self.http.timeout } else { self.http.timeout.min(READING) };
        let (status, body, result) =
            match self.exchange(call.op, request.header("X-API-KEY", key).timeout(limit), call.cap, started).await {
                Ok(got) => (Some(got.status), got.shown, got.judged),
                Err(failed) => (failed.status, String::new(), Err(failed.error)),
            };
        admitted.tell(result.as_ref().map(|_| ()));
        let outcome = result.as_ref().map_or_else(CrmError::label, |_| "ok");
        tracing::debug!(op = call.op.as_str(), outcome, status, "RetailCRM exchange");
        self.tap.exchange(Exchange {
            op: call.op,
            about: call.order,
            started,
            duration: stopwatch.elapsed(),
            outcome,
            http_status: status,
            request_masked: mask::cut(&shown, KEPT_CHARS),
            response_masked: body,
        });
        result
    }

    async fn exchange(
        &self,
        op: Op,
        request: reqwest::RequestBuilder,
        cap: usize,
        now: Timestamp,
    ) -> Result<Got, Failed> {
        let mut response = request.send().await.map_err(|error| Failed::new(None, &error))?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| Failed::new(Some(status), &error))? {
            if body.len() + chunk.len() > cap {
                let error =
                    CrmError::BadAnswer { why: "larger than allowed", excerpt: format!("more than {cap} bytes") };
                return Err(Failed { status: Some(status), error });
            }
            body.extend_from_slice(&chunk);
        }
        let headers = response.headers();
        let judged = judge(Reply {
            op,
            status,
            content_type: headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()),
            retry_after: retry_after(headers, now),
            body: &body,
        });
        // What was written shows in the request; the whole order that comes back says nothing new.
        let shown = if op == Op::OrderEdit && judged.is_ok() {
            WRITTEN.to_owned()
        } else {
            let head = &body[..body.len().min(4 * KEPT_CHARS)];
            mask::cut(&mask::body(&String::from_utf8_lossy(head)), KEPT_CHARS)
        };
        Ok(Got { status, shown, judged })
    }
}

/// A request that was let through; whatever becomes of it, the gate hears.
struct Admitted<'a> {
    limiter: &'a dyn Limiter,
    sent: Option<Instant>,
    is_told: bool,
}

impl Admitted<'_> {
    fn tell(&mut self, result: Result<(), &CrmError>) {
        self.is_told = true;
        self.limiter.came_to(Some(result), self.sent.map(|sent| sent.elapsed()).unwrap_or_default());
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        if !self.is_told {
            self.limiter.came_to(None, self.sent.map(|sent| sent.elapsed()).unwrap_or_default());
        }
    }
}

struct Got {
    status: u16,
    shown: String,
    judged: Result<Value, CrmError>,
}

struct Failed {
    status: Option<u16>,
    error: CrmError,
}

impl Failed {
    fn new(status: Option<u16>, error: &reqwest::Error) -> Self {
        if let Some(trouble) = TlsTrouble::of(error).filter(|_| status.is_none() && error.is_connect()) {
            return Self { status, error: CrmError::Untrusted(trouble) };
        }
        let before_sent = status.is_none() && (error.is_connect() || error.is_builder());
        Self { status, error: CrmError::Unreachable { before_sent } }
    }
}

/// Seconds or an HTTP date, at most [`MOST_PAUSE`].
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            Duration::try_from(at.duration_since(now)).unwrap_or_default()
        }
    };
    Some(pause.min(MOST_PAUSE))
}
