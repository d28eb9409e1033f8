//! Each queue of ours by itself: declared, counted and kept in use over a channel of its own. One
//! that cannot be (another type under its name, a node that is away, nobody who answers) costs
//! what goes through it and nothing else.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, BasicRejectOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Confirmation};
use tokio::task::JoinSet;

use crate::message::Lane;
use crate::queue::amqp::connection::{Failure, Live};
use crate::queue::amqp::limits::DECLARE_LIMIT;
use crate::queue::amqp::message::{handed_out, times_handed_out};
use crate::queue::amqp::refusal::{NOT_FOUND, is_of_a_lost_node, reply_code};
use crate::queue::amqp::state::Shared;
use crate::queue::amqp::topology::Part;
use crate::queue::amqp::upkept::{Standing, Upkept};
use crate::retry::Waits;

/// Between two looks while the broker blocks the connection.
const BLOCKED_PAUSE: Duration = Duration::from_millis(250);
/// Between two tries of a queue that the broker refuses. Short: it is tried again until it works.
const REFUSED_PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// Between two tries that nobody answers: each leaves a channel behind until somebody does.
const SILENT_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// Begins to look after every queue on a new connection; ends with what it returns.
pub(super) fn start(shared: &Shared, live: &Arc<Live>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for queue in &shared.queues {
        queue.stands(Standing::Unknown);
        tasks.spawn(keep(live.clone(), queue.clone(), shared.config.look_every));
    }
    tasks
}

/// Waits until each has been looked at, or takes longer than it may.
pub(super) async fn first_looks(shared: &Shared) {
    join_all(shared.queues.iter().map(|queue| queue.looked_at())).await;
}

/// What one queue is looked after with.
#[derive(Default)]
struct Hand {
    channel: Option<Channel>,
    declared: bool,
    confirms: bool,
    /// The last look found nobody who takes from it.
    unused: bool,
}

async fn keep(live: Arc<Live>, queue: Arc<Upkept>, look_every: Duration) {
    let (mut refused, mut silent) =
        (Waits::between(REFUSED_PAUSE.0, REFUSED_PAUSE.1), Waits::between(SILENT_PAUSE.0, SILENT_PAUSE.1));
    let mut hand = Hand::default();
    loop {
        let pause = if live.connection.status().blocked() {
            BLOCKED_PAUSE
        } else {
            if !hand.channel.as_ref().is_some_and(|channel| channel.status().connected()) {
                hand = Hand { channel: None, confirms: false, ..hand };
                match live.channel().await {
                    Ok(channel) => hand.channel = Some(channel),
                    // Channels have run out, or it does not answer any more.
                    Err(_) => return live.break_off(),
                }
            }
            match look(&live, &queue, &mut hand).await {
                Ok(()) => {
                    refused.reset();
                    silent.reset();
                    look_every
                }
                Err(_) if live.is_broken() => return,
                Err(failure) => {
                    hand = Hand::default();
                    match failure {
                        Failure::Silent(_) if live.connection.status().blocked() => BLOCKED_PAUSE,
                        Failure::Silent(_) => {
                            queue.stands(Standing::Silent);
                            silent.next_wait()
                        }
                        Failure::Broker(error) if reply_code(&error).is_some() => {
                            queue.stands(Standing::Refused(words_of(&error)));
                            refused.next_wait()
                        }
                        _ => refused.next_wait(),
                    }
                }
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = queue.again.notified() => hand.declared = false,
        }
    }
}

fn words_of(error: &lapin::Error) -> String {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(said) => said.get_message().to_string(),
        _ => error.to_string(),
    }
}

/// Declares the queue if it has to be, counts it, and keeps it in use.
async fn look(live: &Live, queue: &Upkept, hand: &mut Hand) -> Result<(), Failure> {
    let own = &queue.own;
    let mut channel = channel_of(hand)?;
    if !hand.declared {
        if let Err(failure) = passive(live, &channel, &own.name).await {
            if !is_missing(&failure) {
                return Err(failure);
            }
            // The refusal took the channel along.
            channel = live.channel().await?;
            *hand = Hand { channel: Some(channel.clone()), ..Hand::default() };
            own.declare(live, &channel).await?;
            queue.known.send_modify(|known| known.found_missing += 1);
        } else {
            own.declare(live, &channel).await?;
        }
        hand.declared = true;
    }
    let found = match passive(live, &channel, &own.name).await {
        Err(failure) if is_missing(&failure) => {
            // Made anew with the next look, which comes at once.
            queue.look_again();
            hand.channel = None;
            return Ok(());
        }
        found => found?,
    };
    queue.known.send_modify(|known| known.length = Some(found.message_count()));
    queue.stands(Standing::Declared);
    // A worker that is only being replaced is left to take what waits.
    let unused = found.consumer_count() == 0 && own.part != Part::Lane(Lane::Rpc);
    if unused && hand.unused {
        stir(live, &channel, &own.name, hand).await?;
    }
    hand.unused = unused;
    Ok(())
}

fn channel_of(hand: &Hand) -> Result<Channel, Failure> {
    hand.channel.clone().ok_or(Failure::Lost("there is no channel"))
}

async fn passive(live: &Live, channel: &Channel, name: &str) -> Result<lapin::Queue, Failure> {
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    let asking = channel.queue_declare(name.into(), options, FieldTable::default());
    live.of_one_queue("queue.declare", DECLARE_LIMIT, asking).await
}

/// Whether the broker said that the queue does not exist.
pub(super) fn is_missing(failure: &Failure) -> bool {
    matches!(failure, Failure::Broker(error)
        if reply_code(error) == Some(NOT_FOUND) && !is_of_a_lost_node(&words_of(error)))
}

/// Keeps a queue that nobody takes from in use: a policy with `expires` deletes an unused one with
/// all it holds. Declaring a quorum queue again does not count as use, nor does counting it; taking
/// a message does. It goes back as a new one at the end, confirmed before the old one is removed,
/// since handing it back would count towards its delivery limit; how often it was handed out before
/// goes along.
async fn stir(live: &Live, channel: &Channel, name: &str, hand: &mut Hand) -> Result<(), Failure> {
    if !hand.confirms {
        let confirms = channel.confirm_select(ConfirmSelectOptions::default());
        live.of_one_queue("confirm.select", DECLARE_LIMIT, confirms).await?;
        hand.confirms = true;
    }
    let getting = channel.basic_get(name.into(), BasicGetOptions { no_ack: false });
    let Some(taken) = live.of_one_queue("basic.get", DECLARE_LIMIT, getting).await? else { return Ok(()) };
    let message = taken.delivery;
    let before = times_handed_out(message.properties.headers().as_ref()).max(u64::from(message.redelivered));
    let properties = handed_out(message.properties.clone(), before);
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let publishing = async {
        #[expect(clippy::disallowed_methods, reason = "its confirm is awaited here")]
        let sending = channel.basic_publish(
            message.exchange.clone(),
            message.routing_key.clone(),
            options,
            &message.data,
            properties,
        );
        sending.await?.await
    };
    let kept = live.of_one_queue("confirm", DECLARE_LIMIT, publishing).await?;
    let settling = async {
        match kept {
            Confirmation::Ack(None) => message.acker.ack(BasicAckOptions::default()).await,
            _ => message.acker.reject(BasicRejectOptions { requeue: true }).await,
        }
    };
    live.of_one_queue("basic.ack", DECLARE_LIMIT, settling).await.map(|_| ())
}
