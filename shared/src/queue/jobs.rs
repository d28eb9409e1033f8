//! The job table as a queue: the adapter of the one-process mode.
//!
//! Publishing is group-committed: callers hand their row to one writer task, which stores
//! what has gathered in one transaction and answers them all. Settling is grouped the
//! same way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, mpsc, oneshot};
use uuid::Uuid;

use crate::message::{Envelope, Lane, decode};
use crate::phrases::Detail;
use crate::queue::{Consumer, Delivery, PublishError, Publisher, Queue, QueueState, Settle, Settling, Subscription};
use crate::reason;
use crate::store::Store;
use crate::store::dead_letters::NewDeadLetter;
use crate::store::jobs::{Job, NewJob};

/// How long a delivery may stay unsettled before it is handed out again.
const LEASE: Duration = Duration::from_secs(120);
/// Longest pause between two looks at an idle table: other processes write into it too.
const IDLE: Duration = Duration::from_millis(250);
/// A message is handed out again so often at most: one that kills its process each time must not
/// do so for ever.
const DELIVERY_LIMIT: i64 = 20;
/// Rows of one commit.
const GROUP: usize = 256;

enum Write {
    Put(NewJob, oneshot::Sender<bool>),
    Done { owner: String, id: String },
    Back { owner: String, id: String },
    Flush(oneshot::Sender<()>),
}

/// The embedded queue. Cheap to clone.
#[derive(Clone)]
pub struct JobQueue {
    store: Store,
    writer: mpsc::Sender<Write>,
    wake: Arc<Wake>,
}

/// One bell per lane.
#[derive(Default)]
struct Wake(Mutex<HashMap<Lane, Arc<Notify>>>);

impl Wake {
    fn bell(&self, lane: Lane) -> Arc<Notify> {
        self.0.lock().expect("never poisoned: nothing panics under this lock").entry(lane).or_default().clone()
    }
}

impl JobQueue {
    /// Starts the writer task; it ends with the last handle.
    pub fn start(store: Store) -> Self {
        let (writer, inbox) = mpsc::channel(4096);
        let wake = Arc::new(Wake::default());
        tokio::spawn(write_groups(store.clone(), inbox, wake.clone()));
        Self { store, writer, wake }
    }

    /// Publishes raw bytes; what cannot be decoded must still arrive somewhere.
    ///
    /// # Errors
    /// [`PublishError::Unavailable`] when the store does not take it.
    pub async fn put(&self, job: NewJob) -> Result<(), PublishError> {
        let (done, stored) = oneshot::channel();
        self.writer.send(Write::Put(job, done)).await.map_err(|_| PublishError::Unavailable)?;
        match stored.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(PublishError::Unavailable),
        }
    }
}

async fn write_groups(store: Store, mut inbox: mpsc::Receiver<Write>, wake: Arc<Wake>) {
    let mut group = Vec::with_capacity(GROUP);
    while inbox.recv_many(&mut group, GROUP).await > 0 {
        let (mut jobs, mut answers, mut flushed) = (Vec::new(), Vec::new(), Vec::new());
        let mut done: HashMap<String, Vec<String>> = HashMap::new();
        let mut back: HashMap<String, Vec<String>> = HashMap::new();
        for write in group.drain(..) {
            match write {
                Write::Put(job, answer) => {
                    jobs.push(job);
                    answers.push(answer);
                }
                Write::Done { owner, id } => done.entry(owner).or_default().push(id),
                Write::Back { owner, id } => back.entry(owner).or_default().push(id),
                Write::Flush(answer) => flushed.push(answer),
            }
        }
        let mut done: Vec<(String, Vec<String>)> = done.into_iter().collect();
        if !jobs.is_empty() {
            let stored = match store.turn_over(&jobs, &done).await {
                Ok(()) => {
                    done.clear();
                    true
                }
                Err(error) => {
                    tracing::error!(%error, messages = jobs.len(), "messages could not be stored");
                    false
                }
            };
            for answer in answers {
                let _ = answer.send(stored);
            }
            if stored {
                let now = store.clock.now();
                for lane in Lane::ALL {
                    if jobs.iter().any(|job| job.lane == lane && job.run_at <= now) {
                        wake.bell(lane).notify_waiters();
                    }
                }
            }
        }
        for (owner, ids) in &done {
            if let Err(error) = store.finish_jobs(owner, ids).await {
                // They come back when their lease runs out; handling twice is harmless.
                tracing::warn!(%error, messages = ids.len(), "settled messages could not be removed");
            }
        }
        for (owner, ids) in &back {
            match store.hand_back_jobs(owner, ids).await {
                Ok(()) => Lane::ALL.into_iter().for_each(|lane| wake.bell(lane).notify_waiters()),
                Err(error) => tracing::warn!(%error, messages = ids.len(), "messages could not be handed back"),
            }
        }
        for answer in flushed {
            let _ = answer.send(());
        }
    }
}

impl Publisher for JobQueue {
    fn publish(&self, envelope: Envelope) -> BoxFuture<'_, Result<(), PublishError>> {
        self.put(NewJob::of(&envelope, self.store.clock.now())).boxed()
    }
}

impl Consumer for JobQueue {
    fn subscribe(&self, lane: Lane, prefetch: u16) -> Box<dyn Subscription> {
        Box::new(self.take_overdue(lane, prefetch, Duration::ZERO))
    }
}

impl JobQueue {
    /// Takes what has been due for at least so long.
    pub(super) fn take_overdue(&self, lane: Lane, prefetch: u16, overdue: Duration) -> JobSubscription {
        JobSubscription {
            store: self.store.clone(),
            writer: self.writer.clone(),
            bell: self.wake.bell(lane),
            owner: Uuid::now_v7().to_string(),
            lane,
            overdue,
            permits: Arc::new(tokio::sync::Semaphore::new(usize::from(prefetch.max(1)))),
            buffer: Vec::new(),
            stopped: false,
        }
    }
}

pub(super) struct JobSubscription {
    store: Store,
    writer: mpsc::Sender<Write>,
    bell: Arc<Notify>,
    owner: String,
    lane: Lane,
    overdue: Duration,
    permits: Arc<tokio::sync::Semaphore>,
    buffer: Vec<(Job, tokio::sync::OwnedSemaphorePermit)>,
    stopped: bool,
}

impl JobSubscription {
    async fn fill(&mut self) {
        // At least one place must be free before anything is claimed.
        let Ok(first) = self.permits.clone().acquire_owned().await else { return };
        let mut permits = vec![first];
        while let Ok(more) = self.permits.clone().try_acquire_owned() {
            permits.push(more);
        }
        let limit = u32::try_from(permits.len()).unwrap_or(u32::MAX);
        match self.store.claim_jobs_overdue(Some(self.lane), &self.owner, LEASE, limit, self.overdue).await {
            Ok(jobs) => {
                let (poison, jobs): (Vec<Job>, Vec<Job>) =
                    jobs.into_iter().partition(|job| job.deliveries > DELIVERY_LIMIT);
                self.buffer = jobs.into_iter().rev().zip(permits).collect();
                for job in poison {
                    self.park(job).await;
                }
            }
            Err(error) => tracing::warn!(%error, lane = self.lane.as_str(), "the job table cannot be read"),
        }
    }
}

impl JobSubscription {
    /// What is there now and fits into the window.
    pub(super) async fn take_now(&mut self) -> Option<Delivery> {
        if self.buffer.is_empty() && self.permits.available_permits() > 0 {
            self.fill().await;
        }
        self.pop()
    }

    fn pop(&mut self) -> Option<Delivery> {
        let (job, permit) = self.buffer.pop()?;
        let held = Held { writer: self.writer.clone(), owner: self.owner.clone(), id: Some(job.id), permit };
        Some(Delivery::new(job.body, job.deliveries > 0, Box::new(held)))
    }

    /// As a broker does with what was handed out too often, and where a person finds it.
    async fn park(&self, job: Job) {
        let lane = self.lane.as_str().to_owned();
        let give_up = reason::give_up(reason::POISON, Detail::HandedOut { lane, times: job.deliveries });
        let letter = match decode(&job.body) {
            Ok(envelope) => NewDeadLetter::of(&envelope, give_up),
            Err(_) => NewDeadLetter::unreadable(&job.body, give_up),
        };
        let dead = NewDeadLetter { tries: u32::try_from(job.deliveries).unwrap_or(u32::MAX), ..letter };
        let dead_lettered = match self.store.add_dead_letter(&dead).await {
            Ok(_) => self.store.finish_jobs(&self.owner, std::slice::from_ref(&job.id)).await.map(|_| ()),
            Err(error) => Err(error),
        };
        match dead_lettered {
            Ok(()) => tracing::error!(kind = dead.kind, "a message was handed out too often and is put aside"),
            // It comes again with its lease.
            Err(error) => tracing::warn!(%error, "a message could not be put aside yet"),
        }
    }
}

impl Drop for JobSubscription {
    fn drop(&mut self) {
        for (job, _permit) in self.buffer.drain(..) {
            let _ = self.writer.try_send(Write::Back { owner: self.owner.clone(), id: job.id });
        }
    }
}

impl Subscription for JobSubscription {
    fn next(&mut self) -> BoxFuture<'_, Option<Delivery>> {
        async move {
            loop {
                if self.stopped {
                    return None;
                }
                if let Some(delivery) = self.pop() {
                    return Some(delivery);
                }
                let bell = self.bell.clone();
                let rung = bell.notified();
                tokio::pin!(rung);
                // Armed before the look, so that a row stored in between is not slept over.
                rung.as_mut().enable();
                self.fill().await;
                if self.buffer.is_empty() {
                    let pause = match self.store.next_job_due(self.lane).await {
                        Ok(Some(due)) => {
                            let until = due.as_millisecond() - self.store.clock.now_ms();
                            Duration::from_millis(u64::try_from(until).unwrap_or(0))
                                .clamp(Duration::from_millis(5), IDLE)
                        }
                        _ => IDLE,
                    };
                    let _ = tokio::time::timeout(pause, rung).await;
                }
            }
        }
        .boxed()
    }

    fn stop(&mut self) -> BoxFuture<'_, ()> {
        async move {
            self.stopped = true;
            for (job, _permit) in self.buffer.drain(..) {
                let back = Write::Back { owner: self.owner.clone(), id: job.id };
                let _ = self.writer.send(back).await;
            }
        }
        .boxed()
    }
}

struct Held {
    writer: mpsc::Sender<Write>,
    owner: String,
    id: Option<String>,
    #[expect(dead_code, reason = "held for its drop: it frees a place of the prefetch window")]
    permit: tokio::sync::OwnedSemaphorePermit,
}

impl Settle for Held {
    fn settle(mut self: Box<Self>, how: Settling) -> BoxFuture<'static, ()> {
        let id = self.id.take();
        async move {
            if let Some(id) = id {
                let owner = self.owner.clone();
                let write = match how {
                    Settling::Ack => Write::Done { owner, id },
                    Settling::Requeue => Write::Back { owner, id },
                };
                let _ = self.writer.send(write).await;
            }
        }
        .boxed()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            // Dropped unsettled: hand it back; a full writer leaves it to the lease.
            let _ = self.writer.try_send(Write::Back { owner: self.owner.clone(), id });
        }
    }
}

impl Queue for JobQueue {
    fn state(&self) -> BoxFuture<'_, QueueState> {
        async move {
            match self.store.waiting_jobs().await {
                Ok(depth) => QueueState { connected: true, depth, ..QueueState::default() },
                Err(_) => QueueState::default(),
            }
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async move {
            let (done, flushed) = oneshot::channel();
            if self.writer.send(Write::Flush(done)).await.is_ok() {
                let _ = flushed.await;
            }
        }
        .boxed()
    }
}
