//! What an error code means, whose fault it is, and what to do about it.
//!
//! Two of the vendor's tables share the same numbers (protocols/measoft.md#error-codes), so a code
//! is read together with the operation; a few answers carry only a text.

use crate::domain::{Fault, Language};
use crate::measoft::class::{Class, Verdict};
use crate::measoft::op::Op;

pub use crate::explain::measoft::UNKNOWN_CODE;

/// Which of the vendor's two tables is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Orders,
    General,
}

const fn family(op: Op) -> Family {
    match op {
        Op::NewOrder | Op::EditOrder | Op::CancelOrder => Family::Orders,
        _ => Family::General,
    }
}

use Class::{AlreadyExists, Bug, Config, NotFound, Permanent, Transient};
use Family::{General, Orders};
use Fault::{Bridge, Courier, Shop};

/// protocols/measoft.md#order-table, one line per code.
const TABLE: &[(Family, i64, &str, Class, Fault)] = &[
    (Orders, 1, "auth_failed", Config, Shop),
    (Orders, 2, "empty_request", Bug, Bridge),
    (Orders, 3, "bad_price", Permanent, Shop),
    (Orders, 4, "bad_weight", Permanent, Shop),
    (Orders, 5, "town_not_found", Permanent, Shop),
    (Orders, 6, "sender_town_not_found", Permanent, Shop),
    (Orders, 7, "address_missing", Permanent, Shop),
    (Orders, 8, "phone_missing", Permanent, Shop),
    (Orders, 9, "person_missing", Permanent, Shop),
    (Orders, 10, "company_missing", Permanent, Shop),
    (Orders, 11, "bad_declared_value", Permanent, Shop),
    (Orders, 12, "article_not_found", Permanent, Shop),
    (Orders, 13, "sender_company_missing", Permanent, Shop),
    (Orders, 14, "sender_person_missing", Permanent, Shop),
    (Orders, 15, "sender_phone_missing", Permanent, Shop),
    (Orders, 16, "sender_address_missing", Permanent, Shop),
    (Orders, 17, "duplicate_number", AlreadyExists, Shop),
    (Orders, 18, "delivery_on_holiday", Permanent, Shop),
    (Orders, 52, "order_not_found", NotFound, Shop),
    (Orders, 67, "duplicate_barcode", AlreadyExists, Shop),
    (General, 1, "bad_xml", Bug, Bridge),
    (General, 2, "mobile_app_only", Bug, Bridge),
    (General, 3, "mobile_app_only", Bug, Bridge),
    (General, 4, "mobile_app_only", Bug, Bridge),
    (General, 5, "mobile_app_only", Bug, Bridge),
    (General, 6, "mobile_app_only", Bug, Bridge),
    (General, 7, "mobile_app_only", Bug, Bridge),
    (General, 8, "mobile_app_only", Bug, Bridge),
    (General, 9, "mobile_app_only", Bug, Bridge),
    (General, 10, "mobile_app_only", Bug, Bridge),
    (General, 11, "orders_not_found", NotFound, Shop),
    (General, 12, "mobile_app_only", Bug, Bridge),
    (General, 13, "courier_database_error", Transient, Courier),
    (General, 14, "unknown_operation", Bug, Bridge),
    (General, 15, "no_tariff", Permanent, Courier),
    (General, 18, "sender_town_missing", Permanent, Shop),
    (General, 19, "town_missing", Permanent, Shop),
    (General, 20, "bad_weight", Permanent, Shop),
    (General, 21, "sender_town_not_found", Permanent, Shop),
    (General, 22, "town_not_found", Permanent, Shop),
    (General, 23, "weight_missing", Permanent, Shop),
    (General, 24, "login_missing", Config, Shop),
    (General, 25, "auth_failed", Config, Shop),
    (General, 26, "registration_only", Permanent, Courier),
    (General, 27, "registration_only", Permanent, Courier),
    (General, 28, "address_missing", Permanent, Shop),
    (General, 29, "no_longer_supported", Bug, Bridge),
    (General, 30, "telephony_only", Permanent, Courier),
    (General, 31, "telephony_only", Permanent, Courier),
    (General, 32, "telephony_only", Permanent, Courier),
    (General, 33, "courier_offline", Transient, Courier),
    (General, 34, "bad_number", Permanent, Shop),
    (General, 35, "bad_number", Permanent, Shop),
    (General, 36, "no_tariff", Permanent, Courier),
    (General, 37, "no_tariff", Permanent, Courier),
    (General, 38, "no_tariff", Permanent, Courier),
    (General, 39, "no_tariff", Permanent, Courier),
    // Not in the general table; printing answers with it.
    (General, 52, "order_not_found", NotFound, Shop),
];

/// Classifies a refusal. `code` is `None` when the answer had only a text; `text` is
/// whatever words came with it, in any language.
pub fn classify(op: Op, code: Option<i64>, text: &str) -> Verdict {
    let text = text.to_lowercase();
    // These three are matched by number alone: their texts have changed before
    // (protocols/measoft.md#duplicates).
    if !matches!(code, Some(17 | 52 | 67))
        && let Some(verdict) = by_text(code, &text)
    {
        return verdict;
    }
    let Some(code) = code else { return unknown() };
    // protocols/measoft.md#order-table: on `client` every refusal is about the credentials.
    if op == Op::Client && code == 1 {
        return look_up(Orders, 1).unwrap_or_else(unknown);
    }
    let verdict = match family(op) {
        // Above the numbers that both tables use, the general one still tells something.
        Orders => look_up(Orders, code).or_else(|| (code >= 20).then(|| look_up(General, code)).flatten()),
        General => look_up(General, code),
    };
    let verdict = verdict.unwrap_or_else(unknown);
    // A write that failed half-way inside MeaSoft may still have happened.
    match verdict.class {
        Transient if op.is_write() => Verdict { class: Class::UnknownOutcome, ..verdict },
        _ => verdict,
    }
}

fn look_up(family: Family, code: i64) -> Option<Verdict> {
    TABLE
        .iter()
        .find(|(table, number, ..)| *table == family && *number == code)
        .map(|&(_, _, reason, class, fault)| Verdict { reason, class, fault })
}

/// protocols/measoft.md#error-texts: refusals that only a text tells apart.
fn by_text(code: Option<i64>, lowercase: &str) -> Option<Verdict> {
    const AUTH: [&str; 4] =
        ["authorization error", "authorisation error", "ошибка авторизации", "authorization failed"];
    if AUTH.iter().any(|words| lowercase.contains(words)) {
        return Some(Verdict { reason: "auth_failed", class: Config, fault: Shop });
    }
    if let Some(rest) = lowercase.split("field [").nth(1) {
        let field = rest.split(']').next().unwrap_or(rest);
        let reason = if field.contains("phone") { "bad_phone" } else { "bad_field" };
        return Some(Verdict { reason, class: Permanent, fault: Shop });
    }
    // The words of XML parsers («… expected»): without a code, or with that for bad XML. Any
    // other refusal may hold them.
    const PARSER: [&str; 7] = [
        "expected",
        "tag mismatch",
        "entityref",
        "premature end of data",
        "extra content at the end",
        "not proper utf-8",
        "invalid char value",
    ];
    if matches!(code, None | Some(1)) && PARSER.iter().any(|words| lowercase.contains(words)) {
        return Some(Verdict { reason: "bad_xml", class: Bug, fault: Bridge });
    }
    None
}

const fn unknown() -> Verdict {
    Verdict { reason: UNKNOWN_CODE, class: Permanent, fault: Courier }
}

/// The words in the wanted language, else the other ones.
pub(crate) fn pick_text<'a>(lang: Language, ru: Option<&'a str>, en: Option<&'a str>) -> Option<&'a str> {
    match lang {
        Language::Ru => ru.or(en),
        Language::En => en.or(ru),
    }
}

/// Both texts, for [`classify`].
pub(crate) fn search_text(ru: Option<&str>, en: Option<&str>) -> String {
    format!("{}\n{}", ru.unwrap_or_default(), en.unwrap_or_default())
}

#[cfg(test)]
mod tests;
