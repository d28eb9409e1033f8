//! Intents in somebody's hand: taken when they are due, kept, and left.

use std::time::Duration;

use jiff::Timestamp;

use crate::args;
use crate::crypto::random_number;
use crate::domain::{CrmOrderId, IntegrationId};
use crate::message::RetryWhy;
use crate::mutant::{Mutant, is_mutant};
use crate::store::db::{Result, Tx};
use crate::store::intents::{Intent, NUMBERS, ORDERS, columns, read};
use crate::store::many::ids;
use crate::store::row_lease::{Claim, drawn};
use crate::store::{Store, free};

/// How a holder leaves an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// Everything up to the `requested` the holder saw is served.
    Served,
    /// Not yet; look again then.
    Wait { why: RetryWhy, due_at: Timestamp, attempt: u32, rereads: u32, spent: Duration },
}

/// An intent's row, as far as its lease is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub by_id: bool,
    pub row: i64,
}

impl From<&Intent> for Held {
    fn from(intent: &Intent) -> Self {
        Self { by_id: intent.order.is_some(), row: intent.id }
    }
}

impl Store {
    /// Takes the lease of up to `limit` due intents of one integration, oldest first. While
    /// many wait, what is tried again has at most half of the places.
    pub async fn claim_intents(
        &self,
        integration: IntegrationId,
        owner: &str,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<Intent>> {
        let room = |taken: &[Intent]| limit.saturating_sub(u32::try_from(taken.len()).unwrap_or(u32::MAX));
        let half = limit.div_ceil(2);
        let mut intents = self.claim(ORDERS, integration, owner, lease_until, half).await?;
        let more = limit - room(&intents) == half;
        let left = room(&intents);
        intents.extend(self.claim(NUMBERS, integration, owner, lease_until, left).await?);
        let left = room(&intents);
        if more && left > 0 {
            intents.extend(self.claim(ORDERS, integration, owner, lease_until, left).await?);
        }
        intents.sort_by_key(|intent| (intent.due_at, intent.order, intent.id));
        Ok(intents)
    }

    async fn claim(
        &self,
        table: &'static str,
        integration: IntegrationId,
        owner: &str,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<Intent>> {
        let now = self.clock.now_ms();
        let lock = self.db.dialect().skip_locked();
        let sql = format!(
            "UPDATE {table} SET lease_owner = $1, lease_until = $2, {} WHERE id IN (\
             SELECT id FROM {table} WHERE integration_id = $3 AND requested > served \
             AND due_at <= $4 AND {} ORDER BY due_at LIMIT $5 {lock}) RETURNING {}",
            drawn(table, 6),
            free(4),
            columns(table)
        );
        self.db.write_all(sql, args![owner, lease_until, integration, now, limit, random_number()], read).await
    }

    /// Keeps the leases of a batch alive. Answers how many.
    pub async fn renew_intents(&self, owner: &str, held: &[Held], lease_until: Timestamp) -> Result<u64> {
        let mut renewed = 0;
        for (table, by_id) in [(NUMBERS, false), (ORDERS, true)] {
            let list = ids(held.iter().filter(|held| held.by_id == by_id).map(|held| held.row));
            if !list.is_empty() {
                let rows = self.db.dialect().in_order(table, &format!("lease_owner = $2 AND id IN ({list})"));
                let sql = format!("UPDATE {table} SET lease_until = $1 WHERE {rows}");
                renewed += self.db.exec(sql, args![lease_until, owner]).await?;
            }
        }
        Ok(renewed)
    }

    /// Hands a held intent back untouched (shutdown).
    pub async fn release_intent(&self, intent: &Intent) -> Result<()> {
        let sql = format!(
            "UPDATE {} SET lease_owner = NULL, lease_until = 0 WHERE id = $1 AND fence = $2 AND {}",
            intent.table(),
            intent.its_own(3)
        );
        self.db.run(sql, args![intent.id, intent.fence, intent.integration, intent.key()]).await
    }
}

impl Tx {
    /// Takes the lease of an order's intent if something of it is unserved; `None` when another
    /// holds it.
    pub async fn claim_order(
        &mut self,
        integration: IntegrationId,
        order: CrmOrderId,
        owner: &str,
        lease_until: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Intent>> {
        let claim = Claim { integration, order, owner, until: lease_until, now };
        let row = self.take_row(&claim, ORDERS, "requested > served", &columns(ORDERS)).await?;
        row.as_ref().map(read).transpose()
    }

    /// Leaves a held intent. Answers false when the lease was lost: then nothing changed
    /// and another holder decides.
    pub async fn leave_intent(&mut self, intent: &Intent, leave: Leave, now: Timestamp) -> Result<bool> {
        let table = intent.table();
        let held = if is_mutant(Mutant::FenceUnchecked) { "(fence > 0 OR fence = $2)" } else { "fence = $2" };
        match leave {
            Leave::Served => {
                let sql = format!(
                    "UPDATE {table} SET served = $3, verify = CASE WHEN requested = $3 THEN 0 ELSE verify END, \
                     lease_owner = NULL, lease_until = 0, updated_at = $4 WHERE id = $1 AND {held} AND {}",
                    intent.its_own(5)
                );
                let args = args![intent.id, intent.fence, intent.requested, now, intent.integration, intent.key()];
                self.changed(sql, args).await
            }
            // A newer request set its own time and count while this one was worked on.
            Leave::Wait { why, due_at, attempt, rereads, spent } => {
                let sql = format!(
                    "UPDATE {table} SET \
                     due_at = CASE WHEN requested = $3 THEN $4 ELSE due_at END, \
                     attempt = CASE WHEN requested = $3 THEN $5 ELSE attempt END, \
                     rereads = CASE WHEN requested = $3 THEN $6 ELSE rereads END, \
                     spent_ms = CASE WHEN requested = $3 THEN $7 ELSE spent_ms END, \
                     waits_for = $9, waits_until = $4, \
                     lease_owner = NULL, lease_until = 0, updated_at = $8 WHERE id = $1 AND {held} AND {}",
                    intent.its_own(10)
                );
                let spent = i64::try_from(spent.as_millis()).unwrap_or(i64::MAX);
                let (id, fence, requested) = (intent.id, intent.fence, intent.requested);
                let (integration, key) = (intent.integration, intent.key());
                let why = why.as_str();
                let args = args![id, fence, requested, due_at, attempt, rereads, spent, now, why, integration, key];
                self.changed(sql, args).await
            }
        }
    }
}
