//! Requests over the rpc lane, and their answers: the request names the asker's exclusive
//! queue on its consuming connection; the answer goes there through the default exchange.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use lapin::options::{BasicConsumeOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Event};
use tokio::time::{Instant, MissedTickBehavior, timeout_at};

use crate::message::Envelope;
use crate::queue::amqp::connection::{DECLARE_LIMIT, EventStream, Failure, Link, Live, Session};
use crate::queue::amqp::publisher::{Outgoing, channel_of};
use crate::queue::amqp::{AmqpQueue, Persistence, Shared, properties};
use crate::queue::{PublishError, Replier, Rpc, RpcError};

/// How long an answer is tried to be handed over; its asker will not wait much longer.
const REPLY_LIMIT: Duration = Duration::from_secs(3);
const REPLY_PAUSE: Duration = Duration::from_millis(100);
const TICK: Duration = Duration::from_secs(1);

impl Rpc for AmqpQueue {
    fn call(&self, envelope: Envelope, deadline: Duration) -> BoxFuture<'_, Result<Vec<u8>, RpcError>> {
        async move {
            let until = Instant::now() + deadline;
            // Without the consuming connection there is nowhere to answer to.
            let reply_to = self.shared.reply_to.borrow().clone().ok_or(RpcError::Unavailable)?;
            let mut call = self.shared.calls.open();
            let properties = properties(&envelope, Persistence::Transient)
                .with_reply_to(reply_to)
                .with_correlation_id(call.id().into())
                .with_expiration(deadline.as_millis().to_string().into());
            let handing_over = self.send(&envelope, None, properties, deadline.min(self.shared.config.confirm_timeout));
            match handing_over.await {
                // Not confirmed, but perhaps there: an answer would prove it.
                Ok(()) | Err(PublishError::Unknown) => {}
                Err(PublishError::Unavailable) => return Err(RpcError::Unavailable),
            }
            match timeout_at(until, call.answer()).await {
                Ok(Some(answer)) => Ok(answer),
                Ok(None) | Err(_) => Err(RpcError::Deadline),
            }
        }
        .boxed()
    }
}

impl Replier for AmqpQueue {
    fn reply(&self, reply_to: &str, correlation_id: &str, body: Vec<u8>) -> BoxFuture<'_, ()> {
        // Both come from the message; what the protocol cannot carry cannot be an address.
        let address = ShortString::try_new(reply_to).and_then(|to| Ok((to, ShortString::try_new(correlation_id)?)));
        async move {
            let Ok((routing_key, correlation_id)) = address else { return };
            let until = Instant::now() + REPLY_LIMIT;
            loop {
                let answer = Outgoing {
                    channel: channel_of(correlation_id.as_str()),
                    exchange: "".into(),
                    routing_key: routing_key.clone(),
                    mandatory: false,
                    body: body.clone(),
                    properties: lapin::BasicProperties::default()
                        .with_correlation_id(correlation_id.clone())
                        .with_delivery_mode(Persistence::Transient as u8),
                };
                let Err(error) = self.submit(answer, self.shared.config.confirm_timeout).await else { return };
                if Instant::now() + REPLY_PAUSE > until {
                    tracing::warn!(%error, "an answer could not be handed over");
                    return;
                }
                tokio::time::sleep(REPLY_PAUSE).await;
            }
        }
        .boxed()
    }
}

/// What the consuming connection does for itself: it takes the answers.
pub(super) struct Consuming {
    pub(super) shared: Arc<Shared>,
}

impl Session for Consuming {
    fn run(&mut self, live: Arc<Live>, events: EventStream) -> BoxFuture<'_, Result<(), Failure>> {
        async move {
            let (name, _channel, answers) = self.subscribe(&live).await?;
            self.shared.reply_to.send_replace(Some(name));
            self.shared.consuming.send_replace(Some(live.clone()));
            let result = self.take_answers(&live, events, answers).await;
            self.shared.consuming.send_replace(None);
            self.shared.reply_to.send_replace(None);
            // The queue went with the connection: no answer to an earlier request can come.
            self.shared.calls.abandon_all();
            result
        }
        .boxed()
    }
}

impl Consuming {
    async fn subscribe(&self, live: &Live) -> Result<(ShortString, Channel, lapin::Consumer), Failure> {
        let channel = live.channel().await?;
        let name = ShortString::from(self.shared.topology.new_reply_queue());
        let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
        let declaring = channel.queue_declare(name.clone(), options, FieldTable::default());
        live.limited("queue.declare", DECLARE_LIMIT, declaring).await?;
        let options = BasicConsumeOptions { no_ack: true, exclusive: true, ..Default::default() };
        let consuming = channel.basic_consume(name.clone(), "".into(), options, FieldTable::default());
        let answers = live.limited("basic.consume", DECLARE_LIMIT, consuming).await?;
        Ok((name, channel, answers))
    }

    async fn take_answers(
        &self,
        live: &Live,
        mut events: EventStream,
        mut answers: lapin::Consumer,
    ) -> Result<(), Failure> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    self.shared.progress.beat(Link::Consuming);
                    if !live.connection.status().connected() {
                        return Err(Failure::Lost("it is not open any more"));
                    }
                }
                event = events.next() => match event {
                    Some(Event::Error(error)) => return Err(error.into()),
                    Some(_) => {}
                    None => return Err(Failure::Lost("lapin stopped telling what happens")),
                },
                () = live.broken() => return Err(Failure::Lost("somebody found it broken")),
                () = self.shared.stop.cancelled() => return Ok(()),
                answer = answers.next() => {
                    let answer = answer.ok_or(Failure::Lost("the queue of answers is gone"))??;
                    if let Some(id) = answer.properties.correlation_id() {
                        self.shared.calls.answer(id.as_str(), answer.data);
                    }
                }
            }
        }
    }
}
