//! Intents: what is wanted for an order, and when it is due. Queue messages only point here.
//!
//! A trigger names a number, so its request waits under (integration, number) until the orders
//! that bear the number were read. From then on it is kept under (integration, RetailCRM id):
//! numbers repeat between shops and are given anew. What knows the id from the start, a
//! callback for one, is recorded there at once.

mod due;
mod hand_over;
mod lease;
mod record;
mod suspect;

use std::time::Duration;

use jiff::Timestamp;

use crate::args;
use crate::domain::{CrmOrderId, DeliveryId, IntegrationId, Kopecks, OrderNumber};
use crate::message::Candidate;
use crate::mutant::{Mutant, is_mutant};
use crate::store::Store;
use crate::store::db::{Result, Row, StoreError, Value};

pub use hand_over::HandOver;
pub use lease::{Held, Leave};
pub use record::OrderRequest;

/// Which trigger a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    Send,
    Update,
    Cancel,
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

    /// [`its_own`] of this intent, arguments from `place` on.
    fn its_own(&self, place: usize) -> String {
        its_own(self.order.is_some(), &format!("${place}"), &format!("${}", place + 1))
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

/// The condition that a row is of an integration and a key.
fn its_own(by_id: bool, integration: &str, key: &str) -> String {
    let column = if by_id { "crm_order_id" } else { "number" };
    if is_mutant(Mutant::FencesCounted) {
        return format!("(integration_id = {integration} OR {column} <> {key})");
    }
    format!("integration_id = {integration} AND {column} = {key}")
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

impl Store {
    /// What is known to be wanted for an order, without holding it.
    pub async fn intent(&self, integration: IntegrationId, order: CrmOrderId) -> Result<Option<Intent>> {
        let sql =
            format!("SELECT {} FROM order_intents WHERE integration_id = $1 AND crm_order_id = $2", columns(ORDERS));
        self.db.read_one(sql, args![integration, order], read).await
    }

    /// The intents of several orders, as far as there are any; takes no lease.
    pub async fn intents_of(&self, integration: IntegrationId, orders: &[CrmOrderId]) -> Result<Vec<Intent>> {
        let among = self.db.dialect().among("crm_order_id", 2);
        let sql = format!("SELECT {} FROM order_intents WHERE integration_id = $1 AND {among}", columns(ORDERS));
        let ids: Vec<i64> = orders.iter().map(|order| order.0).collect();
        self.db.read_all(sql, args![integration, ids], read).await
    }

    /// Requests by some numbers that wait for the orders that bear them to be read.
    pub async fn waiting_by_numbers(&self, integration: IntegrationId, numbers: &[&str]) -> Result<Vec<Intent>> {
        let sql = format!(
            "SELECT {} FROM intents WHERE integration_id = $1 AND {} AND requested > served",
            columns(NUMBERS),
            self.db.dialect().among("number", 2)
        );
        self.db.read_all(sql, vec![integration.into(), Value::texts(numbers.iter().copied())], read).await
    }

    /// How far the intent of an order has come; takes no lease.
    pub async fn intent_progress(&self, integration: IntegrationId, order: CrmOrderId) -> Result<Option<Progress>> {
        let sql = "SELECT requested, served, due_at, lease_until, attempt, rereads FROM order_intents \
                   WHERE integration_id = $1 AND crm_order_id = $2";
        let now = self.clock.now_ms();
        let read = |row: &Row| {
            Ok(Progress {
                requested: row.int("requested")?,
                served: row.int("served")?,
                due_at: row.moment("due_at")?,
                held: row.int("lease_until")? > now,
                attempt: row.small("attempt")?,
                rereads: row.small("rereads")?,
            })
        };
        self.db.read_one(sql, args![integration, order], read).await
    }

    /// Forgets requests that were served before a moment: those by number, and those of orders that
    /// no delivery came of. Answers how many, at most `limit` of either.
    pub async fn forget_intents(&self, before: Timestamp, limit: u32) -> Result<u64> {
        let without_delivery = "requested = served AND NOT EXISTS (SELECT 1 FROM deliveries d \
                                WHERE d.integration_id = order_intents.integration_id \
                                AND d.crm_order_id = order_intents.crm_order_id)";
        Ok(self.forget(NUMBERS, "updated_at", before, "requested = served", limit).await?
            + self.forget(ORDERS, "updated_at", before, without_delivery, limit).await?)
    }
}

fn read(row: &Row) -> Result<Intent> {
    let candidates = match row.opt_text("candidates")? {
        None => Vec::new(),
        Some(text) => serde_json::from_str(&text).map_err(|_| StoreError::BadRow("candidates"))?,
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
        due_at: row.moment("due_at")?,
        attempt: row.small("attempt")?,
        rereads: row.small("rereads")?,
        spent: Duration::from_millis(u64::try_from(row.int("spent_ms")?).unwrap_or(0)),
        wanted_at: row.moment("wanted_at")?,
        send_at: row.opt_moment("send_at")?,
        generation: row.small("generation")?,
        traceparent: row.opt_text("traceparent")?,
        fence: row.int("fence")?,
    })
}
