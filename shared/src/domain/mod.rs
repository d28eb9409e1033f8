//! The vocabulary: parsed types that cannot hold nonsense, and pure decisions about
//! them. No I/O and no vendor format below this line.

pub mod contact;
pub mod correction;
pub mod crm_account;
pub mod delivery;
pub mod fault;
pub mod ids;
pub mod integration;
pub mod money;
pub mod retry_why;
pub mod secret;
pub mod status_code;
pub mod status_list;
pub mod symbolic_code;
pub mod weight;

pub use contact::{Country, Phone};
pub use correction::CorrectedField;
pub use delivery::{Delivery, DeliveryState};
pub use fault::Fault;
pub use ids::{CrmOrderId, DeliveryId, IntegrationId, OrderNo, OrderNumber};
pub use integration::{Integration, IntegrationState, Language, PausedBy, Secrets, Settings};
pub use money::Kopecks;
pub use retry_why::RetryWhy;
pub use secret::Secret;
pub use status_code::StatusCode;
pub use weight::{Grams, Millimetres};
