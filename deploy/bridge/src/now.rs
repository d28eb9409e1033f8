//! `bridge now`: is all well? A line for each integration, the worst first.

use std::process::ExitCode;

use bridge_console::seen::overview::{Failures, Level, Line, Overview};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use shared::config::Config;
use shared::domain::{Fault, IntegrationState, Language};
use shared::store::Store;

use crate::language::{language, of, who_acts};
use crate::moments;
use crate::output::{Failure, Output, bold, green, red, yellow};
use crate::stdout::say;
use crate::why::{held_document, held_words, paused};

pub async fn run(config: &Config, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let screen = Overview::at(store, config.timing.sync_interval).await?;
    let (language, zone) = (language(), &config.display_zone);
    out.answer(&document(&screen, language, zone), || {
        lines(&screen, language, zone, out).iter().for_each(|text| say!("{text}"));
    });
    Ok(ExitCode::SUCCESS)
}

fn line_document(line: &Line, level: Level, language: Language, zone: &TimeZone) -> Value {
    let (by, reason) = match &line.integration.state {
        IntegrationState::Paused { by, reason } => (Some(by.as_str()), Some(reason.as_str())),
        _ => (None, None),
    };
    let main = line.main();
    let at = |moment: Option<Timestamp>| moment.map(|at| at.to_string());
    json!({
        "integration": line.integration.id.0, "title": line.integration.title, "level": level.as_str(),
        "state": line.integration.state.as_str(), "paused_by": by, "paused_reason": reason,
        "waiting": {
            "count": line.count(), "oldest": at(line.oldest()), "cause": main.map(|row| row.why.code()),
            "text": main.map(|row| row.why.words(language, zone)), "next_try": at(main.and_then(|row| row.next)),
        },
        "failures": counts(&line.failures), "last_sync": at(line.last_sync), "last_success": at(line.last_success),
    })
}

fn cells(line: &Line, now: Timestamp, language: Language, zone: &TimeZone) -> Vec<String> {
    let state = match &line.integration.state {
        IntegrationState::Paused { by, reason } => paused(*by, reason, language),
        _ => of(language, "работает", "active").to_owned(),
    };
    let waiting = match (line.count(), line.oldest()) {
        (0, _) | (_, None) => "-".to_owned(),
        (count, Some(oldest)) => {
            let why = line.main().map_or_else(String::new, |row| format!(", {}", row.why.words(language, zone)));
            format!("{count} ({}){why}", moments::age(oldest, now, language))
        }
    };
    let ago = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| moments::age(at, now, language));
    let failures = if line.failures.is_empty() { "-".to_owned() } else { words(&line.failures, language) };
    vec![
        format!("{} «{}»", line.integration.id, line.integration.title),
        state,
        failures,
        ago(line.last_sync),
        ago(line.last_success),
        waiting,
    ]
}

/// Every fault by its word, for programs.
fn counts(failures: &Failures) -> Value {
    let of = |fault: Fault| (fault.as_str().to_owned(), json!(failures.get(&fault).copied().unwrap_or(0)));
    Value::Object(Fault::ALL.into_iter().map(of).collect::<Map<_, _>>())
}

/// `3 the shop mends it, 1 RetailCRM's matter`.
fn words(failures: &Failures, language: Language) -> String {
    let each = failures.iter().map(|(fault, count)| format!("{count} {}", who_acts(*fault, language)));
    each.collect::<Vec<_>>().join(", ")
}

fn document(screen: &Overview, language: Language, zone: &TimeZone) -> Value {
    json!({
        "at": screen.now.to_string(),
        "integrations":
            screen.lines.iter().map(|(level, line)| line_document(line, *level, language, zone)).collect::<Vec<_>>(),
        "failures_of_none": counts(&screen.of_none),
        "breakers": screen.look.held.iter().map(held_document).collect::<Vec<_>>(),
    })
}

fn lines(screen: &Overview, language: Language, zone: &TimeZone, out: &Output) -> Vec<String> {
    let mut lines = Vec::new();
    let header = match language {
        Language::Ru => ["ИНТЕГРАЦИЯ", "СОСТОЯНИЕ", "ОШИБКИ", "СТАТУСЫ", "ЗАКАЗ", "ЖДЁТ"],
        Language::En => ["INTEGRATION", "STATE", "FAILURES", "SYNC", "ORDER", "WAITING"],
    };
    let cells: Vec<Vec<String>> =
        screen.lines.iter().map(|(_, line)| cells(line, screen.now, language, zone)).collect();
    let rows = out.rows(&header, &cells);
    let levels = std::iter::once(None).chain(screen.lines.iter().map(|(level, _)| Some(*level)));
    for (row, level) in rows.iter().zip(levels) {
        let mark = match level {
            None => "     ".to_owned(),
            Some(Level::Ok) => green("ok   "),
            Some(Level::Warning) => yellow("warn "),
            Some(Level::Error) => red("error"),
        };
        lines.push(format!("{mark} {row}"));
    }
    if screen.lines.is_empty() {
        let none = "Интеграций ещё нет: `bridge integration add`";
        lines = vec![of(language, none, "There is no integration yet: `bridge integration add`").to_owned()];
    }
    if !screen.of_none.is_empty() {
        let of_none = of(language, "Без интеграции", "Of no integration");
        lines.push(format!("{} {of_none}: {}", red("error"), words(&screen.of_none, language)));
    }
    if !screen.look.held.is_empty() {
        lines.push(bold(of(language, "Обращения приостановлены", "Left alone")));
        lines.extend(screen.look.held.iter().map(|held| format!("  {}", held_words(held, language, zone))));
    }
    if screen.lines.iter().any(|(level, _)| *level != Level::Ok) || !screen.of_none.is_empty() {
        let more = "Подробнее: `bridge causes`, `bridge waiting`, `bridge doctor`";
        lines.push(of(language, more, "More: `bridge causes`, `bridge waiting`, `bridge doctor`").to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_by_who_acts_and_for_programs_with_every_fault() {
        let failures = Failures::from([(Fault::Shop, 3), (Fault::Crm, 1)]);
        assert_eq!(words(&failures, Language::En), "3 the shop mends it, 1 RetailCRM's matter");
        assert_eq!(words(&failures, Language::Ru), "3 исправляет магазин, 1 вопрос к RetailCRM");
        assert_eq!(counts(&failures), json!({ "shop": 3, "courier": 0, "crm": 1, "bridge": 0 }));
    }
}
