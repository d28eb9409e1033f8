//! `bridge now`: is all well? A line for each integration, the worst first.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use shared::config::Config;
use shared::domain::{Fault, Integration, IntegrationId, IntegrationState, Language, PausedBy};
use shared::store::Store;

use crate::language::{language, of, who_acts};
use crate::moments;
use crate::output::{Failure, Output, bold, green, red, yellow};
use crate::stdout::say;
use crate::why::{Look, Row, Why, held_document, held_words, paused};

/// What waits for longer is worth a look.
const LONG: Duration = Duration::from_secs(15 * 60);
/// Syncs that may be missed before it is worth a look.
const MISSED: u32 = 5;

/// How an integration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Ok,
    /// Worth a look.
    Warning,
    /// Somebody has to act.
    Error,
}

impl Level {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Dead letters by whose fault they are.
type Failures = BTreeMap<Fault, i64>;

/// One integration on the screen.
struct Line<'a> {
    integration: &'a Integration,
    /// What waits of it; messages of the job table are not its own.
    waiting: Vec<&'a Row>,
    failures: Failures,
    held: bool,
    last_sync: Option<Timestamp>,
    last_success: Option<Timestamp>,
}

struct Screen<'a> {
    look: &'a Look,
    /// The worst first.
    lines: Vec<(Level, Line<'a>)>,
    /// Failures that are no integration's.
    of_none: Failures,
    now: Timestamp,
}

pub async fn run(config: &Config, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let look = Look::at(store).await?;
    let mut failures: BTreeMap<Option<IntegrationId>, Failures> = BTreeMap::new();
    for (integration, fault, count) in store.open_dead_letters_by_integration().await? {
        *failures.entry(integration).or_default().entry(fault).or_default() += count;
    }
    let last_placed = store.last_placed().await?;
    let (now, patience) = (store.clock.now(), (config.timing.sync_interval * MISSED).max(LONG));
    let mut lines = Vec::new();
    for integration in look.integrations.values() {
        let id = Some(integration.id);
        let line = Line {
            integration,
            waiting: look.rows.iter().filter(|row| row.integration == id && row.kind.is_none()).collect(),
            failures: failures.remove(&id).unwrap_or_default(),
            held: !look.held_of(integration.id).is_empty(),
            last_sync: store.last_synced(integration).await?,
            last_success: last_placed.get(&integration.id).copied(),
        };
        lines.push((line.level(now, patience), line));
    }
    lines.sort_by_key(|(level, line)| std::cmp::Reverse((*level, line.failures.values().sum::<i64>(), line.count())));
    // Letters of integrations that were removed are the operator's as well.
    let mut of_none = Failures::new();
    for (fault, count) in failures.into_values().flatten() {
        *of_none.entry(fault).or_default() += count;
    }
    let screen = Screen { look: &look, lines, of_none, now };
    let (language, zone) = (language(), &config.display_zone);
    out.answer(&screen.document(language, zone), || {
        screen.lines(language, zone, out).iter().for_each(|line| say!("{line}"));
    });
    Ok(ExitCode::SUCCESS)
}

impl Line<'_> {
    fn count(&self) -> i64 {
        self.waiting.iter().map(|row| row.number).sum()
    }

    /// What most of it waits for; what is being worked on waits for nothing.
    fn main(&self) -> Option<&Row> {
        let idle = self.waiting.iter().copied().filter(|row| row.why != Why::InHand);
        idle.max_by_key(|row| (row.number, std::cmp::Reverse(row.since)))
    }

    fn oldest(&self) -> Option<Timestamp> {
        self.waiting.iter().map(|row| row.since).min()
    }

    fn level(&self, now: Timestamp, patience: Duration) -> Level {
        let long_ago = |at: Timestamp, limit: Duration| now.duration_since(at).as_millis() > limit.as_millis() as i128;
        let state = &self.integration.state;
        if !self.failures.is_empty() || matches!(state, IntegrationState::Paused { by: PausedBy::Credentials(_), .. }) {
            return Level::Error;
        }
        let is_paused = matches!(state, IntegrationState::Paused { .. });
        // One that was just made has not been asked for yet.
        let synced = self.last_sync.unwrap_or(self.integration.created_at);
        let no_sync = self.integration.settings.receive_statuses && !is_paused && long_ago(synced, patience);
        let waits_long = self.oldest().is_some_and(|at| long_ago(at, LONG));
        if is_paused || self.held || no_sync || waits_long { Level::Warning } else { Level::Ok }
    }

    fn document(&self, level: Level, language: Language, zone: &TimeZone) -> Value {
        let (by, reason) = match &self.integration.state {
            IntegrationState::Paused { by, reason } => (Some(by.as_str()), Some(reason.as_str())),
            _ => (None, None),
        };
        let main = self.main();
        let at = |moment: Option<Timestamp>| moment.map(|at| at.to_string());
        json!({
            "integration": self.integration.id.0, "title": self.integration.title, "level": level.as_str(),
            "state": self.integration.state.as_str(), "paused_by": by, "paused_reason": reason,
            "waiting": {
                "count": self.count(), "oldest": at(self.oldest()), "cause": main.map(|row| row.why.code()),
                "text": main.map(|row| row.why.words(language, zone)), "next_try": at(main.and_then(|row| row.next)),
            },
            "failures": counts(&self.failures), "last_sync": at(self.last_sync), "last_success": at(self.last_success),
        })
    }

    fn cells(&self, now: Timestamp, language: Language, zone: &TimeZone) -> Vec<String> {
        let state = match &self.integration.state {
            IntegrationState::Paused { by, reason } => paused(*by, reason, language),
            _ => of(language, "работает", "active").to_owned(),
        };
        let waiting = match (self.count(), self.oldest()) {
            (0, _) | (_, None) => "-".to_owned(),
            (count, Some(oldest)) => {
                let why = self.main().map_or_else(String::new, |row| format!(", {}", row.why.words(language, zone)));
                format!("{count} ({}){why}", moments::age(oldest, now, language))
            }
        };
        let ago = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| moments::age(at, now, language));
        let failures = if self.failures.is_empty() { "-".to_owned() } else { words(&self.failures, language) };
        vec![
            format!("{} «{}»", self.integration.id, self.integration.title),
            state,
            failures,
            ago(self.last_sync),
            ago(self.last_success),
            waiting,
        ]
    }
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

impl Screen<'_> {
    fn document(&self, language: Language, zone: &TimeZone) -> Value {
        json!({
            "at": self.now.to_string(),
            "integrations":
                self.lines.iter().map(|(level, line)| line.document(*level, language, zone)).collect::<Vec<_>>(),
            "failures_of_none": counts(&self.of_none),
            "breakers": self.look.held.iter().map(held_document).collect::<Vec<_>>(),
        })
    }

    fn lines(&self, language: Language, zone: &TimeZone, out: &Output) -> Vec<String> {
        let mut lines = Vec::new();
        let header = match language {
            Language::Ru => ["ИНТЕГРАЦИЯ", "СОСТОЯНИЕ", "ОШИБКИ", "СТАТУСЫ", "ЗАКАЗ", "ЖДЁТ"],
            Language::En => ["INTEGRATION", "STATE", "FAILURES", "SYNC", "ORDER", "WAITING"],
        };
        let cells: Vec<Vec<String>> = self.lines.iter().map(|(_, line)| line.cells(self.now, language, zone)).collect();
        let rows = out.rows(&header, &cells);
        let levels = std::iter::once(None).chain(self.lines.iter().map(|(level, _)| Some(*level)));
        for (row, level) in rows.iter().zip(levels) {
            let mark = match level {
                None => "     ".to_owned(),
                Some(Level::Ok) => green("ok   "),
                Some(Level::Warning) => yellow("warn "),
                Some(Level::Error) => red("error"),
            };
            lines.push(format!("{mark} {row}"));
        }
        if self.lines.is_empty() {
            let none = "Интеграций ещё нет: `bridge integration add`";
            lines = vec![of(language, none, "There is no integration yet: `bridge integration add`").to_owned()];
        }
        if !self.of_none.is_empty() {
            let of_none = of(language, "Без интеграции", "Of no integration");
            lines.push(format!("{} {of_none}: {}", red("error"), words(&self.of_none, language)));
        }
        if !self.look.held.is_empty() {
            lines.push(bold(of(language, "Не беспокоим", "Left alone")));
            lines.extend(self.look.held.iter().map(|held| format!("  {}", held_words(held, language, zone))));
        }
        if self.lines.iter().any(|(level, _)| *level != Level::Ok) || !self.of_none.is_empty() {
            let more = "Подробнее: `bridge causes`, `bridge waiting`, `bridge doctor`";
            lines.push(of(language, more, "More: `bridge causes`, `bridge waiting`, `bridge doctor`").to_owned());
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(60 * minute).expect("a moment")
    }

    fn level(change: impl FnOnce(&mut Integration, &mut Line<'_>)) -> Level {
        let mut integration = Integration::default();
        let shown = Integration::default();
        let mut line = Line {
            integration: &shown,
            waiting: Vec::new(),
            failures: Failures::new(),
            held: false,
            last_sync: Some(at(99)),
            last_success: None,
        };
        change(&mut integration, &mut line);
        Line { integration: &integration, ..line }.level(at(100), LONG)
    }

    #[test]
    fn an_integration_is_as_bad_as_the_worst_that_is_known_of_it() {
        let paused = |by| IntegrationState::Paused { by, reason: String::new() };
        assert_eq!(level(|_, _| {}), Level::Ok);
        assert_eq!(level(|_, line| line.held = true), Level::Warning);
        assert_eq!(level(|_, line| line.last_sync = Some(at(80))), Level::Warning);
        assert_eq!(level(|_, line| line.last_sync = None), Level::Warning, "made long ago and never synced");
        assert_eq!(
            level(|i, line| {
                i.settings.receive_statuses = false;
                line.last_sync = None;
            }),
            Level::Ok
        );
        assert_eq!(level(|i, _| i.state = paused(PausedBy::Operator)), Level::Warning);
        assert_eq!(level(|i, _| i.state = paused(PausedBy::Credentials(Fault::Crm))), Level::Error);
        assert_eq!(level(|_, line| line.failures = Failures::from([(Fault::Shop, 1)])), Level::Error);
    }

    #[test]
    fn failures_are_told_by_who_acts_and_for_programs_with_every_fault() {
        let failures = Failures::from([(Fault::Shop, 3), (Fault::Crm, 1)]);
        assert_eq!(words(&failures, Language::En), "3 the shop mends it, 1 RetailCRM's matter");
        assert_eq!(words(&failures, Language::Ru), "3 решает магазин, 1 вопрос к RetailCRM");
        assert_eq!(counts(&failures), json!({ "shop": 3, "courier": 0, "crm": 1, "bridge": 0 }));
    }
}
