//! MeaSoft's XML API: the client, its errors, and the port through which handlers see it.
//!
//! Reading order: `op`, `account`, `wire` (documents), `envelope` and `codes` (what an
//! answer means), `error`, `courier` (the port), `client`, `stream`, `tap` and `mask` (the
//! journal).

pub mod account;
pub mod class;
pub mod client;
pub mod codes;
pub mod courier;
mod details;
mod envelope;
pub mod error;
mod exchange;
#[cfg(test)]
mod exchange_tests;
#[cfg(test)]
mod fixture_tests;
#[cfg(feature = "testing")]
pub mod fuzzing;
mod hold_back;
mod mask;
pub mod op;
#[cfg(test)]
mod property_tests;
pub mod push;
pub mod stream;
pub mod tap;
pub mod wire;

pub use crate::domain::StatusCode;
pub use account::Account;
pub use class::{Class, Verdict};
pub use client::MeasoftClient;
pub use codes::classify;
pub use courier::{Answer, Courier};
pub use details::{Details, People};
pub use error::{Break, MeasoftError};
pub use exchange::{Limits, Timeouts, http_client};
pub use hold_back::{HeldBack, HoldBack};
pub use op::Op;
pub use stream::{RawRow, Row, StatusStream};
pub use tap::Exchange;
pub use wire::calculator::{CalcRequest, Tariff};
pub use wire::cancelorder::CancelRow;
pub use wire::lists::{Limit, PickupFilter, PickupPoint, Service, Town, TownQuery};
pub use wire::neworder::{
    AdvPrice, CreateRow, DeliverySet, Fee, Item, ItemKind, NewOrder, Package, PayType, Receiver, Sender,
};
pub use wire::statusreq::{Card, CarriedBy, Done, Planned, PoisonRow, Status, StatusItem, StatusRow};

pub use crate::vendor::{ExchangeObserver, NoObserver};
