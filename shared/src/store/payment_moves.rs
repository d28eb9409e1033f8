//! The journal of payment changes at RetailCRM: what is meant to happen is written down
//! before it is begun, so that a crash between two steps resumes instead of repeating
//! (protocols/retailcrm.md#payment-rules).

use jiff::Timestamp;

use crate::domain::{CrmOrderId, DeliveryId, IntegrationId};
use crate::mutant::{Mutant, is_mutant};
use crate::store::Store;
use crate::store::db::{Result, Row, Tx};
use crate::store::due::PAYMENTS;
use crate::{args, closed_set};

closed_set! {
    MoveState {
        /// A delivery was closed; nothing is decided yet.
        Wanted => "wanted",
        /// A plan is written down and begun.
        Moving => "moving",
        Done => "done",
        /// There was nothing to do; `why` says why.
        Nothing => "nothing",
        /// A person has to look.
        Dead => "dead",
    }
}

/// One closing of a delivery and what is done about its payment. At most one of a delivery is
/// open (`wanted` or `moving`), and it carries the newest facts.
#[derive(Debug, Clone)]
pub struct PaymentMove {
    pub id: i64,
    pub integration: IntegrationId,
    pub delivery: DeliveryId,
    pub crm_order: CrmOrderId,
    pub number: String,
    pub orderno: String,
    /// What MeaSoft said, as JSON.
    pub facts: String,
    pub state: MoveState,
    /// The steps, as JSON, once they are decided.
    pub plan: Option<String>,
    /// Steps that are done.
    pub step: u32,
    /// Steps that were begun: one that was begun and is not done may have happened.
    pub tried: u32,
    pub attempt: u32,
    pub created_at: Timestamp,
    /// An earlier closing of the same delivery was settled by changing a payment.
    pub after_settling: bool,
    /// The plan of an earlier closing that was begun and not carried out to its end.
    pub interrupted: Option<String>,
    /// A person replayed its letter.
    pub replayed: bool,
}

/// What stands in `why` of a closing whose letter was replayed.
const REPLAYED: &str = "replayed";

/// A newer closing of the same delivery.
const NEWER: &str = "EXISTS (SELECT 1 FROM payment_moves n WHERE n.delivery_id = payment_moves.delivery_id \
                     AND n.id > payment_moves.id)";

impl Store {
    /// Open rows of an integration that are due, oldest first: of each delivery its newest
    /// closing alone.
    pub async fn due_payments(&self, integration: IntegrationId, limit: u32) -> Result<Vec<PaymentMove>> {
        // A release before this one opens a second move beside the first.
        let sql = format!(
            "UPDATE payment_moves SET state = 'nothing', why = 'newer facts', updated_at = $2 \
             WHERE integration_id = $1 AND state IN ('wanted', 'moving') AND {NEWER}"
        );
        self.db.exec(sql, args![integration, self.clock.now_ms()]).await?;
        let sql = format!(
            "SELECT p.id, p.integration_id, p.delivery_id, p.facts, p.state, p.plan, p.step, p.tried, p.attempt, p.why, \
             p.created_at, d.crm_order_id, d.number, d.orderno, (SELECT COUNT(*) FROM payment_moves e \
             WHERE e.delivery_id = p.delivery_id AND e.id < p.id AND e.state = 'done' AND e.step > 0) AS earlier, \
             (SELECT e.plan FROM payment_moves e WHERE e.delivery_id = p.delivery_id AND e.id < p.id \
             AND e.state <> 'done' AND (e.step > 0 OR e.tried > 0) AND NOT EXISTS (SELECT 1 FROM payment_moves f \
             WHERE f.delivery_id = e.delivery_id AND f.id > e.id AND f.id < p.id AND f.state = 'done') \
             ORDER BY e.id DESC LIMIT 1) AS interrupted \
             FROM payment_moves p JOIN deliveries d ON d.id = p.delivery_id WHERE p.integration_id = $1 \
             AND p.state IN ('wanted', 'moving') AND {} ORDER BY p.id LIMIT $3",
            self.due("p.due_at", 2)
        );
        self.db.read_all(sql, args![integration, self.clock.now_ms(), limit], read).await
    }

    /// Writes down what is about to be done. False when newer facts have come: then nothing
    /// may be.
    pub async fn begin_payment(&self, id: i64, plan: &str) -> Result<bool> {
        let sql = "UPDATE payment_moves SET state = 'moving', plan = $2, step = 0, tried = 0, updated_at = $3 \
                   WHERE id = $1 AND state IN ('wanted', 'moving')";
        self.db.changed(sql, args![id, plan, self.clock.now_ms()]).await
    }

    /// Takes a plan up again that a person had to see. False when newer facts have come.
    pub async fn resume_payment(&self, id: i64) -> Result<bool> {
        let sql = "UPDATE payment_moves SET state = 'moving', updated_at = $2 WHERE id = $1 AND state IN ('wanted', 'moving')";
        self.db.changed(sql, args![id, self.clock.now_ms()]).await
    }

    /// The step after so many is begun. False when newer facts have come: it must not be taken.
    pub async fn payment_step_begun(&self, id: i64, steps: u32) -> Result<bool> {
        let sql = "UPDATE payment_moves SET tried = CASE WHEN tried < $2 THEN $2 ELSE tried END, updated_at = $3 \
                   WHERE id = $1 AND state = 'moving'";
        self.db.changed(sql, args![id, steps, self.clock.now_ms()]).await
    }

    /// So many steps are done, also where newer facts have come meanwhile.
    pub async fn payment_step_done(&self, id: i64, steps: u32) -> Result<()> {
        let sql = "UPDATE payment_moves SET step = $2, updated_at = $3 WHERE id = $1";
        self.db.run(sql, args![id, steps, self.clock.now_ms()]).await
    }

    /// The step after so many was refused: it certainly did not happen.
    pub async fn payment_step_refused(&self, id: i64, steps: u32) -> Result<()> {
        let sql = "UPDATE payment_moves SET tried = $2, updated_at = $3 WHERE id = $1";
        self.db.run(sql, args![id, steps, self.clock.now_ms()]).await
    }

    /// Writes more into a plan that is under way; its steps stay as they are.
    pub async fn amend_payment(&self, id: i64, plan: &str) -> Result<()> {
        let sql = "UPDATE payment_moves SET plan = $2, updated_at = $3 WHERE id = $1";
        self.db.run(sql, args![id, plan, self.clock.now_ms()]).await
    }

    /// Puts another plan in the place of one of which nothing was done. False when newer facts
    /// have come.
    pub async fn replan_payment(&self, id: i64, plan: &str) -> Result<bool> {
        let sql = "UPDATE payment_moves SET plan = $2, step = 0, tried = 0, updated_at = $3 \
                   WHERE id = $1 AND state = 'moving'";
        self.db.changed(sql, args![id, plan, self.clock.now_ms()]).await
    }

    /// Looks again then.
    pub async fn postpone_payment(&self, id: i64, due_at: Timestamp, why: &str) -> Result<()> {
        let sql =
            "UPDATE payment_moves SET due_at = $2, attempt = attempt + 1, why = $3, updated_at = $4 WHERE id = $1";
        self.db.run(sql, args![id, due_at, why, self.clock.now_ms()]).await
    }

    /// Integrations with payments that are due.
    pub async fn integrations_with_payments(&self) -> Result<Vec<IntegrationId>> {
        self.whose_are_due(PAYMENTS, "integration_id", |row| row.int("integration_id").map(IntegrationId)).await
    }

    /// When the next payment of an integration is due.
    pub async fn next_payment_due(&self, integration: IntegrationId) -> Result<Option<Timestamp>> {
        self.next_due(PAYMENTS, "integration_id", integration).await
    }

    /// Looks again at payments that a person had to see: what was wrong may be put right. Only
    /// the newest closing of a delivery counts, and none of a delivery that is open again.
    pub async fn revive_payments(&self, integration: IntegrationId) -> Result<u64> {
        let sql = format!(
            "UPDATE payment_moves SET state = 'wanted', why = '{REPLAYED}', due_at = $2, updated_at = $2 \
             WHERE integration_id = $1 \
             AND state = 'dead' AND reopened = 0 AND NOT {NEWER}"
        );
        self.db.exec(sql, args![integration, self.clock.now_ms()]).await
    }

    /// Rows by what became of them, for tests and diagnosis.
    pub async fn count_payments(&self, state: MoveState) -> Result<i64> {
        self.count_in(PAYMENTS, state.as_str()).await
    }

    /// Forgets what ended before a moment.
    pub async fn forget_payments(&self, before: Timestamp, limit: u32) -> Result<u64> {
        self.forget("payment_moves", "updated_at", before, "state IN ('done', 'nothing', 'dead')", limit).await
    }
}

impl Tx {
    /// Notes that a delivery was closed with these facts. What was open with older facts ends;
    /// false when the newest closing had the same and the delivery was closed ever since.
    pub async fn want_payment(
        &mut self,
        integration: IntegrationId,
        delivery: DeliveryId,
        facts_mark: &str,
        facts: &str,
        now: Timestamp,
    ) -> Result<bool> {
        let sql = "SELECT facts_mark, reopened, (SELECT COUNT(*) FROM payment_moves c WHERE c.delivery_id = $1) AS closings \
                   FROM payment_moves WHERE delivery_id = $1 ORDER BY id DESC LIMIT 1";
        let newest = self.fetch_one(sql, args![delivery]).await?;
        let mut mark = facts_mark.to_owned();
        if let Some(newest) = newest {
            let known = newest.text("facts_mark")?;
            let same = known.split('#').next() == Some(facts_mark);
            if same && !newest.flag("reopened")? {
                return Ok(false);
            }
            // The same facts may come back after others.
            mark = format!("{facts_mark}#{}", newest.int("closings")?);
            self.end_open_payment(delivery, "newer facts", now).await?;
        }
        let sql = "INSERT INTO payment_moves (integration_id, delivery_id, facts_mark, facts, state, due_at, created_at, \
                   updated_at) VALUES ($1, $2, $3, $4, 'wanted', $5, $5, $5) ON CONFLICT DO NOTHING";
        self.changed(sql, args![integration, delivery, mark, facts, now]).await
    }

    async fn end_open_payment(&mut self, delivery: DeliveryId, why: &str, now: Timestamp) -> Result<()> {
        if is_mutant(Mutant::OlderFactsGoOn) {
            return Ok(());
        }
        let sql = "UPDATE payment_moves SET state = 'nothing', why = $2, updated_at = $3 WHERE delivery_id = $1 \
                   AND state IN ('wanted', 'moving')";
        self.run(sql, args![delivery, why, now]).await
    }

    /// Notes that a delivery is not closed any more: what was open ends. Answers whether a
    /// payment was changed for it, or may have been.
    pub async fn reopen_payment(&mut self, delivery: DeliveryId, now: Timestamp) -> Result<bool> {
        self.end_open_payment(delivery, "the delivery is not closed any more", now).await?;
        self.exec("UPDATE payment_moves SET reopened = 1 WHERE delivery_id = $1", args![delivery]).await?;
        let sql = "SELECT 1 AS one FROM payment_moves WHERE delivery_id = $1 AND (step > 0 OR tried > 0) LIMIT 1";
        let row = self.fetch_one(sql, args![delivery]).await?;
        Ok(row.is_some())
    }

    /// Forgets a plan that was taken back whole.
    pub async fn drop_payment_plan(&mut self, id: i64, now: Timestamp) -> Result<()> {
        let sql = "UPDATE payment_moves SET plan = NULL, step = 0, tried = 0, updated_at = $2 WHERE id = $1";
        self.run(sql, args![id, now]).await
    }

    /// Closes an open row. False when newer facts, or a reopening, closed it before: what they
    /// say is not overwritten.
    pub async fn end_payment(&mut self, id: i64, state: MoveState, why: &str, now: Timestamp) -> Result<bool> {
        let sql = "UPDATE payment_moves SET state = $2, why = $3, updated_at = $4 WHERE id = $1 \
                   AND state IN ('wanted', 'moving')";
        self.changed(sql, args![id, state.as_str(), why, now]).await
    }
}

fn read(row: &Row) -> Result<PaymentMove> {
    Ok(PaymentMove {
        id: row.int("id")?,
        integration: IntegrationId(row.int("integration_id")?),
        delivery: DeliveryId(row.int("delivery_id")?),
        crm_order: CrmOrderId(row.int("crm_order_id")?),
        number: row.text("number")?,
        orderno: row.text("orderno")?,
        facts: row.text("facts")?,
        state: row.word("state", MoveState::parse)?,
        plan: row.opt_text("plan")?,
        step: row.small("step")?,
        tried: row.small("tried")?,
        attempt: row.small("attempt")?,
        created_at: row.moment("created_at")?,
        after_settling: row.int("earlier")? > 0,
        interrupted: row.opt_text("interrupted")?,
        replayed: row.opt_text("why")?.as_deref() == Some(REPLAYED),
    })
}
