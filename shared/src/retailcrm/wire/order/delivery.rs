//! Where it goes: the delivery block of an order, its address, and what the delivery service
//! keeps there.

use jiff::civil::{Date, Time};
use rust_decimal::Decimal;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::debug::{debug_by, hidden_debug};
use crate::domain::{Grams, Kopecks, Millimetres};
use crate::retailcrm::tolerant::{
    Scalar, VatRate, date, decimal, grams, integer, millimetres, money, object, text, time, vat,
};
use crate::retailcrm::wire::order::item::ExternalId;

object! {
    /// The delivery block of an order.
    #[derive(Clone, Default, PartialEq)]
    pub struct OrderDelivery(d) {
        /// Code of the delivery type.
        pub code: Option<String> = d.get("code", text)?,
        /// Code of the module *instance* (`measoft-17`) behind the delivery type.
        pub integration_code: Option<String> = d.get("integrationCode", text)?,
        /// Code of the delivery service within the type.
        pub service: Option<String> = d.object("service")?.and_then(|service| service.lax("code", text)),
        /// What the customer pays; zero when not given.
        pub cost: Kopecks = d.get("cost", money)?.unwrap_or_default(),
        pub vat_rate: VatRate = d.get("vatRate", vat)?.unwrap_or_default(),
        pub date: Option<Date> = d.get("date", date)?,
        pub time: TimeSlot = d.nested("time", TimeSlot::read)?.unwrap_or_default(),
        pub address: Address = d.nested("address", Address::read)?.unwrap_or_default(),
        /// What the delivery service keeps here. Only meaningful when [`Self::integration_code`] is
        /// ours: other services have other shapes, and what cannot be read is not there.
        pub data: DeliveryData = d.nested("data", DeliveryData::read).unwrap_or_default().unwrap_or_default(),
    }

    /// When the receiver waits.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct TimeSlot(t) {
        pub from: Option<Time> = t.get("from", time)?,
        pub to: Option<Time> = t.get("to", time)?,
        /// Free text.
        pub custom: Option<String> = t.get("custom", text)?,
    }

    /// A postal address. Beware: `house` is the строение, `building` the house number.
    #[derive(Clone, Default, PartialEq, Eq)]
    pub struct Address(a) {
        pub index: Option<String> = a.get("index", text)?,
        pub country_iso: Option<String> = a.get("countryIso", text)?,
        pub region: Option<String> = a.get("region", text)?,
        /// Geohelper id.
        pub region_id: Option<i64> = a.lax("regionId", integer),
        pub city: Option<String> = a.get("city", text)?,
        pub city_id: Option<i64> = a.lax("cityId", integer),
        /// «г.»
        pub city_type: Option<String> = a.get("cityType", text)?,
        pub street: Option<String> = a.get("street", text)?,
        pub street_id: Option<i64> = a.lax("streetId", integer),
        /// «ул.»
        pub street_type: Option<String> = a.get("streetType", text)?,
        /// Дом.
        pub building: Option<String> = a.get("building", text)?,
        /// Строение.
        pub house: Option<String> = a.get("house", text)?,
        /// Корпус.
        pub housing: Option<String> = a.get("housing", text)?,
        /// Подъезд.
        pub block: Option<String> = a.get("block", text)?,
        pub floor: Option<String> = a.get("floor", text)?,
        pub flat: Option<String> = a.get("flat", text)?,
        pub intercom_code: Option<String> = a.get("intercomCode", text)?,
        pub metro: Option<String> = a.get("metro", text)?,
        pub notes: Option<String> = a.get("notes", text)?,
        /// The address below the city as one line.
        pub text: Option<String> = a.get("text", text)?,
        /// Code of the pick-up point or terminal; callbacks only.
        pub terminal: Option<String> = a.get("terminal", text)?,
    }

    /// `delivery.data` of a module-based delivery service.
    #[derive(Clone, Default, PartialEq)]
    pub struct DeliveryData(d) {
        /// Id of the delivery at the service: our own delivery id.
        pub external_id: Option<String> = d.lax("externalId", text),
        /// Last tracking status: a code of the module's list.
        pub status: Option<String> = d.lax("status", text),
        pub tariff: Option<String> = d.lax("tariff", text),
        pub pickuppoint_id: Option<String> = d.lax("pickuppointId", text),
        pub packages: Vec<Package> = d.all("packages", Package::read).unwrap_or_default(),
        pub item_declared_values: Vec<ItemDeclaredValue> =
            d.all("itemDeclaredValues", ItemDeclaredValue::read).unwrap_or_default(),
    }

    /// A box of the order.
    #[derive(Debug, Clone, Default, PartialEq)]
    pub struct Package(p) {
        pub package_id: Option<String> = p.lax("packageId", text),
        pub weight: Option<Grams> = p.get("weight", grams)?,
        pub length: Option<Millimetres> = p.get("length", millimetres)?,
        pub width: Option<Millimetres> = p.get("width", millimetres)?,
        pub height: Option<Millimetres> = p.get("height", millimetres)?,
        pub items: Vec<PackageItem> = p.all("items", PackageItem::read)?,
    }

    #[derive(Debug, Clone, PartialEq)]
    pub struct PackageItem(item) {
        pub product: OrderProductRef = item.nested("orderProduct", OrderProductRef::read)?.unwrap_or_default(),
        pub quantity: Decimal = item.need("quantity", decimal)?,
    }

    /// Which position is meant.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct OrderProductRef(product) {
        pub id: Option<i64> = product.get("id", integer)?,
        pub external_id: Option<String> = product.get("externalId", text)?,
        pub external_ids: Vec<ExternalId> = product.some("externalIds", ExternalId::read)?,
    }

    #[derive(Debug, Clone, PartialEq)]
    pub struct ItemDeclaredValue(d) {
        pub product: OrderProductRef = d.nested("orderProduct", OrderProductRef::read)?.unwrap_or_default(),
        pub value: Kopecks = d.need("value", money)?,
    }
}

debug_by! {
    OrderDelivery: code, integration_code, cost, date, data;
    DeliveryData: external_id, status;
}
hidden_debug!(Address);

impl TimeSlot {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Who pays the carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PayerType {
    Receiver,
    Sender,
}

impl PayerType {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Receiver => "receiver",
            Self::Sender => "sender",
        }
    }
}

impl Serialize for PayerType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

pub(crate) fn payer(value: &Value) -> Scalar<PayerType> {
    match text(value)?.as_deref().map(str::trim) {
        None => Ok(None),
        Some("receiver") => Ok(Some(PayerType::Receiver)),
        Some("sender") => Ok(Some(PayerType::Sender)),
        Some(_) => Err("receiver or sender"),
    }
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
