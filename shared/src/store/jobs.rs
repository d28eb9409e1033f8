//! The job table: the embedded queue, the outbox of handlers, and the spill of ingress.
//! One table, one row a message; `queue::jobs` consumes it, `queue::relay` forwards it
//! to a broker.

use std::time::Duration;

use jiff::Timestamp;

use crate::args;
use crate::domain::IntegrationId;
use crate::message::{Command, Envelope, Lane, encode};
use crate::store::db::{Result, Row, Tx, Value};
use crate::store::{Store, free, many};

/// A claimed row.
#[derive(Debug, Clone)]
pub struct Job {
    pub id: String,
    pub body: Vec<u8>,
    /// How often it was handed out before.
    pub deliveries: i64,
}

/// A row to be stored.
#[derive(Debug, Clone)]
pub struct NewJob {
    pub id: String,
    pub lane: Lane,
    pub body: Vec<u8>,
    pub run_at: Timestamp,
}

impl NewJob {
    pub fn of(envelope: &Envelope, run_at: Timestamp) -> Self {
        // A retry of one command is another message; its first copy may still be there.
        let id = format!("{}:{}:{}", envelope.id, envelope.generation, envelope.attempt);
        Self { id, lane: envelope.lane(), body: encode(envelope), run_at }
    }
}

impl Store {
    /// Stores messages in one commit.
    /// On an error none is stored.
    pub async fn enqueue(&self, jobs: &[NewJob]) -> Result<()> {
        self.turn_over(jobs, &[]).await
    }

    /// Asks for a status sync of some integrations: a running installation takes it within two
    /// seconds.
    pub async fn ask_for_sync(&self, of: &[IntegrationId]) -> Result<()> {
        let now = self.clock.now();
        let job = |id: &IntegrationId| NewJob::of(&Envelope::new(Command::SyncStatuses {}, Some(*id), now), now);
        self.enqueue(&of.iter().map(job).collect::<Vec<_>>()).await
    }

    /// Stores messages and removes settled ones that their owners still hold, in one commit.
    /// On an error neither happens.
    pub async fn turn_over(&self, put: &[NewJob], done: &[(String, Vec<String>)]) -> Result<()> {
        let mut tx = self.db.begin().await?;
        tx.enqueue_all(put, self.clock.now()).await?;
        for (owner, ids) in done {
            tx.finish_jobs(owner, ids).await?;
        }
        tx.commit().await
    }

    /// Hands out due messages of a lane, oldest first.
    pub async fn claim_jobs(&self, lane: Option<Lane>, owner: &str, lease: Duration, limit: u32) -> Result<Vec<Job>> {
        self.claim_jobs_overdue(lane, owner, lease, limit, Duration::ZERO).await
    }

    /// The same of messages that have been due for at least so long.
    pub async fn claim_jobs_overdue(
        &self,
        lane: Option<Lane>,
        owner: &str,
        lease: Duration,
        limit: u32,
        overdue: Duration,
    ) -> Result<Vec<Job>> {
        let now = self.clock.now_ms();
        let since = now - i64::try_from(overdue.as_millis()).unwrap_or(0);
        let lock = self.db.dialect().skip_locked();
        let (condition, lane) = match lane {
            Some(lane) => ("lane = $4", lane.as_str()),
            None => ("$4 = ''", ""),
        };
        // Materialized: see `claim` of the intents.
        let sql = format!(
            "WITH due AS MATERIALIZED (SELECT id FROM jobs WHERE {condition} AND {} \
             AND (run_at <= $6 OR run_at > $3) AND {} ORDER BY run_at LIMIT $5 {lock}) \
             UPDATE jobs SET lease_by = $1, lease_until = $2, deliveries = deliveries + 1 \
             WHERE id IN (SELECT id FROM due) RETURNING id, body, deliveries, run_at",
            self.due("run_at", 3),
            free(3)
        );
        let until = now + i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        let mut jobs: Vec<(i64, Job)> =
            self.db.write_all(sql, args![owner, until, now, lane, limit, since], read).await?;
        jobs.sort_by_key(|(run_at, _)| *run_at);
        Ok(jobs.into_iter().map(|(_, job)| job).collect())
    }

    /// Removes settled messages that this owner still holds.
    pub async fn finish_jobs(&self, owner: &str, ids: &[String]) -> Result<u64> {
        let mut tx = self.db.begin().await?;
        let done = tx.finish_jobs(owner, ids).await?;
        tx.commit().await?;
        Ok(done)
    }

    /// Puts messages back for anybody to take now.
    pub async fn hand_back_jobs(&self, owner: &str, ids: &[String]) -> Result<()> {
        self.give_back(owner, ids, 0).await
    }

    /// Puts back messages that nobody has looked at: they count as never handed out.
    pub async fn return_jobs(&self, owner: &str, ids: &[String]) -> Result<()> {
        self.give_back(owner, ids, 1).await
    }

    async fn give_back(&self, owner: &str, ids: &[String], uncounted: i64) -> Result<()> {
        let mut tx = self.db.begin().await?;
        for id in ids {
            let sql = "UPDATE jobs SET lease_by = NULL, lease_until = 0, deliveries = deliveries - $3 \
                       WHERE id = $1 AND lease_by = $2";
            tx.exec(sql, args![id, owner, uncounted]).await?;
        }
        tx.commit().await
    }

    /// Messages per lane, those in hand and those not due yet included.
    pub async fn job_counts(&self) -> Result<Vec<(Lane, u64)>> {
        let rows = self.db.fetch("SELECT lane, COUNT(*) AS n FROM jobs GROUP BY lane", vec![]).await?;
        let mut counts = Vec::new();
        for row in rows {
            if let Some(lane) = Lane::parse(&row.text("lane")?) {
                counts.push((lane, u64::try_from(row.int("n")?).unwrap_or(0)));
            }
        }
        Ok(counts)
    }

    /// How many messages are due, those in hand included. A try that waits for its time is none.
    pub async fn due_jobs(&self) -> Result<u64> {
        let sql = format!("SELECT COUNT(*) AS n FROM jobs WHERE {}", self.due("run_at", 1));
        let read = |row: &Row| row.int("n");
        let n = self.db.read_one(sql, args![self.clock.now_ms()], read).await?;
        Ok(n.and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
    }

    /// Messages per lane that anybody could take now.
    pub async fn waiting_jobs(&self) -> Result<Vec<(Lane, u64)>> {
        let now = self.clock.now_ms();
        let sql = format!("SELECT lane, COUNT(*) AS n FROM jobs WHERE {} GROUP BY lane", self.waits());
        let mut counts: Vec<(Lane, u64)> = Lane::ALL.map(|lane| (lane, 0)).to_vec();
        for row in self.db.fetch(sql, args![now]).await? {
            let lane = Lane::parse(&row.text("lane")?);
            if let Some(count) = counts.iter_mut().find(|(known, _)| Some(*known) == lane) {
                count.1 = u64::try_from(row.int("n")?).unwrap_or(0);
            }
        }
        Ok(counts)
    }

    /// Since when the oldest message that nobody has taken has been due.
    pub async fn oldest_waiting_job(&self) -> Result<Option<Timestamp>> {
        let sql = format!("SELECT MIN({}) AS oldest FROM jobs WHERE {}", self.due_when("run_at", 1), self.waits());
        self.db.moment(sql, args![self.clock.now_ms()], "oldest").await
    }

    /// [`Store::oldest_waiting_job`] by lane; lanes without one are left out.
    pub async fn oldest_waiting_jobs(&self) -> Result<Vec<(Lane, Timestamp)>> {
        let (due, waits) = (self.due_when("run_at", 1), self.waits());
        let sql = format!("SELECT lane, MIN({due}) AS oldest FROM jobs WHERE {waits} GROUP BY lane");
        let mut oldest = Vec::new();
        for row in self.db.fetch(sql, args![self.clock.now_ms()]).await? {
            if let Some(lane) = Lane::parse(&row.text("lane")?) {
                oldest.push((lane, row.moment("oldest")?));
            }
        }
        Ok(oldest)
    }

    /// The condition that anybody could take a message at the moment of the first argument.
    fn waits(&self) -> String {
        format!("{} AND {}", self.due("run_at", 1), free(1))
    }

    /// When the next message can be taken: it becomes due, or its holder's lease runs out.
    pub async fn next_job_due(&self, lane: Lane) -> Result<Option<Timestamp>> {
        let sql = format!(
            "SELECT MIN(CASE WHEN {} THEN {} ELSE lease_until END) AS due FROM jobs WHERE lane = $1",
            free(2),
            self.due_when("run_at", 2)
        );
        self.db.moment(sql, args![lane.as_str(), self.clock.now_ms()], "due").await
    }
}

impl Tx {
    /// A message stored with whatever else the transaction does (the outbox).
    pub async fn enqueue(&mut self, job: &NewJob, now: Timestamp) -> Result<()> {
        self.enqueue_all(std::slice::from_ref(job), now).await
    }

    /// Several at once.
    pub async fn enqueue_all(&mut self, jobs: &[NewJob], now: Timestamp) -> Result<()> {
        for piece in many::pieces(jobs) {
            let of = |job: &NewJob| args![&job.id, job.lane.as_str(), job.body.clone(), job.run_at, now];
            let values = many::values(piece.len(), 5);
            let sql =
                format!("INSERT INTO jobs (id, lane, body, run_at, created_at) VALUES {values} ON CONFLICT DO NOTHING");
            self.exec(sql, piece.iter().flat_map(of).collect()).await?;
        }
        Ok(())
    }

    async fn finish_jobs(&mut self, owner: &str, ids: &[String]) -> Result<u64> {
        let mut done = 0;
        for piece in many::pieces(ids) {
            let mut args = args![owner];
            args.extend(piece.iter().map(Value::from));
            let places = many::places(2, piece.len());
            let sql = format!("DELETE FROM jobs WHERE lease_by = $1 AND id IN ({places})");
            done += self.exec(sql, args).await?;
        }
        Ok(done)
    }
}

fn read(row: &Row) -> Result<(i64, Job)> {
    Ok((
        row.int("run_at")?,
        Job { id: row.text("id")?, body: row.bytes("body")?, deliveries: row.int("deliveries")? - 1 },
    ))
}
