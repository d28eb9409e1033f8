//! The leases of a batch, kept while its orders are in hand.

use shared::store::intents::{Held, Intent};

use crate::Tools;

/// Renews the leases of a batch while it is worked on. No connection is held.
pub(crate) struct OrderLeaseGuard {
    held: std::sync::Arc<std::sync::Mutex<Leases>>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Debug, Clone, Default)]
struct Leases {
    intents: Vec<Held>,
    deliveries: Vec<i64>,
}

impl OrderLeaseGuard {
    pub(crate) fn start(tools: &Tools, intents: &[Intent]) -> Self {
        let leases = Leases { intents: intents.iter().map(Held::from).collect(), deliveries: Vec::new() };
        let held = std::sync::Arc::new(std::sync::Mutex::new(leases));
        let (tools, shared) = (tools.clone(), held.clone());
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(tools.limits.lease / 3).await;
                let until = tools.lease_until();
                let held: Leases = shared.lock().expect("never poisoned").clone();
                let renewed = async {
                    tools.store.renew_intents(&tools.owner, &held.intents, until).await?;
                    tools.store.renew_deliveries(&tools.owner, &held.deliveries, until).await
                };
                if let Err(error) = renewed.await {
                    tracing::warn!(%error, "leases could not be renewed");
                }
            }
        });
        Self { held, task }
    }

    pub(crate) fn add_intent(&self, intent: &Intent) {
        self.held.lock().expect("never poisoned").intents.push(intent.into());
    }

    pub(crate) fn add_delivery(&self, id: i64) {
        self.held.lock().expect("never poisoned").deliveries.push(id);
    }
}

impl Drop for OrderLeaseGuard {
    fn drop(&mut self) {
        self.task.abort();
    }
}
