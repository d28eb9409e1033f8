//! A cluster of three brokers, of which one dies: `./tests/run cluster`.

use std::io::Write as _;
use std::time::{Duration, Instant};

use harness::{LONG, Placed, Role, World, eventually};
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties};
use simulators::retailcrm::TriggerKind;
use tokio::time::timeout;

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

/// Sends orders at once and answers how long none of them came to MeaSoft, at the longest.
async fn placed(world: &World, orders: &[Placed]) -> Duration {
    let (mut came, mut longest) = ((0, Instant::now()), Duration::ZERO);
    let long = LONG * (1 + u32::try_from(orders.len() / 500).unwrap_or(0));
    let sends: Vec<_> = orders.iter().map(|order| (TriggerKind::Send, order)).collect();
    let arriving = async {
        let numbers: Vec<String> = orders.iter().map(|order| world.orderno(order)).collect();
        while came.0 < orders.len() {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let there = numbers.iter().filter(|number| world.measoft.order(number).is_some()).count();
            longest = longest.max(came.1.elapsed());
            if there > came.0 {
                came = (there, Instant::now());
            }
        }
    };
    let (answers, arrived) = tokio::join!(world.storm(&sends, 4), timeout(long, arriving));
    all_accepted(&answers);
    assert!(arrived.is_ok(), "{} of {} orders are at MeaSoft", came.0, orders.len());
    longest
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
    let gaps = format!("longest gaps: usually {usual:?}, without the node {soon:?}, a fresh worker {fresh:?}");
    let _ = writeln!(std::io::stdout().lock(), "{gaps}");
    assert!(soon < limit && fresh < limit, "{gaps}");
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
