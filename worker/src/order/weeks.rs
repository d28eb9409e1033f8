//! Days of creation by which MeaSoft is listed. Pure.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, ZonedDateTime};

/// Days of creation in one question to MeaSoft.
const WINDOW_DAYS: i32 = 7;
/// What is older is asked about by number only.
const HORIZON_DAYS: i32 = 60;

/// MeaSoft dates by the courier's day; ours may be another.
pub(crate) fn day(at: Timestamp) -> Date {
    ZonedDateTime::new(at, TimeZone::UTC).date()
}

/// Windows of creation dates, both ends included, no wider than a week.
pub(crate) fn windows(oldest: Date, today: Date) -> Vec<(Date, Date)> {
    let last = today.checked_add(1.day()).unwrap_or(today);
    let horizon = today.checked_sub(HORIZON_DAYS.days()).unwrap_or(today);
    let mut from = oldest.checked_sub(1.day()).unwrap_or(oldest).max(horizon);
    let mut windows = Vec::new();
    while from <= last {
        let to = from.checked_add((WINDOW_DAYS - 1).days()).unwrap_or(last).min(last);
        windows.push((from, to));
        let Ok(next) = to.checked_add(1.day()) else { break };
        from = next;
    }
    windows
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn windows_cover_every_day_once_and_are_no_wider_than_a_week() {
        let windows = windows(date(2026, 9, 1), date(2026, 9, 20));
        assert_eq!(windows.first().map(|w| w.0), Some(date(2026, 8, 31)));
        assert_eq!(windows.last().map(|w| w.1), Some(date(2026, 9, 21)));
        for (from, to) in &windows {
            assert!(from <= to && to.since(*from).expect("span").get_days() < WINDOW_DAYS);
        }
        for pair in windows.windows(2) {
            assert_eq!(pair[0].1.tomorrow().expect("day"), pair[1].0);
        }
        let first = super::windows(date(2020, 1, 1), date(2026, 9, 20)).len();
        assert!(first <= 10, "an order open for years does not ask for years: {first}");
    }
}
