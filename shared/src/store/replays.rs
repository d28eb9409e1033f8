//! A dead letter's command, published anew: at once, or in its turn among many.

use jiff::Timestamp;

use crate::args;
use crate::message::Envelope;
use crate::store::audit::{Act, Who};
use crate::store::db::Result;
use crate::store::dead_letters::{DeadLetter, DeadState};
use crate::store::jobs::NewJob;
use crate::store::journal::{Entry, What};
use crate::store::{Store, moment};

/// What came of asking for a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    Done,
    /// The letter is not open any more.
    Closed,
    /// It holds no command.
    Nothing,
}

/// A letter whose turn is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingReplay {
    pub letter: i64,
    pub due: Timestamp,
}

/// Begins the id of the message of a replay; the letter's number and the message's own follow.
pub(super) const REPLAY: &str = "replay:";

impl Store {
    /// Publishes a dead letter's command anew, one generation on, so that no idempotency
    /// check swallows it. Job row, state and audit entry are one commit. `words`: why it is closed.
    pub async fn replay_dead_letter(
        &self,
        dead: &DeadLetter,
        run_at: Timestamp,
        words: &str,
        who: &Who,
    ) -> Result<Replay> {
        let command = dead.command.as_deref().and_then(|text| serde_json::from_str::<Envelope>(text).ok());
        let Some(mut envelope) = command else { return Ok(Replay::Nothing) };
        let now = self.clock.now();
        envelope.id = uuid::Uuid::now_v7();
        envelope.generation += 1;
        envelope.attempt = 0;
        envelope.spent_ms = 0;
        envelope.seq = 0;
        envelope.received_at = run_at;
        let mut tx = self.db.begin().await?;
        if !tx.close_dead_letter(dead.id, DeadState::Replayed, words, now).await? {
            return Ok(Replay::Closed);
        }
        let job = NewJob::of(&envelope, run_at);
        tx.enqueue(&NewJob { id: format!("{REPLAY}{}:{}", dead.id, job.id), ..job }, now).await?;
        let mut entry = Entry::new(now, What::Operator, format!("dead letter {} {words}", dead.id));
        entry.integration = dead.integration;
        entry.number.clone_from(&dead.number);
        tx.append_journal(&entry).await?;
        tx.append_audit(&self.key, &dead.audit(who, Act::Replayed, DeadState::Replayed), now).await?;
        tx.commit().await?;
        Ok(Replay::Done)
    }

    /// The letters that are to be tried again and whose turn has not come, the next one first.
    pub async fn waiting_replays(&self) -> Result<Vec<WaitingReplay>> {
        let sql = format!("SELECT id, run_at FROM jobs WHERE id LIKE '{REPLAY}%' AND NOT {}", self.due("run_at", 1));
        let mut found = Vec::new();
        for row in self.db.fetch(sql, args![self.clock.now_ms()]).await? {
            let id = row.text("id")?;
            let letter = id.strip_prefix(REPLAY).and_then(|rest| rest.split(':').next()?.parse().ok());
            if let Some(letter) = letter {
                found.push(WaitingReplay { letter, due: row.moment("run_at")? });
            }
        }
        found.sort_by_key(|waiting| (waiting.due, waiting.letter));
        Ok(found)
    }

    /// The latest moment that a message may be put off to now. What says later counts as written
    /// by a clock that was ahead, and is due at once.
    pub fn latest_turn(&self) -> Timestamp {
        moment(self.latest(self.clock.now_ms()))
    }
}
