//! Carries out what is decided about payments, one integration at a time.

use futures_util::{FutureExt as _, StreamExt as _, stream};
use shared::domain::CrmOrderId;
use shared::message::{Change, GiveUp, Needless, Outcome};
use shared::phrases::Detail;
use shared::retailcrm::wire::order::Order;
use shared::retailcrm::{CrmError, Unreadable};
use shared::store::payment_moves::{Begun, PaymentMove};
use shared::{reason, store};

use crate::order::report;
use crate::sync::guard::LeaseGuard;
use crate::sync::payments::outcome::{Came, Trouble};
use crate::sync::payments::record::conclude;
use crate::sync::payments::settling::Settling;
use crate::sync::{internal, next_try};
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::references::References;

/// Orders read in one request.
const BATCH: u32 = 50;
/// Of them so many are settled at one time. What is written is as old as its reading, and may be no
/// older than the changes of so few take.
const AT_ONCE: usize = 8;

/// Settles what is due of an integration.
pub async fn run(tools: &Tools, active: &ActiveIntegration) -> Outcome {
    match tools.store.next_payment_due(active.id()).await {
        Ok(Some(due)) if due <= tools.clock.now() => {}
        Ok(_) => return Outcome::AlreadyDone(Needless::NothingWaits),
        Err(_) => return internal(),
    }
    let guard = match LeaseGuard::take(tools, &format!("payments|{}", active.id())).await {
        Ok(Some(guard)) => guard,
        Ok(None) => return Outcome::Superseded(Needless::OthersTurn),
        Err(_) => return internal(),
    };
    let outcome = match settle_due(tools, active, &guard).await {
        Ok(()) => Outcome::Done(Change::Synced),
        Err(Trouble::Halt(error)) => report::failure(tools, active, &error).await,
        Err(Trouble::Store(error)) => {
            tracing::warn!(%error, "payments wait for the database");
            internal()
        }
        Err(_) => internal(),
    };
    guard.release().await;
    outcome
}

async fn settle_due(tools: &Tools, active: &ActiveIntegration, guard: &LeaseGuard) -> Result<(), Trouble> {
    loop {
        let due = tools.store.due_payments(active.id(), BATCH).await?;
        if due.is_empty() {
            return Ok(());
        }
        let read = match (References::of(tools, active).await, read(active, &due).await) {
            (Ok(references), Ok(orders)) => Ok((references, orders)),
            (Err(error), _) | (_, Err(error)) => Err(error),
        };
        let (mut references, orders) = match read {
            Ok(read) => read,
            Err(error) => return Err(halt(tools, &due, error).await?),
        };
        // A type or status the shop added a minute ago is not in the lists yet.
        if orders.iter().flatten().any(|order| !references.cover(order))
            && let Ok(newer) = References::reread(tools, active).await
        {
            references = newer;
        }
        for rows in due.chunks(AT_ONCE) {
            let group: Vec<Settling<'_>> =
                rows.iter().map(|row| Settling { tools, active, references: &references, row }).collect();
            if !settle(tools, active, guard, group, &orders).await? {
                return Ok(());
            }
        }
    }
}

async fn read<'a>(
    active: &ActiveIntegration,
    rows: impl IntoIterator<Item = &'a PaymentMove>,
) -> Result<Vec<Result<Order, Unreadable>>, CrmError> {
    let mut ids: Vec<CrmOrderId> = rows.into_iter().map(|row| row.crm_order).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() { Ok(Vec::new()) } else { active.vendors.crm.orders_by_ids(&ids).await }
}

/// RetailCRM is not to be read: all of them wait.
async fn halt<'a>(
    tools: &Tools,
    rows: impl IntoIterator<Item = &'a PaymentMove>,
    error: CrmError,
) -> store::Result<Trouble> {
    let until: Vec<_> = rows.into_iter().map(|row| (row.id, next_try(tools, row.attempt), error.label())).collect();
    let mut tx = tools.store.db.begin().await?;
    tx.postpone_payments(&until, tools.clock.now()).await?;
    tx.commit().await?;
    Ok(Trouble::Halt(error))
}

/// Settles a few at one time: their plans are begun in one commit, and what came of all is another.
/// `orders` were read with others, maybe minutes ago: enough to see that there is nothing to do.
/// False: the lease was lost.
async fn settle(
    tools: &Tools,
    active: &ActiveIntegration,
    guard: &LeaseGuard,
    group: Vec<Settling<'_>>,
    orders: &[Result<Order, Unreadable>],
) -> Result<bool, Trouble> {
    let mut done: Vec<(&PaymentMove, Came)> = Vec::with_capacity(group.len());
    let mut open = Vec::new();
    for one in group {
        match of(orders, one.row.crm_order).and_then(|order| one.look(order)) {
            Ok(history) => open.push((one, history)),
            Err(came) => done.push((one.row, came)),
        }
    }
    let orders = match read(active, open.iter().map(|(one, _)| one.row)).await {
        Ok(orders) => orders,
        Err(error) => return Err(halt(tools, open.iter().map(|(one, _)| one.row), error).await?),
    };
    let mut planned = Vec::new();
    for (one, history) in open {
        let plan = of(&orders, one.row.crm_order).and_then(|order| Ok((order, one.plan(order, history)?)));
        match plan {
            Ok((order, plan)) => planned.push((one, order, plan)),
            Err(came) => done.push((one.row, came)),
        }
    }
    let begun: Vec<Begun> = planned.iter().map(|(one, _, plan)| plan.begun(one.row.id)).collect();
    let now = tools.clock.now();
    let lease = &guard.lease;
    let Some(begun) = tools.store.under_lease(lease, async |tx| tx.begin_payments(&begun, now).await).await? else {
        return Ok(false);
    };
    let moves: Vec<_> = planned
        .into_iter()
        .map(|(one, order, plan)| {
            let is_begun = begun.contains(&one.row.id);
            async move {
                let came = if is_begun { one.carry_out(order, plan).await } else { Err(Trouble::Overtaken) };
                (one.row, came)
            }
            .boxed()
        })
        .collect();
    done.extend(stream::iter(moves).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await);
    conclude(tools, done).await?;
    Ok(true)
}

fn of(orders: &[Result<Order, Unreadable>], id: CrmOrderId) -> Result<&Order, Came> {
    let order = orders.iter().flatten().find(|order| order.id == id);
    order.ok_or_else(|| Err(Trouble::GiveUp(unreadable(orders, id))))
}

fn unreadable(orders: &[Result<Order, Unreadable>], id: CrmOrderId) -> GiveUp {
    match orders.iter().find_map(|order| order.as_ref().err().filter(|bad| bad.id == Some(id))) {
        Some(bad) => reason::give_up(reason::UNREADABLE_ORDER, Detail::Unread { at: bad.why.path.clone() }),
        None => reason::give_up(reason::ORDER_NOT_FOUND, Detail::CrmId { id }),
    }
}
