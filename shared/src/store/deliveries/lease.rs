//! Deliveries in somebody's hand, under a lease with a fencing number, and the making of their
//! rows.

use jiff::Timestamp;

use crate::args;
use crate::crypto::random_number;
use crate::domain::delivery::CALL_LIMIT;
use crate::domain::{CrmOrderId, Delivery, DeliveryId, IntegrationId, OrderNumber};
use crate::mutant::{Mutant, is_mutant};
use crate::store::db::{Result, Tx};
use crate::store::deliveries::{COLUMNS, read};
use crate::store::many::ids;
use crate::store::numbers::numbers;
use crate::store::past_deliveries::PastDelivery;
use crate::store::row_lease::{Claim, drawn};
use crate::store::{CLOCKS_DIFFER, Store, free};

/// Whose order a lease is asked for.
#[derive(Debug, Clone)]
pub struct DeliveryKey<'a> {
    pub integration: IntegrationId,
    pub crm_order: CrmOrderId,
    pub number: &'a OrderNumber,
    pub prefix: &'a str,
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

/// What making a delivery's row comes to.
#[derive(Debug, PartialEq)]
enum Made {
    Fresh(Box<Delivery>),
    /// Another made it at the same moment.
    There,
    Over(PastDelivery),
}

impl Store {
    /// Takes the lease of a delivery, creating its row when there is none.
    pub async fn lease_delivery(&self, key: &DeliveryKey<'_>, owner: &str, lease_until: Timestamp) -> Result<Leased> {
        let mut tx = self.db.begin().await?;
        let leased = tx.lease_delivery(key, owner, lease_until, self.clock.now()).await?;
        tx.commit().await?;
        Ok(leased)
    }

    /// Takes the lease of a known delivery; `None` when another holds it or it is gone.
    pub async fn lease_known_delivery(
        &self,
        id: DeliveryId,
        owner: &str,
        lease_until: Timestamp,
    ) -> Result<Option<Delivery>> {
        let sql = format!(
            "UPDATE deliveries SET lease_owner = $2, lease_until = $3, {} \
             WHERE id = $1 AND {} RETURNING {COLUMNS}",
            drawn("deliveries", 5),
            free(4)
        );
        let rows =
            self.db.exec_returning(sql, args![id, owner, lease_until, self.clock.now_ms(), random_number()]).await?;
        rows.first().map(read).transpose()
    }

    /// Keeps the leases of deliveries alive.
    pub async fn renew_deliveries(&self, owner: &str, deliveries: &[i64], lease_until: Timestamp) -> Result<u64> {
        let list = ids(deliveries);
        if list.is_empty() {
            return Ok(0);
        }
        let sql = format!(
            "UPDATE deliveries SET lease_until = $1 WHERE {}",
            self.db.dialect().in_order("deliveries", &format!("lease_owner = $2 AND id IN ({list})"))
        );
        self.db.exec(sql, args![lease_until, owner]).await
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
        let sql = "UPDATE deliveries SET lease_owner = NULL, lease_until = 0 WHERE id = $1 AND fence = $2 \
                   AND integration_id = $3 AND crm_order_id = $4";
        self.db.run(sql, args![delivery.id, delivery.fence, delivery.integration, delivery.crm_order]).await
    }

    /// Stores what only a callback tells, creating the delivery's row when there is none. A
    /// delivery that is over and forgotten stays so: then nothing is stored.
    /// No lease is needed: holders never write the saved request back, and a request recorded after
    /// this makes the next one read it.
    pub async fn put_saved_request(&self, key: &DeliveryKey<'_>, saved_request: &str) -> Result<()> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        for _ in 0..2 {
            let sql =
                "UPDATE deliveries SET overlay = $3, updated_at = $4 WHERE integration_id = $1 AND crm_order_id = $2";
            let changed = tx.exec(sql, args![key.integration, key.crm_order, saved_request, now]).await?;
            // One that another makes at this moment is found the second time.
            if changed == 1 || tx.make_delivery(key, None, Some(saved_request), now).await? != Made::There {
                break;
            }
        }
        tx.commit().await
    }
}

impl Tx {
    /// Locks those of several known deliveries that nobody holds, until the transaction ends.
    /// Whoever writes one at this moment is waited for.
    pub async fn lock_free_deliveries(&mut self, deliveries: &[DeliveryId], now: Timestamp) -> Result<Vec<Delivery>> {
        let dialect = self.dialect();
        let sql = format!(
            "SELECT {COLUMNS} FROM deliveries WHERE {} AND {} ORDER BY id {}",
            dialect.among("id", 1),
            free(2),
            dialect.for_update()
        );
        self.read_all(sql, args![deliveries, now], |row| Ok(not_ahead(read(row)?, now))).await
    }

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
        let sql = format!(
            "INSERT INTO deliveries (integration_id, crm_order_id, number, orderno, generation, state, lease_owner, \
             lease_until, fence, overlay, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, 'planned', $6, $7, $8, $9, $10, $10) \
             ON CONFLICT (integration_id, crm_order_id) DO NOTHING RETURNING {COLUMNS}"
        );
        let args = args![
            key.integration,
            key.crm_order,
            key.number.as_str(),
            orderno.as_str(),
            generation,
            lease.map(|(owner, _)| owner),
            lease.map_or(Timestamp::UNIX_EPOCH, |(_, until)| until),
            lease.map_or(0, |_| if is_mutant(Mutant::FencesCounted) { 1 } else { random_number() }),
            saved_request,
            now
        ];
        let row = self.fetch_one(sql, args).await?;
        Ok(match row {
            Some(row) => Made::Fresh(Box::new(read(&row)?)),
            None => Made::There,
        })
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
