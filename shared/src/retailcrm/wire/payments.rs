//! Payments as they are written (protocols/retailcrm.md#payments). Reading is part of the order.

use jiff::civil::DateTime;
use serde::{Serialize, Serializer};

use crate::domain::{CrmOrderId, Kopecks};
use crate::retailcrm::tolerant::{write_datetime, write_sum};

/// A payment to be created.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewPayment {
    #[serde(serialize_with = "write_order")]
    pub order: CrmOrderId,
    /// Code of the payment type (`type`).
    #[serde(rename = "type")]
    pub kind: String,
    /// Code of the payment status; the account's default when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(serialize_with = "write_amount")]
    pub amount: Kopecks,
    /// Account time (protocols/retailcrm.md#formats).
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_datetime")]
    pub paid_at: Option<DateTime>,
    /// Our tag: after a lost answer the payment is recognised by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// What changes in a payment; what is absent stays. The type cannot change
/// (protocols/retailcrm.md#payments).
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentPatch {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Account time.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_datetime")]
    pub paid_at: Option<DateTime>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_sum")]
    pub amount: Option<Kopecks>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// What a deletion found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    Now,
    /// There was no such payment: as good as deleted.
    Before,
}

fn write_order<S: Serializer>(order: &CrmOrderId, serializer: S) -> Result<S::Ok, S::Error> {
    serde_json::json!({ "id": order.0 }).serialize(serializer)
}

fn write_amount<S: Serializer>(amount: &Kopecks, serializer: S) -> Result<S::Ok, S::Error> {
    write_sum(&Some(*amount), serializer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retailcrm::samples;
    use jiff::civil::date;

    #[test]
    fn payments_are_written_as_in_the_samples() {
        let new = NewPayment {
            order: CrmOrderId(4817),
            kind: "bank-card".into(),
            status: Some("paid".into()),
            amount: Kopecks::roubles(3140),
            paid_at: Some(date(2024, 5, 18).at(16, 42, 10, 0)),
            external_id: Some("measoft-17-4817-1".into()),
            comment: Some("MeaSoft".into()),
        };
        assert_eq!(serde_json::to_value(&new).expect("JSON"), samples::read("payment-create-request.json")["payment"]);
        let patch = PaymentPatch {
            status: Some("paid".into()),
            paid_at: Some(date(2024, 5, 18).at(16, 42, 10, 0)),
            amount: Some(Kopecks::roubles(3140)),
            ..PaymentPatch::default()
        };
        assert_eq!(serde_json::to_value(&patch).expect("JSON"), samples::read("payment-edit-request.json")["payment"]);
        assert_eq!(serde_json::to_string(&PaymentPatch::default()).expect("JSON"), "{}");
    }

    #[test]
    fn kopecks_keep_their_decimals() {
        let patch = PaymentPatch { amount: Some(Kopecks(266_396)), ..PaymentPatch::default() };
        assert_eq!(serde_json::to_string(&patch).expect("JSON"), r#"{"amount":2663.96}"#);
    }
}
