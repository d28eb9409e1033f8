//! Names and arguments of every exchange and queue, and what declares them
//! (messaging.md «Topology»). Arguments of an existing queue can never change: what
//! must change gets a new `.v<n>`.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, ExchangeKind};

use crate::message::Lane;
use crate::queue::amqp::connection::{Failure, Live};
use crate::queue::amqp::limits::DECLARE_LIMIT;

/// A work queue hands a message out at most this often before it is put aside: a net for
/// messages that kill the worker, not a count of business retries.
pub(super) const DELIVERY_LIMIT: u32 = 20;
/// A full queue refuses (nack), so that its publisher spills instead of the broker
/// dropping something.
const MAX_BYTES: i64 = 1 << 30;
/// What is in the name of a queue of answers.
const ANSWERS: &str = "answers";
/// Requests nobody takes are worth nothing soon: their caller has given up.
const RPC_TTL: Duration = Duration::from_secs(30);

/// The names below one prefix.
#[derive(Debug, Clone)]
pub(super) struct Topology {
    prefix: String,
}

impl Topology {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub(super) fn jobs(&self) -> String {
        format!("{}.jobs", self.prefix)
    }

    fn dead(&self) -> String {
        format!("{}.dead", self.prefix)
    }

    fn unrouted(&self) -> String {
        format!("{}.unrouted", self.prefix)
    }

    pub(super) fn lane_queue(&self, lane: Lane) -> String {
        format!("{}.{}.v1", self.prefix, lane.as_str())
    }

    pub(super) fn dead_queue(&self) -> String {
        format!("{}.v1", self.dead())
    }

    pub(super) fn unrouted_queue(&self) -> String {
        format!("{}.v1", self.unrouted())
    }

    /// A new name for the queue this process gets its answers from; it goes away with
    /// the connection. The name says that answers may come in pieces: the previous release
    /// called its queues `reply` and knows no pieces.
    pub(super) fn new_answer_queue(&self) -> String {
        format!("{}.{ANSWERS}.{}", self.prefix, uuid::Uuid::new_v4())
    }

    /// Whether whoever takes answers from this queue puts pieces together.
    pub(super) fn takes_pieces(&self, queue: &str) -> bool {
        queue.strip_prefix(&self.prefix).is_some_and(|rest| rest.starts_with(&format!(".{ANSWERS}.")))
    }

    /// The exchanges, in an order in which they can be declared. Every node of a cluster knows
    /// them, so that they can be declared whichever node is down.
    pub(super) fn exchanges(&self) -> Vec<Exchange> {
        let unrouted = text(&self.unrouted());
        let aside = || vec![("alternate-exchange", unrouted.clone())];
        vec![
            Exchange::new(self.unrouted(), ExchangeKind::Fanout, vec![]),
            Exchange::new(self.dead(), ExchangeKind::Topic, aside()),
            Exchange::new(self.jobs(), ExchangeKind::Topic, aside()),
        ]
    }

    /// The queues, each with what is bound to it. No one needs another.
    pub(super) fn queues(&self) -> Vec<OwnQueue> {
        let mut queues = vec![
            OwnQueue::new(Part::Unrouted, self.unrouted_queue(), vec![quorum()], (self.unrouted(), "")),
            OwnQueue::new(Part::Dead, self.dead_queue(), vec![quorum()], (self.dead(), "#")),
        ];
        for lane in Lane::ALL {
            let arguments = match lane {
                Lane::Interactive | Lane::Bulk => {
                    let mut arguments = at_least_once(&self.dead());
                    arguments.push(("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT.into())));
                    arguments
                }
                // Speed matters, survival does not: classic, and the messages are not persistent.
                Lane::Rpc => vec![("x-queue-type", text("classic")), ("x-message-ttl", millis(RPC_TTL))],
            };
            let binding = (self.jobs(), format!("{}.#", lane.as_str()));
            queues.push(OwnQueue::new(Part::Lane(lane), self.lane_queue(lane), arguments, binding));
        }
        queues
    }

    /// Declares the exchanges; what exists already is left as it is.
    ///
    /// # Errors
    /// The broker's refusal, which closes the channel, or a time limit.
    pub(super) async fn declare_exchanges(&self, live: &Live, channel: &Channel) -> Result<(), Failure> {
        for Exchange { name, kind, arguments } in self.exchanges() {
            let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
            let declaring = channel.exchange_declare(name.into(), kind, options, arguments);
            live.limited("exchange.declare", DECLARE_LIMIT, declaring).await?;
        }
        Ok(())
    }
}

/// One exchange of the topology.
pub(super) struct Exchange {
    pub(super) name: String,
    pub(super) kind: ExchangeKind,
    pub(super) arguments: FieldTable,
}

impl Exchange {
    fn new(name: String, kind: ExchangeKind, arguments: Arguments) -> Self {
        Self { name, kind, arguments: table(arguments) }
    }
}

/// One queue of the topology.
pub(super) struct OwnQueue {
    pub(super) part: Part,
    pub(super) name: String,
    pub(super) arguments: FieldTable,
    exchange: String,
    key: String,
}

impl OwnQueue {
    fn new(part: Part, name: String, arguments: Arguments, binding: (String, impl Into<String>)) -> Self {
        Self { part, name, arguments: table(arguments), exchange: binding.0, key: binding.1.into() }
    }

    /// Declares the queue and binds it; what exists already is left as it is.
    ///
    /// # Errors
    /// The broker's refusal (406 when it exists with other arguments), which closes the channel,
    /// or no answer.
    pub(super) async fn declare(&self, live: &Live, channel: &Channel) -> Result<(), Failure> {
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        let declaring = channel.queue_declare(self.name.as_str().into(), options, self.arguments.clone());
        live.of_one_queue("queue.declare", DECLARE_LIMIT, declaring).await?;
        let (options, none) = (QueueBindOptions::default(), FieldTable::default());
        let (queue, exchange, key) = (self.name.as_str(), self.exchange.as_str(), self.key.as_str());
        let binding = channel.queue_bind(queue.into(), exchange.into(), key.into(), options, none);
        live.of_one_queue("queue.bind", DECLARE_LIMIT, binding).await
    }
}

/// `<lane>.<kind>`: decides the queue, and survives dead lettering.
pub(super) fn routing_key(lane: Lane, kind: &str) -> String {
    format!("{}.{kind}", lane.as_str())
}

type Arguments = Vec<(&'static str, AMQPValue)>;

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(text))
}

fn millis(duration: Duration) -> AMQPValue {
    AMQPValue::LongLongInt(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

fn quorum() -> (&'static str, AMQPValue) {
    ("x-queue-type", text("quorum"))
}

/// A quorum queue that loses nothing on its way to `dead_letter_exchange`; all three
/// arguments are needed for that, and the limit because such a queue holds what it cannot
/// pass on.
fn at_least_once(dead_letter_exchange: &str) -> Arguments {
    vec![
        quorum(),
        ("x-dead-letter-exchange", text(dead_letter_exchange)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
        ("x-max-length-bytes", AMQPValue::LongLongInt(MAX_BYTES)),
    ]
}

fn table(arguments: Arguments) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        table.insert(name.into(), value);
    }
    table
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Lane(Lane),
    /// What the broker put aside.
    Dead,
    Unrouted,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_begins_with_the_prefix() {
        let topology = Topology::new("shop.a");
        let names = [
            topology.jobs(),
            topology.dead_queue(),
            topology.unrouted_queue(),
            topology.lane_queue(Lane::Interactive),
            topology.new_answer_queue(),
        ];
        assert!(names.iter().all(|name| name.starts_with("shop.a.")), "{names:?}");
        assert!(topology.exchanges().iter().all(|exchange| exchange.name.starts_with("shop.a.")));
        assert!(topology.queues().iter().all(|queue| queue.name.starts_with("shop.a.")));
        assert_eq!(topology.lane_queue(Lane::Bulk), "shop.a.bulk.v1");
        assert!(topology.takes_pieces(&topology.new_answer_queue()));
        assert!(!topology.takes_pieces("shop.a.reply.1") && !topology.takes_pieces("other.answers.1"));
        assert_eq!(routing_key(Lane::Interactive, "SendOrder"), "interactive.SendOrder");
    }
}
