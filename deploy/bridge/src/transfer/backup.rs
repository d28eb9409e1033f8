//! `bridge backup FILE`: everything as it is at this moment, while others go on.

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;
use shared::config::Config;
use shared::existing::absolute;
use shared::store::snapshot::{self, Header};
use shared::telemetry::Metrics;

use crate::output::{Failure, Output, Progress};
use crate::stdout::say;
use crate::transfer::ends::{Source, all_rows, document, told};

pub async fn run(file: &Path, config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    let source = Source::open(config).await?;
    let keys = match &source.key {
        Some(_) => source.store.needed_keys().await?,
        None => Vec::new(),
    };
    let mut snapshot = source.snapshot().await?;
    let header = Header::new(snapshot.version, Metrics::VERSION, source.store.clock.now(), keys);
    let progress = Progress::new(out);
    let written = snapshot::write(file, header, &mut snapshot, told(&progress, "writing")).await;
    progress.clear();
    let manifest = written?;
    let bytes = std::fs::metadata(file).map_or(0, |found| found.len());
    let (file, rows) = (absolute(file), all_rows(&manifest.tables));
    let document = json!({
        "file": file, "bytes": bytes, "made_at": manifest.header.made_at, "schema": manifest.header.schema,
        "keys": manifest.header.keys, "rows": rows, "tables": document(&manifest.tables),
    });
    out.answer(&document, || {
        say!("{file} has all {rows} rows of {} as of {}, {bytes} bytes.", source.shown, manifest.header.made_at);
        match &manifest.header.keys[..] {
            [] => say!("Nothing in it is sealed yet: there was no secret key."),
            keys => say!("The secret key ({}) is not in it: keep a copy of that in another place.", keys.join(", ")),
        }
    });
    Ok(ExitCode::SUCCESS)
}
