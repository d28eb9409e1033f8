//! What the handlers need from outside. They see neither broker, environment nor clock of
//! the system.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use shared::clock::{Clock, later};
use shared::retailcrm::CrmError;
use shared::store::Store;
use shared::store::journal::Journal;
use shared::telemetry::Metrics;

use crate::notifier::Notifier;
use crate::policy::Policy;
use crate::vendor::ActiveIntegration;
use crate::vendor::limiter::Limiter;
use crate::vendor::references::{AGAIN, FRESH, ReferenceCache, References};
use crate::vendor::towns::TownCache;

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
    pub limiter: Arc<Limiter>,
    pub policy: Policy,
    pub limits: Limits,
    /// Our name on leases; unique per process.
    pub owner: String,
    pub module_code: String,
    pub references: Arc<ReferenceCache>,
    pub towns: Arc<TownCache>,
    /// Rings when an order has been worked on.
    pub notifier: Arc<Notifier>,
}

impl Tools {
    /// Until when a lease that is taken or renewed now holds.
    pub fn lease_until(&self) -> Timestamp {
        later(self.clock.now(), self.limits.lease)
    }
}

impl References {
    /// The kept lists of an integration, read when they are old.
    /// `Err`: when there are none yet and they cannot be read.
    pub async fn of(tools: &Tools, active: &ActiveIntegration) -> Result<Arc<Self>, CrmError> {
        tools.references.get(&tools.clock, active, &tools.module_code, FRESH).await
    }

    /// Lists that were read at that moment or later, for what may have changed since.
    pub async fn since(tools: &Tools, active: &ActiveIntegration, moment: Timestamp) -> Result<Arc<Self>, CrmError> {
        tools.references.read_since(&tools.clock, active, &tools.module_code, moment).await
    }

    /// The same after an order named something they do not have.
    pub async fn reread(tools: &Tools, active: &ActiveIntegration) -> Result<Arc<Self>, CrmError> {
        tools.references.get(&tools.clock, active, &tools.module_code, AGAIN).await
    }
}
