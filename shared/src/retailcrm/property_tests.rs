//! Made-up orders in every looseness that protocols/retailcrm.md#looseness names: what was put in
//! is read; a value that cannot be read is named by its place, or passed over where it decides
//! nothing.

use jiff::civil::{Date, Time, date, time};
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use crate::dice::Dice;
use crate::domain::{CrmOrderId, Grams, Kopecks, Millimetres, OrderNumber};
use crate::retailcrm::tolerant::{Misread, VatRate};
use crate::retailcrm::wire::callbacks::{CalculateRequest, SaveRequest};
use crate::retailcrm::wire::order::{
    Address, Customer, DeliveryData, ExternalId, Item, ItemPrice, Offer, Order, OrderDelivery, Payment, TimeSlot,
    read_single,
};

/// Puts values into documents in one of their shapes. One of those that must be readable may be
/// spoilt: the place of it is kept.
struct Maker {
    dice: Dice,
    /// How many come before the one that is spoilt.
    sound: Option<usize>,
    spoilt: Option<String>,
}

/// An object under construction, and where it stands.
struct Place {
    path: String,
    map: Map<String, Value>,
}

impl Place {
    fn at(path: &str) -> Self {
        Self { path: path.to_owned(), map: Map::new() }
    }

    fn below(&self, name: &str) -> Self {
        Self::at(&format!("{}.{name}", self.path))
    }

    fn put(&mut self, name: &str, value: Value) {
        self.map.insert(name.to_owned(), value);
    }
}

/// A value with the shapes it comes in, and what is none.
struct Shapes<T> {
    means: T,
    good: Vec<Value>,
    bad: Vec<Value>,
}

impl Maker {
    fn of(throws: Vec<u16>) -> Self {
        let mut dice = Dice::of(throws);
        let sound = (dice.below(3) == 1).then(|| dice.below(40));
        Self { dice, sound, spoilt: None }
    }

    fn is_to_spoil(&mut self) -> bool {
        match &mut self.sound {
            Some(0) => {
                self.sound = None;
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }

    /// One of the ways to say nothing.
    fn nothing(&mut self, place: &mut Place, name: &str) {
        match self.dice.below(4) {
            0 => {}
            1 => place.put(name, Value::Null),
            2 => place.put(name, "".into()),
            _ => place.put(name, "  ".into()),
        }
    }

    fn one_of(&mut self, all: Vec<Value>) -> Value {
        let n = self.dice.below(all.len());
        all.into_iter().nth(n).expect("one")
    }

    /// A value that decides something.
    fn may<T>(&mut self, place: &mut Place, name: &str, shapes: Shapes<T>) -> Option<T> {
        if self.is_to_spoil() {
            let bad = self.one_of(shapes.bad);
            place.put(name, bad);
            self.spoilt = Some(format!("{}.{name}", place.path));
            return None;
        }
        if self.dice.below(3) == 0 {
            self.nothing(place, name);
            return None;
        }
        let good = self.one_of(shapes.good);
        place.put(name, good);
        Some(shapes.means)
    }

    /// A value nothing can be done without.
    fn must<T>(&mut self, place: &mut Place, name: &str, shapes: Shapes<T>) -> T {
        if self.is_to_spoil() {
            if self.dice.below(2) == 0 {
                self.nothing(place, name);
            } else {
                let bad = self.one_of(shapes.bad);
                place.put(name, bad);
            }
            self.spoilt = Some(format!("{}.{name}", place.path));
        } else {
            let good = self.one_of(shapes.good);
            place.put(name, good);
        }
        shapes.means
    }

    /// A value of no consequence: spoilt is as good as absent.
    fn lax<T>(&mut self, place: &mut Place, name: &str, shapes: Shapes<T>) -> Option<T> {
        match self.dice.below(4) {
            0 => {
                self.nothing(place, name);
                None
            }
            1 => {
                let bad = self.one_of(shapes.bad);
                place.put(name, bad);
                None
            }
            _ => {
                let good = self.one_of(shapes.good);
                place.put(name, good);
                Some(shapes.means)
            }
        }
    }

    /// An object, or one of the ways to say that there is none; or no object at all.
    fn object<T>(&mut self, place: &mut Place, name: &str, make: impl FnOnce(&mut Self, &mut Place) -> T) -> Option<T> {
        if self.is_to_spoil() {
            let bad = self.one_of(vec![json!("text"), json!(7), json!([1]), json!(true)]);
            place.put(name, bad);
            self.spoilt = Some(format!("{}.{name}", place.path));
            return None;
        }
        if self.dice.below(4) == 0 {
            // PHP's empty map.
            if self.dice.below(3) == 1 {
                place.put(name, json!([]))
            } else {
                self.nothing(place, name)
            }
            return None;
        }
        let mut inner = place.below(name);
        let made = make(self, &mut inner);
        self.strangers(&mut inner);
        place.put(name, Value::Object(inner.map));
        Some(made)
    }

    /// Elements as a list, or as a map by `key`.
    fn collection<T>(
        &mut self,
        place: &mut Place,
        name: &str,
        keys: &[&str],
        mut make: impl FnMut(&mut Self, &mut Place, &str, bool) -> (Value, T),
    ) -> Vec<T> {
        if self.is_to_spoil() {
            let bad = self.one_of(vec!["text".into(), 7.into(), true.into()]);
            place.put(name, bad);
            self.spoilt = Some(format!("{}.{name}", place.path));
            return Vec::new();
        }
        let count = self.dice.below(keys.len() + 1);
        if count == 0 {
            if self.dice.below(2) == 1 {
                place.put(name, json!([]))
            } else {
                self.nothing(place, name)
            }
            return Vec::new();
        }
        let is_map = self.dice.below(2) == 1;
        let (mut list, mut map, mut made) = (Vec::new(), Map::new(), Vec::new());
        for (n, key) in keys.iter().take(count).enumerate() {
            let step = if is_map { (*key).to_owned() } else { n.to_string() };
            let mut inner = Place::at(&format!("{}.{name}[{step}]", place.path));
            let (value, one) = make(self, &mut inner, key, is_map);
            if is_map {
                drop(map.insert((*key).to_owned(), value))
            } else {
                list.push(value)
            }
            made.push(one);
        }
        place.put(name, if is_map { Value::Object(map) } else { Value::Array(list) });
        made
    }

    /// Fields that nobody knows.
    fn strangers(&mut self, place: &mut Place) {
        if self.dice.below(4) == 1 {
            place.put("neverHeardOf", json!({"deep": [1, "2", null]}));
        }
    }
}

/// As PHP may write a number: itself, a text, with needless zeros.
fn number(text: &str) -> Vec<Value> {
    let plain = |text: &str| serde_json::from_str::<Value>(text).expect("a number");
    let zeros = if text.contains('.') { format!("{text}0") } else { format!("{text}.0") };
    vec![plain(text), text.into(), plain(&zeros), zeros.into(), format!(" {text}").into()]
}

fn not_a_number() -> Vec<Value> {
    vec!["много".into(), json!({"value": 1}), json!([1]), true.into(), "1-2".into()]
}

fn text(means: &str) -> Shapes<String> {
    let mut good = vec![means.into()];
    // Digits without leading zeros come as numbers, too.
    if let Ok(digits) = means.parse::<i64>()
        && digits.to_string() == means
    {
        good.push(digits.into());
    }
    Shapes { means: means.to_owned(), good, bad: vec![json!({"value": "x"}), json!([1]), true.into()] }
}

fn whole(means: i64) -> Shapes<i64> {
    let mut bad = not_a_number();
    bad.push("4817.5".into());
    Shapes { means, good: number(&means.to_string()), bad }
}

fn sum(kopecks: i64) -> Shapes<Kopecks> {
    let decimal = Decimal::new(kopecks, 2).normalize().to_string();
    let mut good = number(&decimal);
    good.push(decimal.replace('.', ",").into());
    Shapes { means: Kopecks(kopecks), good, bad: not_a_number() }
}

fn quantity(text: &str) -> Shapes<Decimal> {
    Shapes { means: text.parse().expect("a number"), good: number(text), bad: not_a_number() }
}

fn size<T>(given: i64, of: impl FnOnce(Decimal) -> Option<T>) -> Shapes<T> {
    let means = of(Decimal::from(given)).expect("a size");
    Shapes { means, good: number(&given.to_string()), bad: not_a_number() }
}

fn flag(means: bool) -> Shapes<bool> {
    let (digit, word) = if means { (1, "true") } else { (0, "false") };
    let good = vec![means.into(), digit.into(), digit.to_string().into(), word.into()];
    Shapes { means, good, bad: vec!["да".into(), 2.into(), json!({}), json!([1])] }
}

fn vat(nth: usize) -> Shapes<VatRate> {
    let bad = vec!["ндс".into(), json!({}), 120.into(), "5.5".into()];
    match nth {
        0 => Shapes { means: VatRate::Percent(20), good: number("20"), bad },
        1 => Shapes { means: VatRate::Percent(0), good: number("0"), bad },
        _ => Shapes { means: VatRate::None, good: vec!["none".into(), "NONE".into()], bad },
    }
}

/// Both known forms of a day: alone, and with a time.
fn day(means: Date) -> Shapes<Date> {
    let text = means.to_string();
    let good = ["", " 00:00:00", " 10:30:00", "T00:00:00+03:00"].map(|rest| format!("{text}{rest}").into());
    let bad = vec!["24.12.2026".into(), "2026-02-30".into(), "завтра".into(), json!({"date": "2026-12-24"})];
    Shapes { means, good: good.into(), bad }
}

fn hour(means: Time) -> Shapes<Time> {
    let short = format!("{:02}:{:02}", means.hour(), means.minute());
    let mut good = vec![short.clone().into(), format!("{short}:00").into()];
    if means == time(23, 59, 0, 0) {
        good.push("24:00".into());
    }
    Shapes { means, good, bad: vec!["вечером".into(), "25:00".into(), "10".into(), json!({})] }
}

fn moment() -> Shapes<jiff::civil::DateTime> {
    let bad = vec!["вчера".into(), json!([1]), "16.05.2026 11:20".into()];
    Shapes { means: date(2026, 5, 16).at(11, 20, 33, 0), good: vec!["2026-05-16 11:20:33".into()], bad }
}

fn address(m: &mut Maker, a: &mut Place) -> Address {
    Address {
        index: m.may(a, "index", text("101000")),
        country_iso: m.may(a, "countryIso", text("RU")),
        region: m.may(a, "region", text("Москва")),
        region_id: m.lax(a, "regionId", whole(73)),
        city: m.may(a, "city", text("г. Москва")),
        street: m.may(a, "street", text("Лесная")),
        building: m.may(a, "building", text("5")),
        block: m.may(a, "block", text("2")),
        flat: m.may(a, "flat", text("012")),
        text: m.may(a, "text", text("ул. Лесная, д. 5")),
        ..Address::default()
    }
}

fn slot(m: &mut Maker, t: &mut Place) -> TimeSlot {
    TimeSlot {
        from: m.may(t, "from", hour(time(10, 0, 0, 0))),
        to: m.may(t, "to", hour(time(23, 59, 0, 0))),
        custom: m.may(t, "custom", text("после обеда")),
    }
}

fn codes(m: &mut Maker, i: &mut Place) -> Vec<String> {
    m.collection(i, "markingCodes", &["0", "1"], |m, _, key, _| {
        let code = format!("0104600000000017215abc\u{1d}93Zx{key}");
        (m.one_of(vec![code.clone().into(), json!({ "code": code })]), code)
    })
}

fn item(m: &mut Maker, i: &mut Place, id: i64) -> Item {
    let all = m.dice.pick(&["1", "2", "1.5"]);
    let id = m.must(i, "id", whole(id));
    let amount = m.must(i, "quantity", quantity(all));
    let rate = vat(m.dice.below(3));
    Item {
        id,
        quantity: amount,
        external_ids: {
            // Without a value it says nothing.
            let ids = m.collection(i, "externalIds", &["default", "other"], |m, p, key, _| {
                let value = m.may(p, "value", text("pos-1"));
                p.put("code", key.into());
                let id = value.map(|value| ExternalId { code: Some(key.to_owned()), value });
                (Value::Object(std::mem::take(&mut p.map)), id)
            });
            ids.into_iter().flatten().collect()
        },
        offer: m.object(i, "offer", |m, o| Offer {
            id: m.lax(o, "id", whole(7001)),
            external_id: m.may(o, "externalId", text("ch-01")),
            name: m.may(o, "name", text("Стул")),
            article: m.may(o, "article", text("77")),
            ..Offer::default()
        }),
        product_name: m.may(i, "productName", text("Стул складной")),
        prices: m.collection(i, "prices", &["0", "1"], |m, p, _, _| {
            let price = m.must(p, "price", sum(140_050));
            let some = m.may(p, "quantity", quantity("1"));
            (Value::Object(std::mem::take(&mut p.map)), ItemPrice { price, quantity: some.unwrap_or(amount) })
        }),
        initial_price: m.may(i, "initialPrice", quantity("1500.3333")),
        discount_total: m.may(i, "discountTotal", quantity("99.83")).unwrap_or_default(),
        vat_rate: m.may(i, "vatRate", rate).unwrap_or_default(),
        status: m.lax(i, "status", text("new")),
        is_canceled: m.may(i, "isCanceled", flag(true)).unwrap_or_default(),
        marking_codes: codes(m, i),
    }
}

fn payment(m: &mut Maker, p: &mut Place, key: &str, is_map: bool) -> Payment {
    let id: i64 = key.parse().expect("a number");
    // Under its id it need not say it again.
    let id = if is_map { m.may(p, "id", whole(id)).unwrap_or(id) } else { m.must(p, "id", whole(id)) };
    Payment {
        id,
        kind: m.must(p, "type", text("cash")),
        status: m.may(p, "status", text("not-paid")),
        amount: m.may(p, "amount", sum(109_900)).unwrap_or_default(),
        external_id: m.may(p, "externalId", text("shop-pay-981")),
        paid_at: m.lax(p, "paidAt", moment()),
    }
}

fn customer(m: &mut Maker, c: &mut Place) -> Customer {
    Customer {
        kind: m.lax(c, "type", text("customer")),
        last_name: m.may(c, "lastName", text("Орлова")),
        first_name: m.may(c, "firstName", text("Анна")),
        phones: m.collection(c, "phones", &["0", "1"], |m, _, key, _| {
            let phone = format!("+7916000112{key}");
            (m.one_of(vec![phone.clone().into(), json!({ "number": phone })]), phone)
        }),
        ..Customer::default()
    }
}

fn delivery(m: &mut Maker, d: &mut Place) -> OrderDelivery {
    OrderDelivery {
        code: m.may(d, "code", text("incity")),
        integration_code: m.may(d, "integrationCode", text("measoft-17")),
        cost: m.may(d, "cost", sum(35_000)).unwrap_or_default(),
        date: m.may(d, "date", day(date(2026, 12, 24))),
        time: m.object(d, "time", slot).unwrap_or_default(),
        address: m.object(d, "address", address).unwrap_or_default(),
        data: {
            // Another service's data has another shape: nothing in it costs the order.
            let mut data = d.below("data");
            let read = DeliveryData {
                external_id: m.lax(&mut data, "externalId", text("ms-17-4817")),
                status: m.lax(&mut data, "status", text("NEW")),
                tariff: m.lax(&mut data, "tariff", text("1")),
                ..DeliveryData::default()
            };
            if m.dice.below(5) == 1 {
                d.put("data", json!([1, 2]));
                DeliveryData::default()
            } else {
                d.put("data", Value::Object(data.map));
                read
            }
        },
        ..OrderDelivery::default()
    }
}

fn order(m: &mut Maker, o: &mut Place) -> Order {
    let number = m.dice.pick(&["1234A", "4817", "№ 5/6"]);
    let made = Order {
        id: CrmOrderId(m.must(o, "id", whole(4817))),
        number: OrderNumber::parse(&m.must(o, "number", text(number))).expect("a number"),
        external_id: m.lax(o, "externalId", text("SHOP-9931")),
        site: m.may(o, "site", text("main-shop")).unwrap_or_default(),
        status: m.may(o, "status", text("SentMeaSoft")).unwrap_or_default(),
        created_at: m.lax(o, "createdAt", moment()),
        currency: m.lax(o, "currency", text("RUB")),
        last_name: m.may(o, "lastName", text("Орлова")),
        first_name: m.may(o, "firstName", text("Анна")),
        patronymic: m.may(o, "patronymic", text("Петровна")),
        phone: m.may(o, "phone", text("+7 (916) 000-11-22 доб. 5")),
        additional_phone: m.may(o, "additionalPhone", text("84950001122")),
        email: m.may(o, "email", text("anna@example.com")),
        customer: m.object(o, "customer", customer),
        contact: None,
        company: None,
        contragent: None,
        customer_comment: m.may(o, "customerComment", text("Не звонить\nдо 10")),
        total_summ: m.must(o, "totalSumm", sum(414_005)),
        prepay_sum: m.may(o, "prepaySum", sum(100_000)).unwrap_or_default(),
        weight: m.may(o, "weight", size(5400, Grams::from_decimal)),
        length: m.may(o, "length", size(600, Millimetres::from_decimal)),
        width: None,
        height: None,
        items: m.collection(o, "items", &["3301", "3302", "3303"], |m, p, key, _| {
            let made = item(m, p, key.parse().expect("a number"));
            m.strangers(p);
            (Value::Object(std::mem::take(&mut p.map)), made)
        }),
        payments: m.collection(o, "payments", &["1422", "1423"], |m, p, key, is_map| {
            let made = payment(m, p, key, is_map);
            m.strangers(p);
            (Value::Object(std::mem::take(&mut p.map)), made)
        }),
        delivery: m.object(o, "delivery", delivery).unwrap_or_default(),
    };
    m.strangers(o);
    made
}

/// What was read of a document that is sound; a spoilt one must be refused with the place.
fn as_it_was_made<T>(
    read: Result<T, Misread>,
    spoilt: Option<String>,
    document: &Value,
) -> Result<Option<T>, TestCaseError> {
    match (read, spoilt) {
        (Ok(read), None) => Ok(Some(read)),
        (Err(misread), Some(path)) if misread.path == path => Ok(None),
        (Ok(_), Some(path)) => Err(TestCaseError::fail(format!("{path} passed: {document}"))),
        (Err(misread), spoilt) => Err(TestCaseError::fail(format!("{misread}, spoilt {spoilt:?}: {document}"))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_made_up_order_is_read_or_its_bad_field_is_named(throws in Dice::throws()) {
        let mut maker = Maker::of(throws);
        let mut place = Place::at("order");
        let wanted = order(&mut maker, &mut place);
        let document = Value::Object(place.map);
        let read = read_single(&document).map_err(|unreadable| unreadable.why);
        if let Some(read) = as_it_was_made(read, maker.spoilt, &document)? {
            prop_assert_eq!(read, wanted, "{}", document);
        }
    }

    #[test]
    fn a_made_up_save_is_read_or_its_bad_field_is_named(throws in Dice::throws()) {
        let mut m = Maker::of(throws);
        let mut s = Place::at("save");
        let delivery_id = m.may(&mut s, "deliveryId", text("ms-17-4817"));
        let order = CrmOrderId(m.must(&mut s, "order", whole(4817)));
        let number = m.may(&mut s, "orderNumber", text("1234A"));
        let who = m.object(&mut s, "customer", customer).unwrap_or_default();
        let (mut planned, mut window, mut cod, mut with_cod) = (None, TimeSlot::default(), None, None);
        let delivery = m.object(&mut s, "delivery", |m, d| {
            with_cod = m.may(d, "withCod", flag(true));
            cod = m.may(d, "cod", sum(35_000));
            planned = m.may(d, "deliveryDate", day(date(2026, 12, 24)));
            window = m.object(d, "deliveryTime", slot).unwrap_or_default();
            m.object(d, "deliveryAddress", address);
            m.lax(d, "shipmentDate", day(date(2026, 12, 23)));
        });
        if delivery.is_none() {
            m.spoilt.get_or_insert_with(|| "save.delivery".to_owned());
        }
        let document = Value::Object(s.map);
        let read = SaveRequest::parse(&document.to_string());
        if let Some(read) = as_it_was_made(read, m.spoilt, &document)? {
            prop_assert_eq!((read.delivery_id, read.order), (delivery_id, order), "{}", document);
            prop_assert_eq!(read.order_number.map(|n| n.as_str().to_owned()), number, "{}", document);
            prop_assert_eq!(read.customer, who);
            let delivery = read.delivery;
            prop_assert_eq!((delivery.delivery_date, delivery.delivery_time), (planned, window), "{}", document);
            prop_assert_eq!((delivery.cod, delivery.with_cod), (cod, with_cod), "{}", document);
        }
    }

    #[test]
    fn a_made_up_calculation_is_read_whatever_its_days_look_like(throws in Dice::throws()) {
        let mut m = Maker::of(throws);
        m.sound = None;
        let mut c = Place::at("calculate");
        m.may(&mut c, "deliveryDate", day(date(2026, 12, 24)));
        let declared = m.may(&mut c, "declaredValue", sum(414_005));
        let to = m.object(&mut c, "deliveryAddress", address).unwrap_or_default();
        m.strangers(&mut c);
        let document = Value::Object(c.map);
        let read = CalculateRequest::parse(&document.to_string());
        prop_assert!(read.is_ok(), "{:?}: {}", read, document);
        let read = read.expect("readable");
        prop_assert_eq!((read.declared_value, read.delivery_address), (declared, to));
    }
}
