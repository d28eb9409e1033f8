//! Takes the lease of an order's row, whatever table it is of.
//!
//! A fence is drawn anew at each taking and never repeats. Counted up it would: a replica that
//! was behind when it took over counts the same numbers again, for other holders.

use jiff::Timestamp;

use crate::args;
use crate::crypto::random_number;
use crate::domain::{CrmOrderId, IntegrationId};
use crate::mutant::{Mutant, is_mutant};
use crate::store::db::{Result, Row, Tx};
use crate::store::free;

/// The fence of a new taking, as an argument. Of a delivery the one before is kept: it tells
/// whether others held it since it was looked at.
pub(crate) fn drawn(table: &str, place: usize) -> String {
    let prior = if table == "deliveries" { "prior_fence = fence, " } else { "" };
    if is_mutant(Mutant::FencesCounted) {
        return format!("{prior}fence = fence + 1 + 0 * ${place}");
    }
    format!("{prior}fence = ${place}")
}

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
        let sql = format!(
            "UPDATE {table} SET lease_owner = $3, lease_until = $4, {} WHERE integration_id = $1 \
             AND crm_order_id = $2 AND {condition} AND {} RETURNING {columns}",
            drawn(table, 6),
            free(5)
        );
        let args = args![claim.integration, claim.order, claim.owner, claim.until, claim.now, random_number()];
        self.fetch_one(sql, args).await
    }
}
