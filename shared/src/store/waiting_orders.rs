//! Orders whose requests wait, one by one, and what a person does about them: have them tried now,
//! or not at all.

use jiff::Timestamp;

use crate::args;
use crate::domain::{CrmOrderId, IntegrationId};
use crate::message::RetryWhy;
use crate::store::audit::{Act, NewAudit, Who};
use crate::store::db::{Result, Row, Value};
use crate::store::journal::{Entry, What};
use crate::store::waits::{Stand, Work};
use crate::store::{Store, free};
use crate::story::Event;

/// A request that waits, by the table that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestKey {
    /// It is known whose it is; else it names a number.
    pub by_id: bool,
    pub row: i64,
}

impl RequestKey {
    const fn table(self) -> &'static str {
        if self.by_id { "order_intents" } else { "intents" }
    }
}

/// An order that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingOrder {
    pub key: RequestKey,
    pub integration: IntegrationId,
    pub number: String,
    pub order: Option<CrmOrderId>,
    /// Requests so far: another than was seen is another wish.
    pub requested: i64,
    pub stand: Stand,
    /// As whoever put it off noted.
    pub why: Option<RetryWhy>,
    /// It was tried before.
    pub tried: bool,
    pub since: Timestamp,
    pub due: Timestamp,
}

/// Which of them, the oldest first.
#[derive(Debug, Clone, Copy, Default)]
pub struct WaitingFilter {
    pub integration: Option<IntegrationId>,
    /// Only those behind this one.
    pub after: Option<(Timestamp, RequestKey)>,
    pub limit: u32,
}

/// What came of a wish that a request is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    Done,
    /// It was carried out, or is another by now.
    Gone,
    /// A worker has it.
    InHand,
    /// MeaSoft may have the order without saying so: only a look there settles it.
    Uncertain,
}

const WAITING: &str = "CAST(by_id AS BIGINT) AS by_id, id, integration_id, number, crm_order_id, requested, wanted_at, \
                       due_at, why, tried, stand";

impl Store {
    /// Orders that wait.
    pub async fn waiting_orders(&self, filter: &WaitingFilter) -> Result<Vec<WaitingOrder>> {
        let only = "(CAST($2 AS BIGINT) IS NULL OR integration_id = $2)";
        let sql = format!(
            "SELECT {WAITING} FROM ({} UNION ALL {}) AS waiting WHERE wanted_at > $3 OR (wanted_at = $3 AND (by_id > $4 \
             OR (by_id = $4 AND id > $5))) ORDER BY wanted_at, by_id, id LIMIT $6",
            self.waiting_of(false, only),
            self.waiting_of(true, only)
        );
        let (from, by_id, row) =
            filter.after.map_or((i64::MIN, 0, 0), |(at, key)| (at.as_millisecond(), i64::from(key.by_id), key.row));
        let args = args![self.clock.now_ms(), filter.integration, from, by_id, row, filter.limit];
        self.db.read_all(sql, args, read).await
    }

    /// A request about an order that waits: its own, or one about its number that nobody has read yet.
    pub async fn order_waiting(
        &self,
        integration: IntegrationId,
        order: CrmOrderId,
        number: &str,
    ) -> Result<Option<WaitingOrder>> {
        let sql = format!(
            "SELECT {WAITING} FROM ({} UNION ALL {}) AS waiting ORDER BY by_id DESC LIMIT 1",
            self.waiting_of(false, "integration_id = $2 AND number = $3"),
            self.waiting_of(true, "integration_id = $2 AND crm_order_id = $4")
        );
        self.db.read_one(sql, args![self.clock.now_ms(), integration, number, order], read).await
    }

    /// Requests of one table that wait, those that a condition lets through; `$1` is now.
    fn waiting_of(&self, by_id: bool, condition: &str) -> String {
        let (table, order) =
            if by_id { ("order_intents", "crm_order_id") } else { ("intents", "CAST(NULL AS BIGINT)") };
        format!(
            "SELECT {} AS by_id, id, integration_id, number, {order} AS crm_order_id, requested, wanted_at, due_at, \
             CASE WHEN waits_until = due_at THEN waits_for END AS why, \
             CAST(CASE WHEN attempt > 0 THEN 1 ELSE 0 END AS BIGINT) AS tried, \
             CASE WHEN NOT {} THEN 'in_hand' WHEN {} THEN 'due' ELSE 'later' END AS stand \
             FROM {table} WHERE requested > served AND {condition}",
            u8::from(by_id),
            free(1),
            self.due("due_at", 1)
        )
    }

    /// Requests about an order number that wait, the oldest first.
    pub async fn waiting_by_number(
        &self,
        number: &str,
        integration: Option<IntegrationId>,
    ) -> Result<Vec<WaitingOrder>> {
        // By an index that begins with the integration.
        let only = "number = $2 AND (CAST($3 AS BIGINT) IS NULL OR integration_id = $3) \
                    AND integration_id IN (SELECT id FROM integrations)";
        let (by_number, by_id) = (self.waiting_of(false, only), self.waiting_of(true, only));
        let sql =
            format!("SELECT {WAITING} FROM ({by_number} UNION ALL {by_id}) AS waiting ORDER BY wanted_at, by_id, id");
        self.db.read_all(sql, args![self.clock.now_ms(), number, integration], read).await
    }

    /// Makes due what is put off of an integration, at once: all of one sort, or one order. Answers
    /// how many. What a worker has in hand, and what is due anyway, is left as it is.
    pub async fn hurry(
        &self,
        work: Work,
        integration: IntegrationId,
        only: Option<RequestKey>,
        who: &Who,
    ) -> Result<u64> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let mut hurried = 0;
        for (table, waits) in work.tables() {
            if only.is_some_and(|key| key.table() != *table) {
                continue;
            }
            // Only requests are held one by one.
            let idle = if work == Work::Orders { free(1) } else { "1 = 1".to_owned() };
            let condition = format!(
                "integration_id = $2 AND {waits} AND due_at > $1 AND {idle} AND (CAST($3 AS BIGINT) IS NULL OR id = $3)"
            );
            let rows = self.db.dialect().in_order(table, &condition);
            let args = args![now, integration, only.map(|key| key.row)];
            hurried += tx.exec(format!("UPDATE {table} SET due_at = $1 WHERE {rows}"), args).await?;
        }
        if hurried == 0 {
            return Ok(0);
        }
        let mut entry = NewAudit::new(who, Act::Hurried, Some(integration), format!("waiting {}", work.as_str()));
        entry.after.insert("count".to_owned(), hurried.into());
        tx.append_audit(&self.key, &entry, now).await?;
        tx.commit().await?;
        Ok(hurried)
    }

    /// Has a request that waits not carried out, for a reason. It must be the one that was seen,
    /// in nobody's hand, and nothing of it may be on its way to MeaSoft.
    pub async fn drop_request(&self, key: RequestKey, seen: i64, why: &str, who: &Who) -> Result<Dropped> {
        let (now, table) = (self.clock.now(), key.table());
        let mut tx = self.db.begin().await?;
        let lock = self.db.dialect().for_update();
        let order = if key.by_id { "crm_order_id" } else { "number" };
        let sql = format!(
            "SELECT integration_id, number, {order} AS own, requested, served, verify, \
             CAST(CASE WHEN {} THEN 0 ELSE 1 END AS BIGINT) AS held FROM {table} WHERE id = $2 {lock}",
            free(1)
        );
        let Some(row) = tx.fetch_one(sql, args![now, key.row]).await? else { return Ok(Dropped::Gone) };
        let (requested, number) = (row.int("requested")?, row.text("number")?);
        if requested != seen || requested == row.int("served")? {
            return Ok(Dropped::Gone);
        }
        let integration = IntegrationId(row.int("integration_id")?);
        let own: Value = if key.by_id { row.int("own")?.into() } else { number.as_str().into() };
        let sql = format!(
            "SELECT 1 AS one FROM deliveries WHERE integration_id = $1 AND {order} = $2 \
             AND state IN ('sending', 'unknown') LIMIT 1"
        );
        let on_its_way = tx.fetch_one(sql, vec![integration.into(), own]).await?.is_some();
        if row.flag("held")? {
            return Ok(Dropped::InHand);
        }
        if on_its_way || row.flag("verify")? {
            return Ok(Dropped::Uncertain);
        }
        let sql = format!("UPDATE {table} SET served = requested, updated_at = $2 WHERE id = $1");
        tx.run(sql, args![key.row, now]).await?;
        let event = Event::Dropped { who: who.person(), why: why.to_owned() };
        tx.append_journal(&Entry::new(now, What::Operator, event).about(integration, number.as_str())).await?;
        let mut entry = NewAudit::new(who, Act::Dropped, Some(integration), format!("waiting order {number}"));
        entry.after.insert("why".to_owned(), why.into());
        tx.append_audit(&self.key, &entry, now).await?;
        tx.commit().await?;
        Ok(Dropped::Done)
    }
}

impl Work {
    /// The tables that hold it, each with the condition that a row waits.
    const fn tables(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Orders => &[("intents", "requested > served"), ("order_intents", "requested > served")],
            Self::Statuses => &[("status_rows", "state = 'pending'")],
            Self::Tracking => &[("tracking_outbox", "state = 'waiting'")],
            Self::Payments => &[("payment_moves", "state IN ('wanted', 'moving')")],
            Self::Returns => &[("line_returns", "state = 'wanted'")],
        }
    }
}

fn read(row: &Row) -> Result<WaitingOrder> {
    Ok(WaitingOrder {
        key: RequestKey { by_id: row.flag("by_id")?, row: row.int("id")? },
        integration: IntegrationId(row.int("integration_id")?),
        number: row.text("number")?,
        order: row.opt_int("crm_order_id")?.map(CrmOrderId),
        requested: row.int("requested")?,
        stand: row.word("stand", Stand::parse)?,
        why: row.opt_text("why")?.and_then(|word| RetryWhy::parse(&word)),
        tried: row.flag("tried")?,
        since: row.moment("wanted_at")?,
        due: row.moment("due_at")?,
    })
}
