//! What of a status row matters to us: statuses, money, line codes. No phones or addresses are
//! kept, and no names but sealed. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::crypto::{SecretKey, sha256_hex};
use shared::domain::Kopecks;
use shared::measoft::{Details, Status, StatusCode, StatusItem, StatusRow};

use crate::order::recognise::item_codes;

/// One status record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// MeaSoft's code, known to us or not.
    pub code: String,
    /// When the record appeared there; the only time that orders statuses
    /// (protocols/measoft.md#status-records).
    pub at: Option<Timestamp>,
}

/// What was taken of a line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LineResult {
    /// Ours; empty on the platform's own lines.
    pub extcode: String,
    pub quantity: u32,
    pub returned: u32,
}

/// A snapshot of one order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OrderSnapshot {
    pub orderno: Option<String>,
    pub ordercode: Option<String>,
    /// All statuses the snapshot shows, oldest first, and at the end the one that MeaSoft holds
    /// for present, whatever its time.
    pub events: Vec<Event>,
    pub paytype: Option<String>,
    /// To be collected, after delivery the sum collected.
    pub price: Option<Kopecks>,
    pub item_codes: BTreeMap<String, String>,
    /// Its lines, where not all of them were taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<LineResult>,
    /// Why it was not delivered, in the courier's words.
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Details::is_empty")]
    pub details: Details,
    /// Names of side fields that could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<String>,
}

impl OrderSnapshot {
    /// With what RetailCRM shows beside the status.
    pub fn detailed(row: &StatusRow, key: &SecretKey) -> Self {
        Self { details: Details::of(row, key), ..Self::of(row) }
    }

    /// Without what is none of a payment's business.
    pub fn of_money(&self) -> Self {
        Self { details: Details::default(), lines: Vec::new(), ..self.clone() }
    }

    pub fn of(row: &StatusRow) -> Self {
        let current = row.status.as_ref();
        Self {
            orderno: row.orderno.as_ref().map(ToString::to_string),
            ordercode: row.ordercode.clone(),
            events: events(&row.history, current),
            paytype: row.paytype.clone(),
            price: row.price,
            item_codes: item_codes(row),
            lines: lines(row),
            // The same element names who took a delivered order.
            reason: current.filter(|status| gives_a_reason(&status.code)).and_then(|_| row.deliveredto.clone()),
            details: Details::default(),
            unreadable: row.unreadable.clone(),
        }
    }

    /// The status that MeaSoft holds for present, known to us or not.
    pub fn present(&self) -> Option<&Event> {
        self.events.last()
    }

    /// The newest status whose meaning is known: a code that nobody knows says nothing about
    /// where the order is, so what was known before it still holds.
    pub fn understood(&self) -> Option<&Event> {
        self.events.iter().rev().find(|event| StatusCode::parse(&event.code).is_known())
    }

    /// The receiver has the goods, all or some of them, and money was settled.
    pub fn is_closed(&self) -> bool {
        self.understood().is_some_and(|event| StatusCode::parse(&event.code).is_delivered())
    }
}

/// Lines that an edit took out stay with a quantity of zero: they are none.
fn lines(row: &StatusRow) -> Vec<LineResult> {
    if row.items.iter().all(|item| item.returns == 0) {
        return Vec::new();
    }
    let line = |item: &StatusItem| LineResult {
        extcode: item.extcode.clone().unwrap_or_default(),
        quantity: item.quantity,
        returned: item.returns,
    };
    row.items.iter().filter(|item| item.quantity > 0).map(line).collect()
}

fn gives_a_reason(code: &StatusCode) -> bool {
    matches!(
        code,
        StatusCode::Canceled
            | StatusCode::CourierCanceled
            | StatusCode::CourierReturn
            | StatusCode::DateChange
            | StatusCode::Unconfirm
            | StatusCode::Returning
            | StatusCode::Lost
    )
}

/// History, ascending, and then the present status. Of records of one second the list's own
/// order holds, whichever way round the vendor lists them. MeaSoft's `status` is what it holds
/// for present: an office may confirm today with a record older than the courier's own report.
fn events(history: &[Status], current: Option<&Status>) -> Vec<Event> {
    let event = |status: &Status| Event { code: status.code.as_str().to_owned(), at: status.createtime_gmt };
    let mut past: Vec<Event> = history.iter().filter(|s| s.createtime_gmt.is_some()).map(event).collect();
    let newest_first = past.first().map(|e| e.at) > past.last().map(|e| e.at);
    if newest_first {
        past.reverse();
    }
    past.sort_by_key(|event| event.at);
    past.dedup();
    if let Some(current) = current.map(event) {
        past.retain(|event| *event != current);
        past.push(current);
    }
    past
}

/// What tells one order from another within a cabinet.
pub fn order_key(orderno: Option<&str>, ordercode: Option<&str>) -> String {
    match (ordercode, orderno) {
        (Some(code), _) => format!("code:{code}"),
        (None, Some(number)) => format!("no:{number}"),
        (None, None) => String::new(),
    }
}

/// What tells one snapshot from another (protocols/measoft.md#changes): the same again is a repeat.
pub fn mark(row: &StatusRow) -> String {
    let status = row.status.as_ref();
    let returns: Vec<String> = row
        .items
        .iter()
        .filter(|item| item.returns > 0)
        .map(|item| format!("{}:{}", item.code.as_deref().unwrap_or(""), item.returns))
        .collect();
    let said = (
        order_key(row.orderno.as_ref().map(shared::domain::OrderNo::as_str), row.ordercode.as_deref()),
        status.map(|s| s.code.as_str()),
        status.and_then(|s| s.createtime_gmt).map(Timestamp::as_millisecond),
        row.price.map(|price| price.0),
        &row.paytype,
        &row.delivereddate,
        &row.deliveredtime,
        returns,
    );
    sha256_hex(&serde_json::to_vec(&said).expect("texts and numbers serialise"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, status, status_row};

    fn codes(facts: &OrderSnapshot) -> Vec<&str> {
        facts.events.iter().map(|e| e.code.as_str()).collect()
    }

    #[test]
    fn history_and_present_status_make_one_ascending_list() {
        let mut row = status_row("A-1", "DELIVERY", 30);
        row.history = vec![status("DELIVERY", 30), status("ACCEPTED", 20), status("NEW", 10)];
        assert_eq!(codes(&OrderSnapshot::of(&row)), ["NEW", "ACCEPTED", "DELIVERY"]);
        row.history.reverse();
        assert_eq!(codes(&OrderSnapshot::of(&row)), ["NEW", "ACCEPTED", "DELIVERY"]);
        row.history.clear();
        assert_eq!(codes(&OrderSnapshot::of(&row)), ["DELIVERY"]);
    }

    #[test]
    fn records_of_one_second_keep_the_order_of_the_list() {
        let mut row = status_row("A-1", "DELIVERY", 10);
        row.history = vec![status("AWAITING_SYNC", 10), status("NEW", 10), status("DELIVERY", 10)];
        assert_eq!(codes(&OrderSnapshot::of(&row)), ["AWAITING_SYNC", "NEW", "DELIVERY"]);
    }

    #[test]
    fn a_status_that_came_back_later_is_another_one() {
        let mut row = status_row("A-1", "DELIVERY", 40);
        row.history = vec![status("DELIVERY", 20), status("DATECHANGE", 30), status("DELIVERY", 40)];
        assert_eq!(codes(&OrderSnapshot::of(&row)), ["DELIVERY", "DATECHANGE", "DELIVERY"]);
    }

    #[test]
    fn what_measoft_holds_for_present_comes_last_though_its_record_is_the_older_one() {
        let mut row = status_row("A-1", "COMPLETE", 30);
        row.history = vec![status("DELIVERY", 20), status("COMPLETE", 30), status("COURIERDELIVERED", 40)];
        let facts = OrderSnapshot::of(&row);
        assert_eq!(codes(&facts), ["DELIVERY", "COURIERDELIVERED", "COMPLETE"]);
        assert!(facts.is_closed());
    }

    #[test]
    fn an_unknown_code_hides_nothing_that_is_understood() {
        let mut row = status_row("A-1", "SOMETHING_NEW", 50);
        row.history = vec![status("COMPLETE", 40), status("SOMETHING_NEW", 50)];
        let facts = OrderSnapshot::of(&row);
        assert_eq!(facts.present().map(|e| e.code.as_str()), Some("SOMETHING_NEW"));
        assert_eq!(facts.understood().map(|e| e.code.as_str()), Some("COMPLETE"));
        assert!(facts.is_closed());
        row.history.clear();
        assert_eq!(OrderSnapshot::of(&row).understood(), None);
        assert!(!OrderSnapshot::of(&row).is_closed());
    }

    #[test]
    fn who_took_the_order_is_not_kept_but_why_it_failed_is() {
        let mut row = status_row("A-1", "COMPLETE", 10);
        row.deliveredto = Some("Петрова А. С.".into());
        let kept = serde_json::to_string(&OrderSnapshot::of(&row)).expect("json");
        assert!(!kept.contains("Петрова"), "{kept}");
        row.status = Some(status("CANCELED", 10));
        row.deliveredto = Some("Отказ от заказа".into());
        assert_eq!(OrderSnapshot::of(&row).reason.as_deref(), Some("Отказ от заказа"));
    }

    #[test]
    fn the_same_snapshot_has_the_same_mark_and_money_changes_it() {
        let row = status_row("A-1", "COMPLETE", 10);
        assert_eq!(mark(&row), mark(&row.clone()));
        for change in [
            |r: &mut StatusRow| r.price = Some(Kopecks(1)),
            |r: &mut StatusRow| r.paytype = Some("CARD".into()),
            |r: &mut StatusRow| r.delivereddate = Some("2026-09-02".into()),
            |r: &mut StatusRow| r.status = Some(status("COMPLETE", 11)),
            |r: &mut StatusRow| r.status = Some(status("PARTIALLY", 10)),
            |r: &mut StatusRow| r.ordercode = Some("other".into()),
        ] {
            let mut other = row.clone();
            change(&mut other);
            assert_ne!(mark(&row), mark(&other));
        }
        assert_eq!(at(10).as_second() + 1, at(11).as_second());
    }
}
