//! A cluster of three brokers, of which one dies: `./tests/run cluster`.

use std::time::{Duration, Instant};

use harness::{LONG, Placed, Role, World, eventually};
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties};
use simulators::retailcrm::TriggerKind;

use crate::load::{all_accepted, each_once};

/// Orders in each of four storms.
fn orders_of_a_storm() -> usize {
    std::env::var("CLUSTER_TRIGGERS").map_or(12, |n| n.parse::<usize>().expect("a number of triggers") / 4)
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run ./tests/run cluster"))
}

/// `kill` or `start` of the second node.
async fn second_node(what: &str) {
    let done = tokio::process::Command::new(variable("TEST_CLUSTER_NODE")).arg(what).status().await.expect("a shell");
    assert!(done.success(), "{what}: {done}");
}

async fn placed(world: &World, orders: &[Placed]) -> Duration {
    let begun = Instant::now();
    let long = LONG * (1 + u32::try_from(orders.len() / 500).unwrap_or(0));
    let sends: Vec<_> = orders.iter().map(|order| (TriggerKind::Send, order)).collect();
    all_accepted(&world.storm(&sends, 4).await);
    eventually("the orders are at MeaSoft", long, || async {
        let there = orders.iter().filter(|order| world.measoft.order(&world.orderno(order)).is_some()).count();
        if there == orders.len() { Ok(()) } else { Err(format!("{there} are")) }
    })
    .await;
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "kills a node of a three-node RabbitMQ, which only ./tests/run cluster starts"]
async fn orders_flow_while_the_node_with_the_callback_lane_is_away() {
    let world = World::scaled("cluster").with(Role::Worker, 2).start().await;
    let storm = orders_of_a_storm();
    let orders = world.place_many(4 * storm);
    let usual = placed(&world, &orders[..storm]).await;
    // The lane lives where it was declared: on the second node.
    let name = format!("{}.rpc.v1", world.queue_prefix());
    let second = Connection::connect(&variable("TEST_AMQP_URL_2"), ConnectionProperties::default()).await;
    let second = second.expect("the second node answers");
    let channel = second.create_channel().await.expect("a channel");
    channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await.expect("deleted");
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("classic".into()));
    arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(30_000));
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(name.as_str().into(), durable, arguments).await.expect("declared there");
    second_node("kill").await;
    let soon = placed(&world, &orders[storm..2 * storm]).await;
    // A worker that starts now meets a lane that nobody can declare.
    world.terminate("worker-1").await;
    world.terminate("worker-2").await;
    world.start("worker-1").await;
    let fresh = placed(&world, &orders[2 * storm..3 * storm]).await;
    let limit = usual + Duration::from_secs(5);
    assert!(soon < limit && fresh < limit, "usually {usual:?}, without the node {soon:?}, a fresh worker {fresh:?}");
    second_node("start").await;
    world.start("worker-2").await;
    eventually("callbacks are served again", LONG, || async {
        let log = world.log("worker-1");
        if log.contains("RabbitMQ serves the queue again") { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    placed(&world, &orders[3 * storm..]).await;
    world.settled("everything is told").await;
    each_once(&world, &orders);
    world.finish().await;
}
