//! What happens to a command after its outcome: the only place that decides it.

use std::time::Duration;

use shared::message::{Outcome, RetryWhy};

use crate::policy::Policy;

/// No attempt takes longer, with all its calls at their limits. What seems to have, stood still
/// (the machine was suspended, the clock was moved) and tried nothing meanwhile.
pub const LONGEST_ATTEMPT: Duration = Duration::from_secs(15 * 60);

/// The time spent trying after an attempt that began and ended `took` apart.
pub fn spent_trying(before: Duration, took: Duration) -> Duration {
    before.saturating_add(took.min(LONGEST_ATTEMPT))
}

/// What to do with the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// Served.
    Ack,
    /// Look again after this pause; `counts` says whether the try is counted.
    Wait { pause: Duration, counts: bool },
    /// A person has to see it.
    DeadLetter,
    /// As a dead letter, because it never got through in time.
    Expire,
}

/// Total over all outcomes. `attempt` is how often it was tried before, `spent` the time spent
/// trying, `until_due` how long the outcome itself asks to wait at least.
pub fn settle(outcome: &Outcome, attempt: u32, spent: Duration, until_due: Duration, policy: &Policy) -> Settlement {
    match outcome {
        Outcome::Done(_) | Outcome::AlreadyDone(_) | Outcome::Superseded(_) => Settlement::Ack,
        Outcome::GiveUp(_) => Settlement::DeadLetter,
        Outcome::RetryLater { why, .. } => {
            // What is not this order's own failure neither counts nor ages it.
            let counts =
                !matches!(why, RetryWhy::Paused | RetryWhy::BreakerOpen | RetryWhy::Budget | RetryWhy::LeaseHeld);
            if counts && spent >= policy.give_up_after {
                return Settlement::Expire;
            }
            let pause = match why {
                RetryWhy::LeaseHeld | RetryWhy::Budget | RetryWhy::CrmRateLimited => {
                    policy.rung(0).min(Duration::from_secs(1))
                }
                // The readings that conclude nothing follow the ladder's first two rungs.
                RetryWhy::CrmLag => policy.rung(attempt as usize),
                RetryWhy::Paused | RetryWhy::BreakerOpen => policy.rung(0),
                RetryWhy::UnknownOutcome => Duration::ZERO,
                RetryWhy::CrmUnavailable
                | RetryWhy::CourierUnavailable
                | RetryWhy::CourierBlocked
                | RetryWhy::Internal => policy.rung(attempt as usize),
            };
            Settlement::Wait { pause: pause.max(until_due.min(policy.longest_asked)), counts }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::LONGEST_ASKED;
    use shared::message::{Change, Needless};
    use shared::phrases::Details;
    use shared::reason;

    fn policy() -> Policy {
        Policy::new([2, 15, 45].map(Duration::from_secs).to_vec())
    }

    #[test]
    fn what_is_concluded_is_settled_at_once() {
        for outcome in [
            Outcome::Done(Change::Created),
            Outcome::AlreadyDone(Needless::Cancelled),
            Outcome::Superseded(Needless::Gone),
        ] {
            assert_eq!(settle(&outcome, 9, Policy::DAY * 2, Duration::ZERO, &policy()), Settlement::Ack);
        }
        let give_up = Outcome::GiveUp(reason::give_up(reason::TOO_LATE, Details::NONE));
        assert_eq!(settle(&give_up, 0, Duration::ZERO, Duration::ZERO, &policy()), Settlement::DeadLetter);
    }

    #[test]
    fn failures_walk_up_the_ladder_and_stay_on_its_last_rung() {
        for (attempt, pause) in [(0, 2), (1, 15), (2, 45), (3, 45), (99, 45)] {
            let settled = settle(
                &Outcome::retry(RetryWhy::CourierUnavailable),
                attempt,
                Duration::ZERO,
                Duration::ZERO,
                &policy(),
            );
            assert_eq!(settled, Settlement::Wait { pause: Duration::from_secs(pause), counts: true });
        }
    }

    #[test]
    fn a_wait_the_other_side_asked_for_is_honoured() {
        let minutes = Duration::from_secs(600);
        let settled = settle(&Outcome::retry(RetryWhy::CourierBlocked), 0, Duration::ZERO, minutes, &policy());
        assert_eq!(settled, Settlement::Wait { pause: minutes, counts: true });
    }

    #[test]
    fn no_other_side_puts_an_order_to_sleep_for_hours() {
        for asked in [Duration::from_secs(3600), Policy::DAY * 400] {
            let settled = settle(&Outcome::retry(RetryWhy::CourierBlocked), 0, Duration::ZERO, asked, &policy());
            assert_eq!(settled, Settlement::Wait { pause: LONGEST_ASKED, counts: true });
        }
    }

    #[test]
    fn a_worker_that_stood_still_for_days_ages_nothing_by_it() {
        let minute = Duration::from_secs(60);
        assert_eq!(spent_trying(minute, minute), 2 * minute);
        assert_eq!(spent_trying(minute, Policy::DAY * 400), minute + LONGEST_ATTEMPT);
        assert_eq!(spent_trying(Duration::MAX, minute), Duration::MAX);
    }

    #[test]
    fn only_an_orders_own_failures_age_it() {
        for why in RetryWhy::ALL {
            let settled = settle(&Outcome::retry(why), 0, Policy::DAY, Duration::ZERO, &policy());
            let outside =
                matches!(why, RetryWhy::Paused | RetryWhy::BreakerOpen | RetryWhy::Budget | RetryWhy::LeaseHeld);
            if outside {
                assert!(matches!(settled, Settlement::Wait { counts: false, .. }), "{why:?}");
            } else {
                assert_eq!(settled, Settlement::Expire, "{why:?}");
            }
        }
    }
}
