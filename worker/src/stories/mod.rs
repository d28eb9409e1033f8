//! Stories over both simulators, told of the whole worker.

pub(crate) mod batches;
pub(crate) mod corrections;
pub(crate) mod identity;
pub(crate) mod lost;
pub(crate) mod neighbours;
