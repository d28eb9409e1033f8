//! `bridge move --to URL`: everything into another, empty database.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use serde_json::{Value, json};
use shared::config::{Config, Database, Role, Source as Settings};
use shared::existing::absolute;
use shared::store::audit::{Act, Who};
use shared::store::file::{self, Share};
use shared::store::snapshot::{Load, Sum, Table, carry};

use crate::output::{Failure, Output, Progress};
use crate::stdout::say;
use crate::transfer::ends::{Source, Target, all_rows, begin_anew, document, nobody_runs, say_tables, told};

pub async fn run(to: &str, who: &Who, config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    let begun = Instant::now();
    let source = Source::open(config).await?;
    let database = target(to)?;
    let _held = match &config.database {
        Database::Sqlite(path) => {
            is_another(path, &database)?;
            Some(file::lock(path, Share::Alone)?)
        }
        Database::Postgres(_) => {
            nobody_runs(&source.store.db, &source.shown).await?;
            None
        }
    };
    let waiting: u64 = source.store.job_counts().await?.iter().map(|(_, count)| count).sum();
    let target = Target::open(&database).await?;
    let progress = Progress::new(out);
    let tables = carry_over(&source, &target, who, &progress).await;
    progress.clear();
    let shown = target.shown.clone();
    let tables = match tables {
        Ok(tables) => {
            target.settle_in().await.with_context(|| shown.clone())?;
            tables
        }
        Err(failure) => {
            target.give_up().await;
            return Err(failure);
        }
    };
    let key = source.key.as_ref().and_then(|key| key.fingerprints().into_iter().next());
    let document = json!({
        "from": source.shown, "to": shown, "rows": all_rows(&tables), "waiting_messages": waiting, "key": key,
        "seconds": begun.elapsed().as_secs_f64(), "tables": document(&tables),
    });
    out.answer(&document, || {
        say_tables(out, &tables);
        say!(
            "All {} rows of {} are in {}, read back and the same; the source is as it was.",
            all_rows(&tables),
            source.shown,
            shown
        );
        say_what_is_next(config, &database, waiting);
    });
    Ok(ExitCode::SUCCESS)
}

async fn carry_over(
    source: &Source,
    target: &Target,
    who: &Who,
    progress: &Progress,
) -> Result<Vec<(Table, Sum)>, Failure> {
    let here = || target.shown.clone();
    target.db.migrate().await.with_context(here)?;
    let mut snapshot = source.snapshot().await?;
    let mut load = Load::begin(&target.db, &snapshot.tables).await.with_context(here)?;
    let ids = carry::from_snapshot(&mut load, &mut snapshot, told(progress, "copying")).await.with_context(here)?;
    progress.say("looking whether the source is as it was");
    carry::must_be_unchanged(&source.store.db, load.held()).await?;
    nobody_runs(&source.store.db, &source.shown).await?;
    let tables = load.held().to_vec();
    let (key, from) = (source.key.as_ref(), Value::from(source.shown.as_str()));
    load.finish(&ids, async |tx| begin_anew(tx, key, (who, Act::Moved, target.shown.as_str()), from).await)
        .await
        .with_context(here)?;
    Ok(tables)
}

/// The database that was named; `-`: on standard input, where nobody else reads a password.
fn target(to: &str) -> Result<Database, Failure> {
    let mut url = to.to_owned();
    if to == "-" {
        url.clear();
        std::io::stdin().read_to_string(&mut url).map_err(anyhow::Error::from)?;
    }
    if url.trim().is_empty() {
        return Err(Failure::Usage("--to: no URL came".to_owned()));
    }
    let settings = Settings::from_pairs([("DATABASE_URL", url.trim())]);
    let read = Config::read(Role::Bridge, &settings);
    read.map(|config| config.database).map_err(|bad| Failure::Usage(bad.to_string().replace("DATABASE_URL:", "--to:")))
}

fn is_another(path: &Path, target: &Database) -> Result<(), Failure> {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    match target {
        Database::Sqlite(other) if real(other).is_some_and(|other| Some(other) == real(path)) => {
            Err(Failure::Usage("--to: it is the database that is to be moved".to_owned()))
        }
        _ => Ok(()),
    }
}

fn say_what_is_next(config: &Config, target: &Database, waiting: u64) {
    if waiting > 0 {
        say!(
            "{waiting} messages waited in its queue and wait in the new one's: whoever runs there carries them out, or \
             hands them to RabbitMQ."
        );
    }
    if config.amqp_url.is_some() {
        say!("What waits in RabbitMQ is not in the database: keep AMQP_URL as it is.");
    }
    let key = match (config.key_file(), target) {
        (file, Database::Postgres(_)) if file.exists() => {
            format!("BRIDGE_SECRET_KEY_FILE={} (copy that file to each machine)", absolute(&file))
        }
        (file, Database::Sqlite(_)) if file.exists() => format!("the same DATA_DIR, or a copy of {}", absolute(&file)),
        _ => "BRIDGE_SECRET_KEY as it is".to_owned(),
    };
    say!("Secrets stay sealed with the same key: set DATABASE_URL to the new database, and {key}.");
    say!("Do not start anything on the old one again: it would do everything a second time.");
}
