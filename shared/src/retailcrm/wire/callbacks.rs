//! What RetailCRM asks of a delivery module and what it wants to hear
//! (retailcrm-api.md F). Requests are read leniently, answers written strictly: a wrong
//! shape is shown to the manager as «ответ в неверном формате».

use std::collections::BTreeMap;
use std::fmt;

use jiff::ZonedDateTime;
use jiff::civil::{Date, Time};
use rust_decimal::Decimal;
use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::domain::{CrmOrderId, Grams, Kopecks, Millimetres, OrderNumber};
use crate::retailcrm::tolerant::{
    Fields, Misread, Node, VatRate, date, decimal, decimal_number, deserialize_through_value, flag, grams,
    hidden_debug, integer, millimetres, money, text, vat, write_sum, write_time,
};
use crate::retailcrm::wire::order::{
    Address, Contragent, Customer, PayerType, TimeSlot, Unit, marking_codes, number, payer,
};
use crate::retailcrm::wire::tracking::write_moment;

/// `calculate`: which tariffs there are. No side effects are allowed, and nearly everything
/// may be missing.
#[derive(Debug, Clone, PartialEq)]
pub struct CalculateRequest {
    pub shipment_address: Address,
    /// Code of the store it is sent from.
    pub store: Option<String>,
    pub delivery_address: Address,
    pub packages: Vec<CallbackPackage>,
    pub declared_value: Option<Kopecks>,
    /// Cash on delivery of the whole order.
    pub cod: Option<Kopecks>,
    pub payer_type: Option<PayerType>,
    pub shipment_date: Option<Date>,
    pub delivery_date: Option<Date>,
    pub delivery_time: TimeSlot,
    pub currency: Option<String>,
    /// Only fields that affect the cost.
    pub extra_data: BTreeMap<String, Value>,
}

/// `save`: register the delivery, or change it when `delivery_id` is there.
#[derive(Clone, PartialEq)]
pub struct SaveRequest {
    pub delivery_id: Option<String>,
    pub order: CrmOrderId,
    pub order_number: Option<OrderNumber>,
    pub site: Option<String>,
    pub site_name: Option<String>,
    /// Code of the store.
    pub store: Option<String>,
    /// Name of the seller's legal entity.
    pub legal_entity: Option<String>,
    /// The receiver.
    pub customer: Customer,
    pub manager: Option<Manager>,
    pub packages: Vec<CallbackPackage>,
    pub delivery: SaveDelivery,
    pub currency: Option<String>,
}

/// The shop's employee behind the order.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Manager {
    pub id: Option<i64>,
    pub last_name: Option<String>,
    pub first_name: Option<String>,
    pub patronymic: Option<String>,
    pub phone: Option<String>,
    pub email: Option<String>,
}

/// A box with its contents.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CallbackPackage {
    pub package_id: Option<String>,
    pub weight: Option<Grams>,
    pub length: Option<Millimetres>,
    pub width: Option<Millimetres>,
    pub height: Option<Millimetres>,
    pub items: Vec<CallbackItem>,
}

/// Goods in a box.
#[derive(Debug, Clone, PartialEq)]
pub struct CallbackItem {
    pub offer_id: Option<String>,
    pub external_id: Option<String>,
    pub xml_id: Option<String>,
    pub name: Option<String>,
    /// Per unit.
    pub declared_value: Option<Kopecks>,
    /// To be collected, per unit.
    pub cod: Option<Kopecks>,
    pub vat_rate: VatRate,
    pub quantity: Decimal,
    pub unit: Option<Unit>,
    /// Unit price after discounts.
    pub cost: Option<Kopecks>,
    pub marking_codes: Vec<String>,
    /// Absent for services.
    pub weight: Option<Grams>,
}

/// The delivery part of a `save`.
#[derive(Clone, Default, PartialEq)]
pub struct SaveDelivery {
    pub shipment_address: Address,
    pub delivery_address: Address,
    /// The order goes with cash on delivery.
    /// `None` when the request does not say it.
    pub with_cod: Option<bool>,
    /// Code of the payment type collected.
    pub cod_payment_type: Option<String>,
    /// To be collected for the delivery itself.
    pub cod: Option<Kopecks>,
    /// What the customer pays for the delivery.
    pub cost: Option<Kopecks>,
    pub vat_rate: VatRate,
    /// Code of a tariff of `calculate`.
    pub tariff: Option<String>,
    pub payer_type: Option<PayerType>,
    pub shipment_date: Option<Date>,
    pub delivery_date: Option<Date>,
    pub delivery_time: TimeSlot,
    pub extra_data: BTreeMap<String, Value>,
}

/// `delete`: withdraw the delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteRequest {
    pub delivery_id: String,
}

/// `print`: a printed form of deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrintRequest {
    /// `order` when not said.
    pub entity_type: String,
    /// Code of the printed form.
    pub kind: String,
    /// In order, without repeats; nested lists are flattened.
    pub delivery_ids: Vec<String>,
}

/// The `activity` field: the module was switched on, off or frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activity {
    pub active: bool,
    pub freeze: bool,
}

/// The query of `get`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetQuery {
    pub delivery_id: String,
}

/// The query of `shipmentPointList`; empty values mean «any».
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShipmentPointQuery {
    pub country: Option<String>,
    pub region: Option<String>,
    pub region_id: Option<String>,
    pub city: Option<String>,
    pub city_id: Option<String>,
    pub code: Option<String>,
}

/// Reads the JSON text of a form field.
macro_rules! parsed_from_text {
    ($($name:ident: $field:literal),+ $(,)?) => {$(
        impl $name {
            #[doc = concat!("Reads the form field `", $field, "`.")]
            ///
            /// # Errors
            /// [`Misread`] names the place, never the value.
            pub fn parse(text: &str) -> Result<Self, Misread> {
                let value: Value = serde_json::from_str(text)
                    .map_err(|_| Misread { path: $field.to_owned(), wanted: "JSON" })?;
                Self::read(&Node::root($field, &value))
            }
        }
    )+};
}

parsed_from_text!(
    CalculateRequest: "calculate",
    SaveRequest: "save",
    DeleteRequest: "delete",
    PrintRequest: "print",
    Activity: "activity",
);

fn address(fields: &Fields<'_>, name: &str) -> Result<Address, Misread> {
    match fields.object(name)? {
        Some(address) => Address::read(&address),
        None => Ok(Address::default()),
    }
}

fn slot(fields: &Fields<'_>, name: &str) -> Result<TimeSlot, Misread> {
    match fields.object(name)? {
        Some(slot) => TimeSlot::read(&slot),
        None => Ok(TimeSlot::default()),
    }
}

/// The `code` of a nested object.
fn code_in(fields: &Fields<'_>, name: &str) -> Option<String> {
    fields.object(name).ok().flatten().and_then(|object| object.lax("code", text))
}

impl CalculateRequest {
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        let c = node.fields()?;
        Ok(Self {
            shipment_address: address(&c, "shipmentAddress").unwrap_or_default(),
            store: code_in(&c, "store"),
            delivery_address: address(&c, "deliveryAddress")?,
            packages: c.all("packages", CallbackPackage::read)?,
            declared_value: c.get("declaredValue", money)?,
            cod: c.get("cod", money)?,
            payer_type: c.lax("payerType", payer),
            shipment_date: c.lax("shipmentDate", date),
            delivery_date: c.lax("deliveryDate", date),
            delivery_time: slot(&c, "deliveryTime").unwrap_or_default(),
            currency: c.lax("currency", text),
            extra_data: c.extra("extraData").unwrap_or_default(),
        })
    }
}

impl SaveRequest {
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        let s = node.fields()?;
        Ok(Self {
            delivery_id: s.get("deliveryId", text)?,
            order: CrmOrderId(s.need("order", integer)?),
            order_number: s.get("orderNumber", number)?,
            site: s.get("site", text)?,
            site_name: s.lax("siteName", text),
            store: code_in(&s, "store"),
            legal_entity: s.lax("legalEntity", text),
            customer: match s.object("customer")? {
                Some(customer) => Customer::read(&customer)?,
                None => Customer::default(),
            },
            manager: s.object("manager").ok().flatten().map(|manager| Manager::read(&manager)),
            packages: s.all("packages", CallbackPackage::read)?,
            delivery: match s.object("delivery")? {
                Some(delivery) => SaveDelivery::read(&delivery)?,
                None => return Err(s.missing("delivery")),
            },
            currency: s.lax("currency", text),
        })
    }

    /// Every position of every package.
    pub fn items(&self) -> impl Iterator<Item = &CallbackItem> {
        self.packages.iter().flat_map(|package| &package.items)
    }

    /// Sum to collect: positions and delivery, nothing without cash on delivery
    /// (retailcrm-api.md F.3). `None` when the request does not say it: absence is not zero.
    #[must_use]
    pub fn cod_total(&self) -> Option<Kopecks> {
        if !self.delivery.with_cod? {
            return Some(Kopecks::ZERO);
        }
        let mut items = self.items().filter(|item| !item.quantity.is_zero()).peekable();
        items.peek()?;
        items.try_fold(self.delivery.cod.unwrap_or_default(), |sum, item| {
            sum.checked_add(item.cod?.times(item.quantity)?)
        })
    }

    /// Declared value of all positions. `None` when no position has one, or it does not fit.
    #[must_use]
    pub fn declared_total(&self) -> Option<Kopecks> {
        let mut said = self.items().filter_map(|item| Some((item.declared_value?, item.quantity))).peekable();
        said.peek()?;
        said.try_fold(Kopecks::ZERO, |sum, (value, quantity)| sum.checked_add(value.times(quantity)?))
    }
}

impl fmt::Debug for SaveRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaveRequest")
            .field("delivery_id", &self.delivery_id)
            .field("order", &self.order)
            .field("order_number", &self.order_number)
            .field("packages", &self.packages)
            .finish_non_exhaustive()
    }
}

impl Manager {
    fn read(m: &Fields<'_>) -> Self {
        Self {
            id: m.lax("id", integer),
            last_name: m.lax("lastName", text),
            first_name: m.lax("firstName", text),
            patronymic: m.lax("patronymic", text),
            phone: m.lax("phone", text),
            email: m.lax("email", text),
        }
    }
}

impl CallbackPackage {
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        let p = node.fields()?;
        Ok(Self {
            package_id: p.lax("packageId", text),
            weight: p.get("weight", grams)?,
            length: p.get("length", millimetres)?,
            width: p.get("width", millimetres)?,
            height: p.get("height", millimetres)?,
            items: p.all("items", CallbackItem::read)?,
        })
    }
}

impl CallbackItem {
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        let i = node.fields()?;
        Ok(Self {
            offer_id: i.get("offerId", text)?,
            external_id: i.get("externalId", text)?,
            xml_id: i.lax("xmlId", text),
            name: i.get("name", text)?,
            declared_value: i.get("declaredValue", money)?,
            cod: i.get("cod", money)?,
            vat_rate: i.get("vatRate", vat)?.unwrap_or_default(),
            quantity: i.need("quantity", decimal)?,
            unit: i.object("unit").ok().flatten().map(|unit| Unit::read(&unit)),
            cost: i.get("cost", money)?,
            marking_codes: marking_codes(&i)?,
            weight: i.get("weight", grams)?,
        })
    }
}

impl SaveDelivery {
    fn read(d: &Fields<'_>) -> Result<Self, Misread> {
        Ok(Self {
            shipment_address: address(d, "shipmentAddress").unwrap_or_default(),
            delivery_address: address(d, "deliveryAddress")?,
            with_cod: d.get("withCod", flag)?,
            cod_payment_type: code_in(d, "codPaymentType"),
            cod: d.get("cod", money)?,
            cost: d.get("cost", money)?,
            vat_rate: d.get("vatRate", vat)?.unwrap_or_default(),
            tariff: d.get("tariff", text)?,
            payer_type: d.get("payerType", payer)?,
            shipment_date: d.lax("shipmentDate", date),
            delivery_date: d.get("deliveryDate", date)?,
            delivery_time: slot(d, "deliveryTime")?,
            extra_data: d.extra("extraData").unwrap_or_default(),
        })
    }
}

impl DeleteRequest {
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        Ok(Self { delivery_id: node.fields()?.need("deliveryId", text)? })
    }
}

impl PrintRequest {
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        fn flatten(node: &Node<'_>, ids: &mut Vec<String>) -> Result<(), Misread> {
            if node.value.is_array() || node.value.is_object() {
                return node.elements()?.iter().try_for_each(|element| flatten(element, ids));
            }
            if let Some(id) = node.scalar(text)?
                && !ids.contains(&id)
            {
                ids.push(id);
            }
            Ok(())
        }
        let p = node.fields()?;
        let mut delivery_ids = Vec::new();
        if let Some(ids) = p.node("deliveryIds") {
            flatten(&ids, &mut delivery_ids)?;
        }
        Ok(Self {
            entity_type: p.get("entityType", text)?.unwrap_or_else(|| "order".to_owned()),
            kind: p.need("type", text)?,
            delivery_ids,
        })
    }
}

impl Activity {
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        let a = node.fields()?;
        Ok(Self { active: a.need("active", flag)?, freeze: a.get("freeze", flag)?.unwrap_or_default() })
    }

    /// Switched on and paid for.
    #[must_use]
    pub const fn is_working(self) -> bool {
        self.active && !self.freeze
    }
}

impl GetQuery {
    /// Reads decoded query parameters.
    ///
    /// # Errors
    /// [`Misread`] when `deliveryId` is missing.
    pub fn read<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Misread> {
        pairs
            .into_iter()
            .find(|(name, value)| *name == "deliveryId" && !value.trim().is_empty())
            .map(|(_, value)| Self { delivery_id: value.to_owned() })
            .ok_or_else(|| Misread { path: "get.deliveryId".to_owned(), wanted: "a value" })
    }
}

impl ShipmentPointQuery {
    /// Reads decoded query parameters; unknown ones are ignored.
    #[must_use]
    pub fn read<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut query = Self::default();
        for (name, value) in pairs {
            let field = match name {
                "country" => &mut query.country,
                "region" => &mut query.region,
                "regionId" => &mut query.region_id,
                "city" => &mut query.city,
                "cityId" => &mut query.city_id,
                "code" => &mut query.code,
                _ => continue,
            };
            *field = (!value.trim().is_empty()).then(|| value.to_owned());
        }
        query
    }
}

hidden_debug!(Manager, SaveDelivery);
deserialize_through_value!(CalculateRequest, SaveRequest);

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
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_payer")]
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

fn write_payer<S: Serializer>(payer: &Option<PayerType>, serializer: S) -> Result<S::Ok, S::Error> {
    payer.map(PayerType::as_str).serialize(serializer)
}

/// Extra data hold the delivery's key, comments and addresses a person's data.
macro_rules! debug_by {
    ($($name:ident: $($field:ident),+;)+) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))$(.field(stringify!($field), &self.$field))+.finish_non_exhaustive()
            }
        }
    )+};
}

debug_by! {
    Tariff: code, cost;
    SaveResult: delivery_id, status, cost;
    GetResult: track_number, tariff, cost;
    DeliveryStatus: code, updated_at;
}

/// Parts of the address that are whole numbers at RetailCRM (подъезд, этаж).
fn number_or_text(text: &str) -> Value {
    text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from)
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let texts = [
            ("index", &self.index),
            ("countryIso", &self.country_iso),
            ("region", &self.region),
            ("city", &self.city),
            ("cityType", &self.city_type),
            ("street", &self.street),
            ("streetType", &self.street_type),
            ("building", &self.building),
            ("flat", &self.flat),
            ("house", &self.house),
            ("housing", &self.housing),
            ("intercomCode", &self.intercom_code),
            ("metro", &self.metro),
            ("notes", &self.notes),
            ("text", &self.text),
            ("terminal", &self.terminal),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                map.serialize_entry(name, value)?;
            }
        }
        for (name, value) in [("regionId", self.region_id), ("cityId", self.city_id), ("streetId", self.street_id)] {
            if let Some(value) = value {
                map.serialize_entry(name, &value)?;
            }
        }
        for (name, value) in [("block", &self.block), ("floor", &self.floor)] {
            if let Some(value) = value {
                map.serialize_entry(name, &number_or_text(value))?;
            }
        }
        map.end()
    }
}

impl Customer {
    /// The legal data, when the customer is no private person.
    #[must_use]
    pub fn legal(&self) -> Option<&Contragent> {
        self.contragent.as_ref().filter(|c| c.contragent_type.as_deref().is_some_and(|kind| kind != "individual"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retailcrm::samples;
    use jiff::civil;
    use jiff::tz::{Offset, TimeZone};
    use proptest::prelude::*;
    use serde_json::json;

    fn field(file: &str, name: &str) -> String {
        samples::read(file)[name].to_string()
    }

    fn key() -> BTreeMap<String, String> {
        [("deliveryApiKey".to_owned(), "dk-7f3c9a52e1b04d6f8a90c1e2".to_owned())].into()
    }

    fn same(written: &impl Serialize, file: &str) {
        let written = serde_json::to_value(written).expect("JSON");
        assert_eq!(samples::without_nothings(&written), samples::without_nothings(&samples::read(file)), "{file}");
    }

    #[test]
    fn calculate_is_read() {
        let request = CalculateRequest::parse(&field("callback-calculate-request.json", "calculate")).expect("read");
        assert_eq!(request.store.as_deref(), Some("main"));
        assert_eq!(request.shipment_address.street.as_deref(), Some("Таганская"));
        assert_eq!(request.delivery_address.flat.as_deref(), Some("42"));
        assert_eq!(request.packages[0].weight, Some(Grams(5400)));
        assert!(request.packages[0].items.is_empty());
        assert_eq!(request.declared_value, Some(Kopecks::roubles(3790)));
        assert_eq!(request.cod, Some(Kopecks::roubles(3140)));
        assert_eq!(request.payer_type, Some(PayerType::Sender));
        assert_eq!(request.delivery_date, Some(civil::date(2024, 5, 18)));
        assert_eq!(request.delivery_time.from, Some(civil::time(10, 0, 0, 0)));
        assert_eq!(request.extra_data["packing"], json!("box"));
    }

    #[test]
    fn calculate_may_be_nearly_empty() {
        for text in [
            "{}",
            "[]",
            r#"{"extraData":[],"deliveryAddress":[],"packages":[],"cod":"","deliveryDate":"2024-05-18 00:00:00"}"#,
        ] {
            CalculateRequest::parse(text).expect(text);
        }
        assert_eq!(CalculateRequest::parse("{").expect_err("broken").to_string(), "calculate: JSON expected");
    }

    #[test]
    fn save_is_read() {
        let request = SaveRequest::parse(&field("callback-save-request.json", "save")).expect("read");
        assert_eq!(request.delivery_id, None);
        assert_eq!(request.order, CrmOrderId(4817), "a text on the wire");
        assert_eq!(request.order_number.as_ref().expect("number").as_str(), "1234A");
        assert_eq!(request.site.as_deref(), Some("main-shop"));
        assert_eq!(request.store.as_deref(), Some("main"));
        assert_eq!(request.legal_entity.as_deref(), Some("ООО «Пример»"));
        assert_eq!(request.customer.phones, ["+7 (916) 000-11-22", "8 495 000 11 22"]);
        assert_eq!(request.customer.last_name.as_deref(), Some("Петрова"));
        let contragent = request.customer.contragent.as_ref().expect("contragent");
        assert_eq!(contragent.contragent_type.as_deref(), Some("individual"));
        assert_eq!(request.customer.legal(), None);
        assert_eq!(request.manager.as_ref().expect("manager").first_name.as_deref(), Some("Олег"));
        let items: Vec<_> = request.items().collect();
        assert_eq!(items[0].offer_id.as_deref(), Some("7001"));
        assert_eq!(items[0].cod, Some(Kopecks::roubles(1000)));
        assert_eq!(items[0].cost, Some(Kopecks::roubles(1400)));
        assert_eq!(items[0].quantity, Decimal::TWO);
        assert_eq!(items[0].vat_rate, VatRate::Percent(20));
        assert_eq!(items[1].vat_rate, VatRate::None);
        assert_eq!(items[1].marking_codes, ["0104600000000017215abcDEF\u{1d}93Zx1y"]);
        assert_eq!(items[1].weight, Some(Grams(800)));
        let delivery = &request.delivery;
        assert_eq!(delivery.with_cod, Some(true));
        assert_eq!(delivery.cod_payment_type.as_deref(), Some("cash"));
        assert_eq!((delivery.cod, delivery.cost), (Some(Kopecks::roubles(350)), Some(Kopecks::roubles(350))));
        assert_eq!(delivery.tariff.as_deref(), Some("express"));
        assert_eq!(delivery.payer_type, Some(PayerType::Sender));
        assert_eq!(delivery.delivery_date, Some(civil::date(2024, 5, 18)));
        assert_eq!(delivery.delivery_time.to, Some(civil::time(18, 0, 0, 0)));
        assert_eq!(delivery.delivery_address.building.as_deref(), Some("16"));
        assert_eq!(delivery.extra_data["packing"], json!("box"));
        assert_eq!(request.cod_total(), Some(Kopecks::roubles(3140)));
        assert_eq!(request.declared_total(), Some(Kopecks::roubles(3790)));
    }

    #[test]
    fn a_repeated_save_names_the_delivery() {
        let request = SaveRequest::parse(&field("callback-save-edit-request.json", "save")).expect("read");
        assert_eq!(request.delivery_id.as_deref(), Some("ms-17-4817"));
        assert_eq!(request.delivery.delivery_date, Some(civil::date(2024, 5, 19)));
        assert!(request.delivery.extra_data.is_empty(), "an empty map came as a list");
    }

    #[test]
    fn a_sum_that_a_save_does_not_name_is_not_zero() {
        let full = samples::read("callback-save-request.json")["save"].clone();
        let cod = |change: fn(&mut Value)| {
            let mut save = full.clone();
            change(&mut save);
            SaveRequest::parse(&save.to_string()).expect("read").cod_total()
        };
        assert_eq!(cod(|_| {}), Some(Kopecks::roubles(3140)));
        assert_eq!(cod(|save| save["packages"] = json!([])), None, "no packages");
        assert_eq!(cod(|save| save["packages"][0]["items"] = json!([])), None, "no positions");
        assert_eq!(cod(|save| drop(save["delivery"].as_object_mut().map(|d| d.remove("withCod")))), None);
        let without = |save: &mut Value| {
            for item in save["packages"][0]["items"].as_array_mut().into_iter().flatten() {
                item.as_object_mut().map(|item| item.remove("cod"));
            }
        };
        assert_eq!(cod(without), None, "positions without a sum");
    }

    #[test]
    fn a_declared_value_of_nothing_is_told_from_none() {
        let full = samples::read("callback-save-request.json")["save"].clone();
        let declared = |value: Value| {
            let mut save = full.clone();
            for item in save["packages"][0]["items"].as_array_mut().into_iter().flatten() {
                item["declaredValue"] = value.clone();
            }
            SaveRequest::parse(&save.to_string()).expect("read").declared_total()
        };
        assert_eq!(declared(json!(0)), Some(Kopecks::ZERO));
        assert_eq!(declared(json!(null)), None);
    }

    #[test]
    fn nothing_is_collected_without_cash_on_delivery() {
        let mut save = samples::read("callback-save-request.json")["save"].clone();
        save["delivery"]["withCod"] = json!(0);
        let request = SaveRequest::parse(&save.to_string()).expect("read");
        assert_eq!(request.cod_total(), Some(Kopecks::ZERO));
    }

    #[test]
    fn extra_data_may_be_a_list_of_pairs() {
        let mut save = samples::read("callback-save-request.json")["save"].clone();
        save["delivery"]["extraData"] = json!([{"code": "packing", "value": "box"}]);
        let request = SaveRequest::parse(&save.to_string()).expect("read");
        assert_eq!(request.delivery.extra_data["packing"], json!("box"));
    }

    #[test]
    fn a_save_that_cannot_be_understood_names_the_place() {
        for (pointer, value, place) in [
            ("/order", json!("4817A"), "save.order"),
            ("/packages/0/items/1/cod", json!("x"), "save.packages[0].items[1].cod"),
            ("/delivery/withCod", json!("x"), "save.delivery.withCod"),
            ("/delivery", json!([]), "save.delivery"),
            ("/delivery/deliveryDate", json!("soon"), "save.delivery.deliveryDate"),
        ] {
            let mut save = samples::read("callback-save-request.json")["save"].clone();
            *save.pointer_mut(pointer).expect(pointer) = value;
            assert_eq!(SaveRequest::parse(&save.to_string()).expect_err(pointer).path, place);
        }
    }

    #[test]
    fn delete_print_and_activity_are_read() {
        let delete = DeleteRequest::parse(&field("callback-delete-request.json", "delete")).expect("read");
        assert_eq!(delete.delivery_id, "ms-17-4817");
        assert!(DeleteRequest::parse(r#"{"deliveryId":""}"#).is_err());
        let print = PrintRequest::parse(&field("callback-print-request.json", "print")).expect("read");
        assert_eq!((print.entity_type.as_str(), print.kind.as_str()), ("order", "waybill"));
        assert_eq!(print.delivery_ids, ["ms-17-4817", "ms-17-4820"]);
        for ids in [json!(["a", "b", "a"]), json!([[["a"]], "b"]), json!({"0": "a", "1": ["b"]})] {
            let text = json!({"type": "x", "deliveryIds": ids}).to_string();
            let print = PrintRequest::parse(&text).expect("read");
            assert_eq!(
                (print.entity_type.as_str(), &print.delivery_ids[..]),
                ("order", &["a".to_owned(), "b".to_owned()][..])
            );
        }
        let activity = samples::read("callback-activity.json")["request"]["activity"].to_string();
        assert!(Activity::parse(&activity).expect("read").is_working());
        assert!(!Activity::parse(r#"{"active":1,"freeze":"1"}"#).expect("read").is_working());
        assert!(Activity::parse("{}").is_err(), "silence is no state");
    }

    #[test]
    fn queries_are_read() {
        let get = GetQuery::read([("clientId", "x"), ("deliveryId", "ms-17-4817")]).expect("read");
        assert_eq!(get.delivery_id, "ms-17-4817");
        assert!(GetQuery::read([("deliveryId", " ")]).is_err());
        let points = ShipmentPointQuery::read([("country", "RU"), ("city", ""), ("x", "y"), ("cityId", "4400")]);
        assert_eq!(
            (points.country.as_deref(), points.city, points.city_id.as_deref()),
            (Some("RU"), None, Some("4400"))
        );
    }

    #[test]
    fn tariffs_are_written_as_in_the_sample() {
        let express = Tariff {
            code: "express".into(),
            group: Some("Курьер".into()),
            name: "Экспресс".into(),
            kind: TariffKind::Courier,
            description: Some("В день заказа".into()),
            cost: Some(Kopecks(31_250)),
            min_term: Some(1),
            max_term: Some(2),
            extra_data: key(),
            extra_data_available: Some(vec!["deliveryApiKey".into(), "packing".into(), "deliveredTo".into()]),
            pickuppoint_list: vec![],
        };
        let point = Terminal {
            code: "PVZ-12".into(),
            name: "Пункт на Тверской".into(),
            address: Some("Москва, ул. Тверская, 7".into()),
            schedule: Some("Пн-Вс 10:00-21:00".into()),
            phone: Some("+74950003344".into()),
            description: Some("Вход со двора".into()),
            cost: Some(Kopecks::roubles(180)),
            coordinates: Some(Coordinates { latitude: Decimal::new(557_586, 4), longitude: Decimal::new(376_113, 4) }),
        };
        let pvz = Tariff {
            code: "pvz".into(),
            group: Some("Самовывоз".into()),
            name: "До пункта выдачи".into(),
            kind: TariffKind::SelfDelivery,
            description: None,
            cost: Some(Kopecks::roubles(180)),
            min_term: Some(2),
            max_term: Some(3),
            extra_data: key(),
            extra_data_available: None,
            pickuppoint_list: vec![point],
        };
        same(&Answer::Result(vec![express.clone(), pvz.clone()]), "callback-calculate-response.json");
        let listed = |tariff: Tariff, description: &str| Tariff {
            code: tariff.code,
            name: tariff.name,
            kind: tariff.kind,
            description: Some(description.into()),
            group: None,
            cost: None,
            min_term: None,
            max_term: None,
            extra_data: BTreeMap::new(),
            extra_data_available: None,
            pickuppoint_list: vec![],
        };
        same(
            &Answer::Result(vec![listed(express, "В день заказа"), listed(pvz, "")]),
            "callback-tarifflist-response.json",
        );
        let none: Vec<Tariff> = vec![];
        assert_eq!(serde_json::to_string(&Answer::Result(none)).expect("JSON"), r#"{"success":true,"result":[]}"#);
    }

    #[test]
    fn drop_off_points_are_written_as_in_the_sample() {
        let point = Terminal {
            code: "WH-1".into(),
            name: "Приёмный склад".into(),
            address: Some("Москва, ул. Складская, 1".into()),
            schedule: Some("Пн-Пт 09:00-18:00".into()),
            phone: Some("+74950004455".into()),
            coordinates: Some(Coordinates { latitude: Decimal::new(557, 1), longitude: Decimal::new(377, 1) }),
            ..Terminal::default()
        };
        same(&Answer::Result(vec![point]), "callback-shipmentpointlist-response.json");
    }

    #[test]
    fn save_delete_and_errors_are_answered_as_in_the_samples() {
        let saved = SaveResult {
            delivery_id: "ms-17-4817".into(),
            track_number: Some("MS0000778812".into()),
            cost: Some(Kopecks(31_250)),
            status: Some("NEW".into()),
            extra_data: key(),
        };
        same(&Answer::Result(&saved), "callback-save-response.json");
        let pending = SaveResult { track_number: None, cost: None, status: Some("PENDING".into()), ..saved };
        same(&Answer::Result(pending), "callback-save-async-response.json");
        same(&Answer::<()>::Done, "callback-delete-response.json");
        same(
            &Answer::<()>::Error("field [receiver phone] has no valid phone number".into()),
            "callback-error-response.json",
        );
        let bare = SaveResult { delivery_id: "x".into(), ..SaveResult::default() };
        assert_eq!(serde_json::to_string(&bare).expect("JSON"), r#"{"deliveryId":"x"}"#, "nothing is written as null");
    }

    #[test]
    fn get_is_answered_as_in_the_sample() {
        let sample = samples::read("callback-get-response.json");
        let read = |name: &str| {
            let value = &sample["result"][name];
            Address::read(&Node::root(name, value).fields().expect("object")).expect("readable")
        };
        let at: jiff::Timestamp = "2024-05-17T07:02:15Z".parse().expect("moment");
        let result = GetResult {
            track_number: Some("MS0000778812".into()),
            cost: Some(Kopecks(31_250)),
            shipment_date: Some(civil::date(2024, 5, 17)),
            delivery_date: Some(civil::date(2024, 5, 18)),
            delivery_time: Some(Interval { from: Some(civil::time(10, 0, 0, 0)), to: Some(civil::time(18, 0, 0, 0)) }),
            tariff: Some("express".into()),
            tariff_name: Some("Экспресс".into()),
            payer_type: Some(PayerType::Sender),
            status: Some(DeliveryStatus {
                code: "NEW".into(),
                updated_at: at.to_zoned_datetime(TimeZone::fixed(Offset::constant(3))),
                comment: Some("Принят".into()),
            }),
            extra_data: key(),
            shipment_address: Some(read("shipmentAddress")),
            delivery_address: Some(read("deliveryAddress")),
        };
        same(&Answer::Result(&result), "callback-get-response.json");
        let debug = format!("{result:?}{:?}", result.status);
        assert!(!debug.contains("Толстого") && !debug.contains("dk-7f") && !debug.contains("Принят"), "{debug}");
    }

    #[test]
    fn debug_shows_no_personal_data() {
        let save = SaveRequest::parse(&field("callback-save-request.json", "save")).expect("read");
        let calculate = CalculateRequest::parse(&field("callback-calculate-request.json", "calculate")).expect("read");
        let debug = format!("{save:?} {:?} {:?} {calculate:?}", save.manager, save.delivery);
        for secret in ["Петрова", "916", "anna@", "Толстого", "Домофон", "Смирнов", "dk-7f"]
        {
            assert!(!debug.contains(secret), "{secret} in {debug}");
        }
    }

    proptest! {
        #[test]
        fn no_json_makes_a_callback_reader_panic(value in samples::any_json(), at in 0usize..400) {
            let text = value.to_string();
            let _ = CalculateRequest::parse(&text);
            let _ = SaveRequest::parse(&text);
            let _ = DeleteRequest::parse(&text);
            let _ = PrintRequest::parse(&text);
            let _ = Activity::parse(&text);
            for (file, name) in [("callback-save-request.json", "save"), ("callback-calculate-request.json", "calculate")] {
                let mut request = samples::read(file)[name].clone();
                let pointers = samples::pointers(&request);
                *request.pointer_mut(&pointers[at % pointers.len()]).expect("exists") = value.clone();
                let _ = CalculateRequest::parse(&request.to_string());
                if let Ok(save) = SaveRequest::parse(&request.to_string()) {
                    let _ = (save.cod_total(), save.declared_total());
                }
            }
        }
    }
}
