//! `client`: the client's own code; the cheap check of credentials (protocols/measoft.md#auth).

use crate::measoft::account::Account;
use crate::measoft::op::Op;
use crate::measoft::wire::document::{Auth, Document};
use crate::measoft::wire::element::Element;

pub fn write_client(account: &Account) -> String {
    Document::new(Op::Client, &[], Auth::Full(account)).finish()
}

/// The client's code; `None` when the answer has none.
pub(crate) fn read_client(root: &Element) -> Option<String> {
    root.owned_text("code")
}
