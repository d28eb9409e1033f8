//! Failures one by one: a dead letter each.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use shared::domain::Fault;
use shared::explain;
use shared::phrases::Value as _;
use shared::store::dead_letters::{DeadFilter, DeadLetter, DeadState};
use shared::store::replays::Replay;

use crate::form::Fields;
use crate::pages::frame::{Choice, Frame, choices, titles};
use crate::seen::causes::Titles;
use crate::seen::words::{self, command, who_acts};
use crate::texts::Notice;
use crate::visit::{Stop, Visit};
use crate::{csv, html};

/// Rows of a page, and of a file.
const PAGE: u32 = 50;
const FILE: u32 = 10_000;
/// What an address says where letters of no integration are meant.
pub const OF_NONE: &str = "none";

#[derive(Template)]
#[template(path = "letters.html")]
struct View {
    f: Frame,
    choices: Vec<Choice>,
    reason: String,
    number: String,
    closed_too: bool,
    /// The words of the reason that the list is of.
    about: Option<(&'static str, &'static str)>,
    letters: Vec<Letter>,
    csv_at: String,
    older_at: Option<String>,
    newest_at: Option<String>,
}

/// A failure as it is shown.
pub struct Letter {
    pub id: i64,
    pub number: String,
    pub order_at: Option<String>,
    pub integration: String,
    pub command: &'static str,
    pub text: &'static str,
    pub detail: String,
    pub next_step: &'static str,
    pub reason: String,
    pub fault: &'static str,
    pub who_acts: &'static str,
    pub attempts: i64,
    pub tries: i64,
    pub since: String,
    pub last: String,
    pub state: &'static str,
    pub is_open: bool,
    pub can_replay: bool,
}

/// Where an order is shown.
pub fn order_at(integration: i64, number: &str) -> String {
    let number: String = url::form_urlencoded::byte_serialize(number.as_bytes()).collect();
    format!("/orders/{integration}/{}", number.replace('+', "%20"))
}

impl Letter {
    pub fn of(dead: DeadLetter, titles: &Titles, visit: &Visit<'_>) -> Self {
        let (t, words) = (visit.t(), words::reason(&dead.reason, visit.language));
        let place = dead.integration.map(|id| titles.get(&id).cloned().unwrap_or_else(|| id.to_string()));
        Self {
            id: dead.id,
            order_at: dead.integration.zip(dead.number.as_deref()).map(|(id, number)| order_at(id.0, number)),
            number: dead.number.unwrap_or_else(|| "—".to_owned()),
            integration: place.unwrap_or_else(|| t.no_integration.to_owned()),
            command: command(&dead.kind, visit.language),
            text: words.text,
            next_step: words.next_step,
            detail: dead.detail.words(&visit.reader()),
            reason: dead.reason,
            fault: dead.fault.as_str(),
            who_acts: who_acts(dead.fault, visit.language),
            attempts: dead.attempts,
            tries: dead.tries,
            since: visit.at(dead.created_at),
            last: visit.at(dead.updated_at),
            state: match dead.state {
                DeadState::Open => t.state_open,
                DeadState::Replayed => t.state_replayed,
                DeadState::Discarded => t.state_discarded,
                DeadState::Resolved => t.state_resolved,
            },
            is_open: dead.state == DeadState::Open,
            can_replay: dead.command.is_some(),
        }
    }
}

/// Letters as the address asks for them.
async fn asked(visit: &Visit<'_>, limit: u32) -> Result<(Vec<DeadLetter>, Titles), Stop> {
    let of_none = visit.query.text("integration") == Some(OF_NONE);
    let filter = DeadFilter {
        all: visit.query.text("closed").is_some(),
        integration: if of_none { None } else { visit.only().await? },
        of_none,
        fault: visit.word("fault", Fault::parse)?,
        reason: visit.query.text("reason").map(str::to_owned),
        ..DeadFilter::default()
    };
    let (number, before) = (visit.query.text("number"), visit.query.number("before"));
    let found = visit.store().dead_letters_page(&filter, number, before, limit).await?;
    let titles = titles(visit, found.iter().filter_map(|dead| dead.integration).collect()).await?;
    Ok((found, titles))
}

pub async fn page(visit: &Visit<'_>) -> Result<Response, Stop> {
    let (mut found, titles) = asked(visit, PAGE + 1).await?;
    let more = found.len() > PAGE as usize;
    found.truncate(PAGE as usize);
    let at = |query: Fields| format!("/letters{}", query.query());
    let last = found.last().map(|dead| dead.id.to_string()).filter(|_| more);
    let reason = visit.query.text("reason").unwrap_or_default().to_owned();
    let mut choices = choices(visit).await?;
    choices.push(Choice::of(OF_NONE.to_owned(), visit.t().no_integration.to_owned(), visit));
    let view = View {
        f: Frame::of(visit, "causes"),
        choices,
        number: visit.query.text("number").unwrap_or_default().to_owned(),
        closed_too: visit.query.text("closed").is_some(),
        about: explain::all_reasons()
            .any(|known| known == reason)
            .then(|| words::reason(&reason, visit.language))
            .map(|words| (words.text, words.next_step)),
        reason,
        letters: found.into_iter().map(|dead| Letter::of(dead, &titles, visit)).collect(),
        csv_at: format!("/letters.csv{}", visit.query.with(&[("before", "")]).query()),
        older_at: last.map(|id| at(visit.query.with(&[("before", &id), ("done", "")]))),
        newest_at: visit.query.text("before").map(|_| at(visit.query.with(&[("before", ""), ("done", "")]))),
    };
    Ok(html::page(StatusCode::OK, &view))
}

pub async fn csv(visit: &Visit<'_>) -> Result<Response, Stop> {
    let (t, (found, titles)) = (visit.t(), asked(visit, FILE).await?);
    let heading = [
        t.order,
        t.integration,
        t.command,
        t.why,
        t.detail,
        t.next_step,
        t.who_acts,
        t.since,
        t.last_seen,
        t.state,
        t.code_of_reason,
    ];
    let line = |dead: DeadLetter| {
        let one = Letter::of(dead, &titles, visit);
        let why = one.text.to_owned();
        let [command, next, who, state] = [one.command, one.next_step, one.who_acts, one.state].map(str::to_owned);
        vec![one.number, one.integration, command, why, one.detail, next, who, one.since, one.last, state, one.reason]
    };
    Ok(csv::file("failures", &heading, &found.into_iter().map(line).collect::<Vec<_>>()))
}

/// The letter of the address.
async fn named(visit: &Visit<'_>) -> Result<DeadLetter, Stop> {
    let id = visit.parts.first().and_then(|id| id.parse().ok()).ok_or(Stop::NotFound)?;
    visit.store().dead_letter(id).await?.ok_or(Stop::NotFound)
}

pub async fn replay(visit: &Visit<'_>) -> Result<Response, Stop> {
    let dead = named(visit).await?;
    let words = "replayed by the operator";
    let done = visit.store().replay_dead_letter(&dead, visit.now(), words, &visit.who()).await?;
    Ok(visit.done(match done {
        Replay::Done => Notice::Replayed,
        Replay::Closed => Notice::NotOpen,
        Replay::Nothing => Notice::NoCommand,
    }))
}

pub async fn discard(visit: &Visit<'_>) -> Result<Response, Stop> {
    let dead = named(visit).await?;
    let Some(why) = visit.why()? else { return Ok(visit.done(Notice::ReasonMissing)) };
    let done = visit.store().discard_dead_letter(&dead, why, &visit.who()).await?;
    Ok(visit.done(if done { Notice::Discarded } else { Notice::NotOpen }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_s_address_leads_back_to_its_number() {
        for number in ["1234A", "12/3 А+1", "a=b&c?d#e", "50%"] {
            let found = crate::routes::find("GET", &order_at(7, number));
            assert!(
                matches!(&found, crate::routes::Found::Route(_, parts) if parts[..] == ["7".to_owned(), number.to_owned()]),
                "{number}: {found:?}"
            );
        }
    }
}
