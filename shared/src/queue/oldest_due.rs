//! How long the oldest command of each lane has been due and not been taken.
//!
//! Intents, the job table and requests inside one process are asked. A broker does not tell
//! the age of a queue's head, but its queues are first in, first out: what waits came after
//! what was taken last, and after the moment the queue was last seen empty.

use std::time::Duration;

use jiff::Timestamp;

use crate::message::Lane;
use crate::queue::QueueState;
use crate::store::Store;

pub(super) struct OldestDue {
    store: Store,
    /// Since when each of the broker's queues has not been seen empty; `None` without a broker.
    filled: Option<[Timestamp; Lane::ALL.len()]>,
}

impl OldestDue {
    /// `broker_since`: when we began to look at a broker, if there is one.
    pub(super) fn new(store: Store, broker_since: Option<Timestamp>) -> Self {
        Self { store, filled: broker_since.map(|now| [now; Lane::ALL.len()]) }
    }

    /// The age per lane, zero where nothing is due. A lane is left out while its part of the
    /// answer cannot be had: a gauge then keeps what it said.
    pub(super) async fn look(&mut self, state: &QueueState, request: Option<Duration>) -> Vec<(Lane, Duration)> {
        let now = self.store.clock.now();
        let broker = self.filled.as_mut().map(|filled| heads(filled, state, now));
        let (Ok(jobs), Ok((_, intent))) = (self.store.oldest_waiting_jobs().await, self.store.backlog().await) else {
            return Vec::new();
        };
        let since = |lane: Lane| {
            let head = broker.as_ref().and_then(|heads| heads[lane as usize]);
            let job = jobs.iter().find(|(of, _)| *of == lane).map(|(_, at)| *at);
            let intent = intent.filter(|_| lane == Lane::Interactive);
            let request = request.filter(|_| lane == Lane::Rpc).map(|waited| now - waited);
            [head, job, intent, request].into_iter().flatten().min()
        };
        Lane::ALL.map(|lane| (lane, since(lane).map_or(Duration::ZERO, |at| age(now, at)))).to_vec()
    }
}

/// Clocks of two machines may differ: nothing is younger than now.
fn age(now: Timestamp, since: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

/// Since when, at the earliest, the head of each of the broker's queues has waited.
fn heads(
    filled: &mut [Timestamp; Lane::ALL.len()],
    state: &QueueState,
    now: Timestamp,
) -> [Option<Timestamp>; Lane::ALL.len()] {
    Lane::ALL.map(|lane| {
        let filled = &mut filled[lane as usize];
        let depth = state.depth.iter().find(|(of, _)| *of == lane).map(|(_, n)| *n)?;
        if depth == 0 {
            *filled = now;
            return None;
        }
        let taken = state.taken.iter().find(|(of, _)| *of == lane).map(|(_, at)| *at);
        Some(taken.map_or(*filled, |taken| taken.max(*filled)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::message::{Command, Envelope};
    use crate::store::jobs::NewJob;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).expect("a moment")
    }

    fn bulk(depth: u64, taken: Option<i64>) -> QueueState {
        let taken = taken.map(|second| (Lane::Bulk, at(second))).into_iter().collect();
        QueueState { depth: vec![(Lane::Bulk, depth)], taken, ..QueueState::default() }
    }

    #[test]
    fn a_head_that_nobody_takes_ages_and_a_flowing_queue_does_not() {
        let mut filled = [at(0); 3];
        let mut head = |state: &QueueState, now| heads(&mut filled, state, at(now))[Lane::Bulk as usize];
        assert_eq!(head(&bulk(0, None), 10), None, "empty");
        assert_eq!(head(&bulk(3, None), 20), Some(at(10)), "it came after the look that found nothing");
        assert_eq!(head(&bulk(3, None), 400), Some(at(10)), "still the same one");
        assert_eq!(head(&bulk(9, Some(390)), 410), Some(at(390)), "what was received until then has been taken");
        assert_eq!(head(&bulk(0, Some(390)), 420), None);
        assert_eq!(head(&bulk(1, Some(390)), 430), Some(at(420)));
        assert_eq!(head(&QueueState::default(), 440), None, "nothing is known of it");
    }

    #[tokio::test]
    async fn the_oldest_of_every_source_counts_for_its_lane() {
        let store = Store::in_memory(Clock::standing_at(at(1000))).await;
        let sweep = Envelope::new(Command::Retention {}, None, at(900));
        store.enqueue(&[NewJob::of(&sweep, at(940))]).await.expect("stored");
        let mut oldest = OldestDue::new(store.clone(), None);
        let ages = oldest.look(&QueueState::default(), Some(Duration::from_secs(3))).await;
        let expected = [(Lane::Interactive, 0), (Lane::Bulk, 60), (Lane::Rpc, 3)];
        assert_eq!(ages, expected.map(|(lane, seconds)| (lane, Duration::from_secs(seconds))));
        store.db.close().await;
        assert!(oldest.look(&QueueState::default(), None).await.is_empty(), "a store that is away says nothing");
    }
}
