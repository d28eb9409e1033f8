//! `calculator`: prices and terms of delivery (protocols/measoft.md#calculator).

use serde::{Deserialize, Serialize};

use crate::debug::debug_by;
use crate::domain::{Grams, Kopecks};
use crate::measoft::account::Account;
use crate::measoft::op::Op;
use crate::measoft::wire::document::{Auth, Document, given};
use crate::measoft::wire::element::{Element, row};
use crate::measoft::wire::neworder::{Package, PayType, write_packages, write_town};
use crate::measoft::wire::value::{count, money};

/// What is to be delivered, and where to. With `town_from` the documented form of the
/// request is used; without it the newer one, which starts at the client's own address.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CalcRequest {
    pub town_from: Option<String>,
    /// The sender's town in the newer form, as `neworder` names it.
    pub sender_town: Option<String>,
    /// Name with its type word, or code.
    pub town: String,
    pub regioncode: Option<String>,
    pub country: Option<String>,
    pub address: Option<String>,
    pub zipcode: Option<String>,
    /// Code of a pick-up point.
    pub pvz: Option<String>,
    pub weight: Option<Grams>,
    /// Number of places.
    pub places: Option<u32>,
    pub packages: Vec<Package>,
    /// Sum to collect.
    pub price: Option<Kopecks>,
    pub declared: Option<Kopecks>,
    pub paytype: Option<PayType>,
    /// One delivery mode; all of them when `None`.
    pub service: Option<String>,
}

debug_by! { CalcRequest: town, pvz, weight, service; }

row! {
    /// One delivery mode with its price; a mode without one cannot be offered.
    #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Tariff(row) {
        /// Code of the mode.
        pub service: Option<String> = row.owned_text("service"),
        pub service_name: Option<String> = row.child("service").and_then(|service| service.owned_attribute("name")),
        /// In the currency of the courier's price list.
        pub price: Kopecks = {
            let price = row.attribute("price").or_else(|| row.child_text("price"));
            money(price, "price").ok().flatten()?
        },
        /// Working days.
        pub min_days: Option<u32> = days(row, "mindeliverydays"),
        /// Working days.
        pub max_days: Option<u32> = days(row, "maxdeliverydays"),
    }
}

fn days(row: &Element, name: &'static str) -> Option<u32> {
    count(row.child_text(name), name).ok().flatten()
}

pub fn write_calculator(account: &Account, request: &CalcRequest) -> String {
    let mut document = Document::new(Op::Calculator, &[], Auth::Full(account));
    match given(request.town_from.as_deref()) {
        Some(town_from) => write_attributes(&mut document, request, town_from),
        None => write_order(&mut document, request),
    }
    document.finish()
}

fn write_attributes(document: &mut Document, request: &CalcRequest, town_from: &str) {
    let biggest = request.packages.iter().max_by_key(|package| volume(package));
    let length = |pick: fn(&Package) -> Option<crate::domain::Millimetres>| {
        biggest.and_then(pick).map(|length| length.centimetres().to_string())
    };
    let values = [
        ("townfrom", Some(town_from.to_owned())),
        ("townto", Some(request.town.clone())),
        ("addressto", request.address.clone()),
        ("pvz", request.pvz.clone()),
        ("zipcode", request.zipcode.clone()),
        ("l", length(|package| package.length)),
        ("w", length(|package| package.width)),
        ("h", length(|package| package.height)),
        ("mass", request.weight.map(Grams::kilograms)),
        ("service", request.service.clone()),
        ("price", request.price.map(|sum| sum.to_string())),
        ("inshprice", request.declared.map(|sum| sum.to_string())),
        ("paytype", request.paytype.map(|kind| kind.as_str().to_owned())),
    ];
    let attributes: Vec<(&str, &str)> =
        values.iter().filter_map(|(name, value)| given(value.as_deref()).map(|value| (*name, value))).collect();
    document.empty("calc", &attributes);
}

fn volume(package: &Package) -> u64 {
    [package.length, package.width, package.height].iter().map(|side| side.map_or(1, |mm| u64::from(mm.0))).product()
}

fn write_order(document: &mut Document, request: &CalcRequest) {
    document.open("order", &[]);
    if let Some(town) = given(request.sender_town.as_deref()) {
        document.open("sender", &[]);
        document.optional("town", Some(town));
        document.close("sender");
    }
    document.open("receiver", &[]);
    write_town(document, Some(&request.town), request.regioncode.as_deref(), request.country.as_deref());
    document.optional("zipcode", request.zipcode.as_deref());
    document.optional("address", request.address.as_deref());
    document.optional("pvz", request.pvz.as_deref());
    document.close("receiver");
    document.optional("weight", request.weight.map(Grams::kilograms).as_deref());
    document.optional("quantity", request.places.map(|n| n.to_string()).as_deref());
    document.optional("paytype", request.paytype.map(PayType::as_str));
    document.optional("service", request.service.as_deref());
    write_packages(document, &request.packages);
    document.optional("price", request.price.map(|sum| sum.to_string()).as_deref());
    document.optional("inshprice", request.declared.map(|sum| sum.to_string()).as_deref());
    document.close("order");
}

pub(crate) fn read_tariffs(root: &Element) -> Vec<Tariff> {
    root.children("calc").filter_map(Tariff::read).collect()
}
