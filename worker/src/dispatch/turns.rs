//! Whose turn it is among integrations that are due. Pure.

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;
use shared::domain::IntegrationId;

use crate::hint::Hint;

/// Who is due, in turn.
#[derive(Debug, Default)]
pub struct Turns {
    due: HashMap<IntegrationId, Timestamp>,
    order: VecDeque<IntegrationId>,
}

impl Turns {
    pub fn hint(&mut self, hint: Hint) {
        let due = self.due.entry(hint.integration).or_insert(hint.due_at);
        *due = (*due).min(hint.due_at);
        if !self.order.contains(&hint.integration) {
            self.order.push_back(hint.integration);
        }
    }

    /// The next integration in turn that is due and may; it goes to the end.
    pub fn next(&mut self, now: Timestamp, mut may: impl FnMut(IntegrationId) -> bool) -> Option<IntegrationId> {
        for _ in 0..self.order.len() {
            let id = self.order.pop_front()?;
            self.order.push_back(id);
            let due = self.due.get(&id).is_some_and(|due| *due <= now);
            if due && may(id) {
                return Some(id);
            }
        }
        None
    }

    /// Nothing of it is due until somebody says so.
    pub fn rest(&mut self, id: IntegrationId) {
        self.due.remove(&id);
        self.order.retain(|other| *other != id);
    }

    /// When the next one is due that is not due yet.
    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        self.due.values().copied().filter(|due| *due > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).expect("moment")
    }

    fn hint(turns: &mut Turns, id: i64, ms: i64) {
        turns.hint(Hint { integration: IntegrationId(id), due_at: at(ms) });
    }

    #[test]
    fn integrations_take_turns() {
        let mut turns = Turns::default();
        for id in 1..=3 {
            hint(&mut turns, id, 0);
        }
        let order: Vec<i64> = (0..6).filter_map(|_| turns.next(at(1), |_| true)).map(|id| id.0).collect();
        assert_eq!(order, [1, 2, 3, 1, 2, 3]);
    }

    #[test]
    fn what_is_not_due_waits_and_the_earliest_hint_counts() {
        let mut turns = Turns::default();
        hint(&mut turns, 1, 500);
        hint(&mut turns, 1, 900);
        assert_eq!(turns.next(at(499), |_| true), None);
        assert_eq!(turns.next_due(at(499)), Some(at(500)));
        assert_eq!(turns.next(at(500), |_| true), Some(IntegrationId(1)));
        turns.rest(IntegrationId(1));
        assert_eq!(turns.next(at(500), |_| true), None);
    }
}
