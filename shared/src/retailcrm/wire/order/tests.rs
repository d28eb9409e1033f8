use super::*;
use crate::retailcrm::tolerant::VatRate;
use jiff::civil;
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::json;

fn sample(name: &str) -> Value {
    crate::retailcrm::samples::read(name)
}

fn full() -> Value {
    sample("order-full.json")["order"].clone()
}

#[test]
fn the_full_order_is_read_with_every_field_a_courier_needs() {
    let order = read_single(&full()).expect("readable");
    assert_eq!(order.id, CrmOrderId(4817));
    assert_eq!(order.number.as_str(), "1234A");
    assert_eq!(order.external_id.as_deref(), Some("SHOP-9931"));
    assert_eq!((order.site.as_str(), order.status.as_str()), ("main-shop", "SentMeaSoft"));
    assert_eq!(order.created_at, Some(civil::date(2024, 5, 16).at(11, 20, 33, 0)));
    assert_eq!(order.last_name.as_deref(), Some("Петрова"));
    assert_eq!(order.first_name.as_deref(), Some("Анна"));
    assert_eq!(order.patronymic.as_deref(), Some("Сергеевна"));
    assert_eq!(order.phone.as_deref(), Some("+7 (916) 000-11-22"));
    assert_eq!(order.additional_phone.as_deref(), Some("8 495 000 11 22"));
    assert_eq!(order.email.as_deref(), Some("anna@example.com"));
    let customer = order.customer.as_ref().expect("customer");
    assert_eq!(customer.phones, ["+79160001122", "84950001122"]);
    assert_eq!(order.contragent.as_ref().expect("contragent").contragent_type.as_deref(), Some("individual"));
    assert_eq!(order.customer_comment.as_deref(), Some("Не звонить\nдо 10 утра"));
    assert_eq!(order.total_summ, Kopecks::roubles(4140));
    assert_eq!(order.prepay_sum, Kopecks::roubles(1000));
    assert_eq!(order.weight, Some(Grams(5400)));
    assert_eq!(
        (order.length, order.width, order.height),
        (Some(Millimetres(600)), Some(Millimetres(450)), Some(Millimetres(200)))
    );
}

#[test]
fn the_positions_of_the_full_order() {
    let order = read_single(&full()).expect("readable");
    let [chair, lamp, table] = &order.items[..] else { panic!("three positions") };
    assert_eq!(chair.id, 3301);
    assert_eq!(chair.external_ids, [ExternalId { code: Some("default".into()), value: "pos-3301".into() }]);
    assert_eq!(chair.title(), Some("Стул складной"));
    let offer = chair.offer.as_ref().expect("offer");
    assert_eq!(offer.article.as_deref(), Some("CH-01"));
    assert_eq!(offer.barcode.as_deref(), Some("4600000007001"));
    assert_eq!(offer.external_id.as_deref(), Some("ch-01"));
    assert_eq!(offer.unit.as_ref().expect("unit").sym.as_deref(), Some("шт."));
    assert_eq!(chair.prices, [ItemPrice { price: Kopecks::roubles(1400), quantity: Decimal::TWO }]);
    assert_eq!(chair.initial_price, Some(Decimal::from(1500)));
    assert_eq!(chair.discount_total, Decimal::ONE_HUNDRED);
    assert_eq!(chair.vat_rate, VatRate::Percent(20));
    assert_eq!(chair.quantity, Decimal::TWO);
    assert!(!chair.is_canceled);
    assert_eq!(lamp.vat_rate, VatRate::None);
    assert_eq!(lamp.marking_codes, ["0104600000000017215abcDEF\u{1d}93Zx1y"], "the GS character stays");
    assert!(table.is_canceled);
    assert_eq!(table.status.as_deref(), Some("cancel"));
}

#[test]
fn the_payments_of_the_full_order() {
    let order = read_single(&full()).expect("readable");
    assert_eq!(
        order.payments,
        [
            Payment {
                id: 1422,
                kind: "bank-card".into(),
                status: Some("paid".into()),
                amount: Kopecks::roubles(1000),
                external_id: Some("shop-pay-981".into()),
                paid_at: Some(civil::date(2024, 5, 16).at(11, 25, 40, 0)),
            },
            Payment {
                id: 1423,
                kind: "cash".into(),
                status: Some("not-paid".into()),
                amount: Kopecks::roubles(3140),
                external_id: None,
                paid_at: None,
            },
        ]
    );
}

#[test]
fn the_delivery_of_the_full_order() {
    let delivery = read_single(&full()).expect("readable").delivery;
    assert_eq!(delivery.code.as_deref(), Some("incity"));
    assert_eq!(delivery.integration_code.as_deref(), Some("measoft-17"));
    assert_eq!(delivery.service.as_deref(), Some("express"));
    assert_eq!(delivery.cost, Kopecks::roubles(350));
    assert_eq!(delivery.vat_rate, VatRate::None);
    assert_eq!(delivery.date, Some(civil::date(2024, 5, 18)));
    assert_eq!(delivery.time.from, Some(civil::time(10, 0, 0, 0)));
    assert_eq!(delivery.time.to, Some(civil::time(18, 0, 0, 0)));
    assert_eq!(delivery.time.custom.as_deref(), Some("лучше после 15"));
    let a = &delivery.address;
    assert_eq!(a.index.as_deref(), Some("119021"));
    assert_eq!((a.region_id, a.city_id, a.street_id), (Some(1_000_000_001), Some(4400), Some(88_121)));
    assert_eq!((a.region.as_deref(), a.city.as_deref()), (Some("Москва"), Some("Москва")));
    assert_eq!((a.street_type.as_deref(), a.street.as_deref()), (Some("ул."), Some("Льва Толстого")));
    assert_eq!(
        (a.building.as_deref(), a.house.as_deref(), a.housing.as_deref(), a.block.as_deref()),
        (Some("16"), Some("1"), Some("2"), Some("2"))
    );
    assert_eq!((a.floor.as_deref(), a.flat.as_deref()), (Some("5"), Some("42")));
    assert_eq!(a.metro.as_deref(), Some("Парк культуры"));
    assert!(a.notes.as_deref().expect("notes").contains("Домофон"));
    assert!(a.text.as_deref().expect("text").contains("под. 2"));
    let data = &delivery.data;
    assert_eq!(data.external_id.as_deref(), Some("ms-17-4817"));
    assert_eq!(data.status.as_deref(), Some("NEW"));
    assert_eq!(data.tariff.as_deref(), Some("express"));
    assert_eq!(data.pickuppoint_id, None);
    assert_eq!(data.packages.len(), 1);
    assert_eq!(data.packages[0].weight, Some(Grams(5400)));
    assert_eq!(data.packages[0].items[0].product.id, Some(3301));
    assert_eq!(data.packages[0].items[0].quantity, Decimal::TWO);
    assert_eq!(data.item_declared_values[1].value, Kopecks::roubles(990));
}

#[test]
fn an_order_whose_maps_are_empty_lists_is_read() {
    let order = read_single(&sample("order-empty-maps.json")["order"]).expect("readable");
    assert_eq!(order.number.as_str(), "4818C");
    assert!(order.payments.is_empty() && order.items.is_empty());
    assert_eq!(order.contragent, None);
    assert_eq!(order.delivery.code, None);
    assert_eq!(order.delivery.address.region_id, None);
    assert_eq!(order.delivery.data, DeliveryData::default());
    assert_eq!(order.total_summ, Kopecks::ZERO);
    assert_eq!(order.weight, None);
}

#[test]
fn payments_are_a_map_here_and_a_list_there() {
    let as_map = read_single(&full()).expect("readable").payments;
    let mut order = full();
    let list: Vec<Value> = order["payments"].as_object().expect("map").values().cloned().collect();
    order["payments"] = Value::from(list);
    assert_eq!(read_single(&order).expect("readable").payments, as_map);
    order["payments"] = json!({"77": {"type": "cash", "amount": "12.5"}});
    let payments = read_single(&order).expect("readable").payments;
    assert_eq!((payments[0].id, payments[0].amount), (77, Kopecks(1250)), "the key is the id");
}

#[test]
fn the_edited_order_and_the_order_of_a_list_read_alike() {
    let single = read_single(&full()).expect("readable");
    let edited = read_single(&sample("order-edit-response.json")["order"]).expect("readable");
    assert_eq!(edited, single);
    let list = read_orders(&sample("orders-list.json")["orders"]).expect("a list");
    assert_eq!(list, [Ok(single)]);
}

#[test]
fn one_unreadable_order_does_not_spoil_the_others() {
    let mut broken = full();
    broken["id"] = json!("4819");
    broken["number"] = json!("1235A");
    broken["items"][1]["quantity"] = json!("штука");
    let list = read_orders(&json!([full(), broken, "nonsense", full()])).expect("a list");
    assert_eq!(list.len(), 4);
    assert!(list[0].is_ok() && list[3].is_ok());
    let error = list[1].as_ref().expect_err("unreadable");
    assert_eq!(error.id, Some(CrmOrderId(4819)));
    assert_eq!(error.to_string(), "order 1235A is unreadable: orders[1].items[1].quantity: a number expected");
    assert!(list[2].is_err());
}

#[test]
fn money_that_cannot_be_read_makes_the_order_unreadable() {
    for (pointer, value) in [
        ("/totalSumm", json!(null)),
        ("/totalSumm", json!("много")),
        ("/prepaySum", json!({"a": 1})),
        ("/payments/1423/amount", json!("много")),
        ("/payments/1423/type", json!("")),
        ("/delivery/cost", json!("free")),
        ("/delivery/date", json!("завтра")),
        ("/items/0/prices/0/price", json!("")),
        ("/items/0/vatRate", json!("?")),
        ("/items/0/isCanceled", json!("maybe")),
    ] {
        let mut order = full();
        *order.pointer_mut(pointer).expect(pointer) = value;
        let error = read_single(&order).expect_err(pointer);
        let path = pointer.rsplit('/').next().expect("name");
        assert!(error.why.path.ends_with(path), "{pointer}: {error}");
    }
}

#[test]
fn a_payment_may_leave_its_amount_out() {
    for value in [json!(null), json!(""), json!(" ")] {
        let mut order = full();
        order["payments"]["1423"]["amount"] = value;
        let order = read_single(&order).expect("readable");
        assert_eq!(order.payment(1423).map(|payment| payment.amount), Some(Kopecks::ZERO));
    }
}

#[test]
fn the_data_block_of_another_service_does_no_harm() {
    let mut order = full();
    order["delivery"]["data"] = json!({"packages": "three", "locked": [1], "externalId": 9, "payerType": "aunt"});
    let data = read_single(&order).expect("readable").delivery.data;
    assert_eq!(data.external_id.as_deref(), Some("9"));
    assert!(data.packages.is_empty());
    order["delivery"]["data"] = json!("gone");
    assert_eq!(read_single(&order).expect("readable").delivery.data, DeliveryData::default());
}

#[test]
fn a_position_without_final_prices_falls_back_to_initial_less_discounts() {
    let mut order = full();
    order["items"][0]["prices"] = json!([]);
    order["items"][0]["initialPrice"] = serde_json::from_str("60.17310053999999").expect("number");
    order["items"][0]["discountTotal"] = json!("0.17");
    let item = &read_single(&order).expect("readable").items[0];
    assert_eq!(item.unit_prices(), Some(vec![ItemPrice { price: Kopecks(6000), quantity: Decimal::TWO }]));
}

#[test]
fn marking_codes_come_as_texts_or_as_objects() {
    let mut order = full();
    order["items"][0]["markingCodes"] = json!(["a\u{1d}b", {"code": "c", "orderMark": 1}, {"x": 1}]);
    assert_eq!(read_single(&order).expect("readable").items[0].marking_codes, ["a\u{1d}b", "c"]);
}

#[test]
fn debug_shows_no_personal_data() {
    let mut value = full();
    value["company"] = json!({"id": 1, "name": "ООО Секрет", "contragent": {"INN": "7700000000"}});
    value["contact"] = value["customer"].clone();
    let debug = format!("{:?}", read_single(&value).expect("readable"));
    for secret in [
        "Петрова",
        "Анна",
        "916",
        "495",
        "anna@",
        "Толстого",
        "Домофон",
        "звонить",
        "Хрупкое",
        "Секрет",
        "7700",
        "dk-7f",
    ] {
        assert!(!debug.contains(secret), "{secret} in {debug}");
    }
    assert!(debug.contains("1234A"));
}

#[test]
fn the_usual_deserialisation_keeps_money_exact() {
    let text = full().to_string().replace("\"totalSumm\":4140", "\"totalSumm\":90071992547409.93");
    let order: Order = serde_json::from_str(&text).expect("readable");
    assert_eq!(order.total_summ, Kopecks(9_007_199_254_740_993));
    let error = serde_json::from_str::<Order>("{\"id\":1}").expect_err("no number").to_string();
    assert!(error.contains("Order.number: a value expected"), "{error}");
}

proptest! {
    #[test]
    fn no_json_makes_the_order_reader_panic(value in crate::retailcrm::samples::any_json()) {
        let _ = read_single(&value);
        let _ = read_orders(&value);
    }

    /// One wild value in an otherwise good order: read or refused, never a panic.
    #[test]
    fn no_field_makes_the_order_reader_panic(value in crate::retailcrm::samples::any_json(), at in 0usize..400) {
        let mut order = full();
        let pointers = crate::retailcrm::samples::pointers(&order);
        let pointer = &pointers[at % pointers.len()];
        *order.pointer_mut(pointer).expect("exists") = value;
        let _ = read_single(&order);
    }
}
