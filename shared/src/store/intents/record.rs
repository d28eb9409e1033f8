//! Requests on their way into the intents, many in one statement.

use jiff::Timestamp;

use crate::args;
use crate::domain::{CrmOrderId, IntegrationId, Kopecks, OrderNumber};
use crate::message::Candidate;
use crate::store::Store;
use crate::store::again::at_once;
use crate::store::db::{Result, Tx, Value};
use crate::store::intents::{NUMBERS, ORDERS, RequestKind};
use crate::store::many::places;

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

/// Requests of one statement: a few lengths, so that each is prepared once.
const STATEMENTS: [usize; 3] = [64, 8, 1];

impl Store {
    /// Records requests; each raises its intent's `requested` once, whatever is delivered
    /// how often. All of them are durable when this returns.
    /// On an error none is recorded.
    pub async fn record_requests(&self, requests: &[OrderRequest]) -> Result<()> {
        at_once(|| self.record_once(requests)).await
    }

    async fn record_once(&self, requests: &[OrderRequest]) -> Result<()> {
        let now = self.clock.now();
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
}

impl Tx {
    /// Records a request about one order together with what else the holder found out.
    pub async fn record_request(&mut self, request: &OrderRequest, now: Timestamp) -> Result<()> {
        record(self, ORDERS, &[request], now).await
    }
}

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

/// Values of one request.
const PER_WISH: usize = 15;

fn values_of(request: &OrderRequest, by_id: bool, now: Timestamp) -> Vec<Value> {
    let kind = |want: RequestKind| i64::from(request.want == want);
    let candidates = (!request.candidates.is_empty())
        .then(|| serde_json::to_string(&request.candidates).expect("candidates serialise"));
    // What the own column of either table says: when it was last asked to be sent, or withdrawn.
    let noted = if by_id {
        request.want == RequestKind::Cancel && request.candidates.iter().any(Candidate::is_withdrawn)
    } else {
        request.want == RequestKind::Send
    };
    args![
        request.integration,
        &request.number,
        request.order.map_or(0, |order| order.0),
        kind(RequestKind::Send),
        kind(RequestKind::Update),
        kind(RequestKind::Cancel),
        candidates,
        request.declared,
        request.due_at,
        request.received_at,
        request.generation,
        request.traceparent.as_deref(),
        &request.command_id,
        now,
        noted.then_some(request.received_at)
    ]
}

/// Where the values of a request stand in the statement.
fn places_of(row: usize, by_id: bool) -> String {
    let of = |first: usize, count: usize| places(row * PER_WISH + first, count);
    let order = if by_id { format!("{}, ", of(3, 1)) } else { String::new() };
    format!("({}, {order}1, {}, {}, {})", of(1, 2), of(4, 11), of(14, 1), of(15, 1))
}

async fn record(tx: &mut Tx, table: &'static str, requests: &[&OrderRequest], now: Timestamp) -> Result<()> {
    let by_id = table == ORDERS;
    let rows: Vec<String> = (0..requests.len()).map(|row| places_of(row, by_id)).collect();
    let (order, key, noted) =
        if by_id { ("crm_order_id, ", "crm_order_id", "withdrawn_at") } else { ("", "number", "send_at") };
    // Of a number only a trigger that waits has said it: the one before may have meant another order.
    let kept = format!("COALESCE(excluded.declared, {table}.declared)");
    let declared = if by_id {
        kept
    } else {
        format!("CASE WHEN {table}.requested = {table}.served THEN excluded.declared ELSE {kept} END")
    };
    let raised =
        |seq: &str| format!("{seq} = CASE WHEN excluded.{seq} = 1 THEN {table}.requested + 1 ELSE {table}.{seq} END");
    let sql = format!(
        "INSERT INTO {table} (integration_id, number, {order}requested, send_seq, update_seq, cancel_seq, candidates, \
         declared, due_at, wanted_at, generation, traceparent, command_id, created_at, updated_at, {noted}) \
         VALUES {} ON CONFLICT (integration_id, {key}) DO UPDATE SET \
         number = excluded.number, requested = {table}.requested + 1, {}, {}, {}, \
         candidates = COALESCE(excluded.candidates, {table}.candidates), \
         declared = {declared}, \
         {noted} = COALESCE(excluded.{noted}, {table}.{noted}), \
         due_at = excluded.due_at, attempt = 0, rereads = 0, spent_ms = 0, \
         wanted_at = CASE WHEN {table}.requested = {table}.served THEN excluded.wanted_at \
         ELSE {table}.wanted_at END, generation = excluded.generation, traceparent = excluded.traceparent, \
         command_id = excluded.command_id, updated_at = excluded.updated_at \
         WHERE {table}.command_id IS NULL OR {table}.command_id <> excluded.command_id \
         OR {table}.generation <> excluded.generation",
        rows.join(", "),
        raised("send_seq"),
        raised("update_seq"),
        raised("cancel_seq")
    );
    tx.run(sql, requests.iter().flat_map(|request| values_of(request, by_id, now)).collect()).await
}
