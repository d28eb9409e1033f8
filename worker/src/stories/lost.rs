//! What the database lost when another server took over or a backup was restored, told with both
//! simulators.

use std::time::Duration;

use jiff::ToSpan as _;
use shared::domain::{CrmOrderId, DeliveryState as S, OrderNumber};
use shared::message::{Candidate, Command, RECONCILE_HISTORY};
use shared::store::intents::RequestKind;
use shared::store::jobs::NewJob;
use shared::store::promotion::Window;
use simulators::retailcrm::an_order;

use crate::testing::World;

const ORDERS: [&str; 3] = ["deliveries", "intents", "order_intents"];

/// Everything that the ledger knew of orders is gone.
async fn taken_over(world: &World) {
    for table in ORDERS {
        world.store().db.exec(format!("DELETE FROM {table}"), vec![]).await.expect("lost");
    }
    let until = world.store().clock.now();
    world.store().note_takeover(Window { from: until - 10.seconds(), until }).await.expect("noted");
}

/// What the standby has seen: the rest of what the ledger knows of orders will be lost.
async fn replicated(world: &World) {
    for table in ORDERS {
        let db = &world.store().db;
        db.exec(format!("CREATE TABLE seen_{table} AS SELECT * FROM {table}"), vec![]).await.expect("kept");
    }
}

/// The standby takes over.
async fn behind(world: &World) {
    taken_over(world).await;
    for table in ORDERS {
        let db = &world.store().db;
        db.exec(format!("INSERT INTO {table} SELECT * FROM seen_{table}"), vec![]).await.expect("as it was");
    }
}

/// The walk through what was lost.
async fn walked(world: &World) {
    // What changed in the last seconds is left to the next walk.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let mut envelope = world.command(Command::Reconcile {});
    envelope.key = RECONCILE_HISTORY.to_owned();
    world.job_by(&world.tools, &envelope).await;
}

/// The walk, and all that it has done.
async fn reconciled(world: &World) {
    walked(world).await;
    world.run_published().await;
    settle(world).await;
}

/// Numbers under which the courier still has something to deliver.
fn live(world: &World) -> Vec<String> {
    let orders = world.courier.orders();
    orders.into_iter().filter(|order| !order.deleted && order.status == "NEW").map(|order| order.orderno).collect()
}

async fn settle(world: &World) {
    world
        .until("nothing waits", async || {
            world.work(world.id).await;
            world.store().backlog_of(world.id).await.expect("read").0 == 0
        })
        .await;
}

#[tokio::test]
async fn the_number_of_a_lost_send_goes_to_no_other_order_and_its_parcel_is_found() {
    let world = World::with(|settings| settings.send_statuses = vec!["SentMeaSoft".to_owned()]).await;
    let second = another_of_the_number(&world, "new");
    let first = world.place("7001").await;
    world.send(world.id, "7001").await;
    settle(&world).await;
    assert_eq!(world.delivery(first).await.orderno.as_str(), "7001");
    taken_over(&world).await;
    // Now the ledger would give the number to the other, which comes first.
    world.crm.edit(world.account, second, |order| order.set_status("SentMeaSoft"));
    world.send(world.id, "7001").await;
    settle(&world).await;
    let (first, second) = (world.delivery(first).await, world.delivery(second).await);
    assert_eq!((first.orderno.as_str(), first.state), ("7001", S::Created));
    assert_eq!((second.orderno.as_str(), second.state), (format!("R{}", second.crm_order).as_str(), S::Created));
    assert_eq!(world.courier.orders().len(), 2, "one parcel each");
    assert_eq!(world.dead().await.len(), 0);
}

#[tokio::test]
async fn a_lost_send_under_a_number_that_nobody_would_think_of_is_found_by_its_goods() {
    let world = World::new().await;
    let order = world.place("7001").await;
    world.send(world.id, "7001").await;
    settle(&world).await;
    taken_over(&world).await;
    world.crm.edit(world.account, order, |order| order.set_number("9005"));
    world.send(world.id, "9005").await;
    settle(&world).await;
    let found = world.delivery(order).await;
    assert_eq!((found.orderno.as_str(), found.state), ("7001", S::Created));
    assert_eq!(world.courier.orders().len(), 1);
}

#[tokio::test]
async fn what_was_sent_after_a_backup_is_found_when_it_was_restored() {
    let world = World::new().await;
    let order = world.place("7001").await;
    let made_at = world.store().clock.now();
    world.send(world.id, "7001").await;
    settle(&world).await;
    for table in ORDERS {
        world.store().db.exec(format!("DELETE FROM {table}"), vec![]).await.expect("not in the backup");
    }
    let mut tx = world.store().db.begin().await.expect("begun");
    tx.note_restored(made_at, world.store().clock.now()).await.expect("marked");
    tx.commit().await.expect("committed");
    // Nothing has looked for the mark before the first send.
    world.crm.edit(world.account, order, |order| order.set_number("9005"));
    world.send(world.id, "9005").await;
    settle(&world).await;
    let found = world.delivery(order).await;
    assert_eq!((found.orderno.as_str(), found.state), ("7001", S::Created));
    assert_eq!(world.courier.orders().len(), 1);
    let window = world.store().last_takeover().await.expect("read").expect("said");
    assert_eq!(window.from.as_millisecond(), made_at.as_millisecond());
}

/// A second order under the number of the first.
fn another_of_the_number(world: &World, status: &str) -> i64 {
    let draft = an_order().number("7001").delivery_type("incity").status(status).receiver("Яна", "+79160009988");
    world.crm.add_order(world.account, draft)
}

/// A cancel that names its order, as the reconcile asks for one.
async fn cancelled_by_id(world: &World, order: i64, candidate: Candidate) {
    let number = OrderNumber::parse("7001").expect("a number");
    let command = world.command(Command::CancelOrder { number, declared: None, candidates: vec![candidate] });
    let now = world.store().clock.now();
    world.store().enqueue(&[NewJob::of(&command.of_order(CrmOrderId(order)), now)]).await.expect("asked");
    world.run_published().await;
    settle(world).await;
}

/// A manager moves the order to another courier, which cancels it here.
async fn leaves(world: &World, order: i64) {
    world.crm.edit(world.account, order, |order| order.set_delivery_type("russian-post"));
    world.request(world.id, "7001", RequestKind::Cancel).await;
    settle(world).await;
}

async fn returns(world: &World, order: i64) {
    world.crm.edit(world.account, order, |order| order.set_delivery_type("incity"));
    world.send(world.id, "7001").await;
    settle(world).await;
}

async fn an_order_to_send() -> (World, i64) {
    let world = World::with(|settings| settings.send_statuses = vec!["SentMeaSoft".to_owned()]).await;
    let order = world.place("7001").await;
    world.crm.edit(world.account, order, |order| order.set_status("SentMeaSoft"));
    (world, order)
}

async fn a_sent_order() -> (World, i64) {
    let (world, order) = an_order_to_send().await;
    world.send(world.id, "7001").await;
    settle(&world).await;
    (world, order)
}

#[tokio::test]
async fn a_cancel_that_was_lost_is_noticed_before_the_order_is_called_placed() {
    let (world, order) = a_sent_order().await;
    replicated(&world).await;
    leaves(&world, order).await;
    behind(&world).await;
    // The send that came after it arrives, or the reconcile finds it.
    world.crm.edit(world.account, order, |order| order.set_delivery_type("incity"));
    reconciled(&world).await;
    let found = world.delivery(order).await;
    assert_eq!((live(&world), found.state), (vec![found.orderno.to_string()], S::Created));
}

#[tokio::test]
async fn what_was_placed_anew_and_lost_is_found_under_its_new_number() {
    let (world, order) = a_sent_order().await;
    leaves(&world, order).await;
    replicated(&world).await;
    returns(&world, order).await;
    let there = live(&world);
    assert_eq!(there.len(), 1);
    behind(&world).await;
    reconciled(&world).await;
    let found = world.delivery(order).await;
    assert_eq!((live(&world), found.orderno.to_string(), found.state), (there.clone(), there[0].clone(), S::Created));
}

#[tokio::test]
async fn what_was_sent_and_lost_is_cancelled_when_the_order_has_left() {
    let (world, order) = a_sent_order().await;
    taken_over(&world).await;
    world.crm.edit(world.account, order, |order| order.set_delivery_type("russian-post"));
    reconciled(&world).await;
    assert_eq!(live(&world), Vec::<String>::new());
    assert_eq!(world.delivery(order).await.state, S::Cancelled);
}

#[tokio::test]
async fn a_cancel_finds_what_was_placed_anew_and_lost() {
    let (world, order) = a_sent_order().await;
    leaves(&world, order).await;
    replicated(&world).await;
    returns(&world, order).await;
    behind(&world).await;
    leaves(&world, order).await;
    assert_eq!(live(&world), Vec::<String>::new());
}

#[tokio::test]
async fn a_status_that_was_acknowledged_and_lost_is_told_all_the_same() {
    let (world, order) = a_sent_order().await;
    replicated(&world).await;
    world.courier.set_status("7001", "COMPLETE", world.courier.now());
    world.job(Command::SyncStatuses {}).await;
    behind(&world).await;
    for table in ["status_rows", "tracking_outbox"] {
        world.store().db.exec(format!("DELETE FROM {table}"), vec![]).await.expect("lost");
    }
    assert_eq!(world.delivery(order).await.state, S::Created);
    world.job(Command::Reconcile {}).await;
    assert_eq!(world.delivery(order).await.state, S::Delivered);
}

#[tokio::test]
async fn a_change_of_an_order_whose_send_was_lost_finds_its_parcel() {
    let (world, order) = a_sent_order().await;
    taken_over(&world).await;
    world.crm.edit(world.account, order, |order| order.set_status("new"));
    world.request(world.id, "7001", RequestKind::Update).await;
    settle(&world).await;
    let found = world.delivery(order).await;
    assert_eq!((found.orderno.as_str(), found.state), ("7001", S::Created));
}

#[tokio::test]
async fn what_bears_an_orders_id_is_cancelled_when_the_order_was_deleted() {
    let (world, order) = a_sent_order().await;
    // A second order of the number goes by its id.
    let second = another_of_the_number(&world, "SentMeaSoft");
    world.send(world.id, "7001").await;
    settle(&world).await;
    let number = world.delivery(second).await.orderno.to_string();
    assert_eq!(number, format!("R{second}"));
    taken_over(&world).await;
    assert!(world.crm.delete_order(world.account, second));
    reconciled(&world).await;
    assert_eq!(live(&world), ["7001"]);
    assert_eq!(world.delivery(order).await.state, S::Created);
}

#[tokio::test]
async fn an_order_that_is_back_before_its_cancel_keeps_its_parcel() {
    let (world, order) = a_sent_order().await;
    taken_over(&world).await;
    world.crm.edit(world.account, order, |order| order.set_delivery_type("russian-post"));
    walked(&world).await;
    world.crm.edit(world.account, order, |order| order.set_delivery_type("incity"));
    assert_eq!(world.run_published().await, ["CancelOrder"]);
    settle(&world).await;
    assert_eq!(live(&world), ["7001"]);
}

#[tokio::test]
async fn a_lost_cancel_that_the_stream_tells_first_does_not_end_the_order() {
    let (world, order) = a_sent_order().await;
    replicated(&world).await;
    leaves(&world, order).await;
    behind(&world).await;
    world.job(Command::SyncStatuses {}).await;
    assert_eq!(world.delivery(order).await.state, S::NotDelivered);
    returns(&world, order).await;
    let found = world.delivery(order).await;
    assert_eq!((live(&world), found.state), (vec![found.orderno.to_string()], S::Created));
}

#[tokio::test]
async fn a_withdrawn_order_that_nobody_knows_any_more_comes_to_an_end() {
    let (world, order) = an_order_to_send().await;
    assert!(world.crm.delete_order(world.account, order));
    let withdraw = async || cancelled_by_id(&world, order, Candidate::withdrawn(world.id)).await;
    withdraw().await;
    assert_eq!(world.dead().await.len(), 0, "the ledger never had it");
    taken_over(&world).await;
    withdraw().await;
    let dead = world.dead().await;
    assert_eq!(dead.iter().map(|letter| letter.reason.as_str()).collect::<Vec<_>>(), ["order_not_found"]);
}

#[tokio::test]
async fn what_was_placed_anew_and_lost_is_found_though_the_end_of_the_old_parcel_was_told_since() {
    for gone_on in [false, true] {
        let (world, order) = a_sent_order().await;
        leaves(&world, order).await;
        replicated(&world).await;
        returns(&world, order).await;
        let there = live(&world);
        behind(&world).await;
        world.job(Command::SyncStatuses {}).await;
        assert!(world.delivery(order).await.status_seen_at.is_some(), "the end of the old one");
        if gone_on {
            world.crm.edit(world.account, order, |order| order.set_status("assembling"));
        }
        reconciled(&world).await;
        let found = world.delivery(order).await;
        assert_eq!((vec![found.orderno.to_string()], found.state), (there, S::Created), "gone on: {gone_on}");
    }
}

#[tokio::test]
async fn a_parcel_that_no_order_names_any_more_is_told_to_a_person_once() {
    let (world, order) = a_sent_order().await;
    taken_over(&world).await;
    assert!(world.crm.delete_order(world.account, order));
    reconciled(&world).await;
    assert!(world.courier.seed_orders(crate::testing::CABINET, 1, "by hand "));
    let told = async |settle| {
        let mut tools = world.another_worker();
        tools.limits.settle = settle;
        world.job_by(&tools, &world.command(Command::Reconcile {})).await;
        let dead = world.dead().await;
        dead.iter().map(|letter| format!("{} {:?}", letter.reason, letter.number)).collect::<Vec<_>>()
    };
    assert_eq!(told(Duration::from_secs(2)).await.len(), 0, "what still has an order is looked for first");
    for _ in 0..2 {
        assert_eq!(told(Duration::from_millis(1)).await, ["parcel_unknown Some(\"7001\")"]);
    }
}

#[tokio::test]
async fn a_cancel_of_what_was_never_sent_takes_no_number_of_a_parcel_whose_row_was_lost() {
    let (world, other) = a_sent_order().await;
    let order = another_of_the_number(&world, "new");
    taken_over(&world).await;
    world.crm.edit(world.account, order, |order| order.set_delivery_type("russian-post"));
    cancelled_by_id(&world, order, Candidate::of("incity", world.id)).await;
    assert_eq!(world.store().delivery_by_order(world.id, CrmOrderId(order)).await.expect("read"), None);
    assert_eq!((live(&world), world.dead().await.len()), (vec!["7001".to_owned()], 0), "{other} keeps its parcel");
}
