//! The vocabulary: parsed types that cannot hold nonsense, and pure decisions about
//! them. No I/O and no vendor format below this line.

pub mod contact;
pub mod fault;
pub mod ids;
pub mod money;
pub mod weight;

pub use contact::Phone;
pub use fault::Fault;
pub use ids::{CrmOrderId, DeliveryId, IntegrationId, OrderNo, OrderNumber};
pub use money::Kopecks;
pub use weight::{Grams, Millimetres};
