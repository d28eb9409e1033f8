use super::*;
use crate::retailcrm::samples;
use proptest::prelude::*;
use serde_json::Value;

const SECRETS: &[&str] = &[
    "Петрова",
    "Анна",
    "Сергеевна",
    "916",
    "84950001122",
    "495 000",
    "anna@example.com",
    "Толстого",
    "Домофон",
    "звонить",
    "Хрупкое",
    "dk-7f3c9a52e1b04d6f8a90c1e2",
    "c1f0a6de4b7e49d2a35e0f6b8d94c7e1",
    "Кузнецов",
    "Смирнов",
    "k3yFr0mCrm",
    "newKeyFromCrm",
];

#[test]
fn no_sample_shows_a_secret_once_masked() {
    for file in [
        "order-full.json",
        "orders-list.json",
        "orders-history.json",
        "order-edit-request.json",
        "order-edit-response.json",
        "callback-save-request.json",
        "callback-save-models-request.json",
        "callback-calculate-request.json",
        "callback-calculate-models-request.json",
        "callback-calculate-response.json",
        "callback-get-response.json",
        "callback-save-response.json",
        "module-edit-request.json",
        "module-get-response.json",
        "module-update-scopes.json",
        "tracking-request.json",
        "register-request.json",
        "callback-activity.json",
    ] {
        let masked = json(&samples::read(file).to_string());
        for secret in SECRETS {
            assert!(!masked.contains(secret), "{file} shows {secret}: {masked}");
        }
        assert!(serde_json::from_str::<Value>(&masked).is_ok(), "{file} is still JSON");
    }
}

#[test]
fn what_helps_to_understand_stays() {
    let masked = json(&samples::read("order-full.json").to_string());
    for shown in ["1234A", "SentMeaSoft", "measoft-17", "4140", "Стул складной", "Москва", "ms-17-4817", "\"cash\""]
    {
        assert!(masked.contains(shown), "{shown}");
    }
}

#[test]
fn presence_and_length_stay_visible() {
    assert_eq!(
        json(r#"{"phone":"+79160001122","email":"","lastName":null,"number":"12A","phones":[7,"x"]}"#),
        r#"{"phone":"[hidden 12]","email":"","lastName":null,"number":"12A","phones":["[hidden 1]","[hidden 1]"]}"#
    );
}

#[test]
fn a_shown_field_of_a_hidden_object_does_not_open_what_is_below_it() {
    assert_eq!(
        json(r#"{"customer":{"id":5,"name":"Анна","site":{"name":"Анна"}},"name":"Стул"}"#),
        r#"{"customer":{"id":5,"name":"[hidden 4]","site":{"name":"[hidden 4]"}},"name":"Стул"}"#
    );
}

#[test]
fn errors_may_quote_what_was_sent() {
    assert_eq!(
        json(
            r#"{"errorMsg":"bad phone +79160001122","errors":{"phone":"a@b.ru is taken","x":["ok"]},"barcode":"4600000007001"}"#
        ),
        r#"{"errorMsg":"bad phone [hidden 12]","errors":{"phone":"[hidden 6] is taken","x":["ok"]},"barcode":"4600000007001"}"#
    );
}

#[test]
fn broken_bodies_are_masked_too() {
    for (broken, masked) in [
        (
            r#"{"order":{"lastName":"Петрова","phone":"+7916"#,
            r#"{"order":{"lastName":"[hidden 7]","phone":"[hidden 5]""#,
        ),
        (r#"{"phone": +79160001122"#, r#"{"phone": "[hidden 12]""#),
        (
            r#"{"customer":{"firstName":"Анна"},,"number":"1A"}}}"#,
            r#"{"customer":{"firstName":"[hidden 4]"},,"number":"1A"}}}"#,
        ),
        ("\u{feff}Warning: x {\"email\":\"a@b.c\"}", "\u{feff}Warning: x {\"email\":\"[hidden 5]\"}"),
        (r#"{"l\u0061stName":"Петрова"}"#, r#"{"l\u0061stName":"[hidden 7]"}"#),
    ] {
        assert_eq!(body(broken), masked);
    }
}

#[test]
fn forms_are_masked_by_field_and_shown_decoded() {
    assert_eq!(
        form("clientId=abc&by=id&order=%7B%22phone%22%3A%22%2B7916%22%2C%22weight%22%3A5%7D&x"),
        r#"clientId=[hidden 3]&by=id&order={"phone":"[hidden 5]","weight":5}&x="#
    );
    assert_eq!(form("filter%5Bnumbers%5D%5B%5D=12+34%23%D0%90"), "filter[numbers][]=12 34#А");
}

#[test]
fn texts_lose_phones_and_mail_addresses() {
    assert_eq!(text("тел. +7 (916) 000-11-22, заказ 1234A"), "тел. [hidden 18], заказ 1234A");
    assert_eq!(text("write to anna@example.com now"), "write to [hidden 16] now");
    assert_eq!(text("order 4817 of 2024-05-17"), "order 4817 of 2024-05-17");
}

#[test]
fn cutting_respects_characters() {
    assert_eq!(cut("Петрова", 3), "Пет…");
    assert_eq!(cut("abc", 3), "abc");
    assert_eq!(start("Пе", 3), "П");
}

proptest! {
    #[test]
    fn masking_never_panics_and_hides_under_a_hidden_name(before in ".{0,30}", value in "[A-Za-zа-я]{9,20}") {
        let _ = (json(&before), form(&before), body(&before), text(&before));
        let whole = serde_json::json!({"a": before, "phone": {"deep": [value.clone()]}, "b": before}).to_string();
        let masked = json(&whole);
        prop_assert!(before.contains(&value) || !masked.contains(&value));
        for cut_at in 0..whole.len() {
            if whole.is_char_boundary(cut_at) {
                let masked = json(&whole[..cut_at]);
                prop_assert!(before.contains(&value) || !masked.contains(&value));
            }
        }
    }
}
