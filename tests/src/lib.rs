//! Stand-ins for both vendors that speak their protocols over real sockets, and a proxy
//! that breaks connections. Their wire code is their own: a mistake shared with the
//! product would go unseen.
//!
//! [`harness`] starts the product's real binaries between them, for the stories in
//! `tests/e2e` and for the fault suite in [`faults`].

pub mod amqp_frames;
pub mod faults;
pub mod harness;
pub mod measoft;
pub mod proxy;
pub mod retailcrm;
