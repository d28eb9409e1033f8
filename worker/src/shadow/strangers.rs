//! Orders that MeaSoft has, RetailCRM shows for this integration's, and no trigger has told of:
//! a second action that was forgotten in RetailCRM's trigger shows so.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use shared::clock::later;
use shared::domain::{IntegrationId, OrderNumber};
use shared::measoft::StatusRow;
use shared::retailcrm::wire::order::Order;
use shared::store::shadow_orders::{ShadowOrder, Side, Verdict};

use crate::order::lost_writes::OwnNumbers;
use crate::order::report::failure;
use crate::order::shadow::{is_ours, pause};
use crate::shadow::ask::Stop;
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;

/// Numbers asked about in one run.
const AT_ONCE: usize = 200;
/// How far MeaSoft's clock may be from ours.
const CLOCKS_APART: Duration = Duration::from_secs(60);
/// A trigger may be as late as that, in pauses.
const LATE: u32 = 5;

/// Keeps those of the listed orders that nobody has told of.
pub(super) async fn note(
    tools: &Tools,
    active: &ActiveIntegration,
    rows: &[StatusRow],
    since: Timestamp,
) -> Result<(), Stop> {
    let now = tools.clock.now();
    let all = tools.store.integrations().await?;
    let own = OwnNumbers::of(&all, &active.integration);
    let made = |row: &StatusRow| row.history.iter().chain(&row.status).filter_map(|status| status.createtime_gmt).min();
    let in_time = |at: Timestamp| since <= later(at, CLOCKS_APART) && later(at, pause(tools) * LATE) <= now;
    let mut named: BTreeMap<&str, &StatusRow> = BTreeMap::new();
    for row in rows.iter().filter(|row| made(row).is_some_and(in_time)) {
        named.extend(row.orderno.as_ref().filter(|number| own.has(number.as_str())).map(|n| (n.as_str(), row)));
    }
    let numbers: Vec<&str> = named.keys().copied().collect();
    let account = active.integration.courier_account();
    let ids: Vec<IntegrationId> = all.iter().filter(|i| i.courier_account() == account).map(|i| i.id).collect();
    for owner in tools.store.owners_of(&ids, &numbers).await? {
        named.remove(owner.orderno.as_str());
    }
    for known in tools.store.known_in_shadow(active.id(), &numbers).await? {
        named.remove(known.orderno.as_deref().unwrap_or_default());
    }
    let bare = |orderno: &str| orderno.strip_prefix(active.integration.prefix.as_str()).map(OrderNumber::parse);
    let asked: Vec<OrderNumber> = named.keys().filter_map(|orderno| bare(orderno)?.ok()).take(AT_ONCE).collect();
    if asked.is_empty() {
        return Ok(());
    }
    let orders = match active.vendors.crm.orders_by_numbers(&asked).await {
        Ok(orders) => orders,
        Err(error) => return Err(Stop::Outcome(failure(tools, active, &error).await)),
    };
    let orders: Vec<Order> = orders.into_iter().flatten().filter(|order| is_ours(tools, active, order)).collect();
    let mut found = Vec::new();
    for order in &orders {
        // Numbers repeat between the shops of one RetailCRM: whose it is cannot be told.
        if orders.iter().filter(|other| other.number == order.number).count() > 1 {
            continue;
        }
        let orderno = format!("{}{}", active.integration.prefix, order.number.as_str());
        let Some(row) = named.get(orderno.as_str()) else { continue };
        let mut missing = ShadowOrder::new(active.id(), Some(order.id), order.number.as_str(), Side::Shadow, now);
        missing.content.status = Some(row.status.as_ref().map_or("NEW", |status| status.code.as_str()).to_owned());
        (missing.orderno, missing.verdict) = (Some(orderno), Verdict::MissingHere);
        found.push(missing);
    }
    // One whose trigger came at this moment keeps what was decided of it.
    Ok(tools.store.choose_sides(&found).await?)
}
