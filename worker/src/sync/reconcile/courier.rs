//! MeaSoft's side: compares what is open here with what is open there.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use shared::domain::{Delivery, IntegrationId};
use shared::measoft::wire::statusreq::Done;
use shared::measoft::{MeasoftError, PoisonRow, StatusRow};
use shared::message::{Change, Kind, Needless, Outcome};
use shared::phrases::Detail;
use shared::reason;
use shared::store::dead_letters::NewDeadLetter;
use shared::store::journal::{Entry, What};
use shared::store::leases::Lease;
use shared::store::status_stream::{NO_STREAM, NewRow, RowState};
use shared::story::Event;
use shared::telemetry::metrics::Repair;

use crate::order::lost_writes;
use crate::order::weeks::{day, windows};
use crate::sync::reconcile::Stop;
use crate::sync::segment::{StoredRow, by_number};
use crate::sync::{active_siblings, deliver, of_account, poll};
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::budget::Priority;
use crate::vendor::integrations::ActiveIntegrations;

/// Questions by number in one run: look-ups are rationed (protocols/measoft.md#limits).
const LOOK_UPS: usize = 200;
/// MeaSoft may show a new order late.
const YOUNG: Duration = Duration::from_secs(3600);

/// Compares what is open here with what is open at MeaSoft.
pub(crate) async fn compare(
    tools: &Tools,
    integrations: &ActiveIntegrations,
    active: &ActiveIntegration,
    lease: &Lease,
) -> Result<Outcome, Stop> {
    // The stream first: what it still holds was not missed.
    if let Outcome::RetryLater { why, not_before } = poll::run(tools, active).await {
        return Ok(Outcome::RetryLater { why, not_before });
    }
    for sibling in active_siblings(integrations, active) {
        deliver(tools, &sibling).await;
    }
    let account = active.integration.courier_account();
    let ids: Vec<IntegrationId> = of_account(tools, &account).await?.iter().map(|i| i.id).collect();
    let open = tools.store.open_deliveries(&ids).await?;
    let Some(oldest) = open.first() else { return Ok(Outcome::AlreadyDone(Needless::NothingWaits)) };
    let now = tools.clock.now();
    // What ended, and was acknowledged, and was lost with the database, does not come again.
    let done = if lost_writes::doubt(tools).await?.is_some() { Done::All } else { Done::OnlyDelivery };
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut found = 0;
    for (from, to) in windows(day(oldest.created_at), day(now)) {
        let asked_at = tools.store.agreed_now().await?;
        let asked = tools.ask_as(active, Priority::Bulk, active.vendors.courier.status_by_created(from, to, done));
        let rows = answered(tools, active, asked.await).await?;
        seen.extend(rows.iter().filter_map(|row| row.orderno.as_ref()).map(ToString::to_string));
        found += keep(tools, lease, &account, &ids, (asked_at, rows)).await?;
    }
    let missing = open.iter().filter(|d| !seen.contains(d.orderno.as_str()) && !is_young(d, now));
    for d in missing.take(LOOK_UPS) {
        let asked_at = tools.store.agreed_now().await?;
        let asked = tools.ask_as(active, Priority::Bulk, active.vendors.courier.status_by_orderno(&d.orderno));
        let rows = answered(tools, active, asked.await).await?;
        if rows.is_empty() {
            vanished(tools, d, now).await?;
        }
        found += keep(tools, lease, &account, &ids, (asked_at, rows)).await?;
    }
    Ok(if found > 0 { Outcome::Done(Change::Synced) } else { Outcome::AlreadyDone(Needless::NothingNew) })
}

fn is_young(d: &Delivery, now: Timestamp) -> bool {
    let sent = d.sent_at.unwrap_or(d.created_at);
    now.duration_since(sent).unsigned_abs() < YOUNG
}

async fn answered(
    tools: &Tools,
    active: &ActiveIntegration,
    asked: Result<Result<Vec<StatusRow>, MeasoftError>, Outcome>,
) -> Result<Vec<StatusRow>, Stop> {
    match asked {
        Err(closed) => Err(Stop::Outcome(closed)),
        Ok(Err(error)) => Err(Stop::Outcome(tools.failure(active, &error).await)),
        Ok(Ok(rows)) => Ok(rows),
    }
}

/// Keeps rows of ours that the stream has not brought; answers how many.
async fn keep(
    tools: &Tools,
    lease: &Lease,
    account: &str,
    integrations: &[IntegrationId],
    (asked_at, rows): (Timestamp, Vec<StatusRow>),
) -> Result<u64, Stop> {
    let rows: Vec<Result<StatusRow, PoisonRow>> = rows.into_iter().map(Ok).collect();
    let numbers: Vec<&str> =
        rows.iter().flatten().filter_map(|row| row.orderno.as_ref()).map(|number| number.as_str()).collect();
    let owners = by_number(tools.store.owners_of(integrations, &numbers).await?);
    let key = &tools.store.key;
    let owned = |row| StoredRow::of(row, key).owned(&owners);
    let ours: Vec<NewRow> = rows.iter().map(owned).filter(|row| row.state == RowState::Pending).collect();
    if ours.is_empty() {
        return Ok(0);
    }
    let known = tools.store.known_marks(account, ours.iter().map(|row| row.mark.as_str())).await?;
    let batch = tools.store.begin_batch(lease, account, NO_STREAM, asked_at).await?.ok_or_else(Stop::taken_over)?;
    let mut found = 0;
    for (part, chunk) in ours.chunks(poll::CHUNK).enumerate() {
        let first = part * poll::CHUNK;
        tools.store.store_status_rows(lease, account, batch, first, chunk).await?.ok_or_else(Stop::taken_over)?;
    }
    for row in ours.iter().filter(|row| !known.contains(&row.mark)) {
        found += 1;
        tools.metrics.repaired(Repair::Status);
        if let Some((delivery, integration)) = row.delivery
            && let Some(d) = tools.store.delivery(delivery).await?
        {
            let entry = Entry::new(tools.clock.now(), What::Decision, Event::MissedStatus)
                .about(integration, d.number.as_str());
            tools.journal.write(entry.orderno(d.orderno.as_str()).outcome("repair"));
        }
    }
    tools.store.seal_batch(lease, batch, ours.len(), "").await?;
    tools.store.batch_committed(batch).await?;
    Ok(found)
}

/// MeaSoft does not show an order it had.
async fn vanished(tools: &Tools, d: &Delivery, now: Timestamp) -> Result<(), Stop> {
    let give_up = reason::give_up(reason::DELIVERY_VANISHED, Detail::Number { orderno: d.orderno.to_string() });
    let dead = NewDeadLetter {
        integration: Some(d.integration),
        delivery: Some(d.id),
        number: Some(d.number.clone()),
        ..NewDeadLetter::new(Kind::Reconcile.as_str(), give_up)
    };
    let mut tx = tools.store.db.begin().await?;
    tx.add_dead_letter(&dead, now).await?;
    tx.commit().await?;
    Ok(())
}
