//! Stand-ins for both vendors that speak their protocols over real sockets. Their wire code
//! is their own: a mistake shared with the product would go unseen.

pub mod measoft;
pub mod retailcrm;
