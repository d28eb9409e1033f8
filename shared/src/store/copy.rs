//! A copy of what the ledger knows of some orders, in a database of its own: what is tried there
//! changes nothing here.

use crate::args;
use crate::domain::{CrmOrderId, IntegrationId};
use crate::store::Store;
use crate::store::db::{Result, Value};
use crate::store::many::{ids, places};

impl Store {
    /// Copies integrations and, into an empty SQLite database, what is known of the orders: those
    /// with one of the numbers or ids at any integration, and who has one of the numbers at
    /// MeaSoft at this one. Nobody holds the copies.
    pub async fn copy_orders_to(
        &self,
        copy: &Self,
        integration: IntegrationId,
        numbers: &[&str],
        orders: &[CrmOrderId],
        ordernos: &[String],
    ) -> Result<()> {
        let named = |place: usize| match numbers {
            [] => "1 = 0".to_owned(),
            _ => format!("number IN ({})", places(place, numbers.len())),
        };
        let by_id = match orders {
            [] => "1 = 0".to_owned(),
            _ => format!("crm_order_id IN ({})", ids(orders)),
        };
        let with_orderno = match ordernos {
            [] => "1 = 0".to_owned(),
            _ => format!("orderno IN ({})", places(2 + numbers.len(), ordernos.len())),
        };
        let names = || numbers.iter().map(|number| Value::from(*number));
        let of_here = || args![integration].into_iter().chain(names()).collect::<Vec<_>>();
        let delivered = format!("{} OR {by_id} OR (integration_id = $1 AND {with_orderno})", named(2));
        let delivered_args = || of_here().into_iter().chain(ordernos.iter().map(Value::from)).collect::<Vec<_>>();
        self.copy_rows(copy, "integrations", "1 = 1", vec![]).await?;
        self.copy_rows(copy, "reference_cache", "integration_id = $1", args![integration]).await?;
        self.copy_rows(copy, "deliveries", &delivered, delivered_args()).await?;
        self.copy_rows(copy, "past_deliveries", &delivered, delivered_args()).await?;
        self.copy_rows(copy, "intents", &format!("integration_id = $1 AND {}", named(2)), of_here()).await?;
        let wanted = format!("integration_id = $1 AND ({by_id} OR {})", named(2));
        self.copy_rows(copy, "order_intents", &wanted, of_here()).await?;
        self.copy_rows(copy, "corrections", &format!("integration_id = $1 AND {by_id}"), args![integration]).await?;
        for table in ["deliveries", "intents", "order_intents"] {
            copy.db.run(format!("UPDATE {table} SET lease_owner = NULL, lease_until = 0"), vec![]).await?;
        }
        Ok(())
    }

    async fn copy_rows(&self, copy: &Self, table: &str, condition: &str, args: Vec<Value>) -> Result<()> {
        let sql = format!("SELECT name, type FROM pragma_table_info('{table}') ORDER BY cid");
        let read = |row: &crate::store::Row| Ok((row.text("name")?, row.text("type")?));
        let columns: Vec<(String, String)> = copy.db.read_all(sql, vec![], read).await?;
        let names = columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        let rows = self.db.fetch(format!("SELECT {names} FROM {table} WHERE {condition}"), args).await?;
        let mut tx = copy.db.begin().await?;
        for row in &rows {
            let values = columns.iter().enumerate().map(|(place, (_, kind))| row.value_at(place, kind));
            let sql = format!("INSERT INTO {table} ({names}) VALUES ({})", places(1, columns.len()));
            tx.run(sql, values.collect::<Result<Vec<_>>>()?).await?;
        }
        tx.commit().await
    }
}
