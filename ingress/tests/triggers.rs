//! The three triggers over a real socket: what is accepted, what is refused and how.

mod harness;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use harness::{CANCEL, FORM, JSON, Mode, SEND, UPDATE, World, send_bytes, until};
use shared::domain::{IntegrationState, Kopecks, PausedBy, Secret};
use shared::message::Command;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

fn is_russian(text: &str) -> bool {
    text.chars().any(|c| ('а'..='я').contains(&c))
}

#[tokio::test]
async fn each_trigger_becomes_its_command() {
    let world = World::new().await;
    let (integration, key) = world.integration("one").await;
    let send = world.send(&format!("id=1234A&sum=3790&key={key}")).await.accepted();
    let update = world.update(&format!("key={key}&sum=3+790,50&id=%D0%97%20%231/2&unknown=field")).await.accepted();
    let cancel = world.cancel(&format!("id=1234A&sum=&incity={key}&outcity=gone")).await.accepted();
    let published = world.published();
    assert_eq!(published.iter().map(|e| e.id).collect::<Vec<_>>(), [send, update, cancel]);
    assert!(published.iter().all(|e| e.integration == Some(integration.id) && e.seq == 0 && e.attempt == 0));
    let Command::SendOrder { number, declared } = &published[0].command else { panic!("{:?}", published[0]) };
    assert_eq!((number.as_str(), *declared), ("1234A", Some(Kopecks(379_000))));
    let Command::UpdateOrder { number, declared } = &published[1].command else { panic!("{:?}", published[1]) };
    assert_eq!((number.as_str(), *declared), ("З #1/2", Some(Kopecks(379_050))));
    let Command::CancelOrder { number, declared, candidates } = &published[2].command else { panic!() };
    assert_eq!((number.as_str(), *declared), ("1234A", None));
    assert_eq!(candidates.len(), 1);
    assert_eq!((candidates[0].delivery_type.as_str(), candidates[0].integration), ("incity", integration.id));
}

#[tokio::test]
async fn parameters_come_from_a_form_json_or_the_query() {
    let (world, key) = World::with_key().await;
    let json = format!(r#"{{"id":77,"sum":3790.10,"key":"{key}","more":{{"a":1}}}}"#);
    world.post(SEND, JSON, json.as_bytes()).await.accepted();
    world.post(&format!("{SEND}?id=%2378&sum=5&key={key}"), "", b"").await.accepted();
    world.post(&format!("{SEND}?key={key}"), FORM, b"id=79").await.accepted();
    world.post(SEND, "", format!("id=80&key={key}").as_bytes()).await.accepted();
    world.post(&format!("//reintegrations//requests/trigger/retailcrm/?key={key}&id=81"), "", b"").await.accepted();
    let json = format!(r#"{{"id":"82","incity":"{key}","count":5}}"#);
    world.post(CANCEL, JSON, json.as_bytes()).await.accepted();
    let numbers: Vec<String> = world.published().iter().map(|e| e.key.clone()).collect();
    assert_eq!(numbers, ["77", "#78", "79", "80", "81", "82"]);
}

#[tokio::test]
async fn what_cannot_be_accepted_is_refused_in_both_languages_and_never_published() {
    let (world, key) = World::with_key().await;
    let (_, other) = world.integration("two").await;
    let k = format!("key={key}");
    let long = format!("id={}&{k}", "я".repeat(256));
    let cases: Vec<(&str, &str, String, u16)> = vec![
        (SEND, FORM, k.clone(), 400),
        (SEND, FORM, String::new(), 400),
        (SEND, FORM, format!("id=&{k}"), 400),
        (SEND, FORM, format!("id=+&{k}"), 400),
        (SEND, FORM, format!("id=1&id=1&{k}"), 400),
        (UPDATE, FORM, format!("id=1&id=2&{k}"), 400),
        (SEND, FORM, format!("id=%C7%E0%EA%E0%E7&{k}"), 400),
        (SEND, FORM, format!("id=%FF&{k}"), 400),
        (UPDATE, FORM, format!("id=%D0&{k}"), 400),
        (CANCEL, FORM, format!("id=%FF&incity={key}"), 400),
        (SEND, FORM, long, 400),
        (CANCEL, FORM, "id=1&sum=2".to_owned(), 400),
        (CANCEL, FORM, format!("id=1&incity={key}&outcity={other}"), 400),
        (SEND, JSON, "[1]".to_owned(), 400),
        (SEND, JSON, "{\"id\":".to_owned(), 400),
        (SEND, JSON, format!(r#"{{"id":"1","id":"1","key":"{key}"}}"#), 400),
        (SEND, JSON, format!(r#"{{"id":{{}},"key":"{key}"}}"#), 400),
        (SEND, FORM, "id=1&key=nobody".to_owned(), 403),
        (SEND, FORM, "id=1&key=".to_owned(), 403),
        (SEND, FORM, "id=1".to_owned(), 403),
        (UPDATE, FORM, "id=1&key=nobody".to_owned(), 403),
        (CANCEL, FORM, "id=1&incity=nobody&outcity=".to_owned(), 403),
        ("/reintegrations/requests/delete/retailcrm", FORM, format!("id=1&{k}"), 404),
        ("/reintegrations/requests/trigger/retailcrm/more", FORM, format!("id=1&{k}"), 404),
        ("/reintegrations/requests/trigger", FORM, format!("id=1&{k}"), 404),
        ("/trigger/retailcrm", FORM, format!("id=1&{k}"), 404),
        ("/", FORM, format!("id=1&{k}"), 405),
        (SEND, FORM, format!("id=1&{k}&x={}", "x".repeat(64 * 1024)), 413),
        (SEND, JSON, "x".repeat(300_000), 413),
        (SEND, "Content-Type: multipart/form-data; boundary=x\r\n", format!("id=1&{k}"), 415),
        (CANCEL, "Content-Type: text/plain\r\n", format!("id=1&incity={key}"), 415),
    ];
    for (path, headers, body, status) in cases {
        let case = format!("{path} {headers:?} {}", body.chars().take(60).collect::<String>());
        let ru = world.post(path, headers, body.as_bytes()).await.error(status);
        assert!(is_russian(&ru), "{case}: {ru}");
        let headers = format!("{headers}Accept-Language: en-US,en;q=0.9\r\n");
        let en = world.post(path, &headers, body.as_bytes()).await.error(status);
        assert!(!is_russian(&en) && !en.is_empty(), "{case}: {en}");
    }
    assert_eq!(world.published(), []);
}

#[tokio::test]
async fn the_same_name_in_query_and_body_is_given_twice() {
    let (world, key) = World::with_key().await;
    world.post(&format!("{SEND}?id=1"), FORM, format!("id=1&key={key}").as_bytes()).await.error(400);
    assert_eq!(world.published(), []);
}

#[tokio::test]
async fn raw_bytes_that_are_not_utf_8_are_refused_before_they_are_repaired() {
    let (world, key) = World::with_key().await;
    let body = [b"id=".as_slice(), &[0xc7, 0xe0], b"&key=", key.as_bytes()].concat();
    world.post(SEND, FORM, &body).await.error(400);
    assert_eq!(world.published(), []);
}

#[tokio::test]
async fn other_methods_are_told_which_one_is_meant() {
    let world = World::new().await;
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let head = format!("{method} {SEND}?id=1 HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n");
        let answer = world.raw(head.as_bytes()).await;
        assert!(is_russian(&answer.error(405)));
        assert!(answer.head.contains("allow: post"), "{method}: {answer:?}");
    }
    let head = world.raw(format!("HEAD {SEND} HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n").as_bytes()).await;
    assert_eq!(head.status, 405);
    let front = world.raw(b"GET / HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n").await;
    assert_eq!((front.status, front.json()["service"].as_str()), (200, Some("measoft-bridge")));
}

#[tokio::test]
async fn a_chunked_body_is_read_and_limited_like_any_other() {
    let (world, key) = World::with_key().await;
    let head =
        format!("POST {SEND} HTTP/1.1\r\nHost: b\r\n{FORM}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n");
    let rest = format!("A&key={key}");
    let body = format!("5\r\nid=12\r\n{:x}\r\n{rest}\r\n0\r\n\r\n", rest.len());
    world.raw(format!("{head}{body}").as_bytes()).await.accepted();
    assert_eq!(world.published()[0].key, "12A");
    let chunk = "x".repeat(0x4000);
    let large = format!("4000\r\n{chunk}\r\n").repeat(5);
    world.raw(format!("{head}{large}0\r\n\r\n").as_bytes()).await.error(413);
    assert_eq!(world.published().len(), 1);
}

#[tokio::test]
async fn without_a_durable_store_the_answer_is_503_with_a_time_to_retry() {
    let (world, key) = World::with_key().await;
    world.publisher.set(Mode::Fails);
    let answer = world.send(&format!("id=1&key={key}")).await;
    assert!(is_russian(&answer.error(503)));
    assert!(answer.head.contains("retry-after: 30"), "{answer:?}");
    assert_eq!(world.published(), []);
}

#[tokio::test]
async fn a_publisher_that_hangs_does_not_hold_the_answer_for_three_seconds() {
    let (world, key) = World::with_key().await;
    world.publisher.set(Mode::Hangs);
    let began = Instant::now();
    world.send(&format!("id=1&key={key}")).await.error(503);
    assert!(began.elapsed() < Duration::from_millis(3_500), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_panic_is_an_answer_too() {
    let (world, key) = World::with_key().await;
    world.publisher.set(Mode::Panics);
    assert!(is_russian(&world.send(&format!("id=1&key={key}")).await.error(500)));
    world.publisher.set(Mode::Works);
    world.send(&format!("id=1&key={key}")).await.accepted();
}

#[tokio::test]
async fn a_sender_that_hangs_up_does_not_take_its_command_with_it() {
    let (world, key) = World::with_key().await;
    world.publisher.set(Mode::Slow);
    let before = world.publisher.begun.load(Ordering::SeqCst);
    let mut stream = TcpStream::connect(world.address).await.expect("connects");
    stream.write_all(send_bytes(&format!("id=hasty&key={key}")).as_bytes()).await.expect("sent");
    until("it is being published", async || world.publisher.begun.load(Ordering::SeqCst) > before).await;
    drop(stream);
    until("the command is there", async || world.published().iter().any(|e| e.key == "hasty")).await;
}

#[tokio::test]
async fn a_cancel_names_several_integrations_of_what_was_shown_to_be_one_account() {
    let world = World::new().await;
    let (one, key) = world.integration("one").await;
    let (other, other_key) = world.integration("one").await;
    let body = format!("id=1&incity={key}&express={other_key}");
    world.cancel(&body).await.accepted();
    let changed = world.change(other.id, |i| i.secrets.crm_api_key = Secret::new("another-key")).await;
    let answers = async |status: u16| world.cancel(&body).await.status == status;
    until("one address is no proof of one account", async || answers(400).await).await;
    let (of_one, of_other) = shared::domain::crm_account::proofs(&one, &changed);
    assert!(world.ctx.store.prove_accounts([(&one, &of_one), (&changed, &of_other)]).await.expect("noted"));
    until("both keys open one account", async || answers(200).await).await;
}

#[tokio::test]
async fn a_changed_integration_is_noticed_within_two_seconds() {
    let world = World::new().await;
    let (first, _) = world.integration("one").await;
    let began = Instant::now();
    let (second, key) = world.integration("two").await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());

    let paused = IntegrationState::Paused { by: PausedBy::Operator, reason: "test".to_owned() };
    world.ctx.store.set_integration_state(second.id, &paused).await.expect("paused");
    world.send(&format!("id=1&key={key}")).await.accepted();

    world.change(second.id, |i| i.secrets.delivery_api_key = Secret::new("dk-rotated")).await;
    let began = Instant::now();
    world.until_known("dk-rotated").await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    world.send(&format!("id=1&key={key}")).await.error(403);
    world.send("id=2&key=dk-rotated").await.accepted();

    world.ctx.store.set_integration_state(second.id, &IntegrationState::Removed).await.expect("removed");
    let began = Instant::now();
    until("a removed integration's key is unknown", async || world.send("id=3&key=dk-rotated").await.status == 403)
        .await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    world.send(&format!("id=4&key={}", first.secrets.delivery_api_key.expose())).await.accepted();
}

#[tokio::test]
async fn while_no_key_was_ever_read_the_answer_is_503_and_not_403() {
    let folder = harness::folder();
    // An empty database: reading keys fails as it would with one that is away.
    let db = shared::store::Db::open_sqlite(&folder.join("bridge.db")).await.expect("opened");
    let world = World::over(folder, db).await;
    let answer = world.send("id=1&key=any").await;
    assert!(answer.head.contains("retry-after"), "{answer:?}");
    answer.error(503);
    world.cancel("id=1&incity=any").await.error(503);
    world.send("key=any").await.error(400);
    assert!(!world.ctx.health.ready().await.ok);
    world.ctx.store.db.migrate().await.expect("migrated");
    world.integration("one").await;
    assert!(world.ctx.health.ready().await.ok);
    world.send("id=1&key=any").await.error(403);
}

#[tokio::test]
async fn known_keys_stay_valid_while_the_database_is_away() {
    let (world, key) = World::with_key().await;
    world.ctx.store.db.close().await;
    world.send(&format!("id=1&key={key}")).await.accepted();
    tokio::time::sleep(Duration::from_millis(700)).await;
    world.send(&format!("id=2&key={key}")).await.accepted();
    assert!(world.ctx.health.live().ok);
}

#[tokio::test]
async fn an_unknown_key_beside_a_known_one_is_journalled() {
    let world = World::new().await;
    let (integration, key) = world.integration("one").await;
    world.cancel(&format!("id=1234A&incity={key}&outcity=dk-somebody-elses&old=")).await.accepted();
    until("it is journalled", async || !world.told(&integration, "1234A").await.is_empty()).await;
    let told = world.told(&integration, "1234A").await;
    assert!(told[0].contains("outcity, old") && !told[0].contains("somebody"), "{told:?}");
}

#[tokio::test]
async fn a_sum_that_says_nothing_is_journalled_and_the_trigger_goes_on() {
    let world = World::new().await;
    let (integration, key) = world.integration("one").await;
    world.send(&format!("id=S1&sum=null&key={key}")).await.accepted();
    world.update(&format!("id=S1&sum=-5&key={key}")).await.accepted();
    world.cancel(&format!("id=S1&sum=None&incity={key}")).await.accepted();
    world.post(SEND, JSON, format!(r#"{{"id":"S1","sum":[1],"key":"{key}"}}"#).as_bytes()).await.accepted();
    for envelope in world.published() {
        let (Command::SendOrder { declared, .. }
        | Command::UpdateOrder { declared, .. }
        | Command::CancelOrder { declared, .. }) = envelope.command
        else {
            panic!("{envelope:?}")
        };
        assert_eq!(declared, None);
    }
    until("each is told", async || {
        let told = world.told(&integration, "S1").await;
        let is_told = |part: &&str| told.iter().any(|text| text.contains(part) && text.ends_with("was left out"));
        ["«null»", "«-5»", "«None»", "sum is no declared value"].iter().all(is_told)
    })
    .await;
}

#[tokio::test]
async fn a_key_that_was_pasted_with_its_line_end_is_known() {
    let world = World::new().await;
    let (integration, key) = world.integration("one").await;
    let (start, end) = key.split_at(10);
    for key in [
        format!("{key}%0A"),
        format!("%EF%BB%BF{key}%0D%0A"),
        format!("+{key}%C2%A0"),
        format!("{key}%E2%80%8B"),
        format!("{start}%E2%80%8B{end}"),
        format!("{start}%0A{end}"),
    ] {
        world.send(&format!("id=1&key={key}")).await.accepted();
        world.post(&format!("{SEND}?id=1&key={key}"), "", b"").await.accepted();
        world.cancel(&format!("id=1&incity%20={key}")).await.accepted();
        let Some(Command::CancelOrder { candidates, .. }) = world.published().pop().map(|e| e.command) else {
            panic!()
        };
        assert_eq!((candidates[0].delivery_type.as_str(), candidates[0].integration), ("incity", integration.id));
    }
    world.post(SEND, JSON, format!(r#"{{"id ":"1\r\n","key\n":"{key}\u200b"}}"#).as_bytes()).await.accepted();
    world.send(&format!("id=1&key={start}+x+{end}")).await.error(403);
    // What RetailCRM sends with its callbacks was pasted by nobody, but may have been typed into its settings.
    let client = integration.secrets.client_id.expose();
    let page = "/retailcrm/account";
    assert_eq!(world.post(page, FORM, format!("clientId={client}%0A").as_bytes()).await.status, 303);
}

#[tokio::test]
async fn a_trace_context_is_carried_on_or_begun() {
    let (world, key) = World::with_key().await;
    let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = format!("{FORM}traceparent: {given}\r\n");
    world.post(SEND, &headers, format!("id=1&key={key}").as_bytes()).await.accepted();
    let headers = format!("{FORM}traceparent: {}\r\n", "x".repeat(4000));
    world.post(SEND, &headers, format!("id=2&key={key}").as_bytes()).await.accepted();
    let published = world.published();
    assert_eq!(published[0].traceparent.as_deref(), Some(given));
    assert!(published[1].traceparent.as_deref().is_some_and(|text| text.len() == 55 && text != given));
}

#[tokio::test]
async fn strangers_are_held_back_and_known_senders_never_are() {
    let (world, key) = World::with_key().await;
    let mut stream = TcpStream::connect(world.address).await.expect("connects");
    let mut ask = async |body: &str| {
        stream.write_all(send_bytes(body).as_bytes()).await.expect("sent");
        let mut buffer = vec![0; 4096];
        let read = stream.read(&mut buffer).await.expect("read");
        String::from_utf8_lossy(&buffer[..read]).into_owned()
    };
    let mut refused = 0;
    while ask("id=1&key=nobody").await.starts_with("HTTP/1.1 403") {
        refused += 1;
        assert!(refused < 20_000, "a stranger is never held back");
    }
    let limited = ask("id=1&key=nobody").await;
    assert!(limited.starts_with("HTTP/1.1 429") && limited.contains(r#""success":false"#), "{limited}");
    for n in 0..50 {
        let answer = ask(&format!("id={n}&key={key}")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let answer = ask(&format!("id=&key={key}")).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "a known sender's mistake is explained: {answer}");
}

#[tokio::test]
async fn an_ordinary_client_keeps_its_connection() {
    let (world, key) = World::with_key().await;
    let client = simulators::http().build().expect("a client");
    for id in ["1", "Заказ №2", "a&b=c"] {
        let form = [("id", id), ("sum", "10"), ("key", key.as_str())];
        let answer = client.post(format!("http://{}{SEND}", world.address)).form(&form).send().await.expect("sent");
        assert_eq!(answer.status(), 200);
    }
    let numbers: Vec<String> = world.published().iter().map(|e| e.key.clone()).collect();
    assert_eq!(numbers, ["1", "Заказ №2", "a&b=c"]);
}

#[tokio::test]
async fn a_stop_finishes_what_has_begun_and_takes_no_more() {
    let (mut world, key) = World::with_key().await;
    world.publisher.set(Mode::Slow);
    let before = world.publisher.begun.load(Ordering::SeqCst);
    let (address, request) = (world.address, send_bytes(&format!("id=last&key={key}")));
    let idle = TcpStream::connect(address).await.expect("connects");
    let asked = tokio::spawn(async move {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        answer
    });
    until("it is being published", async || world.publisher.begun.load(Ordering::SeqCst) > before).await;
    world.ctx.health.stopping();
    world.ctx.stop.cancel();
    let answer = asked.await.expect("answered");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let server = world.server.take().expect("running");
    tokio::time::timeout(Duration::from_secs(5), server).await.expect("in time").expect("no panic");
    assert!(TcpStream::connect(address).await.is_err(), "nothing is accepted any more");
    drop(idle);
}

#[tokio::test]
async fn answers_are_counted_by_kind_and_result() {
    let (world, key) = World::with_key().await;
    world.update(&format!("id=1&key={key}")).await.accepted();
    world.cancel("id=1").await.error(400);
    world.post("/nowhere", FORM, b"").await.error(404);
    let text = world.ctx.metrics.render();
    for line in [
        r#"bridge_triggers_total{kind="UpdateOrder",result="accepted"} 1"#,
        r#"bridge_triggers_total{kind="CancelOrder",result="bad_request"} 1"#,
        r#"bridge_triggers_total{kind="other",result="not_found"} 1"#,
    ] {
        assert!(text.contains(line), "{line} is missing");
    }
    assert!(!text.contains("bridge_trigger_seconds_count 0\n"));
}

#[tokio::test]
async fn a_sender_that_trickles_is_not_waited_for() {
    let (world, key) = World::with_key().await;
    let body = format!("id=1&key={key}");
    let head = format!("POST {SEND} HTTP/1.1\r\nHost: b\r\n{FORM}Content-Length: {}\r\n\r\n", body.len());
    let began = Instant::now();
    assert!(is_russian(&world.raw(format!("{head}id=1").as_bytes()).await.error(408)));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());

    // One byte at a time would keep an idle limit from ever striking.
    let mut stream = TcpStream::connect(world.address).await.expect("connects");
    let (mut reading, mut writing) = stream.split();
    let trickle = async {
        for byte in head.as_bytes().iter().cycle() {
            if *byte != b'\r' && *byte != b'\n' && writing.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let closed = async {
        let mut answer = Vec::new();
        let _ = reading.read_to_end(&mut answer).await;
    };
    let began = Instant::now();
    tokio::select! { () = trickle => {}, () = closed => {} }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(world.published(), []);
}
