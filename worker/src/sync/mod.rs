//! Statuses and payments on their way back.
//!
//! `poll` takes what changed out of MeaSoft's stream and acknowledges it, `segment` is how rows
//! wait meanwhile, `facts` says what of a row matters, `apply` takes it over into the ledger, `push` tells RetailCRM,
//! `returns` writes what was taken of each line, `payments` settles the order's payment, `reconcile`
//! finds what all of that missed.

pub mod apply;
pub mod facts;
pub mod guard;
#[cfg(test)]
mod payment_stories;
pub mod payments;
pub mod poll;
pub mod push;
#[cfg(test)]
mod push_stories;
pub mod reconcile;
pub mod returns;
mod segment;
#[cfg(test)]
mod settling_stories;
#[cfg(test)]
mod stories;

use std::time::Duration;

use jiff::Timestamp;
use shared::clock::later;
use shared::domain::Integration;
use shared::message::{Command, Envelope, Outcome, RetryWhy};
use shared::store;
use shared::store::jobs::NewJob;

use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::integrations::ActiveIntegrations;

/// Apply, push, returns and payments of one integration; what is left to pay depends on what was taken. Each keeps what it could not do, with the
/// time of its next try.
pub async fn deliver(tools: &Tools, active: &ActiveIntegration) {
    for (step, outcome) in [
        ("apply", apply::run(tools, &active.integration.courier_account()).await),
        ("push", push::run(tools, active).await),
        ("returns", returns::run(tools, active).await),
        ("payments", payments::run(tools, active).await),
    ] {
        if let Outcome::RetryLater { why, .. } = &outcome {
            tracing::info!(integration = active.id().0, step, why = why.as_str(), "statuses have to wait");
        }
    }
    follow_up(tools, active).await;
}

/// Asks for another look when the next of what waits is due.
pub(crate) async fn follow_up(tools: &Tools, active: &ActiveIntegration) {
    let next = async {
        let account = active.integration.courier_account();
        let dues = [
            tools.store.next_row_due(&account).await?,
            tools.store.next_tracking_due(active.id()).await?,
            tools.store.next_payment_due(active.id()).await?,
            tools.store.next_returns_due(active.id()).await?,
        ];
        Ok::<_, store::StoreError>(dues.into_iter().flatten().min())
    };
    let Ok(Some(due)) = next.await else { return };
    let now = tools.clock.now();
    let due = due.max(now + Duration::from_secs(1));
    let envelope = Envelope::new(Command::PushStatuses {}, Some(active.id()), now);
    let mut job = NewJob::of(&envelope, due);
    // One job for one moment, however many runs end before it.
    job.id = format!("push-{}-{}", active.id(), due.as_second());
    if let Err(error) = tools.store.enqueue(&[job]).await {
        // The scheduler looks every minute as well.
        tracing::debug!(%error, "a later look could not be noted");
    }
}

/// All integrations of a cabinet, paused ones too: their orders are in its stream.
pub async fn of_account(tools: &Tools, account: &str) -> store::Result<Vec<Integration>> {
    let mut all = tools.store.integrations().await?;
    all.retain(|integration| integration.courier_account() == account);
    Ok(all)
}

pub(crate) fn active_siblings(integrations: &ActiveIntegrations, active: &ActiveIntegration) -> Vec<ActiveIntegration> {
    let account = active.integration.courier_account();
    let mut siblings: Vec<ActiveIntegration> = integrations
        .all()
        .into_iter()
        .filter(|other| other.integration.is_active() && other.integration.courier_account() == account)
        .collect();
    siblings.sort_by_key(ActiveIntegration::id);
    siblings
}

pub(crate) fn internal() -> Outcome {
    Outcome::RetryLater { why: RetryWhy::Internal, not_before: None }
}

/// When a thing that failed so often is tried again: it follows the ladder.
pub(crate) fn next_try(tools: &Tools, attempt: u32) -> Timestamp {
    later(tools.clock.now(), tools.policy.rung(attempt as usize))
}
