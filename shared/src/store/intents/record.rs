//! Requests on their way into the intents, many in one statement.

use jiff::Timestamp;
use uuid::Uuid;

use crate::args;
use crate::domain::{CrmOrderId, IntegrationId, Kopecks, OrderNumber};
use crate::message::Candidate;
use crate::store::Store;
use crate::store::again::at_once;
use crate::store::db::{Result, Tx, Value};
use crate::store::intents::{NUMBERS, ORDERS, RequestKind};
use crate::store::sets::Set;

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

impl OrderRequest {
    /// A command of its own, made and due now, about every order that bears the number.
    pub fn at(now: Timestamp, integration: IntegrationId, number: OrderNumber, want: RequestKind) -> Self {
        Self {
            integration,
            number,
            order: None,
            want,
            declared: None,
            candidates: Vec::new(),
            due_at: now,
            received_at: now,
            generation: 0,
            traceparent: None,
            command_id: Uuid::now_v7().to_string(),
        }
    }
}

impl Store {
    /// Records requests; each raises its intent's `requested` once, whatever is delivered
    /// how often. All of them are durable when this returns.
    /// On an error none is recorded.
    pub async fn record_requests(&self, requests: &[OrderRequest]) -> Result<()> {
        at_once(|| self.record_once(requests)).await
    }

    async fn record_once(&self, requests: &[OrderRequest]) -> Result<()> {
        let now = self.clock.now();
        let (by_id, by_number): (Vec<&OrderRequest>, Vec<&OrderRequest>) =
            requests.iter().partition(|request| request.order.is_some());
        let of = |table, requests| rounds(requests, key).into_iter().map(move |round| (table, round));
        let statements: Vec<_> = of(NUMBERS, by_number).chain(of(ORDERS, by_id)).collect();
        let replayed = requests.iter().filter(|request| request.generation > 0);
        let replayed: Vec<&str> = replayed.map(|request| request.command_id.as_str()).collect();
        // What is one statement is one transaction as it is.
        if let ([(table, requests)], true) = (&statements[..], replayed.is_empty()) {
            self.db.exec_set(recorded(table, requests, now), |v| record(table, v)).await?;
            return Ok(());
        }
        let mut tx = self.db.begin().await?;
        for (table, requests) in statements {
            tx.exec_set(recorded(table, &requests, now), vec![], |v| record(table, v)).await?;
        }
        if !replayed.is_empty() {
            tx.replays_are_taken(replayed.into_iter()).await?;
        }
        tx.commit().await
    }
}

impl Tx {
    /// Records a request about one order together with what else the holder found out.
    pub async fn record_request(&mut self, request: &OrderRequest, now: Timestamp) -> Result<()> {
        self.exec_set(recorded(ORDERS, &[request], now), vec![], |v| record(ORDERS, v)).await.map(|_| ())
    }
}

/// What a request is about. Of an order the number may have been edited in between.
fn key(request: &&OrderRequest) -> (IntegrationId, Option<CrmOrderId>, String) {
    let number = if request.order.is_some() { String::new() } else { request.number.as_str().to_owned() };
    (request.integration, request.order, number)
}

/// Rows as they may stand in one statement, which cannot change a row twice. Those of one key keep
/// their sequence. All of them are in the order of their keys: two workers that record the same
/// orders then wait for each other and never both.
pub(super) fn rounds<T: Copy, K: Ord>(mut sorted: Vec<T>, key: impl Fn(&T) -> K) -> Vec<Vec<T>> {
    sorted.sort_by_cached_key(&key);
    let mut rounds: Vec<Vec<T>> = Vec::new();
    for same in sorted.chunk_by(|a, b| key(a) == key(b)) {
        for (round, row) in same.iter().enumerate() {
            if rounds.len() == round {
                rounds.push(Vec::new());
            }
            rounds[round].push(*row);
        }
    }
    rounds
}

/// What is written of a request, beside its key.
const COLUMNS: [&str; 13] = [
    "integration_id",
    "number",
    "send_seq",
    "update_seq",
    "cancel_seq",
    "candidates",
    "declared",
    "due_at",
    "wanted_at",
    "generation",
    "traceparent",
    "command_id",
    "updated_at",
];

/// The columns of either table alone: the order, and when it was last asked to be sent or
/// withdrawn.
const fn own_columns(by_id: bool) -> &'static [&'static str] {
    if by_id { &["withdrawn_at", "crm_order_id"] } else { &["send_at"] }
}

fn recorded(table: &str, requests: &[&OrderRequest], now: Timestamp) -> Set {
    let by_id = table == ORDERS;
    Set::of(COLUMNS.iter().chain(own_columns(by_id)).copied(), requests, |request| {
        let kind = |want: RequestKind| request.want == want;
        let candidates = (!request.candidates.is_empty())
            .then(|| serde_json::to_string(&request.candidates).expect("candidates serialise"));
        let noted = if by_id {
            kind(RequestKind::Cancel) && request.candidates.iter().any(Candidate::is_withdrawn)
        } else {
            kind(RequestKind::Send)
        };
        let mut values = args![
            request.integration,
            &request.number,
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
        ];
        values.extend(request.order.filter(|_| by_id).map(Value::from));
        values
    })
}

fn record(table: &str, v: &str) -> String {
    let by_id = table == ORDERS;
    let own = own_columns(by_id);
    let (key, noted) = (if by_id { "crm_order_id" } else { "number" }, own[0]);
    // Of a number only a trigger that waits has said it: the one before may have meant another
    // order.
    let kept = format!("COALESCE(excluded.declared, {table}.declared)");
    let declared = if by_id {
        kept
    } else {
        format!("CASE WHEN {table}.requested = {table}.served THEN excluded.declared ELSE {kept} END")
    };
    let raised =
        |seq: &str| format!("{seq} = CASE WHEN excluded.{seq} = 1 THEN {table}.requested + 1 ELSE {table}.{seq} END");
    let columns = || COLUMNS.iter().chain(own);
    format!(
        "INSERT INTO {table} ({}, requested, created_at) SELECT {}, 1, v.updated_at FROM {v} WHERE 1 = 1 \
         ON CONFLICT (integration_id, {key}) DO UPDATE SET \
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
        columns().copied().collect::<Vec<_>>().join(", "),
        columns().map(|name| format!("v.{name}")).collect::<Vec<_>>().join(", "),
        raised("send_seq"),
        raised("update_seq"),
        raised("cancel_seq")
    )
}
