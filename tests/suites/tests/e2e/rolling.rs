//! Restarts and replicas under way.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use harness::{LONG, Role, World, eventually};
use simulators::retailcrm::TriggerKind;

use crate::load::{all_accepted, each_once, long};

const PER_SECOND: usize = 100;

/// Ten seconds; a minute with `E2E_LONG=1`.
fn seconds() -> usize {
    if long() { 60 } else { 10 }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_loses_nothing_doubles_nothing_and_shows_nowhere() {
    let world = World::scaled("rolling").with(Role::Worker, 3).start().await;
    let orders = world.place_many(PER_SECOND * seconds());
    let begun = tokio::time::Instant::now();
    let firing = async {
        // At their times, whether or not the earlier ones have been answered.
        futures_util::stream::iter(orders.iter().enumerate())
            .map(|(n, order)| {
                let world = &world;
                async move {
                    tokio::time::sleep_until(begun + Duration::from_secs(1) * u32::try_from(n).unwrap_or(0) / 100)
                        .await;
                    world
                        .fire(TriggerKind::Send, order.shop, &order.number)
                        .await
                        .expect("every trigger gets an answer")
                }
            })
            .buffer_unordered(orders.len())
            .collect::<Vec<_>>()
            .await
    };
    let end = Instant::now() + Duration::from_secs(seconds() as u64);
    let rolling = async {
        let mut restarts = 0;
        // On a busy machine three restarts take longer than the triggers.
        while Instant::now() < end || restarts < 3 {
            let name = format!("worker-{}", restarts % 3 + 1);
            world.terminate(&name).await;
            world.start(&name).await;
            restarts += 1;
        }
    };
    let (answers, ()) = tokio::join!(firing, rolling);
    all_accepted(&answers);
    world.settled("all orders are placed").await;
    each_once(&world, &orders);
    world.finish().await;
}

/// Slots of the status sync are counted: each is one command, for one integration.
#[tokio::test(flavor = "multi_thread")]
async fn two_schedulers_fire_each_slot_once_and_one_carries_on_alone() {
    let world = World::scaled("schedulers").with(Role::Scheduler, 2).set("SYNC_INTERVAL_S", "0.5").start().await;
    let slots = || async {
        let rows = world.ledger.rows("SELECT slot FROM slots WHERE job LIKE 'sync_statuses:%' ORDER BY slot").await;
        rows.expect("read").iter().filter_map(|row| row["slot"].as_i64()).collect::<Vec<_>>()
    };
    let fired = |count: usize| async move {
        eventually(&format!("{count} slots have fired"), LONG, || async {
            let slots = slots().await;
            if slots.len() >= count { Ok(slots) } else { Err(format!("{slots:?}")) }
        })
        .await
    };
    let done = || -> usize {
        let of = |name: &str| {
            let log = world.log(name);
            let carried_out =
                |line: &&str| line.contains(r#"command="SyncStatuses" attempt=0"#) && line.contains("attempt.finished");
            log.lines().filter(carried_out).count()
        };
        of("worker-1") + of("worker-2")
    };
    let carried_out = |expected: usize| {
        eventually("each slot's commands are carried out", LONG, move || async move {
            let done = done();
            if done >= expected { Ok(()) } else { Err(format!("{done} of {expected}")) }
        })
    };
    // One that is killed between winning a slot and publishing leaves it to the next slot.
    carried_out(fired(4).await.len()).await;
    world.kill("scheduler-1");
    let before = slots().await.len();
    fired(before + 4).await;
    world.terminate("scheduler-2").await;
    world.settled("the last slot's commands are done").await;
    let slots = slots().await;
    carried_out(slots.len()).await;
    world.settled("nothing is under way").await;
    assert_eq!(done(), slots.len(), "one command for each slot");
    world.finish().await;
}
