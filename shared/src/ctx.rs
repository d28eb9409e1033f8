//! What every role stands on: settings, store, figures, health, and what stops it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::{Config, Database, Role};
use crate::crypto::SecretKey;
use crate::files;
use crate::store::{Db, Store, file};
use crate::telemetry::{Health, Heartbeat, Metrics};

/// Connections to PostgreSQL of one process.
const PG_CONNECTIONS: u32 = 10;
/// A look at the database may take this long; its pool would wait longer.
pub(crate) const DATABASE_LIMIT: Duration = Duration::from_millis(2500);

/// What every role stands on. Cheap to clone; tests and `bridge up` build their own with
/// [`Ctx::new`] or [`Ctx::open`].
#[derive(Clone)]
pub struct Ctx {
    pub config: Arc<Config>,
    pub store: Store,
    pub metrics: Arc<Metrics>,
    pub health: Health,
    /// Cancelled when the process is to stop taking work.
    pub stop: CancellationToken,
    /// What must end before the process does.
    pub tasks: TaskTracker,
    pub clock: Clock,
}

impl Ctx {
    /// A context over an open store, without signals or ops server. The store's clock is
    /// the context's.
    pub fn new(config: Arc<Config>, store: Store) -> Self {
        let clock = store.clock.clone();
        Self {
            config,
            store,
            metrics: Arc::new(Metrics::new()),
            health: Health::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            clock,
        }
    }

    /// Opens the store that the settings name and checks it from then on.
    ///
    /// # Errors
    /// One sentence that says what to do. A PostgreSQL that is away is no error.
    pub async fn open(config: Arc<Config>, key: SecretKey) -> anyhow::Result<Self> {
        let store = open_store(&config, key, Clock::system()).await?;
        let ctx = Self::new(config, store);
        ctx.check_database();
        Ok(ctx)
    }

    /// Spawns a task that the process waits for when it stops.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(task);
    }

    /// Spawns a loop that `/live` watches: it gets a heartbeat to beat at least once per
    /// `limit`, and its death shows.
    pub fn spawn_loop<F, Fut>(&self, name: &str, limit: Duration, task: F)
    where
        F: FnOnce(Heartbeat) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(task(self.health.heartbeat(name, limit)));
    }

    /// Adds the database to `/ready`. Ingress keeps serving without it, so there it is
    /// only shown.
    fn check_database(&self) {
        let (store, role) = (self.store.clone(), self.config.role);
        let check = move || {
            let store = store.clone();
            async move { store.problem(role.name(), DATABASE_LIMIT).await.map_or(Ok(()), Err) }.boxed()
        };
        match self.config.role {
            Role::Ingress => self.health.note("database", check),
            Role::Bridge | Role::Worker | Role::Scheduler | Role::Console => self.health.need("database", check),
        }
    }

    /// Logs when the database goes away, comes back or is of an old schema, until the
    /// process stops.
    pub(crate) fn watch_database(&self) {
        let (store, stop, role) = (self.store.clone(), self.stop.clone(), self.config.role);
        tokio::spawn(async move {
            let mut last: Option<String> = None;
            loop {
                let problem = store.problem(role.name(), DATABASE_LIMIT).await;
                if problem != last {
                    match &problem {
                        Some(problem) => tracing::error!("{problem}"),
                        None => tracing::info!("the database is reachable, up to date and takes what is written"),
                    }
                    last = problem;
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(Duration::from_secs(5)) => {}
                }
            }
        });
    }
}

/// Opens the database. SQLite is created and migrated; PostgreSQL is connected lazily and
/// left as it is, since several releases may share it.
pub async fn open_store(config: &Config, key: SecretKey, clock: Clock) -> anyhow::Result<Store> {
    let db = match &config.database {
        Database::Sqlite(path) => {
            // Who works with one that is there makes nothing around it.
            for folder in [Some(config.data_dir.as_path()), path.parent()].into_iter().flatten() {
                if path.exists() {
                    break;
                }
                files::make_folder(folder)
                    .with_context(|| format!("DATA_DIR: the folder {} cannot be created", folder.display()))?;
            }
            let cannot = || format!("the database file {} cannot be opened", path.display());
            file::prepare(path).with_context(cannot)?;
            let db = Db::open_sqlite(path).await.with_context(cannot)?;
            db.migrate().await.with_context(|| format!("the database file {} cannot be migrated", path.display()))?;
            if let Err(error) = file::settle_in(path) {
                tracing::warn!(%error, "nothing beside the database file can say that it is in use");
            }
            db
        }
        Database::Postgres(url) => Db::run_on_postgres(url.expose(), PG_CONNECTIONS, config.role.name())?,
    };
    let longest = config.timing.rungs.iter().copied().max().unwrap_or_default();
    Ok(Store::new(db, key, clock).with_longest_pause(longest).with_measoft_url(&config.measoft_url))
}
