//! Consumes commands, talks to MeaSoft and RetailCRM, records, settles. All business rules
//! live here.
//!
//! A trigger's way: [`consume::triggers`] records what it wants, [`dispatch`] gives it a slot when it
//! is due. Then [`order`] has it, a batch at a time: `gather` reads the orders that bear its number and
//! takes them in hand, `decide` says what to do, `place`, `edit`, `cancel` and `look_up` do it at
//! MeaSoft, `report` tells RetailCRM, and `record` stores the result as `settle` says.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod ask;
pub mod callbacks;
pub mod compare;
pub mod consume;
pub mod correct;
pub mod dispatch;
pub mod hint;
pub mod inquire;
pub mod jobs;
mod kinship;
mod lifeline;
pub mod manage;
pub mod notifier;
pub mod order;
pub mod policy;
pub mod preview;
pub mod shadow;
#[cfg(test)]
mod stories;
pub mod sync;
mod takeover;
#[cfg(test)]
pub(crate) mod testing;
pub mod tools;
pub mod vendor;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use shared::bootstrap::Ctx;
use shared::config::Config;
use shared::domain::delivery::CALL_LIMIT;
use shared::domain::{Integration, IntegrationId};
use shared::queue::open::Opened;
use shared::queue::watched::WatchedQueue;
use shared::store::Store;
use shared::store::journal::Journal;
use shared::telemetry::Metrics;
use shared::telemetry::metrics::{BreakerTarget, IntegrationLabel};
use tokio::sync::mpsc;

use crate::consume::{dead_letters, triggers};
use crate::policy::Policy;
use crate::tools::{Limits, Tools};
use crate::vendor::budget::Budget;
use crate::vendor::integrations::ActiveIntegrations;
use crate::vendor::limiter::Limiter;
use crate::vendor::references::ReferenceCache;
use crate::vendor::{ActiveIntegration, Connect};
use crate::vendor::{connect, held};

/// Starts a worker with the vendors' real clients and runs until the context stops.
///
/// # Errors
/// When the HTTP clients cannot be made.
pub async fn run(ctx: Ctx, queue: Opened) -> anyhow::Result<()> {
    let journal = Journal::start(ctx.store.clone());
    let clients = connect::Clients::new(&ctx.config, ctx.store.clone(), journal.clone(), ctx.metrics.clone())?;
    run_with(ctx, queue, journal, Arc::new(clients)).await
}

/// What a worker works with, from its context.
pub fn tools(ctx: &Ctx, journal: Journal) -> Tools {
    let config = &ctx.config;
    let budget = Budget::new(ctx.store.clone(), &config.budgets);
    let longest_asked = policy::LONGEST_ASKED / config.budgets.time_scale;
    Tools {
        store: ctx.store.clone(),
        clock: ctx.clock.clone(),
        journal,
        metrics: ctx.metrics.clone(),
        limiter: Limiter::with_longest_asked(ctx.clock.clone(), budget, config.timing.breaker_open, longest_asked),
        policy: Policy::new(config.timing.rungs.clone())
            .with_longest_asked(longest_asked)
            .with_kept(config.timing.journal_kept, config.timing.orders_kept),
        limits: Limits {
            settle: config.timing.settle,
            lease: config.timing.lease,
            unknown_recheck: config.timing.unknown_recheck,
            sync_interval: config.timing.sync_interval,
            call_limit: CALL_LIMIT.min(config.timing.lease),
        },
        owner: format!("worker-{}", uuid::Uuid::now_v7()),
        module_code: config.module_code.clone(),
        references: Arc::new(ReferenceCache::default()),
        towns: Arc::default(),
        notifier: Arc::default(),
    }
}

/// What one integration is asked with outside of a worker, by clients of its own. Whoever is done
/// flushes the tools' journal.
///
/// # Errors
/// When the clients cannot be made.
pub(crate) fn tools_of_one(
    config: &Arc<Config>,
    store: &Store,
    integration: &Integration,
) -> anyhow::Result<(Tools, ActiveIntegration)> {
    let ctx = Ctx::new(config.clone(), store.clone());
    let journal = Journal::start(store.clone());
    let clients = connect::Clients::new(config, store.clone(), journal.clone(), ctx.metrics.clone())?;
    let vendors = clients.connect(integration).map_err(anyhow::Error::msg)?;
    Ok((tools(&ctx, journal), ActiveIntegration::new(integration.clone(), vendors)))
}

/// [`run`] with given vendors.
///
/// # Errors
/// None today; the signature is that of every role.
pub async fn run_with(ctx: Ctx, queue: Opened, journal: Journal, connect: Arc<dyn Connect>) -> anyhow::Result<()> {
    let tools = tools(&ctx, journal.clone());
    let integrations = ActiveIntegrations::new(ctx.store.clone(), connect);
    let mut last = None;
    while let Err(error) = integrations.refresh().await {
        let why = error.to_string();
        if last.as_ref() != Some(&why) {
            tracing::warn!(why, "the worker waits for its database");
            last = Some(why);
        }
        tokio::select! {
            () = ctx.stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
    let (hints, hinted) = mpsc::channel(4096);
    let (other, jobs) = mpsc::channel(64);
    let fresh = tokio::spawn(integrations.clone().keep_fresh(ctx.stop.clone()));
    let kin = tokio::spawn(kinship::keep(tools.clone(), integrations.clone(), ctx.stop.clone()));
    let observing = tokio::spawn(observe(ctx.clone(), tools.clone(), integrations.clone()));
    let takeover = tokio::spawn(takeover::run(tools.clone(), ctx.stop.clone()));
    // Until what is in hand is finished, not only until the stop.
    let drained = tokio_util::sync::CancellationToken::new();
    let alive = tokio::spawn(lifeline::run(tools.store.clone(), tools.owner.clone(), drained.clone()));
    let Opened { queue, callbacks, .. } = queue;
    let take_in = triggers::take_in(tools.clone(), hints.clone(), other.clone(), ctx.stop.clone());
    let drains = tokio::spawn(dead_letters::run(tools.store.clone(), queue.clone(), take_in, ctx.stop.clone()));
    let queue = WatchedQueue::new(queue, ctx.health.clone(), ctx.stop.clone());
    let bulk = tokio::spawn(jobs::run(tools.clone(), integrations.clone(), queue.clone(), jobs, ctx.stop.clone()));
    let context = callbacks::rpc::context(&ctx, tools.clone(), integrations.clone(), hints.clone());
    let answering = tokio::spawn(callbacks::rpc::run(context, callbacks, ctx.stop.clone()));
    let backlog = Arc::new(hint::Backlog::default());
    let intake =
        tokio::spawn(triggers::run(tools.clone(), queue.clone(), hints, other, backlog.clone(), ctx.stop.clone()));
    let beat = ctx.health.heartbeat("runner", Duration::from_secs(60));
    let concurrency = usize::from(ctx.config.worker_concurrency);
    dispatch::run(tools, integrations, hinted, concurrency, backlog, beat, ctx.stop.clone()).await;
    // In hand is finished; what was received and not recorded goes back.
    let _ = intake.await;
    let _ = answering.await;
    let _ = drains.await;
    let _ = bulk.await;
    let _ = fresh.await;
    let _ = observing.await;
    let _ = kin.await;
    let _ = takeover.await;
    drained.cancel();
    let _ = alive.await;
    journal.flush().await;
    Ok(())
}

/// What grows with what waits is counted once in so many turns of [`observe`].
const SELDOM: u64 = 15;

/// What waits, why, and how far replays are.
async fn observe_waiting(metrics: &Metrics, tools: &Tools) {
    use shared::store::waits::Stand;
    if let Ok(all) = tools.store.what_waits().await {
        let mut waits = std::collections::BTreeMap::new();
        for one in &all {
            let cause = match (one.stand, one.why) {
                (Stand::Later, Some(why)) => why.as_str(),
                (stand, _) => stand.as_str(),
            };
            *waits.entry((one.integration, one.work.as_str(), cause)).or_insert(0) += one.number;
        }
        let row = |((id, work, cause), n)| (id, work, cause, n);
        metrics.set_waiting(&waits.into_iter().map(row).collect::<Vec<_>>());
    }
    if let Ok(running) = tools.store.running_replays().await {
        metrics.set_replays(&running.iter().map(|(id, step, n)| (*id, step.as_str(), *n)).collect::<Vec<_>>());
    }
}

/// Keeps the gauges that are read from the store.
async fn observe(ctx: Ctx, tools: Tools, integrations: ActiveIntegrations) {
    let mut seen = BTreeSet::new();
    let (mut known, mut all) = (None, Vec::new());
    let mut noted = true;
    for turn in 0u64.. {
        let metrics = &ctx.metrics;
        if turn % SELDOM == 0 {
            observe_waiting(&ctx.metrics, &tools).await;
        }
        if let Ok(open) = tools.store.open_dead_letters_by_integration().await {
            metrics.set_dead_letters(&open);
        }
        let held = held::held(&tools.limiter, tools.clock.now(), &integrations);
        for target in [BreakerTarget::Measoft, BreakerTarget::Account, BreakerTarget::Retailcrm] {
            metrics.set_breaker(target, held::worst(&held, target));
        }
        metrics.set_held(&held.iter().map(|h| (h.target, h.name.as_str(), h.state)).collect::<Vec<_>>());
        // Where nothing is held back, that is noted once, and those of the dead are struck off now
        // and then.
        if noted || !held.is_empty() || turn % SELDOM == 0 {
            let done = tools.store.note_breakers(&tools.owner, &held).await;
            noted = done.is_err() || !held.is_empty();
            if let Err(error) = done {
                tracing::debug!(%error, "what is held back could not be noted");
            }
        }
        for (scope, left) in tools.limiter.budget().left().await {
            metrics.set_budget_tokens(scope, f64::from(left));
        }
        let stamp = tools.store.tick().await.ok().map(|tick| tick.integrations);
        if stamp.is_some()
            && stamp != known
            && let Ok(present) = tools.store.integrations().await
        {
            (known, all) = (stamp, present);
        }
        if known.is_some() {
            observe_integrations(metrics, &all, &mut seen);
        }
        tokio::select! {
            () = ctx.stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
        }
    }
}

/// `seen`: all that have ever been active, to take those off that are not any more.
fn observe_integrations(metrics: &Metrics, all: &[Integration], seen: &mut BTreeSet<IntegrationId>) {
    let state = |i: &Integration| if i.is_active() { IntegrationLabel::Active } else { IntegrationLabel::Paused };
    let active = all.iter().filter(|i| i.is_active()).count();
    metrics.set_integrations(IntegrationLabel::Active, active as u64);
    metrics.set_integrations(IntegrationLabel::Paused, (all.len() - active) as u64);
    metrics.name_integrations(&all.iter().map(|i| (i.id, i.title.as_str(), state(i))).collect::<Vec<_>>());
    // Only active ones are synced; the age of the others would grow for ever.
    seen.extend(all.iter().map(|i| i.id));
    for id in seen.iter().filter(|id| !all.iter().any(|i| i.id == **id && i.is_active())) {
        metrics.forget_sync(*id);
    }
}
