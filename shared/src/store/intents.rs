//! Intents: what is wanted for an order, and when it is due. Queue messages only point here.
//!
//! A trigger names a number, so its request waits under (integration, number) until the orders
//! that bear the number were read. From then on it is kept under (integration, RetailCRM id):
//! numbers repeat between shops and are given anew. What knows the id from the start, a
//! callback for one, is recorded there at once.

use std::time::Duration;

use jiff::Timestamp;

use crate::args;
use crate::crypto::random_number;
use crate::domain::{CrmOrderId, Delivery, DeliveryId, IntegrationId, Kopecks, OrderNumber};
use crate::message::Candidate;
use crate::planted::{Bug, is_planted};
use crate::store::again::at_once;
use crate::store::db::{Dialect, Result, Row, StoreError, Tx, Value};
use crate::store::row_lease::{Claim, drawn};
use crate::store::{Store, free, moment};

/// Which trigger a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    Send,
    Update,
    Cancel,
}

/// One accepted trigger, to be recorded.
#[derive(Debug, Clone)]
pub struct OrderRequest {
    pub integration: IntegrationId,
    pub number: OrderNumber,
    /// The order itself, by who knows it; else every order that bears the number is meant.
    pub order: Option<CrmOrderId>,
    pub want: RequestKind,
    pub declared: Option<Kopecks>,
    /// Cancel only: all integrations the order may have been handed to.
    pub candidates: Vec<Candidate>,
    /// When the first read of the order may happen.
    pub due_at: Timestamp,
    pub received_at: Timestamp,
    pub generation: u32,
    pub traceparent: Option<String>,
    /// Id of the command: the same command delivered twice is one request.
    pub command_id: String,
}

/// An intent held under a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    pub id: i64,
    pub integration: IntegrationId,
    pub number: OrderNumber,
    /// `None`: requests by number that were not handed over to their orders yet.
    pub order: Option<CrmOrderId>,
    /// By number only: the delivery that it spoke of last.
    pub delivery: Option<DeliveryId>,
    pub requested: i64,
    pub served: i64,
    /// `requested` of the newest request of each sort; 0 = never.
    pub send_seq: i64,
    pub update_seq: i64,
    pub cancel_seq: i64,
    pub candidates: Vec<Candidate>,
    pub declared: Option<Kopecks>,
    /// A holder lost its fence after it began a write: look at MeaSoft first.
    pub verify: bool,
    pub due_at: Timestamp,
    /// Tries of the present request so far.
    pub attempt: u32,
    /// Readings that concluded nothing yet («not found», «no difference», «same type»).
    pub rereads: u32,
    /// Time spent trying so far: attempts that counted and the pauses after them. What waits
    /// for others, a pause of its integration for one, does not age.
    pub spent: Duration,
    /// When the oldest unserved request arrived.
    pub wanted_at: Timestamp,
    /// By number only: when the newest send arrived.
    pub send_at: Option<Timestamp>,
    pub generation: u32,
    pub traceparent: Option<String>,
    pub fence: i64,
}

impl Intent {
    const fn table(&self) -> &'static str {
        if self.order.is_some() { ORDERS } else { NUMBERS }
    }

    /// What its row is known by, beside the id that the database gave it: no write of an
    /// order's holder ever lands in another order's row.
    fn key(&self) -> Value {
        match self.order {
            Some(order) => order.into(),
            None => self.number.as_str().into(),
        }
    }

    /// The condition that a row is of this integration and key, arguments from `place` on.
    fn its_own(&self, place: usize) -> String {
        let column = if self.order.is_some() { "crm_order_id" } else { "number" };
        if is_planted(Bug::FencesCounted) {
            return format!("(integration_id = ${place} OR {column} <> ${})", place + 1);
        }
        format!("integration_id = ${place} AND {column} = ${}", place + 1)
    }

    /// The unserved requests, oldest first.
    pub fn unserved(&self) -> Vec<RequestKind> {
        let mut wants = [
            (self.send_seq, RequestKind::Send),
            (self.update_seq, RequestKind::Update),
            (self.cancel_seq, RequestKind::Cancel),
        ];
        wants.sort_by_key(|(seq, _)| *seq);
        wants.into_iter().filter(|(seq, _)| *seq > self.served).map(|(_, want)| want).collect()
    }
}

/// Requests by number on their way to one of the orders that bear it.
#[derive(Debug, Clone)]
pub struct HandOver<'a> {
    pub from: &'a Intent,
    pub order: CrmOrderId,
    /// The number it bears now.
    pub number: &'a str,
    /// Oldest first.
    pub wants: &'a [RequestKind],
    /// The declared value that the triggers named is this order's.
    pub with_declared: bool,
}

/// How far an intent has come, for somebody who waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub requested: i64,
    pub served: i64,
    pub due_at: Timestamp,
    /// Somebody works on it.
    pub held: bool,
    pub attempt: u32,
    pub rereads: u32,
}

/// How a holder leaves an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// Everything up to the `requested` the holder saw is served.
    Served,
    /// Not yet; look again then.
    Wait { due_at: Timestamp, attempt: u32, rereads: u32, spent: Duration },
}

/// Requests by number.
const NUMBERS: &str = "intents";
/// Requests by RetailCRM's order id.
const ORDERS: &str = "order_intents";

const COMMON: &str = "id, integration_id, number, requested, served, send_seq, update_seq, cancel_seq, candidates, declared, \
                      verify, due_at, attempt, rereads, spent_ms, wanted_at, generation, traceparent, fence";
const OF_NUMBERS: &str = "delivery_id, send_at, CAST(NULL AS BIGINT) AS crm_order_id";
const OF_ORDERS: &str = "CAST(NULL AS BIGINT) AS delivery_id, CAST(NULL AS BIGINT) AS send_at, crm_order_id";

fn columns(table: &str) -> String {
    format!("{COMMON}, {}", if table == ORDERS { OF_ORDERS } else { OF_NUMBERS })
}

/// Everything that waits, of either sort, with what asking for due work needs.
const WAITING: &str = "(SELECT integration_id, due_at, lease_until FROM intents WHERE requested > served UNION ALL \
                       SELECT integration_id, due_at, lease_until FROM order_intents WHERE requested > served) waiting";

impl Store {
    /// Records requests; each raises its intent's `requested` once, whatever is delivered
    /// how often. All of them are durable when this returns.
    /// On an error none is recorded.
    pub async fn record_requests(&self, requests: &[OrderRequest]) -> Result<()> {
        at_once(|| self.record_once(requests)).await
    }

    async fn record_once(&self, requests: &[OrderRequest]) -> Result<()> {
        let now = self.clock.now_ms();
        let mut tx = self.db.begin().await?;
        let (by_id, by_number): (Vec<&OrderRequest>, Vec<&OrderRequest>) =
            requests.iter().partition(|request| request.order.is_some());
        for (table, requests) in [(NUMBERS, by_number), (ORDERS, by_id)] {
            for round in rounds(requests) {
                let mut rest = &round[..];
                while !rest.is_empty() {
                    let rows = STATEMENTS.into_iter().find(|rows| *rows <= rest.len()).unwrap_or(1);
                    let (these, others) = rest.split_at(rows);
                    record(&mut tx, table, these, now).await?;
                    rest = others;
                }
            }
        }
        tx.commit().await
    }

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
        let lock = match self.db.dialect() {
            Dialect::Postgres => "FOR UPDATE SKIP LOCKED",
            Dialect::Sqlite => "",
        };
        let rows = self
            .db
            .exec_returning(
                format!(
                    "UPDATE {table} SET lease_owner = $1, lease_until = $2, {} WHERE id IN (\
                     SELECT id FROM {table} WHERE integration_id = $3 AND requested > served \
                     AND due_at <= $4 AND {} ORDER BY due_at LIMIT $5 {lock}) RETURNING {}",
                    drawn(table, 6),
                    free(4),
                    columns(table)
                ),
                args![owner, lease_until.as_millisecond(), integration, now, limit, random_number()],
            )
            .await?;
        rows.iter().map(read).collect()
    }

    /// What is known to be wanted for an order, without holding it.
    pub async fn intent(&self, integration: IntegrationId, order: CrmOrderId) -> Result<Option<Intent>> {
        let row = self
            .db
            .fetch_one(
                format!(
                    "SELECT {} FROM order_intents WHERE integration_id = $1 AND crm_order_id = $2",
                    columns(ORDERS)
                ),
                args![integration, order],
            )
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// Requests by a number that wait for the orders that bear it to be read.
    pub async fn waiting_by_number(&self, integration: IntegrationId, number: &str) -> Result<Option<Intent>> {
        let row = self
            .db
            .fetch_one(
                format!(
                    "SELECT {} FROM intents WHERE integration_id = $1 AND number = $2 AND requested > served",
                    columns(NUMBERS)
                ),
                args![integration, number],
            )
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// Integrations with unserved, unheld intents and when their next one is due. What is put off
    /// for longer than anything may be was written while a clock was ahead, and is due now.
    pub async fn integrations_with_work(&self) -> Result<Vec<(IntegrationId, Timestamp)>> {
        let now = self.clock.now_ms();
        let rows = self
            .db
            .fetch(
                format!(
                    "SELECT integration_id, MAX(due_at) AS last, MIN(CASE WHEN {} THEN due_at \
                     WHEN lease_until > due_at THEN lease_until ELSE due_at END) AS due \
                     FROM {WAITING} GROUP BY integration_id",
                    free(1)
                ),
                args![now],
            )
            .await?;
        let mut work = Vec::with_capacity(rows.len());
        let mut asleep = false;
        for row in &rows {
            asleep |= row.int("last")? > self.latest(now);
            work.push((IntegrationId(row.int("integration_id")?), moment(row.int("due")?)));
        }
        if asleep {
            for table in [NUMBERS, ORDERS] {
                let wake = format!("UPDATE {table} SET due_at = $1 WHERE requested > served AND due_at > $2");
                self.db.exec(wake, args![now, self.latest(now)]).await?;
            }
            for (_, due) in work.iter_mut().filter(|(_, due)| *due > moment(self.latest(now))) {
                *due = moment(now);
            }
        }
        Ok(work)
    }

    /// How far the intent of an order has come; takes no lease.
    pub async fn intent_progress(&self, integration: IntegrationId, order: CrmOrderId) -> Result<Option<Progress>> {
        let row = self
            .db
            .fetch_one(
                "SELECT requested, served, due_at, lease_until, attempt, rereads FROM order_intents \
                 WHERE integration_id = $1 AND crm_order_id = $2",
                args![integration, order],
            )
            .await?;
        let small = |row: &Row, column: &'static str| -> Result<u32> {
            u32::try_from(row.int(column)?).map_err(|_| StoreError::BadRow(column))
        };
        row.map(|row| {
            Ok(Progress {
                requested: row.int("requested")?,
                served: row.int("served")?,
                due_at: moment(row.int("due_at")?),
                held: row.int("lease_until")? > self.clock.now_ms(),
                attempt: small(&row, "attempt")?,
                rereads: small(&row, "rereads")?,
            })
        })
        .transpose()
    }

    /// Forgets requests that were served before a moment: those by number, and those of orders that
    /// no delivery came of. Answers how many, at most `limit` of either.
    pub async fn forget_intents(&self, before: Timestamp, limit: u32) -> Result<u64> {
        let mut forgotten = 0;
        for (table, kept) in [
            (NUMBERS, ""),
            (
                ORDERS,
                "AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.integration_id = order_intents.integration_id \
                 AND d.crm_order_id = order_intents.crm_order_id)",
            ),
        ] {
            forgotten += self
                .db
                .exec(
                    format!(
                        "DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE requested = served \
                         AND updated_at < $1 {kept} ORDER BY updated_at LIMIT $2)"
                    ),
                    args![before.as_millisecond(), limit],
                )
                .await?;
        }
        Ok(forgotten)
    }

    /// Keeps the leases of a batch alive. Answers how many.
    pub async fn renew_intents(&self, owner: &str, held: &[Held], lease_until: Timestamp) -> Result<u64> {
        let mut renewed = 0;
        for (table, by_id) in [(NUMBERS, false), (ORDERS, true)] {
            let mut ids: Vec<i64> = held.iter().filter(|held| held.by_id == by_id).map(|held| held.row).collect();
            ids.sort_unstable();
            let list = ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
            if !list.is_empty() {
                renewed += self
                    .db
                    .exec(
                        format!(
                            "UPDATE {table} SET lease_until = $1 WHERE {}",
                            self.db.dialect().in_order(table, &format!("lease_owner = $2 AND id IN ({list})"))
                        ),
                        args![lease_until.as_millisecond(), owner],
                    )
                    .await?;
            }
        }
        Ok(renewed)
    }

    /// Hands a held intent back untouched (shutdown).
    pub async fn release_intent(&self, intent: &Intent) -> Result<()> {
        self.db
            .exec(
                format!(
                    "UPDATE {} SET lease_owner = NULL, lease_until = 0 WHERE id = $1 AND fence = $2 AND {}",
                    intent.table(),
                    intent.its_own(3)
                ),
                args![intent.id, intent.fence, intent.integration, intent.key()],
            )
            .await
            .map(|_| ())
    }

    /// Unserved intents: how many, and since when the oldest due one has been due.
    pub async fn backlog(&self) -> Result<(i64, Option<Timestamp>)> {
        let row = self
            .db
            .fetch_one(
                format!("SELECT COUNT(*) AS n, MIN(CASE WHEN due_at <= $1 THEN due_at END) AS oldest FROM {WAITING}"),
                args![self.clock.now_ms()],
            )
            .await?
            .ok_or(StoreError::BadRow("n"))?;
        Ok((row.int("n")?, row.opt_int("oldest")?.map(moment)))
    }

    /// [`Store::backlog`] of one integration.
    pub async fn backlog_of(&self, integration: IntegrationId) -> Result<(i64, Option<Timestamp>)> {
        let row = self
            .db
            .fetch_one(
                format!(
                    "SELECT COUNT(*) AS n, MIN(CASE WHEN due_at <= $1 THEN due_at END) AS oldest FROM {WAITING} \
                     WHERE integration_id = $2"
                ),
                args![self.clock.now_ms(), integration],
            )
            .await?
            .ok_or(StoreError::BadRow("n"))?;
        Ok((row.int("n")?, row.opt_int("oldest")?.map(moment)))
    }

    /// Intents past due that nobody holds, for the sweep.
    pub async fn stale_intents(&self, due_before: Timestamp, limit: u32) -> Result<Vec<(IntegrationId, OrderNumber)>> {
        let rows = self
            .db
            .fetch(
                "SELECT integration_id, number FROM (SELECT integration_id, number, due_at, lease_until FROM intents \
                 WHERE requested > served UNION ALL SELECT integration_id, number, due_at, lease_until \
                 FROM order_intents WHERE requested > served) waiting WHERE due_at <= $1 AND lease_until <= $2 \
                 ORDER BY due_at LIMIT $3",
                args![due_before.as_millisecond(), self.clock.now_ms(), limit],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let number = OrderNumber::parse(&row.text("number")?).map_err(|_| StoreError::BadRow("number"))?;
                Ok((IntegrationId(row.int("integration_id")?), number))
            })
            .collect()
    }
}

/// Requests of one statement: a few lengths, so that each is prepared once.
const STATEMENTS: [usize; 3] = [64, 8, 1];

/// Requests as they may stand in one statement, which cannot raise an intent twice. Those of one
/// order keep their sequence. All of them are in the order of their keys: two workers that
/// record the same orders then wait for each other and never both.
fn rounds(mut sorted: Vec<&OrderRequest>) -> Vec<Vec<&OrderRequest>> {
    fn key(request: &OrderRequest) -> (IntegrationId, Option<CrmOrderId>, &str) {
        // Of an order the number may have been edited in between.
        (request.integration, request.order, if request.order.is_some() { "" } else { request.number.as_str() })
    }
    sorted.sort_by(|a, b| key(a).cmp(&key(b)));
    let mut rounds: Vec<Vec<&OrderRequest>> = Vec::new();
    for same in sorted.chunk_by(|a, b| key(a) == key(b)) {
        for (round, request) in same.iter().enumerate() {
            if rounds.len() == round {
                rounds.push(Vec::new());
            }
            rounds[round].push(request);
        }
    }
    rounds
}

async fn record(tx: &mut Tx, table: &'static str, requests: &[&OrderRequest], now: i64) -> Result<()> {
    const PER_WISH: usize = 15;
    let by_id = table == ORDERS;
    let mut args = Vec::with_capacity(requests.len() * PER_WISH);
    for request in requests {
        let kind = |want: RequestKind| i64::from(request.want == want);
        let candidates = (!request.candidates.is_empty())
            .then(|| serde_json::to_string(&request.candidates).expect("candidates serialise"));
        let at = request.received_at.as_millisecond();
        // What the own column of either table says: when it was last asked to be sent, or withdrawn.
        let noted = if by_id {
            request.want == RequestKind::Cancel && request.candidates.iter().any(Candidate::is_withdrawn)
        } else {
            request.want == RequestKind::Send
        };
        args.extend(args![
            request.integration,
            request.number.as_str(),
            request.order.map_or(0, |order| order.0),
            kind(RequestKind::Send),
            kind(RequestKind::Update),
            kind(RequestKind::Cancel),
            candidates,
            request.declared,
            request.due_at.as_millisecond(),
            at,
            request.generation,
            request.traceparent.as_deref(),
            &request.command_id,
            now,
            noted.then_some(at)
        ]);
    }
    let rows: Vec<String> = (0..requests.len())
        .map(|row| {
            let of: Vec<String> = (1..=PER_WISH).map(|n| format!("${}", row * PER_WISH + n)).collect();
            let order = if by_id { format!("{}, ", of[2]) } else { String::new() };
            format!("({}, {order}1, {}, {}, {})", of[..2].join(", "), of[3..14].join(", "), of[13], of[14])
        })
        .collect();
    let (order, key, noted) =
        if by_id { ("crm_order_id, ", "crm_order_id", "withdrawn_at") } else { ("", "number", "send_at") };
    // Of a number only a trigger that waits has said it: the one before may have meant another order.
    let kept = format!("COALESCE(excluded.declared, {table}.declared)");
    let declared = if by_id {
        kept
    } else {
        format!("CASE WHEN {table}.requested = {table}.served THEN excluded.declared ELSE {kept} END")
    };
    tx.exec(
        format!(
            "INSERT INTO {table} (integration_id, number, {order}requested, send_seq, update_seq, cancel_seq, candidates, \
             declared, due_at, wanted_at, generation, traceparent, command_id, created_at, updated_at, {noted}) \
             VALUES {} ON CONFLICT (integration_id, {key}) DO UPDATE SET \
             number = excluded.number, requested = {table}.requested + 1, \
             send_seq = CASE WHEN excluded.send_seq = 1 THEN {table}.requested + 1 ELSE {table}.send_seq END, \
             update_seq = CASE WHEN excluded.update_seq = 1 THEN {table}.requested + 1 ELSE {table}.update_seq END, \
             cancel_seq = CASE WHEN excluded.cancel_seq = 1 THEN {table}.requested + 1 ELSE {table}.cancel_seq END, \
             candidates = COALESCE(excluded.candidates, {table}.candidates), \
             declared = {declared}, \
             {noted} = COALESCE(excluded.{noted}, {table}.{noted}), \
             due_at = excluded.due_at, attempt = 0, rereads = 0, spent_ms = 0, \
             wanted_at = CASE WHEN {table}.requested = {table}.served THEN excluded.wanted_at \
             ELSE {table}.wanted_at END, generation = excluded.generation, traceparent = excluded.traceparent, \
             command_id = excluded.command_id, updated_at = excluded.updated_at \
             WHERE {table}.command_id IS NULL OR {table}.command_id <> excluded.command_id \
             OR {table}.generation <> excluded.generation",
            rows.join(", ")
        ),
        args,
    )
    .await
    .map(|_| ())
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

impl Tx {
    /// Leaves a held intent. Answers false when the lease was lost: then nothing changed
    /// and another holder decides.
    pub async fn leave_intent(&mut self, intent: &Intent, leave: Leave, now: Timestamp) -> Result<bool> {
        let now = now.as_millisecond();
        let table = intent.table();
        let held = if is_planted(Bug::FenceUnchecked) { "(fence > 0 OR fence = $2)" } else { "fence = $2" };
        let changed = match leave {
            Leave::Served => {
                self.exec(
                    format!(
                        "UPDATE {table} SET served = $3, verify = CASE WHEN requested = $3 THEN 0 ELSE verify END, \
                         lease_owner = NULL, lease_until = 0, updated_at = $4 WHERE id = $1 AND {held} AND {}",
                        intent.its_own(5)
                    ),
                    args![intent.id, intent.fence, intent.requested, now, intent.integration, intent.key()],
                )
                .await?
            }
            // A newer request set its own time and count while this one was worked on.
            Leave::Wait { due_at, attempt, rereads, spent } => {
                self.exec(
                    format!(
                        "UPDATE {table} SET \
                         due_at = CASE WHEN requested = $3 THEN $4 ELSE due_at END, \
                         attempt = CASE WHEN requested = $3 THEN $5 ELSE attempt END, \
                         rereads = CASE WHEN requested = $3 THEN $6 ELSE rereads END, \
                         spent_ms = CASE WHEN requested = $3 THEN $7 ELSE spent_ms END, \
                         lease_owner = NULL, lease_until = 0, updated_at = $8 WHERE id = $1 AND {held} AND {}",
                        intent.its_own(9)
                    ),
                    args![
                        intent.id,
                        intent.fence,
                        intent.requested,
                        due_at.as_millisecond(),
                        attempt,
                        rereads,
                        i64::try_from(spent.as_millis()).unwrap_or(i64::MAX),
                        now,
                        intent.integration,
                        intent.key()
                    ],
                )
                .await?
            }
        };
        Ok(changed == 1)
    }

    /// Remembers which delivery a number spoke of last: should the order's number be edited
    /// meanwhile, a trigger that still names the old one finds it.
    pub async fn note_delivery(&mut self, number: &Intent, delivery: DeliveryId) -> Result<()> {
        self.exec(
            format!("UPDATE intents SET delivery_id = $3 WHERE id = $1 AND fence = $2 AND {}", number.its_own(4)),
            args![number.id, number.fence, delivery, number.integration, number.key()],
        )
        .await
        .map(|_| ())
    }

    /// Hands requests by number over to an order that bears it. A send that is older than the
    /// order's withdrawal is none any more.
    pub async fn hand_over(&mut self, requests: &HandOver<'_>, now: Timestamp) -> Result<()> {
        let from = requests.from;
        let place = |want: RequestKind| requests.wants.iter().position(|w| *w == want).map_or(0, |at| at as i64 + 1);
        let candidates = (!from.candidates.is_empty())
            .then(|| serde_json::to_string(&from.candidates).expect("candidates serialise"));
        self.exec(
            "INSERT INTO order_intents (integration_id, crm_order_id, number, requested, send_seq, update_seq, cancel_seq, \
             candidates, declared, verify, due_at, rereads, wanted_at, generation, traceparent, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $11, $11) \
             ON CONFLICT (integration_id, crm_order_id) DO UPDATE SET number = excluded.number, \
             send_seq = CASE WHEN excluded.send_seq > 0 AND COALESCE(order_intents.withdrawn_at, 0) <= $16 \
             THEN order_intents.requested + excluded.send_seq ELSE order_intents.send_seq END, \
             update_seq = CASE WHEN excluded.update_seq > 0 THEN order_intents.requested + excluded.update_seq \
             ELSE order_intents.update_seq END, \
             cancel_seq = CASE WHEN excluded.cancel_seq > 0 THEN order_intents.requested + excluded.cancel_seq \
             ELSE order_intents.cancel_seq END, \
             candidates = CASE WHEN excluded.cancel_seq > 0 THEN COALESCE(excluded.candidates, order_intents.candidates) \
             ELSE order_intents.candidates END, \
             declared = COALESCE(excluded.declared, order_intents.declared), \
             verify = CASE WHEN excluded.verify = 1 THEN 1 ELSE order_intents.verify END, \
             requested = order_intents.requested + excluded.requested, due_at = excluded.due_at, attempt = 0, \
             rereads = excluded.rereads, spent_ms = 0, \
             wanted_at = CASE WHEN order_intents.requested = order_intents.served THEN excluded.wanted_at \
             ELSE order_intents.wanted_at END, generation = excluded.generation, \
             traceparent = COALESCE(excluded.traceparent, order_intents.traceparent), updated_at = excluded.updated_at",
            args![
                from.integration,
                requests.order,
                requests.number,
                // A doubt alone is a request too: it wants a look.
                requests.wants.len().max(1) as i64,
                place(RequestKind::Send),
                place(RequestKind::Update),
                place(RequestKind::Cancel),
                candidates,
                from.declared.filter(|_| requests.with_declared),
                from.verify,
                now.as_millisecond(),
                from.rereads,
                from.wanted_at.as_millisecond(),
                from.generation,
                from.traceparent.as_deref(),
                from.send_at.map_or(i64::MAX, Timestamp::as_millisecond)
            ],
        )
        .await
        .map(|_| ())
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
        let claim = Claim { integration, order, owner, until: lease_until, now };
        let row = self.take_row(&claim, ORDERS, "requested > served", &columns(ORDERS)).await?;
        row.as_ref().map(read).transpose()
    }

    /// MeaSoft reports on an order that by the ledger was never placed: whoever takes the
    /// order next looks at MeaSoft first. Nothing is wanted by this alone.
    pub async fn suspect_delivery(&mut self, d: &Delivery, now: Timestamp) -> Result<()> {
        self.exec(
            "INSERT INTO order_intents (integration_id, crm_order_id, number, requested, verify, due_at, wanted_at, \
             created_at, updated_at) VALUES ($1, $2, $3, 1, 1, $4, $4, $4, $4) \
             ON CONFLICT (integration_id, crm_order_id) DO UPDATE SET \
             wanted_at = CASE WHEN order_intents.requested = order_intents.served THEN $4 ELSE order_intents.wanted_at END, \
             requested = order_intents.requested + 1, verify = 1, due_at = $4, attempt = 0, rereads = 0, spent_ms = 0, \
             updated_at = $4",
            args![d.integration, d.crm_order, &d.number, now.as_millisecond()],
        )
        .await
        .map(|_| ())
    }

    /// An intent that was served is looked at once more: RetailCRM is owed a word about it.
    /// Nothing is wanted by this alone.
    pub async fn wake_intent(&mut self, intent: &Intent, due_at: Timestamp, now: Timestamp) -> Result<()> {
        self.exec(
            format!(
                "UPDATE {} SET wanted_at = CASE WHEN requested = served THEN $3 ELSE wanted_at END, \
                 requested = requested + 1, due_at = CASE WHEN requested = served THEN $2 ELSE due_at END, attempt = 0, \
                 rereads = 0, spent_ms = 0, updated_at = $3 WHERE id = $1 AND {}",
                intent.table(),
                intent.its_own(4)
            ),
            args![intent.id, due_at.as_millisecond(), now.as_millisecond(), intent.integration, intent.key()],
        )
        .await
        .map(|_| ())
    }

    /// A cancel by number that was served turned out to mean another order: nobody takes this
    /// one for cancelled on its account. A newer cancel stays.
    pub async fn forget_cancel(&mut self, intent: &Intent) -> Result<()> {
        let sql = "UPDATE order_intents SET cancel_seq = 0 WHERE id = $1 AND crm_order_id = $2 AND cancel_seq = $3";
        self.exec(sql, args![intent.id, intent.order.map_or(0, |order| order.0), intent.cancel_seq]).await.map(|_| ())
    }

    /// Records a request about one order together with what else the holder found out.
    pub async fn record_request(&mut self, request: &OrderRequest, now: Timestamp) -> Result<()> {
        record(self, ORDERS, &[request], now.as_millisecond()).await
    }

    /// A holder that began a write and lost its lease asks the next one to look first, but
    /// not before what it sent can be there.
    pub async fn ask_to_verify(&mut self, intent: &Intent, due_at: Timestamp, now: Timestamp) -> Result<()> {
        self.exec(
            format!(
                "UPDATE {} SET requested = requested + 1, verify = 1, due_at = $1, updated_at = $2 WHERE {}",
                intent.table(),
                intent.its_own(3)
            ),
            args![due_at.as_millisecond(), now.as_millisecond(), intent.integration, intent.key()],
        )
        .await
        .map(|_| ())
    }
}

fn read(row: &Row) -> Result<Intent> {
    let candidates = match row.opt_text("candidates")? {
        None => Vec::new(),
        Some(text) => serde_json::from_str(&text).map_err(|_| StoreError::BadRow("candidates"))?,
    };
    let small = |column: &'static str| -> Result<u32> {
        u32::try_from(row.int(column)?).map_err(|_| StoreError::BadRow(column))
    };
    Ok(Intent {
        id: row.int("id")?,
        integration: IntegrationId(row.int("integration_id")?),
        number: OrderNumber::parse(&row.text("number")?).map_err(|_| StoreError::BadRow("number"))?,
        order: row.opt_int("crm_order_id")?.map(CrmOrderId),
        delivery: row.opt_int("delivery_id")?.map(DeliveryId),
        requested: row.int("requested")?,
        served: row.int("served")?,
        send_seq: row.int("send_seq")?,
        update_seq: row.int("update_seq")?,
        cancel_seq: row.int("cancel_seq")?,
        candidates,
        declared: row.opt_int("declared")?.map(Kopecks),
        verify: row.flag("verify")?,
        due_at: moment(row.int("due_at")?),
        attempt: small("attempt")?,
        rereads: small("rereads")?,
        spent: Duration::from_millis(u64::try_from(row.int("spent_ms")?).unwrap_or(0)),
        wanted_at: moment(row.int("wanted_at")?),
        send_at: row.opt_int("send_at")?.map(moment),
        generation: small("generation")?,
        traceparent: row.opt_text("traceparent")?,
        fence: row.int("fence")?,
    })
}
