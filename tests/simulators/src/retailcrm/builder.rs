//! Orders for tests and demos: realistic defaults, every part replaceable.

use std::ops::{Deref, DerefMut};

use serde_json::{Map, Value, json};

use super::orders::{Delivery, Item, Order, Payment, TEXT_FIELDS, line_total};

/// An order like those of a real shop: two positions, delivery by `incity`, cash on delivery, status `new`.
pub fn an_order() -> OrderBuilder {
    OrderBuilder::default()
}

/// Builds one order; see [`an_order`]. Sums are kopecks, weights grams, sizes millimetres.
#[derive(Clone)]
pub struct OrderBuilder {
    order: Order,
    default_items: bool,
    payments: Payments,
    whole_order_weight: bool,
}

#[derive(Clone)]
enum Payments {
    /// One unpaid cash payment of the whole sum.
    CashOfTheWhole,
    /// As listed; an amount of `None` is what the others leave.
    Listed(Vec<(Option<i64>, Payment)>),
}

impl Default for OrderBuilder {
    fn default() -> Self {
        let texts = [
            ("lastName", "Петрова"),
            ("firstName", "Анна"),
            ("patronymic", "Сергеевна"),
            ("phone", "+7 (916) 000-11-22"),
            ("email", "anna@example.com"),
            ("customerComment", "Не звонить\nдо 10 утра"),
            ("managerComment", "Хрупкое"),
            ("shipmentDate", "2024-05-17"),
            ("shipmentStore", "main"),
        ];
        let order = Order {
            site: "main-shop".into(),
            status: "new".into(),
            from_api: true,
            manager_id: Some(19),
            texts: texts.into_iter().map(|(name, text)| (name, text.to_owned())).collect(),
            items: vec![
                Item::new("Стул складной", 140_000, 2000, 2300),
                Item { vat_rate: "none".into(), ..Item::new("Лампа настольная", 99_000, 1000, 800) },
            ],
            delivery: Delivery {
                code: Some("incity".into()),
                cost: 35_000,
                net_cost: 31_250,
                vat_rate: "none".into(),
                date: Some("2024-05-18".into()),
                time: object(json!({"from": "10:00", "to": "18:00"})),
                address: object(json!({"index": "119021", "countryIso": "RU", "region": "Москва",
                    "regionId": 1_000_000_001, "city": "Москва", "cityId": 4400, "cityType": "г.",
                    "street": "Льва Толстого", "streetId": 88121, "streetType": "ул.", "building": "16", "flat": "42",
                    "floor": 5, "block": 2, "house": "1", "housing": "2", "metro": "Парк культуры",
                    "notes": "Домофон 42К, звонить заранее",
                    "text": "ул. Льва Толстого, д. 16, корп. 2, стр. 1, под. 2, эт. 5, кв. 42"})),
                data: object(json!({"locked": true, "payerType": "sender"})),
                ..Delivery::default()
            },
            sizes: [("weight", 0), ("length", 600), ("width", 450), ("height", 200)].into(),
            ..Order::default()
        };
        Self { order, default_items: true, payments: Payments::CashOfTheWhole, whole_order_weight: false }
    }
}

impl OrderBuilder {
    /// What people see; without it the internal id with the letter A.
    pub fn number(mut self, number: &str) -> Self {
        self.order.number = number.to_owned();
        self
    }

    /// Id in the shop; without it `SHOP-<internal id>`.
    pub fn external_id(mut self, id: &str) -> Self {
        self.order.external_id = Some(id.to_owned());
        self
    }

    /// Shop code.
    pub fn site(mut self, code: &str) -> Self {
        self.order.site = code.to_owned();
        self
    }

    /// Delivery type code.
    pub fn delivery_type(mut self, code: &str) -> Self {
        self.order.delivery.code = Some(code.to_owned());
        self
    }

    /// Order status code.
    pub fn status(mut self, code: &str) -> Self {
        self.order.status = code.to_owned();
        self
    }

    /// Adds a position; the first call replaces the default ones. `price` kopecks per unit, `weight` grams per unit.
    pub fn item(self, name: &str, price: i64, quantity: u32, weight: i64) -> Self {
        self.with_item(Item::new(name, price, i64::from(quantity) * 1000, weight))
    }

    /// Adds a position with every detail; the first call replaces the default ones.
    pub fn with_item(mut self, item: Item) -> Self {
        if std::mem::take(&mut self.default_items) {
            self.order.items.clear();
        }
        self.order.items.push(item);
        self
    }

    /// VAT rate of the position added last (`none`, `20`, `20.00`).
    pub fn vat(mut self, rate: &str) -> Self {
        if let Some(item) = self.order.items.last_mut() {
            item.vat_rate = rate.to_owned();
        }
        self
    }

    /// Marks the position added last as cancelled.
    pub fn canceled(mut self) -> Self {
        if let Some(item) = self.order.items.last_mut() {
            item.status = "cancel".into();
        }
        self
    }

    /// Discount on the whole order, kopecks.
    pub fn discount(mut self, amount: i64) -> Self {
        self.order.discount_amount = amount;
        self
    }

    /// Adds a payment of `amount` kopecks; the first call replaces the default one.
    pub fn payment(self, payment_type: &str, amount: i64, status: &str) -> Self {
        self.push_payment(payment_type, Some(amount), status)
    }

    /// Adds a payment of what the other payments leave of the order's sum.
    pub fn payment_of_the_rest(self, payment_type: &str, status: &str) -> Self {
        self.push_payment(payment_type, None, status)
    }

    /// An order without any payment row.
    pub fn no_payments(mut self) -> Self {
        self.payments = Payments::Listed(Vec::new());
        self
    }

    fn push_payment(mut self, payment_type: &str, amount: Option<i64>, status: &str) -> Self {
        let payment = Payment::new(payment_type, 0, status);
        match &mut self.payments {
            Payments::Listed(rows) => rows.push((amount, payment)),
            Payments::CashOfTheWhole => self.payments = Payments::Listed(vec![(amount, payment)]),
        }
        self
    }

    /// Receiver: «Фамилия Имя Отчество» (one word is a first name) and phone as entered.
    pub fn receiver(mut self, name: &str, phone: &str) -> Self {
        let words: Vec<&str> = name.split_whitespace().collect();
        let (last, first, patronymic) = match words.as_slice() {
            [] => ("", "", String::new()),
            [first] => ("", *first, String::new()),
            [last, first, rest @ ..] => (*last, *first, rest.join(" ")),
        };
        self = self.text("lastName", last).text("firstName", first).text("patronymic", &patronymic);
        self.text("phone", phone)
    }

    /// A free-text field by its API name (`customerComment`, `additionalPhone`, …); `""` removes it.
    ///
    /// # Panics
    /// When the order has no such field.
    pub fn text(mut self, field: &str, text: &str) -> Self {
        set_text(&mut self.order, field, text);
        self
    }

    /// City and the whole address line; the default street and house go.
    pub fn address(mut self, city: &str, text: &str) -> Self {
        self.order.delivery.address =
            object(json!({"countryIso": "RU", "regionId": "", "cityId": "", "city": city, "text": text}));
        self
    }

    /// One field of the address by its API name.
    pub fn address_field(mut self, field: &str, value: &str) -> Self {
        self.order.delivery.address.insert(field.to_owned(), value.into());
        self
    }

    /// What the buyer pays for delivery, kopecks.
    pub fn delivery_cost(mut self, cost: i64) -> Self {
        self.order.delivery.cost = cost;
        self
    }

    /// Wished date `Y-m-d` and hours `H:i`.
    pub fn delivery_at(mut self, date: &str, from: &str, to: &str) -> Self {
        self.order.delivery.date = Some(date.to_owned());
        self.order.delivery.time = object(json!({"from": from, "to": to}));
        self
    }

    /// The service inside the delivery type.
    pub fn service(mut self, code: &str) -> Self {
        self.order.delivery.service = Some(code.to_owned());
        self
    }

    /// The tariff a manager chose, with the key the module fills in at that moment.
    pub fn tariff(mut self, code: &str, delivery_api_key: &str) -> Self {
        self.order.delivery.data.insert("tariff".into(), code.into());
        self.order.delivery.data.insert("tariffName".into(), code.into());
        self.delivery_api_key(delivery_api_key)
    }

    /// «API ключ службы доставки», which triggers send as `key`.
    pub fn delivery_api_key(mut self, key: &str) -> Self {
        self.order.delivery.set_extra("deliveryApiKey", key.into());
        self
    }

    /// «Не синхронизировать со службой доставки».
    pub fn locked(mut self, locked: bool) -> Self {
        self.order.delivery.data.insert("locked".into(), locked.into());
        self
    }

    /// Any field of `delivery.data`.
    pub fn delivery_data(mut self, field: &str, value: Value) -> Self {
        self.order.delivery.data.insert(field.to_owned(), value);
        self
    }

    /// Weight in grams of the whole parcel and its sizes in millimetres; zeros mean unknown.
    pub fn parcel(mut self, weight: i64, length: i64, width: i64, height: i64) -> Self {
        self.order.sizes = [("weight", weight), ("length", length), ("width", width), ("height", height)].into();
        self.whole_order_weight = true;
        self
    }

    /// A custom field.
    pub fn custom_field(mut self, code: &str, value: Value) -> Self {
        self.order.custom_fields.insert(code.to_owned(), value);
        self
    }

    /// `Y-m-d H:i:s`; now without it.
    pub fn created_at(mut self, text: &str) -> Self {
        self.order.created_at = text.to_owned();
        self
    }

    /// A builder that starts from `order`; payments whose amount is `None` take the rest of the sum.
    pub(super) fn from_order(order: Order, payments: Option<Vec<(Option<i64>, Payment)>>, weight_given: bool) -> Self {
        Self {
            order,
            default_items: false,
            payments: payments.map_or(Payments::CashOfTheWhole, Payments::Listed),
            whole_order_weight: weight_given,
        }
    }

    /// The order under its internal id. Position and payment ids are still 0 or negative: saving gives them.
    pub(super) fn build(self, id: i64, now: &str) -> Order {
        let mut order = self.order;
        order.id = id;
        if order.number.is_empty() {
            order.number = format!("{id}{}", if order.from_api { 'A' } else { 'C' });
        }
        if order.external_id.is_none() {
            order.external_id = Some(format!("SHOP-{id}"));
        }
        if order.created_at.is_empty() {
            order.created_at = now.to_owned();
        }
        order.status_updated_at = order.created_at.clone();
        if !self.whole_order_weight {
            let weight = order.active_items().map(|item| item.weight * item.quantity / 1000).sum();
            order.sizes.insert("weight", weight);
        }
        if let Payments::Listed(rows) = self.payments {
            let known: i64 = rows.iter().filter_map(|(amount, _)| *amount).sum();
            for (place, (amount, payment)) in (1..).zip(rows) {
                let amount = amount.unwrap_or_else(|| (discounted_total(&order) - known).max(0));
                order.payments.insert(-place, Payment { amount, ..payment });
            }
        } else {
            order.payments.insert(-1, Payment::new("cash", discounted_total(&order), "not-paid"));
        }
        order
    }
}

/// What the order costs once its discount is spread, whether or not that has happened yet.
fn discounted_total(order: &Order) -> i64 {
    let unit = |item: &Item| line_total(item.initial_price - item.discount, item.quantity);
    let goods: i64 = order.active_items().map(unit).sum();
    let discount = order.discount_amount + goods * order.discount_percent / 100;
    (goods - discount).max(0) + order.delivery.cost
}

/// What a manager has on the screen: change it and it is saved. Fields of the order are reachable directly.
pub struct OrderDraft {
    pub(super) order: Order,
}

impl Deref for OrderDraft {
    type Target = Order;

    fn deref(&self) -> &Order {
        &self.order
    }
}

impl DerefMut for OrderDraft {
    fn deref_mut(&mut self) -> &mut Order {
        &mut self.order
    }
}

impl OrderDraft {
    /// Order status.
    pub fn set_status(&mut self, code: &str) {
        code.clone_into(&mut self.order.status);
    }

    /// Phone as entered.
    pub fn set_phone(&mut self, phone: &str) {
        self.set_text("phone", phone);
    }

    /// A free-text field by its API name; `""` removes it.
    ///
    /// # Panics
    /// When the order has no such field.
    pub fn set_text(&mut self, field: &str, text: &str) {
        set_text(&mut self.order, field, text);
    }

    /// The order's number.
    pub fn set_number(&mut self, number: &str) {
        number.clone_into(&mut self.order.number);
    }

    /// Delivery type; the data of the former service are dropped.
    pub fn set_delivery_type(&mut self, code: &str) {
        self.order.change_delivery_type(Some(code));
    }

    /// City and address line.
    pub fn set_address(&mut self, city: &str, text: &str) {
        let address = &mut self.order.delivery.address;
        address.insert("city".into(), city.into());
        address.insert("text".into(), text.into());
    }

    /// One field of the address by its API name.
    pub fn set_address_field(&mut self, field: &str, value: &str) {
        self.order.delivery.address.insert(field.to_owned(), value.into());
    }

    /// Wished date `Y-m-d`.
    pub fn set_delivery_date(&mut self, date: &str) {
        self.order.delivery.date = Some(date.to_owned());
    }

    /// What the buyer pays for delivery, kopecks.
    pub fn set_delivery_cost(&mut self, cost: i64) {
        self.order.delivery.cost = cost;
    }

    /// Quantity of the position at `place`.
    ///
    /// # Panics
    /// When there is no such position.
    pub fn set_quantity(&mut self, place: usize, quantity: u32) {
        self.order.items[place].quantity = i64::from(quantity) * 1000;
    }

    /// Adds a payment of `amount` kopecks.
    pub fn add_payment(&mut self, payment_type: &str, amount: i64, status: &str) {
        let place = self.order.payments.keys().next().map_or(-1, |first| (*first).min(0) - 1);
        self.order.payments.insert(place, Payment::new(payment_type, amount, status));
    }

    /// Removes a payment by its id.
    pub fn remove_payment(&mut self, id: i64) {
        self.order.payments.remove(&id);
    }

    /// Removes all payments.
    pub fn remove_payments(&mut self) {
        self.order.payments.clear();
    }

    /// Sets the status of all payments.
    pub fn set_payment_status(&mut self, status: &str) {
        for payment in self.order.payments.values_mut() {
            status.clone_into(&mut payment.status);
        }
    }

    /// Sets the amount of the only payment to what the order costs now.
    pub fn adjust_payment(&mut self) {
        let total = discounted_total(&self.order);
        if let [payment] = self.order.payments.values_mut().collect::<Vec<_>>().as_mut_slice() {
            payment.amount = total;
        }
    }
}

fn set_text(order: &mut Order, field: &str, text: &str) {
    let name = TEXT_FIELDS.iter().find(|(name, _)| *name == field).map(|(name, _)| *name);
    let name = name.expect("a text field of the order");
    if text.is_empty() {
        order.texts.remove(name);
    } else {
        order.texts.insert(name, text.to_owned());
    }
}

fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value { map } else { Map::new() }
}
