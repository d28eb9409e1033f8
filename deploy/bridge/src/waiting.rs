//! `bridge waiting`: what waits, why, since when and until when.

use std::process::ExitCode;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use shared::domain::{Integration, IntegrationId, IntegrationState, Language};
use shared::store::Store;

use crate::filters;
use crate::language::{language, of};
use crate::moments;
use crate::output::{Failure, Output, bold};
use crate::stdout::say;
use crate::why::{Look, Row, held_document, held_words, paused};

pub async fn run(integration: Option<i64>, zone: &TimeZone, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let only = filters::integration(integration, store).await?;
    let mut look = Look::at(store).await?;
    if let Some(id) = only {
        look.held = look.held_of(id);
        look.rows.retain(|row| row.integration == Some(id));
        look.integrations.retain(|other, _| *other == id);
    }
    let language = language();
    out.answer(&document(&look, language, zone), || {
        lines(&look, language, zone, out).iter().for_each(|line| say!("{line}"));
    });
    Ok(ExitCode::SUCCESS)
}

fn is_paused(integration: &&Integration) -> bool {
    matches!(integration.state, IntegrationState::Paused { .. })
}

fn document(look: &Look, language: Language, zone: &TimeZone) -> Value {
    let title = |id: Option<IntegrationId>| id.and_then(|id| look.integrations.get(&id)).map(|i| i.title.as_str());
    let row = |row: &Row| {
        json!({
            "what": row.what, "kind": row.kind, "integration": row.integration.map(|id| id.0),
            "title": title(row.integration), "count": row.number, "cause": row.why.code(),
            "text": row.why.words(language, zone), "since": row.since.to_string(),
            "next_try": row.next.map(|at| at.to_string()),
        })
    };
    let paused = look.integrations.values().filter(is_paused).map(|i| {
        let (by, reason) = match &i.state {
            IntegrationState::Paused { by, reason } => (by.as_str(), reason.as_str()),
            _ => ("", ""),
        };
        json!({ "integration": i.id.0, "title": i.title, "by": by, "reason": reason })
    });
    json!({
        "waiting": look.rows.iter().map(row).collect::<Vec<_>>(),
        "breakers": look.held.iter().map(held_document).collect::<Vec<_>>(),
        "paused": paused.collect::<Vec<_>>(),
        "more_messages": look.more,
    })
}

fn lines(look: &Look, language: Language, zone: &TimeZone, out: &Output) -> Vec<String> {
    let mut lines = Vec::new();
    if look.rows.is_empty() {
        lines.push(of(language, "Ожидающих запросов нет.", "Nothing waits.").to_owned());
    } else {
        let at = |moment: Option<Timestamp>| moment.map_or_else(|| "-".to_owned(), |at| moments::second(at, zone));
        let rows: Vec<Vec<String>> = look
            .rows
            .iter()
            .map(|row| {
                vec![
                    row.number.to_string(),
                    row.words(language),
                    row.integration.map_or_else(|| "-".to_owned(), |id| look.named(id)),
                    at(Some(row.since)),
                    at(row.next),
                    row.why.words(language, zone),
                ]
            })
            .collect();
        let since = format!("{} ({})", of(language, "С", "SINCE"), moments::name(zone));
        let header = match language {
            Language::Ru => ["СКОЛЬКО", "ЧТО", "ИНТЕГРАЦИЯ", &since, "ДАЛЬШЕ", "ПОЧЕМУ"],
            Language::En => ["COUNT", "WHAT", "INTEGRATION", &since, "NEXT TRY", "WHY"],
        };
        lines.extend(out.rows(&header, &rows));
    }
    if look.more {
        let words = "сообщений в таблице больше, чем прочитано";
        lines.push(of(language, words, "the job table holds more messages than were read").to_owned());
    }
    if !look.held.is_empty() {
        lines.push(bold(of(language, "Обращения приостановлены", "Left alone")));
        lines.extend(look.held.iter().map(|held| format!("  {}", held_words(held, language, zone))));
    }
    let resting: Vec<&Integration> = look.integrations.values().filter(is_paused).collect();
    if !resting.is_empty() {
        lines.push(bold(of(language, "Приостановлены", "Paused")));
    }
    for integration in resting {
        if let IntegrationState::Paused { by, reason } = &integration.state {
            lines.push(format!("  {} {}", look.named(integration.id), paused(*by, reason, language)));
        }
    }
    lines
}
