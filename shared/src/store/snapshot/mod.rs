//! All rows of a database, written down in one way whatever the engine is: what a move carries from
//! one database to another, and what a backup is.
//!
//! Tables and columns are asked of the database, so that a new one is never forgotten. A row is a
//! line of JSON. What was read is summed up in a way that does not depend on the order of rows, so
//! that two engines that sort differently are compared without sorting.

pub mod carry;
pub(super) mod connection;
mod file;
mod line;
mod load;
mod running;
mod source;
mod tables;

pub use file::{Backup, Header, Manifest, write};
pub use line::Sum;
pub use load::Load;
pub use source::Snapshot;
pub use tables::Table;
