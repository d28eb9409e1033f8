//! What can go wrong with a request, told apart by what a caller can do about it:
//! `class()` says what to do, `fault()` says who has to do it.

use std::time::Duration;

use crate::domain::Fault;
use crate::measoft::class::{Class, Verdict};
use crate::measoft::op::Op;
use crate::measoft::wire::statusreq::PoisonRow;
use crate::phrases::{Detail, Details};

/// How an exchange broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Break {
    Timeout,
    Reset,
    /// The body ended before the document did.
    Cut,
}

impl Break {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Cut => "cut",
        }
    }
}

/// A failed request. No variant's text holds credentials or personal data; excerpts are
/// masked and not part of `Display`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MeasoftError {
    /// The request did not leave: DNS, connection or TLS failed.
    #[error("{op}: no connection to MeaSoft ({cause})")]
    NotSent { op: Op, cause: &'static str },
    /// The request left, the answer did not arrive whole.
    #[error("{op}: no complete answer ({})", how.as_str())]
    NoAnswer { op: Op, how: Break },
    /// An HTTP status other than 200.
    #[error("{op}: HTTP status {status}")]
    Http { op: Op, status: u16, retry_after: Option<Duration>, excerpt: String },
    /// HTTP 200 with something that is no answer of this API.
    #[error("{op}: the answer is in a wrong format ({why})")]
    BadFormat { op: Op, why: &'static str, html: bool, excerpt: String },
    /// A readable document with another operation's root.
    #[error("{op}: the answer's root is «{found}»")]
    WrongRoot { op: Op, found: String },
    /// A readable answer without the row of the order asked about.
    #[error("{op}: the answer has no row of the order")]
    NoRow { op: Op },
    /// MeaSoft's parser rejected our document.
    #[error("{op}: MeaSoft could not parse the request: {text}")]
    MalformedXml { op: Op, text: String },
    /// The request as a whole was refused.
    #[error("{op}: refused with code {}: {text}", code.map_or_else(|| "none".to_owned(), |code| code.to_string()))]
    Refused { op: Op, code: Option<i64>, text: String, verdict: Verdict },
    #[error("{op}: the answer is larger than {limit} bytes")]
    TooLarge { op: Op, limit: u64 },
    #[error("{op}: {row}")]
    BadRow { op: Op, row: PoisonRow },
    /// Plain HTTP to another machine; nothing was sent.
    #[error("{op}: the API address is not https")]
    UnsafeUrl { op: Op },
    /// The caller asked for nothing; nothing was sent.
    #[error("{op}: an empty request was not sent")]
    EmptyRequest { op: Op },
    /// The HTTP client rejected the request before sending it.
    #[error("{op}: the request could not be built")]
    NotBuilt { op: Op },
}

impl MeasoftError {
    pub const fn op(&self) -> Op {
        match self {
            Self::NotSent { op, .. }
            | Self::NoAnswer { op, .. }
            | Self::Http { op, .. }
            | Self::BadFormat { op, .. }
            | Self::WrongRoot { op, .. }
            | Self::NoRow { op }
            | Self::MalformedXml { op, .. }
            | Self::Refused { op, .. }
            | Self::TooLarge { op, .. }
            | Self::BadRow { op, .. }
            | Self::UnsafeUrl { op }
            | Self::EmptyRequest { op }
            | Self::NotBuilt { op } => *op,
        }
    }

    /// What to do about it (protocols/measoft.md#failures for everything below the envelope).
    pub fn class(&self) -> Class {
        let maybe_done = |otherwise: Class| if self.op().is_write() { Class::UnknownOutcome } else { otherwise };
        match self {
            Self::NotSent { .. } => Class::Transient,
            Self::NoAnswer { .. } | Self::WrongRoot { .. } | Self::NoRow { .. } | Self::BadRow { .. } => {
                maybe_done(Class::Transient)
            }
            Self::Http { status, retry_after, .. } => match status {
                403 | 429 => maybe_done(Class::Blocked { retry_after: *retry_after }),
                408 | 500..=599 => maybe_done(Class::Transient),
                300..=399 | 401 | 404 | 405 | 407 | 410 => Class::Config,
                400..=499 => Class::Bug,
                _ => maybe_done(Class::Transient),
            },
            Self::BadFormat { html: true, .. } => maybe_done(Class::Blocked { retry_after: None }),
            Self::BadFormat { html: false, .. } => maybe_done(Class::Transient),
            Self::Refused { verdict, .. } => verdict.class,
            Self::TooLarge { .. } => maybe_done(Class::Permanent),
            Self::UnsafeUrl { .. } => Class::Config,
            Self::MalformedXml { .. } | Self::EmptyRequest { .. } | Self::NotBuilt { .. } => Class::Bug,
        }
    }

    /// Who has to do something about it.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Refused { verdict, .. } => verdict.fault,
            Self::UnsafeUrl { .. } => Fault::Shop,
            Self::MalformedXml { .. } | Self::EmptyRequest { .. } | Self::NotBuilt { .. } => Fault::Bridge,
            Self::Http { .. } => match self.class() {
                Class::Config => Fault::Shop,
                Class::Bug => Fault::Bridge,
                _ => Fault::Courier,
            },
            _ => Fault::Courier,
        }
    }

    /// A stable label, explained by `words::explain`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotSent { .. } => "not_connected",
            Self::NoAnswer { .. } => "no_answer",
            Self::Http { status: 403 | 429, .. } => "blocked",
            Self::Http { .. } => match self.class() {
                Class::Config => "wrong_address",
                Class::Bug => "request_refused",
                _ => "server_error",
            },
            Self::BadFormat { .. } | Self::WrongRoot { .. } | Self::NoRow { .. } | Self::BadRow { .. } => "bad_format",
            Self::MalformedXml { .. } => "bad_xml",
            Self::Refused { verdict, .. } => verdict.reason,
            Self::TooLarge { .. } => "answer_too_large",
            Self::UnsafeUrl { .. } => "unsafe_address",
            Self::EmptyRequest { .. } => "empty_request",
            Self::NotBuilt { .. } => "request_refused",
        }
    }

    /// What is said of it to people: the vendor's own words where there are any.
    pub fn detail(&self) -> Details {
        match self {
            Self::NotSent { .. } => Detail::NoConnection.into(),
            Self::NoAnswer { .. } => Detail::NoAnswer.into(),
            Self::Http { status, .. } => Detail::HttpStatus { status: *status }.into(),
            Self::BadFormat { .. }
            | Self::WrongRoot { .. }
            | Self::NoRow { .. }
            | Self::BadRow { .. }
            | Self::TooLarge { .. } => Detail::WrongFormat.into(),
            Self::Refused { text, .. } | Self::MalformedXml { text, .. } if !text.trim().is_empty() => {
                text.as_str().into()
            }
            Self::Refused { code: Some(code), .. } => Detail::RefusedWithCode { number: *code }.into(),
            Self::Refused { .. } => Detail::RefusedWithoutWords.into(),
            // The reason says all of it.
            Self::MalformedXml { .. } | Self::UnsafeUrl { .. } | Self::EmptyRequest { .. } | Self::NotBuilt { .. } => {
                Details::NONE
            }
        }
    }

    /// What the server asked for, whatever the class: a write that got a 429 is an unknown
    /// outcome *and* a request to wait.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Http { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Counts for the circuit breaker: what a shut-out or broken-down service looks like
    /// (protocols/measoft.md#limits), also when the class is `UnknownOutcome`.
    pub const fn looks_blocked(&self) -> bool {
        match self {
            Self::NotSent { .. } | Self::BadFormat { html: true, .. } => true,
            Self::Http { status, .. } => matches!(status, 403 | 429 | 500..=599),
            _ => false,
        }
    }

    /// Label of the exchange in the journal and in metrics.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Refused { verdict, .. } => match verdict.class {
                Class::Config => "config",
                Class::Transient => "transient",
                Class::UnknownOutcome => "unknown",
                _ => "refused",
            },
            Self::BadFormat { html: false, .. } | Self::WrongRoot { .. } | Self::NoRow { .. } | Self::BadRow { .. } => {
                "bad_format"
            }
            Self::TooLarge { .. } => "too_large",
            _ => self.class().as_str(),
        }
    }
}

#[cfg(test)]
mod tests;
