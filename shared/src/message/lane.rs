//! Lanes: work queues that never wait for each other.

use serde::{Deserialize, Serialize};

crate::closed_set! {
    /// A lane is a work queue with its own consumers: triggers never wait behind a sync.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    Lane {
        Interactive => "interactive",
        Bulk => "bulk",
        Rpc => "rpc",
    }
}
