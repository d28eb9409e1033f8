//! What RetailCRM asks of a delivery module and what it wants to hear
//! (protocols/retailcrm.md#callbacks).

mod answer;
mod request;
#[cfg(test)]
mod tests;

pub use answer::{Answer, Coordinates, DeliveryStatus, GetResult, Interval, SaveResult, Tariff, TariffKind, Terminal};
pub use request::{
    Activity, CalculateRequest, CallbackItem, CallbackPackage, DeleteRequest, GetQuery, PrintRequest, SaveDelivery,
    SaveRequest, ShipmentPointQuery,
};
