//! The contract both queue adapters must keep, as async functions over a [`Bench`]. Each
//! panics with a sentence when the adapter does not keep it. An adapter's test file writes
//!
//! ```ignore
//! queue_contract!(my_bench().await);
//! ```
//!
//! where `my_bench()` makes a [`Bench`] with empty storage; that becomes one test for each
//! function here.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use tokio::time::timeout;
use uuid::Uuid;

use shared::domain::{IntegrationId, OrderNumber};
use shared::message::{Command, Envelope, Lane, decode};
use shared::queue::{Delivery, SharedQueue, Subscription};

/// Nothing that is due may take longer.
const LIMIT: Duration = Duration::from_secs(20);

/// An adapter under test: one empty storage, and clients of it.
pub(crate) trait Bench: Send + Sync {
    /// A further client of the same storage, as another process would be; ready to publish
    /// and to consume.
    fn client(&self) -> BoxFuture<'_, SharedQueue>;
    /// Stores bytes in a lane as they are.
    fn put_raw(&self, lane: Lane, body: Vec<u8>) -> BoxFuture<'_, ()>;
}

/// One test for each clause; see the module.
macro_rules! queue_contract {
    ($bench:expr) => {
        $crate::contract::queue_contract! { @each $bench,
            what_is_published_is_delivered
            what_is_acked_is_gone
            what_is_not_settled_comes_back_once_its_consumer_is_gone
            a_dropped_delivery_comes_back_while_its_consumer_goes_on
            nothing_is_lost_among_many_publishers_and_two_consumers
            stopping_hands_back_what_was_not_taken
            what_is_in_hand_can_be_settled_after_stopping
            requeued_means_handed_to_another
            prefetch_bounds_what_is_in_hand
            lanes_do_not_mix
            bytes_are_not_touched
            closing_twice_is_safe
        }
    };
    (@each $bench:expr, $($clause:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $clause() {
            $crate::contract::$clause($bench).await;
        }
    )*};
}

pub(crate) use queue_contract;

/// A command of the interactive lane about the order `number`.
pub(crate) fn send_order(number: usize) -> Envelope {
    let number = OrderNumber::parse(&format!("T{number}")).expect("an order number");
    envelope(Command::SendOrder { number, declared: None })
}

fn envelope(command: Command) -> Envelope {
    Envelope::new(command, Some(IntegrationId(1)), "2026-09-01T10:00:00Z".parse().expect("a time"))
}

fn of_lane(lane: Lane) -> Envelope {
    envelope(match lane {
        Lane::Interactive => Command::ProbeIntegration {},
        Lane::Bulk => Command::SyncStatuses {},
        Lane::Rpc => Command::Callback { action: "calculate".to_owned(), request: serde_json::Value::Null },
    })
}

async fn take(subscription: &mut Box<dyn Subscription>) -> Delivery {
    timeout(LIMIT, subscription.next()).await.expect("a delivery in time").expect("a delivery")
}

fn id(delivery: &Delivery) -> Uuid {
    decode(&delivery.body).expect("an envelope").id
}

async fn publish(queue: &SharedQueue, envelope: &Envelope) {
    queue.publish(envelope.clone()).await.expect("published");
}

/// Panics when the lane holds anything: what was there would come before, or soon after,
/// a message published now.
async fn expect_empty(bench: &impl Bench, lane: Lane) {
    let queue = bench.client().await;
    let mut subscription = queue.subscribe(lane, 100);
    let last = of_lane(lane);
    publish(&queue, &last).await;
    let mut held = Vec::new();
    loop {
        let delivery = take(&mut subscription).await;
        let found = id(&delivery);
        held.push(delivery);
        if found == last.id {
            break;
        }
    }
    assert_eq!(held.len(), 1, "the lane {} still held messages", lane.as_str());
    for delivery in held {
        delivery.ack().await;
    }
    subscription.stop().await;
    queue.close().await;
}

pub(crate) async fn what_is_published_is_delivered(bench: impl Bench) {
    let queue = bench.client().await;
    let mut subscription = queue.subscribe(Lane::Interactive, 10);
    let sent: Vec<Envelope> = (0..20).map(send_order).collect();
    for envelope in &sent {
        publish(&queue, envelope).await;
    }
    let mut got = Vec::new();
    for _ in &sent {
        let delivery = take(&mut subscription).await;
        assert!(!delivery.redelivered, "delivered for the first time");
        assert_eq!(delivery.death, None);
        got.push(decode(&delivery.body).expect("an envelope"));
        delivery.ack().await;
    }
    // Order is not promised.
    got.sort_by_key(|envelope| envelope.id);
    let mut sent = sent;
    sent.sort_by_key(|envelope| envelope.id);
    assert_eq!(got, sent);
}

pub(crate) async fn what_is_acked_is_gone(bench: impl Bench) {
    let queue = bench.client().await;
    let mut subscription = queue.subscribe(Lane::Interactive, 10);
    for number in 0..5 {
        publish(&queue, &send_order(number)).await;
    }
    for _ in 0..5 {
        take(&mut subscription).await.ack().await;
    }
    drop(subscription);
    queue.close().await;
    expect_empty(&bench, Lane::Interactive).await;
}

pub(crate) async fn what_is_not_settled_comes_back_once_its_consumer_is_gone(bench: impl Bench) {
    let queue = bench.client().await;
    let mut subscription = queue.subscribe(Lane::Interactive, 10);
    let sent = send_order(1);
    publish(&queue, &sent).await;
    let delivery = take(&mut subscription).await;
    drop(subscription);
    drop(delivery);
    queue.close().await;

    let queue = bench.client().await;
    let delivery = take(&mut queue.subscribe(Lane::Interactive, 10)).await;
    assert_eq!(id(&delivery), sent.id);
    assert!(delivery.redelivered, "it says that it was out before");
    delivery.ack().await;
}

pub(crate) async fn a_dropped_delivery_comes_back_while_its_consumer_goes_on(bench: impl Bench) {
    let queue = bench.client().await;
    let mut subscription = queue.subscribe(Lane::Interactive, 1);
    let sent = send_order(1);
    publish(&queue, &sent).await;
    drop(take(&mut subscription).await);
    let delivery = take(&mut subscription).await;
    assert_eq!(id(&delivery), sent.id);
    assert!(delivery.redelivered, "it says that it was out before");
    delivery.ack().await;
}

pub(crate) async fn nothing_is_lost_among_many_publishers_and_two_consumers(bench: impl Bench) {
    const MESSAGES: usize = 2000;
    const PUBLISHERS: usize = 64;
    let queue = bench.client().await;
    let other = bench.client().await;
    let missing = Arc::new(std::sync::Mutex::new(HashSet::new()));
    let taken: Arc<std::sync::Mutex<HashMap<Uuid, usize>>> = Arc::default();
    let all_taken = Arc::new(tokio::sync::Notify::new());
    let consumers: Vec<_> = [&queue, &other]
        .into_iter()
        .map(|queue| {
            let mut subscription = queue.subscribe(Lane::Interactive, 32);
            let (taken, all_taken) = (taken.clone(), all_taken.clone());
            tokio::spawn(async move {
                while let Some(delivery) = subscription.next().await {
                    let id = id(&delivery);
                    delivery.ack().await;
                    let mut taken = taken.lock().expect("lock");
                    *taken.entry(id).or_default() += 1;
                    if taken.len() == MESSAGES {
                        all_taken.notify_one();
                    }
                }
            })
        })
        .collect();
    let publishers = (0..PUBLISHERS).map(|publisher| {
        let (queue, missing) = (if publisher % 2 == 0 { queue.clone() } else { other.clone() }, missing.clone());
        tokio::spawn(async move {
            for number in (publisher..MESSAGES).step_by(PUBLISHERS) {
                let envelope = send_order(number);
                publish(&queue, &envelope).await;
                missing.lock().expect("lock").insert(envelope.id);
            }
        })
    });
    for publisher in join_all(publishers).await {
        publisher.expect("a publisher");
    }
    let in_time = timeout(Duration::from_secs(60), all_taken.notified()).await;
    let taken = taken.lock().expect("lock").clone();
    let missing = missing.lock().expect("lock").iter().filter(|id| !taken.contains_key(id)).count();
    assert!(in_time.is_ok(), "{missing} of {MESSAGES} messages were not delivered");
    assert_eq!(missing, 0);
    // Doubles are allowed where something broke, and nothing did.
    assert!(taken.values().all(|count| *count == 1), "some were delivered twice without a failure");
    for consumer in consumers {
        consumer.abort();
    }
}

pub(crate) async fn stopping_hands_back_what_was_not_taken(bench: impl Bench) {
    let queue = bench.client().await;
    let mut stopping = queue.subscribe(Lane::Interactive, 10);
    let sent: HashSet<Uuid> = {
        let envelopes: Vec<Envelope> = (0..10).map(send_order).collect();
        for envelope in &envelopes {
            publish(&queue, envelope).await;
        }
        envelopes.iter().map(|envelope| envelope.id).collect()
    };
    let in_hand = take(&mut stopping).await;
    stopping.stop().await;
    assert!(timeout(LIMIT, stopping.next()).await.expect("an answer in time").is_none(), "nothing comes after stop");

    let mut other = queue.subscribe(Lane::Interactive, 20);
    let mut seen = HashSet::from([id(&in_hand)]);
    for _ in 0..9 {
        let delivery = take(&mut other).await;
        assert!(seen.insert(id(&delivery)), "handed out twice");
        delivery.ack().await;
    }
    assert_eq!(seen, sent);
    in_hand.ack().await;
}

pub(crate) async fn what_is_in_hand_can_be_settled_after_stopping(bench: impl Bench) {
    let queue = bench.client().await;
    let mut subscription = queue.subscribe(Lane::Interactive, 10);
    publish(&queue, &send_order(1)).await;
    let in_hand = take(&mut subscription).await;
    subscription.stop().await;
    drop(subscription);
    in_hand.ack().await;
    queue.close().await;
    expect_empty(&bench, Lane::Interactive).await;
}

pub(crate) async fn requeued_means_handed_to_another(bench: impl Bench) {
    let queue = bench.client().await;
    let mut first = queue.subscribe(Lane::Interactive, 1);
    let sent = send_order(1);
    publish(&queue, &sent).await;
    let delivery = take(&mut first).await;
    first.stop().await;
    delivery.requeue().await;
    let other = bench.client().await;
    let again = take(&mut other.subscribe(Lane::Interactive, 1)).await;
    assert_eq!(id(&again), sent.id);
    assert!(again.redelivered, "it says that it was out before");
    again.ack().await;
}

pub(crate) async fn prefetch_bounds_what_is_in_hand(bench: impl Bench) {
    let queue = bench.client().await;
    let mut full = queue.subscribe(Lane::Interactive, 2);
    for number in 0..3 {
        publish(&queue, &send_order(number)).await;
    }
    let (one, two) = (take(&mut full).await, take(&mut full).await);
    // The third is not held back in a full consumer: another one gets it.
    let mut free = queue.subscribe(Lane::Interactive, 2);
    let three = take(&mut free).await;
    assert_eq!(HashSet::from([id(&one), id(&two), id(&three)]).len(), 3);
    free.stop().await;
    // And a place is free again once something is settled.
    let last = send_order(3);
    publish(&queue, &last).await;
    one.ack().await;
    let four = take(&mut full).await;
    assert_eq!(id(&four), last.id);
    for delivery in [two, three, four] {
        delivery.ack().await;
    }
}

pub(crate) async fn lanes_do_not_mix(bench: impl Bench) {
    let queue = bench.client().await;
    let sent = Lane::ALL.map(of_lane);
    for envelope in &sent {
        publish(&queue, envelope).await;
    }
    for (lane, envelope) in Lane::ALL.into_iter().zip(&sent) {
        let delivery = take(&mut queue.subscribe(lane, 10)).await;
        assert_eq!(id(&delivery), envelope.id, "the message of lane {}", lane.as_str());
        delivery.ack().await;
    }
    queue.close().await;
    for lane in Lane::ALL {
        expect_empty(&bench, lane).await;
    }
}

pub(crate) async fn bytes_are_not_touched(bench: impl Bench) {
    let queue = bench.client().await;
    let mut subscription = queue.subscribe(Lane::Bulk, 10);
    let all: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = (0..64 * 1024_u32).map(|at| (at % 251) as u8).collect();
    for body in [b"\xff\xfe\x00".to_vec(), all, b"{\"v\": 99 }".to_vec(), large] {
        bench.put_raw(Lane::Bulk, body.clone()).await;
        let delivery = take(&mut subscription).await;
        assert_eq!(delivery.body, body);
        delivery.ack().await;
    }
}

pub(crate) async fn closing_twice_is_safe(bench: impl Bench) {
    let queue = bench.client().await;
    let sent = send_order(1);
    publish(&queue, &sent).await;
    timeout(LIMIT, queue.close()).await.expect("closed in time");
    timeout(LIMIT, queue.close()).await.expect("closed in time");
    let queue = bench.client().await;
    let delivery = take(&mut queue.subscribe(Lane::Interactive, 1)).await;
    assert_eq!(id(&delivery), sent.id);
    delivery.ack().await;
}
