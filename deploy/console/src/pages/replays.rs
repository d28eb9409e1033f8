//! Replays: what they will do, how far they are; planned, started, given another pace, stopped.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use shared::domain::IntegrationId;
use shared::message::Kind;
use shared::store::dead_letters::DeadFilter;
use shared::store::replays::{ReplayState, Told};

use crate::html;
use crate::pages::causes;
use crate::pages::frame::Frame;
use crate::pages::letters::order_at;
use crate::routes::What;
use crate::seen::replaying::{Counts, Look, state};
use crate::seen::words::{self, command, who_acts};
use crate::seen::{acts, moments};
use crate::texts::Notice;
use crate::visit::{Stop, Visit};

/// Replays that are listed, the newest.
const LISTED: u32 = 50;
/// Letters a minute, where nobody says otherwise, and at most.
const PACE: u32 = 60;
const FASTEST: u32 = 6000;

#[derive(Template)]
#[template(path = "replays.html")]
struct List {
    f: Frame,
    rows: Vec<Row>,
}

#[derive(Template)]
#[template(path = "replay.html")]
struct View {
    f: Frame,
    row: Row,
    parts: Vec<Part>,
    /// Requests to MeaSoft, to RetailCRM; to MeaSoft in a minute, of how many.
    cost: [i64; 4],
    takes: String,
    waits: Vec<(i64, String)>,
    can_start: bool,
    can_stop: bool,
    can_pace: bool,
}

/// One replay as it is listed.
struct Row {
    id: i64,
    state: &'static str,
    is_over: bool,
    who: String,
    created: String,
    started: Option<String>,
    ended: Option<String>,
    per_minute: u32,
    letters: i64,
    counts: Counts,
    /// What is over, of a hundred.
    percent: i64,
    meant: String,
}

struct Part {
    letters: i64,
    command: &'static str,
    place: Option<(i64, String)>,
    orders: Vec<(String, String)>,
    more: i64,
}

/// Which letters are meant, in words.
fn meant(filter: &str, visit: &Visit<'_>) -> String {
    let filter = acts::object(filter);
    let text = |name: &str| filter.get(name).and_then(|value| value.as_str());
    let reason = text("reason").map(|reason| words::reason(reason, visit.language).text.to_owned());
    let fault = text("fault").and_then(shared::domain::Fault::parse);
    let since = text("since").and_then(|at| at.parse::<Timestamp>().ok());
    let since = since.map(|at| format!("{} {}", visit.t().since, visit.at(at)));
    let of_none = filter.get("of_none").map(|_| visit.t().no_integration.to_owned());
    let all = [reason, of_none, fault.map(|fault| who_acts(fault, visit.language).to_owned()), since];
    let all: Vec<String> = all.into_iter().flatten().collect();
    if all.is_empty() { visit.t().all_failures.to_owned() } else { all.join("; ") }
}

impl Row {
    fn of(look: &Look, visit: &Visit<'_>) -> Self {
        let (replay, counts, letters) = (&look.replay, look.counts(), look.letters());
        let over = counts.done + counts.dead_again + counts.skipped;
        Self {
            id: replay.id,
            state: state(replay.state, visit.language),
            is_over: replay.state == ReplayState::Done,
            who: replay.who.clone(),
            created: visit.at(replay.created_at),
            started: replay.started_at.map(|at| visit.at(at)),
            ended: replay.ended_at.map(|at| visit.at(at)),
            per_minute: replay.per_minute,
            letters,
            counts,
            percent: over * 100 / letters.max(1),
            meant: meant(&replay.filter, visit),
        }
    }
}

impl Part {
    fn of(part: &shared::store::replays::Part, look: &Look, visit: &Visit<'_>) -> Self {
        let title = |id: IntegrationId| look.titles.get(&id).cloned().unwrap_or_else(|| id.to_string());
        let id = part.integration;
        let order = |number: &String| (id.map_or_else(String::new, |id| order_at(id.0, number)), number.clone());
        Self {
            letters: part.letters,
            command: command(part.kind.map_or("", Kind::as_str), visit.language),
            place: id.map(|id| (id.0, title(id))),
            orders: part.orders.iter().map(order).collect(),
            more: (part.letters - i64::try_from(part.orders.len()).unwrap_or(0)).max(0),
        }
    }
}

pub async fn list(visit: &Visit<'_>) -> Result<Response, Stop> {
    let mut rows = Vec::new();
    for replay in visit.store().replays(LISTED).await? {
        rows.push(Row::of(&Look::at(replay, &visit.console.0.config, visit.store()).await?, visit));
    }
    Ok(html::page(StatusCode::OK, &List { f: Frame::of(visit, "causes"), rows }))
}

/// The number in the address.
fn named(visit: &Visit<'_>) -> Result<i64, Stop> {
    visit.parts.first().and_then(|id| id.parse().ok()).ok_or(Stop::NotFound)
}

pub async fn page(visit: &Visit<'_>) -> Result<Response, Stop> {
    let replay = visit.store().replay(named(visit)?).await?.ok_or(Stop::NotFound)?;
    let look = Look::at(replay, &visit.console.0.config, visit.store()).await?;
    let (cost, state) = (look.cost(), look.replay.state);
    let title = |id: &IntegrationId| (id.0, look.titles.get(id).cloned().unwrap_or_else(|| id.to_string()));
    let view = View {
        f: Frame::of(visit, "causes"),
        row: Row::of(&look, visit),
        parts: look.parts.iter().map(|part| Part::of(part, &look, visit)).collect(),
        cost: [cost.measoft, cost.retailcrm, look.per_minute(), i64::from(look.limit)],
        takes: moments::span(look.replay.takes(), visit.language),
        waits: look.waits.iter().map(title).collect(),
        can_start: matches!(state, ReplayState::Planned | ReplayState::Stopped),
        can_stop: matches!(state, ReplayState::Planned | ReplayState::Running),
        can_pace: state != ReplayState::Done,
    };
    Ok(html::page(StatusCode::OK, &view))
}

/// Plans one of the open failures of a cause; nothing is sent before it is started.
pub async fn plan(visit: &Visit<'_>) -> Result<Response, Stop> {
    let (reason, integration) = causes::named(visit)?;
    let filter = DeadFilter::of_cause(reason, integration);
    let planned = visit.store().plan_replay(&filter, PACE, false, &visit.who()).await?;
    Ok(match planned.id {
        Some(id) => html::see(&format!("/replays/{id}?done={}", Notice::Planned.as_str())),
        None if planned.left > 0 => visit.done(Notice::NoCommand),
        None => visit.done(Notice::NothingToReplay),
    })
}

/// Started, stopped, or given another pace.
pub async fn turn(visit: &Visit<'_>, what: What) -> Result<Response, Stop> {
    let (id, store, who) = (named(visit)?, visit.store(), visit.who());
    let (told, done) = match what {
        What::StartReplay => (store.start_replay(id, &who).await?, Notice::ReplayStarted),
        What::StopReplay => (store.stop_replay(id, &who).await?, Notice::ReplayStopped),
        _ => {
            let pace = visit.form.number("per_minute").and_then(|pace| u32::try_from(pace).ok());
            let pace = pace.filter(|pace| (1..=FASTEST).contains(pace)).ok_or(Stop::BadForm)?;
            (store.pace_replay(id, pace, &who).await?, Notice::Paced)
        }
    };
    match told {
        Told::Done => Ok(visit.done(done)),
        Told::Already(_) => Ok(visit.done(Notice::ReplayIs)),
        Told::Unknown => Err(Stop::NotFound),
    }
}
