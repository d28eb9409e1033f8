//! The rule over both simulators: lists that change between two orders, and edits.

use shared::store::intents::RequestKind;
use simulators::retailcrm::{Action, FaultRule, OrderBuilder, When, an_order};

use crate::testing::World;

const ROUBLES: i64 = 100;

/// The delivery type with these payment types ticked as cash on delivery.
fn tick(world: &World, types: &[&str]) {
    let code = world.first().integration.code(&world.tools.module_code);
    world.crm.add_delivery_type(world.account, "incity", Some(&code), types);
}

fn collected(world: &World, number: &str) -> (i64, String) {
    let order = world.courier.order(number).unwrap_or_else(|| panic!("{number} was not placed"));
    (order.price_kopecks / ROUBLES, order.paytype)
}

#[tokio::test]
async fn a_type_ticked_a_moment_ago_is_collected() {
    let world = World::new().await;
    world.crm.add_payment_type(world.account, "kurier", false);
    tick(&world, &["cash"]);
    let by_courier = |order: OrderBuilder| order.no_payments().payment_of_the_rest("kurier", "not-paid");
    world.place_as(world.id, "A-1", by_courier).await;
    assert_eq!(collected(&world, "A-1").1, "NO", "not ticked: not collected");
    tick(&world, &["cash", "kurier"]);
    world.place_as(world.id, "A-2", by_courier).await;
    let (sum, way) = collected(&world, "A-2");
    assert!(sum > 0 && way == "CASH", "{sum} {way}");
}

#[tokio::test]
async fn an_order_paid_in_a_status_made_a_moment_ago_is_not_collected_again() {
    let world = World::new().await;
    world.place("A-1").await;
    world.crm.add_payment_status(world.account, "oplachen", true);
    let paid = |order: OrderBuilder| order.no_payments().payment_of_the_rest("cash", "oplachen");
    world.place_as(world.id, "A-2", paid).await;
    assert_eq!(collected(&world, "A-2"), (0, "NO".to_owned()));
}

#[tokio::test]
async fn a_status_that_counts_as_paid_since_a_moment_is_believed() {
    let world = World::new().await;
    world.crm.add_payment_status(world.account, "prepared", false);
    world.place("A-1").await;
    world.crm.add_payment_status(world.account, "prepared", true);
    let paid = |order: OrderBuilder| order.no_payments().payment_of_the_rest("cash", "prepared");
    world.place_as(world.id, "A-2", paid).await;
    assert_eq!(collected(&world, "A-2"), (0, "NO".to_owned()));
}

#[tokio::test]
async fn an_order_of_an_unknown_way_of_paying_waits_while_the_lists_cannot_be_read() {
    let world = World::new().await;
    world.place("A-1").await;
    world.crm.add_payment_type(world.account, "kurier", false);
    tick(&world, &["cash", "kurier"]);
    world.crm.set_faults(vec![FaultRule::new("reference.*", When::Always, Action::FailBefore)]);
    let order = an_order().number("A-2").delivery_type("incity").status("SentMeaSoft");
    world.crm.add_order(world.account, order.no_payments().payment_of_the_rest("kurier", "not-paid"));
    world.request(world.id, "A-2", RequestKind::Send).await;
    world.work(world.id).await;
    assert!(world.courier.order("A-2").is_none() && world.dead().await.is_empty(), "it waits");
    world.crm.clear_faults();
    world
        .until("placed", async || {
            world.work(world.id).await;
            world.courier.order("A-2").is_some()
        })
        .await;
    assert_eq!(collected(&world, "A-2").1, "CASH");
}

#[tokio::test]
async fn a_prepayment_undone_after_sending_is_collected() {
    let world = World::new().await;
    let half = |order: OrderBuilder| {
        order.no_payments().payment("bank-card", 100_000, "paid").payment_of_the_rest("cash", "not-paid")
    };
    let order = world.place_as(world.id, "A-1", half).await;
    let (rest, _) = collected(&world, "A-1");
    world.crm.edit(world.account, order, |draft| {
        draft.set_payment_status("not-paid");
    });
    world.request(world.id, "A-1", RequestKind::Update).await;
    world.work(world.id).await;
    assert_eq!(collected(&world, "A-1").0, rest + 1000, "{:?}", world.dead().await);
}
