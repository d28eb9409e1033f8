//! Tells who waits for an order that it has been worked on. Within one process only: others
//! are found by looking at the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::domain::{CrmOrderId, IntegrationId};
use tokio::sync::Notify;

type Key = (IntegrationId, CrmOrderId);

#[derive(Default)]
pub struct Notifier(Mutex<HashMap<Key, (usize, Arc<Notify>)>>);

/// One who waits; forgotten when dropped.
pub struct Listener {
    notifier: Arc<Notifier>,
    key: Key,
    notify: Arc<Notify>,
}

impl Notifier {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, (usize, Arc<Notify>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn listen(self: &Arc<Self>, integration: IntegrationId, order: CrmOrderId) -> Listener {
        let key = (integration, order);
        let notify = {
            let mut waiting = self.lock();
            let entry = waiting.entry(key).or_default();
            entry.0 += 1;
            entry.1.clone()
        };
        Listener { notifier: self.clone(), key, notify }
    }

    pub fn notify(&self, integration: IntegrationId, order: CrmOrderId) {
        let waiting = self.lock();
        // Most work has nobody waiting for it.
        if !waiting.is_empty()
            && let Some((_, notify)) = waiting.get(&(integration, order))
        {
            notify.notify_waiters();
        }
    }

    /// Orders somebody waits for.
    pub fn waiting(&self) -> usize {
        self.lock().len()
    }
}

impl Listener {
    /// Resolves at the next ring after this call, whenever it is first polled.
    pub fn notified(&self) -> impl Future<Output = ()> + Send + use<> {
        self.notify.clone().notified_owned()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut waiting = self.notifier.lock();
        if let Some(entry) = waiting.get_mut(&self.key) {
            entry.0 -= 1;
            if entry.0 == 0 {
                waiting.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_ring_between_asking_and_waiting_is_heard() {
        let notifier = Arc::new(Notifier::default());
        let listener = notifier.listen(IntegrationId(1), CrmOrderId(1));
        let notified = listener.notified();
        notifier.notify(IntegrationId(1), CrmOrderId(1));
        notified.await;
    }

    #[tokio::test(start_paused = true)]
    async fn another_order_s_ring_wakes_nobody_and_nothing_stays_behind() {
        let notifier = Arc::new(Notifier::default());
        let (one, two) =
            (notifier.listen(IntegrationId(1), CrmOrderId(1)), notifier.listen(IntegrationId(1), CrmOrderId(1)));
        let notified = one.notified();
        notifier.notify(IntegrationId(2), CrmOrderId(1));
        assert!(tokio::time::timeout(std::time::Duration::from_secs(1), notified).await.is_err());
        drop(one);
        assert_eq!(notifier.waiting(), 1);
        drop(two);
        assert_eq!(notifier.waiting(), 0);
    }
}
