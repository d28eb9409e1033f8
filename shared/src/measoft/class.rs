//! What becomes of a request, told apart by what a caller can do about it.

use std::time::Duration;

use crate::domain::Fault;

/// What a caller does about a failure (protocols/measoft.md#repeating).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Nothing happened at MeaSoft: the same request may be sent again.
    Transient,
    /// A write that may or may not have happened: look before sending again.
    UnknownOutcome,
    /// MeaSoft shuts this address out: every request waits.
    Blocked { retry_after: Option<Duration> },
    /// The account's settings are wrong: all its requests would fail alike.
    Config,
    /// This request will never succeed as it is.
    Permanent,
    /// The number or barcode is taken: possibly by an earlier attempt of ours.
    AlreadyExists,
    /// MeaSoft knows no such order.
    NotFound,
    /// A mistake of this program.
    Bug,
}

impl Class {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::UnknownOutcome => "unknown",
            Self::Blocked { .. } => "blocked",
            Self::Config => "config",
            Self::Permanent => "permanent",
            Self::AlreadyExists => "already_exists",
            Self::NotFound => "not_found",
            Self::Bug => "bug",
        }
    }
}

/// Stands for a code that was no number. It is in no table.
pub const UNREADABLE_CODE: i64 = -1;

/// What a refusal comes down to. `reason` is stable and also a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    pub reason: &'static str,
    pub class: Class,
    pub fault: Fault,
}
