//! What can go wrong with a call, told apart by what a caller can do about it, and the
//! reading of answers that say so (protocols/retailcrm.md#envelope).

use std::time::Duration;

use serde_json::Value;

use crate::domain::Fault;
use crate::phrases::{Detail, Details};
use crate::retailcrm::mask;
use crate::retailcrm::op::Op;
use crate::retailcrm::proportion::is_in_proportion;
use crate::retailcrm::tolerant::{Misread, flag};
use crate::retailcrm::wire::order::Unreadable;
use crate::tls_trouble::TlsTrouble;

/// What a caller does about a failure (protocols/retailcrm.md#failures).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The same call may succeed later.
    Retry,
    /// This call will not succeed as it is: a person has to look.
    Park,
    /// Every call of this account would fail alike.
    StopIntegration,
}

impl Class {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Park => "park",
            Self::StopIntegration => "stop_integration",
        }
    }
}

/// A failed call. No text holds keys or personal data: the vendor's texts are masked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CrmError {
    #[error("RetailCRM does not know the API key")]
    WrongKey,
    /// The key lacks a method or a shop.
    #[error("RetailCRM denies {op}{}: {text}", missing(*op))]
    AccessDenied { op: Op, text: String },
    #[error("there is no RetailCRM account at this address")]
    AccountGone,
    #[error("RetailCRM found nothing: {text}")]
    NotFound { text: String },
    /// `errors` are lines `field: text`.
    #[error("RetailCRM refused: {text}{}", summary(errors))]
    Refused { text: String, errors: Vec<String> },
    #[error("RetailCRM limits the rate of requests")]
    RateLimited { retry_after: Option<Duration> },
    #[error("RetailCRM is not available (HTTP status {status})")]
    Unavailable { status: u16, retry_after: Option<Duration> },
    /// `before_sent`: nothing can have happened there.
    #[error("no {}answer from RetailCRM", if *before_sent { "connection and no " } else { "" })]
    Unreachable { before_sent: bool },
    /// No encrypted connection, so nothing was sent.
    #[error("RetailCRM cannot be reached: {0}")]
    Untrusted(TlsTrouble),
    /// It failed in a row, so nothing was asked.
    #[error("RetailCRM has not answered lately and is asked again in {} s", pause.as_secs().max(1))]
    Resting { pause: Duration },
    /// An answer that is none of this API.
    #[error("RetailCRM's answer is in a wrong format: {why}")]
    BadAnswer { why: &'static str, excerpt: String },
    /// The one order that was asked for is there and cannot be understood.
    #[error(transparent)]
    Unreadable(Unreadable),
}

fn missing(op: Op) -> String {
    op.scope().map_or_else(String::new, |scope| format!(", for which the API key needs the right {scope}"))
}

fn summary(errors: &[String]) -> String {
    if errors.is_empty() { String::new() } else { format!(" ({})", errors.join("; ")) }
}

impl CrmError {
    /// Label of the exchange in the journal and in metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::WrongKey => "wrong_key",
            Self::AccessDenied { .. } => "access_denied",
            Self::AccountGone => "account_gone",
            Self::NotFound { .. } => "not_found",
            Self::Refused { .. } => "refused",
            Self::RateLimited { .. } => "rate_limited",
            Self::Unavailable { .. } => "unavailable",
            Self::Unreachable { .. } | Self::Untrusted(_) => "unreachable",
            Self::Resting { .. } => "resting",
            Self::BadAnswer { .. } => "bad_answer",
            Self::Unreadable(_) => "unreadable",
        }
    }

    /// Every label an exchange can have.
    pub const LABELS: [&'static str; 12] = [
        "ok",
        "wrong_key",
        "access_denied",
        "account_gone",
        "not_found",
        "refused",
        "rate_limited",
        "unavailable",
        "unreachable",
        "resting",
        "bad_answer",
        "unreadable",
    ];

    /// What to do about it.
    pub const fn class(&self) -> Class {
        match self {
            Self::WrongKey | Self::AccountGone => Class::StopIntegration,
            Self::AccessDenied { op, .. } if op.is_vital() => Class::StopIntegration,
            Self::AccessDenied { .. } | Self::NotFound { .. } | Self::Refused { .. } | Self::Unreadable(_) => {
                Class::Park
            }
            Self::RateLimited { .. }
            | Self::Unavailable { .. }
            | Self::Unreachable { .. }
            | Self::Untrusted(_)
            | Self::Resting { .. }
            | Self::BadAnswer { .. } => Class::Retry,
        }
    }

    /// Who has to do something about it.
    pub const fn fault(&self) -> Fault {
        match self {
            // The key, its rights and the account's address are what the shop entered.
            Self::WrongKey | Self::AccessDenied { .. } | Self::AccountGone => Fault::Shop,
            Self::NotFound { .. } | Self::Refused { .. } => Fault::Shop,
            Self::RateLimited { .. }
            | Self::Unavailable { .. }
            | Self::Unreachable { .. }
            | Self::Untrusted(_)
            | Self::Resting { .. }
            | Self::BadAnswer { .. }
            | Self::Unreadable(_) => Fault::Crm,
        }
    }

    /// What is said of it to people: the vendor's own words where there are any.
    pub fn detail(&self) -> Details {
        match self {
            Self::WrongKey => Detail::KeyUnknown.into(),
            Self::AccessDenied { op, text } => {
                let scope = op.scope().map(|scope| Detail::ScopeMissing { scope: scope.to_string() });
                let denied = Detail::Denied { text: text.clone() };
                std::iter::once(denied).chain(scope).collect::<Vec<_>>().into()
            }
            Self::AccountGone => Detail::AccountGone.into(),
            Self::NotFound { text } => Detail::CrmFoundNothing { text: text.clone() }.into(),
            Self::Refused { text, errors } => Detail::CrmRefused { text: format!("{text}{}", summary(errors)) }.into(),
            Self::RateLimited { .. } => Detail::RateLimited.into(),
            Self::Unavailable { .. } | Self::Unreachable { .. } | Self::Untrusted(_) | Self::Resting { .. } => {
                Detail::CrmUnavailable.into()
            }
            Self::BadAnswer { .. } => Detail::WrongFormat.into(),
            Self::Unreadable(bad) => Detail::Unread { at: bad.why.path.clone() }.into(),
        }
    }

    /// How long the server asked to wait.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::Unavailable { retry_after, .. } => *retry_after,
            Self::Resting { pause } => Some(*pause),
            _ => None,
        }
    }

    /// Whether a write may have been carried out although it failed.
    pub const fn may_have_happened(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Unreachable { before_sent: false } | Self::BadAnswer { .. } => true,
            Self::Unreachable { before_sent: true }
            | Self::Untrusted(_)
            | Self::Resting { .. }
            | Self::WrongKey
            | Self::AccessDenied { .. }
            | Self::AccountGone
            | Self::NotFound { .. }
            | Self::Refused { .. }
            | Self::RateLimited { .. }
            | Self::Unreadable(_) => false,
        }
    }

    pub(crate) fn misread(misread: &Misread, body: &Value) -> Self {
        tracing::debug!(at = %misread, "an answer could not be read");
        Self::BadAnswer {
            why: "a field is missing or unreadable",
            excerpt: format!("{misread}: {}", excerpt(&body.to_string())),
        }
    }
}

/// An answer as it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply<'a> {
    pub(crate) op: Op,
    pub(crate) status: u16,
    pub(crate) content_type: Option<&'a str>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: &'a [u8],
}

/// Decides what an answer means: by `success` and the HTTP code, by the text only for the
/// few messages whose code is not reliable.
pub(crate) fn judge(reply: Reply<'_>) -> Result<Value, CrmError> {
    let Reply { op, status, retry_after, .. } = reply;
    if !is_in_proportion(reply.body) {
        return Err(bad("out of all proportion", reply.body.get(..4096).unwrap_or_default()));
    }
    let parsed: Option<Value> = if is_html(&reply) { None } else { serde_json::from_slice(reply.body).ok() };
    let Some(answer) = parsed.filter(Value::is_object) else {
        return Err(match status {
            // Only a page tells that there is no account; without one it is some proxy.
            404 | 405 if is_html(&reply) => CrmError::AccountGone,
            429 => CrmError::RateLimited { retry_after },
            // The API denies in JSON: a page is somebody in between.
            403 | 408 | 500..=599 => CrmError::Unavailable { status, retry_after },
            300..=399 => bad("a redirect", reply.body),
            _ => bad(if is_html(&reply) { "a page instead of JSON" } else { "no JSON object" }, reply.body),
        });
    };
    let success = answer.get("success").map_or(Ok(None), flag);
    if (200..300).contains(&status) && success == Ok(Some(true)) {
        return Ok(answer);
    }
    let text = answer.get("errorMsg").and_then(Value::as_str).unwrap_or_default();
    let lower = text.to_lowercase();
    let said = || if text.is_empty() { format!("HTTP status {status}") } else { clean(text) };
    Err(if lower.contains("apikey") && (lower.contains("wrong") || lower.contains("is missing")) {
        CrmError::WrongKey
    } else if status == 429 || lower.contains("rate limit") {
        CrmError::RateLimited { retry_after }
    } else if status == 401 || status == 403 || lower.contains("access denied") {
        CrmError::AccessDenied { op, text: said() }
    } else {
        match status {
            404 => CrmError::NotFound { text: said() },
            408 | 500..=599 => CrmError::Unavailable { status, retry_after },
            200..=299 if success != Ok(Some(false)) => bad("no «success» in the answer", reply.body),
            300..=399 => bad("a redirect", reply.body),
            _ => CrmError::Refused { text: said(), errors: summarise(answer.get("errors")) },
        }
    })
}

fn is_html(reply: &Reply<'_>) -> bool {
    reply.content_type.is_some_and(|kind| kind.to_ascii_lowercase().contains("text/html"))
        || reply.body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<')
}

fn bad(why: &'static str, body: &[u8]) -> CrmError {
    CrmError::BadAnswer { why, excerpt: excerpt(&String::from_utf8_lossy(body)) }
}

/// The masked start of a body.
pub(crate) fn excerpt(body: &str) -> String {
    const CHARS: usize = 300;
    // Masked before it is cut: a cut inside a value could hide that it needs masking.
    mask::cut(&mask::body(mask::start(body, 64 * 1024)), CHARS)
}

/// A text of the vendor without phones and addresses, in one line.
fn clean(text: &str) -> String {
    const CHARS: usize = 200;
    mask::cut(&mask::text(&text.split_whitespace().collect::<Vec<_>>().join(" ")), CHARS)
}

/// `errors` in whatever form they came, as lines `field: text` (protocols/retailcrm.md#envelope).
fn summarise(errors: Option<&Value>) -> Vec<String> {
    const MOST: usize = 10;
    fn walk(value: &Value, at: &str, depth: usize, lines: &mut Vec<String>) {
        if lines.len() >= MOST {
            return;
        }
        match value {
            Value::Null => {}
            Value::Object(map) if depth < 8 => {
                for (key, value) in map {
                    let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                    walk(value, &at, depth + 1, lines);
                }
            }
            Value::Array(list) if depth < 8 => list.iter().for_each(|value| walk(value, at, depth + 1, lines)),
            Value::Object(_) | Value::Array(_) => {}
            Value::String(text) if at.is_empty() => lines.push(clean(text)),
            Value::String(text) => lines.push(format!("{}: {}", clean(at), clean(text))),
            other => lines.push(format!("{}: {other}", clean(at))),
        }
    }
    let mut lines = Vec::new();
    if let Some(errors) = errors {
        walk(errors, "", 0, &mut lines);
    }
    lines
}

#[cfg(test)]
mod tests;
