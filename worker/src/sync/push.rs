//! Tells RetailCRM what the ledger took over (protocols/retailcrm.md#tracking): at most 100
//! deliveries a request, each with its statuses in order of time. A request that is refused is
//! halved until the bad status stands alone; the others go through.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jiff::ZonedDateTime;
use jiff::tz::TimeZone;
use shared::clock::{self, elapsed};
use shared::domain::status_list::module_code;
use shared::domain::{CrmOrderId, Delivery, DeliveryId, DeliveryState};
use shared::message::{Change, Command, Envelope, Kind, Outcome, RetryWhy};
use shared::retailcrm::CrmError;
use shared::retailcrm::error::Class;
use shared::retailcrm::wire::tracking::{MAX_UPDATES, TrackingEntry, TrackingUpdate};
use shared::retry::Waits;
use shared::store::dead_letters::NewDeadLetter;
use shared::store::journal::{Entry, What};
use shared::store::tracking_outbox::{TrackingState, UNKNOWN_CODE, UNKNOWN_DELIVERY, Waiting};
use shared::{reason, store};

use crate::order::report;
use crate::sync::guard::LeaseGuard;
use crate::sync::{internal, next_try};
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::references::References;

/// Until the delivery's id is on the order, and while the module is off.
const MODULE_OFF: Duration = Duration::from_secs(600);

/// Refusals of one status before they are believed: RetailCRM drops a delivery when the
/// order's type changes, and what puts that right takes a trigger and its work.
const BELIEVED: u32 = 4;

/// The statuses of one delivery that go together.
#[derive(Debug, Clone)]
struct TrackingBatch {
    delivery: DeliveryId,
    crm_order: CrmOrderId,
    number: String,
    orderno: String,
    statuses: Vec<Waiting>,
}

/// Why the rest of a push waits.
enum Halt {
    Later(Outcome),
    Store(store::StoreError),
}

impl From<store::StoreError> for Halt {
    fn from(error: store::StoreError) -> Self {
        Self::Store(error)
    }
}

/// Pushes whatever waits of an integration.
pub async fn run(tools: &Tools, active: &ActiveIntegration) -> Outcome {
    match tools.store.next_tracking_due(active.id()).await {
        Ok(Some(due)) if due <= tools.clock.now() => {}
        Ok(_) => return Outcome::AlreadyDone("no status waits"),
        Err(_) => return internal(),
    }
    let guard = match LeaseGuard::take(tools, &format!("push|{}", active.id())).await {
        Ok(Some(guard)) => guard,
        Ok(None) => return Outcome::Superseded("another worker pushes for this integration"),
        Err(_) => return internal(),
    };
    let outcome = match References::of(tools, active).await {
        Err(error) => later(tools, active, &error).await,
        Ok(references) => match push(tools, active, &references.zone, &guard).await {
            Ok(outcome) | Err(Halt::Later(outcome)) => outcome,
            Err(Halt::Store(error)) => {
                tracing::warn!(%error, "statuses for RetailCRM wait for the database");
                internal()
            }
        },
    };
    guard.release().await;
    outcome
}

/// The account as a whole fails: everything due waits a moment.
async fn later(tools: &Tools, active: &ActiveIntegration, error: &CrmError) -> Outcome {
    if let Ok(waiting) = tools.store.waiting_tracking(active.id(), MAX_UPDATES as u32).await {
        let ids: Vec<i64> = waiting.iter().map(|w| w.id).collect();
        let attempt = waiting.iter().map(|w| w.attempt).min().unwrap_or(0);
        let _ = tools.store.postpone_tracking(&ids, next_try(tools, attempt)).await;
    }
    report::failure(tools, active, error).await
}

async fn push(tools: &Tools, active: &ActiveIntegration, zone: &TimeZone, guard: &LeaseGuard) -> Result<Outcome, Halt> {
    let mut any = false;
    loop {
        let waiting = tools.store.waiting_tracking(active.id(), MAX_UPDATES as u32).await?;
        if waiting.is_empty() {
            return Ok(if any { Outcome::Done(Change::Synced) } else { Outcome::AlreadyDone("no status waits") });
        }
        let batches = sort(tools, active, waiting).await?;
        if batches.is_empty() {
            continue;
        }
        let mut tx = tools.store.db.begin().await?;
        let held = tx.holds_lease(&guard.lease).await?;
        tx.commit().await?;
        if !held {
            return Ok(Outcome::Superseded("another worker took the push over"));
        }
        send(tools, active, zone, batches, false).await?;
        any = true;
    }
}

/// Takes out what is not to be sent, and puts the rest together by delivery.
async fn sort(tools: &Tools, active: &ActiveIntegration, waiting: Vec<Waiting>) -> store::Result<Vec<TrackingBatch>> {
    let settings = &active.integration.settings;
    let mut batches: Vec<TrackingBatch> = Vec::new();
    let mut kept: Vec<(i64, &'static str)> = Vec::new();
    let mut unreported: Vec<Waiting> = Vec::new();
    for status in waiting {
        if !status.live {
            kept.push((status.id, "of an earlier number of the order"));
        } else if module_code(settings, &status.code).is_none() {
            kept.push((status.id, UNKNOWN_CODE));
        } else if !status.told && status.withdrawn {
            kept.push((status.id, "cancelled by us"));
        } else if !status.told {
            unreported.push(status);
        } else {
            match batches.last_mut() {
                Some(batch) if batch.delivery == status.delivery => batch.statuses.push(status),
                _ => batches.push(TrackingBatch {
                    delivery: status.delivery,
                    crm_order: status.crm_order,
                    number: status.number.clone(),
                    orderno: status.orderno.clone(),
                    statuses: vec![status],
                }),
            }
        }
    }
    for (id, why) in kept {
        tools.store.settle_tracking(&[id], TrackingState::Kept, Some(why)).await?;
    }
    for status in unreported {
        keep_unreported(tools, active, &status).await?;
    }
    Ok(batches)
}

/// RetailCRM does not know the delivery yet: the order's own work tells it. When there is none left
/// to do, the order has left or was deleted meanwhile; the status is due again if it comes back.
async fn keep_unreported(tools: &Tools, active: &ActiveIntegration, status: &Waiting) -> store::Result<()> {
    match standing(tools, active, status.delivery, &status.number).await? {
        Standing::AtWork => {
            return tools.store.postpone_tracking(&[status.id], next_try(tools, status.attempt)).await;
        }
        Standing::Left => {
            return tools.store.settle_tracking(&[status.id], TrackingState::Kept, Some("cancelled by us")).await;
        }
        Standing::Settled => {}
    }
    tools.store.settle_tracking(&[status.id], TrackingState::Kept, Some(UNKNOWN_DELIVERY)).await?;
    // It may have come back between the look and the commit.
    if tools.store.delivery(status.delivery).await?.is_some_and(|d| !d.crm_written.external_id.is_empty()) {
        let mut tx = tools.store.db.begin().await?;
        tx.tracking_is_known(status.delivery, tools.clock.now()).await?;
        tx.commit().await?;
    }
    Ok(())
}

fn update(active: &ActiveIntegration, zone: &TimeZone, batch: &TrackingBatch) -> TrackingUpdate {
    let settings = &active.integration.settings;
    TrackingUpdate {
        delivery_id: Delivery::external_id(active.id(), batch.crm_order),
        track_number: Some(batch.orderno.clone()),
        cost: None,
        history: batch
            .statuses
            .iter()
            .map(|status| TrackingEntry {
                code: module_code(settings, &status.code).unwrap_or_else(|| status.code.clone()),
                updated_at: ZonedDateTime::new(status.at, zone.clone()),
                comment: status.comment.clone(),
            })
            .collect(),
        extra_data: std::collections::BTreeMap::new(),
    }
}

/// Sends parcels, halving what is refused.
fn send<'a>(
    tools: &'a Tools,
    active: &'a ActiveIntegration,
    zone: &'a TimeZone,
    batches: Vec<TrackingBatch>,
    module_seen: bool,
) -> BoxFuture<'a, Result<(), Halt>> {
    async move {
        let batch: Vec<TrackingUpdate> = batches.iter().map(|batch| update(active, zone, batch)).collect();
        let ids: Vec<i64> = batches.iter().flat_map(|p| p.statuses.iter().map(|s| s.id)).collect();
        let error = match active.vendors.crm.tracking(&active.integration.code(&tools.module_code), &batch).await {
            Ok(()) => return Ok(accepted(tools, active, &batches, &ids).await?),
            Err(error) => error,
        };
        if matches!(error, CrmError::AccessDenied { .. }) && error.class() == Class::Park {
            return Err(denied(tools, active, &ids, &error).await?);
        }
        if error.class() != Class::Park {
            let attempt = batches.iter().flat_map(|p| p.statuses.iter().map(|s| s.attempt)).min().unwrap_or(0);
            tools.store.postpone_tracking(&ids, next_try(tools, attempt)).await?;
            return Err(Halt::Later(report::failure(tools, active, &error).await));
        }
        // Before a hundred deliveries are blamed: is there a module to push to at all?
        if !module_seen {
            module_is_on(tools, active, &ids).await?;
        }
        match halves(batches) {
            Ok((first, second)) => {
                send(tools, active, zone, first, true).await?;
                send(tools, active, zone, second, true).await
            }
            Err(batch) => Ok(add_dead_letter(tools, active, &batch, &error).await?),
        }
    }
    .boxed()
}

/// What a letter about a right that all statuses need is filed under.
const TRACKING: &str = "tracking";

/// The key may not tell statuses at all: no delivery is to blame, and everything waits for the
/// right. One letter for the integration.
async fn denied(tools: &Tools, active: &ActiveIntegration, ids: &[i64], error: &CrmError) -> store::Result<Halt> {
    let now = tools.clock.now();
    tools.store.postpone_tracking(ids, clock::later(now, MODULE_OFF)).await?;
    let give_up = reason::give_up(reason::CRM_SCOPE_MISSING, error.to_string());
    let envelope = Envelope::new(Command::PushStatuses {}, Some(active.id()), now);
    let dead = NewDeadLetter { number: Some(TRACKING.to_owned()), ..NewDeadLetter::of(&envelope, give_up) };
    tools.store.add_dead_letter(&dead).await?;
    Ok(Halt::Later(Outcome::RetryLater { why: RetryWhy::CrmUnavailable, not_before: None }))
}

/// Two halves in order, by delivery first, then by status; the one status when there is but
/// one.
fn halves(mut batches: Vec<TrackingBatch>) -> Result<(Vec<TrackingBatch>, Vec<TrackingBatch>), Box<TrackingBatch>> {
    if batches.len() > 1 {
        let second = batches.split_off(batches.len() / 2);
        return Ok((batches, second));
    }
    let Some(mut batch) = batches.pop() else { return Ok((Vec::new(), Vec::new())) };
    if batch.statuses.len() > 1 {
        let rest = batch.statuses.split_off(batch.statuses.len() / 2);
        let second = TrackingBatch { statuses: rest, ..batch.clone() };
        return Ok((vec![batch], vec![second]));
    }
    Err(Box::new(batch))
}

async fn accepted(
    tools: &Tools,
    active: &ActiveIntegration,
    batches: &[TrackingBatch],
    ids: &[i64],
) -> store::Result<()> {
    // RetailCRM has them: not to know it would send them twice.
    let mut waits = Waits::between(Duration::from_millis(50), Duration::from_secs(2));
    let mut left = 10;
    while let Err(error) = tools.store.tracking_sent(ids).await {
        if left == 0 {
            return Err(error);
        }
        left -= 1;
        tokio::time::sleep(waits.next_wait()).await;
    }
    let now = tools.clock.now();
    for batch in batches {
        for status in batch.statuses.iter().filter(|s| s.dated) {
            tools.metrics.status_to_crm(elapsed(status.at, now));
        }
        let codes: Vec<&str> = batch.statuses.iter().map(|s| s.code.as_str()).collect();
        let entry = Entry::new(now, What::Crm, format!("RetailCRM told: {}", codes.join(", ")));
        tools.journal.write(entry.about(active.id(), batch.number.as_str()).orderno(batch.orderno.as_str()));
    }
    let mut tx = tools.store.db.begin().await?;
    tx.resolve_dead_letters_of(active.id(), Some(TRACKING), Kind::PushStatuses.as_str(), now).await?;
    for batch in batches {
        let kind = Kind::PushStatuses.as_str();
        tx.resolve_dead_letters_of_order(active.id(), batch.crm_order, batch.delivery, kind, now).await?;
    }
    tx.commit().await
}

/// Whether the module instance is there and on; if not, everything waits for it.
async fn module_is_on(tools: &Tools, active: &ActiveIntegration, ids: &[i64]) -> Result<(), Halt> {
    let off = match active.vendors.crm.module(&active.integration.code(&tools.module_code)).await {
        Ok(module) => !module.active || module.freeze,
        Err(CrmError::NotFound { .. }) => true,
        // The key may not read modules, or RetailCRM answers strangely: go by the refusal.
        Err(error) if error.class() == Class::Park => false,
        Err(error) => {
            tools.store.postpone_tracking(ids, next_try(tools, 1)).await?;
            return Err(Halt::Later(report::failure(tools, active, &error).await));
        }
    };
    if !off {
        return Ok(());
    }
    tracing::warn!(integration = active.id().0, "the delivery module is not on in RetailCRM: statuses wait");
    let now = tools.clock.now();
    tools.store.postpone_tracking(ids, clock::later(now, MODULE_OFF)).await?;
    Err(Halt::Later(Outcome::RetryLater { why: RetryWhy::CrmUnavailable, not_before: None }))
}

/// How an order stands whose status RetailCRM refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It has left us, or a trigger says that it is to: RetailCRM has dropped the delivery,
    /// and nobody waits for its statuses.
    Left,
    /// A trigger is being worked off, and RetailCRM may know the delivery again after it.
    AtWork,
    Settled,
}

async fn standing(
    tools: &Tools,
    active: &ActiveIntegration,
    delivery: DeliveryId,
    number: &str,
) -> store::Result<Standing> {
    let Some(d) = tools.store.delivery(delivery).await? else { return Ok(Standing::Settled) };
    if d.state == DeliveryState::Cancelled {
        return Ok(Standing::Left);
    }
    // A trigger whose order was not read yet may be about this one.
    match tools.store.waiting_by_number(active.id(), number).await? {
        Some(requests) if requests.cancel_seq > requests.send_seq => return Ok(Standing::Left),
        Some(_) => return Ok(Standing::AtWork),
        None => {}
    }
    Ok(match tools.store.intent(active.id(), d.crm_order).await? {
        Some(intent) if intent.cancel_seq > intent.send_seq => Standing::Left,
        Some(intent) if intent.requested > intent.served => Standing::AtWork,
        _ => Standing::Settled,
    })
}

/// One status that RetailCRM does not take: a person sees it, the others go on.
async fn add_dead_letter(
    tools: &Tools,
    active: &ActiveIntegration,
    batch: &TrackingBatch,
    error: &CrmError,
) -> store::Result<()> {
    let now = tools.clock.now();
    let ids: Vec<i64> = batch.statuses.iter().map(|s| s.id).collect();
    let standing = standing(tools, active, batch.delivery, &batch.number).await?;
    if standing == Standing::Left {
        return tools.store.settle_tracking(&ids, TrackingState::Kept, Some("the order has left")).await;
    }
    let attempt = batch.statuses.iter().map(|s| s.attempt).max().unwrap_or(0);
    if attempt < BELIEVED || standing == Standing::AtWork {
        return tools.store.postpone_tracking(&ids, next_try(tools, attempt)).await;
    }
    let codes: Vec<&str> = batch.statuses.iter().map(|s| s.code.as_str()).collect();
    let give_up = reason::give_up(reason::STATUS_REFUSED, format!("{}: {error}", codes.join(", ")));
    let envelope = Envelope::new(Command::PushStatuses {}, Some(active.id()), now);
    let dead = NewDeadLetter {
        delivery: Some(batch.delivery),
        number: Some(batch.number.clone()),
        tries: attempt + 1,
        ..NewDeadLetter::of(&envelope, give_up)
    };
    let mut tx = tools.store.db.begin().await?;
    tx.settle_tracking(&ids, TrackingState::Dead, Some("refused by RetailCRM"), now).await?;
    tx.add_dead_letter(&dead, now).await?;
    tx.commit().await
}
