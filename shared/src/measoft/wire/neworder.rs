//! `neworder` and `editorder`: one structure, two roots (protocols/measoft.md#neworder).

mod write;

use serde::{Deserialize, Serialize};

use crate::debug::{debug_by, hidden_debug};
use crate::domain::{Grams, Kopecks, Language, Millimetres, OrderNo};
use crate::measoft::class::Verdict;
use crate::measoft::op::Op;
use crate::measoft::wire::element::Element;
use crate::measoft::wire::value::{error_code, money};
use crate::measoft::{codes, mask};

pub use write::{write_editorder, write_neworder};
pub(crate) use write::{write_packages, write_town};

/// Everything MeaSoft is told about a shipment. The worker stores and hashes it, so the
/// serialised form is stable: new fields are optional.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewOrder {
    pub orderno: OrderNo,
    /// Not sent with `editorder`, where it is forbidden.
    pub barcode: Option<String>,
    pub sender: Option<Sender>,
    pub receiver: Receiver,
    /// Something has to be brought back.
    pub return_goods: Option<bool>,
    pub weight: Option<Grams>,
    /// Number of places.
    pub places: Option<u32>,
    pub paytype: PayType,
    /// Delivery mode, a code of `services`.
    pub service: Option<String>,
    /// Type of shipment, a code of the courier service's list.
    pub kind: Option<String>,
    /// Sum to collect. The platform ignores it when there are items
    /// (protocols/measoft.md#neworder).
    pub price: Option<Kopecks>,
    /// What the receiver pays for the delivery; becomes a line of its own.
    pub delivery_price: Option<Fee>,
    /// Declared value of the whole order.
    pub declared: Option<Kopecks>,
    pub receiver_pays: Option<bool>,
    pub enclosure: Option<String>,
    pub instruction: Option<String>,
    pub department: Option<String>,
    pub costcode: Option<String>,
    /// The whole order is a pick-up, not a delivery.
    pub pickup: Option<bool>,
    /// The receiver may refuse part of the goods.
    pub accept_partially: Option<bool>,
    #[serde(default)]
    pub items: Vec<Item>,
    #[serde(default)]
    pub packages: Vec<Package>,
    pub delivery_set: Option<DeliverySet>,
    #[serde(default)]
    pub adv_prices: Vec<AdvPrice>,
}

impl NewOrder {
    /// An order with nothing but what is required.
    pub fn new(orderno: OrderNo, receiver: Receiver, paytype: PayType) -> Self {
        Self {
            orderno,
            barcode: None,
            sender: None,
            receiver,
            return_goods: None,
            weight: None,
            places: None,
            paytype,
            service: None,
            kind: None,
            price: None,
            delivery_price: None,
            declared: None,
            receiver_pays: None,
            enclosure: None,
            instruction: None,
            department: None,
            costcode: None,
            pickup: None,
            accept_partially: None,
            items: Vec::new(),
            packages: Vec::new(),
            delivery_set: None,
            adv_prices: Vec::new(),
        }
    }
}

// Hides everything about people; shows what helps to tell two orders apart.
debug_by! {
    NewOrder: orderno, paytype, service, weight, places, price, delivery_price, declared, items;
}
hidden_debug!(Sender, Receiver);

/// Where the courier picks the shipment up. Empty fields fall back to the client's own.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    pub company: Option<String>,
    pub person: Option<String>,
    pub phone: Option<String>,
    pub town: Option<String>,
    pub address: Option<String>,
    /// `YYYY-MM-DD`.
    pub date: Option<String>,
    /// `HH:MM`.
    pub time_min: Option<String>,
    /// `HH:MM`.
    pub time_max: Option<String>,
}

/// Who gets the shipment. The platform requires company or person, address and phone.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receiver {
    pub company: Option<String>,
    pub person: Option<String>,
    /// One or several phones, e-mails allowed, separated by commas.
    pub phone: Option<String>,
    pub zipcode: Option<String>,
    /// Name with its type word («Химки город») or a code of `townlist`.
    pub town: Option<String>,
    /// Region's code; tells towns of one name apart.
    pub regioncode: Option<String>,
    /// ISO 3166-1.
    pub country: Option<String>,
    pub address: Option<String>,
    /// Code of a pick-up point.
    pub pvz: Option<String>,
    /// Wanted delivery date, `YYYY-MM-DD`.
    pub date: Option<String>,
    /// `HH:MM`.
    pub time_min: Option<String>,
    /// `HH:MM`.
    pub time_max: Option<String>,
    pub inn: Option<String>,
    pub delivery_pin: Option<String>,
}

crate::closed_set! {
    /// How the receiver pays (protocols/measoft.md#paytype). `OPTION` (the receiver chooses) occurs in
    /// answers only and is none of these.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "UPPERCASE")]
    PayType {
        Cash => "CASH",
        Card => "CARD",
        /// Nothing to collect.
        No => "NO",
        /// Paid to the courier service in another way.
        Other => "OTHER",
    }
}

/// A fee with its VAT rate in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fee {
    pub sum: Kopecks,
    pub vat: u8,
}

/// One line of goods (protocols/measoft.md#items).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Our line id, unique in the order; statuses bring it back.
    pub extcode: String,
    /// MeaSoft's internal line code. For `editorder` only: without it a line is added.
    pub code: Option<String>,
    pub name: String,
    pub quantity: u32,
    /// Weight of one unit.
    pub mass: Option<Grams>,
    /// Price of one unit; negative for a prepayment.
    pub retprice: Kopecks,
    /// Declared value of one unit.
    pub inshprice: Option<Kopecks>,
    /// Percent. The platform's default when absent is out of date.
    pub vat: Option<u8>,
    pub barcode: Option<String>,
    /// SKU without any meaning at the courier's warehouse.
    pub text_article: Option<String>,
    pub length: Option<Millimetres>,
    pub width: Option<Millimetres>,
    pub height: Option<Millimetres>,
    pub kind: ItemKind,
    /// «Честный ЗНАК» code (protocols/measoft.md#marking-codes); the platform then wants a quantity
    /// of 1.
    pub government_code: Option<String>,
}

impl Item {
    /// A line of goods with nothing but what every line has.
    pub fn goods(extcode: impl Into<String>, name: impl Into<String>, quantity: u32, retprice: Kopecks) -> Self {
        Self { extcode: extcode.into(), name: name.into(), quantity, retprice, ..Self::default() }
    }
}

/// Types of lines (protocols/measoft.md#item-types).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemKind {
    #[default]
    Goods,
    Delivery,
    Service,
    Prepayment,
    Credit,
    /// Goods to be picked up from the receiver.
    PickUp,
}

impl ItemKind {
    /// The vendor's number.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Goods => "1",
            Self::Delivery => "2",
            Self::Service => "3",
            Self::Prepayment => "4",
            Self::Credit => "6",
            Self::PickUp => "7",
        }
    }
}

/// One place, or several of the same size (protocols/measoft.md#packages).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Package {
    pub code: Option<String>,
    /// Barcode on the label.
    pub strbarcode: Option<String>,
    pub mass: Option<Grams>,
    pub length: Option<Millimetres>,
    pub width: Option<Millimetres>,
    pub height: Option<Millimetres>,
    pub quantity: Option<u32>,
    pub message: Option<String>,
    pub name: Option<String>,
}

/// A delivery fee that depends on how much is bought (protocols/measoft.md#packages).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliverySet {
    /// Fee when everything, or more than the last boundary, is bought.
    pub above_price: Kopecks,
    /// Fee when everything is refused.
    pub return_price: Kopecks,
    pub vat: Option<u8>,
    /// (bought sum below, fee).
    pub below: Vec<(Kopecks, Kopecks)>,
}

/// An additional service of the courier's list: a number or `true`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdvPrice {
    pub code: String,
    pub value: String,
}

/// One row of the answer (protocols/measoft.md#rows). Match rows by `orderno`, never by position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateRow {
    pub orderno: OrderNo,
    pub barcode: Option<String>,
    /// 0 is success; [`crate::measoft::class::UNREADABLE_CODE`] when it was no number.
    pub code: i64,
    /// The vendor's words, without phones and e-mail addresses.
    pub text_ru: Option<String>,
    pub text_en: Option<String>,
    /// Resulting sum of the order, on success only.
    pub orderprice: Option<Kopecks>,
}

impl CreateRow {
    pub const fn is_ok(&self) -> bool {
        self.code == 0
    }

    /// What a refusal means; `None` for success. `op` is `NewOrder` or `EditOrder`.
    pub fn verdict(&self, op: Op) -> Option<Verdict> {
        (!self.is_ok()).then(|| codes::classify(op, Some(self.code), &self.search_text()))
    }

    /// The vendor's own words in the wanted language, else in the other one.
    pub fn text(&self, lang: Language) -> Option<&str> {
        codes::pick_text(lang, self.text_ru.as_deref(), self.text_en.as_deref())
    }

    fn search_text(&self) -> String {
        codes::search_text(self.text_ru.as_deref(), self.text_en.as_deref())
    }
}

/// Rows with a readable number and code; others are left out, so that their orders count
/// as "unknown result" (protocols/measoft.md#envelope).
pub(crate) fn read_create_rows(root: &Element) -> Vec<CreateRow> {
    // The row's name in `editorder` answers is not evidenced: accept both.
    root.children("createorder").chain(root.children("order")).filter_map(read_create_row).collect()
}

fn read_create_row(row: &Element) -> Option<CreateRow> {
    Some(CreateRow {
        orderno: OrderNo::known(row.attribute("orderno")?),
        code: error_code(row)?,
        barcode: row.owned_attribute("barcode"),
        text_ru: row.attribute("errormsgru").map(mask::scrub),
        text_en: row.attribute("errormsg").or_else(|| row.text()).map(mask::scrub),
        orderprice: money(row.attribute("orderprice"), "orderprice").ok().flatten(),
    })
}
