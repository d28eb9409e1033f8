//! What nobody is bound to receive, what was handed out too often, and queues that are
//! not as they should be.

use std::time::Duration;

use crate::contract::send_order;
use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, QueueDeleteOptions};
use shared::message::{Lane, decode};
use shared::queue::{Consumer as _, Death, Delivery, Parked, Publisher as _, Queue as _, QueueState, Subscription};
use tokio::time::timeout;

use crate::bench::AmqpBench;

const LIMIT: Duration = Duration::from_secs(20);

async fn take(subscription: &mut Box<dyn Subscription>) -> Delivery {
    timeout(LIMIT, subscription.next()).await.expect("a delivery in time").expect("a delivery")
}

/// Looks until the state is as wanted. A new client for each look, since one remembers the
/// lengths for a while.
async fn until(bench: &AmqpBench, wanted: impl Fn(&QueueState) -> bool) -> QueueState {
    let looking = async {
        loop {
            let state = bench.queue().await.state().await;
            if wanted(&state) {
                return state;
            }
        }
    };
    timeout(LIMIT, looking).await.expect("the state becomes as wanted")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_routed_is_kept_and_counted() {
    let bench = AmqpBench::new().await;
    let queue = bench.queue().await;
    let (_connection, channel) = bench.channel().await;
    let exchange = format!("{}.jobs", bench.prefix);
    let options = BasicPublishOptions::default();
    let properties = BasicProperties::default().with_delivery_mode(2);
    let sent = channel.basic_publish(exchange.into(), "nowhere.Fly".into(), options, b"who?", properties).await;
    sent.expect("sent").await.expect("taken");

    let counted = until(&bench, |state| state.unrouted == 1).await;
    assert!(counted.depth.iter().all(|(_, waiting)| *waiting == 0), "{counted:?}");

    let mut unrouted = queue.subscribe_parked(Parked::Unrouted, 1).expect("kept");
    let delivery = take(&mut unrouted).await;
    assert_eq!(delivery.body, b"who?");
    assert_eq!(delivery.death, Some(Death { queue: "nowhere.Fly".to_owned(), reason: "unrouted".to_owned() }));
    delivery.ack().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_handed_out_too_often_is_put_aside_with_its_reason() {
    let bench = AmqpBench::new().await;
    let queue = bench.queue().await;
    let sent = send_order(7);
    queue.publish(sent.clone()).await.expect("published");
    let mut lane = queue.subscribe(Lane::Interactive, 1);
    let mut dead = queue.subscribe_parked(Parked::Dead, 1).expect("kept");
    // One after another: a `next` that is dropped half-way may leave a consumer that holds a message.
    for _ in 0..=20 {
        take(&mut lane).await.requeue().await;
    }
    let delivery = take(&mut dead).await;
    assert_eq!(decode(&delivery.body), Ok(sent));
    let expected = Death { queue: format!("{}.interactive.v1", bench.prefix), reason: "delivery_limit".to_owned() };
    assert_eq!(delivery.death, Some(expected));
    delivery.ack().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_tells_how_much_waits_in_each_lane() {
    let bench = AmqpBench::new().await;
    let queue = bench.queue().await;
    for number in 0..3 {
        queue.publish(send_order(number)).await.expect("published");
    }
    let expected = [(Lane::Interactive, 3), (Lane::Bulk, 0), (Lane::Rpc, 0)];
    let state = until(&bench, |state| state.depth == expected).await;
    assert!(state.connected && !state.blocked);
    let progress = queue.progress();
    assert!(progress.publishing && progress.consuming && !progress.blocked);
    assert!(progress.last_confirm.is_some() && progress.last_delivery.is_none());
    assert!(progress.last_beat.expect("both tasks live") < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_deleted_is_declared_and_taken_from_again() {
    let bench = AmqpBench::new().await;
    let queue = bench.queue().await;
    let mut lane = queue.subscribe(Lane::Interactive, 4);
    queue.publish(send_order(1)).await.expect("published");
    take(&mut lane).await.ack().await;

    let waiting = tokio::spawn(async move { take(&mut lane).await.body });
    let (_connection, channel) = bench.channel().await;
    let name = format!("{}.interactive.v1", bench.prefix);
    channel.queue_delete(name.into(), QueueDeleteOptions::default()).await.expect("deleted");

    // Until it is there again, the catch-all has what is published.
    let sent = send_order(2);
    timeout(LIMIT, async {
        while !waiting.is_finished() {
            queue.publish(sent.clone()).await.expect("published");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("taken from again in time");
    assert_eq!(decode(&waiting.await.expect("taken")), Ok(sent));
}
