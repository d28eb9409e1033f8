//! HTTP with one RetailCRM account: forms out, JSON in (retailcrm-api.md A.2–A.7).

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::domain::{CrmOrderId, OrderNumber, Secret};
use crate::retailcrm::error::{CrmError, Reply, judge};
use crate::retailcrm::tolerant::{Misread, Node, format_datetime, integer, text};
use crate::retailcrm::wire::order::{read_orders, read_single};
use crate::retailcrm::wire::references::{Entry, read_reference};
use crate::retailcrm::{
    AccountSettings, Credentials, Crm, CrmUrl, Deleted, DeliveryType, Exchange, ExchangeTap, HistoryFrom, HistoryPage,
    IntegrationModule, Limiter, ModuleInfo, NewPayment, Op, Order, OrderStatus, PaymentPatch, PaymentStatus,
    PaymentType, ProductStatus, Resting, Site, Status, Store, SystemInfo, TrackingUpdate, Unreadable, mask,
};

/// Longest answer about one thing.
const ONE_CAP: usize = 1024 * 1024;
/// Longest page of a list.
const LIST_CAP: usize = 16 * 1024 * 1024;
/// Time for one exchange, connection included.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The same for what only reads.
const READING: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Values of one `filter[…][]` and rows of one page (retailcrm-api.md A.7).
const PAGE: usize = 100;
/// More pages than any honest answer to 100 numbers has.
const MOST_PAGES: u64 = 50;
/// Longest pause that is believed of a `Retry-After`.
const MOST_PAUSE: Duration = Duration::from_secs(3600);
/// Characters of a masked body that are kept of an exchange.
const KEPT_CHARS: usize = 16 * 1024;

/// The HTTP client of all accounts. A type of its own because its settings are part of the
/// guard: it follows no redirect, so the key goes nowhere but to the checked address.
#[derive(Debug, Clone)]
pub struct CrmHttp {
    client: reqwest::Client,
    timeout: Duration,
}

impl CrmHttp {
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new() -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("measoft-bridge/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, timeout: TIMEOUT })
    }

    /// Another limit for one exchange.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// One RetailCRM account.
#[derive(Clone)]
pub struct CrmClient {
    http: CrmHttp,
    url: CrmUrl,
    key: Secret,
    tap: Arc<dyn ExchangeTap>,
    limiter: Arc<dyn Limiter>,
    clock: Clock,
}

impl fmt::Debug for CrmClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CrmClient").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A request before it is addressed.
struct Call<'a> {
    op: Op,
    /// What it is about, for the journal.
    order: Option<String>,
    path: Vec<&'a str>,
    query: Vec<(String, String)>,
    /// `Some` makes it a POST.
    form: Option<Vec<(&'static str, String)>>,
    cap: usize,
    with_key: bool,
}

impl<'a> Call<'a> {
    /// `path` follows `/api/v5/`.
    fn get(op: Op, path: &[&'a str]) -> Self {
        let path = ["api", "v5"].iter().chain(path).copied().collect();
        Self { op, order: None, path, query: Vec::new(), form: None, cap: ONE_CAP, with_key: true }
    }

    fn post(op: Op, path: &[&'a str]) -> Self {
        Self { form: Some(Vec::new()), ..Self::get(op, path) }
    }

    /// A method outside of the versions.
    fn unversioned(op: Op, name: &'a str) -> Self {
        Self { path: vec!["api", name], ..Self::get(op, &[]) }
    }

    fn about(mut self, order: String) -> Self {
        self.order = Some(order);
        self
    }

    fn list(mut self) -> Self {
        self.cap = LIST_CAP;
        self
    }

    fn query(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    fn field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.form.get_or_insert_default().push((name, value.into()));
        self
    }

    /// The shop's code, when it is known (retailcrm-api.md A.9).
    fn site(self, site: &str) -> Self {
        if site.is_empty() { self } else { self.field("site", site) }
    }
}

fn id_tag(id: CrmOrderId) -> String {
    format!("id:{id}")
}

impl CrmClient {
    #[must_use]
    pub fn new(http: CrmHttp, url: CrmUrl, key: Secret, tap: Arc<dyn ExchangeTap>, limiter: Arc<dyn Limiter>) -> Self {
        Self { http, url, key, tap, limiter, clock: Clock::system() }
    }

    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    #[must_use]
    pub const fn url(&self) -> &CrmUrl {
        &self.url
    }

    async fn call(&self, call: Call<'_>) -> Result<Value, CrmError> {
        let mut url = self.url.method(&call.path);
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let mut shown = format!("{} {}", if call.form.is_some() { "POST" } else { "GET" }, url.path());
        if let Some(query) = url.query() {
            shown.push('?');
            shown.push_str(&mask::form(query));
        }
        let mut request = match &call.form {
            Some(form) => {
                let body = ::url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
                shown.push('\n');
                shown.push_str(&mask::form(&body));
                self.http.client.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)
            }
            None => self.http.client.get(url),
        };
        if call.with_key {
            // What cannot stand in a header is no key.
            let mut key = HeaderValue::from_str(self.key.expose()).map_err(|_| CrmError::WrongKey)?;
            key.set_sensitive(true);
            request = request.header("X-API-KEY", key);
        }
        self.limiter.admit().map_err(|pause| CrmError::Resting { pause })?;
        let mut admitted = Admitted { limiter: &*self.limiter, sent: None, is_told: false };
        self.limiter.pass().await;
        let started = self.clock.now();
        let stopwatch = Instant::now();
        admitted.sent = Some(stopwatch);
        // What changes nothing is asked again sooner than it is waited for.
        let limit = if call.form.is_some() { self.http.timeout } else { self.http.timeout.min(READING) };
        let (status, body, result) = match self.exchange(call.op, request.timeout(limit), call.cap, started).await {
            Ok(got) => (Some(got.status), got.shown, got.judged),
            Err(failed) => (failed.status, String::new(), Err(failed.error)),
        };
        admitted.tell(result.as_ref().map(|_| ()));
        let outcome = result.as_ref().map_or_else(CrmError::label, |_| "ok");
        tracing::debug!(op = call.op.as_str(), outcome, status, "RetailCRM exchange");
        self.tap.exchange(Exchange {
            op: call.op,
            order: call.order,
            started,
            duration: stopwatch.elapsed(),
            outcome,
            http_status: status,
            request_masked: mask::cut(&shown, KEPT_CHARS),
            response_masked: body,
        });
        result
    }

    async fn exchange(
        &self,
        op: Op,
        request: reqwest::RequestBuilder,
        cap: usize,
        now: Timestamp,
    ) -> Result<Got, Failed> {
        let mut response = request.send().await.map_err(|error| Failed::new(None, &error))?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| Failed::new(Some(status), &error))? {
            if body.len() + chunk.len() > cap {
                let error =
                    CrmError::BadAnswer { why: "larger than allowed", excerpt: format!("more than {cap} bytes") };
                return Err(Failed { status: Some(status), error });
            }
            body.extend_from_slice(&chunk);
        }
        let headers = response.headers();
        let judged = judge(Reply {
            op,
            status,
            content_type: headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()),
            retry_after: retry_after(headers, now),
            body: &body,
        });
        let head = &body[..body.len().min(4 * KEPT_CHARS)];
        let shown = mask::cut(&mask::body(&String::from_utf8_lossy(head)), KEPT_CHARS);
        Ok(Got { status, shown, judged })
    }

    /// Rows of `orders` under a filter, every page.
    async fn all_orders(
        &self,
        about: Option<String>,
        filter: &[(&str, String)],
    ) -> Result<Vec<Result<Order, Unreadable>>, CrmError> {
        let mut orders: Vec<Result<Order, Unreadable>> = Vec::new();
        let mut seen = HashSet::new();
        for page in 1..=MOST_PAGES {
            let mut call = Call::get(Op::Orders, &["orders"]).list();
            call.order.clone_from(&about);
            for (name, value) in filter {
                call = call.query(name, value);
            }
            call = call.query("limit", PAGE.to_string());
            if page > 1 {
                call = call.query("page", page.to_string());
            }
            let got = self.orders_page(call).await?;
            let empty = got.orders.is_empty();
            // A list that grows while it is read repeats rows on the next page.
            orders.extend(got.orders.into_iter().filter(|order| match order {
                Ok(order) => seen.insert(order.id),
                Err(unreadable) => unreadable.id.is_none_or(|id| seen.insert(id)),
            }));
            if empty || page >= got.total_pages {
                break;
            }
        }
        Ok(orders)
    }

    async fn orders_page(&self, call: Call<'_>) -> Result<OrdersPage, CrmError> {
        let answer = self.call(call).await?;
        no_more_than(PAGE, &answer, "orders")?;
        let orders =
            read_orders(answer.get("orders").unwrap_or(&Value::Null)).map_err(|e| CrmError::misread(&e, &answer))?;
        let (page, total_pages) = pages(&answer);
        Ok(OrdersPage { orders, page, total_pages })
    }

    async fn reference<T: Entry>(&self, op: Op, name: &str, key: &'static str) -> Result<Vec<T>, CrmError> {
        let answer = self.call(Call::get(op, &["reference", name]).list()).await?;
        read_reference(&answer, key).map_err(|error| CrmError::misread(&error, &answer))
    }
}

/// A page of orders.
#[derive(Debug, Clone, PartialEq)]
pub struct OrdersPage {
    pub orders: Vec<Result<Order, Unreadable>>,
    /// From 1.
    pub page: u64,
    /// Zero when there is nothing.
    pub total_pages: u64,
}

/// A page holds what was asked for: reading more costs memory that nobody has set aside.
fn no_more_than(limit: usize, answer: &Value, name: &str) -> Result<(), CrmError> {
    let rows = match answer.get(name) {
        Some(Value::Array(rows)) => rows.len(),
        Some(Value::Object(rows)) => rows.len(),
        _ => 0,
    };
    if rows <= limit {
        return Ok(());
    }
    let excerpt = format!("{rows} rows of {name} where {limit} were asked for");
    Err(CrmError::BadAnswer { why: "more rows than were asked for", excerpt })
}

fn pages(answer: &Value) -> (u64, u64) {
    let number = |name: &str| {
        answer
            .pointer(&format!("/pagination/{name}"))
            .and_then(|value| integer(value).ok().flatten())
            .and_then(|number| u64::try_from(number).ok())
    };
    (number("currentPage").unwrap_or(1), number("totalPageCount").unwrap_or(0))
}

/// A request that was let through; whatever becomes of it, the gate hears.
struct Admitted<'a> {
    limiter: &'a dyn Limiter,
    sent: Option<Instant>,
    is_told: bool,
}

impl Admitted<'_> {
    fn tell(&mut self, result: Result<(), &CrmError>) {
        self.is_told = true;
        self.limiter.came_to(Some(result), self.sent.map(|sent| sent.elapsed()).unwrap_or_default());
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        if !self.is_told {
            self.limiter.came_to(None, self.sent.map(|sent| sent.elapsed()).unwrap_or_default());
        }
    }
}

struct Got {
    status: u16,
    shown: String,
    judged: Result<Value, CrmError>,
}

struct Failed {
    status: Option<u16>,
    error: CrmError,
}

impl Failed {
    fn new(status: Option<u16>, error: &reqwest::Error) -> Self {
        let before_sent = status.is_none() && (error.is_connect() || error.is_builder());
        Self { status, error: CrmError::Unreachable { before_sent } }
    }
}

/// Seconds or an HTTP date, at most [`MOST_PAUSE`].
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            Duration::try_from(at.duration_since(now)).unwrap_or_default()
        }
    };
    Some(pause.min(MOST_PAUSE))
}

impl Crm for CrmClient {
    fn resting(&self) -> Option<Resting> {
        self.limiter.resting()
    }

    fn orders_by_numbers<'a>(
        &'a self,
        numbers: &'a [OrderNumber],
    ) -> BoxFuture<'a, Result<Vec<Result<Order, Unreadable>>, CrmError>> {
        Box::pin(async move {
            let mut orders = Vec::new();
            let about = match numbers {
                [one] => Some(one.to_string()),
                _ => None,
            };
            for part in numbers.chunks(PAGE) {
                let filter: Vec<_> = part.iter().map(|number| ("filter[numbers][]", number.to_string())).collect();
                orders.extend(self.all_orders(about.clone(), &filter).await?);
            }
            Ok(orders)
        })
    }

    fn orders_by_ids<'a>(
        &'a self,
        ids: &'a [CrmOrderId],
    ) -> BoxFuture<'a, Result<Vec<Result<Order, Unreadable>>, CrmError>> {
        Box::pin(async move {
            let mut orders = Vec::new();
            let about = match ids {
                [one] => Some(id_tag(*one)),
                _ => None,
            };
            for part in ids.chunks(PAGE) {
                let filter: Vec<_> = part.iter().map(|id| ("filter[ids][]", id.to_string())).collect();
                orders.extend(self.all_orders(about.clone(), &filter).await?);
            }
            Ok(orders)
        })
    }

    fn order(&self, id: CrmOrderId) -> BoxFuture<'_, Result<Order, CrmError>> {
        Box::pin(async move {
            let id_text = id.to_string();
            // Without `by=id` the number would be taken for the shop's external id.
            let call = Call::get(Op::Order, &["orders", &id_text]).query("by", "id").about(id_tag(id));
            let answer = self.call(call).await?;
            let order = read_single(answer.get("order").unwrap_or(&Value::Null)).map_err(CrmError::Unreadable)?;
            if order.id != id {
                return Err(CrmError::BadAnswer { why: "another order than was asked for", excerpt: String::new() });
            }
            Ok(order)
        })
    }

    fn edit_order<'a>(&'a self, id: CrmOrderId, site: &'a str, patch: Value) -> BoxFuture<'a, Result<(), CrmError>> {
        Box::pin(async move {
            let id_text = id.to_string();
            let call = Call::post(Op::OrderEdit, &["orders", &id_text, "edit"])
                .field("by", "id")
                .site(site)
                .field("order", patch.to_string())
                .about(id_tag(id));
            self.call(call).await.map(drop)
        })
    }

    fn tracking<'a>(&'a self, subcode: &'a str, updates: &'a [TrackingUpdate]) -> BoxFuture<'a, Result<(), CrmError>> {
        Box::pin(async move {
            if updates.is_empty() {
                return Ok(());
            }
            let call = Call::post(Op::Tracking, &["delivery", "generic", subcode, "tracking"])
                .field("statusUpdate", json!(updates).to_string());
            self.call(call).await.map(drop)
        })
    }

    fn payment_types(&self) -> BoxFuture<'_, Result<Vec<PaymentType>, CrmError>> {
        Box::pin(self.reference(Op::PaymentTypes, "payment-types", "paymentTypes"))
    }

    fn payment_statuses(&self) -> BoxFuture<'_, Result<Vec<PaymentStatus>, CrmError>> {
        Box::pin(self.reference(Op::PaymentStatuses, "payment-statuses", "paymentStatuses"))
    }

    fn product_statuses(&self) -> BoxFuture<'_, Result<Vec<ProductStatus>, CrmError>> {
        Box::pin(self.reference(Op::ProductStatuses, "product-statuses", "productStatuses"))
    }

    fn delivery_types(&self) -> BoxFuture<'_, Result<Vec<DeliveryType>, CrmError>> {
        Box::pin(self.reference(Op::DeliveryTypes, "delivery-types", "deliveryTypes"))
    }

    fn statuses(&self) -> BoxFuture<'_, Result<Vec<Status>, CrmError>> {
        Box::pin(self.reference(Op::Statuses, "statuses", "statuses"))
    }

    fn sites(&self) -> BoxFuture<'_, Result<Vec<Site>, CrmError>> {
        Box::pin(self.reference(Op::Sites, "sites", "sites"))
    }

    fn stores(&self) -> BoxFuture<'_, Result<Vec<Store>, CrmError>> {
        Box::pin(self.reference(Op::Stores, "stores", "stores"))
    }

    fn credentials(&self) -> BoxFuture<'_, Result<Credentials, CrmError>> {
        Box::pin(async move {
            let answer = self.call(Call::unversioned(Op::Credentials, "credentials")).await?;
            Credentials::read(&answer).map_err(|error| CrmError::misread(&error, &answer))
        })
    }

    fn system_info(&self) -> BoxFuture<'_, Result<SystemInfo, CrmError>> {
        Box::pin(async move {
            let call = Call { with_key: false, ..Call::unversioned(Op::SystemInfo, "system-info") };
            let answer = self.call(call).await?;
            SystemInfo::read(&answer).map_err(|error| CrmError::misread(&error, &answer))
        })
    }

    fn settings(&self) -> BoxFuture<'_, Result<AccountSettings, CrmError>> {
        Box::pin(async move {
            let answer = self.call(Call::get(Op::Settings, &["settings"])).await?;
            let settings = answer.get("settings").unwrap_or(&Value::Null);
            AccountSettings::read(settings).map_err(|error| CrmError::misread(&error, &answer))
        })
    }

    fn order_statuses<'a>(&'a self, ids: &'a [CrmOrderId]) -> BoxFuture<'a, Result<Vec<OrderStatus>, CrmError>> {
        fn read(answer: &Value) -> Result<Vec<OrderStatus>, Misread> {
            Node::root("answer", answer).fields()?.all("orders", OrderStatus::read)
        }
        Box::pin(async move {
            let mut rows = Vec::new();
            for part in ids.chunks(PAGE) {
                let mut call = Call::get(Op::OrderStatuses, &["orders", "statuses"]).list();
                for id in part {
                    call = call.query("ids[]", id.to_string());
                }
                let answer = self.call(call).await?;
                rows.extend(read(&answer).map_err(|error| CrmError::misread(&error, &answer))?);
            }
            Ok(rows)
        })
    }

    fn orders_by_status<'a>(
        &'a self,
        statuses: &'a [String],
        delivery_types: &'a [String],
        page: u64,
    ) -> BoxFuture<'a, Result<OrdersPage, CrmError>> {
        Box::pin(async move {
            let mut call = Call::get(Op::Orders, &["orders"]).list();
            for status in statuses {
                call = call.query("filter[extendedStatus][]", status);
            }
            for kind in delivery_types {
                call = call.query("filter[deliveryTypes][]", kind);
            }
            self.orders_page(call.query("limit", PAGE.to_string()).query("page", page.max(1).to_string())).await
        })
    }

    fn history(&self, from: HistoryFrom, limit: u32) -> BoxFuture<'_, Result<HistoryPage, CrmError>> {
        Box::pin(async move {
            // Any other limit is refused (retailcrm-api.md A.7), and so is a page beside a cursor.
            let limit = match limit {
                0..=20 => 20,
                21..=50 => 50,
                _ => 100,
            };
            let call = Call::get(Op::OrderHistory, &["orders", "history"]).list();
            let call = match from {
                HistoryFrom::After(id) => call.query("filter[sinceId]", id.to_string()),
                HistoryFrom::Since(at) => call.query("filter[startDate]", format_datetime(at)),
            };
            let answer = self.call(call.query("limit", limit.to_string())).await?;
            no_more_than(limit, &answer, "history")?;
            HistoryPage::read(&answer).map_err(|error| CrmError::misread(&error, &answer))
        })
    }

    fn create_payment<'a>(&'a self, site: &'a str, payment: &'a NewPayment) -> BoxFuture<'a, Result<i64, CrmError>> {
        Box::pin(async move {
            let call = Call::post(Op::PaymentCreate, &["orders", "payments", "create"])
                .site(site)
                .field("payment", json!(payment).to_string())
                .about(id_tag(payment.order));
            let answer = self.call(call).await?;
            integer(&answer["id"])
                .ok()
                .flatten()
                .ok_or(CrmError::BadAnswer { why: "no id of the new payment", excerpt: String::new() })
        })
    }

    fn edit_payment<'a>(
        &'a self,
        id: i64,
        site: &'a str,
        patch: &'a PaymentPatch,
    ) -> BoxFuture<'a, Result<(), CrmError>> {
        Box::pin(async move {
            let id = id.to_string();
            let call = Call::post(Op::PaymentEdit, &["orders", "payments", &id, "edit"])
                .field("by", "id")
                .site(site)
                .field("payment", json!(patch).to_string());
            self.call(call).await.map(drop)
        })
    }

    fn delete_payment(&self, id: i64) -> BoxFuture<'_, Result<Deleted, CrmError>> {
        Box::pin(async move {
            let id = id.to_string();
            let call = Call::post(Op::PaymentDelete, &["orders", "payments", &id, "delete"]).field("id", &id);
            match self.call(call).await {
                Ok(_) => Ok(Deleted::Now),
                // A wrong path is a 404 too; that one deleted nothing.
                Err(CrmError::NotFound { text }) if !text.to_lowercase().contains("method") => Ok(Deleted::Before),
                Err(error) => Err(error),
            }
        })
    }

    fn module<'a>(&'a self, code: &'a str) -> BoxFuture<'a, Result<IntegrationModule, CrmError>> {
        Box::pin(async move {
            let answer = self.call(Call::get(Op::Module, &["integration-modules", code])).await?;
            let module = answer.get("integrationModule").unwrap_or(&Value::Null);
            IntegrationModule::read(&Node::root("integrationModule", module))
                .map_err(|error| CrmError::misread(&error, &answer))
        })
    }

    fn edit_module<'a>(&'a self, module: &'a IntegrationModule) -> BoxFuture<'a, Result<ModuleInfo, CrmError>> {
        Box::pin(async move {
            let call = Call::post(Op::ModuleEdit, &["integration-modules", &module.code, "edit"])
                .field("integrationModule", json!(module).to_string());
            self.call(call).await.map(|answer| ModuleInfo::read(&answer))
        })
    }

    fn update_scopes<'a>(&'a self, code: &'a str, scopes: &'a [&'a str]) -> BoxFuture<'a, Result<Secret, CrmError>> {
        Box::pin(async move {
            let call = Call::post(Op::ModuleScopes, &["integration-modules", code, "update-scopes"])
                .field("requires", json!({ "scopes": scopes }).to_string());
            let answer = self.call(call).await?;
            let key = text(&answer["apiKey"]).ok().flatten();
            key.map(Secret::new).ok_or(CrmError::BadAnswer { why: "no key", excerpt: String::new() })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Kopecks;
    use crate::retailcrm::{AllowedHosts, NoLimiter, NoTap, check, samples};
    use axum::Router;
    use axum::body::{Body, Bytes};
    use axum::http::{Method, Request, Response, Uri};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A request as the server saw it.
    #[derive(Debug, Clone)]
    struct Seen {
        method: Method,
        uri: Uri,
        key: Option<String>,
        body: String,
    }

    impl Seen {
        fn pairs(text: &str) -> Vec<(String, String)> {
            ::url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
        }

        fn query(&self) -> Vec<(String, String)> {
            Self::pairs(self.uri.query().unwrap_or_default())
        }

        fn form(&self) -> Vec<(String, String)> {
            Self::pairs(&self.body)
        }

        /// The form as the samples write it: a value that is JSON stands as JSON.
        fn as_sample(&self) -> Value {
            let mut sample: serde_json::Map<String, Value> = self
                .form()
                .into_iter()
                .map(|(name, value)| {
                    let json = value.starts_with(['{', '[']).then(|| serde_json::from_str(&value).expect("JSON"));
                    (name, json.unwrap_or(Value::String(value)))
                })
                .collect();
            sample.insert("_http".into(), json!(format!("{} {}", self.method, self.uri.path())));
            Value::Object(sample)
        }
    }

    /// A server that gives its answers in turn, the last one for ever.
    struct Server {
        url: String,
        seen: Arc<Mutex<Vec<Seen>>>,
        task: tokio::task::JoinHandle<()>,
    }

    impl Drop for Server {
        fn drop(&mut self) {
            self.task.abort();
        }
    }

    type Answer = (u16, Vec<(&'static str, String)>, String);

    fn ok(body: Value) -> Answer {
        (200, vec![("content-type", "application/json".into())], body.to_string())
    }

    async fn server(answers: Vec<Answer>) -> Server {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let log = Arc::clone(&seen);
        let turn = Arc::new(AtomicUsize::new(0));
        let answers = Arc::new(answers);
        let app = Router::new().fallback(move |request: Request<Body>| {
            let (log, turn, answers) = (Arc::clone(&log), Arc::clone(&turn), Arc::clone(&answers));
            async move {
                let (parts, body) = request.into_parts();
                let body: Bytes = axum::body::to_bytes(body, usize::MAX).await.expect("body");
                log.lock().expect("lock").push(Seen {
                    method: parts.method,
                    uri: parts.uri,
                    key: parts.headers.get("x-api-key").map(|key| key.to_str().expect("text").to_owned()),
                    body: String::from_utf8(body.to_vec()).expect("text"),
                });
                let index = turn.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
                let (status, headers, body) = answers[index].clone();
                let mut response = Response::builder().status(status);
                for (name, value) in headers {
                    response = response.header(name, value);
                }
                response.body(Body::from(body)).expect("response")
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.expect("server") });
        Server { url, seen, task }
    }

    impl Server {
        fn seen(&self) -> Vec<Seen> {
            self.seen.lock().expect("lock").clone()
        }
    }

    #[derive(Default)]
    struct Tap(Mutex<Vec<Exchange>>);

    impl ExchangeTap for Tap {
        fn exchange(&self, exchange: Exchange) {
            self.0.lock().expect("lock").push(exchange);
        }
    }

    const KEY: &str = "k3yFr0mCrm0000000000000000000000";

    fn client_with(url: &str, tap: Arc<dyn ExchangeTap>) -> CrmClient {
        let url = check(url, &AllowedHosts::parse("127.0.0.1").expect("list")).expect("url");
        CrmClient::new(CrmHttp::new().expect("http"), url, Secret::new(KEY), tap, Arc::new(NoLimiter))
    }

    fn client(server: &Server) -> CrmClient {
        client_with(&server.url, Arc::new(NoTap))
    }

    fn number(text: &str) -> OrderNumber {
        OrderNumber::parse(text).expect("number")
    }

    fn sample_order(id: i64) -> Value {
        let mut order = samples::read("order-full.json")["order"].clone();
        order["id"] = json!(id);
        order
    }

    fn list_page(orders: Vec<Value>, page: u64, of: u64) -> Value {
        json!({"success": true, "orders": orders, "pagination": {"limit": 100, "currentPage": page, "totalPageCount": of}})
    }

    #[tokio::test]
    async fn orders_are_asked_by_number_with_the_key_in_the_header() {
        let server = server(vec![ok(samples::read("orders-list.json"))]).await;
        let tap = Arc::new(Tap::default());
        let client = client_with(&server.url, tap.clone());
        let orders = client.orders_by_numbers(&[number("12/34 #Ж")]).await.expect("answer");
        assert_eq!(orders.len(), 1);
        assert_eq!(orders[0].as_ref().expect("readable").id, CrmOrderId(4817));
        let seen = &server.seen()[0];
        assert_eq!((seen.method.clone(), seen.uri.path()), (Method::GET, "/api/v5/orders"));
        assert_eq!(seen.query(), [("filter[numbers][]".into(), "12/34 #Ж".into()), ("limit".into(), "100".to_owned())]);
        assert_eq!(seen.key.as_deref(), Some(KEY));
        assert!(!seen.uri.to_string().contains(KEY));
        let exchanges = tap.0.lock().expect("lock");
        let [exchange] = &exchanges[..] else { panic!("one exchange") };
        assert_eq!((exchange.op, exchange.outcome, exchange.http_status), (Op::Orders, "ok", Some(200)));
        assert_eq!(exchange.order.as_deref(), Some("12/34 #Ж"));
        assert!(exchange.request_masked.starts_with("GET /api/v5/orders?filter[numbers][]=12/34 #Ж"));
        let all = format!("{exchange:?}");
        for secret in [KEY, "Петрова", "916", "dk-7f"] {
            assert!(!all.contains(secret), "{secret}");
        }
    }

    #[tokio::test]
    async fn every_page_is_read_and_repeated_rows_are_dropped() {
        let server = server(vec![
            ok(list_page(vec![sample_order(1), sample_order(2)], 1, 2)),
            ok(list_page(vec![sample_order(2), sample_order(3)], 2, 2)),
        ])
        .await;
        let orders = client(&server).orders_by_ids(&[CrmOrderId(1), CrmOrderId(2)]).await.expect("answer");
        let ids: Vec<i64> = orders.iter().map(|order| order.as_ref().expect("readable").id.0).collect();
        assert_eq!(ids, [1, 2, 3]);
        let seen = server.seen();
        assert_eq!(seen.len(), 2);
        assert!(seen[1].query().contains(&("page".into(), "2".into())));
    }

    #[tokio::test]
    async fn more_than_a_hundred_numbers_are_asked_in_parts_and_none_at_all_are_not_asked() {
        let server = server(vec![ok(list_page(vec![], 1, 0))]).await;
        let client = client(&server);
        let numbers: Vec<OrderNumber> = (0..101).map(|n| number(&format!("{n}A"))).collect();
        assert!(client.orders_by_numbers(&numbers).await.expect("answer").is_empty());
        let seen = server.seen();
        assert_eq!(seen.iter().map(|seen| seen.query().len() - 1).collect::<Vec<_>>(), [100, 1]);
        assert!(client.orders_by_numbers(&[]).await.expect("nothing").is_empty());
        assert_eq!(server.seen().len(), 2);
    }

    #[tokio::test]
    async fn an_order_is_read_by_its_id_and_no_other_is_taken() {
        let server = server(vec![ok(samples::read("order-full.json"))]).await;
        let client = client(&server);
        let order = client.order(CrmOrderId(4817)).await.expect("answer");
        assert_eq!(order.total_summ, Kopecks::roubles(4140));
        assert_eq!(server.seen()[0].uri.to_string(), "/api/v5/orders/4817?by=id");
        assert_eq!(client.order(CrmOrderId(4818)).await.expect_err("another").label(), "bad_answer");
    }

    #[tokio::test]
    async fn an_order_that_cannot_be_understood_is_named() {
        let mut answer = samples::read("order-full.json");
        answer["order"]["totalSumm"] = json!("?");
        let server = server(vec![ok(answer)]).await;
        let error = client(&server).order(CrmOrderId(4817)).await.expect_err("unreadable");
        assert_eq!(error.to_string(), "order 1234A is unreadable: order.totalSumm: a sum of money expected");
    }

    #[tokio::test]
    async fn an_edit_is_the_form_of_the_sample() {
        let server = server(vec![ok(samples::read("order-edit-response.json"))]).await;
        let sample = samples::read("order-edit-request.json");
        client(&server).edit_order(CrmOrderId(4817), "main-shop", sample["order"].clone()).await.expect("answer");
        assert_eq!(server.seen()[0].as_sample(), sample);
        client(&server).edit_order(CrmOrderId(4817), "", json!({})).await.expect("answer");
        assert_eq!(server.seen()[1].form(), [("by".into(), "id".into()), ("order".into(), "{}".to_owned())]);
    }

    #[tokio::test]
    async fn tracking_goes_to_the_module_instance() {
        let server = server(vec![ok(samples::read("tracking-response.json"))]).await;
        let client = client(&server);
        let update = TrackingUpdate {
            delivery_id: "ms-17-4817".into(),
            track_number: None,
            cost: None,
            history: vec![],
            extra_data: std::collections::BTreeMap::new(),
        };
        client.tracking("measoft-17", std::slice::from_ref(&update)).await.expect("answer");
        client.tracking("measoft-17", &[]).await.expect("nothing to say");
        let seen = server.seen();
        assert_eq!(seen.len(), 1, "an empty batch is not sent");
        let sample = seen[0].as_sample();
        assert_eq!(sample["_http"], samples::read("tracking-request.json")["_http"]);
        assert_eq!(sample["statusUpdate"], json!([{"deliveryId": "ms-17-4817", "history": []}]));
    }

    #[tokio::test]
    async fn references_and_the_account_are_read() {
        for (file, path) in [
            ("reference-payment-types.json", "/api/v5/reference/payment-types"),
            ("reference-payment-statuses.json", "/api/v5/reference/payment-statuses"),
            ("reference-delivery-types.json", "/api/v5/reference/delivery-types"),
            ("reference-statuses.json", "/api/v5/reference/statuses"),
            ("reference-sites.json", "/api/v5/reference/sites"),
            ("reference-stores.json", "/api/v5/reference/stores"),
            ("credentials.json", "/api/credentials"),
            ("system-info.json", "/api/system-info"),
            ("settings.json", "/api/v5/settings"),
        ] {
            let server = server(vec![ok(samples::read(file))]).await;
            let client = client(&server);
            let rows = match file {
                "reference-payment-types.json" => client.payment_types().await.map(|rows| rows.len()),
                "reference-payment-statuses.json" => client.payment_statuses().await.map(|rows| rows.len()),
                "reference-delivery-types.json" => client.delivery_types().await.map(|rows| rows.len()),
                "reference-statuses.json" => client.statuses().await.map(|rows| rows.len()),
                "reference-sites.json" => client.sites().await.map(|rows| rows.len()),
                "reference-stores.json" => client.stores().await.map(|rows| rows.len()),
                "credentials.json" => client.credentials().await.map(|c| c.scopes.len()),
                "system-info.json" => client.system_info().await.map(|info| usize::from(info.public_url.is_some())),
                _ => client.settings().await.map(|settings| usize::from(settings.timezone.is_some())),
            };
            assert!(rows.expect(file) > 0, "{file}");
            let seen = &server.seen()[0];
            assert_eq!(seen.uri.path(), path);
            assert_eq!(seen.key.is_some(), path != "/api/system-info", "the open method gets no key");
        }
    }

    #[tokio::test]
    async fn the_key_follows_no_redirect() {
        let target = server(vec![ok(json!({"success": true}))]).await;
        for status in [301, 302, 307, 308] {
            let moved = format!("{}/api/v5/settings", target.url);
            let server = server(vec![(status, vec![("location", moved)], String::new())]).await;
            assert_eq!(client(&server).settings().await.expect_err("refused").label(), "bad_answer");
        }
        assert!(target.seen().is_empty());
    }

    #[tokio::test]
    async fn a_page_of_more_rows_than_were_asked_for_is_refused_unread() {
        let rows = format!("[{}null]", "null,".repeat(999_999));
        for (body, why) in [
            (format!(r#"{{"success":true,"orders":{rows}}}"#), "more rows than were asked for"),
            (format!(r#"{{"success":true,"orders":[{}1]}}"#, "{},".repeat(999_999)), "out of all proportion"),
        ] {
            let server = server(vec![(200, vec![], body)]).await;
            let number = OrderNumber::parse("1").expect("a number");
            let error = client(&server).orders_by_numbers(&[number]).await.expect_err(why);
            let CrmError::BadAnswer { why: said, excerpt } = &error else { panic!("{error:?}") };
            assert_eq!(*said, why);
            assert!(excerpt.len() < 5000);
        }
        let history = json!({"success": true, "history": vec![json!({"id": 1}); 101]});
        let server = server(vec![ok(history)]).await;
        let error = client(&server).history(HistoryFrom::After(1), 100).await.expect_err("too many");
        assert!(matches!(error, CrmError::BadAnswer { why: "more rows than were asked for", .. }), "{error:?}");
    }

    #[tokio::test]
    async fn an_answer_beyond_the_cap_is_refused() {
        let server = server(vec![ok(json!({"success": true, "settings": {"x": "a".repeat(ONE_CAP)}}))]).await;
        let error = client(&server).settings().await.expect_err("too large");
        assert!(matches!(error, CrmError::BadAnswer { why: "larger than allowed", .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_pause_is_read_from_retry_after_in_both_forms() {
        let limited = json!({"success": false, "errorMsg": "Rate limit exceeded"}).to_string();
        let server = server(vec![
            (503, vec![("retry-after", "7".into())], limited.clone()),
            (429, vec![("retry-after", "Fri, 17 May 2024 10:00:30 GMT".into())], limited.clone()),
            (429, vec![("retry-after", "999999".into())], limited),
        ])
        .await;
        let now: Timestamp = "2024-05-17T10:00:00Z".parse().expect("moment");
        let client = client(&server).with_clock(Clock::standing_at(now));
        for seconds in [7, 30, 3600] {
            let error = client.settings().await.expect_err("limited");
            assert_eq!(error, CrmError::RateLimited { retry_after: Some(Duration::from_secs(seconds)) });
        }
    }

    #[tokio::test]
    async fn a_closed_port_is_known_to_have_done_nothing() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        drop(listener);
        let tap = Arc::new(Tap::default());
        let error = client_with(&url, tap.clone()).settings().await.expect_err("closed");
        assert_eq!(error, CrmError::Unreachable { before_sent: true });
        let exchanges = tap.0.lock().expect("lock");
        assert_eq!((exchanges.len(), exchanges[0].outcome, exchanges[0].http_status), (1, "unreachable", None));
    }

    #[tokio::test]
    async fn a_silent_server_leaves_the_outcome_open() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let url = check(&url, &AllowedHosts::parse("127.0.0.1").expect("list")).expect("url");
        let http = CrmHttp::new().expect("http").with_timeout(Duration::from_millis(200));
        let client = CrmClient::new(http, url, Secret::new(KEY), Arc::new(NoTap), Arc::new(NoLimiter));
        let error = client.edit_order(CrmOrderId(1), "", json!({})).await.expect_err("silence");
        assert_eq!(error, CrmError::Unreachable { before_sent: false });
        assert!(error.may_have_happened());
    }

    #[tokio::test]
    async fn every_request_passes_the_limiter() {
        struct Counting(AtomicUsize);
        impl Limiter for Counting {
            fn pass(&self) -> BoxFuture<'_, ()> {
                self.0.fetch_add(1, Ordering::SeqCst);
                Box::pin(std::future::ready(()))
            }
        }
        let server = server(vec![ok(list_page(vec![sample_order(1)], 1, 2)), ok(list_page(vec![], 2, 2))]).await;
        let limiter = Arc::new(Counting(AtomicUsize::new(0)));
        let client = CrmClient { limiter: limiter.clone(), ..client(&server) };
        client.orders_by_ids(&[CrmOrderId(1)]).await.expect("answer");
        assert_eq!((limiter.0.load(Ordering::SeqCst), server.seen().len()), (2, 2));
    }

    #[tokio::test]
    async fn a_key_that_fits_in_no_header_is_a_wrong_key() {
        let server = server(vec![ok(json!({"success": true}))]).await;
        let client = CrmClient { key: Secret::new("ключ\n"), ..client(&server) };
        assert_eq!(client.settings().await, Err(CrmError::WrongKey));
        assert!(server.seen().is_empty());
    }

    #[tokio::test]
    async fn payments_are_the_forms_of_the_samples() {
        let server = server(vec![
            (201, vec![], samples::read("payment-create-response.json").to_string()),
            ok(samples::read("payment-edit-response.json")),
            ok(samples::read("payment-delete-response.json")),
            (404, vec![], json!({"success": false, "errorMsg": "Payment not found"}).to_string()),
            (404, vec![], json!({"success": false, "errorMsg": "API method not found"}).to_string()),
            ok(json!({"success": true})),
        ])
        .await;
        let client = client(&server);
        let at = jiff::civil::date(2024, 5, 18).at(16, 42, 10, 0);
        let payment = NewPayment {
            order: CrmOrderId(4817),
            kind: "bank-card".into(),
            status: Some("paid".into()),
            amount: Kopecks::roubles(3140),
            paid_at: Some(at),
            external_id: Some("measoft-17-4817-1".into()),
            comment: Some("MeaSoft".into()),
        };
        assert_eq!(client.create_payment("main-shop", &payment).await, Ok(1431));
        let patch = PaymentPatch {
            status: Some("paid".into()),
            paid_at: Some(at),
            amount: Some(Kopecks::roubles(3140)),
            ..PaymentPatch::default()
        };
        client.edit_payment(1423, "main-shop", &patch).await.expect("answer");
        assert_eq!(client.delete_payment(1423).await, Ok(Deleted::Now));
        assert_eq!(client.delete_payment(1423).await, Ok(Deleted::Before));
        assert_eq!(client.delete_payment(1423).await.expect_err("a wrong path").label(), "not_found");
        assert_eq!(client.create_payment("", &payment).await.expect_err("no id").label(), "bad_answer");
        let seen = server.seen();
        assert_eq!(seen[0].as_sample(), samples::read("payment-create-request.json"));
        assert_eq!(seen[1].as_sample(), samples::read("payment-edit-request.json"));
        assert_eq!(seen[2].uri.path(), "/api/v5/orders/payments/1423/delete");
    }

    #[tokio::test]
    async fn the_module_is_the_form_of_the_sample() {
        let server = server(vec![
            ok(samples::read("module-get-response.json")),
            (201, vec![], samples::read("module-edit-response.json").to_string()),
            ok(samples::read("module-update-scopes.json")["response"].clone()),
        ])
        .await;
        let client = client(&server);
        let module = client.module("measoft-17").await.expect("answer");
        let info = client.edit_module(&module).await.expect("answer");
        assert_eq!(info.delivery_type, Some((Some(34), "measoft-17".into())));
        let key = client.update_scopes("measoft-17", &["order_read", "order_write"]).await.expect("answer");
        assert_eq!(key.expose(), "newKeyFromCrm000000000000000000");
        let seen = server.seen();
        assert_eq!(seen[0].uri.to_string(), "/api/v5/integration-modules/measoft-17");
        assert_eq!(
            samples::without_nothings(&seen[1].as_sample()),
            samples::without_nothings(&samples::read("module-edit-request.json"))
        );
        assert_eq!(seen[2].as_sample(), samples::read("module-update-scopes.json")["request"]);
    }

    #[tokio::test]
    async fn history_is_walked_by_cursor_and_never_by_page() {
        let server = server(vec![ok(samples::read("orders-history.json"))]).await;
        let client = client(&server);
        let page = client.history(HistoryFrom::After(7038), 100).await.expect("answer");
        assert_eq!((page.records.len(), page.last_id), (6, Some(90_230)));
        let at = jiff::civil::date(2024, 5, 1).at(0, 0, 0, 0);
        client.history(HistoryFrom::Since(at), 7).await.expect("answer");
        let seen = server.seen();
        assert_eq!(seen[0].query(), [("filter[sinceId]".into(), "7038".into()), ("limit".into(), "100".to_owned())]);
        assert_eq!(
            seen[1].query(),
            [("filter[startDate]".into(), "2024-05-01 00:00:00".into()), ("limit".into(), "20".to_owned())]
        );
    }

    #[tokio::test]
    async fn orders_are_found_by_status_and_delivery_type_page_by_page() {
        let server = server(vec![ok(list_page(vec![sample_order(1)], 2, 3))]).await;
        let page = client(&server)
            .orders_by_status(&["SentMeaSoft".into()], &["incity".into(), "outcity".into()], 2)
            .await
            .expect("answer");
        assert_eq!((page.orders.len(), page.page, page.total_pages), (1, 2, 3));
        let query = server.seen()[0].query();
        for (name, value) in [
            ("filter[extendedStatus][]", "SentMeaSoft"),
            ("filter[deliveryTypes][]", "incity"),
            ("filter[deliveryTypes][]", "outcity"),
            ("page", "2"),
            ("limit", "100"),
        ] {
            assert!(query.contains(&(name.into(), value.into())), "{name}={value}");
        }
    }

    #[tokio::test]
    async fn statuses_of_many_orders_are_read_in_one_request() {
        let server = server(vec![ok(samples::read("orders-statuses.json"))]).await;
        let rows = client(&server).order_statuses(&[CrmOrderId(4817), CrmOrderId(4818)]).await.expect("answer");
        assert_eq!((rows.len(), rows[0].status.as_str()), (2, "SentMeaSoft"));
        assert_eq!(server.seen()[0].uri.to_string(), "/api/v5/orders/statuses?ids%5B%5D=4817&ids%5B%5D=4818");
    }

    #[test]
    fn the_port_can_be_shared() {
        fn shared(_: Arc<dyn Crm>) {}
        let url = check("https://shop.retailcrm.ru", &AllowedHosts::none()).expect("url");
        let client =
            CrmClient::new(CrmHttp::new().expect("http"), url, Secret::new(KEY), Arc::new(NoTap), Arc::new(NoLimiter));
        assert!(!format!("{client:?}").contains(KEY));
        shared(Arc::new(client));
    }
}
