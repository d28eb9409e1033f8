use super::*;

#[test]
fn settings_are_set_from_text() {
    let mut s = Settings::default();
    for (key, value) in [
        ("payment_type_map.CARD", "my-card"),
        ("paytype_map.sbp", "CARD"),
        ("delivery_types", "incity, outcity"),
        ("sender.phone", "+74950000000"),
        ("receive_payment", "true"),
        ("cod_policy", "as_vendor"),
        ("default_weight_g", "250"),
        ("payment_status", "paid"),
        ("print_forms", r#"[{"code":"a","form":"2","label":"Акт"}]"#),
    ] {
        s.set(key, value).unwrap_or_else(|e| panic!("{key}: {e}"));
    }
    assert_eq!(s.payment_type_map["CARD"], "my-card");
    assert_eq!(s.pay_kind("sbp"), PayKind::Card);
    assert_eq!(s.delivery_types, ["incity", "outcity"]);
    assert_eq!(s.sender.phone.as_deref(), Some("+74950000000"));
    assert!(s.receive_payment);
    assert_eq!(s.cod_policy, CodPolicy::AsVendor);
    assert_eq!(s.default_weight_g, 250);
    assert_eq!(s.print_forms[0].form, "2");
    s.set("payment_status", "").expect("cleared");
    assert_eq!(s.payment_status, None);
    s.set("paytype_map.sbp", "").expect("removed");
    assert_eq!(s.pay_kind("sbp"), PayKind::Cash);
}

#[test]
fn codes_lose_what_was_pasted_around_them() {
    let mut s = Settings::default();
    s.set("delivery_types", " incity\u{a0},\u{feff}outcity\r\n").expect("codes");
    s.set("send_statuses", r#"[" SentMeaSoft\u200b"]"#).expect("codes");
    s.set("payment_status", "\u{200b}paid ").expect("a code");
    s.set("payment_type_map.CARD", "my-card\n").expect("a code");
    assert_eq!(s.delivery_types, ["incity", "outcity"]);
    assert_eq!(s.send_statuses, ["SentMeaSoft"]);
    assert_eq!((s.payment_status.as_deref(), s.payment_type_map["CARD"].as_str()), (Some("paid"), "my-card"));
    s.set("payment_status", " \u{a0}").expect("cleared");
    assert_eq!(s.payment_status, None);
    // What an older release stored does not stand in the way of another setting.
    s.delivery_types = vec!["a\"b".to_owned()];
    s.set("payment_status", "paid").expect("another setting");
}

#[test]
fn a_bad_setting_names_itself_and_changes_nothing() {
    let mut s = Settings::default();
    for (key, value) in [
        ("colour", "red"),
        ("sender.hat", "x"),
        ("cod_policy", "guess"),
        ("stream_id", "7"),
        ("receive_payment", "maybe"),
        ("paytype_map.x", "GOLD"),
        ("default_weight_g", "-5"),
        ("delivery_types", "a\"b"),
        ("delivery_types", "incity,in city"),
        ("delivery_types", r#"["a\\b"]"#),
        ("delivery_types", "incity, key"),
        ("send_statuses", "…"),
        ("payment_status", "pa\"id"),
        ("payment_type_map.CARD", "{{ card }}"),
    ] {
        let error = s.set(key, value).expect_err(key).to_string();
        assert!(error.contains(key), "{error}");
    }
    assert_eq!(s, Settings::default());
}

#[test]
fn cards_are_cards_and_other_cash_on_delivery_is_cash() {
    let s = Settings::default();
    assert_eq!(s.pay_kind("bank-card"), PayKind::Card);
    assert_eq!(s.pay_kind("cash"), PayKind::Cash);
    assert_eq!(s.pay_kind("whatever"), PayKind::Cash);
}

#[test]
fn english_is_answered_only_when_asked_for_first() {
    assert_eq!(Language::from_accept(Some("en-GB,ru;q=0.5")), Language::En);
    assert_eq!(Language::from_accept(Some("ru,en")), Language::Ru);
    assert_eq!(Language::from_accept(Some("de")), Language::Ru);
    assert_eq!(Language::from_accept(None), Language::Ru);
}

#[test]
fn a_share_of_the_orders_is_the_same_orders_each_time_and_grows_with_them() {
    let share = |percent: u8| {
        let settings = Settings { live_share: percent, ..Settings::default() };
        (0..10_000).filter(|n| settings.is_canary(&format!("{n}A"), None)).collect::<Vec<_>>()
    };
    let (tenth, half) = (share(10), share(50));
    assert!((900..1100).contains(&tenth.len()) && (4800..5200).contains(&half.len()), "{} {}", tenth.len(), half.len());
    assert!(tenth.iter().all(|n| half.contains(n)), "a larger share has the smaller one in it");
    assert_eq!((share(0).len(), share(100).len()), (0, 10_000));
}

#[test]
fn a_delivery_type_goes_live_whatever_the_number() {
    let mut settings = Settings::default();
    settings.set("live_delivery_types", " outcity ").expect("codes");
    assert!(settings.is_canary("1", Some("outcity")) && !settings.is_canary("1", Some("incity")));
    assert!(!settings.is_canary("1", None));
    assert!(settings.set("live_share", "101").is_err() && settings.set("mode", "half").is_err());
}
