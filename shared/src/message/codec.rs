//! Bytes ↔ envelope. What cannot be decoded becomes a typed error that keeps nothing
//! back: the raw body goes to the dead letters with it.

use serde_json::Value;

use crate::message::envelope::Envelope;

/// Why a message cannot be understood. The texts name no content of the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    #[error("the message is not JSON")]
    NotJson,
    #[error("the message has version {0}, this release understands {ours}", ours = Envelope::VERSION)]
    UnknownVersion(u64),
    #[error("the message has no version")]
    NoVersion,
    #[error("the message is of a kind or shape this release does not know")]
    UnknownShape,
}

pub fn encode(envelope: &Envelope) -> Vec<u8> {
    // The usual one fits.
    let mut bytes = Vec::with_capacity(512);
    serde_json::to_writer(&mut bytes, envelope).expect("an envelope has string keys only and always serialises");
    bytes
}

/// # Errors
/// [`Undecodable`]; the caller keeps the bytes.
pub fn decode(bytes: &[u8]) -> Result<Envelope, Undecodable> {
    // The usual case parses once; only a failure is looked at a second time for its cause.
    if let Ok(envelope) = serde_json::from_slice::<Envelope>(bytes)
        && envelope.v == Envelope::VERSION
    {
        return Ok(envelope);
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|_| Undecodable::NotJson)?;
    match value.get("v").and_then(Value::as_u64) {
        None => Err(Undecodable::NoVersion),
        Some(v) if v != u64::from(Envelope::VERSION) => Err(Undecodable::UnknownVersion(v)),
        Some(_) => Err(Undecodable::UnknownShape),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{IntegrationId, Kopecks, OrderNumber};
    use crate::message::Command;

    fn envelope() -> Envelope {
        let command = Command::SendOrder {
            number: OrderNumber::parse("1234A").expect("number"),
            declared: Some(Kopecks(379_050)),
        };
        Envelope::new(command, Some(IntegrationId(1)), "2026-09-01T10:00:00Z".parse().expect("time"))
    }

    #[test]
    fn an_envelope_survives_the_wire() {
        let sent = envelope();
        assert_eq!(decode(&encode(&sent)), Ok(sent));
    }

    #[test]
    fn the_wire_form_is_flat_and_named_as_the_design_says() {
        let value: Value = serde_json::from_slice(&encode(&envelope())).expect("json");
        let mut names: Vec<&str> = value.as_object().expect("object").keys().map(String::as_str).collect();
        names.sort_unstable();
        let expected = [
            "attempt",
            "body",
            "generation",
            "id",
            "integration",
            "key",
            "kind",
            "received_at",
            "seq",
            "traceparent",
            "v",
        ];
        assert_eq!(names, expected);
        assert_eq!(value["kind"], "SendOrder");
    }

    #[test]
    fn what_cannot_be_understood_says_why() {
        assert_eq!(decode(b"\xff\xfe"), Err(Undecodable::NotJson));
        assert_eq!(decode(b"{}"), Err(Undecodable::NoVersion));
        assert_eq!(decode(br#"{"v":9}"#), Err(Undecodable::UnknownVersion(9)));
        assert_eq!(decode(br#"{"v":1,"kind":"Fly"}"#), Err(Undecodable::UnknownShape));
    }
}
