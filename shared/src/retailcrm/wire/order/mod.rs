//! The order as RetailCRM gives it (protocols/retailcrm.md#order): the fields a courier needs.
//!
//! What decides about money, goods and the address must be readable, else the order is
//! [`Unreadable`]; what is only informative is dropped when it is not.

mod customer;
mod delivery;
mod item;
#[cfg(test)]
mod tests;

use jiff::civil::DateTime;
use serde_json::Value;

use crate::debug::debug_by;
use crate::domain::{CrmOrderId, Grams, Kopecks, Millimetres, OrderNumber};
use crate::retailcrm::tolerant::{
    Misread, Node, Scalar, datetime, deserialize_through_value, grams, integer, millimetres, money, object, text,
};

pub use customer::{Company, Contragent, Customer};
pub(crate) use delivery::payer;
pub use delivery::{
    Address, DeliveryData, ItemDeclaredValue, OrderDelivery, OrderProductRef, Package, PackageItem, PayerType, TimeSlot,
};
pub(crate) use item::marking_codes;
pub use item::{ExternalId, Item, ItemPrice, Offer, Unit};

object! {
    /// An order. Its `Debug` shows numbers and codes only.
    #[derive(Clone, PartialEq)]
    pub struct Order(o) {
        /// Internal id: stable, unique in the account.
        pub id: CrmOrderId = CrmOrderId(o.need("id", integer)?),
        pub number: OrderNumber = o.need("number", number)?,
        /// Id in the shop, unique per site.
        pub external_id: Option<String> = o.lax("externalId", text),
        /// Code of the shop; empty when not given.
        pub site: String = o.get("site", text)?.unwrap_or_default(),
        /// Code of the order status; empty when not given.
        pub status: String = o.get("status", text)?.unwrap_or_default(),
        /// Account time.
        pub created_at: Option<DateTime> = o.lax("createdAt", datetime),
        pub currency: Option<String> = o.lax("currency", text),

        /// The receiver as entered in the order.
        pub last_name: Option<String> = o.get("lastName", text)?,
        pub first_name: Option<String> = o.get("firstName", text)?,
        pub patronymic: Option<String> = o.get("patronymic", text)?,
        /// Free text; may hold several numbers or an extension.
        pub phone: Option<String> = o.get("phone", text)?,
        pub additional_phone: Option<String> = o.get("additionalPhone", text)?,
        pub email: Option<String> = o.get("email", text)?,
        pub customer: Option<Customer> = o.nested("customer", Customer::read)?,
        /// The person, when the customer is a company.
        pub contact: Option<Customer> = o.nested("contact", Customer::read)?,
        pub company: Option<Company> = o.nested("company", Company::read)?,
        pub contragent: Option<Contragent> = o.nested("contragent", Contragent::read)?,
        pub customer_comment: Option<String> = o.get("customerComment", text)?,

        /// To pay in all: goods after discounts and delivery.
        pub total_summ: Kopecks = o.need("totalSumm", money)?,
        /// Sum of the payments that count as paid; may exceed the total. Zero when not given.
        pub prepay_sum: Kopecks = o.get("prepaySum", money)?.unwrap_or_default(),

        pub weight: Option<Grams> = o.get("weight", grams)?,
        pub length: Option<Millimetres> = o.get("length", millimetres)?,
        pub width: Option<Millimetres> = o.get("width", millimetres)?,
        pub height: Option<Millimetres> = o.get("height", millimetres)?,

        /// All positions, cancelled ones too.
        pub items: Vec<Item> = o.all("items", Item::read)?,
        /// By id, ascending.
        pub payments: Vec<Payment> = {
            let mut payments = o.all("payments", Payment::read)?;
            payments.sort_by_key(|payment| payment.id);
            payments
        },
        /// An order without delivery has an empty one.
        pub delivery: OrderDelivery = o.nested("delivery", OrderDelivery::read)?.unwrap_or_default(),
    }

    /// A payment of the order. Paid or not is a property of its status (reference).
    #[derive(Debug, Clone, PartialEq)]
    pub struct Payment(p) {
        /// As a map the payments are keyed by their id (protocols/retailcrm.md#order-payments).
        pub id: i64 = {
            let key = p.key.and_then(|key| key.parse().ok());
            p.get("id", integer)?.or(key).ok_or_else(|| p.missing("id"))?
        },
        /// Code of the payment type (`type`).
        pub kind: String = p.need("type", text)?,
        /// Code of the payment status.
        pub status: Option<String> = p.get("status", text)?,
        /// Zero when not given: RetailCRM lets modules leave it out.
        pub amount: Kopecks = p.get("amount", amount)?.unwrap_or_default(),
        pub external_id: Option<String> = p.get("externalId", text)?,
        /// Account time.
        pub paid_at: Option<DateTime> = p.lax("paidAt", datetime),
    }
}

debug_by! { Order: id, number, site, status, total_summ, prepay_sum, items, payments, delivery; }
deserialize_through_value!(Order);

impl Order {
    /// The payment with this id.
    pub fn payment(&self, id: i64) -> Option<&Payment> {
        self.payments.iter().find(|payment| payment.id == id)
    }
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
    node.read(Order::read).map_err(|why| Unreadable {
        id: node.value.get("id").and_then(|id| integer(id).ok().flatten()).map(CrmOrderId),
        number: node.value.get("number").and_then(|number| text(number).ok().flatten()),
        why,
    })
}

pub(crate) fn number(value: &Value) -> Scalar<OrderNumber> {
    let Some(text) = text(value)? else { return Ok(None) };
    OrderNumber::parse(&text).map(Some).map_err(|_| "an order number")
}

/// A sum that may be left out; blank text is left out too.
fn amount(value: &Value) -> Scalar<Kopecks> {
    match value {
        Value::String(text) if text.trim().is_empty() => Ok(None),
        value => money(value),
    }
}
