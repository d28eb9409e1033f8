//! RetailCRM's API v5: the client, its errors, and the port through which handlers see it.
//!
//! Reading order: `url` (which addresses may be talked to), `tolerant` (how its JSON is
//! read), `wire` (documents), `error` (what an answer means), `client`.

pub mod address;
pub mod client;
pub mod codes;
pub mod error;
#[cfg(feature = "testing")]
pub mod fuzzing;
pub mod mask;
pub mod op;
#[cfg(test)]
mod property_tests;
mod proportion;
#[cfg(test)]
mod sample_table;
#[cfg(test)]
pub(crate) mod samples;
pub mod tolerant;
pub mod url;
pub mod wire;

use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value;

use crate::domain::{CrmOrderId, OrderNumber};
use crate::vendor;

pub use client::{CrmClient, CrmHttp, HeldBack, HoldBack, OrdersPage};
pub use error::{Class, CrmError};
pub use op::Op;
pub use tolerant::{Misread, VatRate};
pub use url::{AllowedHosts, BadCrmUrl, CrmUrl, check};
pub use wire::account::{AccountSettings, Credentials};
pub use wire::history::{HistoryFrom, HistoryPage, HistoryRecord};
pub use wire::module::{IntegrationModule, ModuleInfo, ModuleSettings};
pub use wire::notifications::{Notification, NotificationKind};
pub use wire::order::{Order, Unreadable};
pub use wire::payments::{Deleted, NewPayment, PaymentPatch};
pub use wire::references::{DeliveryType, PaymentStatus, PaymentType, ProductStatus, Status};
pub use wire::tracking::{TrackingEntry, TrackingUpdate};

pub use crate::vendor::{ExchangeObserver, NoObserver};

/// One HTTP exchange, about an order by its number, or by `id:4817` when only the id was known. Its
/// outcome is `ok` or a label of [`CrmError::label`].
pub type Exchange = vendor::Exchange<Op, Option<String>>;

/// What every request has to pass before it is sent: the rate limit
/// (protocols/retailcrm.md#rate).
pub trait Limiter: Send + Sync {
    /// Resolves when the next request may go.
    fn pass(&self) -> BoxFuture<'_, ()>;

    /// Whether a request makes sense now.
    ///
    /// # Errors
    /// How long the account is left alone, after it has failed in a row.
    fn admit(&self) -> Result<(), Duration> {
        Ok(())
    }

    /// What an admitted request came to, and how long that took. `None`: it was given up.
    fn came_to(&self, _: Option<Result<(), &CrmError>>, _: Duration) {}

    /// What the account is left alone for, and until when (UTC).
    fn resting(&self) -> Option<Resting> {
        None
    }
}

/// An account that is left alone for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resting {
    pub until: Timestamp,
    /// One request at a time tries it out.
    pub is_probed: bool,
    /// What its last request came to, for people.
    pub why: String,
}

/// An open gate.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLimiter;

impl Limiter for NoLimiter {
    fn pass(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// What a call comes to, once it has.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, CrmError>>;

/// What the bridge asks of a RetailCRM account: the port, so that handlers can be tested
/// without HTTP. Every method is one logical call; `CrmError` says what to do about a failure.
pub trait Crm: Send + Sync {
    /// What the account is left alone for, if it is.
    fn resting(&self) -> Option<Resting> {
        None
    }

    /// Orders by number, all shops, every page. The CRM's filter may match more than was
    /// asked: compare the number. Unknown numbers are simply not there.
    fn orders_by_numbers<'a>(&'a self, numbers: &'a [OrderNumber]) -> Answer<'a, Vec<Result<Order, Unreadable>>>;

    fn orders_by_ids<'a>(&'a self, ids: &'a [CrmOrderId]) -> Answer<'a, Vec<Result<Order, Unreadable>>>;

    /// One page (from 1) of the orders of any of these delivery types, newest first. A walk
    /// over pages may skip and repeat rows while orders change.
    fn orders_by_delivery_types<'a>(&'a self, delivery_types: &'a [String], page: u64) -> Answer<'a, OrdersPage>;

    /// One order by internal id. Absent → [`CrmError::NotFound`].
    fn order(&self, id: CrmOrderId) -> Answer<'_, Order>;

    /// Patches an order: absent keys keep their value. `site` may be empty. Safe to repeat.
    fn edit_order<'a>(&'a self, id: CrmOrderId, site: &'a str, patch: Value) -> Answer<'a, ()>;

    /// A piece of the history of orders, at most `limit` records (rounded up to 20, 50 or 100).
    fn history(&self, from: HistoryFrom, limit: u32) -> Answer<'_, HistoryPage>;

    /// Statuses of at most [`wire::tracking::MAX_UPDATES`] deliveries under the module
    /// instance `subcode` (`measoft-17`). Safe to repeat.
    fn tracking<'a>(&'a self, subcode: &'a str, updates: &'a [TrackingUpdate]) -> Answer<'a, ()>;

    fn payment_types(&self) -> Answer<'_, Vec<PaymentType>>;
    fn payment_statuses(&self) -> Answer<'_, Vec<PaymentStatus>>;
    /// Statuses of an order's positions.
    fn product_statuses(&self) -> Answer<'_, Vec<ProductStatus>>;
    fn delivery_types(&self) -> Answer<'_, Vec<DeliveryType>>;
    fn statuses(&self) -> Answer<'_, Vec<Status>>;

    /// What the key may do.
    fn credentials(&self) -> Answer<'_, Credentials>;
    /// The account's time zone.
    fn settings(&self) -> Answer<'_, AccountSettings>;

    /// Creates a payment and gives its id. **Not** safe to repeat: after
    /// [`CrmError::may_have_happened`] read the order and look for `external_id`.
    fn create_payment<'a>(&'a self, site: &'a str, payment: &'a NewPayment) -> Answer<'a, i64>;

    /// Safe to repeat.
    fn edit_payment<'a>(&'a self, id: i64, site: &'a str, patch: &'a PaymentPatch) -> Answer<'a, ()>;

    /// Safe to repeat: what is gone is [`Deleted::Before`].
    fn delete_payment(&self, id: i64) -> Answer<'_, Deleted>;

    /// The module instance with the manager's settings. Absent → [`CrmError::NotFound`].
    fn module<'a>(&'a self, code: &'a str) -> Answer<'a, IntegrationModule>;

    /// Registers or changes the module instance `module.code`. Safe to repeat.
    fn edit_module<'a>(&'a self, module: &'a IntegrationModule) -> Answer<'a, ModuleInfo>;

    /// Notifies users. **Not** safe to repeat: they would be told twice.
    fn notify<'a>(&'a self, notification: &'a Notification) -> Answer<'a, ()>;
}
