//! What the templates show.

use askama::Template;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use shared::domain::Language;
use shared::explain;
use shared::store::dead_letters::DeadLetter;
use shared::store::journal::StoredEntry;
use shared::trigger_forms::{TriggerForm, Which};

use crate::settings_page::form::{Entered, Errors};
use crate::settings_page::texts::Texts;

#[derive(Template)]
#[template(path = "message.html")]
pub(super) struct Message<'a> {
    pub(super) t: &'static Texts,
    pub(super) base: &'a str,
    pub(super) heading: &'a str,
    pub(super) text: &'a str,
}

#[derive(Template)]
#[template(path = "settings.html")]
pub(super) struct Settings<'a> {
    pub(super) t: &'static Texts,
    pub(super) name: &'a str,
    pub(super) base: &'a str,
    pub(super) tab: &'a str,
    pub(super) token: String,
    pub(super) values: Entered,
    pub(super) errors: Errors,
    pub(super) language: Language,
    pub(super) saved: bool,
    pub(super) problem: Option<String>,
    pub(super) paused: Option<String>,
    pub(super) findings: Vec<Finding>,
    pub(super) unsaved: bool,
    pub(super) draft: Option<String>,
    /// What the form's values are compared with when they are saved.
    pub(super) seen: String,
}

impl Settings<'_> {
    fn error(&self, name: &str) -> &'static str {
        self.errors.get(name).map_or("", |wrong| wrong.text(self.language))
    }

    fn secret_hint(&self) -> &'static str {
        if self.draft.is_some() { self.t.secret_entered } else { self.t.keep_secret }
    }

    /// Name, label and mistake of the wrong fields, in the order of the form.
    fn mistakes(&self) -> Vec<(&'static str, &'static str, &'static str)> {
        let labels = self.t.fields().into_iter();
        labels
            .filter(|(name, _)| self.errors.contains_key(name))
            .map(|(name, label)| (name, label, self.error(name)))
            .collect()
    }
}

/// One line of the connection check, as a worker answers it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Finding {
    pub(super) what: String,
    pub(super) ok: bool,
    pub(super) text: String,
}

#[derive(Template)]
#[template(path = "debug.html")]
pub(super) struct Debug<'a> {
    pub(super) t: &'static Texts,
    pub(super) name: &'a str,
    pub(super) base: &'a str,
    pub(super) tab: &'a str,
    pub(super) token: String,
    pub(super) query: String,
    pub(super) notice: Option<&'static str>,
    pub(super) failures: Vec<Failure>,
    pub(super) entries: Vec<Exchange>,
}

/// What gave up.
pub(crate) struct Failure {
    pub(crate) id: i64,
    pub(crate) number: String,
    pub(crate) kind: &'static str,
    pub(crate) at: String,
    pub(crate) times: i64,
    pub(crate) text: String,
    pub(crate) next_step: &'static str,
    pub(crate) replayable: bool,
}

impl Failure {
    pub(crate) fn of(dead: &DeadLetter, t: &'static Texts, language: Language) -> Self {
        let words = explain::reason(&dead.reason, language);
        Self {
            id: dead.id,
            number: dead.number.clone().unwrap_or_else(|| "-".to_owned()),
            kind: t.kind(&dead.kind),
            at: moscow(dead.updated_at),
            times: dead.attempts,
            text: if dead.detail.is_empty() {
                words.text.to_owned()
            } else {
                format!("{} ({})", words.text, dead.detail)
            },
            next_step: words.next_step,
            replayable: dead.command.is_some(),
        }
    }
}

/// An entry of the journal.
pub(crate) struct Exchange {
    pub(crate) at: String,
    pub(crate) number: String,
    pub(crate) op: String,
    pub(crate) outcome: String,
    pub(crate) good: bool,
    pub(crate) took: String,
    pub(crate) text: String,
    pub(crate) request: String,
    pub(crate) response: String,
}

impl Exchange {
    pub(crate) fn of(kept: StoredEntry) -> Self {
        let op = [kept.vendor, kept.op].into_iter().flatten().collect::<Vec<_>>().join(" ");
        Self {
            at: moscow(kept.at),
            number: kept.number.or(kept.orderno).unwrap_or_default(),
            text: if op.rsplit(' ').next() == Some(kept.text.as_str()) { String::new() } else { kept.text },
            op,
            good: kept.outcome.as_deref().is_some_and(|outcome| matches!(outcome, "ok" | "done")),
            outcome: kept.outcome.filter(|outcome| !is_id(outcome)).unwrap_or_default(),
            took: kept.duration_ms.map(|ms| format!("{ms} ms")).unwrap_or_default(),
            request: kept.request.unwrap_or_default(),
            response: kept.response.unwrap_or_default(),
        }
    }
}

#[derive(Template)]
#[template(path = "triggers.html")]
pub(super) struct Triggers<'a> {
    pub(super) t: &'static Texts,
    pub(super) name: &'a str,
    pub(super) base: &'a str,
    pub(super) tab: &'a str,
    pub(super) key: String,
    /// Integrations of the account whose delivery types nobody knows: the forms have gaps.
    pub(super) unnamed: Vec<String>,
    pub(super) forms: Vec<Form>,
}

/// One trigger's form.
pub(super) struct Form {
    pub(super) which: &'static str,
    pub(super) name: &'static str,
    pub(super) condition: Condition,
    /// To choose in its place.
    pub(super) extended: Option<Condition>,
    pub(super) url: String,
    pub(super) parameters: Vec<(String, String)>,
    /// To choose as the value of `key`.
    pub(super) literal_key: Option<String>,
}

pub(super) struct Condition {
    pub(super) text: String,
    /// Lines it takes on a wide screen.
    pub(super) rows: usize,
}

impl Condition {
    fn of(text: String) -> Self {
        Self { rows: text.len().div_ceil(72).clamp(2, 24), text }
    }
}

impl Form {
    pub(super) fn of(form: TriggerForm, t: &'static Texts) -> Self {
        Self {
            which: form.which.as_str(),
            name: match form.which {
                Which::Send => t.trigger_send,
                Which::Update => t.trigger_update,
                Which::Cancel => t.trigger_cancel,
            },
            condition: Condition::of(form.condition),
            extended: form.extended_condition.map(Condition::of),
            url: form.url,
            parameters: form.parameters,
            literal_key: form.literal_key,
        }
    }
}

/// The id of a command says nothing to a manager.
fn is_id(outcome: &str) -> bool {
    uuid::Uuid::parse_str(outcome).is_ok()
}

fn moscow(at: Timestamp) -> String {
    let zone = TimeZone::get("Europe/Moscow").unwrap_or(TimeZone::UTC);
    at.to_zoned_datetime(zone).strftime("%d.%m.%Y %H:%M:%S").to_string()
}
