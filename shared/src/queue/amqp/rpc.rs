//! Requests over the rpc lane, and their answers: the request names the asker's exclusive
//! queue on its consuming connection; the answer goes there through the default exchange.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use lapin::options::{BasicConsumeOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
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
/// A longer answer goes in pieces of this many bytes: other messages pass between them.
const PIECE: usize = 512 * 1024;
/// The longest answer, bytes: it is held in memory at both ends.
pub const LONGEST_ANSWER: usize = 64 * 1024 * 1024;
/// Headers of a piece.
const PIECE_NUMBER: &str = "x-piece";
const PIECES: &str = "x-pieces";

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
                Err(PublishError::Unavailable | PublishError::TooLarge) => return Err(RpcError::Unavailable),
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
    fn longest(&self, reply_to: &str) -> usize {
        if self.shared.topology.takes_pieces(reply_to) { LONGEST_ANSWER } else { self.shared.largest() }
    }

    /// A long answer goes in pieces: a broker takes messages up to a length, and one that is longer
    /// costs everything that is on its way.
    fn reply(&self, reply_to: &str, correlation_id: &str, body: Vec<u8>) -> BoxFuture<'_, ()> {
        // Both come from the message; what the protocol cannot carry cannot be an address.
        let address = ShortString::try_new(reply_to).and_then(|to| Ok((to, ShortString::try_new(correlation_id)?)));
        let in_pieces = self.shared.topology.takes_pieces(reply_to);
        async move {
            let Ok((routing_key, correlation_id)) = address else { return };
            let size = if in_pieces { PIECE.min(self.shared.largest()).max(1) } else { body.len().max(1) };
            let count = body.len().div_ceil(size).max(1);
            // Who waits gives up soon; a long answer takes its time all the same.
            let mut until = Instant::now() + REPLY_LIMIT;
            for (number, piece) in pieces(&body, size).enumerate() {
                let mut properties = lapin::BasicProperties::default()
                    .with_correlation_id(correlation_id.clone())
                    .with_delivery_mode(Persistence::Transient as u8);
                if count > 1 {
                    properties = properties.with_headers(piece_headers(number, count));
                }
                let answer = || Outgoing {
                    channel: channel_of(correlation_id.as_str()),
                    exchange: "".into(),
                    routing_key: routing_key.clone(),
                    mandatory: false,
                    body: piece.to_vec(),
                    properties: properties.clone(),
                };
                while let Err(error) = self.submit(answer(), self.shared.config.confirm_timeout).await {
                    if error == PublishError::TooLarge || Instant::now() + REPLY_PAUSE > until {
                        tracing::warn!(%error, bytes = body.len(), "an answer could not be handed over");
                        return;
                    }
                    tokio::time::sleep(REPLY_PAUSE).await;
                }
                until = until.max(Instant::now() + REPLY_PAUSE * 5);
            }
        }
        .boxed()
    }
}

fn pieces(body: &[u8], size: usize) -> impl Iterator<Item = &[u8]> {
    let empty = body.is_empty().then_some(body);
    empty.into_iter().chain(body.chunks(size))
}

fn piece_headers(number: usize, of: usize) -> FieldTable {
    let mut headers = FieldTable::default();
    for (name, value) in [(PIECE_NUMBER, number), (PIECES, of)] {
        headers.insert(name.into(), AMQPValue::LongLongInt(i64::try_from(value).unwrap_or(i64::MAX)));
    }
    headers
}

/// Which piece of how many, from zero; `None` for a whole answer.
fn piece_of(headers: Option<&FieldTable>) -> Option<(usize, usize)> {
    let value = |name: &str| match headers?.inner().get(name)? {
        AMQPValue::LongLongInt(n) => usize::try_from(*n).ok(),
        _ => None,
    };
    Some((value(PIECE_NUMBER)?, value(PIECES)?))
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
        let name = ShortString::from(self.shared.topology.new_answer_queue());
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
                    // A channel's errors come here as well, and one of a lane that cannot be taken
                    // from is that lane's.
                    Some(Event::Error(error)) if !live.connection.status().connected() => return Err(error.into()),
                    Some(_) => {}
                    None => return Err(Failure::Lost("lapin stopped telling what happens")),
                },
                () = live.broken() => return Err(Failure::Lost("somebody found it broken")),
                () = self.shared.stop.cancelled() => return Ok(()),
                answer = answers.next() => {
                    let answer = answer.ok_or(Failure::Lost("the queue of answers is gone"))??;
                    if let Some(id) = answer.properties.correlation_id() {
                        match piece_of(answer.properties.headers().as_ref()) {
                            None => self.shared.calls.answer(id.as_str(), answer.data),
                            Some((number, of)) => self.shared.calls.piece(id.as_str(), number, of, answer.data),
                        };
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_whole_in_order_and_an_empty_answer_is_one() {
        let body: Vec<u8> = (0..=255).collect();
        assert_eq!(pieces(&body, 100).map(<[u8]>::len).collect::<Vec<_>>(), [100, 100, 56]);
        assert_eq!(pieces(&body, 100).flatten().copied().collect::<Vec<_>>(), body);
        assert_eq!(pieces(&[], 100).count(), 1);
    }

    #[test]
    fn a_piece_says_which_it_is() {
        assert_eq!(piece_of(Some(&piece_headers(2, 7))), Some((2, 7)));
        assert_eq!(piece_of(Some(&FieldTable::default())), None);
        assert_eq!(piece_of(None), None);
    }
}
