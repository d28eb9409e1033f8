//! References of the account (retailcrm-api.md D): maps by code, stores a list.

use crate::retailcrm::tolerant::{Misread, Node, flag, integer, text};

/// A payment type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentType {
    pub code: String,
    pub name: String,
    pub active: bool,
    /// It belongs to an online-payment module: its payments are never touched by us
    /// (retailcrm-api.md C.4.3).
    pub integration_module: bool,
    /// Codes of the delivery types it may be used with.
    pub delivery_types: Vec<String>,
    pub payment_statuses: Vec<String>,
    /// Empty means every shop.
    pub sites: Vec<String>,
}

/// A payment status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentStatus {
    pub code: String,
    pub name: String,
    pub active: bool,
    /// A payment in this status counts as paid.
    pub payment_complete: bool,
    /// Codes of the payment types it may be used with.
    pub payment_types: Vec<String>,
}

/// A status of an order's position (`reference/product-statuses`; the fields by RetailCRM's
/// public clients, no recorded answer is known).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductStatus {
    pub code: String,
    pub name: String,
    /// `cancelStatus`: a position in this status is neither shipped nor counted.
    pub cancels: bool,
}

/// A delivery type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryType {
    pub id: Option<i64>,
    pub code: String,
    pub name: String,
    pub active: bool,
    /// Code of the module *instance* behind it.
    pub integration_code: Option<String>,
    pub payment_types: Vec<DeliveryPaymentType>,
    pub sites: Vec<String>,
}

/// A payment type within a delivery type (`deliveryPaymentTypes[]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryPaymentType {
    pub code: String,
    /// Cash on delivery; `None` when not said.
    pub cod: Option<bool>,
}

/// An order status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub code: String,
    pub name: String,
    pub active: bool,
    /// Code of the status group: `new`, `delivery`, `cancel`…
    pub group: Option<String>,
}

/// A shop of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    pub code: String,
    pub name: String,
    pub url: Option<String>,
    pub default_for_crm: bool,
    pub currency: Option<String>,
    pub country_iso: Option<String>,
}

/// A store (warehouse).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    pub code: String,
    pub name: String,
    pub external_id: Option<String>,
    pub active: bool,
    /// `store-type-warehouse`, `store-type-retail`…
    pub kind: Option<String>,
    /// Town of its address.
    pub city: Option<String>,
}

/// A delivery service within a delivery type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryService {
    pub code: String,
    pub name: String,
    pub active: bool,
}

/// The code of an entry: its own field, else its key in the map.
fn code(node: &Node<'_>) -> Result<String, Misread> {
    let fields = node.fields()?;
    fields.get("code", text)?.or_else(|| node.key.map(str::to_owned)).ok_or_else(|| fields.missing("code"))
}

/// Reads one entry of a reference.
pub(crate) trait Entry: Sized {
    fn read(node: &Node<'_>) -> Result<Self, Misread>;
}

impl Entry for PaymentType {
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        let t = node.fields()?;
        Ok(Self {
            code: code(node)?,
            name: t.lax("name", text).unwrap_or_default(),
            active: t.lax("active", flag).unwrap_or(true),
            integration_module: t.object("integrationModule")?.is_some_and(|module| !module.is_empty()),
            delivery_types: t.texts("deliveryTypes").unwrap_or_default(),
            payment_statuses: t.texts("paymentStatuses").unwrap_or_default(),
            sites: t.texts("sites").unwrap_or_default(),
        })
    }
}

impl Entry for PaymentStatus {
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        let s = node.fields()?;
        Ok(Self {
            code: code(node)?,
            name: s.lax("name", text).unwrap_or_default(),
            active: s.lax("active", flag).unwrap_or(true),
            payment_complete: s.get("paymentComplete", flag)?.unwrap_or_default(),
            payment_types: s.texts("paymentTypes").unwrap_or_default(),
        })
    }
}

impl Entry for ProductStatus {
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        let s = node.fields()?;
        Ok(Self {
            code: code(node)?,
            name: s.lax("name", text).unwrap_or_default(),
            cancels: s.get("cancelStatus", flag)?.unwrap_or_default(),
        })
    }
}

impl Entry for DeliveryType {
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        let t = node.fields()?;
        Ok(Self {
            id: t.lax("id", integer),
            code: code(node)?,
            name: t.lax("name", text).unwrap_or_default(),
            active: t.lax("active", flag).unwrap_or(true),
            integration_code: t.get("integrationCode", text)?,
            payment_types: t.all("deliveryPaymentTypes", |node| {
                Ok(DeliveryPaymentType { code: code(node)?, cod: node.fields()?.get("cod", flag)? })
            })?,
            sites: t.texts("sites").unwrap_or_default(),
        })
    }
}

impl Entry for Status {
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        let s = node.fields()?;
        Ok(Self {
            code: code(node)?,
            name: s.lax("name", text).unwrap_or_default(),
            active: s.lax("active", flag).unwrap_or(true),
            group: s.lax("group", text),
        })
    }
}

impl Entry for Site {
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        let s = node.fields()?;
        Ok(Self {
            code: code(node)?,
            name: s.lax("name", text).unwrap_or_default(),
            url: s.lax("url", text),
            default_for_crm: s.lax("defaultForCrm", flag).unwrap_or_default(),
            currency: s.lax("currency", text),
            country_iso: s.lax("countryIso", text),
        })
    }
}

impl Entry for Store {
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        let s = node.fields()?;
        Ok(Self {
            code: code(node)?,
            name: s.lax("name", text).unwrap_or_default(),
            external_id: s.lax("externalId", text),
            active: s.lax("active", flag).unwrap_or(true),
            kind: s.lax("type", text),
            city: s.object("address").ok().flatten().and_then(|address| address.lax("city", text)),
        })
    }
}

impl Entry for DeliveryService {
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        let s = node.fields()?;
        Ok(Self {
            code: code(node)?,
            name: s.lax("name", text).unwrap_or_default(),
            active: s.lax("active", flag).unwrap_or(true),
        })
    }
}

/// Reads the collection `key` of a reference answer.
/// One unreadable entry spoils it: a reference decides about money, half of one is not used.
pub(crate) fn read_reference<T: Entry>(answer: &serde_json::Value, key: &'static str) -> Result<Vec<T>, Misread> {
    Node::root("answer", answer).fields()?.all(key, T::read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retailcrm::samples;
    use proptest::prelude::*;
    use serde_json::json;

    fn read<T: Entry>(file: &str, key: &'static str) -> Vec<T> {
        read_reference(&samples::read(file), key).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    fn by_code<'a, T>(all: &'a [T], code_of: impl Fn(&T) -> &str, code: &str) -> &'a T {
        all.iter().find(|entry| code_of(entry) == code).unwrap_or_else(|| panic!("no {code}"))
    }

    #[test]
    fn payment_types_tell_which_belong_to_an_online_module() {
        let types: Vec<PaymentType> = read("reference-payment-types.json", "paymentTypes");
        assert_eq!(types.len(), 3);
        assert!(by_code(&types, |t| &t.code, "2").integration_module, "a numeric code is a code");
        let cash = by_code(&types, |t| &t.code, "cash");
        assert!(!cash.integration_module && cash.active);
        assert_eq!(cash.delivery_types, ["incity", "outcity"]);
        assert_eq!(by_code(&types, |t| &t.code, "2").sites, ["main-shop"]);
    }

    #[test]
    fn payment_statuses_tell_what_counts_as_paid() {
        let statuses: Vec<PaymentStatus> = read("reference-payment-statuses.json", "paymentStatuses");
        let paid: Vec<&str> =
            statuses.iter().filter(|status| status.payment_complete).map(|status| status.code.as_str()).collect();
        assert_eq!(paid, ["paid"]);
        assert_eq!(statuses.len(), 3);
    }

    #[test]
    fn delivery_types_tell_their_module_instance_and_cash_on_delivery() {
        let types: Vec<DeliveryType> = read("reference-delivery-types.json", "deliveryTypes");
        assert_eq!(types.len(), 4);
        let incity = by_code(&types, |t| &t.code, "incity");
        assert_eq!(incity.integration_code.as_deref(), Some("measoft-17"));
        let cod: Vec<_> = incity.payment_types.iter().map(|p| (p.code.as_str(), p.cod)).collect();
        assert_eq!(cod, [("cash", Some(true)), ("bank-card", Some(true)), ("2", Some(false))]);
        assert_eq!(by_code(&types, |t| &t.code, "russian-post").integration_code, None);
    }

    #[test]
    fn statuses_sites_stores_and_services_are_read() {
        let statuses: Vec<Status> = read("reference-statuses.json", "statuses");
        assert_eq!(by_code(&statuses, |s| &s.code, "SentMeaSoft").group.as_deref(), Some("delivery"));
        assert_eq!(statuses.len(), 5);
        let sites: Vec<Site> = read("reference-sites.json", "sites");
        assert!(by_code(&sites, |s| &s.code, "main-shop").default_for_crm);
        assert_eq!(by_code(&sites, |s| &s.code, "second-shop").url.as_deref(), Some("https://second.example"));
        let stores: Vec<Store> = read("reference-stores.json", "stores");
        assert_eq!(stores[0].code, "main");
        assert_eq!(stores[0].city.as_deref(), Some("Москва"));
        let services: Vec<DeliveryService> = read("reference-delivery-services.json", "deliveryServices");
        assert_eq!(by_code(&services, |s| &s.code, "7").name, "Обычная");
    }

    #[test]
    fn the_key_of_the_map_stands_in_for_a_missing_code() {
        let answer = json!({"statuses": {"new": {"name": "Новый"}}});
        assert_eq!(read_reference::<Status>(&answer, "statuses").expect("read")[0].code, "new");
        let answer = json!({"statuses": []});
        assert!(read_reference::<Status>(&answer, "statuses").expect("empty").is_empty());
    }

    #[test]
    fn a_side_field_that_cannot_be_read_spoils_no_list_and_what_decides_about_money_does() {
        let statuses = |entry| read_reference::<PaymentStatus>(&json!({"s": [entry]}), "s");
        let side = json!({"code": "paid", "paymentComplete": true, "active": "yes", "paymentTypes": "all"});
        let read = statuses(side).expect("read");
        assert!(read[0].payment_complete && read[0].active && read[0].payment_types.is_empty());
        assert!(statuses(json!({"code": "paid", "paymentComplete": "yes"})).is_err());
        let side = json!({"t": [{"code": "cash", "sites": 7, "deliveryTypes": "all", "paymentStatuses": "all"}]});
        assert_eq!(read_reference::<PaymentType>(&side, "t").expect("read")[0].code, "cash");
        let side = json!({"t": [{"code": "incity", "sites": 7, "active": []}]});
        assert_eq!(read_reference::<DeliveryType>(&side, "t").expect("read")[0].code, "incity");
    }

    proptest! {
        #[test]
        fn no_json_makes_a_reference_reader_panic(entry in samples::any_json()) {
            let answer = json!({"x": [entry.clone()], "y": entry});
            for key in ["x", "y"] {
                let _ = read_reference::<PaymentType>(&answer, key);
                let _ = read_reference::<PaymentStatus>(&answer, key);
                let _ = read_reference::<DeliveryType>(&answer, key);
                let _ = read_reference::<Status>(&answer, key);
                let _ = read_reference::<Site>(&answer, key);
                let _ = read_reference::<Store>(&answer, key);
            }
        }
    }
}
