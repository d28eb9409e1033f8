//! Choices behind made-up documents: numbers that proptest makes and shrinks. What is not there is
//! zero, so the plainest choice stands first.

use proptest::prelude::*;

pub(crate) struct Dice(std::vec::IntoIter<u16>);

impl Dice {
    pub(crate) fn throws() -> impl Strategy<Value = Vec<u16>> {
        prop::collection::vec(any::<u16>(), 0..600)
    }

    pub(crate) fn of(throws: Vec<u16>) -> Self {
        Self(throws.into_iter())
    }

    pub(crate) fn below(&mut self, count: usize) -> usize {
        usize::from(self.0.next().unwrap_or(0)) % count.max(1)
    }

    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) + 1 == count
    }

    pub(crate) fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    pub(crate) fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            // Zero leaves the order as it is.
            all.swap(last, last - self.below(last + 1));
        }
    }
}
