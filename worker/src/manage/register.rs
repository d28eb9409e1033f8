//! Telling RetailCRM what the delivery module of an integration offers.

use anyhow::Context as _;
use serde_json::json;
use shared::config::Config;
use shared::domain::Integration;
use shared::store::Store;
use shared::store::audit::{Act, NewAudit, Who};
use shared::widget;

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
    let first = registration::is_first(store, integration).await?;
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

/// Asks RetailCRM whether the module may have a widget in the order's card; in words.
///
/// # Errors
/// When RetailCRM cannot be asked, or no widget is built: what was registered once is not known to go.
pub async fn may_have_widget(config: &Config, store: &Store, integration: &Integration) -> anyhow::Result<String> {
    let is_built = config.widget_dir.as_deref().is_some_and(widget::is_built);
    anyhow::ensure!(is_built, "not asked: WIDGET_DIR holds no built widget");
    let (vendors, journal) = vendors(integration, config, store)?;
    let first = registration::is_first(store, integration).await?;
    let shop = ActiveIntegration::new(integration.clone(), vendors);
    let asked = registration::may_have_widget(&shop, first, config).await;
    journal.flush().await;
    Ok(match asked? {
        Ok(true) => "accepted, and shown when the module is read".to_owned(),
        Ok(false) => "accepted, and not shown when the module is read".to_owned(),
        Err(why) => format!("refused: {why}"),
    })
}
