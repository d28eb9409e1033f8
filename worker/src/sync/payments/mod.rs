//! Settles an order's payment once its delivery is closed
//! (protocols/retailcrm.md#payment-rules).
//!
//! `decide` says what to do and is pure. `plan` is what it says as it is written down before
//! it is begun. `settling` does it step by step: each step only on the newest facts, on an order
//! that was read just before, and so that a crash at any step resumes instead of repeating.
//! `run` takes a few orders at one time, `record` writes down what came of them.

mod decide;
mod outcome;
mod plan;
mod record;
mod run;
mod settling;

pub use run::run;
