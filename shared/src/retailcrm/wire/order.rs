//! The order as RetailCRM gives it (retailcrm-api.md B.3–B.6): the fields a courier needs.
//!
//! What decides about money, goods and the address must be readable, else the order is
//! [`Unreadable`]; what is only informative is dropped when it is not.

use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::{Date, DateTime, Time};
use rust_decimal::Decimal;
use serde_json::Value;

use crate::domain::{CrmOrderId, Grams, Kopecks, Millimetres, OrderNumber};
use crate::retailcrm::tolerant::{
    Fields, Misread, Node, Scalar, VatRate, date, datetime, decimal, deserialize_through_value, flag, grams,
    hidden_debug, integer, millimetres, money, text, time, vat,
};

/// An order. Its `Debug` shows numbers and codes only.
#[derive(Clone, PartialEq)]
pub struct Order {
    /// Internal id: stable, unique in the account.
    pub id: CrmOrderId,
    pub number: OrderNumber,
    /// Id in the shop, unique per site.
    pub external_id: Option<String>,
    /// Code of the shop; empty when not given.
    pub site: String,
    /// Code of the order status; empty when not given.
    pub status: String,
    /// Account time.
    pub created_at: Option<DateTime>,
    pub status_updated_at: Option<DateTime>,
    pub currency: Option<String>,

    /// The receiver as entered in the order.
    pub last_name: Option<String>,
    pub first_name: Option<String>,
    pub patronymic: Option<String>,
    /// Free text; may hold several numbers or an extension.
    pub phone: Option<String>,
    pub additional_phone: Option<String>,
    pub email: Option<String>,
    pub customer: Option<Customer>,
    /// The person, when the customer is a company.
    pub contact: Option<Customer>,
    pub company: Option<Company>,
    pub contragent: Option<Contragent>,
    pub customer_comment: Option<String>,
    pub manager_comment: Option<String>,

    /// Goods and services without delivery; before or after discounts is not known.
    pub summ: Option<Kopecks>,
    /// To pay in all: goods after discounts and delivery.
    pub total_summ: Kopecks,
    /// Sum of the payments that count as paid; may exceed the total. Zero when not given.
    pub prepay_sum: Kopecks,

    pub weight: Option<Grams>,
    pub length: Option<Millimetres>,
    pub width: Option<Millimetres>,
    pub height: Option<Millimetres>,

    pub shipment_store: Option<String>,
    pub shipment_date: Option<Date>,
    pub shipped: bool,

    /// All positions, cancelled ones too.
    pub items: Vec<Item>,
    /// By id, ascending.
    pub payments: Vec<Payment>,
    /// An order without delivery has an empty one.
    pub delivery: OrderDelivery,
    pub custom_fields: BTreeMap<String, Value>,
}

/// A customer or a contact person.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Customer {
    pub id: Option<i64>,
    /// `customer` or `customer_corporate`.
    pub kind: Option<String>,
    pub last_name: Option<String>,
    pub first_name: Option<String>,
    pub patronymic: Option<String>,
    pub nick_name: Option<String>,
    pub email: Option<String>,
    pub phones: Vec<String>,
    pub contragent: Option<Contragent>,
}

#[derive(Clone, Default, PartialEq, Eq)]
pub struct Company {
    pub id: Option<i64>,
    pub name: Option<String>,
    pub contragent: Option<Contragent>,
}

/// Legal data of a customer or company.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Contragent {
    /// `individual`, `legal-entity` or `enterpreneur` (the vendor's spelling).
    pub contragent_type: Option<String>,
    pub legal_name: Option<String>,
    pub legal_address: Option<String>,
    pub inn: Option<String>,
    pub kpp: Option<String>,
    pub ogrn: Option<String>,
    pub ogrnip: Option<String>,
    pub okpo: Option<String>,
    pub bik: Option<String>,
    pub bank: Option<String>,
    pub bank_account: Option<String>,
    pub corr_account: Option<String>,
}

/// A position of the order.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    pub id: i64,
    pub external_ids: Vec<ExternalId>,
    /// Absent for a free-text position.
    pub offer: Option<Offer>,
    pub product_name: Option<String>,
    /// Final unit prices; several when rounding splits the position.
    pub prices: Vec<ItemPrice>,
    /// Before discounts, per unit; may have many decimals.
    pub initial_price: Option<Decimal>,
    /// All discounts, per unit.
    pub discount_total: Decimal,
    pub vat_rate: VatRate,
    /// May be fractional.
    pub quantity: Decimal,
    /// Code of the position status.
    pub status: Option<String>,
    /// Not to be shipped, not to be counted.
    pub is_canceled: bool,
    /// «Честный знак» codes byte for byte, GS characters included.
    pub marking_codes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalId {
    pub code: Option<String>,
    pub value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemPrice {
    /// Per unit.
    pub price: Kopecks,
    pub quantity: Decimal,
}

/// The offer (SKU) behind a position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    pub id: Option<i64>,
    pub external_id: Option<String>,
    pub xml_id: Option<String>,
    pub name: Option<String>,
    pub display_name: Option<String>,
    pub article: Option<String>,
    pub barcode: Option<String>,
    pub vat_rate: VatRate,
    pub unit: Option<Unit>,
}

/// A unit of measure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unit {
    pub code: Option<String>,
    pub name: Option<String>,
    pub sym: Option<String>,
}

/// A payment of the order. Paid or not is a property of its status (reference).
#[derive(Debug, Clone, PartialEq)]
pub struct Payment {
    pub id: i64,
    /// Code of the payment type (`type`).
    pub kind: String,
    /// Code of the payment status.
    pub status: Option<String>,
    /// Zero when not given: RetailCRM lets modules leave it out.
    pub amount: Kopecks,
    pub external_id: Option<String>,
    /// Account time.
    pub paid_at: Option<DateTime>,
}

/// A sum that may be left out; blank text is left out too.
fn amount(value: &Value) -> Scalar<Kopecks> {
    match value {
        Value::String(text) if text.trim().is_empty() => Ok(None),
        value => money(value),
    }
}

/// The delivery block of an order.
#[derive(Clone, Default, PartialEq)]
pub struct OrderDelivery {
    /// Code of the delivery type.
    pub code: Option<String>,
    /// Code of the module *instance* (`measoft-17`) behind the delivery type.
    pub integration_code: Option<String>,
    /// Code of the delivery service within the type.
    pub service: Option<String>,
    /// What the customer pays; zero when not given.
    pub cost: Kopecks,
    /// What the shop pays to the carrier.
    pub net_cost: Option<Kopecks>,
    pub vat_rate: VatRate,
    pub date: Option<Date>,
    pub time: TimeSlot,
    pub address: Address,
    /// What the delivery service keeps here. Only meaningful when
    /// [`Self::integration_code`] is ours: other services have other shapes.
    pub data: DeliveryData,
}

/// When the receiver waits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TimeSlot {
    pub from: Option<Time>,
    pub to: Option<Time>,
    /// Free text.
    pub custom: Option<String>,
}

/// A postal address. Beware: `house` is the строение, `building` the house number.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Address {
    pub index: Option<String>,
    pub country_iso: Option<String>,
    pub region: Option<String>,
    /// Geohelper id.
    pub region_id: Option<i64>,
    pub city: Option<String>,
    pub city_id: Option<i64>,
    /// «г.»
    pub city_type: Option<String>,
    pub street: Option<String>,
    pub street_id: Option<i64>,
    /// «ул.»
    pub street_type: Option<String>,
    /// Дом.
    pub building: Option<String>,
    /// Строение.
    pub house: Option<String>,
    /// Корпус.
    pub housing: Option<String>,
    /// Подъезд.
    pub block: Option<String>,
    pub floor: Option<String>,
    pub flat: Option<String>,
    pub intercom_code: Option<String>,
    pub metro: Option<String>,
    pub notes: Option<String>,
    /// The address below the city as one line.
    pub text: Option<String>,
    /// Code of the pick-up point or terminal; callbacks only.
    pub terminal: Option<String>,
}

/// `delivery.data` of a module-based delivery service, read field by field.
#[derive(Clone, Default, PartialEq)]
pub struct DeliveryData {
    /// Id of the delivery at the service: our own delivery id.
    pub external_id: Option<String>,
    pub track_number: Option<String>,
    /// «Не синхронизировать со службой доставки».
    pub locked: bool,
    /// Last tracking status: a code of the module's list.
    pub status: Option<String>,
    pub status_text: Option<String>,
    pub status_date: Option<DateTime>,
    pub tariff: Option<String>,
    pub tariff_name: Option<String>,
    pub payer_type: Option<PayerType>,
    pub cost: Option<Kopecks>,
    pub pickuppoint_id: Option<String>,
    pub pickuppoint_name: Option<String>,
    pub pickuppoint_address: Option<String>,
    pub shipmentpoint_id: Option<String>,
    /// Values of the module's own fields.
    pub extra_data: BTreeMap<String, Value>,
    pub packages: Vec<Package>,
    pub item_declared_values: Vec<ItemDeclaredValue>,
    /// Fields that were there and could not be read.
    pub unreadable: Vec<Misread>,
}

/// Who pays the carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PayerType {
    Receiver,
    Sender,
}

/// A box of the order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Package {
    pub package_id: Option<String>,
    pub weight: Option<Grams>,
    pub length: Option<Millimetres>,
    pub width: Option<Millimetres>,
    pub height: Option<Millimetres>,
    pub items: Vec<PackageItem>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct PackageItem {
    pub product: OrderProductRef,
    pub quantity: Decimal,
}

/// Which position is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderProductRef {
    pub id: Option<i64>,
    pub external_id: Option<String>,
    pub external_ids: Vec<ExternalId>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ItemDeclaredValue {
    pub product: OrderProductRef,
    pub value: Kopecks,
}

/// An order of a list that could not be read. The others of the list are unharmed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("order {} is unreadable: {why}", number.as_deref().unwrap_or("without number"))]
pub struct Unreadable {
    pub id: Option<CrmOrderId>,
    pub number: Option<String>,
    pub why: Misread,
}

/// Reads a list (or map) of orders, each on its own.
///
/// # Errors
/// [`Misread`] when it is no collection at all.
pub fn read_orders(orders: &Value) -> Result<Vec<Result<Order, Unreadable>>, Misread> {
    let nodes = Node::root("orders", orders).elements()?;
    Ok(nodes.iter().map(read_order).collect())
}

/// Reads one order.
///
/// # Errors
/// [`Unreadable`] with the first field that could not be understood.
pub fn read_single(order: &Value) -> Result<Order, Unreadable> {
    read_order(&Node::root("order", order))
}

fn read_order(node: &Node<'_>) -> Result<Order, Unreadable> {
    Order::read(node).map_err(|why| Unreadable {
        id: node.value.get("id").and_then(|id| integer(id).ok().flatten()).map(CrmOrderId),
        number: node.value.get("number").and_then(|number| text(number).ok().flatten()),
        why,
    })
}

pub(crate) fn number(value: &Value) -> Scalar<OrderNumber> {
    let Some(text) = text(value)? else { return Ok(None) };
    OrderNumber::parse(&text).map(Some).map_err(|_| "an order number")
}

pub(crate) fn payer(value: &Value) -> Scalar<PayerType> {
    match text(value)?.as_deref().map(str::trim) {
        None => Ok(None),
        Some("receiver") => Ok(Some(PayerType::Receiver)),
        Some("sender") => Ok(Some(PayerType::Sender)),
        Some(_) => Err("receiver or sender"),
    }
}

impl PayerType {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Receiver => "receiver",
            Self::Sender => "sender",
        }
    }
}

impl Order {
    pub(crate) fn read(node: &Node<'_>) -> Result<Self, Misread> {
        let o = node.fields()?;
        let mut payments = o.all("payments", Payment::read)?;
        payments.sort_by_key(|payment| payment.id);
        Ok(Self {
            id: CrmOrderId(o.need("id", integer)?),
            number: o.need("number", number)?,
            external_id: o.lax("externalId", text),
            site: o.get("site", text)?.unwrap_or_default(),
            status: o.get("status", text)?.unwrap_or_default(),
            created_at: o.lax("createdAt", datetime),
            status_updated_at: o.lax("statusUpdatedAt", datetime),
            currency: o.lax("currency", text),
            last_name: o.get("lastName", text)?,
            first_name: o.get("firstName", text)?,
            patronymic: o.get("patronymic", text)?,
            phone: o.get("phone", text)?,
            additional_phone: o.get("additionalPhone", text)?,
            email: o.get("email", text)?,
            customer: o.object("customer")?.map(|c| Customer::read(&c)).transpose()?,
            contact: o.object("contact")?.map(|c| Customer::read(&c)).transpose()?,
            company: o.object("company")?.map(|c| Company::read(&c)).transpose()?,
            contragent: o.object("contragent")?.map(|c| Contragent::read(&c)),
            customer_comment: o.get("customerComment", text)?,
            manager_comment: o.get("managerComment", text)?,
            summ: o.lax("summ", money),
            total_summ: o.need("totalSumm", money)?,
            prepay_sum: o.get("prepaySum", money)?.unwrap_or_default(),
            weight: o.get("weight", grams)?,
            length: o.get("length", millimetres)?,
            width: o.get("width", millimetres)?,
            height: o.get("height", millimetres)?,
            shipment_store: o.lax("shipmentStore", text),
            shipment_date: o.lax("shipmentDate", date),
            shipped: o.lax("shipped", flag).unwrap_or_default(),
            items: o.all("items", Item::read)?,
            payments,
            delivery: match o.object("delivery")? {
                Some(delivery) => OrderDelivery::read(&delivery)?,
                None => OrderDelivery::default(),
            },
            custom_fields: o.extra("customFields").unwrap_or_default(),
        })
    }

    /// The payment with this id.
    #[must_use]
    pub fn payment(&self, id: i64) -> Option<&Payment> {
        self.payments.iter().find(|payment| payment.id == id)
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order")
            .field("id", &self.id)
            .field("number", &self.number)
            .field("site", &self.site)
            .field("status", &self.status)
            .field("total_summ", &self.total_summ)
            .field("prepay_sum", &self.prepay_sum)
            .field("items", &self.items)
            .field("payments", &self.payments)
            .field("delivery", &self.delivery)
            .finish_non_exhaustive()
    }
}

impl Customer {
    pub(crate) fn read(c: &Fields<'_>) -> Result<Self, Misread> {
        let phones: Vec<Option<String>> = c.all("phones", |node| match node.value {
            // Orders have objects, callbacks plain texts.
            Value::Object(_) => node.fields()?.get("number", text),
            _ => node.scalar(text),
        })?;
        Ok(Self {
            id: c.lax("id", integer),
            kind: c.lax("type", text),
            last_name: c.get("lastName", text)?,
            first_name: c.get("firstName", text)?,
            patronymic: c.get("patronymic", text)?,
            nick_name: c.lax("nickName", text),
            email: c.lax("email", text),
            phones: phones.into_iter().flatten().collect(),
            contragent: c.object("contragent")?.map(|c| Contragent::read(&c)),
        })
    }
}

impl Company {
    fn read(c: &Fields<'_>) -> Result<Self, Misread> {
        Ok(Self {
            id: c.lax("id", integer),
            name: c.get("name", text)?,
            contragent: c.object("contragent")?.map(|c| Contragent::read(&c)),
        })
    }
}

impl Contragent {
    pub(crate) fn read(c: &Fields<'_>) -> Self {
        Self {
            // Callbacks call it `type` (retailcrm-api.md F.3).
            contragent_type: c.lax("contragentType", text).or_else(|| c.lax("type", text)),
            legal_name: c.lax("legalName", text),
            legal_address: c.lax("legalAddress", text),
            inn: c.lax("INN", text),
            kpp: c.lax("KPP", text),
            ogrn: c.lax("OGRN", text),
            ogrnip: c.lax("OGRNIP", text),
            okpo: c.lax("OKPO", text),
            bik: c.lax("BIK", text),
            bank: c.lax("bank", text),
            bank_account: c.lax("bankAccount", text),
            corr_account: c.lax("corrAccount", text),
        }
    }
}

impl Item {
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        let i = node.fields()?;
        let quantity = i.need("quantity", decimal)?;
        Ok(Self {
            id: i.need("id", integer)?,
            external_ids: i.all("externalIds", ExternalId::read)?.into_iter().flatten().collect(),
            offer: i.object("offer")?.map(|offer| Offer::read(&offer)).transpose()?,
            product_name: i.get("productName", text)?,
            prices: i.all("prices", |node| {
                let p = node.fields()?;
                Ok(ItemPrice {
                    price: p.need("price", money)?,
                    quantity: p.get("quantity", decimal)?.unwrap_or(quantity),
                })
            })?,
            initial_price: i.get("initialPrice", decimal)?,
            discount_total: i.get("discountTotal", decimal)?.unwrap_or_default(),
            vat_rate: i.get("vatRate", vat)?.unwrap_or_default(),
            quantity,
            status: i.lax("status", text),
            is_canceled: i.get("isCanceled", flag)?.unwrap_or_default(),
            marking_codes: marking_codes(&i)?,
        })
    }

    /// What the receiver knows the goods by.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        let offer = self.offer.as_ref();
        offer
            .and_then(|offer| offer.display_name.as_deref())
            .or_else(|| offer.and_then(|offer| offer.name.as_deref()))
            .or(self.product_name.as_deref())
    }

    /// Final unit prices with their quantities: `prices`, or else the initial price less the
    /// discounts, rounded to kopecks. `None` when neither is there or the sum is absurd.
    #[must_use]
    pub fn unit_prices(&self) -> Option<Vec<ItemPrice>> {
        if !self.prices.is_empty() {
            return Some(self.prices.clone());
        }
        let price = Kopecks::from_decimal(self.initial_price?.checked_sub(self.discount_total)?)?;
        Some(vec![ItemPrice { price, quantity: self.quantity }])
    }
}

/// Texts, or objects with a `code` (retailcrm-api.md B.4).
pub(crate) fn marking_codes(fields: &Fields<'_>) -> Result<Vec<String>, Misread> {
    let codes: Vec<Option<String>> = fields.all("markingCodes", |node| match node.value {
        Value::Object(_) => node.fields()?.get("code", text),
        _ => node.scalar(text),
    })?;
    Ok(codes.into_iter().flatten().collect())
}

impl ExternalId {
    /// `{code, value}` or a bare text.
    fn read(node: &Node<'_>) -> Result<Option<Self>, Misread> {
        match node.value {
            Value::Object(_) => {
                let e = node.fields()?;
                Ok(e.get("value", text)?.map(|value| Self { code: e.lax("code", text), value }))
            }
            _ => Ok(node.scalar(text)?.map(|value| Self { code: node.key.map(str::to_owned), value })),
        }
    }
}

impl Offer {
    fn read(o: &Fields<'_>) -> Result<Self, Misread> {
        Ok(Self {
            id: o.lax("id", integer),
            external_id: o.get("externalId", text)?,
            xml_id: o.lax("xmlId", text),
            name: o.get("name", text)?,
            display_name: o.get("displayName", text)?,
            article: o.get("article", text)?,
            barcode: o.get("barcode", text)?,
            vat_rate: o.lax("vatRate", vat).unwrap_or_default(),
            unit: o.object("unit")?.map(|unit| Unit::read(&unit)),
        })
    }
}

impl Unit {
    pub(crate) fn read(u: &Fields<'_>) -> Self {
        Self { code: u.lax("code", text), name: u.lax("name", text), sym: u.lax("sym", text) }
    }
}

impl Payment {
    pub(crate) fn read(node: &Node<'_>) -> Result<Self, Misread> {
        let p = node.fields()?;
        // As a map the payments are keyed by their id (retailcrm-api.md B.5).
        let key = node.key.and_then(|key| key.parse().ok());
        Ok(Self {
            id: p.get("id", integer)?.or(key).ok_or_else(|| p.missing("id"))?,
            kind: p.need("type", text)?,
            status: p.get("status", text)?,
            amount: p.get("amount", amount)?.unwrap_or_default(),
            external_id: p.get("externalId", text)?,
            paid_at: p.lax("paidAt", datetime),
        })
    }
}

impl OrderDelivery {
    fn read(d: &Fields<'_>) -> Result<Self, Misread> {
        Ok(Self {
            code: d.get("code", text)?,
            integration_code: d.get("integrationCode", text)?,
            service: d.object("service")?.and_then(|service| service.lax("code", text)),
            cost: d.get("cost", money)?.unwrap_or_default(),
            net_cost: d.lax("netCost", money),
            vat_rate: d.get("vatRate", vat)?.unwrap_or_default(),
            date: d.get("date", date)?,
            time: match d.object("time")? {
                Some(time) => TimeSlot::read(&time)?,
                None => TimeSlot::default(),
            },
            address: match d.object("address")? {
                Some(address) => Address::read(&address)?,
                None => Address::default(),
            },
            data: match d.object("data") {
                Ok(Some(data)) => DeliveryData::read(&data),
                Ok(None) => DeliveryData::default(),
                Err(why) => DeliveryData { unreadable: vec![why], ..DeliveryData::default() },
            },
        })
    }
}

impl fmt::Debug for OrderDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrderDelivery")
            .field("code", &self.code)
            .field("integration_code", &self.integration_code)
            .field("cost", &self.cost)
            .field("date", &self.date)
            .field("external_id", &self.data.external_id)
            .field("status", &self.data.status)
            .finish_non_exhaustive()
    }
}

impl TimeSlot {
    pub(crate) fn read(t: &Fields<'_>) -> Result<Self, Misread> {
        Ok(Self { from: t.get("from", time)?, to: t.get("to", time)?, custom: t.get("custom", text)? })
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Address {
    pub(crate) fn read(a: &Fields<'_>) -> Result<Self, Misread> {
        Ok(Self {
            index: a.get("index", text)?,
            country_iso: a.get("countryIso", text)?,
            region: a.get("region", text)?,
            region_id: a.lax("regionId", integer),
            city: a.get("city", text)?,
            city_id: a.lax("cityId", integer),
            city_type: a.get("cityType", text)?,
            street: a.get("street", text)?,
            street_id: a.lax("streetId", integer),
            street_type: a.get("streetType", text)?,
            building: a.get("building", text)?,
            house: a.get("house", text)?,
            housing: a.get("housing", text)?,
            block: a.get("block", text)?,
            floor: a.get("floor", text)?,
            flat: a.get("flat", text)?,
            intercom_code: a.get("intercomCode", text)?,
            metro: a.get("metro", text)?,
            notes: a.get("notes", text)?,
            text: a.get("text", text)?,
            terminal: a.get("terminal", text)?,
        })
    }
}

impl DeliveryData {
    fn read(d: &Fields<'_>) -> Self {
        let mut unreadable = Vec::new();
        let data = Self {
            external_id: keep(&mut unreadable, d.get("externalId", text)),
            track_number: keep(&mut unreadable, d.get("trackNumber", text)),
            locked: keep(&mut unreadable, d.get("locked", flag)).unwrap_or_default(),
            status: keep(&mut unreadable, d.get("status", text)),
            status_text: d.lax("statusText", text),
            status_date: d.lax("statusDate", datetime),
            tariff: keep(&mut unreadable, d.get("tariff", text)),
            tariff_name: d.lax("tariffName", text),
            payer_type: keep(&mut unreadable, d.get("payerType", payer)),
            cost: d.lax("cost", money),
            pickuppoint_id: keep(&mut unreadable, d.get("pickuppointId", text)),
            pickuppoint_name: d.lax("pickuppointName", text),
            pickuppoint_address: d.lax("pickuppointAddress", text),
            shipmentpoint_id: d.lax("shipmentpointId", text),
            extra_data: keep(&mut unreadable, d.extra("extraData")),
            packages: keep(&mut unreadable, d.all("packages", Package::read)),
            item_declared_values: keep(&mut unreadable, d.all("itemDeclaredValues", ItemDeclaredValue::read)),
            unreadable: Vec::new(),
        };
        Self { unreadable, ..data }
    }

    /// A value of the module's own fields as text.
    #[must_use]
    pub fn extra_text(&self, code: &str) -> Option<String> {
        self.extra_data.get(code).and_then(|value| text(value).ok().flatten())
    }
}

fn keep<T: Default>(unreadable: &mut Vec<Misread>, read: Result<T, Misread>) -> T {
    read.unwrap_or_else(|why| {
        unreadable.push(why);
        T::default()
    })
}

impl Package {
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        let p = node.fields()?;
        Ok(Self {
            package_id: p.lax("packageId", text),
            weight: p.get("weight", grams)?,
            length: p.get("length", millimetres)?,
            width: p.get("width", millimetres)?,
            height: p.get("height", millimetres)?,
            items: p.all("items", |node| {
                let item = node.fields()?;
                Ok(PackageItem { product: OrderProductRef::read(&item)?, quantity: item.need("quantity", decimal)? })
            })?,
        })
    }
}

impl OrderProductRef {
    fn read(item: &Fields<'_>) -> Result<Self, Misread> {
        let Some(product) = item.object("orderProduct")? else { return Ok(Self::default()) };
        Ok(Self {
            id: product.get("id", integer)?,
            external_id: product.get("externalId", text)?,
            external_ids: product.all("externalIds", ExternalId::read)?.into_iter().flatten().collect(),
        })
    }
}

impl ItemDeclaredValue {
    fn read(node: &Node<'_>) -> Result<Self, Misread> {
        let d = node.fields()?;
        Ok(Self { product: OrderProductRef::read(&d)?, value: d.need("value", money)? })
    }
}

/// A row of `orders/statuses`: the cheap way to read the statuses of many orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderStatus {
    pub id: CrmOrderId,
    pub external_id: Option<String>,
    pub status: String,
    /// Code of the status group.
    pub group: Option<String>,
}

impl OrderStatus {
    pub(crate) fn read(node: &Node<'_>) -> Result<Self, Misread> {
        let s = node.fields()?;
        Ok(Self {
            id: CrmOrderId(s.need("id", integer)?),
            external_id: s.lax("externalId", text),
            status: s.need("status", text)?,
            group: s.lax("group", text),
        })
    }
}

hidden_debug!(Customer, Company, Contragent, Address, DeliveryData);
deserialize_through_value!(Order);

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil;
    use proptest::prelude::*;
    use serde_json::json;

    fn sample(name: &str) -> Value {
        crate::retailcrm::samples::read(name)
    }

    fn full() -> Value {
        sample("order-full.json")["order"].clone()
    }

    #[test]
    fn the_full_order_is_read_with_every_field_a_courier_needs() {
        let order = read_single(&full()).expect("readable");
        assert_eq!(order.id, CrmOrderId(4817));
        assert_eq!(order.number.as_str(), "1234A");
        assert_eq!(order.external_id.as_deref(), Some("SHOP-9931"));
        assert_eq!((order.site.as_str(), order.status.as_str()), ("main-shop", "SentMeaSoft"));
        assert_eq!(order.created_at, Some(civil::date(2024, 5, 16).at(11, 20, 33, 0)));
        assert_eq!(order.last_name.as_deref(), Some("Петрова"));
        assert_eq!(order.first_name.as_deref(), Some("Анна"));
        assert_eq!(order.patronymic.as_deref(), Some("Сергеевна"));
        assert_eq!(order.phone.as_deref(), Some("+7 (916) 000-11-22"));
        assert_eq!(order.additional_phone.as_deref(), Some("8 495 000 11 22"));
        assert_eq!(order.email.as_deref(), Some("anna@example.com"));
        let customer = order.customer.as_ref().expect("customer");
        assert_eq!(customer.phones, ["+79160001122", "84950001122"]);
        assert_eq!(order.contragent.as_ref().expect("contragent").contragent_type.as_deref(), Some("individual"));
        assert_eq!(order.customer_comment.as_deref(), Some("Не звонить\nдо 10 утра"));
        assert_eq!(order.manager_comment.as_deref(), Some("Хрупкое"));
        assert_eq!(order.summ, Some(Kopecks::roubles(3990)));
        assert_eq!(order.total_summ, Kopecks::roubles(4140));
        assert_eq!(order.prepay_sum, Kopecks::roubles(1000));
        assert_eq!(order.weight, Some(Grams(5400)));
        assert_eq!(
            (order.length, order.width, order.height),
            (Some(Millimetres(600)), Some(Millimetres(450)), Some(Millimetres(200)))
        );
        assert_eq!(order.shipment_store.as_deref(), Some("main"));
        assert_eq!(order.shipment_date, Some(civil::date(2024, 5, 17)));
        assert_eq!(order.custom_fields["slot_hint"], json!("вечер"));
    }

    #[test]
    fn the_positions_of_the_full_order() {
        let order = read_single(&full()).expect("readable");
        let [chair, lamp, table] = &order.items[..] else { panic!("three positions") };
        assert_eq!(chair.id, 3301);
        assert_eq!(chair.external_ids, [ExternalId { code: Some("default".into()), value: "pos-3301".into() }]);
        assert_eq!(chair.title(), Some("Стул складной"));
        let offer = chair.offer.as_ref().expect("offer");
        assert_eq!(offer.article.as_deref(), Some("CH-01"));
        assert_eq!(offer.barcode.as_deref(), Some("4600000007001"));
        assert_eq!(offer.external_id.as_deref(), Some("ch-01"));
        assert_eq!(offer.unit.as_ref().expect("unit").sym.as_deref(), Some("шт."));
        assert_eq!(chair.prices, [ItemPrice { price: Kopecks::roubles(1400), quantity: Decimal::TWO }]);
        assert_eq!(chair.initial_price, Some(Decimal::from(1500)));
        assert_eq!(chair.discount_total, Decimal::ONE_HUNDRED);
        assert_eq!(chair.vat_rate, VatRate::Percent(20));
        assert_eq!(chair.quantity, Decimal::TWO);
        assert!(!chair.is_canceled);
        assert_eq!(lamp.vat_rate, VatRate::None);
        assert_eq!(lamp.marking_codes, ["0104600000000017215abcDEF\u{1d}93Zx1y"], "the GS character stays");
        assert!(table.is_canceled);
        assert_eq!(table.status.as_deref(), Some("cancel"));
    }

    #[test]
    fn the_payments_of_the_full_order() {
        let order = read_single(&full()).expect("readable");
        assert_eq!(
            order.payments,
            [
                Payment {
                    id: 1422,
                    kind: "bank-card".into(),
                    status: Some("paid".into()),
                    amount: Kopecks::roubles(1000),
                    external_id: Some("shop-pay-981".into()),
                    paid_at: Some(civil::date(2024, 5, 16).at(11, 25, 40, 0)),
                },
                Payment {
                    id: 1423,
                    kind: "cash".into(),
                    status: Some("not-paid".into()),
                    amount: Kopecks::roubles(3140),
                    external_id: None,
                    paid_at: None,
                },
            ]
        );
    }

    #[test]
    fn the_delivery_of_the_full_order() {
        let delivery = read_single(&full()).expect("readable").delivery;
        assert_eq!(delivery.code.as_deref(), Some("incity"));
        assert_eq!(delivery.integration_code.as_deref(), Some("measoft-17"));
        assert_eq!(delivery.service.as_deref(), Some("express"));
        assert_eq!(delivery.cost, Kopecks::roubles(350));
        assert_eq!(delivery.net_cost, Some(Kopecks(31_250)));
        assert_eq!(delivery.vat_rate, VatRate::None);
        assert_eq!(delivery.date, Some(civil::date(2024, 5, 18)));
        assert_eq!(delivery.time.from, Some(civil::time(10, 0, 0, 0)));
        assert_eq!(delivery.time.to, Some(civil::time(18, 0, 0, 0)));
        assert_eq!(delivery.time.custom.as_deref(), Some("лучше после 15"));
        let a = &delivery.address;
        assert_eq!(a.index.as_deref(), Some("119021"));
        assert_eq!((a.region_id, a.city_id, a.street_id), (Some(1_000_000_001), Some(4400), Some(88_121)));
        assert_eq!((a.region.as_deref(), a.city.as_deref()), (Some("Москва"), Some("Москва")));
        assert_eq!((a.street_type.as_deref(), a.street.as_deref()), (Some("ул."), Some("Льва Толстого")));
        assert_eq!(
            (a.building.as_deref(), a.house.as_deref(), a.housing.as_deref(), a.block.as_deref()),
            (Some("16"), Some("1"), Some("2"), Some("2"))
        );
        assert_eq!((a.floor.as_deref(), a.flat.as_deref()), (Some("5"), Some("42")));
        assert_eq!(a.metro.as_deref(), Some("Парк культуры"));
        assert!(a.notes.as_deref().expect("notes").contains("Домофон"));
        assert!(a.text.as_deref().expect("text").contains("под. 2"));
        let data = &delivery.data;
        assert_eq!(data.unreadable, []);
        assert_eq!(data.external_id.as_deref(), Some("ms-17-4817"));
        assert_eq!(data.track_number.as_deref(), Some("MS0000778812"));
        assert!(!data.locked);
        assert_eq!(data.status.as_deref(), Some("NEW"));
        assert_eq!(data.tariff.as_deref(), Some("express"));
        assert_eq!(data.payer_type, Some(PayerType::Sender));
        assert_eq!(data.pickuppoint_id, None);
        assert_eq!(data.extra_text("deliveryApiKey").as_deref(), Some("dk-7f3c9a52e1b04d6f8a90c1e2"));
        assert_eq!(data.packages.len(), 1);
        assert_eq!(data.packages[0].weight, Some(Grams(5400)));
        assert_eq!(data.packages[0].items[0].product.id, Some(3301));
        assert_eq!(data.packages[0].items[0].quantity, Decimal::TWO);
        assert_eq!(data.item_declared_values[1].value, Kopecks::roubles(990));
    }

    #[test]
    fn an_order_whose_maps_are_empty_lists_is_read() {
        let order = read_single(&sample("order-empty-maps.json")["order"]).expect("readable");
        assert_eq!(order.number.as_str(), "4818C");
        assert!(order.payments.is_empty() && order.items.is_empty() && order.custom_fields.is_empty());
        assert_eq!(order.contragent, None);
        assert_eq!(order.delivery.code, None);
        assert_eq!(order.delivery.address.region_id, None);
        assert_eq!(order.delivery.data, DeliveryData::default());
        assert_eq!(order.total_summ, Kopecks::ZERO);
        assert_eq!(order.weight, None);
    }

    #[test]
    fn payments_are_a_map_here_and_a_list_there() {
        let as_map = read_single(&full()).expect("readable").payments;
        let mut order = full();
        let list: Vec<Value> = order["payments"].as_object().expect("map").values().cloned().collect();
        order["payments"] = Value::from(list);
        assert_eq!(read_single(&order).expect("readable").payments, as_map);
        order["payments"] = json!({"77": {"type": "cash", "amount": "12.5"}});
        let payments = read_single(&order).expect("readable").payments;
        assert_eq!((payments[0].id, payments[0].amount), (77, Kopecks(1250)), "the key is the id");
    }

    #[test]
    fn the_edited_order_and_the_order_of_a_list_read_alike() {
        let single = read_single(&full()).expect("readable");
        let edited = read_single(&sample("order-edit-response.json")["order"]).expect("readable");
        assert_eq!(edited, single);
        let list = read_orders(&sample("orders-list.json")["orders"]).expect("a list");
        assert_eq!(list, [Ok(single)]);
    }

    #[test]
    fn one_unreadable_order_does_not_spoil_the_others() {
        let mut broken = full();
        broken["id"] = json!("4819");
        broken["number"] = json!("1235A");
        broken["items"][1]["quantity"] = json!("штука");
        let list = read_orders(&json!([full(), broken, "nonsense", full()])).expect("a list");
        assert_eq!(list.len(), 4);
        assert!(list[0].is_ok() && list[3].is_ok());
        let error = list[1].as_ref().expect_err("unreadable");
        assert_eq!(error.id, Some(CrmOrderId(4819)));
        assert_eq!(error.to_string(), "order 1235A is unreadable: orders[1].items[1].quantity: a number expected");
        assert!(list[2].is_err());
    }

    #[test]
    fn money_that_cannot_be_read_makes_the_order_unreadable() {
        for (pointer, value) in [
            ("/totalSumm", json!(null)),
            ("/totalSumm", json!("много")),
            ("/prepaySum", json!({"a": 1})),
            ("/payments/1423/amount", json!("много")),
            ("/payments/1423/type", json!("")),
            ("/delivery/cost", json!("free")),
            ("/delivery/date", json!("завтра")),
            ("/items/0/prices/0/price", json!("")),
            ("/items/0/vatRate", json!("?")),
            ("/items/0/isCanceled", json!("maybe")),
        ] {
            let mut order = full();
            *order.pointer_mut(pointer).expect(pointer) = value;
            let error = read_single(&order).expect_err(pointer);
            let path = pointer.rsplit('/').next().expect("name");
            assert!(error.why.path.ends_with(path), "{pointer}: {error}");
        }
    }

    #[test]
    fn a_payment_may_leave_its_amount_out() {
        for value in [json!(null), json!(""), json!(" ")] {
            let mut order = full();
            order["payments"]["1423"]["amount"] = value;
            let order = read_single(&order).expect("readable");
            assert_eq!(order.payment(1423).map(|payment| payment.amount), Some(Kopecks::ZERO));
        }
    }

    #[test]
    fn the_data_block_of_another_service_does_no_harm() {
        let mut order = full();
        order["delivery"]["data"] = json!({"packages": "three", "locked": [1], "externalId": 9, "payerType": "aunt"});
        let data = read_single(&order).expect("readable").delivery.data;
        assert_eq!(data.external_id.as_deref(), Some("9"));
        assert!(!data.locked);
        assert_eq!(data.unreadable.len(), 3);
        order["delivery"]["data"] = json!("gone");
        assert_eq!(read_single(&order).expect("readable").delivery.data.unreadable.len(), 1);
    }

    #[test]
    fn a_position_without_final_prices_falls_back_to_initial_less_discounts() {
        let mut order = full();
        order["items"][0]["prices"] = json!([]);
        order["items"][0]["initialPrice"] = serde_json::from_str("60.17310053999999").expect("number");
        order["items"][0]["discountTotal"] = json!("0.17");
        let item = &read_single(&order).expect("readable").items[0];
        assert_eq!(item.unit_prices(), Some(vec![ItemPrice { price: Kopecks(6000), quantity: Decimal::TWO }]));
    }

    #[test]
    fn marking_codes_come_as_texts_or_as_objects() {
        let mut order = full();
        order["items"][0]["markingCodes"] = json!(["a\u{1d}b", {"code": "c", "orderMark": 1}, {"x": 1}]);
        assert_eq!(read_single(&order).expect("readable").items[0].marking_codes, ["a\u{1d}b", "c"]);
    }

    #[test]
    fn debug_shows_no_personal_data() {
        let mut value = full();
        value["company"] = json!({"id": 1, "name": "ООО Секрет", "contragent": {"INN": "7700000000"}});
        value["contact"] = value["customer"].clone();
        let debug = format!("{:?}", read_single(&value).expect("readable"));
        for secret in [
            "Петрова",
            "Анна",
            "916",
            "495",
            "anna@",
            "Толстого",
            "Домофон",
            "звонить",
            "Хрупкое",
            "Секрет",
            "7700",
            "dk-7f",
        ] {
            assert!(!debug.contains(secret), "{secret} in {debug}");
        }
        assert!(debug.contains("1234A"));
    }

    #[test]
    fn the_usual_deserialisation_keeps_money_exact() {
        let text = full().to_string().replace("\"totalSumm\":4140", "\"totalSumm\":90071992547409.93");
        let order: Order = serde_json::from_str(&text).expect("readable");
        assert_eq!(order.total_summ, Kopecks(9_007_199_254_740_993));
        let error = serde_json::from_str::<Order>("{\"id\":1}").expect_err("no number").to_string();
        assert!(error.contains("Order.number: a value expected"), "{error}");
    }

    #[test]
    fn order_statuses_are_read() {
        let sample = sample("orders-statuses.json");
        let rows: Vec<OrderStatus> = Node::root("orders", &sample["orders"])
            .elements()
            .expect("list")
            .iter()
            .map(|node| OrderStatus::read(node).expect("row"))
            .collect();
        assert_eq!(rows[0].status, "SentMeaSoft");
        assert_eq!(rows[0].group.as_deref(), Some("delivery"));
        assert_eq!(
            rows[1],
            OrderStatus { id: CrmOrderId(4818), external_id: None, status: "new".into(), group: Some("new".into()) }
        );
    }

    proptest! {
        #[test]
        fn no_json_makes_the_order_reader_panic(value in crate::retailcrm::samples::any_json()) {
            let _ = read_single(&value);
            let _ = read_orders(&value);
        }

        /// One wild value in an otherwise good order: read or refused, never a panic.
        #[test]
        fn no_field_makes_the_order_reader_panic(value in crate::retailcrm::samples::any_json(), at in 0usize..400) {
            let mut order = full();
            let pointers = crate::retailcrm::samples::pointers(&order);
            let pointer = &pointers[at % pointers.len()];
            *order.pointer_mut(pointer).expect("exists") = value;
            let _ = read_single(&order);
        }
    }
}
