//! What people do with a replay: plan, start, stop. Each with its note in the audit.

use serde_json::json;

use crate::args;
use crate::store::Store;
use crate::store::audit::{Act, NewAudit, Who};
use crate::store::db::{Result, StoreError, Tx};
use crate::store::dead_letters::DeadFilter;
use crate::store::replays::ReplayState;

/// A replay that was planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// `None`: no letter is meant that can be tried again.
    pub id: Option<i64>,
    pub letters: Vec<i64>,
    /// Letters that were meant and hold no command.
    pub left: i64,
}

/// What came of starting or stopping one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    Done,
    /// It is in a state in which that cannot be done.
    Already(ReplayState),
    Unknown,
}

impl Store {
    /// Plans a replay of the open letters that are meant, but for those whose turn is to come in
    /// one that runs. With `start` it begins at once.
    pub async fn plan_replay(&self, filter: &DeadFilter, per_minute: u32, start: bool, who: &Who) -> Result<Planned> {
        let now = self.clock.now();
        let (condition, values) = DeadFilter { all: false, ..filter.clone() }.condition();
        let free = "NOT EXISTS (SELECT 1 FROM replay_letters o JOIN replays r ON r.id = o.replay_id \
                    WHERE o.letter_id = d.id AND o.state = 'queued' AND r.state = 'running')";
        let mut tx = self.db.begin().await?;
        let sql = format!("SELECT COUNT(*) AS n FROM dead_letters d WHERE {condition} AND d.command IS NULL");
        let left = tx.read_one(sql, values.clone(), |row| row.int("n")).await?.unwrap_or(0);
        let sql = "INSERT INTO replays (who, filter, per_minute, state, next_at, created_at, started_at) \
                   VALUES ($1, $2, $3, $4, $5, $5, $6) RETURNING id";
        let state = if start { ReplayState::Running } else { ReplayState::Planned };
        let meant = words(filter);
        let args = args![&who.name, meant.to_string(), per_minute, state.as_str(), now, start.then_some(now)];
        let id = tx.read_one(sql, args, |row| row.int("id")).await?.ok_or(StoreError::BadRow("id"))?;
        let place = values.len() + 1;
        let sql = format!(
            "INSERT INTO replay_letters (replay_id, letter_id, state) SELECT CAST(${place} AS BIGINT), d.id, 'queued' \
             FROM dead_letters d WHERE {condition} AND d.command IS NOT NULL AND {free} RETURNING letter_id"
        );
        let values = values.into_iter().chain(args![id]).collect();
        let mut letters: Vec<i64> = tx.read_all(sql, values, |row| row.int("letter_id")).await?;
        letters.sort_unstable();
        if letters.is_empty() {
            return Ok(Planned { id: None, letters, left });
        }
        let act = if start { Act::ReplayStarted } else { Act::ReplayPlanned };
        let mut entry = NewAudit::new(who, act, filter.integration, object(id));
        entry.after.insert("filter".to_owned(), meant);
        entry.after.insert("letters".to_owned(), json!(letters.len()));
        entry.after.insert("per_minute".to_owned(), json!(per_minute));
        tx.append_audit(&self.key, &entry, now).await?;
        tx.commit().await?;
        Ok(Planned { id: Some(id), letters, left })
    }

    /// Begins a planned replay, or goes on with one that was stopped.
    pub async fn start_replay(&self, id: i64, who: &Who) -> Result<Told> {
        self.turn_replay(id, &[ReplayState::Planned, ReplayState::Stopped], ReplayState::Running, who).await
    }

    /// Stops one: letters whose turn has not come stay as they are.
    pub async fn stop_replay(&self, id: i64, who: &Who) -> Result<Told> {
        self.turn_replay(id, &[ReplayState::Planned, ReplayState::Running], ReplayState::Stopped, who).await
    }

    /// Gives one that is not over another pace, from its next letter on.
    pub async fn pace_replay(&self, id: i64, per_minute: u32, who: &Who) -> Result<Told> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let Some(state) = tx.lock_replay(id).await? else { return Ok(Told::Unknown) };
        if state == ReplayState::Done {
            return Ok(Told::Already(state));
        }
        let sql = "SELECT per_minute FROM replays WHERE id = $1";
        let was: u32 = tx.read_one(sql, args![id], |row| row.small("per_minute")).await?.unwrap_or_default();
        if was == per_minute {
            return Ok(Told::Done);
        }
        tx.run("UPDATE replays SET per_minute = $2 WHERE id = $1", args![id, per_minute]).await?;
        let entry = NewAudit::new(who, Act::ReplayPaced, None, object(id)).with("per_minute", was, per_minute);
        tx.append_audit(&self.key, &entry, now).await?;
        tx.commit().await?;
        Ok(Told::Done)
    }

    async fn turn_replay(&self, id: i64, from: &[ReplayState], to: ReplayState, who: &Who) -> Result<Told> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let Some(state) = tx.lock_replay(id).await? else { return Ok(Told::Unknown) };
        if !from.contains(&state) {
            return Ok(Told::Already(state));
        }
        let set = match to {
            ReplayState::Running => "next_at = $3, started_at = COALESCE(started_at, $3), ended_at = NULL",
            _ => "ended_at = $3",
        };
        tx.run(format!("UPDATE replays SET state = $2, {set} WHERE id = $1"), args![id, to.as_str(), now]).await?;
        let act = if to == ReplayState::Running { Act::ReplayStarted } else { Act::ReplayStopped };
        let entry = NewAudit::new(who, act, None, object(id)).with("state", state.as_str(), to.as_str());
        tx.append_audit(&self.key, &entry, now).await?;
        tx.commit().await?;
        Ok(Told::Done)
    }
}

impl Tx {
    /// Its state, held until the transaction ends.
    pub(super) async fn lock_replay(&mut self, id: i64) -> Result<Option<ReplayState>> {
        let sql = format!("SELECT state FROM replays WHERE id = $1 {}", self.dialect().for_update());
        self.read_one(sql, args![id], |row| row.word("state", ReplayState::parse)).await
    }
}

fn object(id: i64) -> String {
    format!("replay {id}")
}

/// Which letters are meant, as it is kept.
fn words(filter: &DeadFilter) -> serde_json::Value {
    let mut words = serde_json::Map::new();
    let mut say = |name: &str, value: Option<serde_json::Value>| {
        if let Some(value) = value {
            words.insert(name.to_owned(), value);
        }
    };
    say("integration", filter.integration.map(|id| json!(id.0)));
    say("of_none", filter.of_none.then_some(json!(true)));
    say("fault", filter.fault.map(|fault| json!(fault.as_str())));
    say("reason", filter.reason.as_ref().map(|reason| json!(reason)));
    say("since", filter.since.map(|since| json!(since.to_string())));
    words.into()
}
