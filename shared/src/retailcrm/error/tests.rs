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
