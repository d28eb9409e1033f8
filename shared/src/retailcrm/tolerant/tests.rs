use super::*;
use crate::retailcrm::samples::any_json;
use jiff::civil;
use proptest::prelude::*;
use serde_json::json;

#[test]
fn money_comes_as_a_number_or_as_a_text_and_never_as_a_float() {
    for (value, expected) in [
        (json!(1000), Some(100_000)),
        (json!("1000.00"), Some(100_000)),
        (json!("3 790,50"), Some(379_050)),
        (serde_json::from_str("60.17310053999999").expect("json"), Some(6017)),
        (serde_json::from_str("0.1").expect("json"), Some(10)),
        (serde_json::from_str("1e3").expect("json"), Some(100_000)),
        // A float would make …33 of it.
        (serde_json::from_str("90071992547409.93").expect("json"), Some(9_007_199_254_740_993)),
        (json!(null), None),
        (json!(""), None),
    ] {
        assert_eq!(money(&value), Ok(expected.map(Kopecks)), "{value}");
    }
    for value in [json!("abc"), json!([]), json!({}), json!(true)] {
        assert!(money(&value).is_err(), "{value}");
    }
}

#[test]
fn ids_come_as_numbers_or_texts() {
    for value in [json!(4817), json!("4817"), json!(" 4817 "), json!("4817.0")] {
        assert_eq!(integer(&value), Ok(Some(4817)), "{value}");
    }
    assert_eq!(integer(&json!("")), Ok(None));
    assert!(integer(&json!("4817A")).is_err());
    assert!(integer(&json!("1.5")).is_err());
    assert_eq!(text(&json!(42)), Ok(Some("42".to_owned())));
}

#[test]
fn flags_of_every_kind() {
    for value in [json!(true), json!(1), json!("1"), json!("true")] {
        assert_eq!(flag(&value), Ok(Some(true)), "{value}");
    }
    for value in [json!(false), json!(0), json!("0")] {
        assert_eq!(flag(&value), Ok(Some(false)), "{value}");
    }
    assert_eq!(flag(&json!(null)), Ok(None));
    assert!(flag(&json!("yes?")).is_err());
}

#[test]
fn vat_rates_of_every_spelling() {
    for (value, rate) in [
        (json!("none"), Some(VatRate::None)),
        (json!("20.00"), Some(VatRate::Percent(20))),
        (json!("20"), Some(VatRate::Percent(20))),
        (json!(20), Some(VatRate::Percent(20))),
        (json!(0), Some(VatRate::Percent(0))),
        (json!(null), None),
        (json!(""), None),
    ] {
        assert_eq!(vat(&value), Ok(rate), "{value}");
    }
    for value in [json!("a lot"), json!("16.67"), json!(-1), json!(101)] {
        assert!(vat(&value).is_err(), "{value}");
    }
}

#[test]
fn dates_times_and_zero_dates() {
    assert_eq!(date(&json!("2024-05-17")), Ok(Some(civil::date(2024, 5, 17))));
    assert_eq!(date(&json!("2024-05-17 10:00:00")), Ok(Some(civil::date(2024, 5, 17))));
    assert_eq!(date(&json!("2024-05-17T10:00:00+03:00")), Ok(Some(civil::date(2024, 5, 17))));
    assert_eq!(date(&json!("0000-00-00")), Ok(None));
    for wrong in ["17.05.2024", "2024-05-1", "2024-05-17x", "2024-13-01", "мая 17-го, год"] {
        assert!(date(&json!(wrong)).is_err(), "{wrong}");
    }
    assert_eq!(datetime(&json!("2024-05-17 14:05:06")), Ok(Some(civil::date(2024, 5, 17).at(14, 5, 6, 0))));
    assert_eq!(time(&json!("09:00")), Ok(Some(civil::time(9, 0, 0, 0))));
    assert_eq!(time(&json!("9:05:30")), Ok(Some(civil::time(9, 5, 30, 0))));
    assert_eq!(time(&json!("24:00")), Ok(Some(civil::time(23, 59, 0, 0))));
    assert!(time(&json!("9")).is_err());
    assert!(time(&json!("25:00")).is_err());
}

#[test]
fn an_empty_list_is_an_empty_map_and_a_list_of_pairs_is_a_map() {
    let value = json!({"a": [], "b": {"k": "v"}, "c": [{"code": "k", "value": "v"}], "d": null, "e": 5});
    let node = Node::root("x", &value);
    let fields = node.fields().expect("object");
    assert!(fields.extra("a").expect("empty").is_empty());
    assert_eq!(fields.extra("b").expect("map")["k"], json!("v"));
    assert_eq!(fields.extra("c").expect("pairs")["k"], json!("v"));
    assert!(fields.extra("d").expect("null").is_empty());
    assert_eq!(fields.extra("e").expect_err("number").to_string(), "x.e: a list expected");
    assert!(fields.object("a").expect("empty").is_none());
}

#[test]
fn sums_are_written_as_short_exact_numbers() {
    for (kopecks, text) in [(31_250, "312.5"), (314_000, "3140"), (5, "0.05"), (-5, "-0.05"), (0, "0")] {
        assert_eq!(money_number(Kopecks(kopecks)).to_string(), text);
    }
}

proptest! {
    #[test]
    fn no_json_makes_a_reader_panic(value in any_json()) {
        let _ = (text(&value), decimal(&value), money(&value), integer(&value), flag(&value), vat(&value));
        let _ = (grams(&value), millimetres(&value), date(&value), datetime(&value), time(&value));
    }

    #[test]
    fn a_written_sum_reads_back(kopecks in any::<i32>()) {
        let sum = Kopecks(i64::from(kopecks));
        prop_assert_eq!(money(&money_number(sum)), Ok(Some(sum)));
    }
}
