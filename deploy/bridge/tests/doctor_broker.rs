//! `bridge doctor` on a real RabbitMQ, broken in every way that a broker can be.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use lapin::options::{BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::Value;
use shared::domain::Secret;
use shared::message::{Command, Envelope};
use shared::queue::amqp::AmqpQueue;
use shared::queue::amqp::config::AmqpConfig;
use shared::queue::{Publisher as _, Queue as _};
use tokio::sync::RwLock;
use uuid::Uuid;

/// Held alone by the test that starves the broker.
static BROKER: RwLock<()> = RwLock::const_new(());

/// Without it these tests fail: a skipped one would look like a pass.
fn broker_url() -> String {
    std::env::var("TEST_AMQP_URL").unwrap_or_else(|_| {
        panic!("TEST_AMQP_URL is not set: this test needs a RabbitMQ; run ./tests/run, which starts one")
    })
}

/// The same broker's management API.
fn management_url() -> String {
    std::env::var("TEST_RABBITMQ_MANAGEMENT").unwrap_or_else(|_| {
        panic!("TEST_RABBITMQ_MANAGEMENT is not set: this test needs a RabbitMQ; run ./tests/run, which starts one")
    })
}

struct Stage {
    management: String,
    prefix: String,
    folder: PathBuf,
    channel: Channel,
    _connection: Connection,
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Stage {
    /// Nothing is declared yet.
    async fn bare() -> Self {
        let prefix = format!("doctor-{}", Uuid::new_v4().simple());
        let connection =
            Connection::connect(&broker_url(), ConnectionProperties::default()).await.expect("the broker answers");
        let channel = connection.create_channel().await.expect("a channel");
        let folder = std::env::temp_dir().join(&prefix);
        Self { management: management_url(), folder, prefix, channel, _connection: connection }
    }

    /// Everything is declared, as a worker does it.
    async fn new() -> Self {
        let stage = Self::bare().await;
        let queue = stage.queue();
        assert!(queue.connected(Duration::from_secs(30)).await, "the broker named by TEST_AMQP_URL does not answer");
        // A confirmed message proves that the declarations before it are through.
        let command = Envelope::new(Command::Retention {}, None, shared::clock::Clock::system().now());
        queue.publish(command).await.expect("published");
        queue.close().await;
        stage.purge("bulk.v1").await;
        stage
    }

    fn queue(&self) -> std::sync::Arc<AmqpQueue> {
        AmqpQueue::start(AmqpConfig::new(&Secret::new(broker_url()), &self.prefix).expect("settings"))
    }

    fn name(&self, queue: &str) -> String {
        format!("{}.{queue}", self.prefix)
    }

    async fn purge(&self, queue: &str) {
        self.channel.queue_purge(self.name(queue).into(), Default::default()).await.expect("purged");
    }

    async fn delete(&self, queue: &str) {
        let options = QueueDeleteOptions::default();
        self.channel.queue_delete(self.name(queue).into(), options).await.expect("deleted");
    }

    async fn doctor(&self, url: &str) -> (i32, Vec<Value>) {
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_bridge"))
            .args(["--json", "doctor"])
            .env_clear()
            .env("DATA_DIR", &self.folder)
            .env("AMQP_URL", url)
            .env("AMQP_PREFIX", &self.prefix)
            .env("AMQP_MANAGEMENT_URL", &self.management)
            .stdin(Stdio::null())
            .output()
            .await
            .expect("started");
        let findings = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (output.status.code().expect("a code"), findings)
    }

    /// The broker's findings contain one with these words, and the command says 1.
    async fn finds(&self, url: &str, level: &str, what: &str, remedy: &str) {
        let (code, findings) = self.doctor(url).await;
        let found = findings.iter().any(|f| {
            f["area"] == "broker"
                && f["level"] == level
                && f["what"].as_str().is_some_and(|text| text.contains(what))
                && f["remedy"].as_str().is_some_and(|text| text.contains(remedy))
        });
        assert!(found, "«{what}» with «{remedy}» in {findings:#?}");
        assert_eq!(code, 1);
        assert!(!format!("{findings:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn a_broker_as_it_should_be_is_well() {
    let _hold = BROKER.read().await;
    let stage = Stage::new().await;
    let (_, findings) = stage.doctor(&broker_url()).await;
    let broker: Vec<&Value> = findings.iter().filter(|f| f["area"] == "broker").collect();
    assert!(broker.iter().all(|f| f["level"] == "ok"), "{broker:#?}");
    assert!(
        broker.iter().any(|f| f["what"].as_str().is_some_and(|text| text.starts_with("RabbitMQ 3."))),
        "{broker:#?}"
    );
}

/// The API tells of nodes and members; without it that is said, and nothing is worse for it.
#[tokio::test]
async fn members_are_counted_against_the_nodes_and_what_could_not_be_known_is_said() {
    let _hold = BROKER.read().await;
    let mut stage = Stage::new().await;
    let says = |findings: &[Value], text: &str| {
        findings.iter().any(|f| f["area"] == "broker" && f["what"].as_str().is_some_and(|what| what.contains(text)))
    };
    let (_, findings) = stage.doctor(&broker_url()).await;
    assert!(says(&findings, "RabbitMQ is one node: what waits in its queues is worth its disk"), "{findings:#?}");

    let pattern = format!("^{}\\.bulk", stage.prefix);
    rabbitmqctl(&["set_policy", "--apply-to", "queues", &stage.prefix, &pattern, r#"{"expires":3600000}"#]).await;
    let named = format!("the policy «{}» sets expires on {}", stage.prefix, stage.name("bulk.v1"));
    let seen = async { while !says(&stage.doctor(&broker_url()).await.1, &named) {} };
    tokio::time::timeout(Duration::from_secs(30), seen).await.expect("the policy is named");
    rabbitmqctl(&["clear_policy", &stage.prefix]).await;

    // Port 1 of the own machine: refused at once.
    stage.management = "http://127.0.0.1:1".to_owned();
    let (_, findings) = stage.doctor(&broker_url()).await;
    assert!(says(&findings, "the management API at http://127.0.0.1:1 tells nothing"), "{findings:#?}");
    let worse = findings.iter().any(|f| f["area"] == "broker" && f["level"] != "ok");
    assert!(!worse, "{findings:#?}");
}

#[tokio::test]
async fn a_broker_without_anything_of_ours_is_left_as_it_is() {
    let _hold = BROKER.read().await;
    let stage = Stage::bare().await;
    for _ in 0..2 {
        stage.finds(&broker_url(), "warning", "nothing of ours exists", "AMQP_PREFIX").await;
    }
}

#[tokio::test]
async fn a_missing_queue_is_named() {
    let _hold = BROKER.read().await;
    let stage = Stage::new().await;
    stage.delete("interactive.v1").await;
    let what = format!("missing in RabbitMQ: {}", stage.name("interactive.v1"));
    stage.finds(&broker_url(), "error", &what, "restart a worker").await;
}

#[tokio::test]
async fn a_queue_of_another_type_is_named() {
    let _hold = BROKER.read().await;
    let stage = Stage::new().await;
    stage.delete("bulk.v1").await;
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    stage.channel.queue_declare(stage.name("bulk.v1").into(), options, FieldTable::default()).await.expect("declared");
    let what = format!("{} exists with another type", stage.name("bulk.v1"));
    stage.finds(&broker_url(), "error", &what, "delete it and start a worker").await;
}

#[tokio::test]
async fn messages_put_aside_or_unroutable_are_counted() {
    let _hold = BROKER.read().await;
    let stage = Stage::new().await;
    for (exchange, key) in [("dead", "interactive.SendOrder"), ("jobs", "nowhere.SendOrder")] {
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        let sending = stage.channel.basic_publish(stage.name(exchange).into(), key.into(), options, b"{}", properties);
        sending.await.expect("sent");
    }
    let settled = async {
        loop {
            let (_, findings) = stage.doctor(&broker_url()).await;
            let text = format!("{findings:?}");
            if text.contains("put aside by the broker") && text.contains("found no queue") {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), settled).await.expect("both are counted");
    stage.finds(&broker_url(), "warning", "1 message(s) found no queue", "bridge dead list").await;
    stage.finds(&broker_url(), "warning", "1 message(s) were put aside", "bridge dead list").await;
}

#[tokio::test]
async fn messages_that_nobody_takes_are_an_error() {
    let _hold = BROKER.read().await;
    let stage = Stage::new().await;
    let queue = stage.queue();
    assert!(queue.connected(Duration::from_secs(30)).await);
    let command = Envelope::new(Command::Retention {}, None, shared::clock::Clock::system().now());
    queue.publish(command).await.expect("published");
    queue.close().await;
    stage.finds(&broker_url(), "error", "1 message(s) wait in the bulk lane", "start a worker").await;
}

#[tokio::test]
async fn a_wrong_password_and_a_wrong_virtual_host_are_told_apart() {
    let _hold = BROKER.read().await;
    let stage = Stage::bare().await;
    let url = broker_url();
    let host = url.rsplit('@').next().expect("host").split('/').next().expect("host");
    let wrong = format!("amqp://guest:hunter2@{host}/%2f");
    stage.finds(&wrong, "error", "refuses the user name or password", "AMQP_URL").await;
    let elsewhere = format!("amqp://guest:guest@{host}/elsewhere");
    stage.finds(&elsewhere, "error", "virtual host", "rabbitmqctl add_vhost").await;
}

#[tokio::test]
async fn a_missing_binding_shows_in_what_was_not_routed() {
    let _hold = BROKER.read().await;
    let stage = Stage::new().await;
    let (queue, exchange) = (stage.name("bulk.v1"), stage.name("jobs"));
    let unbinding = stage.channel.queue_unbind(queue.into(), exchange.into(), "bulk.#".into(), FieldTable::default());
    unbinding.await.expect("unbound");
    let queue = format!("{}.jobs", stage.prefix);
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    stage.channel.basic_publish(queue.into(), "bulk.Retention".into(), options, b"{}", properties).await.expect("sent");
    let seen = async { while !format!("{:?}", stage.doctor(&broker_url()).await.1).contains("found no queue") {} };
    tokio::time::timeout(Duration::from_secs(30), seen).await.expect("it is counted");
}

#[tokio::test]
async fn a_right_that_was_taken_away_is_told_in_the_brokers_own_words() {
    let _hold = BROKER.read().await;
    let stage = Stage::new().await;
    let user = format!("doctor-{}", Uuid::new_v4().simple());
    rabbitmqctl(&["add_user", &user, "hunter2"]).await;
    let url = broker_url();
    let host = url.rsplit('@').next().expect("host");
    let theirs = format!("amqp://{user}:hunter2@{host}");
    for (configure, write, read, word) in
        [(".*", ".*", "^$", "read"), (".*", "^$", ".*", "write"), ("^$", ".*", ".*", "configure")]
    {
        rabbitmqctl(&["set_permissions", &user, configure, write, read]).await;
        stage.finds(&theirs, "error", &format!("the right to {word}: ACCESS_REFUSED"), "set_permissions").await;
    }
    rabbitmqctl(&["delete_user", &user]).await;
}

#[tokio::test]
async fn broker_wide_an_alarm_is_said() {
    let _hold = BROKER.write().await;
    let stage = Stage::new().await;
    rabbitmqctl(&["set_vm_memory_high_watermark", "0"]).await;
    let found = stage.doctor(&broker_url()).await;
    rabbitmqctl(&["set_vm_memory_high_watermark", "0.4"]).await;
    let blocked = found.1.iter().any(|f| {
        f["level"] == "error" && f["remedy"].as_str().is_some_and(|text| text.contains("rabbitmq-diagnostics alarms"))
    });
    assert!(blocked, "{found:#?}");
}

async fn rabbitmqctl(arguments: &[&str]) {
    let program = std::env::var("TEST_RABBITMQCTL").unwrap_or_else(|_| {
        panic!("TEST_RABBITMQCTL is not set: this test starves the broker; run ./tests/run, which starts one")
    });
    let output = tokio::process::Command::new(program).args(arguments).output().await.expect("rabbitmqctl runs");
    assert!(output.status.success(), "rabbitmqctl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
