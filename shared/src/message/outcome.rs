//! What became of a command: closed sets, also the metric labels.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{Fault, RetryWhy};
use crate::phrases::Details;

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

/// A command that cannot be done: what a person gets to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GiveUp {
    /// Stable label of a closed set (see the catalogue in `shared::domain::reason`).
    pub reason: &'static str,
    pub fault: Fault,
    /// Figures or the vendor's own words; never personal data.
    pub detail: Details,
}

crate::closed_set! {
    /// Why nothing was to be done, or not any more.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    Needless {
        EndedBefore => "ended_before",
        Ended => "ended",
        EndedWithoutHandOver => "ended_without_hand_over",
        AnotherType => "another_type",
        TypeStands => "type_stands",
        LookedAgain => "looked_again",
        NeverSent => "never_sent",
        Refused => "refused",
        Cancelled => "cancelled",
        CancelledUntilSent => "cancelled_until_sent",
        AsItIs => "as_it_is",
        ChangingIsOff => "changing_is_off",
        InWork => "in_work",
        NotAtMeasoft => "not_at_measoft",
        NothingSent => "nothing_sent",
        NeverOurs => "never_ours",
        NeverTheirs => "never_theirs",
        KnownToNobody => "known_to_nobody",
        NotActive => "not_active",
        NotForThisJob => "not_for_this_job",
        Gone => "gone",
        ChangedMeanwhile => "changed_meanwhile",
        StillRefused => "still_refused",
        OthersTurn => "others_turn",
        NothingWaits => "nothing_waits",
        NothingNew => "nothing_new",
        Answered => "answered",
        InShadow => "in_shadow",
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Done(Change),
    /// The world already was as the command wanted it.
    AlreadyDone(Needless),
    /// A newer request or the order's present state made this one moot.
    Superseded(Needless),
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
