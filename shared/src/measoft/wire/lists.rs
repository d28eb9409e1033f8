//! Reference lists: modes, pick-up points, towns, regions, streets (measoft-api.md §18).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::Grams;
use crate::measoft::account::Account;
use crate::measoft::op::Op;
use crate::measoft::wire::document::{Auth, Document, yes_no as yes_no_word};
use crate::measoft::wire::element::Element;
use crate::measoft::wire::neworder::write_town;
use crate::measoft::wire::value::{kilograms, yes_no};

/// A delivery mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    pub code: String,
    pub name: String,
}

/// Which rows of a long list to return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limit {
    pub from: u32,
    pub count: u32,
}

/// Filter of `pvzlist`; everything empty asks for all points.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct PickupFilter {
    pub code: Option<String>,
    /// Region.
    pub city: Option<String>,
    /// Name with its type word, or code.
    pub town: Option<String>,
    pub regioncode: Option<String>,
    pub country: Option<String>,
    /// Only together with `town`.
    pub address: Option<String>,
    pub parentcode: Option<String>,
    pub acceptcash: Option<bool>,
    pub acceptcard: Option<bool>,
    pub acceptfitting: Option<bool>,
    pub acceptindividuals: Option<bool>,
    /// Points that take at least this weight.
    pub maxweight: Option<Grams>,
    pub limit: Option<Limit>,
}

/// Hides the address: it is the receiver's.
impl fmt::Debug for PickupFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PickupFilter")
            .field("code", &self.code)
            .field("town", &self.town)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// A pick-up point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PickupPoint {
    /// What `receiver/pvz` takes.
    pub code: String,
    pub clientcode: Option<String>,
    pub name: Option<String>,
    pub parentcode: Option<String>,
    pub parentname: Option<String>,
    pub town: Option<String>,
    pub town_code: Option<String>,
    pub regioncode: Option<String>,
    pub regionname: Option<String>,
    pub address: Option<String>,
    pub phone: Option<String>,
    pub comment: Option<String>,
    pub worktime: Option<String>,
    pub traveldescription: Option<String>,
    pub maxweight: Option<Grams>,
    pub acceptcash: Option<bool>,
    pub acceptcard: Option<bool>,
    pub acceptfitting: Option<bool>,
    pub acceptindividuals: Option<bool>,
    /// Decimal degrees, as text.
    pub latitude: Option<String>,
    /// Decimal degrees, as text.
    pub longitude: Option<String>,
}

/// What to look for in `townlist`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TownQuery {
    Code(String),
    Zipcode(String),
    /// 13 digits.
    Kladr(String),
    Fias(String),
    Name {
        part: NamePart,
        text: String,
        /// Region, name or code.
        region: Option<String>,
        country: Option<String>,
        limit: Option<Limit>,
    },
}

/// How a name is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NamePart {
    Contains,
    Starts,
    Exact,
}

impl NamePart {
    const fn element(self) -> &'static str {
        match self {
            Self::Contains => "namecontains",
            Self::Starts => "namestarts",
            Self::Exact => "name",
        }
    }
}

/// A town of MeaSoft's address reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Town {
    pub code: String,
    /// With its type word: what `receiver/town` takes.
    pub name: String,
    pub region_code: Option<String>,
    pub region_name: Option<String>,
    pub fiascode: Option<String>,
    pub kladrcode: Option<String>,
    pub shortname: Option<String>,
    pub typename: Option<String>,
    /// Decimal degrees, as text.
    pub latitude: Option<String>,
    /// Decimal degrees, as text.
    pub longitude: Option<String>,
}

/// A region, which the vendor calls `city`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    pub code: String,
    pub name: String,
    /// ISO 3166-1 alpha-2 where given.
    pub country: Option<String>,
}

/// A street of a town.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Street {
    pub name: String,
    pub shortname: Option<String>,
    pub typename: Option<String>,
}

#[must_use]
pub fn write_services(account: &Account) -> String {
    Document::new(Op::Services, &[], Auth::ExtraOnly(account)).finish()
}

#[must_use]
pub fn write_pvzlist(account: &Account, filter: &PickupFilter) -> String {
    let mut document = Document::new(Op::PvzList, &[], Auth::Full(account));
    document.optional("code", filter.code.as_deref());
    document.optional("city", filter.city.as_deref());
    write_town(&mut document, filter.town.as_deref(), filter.regioncode.as_deref(), filter.country.as_deref());
    document.optional("address", filter.address.as_deref());
    document.optional("parentcode", filter.parentcode.as_deref());
    for (name, wanted) in [
        ("acceptcash", filter.acceptcash),
        ("acceptcard", filter.acceptcard),
        ("acceptfitting", filter.acceptfitting),
        ("acceptindividuals", filter.acceptindividuals),
    ] {
        document.optional(name, wanted.map(yes_no_word));
    }
    document.optional("maxweight", filter.maxweight.map(Grams::kilograms).as_deref());
    write_limit(&mut document, filter.limit);
    document.finish()
}

#[must_use]
pub fn write_townlist(query: &TownQuery) -> String {
    let mut document = Document::new(Op::TownList, &[], Auth::None);
    let by_code = |document: &mut Document, name: &str, code: &str| {
        document.open("codesearch", &[]);
        document.leaf(name, code);
        document.close("codesearch");
    };
    match query {
        TownQuery::Code(code) => by_code(&mut document, "code", code),
        TownQuery::Zipcode(code) => by_code(&mut document, "zipcode", code),
        TownQuery::Kladr(code) => by_code(&mut document, "kladrcode", code),
        TownQuery::Fias(code) => by_code(&mut document, "fiascode", code),
        TownQuery::Name { part, text, region, country, limit } => {
            document.open("conditions", &[]);
            document.optional("city", region.as_deref());
            document.leaf(part.element(), text);
            document.optional("country", country.as_deref());
            document.close("conditions");
            write_limit(&mut document, *limit);
        }
    }
    document.finish()
}

/// All regions, or those whose name contains a text.
#[must_use]
pub fn write_regionlist(namecontains: Option<&str>) -> String {
    let mut document = Document::new(Op::RegionList, &[], Auth::None);
    if let Some(text) = super::document::given(namecontains) {
        document.open("conditions", &[]);
        document.leaf("namecontains", text);
        document.close("conditions");
    }
    document.finish()
}

/// Streets of a town whose names start with a text.
#[must_use]
pub fn write_streetlist(town: &str, namestarts: &str, limit: Option<Limit>) -> String {
    let mut document = Document::new(Op::StreetList, &[], Auth::None);
    document.open("conditions", &[]);
    document.leaf("town", town);
    document.optional("namestarts", Some(namestarts));
    document.close("conditions");
    write_limit(&mut document, limit);
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
    root.children("service")
        .filter_map(|row| {
            let code = row.owned_text("code")?;
            Some(Service { name: row.owned_text("name").unwrap_or_else(|| code.clone()), code })
        })
        .collect()
}

pub(crate) fn read_pvzlist(root: &Element) -> Vec<PickupPoint> {
    root.children("pvz").filter_map(read_pvz).collect()
}

fn read_pvz(row: &Element) -> Option<PickupPoint> {
    let nowhere = Element::default();
    let town = row.child("town").unwrap_or(&nowhere);
    Some(PickupPoint {
        code: row.owned_text("code")?,
        clientcode: row.owned_text("clientcode"),
        name: row.owned_text("name"),
        parentcode: row.owned_text("parentcode"),
        parentname: row.owned_text("parentname"),
        town: town.text().map(str::to_owned),
        town_code: town.owned_attribute("code"),
        regioncode: town.owned_attribute("regioncode"),
        regionname: town.owned_attribute("regionname"),
        address: row.owned_text("address"),
        phone: row.owned_text("phone"),
        comment: row.owned_text("comment"),
        worktime: row.owned_text("worktime"),
        traveldescription: row.owned_text("traveldescription"),
        maxweight: kilograms(row.child_text("maxweight"), "maxweight").ok().flatten(),
        acceptcash: yes_no(row.child_text("acceptcash")),
        acceptcard: yes_no(row.child_text("acceptcard")),
        acceptfitting: yes_no(row.child_text("acceptfitting")),
        acceptindividuals: yes_no(row.child_text("acceptindividuals")),
        latitude: row.owned_text("latitude"),
        longitude: row.owned_text("longitude"),
    })
}

pub(crate) fn read_townlist(root: &Element) -> Vec<Town> {
    let read = |row: &Element| {
        let coords = row.child("coords");
        Some(Town {
            code: row.owned_text("code")?,
            name: row.owned_text("name")?,
            region_code: row.child("city").and_then(|region| region.owned_text("code")),
            region_name: row.child("city").and_then(|region| region.owned_text("name")),
            fiascode: row.owned_text("fiascode"),
            kladrcode: row.owned_text("kladrcode"),
            shortname: row.owned_text("shortname"),
            typename: row.owned_text("typename"),
            latitude: coords.and_then(|coords| coords.owned_attribute("lat")),
            longitude: coords.and_then(|coords| coords.owned_attribute("lon")),
        })
    };
    root.children("town").filter_map(read).collect()
}

pub(crate) fn read_regionlist(root: &Element) -> Vec<Region> {
    let read = |row: &Element| {
        Some(Region {
            code: row.owned_text("code")?,
            name: row.owned_text("name")?,
            country: row.child("country").and_then(|country| country.owned_text("ShortName1")),
        })
    };
    root.children("city").filter_map(read).collect()
}

pub(crate) fn read_streetlist(root: &Element) -> Vec<Street> {
    let read = |row: &Element| {
        Some(Street {
            name: row.owned_text("name")?,
            shortname: row.owned_text("shortname"),
            typename: row.owned_text("typename"),
        })
    };
    root.children("street").filter_map(read).collect()
}
