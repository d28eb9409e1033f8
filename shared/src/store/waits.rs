//! What waits, counted for whoever asks why: whose it is, since when, and what is known of the
//! cause. Nothing is written.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::domain::IntegrationId;
use crate::message::{Kind, RetryWhy, decode};
use crate::store::db::{Result, Row};
use crate::store::{Store, free};
use crate::{args, closed_set};

closed_set! {
    /// What may wait in the ledger.
    Work {
        /// Requests of triggers and callbacks.
        Orders => "orders",
        /// Statuses of MeaSoft that the ledger has not taken over.
        Statuses => "statuses",
        /// Statuses that RetailCRM was not told yet.
        Tracking => "tracking",
        /// Payments that RetailCRM was not told yet.
        Payments => "payments",
        /// Results of lines that RetailCRM was not told yet.
        Returns => "returns",
    }
}

closed_set! {
    /// Where a thing that waits stands.
    Stand {
        /// Somebody works on it.
        InHand => "in_hand",
        /// Its moment has come.
        Due => "due",
        /// Its moment comes.
        Later => "later",
    }
}

/// Things of one integration that wait alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits {
    pub work: Work,
    pub integration: IntegrationId,
    pub stand: Stand,
    /// As whoever put them off noted; `None` where nothing was.
    pub why: Option<RetryWhy>,
    /// They were tried before.
    pub tried: bool,
    pub number: i64,
    /// The oldest of them.
    pub since: Timestamp,
    /// The first of them is due then.
    pub due: Timestamp,
}

/// Messages of the job table that wait alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingMessages {
    /// `None`: cannot be read.
    pub kind: Option<Kind>,
    pub integration: Option<IntegrationId>,
    pub stand: Stand,
    pub number: i64,
    pub since: Timestamp,
    pub due: Timestamp,
}

/// Messages that are read at most: of more, the earliest.
pub const MESSAGES_READ: i64 = 10_000;

/// A table of things that wait: what, where, since when, and the rest as in [`Waits`].
fn source(work: Work, table: &str, waits: &str, since: &str, more: &str) -> String {
    format!(
        "SELECT '{}' AS work, integration_id, {since} AS since, due_at, attempt, {more} FROM {table} \
         WHERE integration_id IS NOT NULL AND {waits}",
        work.as_str()
    )
}

impl Store {
    /// Everything that waits in the ledger.
    pub async fn what_waits(&self) -> Result<Vec<Waits>> {
        const NOTED: &str = "lease_until, CASE WHEN waits_until = due_at THEN waits_for END AS why";
        const PLAIN: &str = "0 AS lease_until, CAST(NULL AS TEXT) AS why";
        let sources = [
            source(Work::Orders, "intents", "requested > served", "wanted_at", NOTED),
            source(Work::Orders, "order_intents", "requested > served", "wanted_at", NOTED),
            source(Work::Statuses, "status_rows", "state = 'pending'", "created_at", PLAIN),
            source(Work::Tracking, "tracking_outbox", "state = 'waiting'", "seen_at", PLAIN),
            source(Work::Payments, "payment_moves", "state IN ('wanted', 'moving')", "created_at", PLAIN),
            source(Work::Returns, "line_returns", "state = 'wanted'", "created_at", PLAIN),
        ];
        let sql = format!(
            "SELECT work, integration_id, why, stand, tried, COUNT(*) AS n, MIN(since) AS since, MIN(due_at) AS due FROM (\
             SELECT work, integration_id, why, since, due_at, CAST(CASE WHEN attempt > 0 THEN 1 ELSE 0 END AS BIGINT) AS tried, \
             CASE WHEN NOT {} THEN 'in_hand' WHEN {} THEN 'due' ELSE 'later' END AS stand FROM ({}) AS each_one) AS alike \
             GROUP BY work, integration_id, why, stand, tried ORDER BY integration_id, work, since",
            free(1),
            self.due("due_at", 1),
            sources.join(" UNION ALL ")
        );
        self.db.read_all(sql, args![self.clock.now_ms()], read).await
    }

    /// Messages of the job table that wait, the earliest [`MESSAGES_READ`] of them, and whether
    /// there are more.
    pub async fn waiting_messages(&self) -> Result<(Vec<WaitingMessages>, bool)> {
        let now = self.clock.now_ms();
        let sql = format!(
            "SELECT body, run_at, created_at, CASE WHEN NOT {} THEN 'in_hand' WHEN {} THEN 'due' ELSE 'later' END \
             AS stand FROM jobs ORDER BY run_at LIMIT {}",
            free(1),
            self.due("run_at", 1),
            MESSAGES_READ + 1
        );
        let rows = self.db.fetch(sql, args![now]).await?;
        let mut alike = BTreeMap::new();
        for row in rows.iter().take(MESSAGES_READ as usize) {
            let envelope = decode(&row.bytes("body")?).ok();
            let (since, due) = (row.moment("created_at")?, row.moment("run_at")?);
            let one = WaitingMessages {
                kind: envelope.as_ref().map(|envelope| envelope.command.kind()),
                integration: envelope.and_then(|envelope| envelope.integration),
                stand: row.word("stand", Stand::parse)?,
                number: 1,
                since,
                due,
            };
            let key = (one.integration, one.kind.map(Kind::as_str), one.stand);
            alike.entry(key).and_modify(|all: &mut WaitingMessages| all.add(&one)).or_insert(one);
        }
        Ok((alike.into_values().collect(), rows.len() > MESSAGES_READ as usize))
    }
}

impl WaitingMessages {
    fn add(&mut self, other: &Self) {
        self.number += other.number;
        self.since = self.since.min(other.since);
        self.due = self.due.min(other.due);
    }
}

fn read(row: &Row) -> Result<Waits> {
    Ok(Waits {
        work: row.word("work", Work::parse)?,
        integration: IntegrationId(row.int("integration_id")?),
        stand: row.word("stand", Stand::parse)?,
        // A word of a release that knows more says nothing to this one.
        why: row.opt_text("why")?.and_then(|word| RetryWhy::parse(&word)),
        tried: row.flag("tried")?,
        number: row.int("n")?,
        since: row.moment("since")?,
        due: row.moment("due")?,
    })
}
