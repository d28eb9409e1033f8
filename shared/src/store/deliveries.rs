//! The ledger's rows, held under a lease with a fencing number while they are worked on.

use jiff::Timestamp;

use crate::args;
use crate::crypto::random_number;
use crate::domain::delivery::CALL_LIMIT;
use crate::domain::{CrmOrderId, Delivery, DeliveryId, DeliveryState, IntegrationId, Kopecks, OrderNo, OrderNumber};
use crate::planted::{Bug, is_planted};
use crate::store::db::{Result, Row, StoreError, Tx, Value};
use crate::store::numbers::numbers;
use crate::store::past_deliveries::PastDelivery;
use crate::store::row_lease::{Claim, drawn};
use crate::store::{CLOCKS_DIFFER, LONGEST_LEASE_MS, Store, free, moment, opt_moment};

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

/// What asking for a delivery's lease comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Leased {
    Taken(Box<Delivery>),
    /// Another holds it.
    Held,
    /// It is over and forgotten; nothing of it is done again.
    Over(PastDelivery),
}

impl Leased {
    pub fn taken(self) -> Option<Delivery> {
        match self {
            Self::Taken(delivery) => Some(*delivery),
            Self::Held | Self::Over(_) => None,
        }
    }
}

/// Whose order a lease is asked for.
#[derive(Debug, Clone)]
pub struct DeliveryKey<'a> {
    pub integration: IntegrationId,
    pub crm_order: CrmOrderId,
    pub number: &'a OrderNumber,
    pub prefix: &'a str,
}

impl Store {
    /// Takes the lease of a delivery, creating its row when there is none.
    pub async fn lease_delivery(&self, key: &DeliveryKey<'_>, owner: &str, lease_until: Timestamp) -> Result<Leased> {
        let mut tx = self.db.begin().await?;
        let leased = tx.lease_delivery(key, owner, lease_until, self.clock.now()).await?;
        tx.commit().await?;
        Ok(leased)
    }

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
        let mut args = args![integration];
        let mut places = Vec::new();
        for number in numbers {
            args.push(Value::from(*number));
            places.push(format!("${}", args.len()));
        }
        let mut conditions = Vec::new();
        if !places.is_empty() {
            conditions.push(format!("number IN ({})", places.join(", ")));
        }
        if !orders.is_empty() {
            let ids: Vec<String> = orders.iter().map(ToString::to_string).collect();
            conditions.push(format!("crm_order_id IN ({})", ids.join(", ")));
        }
        let rows = self
            .db
            .fetch(
                format!(
                    "SELECT id, crm_order_id, number, delivery_type, state, cancelled_by_us, fence, lease_until \
                     FROM deliveries WHERE integration_id = $1 AND ({})",
                    conditions.join(" OR ")
                ),
                args,
            )
            .await?;
        let now = self.clock.now_ms();
        rows.iter()
            .map(|row| {
                Ok(Glance {
                    id: DeliveryId(row.int("id")?),
                    crm_order: CrmOrderId(row.int("crm_order_id")?),
                    number: row.text("number")?,
                    delivery_type: row.text("delivery_type")?,
                    state: DeliveryState::parse(&row.text("state")?).ok_or(StoreError::BadRow("state"))?,
                    cancelled_by_us: row.flag("cancelled_by_us")?,
                    fence: row.int("fence")?,
                    held: (now + 1..=now + LONGEST_LEASE_MS).contains(&row.int("lease_until")?),
                })
            })
            .collect()
    }

    /// Takes the lease of a known delivery; `None` when another holds it or it is gone.
    pub async fn lease_known_delivery(
        &self,
        id: DeliveryId,
        owner: &str,
        lease_until: Timestamp,
    ) -> Result<Option<Delivery>> {
        let rows = self
            .db
            .exec_returning(
                format!(
                    "UPDATE deliveries SET lease_owner = $2, lease_until = $3, {} \
                     WHERE id = $1 AND {} RETURNING {COLUMNS}",
                    drawn("deliveries", 5),
                    free(4)
                ),
                args![id, owner, lease_until.as_millisecond(), self.clock.now_ms(), random_number()],
            )
            .await?;
        rows.first().map(read).transpose()
    }

    /// Takes the leases of several known deliveries; those that others hold are left out.
    pub async fn lease_deliveries(
        &self,
        ids: &[DeliveryId],
        owner: &str,
        lease_until: Timestamp,
    ) -> Result<Vec<Delivery>> {
        let list = ids.iter().map(|id| id.0.to_string()).collect::<Vec<_>>().join(",");
        if list.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.clock.now();
        let rows = self
            .db
            .exec_returning(
                format!(
                    "UPDATE deliveries SET lease_owner = $1, lease_until = $2, {} WHERE {} RETURNING {COLUMNS}",
                    drawn("deliveries", 4),
                    self.db.dialect().in_order("deliveries", &format!("id IN ({list}) AND {}", free(3)))
                ),
                args![owner, lease_until.as_millisecond(), now.as_millisecond(), random_number()],
            )
            .await?;
        rows.iter().map(|row| Ok(not_ahead(read(row)?, now))).collect()
    }

    /// Deliveries that MeaSoft holds and has not ended, oldest first.
    pub async fn open_deliveries(&self, integrations: &[IntegrationId]) -> Result<Vec<Delivery>> {
        let ids = integrations.iter().map(|id| id.0.to_string()).collect::<Vec<_>>().join(",");
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self
            .db
            .fetch(
                format!(
                    "SELECT {COLUMNS} FROM deliveries WHERE integration_id IN ({ids}) AND state IN ('created', 'in_work') \
                     ORDER BY created_at"
                ),
                vec![],
            )
            .await?;
        rows.iter().map(read).collect()
    }

    /// Forgets deliveries that ended before a moment, with what was wanted of them. That they
    /// were, and how they ended, stays for good. Answers how many, at most `limit`.
    pub async fn forget_deliveries(&self, before: Timestamp, limit: u32) -> Result<u64> {
        let mut tx = self.db.begin().await?;
        let rows = tx
            .fetch(
                format!(
                    "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE finished_at IS NOT NULL \
                     AND finished_at < $1 AND updated_at < $1 AND lease_until <= $2 ORDER BY finished_at LIMIT $3) \
                     RETURNING {COLUMNS}, finished_at"
                ),
                args![before.as_millisecond(), self.clock.now_ms(), limit],
            )
            .await?;
        let mut ids = Vec::with_capacity(rows.len());
        let mut orders = Vec::with_capacity(rows.len());
        for row in &rows {
            let d = read(row)?;
            let ended_at = opt_moment(row.opt_int("finished_at")?).unwrap_or(before);
            if !is_planted(Bug::TombstoneForgotten) {
                tx.keep_past(&PastDelivery::of(&d, ended_at)).await?;
            }
            ids.push(d.id.0.to_string());
            orders.push(format!("(integration_id = {} AND crm_order_id = {})", d.integration, d.crm_order));
        }
        if !ids.is_empty() {
            let ids = ids.join(",");
            for table in ["tracking_outbox", "payment_moves", "status_rows"] {
                tx.exec(format!("DELETE FROM {table} WHERE delivery_id IN ({ids})"), vec![]).await?;
            }
            tx.exec(format!("DELETE FROM intents WHERE delivery_id IN ({ids}) AND requested = served"), vec![]).await?;
            tx.exec(
                format!("DELETE FROM order_intents WHERE requested = served AND ({})", orders.join(" OR ")),
                vec![],
            )
            .await?;
        }
        tx.commit().await?;
        Ok(rows.len() as u64)
    }

    /// Keeps the leases of deliveries alive.
    pub async fn renew_deliveries(&self, owner: &str, ids: &[i64], lease_until: Timestamp) -> Result<u64> {
        let list = ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        if list.is_empty() {
            return Ok(0);
        }
        self.db
            .exec(
                format!(
                    "UPDATE deliveries SET lease_until = $1 WHERE {}",
                    self.db.dialect().in_order("deliveries", &format!("lease_owner = $2 AND id IN ({list})"))
                ),
                args![lease_until.as_millisecond(), owner],
            )
            .await
    }

    /// The orders of those deliveries whose lease is still the caller's.
    pub async fn still_held(&self, deliveries: &[&Delivery]) -> Result<Vec<CrmOrderId>> {
        let mine: Vec<String> = deliveries
            .iter()
            .map(|d| format!("(id = {} AND fence = {} AND crm_order_id = {})", d.id.0, d.fence, d.crm_order))
            .collect();
        if mine.is_empty() {
            return Ok(Vec::new());
        }
        let rows =
            self.db.fetch(format!("SELECT crm_order_id FROM deliveries WHERE {}", mine.join(" OR ")), vec![]).await?;
        rows.iter().map(|row| Ok(CrmOrderId(row.int("crm_order_id")?))).collect()
    }

    /// Lets go of a delivery; a lost lease is left alone.
    pub async fn release_delivery(&self, delivery: &Delivery) -> Result<()> {
        self.db
            .exec(
                "UPDATE deliveries SET lease_owner = NULL, lease_until = 0 WHERE id = $1 AND fence = $2 \
                 AND integration_id = $3 AND crm_order_id = $4",
                args![delivery.id, delivery.fence, delivery.integration, delivery.crm_order],
            )
            .await
            .map(|_| ())
    }

    /// Stores what only a callback tells, creating the delivery's row when there is none. A
    /// delivery that is over and forgotten stays so: then nothing is stored.
    /// No lease is needed: holders never write the saved request back, and a request recorded after
    /// this makes the next one read it.
    pub async fn put_saved_request(&self, key: &DeliveryKey<'_>, saved_request: &str) -> Result<()> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        for _ in 0..2 {
            let changed = tx
                .exec(
                    "UPDATE deliveries SET overlay = $3, updated_at = $4 WHERE integration_id = $1 AND crm_order_id = $2",
                    args![key.integration, key.crm_order, saved_request, now.as_millisecond()],
                )
                .await?;
            // One that another makes at this moment is found the second time.
            if changed == 1 || tx.make_delivery(key, None, Some(saved_request), now).await? != Made::There {
                break;
            }
        }
        tx.commit().await
    }

    /// Replaces an saved request unless a newer one has come meanwhile; answers whether it did.
    pub async fn swap_saved_request(&self, id: DeliveryId, seen: &str, saved_request: &str) -> Result<bool> {
        let changed = self
            .db
            .exec("UPDATE deliveries SET overlay = $3 WHERE id = $1 AND overlay = $2", args![id, seen, saved_request])
            .await?;
        Ok(changed == 1)
    }

    pub async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>> {
        self.one_delivery("id = $1", args![id]).await
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
        let rows = self
            .db
            .fetch(
                format!(
                    "SELECT {COLUMNS} FROM deliveries WHERE (number = $1 OR orderno = $1 OR id IN (SELECT delivery_id \
                     FROM intents WHERE number = $1)) AND (CAST($2 AS BIGINT) IS NULL OR integration_id = $2) \
                     ORDER BY id"
                ),
                args![number, integration],
            )
            .await?;
        rows.iter().map(read).collect()
    }

    /// What several integrations have of one order of their RetailCRM account.
    pub async fn deliveries_of_order(&self, among: &[IntegrationId], crm_order: CrmOrderId) -> Result<Vec<Delivery>> {
        if among.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<String> = among.iter().map(ToString::to_string).collect();
        let sql = format!(
            "SELECT {COLUMNS} FROM deliveries WHERE crm_order_id = $1 AND integration_id IN ({}) ORDER BY id",
            ids.join(", ")
        );
        self.db.fetch(sql, args![crm_order]).await?.iter().map(read).collect()
    }

    async fn one_delivery(&self, condition: &str, args: Vec<crate::store::Value>) -> Result<Option<Delivery>> {
        let row = self.db.fetch_one(format!("SELECT {COLUMNS} FROM deliveries WHERE {condition}"), args).await?;
        row.as_ref().map(read).transpose()
    }
}

/// What making a delivery's row comes to.
#[derive(Debug, PartialEq)]
enum Made {
    Fresh(Box<Delivery>),
    /// Another made it at the same moment.
    There,
    Over(PastDelivery),
}

impl Tx {
    /// Takes the lease of a delivery, creating its row when there is none: under the first
    /// number that no order has or had.
    pub async fn lease_delivery(
        &mut self,
        key: &DeliveryKey<'_>,
        owner: &str,
        lease_until: Timestamp,
        now: Timestamp,
    ) -> Result<Leased> {
        for _ in 0..2 {
            if let Some(known) = self.lease_order(key.integration, key.crm_order, owner, lease_until, now).await? {
                return Ok(Leased::Taken(Box::new(known)));
            }
            match self.make_delivery(key, Some((owner, lease_until)), None, now).await? {
                Made::Fresh(delivery) => return Ok(Leased::Taken(delivery)),
                Made::Over(past) => return Ok(Leased::Over(past)),
                // It is there, then; perhaps free by now.
                Made::There => {}
            }
        }
        Ok(Leased::Held)
    }

    /// Takes the lease of an order's delivery; `None` when another holds it or there is none.
    pub async fn lease_order(
        &mut self,
        integration: IntegrationId,
        order: CrmOrderId,
        owner: &str,
        lease_until: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Delivery>> {
        let claim = Claim { integration, order, owner, until: lease_until, now };
        let row = self.take_row(&claim, "deliveries", "1 = 1", COLUMNS).await?;
        Ok(row.as_ref().map(read).transpose()?.map(|d| not_ahead(d, now)))
    }

    async fn make_delivery(
        &mut self,
        key: &DeliveryKey<'_>,
        lease: Option<(&str, Timestamp)>,
        saved_request: Option<&str>,
        now: Timestamp,
    ) -> Result<Made> {
        let past = self.past_of(key.integration, key.crm_order).await?;
        if let Some(over) = past.iter().find(|past| past.is_final()) {
            return Ok(Made::Over(over.clone()));
        }
        let first = past.iter().map(|past| past.generation + 1).max().unwrap_or(1);
        let (generation, orderno) =
            self.free_number(key.integration, numbers(key.prefix, key.number, key.crm_order, first)).await?;
        let row = self
            .fetch_one(
                format!(
                    "INSERT INTO deliveries (integration_id, crm_order_id, number, orderno, generation, state, lease_owner, \
                     lease_until, fence, overlay, created_at, updated_at) \
                     VALUES ($1, $2, $3, $4, $5, 'planned', $6, $7, $8, $9, $10, $10) \
                     ON CONFLICT (integration_id, crm_order_id) DO NOTHING RETURNING {COLUMNS}"
                ),
                args![
                    key.integration,
                    key.crm_order,
                    key.number.as_str(),
                    orderno.as_str(),
                    generation,
                    lease.map(|(owner, _)| owner),
                    lease.map_or(0, |(_, until)| until.as_millisecond()),
                    lease.map_or(0, |_| if is_planted(Bug::FencesCounted) { 1 } else { random_number() }),
                    saved_request,
                    now.as_millisecond()
                ],
            )
            .await?;
        Ok(match row {
            Some(row) => Made::Fresh(Box::new(read(&row)?)),
            None => Made::There,
        })
    }

    /// Writes a held delivery back, all but its saved request (see [`Store::put_saved_request`]); with
    /// `release` it also lets go. Answers false when the lease was lost: then nothing was
    /// written.
    pub async fn save_delivery(&mut self, d: &Delivery, release: bool, now: Timestamp) -> Result<bool> {
        let now = now.as_millisecond();
        let finished = d.state.is_ended() || d.state == DeliveryState::Cancelled;
        let held = if is_planted(Bug::FenceUnchecked) { "(fence > 0 OR fence = $2)" } else { "fence = $2" };
        let both = if is_planted(Bug::FencesCounted) { "OR" } else { "AND" };
        let changed = self
            .exec(
                format!(
                    "UPDATE deliveries SET number = $3, site = $4, delivery_type = $5, orderno = $6, ordercode = $7, \
                 generation = $8, state = $9, status = $10, status_at = $11, cancelled_by_us = $12, sent_hash = $13, \
                 sending_hash = $14, sending = $15, sent_at = $16, price = $17, item_codes = $18, crm_written = $19, \
                 reject_reason = $20, requests = $21, updated_at = $22, status_seen_at = $25, \
                 finished_at = CASE WHEN $23 = 1 THEN COALESCE(finished_at, $22) ELSE NULL END, \
                 lease_until = CASE WHEN $24 = 1 THEN 0 ELSE lease_until END, \
                 lease_owner = CASE WHEN $24 = 1 THEN NULL ELSE lease_owner END \
                 WHERE id = $1 AND {held} AND (integration_id = $26 {both} crm_order_id = $27)"
                ),
                args![
                    d.id,
                    d.fence,
                    &d.number,
                    &d.site,
                    &d.delivery_type,
                    d.orderno.as_str(),
                    d.ordercode.as_deref(),
                    d.generation,
                    d.state.as_str(),
                    d.status.as_deref(),
                    d.status_at.map(Timestamp::as_millisecond),
                    d.cancelled_by_us,
                    d.sent_hash.as_deref(),
                    d.sending_hash.as_deref(),
                    d.sending.as_ref().map(json),
                    d.sent_at.map(Timestamp::as_millisecond),
                    d.price,
                    json(&d.item_codes),
                    json(&d.crm_written),
                    d.reject_reason.as_deref(),
                    d.requests,
                    now,
                    finished,
                    release,
                    d.status_seen_at.map(Timestamp::as_millisecond),
                    d.integration,
                    d.crm_order
                ],
            )
            .await?;
        Ok(changed == 1)
    }
}

/// What a clock that was ahead wrote: the moments were no later than now, and nothing waits for
/// them to come. When the status was last read is not known then.
fn not_ahead(mut d: Delivery, now: Timestamp) -> Delivery {
    d.sent_at = d.sent_at.map(|at| at.min(now));
    d.created_at = d.created_at.min(now);
    d.status_seen_at = d.status_seen_at.filter(|at| *at <= now + CLOCKS_DIFFER);
    // Whatever was sent was sent by now.
    if let Some(sent) = &mut d.sending {
        sent.late_until = sent.late_until.map(|until| until.min(now + CALL_LIMIT));
    }
    d
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain data serialises")
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
        generation: u32::try_from(row.int("generation")?).map_err(|_| StoreError::BadRow("generation"))?,
        state: DeliveryState::parse(&row.text("state")?).ok_or(StoreError::BadRow("state"))?,
        status: row.opt_text("status")?,
        status_at: opt_moment(row.opt_int("status_at")?),
        status_seen_at: opt_moment(row.opt_int("status_seen_at")?),
        cancelled_by_us: row.flag("cancelled_by_us")?,
        sent_hash: row.opt_text("sent_hash")?,
        sending_hash: row.opt_text("sending_hash")?,
        sending: row.opt_text("sending")?.map(|text| parsed(&text, "sending")).transpose()?,
        sent_at: opt_moment(row.opt_int("sent_at")?),
        price: row.opt_int("price")?.map(Kopecks),
        item_codes: parsed(&row.text("item_codes")?, "item_codes")?,
        saved_request: row.opt_text("overlay")?,
        crm_written: row
            .opt_text("crm_written")?
            .map_or_else(|| Ok(Default::default()), |t| parsed(&t, "crm_written"))?,
        reject_reason: row.opt_text("reject_reason")?,
        requests: u32::try_from(row.int("requests")?).map_err(|_| StoreError::BadRow("requests"))?,
        fence: row.int("fence")?,
        prior_fence: row.int("prior_fence")?,
        created_at: moment(row.int("created_at")?),
    })
}
