//! The HTTP client. It sends one request, reads one answer and says what happened; whether
//! to try again is decided elsewhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use jiff::civil::Date;
use reqwest::header::CONTENT_TYPE;

use crate::domain::OrderNo;
use crate::measoft::account::Account;
use crate::measoft::courier::{Answer, Courier};
use crate::measoft::error::{Break, MeasoftError};
use crate::measoft::exchange::{Incoming, Limits, Timeouts, retry_after, transport};
use crate::measoft::hold_back::{HELD_BACK, HeldBack, HoldBack, without_credentials};
use crate::measoft::op::Op;
use crate::measoft::stream::{StatusStream, means_nothing_found};
use crate::measoft::tap::{Exchange, Recorder};
use crate::measoft::wire::calculator::{self, CalcRequest, Tariff};
use crate::measoft::wire::cancelorder::{self, CancelRow};
use crate::measoft::wire::element::{Element, Unreadable};
use crate::measoft::wire::lists::{self, PickupFilter, PickupPoint, Service, Town, TownQuery};
use crate::measoft::wire::neworder::{self, CreateRow, NewOrder};
use crate::measoft::wire::statusreq::{self, Done, PoisonRow, StatusRow};
use crate::measoft::wire::{probe, waybill};
use crate::measoft::{envelope, mask};
use crate::vendor::ExchangeObserver;

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
    tap: Arc<dyn ExchangeObserver<Exchange>>,
    hold_back: Option<Arc<HoldBack>>,
}

impl std::fmt::Debug for MeasoftClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MeasoftClient").field("account", &self.account).finish_non_exhaustive()
    }
}

impl MeasoftClient {
    /// `http` is shared between accounts and comes from [`super::http_client`].
    pub fn new(http: reqwest::Client, account: Account, tap: Arc<dyn ExchangeObserver<Exchange>>) -> Self {
        let (timeouts, limits) = (Timeouts::default(), Limits::default());
        Self { http, account: Arc::new(account), timeouts, limits, tap, hold_back: None }
    }

    /// `connect` is a matter of [`super::http_client`] and ignored here.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// One that keeps what would change something instead of sending it.
    #[must_use]
    pub fn holding_back(mut self, hold_back: Arc<HoldBack>) -> Self {
        self.hold_back = Some(hold_back);
        self
    }

    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Sends a body as it is, for trying what the server says to what we never send.
    pub async fn send_as_is(&self, request: &str) -> Result<(), MeasoftError> {
        self.call(Op::Client, Vec::new(), request.to_owned(), |_| Ok(((), "ok"))).await
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

    /// The rows of a `statusreq`; that nothing is found is an empty answer.
    async fn statuses(
        &self,
        ordernos: Vec<OrderNo>,
        request: String,
        budget: Duration,
        limit: u64,
    ) -> Result<StatusStream, MeasoftError> {
        let op = Op::StatusReq;
        let incoming = self.send(op, ordernos, request, budget).await?;
        match StatusStream::begin(incoming, op, limit).await {
            Err(error) if means_nothing_found(&error) => Ok(StatusStream::of(Vec::new())),
            other => other,
        }
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
        if let Some(hold_back) = self.hold_back.as_ref().filter(|_| op.is_write() || op == Op::CommitLastStatus) {
            let plain = without_credentials(&request, &self.account.extra);
            hold_back.keep(HeldBack::new(op, ordernos, masked, plain));
            return Err(MeasoftError::NotSent { op, cause: HELD_BACK });
        }
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
    fn new_orders<'a>(&'a self, orders: &'a [NewOrder]) -> Answer<'a, Vec<CreateRow>> {
        async move {
            let op = Op::NewOrder;
            if orders.is_empty() {
                return Err(MeasoftError::EmptyRequest { op });
            }
            if let Some(hold_back) = &self.hold_back {
                hold_back.keep_orders(orders);
            }
            let ordernos = orders.iter().map(|order| order.orderno.clone()).collect();
            let request = neworder::write_neworder(&self.account, orders);
            self.call(op, ordernos, request, |root| {
                let rows = neworder::read_create_rows(root);
                if rows.is_empty() {
                    return Err(MeasoftError::NoRow { op });
                }
                let outcome = ok_or_refused(rows.iter().all(CreateRow::is_ok));
                Ok((rows, outcome))
            })
            .await
        }
        .boxed()
    }

    fn edit_order<'a>(&'a self, order: &'a NewOrder) -> Answer<'a, CreateRow> {
        async move {
            let op = Op::EditOrder;
            if let Some(hold_back) = &self.hold_back {
                hold_back.keep_orders(std::slice::from_ref(order));
            }
            let request = neworder::write_editorder(&self.account, order);
            self.call(op, vec![order.orderno.clone()], request, |root| {
                let rows = neworder::read_create_rows(root);
                let row = rows.into_iter().find(|row| row.orderno == order.orderno);
                let row = row.ok_or(MeasoftError::NoRow { op })?;
                let outcome = ok_or_refused(row.is_ok());
                Ok((row, outcome))
            })
            .await
        }
        .boxed()
    }

    fn cancel_order<'a>(&'a self, orderno: &'a OrderNo, ordercode: Option<&'a str>) -> Answer<'a, CancelRow> {
        async move {
            let op = Op::CancelOrder;
            let request = cancelorder::write_cancelorder(&self.account, orderno, ordercode);
            self.call(op, vec![orderno.clone()], request, |root| {
                let row = cancelorder::read_cancel_row(root, orderno, ordercode).ok_or(MeasoftError::NoRow { op })?;
                let outcome = ok_or_refused(row.is_ok());
                Ok((row, outcome))
            })
            .await
        }
        .boxed()
    }

    fn status_by_orderno<'a>(&'a self, orderno: &'a OrderNo) -> Answer<'a, Vec<StatusRow>> {
        async move {
            let request = statusreq::write_by_orderno(&self.account, orderno);
            let (budget, limit) = (self.timeouts.call, self.limits.answer);
            let mut stream = self.statuses(vec![orderno.clone()], request, budget, limit).await?;
            rows_of(&mut stream, MOST_OF_A_NUMBER, limit, Err).await
        }
        .boxed()
    }

    fn status_by_created(&self, from: Date, to: Date, done: Done) -> Answer<'_, Vec<StatusRow>> {
        async move {
            let request = statusreq::write_by_created(&self.account, from, to, done);
            let (budget, limit) = (self.timeouts.long, self.limits.waybill);
            let mut stream = self.statuses(Vec::new(), request, budget, limit).await?;
            let leave_out = |poison| {
                tracing::warn!(%poison, "a shipment was left out");
                Ok(())
            };
            rows_of(&mut stream, MOST_OF_DAYS, limit, leave_out).await
        }
        .boxed()
    }

    fn only_last(&self, streamid: u32) -> Answer<'_, StatusStream> {
        let request = statusreq::write_only_last(&self.account, streamid);
        self.statuses(Vec::new(), request, self.timeouts.long, self.limits.stream).boxed()
    }

    fn commit_last_status(&self, streamid: u32) -> Answer<'_, ()> {
        let request = statusreq::write_commit(&self.account, streamid);
        self.call(Op::CommitLastStatus, Vec::new(), request, |_| Ok(((), "ok"))).boxed()
    }

    fn probe(&self) -> Answer<'_, String> {
        let op = Op::Client;
        let read = move |root: &Element<'_>| {
            probe::read_client(root).map(|code| (code, "ok")).ok_or(MeasoftError::NoRow { op })
        };
        self.call(op, Vec::new(), probe::write_client(&self.account), read).boxed()
    }

    fn calculate<'a>(&'a self, request: &'a CalcRequest) -> Answer<'a, Vec<Tariff>> {
        let request = calculator::write_calculator(&self.account, request);
        self.call(Op::Calculator, Vec::new(), request, |root| Ok((calculator::read_tariffs(root), "ok"))).boxed()
    }

    fn services(&self) -> Answer<'_, Vec<Service>> {
        self.list(Op::Services, lists::write_services(&self.account), lists::read_services).boxed()
    }

    fn pickup_points<'a>(&'a self, filter: &'a PickupFilter) -> Answer<'a, Vec<PickupPoint>> {
        self.list(Op::PvzList, lists::write_pvzlist(&self.account, filter), lists::read_pvzlist).boxed()
    }

    fn towns<'a>(&'a self, query: &'a TownQuery) -> Answer<'a, Vec<Town>> {
        self.list(Op::TownList, lists::write_townlist(query), lists::read_townlist).boxed()
    }

    fn waybill<'a>(&'a self, orders: &'a [OrderNo], form: &'a str) -> Answer<'a, Vec<u8>> {
        async move {
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
        .boxed()
    }
}

const fn ok_or_refused(is_ok: bool) -> &'static str {
    if is_ok { "ok" } else { "refused" }
}

/// The rows of an answer that is not followed further; `poisoned` judges one that cannot be read.
async fn rows_of(
    stream: &mut StatusStream,
    most: usize,
    limit: u64,
    poisoned: impl Fn(PoisonRow) -> Result<(), PoisonRow>,
) -> Result<Vec<StatusRow>, MeasoftError> {
    let op = Op::StatusReq;
    let mut rows = Vec::new();
    while let Some(row) = stream.next().await? {
        if rows.len() >= most {
            return Err(stream.give_up(MeasoftError::TooLarge { op, limit }));
        }
        match row.read() {
            Ok(row) => rows.push(row),
            Err(row) => poisoned(row).map_err(|row| stream.give_up(MeasoftError::BadRow { op, row }))?,
        }
    }
    Ok(rows)
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
