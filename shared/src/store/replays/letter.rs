//! One dead letter's command, published anew.

use jiff::Timestamp;
use uuid::Uuid;

use crate::message::Envelope;
use crate::store::Store;
use crate::store::audit::{Act, Who};
use crate::store::db::{Result, Tx};
use crate::store::dead_letters::{DeadLetter, DeadState};
use crate::store::jobs::NewJob;
use crate::store::journal::{Entry, What};
use crate::story::Event;

/// What came of asking for a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    Done,
    /// The letter is not open any more.
    Closed,
    /// It holds no command.
    Nothing,
}

/// What came of a letter's turn.
pub(super) enum Sent {
    /// Under this id of its command.
    As(Uuid),
    Not(Replay),
}

/// Begins the id of the message of a replay; the letter's number and the message's own follow.
const REPLAY: &str = "replay:";

impl Store {
    /// Publishes a dead letter's command anew. Job row, state and audit entry are one commit.
    /// `words`: why it is closed.
    pub async fn replay_dead_letter(
        &self,
        dead: &DeadLetter,
        now: Timestamp,
        words: &str,
        who: &Who,
    ) -> Result<Replay> {
        let mut tx = self.db.begin().await?;
        let event = Event::LetterReplayed { letter: dead.id, who: who.person() };
        if let Sent::Not(why) = tx.send_again(dead, words, event, now).await? {
            return Ok(why);
        }
        tx.append_audit(&self.key, &dead.audit(who, Act::Replayed, DeadState::Replayed), now).await?;
        tx.commit().await?;
        Ok(Replay::Done)
    }
}

impl Tx {
    /// Closes a letter and publishes its command, one generation on, so that no idempotency check
    /// swallows it.
    pub(super) async fn send_again(
        &mut self,
        dead: &DeadLetter,
        words: &str,
        event: Event,
        now: Timestamp,
    ) -> Result<Sent> {
        let command = dead.command.as_deref().and_then(|text| serde_json::from_str::<Envelope>(text).ok());
        let Some(mut envelope) = command else { return Ok(Sent::Not(Replay::Nothing)) };
        envelope.id = Uuid::now_v7();
        envelope.generation += 1;
        envelope.attempt = 0;
        envelope.spent_ms = 0;
        envelope.seq = 0;
        envelope.received_at = now;
        if !self.close_dead_letter(dead.id, DeadState::Replayed, words, now).await? {
            return Ok(Sent::Not(Replay::Closed));
        }
        let job = NewJob::of(&envelope, now);
        self.enqueue(&NewJob { id: format!("{REPLAY}{}:{}", dead.id, job.id), ..job }, now).await?;
        let mut entry = Entry::new(now, What::Operator, event);
        entry.integration = dead.integration;
        entry.number.clone_from(&dead.number);
        self.append_journal(&entry).await?;
        Ok(Sent::As(envelope.id))
    }
}
