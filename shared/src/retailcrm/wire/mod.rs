//! RetailCRM's documents, named and spelled as on the wire.

pub mod account;
pub mod callbacks;
pub mod history;
pub mod module;
pub mod notifications;
pub mod order;
pub mod payments;
pub mod references;
pub mod tracking;
