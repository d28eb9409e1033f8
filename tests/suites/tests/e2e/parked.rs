//! Messages that nobody can read or that no queue is bound to receive end where a person
//! finds them.

use harness::{Collect, LONG, World, broker_url, eventually};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use serde_json::json;
use simulators::retailcrm::TriggerKind;

async fn publish(world: &World, routing_key: &str, body: &[u8]) {
    let connection = Connection::connect(&broker_url(), ConnectionProperties::default()).await.expect("a connection");
    let channel = connection.create_channel().await.expect("a channel");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    let exchange = format!("{}.jobs", world.queue_prefix());
    let persistent = BasicProperties::default().with_delivery_mode(2);
    let options = BasicPublishOptions::default();
    let sent = channel.basic_publish(exchange.into(), routing_key.into(), options, body, persistent).await;
    sent.expect("sent").await.expect("taken");
    connection.close(200, "done".into()).await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_and_unroutable_messages_become_dead_letters() {
    let world = World::scaled("put-aside").start().await;
    let order = world.place(0, 1, Collect::Cash);
    let command = |version: u32| {
        json!({
            "id": "01890000-0000-7000-8000-000000000001", "v": version, "kind": "SendOrder",
            "integration": world.shops[0].integration, "key": order.number, "seq": 0,
            "received_at": "2026-09-01T10:00:00Z", "attempt": 0, "generation": 0, "traceparent": null,
            "body": {"number": order.number, "declared": null}
        })
        .to_string()
    };
    publish(&world, "interactive.SendOrder", b"\xff\xfe not a command").await;
    publish(&world, "interactive.SendOrder", command(99).as_bytes()).await;
    publish(&world, "bulk.Unknown", b"{}").await;
    publish(&world, "nowhere.SendOrder", command(1).as_bytes()).await;
    let found = eventually("four dead letters", LONG, || async {
        let found = world.dead_letters().await;
        if found.len() >= 4 { Ok(found) } else { Err(format!("{found:?}")) }
    })
    .await;
    let mut reasons: Vec<&str> = found.iter().filter_map(|dead| dead["reason"].as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["undecodable", "undecodable", "undecodable", "unroutable"]);
    for dead in &found {
        assert_eq!((&dead["fault"], &dead["state"]), (&json!("bridge"), &json!("open")), "{dead}");
        assert!(dead["text"].as_str().is_some_and(|text| !text.is_empty()), "{dead}");
        assert!(dead["next_step"].as_str().is_some_and(|text| !text.is_empty()), "{dead}");
    }
    // What was lost on its way can be sent on it again.
    let unroutable = found.iter().find(|dead| dead["reason"] == "unroutable").expect("listed");
    assert_eq!((&unroutable["kind"], &unroutable["order"]), (&json!("SendOrder"), &json!(order.number)));
    let id = unroutable["id"].to_string();
    let replayed = world.bridge(&["dead", "replay", &id, "--json"]).await.json();
    assert_eq!(replayed["replayed"], json!([unroutable["id"]]));
    eventually("the replayed order is placed", LONG, || async {
        world.measoft.order(&world.orderno(&order)).map(|_| ()).ok_or_else(|| "not yet".to_owned())
    })
    .await;
    world.fires(TriggerKind::Send, &order).await;
    for _ in 0..3 {
        world.expect_dead_letter("", "undecodable");
    }
    world.finish().await;
}

/// The fault suite deletes empty queues: what it destroys itself the product has not lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_not_empty_while_its_message_is_in_a_workers_hand() {
    let world = World::scaled("in-hand").start().await;
    let order = world.place(0, 1, Collect::Cash);
    let mut hold = world.hold("intents", "INSERT").await;
    world.fires(TriggerKind::Send, &order).await;
    hold.reached().await;
    assert!(!world.delete_empty_queue("interactive").await.expect("the broker answers"));
    hold.undo().await;
    world.settled("the send is served").await;
    world.finish().await;
}
