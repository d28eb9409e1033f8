//! The gate before every request to MeaSoft: budget and circuit breakers. A closed gate
//! costs an order nothing; its intent waits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use shared::clock::Clock;
use shared::measoft::MeasoftError;
use shared::message::{Outcome, RetryWhy};

use crate::budget::{Budget, Priority};

/// Consecutive bad answers that open a breaker.
const OPENS_AFTER: u32 = 5;
/// Longest a breaker stays open before it is tried again.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// What a breaker lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    Closed,
    HalfOpen,
    Open,
}

impl BreakerState {
    /// Value of the metric `bridge_breaker_state`.
    #[must_use]
    pub const fn as_number(self) -> i64 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
        }
    }
}

/// One circuit breaker, pure: moments come in as arguments.
#[derive(Debug, Clone)]
pub struct Breaker {
    first_pause: Duration,
    bad: u32,
    pause: Duration,
    open_until: Option<Timestamp>,
    probing: Option<Timestamp>,
}

impl Breaker {
    #[must_use]
    pub const fn new(first_pause: Duration) -> Self {
        Self { first_pause, bad: 0, pause: first_pause, open_until: None, probing: None }
    }

    #[must_use]
    pub fn state(&self, now: Timestamp) -> BreakerState {
        match self.open_until {
            None => BreakerState::Closed,
            Some(until) if now < until => BreakerState::Open,
            Some(_) => BreakerState::HalfOpen,
        }
    }

    /// Whether a request may be made now; half open, only one at a time may.
    ///
    /// # Errors
    /// When to ask again.
    pub fn pass(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        match self.state(now) {
            BreakerState::Closed => Ok(()),
            BreakerState::Open => Err(self.open_until.unwrap_or(now)),
            BreakerState::HalfOpen => match self.probing {
                // A probe that never reported back is forgotten after a while.
                Some(until) if now < until => Err(until.min(now + Duration::from_secs(1))),
                _ => {
                    self.probing = Some(now + Duration::from_secs(60));
                    Ok(())
                }
            },
        }
    }

    /// Gives back what [`Breaker::pass`] let through, unused.
    pub const fn forgo(&mut self) {
        self.probing = None;
    }

    /// No answer came. That says nothing of a server that works; one that is being tried
    /// out is left alone for another pause.
    pub fn lost(&mut self, now: Timestamp) {
        if self.state(now) == BreakerState::HalfOpen {
            self.probing = None;
            self.open_until = Some(now + self.pause);
        }
    }

    pub fn good(&mut self) {
        *self = Self::new(self.first_pause);
    }

    pub fn bad(&mut self, now: Timestamp, asked: Option<Duration>) {
        let half_open = self.state(now) == BreakerState::HalfOpen;
        self.probing = None;
        self.bad += 1;
        if half_open {
            self.pause = (self.pause * 2).min(LONGEST);
            self.open_until = Some(now + self.pause.max(asked.unwrap_or_default()));
        } else if let Some(asked) = asked {
            // The server named a time: nothing goes out before it.
            self.open_until = Some(self.open_until.unwrap_or(now).max(now + asked));
        } else if self.bad >= OPENS_AFTER && self.open_until.is_none() {
            self.open_until = Some(now + self.pause);
        }
    }
}

/// Budget and breakers of one process.
pub struct Gate {
    clock: Clock,
    budget: Budget,
    first_pause: Duration,
    whole: Mutex<Breaker>,
    accounts: Mutex<HashMap<String, Breaker>>,
}

impl Gate {
    #[must_use]
    pub fn new(clock: Clock, budget: Budget, breaker_open: Duration) -> Arc<Self> {
        Arc::new(Self {
            clock,
            budget,
            first_pause: breaker_open,
            whole: Mutex::new(Breaker::new(breaker_open)),
            accounts: Mutex::default(),
        })
    }

    #[must_use]
    pub const fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Whether work for an account makes sense now; unlike [`Gate::pass`] it takes nothing.
    ///
    /// # Errors
    /// When to ask again.
    pub fn open_for(&self, account: &str) -> Result<(), Timestamp> {
        let now = self.clock.now();
        let closed_until = |breaker: &Breaker| match breaker.state(now) {
            BreakerState::Open => breaker.open_until,
            // One probe is under way: the others wait for what it finds.
            BreakerState::HalfOpen => {
                breaker.probing.filter(|until| now < *until).map(|_| now + Duration::from_millis(200))
            }
            BreakerState::Closed => None,
        };
        let whole = closed_until(&self.whole.lock().expect("never poisoned"));
        let own = self.accounts.lock().expect("never poisoned").get(account).and_then(closed_until);
        match whole.max(own) {
            Some(until) => Err(until),
            None => Ok(()),
        }
    }

    /// Passes one request, waiting a moment for the budget if it is about to be free.
    ///
    /// # Errors
    /// The outcome of the order that wanted it.
    pub async fn pass(&self, account: &str, priority: Priority) -> Result<(), Outcome> {
        let now = self.clock.now();
        let closed = |until| Outcome::RetryLater { why: RetryWhy::BreakerOpen, not_before: Some(until) };
        let probes_whole;
        let mut probes_account = false;
        {
            let mut whole = self.whole.lock().expect("never poisoned");
            probes_whole = whole.state(now) == BreakerState::HalfOpen;
            whole.pass(now).map_err(closed)?;
            if let Some(breaker) = self.accounts.lock().expect("never poisoned").get_mut(account) {
                probes_account = breaker.state(now) == BreakerState::HalfOpen;
                if let Err(until) = breaker.pass(now) {
                    // The request of another account may be the probe instead.
                    if probes_whole {
                        whole.forgo();
                    }
                    return Err(closed(until));
                }
            }
        }
        self.budget.take(account, priority).await.map_err(|free_at| {
            if probes_whole {
                self.whole.lock().expect("never poisoned").forgo();
            }
            if probes_account && let Some(breaker) = self.accounts.lock().expect("never poisoned").get_mut(account) {
                breaker.forgo();
            }
            Outcome::RetryLater { why: RetryWhy::Budget, not_before: Some(free_at) }
        })
    }

    /// Reports what came of a request.
    pub fn report(&self, account: &str, result: Result<(), &MeasoftError>) {
        let now = self.clock.now();
        let mut whole = self.whole.lock().expect("never poisoned");
        let mut accounts = self.accounts.lock().expect("never poisoned");
        match result {
            Err(error) if error.looks_blocked() => {
                whole.bad(now, error.retry_after());
                accounts
                    .entry(account.to_owned())
                    .or_insert_with(|| Breaker::new(self.first_pause))
                    .bad(now, error.retry_after());
            }
            // Any readable answer says that MeaSoft works.
            Err(MeasoftError::NoAnswer { .. }) => {
                whole.lost(now);
                if let Some(breaker) = accounts.get_mut(account) {
                    breaker.lost(now);
                }
            }
            _ => {
                whole.good();
                accounts.remove(account);
            }
        }
    }

    /// State of the breaker for MeaSoft as a whole and of the worst account.
    #[must_use]
    pub fn states(&self) -> (BreakerState, BreakerState) {
        let now = self.clock.now();
        let whole = self.whole.lock().expect("never poisoned").state(now);
        let accounts = self.accounts.lock().expect("never poisoned");
        let worst =
            accounts.values().map(|b| b.state(now)).max_by_key(|s| s.as_number()).unwrap_or(BreakerState::Closed);
        (whole, worst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("moment")
    }

    #[test]
    fn five_bad_answers_in_a_row_open_it_and_one_never_does() {
        let mut b = Breaker::new(Duration::from_secs(5));
        for _ in 0..4 {
            b.bad(at(0), None);
            assert_eq!(b.state(at(0)), BreakerState::Closed);
        }
        b.good();
        for _ in 0..4 {
            b.bad(at(0), None);
        }
        assert_eq!(b.state(at(0)), BreakerState::Closed, "a good answer starts the count anew");
        b.bad(at(0), None);
        assert_eq!(b.state(at(0)), BreakerState::Open);
        assert_eq!(b.pass(at(1)), Err(at(5)));
    }

    #[test]
    fn half_open_lets_one_through_and_doubles_the_pause_on_failure() {
        let mut b = Breaker::new(Duration::from_secs(5));
        (0..5).for_each(|_| b.bad(at(0), None));
        assert!(b.pass(at(5)).is_ok());
        assert!(b.pass(at(5)).is_err(), "one probe at a time");
        b.bad(at(6), None);
        assert_eq!(b.pass(at(15)), Err(at(16)), "ten seconds now");
        assert!(b.pass(at(16)).is_ok());
        b.good();
        assert_eq!(b.state(at(16)), BreakerState::Closed);
    }

    #[test]
    fn a_probe_without_an_answer_or_never_made_lets_the_next_one_through() {
        let mut b = Breaker::new(Duration::from_secs(5));
        (0..5).for_each(|_| b.bad(at(0), None));
        assert!(b.pass(at(5)).is_ok());
        b.lost(at(20));
        assert_eq!(b.pass(at(24)), Err(at(25)), "left alone for as long as before");
        assert!(b.pass(at(25)).is_ok());
        b.forgo();
        assert!(b.pass(at(25)).is_ok(), "what was given back is free");
    }

    #[test]
    fn a_lost_answer_opens_nothing() {
        let mut b = Breaker::new(Duration::from_secs(5));
        (0..9).for_each(|_| b.lost(at(0)));
        assert_eq!(b.state(at(0)), BreakerState::Closed);
    }

    #[test]
    fn the_pause_never_exceeds_a_quarter_of_an_hour() {
        let mut b = Breaker::new(Duration::from_secs(5));
        (0..5).for_each(|_| b.bad(at(0), None));
        let mut now = at(5);
        for _ in 0..20 {
            assert!(b.pass(now).is_ok());
            b.bad(now, None);
            let until = b.open_until.expect("open");
            assert!(until.duration_since(now).unsigned_abs() <= LONGEST);
            now = until;
        }
    }

    #[test]
    fn a_named_time_is_kept_at_once() {
        let mut b = Breaker::new(Duration::from_secs(5));
        b.bad(at(0), Some(Duration::from_secs(90)));
        assert_eq!(b.pass(at(89)), Err(at(90)));
        assert!(b.pass(at(90)).is_ok());
    }
}
