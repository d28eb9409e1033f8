use super::*;
use crate::domain::{CrmOrderId, Grams, Kopecks};
use crate::retailcrm::samples;
use crate::retailcrm::tolerant::{Node, VatRate};
use crate::retailcrm::wire::order::{Address, PayerType};
use jiff::civil;
use jiff::tz::{Offset, TimeZone};
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn field(file: &str, name: &str) -> String {
    samples::read(file)[name].to_string()
}

fn key() -> BTreeMap<String, String> {
    [("deliveryApiKey".to_owned(), "dk-7f3c9a52e1b04d6f8a90c1e2".to_owned())].into()
}

fn same(written: &impl Serialize, file: &str) {
    let written = serde_json::to_value(written).expect("JSON");
    assert_eq!(samples::without_nothings(&written), samples::without_nothings(&samples::read(file)), "{file}");
}

#[test]
fn calculate_is_read() {
    let request = CalculateRequest::parse(&field("callback-calculate-request.json", "calculate")).expect("read");
    assert_eq!(request.delivery_address.flat.as_deref(), Some("42"));
    assert_eq!(request.packages[0].weight, Some(Grams(5400)));
    assert!(request.packages[0].items.is_empty());
    assert_eq!(request.declared_value, Some(Kopecks::roubles(3790)));
    assert_eq!(request.cod, Some(Kopecks::roubles(3140)));
}

#[test]
fn calculate_may_be_nearly_empty() {
    for text in [
        "{}",
        "[]",
        r#"{"extraData":[],"deliveryAddress":[],"packages":[],"cod":"","deliveryDate":"2024-05-18 00:00:00"}"#,
    ] {
        CalculateRequest::parse(text).expect(text);
    }
    assert_eq!(CalculateRequest::parse("{").expect_err("broken").to_string(), "calculate: JSON expected");
}

#[test]
fn save_is_read() {
    let request = SaveRequest::parse(&field("callback-save-request.json", "save")).expect("read");
    assert_eq!(request.delivery_id, None);
    assert_eq!(request.order, CrmOrderId(4817), "a text on the wire");
    assert_eq!(request.order_number.as_ref().expect("number").as_str(), "1234A");
    assert_eq!(request.site.as_deref(), Some("main-shop"));
    assert_eq!(request.customer.phones, ["+7 (916) 000-11-22", "8 495 000 11 22"]);
    assert_eq!(request.customer.last_name.as_deref(), Some("Петрова"));
    let contragent = request.customer.contragent.as_ref().expect("contragent");
    assert_eq!(contragent.contragent_type.as_deref(), Some("individual"));
    assert_eq!(request.customer.legal(), None);
    let items: Vec<_> = request.items().collect();
    assert_eq!(items[0].offer_id.as_deref(), Some("7001"));
    assert_eq!(items[0].cod, Some(Kopecks::roubles(1000)));
    assert_eq!(items[0].cost, Some(Kopecks::roubles(1400)));
    assert_eq!(items[0].quantity, Decimal::TWO);
    assert_eq!(items[0].vat_rate, VatRate::Percent(20));
    assert_eq!(items[1].vat_rate, VatRate::None);
    assert_eq!(items[1].marking_codes, ["0104600000000017215abcDEF\u{1d}93Zx1y"]);
    assert_eq!(items[1].weight, Some(Grams(800)));
    let delivery = &request.delivery;
    assert_eq!(delivery.with_cod, Some(true));
    assert_eq!(delivery.cod_payment_type.as_deref(), Some("cash"));
    assert_eq!((delivery.cod, delivery.cost), (Some(Kopecks::roubles(350)), Some(Kopecks::roubles(350))));
    assert_eq!(delivery.tariff.as_deref(), Some("express"));
    assert_eq!(delivery.payer_type, Some(PayerType::Sender));
    assert_eq!(delivery.delivery_date, Some(civil::date(2024, 5, 18)));
    assert_eq!(delivery.delivery_time.to, Some(civil::time(18, 0, 0, 0)));
    assert_eq!(delivery.delivery_address.building.as_deref(), Some("16"));
    assert_eq!(delivery.extra_data["packing"], json!("box"));
    assert_eq!(request.cod_total(), Some(Kopecks::roubles(3140)));
    assert_eq!(request.declared_total(), Some(Kopecks::roubles(3790)));
}

#[test]
fn a_repeated_save_names_the_delivery() {
    let request = SaveRequest::parse(&field("callback-save-edit-request.json", "save")).expect("read");
    assert_eq!(request.delivery_id.as_deref(), Some("ms-17-4817"));
    assert_eq!(request.delivery.delivery_date, Some(civil::date(2024, 5, 19)));
    assert!(request.delivery.extra_data.is_empty(), "an empty map came as a list");
}

#[test]
fn a_sum_that_a_save_does_not_name_is_not_zero() {
    let full = samples::read("callback-save-request.json")["save"].clone();
    let cod = |change: fn(&mut Value)| {
        let mut save = full.clone();
        change(&mut save);
        SaveRequest::parse(&save.to_string()).expect("read").cod_total()
    };
    assert_eq!(cod(|_| {}), Some(Kopecks::roubles(3140)));
    assert_eq!(cod(|save| save["packages"] = json!([])), None, "no packages");
    assert_eq!(cod(|save| save["packages"][0]["items"] = json!([])), None, "no positions");
    assert_eq!(cod(|save| drop(save["delivery"].as_object_mut().map(|d| d.remove("withCod")))), None);
    let without = |save: &mut Value| {
        for item in save["packages"][0]["items"].as_array_mut().into_iter().flatten() {
            item.as_object_mut().map(|item| item.remove("cod"));
        }
    };
    assert_eq!(cod(without), None, "positions without a sum");
}

#[test]
fn a_declared_value_of_nothing_is_told_from_none() {
    let full = samples::read("callback-save-request.json")["save"].clone();
    let declared = |value: Value| {
        let mut save = full.clone();
        for item in save["packages"][0]["items"].as_array_mut().into_iter().flatten() {
            item["declaredValue"] = value.clone();
        }
        SaveRequest::parse(&save.to_string()).expect("read").declared_total()
    };
    assert_eq!(declared(json!(0)), Some(Kopecks::ZERO));
    assert_eq!(declared(json!(null)), None);
}

#[test]
fn nothing_is_collected_without_cash_on_delivery() {
    let mut save = samples::read("callback-save-request.json")["save"].clone();
    save["delivery"]["withCod"] = json!(0);
    let request = SaveRequest::parse(&save.to_string()).expect("read");
    assert_eq!(request.cod_total(), Some(Kopecks::ZERO));
}

#[test]
fn extra_data_may_be_a_list_of_pairs() {
    let mut save = samples::read("callback-save-request.json")["save"].clone();
    save["delivery"]["extraData"] = json!([{"code": "packing", "value": "box"}]);
    let request = SaveRequest::parse(&save.to_string()).expect("read");
    assert_eq!(request.delivery.extra_data["packing"], json!("box"));
}

#[test]
fn a_save_that_cannot_be_understood_names_the_place() {
    for (pointer, value, place) in [
        ("/order", json!("4817A"), "save.order"),
        ("/packages/0/items/1/cod", json!("x"), "save.packages[0].items[1].cod"),
        ("/delivery/withCod", json!("x"), "save.delivery.withCod"),
        ("/delivery", json!([]), "save.delivery"),
        ("/delivery/deliveryDate", json!("soon"), "save.delivery.deliveryDate"),
    ] {
        let mut save = samples::read("callback-save-request.json")["save"].clone();
        *save.pointer_mut(pointer).expect(pointer) = value;
        assert_eq!(SaveRequest::parse(&save.to_string()).expect_err(pointer).path, place);
    }
}

#[test]
fn delete_print_and_activity_are_read() {
    let delete = DeleteRequest::parse(&field("callback-delete-request.json", "delete")).expect("read");
    assert_eq!(delete.delivery_id, "ms-17-4817");
    assert!(DeleteRequest::parse(r#"{"deliveryId":""}"#).is_err());
    let print = PrintRequest::parse(&field("callback-print-request.json", "print")).expect("read");
    assert_eq!((print.entity_type.as_str(), print.kind.as_str()), ("order", "waybill"));
    assert_eq!(print.delivery_ids, ["ms-17-4817", "ms-17-4820"]);
    for ids in [json!(["a", "b", "a"]), json!([[["a"]], "b"]), json!({"0": "a", "1": ["b"]})] {
        let text = json!({"type": "x", "deliveryIds": ids}).to_string();
        let print = PrintRequest::parse(&text).expect("read");
        assert_eq!(
            (print.entity_type.as_str(), &print.delivery_ids[..]),
            ("order", &["a".to_owned(), "b".to_owned()][..])
        );
    }
    let activity = samples::read("callback-activity.json")["request"]["activity"].to_string();
    assert!(Activity::parse(&activity).expect("read").is_working());
    assert!(!Activity::parse(r#"{"active":1,"freeze":"1"}"#).expect("read").is_working());
    assert!(Activity::parse("{}").is_err(), "silence is no state");
}

#[test]
fn queries_are_read() {
    let get = GetQuery::read([("clientId", "x"), ("deliveryId", "ms-17-4817")]).expect("read");
    assert_eq!(get.delivery_id, "ms-17-4817");
    assert!(GetQuery::read([("deliveryId", " ")]).is_err());
    let points = ShipmentPointQuery::read([("country", "RU"), ("city", ""), ("x", "y"), ("cityId", "4400")]);
    assert_eq!((points.country.as_deref(), points.city, points.city_id.as_deref()), (Some("RU"), None, Some("4400")));
}

#[test]
fn tariffs_are_written_as_in_the_sample() {
    let express = Tariff {
        code: "express".into(),
        group: Some("Курьер".into()),
        name: "Экспресс".into(),
        kind: TariffKind::Courier,
        description: Some("В день заказа".into()),
        cost: Some(Kopecks(31_250)),
        min_term: Some(1),
        max_term: Some(2),
        extra_data: key(),
        extra_data_available: Some(vec!["deliveryApiKey".into(), "packing".into(), "deliveredTo".into()]),
        pickuppoint_list: vec![],
    };
    let point = Terminal {
        code: "PVZ-12".into(),
        name: "Пункт на Тверской".into(),
        address: Some("Москва, ул. Тверская, 7".into()),
        schedule: Some("Пн-Вс 10:00-21:00".into()),
        phone: Some("+74950003344".into()),
        description: Some("Вход со двора".into()),
        cost: Some(Kopecks::roubles(180)),
        coordinates: Some(Coordinates { latitude: Decimal::new(557_586, 4), longitude: Decimal::new(376_113, 4) }),
    };
    let pvz = Tariff {
        code: "pvz".into(),
        group: Some("Самовывоз".into()),
        name: "До пункта выдачи".into(),
        kind: TariffKind::SelfDelivery,
        description: None,
        cost: Some(Kopecks::roubles(180)),
        min_term: Some(2),
        max_term: Some(3),
        extra_data: key(),
        extra_data_available: None,
        pickuppoint_list: vec![point],
    };
    same(&Answer::Result(vec![express.clone(), pvz.clone()]), "callback-calculate-response.json");
    let listed = |tariff: Tariff, description: &str| Tariff {
        code: tariff.code,
        name: tariff.name,
        kind: tariff.kind,
        description: Some(description.into()),
        group: None,
        cost: None,
        min_term: None,
        max_term: None,
        extra_data: BTreeMap::new(),
        extra_data_available: None,
        pickuppoint_list: vec![],
    };
    same(&Answer::Result(vec![listed(express, "В день заказа"), listed(pvz, "")]), "callback-tarifflist-response.json");
    let none: Vec<Tariff> = vec![];
    assert_eq!(serde_json::to_string(&Answer::Result(none)).expect("JSON"), r#"{"success":true,"result":[]}"#);
}

#[test]
fn drop_off_points_are_written_as_in_the_sample() {
    let point = Terminal {
        code: "WH-1".into(),
        name: "Приёмный склад".into(),
        address: Some("Москва, ул. Складская, 1".into()),
        schedule: Some("Пн-Пт 09:00-18:00".into()),
        phone: Some("+74950004455".into()),
        coordinates: Some(Coordinates { latitude: Decimal::new(557, 1), longitude: Decimal::new(377, 1) }),
        ..Terminal::default()
    };
    same(&Answer::Result(vec![point]), "callback-shipmentpointlist-response.json");
}

#[test]
fn save_delete_and_errors_are_answered_as_in_the_samples() {
    let saved = SaveResult {
        delivery_id: "ms-17-4817".into(),
        track_number: Some("MS0000778812".into()),
        cost: Some(Kopecks(31_250)),
        status: Some("NEW".into()),
        extra_data: key(),
    };
    same(&Answer::Result(&saved), "callback-save-response.json");
    let pending = SaveResult { track_number: None, cost: None, status: Some("PENDING".into()), ..saved };
    same(&Answer::Result(pending), "callback-save-async-response.json");
    same(&Answer::<()>::Done, "callback-delete-response.json");
    same(
        &Answer::<()>::Error("field [receiver phone] has no valid phone number".into()),
        "callback-error-response.json",
    );
    let bare = SaveResult { delivery_id: "x".into(), ..SaveResult::default() };
    assert_eq!(serde_json::to_string(&bare).expect("JSON"), r#"{"deliveryId":"x"}"#, "nothing is written as null");
}

#[test]
fn get_is_answered_as_in_the_sample() {
    let sample = samples::read("callback-get-response.json");
    let read = |name: &str| {
        let value = &sample["result"][name];
        Node::root(name, value).read(Address::read).expect("readable")
    };
    let at: jiff::Timestamp = "2024-05-17T07:02:15Z".parse().expect("moment");
    let result = GetResult {
        track_number: Some("MS0000778812".into()),
        cost: Some(Kopecks(31_250)),
        shipment_date: Some(civil::date(2024, 5, 17)),
        delivery_date: Some(civil::date(2024, 5, 18)),
        delivery_time: Some(Interval { from: Some(civil::time(10, 0, 0, 0)), to: Some(civil::time(18, 0, 0, 0)) }),
        tariff: Some("express".into()),
        tariff_name: Some("Экспресс".into()),
        payer_type: Some(PayerType::Sender),
        status: Some(DeliveryStatus {
            code: "NEW".into(),
            updated_at: at.to_zoned_datetime(TimeZone::fixed(Offset::constant(3))),
            comment: Some("Принят".into()),
        }),
        extra_data: key(),
        shipment_address: Some(read("shipmentAddress")),
        delivery_address: Some(read("deliveryAddress")),
    };
    same(&Answer::Result(&result), "callback-get-response.json");
    let debug = format!("{result:?}{:?}", result.status);
    assert!(!debug.contains("Толстого") && !debug.contains("dk-7f") && !debug.contains("Принят"), "{debug}");
}

#[test]
fn debug_shows_no_personal_data() {
    let save = SaveRequest::parse(&field("callback-save-request.json", "save")).expect("read");
    let calculate = CalculateRequest::parse(&field("callback-calculate-request.json", "calculate")).expect("read");
    let debug = format!("{save:?} {:?} {calculate:?}", save.delivery);
    for secret in ["Петрова", "916", "anna@", "Толстого", "Домофон", "Смирнов", "dk-7f"] {
        assert!(!debug.contains(secret), "{secret} in {debug}");
    }
}

proptest! {
    #[test]
    fn no_json_makes_a_callback_reader_panic(value in samples::any_json(), at in 0usize..400) {
        let text = value.to_string();
        let _ = CalculateRequest::parse(&text);
        let _ = SaveRequest::parse(&text);
        let _ = DeleteRequest::parse(&text);
        let _ = PrintRequest::parse(&text);
        let _ = Activity::parse(&text);
        for (file, name) in [("callback-save-request.json", "save"), ("callback-calculate-request.json", "calculate")] {
            let mut request = samples::read(file)[name].clone();
            let pointers = samples::pointers(&request);
            *request.pointer_mut(&pointers[at % pointers.len()]).expect("exists") = value.clone();
            let _ = CalculateRequest::parse(&request.to_string());
            if let Ok(save) = SaveRequest::parse(&request.to_string()) {
                let _ = (save.cod_total(), save.declared_total());
            }
        }
    }
}
