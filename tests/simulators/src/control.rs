//! What both control faces have in common: JSON in, whatever the content type says, so that a bare
//! `curl -d` works; JSON out, refusals in words.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::faults::{Action, FaultTable};

/// HTTP status and what is wrong.
pub(crate) type Refusal = (u16, String);

pub(crate) fn refuse(status: u16, text: impl Into<String>) -> Refusal {
    (status, text.into())
}

pub(crate) fn gone() -> Refusal {
    refuse(404, "not found")
}

pub(crate) fn no_such_call() -> Refusal {
    refuse(404, "no such control call")
}

pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| refuse(400, format!("the body is not understood: {error}")))
}

/// The call about faults, by whichever method.
pub(crate) fn faults<A: Action + DeserializeOwned>(
    table: &mut FaultTable<A>,
    method: &str,
    body: &[u8],
) -> Result<Value, Refusal> {
    match method {
        "GET" => return Ok(json!({"rules": table.rules(), "fired": table.fired()})),
        "PUT" => table.replace(read(body)?),
        "DELETE" => table.replace(Vec::new()),
        _ => return Err(no_such_call()),
    }
    Ok(json!({"ok": true}))
}

/// Status and body of the answer.
pub(crate) fn answer(done: Result<Value, Refusal>) -> (u16, String) {
    match done {
        Ok(value) => (200, value.to_string()),
        Err((status, text)) => (status, json!({"ok": false, "error": text}).to_string()),
    }
}

/// The parts of a path after its first slash, each decoded; a plus means itself there.
pub(crate) fn segments(path: &str) -> Vec<String> {
    path.split('/').skip(1).map(decoded).collect()
}

fn decoded(segment: &str) -> String {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_segments_are_decoded_without_touching_the_plus() {
        assert_eq!(segments("/a/SHOP%2F99%2031+%D0%90/100%"), ["a", "SHOP/99 31+А", "100%"]);
    }
}
