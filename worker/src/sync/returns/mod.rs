//! What of each line was taken and what was refused, written to the order's positions where the
//! shop wants it: newest facts alone, nothing twice, and taken back when MeaSoft corrects itself.

mod decide;
mod facts;
mod run;
#[cfg(test)]
mod stories;

pub(super) use facts::news;
pub use run::run;
