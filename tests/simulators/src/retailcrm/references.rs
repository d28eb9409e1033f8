//! The reference books of one account: payment types and statuses, delivery types, order statuses, shops, stores.

use serde_json::{Map, Value, json};

use super::wire::{self, MoneyStyle};

/// A way to pay. A type bound to an online-payment module belongs to that module
/// (protocols/retailcrm.md#payment-rules).
#[derive(Clone)]
pub struct PaymentType {
    /// Symbolic code.
    pub code: String,
    /// Name for people.
    pub name: String,
    /// Whether an online-payment module owns it.
    pub online: bool,
}

/// A state of a payment.
#[derive(Clone)]
pub struct PaymentStatus {
    /// Symbolic code.
    pub code: String,
    /// Name for people.
    pub name: String,
    /// Whether the money counts as received.
    pub complete: bool,
    /// Place in lists.
    pub ordering: i64,
}

/// A way to deliver, possibly tied to an instance of a delivery module.
#[derive(Clone)]
pub struct DeliveryType {
    /// Internal id.
    pub id: i64,
    /// Symbolic code.
    pub code: String,
    /// Name for people.
    pub name: String,
    /// Code of the module *instance* (`measoft-17`).
    pub integration_code: Option<String>,
    /// Payment types with their cash-on-delivery mark.
    pub payment_types: Vec<(String, bool)>,
}

/// An order status and its group.
#[derive(Clone)]
pub struct Status {
    /// Symbolic code.
    pub code: String,
    /// Name for people.
    pub name: String,
    /// Code of the group.
    pub group: String,
    /// Place in lists.
    pub ordering: i64,
}

/// A shop of the account.
#[derive(Clone)]
pub struct Site {
    /// Internal id.
    pub id: i64,
    /// Symbolic code.
    pub code: String,
    /// Name for people.
    pub name: String,
}

/// All reference books of an account. A new account has usable ones.
#[derive(Clone)]
pub struct References {
    /// Payment types in the order of the interface.
    pub payment_types: Vec<PaymentType>,
    /// Payment statuses.
    pub payment_statuses: Vec<PaymentStatus>,
    /// Delivery types.
    pub delivery_types: Vec<DeliveryType>,
    /// Order statuses.
    pub statuses: Vec<Status>,
    /// Shops; the first is the default one.
    pub sites: Vec<Site>,
}

impl Default for References {
    fn default() -> Self {
        let payment_type =
            |code: &str, name: &str, online| PaymentType { code: code.into(), name: name.into(), online };
        let payment_status = |code: &str, name: &str, complete, ordering| PaymentStatus {
            code: code.into(),
            name: name.into(),
            complete,
            ordering,
        };
        let status = |code: &str, name: &str, group: &str, ordering| Status {
            code: code.into(),
            name: name.into(),
            group: group.into(),
            ordering,
        };
        let mut references = Self {
            payment_types: vec![
                payment_type("cash", "Наличными курьеру", false),
                payment_type("bank-card", "Картой", false),
                payment_type("2", "Оплата на сайте", true),
            ],
            payment_statuses: vec![
                payment_status("not-paid", "Не оплачен", false, 10),
                payment_status("paid", "Оплачен", true, 50),
                payment_status("returned", "Возвращён", false, 90),
            ],
            delivery_types: Vec::new(),
            statuses: vec![
                status("new", "Новый", "new", 10),
                status("assembling", "Комплектуется", "assembling", 10),
                status("SentMeaSoft", "Отправлен в MeaSoft", "delivery", 20),
                status("delivering", "Доставляется", "delivery", 30),
                status("complete", "Выполнен", "complete", 10),
                status("cancel-other", "Отменён", "cancel", 10),
                status("return", "Возврат", "cancel", 20),
            ],
            sites: vec![
                Site { id: 1, code: "main-shop".into(), name: "Основной магазин".into() },
                Site { id: 2, code: "second-shop".into(), name: "Второй".into() },
            ],
        };
        references.put_delivery_type("incity", "Курьер по городу", None, &["cash", "bank-card"]);
        references.put_delivery_type("outcity", "Курьер по области", None, &["cash", "bank-card"]);
        references.put_delivery_type("russian-post", "Почта", None, &["cash"]);
        references
    }
}

impl References {
    /// Adds a delivery type or replaces its tie and payment types; returns its id.
    pub fn put_delivery_type(&mut self, code: &str, name: &str, integration: Option<&str>, cod: &[&str]) -> i64 {
        let payment_types =
            self.payment_types.iter().map(|kind| (kind.code.clone(), cod.contains(&kind.code.as_str()))).collect();
        let integration_code = integration.map(str::to_owned);
        if let Some(known) = self.delivery_types.iter_mut().find(|known| known.code == code) {
            known.integration_code = integration_code;
            known.payment_types = payment_types;
            return known.id;
        }
        let id = 31 + i64::try_from(self.delivery_types.len()).unwrap_or(0);
        let name = if name.is_empty() { code } else { name };
        self.delivery_types.push(DeliveryType {
            id,
            code: code.into(),
            name: name.into(),
            integration_code,
            payment_types,
        });
        id
    }

    /// The delivery type with this code.
    pub fn delivery_type(&self, code: &str) -> Option<&DeliveryType> {
        self.delivery_types.iter().find(|kind| kind.code == code)
    }

    /// The payment type with this code.
    pub fn payment_type(&self, code: &str) -> Option<&PaymentType> {
        self.payment_types.iter().find(|kind| kind.code == code)
    }

    /// The payment status with this code.
    pub fn payment_status(&self, code: &str) -> Option<&PaymentStatus> {
        self.payment_statuses.iter().find(|status| status.code == code)
    }

    /// Whether money in this payment status counts as received.
    pub fn is_complete(&self, payment_status: &str) -> bool {
        self.payment_status(payment_status).is_some_and(|status| status.complete)
    }

    /// The order status with this code.
    pub fn status(&self, code: &str) -> Option<&Status> {
        self.statuses.iter().find(|status| status.code == code)
    }

    /// The shop with this code.
    pub fn site(&self, code: &str) -> Option<&Site> {
        self.sites.iter().find(|site| site.code == code)
    }

    /// The answer of `GET reference/{name}`, or `None` for an unknown book
    /// (protocols/retailcrm.md#references).
    pub fn answer(&self, name: &str) -> Option<Value> {
        let (key, book) = match name {
            "payment-types" => ("paymentTypes", self.payment_types_json()),
            "payment-statuses" => ("paymentStatuses", self.payment_statuses_json()),
            "delivery-types" => ("deliveryTypes", self.delivery_types_json()),
            "statuses" => ("statuses", self.statuses_json()),
            "product-statuses" => ("productStatuses", product_statuses()),
            _ => return None,
        };
        let mut answer = Map::new();
        answer.insert("success".into(), Value::Bool(true));
        answer.insert(key.into(), book);
        Some(Value::Object(answer))
    }

    fn payment_types_json(&self) -> Value {
        let statuses: Vec<&str> = self.payment_statuses.iter().map(|status| status.code.as_str()).collect();
        by_code(self.payment_types.iter().enumerate().map(|(place, kind)| {
            let delivery_types: Vec<&str> = self
                .delivery_types
                .iter()
                .filter(|delivery| delivery.payment_types.iter().any(|(code, _)| *code == kind.code))
                .map(|delivery| delivery.code.as_str())
                .collect();
            let mut row = json!({"name": kind.name, "code": kind.code, "active": true, "defaultForCrm": place == 0,
                "defaultForApi": place == 0, "description": "", "deliveryTypes": delivery_types,
                "paymentStatuses": statuses, "sites": []});
            if kind.online {
                row["integrationModule"] =
                    json!({"name": "Платёжный модуль", "active": true, "logo": "https://pay.example/logo.svg"});
            }
            (kind.code.clone(), row)
        }))
    }

    fn payment_statuses_json(&self) -> Value {
        let types: Vec<&str> = self.payment_types.iter().map(|kind| kind.code.as_str()).collect();
        by_code(self.payment_statuses.iter().enumerate().map(|(place, status)| {
            let row = json!({"name": status.name, "code": status.code, "active": true, "defaultForCrm": place == 0,
                "defaultForApi": place == 0, "paymentComplete": status.complete, "ordering": status.ordering,
                "paymentTypes": types});
            (status.code.clone(), row)
        }))
    }

    fn delivery_types_json(&self) -> Value {
        by_code(self.delivery_types.iter().map(|kind| {
            let payment_types: Vec<&str> = kind.payment_types.iter().map(|(code, _)| code.as_str()).collect();
            let cod: Vec<Value> =
                kind.payment_types.iter().map(|(code, cod)| json!({"code": code, "cod": cod})).collect();
            let mut row = json!({"id": kind.id, "isDynamicCostCalculation": false,
                "isAutoCostCalculation": kind.integration_code.is_some(),
                "isAutoNetCostCalculation": kind.integration_code.is_some(),
                "isCostDependsOnRegionAndWeightAndSum": false, "isCostDependsOnDateTime": false, "currency": "RUB",
                "name": kind.name, "code": kind.code, "active": true, "defaultCost": 0, "defaultNetCost": 0,
                "description": "", "paymentTypes": payment_types, "deliveryPaymentTypes": cod,
                "deliveryServices": [], "defaultForCrm": false, "vatRate": "none", "sites": []});
            if let Some(integration_code) = &kind.integration_code {
                row["integrationCode"] = integration_code.as_str().into();
            }
            (kind.code.clone(), row)
        }))
    }

    fn statuses_json(&self) -> Value {
        by_code(self.statuses.iter().map(|status| {
            let row = json!({"name": status.name, "code": status.code, "active": true,
                "ordering": status.ordering, "group": status.group});
            (status.code.clone(), row)
        }))
    }
}

/// Statuses of positions: `cancelStatus` tells which cancel one.
/// Position statuses: code, name, whether they cancel.
pub(super) const PRODUCT_STATUSES: [(&str, &str, bool); 6] = [
    ("new", "Новый", false),
    ("in-stock", "В наличии", false),
    ("delivered", "Вручён", false),
    ("no-product", "Нет в наличии", true),
    ("cancel", "Отменён", true),
    ("returned", "Возврат", true),
];

fn product_statuses() -> Value {
    by_code(PRODUCT_STATUSES.into_iter().enumerate().map(|(place, (code, name, cancels))| {
        let row = json!({"name": name, "code": code, "active": true, "ordering": (place + 1) * 10,
            "createdAt": "2024-01-09 12:00:00", "cancelStatus": cancels});
        (code.to_owned(), row)
    }))
}

/// The address of the only store, as callbacks name it `shipmentAddress`.
pub fn store_address() -> Value {
    json!({"index": "109004", "countryIso": "RU", "region": "Москва", "regionId": 1_000_000_001, "city": "Москва",
        "cityId": 4400, "cityType": "г.", "street": "Таганская", "streetType": "ул.", "building": "3",
        "text": "ул. Таганская, д. 3"})
}

/// The working hours of the only store.
pub fn store_work_time() -> Value {
    json!({"mo": [{"startTime": "09:00", "endTime": "19:00", "lunchStartTime": "13:00", "lunchEndTime": "14:00"}],
        "tu": [{"startTime": "09:00", "endTime": "19:00"}], "sa": []})
}

fn by_code(rows: impl Iterator<Item = (String, Value)>) -> Value {
    Value::Object(rows.collect())
}

/// `billingInfo` of a free module.
pub fn free_billing() -> Value {
    json!({"price": wire::money(0, MoneyStyle::Short), "priceWithDiscount": 0,
        "currency": {"name": "Рубль", "shortName": "руб.", "code": "RUB"}, "billingType": "fixed"})
}
