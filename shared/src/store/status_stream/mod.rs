//! What MeaSoft's status stream brought, kept before it is acknowledged
//! (protocols/measoft.md#changes). A batch is one answer; only a sealed one may be
//! acknowledged. Its rows are kept as segments first. A row is one order's snapshot; it waits
//! until the ledger has taken it.

mod batches;
mod rows;
mod segments;
mod taking;

pub use batches::{Batch, BatchState};
pub use rows::{NewRow, Owner, Placed, RowState, Stored};
pub use segments::Segment;
pub use taking::{PendingRow, RowEnd};

/// The stream number that rows found here are kept under; real ones begin at 100.
pub const NO_STREAM: u32 = 0;
