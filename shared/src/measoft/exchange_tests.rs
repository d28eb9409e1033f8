//! The client against a server that misbehaves on purpose, one connection at a time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

use crate::domain::{Kopecks, OrderNo};
use crate::measoft::account::Account;
use crate::measoft::class::Class;
use crate::measoft::client::MeasoftClient;
use crate::measoft::courier::Courier;
use crate::measoft::error::MeasoftError;
use crate::measoft::exchange::{Limits, Timeouts, http_client};
use crate::measoft::op::Op;
use crate::measoft::tap::Exchange;
use crate::measoft::wire::neworder::{Item, NewOrder, PayType, Receiver};
use crate::measoft::wire::statusreq::Done;
use crate::tls::Tls;
use crate::vendor::ExchangeObserver;

#[derive(Default)]
struct Recorded(Mutex<Vec<Exchange>>);

impl ExchangeObserver<Exchange> for Recorded {
    fn exchange(&self, exchange: Exchange) {
        self.0.lock().expect("lock").push(exchange);
    }
}

/// What the server does with the only request it takes.
#[derive(Clone)]
enum Script {
    /// Sends these bytes, then closes.
    Send(Vec<u8>),
    /// Sends the head, then one piece after another.
    Pieces(Vec<Vec<u8>>),
    /// Reads the request and closes without a word.
    HangUp,
    /// Reads the request and says nothing.
    Silence,
}

fn http(status: &str, headers: &str, body: &str) -> Script {
    Script::Send(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len()).into_bytes())
}

fn ok(body: &str) -> Script {
    http("200 OK", "", body)
}

struct Bench {
    client: MeasoftClient,
    seen: Arc<Recorded>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Bench {
    fn only_exchange(&self) -> Exchange {
        let mut seen = self.seen.0.lock().expect("lock");
        assert_eq!(seen.len(), 1, "one report per exchange: {seen:?}");
        seen.remove(0)
    }
}

async fn bench(script: Script) -> Bench {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let url = format!("http://{}/api/", listener.local_addr().expect("address"));
    let requests = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let request = read_request(&mut socket).await;
            log.lock().expect("lock").push(request);
            match script.clone() {
                Script::Send(bytes) => drop(socket.write_all(&bytes).await),
                Script::Pieces(pieces) => {
                    let length: usize = pieces.iter().map(Vec::len).sum();
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                    drop(socket.write_all(head.as_bytes()).await);
                    for piece in pieces {
                        drop(socket.write_all(&piece).await);
                        drop(socket.flush().await);
                        tokio::task::yield_now().await;
                    }
                }
                Script::HangUp => {}
                Script::Silence => std::future::pending().await,
            }
            drop(socket.shutdown().await);
        }
    });
    let (client, seen) = client_for(&url);
    Bench { client, seen, requests }
}

async fn read_request(socket: &mut tokio::net::TcpStream) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&request);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length:").map(str::trim).map(str::to_owned)
                })
                .and_then(|length| length.parse::<usize>().ok())
                .unwrap_or(0);
            if body.len() >= length {
                return text.into_owned();
            }
        }
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&request).into_owned(),
            Ok(read) => request.extend_from_slice(&buffer[..read]),
        }
    }
}

fn client_for(url: &str) -> (MeasoftClient, Arc<Recorded>) {
    let seen = Arc::new(Recorded::default());
    let account = Account {
        url: Url::parse(url).expect("url"),
        extra: "8".into(),
        login: "shop-demo".into(),
        password: "secret-demo".into(),
    };
    let timeouts =
        Timeouts { connect: Duration::from_secs(5), call: Duration::from_secs(20), long: Duration::from_secs(20) };
    let http = http_client(&timeouts, &Tls::default()).expect("client");
    let tap = Arc::clone(&seen) as Arc<dyn ExchangeObserver<Exchange>>;
    (MeasoftClient::new(http, account, tap).with_timeouts(timeouts), seen)
}

fn no(text: &str) -> OrderNo {
    OrderNo::known(text)
}

fn order(orderno: &str) -> NewOrder {
    NewOrder {
        items: vec![Item::goods("1", "Шарф", 1, Kopecks(100))],
        ..NewOrder::new(
            no(orderno),
            Receiver {
                person: Some("Смирнова".into()),
                phone: Some("+79161234567".into()),
                address: Some("Лесная, 5".into()),
                ..Receiver::default()
            },
            PayType::Cash,
        )
    }
}

#[tokio::test]
async fn a_created_order_is_reported_once_and_masked() {
    let bench = bench(ok(r#"<neworder><createorder orderno="A1" error="0" orderprice="1"/></neworder>"#)).await;
    let rows = bench.client.new_orders(&[order("A1")]).await.expect("rows");
    assert!(rows[0].is_ok());
    let request = bench.requests.lock().expect("lock").remove(0);
    assert!(request.starts_with("POST /api/ HTTP/1.1\r\n"), "{request}");
    assert!(request.to_ascii_lowercase().contains("content-type: text/xml; charset=utf-8\r\n"), "{request}");
    assert!(request.contains("\r\n\r\n<?xml version=\"1.0\" encoding=\"UTF-8\"?><neworder"), "{request}");
    let exchange = bench.only_exchange();
    assert_eq!((exchange.op, exchange.outcome, exchange.http_status), (Op::NewOrder, "ok", Some(200)));
    assert_eq!(exchange.about, [no("A1")]);
    assert!(exchange.response_masked.contains("createorder orderno=\"A1\""), "{}", exchange.response_masked);
    for secret in ["shop-demo", "secret-demo", "Смирнова", "9161234567", "Лесная"] {
        assert!(!format!("{exchange:?}").contains(secret), "{secret} in {exchange:?}");
    }
}

#[tokio::test]
async fn a_refused_row_is_an_answer_not_an_error() {
    let bench = bench(ok(r#"<neworder><createorder orderno="A1" error="5" errormsg="no town"/></neworder>"#)).await;
    let rows = bench.client.new_orders(&[order("A1")]).await.expect("rows");
    assert_eq!(rows[0].verdict(Op::NewOrder).map(|verdict| verdict.reason), Some("town_not_found"));
    assert_eq!(bench.only_exchange().outcome, "refused");
}

#[tokio::test]
async fn a_lost_answer_to_a_write_is_an_unknown_outcome() {
    let cut = Script::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n<neworder><createorder".to_vec());
    let page = ok("<!DOCTYPE html><html><body>login</body></html>");
    for (script, outcome, status) in [
        (Script::HangUp, "unknown", None),
        (cut, "unknown", Some(200)),
        (http("500 Oops", "", "sorry"), "unknown", Some(500)),
        (http("429 Slow down", "Retry-After: 9\r\n", ""), "unknown", Some(429)),
        (http("403 Forbidden", "", "<html>"), "unknown", Some(403)),
        (page, "unknown", Some(200)),
        (ok(""), "bad_format", Some(200)),
        (ok("<neworder/>"), "bad_format", Some(200)),
        (ok("<statusreq count=\"0\"/>"), "bad_format", Some(200)),
    ] {
        let bench = bench(script).await;
        let error = bench.client.new_orders(&[order("A1")]).await.expect_err("an error");
        assert_eq!(error.class(), Class::UnknownOutcome, "{error:?}");
        let exchange = bench.only_exchange();
        assert_eq!((exchange.outcome, exchange.http_status), (outcome, status), "{error:?}");
    }
}

#[tokio::test]
async fn a_lost_answer_to_a_read_may_be_asked_for_again() {
    for (script, class) in [
        (Script::HangUp, Class::Transient),
        (http("502 Bad gateway", "", "<html>"), Class::Transient),
        (http("429 Slow down", "Retry-After: 9\r\n", ""), Class::Blocked { retry_after: Some(Duration::from_secs(9)) }),
        (ok("<html><body>login</body></html>"), Class::Blocked { retry_after: None }),
        (http("301 Moved", "Location: http://example.org/\r\n", ""), Class::Config),
        (http("404 Not found", "", "nothing here"), Class::Config),
    ] {
        let bench = bench(script).await;
        let error = bench.client.status_by_orderno(&no("A1")).await.expect_err("an error");
        assert_eq!(error.class(), class, "{error:?}");
        assert_eq!(bench.only_exchange().outcome, class.as_str());
    }
}

#[tokio::test]
async fn an_answer_of_a_thousand_rows_about_one_number_is_refused() {
    let body = format!("<?xml version=\"1.0\"?><statusreq>{}</statusreq>", "<order orderno=\"A1\"/>".repeat(2000));
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let bench = bench(Script::Send(answer.into_bytes())).await;
    let error = bench.client.status_by_orderno(&no("A1")).await.expect_err("too many");
    assert!(matches!(error, MeasoftError::TooLarge { .. }), "{error:?}");
}

#[tokio::test]
async fn silence_ends_with_a_timeout() {
    let bench = bench(Script::Silence).await;
    let quick = Timeouts { call: Duration::from_millis(200), ..Timeouts::default() };
    let error = bench.client.clone().with_timeouts(quick).cancel_order(&no("A1"), None).await.expect_err("timeout");
    assert_eq!(error.class(), Class::UnknownOutcome);
    assert_eq!(bench.only_exchange().outcome, "unknown");
}

#[tokio::test]
async fn a_caller_that_stops_waiting_leaves_a_trace() {
    let bench = bench(Script::Silence).await;
    let waiting = bench.client.probe();
    let given_up = tokio::time::timeout(Duration::from_millis(200), waiting).await;
    assert!(given_up.is_err());
    assert_eq!(bench.only_exchange().outcome, "abandoned");
}

#[tokio::test]
async fn a_request_that_never_left_may_be_sent_again() {
    // A port that was free a moment ago refuses connections.
    let port = TcpListener::bind("127.0.0.1:0").await.expect("bind").local_addr().expect("address").port();
    let (client, seen) = client_for(&format!("http://127.0.0.1:{port}/"));
    let error = client.new_orders(&[order("A1")]).await.expect_err("refused");
    assert_eq!(error.class(), Class::Transient);
    assert!(error.looks_blocked());
    assert_eq!(seen.0.lock().expect("lock")[0].outcome, "transient");
    let (client, _) = client_for("https://name.invalid/api/");
    let error = client.new_orders(&[order("A1")]).await.expect_err("no such host");
    assert!(matches!(error, MeasoftError::NotSent { .. }), "{error:?}");
}

#[tokio::test]
async fn credentials_do_not_travel_in_clear_text() {
    let (client, _) = client_for("http://example.org/api/");
    let error = client.probe().await.expect_err("unsafe");
    assert_eq!((error.class(), error.reason()), (Class::Config, "unsafe_address"));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = bench(ok("<client><code>1</code></client>")).await;
    let location = format!("Location: {}\r\n", other.client.account().url);
    let bench = bench(http("307 Temporary redirect", &location, "")).await;
    assert_eq!(bench.client.probe().await.expect_err("redirect").class(), Class::Config);
    assert_eq!(other.requests.lock().expect("lock").len(), 0);
}

#[tokio::test]
async fn an_answer_over_the_limit_is_given_up() {
    let body = format!("<client><code>{}</code></client>", "1".repeat(5000));
    let bench = bench(ok(&body)).await;
    let small = Limits { answer: 1000, ..Limits::default() };
    let error = bench.client.clone().with_limits(small).probe().await.expect_err("too large");
    assert_eq!(error, MeasoftError::TooLarge { op: Op::Client, limit: 1000 });
    assert_eq!(bench.only_exchange().outcome, "too_large");
}

#[tokio::test]
async fn the_probe_tells_good_credentials_from_bad_ones() {
    let good = bench(ok("<client><code>2417</code></client>")).await;
    assert_eq!(good.client.probe().await.as_deref(), Ok("2417"));
    let bad = bench(ok(r#"<request><error error="1" errormsg="authorization error"/></request>"#)).await;
    assert_eq!(bad.client.probe().await.expect_err("bad").class(), Class::Config);
    assert_eq!(bad.only_exchange().outcome, "config");
}

#[tokio::test]
async fn what_changed_comes_row_by_row_and_bad_rows_are_set_aside() {
    let pieces = ["<statusreq count=\"3\"><order orderno=\"A1\"><pri", "ce>1.50</price></order><order orderno=\"A2\">"];
    let more = ["<price></prise></order>", "<order orderno=\"A3\"/></statusreq>"];
    let pieces = pieces.iter().chain(&more).map(|piece| piece.as_bytes().to_vec()).collect();
    let bench = bench(Script::Pieces(pieces)).await;
    let mut stream = bench.client.only_last(417).await.expect("stream");
    let first = stream.next().await.expect("no break").expect("a row").read().expect("readable");
    assert_eq!(first.price, Some(Kopecks(150)));
    let second = stream.next().await.expect("no break").expect("a row").read().expect_err("poison");
    assert_eq!(second.orderno, Some(no("A2")));
    assert!(stream.next().await.expect("no break").expect("a row").read().is_ok());
    assert!(matches!(stream.next().await, Ok(None)));
    assert!(matches!(stream.next().await, Ok(None)), "the end stays the end");
    let exchange = bench.only_exchange();
    assert_eq!((exchange.op, exchange.outcome), (Op::StatusReq, "ok"));
}

#[tokio::test]
async fn a_stream_that_breaks_off_after_rows_ends_in_an_error() {
    let body = "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n<statusreq><order orderno=\"A1\"/><order orde";
    let bench = bench(Script::Send(body.as_bytes().to_vec())).await;
    let mut stream = bench.client.only_last(417).await.expect("stream");
    assert!(stream.next().await.expect("no break yet").is_some());
    assert_eq!(stream.next().await.expect_err("cut").class(), Class::Transient);
    assert_eq!(bench.only_exchange().outcome, "transient");
}

#[tokio::test]
async fn an_error_instead_of_a_stream_is_known_from_the_start() {
    let bench = bench(ok(r#"<statusreq error="25" errormsg="authorization error"/>"#)).await;
    assert_eq!(bench.client.only_last(417).await.expect_err("auth").class(), Class::Config);
    assert_eq!(bench.only_exchange().outcome, "config");
}

#[tokio::test]
async fn no_such_orders_is_an_empty_answer() {
    for body in ["<statusreq count=\"0\"/>", "<statusreq error=\"11\" errormsg=\"orders not found\"/>"] {
        let bench = bench(ok(body)).await;
        assert_eq!(bench.client.status_by_orderno(&no("A1")).await, Ok(Vec::new()), "{body}");
        let day = jiff::civil::date(2026, 9, 1);
        assert_eq!(bench.client.status_by_created(day, day, Done::All).await, Ok(Vec::new()), "{body}");
        let first = bench.client.only_last(417).await.expect("stream").next().await;
        assert!(matches!(first, Ok(None)), "{body}");
    }
}

#[tokio::test]
async fn a_look_up_never_takes_an_unreadable_row_for_an_absent_one() {
    let bench = bench(ok("<statusreq><order orderno=\"A1\"><price></prise></order></statusreq>")).await;
    let error = bench.client.status_by_orderno(&no("A1")).await.expect_err("unreadable");
    assert!(matches!(error, MeasoftError::BadRow { .. }));
    assert_eq!(bench.only_exchange().outcome, "bad_format");
}

#[tokio::test]
async fn printing_gives_a_pdf_or_an_error() {
    let content = "<waybill><content>JVBERi0x\nLjQ</content></waybill>";
    let as_xml = bench(ok(content)).await;
    assert_eq!(as_xml.client.waybill(&[no("A1")], "1").await.as_deref(), Ok(b"%PDF-1.4".as_slice()));
    let raw = bench(ok("%PDF-1.4 raw")).await;
    assert_eq!(raw.client.waybill(&[no("A1")], "1").await.as_deref(), Ok(b"%PDF-1.4 raw".as_slice()));
    let page = bench(ok("<html>login</html>")).await;
    assert_eq!(page.client.waybill(&[no("A1")], "1").await.expect_err("page").reason(), "bad_format");
    let empty = bench(ok("<waybill/>")).await;
    assert_eq!(empty.client.waybill(&[no("A1")], "1").await.expect_err("empty").reason(), "bad_format");
}

#[tokio::test]
async fn handlers_see_the_client_through_the_port() {
    let bench = bench(ok("<services><service><code>1</code><name>Не срочно</name></service></services>")).await;
    let courier: Arc<dyn Courier> = Arc::new(bench.client.clone());
    assert_eq!(courier.services().await.expect("services")[0].code, "1");
    assert_eq!(courier.new_orders(&[]).await.expect_err("nothing").class(), Class::Bug);
}
