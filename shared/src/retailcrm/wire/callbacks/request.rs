//! What RetailCRM asks (protocols/retailcrm.md#callbacks). Read leniently.

use std::collections::BTreeMap;

use jiff::civil::Date;
use rust_decimal::Decimal;
use serde_json::Value;

use crate::debug::{debug_by, hidden_debug};
use crate::domain::{CrmOrderId, Grams, Kopecks, Millimetres, OrderNumber};
use crate::retailcrm::tolerant::{
    Misread, Node, VatRate, date, decimal, deserialize_through_value, flag, grams, integer, millimetres, money, object,
    text, vat,
};
use crate::retailcrm::wire::order::{Address, Customer, PayerType, TimeSlot, Unit, marking_codes, number, payer};

object! {
    /// `calculate`: which tariffs there are. No side effects are allowed, and nearly everything
    /// may be missing.
    #[derive(Debug, Clone, PartialEq)]
    pub struct CalculateRequest(c) {
        pub delivery_address: Address = c.nested("deliveryAddress", Address::read)?.unwrap_or_default(),
        pub packages: Vec<CallbackPackage> = c.all("packages", CallbackPackage::read)?,
        pub declared_value: Option<Kopecks> = c.get("declaredValue", money)?,
        /// Cash on delivery of the whole order.
        pub cod: Option<Kopecks> = c.get("cod", money)?,
    }

    /// `save`: register the delivery, or change it when `delivery_id` is there.
    #[derive(Clone, PartialEq)]
    pub struct SaveRequest(s) {
        pub delivery_id: Option<String> = s.get("deliveryId", text)?,
        pub order: CrmOrderId = CrmOrderId(s.need("order", integer)?),
        pub order_number: Option<OrderNumber> = s.get("orderNumber", number)?,
        pub site: Option<String> = s.get("site", text)?,
        /// The receiver.
        pub customer: Customer = s.nested("customer", Customer::read)?.unwrap_or_default(),
        pub packages: Vec<CallbackPackage> = s.all("packages", CallbackPackage::read)?,
        pub delivery: SaveDelivery =
            s.nested("delivery", SaveDelivery::read)?.ok_or_else(|| s.missing("delivery"))?,
        pub currency: Option<String> = s.lax("currency", text),
    }

    /// A box with its contents.
    #[derive(Debug, Clone, Default, PartialEq)]
    pub struct CallbackPackage(p) {
        pub package_id: Option<String> = p.lax("packageId", text),
        pub weight: Option<Grams> = p.get("weight", grams)?,
        pub length: Option<Millimetres> = p.get("length", millimetres)?,
        pub width: Option<Millimetres> = p.get("width", millimetres)?,
        pub height: Option<Millimetres> = p.get("height", millimetres)?,
        pub items: Vec<CallbackItem> = p.all("items", CallbackItem::read)?,
    }

    /// Goods in a box.
    #[derive(Debug, Clone, PartialEq)]
    pub struct CallbackItem(i) {
        pub offer_id: Option<String> = i.get("offerId", text)?,
        pub external_id: Option<String> = i.get("externalId", text)?,
        pub name: Option<String> = i.get("name", text)?,
        /// Per unit.
        pub declared_value: Option<Kopecks> = i.get("declaredValue", money)?,
        /// To be collected, per unit.
        pub cod: Option<Kopecks> = i.get("cod", money)?,
        pub vat_rate: VatRate = i.get("vatRate", vat)?.unwrap_or_default(),
        pub quantity: Decimal = i.need("quantity", decimal)?,
        pub unit: Option<Unit> = i.nested("unit", Unit::read).ok().flatten(),
        /// Unit price after discounts.
        pub cost: Option<Kopecks> = i.get("cost", money)?,
        pub marking_codes: Vec<String> = marking_codes(i)?,
        /// Absent for services.
        pub weight: Option<Grams> = i.get("weight", grams)?,
    }

    /// The delivery part of a `save`.
    #[derive(Clone, Default, PartialEq)]
    pub struct SaveDelivery(d) {
        pub shipment_address: Address =
            d.nested("shipmentAddress", Address::read).unwrap_or_default().unwrap_or_default(),
        pub delivery_address: Address = d.nested("deliveryAddress", Address::read)?.unwrap_or_default(),
        /// The order goes with cash on delivery.
        /// `None` when the request does not say it.
        pub with_cod: Option<bool> = d.get("withCod", flag)?,
        /// Code of the payment type collected.
        pub cod_payment_type: Option<String> =
            d.object("codPaymentType").ok().flatten().and_then(|kind| kind.lax("code", text)),
        /// To be collected for the delivery itself.
        pub cod: Option<Kopecks> = d.get("cod", money)?,
        /// What the customer pays for the delivery.
        pub cost: Option<Kopecks> = d.get("cost", money)?,
        pub vat_rate: VatRate = d.get("vatRate", vat)?.unwrap_or_default(),
        /// Code of a tariff of `calculate`.
        pub tariff: Option<String> = d.get("tariff", text)?,
        pub payer_type: Option<PayerType> = d.get("payerType", payer)?,
        pub shipment_date: Option<Date> = d.lax("shipmentDate", date),
        pub delivery_date: Option<Date> = d.get("deliveryDate", date)?,
        pub delivery_time: TimeSlot = d.nested("deliveryTime", TimeSlot::read)?.unwrap_or_default(),
        pub extra_data: BTreeMap<String, Value> = d.extra("extraData").unwrap_or_default(),
    }

    /// `delete`: withdraw the delivery.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct DeleteRequest(d) {
        pub delivery_id: String = d.need("deliveryId", text)?,
    }

    /// `print`: a printed form of deliveries.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct PrintRequest(p) {
        /// `order` when not said.
        pub entity_type: String = p.get("entityType", text)?.unwrap_or_else(|| "order".to_owned()),
        /// Code of the printed form.
        pub kind: String = p.need("type", text)?,
        /// In order, without repeats; nested lists are flattened.
        pub delivery_ids: Vec<String> = {
            let mut ids = Vec::new();
            p.node("deliveryIds").map_or(Ok(()), |node| flatten(&node, &mut ids))?;
            ids
        },
    }

    /// The `activity` field: the module was switched on, off or frozen.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Activity(a) {
        pub active: bool = a.need("active", flag)?,
        pub freeze: bool = a.get("freeze", flag)?.unwrap_or_default(),
    }
}

debug_by! { SaveRequest: delivery_id, order, order_number, packages; }
hidden_debug!(SaveDelivery);
deserialize_through_value!(CalculateRequest, SaveRequest);

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
                Node::root($field, &value).read(Self::read)
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

impl SaveRequest {
    /// Every position of every package.
    pub fn items(&self) -> impl Iterator<Item = &CallbackItem> {
        self.packages.iter().flat_map(|package| &package.items)
    }

    /// Sum to collect: positions and delivery, nothing without cash on delivery
    /// (protocols/retailcrm.md#save). `None` when the request does not say it: absence is not zero.
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
    pub fn declared_total(&self) -> Option<Kopecks> {
        let mut said = self.items().filter_map(|item| Some((item.declared_value?, item.quantity))).peekable();
        said.peek()?;
        said.try_fold(Kopecks::ZERO, |sum, (value, quantity)| sum.checked_add(value.times(quantity)?))
    }
}

impl Activity {
    /// Switched on and paid for.
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
