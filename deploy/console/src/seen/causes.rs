//! What is broken, what nobody has looked at first.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::domain::IntegrationId;
use shared::store::causes::Cause;
use shared::store::dead_letters::DeadFilter;
use shared::store::{self, Store};

/// Nobody puts a trouble off for longer.
pub const LONGEST_SNOOZE: Duration = Duration::from_secs(90 * 24 * 3600);

/// What integrations are called.
pub type Titles = BTreeMap<IntegrationId, String>;

/// Causes, as they are listed.
pub struct Causes {
    pub shown: Vec<Cause>,
    /// Snoozed ones that are left out.
    pub hidden: usize,
    pub titles: Titles,
}

impl Causes {
    /// Those that a filter lets through, snoozed ones only where they are asked for.
    pub async fn of(store: &Store, filter: &DeadFilter, snoozed_too: bool) -> store::Result<Self> {
        let (mut shown, hidden): (Vec<Cause>, Vec<Cause>) =
            store.causes(filter).await?.into_iter().partition(|cause| snoozed_too || cause.snoozed.is_none());
        // What nobody has looked at comes first, then what concerns most.
        shown.sort_by_key(|cause| {
            (cause.snoozed.is_some(), cause.acknowledged.is_some(), std::cmp::Reverse(cause.letters))
        });
        let mut titles = Titles::new();
        for id in shown.iter().filter_map(|cause| cause.integration) {
            if !titles.contains_key(&id)
                && let Some(found) = store.integration(id).await?
            {
                titles.insert(id, found.title);
            }
        }
        Ok(Self { shown, hidden: hidden.len(), titles })
    }
}
