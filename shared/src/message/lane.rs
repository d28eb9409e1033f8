//! Lanes: work queues that never wait for each other.

use serde::{Deserialize, Serialize};

/// A lane is a work queue with its own consumers: triggers never wait behind a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    Interactive,
    Bulk,
    Rpc,
}

impl Lane {
    pub const ALL: [Self; 3] = [Self::Interactive, Self::Bulk, Self::Rpc];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Bulk => "bulk",
            Self::Rpc => "rpc",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.as_str() == text)
    }
}
