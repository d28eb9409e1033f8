//! Vendors' reference lists, kept so that a look-up costs no request.

use jiff::Timestamp;

use crate::args;
use crate::domain::IntegrationId;
use crate::store::Store;
use crate::store::db::Result;

impl Store {
    /// A kept list as its JSON text and when it was fetched.
    pub async fn reference(&self, integration: IntegrationId, name: &str) -> Result<Option<(String, Timestamp)>> {
        let sql = "SELECT body, fetched_at FROM reference_cache WHERE integration_id = $1 AND name = $2";
        let row = self.db.fetch_one(sql, args![integration, name]).await?;
        row.map(|row| Ok((row.text("body")?, row.moment("fetched_at")?))).transpose()
    }

    pub async fn keep_reference(&self, integration: IntegrationId, name: &str, body: &str) -> Result<()> {
        let sql = "INSERT INTO reference_cache (integration_id, name, body, fetched_at) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (integration_id, name) DO UPDATE SET body = $3, fetched_at = $4";
        self.db.run(sql, args![integration, name, body, self.clock.now_ms()]).await
    }
}
