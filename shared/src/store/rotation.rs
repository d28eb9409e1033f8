//! Sealing what is stored with a new secret key, beside running processes. Each row is
//! changed only if nobody else did meanwhile; what is done already is passed over, so that
//! a run that was cut short is simply begun again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::args;
use crate::crypto::PEOPLE;
use crate::domain::{CrmOrderId, IntegrationId};
use crate::store::Store;
use crate::store::db::{Result, Row};

/// Rows read at a time.
const BATCH: u32 = 200;

/// A table and its column of JSON with something sealed in it, and of which rows it is read.
type Kept = (&'static str, &'static str, &'static str);

const SAVED_REQUESTS: Kept = ("deliveries", "overlay", "overlay IS NOT NULL");
/// Names that came with a status.
const PEOPLE_KEPT: [Kept; 2] =
    [("tracking_outbox", "details", "details IS NOT NULL"), ("status_rows", "facts", "state = 'pending'")];

/// What one run sealed anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resealed {
    pub integrations: u64,
    /// What is kept of deliveries: saved requests, corrections, names that came with a status.
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
            deliveries += self.reseal_corrections().await? + self.reseal_people().await?;
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

    /// Whether something that is kept is sealed with the other key.
    pub(super) async fn other_is_needed(&self) -> Result<bool> {
        for (table, column) in [("integrations", "client_id"), ("corrections", "value")] {
            let read = |row: &Row| row.bytes(column);
            let sealed: Vec<_> = self.db.read_all(format!("SELECT {column} FROM {table}"), vec![], read).await?;
            if sealed.iter().any(|sealed| self.key.other_has_sealed(sealed)) {
                return Ok(true);
            }
        }
        let mut is_needed = false;
        for kept in [SAVED_REQUESTS].iter().chain(&PEOPLE_KEPT) {
            let mut seen = 0;
            while let Some(texts) = self.texts_after(&mut seen, kept).await? {
                for (_, text) in texts {
                    let _ = with_sealed(&text, |sealed| {
                        is_needed |= self.key.other_has_sealed(sealed);
                        None
                    });
                }
                if is_needed {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    async fn reseal_people(&self) -> Result<u64> {
        let mut done = 0;
        for kept in &PEOPLE_KEPT {
            let (table, column, _) = kept;
            let mut seen = 0;
            while let Some(texts) = self.texts_after(&mut seen, kept).await? {
                for (id, was) in texts {
                    let Some(text) = with_sealed(&was, |sealed| self.key.resealed(PEOPLE, sealed)) else { continue };
                    let sql = format!("UPDATE {table} SET {column} = $2 WHERE id = $1 AND {column} = $3");
                    done += self.db.exec(sql, args![id, text, was]).await?;
                }
            }
        }
        Ok(done)
    }

    /// The texts of the next rows after `seen`, and their ids; `None`: there are no more.
    async fn texts_after(&self, seen: &mut i64, kept: &Kept) -> Result<Option<Vec<(i64, String)>>> {
        let (table, column, of) = kept;
        let sql = format!("SELECT id, {column} FROM {table} WHERE id > $1 AND {of} ORDER BY id LIMIT $2");
        let read = |row: &Row| Ok((row.int("id")?, row.opt_text(column)?.unwrap_or_default()));
        let texts: Vec<(i64, String)> = self.db.read_all(sql, args![*seen, BATCH], read).await?;
        let Some((last, _)) = texts.last() else { return Ok(None) };
        *seen = *last;
        Ok(Some(texts))
    }
}

/// JSON with something else in the place of what is sealed in it; `None`: it stays as it is.
fn with_sealed(text: &str, mut anew: impl FnMut(&[u8]) -> Option<Vec<u8>>) -> Option<String> {
    let mut all = serde_json::from_str(text).ok()?;
    replace(&mut all, &mut anew).then(|| all.to_string())
}

/// Whether anything was replaced.
fn replace(value: &mut Value, anew: &mut impl FnMut(&[u8]) -> Option<Vec<u8>>) -> bool {
    match value {
        Value::String(text) => {
            let Some(other) = STANDARD.decode(&*text).ok().and_then(|sealed| anew(&sealed)) else { return false };
            *text = STANDARD.encode(other);
            true
        }
        Value::Array(all) => all.iter_mut().fold(false, |any, one| replace(one, anew) | any),
        Value::Object(all) => all.values_mut().fold(false, |any, one| replace(one, anew) | any),
        _ => false,
    }
}
