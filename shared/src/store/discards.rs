//! Dead letters that a person closes without trying again: one, or all of a cause.

use jiff::Timestamp;

use crate::args;
use crate::domain::IntegrationId;
use crate::store::Store;
use crate::store::audit::{Act, NewAudit, Who};
use crate::store::db::Result;
use crate::store::dead_letters::{DeadLetter, DeadState};
use crate::store::journal::{Entry, What};
use crate::story::Event;

impl Store {
    /// Closes a letter for a reason. Journal, state and audit entry are one commit. Answers false
    /// when it was not open any more.
    pub async fn discard_dead_letter(&self, dead: &DeadLetter, why: &str, who: &Who) -> Result<bool> {
        let (id, now) = (dead.id, self.clock.now());
        let mut tx = self.db.begin().await?;
        if !tx.close_dead_letter(id, DeadState::Discarded, why, now).await? {
            return Ok(false);
        }
        let mut entry = Entry::new(now, What::Operator, Event::LetterDiscarded { letter: id, why: why.to_owned() });
        entry.integration = dead.integration;
        entry.number.clone_from(&dead.number);
        tx.append_journal(&entry).await?;
        let mut entry = dead.audit(who, Act::Discarded, DeadState::Discarded);
        entry.after.insert("why".to_owned(), why.into());
        tx.append_audit(&self.key, &entry, now).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Closes the open letters of a reason at an integration (`None`: of none) that were there
    /// until a moment: what came after somebody looked is not meant. Answers how many.
    pub async fn discard_cause(
        &self,
        reason: &str,
        integration: Option<IntegrationId>,
        seen_until: Timestamp,
        why: &str,
        who: &Who,
    ) -> Result<usize> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let rows = self.db.dialect().in_order(
            "dead_letters",
            "state = 'open' AND reason = $1 AND COALESCE(integration_id, 0) = COALESCE(CAST($2 AS BIGINT), 0) AND updated_at <= $3",
        );
        let sql = format!(
            "UPDATE dead_letters SET state = 'discarded', closed_why = $4, updated_at = $5 WHERE {rows} \
             RETURNING id, number"
        );
        let closed = tx.fetch(sql, args![reason, integration, seen_until, why, now]).await?;
        if closed.is_empty() {
            return Ok(0);
        }
        let mut told = Vec::with_capacity(closed.len());
        for row in &closed {
            let event = Event::LetterDiscarded { letter: row.int("id")?, why: why.to_owned() };
            let mut entry = Entry::new(now, What::Operator, event);
            entry.integration = integration;
            entry.number = row.opt_text("number")?;
            told.push(entry);
        }
        tx.append_all(&told).await?;
        let mut entry = NewAudit::new(who, Act::Discarded, integration, format!("cause {reason}"));
        entry.after.insert("letters".to_owned(), closed.len().into());
        entry.after.insert("why".to_owned(), why.into());
        tx.append_audit(&self.key, &entry, now).await?;
        tx.commit().await?;
        Ok(closed.len())
    }
}
