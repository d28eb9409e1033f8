//! Intents in somebody's hand: taken when they are due, kept, and left.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::args;
use crate::crypto::random_number;
use crate::domain::{CrmOrderId, IntegrationId};
use crate::message::RetryWhy;
use crate::mutant::{Mutant, is_mutant};
use crate::store::db::{Result, Tx};
use crate::store::intents::{Intent, NUMBERS, ORDERS, columns, its_own, read};
use crate::store::many::ids;
use crate::store::row_lease::{Claim, drawn};
use crate::store::sets::Set;
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// Takes the lease of up to `limit` due intents of one integration, oldest first. While many
    /// wait, what is tried again has at most half of the places. A lease that the database forgets
    /// is none: its holder will be told.
    pub async fn claim_intents(
        &self,
        integration: IntegrationId,
        owner: &str,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<Intent>> {
        let room = |taken: &[Intent]| limit.saturating_sub(u32::try_from(taken.len()).unwrap_or(u32::MAX));
        let half = limit.div_ceil(2);
        let now = self.clock.now();
        let mut tx = self.db.begin_forgettable().await?;
        let mut intents = tx.claim(ORDERS, integration, owner, lease_until, half, now).await?;
        let more = limit - room(&intents) == half;
        let left = room(&intents);
        intents.extend(tx.claim(NUMBERS, integration, owner, lease_until, left, now).await?);
        let left = room(&intents);
        if more && left > 0 {
            intents.extend(tx.claim(ORDERS, integration, owner, lease_until, left, now).await?);
        }
        tx.commit().await?;
        intents.sort_by_key(|intent| (intent.due_at, intent.order, intent.id));
        Ok(intents)
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
    async fn claim(
        &mut self,
        table: &'static str,
        integration: IntegrationId,
        owner: &str,
        lease_until: Timestamp,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<Intent>> {
        let lock = self.dialect().skip_locked();
        // Materialized: PostgreSQL may run a subquery with a lock once for each row it compares, and
        // each time the limit counts anew.
        let sql = format!(
            "WITH due AS MATERIALIZED (SELECT id FROM {table} WHERE integration_id = $3 AND requested > served \
             AND due_at <= $4 AND {} ORDER BY due_at LIMIT $5 {lock}) \
             UPDATE {table} SET lease_owner = $1, lease_until = $2, {} WHERE id IN (SELECT id FROM due) RETURNING {}",
            free(4),
            drawn(table, 6),
            columns(table)
        );
        self.read_all(sql, args![owner, lease_until, integration, now, limit, random_number()], read).await
    }

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
        Ok(self.claim_orders(integration, &[order], owner, lease_until, now).await?.pop())
    }

    /// The same of several orders: those that came into hand.
    pub async fn claim_orders(
        &mut self,
        integration: IntegrationId,
        orders: &[CrmOrderId],
        owner: &str,
        lease_until: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<Intent>> {
        let claim = Claim { integration, orders, owner, until: lease_until, now };
        self.take_rows(&claim, ORDERS, "requested > served", &columns(ORDERS)).await?.iter().map(read).collect()
    }

    /// Leaves a held intent. Answers false when the lease was lost: then nothing changed
    /// and another holder decides.
    pub async fn leave_intent(&mut self, intent: &Intent, leave: Leave, now: Timestamp) -> Result<bool> {
        Ok(!self.leave_intents(&[(intent, leave)], now).await?.is_empty())
    }

    /// Leaves held intents, a statement for either sort. Answers which of them were held still, and
    /// whether something of it is unserved: of the others nothing changed.
    pub async fn leave_intents(&mut self, left: &[(&Intent, Leave)], now: Timestamp) -> Result<HashMap<Held, bool>> {
        let mut held = HashMap::with_capacity(left.len());
        for table in [NUMBERS, ORDERS] {
            let these = left.iter().filter(|(intent, _)| intent.table() == table);
            for row in self.fetch_set(leaving(these), args![now], |v| leave(table, v)).await? {
                held.insert(Held { by_id: table == ORDERS, row: row.int("id")? }, row.flag("more")?);
            }
        }
        Ok(held)
    }
}

fn leaving<'a>(left: impl Iterator<Item = &'a (&'a Intent, Leave)>) -> Set {
    let columns =
        ["row_id", "held", "whose", "known_by", "seen", "is_served", "why", "due", "tries", "readings", "spent"];
    Set::of(columns, left, |(intent, leave)| {
        let mut values = args![intent.id, intent.fence, intent.integration, intent.key(), intent.requested];
        values.extend(match leave {
            Leave::Served => args![true, None::<&str>, 0, 0, 0, 0],
            Leave::Wait { why, due_at, attempt, rereads, spent } => {
                let spent = i64::try_from(spent.as_millis()).unwrap_or(i64::MAX);
                args![false, Some(why.as_str()), *due_at, *attempt, *rereads, spent]
            }
        });
        values
    })
}

fn leave(table: &str, v: &str) -> String {
    let held = if is_mutant(Mutant::FenceUnchecked) { "(fence > 0 OR fence = v.held)" } else { "fence = v.held" };
    // A newer request set its own time and count while this one was worked on.
    let waits = |column: &str, value: &str| {
        format!("{column} = CASE WHEN v.is_served = 0 AND requested = v.seen THEN v.{value} ELSE {column} END")
    };
    let noted =
        |column: &str, value: &str| format!("{column} = CASE WHEN v.is_served = 0 THEN v.{value} ELSE {column} END");
    format!(
        "UPDATE {table} SET served = CASE WHEN v.is_served = 1 THEN v.seen ELSE served END, \
         verify = CASE WHEN v.is_served = 1 AND requested = v.seen THEN 0 ELSE verify END, {}, {}, {}, {}, {}, {}, \
         lease_owner = NULL, lease_until = 0, updated_at = $1 FROM {v} WHERE id = v.row_id AND {held} AND {} \
         RETURNING id, CAST(CASE WHEN requested > served THEN 1 ELSE 0 END AS BIGINT) AS more",
        waits("due_at", "due"),
        waits("attempt", "tries"),
        waits("rereads", "readings"),
        waits("spent_ms", "spent"),
        noted("waits_for", "why"),
        noted("waits_until", "due"),
        its_own(table == ORDERS, "v.whose", "v.known_by")
    )
}
