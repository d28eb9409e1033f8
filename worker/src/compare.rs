//! One day's orders in three books: RetailCRM, the ledger, MeaSoft. Reads only; what it finds can
//! be made good the way every trigger goes.

pub mod books;
pub mod repair;
#[cfg(test)]
mod stories;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context as _;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use shared::config::Config;
use shared::domain::{CrmOrderId, Delivery, Integration, IntegrationId};
use shared::measoft::{Done, StatusRow};
use shared::retailcrm::wire::order::Order;
use shared::store::Store;

use crate::ask::answered;
use crate::compare::books::{Entry, Found, Repair, Shown, disagreements};
use crate::order::lost_writes::OwnNumbers;
use crate::order::{correction, request};
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::budget::Priority;
use crate::vendor::references::References;

/// Pages of RetailCRM's orders that are gone back through at most: 100 orders each.
const PAGES: u64 = 500;
/// Questions by number: look-ups are rationed (protocols/measoft.md#limits).
const LOOK_UPS: usize = 50;

/// What is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// A page of RetailCRM's orders.
    Page(u64),
    /// So many orders of RetailCRM, by their ids.
    ByIds(usize),
    /// MeaSoft's orders of the day and its neighbours.
    Days,
    /// One order at MeaSoft by its number: which, of how many.
    ByNumber(usize, usize),
}

/// What a day's orders come to.
#[derive(Debug)]
pub struct Comparison {
    pub day: Date,
    /// Orders of the day in RetailCRM, the ledger and at MeaSoft.
    pub orders: [usize; 3],
    /// RetailCRM's orders of the day cannot be listed: the integration names no delivery types.
    pub unlisted: bool,
    /// Orders that MeaSoft did not list and that were not asked about, since look-ups are rationed.
    pub unasked: usize,
    pub found: Vec<Found>,
    /// As the ledger has them: those that a trigger would make good.
    pub deliveries: Vec<Delivery>,
}

/// Compares by clients of its own. `progress` hears what is being read.
///
/// # Errors
/// When a book cannot be read.
pub async fn compare(
    config: &Arc<Config>,
    store: &Store,
    integration: &Integration,
    day: Date,
    progress: &(dyn Fn(Reads) + Send + Sync),
) -> anyhow::Result<Comparison> {
    let (tools, active) = crate::tools_of_one(config, store, integration)?;
    let compared = compare_with(&tools, &active, day, progress).await;
    tools.journal.flush().await;
    compared
}

/// [`compare`] by clients that are there.
pub(crate) async fn compare_with(
    tools: &Tools,
    active: &ActiveIntegration,
    day: Date,
    progress: &(dyn Fn(Reads) + Send + Sync),
) -> anyhow::Result<Comparison> {
    let references = References::of(tools, active).await.context("RetailCRM cannot be asked")?;
    let types = &active.integration.settings.delivery_types;
    let mut orders = match types.is_empty() {
        true => Vec::new(),
        false => listed(active, day, progress).await?,
    };
    let (from, to) = span(day, &references.zone)?;
    let ids: Vec<CrmOrderId> = orders.iter().map(|order| order.id).collect();
    let deliveries = tools.store.deliveries_of_span(active.id(), (from, to), &ids).await?;
    let of_the_day = orders.len();
    orders.extend(unread(active, &deliveries, &ids, progress).await?);
    let mut parcels = parcels(tools, active, day, progress).await?;
    let unasked = look_up(tools, active, &deliveries, &mut parcels, progress).await?;
    let shown = shown(tools, active, &references, &orders, &deliveries).await?;
    let own = foreign_to_the_ledger(tools, active, &parcels, (day, &references.zone)).await?;
    let there = deliveries.iter().filter(|d| parcels.contains_key(d.orderno.as_str())).count() + own.len();
    let mut found = Vec::new();
    let mut add = |entry: Entry<'_>| found.extend(disagreements(&entry, &active.integration.settings));
    for d in deliveries.iter().filter(|d| !unasked.contains(d.orderno.as_str())) {
        let order = shown.iter().find(|order| order.id == d.crm_order);
        add(Entry { order, delivery: Some(d), parcel: parcels.get(d.orderno.as_str()) });
    }
    let known: BTreeSet<CrmOrderId> = deliveries.iter().map(|d| d.crm_order).collect();
    for order in shown.iter().filter(|order| !known.contains(&order.id)) {
        add(Entry { order: Some(order), ..Entry::default() });
    }
    for orderno in &own {
        add(Entry { parcel: parcels.get(orderno), ..Entry::default() });
    }
    let orders = [of_the_day, deliveries.len(), there];
    let deliveries = to_make_good(deliveries, &found);
    Ok(Comparison { day, orders, unlisted: types.is_empty(), unasked: unasked.len(), found, deliveries })
}

/// Those that a repair needs: what came of a comparison is kept for a while.
fn to_make_good(mut deliveries: Vec<Delivery>, found: &[Found]) -> Vec<Delivery> {
    let missed = found.iter().filter(|one| matches!(one.repair, Some(Repair::Trigger(_))));
    let orders: BTreeSet<CrmOrderId> = missed.filter_map(|one| one.order).collect();
    deliveries.retain(|d| orders.contains(&d.crm_order));
    deliveries.shrink_to_fit();
    deliveries
}

/// A day of RetailCRM's account.
fn span(day: Date, zone: &TimeZone) -> anyhow::Result<(Timestamp, Timestamp)> {
    let begins = |day: Date| day.to_datetime(Time::midnight()).to_zoned_datetime(zone.clone()).map(|at| at.timestamp());
    Ok((begins(day)?, begins(day.tomorrow()?)?))
}

/// RetailCRM's orders of the day, newest pages first.
async fn listed(
    active: &ActiveIntegration,
    day: Date,
    progress: &(dyn Fn(Reads) + Send + Sync),
) -> anyhow::Result<Vec<Order>> {
    let mut found: BTreeMap<CrmOrderId, Order> = BTreeMap::new();
    for page in 1..=PAGES {
        progress(Reads::Page(page));
        let types = &active.integration.settings.delivery_types;
        let got =
            active.vendors.crm.orders_by_delivery_types(types, page).await.context("RetailCRM cannot be asked")?;
        let is_past = |order: &Order| order.created_at.is_some_and(|at| at.date() < day);
        let read: Vec<Order> = got.orders.into_iter().flatten().collect();
        let over = read.last().is_none_or(is_past) || page >= got.total_pages;
        let of_the_day = read.into_iter().filter(|order| order.created_at.is_some_and(|at| at.date() == day));
        found.extend(of_the_day.map(|order| (order.id, order)));
        if over {
            return Ok(found.into_values().collect());
        }
    }
    anyhow::bail!("more than {PAGES} pages of RetailCRM's orders are newer than {day}: choose a later day")
}

/// Orders that the ledger has and the list did not.
async fn unread(
    active: &ActiveIntegration,
    deliveries: &[Delivery],
    read: &[CrmOrderId],
    progress: &(dyn Fn(Reads) + Send + Sync),
) -> anyhow::Result<Vec<Order>> {
    let ids: Vec<CrmOrderId> = deliveries.iter().map(|d| d.crm_order).filter(|id| !read.contains(id)).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    progress(Reads::ByIds(ids.len()));
    let rows = active.vendors.crm.orders_by_ids(&ids).await.context("RetailCRM cannot be asked")?;
    Ok(rows.into_iter().flatten().collect())
}

/// What MeaSoft has of the day and its neighbours, whose day may be another: by number, the newest.
async fn parcels(
    tools: &Tools,
    active: &ActiveIntegration,
    day: Date,
    progress: &(dyn Fn(Reads) + Send + Sync),
) -> anyhow::Result<BTreeMap<String, StatusRow>> {
    progress(Reads::Days);
    let (from, to) = (day.checked_sub(1.day())?, day.checked_add(1.day())?);
    let rows = active.vendors.courier.status_by_created(from, to, Done::All);
    let mut parcels = BTreeMap::new();
    for row in answered(tools.ask_as(active, Priority::Bulk, rows).await)? {
        keep(&mut parcels, row);
    }
    Ok(parcels)
}

fn keep(parcels: &mut BTreeMap<String, StatusRow>, row: StatusRow) {
    let Some(orderno) = row.orderno.as_ref().map(ToString::to_string) else { return };
    let newer = parcels.get(&orderno).is_none_or(|known| known.ordercode <= row.ordercode);
    if newer {
        parcels.insert(orderno, row);
    }
}

/// Asks by number for what the ledger holds for placed and MeaSoft did not list. Answers the
/// numbers that were not asked about.
async fn look_up(
    tools: &Tools,
    active: &ActiveIntegration,
    deliveries: &[Delivery],
    parcels: &mut BTreeMap<String, StatusRow>,
    progress: &(dyn Fn(Reads) + Send + Sync),
) -> anyhow::Result<BTreeSet<String>> {
    let missing: Vec<&Delivery> =
        deliveries.iter().filter(|d| d.state.is_placed() && !parcels.contains_key(d.orderno.as_str())).collect();
    for (n, d) in missing.iter().take(LOOK_UPS).enumerate() {
        progress(Reads::ByNumber(n + 1, missing.len().min(LOOK_UPS)));
        let rows = active.vendors.courier.status_by_orderno(&d.orderno);
        for row in answered(tools.ask_as(active, Priority::Bulk, rows).await)? {
            keep(parcels, row);
        }
    }
    Ok(missing.iter().skip(LOOK_UPS).map(|d| d.orderno.to_string()).collect())
}

/// RetailCRM's orders as they would be handed over.
async fn shown(
    tools: &Tools,
    active: &ActiveIntegration,
    references: &References,
    orders: &[Order],
    deliveries: &[Delivery],
) -> anyhow::Result<Vec<Shown>> {
    let ids: Vec<CrmOrderId> = orders.iter().map(|order| order.id).collect();
    let corrections = tools.store.corrections(active.id(), &ids).await?;
    let instance = active.integration.code(&tools.module_code);
    let types = &active.integration.settings.delivery_types;
    let of = |order: &Order| {
        let code = order.delivery.code.as_ref();
        let known = deliveries.iter().find(|d| d.crm_order == order.id);
        let ours = code.is_some_and(|code| types.contains(code))
            || order.delivery.integration_code.as_deref() == Some(&instance)
            || (types.is_empty() && known.is_some_and(|d| Some(&d.delivery_type) == code));
        let collect = known.and_then(|d| {
            let mut order = order.clone();
            let own: Vec<_> = corrections.iter().filter(|one| one.order == order.id).cloned().collect();
            correction::lay_over(&mut order, &own);
            request::desired(&order, &active.integration, references, None, d).ok().map(|desired| desired.collect)
        });
        Shown { id: order.id, number: order.number.clone(), ours, status: order.status.clone(), collect }
    };
    Ok(orders.iter().map(of).collect())
}

/// Numbers of parcels of the day that are this integration's by their number, and that the ledger
/// never had.
async fn foreign_to_the_ledger(
    tools: &Tools,
    active: &ActiveIntegration,
    parcels: &BTreeMap<String, StatusRow>,
    (day, zone): (Date, &TimeZone),
) -> anyhow::Result<Vec<String>> {
    let all = tools.store.integrations().await?;
    let account = active.integration.courier_account();
    let ids: Vec<IntegrationId> = all.iter().filter(|i| i.courier_account() == account).map(|i| i.id).collect();
    let own = OwnNumbers::of(&all, &active.integration);
    let of_the_day = |row: &StatusRow| {
        let first = row.history.iter().chain(&row.status).filter_map(|status| status.createtime_gmt).min();
        // Without a date it may be of the day.
        first.is_none_or(|at| at.to_zoned_datetime(zone.clone()).date() == day)
    };
    let numbers: Vec<&str> = parcels
        .iter()
        .filter(|(orderno, row)| own.has(orderno) && of_the_day(row))
        .map(|(orderno, _)| orderno.as_str())
        .collect();
    let owned = tools.store.owners_of(&ids, &numbers).await?;
    let mut unknown = Vec::new();
    for number in numbers.into_iter().filter(|number| !owned.iter().any(|owner| owner.orderno == **number)) {
        let past = tools.store.past_by_number(number, None).await?;
        if !past.iter().any(|past| past.orderno.as_str() == number && ids.contains(&past.integration)) {
            unknown.push(number.to_owned());
        }
    }
    Ok(unknown)
}
