//! Taking messages from one queue, over as many connections as it needs.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use futures_util::{FutureExt as _, StreamExt as _};
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Acker, Channel, ErrorKind};
use tokio::time::timeout;

use crate::message::Lane;
use crate::queue::amqp::connection::{Failure, Live};
use crate::queue::amqp::limits::{DECLARE_LIMIT, SETTLE_LIMIT};
use crate::queue::amqp::message::times_handed_out;
use crate::queue::amqp::state::{Alive, Shared};
use crate::queue::amqp::topology::DELIVERY_LIMIT;
use crate::queue::amqp::upkeep::is_missing;
use crate::queue::{Death, Delivery, Settle, Settling, Subscription};
use crate::retry::Waits;

/// How long the first subscription waits for the topology before it tries all the same:
/// another process may have declared it.
const DECLARED_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait between two tries to take from a queue.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

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
    /// What was last said about why nothing can be taken.
    told: Option<String>,
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
        let backoff = Waits::between(shortest, longest.min(LONGEST_PAUSE));
        let prefetch = prefetch.max(1);
        Self { shared, _alive: alive, queue, source, prefetch, active: None, backoff, stopped: false, told: None }
    }

    /// Subscribes on the connection of the moment.
    async fn open(&self) -> Result<Active, Failure> {
        if let Some(queue) = self.shared.queue(&self.queue) {
            let _ = timeout(DECLARED_LIMIT, queue.was_declared()).await;
        }
        let mut consuming = self.shared.consuming.subscribe();
        let live = match consuming.wait_for(Option::is_some).await {
            Ok(live) => live.clone().ok_or(Failure::Lost("there is no connection"))?,
            Err(_) => return Err(Failure::Lost("the queue is closed")),
        };
        let channel = live.channel().await?;
        let qos = channel.basic_qos(self.prefetch, BasicQosOptions::default());
        live.of_one_queue("basic.qos", DECLARE_LIMIT, qos).await?;
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let consume = channel.basic_consume(self.queue.as_str().into(), "".into(), options, none);
        let consumer = live.of_one_queue("basic.consume", DECLARE_LIMIT, consume).await?;
        Ok(Active { live, channel: Arc::new(channel), consumer })
    }

    /// The queue has a limit, and brokers count differently towards it: what was handed out more
    /// often by any count is put aside by ourselves.
    fn is_handed_out_too_often(&self, message: &lapin::message::Delivery) -> bool {
        matches!(self.source, Source::Lane(_))
            && times_handed_out(message.properties.headers().as_ref()) > u64::from(DELIVERY_LIMIT)
    }

    fn look_again(&self) {
        if let Some(queue) = self.shared.queue(&self.queue) {
            queue.look_again();
        }
    }

    fn delivery(&self, active: &Active, message: lapin::message::Delivery) -> Delivery {
        self.shared.progress.delivered();
        let held = Held { acker: Some(message.acker), live: active.live.clone(), channel: active.channel.clone() };
        let properties = &message.properties;
        let redelivered = message.redelivered || times_handed_out(properties.headers().as_ref()) > 0;
        let mut delivery = Delivery::new(message.data, redelivered, Box::new(held));
        delivery.reply_to = properties.reply_to().as_ref().map(ToString::to_string);
        delivery.correlation_id = properties.correlation_id().as_ref().map(ToString::to_string);
        delivery.death = match self.source {
            Source::Lane(lane) => {
                // One that came back says nothing about those behind it.
                if let (false, Some(at)) = (redelivered, properties.timestamp()) {
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

/// Rejects a message for good: the broker takes it to what was put aside.
async fn park(queue: &str, active: &Active, acker: Acker) {
    tracing::warn!(queue, limit = DELIVERY_LIMIT, "a message was handed out too often and is put aside");
    let rejecting = acker.reject(BasicRejectOptions { requeue: false });
    if let Err(failure) = active.live.limited("basic.reject", SETTLE_LIMIT, rejecting).await {
        tracing::debug!(%failure, "a message was not put aside; it comes again");
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
    // A message that was published again may have lost the list.
    let noted = |what: &str| {
        ["last", "first"].into_iter().find_map(|which| {
            match headers?.inner().get(format!("x-{which}-death-{what}").as_str())? {
                AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
                AMQPValue::ShortString(text) => Some(text.to_string()),
                _ => None,
            }
        })
    };
    Death {
        queue: word("queue").or_else(|| noted("queue")).unwrap_or_else(|| routing_key.to_owned()),
        reason: word("reason").or_else(|| noted("reason")).unwrap_or_else(|| "unknown".to_owned()),
    }
}

impl AmqpSubscription {
    /// Waits before the queue is tried again, and says why: once, not with every try.
    async fn rest_after(&mut self, failure: &Failure) {
        let why = failure.to_string();
        if self.told.as_ref() != Some(&why) {
            tracing::warn!(queue = %self.queue, why, "cannot take messages");
            self.told = Some(why);
        }
        if is_missing(failure) {
            self.look_again();
        }
        tokio::time::sleep(self.backoff.next_wait()).await;
    }
}

impl Subscription for AmqpSubscription {
    fn next(&mut self) -> BoxFuture<'_, Option<Delivery>> {
        async move {
            while !self.stopped {
                let Some(active) = &mut self.active else {
                    match self.open().await {
                        Ok(active) => {
                            self.active = Some(active);
                            self.told = None;
                        }
                        Err(_) if self.shared.stop.is_cancelled() => {
                            // Closed for good: nothing will ever come.
                            return std::future::pending().await;
                        }
                        Err(failure) => self.rest_after(&failure).await,
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
                        if self.is_handed_out_too_often(&message) {
                            park(&self.queue, active, message.acker).await;
                            continue;
                        }
                        return Some(self.delivery(active, message));
                    }
                    Some(Err(error)) => {
                        tracing::warn!(queue = %self.queue, %error, "taking messages was interrupted");
                    }
                    // The broker cancelled the consumer: the queue was deleted, or moved.
                    None => {
                        tracing::warn!(queue = %self.queue, "the broker ended the subscription");
                        self.look_again();
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

/// By `basic.reject`: every release of the broker counts it towards the delivery limit. From 4.3
/// on `basic.nack` is not counted, and what is handed back for ever would never be put aside.
async fn hand_back(live: Arc<Live>, acker: Acker) {
    let options = BasicRejectOptions { requeue: true };
    if let Err(failure) = live.limited("basic.reject", SETTLE_LIMIT, acker.reject(options)).await {
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
    fn settle(mut self: Box<Self>, how: Settling) -> BoxFuture<'static, ()> {
        async move {
            let Some(acker) = self.take() else { return };
            if how == Settling::Requeue {
                return hand_back(self.live.clone(), acker).await;
            }
            let acking = acker.ack(BasicAckOptions::default());
            if let Err(failure) = self.live.limited("basic.ack", SETTLE_LIMIT, acking).await {
                tracing::debug!(%failure, "an acknowledgement was not sent; the message comes again");
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
    use crate::queue::amqp::message::handed_out;
    use lapin::BasicProperties;
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
    fn what_was_handed_out_is_counted_by_whatever_count_the_broker_has() {
        let of = |counts: &[(&str, AMQPValue)]| {
            let mut headers = FieldTable::default();
            for (name, count) in counts {
                headers.insert((*name).into(), count.clone());
            }
            times_handed_out(Some(&headers))
        };
        assert_eq!(times_handed_out(None), 0);
        assert_eq!(of(&[("x-delivery-count", AMQPValue::LongLongInt(3))]), 3);
        let both =
            [("x-delivery-count", AMQPValue::ShortShortUInt(2)), ("x-acquired-count", AMQPValue::LongLongInt(14))];
        assert_eq!(of(&both), 14);
        let copy = handed_out(BasicProperties::default(), 14);
        assert_eq!(times_handed_out(copy.headers().as_ref()), 14, "a copy has been handed out as often");
        assert_eq!(handed_out(BasicProperties::default(), 0).headers(), &None);
        assert_eq!(of(&[("x-delivery-count", AMQPValue::Boolean(true))]), 0);
    }

    #[test]
    fn a_message_put_there_by_hand_is_described_by_its_routing_key() {
        let expected = Death { queue: "interactive.SendOrder".to_owned(), reason: "unknown".to_owned() };
        assert_eq!(death(None, "interactive.SendOrder"), expected);
    }
}
