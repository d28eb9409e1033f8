//! Moments as the operator reads them: in the installation's zone, which is named beside them.
//! Programs get them in UTC.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use shared::domain::Language;

use crate::seen::words::of;

/// To the second.
pub fn second(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// To the millisecond, for what follows one another at once.
pub fn millisecond(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

/// What the zone is called, for a heading.
pub fn name(zone: &TimeZone) -> String {
    match zone.iana_name() {
        Some(name) => name.to_owned(),
        None => zone.to_offset(Timestamp::UNIX_EPOCH).to_string(),
    }
}

/// How long ago, in its largest unit.
pub fn age(at: Timestamp, now: Timestamp, language: Language) -> String {
    let seconds = now.duration_since(at).as_secs().max(0);
    let (number, unit) = match seconds {
        0..60 => (seconds, of(language, "с", "s")),
        60..3600 => (seconds / 60, of(language, "мин", "min")),
        3600..172_800 => (seconds / 3600, of(language, "ч", "h")),
        _ => (seconds / 86_400, of(language, "д", "d")),
    };
    format!("{number} {unit}")
}

/// How long something takes, in its largest unit.
pub fn span(span: Duration, language: Language) -> String {
    let from = Timestamp::UNIX_EPOCH;
    age(from, shared::clock::later(from, span), language)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        let now = Timestamp::from_second(1_000_000).expect("a moment");
        let told =
            |seconds: i64, language| age(Timestamp::from_second(1_000_000 - seconds).expect("a moment"), now, language);
        for (seconds, ru, en) in [
            (-5, "0 с", "0 s"),
            (59, "59 с", "59 s"),
            (61, "1 мин", "1 min"),
            (7300, "2 ч", "2 h"),
            (172_800, "2 д", "2 d"),
        ] {
            assert_eq!((told(seconds, Language::Ru).as_str(), told(seconds, Language::En).as_str()), (ru, en));
        }
    }
}
