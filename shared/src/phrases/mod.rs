//! Sentences with values in them: kept as a code and values, and made into words when they are
//! shown, in the reader's language and time zone.

pub(crate) mod catalogue;
mod detail;
mod payment;
mod reader;
pub(crate) mod value;

pub use detail::{Detail, Details};
pub use payment::{Payment, PaymentStep, Sum, Unsettled};
pub use reader::Reader;
pub use value::{Value, who_acts};
