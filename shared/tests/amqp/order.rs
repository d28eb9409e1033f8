//! Messages of a process go over several channels; those about one order stay in their order.

use std::collections::HashMap;
use std::time::Duration;

use crate::contract::send_order;
use futures_util::future::join_all;
use shared::message::{Lane, decode};
use shared::queue::{Consumer as _, Publisher as _};
use tokio::time::timeout;
use uuid::Uuid;

use crate::bench::AmqpBench;

const ORDERS: usize = 8;
const MESSAGES: usize = 800;

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_one_order_keep_their_order_in_a_burst() {
    let bench = AmqpBench::new().await;
    let queue = bench.queue().await;
    let sent: Vec<_> = (0..MESSAGES).map(|n| send_order(n % ORDERS)).collect();
    let published = join_all(sent.iter().map(|envelope| queue.publish(envelope.clone()))).await;
    assert!(published.iter().all(Result::is_ok), "{published:?}");

    let mut lane = queue.subscribe(Lane::Interactive, 100);
    let mut came: HashMap<String, Vec<Uuid>> = HashMap::new();
    for _ in 0..MESSAGES {
        let delivery = timeout(Duration::from_secs(20), lane.next()).await.expect("in time").expect("a delivery");
        let envelope = decode(&delivery.body).expect("an envelope");
        came.entry(envelope.key).or_default().push(envelope.id);
        delivery.ack().await;
    }
    assert_eq!(came.len(), ORDERS);
    for (key, came) in came {
        let wanted: Vec<Uuid> =
            sent.iter().filter(|envelope| envelope.key == key).map(|envelope| envelope.id).collect();
        assert_eq!(came, wanted, "of {key}");
    }
}
