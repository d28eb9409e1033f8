//! Moments as the operator reads them: in the installation's zone, which is named beside them.
//! Programs get them in UTC.

use jiff::Timestamp;
use jiff::tz::TimeZone;

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
