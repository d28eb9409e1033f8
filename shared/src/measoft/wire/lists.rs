//! Reference lists: modes, pick-up points, towns (protocols/measoft.md#lists).

use serde::{Deserialize, Serialize};

use crate::domain::Grams;
use crate::measoft::account::Account;
use crate::measoft::op::Op;
use crate::measoft::wire::document::{Auth, Document};
use crate::measoft::wire::element::{Element, row};
use crate::measoft::wire::neworder::write_town;
use crate::measoft::wire::value::{kilograms, yes_no};

/// Which rows of a long list to return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limit {
    pub from: u32,
    pub count: u32,
}

/// Filter of `pvzlist`; everything empty asks for all points.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PickupFilter {
    /// Name with its type word, or code.
    pub town: Option<String>,
    pub regioncode: Option<String>,
    pub country: Option<String>,
    pub limit: Option<Limit>,
}

/// What to look for in `townlist`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TownQuery {
    Zipcode(String),
    Name {
        /// How the name begins.
        starts: String,
        country: Option<String>,
        limit: Option<Limit>,
    },
}

row! {
    /// A delivery mode.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Service(row) {
        pub code: String = row.owned_text("code")?,
        pub name: String = row.owned_text("name").or_else(|| row.owned_text("code"))?,
    }

    /// A pick-up point.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct PickupPoint(row) {
        /// What `receiver/pvz` takes.
        pub code: String = row.owned_text("code")?,
        pub name: Option<String> = row.owned_text("name"),
        pub address: Option<String> = row.owned_text("address"),
        pub phone: Option<String> = row.owned_text("phone"),
        pub comment: Option<String> = row.owned_text("comment"),
        pub worktime: Option<String> = row.owned_text("worktime"),
        pub traveldescription: Option<String> = row.owned_text("traveldescription"),
        pub maxweight: Option<Grams> = kilograms(row.child_text("maxweight"), "maxweight").ok().flatten(),
        pub acceptcash: Option<bool> = yes_no(row.child_text("acceptcash")),
        pub acceptcard: Option<bool> = yes_no(row.child_text("acceptcard")),
        /// Decimal degrees, as text.
        pub latitude: Option<String> = row.owned_text("latitude"),
        /// Decimal degrees, as text.
        pub longitude: Option<String> = row.owned_text("longitude"),
    }

    /// A town of MeaSoft's address reference.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Town(row) {
        pub code: String = row.owned_text("code")?,
        /// With its type word: what `receiver/town` takes.
        pub name: String = row.owned_text("name")?,
        /// Regions are the vendor's `city`.
        pub region_code: Option<String> = row.child("city").and_then(|region| region.owned_text("code")),
        pub region_name: Option<String> = row.child("city").and_then(|region| region.owned_text("name")),
        pub shortname: Option<String> = row.owned_text("shortname"),
        pub typename: Option<String> = row.owned_text("typename"),
    }
}

pub fn write_services(account: &Account) -> String {
    Document::new(Op::Services, &[], Auth::ExtraOnly(account)).finish()
}

pub fn write_pvzlist(account: &Account, filter: &PickupFilter) -> String {
    let mut document = Document::new(Op::PvzList, &[], Auth::Full(account));
    write_town(&mut document, filter.town.as_deref(), filter.regioncode.as_deref(), filter.country.as_deref());
    write_limit(&mut document, filter.limit);
    document.finish()
}

pub fn write_townlist(query: &TownQuery) -> String {
    let mut document = Document::new(Op::TownList, &[], Auth::None);
    match query {
        TownQuery::Zipcode(code) => {
            document.open("codesearch", &[]);
            document.leaf("zipcode", code);
            document.close("codesearch");
        }
        TownQuery::Name { starts, country, limit } => {
            document.open("conditions", &[]);
            document.leaf("namestarts", starts);
            document.optional("country", country.as_deref());
            document.close("conditions");
            write_limit(&mut document, *limit);
        }
    }
    document.finish()
}

fn write_limit(document: &mut Document, limit: Option<Limit>) {
    if let Some(limit) = limit {
        document.open("limit", &[]);
        document.leaf("limitfrom", &limit.from.to_string());
        document.leaf("limitcount", &limit.count.to_string());
        document.leaf("countall", "YES");
        document.close("limit");
    }
}

pub(crate) fn read_services(root: &Element) -> Vec<Service> {
    root.children("service").filter_map(Service::read).collect()
}

pub(crate) fn read_pvzlist(root: &Element) -> Vec<PickupPoint> {
    root.children("pvz").filter_map(PickupPoint::read).collect()
}

pub(crate) fn read_townlist(root: &Element) -> Vec<Town> {
    root.children("town").filter_map(Town::read).collect()
}
