//! Telling RetailCRM what the delivery module of an integration offers.

use anyhow::Context as _;
use serde_json::json;
use shared::config::Config;
use shared::domain::{Integration, crm_account};
use shared::store::Store;
use shared::store::audit::{Act, NewAudit, Who};

use crate::callbacks::registration::{self, Registered};
use crate::manage::vendors;
use crate::vendor::ActiveIntegration;

/// Registers the module, or brings its registration up to date, and notes who did it.
///
/// # Errors
/// What RetailCRM says. Safe to repeat.
pub async fn register(
    config: &Config,
    store: &Store,
    integration: &Integration,
    who: &Who,
) -> anyhow::Result<Registered> {
    let (vendors, journal) = vendors(integration, config, store)?;
    let account = crm_account::address(&integration.crm_url);
    let all = store.integrations().await?;
    let first = all.iter().all(|i| i.id.0 >= integration.id.0 || crm_account::address(&i.crm_url) != account);
    let shop = ActiveIntegration::new(integration.clone(), vendors);
    let done = registration::register(&shop, first, config).await;
    journal.flush().await;
    let done = done.context("RetailCRM does not register the module")?;
    let mut entry = NewAudit::of_integration(who, Act::Registered, shop.id());
    entry.after.insert("code".to_owned(), json!(done.code));
    entry.after.insert("widget".to_owned(), json!(done.widget.as_str()));
    store.note_act(&entry).await?;
    Ok(done)
}
