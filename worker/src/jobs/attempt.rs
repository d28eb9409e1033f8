//! One attempt at a job: carry out, record, settle.

use std::time::Duration;

use jiff::Timestamp;
use shared::clock::{elapsed, later};
use shared::domain::IntegrationId;
use shared::message::{Envelope, Kind, Outcome};
use shared::phrases::Details;
use shared::queue::Delivery;
use shared::reason;
use shared::store::dead_letters::NewDeadLetter;
use shared::store::jobs::NewJob;
use shared::store::replays::Step;

use crate::jobs::{carry_out, of};
use crate::order::settle::{Settlement, settle, spent_trying};
use crate::tools::Tools;
use crate::vendor::integrations::ActiveIntegrations;

pub(super) async fn attempt(tools: &Tools, integrations: &ActiveIntegrations, envelope: Envelope, delivery: Delivery) {
    let started = tools.clock.now();
    let outcome = carry_out(tools, integrations, &envelope).await;
    let now = tools.clock.now();
    let took = elapsed(started, now);
    note(tools, &envelope, &outcome, took);
    let spent = spent_trying(Duration::from_millis(envelope.spent_ms), took);
    let settled = match settle(&outcome, envelope.attempt, spent, Duration::ZERO, &tools.policy) {
        Settlement::Ack => {
            if let (Outcome::Done(_) | Outcome::AlreadyDone(_), Some(id)) = (&outcome, envelope.integration) {
                resolve(tools, id, envelope.command.kind()).await;
            }
            came_to(tools, &envelope, Step::Done).await;
            true
        }
        Settlement::Wait { .. } if is_replaced(&envelope, now, tools.limits.sync_interval) => true,
        Settlement::Wait { pause, counts } => {
            if let Outcome::RetryLater { why, .. } = &outcome {
                tools.metrics.retry(envelope.command.kind(), *why);
            }
            // The copy first: a crash in between makes two, never none.
            let copy = again(envelope, counts.then_some(spent + pause));
            tools.store.enqueue(&[NewJob::of(&copy, later(now, pause))]).await.is_ok()
        }
        Settlement::DeadLetter | Settlement::Expire => give_up(tools, &envelope, outcome).await,
    };
    if settled { delivery.ack().await } else { delivery.requeue().await }
}

fn note(tools: &Tools, envelope: &Envelope, outcome: &Outcome, took: Duration) {
    let kind = envelope.command.kind();
    tools.metrics.command(kind, outcome, took);
    tracing::info!(
        integration = envelope.integration.map(|id| id.0),
        command = kind.as_str(),
        attempt = envelope.attempt,
        outcome = outcome.label(),
        traceparent = envelope.traceparent.as_deref(),
        duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "attempt.finished"
    );
}

/// The next attempt's command. Counted in any case: two copies with one number would be taken
/// for one.
fn again(mut envelope: Envelope, spent: Option<Duration>) -> Envelope {
    envelope.attempt += 1;
    if let Some(spent) = spent {
        envelope.spent_ms = u64::try_from(spent.as_millis()).unwrap_or(u64::MAX);
    }
    envelope
}

/// Whether the scheduler has asked again since for what a failing command was to do. What a
/// person replays goes on.
pub(super) fn is_replaced(envelope: &Envelope, now: Timestamp, interval: Duration) -> bool {
    let comes_again = of(envelope.command.kind()).is_some_and(|job| (job.comes_again)(envelope));
    comes_again && envelope.generation == 0 && elapsed(envelope.received_at, now) >= interval
}

/// A job that works again closes what it left open.
async fn resolve(tools: &Tools, integration: IntegrationId, kind: Kind) {
    let closing = async {
        let mut tx = tools.store.db.begin().await?;
        tx.resolve_dead_letters_of(integration, None, kind.as_str(), tools.clock.now()).await?;
        tx.commit().await
    };
    if let Err(error) = closing.await {
        tracing::debug!(%error, "dead letters of a job that works again stay open");
    }
}

/// Tells the replay that a command is of.
async fn came_to(tools: &Tools, envelope: &Envelope, step: Step) {
    if envelope.generation > 0
        && let Err(error) = tools.store.replay_came_to(envelope.id, step).await
    {
        tracing::debug!(%error, "what a replayed command came to is not noted");
    }
}

/// False: the letter could not be stored.
async fn give_up(tools: &Tools, envelope: &Envelope, outcome: Outcome) -> bool {
    let give_up = match outcome {
        Outcome::GiveUp(give_up) => give_up,
        _ => reason::give_up(reason::EXPIRED, Details::NONE),
    };
    let stored = tools.store.add_dead_letter(&NewDeadLetter::of(envelope, give_up)).await.is_ok();
    if stored {
        came_to(tools, envelope, Step::Dead).await;
    }
    stored
}
