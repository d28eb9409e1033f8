//! Circuit breakers, pure: moments come in as arguments. One for each account at a vendor.

use std::time::Duration;

use jiff::Timestamp;
use shared::telemetry::metrics::BreakerState;

pub use crate::policy::LONGEST_ASKED as LONGEST;

/// Consecutive bad answers that open a breaker.
pub(crate) const OPENS_AFTER: u32 = 5;
/// What silence counts for: each costs the whole time limit of a request.
const SILENCE: u32 = 3;

/// What a request came to, as far as the next one is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// Any readable answer says that the other side works.
    Good,
    /// What a shut-out or broken-down service looks like.
    Bad,
    /// Nothing until the time limit.
    Silent,
    /// The connection broke. That says nothing of a server that works.
    Lost,
    /// The server named a time.
    Asked(Duration),
}

impl Came {
    pub(crate) const fn weight(self) -> u32 {
        match self {
            Self::Good | Self::Lost => 0,
            Self::Bad => 1,
            Self::Silent => SILENCE,
            Self::Asked(_) => OPENS_AFTER,
        }
    }
}

/// One circuit breaker.
#[derive(Debug, Clone)]
pub struct Breaker {
    first_pause: Duration,
    /// Longest pause of our own making.
    longest: Duration,
    /// Longest pause that the server is believed.
    longest_asked: Duration,
    bad: u32,
    pause: Duration,
    open_until: Option<Timestamp>,
    probing: Option<Timestamp>,
}

impl Breaker {
    pub const fn new(first_pause: Duration) -> Self {
        Self {
            first_pause,
            longest: LONGEST,
            longest_asked: LONGEST,
            bad: 0,
            pause: first_pause,
            open_until: None,
            probing: None,
        }
    }

    pub const fn with_longest_asked(mut self, longest: Duration) -> Self {
        self.longest_asked = longest;
        self
    }

    pub const fn with_longest(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    pub fn state(&self, now: Timestamp) -> BreakerState {
        match self.open_until {
            None => BreakerState::Closed,
            Some(until) if now < until => BreakerState::Open,
            Some(_) => BreakerState::HalfOpen,
        }
    }

    /// Until when nothing goes out, if anything is held at all.
    pub const fn until(&self) -> Option<Timestamp> {
        self.open_until
    }

    /// Whether a request would be let through now; unlike [`Breaker::pass`] it takes nothing.
    /// `Err`: when to ask again.
    pub fn ready(&self, now: Timestamp) -> Result<(), Timestamp> {
        match self.state(now) {
            BreakerState::Closed => Ok(()),
            BreakerState::Open => Err(self.open_until.unwrap_or(now)),
            // One probe is under way: the others wait for what it finds.
            BreakerState::HalfOpen => match self.probing.filter(|until| now < *until) {
                Some(_) => Err(now + Duration::from_millis(200)),
                None => Ok(()),
            },
        }
    }

    /// Whether a request may be made now; half open, only one at a time may.
    /// `Err`: when to ask again.
    pub fn pass(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        self.ready(now)?;
        if self.state(now) == BreakerState::HalfOpen {
            // A probe that never reported back is forgotten after a while.
            self.probing = Some(now + Duration::from_secs(60));
        }
        Ok(())
    }

    /// Gives back what [`Breaker::pass`] let through, unused.
    pub const fn forgo(&mut self) {
        self.probing = None;
    }

    pub fn report(&mut self, came: Came, now: Timestamp) {
        match came {
            // Of a request that was under way before it opened: it takes back nothing that the
            // server asked for since.
            Came::Good if self.state(now) == BreakerState::Open => {}
            Came::Good => self.close(),
            Came::Lost => {
                // Who is being tried out is left alone for another pause.
                if self.state(now) == BreakerState::HalfOpen {
                    self.probing = None;
                    self.open_until = Some(now + self.pause);
                }
            }
            _ => {
                self.bad = self.bad.saturating_add(came.weight());
                let asked = match came {
                    Came::Asked(asked) => Some(asked),
                    _ => None,
                };
                let half_open = self.state(now) == BreakerState::HalfOpen;
                self.probing = None;
                if half_open || asked.is_some() || (self.bad >= OPENS_AFTER && self.open_until.is_none()) {
                    self.trip(now, asked);
                }
            }
        }
    }

    pub(crate) fn close(&mut self) {
        *self = Self::new(self.first_pause).with_longest(self.longest).with_longest_asked(self.longest_asked);
    }

    /// Opens, or opens again for longer. `asked`: the server named a time, and nothing goes out
    /// before it; more than a quarter of an hour is believed of nobody, then a probe asks.
    pub fn trip(&mut self, now: Timestamp, asked: Option<Duration>) {
        if self.state(now) == BreakerState::HalfOpen {
            self.pause = (self.pause * 2).min(self.longest);
        }
        self.probing = None;
        let until = now + self.pause.max(asked.unwrap_or_default()).min(self.longest_asked);
        self.open_until = Some(self.open_until.unwrap_or(until).max(until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);
    const DAY: Duration = Duration::from_secs(86_400);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("moment")
    }

    fn bad(b: &mut Breaker, times: u32, when: Timestamp) {
        (0..times).for_each(|_| b.report(Came::Bad, when));
    }

    #[test]
    fn a_good_answer_to_an_earlier_request_does_not_end_a_pause_that_was_asked_for() {
        let mut b = Breaker::new(Duration::from_millis(50));
        b.report(Came::Asked(Duration::from_secs(2)), at(0));
        b.report(Came::Good, at(1));
        assert_eq!(b.state(at(1)), BreakerState::Open);
        assert_eq!(b.pass(at(3)), Ok(()));
        b.report(Came::Good, at(3));
        assert_eq!(b.state(at(3)), BreakerState::Closed);
    }

    #[test]
    fn five_bad_answers_in_a_row_open_it_and_one_never_does() {
        let mut b = Breaker::new(PAUSE);
        bad(&mut b, 4, at(0));
        assert_eq!(b.state(at(0)), BreakerState::Closed);
        b.report(Came::Good, at(0));
        bad(&mut b, 4, at(0));
        assert_eq!(b.state(at(0)), BreakerState::Closed, "a good answer starts the count anew");
        bad(&mut b, 1, at(0));
        assert_eq!(b.state(at(0)), BreakerState::Open);
        assert_eq!(b.pass(at(1)), Err(at(5)));
    }

    #[test]
    fn half_open_lets_one_through_and_doubles_the_pause_on_failure() {
        let mut b = Breaker::new(PAUSE);
        bad(&mut b, 5, at(0));
        assert!(b.pass(at(5)).is_ok());
        assert!(b.pass(at(5)).is_err(), "one probe at a time");
        bad(&mut b, 1, at(6));
        assert_eq!(b.pass(at(15)), Err(at(16)), "ten seconds now");
        assert!(b.pass(at(16)).is_ok());
        b.report(Came::Good, at(16));
        assert_eq!(b.state(at(16)), BreakerState::Closed);
    }

    #[test]
    fn a_probe_without_an_answer_or_never_made_lets_the_next_one_through() {
        let mut b = Breaker::new(PAUSE);
        bad(&mut b, 5, at(0));
        assert!(b.pass(at(5)).is_ok());
        b.report(Came::Lost, at(20));
        assert_eq!(b.pass(at(24)), Err(at(25)), "left alone for as long as before");
        assert!(b.pass(at(25)).is_ok());
        b.forgo();
        assert!(b.pass(at(25)).is_ok(), "what was given back is free");
    }

    #[test]
    fn a_lost_answer_opens_nothing_and_silence_does_the_second_time() {
        let mut b = Breaker::new(PAUSE);
        (0..9).for_each(|_| b.report(Came::Lost, at(0)));
        b.report(Came::Silent, at(0));
        assert_eq!(b.state(at(0)), BreakerState::Closed);
        b.report(Came::Silent, at(45));
        assert_eq!(b.state(at(45)), BreakerState::Open);
    }

    #[test]
    fn the_pause_never_exceeds_a_quarter_of_an_hour() {
        let mut b = Breaker::new(PAUSE);
        bad(&mut b, 5, at(0));
        let mut now = at(5);
        for round in 0..20 {
            assert!(b.pass(now).is_ok());
            b.report(if round % 2 == 0 { Came::Bad } else { Came::Silent }, now);
            let until = b.until().expect("open");
            assert!(until.duration_since(now).unsigned_abs() <= LONGEST);
            now = until;
        }
    }

    #[test]
    fn a_named_time_is_kept_at_once_and_believed_for_a_quarter_of_an_hour() {
        let mut b = Breaker::new(PAUSE);
        b.report(Came::Asked(Duration::from_secs(90)), at(0));
        assert_eq!(b.pass(at(89)), Err(at(90)));
        assert!(b.pass(at(90)).is_ok());
        for asked in [DAY, DAY * 3650, Duration::MAX] {
            let mut b = Breaker::new(PAUSE);
            b.report(Came::Asked(asked), at(0));
            assert_eq!(b.pass(at(899)), Err(at(900)), "{asked:?}");
            assert!(b.pass(at(900)).is_ok(), "then a probe asks");
        }
    }
}
