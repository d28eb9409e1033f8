use super::*;
use crate::domain::Language;
use crate::explain::measoft as words;

fn http(op: Op, status: u16) -> MeasoftError {
    MeasoftError::Http { op, status, retry_after: Some(Duration::from_secs(7)), excerpt: String::new() }
}

/// protocols/measoft.md#failures, row by row: (error, class for a write, class for a read).
#[test]
fn transport_failures_are_classified_by_what_may_have_happened() {
    let blocked = Class::Blocked { retry_after: Some(Duration::from_secs(7)) };
    type Make = fn(Op) -> MeasoftError;
    let table: &[(Make, Class, Class)] = &[
        (|op| MeasoftError::NotSent { op, cause: "dns" }, Class::Transient, Class::Transient),
        (|op| MeasoftError::NoAnswer { op, how: Break::Timeout }, Class::UnknownOutcome, Class::Transient),
        (|op| MeasoftError::NoAnswer { op, how: Break::Cut }, Class::UnknownOutcome, Class::Transient),
        (|op| http(op, 500), Class::UnknownOutcome, Class::Transient),
        (|op| http(op, 503), Class::UnknownOutcome, Class::Transient),
        (|op| http(op, 408), Class::UnknownOutcome, Class::Transient),
        (|op| http(op, 429), Class::UnknownOutcome, blocked),
        (|op| http(op, 403), Class::UnknownOutcome, blocked),
        (|op| http(op, 301), Class::Config, Class::Config),
        (|op| http(op, 404), Class::Config, Class::Config),
        (|op| http(op, 405), Class::Config, Class::Config),
        (|op| http(op, 413), Class::Bug, Class::Bug),
        (
            |op| MeasoftError::BadFormat { op, why: "empty", html: false, excerpt: String::new() },
            Class::UnknownOutcome,
            Class::Transient,
        ),
        (
            |op| MeasoftError::BadFormat { op, why: "html", html: true, excerpt: String::new() },
            Class::UnknownOutcome,
            Class::Blocked { retry_after: None },
        ),
        (|op| MeasoftError::NoRow { op }, Class::UnknownOutcome, Class::Transient),
        (|op| MeasoftError::EmptyRequest { op }, Class::Bug, Class::Bug),
        (|op| MeasoftError::UnsafeUrl { op }, Class::Config, Class::Config),
    ];
    for (make, write, read) in table {
        for op in Op::ALL {
            let error = make(op);
            assert_eq!(error.class(), if op.is_write() { *write } else { *read }, "{error}");
        }
    }
    assert_eq!(http(Op::NewOrder, 429).retry_after(), Some(Duration::from_secs(7)));
    assert!(http(Op::NewOrder, 429).looks_blocked());
}

#[test]
fn every_reason_of_an_error_has_words() {
    for error in [
        MeasoftError::NotSent { op: Op::Client, cause: "dns" },
        MeasoftError::NoAnswer { op: Op::Client, how: Break::Reset },
        http(Op::Client, 403),
        http(Op::Client, 404),
        http(Op::Client, 413),
        http(Op::Client, 500),
        MeasoftError::NoRow { op: Op::Client },
        MeasoftError::MalformedXml { op: Op::Client, text: String::new() },
        MeasoftError::TooLarge { op: Op::Client, limit: 1 },
        MeasoftError::UnsafeUrl { op: Op::Client },
        MeasoftError::EmptyRequest { op: Op::Client },
        MeasoftError::NotBuilt { op: Op::Client },
    ] {
        assert!(words::reasons().any(|reason| reason == error.reason()), "{error}");
        assert!(!words::explain(error.reason(), Language::Ru).text.is_empty());
    }
}
