//! Queues of the broker that somebody else spoils: a lane that cannot be used, a policy that takes
//! commands out of one, a queue that is lost with what waits in it.

use harness::{LONG, Role, World, broker_url, eventually, rabbitmqctl};
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties};
use serde_json::Value;
use simulators::retailcrm::TriggerKind;

use crate::load::{all_accepted, each_once};

const ORDERS: usize = 20;

async fn channel() -> (Connection, Channel) {
    let connection = Connection::connect(&broker_url(), ConnectionProperties::default()).await.expect("a connection");
    let channel = connection.create_channel().await.expect("a channel");
    (connection, channel)
}

/// Its findings; they are not all well, so its exit code is not 0.
async fn doctor(world: &World) -> Value {
    let said = world.bridge(&["doctor", "--json"]).await;
    serde_json::from_str(&said.stdout).expect("one document")
}

/// Under the callback lane's name there is a queue of another type, as a half-finished change of the
/// topology leaves it; a node that is away with the lane looks the same from outside.
#[tokio::test(flavor = "multi_thread")]
async fn orders_are_placed_while_the_callback_lane_cannot_be_used() {
    let world = World::scaled("callback-lane").with(Role::Worker, 1).start().await;
    let orders = world.place_many(ORDERS);
    world.terminate("worker-1").await;
    let name = format!("{}.rpc.v1", world.queue_prefix());
    let (_connection, channel) = channel().await;
    channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await.expect("deleted");
    let mut quorum = FieldTable::default();
    quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(name.as_str().into(), durable, quorum).await.expect("declared");
    world.start("worker-1").await;
    let sends: Vec<_> = orders.iter().map(|order| (TriggerKind::Send, order)).collect();
    all_accepted(&world.storm(&sends, 8).await);
    world.settled("all orders are placed").await;
    each_once(&world, &orders);
    assert!(world.log("worker-1").contains("RabbitMQ refuses a queue"), "it is said which");
    channel.queue_delete(name.into(), QueueDeleteOptions::default()).await.expect("deleted");
    eventually("the lane is served again", LONG, || async {
        let log = world.log("worker-1");
        if log.contains("RabbitMQ serves the queue again") { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_a_policy_took_out_of_their_lane_are_served_and_the_policy_is_named() {
    let world = World::scaled("policy-ttl").with(Role::Worker, 1).start().await;
    let orders = world.place_many(ORDERS);
    // Nobody takes them until they have expired.
    world.terminate("worker-1").await;
    let pattern = format!("^{}\\.interactive", world.queue_prefix());
    rabbitmqctl(&["set_policy", "--apply-to", "queues", world.queue_prefix(), &pattern, r#"{"message-ttl":300}"#])
        .await;
    let sends: Vec<_> = orders.iter().map(|order| (TriggerKind::Send, order)).collect();
    all_accepted(&world.storm(&sends, 8).await);
    let dead = format!("{}.dead.v1", world.queue_prefix());
    let (_connection, channel) = channel().await;
    eventually("the policy has taken them", LONG, || async {
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let queue = channel.queue_declare(dead.as_str().into(), passive, FieldTable::default()).await.expect("there");
        if queue.message_count() as usize == ORDERS { Ok(()) } else { Err(queue.message_count().to_string()) }
    })
    .await;
    world.start("worker-1").await;
    world.settled("all orders are placed").await;
    each_once(&world, &orders);
    assert!(world.dead_letters().await.is_empty());
    assert!(world.log("worker-1").contains("message-ttl"), "the log names the policy");
    let doctor = doctor(&world).await;
    let named = doctor.as_array().expect("findings").iter().any(|finding| {
        finding["what"].as_str().is_some_and(|what| what.contains("message-ttl") && what.contains("interactive.v1"))
    });
    assert!(named, "{doctor:#}");
    rabbitmqctl(&["clear_policy", world.queue_prefix()]).await;
    world.finish().await;
}

/// As a broker that comes back without its disk: the queue is there, empty, and made anew.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_lost_with_its_queue_is_told_with_its_window_and_found_by_itself() {
    let world = World::scaled("lost-queue")
        .with(Role::Worker, 1)
        .shops(1)
        .setting("send_statuses=SentMeaSoft")
        // Its own walks through the history are an hour apart.
        .set("SYNC_INTERVAL_S", "1800")
        .start()
        .await;
    world.terminate("worker-1").await;
    let name = format!("{}.interactive.v1", world.queue_prefix());
    // Seen empty, which begins the window.
    eventually("the queue was seen empty", LONG, || async {
        let seen = format!("SELECT COUNT(*) AS n FROM cursors WHERE name = 'queue empty|{name}' AND value = ''");
        match world.ledger.count(&seen).await {
            Ok(1) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    // No walk has seen them yet.
    let orders = world.place_many(3);
    for order in &orders {
        let fields = [("id", order.number.as_str()), ("sum", ""), ("key", world.shops[0].key.as_str())];
        let answer = world.post(TriggerKind::Send.path(), &fields, "ru").await.expect("an answer");
        assert_eq!(answer.status, 200);
    }
    let (_connection, channel) = channel().await;
    let deleted = channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await.expect("deleted");
    assert_eq!(deleted, 3, "commands are lost with it");
    let lost = format!("SELECT COUNT(*) AS n FROM cursors WHERE name = 'queue lost|{name}'");
    eventually("the loss is noticed without a worker", LONG, || async {
        match world.ledger.count(&lost).await {
            Ok(1) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    world.start("worker-1").await;
    eventually("every order is placed", LONG, || async {
        let there = world.measoft.orders().len();
        if there == orders.len() { Ok(()) } else { Err(format!("{there} are")) }
    })
    .await;
    let doctor = doctor(&world).await;
    let told = doctor.as_array().expect("findings").iter().any(|finding| {
        finding["what"].as_str().is_some_and(|what| what.contains(&name) && what.contains("may be missing"))
    });
    assert!(told, "{doctor:#}");
    world.served("everything is told").await;
    each_once(&world, &orders);
    world.finish().await;
}
