//! Waits between quick tries inside one process: reconnecting, storing a result. Long
//! retries are the queue's and the intents' business.
//!
//! The only user of the `backoff` crate, and only of its arithmetic: no type of it is
//! visible outside, so that another one can take its place.

use std::time::Duration;

use backoff::ExponentialBackoffBuilder;
use backoff::backoff::Backoff as _;

/// Growing waits with jitter, without end.
#[derive(Debug)]
pub struct Waits {
    schedule: backoff::ExponentialBackoff,
    longest: Duration,
}

impl Waits {
    /// Doubling from the shorter to the longer; each wait is between half and one and a
    /// half of its step and never above the longer.
    pub fn between(shortest: Duration, longest: Duration) -> Self {
        let schedule = ExponentialBackoffBuilder::new()
            .with_initial_interval(shortest)
            .with_max_interval(longest)
            .with_multiplier(2.0)
            .with_randomization_factor(0.5)
            .with_max_elapsed_time(None)
            .build();
        Self { schedule, longest }
    }

    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        let wait = self.schedule.next_backoff().unwrap_or(self.longest);
        // What is above the longest is laid below it: cut off, half of all waits would be the same
        // once they are long, and processes would come back in step.
        if wait > self.longest { (self.longest * 2).saturating_sub(wait) } else { wait }
    }

    /// Begins anew after a success.
    pub fn reset(&mut self) {
        self.schedule.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn waits_grow_stay_within_bounds_and_begin_anew(shortest in 1u64..5_000, factor in 1u32..200, tries in 1usize..60) {
            let shortest = Duration::from_millis(shortest);
            let longest = shortest * factor;
            let mut waits = Waits::between(shortest, longest);
            for number in 0..tries {
                let step = shortest.saturating_mul(1 << number.min(20)).min(longest);
                let wait = waits.next_wait();
                prop_assert!(wait <= longest);
                prop_assert!(wait + Duration::from_millis(1) >= step / 2, "wait {number} was {wait:?}, step {step:?}");
            }
            waits.reset();
            prop_assert!(waits.next_wait() <= shortest * 3 / 2);
        }
    }

    #[test]
    fn the_longest_waits_differ_too() {
        let mut waits = Waits::between(Duration::from_secs(1), Duration::from_secs(4));
        let long: Vec<Duration> = (0..60).map(|_| waits.next_wait()).skip(10).collect();
        assert!(long.iter().filter(|wait| **wait == Duration::from_secs(4)).count() < 3, "{long:?}");
        assert!(long.iter().all(|wait| *wait >= Duration::from_secs(2)), "{long:?}");
    }

    #[test]
    fn two_processes_do_not_come_back_in_step() {
        let mut one = Waits::between(Duration::from_secs(1), Duration::from_secs(60));
        let mut two = Waits::between(Duration::from_secs(1), Duration::from_secs(60));
        let differ = (0..8).filter(|_| one.next_wait() != two.next_wait()).count();
        assert!(differ > 4, "{differ}");
    }
}
