//! Tells RetailCRM what the ledger took over (protocols/retailcrm.md#tracking): at most 100
//! deliveries a request, each with its statuses in order of time. A request that is refused is
//! halved until the bad status stands alone; the others go through.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jiff::ZonedDateTime;
use shared::clock::{self, elapsed};
use shared::crypto::SecretKey;
use shared::domain::status_list::module_code;
use shared::domain::{CrmOrderId, Delivery, DeliveryId, DeliveryState};
use shared::measoft;
use shared::message::{Change, Command, Envelope, Kind, Needless, Outcome, RetryWhy};
use shared::phrases::{Detail, Details};
use shared::retailcrm::CrmError;
use shared::retailcrm::error::Class;
use shared::retailcrm::wire::tracking::{MAX_UPDATES, TrackingEntry, TrackingUpdate};
use shared::retry::Waits;
use shared::store::dead_letters::NewDeadLetter;
use shared::store::intents::Intent;
use shared::store::journal::{Entry, What};
use shared::store::tracking_outbox::{TrackingState, UNKNOWN_DELIVERY, Waiting};
use shared::story::{Event, Silence};
use shared::{reason, store};

use crate::order::{delivery_fields, report, tell};
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
        Ok(_) => return Outcome::AlreadyDone(Needless::NothingWaits),
        Err(_) => return internal(),
    }
    let guard = match LeaseGuard::take(tools, &format!("push|{}", active.id())).await {
        Ok(Some(guard)) => guard,
        Ok(None) => return Outcome::Superseded(Needless::OthersTurn),
        Err(_) => return internal(),
    };
    let outcome = match References::of(tools, active).await {
        Err(error) => later(tools, active, &error).await,
        Ok(references) => match push(tools, active, &references, &guard).await {
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

async fn push(
    tools: &Tools,
    active: &ActiveIntegration,
    references: &References,
    guard: &LeaseGuard,
) -> Result<Outcome, Halt> {
    let mut any = false;
    loop {
        let waiting = tools.store.waiting_tracking(active.id(), MAX_UPDATES as u32).await?;
        if waiting.is_empty() {
            return Ok(if any { Outcome::Done(Change::Synced) } else { Outcome::AlreadyDone(Needless::NothingWaits) });
        }
        let batches = sort(tools, active, waiting).await?;
        if batches.is_empty() {
            continue;
        }
        let mut tx = tools.store.db.begin().await?;
        let held = tx.holds_lease(&guard.lease).await?;
        tx.commit().await?;
        if !held {
            return Ok(Outcome::Superseded(Needless::OthersTurn));
        }
        send(tools, active, references, batches, false).await?;
        any = true;
    }
}

/// Takes out what is not to be sent, and puts the rest together by delivery.
async fn sort(tools: &Tools, active: &ActiveIntegration, waiting: Vec<Waiting>) -> store::Result<Vec<TrackingBatch>> {
    let settings = &active.integration.settings;
    let mut batches: Vec<TrackingBatch> = Vec::new();
    let mut kept: BTreeMap<&'static str, Vec<i64>> = BTreeMap::new();
    let mut keep = |status: &Waiting, why| kept.entry(why).or_default().push(status.id);
    let mut unreported: Vec<Waiting> = Vec::new();
    for status in waiting {
        if !status.live {
            keep(&status, "of an earlier number of the order");
        } else if module_code(settings, &status.code).is_none() {
            keep(&status, Silence::UnknownCode.as_str());
        } else if !status.told && status.withdrawn {
            keep(&status, "cancelled by us");
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
    for (why, ids) in kept {
        tools.store.settle_tracking(&ids, TrackingState::Kept, Some(why)).await?;
    }
    keep_unreported(tools, active, &unreported).await?;
    Ok(batches)
}

/// RetailCRM does not know these deliveries yet: the orders' own work tells it. Where there is none
/// left to do, the order has left or was deleted meanwhile; its statuses are due again if it comes
/// back.
async fn keep_unreported(tools: &Tools, active: &ActiveIntegration, statuses: &[Waiting]) -> store::Result<()> {
    if statuses.is_empty() {
        return Ok(());
    }
    let orders: Vec<(DeliveryId, &str)> = statuses.iter().map(|one| (one.delivery, one.number.as_str())).collect();
    let standings = standings(tools, active, &orders).await?;
    let (mut left, mut settled, mut at_work) = (Vec::new(), Vec::new(), BTreeMap::<u32, Vec<i64>>::new());
    for status in statuses {
        match standings[&status.delivery] {
            Standing::Left => left.push(status.id),
            Standing::AtWork => at_work.entry(status.attempt).or_default().push(status.id),
            Standing::Settled => settled.push(status),
        }
    }
    for (attempt, ids) in at_work {
        tools.store.postpone_tracking(&ids, next_try(tools, attempt)).await?;
    }
    tools.store.settle_tracking(&left, TrackingState::Kept, Some("cancelled by us")).await?;
    let ids: Vec<i64> = settled.iter().map(|status| status.id).collect();
    tools.store.settle_tracking(&ids, TrackingState::Kept, Some(UNKNOWN_DELIVERY)).await?;
    // Some may have come back between the look and the commit.
    let deliveries: Vec<DeliveryId> = settled.iter().map(|status| status.delivery).collect();
    let mut back = tools.store.deliveries(&deliveries).await?;
    back.retain(|d| !d.crm_written.external_id.is_empty());
    if !back.is_empty() {
        let back: Vec<DeliveryId> = back.iter().map(|d| d.id).collect();
        let mut tx = tools.store.db.begin().await?;
        tx.tracking_is_known(&back, tools.clock.now()).await?;
        tx.commit().await?;
    }
    Ok(())
}

fn update(
    key: &SecretKey,
    active: &ActiveIntegration,
    references: &References,
    batch: &TrackingBatch,
) -> TrackingUpdate {
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
                updated_at: ZonedDateTime::new(status.at, references.zone.clone()),
                comment: status.comment.clone(),
            })
            .collect(),
        // What the newest status that shows any says.
        extra_data: batch
            .statuses
            .iter()
            .rev()
            .find_map(|status| serde_json::from_str::<measoft::Details>(status.details.as_deref()?).ok())
            .map_or_else(BTreeMap::new, |details| {
                references.declared(delivery_fields::fields(&details, key, settings.language))
            }),
    }
}

/// Sends parcels, halving what is refused.
fn send<'a>(
    tools: &'a Tools,
    active: &'a ActiveIntegration,
    references: &'a References,
    batches: Vec<TrackingBatch>,
    module_seen: bool,
) -> BoxFuture<'a, Result<(), Halt>> {
    async move {
        let batch: Vec<TrackingUpdate> =
            batches.iter().map(|batch| update(&tools.store.key, active, references, batch)).collect();
        let ids: Vec<i64> = batches.iter().flat_map(|p| p.statuses.iter().map(|s| s.id)).collect();
        let error = match tell::track(tools, active, batch).await {
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
                send(tools, active, references, first, true).await?;
                send(tools, active, references, second, true).await
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
    let give_up = reason::give_up(reason::CRM_SCOPE_MISSING, error.detail());
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
    let statuses = batches.iter().flat_map(|batch| &batch.statuses);
    let lasting: Vec<(i64, String)> = statuses.filter_map(|status| lasting(&tools.store.key, status)).collect();
    // RetailCRM has them: not to know it would send them twice.
    let mut waits = Waits::between(Duration::from_millis(50), Duration::from_secs(2));
    let mut left = 10;
    while let Err(error) = tools.store.tracking_sent(ids, &lasting).await {
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
        let statuses = batch.statuses.iter().map(|s| s.code.clone()).collect();
        let entry = Entry::new(now, What::Crm, Event::StatusesTold { statuses });
        tools.journal.write(entry.about(active.id(), batch.number.as_str()).orderno(batch.orderno.as_str()));
    }
    let mut tx = tools.store.db.begin().await?;
    tx.resolve_dead_letters_of(active.id(), Some(TRACKING), Kind::PushStatuses.as_str(), now).await?;
    let orders: Vec<(CrmOrderId, DeliveryId)> = batches.iter().map(|batch| (batch.crm_order, batch.delivery)).collect();
    tx.resolve_dead_letters_of_orders(active.id(), &orders, Kind::PushStatuses.as_str(), now).await?;
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

/// How each order stands, by its delivery and number.
async fn standings(
    tools: &Tools,
    active: &ActiveIntegration,
    orders: &[(DeliveryId, &str)],
) -> store::Result<HashMap<DeliveryId, Standing>> {
    let ids: Vec<DeliveryId> = orders.iter().map(|(delivery, _)| *delivery).collect();
    let numbers: Vec<&str> = orders.iter().map(|(_, number)| *number).collect();
    let deliveries = tools.store.deliveries(&ids).await?;
    // A trigger whose order was not read yet may be about this one.
    let requests = tools.store.waiting_by_numbers(active.id(), &numbers).await?;
    let crm_orders: Vec<CrmOrderId> = deliveries.iter().map(|d| d.crm_order).collect();
    let intents = tools.store.intents_of(active.id(), &crm_orders).await?;
    let deliveries: HashMap<DeliveryId, &Delivery> = deliveries.iter().map(|d| (d.id, d)).collect();
    let requests: HashMap<&str, &Intent> = requests.iter().map(|request| (request.number.as_str(), request)).collect();
    let intents: HashMap<Option<CrmOrderId>, &Intent> = intents.iter().map(|intent| (intent.order, intent)).collect();
    let standing = |(id, number): &(DeliveryId, &str)| {
        let Some(d) = deliveries.get(id) else { return Standing::Settled };
        match (requests.get(number), intents.get(&Some(d.crm_order))) {
            _ if d.state == DeliveryState::Cancelled => Standing::Left,
            (Some(request), _) if request.cancel_seq > request.send_seq => Standing::Left,
            (Some(_), _) => Standing::AtWork,
            (None, Some(intent)) if intent.cancel_seq > intent.send_seq => Standing::Left,
            (None, Some(intent)) if intent.requested > intent.served => Standing::AtWork,
            (None, _) => Standing::Settled,
        }
    };
    Ok(orders.iter().map(|order| (order.0, standing(order))).collect())
}

/// What is kept of a status that was told, where that is not all of it.
fn lasting(key: &SecretKey, status: &Waiting) -> Option<(i64, String)> {
    let details: measoft::Details = serde_json::from_str(status.details.as_deref()?).ok()?;
    let text = serde_json::to_string(&details.once_told(key)?).expect("details serialise");
    Some((status.id, text))
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
    let standing = standings(tools, active, &[(batch.delivery, &batch.number)]).await?[&batch.delivery];
    if standing == Standing::Left {
        return tools.store.settle_tracking(&ids, TrackingState::Kept, Some("the order has left")).await;
    }
    let attempt = batch.statuses.iter().map(|s| s.attempt).max().unwrap_or(0);
    if attempt < BELIEVED || standing == Standing::AtWork {
        return tools.store.postpone_tracking(&ids, next_try(tools, attempt)).await;
    }
    let statuses = Detail::Statuses { statuses: batch.statuses.iter().map(|s| s.code.clone()).collect() };
    let give_up = reason::give_up(reason::STATUS_REFUSED, Details::from(statuses).and(error.detail()));
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
