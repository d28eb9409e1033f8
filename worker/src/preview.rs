//! What would be done for an order now, without doing it: the real reading, decision and
//! conversion over a copy of what the ledger knows, with clients that keep what would change
//! something instead of sending it.

mod scratch;

use std::sync::Arc;

use anyhow::Context as _;
use shared::config::Config;
use shared::ctx::Ctx;
use shared::domain::{CrmOrderId, Delivery, Integration, OrderNumber};
use shared::measoft::{self, StatusRow};
use shared::retailcrm;
use shared::store::corrections::Correction;
use shared::store::dead_letters::{DeadFilter, DeadLetter};
use shared::store::intents::{Intent, RequestKind};
use shared::store::journal::{Journal, Search, What};
use shared::store::{self, Store};
use shared::story::Event;

pub use crate::order::difference::{Difference, Field};

use crate::order::{batch, difference};
use crate::preview::scratch::Scratch;
use crate::tools::Tools;
use crate::vendor::budget::Budget;
use crate::vendor::connect::{Clients, HoldBack};
use crate::vendor::limiter::Limiter;
use crate::vendor::{ActiveIntegration, Connect as _, Vendors};

/// Batches that are followed: what comes up beside a request, or because of it, is worked on too.
const FOLLOWED: usize = 5;

/// What would be done.
pub struct Preview {
    /// What was asked for; `None`: what waits for the order anyway.
    pub asked: Option<RequestKind>,
    /// What each order that bears the number comes to.
    pub decisions: Vec<Decision>,
    /// What would leave to MeaSoft, in order.
    pub to_measoft: Vec<measoft::HeldBack>,
    /// What RetailCRM would be told, masked.
    pub to_crm: Vec<retailcrm::HeldBack>,
    /// What people have set right of the orders, and is used.
    pub corrections: Vec<Correction>,
    /// What a person would have to mend.
    pub failures: Vec<DeadLetter>,
    /// The orders as MeaSoft has them.
    pub at_measoft: Vec<StatusRow>,
    /// What of them would become different.
    pub differences: Vec<Difference>,
}

/// What one order comes to.
pub struct Decision {
    /// RetailCRM's id, where one order is meant.
    pub order: Option<CrmOrderId>,
    /// The number at MeaSoft that it has, or would get.
    pub orderno: Option<String>,
    /// One of [`shared::message::Outcome::LABELS`].
    pub outcome: String,
    pub story: Vec<Event>,
}

/// Works on a number as if its trigger had come now; nothing is written anywhere but for the
/// count of the requests that read.
///
/// # Errors
/// When the ledger, RetailCRM or MeaSoft cannot be read.
pub async fn preview(
    config: &Arc<Config>,
    store: &Store,
    integration: &Integration,
    number: &OrderNumber,
    asked: Option<RequestKind>,
) -> anyhow::Result<Preview> {
    let scratch = Scratch::open(config, store).await?;
    let ctx = Ctx::new(config.clone(), scratch.store.clone());
    let journal = Journal::start(scratch.store.clone());
    let hold = HoldBack::default();
    let clients = Clients::new(config, scratch.store.clone(), journal.clone(), ctx.metrics.clone())?;
    let vendors = clients.holding_back(hold.clone()).connect(integration).map_err(anyhow::Error::msg)?;
    let numbers: Vec<OrderNumber> = std::iter::once(number.clone()).chain(number.unescaped()).collect();
    let read = vendors.crm.orders_by_numbers(&numbers).await.context("RetailCRM cannot be asked")?;
    let ids: Vec<CrmOrderId> = read.into_iter().flatten().map(|order| order.id).collect();
    scratch.copy(store, integration, &numbers, &ids).await?;
    let asked = scratch.request(integration.id, number, &ids, asked).await?;
    let mut tools = crate::tools(&ctx, journal.clone());
    // What is read is counted where everybody counts.
    tools.limiter =
        Limiter::new(ctx.clock.clone(), Budget::new(store.clone(), &config.budgets), config.timing.breaker_open);
    let active = ActiveIntegration::new(integration.clone(), vendors.clone());
    work(&tools, &active, &scratch).await?;
    journal.flush().await;
    let (at_measoft, differences) = compare(&scratch, integration, &vendors, &numbers, &ids, &hold).await?;
    let failures = scratch.store.dead_letters(&DeadFilter::default()).await?;
    let decisions = decisions(&scratch, integration, &numbers, &ids).await?;
    let corrections = scratch.store.corrections(integration.id, &ids).await?;
    let (to_measoft, to_crm) = (hold.measoft.kept(), hold.crm.kept());
    Ok(Preview { asked, decisions, to_measoft, to_crm, corrections, failures, at_measoft, differences })
}

/// Works on what is due, and on what that asks for, as a worker does.
async fn work(tools: &Tools, active: &ActiveIntegration, scratch: &Scratch) -> anyhow::Result<()> {
    let mut intents = claimed(tools, active).await?;
    anyhow::ensure!(!intents.is_empty(), "nothing is wanted of the order");
    for _ in 0..FOLLOWED {
        batch::process(tools, active, intents).await;
        if !scratch.bring_up().await? {
            break;
        }
        intents = claimed(tools, active).await?;
    }
    Ok(())
}

async fn claimed(tools: &Tools, active: &ActiveIntegration) -> store::Result<Vec<Intent>> {
    tools.store.claim_intents(active.id(), &tools.owner, tools.lease_until(), 50).await
}

async fn decisions(
    scratch: &Scratch,
    integration: &Integration,
    numbers: &[OrderNumber],
    ids: &[CrmOrderId],
) -> anyhow::Result<Vec<Decision>> {
    let known = scratch.deliveries(integration.id, numbers, ids).await?;
    let search = Search { integration: Some(integration.id), limit: 100, ..Search::default() };
    let mut found: Vec<Decision> = Vec::new();
    for entry in scratch.store.search_journal(&search).await? {
        let Some(outcome) = entry.outcome.filter(|_| entry.what == What::Decision) else { continue };
        // What was decided on the way there is said by what followed.
        if entry.orderno.is_some() && found.iter().any(|later| later.orderno == entry.orderno) {
            continue;
        }
        let of = |d: &&Delivery| entry.orderno.as_deref() == Some(d.orderno.as_str());
        let order = known.iter().find(of).map(|d| d.crm_order);
        found.push(Decision { order, orderno: entry.orderno, outcome, story: entry.story });
    }
    found.reverse();
    Ok(found)
}

/// The orders as MeaSoft has them, and what would be different.
async fn compare(
    scratch: &Scratch,
    integration: &Integration,
    vendors: &Vendors,
    numbers: &[OrderNumber],
    ids: &[CrmOrderId],
    hold: &HoldBack,
) -> anyhow::Result<(Vec<StatusRow>, Vec<Difference>)> {
    let (mut rows, mut differences) = (Vec::new(), Vec::new());
    let wanted = hold.measoft.orders();
    for d in scratch.deliveries(integration.id, numbers, ids).await? {
        let found = vendors.courier.status_by_orderno(&d.orderno).await.context("MeaSoft cannot be asked")?;
        // Numbers repeat over the years: the newest is meant.
        let Some(row) = found.into_iter().max_by_key(|row| row.ordercode.clone()) else { continue };
        if let Some(order) = wanted.iter().find(|order| order.orderno == d.orderno) {
            differences.extend(difference::of(&row, order));
        }
        rows.push(row);
    }
    Ok((rows, differences))
}

#[cfg(test)]
mod stories;
#[cfg(test)]
mod tests;
