//! Requests that would change something, kept instead of sent: for whoever only wants to know.

use std::sync::Mutex;

use crate::locked::locked;
use crate::retailcrm::Op;

/// A request that did not leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBack {
    pub op: Op,
    /// Method, path and form, as the journal would show them.
    pub masked: String,
}

/// What clients that send no changes keep.
#[derive(Debug, Default)]
pub struct HoldBack(Mutex<Vec<HeldBack>>);

impl HoldBack {
    pub(super) fn keep(&self, request: HeldBack) {
        locked(&self.0).push(request);
    }

    /// In the order in which they would have left.
    pub fn kept(&self) -> Vec<HeldBack> {
        locked(&self.0).clone()
    }
}
