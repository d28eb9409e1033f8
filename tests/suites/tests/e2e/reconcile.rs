//! What neither a trigger nor the stream brought is found by comparing both sides.

use harness::{Collect, LONG, Role, World, eventually};
use simulators::measoft::CommitMode;
use simulators::retailcrm::TriggerKind;

use crate::load::{all_accepted, each_once};

/// Enough for the 5 % to be several at each shop.
const ORDERS: usize = 200;

/// Of the journal of all integrations.
async fn repairs(world: &World) -> i64 {
    let said = "SELECT COUNT(*) AS n FROM journal WHERE what = 'decision' AND outcome = 'repair'";
    world.ledger.count(said).await.expect("read")
}

async fn counted(world: &World, what: &str) -> u64 {
    let name = format!("bridge_repairs_total{{what=\"{what}\"}} ");
    let mut sum = 0;
    for worker in world.process_names().iter().filter(|name| name.starts_with("worker")) {
        let metrics = world.metrics(worker).await;
        sum += metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok()).unwrap_or(0);
    }
    sum
}

/// Walks through RetailCRM's history that have ended, of all workers.
fn rounds(world: &World) -> usize {
    let ended = |line: &&str| line.contains("attempt.finished") && line.contains(r#"command="Reconcile""#);
    world
        .process_names()
        .iter()
        .filter(|name| name.starts_with("worker"))
        .map(|name| world.log(name).lines().filter(ended).filter(|line| !line.contains("superseded")).count())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trigger_in_twenty_dropped_before_ingress_is_made_good_within_two_rounds() {
    let world = World::scaled("dropped-triggers")
        .shops(1)
        .setting("send_statuses=SentMeaSoft")
        // The history is walked every third.
        .set("SYNC_INTERVAL_S", "4")
        .later("scheduler-1")
        .start()
        .await;
    let orders = world.place_many(ORDERS);
    let dropped = |n: usize| n % 20 == 7;
    let sends: Vec<_> =
        orders.iter().enumerate().filter(|(n, _)| !dropped(*n)).map(|(_, order)| (TriggerKind::Send, order)).collect();
    let missing = orders.len() - sends.len();
    assert_eq!(missing, ORDERS / 20);
    all_accepted(&world.storm(&sends, 32).await);
    // A walk looks at orders that are seconds old, which firing may take on a slow machine.
    world.served("the triggers that came").await;
    world.start("scheduler-1").await;
    let before = rounds(&world);
    eventually("every order is placed", LONG, || async {
        let there = world.measoft.orders().len();
        if there >= orders.len() { Ok(()) } else { Err(format!("{there} are")) }
    })
    .await;
    // One walk may have begun before the last order was old enough to be looked at.
    let walked = rounds(&world) - before;
    assert!(walked <= 2, "{walked} rounds");
    world.served("everything is told").await;
    each_once(&world, &orders);
    // The daily comparison, which begins with the stream's first sync, may find statuses before it.
    let sent = "SELECT COUNT(*) AS n FROM journal WHERE outcome = 'repair' AND text LIKE '%an order to be sent%'";
    let sent = world.ledger.count(sent).await.expect("read");
    assert_eq!(sent, i64::try_from(missing).expect("fits"), "each repair is in the journal");
    assert_eq!(counted(&world, "send").await, missing as u64, "and in the metric");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_between_fetch_and_commit_that_measoft_swallows_is_found() {
    let world = World::scaled("swallowed").with(Role::Worker, 1).later("scheduler-1").shops(1).start().await;
    world.measoft.configure(|options| options.commit = CommitMode::StampNow);
    let order = world.place(0, 1, Collect::Paid);
    world.fires(TriggerKind::Send, &order).await;
    world.settled("it is placed").await;
    let orderno = world.orderno(&order);
    let told = || -> Vec<String> {
        let all = world.crm.tracking(world.shops[0].account, order.id);
        all.into_iter().map(|entry| entry.code).filter(|code| code != "NEW" && code != "AWAITING_SYNC").collect()
    };

    let mut hold = world.hold("status_batches", "UPDATE WHEN NEW.state = 'sealed'").await;
    assert!(world.measoft.set_status(&orderno, "ACCEPTED", world.measoft.now()));
    assert_eq!(world.bridge(&["sync"]).await.code, 0);
    hold.reached().await;
    // Fetched, and not committed yet.
    assert!(world.measoft.set_status(&orderno, "DELIVERY", world.measoft.now()));
    hold.let_go().await;
    world.settled("the sync is done").await;
    assert_eq!(world.bridge(&["sync"]).await.code, 0);
    world.settled("another sync is done").await;
    assert_eq!(told(), ["ACCEPTED"], "the commit has swallowed the later one");

    // The daily comparison.
    world.start("scheduler-1").await;
    eventually("the swallowed status is told", LONG, || async {
        if told() == ["ACCEPTED", "DELIVERY"] { Ok(()) } else { Err(format!("{:?}", told())) }
    })
    .await;
    world.settled("nothing is under way").await;
    assert_eq!(repairs(&world).await, 1);
    world.finish().await;
}
