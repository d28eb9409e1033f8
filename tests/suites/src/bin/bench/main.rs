//! The benchmarks: the product's real binaries between both simulators on the run's
//! RabbitMQ and PostgreSQL, each figure beside a baseline of the same run. Prints the table
//! `name | figure | baseline | ratio | target`; what it is doing goes to stderr.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};

mod bare;
mod compare;
mod database;
mod end_to_end;
mod footprint;
mod growth;
mod ingress;
mod load;
mod measure;
mod money;
mod neighbours;
mod pages;
mod peers;
mod report;
mod rig;
mod sync;
mod takeover;
mod widget;
mod worker;

use measure::say;
use report::Report;

/// What can be measured on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// CPU per command, commands a second, scaling from one worker to four.
    Worker,
    /// Accepted triggers a second and latency at 1 to 256 connections.
    Ingress,
    /// Trigger to effect, callbacks, and the neighbours of a flood.
    EndToEnd,
    /// A healthy shop among sick ones.
    Neighbours,
    /// A killed worker's orders, until another serves them.
    Takeover,
    /// Idle memory, start-up time, binary size.
    Footprint,
    /// Statuses stored a second, and the memory that takes.
    Sync,
    /// Statuses told to RetailCRM and payments moved there, a second.
    Money,
    /// An old store against an empty one.
    Growth,
    /// The console's pages on an old store.
    Pages,
    /// The order card's endpoints, and one client that floods them.
    Widget,
}

#[derive(Parser)]
#[command(name = "bench", about = "The benchmarks; without a name, all of them")]
struct Arguments {
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Writes the table as well; without a path to tests/bench/REPORT.md.
    #[arg(long, num_args = 0..=1, default_missing_value = "tests/bench/REPORT.md")]
    report: Option<PathBuf>,
    /// Of the ingress part: how many connections at a time.
    #[arg(long, value_delimiter = ',', default_values_t = ingress::CONNECTIONS)]
    connections: Vec<usize>,
    /// Of the takeover part: how many times a worker is killed.
    #[arg(long, default_value_t = 20)]
    kills: usize,
    /// Compares with the programs in this folder: ours and theirs in turns.
    #[arg(long, value_name = "FOLDER")]
    against: Option<PathBuf>,
    /// Of a comparison: turns of each side.
    #[arg(long, default_value_t = 5)]
    turns: usize,
    /// Writes the figures alone to a file.
    #[arg(long, hide = true)]
    values: Option<PathBuf>,
    /// Serves the baseline of the ingress part.
    #[arg(long, hide = true)]
    serve_bare: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    if arguments.serve_bare {
        return bare::serve().await;
    }
    if let Some(theirs) = arguments.against {
        let parts: Vec<String> = arguments
            .parts
            .iter()
            .filter_map(|part| part.to_possible_value())
            .map(|part| part.get_name().to_owned())
            .collect();
        let table = tokio::task::spawn_blocking(move || compare::run(&parts, &theirs, arguments.turns)).await??;
        writeln!(std::io::stdout(), "{table}")?;
        return Ok(());
    }
    let parts = if arguments.parts.is_empty() { Part::value_variants().to_vec() } else { arguments.parts };
    let mut report = Report::default();
    let measured = measure(parts, &arguments.connections, arguments.kills, &mut report).await;
    // What was measured before something went wrong is said all the same.
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", report.table())?;
    if let Some(path) = &arguments.values {
        std::fs::write(path, report.values()?)?;
    }
    measured?;
    if let Some(path) = arguments.report {
        report.write(&path)?;
    }
    Ok(())
}

async fn measure(parts: Vec<Part>, connections: &[usize], kills: usize, report: &mut Report) -> anyhow::Result<()> {
    for part in parts {
        say(format_args!("{part:?}"));
        match part {
            Part::Worker => worker::run(report).await,
            Part::Ingress => ingress::run(report, connections).await,
            Part::EndToEnd => end_to_end::run(report).await,
            Part::Neighbours => neighbours::run(report).await,
            Part::Takeover => takeover::run(report, kills).await,
            Part::Footprint => footprint::run(report).await,
            Part::Sync => sync::run(report).await,
            Part::Money => money::run(report).await,
            Part::Growth => growth::run(report).await,
            Part::Pages => pages::run(report).await,
            Part::Widget => widget::run(report).await,
        }
        .with_context(|| format!("{part:?}"))?;
    }
    Ok(())
}
