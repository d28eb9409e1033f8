//! The fault suite as a command: plays seeds one after another and says what was lost.
//! `./tests/run faults` starts what it needs.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Parser;
use suites::faults::{
    Kind, Mode, Outage, Plan, Schedule, Summary, kinds, last_line, line, markdown, outages, page, run,
};

/// Faults of every kind while triggers flow; ends with `faults=N accepted=N lost=N doubled=N`.
#[derive(Parser)]
#[command(name = "faults", version)]
struct Arguments {
    /// Minutes in all, shared by the seeds.
    #[arg(long, default_value_t = 6.0)]
    minutes: f64,
    /// Seed; several, separated by commas, are played one after another.
    #[arg(long, default_value = "1", value_delimiter = ',')]
    seed: Vec<u64>,
    /// Triggers a second, about.
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// Where the report is written.
    #[arg(long)]
    report: Option<PathBuf>,
    /// One process on SQLite instead of roles of their own on RabbitMQ and PostgreSQL.
    #[arg(long)]
    embedded: bool,
    /// Only faults whose label contains this, or one of several with commas; with --each: only
    /// those outages.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// What operators and servers do, one fault at a time in an installation of its own, a line
    /// each.
    #[arg(long)]
    each: bool,
    /// Triggers under each fault of --each.
    #[arg(long, default_value_t = 10_000)]
    triggers: u64,
}

fn say(what: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{what}");
}

fn profile() -> &'static str {
    if cfg!(debug_assertions) { "dev profile" } else { "release profile" }
}

fn command() -> String {
    format!("./tests/run faults {}", std::env::args().skip(1).collect::<Vec<_>>().join(" "))
}

fn write(file: &Path, page: String) -> bool {
    let written = std::fs::write(file, page);
    if let Err(error) = &written {
        say(&format!("{} cannot be written: {error}", file.display()));
    }
    written.is_ok()
}

/// A panic is a finding like any other, and the other runs still say theirs.
async fn played(plan: Plan) -> Summary {
    let seed = plan.seed;
    let summary = tokio::spawn(run(plan, say)).await.unwrap_or_else(|error| Summary {
        seed,
        unexplained: vec![format!("the run broke off: {error}")],
        ..Summary::default()
    });
    for (name, all) in [("lost", &summary.lost), ("doubled", &summary.doubled), ("unexplained", &summary.unexplained)] {
        all.iter().for_each(|sentence| say(&format!("{name}: {sentence}")));
    }
    summary
}

fn is_named(only: &[String], label: &str) -> bool {
    only.iter().any(|part| label.contains(part.as_str()))
}

/// One fault at a time.
async fn each(arguments: &Arguments) -> ExitCode {
    let mode = |outage: &Outage| !arguments.embedded || outage.mode == Mode::Embedded;
    let only = &arguments.only;
    let is_wanted =
        |outage: &Outage| only.is_empty() || is_named(only, &outage.name()) || is_named(only, &outage.kind.label());
    let mut runs = Vec::new();
    for outage in outages().into_iter().filter(mode).filter(is_wanted) {
        say(&outage.name());
        let summary = played(outage.plan(arguments.triggers, arguments.rate)).await;
        say(&line(&outage, &summary));
        runs.push((outage, summary));
        if let Some(file) = &arguments.report
            && !write(file, page(&runs, &command(), profile()))
        {
            return ExitCode::FAILURE;
        }
    }
    let summaries: Vec<Summary> = runs.into_iter().map(|(_, summary)| summary).collect();
    say(&last_line(&summaries));
    if !summaries.is_empty() && summaries.iter().all(Summary::is_well) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The faults of a seed, or those of them that are asked for.
fn schedule(seed: u64, mode: Mode, only: &[String]) -> Result<Schedule, String> {
    if only.is_empty() {
        return Ok(Schedule::new(seed, mode));
    }
    let all = kinds(mode);
    let wanted: Vec<Kind> = all.iter().copied().filter(|kind| is_named(only, &kind.label())).collect();
    if wanted.is_empty() {
        let labels: Vec<String> = all.into_iter().map(Kind::label).collect();
        return Err(format!("no fault is called «{}»; there are:\n{}", only.join(", "), labels.join("\n")));
    }
    Ok(Schedule::of(seed, wanted))
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Both sides of every connection of a crowd are ours to hold.
    let more = ["--nofile=65536:65536".to_owned(), format!("--pid={}", std::process::id())];
    let _ = Command::new("prlimit").args(more).stderr(std::process::Stdio::null()).status();
    if arguments.each {
        return each(&arguments).await;
    }
    let mode = if arguments.embedded { Mode::Embedded } else { Mode::Scaled };
    let each = Duration::from_secs_f64(arguments.minutes * 60.0 / arguments.seed.len() as f64);
    let mut runs = Vec::new();
    for seed in &arguments.seed {
        say(&format!("seed {seed}, {:.0} s", each.as_secs_f64()));
        let schedule = match schedule(*seed, mode, &arguments.only) {
            Ok(schedule) => schedule,
            Err(sentence) => {
                say(&sentence);
                return ExitCode::from(2);
            }
        };
        let plan = Plan {
            seed: *seed,
            mode,
            blows: Box::new(schedule),
            lasts: each,
            triggers: 0,
            walked: false,
            rate: arguments.rate,
            folder: format!("faults-{}{seed}", if arguments.embedded { "embedded-" } else { "" }),
        };
        let summary = played(plan).await;
        if !summary.is_well() {
            say(&format!(
                "seed {seed} fails; the same again: ./tests/run faults --minutes {:.1} --seed {seed} --rate {}{}",
                each.as_secs_f64() / 60.0,
                arguments.rate,
                if arguments.embedded { " --embedded" } else { "" }
            ));
        }
        say(&last_line(std::slice::from_ref(&summary)));
        runs.push(summary);
        // After each seed: what ran is told even if the rest does not come to its end.
        if let Some(file) = &arguments.report
            && !write(file, markdown(&runs, mode, &command(), profile()))
        {
            return ExitCode::FAILURE;
        }
    }
    say(&last_line(&runs));
    if runs.iter().all(Summary::is_well) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
