//! MeaSoft's limits under a great deal of work, with their windows made shorter at both
//! ends. The simulator blocks whoever crosses one, for hours.
//!
//! That a single order waits for nobody needs no story: an order is taken as soon as it is
//! due, together with whatever else is due then, and no pause is made to let more come
//! (`Turns` in `worker/src/dispatch/mod.rs`).

use harness::{LONG, Placed, World, eventually};
use simulators::measoft::{Enforcement, Limits};
use simulators::retailcrm::TriggerKind;

use crate::load::{all_accepted, each_once, long};

/// A minute lasts three seconds.
const SCALE: u32 = 20;

/// 2,000 with `E2E_LONG=1`.
fn orders_in_all() -> usize {
    if long() { 2000 } else { 600 }
}

/// Limits that are a `part` of the documented ones. Answers how often the budget had an
/// order wait.
async fn many_waiting_orders(name: &str, part: u64) -> u64 {
    let documented = Limits::default();
    let limits = Limits {
        ip_per_minute: documented.ip_per_minute / part,
        ip_per_20_minutes: documented.ip_per_20_minutes / part,
        account_per_hour: documented.account_per_hour / part,
        ..documented
    };
    let plan = World::scaled(name)
        .shops(1)
        .time_scale(SCALE)
        .set("MEASOFT_PER_MINUTE", &limits.ip_per_minute.to_string())
        .set("MEASOFT_PER_20MIN", &limits.ip_per_20_minutes.to_string())
        .set("MEASOFT_ACCOUNT_PER_HOUR", &limits.account_per_hour.to_string())
        // As long as ever by the machine's clock: a lease that a slow machine outlives is no limit.
        .set("LEASE_S", &(90 * SCALE).to_string())
        .later("worker-1")
        .later("worker-2");
    // Where every request counts, a poll that waits for the budget would outlive the story.
    let plan = if part > 1 { plan.later("scheduler-1") } else { plan };
    let world = plan.start().await;
    world.measoft.configure(|options| {
        options.limits = limits;
        options.enforcement = Enforcement::TooManyRequests;
    });
    let orders: Vec<Placed> = world.place_many(orders_in_all());
    let sends: Vec<_> = orders.iter().map(|order| (TriggerKind::Send, order)).collect();
    all_accepted(&world.storm(&sends, 64).await);
    world.launch("worker-1");
    world.launch("worker-2");
    eventually("all orders are placed", LONG * 2, || async {
        let there = world.measoft.orders().len();
        if there >= orders.len() { Ok(()) } else { Err(format!("{there} are")) }
    })
    .await;
    world.served("everything is told").await;
    each_once(&world, &orders);
    let report = world.measoft.limits();
    assert!(report.exceeded.is_empty(), "crossed: {report:?}");
    assert_eq!(report.turned_away, 0);
    let requests = world.measoft.stats().total_requests;
    let mut by_op = std::collections::BTreeMap::<String, usize>::new();
    for request in world.measoft.requests() {
        *by_op.entry(request.op.clone()).or_default() += 1;
    }
    assert!(requests * 5 <= orders.len(), "{requests} requests for {} orders: {by_op:?}", orders.len());
    let mut held_up = 0;
    for worker in ["worker-1", "worker-2"] {
        let metrics = world.metrics(worker).await;
        let waits = "bridge_retries_total{kind=\"SendOrder\",why=\"budget\"} ";
        held_up += metrics.lines().find_map(|line| line.strip_prefix(waits)?.parse::<u64>().ok()).unwrap_or(0);
    }
    world.finish().await;
    held_up
}

#[tokio::test(flavor = "multi_thread")]
async fn many_waiting_orders_are_placed_within_the_documented_limits() {
    let held_up = many_waiting_orders("limits", 1).await;
    assert_eq!(held_up, 0, "these do not need the whole budget");
}

/// So narrow that the requests have to be spread over several windows.
#[tokio::test(flavor = "multi_thread")]
async fn many_waiting_orders_are_placed_within_limits_that_hold_them_up() {
    let held_up = many_waiting_orders("limits-narrow", 30).await;
    assert!(held_up > 0, "the limits were not narrow enough to show anything");
}
