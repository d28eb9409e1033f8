//! The port: what the rest of the program may ask of a courier service. Handlers see this
//! trait, so they can be tested with an account kept in memory.

use futures_util::future::BoxFuture;
use jiff::civil::Date;

use crate::domain::OrderNo;
use crate::measoft::error::MeasoftError;
use crate::measoft::stream::StatusStream;
use crate::measoft::wire::calculator::{CalcRequest, Tariff};
use crate::measoft::wire::cancelorder::CancelRow;
use crate::measoft::wire::lists::{PickupFilter, PickupPoint, Service, Town, TownQuery};
use crate::measoft::wire::neworder::{CreateRow, NewOrder};
use crate::measoft::wire::statusreq::{Done, StatusRow};

/// What a call comes to, once it has.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, MeasoftError>>;

/// One account at MeaSoft. An error means that the request as a whole failed, or that its answer
/// is not complete.
pub trait Courier: Send + Sync {
    /// Creates shipments. Rows come in the server's order; an order without a row has an
    /// unknown outcome.
    fn new_orders<'a>(&'a self, orders: &'a [NewOrder]) -> Answer<'a, Vec<CreateRow>>;

    /// Replaces a shipment that nobody has touched yet.
    fn edit_order<'a>(&'a self, order: &'a NewOrder) -> Answer<'a, CreateRow>;

    /// Cancels a shipment that nobody has touched yet.
    fn cancel_order<'a>(&'a self, orderno: &'a OrderNo, ordercode: Option<&'a str>) -> Answer<'a, CancelRow>;

    /// All shipments with this number: numbers repeat from year to year. Empty when there
    /// is none; `BadRow` when one is there and cannot be read.
    fn status_by_orderno<'a>(&'a self, orderno: &'a OrderNo) -> Answer<'a, Vec<StatusRow>>;

    /// Shipments created between two days, both included. Rows that cannot be read are
    /// left out and logged.
    fn status_by_created(&self, from: Date, to: Date, done: Done) -> Answer<'_, Vec<StatusRow>>;

    /// What changed on our cursor since the last commit. The first rows have arrived when
    /// this returns, so an answer that is an error is one here.
    fn only_last(&self, streamid: u32) -> Answer<'_, StatusStream>;

    /// Acknowledges the last `only_last` of this cursor. Harmless to repeat only while
    /// nobody fetched in between.
    fn commit_last_status(&self, streamid: u32) -> Answer<'_, ()>;

    /// Checks the credentials and returns the client's code.
    fn probe(&self) -> Answer<'_, String>;

    /// Prices of a delivery, one per mode.
    fn calculate<'a>(&'a self, request: &'a CalcRequest) -> Answer<'a, Vec<Tariff>>;

    /// The courier service's delivery modes.
    fn services(&self) -> Answer<'_, Vec<Service>>;

    /// Pick-up points; give a limit, networks have thousands.
    fn pickup_points<'a>(&'a self, filter: &'a PickupFilter) -> Answer<'a, Vec<PickupPoint>>;

    /// Towns, the most important first.
    fn towns<'a>(&'a self, query: &'a TownQuery) -> Answer<'a, Vec<Town>>;

    /// A printing form of some orders as one PDF; `BadFormat` when what came is none.
    fn waybill<'a>(&'a self, orders: &'a [OrderNo], form: &'a str) -> Answer<'a, Vec<u8>>;
}
