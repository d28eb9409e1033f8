//! `neworder` and `editorder`: one structure, two roots (measoft-api.md §7, §8).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::{Grams, Kopecks, Language, Millimetres, OrderNo};
use crate::measoft::account::Account;
use crate::measoft::class::Verdict;
use crate::measoft::op::Op;
use crate::measoft::wire::document::{Auth, Document, given};
use crate::measoft::wire::element::Element;
use crate::measoft::wire::value::{error_code, money};
use crate::measoft::{codes, mask};

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
    /// Sum to collect. The platform ignores it when there are items (§7.1).
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
    #[must_use]
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

/// Hides everything about people; shows what helps to tell two orders apart.
impl fmt::Debug for NewOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewOrder")
            .field("orderno", &self.orderno)
            .field("paytype", &self.paytype)
            .field("service", &self.service)
            .field("weight", &self.weight)
            .field("places", &self.places)
            .field("price", &self.price)
            .field("delivery_price", &self.delivery_price)
            .field("declared", &self.declared)
            .field("items", &self.items)
            .field("packages", &self.packages.len())
            .finish_non_exhaustive()
    }
}

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

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender([hidden])")
    }
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

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver([hidden])")
    }
}

/// How the receiver pays (§16.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PayType {
    Cash,
    Card,
    /// Nothing to collect.
    No,
    /// Paid to the courier service in another way.
    Other,
}

impl PayType {
    pub const ALL: [Self; 4] = [Self::Cash, Self::Card, Self::No, Self::Other];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cash => "CASH",
            Self::Card => "CARD",
            Self::No => "NO",
            Self::Other => "OTHER",
        }
    }

    /// Reads the vendor's word. `OPTION` (the receiver chooses) occurs in answers only and
    /// is none of these.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A fee with its VAT rate in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fee {
    pub sum: Kopecks,
    pub vat: u8,
}

/// One line of goods (§7.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// «Честный ЗНАК» code (§16.4); the platform then wants a quantity of 1.
    pub government_code: Option<String>,
}

impl Item {
    /// A line of goods with nothing but what every line has.
    #[must_use]
    pub fn goods(extcode: impl Into<String>, name: impl Into<String>, quantity: u32, retprice: Kopecks) -> Self {
        Self {
            extcode: extcode.into(),
            code: None,
            name: name.into(),
            quantity,
            mass: None,
            retprice,
            inshprice: None,
            vat: None,
            barcode: None,
            text_article: None,
            length: None,
            width: None,
            height: None,
            kind: ItemKind::Goods,
            government_code: None,
        }
    }
}

/// Types of lines (§16.3).
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
    #[must_use]
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

/// One place, or several of the same size (§7.3).
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

/// A delivery fee that depends on how much is bought (§7.3).
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

/// One row of the answer (§7.4). Match rows by `orderno`, never by position.
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
    #[must_use]
    pub const fn is_ok(&self) -> bool {
        self.code == 0
    }

    /// What a refusal means; `None` for success. `op` is `NewOrder` or `EditOrder`.
    #[must_use]
    pub fn verdict(&self, op: Op) -> Option<Verdict> {
        (!self.is_ok()).then(|| codes::classify(op, Some(self.code), &self.search_text()))
    }

    /// The vendor's own words in the wanted language, else in the other one.
    #[must_use]
    pub fn text(&self, lang: Language) -> Option<&str> {
        codes::pick_text(lang, self.text_ru.as_deref(), self.text_en.as_deref())
    }

    fn search_text(&self) -> String {
        codes::search_text(self.text_ru.as_deref(), self.text_en.as_deref())
    }
}

/// A `neworder` request for one or more orders. `newfolder` stays `NO`: it groups
/// shipments and has nothing to do with repeats.
#[must_use]
pub fn write_neworder(account: &Account, orders: &[NewOrder]) -> String {
    let mut document = Document::new(Op::NewOrder, &[("newfolder", "NO")], Auth::Full(account));
    for order in orders {
        write_order(&mut document, order, Op::NewOrder);
    }
    document.finish()
}

/// An `editorder` request: the complete order, with the codes of existing lines.
#[must_use]
pub fn write_editorder(account: &Account, order: &NewOrder) -> String {
    let mut document = Document::new(Op::EditOrder, &[], Auth::Full(account));
    write_order(&mut document, order, Op::EditOrder);
    document.finish()
}

/// Rows with a readable number and code; others are left out, so that their orders count
/// as "unknown result" (§6, rule 6).
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

fn write_order(document: &mut Document, order: &NewOrder, op: Op) {
    document.open("order", &[("orderno", order.orderno.as_str())]);
    if op == Op::NewOrder {
        document.optional("barcode", order.barcode.as_deref());
    }
    if let Some(sender) = &order.sender {
        write_sender(document, sender);
    }
    write_receiver(document, &order.receiver);
    document.yes_no("return", order.return_goods);
    document.optional("weight", order.weight.map(Grams::kilograms).as_deref());
    document.optional("quantity", order.places.map(|n| n.to_string()).as_deref());
    document.leaf("paytype", order.paytype.as_str());
    document.optional("service", order.service.as_deref());
    document.optional("type", order.kind.as_deref());
    document.optional("price", order.price.map(|sum| sum.to_string()).as_deref());
    if let Some(fee) = order.delivery_price {
        document.leaf_with("deliveryprice", &[("VATrate", &fee.vat.to_string())], &fee.sum.to_string());
    }
    document.optional("inshprice", order.declared.map(|sum| sum.to_string()).as_deref());
    document.yes_no("receiverpays", order.receiver_pays);
    document.optional("enclosure", order.enclosure.as_deref());
    document.optional("instruction", order.instruction.as_deref());
    document.optional("department", order.department.as_deref());
    document.optional("costcode", order.costcode.as_deref());
    document.yes_no("pickup", order.pickup);
    document.yes_no("acceptpartially", order.accept_partially);
    if !order.items.is_empty() {
        document.open("items", &[]);
        for item in &order.items {
            write_item(document, item, op);
        }
        document.close("items");
    }
    write_packages(document, &order.packages);
    if let Some(set) = &order.delivery_set {
        write_delivery_set(document, set);
    }
    if !order.adv_prices.is_empty() {
        document.open("advprices", &[]);
        for service in &order.adv_prices {
            document.open("advprice", &[]);
            document.leaf("code", &service.code);
            document.leaf("value", &service.value);
            document.close("advprice");
        }
        document.close("advprices");
    }
    document.close("order");
}

fn write_sender(document: &mut Document, sender: &Sender) {
    document.open("sender", &[]);
    document.optional("company", sender.company.as_deref());
    document.optional("person", sender.person.as_deref());
    document.optional("phone", sender.phone.as_deref());
    document.optional("town", sender.town.as_deref());
    document.optional("address", sender.address.as_deref());
    document.optional("date", sender.date.as_deref());
    document.optional("time_min", sender.time_min.as_deref());
    document.optional("time_max", sender.time_max.as_deref());
    document.close("sender");
}

fn write_receiver(document: &mut Document, receiver: &Receiver) {
    document.open("receiver", &[]);
    document.optional("company", receiver.company.as_deref());
    document.optional("person", receiver.person.as_deref());
    document.optional("phone", receiver.phone.as_deref());
    document.optional("zipcode", receiver.zipcode.as_deref());
    write_town(document, receiver.town.as_deref(), receiver.regioncode.as_deref(), receiver.country.as_deref());
    document.optional("address", receiver.address.as_deref());
    document.optional("pvz", receiver.pvz.as_deref());
    document.optional("date", receiver.date.as_deref());
    document.optional("time_min", receiver.time_min.as_deref());
    document.optional("time_max", receiver.time_max.as_deref());
    document.optional("inn", receiver.inn.as_deref());
    document.optional("deliveryPIN", receiver.delivery_pin.as_deref());
    document.close("receiver");
}

/// `town` with its two optional attributes; nothing without a town.
pub(crate) fn write_town(document: &mut Document, town: Option<&str>, regioncode: Option<&str>, country: Option<&str>) {
    let Some(town) = given(town) else { return };
    let mut attributes = Vec::new();
    push_given(&mut attributes, "regioncode", regioncode);
    push_given(&mut attributes, "country", country);
    document.leaf_with("town", &attributes, town);
}

fn write_item(document: &mut Document, item: &Item, op: Op) {
    let quantity = item.quantity.to_string();
    let mass = item.mass.map(Grams::kilograms);
    let retprice = item.retprice.to_string();
    let inshprice = item.inshprice.map(|sum| sum.to_string());
    let vat = item.vat.map(|vat| vat.to_string());
    let [length, width, height] = [item.length, item.width, item.height].map(centimetres);
    let mut attributes = Vec::with_capacity(16);
    if op == Op::EditOrder {
        push_given(&mut attributes, "code", item.code.as_deref());
    }
    push_given(&mut attributes, "extcode", Some(&item.extcode));
    attributes.push(("quantity", quantity.as_str()));
    push_given(&mut attributes, "mass", mass.as_deref());
    attributes.push(("retprice", retprice.as_str()));
    push_given(&mut attributes, "inshprice", inshprice.as_deref());
    push_given(&mut attributes, "VATrate", vat.as_deref());
    push_given(&mut attributes, "barcode", item.barcode.as_deref());
    push_given(&mut attributes, "textArticle", item.text_article.as_deref());
    push_given(&mut attributes, "length", length.as_deref());
    push_given(&mut attributes, "width", width.as_deref());
    push_given(&mut attributes, "height", height.as_deref());
    attributes.push(("type", item.kind.code()));
    push_given(&mut attributes, "governmentCode", item.government_code.as_deref());
    document.leaf_with("item", &attributes, item.name.trim());
}

/// The `packages` container; nothing without places.
pub(crate) fn write_packages(document: &mut Document, packages: &[Package]) {
    if packages.is_empty() {
        return;
    }
    document.open("packages", &[]);
    for package in packages {
        let mass = package.mass.map(Grams::kilograms);
        let [length, width, height] = [package.length, package.width, package.height].map(centimetres);
        let quantity = package.quantity.map(|n| n.to_string());
        let mut attributes = Vec::with_capacity(8);
        push_given(&mut attributes, "code", package.code.as_deref());
        push_given(&mut attributes, "strbarcode", package.strbarcode.as_deref());
        push_given(&mut attributes, "mass", mass.as_deref());
        push_given(&mut attributes, "length", length.as_deref());
        push_given(&mut attributes, "width", width.as_deref());
        push_given(&mut attributes, "height", height.as_deref());
        push_given(&mut attributes, "quantity", quantity.as_deref());
        push_given(&mut attributes, "message", package.message.as_deref());
        match given(package.name.as_deref()) {
            Some(name) => document.leaf_with("package", &attributes, name),
            None => document.empty("package", &attributes),
        }
    }
    document.close("packages");
}

fn write_delivery_set(document: &mut Document, set: &DeliverySet) {
    let above = set.above_price.to_string();
    let back = set.return_price.to_string();
    let vat = set.vat.map(|vat| vat.to_string());
    let mut attributes = vec![("above_price", above.as_str()), ("return_price", back.as_str())];
    push_given(&mut attributes, "VATrate", vat.as_deref());
    document.open("deliveryset", &attributes);
    for (below_sum, price) in &set.below {
        document.empty("below", &[("below_sum", &below_sum.to_string()), ("price", &price.to_string())]);
    }
    document.close("deliveryset");
}

fn centimetres(length: Option<Millimetres>) -> Option<String> {
    length.map(|length| length.centimetres().to_string())
}

fn push_given<'a>(attributes: &mut Vec<(&'static str, &'a str)>, name: &'static str, value: Option<&'a str>) {
    if let Some(value) = given(value) {
        attributes.push((name, value));
    }
}
