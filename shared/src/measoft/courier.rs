//! The port: what the rest of the program may ask of a courier service. Handlers see this
//! trait, so they can be tested with an account kept in memory.

use futures_util::future::BoxFuture;
use jiff::civil::Date;

use crate::domain::OrderNo;
use crate::measoft::error::MeasoftError;
use crate::measoft::stream::StatusStream;
use crate::measoft::wire::calculator::{CalcRequest, Tariff};
use crate::measoft::wire::cancelorder::CancelRow;
use crate::measoft::wire::lists::{Limit, PickupFilter, PickupPoint, Region, Service, Street, Town, TownQuery};
use crate::measoft::wire::neworder::{CreateRow, NewOrder};
use crate::measoft::wire::statusreq::{Done, StatusRow};

/// One account at MeaSoft. Meanings and errors are those of `MeasoftClient`'s methods of
/// the same names.
pub trait Courier: Send + Sync {
    fn new_orders<'a>(&'a self, orders: &'a [NewOrder]) -> BoxFuture<'a, Result<Vec<CreateRow>, MeasoftError>>;

    fn edit_order<'a>(&'a self, order: &'a NewOrder) -> BoxFuture<'a, Result<CreateRow, MeasoftError>>;

    fn cancel_order<'a>(
        &'a self,
        orderno: &'a OrderNo,
        ordercode: Option<&'a str>,
    ) -> BoxFuture<'a, Result<CancelRow, MeasoftError>>;

    fn status_by_orderno<'a>(&'a self, orderno: &'a OrderNo) -> BoxFuture<'a, Result<Vec<StatusRow>, MeasoftError>>;

    fn status_by_created(
        &self,
        from: Date,
        to: Date,
        done: Done,
    ) -> BoxFuture<'_, Result<Vec<StatusRow>, MeasoftError>>;

    fn only_last(&self, streamid: u32) -> BoxFuture<'_, Result<StatusStream, MeasoftError>>;

    fn commit_last_status(&self, streamid: u32) -> BoxFuture<'_, Result<(), MeasoftError>>;

    fn probe(&self) -> BoxFuture<'_, Result<String, MeasoftError>>;

    fn calculate<'a>(&'a self, request: &'a CalcRequest) -> BoxFuture<'a, Result<Vec<Tariff>, MeasoftError>>;

    fn services(&self) -> BoxFuture<'_, Result<Vec<Service>, MeasoftError>>;

    fn pickup_points<'a>(&'a self, filter: &'a PickupFilter) -> BoxFuture<'a, Result<Vec<PickupPoint>, MeasoftError>>;

    fn towns<'a>(&'a self, query: &'a TownQuery) -> BoxFuture<'a, Result<Vec<Town>, MeasoftError>>;

    fn regions<'a>(&'a self, namecontains: Option<&'a str>) -> BoxFuture<'a, Result<Vec<Region>, MeasoftError>>;

    fn streets<'a>(
        &'a self,
        town: &'a str,
        namestarts: &'a str,
        limit: Option<Limit>,
    ) -> BoxFuture<'a, Result<Vec<Street>, MeasoftError>>;

    fn waybill<'a>(&'a self, orders: &'a [OrderNo], form: &'a str) -> BoxFuture<'a, Result<Vec<u8>, MeasoftError>>;
}
