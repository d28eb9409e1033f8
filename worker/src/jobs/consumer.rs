//! Takes the commands of jobs off the bulk lane and from the intake, many at once.

use std::collections::HashMap;
use std::time::Duration;

use shared::message::{Envelope, Lane, decode};
use shared::queue::Delivery;
use shared::queue::watched::WatchedQueue;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::consume::dead_letters::settle_undecodable;
use crate::consume::forward;
use crate::jobs::attempt::attempt;
use crate::tools::Tools;
use crate::vendor::integrations::ActiveIntegrations;

/// Jobs under way at once.
const AT_ONCE: usize = 8;
/// One that takes longer does not count any more: a cabinet that does not answer must not hold
/// up the others.
const LONG: Duration = Duration::from_secs(5);
/// With those that take long.
const AT_MOST: usize = 64;
/// How long jobs under way may take when the process stops.
const GRACE: Duration = Duration::from_secs(10);

/// Jobs under way, and when each began.
#[derive(Default)]
struct Running {
    tasks: JoinSet<()>,
    begun: HashMap<tokio::task::Id, Instant>,
}

impl Running {
    fn begin(&mut self, job: impl Future<Output = ()> + Send + 'static) {
        let job = self.tasks.spawn(job);
        self.begun.insert(job.id(), Instant::now());
    }

    /// When each one that counts comes to count as long.
    fn quick(&self) -> impl Iterator<Item = Instant> {
        let now = Instant::now();
        self.begun.values().map(|at| *at + LONG).filter(move |until| *until > now)
    }

    fn has_room(&self) -> bool {
        self.quick().count() < AT_ONCE && self.begun.len() < AT_MOST
    }

    /// Until one ends, or comes to count as long, which makes room.
    async fn change(&mut self) {
        let next_long = self.quick().min();
        tokio::select! {
            Some(ended) = self.tasks.join_next_with_id() => {
                self.begun.remove(&ended.map_or_else(|broken| broken.id(), |(id, ())| id));
            }
            () = tokio::time::sleep_until(next_long.unwrap_or_else(Instant::now)), if next_long.is_some() => {}
            else => std::future::pending().await,
        }
    }

    /// What is under way may finish; what takes longer is handed back and resumes elsewhere.
    async fn finish(mut self) {
        let finishing = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, finishing).await.is_err() {
            self.tasks.shutdown().await;
        }
    }
}

/// Runs until `stop`.
pub async fn run(
    tools: Tools,
    integrations: ActiveIntegrations,
    queue: WatchedQueue,
    mut from_intake: mpsc::Receiver<(Envelope, Delivery)>,
    stop: CancellationToken,
) {
    let (mut inbox, pumping) = forward::start(queue.subscribe(Lane::Bulk, AT_MOST as u16), 1, stop.clone());
    let mut running = Running::default();
    let mut more = true;
    loop {
        let room = running.has_room();
        let (envelope, delivery) = tokio::select! {
            () = running.change() => continue,
            Some(pair) = from_intake.recv(), if room => pair,
            received = inbox.recv(), if more && room => match received.map(|one| (decode(&one.body), one)) {
                None => {
                    more = false;
                    continue;
                }
                Some((Ok(envelope), delivery)) => (envelope, delivery),
                Some((Err(why), delivery)) => {
                    settle_undecodable(&tools.store, delivery, &why, &stop).await;
                    continue;
                }
            },
            () = stop.cancelled() => break,
        };
        if stop.is_cancelled() {
            delivery.requeue().await;
            continue;
        }
        let (tools, integrations) = (tools.clone(), integrations.clone());
        running.begin(async move { attempt(&tools, &integrations, envelope, delivery).await });
    }
    running.finish().await;
    while let Ok((_, delivery)) = from_intake.try_recv() {
        delivery.requeue().await;
    }
    let _ = pumping.await;
    while let Ok(delivery) = inbox.try_recv() {
        delivery.requeue().await;
    }
}
