//! A broker's lanes as workers take from them: its messages, and the rows of the job table that
//! no relay could forward. While the broker is away, or a lane of it, orders are served from the
//! database.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::message::{Envelope, Lane};
use crate::queue::jobs::{JobQueue, JobSubscription};
use crate::queue::spill::Outbox;
use crate::queue::{Consumer, Delivery, Parked, PublishError, Publisher, Queue, QueueState, SharedQueue, Subscription};
use crate::store::Store;

/// A row that has been due for so long was not forwarded: relays look twice a second.
const OVERDUE: Duration = Duration::from_secs(1);
/// Between two looks at the table.
const PAUSE: Duration = Duration::from_millis(250);
/// Rows taken ahead.
const AHEAD: usize = 64;

/// The broker, with what is spilled. What is published goes to the broker alone.
pub struct Spilled {
    broker: SharedQueue,
    rows: JobQueue,
    outbox: Arc<Outbox>,
}

impl Spilled {
    /// Must be called inside the runtime. `outbox` is the relay's: it knows whether there are rows.
    pub fn new(broker: SharedQueue, store: Store, outbox: Arc<Outbox>) -> Self {
        Self { broker, rows: JobQueue::start(store), outbox }
    }
}

impl Publisher for Spilled {
    fn publish(&self, envelope: Envelope) -> BoxFuture<'_, Result<(), PublishError>> {
        self.broker.publish(envelope)
    }

    fn accepts(&self, lane: Lane) -> bool {
        self.broker.accepts(lane)
    }
}

impl Consumer for Spilled {
    fn subscribe(&self, lane: Lane, prefetch: u16) -> Box<dyn Subscription> {
        let broker = self.broker.subscribe(lane, prefetch);
        // Requests are never stored.
        if lane == Lane::Rpc {
            return broker;
        }
        let (out, rows) = mpsc::channel(AHEAD);
        let stop = CancellationToken::new();
        let taking = self.rows.take_overdue(lane, prefetch, OVERDUE);
        tokio::spawn(feed(taking, self.outbox.clone(), out, stop.clone()));
        let broker = Some(waiting(broker, stop.clone()));
        Box::new(Both { broker, rows, stop: stop.clone(), _feeding: stop.drop_guard() })
    }

    fn subscribe_parked(&self, what: Parked, prefetch: u16) -> Option<Box<dyn Subscription>> {
        self.broker.subscribe_parked(what, prefetch)
    }
}

impl Queue for Spilled {
    fn state(&self) -> BoxFuture<'_, QueueState> {
        self.broker.state()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async move {
            self.rows.close().await;
            self.broker.close().await;
        }
        .boxed()
    }
}

/// Hands rows on while there are any. A look that has begun is brought to its end: what it
/// claimed would wait for its lease.
async fn feed(mut rows: JobSubscription, outbox: Arc<Outbox>, out: mpsc::Sender<Delivery>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let taken = if outbox.depth() > 0 { rows.take_now().await } else { None };
        match taken {
            Some(row) => {
                if out.send(row).await.is_err() {
                    break;
                }
            }
            None => {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
        }
    }
    rows.stop().await;
}

/// The broker's next message, with what it is taken by. Kept across calls: a subscription that is
/// being opened is not begun anew with each row.
type Waiting = BoxFuture<'static, (Box<dyn Subscription>, Option<Delivery>)>;

fn waiting(mut broker: Box<dyn Subscription>, stop: CancellationToken) -> Waiting {
    async move {
        let delivery = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            delivery = broker.next() => delivery,
        };
        (broker, delivery)
    }
    .boxed()
}

struct Both {
    /// `None` once it was stopped.
    broker: Option<Waiting>,
    rows: mpsc::Receiver<Delivery>,
    stop: CancellationToken,
    _feeding: DropGuard,
}

impl Subscription for Both {
    fn next(&mut self) -> BoxFuture<'_, Option<Delivery>> {
        async move {
            let broker = self.broker.as_mut()?;
            tokio::select! {
                Some(row) = self.rows.recv() => Some(row),
                (subscription, delivery) = broker => {
                    self.broker = Some(waiting(subscription, self.stop.clone()));
                    delivery
                }
            }
        }
        .boxed()
    }

    fn stop(&mut self) -> BoxFuture<'_, ()> {
        async move {
            self.stop.cancel();
            self.rows.close();
            while let Some(row) = self.rows.recv().await {
                row.requeue().await;
            }
            if let Some(broker) = self.broker.take() {
                let (mut broker, delivery) = broker.await;
                if let Some(delivery) = delivery {
                    delivery.requeue().await;
                }
                broker.stop().await;
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use uuid::Uuid;

    use super::*;
    use crate::message::decode;
    use crate::queue::by_hand::{Nothing, Taking};
    use crate::queue::spill::tests::{Scratch, bulk, message};
    use crate::store::jobs::NewJob;

    const SOON: Duration = Duration::from_secs(20);

    /// A broker whose messages are put in by hand.
    #[derive(Default)]
    struct Broker(Arc<Mutex<Vec<Delivery>>>);

    impl Publisher for Broker {
        fn publish(&self, _: Envelope) -> BoxFuture<'_, Result<(), PublishError>> {
            async { Err(PublishError::Unavailable) }.boxed()
        }
    }

    impl Consumer for Broker {
        fn subscribe(&self, _: Lane, _: u16) -> Box<dyn Subscription> {
            Box::new(Taking(self.0.clone()))
        }
    }

    impl Queue for Broker {
        fn state(&self) -> BoxFuture<'_, QueueState> {
            async { QueueState::default() }.boxed()
        }
        fn close(&self) -> BoxFuture<'_, ()> {
            async {}.boxed()
        }
    }

    async fn next_id(subscription: &mut Box<dyn Subscription>) -> (Uuid, Delivery) {
        let delivery = tokio::time::timeout(SOON, subscription.next()).await.expect("in time").expect("a delivery");
        (decode(&delivery.body).expect("an envelope").id, delivery)
    }

    #[tokio::test]
    async fn orders_in_the_store_are_served_while_the_broker_is_away() {
        let (scratch, broker, outbox) = (Scratch::new().await, Arc::new(Broker::default()), Arc::<Outbox>::default());
        let queue = Spilled::new(broker.clone(), scratch.store.clone(), outbox.clone());
        let (order, other) = (message(), bulk());
        let now = scratch.store.clock.now();
        scratch.store.enqueue(&[NewJob::of(&order, now), NewJob::of(&other, now)]).await.expect("stored");
        outbox.set_depth(2);
        let mut lane = queue.subscribe(Lane::Interactive, 8);
        let (id, delivery) = next_id(&mut lane).await;
        assert_eq!(id, order.id);
        delivery.ack().await;
        // The broker is back, and both are taken from.
        let later = message();
        broker.0.lock().expect("lock").push(Delivery::new(crate::message::encode(&later), false, Box::new(Nothing)));
        assert_eq!(next_id(&mut lane).await.0, later.id);
        queue.close().await;
        assert_eq!(scratch.rows().await, 1, "the bulk lane's row is nobody's yet");
    }

    #[tokio::test]
    async fn what_a_relay_forwards_at_once_is_left_to_it() {
        let (scratch, outbox) = (Scratch::new().await, Arc::<Outbox>::default());
        let queue = Spilled::new(Arc::new(Broker::default()), scratch.store.clone(), outbox.clone());
        let now = scratch.store.clock.now();
        scratch.store.enqueue(&[NewJob::of(&message(), now + Duration::from_secs(30))]).await.expect("stored");
        outbox.set_depth(1);
        let mut lane = queue.subscribe(Lane::Interactive, 8);
        assert!(tokio::time::timeout(PAUSE * 3, lane.next()).await.is_err());
        let claimed =
            scratch.store.claim_jobs_overdue(Some(Lane::Interactive), "me", OVERDUE, 8, OVERDUE).await.expect("read");
        assert!(claimed.is_empty());
    }

    #[tokio::test]
    async fn what_was_taken_ahead_goes_back_when_it_is_stopped() {
        let (scratch, outbox) = (Scratch::new().await, Arc::<Outbox>::default());
        let queue = Spilled::new(Arc::new(Broker::default()), scratch.store.clone(), outbox.clone());
        let now = scratch.store.clock.now() - OVERDUE * 2;
        let jobs: Vec<NewJob> = (0..5).map(|_| NewJob::of(&message(), now)).collect();
        scratch.store.enqueue(&jobs).await.expect("stored");
        outbox.set_depth(5);
        let mut lane = queue.subscribe(Lane::Interactive, 8);
        next_id(&mut lane).await.1.ack().await;
        lane.stop().await;
        assert!(lane.next().await.is_none());
        let back = async {
            loop {
                let free = scratch.store.claim_jobs(None, "me", Duration::ZERO, 9).await.expect("read");
                if free.len() == 4 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(SOON, back).await.expect("anybody can take them");
    }
}
