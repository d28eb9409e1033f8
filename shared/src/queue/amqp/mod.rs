//! The queue on RabbitMQ (3.10 or later; messaging.md).
//!
//! [`AmqpQueue::start`] begins two tasks, each keeping one connection open for ever: one
//! publishes and declares (`publisher`), one consumes (`subscription`, `rpc`). Nothing
//! here fails because the broker is away: publishing is refused, consuming waits.

pub mod config;
mod connection;
mod consuming;
mod fallback_runtime;
pub mod inspection;
mod limits;
mod message;
mod publisher;
pub mod refusal;
mod rpc;
pub mod state;
mod subscription;
mod supervise;
pub mod topology;
mod upkeep;
mod upkept;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lapin::BasicProperties;
use tokio::sync::{Mutex, Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::message::{Envelope, Lane, encode};
use crate::queue::amqp::config::AmqpConfig;
use crate::queue::amqp::connection::Link;
use crate::queue::amqp::consuming::Consuming;
use crate::queue::amqp::message::{Persistence, properties};
use crate::queue::amqp::publisher::{Ask, INBOX, Outgoing, Publishing, channel_of};
use crate::queue::amqp::state::{Alive, ConnectionState, LARGEST, Progress, ProgressTimes, Shared};
use crate::queue::amqp::subscription::{AmqpSubscription, Source};
use crate::queue::amqp::supervise::supervise;
use crate::queue::amqp::topology::{Part, Topology, routing_key};
use crate::queue::amqp::upkept::Upkept;
use crate::queue::pending_calls::PendingCalls;
use crate::queue::{Consumer, Parked, PublishError, Publisher, Queue, QueueState, Subscription};

/// Longest wait of [`AmqpQueue::close`] for outstanding confirms.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait of [`AmqpQueue::close`] for the two connections.
const GOODBYE_LIMIT: Duration = Duration::from_secs(5);

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
    pub fn start(config: AmqpConfig) -> Arc<Self> {
        let topology = Topology::new(&config.prefix);
        let queues = topology.queues().into_iter().map(|queue| Arc::new(Upkept::new(queue))).collect();
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            config,
            topology,
            stand: AtomicU8::new(ConnectionState::Down as u8),
            progress: ProgressTimes::new(),
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
    pub fn progress(&self) -> Progress {
        let marks = &self.shared.progress;
        let stand = self.shared.stand();
        let beats = (marks.age(&marks.publishing_beat), marks.age(&marks.consuming_beat));
        Progress {
            publishing: stand != ConnectionState::Down,
            blocked: stand == ConnectionState::Blocked,
            consuming: self.shared.consuming.borrow().is_some(),
            last_confirm: marks.age(&marks.confirm),
            last_delivery: marks.age(&marks.delivery),
            last_beat: beats.0.zip(beats.1).map(|(one, other)| one.max(other)),
            reconnects: marks.reconnects.load(Ordering::Relaxed),
            unanswered: marks.unanswered.load(Ordering::Relaxed),
        }
    }

    /// Requests of this process that wait for their answer.
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
        properties: BasicProperties,
        limit: Duration,
    ) -> Result<(), PublishError> {
        if !self.shared.takes(envelope.lane()) {
            return Err(PublishError::Unavailable);
        }
        let message = Outgoing {
            channel: channel_of(&envelope.key),
            exchange: self.shared.topology.jobs().into(),
            routing_key: routing_key(envelope.lane(), envelope.command.kind().as_str()).into(),
            mandatory: true,
            body: encode(envelope),
            properties,
        };
        self.submit(message, limit).await
    }
}

impl Publisher for AmqpQueue {
    fn publish(&self, envelope: Envelope) -> BoxFuture<'_, Result<(), PublishError>> {
        async move {
            let properties = properties(&envelope, Persistence::of(envelope.lane()));
            self.send(&envelope, properties, self.shared.config.confirm_timeout).await
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

    fn subscribe_parked(&self, what: Parked, prefetch: u16) -> Option<Box<dyn Subscription>> {
        Some(match what {
            Parked::Dead => self.subscription(self.shared.topology.dead_queue(), Source::Dead, prefetch),
            Parked::Unrouted => self.subscription(self.shared.topology.unrouted_queue(), Source::Unrouted, prefetch),
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
            if self.shared.stand() == ConnectionState::Up {
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
    use crate::domain::Secret;
    use crate::message::Command;
    use crate::queue::amqp::config::{BadAmqpConfig, FRAME_MAX};
    use crate::queue::amqp::state::largest_in;

    fn config(url: &str) -> Result<AmqpConfig, BadAmqpConfig> {
        AmqpConfig::new(&Secret::new(url), "bridge")
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
            assert_eq!(config(url).expect("valid").uris[0].vhost, "/", "{url}");
        }
        assert_eq!(config("amqp://h/shop").expect("valid").uris[0].vhost, "shop");
        assert_eq!(config("amqp://h/").expect("valid").uris[0].query.heartbeat, Some(10));
        assert_eq!(config("amqp://h/?heartbeat=4").expect("valid").uris[0].query.heartbeat, Some(4));
        assert_eq!(config("amqp://h/").expect("valid").uris[0].query.frame_max, Some(FRAME_MAX));
        assert_eq!(config("amqp://h/?frame_max=8192").expect("valid").uris[0].query.frame_max, Some(8192));
    }

    #[test]
    fn a_broker_that_refuses_a_long_message_says_how_long_one_may_be() {
        let words = "PRECONDITION_FAILED - message size 20971520 is larger than configured max size 16777216";
        assert_eq!(largest_in(words), Some(16_777_216));
        assert_eq!(largest_in("PRECONDITION_FAILED - inequivalent arg 'x-max-length'"), None);
    }

    #[test]
    fn a_prefix_that_does_not_fit_into_names_is_refused() {
        let with = |prefix: &str| AmqpConfig::new(&Secret::new("amqp://h"), prefix).err();
        assert_eq!(with(""), Some(BadAmqpConfig::Prefix));
        assert_eq!(with(&"p".repeat(201)), Some(BadAmqpConfig::Prefix));
        assert_eq!(with("p"), None);
    }

    #[tokio::test]
    async fn without_a_broker_it_starts_refuses_and_says_so() {
        // Port 1 of the own machine: refused at once.
        let queue = AmqpQueue::start(config("amqp://shop:hunter2@127.0.0.1:1/").expect("valid"));
        let at = "2026-09-01T10:00:00Z".parse().expect("a time");
        let published = queue.publish(Envelope::new(Command::SyncStatuses {}, None, at)).await;
        assert_eq!(published, Err(PublishError::Unavailable));
        let state = queue.state().await;
        assert!(!state.connected && !state.blocked);
        assert!(!queue.connected(Duration::ZERO).await);
        queue.close().await;
        queue.close().await;
    }
}
