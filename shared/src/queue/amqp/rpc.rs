//! Requests over the rpc lane, and their answers: the request names the asker's exclusive
//! queue on its consuming connection; the answer goes there through the default exchange.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use tokio::time::{Instant, timeout_at};

use crate::message::Envelope;
use crate::queue::amqp::AmqpQueue;
use crate::queue::amqp::consuming::{PIECE_NUMBER, PIECES};
use crate::queue::amqp::message::{Persistence, properties};
use crate::queue::amqp::publisher::{Outgoing, channel_of};
use crate::queue::{PublishError, Replier, Rpc, RpcError};

/// How long an answer is tried to be handed over; its asker will not wait much longer.
const REPLY_LIMIT: Duration = Duration::from_secs(3);
const REPLY_PAUSE: Duration = Duration::from_millis(100);
/// A longer answer goes in pieces of this many bytes: other messages pass between them.
const PIECE: usize = 512 * 1024;
/// The longest answer, bytes: it is held in memory at both ends.
pub const LONGEST_ANSWER: usize = 64 * 1024 * 1024;

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
            let handing_over = self.send(&envelope, properties, deadline.min(self.shared.config.confirm_timeout));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::amqp::consuming::piece_of;

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
