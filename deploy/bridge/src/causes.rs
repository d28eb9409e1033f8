//! `bridge causes …`: what is broken, where, and who must act.

use std::process::ExitCode;

use bridge_console::seen::causes::{Causes, LONGEST_SNOOZE, Titles};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use shared::domain::Language;
use shared::explain;
use shared::store::Store;
use shared::store::audit::Who;
use shared::store::causes::{Cause, Word};
use shared::store::dead_letters::DeadFilter;

use crate::args::{self, CausesCommand, CausesFilter};
use crate::filters;
use crate::language::{language, of, who_acts};
use crate::moments;
use crate::output::{Failure, Output, bold, dim};
use crate::stdout::say;

pub async fn run(
    which: CausesFilter,
    command: Option<CausesCommand>,
    who: &Who,
    zone: &TimeZone,
    store: &Store,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let Some(command) = command else { return list(which, zone, store, out).await };
    if which.all || which.reason.is_some() || which.fault.is_some() || which.integration.is_some() {
        return Err(Failure::Usage("a filter stands behind ack, snooze or wake, not before it".to_owned()));
    }
    let (reason, integration, word) = match command {
        CausesCommand::Ack { reason, integration } => (reason, integration, Word::Acknowledged),
        CausesCommand::Snooze { reason, span, integration } => {
            (reason, integration, Word::Snoozed { until: until(&span, store.clock.now())? })
        }
        CausesCommand::Wake { reason, integration } => (reason, integration, Word::Awake),
    };
    note(&reason, integration, word, who, zone, store, out).await
}

/// When a snooze ends.
fn until(span: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let given = args::span(span).filter(|given| !given.is_zero() && *given <= LONGEST_SNOOZE);
    let bad = || Failure::Usage(format!("--for: «{span}» is no span from 1s to 90d, like 30m, 2h or 7d"));
    given.and_then(|given| now.checked_add(given).ok()).ok_or_else(bad)
}

async fn note(
    reason: &str,
    integration: Option<i64>,
    word: Word,
    who: &Who,
    zone: &TimeZone,
    store: &Store,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let reason = filters::reason(reason, store).await?;
    let integration = filters::integration(integration, store).await?;
    let which = DeadFilter { integration, ..DeadFilter::default() };
    let of_which = store.say_of_causes(&reason, &which, word, who).await?;
    if of_which.is_empty() {
        let place = integration.map_or_else(String::new, |id| format!(" at integration {id}"));
        return Err(Failure::sentence(format!(
            "no dead letter of {reason} is open{place}; `bridge causes --all` lists"
        )));
    }
    let (state, until) = match word {
        Word::Acknowledged => ("acknowledged", None),
        Word::Snoozed { until } => ("snoozed", Some(until)),
        Word::Awake => ("awake", None),
    };
    let document = json!({
        "reason": reason, "state": state, "by": who.name, "until": until.map(|at| at.to_string()),
        "integrations": of_which.iter().map(|id| id.map(|id| id.0)).collect::<Vec<_>>(),
    });
    out.answer(&document, || {
        let language = language();
        let what = match word {
            Word::Acknowledged => of(language, "принята в работу", "is acknowledged").to_owned(),
            Word::Snoozed { until } => {
                let at = moments::second(until, zone);
                format!("{} {at} ({})", of(language, "отложена до", "is snoozed until"), moments::name(zone))
            }
            Word::Awake => of(language, "снова показывается", "is told again").to_owned(),
        };
        let places: Vec<String> =
            of_which.iter().map(|id| id.map_or_else(|| "-".to_owned(), |id| id.to_string())).collect();
        let (cause, at) = (of(language, "Причина", "The cause"), of(language, "интеграции", "integrations"));
        say!("{cause} {reason} {what} ({at}: {}).", places.join(", "));
    });
    Ok(ExitCode::SUCCESS)
}

async fn list(which: CausesFilter, zone: &TimeZone, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let reason = match &which.reason {
        Some(given) => Some(filters::reason(given, store).await?),
        None => None,
    };
    let filter = DeadFilter {
        integration: filters::integration(which.integration, store).await?,
        fault: which.fault.as_deref().map(filters::fault).transpose()?,
        reason,
        ..DeadFilter::default()
    };
    let Causes { shown, hidden, titles } = Causes::of(store, &filter, which.all).await?;
    let language = language();
    let documents: Vec<Value> = shown.iter().map(|cause| document(cause, &titles, language)).collect();
    out.answer(&json!(documents), || {
        lines(&shown, &titles, language, zone).iter().for_each(|line| say!("{line}"));
        if hidden > 0 {
            let words = of(language, "отложено", "snoozed");
            say!("{hidden} {words}: `bridge causes --all`");
        }
    });
    Ok(ExitCode::SUCCESS)
}

fn document(cause: &Cause, titles: &Titles, language: Language) -> Value {
    let words = explain::reason(&cause.reason, language);
    let (by, at) = told(cause.acknowledged.as_ref());
    let (snoozed_by, until) = told(cause.snoozed.as_ref());
    json!({
        "integration": cause.integration.map(|id| id.0),
        "title": cause.integration.and_then(|id| titles.get(&id)),
        "reason": cause.reason, "fault": cause.fault.as_str(), "text": words.text, "next_step": words.next_step,
        "count": cause.letters, "times": cause.times,
        "first_seen": cause.first_at.to_string(), "last_seen": cause.last_at.to_string(),
        "acknowledged_by": by, "acknowledged_at": at, "snoozed_by": snoozed_by, "snoozed_until": until,
    })
}

fn told(said: Option<&(String, Timestamp)>) -> (Option<&str>, Option<String>) {
    said.map_or((None, None), |(who, at)| (Some(who.as_str()), Some(at.to_string())))
}

/// A few lines for each, for people.
fn lines(causes: &[Cause], titles: &Titles, language: Language, zone: &TimeZone) -> Vec<String> {
    if causes.is_empty() {
        return vec![of(language, "Открытых причин нет.", "No causes are open.").to_owned()];
    }
    let times = of(language, "время", "times");
    let mut lines = vec![bold(&format!("{} ({times}: {})", of(language, "Причины", "Causes"), moments::name(zone)))];
    for cause in causes {
        let words = explain::reason(&cause.reason, language);
        let place = match cause.integration {
            None => of(language, "без интеграции", "of no integration").to_owned(),
            Some(id) => match titles.get(&id) {
                Some(title) => format!("{} {id} «{title}»", of(language, "интеграция", "integration")),
                None => format!("{} {id}", of(language, "интеграция", "integration")),
            },
        };
        let head = format!("{} × {}", cause.letters, cause.reason);
        lines.push(format!("{}, {place}, {}", bold(&head), who_acts(cause.fault, language)));
        lines.push(format!("    {}", words.text));
        lines.push(format!("    {} {}", dim("→"), words.next_step));
        lines.push(format!("    {}", since(cause, language, zone)));
    }
    lines
}

fn since(cause: &Cause, language: Language, zone: &TimeZone) -> String {
    let at = |moment: Timestamp| moments::second(moment, zone);
    let (since, last) = (of(language, "с", "since"), of(language, "последний раз", "last"));
    let mut words = format!("{since} {}, {last} {}", at(cause.first_at), at(cause.last_at));
    if let Some((who, when)) = &cause.acknowledged {
        let by = of(language, "в работе у:", "acknowledged by");
        words.push_str(&format!("; {by} {who}, {}", at(*when)));
    }
    if let Some((who, until)) = &cause.snoozed {
        let (until_word, by) = (of(language, "отложена до", "snoozed until"), of(language, "кем:", "by"));
        words.push_str(&format!("; {until_word} {}, {by} {who}", at(*until)));
    }
    words
}

#[cfg(test)]
mod tests {
    use shared::domain::{Fault, IntegrationId};

    use super::*;

    fn a_cause() -> Cause {
        let at = |text: &str| text.parse().expect("a moment");
        Cause {
            integration: Some(IntegrationId(1)),
            reason: "bad_phone".to_owned(),
            fault: Fault::Shop,
            letters: 12,
            times: 14,
            first_at: at("2026-09-01T10:00:00Z"),
            last_at: at("2026-09-01T11:00:00Z"),
            acknowledged: Some(("Анна".to_owned(), at("2026-09-01T12:00:00Z"))),
            snoozed: Some(("Пётр".to_owned(), at("2026-09-02T12:00:00Z"))),
        }
    }

    #[test]
    fn a_cause_says_in_either_language_what_where_who_acts_and_what_was_said_of_it() {
        let titles = Titles::from([(IntegrationId(1), "Город".to_owned())]);
        let moscow = TimeZone::get("Europe/Moscow").expect("a zone");
        for (language, expected) in [
            (Language::En, ["12 × bad_phone, integration 1 «Город», the shop mends it", "since 2026-09-01 13:00:00"]),
            (Language::Ru, ["12 × bad_phone, интеграция 1 «Город», исправляет магазин", "с 2026-09-01 13:00:00"]),
        ] {
            let text = lines(&[a_cause()], &titles, language, &moscow).join("\n");
            let words = explain::reason("bad_phone", language);
            for part in [expected[0], expected[1], words.text, words.next_step, "Анна, 2026-09-01 15:00:00", "Пётр"]
            {
                assert!(text.contains(part), "«{part}» is not in\n{text}");
            }
        }
    }

    #[test]
    fn a_snooze_ends_within_three_months() {
        let now: Timestamp = "2026-09-01T10:00:00Z".parse().expect("a moment");
        assert_eq!(until("2h", now).expect("a span").to_string(), "2026-09-01T12:00:00Z");
        for bad in ["0m", "91d", "soon", "7", "2026-09-02T10:00:00Z"] {
            assert!(until(bad, now).is_err(), "{bad}");
        }
    }
}
