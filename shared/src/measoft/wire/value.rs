//! Formats of single values in answers (protocols/measoft.md#envelope). Empty means "not given";
//! a value that is there and unreadable is an error, never a zero.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::domain::{Grams, Kopecks};
use crate::measoft::wire::element::Element;

/// A value that is present but cannot be read. The text itself is not kept: it may be
/// personal data in the wrong place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("«{field}» is not {expected}")]
pub struct BadValue {
    pub field: &'static str,
    pub expected: &'static str,
}

pub(crate) fn money(text: Option<&str>, field: &'static str) -> Result<Option<Kopecks>, BadValue> {
    text.map(Kopecks::parse).transpose().map_err(|_| BadValue { field, expected: "a sum of money" })
}

/// A decimal number of kilograms.
pub(crate) fn kilograms(text: Option<&str>, field: &'static str) -> Result<Option<Grams>, BadValue> {
    let bad = BadValue { field, expected: "a weight" };
    let Some(text) = text else { return Ok(None) };
    let kilograms: Decimal = text.replace(',', ".").parse().map_err(|_| bad.clone())?;
    let grams = kilograms.checked_mul(Decimal::ONE_THOUSAND).and_then(Grams::from_decimal);
    grams.map(Some).ok_or(bad)
}

/// A count: `2`, also written `2.000`.
pub(crate) fn count(text: Option<&str>, field: &'static str) -> Result<Option<u32>, BadValue> {
    let bad = BadValue { field, expected: "a whole number" };
    let Some(text) = text else { return Ok(None) };
    let number: Decimal = text.parse().map_err(|_| bad.clone())?;
    if !number.is_integer() {
        return Err(bad);
    }
    number.to_u32().map(Some).ok_or(bad)
}

/// `YYYY-MM-DD HH:MM:SS` in GMT. The database's zero date counts as not given.
pub(crate) fn moment_gmt(text: Option<&str>, field: &'static str) -> Result<Option<jiff::Timestamp>, BadValue> {
    let bad = BadValue { field, expected: "a moment" };
    let Some(text) = text.filter(|text| !text.starts_with("0000-00-00")) else { return Ok(None) };
    let moment: DateTime = text.parse().map_err(|_| bad.clone())?;
    TimeZone::UTC.to_timestamp(moment).map(Some).map_err(|_| bad)
}

/// A date or time as text, without the database's zero date.
pub(crate) fn date_text(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.starts_with("0000-00-00")).map(str::to_owned)
}

/// `YES` / `NO`; anything else is unknown.
pub(crate) fn yes_no(text: Option<&str>) -> Option<bool> {
    match text {
        Some("YES") => Some(true),
        Some("NO") => Some(false),
        _ => None,
    }
}

/// Code and texts of an `error`/`errormsg`/`errormsgru` triple. `None` when there is no
/// `error` attribute.
pub(crate) fn error_code(element: &Element) -> Option<i64> {
    element.attribute("error").map(|code| code.parse().unwrap_or(crate::measoft::class::UNREADABLE_CODE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_or_refused_but_never_guessed() {
        assert_eq!(money(None, "price"), Ok(None));
        assert_eq!(money(Some("540.5"), "price"), Ok(Some(Kopecks(54_050))));
        assert!(money(Some("много"), "price").is_err());
        assert_eq!(kilograms(Some("0.3"), "weight"), Ok(Some(Grams(300))));
        assert!(kilograms(Some("-1"), "weight").is_err());
        assert!(kilograms(Some("79228162514264337593543950335"), "weight").is_err());
        assert_eq!(count(Some("2.000"), "quantity"), Ok(Some(2)));
        assert!(count(Some("0.5"), "quantity").is_err());
        assert!(count(Some("-1"), "quantity").is_err());
    }

    #[test]
    fn moments_are_read_as_gmt_and_the_zero_date_is_nothing() {
        let moment = moment_gmt(Some("2026-09-02 12:41:12"), "createtimegmt").expect("read").expect("given");
        assert_eq!(moment.to_string(), "2026-09-02T12:41:12Z");
        assert_eq!(moment_gmt(Some("0000-00-00 00:00:00"), "createtimegmt"), Ok(None));
        assert!(moment_gmt(Some("вчера"), "createtimegmt").is_err());
    }
}
