//! One order at a time: whose it is, what is wanted of it, what to do, and what a lost answer
//! means.

pub mod attempt;
pub mod batch;
pub mod confidential;
pub mod courier;
pub mod decide;
pub mod desired;
pub mod gather;
pub mod lease;
pub mod left_behind;
pub mod lost_sends;
pub mod money;
pub mod prepayment;
pub mod reading;
pub mod receiver;
pub mod recognise;
pub mod report;
pub mod request;
pub mod resolve;
pub mod saved_request;
pub mod settle;
pub mod town;
