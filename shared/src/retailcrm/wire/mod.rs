//! RetailCRM's documents, named and spelled as on the wire.

pub mod account;
pub mod order;
pub mod references;
pub mod tracking;
