//! One order as the CRM keeps it: positions, payments, delivery; how it is rendered and what a change of it is called.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::references::References;
use super::wire::{self, MoneyStyle};

/// A payment of an order. Amounts are kopecks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Internal id.
    pub id: i64,
    /// Code of the payment type.
    pub payment_type: String,
    /// Code of the payment status.
    pub status: String,
    /// Kopecks.
    pub amount: i64,
    /// Id given by the API user.
    pub external_id: Option<String>,
    /// `Y-m-d H:i:s` in the account's zone.
    pub paid_at: Option<String>,
    /// Free text.
    pub comment: Option<String>,
}

impl Payment {
    /// One that RetailCRM knows no more of; without an id until it is saved.
    pub fn new(payment_type: &str, amount: i64, status: &str) -> Self {
        let (payment_type, status) = (payment_type.to_owned(), status.to_owned());
        Self { id: 0, payment_type, status, amount, external_id: None, paid_at: None, comment: None }
    }

    /// As the API shows it.
    pub fn to_json(&self, style: MoneyStyle) -> Value {
        let mut row = Map::new();
        row.insert("id".into(), self.id.into());
        row.insert("status".into(), self.status.as_str().into());
        row.insert("type".into(), self.payment_type.as_str().into());
        row.insert("amount".into(), wire::money(self.amount, style));
        put_text(&mut row, "externalId", self.external_id.as_deref());
        put_text(&mut row, "paidAt", self.paid_at.as_deref());
        put_text(&mut row, "comment", self.comment.as_deref());
        Value::Object(row)
    }
}

/// A position. Prices are kopecks per unit, quantities thousandths.
#[derive(Clone, Default, PartialEq)]
pub struct Item {
    /// Internal id; 0 until the order is saved.
    pub id: i64,
    /// Id given by the shop.
    pub external_id: Option<String>,
    /// Name of the offer, or of the free-text position.
    pub name: String,
    /// Whether an offer of the catalogue stands behind it.
    pub has_offer: bool,
    /// Price before discounts, per unit.
    pub initial_price: i64,
    /// Manual discount of this position, per unit.
    pub discount: i64,
    /// Share of the order's discount, for the whole line. Set by [`Order::recompute`].
    pub order_discount: i64,
    /// Thousandths.
    pub quantity: i64,
    /// `none` or a number as text.
    pub vat_rate: String,
    /// Position status; `cancel` and `returned` mean that it does not count.
    pub status: String,
    /// «Честный знак» codes.
    pub marking_codes: Vec<String>,
    /// Grams per unit.
    pub weight: i64,
    /// Free text.
    pub comment: String,
    /// Code → `{code, name, value}`.
    pub properties: Map<String, Value>,
}

impl Item {
    /// A position of the catalogue.
    pub fn new(name: &str, price: i64, quantity: i64, weight: i64) -> Self {
        Self {
            name: name.to_owned(),
            has_offer: true,
            initial_price: price,
            quantity,
            vat_rate: "20.00".into(),
            status: "new".into(),
            weight,
            ..Self::default()
        }
    }

    /// Not to be shipped and not counted.
    pub fn is_canceled(&self) -> bool {
        matches!(self.status.as_str(), "cancel" | "returned")
    }

    /// Final unit prices with their quantities. A share of the order's discount that does not divide evenly splits the
    /// position into two prices one kopeck apart (protocols/retailcrm.md#items).
    pub fn prices(&self) -> Vec<(i64, i64)> {
        let unit = self.initial_price - self.discount;
        if self.order_discount == 0 || self.quantity <= 0 {
            return vec![(unit, self.quantity)];
        }
        let line = line_total(unit, self.quantity) - self.order_discount;
        if self.quantity % 1000 != 0 {
            return vec![(line * 1000 / self.quantity, self.quantity)];
        }
        let units = self.quantity / 1000;
        let dearer = line.rem_euclid(units);
        let price = line.div_euclid(units);
        let split = [(price + 1, dearer * 1000), (price, (units - dearer) * 1000)];
        split.into_iter().filter(|(_, quantity)| *quantity > 0).collect()
    }

    /// Final price of the line.
    pub fn total(&self) -> i64 {
        self.prices().iter().map(|(price, quantity)| line_total(*price, *quantity)).sum()
    }

    fn discount_per_unit(&self) -> rust_decimal::Decimal {
        let whole = rust_decimal::Decimal::new(self.discount, 2);
        let share =
            rust_decimal::Decimal::new(self.order_discount, 2) / rust_decimal::Decimal::new(self.quantity.max(1), 3);
        if self.order_discount == 0 { whole } else { (whole + share).round_dp(14) }
    }

    fn offer(&self) -> Value {
        let id = self.id + 3700;
        json!({"displayName": self.name, "id": id, "externalId": format!("offer-{id}"), "xmlId": format!("1c-{id}"),
            "name": self.name, "article": format!("A-{id}"), "vatRate": self.vat_rate,
            "barcode": format!("{:013}", 4_600_000_000_000 + id),
            "unit": {"code": "pc", "name": "Штука", "sym": "шт."}, "properties": []})
    }

    fn to_json(&self, created_at: &str, style: MoneyStyle) -> Value {
        let mut row = Map::new();
        row.insert("id".into(), self.id.into());
        let external: Vec<Value> =
            self.external_id.iter().map(|value| json!({"code": "default", "value": value})).collect();
        row.insert("externalIds".into(), external.into());
        row.insert("priceType".into(), json!({"code": "base"}));
        let initial = match style {
            // Recorded answers carry binary noise in the price before discounts
            // (protocols/retailcrm.md#items).
            MoneyStyle::TwoDecimals => wire::number(&format!("{}0000000017", wire::roubles_two(self.initial_price))),
            other => wire::money(self.initial_price, other),
        };
        row.insert("initialPrice".into(), initial);
        row.insert("discountTotal".into(), wire::number(&self.discount_per_unit().normalize().to_string()));
        let mut discounts = Vec::new();
        if self.discount > 0 {
            discounts.push(json!({"type": "manual_product", "amount": wire::money(self.discount, style)}));
        }
        if self.order_discount > 0 {
            discounts.push(json!({"type": "manual_order", "amount": wire::money(self.order_discount, style)}));
        }
        row.insert("discounts".into(), discounts.into());
        let prices: Vec<Value> = self
            .prices()
            .into_iter()
            .map(|(price, quantity)| json!({"price": wire::money(price, style), "quantity": wire::quantity(quantity)}))
            .collect();
        row.insert("prices".into(), prices.into());
        row.insert("vatRate".into(), self.vat_rate.as_str().into());
        row.insert("createdAt".into(), created_at.into());
        row.insert("quantity".into(), wire::quantity(self.quantity));
        row.insert("status".into(), self.status.as_str().into());
        row.insert("isCanceled".into(), self.is_canceled().into());
        row.insert("markingCodes".into(), self.marking_codes.clone().into());
        row.insert("comment".into(), self.comment.as_str().into());
        if self.has_offer {
            row.insert("offer".into(), self.offer());
        } else {
            row.insert("productName".into(), self.name.as_str().into());
        }
        row.insert("properties".into(), wire::map_or_empty_list(self.properties.clone()));
        row.insert("purchasePrice".into(), wire::number(&wire::roubles_two(self.purchase_price())));
        Value::Object(row)
    }

    fn purchase_price(&self) -> i64 {
        self.initial_price * 6 / 10
    }
}

/// `price` kopecks × `quantity` thousandths, rounded to the kopeck.
pub fn line_total(price: i64, quantity: i64) -> i64 {
    let exact = i128::from(price) * i128::from(quantity);
    i64::try_from((exact + exact.signum() * 500) / 1000).unwrap_or(i64::MAX)
}

/// The delivery block of an order.
#[derive(Clone, PartialEq, Default)]
pub struct Delivery {
    /// Code of the delivery type.
    pub code: Option<String>,
    /// Code of the service inside the type.
    pub service: Option<String>,
    /// What the buyer pays, kopecks.
    pub cost: i64,
    /// What the shop pays to the carrier, kopecks.
    pub net_cost: i64,
    /// `none` or a number as text.
    pub vat_rate: String,
    /// `Y-m-d`.
    pub date: Option<String>,
    /// `from`, `to`, `custom`.
    pub time: Map<String, Value>,
    /// Address fields as the API names them.
    pub address: Map<String, Value>,
    /// `delivery.data` of the service, empty for types without a module.
    pub data: Map<String, Value>,
}

impl Delivery {
    /// `delivery.data.externalId`: the delivery's id at the service.
    pub fn external_id(&self) -> Option<&str> {
        self.data.get("externalId").and_then(Value::as_str).filter(|id| !id.is_empty())
    }

    /// `delivery.data.extraData[code]`.
    pub fn extra(&self, code: &str) -> Option<&str> {
        self.data.get("extraData")?.get(code)?.as_str()
    }

    /// Sets one field of `delivery.data.extraData`; `null` and `""` remove it.
    pub fn set_extra(&mut self, code: &str, value: Value) {
        let extra = self.data.entry("extraData").or_insert_with(|| Value::Object(Map::new()));
        if !extra.is_object() {
            *extra = Value::Object(Map::new());
        }
        if let Some(extra) = extra.as_object_mut() {
            if value.is_null() || value.as_str() == Some("") {
                extra.remove(code);
            } else {
                extra.insert(code.to_owned(), value);
            }
        }
    }

    fn to_json(&self, references: &References, style: MoneyStyle) -> Value {
        let mut row = Map::new();
        let kind = self.code.as_deref().and_then(|code| references.delivery_type(code));
        put_text(&mut row, "code", self.code.as_deref());
        put_text(&mut row, "integrationCode", kind.and_then(|kind| kind.integration_code.as_deref()));
        if let Some(service) = &self.service {
            row.insert("service".into(), json!({"name": "Экспресс", "code": service, "active": true}));
        }
        row.insert("cost".into(), wire::money(self.cost, style));
        row.insert("netCost".into(), wire::money(self.net_cost, style));
        row.insert("vatRate".into(), self.vat_rate.as_str().into());
        put_text(&mut row, "date", self.date.as_deref());
        if !self.time.is_empty() {
            row.insert("time".into(), Value::Object(self.time.clone()));
        }
        row.insert("address".into(), Value::Object(self.address.clone()));
        let mut data = self.data.clone();
        if let Some(Value::Object(extra)) = data.get_mut("extraData") {
            let extra = std::mem::take(extra);
            data.insert("extraData".into(), wire::map_or_empty_list(extra));
        }
        row.insert("data".into(), wire::map_or_empty_list(data));
        Value::Object(row)
    }
}

/// A whole order. Money is kopecks, weights grams, sizes millimetres.
#[derive(Clone, Default, PartialEq)]
pub struct Order {
    /// Internal id.
    pub id: i64,
    /// What people see; not unique.
    pub number: String,
    /// Id in the shop, unique with the site.
    pub external_id: Option<String>,
    /// Shop code.
    pub site: String,
    /// Order status code.
    pub status: String,
    /// `Y-m-d H:i:s`.
    pub status_updated_at: String,
    /// `Y-m-d H:i:s`.
    pub created_at: String,
    /// Created through the API.
    pub from_api: bool,
    /// Internal id of the manager.
    pub manager_id: Option<i64>,
    /// Text fields of the order by their API name: names, phones, e-mail, comments, `shipmentDate`, …
    pub texts: BTreeMap<&'static str, String>,
    /// Positions.
    pub items: Vec<Item>,
    /// Payments by id.
    pub payments: BTreeMap<i64, Payment>,
    /// Delivery block.
    pub delivery: Delivery,
    /// `weight`, `length`, `width`, `height`.
    pub sizes: BTreeMap<&'static str, i64>,
    /// Discount on the order, kopecks.
    pub discount_amount: i64,
    /// Discount on the order, whole percents.
    pub discount_percent: i64,
    /// Goods left the shop.
    pub shipped: bool,
    /// Set by [`Order::recompute`].
    pub full_paid_at: Option<String>,
    /// Code → value.
    pub custom_fields: Map<String, Value>,
}

/// API name and history name of the free-text fields.
pub const TEXT_FIELDS: [(&str, &str); 11] = [
    ("lastName", "last_name"),
    ("firstName", "first_name"),
    ("patronymic", "patronymic"),
    ("phone", "phone"),
    ("additionalPhone", "additional_phone"),
    ("email", "email"),
    ("customerComment", "customer_comment"),
    ("managerComment", "manager_comment"),
    ("statusComment", "status_comment"),
    ("shipmentDate", "shipment_date"),
    ("shipmentStore", "shipment_store"),
];

/// Names of the parcel's measures, the same in API and history.
pub const SIZE_FIELDS: [&str; 4] = ["weight", "length", "width", "height"];

/// One changed field, named as in `orders/history` and in trigger conditions
/// (protocols/retailcrm.md#trigger-conditions).
#[derive(Clone)]
pub struct Change {
    /// `phone`, `payments.status`, …
    pub field: String,
    /// Former value.
    pub old: Value,
    /// New value.
    pub new: Value,
    /// `item` or `payment` with what it points at.
    pub detail: Option<(&'static str, Value)>,
}

impl Order {
    /// A text field by its API name, `""` when absent.
    pub fn text(&self, field: &str) -> &str {
        self.texts.get(field).map_or("", String::as_str)
    }

    /// Positions that are not cancelled.
    pub fn active_items(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| !item.is_canceled())
    }

    /// Goods with discounts, without delivery.
    pub fn goods_total(&self) -> i64 {
        self.active_items().map(Item::total).sum()
    }

    /// `totalSumm`.
    pub fn total(&self) -> i64 {
        self.goods_total() + self.delivery.cost
    }

    /// `prepaySum`: payments whose status counts as received.
    pub fn prepaid(&self, references: &References) -> i64 {
        self.payments.values().filter(|payment| references.is_complete(&payment.status)).map(|p| p.amount).sum()
    }

    /// The declared value the trigger language gives: `itemDeclaredValues` when present, else the goods.
    pub fn declared(&self) -> i64 {
        let Some(Value::Array(values)) = self.delivery.data.get("itemDeclaredValues") else {
            return self.goods_total();
        };
        self.active_items()
            .map(|item| {
                let declared = values
                    .iter()
                    .find(|row| row["orderProduct"]["id"].as_i64() == Some(item.id))
                    .and_then(|row| wire::read_kopecks(&row["value"]));
                declared.map_or_else(|| item.total(), |value| line_total(value, item.quantity))
            })
            .sum()
    }

    /// Spreads the order's discount over the positions and sets what follows from sums.
    pub fn recompute(&mut self, references: &References, now: &str) {
        let full: i64 =
            self.active_items().map(|item| line_total(item.initial_price - item.discount, item.quantity)).sum();
        let discount = (self.discount_amount + full * self.discount_percent / 100).min(full);
        let mut left = discount;
        let last = self.items.iter().rposition(|item| !item.is_canceled());
        for (place, item) in self.items.iter_mut().enumerate() {
            item.order_discount = 0;
            if item.is_canceled() || full == 0 {
                continue;
            }
            let line = line_total(item.initial_price - item.discount, item.quantity);
            item.order_discount = if Some(place) == last { left } else { discount * line / full };
            left -= item.order_discount;
        }
        let total = self.total();
        if total > 0 && self.prepaid(references) >= total {
            self.full_paid_at.get_or_insert_with(|| now.to_owned());
        } else {
            self.full_paid_at = None;
        }
    }

    /// Changes the delivery type; the data of the former service are dropped
    /// (protocols/retailcrm.md#delivery).
    pub fn change_delivery_type(&mut self, code: Option<&str>) {
        if self.delivery.code.as_deref() != code {
            self.delivery.code = code.map(str::to_owned);
            self.delivery.service = None;
            self.delivery.data = Map::new();
        }
    }

    /// The order as the API shows it. Payments are a map by id in reads and a list inside history
    /// (protocols/retailcrm.md#order-payments).
    pub fn to_json(&self, references: &References, style: MoneyStyle, payments_as_list: bool) -> Value {
        let mut row = Map::new();
        row.insert("id".into(), self.id.into());
        row.insert("slug".into(), self.id.into());
        row.insert("number".into(), self.number.as_str().into());
        put_text(&mut row, "externalId", self.external_id.as_deref());
        row.insert("orderType".into(), "eshop-individual".into());
        row.insert("orderMethod".into(), if self.from_api { "shopping-cart" } else { "phone" }.into());
        row.insert("privilegeType".into(), "none".into());
        row.insert("countryIso".into(), "RU".into());
        row.insert("createdAt".into(), self.created_at.as_str().into());
        row.insert("statusUpdatedAt".into(), self.status_updated_at.as_str().into());
        put_text(&mut row, "fullPaidAt", self.full_paid_at.as_deref());
        let summ: i64 = self.active_items().map(|item| line_total(item.initial_price, item.quantity)).sum();
        row.insert("summ".into(), wire::money(summ, style));
        row.insert("totalSumm".into(), wire::money(self.total(), style));
        row.insert("prepaySum".into(), wire::money(self.prepaid(references), style));
        let purchase: i64 = self.active_items().map(|item| line_total(item.purchase_price(), item.quantity)).sum();
        row.insert("purchaseSumm".into(), wire::money(purchase, style));
        row.insert("discountManualAmount".into(), wire::money(self.discount_amount, style));
        row.insert("discountManualPercent".into(), self.discount_percent.into());
        row.insert("personalDiscountPercent".into(), 0.into());
        row.insert("currency".into(), "RUB".into());
        row.insert("mark".into(), 0.into());
        for (name, text) in &self.texts {
            row.insert((*name).into(), text.as_str().into());
        }
        row.insert("call".into(), false.into());
        row.insert("expired".into(), false.into());
        if let Some(manager) = self.manager_id {
            row.insert("managerId".into(), manager.into());
        }
        row.insert("customer".into(), self.customer());
        row.insert("contragent".into(), json!({"contragentType": "individual"}));
        row.insert("delivery".into(), self.delivery.to_json(references, style));
        row.insert("site".into(), self.site.as_str().into());
        row.insert("status".into(), self.status.as_str().into());
        let items: Vec<Value> = self.items.iter().map(|item| item.to_json(&self.created_at, style)).collect();
        row.insert("items".into(), items.into());
        let payments = if payments_as_list {
            Value::Array(self.payments.values().map(|payment| payment.to_json(style)).collect())
        } else {
            let map = self.payments.values().map(|payment| (payment.id.to_string(), payment.to_json(style))).collect();
            wire::map_or_empty_list(map)
        };
        row.insert("payments".into(), payments);
        row.insert("links".into(), json!([]));
        row.insert("fromApi".into(), self.from_api.into());
        for (name, size) in &self.sizes {
            row.insert((*name).into(), (*size).into());
        }
        row.insert("shipped".into(), self.shipped.into());
        row.insert("source".into(), json!({"source": "google", "medium": "cpc", "campaign": "spring"}));
        row.insert("customFields".into(), wire::map_or_empty_list(self.custom_fields.clone()));
        Value::Object(row)
    }

    fn customer(&self) -> Value {
        let mut row = Map::new();
        row.insert("type".into(), "customer".into());
        row.insert("id".into(), (self.id + 2000).into());
        row.insert("externalId".into(), format!("u-{}", self.id + 2000).into());
        row.insert("isContact".into(), false.into());
        row.insert("createdAt".into(), self.created_at.as_str().into());
        row.insert("vip".into(), false.into());
        row.insert("bad".into(), false.into());
        row.insert("site".into(), self.site.as_str().into());
        row.insert("contragent".into(), json!({"contragentType": "individual"}));
        row.insert("customFields".into(), wire::map_or_empty_list(Map::new()));
        for name in ["firstName", "lastName", "patronymic", "email"] {
            put_text(&mut row, name, self.texts.get(name).map(String::as_str));
        }
        let phones: Vec<Value> = self.phones().map(|number| json!({"number": number})).collect();
        row.insert("phones".into(), phones.into());
        Value::Object(row)
    }

    /// Both phone texts of the order, as entered.
    pub fn phones(&self) -> impl Iterator<Item = &str> {
        ["phone", "additionalPhone"].into_iter().map(|name| self.text(name)).filter(|text| !text.is_empty())
    }

    /// Every field that differs from `old`, in the order of history.
    pub fn changes_since(&self, old: &Order, references: &References) -> Vec<Change> {
        let mut changes = Changes(Vec::new());
        changes.code("status", &old.status, &self.status);
        changes.text("number", &old.number, &self.number);
        changes.option("external_id", old.external_id.as_deref(), self.external_id.as_deref());
        changes.code("site", &old.site, &self.site);
        for (name, field) in TEXT_FIELDS {
            let value = |order: &Order| order.texts.get(name).cloned();
            changes.option(field, value(old).as_deref(), value(self).as_deref());
        }
        for name in SIZE_FIELDS {
            let value = |order: &Order| order.sizes.get(name).map_or(Value::Null, |size| (*size).into());
            changes.any(name, value(old), value(self));
        }
        changes.any("shipped", old.shipped.into(), self.shipped.into());
        changes.money("discount_manual_amount", old.discount_amount, self.discount_amount);
        changes.any("discount_manual_percent", old.discount_percent.into(), self.discount_percent.into());
        self.delivery_changes(old, &mut changes);
        self.item_changes(old, &mut changes);
        self.payment_changes(old, &mut changes);
        changes.money("total_summ", old.total(), self.total());
        changes.money("prepay_sum", old.prepaid(references), self.prepaid(references));
        changes.option("full_paid_at", old.full_paid_at.as_deref(), self.full_paid_at.as_deref());
        let keys = old.custom_fields.keys().chain(self.custom_fields.keys());
        for key in unique(keys) {
            let value = |order: &Order| order.custom_fields.get(key).cloned().unwrap_or_default();
            changes.any(&format!("custom_{key}"), value(old), value(self));
        }
        changes.0
    }

    fn delivery_changes(&self, old: &Order, changes: &mut Changes) {
        let (before, after) = (&old.delivery, &self.delivery);
        let code = |delivery: &Delivery| delivery.code.as_ref().map_or(Value::Null, |code| json!({"code": code}));
        changes.any("delivery_type", code(before), code(after));
        changes.money("delivery_cost", before.cost, after.cost);
        changes.money("delivery_net_cost", before.net_cost, after.net_cost);
        changes.option("delivery_date", before.date.as_deref(), after.date.as_deref());
        let time = |map: &Map<String, Value>| if map.is_empty() { Value::Null } else { Value::Object(map.clone()) };
        changes.any("delivery_time", time(&before.time), time(&after.time));
        for (prefix, left, right) in [
            ("delivery_address", &before.address, &after.address),
            ("integration_delivery_data", &before.data, &after.data),
        ] {
            for key in unique(left.keys().chain(right.keys())) {
                let value = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                changes.any(&format!("{prefix}.{}", snake(key)), value(left), value(right));
            }
        }
    }

    fn item_changes(&self, old: &Order, changes: &mut Changes) {
        let detail = |item: &Item| {
            let mut row = json!({"id": item.id});
            if item.has_offer {
                let offer = item.offer();
                row["offer"] = json!({"id": offer["id"], "externalId": offer["externalId"], "xmlId": offer["xmlId"]});
            }
            Some(("item", row))
        };
        for item in &old.items {
            if !self.items.iter().any(|now| now.id == item.id) {
                changes.detailed("order_product", json!({"id": item.id}), Value::Null, detail(item));
            }
        }
        for item in &self.items {
            let Some(before) = old.items.iter().find(|before| before.id == item.id) else {
                changes.detailed("order_product", Value::Null, json!({"id": item.id}), detail(item));
                continue;
            };
            let pairs = [
                ("quantity", wire::quantity(before.quantity), wire::quantity(item.quantity)),
                ("initial_price", short(before.initial_price), short(item.initial_price)),
                ("discount_manual_amount", short(before.discount), short(item.discount)),
                ("summ", short(before.total()), short(item.total())),
                ("status", json!({"code": before.status}), json!({"code": item.status})),
                ("vat_rate", before.vat_rate.as_str().into(), item.vat_rate.as_str().into()),
                ("name", before.name.as_str().into(), item.name.as_str().into()),
                ("marking_codes", before.marking_codes.clone().into(), item.marking_codes.clone().into()),
            ];
            for (field, left, right) in pairs {
                if left != right {
                    changes.detailed(&format!("order_product.{field}"), left, right, detail(item));
                }
            }
        }
    }

    fn payment_changes(&self, old: &Order, changes: &mut Changes) {
        let mark = |payment: &Payment| json!({"id": payment.id, "type": payment.payment_type});
        let detail = |payment: &Payment| {
            let mut row = payment.to_json(MoneyStyle::Short);
            if let Some(row) = row.as_object_mut() {
                row.remove("comment");
            }
            Some(("payment", row))
        };
        for (id, payment) in &old.payments {
            if !self.payments.contains_key(id) {
                changes.detailed("payments", mark(payment), Value::Null, detail(payment));
            }
        }
        for (id, payment) in &self.payments {
            let Some(before) = old.payments.get(id) else {
                changes.detailed("payments", Value::Null, mark(payment), detail(payment));
                continue;
            };
            let text = |value: &Option<String>| value.as_deref().map_or(Value::Null, Value::from);
            let pairs = [
                ("status", json!({"code": before.status}), json!({"code": payment.status})),
                ("type", json!({"code": before.payment_type}), json!({"code": payment.payment_type})),
                ("amount", short(before.amount), short(payment.amount)),
                ("paid_at", text(&before.paid_at), text(&payment.paid_at)),
                ("external_id", text(&before.external_id), text(&payment.external_id)),
                ("comment", text(&before.comment), text(&payment.comment)),
            ];
            for (field, left, right) in pairs {
                if left != right {
                    changes.detailed(&format!("payments.{field}"), left, right, detail(payment));
                }
            }
        }
    }
}

struct Changes(Vec<Change>);

impl Changes {
    fn detailed(&mut self, field: &str, old: Value, new: Value, detail: Option<(&'static str, Value)>) {
        self.0.push(Change { field: field.to_owned(), old, new, detail });
    }

    fn any(&mut self, field: &str, old: Value, new: Value) {
        if old != new {
            self.detailed(field, old, new, None);
        }
    }

    fn text(&mut self, field: &str, old: &str, new: &str) {
        self.any(field, old.into(), new.into());
    }

    fn option(&mut self, field: &str, old: Option<&str>, new: Option<&str>) {
        self.any(field, old.map_or(Value::Null, Value::from), new.map_or(Value::Null, Value::from));
    }

    fn code(&mut self, field: &str, old: &str, new: &str) {
        self.any(field, json!({"code": old}), json!({"code": new}));
    }

    fn money(&mut self, field: &str, old: i64, new: i64) {
        self.any(field, short(old), short(new));
    }
}

fn short(kopecks: i64) -> Value {
    wire::money(kopecks, MoneyStyle::Short)
}

fn unique<'a>(keys: impl Iterator<Item = &'a String>) -> Vec<&'a String> {
    let mut seen: Vec<&String> = keys.collect();
    seen.sort();
    seen.dedup();
    seen
}

fn snake(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

fn put_text(row: &mut Map<String, Value>, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        row.insert(key.to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uneven_discount_splits_a_position_without_losing_kopecks() {
        let mut item = Item::new("Стул", 10_000, 3000, 0);
        item.order_discount = 1_001;
        assert_eq!(item.prices(), [(9_667, 1000), (9_666, 2000)]);
        assert_eq!(item.total(), 30_000 - 1_001);
    }

    #[test]
    fn a_fractional_quantity_is_rounded_to_the_kopeck() {
        assert_eq!(line_total(333, 1500), 500);
        assert_eq!(line_total(-333, 1500), -500);
    }
}
