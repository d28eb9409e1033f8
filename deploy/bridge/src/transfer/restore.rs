//! `bridge restore FILE`: everything as a backup has it, in an empty database.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use jiff::{Timestamp, ZonedDateTime};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::config::{BadConfig, Config, Database};
use shared::crypto::SecretKey;
use shared::existing::absolute;
use shared::store::audit::{Act, Who};
use shared::store::snapshot::{Backup, Load, Manifest, carry};
use shared::store::{Db, Store, migrations};

use crate::output::{Failure, Output, Progress};
use crate::stdout::say;
use crate::transfer::ends::{Target, all_rows, begin_anew, document, told};
use crate::version::version;

pub async fn run(file: &Path, check: bool, who: &Who, config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    // A server that is away says so before a large file is read.
    if let (Database::Postgres(url), false) = (&config.database, check) {
        version(&Db::open_postgres(url.expose(), 1)?).await?;
    }
    let progress = Progress::new(out);
    let checked = Backup::check(file, told(&progress, "checking"));
    progress.clear();
    let manifest = checked?;
    if check {
        return Ok(answer_check(file, &manifest, out));
    }
    let key = key(config, &manifest.header.keys)?;
    let newest = migrations::newest();
    if manifest.header.schema > newest {
        return Err(Failure::sentence(format!(
            "the backup's schema is at version {}, and this release knows {newest}: use release {} or later",
            manifest.header.schema, manifest.header.release
        )));
    }
    config.make_folders().map_err(Failure::Config)?;
    let target = Target::open(&config.database).await?;
    let done = fill(file, &manifest, &target, (key.as_ref(), who), &progress).await;
    progress.clear();
    if let Err(error) = done {
        target.give_up().await;
        return Err(error.into());
    }
    let key = key.unwrap_or_else(|| SecretKey::from_bytes([0; 32]));
    let store = Store::new(target.db.clone(), key, Clock::system());
    let without: Vec<i64> = store
        .integrations()
        .await?
        .into_iter()
        .filter(|integration| integration.is_active() && integration.settings.send_statuses.is_empty())
        .map(|integration| integration.id.0)
        .collect();
    let shown = target.shown.clone();
    target.settle_in().await.with_context(|| shown.clone())?;
    answer(&manifest, &shown, &without, config, out);
    Ok(ExitCode::SUCCESS)
}

/// The key that the backup's secrets are sealed with.
fn key(config: &Config, needed: &[String]) -> Result<Option<SecretKey>, Failure> {
    let key = config.find_secret_key().map_err(Failure::Config)?;
    let ours = key.as_ref().map(SecretKey::fingerprints).unwrap_or_default();
    if needed.iter().all(|needed| ours.contains(needed)) {
        return Ok(key);
    }
    let have =
        if ours.is_empty() { "there is none".to_owned() } else { format!("the present one is {}", ours.join(", ")) };
    Err(Failure::Config(BadConfig(vec![format!(
        "BRIDGE_SECRET_KEY: the backup's secrets are sealed with the key {}, and {have}: put that key back as \
         BRIDGE_SECRET_KEY or {}; two of them: the older one as BRIDGE_SECRET_KEY_OTHER",
        needed.join(" and "),
        absolute(&config.key_file())
    )])))
}

async fn fill(
    file: &Path,
    manifest: &Manifest,
    target: &Target,
    (key, who): (Option<&SecretKey>, &Who),
    progress: &Progress,
) -> anyhow::Result<()> {
    let here = || target.shown.clone();
    let header = &manifest.header;
    target.db.migrate_to(header.schema).await.with_context(here)?;
    let tables: Vec<_> = manifest.tables.iter().map(|(table, _)| table.clone()).collect();
    let mut load = Load::begin(&target.db, &tables).await.with_context(here)?;
    let ids = carry::from_backup(&mut load, file, told(progress, "restoring")).await.with_context(here)?;
    anyhow::ensure!(load.held() == manifest.tables, "{} was changed while it was read", file.display());
    let is_older = header.schema < migrations::newest();
    let from = Value::from(format!("backup of {}", header.made_at));
    let act = (who, Act::Restored, target.shown.as_str());
    load.finish(&ids, async |tx| {
        tx.note_restored(header.made_at, Clock::system().now()).await?;
        if is_older { Ok(()) } else { begin_anew(tx, key, act, from.clone()).await }
    })
    .await
    .with_context(here)?;
    if is_older {
        target.db.migrate().await.with_context(here)?;
        let mut tx = target.db.begin().await?;
        begin_anew(&mut tx, key, act, from).await?;
        tx.commit().await?;
    }
    Ok(())
}

fn answer_check(file: &Path, manifest: &Manifest, out: &Output) -> ExitCode {
    let (header, file) = (&manifest.header, absolute(file));
    let document = json!({
        "file": file, "ok": true, "made_at": header.made_at, "schema": header.schema, "release": header.release,
        "keys": header.keys, "rows": all_rows(&manifest.tables), "tables": document(&manifest.tables),
    });
    out.answer(&document, || {
        say!("{file} is whole: {} rows as of {}.", all_rows(&manifest.tables), header.made_at);
        if !header.keys.is_empty() {
            say!("To restore it the secret key {} is needed.", header.keys.join(", "));
        }
    });
    ExitCode::SUCCESS
}

fn answer(manifest: &Manifest, target: &str, without: &[i64], config: &Config, out: &Output) {
    let (made_at, rows) = (manifest.header.made_at, all_rows(&manifest.tables));
    let other_year = is_of_another_year(made_at, config);
    let document = json!({
        "to": target, "made_at": made_at, "schema": manifest.header.schema, "rows": rows,
        "without_reconcile": without, "across_new_year": other_year, "tables": document(&manifest.tables),
    });
    out.answer(&document, || {
        say!("All {rows} rows are in {target}, read back and as the backup of {made_at} has them.");
        say!(
            "What came after {made_at} is not known. The first worker that starts says so: for an hour it asks MeaSoft before \
             it sends anything, statuses are fetched again, and the reconcile finds orders whose triggers are lost."
        );
        if !without.is_empty() {
            let ids: Vec<String> = without.iter().map(i64::to_string).collect();
            say!(
                "Not those of integrations without send_statuses (now {}): look in RetailCRM for their orders since \
                 {made_at}, and save them again.",
                ids.join(", ")
            );
        }
        say!(
            "Lost since {made_at}: integrations added and settings changed, keys rotated, corrections of orders, what \
             people said of causes, and the audit of all that."
        );
        if other_year {
            say!("Since then the year has changed, and MeaSoft's numbers are unique within one only: look before you start.");
        }
    });
}

fn is_of_another_year(made_at: Timestamp, config: &Config) -> bool {
    let year = |at: Timestamp| ZonedDateTime::new(at, config.display_zone.clone()).datetime().year();
    year(made_at) != year(Clock::system().now())
}
