//! Signs of life of an integration: when its statuses were last read, and when it last brought an
//! order to MeaSoft.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::args;
use crate::domain::{Integration, IntegrationId};
use crate::store::Store;
use crate::store::db::{Result, Row};

/// Orders of an integration that are looked at.
const NEWEST: u32 = 200;

impl Store {
    /// When the status stream of an integration's cabinet last answered to its end, with news or
    /// without. Integrations of one cabinet and stream share it.
    pub async fn last_synced(&self, integration: &Integration) -> Result<Option<Timestamp>> {
        let sql = "SELECT sealed_at FROM status_batches WHERE account = $1 AND stream_id = $2 AND sealed_at IS NOT NULL \
                   ORDER BY id DESC LIMIT 1";
        let args = args![integration.courier_account(), integration.settings.stream_id];
        self.db.moment(sql, args, "sealed_at").await
    }

    /// When each integration last placed an order at MeaSoft or changed one there, of its newest
    /// orders: where none of so many went there, that is no sign of life any more.
    pub async fn last_placed(&self) -> Result<BTreeMap<IntegrationId, Timestamp>> {
        let sql = format!(
            "SELECT id, at FROM (SELECT i.id, (SELECT MAX(sent_at) FROM (SELECT sent_at, state FROM deliveries d \
             WHERE d.integration_id = i.id ORDER BY crm_order_id DESC LIMIT {NEWEST}) AS newest \
             WHERE state NOT IN ('planned', 'sending', 'unknown', 'rejected')) AS at FROM integrations i) AS placed \
             WHERE at IS NOT NULL"
        );
        let read = |row: &Row| Ok((IntegrationId(row.int("id")?), row.moment("at")?));
        self.db.read_all(sql, vec![], read).await
    }
}
