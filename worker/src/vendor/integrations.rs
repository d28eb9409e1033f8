//! The integrations as a worker sees them, kept fresh in the background.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use shared::domain::crm_account::Access;
use shared::domain::{Integration, IntegrationId};
use shared::store::integrations::Stamp;
use shared::store::{self, Store};
use tokio_util::sync::CancellationToken;

use crate::vendor::{ActiveIntegration, Connect};

/// What became of an integration.
#[derive(Clone)]
pub enum Availability {
    Active(ActiveIntegration),
    /// Its commands wait.
    Paused,
    /// Removed, or never there.
    Unknown,
}

struct KnownIntegration {
    version: i64,
    active: bool,
    connected: Result<ActiveIntegration, String>,
}

/// Tells every shop which others are of its RetailCRM account.
fn relate(seen: &mut HashMap<IntegrationId, KnownIntegration>) {
    let integrations = seen.values().filter_map(|seen| seen.connected.as_ref().ok());
    let accounts: Vec<(IntegrationId, Access)> =
        integrations.map(|connected| (connected.id(), Access::of(&connected.integration))).collect();
    for connected in seen.values_mut().filter_map(|seen| seen.connected.as_mut().ok()) {
        let (own, id) = (Access::of(&connected.integration), connected.id());
        let others = accounts.iter().filter(|(other, access)| *other != id && access.is_one_with(&own));
        connected.siblings = others.map(|(other, _)| *other).collect();
    }
}

/// A registry of integrations; cheap to clone.
#[derive(Clone)]
pub struct ActiveIntegrations {
    store: Store,
    connect: Arc<dyn Connect>,
    seen: Arc<RwLock<HashMap<IntegrationId, KnownIntegration>>>,
    stamp: Arc<RwLock<Option<Stamp>>>,
}

impl ActiveIntegrations {
    pub fn new(store: Store, connect: Arc<dyn Connect>) -> Self {
        Self { store, connect, seen: Arc::default(), stamp: Arc::default() }
    }

    /// Reads what has changed since the last look. Answers whether anything had.
    /// `Err`: the picture stays as it was.
    pub async fn refresh(&self) -> store::Result<bool> {
        let stamp = *self.stamp.read().expect("never poisoned");
        let Some((stamp, integrations)) = self.store.integrations_since(stamp).await? else { return Ok(false) };
        let mut seen = self.seen.write().expect("never poisoned");
        seen.retain(|id, _| integrations.iter().any(|i| i.id == *id));
        for integration in integrations {
            let known = seen.get(&integration.id);
            if known.is_some_and(|known| known.version == integration.version) {
                continue;
            }
            let (id, version, active) = (integration.id, integration.version, integration.is_active());
            let connected = self.open(integration);
            if let Err(why) = &connected {
                tracing::error!(integration = id.0, why, "integration cannot be worked for");
            }
            seen.insert(id, KnownIntegration { version, active, connected });
        }
        relate(&mut seen);
        *self.stamp.write().expect("never poisoned") = Some(stamp);
        Ok(true)
    }

    fn open(&self, integration: Integration) -> Result<ActiveIntegration, String> {
        let vendors = self.connect.connect(&integration)?;
        Ok(ActiveIntegration::new(integration, vendors))
    }

    /// An integration that is not stored so (yet).
    /// `Err`: a sentence for people when its addresses are not usable.
    pub fn trial(&self, integration: Integration) -> Result<ActiveIntegration, String> {
        self.open(integration)
    }

    pub fn find(&self, id: IntegrationId) -> Availability {
        match self.seen.read().expect("never poisoned").get(&id) {
            None => Availability::Unknown,
            Some(KnownIntegration { active: true, connected: Ok(connected), .. }) => {
                Availability::Active(connected.clone())
            }
            Some(_) => Availability::Paused,
        }
    }

    /// Whatever state it is in, if its vendors can be reached.
    pub fn any(&self, id: IntegrationId) -> Option<ActiveIntegration> {
        self.seen.read().expect("never poisoned").get(&id).and_then(|seen| seen.connected.as_ref().ok().cloned())
    }

    pub fn all(&self) -> Vec<ActiveIntegration> {
        self.seen.read().expect("never poisoned").values().filter_map(|s| s.connected.as_ref().ok().cloned()).collect()
    }

    /// Keeps the picture fresh until `stop`.
    pub async fn keep_fresh(self, stop: CancellationToken) {
        loop {
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = self.store.next_tick() => looked,
            };
            let known = *self.stamp.read().expect("never poisoned");
            let refreshed = match looked {
                Ok(tick) if known == Some(tick.integrations) => continue,
                Ok(_) => self.refresh().await,
                Err(error) => Err(error),
            };
            if let Err(error) = refreshed {
                tracing::debug!(%error, "integrations could not be read; the last picture stands");
            }
        }
    }
}
