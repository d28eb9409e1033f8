//! Both vendors as a worker meets them: clients, budgets, breakers, lists.

use shared::domain::Integration;
use shared::domain::IntegrationId;
use shared::measoft::Courier;
use shared::retailcrm::Crm;

use crate::Arc;

pub mod address;
pub mod breaker;
pub mod budget;
pub mod connect;
pub mod crm_breaker;
pub mod crm_rate;
pub mod held;
pub mod integrations;
pub mod limiter;
pub mod references;
pub mod towns;

/// Both vendors as one integration reaches them.
#[derive(Clone)]
pub struct Vendors {
    pub courier: Arc<dyn Courier>,
    pub crm: Arc<dyn Crm>,
}

/// Makes the vendors' clients of an integration.
pub trait Connect: Send + Sync {
    /// `Err`: a sentence for people when the integration's addresses are not usable.
    fn connect(&self, integration: &Integration) -> Result<Vendors, String>;
}

/// An integration ready to be worked for.
#[derive(Clone)]
pub struct ActiveIntegration {
    pub integration: Arc<Integration>,
    pub vendors: Vendors,
    /// The other integrations of its RetailCRM account: an order may move between them.
    pub siblings: Arc<[IntegrationId]>,
}

impl ActiveIntegration {
    /// Alone in its RetailCRM account, as far as is known.
    pub fn new(integration: impl Into<Arc<Integration>>, vendors: Vendors) -> Self {
        Self { integration: integration.into(), vendors, siblings: Arc::default() }
    }

    pub fn id(&self) -> IntegrationId {
        self.integration.id
    }
}
