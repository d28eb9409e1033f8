use super::*;
use crate::domain::{CrmOrderId, Kopecks, OrderNumber};
use crate::retailcrm::client::request::ONE_CAP;
use crate::retailcrm::{
    AllowedHosts, Crm, Deleted, HistoryFrom, NewPayment, NoLimiter, NoObserver, PaymentPatch, TrackingUpdate, check,
    samples,
};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Method, Request, Response, Uri};
use futures_util::future::BoxFuture;
use serde_json::json;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A request as the server saw it.
#[derive(Debug, Clone)]
struct Requested {
    method: Method,
    uri: Uri,
    key: Option<String>,
    body: String,
}

impl Requested {
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
    seen: Arc<Mutex<Vec<Requested>>>,
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
    let seen: Arc<Mutex<Vec<Requested>>> = Arc::default();
    let log = Arc::clone(&seen);
    let turn = Arc::new(AtomicUsize::new(0));
    let answers = Arc::new(answers);
    let app = Router::new().fallback(move |request: Request<Body>| {
        let (log, turn, answers) = (Arc::clone(&log), Arc::clone(&turn), Arc::clone(&answers));
        async move {
            let (parts, body) = request.into_parts();
            let body: Bytes = axum::body::to_bytes(body, usize::MAX).await.expect("body");
            log.lock().expect("lock").push(Requested {
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
    fn seen(&self) -> Vec<Requested> {
        self.seen.lock().expect("lock").clone()
    }
}

#[derive(Default)]
struct Recorded(Mutex<Vec<Exchange>>);

impl ExchangeObserver<Exchange> for Recorded {
    fn exchange(&self, exchange: Exchange) {
        self.0.lock().expect("lock").push(exchange);
    }
}

const KEY: &str = "k3yFr0mCrm0000000000000000000000";

fn client_with(url: &str, tap: Arc<dyn ExchangeObserver<Exchange>>) -> CrmClient {
    let url = check(url, &AllowedHosts::parse("127.0.0.1").expect("list")).expect("url");
    CrmClient::new(CrmHttp::new(&Tls::default()).expect("http"), url, Secret::new(KEY), tap, Arc::new(NoLimiter))
}

fn client(server: &Server) -> CrmClient {
    client_with(&server.url, Arc::new(NoObserver))
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
    let tap = Arc::new(Recorded::default());
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
    assert_eq!(exchange.about.as_deref(), Some("12/34 #Ж"));
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
async fn of_an_edits_answer_a_refusal_is_kept_and_the_order_is_not() {
    let refused =
        (400, vec![("content-type", "application/json".into())], r#"{"success":false,"errorMsg":"no"}"#.into());
    let server = server(vec![ok(samples::read("order-edit-response.json")), refused]).await;
    let tap = Arc::new(Recorded::default());
    let client = client_with(&server.url, tap.clone());
    client.edit_order(CrmOrderId(4817), "", json!({})).await.expect("done");
    client.edit_order(CrmOrderId(4817), "", json!({})).await.expect_err("refused");
    let kept: Vec<String> = tap.0.lock().expect("lock").iter().map(|seen| seen.response_masked.clone()).collect();
    assert_eq!(kept[0], r#"{"success":true}"#);
    assert!(kept[1].contains(r#""errorMsg":"no""#), "{}", kept[1]);
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
        ("credentials.json", "/api/credentials"),
        ("settings.json", "/api/v5/settings"),
    ] {
        let server = server(vec![ok(samples::read(file))]).await;
        let client = client(&server);
        let rows = match file {
            "reference-payment-types.json" => client.payment_types().await.map(|rows| rows.len()),
            "reference-payment-statuses.json" => client.payment_statuses().await.map(|rows| rows.len()),
            "reference-delivery-types.json" => client.delivery_types().await.map(|rows| rows.len()),
            "reference-statuses.json" => client.statuses().await.map(|rows| rows.len()),
            "credentials.json" => client.credentials().await.map(|c| c.scopes.len()),
            _ => client.settings().await.map(|settings| usize::from(settings.timezone.is_some())),
        };
        assert!(rows.expect(file) > 0, "{file}");
        let seen = &server.seen()[0];
        assert_eq!(seen.uri.path(), path);
        assert!(seen.key.is_some());
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
    let tap = Arc::new(Recorded::default());
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
    let http = CrmHttp::new(&Tls::default()).expect("http").with_timeout(Duration::from_millis(200));
    let client = CrmClient::new(http, url, Secret::new(KEY), Arc::new(NoObserver), Arc::new(NoLimiter));
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
    ])
    .await;
    let client = client(&server);
    let module = client.module("measoft-17").await.expect("answer");
    let info = client.edit_module(&module).await.expect("answer");
    assert_eq!(info.delivery_type, Some((Some(34), "measoft-17".into())));
    let seen = server.seen();
    assert_eq!(seen[0].uri.to_string(), "/api/v5/integration-modules/measoft-17");
    assert_eq!(
        samples::without_nothings(&seen[1].as_sample()),
        samples::without_nothings(&samples::read("module-edit-request.json"))
    );
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
async fn orders_are_found_by_delivery_type_page_by_page() {
    let server = server(vec![ok(list_page(vec![sample_order(1)], 2, 3))]).await;
    let types = ["incity".into(), "outcity".into()];
    let page = client(&server).orders_by_delivery_types(&types, 2).await.expect("answer");
    assert_eq!((page.orders.len(), page.page, page.total_pages), (1, 2, 3));
    let query = server.seen()[0].query();
    for (name, value) in
        [("filter[deliveryTypes][]", "incity"), ("filter[deliveryTypes][]", "outcity"), ("page", "2"), ("limit", "100")]
    {
        assert!(query.contains(&(name.into(), value.into())), "{name}={value}");
    }
}

#[test]
fn the_port_can_be_shared() {
    fn shared(_: Arc<dyn Crm>) {}
    let url = check("https://shop.retailcrm.ru", &AllowedHosts::none()).expect("url");
    let client = CrmClient::new(
        CrmHttp::new(&Tls::default()).expect("http"),
        url,
        Secret::new(KEY),
        Arc::new(NoObserver),
        Arc::new(NoLimiter),
    );
    assert!(!format!("{client:?}").contains(KEY));
    shared(Arc::new(client));
}
