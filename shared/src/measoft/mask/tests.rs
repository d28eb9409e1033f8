use proptest::prelude::*;

use super::*;

const SECRETS: [&str; 2] = ["shop-demo", "secret-demo"];
const PEOPLE: [&str; 9] =
    ["Смирнова", "9161234567", "anna@example.org", "Лесная", "190000", "4321", "55.7440", "Позвонить", "Физлицо"];
const REQUEST: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<neworder newfolder=\"NO\"><auth extra=\"8\" \
    login=\"shop-demo\" pass=\"secret-demo\"/><order orderno=\"RC-1\"><receiver><company>Физлицо</company>\
    <person>Смирнова Анна</person><phone>+79161234567, anna@example.org</phone><zipcode>190000</zipcode>\
    <town regioncode=\"78\">Москва город</town><address>ул. Лесная, д. 5</address><deliveryPIN>4321</deliveryPIN>\
    <coords lat=\"55.7440\" lon=\"37.5\"/></receiver><paytype>CARD</paytype>\
    <instruction>Позвонить за час</instruction>\
    <items><item extcode=\"1\" retprice=\"10.00\">Шарф</item></items></order></neworder>";

fn survivors(masked: &str) -> Vec<&'static str> {
    SECRETS.into_iter().chain(PEOPLE).filter(|secret| masked.contains(secret)).collect()
}

#[test]
fn people_and_credentials_disappear_and_the_rest_stays() {
    let masked = body(REQUEST.as_bytes(), &SECRETS);
    assert_eq!(survivors(&masked), Vec::<&str>::new());
    for kept in [
        "<auth extra=\"8\" login=\"[hidden 9]\" pass=\"[hidden 11]\"/>",
        "<order orderno=\"RC-1\">",
        "<person>[hidden 13]</person>",
        "<town regioncode=\"78\">Москва город</town>",
        "<paytype>CARD</paytype>",
        "<item extcode=\"1\" retprice=\"10.00\">Шарф</item>",
    ] {
        assert!(masked.contains(kept), "{kept} is missing in {masked}");
    }
}

#[test]
fn answers_hide_the_courier_and_who_took_the_parcel() {
    let masked = body(
        "<statusreq count=\"1\"><order orderno=\"1\" ordercode=\"007\"><courier><code>31</code><name>Петров</name>\
         <phone>+79990001122</phone></courier><deliveredto>Орлова</deliveredto>\
         <status eventstore=\"Москва\" title=\"Доставлен\" message=\"Сидорову\">COMPLETE</status>\
         <newthing>Иванов</newthing></order></statusreq>"
            .as_bytes(),
        &[],
    );
    for secret in ["Петров", "79990001122", "31", "Орлова", "Сидорову", "Иванов"] {
        assert!(!masked.contains(secret), "{secret} in {masked}");
    }
    assert!(masked.contains("title=\"Доставлен\"") && masked.contains(">COMPLETE<"), "{masked}");
}

#[test]
fn error_texts_stay_readable_without_phones() {
    let masked = body(
        "<neworder><createorder orderno=\"12345678901\" error=\"8\" errormsg=\"field [receiver phone] +7 (916) 123-45-67 a@b.ru\"/></neworder>".as_bytes(),
        &[],
    );
    assert!(masked.contains("orderno=\"12345678901\"") && masked.contains("field [receiver phone] "), "{masked}");
    assert!(!masked.contains("123-45") && !masked.contains("a@b.ru"), "{masked}");
}

#[test]
fn pages_and_plain_texts_are_cut_and_scrubbed() {
    let page = format!(
        "<!DOCTYPE html><html><title>Вход</title><p>тел. 8 (495) 000-11-22, help@example.org, pass=\"hunter2\" \
         <person>Смирнова</person>{}</html>",
        "x".repeat(5000)
    );
    let masked = body(page.as_bytes(), &[]);
    for secret in ["000-11", "help@", "hunter2", "Смирнова"] {
        assert!(!masked.contains(secret), "{secret} in {masked}");
    }
    assert!(masked.contains("Вход") && masked.contains("bytes in all]") && masked.len() < 3000, "{masked}");
    assert_eq!(body("login shop-demo is unknown".as_bytes(), &SECRETS), "login [hidden] is unknown");
}

#[test]
fn scrubbing_leaves_ordinary_words_and_short_numbers_alone() {
    for text in ["Заказ RC-2026-000101 не найден", "5 шт. по 1500.00 руб.", "passenger compass", ""]
    {
        assert_eq!(scrub(text), text);
    }
    assert_eq!(scrub("тел. +7 916 123-45-67, срочно"), "тел. +[hidden 11], срочно");
    assert_eq!(scrub("pass=abc&x=1"), "pass=[hidden 3]&x=1");
}

#[test]
fn planted_secrets_never_survive_a_cut_document() {
    let bytes = REQUEST.as_bytes();
    for end in 0..bytes.len() {
        assert_eq!(survivors(&body(&bytes[..end], &SECRETS)), Vec::<&str>::new(), "cut at {end}");
    }
    // Cut at the front: the elements around are unknown.
    for start in 0..bytes.len() {
        let masked = body(&bytes[start..], &SECRETS);
        assert_eq!(survivors(&masked), Vec::<&str>::new(), "begins at {start}: {masked}");
    }
}

#[test]
fn planted_secrets_never_survive_a_damaged_document() {
    for len in 1..=8 {
        for at in 0..REQUEST.len() - len {
            let mut bytes = REQUEST.as_bytes().to_vec();
            bytes.drain(at..at + len);
            let masked = body(&bytes, &SECRETS);
            assert_eq!(survivors(&masked), Vec::<&str>::new(), "{len} bytes lost at {at}: {masked}");
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_the_mask(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = body(&bytes, &SECRETS);
    }

    #[test]
    fn arbitrary_markup_never_panics_the_mask(text in "[<>/=\"' a-cя!?\\-\\[\\]@0-9]{0,120}") {
        let _ = body(text.as_bytes(), &SECRETS);
    }
}
