//! Taking messages from one queue, over as many connections as it needs.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use futures_util::{FutureExt as _, StreamExt as _};
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Acker, Channel, ErrorKind};
use tokio::time::timeout;

use crate::message::Lane;
use crate::queue::amqp::connection::{DECLARE_LIMIT, Failure, Live, SETTLE_LIMIT};
use crate::queue::amqp::{Alive, Shared};
use crate::queue::{Death, Delivery, Settle, Subscription};
use crate::retry::Waits;

/// How long the first subscription waits for the topology before it tries all the same:
/// another process may have declared it.
const DECLARED_LIMIT: Duration = Duration::from_secs(5);
/// The broker's code for «no such queue».
const NOT_FOUND: u16 = 404;

/// What is taken from: it decides how a delivery is described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Lane(Lane),
    Dead,
    Unrouted,
}

pub(super) struct AmqpSubscription {
    shared: Arc<Shared>,
    /// Keeps the connections open for as long as somebody takes from them.
    _alive: Arc<Alive>,
    queue: String,
    source: Source,
    prefetch: u16,
    active: Option<Active>,
    backoff: Waits,
    stopped: bool,
}

/// A consumer on one connection.
struct Active {
    live: Arc<Live>,
    /// Deliveries hold it too, so that they can be settled after this consumer has gone.
    channel: Arc<Channel>,
    consumer: lapin::Consumer,
}

impl AmqpSubscription {
    pub(super) fn new(shared: Arc<Shared>, alive: Arc<Alive>, queue: String, source: Source, prefetch: u16) -> Self {
        let (shortest, longest) = shared.config.reconnect;
        let backoff = Waits::between(shortest, longest);
        Self { shared, _alive: alive, queue, source, prefetch: prefetch.max(1), active: None, backoff, stopped: false }
    }

    /// Subscribes on the connection of the moment.
    async fn open(&self) -> Result<Active, Failure> {
        let mut declared = self.shared.declared.subscribe();
        let _ = timeout(DECLARED_LIMIT, declared.wait_for(|declared| *declared)).await;
        let mut consuming = self.shared.consuming.subscribe();
        let live = match consuming.wait_for(Option::is_some).await {
            Ok(live) => live.clone().ok_or(Failure::Lost("there is no connection"))?,
            Err(_) => return Err(Failure::Lost("the queue is closed")),
        };
        let channel = live.channel().await?;
        let qos = channel.basic_qos(self.prefetch, BasicQosOptions::default());
        live.limited("basic.qos", DECLARE_LIMIT, qos).await?;
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let consume = channel.basic_consume(self.queue.as_str().into(), "".into(), options, none);
        let consumer = live.limited("basic.consume", DECLARE_LIMIT, consume).await?;
        Ok(Active { live, channel: Arc::new(channel), consumer })
    }

    fn delivery(&self, active: &Active, message: lapin::message::Delivery) -> Delivery {
        self.shared.progress.delivered();
        let held = Held { acker: Some(message.acker), live: active.live.clone(), channel: active.channel.clone() };
        let mut delivery = Delivery::new(message.data, message.redelivered, Box::new(held));
        let properties = &message.properties;
        delivery.reply_to = properties.reply_to().as_ref().map(ToString::to_string);
        delivery.correlation_id = properties.correlation_id().as_ref().map(ToString::to_string);
        delivery.death = match self.source {
            Source::Lane(lane) => {
                // One that came back says nothing about those behind it.
                if let (false, Some(at)) = (message.redelivered, properties.timestamp()) {
                    self.shared.progress.taken(lane, i64::try_from(*at).unwrap_or(0));
                }
                None
            }
            Source::Dead => Some(death(properties.headers().as_ref(), message.routing_key.as_str())),
            Source::Unrouted => Some(Death { queue: message.routing_key.to_string(), reason: "unrouted".to_owned() }),
        };
        delivery
    }
}

/// The latest death of a message; the broker lists them newest first.
fn death(headers: Option<&FieldTable>, routing_key: &str) -> Death {
    let latest = headers.and_then(|headers| match headers.inner().get("x-death") {
        Some(AMQPValue::FieldArray(deaths)) => match deaths.as_slice().first() {
            Some(AMQPValue::FieldTable(death)) => Some(death),
            _ => None,
        },
        _ => None,
    });
    let word = |name: &str| match latest?.inner().get(name)? {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    };
    Death {
        queue: word("queue").unwrap_or_else(|| routing_key.to_owned()),
        reason: word("reason").unwrap_or_else(|| "unknown".to_owned()),
    }
}

/// Whether the broker said that the queue does not exist.
fn is_missing_queue(failure: &Failure) -> bool {
    matches!(failure, Failure::Broker(error)
        if matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() == NOT_FOUND))
}

impl Subscription for AmqpSubscription {
    fn next(&mut self) -> BoxFuture<'_, Option<Delivery>> {
        async move {
            while !self.stopped {
                let Some(active) = &mut self.active else {
                    match self.open().await {
                        Ok(active) => self.active = Some(active),
                        Err(_) if self.shared.stop.is_cancelled() => {
                            // Closed for good: nothing will ever come.
                            return std::future::pending().await;
                        }
                        Err(failure) => {
                            tracing::warn!(queue = %self.queue, %failure, "cannot take messages");
                            if is_missing_queue(&failure) {
                                self.shared.redeclare.notify_one();
                            }
                            tokio::time::sleep(self.backoff.next_wait()).await;
                        }
                    }
                    continue;
                };
                let taken = tokio::select! {
                    biased;
                    taken = active.consumer.next() => taken,
                    () = active.live.broken() => Some(Err(lapin::Error::from(ErrorKind::InvalidConnectionState(
                        lapin::ConnectionState::Closed,
                    )))),
                };
                match taken {
                    Some(Ok(message)) => {
                        self.backoff.reset();
                        let Some(active) = &self.active else { continue };
                        return Some(self.delivery(active, message));
                    }
                    Some(Err(error)) => {
                        tracing::warn!(queue = %self.queue, %error, "taking messages was interrupted");
                    }
                    // The broker cancelled the consumer: the queue was deleted, or moved.
                    None => {
                        tracing::warn!(queue = %self.queue, "the broker ended the subscription");
                        self.shared.redeclare.notify_one();
                        tokio::time::sleep(self.backoff.next_wait()).await;
                    }
                }
                self.active = None;
            }
            None
        }
        .boxed()
    }

    fn stop(&mut self) -> BoxFuture<'_, ()> {
        async move {
            self.stopped = true;
            if let Some(active) = self.active.take() {
                active.stop().await;
            }
        }
        .boxed()
    }
}

impl Drop for AmqpSubscription {
    fn drop(&mut self) {
        if let (Some(active), Ok(runtime)) = (self.active.take(), tokio::runtime::Handle::try_current()) {
            // What lapin has fetched ahead must not wait for the last delivery in hand.
            runtime.spawn(active.stop());
        }
    }
}

impl Active {
    /// Cancels the consumer and hands back what was fetched and not handed out.
    async fn stop(mut self) {
        if self.live.is_broken() {
            return;
        }
        let cancel = self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default());
        if self.live.limited("basic.cancel", SETTLE_LIMIT, cancel).await.is_err() {
            return;
        }
        let mut rest = Vec::new();
        // The stream ends behind what came before the broker's word.
        while let Ok(Some(Ok(message))) = timeout(SETTLE_LIMIT, self.consumer.next()).await {
            rest.push(message.acker);
        }
        join_all(rest.into_iter().map(|acker| hand_back(self.live.clone(), acker))).await;
    }
}

async fn hand_back(live: Arc<Live>, acker: Acker) {
    let options = BasicNackOptions { requeue: true, multiple: false };
    if let Err(failure) = live.limited("basic.nack", SETTLE_LIMIT, acker.nack(options)).await {
        tracing::debug!(%failure, "a message was not handed back; it comes back with the connection");
    }
}

struct Held {
    acker: Option<Acker>,
    live: Arc<Live>,
    channel: Arc<Channel>,
}

impl Held {
    /// The acker, unless it is settled or its connection has gone: then the broker hands
    /// the message out again by itself.
    fn take(&mut self) -> Option<Acker> {
        self.acker.take().filter(|acker| acker.usable() && !self.live.is_broken())
    }
}

impl Settle for Held {
    fn ack(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        async move {
            if let Some(acker) = self.take()
                && let Err(failure) =
                    self.live.limited("basic.ack", SETTLE_LIMIT, acker.ack(BasicAckOptions::default())).await
            {
                tracing::debug!(%failure, "an acknowledgement was not sent; the message comes again");
            }
        }
        .boxed()
    }

    fn requeue(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        async move {
            if let Some(acker) = self.take() {
                hand_back(self.live.clone(), acker).await;
            }
        }
        .boxed()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let (Some(acker), Ok(runtime)) = (self.take(), tokio::runtime::Handle::try_current()) {
            let (live, channel) = (self.live.clone(), self.channel.clone());
            runtime.spawn(async move {
                hand_back(live, acker).await;
                drop(channel);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::types::FieldArray;

    fn table(words: &[(&str, &str)]) -> AMQPValue {
        let mut table = FieldTable::default();
        for (name, word) in words {
            table.insert((*name).into(), AMQPValue::LongString((*word).into()));
        }
        AMQPValue::FieldTable(table)
    }

    #[test]
    fn the_latest_death_counts() {
        let mut deaths = FieldArray::default();
        deaths.push(table(&[("queue", "p.interactive.v1"), ("reason", "delivery_limit")]));
        deaths.push(table(&[("queue", "p.wait.2s.v1"), ("reason", "expired")]));
        let mut headers = FieldTable::default();
        headers.insert("x-death".into(), AMQPValue::FieldArray(deaths));
        let expected = Death { queue: "p.interactive.v1".to_owned(), reason: "delivery_limit".to_owned() };
        assert_eq!(death(Some(&headers), "interactive.SendOrder"), expected);
    }

    #[test]
    fn a_message_put_there_by_hand_is_described_by_its_routing_key() {
        let expected = Death { queue: "interactive.SendOrder".to_owned(), reason: "unknown".to_owned() };
        assert_eq!(death(None, "interactive.SendOrder"), expected);
    }
}
