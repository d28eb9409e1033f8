//! What RetailCRM wants to hear (protocols/retailcrm.md#callbacks). Written strictly: a wrong shape
//! is shown to the manager as «ответ в неверном формате».

use std::collections::BTreeMap;

use jiff::ZonedDateTime;
use jiff::civil::{Date, Time};
use rust_decimal::Decimal;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::debug::debug_by;
use crate::domain::Kopecks;
use crate::retailcrm::tolerant::{decimal_number, write_sum, write_time};
use crate::retailcrm::wire::order::{Address, PayerType};
use crate::retailcrm::wire::tracking::write_moment;

/// The answer to a callback.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer<T> {
    /// `{"success":true,"result":…}`
    Result(T),
    /// `{"success":true}`
    Done,
    /// `{"success":false,"errorMsg":…}`: complete, for people, without HTML.
    Error(String),
}

impl<T: Serialize> Serialize for Answer<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Result(result) => {
                let mut answer = serializer.serialize_struct("Answer", 2)?;
                answer.serialize_field("success", &true)?;
                answer.serialize_field("result", result)?;
                answer.end()
            }
            Self::Done => {
                let mut answer = serializer.serialize_struct("Answer", 1)?;
                answer.serialize_field("success", &true)?;
                answer.end()
            }
            Self::Error(text) => {
                let mut answer = serializer.serialize_struct("Answer", 2)?;
                answer.serialize_field("success", &false)?;
                answer.serialize_field("errorMsg", text)?;
                answer.end()
            }
        }
    }
}

/// How a tariff is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum TariffKind {
    Courier,
    /// To a pick-up point.
    SelfDelivery,
}

/// A tariff of `calculate` and of `tariffList`; both want a list of them.
#[derive(Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tariff {
    pub code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: TariffKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Without it the tariff is shown but cannot be chosen. `tariffList` has none.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_sum")]
    pub cost: Option<Kopecks>,
    /// Days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_term: Option<u32>,
    /// Days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_term: Option<u32>,
    /// Fills the order's extra fields when the tariff is chosen.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra_data: BTreeMap<String, String>,
    /// Codes of the extra fields to show; absent = all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_data_available: Option<Vec<String>>,
    /// For [`TariffKind::SelfDelivery`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pickuppoint_list: Vec<Terminal>,
}

/// A pick-up or drop-off point.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Terminal {
    pub code: String,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_sum")]
    pub cost: Option<Kopecks>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coordinates: Option<Coordinates>,
}

/// Degrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Coordinates {
    #[serde(serialize_with = "write_decimal")]
    pub latitude: Decimal,
    #[serde(serialize_with = "write_decimal")]
    pub longitude: Decimal,
}

/// The result of `save`.
#[derive(Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SaveResult {
    /// Our own stable id; tracking addresses by it.
    pub delivery_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub track_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_sum")]
    pub cost: Option<Kopecks>,
    /// A code of the module's status list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra_data: BTreeMap<String, String>,
}

/// The result of `get`.
#[derive(Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GetResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub track_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_sum")]
    pub cost: Option<Kopecks>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipment_date: Option<Date>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_date: Option<Date>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_time: Option<Interval>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tariff: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tariff_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payer_type: Option<PayerType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<DeliveryStatus>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra_data: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipment_address: Option<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_address: Option<Address>,
}

/// From–to of a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Interval {
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_time")]
    pub from: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_time")]
    pub to: Option<Time>,
}

/// Last status in the result of `get`.
#[derive(Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryStatus {
    /// A code of the module's status list.
    pub code: String,
    #[serde(serialize_with = "write_moment")]
    pub updated_at: ZonedDateTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

fn write_decimal<S: Serializer>(number: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    decimal_number(*number).serialize(serializer)
}

// Extra data hold the delivery's key, comments and addresses a person's data.
debug_by! {
    Tariff: code, cost;
    SaveResult: delivery_id, status, cost;
    GetResult: track_number, tariff, cost;
    DeliveryStatus: code, updated_at;
}
