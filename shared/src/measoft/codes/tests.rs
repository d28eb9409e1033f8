use super::*;
use crate::domain::Language;
use crate::explain::measoft::{REASONS, explain};
use crate::measoft::class::UNREADABLE_CODE;
use std::collections::HashSet;

const ORDER_OPS: [Op; 3] = [Op::NewOrder, Op::EditOrder, Op::CancelOrder];

/// protocols/measoft.md#order-table, written out a second time from the page.
#[test]
fn every_code_of_the_order_table_is_classified() {
    let expected: &[(i64, &str, Class, Fault)] = &[
        (1, "auth_failed", Config, Shop),
        (2, "empty_request", Bug, Bridge),
        (3, "bad_price", Permanent, Shop),
        (4, "bad_weight", Permanent, Shop),
        (5, "town_not_found", Permanent, Shop),
        (6, "sender_town_not_found", Permanent, Shop),
        (7, "address_missing", Permanent, Shop),
        (8, "phone_missing", Permanent, Shop),
        (9, "person_missing", Permanent, Shop),
        (10, "company_missing", Permanent, Shop),
        (11, "bad_declared_value", Permanent, Shop),
        (12, "article_not_found", Permanent, Shop),
        (13, "sender_company_missing", Permanent, Shop),
        (14, "sender_person_missing", Permanent, Shop),
        (15, "sender_phone_missing", Permanent, Shop),
        (16, "sender_address_missing", Permanent, Shop),
        (17, "duplicate_number", AlreadyExists, Shop),
        (18, "delivery_on_holiday", Permanent, Shop),
        (52, "order_not_found", NotFound, Shop),
        (67, "duplicate_barcode", AlreadyExists, Shop),
        (19, UNKNOWN_CODE, Permanent, Courier),
        (999, UNKNOWN_CODE, Permanent, Courier),
        (UNREADABLE_CODE, UNKNOWN_CODE, Permanent, Courier),
    ];
    for op in ORDER_OPS {
        for &(code, reason, class, fault) in expected {
            assert_eq!(classify(op, Some(code), ""), Verdict { reason, class, fault }, "{op} {code}");
        }
    }
}

/// protocols/measoft.md#general-table.
#[test]
fn every_code_of_the_general_table_is_classified() {
    let app = ("mobile_app_only", Bug, Bridge);
    let expected = [
        (1, ("bad_xml", Bug, Bridge)),
        (2, app),
        (3, app),
        (4, app),
        (5, app),
        (6, app),
        (7, app),
        (8, app),
        (9, app),
        (10, app),
        (11, ("orders_not_found", NotFound, Shop)),
        (12, app),
        (13, ("courier_database_error", Transient, Courier)),
        (14, ("unknown_operation", Bug, Bridge)),
        (15, ("no_tariff", Permanent, Courier)),
        (16, (UNKNOWN_CODE, Permanent, Courier)),
        (17, (UNKNOWN_CODE, Permanent, Courier)),
        (18, ("sender_town_missing", Permanent, Shop)),
        (19, ("town_missing", Permanent, Shop)),
        (20, ("bad_weight", Permanent, Shop)),
        (21, ("sender_town_not_found", Permanent, Shop)),
        (22, ("town_not_found", Permanent, Shop)),
        (23, ("weight_missing", Permanent, Shop)),
        (24, ("login_missing", Config, Shop)),
        (25, ("auth_failed", Config, Shop)),
        (26, ("registration_only", Permanent, Courier)),
        (27, ("registration_only", Permanent, Courier)),
        (28, ("address_missing", Permanent, Shop)),
        (29, ("no_longer_supported", Bug, Bridge)),
        (30, ("telephony_only", Permanent, Courier)),
        (31, ("telephony_only", Permanent, Courier)),
        (32, ("telephony_only", Permanent, Courier)),
        (33, ("courier_offline", Transient, Courier)),
        (34, ("bad_number", Permanent, Shop)),
        (35, ("bad_number", Permanent, Shop)),
        (36, ("no_tariff", Permanent, Courier)),
        (37, ("no_tariff", Permanent, Courier)),
        (38, ("no_tariff", Permanent, Courier)),
        (39, ("no_tariff", Permanent, Courier)),
        (40, (UNKNOWN_CODE, Permanent, Courier)),
        (52, ("order_not_found", NotFound, Shop)),
    ];
    for op in [Op::StatusReq, Op::CommitLastStatus, Op::Calculator, Op::PvzList, Op::Waybill] {
        for (code, (reason, class, fault)) in expected {
            assert_eq!(classify(op, Some(code), ""), Verdict { reason, class, fault }, "{op} {code}");
        }
    }
}

/// protocols/measoft.md#error-texts and the note on code 1 in protocols/measoft.md#error-codes.
#[test]
fn texts_decide_where_codes_do_not() {
    for (op, code, text, reason) in [
        (Op::NewOrder, None, "field [receiver phone] has no valid phone number", "bad_phone"),
        (Op::NewOrder, Some(99), "Field [receiver date] is in the past", "bad_field"),
        (Op::StatusReq, Some(1), "Authorization Error", "auth_failed"),
        (Op::StatusReq, Some(1), "Ошибка авторизации", "auth_failed"),
        (Op::NewOrder, Some(1), "'</order>' expected", "bad_xml"),
        (Op::StatusReq, None, "Opening and ending tag mismatch: orderno", "bad_xml"),
        (Op::Client, Some(1), "", "auth_failed"),
        (Op::NewOrder, Some(17), "field [orderno] expected to be unique", "duplicate_number"),
        (Op::NewOrder, None, "", UNKNOWN_CODE),
        (Op::NewOrder, Some(99), "a delivery date is expected", UNKNOWN_CODE),
    ] {
        assert_eq!(classify(op, code, text).reason, reason, "{op} {code:?} {text}");
    }
}

#[test]
fn a_write_that_failed_inside_measoft_has_an_unknown_outcome() {
    assert_eq!(classify(Op::NewOrder, Some(33), "").class, Class::UnknownOutcome);
    assert_eq!(classify(Op::StatusReq, Some(33), "").class, Transient);
    assert_eq!(classify(Op::NewOrder, Some(25), "").class, Config);
}

#[test]
fn every_reason_is_explained_once_in_both_languages() {
    let mut seen = HashSet::new();
    for (reason, ru, en) in REASONS {
        assert!(seen.insert(reason), "{reason} twice");
        assert!(reason.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{reason}");
        assert!(!ru.0.is_ascii() && !ru.1.is_ascii(), "{reason} in Russian");
        assert!(en.0.is_ascii() && en.1.is_ascii() && !en.0.is_empty() && !en.1.is_empty(), "{reason} in English");
    }
    for (_, _, reason, ..) in TABLE {
        assert!(seen.contains(reason), "{reason} has no words");
    }
    assert_eq!(explain("bad_phone", Language::En).text, "MeaSoft did not accept the phone");
    assert_eq!(explain("never heard of", Language::Ru), explain(UNKNOWN_CODE, Language::Ru));
}
