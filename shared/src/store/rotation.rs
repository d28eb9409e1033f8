//! Sealing what is stored with a new secret key, beside running processes. Each row is
//! changed only if nobody else did meanwhile; what is done already is passed over, so that
//! a run that was cut short is simply begun again.

use crate::args;
use crate::domain::{CrmOrderId, IntegrationId};
use crate::store::Store;
use crate::store::db::Result;

/// Rows read at a time.
const BATCH: u32 = 200;

/// What one run sealed anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resealed {
    pub integrations: u64,
    pub deliveries: u64,
    /// Orders whose outcome is unknown: their receivers are recognised by the key that was
    /// in use when they were sent.
    pub unknown: u64,
}

impl Store {
    /// Seals everything with our key, in rounds until one finds nothing more. `saved_request`
    /// gives the new text of a delivery's saved request, `None` where nothing is to be done;
    /// `progress` hears how many rows have been changed.
    /// On an error what was done stays done.
    pub async fn reseal(
        &self,
        saved_request: impl Fn(&str, IntegrationId, CrmOrderId) -> Option<String>,
        mut progress: impl FnMut(u64),
    ) -> Result<Resealed> {
        let mut all = Resealed::default();
        loop {
            let integrations = self.reseal_integrations().await?;
            all.integrations += integrations;
            progress(all.integrations + all.deliveries);
            let (mut seen, mut deliveries) = (0, 0);
            loop {
                let sql = "SELECT id, integration_id, crm_order_id, overlay FROM deliveries \
                           WHERE id > $1 AND overlay IS NOT NULL ORDER BY id LIMIT $2";
                let rows = self.db.fetch(sql, args![seen, BATCH]).await?;
                for row in &rows {
                    seen = row.int("id")?;
                    let was = row.text("overlay")?;
                    let of = (IntegrationId(row.int("integration_id")?), CrmOrderId(row.int("crm_order_id")?));
                    if let Some(text) = saved_request(&was, of.0, of.1) {
                        let sql = "UPDATE deliveries SET overlay = $2 WHERE id = $1 AND overlay = $3";
                        deliveries += self.db.exec(sql, args![seen, text, was]).await?;
                    }
                }
                progress(all.integrations + all.deliveries + deliveries);
                if rows.is_empty() {
                    break;
                }
            }
            deliveries += self.reseal_corrections().await?;
            all.deliveries += deliveries;
            if integrations + deliveries == 0 {
                break;
            }
        }
        self.reseal_audit().await?;
        let sql = "SELECT COUNT(*) AS n FROM deliveries WHERE state IN ('sending', 'unknown')";
        let row = self.db.fetch_one(sql, vec![]).await?;
        all.unknown = row.map(|row| row.int("n")).transpose()?.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        Ok(all)
    }
}
