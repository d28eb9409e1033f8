//! What a trigger is answered while RabbitMQ or PostgreSQL is away, and that it is served.

use std::time::Duration;

use harness::proxy::Path;
use harness::{Answer, LONG, Outage, Placed, World, eventually};
use simulators::retailcrm::TriggerKind;

use crate::load::{all_accepted, each_once};

const ORDERS: usize = 40;
/// RetailCRM waits this long at most for the answer to a trigger (messaging.md).
const PATIENCE: Duration = Duration::from_secs(3);

async fn fire_all(world: &World, orders: &[Placed]) -> Vec<Answer> {
    let triggers: Vec<_> = orders.iter().map(|order| (TriggerKind::Send, order)).collect();
    world.storm(&triggers, 8).await
}

fn all_in_time(answers: &[Answer]) {
    let slowest = answers.iter().map(|answer| answer.took).max().unwrap_or_default();
    assert!(slowest < PATIENCE, "the slowest answer took {slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_wide_without_rabbitmq_triggers_are_answered_and_served_from_the_database() {
    let world = World::scaled("outage-broker").alone().start().await;
    let orders = world.place_many(ORDERS);
    let outage = Outage::stop_broker().await;
    let answers = fire_all(&world, &orders).await;
    all_accepted(&answers);
    all_in_time(&answers);
    world.served("all orders are placed while the broker is away").await;
    assert_eq!(world.measoft.orders().len(), ORDERS);
    outage.end().await;
    world.settled("all orders are placed").await;
    each_once(&world, &orders);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_triggers_are_answered_and_processed_later() {
    let world = World::scaled("outage-database").proxied().start().await;
    let orders = world.place_many(ORDERS);
    let path = world.database_path.as_ref().expect("proxied");
    path.set(Path::Reset);
    let answers = fire_all(&world, &orders).await;
    all_accepted(&answers);
    all_in_time(&answers);
    assert_eq!(world.measoft.orders().len(), 0, "no order may be sent without its ledger");
    path.set(Path::Pass);
    world.settled("all orders are placed").await;
    each_once(&world, &orders);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_both_a_trigger_is_refused_with_a_time_to_come_back() {
    let world = World::scaled("outage-both").proxied().start().await;
    let orders = world.place_many(ORDERS);
    let (broker, database) =
        (world.broker_path.as_ref().expect("proxied"), world.database_path.as_ref().expect("proxied"));
    broker.set(Path::Reset);
    database.set(Path::Reset);
    for (n, order) in orders.iter().take(6).enumerate() {
        let answer = world.fire(TriggerKind::Send, order.shop, &order.number).await.expect("an answer");
        assert_eq!(answer.status, 503, "{n}: {}", answer.body);
        let seconds: Option<u32> = answer.retry_after.as_deref().and_then(|text| text.parse().ok());
        assert!(
            seconds.is_some_and(|seconds| (1..=600).contains(&seconds)),
            "{n}: Retry-After {:?}",
            answer.retry_after
        );
        assert_eq!(answer.body["success"], false, "{n}");
        assert!(answer.took < PATIENCE, "{n}: {:?}", answer.took);
    }
    broker.set(Path::Pass);
    database.set(Path::Pass);
    eventually("triggers are accepted again", LONG, || async {
        let answer = world.fire(TriggerKind::Send, orders[0].shop, &orders[0].number).await;
        match answer.map(|answer| answer.status) {
            Ok(200) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    all_accepted(&fire_all(&world, &orders).await);
    world.settled("all orders are placed").await;
    each_once(&world, &orders);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_wide_a_memory_alarm_holds_no_trigger_up() {
    let world = World::scaled("outage-alarm").alone().start().await;
    let orders = world.place_many(ORDERS);
    let outage = Outage::memory_alarm().await;
    let answers = fire_all(&world, &orders).await;
    all_accepted(&answers);
    all_in_time(&answers);
    outage.end().await;
    world.settled("all orders are placed").await;
    each_once(&world, &orders);
    world.finish().await;
}
