//! Orders of integrations that are a shadow of another one: what would be done with each, what
//! MeaSoft has of it, and which of them go live all the same.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::args;
use crate::domain::{CrmOrderId, DeliveryState, Fault, IntegrationId};
use crate::phrases::Details;
use crate::store::Store;
use crate::store::db::{Result, Row, StoreError, Tx, Value};
use crate::store::sets::Set;

crate::closed_set! {
    /// Who acts for an order.
    Side {
        Shadow => "shadow",
        Live => "live",
    }
}

crate::closed_set! {
    /// What comparing an order came to.
    Verdict {
        /// There is nothing to compare.
        Nothing => "nothing",
        /// MeaSoft was not asked yet.
        Waiting => "waiting",
        Same => "same",
        Different => "different",
        /// We would have placed it, and MeaSoft does not have it.
        MissingThere => "missing_there",
        /// MeaSoft has it, and no trigger of it has come here.
        MissingHere => "missing_here",
        /// We would have refused it.
        Refused => "refused",
    }
}

/// Why it would be refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub reason: String,
    pub fault: Fault,
    /// Figures, without personal data.
    pub detail: Details,
}

/// One thing that MeaSoft has otherwise. `None`: it is about a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    pub field: String,
    pub ours: Option<String>,
    pub theirs: Option<String>,
}

/// What would be at MeaSoft, and what is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Content {
    pub generation: u32,
    /// Of what would have been sent last.
    pub hash: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub undeclared_hash: String,
    /// What is compared, by field; what is about people is blinded.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// MeaSoft's status when it was last asked; `None`: it has no such order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

/// One order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowOrder {
    pub integration: IntegrationId,
    /// `None`: a number that no order could be told by.
    pub order: Option<CrmOrderId>,
    pub number: String,
    pub orderno: Option<String>,
    pub side: Side,
    /// Where it would be if we had acted.
    pub state: DeliveryState,
    pub verdict: Verdict,
    pub content: Content,
    pub decided_at: Timestamp,
    /// When MeaSoft is asked next.
    pub due_at: Option<Timestamp>,
    pub asks: u32,
    pub asked_at: Option<Timestamp>,
    pub version: i64,
}

impl ShadowOrder {
    /// Nothing was decided about it yet.
    pub fn new(integration: IntegrationId, order: Option<CrmOrderId>, number: &str, side: Side, at: Timestamp) -> Self {
        Self {
            integration,
            order,
            number: number.to_owned(),
            orderno: None,
            side,
            state: DeliveryState::Planned,
            verdict: Verdict::Nothing,
            content: Content { generation: 1, ..Content::default() },
            decided_at: at,
            due_at: None,
            asks: 0,
            asked_at: None,
            version: 0,
        }
    }

    fn key(&self) -> String {
        self.order.map_or_else(|| format!("#{}", self.number), |order| order.to_string())
    }
}

const COLUMNS: [&str; 13] = [
    "integration_id",
    "order_key",
    "number",
    "orderno",
    "side",
    "state",
    "verdict",
    "content",
    "decided_at",
    "due_at",
    "asks",
    "asked_at",
    "version",
];

fn set(rows: &[ShadowOrder]) -> Set {
    Set::of(COLUMNS, rows, |row| {
        args![
            row.integration,
            row.key(),
            &row.number,
            row.orderno.as_deref(),
            row.side.as_str(),
            row.state.as_str(),
            row.verdict.as_str(),
            serde_json::to_string(&row.content).expect("texts serialise"),
            row.decided_at,
            row.due_at,
            row.asks,
            row.asked_at,
            row.version
        ]
    })
}

fn inserted(v: &str) -> String {
    let (columns, values) = (COLUMNS.join(", "), COLUMNS.map(|name| format!("v.{name}")).join(", "));
    format!(
        "INSERT INTO shadow_orders ({columns}) SELECT {values} FROM {v} WHERE 1 = 1 ON CONFLICT (integration_id, order_key)"
    )
}

impl Store {
    /// What is known of some orders.
    pub async fn shadow_orders(&self, integration: IntegrationId, orders: &[CrmOrderId]) -> Result<Vec<ShadowOrder>> {
        let keys: Vec<String> = orders.iter().map(ToString::to_string).collect();
        let among = self.db.dialect().among("order_key", 2);
        let sql = format!("SELECT {} FROM shadow_orders WHERE integration_id = $1 AND {among}", COLUMNS.join(", "));
        let keys = Value::texts(keys.iter().map(String::as_str));
        self.db.read_all(sql, vec![Value::from(integration), keys], read).await
    }

    /// Keeps on which side orders are whose first it is; one that has a side keeps it.
    pub async fn choose_sides(&self, rows: &[ShadowOrder]) -> Result<()> {
        self.db.exec_set(set(rows), |v| format!("{} DO NOTHING", inserted(v))).await.map(|_| ())
    }

    /// Keeps what was decided of orders, each of which is named once. Their sides stay.
    pub async fn keep_shadow_orders(&self, rows: &[ShadowOrder]) -> Result<()> {
        let kept = ["number", "orderno", "state", "verdict", "content", "decided_at", "due_at", "asks", "asked_at"];
        let kept = kept.map(|name| format!("{name} = excluded.{name}")).join(", ");
        let sql = |v: &str| format!("{} DO UPDATE SET {kept}, version = shadow_orders.version + 1", inserted(v));
        self.db.exec_set(set(rows), sql).await.map(|_| ())
    }

    /// Keeps what was found of orders, unless something newer was decided of them since they were
    /// read.
    pub async fn note_compared(&self, rows: &[ShadowOrder]) -> Result<()> {
        let columns = ["integration_id", "order_key", "version", "verdict", "content", "due_at", "asks", "asked_at"];
        let found = Set::of(columns, rows, |row| {
            let content = serde_json::to_string(&row.content).expect("texts serialise");
            let key = (row.integration, row.key(), row.version);
            args![key.0, key.1, key.2, row.verdict.as_str(), content, row.due_at, row.asks, row.asked_at]
        });
        let sql = |v: &str| {
            format!(
                "UPDATE shadow_orders SET verdict = v.verdict, content = v.content, due_at = v.due_at, asks = v.asks, \
                 asked_at = v.asked_at FROM {v} WHERE shadow_orders.integration_id = v.integration_id \
                 AND shadow_orders.order_key = v.order_key AND shadow_orders.version = v.version"
            )
        };
        self.db.exec_set(found, sql).await.map(|_| ())
    }

    /// Orders about which MeaSoft is to be asked by now, the oldest question first.
    pub async fn due_shadow_orders(
        &self,
        integration: IntegrationId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<ShadowOrder>> {
        let condition = "side = 'shadow' AND due_at IS NOT NULL AND due_at <= $2 ORDER BY due_at, order_key LIMIT $3";
        self.select_shadow(&format!("integration_id = $1 AND {condition}"), args![integration, now, limit]).await
    }

    /// Orders that another integration placed, and that nobody has taken over yet; and those of which
    /// a worker that did not know yet that they are live decided so since.
    pub async fn left_in_shadow(
        &self,
        integration: IntegrationId,
        live_since: Timestamp,
        limit: u32,
    ) -> Result<Vec<ShadowOrder>> {
        let condition = "integration_id = $1 AND (side = 'shadow' OR (due_at IS NOT NULL AND decided_at >= $2)) \
                         ORDER BY decided_at, order_key LIMIT $3";
        self.select_shadow(condition, args![integration, live_since, limit]).await
    }

    /// What was decided since a moment, of one integration or of all, newest first.
    pub async fn shadow_orders_since(
        &self,
        integration: Option<IntegrationId>,
        since: Timestamp,
    ) -> Result<Vec<ShadowOrder>> {
        let condition = "decided_at >= $1 AND (CAST($2 AS BIGINT) IS NULL OR integration_id = $2) \
                         ORDER BY integration_id, decided_at DESC, order_key";
        self.select_shadow(condition, args![since, integration]).await
    }

    async fn select_shadow(&self, condition: &str, args: Vec<Value>) -> Result<Vec<ShadowOrder>> {
        let sql = format!("SELECT {} FROM shadow_orders WHERE {condition}", COLUMNS.join(", "));
        self.db.read_all(sql, args, read).await
    }

    /// Orders that bear some numbers at MeaSoft: several may bear one.
    pub async fn known_in_shadow(&self, integration: IntegrationId, ordernos: &[&str]) -> Result<Vec<ShadowOrder>> {
        let among = self.db.dialect().among("orderno", 2);
        let args = vec![Value::from(integration), Value::texts(ordernos.iter().copied())];
        self.select_shadow(&format!("integration_id = $1 AND {among}"), args).await
    }

    /// When the first order was looked at; `None`: none ever was.
    pub async fn in_shadow_since(&self, integration: IntegrationId) -> Result<Option<Timestamp>> {
        let sql = "SELECT MIN(decided_at) AS at FROM shadow_orders WHERE integration_id = $1";
        self.db.moment(sql, args![integration], "at").await
    }

    /// Whether the ledger has anything of an integration that is at MeaSoft, or may be.
    pub async fn has_deliveries(&self, integration: IntegrationId) -> Result<bool> {
        let sql = "SELECT COUNT(*) AS n FROM (SELECT 1 FROM deliveries WHERE integration_id = $1 LIMIT 1) AS found";
        Ok(self.db.count(sql, args![integration]).await? > 0)
    }

    /// Forgets what was decided before a moment. Who goes live has a row in the ledger.
    pub async fn forget_shadow_orders(&self, before: Timestamp) -> Result<u64> {
        self.db.exec("DELETE FROM shadow_orders WHERE decided_at < $1", args![before]).await
    }
}

impl Tx {
    /// Orders are ours from now on.
    pub async fn leave_shadow(&mut self, rows: &[ShadowOrder]) -> Result<()> {
        let ours = Set::of(["integration_id", "order_key"], rows, |row| args![row.integration, row.key()]);
        let sql = |v: &str| {
            format!(
                "UPDATE shadow_orders SET side = 'live', due_at = NULL FROM {v} \
                 WHERE shadow_orders.integration_id = v.integration_id AND shadow_orders.order_key = v.order_key"
            )
        };
        self.exec_set(ours, vec![], sql).await.map(|_| ())
    }
}

fn read(row: &Row) -> Result<ShadowOrder> {
    Ok(ShadowOrder {
        integration: IntegrationId(row.int("integration_id")?),
        order: row.text("order_key")?.parse().ok().map(CrmOrderId),
        number: row.text("number")?,
        orderno: row.opt_text("orderno")?,
        side: row.word("side", Side::parse)?,
        state: row.word("state", DeliveryState::parse)?,
        verdict: row.word("verdict", Verdict::parse)?,
        content: serde_json::from_str(&row.text("content")?).map_err(|_| StoreError::BadRow("content"))?,
        decided_at: row.moment("decided_at")?,
        due_at: row.opt_moment("due_at")?,
        asks: row.small("asks")?,
        asked_at: row.opt_moment("asked_at")?,
        version: row.int("version")?,
    })
}
