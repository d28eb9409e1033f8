//! What can go wrong with a call, told apart by what a caller can do about it, and the
//! reading of answers that say so (retailcrm-api.md A.4, A.5).

use std::time::Duration;

use serde_json::Value;

use crate::domain::Fault;
use crate::retailcrm::mask;
use crate::retailcrm::op::Op;
use crate::retailcrm::proportion::is_in_proportion;
use crate::retailcrm::tolerant::{Misread, flag};
use crate::retailcrm::wire::order::Unreadable;

/// What a caller does about a failure (retailcrm-api.md K.5).
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
    #[must_use]
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
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::WrongKey => "wrong_key",
            Self::AccessDenied { .. } => "access_denied",
            Self::AccountGone => "account_gone",
            Self::NotFound { .. } => "not_found",
            Self::Refused { .. } => "refused",
            Self::RateLimited { .. } => "rate_limited",
            Self::Unavailable { .. } => "unavailable",
            Self::Unreachable { .. } => "unreachable",
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
    #[must_use]
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
            | Self::Resting { .. }
            | Self::BadAnswer { .. } => Class::Retry,
        }
    }

    /// Who has to do something about it.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            // The key, its rights and the account's address are what the shop entered.
            Self::WrongKey | Self::AccessDenied { .. } | Self::AccountGone => Fault::Shop,
            Self::NotFound { .. } | Self::Refused { .. } => Fault::Shop,
            Self::RateLimited { .. }
            | Self::Unavailable { .. }
            | Self::Unreachable { .. }
            | Self::Resting { .. }
            | Self::BadAnswer { .. }
            | Self::Unreadable(_) => Fault::Crm,
        }
    }

    /// How long the server asked to wait.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::Unavailable { retry_after, .. } => *retry_after,
            Self::Resting { pause } => Some(*pause),
            _ => None,
        }
    }

    /// Whether a write may have been carried out although it failed.
    #[must_use]
    pub const fn may_have_happened(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Unreachable { before_sent: false } | Self::BadAnswer { .. } => true,
            Self::Unreachable { before_sent: true }
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

/// `errors` in whatever form they came, as lines `field: text` (retailcrm-api.md A.4).
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
mod tests {
    use super::*;
    use crate::retailcrm::samples;
    use proptest::prelude::*;
    use serde_json::json;

    fn answer(status: u16, body: &str) -> Result<Value, CrmError> {
        judge(Reply {
            op: Op::Order,
            status,
            content_type: Some("application/json"),
            retry_after: None,
            body: body.as_bytes(),
        })
    }

    fn page(status: u16) -> CrmError {
        let body = b"<html><body>nginx</body></html>";
        judge(Reply { op: Op::Order, status, content_type: Some("text/html; charset=UTF-8"), retry_after: None, body })
            .expect_err("a page is no answer")
    }

    #[test]
    fn only_success_and_the_code_decide() {
        assert!(answer(200, r#"{"success":true,"errors":[]}"#).is_ok());
        assert!(answer(201, r#"{"success":true,"id":1,"errors":{"x":"y"}}"#).is_ok());
        assert!(answer(200, r#"{"success":1}"#).is_ok());
        assert_eq!(answer(200, r#"{"success":false,"errorMsg":"No"}"#).expect_err("refused").label(), "refused");
        assert_eq!(answer(400, r#"{"success":true}"#).expect_err("refused").label(), "refused");
        for body in [r#"{"orders":[]}"#, r#"{"success":null}"#, "[]", "", "null", "{", r#""ok""#] {
            assert_eq!(answer(200, body).expect_err(body).label(), "bad_answer", "{body}");
        }
    }

    #[test]
    fn the_samples_of_errors() {
        let read = |file: &str| samples::read(file).to_string();
        assert_eq!(answer(403, &read("error-wrong-key.json")), Err(CrmError::WrongKey));
        assert_eq!(answer(404, &read("error-wrong-key.json")), Err(CrmError::WrongKey), "also seen with 404");
        assert_eq!(answer(503, &read("error-rate-limit.json")), Err(CrmError::RateLimited { retry_after: None }));
        assert_eq!(
            answer(400, &read("errors-list.json")),
            Err(CrmError::Refused {
                text: "Failed to activate module".into(),
                errors: vec!["The account balance is not sufficient".into(), "Second reason".into()],
            })
        );
        let error = answer(400, &read("errors-map.json")).expect_err("refused");
        assert_eq!(
            error.to_string(),
            "RetailCRM refused: Errors in the entity format (amount: This value should be of type float.; \
             order: Set one of the following fields: id, externalId, number)"
        );
    }

    #[test]
    fn errors_come_in_every_shape() {
        for (errors, lines) in [
            (json!(null), vec![]),
            (json!([]), vec![]),
            (json!({}), vec![]),
            (json!("plain"), vec!["plain"]),
            (json!({"items[0][offer]": ["a", "b"]}), vec!["items[0][offer]: a", "items[0][offer]: b"]),
            (json!({"delivery": {"data": {"tariff": "unknown"}}}), vec!["delivery.data.tariff: unknown"]),
            (json!({"code": 5}), vec!["code: 5"]),
        ] {
            let body = json!({"success": false, "errorMsg": "E", "errors": errors}).to_string();
            let Err(CrmError::Refused { errors, .. }) = answer(400, &body) else { panic!("refused: {body}") };
            assert_eq!(errors, lines);
        }
    }

    #[test]
    fn codes_and_messages() {
        let json = |text: &str| json!({"success": false, "errorMsg": text}).to_string();
        for (status, text, label) in [
            (403, "\"apiKey\" is missing.", "wrong_key"),
            (403, "Access denied.", "access_denied"),
            (400, "Access denied.", "access_denied"),
            (404, "Not found", "not_found"),
            (404, "Payment not found", "not_found"),
            (404, "API method not found", "not_found"),
            (400, "Parameter 'order' is missing", "refused"),
            (460, "Orders are not loaded", "refused"),
            (405, "Method not allowed", "refused"),
            (429, "", "rate_limited"),
            (429, "Too many requests", "rate_limited"),
            (500, "Internal Server Error", "unavailable"),
            (503, "Maintenance", "unavailable"),
        ] {
            assert_eq!(answer(status, &json(text)).expect_err(text).label(), label, "{status} {text}");
        }
        assert_eq!(answer(404, &json("Not found")).expect_err("404").to_string(), "RetailCRM found nothing: Not found");
    }

    #[test]
    fn pages_instead_of_answers() {
        for status in [404, 405] {
            assert_eq!(page(status), CrmError::AccountGone);
        }
        for status in [403, 500, 502, 503, 504, 521] {
            assert_eq!(page(status), CrmError::Unavailable { status, retry_after: None });
        }
        assert_eq!(page(429), CrmError::RateLimited { retry_after: None });
        assert_eq!(page(200).label(), "bad_answer");
        assert_eq!(page(302).label(), "bad_answer");
        assert_eq!(answer(404, "").expect_err("empty").label(), "bad_answer", "no page, no verdict about the account");
        assert_eq!(answer(405, " <html>").expect_err("html").label(), "account_gone", "whatever the header says");
    }

    #[test]
    fn no_personal_data_in_an_error() {
        let body = json!({"success": false, "errorMsg": "Phone +7 (916) 000-11-22 is wrong",
            "errors": {"email": "anna@example.com is taken"}})
        .to_string();
        let error = answer(400, &body).expect_err("refused");
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(!text.contains("000-11-22") && !text.contains("anna@"), "{text}");
        }
        let body = r#"{"order":{"lastName":"Петрова","phone":"+79160001122"}}"#;
        let text = format!("{:?}", answer(200, body).expect_err("no success"));
        assert!(!text.contains("Петрова") && !text.contains("9160001122"), "{text}");
    }

    #[test]
    fn what_to_do_and_who() {
        let unreadable = CrmError::Unreadable(Unreadable {
            id: None,
            number: None,
            why: Misread { path: "order.id".into(), wanted: "a value" },
        });
        for (error, class, fault) in [
            (CrmError::WrongKey, "stop_integration", Fault::Shop),
            (CrmError::AccessDenied { op: Op::Orders, text: String::new() }, "stop_integration", Fault::Shop),
            (CrmError::AccessDenied { op: Op::PaymentDelete, text: String::new() }, "park", Fault::Shop),
            (CrmError::AccountGone, "stop_integration", Fault::Shop),
            (CrmError::NotFound { text: String::new() }, "park", Fault::Shop),
            (CrmError::Refused { text: String::new(), errors: vec![] }, "park", Fault::Shop),
            (CrmError::RateLimited { retry_after: None }, "retry", Fault::Crm),
            (CrmError::Unavailable { status: 503, retry_after: None }, "retry", Fault::Crm),
            (CrmError::Unreachable { before_sent: true }, "retry", Fault::Crm),
            (CrmError::BadAnswer { why: "", excerpt: String::new() }, "retry", Fault::Crm),
            (unreadable, "park", Fault::Crm),
        ] {
            assert_eq!((error.class().as_str(), error.fault()), (class, fault), "{error:?}");
            assert!(CrmError::LABELS.contains(&error.label()));
        }
    }

    #[test]
    fn a_call_that_is_denied_names_the_missing_right_and_stands_for_itself_alone() {
        for op in Op::ALL {
            let body = br#"{"success":false,"errorMsg":"Access denied."}"#;
            let content_type = Some("application/json");
            let error = judge(Reply { op, status: 403, content_type, retry_after: None, body }).expect_err("denied");
            assert_eq!(error.label(), "access_denied", "{op}");
            let whole = matches!(op.as_str(), "credentials" | "orders" | "order")
                || matches!(op.as_str(), "payment_types" | "payment_statuses" | "delivery_types");
            assert_eq!(error.class() == Class::StopIntegration, whole, "{op}");
            if let Some(scope) = op.scope() {
                assert!(error.to_string().contains(scope), "{error}");
                assert!(crate::retailcrm::Credentials::NEEDED_SCOPES.contains(&scope), "{op}: {scope}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_judge_panic(
            status in 100u16..600,
            body in prop_oneof![
                samples::any_json().prop_map(|json| json.to_string().into_bytes()),
                prop::collection::vec(any::<u8>(), 0..200),
            ],
            html in any::<bool>(),
        ) {
            let content_type = html.then_some("text/html");
            let _ = judge(Reply { op: Op::Order, status, content_type, retry_after: None, body: &body });
        }
    }
}
