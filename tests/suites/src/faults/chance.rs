//! Chance that comes out the same for the same seed.

use std::ops::Range;
use std::time::Duration;

use simulators::faults::SplitMix;

/// A series of decisions.
pub struct Chance(SplitMix);

impl Chance {
    /// The series number `of` under a seed: independent of what others draw from theirs.
    pub fn new(seed: u64, of: u64) -> Self {
        let mut series = SplitMix(seed.wrapping_mul(0xD6E8_FEB8_6659_FD93) ^ of.wrapping_mul(0xA076_1D64_78BD_642F));
        // Neighbouring seeds begin alike.
        series.draw();
        Self(series)
    }

    /// A number of the range.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.0.draw() % (range.end - range.start).max(1)
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, share: u64) -> bool {
        self.within(0..100) < share
    }

    /// A time of so many milliseconds.
    pub fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }

    /// These in another order.
    pub fn shuffled<T>(&mut self, mut these: Vec<T>) -> Vec<T> {
        for place in (1..these.len()).rev() {
            these.swap(place, usize::try_from(self.within(0..place as u64 + 1)).unwrap_or(0));
        }
        these
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_another_differs() {
        let series = |seed, of| {
            let mut chance = Chance::new(seed, of);
            (0..50).map(|_| chance.within(3..1000)).collect::<Vec<_>>()
        };
        assert_eq!(series(1, 2), series(1, 2));
        assert_ne!(series(1, 2), series(2, 2));
        assert_ne!(series(1, 2), series(1, 3));
        assert!(series(1, 2).iter().all(|n| (3..1000).contains(n)));
        let mut shuffled = Chance::new(5, 5).shuffled((0..20).collect());
        assert_ne!(shuffled, (0..20).collect::<Vec<_>>());
        shuffled.sort_unstable();
        assert_eq!(shuffled, (0..20).collect::<Vec<_>>());
    }
}
