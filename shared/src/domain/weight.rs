//! Weights in grams and lengths in millimetres, as RetailCRM gives them
//! (protocols/retailcrm.md#formats). MeaSoft wants kilograms and centimetres.

use std::fmt;

use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

/// A weight in whole grams, zero or more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Grams(pub u32);

impl Grams {
    /// Rounds a fractional number of grams up, so that nothing weighs zero by rounding;
    /// `None` for negative or absurd values.
    pub fn from_decimal(grams: Decimal) -> Option<Self> {
        grams.round_dp_with_strategy(0, RoundingStrategy::AwayFromZero).to_u32().map(Self)
    }

    /// Kilograms with three decimals at most and no trailing zeros: `1.4`.
    pub fn kilograms(self) -> String {
        Decimal::new(i64::from(self.0), 3).normalize().to_string()
    }
}

impl fmt::Display for Grams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} g", self.0)
    }
}

/// A length in whole millimetres.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millimetres(pub u32);

impl Millimetres {
    pub fn from_decimal(mm: Decimal) -> Option<Self> {
        mm.round_dp_with_strategy(0, RoundingStrategy::AwayFromZero).to_u32().map(Self)
    }

    /// Whole centimetres, rounded up: a box must not become smaller on paper.
    pub fn centimetres(self) -> u32 {
        self.0.div_ceil(10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grams_become_kilograms_without_trailing_zeros() {
        assert_eq!(Grams(1400).kilograms(), "1.4");
        assert_eq!(Grams(5).kilograms(), "0.005");
        assert_eq!(Grams(2000).kilograms(), "2");
        assert_eq!(Grams(0).kilograms(), "0");
    }

    #[test]
    fn boxes_do_not_shrink() {
        assert_eq!(Millimetres(361).centimetres(), 37);
        assert_eq!(Millimetres(360).centimetres(), 36);
    }

    #[test]
    fn negative_weights_are_refused() {
        assert_eq!(Grams::from_decimal(Decimal::new(-1, 0)), None);
        assert_eq!(Grams::from_decimal(Decimal::new(5, 1)), Some(Grams(1)));
    }
}
