//! From the body of an HTTP 200 to the answer's root element, through the five shapes in
//! which this API reports errors (protocols/measoft.md#envelope).

use crate::measoft::class::UNREADABLE_CODE;
use crate::measoft::codes;
use crate::measoft::error::{Break, MeasoftError};
use crate::measoft::mask;
use crate::measoft::op::Op;
use crate::measoft::wire::element::{self, Element, Unreadable};

/// Reads an answer of `op`. Rows with their own errors are left to the caller.
pub(crate) fn open(op: Op, body: &[u8]) -> Result<Element<'static>, MeasoftError> {
    let root = element::parse(body).map_err(|why| unreadable(op, why, body))?;
    check(op, root)
}

/// Rules 3–5 of protocols/measoft.md#envelope on a parsed document.
pub(crate) fn check(op: Op, root: Element) -> Result<Element, MeasoftError> {
    if let Some(refused) = root_error(op, &root) {
        return Err(refused);
    }
    if let Some(error) = root.child("error")
        && let Some(refused) = child_error(op, &root.name, error)
    {
        return Err(refused);
    }
    if root.name != op.as_str() {
        return Err(MeasoftError::WrongRoot { op, found: shortened(&root.name) });
    }
    Ok(root)
}

/// Shape 3: `error` on the root. Zero and absence are no error.
pub(crate) fn root_error(op: Op, root: &Element) -> Option<MeasoftError> {
    let code = code_of(root)?;
    (code != 0).then(|| refused(op, &root.name, code, root))
}

/// Shapes 2 and 4: a child `error`, with or without attributes.
pub(crate) fn child_error(op: Op, root_name: &str, error: &Element) -> Option<MeasoftError> {
    match code_of(error) {
        Some(0) => None,
        Some(code) => Some(refused(op, root_name, code, error)),
        None if error.has_attributes() => Some(refused(op, root_name, UNREADABLE_CODE, error)),
        None => {
            let text = mask::scrub(error.text().unwrap_or_default());
            let verdict = codes::classify(op, None, &text);
            // Without attributes it is the XML parser speaking, if it uses a parser's words.
            Some(match verdict.reason {
                "bad_xml" => MeasoftError::MalformedXml { op, text },
                _ => MeasoftError::Refused { op, code: None, text, verdict },
            })
        }
    }
}

/// A body that is no document.
pub(crate) fn unreadable(op: Op, why: Unreadable, body: &[u8]) -> MeasoftError {
    // A document that began and did not end was most likely cut on its way.
    if why == Unreadable::Broken && !ends_like_a_document(body) {
        return MeasoftError::NoAnswer { op, how: Break::Cut };
    }
    bad_format(op, why, body)
}

pub(crate) fn bad_format(op: Op, why: Unreadable, body: &[u8]) -> MeasoftError {
    let why_text = match why {
        Unreadable::Empty => "empty body",
        Unreadable::Html => "HTML page",
        Unreadable::NotXml => "not XML",
        Unreadable::Dtd => "DTD",
        Unreadable::Broken => "broken XML",
        Unreadable::TooComplex => "too complex",
    };
    MeasoftError::BadFormat { op, why: why_text, html: why == Unreadable::Html, excerpt: mask::excerpt(body) }
}

fn ends_like_a_document(body: &[u8]) -> bool {
    body.iter().rev().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'>')
}

fn code_of(element: &Element) -> Option<i64> {
    element.attribute("error").map(|code| code.parse().unwrap_or(UNREADABLE_CODE))
}

fn refused(op: Op, root_name: &str, code: i64, element: &Element) -> MeasoftError {
    let text = ["errormsgru", "errormsg"].iter().find_map(|name| element.attribute(name)).or(element.text());
    let all = [element.attribute("errormsgru"), element.attribute("errormsg"), element.text()];
    let all: Vec<&str> = all.into_iter().flatten().collect();
    // In the `request` envelope 1 is an auth failure, whatever the operation
    // (protocols/measoft.md#general-table).
    let table_of = if root_name == "request" && code == 1 { Op::Client } else { op };
    MeasoftError::Refused {
        op,
        code: (code != UNREADABLE_CODE).then_some(code),
        verdict: codes::classify(table_of, Some(code), &all.join("\n")),
        text: mask::scrub(text.unwrap_or_default()),
    }
}

fn shortened(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measoft::class::Class;

    fn error(op: Op, body: &str) -> MeasoftError {
        open(op, body.as_bytes()).expect_err("an error")
    }

    #[test]
    fn the_five_shapes_are_told_apart() {
        // 1: rows are the caller's business.
        assert!(open(Op::NewOrder, br#"<neworder><createorder orderno="1" error="5"/></neworder>"#).is_ok());
        // 2
        let shape = error(
            Op::StatusReq,
            r#"<request><error error="1" errormsg="authorization error" errormsgru="Ошибка авторизации"/></request>"#,
        );
        assert_eq!((shape.class(), shape.reason()), (Class::Config, "auth_failed"));
        assert!(matches!(&shape, MeasoftError::Refused { code: Some(1), text, .. } if text == "Ошибка авторизации"));
        // 2 with the operation's own root, and a code 1 that says nothing
        assert_eq!(error(Op::NewOrder, r#"<neworder><error error="2"/></neworder>"#).reason(), "empty_request");
        assert_eq!(error(Op::StatusReq, r#"<request><error error="1"/></request>"#).reason(), "auth_failed");
        assert_eq!(error(Op::StatusReq, r#"<statusreq error="1"/>"#).reason(), "bad_xml");
        // 3
        let shape = error(Op::Calculator, r#"<calculator error="22">destination town not found</calculator>"#);
        assert!(
            matches!(&shape, MeasoftError::Refused { code: Some(22), text, .. } if text == "destination town not found")
        );
        // 4
        let shape = error(Op::NewOrder, "<request><error>Start tag expected, '&lt;' not found</error></request>");
        assert!(matches!(shape, MeasoftError::MalformedXml { .. }));
        assert_eq!(shape.class(), Class::Bug);
        // 4, but the words speak of credentials
        assert_eq!(error(Op::Client, "<request><error>authorization error</error></request>").reason(), "auth_failed");
        // 5
        for (body, html) in
            [("<!DOCTYPE html><html><body>login</body></html>", true), ("Service busy", false), ("", false)]
        {
            let shape = error(Op::NewOrder, body);
            assert!(matches!(shape, MeasoftError::BadFormat { html: is_html, .. } if is_html == html), "{body}");
            assert_eq!(shape.class(), Class::UnknownOutcome, "{body}");
        }
    }

    #[test]
    fn another_operations_answer_is_not_taken_for_an_empty_success() {
        let shape = error(Op::NewOrder, r#"<statusreq count="0"/>"#);
        assert_eq!(shape, MeasoftError::WrongRoot { op: Op::NewOrder, found: "statusreq".into() });
        assert_eq!(shape.class(), Class::UnknownOutcome);
        assert!(matches!(error(Op::Services, "<request/>"), MeasoftError::WrongRoot { .. }));
    }

    #[test]
    fn a_zero_is_no_error_and_a_word_is_an_unknown_one() {
        assert!(open(Op::CommitLastStatus, br#"<commitlaststatus error="0"/>"#).is_ok());
        assert!(open(Op::CommitLastStatus, b"<commitlaststatus/>").is_ok());
        let shape = error(Op::StatusReq, r#"<statusreq error="E7" errormsg="odd"/>"#);
        assert!(matches!(&shape, MeasoftError::Refused { code: None, text, .. } if text == "odd"));
        assert_eq!(shape.reason(), codes::UNKNOWN_CODE);
    }

    #[test]
    fn a_document_that_was_cut_short_counts_as_a_lost_answer() {
        let shape = error(Op::NewOrder, r#"<neworder><createorder orderno="1" err"#);
        assert_eq!(shape, MeasoftError::NoAnswer { op: Op::NewOrder, how: Break::Cut });
    }

    #[test]
    fn texts_of_errors_hide_phones() {
        let shape = error(Op::NewOrder, r#"<neworder error="8" errormsg="bad phone 79161234567 a@b.ru"/>"#);
        assert!(!shape.to_string().contains("79161234567") && !shape.to_string().contains("a@b.ru"), "{shape}");
    }
}
