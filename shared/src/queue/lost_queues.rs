//! Notes when the broker's queues were empty, and tells when one had to be made anew: a policy
//! deleted it, or the broker lost its disk. What waited in it may be gone.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::message::Lane;
use crate::queue::QueueState;
use crate::store::Store;

/// How exactly the beginning of a window is known.
const NOTE_EVERY: Duration = Duration::from_secs(5);

pub(super) struct LostQueues {
    store: Store,
    /// How often each queue was found missing, as far as the store knows.
    told: HashMap<String, u64>,
    noted: HashMap<String, Instant>,
}

impl LostQueues {
    pub(super) fn new(store: Store) -> Self {
        Self { store, told: HashMap::new(), noted: HashMap::new() }
    }

    /// What cannot be noted now is with the next look.
    pub(super) async fn look(&mut self, state: &QueueState) {
        // Periodic commands come again, and requests end with their callers.
        for (queue, lane, times) in state.made_anew.iter().filter(|(_, lane, _)| *lane == Lane::Interactive) {
            if self.told.get(queue).copied().unwrap_or(0) < *times {
                match self.store.lost_queue(queue).await {
                    Ok(window) => {
                        self.told.insert(queue.clone(), *times);
                        if let Some(window) = window {
                            tracing::error!(
                                queue,
                                from = %window.from,
                                until = %window.until,
                                "a queue was gone and was made anew: triggers accepted in this time may be missing; \
                                 both sides are compared anew"
                            );
                        }
                    }
                    Err(error) => {
                        tracing::debug!(%error, "a queue that was made anew could not be noted");
                        continue;
                    }
                }
            }
            let empty = state.connected && state.depth.iter().any(|(of, depth)| of == lane && *depth == 0);
            let now = Instant::now();
            let due = self.noted.get(queue).is_none_or(|at| now.duration_since(*at) >= NOTE_EVERY);
            if empty && due && self.store.saw_empty(queue).await.unwrap_or(false) {
                self.noted.insert(queue.clone(), now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn state(depth: u64, made_anew: u64) -> QueueState {
        QueueState {
            connected: true,
            depth: vec![(Lane::Interactive, depth)],
            made_anew: vec![("p.interactive.v1".to_owned(), Lane::Interactive, made_anew)],
            ..QueueState::default()
        }
    }

    #[tokio::test]
    async fn a_queue_that_had_to_be_made_anew_is_a_possible_loss_but_not_the_first_time() {
        let clock = Clock::standing_at(jiff::Timestamp::from_second(1_700_000_000).expect("a moment"));
        let store = Store::in_memory(clock.clone()).await;
        // Two processes of a fresh installation find no queue at the same moment.
        let (mut one, mut two) = (LostQueues::new(store.clone()), LostQueues::new(store.clone()));
        one.look(&state(0, 1)).await;
        two.look(&state(0, 1)).await;
        assert!(store.lost_queues().await.expect("read").is_empty(), "a fresh installation loses nothing");
        clock.advance(Duration::from_secs(60));
        one.look(&state(0, 1)).await;
        let empty = clock.now();
        clock.advance(Duration::from_secs(60));
        two.look(&state(3, 1)).await;
        two.look(&state(0, 2)).await;
        let lost = store.lost_queues().await.expect("read");
        assert_eq!(lost.len(), 1);
        assert!(lost[0].window.from < empty && lost[0].window.until == clock.now(), "{lost:?}");
        // A process that starts after the broker has lost its disk knows from the store.
        clock.advance(Duration::from_secs(60));
        store.saw_empty("p.interactive.v1").await.expect("noted");
        clock.advance(Duration::from_secs(60));
        LostQueues::new(store.clone()).look(&state(0, 1)).await;
        assert_eq!(store.lost_queues().await.expect("read")[0].window.until, clock.now());
    }
}
