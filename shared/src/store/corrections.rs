//! What somebody set right for one order, by its RetailCRM id: sealed, since it is about people.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::args;
use crate::crypto::SecretKey;
use crate::debug::hidden_debug;
use crate::domain::{CorrectedField, CrmOrderId, IntegrationId, Secret};
use crate::store::Store;
use crate::store::audit::{Act, NewAudit, Who};
use crate::store::db::{Dialect, Result, Row, StoreError, Tx};
use crate::store::intents::OrderRequest;
use crate::store::journal::{Entry, What};
use crate::story::{Event, Field, FieldChange};

/// Two values of a field: RetailCRM's at the time, and what is meant instead.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Values {
    pub before: String,
    pub after: String,
}

hidden_debug!(Values);

/// A correction that holds as long as RetailCRM shows [`Values::before`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    pub order: CrmOrderId,
    pub field: CorrectedField,
    pub values: Values,
    pub who: String,
    pub version: i64,
    pub made_at: Timestamp,
}

/// What is to be set right.
#[derive(Debug, Clone)]
pub struct NewCorrections {
    pub integration: IntegrationId,
    pub order: CrmOrderId,
    pub number: String,
    pub values: Vec<(CorrectedField, Values)>,
    /// The newest version that whoever corrects has seen; 0: none.
    pub seen: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Corrected {
    /// Under this version.
    Done(i64),
    /// Somebody else has corrected the order meanwhile: who, and when.
    Overtaken { who: String, at: Timestamp },
}

fn place(integration: IntegrationId, order: CrmOrderId, field: CorrectedField) -> String {
    format!("correction:{integration}:{order}:{}", field.as_str())
}

/// What is told of a value that says something of a person.
const CHANGED: &str = "изменено";

const COLUMNS: &str = "integration_id, crm_order_id, field, value, who, version, made_at";

impl Store {
    /// Corrections of some orders of an integration. What no key of ours opens any more is left out.
    pub async fn corrections(&self, integration: IntegrationId, orders: &[CrmOrderId]) -> Result<Vec<Correction>> {
        let among = self.db.dialect().among("crm_order_id", 2);
        let sql = format!(
            "SELECT {COLUMNS} FROM corrections WHERE integration_id = $1 AND {among} ORDER BY crm_order_id, field"
        );
        let ids: Vec<i64> = orders.iter().map(|order| order.0).collect();
        let found: Vec<Option<Correction>> =
            self.db.read_all(sql, args![integration, ids], |row| read(row, &self.key)).await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Those of all orders of an integration.
    pub async fn corrections_of(&self, integration: IntegrationId) -> Result<Vec<Correction>> {
        let sql = format!("SELECT {COLUMNS} FROM corrections WHERE integration_id = $1");
        let found: Vec<Option<Correction>> =
            self.db.read_all(sql, args![integration], |row| read(row, &self.key)).await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Sets right what is wrong with an order, asks for what follows from it, and notes who did it:
    /// one commit.
    pub async fn correct(&self, new: &NewCorrections, request: &OrderRequest, who: &Who) -> Result<Corrected> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        tx.lock_corrections(new.order).await?;
        let sql = "SELECT who, version, made_at FROM corrections WHERE integration_id = $1 AND crm_order_id = $2 \
                   ORDER BY version DESC LIMIT 1";
        let read = |row: &Row| Ok((row.text("who")?, row.int("version")?, row.moment("made_at")?));
        let newest = tx.read_one(sql, args![new.integration, new.order], read).await?;
        let known = newest.as_ref().map_or(0, |(_, version, _)| *version);
        if let Some((who, _, at)) = newest
            && known > new.seen
        {
            return Ok(Corrected::Overtaken { who, at });
        }
        // A correction that ended took its version with it: the next one is larger all the same.
        let version = known.max(new.seen) + 1;
        let mut entry = NewAudit::new(
            who,
            Act::Corrected,
            Some(new.integration),
            format!("order {} (id {})", new.number, new.order),
        );
        for (field, values) in &new.values {
            let text = serde_json::to_string(values).expect("two texts serialise");
            let sealed = self.key.seal(&place(new.integration, new.order, *field), &Secret::new(text));
            let sql = format!(
                "INSERT INTO corrections ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7) \
                 ON CONFLICT (integration_id, crm_order_id, field) DO UPDATE SET value = excluded.value, \
                 who = excluded.who, version = excluded.version, made_at = excluded.made_at"
            );
            tx.run(sql, args![new.integration, new.order, field.as_str(), sealed, &who.name, version, now]).await?;
            if field.is_personal() {
                entry.after.insert(field.as_str().to_owned(), CHANGED.into());
            } else {
                entry = entry.with(field.as_str(), values.before.as_str(), values.after.as_str());
            }
        }
        let change = |(field, values): &(CorrectedField, Values)| {
            let named = Field::Corrected { field: *field };
            if field.is_personal() {
                FieldChange::hidden(named)
            } else {
                FieldChange::shown(named, values.before.as_str(), values.after.as_str())
            }
        };
        let changes = new.values.iter().map(change);
        let event = Event::Corrected { who: who.person(), changes: changes.collect() };
        let told = Entry::new(now, What::Operator, event);
        tx.append_journal(&told.about(new.integration, &new.number)).await?;
        tx.record_request(request, now).await?;
        tx.append_audit(&self.key, &entry, now).await?;
        tx.commit().await?;
        Ok(Corrected::Done(version))
    }

    /// RetailCRM's own value has changed since: it says what is right again.
    pub async fn end_correction(&self, integration: IntegrationId, ended: &Correction) -> Result<()> {
        let sql =
            "DELETE FROM corrections WHERE integration_id = $1 AND crm_order_id = $2 AND field = $3 AND version = $4";
        self.db.run(sql, args![integration, ended.order, ended.field.as_str(), ended.version]).await
    }

    /// Forgets those made before a moment, of orders that no delivery is kept of.
    pub async fn forget_corrections(&self, before: Timestamp) -> Result<u64> {
        let sql = "DELETE FROM corrections WHERE made_at < $1 AND NOT EXISTS (SELECT 1 FROM deliveries d \
                   WHERE d.integration_id = corrections.integration_id AND d.crm_order_id = corrections.crm_order_id)";
        self.db.exec(sql, args![before]).await
    }

    /// Seals with our key what another that we know has sealed. Answers how many.
    pub(super) async fn reseal_corrections(&self) -> Result<u64> {
        let mut done = 0;
        for row in self.db.fetch(format!("SELECT {COLUMNS} FROM corrections"), vec![]).await? {
            let (integration, order) =
                (IntegrationId(row.int("integration_id")?), CrmOrderId(row.int("crm_order_id")?));
            let (field, was) = (row.word("field", CorrectedField::parse)?, row.bytes("value")?);
            let place = place(integration, order, field);
            let Some(sealed) = self.key.resealed(&place, &was) else { continue };
            let sql = "UPDATE corrections SET value = $4 WHERE integration_id = $1 AND crm_order_id = $2 AND field = $3 \
                       AND version = $5";
            let args = args![integration, order, field.as_str(), sealed, row.int("version")?];
            done += self.db.exec(sql, args).await?;
        }
        Ok(done)
    }
}

impl Tx {
    /// One at a time for an order, also where there is no row yet; SQLite has one writer.
    async fn lock_corrections(&mut self, order: CrmOrderId) -> Result<()> {
        match self.dialect() {
            Dialect::Sqlite => Ok(()),
            Dialect::Postgres => {
                let sql = format!("SELECT pg_advisory_xact_lock(7204109, {})", order.0 % i64::from(i32::MAX));
                self.fetch(sql, vec![]).await.map(|_| ())
            }
        }
    }
}

fn read(row: &Row, key: &SecretKey) -> Result<Option<Correction>> {
    let (integration, order) = (IntegrationId(row.int("integration_id")?), CrmOrderId(row.int("crm_order_id")?));
    let field = row.word("field", CorrectedField::parse)?;
    let Ok(text) = key.open(&place(integration, order, field), &row.bytes("value")?) else { return Ok(None) };
    let values = serde_json::from_str(text.expose()).map_err(|_| StoreError::BadRow("value"))?;
    let (who, version, made_at) = (row.text("who")?, row.int("version")?, row.moment("made_at")?);
    Ok(Some(Correction { order, field, values, who, version, made_at }))
}
