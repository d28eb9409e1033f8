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

async fn breaker(world: &World) -> String {
    let metrics = world.metrics("bridge").await;
    let line = metrics.lines().find_map(|line| line.strip_prefix("bridge_breaker_state{target=\"measoft\"} "));
    line.expect("the metric is there").to_owned()
}

async fn breaker_is(world: &World, state: &str) {
    eventually(&format!("the breaker's metric is {state}"), LONG, || async {
        let now = breaker(world).await;
        if now == state { Ok(()) } else { Err(now) }
    })
    .await;
}

/// Waits until so many requests met the fault; the faults stay.
async fn met(world: &World, count: usize) -> Vec<RequestRecord> {
    eventually(&format!("{count} requests met the fault"), LONG, || async {
        let mut faulty = world.measoft.requests();
        faulty.retain(|request| request.fault.is_some() && request.finished);
        if faulty.len() >= count { Ok(faulty) } else { Err(format!("{} did", faulty.len())) }
    })
    .await
}

/// Time from each answer to the request after it.
fn pauses(requests: &[RequestRecord]) -> Vec<SignedDuration> {
    let ended = |request: &RequestRecord| -> Timestamp { request.finished_at.expect("finished") };
    requests.windows(2).map(|pair| pair[1].at.duration_since(ended(&pair[0]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_every_kind_is_sat_out_and_every_order_placed_once() {
    let world =
        World::embedded("courier-outage").set("BREAKER_OPEN_S", "0.05").set("SYNC_INTERVAL_S", "3600").start().await;
    world.settled("the first slots are done").await;
    let orders = world.place_many(ORDERS);
    world.measoft.stop().await;
    let sends: Vec<_> = orders.iter().map(|order| (TriggerKind::Send, order)).collect();
    all_accepted(&world.storm(&sends, 16).await);
    breaker_is(&world, "2").await;

    world.measoft.reset_counters();
    world.measoft.set_faults(vec![FaultRule::new(FaultAction::Html { status: 200, act: false })]);
    world.measoft.restart().await.expect("the same port");
    let html = met(&world, 3).await;
    let all = pauses(&html);
    for (n, pause) in all.iter().enumerate() {
        // The outage before has opened it: what is answered now are single probes, each
        // after twice the pause.
        let least = SignedDuration::from_millis(FIRST_PAUSE_MS << (n + 1));
        assert!(*pause >= least, "request {} came {pause:?} after the page before: {all:?}", n + 2);
    }
    let rule = FaultAction::Status { status: 429, retry_after: Some(ASKED_S.unsigned_abs()), act: false };
    world.measoft.reset_counters();
    world.measoft.set_faults(vec![FaultRule::new(rule)]);
    let patience = met(&world, 2).await;
    let all = pauses(&patience);
    assert!(all.iter().all(|pause| *pause >= SignedDuration::from_secs(ASKED_S)), "asked for {ASKED_S} s: {all:?}");
    breaker_is(&world, "2").await;
    assert!(world.measoft.orders().is_empty(), "nothing was acted on");

    world.measoft.clear_faults();
    world.settled("all orders are placed").await;
    each_once(&world, &orders);
    breaker_is(&world, "0").await;
    assert!(world.dead_letters().await.is_empty(), "no operator is needed");
    world.finish().await;
}
