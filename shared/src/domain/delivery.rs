//! A delivery: one RetailCRM order at one integration, our ledger row, and the moves
//! its state may make.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::StatusCode;
use crate::domain::{CrmOrderId, DeliveryId, IntegrationId, Kopecks, OrderNo};

crate::closed_set! {
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    DeliveryState {
        /// Known to us, nothing sent yet.
        Planned => "planned",
        /// A create was begun; whether it arrived is not known until its answer is recorded.
        Sending => "sending",
        /// An answer was lost. Only a look-up leads out.
        Unknown => "unknown",
        /// MeaSoft has it and has not begun work.
        Created => "created",
        InWork => "in_work",
        Delivered => "delivered",
        Partly => "partly",
        NotDelivered => "not_delivered",
        Returned => "returned",
        Lost => "lost",
        /// By us, before work began.
        Cancelled => "cancelled",
        /// MeaSoft refused it, or it could not even be handed over; a change in the CRM makes a
        /// new attempt.
        Rejected => "rejected",
    }
}

/// What happens to a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    SendBegun,
    AnswerLost,
    Accepted,
    Refused,
    /// A look-up found no such order at MeaSoft.
    FoundAbsent,
    CancelledByUs,
    /// A status of MeaSoft's stream or of a look-up, as its phase.
    Reported(Phase),
    /// Our cancelled order is wanted again: a new generation begins.
    WantedAgain,
}

/// What a MeaSoft status code means for the state (protocols/measoft.md#status-codes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// `NEW`, `AWAITING_SYNC`: may still be changed and cancelled.
    New,
    Working,
    Delivered,
    Partly,
    NotDelivered,
    Returned,
    Lost,
    /// A code that nobody knows: the order is there, and where it is was said before, if at all.
    Unclear,
}

impl Phase {
    /// Unknown codes are never an error, never an end and never a move
    /// (protocols/measoft.md#status-codes: the set grows on the vendor's side).
    pub fn of(code: &str) -> Self {
        match code {
            "NEW" | "AWAITING_SYNC" => Self::New,
            "COMPLETE" => Self::Delivered,
            "PARTIALLY" | "PARTLYRETURNING" | "PARTLYRETURNED" => Self::Partly,
            "CANCELED" | "RETURNING" => Self::NotDelivered,
            "RETURNED" => Self::Returned,
            "LOST" => Self::Lost,
            other if StatusCode::parse(other).is_known() => Self::Working,
            _ => Self::Unclear,
        }
    }

    /// Whether MeaSoft still lets the shop change or cancel.
    pub const fn is_editable(self) -> bool {
        matches!(self, Self::New)
    }

    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Delivered | Self::Partly | Self::NotDelivered | Self::Returned | Self::Lost)
    }
}

impl DeliveryState {
    /// MeaSoft holds a live order under our number.
    pub const fn is_placed(self) -> bool {
        matches!(
            self,
            Self::Created
                | Self::InWork
                | Self::Delivered
                | Self::Partly
                | Self::NotDelivered
                | Self::Returned
                | Self::Lost
        )
    }

    /// Only a look-up at MeaSoft says what is there.
    pub const fn needs_lookup(self) -> bool {
        matches!(self, Self::Sending | Self::Unknown)
    }

    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Delivered | Self::Partly | Self::NotDelivered | Self::Returned | Self::Lost)
    }

    /// The state after an event; `None` when the event cannot happen in this state.
    pub const fn after(self, event: Event) -> Option<Self> {
        Some(match (self, event) {
            (Self::Planned | Self::Rejected | Self::Unknown | Self::Sending, Event::SendBegun) => Self::Sending,
            (Self::Sending | Self::Unknown, Event::AnswerLost) => Self::Unknown,
            (Self::Sending | Self::Unknown, Event::Accepted) => Self::Created,
            // Refused by us before it was sent, or by MeaSoft after.
            (Self::Planned | Self::Rejected | Self::Sending | Self::Unknown, Event::Refused) => Self::Rejected,
            (Self::Sending | Self::Unknown, Event::FoundAbsent) => Self::Planned,
            (Self::Created, Event::CancelledByUs) => Self::Cancelled,
            // What was never sent needs nothing to be withdrawn.
            (Self::Planned | Self::Rejected, Event::CancelledByUs) => Self::Cancelled,
            (Self::Cancelled, Event::WantedAgain) => Self::Planned,
            // Our cancel shows up at MeaSoft as «not delivered», later as «returned»: no news.
            (Self::Cancelled, Event::Reported(Phase::NotDelivered | Phase::Returned)) => Self::Cancelled,
            // It is there: that much an unknown code says, and no more.
            (Self::Sending | Self::Unknown, Event::Reported(Phase::Unclear)) => Self::Created,
            (state, Event::Reported(Phase::Unclear)) if state.is_placed() || matches!(state, Self::Cancelled) => state,
            (
                Self::Sending
                | Self::Unknown
                | Self::Created
                | Self::InWork
                | Self::Delivered
                | Self::Partly
                | Self::NotDelivered
                | Self::Returned
                | Self::Lost
                | Self::Cancelled,
                Event::Reported(phase),
            ) => match phase {
                Phase::New => Self::Created,
                Phase::Working => Self::InWork,
                Phase::Delivered => Self::Delivered,
                Phase::Partly => Self::Partly,
                Phase::NotDelivered => Self::NotDelivered,
                Phase::Returned => Self::Returned,
                Phase::Lost => Self::Lost,
                Phase::Unclear => return None,
            },
            _ => return None,
        })
    }
}

/// What is needed to recognise an order of ours at MeaSoft after a lost answer
/// (protocols/measoft.md#repeating): no personal data, the phone only as a hash.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fingerprint {
    /// Sum MeaSoft should report as the price; absent when the platform computes it.
    pub price: Option<Kopecks>,
    pub extcodes: Vec<String>,
    pub phone_hash: String,
    /// Hash of all that MeaSoft was sent but the declared value, of a confirmed edit too. Empty:
    /// not known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub undeclared_hash: String,
    /// A write whose outcome was never heard may be done until then, whatever was confirmed after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late_until: Option<Timestamp>,
    /// A cancel of ours whose outcome was never heard: however late it is done, it is ours.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cancel_unheard: bool,
    /// Of what was sent under the same number before, with other content, and was not found
    /// then: it may arrive late.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Fingerprint>,
}

/// The longest a request to MeaSoft may be under way. A look-up that a cancel waits for comes no
/// sooner after the last send: a slow first request may still be on its way.
pub const CALL_LIMIT: Duration = Duration::from_secs(45);

/// What RetailCRM was last told of a delivery.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CrmWritten {
    pub external_id: String,
    pub track_number: String,
    /// Code of our module's status list.
    pub status: String,
    pub error: Option<String>,
    /// What to do about the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
    /// What gave up and could not be shown yet.
    pub owed: Option<String>,
    /// What to do about that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owed_next_step: Option<String>,
    /// How often it was told since RetailCRM last showed it.
    pub unseen: u8,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub id: DeliveryId,
    pub integration: IntegrationId,
    pub crm_order: CrmOrderId,
    /// The order's number when it was last read.
    pub number: String,
    pub site: String,
    pub delivery_type: String,
    pub orderno: OrderNo,
    pub ordercode: Option<String>,
    pub generation: u32,
    pub state: DeliveryState,
    /// Last MeaSoft status code and when it was made there.
    pub status: Option<String>,
    pub status_at: Option<Timestamp>,
    /// When MeaSoft was asked for that, by the clock that all processes see: what was asked for
    /// later shows the present, whatever its time.
    pub status_seen_at: Option<Timestamp>,
    /// We asked MeaSoft to cancel it; in state `created` the outcome is not known yet, in
    /// state `planned` there was nothing to cancel.
    pub cancelled_by_us: bool,
    /// Hash of what MeaSoft holds.
    pub sent_hash: Option<String>,
    /// Hash and fingerprint of a write that was begun.
    pub sending_hash: Option<String>,
    pub sending: Option<Fingerprint>,
    /// When the last write was begun.
    pub sent_at: Option<Timestamp>,
    pub price: Option<Kopecks>,
    /// Our line id → MeaSoft's line code.
    pub item_codes: BTreeMap<String, String>,
    /// What only the `save` callback knows (packages, tariff, point, cod…), as JSON.
    pub saved_request: Option<String>,
    pub crm_written: CrmWritten,
    pub reject_reason: Option<String>,
    /// Requests this delivery cost at MeaSoft.
    pub requests: u32,
    /// Fencing number of the lease it is held under.
    pub fence: i64,
    /// That of whoever held it before; 0: nobody did.
    pub prior_fence: i64,
    pub created_at: Timestamp,
}

impl Delivery {
    /// Our own stable id, what RetailCRM stores as the delivery's external id:
    /// `ms-<integration>-<CRM order id>`.
    pub fn external_id(integration: IntegrationId, order: CrmOrderId) -> String {
        format!("ms-{integration}-{order}")
    }

    /// Whether an external id is one that a bridge gave this order, whichever integration it
    /// was with.
    pub fn is_external_id_of(text: &str, order: CrmOrderId) -> bool {
        text.strip_prefix("ms-")
            .and_then(|rest| rest.split_once('-'))
            .is_some_and(|(integration, id)| integration.parse::<i64>().is_ok() && id.parse() == Ok(order.0))
    }

    /// The CRM order id out of an external id of this integration.
    pub fn parse_external_id(integration: IntegrationId, text: &str) -> Option<CrmOrderId> {
        text.strip_prefix(&format!("ms-{integration}-"))?.parse().ok().map(CrmOrderId)
    }
}

#[cfg(test)]
mod tests;
