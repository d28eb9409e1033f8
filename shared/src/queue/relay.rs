//! Forwards rows of the job table to the broker: what was spilled, what handlers left in
//! their outbox, what the operator's command wrote. Runs in every process that has both a
//! broker and a store; a row is forwarded by whoever claims it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::message::{Lane, decode};
use crate::queue::spill::Outbox;
use crate::queue::{PublishError, Publisher};
use crate::reason;
use crate::store::dead_letters::NewDeadLetter;
use crate::store::jobs::Job;
use crate::store::{Result, Store};
use crate::telemetry::{Heartbeat, Metrics};

/// How often rows are counted while there are many.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// How long a claimed row is ours. What a killed process had claimed waits so long; a row
/// that is forwarded twice because its batch took longer does no harm.
const LEASE: Duration = Duration::from_secs(10);
const BATCH: u32 = 200;
const PARALLEL: usize = 32;
/// How long the broker is given to confirm one message; nobody waits for it here.
const CONFIRM_LIMIT: Duration = Duration::from_secs(5);

pub struct Relay {
    store: Store,
    broker: Arc<dyn Publisher>,
    outbox: Arc<Outbox>,
    metrics: Arc<Metrics>,
    owner: String,
}

/// What became of one claimed row.
enum ForwardResult {
    /// The broker has it, or it lies among the dead letters.
    Gone(String),
    Kept(String),
}

impl Relay {
    pub fn new(store: Store, broker: Arc<dyn Publisher>, outbox: Arc<Outbox>, metrics: Arc<Metrics>) -> Self {
        Self { store, broker, outbox, metrics, owner: format!("relay:{}", Uuid::now_v7()) }
    }

    /// Forwards until the process stops. A batch that has begun is brought to its end.
    pub async fn run(self, stop: CancellationToken, beat: Heartbeat) {
        let mut failing = false;
        let mut counted: Option<Instant> = None;
        loop {
            beat.beat();
            let moved = match self.round(&mut counted).await {
                Ok(moved) => {
                    failing = false;
                    moved
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "the outbox cannot be read");
                    }
                    failing = true;
                    0
                }
            };
            if stop.is_cancelled() {
                return;
            }
            if moved == 0 {
                tokio::select! {
                    () = stop.cancelled() => return,
                    // A row must be on its way within two seconds.
                    seen = self.store.next_tick() => counted = seen.ok().map(|tick| self.count(tick.due_jobs)),
                }
            }
        }
    }

    /// Notes how many rows are due, and when that was counted.
    fn count(&self, rows: u64) -> Instant {
        self.outbox.set_depth(rows);
        self.metrics.set_outbox_depth(rows);
        Instant::now()
    }

    /// Counts when it is time to, and forwards a batch if there is one and a broker to
    /// take it. Answers how many rows were forwarded.
    async fn round(&self, counted: &mut Option<Instant>) -> Result<usize> {
        if counted.is_none_or(|at| at.elapsed() >= COUNT_EVERY) {
            *counted = Some(self.count(self.store.due_jobs().await?));
        }
        if self.outbox.depth() == 0 {
            return Ok(0);
        }
        // Lane by lane: triggers go first, and the index of the table serves each. A lane that the
        // broker does not take holds up no other, and one row finds out when it does again: the
        // rest is for the workers, who take it from the table.
        let failed: [AtomicBool; Lane::ALL.len()] = Default::default();
        let mut jobs = Vec::new();
        for lane in Lane::ALL.into_iter().filter(|lane| self.broker.accepts(*lane)) {
            let limit = if self.outbox.circuit(lane).is_open() { 1 } else { BATCH };
            let claimed = self.store.claim_jobs(Some(lane), &self.owner, LEASE, limit).await?;
            jobs.extend(claimed.into_iter().map(|job| (lane, job)));
        }
        if jobs.is_empty() {
            return Ok(0);
        }
        let fates: Vec<ForwardResult> = futures_util::stream::iter(jobs)
            .map(|(lane, job)| self.forward(lane, job, &failed[lane as usize]))
            .buffer_unordered(PARALLEL)
            .collect()
            .await;
        let (mut gone, mut kept) = (Vec::new(), Vec::new());
        for fate in fates {
            match fate {
                ForwardResult::Gone(id) => gone.push(id),
                ForwardResult::Kept(id) => kept.push(id),
            }
        }
        // A row that cannot be removed is forwarded once more after its lease; its id
        // makes that harmless.
        self.store.finish_jobs(&self.owner, &gone).await?;
        self.count(self.outbox.depth().saturating_sub(gone.len() as u64));
        if self.outbox.depth() == 0 {
            // Others may have written rows meanwhile.
            *counted = None;
        }
        if !kept.is_empty() {
            self.store.return_jobs(&self.owner, &kept).await?;
        }
        Ok(gone.len())
    }

    async fn forward(&self, lane: Lane, job: Job, failed: &AtomicBool) -> ForwardResult {
        let envelope = match decode(&job.body) {
            Ok(envelope) => envelope,
            Err(error) => return self.add_dead_letter(job, &error.to_string()).await,
        };
        // After one failure the rest of the batch need not wait for theirs.
        if failed.load(Ordering::Relaxed) {
            return ForwardResult::Kept(job.id);
        }
        match tokio::time::timeout(CONFIRM_LIMIT, self.broker.publish(envelope)).await {
            Ok(Ok(())) => {
                self.outbox.circuit(lane).succeeded();
                ForwardResult::Gone(job.id)
            }
            // One that the broker never takes says nothing of the others.
            Ok(Err(PublishError::TooLarge)) => ForwardResult::Kept(job.id),
            _ => {
                self.outbox.circuit(lane).tripped(Instant::now());
                failed.store(true, Ordering::Relaxed);
                ForwardResult::Kept(job.id)
            }
        }
    }

    async fn add_dead_letter(&self, job: Job, detail: &str) -> ForwardResult {
        let letter = NewDeadLetter::unreadable(&job.body, reason::give_up(reason::UNDECODABLE, detail));
        let dead = NewDeadLetter { kind: reason::UNDECODABLE.to_owned(), tries: 0, ..letter };
        match self.store.add_dead_letter(&dead).await {
            Ok(_) => ForwardResult::Gone(job.id),
            Err(error) => {
                tracing::warn!(%error, "an undecodable message could not be put among the dead letters");
                ForwardResult::Kept(job.id)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::spill::SpillingPublisher;
    use crate::queue::spill::tests::{FakeBroker, Mode, Scratch, message};
    use crate::store::dead_letters::DeadFilter;
    use crate::store::jobs::NewJob;
    use crate::telemetry::Health;

    struct World {
        scratch: Scratch,
        broker: Arc<FakeBroker>,
        publisher: SpillingPublisher,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    }

    impl World {
        async fn new(mode: Mode) -> Self {
            let (scratch, broker) = (Scratch::new().await, Arc::new(FakeBroker::default()));
            broker.set(mode);
            let publisher = SpillingPublisher::new(broker.clone(), scratch.store.clone());
            let metrics = Arc::new(Metrics::new());
            Self { scratch, broker, publisher, metrics, stop: CancellationToken::new() }
        }

        fn relay(&self) -> tokio::task::JoinHandle<()> {
            let store = self.scratch.store.clone();
            let relay = Relay::new(store, self.broker.clone(), self.publisher.outbox(), self.metrics.clone());
            tokio::spawn(relay.run(self.stop.clone(), Health::new().heartbeat("relay", Duration::from_secs(30))))
        }

        async fn until(&self, what: &str, holds: impl AsyncFn(&Self) -> bool) {
            let began = Instant::now();
            while !holds(self).await {
                assert!(began.elapsed() < Duration::from_secs(15), "never: {what}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    #[tokio::test]
    async fn what_was_spilled_is_forwarded_when_the_broker_is_back() {
        let world = World::new(Mode::Away).await;
        let relay = world.relay();
        let mut sent = Vec::new();
        for _ in 0..500 {
            let message = message();
            sent.push(message.id);
            world.publisher.publish(message).await.expect("stored");
        }
        world.until("the depth is shown", async |w| w.metrics.render().contains("bridge_outbox_depth 500")).await;
        world.broker.set(Mode::Works);
        world.until("forwarded", async |w| w.scratch.rows().await == 0).await;
        let mut got = world.broker.got();
        got.sort();
        sent.sort();
        assert_eq!(got, sent, "each once, none lost");
        world.until("the depth is zero", async |w| w.metrics.render().contains("bridge_outbox_depth 0")).await;
        world.stop.cancel();
        relay.await.expect("ended by itself");
    }

    #[tokio::test]
    async fn a_row_another_process_wrote_is_on_its_way_within_two_seconds() {
        let world = World::new(Mode::Works).await;
        let _relay = world.relay();
        let message = message();
        world.scratch.store.enqueue(&[NewJob::of(&message, world.scratch.store.clock.now())]).await.expect("written");
        let began = Instant::now();
        world.until("forwarded", async |w| w.broker.got() == [message.id]).await;
        assert!(began.elapsed() < Duration::from_secs(2));
    }

    #[tokio::test]
    async fn a_delayed_row_does_not_go_early() {
        let world = World::new(Mode::Works).await;
        let now = world.scratch.store.clock.now();
        let later = now.checked_add(Duration::from_millis(700)).expect("soon");
        let (delayed, prompt) = (message(), message());
        world.scratch.store.enqueue(&[NewJob::of(&delayed, later), NewJob::of(&prompt, now)]).await.expect("written");
        assert_eq!(world.scratch.store.due_jobs().await.expect("counted"), 1, "the outbox is not stuck for it");
        let _relay = world.relay();
        world.until("both forwarded", async |w| w.broker.got().len() == 2).await;
        assert_eq!(world.broker.got(), [prompt.id, delayed.id]);
        assert!(world.scratch.store.clock.now() >= later);
    }

    #[tokio::test]
    async fn a_broker_that_fails_again_loses_nothing() {
        let world = World::new(Mode::Away).await;
        for _ in 0..40 {
            world.publisher.publish(message()).await.expect("stored");
        }
        world.broker.set(Mode::Refuses);
        let _relay = world.relay();
        world.until("tried", async |w| w.broker.tries.load(Ordering::SeqCst) > 0).await;
        assert_eq!(world.scratch.rows().await, 40);
        world.broker.set(Mode::Works);
        world.until("forwarded", async |w| w.scratch.rows().await == 0).await;
        assert_eq!(world.broker.got().len(), 40);
    }

    #[tokio::test]
    async fn a_forwarded_row_closes_the_circuit() {
        let world = World::new(Mode::Refuses).await;
        world.publisher.publish(message()).await.expect("stored");
        assert!(world.publisher.outbox().circuit(Lane::Interactive).is_open());
        world.broker.set(Mode::Works);
        let _relay = world.relay();
        world.until("closed", async |w| !w.publisher.outbox().circuit(Lane::Interactive).is_open()).await;
    }

    #[tokio::test]
    async fn two_relays_share_the_rows_without_doubling_them() {
        let world = World::new(Mode::Away).await;
        for _ in 0..300 {
            world.publisher.publish(message()).await.expect("stored");
        }
        world.broker.set(Mode::Works);
        let _relays = (world.relay(), world.relay());
        world.until("forwarded", async |w| w.scratch.rows().await == 0).await;
        assert_eq!(world.broker.got().len(), 300);
    }

    #[tokio::test]
    async fn bytes_that_are_no_message_end_among_the_dead_letters() {
        let world = World::new(Mode::Works).await;
        let now = world.scratch.store.clock.now();
        let job = NewJob { id: "x".to_owned(), lane: Lane::Interactive, body: b"{\"v\":9}".to_vec(), run_at: now };
        world.scratch.store.enqueue(&[job]).await.expect("written");
        let _relay = world.relay();
        world.until("buried", async |w| w.scratch.rows().await == 0).await;
        let dead = world.scratch.store.dead_letters(&DeadFilter::default()).await.expect("listed");
        assert_eq!(dead.len(), 1);
        assert_eq!((dead[0].reason.as_str(), dead[0].raw.as_deref()), ("undecodable", Some(&b"{\"v\":9}"[..])));
    }
}
