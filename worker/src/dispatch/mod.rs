//! Gives free slots to due intents, fairly between integrations, and knows when the next
//! one is due. The store is asked; messages only say when asking is worth while.

pub mod slots;
pub mod turns;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use shared::clock::{elapsed, later};
use shared::domain::IntegrationId;
use shared::telemetry::Heartbeat;
use tokio::sync::mpsc;
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::dispatch::slots::Slots;
use crate::dispatch::turns::Turns;
use crate::hint::{Backlog, Hint};
use crate::order::batch;
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::integrations::{ActiveIntegrations, Availability};

/// How often the store is asked whether something is due that nobody said.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Intents taken in one go: MeaSoft's batch.
pub const BATCH: u32 = 50;

/// Slots one integration may hold: half of them, so that others find one free; while more
/// commands wait to be recorded than one commit takes, a single one.
const fn cap(concurrency: usize, backlog: bool) -> usize {
    if backlog || concurrency < 2 { 1 } else { concurrency / 2 }
}

/// Whether both vendors of an integration are worth asking.
fn is_open(tools: &Tools, active: &ActiveIntegration, now: Timestamp) -> bool {
    let crm = active.vendors.crm.resting().is_none_or(|resting| resting.until <= now && !resting.is_probed);
    crm && tools.limiter.open_for(&active.integration.courier_account()).is_ok()
}

/// Runs until `stop`; what is in hand then is finished.
pub async fn run(
    tools: Tools,
    integrations: ActiveIntegrations,
    mut hints: mpsc::Receiver<Hint>,
    concurrency: usize,
    backlog: Arc<Backlog>,
    beat: Heartbeat,
    stop: CancellationToken,
) {
    let mut dispatcher = Dispatcher::new(tools, integrations, concurrency, backlog);
    let mut look_at = Instant::now();
    loop {
        beat.beat();
        if look_at <= Instant::now() {
            look_at = Instant::now() + LOOK_EVERY;
            dispatcher.look().await;
        }
        while !stop.is_cancelled() && dispatcher.begin_next().await {}
        if stop.is_cancelled() && dispatcher.running.is_empty() {
            return;
        }
        let nap = dispatcher.until_change().min(look_at.saturating_duration_since(Instant::now()));
        tokio::select! {
            Some(ended) = dispatcher.running.join_next_with_id(), if !dispatcher.running.is_empty() => {
                dispatcher.end(ended);
            }
            Some(hint) = hints.recv() => {
                dispatcher.turns.hint(hint);
                while let Ok(more) = hints.try_recv() {
                    dispatcher.turns.hint(more);
                }
            }
            () = stop.cancelled(), if !stop.is_cancelled() => {}
            () = tokio::time::sleep(nap.max(Duration::from_millis(1))) => {}
        }
    }
}

/// Who is due, who has a slot, and the batches under way.
struct Dispatcher {
    tools: Tools,
    integrations: ActiveIntegrations,
    concurrency: usize,
    backlog: Arc<Backlog>,
    turns: Turns,
    slots: Slots<task::Id>,
    /// Each batch answers what is due next.
    running: JoinSet<Vec<Hint>>,
}

/// Who is next.
enum Next {
    Work(IntegrationId, ActiveIntegration),
    /// Nobody can work for it any more: its commands end where a person sees them.
    Gone(IntegrationId),
}

impl Dispatcher {
    fn new(tools: Tools, integrations: ActiveIntegrations, concurrency: usize, backlog: Arc<Backlog>) -> Self {
        let (turns, slots, running) = (Turns::default(), Slots::new(concurrency), JoinSet::new());
        Self { tools, integrations, concurrency, backlog, turns, slots, running }
    }

    /// Asks the store what is due.
    async fn look(&mut self) {
        match self.tools.store.integrations_with_work().await {
            Ok(found) => {
                found.into_iter().for_each(|(integration, due_at)| self.turns.hint(Hint { integration, due_at }));
            }
            Err(error) => tracing::warn!(%error, "due work cannot be read"),
        }
    }

    /// The next integration that is due, may have a slot and can be worked for.
    fn next(&mut self, now: Timestamp) -> Option<Next> {
        let Self { tools, integrations, slots, .. } = self;
        let cap = cap(self.concurrency, self.backlog.is_behind());
        let mut next = None;
        self.turns.next(now, |id| {
            if slots.may_begin(id, cap, now) {
                next = match integrations.find(id) {
                    Availability::Unknown => Some(Next::Gone(id)),
                    Availability::Active(active) => is_open(tools, &active, now).then_some(Next::Work(id, active)),
                    Availability::Paused => None,
                };
            }
            next.is_some()
        });
        next
    }

    /// Leases a batch of the next integration's due intents and begins it. False: nobody is next, or
    /// the store does not answer.
    async fn begin_next(&mut self) -> bool {
        let now = self.tools.clock.now();
        let Some(next) = self.next(now) else { return false };
        let (Next::Work(id, _) | Next::Gone(id)) = next;
        let until = later(now, self.tools.limits.lease);
        let intents = match self.tools.store.claim_intents(id, &self.tools.owner, until, BATCH).await {
            Ok(intents) => intents,
            Err(error) => {
                tracing::warn!(%error, "due work cannot be taken");
                return false;
            }
        };
        if intents.len() < BATCH as usize {
            self.turns.rest(id);
        }
        if !intents.is_empty() {
            let tools = self.tools.clone();
            let batch = self.running.spawn(async move {
                match next {
                    Next::Work(_, active) => batch::process(&tools, &active, intents).await,
                    Next::Gone(id) => batch::abandon(&tools, id, intents).await,
                }
            });
            self.slots.begin(batch.id(), id, now);
        }
        true
    }

    /// How long until another integration is due, or a slow batch leaves room for one.
    fn until_change(&self) -> Duration {
        let now = self.tools.clock.now();
        let next = [self.turns.next_due(now), self.slots.next_slow(now)].into_iter().flatten().min();
        next.map_or(LOOK_EVERY, |due| elapsed(now, due) + Duration::from_millis(1))
    }

    fn end(&mut self, ended: Result<(task::Id, Vec<Hint>), JoinError>) {
        let now = self.tools.clock.now();
        match ended {
            Ok((batch, again)) => {
                self.slots.end(&batch, now);
                again.into_iter().for_each(|hint| self.turns.hint(hint));
            }
            // A panic in a handler: its leases run out and the intents come back.
            Err(error) => {
                self.slots.end(&error.id(), now);
                tracing::error!(%error, "a handler broke off");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_leaves_the_slots_to_others() {
        assert_eq!([1, 2, 8, 33].map(|slots| cap(slots, false)), [1, 1, 4, 16]);
        assert_eq!([1, 2, 8, 33].map(|slots| cap(slots, true)), [1; 4]);
    }
}
