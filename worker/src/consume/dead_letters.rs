//! Brings what the broker has put aside to where a person finds it: messages that no queue
//! was bound to receive, and messages that were handed out again and again. A message whose
//! queue was only missing for a while is sent again and needs nobody.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use shared::message::{Envelope, Lane, Undecodable, decode};
use shared::queue::{Death, Delivery, Parked, Publisher, SharedQueue, Subscription};
use shared::reason;
use shared::retry::Waits;
use shared::store::Store;
use shared::store::dead_letters::NewDeadLetter;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// They are rare, and each is a commit of its own.
const PREFETCH: u16 = 8;
/// The broker's words for a message that came back too often (messaging.md §5): its own limit, or
/// our count.
const TOO_OFTEN: [&str; 2] = ["delivery_limit", "rejected"];
/// From one line of the log about a policy to the next.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Takes a delivery as if it had come over its lane, and settles it.
pub type TakeIn = Arc<dyn Fn(Delivery) -> BoxFuture<'static, ()> + Send + Sync>;

/// What a policy is called that takes messages out of a queue for this reason.
pub fn policy_of(reason: &str) -> Option<&'static str> {
    match reason {
        "expired" => Some("message-ttl"),
        "maxlen" => Some("max-length or max-length-bytes"),
        _ => None,
    }
}

/// How often one worker sends a message again whose queue was missing.
const RESENDS: u32 = 5;
/// From one to the next, doubled each time: queues are declared anew meanwhile.
const PAUSE: Duration = Duration::from_millis(500);
/// After a message that the broker did not take again, others are not tried for so long.
const REFUSED: Duration = Duration::from_secs(10);
/// Messages whose resends are remembered.
const REMEMBERED: usize = 50_000;

/// Runs until `stop`; ends at once where the queue puts nothing aside.
pub async fn run(store: Store, queue: SharedQueue, take_in: TakeIn, stop: CancellationToken) {
    let consumers = [Parked::Dead, Parked::Unrouted].into_iter().filter_map(|what| {
        let subscription = queue.subscribe_parked(what, PREFETCH)?;
        let consumer = Consumer::new(store.clone(), queue.clone(), what, take_in.clone(), stop.clone());
        Some(tokio::spawn(consumer.consume(subscription)))
    });
    for consumer in consumers.collect::<Vec<_>>() {
        let _ = consumer.await;
    }
}

/// The consumer of one queue of what was put aside.
struct Consumer {
    store: Store,
    publisher: Arc<dyn Publisher>,
    what: Parked,
    take_in: TakeIn,
    stop: CancellationToken,
    resends: Resends,
    /// When the broker last did not take a message again.
    refused: Option<Instant>,
    /// When the log last spoke of a policy: by queue and reason.
    logged: HashMap<(String, String), Instant>,
}

impl Consumer {
    fn new(
        store: Store,
        publisher: Arc<dyn Publisher>,
        what: Parked,
        take_in: TakeIn,
        stop: CancellationToken,
    ) -> Self {
        let (resends, logged) = (Resends::default(), HashMap::new());
        Self { store, publisher, what, take_in, stop, resends, refused: None, logged }
    }

    async fn consume(mut self, mut subscription: Box<dyn Subscription>) {
        loop {
            let delivery = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                delivery = subscription.next() => match delivery {
                    Some(delivery) => delivery,
                    None => break,
                },
            };
            if let Some(envelope) = unroutable(self.what, &delivery)
                && let Some(at) = self.resends.next(envelope.id, Instant::now())
            {
                self.send_again(delivery, envelope, at).await;
            } else if let Some((death, policy)) = taken_by_policy(self.what, &delivery) {
                self.note_policy(&death, policy).await;
                (self.take_in)(delivery).await;
            } else {
                let dead = dead_letter(self.what, &delivery);
                if settle_as(&self.store, delivery, &dead, &self.stop).await {
                    tracing::error!(
                        kind = dead.kind,
                        reason = dead.reason,
                        detail = %dead.detail,
                        "the broker put a message aside"
                    );
                }
            }
        }
        subscription.stop().await;
    }

    /// To where it belongs, whose queue was missing. What the broker does not take back now is
    /// taken in without it: each would wait for a confirm that does not come, and those behind it
    /// as well. A stop leaves the message with the broker.
    async fn send_again(&mut self, delivery: Delivery, envelope: Envelope, at: Instant) {
        if self.refused.is_some_and(|at| at.elapsed() < REFUSED) {
            return (self.take_in)(delivery).await;
        }
        let kind = envelope.command.kind();
        let sent = async {
            tokio::time::sleep_until(at).await;
            self.publisher.publish(envelope).await
        };
        match tokio::select! { sent = sent => sent, () = self.stop.cancelled() => return } {
            Ok(()) => {
                tracing::warn!(kind = kind.as_str(), "a message found no queue and was sent again");
                delivery.ack().await;
            }
            Err(_) => {
                self.refused = Some(Instant::now());
                (self.take_in)(delivery).await;
            }
        }
    }

    async fn note_policy(&mut self, death: &Death, policy: &str) {
        let now = Instant::now();
        let key = (death.queue.clone(), death.reason.clone());
        if self.logged.get(&key).is_none_or(|at| now.duration_since(*at) >= LOG_EVERY) {
            tracing::warn!(
                queue = death.queue,
                reason = death.reason,
                policy,
                "a policy of RabbitMQ takes commands out of a queue; they are taken in all the same"
            );
            self.logged.insert(key, now);
        }
        if let Err(error) = self.store.note_policy(&death.queue, &death.reason).await {
            tracing::debug!(%error, "what a policy took could not be noted");
        }
    }
}

/// A command that nobody has looked at yet: the broker put it aside by a policy.
fn taken_by_policy(what: Parked, delivery: &Delivery) -> Option<(Death, &'static str)> {
    let death = delivery.death.clone().filter(|_| what == Parked::Dead)?;
    let policy = policy_of(&death.reason)?;
    decode(&delivery.body).is_ok_and(|envelope| envelope.lane() != Lane::Rpc).then_some((death, policy))
}

/// A message that was sent to where its kind belongs, and there was no queue.
fn unroutable(what: Parked, delivery: &Delivery) -> Option<Envelope> {
    let envelope = decode(&delivery.body).ok().filter(|_| what == Parked::Unrouted)?;
    // Who asked and waits has been answered by its own time limit.
    let lane = Some(envelope.lane()).filter(|lane| *lane != Lane::Rpc)?;
    let (meant, _) = delivery.death.as_ref()?.queue.split_once('.')?;
    (meant == lane.as_str()).then_some(envelope)
}

/// How often messages were sent again, and when each was last.
#[derive(Default)]
struct Resends(HashMap<Uuid, (u32, Instant)>);

impl Resends {
    /// When a message is to be sent again; `None` when that has not helped often enough.
    fn next(&mut self, id: Uuid, now: Instant) -> Option<Instant> {
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        let (count, at) = match self.0.get(&id) {
            None => (1, now),
            Some((count, _)) if *count >= RESENDS => {
                self.0.remove(&id);
                return None;
            }
            Some((count, last)) => (count + 1, (*last + PAUSE * 2_u32.pow(count - 1)).max(now)),
        };
        self.0.insert(id, (count, at));
        Some(at)
    }
}

/// What a person is told of a message that was put aside.
fn dead_letter(what: Parked, delivery: &Delivery) -> NewDeadLetter {
    let death = delivery.death.as_ref().map_or_else(String::new, |death| format!("{}, {}", death.queue, death.reason));
    let too_often = delivery.death.as_ref().is_some_and(|death| TOO_OFTEN.contains(&death.reason.as_str()));
    match decode(&delivery.body) {
        Ok(envelope) => {
            let reason = if what == Parked::Unrouted { reason::UNROUTABLE } else { reason::POISON };
            let tries = envelope.attempt + u32::from(too_often);
            NewDeadLetter { tries, ..NewDeadLetter::of(&envelope, reason::give_up(reason, death)) }
        }
        // Where it went matters less than that nobody can read it; the detail has both.
        Err(why) => undecodable(&delivery.body, &format!("{why}; {death}")),
    }
}

/// Has a message end as a dead letter, however long the store is away. False: the process stops,
/// and the message goes back.
async fn settle_as(store: &Store, delivery: Delivery, dead: &NewDeadLetter, stop: &CancellationToken) -> bool {
    let mut waits = Waits::between(Duration::from_millis(100), Duration::from_secs(5));
    while let Err(error) = store.add_dead_letter(dead).await {
        tracing::warn!(%error, "a dead letter could not be stored yet");
        tokio::select! {
            () = stop.cancelled() => {
                delivery.requeue().await;
                return false;
            }
            () = tokio::time::sleep(waits.next_wait()) => {}
        }
    }
    delivery.ack().await;
    true
}

/// The same for a message that nobody can read.
pub async fn settle_undecodable(store: &Store, delivery: Delivery, why: &Undecodable, stop: &CancellationToken) {
    let dead = undecodable(&delivery.body, &why.to_string());
    settle_as(store, delivery, &dead, stop).await;
}

/// A message nobody understands, as a person finds it.
fn undecodable(body: &[u8], why: &str) -> NewDeadLetter {
    NewDeadLetter::unreadable(body, reason::give_up(reason::UNDECODABLE, why))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use std::sync::Mutex;

    use futures_util::FutureExt as _;
    use shared::clock::Clock;
    use shared::crypto::SecretKey;
    use shared::domain::{Fault, IntegrationId, OrderNumber};
    use shared::message::{Command, Envelope, encode};
    use shared::queue::{PublishError, Settle, Settling};
    use shared::store::Db;
    use shared::store::dead_letters::{DeadFilter, DeadLetter};

    use super::*;

    #[derive(Clone, Default)]
    struct Settled(Arc<(AtomicU32, AtomicU32)>);

    impl Settled {
        fn counts(&self) -> (u32, u32) {
            (self.0.0.load(Ordering::SeqCst), self.0.1.load(Ordering::SeqCst))
        }
    }

    impl Settle for Settled {
        fn settle(self: Box<Self>, how: Settling) -> BoxFuture<'static, ()> {
            let count = if how == Settling::Ack { &self.0.0 } else { &self.0.1 };
            count.fetch_add(1, Ordering::SeqCst);
            std::future::ready(()).boxed()
        }
    }

    /// Hands out what it has, then nothing more.
    struct Few(Vec<Delivery>);

    impl Subscription for Few {
        fn next(&mut self) -> BoxFuture<'_, Option<Delivery>> {
            std::future::ready(self.0.pop()).boxed()
        }

        fn stop(&mut self) -> BoxFuture<'_, ()> {
            std::future::ready(()).boxed()
        }
    }

    /// Counts what is published; takes none of it when it is `away`.
    #[derive(Default)]
    struct Sent {
        count: AtomicU32,
        away: bool,
    }

    impl Publisher for Sent {
        fn publish(&self, _: Envelope) -> BoxFuture<'_, Result<(), PublishError>> {
            self.count.fetch_add(1, Ordering::SeqCst);
            std::future::ready(if self.away { Err(PublishError::Unavailable) } else { Ok(()) }).boxed()
        }
    }

    fn send_order() -> Envelope {
        let number = OrderNumber::parse("1234A").expect("a number");
        Envelope::new(Command::SendOrder { number, declared: None }, Some(IntegrationId(3)), jiff::Timestamp::now())
    }

    fn delivery(body: Vec<u8>, reason: &str, settled: &Settled) -> Delivery {
        let mut delivery = Delivery::new(body, false, Box::new(settled.clone()));
        delivery.death = Some(Death { queue: "b.interactive.v1".to_owned(), reason: reason.to_owned() });
        delivery
    }

    async fn store() -> (Store, std::path::PathBuf) {
        let file = std::env::temp_dir().join(format!("bridge-drains-{}.db", uuid::Uuid::new_v4()));
        let db = Db::open_sqlite(&file).await.expect("a database");
        db.migrate().await.expect("migrated");
        (Store::new(db, SecretKey::from_bytes([7; 32]), Clock::system()), file)
    }

    /// Keeps the ids of what is taken in, and acknowledges it.
    fn reception() -> (Arc<Mutex<Vec<Uuid>>>, TakeIn) {
        let taken = Arc::<Mutex<Vec<Uuid>>>::default();
        let seen = taken.clone();
        let take_in: TakeIn = Arc::new(move |delivery: Delivery| {
            seen.lock().expect("lock").push(decode(&delivery.body).expect("an envelope").id);
            delivery.ack().boxed()
        });
        (taken, take_in)
    }

    #[tokio::test]
    async fn what_a_policy_took_out_of_its_queue_is_taken_in_as_if_it_had_just_arrived() {
        let ((store, file), settled, (taken, take_in)) = (store().await, Settled::default(), reception());
        let orders = [send_order(), send_order(), send_order()];
        let few = Few(orders
            .iter()
            .zip(["expired", "maxlen", "expired"])
            .map(|(order, reason)| delivery(encode(order), reason, &settled))
            .collect());
        let sent = Arc::<Sent>::default();
        Consumer::new(store.clone(), sent, Parked::Dead, take_in, CancellationToken::new())
            .consume(Box::new(few))
            .await;
        let mut ids = taken.lock().expect("lock").clone();
        ids.reverse();
        assert_eq!(ids, orders.map(|order| order.id));
        assert_eq!(settled.counts(), (3, 0));
        assert!(store.dead_letters(&DeadFilter::default()).await.expect("read").is_empty(), "it is nobody's fault");
        let notes = store.policy_notes().await.expect("read");
        let noted: Vec<_> = notes.iter().map(|note| (note.reason.as_str(), note.count)).collect();
        assert_eq!(noted, [("expired", 2), ("maxlen", 1)]);
        assert_eq!(notes[0].queue, "b.interactive.v1");
        store.db.close().await;
        let _ = std::fs::remove_file(file);
    }

    async fn consumed(what: Parked, body: Vec<u8>, reason: &str) -> DeadLetter {
        let ((store, file), settled) = (store().await, Settled::default());
        let few = Few(vec![delivery(body, reason, &settled)]);
        let sent = Arc::new(Sent::default());
        let stop = CancellationToken::new();
        Consumer::new(store.clone(), sent.clone(), what, reception().1, stop).consume(Box::new(few)).await;
        assert_eq!(sent.count.load(Ordering::SeqCst), 0);
        assert_eq!(settled.counts(), (1, 0), "stored, then acknowledged");
        let found = store.dead_letters(&DeadFilter::default()).await.expect("read").remove(0);
        store.db.close().await;
        let _ = std::fs::remove_file(file);
        found
    }

    #[tokio::test]
    async fn what_nobody_was_bound_to_receive_can_be_replayed() {
        let envelope = send_order();
        let dead = consumed(Parked::Unrouted, encode(&envelope), "unrouted").await;
        assert_eq!((dead.reason.as_str(), dead.fault, dead.kind.as_str()), ("unroutable", Fault::Bridge, "SendOrder"));
        assert_eq!((dead.integration, dead.number.as_deref()), (Some(IntegrationId(3)), Some("1234A")));
        assert_eq!(decode(dead.command.expect("a command").as_bytes()), Ok(envelope));
    }

    /// Two messages out of the catch-all queue: how often was published, how many were taken in,
    /// acknowledged and handed back, and how many dead letters came of them.
    async fn strays(away: bool) -> (u32, usize, (u32, u32), usize) {
        let ((store, file), settled, (taken, take_in)) = (store().await, Settled::default(), reception());
        let stray = || {
            let mut stray = delivery(encode(&send_order()), "unrouted", &settled);
            stray.death.as_mut().expect("put aside").queue = "interactive.SendOrder".to_owned();
            stray
        };
        let few = Few(vec![stray(), stray()]);
        let sent = Arc::new(Sent { away, ..Sent::default() });
        let stop = CancellationToken::new();
        Consumer::new(store.clone(), sent.clone(), Parked::Unrouted, take_in, stop).consume(Box::new(few)).await;
        let dead = store.dead_letters(&DeadFilter::default()).await.expect("read").len();
        store.db.close().await;
        let _ = std::fs::remove_file(file);
        let taken = taken.lock().expect("lock").len();
        (sent.count.load(Ordering::SeqCst), taken, settled.counts(), dead)
    }

    #[tokio::test]
    async fn what_found_its_queue_missing_is_sent_again() {
        assert_eq!(strays(false).await, (2, 0, (2, 0), 0));
    }

    #[tokio::test]
    async fn what_the_broker_does_not_take_again_is_taken_in_and_holds_up_nothing() {
        assert_eq!(strays(true).await, (1, 2, (2, 0), 0), "the second is not tried with the broker");
    }

    #[test]
    fn what_comes_back_each_time_is_sent_later_and_later_and_then_shown_to_a_person() {
        let (mut resends, id, begun) = (Resends::default(), Uuid::now_v7(), Instant::now());
        let after: Vec<Option<u128>> =
            (0..6).map(|_| resends.next(id, begun).map(|at| (at - begun).as_millis())).collect();
        assert_eq!(after, [Some(0), Some(500), Some(1500), Some(3500), Some(7500), None]);
        assert_eq!(resends.next(id, begun), Some(begun), "a replay begins anew");
    }

    #[tokio::test]
    async fn what_was_handed_out_too_often_is_poison_and_says_where() {
        let dead = consumed(Parked::Dead, encode(&send_order()), "delivery_limit").await;
        assert_eq!(
            (dead.reason.as_str(), dead.detail.to_string().as_str()),
            ("poison", "b.interactive.v1, delivery_limit")
        );
    }

    #[tokio::test]
    async fn the_bytes_of_what_cannot_be_read_are_kept() {
        for what in [Parked::Dead, Parked::Unrouted] {
            let dead = consumed(what, b"\xffwhat?".to_vec(), "delivery_limit").await;
            assert_eq!((dead.reason.as_str(), dead.raw.as_deref()), ("undecodable", Some(&b"\xffwhat?"[..])));
            assert_eq!(dead.command, None);
        }
    }

    #[tokio::test]
    async fn without_its_store_a_stopping_worker_hands_it_back() {
        let ((store, file), settled) = (store().await, Settled::default());
        store.db.close().await;
        tokio::time::pause();
        let few = Few(vec![delivery(encode(&send_order()), "unrouted", &settled)]);
        let stop = CancellationToken::new();
        let sent = Arc::<Sent>::default();
        let consumer = Consumer::new(store, sent, Parked::Unrouted, reception().1, stop.clone());
        let draining = tokio::spawn(consumer.consume(Box::new(few)));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(settled.counts(), (0, 0), "it waits for the store");
        stop.cancel();
        draining.await.expect("ended");
        assert_eq!(settled.counts(), (0, 1));
        let _ = std::fs::remove_file(file);
    }
}
