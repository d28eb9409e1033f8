//! Requests that would change something, kept instead of sent: for whoever only wants to know.

use std::fmt;
use std::sync::Mutex;

use crate::domain::OrderNo;
use crate::locked::locked;
use crate::measoft::op::Op;
use crate::measoft::wire::neworder::NewOrder;

/// A request that did not leave.
#[derive(Clone)]
pub struct HeldBack {
    pub op: Op,
    /// The orders it is about.
    pub about: Vec<OrderNo>,
    /// As the journal would show it.
    pub masked: String,
    plain: String,
}

impl HeldBack {
    pub(super) const fn new(op: Op, about: Vec<OrderNo>, masked: String, plain: String) -> Self {
        Self { op, about, masked, plain }
    }

    /// With personal data, without the account's credentials.
    pub fn plain(&self) -> &str {
        &self.plain
    }
}

impl fmt::Debug for HeldBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldBack").field("op", &self.op).field("about", &self.about).finish_non_exhaustive()
    }
}

/// What clients that send no changes keep.
#[derive(Default)]
pub struct HoldBack {
    requests: Mutex<Vec<HeldBack>>,
    orders: Mutex<Vec<NewOrder>>,
}

impl HoldBack {
    pub(super) fn keep(&self, request: HeldBack) {
        locked(&self.requests).push(request);
    }

    pub(super) fn keep_orders(&self, orders: &[NewOrder]) {
        locked(&self.orders).extend_from_slice(orders);
    }

    /// In the order in which they would have left.
    pub fn kept(&self) -> Vec<HeldBack> {
        locked(&self.requests).clone()
    }

    /// The orders that would have been placed or changed.
    pub fn orders(&self) -> Vec<NewOrder> {
        locked(&self.orders).clone()
    }
}

/// What whoever sent it is told: nothing has happened.
pub(super) const HELD_BACK: &str = "held back: nothing is sent";

/// A request without the account's login and password.
pub(super) fn without_credentials(request: &str, extra: &str) -> String {
    let Some((before, rest)) = request.split_once("<auth ") else { return request.to_owned() };
    match rest.split_once("/>") {
        Some((_, after)) => format!("{before}<auth extra=\"{extra}\" login=\"[hidden]\" pass=\"[hidden]\"/>{after}"),
        None => before.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_unmasked_holds_no_credentials() {
        let request = "<?xml?><neworder><auth extra=\"8\" login=\"shop\" pass=\"a&gt;b\"/><order/></neworder>";
        let shown = without_credentials(request, "8");
        assert!(shown.ends_with("pass=\"[hidden]\"/><order/></neworder>"), "{shown}");
        assert!(!shown.contains("shop") && !shown.contains("a&gt;b"), "{shown}");
        assert_eq!(without_credentials("<a/>", "8"), "<a/>");
    }
}
