//! The queue on RabbitMQ (3.10 or later; messaging.md).
//!
//! [`AmqpQueue::start`] begins two tasks, each keeping one connection open for ever: one
//! publishes and declares (`publisher`), one consumes (`subscription`, `rpc`). Nothing
//! here fails because the broker is away: publishing is refused, consuming waits.

mod connection;
mod fallback_runtime;
pub mod inspection;
mod publisher;
mod rpc;
mod subscription;
mod topology;
mod upkeep;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::uri::AMQPUri;
use lapin::{BasicProperties, ErrorKind};
use tokio::sync::{Mutex, Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::domain::Secret;
use crate::message::{Envelope, Lane, encode};
use crate::queue::amqp::connection::{Link, Live, supervise};
use crate::queue::amqp::inspection::Part;
use crate::queue::amqp::publisher::{Ask, INBOX, Outgoing, Publishing, channel_of};
use crate::queue::amqp::rpc::Consuming;
use crate::queue::amqp::subscription::{AmqpSubscription, Source};
use crate::queue::amqp::topology::{Topology, routing_key};
use crate::queue::amqp::upkeep::Upkept;
use crate::queue::pending_calls::PendingCalls;
use crate::queue::{Aside, Consumer, PublishError, Publisher, Queue, QueueState, Subscription};

pub use topology::jittered;

/// Longest wait of [`AmqpQueue::close`] for outstanding confirms.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait of [`AmqpQueue::close`] for the two connections.
const GOODBYE_LIMIT: Duration = Duration::from_secs(5);
/// Longest message that a broker takes unless it is told otherwise, bytes: 16 MiB from 4.0 on, 128
/// before.
const LARGEST: usize = 16 * 1024 * 1024;
/// Longest prefix: names are at most 255 bytes, ours add up to 50.
const LONGEST_PREFIX: usize = 200;
/// Who published a message, for people who look into the queue.
const APP_ID: &str = "measoft-bridge";

/// What happened inside, for metrics. Every method does nothing by default and must not
/// block: they are called from the publisher task.
pub trait QueueEvents: Send + Sync {
    /// The broker has stored a message, this long after it was sent.
    fn confirmed(&self, _after: Duration) {}
    /// A caller was told that it is unknown whether its message is stored.
    fn unconfirmed(&self) {}
    /// The broker refused a message (nack: the queue is full).
    fn refused(&self) {}
    /// Some message came back as unroutable; which one, lapin cannot tell.
    fn returned_unknown(&self) {}
    /// A connection was lost and is there again.
    fn reconnected(&self) {}
    /// Something of lapin's ran into its time limit; the connection is dropped then.
    fn await_timeout(&self, _operation: &'static str) {}
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoEvents;

impl QueueEvents for NoEvents {}

/// Longest frame that is agreed upon unless the URL says otherwise; a longer message takes
/// several.
const FRAME_MAX: u32 = 32 * 1024;

/// The settings of the adapter. `Debug` shows no password.
#[derive(Clone)]
pub struct AmqpConfig {
    uri: AMQPUri,
    prefix: String,
    rungs: Vec<Duration>,
    /// How long a caller waits for its confirm.
    pub confirm_timeout: Duration,
    /// Shortest and longest wait between two tries to connect.
    pub reconnect: (Duration, Duration),
    /// How often a queue is counted and kept in use. One that nobody takes from is used with the
    /// second look: a policy with `expires` must not be shorter than three.
    pub look_every: Duration,
    pub events: Arc<dyn QueueEvents>,
}

/// Why settings of the adapter cannot be used. The text holds nothing of the URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAmqpConfig {
    #[error("AMQP_URL is not a valid amqp:// or amqps:// URL")]
    Url,
    #[error("AMQP_PREFIX must have between 1 and {LONGEST_PREFIX} bytes")]
    Prefix,
}

impl AmqpConfig {
    /// `rungs`: the ladder of delays. The heartbeat is 10 s unless the URL says otherwise
    /// (`?heartbeat=4`); a URL without a virtual host means the default one.
    ///
    /// # Errors
    /// [`BadAmqpConfig`].
    pub fn new(url: &Secret, prefix: &str, rungs: Vec<Duration>) -> Result<Self, BadAmqpConfig> {
        let mut uri: AMQPUri = url.expose().parse().map_err(|_| BadAmqpConfig::Url)?;
        if uri.vhost.is_empty() {
            uri.vhost = "/".to_owned();
        }
        uri.query.heartbeat.get_or_insert(10);
        // lapin keeps 64 frames' worth of buffers for each connection: with the broker's own
        // 128 KiB that is 8 MiB, twice.
        uri.query.frame_max.get_or_insert(FRAME_MAX);
        if prefix.is_empty() || prefix.len() > LONGEST_PREFIX {
            return Err(BadAmqpConfig::Prefix);
        }
        Ok(Self {
            uri,
            prefix: prefix.to_owned(),
            rungs,
            confirm_timeout: Duration::from_secs(2),
            reconnect: (Duration::from_millis(200), Duration::from_secs(10)),
            look_every: Duration::from_secs(5),
            events: Arc::new(NoEvents),
        })
    }
}

impl AmqpConfig {
    /// Host and port of the broker.
    #[must_use]
    pub fn server(&self) -> String {
        format!("{}:{}", self.uri.authority.host, self.uri.authority.port)
    }
}

impl fmt::Debug for AmqpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpConfig")
            .field("host", &self.uri.authority.host)
            .field("port", &self.uri.authority.port)
            .field("prefix", &self.prefix)
            .field("rungs", &self.rungs)
            .finish_non_exhaustive()
    }
}

/// Whether publishing works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Stand {
    Down,
    Up,
    Blocked,
}

/// What both connections and every handle know.
struct Shared {
    config: AmqpConfig,
    topology: Topology,
    stand: AtomicU8,
    progress: Marks,
    publishing: watch::Sender<Option<Arc<Live>>>,
    consuming: watch::Sender<Option<Arc<Live>>>,
    /// Each queue, and how it stands.
    queues: Vec<Arc<Upkept>>,
    /// Longest message that the broker takes, as far as we know; bytes.
    largest: AtomicUsize,
    /// Rung by a connection that came about: the broker is there.
    answered: Notify,
    calls: PendingCalls,
    /// The queue answers come to, while there is one.
    reply_to: watch::Sender<Option<ShortString>>,
    stop: CancellationToken,
}

impl Shared {
    fn stand(&self) -> Stand {
        match self.stand.load(Ordering::Acquire) {
            1 => Stand::Up,
            2 => Stand::Blocked,
            _ => Stand::Down,
        }
    }

    fn queue(&self, name: &str) -> Option<&Arc<Upkept>> {
        self.queues.iter().find(|queue| queue.own.name == name)
    }

    fn part(&self, part: Part) -> Option<&Arc<Upkept>> {
        self.queues.iter().find(|queue| queue.own.part == Some(part))
    }

    /// Whether it makes sense to publish into a lane.
    fn takes(&self, lane: Lane) -> bool {
        self.part(Part::Lane(lane)).is_some_and(|queue| queue.takes())
    }

    fn largest(&self) -> usize {
        self.largest.load(Ordering::Relaxed)
    }

    /// A broker that refused a message for its length said how long one may be.
    fn learn_largest(&self, error: &lapin::Error) {
        if let ErrorKind::ProtocolError(said) = error.kind()
            && let Some(bytes) = largest_in(&said.get_message().to_string())
        {
            tracing::warn!(bytes, "RabbitMQ takes no message longer than this");
            self.largest.store(bytes, Ordering::Relaxed);
        }
    }

    fn set_stand(&self, stand: Stand) {
        self.stand.store(stand as u8, Ordering::Release);
    }
}

/// «PRECONDITION_FAILED - message size 20971520 is larger than configured max size 16777216».
fn largest_in(words: &str) -> Option<usize> {
    let rest = words.split_once("max size ")?.1;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Ends the tasks with the last handle.
struct Alive(CancellationToken);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// When something last happened, in milliseconds since the start plus one; 0 = never.
struct Marks {
    start: Instant,
    confirm: AtomicU64,
    delivery: AtomicU64,
    /// When the newest message taken off each lane had been received, in seconds of the epoch.
    taken: [AtomicI64; Lane::ALL.len()],
    publishing_beat: AtomicU64,
    consuming_beat: AtomicU64,
}

impl Marks {
    fn new() -> Self {
        let never = || AtomicU64::new(0);
        Self {
            start: Instant::now(),
            confirm: never(),
            delivery: never(),
            taken: [const { AtomicI64::new(0) }; Lane::ALL.len()],
            publishing_beat: never(),
            consuming_beat: never(),
        }
    }

    fn set(&self, mark: &AtomicU64) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1;
        mark.store(now, Ordering::Relaxed);
    }

    fn age(&self, mark: &AtomicU64) -> Option<Duration> {
        let at = mark.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.start.elapsed().saturating_sub(Duration::from_millis(at)))
    }

    fn confirmed(&self) {
        self.set(&self.confirm);
    }

    fn delivered(&self) {
        self.set(&self.delivery);
    }

    fn taken(&self, lane: Lane, received_at: i64) {
        self.taken[lane as usize].fetch_max(received_at, Ordering::Relaxed);
    }

    /// Lanes nothing was taken from are left out.
    fn newest_taken(&self) -> Vec<(Lane, Timestamp)> {
        let at = |lane: Lane| Timestamp::from_second(self.taken[lane as usize].load(Ordering::Relaxed)).ok();
        Lane::ALL.into_iter().filter_map(|lane| Some((lane, at(lane)?))).filter(|(_, at)| at.as_second() > 0).collect()
    }

    fn beat(&self, link: Link) {
        self.set(match link {
            Link::Publishing => &self.publishing_beat,
            Link::Consuming => &self.consuming_beat,
        });
    }
}

/// Signs of life; `None` = not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub publishing: bool,
    pub blocked: bool,
    pub consuming: bool,
    pub last_confirm: Option<Duration>,
    pub last_delivery: Option<Duration>,
    /// How long ago the slower of the two supervising tasks last went round. They do so
    /// every second while connected and at least every 25 s (time limits and the longest
    /// wait) while the broker is away; more means that a task hangs.
    pub last_beat: Option<Duration>,
}

/// The queue on RabbitMQ.
pub struct AmqpQueue {
    shared: Arc<Shared>,
    inbox: mpsc::Sender<Ask>,
    alive: Arc<Alive>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl AmqpQueue {
    /// Begins to connect and returns at once; [`Queue::state`] tells how it stands, and
    /// [`AmqpQueue::connected`] waits. Must be called inside a tokio runtime.
    #[must_use]
    pub fn start(config: AmqpConfig) -> Arc<Self> {
        let topology = Topology::new(&config.prefix, config.rungs.clone());
        let queues = topology.queues().into_iter().map(|queue| Arc::new(Upkept::new(queue))).collect();
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            config,
            topology,
            stand: AtomicU8::new(Stand::Down as u8),
            progress: Marks::new(),
            publishing: watch::Sender::new(None),
            consuming: watch::Sender::new(None),
            queues,
            largest: AtomicUsize::new(LARGEST),
            answered: Notify::new(),
            calls: PendingCalls::default(),
            reply_to: watch::Sender::new(None),
            stop: stop.clone(),
        });
        let (inbox, asks) = mpsc::channel(INBOX);
        let publishing = Publishing { shared: shared.clone(), inbox: asks };
        let consuming = Consuming { shared: shared.clone() };
        let tasks = vec![
            tokio::spawn(supervise(shared.clone(), Link::Publishing, publishing)),
            tokio::spawn(supervise(shared.clone(), Link::Consuming, consuming)),
        ];
        Arc::new(Self { shared, inbox, alive: Arc::new(Alive(stop)), tasks: Mutex::new(tasks) })
    }

    /// Returns once both connections stand and every queue was looked at; `false` when that
    /// takes longer than `limit`.
    pub async fn connected(&self, limit: Duration) -> bool {
        let (mut publishing, mut consuming) = (self.shared.publishing.subscribe(), self.shared.consuming.subscribe());
        let both = async {
            let _ = publishing.wait_for(Option::is_some).await;
            let _ = consuming.wait_for(Option::is_some).await;
        };
        timeout(limit, both).await.is_ok()
    }

    /// Signs of life, for the liveness check.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let marks = &self.shared.progress;
        let stand = self.shared.stand();
        let beats = (marks.age(&marks.publishing_beat), marks.age(&marks.consuming_beat));
        Progress {
            publishing: stand != Stand::Down,
            blocked: stand == Stand::Blocked,
            consuming: self.shared.consuming.borrow().is_some(),
            last_confirm: marks.age(&marks.confirm),
            last_delivery: marks.age(&marks.delivery),
            last_beat: beats.0.zip(beats.1).map(|(one, other)| one.max(other)),
        }
    }

    /// Publishes bytes as they are: what a relay forwards, or what cannot be decoded.
    /// `kind` is a [`crate::message::Kind`] word or `unknown`.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn publish_bytes(
        &self,
        lane: Lane,
        kind: &str,
        id: Uuid,
        body: Vec<u8>,
        delay: Option<Duration>,
    ) -> Result<(), PublishError> {
        if !self.shared.takes(lane) {
            return Err(PublishError::Unavailable);
        }
        let key = ShortString::try_new(routing_key(lane, kind)).map_err(|_| PublishError::Unavailable)?;
        let properties = BasicProperties::default()
            .with_message_id(id.to_string().into())
            .with_app_id(APP_ID.into())
            .with_delivery_mode(Persistence::of(lane) as u8);
        let message = Outgoing {
            // What bytes are about is not known here.
            channel: 0,
            exchange: self.shared.topology.entry(delay).into(),
            routing_key: key,
            mandatory: true,
            body,
            properties,
        };
        self.submit(message, self.shared.config.confirm_timeout).await
    }

    /// Takes what the broker has put aside: messages handed out too often or rejected.
    /// [`crate::queue::Delivery::death`] says where and why.
    #[must_use]
    pub fn subscribe_dead(&self, prefetch: u16) -> Box<dyn Subscription> {
        self.subscription(self.shared.topology.dead_queue(), Source::Dead, prefetch)
    }

    /// Takes what no queue was bound to receive.
    #[must_use]
    pub fn subscribe_unrouted(&self, prefetch: u16) -> Box<dyn Subscription> {
        self.subscription(self.shared.topology.unrouted_queue(), Source::Unrouted, prefetch)
    }

    /// Requests of this process that wait for their answer.
    #[must_use]
    pub fn pending_calls(&self) -> usize {
        self.shared.calls.len()
    }

    fn subscription(&self, queue: String, source: Source, prefetch: u16) -> Box<dyn Subscription> {
        Box::new(AmqpSubscription::new(self.shared.clone(), self.alive.clone(), queue, source, prefetch))
    }

    async fn submit(&self, message: Outgoing, limit: Duration) -> Result<(), PublishError> {
        publisher::submit(&self.shared, &self.inbox, message, limit).await
    }

    async fn send(
        &self,
        envelope: &Envelope,
        delay: Option<Duration>,
        properties: BasicProperties,
        limit: Duration,
    ) -> Result<(), PublishError> {
        if !self.shared.takes(envelope.lane()) {
            return Err(PublishError::Unavailable);
        }
        let message = Outgoing {
            channel: channel_of(&envelope.key),
            exchange: self.shared.topology.entry(delay).into(),
            routing_key: routing_key(envelope.lane(), envelope.command.kind().as_str()).into(),
            mandatory: true,
            body: encode(envelope),
            properties,
        };
        self.submit(message, limit).await
    }
}

/// AMQP's delivery mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Persistence {
    Transient = 1,
    Persistent = 2,
}

impl Persistence {
    const fn of(lane: Lane) -> Self {
        match lane {
            Lane::Interactive | Lane::Bulk => Self::Persistent,
            Lane::Rpc => Self::Transient,
        }
    }
}

/// The properties are for people and tools; the worker reads the body.
fn properties(envelope: &Envelope, persistence: Persistence) -> BasicProperties {
    let kind = format!("{}/{}", envelope.command.kind().as_str(), envelope.v);
    let properties = BasicProperties::default()
        .with_message_id(envelope.id.to_string().into())
        .with_type(kind.into())
        .with_content_type("application/json".into())
        .with_app_id(APP_ID.into())
        .with_timestamp(u64::try_from(envelope.received_at.as_second()).unwrap_or_default())
        .with_delivery_mode(persistence as u8);
    match &envelope.traceparent {
        None => properties,
        Some(trace) => {
            let mut headers = FieldTable::default();
            headers.insert("traceparent".into(), AMQPValue::LongString(trace.as_str().into()));
            properties.with_headers(headers)
        }
    }
}

impl Publisher for AmqpQueue {
    /// A delay becomes the smallest rung of the ladder that is not shorter, or the
    /// longest rung.
    fn publish(&self, envelope: Envelope, delay: Option<Duration>) -> BoxFuture<'_, Result<(), PublishError>> {
        async move {
            let properties = properties(&envelope, Persistence::of(envelope.lane()));
            self.send(&envelope, delay, properties, self.shared.config.confirm_timeout).await
        }
        .boxed()
    }

    fn accepts(&self, lane: Lane) -> bool {
        self.shared.publishing.borrow().as_ref().is_some_and(|live| !live.connection.status().blocked())
            && self.shared.takes(lane)
    }
}

impl Consumer for AmqpQueue {
    fn subscribe(&self, lane: Lane, prefetch: u16) -> Box<dyn Subscription> {
        self.subscription(self.shared.topology.lane_queue(lane), Source::Lane(lane), prefetch)
    }

    fn subscribe_aside(&self, what: Aside, prefetch: u16) -> Option<Box<dyn Subscription>> {
        Some(match what {
            Aside::Dead => self.subscribe_dead(prefetch),
            Aside::Unrouted => self.subscribe_unrouted(prefetch),
        })
    }
}

impl Queue for AmqpQueue {
    /// `connected` means both connections, and that the lane of the orders is not refused. Queue
    /// lengths are up to 5 s old, older while the broker is away or blocked; a lane that cannot be
    /// counted has none.
    fn state(&self) -> BoxFuture<'_, QueueState> {
        let shared = &self.shared;
        let progress = self.progress();
        let lanes = || Lane::ALL.into_iter().filter_map(|lane| Some((lane, shared.part(Part::Lane(lane))?)));
        let length = |part| shared.part(part).and_then(|queue| queue.length());
        let trouble: Vec<(String, String)> =
            shared.queues.iter().filter_map(|queue| Some((queue.own.name.clone(), queue.trouble()?))).collect();
        let state = QueueState {
            connected: progress.publishing && progress.consuming,
            blocked: progress.blocked,
            depth: lanes().filter_map(|(lane, queue)| Some((lane, queue.length()?))).collect(),
            unrouted: length(Part::Unrouted).unwrap_or(0),
            taken: shared.progress.newest_taken(),
            refused: lanes().filter(|(_, queue)| queue.trouble().is_some()).map(|(lane, _)| lane).collect(),
            trouble,
            made_anew: lanes().map(|(lane, queue)| (queue.own.name.clone(), lane, queue.found_missing())).collect(),
        };
        std::future::ready(state).boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async move {
            if self.shared.stand() == Stand::Up {
                let (done, flushed) = oneshot::channel();
                let flush = async {
                    if self.inbox.send(Ask::Flush(done)).await.is_ok() {
                        let _ = flushed.await;
                    }
                };
                let _ = timeout(FLUSH_LIMIT, flush).await;
            }
            self.shared.stop.cancel();
            for task in self.tasks.lock().await.drain(..) {
                let _ = timeout(GOODBYE_LIMIT, task).await;
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> Result<AmqpConfig, BadAmqpConfig> {
        AmqpConfig::new(&Secret::new(url), "bridge", vec![Duration::from_secs(2)])
    }

    #[test]
    fn the_password_is_shown_nowhere() {
        let shown = format!("{:?}", config("amqp://shop:hunter2@127.0.0.1:5672/%2f").expect("valid"));
        assert!(!shown.contains("hunter2") && shown.contains("127.0.0.1"), "{shown}");
        let refused = config("amqp://shop:hunter2@127.0.0.1:notaport/").expect_err("invalid");
        assert!(!format!("{refused} {refused:?}").contains("hunter2"));
    }

    #[test]
    fn a_url_without_a_virtual_host_means_the_default_one() {
        for url in ["amqp://h", "amqp://h/", "amqp://h/%2f", "amqp://h/?heartbeat=4"] {
            assert_eq!(config(url).expect("valid").uri.vhost, "/", "{url}");
        }
        assert_eq!(config("amqp://h/shop").expect("valid").uri.vhost, "shop");
        assert_eq!(config("amqp://h/").expect("valid").uri.query.heartbeat, Some(10));
        assert_eq!(config("amqp://h/?heartbeat=4").expect("valid").uri.query.heartbeat, Some(4));
        assert_eq!(config("amqp://h/").expect("valid").uri.query.frame_max, Some(FRAME_MAX));
        assert_eq!(config("amqp://h/?frame_max=8192").expect("valid").uri.query.frame_max, Some(8192));
    }

    #[test]
    fn a_broker_that_refuses_a_long_message_says_how_long_one_may_be() {
        let words = "PRECONDITION_FAILED - message size 20971520 is larger than configured max size 16777216";
        assert_eq!(largest_in(words), Some(16_777_216));
        assert_eq!(largest_in("PRECONDITION_FAILED - inequivalent arg 'x-max-length'"), None);
    }

    #[test]
    fn a_prefix_that_does_not_fit_into_names_is_refused() {
        let with = |prefix: &str| AmqpConfig::new(&Secret::new("amqp://h"), prefix, Vec::new()).err();
        assert_eq!(with(""), Some(BadAmqpConfig::Prefix));
        assert_eq!(with(&"p".repeat(201)), Some(BadAmqpConfig::Prefix));
        assert_eq!(with("p"), None);
    }

    #[tokio::test]
    async fn without_a_broker_it_starts_refuses_and_says_so() {
        // Port 1 of the own machine: refused at once.
        let queue = AmqpQueue::start(config("amqp://shop:hunter2@127.0.0.1:1/").expect("valid"));
        let id = Uuid::now_v7();
        let published = queue.publish_bytes(Lane::Bulk, "unknown", id, b"x".to_vec(), None).await;
        assert_eq!(published, Err(PublishError::Unavailable));
        let state = queue.state().await;
        assert!(!state.connected && !state.blocked);
        assert!(!queue.connected(Duration::ZERO).await);
        queue.close().await;
        queue.close().await;
    }
}
