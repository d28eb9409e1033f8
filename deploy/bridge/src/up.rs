//! All roles in one process.

use std::fs::File;
use std::path::Path;
use std::process::ExitCode;

use shared::bootstrap::{self, Ctx};
use shared::config::{Config, Database, Role, Source};
use shared::queue::open::{self, Opened};
use tokio::task::JoinSet;

use crate::output::Failure;

/// Runs until the process is told to stop.
pub fn run(source: &Source) -> Result<ExitCode, Failure> {
    bootstrap::start(Role::Bridge, source, |ctx| async move {
        let lock = alone(&ctx).await?;
        let queue = open::start(&ctx).await?;
        tracing::info!("triggers and callbacks: http://{}", ctx.config.ingress_listen);
        let done = roles(ctx, queue.clone()).await;
        queue.close().await;
        drop(lock);
        done
    })?;
    Ok(ExitCode::SUCCESS)
}

/// On SQLite one process owns the installation, since it holds the database file: the leases
/// a crashed predecessor left are freed at once. The lock of `DATA_DIR` keeps out the release
/// before, which knows no other.
pub async fn alone(ctx: &Ctx) -> anyhow::Result<Option<File>> {
    let Database::Sqlite(_) = &ctx.config.database else { return Ok(None) };
    let file = lock(&ctx.config)?;
    ctx.store.free_all_leases().await?;
    Ok(Some(file))
}

fn lock(config: &Config) -> anyhow::Result<File> {
    let path: &Path = &config.data_dir.join("bridge.lock");
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    file.try_lock().map_err(|_| {
        anyhow::anyhow!(
            "another `bridge up` runs on {}; stop it first, or set another DATA_DIR",
            config.data_dir.display()
        )
    })?;
    Ok(file)
}

/// The three roles side by side, and the console where it is on; the first that fails stops the
/// others.
pub async fn roles(ctx: Ctx, queue: Opened) -> anyhow::Result<()> {
    let mut running: JoinSet<anyhow::Result<()>> = JoinSet::new();
    running.spawn(bridge_ingress::run(ctx.clone(), queue.clone()));
    running.spawn(bridge_worker::run(ctx.clone(), queue.clone()));
    running.spawn(bridge_scheduler::run(ctx.clone(), queue));
    if ctx.config.console.listen.is_some() {
        running.spawn(bridge_console::run(ctx.clone()));
    }
    let mut result = Ok(());
    while let Some(ended) = running.join_next().await {
        let ended = ended.unwrap_or_else(|error| Err(error.into()));
        if ended.is_err() && result.is_ok() {
            result = ended;
        }
        ctx.stop.cancel();
    }
    result
}
