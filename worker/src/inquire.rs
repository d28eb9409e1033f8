//! What MeaSoft has of one order now, beside what the ledger holds.

use std::sync::Arc;

use shared::config::Config;
use shared::domain::{Delivery, Integration};
use shared::measoft::StatusRow;
use shared::store::Store;

use crate::ask::answered;
use crate::order::take_over::newest;

/// Deliveries of one number that are asked about: look-ups are rationed
/// (protocols/measoft.md#limits).
const FEW: usize = 5;

/// One delivery, and what MeaSoft says of it.
#[derive(Debug)]
pub struct Said {
    pub delivery: Delivery,
    /// `None`: MeaSoft has no such order.
    pub row: Option<StatusRow>,
}

impl Said {
    /// The status there is not the one that the ledger has.
    pub fn is_news(&self) -> bool {
        let theirs = self.row.as_ref().and_then(|row| row.status.as_ref()).filter(|status| status.code.is_known());
        theirs.is_some_and(|status| Some(status.code.as_str()) != self.delivery.status.as_deref())
    }
}

/// Asks MeaSoft for the orders that bear a number, within its limits. A status that is news is asked
/// for the way all are, so that the ledger takes it over.
///
/// # Errors
/// When MeaSoft or the ledger cannot be asked.
pub async fn inquire(
    config: &Arc<Config>,
    store: &Store,
    integration: &Integration,
    number: &str,
) -> anyhow::Result<Vec<Said>> {
    let deliveries = store.deliveries_by_number(number, Some(integration.id)).await?;
    let (tools, active) = crate::tools_of_one(config, store, integration)?;
    let mut said = Vec::new();
    for delivery in deliveries.into_iter().take(FEW) {
        let asked = tools.ask(&active, active.vendors.courier.status_by_orderno(&delivery.orderno)).await;
        let rows = answered(asked);
        tools.journal.flush().await;
        let row = newest(rows?.iter(), &delivery).cloned();
        said.push(Said { delivery, row });
    }
    if said.iter().any(Said::is_news) {
        store.ask_for_sync(&[integration.id]).await?;
    }
    Ok(said)
}
