//! The conversion as a specification: an order as RetailCRM shows it and what MeaSoft is told, or
//! why it is told nothing. The cases are in `money.txt` and `receiver.txt`.

use proptest::prelude::*;
use serde_json::{Value, json};
use shared::domain::delivery::DeliveryState;
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

    fn declared(mut self, roubles: i64) -> Self {
        self.declared = Some(Kopecks::roubles(roubles));
        self
    }

    /// One line of a table.
    fn changed(mut self, change: &'static str) -> Self {
        let (word, rest) = change.split_once(' ').unwrap_or((change, ""));
        let words: Vec<&'static str> = rest.split(' ').collect();
        let json = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_else(|_| panic!("{change}"));
        let roubles = || rest.parse::<i64>().unwrap_or_else(|_| panic!("{change}"));
        match word {
            "full" => return full(),
            "payments" => return self.payments(rest),
            "total" => return self.total(roubles()),
            "prepaid" => return self.prepaid(roubles()),
            "declared" => return self.declared(roubles()),
            "set" => return self.set(words[0], rest.split_once(' ').expect("a key and a value").1),
            "items" => return self.with("/items", rest.split(", ").map(an_item).collect()),
            "phones" => return self.with("/phone", json(rest)).with("/additionalPhone", json!(null)),
            "nobody" => {
                return self
                    .with("/firstName", json!(""))
                    .with("/lastName", json!(""))
                    .with("/patronymic", json!(null));
            }
            "weightless" => {
                let sized = self.with("/weight", json!(0)).with("/length", json!(0));
                return sized.with("/width", json!(null)).with("/height", json!(""));
            }
            pointer if pointer.starts_with('/') => {
                return match rest.strip_prefix("item ") {
                    Some(item) => self.with(pointer, an_item(item)),
                    None => self.with(pointer, json(rest)),
                };
            }
            "complete" => self.complete = words,
            "cancelling" => self.cancelling = words,
            // `type cash yes`, `type cash no at outcity`
            "type" => {
                let at = words.get(3).copied().unwrap_or("incity");
                self.type_cod.push((at, words[0], Some(words[1] == "yes")));
            }
            "module" => self.module_cod.push((words[0], words[1] == "yes")),
            "saved" => self.saved_request = Some(serde_json::from_str(rest).expect(change)),
            // The payments have changed since the `save`.
            "outdated" => self.saved_request_is_current = false,
            _ => panic!("{change}"),
        }
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
    Integration { settings: settings.clone(), ..crate::testing::integration() }
}

pub(crate) fn delivery(saved_request: Option<String>) -> Delivery {
    Delivery { saved_request, ..crate::testing::delivery(DeliveryState::Planned) }
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

/// `7 100 0.333 no-goods`: id, price, quantity, and a status of its own if it has one.
fn an_item(text: &str) -> Value {
    let words: Vec<&str> = text.split(' ').collect();
    let mut item = item(words[0].parse().expect("an id"), words[1], words[2]);
    if let Some(status) = words.get(3) {
        item["status"] = json!(status);
    }
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

/// The cases of a table: a name, an order under its settings, what is expected of it.
fn cases(table: &'static str) -> Vec<(&'static str, World, &'static str)> {
    let (mut cases, mut name, mut world) = (Vec::new(), "", plain());
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(expected) = line.strip_prefix("  = ") {
            cases.push((name, std::mem::replace(&mut world, plain()), expected));
        } else if let Some(change) = line.strip_prefix("    ") {
            world = world.changed(change);
        } else {
            name = line;
        }
    }
    cases
}

/// Compares all cases of a table before it fails.
fn hold(table: &'static str, found: impl Fn(&World, &str) -> (String, String)) {
    let cases = cases(table);
    let wrong: Vec<String> = cases
        .iter()
        .map(|(name, world, expected)| (name, found(world, expected)))
        .filter(|(_, (found, expected))| found != expected)
        .map(|(name, (found, expected))| format!("{name}\n  expected {expected}\n  found    {found}"))
        .collect();
    assert!(wrong.is_empty() && !cases.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn the_money_and_the_lines_of_an_order() {
    const CHAIRS: &str = "3301 2×1400.00 vat 20; fee 350.00 vat 0";
    hold(include_str!("money.txt"), |world, expected| {
        (money_line(&world.convert()), expected.replace("CHAIRS", CHAIRS))
    });
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
    hold(include_str!("receiver.txt"), |world, expected| {
        let (what, expected) = expected.split_once(':').expect("a field and its value");
        let found = match world.convert() {
            Ok(desired) => field(&desired, what),
            Err(give_up) => format!("refused: {}", give_up.reason),
        };
        (found, expected.trim().to_owned())
    });
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
/// fee, or the price when there are no lines (protocols/measoft.md#neworder).
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

#[test]
fn a_marking_code_is_the_same_however_a_scanner_wrote_it() {
    let bare = "0104600000000000215abC(91)dEf91EE0692abcd=";
    for written in [
        "0104600000000000215abC(91)dEf\u{1d}91EE06\u{1d}92abcd=",
        " 0104600000000000215abC(91)dEf<GS>91EE06<GS>92abcd=\n",
    ] {
        assert_eq!(clean_marking(written), bare, "brackets of its own stay in a serial number");
    }
    let plain = "0104600000000000215abCdEf91EE0692abcd=";
    assert_eq!(clean_marking("(01)04600000000000(21)5abCdEf(91)EE06(92)abcd="), plain);
    assert_eq!(clean_marking("(01)0460000000000(21)5abC"), "(01)0460000000000(21)5abC", "not a code of this kind");
}
