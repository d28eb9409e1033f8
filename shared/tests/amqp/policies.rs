//! What an operator's policy does to our queues.

use std::time::Duration;

use crate::contract::send_order;
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use shared::message::{Lane, decode};
use shared::queue::amqp::AmqpQueue;
use shared::queue::{Consumer as _, Death, Parked, Publisher as _, Queue as _};
use tokio::time::{sleep, timeout};

use crate::bench::{AmqpBench, broker_url, connected};

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_published_to_is_kept_in_use_while_nobody_takes_from_it() {
    const MESSAGES: usize = 4;
    let bench = AmqpBench::new().await;
    let mut config = bench.config(&broker_url());
    config.look_every = Duration::from_millis(500);
    let queue = connected(config).await;
    bench.policy("interactive", r#"{"expires":4000}"#).await;
    let mut sent = Vec::new();
    for number in 0..MESSAGES {
        let order = send_order(number);
        queue.publish(order.clone()).await.expect("published");
        sent.push(order.id);
    }
    // A queue that the same policy covers and nobody looks after shows that it has struck.
    let (_connection, channel) = bench.channel().await;
    let other = format!("{}.interactive-other", bench.prefix);
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), lapin::types::AMQPValue::LongString("quorum".into()));
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(other.as_str().into(), durable, arguments).await.expect("declared");
    let struck = async {
        loop {
            sleep(Duration::from_secs(2)).await;
            let (_connection, channel) = bench.channel().await;
            let passive = QueueDeclareOptions { passive: true, ..Default::default() };
            // Looking is no use.
            if channel.queue_declare(other.as_str().into(), passive, FieldTable::default()).await.is_err() {
                return;
            }
        }
    };
    timeout(LIMIT, struck).await.expect("the policy deletes what is not used");
    sleep(Duration::from_secs(6)).await;
    let mut lane = queue.subscribe(Lane::Interactive, 8);
    let mut found = Vec::new();
    for _ in 0..MESSAGES {
        let delivery = timeout(LIMIT, lane.next()).await.expect("it is still there").expect("a delivery");
        found.push(decode(&delivery.body).expect("an envelope").id);
        delivery.ack().await;
    }
    sent.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, sent);
    let made: Vec<u64> = queue.state().await.made_anew.iter().map(|(_, _, times)| *times).collect();
    assert_eq!(made, [1, 1, 1], "made at first and never again");
}

/// The count of what is kept in use goes on: else it would never be put aside.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_in_use_remembers_how_often_it_was_handed_out() {
    let bench = AmqpBench::new().await;
    let mut config = bench.config(&broker_url());
    config.look_every = Duration::from_millis(200);
    let queue: std::sync::Arc<AmqpQueue> = connected(config).await;
    queue.publish(send_order(1)).await.expect("published");
    let mut times = 0;
    let mut dead = queue.subscribe_parked(Parked::Dead, 1).expect("kept");
    let mut aside = tokio::spawn(async move { dead.next().await.expect("a delivery").ack().await });
    let park = async {
        loop {
            // Workers' lives, with a pause in which nobody takes.
            let mut lane = queue.subscribe(Lane::Interactive, 1);
            for _ in 0..8 {
                tokio::select! {
                    Some(delivery) = lane.next() => {
                        times += 1;
                        delivery.requeue().await;
                    }
                    done = &mut aside => return done.expect("taken"),
                }
            }
            lane.stop().await;
            drop(lane);
            sleep(Duration::from_millis(900)).await;
        }
    };
    if timeout(LIMIT, park).await.is_err() {
        panic!("not put aside: {:?} {:?}", queue.progress(), queue.state().await);
    }
    assert!((16..=24).contains(&times), "handed out {times} times");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_was_deleted_is_made_anew_and_that_is_told() {
    let bench = AmqpBench::new().await;
    let mut config = bench.config(&broker_url());
    config.look_every = Duration::from_millis(200);
    let queue = connected(config).await;
    queue.publish(send_order(1)).await.expect("published");
    let (_connection, channel) = bench.channel().await;
    let name = format!("{}.interactive.v1", bench.prefix);
    channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await.expect("deleted");
    // Nobody subscribes: whoever publishes finds out.
    let told = async {
        while !queue.state().await.made_anew.contains(&(name.clone(), Lane::Interactive, 2)) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, told).await.expect("it is told");
    let sent = send_order(2);
    queue.publish(sent.clone()).await.expect("published");
    let mut lane = queue.subscribe(Lane::Interactive, 1);
    let delivery = timeout(LIMIT, lane.next()).await.expect("in time").expect("a delivery");
    assert_eq!(decode(&delivery.body), Ok(sent));
    delivery.ack().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_policy_takes_out_of_a_lane_says_which_and_why() {
    let bench = AmqpBench::new().await;
    let queue = bench.queue().await;
    let mut dead = queue.subscribe_parked(Parked::Dead, 8).expect("kept");
    bench.policy("interactive", r#"{"message-ttl":100}"#).await;
    let sent = send_order(1);
    queue.publish(sent.clone()).await.expect("published");
    let delivery = timeout(LIMIT, dead.next()).await.expect("put aside").expect("a delivery");
    assert_eq!(decode(&delivery.body), Ok(sent));
    let expected = Death { queue: format!("{}.interactive.v1", bench.prefix), reason: "expired".to_owned() };
    assert_eq!(delivery.death, Some(expected));
    delivery.ack().await;
}

/// `drop-head` of a policy beats our own `reject-publish`; without it a short lane refuses.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_short_lane_drops_at_its_head_says_so() {
    let bench = AmqpBench::new().await;
    let queue = bench.queue().await;
    let mut dead = queue.subscribe_parked(Parked::Dead, 32).expect("kept");
    bench.policy("interactive", r#"{"max-length":2,"overflow":"drop-head"}"#).await;
    let dropped = async {
        for number in 0.. {
            let _ = queue.publish(send_order(number)).await;
            if let Ok(delivery) = timeout(Duration::from_millis(100), dead.next()).await {
                return delivery.expect("a delivery");
            }
        }
        unreachable!("numbers do not end")
    };
    let delivery = timeout(LIMIT, dropped).await.expect("the head is dropped");
    assert_eq!(delivery.death.as_ref().map(|death| death.reason.as_str()), Some("maxlen"));
    delivery.ack().await;
}
