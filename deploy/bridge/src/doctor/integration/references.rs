//! The lists of a RetailCRM account that an integration is held against.

use bridge_worker::vendor::references;
use shared::retailcrm::{Crm, CrmError, DeliveryType, ModuleSettings, PaymentStatus, PaymentType, Status};

pub struct References {
    pub delivery_types: Vec<DeliveryType>,
    pub payment_types: Vec<PaymentType>,
    pub payment_statuses: Vec<PaymentStatus>,
    pub statuses: Vec<Status>,
}

impl References {
    pub async fn read(crm: &dyn Crm) -> Result<Self, CrmError> {
        Ok(Self {
            delivery_types: crm.delivery_types().await?,
            payment_types: crm.payment_types().await?,
            payment_statuses: crm.payment_statuses().await?,
            statuses: crm.statuses().await?,
        })
    }

    /// As the workers read them.
    pub fn lists(&self, module: Option<&ModuleSettings>) -> references::References {
        references::References::of_lists(
            self.payment_statuses.clone(),
            self.payment_types.clone(),
            self.delivery_types.clone(),
            module,
        )
    }
}
