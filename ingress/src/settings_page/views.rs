//! What the templates show.

use askama::Template;
use serde::Deserialize;
use shared::domain::Language;
use shared::explain;
use shared::phrases::{Reader, Value as _};
use shared::store::dead_letters::DeadLetter;
use shared::store::journal::{StoredEntry, What};
use shared::told;
use shared::trigger_forms::{TriggerForm, Which};

use crate::settings_page::form::{Entered, Errors};
use crate::settings_page::texts::Texts;

#[derive(Template)]
#[template(path = "message.html")]
pub(crate) struct Message<'a> {
    pub(crate) t: &'static Texts,
    pub(crate) base: &'a str,
    pub(crate) heading: &'a str,
    pub(crate) text: &'a str,
}

#[derive(Template)]
#[template(path = "settings.html")]
pub(crate) struct Settings<'a> {
    pub(crate) t: &'static Texts,
    pub(crate) name: &'a str,
    pub(crate) base: &'a str,
    pub(crate) tab: &'a str,
    pub(crate) token: String,
    pub(crate) values: Entered,
    pub(crate) errors: Errors,
    pub(crate) language: Language,
    pub(crate) saved: bool,
    pub(crate) problem: Option<String>,
    pub(crate) paused: Option<String>,
    /// It only watches the integration before it.
    pub(crate) shadow: bool,
    pub(crate) findings: Vec<Finding>,
    pub(crate) unsaved: bool,
    pub(crate) draft: Option<String>,
    /// What the form's values are compared with when they are saved.
    pub(crate) seen: String,
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
pub(crate) struct Finding {
    pub(crate) what: String,
    pub(crate) ok: bool,
    pub(crate) text: String,
}

#[derive(Template)]
#[template(path = "debug.html")]
pub(crate) struct Debug<'a> {
    pub(crate) t: &'static Texts,
    pub(crate) name: &'a str,
    pub(crate) base: &'a str,
    pub(crate) tab: &'a str,
    pub(crate) token: String,
    pub(crate) query: String,
    pub(crate) notice: Option<&'static str>,
    pub(crate) failures: Vec<Failure>,
    pub(crate) entries: Vec<Exchange>,
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
    pub(crate) fn of(dead: &DeadLetter, t: &'static Texts, reader: &Reader) -> Self {
        let words = explain::translated(&dead.reason, reader.language);
        let detail = dead.detail.words(reader);
        Self {
            id: dead.id,
            number: dead.number.clone().unwrap_or_else(|| "-".to_owned()),
            kind: t.kind(&dead.kind),
            at: dead.updated_at.words(reader),
            times: dead.attempts,
            text: if detail.is_empty() { words.text.to_owned() } else { format!("{} ({detail})", words.text) },
            next_step: words.next_step,
            replayable: dead.command.is_some(),
        }
    }
}

/// An entry of the journal.
pub(crate) struct Exchange {
    pub(crate) at: String,
    pub(crate) number: String,
    /// What was done, and what came of it.
    pub(crate) head: String,
    pub(crate) good: bool,
    pub(crate) bad: bool,
    pub(crate) took: String,
    pub(crate) text: String,
    /// Its text is of a release that knew English alone.
    pub(crate) is_old: bool,
    pub(crate) request: String,
    pub(crate) response: String,
}

impl Exchange {
    pub(crate) fn of(kept: StoredEntry, reader: &Reader) -> Self {
        let good = kept.outcome.as_deref().filter(|_| kept.what != What::Trigger).map(told::is_good);
        Self {
            at: kept.at.words(reader),
            head: told::head(&kept, reader.language),
            text: told::story(&kept, reader),
            is_old: told::is_old(&kept),
            good: good == Some(true),
            bad: good == Some(false),
            took: kept.duration_ms.map_or_else(String::new, |ms| told::took(ms, reader.language)),
            number: kept.number.or(kept.orderno).unwrap_or_default(),
            request: kept.request.unwrap_or_default(),
            response: kept.response.unwrap_or_default(),
        }
    }
}

#[derive(Template)]
#[template(path = "triggers.html")]
pub(crate) struct Triggers<'a> {
    pub(crate) t: &'static Texts,
    pub(crate) name: &'a str,
    pub(crate) base: &'a str,
    pub(crate) tab: &'a str,
    pub(crate) key: String,
    /// Integrations of the account whose delivery types nobody knows: the forms have gaps.
    pub(crate) unnamed: Vec<String>,
    pub(crate) forms: Vec<Form>,
}

/// One trigger's form.
pub(crate) struct Form {
    pub(crate) which: &'static str,
    pub(crate) name: &'static str,
    pub(crate) condition: Condition,
    /// To choose in its place.
    pub(crate) extended: Option<Condition>,
    pub(crate) url: String,
    pub(crate) parameters: Vec<(String, String)>,
    /// To choose as the value of `key`.
    pub(crate) literal_key: Option<String>,
}

pub(crate) struct Condition {
    pub(crate) text: String,
    /// Lines it takes on a wide screen.
    pub(crate) rows: usize,
}

impl Condition {
    fn of(text: String) -> Self {
        Self { rows: text.len().div_ceil(72).clamp(2, 24), text }
    }
}

impl Form {
    pub(crate) fn of(form: TriggerForm, t: &'static Texts) -> Self {
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
