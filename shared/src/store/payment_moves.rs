//! The journal of payment changes at RetailCRM: what is meant to happen is written down
//! before it is begun, so that a crash between two steps resumes instead of repeating
//! (protocols/retailcrm.md#payment-rules).

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use crate::domain::{CrmOrderId, DeliveryId, IntegrationId};
use crate::mutant::{Mutant, is_mutant};
use crate::store::Store;
use crate::store::db::{Result, Row, Tx};
use crate::store::due::PAYMENTS;
use crate::store::sets::Set;
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

/// MeaSoft says that a delivery is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    pub integration: IntegrationId,
    pub delivery: DeliveryId,
    /// What tells these facts from others; without «#».
    pub mark: String,
    /// What MeaSoft said, as JSON.
    pub facts: String,
}

/// A plan whose next step is about to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    pub id: i64,
    /// As JSON; `None`: the one that is written down goes on.
    pub plan: Option<String>,
    /// Steps that are begun then.
    pub tried: u32,
}

/// What became of a closing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentEnd {
    pub id: i64,
    pub state: MoveState,
    pub why: String,
    /// Steps that were done, where some were.
    pub steps: Option<u32>,
    /// Its plan was taken back whole and is forgotten.
    pub taken_back: bool,
}

/// The newest closing of a delivery.
struct Newest {
    mark: String,
    reopened: bool,
    /// How many there were.
    closings: i64,
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
    /// Notes that deliveries were closed, each named once. What was open with older facts ends.
    /// Answers those of which it is news: not when the newest closing had the same facts and the
    /// delivery was closed ever since.
    pub async fn want_payments(&mut self, closings: &[Closing], now: Timestamp) -> Result<Vec<DeliveryId>> {
        if closings.is_empty() {
            return Ok(Vec::new());
        }
        let all: Vec<DeliveryId> = closings.iter().map(|closing| closing.delivery).collect();
        let newest = self.newest_closings(&all).await?;
        let news: Vec<(&Closing, String)> = closings
            .iter()
            .filter_map(|closing| match newest.get(&closing.delivery) {
                None => Some((closing, closing.mark.clone())),
                Some(known) if known.mark == closing.mark && !known.reopened => None,
                // The same facts may come back after others.
                Some(known) => Some((closing, format!("{}#{}", closing.mark, known.closings))),
            })
            .collect();
        let after: Vec<DeliveryId> =
            news.iter().map(|(closing, _)| closing.delivery).filter(|id| newest.contains_key(id)).collect();
        self.end_open_payments(&after, "newer facts", now).await?;
        let columns = ["integration_id", "delivery_id", "facts_mark", "facts"];
        let set = Set::of(columns, &news, |(closing, mark)| {
            args![closing.integration, closing.delivery, mark, &closing.facts]
        });
        let added = self.fetch_set(set, args![now], |v| {
            format!(
                "INSERT INTO payment_moves (integration_id, delivery_id, facts_mark, facts, state, due_at, created_at, \
                 updated_at) SELECT v.integration_id, v.delivery_id, v.facts_mark, v.facts, 'wanted', $1, $1, $1 \
                 FROM {v} WHERE 1 = 1 ON CONFLICT DO NOTHING RETURNING delivery_id"
            )
        });
        added.await?.iter().map(|row| row.int("delivery_id").map(DeliveryId)).collect()
    }

    /// Of each of some deliveries its newest closing, if there was one.
    async fn newest_closings(&mut self, deliveries: &[DeliveryId]) -> Result<HashMap<DeliveryId, Newest>> {
        let sql = format!(
            "SELECT p.delivery_id, p.facts_mark, p.reopened, newest.closings FROM payment_moves p JOIN (SELECT MAX(id) AS id, \
             COUNT(*) AS closings FROM {} GROUP BY delivery_id) newest ON newest.id = p.id",
            self.dialect().found_by("payment_moves", "delivery_id", 1, "m")
        );
        let read = |row: &Row| {
            let mark = row.text("facts_mark")?.split('#').next().unwrap_or_default().to_owned();
            let newest = Newest { mark, reopened: row.flag("reopened")?, closings: row.int("closings")? };
            Ok((DeliveryId(row.int("delivery_id")?), newest))
        };
        self.read_all(sql, args![deliveries], read).await
    }

    async fn end_open_payments(&mut self, deliveries: &[DeliveryId], why: &str, now: Timestamp) -> Result<()> {
        if deliveries.is_empty() || is_mutant(Mutant::OlderFactsGoOn) {
            return Ok(());
        }
        let sql = format!(
            "UPDATE payment_moves SET state = 'nothing', why = $2, updated_at = $3 WHERE {} \
             AND state IN ('wanted', 'moving')",
            self.dialect().among("delivery_id", 1)
        );
        self.run(sql, args![deliveries, why, now]).await
    }

    /// Notes that deliveries are not closed any more: what was open ends. Answers those for which
    /// a payment was changed, or may have been.
    pub async fn reopen_payments(&mut self, deliveries: &[DeliveryId], now: Timestamp) -> Result<HashSet<DeliveryId>> {
        if deliveries.is_empty() {
            return Ok(HashSet::new());
        }
        self.end_open_payments(deliveries, "the delivery is not closed any more", now).await?;
        let sql = format!(
            "UPDATE payment_moves SET reopened = 1 WHERE {} RETURNING delivery_id, step, tried",
            self.dialect().among("delivery_id", 1)
        );
        let mut changed = HashSet::new();
        for row in self.fetch(sql, args![deliveries]).await? {
            if row.int("step")? > 0 || row.int("tried")? > 0 {
                changed.insert(DeliveryId(row.int("delivery_id")?));
            }
        }
        Ok(changed)
    }

    /// Writes down what is about to be done, and that its next step is begun: new plans, and those
    /// that go on. Answers where it may be; elsewhere newer facts have come.
    pub async fn begin_payments(&mut self, begun: &[Begun], now: Timestamp) -> Result<HashSet<i64>> {
        let set = Set::of(["row_id", "new_plan", "tries"], begun, |one| args![one.id, one.plan.as_deref(), one.tried]);
        let rows = self.fetch_set(set, args![now], |v| {
            format!(
                "UPDATE payment_moves SET state = 'moving', plan = COALESCE(v.new_plan, plan), \
                 step = CASE WHEN v.new_plan IS NULL THEN step ELSE 0 END, tried = v.tries, updated_at = $1 FROM {v} \
                 WHERE id = v.row_id AND state IN ('wanted', 'moving') RETURNING id"
            )
        });
        rows.await?.iter().map(|row| row.int("id")).collect()
    }

    /// Looks again at each then.
    pub async fn postpone_payments(&mut self, until: &[(i64, Timestamp, &str)], now: Timestamp) -> Result<()> {
        let set = Set::of(["row_id", "due", "because"], until, |(id, due, why)| args![*id, *due, *why]);
        let postponed = self.exec_set(set, args![now], |v| {
            format!(
                "UPDATE payment_moves SET due_at = v.due, attempt = attempt + 1, why = v.because, updated_at = $1 \
                 FROM {v} WHERE id = v.row_id"
            )
        });
        postponed.await.map(|_| ())
    }

    /// Closes open rows, whose steps are noted whatever became of them. Answers which were closed:
    /// what newer facts, or a reopening, closed before is not overwritten.
    pub async fn end_payments(&mut self, ends: &[PaymentEnd], now: Timestamp) -> Result<HashSet<i64>> {
        let moved = ends.iter().filter_map(|end| Some((end.id, end.steps?)));
        let set = Set::of(["row_id", "steps"], moved, |(id, steps)| args![id, steps]);
        self.exec_set(set, vec![], |v| format!("UPDATE payment_moves SET step = v.steps FROM {v} WHERE id = v.row_id"))
            .await?;
        let taken_back = ends.iter().filter(|end| end.taken_back);
        let set = Set::of(["row_id"], taken_back, |end| args![end.id]);
        self.exec_set(set, vec![], |v| {
            format!("UPDATE payment_moves SET plan = NULL, step = 0, tried = 0 FROM {v} WHERE id = v.row_id")
        })
        .await?;
        let set = Set::of(["row_id", "ends", "because"], ends, |end| args![end.id, end.state.as_str(), &end.why]);
        let rows = self.fetch_set(set, args![now], |v| {
            format!(
                "UPDATE payment_moves SET state = v.ends, why = v.because, updated_at = $1 FROM {v} \
                 WHERE id = v.row_id AND state IN ('wanted', 'moving') RETURNING id"
            )
        });
        rows.await?.iter().map(|row| row.int("id")).collect()
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
