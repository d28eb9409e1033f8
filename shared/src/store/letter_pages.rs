//! Dead letters a page at a time.

use crate::args;
use crate::domain::{CrmOrderId, IntegrationId};
use crate::store::Store;
use crate::store::db::{Result, Value};
use crate::store::dead_letters::{COLUMNS, DeadFilter, DeadLetter, read};

impl Store {
    /// Letters that a filter lets through, the newest first: at most `limit`, only older ones than
    /// `before`, only of one order number where it is given.
    pub async fn dead_letters_page(
        &self,
        filter: &DeadFilter,
        number: Option<&str>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<DeadLetter>> {
        let (mut condition, mut args) = filter.condition();
        let mut also = |what: &str, value: Value| {
            args.push(value);
            condition.push_str(&format!(" AND {what} ${}", args.len()));
        };
        if let Some(number) = number {
            also("d.number =", number.into());
        }
        if let Some(before) = before {
            also("d.id <", before.into());
        }
        let sql = format!("SELECT {COLUMNS} FROM dead_letters d WHERE {condition} ORDER BY id DESC LIMIT {limit}");
        self.db.read_all(sql, args, read).await
    }

    /// Open letters about an order, the newest first.
    pub async fn open_letters_of(
        &self,
        integration: IntegrationId,
        order: Option<CrmOrderId>,
        number: &str,
    ) -> Result<Vec<DeadLetter>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM dead_letters WHERE state = 'open' AND integration_id = $1 \
             AND (crm_order_id = $2 OR number = $3) ORDER BY id DESC LIMIT 100"
        );
        self.db.read_all(sql, args![integration, order, number], read).await
    }
}
