//! What an order should be at MeaSoft.

use shared::domain::Kopecks;
use shared::measoft::NewOrder;

/// The order as MeaSoft should hold it.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    pub order: NewOrder,
    /// Sum the courier has to collect.
    pub collect: Kopecks,
    /// Of everything MeaSoft understands, without our number and its line codes.
    pub hash: String,
    /// The same without the declared value: that comes with a trigger, whatever RetailCRM shows
    /// yet of what was saved.
    pub undeclared_hash: String,
}
