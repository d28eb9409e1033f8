//! `bridge dead …`: what gave up, and what to do about it.

use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use shared::explain;
use shared::store::Store;
use shared::store::audit::Who;
use shared::store::dead_letters::{DeadFilter, DeadLetter, DeadState};
use shared::store::replays::Replay;

use crate::args::{self, DeadCommand, Letters};
use crate::filters;
use crate::language::language;
use crate::moments;
use crate::output::{Failure, Output, bold};
use crate::stdout::say;

pub async fn run(
    command: DeadCommand,
    who: &Who,
    zone: &TimeZone,
    store: &Store,
    out: &Output,
) -> Result<ExitCode, Failure> {
    match command {
        DeadCommand::List { all, which } => list(all, &filter(true, which, store).await?, zone, store, out).await?,
        DeadCommand::Show { id } => show(&find(id, store).await?, zone, store, out).await?,
        DeadCommand::Replay { id: Some(id), .. } => {
            replay(&find(id, store).await?, store.clock.now(), who, store).await?;
            out.answer(&json!({ "replayed": [id] }), || say!("Dead letter {id} is being tried again."));
        }
        DeadCommand::Replay { id: None, which, per_minute, .. } => {
            let filter = filter(false, which, store).await?;
            replay_all(&store.dead_letters(&filter).await?, per_minute, who, zone, store, out).await?;
        }
        DeadCommand::Discard { id, why } => {
            discard(&find(id, store).await?, &why, who, store).await?;
            out.answer(&json!({ "discarded": id }), || say!("Dead letter {id} is discarded."));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn filter(all: bool, which: Letters, store: &Store) -> Result<DeadFilter, Failure> {
    let now = store.clock.now();
    let fault = which.fault.as_deref().map(filters::fault).transpose()?;
    let reason = match which.reason {
        Some(given) => Some(filters::reason(&given, store).await?),
        None => None,
    };
    let since = which.since.map(|text| args::since(&text, now)).transpose().map_err(Failure::Usage)?;
    Ok(DeadFilter { all, integration: filters::integration(which.integration, store).await?, fault, reason, since })
}

async fn discard(dead: &DeadLetter, why: &str, who: &Who, store: &Store) -> Result<(), Failure> {
    match store.discard_dead_letter(dead, why, who).await? {
        true => Ok(()),
        false => Err(Failure::sentence(format!("dead letter {} is {} already", dead.id, dead.state.as_str()))),
    }
}

async fn find(id: i64, store: &Store) -> Result<DeadLetter, Failure> {
    let found = store.dead_letter(id).await?;
    found.ok_or_else(|| Failure::sentence(format!("there is no dead letter {id}; `bridge dead list --all` shows them")))
}

fn document(dead: &DeadLetter) -> Value {
    let words = explain::reason(&dead.reason, language());
    json!({
        "id": dead.id, "integration": dead.integration.map(|i| i.0), "order": dead.number, "kind": dead.kind,
        "fault": dead.fault.as_str(), "reason": dead.reason, "text": text(dead, words.text), "next_step": words.next_step,
        "state": dead.state.as_str(), "attempts": dead.attempts, "tries": dead.tries,
        "created_at": dead.created_at.to_string(), "updated_at": dead.updated_at.to_string(), "closed_why": dead.closed_why,
    })
}

fn text(dead: &DeadLetter, words: &str) -> String {
    if dead.detail.is_empty() { words.to_owned() } else { format!("{words} ({})", dead.detail) }
}

/// Open letters, and those whose replay has not begun: until then they are nobody's success. A
/// program is given the latter with `--all`, as the rest.
async fn list(all: bool, filter: &DeadFilter, zone: &TimeZone, store: &Store, out: &Output) -> Result<(), Failure> {
    let waiting = store.waiting_replays().await?;
    let due = |dead: &DeadLetter| waiting.iter().find(|replay| replay.letter == dead.id).map(|replay| replay.due);
    // The open ones alone are an index away; of all there may be many.
    let mut found = store.dead_letters(&DeadFilter { all, ..filter.clone() }).await?;
    if !all && !out.json && !waiting.is_empty() {
        found = store.dead_letters(filter).await?;
        found.retain(|dead| dead.state == DeadState::Open || due(dead).is_some());
    }
    let documents: Vec<Value> = found
        .iter()
        .map(|dead| {
            let mut document = document(dead);
            document["replay_due_at"] = due(dead).map_or(Value::Null, |due| json!(due.to_string()));
            document
        })
        .collect();
    out.answer(&json!(documents), || {
        if found.is_empty() {
            say!("No dead letters.");
            return;
        }
        let rows: Vec<Vec<String>> = found
            .iter()
            .map(|d| {
                let state = match due(d) {
                    Some(due) => format!("{}, due {}", d.state.as_str(), moments::second(due, zone)),
                    None => d.state.as_str().to_owned(),
                };
                vec![
                    d.id.to_string(),
                    d.integration.map_or_else(|| "-".to_owned(), |i| i.to_string()),
                    d.number.clone().unwrap_or_else(|| "-".to_owned()),
                    d.kind.clone(),
                    d.fault.to_string(),
                    d.reason.clone(),
                    d.attempts.to_string(),
                    state,
                    moments::second(d.created_at, zone),
                ]
            })
            .collect();
        let since = format!("SINCE ({})", moments::name(zone));
        out.table(&["ID", "INTEGRATION", "ORDER", "KIND", "FAULT", "REASON", "TIMES", "STATE", &since], &rows);
        let mut shown = found.iter().filter_map(due).collect::<Vec<_>>();
        shown.sort();
        if let Some(next) = shown.first() {
            say!("{} wait to be tried again, the next at {}.", shown.len(), moments::second(*next, zone));
        }
    });
    Ok(())
}

async fn show(dead: &DeadLetter, zone: &TimeZone, store: &Store, out: &Output) -> Result<(), Failure> {
    let waiting = store.waiting_replays().await?.into_iter().find(|replay| replay.letter == dead.id);
    let mut document = document(dead);
    document["replay_due_at"] = waiting.map_or(Value::Null, |replay| json!(replay.due.to_string()));
    document["command"] = dead.command.as_deref().and_then(|c| serde_json::from_str(c).ok()).unwrap_or(Value::Null);
    document["raw"] = dead.raw.as_deref().map_or(Value::Null, |raw| json!(String::from_utf8_lossy(raw)));
    out.answer(&document, || {
        let words = explain::reason(&dead.reason, language());
        say!("{}", bold(&format!("Dead letter {} ({})", dead.id, dead.state.as_str())));
        say!("  order      {}", dead.number.as_deref().unwrap_or("-"));
        say!("  command    {}, tried {} time(s), happened {} time(s)", dead.kind, dead.tries, dead.attempts);
        say!("  fault      {}", dead.fault);
        say!("  reason     {}: {}", dead.reason, text(dead, words.text));
        say!("  next step  {}", words.next_step);
        let (since, last) = (moments::second(dead.created_at, zone), moments::second(dead.updated_at, zone));
        say!("  since      {since}, last {last} ({})", moments::name(zone));
        if let Some(replay) = waiting {
            say!("  replay     waits for its turn at {}", moments::second(replay.due, zone));
        }
        if let Some(why) = &dead.closed_why {
            say!("  closed     {why}");
        }
        if let Some(raw) = &dead.raw {
            say!("  raw        {}", String::from_utf8_lossy(raw));
        }
    });
    Ok(())
}

/// One letter's command, anew.
async fn replay(dead: &DeadLetter, run_at: Timestamp, who: &Who, store: &Store) -> Result<(), Failure> {
    match store.replay_dead_letter(dead, run_at, "replayed by the operator", who).await? {
        Replay::Done => Ok(()),
        Replay::Closed => Err(Failure::sentence(format!("dead letter {} is {} already", dead.id, dead.state.as_str()))),
        Replay::Nothing => {
            Err(Failure::sentence(format!("dead letter {} holds no command to try again; discard it", dead.id)))
        }
    }
}

/// All at once in the store, but due one after the other.
async fn replay_all(
    found: &[DeadLetter],
    per_minute: u32,
    who: &Who,
    zone: &TimeZone,
    store: &Store,
    out: &Output,
) -> Result<(), Failure> {
    let pause = Duration::from_secs(60) / per_minute;
    let (mut replayed, mut empty, mut later) = (Vec::new(), 0, 0);
    let mut run_at = store.clock.now();
    let latest = store.latest_turn();
    for dead in found {
        if dead.command.is_none() {
            empty += 1;
        } else if run_at > latest {
            later += 1;
        } else {
            replay(dead, run_at, who, store).await?;
            replayed.push(dead.id);
            run_at = run_at.checked_add(pause).unwrap_or(run_at);
        }
    }
    let document = json!({ "replayed": replayed, "left": empty + later });
    out.answer(&document, || {
        say!(
            "{} dead letter(s) are being tried again, {per_minute} a minute; they stay in the list until their turn.",
            replayed.len()
        );
        if empty > 0 {
            say!("{empty} hold no command and stay open.");
        }
        if later > 0 {
            let until = moments::second(latest, zone);
            say!("{later} stay open, since their turn would come after {until}: replay them then, or faster.");
        }
    });
    Ok(())
}
