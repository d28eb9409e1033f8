//! Gives free slots to due intents, fairly between integrations, and knows when the next
//! one is due. The store is asked; messages only say when asking is worth while.

pub mod slots;

use crate::hint::Hint;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use shared::domain::IntegrationId;
use shared::telemetry::Heartbeat;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::dispatch::slots::Slots;
use crate::hint::Backlog;
use crate::order::batch;
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::integrations::{ActiveIntegrations, Found};

/// How often the store is asked whether something is due that nobody said.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Intents taken in one go: MeaSoft's batch.
pub const BATCH: u32 = 50;

/// Who is due, in turn.
#[derive(Debug, Default)]
pub struct Turns {
    due: HashMap<IntegrationId, Timestamp>,
    order: VecDeque<IntegrationId>,
}

impl Turns {
    pub fn hint(&mut self, hint: Hint) {
        let due = self.due.entry(hint.integration).or_insert(hint.due_at);
        *due = (*due).min(hint.due_at);
        if !self.order.contains(&hint.integration) {
            self.order.push_back(hint.integration);
        }
    }

    /// The next integration in turn that is due and may; it goes to the end.
    pub fn next(&mut self, now: Timestamp, mut may: impl FnMut(IntegrationId) -> bool) -> Option<IntegrationId> {
        for _ in 0..self.order.len() {
            let id = self.order.pop_front()?;
            self.order.push_back(id);
            let due = self.due.get(&id).is_some_and(|due| *due <= now);
            if due && may(id) {
                return Some(id);
            }
        }
        None
    }

    /// Nothing of it is due until somebody says so.
    pub fn rest(&mut self, id: IntegrationId) {
        self.due.remove(&id);
        self.order.retain(|other| *other != id);
    }

    /// When the next one is due that is not due yet.
    #[must_use]
    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        self.due.values().copied().filter(|due| *due > now).min()
    }
}

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
    let mut turns = Turns::default();
    let mut running: JoinSet<Vec<Hint>> = JoinSet::new();
    let mut slots = Slots::new(concurrency);
    let mut look_at = tokio::time::Instant::now();
    loop {
        beat.beat();
        if look_at <= tokio::time::Instant::now() {
            look_at = tokio::time::Instant::now() + LOOK_EVERY;
            match tools.store.integrations_with_work().await {
                Ok(found) => {
                    found.into_iter().for_each(|(integration, due_at)| turns.hint(Hint { integration, due_at }))
                }
                Err(error) => tracing::warn!(%error, "due work cannot be read"),
            }
        }
        while !stop.is_cancelled() {
            let now = tools.clock.now();
            let cap = cap(concurrency, backlog.is_behind());
            let mut chosen = None;
            let mut gone = false;
            let Some(id) = turns.next(now, |id| match integrations.find(id) {
                _ if !slots.may_begin(id, cap, now) => false,
                // Nobody can work for it any more: its commands end where a person sees them.
                Found::Unknown => {
                    gone = true;
                    true
                }
                Found::Active(active) => {
                    let open = is_open(&tools, &active, now);
                    chosen = open.then_some(active);
                    open
                }
                Found::Paused => false,
            }) else {
                break;
            };
            if chosen.is_none() && !gone {
                break;
            }
            let until = now.checked_add(tools.limits.lease).unwrap_or(now);
            match tools.store.claim_intents(id, &tools.owner, until, BATCH).await {
                Ok(intents) => {
                    if intents.len() < BATCH as usize {
                        turns.rest(id);
                    }
                    if intents.is_empty() {
                        continue;
                    }
                    let tools = tools.clone();
                    let batch = running.spawn(async move {
                        match chosen {
                            Some(active) => batch::process(&tools, &active, intents).await,
                            None => batch::abandon(&tools, id, intents).await,
                        }
                    });
                    slots.begin(batch.id(), id, now);
                }
                Err(error) => {
                    tracing::warn!(%error, "due work cannot be taken");
                    break;
                }
            }
        }
        if stop.is_cancelled() && running.is_empty() {
            return;
        }
        let now = tools.clock.now();
        let next = [turns.next_due(now), slots.next_slow(now)].into_iter().flatten().min();
        let until_due = next.map_or(LOOK_EVERY, |due| {
            Duration::from_millis(u64::try_from(due.as_millisecond() - now.as_millisecond()).unwrap_or(0) + 1)
        });
        let nap =
            until_due.min(look_at.saturating_duration_since(tokio::time::Instant::now())).max(Duration::from_millis(1));
        tokio::select! {
            Some(ended) = running.join_next_with_id(), if !running.is_empty() => match ended {
                Ok((batch, again)) => {
                    slots.end(&batch, tools.clock.now());
                    again.into_iter().for_each(|hint| turns.hint(hint));
                }
                // A panic in a handler: its leases run out and the intents come back.
                Err(error) => {
                    slots.end(&error.id(), tools.clock.now());
                    tracing::error!(%error, "a handler broke off");
                }
            },
            Some(hint) = hints.recv() => {
                turns.hint(hint);
                while let Ok(more) = hints.try_recv() {
                    turns.hint(more);
                }
            }
            () = stop.cancelled(), if !stop.is_cancelled() => {}
            () = tokio::time::sleep(nap) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).expect("moment")
    }

    fn hint(turns: &mut Turns, id: i64, ms: i64) {
        turns.hint(Hint { integration: IntegrationId(id), due_at: at(ms) });
    }

    #[test]
    fn integrations_take_turns() {
        let mut turns = Turns::default();
        for id in 1..=3 {
            hint(&mut turns, id, 0);
        }
        let order: Vec<i64> = (0..6).filter_map(|_| turns.next(at(1), |_| true)).map(|id| id.0).collect();
        assert_eq!(order, [1, 2, 3, 1, 2, 3]);
    }

    #[test]
    fn a_flood_leaves_the_slots_to_others() {
        assert_eq!([1, 2, 8, 33].map(|slots| cap(slots, false)), [1, 1, 4, 16]);
        assert_eq!([1, 2, 8, 33].map(|slots| cap(slots, true)), [1; 4]);
    }

    #[test]
    fn what_is_not_due_waits_and_the_earliest_hint_counts() {
        let mut turns = Turns::default();
        hint(&mut turns, 1, 500);
        hint(&mut turns, 1, 900);
        assert_eq!(turns.next(at(499), |_| true), None);
        assert_eq!(turns.next_due(at(499)), Some(at(500)));
        assert_eq!(turns.next(at(500), |_| true), Some(IntegrationId(1)));
        turns.rest(IntegrationId(1));
        assert_eq!(turns.next(at(500), |_| true), None);
    }
}
