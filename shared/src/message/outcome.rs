//! What became of a command: closed sets, also the metric labels.

use jiff::Timestamp;

use crate::domain::Fault;

/// What a command changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    Created,
    Updated,
    Cancelled,
    /// Nothing was sent before the request was withdrawn.
    Withdrawn,
    /// Only RetailCRM had to be told.
    WrittenBack,
    Synced,
}

crate::closed_set! {
    /// Why a command has to wait; metric label of `bridge_retries_total`.
    RetryWhy {
        /// RetailCRM may not show the latest save yet: number not found, no difference, or
        /// still the old delivery type.
        CrmLag => "crm_lag",
        CrmUnavailable => "crm_unavailable",
        CrmRateLimited => "crm_rate_limited",
        CourierUnavailable => "courier_unavailable",
        CourierBlocked => "courier_blocked",
        UnknownOutcome => "unknown_outcome",
        LeaseHeld => "lease_held",
        Budget => "budget",
        Paused => "paused",
        BreakerOpen => "breaker_open",
        Internal => "internal",
    }
}

/// A command that cannot be done: what a person gets to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GiveUp {
    /// Stable label of a closed set (see the catalogue in `shared::domain::reason`).
    pub reason: &'static str,
    pub fault: Fault,
    /// Figures or the vendor's own words; never personal data.
    pub detail: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Done(Change),
    /// The world already was as the command wanted it; the text says why.
    AlreadyDone(&'static str),
    /// A newer request or the order's present state made this one moot.
    Superseded(&'static str),
    RetryLater {
        why: RetryWhy,
        not_before: Option<Timestamp>,
    },
    GiveUp(GiveUp),
}

impl Outcome {
    pub const LABELS: [&'static str; 5] = ["done", "already_done", "superseded", "retry_later", "give_up"];

    /// Tried again when the ladder of pauses says.
    pub const fn retry(why: RetryWhy) -> Self {
        Self::retry_at(why, None)
    }

    /// The same, and not before a moment.
    pub const fn retry_at(why: RetryWhy, not_before: Option<Timestamp>) -> Self {
        Self::RetryLater { why, not_before }
    }

    pub const fn label(&self) -> &'static str {
        match self {
            Self::Done(_) => "done",
            Self::AlreadyDone(_) => "already_done",
            Self::Superseded(_) => "superseded",
            Self::RetryLater { .. } => "retry_later",
            Self::GiveUp(_) => "give_up",
        }
    }
}
