//! `bridge dead …`: what gave up, and what to do about it.

use std::collections::HashMap;
use std::process::ExitCode;

use jiff::tz::TimeZone;
use serde_json::{Value, json};
use shared::explain;
use shared::phrases::Value as _;
use shared::store::Store;
use shared::store::audit::Who;
use shared::store::dead_letters::{DeadFilter, DeadLetter};
use shared::store::replays::{Replay, WaitingReplay};

use crate::args::{DeadCommand, Letters};
use crate::filters;
use crate::language::{language, reader};
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
        DeadCommand::List { all, which } => {
            list(all, &filters::letters(true, which, store).await?, zone, store, out).await?
        }
        DeadCommand::Show { id } => show(&find(id, store).await?, zone, store, out).await?,
        DeadCommand::Replay { id: Some(id), .. } => {
            replay(&find(id, store).await?, who, store).await?;
            out.answer(&json!({ "replayed": [id] }), || say!("Dead letter {id} is being tried again."));
        }
        DeadCommand::Replay { id: None, which, per_minute, .. } => {
            replay_all(which, per_minute, who, store, out).await?;
        }
        DeadCommand::Discard { id, why } => {
            discard(&find(id, store).await?, &why, who, store).await?;
            out.answer(&json!({ "discarded": id }), || say!("Dead letter {id} is discarded."));
        }
    }
    Ok(ExitCode::SUCCESS)
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
    let detail = dead.detail.words(&reader());
    if detail.is_empty() { words.to_owned() } else { format!("{words} ({detail})") }
}

/// Letters, and of those that are queued for a replay when their turn comes.
async fn list(all: bool, filter: &DeadFilter, zone: &TimeZone, store: &Store, out: &Output) -> Result<(), Failure> {
    let waiting: HashMap<i64, WaitingReplay> =
        store.waiting_replays().await?.into_iter().map(|replay| (replay.letter, replay)).collect();
    let found = store.dead_letters(&DeadFilter { all, ..filter.clone() }).await?;
    let documents: Vec<Value> = found
        .iter()
        .map(|dead| {
            let mut document = document(dead);
            note_replay(&mut document, waiting.get(&dead.id));
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
                let state = match waiting.get(&d.id) {
                    Some(WaitingReplay { replay, due, .. }) => {
                        format!("queued for replay {replay}, due {}", moments::second(*due, zone))
                    }
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
        let shown = found.iter().filter_map(|dead| waiting.get(&dead.id)).map(|replay| replay.due);
        if let Some(next) = shown.clone().min() {
            say!("{} wait to be tried again, the next at {}.", shown.count(), moments::second(next, zone));
        }
    });
    Ok(())
}

fn note_replay(document: &mut Value, waiting: Option<&WaitingReplay>) {
    document["replay_due_at"] = waiting.map_or(Value::Null, |replay| json!(replay.due.to_string()));
    document["replay"] = waiting.map_or(Value::Null, |replay| json!(replay.replay));
}

async fn show(dead: &DeadLetter, zone: &TimeZone, store: &Store, out: &Output) -> Result<(), Failure> {
    let waiting = store.waiting_replays().await?.into_iter().find(|replay| replay.letter == dead.id);
    let mut document = document(dead);
    note_replay(&mut document, waiting.as_ref());
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
            say!("  replay     {}, waits for its turn at {}", replay.replay, moments::second(replay.due, zone));
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
async fn replay(dead: &DeadLetter, who: &Who, store: &Store) -> Result<(), Failure> {
    match store.replay_dead_letter(dead, store.clock.now(), "replayed by the operator", who).await? {
        Replay::Done => Ok(()),
        Replay::Closed => Err(Failure::sentence(format!("dead letter {} is {} already", dead.id, dead.state.as_str()))),
        Replay::Nothing => {
            Err(Failure::sentence(format!("dead letter {} holds no command to try again; discard it", dead.id)))
        }
    }
}

/// All that match, in their turn: a replay that is planned and started at once.
async fn replay_all(which: Letters, per_minute: u32, who: &Who, store: &Store, out: &Output) -> Result<(), Failure> {
    let planned = store.plan_replay(&filters::letters(false, which, store).await?, per_minute, true, who).await?;
    let document = json!({ "replayed": planned.letters, "left": planned.left, "replay": planned.id });
    out.answer(&document, || {
        say!(
            "{} dead letter(s) are being tried again, {per_minute} a minute; they stay in the list until their turn.",
            planned.letters.len()
        );
        if let Some(id) = planned.id {
            say!("`bridge replay show {id}` says how far it is, `bridge replay stop {id}` stops it.");
        }
        if planned.left > 0 {
            say!("{} hold no command and stay open.", planned.left);
        }
    });
    Ok(())
}
