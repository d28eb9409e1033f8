//! Dead letters: what gave up, why, whose fault it is. One open one per (order, kind,
//! reason); repeats raise its counter.

use jiff::Timestamp;

use crate::domain::{CrmOrderId, DeliveryId, Fault, IntegrationId};
use crate::message::{Envelope, GiveUp};
use crate::mutant::{Mutant, is_mutant};
use crate::phrases::{Detail, Details};
use crate::reason;
use crate::store::Store;
use crate::store::audit::{Act, NewAudit, Who};
use crate::store::db::{Result, Row, StoreError, Tx, Value};
use crate::{args, closed_set};

closed_set! {
    DeadState {
        Open => "open",
        Replayed => "replayed",
        Discarded => "discarded",
        /// A later success made it moot.
        Resolved => "resolved",
    }
}

#[derive(Debug, Clone)]
pub struct NewDeadLetter {
    pub integration: Option<IntegrationId>,
    pub delivery: Option<DeliveryId>,
    pub number: Option<String>,
    /// Command kind, or the queue's word for a message that was no command.
    pub kind: String,
    pub reason: String,
    pub fault: Fault,
    pub detail: Details,
    /// How often it was tried before it gave up.
    pub tries: u32,
    /// The command as JSON, to replay it.
    pub command: Option<String>,
    /// The bytes of a message that could not be decoded.
    pub raw: Option<Vec<u8>>,
}

impl NewDeadLetter {
    /// About a kind of command that gave up; whom it concerns is added.
    pub fn new(kind: &str, give_up: GiveUp) -> Self {
        Self {
            integration: None,
            delivery: None,
            number: None,
            kind: kind.to_owned(),
            reason: give_up.reason.to_owned(),
            fault: give_up.fault,
            detail: give_up.detail,
            tries: 1,
            command: None,
            raw: None,
        }
    }

    /// About a command, which can be replayed.
    pub fn of(envelope: &Envelope, give_up: GiveUp) -> Self {
        Self {
            integration: envelope.integration,
            number: envelope.command.number().map(|number| number.as_str().to_owned()),
            tries: envelope.attempt + 1,
            command: serde_json::to_string(envelope).ok(),
            ..Self::new(envelope.command.kind().as_str(), give_up)
        }
    }

    /// About a message that nobody can read.
    pub fn unreadable(body: &[u8], give_up: GiveUp) -> Self {
        Self { raw: Some(body.to_vec()), ..Self::new("message", give_up) }
    }
}

#[derive(Debug, Clone)]
pub struct DeadLetter {
    pub id: i64,
    pub integration: Option<IntegrationId>,
    pub delivery: Option<DeliveryId>,
    /// `None`: about no order, or about a number that was no order's.
    pub order: Option<CrmOrderId>,
    pub number: Option<String>,
    pub kind: String,
    pub reason: String,
    pub fault: Fault,
    pub detail: Details,
    pub state: DeadState,
    /// How often it happened.
    pub attempts: i64,
    pub tries: i64,
    pub command: Option<String>,
    pub raw: Option<Vec<u8>>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub closed_why: Option<String>,
}

impl DeadLetter {
    /// That somebody closed it, for the audit.
    pub fn audit<'a>(&self, who: &'a Who, act: Act, state: DeadState) -> NewAudit<'a> {
        let order = self.number.as_deref().map_or_else(String::new, |number| format!(", order {number}"));
        let object = format!("dead letter {} ({}{order})", self.id, self.reason);
        NewAudit::new(who, act, self.integration, object).with("state", self.state.as_str(), state.as_str())
    }
}

/// Which dead letters to list.
#[derive(Debug, Clone, Default)]
pub struct DeadFilter {
    /// Open ones unless all are asked for.
    pub all: bool,
    pub integration: Option<IntegrationId>,
    /// Only those of no integration.
    pub of_none: bool,
    pub fault: Option<Fault>,
    pub reason: Option<String>,
    pub since: Option<Timestamp>,
}

impl DeadFilter {
    /// Open ones of a reason at an integration; `None`: of none.
    pub fn of_cause(reason: &str, integration: Option<IntegrationId>) -> Self {
        Self { integration, of_none: integration.is_none(), reason: Some(reason.to_owned()), ..Self::default() }
    }

    /// The letters `d` that are meant, with the values of the condition.
    pub(super) fn condition(&self) -> (String, Vec<Value>) {
        let mut sql = "d.created_at >= $1".to_owned();
        let mut args: Vec<Value> = args![self.since.map_or(0, Timestamp::as_millisecond)];
        if !self.all {
            sql.push_str(" AND d.state = 'open'");
        }
        if self.of_none {
            sql.push_str(" AND d.integration_id IS NULL");
        }
        let mut also = |column: &str, value: Value| {
            args.push(value);
            sql.push_str(&format!(" AND d.{column} = ${}", args.len()));
        };
        if let Some(id) = self.integration {
            also("integration_id", Value::from(id));
        }
        if let Some(fault) = self.fault {
            also("fault", Value::from(fault.as_str()));
        }
        if let Some(reason) = &self.reason {
            also("reason", Value::from(reason));
        }
        (sql, args)
    }
}

pub(super) const COLUMNS: &str = "id, integration_id, delivery_id, number, kind, reason, fault, detail, state, attempts, tries, command, \
                       raw, created_at, updated_at, closed_why, crm_order_id, details";

impl Store {
    pub async fn dead_letters(&self, filter: &DeadFilter) -> Result<Vec<DeadLetter>> {
        let (condition, args) = filter.condition();
        let sql = format!("SELECT {COLUMNS} FROM dead_letters d WHERE {condition} ORDER BY id");
        self.db.read_all(sql, args, read).await
    }

    /// The dead letter of an order that was opened or repeated last, at or after a moment,
    /// and is open still.
    pub async fn newest_dead_letter(
        &self,
        integration: IntegrationId,
        order: CrmOrderId,
        since: Timestamp,
    ) -> Result<Option<DeadLetter>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM dead_letters WHERE integration_id = $1 AND crm_order_id = $2 AND state = 'open' \
             AND updated_at >= $3 ORDER BY updated_at DESC, id DESC LIMIT 1"
        );
        self.db.read_one(sql, args![integration, order, since], read).await
    }

    pub async fn dead_letter(&self, id: i64) -> Result<Option<DeadLetter>> {
        let sql = format!("SELECT {COLUMNS} FROM dead_letters WHERE id = $1");
        self.db.read_one(sql, args![id], read).await
    }

    /// Every reason that a letter bears, open or closed.
    pub async fn reasons_of_dead_letters(&self) -> Result<Vec<String>> {
        self.db.read_all("SELECT DISTINCT reason FROM dead_letters", vec![], |row| row.text("reason")).await
    }

    /// Open dead letters by integration and fault, for the metrics.
    pub async fn open_dead_letters_by_integration(&self) -> Result<Vec<(Option<IntegrationId>, Fault, i64, i64)>> {
        let sql = "SELECT integration_id, fault, COUNT(*) AS n, COUNT(DISTINCT reason) AS reasons FROM dead_letters \
                   WHERE state = 'open' GROUP BY integration_id, fault";
        self.db
            .read_all(sql, vec![], |row| {
                let fault = row.word("fault", Fault::parse)?;
                let integration = row.opt_int("integration_id")?.map(IntegrationId);
                Ok((integration, fault, row.int("n")?, row.int("reasons")?))
            })
            .await
    }

    /// Stores a dead letter on its own.
    pub async fn add_dead_letter(&self, dead: &NewDeadLetter) -> Result<i64> {
        let mut tx = self.db.begin().await?;
        let id = tx.add_dead_letter(dead, self.clock.now()).await?;
        tx.commit().await?;
        Ok(id)
    }
}

impl Tx {
    /// Letters `d` that a join and a condition name.
    pub(super) async fn dead_letters_of(&mut self, whose: &str, args: Vec<Value>) -> Result<Vec<DeadLetter>> {
        let columns = COLUMNS.split(", ").map(|column| format!("d.{column}")).collect::<Vec<_>>().join(", ");
        self.read_all(format!("SELECT {columns} FROM dead_letters d {whose}"), args, read).await
    }

    /// Opens a dead letter, or counts one more occurrence of an open one. Answers its id.
    pub async fn add_dead_letter(&mut self, dead: &NewDeadLetter, now: Timestamp) -> Result<i64> {
        self.add_dead_letter_of(None, dead, now).await
    }

    /// The same for an order that is known, whether it has a delivery or not: two orders may
    /// bear one number.
    pub async fn add_dead_letter_of(
        &mut self,
        order: Option<CrmOrderId>,
        dead: &NewDeadLetter,
        now: Timestamp,
    ) -> Result<i64> {
        let order = match (order, dead.delivery) {
            (None, Some(delivery)) => {
                let row = self.fetch_one("SELECT crm_order_id FROM deliveries WHERE id = $1", args![delivery]).await?;
                row.map(|row| row.int("crm_order_id")).transpose()?.map(CrmOrderId)
            }
            (known, _) => known,
        };
        let detail = self.with_those_named_before(dead).await?;
        if dead.number.is_some() || dead.integration.is_some() {
            let sql = "UPDATE dead_letters SET attempts = attempts + 1, detail = $5, tries = $6, command = $7, updated_at = $8, details = $11, \
                       delivery_id = COALESCE($9, delivery_id), crm_order_id = $10 WHERE state = 'open' \
                       AND integration_id = $1 AND COALESCE(number, '') = COALESCE($2, '') AND kind = $3 AND reason = $4 \
                       AND (COALESCE(crm_order_id, 0) = COALESCE($10, 0) OR (crm_order_id IS NULL AND delivery_id = $9)) \
                       RETURNING id";
            let args = args![
                dead.integration,
                dead.number.as_deref(),
                &dead.kind,
                &dead.reason,
                detail.to_string(),
                dead.tries,
                dead.command.as_deref(),
                now,
                dead.delivery,
                order.map(|order| order.0),
                detail.values()
            ];
            let known = self.fetch_one(sql, args).await?;
            if let Some(row) = known {
                return row.int("id");
            }
        }
        self.forget_word_of_what_is_over(dead.integration, &dead.reason).await?;
        let sql = "INSERT INTO dead_letters (integration_id, delivery_id, number, kind, reason, fault, detail, state, tries, \
                   command, raw, created_at, updated_at, crm_order_id, details) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, 'open', $8, $9, $10, $11, $11, $12, $13) RETURNING id";
        let args = args![
            dead.integration,
            dead.delivery,
            dead.number.as_deref(),
            &dead.kind,
            &dead.reason,
            dead.fault.as_str(),
            dead.detail.to_string(),
            dead.tries,
            dead.command.as_deref(),
            dead.raw.clone(),
            now,
            order.map(|order| order.0),
            dead.detail.values()
        ];
        let row = self.fetch_one(sql, args).await?;
        row.ok_or(StoreError::BadRow("id"))?.int("id")
    }

    /// What a letter says. One about several orders goes on naming those it named before: their
    /// triggers are not answered by another's.
    async fn with_those_named_before(&mut self, dead: &NewDeadLetter) -> Result<Details> {
        if ![reason::AMBIGUOUS_NUMBER, reason::ESCAPED_NUMBER].contains(&dead.reason.as_str()) {
            return Ok(dead.detail.clone());
        }
        let sql = "SELECT detail FROM dead_letters WHERE state = 'open' AND integration_id = $1 AND number = $2 AND kind = $3 \
                   AND reason = $4 AND crm_order_id IS NULL LIMIT 1";
        let known =
            self.fetch_one(sql, args![dead.integration, dead.number.as_deref(), &dead.kind, &dead.reason]).await?;
        let mut named =
            known.map(|row| row.text("detail")).transpose()?.map_or_else(Vec::new, |text| named_orders(&text));
        named.extend(named_orders(&dead.detail.to_string()));
        Ok(name_orders(&named))
    }

    /// Opens a dead letter about a thing that is told once: not while one is open, nor after a
    /// person has discarded it.
    pub async fn add_dead_letter_once(&mut self, dead: &NewDeadLetter, now: Timestamp) -> Result<()> {
        let sql = "SELECT id FROM dead_letters WHERE integration_id = $1 AND number = $2 AND kind = $3 AND reason = $4 \
                   AND state IN ('open', 'discarded') LIMIT 1";
        let known =
            self.fetch_one(sql, args![dead.integration, dead.number.as_deref(), &dead.kind, &dead.reason]).await?;
        if known.is_none() {
            self.add_dead_letter(dead, now).await?;
        }
        Ok(())
    }

    /// Closes one dead letter. Answers false when it was not open.
    pub async fn close_dead_letter(&mut self, id: i64, state: DeadState, why: &str, now: Timestamp) -> Result<bool> {
        let sql =
            "UPDATE dead_letters SET state = $2, closed_why = $3, updated_at = $4 WHERE id = $1 AND state = 'open'";
        self.changed(sql, args![id, state.as_str(), why, now]).await
    }

    /// A success with orders closes what was open for each of them. Statuses and payments have
    /// their own successes, and a cancel that never came in concerns several integrations: a
    /// success at one of them is no answer to it. What was about a number that no order could be
    /// told by is closed as well; that several bear it is not ([`Tx::resolve_ambiguous`]).
    pub async fn resolve_dead_letters(
        &mut self,
        integration: IntegrationId,
        orders: &[(CrmOrderId, &str)],
        now: Timestamp,
    ) -> Result<u64> {
        if orders.is_empty() {
            return Ok(0);
        }
        let dialect = self.dialect();
        let sql = format!(
            "UPDATE dead_letters SET state = 'resolved', closed_why = 'a later try succeeded', updated_at = $2 \
             WHERE state = 'open' AND integration_id = $1 AND ({} OR (crm_order_id IS NULL AND {} \
             AND reason NOT IN ($5, $6))) \
             AND kind NOT IN ('SyncStatuses', 'PushStatuses', 'SyncPayments', 'SyncReturns', 'Reconcile') \
             AND NOT (kind = 'CancelOrder' AND reason IN ('unroutable', 'poison'))",
            dialect.among("crm_order_id", 3),
            dialect.among("number", 4)
        );
        let ids: Vec<i64> = orders.iter().map(|(order, _)| order.0).collect();
        let numbers = Value::texts(orders.iter().map(|(_, number)| *number));
        let mut args = args![integration, now, ids];
        args.extend([numbers, reason::AMBIGUOUS_NUMBER.into(), reason::ESCAPED_NUMBER.into()]);
        self.exec(sql, args).await
    }

    /// Closes letters about a number on several orders, once every order they name is settled:
    /// a trigger meant each of them, as far as anybody can tell. Looked at when some of them are,
    /// or have left the integration: those are not named any more.
    pub async fn resolve_ambiguous(
        &mut self,
        integration: IntegrationId,
        orders: &[(CrmOrderId, bool)],
        now: Timestamp,
    ) -> Result<u64> {
        if orders.is_empty() {
            return Ok(0);
        }
        // Two orders that are settled at one time wait for each other here, and the second sees
        // both.
        let lock = self.dialect().for_update();
        let sql = format!(
            "SELECT id, detail FROM dead_letters WHERE state = 'open' AND integration_id = $1 \
             AND reason IN ($2, $3) ORDER BY id {lock}"
        );
        let letters = self.fetch(sql, args![integration, reason::AMBIGUOUS_NUMBER, reason::ESCAPED_NUMBER]).await?;
        let mut closed = 0;
        for letter in &letters {
            let (id, mut named) = (letter.int("id")?, named_orders(&letter.text("detail")?));
            let before = named.len();
            if !orders.iter().any(|(order, _)| named.contains(order)) {
                continue;
            }
            named.retain(|other| !orders.contains(&(*other, true)));
            let answered = is_mutant(Mutant::LetterClosedByAnother) || self.are_settled(integration, &named).await?;
            if answered {
                let why = "every order it names is settled";
                closed += u64::from(self.close_dead_letter(id, DeadState::Resolved, why, now).await?);
            } else if named.len() < before {
                let detail = name_orders(&named);
                let sql = "UPDATE dead_letters SET detail = $2, details = $3 WHERE id = $1";
                self.exec(sql, args![id, detail.to_string(), detail.values()]).await?;
            }
        }
        Ok(closed)
    }

    /// Whether nothing is owed to any of the orders: it is at MeaSoft or was. A cancel that was
    /// served says nothing: it may have meant another order of the number.
    async fn are_settled(&mut self, integration: IntegrationId, orders: &[CrmOrderId]) -> Result<bool> {
        if orders.is_empty() {
            return Ok(true);
        }
        let ids = orders.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let sql = format!(
            "SELECT crm_order_id FROM deliveries WHERE integration_id = $1 AND crm_order_id IN ({ids}) \
             AND state NOT IN ('planned', 'sending', 'unknown', 'rejected') \
             AND (state <> 'cancelled' OR cancelled_by_us = 0) UNION \
             SELECT crm_order_id FROM past_deliveries WHERE integration_id = $1 AND crm_order_id IN ({ids}) \
             AND state <> 'cancelled'"
        );
        let rows = self.fetch(sql, args![integration]).await?;
        Ok(rows.len() == orders.len())
    }

    /// A success of one kind of work with orders closes what that kind left open for each of them,
    /// by whatever number it went then.
    pub async fn resolve_dead_letters_of_orders(
        &mut self,
        integration: IntegrationId,
        orders: &[(CrmOrderId, DeliveryId)],
        kind: &str,
        now: Timestamp,
    ) -> Result<u64> {
        if orders.is_empty() {
            return Ok(0);
        }
        let dialect = self.dialect();
        let sql = format!(
            "UPDATE dead_letters SET state = 'resolved', closed_why = 'a later try succeeded', updated_at = $3 \
             WHERE state = 'open' AND integration_id = $1 AND kind = $2 \
             AND ({} OR (crm_order_id IS NULL AND {}))",
            dialect.among("crm_order_id", 4),
            dialect.among("delivery_id", 5)
        );
        let ids: Vec<i64> = orders.iter().map(|(order, _)| order.0).collect();
        let deliveries: Vec<DeliveryId> = orders.iter().map(|(_, delivery)| *delivery).collect();
        self.exec(sql, args![integration, kind, now, ids, &*deliveries]).await
    }

    /// A success of one kind of work that is about no order closes what that kind left open for
    /// the same thing.
    pub async fn resolve_dead_letters_of(
        &mut self,
        integration: IntegrationId,
        thing: Option<&str>,
        kind: &str,
        now: Timestamp,
    ) -> Result<u64> {
        let sql = "UPDATE dead_letters SET state = 'resolved', closed_why = 'a later try succeeded', updated_at = $4 \
                   WHERE state = 'open' AND integration_id = $1 AND COALESCE(number, '') = COALESCE($2, '') AND kind = $3 \
                   AND crm_order_id IS NULL AND delivery_id IS NULL";
        self.exec(sql, args![integration, thing, kind, now]).await
    }
}

/// How a letter about several orders names them.
pub fn name_orders(orders: &[CrmOrderId]) -> Details {
    let mut ids = orders.to_vec();
    ids.sort_unstable();
    ids.dedup();
    Detail::CrmIds { ids }.into()
}

/// [`name_orders`] read back; none when the text is something else.
pub fn named_orders(detail: &str) -> Vec<CrmOrderId> {
    let ids = detail.strip_prefix(NAMED).unwrap_or_default();
    ids.split(", ").filter_map(|id| id.parse().ok()).map(CrmOrderId).collect()
}

const NAMED: &str = "RetailCRM ids ";

pub(super) fn read(row: &Row) -> Result<DeadLetter> {
    Ok(DeadLetter {
        id: row.int("id")?,
        integration: row.opt_int("integration_id")?.map(IntegrationId),
        delivery: row.opt_int("delivery_id")?.map(DeliveryId),
        number: row.opt_text("number")?,
        kind: row.text("kind")?,
        reason: row.text("reason")?,
        fault: row.word("fault", Fault::parse)?,
        detail: Details::kept(&row.text("detail")?, row.opt_text("details")?.as_deref()),
        state: row.word("state", DeadState::parse)?,
        attempts: row.int("attempts")?,
        tries: row.int("tries")?,
        command: row.opt_text("command")?,
        raw: row.opt_bytes("raw")?,
        created_at: row.moment("created_at")?,
        updated_at: row.moment("updated_at")?,
        closed_why: row.opt_text("closed_why")?,
        order: row.opt_int("crm_order_id")?.map(CrmOrderId),
    })
}
