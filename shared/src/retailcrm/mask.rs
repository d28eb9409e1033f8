//! Hides personal data and keys in what is kept of an exchange.
//!
//! Works on the text, not on parsed JSON, so that a broken body is masked as well. What is
//! hidden leaves its length behind («[hidden 12]»): whether a phone was there at all is
//! often the question.

use std::borrow::Cow;

/// Fields whose value is hidden whole, also when it is an object or a list.
const HIDDEN: &[&str] = &[
    "lastname",
    "firstname",
    "patronymic",
    "nickname",
    "phone",
    "additionalphone",
    "phones",
    "email",
    "customer",
    "contact",
    "company",
    "manager",
    "contragent",
    "legalname",
    "legaladdress",
    "inn",
    "kpp",
    "ogrn",
    "ogrnip",
    "address",
    "deliveryaddress",
    "street",
    "building",
    "house",
    "housing",
    "block",
    "floor",
    "flat",
    "intercomcode",
    "notes",
    "text",
    "customercomment",
    "managercomment",
    "statuscomment",
    "comment",
    "comments",
    "customfields",
    "extradata",
    "deliveryextradata",
    "shipmentextradata",
    "deliveredto",
    "deliveryapikey",
    "apikey",
    "clientid",
    "token",
    "key",
    "secret",
    "password",
    "oldvalue",
    "newvalue",
    "register",
    "pickuppointphone",
    "shipmentpointphone",
];

/// Fields that stay visible inside a hidden object: they identify nobody.
const SHOWN: &[&str] =
    &["id", "type", "site", "code", "city", "region", "regionid", "cityid", "citytype", "countryiso", "contragenttype"];

/// Texts for people, which may quote what was sent.
const QUOTING: &[&str] = &["errormsg", "errors"];

/// What becomes of a value, from least to most hidden.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Treatment {
    Show,
    /// Only phones and addresses in it are hidden.
    Text,
    Hide,
}

impl Treatment {
    /// Of the value under a name, inside of something treated as `outer`.
    fn of(name: &str, outer: Self) -> Self {
        let name = name.to_lowercase();
        if outer == Self::Hide {
            return if SHOWN.contains(&name.as_str()) { Self::Show } else { Self::Hide };
        }
        let own = if HIDDEN.contains(&name.as_str()) && outer == Self::Show {
            Self::Hide
        } else if QUOTING.contains(&name.as_str()) {
            Self::Text
        } else {
            Self::Show
        };
        own.max(outer)
    }
}

fn is_hidden(name: &str) -> bool {
    HIDDEN.contains(&name.to_lowercase().as_str())
}

/// Masks a JSON text, whole or broken.
#[must_use]
pub fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // For each open bracket: what becomes of what is inside.
    let mut inside: Vec<Treatment> = Vec::new();
    // What the key just read says about its value.
    let mut of_key: Option<Treatment> = None;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let outer = inside.last().copied().unwrap_or(Treatment::Show);
        let treatment = of_key.unwrap_or(outer);
        match first {
            '"' => {
                let (raw, after) = string_token(rest);
                if after.trim_start().starts_with(':') {
                    // An escape could spell a name that looks harmless.
                    let name = serde_json::from_str::<String>(raw).unwrap_or_else(|_| raw.to_owned());
                    out.push_str(raw);
                    of_key = Some(Treatment::of(&name, outer));
                } else {
                    match treatment {
                        Treatment::Show => out.push_str(raw),
                        // Not unescaped: nobody writes a phone in escapes.
                        Treatment::Text => {
                            let content = raw.strip_prefix('"').unwrap_or(raw);
                            let (content, end) =
                                content.strip_suffix('"').map_or((content, ""), |content| (content, "\""));
                            out.push('"');
                            out.push_str(&self::text(content));
                            out.push_str(end);
                        }
                        Treatment::Hide => hide_string(raw, &mut out),
                    }
                    of_key = None;
                }
                rest = after;
            }
            '{' | '[' => {
                // Inside a shown field of a hidden object everything is hidden again.
                inside.push(outer.max(treatment));
                of_key = None;
                out.push(first);
                rest = &rest[1..];
            }
            '}' | ']' => {
                inside.pop();
                of_key = None;
                out.push(first);
                rest = &rest[1..];
            }
            ',' => {
                of_key = None;
                out.push(',');
                rest = &rest[1..];
            }
            ':' => {
                out.push(':');
                rest = &rest[1..];
            }
            c if c.is_whitespace() => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || ",:[]{}\"".contains(c)).unwrap_or(rest.len());
                let token = &rest[..end];
                let harmless = matches!(token, "null" | "true" | "false");
                if treatment == Treatment::Hide && !harmless {
                    hide_string(token, &mut out);
                } else {
                    out.push_str(token);
                }
                of_key = None;
                rest = &rest[end..];
            }
        }
    }
    out
}

/// A string token with its quotes (the closing one may be missing) and what follows it.
fn string_token(text: &str) -> (&str, &str) {
    let mut escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return text.split_at(index + 1),
            _ => {}
        }
    }
    (text, "")
}

fn hide_string(raw: &str, out: &mut String) {
    let content = raw.trim_matches('"');
    if content.is_empty() {
        out.push_str(raw);
    } else {
        out.push('"');
        out.push_str(&hidden(content));
        out.push('"');
    }
}

fn hidden(content: &str) -> String {
    format!("[hidden {}]", content.chars().count())
}

/// Masks an urlencoded form or query: values that are JSON by field, the rest by name. The
/// result is decoded, to be read by people.
#[must_use]
pub fn form(text: &str) -> String {
    text.split('&')
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name), decode(value));
            let shown = if is_hidden(&name) && !value.is_empty() {
                hidden(&value)
            } else if value.trim_start().starts_with(['{', '[']) {
                json(&value)
            } else {
                self::text(&value)
            };
            format!("{}={shown}", self::text(&name))
        })
        .collect::<Vec<_>>()
        .join("&")
}

fn decode(text: &str) -> String {
    let pair = format!("{text}=");
    ::url::form_urlencoded::parse(pair.as_bytes()).next().map_or_else(String::new, |(name, _)| name.into_owned())
}

/// Masks a body of unknown kind.
#[must_use]
pub fn body(body: &str) -> String {
    // Whatever has quotes is taken for JSON, also behind a byte-order mark or a warning of PHP.
    if body.contains('"') && !body.trim_start().starts_with('<') { json(body) } else { text(body) }
}

/// Masks e-mail addresses and phone-like digits in a text for people.
#[must_use]
pub fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, word) in text.split(' ').enumerate() {
        if index > 0 {
            out.push(' ');
        }
        let email = word.find('@').is_some_and(|at| at > 0 && word[at..].contains('.'));
        out.push_str(&if email { Cow::Owned(hidden(word)) } else { Cow::Borrowed(word) });
    }
    hide_phones(&out)
}

/// Hides runs of ten digits and more, with the signs people put between them.
fn hide_phones(text: &str) -> String {
    const LEAST: usize = 10;
    let mut out = String::with_capacity(text.len());
    let mut run = String::new();
    let mut digits = 0;
    let flush = |run: &mut String, digits: &mut usize, out: &mut String| {
        if *digits >= LEAST {
            let end = run.trim_end_matches(|c: char| !c.is_ascii_digit()).len();
            out.push_str(&hidden(&run[..end]));
            out.push_str(&run[end..]);
        } else {
            out.push_str(run);
        }
        run.clear();
        *digits = 0;
    };
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits += 1;
            run.push(c);
        } else if (!run.is_empty() && matches!(c, ' ' | '\u{a0}' | '-' | '\u{2010}'..='\u{2015}' | '(' | ')'))
            || c == '+'
        {
            run.push(c);
        } else {
            flush(&mut run, &mut digits, &mut out);
            out.push(c);
        }
    }
    flush(&mut run, &mut digits, &mut out);
    out
}

/// The first `bytes` of a text, at a character's boundary.
#[must_use]
pub fn start(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// At most `chars` characters; a cut is marked with «…».
#[must_use]
pub fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
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
}
