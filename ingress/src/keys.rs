//! The key table: which integration a presented key belongs to.
//!
//! It is kept in memory, so that triggers are accepted while the database is away, and
//! read anew within a second of any change of an integration. Keys are looked up by
//! keyed hash, so the look-up's timing says nothing about a key.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use shared::crypto::SecretKey;
use shared::domain::crm_account::Access;
use shared::domain::{Integration, IntegrationId};
use shared::measoft::push;
use shared::pasted;
use shared::store::integrations::Stamp;
use shared::store::{Result, Store};
use shared::telemetry::Heartbeat;
use tokio_util::sync::CancellationToken;

/// One look may take this long, with the second it waits for.
const LIMIT: Duration = Duration::from_secs(6);

/// An integration as a request sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub integration: IntegrationId,
    /// What it shows of its RetailCRM account.
    pub access: Arc<Access>,
}

/// What a look-up found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyLookup {
    Known(Known),
    Unknown,
    /// The table was never read: nothing can be said about any key.
    NotLoaded,
}

struct Table {
    stamp: Stamp,
    by_key: HashMap<String, Known>,
    by_client: HashMap<String, Known>,
    /// One integration of each cabinet, an active one if there is any.
    by_push: HashMap<String, Known>,
}

pub struct Keys {
    key: SecretKey,
    table: RwLock<Option<Table>>,
}

impl Keys {
    pub fn new(key: SecretKey) -> Self {
        Self { key, table: RwLock::new(None) }
    }

    /// Looks a trigger's `deliveryApiKey` up.
    pub fn find(&self, presented: &str) -> KeyLookup {
        self.look(presented, |table| &table.by_key)
    }

    /// Looks a callback's `clientId` up.
    pub fn find_client(&self, presented: &str) -> KeyLookup {
        self.look(presented, |table| &table.by_client)
    }

    /// Looks the token of MeaSoft's push up.
    pub fn find_push(&self, presented: &str) -> KeyLookup {
        self.look(presented, |table| &table.by_push)
    }

    fn look(&self, presented: &str, side: impl Fn(&Table) -> &HashMap<String, Known>) -> KeyLookup {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let Some(table) = table.as_ref() else { return KeyLookup::NotLoaded };
        // A key has no white space; where it was pasted, some may have come along.
        let presented = pasted::compact(presented);
        if presented.is_empty() {
            return KeyLookup::Unknown;
        }
        match side(table).get(&self.key.lookup_hash(&presented)) {
            Some(known) => KeyLookup::Known(known.clone()),
            None => KeyLookup::Unknown,
        }
    }

    pub fn is_loaded(&self) -> bool {
        self.table.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn stamp(&self) -> Option<Stamp> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(|table| table.stamp)
    }

    /// Reads the table anew if any integration changed. Answers whether it did.
    ///
    /// # Errors
    /// [`shared::store::StoreError`]; the present table stays.
    pub async fn refresh(&self, store: &Store) -> Result<bool> {
        let Some((stamp, integrations)) = store.integrations_since(self.stamp()).await? else { return Ok(false) };
        let table = self.build(stamp, &integrations);
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Some(table);
        Ok(true)
    }

    fn build(&self, stamp: Stamp, integrations: &[Integration]) -> Table {
        let (by_key, by_client, by_push) = (HashMap::new(), HashMap::new(), HashMap::new());
        let mut table = Table { stamp, by_key, by_client, by_push };
        for integration in integrations {
            // A paused integration's too: its commands are accepted and wait.
            let known = Known { integration: integration.id, access: Arc::new(Access::of(integration)) };
            let token = push::token(&self.key, &integration.courier_account());
            let cabinet = table.by_push.entry(self.key.lookup_hash(&token));
            if integration.is_active() {
                cabinet.insert_entry(known.clone());
            } else {
                cabinet.or_insert_with(|| known.clone());
            }
            let secrets = &integration.secrets;
            table.by_client.insert(self.key.lookup_hash(secrets.client_id.expose()), known.clone());
            table.by_key.insert(self.key.lookup_hash(secrets.delivery_api_key.expose()), known);
        }
        table
    }

    /// [`Keys::refresh`] in a second, if there is anything new by then.
    async fn next(&self, store: &Store) -> Result<bool> {
        let tick = store.next_tick().await?;
        if self.stamp() == Some(tick.integrations) { Ok(false) } else { self.refresh(store).await }
    }

    /// Keeps the table fresh until the process stops.
    pub async fn follow(&self, store: &Store, stop: &CancellationToken, beat: &Heartbeat) {
        let mut failing = false;
        loop {
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = tokio::time::timeout(LIMIT, self.next(store)) => looked,
            };
            beat.beat();
            let problem = match looked {
                Ok(Ok(changed)) => {
                    if changed {
                        tracing::info!("the integrations' keys were read");
                    }
                    None
                }
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("the database does not answer".to_owned()),
            };
            match &problem {
                Some(problem) if !failing => tracing::warn!(problem, "keys cannot be refreshed; known ones stay valid"),
                None if failing => tracing::info!("keys are refreshed again"),
                _ => {}
            }
            failing = problem.is_some();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_was_never_read_knows_nothing_not_even_who_is_unknown() {
        let keys = Keys::new(SecretKey::from_bytes([1; 32]));
        assert_eq!(keys.find("dk-1"), KeyLookup::NotLoaded);
        assert_eq!(keys.find_client("x"), KeyLookup::NotLoaded);
        assert!(!keys.is_loaded());
    }
}
