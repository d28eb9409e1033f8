//! Takes the lease of an order's row, whatever table it is of.

use jiff::Timestamp;

use crate::args;
use crate::domain::{CrmOrderId, IntegrationId};
use crate::store::db::{Result, Row, Tx};
use crate::store::free;

/// Who wants the row, and until when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim<'a> {
    pub integration: IntegrationId,
    pub order: CrmOrderId,
    pub owner: &'a str,
    pub until: Timestamp,
    pub now: Timestamp,
}

impl Tx {
    /// Takes the row of an order in `table` that also meets `condition`, and answers `columns`
    /// of it; `None` when another holds it or there is none.
    pub(crate) async fn take_row(
        &mut self,
        claim: &Claim<'_>,
        table: &str,
        condition: &str,
        columns: &str,
    ) -> Result<Option<Row>> {
        self.fetch_one(
            format!(
                "UPDATE {table} SET lease_owner = $3, lease_until = $4, fence = fence + 1 WHERE integration_id = $1 \
                 AND crm_order_id = $2 AND {condition} AND {} RETURNING {columns}",
                free(5)
            ),
            args![
                claim.integration,
                claim.order,
                claim.owner,
                claim.until.as_millisecond(),
                claim.now.as_millisecond()
            ],
        )
        .await
    }
}
