//! Circuit breakers, pure: moments come in as arguments. One for each account at a vendor, and
//! for each address of MeaSoft one over its accounts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

pub use crate::policy::LONGEST_ASKED as LONGEST;

/// Consecutive bad answers that open a breaker.
const OPENS_AFTER: u32 = 5;
/// What silence counts for: each costs the whole time limit of a request.
const SILENCE: u32 = 3;
/// Accounts that must fail before their address counts as failing, when it has so many.
const WITNESSES: usize = 2;
/// Who got a good answer this recently is not held for what others meet at the same address.
const TRUSTED: Duration = Duration::from_secs(30);

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
    const fn weight(self) -> u32 {
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
    #[must_use]
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

    #[must_use]
    pub const fn with_longest_asked(mut self, longest: Duration) -> Self {
        self.longest_asked = longest;
        self
    }

    #[must_use]
    pub const fn with_longest(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    #[must_use]
    pub fn state(&self, now: Timestamp) -> BreakerState {
        match self.open_until {
            None => BreakerState::Closed,
            Some(until) if now < until => BreakerState::Open,
            Some(_) => BreakerState::HalfOpen,
        }
    }

    /// Until when nothing goes out, if anything is held at all.
    #[must_use]
    pub const fn until(&self) -> Option<Timestamp> {
        self.open_until
    }

    /// Whether a request would be let through now; unlike [`Breaker::pass`] it takes nothing.
    ///
    /// # Errors
    /// When to ask again.
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
    ///
    /// # Errors
    /// When to ask again.
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

    fn close(&mut self) {
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

/// An address of MeaSoft's and what its accounts found there since its last good answer. One
/// account's trouble is never the address's, as long as it has another.
#[derive(Debug, Clone)]
pub struct Address {
    first_pause: Duration,
    breaker: Breaker,
    /// Bad answers since the last good one, by account.
    row: BTreeMap<String, u32>,
    /// Accounts of which the server asked for a pause.
    asked: BTreeSet<String>,
    /// Accounts that ever made a request here.
    seen: BTreeSet<String>,
    /// When each account got its last good answer.
    good: BTreeMap<String, Timestamp>,
    /// Until when the one try of an account that is not known yet is waited for.
    tried: BTreeMap<String, Timestamp>,
}

impl Address {
    #[must_use]
    pub fn new(first_pause: Duration) -> Self {
        Self {
            first_pause,
            breaker: Breaker::new(first_pause),
            row: BTreeMap::new(),
            asked: BTreeSet::new(),
            seen: BTreeSet::new(),
            good: BTreeMap::new(),
            tried: BTreeMap::new(),
        }
    }

    #[must_use]
    pub fn with_longest_asked(mut self, longest: Duration) -> Self {
        self.breaker = self.breaker.with_longest_asked(longest);
        self
    }

    #[must_use]
    pub fn state(&self, now: Timestamp) -> BreakerState {
        self.breaker.state(now)
    }

    #[must_use]
    pub const fn until(&self) -> Option<Timestamp> {
        self.breaker.until()
    }

    /// An account that has no part in the failures may try while the address is held, once at
    /// first: its good answer ends the hold. Not while the server itself asks for a pause.
    fn is_witness(&self, account: &str, now: Timestamp) -> bool {
        let free = self.tried.get(account).is_none_or(|until| now >= *until) || self.is_trusted(account, now);
        !self.row.contains_key(account) && self.asked.len() < WITNESSES && free
    }

    fn is_trusted(&self, account: &str, now: Timestamp) -> bool {
        self.good.get(account).is_some_and(|at| now < *at + TRUSTED)
    }

    /// # Errors
    /// When to ask again.
    pub fn ready(&self, account: &str, now: Timestamp) -> Result<(), Timestamp> {
        match self.breaker.ready(now) {
            Err(_) if self.is_witness(account, now) => Ok(()),
            other => other,
        }
    }

    /// # Errors
    /// When to ask again.
    pub fn pass(&mut self, account: &str, now: Timestamp) -> Result<(), Timestamp> {
        self.ready(account, now)?;
        if !self.seen.contains(account) {
            self.seen.insert(account.to_owned());
        }
        match self.state(now) {
            BreakerState::Closed => Ok(()),
            BreakerState::HalfOpen if self.breaker.ready(now).is_ok() => self.breaker.pass(now),
            BreakerState::HalfOpen | BreakerState::Open if self.is_trusted(account, now) => Ok(()),
            BreakerState::HalfOpen | BreakerState::Open => {
                self.tried.insert(account.to_owned(), now + self.first_pause);
                Ok(())
            }
        }
    }

    pub fn forgo(&mut self, account: &str) {
        self.breaker.forgo();
        self.tried.remove(account);
    }

    /// `whole`: the pause that the server asks for is the address's, not the account's alone.
    pub fn report(&mut self, account: &str, came: Came, whole: bool, now: Timestamp) {
        self.tried.remove(account);
        match came {
            // The server asked this account for a pause; it has sent nothing since.
            Came::Good if self.asked.contains(account) && self.state(now) == BreakerState::Open => return,
            Came::Good => {
                self.row.clear();
                self.asked.clear();
                self.good.insert(account.to_owned(), now);
                // Whichever account it was: the address works.
                self.breaker.close();
                return;
            }
            Came::Lost => return self.breaker.report(Came::Lost, now),
            Came::Bad | Came::Silent | Came::Asked(_) => {}
        }
        let asked = match came {
            Came::Asked(asked) if whole => Some(asked),
            _ => None,
        };
        if asked.is_some() {
            self.asked.insert(account.to_owned());
        }
        let weight = if asked.is_some() || !matches!(came, Came::Asked(_)) { came.weight() } else { 1 };
        *self.row.entry(account.to_owned()).or_default() += weight;
        let failing = self.row.values().filter(|bad| **bad >= OPENS_AFTER).count();
        let enough = failing >= WITNESSES.min(self.seen.len().max(1));
        // A first failure of many finds the others out at once; a probe's makes the pause longer.
        if self.state(now) == BreakerState::HalfOpen || (enough && (self.until().is_none() || asked.is_some())) {
            self.breaker.trip(now, asked.filter(|_| enough));
        }
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
    fn nor_a_pause_of_the_whole_address() {
        let mut only = Address::new(Duration::from_millis(50));
        assert_eq!(only.pass("a", at(0)), Ok(()));
        only.report("a", Came::Asked(Duration::from_secs(2)), true, at(0));
        only.report("a", Came::Good, true, at(1));
        assert_eq!(only.state(at(1)), BreakerState::Open);
        assert_eq!(only.pass("a", at(3)), Ok(()));
        only.report("a", Came::Good, true, at(3));
        assert_eq!(only.state(at(3)), BreakerState::Closed);
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

    /// An address at which these accounts have made requests.
    fn address(accounts: &[&str]) -> Address {
        let mut address = Address::new(PAUSE);
        accounts.iter().for_each(|account| address.pass(account, at(0)).expect("free"));
        address
    }

    fn fail(address: &mut Address, account: &str, came: Came, times: u32) {
        (0..times).for_each(|_| address.report(account, came, true, at(0)));
    }

    #[test]
    fn one_account_of_several_never_closes_the_address_to_the_others() {
        for came in [Came::Bad, Came::Silent, Came::Asked(DAY)] {
            let mut a = address(&["bad", "good"]);
            fail(&mut a, "bad", came, 50);
            assert_eq!(a.state(at(0)), BreakerState::Closed, "{came:?}");
            assert!(a.pass("good", at(0)).is_ok());
        }
    }

    #[test]
    fn two_accounts_that_fail_in_a_row_close_it() {
        let mut a = address(&["one", "other", "third"]);
        fail(&mut a, "one", Came::Bad, 5);
        fail(&mut a, "other", Came::Bad, 4);
        assert_eq!(a.state(at(0)), BreakerState::Closed);
        fail(&mut a, "other", Came::Bad, 1);
        assert_eq!(a.state(at(0)), BreakerState::Open);
        assert_eq!(a.pass("one", at(1)), Err(at(5)));
    }

    #[test]
    fn who_was_answered_well_a_moment_ago_is_not_held_for_others() {
        let mut a = address(&["one", "other", "good"]);
        a.report("good", Came::Good, false, at(0));
        for account in ["one", "other"] {
            fail(&mut a, account, Came::Silent, 5);
        }
        assert_eq!(a.state(at(1)), BreakerState::Open);
        for _ in 0..3 {
            assert!(a.pass("good", at(1)).is_ok(), "not one at a time either");
        }
        assert_eq!(a.pass("one", at(1)), Err(at(5)));
        a.report("good", Came::Bad, false, at(2));
        assert_eq!(a.pass("good", at(2)), Err(at(5)), "it has a part in the failures now");
    }

    #[test]
    fn a_good_answer_of_any_account_starts_the_row_anew() {
        let mut a = address(&["one", "other", "good"]);
        fail(&mut a, "one", Came::Bad, 5);
        a.report("good", Came::Good, false, at(0));
        fail(&mut a, "other", Came::Bad, 5);
        assert_eq!(a.state(at(0)), BreakerState::Closed);
    }

    #[test]
    fn the_only_account_of_an_address_closes_it() {
        let mut a = address(&["only"]);
        fail(&mut a, "only", Came::Bad, 5);
        assert_eq!(a.state(at(0)), BreakerState::Open);
        // Right after a start the others have not been seen yet: each is tried, once at first.
        for account in ["new", "newer"] {
            assert!(a.pass(account, at(1)).is_ok());
            assert_eq!(a.pass(account, at(1)), Err(at(5)), "{account}");
        }
        a.report("newer", Came::Bad, false, at(2));
        assert_eq!(a.pass("newer", at(2)), Err(at(5)));
        a.report("new", Came::Good, false, at(2));
        assert!(a.pass("newer", at(2)).is_ok());
    }

    #[test]
    fn a_pause_the_server_asks_two_accounts_for_holds_all() {
        let mut a = address(&["one", "other", "third"]);
        fail(&mut a, "one", Came::Asked(DAY), 1);
        assert!(a.pass("third", at(1)).is_ok());
        fail(&mut a, "other", Came::Asked(DAY), 1);
        assert_eq!(a.pass("third", at(899)), Err(at(900)));
        assert!(a.pass("third", at(900)).is_ok(), "then one probe asks");
        assert!(a.pass("one", at(900)).is_err());
    }

    #[test]
    fn a_limit_of_one_account_is_no_pause_of_the_address() {
        let mut a = address(&["one", "other", "third"]);
        for account in ["one", "other"] {
            a.report(account, Came::Asked(DAY), false, at(0));
        }
        assert_eq!(a.state(at(0)), BreakerState::Closed);
    }
}
