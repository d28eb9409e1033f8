//! The lists of a RetailCRM account that an integration is held against.

use shared::retailcrm::{DeliveryType, ModuleSettings, PaymentStatus, PaymentType, Status};

pub struct References {
    pub delivery_types: Vec<DeliveryType>,
    pub payment_types: Vec<PaymentType>,
    pub payment_statuses: Vec<PaymentStatus>,
    pub statuses: Vec<Status>,
}

impl References {
    /// As the workers read them.
    pub(super) fn lists(&self, module: Option<&ModuleSettings>) -> bridge_worker::vendor::references::References {
        bridge_worker::vendor::references::References::of_lists(
            self.payment_statuses.clone(),
            self.payment_types.clone(),
            self.delivery_types.clone(),
            module,
        )
    }
}
