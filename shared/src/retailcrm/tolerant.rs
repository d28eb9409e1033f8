//! Reading RetailCRM's JSON, in which types are a matter of mood
//! (protocols/retailcrm.md#looseness): numbers as texts, empty maps as lists, three ways to say
//! «nothing».
//!
//! Everything is read from a parsed [`Value`], never straight into a struct: numbers keep
//! their decimal text, and an error names the place and not the (personal) value.

use std::collections::BTreeMap;
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Time};
use rust_decimal::Decimal;
use serde::{Serialize, Serializer};
use serde_json::{Map, Number, Value};

use crate::domain::{Grams, Kopecks, Millimetres};

/// A value that could not be understood: where it stood and what should have been there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {wanted} expected")]
pub struct Misread {
    /// `order.items[0].quantity`
    pub path: String,
    pub wanted: &'static str,
}

/// A rate of value-added tax as RetailCRM writes it: `"none"`, `"20.00"`, `20`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum VatRate {
    /// Nothing was said.
    #[default]
    Absent,
    /// «Без НДС».
    None,
    Percent(u8),
}

/// The outcome of reading one value: nothing there, a value, or what was expected.
pub(crate) type Scalar<T> = Result<Option<T>, &'static str>;

pub(crate) fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        _ => false,
    }
}

/// A text; numbers are taken as they are written.
pub(crate) fn text(value: &Value) -> Scalar<String> {
    match value {
        Value::String(text) => Ok((!text.trim().is_empty()).then(|| text.clone())),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Null => Ok(None),
        Value::Array(list) if list.is_empty() => Ok(None),
        _ => Err("a text"),
    }
}

/// The decimal text of a number or of a text.
fn number_text(value: &Value) -> Result<Option<String>, ()> {
    match value {
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Null => Ok(None),
        _ => Err(()),
    }
}

pub(crate) fn decimal(value: &Value) -> Scalar<Decimal> {
    const WANTED: &str = "a number";
    let Some(text) = number_text(value).map_err(|()| WANTED)? else { return Ok(None) };
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).map(|c| if c == ',' { '.' } else { c }).collect();
    let decimal = if compact.contains(['e', 'E']) {
        Decimal::from_scientific(&compact)
    } else if compact.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+')) {
        Decimal::from_str(&compact)
    } else {
        return Err(WANTED);
    };
    decimal.map(Some).map_err(|_| WANTED)
}

/// A sum of money, rounded to whole kopecks.
pub(crate) fn money(value: &Value) -> Scalar<Kopecks> {
    const WANTED: &str = "a sum of money";
    let Some(text) = number_text(value).map_err(|()| WANTED)? else { return Ok(None) };
    Kopecks::parse(&text).map(Some).map_err(|_| WANTED)
}

pub(crate) fn integer(value: &Value) -> Scalar<i64> {
    const WANTED: &str = "a whole number";
    let Some(text) = number_text(value).map_err(|()| WANTED)? else { return Ok(None) };
    if let Ok(number) = text.trim().parse() {
        return Ok(Some(number));
    }
    // `4817.0`
    let decimal = decimal(value).map_err(|_| WANTED)?.ok_or(WANTED)?;
    if !decimal.is_integer() {
        return Err(WANTED);
    }
    i64::try_from(decimal).map(Some).map_err(|_| WANTED)
}

pub(crate) fn flag(value: &Value) -> Scalar<bool> {
    match value {
        Value::Bool(flag) => Ok(Some(*flag)),
        Value::Null => Ok(None),
        Value::Number(number) if number.to_string() == "1" => Ok(Some(true)),
        Value::Number(number) if number.to_string() == "0" => Ok(Some(false)),
        Value::String(text) => match text.trim() {
            "" => Ok(None),
            "1" | "true" => Ok(Some(true)),
            "0" | "false" => Ok(Some(false)),
            _ => Err("a flag"),
        },
        _ => Err("a flag"),
    }
}

/// A weight in grams; zero means unknown (protocols/retailcrm.md#order).
pub(crate) fn grams(value: &Value) -> Scalar<Grams> {
    let Some(number) = decimal(value).map_err(|_| "a weight in grams")? else { return Ok(None) };
    let grams = Grams::from_decimal(number).ok_or("a weight in grams")?;
    Ok((grams.0 > 0).then_some(grams))
}

/// A length in millimetres; zero means unknown.
pub(crate) fn millimetres(value: &Value) -> Scalar<Millimetres> {
    let Some(number) = decimal(value).map_err(|_| "a length in millimetres")? else { return Ok(None) };
    let length = Millimetres::from_decimal(number).ok_or("a length in millimetres")?;
    Ok((length.0 > 0).then_some(length))
}

/// [`VatRate::Absent`] is never returned: nothing is `None` here too.
pub(crate) fn vat(value: &Value) -> Scalar<VatRate> {
    const WANTED: &str = "a VAT rate";
    if let Value::String(text) = value
        && text.trim().eq_ignore_ascii_case("none")
    {
        return Ok(Some(VatRate::None));
    }
    let Some(rate) = decimal(value).map_err(|_| WANTED)? else { return Ok(None) };
    if !rate.is_integer() {
        return Err(WANTED);
    }
    match u8::try_from(rate) {
        Ok(percent) if percent <= 100 => Ok(Some(VatRate::Percent(percent))),
        _ => Err(WANTED),
    }
}

/// `Y-m-d`; a date-time is cut down to its date. PHP's zero date is nothing.
pub(crate) fn date(value: &Value) -> Scalar<Date> {
    const WANTED: &str = "a date";
    let Some(text) = text(value).map_err(|_| WANTED)? else { return Ok(None) };
    let text = text.trim();
    if text.starts_with("0000-00-00") {
        return Ok(None);
    }
    match text.get(..10) {
        Some(day) if text.len() == 10 || text[10..].starts_with([' ', 'T']) => {
            day.parse().map(Some).map_err(|_| WANTED)
        }
        _ => Err(WANTED),
    }
}

/// `Y-m-d H:i:s`, no zone: the account's local time (protocols/retailcrm.md#formats).
pub(crate) fn datetime(value: &Value) -> Scalar<DateTime> {
    const WANTED: &str = "a date and time";
    let Some(text) = text(value).map_err(|_| WANTED)? else { return Ok(None) };
    let text = text.trim();
    if text.starts_with("0000-00-00") {
        return Ok(None);
    }
    let local = text.get(..19).unwrap_or(text);
    local.parse().map(Some).map_err(|_| WANTED)
}

/// `H:i`, also with seconds. Midnight at the end of a day (`24:00`) becomes `23:59`.
pub(crate) fn time(value: &Value) -> Scalar<Time> {
    const WANTED: &str = "a time of day";
    let Some(text) = text(value).map_err(|_| WANTED)? else { return Ok(None) };
    let mut parts = text.trim().split(':');
    let mut next = || parts.next().map(|part| part.parse::<i8>().map_err(|_| WANTED));
    let hour = next().ok_or(WANTED)??;
    let minute = next().ok_or(WANTED)??;
    let second = next().transpose()?.unwrap_or(0);
    if parts.next().is_some() {
        return Err(WANTED);
    }
    if (hour, minute, second) == (24, 0, 0) {
        return Ok(Some(Time::constant(23, 59, 0, 0)));
    }
    Time::new(hour, minute, second, 0).map(Some).map_err(|_| WANTED)
}

/// One element of a collection, with its place.
pub(crate) struct Node<'a> {
    pub(crate) path: String,
    /// The key when the collection was a map.
    pub(crate) key: Option<&'a str>,
    pub(crate) value: &'a Value,
}

impl<'a> Node<'a> {
    pub(crate) fn root(path: &str, value: &'a Value) -> Self {
        Self { path: path.to_owned(), key: None, value }
    }

    /// The node as an object; nothing and the empty list are an empty object.
    pub(crate) fn fields(&self) -> Result<Fields<'a>, Misread> {
        let map = match self.value {
            Value::Object(map) => Some(map),
            Value::Array(list) if list.is_empty() => None,
            value if is_blank(value) => None,
            _ => return Err(self.misread("an object")),
        };
        Ok(Fields { path: self.path.clone(), key: self.key, map })
    }

    /// The node as what reads itself from an object.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Fields<'a>) -> Result<T, Misread>) -> Result<T, Misread> {
        read(&self.fields()?)
    }

    pub(crate) fn scalar<T>(&self, read: fn(&Value) -> Scalar<T>) -> Result<Option<T>, Misread> {
        read(self.value).map_err(|wanted| self.misread(wanted))
    }

    /// The elements of a list or the values of a map; nothing is no elements.
    pub(crate) fn elements(&self) -> Result<Vec<Node<'a>>, Misread> {
        Ok(match self.value {
            Value::Array(list) => list
                .iter()
                .enumerate()
                .map(|(index, value)| Node { path: format!("{}[{index}]", self.path), key: None, value })
                .collect(),
            Value::Object(map) => map
                .iter()
                .map(|(key, value)| Node { path: format!("{}[{key}]", self.path), key: Some(key), value })
                .collect(),
            value if is_blank(value) => Vec::new(),
            _ => return Err(self.misread("a list")),
        })
    }

    pub(crate) fn misread(&self, wanted: &'static str) -> Misread {
        Misread { path: self.path.clone(), wanted }
    }
}

/// A JSON object with its place in the document.
pub(crate) struct Fields<'a> {
    path: String,
    /// The key when it stands in a map.
    pub(crate) key: Option<&'a str>,
    map: Option<&'a Map<String, Value>>,
}

impl<'a> Fields<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.map.is_none_or(Map::is_empty)
    }

    pub(crate) fn node(&self, name: &str) -> Option<Node<'a>> {
        let value = self.map?.get(name)?;
        Some(Node { path: format!("{}.{name}", self.path), key: None, value })
    }

    pub(crate) fn get<T>(&self, name: &str, read: fn(&Value) -> Scalar<T>) -> Result<Option<T>, Misread> {
        self.node(name).map_or(Ok(None), |node| node.scalar(read))
    }

    /// What is of no consequence: unreadable is as good as absent.
    pub(crate) fn lax<T>(&self, name: &str, read: fn(&Value) -> Scalar<T>) -> Option<T> {
        self.get(name, read).unwrap_or(None)
    }

    pub(crate) fn need<T>(&self, name: &str, read: fn(&Value) -> Scalar<T>) -> Result<T, Misread> {
        self.get(name, read)?.ok_or_else(|| self.missing(name))
    }

    pub(crate) fn missing(&self, name: &str) -> Misread {
        Misread { path: format!("{}.{name}", self.path), wanted: "a value" }
    }

    /// A nested object; nothing and the empty list are `None`.
    pub(crate) fn object(&self, name: &str) -> Result<Option<Fields<'a>>, Misread> {
        let Some(node) = self.node(name) else { return Ok(None) };
        let fields = node.fields()?;
        Ok(fields.map.is_some().then_some(fields))
    }

    /// A nested object, read; nothing and the empty list are `None`.
    pub(crate) fn nested<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Fields<'a>) -> Result<T, Misread>,
    ) -> Result<Option<T>, Misread> {
        self.object(name)?.map(|fields| read(&fields)).transpose()
    }

    /// The code of an element: its own field, else its key in the map.
    pub(crate) fn code(&self, name: &str) -> Result<String, Misread> {
        self.get(name, text)?.or_else(|| self.key.map(str::to_owned)).ok_or_else(|| self.missing(name))
    }

    pub(crate) fn elements(&self, name: &str) -> Result<Vec<Node<'a>>, Misread> {
        self.node(name).map_or_else(|| Ok(Vec::new()), |node| node.elements())
    }

    /// Reads every element of a list or map.
    pub(crate) fn each<T>(
        &self,
        name: &str,
        read: impl Fn(&Node<'a>) -> Result<T, Misread>,
    ) -> Result<Vec<T>, Misread> {
        self.elements(name)?.iter().map(read).collect()
    }

    /// Reads every element of a list or map, each an object.
    pub(crate) fn all<T>(
        &self,
        name: &str,
        read: impl Fn(&Fields<'a>) -> Result<T, Misread>,
    ) -> Result<Vec<T>, Misread> {
        self.each(name, |node| node.read(&read))
    }

    /// Reads every element of a list or map that says something.
    pub(crate) fn some<T>(
        &self,
        name: &str,
        read: impl Fn(&Node<'a>) -> Result<Option<T>, Misread>,
    ) -> Result<Vec<T>, Misread> {
        Ok(self.each(name, read)?.into_iter().flatten().collect())
    }

    /// A list of texts; blank ones are left out.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<String>, Misread> {
        self.some(name, |node| node.scalar(text))
    }

    /// A map code → value. A list of `{code, value}` is understood too
    /// (protocols/retailcrm.md#save).
    pub(crate) fn extra(&self, name: &str) -> Result<BTreeMap<String, Value>, Misread> {
        let mut map = BTreeMap::new();
        for node in self.elements(name)? {
            match node.key {
                Some(key) => {
                    map.insert(key.to_owned(), node.value.clone());
                }
                None => {
                    let fields = node.fields()?;
                    let code = fields.need("code", text)?;
                    let value = fields.node("value").map_or(Value::Null, |value| value.value.clone());
                    map.insert(code, value);
                }
            }
        }
        Ok(map)
    }
}

/// A sum as an exact JSON number without trailing zeros.
pub fn money_number(sum: Kopecks) -> Value {
    decimal_number(sum.to_decimal())
}

pub(crate) fn decimal_number(decimal: Decimal) -> Value {
    let text = decimal.normalize().to_string();
    Number::from_str(&text).map_or(Value::String(text), Value::Number)
}

/// `serialize_with` for an optional sum.
pub(crate) fn write_sum<S: Serializer>(sum: &Option<Kopecks>, serializer: S) -> Result<S::Ok, S::Error> {
    sum.map(money_number).serialize(serializer)
}

/// `serialize_with` for an optional local date-time, `Y-m-d H:i:s`.
pub(crate) fn write_datetime<S: Serializer>(at: &Option<DateTime>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(format_datetime).serialize(serializer)
}

/// `Y-m-d H:i:s`
pub fn format_datetime(at: DateTime) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `H:i`
pub(crate) fn write_time<S: Serializer>(at: &Option<Time>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(|at| format!("{:02}:{:02}", at.hour(), at.minute())).serialize(serializer)
}

/// A struct and, beside each field, how it is read from a JSON object.
macro_rules! object {
    ($($(#[$meta:meta])* pub struct $name:ident($object:ident) {
        $($(#[$field_meta:meta])* pub $field:ident: $kind:ty = $read:expr,)+
    })+) => {$(
        $(#[$meta])*
        pub struct $name { $($(#[$field_meta])* pub $field: $kind,)+ }

        impl $name {
            #[allow(clippy::unnecessary_wraps, reason = "all are read alike, also those in which nothing can be wrong")]
            pub(crate) fn read(
                $object: &$crate::retailcrm::tolerant::Fields<'_>,
            ) -> Result<Self, $crate::retailcrm::tolerant::Misread> {
                Ok(Self { $($field: $read,)+ })
            }
        }
    )+};
}
pub(crate) use object;

/// Gives a type that reads itself from an object the usual `Deserialize`.
macro_rules! deserialize_through_value {
    ($($name:ident),+ $(,)?) => {$(
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = <serde_json::Value as serde::Deserialize>::deserialize(deserializer)?;
                $crate::retailcrm::tolerant::Node::root(stringify!($name), &value)
                    .read(Self::read)
                    .map_err(serde::de::Error::custom)
            }
        }
    )+};
}
pub(crate) use deserialize_through_value;

#[cfg(test)]
mod tests;
