//! The turns of the letters of a replay, and what came of them.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::args;
use crate::clock::{elapsed, later};
use crate::domain::IntegrationId;
use crate::store::Store;
use crate::store::db::{Result, Tx, Value};
use crate::store::dead_letters::DeadLetter;
use crate::store::replays::letter::Sent;
use crate::store::replays::{ReplayState, Step};
use crate::story::Event;

/// Turns are given so often. What would have come while nobody looked is not made up for: that
/// would be a burst.
pub const LOOK: Duration = Duration::from_secs(5);

/// A command that nobody has recorded by then was taken by an earlier release, which says nothing.
const LOST_SIGHT_OF: Duration = Duration::from_secs(3600);

/// Between two letters.
pub(super) fn pause(per_minute: u32) -> Duration {
    Duration::from_secs(60) / per_minute.max(1)
}

/// How many turns have come by now, and when the next one does. Pure.
fn turns(next_at: Timestamp, now: Timestamp, per_minute: u32) -> (u32, Timestamp) {
    let pause = pause(per_minute);
    // A clock that was ahead said so.
    let next_at = if next_at > later(now, pause) { now } else { next_at };
    if next_at > now {
        return (0, next_at);
    }
    let in_one_look = LOOK.as_millis() / pause.as_millis().max(1) + 1;
    let come = elapsed(next_at, now).as_millis() / pause.as_millis().max(1) + 1;
    let turns = u32::try_from(come.min(in_one_look)).unwrap_or(1);
    if come > in_one_look { (turns, later(now, pause)) } else { (turns, later(next_at, pause * turns)) }
}

impl Store {
    /// Whether a worker has to look at any replay.
    pub async fn replays_are_under_way(&self) -> Result<bool> {
        let sql = "SELECT 1 AS n FROM replay_letters WHERE state IN ('sent', 'taken') UNION ALL \
                   SELECT 1 AS n FROM replays WHERE state = 'running' LIMIT 1";
        Ok(self.db.fetch_one(sql, vec![]).await?.is_some())
    }

    /// Gives their turn to the letters whose moment has come, but for those of integrations that
    /// must wait. Answers how many were sent.
    pub async fn take_turns(&self, must_wait: &[IntegrationId]) -> Result<u32> {
        let sql = "SELECT id FROM replays WHERE state = 'running' ORDER BY id";
        let running: Vec<i64> = self.db.read_all(sql, vec![], |row| row.int("id")).await?;
        let mut sent = 0;
        for id in running {
            sent += self.take_turns_of(id, must_wait).await?;
        }
        Ok(sent)
    }

    async fn take_turns_of(&self, id: i64, must_wait: &[IntegrationId]) -> Result<u32> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if tx.lock_replay(id).await? != Some(ReplayState::Running) {
            return Ok(0);
        }
        let sql = "SELECT next_at, per_minute FROM replays WHERE id = $1";
        let pace = tx.read_one(sql, args![id], |row| Ok((row.moment("next_at")?, row.small("per_minute")?))).await?;
        let Some((next_at, per_minute)) = pace else { return Ok(0) };
        let (turns, next_at) = turns(next_at, now, per_minute);
        if turns == 0 {
            return Ok(0);
        }
        tx.skip_closed(id).await?;
        let letters = tx.next_letters(id, must_wait, turns).await?;
        // Whoever waited is not made up for either.
        let has_waited = letters.len() < turns as usize;
        let mut sent = 0;
        for letter in &letters {
            let words = format!("replayed in its turn by replay {id}");
            let event = Event::LetterReplayedInTurn { letter: letter.id, replay: id };
            let step = match tx.send_again(letter, &words, event, now).await? {
                Sent::As(command) => {
                    sent += 1;
                    (Step::Sent, Some(command))
                }
                Sent::Not(_) => (Step::Skipped, None),
            };
            tx.note_step(id, letter.id, step, now).await?;
        }
        let next_at = if has_waited { later(now, pause(per_minute)) } else { next_at };
        tx.run("UPDATE replays SET next_at = $2 WHERE id = $1", args![id, next_at]).await?;
        tx.commit().await?;
        Ok(sent)
    }

    /// Looks what came of the commands that were sent, and ends the replays of which nothing is
    /// left to come.
    pub async fn settle_replays(&self) -> Result<()> {
        let now = self.clock.now();
        let long_ago = now.checked_sub(LOST_SIGHT_OF).unwrap_or(Timestamp::UNIX_EPOCH);
        let sql = format!(
            "UPDATE replay_letters SET state = CASE WHEN {GAVE_UP_AGAIN} THEN 'dead' ELSE 'done' END \
             WHERE (state = 'taken' OR (state = 'sent' AND sent_at < $1)) AND NOT {IS_WANTED}"
        );
        self.db.run(sql, args![long_ago]).await?;
        let sql = "UPDATE replays SET state = 'done', ended_at = $1 WHERE state = 'running' AND NOT EXISTS (\
                   SELECT 1 FROM replay_letters l WHERE l.replay_id = replays.id AND l.state IN ('queued', 'sent', 'taken'))";
        self.db.run(sql, args![now]).await
    }

    /// Notes what a command that is about no order came to.
    pub async fn replay_came_to(&self, command: Uuid, step: Step) -> Result<()> {
        let sql = "UPDATE replay_letters SET state = $2 WHERE command_id = $1";
        self.db.run(sql, args![command.to_string(), step.as_str()]).await
    }
}

/// Something is wanted of the order that a letter is about.
const IS_WANTED: &str = "EXISTS (SELECT 1 FROM dead_letters d WHERE d.id = replay_letters.letter_id AND (\
    EXISTS (SELECT 1 FROM intents i WHERE i.integration_id = d.integration_id AND i.number = d.number \
    AND i.requested > i.served) OR EXISTS (SELECT 1 FROM order_intents o WHERE o.integration_id = d.integration_id \
    AND o.number = d.number AND o.requested > o.served) OR EXISTS (SELECT 1 FROM order_intents o \
    WHERE o.integration_id = d.integration_id AND o.crm_order_id = d.crm_order_id AND o.requested > o.served)))";

/// A letter about the same is open, and was opened or repeated since.
const GAVE_UP_AGAIN: &str = "EXISTS (SELECT 1 FROM dead_letters d JOIN dead_letters n \
    ON COALESCE(n.integration_id, 0) = COALESCE(d.integration_id, 0) AND COALESCE(n.number, '') = COALESCE(d.number, '') \
    WHERE d.id = replay_letters.letter_id AND n.state = 'open' AND n.updated_at >= replay_letters.sent_at \
    AND (d.number IS NOT NULL OR n.kind = d.kind) \
    AND (d.crm_order_id IS NULL OR n.crm_order_id IS NULL OR n.crm_order_id = d.crm_order_id))";

impl Tx {
    /// Letters that were closed while they waited need no turn.
    async fn skip_closed(&mut self, replay: i64) -> Result<()> {
        let sql = "UPDATE replay_letters SET state = 'skipped' WHERE replay_id = $1 AND state = 'queued' AND NOT EXISTS (\
                   SELECT 1 FROM dead_letters d WHERE d.id = replay_letters.letter_id AND d.state = 'open')";
        self.run(sql, args![replay]).await
    }

    async fn next_letters(&mut self, replay: i64, must_wait: &[IntegrationId], limit: u32) -> Result<Vec<DeadLetter>> {
        let waits = self.dialect().among("d.integration_id", 2);
        let whose = format!(
            "JOIN replay_letters l ON l.letter_id = d.id WHERE l.replay_id = $1 AND l.state = 'queued' \
             AND (d.integration_id IS NULL OR NOT {waits}) ORDER BY d.id LIMIT $3"
        );
        self.dead_letters_of(&whose, vec![replay.into(), must_wait.into(), limit.into()]).await
    }

    async fn note_step(&mut self, replay: i64, letter: i64, step: (Step, Option<Uuid>), now: Timestamp) -> Result<()> {
        let sql = "UPDATE replay_letters SET state = $3, command_id = $4, sent_at = $5 \
                   WHERE replay_id = $1 AND letter_id = $2";
        let (step, command) = step;
        self.run(sql, args![replay, letter, step.as_str(), command.map(|id| id.to_string()), now]).await
    }

    /// Commands of these ids are recorded as requests.
    pub(in crate::store) async fn replays_are_taken(&mut self, commands: impl Iterator<Item = &str>) -> Result<()> {
        let commands = Value::texts(commands);
        let among = self.dialect().among("command_id", 1);
        self.run(format!("UPDATE replay_letters SET state = 'taken' WHERE state = 'sent' AND {among}"), vec![commands])
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(1_000_000_000 + ms).expect("a moment")
    }

    #[test]
    fn turns_keep_their_pace_and_what_was_missed_does_not_come_in_a_burst() {
        for (next, now, per_minute, expected) in [
            (1000, 0, 60, (0, 1000)),
            (0, 0, 60, (1, 1000)),
            (0, 4999, 60, (5, 5000)),
            (0, 5000, 60, (6, 6000)),
            // An hour's stop, and a clock that was ahead.
            (0, 3_600_000, 60, (6, 3_601_000)),
            (3_600_000, 0, 60, (1, 1000)),
            (0, 5000, 1, (1, 60_000)),
            (0, 5000, 6000, (501, 5010)),
        ] {
            let (count, next) = turns(at(next), at(now), per_minute);
            assert_eq!((count, next), (expected.0, at(expected.1)), "{now} {per_minute}");
        }
    }
}
