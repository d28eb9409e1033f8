//! How many requests of one integration are in hand: a shop whose courier does not answer must
//! not use up the places of all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::domain::IntegrationId;

use crate::callbacks::rpc::AT_ONCE;

/// Requests of one integration at once. More is refused at once, in words.
pub const SHARE: usize = 32;
const _: () = assert!(8 * SHARE <= AT_ONCE as usize, "eight shops whose couriers hang leave room for others");

/// Counts them; cheap to clone.
#[derive(Clone, Default)]
pub struct InHand(Arc<Mutex<HashMap<IntegrationId, usize>>>);

/// A request's place; given back when dropped.
pub struct Place {
    all: InHand,
    of: IntegrationId,
}

impl InHand {
    fn counts(&self) -> MutexGuard<'_, HashMap<IntegrationId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` when the integration has its share.
    pub fn take(&self, of: IntegrationId) -> Option<Place> {
        let mut counts = self.counts();
        let count = counts.entry(of).or_default();
        if *count >= SHARE {
            return None;
        }
        *count += 1;
        Some(Place { all: self.clone(), of })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.all.counts();
        if let Some(count) = counts.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_share_and_takes_nobody_elses() {
        let all = InHand::default();
        let held: Vec<Place> = std::iter::from_fn(|| all.take(IntegrationId(1))).collect();
        assert_eq!(held.len(), SHARE);
        assert!(all.take(IntegrationId(2)).is_some());
        drop(held);
        assert!(all.take(IntegrationId(1)).is_some());
        assert!(all.counts().is_empty(), "nothing is kept of who asks no more");
    }
}
