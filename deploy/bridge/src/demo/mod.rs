//! `bridge demo`: both vendors simulated, all roles in one process, one story told, and the
//! ledger checked against the simulators' own record at the end.

mod stage;
mod story;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use shared::config::{BadConfig, Source};
use shared::queue::open;
use shared::telemetry::{health, logs};

use crate::args::Demo;
use crate::output::{Failure, Output};
use crate::stdout;
use crate::up;
use stage::PATIENCE;

/// # Errors
/// Why the story could not be told.
pub fn run(args: &Demo, out: &Output) -> Result<ExitCode, Failure> {
    let filter = Source::environment().get("RUST_LOG").ok().flatten().unwrap_or_else(|| "off".to_owned());
    logs::start(logs::LogFormat::Text, &filter).map_err(|bad| Failure::Config(bad.into()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(anyhow::Error::from)?;
    let done = runtime.block_on(async {
        let folder = std::env::temp_dir().join(format!("measoft-bridge-demo-{}", std::process::id()));
        let done = tokio::select! {
            done = tell(args, out, folder.clone()) => done,
            _ = tokio::signal::ctrl_c() => Ok(args.keep),
            () = stdout::closed() => Ok(true),
        };
        let _ = std::fs::remove_dir_all(&folder);
        done
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    match done {
        Ok(true) => Ok(ExitCode::SUCCESS),
        Ok(false) => Ok(ExitCode::FAILURE),
        Err(error) => Err(match error.downcast::<BadConfig>() {
            Ok(bad) => Failure::Config(bad),
            Err(error) => Failure::Failed(error),
        }),
    }
}

/// True when the ledger is right.
async fn tell(args: &Demo, out: &Output, folder: PathBuf) -> anyhow::Result<bool> {
    let stage = stage::set_up(args, out, folder).await?;
    let (ctx, queue) = (stage.ctx.clone(), open::start(&stage.ctx).await?);
    health::serve(stage.ops.parse()?, ctx.health.clone(), ctx.metrics.clone()).await?;
    let mut running = tokio::spawn(up::roles(ctx.clone(), queue.clone()));
    tokio::select! {
        // A role that ends now failed, and knows why.
        ended = &mut running => {
            queue.close().await;
            ended?.context("a role failed")?;
            bail!("the roles stopped before the story began");
        }
        listening = listens(&stage.ingress_address) => listening?,
    }
    let told = story::tell(args, out, &stage).await;
    if args.keep && told.is_ok() {
        stage.invite().await?;
        std::future::pending::<()>().await;
    }
    ctx.stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(10), running).await;
    queue.close().await;
    let right = told?;
    ended.context("the roles did not stop in time")??.context("a role failed")?;
    Ok(right)
}

/// Waits until ingress takes connections.
async fn listens(address: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    while let Err(error) = tokio::net::TcpStream::connect(address).await {
        if begun.elapsed() > PATIENCE {
            return Err(error).context("ingress does not listen");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
