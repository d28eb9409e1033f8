//! What the clients of both vendors have in common: how an exchange is told.

use std::time::Duration;

use jiff::Timestamp;

/// One HTTP exchange with a vendor, failed ones included. Bodies are masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange<Op, About> {
    pub op: Op,
    /// The orders it was about, if it named any.
    pub about: About,
    pub started: Timestamp,
    pub duration: Duration,
    /// `ok`, or what the vendor's error calls its outcome.
    pub outcome: &'static str,
    /// `None` when no answer came.
    pub http_status: Option<u16>,
    /// Cut, like the response.
    pub request_masked: String,
    pub response_masked: String,
}

/// Sees every exchange once, from whatever task made it: it must not block.
pub trait ExchangeObserver<Exchange>: Send + Sync {
    fn exchange(&self, exchange: Exchange);
}

/// A tap that lets everything run off, for callers without a journal.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl<Exchange> ExchangeObserver<Exchange> for NoObserver {
    fn exchange(&self, _: Exchange) {}
}
