//! Publishes periodic commands and does no work itself. Any number of copies: each slot
//! of a job fires once, because only one of them can insert its row.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod plan;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use shared::bootstrap::Ctx;
use shared::domain::{IntegrationState, PausedBy};
use shared::message::{Command, Envelope};
use shared::queue::Publisher;
use shared::queue::open::Opened;
use shared::store::Store;
use shared::telemetry::Heartbeat;

use crate::plan::{Job, due_slot};

/// How often the plan is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// A slot that was won and not published by then is published again.
const ABANDONED: Duration = Duration::from_secs(60);

/// Runs until the context stops.
///
/// # Errors
/// None today; the signature is that of every role.
pub async fn run(ctx: Ctx, queue: Opened) -> anyhow::Result<()> {
    let queue = queue.publisher;
    let beat = ctx.health.heartbeat("scheduler", Duration::from_secs(60));
    let jobs = plan::jobs(&ctx.config.timing);
    let mut last: Vec<Option<i64>> = vec![None; jobs.len()];
    loop {
        beat.beat();
        let now = ctx.clock.now();
        for (job, last) in jobs.iter().zip(&mut last) {
            let slot = due_slot(job, now);
            if *last == Some(slot) {
                continue;
            }
            match fire(&ctx.store, &queue, job, slot).await {
                Ok(()) => *last = Some(slot),
                Err(error) => tracing::warn!(job = job.name, %error, "a slot could not be fired yet"),
            }
        }
        if let Err(error) = republish(&ctx.store, &queue, &jobs, now).await {
            tracing::debug!(%error, "abandoned slots could not be looked for");
        }
        tokio::select! {
            () = ctx.stop.cancelled() => {
                Heartbeat::done(beat);
                return Ok(());
            }
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn fire(store: &Store, queue: &Arc<dyn Publisher>, job: &Job, slot: i64) -> anyhow::Result<()> {
    if !store.win_slot(job.name, slot).await? {
        return Ok(());
    }
    publish(store, queue, job).await?;
    store.slot_published(job.name, slot).await?;
    Ok(())
}

/// Slots whose winner died between winning and publishing.
async fn republish(store: &Store, queue: &Arc<dyn Publisher>, jobs: &[Job], now: Timestamp) -> anyhow::Result<()> {
    let before = now.checked_sub(ABANDONED)?;
    for (name, slot) in store.unpublished_slots(before).await? {
        if let Some(job) = jobs.iter().find(|job| job.name == name) {
            publish(store, queue, job).await?;
        }
        store.slot_published(&name, slot).await?;
    }
    Ok(())
}

/// The commands of one slot of a job.
async fn publish(store: &Store, queue: &Arc<dyn Publisher>, job: &Job) -> anyhow::Result<()> {
    let now = store.clock.now();
    match job.what {
        plan::What::Sweep => {
            let stale = now.checked_sub(job.every)?;
            for (integration, number) in store.stale_intents(stale, 500).await? {
                queue.publish(Envelope::new(Command::ResumeOrder { number }, Some(integration), now), None).await?;
            }
        }
        plan::What::Probe => {
            for integration in store.integrations().await? {
                if let IntegrationState::Paused { by: PausedBy::Credentials(_), .. } = integration.state {
                    queue.publish(Envelope::new(Command::ProbeIntegration {}, Some(integration.id), now), None).await?;
                }
            }
        }
        plan::What::Whole(ref command) => {
            queue.publish(Envelope::new(command.clone(), None, now), None).await?;
        }
        plan::What::EachActive(ref command) => {
            for integration in store.integrations().await?.iter().filter(|i| i.is_active()) {
                queue.publish(Envelope::new(command.clone(), Some(integration.id), now), None).await?;
            }
        }
    }
    Ok(())
}
