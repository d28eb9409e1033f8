//! Settles an order's payment once its delivery is closed (design §3,
//! protocols/retailcrm.md#payment-rules).
//!
//! `decide` says what to do and is pure. `plan` is what it says as it is written down before
//! it is begun. `run` does it step by step: each step only on the newest facts, on an order
//! that was read just before, and so that a crash at any step resumes instead of repeating.

mod decide;
mod plan;
mod run;

pub use run::run;
