//! Takes stored status rows over into the ledger: state, status, line codes, what RetailCRM
//! is to be told, and the request to settle the payment, all in one commit per batch of
//! deliveries.

mod merge;
mod note;

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use shared::clock::later;
use shared::domain::{Delivery, DeliveryId, Integration, IntegrationId, Settings};
use shared::message::{Change, Outcome};
use shared::store;
use shared::store::journal::{Entry, What};
use shared::store::status_stream::{PendingRow, RowState};
use shared::telemetry::metrics::StatusRowResult;

use crate::sync::apply::merge::{NEVER_PLACED, Reading, Taken, merge};
use crate::sync::apply::note::note;
pub(crate) use crate::sync::apply::note::payment_letter;
use crate::sync::facts::OrderSnapshot;
use crate::sync::{internal, of_account};
use crate::tools::Tools;

/// Deliveries taken over in one commit.
const BATCH: u32 = 100;
/// Deliveries are held for one commit only, so that no order waits for a status.
const HELD: Duration = Duration::from_secs(15);
/// A row that its delivery has not taken in so much time of trying never will be.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Longest pause of a row whose delivery is at work: whoever holds it is done in seconds.
const HELD_PAUSE: u64 = 8;
/// Longest pause of a row whose delivery has to be settled first.
const SETTLING_PAUSE: u64 = 60;

/// Takes over whatever waits of a cabinet.
pub async fn run(tools: &Tools, account: &str) -> Outcome {
    match take_over(tools, account).await {
        Ok(0) => Outcome::AlreadyDone("no status waits"),
        Ok(_) => Outcome::Done(Change::Synced),
        Err(error) => {
            tracing::warn!(%error, "stored statuses wait for the database");
            internal()
        }
    }
}

async fn take_over(tools: &Tools, account: &str) -> store::Result<u64> {
    let integrations: HashMap<IntegrationId, Integration> =
        of_account(tools, account).await?.into_iter().map(|integration| (integration.id, integration)).collect();
    let mut applied = 0;
    loop {
        let due = tools.store.deliveries_with_rows(account, BATCH).await?;
        if due.is_empty() {
            return Ok(applied);
        }
        let now = tools.clock.now();
        let leased = tools.store.lease_deliveries(&due, &tools.owner, later(now, HELD)).await?;
        let rows = tools.store.pending_rows(account, &due).await?;
        applied += apply(tools, account, &integrations, &leased, &rows).await?;
        // An order at work, or gone: its rows wait; the order does not.
        let held: Vec<DeliveryId> = due.iter().copied().filter(|id| !leased.iter().any(|d| d.id == *id)).collect();
        put_off(tools, account, &held, &rows).await?;
    }
}

/// Rows of deliveries that others hold.
async fn put_off(tools: &Tools, account: &str, held: &[DeliveryId], rows: &[PendingRow]) -> store::Result<()> {
    let now = tools.clock.now();
    for id in held {
        let Some(first) = rows.iter().find(|row| row.delivery == *id) else { continue };
        if is_hopeless(first, HELD_PAUSE, now) {
            let mut tx = tools.store.db.begin().await?;
            for row in rows.iter().filter(|row| row.delivery == *id) {
                tx.settle_status_row(row.id, RowState::Parked, Some("its delivery was never free"), now).await?;
            }
            tx.commit().await?;
            tools.metrics.status_rows(StatusRowResult::Parked, 1);
        } else {
            tools.store.postpone_rows(account, &[*id], pause(now, first.attempt, HELD_PAUSE)).await?;
        }
    }
    Ok(())
}

fn pause(now: Timestamp, attempt: u32, longest: u64) -> Timestamp {
    later(now, Duration::from_secs((1_u64 << attempt.min(6)).min(longest)))
}

/// Whether a row was tried for as long as any may be. What waits for a worker is not tried: a
/// status that lay for days is taken like a new one.
fn is_hopeless(row: &PendingRow, longest: u64, now: Timestamp) -> bool {
    let climbing: u64 = (0..row.attempt.min(6)).map(|attempt| (1 << attempt).min(longest)).sum();
    let tried = climbing + u64::from(row.attempt.saturating_sub(6)) * longest;
    tried > GIVEN_UP_AFTER.as_secs() && now > row.created_at + GIVEN_UP_AFTER
}

/// All rows of some leased deliveries in one commit; answers how many were taken over.
async fn apply(
    tools: &Tools,
    account: &str,
    integrations: &HashMap<IntegrationId, Integration>,
    leased: &[Delivery],
    rows: &[PendingRow],
) -> store::Result<u64> {
    let tx = tools.store.db.begin().await?;
    let mut taking = Taking { tools, tx, now: tools.clock.now(), done: Counts::default(), not_yet: Vec::new() };
    for d in leased {
        let rows = rows.iter().filter(|row| row.delivery == d.id);
        match integrations.get(&d.integration) {
            None => taking.park(d, rows).await?,
            Some(integration) => {
                if !taking.take(d, &integration.settings, rows).await? {
                    // Nobody takes a lease of seconds over while this commit is open; but if the
                    // machine slept, everything of this commit is taken back.
                    return Ok(0);
                }
            }
        }
    }
    let Taking { tx, now, done, not_yet, .. } = taking;
    tx.commit().await?;
    tools.metrics.status_rows(StatusRowResult::UnknownCode, done.unknown);
    tools.metrics.status_rows(StatusRowResult::SideFieldDropped, done.unreadable);
    for (delivery, attempt) in not_yet {
        tools.store.postpone_rows(account, &[delivery], pause(now, attempt, SETTLING_PAUSE)).await?;
    }
    Ok(done.applied)
}

/// Rows of several deliveries on their way into the ledger, in one commit.
struct Taking<'a> {
    tools: &'a Tools,
    tx: store::Tx,
    now: Timestamp,
    done: Counts,
    /// Deliveries that have to be settled first, and how often their rows were tried.
    not_yet: Vec<(DeliveryId, u32)>,
}

#[derive(Default)]
struct Counts {
    applied: u64,
    unknown: u64,
    unreadable: u64,
}

impl Taking<'_> {
    async fn end(&mut self, row: &PendingRow, state: RowState, why: Option<&str>) -> store::Result<()> {
        self.tx.settle_status_row(row.id, state, why, self.now).await
    }

    async fn park(&mut self, d: &Delivery, rows: impl Iterator<Item = &PendingRow>) -> store::Result<()> {
        for row in rows {
            self.end(row, RowState::Parked, Some("its integration was removed")).await?;
        }
        self.tx.save_delivery(d, true, self.now).await.map(|_| ())
    }

    /// False: the delivery's lease is lost.
    async fn take(
        &mut self,
        d: &Delivery,
        settings: &Settings,
        rows: impl Iterator<Item = &PendingRow>,
    ) -> store::Result<bool> {
        let mut d = d.clone();
        for row in rows {
            let Ok(facts) = serde_json::from_str::<OrderSnapshot>(&row.facts) else {
                self.end(row, RowState::Parked, Some("the stored row cannot be read")).await?;
                continue;
            };
            let noted = self.tx.newest_tracking(d.id, d.orderno.as_str()).await?;
            match merge(&d, &facts, settings, noted, Reading::of(row), self.now) {
                Taken::NotOurs => {
                    self.end(row, RowState::Foreign, Some("another year's order, or an earlier number")).await?;
                }
                Taken::NotYet(why) => self.put_off(&d, row, why).await?,
                Taken::Applied(merged) => {
                    self.end(row, RowState::Applied, None).await?;
                    let (seen_at, now) = (row.created_at, self.now);
                    self.done.unknown +=
                        note(&mut self.tx, self.tools, &merged, &facts, settings, seen_at, now).await?;
                    self.done.unreadable += u64::from(!facts.unreadable.is_empty());
                    self.done.applied += 1;
                    d = merged.delivery;
                }
            }
        }
        self.tx.save_delivery(&d, true, self.now).await
    }

    /// A row whose delivery has to be settled first.
    async fn put_off(&mut self, d: &Delivery, row: &PendingRow, why: &'static str) -> store::Result<()> {
        if is_hopeless(row, SETTLING_PAUSE, self.now) {
            return self.end(row, RowState::Parked, Some(why)).await;
        }
        // Only what was once sent: a number that the courier's people typed in themselves is none
        // of ours.
        if why == NEVER_PLACED && row.attempt == 0 && d.sending.is_some() {
            self.tx.suspect_delivery(d, self.now).await?;
            let words = "MeaSoft reports on an order that was not known to be placed: it is looked up";
            let entry = Entry::new(self.now, What::Status, words).about(d.integration, d.number.as_str());
            self.tx.append_journal(&entry.orderno(d.orderno.as_str())).await?;
        }
        self.not_yet.push((d.id, row.attempt));
        Ok(())
    }
}
