//! «Причины»: what is broken, where, and who must act.

use std::time::Duration;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use shared::domain::{Fault, IntegrationId};
use shared::store::causes::{Cause, Word};
use shared::store::dead_letters::DeadFilter;

use crate::form::Fields;
use crate::pages::frame::{Choice, Frame, choices};
use crate::pages::letters;
use crate::routes::What;
use crate::seen::causes::{Causes, LONGEST_SNOOZE, Titles};
use crate::seen::words::{self, who_acts};
use crate::texts::Notice;
use crate::visit::{Stop, Visit};
use crate::{csv, html};

#[derive(Template)]
#[template(path = "causes.html")]
struct View {
    f: Frame,
    choices: Vec<Choice>,
    faults: Vec<(&'static str, &'static str, bool)>,
    snoozed_too: bool,
    hidden: usize,
    hidden_at: String,
    csv_at: String,
    causes: Vec<Row>,
}

struct Row {
    letters: i64,
    times: i64,
    text: &'static str,
    next_step: &'static str,
    reason: String,
    fault: &'static str,
    who_acts: &'static str,
    /// Nothing where it is of none.
    integration: String,
    place: Option<String>,
    first: String,
    last: String,
    /// Milliseconds: what came later was not seen.
    seen_until: i64,
    acknowledged: Option<(String, String)>,
    snoozed: Option<(String, String)>,
    letters_at: String,
}

/// Causes as the address asks for them.
async fn asked(visit: &Visit<'_>) -> Result<Causes, Stop> {
    let filter = DeadFilter {
        integration: visit.only().await?,
        fault: visit.word("fault", Fault::parse)?,
        reason: visit.query.text("reason").map(str::to_owned),
        ..DeadFilter::default()
    };
    Ok(Causes::of(visit.store(), &filter, visit.query.text("snoozed").is_some()).await?)
}

impl Row {
    fn of(cause: &Cause, titles: &Titles, visit: &Visit<'_>) -> Self {
        let words = words::reason(&cause.reason, visit.language);
        let integration = cause.integration.map_or_else(String::new, |id| id.to_string());
        let said = |of: &Option<(String, Timestamp)>| of.as_ref().map(|(who, at)| (who.clone(), visit.at(*at)));
        let which = if integration.is_empty() { letters::OF_NONE } else { &integration };
        let query = Fields::default().with(&[("reason", &cause.reason), ("integration", which)]);
        Self {
            letters: cause.letters,
            times: cause.times,
            text: words.text,
            next_step: words.next_step,
            reason: cause.reason.clone(),
            fault: cause.fault.as_str(),
            who_acts: who_acts(cause.fault, visit.language),
            place: cause.integration.map(|id| titles.get(&id).cloned().unwrap_or_else(|| id.to_string())),
            integration,
            first: visit.at(cause.first_at),
            last: visit.at(cause.last_at),
            seen_until: cause.last_at.as_millisecond(),
            acknowledged: said(&cause.acknowledged),
            snoozed: said(&cause.snoozed),
            letters_at: format!("/letters{}", query.query()),
        }
    }
}

pub async fn page(visit: &Visit<'_>) -> Result<Response, Stop> {
    let found = asked(visit).await?;
    let fault = visit.query.text("fault").unwrap_or_default();
    let view = View {
        f: Frame::of(visit, "causes"),
        choices: choices(visit).await?,
        faults: Fault::ALL.map(|one| (one.as_str(), who_acts(one, visit.language), one.as_str() == fault)).to_vec(),
        snoozed_too: visit.query.text("snoozed").is_some(),
        hidden: found.hidden,
        hidden_at: format!("/causes{}", visit.query.with(&[("snoozed", "1")]).query()),
        csv_at: format!("/causes.csv{}", visit.query.query()),
        causes: found.shown.iter().map(|cause| Row::of(cause, &found.titles, visit)).collect(),
    };
    Ok(html::page(StatusCode::OK, &view))
}

pub async fn csv(visit: &Visit<'_>) -> Result<Response, Stop> {
    let (t, found) = (visit.t(), asked(visit).await?);
    let heading = [
        t.integration,
        t.why,
        t.how_many,
        t.who_acts,
        t.next_step,
        t.first_seen,
        t.last_seen,
        t.acknowledged_by,
        t.code_of_reason,
    ];
    let line = |cause: &Cause| {
        let row = Row::of(cause, &found.titles, visit);
        let place = row.place.unwrap_or_else(|| t.no_integration.to_owned());
        let acknowledged = row.acknowledged.map_or_else(String::new, |(who, _)| who);
        vec![
            place,
            row.text.to_owned(),
            row.letters.to_string(),
            row.who_acts.to_owned(),
            row.next_step.to_owned(),
            row.first,
            row.last,
            acknowledged,
            row.reason,
        ]
    };
    Ok(csv::file("causes", &heading, &found.shown.iter().map(line).collect::<Vec<_>>()))
}

/// Which cause a form is about; without an integration it is one of none.
pub fn named<'a>(visit: &'a Visit<'_>) -> Result<(&'a str, Option<IntegrationId>), Stop> {
    let reason = visit.form.text("reason").ok_or(Stop::BadForm)?;
    let id = visit.form.text("integration").map(str::parse::<i64>).transpose().map_err(|_| Stop::BadForm)?;
    Ok((reason, id.map(IntegrationId)))
}

/// Acknowledged, snoozed, or told again.
pub async fn say(visit: &Visit<'_>, what: What) -> Result<Response, Stop> {
    let (reason, integration) = named(visit)?;
    let (word, done) = match what {
        What::Acknowledge => (Word::Acknowledged, Notice::Acknowledged),
        What::Snooze => (Word::Snoozed { until: until(visit)? }, Notice::Snoozed),
        _ => (Word::Awake, Notice::Awake),
    };
    let which = DeadFilter::of_cause(reason, integration);
    let of_which = visit.store().say_of_causes(reason, &which, word, &visit.who()).await?;
    Ok(visit.done(if of_which.is_empty() { Notice::Over } else { done }))
}

/// When a snooze ends.
fn until(visit: &Visit<'_>) -> Result<Timestamp, Stop> {
    let hours = visit.form.number("hours").and_then(|hours| u64::try_from(hours).ok()).ok_or(Stop::BadForm)?;
    let span = Duration::from_secs(hours.saturating_mul(3600));
    let fine = !span.is_zero() && span <= LONGEST_SNOOZE;
    visit.now().checked_add(span).ok().filter(|_| fine).ok_or(Stop::BadForm)
}

pub async fn discard(visit: &Visit<'_>) -> Result<Response, Stop> {
    let (reason, integration) = named(visit)?;
    let seen = visit.form.number("seen_until").and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let seen = seen.ok_or(Stop::BadForm)?;
    let Some(why) = visit.why()? else { return Ok(visit.done(Notice::ReasonMissing)) };
    let closed = visit.store().discard_cause(reason, integration, seen, why, &visit.who()).await?;
    Ok(visit.done(if closed == 0 { Notice::Over } else { Notice::Discarded }))
}
