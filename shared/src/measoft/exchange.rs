//! One exchange over HTTP with MeaSoft: limits of time and size, and an answer as it comes in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::RETRY_AFTER;

use crate::hidden::Known;
use crate::measoft::account::Account;
use crate::measoft::error::{Break, MeasoftError};
use crate::measoft::mask;
use crate::measoft::op::Op;
use crate::measoft::tap::Recorder;
use crate::tls::Tls;
use crate::tls_trouble::TlsTrouble;

/// How long to wait (protocols/measoft.md#transport leaves this to us).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    pub connect: Duration,
    /// A whole exchange.
    pub call: Duration,
    /// A whole `waybill`; for a stream, the time spent waiting for the server.
    pub long: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), call: Duration::from_secs(45), long: Duration::from_secs(180) }
    }
}

/// Longest answers accepted, in bytes after decompression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub answer: u64,
    /// Reference lists, whose length is the courier service's.
    pub list: u64,
    pub waybill: u64,
    /// Everything that is read row by row.
    pub stream: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self { answer: MIB, list: 16 * MIB, waybill: 32 * MIB, stream: 256 * MIB }
    }
}

/// The HTTP client to share among all accounts.
///
/// # Errors
/// When the TLS back end cannot be set up.
pub fn http_client(timeouts: &Timeouts, tls: &Tls) -> Result<reqwest::Client, reqwest::Error> {
    crate::http::client(tls)
        .connect_timeout(timeouts.connect)
        // A connection that the server closes while idle turns a harmless send into an
        // unknown outcome: let go of it first.
        .pool_idle_timeout(Duration::from_secs(15))
        .user_agent(concat!("measoft-bridge/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// An answer that is being received.
pub(crate) struct Incoming {
    pub(super) op: Op,
    pub(super) response: reqwest::Response,
    pub(super) retry_after: Option<Duration>,
    /// What is left of the time for waiting.
    pub(super) left: Duration,
    pub(super) recorder: Recorder,
    pub(super) account: Arc<Account>,
    /// The first bytes, for the journal.
    pub(super) start: Vec<u8>,
    /// What the request said of people: an error's text may quote it.
    pub(super) known: Known,
}

/// How much of an answer the journal gets to see.
const JOURNAL_BYTES: usize = 33 * 1024;

impl Incoming {
    /// The next bytes; `None` at the end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, MeasoftError> {
        let begun = Instant::now();
        let received = tokio::time::timeout(self.left, self.response.chunk()).await;
        self.left = self.left.saturating_sub(begun.elapsed());
        let op = self.op;
        match received {
            Ok(Ok(Some(bytes))) => {
                let room = JOURNAL_BYTES.saturating_sub(self.start.len());
                self.start.extend_from_slice(&bytes[..bytes.len().min(room)]);
                Ok(Some(bytes))
            }
            Ok(Ok(None)) => Ok(None),
            Ok(Err(error)) if error.is_timeout() => Err(MeasoftError::NoAnswer { op, how: Break::Timeout }),
            Ok(Err(_)) => Err(MeasoftError::NoAnswer { op, how: Break::Cut }),
            Err(_) => Err(MeasoftError::NoAnswer { op, how: Break::Timeout }),
        }
    }

    pub(super) async fn whole(&mut self, limit: u64) -> Result<Vec<u8>, MeasoftError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if (body.len() + chunk.len()) as u64 > limit {
                return Err(MeasoftError::TooLarge { op: self.op, limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    pub(super) async fn require_200(&mut self) -> Result<(), MeasoftError> {
        let status = self.response.status().as_u16();
        if status == 200 {
            return Ok(());
        }
        // The page is worth a look in the journal, but not a long wait.
        self.left = self.left.min(Duration::from_secs(5));
        while self.start.len() < 2048 {
            match self.chunk().await {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        let excerpt = mask::excerpt(&self.start);
        Err(MeasoftError::Http { op: self.op, status, retry_after: self.retry_after, excerpt })
    }

    /// Reports the exchange; later calls do nothing.
    pub(crate) fn finish(&mut self, result: Result<(), &MeasoftError>) {
        self.finish_as(result.map_or_else(MeasoftError::outcome, |()| "ok"));
    }

    pub(super) fn finish_as(&mut self, outcome: &'static str) {
        let secrets = [self.account.login.as_str(), self.account.password.as_str()];
        self.recorder.finish(outcome, || self.known.hide(&mask::body(&self.start, &secrets)));
    }
}

/// A failure between here and the head of the answer (protocols/measoft.md#failures).
pub(super) fn transport(op: Op, error: &reqwest::Error) -> MeasoftError {
    if error.is_builder() {
        MeasoftError::NotBuilt { op }
    } else if let Some(trouble) = TlsTrouble::of(error).filter(|_| error.is_connect()) {
        MeasoftError::NotSent { op, cause: trouble.as_str() }
    } else if error.is_dns() {
        MeasoftError::NotSent { op, cause: "name not found" }
    } else if error.is_connect() {
        MeasoftError::NotSent {
            op,
            cause: if error.is_timeout() { "connection timed out" } else { "connection failed" },
        }
    } else if error.is_timeout() {
        MeasoftError::NoAnswer { op, how: Break::Timeout }
    } else {
        MeasoftError::NoAnswer { op, how: Break::Reset }
    }
}

#[expect(clippy::disallowed_methods, reason = "an HTTP date is compared with the wall clock it was made by")]
pub(super) fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    parse_retry_after(value, jiff::Timestamp::now())
}

/// Seconds or an HTTP date, at most a day: more is a mistake of the sender.
pub(super) fn parse_retry_after(value: &str, now: jiff::Timestamp) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(24 * 3600);
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(LONGEST));
    }
    let moment = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    let seconds = u64::try_from(moment.as_second() - now.as_second()).unwrap_or(0);
    Some(Duration::from_secs(seconds).min(LONGEST))
}
