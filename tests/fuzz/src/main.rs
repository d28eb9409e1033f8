//! Fuzz targets over what strangers send: trigger bodies, MeaSoft's XML, RetailCRM's JSON.
//!
//! Inputs are mutated from the fixtures by a seeded generator. Not coverage but outcomes
//! guide it: an input that comes to something no other came to joins the corpus. That needs
//! nothing but the workspace's own toolchain and build; an instrumented second build of all
//! dependencies would take longer than the fuzzing.

mod corpus;
mod mutate;
mod targets;

use std::collections::HashSet;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use mutate::Mutator;
use targets::Target;

/// An input that takes longer has found something.
const SLOW: Duration = Duration::from_secs(2);

/// Fuzzes the readers of what strangers send.
#[derive(Parser)]
#[command(name = "fuzz", version)]
struct Arguments {
    /// Seconds for each target.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Of the mutations.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One target only.
    #[arg(long)]
    target: Option<Target>,
    /// A file to read instead of mutating: the input of a finding.
    #[arg(long, requires = "target")]
    input: Option<PathBuf>,
    /// Where inputs of findings are written.
    #[arg(long, default_value = "target/fuzz")]
    findings: PathBuf,
}

fn say(what: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{what}");
}

fn main() -> ExitCode {
    match fuzz(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("fuzz: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing was found.
fn fuzz(arguments: &Arguments) -> anyhow::Result<bool> {
    if let (Some(target), Some(file)) = (arguments.target, &arguments.input) {
        say(&target.read(&std::fs::read(file)?));
        return Ok(true);
    }
    let mut well = true;
    for target in Target::ALL.into_iter().filter(|target| arguments.target.is_none_or(|wanted| wanted == *target)) {
        well &= one(target, arguments)?;
    }
    Ok(well)
}

fn one(target: Target, arguments: &Arguments) -> anyhow::Result<bool> {
    let mut kept = corpus::of(target)?;
    let fixtures = kept.len();
    let mut seen: HashSet<String> = HashSet::new();
    let mut mutator = Mutator::new(arguments.seed);
    let begun = Instant::now();
    let (mut tried, mut found) = (0_u64, 0_u32);
    while begun.elapsed() < Duration::from_secs(arguments.seconds) {
        // The fixtures themselves come first.
        let input = match kept.get(usize::try_from(tried).unwrap_or(usize::MAX)) {
            Some(fixture) if tried < fixtures as u64 => fixture.clone(),
            _ => mutator.next(&kept),
        };
        tried += 1;
        let started = Instant::now();
        let read = catch_unwind(AssertUnwindSafe(|| target.read(&input)));
        match read {
            Ok(_) if started.elapsed() > SLOW => {
                found += 1;
                report(target, &input, &format!("took {:?}", started.elapsed()), arguments, tried)?;
            }
            Ok(outcome) => {
                if seen.insert(outcome) && tried > fixtures as u64 {
                    kept.push(input);
                }
            }
            Err(_) => {
                found += 1;
                report(target, &input, "panicked", arguments, tried)?;
            }
        }
        if found >= 5 {
            break;
        }
    }
    say(&format!(
        "{}: {tried} inputs from {fixtures} fixtures came to {} different things in {:.0} s, {found} findings",
        target.name(),
        seen.len(),
        begun.elapsed().as_secs_f64()
    ));
    Ok(found == 0)
}

fn report(target: Target, input: &[u8], what: &str, arguments: &Arguments, tried: u64) -> anyhow::Result<()> {
    std::fs::create_dir_all(&arguments.findings)?;
    let file = arguments.findings.join(format!("{}-{}-{tried}", target.name(), arguments.seed));
    std::fs::write(&file, input)?;
    say(&format!(
        "{}: an input {what}; the same again: fuzz --target {} --input {}",
        target.name(),
        target.name(),
        file.display()
    ));
    Ok(())
}
