//! Stand-ins for both vendors that speak their protocols over real sockets, and a proxy
//! that breaks connections. Their wire code is their own: a mistake shared with the
//! product would go unseen.
#![expect(clippy::disallowed_methods, reason = "a vendor has a clock and an environment of its own")]

pub mod measoft;
pub mod proxy;
pub mod retailcrm;
