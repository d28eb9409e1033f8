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
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::message::Lane;
use crate::queue::amqp::Shared;
use crate::queue::amqp::connection::{DECLARE_LIMIT, Failure, Live};
use crate::queue::amqp::inspection::{NOT_FOUND, Part, is_of_a_lost_node, reply_code};
use crate::queue::amqp::subscription::{handed_out, times_handed_out};
use crate::queue::amqp::topology::OwnQueue;
use crate::retry::Waits;

/// How often it is seen to that a rung of the ladder is there.
const RUNG_EVERY: Duration = Duration::from_secs(60);
/// Between two looks while the broker blocks the connection.
const BLOCKED_PAUSE: Duration = Duration::from_millis(250);
/// How long a new connection waits for queues that were there on the last one.
const KNOWN_LIMIT: Duration = Duration::from_millis(500);
/// How long it waits for those that nobody has seen yet.
const FIRST_LIMIT: Duration = Duration::from_secs(6);
/// Between two tries of a queue that the broker refuses. Short: it is tried again until it works.
const REFUSED_PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// Between two tries that nobody answers: each leaves a channel behind until somebody does.
const SILENT_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// How a queue stands on the connection of the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not looked at yet.
    Unknown,
    Declared,
    /// The broker's words.
    Refused(String),
    /// The broker answers, not for this queue.
    Silent,
}

#[derive(Debug, Clone)]
struct Known {
    standing: Standing,
    /// It was declared by this process, on whichever connection.
    was_declared: bool,
    /// Messages ready.
    length: Option<u32>,
    found_missing: u64,
}

/// One queue and what is known of it.
pub(super) struct Upkept {
    pub(super) own: OwnQueue,
    known: watch::Sender<Known>,
    again: Notify,
}

impl Upkept {
    pub(super) fn new(own: OwnQueue) -> Self {
        let known = Known { standing: Standing::Unknown, was_declared: false, length: None, found_missing: 0 };
        Self { own, known: watch::Sender::new(known), again: Notify::new() }
    }

    /// Whether it makes sense to publish into it. One that nobody answers for may still take
    /// messages, which a confirm would prove; a request would wait there for nothing.
    pub(super) fn takes(&self) -> bool {
        let known = self.known.borrow();
        match known.standing {
            Standing::Declared => true,
            Standing::Unknown => known.was_declared,
            Standing::Refused(_) => false,
            Standing::Silent => self.own.part != Some(Part::Lane(Lane::Rpc)),
        }
    }

    /// Messages ready, as last counted.
    pub(super) fn length(&self) -> Option<u64> {
        self.known.borrow().length.map(u64::from)
    }

    /// How often it was found missing and made anew.
    pub(super) fn found_missing(&self) -> u64 {
        self.known.borrow().found_missing
    }

    /// What keeps it from being used, in one sentence.
    pub(super) fn trouble(&self) -> Option<String> {
        match &self.known.borrow().standing {
            Standing::Refused(words) => Some(words.clone()),
            Standing::Silent => Some("nobody answers for it: is its node up?".to_owned()),
            Standing::Unknown | Standing::Declared => None,
        }
    }

    /// Asks for it to be declared anew: somebody found it missing.
    pub(super) fn look_again(&self) {
        self.again.notify_one();
    }

    /// Waits until it was declared once.
    pub(super) async fn was_declared(&self) {
        let _ = self.known.subscribe().wait_for(|known| known.was_declared).await;
    }

    async fn looked_at(&self) {
        let limit = if self.known.borrow().was_declared { KNOWN_LIMIT } else { FIRST_LIMIT };
        let mut known = self.known.subscribe();
        let _ = timeout(limit, known.wait_for(|known| known.standing != Standing::Unknown)).await;
    }

    fn stands(&self, standing: Standing) {
        self.known.send_if_modified(|known| {
            if known.standing == standing {
                return false;
            }
            let queue = &self.own.name;
            match (&known.standing, &standing) {
                (_, Standing::Refused(words)) => {
                    tracing::warn!(%queue, words, "RabbitMQ refuses a queue; it is tried again until it does not");
                }
                (_, Standing::Silent) => tracing::warn!(%queue, "RabbitMQ does not answer for a queue"),
                (Standing::Refused(_) | Standing::Silent, Standing::Declared) => {
                    tracing::info!(%queue, "RabbitMQ serves the queue again");
                }
                _ => {}
            }
            known.was_declared |= standing == Standing::Declared;
            known.standing = standing;
            true
        });
    }
}

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
                    match queue.own.part {
                        Some(_) => look_every,
                        None => {
                            hand.channel = None;
                            RUNG_EVERY
                        }
                    }
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
    let unused = found.consumer_count() == 0 && own.part.is_some_and(|part| part != Part::Lane(Lane::Rpc));
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
