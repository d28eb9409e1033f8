//! A look at a broker for `bridge doctor`: who it is, whether it takes messages, and
//! whether what we need is there as we need it. Changes nothing: a missing queue stays
//! missing.

use std::time::Duration;

use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::tcp::AMQPUriTcpExt as _;
use lapin::types::FieldTable;
use lapin::uri::AMQPUri;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Error, ErrorKind};
use tokio::time::timeout;

use crate::queue::amqp::config::{AmqpConfig, server};
use crate::queue::amqp::limits::{CONNECT_LIMIT, DECLARE_LIMIT};
use crate::queue::amqp::refusal::{
    ACCESS_REFUSED, NOT_FOUND, PRECONDITION_FAILED, Refusal, is_of_a_lost_node, refusal, reply_code,
};
use crate::queue::amqp::topology::{Exchange, Part, Topology};

/// A broker that takes messages confirms one in milliseconds.
const CONFIRM_LIMIT: Duration = Duration::from_secs(3);
/// Longest greeting that is read.
const GREETING_CAP: usize = 64 * 1024;

/// What was found out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// `3.10.8`, when the broker greeted.
    pub version: Option<String>,
    /// Nodes that let nobody in while another does, and why.
    pub away: Vec<(String, Refusal)>,
    /// Why there is no connection.
    pub refusal: Option<Refusal>,
    /// Publishing was tried and did not come through: an alarm, as a rule.
    pub blocked: bool,
    /// A right that we need and do not have (`configure`, `write`, `read`), and the broker's words.
    pub forbidden: Option<(&'static str, String)>,
    pub exchanges: Vec<Inspected>,
    pub queues: Vec<Inspected>,
}

/// One exchange or queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    pub name: String,
    /// What the queue is for; `None` for exchanges.
    pub part: Option<Part>,
    pub found: Condition,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// There, with the arguments we need.
    Fine {
        messages: u32,
        consumers: u32,
    },
    Missing,
    /// There, and its node is not (or nobody answers for it): the broker's words, if it said any.
    Away(Option<String>),
    /// There, of another type or with other arguments: the broker's words.
    Different(String),
    /// It could not be looked at.
    Unknown(String),
}

/// Looks at the broker the settings name.
pub async fn inspect(config: &AmqpConfig) -> Inspection {
    let mut inspection = Inspection::default();
    let mut connected = None;
    for uri in &config.uris {
        match connect(config, uri).await {
            Ok(connection) if connected.is_none() => {
                inspection.version = timeout(CONNECT_LIMIT, greeting(config, uri)).await.ok().flatten();
                connected = Some(connection);
            }
            Ok(connection) => drop(timeout(DECLARE_LIMIT, connection.close(200, "bye".into())).await),
            Err(refusal) => inspection.away.push((server(uri), refusal)),
        }
    }
    let Some(connection) = connected else {
        inspection.refusal = inspection.away.pop().map(|(_, refusal)| refusal);
        return inspection;
    };
    let topology = Topology::new(&config.prefix);
    let mut look = Look { connection: &connection, channel: None };
    for Exchange { name, kind, arguments } in topology.exchanges() {
        let found = look.exchange(&name, kind, arguments).await;
        inspection.exchanges.push(Inspected { name, part: None, found });
    }
    // A broker cannot be asked about bindings in AMQP; declaring one again is what every start
    // does.
    for queue in topology.queues() {
        let found = look.queue(&queue.name, queue.arguments).await;
        inspection.queues.push(Inspected { name: queue.name, part: Some(queue.part), found });
    }
    // Last: under an alarm the broker reads nothing more from who has published.
    match timeout(CONFIRM_LIMIT, there_and_back(&connection, &config.prefix)).await {
        Ok(Ok(confirmed)) => inspection.blocked = !confirmed || connection.status().blocked(),
        Ok(Err((right, error))) if reply_code(&error) == Some(ACCESS_REFUSED) => {
            let words = match refused(&error) {
                Condition::Unknown(words) => words,
                _ => error.to_string(),
            };
            inspection.forbidden = Some((right, words));
        }
        Ok(Err(_)) | Err(_) => inspection.blocked = true,
    }
    if !inspection.blocked {
        let _ = timeout(DECLARE_LIMIT, connection.close(200, "bye".into())).await;
    }
    inspection
}

async fn connect(config: &AmqpConfig, uri: &AMQPUri) -> Result<Connection, Refusal> {
    let name = format!("{} doctor", config.prefix);
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let tls = config.tls(uri).map_err(|error| refusal(&error.into(), uri))?;
    let runtime = lapin::runtime::default_runtime().map_err(|error| refusal(&error, uri))?;
    let connecting = Connection::connect_uri_with_config(uri.clone(), properties, tls, runtime);
    match timeout(CONNECT_LIMIT, connecting).await {
        Ok(connected) => connected.map_err(|error| refusal(&error, uri)),
        Err(_) => Err(Refusal::NoConnection(format!("{}: no answer in time", server(uri)))),
    }
}

/// A channel that is opened anew after the broker closed it over an answer.
struct Look<'a> {
    connection: &'a Connection,
    channel: Option<Channel>,
}

impl Look<'_> {
    async fn channel(&mut self) -> Result<Channel, Condition> {
        if let Some(channel) = self.channel.take().filter(|channel| channel.status().connected()) {
            self.channel = Some(channel.clone());
            return Ok(channel);
        }
        match timeout(DECLARE_LIMIT, self.connection.create_channel()).await {
            Ok(Ok(channel)) => {
                self.channel = Some(channel.clone());
                Ok(channel)
            }
            Ok(Err(error)) => Err(Condition::Unknown(error.to_string())),
            Err(_) => Err(Condition::Unknown("no answer in time".to_owned())),
        }
    }

    async fn limited<T>(&mut self, asking: impl Future<Output = lapin::Result<T>>) -> Result<T, Condition> {
        match timeout(DECLARE_LIMIT, asking).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                self.channel = None;
                Err(refused(&error))
            }
            Err(_) => {
                self.channel = None;
                Err(Condition::Away(None))
            }
        }
    }

    /// Passive first, so that nothing comes into being; then with our arguments, which the
    /// broker compares with those of what exists.
    async fn queue(&mut self, name: &str, arguments: FieldTable) -> Condition {
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let ours = QueueDeclareOptions { durable: true, ..Default::default() };
        let found = async {
            let channel = self.channel().await?;
            self.limited(channel.queue_declare(name.into(), passive, FieldTable::default())).await?;
            let channel = self.channel().await?;
            let queue = self.limited(channel.queue_declare(name.into(), ours, arguments)).await?;
            Ok(Condition::Fine { messages: queue.message_count(), consumers: queue.consumer_count() })
        };
        found.await.unwrap_or_else(|found| found)
    }

    async fn exchange(&mut self, name: &str, kind: lapin::ExchangeKind, arguments: FieldTable) -> Condition {
        let passive = ExchangeDeclareOptions { passive: true, ..Default::default() };
        let ours = ExchangeDeclareOptions { durable: true, ..Default::default() };
        let found = async {
            let channel = self.channel().await?;
            self.limited(channel.exchange_declare(name.into(), kind.clone(), passive, FieldTable::default())).await?;
            let channel = self.channel().await?;
            self.limited(channel.exchange_declare(name.into(), kind, ours, arguments)).await?;
            Ok(Condition::Fine { messages: 0, consumers: 0 })
        };
        found.await.unwrap_or_else(|found| found)
    }
}

fn refused(error: &Error) -> Condition {
    let words = match error.kind() {
        ErrorKind::ProtocolError(error) => error.get_message().to_string(),
        _ => error.to_string(),
    };
    match reply_code(error) {
        Some(NOT_FOUND) if is_of_a_lost_node(&words) => Condition::Away(Some(words)),
        Some(NOT_FOUND) => Condition::Missing,
        Some(PRECONDITION_FAILED) => Condition::Different(words),
        _ => Condition::Unknown(words),
    }
}

/// Publishes into a queue of its own that goes away with it, and takes the message out again:
/// only a publisher is told of an alarm, and only once it publishes; only who reads is told that
/// it may not. The queue is named as ours are, since rights go by names.
///
/// # Errors
/// The library's, with the right that the step needed.
async fn there_and_back(connection: &Connection, prefix: &str) -> Result<bool, (&'static str, Error)> {
    let needs = |right: &'static str| move |error: Error| (right, error);
    let channel = connection.create_channel().await.map_err(needs("configure"))?;
    channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(needs("configure"))?;
    let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
    let name = format!("{prefix}.doctor.{}", uuid::Uuid::new_v4().simple());
    let declaring = channel.queue_declare(name.into(), options, FieldTable::default());
    let queue = declaring.await.map_err(needs("configure"))?;
    #[expect(clippy::disallowed_methods, reason = "its confirm is what is asked for")]
    let sending = channel.basic_publish(
        "".into(),
        queue.name().clone(),
        BasicPublishOptions::default(),
        b"doctor",
        BasicProperties::default(),
    );
    let confirm = sending.await.map_err(needs("write"))?;
    let confirmed = confirm.await.map_err(needs("write"))?.is_ack();
    let getting = channel.basic_get(queue.name().clone(), BasicGetOptions { no_ack: true });
    getting.await.map_err(needs("read"))?;
    let _ = channel.queue_delete(queue.name().clone(), QueueDeleteOptions::default()).await;
    Ok(confirmed)
}

/// The version from the broker's first frame (`connection.start`), which comes before any
/// login; lapin keeps it to itself.
async fn greeting(config: &AmqpConfig, uri: &AMQPUri) -> Option<String> {
    let runtime = lapin::runtime::default_runtime().ok()?;
    let mut stream = uri.connect_with_config_async(config.tls(uri).ok()?.as_ref(), &runtime).await.ok()?;
    stream.write_all(b"AMQP\x00\x00\x09\x01").await.ok()?;
    stream.flush().await.ok()?;
    let mut head = [0; 7];
    stream.read_exact(&mut head).await.ok()?;
    let size = usize::try_from(u32::from_be_bytes([head[3], head[4], head[5], head[6]])).ok()?;
    if head[0] != 1 || size > GREETING_CAP {
        return None;
    }
    let mut frame = vec![0; size];
    stream.read_exact(&mut frame).await.ok()?;
    version_in(&frame)
}

/// `version` of the server's properties. Class and method (10, 10), two bytes of protocol
/// version, then the table. Only its long strings (`S`) matter; nested tables are stepped over.
fn version_in(frame: &[u8]) -> Option<String> {
    let mut rest = frame.strip_prefix(&[0, 10, 0, 10])?.get(2..)?;
    let length = usize::try_from(take_u32(&mut rest)?).ok()?;
    let mut table = rest.get(..length)?;
    while !table.is_empty() {
        let name_length = usize::from(take(&mut table, 1)?[0]);
        let name = take(&mut table, name_length)?;
        let value = match take(&mut table, 1)?[0] {
            b'S' | b'F' => {
                let length = usize::try_from(take_u32(&mut table)?).ok()?;
                take(&mut table, length)?
            }
            b't' => take(&mut table, 1)?,
            b'I' => take(&mut table, 4)?,
            _ => return None,
        };
        if name == b"version" {
            return String::from_utf8(value.to_vec()).ok();
        }
    }
    None
}

fn take<'a>(from: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(taken)
}

fn take_u32(from: &mut &[u8]) -> Option<u32> {
    take(from, 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Secret;

    fn greeting_frame(properties: &[u8]) -> Vec<u8> {
        let mut frame = vec![0, 10, 0, 10, 0, 9];
        frame.extend(u32::try_from(properties.len()).expect("short").to_be_bytes());
        frame.extend(properties);
        frame.extend(b"\x00\x00\x00\x05PLAIN\x00\x00\x00\x05en_US");
        frame
    }

    #[test]
    fn the_version_is_read_from_the_brokers_greeting() {
        let properties = b"\x0ccapabilitiesF\x00\x00\x00\x04\x01at\x01\x07productS\x00\x00\x00\x08RabbitMQ\x07versionS\x00\x00\x00\x063.10.8";
        assert_eq!(version_in(&greeting_frame(properties)).as_deref(), Some("3.10.8"));
        assert_eq!(version_in(&greeting_frame(b"")), None);
        assert_eq!(version_in(&greeting_frame(&properties[..properties.len() - 3])), None);
        assert_eq!(version_in(b"HTTP/1.1"), None);
    }

    #[tokio::test]
    async fn a_broker_that_is_not_there_is_said_without_the_password() {
        let url = Secret::new("amqp://shop:hunter2@127.0.0.1:1/");
        let found = inspect(&AmqpConfig::new(&url, "p").expect("valid")).await;
        assert!(matches!(found.refusal, Some(Refusal::NoConnection(_))), "{found:?}");
        assert_eq!(found.version, None);
        assert!(!format!("{found:?}").contains("hunter2"));
    }
}
