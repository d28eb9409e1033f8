//! `bridge`: the operator's command. It also runs all three roles in one process, and the
//! demonstration.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]
#![expect(clippy::print_stdout, reason = "a command's answer goes to standard output")]

mod args;
mod dead;
mod demo;
mod doctor;
mod integration;
mod journal;
mod order;
mod output;
mod probe;
mod secret_key;
mod secrets;
mod trigger_help;
mod up;

use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, Parser as _};
use shared::bootstrap;
use shared::clock::Clock;
use shared::config::{BadConfig, Config, Role, Source};
use shared::crypto::SecretKey;
use shared::store::Store;
use shared::waiting;

use crate::args::{Cli, Command, ConfigCommand, SecretKeyCommand, Shell};
use crate::output::{Failure, Output};

/// Why: ARCHITECTURE.md, «A release is optimised as a whole».
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let out = Output { json: cli.json };
    let source = Source::environment();
    match cli.command {
        Command::Up => up::run(&source),
        Command::Demo(demo) => demo::run(&demo, &out),
        other => match answer(other, &source, &out) {
            Ok(code) => code,
            Err(failure) => failure.report(),
        },
    }
}

/// Commands that do one thing and end.
fn answer(command: Command, source: &Source, out: &Output) -> Result<ExitCode, Failure> {
    match &command {
        Command::SecretKey { command: None } => {
            println!("{}", SecretKey::generate());
            return Ok(ExitCode::SUCCESS);
        }
        Command::Completions { shell } => {
            completions(*shell);
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    let config = Config::read(Role::Bridge, source).map_err(Failure::Config)?;
    config.make_folders().map_err(Failure::Config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(anyhow::Error::from)?;
    let limit = limit(&command);
    let done = runtime.block_on(waiting::limited(limit, async {
        match command {
            Command::Config { command: ConfigCommand::Check } => check_config(&config, out),
            Command::Migrate => migrate(&config, out).await,
            Command::Integration { command } => integration::run(command, &config, &open(&config).await?, out).await,
            Command::TriggerHelp(args) => trigger_help::run(&args, &config, &open(&config).await?, out).await,
            Command::Order { command } => order::run(command, &open(&config).await?, out).await,
            Command::Dead { command } => dead::run(command, &open(&config).await?, out).await,
            Command::Journal { command } => journal::run(command, &open(&config).await?, out).await,
            Command::Sync(args) => integration::sync(&args, &open(&config).await?, out).await,
            Command::Doctor { id } => doctor::run(id, &config, out).await,
            Command::Probe(args) => probe::run(&args, &config, &open(&config).await?, out).await,
            Command::SecretKey { command: Some(SecretKeyCommand::Rotate) } => {
                secret_key::rotate(&open(&config).await?, out).await
            }
            Command::Up | Command::Demo(_) | Command::SecretKey { command: None } | Command::Completions { .. } => {
                unreachable!("handled before")
            }
        }
    }));
    // What hangs must not hold the process at its end either.
    runtime.shutdown_timeout(Duration::from_millis(200));
    done.unwrap_or_else(|waited| {
        Err(Failure::sentence(format!("no end within {} s; it waited for {waited}", limit.as_secs())))
    })
}

/// How long a command may take. One statement may take less ([`STATEMENT_LIMIT`]).
const fn limit(command: &Command) -> Duration {
    Duration::from_secs(match command {
        // The longer a ledger has grown, the longer these take; `probe` waits for its reader too.
        Command::Migrate | Command::SecretKey { .. } | Command::Probe(_) => 24 * 3600,
        // Vendors are asked, in turn and within their limits.
        Command::Doctor { .. } | Command::Integration { .. } => 600,
        _ => 120,
    })
}

/// How long one statement of a command may take.
const STATEMENT_LIMIT: Duration = Duration::from_secs(30);

/// The store, ready for a command. With SQLite it is created and migrated when missing.
async fn open(config: &Config) -> Result<Store, Failure> {
    let key = config.load_secret_key().map_err(Failure::Config)?;
    let mut store = bootstrap::open_store(config, key, Clock::system()).await?;
    store.db = store.db.with_limit(STATEMENT_LIMIT);
    let version = version(&store).await?;
    if version < shared::store::migrations::newest() {
        return Err(Failure::sentence("the database is not migrated yet: run `bridge migrate`"));
    }
    Ok(store)
}

/// The schema's version, or why the database lets nobody ask.
async fn version(store: &Store) -> Result<i64, Failure> {
    let found = match store.db.needs_sessions().await {
        Ok(()) => store.db.schema_version().await,
        Err(error) => Err(error),
    };
    match found {
        Ok(version) => Ok(version),
        Err(error) => {
            let error = anyhow::Error::from(store.db.explained(error).await);
            Err(Failure::Failed(match store.db.server() {
                Some(server) => error.context(format!("PostgreSQL at {server}")),
                None => error,
            }))
        }
    }
}

fn completions(shell: Shell) {
    let mut command = Cli::command();
    let mut write = |shell| clap_complete::generate(shell, &mut command, "bridge", &mut std::io::stdout());
    match shell {
        Shell::Bash => write(clap_complete::Shell::Bash),
        Shell::Zsh => write(clap_complete::Shell::Zsh),
        Shell::Fish => write(clap_complete::Shell::Fish),
    }
}

fn check_config(config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    let key = config.load_secret_key();
    if let Err(BadConfig(problems)) = key {
        return Err(Failure::Config(BadConfig(problems)));
    }
    let mode = if config.amqp_url.is_some() { "RabbitMQ" } else { "embedded queue (one process)" };
    let database = match &config.database {
        shared::config::Database::Sqlite(path) => format!("SQLite {}", path.display()),
        shared::config::Database::Postgres(_) => "PostgreSQL".to_owned(),
    };
    out.answer(&serde_json::json!({ "ok": true, "queue": mode, "database": database }), || {
        println!("The configuration is good: {database}, {mode}.");
    });
    Ok(ExitCode::SUCCESS)
}

async fn migrate(config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    // No secret is touched, so no key is asked for.
    let key = SecretKey::from_bytes([0; 32]);
    let store = bootstrap::open_store(config, key, Clock::system()).await?;
    // The server's own words first: the migration's speak of connections of a pool.
    version(&store).await?;
    store.db.migrate().await.map_err(anyhow::Error::from)?;
    let version = version(&store).await?;
    out.answer(&serde_json::json!({ "version": version }), || {
        println!("The database is at schema version {version}.");
    });
    Ok(ExitCode::SUCCESS)
}
