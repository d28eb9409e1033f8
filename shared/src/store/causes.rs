//! Causes: dead letters by what has to be mended once. A reason at an integration is a cause as
//! long as a letter of it is open; what people say of it holds until nothing of it is.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::args;
use crate::domain::{Fault, IntegrationId};
use crate::store::Store;
use crate::store::audit::{Act, NewAudit, Who};
use crate::store::db::{Result, Row, Tx};
use crate::store::dead_letters::DeadFilter;
use crate::store::journal::{Entry, What};
use crate::story::{Event, Person};

/// A reason at an integration, of which letters are open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// `None`: letters of no integration.
    pub integration: Option<IntegrationId>,
    pub reason: String,
    /// Of its newest letter.
    pub fault: Fault,
    /// Open letters.
    pub letters: i64,
    /// How often it happened to them in all.
    pub times: i64,
    /// When the oldest of the open letters was opened.
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    /// By whom and when.
    pub acknowledged: Option<(String, Timestamp)>,
    /// By whom and until when; one that is over is none.
    pub snoozed: Option<(String, Timestamp)>,
}

/// What a person says of a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Somebody is at it.
    Acknowledged,
    /// Not to be told until then.
    Snoozed { until: Timestamp },
    /// Neither of both any more.
    Awake,
}

impl Word {
    const fn act(self) -> Act {
        match self {
            Self::Acknowledged => Act::Acknowledged,
            Self::Snoozed { .. } => Act::Snoozed,
            Self::Awake => Act::Woken,
        }
    }

    fn told(self, reason: &str, who: Person) -> Event {
        let reason = reason.into();
        match self {
            Self::Acknowledged => Event::CauseAcknowledged { reason, who },
            Self::Snoozed { until } => Event::CauseSnoozed { reason, until, who },
            Self::Awake => Event::CauseAwake { reason, who },
        }
    }
}

/// Key of letters that belong to no integration.
fn key(integration: Option<IntegrationId>) -> i64 {
    integration.map_or(0, |id| id.0)
}

impl Store {
    /// Causes of the open letters that a filter lets through, the newest first.
    pub async fn causes(&self, filter: &DeadFilter) -> Result<Vec<Cause>> {
        let open = DeadFilter { all: false, ..filter.clone() };
        let (condition, args) = open.condition();
        // A letter of another release may give a reason another fault.
        let sql = format!(
            "SELECT d.integration_id, d.reason, d.fault, COUNT(*) AS letters, CAST(SUM(d.attempts) AS BIGINT) AS times, \
             MIN(d.created_at) AS first_at, MAX(d.updated_at) AS last_at, c.acknowledged_by, c.acknowledged_at, \
             c.snoozed_by, c.snoozed_until FROM dead_letters d LEFT JOIN causes c \
             ON c.integration_id = COALESCE(d.integration_id, 0) AND c.reason = d.reason WHERE {condition} \
             GROUP BY d.integration_id, d.reason, d.fault, c.acknowledged_by, c.acknowledged_at, c.snoozed_by, c.snoozed_until"
        );
        let now = self.clock.now();
        let rows: Vec<Cause> = self.db.read_all(sql, args, |row| read(row, now)).await?;
        let mut causes: BTreeMap<(i64, String), Cause> = BTreeMap::new();
        for row in rows {
            let together = match causes.remove(&(key(row.integration), row.reason.clone())) {
                Some(other) => other.and(row),
                None => row,
            };
            causes.insert((key(together.integration), together.reason.clone()), together);
        }
        let mut causes: Vec<Cause> = causes.into_values().collect();
        causes.sort_by_key(|cause| (std::cmp::Reverse(cause.last_at), key(cause.integration)));
        Ok(causes)
    }
}

impl Cause {
    /// The same cause with the letters of another fault.
    fn and(self, other: Self) -> Self {
        let (newer, older) = if other.last_at >= self.last_at { (other, self) } else { (self, other) };
        Self {
            letters: newer.letters + older.letters,
            times: newer.times + older.times,
            first_at: newer.first_at.min(older.first_at),
            ..newer
        }
    }
}

impl Store {
    /// Notes what a person says of the open causes of a reason that a filter lets through. Answers
    /// of which: none when nothing of it is open.
    pub async fn say_of_causes(
        &self,
        reason: &str,
        which: &DeadFilter,
        word: Word,
        who: &Who,
    ) -> Result<Vec<Option<IntegrationId>>> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let which = DeadFilter { all: false, reason: Some(reason.to_owned()), ..which.clone() };
        let (condition, args) = which.condition();
        let sql = format!("SELECT DISTINCT d.integration_id FROM dead_letters d WHERE {condition}");
        let read = |row: &Row| Ok(row.opt_int("integration_id")?.map(IntegrationId));
        let mut open: Vec<Option<IntegrationId>> = tx.read_all(sql, args, read).await?;
        // In the order that everybody keeps to.
        open.sort_by_key(|id| key(*id));
        for id in &open {
            tx.say_of(key(*id), reason, word, &who.name, now).await?;
            let mut entry = Entry::new(now, What::Operator, word.told(reason, who.person()));
            entry.integration = *id;
            tx.append_journal(&entry).await?;
        }
        for id in &open {
            let mut entry = NewAudit::new(who, word.act(), *id, format!("cause {reason}"));
            if let Word::Snoozed { until } = word {
                entry.after.insert("until".to_owned(), until.to_string().into());
            }
            tx.append_audit(&self.key, &entry, now).await?;
        }
        tx.commit().await?;
        Ok(open)
    }
}

impl Tx {
    async fn say_of(&mut self, key: i64, reason: &str, word: Word, who: &str, now: Timestamp) -> Result<()> {
        let put = |columns: &str, set: &str| {
            format!(
                "INSERT INTO causes (integration_id, reason, {columns}) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (integration_id, reason) DO UPDATE SET {set}"
            )
        };
        match word {
            Word::Acknowledged => {
                let set = "acknowledged_by = excluded.acknowledged_by, acknowledged_at = excluded.acknowledged_at";
                self.run(put("acknowledged_by, acknowledged_at", set), args![key, reason, who, now]).await
            }
            Word::Snoozed { until } => {
                let set = "snoozed_by = excluded.snoozed_by, snoozed_until = excluded.snoozed_until";
                self.run(put("snoozed_by, snoozed_until", set), args![key, reason, who, until]).await
            }
            Word::Awake => {
                self.run("DELETE FROM causes WHERE integration_id = $1 AND reason = $2", args![key, reason]).await
            }
        }
    }

    /// Before a letter is opened: when nothing of its cause is open, what was said of the cause was
    /// said of a trouble that is over.
    pub(super) async fn forget_word_of_what_is_over(
        &mut self,
        integration: Option<IntegrationId>,
        reason: &str,
    ) -> Result<()> {
        let sql = "DELETE FROM causes WHERE integration_id = $1 AND reason = $2 AND NOT EXISTS (SELECT 1 FROM dead_letters \
                   WHERE state = 'open' AND COALESCE(integration_id, 0) = $1 AND reason = $2)";
        self.run(sql, args![key(integration), reason]).await
    }
}

fn read(row: &Row, now: Timestamp) -> Result<Cause> {
    let acknowledged = row.opt_text("acknowledged_by")?.zip(row.opt_moment("acknowledged_at")?);
    let snoozed = row.opt_text("snoozed_by")?.zip(row.opt_moment("snoozed_until")?);
    Ok(Cause {
        integration: row.opt_int("integration_id")?.map(IntegrationId),
        reason: row.text("reason")?,
        fault: row.word("fault", Fault::parse)?,
        letters: row.int("letters")?,
        times: row.int("times")?,
        first_at: row.moment("first_at")?,
        last_at: row.moment("last_at")?,
        acknowledged,
        snoozed: snoozed.filter(|(_, until)| *until > now),
    })
}
