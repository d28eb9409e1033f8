//! The conversion as a specification: each row is an order as RetailCRM shows it and what
//! MeaSoft is told, or why it is told nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::domain::delivery::{CrmWritten, DeliveryState};
use shared::domain::{CrmOrderId, DeliveryId, IntegrationId, IntegrationState, Secret, Secrets, Settings};
use shared::measoft::Account;
use shared::measoft::wire::neworder::write_neworder;
use shared::retailcrm::wire::order::read_single;

use crate::order::reading::payments_mark;
use crate::order::request::*;

/// An order, the settings it is read under, and what came with the trigger.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) order: Value,
    pub(crate) settings: Settings,
    complete: Vec<&'static str>,
    type_cod: Vec<(&'static str, &'static str, Option<bool>)>,
    module_cod: Vec<(&'static str, bool)>,
    cancelling: Vec<&'static str>,
    declared: Option<Kopecks>,
    saved_request: Option<SavedRequest>,
    saved_request_is_current: bool,
}

/// The order of `order-full.json`: two chairs, a marked lamp, a cancelled table, delivery
/// for 350, 1000 of 4140 paid by card.
fn full() -> World {
    let sample = include_str!("../../../../shared/fixtures/retailcrm/order-full.json");
    let sample: Value = serde_json::from_str(sample).expect("the sample is JSON");
    World {
        order: sample["order"].clone(),
        settings: Settings::default(),
        complete: vec!["paid"],
        type_cod: vec![],
        module_cod: vec![],
        cancelling: vec![],
        declared: None,
        saved_request: None,
        saved_request_is_current: true,
    }
}

/// Two chairs at 1400, delivery for 350, all of it to be paid in cash; nothing packed or
/// insured.
pub(crate) fn plain() -> World {
    full()
        .with("/items/2", json!(null))
        .with("/items/1", json!(null))
        .with("/delivery/data/packages", json!([]))
        .with("/delivery/data/itemDeclaredValues", json!([]))
        .with("/prepaySum", json!(0))
        .with("/totalSumm", json!(3150))
        .with("/payments", json!({"1": {"id": 1, "status": "not-paid", "type": "cash", "amount": 3150}}))
}

impl World {
    /// Sets a value of the order; null removes an element of a list.
    pub(crate) fn with(mut self, pointer: &str, value: Value) -> Self {
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        match self.order.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}")) {
            Value::Object(map) => {
                map.insert(key.to_owned(), value);
            }
            Value::Array(list) if value.is_null() => {
                list.remove(key.parse().expect("an index"));
            }
            Value::Array(list) => list[key.parse::<usize>().expect("an index")] = value,
            _ => panic!("{pointer}"),
        }
        self
    }

    /// `"cash 3150, bank-card paid 1000"`
    fn payments(self, rows: &str) -> Self {
        let mut payments = serde_json::Map::new();
        for (index, row) in rows.split(", ").filter(|row| !row.is_empty()).enumerate() {
            let words: Vec<&str> = row.split(' ').collect();
            let status = if words.len() == 3 { words[1] } else { "not-paid" };
            let amount: Value = serde_json::from_str(words[words.len() - 1]).expect("an amount");
            let id = index + 1;
            payments.insert(id.to_string(), json!({"id": id, "type": words[0], "status": status, "amount": amount}));
        }
        self.with("/payments", Value::Object(payments))
    }

    fn total(self, sum: i64) -> Self {
        self.with("/totalSumm", json!(sum))
    }

    fn prepaid(self, sum: i64) -> Self {
        self.with("/prepaySum", json!(sum))
    }

    pub(crate) fn set(mut self, key: &str, value: &str) -> Self {
        self.settings.set(key, value).expect("a setting");
        self
    }

    fn type_says(mut self, payment_type: &'static str, cod: bool) -> Self {
        self.type_cod.push(("incity", payment_type, Some(cod)));
        self
    }

    fn module_says(mut self, payment_type: &'static str, cod: bool) -> Self {
        self.module_cod.push((payment_type, cod));
        self
    }

    fn declared(mut self, roubles: i64) -> Self {
        self.declared = Some(Kopecks::roubles(roubles));
        self
    }

    fn saved_request(mut self, saved_request: SavedRequest) -> Self {
        self.saved_request = Some(saved_request);
        self
    }

    pub(crate) fn convert(&self) -> Result<Desired, GiveUp> {
        let order = read_single(&self.order).expect("a readable order");
        self.convert_order(&order)
    }

    fn convert_order(&self, order: &Order) -> Result<Desired, GiveUp> {
        let references =
            References::with(&self.complete, &self.type_cod, &self.module_cod).with_cancelling(&self.cancelling);
        let saved_request = self.saved_request.clone().map(|mut saved_request| {
            if self.saved_request_is_current {
                saved_request.payments_mark = payments_mark(order);
            }
            serde_json::to_string(&saved_request).expect("an overlay serialises")
        });
        desired(order, &integration(&self.settings), &references, self.declared, &delivery(saved_request))
    }
}

pub(crate) fn integration(settings: &Settings) -> Integration {
    let secret = || Secret::new("-");
    Integration {
        id: IntegrationId(17),
        title: "Магазин".to_owned(),
        crm_url: "https://shop.retailcrm.ru".to_owned(),
        crm_proof: None,
        measoft_url: "https://home.courierexe.ru/api/".to_owned(),
        extra: "8".to_owned(),
        login: "shop-demo".to_owned(),
        prefix: String::new(),
        settings: settings.clone(),
        secrets: Secrets { crm_api_key: secret(), password: secret(), delivery_api_key: secret(), client_id: secret() },
        state: IntegrationState::Active,
        version: 1,
        created_at: Timestamp::UNIX_EPOCH,
    }
}

pub(crate) fn delivery(saved_request: Option<String>) -> Delivery {
    Delivery {
        id: DeliveryId(1),
        integration: IntegrationId(17),
        crm_order: CrmOrderId(4817),
        number: "1234A".to_owned(),
        site: String::new(),
        delivery_type: "incity".to_owned(),
        orderno: OrderNo::known("1234A"),
        ordercode: None,
        generation: 1,
        state: DeliveryState::Planned,
        status: None,
        status_at: None,
        status_seen_at: None,
        cancelled_by_us: false,
        sent_hash: None,
        sending_hash: None,
        sending: None,
        sent_at: None,
        price: None,
        item_codes: BTreeMap::new(),
        saved_request,
        crm_written: CrmWritten::default(),
        reject_reason: None,
        requests: 0,
        fence: 1,
        prior_fence: 0,
        created_at: Timestamp::UNIX_EPOCH,
    }
}

/// The money of a conversion in one line, as the tables below write it:
/// `3150.00 CASH; 3301 2×1400.00 vat 20; fee 350.00 vat 0`.
fn money_line(converted: &Result<Desired, GiveUp>) -> String {
    let desired = match converted {
        Ok(desired) => desired,
        Err(give_up) if give_up.detail.is_empty() => return format!("refused: {}", give_up.reason),
        Err(give_up) => return format!("refused: {} ({})", give_up.reason, give_up.detail),
    };
    let order = &desired.order;
    let mut said = vec![format!("{} {}", desired.collect, order.paytype.as_str())];
    if let Some(price) = order.price {
        said.push(format!("price {price}"));
    }
    for item in &order.items {
        let mut line = format!("{} {}×{}", item.extcode, item.quantity, item.retprice);
        if let Some(vat) = item.vat {
            line.push_str(&format!(" vat {vat}"));
        }
        if item.kind != ItemKind::Goods {
            line.push_str(&format!(" type {}", item.kind.code()));
        }
        if let Some(value) = item.inshprice {
            line.push_str(&format!(" insured {value}"));
        }
        if let Some(code) = &item.government_code {
            line.push_str(&format!(" mark {code}"));
        }
        said.push(line);
    }
    if let Some(fee) = order.delivery_price {
        said.push(format!("fee {} vat {}", fee.sum, fee.vat));
    }
    if let Some(declared) = order.declared {
        said.push(format!("declared {declared}"));
    }
    said.join("; ")
}

fn in_status(mut item: Value, status: &str) -> Value {
    item["status"] = json!(status);
    item
}

pub(crate) fn item(id: i64, price: &str, quantity: &str) -> Value {
    let price: Value = serde_json::from_str(price).expect("a price");
    let quantity: Value = serde_json::from_str(quantity).expect("a quantity");
    json!({
        "id": id, "productName": "Вещь", "initialPrice": price, "discountTotal": 0, "vatRate": "none",
        "prices": [{"price": price, "quantity": quantity}], "quantity": quantity, "isCanceled": false,
    })
}

#[test]
fn the_money_and_the_lines_of_an_order() {
    const CHAIRS: &str = "3301 2×1400.00 vat 20; fee 350.00 vat 0";
    let with_chairs = |head: &str| format!("{head}; {CHAIRS}");
    let with_prepayment =
        |head: &str, paid: &str| format!("{head}; 3301 2×1400.00 vat 20; prepay 1×-{paid} type 4; fee 350.00 vat 0");
    let cases: Vec<(&str, World, String)> = vec![
        // What is collected.
        ("unpaid cash is collected in cash", plain(), with_chairs("3150.00 CASH")),
        (
            "an unpaid card payment is collected by card",
            plain().payments("bank-card 3150"),
            with_chairs("3150.00 CARD"),
        ),
        ("paid: nothing is collected", plain().payments("cash paid 3150").prepaid(3150), with_chairs("0.00 NO")),
        ("to be paid on the site: not collected on delivery", plain().payments("e-money 3150"), with_chairs("0.00 NO")),
        (
            "partly prepaid: the rest is collected, the paid part is a prepayment line",
            plain().payments("bank-card paid 1000, cash 2150").prepaid(1000),
            with_prepayment("2150.00 CASH", "1000.00"),
        ),
        (
            "paid partly at the door and partly on the site before: only what is left",
            plain().payments("e-money paid 3000, cash 150").prepaid(3000),
            with_prepayment("150.00 CASH", "3000.00"),
        ),
        (
            "overpaid: nothing is collected",
            plain().payments("bank-card paid 5000").prepaid(5000),
            with_chairs("0.00 NO"),
        ),
        (
            "paid in full with an unpaid row left over: nothing is collected",
            plain().payments("bank-card paid 3150, cash 3150").prepaid(3150),
            with_chairs("0.00 NO"),
        ),
        (
            "two payments at the door: the sum, in the larger one's way",
            plain().payments("cash 1000, bank-card 2150"),
            with_chairs("3150.00 CARD"),
        ),
        (
            "two payments at the door, cash the larger",
            plain().payments("cash 2000, bank-card 1150"),
            with_chairs("3150.00 CASH"),
        ),
        (
            "a payment of nothing changes nothing",
            plain().payments("bank-card 0, cash 3150"),
            with_chairs("3150.00 CASH"),
        ),
        ("a row at the door without an amount takes the rest", plain().payments("cash 0"), with_chairs("3150.00 CASH")),
        (
            "an amount may be null, blank or left out",
            plain().with(
                "/payments",
                json!([
                    {"id": 1, "type": "cash", "amount": null}, {"id": 2, "type": "cash", "amount": " "},
                    {"id": 3, "type": "bank-card", "status": "not-paid"},
                ]),
            ),
            with_chairs("3150.00 CASH"),
        ),
        (
            "a payment without a status is unpaid",
            plain().with("/payments", json!([{"id": 1, "type": "cash", "amount": "3150.00"}])),
            with_chairs("3150.00 CASH"),
        ),
        (
            "a shop's own status counts as paid when its reference says so",
            World { complete: vec!["oplachen"], ..plain().payments("cash oplachen 3150").prepaid(3150) },
            with_chairs("0.00 NO"),
        ),
        (
            "«paid» is not paid when the reference does not say so",
            World { complete: vec!["oplachen"], ..plain().payments("cash paid 3150") },
            with_chairs("3150.00 CASH"),
        ),
        // Which payment types are cash on delivery.
        (
            "the delivery type says a type is cash on delivery",
            plain().payments("sbp 3150").type_says("sbp", true),
            with_chairs("3150.00 CASH"),
        ),
        ("the delivery type says cash is not collected", plain().type_says("cash", false), with_chairs("0.00 NO")),
        (
            "the module's ticks beat the delivery type: not collected",
            plain().type_says("cash", true).module_says("cash", false),
            with_chairs("0.00 NO"),
        ),
        (
            "the module's ticks alone decide: what they do not name is not collected",
            plain().type_says("cash", true).module_says("bank-card", true),
            with_chairs("0.00 NO"),
        ),
        (
            "what the module does not name is for the delivery type while nothing is ticked",
            plain().payments("sbp 3150").type_says("sbp", true).module_says("cash", false),
            with_chairs("3150.00 CASH"),
        ),
        (
            "a shop's own type of which RetailCRM says nothing is not guessed",
            plain().payments("kurier 3150"),
            "refused: payment_type_unclear («kurier»; total 3150.00 - paid 0.00 - to be paid online 0.00 = 3150.00, \
             to collect 0.00)"
                .to_owned(),
        ),
        (
            "a shop's own type that is mapped is collected as the map says",
            plain().payments("kurier 3150").set("paytype_map.kurier", "CARD"),
            with_chairs("3150.00 CARD"),
        ),
        (
            "the module's settings beat the delivery type: collected",
            plain().payments("sbp 3150").type_says("sbp", false).module_says("sbp", true),
            with_chairs("3150.00 CASH"),
        ),
        (
            "another delivery type's settings do not count",
            World { type_cod: vec![("outcity", "cash", Some(false))], ..plain() },
            with_chairs("3150.00 CASH"),
        ),
        (
            "the map says how a type is paid",
            plain().payments("sbp 3150").type_says("sbp", true).set("paytype_map.sbp", "CARD"),
            with_chairs("3150.00 CARD"),
        ),
        (
            "the map says another way of paying",
            plain().payments("sbp 3150").type_says("sbp", true).set("paytype_map.sbp", "OTHER"),
            with_chairs("3150.00 OTHER"),
        ),
        ("a type mapped to NO is not collected", plain().set("paytype_map.cash", "NO"), with_chairs("0.00 NO")),
        // No payment at all.
        ("no payment row: the whole sum in cash", plain().payments(""), with_chairs("3150.00 CASH")),
        (
            "no payment row, setting «nothing»",
            plain().payments("").set("no_payment", "nothing"),
            with_chairs("0.00 NO"),
        ),
        (
            "no payment row, setting «refuse»",
            plain().payments("").set("no_payment", "refuse"),
            "refused: no_payment".to_owned(),
        ),
        (
            "no payment row and nothing to pay",
            plain().payments("").total(0).with("/items", json!([item(1, "0", "1")])).with("/delivery/cost", json!(0)),
            "0.00 NO; 1 1×0.00 vat 0".to_owned(),
        ),
        // The vendor's documented behaviour.
        (
            "as the vendor: an order to be paid on the site is collected",
            plain().payments("e-money 3150").set("cod_policy", "as_vendor"),
            with_chairs("3150.00 CASH"),
        ),
        (
            "as the vendor: the total less what was prepaid",
            plain().payments("e-money paid 1000, bank-card 2150").prepaid(1000).set("cod_policy", "as_vendor"),
            with_prepayment("2150.00 CARD", "1000.00"),
        ),
        (
            "as the vendor: payments that do not cover the total do not matter",
            plain().payments("cash 10").set("cod_policy", "as_vendor"),
            with_chairs("3150.00 CASH"),
        ),
        (
            "as the vendor: a type mapped to NO is handed over all the same",
            plain().set("cod_policy", "as_vendor").set("paytype_map.cash", "NO"),
            with_chairs("3150.00 CASH"),
        ),
        (
            "as the vendor: overpaid is nothing, not less than nothing",
            plain().payments("cash paid 5000").prepaid(5000).set("cod_policy", "as_vendor"),
            with_chairs("0.00 NO"),
        ),
        // What does not add up is refused.
        (
            "payments that ask for less than is left",
            plain().payments("cash 3000"),
            "refused: sum_mismatch (total 3150.00 - paid 0.00 - to be paid online 0.00 = 3150.00, to collect 3000.00)"
                .to_owned(),
        ),
        (
            "payments that ask for more than is left",
            plain().payments("bank-card paid 1000, cash 3150").prepaid(1000),
            "refused: sum_mismatch (total 3150.00 - paid 1000.00 - to be paid online 0.00 = 2150.00, to collect 3150.00)"
                .to_owned(),
        ),
        (
            "half at the door, half on the site: the site's half is shown as paid before",
            plain().payments("cash 2000, e-money 1150"),
            with_prepayment("2000.00 CASH", "1150.00"),
        ),
        (
            "one kopeck is a difference",
            plain().payments("cash 3150.01"),
            "refused: sum_mismatch (total 3150.00 - paid 0.00 - to be paid online 0.00 = 3150.00, to collect 3150.01)"
                .to_owned(),
        ),
        (
            "what no payment covers is collected",
            plain().payments("e-money 1"),
            with_prepayment("3149.00 CASH", "1.00"),
        ),
        (
            "lines that do not come to the total are refused although nothing is collected",
            plain().total(3000).payments("cash paid 3000").prepaid(3000),
            "refused: sum_mismatch (goods 2800.00 + delivery 350.00 = 3150.00, total 3000.00)".to_owned(),
        ),
        (
            "an order in another currency",
            plain().with("/currency", json!("USD")),
            "refused: wrong_currency (USD, not RUB)".to_owned(),
        ),
        (
            "an order in the integration's own currency",
            plain().with("/currency", json!("KZT")).set("currency", "kzt"),
            with_chairs("3150.00 CASH"),
        ),
        // Lines.
        (
            "the full order: a prepayment, a marked lamp, a cancelled table, declared values",
            full(),
            "3140.00 CASH; 3301 2×1400.00 vat 20 insured 1400.00; \
             3302 1×990.00 vat 0 insured 990.00 mark 0104600000000017215abcDEF93Zx1y; \
             prepay 1×-1000.00 type 4; fee 350.00 vat 0; declared 3790.00"
                .to_owned(),
        ),
        (
            "a free delivery is no fee",
            plain().with("/delivery/cost", json!(0)).total(2800).payments("cash 2800"),
            "2800.00 CASH; 3301 2×1400.00 vat 20".to_owned(),
        ),
        (
            "a delivery with VAT",
            plain().with("/delivery/vatRate", json!("20.00")),
            "3150.00 CASH; 3301 2×1400.00 vat 20; fee 350.00 vat 20".to_owned(),
        ),
        (
            "no positions: the sum goes as the price",
            plain().with("/items", json!([])).total(350).payments("cash 350"),
            "350.00 CASH; price 350.00".to_owned(),
        ),
        (
            "all positions cancelled: as if there were none",
            plain().with("/items/0/isCanceled", json!(true)).total(350).payments("cash 350"),
            "350.00 CASH; price 350.00".to_owned(),
        ),
        (
            "all positions cancelled and the payment not lowered: no empty parcel collects the goods' price",
            plain().with("/items/0/isCanceled", json!(true)).total(350),
            "refused: sum_mismatch (total 350.00 - paid 0.00 - to be paid online 0.00 = 350.00, to collect 3150.00)"
                .to_owned(),
        ),
        (
            "all positions cancelled, total and payment left as they were",
            plain().with("/items/0/isCanceled", json!(true)),
            "refused: sum_mismatch (goods 0.00 + delivery 350.00 = 350.00, total 3150.00)".to_owned(),
        ),
        (
            "all positions cancelled and nothing to pay: nothing to send",
            plain()
                .with("/items/0/isCanceled", json!(true))
                .with("/delivery/cost", json!(0))
                .total(0)
                .payments(""),
            "refused: nothing_to_send".to_owned(),
        ),
        (
            "a position in a cancelling status is left out although it does not say that it is cancelled",
            World { cancelling: vec!["no-goods"], ..plain() }
                .with("/items", json!([item(1, "1000", "1"), in_status(item(2, "700", "1"), "no-goods")]))
                .total(1350)
                .payments("cash 1350"),
            "1350.00 CASH; 1 1×1000.00 vat 0; fee 350.00 vat 0".to_owned(),
        ),
        (
            "no positions and partly prepaid: no line to hold the prepayment",
            plain().with("/items", json!([])).total(350).prepaid(100).payments("cash 250, bank-card paid 100"),
            "250.00 CASH; price 250.00".to_owned(),
        ),
        (
            "a fractional quantity is one line at its total",
            plain()
                .with("/items", json!([item(7, "100", "0.333")]))
                .with("/totalSumm", json!("383.30"))
                .payments("cash 383.30"),
            "383.30 CASH; 7 1×33.30 vat 0; fee 350.00 vat 0".to_owned(),
        ),
        (
            "three pieces whose price has more than kopecks: the remainder goes to one of them",
            plain()
                .with("/items", json!([item(7, "33.335", "3")]))
                .with("/totalSumm", json!("450.01"))
                .payments("cash 450.01"),
            "450.01 CASH; 7 2×33.34 vat 0; 7-r 1×33.33 vat 0; fee 350.00 vat 0".to_owned(),
        ),
        (
            "one and a half pieces at a price that does not divide",
            plain()
                .with("/items", json!([item(7, "33.33", "1.5")]))
                .with("/totalSumm", json!("399.99"))
                .payments("cash 399.99"),
            "399.99 CASH; 7 1×49.99 vat 0; fee 350.00 vat 0".to_owned(),
        ),
        (
            "a discount per unit that does not divide, in the other direction",
            plain()
                .with("/items", json!([item(7, "66.66", "3"), item(8, "10", "1")]))
                .with("/totalSumm", json!("560"))
                .payments("cash 560"),
            "560.00 CASH; 7 3×66.66 vat 0; 8 1×10.02 vat 0; fee 350.00 vat 0".to_owned(),
        ),
        (
            "more than a kopeck a piece is no rounding",
            plain()
                .with("/items", json!([item(7, "33.33", "3")]))
                .with("/totalSumm", json!("450.03"))
                .payments("cash 450.03"),
            "refused: sum_mismatch (goods 99.99 + delivery 350.00 = 449.99, total 450.03)".to_owned(),
        ),
        (
            "several prices are several lines",
            plain()
                .with("/items/0/prices", json!([{"price": 33.34, "quantity": 1}, {"price": "33.33", "quantity": 2}]))
                .with("/items/0/quantity", json!(3))
                .total(450)
                .payments("cash 450.00"),
            "450.00 CASH; 3301 1×33.34 vat 20; 3301-2 2×33.33 vat 20; fee 350.00 vat 0".to_owned(),
        ),
        (
            "one price stands for the whole position, whatever its own quantity says",
            plain().with("/items/0/prices/0/quantity", json!(1)),
            with_chairs("3150.00 CASH"),
        ),
        (
            "a price for no pieces is no line",
            plain().with("/items/0/prices", json!([{"price": 1400, "quantity": 2}, {"price": 5, "quantity": 0}])),
            with_chairs("3150.00 CASH"),
        ),
        (
            "without final prices: initial less discounts",
            plain().with("/items/0/prices", json!([])),
            with_chairs("3150.00 CASH"),
        ),
        (
            "no price of any kind",
            plain().with("/items/0/prices", json!([])).with("/items/0/initialPrice", json!(null)),
            "refused: bad_sum (position 3301)".to_owned(),
        ),
        (
            "a price for minus one piece",
            plain().with("/items/0/prices", json!([{"price": 1400, "quantity": 3}, {"price": 1400, "quantity": -1}])),
            "refused: bad_sum (position 3301)".to_owned(),
        ),
        (
            "a position of minus one piece",
            plain().with("/items/0/quantity", json!(-1)),
            "refused: bad_sum (position 3301)".to_owned(),
        ),
        (
            "a position of no pieces is no line",
            full().with("/items/2", item(8, "5", "0")),
            "3140.00 CASH; 3301 2×1400.00 vat 20 insured 1400.00; \
             3302 1×990.00 vat 0 insured 990.00 mark 0104600000000017215abcDEF93Zx1y; \
             prepay 1×-1000.00 type 4; fee 350.00 vat 0; declared 3790.00"
                .to_owned(),
        ),
        (
            "more pieces than a line can hold",
            plain().with("/items/0/quantity", json!(5_000_000_000_i64)),
            "refused: bad_sum (position 3301)".to_owned(),
        ),
        (
            "a sum beyond all reason",
            plain().with("/items/0/quantity", json!(4_000_000_000_i64)).with("/items/0/prices/0/price", json!(1e14)),
            "refused: bad_sum (too large)".to_owned(),
        ),
        (
            "a discount beyond all reason",
            plain()
                .with("/items/0/prices", json!([]))
                .with("/items/0/initialPrice", json!("79228162514264337593543950335"))
                .with("/items/0/discountTotal", json!("-79228162514264337593543950335")),
            "refused: bad_sum (position 3301)".to_owned(),
        ),
        // VAT is always said.
        (
            "VAT of the offer when the position says nothing",
            plain().with("/items/0/vatRate", json!(null)).with("/items/0/offer/vatRate", json!("10")),
            "3150.00 CASH; 3301 2×1400.00 vat 10; fee 350.00 vat 0".to_owned(),
        ),
        (
            "«none» on the position beats the offer's rate",
            plain().with("/items/0/vatRate", json!("none")),
            "3150.00 CASH; 3301 2×1400.00 vat 0; fee 350.00 vat 0".to_owned(),
        ),
        (
            "no rate anywhere is the setting, as is «none»",
            plain()
                .with("/items/0/vatRate", json!(""))
                .with("/items/0/offer/vatRate", json!(null))
                .set("vat_none", "5"),
            "3150.00 CASH; 3301 2×1400.00 vat 5; fee 350.00 vat 5".to_owned(),
        ),
        // Marking codes.
        (
            "each marking code is a line of one, the rest a line of its own",
            plain()
                .with("/items/0/markingCodes", json!(["01\u{1d}A\"<&", {"code": "02B"}]))
                .with("/items/0/quantity", json!(5))
                .total(7350)
                .payments("cash 7350"),
            "7350.00 CASH; 3301 1×1400.00 vat 20 mark 01A\"<&; 3301-2 1×1400.00 vat 20 mark 02B; \
             3301-3 3×1400.00 vat 20; fee 350.00 vat 0"
                .to_owned(),
        ),
        (
            "more codes than pieces: as many lines as pieces",
            plain().with("/items/0/markingCodes", json!(["a", "b", "c"])),
            "3150.00 CASH; 3301 1×1400.00 vat 20 mark a; 3301-2 1×1400.00 vat 20 mark b; fee 350.00 vat 0".to_owned(),
        ),
        (
            "a code of nothing but control characters is none",
            plain().with("/items/0/markingCodes", json!(["\u{1d}"])),
            with_chairs("3150.00 CASH"),
        ),
        // Declared value.
        ("the trigger's declared value", plain().declared(2800), with_chairs("3150.00 CASH") + "; declared 2800.00"),
        (
            "declared values of the positions beat the trigger's",
            plain()
                .declared(1)
                .with("/delivery/data/itemDeclaredValues", json!([{"orderProduct": {"id": 3301}, "value": 1300}])),
            "3150.00 CASH; 3301 2×1400.00 vat 20 insured 1300.00; fee 350.00 vat 0; declared 2600.00".to_owned(),
        ),
        (
            "a position may be named by its external id",
            plain().with(
                "/delivery/data/itemDeclaredValues",
                json!([{"orderProduct": {"externalIds": [{"code": "default", "value": "pos-3301"}]}, "value": 1300}]),
            ),
            "3150.00 CASH; 3301 2×1400.00 vat 20 insured 1300.00; fee 350.00 vat 0; declared 2600.00".to_owned(),
        ),
        (
            "cancelled positions are not insured",
            full().with(
                "/delivery/data/itemDeclaredValues",
                json!([{"orderProduct": {"id": 3303}, "value": 4200}, {"orderProduct": {"id": 3302}, "value": 990}]),
            ),
            "3140.00 CASH; 3301 2×1400.00 vat 20; \
             3302 1×990.00 vat 0 insured 990.00 mark 0104600000000017215abcDEF93Zx1y; \
             prepay 1×-1000.00 type 4; fee 350.00 vat 0; declared 990.00"
                .to_owned(),
        ),
        // What only the save callback knew.
        (
            "the callback's sum to collect stands while the payments stand",
            plain().payments("sbp 3150").saved_request(SavedRequest {
                collect: Some(Kopecks::roubles(3150)),
                cod_type: Some("bank-card".to_owned()),
                declared: Some(Kopecks::roubles(2800)),
                ..SavedRequest::default()
            }),
            with_chairs("3150.00 CARD") + "; declared 2800.00",
        ),
        (
            "a changed payment undoes the callback's sum",
            World {
                saved_request_is_current: false,
                ..plain()
                    .payments("cash paid 3150")
                    .prepaid(3150)
                    .saved_request(SavedRequest { collect: Some(Kopecks::roubles(3150)), ..SavedRequest::default() })
            },
            with_chairs("0.00 NO"),
        ),
        (
            "the callback says that nothing is collected, and nothing is left to pay",
            plain()
                .payments("e-money 3150")
                .saved_request(SavedRequest { collect: Some(Kopecks::ZERO), ..SavedRequest::default() }),
            with_chairs("0.00 NO"),
        ),
        (
            "the callback says that nothing is collected, the payments that all is",
            plain().saved_request(SavedRequest { collect: Some(Kopecks::ZERO), ..SavedRequest::default() }),
            "refused: cod_mismatch (total 3150.00 - paid 0.00 - to be paid online 0.00 = 3150.00, \
             to collect 3150.00, RetailCRM says 0.00)"
                .to_owned(),
        ),
        (
            "the callback says nothing about a sum: the payments decide",
            plain().saved_request(SavedRequest { collect: None, ..SavedRequest::default() }),
            with_chairs("3150.00 CASH"),
        ),
        (
            "a declared value of nothing is said, on order and lines alike",
            plain().saved_request(SavedRequest { declared: Some(Kopecks::ZERO), ..SavedRequest::default() }),
            "3150.00 CASH; 3301 2×1400.00 vat 20 insured 0.00; fee 350.00 vat 0; declared 0.00".to_owned(),
        ),
        (
            "the callback's sum to collect is checked too",
            plain().saved_request(SavedRequest { collect: Some(Kopecks::roubles(4000)), ..SavedRequest::default() }),
            "refused: cod_mismatch (total 3150.00 - paid 0.00 - to be paid online 0.00 = 3150.00, to collect 3150.00, \
             RetailCRM says 4000.00)"
                .to_owned(),
        ),
    ];
    let mut wrong = Vec::new();
    for (name, world, expected) in &cases {
        let found = money_line(&world.convert());
        if found != *expected {
            wrong.push(format!("{name}\n  expected {expected}\n  found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn field(desired: &Desired, name: &str) -> String {
    let order = &desired.order;
    let receiver = &order.receiver;
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    match name {
        "phone" => text(&receiver.phone),
        "person" => text(&receiver.person),
        "company" => text(&receiver.company),
        "inn" => text(&receiver.inn),
        "town" => text(&receiver.town),
        "zipcode" => text(&receiver.zipcode),
        "country" => text(&receiver.country),
        "address" => text(&receiver.address),
        "pvz" => text(&receiver.pvz),
        "when" => format!("{} {}-{}", text(&receiver.date), text(&receiver.time_min), text(&receiver.time_max)),
        "instruction" => text(&order.instruction),
        "service" => text(&order.service),
        "sender" => {
            order.sender.as_ref().map_or("-".to_owned(), |s| format!("{} {}", text(&s.company), text(&s.phone)))
        }
        "weight" => order.weight.map_or("-".to_owned(), Grams::kilograms),
        "places" => order.places.map_or("-".to_owned(), |n| n.to_string()),
        "packages" => {
            let cm = |mm: Option<Millimetres>| mm.map_or("-".to_owned(), |mm| mm.centimetres().to_string());
            let one = |p: &Package| {
                let mass = p.mass.map_or("-".to_owned(), Grams::kilograms);
                format!("{mass} kg {}×{}×{}", cm(p.length), cm(p.width), cm(p.height))
            };
            order.packages.iter().map(one).collect::<Vec<_>>().join(", ")
        }
        "names" => order.items.iter().map(|item| item.name.as_str()).collect::<Vec<_>>().join(", "),
        "articles" => order.items.iter().map(|item| text(&item.text_article)).collect::<Vec<_>>().join(", "),
        "barcodes" => order.items.iter().map(|item| text(&item.barcode)).collect::<Vec<_>>().join(", "),
        other => panic!("no field {other}"),
    }
}

#[test]
fn who_where_and_how_heavy() {
    let phones = |phone: Value| plain().with("/phone", phone).with("/additionalPhone", json!(null));
    let nobody = || plain().with("/firstName", json!("")).with("/lastName", json!("")).with("/patronymic", json!(null));
    let address = |value: Value| plain().with("/delivery/address", value);
    let town = |city: &str, word: &str| address(json!({"city": city, "cityType": word, "text": "д. 1"}));
    let weightless = || {
        plain()
            .with("/weight", json!(0))
            .with("/length", json!(0))
            .with("/width", json!(null))
            .with("/height", json!(""))
    };
    let cases: Vec<(&str, World, &str, &str)> = vec![
        // Phones.
        ("both phones, normalised", plain(), "phone", "+79160001122, +74950001122"),
        ("an eight in front", phones(json!("8 (916) 000-11-22")), "phone", "+79160001122"),
        ("an extension is left out", phones(json!("8 495 000-11-22 доб. 155")), "phone", "+74950001122"),
        (
            "two phones in one field",
            phones(json!("89160001122; +7 495 000 11 22")),
            "phone",
            "+79160001122, +74950001122",
        ),
        ("an extension behind a hash is not dialled", phones(json!("+7 495 000-11-22 #155")), "phone", "+74950001122"),
        (
            "an extension goes to the courier",
            phones(json!("8 (495) 000-11-22 вн. 155")),
            "instruction",
            "Не звонить до 10 утра; Домофон 42К, звонить заранее; лучше после 15; тел. +74950001122 вн. 155",
        ),
        (
            "what stands beside either phone goes to the courier",
            phones(json!("89160001122 звонить до 18, 89260003344 Анна")).with("/customerComment", json!("")),
            "instruction",
            "Домофон 42К, звонить заранее; лучше после 15; тел. +79160001122 звонить до 18; тел. +79260003344 Анна",
        ),
        (
            "two phones with a space between",
            phones(json!("89160001122 89260003344")),
            "phone",
            "+79160001122, +79260003344",
        ),
        ("two phones with «и»", phones(json!("89160001122 и 89260003344")), "phone", "+79160001122, +79260003344"),
        (
            "a number written as in the order's country",
            phones(json!("8 029 123-45-67")).with("/delivery/address/countryIso", json!("BY")),
            "phone",
            "+375291234567",
        ),
        (
            "without a country it is Russia's way",
            phones(json!("8 916 000-11-22")).with("/delivery/address/countryIso", json!(null)),
            "phone",
            "+79160001122",
        ),
        ("a phone as a number", phones(json!(79_160_001_122_u64)), "phone", "+79160001122"),
        ("a foreign phone", phones(json!("+998 90 123-45-67")), "phone", "+998901234567"),
        ("the same phone twice is one", phones(json!("+79160001122, 8 916 000 11 22")), "phone", "+79160001122"),
        ("no phone in the order: the customer's", phones(json!("нет")), "phone", "+79160001122, +74950001122"),
        (
            "the contact's phone comes before its company's",
            phones(json!("")).with("/contact", json!({"phones": [{"number": "8 903 111-22-33"}]})),
            "phone",
            "+79031112233, +79160001122, +74950001122",
        ),
        ("no phone at all", phones(json!("")).with("/customer/phones", json!([])), "phone", "refused: bad_phone"),
        (
            "what is too short is no phone",
            phones(json!("12-34-56")).with("/customer/phones", json!([{"number": "02"}])),
            "phone",
            "refused: bad_phone",
        ),
        // People.
        ("last name first", plain(), "person", "Петрова Анна Сергеевна"),
        ("an order without a name: the customer's", nobody(), "person", "Петрова Анна Сергеевна"),
        ("nobody at all", nobody().with("/customer", json!({"phones": []})), "person", "refused: no_receiver"),
        (
            "a company is received by its contact",
            nobody()
                .with("/customer", json!({"type": "customer_corporate", "nickName": "ООО Ромашка"}))
                .with("/contact", json!({"firstName": "Иван", "lastName": "Серов"}))
                .with("/company", json!({"name": "ООО Ромашка", "contragent": {"INN": "7700000000"}})),
            "person",
            "Серов Иван",
        ),
        ("the company's name", plain().with("/company", json!({"name": "ООО Ромашка"})), "company", "ООО Ромашка"),
        (
            "the company's tax number",
            plain().with("/company", json!({"name": "ООО Ромашка", "contragent": {"INN": "7700000000"}})),
            "inn",
            "7700000000",
        ),
        (
            "the legal name of the payer",
            plain()
                .with("/contragent", json!({"contragentType": "legal-entity", "legalName": "ИП Серов", "INN": "77"})),
            "company",
            "ИП Серов",
        ),
        ("an individual is no company", plain().with("/contragent/legalName", json!("Анна")), "company", "-"),
        (
            "a company without a person is a receiver",
            nobody().with("/customer", json!({"type": "customer_corporate", "nickName": "ООО Ромашка"})),
            "company",
            "ООО Ромашка",
        ),
        (
            "a company's name is not a person's",
            nobody().with("/customer", json!({"type": "customer_corporate", "nickName": "ООО Ромашка"})),
            "person",
            "-",
        ),
        // Towns (measoft-api.md §16.5).
        ("a city with its type", plain(), "town", "Москва город"),
        ("a city whose name ends like its type", town("Белгород", "г."), "town", "Белгород город"),
        ("Новгород too", town("Нижний Новгород", "г"), "town", "Нижний Новгород город"),
        ("a type that is there already", town("Химки город", "г."), "town", "Химки город"),
        ("a village", town("Петровское", "с."), "town", "Петровское село"),
        ("a settlement", town("Лесной", "пгт"), "town", "Лесной пгт"),
        ("an unknown type is left out", town("Лесной", "нп"), "town", "Лесной"),
        ("no type", address(json!({"city": "Химки", "text": "д. 1"})), "town", "Химки"),
        ("a type word before the name", address(json!({"city": "г. Москва", "text": "д. 1"})), "town", "Москва город"),
        ("a type word twice", town("г Москва", "г."), "town", "Москва город"),
        (
            "a short form there is only one town for",
            address(json!({"city": "СПб", "text": "д. 1"})),
            "town",
            "Санкт-Петербург город",
        ),
        (
            "a federal city with its type word before",
            address(json!({"region": "г Москва", "text": "д. 1"})),
            "town",
            "Москва город",
        ),
        (
            "a federal city as the region only",
            address(json!({"region": "Москва г.", "text": "д. 1"})),
            "town",
            "Москва город",
        ),
        ("a region is no town", address(json!({"region": "Московская обл.", "text": "д. 1"})), "town", "-"),
        ("the country", plain(), "country", "RU"),
        ("the index", plain(), "zipcode", "119021"),
        // Addresses.
        (
            "the address in words",
            plain(),
            "address",
            "ул. Льва Толстого, д. 16, корп. 2, стр. 1, под. 2, эт. 5, кв. 42, м. Парк культуры",
        ),
        (
            "the address from its parts: `house` is the строение",
            plain().with("/delivery/address/text", json!("")),
            "address",
            "ул. Льва Толстого, д. 16, корп. 2, стр. 1, под. 2, эт. 5, кв. 42, м. Парк культуры",
        ),
        (
            "line breaks in an address",
            plain().with("/delivery/address/text", json!("ул. Мира,\r\n д. 1")),
            "address",
            "ул. Мира, д. 1, м. Парк культуры",
        ),
        ("no address", address(json!({"city": "Москва"})), "address", "refused: no_address"),
        ("a pick-up point", plain().with("/delivery/data/pickuppointId", json!("MSK12")), "pvz", "MSK12"),
        (
            "a pick-up point is address enough",
            address(json!({"city": "Москва"})).with("/delivery/data/pickuppointId", json!("MSK12")),
            "address",
            "MSK12",
        ),
        (
            "the callback's pick-up point beats the order's",
            plain()
                .with("/delivery/data/pickuppointId", json!("MSK12"))
                .saved_request(SavedRequest { pickup_point: Some("MSK99".to_owned()), ..SavedRequest::default() }),
            "pvz",
            "MSK99",
        ),
        // Time and words.
        ("day and hours", plain(), "when", "2024-05-18 10:00-18:00"),
        (
            "hours the wrong way round are turned",
            plain().with("/delivery/time/from", json!("18:00")).with("/delivery/time/to", json!("10:00")),
            "when",
            "2024-05-18 10:00-18:00",
        ),
        ("no wish", plain().with("/delivery/date", json!(null)).with("/delivery/time", json!([])), "when", "- ---"),
        (
            "the comments in one line",
            plain(),
            "instruction",
            "Не звонить до 10 утра; Домофон 42К, звонить заранее; лучше после 15",
        ),
        (
            "the intercom",
            address(json!({"text": "д. 1", "intercomCode": "42К"})).with("/delivery/time", json!([])),
            "instruction",
            "Не звонить до 10 утра; домофон 42К",
        ),
        // Goods.
        ("names and articles", plain(), "names", "Стул складной"),
        ("an ordinary article is no warehouse article", plain(), "articles", "CH-01"),
        ("the maker's barcode", plain(), "barcodes", "4600000007001"),
        (
            "the amount of a fraction stands in its name",
            plain()
                .with("/items/0/quantity", json!("0.50"))
                .with("/items/0/offer/displayName", json!("Ткань ( лён )"))
                .with("/items/0/offer/unit/sym", json!("м"))
                .total(1050)
                .payments("cash 1050"),
            "names",
            "Ткань ( лён ) (0.5 м)",
        ),
        (
            "a position without an offer",
            plain().with("/items/0/offer", json!(null)).with("/items/0/productName", json!("Сборка")),
            "names",
            "Сборка",
        ),
        ("a position without any name", plain().with("/items/0/offer", json!([])), "names", "Товар"),
        // Weight and size: g → kg, mm → cm.
        ("grams become kilograms", plain(), "weight", "5.4"),
        ("a fraction of a gram is a gram", plain().with("/weight", json!(0.2)), "weight", "0.001"),
        ("no weight is the default", weightless(), "weight", "1"),
        ("the default of the integration", weightless().set("default_weight_g", "350"), "weight", "0.35"),
        ("no size is no package", weightless(), "packages", ""),
        ("the order's size is one package", plain(), "packages", "5.4 kg 60×45×20"),
        ("millimetres are rounded up", plain().with("/length", json!(601)), "packages", "5.4 kg 61×45×20"),
        (
            "packages of the order",
            weightless().with(
                "/delivery/data/packages",
                json!([{"packageId": 1, "weight": 400, "length": 100}, {"packageId": 2, "weight": 600}]),
            ),
            "packages",
            "0.4 kg 10×-×-, 0.6 kg -×-×-",
        ),
        (
            "their weights stand in for the order's",
            weightless().with("/delivery/data/packages", json!([{"weight": 400}, {"weight": 600}])),
            "weight",
            "1",
        ),
        (
            "and make the number of places",
            weightless().with("/delivery/data/packages", json!([{"weight": 400}, {"weight": 600}])),
            "places",
            "2",
        ),
        ("one place at least", weightless(), "places", "1"),
        (
            "absurd weights stay in bounds",
            weightless().with("/delivery/data/packages", json!([{"weight": 4e9}, {"weight": 4e9}])),
            "weight",
            "4294967.295",
        ),
        (
            "packages of the callback beat the order's",
            full().saved_request(SavedRequest {
                packages: vec![SavedPackage { weight: Some(Grams(700)), ..SavedPackage::default() }],
                ..SavedRequest::default()
            }),
            "packages",
            "0.7 kg -×-×-",
        ),
        // Mode and sender.
        ("the tariff is the mode", plain(), "service", "express"),
        ("a pick-up tariff", plain().with("/delivery/data/tariff", json!("pvz-3")), "service", "3"),
        (
            "no tariff: the integration's mode",
            plain().with("/delivery/data/tariff", json!("")).set("default_service", "2"),
            "service",
            "2",
        ),
        (
            "the callback's mode beats all",
            plain().saved_request(SavedRequest { service: Some("9".to_owned()), ..SavedRequest::default() }),
            "service",
            "9",
        ),
        ("no sender of its own", plain(), "sender", "-"),
        (
            "the integration's sender",
            plain().set("sender.company", "Мебель").set("sender.phone", "+74950000000"),
            "sender",
            "Мебель +74950000000",
        ),
    ];
    let mut wrong = Vec::new();
    for (name, world, what, expected) in &cases {
        let found = match world.convert() {
            Ok(desired) => field(&desired, what),
            Err(give_up) => format!("refused: {}", give_up.reason),
        };
        if found != *expected {
            wrong.push(format!("{name}: {what}\n  expected {expected}\n  found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn hash_of(world: &World) -> String {
    world.convert().expect("sendable").hash
}

#[test]
fn orders_that_mean_the_same_have_one_hash() {
    let same = hash_of(&plain());
    let twins = [
        ("another number", plain().with("/number", json!("9-99"))),
        ("another id", plain().with("/id", json!(1))),
        ("a comment that is not sent", plain().with("/managerComment", json!("Срочно!"))),
        ("another status", plain().with("/status", json!("complete"))),
        ("another e-mail", plain().with("/email", json!("other@example.org"))),
        ("a custom field", plain().with("/customFields", json!({"x": 1}))),
        ("the phone written otherwise", plain().with("/phone", json!("89160001122"))),
        ("the sum written otherwise", plain().payments("cash 3150.00")),
        ("the payment has another id", plain().with("/payments", json!([{"id": 9, "type": "cash", "amount": 3150}]))),
        ("what RetailCRM was told", plain().with("/delivery/data/externalId", json!("ms-1-1"))),
        ("a cancelled position more", {
            let mut cancelled = item(99, "5", "1");
            cancelled["isCanceled"] = json!(true);
            let chairs = plain().order["items"][0].clone();
            plain().with("/items", json!([chairs, cancelled]))
        }),
    ];
    for (name, twin) in twins {
        assert_eq!(hash_of(&twin), same, "{name}");
    }
}

#[test]
fn our_number_and_its_line_codes_are_not_part_of_the_hash() {
    let world = plain();
    let order = read_single(&world.order).expect("readable");
    let references = References::with(&["paid"], &[], &[]);
    let mut second = delivery(None);
    second.orderno = OrderNo::known("1234A-2");
    second.item_codes.insert("3301".to_owned(), "77".to_owned());
    let desired = desired(&order, &integration(&world.settings), &references, None, &second).expect("sendable");
    assert_eq!(desired.order.orderno, second.orderno);
    assert_eq!(desired.hash, hash_of(&world));
}

#[test]
fn every_field_that_is_sent_changes_the_hash() {
    let changed = [
        ("phone", plain().with("/phone", json!("+79990000000"))),
        ("second phone", plain().with("/additionalPhone", json!(""))),
        ("first name", plain().with("/firstName", json!("Мария"))),
        ("last name", plain().with("/lastName", json!("Иванова"))),
        ("company", plain().with("/company", json!({"name": "ООО"}))),
        ("tax number", plain().with("/contragent/INN", json!("77"))),
        ("address", plain().with("/delivery/address/text", json!("ул. Мира, д. 1"))),
        ("town", plain().with("/delivery/address/city", json!("Химки"))),
        ("index", plain().with("/delivery/address/index", json!("119022"))),
        ("pick-up point", plain().with("/delivery/data/pickuppointId", json!("P1"))),
        ("day", plain().with("/delivery/date", json!("2024-05-19"))),
        ("from", plain().with("/delivery/time/from", json!("11:00"))),
        ("to", plain().with("/delivery/time/to", json!("19:00"))),
        ("customer's comment", plain().with("/customerComment", json!("Звонить"))),
        ("address notes", plain().with("/delivery/address/notes", json!("код 1"))),
        ("tariff", plain().with("/delivery/data/tariff", json!("2"))),
        ("weight", plain().with("/weight", json!(5401))),
        ("size", plain().with("/height", json!(210))),
        ("packages", plain().with("/delivery/data/packages", json!([{"weight": 5400}]))),
        ("way of paying", plain().payments("bank-card 3150")),
        ("paid", plain().payments("cash paid 3150")),
        ("partly paid", plain().payments("cash paid 1, cash 3149")),
        ("fee", plain().with("/delivery/cost", json!(351)).total(3151).payments("cash 3151")),
        ("VAT of the fee", plain().with("/delivery/vatRate", json!("20"))),
        ("price", plain().with("/items/0/prices/0/price", json!(1401)).total(3152).payments("cash 3152")),
        ("quantity", plain().with("/items/0/quantity", json!(3)).total(4550).payments("cash 4550")),
        ("VAT", plain().with("/items/0/vatRate", json!("10"))),
        ("name of the goods", plain().with("/items/0/offer/displayName", json!("Кресло"))),
        ("article", plain().with("/items/0/offer/article", json!("CH-02"))),
        ("barcode", plain().with("/items/0/offer/barcode", json!("1"))),
        ("marking code", plain().with("/items/0/markingCodes", json!(["x"]))),
        ("position", plain().with("/items/0/id", json!(3333))),
        ("declared value", plain().declared(1)),
        (
            "declared value of a position",
            plain().with("/delivery/data/itemDeclaredValues", json!([{"orderProduct": {"id": 3301}, "value": 1}])),
        ),
        ("sender", plain().set("sender.phone", "+74950000000")),
    ];
    let mut seen = std::collections::BTreeMap::from([(hash_of(&plain()), "the plain order")]);
    for (name, world) in changed {
        if let Some(twin) = seen.insert(hash_of(&world), name) {
            panic!("{name} has the hash of {twin}");
        }
    }
}

/// What the request says is to be collected, read out of its XML: lines × quantity, the
/// fee, or the price when there are no lines (measoft-api.md §7.1, §7.2).
pub(crate) fn collected_by_xml(order: &NewOrder) -> Kopecks {
    let account = Account {
        url: "https://home.courierexe.ru/api/".parse().expect("a URL"),
        extra: "8".to_owned(),
        login: "shop-demo".to_owned(),
        password: "secret-demo".to_owned(),
    };
    let xml = write_neworder(&account, std::slice::from_ref(order));
    let between = |text: &str, from: &str, to: &str| -> Option<String> {
        let rest = &text[text.find(from)? + from.len()..];
        Some(rest[..rest.find(to)?].to_owned())
    };
    let sum = |text: String| Kopecks::parse(&text).expect("a sum");
    let lines: Vec<&str> = xml.split("<item ").skip(1).collect();
    if lines.is_empty() {
        return sum(between(&xml, "<price>", "</price>").expect("a price"));
    }
    let fee = between(&xml, "<deliveryprice", "</deliveryprice>")
        .map_or(Kopecks::ZERO, |fee| sum(fee.split_once('>').expect("a start tag").1.to_owned()));
    lines.iter().fold(fee, |total, line| {
        let attribute = |name: &str| between(line, &format!("{name}=\""), "\"").expect(name);
        let quantity: Decimal = attribute("quantity").parse().expect("a quantity");
        let quantity = if attribute("type") == "4" { Decimal::ONE } else { quantity };
        total + sum(attribute("retprice")).times(quantity).expect("in range")
    })
}

fn any_item() -> impl Strategy<Value = Value> {
    let price = (-100_i64..2_000_000).prop_map(|kopecks| Kopecks(kopecks).to_string());
    let quantity = prop_oneof![
        8 => (1_i64..6).prop_map(|n| n.to_string()),
        2 => (1_i64..4000).prop_map(|n| Decimal::new(n, 3).to_string()),
        1 => Just("0".to_owned()),
        1 => Just("-1".to_owned()),
        1 => Just("9999999999".to_owned()),
    ];
    let codes = prop::collection::vec("[a-zA-Z0-9\"<&>\u{1d}]{0,12}", 0..3);
    let split = prop::option::weighted(0.2, (1_i64..90_000, 1_i64..3));
    (1_i64..50, price, quantity, codes, split, prop::bool::weighted(0.15), 0_usize..4).prop_map(
        |(id, price, quantity, codes, split, cancelled, vat)| {
            let mut item = item(id, &price, &quantity);
            item["markingCodes"] = json!(codes);
            item["isCanceled"] = json!(cancelled);
            item["vatRate"] = [json!("none"), json!("20.00"), json!(10), json!(null)][vat].clone();
            if let Some((kopecks, pieces)) = split {
                let more = json!({"price": Kopecks(kopecks).to_string(), "quantity": pieces});
                item["prices"].as_array_mut().expect("a list").push(more);
            }
            item
        },
    )
}

/// A word about what an order's payments are, with sums that often add up.
fn any_world() -> impl Strategy<Value = World> {
    let items = prop::collection::vec(any_item(), 0..4);
    let payments = prop::collection::vec((0_usize..4, any::<bool>(), -5_i64..500_000), 0..4);
    let settings = (any::<bool>(), 0_usize..3);
    (items, payments, settings, 0_i64..60_000, any::<bool>(), prop::option::of(0_i64..900_000)).prop_map(
        |(items, payments, (as_vendor, no_payment), fee, adds_up, declared)| {
            let mut world = plain()
                .with("/items", json!(items))
                .with("/delivery/cost", json!(Kopecks(fee).to_string()))
                .set("cod_policy", if as_vendor { "as_vendor" } else { "by_payment_type" })
                .set("no_payment", ["collect", "nothing", "refuse"][no_payment]);
            world.declared = declared.map(Kopecks);
            let order = read_single(&world.order).expect("readable");
            let mut goods = Vec::new();
            for item in shipped(&order, &References::default()) {
                let _ = lines(item, 0, None, &mut goods);
            }
            let goods = goods.iter().fold(Kopecks::ZERO, |sum, line| {
                sum + line.retprice.times(Decimal::from(line.quantity)).unwrap_or_default()
            });
            let total = goods + if goods.is_zero() { Kopecks::ZERO } else { Kopecks(fee) };
            let mut left = total;
            let mut paid = Kopecks::ZERO;
            let mut rows = Vec::new();
            for (index, (kind, is_paid, amount)) in payments.iter().enumerate() {
                let last = index + 1 == payments.len();
                let amount = if adds_up && last { left } else { Kopecks(*amount) };
                left = left - amount;
                if *is_paid {
                    paid += amount;
                }
                let kind = ["cash", "bank-card", "e-money", "cash"][*kind];
                rows.push(json!({
                    "id": index, "type": kind,
                    "status": if *is_paid { "paid" } else { "not-paid" }, "amount": amount.to_string(),
                }));
            }
            world
                .with("/payments", Value::Array(rows))
                .with("/totalSumm", json!(total.to_string()))
                .with("/prepaySum", json!(paid.to_string()))
        },
    )
}

fn any_scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        Just(json!([])),
        Just(json!({})),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "-?[0-9]{1,29}(\\.[0-9]{1,20})?".prop_map(Value::from),
        "[0-9]{1,5}[eE][+-]?[0-9]{1,2}".prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        "[0-9+() ;,.доб-]{0,30}".prop_map(Value::from),
    ]
}

fn pointers(value: &Value, at: &str, into: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| pointers(value, &format!("{at}/{key}"), into)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, value)| pointers(value, &format!("{at}/{index}"), into));
        }
        _ => into.push(at.to_owned()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_the_request_adds_up_to_is_what_is_collected(world in any_world()) {
        if let Ok(desired) = world.convert() {
            if desired.order.paytype == PayType::No {
                prop_assert_eq!(desired.collect, Kopecks::ZERO);
            } else {
                prop_assert!(desired.collect > Kopecks::ZERO);
                prop_assert_eq!(collected_by_xml(&desired.order), desired.collect);
            }
            let marked = desired.order.items.iter().filter(|item| item.government_code.is_some());
            for item in marked {
                prop_assert_eq!(item.quantity, 1);
            }
            let mut extcodes: Vec<&str> = desired.order.items.iter().map(|item| item.extcode.as_str()).collect();
            extcodes.sort_unstable();
            let lines = extcodes.len();
            extcodes.dedup();
            let positions = world.order["items"].as_array().expect("a list");
            let mut ids: Vec<i64> = positions.iter().filter_map(|item| item["id"].as_i64()).collect();
            ids.sort_unstable();
            ids.dedup();
            if ids.len() == positions.len() {
                prop_assert_eq!(extcodes.len(), lines, "line ids are unique");
            }
        }
    }

    #[test]
    fn no_order_makes_the_conversion_panic(
        changes in prop::collection::vec((any_scalar(), 0_usize..1000), 1..6),
        no_prices in any::<bool>(),
    ) {
        let mut world = full();
        if no_prices {
            world = world.with("/items/0/prices", json!([])).with("/items/1/prices", json!([]));
        }
        let mut places = Vec::new();
        pointers(&world.order, "", &mut places);
        for (value, at) in changes {
            *world.order.pointer_mut(&places[at % places.len()]).expect("a place") = value;
        }
        if let Ok(order) = read_single(&world.order) {
            let _ = world.convert_order(&order);
        }
    }
}
