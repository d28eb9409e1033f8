//! The session that consumes: the queue of answers, and whoever waits for one.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use lapin::options::{BasicConsumeOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Event};
use tokio::time::MissedTickBehavior;

use crate::queue::amqp::connection::{EventStream, Failure, Link, Live};
use crate::queue::amqp::limits::DECLARE_LIMIT;
use crate::queue::amqp::state::Shared;
use crate::queue::amqp::supervise::Session;

const TICK: Duration = Duration::from_secs(1);

/// Headers of a piece.
pub(super) const PIECE_NUMBER: &str = "x-piece";

pub(super) const PIECES: &str = "x-pieces";

/// Which piece of how many, from zero; `None` for a whole answer.
pub(super) fn piece_of(headers: Option<&FieldTable>) -> Option<(usize, usize)> {
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
    pub(super) async fn subscribe(&self, live: &Live) -> Result<(ShortString, Channel, lapin::Consumer), Failure> {
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

    pub(super) async fn take_answers(
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
