//! The ledger's rows: read and forgotten; `lease` and `save` are what their holder does.

mod lease;
mod save;

use jiff::Timestamp;

use crate::args;
use crate::domain::{CrmOrderId, Delivery, DeliveryId, DeliveryState, IntegrationId, Kopecks, OrderNo};
use crate::mutant::{Mutant, is_mutant};
use crate::store::db::{Result, Row, StoreError, Value};
use crate::store::many::{self, ids};
use crate::store::past_deliveries::PastDelivery;
use crate::store::{LONGEST_LEASE_MS, Store};

pub use lease::{DeliveryKey, Leased};

const COLUMNS: &str = "id, integration_id, crm_order_id, number, site, delivery_type, orderno, ordercode, generation, state, \
                       status, status_at, status_seen_at, cancelled_by_us, sent_hash, sending_hash, sending, sent_at, price, item_codes, \
                       overlay, crm_written, reject_reason, requests, fence, prior_fence, created_at";

/// A delivery seen without holding it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glance {
    pub id: DeliveryId,
    pub crm_order: CrmOrderId,
    pub number: String,
    pub delivery_type: String,
    pub state: DeliveryState,
    pub cancelled_by_us: bool,
    pub fence: i64,
    /// Somebody worked on it at that moment.
    pub held: bool,
}

impl Store {
    /// What the ledger says of orders, by the numbers they bore when they were last read and by
    /// their ids, without holding them.
    pub async fn glance(
        &self,
        integration: IntegrationId,
        numbers: &[&str],
        orders: &[CrmOrderId],
    ) -> Result<Vec<Glance>> {
        if numbers.is_empty() && orders.is_empty() {
            return Ok(Vec::new());
        }
        let mut conditions = Vec::new();
        if !numbers.is_empty() {
            conditions.push(format!("number IN ({})", many::places(2, numbers.len())));
        }
        if !orders.is_empty() {
            conditions.push(format!("crm_order_id IN ({})", ids(orders)));
        }
        let sql = format!(
            "SELECT id, crm_order_id, number, delivery_type, state, cancelled_by_us, fence, lease_until \
             FROM deliveries WHERE integration_id = $1 AND ({})",
            conditions.join(" OR ")
        );
        let args = args![integration].into_iter().chain(numbers.iter().map(|n| Value::from(*n))).collect();
        let rows = self.db.fetch(sql, args).await?;
        let now = self.clock.now_ms();
        rows.iter()
            .map(|row| {
                Ok(Glance {
                    id: DeliveryId(row.int("id")?),
                    crm_order: CrmOrderId(row.int("crm_order_id")?),
                    number: row.text("number")?,
                    delivery_type: row.text("delivery_type")?,
                    state: row.word("state", DeliveryState::parse)?,
                    cancelled_by_us: row.flag("cancelled_by_us")?,
                    fence: row.int("fence")?,
                    held: (now + 1..=now + LONGEST_LEASE_MS).contains(&row.int("lease_until")?),
                })
            })
            .collect()
    }

    pub async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>> {
        self.one_delivery("id = $1", args![id]).await
    }

    /// Several deliveries, as far as they are there.
    pub async fn deliveries(&self, ids: &[DeliveryId]) -> Result<Vec<Delivery>> {
        let sql = format!("SELECT {COLUMNS} FROM deliveries WHERE {}", self.db.dialect().among("id", 1));
        self.db.read_all(sql, args![ids], read).await
    }

    pub async fn delivery_by_order(
        &self,
        integration: IntegrationId,
        crm_order: CrmOrderId,
    ) -> Result<Option<Delivery>> {
        self.one_delivery("integration_id = $1 AND crm_order_id = $2", args![integration, crm_order]).await
    }

    /// Everything the ledger knows of an order number (RetailCRM's or ours).
    pub async fn deliveries_by_number(
        &self,
        number: &str,
        integration: Option<IntegrationId>,
    ) -> Result<Vec<Delivery>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE number = $1 \
             UNION SELECT id FROM deliveries WHERE orderno = $1 UNION SELECT delivery_id FROM intents WHERE number = $1 \
             AND integration_id IN (SELECT id FROM integrations) AND delivery_id IS NOT NULL) \
             AND (CAST($2 AS BIGINT) IS NULL OR integration_id = $2) ORDER BY id"
        );
        self.db.read_all(sql, args![number, integration], read).await
    }

    /// What several integrations have of some orders of their RetailCRM account.
    pub async fn deliveries_of_orders(
        &self,
        integrations: &[IntegrationId],
        orders: &[CrmOrderId],
    ) -> Result<Vec<Delivery>> {
        if integrations.is_empty() || orders.is_empty() {
            return Ok(Vec::new());
        }
        let dialect = self.db.dialect();
        let among = (dialect.among("integration_id", 1), dialect.among("crm_order_id", 2));
        let sql = format!("SELECT {COLUMNS} FROM deliveries WHERE {} AND {} ORDER BY id", among.0, among.1);
        self.db.read_all(sql, args![integrations, orders], read).await
    }

    async fn one_delivery(&self, condition: &str, args: Vec<Value>) -> Result<Option<Delivery>> {
        let sql = format!("SELECT {COLUMNS} FROM deliveries WHERE {condition}");
        self.db.read_one(sql, args, read).await
    }

    /// Deliveries of an integration that were made in a span of time, and those of some orders.
    pub async fn deliveries_of_span(
        &self,
        integration: IntegrationId,
        (from, until): (Timestamp, Timestamp),
        orders: &[CrmOrderId],
    ) -> Result<Vec<Delivery>> {
        let among = self.db.dialect().among("crm_order_id", 4);
        let sql = format!(
            "SELECT {COLUMNS} FROM deliveries WHERE integration_id = $1 AND ((created_at >= $2 AND created_at < $3) OR {among}) \
             ORDER BY id"
        );
        let orders: Vec<i64> = orders.iter().map(|order| order.0).collect();
        self.db.read_all(sql, args![integration, from, until, orders], read).await
    }

    /// Deliveries that MeaSoft holds and has not ended, oldest first.
    pub async fn open_deliveries(&self, integrations: &[IntegrationId]) -> Result<Vec<Delivery>> {
        if integrations.is_empty() {
            return Ok(Vec::new());
        }
        let among = ids(integrations);
        let sql = format!(
            "SELECT {COLUMNS} FROM deliveries WHERE integration_id IN ({among}) AND state IN ('created', 'in_work') \
             ORDER BY created_at"
        );
        self.db.read_all(sql, vec![], read).await
    }

    /// Replaces an saved request unless a newer one has come meanwhile; answers whether it did.
    pub async fn swap_saved_request(&self, id: DeliveryId, seen: &str, saved_request: &str) -> Result<bool> {
        let sql = "UPDATE deliveries SET overlay = $3 WHERE id = $1 AND overlay = $2";
        self.db.changed(sql, args![id, seen, saved_request]).await
    }

    /// Forgets deliveries that ended before a moment, with what was wanted of them. That they
    /// were, and how they ended, stays for good. Answers how many, at most `limit`.
    pub async fn forget_deliveries(&self, before: Timestamp, limit: u32) -> Result<u64> {
        let mut tx = self.db.begin().await?;
        let sql = format!(
            "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE finished_at IS NOT NULL \
             AND finished_at < $1 AND updated_at < $1 AND lease_until <= $2 ORDER BY finished_at LIMIT $3) \
             RETURNING {COLUMNS}, finished_at"
        );
        let rows = tx.fetch(sql, args![before, self.clock.now_ms(), limit]).await?;
        let mut past = Vec::with_capacity(rows.len());
        let mut gone = Vec::with_capacity(rows.len());
        let mut orders = Vec::with_capacity(rows.len());
        for row in &rows {
            let d = read(row)?;
            let ended_at = row.opt_moment("finished_at")?.unwrap_or(before);
            if !is_mutant(Mutant::TombstoneForgotten) {
                past.push(PastDelivery::of(&d, ended_at));
            }
            gone.push(d.id);
            orders.push(format!("(integration_id = {} AND crm_order_id = {})", d.integration, d.crm_order));
        }
        tx.keep_past(&past.iter().collect::<Vec<_>>()).await?;
        if !gone.is_empty() {
            let ids = ids(&gone);
            for table in ["tracking_outbox", "payment_moves", "line_returns", "status_rows"] {
                tx.exec(format!("DELETE FROM {table} WHERE delivery_id IN ({ids})"), vec![]).await?;
            }
            tx.exec(format!("DELETE FROM intents WHERE delivery_id IN ({ids}) AND requested = served"), vec![]).await?;
            let orders = orders.join(" OR ");
            tx.exec(format!("DELETE FROM order_intents WHERE requested = served AND ({orders})"), vec![]).await?;
        }
        tx.commit().await?;
        Ok(rows.len() as u64)
    }
}

fn read(row: &Row) -> Result<Delivery> {
    fn parsed<T: serde::de::DeserializeOwned>(text: &str, column: &'static str) -> Result<T> {
        serde_json::from_str(text).map_err(|_| StoreError::BadRow(column))
    }
    Ok(Delivery {
        id: DeliveryId(row.int("id")?),
        integration: IntegrationId(row.int("integration_id")?),
        crm_order: CrmOrderId(row.int("crm_order_id")?),
        number: row.text("number")?,
        site: row.text("site")?,
        delivery_type: row.text("delivery_type")?,
        orderno: OrderNo::known(row.text("orderno")?),
        ordercode: row.opt_text("ordercode")?,
        generation: row.small("generation")?,
        state: row.word("state", DeliveryState::parse)?,
        status: row.opt_text("status")?,
        status_at: row.opt_moment("status_at")?,
        status_seen_at: row.opt_moment("status_seen_at")?,
        cancelled_by_us: row.flag("cancelled_by_us")?,
        sent_hash: row.opt_text("sent_hash")?,
        sending_hash: row.opt_text("sending_hash")?,
        sending: row.opt_text("sending")?.map(|text| parsed(&text, "sending")).transpose()?,
        sent_at: row.opt_moment("sent_at")?,
        price: row.opt_int("price")?.map(Kopecks),
        item_codes: parsed(&row.text("item_codes")?, "item_codes")?,
        saved_request: row.opt_text("overlay")?,
        crm_written: row
            .opt_text("crm_written")?
            .map_or_else(|| Ok(Default::default()), |t| parsed(&t, "crm_written"))?,
        reject_reason: row.opt_text("reject_reason")?,
        requests: row.small("requests")?,
        fence: row.int("fence")?,
        prior_fence: row.int("prior_fence")?,
        created_at: row.moment("created_at")?,
    })
}
