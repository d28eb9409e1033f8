//! One prefix of its own on the test run's broker.

use std::sync::Arc;
use std::time::Duration;

use shared::domain::Secret;
use shared::queue::amqp::AmqpQueue;
use shared::queue::amqp::config::AmqpConfig;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use uuid::Uuid;

/// How long the broker may take to answer a new client.
const CONNECTED: Duration = Duration::from_secs(30);

/// Shared by most tests, held alone by those that stop or starve the broker. Under nextest
/// each test is a process and .config/nextest.toml keeps them apart.
static BROKER: RwLock<()> = RwLock::const_new(());

/// Where the broker is. Without it these tests fail: a skipped one would look like a pass.
pub(crate) fn broker_url() -> String {
    std::env::var("TEST_AMQP_URL").unwrap_or_else(|_| {
        panic!("TEST_AMQP_URL is not set: this test needs a RabbitMQ; run ./tests/run, which starts one")
    })
}

/// Runs the broker's own command line tool.
pub(crate) async fn rabbitmqctl(arguments: &[&str]) {
    let program = std::env::var("TEST_RABBITMQCTL").unwrap_or_else(|_| {
        panic!("TEST_RABBITMQCTL is not set: this test stops the broker; run ./tests/run, which starts one")
    });
    let output = tokio::process::Command::new(program).args(arguments).output().await.expect("rabbitmqctl runs");
    assert!(output.status.success(), "rabbitmqctl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[expect(dead_code, reason = "held for their drop")]
enum Hold {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

/// A set of queues that no other test uses.
pub(crate) struct AmqpBench {
    pub(crate) prefix: String,
    _hold: Hold,
}

impl AmqpBench {
    pub(crate) async fn new() -> Self {
        Self::holding(Hold::Shared(BROKER.read().await))
    }

    /// For a test that does something to the whole broker.
    pub(crate) async fn alone() -> Self {
        Self::holding(Hold::Alone(BROKER.write().await))
    }

    fn holding(hold: Hold) -> Self {
        Self { prefix: format!("test-{}", Uuid::new_v4().simple()), _hold: hold }
    }

    pub(crate) fn config(&self, url: &str) -> AmqpConfig {
        AmqpConfig::new(&Secret::new(url), &self.prefix).expect("a good configuration")
    }

    /// Sets a policy on queues of this bench, `queue` being what follows the prefix, and waits until
    /// it applies. It goes when the bench's queues are forgotten with the run's broker.
    pub(crate) async fn policy(&self, queue: &str, definition: &str) {
        let pattern = format!("^{}\\.{queue}", self.prefix);
        rabbitmqctl(&["set_policy", "--apply-to", "queues", &format!("{}-{queue}", self.prefix), &pattern, definition])
            .await;
    }

    /// Connected already.
    pub(crate) async fn queue(&self) -> Arc<AmqpQueue> {
        connected(self.config(&broker_url())).await
    }

    /// A channel on a connection of its own, to do what the adapter would not do.
    pub(crate) async fn channel(&self) -> (lapin::Connection, lapin::Channel) {
        let connection =
            lapin::Connection::connect(&broker_url(), lapin::ConnectionProperties::default()).await.expect("connected");
        let channel = connection.create_channel().await.expect("a channel");
        (connection, channel)
    }
}

pub(crate) async fn connected(config: AmqpConfig) -> Arc<AmqpQueue> {
    let queue = AmqpQueue::start(config);
    assert!(queue.connected(CONNECTED).await, "the broker named by TEST_AMQP_URL does not answer");
    queue
}
