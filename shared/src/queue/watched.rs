//! Subscriptions that `/live` watches. A consumer that is connected and gets nothing while
//! messages wait hangs, and only a restart helps; one that has nothing to get does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::message::Lane;
use crate::queue::{Delivery, QueueState, Settle, Settling, SharedQueue, Subscription};
use crate::telemetry::{Health, Heartbeat};

/// How often a subscription is looked at, and how long it may be silent. Together with
/// the age of counted queue lengths (5 s) a hanging one shows within 60 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    pub look: Duration,
    pub limit: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { look: Duration::from_secs(3), limit: Duration::from_secs(40) }
    }
}

/// A look at the queue itself may take this long.
const STATE_LIMIT: Duration = Duration::from_secs(5);

/// A queue whose subscriptions are watched. Cheap to clone.
#[derive(Clone)]
pub struct WatchedQueue {
    queue: SharedQueue,
    health: Health,
    stop: CancellationToken,
    pace: Pace,
}

impl WatchedQueue {
    /// `stop` is the process's: what ends after it has not died.
    pub fn new(queue: SharedQueue, health: Health, stop: CancellationToken) -> Self {
        Self { queue, health, stop, pace: Pace::default() }
    }

    pub const fn with_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// [`crate::queue::Consumer::subscribe`], with a heartbeat named after the lane. Must
    /// be called inside a tokio runtime.
    pub fn subscribe(&self, lane: Lane, prefetch: u16) -> Box<dyn Subscription> {
        let marks = Arc::new(Activity::default());
        let beat = self.health.heartbeat(format!("{} lane", lane.as_str()), self.pace.limit);
        tokio::spawn(watch(self.clone(), lane, prefetch, marks.clone(), beat));
        Box::new(Watched { inner: self.queue.subscribe(lane, prefetch), marks })
    }
}

/// What a subscription does, as it is seen from outside.
#[derive(Default)]
struct Activity {
    taken: AtomicU64,
    in_hand: AtomicUsize,
    waiting: AtomicBool,
    end: AtomicUsize,
}

/// Values of [`Activity::end`].
const STOPPED: usize = 1;
const DROPPED: usize = 2;

/// A moment of a subscription and its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Snapshot {
    /// Something came since the last look.
    took: bool,
    /// Its user waits in `next`.
    waiting: bool,
    in_hand: usize,
    prefetch: usize,
    connected: bool,
    blocked: bool,
    /// Messages that anybody could take.
    depth: u64,
}

/// Whether something should have come and did not. A broker that is away or blocks is
/// not this subscription's fault, nor is a full window: there the handlers are slow.
const fn is_starved(seen: Snapshot) -> bool {
    !seen.took && seen.waiting && seen.in_hand < seen.prefetch && seen.connected && !seen.blocked && seen.depth > 0
}

async fn watch(queue: WatchedQueue, lane: Lane, prefetch: u16, marks: Arc<Activity>, beat: Heartbeat) {
    let mut taken = 0;
    loop {
        match marks.end.load(Ordering::SeqCst) {
            STOPPED => return beat.done(),
            // Dropping the beat says that the loop died, unless the process is stopping.
            DROPPED => return if queue.stop.is_cancelled() { beat.done() } else { drop(beat) },
            _ => {}
        }
        // A state that does not come is no proof that all is well.
        if let Ok(state) = tokio::time::timeout(STATE_LIMIT, queue.queue.state()).await {
            let now_taken = marks.taken.load(Ordering::SeqCst);
            if !is_starved(seen(&marks, now_taken != taken, lane, prefetch, &state)) {
                beat.beat();
            }
            taken = now_taken;
        }
        tokio::time::sleep(queue.pace.look).await;
    }
}

fn seen(marks: &Activity, took: bool, lane: Lane, prefetch: u16, state: &QueueState) -> Snapshot {
    Snapshot {
        took,
        waiting: marks.waiting.load(Ordering::SeqCst),
        in_hand: marks.in_hand.load(Ordering::SeqCst),
        prefetch: usize::from(prefetch),
        connected: state.connected,
        blocked: state.blocked,
        depth: state.depth.iter().filter(|(of, _)| *of == lane).map(|(_, depth)| depth).sum(),
    }
}

struct Watched {
    inner: Box<dyn Subscription>,
    marks: Arc<Activity>,
}

impl Subscription for Watched {
    fn next(&mut self) -> BoxFuture<'_, Option<Delivery>> {
        async move {
            self.marks.waiting.store(true, Ordering::SeqCst);
            let next = self.inner.next().await;
            self.marks.waiting.store(false, Ordering::SeqCst);
            let Delivery { body, redelivered, reply_to, correlation_id, death, settle } = next?;
            self.marks.taken.fetch_add(1, Ordering::SeqCst);
            let held = Held { inner: Some(settle), _counted: Counted::new(self.marks.clone()) };
            Some(Delivery { body, redelivered, reply_to, correlation_id, death, settle: Box::new(held) })
        }
        .boxed()
    }

    fn stop(&mut self) -> BoxFuture<'_, ()> {
        async move {
            self.marks.end.store(STOPPED, Ordering::SeqCst);
            self.inner.stop().await;
        }
        .boxed()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.marks.end.compare_exchange(0, DROPPED, Ordering::SeqCst, Ordering::SeqCst);
    }
}

/// One delivery in hand.
struct Counted(Arc<Activity>);

impl Counted {
    fn new(marks: Arc<Activity>) -> Self {
        marks.in_hand.fetch_add(1, Ordering::SeqCst);
        Self(marks)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.in_hand.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Held {
    inner: Option<Box<dyn Settle>>,
    _counted: Counted,
}

impl Settle for Held {
    fn settle(mut self: Box<Self>, how: Settling) -> BoxFuture<'static, ()> {
        let inner = self.inner.take();
        async move {
            if let Some(inner) = inner {
                inner.settle(how).await;
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::message::Envelope;
    use crate::queue::by_hand::{Nothing, Taking};
    use crate::queue::{Consumer, PublishError, Publisher, Queue};

    /// A queue whose subscription yields what is put into it by hand, and whose state is
    /// what the test says.
    #[derive(Default)]
    struct Fake {
        state: Mutex<QueueState>,
        deliveries: Arc<Mutex<Vec<Delivery>>>,
    }

    impl Fake {
        fn with(depth: u64, connected: bool) -> Arc<Self> {
            let fake = Self::default();
            fake.say(depth, connected, false);
            Arc::new(fake)
        }

        fn say(&self, depth: u64, connected: bool, blocked: bool) {
            *self.state.lock().expect("lock") =
                QueueState { connected, blocked, depth: vec![(Lane::Interactive, depth)], ..QueueState::default() };
        }

        fn deliver(&self) {
            let delivery = Delivery::new(Vec::new(), false, Box::new(Nothing));
            self.deliveries.lock().expect("lock").push(delivery);
        }
    }

    impl Publisher for Fake {
        fn publish(&self, _: Envelope) -> BoxFuture<'_, Result<(), PublishError>> {
            async { Err(PublishError::Unavailable) }.boxed()
        }
    }

    impl Consumer for Fake {
        fn subscribe(&self, _: Lane, _: u16) -> Box<dyn Subscription> {
            Box::new(Taking(self.deliveries.clone()))
        }
    }

    impl Queue for Fake {
        fn state(&self) -> BoxFuture<'_, QueueState> {
            let state = self.state.lock().expect("lock").clone();
            async move { state }.boxed()
        }

        fn close(&self) -> BoxFuture<'_, ()> {
            async {}.boxed()
        }
    }

    const QUICK: Pace = Pace { look: Duration::from_millis(2), limit: Duration::from_millis(150) };

    fn watched(fake: &Arc<Fake>, health: &Health) -> WatchedQueue {
        WatchedQueue::new(fake.clone(), health.clone(), CancellationToken::new()).with_pace(QUICK)
    }

    /// The one loop's state, once it is this.
    async fn becomes(health: &Health, state: &str) {
        let looking = async {
            while health.live().body["loops"][0]["state"] != state {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let done = tokio::time::timeout(Duration::from_secs(20), looking).await;
        assert!(done.is_ok(), "never {state}: {}", health.live().body);
    }

    #[tokio::test]
    async fn connected_and_consuming_nothing_while_messages_wait_fails_live() {
        let (fake, health) = (Fake::with(3, true), Health::new());
        let mut subscription = watched(&fake, &health).subscribe(Lane::Interactive, 8);
        assert!(health.live().ok);
        let consuming = tokio::spawn(async move {
            while let Some(delivery) = subscription.next().await {
                delivery.ack().await;
            }
        });
        becomes(&health, "silent").await;
        assert!(!health.live().ok);
        assert_eq!(health.live().body["loops"][0]["name"], "interactive lane");
        // A delivery is progress, and so is an empty queue.
        fake.deliver();
        becomes(&health, "ok").await;
        becomes(&health, "silent").await;
        fake.say(0, true, false);
        becomes(&health, "ok").await;
        consuming.abort();
        becomes(&health, "ended").await;
    }

    #[tokio::test]
    async fn a_stopped_subscription_is_no_dead_one() {
        let (fake, health) = (Fake::with(3, true), Health::new());
        let mut subscription = watched(&fake, &health).subscribe(Lane::Interactive, 8);
        subscription.stop().await;
        let gone = async {
            while health.live().body["loops"].as_array().is_some_and(|loops| !loops.is_empty()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), gone).await.expect("its loop is off the list");
        assert!(health.live().ok);
    }

    #[tokio::test]
    async fn what_is_in_hand_is_counted_until_it_is_settled_or_dropped() {
        let (fake, health) = (Fake::with(0, true), Health::new());
        let marks = Arc::new(Activity::default());
        let mut subscription = Watched { inner: fake.subscribe(Lane::Interactive, 8), marks: marks.clone() };
        let mut taken = Vec::new();
        for _ in 0..3 {
            fake.deliver();
            taken.push(subscription.next().await.expect("delivered"));
        }
        assert_eq!(marks.in_hand.load(Ordering::SeqCst), 3);
        taken.pop().expect("one").ack().await;
        taken.pop().expect("one").requeue().await;
        drop(taken);
        assert_eq!(marks.in_hand.load(Ordering::SeqCst), 0);
        assert!(health.live().ok);
    }

    #[test]
    fn only_an_open_window_on_a_working_connection_can_starve() {
        let starved =
            Snapshot { took: false, waiting: true, in_hand: 0, prefetch: 8, connected: true, blocked: false, depth: 1 };
        assert!(is_starved(starved));
        let well = [
            Snapshot { took: true, ..starved },
            Snapshot { waiting: false, ..starved },
            Snapshot { in_hand: 8, ..starved },
            Snapshot { connected: false, ..starved },
            Snapshot { blocked: true, ..starved },
            Snapshot { depth: 0, ..starved },
        ];
        assert!(well.iter().all(|seen| !is_starved(*seen)));
    }

    #[test]
    fn a_hanging_consumer_shows_within_a_minute() {
        let Pace { look, limit } = Pace::default();
        assert!(limit + look + STATE_LIMIT + Duration::from_secs(5) < Duration::from_secs(60));
    }
}
