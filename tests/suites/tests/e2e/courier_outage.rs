//! MeaSoft goes, answers nonsense, asks for patience, and is back: nobody has to do
//! anything, and it is left alone meanwhile.

use harness::{LONG, World, eventually};
use jiff::SignedDuration;
use simulators::measoft::{FaultAction, FaultRule};
use simulators::retailcrm::TriggerKind;

use crate::load::{all_accepted, each_once};

const ORDERS: usize = 60;
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
    world.measoft.set_faults(vec![FaultRule::new(page).first(PAGES), FaultRule::new(plea).op("neworder").first(1)]);
    world.measoft.restart().await.expect("the same port");
    world.settled("all orders are placed").await;
    each_once(&world, &orders);
    for target in ["account", "measoft"] {
        breaker_is(&world, target, "0").await;
    }
    assert!(world.dead_letters().await.is_empty(), "no operator is needed");

    let requests = world.measoft.requests();
    // A plea holds the account that was asked, nobody else of its address.
    let at = requests.iter().position(|request| request.http_status == 429).expect("the plea was heard");
    let asked_at = requests[at].finished_at.expect("finished");
    let of_account = requests.iter().filter(|request| request.account == requests[at].account);
    // What was on its way already arrives within moments.
    let held = SignedDuration::from_millis(500)..SignedDuration::from_secs(ASKED_S);
    let within: Vec<_> = of_account.filter(|r| held.contains(&r.at.duration_since(asked_at))).collect();
    assert!(within.is_empty(), "asked for {ASKED_S} s at {asked_at}: {within:?}");
    world.finish().await;
}
