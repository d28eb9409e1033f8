//! A message as the broker has it: its properties and what they tell.

use std::collections::BTreeMap;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::message::{Envelope, Lane};

/// Who published a message, for people who look into the queue.
pub(super) const APP_ID: &str = "measoft-bridge";

/// AMQP's delivery mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Persistence {
    Transient = 1,
    Persistent = 2,
}

impl Persistence {
    pub(super) const fn of(lane: Lane) -> Self {
        match lane {
            Lane::Interactive | Lane::Bulk => Self::Persistent,
            Lane::Rpc => Self::Transient,
        }
    }
}

/// The properties are for people and tools; the worker reads the body.
pub(super) fn properties(envelope: &Envelope, persistence: Persistence) -> BasicProperties {
    let kind = format!("{}/{}", envelope.command.kind().as_str(), envelope.v);
    let properties = BasicProperties::default()
        .with_message_id(envelope.id.to_string().into())
        .with_type(kind.into())
        .with_content_type("application/json".into())
        .with_app_id(APP_ID.into())
        .with_timestamp(u64::try_from(envelope.received_at.as_second()).unwrap_or_default())
        .with_delivery_mode(persistence as u8);
    match &envelope.traceparent {
        None => properties,
        Some(trace) => {
            let mut headers = FieldTable::default();
            headers.insert("traceparent".into(), AMQPValue::LongString(trace.as_str().into()));
            properties.with_headers(headers)
        }
    }
}

/// How often a message was handed out before it was published anew by ourselves.
const HANDED_OUT: &str = "x-handed-out";

/// What the broker counts in a message's headers: how often it was handed out, and how often that
/// failed.
const BROKERS_COUNTS: [&str; 2] = ["x-acquired-count", "x-delivery-count"];

/// The properties of a copy of a message that was handed out so often.
pub(super) fn handed_out(properties: BasicProperties, times: u64) -> BasicProperties {
    if times == 0 {
        return properties;
    }
    // A copy begins anew, and 4.x keeps a broker's count that a publisher sends along.
    let of_broker = |name: &ShortString| BROKERS_COUNTS.contains(&name.as_str());
    let kept = properties.headers().iter().flat_map(|headers| headers.inner().clone());
    let mut headers: FieldTable = kept.filter(|(name, _)| !of_broker(name)).collect::<BTreeMap<_, _>>().into();
    headers.insert(HANDED_OUT.into(), AMQPValue::LongLongInt(i64::try_from(times).unwrap_or(i64::MAX)));
    properties.with_headers(headers)
}

/// How often a message was handed out before, by the broker's counts: 4.3 counts each time
/// (`x-acquired-count`) beside those that failed (`x-delivery-count`); before, the latter is all.
/// Those of the message it is a copy of are added.
pub(super) fn times_handed_out(headers: Option<&FieldTable>) -> u64 {
    let count = |name: &str| match headers?.inner().get(name)? {
        AMQPValue::LongLongInt(n) => u64::try_from(*n).ok(),
        AMQPValue::LongInt(n) => u64::try_from(*n).ok(),
        AMQPValue::ShortInt(n) => u64::try_from(*n).ok(),
        AMQPValue::ShortShortInt(n) => u64::try_from(*n).ok(),
        AMQPValue::LongUInt(n) => Some(u64::from(*n)),
        AMQPValue::ShortUInt(n) => Some(u64::from(*n)),
        AMQPValue::ShortShortUInt(n) => Some(u64::from(*n)),
        _ => None,
    };
    BROKERS_COUNTS.iter().filter_map(|name| count(name)).max().unwrap_or(0) + count(HANDED_OUT).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_begins_anew_and_remembers_how_often_it_was_handed_out() {
        let mut headers = FieldTable::default();
        for (name, count) in [("x-delivery-count", 1), ("x-acquired-count", 2)] {
            headers.insert(name.into(), AMQPValue::LongLongInt(count));
        }
        headers.insert("traceparent".into(), AMQPValue::LongString("00-1".into()));
        let mut properties = BasicProperties::default().with_headers(headers);
        // A broker that keeps what it is sent must not make each turn count.
        for _ in 0..3 {
            properties = handed_out(properties.clone(), times_handed_out(properties.headers().as_ref()));
        }
        let headers = properties.headers().as_ref().expect("headers");
        assert_eq!(times_handed_out(Some(headers)), 2);
        let names: Vec<&str> = headers.inner().keys().map(ShortString::as_str).collect();
        assert_eq!(names, ["traceparent", HANDED_OUT]);
    }
}
