//! MeaSoft goes, answers nonsense, asks for patience, and is back: nobody has to do
//! anything, and it is left alone meanwhile.

use jiff::{SignedDuration, Timestamp};
use simulators::harness::{LONG, World, eventually};
use simulators::measoft::{FaultAction, FaultRule, RequestRecord};
use simulators::retailcrm::TriggerKind;

use crate::load::{all_accepted, each_once};

const ORDERS: usize = 60;
/// The first pause of a breaker; each that follows a failed probe is twice the one before.
const FIRST_PAUSE_MS: i64 = 50;
const ASKED_S: i64 = 2;
/// Bad answers in a row that open it.
const OPENS_AFTER: u64 = 5;
const PAGES: u64 = 2;

async fn breaker(world: &World, target: &str) -> String {
    let metrics = world.metrics("bridge").await;
    let start = format!("bridge_breaker_state{{target=\"{target}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&start));
    line.expect("the metric is there").to_owned()
}

async fn breaker_is(world: &World, target: &str, state: &str) {
    eventually(&format!("the metric of the breaker of the {target} is {state}"), LONG, || async {
        let now = breaker(world, target).await;
        if now == state { Ok(()) } else { Err(now) }
    })
    .await;
}

/// Requests that found nobody listening.
async fn refused(world: &World) -> u64 {
    let metrics = world.metrics("bridge").await;
    let counts = metrics.lines().filter(|line| line.starts_with("bridge_measoft_requests_total{"));
    let refused = counts.filter(|line| line.contains("result=\"transient\""));
    refused.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// Time from each answer to the request after it.
fn pauses(requests: &[RequestRecord]) -> Vec<SignedDuration> {
    let ended = |request: &RequestRecord| -> Timestamp { request.finished_at.expect("finished") };
    requests.windows(2).map(|pair| pair[1].at.duration_since(ended(&pair[0]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_every_kind_is_sat_out_and_every_order_placed_once() {
    let world = World::embedded("courier-outage")
        .alone()
        .set("BREAKER_OPEN_S", "0.05")
        .set("SYNC_INTERVAL_S", "3600")
        .start()
        .await;
    world.settled("the first slots are done").await;
    let orders = world.place_many(ORDERS);
    world.measoft.stop().await;
    world.measoft.reset_counters();
    let sends: Vec<_> = orders.iter().map(|order| (TriggerKind::Send, order)).collect();
    all_accepted(&world.storm(&sends, 16).await);
    eventually("the breaker has had enough", LONG, || async {
        match refused(&world).await {
            count if count > OPENS_AFTER => Ok(()),
            count => Err(format!("{count} requests were refused")),
        }
    })
    .await;

    // Back, with pages instead of answers, and then with a plea.
    let page = FaultAction::Html { status: 200, act: false };
    let plea = FaultAction::Status { status: 429, retry_after: Some(ASKED_S.unsigned_abs()), act: false };
    world.measoft.set_faults(vec![FaultRule::new(page).first(PAGES), FaultRule::new(plea).skip(PAGES).first(1)]);
    world.measoft.restart().await.expect("the same port");
    world.settled("all orders are placed").await;
    each_once(&world, &orders);
    for target in ["account", "measoft"] {
        breaker_is(&world, target, "0").await;
    }
    assert!(world.dead_letters().await.is_empty(), "no operator is needed");

    let requests = world.measoft.requests();
    let bad = usize::try_from(PAGES).expect("small");
    for (n, pause) in pauses(&requests[..=bad]).iter().enumerate() {
        // Open since the outage, so each of these was a probe, after twice the pause.
        let least = SignedDuration::from_millis(FIRST_PAUSE_MS << (n + 1));
        assert!(*pause >= least, "request {} came {pause:?} after the answer before: {requests:?}", n + 2);
    }
    // A plea holds the account that was asked, nobody else of its address.
    let asked = &requests[bad];
    let again = requests[bad + 1..].iter().find(|request| request.account == asked.account);
    let pause = pauses(&[asked.clone(), again.expect("it is asked again").clone()])[0];
    assert!(pause >= SignedDuration::from_secs(ASKED_S), "asked for {ASKED_S} s, came after {pause:?}");
    world.finish().await;
}
