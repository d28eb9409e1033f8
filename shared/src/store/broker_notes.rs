//! What is noted of a broker's queues, for whoever asks how the installation is: policies that take
//! commands out of them, and queues that had to be made anew, with what may have been lost.

use jiff::Timestamp;

use crate::args;
use crate::domain::Integration;
use crate::message::{Command, Envelope, RECONCILE_HISTORY};
use crate::store::db::{Result, Row, Tx};
use crate::store::jobs::NewJob;
use crate::store::promotion::Window;
use crate::store::{Store, moment};

/// Names of cursors, before the queue's.
const EMPTY: &str = "queue empty|";
const LOST: &str = "queue lost|";
const POLICY: &str = "queue policy|";
/// Value of a cursor [`EMPTY`] while its queue is as it was made.
const MADE: &str = "made";
/// Noticed by several processes at once, a lost queue is one loss.
const SAME_LOSS_MS: i64 = 15_000;
/// What was in a worker's hand and not recorded yet when its queue was last seen empty.
const IN_HAND_MS: i64 = 60_000;

/// Commands that the broker took out of a queue by a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyNote {
    pub queue: String,
    /// The broker's word: `expired`, `maxlen`.
    pub reason: String,
    /// Since it was first noted.
    pub count: u64,
    pub last: Timestamp,
}

/// A queue that had to be made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostQueue {
    pub queue: String,
    /// When what may be missing was accepted.
    pub window: Window,
}

impl Store {
    /// Counts a command that was put aside by a policy.
    pub async fn note_policy(&self, queue: &str, reason: &str) -> Result<()> {
        let sql = "INSERT INTO cursors (name, value, updated_at) VALUES ($1, '1', $2) \
                   ON CONFLICT (name) DO UPDATE SET \
                   value = CAST(CAST(cursors.value AS BIGINT) + 1 AS TEXT), updated_at = excluded.updated_at";
        self.db.run(sql, args![format!("{POLICY}{queue}|{reason}"), self.clock.now_ms()]).await
    }

    /// Policies that were noted, by queue and reason.
    pub async fn policy_notes(&self) -> Result<Vec<PolicyNote>> {
        let mut notes = Vec::new();
        for row in self.named(POLICY).await? {
            let name = row.text("name")?;
            let Some((queue, reason)) = name.strip_prefix(POLICY).and_then(|rest| rest.rsplit_once('|')) else {
                continue;
            };
            notes.push(PolicyNote {
                queue: queue.to_owned(),
                reason: reason.to_owned(),
                count: row.text("value")?.parse().unwrap_or(0),
                last: row.moment("updated_at")?,
            });
        }
        Ok(notes)
    }

    /// Notes that nothing waits in a queue: what is accepted from now on is what it could lose. Not
    /// of one that was made a moment ago, or is seen for the first time, since others are about to
    /// notice the same; answers whether it was noted.
    pub async fn saw_empty(&self, queue: &str) -> Result<bool> {
        let now = self.clock.now_ms();
        let sql = "INSERT INTO cursors (name, value, updated_at) VALUES ($1, $3, $2) ON CONFLICT (name) DO UPDATE SET \
                   value = '', updated_at = excluded.updated_at WHERE cursors.value <> $3 OR cursors.updated_at <= $4";
        let args = args![format!("{EMPTY}{queue}"), now, MADE, now - SAME_LOSS_MS];
        Ok(self.db.exec(sql, args).await? > 0)
    }

    /// Notes that a queue was missing and was made anew. Where it had been before, what may be lost
    /// is told, once for everybody who noticed, and the reconcile of every active integration is
    /// asked for in the same commit.
    pub async fn lost_queue(&self, queue: &str) -> Result<Option<Window>> {
        let now = moment(self.clock.now_ms());
        let active: Vec<_> = self.integrations().await?.into_iter().filter(Integration::is_active).collect();
        let mut tx = self.db.begin().await?;
        let (empty, lost) = (format!("{EMPTY}{queue}"), format!("{LOST}{queue}"));
        let seen = cursor_of(&mut tx, &empty).await?;
        tx.set_cursor(&empty, MADE, now).await?;
        let seen = match seen {
            // Others found it missing at the same moment, on a first start or later.
            Some((what, at)) if what == MADE && now.as_millisecond() - at < SAME_LOSS_MS => None,
            // `None`: nobody has seen it before, so it is the first one.
            seen => seen.map(|(_, at)| at),
        };
        let Some(seen) = seen else {
            tx.commit().await?;
            return Ok(None);
        };
        let window = Window { from: moment(seen - IN_HAND_MS), until: now };
        tx.set_cursor(&lost, &window.from.as_millisecond().to_string(), now).await?;
        // Once all have noticed: what is accepted until then may be lost as well.
        let at = moment(now.as_millisecond() + SAME_LOSS_MS);
        let jobs: Vec<NewJob> = active
            .iter()
            .map(|integration| {
                let mut envelope = Envelope::new(Command::Reconcile {}, Some(integration.id), now);
                envelope.key = RECONCILE_HISTORY.to_owned();
                NewJob::of(&envelope, at)
            })
            .collect();
        tx.enqueue_all(&jobs, now).await?;
        tx.commit().await?;
        Ok(Some(window))
    }

    /// The last loss of each queue.
    pub async fn lost_queues(&self) -> Result<Vec<LostQueue>> {
        let mut lost = Vec::new();
        for row in self.named(LOST).await? {
            let (name, from) = (row.text("name")?, row.text("value")?.parse().unwrap_or(0));
            let window = Window { from: moment(from), until: row.moment("updated_at")? };
            lost.push(LostQueue { queue: name.trim_start_matches(LOST).to_owned(), window });
        }
        Ok(lost)
    }

    async fn named(&self, prefix: &str) -> Result<Vec<Row>> {
        let sql = "SELECT name, value, updated_at FROM cursors WHERE name LIKE $1 ORDER BY name";
        self.db.fetch(sql, args![format!("{prefix}%")]).await
    }
}

async fn cursor_of(tx: &mut Tx, name: &str) -> Result<Option<(String, i64)>> {
    let lock = tx.dialect().for_update();
    let row =
        tx.fetch_one(format!("SELECT value, updated_at FROM cursors WHERE name = $1 {lock}"), args![name]).await?;
    row.map(|row| Ok((row.text("value")?, row.int("updated_at")?))).transpose()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::message::Lane;

    async fn store() -> Store {
        Store::in_memory(Clock::standing_at(Timestamp::from_second(1_700_000_000).expect("a moment"))).await
    }

    #[tokio::test]
    async fn a_queue_that_was_made_anew_is_a_possible_loss_with_its_window_told_once() {
        let store = store().await;
        let clock = &store.clock;
        let queue = "shop.interactive.v1";
        // Whoever found the queue there may look before the one that made it.
        store.saw_empty(queue).await.expect("noted");
        assert_eq!(store.lost_queue(queue).await.expect("noted"), None, "a first start loses nothing");
        assert!(!store.saw_empty(queue).await.expect("asked"), "it was made a moment ago");
        assert_eq!(store.lost_queue(queue).await.expect("noted"), None, "nor when two start at once");
        clock.advance(Duration::from_secs(3600));
        assert!(store.saw_empty(queue).await.expect("noted"));
        let seen = clock.now();
        clock.advance(Duration::from_secs(600));
        let window = store.lost_queue(queue).await.expect("noted").expect("a loss");
        assert_eq!(window.until, clock.now());
        assert_eq!(window.from, seen - Duration::from_millis(IN_HAND_MS.unsigned_abs()));
        clock.advance(Duration::from_secs(1));
        assert_eq!(store.lost_queue(queue).await.expect("noted"), None, "another process noticed the same");
        assert_eq!(store.lost_queues().await.expect("read"), [LostQueue { queue: queue.to_owned(), window }]);
        clock.advance(Duration::from_secs(60));
        assert!(store.lost_queue(queue).await.expect("noted").is_some(), "it is lost again");
        // No integration, no reconcile; the first window's is in `shared/tests/store/`.
        assert_eq!(store.next_job_due(Lane::Bulk).await.expect("read"), None);
    }

    #[tokio::test]
    async fn what_a_policy_took_is_counted_by_queue_and_reason() {
        let store = store().await;
        for (queue, reason) in
            [("p.interactive.v1", "expired"), ("p.bulk.v1", "maxlen"), ("p.interactive.v1", "expired")]
        {
            store.note_policy(queue, reason).await.expect("noted");
        }
        let notes = store.policy_notes().await.expect("read");
        let seen: Vec<_> = notes.iter().map(|note| (note.queue.as_str(), note.reason.as_str(), note.count)).collect();
        assert_eq!(seen, [("p.bulk.v1", "maxlen", 1), ("p.interactive.v1", "expired", 2)]);
        assert_eq!(notes[0].last, store.clock.now());
    }
}
