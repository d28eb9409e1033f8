//! The circuit breaker of an address of MeaSoft, over those of its accounts. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use shared::telemetry::metrics::BreakerState;

use crate::vendor::breaker::{Breaker, Came, OPENS_AFTER};

/// Accounts that must fail before their address counts as failing, when it has so many.
const WITNESSES: usize = 2;
/// Who got a good answer this recently is not held for what others meet at the same address.
const TRUSTED: Duration = Duration::from_secs(30);

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

    pub fn with_longest_asked(mut self, longest: Duration) -> Self {
        self.breaker = self.breaker.with_longest_asked(longest);
        self
    }

    pub fn state(&self, now: Timestamp) -> BreakerState {
        self.breaker.state(now)
    }

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

    /// `Err`: when to ask again.
    pub fn ready(&self, account: &str, now: Timestamp) -> Result<(), Timestamp> {
        match self.breaker.ready(now) {
            Err(_) if self.is_witness(account, now) => Ok(()),
            other => other,
        }
    }

    /// `Err`: when to ask again.
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

    #[test]
    fn a_good_answer_to_an_earlier_request_does_not_end_a_pause_that_was_asked_for() {
        let mut only = Address::new(Duration::from_millis(50));
        assert_eq!(only.pass("a", at(0)), Ok(()));
        only.report("a", Came::Asked(Duration::from_secs(2)), true, at(0));
        only.report("a", Came::Good, true, at(1));
        assert_eq!(only.state(at(1)), BreakerState::Open);
        assert_eq!(only.pass("a", at(3)), Ok(()));
        only.report("a", Came::Good, true, at(3));
        assert_eq!(only.state(at(3)), BreakerState::Closed);
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
