//! The MeaSoft simulator as a process: prints its URL on one line and serves until it is told to stop.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Parser;
use serde_json::json;
use simulators::measoft::{Account, CommitMode, Enforcement, FaultRule, MeasoftSim, Options};
use tracing_subscriber::EnvFilter;

/// A stand-in for MeaSoft's XML API with a control face below /_sim.
#[derive(Parser)]
#[command(name = "measoft-sim", version)]
struct Arguments {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Account as extra:login:password; may be repeated. Without any: 8:shop-demo:secret-demo.
    #[arg(long, value_parser = account)]
    account: Vec<Account>,
    /// JSON list of fault rules in force from the start.
    #[arg(long)]
    faults: Option<PathBuf>,
    /// Where the orders and counters are written as JSON when the simulator ends. They are never read back.
    #[arg(long)]
    state: Option<PathBuf>,
    /// Milliseconds until a new order leaves AWAITING_SYNC, for all accounts given here.
    #[arg(long, default_value_t = 200)]
    sync_after_ms: u64,
    /// Most rows of one ONLY_LAST answer.
    #[arg(long)]
    only_last_limit: Option<usize>,
    /// commitlaststatus swallows what changed since the fetch.
    #[arg(long)]
    stamp_on_commit: bool,
    /// Makes every limit window this many times shorter.
    #[arg(long, default_value_t = 1.0)]
    time_scale: f64,
    /// Block callers that exceed the vendor's limits (429 with Retry-After) instead of only counting.
    #[arg(long)]
    enforce_limits: bool,
}

fn account(text: &str) -> Result<Account, String> {
    let mut parts = text.splitn(3, ':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(extra), Some(login), Some(pass)) if !extra.is_empty() && !login.is_empty() => {
            Ok(Account::new(extra, login, pass))
        }
        _ => Err("expected extra:login:password".to_owned()),
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn")))
        .with_writer(std::io::stderr)
        .init();
    let mut arguments = Arguments::parse();
    if arguments.account.is_empty() {
        arguments.account.push(Account::new("8", "shop-demo", "secret-demo"));
    }
    for account in &mut arguments.account {
        account.sync_after_ms = Some(arguments.sync_after_ms);
    }
    let rules = arguments.faults.as_deref().map(read_rules).transpose()?.unwrap_or_default();
    let sim = MeasoftSim::start(Options {
        listen: arguments.listen,
        accounts: arguments.account,
        only_last_limit: arguments.only_last_limit,
        commit: if arguments.stamp_on_commit { CommitMode::StampNow } else { CommitMode::ReturnedSet },
        time_scale: arguments.time_scale,
        enforcement: if arguments.enforce_limits { Enforcement::TooManyRequests } else { Enforcement::Off },
        ..Options::default()
    })
    .await?;
    sim.set_faults(rules);

    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", sim.url())?;
    stdout.flush()?;

    stop_signal().await?;
    sim.stop().await;
    if let Some(path) = &arguments.state {
        let snapshot = json!({"orders": sim.orders(), "effects": sim.effects(), "stats": sim.stats()});
        fs::write(path, serde_json::to_vec_pretty(&snapshot)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn read_rules(path: &Path) -> anyhow::Result<Vec<FaultRule>> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not a list of fault rules", path.display()))
}

#[cfg(unix)]
async fn stop_signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

#[cfg(not(unix))]
async fn stop_signal() -> anyhow::Result<()> {
    Ok(tokio::signal::ctrl_c().await?)
}
