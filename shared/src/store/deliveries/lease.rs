//! Deliveries in somebody's hand, under a lease with a fencing number, and the making of their
//! rows.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use crate::args;
use crate::crypto::random_number;
use crate::domain::delivery::CALL_LIMIT;
use crate::domain::{CrmOrderId, Delivery, DeliveryId, IntegrationId, OrderNumber};
use crate::mutant::{Mutant, is_mutant};
use crate::store::db::{Result, Row, Tx};
use crate::store::deliveries::{COLUMNS, read};
use crate::store::many::ids;
use crate::store::numbers::numbers;
use crate::store::past_deliveries::PastDelivery;
use crate::store::row_lease::{Claim, drawn};
use crate::store::sets::Set;
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
    pub async fn still_held(&self, deliveries: &[&Delivery]) -> Result<HashSet<CrmOrderId>> {
        if deliveries.is_empty() {
            return Ok(HashSet::new());
        }
        let ids: Vec<i64> = deliveries.iter().map(|d| d.id.0).collect();
        let sql = format!("SELECT id, fence, crm_order_id FROM deliveries WHERE {}", self.db.dialect().among("id", 1));
        let read = |row: &Row| Ok((row.int("id")?, row.int("fence")?, row.int("crm_order_id")?));
        let kept: HashSet<_> = self.db.read_all(sql, args![ids], read).await?;
        let held = deliveries.iter().filter(|d| kept.contains(&(d.id.0, d.fence, d.crm_order.0)));
        Ok(held.map(|d| d.crm_order).collect())
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
            let one = std::slice::from_ref(key);
            if changed == 1 || tx.make_deliveries(one, None, Some(saved_request), now).await? != [Made::There] {
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

    /// Takes the lease of a delivery, creating its row when there is none.
    pub async fn lease_delivery(
        &mut self,
        key: &DeliveryKey<'_>,
        owner: &str,
        lease_until: Timestamp,
        now: Timestamp,
    ) -> Result<Leased> {
        if let Some(known) = self.lease_orders(key.integration, &[key.crm_order], owner, lease_until, now).await?.pop()
        {
            return Ok(Leased::Taken(Box::new(known)));
        }
        let mut made = self.lease_new_deliveries(std::slice::from_ref(key), owner, lease_until, now).await?;
        Ok(made.pop().unwrap_or(Leased::Held))
    }

    /// Takes the leases of those deliveries of some orders that are there and that nobody holds.
    pub async fn lease_orders(
        &mut self,
        integration: IntegrationId,
        orders: &[CrmOrderId],
        owner: &str,
        lease_until: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<Delivery>> {
        let claim = Claim { integration, orders, owner, until: lease_until, now };
        let rows = self.take_rows(&claim, "deliveries", "1 = 1", COLUMNS).await?;
        rows.iter().map(|row| Ok(not_ahead(read(row)?, now))).collect()
    }

    /// Makes the rows of deliveries of one integration that were not there to be leased, and
    /// answers what came of each: under the first number that no order has or had.
    pub async fn lease_new_deliveries(
        &mut self,
        keys: &[DeliveryKey<'_>],
        owner: &str,
        lease_until: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<Leased>> {
        let made = self.make_deliveries(keys, Some((owner, lease_until)), None, now).await?;
        // Those that another made meanwhile, or holds, are perhaps free by now.
        let there: Vec<CrmOrderId> =
            keys.iter().zip(&made).filter(|(_, made)| **made == Made::There).map(|(key, _)| key.crm_order).collect();
        let mut known = match keys.first() {
            Some(key) => self.lease_orders(key.integration, &there, owner, lease_until, now).await?,
            None => Vec::new(),
        };
        let leased = |(key, made): (&DeliveryKey<'_>, Made)| match made {
            Made::Fresh(delivery) => Leased::Taken(delivery),
            Made::Over(past) => Leased::Over(past),
            Made::There => match known.iter().position(|d| d.crm_order == key.crm_order) {
                Some(at) => Leased::Taken(Box::new(known.swap_remove(at))),
                None => Leased::Held,
            },
        };
        Ok(keys.iter().zip(made).map(leased).collect())
    }

    async fn make_deliveries(
        &mut self,
        keys: &[DeliveryKey<'_>],
        lease: Option<(&str, Timestamp)>,
        saved_request: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<Made>> {
        let Some(integration) = keys.first().map(|key| key.integration) else { return Ok(Vec::new()) };
        let orders: Vec<CrmOrderId> = keys.iter().map(|key| key.crm_order).collect();
        let past = self.past_of(integration, &orders).await?;
        let of = |order: CrmOrderId| past.iter().filter(move |past| past.crm_order == order);
        let over = |key: &DeliveryKey<'_>| of(key.crm_order).find(|past| past.is_final()).cloned();
        let fresh: Vec<&DeliveryKey<'_>> = keys.iter().filter(|key| over(key).is_none()).collect();
        let wanted = fresh.iter().map(|key| {
            let first = of(key.crm_order).map(|past| past.generation + 1).max().unwrap_or(1);
            numbers(key.prefix, key.number, key.crm_order, first)
        });
        let free = self.free_numbers(integration, wanted.collect()).await?;
        let columns = ["integration_id", "crm_order_id", "number", "orderno", "generation"];
        let set = Set::of(columns, fresh.iter().zip(&free), |(key, (generation, orderno))| {
            args![key.integration, key.crm_order, key.number, orderno, *generation]
        });
        let args = args![
            lease.map(|(owner, _)| owner),
            lease.map_or(Timestamp::UNIX_EPOCH, |(_, until)| until),
            lease.map_or(0, |_| if is_mutant(Mutant::FencesCounted) { 1 } else { random_number() }),
            saved_request,
            now
        ];
        let rows = self.fetch_set(set, args, |v| {
            format!(
                "INSERT INTO deliveries ({}, state, lease_owner, lease_until, fence, overlay, created_at, updated_at) \
                 SELECT {}, 'planned', $1, $2, $3, $4, $5, $5 FROM {v} WHERE 1 = 1 \
                 ON CONFLICT (integration_id, crm_order_id) DO NOTHING RETURNING {COLUMNS}",
                columns.join(", "),
                columns.map(|name| format!("v.{name}")).join(", ")
            )
        });
        let mut made = HashMap::with_capacity(free.len());
        for row in rows.await? {
            let d = read(&row)?;
            made.insert(d.crm_order, Box::new(d));
        }
        let come_to = |key: &DeliveryKey<'_>| match (over(key), made.remove(&key.crm_order)) {
            (Some(past), _) => Made::Over(past),
            (None, Some(delivery)) => Made::Fresh(delivery),
            (None, None) => Made::There,
        };
        Ok(keys.iter().map(come_to).collect())
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
