//! `statusreq` and `commitlaststatus` (protocols/measoft.md#statusreq).

use std::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::debug::debug_by;
use crate::domain::status_code::StatusCode;
use crate::domain::{Grams, Kopecks, OrderNo};
use crate::measoft::account::Account;
use crate::measoft::op::Op;
use crate::measoft::wire::document::{Auth, Document};
use crate::measoft::wire::element::Element;
use crate::measoft::wire::value::{BadValue, count, date_text, kilograms, moment_gmt, money};

/// A snapshot of one shipment: what the bridge goes by. `Debug` shows no personal data.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct StatusRow {
    /// The client's number; `None` for shipments entered by hand without one.
    pub orderno: Option<OrderNo>,
    /// MeaSoft's own number, text with leading zeros.
    pub ordercode: Option<String>,
    /// The current status; absent for an order that never had one.
    pub status: Option<Status>,
    pub history: Vec<Status>,
    /// The vendor's word, which may be `OPTION` or something new; see `PayType::parse`.
    pub paytype: Option<String>,
    /// Sum to collect, after delivery the sum collected.
    pub price: Option<Kopecks>,
    /// As shown, then the normalised ones of `contacts`.
    pub receiver_phones: Vec<String>,
    /// Who took it, **or** the reason of non-delivery.
    pub deliveredto: Option<String>,
    /// `YYYY-MM-DD`.
    pub delivereddate: Option<String>,
    /// `HH:MM`.
    pub deliveredtime: Option<String>,
    /// Once one has the order.
    pub courier: Option<CarriedBy>,
    /// When it is to be delivered, as planned now.
    pub planned: Option<Planned>,
    /// What else tells one shipment from another.
    pub card: Card,
    pub items: Vec<StatusItem>,
    /// Side fields that were there and could not be read, by name: they count as not given, so
    /// that status, sum and payment type are never withheld for them. Holds no values.
    pub unreadable: Vec<String>,
}

impl StatusRow {
    /// Whether every line shows its figures; if not, its quantities and prices prove nothing.
    pub fn shows_lines(&self) -> bool {
        !self.unreadable.iter().any(|field| field.starts_with(ITEM))
    }
}

debug_by! { StatusRow: orderno, ordercode, status, paytype, price, items, unreadable; }

/// Who carries it. `Debug` shows no name.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct CarriedBy {
    pub code: Option<String>,
    pub name: String,
}

debug_by! { CarriedBy: code; }

/// What is compared where somebody else placed the shipment. `Debug` shows no personal data.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Card {
    /// Name of the receiver.
    pub person: Option<String>,
    /// As shown, and the code of MeaSoft's list.
    pub town: Option<String>,
    pub town_code: Option<String>,
    /// Declared value.
    pub declared: Option<Kopecks>,
    pub weight: Option<Grams>,
    /// Delivery mode, a code of `services`.
    pub service: Option<String>,
}

debug_by! { Card: declared, weight, service; }

/// `receiver/date` and its window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Planned {
    /// `YYYY-MM-DD`.
    pub date: String,
    /// `HH:MM`; there may be one without the other.
    pub from: Option<String>,
    pub to: Option<String>,
}

/// One status record (protocols/measoft.md#status-records).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Status {
    pub code: StatusCode,
    /// When the record appeared: what statuses are ordered by. The branch's own time has no zone.
    pub createtime_gmt: Option<jiff::Timestamp>,
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct StatusItem {
    /// Internal line code, wanted by `editorder`.
    pub code: Option<String>,
    pub extcode: Option<String>,
    /// One when it is there and cannot be read: the line exists ([`StatusRow::shows_lines`]).
    pub quantity: u32,
    /// Zero when it is not given or cannot be read.
    pub retprice: Kopecks,
    /// How many were refused.
    pub returns: u32,
}

impl StatusItem {
    /// How many the receiver kept.
    pub const fn bought(&self) -> u32 {
        self.quantity.saturating_sub(self.returns)
    }
}

/// A row whose content cannot be read. It is set aside, and the rows after it count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the row of order {} cannot be read: {why}", .orderno.as_ref().map_or("?", OrderNo::as_str))]
pub struct PoisonRow {
    pub orderno: Option<OrderNo>,
    pub ordercode: Option<String>,
    /// Says which field; holds no personal data.
    pub why: String,
}

/// Which orders a query by creation date returns (protocols/measoft.md#statusreq).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Done {
    #[default]
    All,
    /// Everything that has no final status.
    OnlyDelivery,
}

impl Done {
    /// The vendor's word; empty for all.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "",
            Self::OnlyDelivery => "ONLY_DELIVERY",
        }
    }
}

pub fn write_by_orderno(account: &Account, orderno: &OrderNo) -> String {
    let mut document = own_orders(Op::StatusReq, account);
    document.leaf("orderno", orderno.as_str());
    document.finish()
}

/// By creation date, both ends included.
pub fn write_by_created(account: &Account, from: Date, to: Date, done: Done) -> String {
    let mut document = own_orders(Op::StatusReq, account);
    document.leaf("datefrom", &from.to_string());
    document.leaf("dateto", &to.to_string());
    document.optional("done", Some(done.as_str()));
    document.finish()
}

/// "What changed since the last acknowledged answer" of our own cursor.
pub fn write_only_last(account: &Account, streamid: u32) -> String {
    let mut document = own_orders(Op::StatusReq, account);
    document.leaf("changes", "ONLY_LAST");
    document.leaf("streamid", &streamid.to_string());
    document.finish()
}

/// Acknowledges what the last `ONLY_LAST` answer of this cursor brought.
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
    let status = order.child("status").and_then(|status| read_status(status, &mut side));
    let history = rows(order, "statushistory", "status", |status| read_status(status, &mut side));
    let row = StatusRow {
        orderno,
        ordercode,
        status,
        history: history.into_iter().flatten().collect(),
        paytype: order.owned_text("paytype"),
        price: side.take(money(order.child_text("price"), "price")),
        receiver_phones: order.child("receiver").map(phones).unwrap_or_default(),
        deliveredto: order.owned_text("deliveredto"),
        delivereddate: date_text(order.child_text("delivereddate")),
        deliveredtime: order.owned_text("deliveredtime"),
        courier: order.child("courier").and_then(courier),
        planned: order.child("receiver").and_then(planned),
        card: card(order),
        items: rows(order, "items", "item", |item| read_item(item, &mut side)),
        unreadable: Vec::new(),
    };
    StatusRow { unreadable: side.0, ..row }
}

/// `None` for an empty `status` element.
fn read_status(status: &Element, side: &mut SideFields) -> Option<Status> {
    let code = StatusCode::parse(status.text()?);
    Some(Status { code, createtime_gmt: side.take(moment_gmt(status.attribute("createtimegmt"), "createtimegmt")) })
}

fn read_item(item: &Element, side: &mut SideFields) -> StatusItem {
    StatusItem {
        code: item.owned_attribute("code"),
        extcode: item.owned_attribute("extcode"),
        quantity: match count(item.attribute("quantity"), "item quantity") {
            Ok(quantity) => quantity.unwrap_or(0),
            unreadable => side.take(unreadable).unwrap_or(1),
        },
        retprice: side.take(money(item.attribute("retprice"), "item retprice")).unwrap_or(Kopecks::ZERO),
        returns: side.take(count(item.attribute("returns"), "returns of an item")).unwrap_or(0),
    }
}

fn courier(courier: &Element) -> Option<CarriedBy> {
    Some(CarriedBy { code: courier.owned_text("code"), name: courier.owned_text("name")? })
}

/// What cannot be read of it counts as not given.
fn card(order: &Element) -> Card {
    let receiver = order.child("receiver");
    let town = receiver.and_then(|receiver| receiver.child("town"));
    Card {
        person: receiver.and_then(|receiver| receiver.owned_text("person")),
        town: town.and_then(Element::text).map(str::to_owned),
        town_code: town.and_then(|town| town.owned_attribute("code")),
        declared: money(order.child_text("inshprice"), "inshprice").unwrap_or_default(),
        weight: kilograms(order.child_text("weight"), "weight").unwrap_or_default(),
        service: order.owned_text("service"),
    }
}

fn planned(receiver: &Element) -> Option<Planned> {
    let date = date_text(receiver.child_text("date"))?;
    Some(Planned { date, from: receiver.owned_text("time_min"), to: receiver.owned_text("time_max") })
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
