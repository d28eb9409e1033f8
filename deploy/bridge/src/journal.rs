//! `bridge journal search`.

use std::process::ExitCode;

use jiff::tz::TimeZone;
use serde_json::{Value, json};
use shared::phrases::Reader;
use shared::store::Store;
use shared::store::journal::Search;
use shared::told;

use crate::args::{self, JournalCommand};
use crate::filters;
use crate::language::language;
use crate::moments;
use crate::output::{Failure, Output, bold, dim};
use crate::stdout::say;

pub async fn run(command: JournalCommand, zone: &TimeZone, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let JournalCommand::Search { text, integration, since, limit } = command;
    let since = since.map(|text| args::since(&text, store.clock.now())).transpose().map_err(Failure::Usage)?;
    let integration = filters::integration(integration, store).await?;
    let search = Search { integration, text: Some(text), since, limit };
    let found = store.search_journal(&search).await?;
    let reader = Reader::new(language(), zone.clone());
    let documents: Vec<Value> = found
        .iter()
        .map(|k| {
            json!({
                "at": k.at.to_string(), "integration": k.integration.map(|i| i.0), "order": k.number, "orderno": k.orderno,
                "what": k.what.as_str(), "vendor": k.vendor, "op": k.op, "outcome": k.outcome,
                "duration_ms": k.duration_ms, "http_status": k.http_status, "text": k.text, "story": k.story,
                "request": k.request, "response": k.response,
            })
        })
        .collect();
    out.answer(&json!(documents), || {
        match found.is_empty() {
            true => say!("{}", reader.of("Ничего не найдено.", "Nothing found.")),
            false => {
                let (what, times) = (reader.of("Записи", "Exchanges"), reader.of("время", "times"));
                say!("{}", bold(&format!("{what} ({times}: {})", moments::name(zone))));
            }
        }
        for k in &found {
            let order = k.number.as_deref().or(k.orderno.as_deref()).unwrap_or("-");
            say!(
                "{} {}{order}  {}",
                dim(&moments::millisecond(k.at, zone)),
                k.integration.map_or_else(String::new, |i| format!("{} {i}, ", reader.of("интеграция", "integration"))),
                told::line(k, &reader)
            );
            for (arrow, body) in [("→", &k.request), ("←", &k.response)] {
                if let Some(body) = body.as_deref().filter(|b| !b.is_empty()) {
                    say!("    {arrow} {}", body.replace('\n', "\n      "));
                }
            }
        }
    });
    Ok(ExitCode::SUCCESS)
}
