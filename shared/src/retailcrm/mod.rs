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

use crate::domain::{CrmOrderId, OrderNumber, Secret};

pub use client::{CrmClient, CrmHttp, OrdersPage};
pub use error::{Class, CrmError};
pub use op::Op;
pub use tolerant::{Misread, VatRate};
pub use url::{AllowedHosts, BadCrmUrl, CrmUrl, check};
pub use wire::account::{AccountSettings, Credentials, SystemInfo};
pub use wire::history::{HistoryFrom, HistoryPage, HistoryRecord};
pub use wire::module::{IntegrationModule, ModuleInfo, ModuleSettings};
pub use wire::order::{Order, OrderStatus, Unreadable};
pub use wire::payments::{Deleted, NewPayment, PaymentPatch};
pub use wire::references::{
    DeliveryService, DeliveryType, PaymentStatus, PaymentType, ProductStatus, Site, Status, Store,
};
pub use wire::tracking::{TrackingEntry, TrackingUpdate};

/// One HTTP exchange with RetailCRM, masked.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub op: Op,
    /// What the exchange was about: an order number, or `id:4817` when only the id was known.
    pub order: Option<String>,
    pub started: Timestamp,
    pub duration: Duration,
    /// `ok` or a label of [`CrmError::label`].
    pub outcome: &'static str,
    /// `None` when no answer came.
    pub http_status: Option<u16>,
    /// Request line and form, masked.
    pub request_masked: String,
    /// Body, masked and cut.
    pub response_masked: String,
}

/// Sees every exchange once. Must not block.
pub trait ExchangeTap: Send + Sync {
    fn exchange(&self, exchange: Exchange);
}

/// A tap that lets everything run off.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTap;

impl ExchangeTap for NoTap {
    fn exchange(&self, _: Exchange) {}
}

/// What every request has to pass before it is sent: the rate limit
/// (retailcrm-api.md A.6).
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

/// What the bridge asks of a RetailCRM account: the port, so that handlers can be tested
/// without HTTP. Every method is one logical call; `CrmError` says what to do about a failure.
pub trait Crm: Send + Sync {
    /// What the account is left alone for, if it is.
    fn resting(&self) -> Option<Resting> {
        None
    }

    /// Orders by number, all shops, every page. The CRM's filter may match more than was
    /// asked: compare the number. Unknown numbers are simply not there.
    fn orders_by_numbers<'a>(
        &'a self,
        numbers: &'a [OrderNumber],
    ) -> BoxFuture<'a, Result<Vec<Result<Order, Unreadable>>, CrmError>>;

    fn orders_by_ids<'a>(
        &'a self,
        ids: &'a [CrmOrderId],
    ) -> BoxFuture<'a, Result<Vec<Result<Order, Unreadable>>, CrmError>>;

    /// One order by internal id. Absent → [`CrmError::NotFound`].
    fn order(&self, id: CrmOrderId) -> BoxFuture<'_, Result<Order, CrmError>>;

    /// Patches an order: absent keys keep their value. `site` may be empty. Safe to repeat.
    fn edit_order<'a>(&'a self, id: CrmOrderId, site: &'a str, patch: Value) -> BoxFuture<'a, Result<(), CrmError>>;

    /// Statuses of at most [`wire::tracking::MAX_UPDATES`] deliveries under the module
    /// instance `subcode` (`measoft-17`). Safe to repeat.
    fn tracking<'a>(&'a self, subcode: &'a str, updates: &'a [TrackingUpdate]) -> BoxFuture<'a, Result<(), CrmError>>;

    fn payment_types(&self) -> BoxFuture<'_, Result<Vec<PaymentType>, CrmError>>;
    fn payment_statuses(&self) -> BoxFuture<'_, Result<Vec<PaymentStatus>, CrmError>>;
    /// Statuses of an order's positions.
    fn product_statuses(&self) -> BoxFuture<'_, Result<Vec<ProductStatus>, CrmError>>;
    fn delivery_types(&self) -> BoxFuture<'_, Result<Vec<DeliveryType>, CrmError>>;
    fn statuses(&self) -> BoxFuture<'_, Result<Vec<Status>, CrmError>>;
    fn sites(&self) -> BoxFuture<'_, Result<Vec<Site>, CrmError>>;
    fn stores(&self) -> BoxFuture<'_, Result<Vec<Store>, CrmError>>;

    /// What the key may do.
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials, CrmError>>;
    /// Addresses of the account.
    fn system_info(&self) -> BoxFuture<'_, Result<SystemInfo, CrmError>>;
    /// Time zone, currency, language.
    fn settings(&self) -> BoxFuture<'_, Result<AccountSettings, CrmError>>;

    /// Statuses of orders by id: the cheap way to read many.
    fn order_statuses<'a>(&'a self, ids: &'a [CrmOrderId]) -> BoxFuture<'a, Result<Vec<OrderStatus>, CrmError>>;

    /// One page (from 1) of the orders in any of these statuses and delivery types, newest
    /// first. A walk over pages may skip and repeat rows while orders change.
    fn orders_by_status<'a>(
        &'a self,
        statuses: &'a [String],
        delivery_types: &'a [String],
        page: u64,
    ) -> BoxFuture<'a, Result<OrdersPage, CrmError>>;

    /// A piece of the history of orders, at most `limit` records (rounded up to 20, 50 or 100).
    fn history(&self, from: HistoryFrom, limit: u32) -> BoxFuture<'_, Result<HistoryPage, CrmError>>;

    /// Creates a payment and gives its id. **Not** safe to repeat: after
    /// [`CrmError::may_have_happened`] read the order and look for `external_id`.
    fn create_payment<'a>(&'a self, site: &'a str, payment: &'a NewPayment) -> BoxFuture<'a, Result<i64, CrmError>>;

    /// Safe to repeat.
    fn edit_payment<'a>(
        &'a self,
        id: i64,
        site: &'a str,
        patch: &'a PaymentPatch,
    ) -> BoxFuture<'a, Result<(), CrmError>>;

    /// Safe to repeat: what is gone is [`Deleted::Before`].
    fn delete_payment(&self, id: i64) -> BoxFuture<'_, Result<Deleted, CrmError>>;

    /// The module instance with the manager's settings. Absent → [`CrmError::NotFound`].
    fn module<'a>(&'a self, code: &'a str) -> BoxFuture<'a, Result<IntegrationModule, CrmError>>;

    /// Registers or changes the module instance `module.code`. Safe to repeat.
    fn edit_module<'a>(&'a self, module: &'a IntegrationModule) -> BoxFuture<'a, Result<ModuleInfo, CrmError>>;

    /// Asks for more rights; the answer may be a new key, to be stored. Only for modules
    /// connected from RetailCRM's marketplace.
    fn update_scopes<'a>(&'a self, code: &'a str, scopes: &'a [&'a str]) -> BoxFuture<'a, Result<Secret, CrmError>>;
}
