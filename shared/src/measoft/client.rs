//! The HTTP client. It sends one request, reads one answer and says what happened; whether
//! to try again is decided elsewhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::civil::Date;
use reqwest::header::CONTENT_TYPE;

use crate::domain::OrderNo;
use crate::measoft::account::Account;
use crate::measoft::courier::Courier;
use crate::measoft::error::{Break, MeasoftError};
use crate::measoft::exchange::{Incoming, Limits, Timeouts, retry_after, transport};
use crate::measoft::op::Op;
use crate::measoft::stream::{Row, StatusStream, means_nothing_found};
use crate::measoft::tap::{ExchangeTap, Recorder};
use crate::measoft::wire::calculator::{self, CalcRequest, Tariff};
use crate::measoft::wire::cancelorder::{self, CancelRow};
use crate::measoft::wire::element::{Element, Unreadable};
use crate::measoft::wire::lists::{self, Limit, PickupFilter, PickupPoint, Region, Service, Street, Town, TownQuery};
use crate::measoft::wire::neworder::{self, CreateRow, NewOrder};
use crate::measoft::wire::statusreq::{self, Done, StatusRow};
use crate::measoft::wire::{probe, waybill};
use crate::measoft::{envelope, mask};

/// Rows about one number, which repeats over the years: more is no honest answer.
const MOST_OF_A_NUMBER: usize = 1000;
/// Rows of some days: an empty one is a few bytes on the wire and over a thousand here.
const MOST_OF_DAYS: usize = 50_000;

/// One account's access to MeaSoft. Cheap to clone.
#[derive(Clone)]
pub struct MeasoftClient {
    http: reqwest::Client,
    account: Arc<Account>,
    timeouts: Timeouts,
    limits: Limits,
    tap: Arc<dyn ExchangeTap>,
}

impl std::fmt::Debug for MeasoftClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MeasoftClient").field("account", &self.account).finish_non_exhaustive()
    }
}

impl MeasoftClient {
    /// `http` is shared between accounts and comes from [`super::http_client`].
    #[must_use]
    pub fn new(http: reqwest::Client, account: Account, tap: Arc<dyn ExchangeTap>) -> Self {
        Self { http, account: Arc::new(account), timeouts: Timeouts::default(), limits: Limits::default(), tap }
    }

    /// `connect` is a matter of [`super::http_client`] and ignored here.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Creates shipments. Rows come in the server's order; an order without a row has an
    /// unknown outcome.
    ///
    /// # Errors
    /// [`MeasoftError`] when the request as a whole failed.
    pub async fn new_orders(&self, orders: &[NewOrder]) -> Result<Vec<CreateRow>, MeasoftError> {
        let op = Op::NewOrder;
        if orders.is_empty() {
            return Err(MeasoftError::EmptyRequest { op });
        }
        let ordernos = orders.iter().map(|order| order.orderno.clone()).collect();
        let request = neworder::write_neworder(&self.account, orders);
        self.call(op, ordernos, request, |root| {
            let rows = neworder::read_create_rows(root);
            if rows.is_empty() {
                return Err(MeasoftError::NoRow { op });
            }
            let outcome = if rows.iter().all(CreateRow::is_ok) { "ok" } else { "refused" };
            Ok((rows, outcome))
        })
        .await
    }

    /// Replaces a shipment that nobody has touched yet.
    ///
    /// # Errors
    /// [`MeasoftError`] when the request as a whole failed or the answer has no row.
    pub async fn edit_order(&self, order: &NewOrder) -> Result<CreateRow, MeasoftError> {
        let op = Op::EditOrder;
        let request = neworder::write_editorder(&self.account, order);
        self.call(op, vec![order.orderno.clone()], request, |root| {
            let rows = neworder::read_create_rows(root);
            let row = rows.into_iter().find(|row| row.orderno == order.orderno);
            let row = row.ok_or(MeasoftError::NoRow { op })?;
            let outcome = if row.is_ok() { "ok" } else { "refused" };
            Ok((row, outcome))
        })
        .await
    }

    /// Cancels a shipment that nobody has touched yet.
    ///
    /// # Errors
    /// [`MeasoftError`] when the request as a whole failed or the answer has no row.
    pub async fn cancel_order(&self, orderno: &OrderNo, ordercode: Option<&str>) -> Result<CancelRow, MeasoftError> {
        let op = Op::CancelOrder;
        let request = cancelorder::write_cancelorder(&self.account, orderno, ordercode);
        self.call(op, vec![orderno.clone()], request, |root| {
            let row = cancelorder::read_cancel_row(root, orderno, ordercode).ok_or(MeasoftError::NoRow { op })?;
            let outcome = if row.is_ok() { "ok" } else { "refused" };
            Ok((row, outcome))
        })
        .await
    }

    /// All shipments with this number: numbers repeat from year to year. Empty when there
    /// is none.
    ///
    /// # Errors
    /// [`MeasoftError`]; `BadRow` when a row is there and cannot be read.
    pub async fn status_by_orderno(&self, orderno: &OrderNo) -> Result<Vec<StatusRow>, MeasoftError> {
        let op = Op::StatusReq;
        let request = statusreq::write_by_orderno(&self.account, orderno);
        let limit = self.limits.answer;
        let mut stream = match self.stream(op, vec![orderno.clone()], request, self.timeouts.call, limit).await {
            Err(error) if means_nothing_found(&error) => return Ok(Vec::new()),
            other => other?,
        };
        let mut rows = Vec::new();
        while let Some(row) = stream.next().await? {
            if rows.len() >= MOST_OF_A_NUMBER {
                return Err(stream.give_up(MeasoftError::TooLarge { op, limit }));
            }
            match row.read() {
                Ok(row) => rows.push(row),
                Err(row) => return Err(stream.give_up(MeasoftError::BadRow { op, row })),
            }
        }
        Ok(rows)
    }

    /// Shipments created between two days, both included. Rows that cannot be read are
    /// left out and logged.
    ///
    /// # Errors
    /// [`MeasoftError`] when the answer is not complete.
    pub async fn status_by_created(&self, from: Date, to: Date, done: Done) -> Result<Vec<StatusRow>, MeasoftError> {
        let op = Op::StatusReq;
        let request = statusreq::write_by_created(&self.account, from, to, done, None);
        let limit = self.limits.waybill;
        let mut stream = match self.stream(Op::StatusReq, Vec::new(), request, self.timeouts.long, limit).await {
            Err(error) if means_nothing_found(&error) => return Ok(Vec::new()),
            other => other?,
        };
        let mut rows = Vec::new();
        while let Some(row) = stream.next().await? {
            if rows.len() >= MOST_OF_DAYS {
                return Err(stream.give_up(MeasoftError::TooLarge { op, limit }));
            }
            match row.read() {
                Ok(row) => rows.push(row),
                Err(poison) => tracing::warn!(%poison, "a shipment was left out"),
            }
        }
        Ok(rows)
    }

    /// What changed on our cursor since the last commit. The first rows have arrived when
    /// this returns, so an answer that is an error is one here.
    ///
    /// # Errors
    /// [`MeasoftError`].
    pub async fn only_last(&self, streamid: u32) -> Result<StatusStream, MeasoftError> {
        let request = statusreq::write_only_last(&self.account, streamid);
        match self.stream(Op::StatusReq, Vec::new(), request, self.timeouts.long, self.limits.stream).await {
            Err(error) if means_nothing_found(&error) => Ok(StatusStream::of(Vec::<Row>::new())),
            other => other,
        }
    }

    /// Acknowledges the last `only_last` of this cursor. Harmless to repeat only while
    /// nobody fetched in between.
    ///
    /// # Errors
    /// [`MeasoftError`].
    pub async fn commit_last_status(&self, streamid: u32) -> Result<(), MeasoftError> {
        let request = statusreq::write_commit(&self.account, streamid);
        self.call(Op::CommitLastStatus, Vec::new(), request, |_| Ok(((), "ok"))).await
    }

    /// Checks the credentials and returns the client's code.
    ///
    /// # Errors
    /// [`MeasoftError`]; class `Config` when the credentials are wrong.
    pub async fn probe(&self) -> Result<String, MeasoftError> {
        let op = Op::Client;
        let request = probe::write_client(&self.account);
        self.call(op, Vec::new(), request, |root| {
            probe::read_client(root).map(|code| (code, "ok")).ok_or(MeasoftError::NoRow { op })
        })
        .await
    }

    /// Sends a body as it is, for trying what the server says to what we never send.
    ///
    /// # Errors
    /// [`MeasoftError`].
    pub async fn send_as_is(&self, request: &str) -> Result<(), MeasoftError> {
        self.call(Op::Client, Vec::new(), request.to_owned(), |_| Ok(((), "ok"))).await
    }

    /// Prices of a delivery, one per mode.
    ///
    /// # Errors
    /// [`MeasoftError`]; reason `no_tariff` or `town_not_found` among others.
    pub async fn calculate(&self, request: &CalcRequest) -> Result<Vec<Tariff>, MeasoftError> {
        let request = calculator::write_calculator(&self.account, request);
        self.call(Op::Calculator, Vec::new(), request, |root| Ok((calculator::read_tariffs(root), "ok"))).await
    }

    /// The courier service's delivery modes.
    ///
    /// # Errors
    /// [`MeasoftError`].
    pub async fn services(&self) -> Result<Vec<Service>, MeasoftError> {
        let request = lists::write_services(&self.account);
        self.list(Op::Services, request, lists::read_services).await
    }

    /// Pick-up points; give a limit, networks have thousands.
    ///
    /// # Errors
    /// [`MeasoftError`].
    pub async fn pickup_points(&self, filter: &PickupFilter) -> Result<Vec<PickupPoint>, MeasoftError> {
        let request = lists::write_pvzlist(&self.account, filter);
        self.list(Op::PvzList, request, lists::read_pvzlist).await
    }

    /// Towns, the most important first.
    ///
    /// # Errors
    /// [`MeasoftError`].
    pub async fn towns(&self, query: &TownQuery) -> Result<Vec<Town>, MeasoftError> {
        self.list(Op::TownList, lists::write_townlist(query), lists::read_townlist).await
    }

    /// Regions, all or those whose name contains a text.
    ///
    /// # Errors
    /// [`MeasoftError`].
    pub async fn regions(&self, namecontains: Option<&str>) -> Result<Vec<Region>, MeasoftError> {
        self.list(Op::RegionList, lists::write_regionlist(namecontains), lists::read_regionlist).await
    }

    /// Streets of a town whose names start with a text.
    ///
    /// # Errors
    /// [`MeasoftError`].
    pub async fn streets(
        &self,
        town: &str,
        namestarts: &str,
        limit: Option<Limit>,
    ) -> Result<Vec<Street>, MeasoftError> {
        self.list(Op::StreetList, lists::write_streetlist(town, namestarts, limit), lists::read_streetlist).await
    }

    /// A printing form of some orders as one PDF.
    ///
    /// # Errors
    /// [`MeasoftError`]; `BadFormat` when what came is no PDF.
    pub async fn waybill(&self, orders: &[OrderNo], form: &str) -> Result<Vec<u8>, MeasoftError> {
        let op = Op::Waybill;
        if orders.is_empty() {
            return Err(MeasoftError::EmptyRequest { op });
        }
        let request = waybill::write_waybill(&self.account, orders, form);
        let (mut incoming, body) =
            self.fetch(op, orders.to_vec(), request, self.timeouts.long, self.limits.waybill).await?;
        let result = if body.starts_with(waybill::PDF_START) {
            Ok(body)
        } else {
            let no_pdf = MeasoftError::BadFormat { op, why: "no PDF", html: false, excerpt: mask::excerpt(&body) };
            let parsed = in_background(op, body, move |body| {
                let root = envelope::open(op, body)?;
                waybill::read_waybill(&root).ok_or(no_pdf)
            });
            parsed.await
        };
        incoming.finish(result.as_ref().map(|_| ()));
        result
    }

    async fn list<T: Send + 'static>(
        &self,
        op: Op,
        request: String,
        read: fn(&Element) -> Vec<T>,
    ) -> Result<Vec<T>, MeasoftError> {
        let (mut incoming, body) = self.fetch(op, Vec::new(), request, self.timeouts.call, self.limits.list).await?;
        let result = in_background(op, body, move |body| envelope::open(op, body).map(|root| read(&root))).await;
        let result = match result {
            Err(error) if means_nothing_found(&error) => Ok(Vec::new()),
            other => other,
        };
        incoming.finish(result.as_ref().map(|_| ()));
        result
    }

    /// One exchange with a small answer. `read` also names the outcome for the journal.
    async fn call<T>(
        &self,
        op: Op,
        ordernos: Vec<OrderNo>,
        request: String,
        read: impl FnOnce(&Element) -> Result<(T, &'static str), MeasoftError>,
    ) -> Result<T, MeasoftError> {
        let (mut incoming, body) = self.fetch(op, ordernos, request, self.timeouts.call, self.limits.answer).await?;
        match envelope::open(op, &body).and_then(|root| read(&root)) {
            Ok((value, outcome)) => {
                incoming.finish_as(outcome);
                Ok(value)
            }
            Err(error) => {
                incoming.finish(Err(&error));
                Err(error)
            }
        }
    }

    /// One exchange whose body is read whole.
    async fn fetch(
        &self,
        op: Op,
        ordernos: Vec<OrderNo>,
        request: String,
        budget: Duration,
        limit: u64,
    ) -> Result<(Incoming, Vec<u8>), MeasoftError> {
        let mut incoming = self.send(op, ordernos, request, budget).await?;
        match incoming.whole(limit).await {
            Ok(body) => Ok((incoming, body)),
            Err(error) => {
                incoming.finish(Err(&error));
                Err(error)
            }
        }
    }

    async fn stream(
        &self,
        op: Op,
        ordernos: Vec<OrderNo>,
        request: String,
        budget: Duration,
        limit: u64,
    ) -> Result<StatusStream, MeasoftError> {
        let incoming = self.send(op, ordernos, request, budget).await?;
        StatusStream::begin(incoming, op, limit).await
    }

    /// Sends a request and waits for the head of an HTTP 200.
    async fn send(
        &self,
        op: Op,
        ordernos: Vec<OrderNo>,
        request: String,
        budget: Duration,
    ) -> Result<Incoming, MeasoftError> {
        let secrets = [self.account.login.as_str(), self.account.password.as_str()];
        let masked = mask::body(request.as_bytes(), &secrets);
        let known = mask::people(&request);
        let mut recorder = Recorder::start(Arc::clone(&self.tap), op, ordernos, masked);
        let begun = Instant::now();
        match self.head(op, request, budget).await {
            Ok(response) => {
                recorder.status(response.status().as_u16());
                let mut incoming = Incoming {
                    op,
                    left: budget.saturating_sub(begun.elapsed()),
                    retry_after: retry_after(&response),
                    response,
                    recorder,
                    account: Arc::clone(&self.account),
                    start: Vec::new(),
                    known,
                };
                match incoming.require_200().await {
                    Ok(()) => Ok(incoming),
                    Err(error) => {
                        incoming.finish(Err(&error));
                        Err(error)
                    }
                }
            }
            Err(error) => {
                recorder.finish(error.outcome(), || format!("[{error}]"));
                Err(error)
            }
        }
    }

    async fn head(&self, op: Op, request: String, budget: Duration) -> Result<reqwest::Response, MeasoftError> {
        if !self.account.is_safe_to_call() {
            return Err(MeasoftError::UnsafeUrl { op });
        }
        let sending = self
            .http
            .post(self.account.url.clone())
            .header(CONTENT_TYPE, "text/xml; charset=utf-8")
            .body(request)
            .send();
        match tokio::time::timeout(budget, sending).await {
            Ok(sent) => sent.map_err(|error| transport(op, &error)),
            Err(_) => Err(MeasoftError::NoAnswer { op, how: Break::Timeout }),
        }
    }
}

/// Parses on a thread for blocking work when the body is long enough to hold others up.
async fn in_background<T: Send + 'static>(
    op: Op,
    body: Vec<u8>,
    read: impl FnOnce(&[u8]) -> Result<T, MeasoftError> + Send + 'static,
) -> Result<T, MeasoftError> {
    if body.len() < 256 * 1024 {
        return read(&body);
    }
    match tokio::task::spawn_blocking(move || read(&body)).await {
        Ok(result) => result,
        Err(_) => Err(envelope::bad_format(op, Unreadable::Broken, b"")),
    }
}

impl Courier for MeasoftClient {
    fn new_orders<'a>(&'a self, orders: &'a [NewOrder]) -> BoxFuture<'a, Result<Vec<CreateRow>, MeasoftError>> {
        Self::new_orders(self, orders).boxed()
    }

    fn edit_order<'a>(&'a self, order: &'a NewOrder) -> BoxFuture<'a, Result<CreateRow, MeasoftError>> {
        Self::edit_order(self, order).boxed()
    }

    fn cancel_order<'a>(
        &'a self,
        orderno: &'a OrderNo,
        ordercode: Option<&'a str>,
    ) -> BoxFuture<'a, Result<CancelRow, MeasoftError>> {
        Self::cancel_order(self, orderno, ordercode).boxed()
    }

    fn status_by_orderno<'a>(&'a self, orderno: &'a OrderNo) -> BoxFuture<'a, Result<Vec<StatusRow>, MeasoftError>> {
        Self::status_by_orderno(self, orderno).boxed()
    }

    fn status_by_created(
        &self,
        from: Date,
        to: Date,
        done: Done,
    ) -> BoxFuture<'_, Result<Vec<StatusRow>, MeasoftError>> {
        Self::status_by_created(self, from, to, done).boxed()
    }

    fn only_last(&self, streamid: u32) -> BoxFuture<'_, Result<StatusStream, MeasoftError>> {
        Self::only_last(self, streamid).boxed()
    }

    fn commit_last_status(&self, streamid: u32) -> BoxFuture<'_, Result<(), MeasoftError>> {
        Self::commit_last_status(self, streamid).boxed()
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, MeasoftError>> {
        Self::probe(self).boxed()
    }

    fn calculate<'a>(&'a self, request: &'a CalcRequest) -> BoxFuture<'a, Result<Vec<Tariff>, MeasoftError>> {
        Self::calculate(self, request).boxed()
    }

    fn services(&self) -> BoxFuture<'_, Result<Vec<Service>, MeasoftError>> {
        Self::services(self).boxed()
    }

    fn pickup_points<'a>(&'a self, filter: &'a PickupFilter) -> BoxFuture<'a, Result<Vec<PickupPoint>, MeasoftError>> {
        Self::pickup_points(self, filter).boxed()
    }

    fn towns<'a>(&'a self, query: &'a TownQuery) -> BoxFuture<'a, Result<Vec<Town>, MeasoftError>> {
        Self::towns(self, query).boxed()
    }

    fn regions<'a>(&'a self, namecontains: Option<&'a str>) -> BoxFuture<'a, Result<Vec<Region>, MeasoftError>> {
        Self::regions(self, namecontains).boxed()
    }

    fn streets<'a>(
        &'a self,
        town: &'a str,
        namestarts: &'a str,
        limit: Option<Limit>,
    ) -> BoxFuture<'a, Result<Vec<Street>, MeasoftError>> {
        Self::streets(self, town, namestarts, limit).boxed()
    }

    fn waybill<'a>(&'a self, orders: &'a [OrderNo], form: &'a str) -> BoxFuture<'a, Result<Vec<u8>, MeasoftError>> {
        Self::waybill(self, orders, form).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measoft::exchange::parse_retry_after;

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        let now: jiff::Timestamp = "2026-09-02T12:00:00Z".parse().expect("moment");
        for (value, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Wed, 02 Sep 2026 12:02:00 GMT", Some(120)),
            ("Wed, 02 Sep 2026 11:00:00 GMT", Some(0)),
            ("99999999", Some(86_400)),
            ("soon", None),
            ("-5", None),
        ] {
            assert_eq!(parse_retry_after(value, now), seconds.map(Duration::from_secs), "{value}");
        }
    }
}
