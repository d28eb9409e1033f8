//! Signs of life of an integration: when its statuses were last read, and when it last brought an
//! order to MeaSoft.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::args;
use crate::domain::{Integration, IntegrationId};
use crate::store::Store;
use crate::store::db::{Result, Row};

impl Store {
    /// When the status stream of an integration's cabinet last answered to its end, with news or
    /// without. Integrations of one cabinet and stream share it.
    pub async fn last_synced(&self, integration: &Integration) -> Result<Option<Timestamp>> {
        let sql = "SELECT sealed_at FROM status_batches WHERE account = $1 AND stream_id = $2 AND sealed_at IS NOT NULL \
                   ORDER BY id DESC LIMIT 1";
        let args = args![integration.courier_account(), integration.settings.stream_id];
        self.db.moment(sql, args, "sealed_at").await
    }

    /// When each integration last placed an order at MeaSoft or changed one there, of the orders
    /// that the ledger still holds.
    pub async fn last_placed(&self) -> Result<BTreeMap<IntegrationId, Timestamp>> {
        // In the order of the table: in that of an index each row would have to be looked for.
        let sql = "SELECT integration_id, MAX(sent_at) AS at FROM (SELECT integration_id + 0 AS integration_id, sent_at \
                   FROM deliveries WHERE sent_at IS NOT NULL AND state NOT IN ('planned', 'sending', 'unknown', 'rejected')) \
                   AS placed GROUP BY integration_id";
        let read = |row: &Row| Ok((IntegrationId(row.int("integration_id")?), row.moment("at")?));
        self.db.read_all(sql, vec![], read).await
    }
}
