//! The fault suite as a command: plays seeds one after another and says what was lost.
//! `./tests/run faults` starts what it needs.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use simulators::faults::{Plan, Schedule, Summary, last_line, markdown, run};

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
}

fn say(what: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{what}");
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let each = Duration::from_secs_f64(arguments.minutes * 60.0 / arguments.seed.len() as f64);
    let mut runs = Vec::new();
    for seed in &arguments.seed {
        say(&format!("seed {seed}, {:.0} s", each.as_secs_f64()));
        let plan = Plan {
            seed: *seed,
            blows: Box::new(Schedule::new(*seed)),
            lasts: each,
            rate: arguments.rate,
            folder: format!("faults-{seed}"),
        };
        // A panic is a finding like any other, and the other seeds still say theirs.
        let summary = tokio::spawn(run(plan, say)).await.unwrap_or_else(|error| Summary {
            seed: *seed,
            unexplained: vec![format!("the run broke off: {error}")],
            ..Summary::default()
        });
        for (name, all) in
            [("lost", &summary.lost), ("doubled", &summary.doubled), ("unexplained", &summary.unexplained)]
        {
            all.iter().for_each(|sentence| say(&format!("{name}: {sentence}")));
        }
        if !summary.is_well() {
            say(&format!(
                "seed {seed} fails; the same again: ./tests/run faults --minutes {:.1} --seed {seed} --rate {}",
                each.as_secs_f64() / 60.0,
                arguments.rate
            ));
        }
        say(&last_line(std::slice::from_ref(&summary)));
        runs.push(summary);
        // After each seed: what ran is told even if the rest does not come to its end.
        if let Some(file) = &arguments.report {
            let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
            let built = if cfg!(debug_assertions) { "dev profile" } else { "release profile" };
            let page = markdown(&runs, &format!("./tests/run faults {command}"), built);
            if let Err(error) = std::fs::write(file, page) {
                say(&format!("{} cannot be written: {error}", file.display()));
                return ExitCode::FAILURE;
            }
        }
    }
    say(&last_line(&runs));
    if runs.iter().all(Summary::is_well) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
