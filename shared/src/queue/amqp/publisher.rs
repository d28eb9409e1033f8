//! The publisher task: it alone uses the publishing channels, so that a cancelled caller
//! cannot drop a confirm half-way. Callers hand it a message and wait for its word.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, Event};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant as Deadline, MissedTickBehavior, timeout_at};

use crate::queue::PublishError;
use crate::queue::amqp::connection::{EventStream, Failure, Link, Live};
use crate::queue::amqp::limits::DECLARE_LIMIT;
use crate::queue::amqp::state::{ConnectionState, Shared};
use crate::queue::amqp::supervise::Session;
use crate::queue::amqp::upkeep;

/// Unconfirmed messages at a time: more buys latency only (messaging.md «Figures»).
const WINDOW: usize = 256;
/// RabbitMQ serves each channel in a process of its own, so that two use a second core; four
/// were measured to bring no more than two.
const CHANNELS: usize = 2;
/// Messages that may wait for a place in the window.
pub(super) const INBOX: usize = 1024;
/// A confirm that is this late, on a connection that is not blocked, will not come.
const CONFIRM_LIMIT: Duration = Duration::from_secs(5);
/// How often it is looked for what no event tells.
const TICK: Duration = Duration::from_millis(250);

/// A message as it goes out.
pub(super) struct Outgoing {
    /// One of [`CHANNELS`]: what must keep its order goes over one.
    pub(super) channel: usize,
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    /// Off for answers: their queue may be gone, and a returned message can be blamed on
    /// another's confirm.
    pub(super) mandatory: bool,
    pub(super) body: Vec<u8>,
    pub(super) properties: BasicProperties,
}

/// The channel of everything about `key`.
pub(super) fn channel_of(key: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    usize::try_from(hasher.finish() % CHANNELS as u64).unwrap_or_default()
}

pub(super) enum Ask {
    Publish(Box<Outgoing>, oneshot::Sender<Result<(), PublishError>>),
    /// Answered once nothing is unconfirmed.
    Flush(oneshot::Sender<()>),
}

/// Hands a message to the publisher task and waits for the confirm, at most `limit` in all.
pub(super) async fn submit(
    shared: &Shared,
    inbox: &mpsc::Sender<Ask>,
    message: Outgoing,
    limit: Duration,
) -> Result<(), PublishError> {
    if shared.stand() != ConnectionState::Up {
        return Err(PublishError::Unavailable);
    }
    if message.body.len() > shared.largest() {
        return Err(PublishError::TooLarge);
    }
    let deadline = Deadline::now() + limit;
    let (done, confirmed) = oneshot::channel();
    let ask = Ask::Publish(Box::new(message), done);
    match inbox.try_send(ask) {
        Ok(()) => {}
        Err(mpsc::error::TrySendError::Full(ask)) => match timeout_at(deadline, inbox.reserve()).await {
            Ok(Ok(place)) => place.send(ask),
            // Not handed over: certainly not stored.
            Ok(Err(_)) | Err(_) => return Err(PublishError::Unavailable),
        },
        Err(mpsc::error::TrySendError::Closed(_)) => return Err(PublishError::Unavailable),
    }
    match timeout_at(deadline, confirmed).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(PublishError::Unknown),
        Err(_) => Err(PublishError::Unknown),
    }
}

/// The task's state across connections.
pub(super) struct Publishing {
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: mpsc::Receiver<Ask>,
}

/// A message on its way: when it was sent, and who waits for it.
struct InFlight {
    since: Instant,
    done: oneshot::Sender<Result<(), PublishError>>,
}

/// A message that lapin has, until it is confirmed.
type Sending<'c> = BoxFuture<'c, (usize, lapin::Result<Confirmation>)>;

/// The places of the window.
struct Window {
    places: Vec<Option<InFlight>>,
    free: Vec<usize>,
    /// The last confirm.
    confirmed: Option<Instant>,
}

impl Window {
    fn new() -> Self {
        Self { places: (0..WINDOW).map(|_| None).collect(), free: (0..WINDOW).collect(), confirmed: None }
    }

    fn take(&mut self, message: InFlight) -> Option<usize> {
        let place = self.free.pop()?;
        self.places[place] = Some(message);
        Some(place)
    }

    fn release(&mut self, place: usize) -> Option<InFlight> {
        let message = self.places.get_mut(place)?.take()?;
        self.free.push(place);
        Some(message)
    }

    /// Whether the connection is to blame for what is not confirmed: nothing is, or so little that
    /// the window fills up. Otherwise it is one queue, whose senders have given up long ago.
    fn is_stuck(&self, now: Instant) -> bool {
        let overdue = |since: Instant| now.saturating_duration_since(since) > CONFIRM_LIMIT;
        let late = self.places.iter().flatten().filter(|message| overdue(message.since)).count();
        late > WINDOW / 2 || (late > 0 && self.confirmed.is_none_or(overdue))
    }
}

impl Session for Publishing {
    fn run(&mut self, live: Arc<Live>, events: EventStream) -> BoxFuture<'_, Result<(), Failure>> {
        async move {
            declare_exchanges(&self.shared, &live).await?;
            let _upkeep = upkeep::start(&self.shared, &live);
            upkeep::first_looks(&self.shared).await;
            let channels = [confirm_channel(&live).await?, confirm_channel(&live).await?];
            self.shared.set_stand(ConnectionState::Up);
            self.shared.publishing.send_replace(Some(live.clone()));
            let mut window = Window::new();
            let result = self.pump(&live, &channels, events, &mut window).await;
            self.shared.set_stand(ConnectionState::Down);
            self.shared.publishing.send_replace(None);
            // Whether these were stored, nobody knows.
            for lost in window.places.into_iter().flatten() {
                let _ = lost.done.send(Err(PublishError::Unknown));
            }
            result
        }
        .boxed()
    }
}

async fn confirm_channel(live: &Live) -> Result<Channel, Failure> {
    let channel = live.channel().await?;
    let confirms = channel.confirm_select(ConfirmSelectOptions::default());
    live.limited("confirm.select", DECLARE_LIMIT, confirms).await?;
    Ok(channel)
}

/// On a channel of its own: a refusal closes the channel.
async fn declare_exchanges(shared: &Shared, live: &Live) -> Result<(), Failure> {
    let channel = live.channel().await?;
    shared.topology.declare_exchanges(live, &channel).await?;
    live.limited("channel.close", DECLARE_LIMIT, channel.close(200, "declared".into())).await
}

impl Publishing {
    async fn pump(
        &mut self,
        live: &Arc<Live>,
        channels: &[Channel; CHANNELS],
        mut events: EventStream,
        window: &mut Window,
    ) -> Result<(), Failure> {
        let shared = self.shared.clone();
        let mut flight = FuturesUnordered::new();
        let mut asks = Vec::with_capacity(WINDOW);
        let mut flushes: Vec<oneshot::Sender<()>> = Vec::new();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut broken, mut stopped) = (pin!(live.broken()), pin!(shared.stop.cancelled()));
        // Off once the queue's last publishing handle has gone; a subscription may live on.
        let mut taking = true;
        loop {
            let room = window.free.len();
            tokio::select! {
                biased;
                _ = tick.tick() => {
                    shared.progress.beat(Link::Publishing);
                    self.look(live, channels, window)?;
                }
                event = events.next() => self.heard(event, live, channels)?,
                () = &mut broken => return Err(Failure::Lost("somebody found it broken")),
                () = &mut stopped => return Ok(()),
                Some((place, result)) = flight.next(), if !flight.is_empty() => {
                    let now = Instant::now();
                    self.settle(window, place, result, now)?;
                    // What came in the same packet needs no further round.
                    while let Some(Some((place, result))) = flight.next().now_or_never() {
                        self.settle(window, place, result, now)?;
                    }
                }
                count = self.inbox.recv_many(&mut asks, room), if taking && room > 0 => {
                    taking = count > 0;
                    let busy = !flight.is_empty();
                    if busy {
                        self.take_more(&mut asks, room).await;
                    }
                    // Not yet asked for their confirm.
                    let handed = self.hand_over_all(&mut asks, &mut flushes, channels, window)?;
                    // lapin wakes a sender once when the message is written and once more when it
                    // is confirmed. After another turn most are written and wake us only once.
                    if busy {
                        tokio::task::yield_now().await;
                    }
                    flight.extend(handed);
                }
            }
            if flight.is_empty() {
                for done in flushes.drain(..) {
                    let _ = done.send(());
                }
            }
        }
    }

    /// Under load a turn of the runtime brings others, and all go out in one packet.
    async fn take_more(&mut self, asks: &mut Vec<Ask>, room: usize) {
        tokio::task::yield_now().await;
        while asks.len() < room
            && let Ok(ask) = self.inbox.try_recv()
        {
            asks.push(ask);
        }
    }

    /// What lapin tells of the connection.
    fn heard(&self, event: Option<Event>, live: &Live, channels: &[Channel; CHANNELS]) -> Result<(), Failure> {
        match event {
            Some(Event::ConnectionBlocked(_)) => {
                tracing::warn!("RabbitMQ has blocked publishing: it is short of memory or disk");
                self.shared.set_stand(ConnectionState::Blocked);
            }
            Some(Event::ConnectionUnblocked) => {
                tracing::info!("RabbitMQ takes messages again");
                self.shared.set_stand(ConnectionState::Up);
            }
            // Errors of every channel come here, also of one on which a queue was asked for that does
            // not exist.
            Some(Event::Error(error)) => {
                self.shared.learn_largest(&error);
                let alive = live.connection.status().connected();
                if !alive || channels.iter().any(|channel| !channel.status().connected()) {
                    return Err(error.into());
                }
            }
            Some(_) => {}
            None => return Err(Failure::Lost("lapin stopped telling what happens")),
        }
        Ok(())
    }

    /// Gives all messages to lapin; who asked for a flush is answered later.
    fn hand_over_all<'c>(
        &self,
        asks: &mut Vec<Ask>,
        flushes: &mut Vec<oneshot::Sender<()>>,
        channels: &'c [Channel; CHANNELS],
        window: &mut Window,
    ) -> Result<Vec<Sending<'c>>, Failure> {
        let (now, mut handed) = (Instant::now(), Vec::with_capacity(asks.len()));
        for ask in asks.drain(..) {
            match ask {
                Ask::Flush(done) => flushes.push(done),
                Ask::Publish(message, done) => {
                    handed.extend(self.hand_over(channels, window, message, InFlight { since: now, done })?);
                }
            }
        }
        Ok(handed)
    }

    /// Gives a message to lapin; what is left is to wait for its confirm.
    fn hand_over<'c>(
        &self,
        channels: &'c [Channel; CHANNELS],
        window: &mut Window,
        message: Box<Outgoing>,
        waiting: InFlight,
    ) -> Result<Option<Sending<'c>>, Failure> {
        let now = waiting.since;
        // Nobody waits for it any more, and it has not been sent.
        if waiting.done.is_closed() {
            return Ok(None);
        }
        if self.shared.stand() == ConnectionState::Blocked {
            let _ = waiting.done.send(Err(PublishError::Unavailable));
            return Ok(None);
        }
        let Some(place) = window.take(waiting) else { return Ok(None) };
        let mut sending = send(&channels[message.channel], place, message).boxed();
        match sending.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready((place, result)) => self.settle(window, place, result, now).map(|()| None),
            Poll::Pending => Ok(Some(sending)),
        }
    }

    fn settle(
        &self,
        window: &mut Window,
        place: usize,
        result: lapin::Result<Confirmation>,
        now: Instant,
    ) -> Result<(), Failure> {
        let confirmation = result.inspect_err(|error| self.shared.learn_largest(error))?;
        let Some(InFlight { done, .. }) = window.release(place) else { return Ok(()) };
        let answer = match confirmation {
            Confirmation::Ack(None) => {
                window.confirmed = Some(now);
                self.shared.progress.confirmed();
                Ok(())
            }
            // Some message was returned, not necessarily this one. It takes both the alternate
            // exchange and a queue to be missing.
            Confirmation::Ack(Some(_)) => Err(PublishError::Unknown),
            // The queue is full.
            Confirmation::Nack(_) | Confirmation::NotRequested => Err(PublishError::Unavailable),
        };
        let _ = done.send(answer);
        Ok(())
    }

    /// What no event tells.
    fn look(&self, live: &Live, channels: &[Channel; CHANNELS], window: &Window) -> Result<(), Failure> {
        if !live.connection.status().connected() {
            return Err(Failure::Lost("it is not open any more"));
        }
        if channels.iter().any(|channel| !channel.status().connected()) {
            return Err(Failure::Lost("one of its channels was closed"));
        }
        let blocked = live.connection.status().blocked();
        if !blocked && window.is_stuck(Instant::now()) {
            return Err(Failure::Limit("a confirm"));
        }
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that publishes; its confirm is awaited here")]
async fn send(channel: &Channel, place: usize, message: Box<Outgoing>) -> (usize, lapin::Result<Confirmation>) {
    let Outgoing { channel: _, exchange, routing_key, mandatory, body, properties } = *message;
    let options = BasicPublishOptions { mandatory, immediate: false };
    let result = async {
        // Its first poll hands over all frames at once, so sends of one task never mingle.
        channel.basic_publish(exchange, routing_key, options, &body, properties).await?.await
    };
    (place, result.await)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> InFlight {
        InFlight { since: Instant::now(), done: oneshot::channel().0 }
    }

    #[test]
    fn every_channel_is_used_and_a_key_keeps_to_one() {
        let of = |n: usize| channel_of(&format!("{n}A"));
        let used: std::collections::BTreeSet<usize> = (0..100).map(of).collect();
        assert!(used.into_iter().eq(0..CHANNELS));
        assert!((0..100).all(|n| of(n) == of(n)));
    }

    #[test]
    fn the_window_is_bounded_and_its_places_are_used_again() {
        let mut window = Window::new();
        let places: Vec<usize> = (0..WINDOW).map(|_| window.take(message()).expect("place")).collect();
        assert!(window.take(message()).is_none());
        for place in places {
            assert!(window.release(place).is_some());
            assert!(window.release(place).is_none());
        }
        assert_eq!(window.free.len(), WINDOW);
    }

    #[test]
    fn what_one_queue_does_not_confirm_is_no_fault_of_the_connection() {
        let (mut window, begun) = (Window::new(), Instant::now());
        let after = |seconds| begun + Duration::from_secs(seconds);
        let sent = |at| InFlight { since: at, done: oneshot::channel().0 };
        assert!(!window.is_stuck(after(60)), "nothing is on its way");
        window.take(sent(begun)).expect("place");
        assert!(!window.is_stuck(after(5)));
        assert!(window.is_stuck(after(6)), "nothing at all is confirmed");
        window.confirmed = Some(after(4));
        assert!(!window.is_stuck(after(6)), "others are confirmed");
        assert!(window.is_stuck(after(10)), "not any more");
        while window.take(sent(begun)).is_some() {}
        window.confirmed = Some(after(60));
        assert!(window.is_stuck(after(60)), "there is no room for others");
    }
}
