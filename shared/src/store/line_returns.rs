//! What the courier brought back of each line, on its way to RetailCRM: one row a delivery, with
//! the newest facts and what was written of them (protocols/retailcrm.md#editing).

use jiff::Timestamp;

use crate::domain::{CrmOrderId, DeliveryId, IntegrationId};
use crate::store::Store;
use crate::store::db::{Result, Row, Tx};
use crate::store::due::RETURNS;
use crate::store::sets::Set;
use crate::{args, closed_set};

closed_set! {
    ReturnsState {
        /// There are facts that RetailCRM was not told.
        Wanted => "wanted",
        /// RetailCRM shows them.
        Done => "done",
        /// A person has to look.
        Dead => "dead",
    }
}

/// What MeaSoft says of a delivery's lines now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReturns {
    pub integration: IntegrationId,
    pub delivery: DeliveryId,
    /// As JSON: the same facts are the same text.
    pub facts: String,
    /// It matters only where something was written before.
    pub only_known: bool,
}

/// A row whose facts RetailCRM was not told.
#[derive(Debug, Clone)]
pub struct LineReturns {
    pub id: i64,
    pub integration: IntegrationId,
    pub delivery: DeliveryId,
    pub crm_order: CrmOrderId,
    pub number: String,
    pub orderno: String,
    pub facts: String,
    /// What was written to the order's lines, and what stood there before, as JSON.
    pub written: Option<String>,
    pub attempt: u32,
}

impl Store {
    /// Rows of an integration that are due, oldest first.
    pub async fn due_returns(&self, integration: IntegrationId, limit: u32) -> Result<Vec<LineReturns>> {
        let sql = format!(
            "SELECT r.id, r.integration_id, r.delivery_id, r.facts, r.written, r.attempt, d.crm_order_id, d.number, \
             d.orderno FROM line_returns r JOIN deliveries d ON d.id = r.delivery_id WHERE r.integration_id = $1 \
             AND r.state = 'wanted' AND {} ORDER BY r.due_at, r.id LIMIT $3",
            self.due("r.due_at", 2)
        );
        self.db.read_all(sql, args![integration, self.clock.now_ms(), limit], read).await
    }

    /// Integrations with rows that are due.
    pub async fn integrations_with_returns(&self) -> Result<Vec<IntegrationId>> {
        self.whose_are_due(RETURNS, "integration_id", |row| row.int("integration_id").map(IntegrationId)).await
    }

    /// When the next row of an integration is due.
    pub async fn next_returns_due(&self, integration: IntegrationId) -> Result<Option<Timestamp>> {
        self.next_due(RETURNS, "integration_id", integration).await
    }

    /// Looks again later.
    pub async fn postpone_returns(&self, rows: &[i64], due_at: Timestamp) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let among = self.db.dialect().among("id", 2);
        self.put_off(RETURNS, &among, due_at, vec![rows.to_vec().into()]).await
    }

    /// Looks again at what a person had to see.
    pub async fn revive_returns(&self, integration: IntegrationId) -> Result<u64> {
        let sql = "UPDATE line_returns SET state = 'wanted', attempt = 0, due_at = $2, updated_at = $2 \
                   WHERE integration_id = $1 AND state = 'dead'";
        self.db.exec(sql, args![integration, self.clock.now_ms()]).await
    }

    /// Rows by where they are, for tests and diagnosis.
    pub async fn count_returns(&self, state: ReturnsState) -> Result<i64> {
        self.count_in(RETURNS, state.as_str()).await
    }
}

impl Tx {
    /// Notes what is to be told of each delivery, named once. The same facts again are no news.
    pub async fn want_returns(&mut self, news: &[NewReturns], now: Timestamp) -> Result<()> {
        let set = Set::of(["integration_id", "delivery_id", "facts", "only_known"], news, |new| {
            args![new.integration, new.delivery, &new.facts, i64::from(new.only_known)]
        });
        let noted = self.exec_set(set, args![now], |v| {
            format!(
                "INSERT INTO line_returns (integration_id, delivery_id, facts, state, due_at, created_at, updated_at) \
                 SELECT v.integration_id, v.delivery_id, v.facts, 'wanted', $1, $1, $1 FROM {v} WHERE v.only_known = 0 \
                 OR EXISTS (SELECT 1 FROM line_returns l WHERE l.delivery_id = v.delivery_id) \
                 ON CONFLICT (delivery_id) DO UPDATE SET facts = excluded.facts, state = 'wanted', attempt = 0, \
                 due_at = excluded.due_at, updated_at = excluded.updated_at WHERE line_returns.facts <> excluded.facts"
            )
        });
        noted.await.map(|_| ())
    }

    /// Writes down what is about to be written. False when newer facts have come: it must not be.
    pub async fn begin_returns(&mut self, row: &LineReturns, written: &str, now: Timestamp) -> Result<bool> {
        let sql =
            "UPDATE line_returns SET written = $3, updated_at = $4 WHERE id = $1 AND facts = $2 AND state = 'wanted'";
        self.changed(sql, args![row.id, &row.facts, written, now]).await
    }

    /// Closes a row whose facts are still the newest; false where newer ones have come.
    pub async fn end_returns(&mut self, row: &LineReturns, state: ReturnsState, now: Timestamp) -> Result<bool> {
        let sql =
            "UPDATE line_returns SET state = $3, updated_at = $4 WHERE id = $1 AND facts = $2 AND state = 'wanted'";
        self.changed(sql, args![row.id, &row.facts, state.as_str(), now]).await
    }
}

fn read(row: &Row) -> Result<LineReturns> {
    Ok(LineReturns {
        id: row.int("id")?,
        integration: IntegrationId(row.int("integration_id")?),
        delivery: DeliveryId(row.int("delivery_id")?),
        crm_order: CrmOrderId(row.int("crm_order_id")?),
        number: row.text("number")?,
        orderno: row.text("orderno")?,
        facts: row.text("facts")?,
        written: row.opt_text("written")?,
        attempt: row.small("attempt")?,
    })
}
