//! What was ordered: positions, their prices and the offers behind them.

use rust_decimal::Decimal;
use serde_json::Value;

use crate::domain::Kopecks;
use crate::retailcrm::tolerant::{Fields, Misread, Node, VatRate, decimal, flag, integer, money, object, text, vat};

object! {
    /// A position of the order.
    #[derive(Debug, Clone, PartialEq)]
    pub struct Item(i) {
        pub id: i64 = i.need("id", integer)?,
        pub external_ids: Vec<ExternalId> = i.some("externalIds", ExternalId::read)?,
        /// Absent for a free-text position.
        pub offer: Option<Offer> = i.nested("offer", Offer::read)?,
        pub product_name: Option<String> = i.get("productName", text)?,
        /// Final unit prices; several when rounding splits the position.
        pub prices: Vec<ItemPrice> = {
            let all = i.need("quantity", decimal)?;
            i.all("prices", |p| {
                Ok(ItemPrice { price: p.need("price", money)?, quantity: p.get("quantity", decimal)?.unwrap_or(all) })
            })?
        },
        /// Before discounts, per unit; may have many decimals.
        pub initial_price: Option<Decimal> = i.get("initialPrice", decimal)?,
        /// All discounts, per unit.
        pub discount_total: Decimal = i.get("discountTotal", decimal)?.unwrap_or_default(),
        pub vat_rate: VatRate = i.get("vatRate", vat)?.unwrap_or_default(),
        /// May be fractional.
        pub quantity: Decimal = i.need("quantity", decimal)?,
        /// Code of the position status.
        pub status: Option<String> = i.lax("status", text),
        /// Not to be shipped, not to be counted.
        pub is_canceled: bool = i.get("isCanceled", flag)?.unwrap_or_default(),
        /// «Честный знак» codes byte for byte, GS characters included.
        pub marking_codes: Vec<String> = marking_codes(i)?,
    }

    /// The offer (SKU) behind a position.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct Offer(o) {
        pub id: Option<i64> = o.lax("id", integer),
        pub external_id: Option<String> = o.get("externalId", text)?,
        pub name: Option<String> = o.get("name", text)?,
        pub display_name: Option<String> = o.get("displayName", text)?,
        pub article: Option<String> = o.get("article", text)?,
        pub barcode: Option<String> = o.get("barcode", text)?,
        pub vat_rate: VatRate = o.lax("vatRate", vat).unwrap_or_default(),
        pub unit: Option<Unit> = o.nested("unit", Unit::read)?,
    }

    /// A unit of measure.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct Unit(u) {
        pub code: Option<String> = u.lax("code", text),
        pub name: Option<String> = u.lax("name", text),
        pub sym: Option<String> = u.lax("sym", text),
    }
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

impl Item {
    /// What the receiver knows the goods by.
    pub fn title(&self) -> Option<&str> {
        let offer = self.offer.as_ref();
        offer
            .and_then(|offer| offer.display_name.as_deref())
            .or_else(|| offer.and_then(|offer| offer.name.as_deref()))
            .or(self.product_name.as_deref())
    }

    /// Final unit prices with their quantities: `prices`, or else the initial price less the
    /// discounts, rounded to kopecks. `None` when neither is there or the sum is absurd.
    pub fn unit_prices(&self) -> Option<Vec<ItemPrice>> {
        if !self.prices.is_empty() {
            return Some(self.prices.clone());
        }
        let price = Kopecks::from_decimal(self.initial_price?.checked_sub(self.discount_total)?)?;
        Some(vec![ItemPrice { price, quantity: self.quantity }])
    }
}

impl ExternalId {
    /// `{code, value}` or a bare text.
    pub(crate) fn read(node: &Node<'_>) -> Result<Option<Self>, Misread> {
        match node.value {
            Value::Object(_) => {
                let e = node.fields()?;
                Ok(e.get("value", text)?.map(|value| Self { code: e.lax("code", text), value }))
            }
            _ => Ok(node.scalar(text)?.map(|value| Self { code: node.key.map(str::to_owned), value })),
        }
    }
}

/// Texts, or objects with a `code` (protocols/retailcrm.md#items).
pub(crate) fn marking_codes(fields: &Fields<'_>) -> Result<Vec<String>, Misread> {
    fields.some("markingCodes", |node| match node.value {
        Value::Object(_) => node.fields()?.get("code", text),
        _ => node.scalar(text),
    })
}
