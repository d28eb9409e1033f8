//! Statuses on their way to RetailCRM (protocols/retailcrm.md#tracking).

use std::collections::BTreeMap;

use jiff::ZonedDateTime;
use serde::{Serialize, Serializer};

use crate::debug::debug_by;
use crate::domain::Kopecks;
use crate::retailcrm::tolerant::write_sum;

/// What is new about one delivery.
#[derive(Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrackingUpdate {
    /// As stored in the order's `delivery.data.externalId`.
    pub delivery_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub track_number: Option<String>,
    /// Actual cost of the delivery.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_sum")]
    pub cost: Option<Kopecks>,
    /// In order of time, oldest first.
    pub history: Vec<TrackingEntry>,
    /// Values of declared fields of the module.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra_data: BTreeMap<String, String>,
}

/// One status of a delivery.
#[derive(Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrackingEntry {
    /// A code of the module's status list.
    pub code: String,
    /// Sent with its offset and in whole seconds.
    #[serde(serialize_with = "write_moment")]
    pub updated_at: ZonedDateTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// Deliveries in one request (protocols/retailcrm.md#tracking, «Batch size»).
pub const MAX_UPDATES: usize = 100;

pub(crate) fn write_moment<S: Serializer>(at: &ZonedDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&at.strftime("%Y-%m-%dT%H:%M:%S%:z"))
}

impl std::fmt::Debug for TrackingUpdate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let codes: Vec<&str> = self.history.iter().map(|entry| entry.code.as_str()).collect();
        f.debug_struct("TrackingUpdate")
            .field("delivery_id", &self.delivery_id)
            .field("codes", &codes)
            .finish_non_exhaustive()
    }
}

debug_by! { TrackingEntry: code, updated_at; }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retailcrm::samples;
    use jiff::Timestamp;
    use jiff::tz::{Offset, TimeZone};

    fn moscow(text: &str) -> ZonedDateTime {
        let at: Timestamp = text.parse().expect("a moment");
        at.to_zoned_datetime(TimeZone::fixed(Offset::constant(3)))
    }

    fn entry(code: &str, at: &str, comment: &str) -> TrackingEntry {
        TrackingEntry { code: code.into(), updated_at: moscow(at), comment: Some(comment.into()) }
    }

    #[test]
    fn a_batch_is_written_as_in_the_sample() {
        let batch = [
            TrackingUpdate {
                delivery_id: "ms-17-4817".into(),
                track_number: Some("MS0000778812".into()),
                cost: Some(Kopecks(31_250)),
                history: vec![
                    entry("DELIVERY", "2024-05-18T06:12:00.789Z", "Выдан курьеру"),
                    entry("COMPLETE", "2024-05-18T13:42:10Z", "Вручил: Кузнецов"),
                ],
                extra_data: [("deliveredTo".to_owned(), "Петрова А. С.".to_owned())].into(),
            },
            TrackingUpdate {
                delivery_id: "ms-17-4820".into(),
                track_number: None,
                cost: None,
                history: vec![entry("CANCELED", "2024-05-18T07:00:00Z", "Отменено заказчиком")],
                extra_data: BTreeMap::new(),
            },
        ];
        let written = serde_json::to_value(&batch).expect("JSON");
        assert_eq!(written, samples::read("tracking-request.json")["statusUpdate"]);
    }

    #[test]
    fn debug_shows_neither_comments_nor_names() {
        let mut update = TrackingUpdate {
            delivery_id: "ms-1-2".into(),
            track_number: None,
            cost: None,
            history: vec![entry("COMPLETE", "2024-05-18T13:42:10Z", "Вручил: Кузнецов")],
            extra_data: BTreeMap::new(),
        };
        update.extra_data.insert("deliveredTo".into(), "Петрова".into());
        let debug = format!("{update:?} {:?}", update.history);
        assert!(!debug.contains("Кузнецов") && !debug.contains("Петрова"), "{debug}");
        assert!(debug.contains("COMPLETE"));
    }
}
