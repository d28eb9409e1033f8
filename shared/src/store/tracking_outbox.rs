//! Statuses on their way to RetailCRM. A row is written with the ledger's change and gone
//! from the way only when RetailCRM said `success:true` (protocols/retailcrm.md#tracking).

use jiff::Timestamp;

use crate::domain::delivery::CrmWritten;
use crate::domain::{CrmOrderId, DeliveryId, DeliveryState, IntegrationId};
use crate::store::db::{Result, Row, StoreError, Tx};
use crate::store::due::TRACKING;
use crate::store::sets::Set;
use crate::store::{Store, moment};
use crate::story::Silence;
use crate::{args, closed_set};

closed_set! {
    /// Where a status is on its way.
    TrackingState {
        Waiting => "waiting",
        /// RetailCRM has it.
        Sent => "sent",
        /// Kept for the record only; `why` says why it is not sent.
        Kept => "kept",
        /// RetailCRM does not take it.
        Dead => "dead",
    }
}

/// Why a status stays here whose order has left RetailCRM, or was deleted, before RetailCRM heard
/// that it was placed.
pub const UNKNOWN_DELIVERY: &str = "RetailCRM does not know the delivery";

/// A status to be told.
#[derive(Debug, Clone)]
pub struct NewTracking {
    pub integration: IntegrationId,
    pub delivery: DeliveryId,
    /// The number it was reported under: tells generations apart.
    pub orderno: String,
    /// MeaSoft's code; it is mapped when it is sent.
    pub code: String,
    /// When it was made at MeaSoft.
    pub made_at: Option<Timestamp>,
    /// The time RetailCRM is told instead: it takes the newest time for the present.
    pub tell_at: Option<Timestamp>,
    pub comment: Option<String>,
    /// JSON of what RetailCRM shows beside the status, names sealed: who carries it, and until it is
    /// told who took it.
    pub details: Option<String>,
    pub state: TrackingState,
    pub why: Option<Silence>,
    /// When it was read.
    pub seen_at: Timestamp,
}

/// A status that was noted before.
#[derive(Debug, Clone)]
pub struct Noted {
    pub delivery: DeliveryId,
    /// The number it was reported under.
    pub orderno: String,
    pub code: String,
    /// When it was made at MeaSoft.
    pub made_at: Option<Timestamp>,
    /// The time RetailCRM is told instead.
    pub tell_at: Option<Timestamp>,
    pub state: TrackingState,
}

/// A status that waits.
#[derive(Debug, Clone)]
pub struct Waiting {
    pub id: i64,
    pub delivery: DeliveryId,
    pub crm_order: CrmOrderId,
    /// RetailCRM's number of the order.
    pub number: String,
    pub code: String,
    /// When it was made at MeaSoft, as RetailCRM is told; else when it was read.
    pub at: Timestamp,
    /// Whether MeaSoft said when it was made.
    pub dated: bool,
    pub comment: Option<String>,
    /// See [`NewTracking::details`].
    pub details: Option<String>,
    pub attempt: u32,
    /// RetailCRM has the delivery's id: only then can it attach a status.
    pub told: bool,
    /// We withdrew the order: RetailCRM drops its delivery then.
    pub withdrawn: bool,
    /// The delivery still goes by the number that the status was reported under.
    pub live: bool,
    /// Number of the delivery at MeaSoft, the track number.
    pub orderno: String,
}

const AT: &str = "COALESCE(o.tell_at, CASE WHEN o.made_at = 0 THEN o.seen_at ELSE o.made_at END)";

impl Store {
    /// Waiting statuses of the due deliveries of an integration, at most `deliveries` of
    /// them; per delivery in order of time.
    pub async fn waiting_tracking(&self, integration: IntegrationId, deliveries: u32) -> Result<Vec<Waiting>> {
        // Most deliveries have few that wait.
        let rows = deliveries.saturating_mul(4);
        let mut due = self.due_longest(TRACKING, ("integration_id", integration.into()), "delivery_id", rows).await?;
        due.truncate(usize::try_from(deliveries).unwrap_or(usize::MAX));
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT o.id, o.delivery_id, o.code, o.made_at, {AT} AS at, o.comment, o.details, o.attempt, o.orderno, \
             d.crm_order_id, d.number, d.crm_written, d.state, d.orderno AS live_orderno FROM {} \
             JOIN deliveries d ON d.id = o.delivery_id WHERE o.integration_id = $1 AND o.state = 'waiting' \
             ORDER BY o.delivery_id, {AT}, o.id",
            self.db.dialect().found_by("tracking_outbox", "delivery_id", 2, "o")
        );
        self.db.read_all(sql, vec![integration.into(), due.into()], read).await
    }

    /// What the newest status that shows any says of a delivery, as it was noted.
    pub async fn newest_details(&self, delivery: DeliveryId) -> Result<Option<String>> {
        let sql = "SELECT details FROM tracking_outbox WHERE delivery_id = $1 AND details IS NOT NULL ORDER BY id DESC LIMIT 1";
        self.db.read_one(sql, args![delivery], |row: &Row| row.text("details")).await
    }

    /// RetailCRM has them. `lasting` is what is kept of their details, by id; those of the others
    /// stay as they are.
    pub async fn tracking_sent(&self, ids: &[i64], lasting: &[(i64, String)]) -> Result<()> {
        let mut tx = self.db.begin().await?;
        tx.settle_tracking(ids, TrackingState::Sent, None, self.clock.now()).await?;
        let set = Set::of(["id", "details"], lasting, |(id, details)| args![*id, details]);
        let kept = tx.exec_set(set, vec![], |v| {
            format!("UPDATE tracking_outbox SET details = v.details FROM {v} WHERE tracking_outbox.id = v.id")
        });
        kept.await?;
        tx.commit().await
    }

    /// Takes statuses off the way.
    pub async fn settle_tracking(&self, ids: &[i64], state: TrackingState, why: Option<&str>) -> Result<()> {
        let mut tx = self.db.begin().await?;
        tx.settle_tracking(ids, state, why, self.clock.now()).await?;
        tx.commit().await
    }

    /// Puts statuses off.
    pub async fn postpone_tracking(&self, statuses: &[i64], due_at: Timestamp) -> Result<()> {
        if statuses.is_empty() {
            return Ok(());
        }
        let among = self.db.dialect().among("id", 2);
        self.put_off(TRACKING, &among, due_at, vec![statuses.to_vec().into()]).await
    }

    /// Sends again what RetailCRM did not take, and at once what waits: what was wrong may be put
    /// right.
    pub async fn revive_tracking(&self, integration: IntegrationId) -> Result<u64> {
        let sql = "UPDATE tracking_outbox SET state = 'waiting', why = NULL, attempt = 0, due_at = $2 \
                   WHERE integration_id = $1 AND state IN ('dead', 'waiting')";
        self.db.exec(sql, args![integration, self.clock.now_ms()]).await
    }

    /// Integrations with statuses that are due.
    pub async fn integrations_with_tracking(&self) -> Result<Vec<IntegrationId>> {
        self.whose_are_due(TRACKING, "integration_id", |row| row.int("integration_id").map(IntegrationId)).await
    }

    /// When the next status of an integration is due.
    pub async fn next_tracking_due(&self, integration: IntegrationId) -> Result<Option<Timestamp>> {
        self.next_due(TRACKING, "integration_id", integration).await
    }

    /// Codes that RetailCRM was not told because nothing maps them, read since a moment.
    pub async fn unmapped_statuses(&self, integration: IntegrationId, since: Timestamp) -> Result<Vec<String>> {
        let sql = "SELECT DISTINCT code FROM tracking_outbox WHERE integration_id = $1 AND state = 'kept' AND why = $2 \
                   AND seen_at >= $3 ORDER BY code";
        self.db.read_all(sql, args![integration, Silence::UnknownCode.as_str(), since], |row| row.text("code")).await
    }

    /// Statuses by where they are, for tests and diagnosis.
    pub async fn count_tracking(&self, state: TrackingState) -> Result<i64> {
        self.count_in(TRACKING, state.as_str()).await
    }

    /// Forgets statuses that were read before a moment. One that never got its delivery's id would
    /// wait for ever: it goes too.
    pub async fn forget_tracking(&self, before: Timestamp, limit: u32) -> Result<u64> {
        self.forget("tracking_outbox", "seen_at", before, "1 = 1", limit).await
    }
}

impl Tx {
    /// Notes statuses; one that is known already stays as it is. None is ever noted twice. Answers
    /// how many are new.
    pub async fn add_tracking(&mut self, new: &[NewTracking]) -> Result<u64> {
        const COLUMNS: [&str; 11] = [
            "integration_id",
            "delivery_id",
            "orderno",
            "code",
            "made_at",
            "comment",
            "details",
            "state",
            "why",
            "seen_at",
            "tell_at",
        ];
        let set = Set::of(COLUMNS, new, |new| {
            args![
                new.integration,
                new.delivery,
                &new.orderno,
                &new.code,
                new.made_at.map_or(0, Timestamp::as_millisecond),
                new.comment.as_deref(),
                new.details.as_deref(),
                new.state.as_str(),
                new.why.map(Silence::as_str),
                new.seen_at,
                new.tell_at
            ]
        });
        let added = self.exec_set(set, vec![], |v| {
            format!(
                "INSERT INTO tracking_outbox ({}, due_at) SELECT {}, v.seen_at FROM {v} WHERE 1 = 1 \
                 ON CONFLICT DO NOTHING",
                COLUMNS.join(", "),
                COLUMNS.map(|name| format!("v.{name}")).join(", ")
            )
        });
        added.await
    }

    /// The statuses of some deliveries that were noted so far.
    pub async fn noted_tracking(&mut self, deliveries: &[DeliveryId]) -> Result<Vec<Noted>> {
        let sql = format!(
            "SELECT delivery_id, orderno, code, made_at, tell_at, state FROM {}",
            self.dialect().found_by("tracking_outbox", "delivery_id", 1, "noted")
        );
        let read = |row: &Row| {
            Ok(Noted {
                delivery: DeliveryId(row.int("delivery_id")?),
                orderno: row.text("orderno")?,
                code: row.text("code")?,
                made_at: Some(row.int("made_at")?).filter(|at| *at != 0).map(moment),
                tell_at: row.opt_moment("tell_at")?,
                state: row.word("state", TrackingState::parse)?,
            })
        };
        self.read_all(sql, args![deliveries], read).await
    }

    /// RetailCRM knows the deliveries now: the statuses kept back for that are due.
    pub async fn tracking_is_known(&mut self, deliveries: &[DeliveryId], now: Timestamp) -> Result<()> {
        if deliveries.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "UPDATE tracking_outbox SET state = 'waiting', why = NULL, due_at = $3 WHERE {} AND state = 'kept' AND why = $2",
            self.dialect().among("delivery_id", 1)
        );
        self.run(sql, args![deliveries, UNKNOWN_DELIVERY, now]).await
    }

    /// Takes statuses off the way.
    pub async fn settle_tracking(
        &mut self,
        statuses: &[i64],
        state: TrackingState,
        why: Option<&str>,
        now: Timestamp,
    ) -> Result<()> {
        if statuses.is_empty() {
            return Ok(());
        }
        let dialect = self.dialect();
        let rows = dialect.in_order("tracking_outbox", &dialect.among("id", 4));
        let sql = format!("UPDATE tracking_outbox SET state = $1, why = $2, sent_at = $3 WHERE {rows}");
        self.run(sql, args![state.as_str(), why, now, statuses.to_vec()]).await
    }
}

fn read(row: &Row) -> Result<Waiting> {
    let written: CrmWritten = row
        .opt_text("crm_written")?
        .map_or_else(|| Ok(CrmWritten::default()), |text| serde_json::from_str(&text))
        .map_err(|_| StoreError::BadRow("crm_written"))?;
    let orderno = row.text("orderno")?;
    Ok(Waiting {
        id: row.int("id")?,
        delivery: DeliveryId(row.int("delivery_id")?),
        crm_order: CrmOrderId(row.int("crm_order_id")?),
        number: row.text("number")?,
        code: row.text("code")?,
        at: row.moment("at")?,
        dated: row.int("made_at")? > 0,
        comment: row.opt_text("comment")?,
        details: row.opt_text("details")?,
        attempt: row.small("attempt")?,
        told: !written.external_id.is_empty(),
        withdrawn: row.text("state")? == DeliveryState::Cancelled.as_str(),
        live: row.text("live_orderno")? == orderno,
        orderno,
    })
}
