//! Dead letters tried again: one at once, or many in their turn, at a pace, until somebody stops it.
//!
//! A replay's letters stay open until their turn. A worker gives the turns ([`Store::take_turns`])
//! and looks what came of them ([`Store::settle_replays`]); each step is a commit of its own, so
//! a process may die between any two.

mod acts;
mod letter;
mod turns;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::later;
use crate::domain::{CrmOrderId, IntegrationId};
use crate::message::Kind;
use crate::store::Store;
use crate::store::db::{Result, Row};
use crate::{args, closed_set};

pub use acts::{Planned, Told};
pub use letter::Replay;
pub use turns::LOOK;

closed_set! {
    ReplayState {
        Planned => "planned",
        Running => "running",
        /// By somebody; it can be started again.
        Stopped => "stopped",
        Done => "done",
    }
}

closed_set! {
    /// How far a letter of a replay has come.
    Step {
        Queued => "queued",
        /// Its command is on its way.
        Sent => "sent",
        /// Its command is recorded, and what it wants not done yet.
        Taken => "taken",
        Done => "done",
        /// It gave up again.
        Dead => "dead",
        /// When its turn came it was closed already, or held no command that can be read.
        Skipped => "skipped",
    }
}

/// A replay of many letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaying {
    pub id: i64,
    /// Who planned it.
    pub who: String,
    /// A JSON object: which letters were meant.
    pub filter: String,
    pub per_minute: u32,
    pub state: ReplayState,
    pub next_at: Timestamp,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// Letters by how far they have come.
    pub letters: BTreeMap<Step, i64>,
}

impl Replaying {
    pub fn count(&self, steps: &[Step]) -> i64 {
        steps.iter().filter_map(|step| self.letters.get(step)).sum()
    }

    /// How long the turns take that are still to come.
    pub fn takes(&self) -> Duration {
        let queued = u32::try_from(self.count(&[Step::Queued])).unwrap_or(u32::MAX);
        turns::pause(self.per_minute).saturating_mul(queued)
    }
}

/// Letters of a replay that are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub integration: Option<IntegrationId>,
    /// `None`: a kind of another release.
    pub kind: Option<Kind>,
    pub letters: i64,
    /// Of them those whose turn is still to come.
    pub queued: i64,
    /// The first of their orders.
    pub orders: Vec<String>,
}

/// Orders that are named of letters that are alike.
const NAMED: i64 = 10;

/// A letter whose turn is still to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingReplay {
    pub letter: i64,
    pub replay: i64,
    /// If nothing holds it up.
    pub due: Timestamp,
    /// When the replay was started.
    pub since: Timestamp,
    pub integration: Option<IntegrationId>,
    pub order: Option<CrmOrderId>,
    pub number: Option<String>,
}

/// Requests that trying a command again costs, about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    pub measoft: i64,
    pub retailcrm: i64,
}

/// What one command of a kind costs: at MeaSoft the request, what is asked before it and what is
/// read back; at RetailCRM one read of the order and what is written to it.
pub const fn cost(kind: Kind) -> Cost {
    let (measoft, retailcrm) = match kind {
        Kind::SendOrder => (1, 3),
        Kind::UpdateOrder => (3, 3),
        Kind::CancelOrder => (2, 2),
        Kind::SyncStatuses => (2, 1),
        Kind::PushStatuses | Kind::NotifyOfCauses => (0, 1),
        Kind::SyncPayments => (0, 3),
        Kind::SyncReturns => (0, 2),
        Kind::Reconcile => (10, 10),
        Kind::ProbeIntegration => (1, 5),
        Kind::RefreshReferences => (3, 3),
        Kind::CompareShadow => (10, 1),
        Kind::ResumeOrder | Kind::Retention | Kind::ReplayLetters | Kind::Callback => (0, 0),
    };
    Cost { measoft, retailcrm }
}

const COLUMNS: &str = "id, who, filter, per_minute, state, next_at, created_at, started_at, ended_at";

impl Store {
    pub async fn replay(&self, id: i64) -> Result<Option<Replaying>> {
        let sql = format!("SELECT {COLUMNS} FROM replays WHERE id = $1");
        let found = self.db.read_one(sql, args![id], read).await?;
        Ok(self.counted(found.into_iter().collect()).await?.pop())
    }

    /// The newest first.
    pub async fn replays(&self, limit: u32) -> Result<Vec<Replaying>> {
        let sql = format!("SELECT {COLUMNS} FROM replays ORDER BY id DESC LIMIT $1");
        let found = self.db.read_all(sql, args![limit], read).await?;
        self.counted(found).await
    }

    async fn counted(&self, mut replays: Vec<Replaying>) -> Result<Vec<Replaying>> {
        let among = self.db.dialect().among("replay_id", 1);
        let sql = format!(
            "SELECT replay_id, state, COUNT(*) AS n FROM replay_letters WHERE {among} GROUP BY replay_id, state"
        );
        let ids: Vec<i64> = replays.iter().map(|replay| replay.id).collect();
        for row in self.db.fetch(sql, args![ids]).await? {
            let id = row.int("replay_id")?;
            if let Some(replay) = replays.iter_mut().find(|replay| replay.id == id) {
                replay.letters.insert(row.word("state", Step::parse)?, row.int("n")?);
            }
        }
        Ok(replays)
    }

    /// Letters of the replays that run, by how far they are.
    pub async fn running_replays(&self) -> Result<Vec<(i64, Step, i64)>> {
        let sql = "SELECT l.replay_id, l.state, COUNT(*) AS n FROM replay_letters l JOIN replays r ON r.id = l.replay_id \
                   WHERE r.state = 'running' GROUP BY l.replay_id, l.state";
        let read = |row: &Row| Ok((row.int("replay_id")?, row.word("state", Step::parse)?, row.int("n")?));
        self.db.read_all(sql, vec![], read).await
    }

    /// What a replay's letters are about.
    pub async fn parts_of_replay(&self, id: i64) -> Result<Vec<Part>> {
        let sql = "SELECT d.integration_id, d.kind, COUNT(*) AS n, \
                   CAST(SUM(CASE WHEN l.state = 'queued' THEN 1 ELSE 0 END) AS BIGINT) AS queued \
                   FROM replay_letters l JOIN dead_letters d ON d.id = l.letter_id WHERE l.replay_id = $1 \
                   GROUP BY d.integration_id, d.kind ORDER BY d.integration_id, d.kind";
        let read = |row: &Row| {
            let part = Part {
                integration: row.opt_int("integration_id")?.map(IntegrationId),
                kind: Kind::parse(&row.text("kind")?),
                letters: row.int("n")?,
                queued: row.int("queued")?,
                orders: Vec::new(),
            };
            Ok((part, row.text("kind")?))
        };
        let found: Vec<(Part, String)> = self.db.read_all(sql, args![id], read).await?;
        let mut parts = Vec::new();
        for (mut part, kind) in found {
            let sql = "SELECT d.number FROM replay_letters l JOIN dead_letters d ON d.id = l.letter_id WHERE l.replay_id = $1 \
                       AND COALESCE(d.integration_id, 0) = $2 AND d.kind = $3 AND d.number IS NOT NULL ORDER BY d.id LIMIT $4";
            let whose = part.integration.map_or(0, |id| id.0);
            part.orders = self.db.read_all(sql, args![id, whose, kind, NAMED], |row| row.text("number")).await?;
            parts.push(part);
        }
        Ok(parts)
    }

    /// The letters that are to be tried again and whose turn has not come, the next one first.
    pub async fn waiting_replays(&self) -> Result<Vec<WaitingReplay>> {
        let now = self.clock.now();
        let sql = "SELECT r.id, r.next_at, r.per_minute, r.created_at, r.started_at, l.letter_id, d.integration_id, d.crm_order_id, d.number \
                   FROM replays r JOIN replay_letters l ON l.replay_id = r.id JOIN dead_letters d ON d.id = l.letter_id \
                   WHERE r.state = 'running' AND l.state = 'queued' AND d.state = 'open' ORDER BY r.id, l.letter_id";
        let mut found: Vec<WaitingReplay> = Vec::new();
        for row in self.db.fetch(sql, vec![]).await? {
            let replay = row.int("id")?;
            let due = match found.last().filter(|before| before.replay == replay) {
                Some(before) => later(before.due, turns::pause(row.small("per_minute")?)),
                None => row.moment("next_at")?.max(now),
            };
            found.push(WaitingReplay {
                letter: row.int("letter_id")?,
                replay,
                due,
                since: row.opt_moment("started_at")?.unwrap_or(row.moment("created_at")?),
                integration: row.opt_int("integration_id")?.map(IntegrationId),
                order: row.opt_int("crm_order_id")?.map(CrmOrderId),
                number: row.opt_text("number")?,
            });
        }
        found.sort_by_key(|waiting| (waiting.due, waiting.letter));
        Ok(found)
    }
}

fn read(row: &Row) -> Result<Replaying> {
    Ok(Replaying {
        id: row.int("id")?,
        who: row.text("who")?,
        filter: row.text("filter")?,
        per_minute: row.small("per_minute")?,
        state: row.word("state", ReplayState::parse)?,
        next_at: row.moment("next_at")?,
        created_at: row.moment("created_at")?,
        started_at: row.opt_moment("started_at")?,
        ended_at: row.opt_moment("ended_at")?,
        letters: BTreeMap::new(),
    })
}
