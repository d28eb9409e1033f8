#!/usr/bin/env bash
# What: adding `rust_decimal` with its feature for exact JSON numbers, without using it, makes
#       untouched code fail to read 3790.5 where it still reads 3790.
# Versions: serde 1.0.229, serde_json 1.0.154, rust_decimal 1.43.0 (crates.io).
# Guess before the run: it keeps more digits; types are read and numbers compared as before.
# Seen: it turns on serde_json's `arbitrary_precision` for all crates of the build. A fraction
#       inside a tagged or untagged enum or a flattened map is then a map to serde, whole numbers
#       are not. Read by way of `Value` it works. Equality becomes that of texts: 1.0 is not 1.00.
# For whom: whoever has such types for RetailCRM's JSON and adds exact money later: tests with whole
#       sums pass, the first order with kopecks is refused; comparing documents shows false changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "run"
version = "0.0.0"
edition = "2021"
[features]
exact = ["dep:rust_decimal"]
[dependencies]
serde = { version = "=1.0.229", features = ["derive"] }
serde_json = "=1.0.154"
[dependencies.rust_decimal]
version = "=1.43.0"
optional = true
features = ["serde-with-arbitrary-precision"]
TOML
cat >"$folder/src/main.rs" <<'RUST'
use serde::Deserialize;
use serde_json::{from_str, from_value, Value};

#[derive(Deserialize)]
#[serde(tag = "kind")]
enum Payment {
    Cash { amount: f64 },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Loose {
    Number(f64),
    #[allow(dead_code)]
    Text(String),
}

fn main() {
    for amount in ["3790", "3790.5"] {
        let json = format!(r#"{{"kind":"Cash","amount":{amount}}}"#);
        let tagged = from_str(&json).map(|Payment::Cash { amount }| amount);
        let value = from_str::<Value>(&json).unwrap();
        let by_value = from_value(value).map(|Payment::Cash { amount }| amount);
        let loose = from_str(amount).map(|loose| matches!(loose, Loose::Number(n) if n > 0.0));
        let say = |error: serde_json::Error| match error.to_string() {
            text if text.contains("did not match any variant") => "did not match".to_owned(),
            text => text,
        };
        println!("{amount}: tagged {:?}, by Value {:?}, untagged {:?}", tagged.map_err(say),
            by_value.map_err(say), loose.map_err(say));
    }
    let [short, long] = ["1.0", "1.00"].map(|text| from_str::<Value>(text).unwrap());
    println!("1.0 == 1.00: {}", short == long);
}
RUST
{
    echo "without rust_decimal"
    cargo run -q --manifest-path "$folder/Cargo.toml"
    echo "with it"
    cargo run -q --manifest-path "$folder/Cargo.toml" --features exact
} | tee "$folder/seen"
diff - "$folder/seen" <<'SEEN'
without rust_decimal
3790: tagged Ok(3790.0), by Value Ok(3790.0), untagged Ok(true)
3790.5: tagged Ok(3790.5), by Value Ok(3790.5), untagged Ok(true)
1.0 == 1.00: true
with it
3790: tagged Ok(3790.0), by Value Ok(3790.0), untagged Ok(true)
3790.5: tagged Err("invalid type: map, expected f64"), by Value Ok(3790.5), untagged Err("did not match")
1.0 == 1.00: false
SEEN
echo "as described"
