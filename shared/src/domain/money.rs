//! Money in integer kopecks, with a decimal only at the edges. No float ever holds a sum.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub};

use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

/// A sum of money in kopecks (1/100 of the account's currency). May be negative
/// (prepayment lines are).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kopecks(pub i64);

/// The text was no sum of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a sum of money")]
pub struct NotMoney;

impl Kopecks {
    pub const ZERO: Self = Self(0);

    /// Whole roubles.
    pub const fn roubles(roubles: i64) -> Self {
        Self(roubles * 100)
    }

    /// Reads what people and vendors write: a dot or a comma, any spaces, a sign.
    /// More than two decimals are rounded half away from zero.
    ///
    /// # Errors
    /// [`NotMoney`] when the text is empty, no number, or does not fit.
    pub fn parse(text: &str) -> Result<Self, NotMoney> {
        let compact: String = text
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '\u{a0}' && *c != '\u{202f}')
            .map(|c| if c == ',' { '.' } else { c })
            .collect();
        if compact.is_empty() || compact.matches('.').count() > 1 {
            return Err(NotMoney);
        }
        let decimal = if compact.contains(['e', 'E']) {
            Decimal::from_scientific(&compact).map_err(|_| NotMoney)?
        } else {
            if !compact.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+')) {
                return Err(NotMoney);
            }
            compact.parse::<Decimal>().map_err(|_| NotMoney)?
        };
        Self::from_decimal(decimal).ok_or(NotMoney)
    }

    /// Rounds half away from zero; `None` when out of range.
    pub fn from_decimal(decimal: Decimal) -> Option<Self> {
        decimal
            .checked_mul(Decimal::ONE_HUNDRED)?
            .round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero)
            .to_i64()
            .map(Self)
    }

    pub fn to_decimal(self) -> Decimal {
        Decimal::new(self.0, 2)
    }

    /// `self × quantity`, rounded half away from zero to whole kopecks.
    /// `None` when out of range.
    pub fn times(self, quantity: Decimal) -> Option<Self> {
        Self::from_decimal(self.to_decimal().checked_mul(quantity)?)
    }

    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    pub fn clamp_at_zero(self) -> Self {
        Self(self.0.max(0))
    }

    /// Checked addition for sums over vendors' data.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
}

/// `1234.50`: the form both vendors read, always two decimals and a dot.
impl fmt::Display for Kopecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let abs = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", abs / 100, abs % 100)
    }
}

impl Add for Kopecks {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Kopecks {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Kopecks {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Neg for Kopecks {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl Sum for Kopecks {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_and_vendors_write() {
        for (text, kopecks) in [
            ("3790", 379_000),
            ("3790.5", 379_050),
            ("3 790,50", 379_050),
            ("3\u{a0}790,5", 379_050),
            ("0", 0),
            ("-400.00", -40_000),
            ("60.17310053999999", 6_017),
            ("0.005", 1),
            ("1e3", 100_000),
            (".5", 50),
        ] {
            assert_eq!(Kopecks::parse(text), Ok(Kopecks(kopecks)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_sum() {
        for text in ["", " ", "abc", "1.2.3", "1,2,3", "12р", "0x10", "--1", "1_000", "999999999999999999999"] {
            assert_eq!(Kopecks::parse(text), Err(NotMoney), "{text}");
        }
    }

    #[test]
    fn prints_two_decimals_and_keeps_the_sign_of_small_negatives() {
        assert_eq!(Kopecks(-5).to_string(), "-0.05");
        assert_eq!(Kopecks(123_450).to_string(), "1234.50");
    }

    #[test]
    fn a_fractional_quantity_is_rounded_to_whole_kopecks() {
        let quantity: Decimal = "0.333".parse().expect("decimal");
        assert_eq!(Kopecks(10_000).times(quantity), Some(Kopecks(3_330)));
    }
}
