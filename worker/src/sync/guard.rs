//! Keeps a named lease alive while its holder works.

use jiff::Timestamp;
use shared::store;
use shared::store::leases::Lease;

use crate::tools::Tools;

/// A lease that is renewed until it is let go or dropped.
pub struct LeaseGuard {
    pub lease: Lease,
    tools: Tools,
    task: tokio::task::JoinHandle<()>,
}

impl LeaseGuard {
    /// Takes a lease and keeps it; `None` while another holds it.
    pub async fn take(tools: &Tools, name: &str) -> store::Result<Option<Self>> {
        let until: Timestamp = tools.lease_until();
        let Some(lease) = tools.store.take_lease(name, &tools.owner, until).await? else { return Ok(None) };
        let (kept, for_task) = (lease.clone(), tools.clone());
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(for_task.limits.lease / 3).await;
                match for_task.store.renew_lease(&kept, for_task.lease_until()).await {
                    Ok(true) => {}
                    // Whoever has it now is right; every write of ours checks the fence.
                    Ok(false) => return,
                    Err(error) => tracing::warn!(%error, lease = kept.name, "a lease could not be renewed"),
                }
            }
        });
        Ok(Some(Self { lease, tools: tools.clone(), task }))
    }

    /// Lets go at once instead of letting it run out.
    pub async fn release(self) {
        self.task.abort();
        if let Err(error) = self.tools.store.release_lease(&self.lease).await {
            tracing::debug!(%error, "a lease could not be released; it runs out");
        }
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        self.task.abort();
    }
}
