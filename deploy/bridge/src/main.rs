//! `bridge`: the operator's command. It also runs all three roles in one process, and the
//! demonstration.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod args;
mod ask;
mod audit;
mod budget;
mod causes;
mod compare;
mod console;
mod correct;
mod dead;
mod demo;
mod doctor;
mod filters;
mod integration;
mod journal;
mod language;
mod manual;
mod now;
mod order;
mod output;
mod preview;
mod probe;
mod replay;
mod secret_key;
mod secrets;
mod shadow;
mod stdout;
mod transfer;
mod trigger_help;
mod up;
mod version;
mod waiting;
mod who;

use std::process::ExitCode;
use std::time::Duration;

use bridge_console::seen::{moments, why};
use clap::{CommandFactory as _, Parser as _};
use shared::clock::Clock;
use shared::config::{Config, Role, Source};
use shared::crypto::SecretKey;
use shared::store::Store;
use shared::store::audit::Who;
use shared::{bootstrap, existing};

use crate::args::{
    Cli, Command, ConfigCommand, ConsoleCommand, IntegrationCommand, OrderCommand, SecretKeyCommand, Shell,
};
use crate::output::{Failure, Output};
use crate::stdout::say;
use crate::transfer::{backup, move_to, restore};
use crate::version::version;

/// Why: ARCHITECTURE.md, «A release is optimised as a whole».
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let done = match Cli::try_parse() {
        Ok(cli) => {
            let out = Output { json: cli.json };
            run(cli.command, cli.as_name.as_deref(), &out).unwrap_or_else(|failure| failure.report(&out))
        }
        Err(error) => misspelt(&error),
    };
    stdout::finish(done)
}

/// What the parser of the command line has to say: help and version, or what is wrong with it.
fn misspelt(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        let _ = error.print();
        if std::env::args_os().any(|argument| argument == "--json") {
            let words = error.render().to_string();
            let first = words.lines().next().unwrap_or_default().trim_start_matches("error: ");
            let tip = words.lines().find_map(|line| line.trim().strip_prefix("tip: "));
            let text = tip.map_or_else(|| first.to_owned(), |tip| format!("{first}; {tip}"));
            say!("{}", Failure::Usage(text).document());
        }
        return ExitCode::from(shared::arguments::USAGE);
    }
    let words = error.render();
    stdout::text(&if output::is_colourful() { words.ansi().to_string() } else { words.to_string() });
    ExitCode::SUCCESS
}

fn run(command: Command, as_name: Option<&str>, out: &Output) -> Result<ExitCode, Failure> {
    let source = Source::environment();
    match command {
        Command::Up => up::run(&source),
        Command::Console { command: ConsoleCommand::Serve } => console::serve(&source),
        Command::Demo(demo) => demo::run(&demo, out),
        other => answer(other, as_name, &source, out),
    }
}

/// Commands that do one thing and end.
fn answer(command: Command, as_name: Option<&str>, source: &Source, out: &Output) -> Result<ExitCode, Failure> {
    match &command {
        Command::SecretKey { command: None } => {
            say!("{}", SecretKey::generate());
            return Ok(ExitCode::SUCCESS);
        }
        Command::Completions { shell } => {
            completions(*shell);
            return Ok(ExitCode::SUCCESS);
        }
        Command::Man => {
            stdout::text(&manual::page(Cli::command().bin_name(called())));
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    let who = who::acting(as_name)?;
    let config = Config::read(Role::Bridge, source).map_err(Failure::Config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(anyhow::Error::from)?;
    let limit = limit(&command);
    let done = runtime.block_on(shared::waiting::limited(limit, async {
        match command {
            Command::Config { command: ConfigCommand::Check } => check_config(&config, source, out),
            Command::Migrate => migrate(&config, out).await,
            Command::Move { to } => move_to::run(&to, &who, &config, out).await,
            Command::Backup { file } => backup::run(&file, &config, out).await,
            Command::Restore { file, check } => restore::run(&file, check, &who, &config, out).await,
            Command::Doctor(args) => doctor::run(&args, &config, source, out).await,
            Command::Integration { command: IntegrationCommand::Add(args) } => {
                let store = open_or_make(&config).await?;
                integration::run(IntegrationCommand::Add(args), &who, &config, &store, out).await
            }
            other => of_installation(other, &who, &config, &open(&config).await?, out).await,
        }
    }));
    // What hangs must not hold the process at its end either.
    runtime.shutdown_timeout(Duration::from_millis(200));
    done.unwrap_or_else(|waited| {
        Err(Failure::sentence(format!("no end within {} s; it waited for {waited}", limit.as_secs())))
    })
}

/// Commands that need an installation that is there.
async fn of_installation(
    command: Command,
    who: &Who,
    config: &Config,
    store: &Store,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let zone = &config.display_zone;
    match command {
        Command::Integration { command } => integration::run(command, who, config, store, out).await,
        Command::TriggerHelp(args) => trigger_help::run(&args, config, store, out).await,
        Command::Order { command: OrderCommand::Show(args) } => order::run(args, zone, store, out).await,
        Command::Order { command: OrderCommand::Preview(args) } => preview::run(args, config, store, out).await,
        Command::Order { command: OrderCommand::Ask(args) } => ask::run(args, config, store, out).await,
        Command::Order { command: OrderCommand::Correct(args) } => correct::run(*args, who, config, store, out).await,
        Command::Dead { command } => dead::run(command, who, zone, store, out).await,
        Command::Replay { command } => replay::run(command, who, config, store, out).await,
        Command::Causes { which, command } => causes::run(which, command, who, zone, store, out).await,
        Command::Audit { which, command } => audit::run(which, command, zone, store, out).await,
        Command::Budget { integration, since } => budget::run(integration, &since, config, store, out).await,
        Command::Shadow { command } => shadow::run(command, who, config, store, out).await,
        Command::Compare(args) => compare::run(args, who, config, store, out).await,
        Command::Console { command: ConsoleCommand::Open { role } } => {
            console::open(&role, who, config, store, out).await
        }
        Command::Now => now::run(config, store, out).await,
        Command::Waiting { integration } => waiting::run(integration, zone, store, out).await,
        Command::Journal { command } => journal::run(command, zone, store, out).await,
        Command::Sync(args) => integration::sync(&args, store, out).await,
        Command::Probe(args) => probe::run(&args, config, store, out).await,
        Command::SecretKey { command: Some(SecretKeyCommand::Rotate) } => secret_key::rotate(who, store, out).await,
        Command::Up
        | Command::Console { command: ConsoleCommand::Serve }
        | Command::Demo(_)
        | Command::Config { .. }
        | Command::Migrate
        | Command::Move { .. }
        | Command::Backup { .. }
        | Command::Restore { .. }
        | Command::Doctor(_)
        | Command::SecretKey { command: None }
        | Command::Completions { .. }
        | Command::Man => unreachable!("handled before"),
    }
}

/// How long a command may take. One statement may take less ([`STATEMENT_LIMIT`]).
const fn limit(command: &Command) -> Duration {
    Duration::from_secs(match command {
        // The longer a ledger has grown, the longer these take; `probe` waits for its reader too.
        Command::Migrate | Command::SecretKey { .. } | Command::Probe(_) => 24 * 3600,
        Command::Move { .. } | Command::Backup { .. } | Command::Restore { .. } => 24 * 3600,
        // Vendors are asked, in turn and within their limits.
        Command::Doctor(_) | Command::Integration { .. } => 600,
        Command::Compare(_) => 3600,
        _ => 120,
    })
}

/// How long one statement of a command may take.
const STATEMENT_LIMIT: Duration = Duration::from_secs(30);

/// The store of an installation that is there; nothing is made. With SQLite an older schema is
/// brought up to date.
async fn open(config: &Config) -> Result<Store, Failure> {
    existing::check(config).await.map_err(Failure::sentence)?;
    match config.find_secret_key().map_err(Failure::Config)? {
        Some(key) => open_with(key, config).await,
        None => {
            let store = open_with(SecretKey::from_bytes([0; 32]), config).await?;
            // Nothing is sealed before the first integration.
            match store.key_fits().await? {
                true => Ok(store),
                false => Err(Failure::Config(existing::no_key(config))),
            }
        }
    }
}

/// The store. With SQLite it is made, key and all, when it is missing.
async fn open_or_make(config: &Config) -> Result<Store, Failure> {
    config.make_folders().map_err(Failure::Config)?;
    open_with(config.load_secret_key().map_err(Failure::Config)?, config).await
}

async fn open_with(key: SecretKey, config: &Config) -> Result<Store, Failure> {
    let mut store = bootstrap::open_store(config, key, Clock::system()).await?;
    store.db = store.db.with_limit(STATEMENT_LIMIT);
    let version = version(&store.db).await?;
    if version < shared::store::migrations::newest() {
        return Err(Failure::sentence("the database is not migrated yet: run `bridge migrate`"));
    }
    Ok(store)
}

/// The name that this program was called by: a package may give it another.
fn called() -> String {
    let path = std::env::args_os().next().map(std::path::PathBuf::from).unwrap_or_default();
    path.file_name().and_then(|name| name.to_str()).unwrap_or("bridge").to_owned()
}

fn completions(shell: Shell) {
    let mut script = Vec::new();
    let mut command = Cli::command();
    let mut write = |shell| clap_complete::generate(shell, &mut command, called(), &mut script);
    match shell {
        Shell::Bash => write(clap_complete::Shell::Bash),
        Shell::Zsh => write(clap_complete::Shell::Zsh),
        Shell::Fish => write(clap_complete::Shell::Fish),
    }
    stdout::text(&String::from_utf8_lossy(&script));
}

fn check_config(config: &Config, source: &Source, out: &Output) -> Result<ExitCode, Failure> {
    config.find_secret_key().map_err(Failure::Config)?;
    let mode = if config.amqp_url.is_some() { "RabbitMQ" } else { "embedded queue (one process)" };
    let database = match &config.database {
        shared::config::Database::Sqlite(path) => {
            let there = if path.exists() { "" } else { " (not made yet)" };
            format!("SQLite {}{there}", existing::absolute(path))
        }
        shared::config::Database::Postgres(_) => "PostgreSQL".to_owned(),
    };
    let unknown = Config::unknown_variables(Role::Bridge, source);
    let warnings: Vec<_> = unknown
        .iter()
        .map(|u| serde_json::json!({ "variable": u.name, "did_you_mean": u.did_you_mean, "text": u.to_string() }))
        .collect();
    let document = serde_json::json!({ "ok": true, "queue": mode, "database": database, "warnings": warnings });
    out.answer(&document, || {
        say!("The configuration is good: {database}, {mode}.");
        for unknown in &unknown {
            say!("{} {unknown}", output::yellow("warn"));
        }
    });
    Ok(ExitCode::SUCCESS)
}

async fn migrate(config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    config.make_folders().map_err(Failure::Config)?;
    // No secret is touched, so no key is asked for.
    let key = SecretKey::from_bytes([0; 32]);
    let store = bootstrap::open_store(config, key, Clock::system()).await?;
    // The server's own words first: the migration's speak of connections of a pool.
    version(&store.db).await?;
    store.db.migrate().await.map_err(anyhow::Error::from)?;
    let version = version(&store.db).await?;
    out.answer(&serde_json::json!({ "version": version }), || {
        say!("The database is at schema version {version}.");
    });
    Ok(ExitCode::SUCCESS)
}
