//! The way out when the broker does not confirm: the message becomes a row of the job
//! table, its sender is told that it is stored, and [`super::relay`] forwards it later.
//!
//! Time is the point here: RetailCRM does not repeat a trigger, so an answer must come
//! within three seconds and be true (messaging.md «Ingress: what to answer»).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::clock::Clock;
use crate::locked::locked;
use crate::message::{Envelope, Lane};
use crate::queue::jobs::JobQueue;
use crate::queue::{PublishError, Publisher};
use crate::store::Store;
use crate::store::jobs::NewJob;

/// How long the broker is given to confirm.
const CONFIRM_LIMIT: Duration = Duration::from_secs(2);
/// How long the store is given; both together stay below three seconds.
const STORE_LIMIT: Duration = Duration::from_millis(800);
/// Rows after which the outbox takes no more: somebody must look first.
const FULL: u64 = 100_000;

/// Publishes to the broker, or else into the store.
pub struct SpillingPublisher {
    broker: Arc<dyn Publisher>,
    /// Groups the rows of a burst into few commits.
    rows: JobQueue,
    outbox: Arc<Outbox>,
    clock: Clock,
}

/// What publisher and relay know in common.
#[derive(Debug, Default)]
pub struct Outbox {
    /// One for each lane: what cannot be published into one says nothing of the others.
    circuits: [Circuit; Lane::ALL.len()],
    depth: AtomicU64,
}

impl Outbox {
    pub const fn circuit(&self, lane: Lane) -> &Circuit {
        &self.circuits[lane as usize]
    }

    /// Rows waiting, as last counted.
    pub fn depth(&self) -> u64 {
        self.depth.load(Ordering::Relaxed)
    }

    pub(crate) fn set_depth(&self, rows: u64) {
        self.depth.store(rows, Ordering::Relaxed);
    }
}

/// Keeps a dead broker from costing every message its time limit: after a failure
/// messages go to the store at once, and one now and then tries the broker.
#[derive(Debug, Default)]
pub struct Circuit(Mutex<Option<Open>>);

#[derive(Debug, Clone, Copy)]
struct Open {
    /// When the next message may try.
    retry_at: Instant,
    pause: Duration,
}

/// Whether a message may try the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Yes,
    /// As the one that finds out whether the broker is back.
    Probe,
    No,
}

impl Circuit {
    const FIRST_PAUSE: Duration = Duration::from_secs(1);
    const LONGEST_PAUSE: Duration = Duration::from_secs(10);

    fn state(&self) -> MutexGuard<'_, Option<Open>> {
        locked(&self.0)
    }

    pub fn is_open(&self) -> bool {
        self.state().is_some()
    }

    fn admit(&self, now: impl FnOnce() -> Instant) -> Admission {
        let mut state = self.state();
        let Some(open) = &mut *state else { return Admission::Yes };
        let now = now();
        if now < open.retry_at {
            return Admission::No;
        }
        // Nobody else tries while this one does.
        open.retry_at = now + open.pause.max(CONFIRM_LIMIT);
        Admission::Probe
    }

    /// The broker confirmed something.
    pub fn succeeded(&self) {
        if self.state().take().is_some() {
            tracing::info!("the broker confirms again");
        }
    }

    /// What is forwarded later was not taken either.
    pub(crate) fn tripped(&self, now: Instant) {
        self.failed(Admission::Yes, now);
    }

    fn failed(&self, admission: Admission, now: Instant) {
        let mut state = self.state();
        match &mut *state {
            None => {
                *state = Some(Open { retry_at: now + Self::FIRST_PAUSE, pause: Self::FIRST_PAUSE });
                drop(state);
                tracing::warn!("the broker does not confirm; messages are kept in the store until it does");
            }
            Some(open) if admission == Admission::Probe => {
                open.pause = (open.pause * 2).min(Self::LONGEST_PAUSE);
                open.retry_at = now + open.pause;
            }
            // Others that had begun before the circuit opened.
            Some(_) => {}
        }
    }
}

impl SpillingPublisher {
    /// Must be called inside the runtime.
    pub fn new(broker: Arc<dyn Publisher>, store: Store) -> Self {
        let clock = store.clock.clone();
        Self { broker, rows: JobQueue::start(store), outbox: Arc::default(), clock }
    }

    /// For the relay that empties what this fills.
    pub fn outbox(&self) -> Arc<Outbox> {
        self.outbox.clone()
    }

    async fn to_broker(&self, envelope: Envelope) -> Result<(), PublishError> {
        let lane = envelope.lane();
        if !self.broker.accepts(lane) {
            return Err(PublishError::Unavailable);
        }
        let circuit = self.outbox.circuit(lane);
        let admission = circuit.admit(Instant::now);
        if admission == Admission::No {
            return Err(PublishError::Unavailable);
        }
        let done = match tokio::time::timeout(CONFIRM_LIMIT, self.broker.publish(envelope)).await {
            Ok(done) => done,
            Err(_) => Err(PublishError::Unknown),
        };
        match done {
            Ok(()) => circuit.succeeded(),
            Err(_) => circuit.failed(admission, Instant::now()),
        }
        done
    }

    async fn to_store(&self, envelope: &Envelope) -> Result<(), PublishError> {
        if self.outbox.depth() >= FULL {
            tracing::error!(rows = FULL, "the outbox is full: is the broker reachable?");
            return Err(PublishError::Unavailable);
        }
        let put = self.rows.put(NewJob::of(envelope, self.clock.now()));
        match tokio::time::timeout(STORE_LIMIT, put).await {
            Ok(stored) => stored,
            // It may be stored in the end: a message that was refused and comes all the
            // same is only a look at an order too many.
            Err(_) => Err(PublishError::Unavailable),
        }
    }
}

impl Publisher for SpillingPublisher {
    /// A message that the broker may have taken is stored as well, under the same id.
    fn publish(&self, envelope: Envelope) -> BoxFuture<'_, Result<(), PublishError>> {
        async move {
            // Who waits for an answer is not served by one that comes later.
            if envelope.lane() == Lane::Rpc {
                return self.to_broker(envelope).await;
            }
            match self.to_broker(envelope.clone()).await {
                Ok(()) => Ok(()),
                Err(_) => self.to_store(&envelope).await,
            }
        }
        .boxed()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::AtomicU8;

    use uuid::Uuid;

    use super::*;
    use crate::domain::{IntegrationId, OrderNumber};
    use crate::message::Command;

    /// A broker in memory that can be told to misbehave.
    #[derive(Default)]
    pub(crate) struct FakeBroker {
        mode: AtomicU8,
        pub(crate) tries: AtomicU64,
        got: Mutex<Vec<Envelope>>,
    }

    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Mode {
        Works = 0,
        Refuses = 1,
        Hangs = 2,
        /// Takes the message and never says so.
        Swallows = 3,
        Away = 4,
        /// Takes everything but the bulk lane, which it says.
        RefusesBulk = 5,
        /// Takes everything but the bulk lane, which only a try shows.
        HangsOnBulk = 6,
    }

    impl FakeBroker {
        pub(crate) fn set(&self, mode: Mode) {
            self.mode.store(mode as u8, Ordering::SeqCst);
        }

        fn is(&self, mode: Mode) -> bool {
            self.mode.load(Ordering::SeqCst) == mode as u8
        }

        pub(crate) fn got(&self) -> Vec<Uuid> {
            self.got.lock().expect("not poisoned").iter().map(|envelope| envelope.id).collect()
        }
    }

    impl Publisher for FakeBroker {
        fn publish(&self, envelope: Envelope) -> BoxFuture<'_, Result<(), PublishError>> {
            async move {
                self.tries.fetch_add(1, Ordering::SeqCst);
                if self.is(Mode::Refuses) || self.is(Mode::Away) {
                    return Err(PublishError::Unavailable);
                }
                let bulk = envelope.lane() == Lane::Bulk;
                let works =
                    self.is(Mode::Works) || (!bulk && (self.is(Mode::RefusesBulk) || self.is(Mode::HangsOnBulk)));
                if works || self.is(Mode::Swallows) {
                    self.got.lock().expect("not poisoned").push(envelope);
                }
                if !works {
                    std::future::pending::<()>().await;
                }
                Ok(())
            }
            .boxed()
        }

        fn accepts(&self, lane: Lane) -> bool {
            !(self.is(Mode::Away) || self.is(Mode::RefusesBulk) && lane == Lane::Bulk)
        }
    }

    /// A store, and what lies in its job table.
    pub(crate) struct Scratch {
        pub(crate) store: Store,
    }

    impl Scratch {
        pub(crate) async fn new() -> Self {
            Self { store: Store::in_memory(Clock::system()).await }
        }

        pub(crate) async fn rows(&self) -> u64 {
            self.store.job_counts().await.expect("counted").iter().map(|(_, n)| n).sum()
        }
    }

    pub(crate) fn message() -> Envelope {
        let command = Command::SendOrder { number: OrderNumber::parse("1234A").expect("number"), declared: None };
        Envelope::new(command, Some(IntegrationId(1)), jiff::Timestamp::now())
    }

    pub(crate) fn bulk() -> Envelope {
        Envelope::new(Command::SyncStatuses {}, Some(IntegrationId(1)), jiff::Timestamp::now())
    }

    #[tokio::test]
    async fn a_confirmed_message_costs_no_row() {
        let (scratch, broker) = (Scratch::new().await, Arc::new(FakeBroker::default()));
        let publisher = SpillingPublisher::new(broker.clone(), scratch.store.clone());
        let sent = message();
        publisher.publish(sent.clone()).await.expect("confirmed");
        assert_eq!(broker.got(), [sent.id]);
        assert_eq!(scratch.rows().await, 0);
    }

    #[tokio::test]
    async fn a_message_the_broker_refuses_or_cannot_get_is_stored() {
        for mode in [Mode::Refuses, Mode::Away] {
            let (scratch, broker) = (Scratch::new().await, Arc::new(FakeBroker::default()));
            broker.set(mode);
            let publisher = SpillingPublisher::new(broker.clone(), scratch.store.clone());
            publisher.publish(message()).await.expect("stored");
            assert_eq!(scratch.rows().await, 1);
            if mode == Mode::Away {
                assert_eq!(broker.tries.load(Ordering::SeqCst), 0, "a broker known to be away is not even asked");
            }
        }
    }

    #[tokio::test]
    async fn a_dead_broker_costs_its_time_limit_once_and_not_for_each_message() {
        let (scratch, broker) = (Scratch::new().await, Arc::new(FakeBroker::default()));
        broker.set(Mode::Hangs);
        let publisher = SpillingPublisher::new(broker.clone(), scratch.store.clone());
        let began = Instant::now();
        publisher.publish(message()).await.expect("stored");
        assert!(began.elapsed() < Duration::from_secs(3), "the whole answer stays below three seconds");
        for _ in 0..20 {
            publisher.publish(message()).await.expect("stored");
        }
        // One for the first, and on a slow machine one that finds out whether it is back.
        assert!(broker.tries.load(Ordering::SeqCst) <= 2);
        assert_eq!(scratch.rows().await, 21);
    }

    #[tokio::test]
    async fn without_broker_and_store_a_message_is_refused_in_time() {
        let (scratch, broker) = (Scratch::new().await, Arc::new(FakeBroker::default()));
        broker.set(Mode::Away);
        let publisher = SpillingPublisher::new(broker, scratch.store.clone());
        // Somebody else's write transaction holds the only writing connection.
        let held = scratch.store.db.begin().await.expect("begun");
        let began = Instant::now();
        assert_eq!(publisher.publish(message()).await, Err(PublishError::Unavailable));
        assert!(began.elapsed() < Duration::from_secs(2));
        drop(held);
    }

    #[tokio::test]
    async fn a_lane_that_takes_nothing_sends_no_other_lane_into_the_store() {
        for mode in [Mode::RefusesBulk, Mode::HangsOnBulk] {
            let (scratch, broker) = (Scratch::new().await, Arc::new(FakeBroker::default()));
            broker.set(mode);
            let publisher = SpillingPublisher::new(broker.clone(), scratch.store.clone());
            publisher.publish(bulk()).await.expect("stored");
            let order = message();
            publisher.publish(order.clone()).await.expect("confirmed");
            assert_eq!(broker.got(), [order.id]);
            assert_eq!(scratch.rows().await, 1);
        }
    }

    #[tokio::test]
    async fn a_full_outbox_takes_no_more() {
        let (scratch, broker) = (Scratch::new().await, Arc::new(FakeBroker::default()));
        broker.set(Mode::Away);
        let publisher = SpillingPublisher::new(broker, scratch.store.clone());
        publisher.outbox().set_depth(FULL);
        assert_eq!(publisher.publish(message()).await, Err(PublishError::Unavailable));
        assert_eq!(scratch.rows().await, 0);
    }

    #[tokio::test]
    async fn a_callback_is_never_stored() {
        let (scratch, broker) = (Scratch::new().await, Arc::new(FakeBroker::default()));
        broker.set(Mode::Away);
        let publisher = SpillingPublisher::new(broker, scratch.store.clone());
        let call = Command::Callback { action: "calculate".to_owned(), request: serde_json::Value::Null };
        let call = Envelope::new(call, Some(IntegrationId(1)), jiff::Timestamp::now());
        assert_eq!(publisher.publish(call).await, Err(PublishError::Unavailable));
        assert_eq!(scratch.rows().await, 0);
    }

    #[test]
    fn the_circuit_lets_one_try_at_a_time_and_waits_longer_each_time() {
        let circuit = Circuit::default();
        let now = Instant::now();
        let after = |ms: u64| now + Duration::from_millis(ms);
        assert_eq!(circuit.admit(|| now), Admission::Yes);
        circuit.failed(Admission::Yes, now);
        circuit.failed(Admission::Yes, now);
        assert_eq!(circuit.admit(|| after(900)), Admission::No);
        assert_eq!(circuit.admit(|| after(1_000)), Admission::Probe);
        assert_eq!(circuit.admit(|| after(1_001)), Admission::No, "one at a time");
        circuit.failed(Admission::Probe, after(2_000));
        assert_eq!(circuit.admit(|| after(3_900)), Admission::No);
        assert_eq!(circuit.admit(|| after(4_000)), Admission::Probe);
        circuit.succeeded();
        assert_eq!(circuit.admit(|| after(4_001)), Admission::Yes);
    }
}
