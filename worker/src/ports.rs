//! What the handlers need from outside. They see neither broker, environment nor clock of
//! the system.

use std::sync::Arc;
use std::time::Duration;

use shared::clock::Clock;
use shared::domain::{Integration, IntegrationId};
use shared::measoft::Courier;
use shared::retailcrm::Crm;
use shared::store::Store;
use shared::store::journal::Journal;
use shared::telemetry::Metrics;

use crate::gate::Gate;
use crate::module::bell::Bell;
use crate::module::towns::TownCache;
use crate::references::ReferenceCache;
use crate::settle::Policy;

/// Both vendors as one integration reaches them.
#[derive(Clone)]
pub struct Vendors {
    pub courier: Arc<dyn Courier>,
    pub crm: Arc<dyn Crm>,
}

/// Makes the vendors' clients of an integration.
pub trait Connect: Send + Sync {
    /// # Errors
    /// A sentence for people when the integration's addresses are not usable.
    fn connect(&self, integration: &Integration) -> Result<Vendors, String>;
}

/// An integration ready to be worked for.
#[derive(Clone)]
pub struct Shop {
    pub integration: Arc<Integration>,
    pub vendors: Vendors,
    /// The other integrations of its RetailCRM account: an order may move between them.
    pub siblings: Arc<[IntegrationId]>,
}

impl Shop {
    /// Alone in its RetailCRM account, as far as is known.
    #[must_use]
    pub fn new(integration: impl Into<Arc<Integration>>, vendors: Vendors) -> Self {
        Self { integration: integration.into(), vendors, siblings: Arc::default() }
    }

    #[must_use]
    pub fn id(&self) -> IntegrationId {
        self.integration.id
    }
}

/// Time limits of the work on one order.
#[derive(Debug, Clone)]
pub struct Limits {
    pub settle: Duration,
    pub lease: Duration,
    pub unknown_recheck: Duration,
    /// How often the scheduler asks for the statuses of a cabinet.
    pub sync_interval: Duration,
    /// Longest a call to MeaSoft may take; a look-up that a cancel waits for comes no sooner.
    pub call_limit: Duration,
}

/// Everything a handler works with.
#[derive(Clone)]
pub struct Tools {
    pub store: Store,
    pub clock: Clock,
    pub journal: Journal,
    pub metrics: Arc<Metrics>,
    pub gate: Arc<Gate>,
    pub policy: Policy,
    pub limits: Limits,
    /// Our name on leases; unique per process.
    pub owner: String,
    pub module_code: String,
    pub references: Arc<ReferenceCache>,
    pub towns: Arc<TownCache>,
    /// Rings when an order has been worked on.
    pub bell: Arc<Bell>,
}
