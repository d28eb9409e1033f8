//! Statuses and payments on their way back (design §3 «Back to RetailCRM»).
//!
//! `poll` takes what changed out of MeaSoft's stream and acknowledges it, `segment` is how rows
//! wait meanwhile, `facts` says what of a row matters, `apply` takes it over into the ledger, `push` tells RetailCRM,
//! `payments` settles the order's payment, `reconcile` finds what all of that missed.

pub mod apply;
pub mod facts;
pub mod guard;
#[cfg(test)]
mod payment_stories;
pub mod payments;
pub mod poll;
pub mod push;
pub mod reconcile;
mod segment;
#[cfg(test)]
mod settling_stories;
#[cfg(test)]
mod stories;

use std::time::Duration;

use jiff::Timestamp;
use shared::domain::{Integration, IntegrationId};
use shared::message::{Change, Command, Envelope, Outcome, RetryWhy};
use shared::store;
use shared::store::jobs::NewJob;

use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::integrations::{ActiveIntegrations, Found};

/// One status sync: poll the integration's stream, then bring what came to its end for
/// every integration of that cabinet.
pub async fn sync_statuses(tools: &Tools, integrations: &ActiveIntegrations, id: IntegrationId) -> Outcome {
    let Found::Active(active) = integrations.find(id) else {
        return Outcome::Superseded("the integration is not active");
    };
    let polled = poll::run(tools, &active).await;
    // Whatever came of the poll: what is stored goes on.
    for sibling in active_siblings(integrations, &active) {
        deliver(tools, &sibling).await;
    }
    polled
}

/// Brings stored statuses on: into the ledger, to RetailCRM, and the payments with them.
pub async fn push_statuses(tools: &Tools, integrations: &ActiveIntegrations, envelope: &Envelope) -> Outcome {
    let active = match shop_of(integrations, envelope) {
        Ok(active) => active,
        Err(outcome) => return outcome,
    };
    if envelope.generation > 0 && tools.store.revive_tracking(active.id()).await.is_err() {
        return internal();
    }
    deliver(tools, &active).await;
    Outcome::Done(Change::Synced)
}

/// Settles the payments of closed deliveries. A replay looks again at what gave up.
pub async fn sync_payments(tools: &Tools, integrations: &ActiveIntegrations, envelope: &Envelope) -> Outcome {
    let active = match shop_of(integrations, envelope) {
        Ok(active) => active,
        Err(outcome) => return outcome,
    };
    if envelope.generation > 0 && tools.store.revive_payments(active.id()).await.is_err() {
        return internal();
    }
    let done = payments::run(tools, &active).await;
    follow_up(tools, &active).await;
    done
}

/// The integration a command is about, if it may be worked for; else what comes of the command.
/// What a person asked for waits for the end of a pause; what the scheduler asks for it asks for
/// again.
pub(crate) fn shop_of(integrations: &ActiveIntegrations, envelope: &Envelope) -> Result<ActiveIntegration, Outcome> {
    let Some(id) = envelope.integration else { return Err(Outcome::Superseded("no integration is named")) };
    match integrations.find(id) {
        Found::Active(active) => Ok(active),
        Found::Paused if envelope.generation > 0 => {
            Err(Outcome::RetryLater { why: RetryWhy::Paused, not_before: None })
        }
        Found::Paused | Found::Unknown => Err(Outcome::Superseded("the integration is not active")),
    }
}

/// Apply, push and payments of one integration. Each keeps what it could not do, with the
/// time of its next try.
pub async fn deliver(tools: &Tools, active: &ActiveIntegration) {
    for (step, outcome) in [
        ("apply", apply::run(tools, &active.integration.courier_account()).await),
        ("push", push::run(tools, active).await),
        ("payments", payments::run(tools, active).await),
    ] {
        if let Outcome::RetryLater { why, .. } = &outcome {
            tracing::info!(integration = active.id().0, step, why = why.as_str(), "statuses have to wait");
        }
    }
    follow_up(tools, active).await;
}

/// Has somebody look again when the next of what waits is due.
async fn follow_up(tools: &Tools, active: &ActiveIntegration) {
    let next = async {
        let account = active.integration.courier_account();
        let dues = [
            tools.store.next_row_due(&account).await?,
            tools.store.next_tracking_due(active.id()).await?,
            tools.store.next_payment_due(active.id()).await?,
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
///
/// # Errors
/// [`store::StoreError`].
pub async fn of_account(tools: &Tools, account: &str) -> store::Result<Vec<Integration>> {
    let mut all = tools.store.integrations().await?;
    all.retain(|integration| integration.courier_account() == account);
    Ok(all)
}

fn active_siblings(integrations: &ActiveIntegrations, active: &ActiveIntegration) -> Vec<ActiveIntegration> {
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
    let now = tools.clock.now();
    let rung = tools.policy.rungs.get(attempt as usize).or(tools.policy.rungs.last()).copied();
    now.checked_add(rung.unwrap_or(Duration::from_secs(15))).unwrap_or(now)
}
