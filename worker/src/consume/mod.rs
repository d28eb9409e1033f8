//! From the broker to the ledger: what triggers want, and what the broker has put aside.

pub mod dead_letters;
pub(crate) mod forward;
pub mod triggers;
