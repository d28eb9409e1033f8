//! One order at a time: whose it is, what is wanted of it, what to do, and what a lost answer
//! means.

pub mod attempt;
pub mod batch;
mod cancel;
mod cancel_by_number;
mod change;
pub mod confidential;
pub mod correction;
pub mod decide;
pub mod delivery_fields;
pub mod desired;
mod edit;
pub mod gather;
pub mod lease;
pub mod left_behind;
mod letter;
mod look_up;
pub mod lost_writes;
pub mod money;
mod place;
mod place_anew;
pub mod prepayment;
mod read;
pub mod reading;
pub mod receiver;
pub mod recognise;
mod record;
pub mod report;
pub mod request;
pub mod resolve;
pub mod saved_request;
pub mod settle;
mod situation;
pub(crate) mod take_over;
pub mod tell;
pub mod town;
mod words;
