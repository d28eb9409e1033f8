//! Small charts, drawn on the server.

use shared::store::last_day::{HOURS, Hours};

use crate::texts::Texts;

/// Width of an hour, and the height of the highest one.
const STEP: i64 = 5;
const HEIGHT: i64 = 28;

/// One bar: where it begins, and how high it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    pub x: i64,
    pub y: i64,
    pub height: i64,
    pub is_failure: bool,
}

/// A day by its hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    pub width: i64,
    pub height: i64,
    pub bars: Vec<Bar>,
    /// The same in words.
    pub label: String,
}

impl Day {
    /// Orders as bars, failures over them in another colour.
    pub fn of(hours: &Hours, t: &Texts) -> Self {
        let most = hours.orders.iter().chain(&hours.failures).copied().max().unwrap_or(0).max(1);
        let mut bars = Vec::new();
        for hour in 0..HOURS {
            for (count, is_failure) in [(hours.orders[hour], false), (hours.failures[hour], true)] {
                if count > 0 {
                    // One among a thousand is seen still.
                    let height = (count * HEIGHT / most).max(2);
                    let x = hour as i64 * STEP + if is_failure { STEP / 2 } else { 0 };
                    bars.push(Bar { x, y: HEIGHT - height, height, is_failure });
                }
            }
        }
        let (orders, failures): (i64, i64) = (hours.orders.iter().sum(), hours.failures.iter().sum());
        let label = format!("{} {orders}, {} {failures}", t.day_orders, t.day_failures);
        Self { width: HOURS as i64 * STEP, height: HEIGHT, bars, label }
    }
}

/// A share of a limit, in percent.
pub fn percent(used: u32, limit: u32) -> u32 {
    used.saturating_mul(100).checked_div(limit).unwrap_or(0).min(100)
}

#[cfg(test)]
mod tests {
    use shared::domain::Language;

    use super::*;

    #[test]
    fn the_highest_hour_fills_the_chart_and_the_least_is_seen() {
        let mut hours = Hours::default();
        assert!(Day::of(&hours, Texts::of(Language::En)).bars.is_empty());
        hours.orders[0] = 1000;
        hours.orders[23] = 1;
        hours.failures[23] = 500;
        let day = Day::of(&hours, Texts::of(Language::En));
        let drawn: Vec<_> = day.bars.iter().map(|bar| (bar.x, bar.y, bar.height, bar.is_failure)).collect();
        assert_eq!(drawn, [(0, 0, 28, false), (115, 26, 2, false), (117, 14, 14, true)]);
        assert_eq!(day.label, "Orders of the last day by hour: 1001, failures: 500");
        assert!(day.bars.iter().all(|bar| bar.x + STEP / 2 <= day.width && bar.y + bar.height == day.height));
    }

    #[test]
    fn a_share_is_never_more_than_all() {
        assert_eq!([percent(0, 10), percent(5, 10), percent(20, 10), percent(1, 0)], [0, 50, 100, 0]);
    }
}
