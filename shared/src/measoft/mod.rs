//! MeaSoft's XML API: the client, its errors, and the port through which handlers see it.
//!
//! Reading order: `op`, `account`, `wire` (documents), `envelope` and `codes` (what an
//! answer means), `error`, `courier` (the port), `client`, `stream`, `tap` and `mask` (the
//! journal).

pub mod account;
pub mod client;
pub mod codes;
pub mod courier;
mod envelope;
pub mod error;
#[cfg(test)]
mod exchange_tests;
#[cfg(test)]
mod fixture_tests;
#[cfg(feature = "testing")]
pub mod fuzzing;
mod mask;
pub mod op;
pub mod status_code;
pub mod stream;
pub mod tap;
pub mod wire;

pub use account::Account;
pub use client::{Limits, MeasoftClient, Timeouts, http_client};
pub use codes::{Explanation, Lang, Verdict, classify, explain};
pub use courier::Courier;
pub use error::{Break, Class, MeasoftError};
pub use op::Op;
pub use status_code::StatusCode;
pub use stream::{RawRow, Row, StatusStream};
pub use tap::{Exchange, ExchangeTap, NoTap};
pub use wire::calculator::{CalcRequest, Tariff};
pub use wire::cancelorder::CancelRow;
pub use wire::lists::{Limit, NamePart, PickupFilter, PickupPoint, Region, Service, Street, Town, TownQuery};
pub use wire::neworder::{
    AdvPrice, CreateRow, DeliverySet, Fee, Item, ItemKind, NewOrder, Package, PayType, Receiver, Sender,
};
pub use wire::statusreq::{Done, PoisonRow, Status, StatusItem, StatusPackage, StatusRow};
