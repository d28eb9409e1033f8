//! The simulator's own reading and writing of the CRM's wire forms: bracketed form parameters, money, dates.
//!
//! Nothing here is shared with the product, so that one mistake cannot be made on both sides of the socket.

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Map, Value};

/// Fields of a query string or of an urlencoded body, in the order they came.
#[derive(Default, Clone)]
pub struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    /// Adds the fields of `encoded` (`a=1&b%5B%5D=2`).
    pub fn extend(&mut self, encoded: &[u8]) {
        self.pairs.extend(url::form_urlencoded::parse(encoded).into_owned());
    }

    /// The last value of the field called exactly `name`, as PHP would keep it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of `name[]`, `name[0]`, `name[any]`.
    pub fn list(&self, name: &str) -> Vec<&str> {
        let inside = |key: &str| {
            key.strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('['))
                .and_then(|rest| rest.strip_suffix(']'))
                .is_some_and(|index| !index.contains(['[', ']']))
        };
        self.pairs.iter().filter(|(key, _)| inside(key)).map(|(_, value)| value.as_str()).collect()
    }

    /// The names used as `filter[NAME]…`, each once.
    pub fn filter_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for (key, _) in &self.pairs {
            let name = key.strip_prefix("filter[").and_then(|rest| rest.split(']').next());
            if let Some(name) = name
                && !names.contains(&name)
            {
                names.push(name);
            }
        }
        names
    }
}

/// An urlencoded body of `fields`.
pub fn urlencode(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// How the answers write money (protocols/retailcrm.md#formats: numbers, whole numbers and, in old
/// installations, strings).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Numbers {
    /// `1000`, `312.5`.
    #[default]
    Usual,
    /// By order: usual, always two decimals (`1000.00`), or strings (`"1000.00"`); unit prices with float noise.
    Mixed,
}

/// One order's way of writing money.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum MoneyStyle {
    /// As short as the value allows.
    Short,
    /// Two decimals always.
    TwoDecimals,
    /// Two decimals inside a JSON string.
    Text,
}

impl Numbers {
    /// The style of the order with this internal id.
    pub fn style_of(self, order_id: i64) -> MoneyStyle {
        match (self, order_id.rem_euclid(3)) {
            (Numbers::Usual, _) | (Numbers::Mixed, 0) => MoneyStyle::Short,
            (Numbers::Mixed, 1) => MoneyStyle::TwoDecimals,
            (Numbers::Mixed, _) => MoneyStyle::Text,
        }
    }
}

/// Kopecks as the shortest rouble text: `312.5`, `1000`, `-0.05`.
pub fn roubles(kopecks: i64) -> String {
    Decimal::new(kopecks, 2).normalize().to_string()
}

/// Kopecks as roubles with two decimals.
pub fn roubles_two(kopecks: i64) -> String {
    Decimal::new(kopecks, 2).to_string()
}

/// A JSON number spelled exactly as `text`.
pub fn number(text: &str) -> Value {
    text.parse().map_or(Value::Null, Value::Number)
}

/// Kopecks as a JSON value in the given style.
pub fn money(kopecks: i64, style: MoneyStyle) -> Value {
    match style {
        MoneyStyle::Short => number(&roubles(kopecks)),
        MoneyStyle::TwoDecimals => number(&roubles_two(kopecks)),
        MoneyStyle::Text => Value::String(roubles_two(kopecks)),
    }
}

/// Thousandths as the shortest JSON number: `2`, `0.75`.
pub fn quantity(milli: i64) -> Value {
    number(&Decimal::new(milli, 3).normalize().to_string())
}

/// A decimal from a JSON number or a text.
pub fn decimal(value: &Value) -> Option<Decimal> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => return None,
    };
    text.parse().ok().or_else(|| Decimal::from_scientific(&text).ok())
}

/// Kopecks from roubles given as a JSON number or a text; a third decimal is rounded.
pub fn read_kopecks(value: &Value) -> Option<i64> {
    (decimal(value)?.checked_mul(Decimal::ONE_HUNDRED)?).round().to_i64()
}

/// Thousandths from a JSON number or a text.
pub fn read_milli(value: &Value) -> Option<i64> {
    (decimal(value)?.checked_mul(Decimal::ONE_THOUSAND)?).round().to_i64()
}

/// A whole number from a JSON number or a text.
pub fn read_integer(value: &Value) -> Option<i64> {
    decimal(value)?.to_i64()
}

/// `Y-m-d H:i:s` in the account's zone, without an offset (protocols/retailcrm.md#formats).
pub fn local_text(at: Timestamp, zone: &TimeZone) -> String {
    zone.to_datetime(at).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Whether the text is a `Y-m-d H:i:s` DateTime.
pub fn is_date_time(text: &str) -> bool {
    text.len() == 19 && civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", text).is_ok()
}

/// Whether the text is a `Y-m-d` date.
pub fn is_date(text: &str) -> bool {
    text.len() == 10 && civil::Date::strptime("%Y-%m-%d", text).is_ok()
}

/// The moment of a tracking `updatedAt`: `Y-m-d\TH:i:sP`, whole seconds, numeric offset
/// (protocols/retailcrm.md#formats).
pub fn read_tracking_time(text: &str) -> Option<Timestamp> {
    if text.len() != 25 || text.as_bytes().get(10) != Some(&b'T') {
        return None;
    }
    Timestamp::strptime("%Y-%m-%dT%H:%M:%S%:z", text).ok()
}

/// The map, or the empty list PHP writes in place of an empty one.
pub fn map_or_empty_list(map: Map<String, Value>) -> Value {
    if map.is_empty() { Value::Array(Vec::new()) } else { Value::Object(map) }
}

/// The shell of a refusal: `{"success":false,"errorMsg":…}` with an optional `errors` member.
pub fn refusal(message: &str, errors: Option<Value>) -> Value {
    let mut body = Map::new();
    body.insert("success".into(), Value::Bool(false));
    body.insert("errorMsg".into(), message.into());
    if let Some(errors) = errors {
        body.insert("errors".into(), errors);
    }
    Value::Object(body)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn bracketed_lists_are_read_in_every_spelling() {
        let mut params = Params::default();
        params.extend(b"filter%5Bnumbers%5D%5B%5D=1234A&filter[numbers][1]=%D0%90+7&limit=20&filter[shipped]=1");
        assert_eq!(params.list("filter[numbers]"), ["1234A", "А 7"]);
        assert_eq!(params.filter_names(), ["numbers", "shipped"]);
        assert_eq!(params.get("limit"), Some("20"));
    }

    #[test]
    fn money_is_written_in_three_spellings_and_read_from_all_of_them() {
        assert_eq!(money(100_000, MoneyStyle::Short).to_string(), "1000");
        assert_eq!(money(31_250, MoneyStyle::Short).to_string(), "312.5");
        assert_eq!(money(100_000, MoneyStyle::TwoDecimals).to_string(), "1000.00");
        assert_eq!(money(100_000, MoneyStyle::Text).to_string(), "\"1000.00\"");
        for text in ["312.5", "\"312.50\"", "3.125e2"] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(read_kopecks(&value), Some(31_250), "{text}");
        }
    }

    #[test]
    fn tracking_times_need_an_offset_and_whole_seconds() {
        assert!(read_tracking_time("2024-05-18T16:42:10+03:00").is_some());
        for bad in ["2024-05-18T16:42:10Z", "2024-05-18 16:42:10+03:00", "2024-05-18T16:42:10.5+03:00", "2024-05-18"] {
            assert!(read_tracking_time(bad).is_none(), "{bad}");
        }
    }
}
