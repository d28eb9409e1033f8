//! Sample documents and wild JSON for the tests of this module.

use proptest::prelude::*;
use serde_json::Value;

/// A document of `fixtures/retailcrm`.
pub(crate) fn read(name: &str) -> Value {
    let path = format!("{}/fixtures/retailcrm/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Drops what means «nothing» (protocols/retailcrm.md#looseness), so that documents can be
/// compared.
pub(crate) fn without_nothings(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, value)| (key.clone(), without_nothings(value)))
                .filter(|(_, value)| !is_nothing(value))
                .collect(),
        ),
        Value::Array(list) => list.iter().map(without_nothings).collect(),
        other => other.clone(),
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// JSON pointers of every value in a document.
pub(crate) fn pointers(value: &Value) -> Vec<String> {
    fn walk(value: &Value, at: &str, into: &mut Vec<String>) {
        into.push(at.to_owned());
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| walk(value, &format!("{at}/{key}"), into)),
            Value::Array(list) => {
                list.iter().enumerate().for_each(|(index, value)| walk(value, &format!("{at}/{index}"), into));
            }
            _ => {}
        }
    }
    let mut into = Vec::new();
    walk(value, "", &mut into);
    into
}

/// Any JSON, with numbers as wild as the grammar lets them be.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ("-?[1-9][0-9]{0,40}", "(\\.[0-9]{1,40})?", "([eE][+-]?[0-9]{1,6})?").prop_map(
            |(whole, fraction, exponent)| {
                serde_json::from_str(&format!("{whole}{fraction}{exponent}")).expect("a JSON number")
            }
        ),
        ".{0,20}".prop_map(Value::from),
        "[0-9:.eE ,T-]{0,24}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,8}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
