//! What a row says of an order's lines, as it is kept until RetailCRM shows it. Pure.

use serde::{Deserialize, Serialize};
use shared::domain::{Delivery, Settings};
use shared::store::line_returns::NewReturns;

use crate::sync::facts::{LineResult, OrderSnapshot};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Lines {
    /// The receiver has goods. If not, nothing is to show of what was written.
    pub(super) closed: bool,
    /// What was shipped and refused; none where all of it was taken.
    pub(super) lines: Vec<LineResult>,
    /// Codes of the lines that were shipped, where all of it was taken and a status stands for that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) shipped: Vec<String>,
}

/// What a row that was taken over says of the lines, where that is of any interest: it closes the
/// delivery, or shows that it is not closed any more.
pub(in crate::sync) fn news(
    d: &Delivery,
    (closes, reopens): (bool, bool),
    snapshot: &OrderSnapshot,
    settings: &Settings,
) -> Option<NewReturns> {
    let wanted = settings.returned_item_status.is_some();
    let lines = match (closes && wanted, reopens) {
        (true, _) => {
            let all_taken = snapshot.lines.is_empty() && settings.delivered_item_status.is_some();
            let shipped = snapshot.item_codes.keys().filter(|_| all_taken).cloned().collect();
            Lines { closed: true, lines: snapshot.lines.clone(), shipped }
        }
        (false, true) => Lines::default(),
        (false, false) => return None,
    };
    // All was taken and no status stands for that: there is nothing to write, but to put right.
    let plain = lines.lines.is_empty() && !(lines.closed && settings.delivered_item_status.is_some());
    let facts = serde_json::to_string(&lines).expect("lines serialise");
    Some(NewReturns { integration: d.integration, delivery: d.id, facts, only_known: plain })
}
