//! What the database lost when another server took over, told with both simulators.

use jiff::ToSpan as _;
use shared::domain::DeliveryState as S;
use shared::store::promotion::Window;
use simulators::retailcrm::an_order;

use crate::testing::World;

/// Everything that the ledger knew of orders is gone.
async fn taken_over(world: &World) {
    for table in ["deliveries", "intents", "order_intents"] {
        world.store().db.exec(format!("DELETE FROM {table}"), vec![]).await.expect("lost");
    }
    let until = world.store().clock.now();
    world.store().note_takeover(Window { from: until - 10.seconds(), until }).await.expect("noted");
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
    let draft = an_order().number("7001").delivery_type("incity").status("new").receiver("Яна", "+79160009988");
    let second = world.crm.add_order(world.account, draft);
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
