//! A first poll that answers a whole cabinet's past.

use harness::{LONG, Placed, Role, World, eventually};
use simulators::retailcrm::TriggerKind;

use crate::load::{all_accepted, long};

/// 100,000 with `E2E_LONG=1`: a debug build takes minutes for them.
fn past_orders() -> usize {
    if long() { 100_000 } else { 40_000 }
}

/// Less than this, whatever the size of the answer.
const MEMORY_KIB: u64 = 150 * 1024;
const ORDERS: usize = 40;

async fn a_long_first_poll(world: World, worker: &str) {
    let cabinet = world.shops[0].cabinet.clone();
    let stored = "SELECT COUNT(*) AS n FROM status_rows WHERE state = 'foreign'";
    let rows = || async { world.ledger.count(stored).await.map_err(|error| format!("{error:#}")) };
    assert!(world.measoft.seed_orders(&cabinet, past_orders(), "OLD-"));
    assert_eq!(world.bridge(&["sync", "1"]).await.code, 0);
    eventually("rows are stored", LONG, || async {
        match rows().await? {
            0 => Err("none".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
    let orders: Vec<Placed> = world.place_many(ORDERS);
    let sends: Vec<_> = orders.iter().map(|order| (TriggerKind::Send, order)).collect();
    all_accepted(&world.storm(&sends, 8).await);
    world.served("the triggers are served").await;
    let meanwhile = rows().await.expect("read");
    let effects = world.measoft.effects();
    for order in &orders {
        assert_eq!(effects[&world.orderno(order)].creates, 1, "{}", order.number);
    }
    assert!(
        meanwhile < i64::try_from(past_orders()).expect("fits"),
        "the poll was over before the triggers were served: they show nothing"
    );
    eventually("the whole answer is stored", LONG * 10, || async {
        let stored = rows().await?;
        if stored >= i64::try_from(past_orders()).expect("fits") { Ok(()) } else { Err(format!("{stored} rows")) }
    })
    .await;
    world.settled("the sync is done").await;
    let peak = world.peak_memory_kib(worker);
    assert!(peak < MEMORY_KIB, "{worker} held {peak} KiB at its peak");
    // Nothing of the ledger's: the story's end compares the rest.
    for n in 1..=past_orders() {
        assert!(world.measoft.delete(&format!("OLD-{n}")));
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_first_poll_on_sqlite_takes_little_memory_and_holds_no_trigger_up() {
    a_long_first_poll(World::embedded("backlog-sqlite").start().await, "bridge").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_first_poll_on_postgresql_takes_little_memory_and_holds_no_trigger_up() {
    let world = World::scaled("backlog-postgresql").with(Role::Worker, 1).start().await;
    a_long_first_poll(world, "worker-1").await;
}
