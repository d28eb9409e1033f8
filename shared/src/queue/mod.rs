//! The queue, as its users see it. Two adapters stand behind it: the job table
//! (`jobs`, in the store) and RabbitMQ (`amqp`). Handlers see neither.
//!
//! What both promise, and `shared/tests/amqp/contract.rs` checks:
//! * `publish` returns only when the message is stored durably;
//! * a delivery that is not settled comes back (`redelivered` is true then);
//! * nothing is settled twice: settling takes the delivery by value.

pub mod amqp;
#[cfg(test)]
mod by_hand;
pub mod jobs;
pub mod local_rpc;
mod lost_queues;
mod oldest_due;
pub mod open;
mod pending_calls;
pub mod relay;
pub mod spill;
mod spilled;
pub mod watched;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use crate::message::{Envelope, Lane};

/// Why a message could not be handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The queue refused it or is not reachable; it is not stored.
    #[error("the queue is not available")]
    Unavailable,
    /// No confirm came in time: it may be stored. Publish again with the same id.
    #[error("the queue did not confirm in time")]
    Unknown,
    /// Longer than the queue takes; it was not sent.
    #[error("the message is longer than the queue takes")]
    TooLarge,
}

/// A durable publisher.
pub trait Publisher: Send + Sync {
    /// Returns when the message is stored.
    fn publish(&self, envelope: Envelope) -> BoxFuture<'_, Result<(), PublishError>>;

    /// Whether a publish into a lane has a chance right now: false while a broker is away, blocks
    /// its publishers or refuses that lane. Must not wait.
    fn accepts(&self, _lane: Lane) -> bool {
        true
    }
}

/// A stream of deliveries of one lane.
pub trait Subscription: Send {
    /// The next delivery. `None` only after [`Subscription::stop`]: a lost connection is
    /// mended behind this call.
    fn next(&mut self) -> BoxFuture<'_, Option<Delivery>>;
    /// Takes no more; what is in hand can still be settled. What was fetched and not
    /// handed out goes back at once.
    fn stop(&mut self) -> BoxFuture<'_, ()>;
}

/// One message in hand. Dropping it unsettled hands it back.
pub struct Delivery {
    /// The raw bytes: undecodable ones are kept for the dead letters.
    pub body: Vec<u8>,
    pub redelivered: bool,
    /// Where the broker has replies sent to (rpc lane).
    pub reply_to: Option<String>,
    pub correlation_id: Option<String>,
    /// How it came into a dead-letter queue; `None` on a lane.
    pub death: Option<Death>,
    settle: Box<dyn Settle>,
}

/// Why the broker, not a handler, put a message aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// The queue it died in, or the routing key nobody was bound to.
    pub queue: String,
    /// The broker's word: `delivery_limit`, `rejected`, `expired`, `maxlen`; `unrouted`
    /// when there was no queue to begin with.
    pub reason: String,
}

/// The adapter's side of settling one delivery.
pub trait Settle: Send + Sync {
    fn settle(self: Box<Self>, how: Settling) -> BoxFuture<'static, ()>;
}

/// How a delivery is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settling {
    Ack,
    /// Hands it to somebody else now (shutdown). Never a retry: there is no delay.
    Requeue,
}

impl Delivery {
    pub fn new(body: Vec<u8>, redelivered: bool, settle: Box<dyn Settle>) -> Self {
        Self { body, redelivered, reply_to: None, correlation_id: None, death: None, settle }
    }

    /// Done: the message is gone. Failing to say so only means that it comes back.
    pub async fn ack(self) {
        self.settle.settle(Settling::Ack).await;
    }

    pub async fn requeue(self) {
        self.settle.settle(Settling::Requeue).await;
    }
}

/// What a broker, not a handler, puts aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parked {
    /// Handed out too often, or rejected.
    Dead,
    /// No queue was bound to receive it.
    Unrouted,
}

/// The consuming side.
pub trait Consumer: Send + Sync {
    /// `prefetch` bounds what is in hand unsettled.
    fn subscribe(&self, lane: Lane, prefetch: u16) -> Box<dyn Subscription>;

    /// Takes what was put aside; [`Delivery::death`] says why. `None` where nothing is:
    /// the job table hands everything to its lane.
    fn subscribe_parked(&self, _what: Parked, _prefetch: u16) -> Option<Box<dyn Subscription>> {
        None
    }
}

/// What operators and metrics want to know of a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueState {
    pub connected: bool,
    pub blocked: bool,
    /// Messages waiting, per lane, where it can be told cheaply.
    pub depth: Vec<(Lane, u64)>,
    /// Messages nobody is bound to receive.
    pub unrouted: u64,
    /// When the newest message this process has taken off a lane had been received: what
    /// waits there came later. Only where the queue cannot be asked for its oldest.
    pub taken: Vec<(Lane, Timestamp)>,
    /// Lanes that cannot be used now.
    pub refused: Vec<Lane>,
    /// Queues that cannot be used now, by name, and why.
    pub trouble: Vec<(String, String)>,
    /// How often this process found the queue of a lane missing and made it anew, by its name.
    pub made_anew: Vec<(String, Lane, u64)>,
}

/// A queue as a process holds it: publisher, consumer and health of one adapter.
pub trait Queue: Publisher + Consumer {
    fn state(&self) -> BoxFuture<'_, QueueState>;
    /// Flushes and closes; safe to call twice.
    fn close(&self) -> BoxFuture<'_, ()>;
}

pub type SharedQueue = Arc<dyn Queue>;

/// Why a request over the queue has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// It was not handed over: nobody will work on it.
    #[error("the queue is not available")]
    Unavailable,
    /// It was handed over and no answer came in time, or none can come any more. It may
    /// be worked on all the same.
    #[error("no answer came in time")]
    Deadline,
}

/// Asks a worker and waits for its answer.
pub trait Rpc: Send + Sync {
    /// Publishes the command into the rpc lane. A request not taken within `deadline` is
    /// dropped by the queue; one taken is answered for as long as the caller waits.
    fn call(&self, envelope: Envelope, deadline: Duration) -> BoxFuture<'_, Result<Vec<u8>, RpcError>>;

    /// How long the oldest request that nobody has taken has waited, where that can be told.
    fn oldest_waiting(&self) -> Option<Duration> {
        None
    }
}

/// Answers a request; takes [`Delivery::reply_to`] and [`Delivery::correlation_id`].
pub trait Replier: Send + Sync {
    /// The longest answer that can go there, bytes.
    fn longest(&self, _reply_to: &str) -> usize {
        usize::MAX
    }

    /// Best effort: an asker that has given up hears nothing, and nobody is told.
    fn reply(&self, reply_to: &str, correlation_id: &str, body: Vec<u8>) -> BoxFuture<'_, ()>;
}
