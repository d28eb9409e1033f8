//! `bridge dead …`: what gave up, and what to do about it.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use shared::config::Source;
use shared::domain::{Fault, IntegrationId, Language};
use shared::message::Envelope;
use shared::reason::explain;
use shared::store::Store;
use shared::store::dead_letters::{DeadFilter, DeadLetter, DeadState};
use shared::store::jobs::NewJob;
use shared::store::journal::{Entry, What};

use crate::args::{self, DeadCommand};
use crate::output::{Failure, Output, bold};

pub async fn run(command: DeadCommand, store: &Store, out: &Output) -> Result<ExitCode, Failure> {
    match command {
        DeadCommand::List { all, integration, fault, reason, since } => {
            let filter = filter(all, integration, fault.as_deref(), reason, since.as_deref(), store)?;
            list(&store.dead_letters(&filter).await?, out);
        }
        DeadCommand::Show { id } => show(&find(id, store).await?, out),
        DeadCommand::Replay { id: Some(id), .. } => {
            let dead = find(id, store).await?;
            replay(&dead, store.clock.now(), store).await?;
            out.answer(&json!({ "replayed": [id] }), || println!("Dead letter {id} is being tried again."));
        }
        DeadCommand::Replay { id: None, integration, fault, reason, since, per_minute, .. } => {
            let filter = filter(false, integration, fault.as_deref(), reason, since.as_deref(), store)?;
            replay_all(&store.dead_letters(&filter).await?, per_minute, store, out).await?;
        }
        DeadCommand::Discard { id, why } => {
            let dead = find(id, store).await?;
            let now = store.clock.now();
            let mut tx = store.db.begin().await?;
            if !tx.close_dead_letter(id, DeadState::Discarded, &why, now).await? {
                return Err(Failure::sentence(format!("dead letter {id} is {} already", dead.state.as_str())));
            }
            tx.append_journal(&audit(&dead, now, format!("dead letter {id} discarded: {why}"))).await?;
            tx.commit().await?;
            out.answer(&json!({ "discarded": id }), || println!("Dead letter {id} is discarded."));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn filter(
    all: bool,
    integration: Option<i64>,
    fault: Option<&str>,
    reason: Option<String>,
    since: Option<&str>,
    store: &Store,
) -> Result<DeadFilter, Failure> {
    let fault = match fault {
        None => None,
        Some(text) => Some(
            Fault::parse(text)
                .ok_or_else(|| Failure::Usage(format!("--fault: «{text}» is none of shop, courier, crm, bridge")))?,
        ),
    };
    let since = since.map(|text| args::since(text, store.clock.now())).transpose().map_err(Failure::Usage)?;
    Ok(DeadFilter { all, integration: integration.map(IntegrationId), fault, reason, since })
}

async fn find(id: i64, store: &Store) -> Result<DeadLetter, Failure> {
    let found = store.dead_letter(id).await?;
    found.ok_or_else(|| Failure::sentence(format!("there is no dead letter {id}; `bridge dead list --all` shows them")))
}

/// The language of people's texts: that of the terminal's locale.
fn language() -> Language {
    let source = Source::environment();
    let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].iter().find_map(|name| source.get(name).ok().flatten());
    if locale.is_some_and(|l| l.starts_with("ru")) { Language::Ru } else { Language::En }
}

fn document(dead: &DeadLetter) -> Value {
    let words = explain(&dead.reason, language());
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

fn list(found: &[DeadLetter], out: &Output) {
    let documents: Vec<Value> = found.iter().map(document).collect();
    out.answer(&json!(documents), || {
        if found.is_empty() {
            println!("No dead letters.");
            return;
        }
        let rows: Vec<Vec<String>> = found
            .iter()
            .map(|d| {
                vec![
                    d.id.to_string(),
                    d.integration.map_or_else(|| "-".to_owned(), |i| i.to_string()),
                    d.number.clone().unwrap_or_else(|| "-".to_owned()),
                    d.kind.clone(),
                    d.fault.to_string(),
                    d.reason.clone(),
                    d.attempts.to_string(),
                    d.state.as_str().to_owned(),
                    d.created_at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
                ]
            })
            .collect();
        out.table(&["ID", "INTEGRATION", "ORDER", "KIND", "FAULT", "REASON", "TIMES", "STATE", "SINCE"], &rows);
    });
}

fn show(dead: &DeadLetter, out: &Output) {
    let mut document = document(dead);
    document["command"] = dead.command.as_deref().and_then(|c| serde_json::from_str(c).ok()).unwrap_or(Value::Null);
    document["raw"] = dead.raw.as_deref().map_or(Value::Null, |raw| json!(String::from_utf8_lossy(raw)));
    out.answer(&document, || {
        let words = explain(&dead.reason, language());
        println!("{}", bold(&format!("Dead letter {} ({})", dead.id, dead.state.as_str())));
        println!("  order      {}", dead.number.as_deref().unwrap_or("-"));
        println!("  command    {}, tried {} time(s), happened {} time(s)", dead.kind, dead.tries, dead.attempts);
        println!("  fault      {}", dead.fault);
        println!("  reason     {}: {}", dead.reason, text(dead, words.text));
        println!("  next step  {}", words.next_step);
        println!("  since      {}, last {}", dead.created_at, dead.updated_at);
        if let Some(why) = &dead.closed_why {
            println!("  closed     {why}");
        }
        if let Some(raw) = &dead.raw {
            println!("  raw        {}", String::from_utf8_lossy(raw));
        }
    });
}

fn audit(dead: &DeadLetter, now: jiff::Timestamp, text: String) -> Entry {
    let mut entry = Entry::new(now, What::Operator, text);
    entry.integration = dead.integration;
    entry.number.clone_from(&dead.number);
    entry
}

/// Publishes the command anew, one generation on, so that no idempotency check swallows
/// it. Job row, state and audit entry are one commit.
async fn replay(dead: &DeadLetter, run_at: jiff::Timestamp, store: &Store) -> Result<(), Failure> {
    let nothing = || Failure::sentence(format!("dead letter {} holds no command to try again; discard it", dead.id));
    let command = dead.command.as_deref().ok_or_else(nothing)?;
    let mut envelope: Envelope = serde_json::from_str(command).map_err(|_| nothing())?;
    let now = store.clock.now();
    envelope.id = Envelope::new(envelope.command.clone(), envelope.integration, now).id;
    envelope.generation += 1;
    envelope.attempt = 0;
    envelope.spent_ms = 0;
    envelope.seq = 0;
    envelope.received_at = run_at;
    let mut tx = store.db.begin().await?;
    if !tx.close_dead_letter(dead.id, DeadState::Replayed, "replayed by the operator", now).await? {
        return Err(Failure::sentence(format!("dead letter {} is {} already", dead.id, dead.state.as_str())));
    }
    tx.enqueue(&NewJob::of(&envelope, run_at), now).await?;
    tx.append_journal(&audit(dead, now, format!("dead letter {} replayed", dead.id))).await?;
    tx.commit().await?;
    Ok(())
}

/// All at once in the store, but due one after the other.
async fn replay_all(found: &[DeadLetter], per_minute: u32, store: &Store, out: &Output) -> Result<(), Failure> {
    let pause = Duration::from_secs(60) / per_minute;
    let mut replayed = Vec::new();
    let mut run_at = store.clock.now();
    for dead in found.iter().filter(|dead| dead.command.is_some()) {
        replay(dead, run_at, store).await?;
        replayed.push(dead.id);
        run_at = run_at.checked_add(pause).unwrap_or(run_at);
    }
    let left = found.len() - replayed.len();
    out.answer(&json!({ "replayed": replayed }), || {
        println!("{} dead letter(s) are being tried again, {per_minute} a minute.", replayed.len());
        if left > 0 {
            println!("{left} hold no command and stay open.");
        }
    });
    Ok(())
}
