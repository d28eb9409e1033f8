//! What the ledger and RetailCRM say of a batch's orders, in as few requests as possible.

use std::collections::BTreeMap;

use shared::domain::{CrmOrderId, Delivery, OrderNumber};
use shared::message::RetryWhy;
use shared::retailcrm::CrmError;
use shared::retailcrm::wire::order::{Order, Unreadable};
use shared::store;
use shared::store::deliveries::Glance;
use shared::store::past_deliveries::PastDelivery;

use crate::order::attempt::Attempt;
use crate::order::decide::REREADS;
use crate::order::report::fail_all;
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;

/// What the ledger said of the batch's orders before they were read.
pub(crate) struct LedgerBefore {
    deliveries: Vec<Glance>,
    pub(crate) past: Vec<PastDelivery>,
    /// Looked at before anything was read: what nobody has held since then was read fresh.
    early: Vec<CrmOrderId>,
}

impl LedgerBefore {
    pub(crate) async fn before(tools: &Tools, active: &ActiveIntegration, attempts: &[Attempt]) -> Option<Self> {
        let spellings: Vec<OrderNumber> = attempts.iter().flat_map(spellings).collect();
        let numbers: Vec<&str> = spellings.iter().map(OrderNumber::as_str).collect();
        let orders: Vec<CrmOrderId> = attempts.iter().filter_map(|attempt| attempt.intent.order).collect();
        let deliveries = tools.store.glance(active.id(), &numbers, &orders).await.ok()?;
        let early = deliveries.iter().map(|seen| seen.crm_order).collect();
        Some(Self { deliveries, past: Vec::new(), early })
    }

    /// What is said of orders that came up by reading.
    async fn complete(
        &mut self,
        tools: &Tools,
        active: &ActiveIntegration,
        orders: &[CrmOrderId],
        several: bool,
    ) -> store::Result<()> {
        let new: Vec<CrmOrderId> = orders.iter().copied().filter(|order| self.of(*order).is_none()).collect();
        self.deliveries.extend(tools.store.glance(active.id(), &[], &new).await?);
        // Which of several is meant depends on what is over as well.
        if several {
            self.past = tools.store.past_deliveries(active.id(), orders).await?;
        }
        Ok(())
    }

    pub(crate) fn of(&self, order: CrmOrderId) -> Option<&Glance> {
        self.deliveries.iter().find(|seen| seen.crm_order == order)
    }

    /// Orders that the ledger knows under an attempt's number, or as its delivery.
    fn that_bore(&self, attempt: &Attempt) -> impl Iterator<Item = CrmOrderId> {
        let came = spellings(attempt);
        let bore = move |seen: &&Glance| {
            attempt.intent.delivery == Some(seen.id) || came.iter().any(|number| number.as_str() == seen.number)
        };
        self.deliveries.iter().filter(bore).map(|seen| seen.crm_order)
    }

    /// Whether a reading that followed this look is of the time of the lease taken after it.
    pub(crate) fn is_fresh(&self, d: &Delivery) -> bool {
        match self.of(d.crm_order) {
            Some(seen) => self.early.contains(&d.crm_order) && !seen.held && seen.fence == d.prior_fence,
            None => d.prior_fence == 0,
        }
    }
}

/// The number as it came, and without the HTML codes that Twig puts in by default
/// (protocols/retailcrm.md#trigger-transport).
pub(crate) fn spellings(attempt: &Attempt) -> Vec<OrderNumber> {
    if attempt.intent.order.is_some() {
        return Vec::new();
    }
    let came = attempt.intent.number.clone();
    let plain = came.unescaped();
    std::iter::once(came).chain(plain).collect()
}

/// What RetailCRM shows.
pub(crate) struct Read {
    pub(crate) orders: BTreeMap<CrmOrderId, Order>,
    pub(crate) unreadable: Vec<Unreadable>,
}

/// Reads all orders of the batch in as few requests as possible. `None`: nothing was read, and
/// every attempt has its outcome.
pub(crate) async fn read(
    tools: &Tools,
    active: &ActiveIntegration,
    mut seen: LedgerBefore,
    attempts: &mut [Attempt],
) -> Option<(Read, LedgerBefore)> {
    let mut numbers: Vec<OrderNumber> = attempts.iter().flat_map(spellings).collect();
    let mut ids: Vec<CrmOrderId> = attempts.iter().filter_map(|attempt| attempt.intent.order).collect();
    for attempt in attempts.iter().filter(|attempt| attempt.intent.order.is_none()) {
        ids.extend(bore(tools, active, &mut seen, attempt).await);
    }
    numbers.sort_unstable();
    numbers.dedup();
    ids.sort_unstable();
    ids.dedup();
    let read = match ask(active, &numbers, &ids).await {
        Ok(read) => read,
        Err(error) => {
            fail_all(tools, active, attempts, &error).await;
            return None;
        }
    };
    let found: Vec<CrmOrderId> = read.orders.keys().copied().collect();
    let several = attempts.iter().any(|attempt| bearers_of(attempt, &read, &seen).len() > 1);
    if seen.complete(tools, active, &found, several).await.is_err() {
        attempts.iter_mut().for_each(|attempt| attempt.retry(RetryWhy::Internal, None));
        return None;
    }
    Some((read, seen))
}

/// Who bore a number that nobody bore at the last reading either: it was edited, and whoever bore
/// it is found by id.
async fn bore(
    tools: &Tools,
    active: &ActiveIntegration,
    seen: &mut LedgerBefore,
    attempt: &Attempt,
) -> Vec<CrmOrderId> {
    if attempt.intent.rereads < REREADS {
        return Vec::new();
    }
    if let Some(id) = attempt.intent.delivery
        && !seen.deliveries.iter().any(|seen| seen.id == id)
        && let Ok(Some(d)) = tools.store.delivery(id).await
        && let Ok(more) = tools.store.glance(active.id(), &[], &[d.crm_order]).await
    {
        seen.early.extend(more.iter().map(|seen| seen.crm_order));
        seen.deliveries.extend(more);
    }
    seen.that_bore(attempt).collect()
}

async fn ask(active: &ActiveIntegration, numbers: &[OrderNumber], ids: &[CrmOrderId]) -> Result<Read, CrmError> {
    let crm = &active.vendors.crm;
    let mut rows = if numbers.is_empty() { Vec::new() } else { crm.orders_by_numbers(numbers).await? };
    if !ids.is_empty() {
        rows.extend(crm.orders_by_ids(ids).await?);
    }
    let mut read = Read { orders: BTreeMap::new(), unreadable: Vec::new() };
    for row in rows {
        match row {
            Ok(order) => {
                read.orders.insert(order.id, order);
            }
            Err(bad) => read.unreadable.push(bad),
        }
    }
    Ok(read)
}

/// Orders that bear an attempt's number, and whether as it came; those that bore it, once it is
/// believed that none does.
pub(crate) fn bearers_of(attempt: &Attempt, read: &Read, seen: &LedgerBefore) -> Vec<(CrmOrderId, bool)> {
    let came = spellings(attempt);
    let at = |order: &Order| came.iter().position(|number| *number == order.number);
    let now: Vec<(CrmOrderId, bool)> =
        read.orders.values().filter_map(|order| Some((order.id, at(order)? == 0))).collect();
    if !now.is_empty() || attempt.intent.rereads < REREADS {
        return now;
    }
    seen.that_bore(attempt).map(|order| (order, true)).collect()
}
