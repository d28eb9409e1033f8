//! One prefix of its own on the test run's broker.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use shared::domain::Secret;
use shared::message::Lane;
use shared::queue::SharedQueue;
use shared::queue::amqp::{AmqpConfig, AmqpQueue};
use shared::queue::contract::Bench;
use uuid::Uuid;

pub const CONNECTED: Duration = Duration::from_secs(30);

/// A set of queues that no other test uses.
pub struct AmqpBench {
    pub prefix: String,
}

/// Where the broker is. Without it these tests fail: a skipped one would look like a pass.
pub fn broker_url() -> String {
    std::env::var("TEST_AMQP_URL").unwrap_or_else(|_| {
        panic!("TEST_AMQP_URL is not set: this test needs a RabbitMQ; run ./tests/run, which starts one")
    })
}

impl AmqpBench {
    pub fn new() -> Self {
        Self { prefix: format!("test-{}", Uuid::new_v4().simple()) }
    }

    pub fn config(&self, url: &str) -> AmqpConfig {
        let rungs = vec![Duration::from_millis(500), Duration::from_secs(2)];
        AmqpConfig::new(&Secret::new(url), &self.prefix, rungs).expect("a good configuration")
    }

    /// Connected already.
    pub async fn queue(&self) -> Arc<AmqpQueue> {
        let queue = AmqpQueue::start(self.config(&broker_url()));
        assert!(queue.connected(CONNECTED).await, "the broker named by TEST_AMQP_URL does not answer");
        queue
    }
}

impl Bench for AmqpBench {
    fn client(&self) -> BoxFuture<'_, SharedQueue> {
        async move { self.queue().await as SharedQueue }.boxed()
    }

    fn put_raw(&self, lane: Lane, body: Vec<u8>) -> BoxFuture<'_, ()> {
        async move {
            let queue = self.queue().await;
            queue.publish_bytes(lane, "unknown", Uuid::now_v7(), body, None).await.expect("published");
        }
        .boxed()
    }

    fn shortest_delay(&self) -> Duration {
        Duration::from_millis(500)
    }
}
