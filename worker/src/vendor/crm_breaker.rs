//! A circuit breaker for each RetailCRM account: one that does not answer costs its own orders
//! time, and nobody else's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use shared::clock::Clock;
use shared::retailcrm::{CrmError, Limiter, Resting};
use shared::telemetry::metrics::BreakerState;

use crate::vendor::breaker::{Breaker, Came};

/// An answer that did not come for so long is silence.
const SILENCE: Duration = Duration::from_secs(3);
/// Managers wait for what stands behind it: it is tried out at least this often.
const LONGEST: Duration = Duration::from_secs(60);

/// A gate that also knows whether asking makes sense.
pub struct Guarded {
    rate: Arc<dyn Limiter>,
    clock: Clock,
    state: Mutex<(Breaker, String)>,
}

impl Guarded {
    pub fn new(rate: Arc<dyn Limiter>, clock: Clock, first_pause: Duration) -> Self {
        let breaker = Breaker::new(first_pause).with_longest(LONGEST.max(first_pause));
        Self { rate, clock, state: Mutex::new((breaker, String::new())) }
    }

    fn state(&self) -> MutexGuard<'_, (Breaker, String)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Limiter for Guarded {
    fn pass(&self) -> BoxFuture<'_, ()> {
        self.rate.pass()
    }

    fn admit(&self) -> Result<(), Duration> {
        let now = self.clock.now();
        let pause = |until: jiff::Timestamp| Duration::try_from(until.duration_since(now)).unwrap_or_default();
        self.state().0.pass(now).map_err(pause)
    }

    fn came_to(&self, result: Option<Result<(), &CrmError>>, took: Duration) {
        let mut state = self.state();
        match came(result, took) {
            None => state.0.forgo(),
            Some(came) => {
                state.1 = match result {
                    Some(Err(error)) => error.to_string(),
                    Some(Ok(())) => String::new(),
                    None => "no answer before its caller gave up".to_owned(),
                };
                state.0.report(came, self.clock.now());
            }
        }
    }

    fn resting(&self) -> Option<Resting> {
        let now = self.clock.now();
        let state = self.state();
        let until = state.0.until().filter(|_| state.0.state(now) != BreakerState::Closed)?;
        Some(Resting { until, is_probed: until <= now && state.0.ready(now).is_err(), why: state.1.clone() })
    }
}

/// What a call says of the account; `None` when it says nothing.
fn came(result: Option<Result<(), &CrmError>>, took: Duration) -> Option<Came> {
    let silent = took >= SILENCE;
    Some(match result {
        None if silent => Came::Silent,
        None => return None,
        Some(Err(CrmError::RateLimited { retry_after: Some(asked) })) => Came::Asked(*asked),
        Some(Err(CrmError::Unavailable { retry_after: Some(asked), .. })) => Came::Asked(*asked),
        Some(Err(CrmError::RateLimited { retry_after: None })) => Came::Lost,
        Some(Err(CrmError::Unreachable { .. } | CrmError::Untrusted(_))) if silent => Came::Silent,
        Some(Err(CrmError::Unreachable { before_sent: false })) => Came::Lost,
        Some(Err(
            CrmError::Unreachable { .. }
            | CrmError::Untrusted(_)
            | CrmError::Unavailable { .. }
            | CrmError::BadAnswer { .. },
        )) => Came::Bad,
        Some(_) => Came::Good,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_call_says_of_the_account() {
        let (quick, long) = (Duration::from_millis(5), Duration::from_secs(10));
        let minute = Duration::from_secs(60);
        let unreachable = CrmError::Unreachable { before_sent: false };
        let limited = CrmError::RateLimited { retry_after: Some(minute) };
        for (result, took, expected) in [
            (Some(Ok(())), long, Some(Came::Good)),
            (Some(Err(&CrmError::WrongKey)), quick, Some(Came::Good)),
            (Some(Err(&unreachable)), quick, Some(Came::Lost)),
            (Some(Err(&unreachable)), long, Some(Came::Silent)),
            (Some(Err(&CrmError::Unreachable { before_sent: true })), quick, Some(Came::Bad)),
            (Some(Err(&CrmError::Unavailable { status: 502, retry_after: None })), quick, Some(Came::Bad)),
            (Some(Err(&limited)), quick, Some(Came::Asked(minute))),
            (None, quick, None),
            (None, long, Some(Came::Silent)),
        ] {
            assert_eq!(came(result, took), expected, "{result:?} {took:?}");
        }
    }
}
