//! References of the account (protocols/retailcrm.md#references): maps by code, or lists.

use crate::retailcrm::tolerant::{Fields, Misread, Node, flag, object, text};

object! {
    /// A payment type.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct PaymentType(t) {
        pub code: String = t.code("code")?,
        pub active: bool = t.lax("active", flag).unwrap_or(true),
        /// It belongs to an online-payment module: its payments are never touched by us
        /// (protocols/retailcrm.md#payment-rules).
        pub integration_module: bool = t.object("integrationModule")?.is_some_and(|module| !module.is_empty()),
    }

    /// A payment status.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct PaymentStatus(s) {
        pub code: String = s.code("code")?,
        /// A payment in this status counts as paid.
        pub payment_complete: bool = s.get("paymentComplete", flag)?.unwrap_or_default(),
    }

    /// A status of an order's position (`reference/product-statuses`; the fields by RetailCRM's
    /// public clients, no recorded answer is known).
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ProductStatus(s) {
        pub code: String = s.code("code")?,
        /// `cancelStatus`: a position in this status is neither shipped nor counted.
        pub cancels: bool = s.get("cancelStatus", flag)?.unwrap_or_default(),
    }

    /// A delivery type.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct DeliveryType(t) {
        pub code: String = t.code("code")?,
        pub active: bool = t.lax("active", flag).unwrap_or(true),
        /// Code of the module *instance* behind it.
        pub integration_code: Option<String> = t.get("integrationCode", text)?,
        pub payment_types: Vec<DeliveryPaymentType> = t.all("deliveryPaymentTypes", DeliveryPaymentType::read)?,
    }

    /// A payment type within a delivery type (`deliveryPaymentTypes[]`).
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct DeliveryPaymentType(t) {
        pub code: String = t.code("code")?,
        /// Cash on delivery; `None` when not said.
        pub cod: Option<bool> = t.get("cod", flag)?,
    }

    /// An order status.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Status(s) {
        pub code: String = s.code("code")?,
    }
}

/// Reads the collection `key` of a reference answer.
/// One unreadable entry spoils it: a reference decides about money, half of one is not used.
pub(crate) fn read_reference<T>(
    answer: &serde_json::Value,
    key: &'static str,
    read: fn(&Fields<'_>) -> Result<T, Misread>,
) -> Result<Vec<T>, Misread> {
    Node::root("answer", answer).fields()?.all(key, read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retailcrm::samples;
    use proptest::prelude::*;
    use serde_json::json;

    fn rows<T>(file: &str, key: &'static str, read: fn(&Fields<'_>) -> Result<T, Misread>) -> Vec<T> {
        read_reference(&samples::read(file), key, read).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    fn by_code<'a, T>(all: &'a [T], code_of: impl Fn(&T) -> &str, code: &str) -> &'a T {
        all.iter().find(|entry| code_of(entry) == code).unwrap_or_else(|| panic!("no {code}"))
    }

    #[test]
    fn payment_types_tell_which_belong_to_an_online_module() {
        let types = rows("reference-payment-types.json", "paymentTypes", PaymentType::read);
        assert_eq!(types.len(), 3);
        assert!(by_code(&types, |t| &t.code, "2").integration_module, "a numeric code is a code");
        let cash = by_code(&types, |t| &t.code, "cash");
        assert!(!cash.integration_module && cash.active);
    }

    #[test]
    fn payment_statuses_tell_what_counts_as_paid() {
        let statuses = rows("reference-payment-statuses.json", "paymentStatuses", PaymentStatus::read);
        let paid: Vec<&str> =
            statuses.iter().filter(|status| status.payment_complete).map(|status| status.code.as_str()).collect();
        assert_eq!(paid, ["paid"]);
        assert_eq!(statuses.len(), 3);
    }

    #[test]
    fn delivery_types_tell_their_module_instance_and_cash_on_delivery() {
        let types = rows("reference-delivery-types.json", "deliveryTypes", DeliveryType::read);
        assert_eq!(types.len(), 4);
        let incity = by_code(&types, |t| &t.code, "incity");
        assert_eq!(incity.integration_code.as_deref(), Some("measoft-17"));
        let cod: Vec<_> = incity.payment_types.iter().map(|p| (p.code.as_str(), p.cod)).collect();
        assert_eq!(cod, [("cash", Some(true)), ("bank-card", Some(true)), ("2", Some(false))]);
        assert_eq!(by_code(&types, |t| &t.code, "russian-post").integration_code, None);
    }

    #[test]
    fn the_key_of_the_map_stands_in_for_a_missing_code() {
        let answer = json!({"statuses": {"new": {"name": "Новый"}}});
        assert_eq!(read_reference(&answer, "statuses", Status::read).expect("read")[0].code, "new");
        let answer = json!({"statuses": []});
        assert!(read_reference(&answer, "statuses", Status::read).expect("empty").is_empty());
    }

    #[test]
    fn a_side_field_that_cannot_be_read_spoils_no_list_and_what_decides_about_money_does() {
        let statuses = |entry| read_reference(&json!({"s": [entry]}), "s", PaymentStatus::read);
        assert!(
            statuses(json!({"code": "paid", "paymentComplete": true, "name": []})).expect("read")[0].payment_complete
        );
        assert!(statuses(json!({"code": "paid", "paymentComplete": "yes"})).is_err());
        let side = json!({"t": [{"code": "cash", "active": "yes"}]});
        assert!(read_reference(&side, "t", PaymentType::read).expect("read")[0].active);
        let side = json!({"t": [{"code": "incity", "active": []}]});
        assert!(read_reference(&side, "t", DeliveryType::read).expect("read")[0].active);
    }

    proptest! {
        #[test]
        fn no_json_makes_a_reference_reader_panic(entry in samples::any_json()) {
            let answer = json!({"x": [entry.clone()], "y": entry});
            for key in ["x", "y"] {
                let _ = read_reference(&answer, key, PaymentType::read);
                let _ = read_reference(&answer, key, PaymentStatus::read);
                let _ = read_reference(&answer, key, DeliveryType::read);
                let _ = read_reference(&answer, key, Status::read);
            }
        }
    }
}
