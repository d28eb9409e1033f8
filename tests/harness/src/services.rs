//! The run's RabbitMQ and PostgreSQL: a queue prefix and a database of one's own on them.

use anyhow::Context as _;
use lapin::options::{ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use url::Url;

use super::eventually::{LONG, eventually};
use super::vhost::Vhost;

fn variable(name: &str) -> String {
    // Without it the story fails: a skipped one would look like a pass.
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: this story needs RabbitMQ and PostgreSQL; run ./tests/run, which starts them")
    })
}

/// Where the run's broker is.
///
/// # Panics
/// Without one.
pub fn broker_url() -> String {
    variable("TEST_AMQP_URL")
}

/// Runs the broker's own command line tool and gives what it says.
///
/// # Panics
/// When it fails.
pub async fn rabbitmqctl(arguments: &[&str]) -> String {
    let program = variable("TEST_RABBITMQCTL");
    let output = tokio::process::Command::new(program).args(arguments).output().await.expect("rabbitmqctl runs");
    assert!(output.status.success(), "rabbitmqctl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A server of the run that can be killed; it is started again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// RabbitMQ.
    Broker,
    /// PostgreSQL.
    Database,
}

impl Server {
    /// `kill -9` of the server, whoever uses it.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub async fn crash(self) {
        let name = match self {
            Self::Broker => "rabbitmq",
            Self::Database => "postgres",
        };
        let done = tokio::process::Command::new(variable("TEST_CRASH")).arg(name).status().await.expect("a shell");
        assert!(done.success(), "{name} cannot be killed: {done}");
    }

    /// Waits until it takes connections (again).
    ///
    /// # Panics
    /// When it does not within a minute.
    pub async fn is_up(self) {
        eventually(&format!("{self:?} is up"), LONG, || async {
            let connected = async {
                match self {
                    Self::Broker => connect(&broker_url()).await.map(drop),
                    Self::Database => {
                        PgConnection::connect(&variable("TEST_DATABASE_URL")).await.map(drop).map_err(Into::into)
                    }
                }
            };
            // One that dies in the middle of a handshake may leave its client waiting for ever.
            match tokio::time::timeout(std::time::Duration::from_secs(5), connected).await {
                Ok(connected) => connected.map_err(|error: anyhow::Error| format!("{error:#}")),
                Err(_) => Err("it does not finish the handshake".to_owned()),
            }
        })
        .await;
    }
}

/// The broker while it does not serve; it does again when this is gone, so that a story
/// that fails spoils no other.
pub struct Outage {
    end: &'static [&'static str],
    over: bool,
}

impl Outage {
    /// `rabbitmqctl stop_app`: every connection is closed, none is taken.
    pub async fn stop_broker() -> Self {
        let outage = Self { end: &["start_app"], over: false };
        rabbitmqctl(&["stop_app"]).await;
        outage
    }

    /// A memory alarm: publishers are blocked, consumers are not.
    pub async fn memory_alarm() -> Self {
        let outage = Self { end: &["set_vm_memory_high_watermark", "0.4"], over: false };
        rabbitmqctl(&["set_vm_memory_high_watermark", "0"]).await;
        outage
    }

    /// The broker serves again.
    pub async fn end(mut self) {
        self.over = true;
        rabbitmqctl(self.end).await;
        if self.end[0] == "start_app" {
            rabbitmqctl(&["await_startup"]).await;
        }
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        if !self.over {
            let _ = std::process::Command::new(variable("TEST_RABBITMQCTL")).args(self.end).status();
        }
    }
}

/// Shared by most stories, held alone by those that stop or starve the broker. Under
/// nextest each test is a process of its own and .config/nextest.toml keeps them apart.
static BROKER: RwLock<()> = RwLock::const_new(());

#[expect(dead_code, reason = "held for their drop")]
enum Hold {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

/// A connection of the harness's own.
async fn connect(url: &str) -> anyhow::Result<Connection> {
    Ok(Connection::connect(url, ConnectionProperties::default()).await?)
}

/// A prefix on the broker.
pub(crate) struct Queues {
    pub(crate) prefix: String,
    /// Instead of the broker's default one.
    pub(crate) vhost: Option<Vhost>,
    _hold: Hold,
}

impl Queues {
    pub(crate) async fn new(alone: bool, vhost: bool) -> Self {
        let hold = if alone { Hold::Alone(BROKER.write().await) } else { Hold::Shared(BROKER.read().await) };
        let vhost = if vhost { Some(Vhost::create().await) } else { None };
        Self { prefix: format!("e2e-{}", uuid::Uuid::new_v4().simple()), vhost, _hold: hold }
    }

    /// Where the product finds them.
    pub(crate) fn url(&self) -> String {
        self.vhost.as_ref().map_or_else(broker_url, Vhost::url)
    }

    async fn connect(&self) -> anyhow::Result<Connection> {
        connect(&self.vhost.as_ref().map_or_else(broker_url, Vhost::own_url)).await
    }

    /// Messages ready in the queues that hold work, by queue; those in somebody's hands
    /// are not counted.
    pub(crate) async fn waiting(&self) -> anyhow::Result<Vec<(String, u32)>> {
        let work = ["interactive", "bulk", "rpc", "dead", "unrouted"];
        self.ready(work.map(|what| format!("{}.{what}.v1", self.prefix)).as_slice()).await
    }

    /// Queues with messages ready, among these. Asked of the queues themselves: what
    /// `rabbitmqctl` lists is up to five seconds old.
    pub(crate) async fn ready(&self, names: &[String]) -> anyhow::Result<Vec<(String, u32)>> {
        let connection = self.connect().await?;
        let channel = connection.create_channel().await?;
        let mut found = Vec::new();
        for name in names {
            let passive = QueueDeclareOptions { passive: true, ..Default::default() };
            let queue = channel.queue_declare(name.as_str().into(), passive, FieldTable::default()).await?;
            if queue.message_count() > 0 {
                found.push((name.clone(), queue.message_count()));
            }
        }
        connection.close(200, "done".into()).await?;
        Ok(found)
    }

    /// Every queue of the prefix.
    pub(crate) async fn names(&self) -> Vec<String> {
        let mut arguments = vec!["list_queues", "name", "--formatter", "json"];
        arguments.extend(self.vhost.iter().flat_map(|vhost| ["-p", vhost.name()]));
        let listed = rabbitmqctl(&arguments).await;
        let rows: Vec<Value> = serde_json::from_str(&listed).expect("rabbitmqctl answers JSON");
        let own = format!("{}.", self.prefix);
        rows.iter()
            .filter_map(|row| row["name"].as_str())
            .filter(|name| name.starts_with(&own))
            .map(str::to_owned)
            .collect()
    }

    /// Deletes one queue, with whatever it holds.
    pub(crate) async fn delete(&self, name: &str) -> anyhow::Result<()> {
        let connection = self.connect().await?;
        let channel = connection.create_channel().await?;
        channel.queue_delete(name.into(), QueueDeleteOptions::default()).await?;
        connection.close(200, "done".into()).await?;
        Ok(())
    }

    /// Removes what the prefix has left on the broker.
    pub(crate) async fn remove(&self, queues: &[String]) -> anyhow::Result<()> {
        let connection = self.connect().await?;
        let channel = connection.create_channel().await?;
        for name in queues {
            channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await?;
            let exchange = name.trim_end_matches(".v1");
            channel.exchange_delete(exchange.into(), ExchangeDeleteOptions::default()).await?;
        }
        channel.exchange_delete(format!("{}.jobs", self.prefix).into(), ExchangeDeleteOptions::default()).await?;
        connection.close(200, "done".into()).await?;
        Ok(())
    }
}

/// A database of its own on the run's server; dropped with this value.
pub struct Database {
    server: String,
    pub(crate) name: String,
    /// Its URL.
    pub url: Url,
}

impl Database {
    /// An empty one.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn create() -> anyhow::Result<Self> {
        Self::create_on(variable("TEST_DATABASE_URL")).await
    }

    /// The same on a server of the story's own.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn create_on(server: String) -> anyhow::Result<Self> {
        let name = format!("e2e_{}", uuid::Uuid::new_v4().simple());
        let mut connection = PgConnection::connect(&server).await.context("the PostgreSQL does not answer")?;
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await?;
        connection.close().await?;
        let mut url = Url::parse(&server)?;
        url.set_path(&name);
        Ok(Self { server, name, url })
    }

    /// `host:port` of the server.
    pub fn address(&self) -> String {
        format!("{}:{}", self.url.host_str().unwrap_or("127.0.0.1"), self.url.port().unwrap_or(5432))
    }

    /// The URL by way of another address.
    pub fn by_way_of(&self, address: std::net::SocketAddr) -> String {
        let mut url = self.url.clone();
        let _ = url.set_ip_host(address.ip());
        let _ = url.set_port(Some(address.port()));
        url.to_string()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // A runtime of its own: this may be the unwinding of a test inside one.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&server).await.ok()?;
                let drop = AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
                sqlx::query(drop).execute(&mut connection).await.ok()
            })
        });
        let _ = dropping.join();
    }
}
