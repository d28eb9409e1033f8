//! Token buckets, one for each of many.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Buckets remembered.
const MANY: usize = 10_000;

/// How often each may do a thing: so many at once, and so many per second in the long run.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    burst: f64,
    per_second: f64,
    all: Mutex<HashMap<K, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl<K: Eq + Hash> Buckets<K> {
    pub(crate) fn new(burst: f64, per_second: f64) -> Self {
        Self { burst, per_second, all: Mutex::default() }
    }

    /// Counts once more. False when this one has had its share.
    pub(crate) fn allow_at(&self, whose: K, now: Instant) -> bool {
        let refilled = |bucket: &Bucket| {
            (bucket.left + now.saturating_duration_since(bucket.at).as_secs_f64() * self.per_second).min(self.burst)
        };
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MANY {
            all.retain(|_, bucket| refilled(bucket) < self.burst);
            if all.len() >= MANY {
                // Many at once: forgetting is kinder than growing.
                all.clear();
            }
        }
        let bucket = all.entry(whose).or_insert(Bucket { left: self.burst, at: now });
        let left = refilled(bucket);
        let allowed = left >= 1.0;
        *bucket = Bucket { left: if allowed { left - 1.0 } else { left }, at: now };
        allowed
    }

    #[cfg(test)]
    pub(crate) fn remembered(&self) -> usize {
        self.all.lock().expect("not poisoned").len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_asks_a_thousand_times_a_second_takes_nothing_from_others() {
        let buckets = Buckets::new(60.0, 10.0);
        let start = Instant::now();
        let allowed = (0..10_000).filter(|ms| buckets.allow_at(1, start + Duration::from_millis(*ms))).count();
        assert_eq!(allowed, 60 + 99, "the burst, and what ten seconds give");
        assert!(buckets.allow_at(2, start + Duration::from_secs(10)));
    }

    #[test]
    fn memory_is_bounded() {
        let buckets = Buckets::new(2.0, 1.0);
        let now = Instant::now();
        for n in 0..30_000 {
            buckets.allow_at(n, now);
        }
        assert!(buckets.remembered() <= MANY);
    }
}
