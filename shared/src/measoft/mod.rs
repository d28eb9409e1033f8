//! MeaSoft's XML API: the client, its errors, and the port through which handlers see it.
//!
//! Reading order: `op`, `account`, `wire` (documents), `envelope` and `codes` (what an
//! answer means), `error`, `client`.

pub mod account;
pub mod codes;
mod envelope;
pub mod error;
mod mask;
pub mod op;
pub mod status_code;
pub mod wire;

pub use account::Account;
pub use codes::{Explanation, Lang, Verdict, classify, explain};
pub use error::{Break, Class, MeasoftError};
pub use op::Op;
pub use status_code::StatusCode;
pub use wire::cancelorder::CancelRow;
pub use wire::neworder::{
    AdvPrice, CreateRow, DeliverySet, Fee, Item, ItemKind, NewOrder, Package, PayType, Receiver, Sender,
};
pub use wire::statusreq::{Done, PoisonRow, Status, StatusItem, StatusPackage, StatusRow};
