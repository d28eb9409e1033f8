//! What an owner does with one integration, by the command or in the console: edit it, ask both
//! vendors whether it works, register it, give it another key.

pub mod check;
pub mod codes;
pub mod edit;
pub mod key;
pub mod register;

use std::sync::Arc;

use shared::config::Config;
use shared::domain::Integration;
use shared::store::Store;
use shared::store::journal::Journal;
use shared::telemetry::Metrics;

use crate::vendor::connect::Clients;
use crate::vendor::{Connect as _, Vendors};

/// Both vendors of an integration, and the journal of what they are asked.
fn vendors(integration: &Integration, config: &Config, store: &Store) -> anyhow::Result<(Vendors, Journal)> {
    let journal = Journal::start(store.clone());
    let clients = Clients::new(config, store.clone(), journal.clone(), Arc::new(Metrics::new()))?;
    Ok((clients.connect(integration).map_err(anyhow::Error::msg)?, journal))
}
