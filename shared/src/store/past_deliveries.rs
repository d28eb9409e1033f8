//! Deliveries that are over, kept for good in a few words: an order that ended is never placed a
//! second time, however late it is saved again, and a number that was used is never given to
//! another order.

use jiff::Timestamp;

use crate::args;
use crate::domain::{CrmOrderId, Delivery, DeliveryState, IntegrationId, OrderNo};
use crate::store::Store;
use crate::store::db::{Dialect, Result, Row, Tx};
use crate::store::sets::Set;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastDelivery {
    pub integration: IntegrationId,
    pub crm_order: CrmOrderId,
    /// The order's number then.
    pub number: String,
    pub orderno: OrderNo,
    pub generation: u32,
    /// How it ended.
    pub state: DeliveryState,
    /// MeaSoft's last status code.
    pub status: Option<String>,
    pub ended_at: Timestamp,
}

impl PastDelivery {
    pub fn of(d: &Delivery, ended_at: Timestamp) -> Self {
        Self {
            integration: d.integration,
            crm_order: d.crm_order,
            number: d.number.clone(),
            orderno: d.orderno.clone(),
            generation: d.generation,
            state: d.state,
            status: d.status.clone(),
            ended_at,
        }
    }

    /// What we cancelled ourselves may be placed anew; what ended may not.
    pub fn is_final(&self) -> bool {
        self.state != DeliveryState::Cancelled
    }
}

const COLUMNS: &str = "integration_id, crm_order_id, number, orderno, generation, state, status, ended_at";

/// What is over of some orders, the second argument; the last of each first.
fn of_orders(dialect: Dialect) -> String {
    let among = dialect.among("crm_order_id", 2);
    format!("SELECT {COLUMNS} FROM past_deliveries WHERE integration_id = $1 AND {among} ORDER BY generation DESC")
}

impl Store {
    /// What is over of some orders, the last one of each first.
    pub async fn past_deliveries(
        &self,
        integration: IntegrationId,
        orders: &[CrmOrderId],
    ) -> Result<Vec<PastDelivery>> {
        self.db.read_all(of_orders(self.db.dialect()), args![integration, orders], read).await
    }

    /// What is over under a number, RetailCRM's or ours.
    pub async fn past_by_number(&self, number: &str, integration: Option<IntegrationId>) -> Result<Vec<PastDelivery>> {
        // Each by an index of its own; that of our numbers begins with the integration.
        let by = |also: &str| {
            format!(
                "SELECT {COLUMNS} FROM past_deliveries WHERE {also} AND (CAST($2 AS BIGINT) IS NULL OR integration_id = $2)"
            )
        };
        let ours = by("orderno = $1 AND integration_id IN (SELECT id FROM integrations)");
        let sql = format!("{} UNION {ours} ORDER BY ended_at", by("number = $1"));
        self.db.read_all(sql, args![number, integration], read).await
    }
}

impl Tx {
    pub async fn past_of(&mut self, integration: IntegrationId, orders: &[CrmOrderId]) -> Result<Vec<PastDelivery>> {
        self.read_all(of_orders(self.dialect()), args![integration, orders], read).await
    }

    /// Keeps them for good; once is enough.
    pub async fn keep_past(&mut self, past: &[&PastDelivery]) -> Result<()> {
        let set = Set::of(COLUMNS.split(", "), past, |past| {
            args![
                past.integration,
                past.crm_order,
                &past.number,
                past.orderno.as_str(),
                past.generation,
                past.state.as_str(),
                past.status.as_deref(),
                past.ended_at
            ]
        });
        let kept = self.exec_set(set, vec![], |v| {
            format!(
                "INSERT INTO past_deliveries ({COLUMNS}) SELECT {COLUMNS} FROM {v} WHERE 1 = 1 \
                 ON CONFLICT (integration_id, orderno) DO NOTHING"
            )
        });
        kept.await.map(|_| ())
    }
}

fn read(row: &Row) -> Result<PastDelivery> {
    Ok(PastDelivery {
        integration: IntegrationId(row.int("integration_id")?),
        crm_order: CrmOrderId(row.int("crm_order_id")?),
        number: row.text("number")?,
        orderno: OrderNo::known(row.text("orderno")?),
        generation: row.small("generation")?,
        state: row.word("state", DeliveryState::parse)?,
        status: row.opt_text("status")?,
        ended_at: row.moment("ended_at")?,
    })
}
