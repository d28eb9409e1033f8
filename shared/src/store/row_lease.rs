//! Takes the leases of orders' rows, whatever table they are of.
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

/// Who wants the rows of some orders, and until when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim<'a> {
    pub integration: IntegrationId,
    pub orders: &'a [CrmOrderId],
    pub owner: &'a str,
    pub until: Timestamp,
    pub now: Timestamp,
}

impl Tx {
    /// Takes those rows of some orders in `table` that nobody holds and that also meet
    /// `condition`, and answers `columns` of each.
    pub(crate) async fn take_rows(
        &mut self,
        claim: &Claim<'_>,
        table: &str,
        condition: &str,
        columns: &str,
    ) -> Result<Vec<Row>> {
        if claim.orders.is_empty() {
            return Ok(Vec::new());
        }
        let dialect = self.dialect();
        let among = dialect.among("crm_order_id", 2);
        let rows = dialect.in_order(table, &format!("integration_id = $1 AND {among} AND {condition} AND {}", free(5)));
        let sql = format!(
            "UPDATE {table} SET lease_owner = $3, lease_until = $4, {} WHERE {rows} RETURNING {columns}",
            drawn(table, 6)
        );
        let args = args![claim.integration, claim.orders, claim.owner, claim.until, claim.now, random_number()];
        self.fetch(sql, args).await
    }
}
