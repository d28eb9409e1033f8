//! The RetailCRM simulator as a process: prints its URL on one line and serves until interrupted.

use std::io::Write;
use std::net::SocketAddr;

use clap::Parser;
use simulators::retailcrm::{Options, RetailcrmSim, an_order};
use tokio::signal::unix::{SignalKind, signal};

/// A stand-in for RetailCRM with a control face at /_sim/.
#[derive(Parser)]
struct Arguments {
    /// Address to serve on; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// API key of an account; repeat for several accounts.
    #[arg(long = "account", value_name = "KEY")]
    accounts: Vec<String>,
    /// Sample orders in each account.
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u32,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    let sim = RetailcrmSim::start(Options { listen: arguments.listen, ..Options::default() }).await?;
    for key in &arguments.accounts {
        let account = sim.add_account(key);
        for _ in 0..arguments.seed {
            sim.add_order(account, an_order());
        }
    }
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", sim.url())?;
    stdout.flush()?;
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    sim.stop().await;
    Ok(())
}
