//! What the journal learns about each exchange with MeaSoft.

use std::time::{Duration, Instant};

use crate::domain::OrderNo;
use crate::measoft::op::Op;
use crate::vendor::{self, ExchangeObserver};

/// One HTTP exchange. Its outcome is `ok`, `refused`, `transient`, `unknown`, `blocked`, `config`,
/// `bad_format`, `bug`, `too_large`, `permanent` or `abandoned` (the caller stopped waiting).
pub type Exchange = vendor::Exchange<Op, Vec<OrderNo>>;

/// An exchange under way. Reports itself when dropped unfinished, so that a caller that
/// gave up waiting leaves a trace.
pub(crate) struct Recorder {
    tap: std::sync::Arc<dyn ExchangeObserver<Exchange>>,
    begun: Instant,
    exchange: Option<Exchange>,
}

impl Recorder {
    #[expect(
        clippy::disallowed_methods,
        reason = "when an exchange happened is for the journal only; nothing is decided by it"
    )]
    pub(crate) fn start(
        tap: std::sync::Arc<dyn ExchangeObserver<Exchange>>,
        op: Op,
        about: Vec<OrderNo>,
        request_masked: String,
    ) -> Self {
        let exchange = Exchange {
            op,
            about,
            started: jiff::Timestamp::now(),
            duration: Duration::ZERO,
            outcome: "abandoned",
            http_status: None,
            request_masked,
            response_masked: String::new(),
        };
        Self { tap, begun: Instant::now(), exchange: Some(exchange) }
    }

    pub(crate) fn status(&mut self, status: u16) {
        if let Some(exchange) = &mut self.exchange {
            exchange.http_status = Some(status);
        }
    }

    /// Reports the exchange; later calls do nothing.
    pub(crate) fn finish(&mut self, outcome: &'static str, response_masked: impl FnOnce() -> String) {
        if let Some(mut exchange) = self.exchange.take() {
            exchange.outcome = outcome;
            exchange.response_masked = response_masked();
            exchange.duration = self.begun.elapsed();
            self.tap.exchange(exchange);
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.finish("abandoned", String::new);
    }
}
