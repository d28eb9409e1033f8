//! Intents: what is wanted for (integration, order number), and when it is due. Queue
//! messages only point here.

use jiff::Timestamp;

use crate::args;
use crate::domain::{Delivery, DeliveryId, IntegrationId, Kopecks, OrderNumber};
use crate::message::Candidate;
use crate::planted::{Bug, is_planted};
use crate::store::db::{Dialect, Result, Row, StoreError, Tx};
use crate::store::{Store, moment};

/// Which trigger a wish came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    Send,
    Update,
    Cancel,
}

/// One accepted trigger, to be recorded.
#[derive(Debug, Clone)]
pub struct Wish {
    pub integration: IntegrationId,
    pub number: OrderNumber,
    pub want: Want,
    pub declared: Option<Kopecks>,
    /// Cancel only: all integrations the order may have been handed to.
    pub candidates: Vec<Candidate>,
    /// When the first read of the order may happen.
    pub due_at: Timestamp,
    pub received_at: Timestamp,
    pub generation: u32,
    pub traceparent: Option<String>,
    /// Id of the command: the same command delivered twice is one wish.
    pub command_id: String,
}

/// An intent held under a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    pub id: i64,
    pub integration: IntegrationId,
    pub number: OrderNumber,
    pub delivery: Option<DeliveryId>,
    pub requested: i64,
    pub served: i64,
    /// `requested` of the newest wish of each sort; 0 = never.
    pub send_seq: i64,
    pub update_seq: i64,
    pub cancel_seq: i64,
    pub candidates: Vec<Candidate>,
    pub declared: Option<Kopecks>,
    /// A holder lost its fence after it began a write: look at MeaSoft first.
    pub verify: bool,
    pub due_at: Timestamp,
    /// Tries of the present wish so far.
    pub attempt: u32,
    /// Readings that concluded nothing yet («not found», «no difference», «same type»).
    pub rereads: u32,
    /// When the oldest unserved wish arrived.
    pub wanted_at: Timestamp,
    pub generation: u32,
    pub traceparent: Option<String>,
    pub fence: i64,
}

/// How far an intent has come, for somebody who waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub requested: i64,
    pub served: i64,
    pub due_at: Timestamp,
    /// Somebody works on it.
    pub held: bool,
    pub attempt: u32,
    pub rereads: u32,
}

/// How a holder leaves an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// Everything up to the `requested` the holder saw is served.
    Served,
    /// Not yet; look again then.
    Wait { due_at: Timestamp, attempt: u32, rereads: u32 },
}

const COLUMNS: &str = "id, integration_id, number, delivery_id, requested, served, send_seq, update_seq, cancel_seq, \
                       candidates, declared, verify, due_at, attempt, rereads, wanted_at, generation, traceparent, fence";

impl Store {
    /// Records wishes; each raises its intent's `requested` once, whatever is delivered
    /// how often. All of them are durable when this returns.
    ///
    /// # Errors
    /// [`StoreError`]; then none is recorded.
    pub async fn record_wishes(&self, wishes: &[Wish]) -> Result<()> {
        let now = self.clock.now_ms();
        let mut tx = self.db.begin().await?;
        for round in rounds(wishes) {
            let mut rest = &round[..];
            while !rest.is_empty() {
                let rows = STATEMENTS.into_iter().find(|rows| *rows <= rest.len()).unwrap_or(1);
                let (these, others) = rest.split_at(rows);
                record(&mut tx, these, now).await?;
                rest = others;
            }
        }
        tx.commit().await
    }

    /// Takes the lease of up to `limit` due intents of one integration, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim_intents(
        &self,
        integration: IntegrationId,
        owner: &str,
        lease_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<Intent>> {
        let now = self.clock.now_ms();
        let lock = match self.db.dialect() {
            Dialect::Postgres => "FOR UPDATE SKIP LOCKED",
            Dialect::Sqlite => "",
        };
        let rows = self
            .db
            .exec_returning(
                format!(
                    "UPDATE intents SET lease_owner = $1, lease_until = $2, fence = fence + 1 WHERE id IN (\
                     SELECT id FROM intents WHERE integration_id = $3 AND requested > served AND due_at <= $4 \
                     AND lease_until <= $4 ORDER BY due_at LIMIT $5 {lock}) RETURNING {COLUMNS}"
                ),
                args![owner, lease_until.as_millisecond(), integration, now, limit],
            )
            .await?;
        let mut intents: Vec<Intent> = rows.iter().map(read).collect::<Result<_>>()?;
        intents.sort_by_key(|intent| (intent.due_at, intent.id));
        Ok(intents)
    }

    /// What is known to be wanted for an order, without holding it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn intent(&self, integration: IntegrationId, number: &str) -> Result<Option<Intent>> {
        let row = self
            .db
            .fetch_one(
                format!("SELECT {COLUMNS} FROM intents WHERE integration_id = $1 AND number = $2"),
                args![integration, number],
            )
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// Integrations with unserved, unheld intents and when their next one is due.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn integrations_with_work(&self) -> Result<Vec<(IntegrationId, Timestamp)>> {
        let rows = self
            .db
            .fetch(
                "SELECT integration_id, MIN(CASE WHEN lease_until > due_at THEN lease_until ELSE due_at END) AS due \
                 FROM intents WHERE requested > served GROUP BY integration_id",
                vec![],
            )
            .await?;
        rows.iter().map(|row| Ok((IntegrationId(row.int("integration_id")?), moment(row.int("due")?)))).collect()
    }

    /// How far the intent of an order has come; takes no lease.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn intent_progress(&self, integration: IntegrationId, number: &OrderNumber) -> Result<Option<Progress>> {
        let row = self
            .db
            .fetch_one(
                "SELECT requested, served, due_at, lease_until, attempt, rereads FROM intents \
                 WHERE integration_id = $1 AND number = $2",
                args![integration, number.as_str()],
            )
            .await?;
        let small = |row: &Row, column: &'static str| -> Result<u32> {
            u32::try_from(row.int(column)?).map_err(|_| StoreError::BadRow(column))
        };
        row.map(|row| {
            Ok(Progress {
                requested: row.int("requested")?,
                served: row.int("served")?,
                due_at: moment(row.int("due_at")?),
                held: row.int("lease_until")? > self.clock.now_ms(),
                attempt: small(&row, "attempt")?,
                rereads: small(&row, "rereads")?,
            })
        })
        .transpose()
    }

    /// Keeps the leases of a batch alive.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn renew_intents(&self, owner: &str, ids: &[i64], lease_until: Timestamp) -> Result<u64> {
        let list = ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        if list.is_empty() {
            return Ok(0);
        }
        self.db
            .exec(
                format!("UPDATE intents SET lease_until = $1 WHERE lease_owner = $2 AND id IN ({list})"),
                args![lease_until.as_millisecond(), owner],
            )
            .await
    }

    /// Hands a held intent back untouched (shutdown).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn release_intent(&self, intent: &Intent) -> Result<()> {
        self.db
            .exec(
                "UPDATE intents SET lease_owner = NULL, lease_until = 0 WHERE id = $1 AND fence = $2",
                args![intent.id, intent.fence],
            )
            .await
            .map(|_| ())
    }

    /// Unserved intents: how many, and since when the oldest due one has been due.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn backlog(&self) -> Result<(i64, Option<Timestamp>)> {
        let row = self
            .db
            .fetch_one(
                "SELECT COUNT(*) AS n, MIN(CASE WHEN due_at <= $1 THEN due_at END) AS oldest FROM intents \
                 WHERE requested > served",
                args![self.clock.now_ms()],
            )
            .await?
            .ok_or(StoreError::BadRow("n"))?;
        Ok((row.int("n")?, row.opt_int("oldest")?.map(moment)))
    }

    /// [`Store::backlog`] of one integration.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn backlog_of(&self, integration: IntegrationId) -> Result<(i64, Option<Timestamp>)> {
        let row = self
            .db
            .fetch_one(
                "SELECT COUNT(*) AS n, MIN(CASE WHEN due_at <= $1 THEN due_at END) AS oldest FROM intents \
                 WHERE requested > served AND integration_id = $2",
                args![self.clock.now_ms(), integration],
            )
            .await?
            .ok_or(StoreError::BadRow("n"))?;
        Ok((row.int("n")?, row.opt_int("oldest")?.map(moment)))
    }

    /// Intents past due that nobody holds, for the sweep.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn stale_intents(&self, due_before: Timestamp, limit: u32) -> Result<Vec<(IntegrationId, OrderNumber)>> {
        let rows = self
            .db
            .fetch(
                "SELECT integration_id, number FROM intents WHERE requested > served AND due_at <= $1 \
                 AND lease_until <= $2 ORDER BY due_at LIMIT $3",
                args![due_before.as_millisecond(), self.clock.now_ms(), limit],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let number = OrderNumber::parse(&row.text("number")?).map_err(|_| StoreError::BadRow("number"))?;
                Ok((IntegrationId(row.int("integration_id")?), number))
            })
            .collect()
    }
}

/// Wishes of one statement: a few lengths, so that each is prepared once.
const STATEMENTS: [usize; 3] = [64, 8, 1];

/// Wishes as they may stand in one statement, which cannot raise an intent twice. Those of one
/// order keep their sequence. All of them are in the order of their keys: two workers that
/// record the same orders then wait for each other and never both.
fn rounds(wishes: &[Wish]) -> Vec<Vec<&Wish>> {
    fn key(wish: &Wish) -> (IntegrationId, &str) {
        (wish.integration, wish.number.as_str())
    }
    let mut sorted: Vec<&Wish> = wishes.iter().collect();
    sorted.sort_by(|a, b| key(a).cmp(&key(b)));
    let mut rounds: Vec<Vec<&Wish>> = Vec::new();
    for same in sorted.chunk_by(|a, b| key(a) == key(b)) {
        for (round, wish) in same.iter().enumerate() {
            if rounds.len() == round {
                rounds.push(Vec::new());
            }
            rounds[round].push(wish);
        }
    }
    rounds
}

async fn record(tx: &mut Tx, wishes: &[&Wish], now: i64) -> Result<()> {
    const PER_WISH: usize = 13;
    let mut args = Vec::with_capacity(wishes.len() * PER_WISH);
    for wish in wishes {
        let kind = |want: Want| i64::from(wish.want == want);
        let candidates = (!wish.candidates.is_empty())
            .then(|| serde_json::to_string(&wish.candidates).expect("candidates serialise"));
        args.extend(args![
            wish.integration,
            wish.number.as_str(),
            kind(Want::Send),
            kind(Want::Update),
            kind(Want::Cancel),
            candidates,
            wish.declared,
            wish.due_at.as_millisecond(),
            wish.received_at.as_millisecond(),
            wish.generation,
            wish.traceparent.as_deref(),
            &wish.command_id,
            now
        ]);
    }
    let rows: Vec<String> = (0..wishes.len())
        .map(|row| {
            let of: Vec<String> = (1..=PER_WISH).map(|n| format!("${}", row * PER_WISH + n)).collect();
            format!("({}, 1, {}, {})", of[..2].join(", "), of[2..].join(", "), of[PER_WISH - 1])
        })
        .collect();
    tx.exec(
        format!(
            "INSERT INTO intents (integration_id, number, requested, send_seq, update_seq, cancel_seq, candidates, \
             declared, due_at, wanted_at, generation, traceparent, command_id, created_at, updated_at) VALUES {} \
             ON CONFLICT (integration_id, number) DO UPDATE SET \
             requested = intents.requested + 1, \
             send_seq = CASE WHEN excluded.send_seq = 1 THEN intents.requested + 1 ELSE intents.send_seq END, \
             update_seq = CASE WHEN excluded.update_seq = 1 THEN intents.requested + 1 ELSE intents.update_seq END, \
             cancel_seq = CASE WHEN excluded.cancel_seq = 1 THEN intents.requested + 1 ELSE intents.cancel_seq END, \
             candidates = COALESCE(excluded.candidates, intents.candidates), \
             declared = COALESCE(excluded.declared, intents.declared), \
             due_at = excluded.due_at, attempt = 0, rereads = 0, \
             wanted_at = CASE WHEN intents.requested = intents.served THEN excluded.wanted_at \
             ELSE intents.wanted_at END, generation = excluded.generation, traceparent = excluded.traceparent, \
             command_id = excluded.command_id, updated_at = excluded.updated_at \
             WHERE intents.command_id IS NULL OR intents.command_id <> excluded.command_id \
             OR intents.generation <> excluded.generation",
            rows.join(", ")
        ),
        args,
    )
    .await
    .map(|_| ())
}

impl Tx {
    /// Leaves a held intent. Answers false when the lease was lost: then nothing changed
    /// and another holder decides.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn leave_intent(
        &mut self,
        intent: &Intent,
        delivery: Option<DeliveryId>,
        leave: Leave,
        now: Timestamp,
    ) -> Result<bool> {
        let now = now.as_millisecond();
        let held = if is_planted(Bug::FenceUnchecked) { "fence >= $2" } else { "fence = $2" };
        let changed = match leave {
            Leave::Served => {
                self.exec(
                    format!(
                        "UPDATE intents SET served = $3, delivery_id = COALESCE($4, delivery_id), \
                     verify = CASE WHEN requested = $3 THEN 0 ELSE verify END, \
                     lease_owner = NULL, lease_until = 0, updated_at = $5 WHERE id = $1 AND {held}"
                    ),
                    args![intent.id, intent.fence, intent.requested, delivery, now],
                )
                .await?
            }
            // A newer wish set its own time and count while this one was worked on.
            Leave::Wait { due_at, attempt, rereads } => {
                self.exec(
                    format!(
                        "UPDATE intents SET delivery_id = COALESCE($4, delivery_id), \
                     due_at = CASE WHEN requested = $3 THEN $5 ELSE due_at END, \
                     attempt = CASE WHEN requested = $3 THEN $6 ELSE attempt END, \
                     rereads = CASE WHEN requested = $3 THEN $7 ELSE rereads END, \
                     lease_owner = NULL, lease_until = 0, updated_at = $8 WHERE id = $1 AND {held}"
                    ),
                    args![
                        intent.id,
                        intent.fence,
                        intent.requested,
                        delivery,
                        due_at.as_millisecond(),
                        attempt,
                        rereads,
                        now
                    ],
                )
                .await?
            }
        };
        Ok(changed == 1)
    }

    /// Binds a held intent to the delivery it is about, before anything is sent: should the
    /// order's number be edited meanwhile, the next holder still finds both. False when the
    /// lease was lost.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn bind_intent(&mut self, intent: &Intent, delivery: DeliveryId) -> Result<bool> {
        let changed = self
            .exec(
                "UPDATE intents SET delivery_id = $3 WHERE id = $1 AND fence = $2",
                args![intent.id, intent.fence, delivery],
            )
            .await?;
        Ok(changed == 1)
    }

    /// MeaSoft reports on an order that by the ledger was never placed: whoever takes the
    /// order next looks at MeaSoft first. Nothing is wanted by this alone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn doubt_delivery(&mut self, d: &Delivery, now: Timestamp) -> Result<()> {
        self.exec(
            "INSERT INTO intents (integration_id, number, delivery_id, requested, verify, due_at, wanted_at, created_at, \
             updated_at) VALUES ($1, $2, $3, 1, 1, $4, $4, $4, $4) ON CONFLICT (integration_id, number) DO UPDATE SET \
             wanted_at = CASE WHEN intents.requested = intents.served THEN $4 ELSE intents.wanted_at END, \
             requested = intents.requested + 1, verify = 1, due_at = $4, attempt = 0, rereads = 0, \
             delivery_id = COALESCE(intents.delivery_id, $3), updated_at = $4",
            args![d.integration, &d.number, d.id, now.as_millisecond()],
        )
        .await
        .map(|_| ())
    }

    /// An intent that was served is looked at once more: RetailCRM is owed a word about it.
    /// Nothing is wanted by this alone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn wake_intent(&mut self, intent: &Intent, due_at: Timestamp, now: Timestamp) -> Result<()> {
        self.exec(
            "UPDATE intents SET wanted_at = CASE WHEN requested = served THEN $3 ELSE wanted_at END, \
             requested = requested + 1, due_at = CASE WHEN requested = served THEN $2 ELSE due_at END, attempt = 0, \
             rereads = 0, updated_at = $3 WHERE id = $1",
            args![intent.id, due_at.as_millisecond(), now.as_millisecond()],
        )
        .await
        .map(|_| ())
    }

    /// A holder that began a write and lost its lease asks the next one to look first, but
    /// not before what it sent can be there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ask_to_verify(
        &mut self,
        intent: &Intent,
        delivery: Option<DeliveryId>,
        due_at: Timestamp,
        now: Timestamp,
    ) -> Result<()> {
        self.exec(
            "UPDATE intents SET requested = requested + 1, verify = 1, delivery_id = COALESCE($3, delivery_id), \
             due_at = $2, updated_at = $4 WHERE id = $1",
            args![intent.id, due_at.as_millisecond(), delivery, now.as_millisecond()],
        )
        .await
        .map(|_| ())
    }
}

fn read(row: &Row) -> Result<Intent> {
    let candidates = match row.opt_text("candidates")? {
        None => Vec::new(),
        Some(text) => serde_json::from_str(&text).map_err(|_| StoreError::BadRow("candidates"))?,
    };
    let small = |column: &'static str| -> Result<u32> {
        u32::try_from(row.int(column)?).map_err(|_| StoreError::BadRow(column))
    };
    Ok(Intent {
        id: row.int("id")?,
        integration: IntegrationId(row.int("integration_id")?),
        number: OrderNumber::parse(&row.text("number")?).map_err(|_| StoreError::BadRow("number"))?,
        delivery: row.opt_int("delivery_id")?.map(DeliveryId),
        requested: row.int("requested")?,
        served: row.int("served")?,
        send_seq: row.int("send_seq")?,
        update_seq: row.int("update_seq")?,
        cancel_seq: row.int("cancel_seq")?,
        candidates,
        declared: row.opt_int("declared")?.map(Kopecks),
        verify: row.flag("verify")?,
        due_at: moment(row.int("due_at")?),
        attempt: small("attempt")?,
        rereads: small("rereads")?,
        wanted_at: moment(row.int("wanted_at")?),
        generation: small("generation")?,
        traceparent: row.opt_text("traceparent")?,
        fence: row.int("fence")?,
    })
}
