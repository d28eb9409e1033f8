//! Who may use a worker's slots, pure. A batch whose vendor does not answer would hold its slot
//! for minutes, and enough of them all slots: what is slow counts for at most half.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::time::Duration;

use jiff::Timestamp;
use shared::domain::IntegrationId;

/// A batch that takes longer is slow, and so is the next one of its integration until it shows
/// otherwise.
pub const SLOW_AFTER: Duration = Duration::from_secs(1);
/// Batches under way at most, as a multiple of the slots: slow ones beyond their half only wait.
const AT_MOST: usize = 4;

/// Batches under way, by a name of each.
#[derive(Debug)]
pub struct Slots<K> {
    size: usize,
    running: HashMap<K, (IntegrationId, Timestamp)>,
    /// Integrations whose last batch was slow.
    slow: HashSet<IntegrationId>,
}

impl<K: Hash + Eq> Slots<K> {
    pub fn new(size: usize) -> Self {
        Self { size, running: HashMap::new(), slow: HashSet::new() }
    }

    const fn half(&self) -> usize {
        self.size / 2
    }

    fn is_slow(&self, id: IntegrationId, since: Timestamp, now: Timestamp) -> bool {
        self.slow.contains(&id) || now.duration_since(since).unsigned_abs() >= SLOW_AFTER
    }

    /// Whether an integration may begin a batch. `cap`: what one may hold at most.
    pub fn may_begin(&self, id: IntegrationId, cap: usize, now: Timestamp) -> bool {
        let own = self.running.values().filter(|(of, _)| *of == id).count();
        if own >= cap || self.running.len() >= self.size * AT_MOST {
            return false;
        }
        let slow: Vec<IntegrationId> =
            self.running.values().filter(|(of, since)| self.is_slow(*of, *since, now)).map(|(of, _)| *of).collect();
        if self.size > 1 && (self.slow.contains(&id) || slow.contains(&id)) {
            // Slow ones share their half; each has one at least.
            let of: BTreeSet<IntegrationId> = slow.iter().copied().chain([id]).collect();
            return own < (self.half() / of.len()).max(1);
        }
        let quick = self.running.len() - slow.len();
        let slow = if self.size > 1 { slow.len().min(self.half()) } else { slow.len() };
        quick + slow < self.size
    }

    pub fn begin(&mut self, batch: K, id: IntegrationId, now: Timestamp) {
        self.running.insert(batch, (id, now));
    }

    pub fn end(&mut self, batch: &K, now: Timestamp) {
        if let Some((id, since)) = self.running.remove(batch) {
            if now.duration_since(since).unsigned_abs() >= SLOW_AFTER {
                self.slow.insert(id);
            } else {
                self.slow.remove(&id);
            }
        }
    }

    /// When the next one under way comes to count as slow, which may make room for others.
    pub fn next_slow(&self, now: Timestamp) -> Option<Timestamp> {
        self.running.values().map(|(_, since)| *since + SLOW_AFTER).filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).expect("moment")
    }

    const fn id(n: i64) -> IntegrationId {
        IntegrationId(n)
    }

    /// Begins whatever these integrations may, one after the other, until none may.
    fn fill(slots: &mut Slots<usize>, of: impl Iterator<Item = i64> + Clone, now: Timestamp) -> usize {
        let before = slots.running.len();
        loop {
            let Some(n) = of.clone().find(|n| slots.may_begin(id(*n), 16, now)) else { break };
            slots.begin(slots.running.len(), id(n), now);
        }
        slots.running.len() - before
    }

    #[test]
    fn nobody_takes_more_than_its_share() {
        let mut slots = Slots::new(32);
        assert_eq!(fill(&mut slots, 1..2, at(0)), 16);
        assert!(slots.may_begin(id(2), 16, at(0)));
    }

    #[test]
    fn what_is_quick_may_use_all_slots() {
        let mut slots = Slots::new(32);
        assert_eq!(fill(&mut slots, 1..100, at(0)), 32);
    }

    #[test]
    fn hanging_neighbours_leave_half_of_the_slots_after_a_second() {
        let mut slots = Slots::new(32);
        assert_eq!(fill(&mut slots, 1..41, at(0)), 32, "nobody knows yet that they hang");
        assert!(!slots.may_begin(id(99), 16, at(999)));
        assert_eq!(slots.next_slow(at(999)), Some(at(1000)));
        assert!(slots.may_begin(id(99), 16, at(1000)));
        slots.begin(99, id(99), at(1000));
        slots.end(&99, at(1050));
        assert!(slots.may_begin(id(99), 16, at(1050)));
    }

    #[test]
    fn slow_ones_share_their_half_and_each_has_one() {
        let mut slots = Slots::new(32);
        for n in 1..=4 {
            slots.begin(n, id(n as i64), at(0));
            slots.end(&n, at(5000));
        }
        assert_eq!(fill(&mut slots, 1..2, at(5000)), 16, "alone it has the half");
        let mut crowded = Slots::new(8);
        for n in 1..=20 {
            crowded.begin(n, id(n as i64), at(0));
        }
        assert!(!crowded.may_begin(id(1), 4, at(2000)), "it holds one already");
        crowded.end(&1, at(2000));
        assert!(crowded.may_begin(id(1), 4, at(2000)), "one each");
        assert!(crowded.may_begin(id(50), 4, at(2000)));
    }

    #[test]
    fn one_that_answers_again_counts_as_quick_again() {
        let mut slots = Slots::new(4);
        slots.begin(1, id(1), at(0));
        slots.end(&1, at(3000));
        assert!(slots.slow.contains(&id(1)));
        slots.begin(2, id(1), at(3000));
        slots.end(&2, at(3100));
        assert!(!slots.slow.contains(&id(1)));
    }

    #[test]
    fn the_waiting_ones_have_an_end_too() {
        let mut slots = Slots::new(2);
        for n in 0..8 {
            slots.begin(n, id(n as i64), at(0));
        }
        assert!(!slots.may_begin(id(99), 1, at(9000)));
    }

    #[test]
    fn a_single_slot_stays_a_single_one() {
        let mut slots = Slots::new(1);
        slots.begin(1, id(1), at(0));
        assert!(!slots.may_begin(id(2), 1, at(9000)));
    }
}
