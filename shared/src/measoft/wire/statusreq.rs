//! `statusreq` and `commitlaststatus` (measoft-api.md §10, §11).

use std::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::domain::status_code::StatusCode;
use crate::domain::{Grams, Kopecks, OrderNo};
use crate::measoft::account::Account;
use crate::measoft::op::Op;
use crate::measoft::wire::document::{Auth, Document, given};
use crate::measoft::wire::element::Element;
use crate::measoft::wire::value::{BadValue, count, date_text, kilograms, moment_gmt, money, percent, yes_no};

/// A snapshot of one shipment. `Debug` shows no personal data.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StatusRow {
    /// The client's number; `None` for shipments entered by hand without one.
    pub orderno: Option<OrderNo>,
    /// MeaSoft's own number, text with leading zeros.
    pub ordercode: Option<String>,
    pub orderno2: Option<String>,
    pub givencode: Option<String>,
    pub awb: Option<String>,
    pub barcode: Option<String>,
    /// The current status; absent for an order that never had one.
    pub status: Option<Status>,
    #[serde(default)]
    pub history: Vec<Status>,
    /// The vendor's word, which may be `OPTION` or something new; see `PayType::parse`.
    pub paytype: Option<String>,
    /// Sum to collect, after delivery the sum collected.
    pub price: Option<Kopecks>,
    /// Declared value.
    pub inshprice: Option<Kopecks>,
    /// What the courier service charges the shop: the total, and its parts.
    pub charge: Option<Kopecks>,
    pub charge_delivery: Option<Kopecks>,
    pub charge_return: Option<Kopecks>,
    pub weight: Option<Grams>,
    /// Number of places.
    pub places: Option<u32>,
    pub service: Option<String>,
    pub receiver_company: Option<String>,
    pub receiver_person: Option<String>,
    /// As shown, then the normalised ones of `contacts`.
    #[serde(default)]
    pub receiver_phones: Vec<String>,
    pub receiver_zipcode: Option<String>,
    pub receiver_town: Option<String>,
    pub receiver_town_code: Option<String>,
    pub receiver_regioncode: Option<String>,
    pub receiver_address: Option<String>,
    pub receiver_pvz: Option<String>,
    /// Currently planned delivery: `YYYY-MM-DD`, `HH:MM`, `HH:MM`.
    pub planned_date: Option<String>,
    pub planned_time_min: Option<String>,
    pub planned_time_max: Option<String>,
    /// Who took it, **or** the reason of non-delivery.
    pub deliveredto: Option<String>,
    /// `YYYY-MM-DD`.
    pub delivereddate: Option<String>,
    /// `HH:MM`.
    pub deliveredtime: Option<String>,
    /// Scheduled moment, `YYYY-MM-DD HH:MM:SS` without zone.
    pub arrival: Option<String>,
    pub customstatecode: Option<String>,
    pub clientstatecode: Option<String>,
    pub outstrbarcode: Option<String>,
    pub instruction: Option<String>,
    pub enclosure: Option<String>,
    pub department: Option<String>,
    pub costcode: Option<String>,
    pub accept_partially: Option<bool>,
    pub receiver_pays: Option<bool>,
    #[serde(default)]
    pub items: Vec<StatusItem>,
    #[serde(default)]
    pub packages: Vec<StatusPackage>,
    /// Side fields that were there and could not be read, by name: they count as not given, so
    /// that status, sum and payment type are never withheld for them. Holds no values.
    #[serde(default)]
    pub unreadable: Vec<String>,
}

impl StatusRow {
    /// Whether every line shows its figures; if not, its quantities and prices prove nothing.
    #[must_use]
    pub fn shows_lines(&self) -> bool {
        !self.unreadable.iter().any(|field| field.starts_with(ITEM))
    }
}

impl fmt::Debug for StatusRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusRow")
            .field("orderno", &self.orderno)
            .field("ordercode", &self.ordercode)
            .field("status", &self.status)
            .field("paytype", &self.paytype)
            .field("price", &self.price)
            .field("items", &self.items)
            .field("unreadable", &self.unreadable)
            .finish_non_exhaustive()
    }
}

/// One status record (§10.3).
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Status {
    pub code: StatusCode,
    /// For people only; one sample holds the code itself.
    pub title: Option<String>,
    /// The branch's local time without a zone. Never compute with it.
    pub eventtime: Option<String>,
    /// When the record appeared: what statuses are ordered by.
    pub createtime_gmt: Option<jiff::Timestamp>,
    pub message: Option<String>,
    /// The branch.
    pub store: Option<String>,
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        match self.createtime_gmt {
            Some(moment) => write!(f, "@{moment}"),
            None => Ok(()),
        }
    }
}

/// One line of a shipment. The platform's own lines («Доставка», «Предоплата») have no
/// `extcode`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StatusItem {
    /// Internal line code, wanted by `editorder`.
    pub code: Option<String>,
    pub extcode: Option<String>,
    pub name: Option<String>,
    /// One when it is there and cannot be read: the line exists ([`StatusRow::shows_lines`]).
    pub quantity: u32,
    /// Zero when it is not given or cannot be read.
    pub retprice: Kopecks,
    pub vat: Option<u8>,
    pub mass: Option<Grams>,
    pub barcode: Option<String>,
    pub article: Option<String>,
    /// How many were refused.
    pub returns: u32,
}

impl StatusItem {
    /// How many the receiver kept.
    #[must_use]
    pub const fn bought(&self) -> u32 {
        self.quantity.saturating_sub(self.returns)
    }
}

/// One place of a shipment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StatusPackage {
    pub code: Option<String>,
    pub strbarcode: Option<String>,
    pub mass: Option<Grams>,
}

/// A row whose content cannot be read. It is set aside, and the rows after it count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[error("the row of order {} cannot be read: {why}", .orderno.as_ref().map_or("?", OrderNo::as_str))]
pub struct PoisonRow {
    pub orderno: Option<OrderNo>,
    pub ordercode: Option<String>,
    /// Says which field; holds no personal data.
    pub why: String,
}

/// Which orders a query by creation date returns (§10.1, `done`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Done {
    #[default]
    All,
    OnlyDone,
    OnlyNotDone,
    OnlyNew,
    /// Everything that has no final status.
    OnlyDelivery,
}

impl Done {
    /// The vendor's word; empty for all.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "",
            Self::OnlyDone => "ONLY_DONE",
            Self::OnlyNotDone => "ONLY_NOT_DONE",
            Self::OnlyNew => "ONLY_NEW",
            Self::OnlyDelivery => "ONLY_DELIVERY",
        }
    }
}

#[must_use]
pub fn write_by_orderno(account: &Account, orderno: &OrderNo) -> String {
    let mut document = own_orders(Op::StatusReq, account);
    document.leaf("orderno", orderno.as_str());
    document.finish()
}

/// By creation date, both ends included. `namestarts` narrows to numbers with a prefix.
#[must_use]
pub fn write_by_created(account: &Account, from: Date, to: Date, done: Done, namestarts: Option<&str>) -> String {
    let mut document = own_orders(Op::StatusReq, account);
    document.leaf("datefrom", &from.to_string());
    document.leaf("dateto", &to.to_string());
    document.optional("done", Some(done.as_str()));
    if let Some(prefix) = given(namestarts) {
        document.open("conditions", &[]);
        document.leaf("namestarts", prefix);
        document.close("conditions");
    }
    document.finish()
}

/// "What changed since the last acknowledged answer" of our own cursor.
#[must_use]
pub fn write_only_last(account: &Account, streamid: u32) -> String {
    let mut document = own_orders(Op::StatusReq, account);
    document.leaf("changes", "ONLY_LAST");
    document.leaf("streamid", &streamid.to_string());
    document.finish()
}

/// Acknowledges what the last `ONLY_LAST` answer of this cursor brought.
#[must_use]
pub fn write_commit(account: &Account, streamid: u32) -> String {
    let mut document = own_orders(Op::CommitLastStatus, account);
    document.leaf("streamid", &streamid.to_string());
    document.finish()
}

fn own_orders(op: Op, account: &Account) -> Document {
    let mut document = Document::new(op, &[], Auth::Full(account));
    document.leaf("client", "CLIENT");
    document
}

/// Reads one `order` element of `statusreq`, or the body of a webhook.
pub(crate) fn read_status_row(order: &Element) -> Result<StatusRow, PoisonRow> {
    let orderno = order.attribute("orderno").map(OrderNo::known);
    let ordercode = order.owned_attribute("ordercode");
    if orderno.is_none() && ordercode.is_none() {
        return Err(PoisonRow { orderno, ordercode, why: "the row has no number at all".into() });
    }
    Ok(read_row(order, orderno, ordercode))
}

/// How the fields of lines are named.
const ITEM: &str = "item ";

/// Side fields of a row: what cannot be read is noted and counts as not given.
#[derive(Default)]
struct SideFields(Vec<String>);

impl SideFields {
    fn take<T>(&mut self, read: Result<Option<T>, BadValue>) -> Option<T> {
        read.unwrap_or_else(|bad| {
            if !self.0.iter().any(|field| field == bad.field) {
                self.0.push(bad.field.to_owned());
            }
            None
        })
    }
}

fn read_row(order: &Element, orderno: Option<OrderNo>, ordercode: Option<String>) -> StatusRow {
    let mut side = SideFields::default();
    let nobody = Element::default();
    let receiver = order.child("receiver").unwrap_or(&nobody);
    let town = receiver.child("town").unwrap_or(&nobody);
    let charge = order.child("deliveryprice").unwrap_or(&nobody);
    let mut row = StatusRow {
        orderno,
        ordercode,
        orderno2: order.owned_attribute("orderno2"),
        givencode: order.owned_attribute("givencode"),
        awb: order.owned_attribute("awb"),
        barcode: order.owned_text("barcode"),
        status: order.child("status").and_then(|status| read_status(status, &mut side)),
        history: order.child("statushistory").map(|all| read_history(all, &mut side)).unwrap_or_default(),
        paytype: order.owned_text("paytype"),
        price: side.take(money(order.child_text("price"), "price")),
        inshprice: side.take(money(order.child_text("inshprice"), "inshprice")),
        charge: side.take(money(charge.attribute("total"), "deliveryprice total")),
        charge_delivery: side.take(money(charge.attribute("delivery"), "deliveryprice delivery")),
        charge_return: side.take(money(charge.attribute("return"), "deliveryprice return")),
        weight: side.take(kilograms(order.child_text("weight"), "weight")),
        places: side.take(count(order.child_text("quantity"), "quantity")),
        service: order.owned_text("service"),
        receiver_company: receiver.owned_text("company"),
        receiver_person: receiver.owned_text("person"),
        receiver_phones: phones(receiver),
        receiver_zipcode: receiver.owned_text("zipcode"),
        receiver_town: town.text().map(str::to_owned),
        receiver_town_code: town.owned_attribute("code"),
        receiver_regioncode: town.owned_attribute("regioncode"),
        receiver_address: receiver.owned_text("address"),
        receiver_pvz: read_pvz(receiver),
        planned_date: date_text(receiver.child_text("date")),
        planned_time_min: receiver.owned_text("time_min"),
        planned_time_max: receiver.owned_text("time_max"),
        deliveredto: order.owned_text("deliveredto"),
        delivereddate: date_text(order.child_text("delivereddate")),
        deliveredtime: order.owned_text("deliveredtime"),
        arrival: date_text(order.child_text("arrival")),
        customstatecode: order.owned_text("customstatecode"),
        clientstatecode: order.owned_text("clientstatecode"),
        outstrbarcode: order.owned_text("outstrbarcode"),
        instruction: order.owned_text("instruction"),
        enclosure: order.owned_text("enclosure"),
        department: order.owned_text("department"),
        costcode: order.owned_text("costcode"),
        accept_partially: yes_no(order.child_text("acceptpartially")),
        receiver_pays: yes_no(order.child_text("receiverpays")),
        items: rows(order, "items", "item", |item| read_item(item, &mut side)),
        packages: rows(order, "packages", "package", |package| read_package(package, &mut side)),
        unreadable: Vec::new(),
    };
    row.unreadable = side.0;
    row
}

/// `None` for an empty `status` element.
fn read_status(status: &Element, side: &mut SideFields) -> Option<Status> {
    let code = status.text()?;
    Some(Status {
        code: StatusCode::parse(code),
        title: status.owned_attribute("title"),
        eventtime: date_text(status.attribute("eventtime")),
        createtime_gmt: side.take(moment_gmt(status.attribute("createtimegmt"), "createtimegmt")),
        message: status.owned_attribute("message"),
        store: status.owned_attribute("eventstore"),
    })
}

fn read_history(history: &Element, side: &mut SideFields) -> Vec<Status> {
    history.children("status").filter_map(|status| read_status(status, side)).collect()
}

fn read_item(item: &Element, side: &mut SideFields) -> StatusItem {
    StatusItem {
        code: item.owned_attribute("code"),
        extcode: item.owned_attribute("extcode"),
        name: item.text().map(str::to_owned),
        quantity: match count(item.attribute("quantity"), "item quantity") {
            Ok(quantity) => quantity.unwrap_or(0),
            unreadable => side.take(unreadable).unwrap_or(1),
        },
        retprice: side.take(money(item.attribute("retprice"), "item retprice")).unwrap_or(Kopecks::ZERO),
        vat: percent(item.attribute("VATrate")),
        mass: side.take(kilograms(item.attribute("mass"), "mass of an item")),
        barcode: item.owned_attribute("barcode"),
        article: item.owned_attribute("article"),
        returns: side.take(count(item.attribute("returns"), "returns of an item")).unwrap_or(0),
    }
}

fn read_package(package: &Element, side: &mut SideFields) -> StatusPackage {
    StatusPackage {
        code: package.owned_attribute("code"),
        strbarcode: package.owned_attribute("strbarcode"),
        mass: side.take(kilograms(package.attribute("mass"), "package mass")),
    }
}

fn rows<T>(order: &Element, container: &str, row: &str, read: impl FnMut(&Element) -> T) -> Vec<T> {
    order.child(container).map_or_else(Vec::new, |container| container.children(row).map(read).collect())
}

fn phones(receiver: &Element) -> Vec<String> {
    let contacts = receiver.child("contacts");
    let normalised = contacts.into_iter().flat_map(|contacts| contacts.children("phone").filter_map(Element::text));
    let mut phones: Vec<String> = Vec::new();
    for phone in receiver.child_text("phone").into_iter().chain(normalised) {
        if !phones.iter().any(|known| known == phone) {
            phones.push(phone.to_owned());
        }
    }
    phones
}

/// `pvz` holds a code as text in requests and as a child in answers.
fn read_pvz(receiver: &Element) -> Option<String> {
    let pvz = receiver.child("pvz")?;
    pvz.owned_text("code").or_else(|| pvz.owned_attribute("code")).or_else(|| pvz.text().map(str::to_owned))
}
