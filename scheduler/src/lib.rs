//! Publishes periodic commands and does no work itself. Any number of copies: each slot
//! of a job fires once, because only one of them can insert its row.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod plan;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use shared::bootstrap::Ctx;
use shared::domain::{Integration, IntegrationId, IntegrationState, PausedBy};
use shared::message::{Command, Envelope};
use shared::queue::Publisher;
use shared::queue::open::Opened;
use shared::store::integrations::Stamp;
use shared::store::{self, Store};
use shared::telemetry::Heartbeat;

use crate::plan::{Job, due_slot, on_the_hour};

/// How often the plan is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// A slot that was won and not published by then is published again.
const ABANDONED: Duration = Duration::from_secs(60);
/// How often such slots are looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// Runs until the context stops.
///
/// # Errors
/// None today; the signature is that of every role.
pub async fn run(ctx: Ctx, queue: Opened) -> anyhow::Result<()> {
    let queue = queue.publisher;
    let beat = ctx.health.heartbeat("scheduler", Duration::from_secs(60));
    let mut plan = Plan::default();
    loop {
        beat.beat();
        if let Err(error) = plan.refresh(&ctx).await {
            tracing::debug!(%error, "integrations could not be read; the last plan stands");
        }
        plan.look(&ctx.store, &queue).await;
        tokio::select! {
            () = ctx.stop.cancelled() => {
                Heartbeat::done(beat);
                return Ok(());
            }
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// The jobs of the integrations as they were last seen, and the slots fired or seen fired.
#[derive(Default)]
struct Plan {
    stamp: Option<Stamp>,
    jobs: Vec<Job>,
    last: HashMap<String, i64>,
    /// When abandoned slots were looked for.
    swept: Option<Instant>,
}

impl Plan {
    /// Plans anew when an integration has changed.
    async fn refresh(&mut self, ctx: &Ctx) -> store::Result<()> {
        if self.stamp == Some(ctx.store.tick().await?.integrations) {
            return Ok(());
        }
        let Some((stamp, integrations)) = ctx.store.integrations_since(self.stamp).await? else { return Ok(()) };
        self.jobs = plan::jobs(&ctx.config.timing, &ctx.config.budgets, &integrations);
        self.last.retain(|name, _| self.jobs.iter().any(|job| job.name == *name));
        self.stamp = Some(stamp);
        Ok(())
    }

    /// Fires what is due and nobody has fired.
    async fn look(&mut self, store: &Store, queue: &Arc<dyn Publisher>) {
        let now = store.clock.now();
        for job in &self.jobs {
            let slot = due_slot(job, now);
            let waits = matches!(job.what, plan::What::For { .. }) && on_the_hour(now);
            if waits || self.last.get(&job.name) == Some(&slot) {
                continue;
            }
            match fire(store, queue, job, slot).await {
                Ok(()) => {
                    self.last.insert(job.name.clone(), slot);
                }
                Err(error) => tracing::warn!(job = job.name, %error, "a slot could not be fired yet"),
            }
        }
        if self.swept.is_none_or(|at| at.elapsed() >= SWEEP) {
            self.swept = Some(Instant::now());
            if let Err(error) = republish(store, queue, &self.jobs, now).await {
                tracing::debug!(%error, "abandoned slots could not be looked for");
            }
        }
    }
}

async fn fire(store: &Store, queue: &Arc<dyn Publisher>, job: &Job, slot: i64) -> anyhow::Result<()> {
    // Every few seconds: where there is none, nothing is written.
    if job.what == plan::What::Replays && !store.replays_are_under_way().await? {
        return Ok(());
    }
    if !store.win_slot(&job.name, slot).await? {
        return Ok(());
    }
    publish(store, queue, job).await?;
    store.slot_published(&job.name, slot).await?;
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
        plan::What::Probe => {
            for integration in store.integrations().await? {
                if let IntegrationState::Paused { by: PausedBy::Credentials(_), .. } = integration.state {
                    queue.publish(Envelope::new(Command::ProbeIntegration {}, Some(integration.id), now)).await?;
                }
            }
        }
        plan::What::Replays => {
            queue.publish(Envelope::new(Command::ReplayLetters {}, None, now)).await?;
        }
        plan::What::Whole(ref command) => {
            queue.publish(Envelope::new(command.clone(), None, now)).await?;
        }
        plan::What::Backlog => {
            for integration in left_behind(store).await? {
                queue.publish(Envelope::new(Command::PushStatuses {}, Some(integration), now)).await?;
            }
        }
        plan::What::For { integration, ref command, key } => {
            let mut envelope = Envelope::new(command.clone(), Some(integration), now);
            if let Some(key) = key {
                key.clone_into(&mut envelope.key);
            }
            queue.publish(envelope).await?;
        }
    }
    Ok(())
}

/// Active integrations with statuses, payments or returns that are due: a worker that died between
/// storing and telling left them.
async fn left_behind(store: &Store) -> store::Result<BTreeSet<IntegrationId>> {
    let accounts = store.accounts_with_rows().await?;
    let mut waiting: BTreeSet<IntegrationId> = store.integrations_with_tracking().await?.into_iter().collect();
    waiting.extend(store.integrations_with_payments().await?);
    waiting.extend(store.integrations_with_returns().await?);
    let active = store.integrations().await?.into_iter().filter(Integration::is_active);
    Ok(active
        .filter(|i| waiting.contains(&i.id) || accounts.iter().any(|account| *account == i.courier_account()))
        .map(|i| i.id)
        .collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::FutureExt as _;
    use futures_util::future::BoxFuture;
    use shared::clock::Clock;
    use shared::config::{Config, Role, Source};
    use shared::crypto::SecretKey;
    use shared::domain::Secret;
    use shared::queue::PublishError;
    use shared::store::Db;
    use shared::store::integrations::NewIntegration;

    use super::*;

    #[derive(Default)]
    struct Published(Mutex<Vec<Envelope>>);

    impl Publisher for Published {
        fn publish(&self, envelope: Envelope) -> BoxFuture<'_, Result<(), PublishError>> {
            self.0.lock().expect("not poisoned").push(envelope);
            std::future::ready(Ok(())).boxed()
        }
    }

    struct World {
        ctx: Ctx,
        published: Arc<Published>,
        folder: std::path::PathBuf,
    }

    impl Drop for World {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }

    impl World {
        async fn new() -> Self {
            let folder = std::env::temp_dir().join(format!("bridge-scheduler-{}", uuid::Uuid::new_v4()));
            std::fs::create_dir_all(&folder).expect("folder");
            let db = Db::open_sqlite(&folder.join("bridge.db")).await.expect("opened");
            db.migrate().await.expect("migrated");
            let clock = Clock::standing_at(Timestamp::from_second(1_800_000_600).expect("a moment"));
            let store = Store::new(db, SecretKey::from_bytes([7; 32]), clock);
            let pairs = [("DATA_DIR", folder.to_str().expect("utf-8"))];
            let config = Config::read(Role::Bridge, &Source::from_pairs(pairs));
            let ctx = Ctx::new(Arc::new(config.expect("good settings")), store);
            for (login, prefix) in [("a", ""), ("a", "B-"), ("c", "")] {
                let new = NewIntegration {
                    crm_url: "https://a.retailcrm.ru".into(),
                    crm_api_key: Secret::new("k"),
                    measoft_url: "https://example.org/api/".into(),
                    extra: "8".into(),
                    login: login.into(),
                    prefix: prefix.into(),
                    ..NewIntegration::default()
                };
                ctx.store.add_integration(new).await.expect("added");
            }
            Self { ctx, published: Arc::default(), folder }
        }

        async fn look(&self, plan: &mut Plan) {
            let queue: Arc<dyn Publisher> = self.published.clone();
            plan.refresh(&self.ctx).await.expect("read");
            plan.look(&self.ctx.store, &queue).await;
        }

        fn of(&self, kind: &str) -> usize {
            let published = self.published.0.lock().expect("not poisoned");
            published.iter().filter(|e| e.command.kind().as_str() == kind).count()
        }

        fn forget(&self) {
            self.published.0.lock().expect("not poisoned").clear();
        }
    }

    #[tokio::test]
    async fn any_number_of_schedulers_fires_each_slot_once() {
        let world = World::new().await;
        let (mut one, mut two) = (Plan::default(), Plan::default());
        for _ in 0..24 {
            tokio::join!(world.look(&mut one), world.look(&mut two));
            world.ctx.clock.advance(Duration::from_secs(150));
        }
        // An hour of five minutes each, for two cabinets; the first look fires the slot under way.
        let syncs = world.of("SyncStatuses");
        assert!((24..=26).contains(&syncs), "{syncs}");
        // The nightly one was missed before the first start: made good once.
        let mut walks = world.of("Reconcile");
        walks -= 2;
        assert!((15..=18).contains(&walks), "{walks} walks of three integrations every twelve minutes");
    }

    #[tokio::test]
    async fn missed_slots_are_made_good_once() {
        let world = World::new().await;
        world.look(&mut Plan::default()).await;
        world.forget();
        world.ctx.clock.advance(Duration::from_secs(40 * 3600 + 30));
        for _ in 0..3 {
            world.look(&mut Plan::default()).await;
        }
        assert_eq!(world.of("SyncStatuses"), 2, "one for each cabinet, not one for each missed slot");
        assert_eq!(world.of("Retention"), 1);
    }

    #[tokio::test]
    async fn nothing_is_sent_to_measoft_on_the_full_hour() {
        let world = World::new().await;
        let to_the_hour = 3600 - world.ctx.clock.now().as_second().rem_euclid(3600);
        world.ctx.clock.advance(Duration::from_secs(u64::try_from(to_the_hour).expect("fits")));
        let mut plan = Plan::default();
        world.look(&mut plan).await;
        assert_eq!((world.of("SyncStatuses"), world.of("Reconcile")), (0, 0));
        world.ctx.clock.advance(Duration::from_secs(3));
        world.look(&mut plan).await;
        assert_eq!(world.of("SyncStatuses"), 2);
    }

    #[tokio::test]
    async fn turns_of_replays_are_asked_for_only_while_one_is_under_way() {
        let world = World::new().await;
        let mut plan = Plan::default();
        let looks = async |plan: &mut Plan| {
            world.forget();
            for _ in 0..12 {
                world.ctx.clock.advance(LOOK * 10);
                world.look(plan).await;
            }
            world.of("ReplayLetters")
        };
        assert_eq!(looks(&mut plan).await, 0);
        let sql = "SELECT COUNT(*) AS n FROM slots WHERE job = 'replays'";
        let slots = world.ctx.store.db.read_one(sql, vec![], |row| row.int("n")).await.expect("counted");
        assert_eq!(slots, Some(0), "nothing is written for nothing");
        let sql = "INSERT INTO replays (who, filter, per_minute, state, next_at, created_at) \
                   VALUES ('a', '{}', 60, 'running', 0, 0)";
        world.ctx.store.db.exec(sql, vec![]).await.expect("there");
        assert_eq!(looks(&mut plan).await, 12, "a minute, every five seconds");
    }

    #[tokio::test]
    async fn integrations_that_change_are_planned_anew_within_a_second() {
        let world = World::new().await;
        let mut plan = Plan::default();
        world.look(&mut plan).await;
        world.forget();
        let id = IntegrationId(3);
        world.ctx.store.set_integration_state(id, &IntegrationState::Removed).await.expect("removed");
        world.ctx.store.next_tick().await.expect("read");
        world.look(&mut plan).await;
        assert!(
            plan.jobs.iter().all(|job| !matches!(job.what, plan::What::For { integration, .. } if integration == id))
        );
    }
}
