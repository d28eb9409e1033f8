//! `bridge replay …`: many dead letters tried again, planned, watched and stopped as one thing.

use std::process::ExitCode;

use bridge_console::seen::replaying::{Counts, Look, state};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use shared::config::Config;
use shared::domain::{IntegrationId, Language};
use shared::message::Kind;
use shared::store::Store;
use shared::store::audit::Who;
use shared::store::replays::{ReplayState, Told};

use crate::args::ReplayCommand;
use crate::filters;
use crate::language::{language, of};
use crate::moments;
use crate::output::{Failure, Output, bold};
use crate::stdout::say;

/// Replays that are listed, the newest.
const LISTED: u32 = 20;

pub async fn run(
    command: ReplayCommand,
    who: &Who,
    config: &Config,
    store: &Store,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let id = match command {
        ReplayCommand::Plan { which, per_minute } => {
            let planned =
                store.plan_replay(&filters::letters(false, which, store).await?, per_minute, false, who).await?;
            planned.id.ok_or_else(|| {
                let left = match planned.left {
                    0 => String::new(),
                    left => format!("; {left} match and hold no command"),
                };
                Failure::sentence(format!("no open dead letter is meant that can be tried again{left}"))
            })?
        }
        ReplayCommand::Start { id } => told(id, store.start_replay(id, who).await?, "started")?,
        ReplayCommand::Pace { id, per_minute } => {
            told(id, store.pace_replay(id, per_minute, who).await?, "given another pace")?
        }
        ReplayCommand::Stop { id } => told(id, store.stop_replay(id, who).await?, "stopped")?,
        ReplayCommand::Show { id: Some(id) } => id,
        ReplayCommand::Show { id: None } => return list(config, store, out).await,
    };
    let replay = store.replay(id).await?.ok_or_else(|| unknown(id))?;
    let look = Look::at(replay, config, store).await?;
    out.answer(&document(&look), || {
        lines(&look, language(), &config.display_zone).iter().for_each(|line| say!("{line}"));
    });
    Ok(ExitCode::SUCCESS)
}

fn unknown(id: i64) -> Failure {
    Failure::Usage(format!("there is no replay {id}; `bridge replay show` lists them"))
}

fn told(id: i64, told: Told, what: &str) -> Result<i64, Failure> {
    match told {
        Told::Done => Ok(id),
        Told::Unknown => Err(unknown(id)),
        Told::Already(state) => {
            Err(Failure::sentence(format!("replay {id} is {} already and cannot be {what}", state.as_str())))
        }
    }
}

async fn list(config: &Config, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    let mut looks = Vec::new();
    for replay in store.replays(LISTED).await? {
        looks.push(Look::at(replay, config, store).await?);
    }
    let documents: Vec<Value> = looks.iter().map(document).collect();
    out.answer(&json!(documents), || {
        let (language, zone) = (language(), &config.display_zone);
        if looks.is_empty() {
            say!("{}", of(language, "Повторов нет.", "No replays."));
        }
        looks.iter().flat_map(|look| head(look, language, zone)).for_each(|line| say!("{line}"));
    });
    Ok(ExitCode::SUCCESS)
}

fn document(look: &Look) -> Value {
    let replay = &look.replay;
    let Counts { queued, in_hand, done, dead_again, skipped } = look.counts();
    let cost = look.cost();
    let at = |moment: Option<Timestamp>| moment.map(|at| at.to_string());
    let next = (replay.state == ReplayState::Running && queued > 0).then_some(replay.next_at);
    let parts = look.parts.iter().map(|part| {
        json!({
            "integration": part.integration.map(|id| id.0), "title": part.integration.and_then(|id| look.titles.get(&id)),
            "kind": part.kind.map(Kind::as_str), "letters": part.letters, "queued": part.queued, "orders": part.orders,
        })
    });
    json!({
        "id": replay.id, "state": replay.state.as_str(), "who": replay.who,
        "filter": serde_json::from_str(&replay.filter).unwrap_or(Value::Null),
        "per_minute": replay.per_minute, "letters": look.letters(), "parts": parts.collect::<Vec<_>>(),
        "cost": { "measoft": cost.measoft, "retailcrm": cost.retailcrm },
        "takes_s": replay.takes().as_secs(),
        "counts": { "queued": queued, "in_hand": in_hand, "done": done, "dead_again": dead_again, "skipped": skipped },
        "waits": look.waits.iter().map(|id| id.0).collect::<Vec<_>>(), "next_at": at(next),
        "created_at": replay.created_at.to_string(), "started_at": at(replay.started_at), "ended_at": at(replay.ended_at),
    })
}

fn named(look: &Look, id: Option<IntegrationId>, language: Language) -> String {
    let Some(id) = id else { return of(language, "без интеграции", "of no integration").to_owned() };
    let word = of(language, "интеграция", "integration");
    look.titles.get(&id).map_or_else(|| format!("{word} {id}"), |title| format!("{word} {id} «{title}»"))
}

/// What it is and how far it is.
fn head(look: &Look, language: Language, zone: &TimeZone) -> Vec<String> {
    let replay = &look.replay;
    let state = state(replay.state, language);
    let Counts { queued, in_hand, done, dead_again: dead, skipped } = look.counts();
    let (letters, pace) = (look.letters(), replay.per_minute);
    let at = moments::second(replay.created_at, zone);
    let (head, counts) = match language {
        Language::Ru => (
            format!("Повтор {}: {state}", replay.id),
            format!(
                "записей: {letters}, по {pace} в минуту; в очереди {queued}, в работе {in_hand}, удалось {done}, \
                 снова не удалось {dead}, пропущено {skipped}; {}, {at}",
                replay.who
            ),
        ),
        Language::En => (
            format!("Replay {}: {state}", replay.id),
            format!(
                "{letters} letters, {pace} a minute; {queued} queued, {in_hand} in hand, {done} done, {dead} dead again, \
                 {skipped} skipped; {}, {at}",
                replay.who
            ),
        ),
    };
    let mut lines = vec![bold(&head), format!("    {counts}")];
    if !look.waits.is_empty() {
        let words =
            of(language, "ждут (пауза или отказы на той стороне)", "wait (paused, or left alone after failures)");
        let names: Vec<String> = look.waits.iter().map(|id| named(look, Some(*id), language)).collect();
        lines.push(format!("    {words}: {}", names.join(", ")));
    }
    lines
}

fn lines(look: &Look, language: Language, zone: &TimeZone) -> Vec<String> {
    let mut lines = head(look, language, zone);
    for part in &look.parts {
        let more = part.letters - i64::try_from(part.orders.len()).unwrap_or(0);
        let mut orders = part.orders.join(", ");
        if !orders.is_empty() && more > 0 {
            orders.push_str(&format!(" {} {more}", of(language, "и ещё", "and more:")));
        }
        let kind = part.kind.map_or("?", Kind::as_str);
        let named = named(look, part.integration, language);
        lines.push(format!("    {} × {kind}, {named}: {orders}", part.letters).trim_end_matches(": ").to_owned());
    }
    let (cost, takes, per_minute) = (look.cost(), moments::span(look.replay.takes(), language), look.per_minute());
    let limit = look.limit;
    lines.push(match language {
        Language::Ru => format!(
            "    около {} запросов к MeaSoft ({per_minute} в минуту из {limit}) и {} к RetailCRM; осталось {takes}",
            cost.measoft, cost.retailcrm
        ),
        Language::En => format!(
            "    about {} requests to MeaSoft ({per_minute} a minute of {limit}) and {} to RetailCRM; {takes} to go",
            cost.measoft, cost.retailcrm
        ),
    });
    let id = look.replay.id;
    match look.replay.state {
        ReplayState::Planned => {
            let words = of(language, "Начать:", "Start it with");
            lines.push(format!("{words} `bridge replay start {id}`"));
        }
        ReplayState::Running => {
            let words = of(language, "Остановить:", "Stop it with");
            lines.push(format!("{words} `bridge replay stop {id}`"));
        }
        ReplayState::Stopped | ReplayState::Done => {}
    }
    lines
}
