//! RetailCRM's side: walks the history of orders since a cursor, and has done what was missed.

use std::collections::BTreeSet;

use jiff::civil::DateTime;
use jiff::{Timestamp, ZonedDateTime};
use shared::domain::delivery::DeliveryState as S;
use shared::domain::{CrmOrderId, Delivery, OrderNumber};
use shared::message::{Change, Envelope, Needless, Outcome};
use shared::retailcrm::CrmError;
use shared::retailcrm::wire::history::{HistoryFrom, HistoryPage};
use shared::retailcrm::wire::order::Order;
use shared::store::jobs::NewJob;
use shared::store::journal::{Entry, What};
use shared::store::leases::Lease;
use shared::store::promotion::Window;

use crate::order::left_behind::is_left_behind;
use crate::order::lost_writes::{self, Listing};
use crate::order::shadow::handed_over;
use crate::order::{correction, report, request};
use crate::sync::reconcile::Stop;
use crate::sync::reconcile::missed::{Changed, Missed, missed};
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::references::References;

/// Records of the history in one request, and orders read in one.
const RECORDS: u32 = 100;
/// Requests of one walk; the rest comes with the next.
const PIECES: usize = 100;

/// Walks the history of orders since the cursor.
pub(crate) async fn walk(tools: &Tools, active: &ActiveIntegration, lease: &Lease) -> Result<Outcome, Stop> {
    let references = match References::of(tools, active).await {
        Ok(references) => references,
        Err(error) => return Err(failed(tools, active, &error).await),
    };
    let name = format!("history|{}", active.id());
    let local = |at: Timestamp| ZonedDateTime::new(at, references.zone.clone()).datetime();
    // What was changed before it went live the other integration has seen to.
    let handed_over = handed_over(tools, active);
    let made = handed_over.unwrap_or_default().max(active.integration.created_at);
    // RetailCRM writes whole seconds.
    let since = local(Timestamp::from_second(made.as_second()).unwrap_or(made));
    let mut from = match tools.store.cursor(&name).await? {
        Some((value, at)) if handed_over.is_none_or(|from| at >= from) => {
            HistoryFrom::After(value.parse().unwrap_or(0))
        }
        _ => HistoryFrom::Since(since),
    };
    let mut doubt = Doubt { window: lost_writes::doubt(tools).await?, listing: None };
    let mut repaired = 0;
    for _ in 0..PIECES {
        let page = match active.vendors.crm.history(from, RECORDS).await {
            Ok(page) => page,
            Err(error) => return Err(failed(tools, active, &error).await),
        };
        // A trigger of the last seconds may still be on its way: its change is left to the
        // next walk.
        let now = tools.clock.now();
        let fresh = local(now - tools.limits.settle * 10);
        let changes = changes_before(&page, fresh);
        let Some(last) = changes.last else { break };
        repaired += repair(tools, active, &references, lease, (changes, since, &mut doubt), (&name, last)).await?;
        from = HistoryFrom::After(last);
        if !page.more || Some(last) != page.last_id {
            break;
        }
    }
    if repaired > 0 {
        tracing::warn!(integration = active.id().0, repaired, "the reconcile made missed triggers good");
    }
    Ok(if repaired > 0 { Outcome::Done(Change::Synced) } else { Outcome::AlreadyDone(Needless::NothingNew) })
}

/// What is not believed since another database server took over.
struct Doubt {
    window: Option<Window>,
    /// What MeaSoft has, read when it is first asked for.
    listing: Option<Listing>,
}

impl Doubt {
    fn is_about(&self, delivery: Option<&Delivery>) -> bool {
        self.window.as_ref().is_some_and(|window| delivery.is_none_or(|d| lost_writes::is_doubtful(d, None, window)))
    }

    /// What MeaSoft has, read once a walk; `None` when nothing is in doubt.
    async fn listing(&mut self, tools: &Tools, active: &ActiveIntegration) -> Result<Option<&Listing>, Stop> {
        let Some(window) = &self.window else { return Ok(None) };
        if self.listing.is_none() {
            self.listing = Some(Listing::read(tools, active, window).await.map_err(Stop::Outcome)?);
        }
        Ok(self.listing.as_ref())
    }

    /// Whether MeaSoft has a live parcel of an order that the ledger does not know.
    async fn is_left(
        &mut self,
        tools: &Tools,
        active: &ActiveIntegration,
        (order, ours): (&Order, bool),
        delivery: Option<&Delivery>,
    ) -> Result<bool, Stop> {
        if !self.is_about(delivery) {
            return Ok(false);
        }
        let listing = self.listing(tools, active).await?;
        let row = listing.and_then(|listing| listing.live_parcel_of(order));
        let known = delivery.filter(|d| ours && matches!(d.state, S::Created | S::InWork)).map(|d| &d.orderno);
        Ok(row.is_some_and(|row| known.is_none() || row.orderno.as_ref() != known))
    }

    /// The number of what is left there of an order that RetailCRM has no more.
    async fn left_by_id(
        &mut self,
        tools: &Tools,
        active: &ActiveIntegration,
        order: CrmOrderId,
    ) -> Result<Option<OrderNumber>, Stop> {
        let listing = self.listing(tools, active).await?;
        let left = listing.and_then(|listing| listing.live_parcel_by_id(active, order));
        Ok(left.and_then(|row| OrderNumber::parse(row.orderno.as_ref()?.as_str()).ok()))
    }
}

/// What the records of a page say that are old enough.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    /// Orders that others changed.
    orders: BTreeSet<CrmOrderId>,
    /// Orders that were deleted, or combined into another, whoever did it.
    gone: BTreeSet<CrmOrderId>,
    /// The last of those records.
    last: Option<i64>,
}

/// Those before a moment.
fn changes_before(page: &HistoryPage, fresh: DateTime) -> Changes {
    let young = page.records.iter().find(|record| record.created_at.is_some_and(|at| at >= fresh)).map(|r| r.id);
    let old = |id: i64| young.is_none_or(|young| id < young);
    let records = || page.records.iter().filter(|record| old(record.id));
    let gone: BTreeSet<CrmOrderId> =
        records().filter(|record| record.deleted || record.combined).map(|record| record.order).collect();
    let orders = records()
        .filter(|record| !record.by_this_key && !gone.contains(&record.order))
        .map(|record| record.order)
        .collect();
    let last = match young {
        None => page.last_id,
        Some(_) => records().map(|record| record.id).max(),
    };
    Changes { orders, gone, last }
}

/// A missed trigger, and what is known of its order.
struct MissedTrigger {
    what: Missed,
    order: CrmOrderId,
    number: OrderNumber,
    delivery: Option<Delivery>,
}

/// Looks at orders that others changed, and at those that are gone.
async fn find(
    tools: &Tools,
    active: &ActiveIntegration,
    references: &References,
    (changes, since, doubt): (Changes, DateTime, &mut Doubt),
) -> Result<Vec<MissedTrigger>, Stop> {
    let mut found = Vec::new();
    for id in changes.gone {
        let Some(d) = tools.store.delivery_by_order(active.id(), id).await? else {
            if let Some(number) = doubt.left_by_id(tools, active, id).await? {
                found.push(MissedTrigger { what: Missed::Gone, order: id, number, delivery: None });
            }
            continue;
        };
        let intent = tools.store.intent(active.id(), id).await?;
        if let (true, Ok(number)) = (is_left_behind(&d, intent.as_ref()), OrderNumber::parse(&d.number)) {
            found.push(MissedTrigger { what: Missed::Gone, order: id, number, delivery: Some(d) });
        }
    }
    let ids: Vec<CrmOrderId> = changes.orders.into_iter().collect();
    for chunk in ids.chunks(RECORDS as usize) {
        let rows = match active.vendors.crm.orders_by_ids(chunk).await {
            Ok(rows) => rows,
            Err(error) => return Err(failed(tools, active, &error).await),
        };
        for order in rows.iter().flatten() {
            if let Some((what, delivery)) = look_at(tools, active, references, order, (since, doubt)).await? {
                found.push(MissedTrigger { what, order: order.id, number: order.number.clone(), delivery });
            }
        }
    }
    Ok(found)
}

/// Looks at changed orders and has done what was missed, in one commit with the cursor.
async fn repair(
    tools: &Tools,
    active: &ActiveIntegration,
    references: &References,
    lease: &Lease,
    changes: (Changes, DateTime, &mut Doubt),
    cursor: (&str, i64),
) -> Result<u64, Stop> {
    let found = find(tools, active, references, changes).await?;
    let now = tools.clock.now();
    let mut tx = tools.store.db.begin().await?;
    if !tx.holds_lease(lease).await? {
        return Err(Stop::taken_over());
    }
    for MissedTrigger { what, order, number, delivery } in &found {
        let command = what.command(number.clone(), delivery.as_ref(), active.id());
        let envelope = Envelope::new(command, Some(active.id()), now).of_order(*order);
        tx.enqueue(&NewJob::of(&envelope, now), now).await?;
        let mut entry =
            Entry::new(now, What::Decision, what.event()).about(active.id(), number.as_str()).outcome("repair");
        entry.orderno = delivery.as_ref().map(|d| d.orderno.to_string());
        tx.append_journal(&entry).await?;
    }
    tx.set_cursor(cursor.0, &cursor.1.to_string(), now).await?;
    tx.commit().await?;
    found.iter().for_each(|found| tools.metrics.repaired(found.what.repair()));
    Ok(found.len() as u64)
}

async fn look_at(
    tools: &Tools,
    active: &ActiveIntegration,
    references: &References,
    order: &Order,
    (since, doubt): (DateTime, &mut Doubt),
) -> Result<Option<(Missed, Option<Delivery>)>, Stop> {
    let delivery = tools.store.delivery_by_order(active.id(), order.id).await?;
    let ours = is_ours(order, active, &tools.module_code, delivery.as_ref());
    let left_there = doubt.is_left(tools, active, (order, ours), delivery.as_ref()).await?;
    if !ours && delivery.is_none() && !left_there {
        return Ok(None);
    }
    let doubted = doubt.is_about(delivery.as_ref());
    // A trigger whose order was not read yet is on its way to its effect.
    if !doubted && !tools.store.waiting_by_numbers(active.id(), &[order.number.as_str()]).await?.is_empty() {
        return Ok(None);
    }
    let intent = tools.store.intent(active.id(), order.id).await?;
    let declared = intent.as_ref().and_then(|intent| intent.declared);
    let desired = match &delivery {
        Some(d) => {
            let mut order = order.clone();
            // What has overtaken one is for whoever works on the order to say.
            correction::lay_over(&mut order, &tools.store.corrections(active.id(), &[d.crm_order]).await?);
            request::desired(&order, &active.integration, references, declared, d).ok()
        }
        None => None,
    };
    let found = Changed {
        order,
        ours,
        delivery: delivery.as_ref(),
        intent: intent.as_ref(),
        hash: desired.as_ref().map(|desired| desired.hash.as_str()),
        young: order.created_at.is_some_and(|at| at >= since),
        doubted,
        left_there,
    };
    Ok(missed(&found, &active.integration).map(|what| (what, delivery)))
}

/// Whose the order is now, without a trigger's word.
fn is_ours(order: &Order, active: &ActiveIntegration, module_code: &str, delivery: Option<&Delivery>) -> bool {
    let code = order.delivery.code.as_deref();
    let types = &active.integration.settings.delivery_types;
    if code.is_some_and(|code| types.iter().any(|t| t == code)) {
        return true;
    }
    match order.delivery.integration_code.as_deref() {
        Some(instance) => instance == active.integration.code(module_code),
        None => {
            let known = delivery.map(|d| d.delivery_type.as_str()).filter(|t| !t.is_empty());
            types.is_empty() && known.is_some() && known == code
        }
    }
}

async fn failed(tools: &Tools, active: &ActiveIntegration, error: &CrmError) -> Stop {
    Stop::Outcome(report::failure(tools, active, error).await)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_of_the_last_seconds_and_our_own_are_left_out() {
        let page = HistoryPage::read(&json!({"history": [
            {"id": 1, "createdAt": "2026-09-01 10:00:00", "order": {"id": 1}},
            {"id": 2, "createdAt": "2026-09-01 10:00:01", "apiKey": {"current": true}, "order": {"id": 2}},
            {"id": 3, "createdAt": "2026-09-01 10:00:02", "deleted": true, "order": {"id": 3}},
            {"id": 4, "createdAt": "2026-09-01 10:00:30", "order": {"id": 4}},
            {"id": 5, "createdAt": "2026-09-01 10:00:02", "order": {"id": 5}}]}))
        .expect("read");
        let settled = changes_before(&page, date(2026, 9, 1).at(10, 0, 20, 0));
        let expected = Changes { orders: [CrmOrderId(1)].into(), gone: [CrmOrderId(3)].into(), last: Some(3) };
        assert_eq!(settled, expected, "what was deleted is kept apart");
        let settled = changes_before(&page, date(2026, 9, 1).at(10, 1, 0, 0));
        assert_eq!((settled.orders.len(), settled.last), (3, Some(5)));
    }
}
