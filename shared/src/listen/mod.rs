//! What this process lets others connect to: how many connections may be open, whose turn
//! it is when there are too many, and how long a silent one is kept.

mod connection;
mod descriptors;
mod places;

pub use connection::serve_connection;
pub use descriptors::{Descriptors, raise_limit};
pub use places::{Place, Places, network_of};
