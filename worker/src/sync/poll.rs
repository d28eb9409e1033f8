//! Takes what changed out of MeaSoft's stream: fetch, store, seal, acknowledge, unpack, again
//! until nothing is left (protocols/measoft.md#changes).
//!
//! An answer is acknowledged only when all of it is stored and nothing was fetched after
//! it: the acknowledgement names no answer, it means «the last one». So each fetch is noted
//! before it is made, and after a crash only a sealed batch that is still the newest is
//! acknowledged.

use std::time::Duration;

use content::ContentSum;
use shared::crypto::SecretKey;
use shared::domain::IntegrationId;
use shared::measoft::{MeasoftError, RawRow, Row, StatusStream};
use shared::message::{Change, Kind, Needless, Outcome};
use shared::phrases::Detail;
use shared::store::dead_letters::NewDeadLetter;
use shared::store::leases::Lease;
use shared::store::status_stream::{BatchState, NewRow, RowState, Segment, Stored};
use shared::telemetry::metrics::StatusRowResult;
use shared::{reason, store};

use crate::sync::apply::Cabinet;
use crate::sync::guard::LeaseGuard;
use crate::sync::segment::{self, StoredRow, by_number};
use crate::sync::{internal, of_account};
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::budget::Priority;
use crate::vendor::limiter::Ticket;

/// Rows stored in one commit, at most.
pub const CHUNK: usize = 512;
/// Rows of the first commit of an answer: while they arrive nothing else can be done.
const FIRST_CHUNK: usize = 128;
/// Segments unpacked in one commit, at most.
const TOGETHER: u32 = 8;
/// Threads that read the rows of one commit, at most.
const READERS: usize = 4;
/// Answers taken in one run: what is left comes with the next one.
const ROUNDS: usize = 60;
/// A run that takes longer leaves the rest to the next one.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// Another worker polls the stream.
pub const TAKEN: Outcome = Outcome::Superseded(Needless::OthersTurn);

/// One stream as a run holds it.
pub struct Stream<'a> {
    tools: &'a Tools,
    active: &'a ActiveIntegration,
    account: String,
    id: u32,
    lease: Lease,
    /// Every integration of the cabinet: rows are theirs by number.
    integrations: Vec<IntegrationId>,
}

/// A stored answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub batch: i64,
    pub rows: usize,
    /// Hash of everything it held.
    pub content: String,
}

/// Why a run stops early.
#[derive(Debug)]
pub enum Stop {
    /// Another worker has the stream now.
    LeaseLost,
    Outcome(Outcome),
}

impl From<store::StoreError> for Stop {
    fn from(error: store::StoreError) -> Self {
        tracing::warn!(%error, "a status sync waits for the database");
        Self::Outcome(internal())
    }
}

/// Polls the stream of an integration's cabinet until it is empty.
pub async fn run(tools: &Tools, active: &ActiveIntegration) -> Outcome {
    let account = active.integration.courier_account();
    let id = active.integration.settings.stream_id;
    let guard = match LeaseGuard::take(tools, &format!("stream|{account}|{id}")).await {
        Ok(Some(guard)) => guard,
        Ok(None) => return TAKEN,
        Err(_) => return internal(),
    };
    let outcome = match Stream::open(tools, active, guard.lease.clone()).await {
        Ok(stream) => match stream.drain().await {
            Ok(outcome) | Err(Stop::Outcome(outcome)) => outcome,
            Err(Stop::LeaseLost) => Outcome::Superseded(Needless::OthersTurn),
        },
        Err(_) => internal(),
    };
    guard.release().await;
    outcome
}

impl<'a> Stream<'a> {
    pub async fn open(tools: &'a Tools, active: &'a ActiveIntegration, lease: Lease) -> store::Result<Self> {
        let account = active.integration.courier_account();
        let integrations = of_account(tools, &account).await?.iter().map(|integration| integration.id).collect();
        Ok(Self { tools, active, account, id: active.integration.settings.stream_id, lease, integrations })
    }

    async fn drain(&self) -> Result<Outcome, Stop> {
        let began = self.tools.clock.now();
        self.resume().await?;
        self.unpack().await?;
        let mut acknowledged = self.tools.store.last_committed_batch(&self.account, self.id).await?;
        let mut any = false;
        for _ in 0..ROUNDS {
            let fetched = self.fetch().await?;
            self.seal(&fetched).await?;
            if fetched.rows == 0 {
                break;
            }
            any = true;
            if acknowledged.as_ref().and_then(|batch| batch.content.as_ref()) == Some(&fetched.content) {
                self.not_effective().await?;
                self.unpack().await?;
                self.succeeded();
                return Ok(Outcome::AlreadyDone(Needless::NothingNew));
            }
            self.commit(fetched.batch).await?;
            self.unpack().await?;
            acknowledged = self.tools.store.last_committed_batch(&self.account, self.id).await?;
            if self.tools.clock.now().duration_since(began).unsigned_abs() > LONGEST {
                break;
            }
        }
        self.effective().await?;
        self.succeeded();
        Ok(if any { Outcome::Done(Change::Synced) } else { Outcome::AlreadyDone(Needless::NothingNew) })
    }

    /// Finishes what a run before this one left: a sealed answer is acknowledged if nothing
    /// was fetched after it; one that was not sealed will come again.
    pub async fn resume(&self) -> Result<(), Stop> {
        match self.tools.store.newest_batch(&self.account, self.id).await? {
            Some(batch) if batch.state == BatchState::Sealed => {
                tracing::info!(integration = self.active.id().0, batch = batch.id, "acknowledging what is stored");
                self.commit(batch.id).await
            }
            _ => Ok(()),
        }
    }

    /// Fetches one answer and stores its rows as they arrive, as segments: what becomes of
    /// each takes longer and can be done once MeaSoft need not wait any more.
    ///
    /// # Errors
    /// [`Stop`]; then nothing of the answer may be acknowledged.
    pub async fn fetch(&self) -> Result<Fetched, Stop> {
        let store = &self.tools.store;
        let mut ticket = self.pass().await?;
        let asked_at = store.agreed_now().await?;
        let batch = store.begin_batch(&self.lease, &self.account, self.id, asked_at).await?.ok_or(Stop::LeaseLost)?;
        ticket.sends();
        let read = self.read(batch).await;
        match read {
            Ok(fetched) => {
                ticket.report(Ok(()));
                Ok(fetched)
            }
            Err(ReadError::Stop(stop)) => {
                ticket.forgo();
                Err(stop)
            }
            Err(ReadError::Vendor(error)) => {
                ticket.report(Err(&error));
                Err(Stop::Outcome(self.tools.failure(self.active, &error).await))
            }
        }
    }

    /// Three things at a time: rows arrive, those before them are read on other threads, and
    /// those before these are stored.
    async fn read(&self, batch: i64) -> Result<Fetched, ReadError> {
        let key = &self.tools.store.key;
        let mut stream = self.active.vendors.courier.only_last(self.id).await?;
        let mut sum = ContentSum::default();
        let mut rows = 0;
        let mut written = Vec::new();
        let mut size = FIRST_CHUNK;
        let mut taken = chunk(&mut stream, size).await?;
        while !taken.is_empty() {
            let over = taken.len() < size;
            size = (size * 2).min(CHUNK);
            let storing = self.keep(batch, std::mem::take(&mut written));
            let arriving = async { if over { Ok(Vec::new()) } else { chunk(&mut stream, size).await } };
            let ((segments, more), stored, next) = tokio::join!(write_down(taken, key), storing, arriving);
            stored?;
            sum = sum.and(&more);
            for (count, content) in segments {
                written.push((rows, content));
                rows += count;
            }
            taken = next?;
        }
        self.keep(batch, written).await?;
        Ok(Fetched { batch, rows, content: sum.text(rows) })
    }

    /// Stores segments, each with the place of its first row.
    async fn keep(&self, batch: i64, segments: Vec<(usize, String)>) -> Result<(), Stop> {
        let store = &self.tools.store;
        let kept = store.store_segments(&self.lease, &self.account, self.id, batch, segments).await?;
        if kept { Ok(()) } else { Err(Stop::LeaseLost) }
    }

    /// Stores each row of the waiting segments as somebody's or nobody's, in the order in
    /// which they were fetched, and takes over what its delivery can have at once.
    ///
    /// # Errors
    /// [`Stop`]; what is left is unpacked by the next run.
    pub async fn unpack(&self) -> Result<(), Stop> {
        let store = &self.tools.store;
        let mut waiting = store.next_segments(&self.account, self.id, TOGETHER).await?;
        if waiting.is_empty() {
            return Ok(());
        }
        let cabinet = Cabinet::open(self.tools, &self.account).await?;
        let integrations: Vec<IntegrationId> = cabinet.integrations.keys().copied().collect();
        while !waiting.is_empty() {
            let read: Vec<_> = waiting.iter().map(|waiting| segment::read(&waiting.content)).collect();
            let numbers: Vec<&str> = read.iter().flatten().filter_map(|row| row.orderno.as_deref()).collect();
            let owners = by_number(store.owners_of(&integrations, &numbers).await?);
            let owned = |rows: Vec<StoredRow>| rows.into_iter().map(|row| row.owned(&owners)).collect();
            let new: Vec<(Segment, Vec<NewRow>)> = waiting.into_iter().zip(read.into_iter().map(owned)).collect();
            let stored = cabinet.unpack(&self.lease, &new).await?.ok_or(Stop::LeaseLost)?;
            let rows: Vec<&NewRow> = new.iter().flat_map(|(_, rows)| rows).collect();
            self.count(&rows, stored);
            for row in rows.iter().filter(|row| row.state == RowState::Parked) {
                self.set_aside(row).await?;
            }
            waiting = store.next_segments(&self.account, self.id, TOGETHER).await?;
        }
        Ok(())
    }

    /// Tells of a row that nobody can read.
    async fn set_aside(&self, row: &NewRow) -> Result<(), Stop> {
        let why = row.why.as_deref().unwrap_or("");
        let orderno = row.orderno.as_deref();
        tracing::warn!(integration = self.active.id().0, orderno, why, "a status row is set aside");
        match row.delivery {
            Some((delivery, integration)) => self.dead_letter_poison(delivery, integration, why).await,
            None => Ok(()),
        }
    }

    fn count(&self, rows: &[&NewRow], stored: Stored) {
        let of = |state| rows.iter().filter(|row| row.state == state).count() as u64;
        let metrics = &self.tools.metrics;
        metrics.status_rows(StatusRowResult::Fresh, stored.fresh);
        metrics.status_rows(StatusRowResult::Repeated, stored.repeated);
        metrics.status_rows(StatusRowResult::Foreign, of(RowState::Foreign));
        metrics.status_rows(StatusRowResult::Parked, of(RowState::Parked));
    }

    async fn dead_letter_poison(
        &self,
        delivery: shared::domain::DeliveryId,
        integration: IntegrationId,
        why: &str,
    ) -> Result<(), Stop> {
        let number = self.tools.store.delivery(delivery).await?.map(|d| d.number);
        let give_up = reason::give_up(reason::STATUS_UNREADABLE, why);
        let dead = NewDeadLetter {
            integration: Some(integration),
            delivery: Some(delivery),
            number,
            ..NewDeadLetter::new(Kind::SyncStatuses.as_str(), give_up)
        };
        self.tools.store.add_dead_letter(&dead).await?;
        Ok(())
    }

    /// Closes an answer that is stored whole.
    pub async fn seal(&self, fetched: &Fetched) -> Result<(), Stop> {
        let sealed = self.tools.store.seal_batch(&self.lease, fetched.batch, fetched.rows, &fetched.content).await?;
        if sealed { Ok(()) } else { Err(Stop::LeaseLost) }
    }

    /// Acknowledges the newest sealed answer.
    ///
    /// # Errors
    /// [`Stop`]; it stays sealed and is acknowledged first thing next time.
    pub async fn commit(&self, batch: i64) -> Result<(), Stop> {
        let mut ticket = self.pass().await?;
        // Whoever took the stream over may have fetched meanwhile: then this would
        // acknowledge what they have not stored.
        let mut tx = self.tools.store.db.begin().await?;
        let held = tx.holds_lease(&self.lease).await?;
        tx.commit().await?;
        if !held {
            return Err(Stop::LeaseLost);
        }
        ticket.sends();
        let result = self.active.vendors.courier.commit_last_status(self.id).await;
        ticket.report(result.as_ref().copied());
        match result {
            Ok(()) => Ok(self.tools.store.batch_committed(batch).await?),
            Err(error) => Err(Stop::Outcome(self.tools.failure(self.active, &error).await)),
        }
    }

    async fn pass(&self) -> Result<Ticket, Stop> {
        self.tools.limiter.pass(&self.account, Priority::Bulk).await.map_err(Stop::Outcome)
    }

    /// The same answer again after an acknowledgement: going on would never end.
    async fn not_effective(&self) -> Result<(), Stop> {
        tracing::warn!(
            integration = self.active.id().0,
            stream = self.id,
            "MeaSoft repeats what was acknowledged: commitlaststatus is not effective"
        );
        let give_up = reason::give_up(reason::COMMIT_NOT_EFFECTIVE, Detail::StreamName { name: self.name() });
        let dead = NewDeadLetter {
            integration: Some(self.active.id()),
            number: Some(self.name()),
            ..NewDeadLetter::new(Kind::SyncStatuses.as_str(), give_up)
        };
        self.tools.store.add_dead_letter(&dead).await?;
        Ok(())
    }

    async fn effective(&self) -> Result<(), Stop> {
        let mut tx = self.tools.store.db.begin().await?;
        let now = self.tools.clock.now();
        tx.resolve_dead_letters_of(self.active.id(), Some(&self.name()), Kind::SyncStatuses.as_str(), now).await?;
        tx.commit().await?;
        Ok(())
    }

    fn name(&self) -> String {
        format!("stream {}", self.id)
    }

    fn succeeded(&self) {
        let now = self.tools.clock.now();
        for integration in &self.integrations {
            self.tools.metrics.sync_succeeded(*integration, now);
        }
    }
}

enum ReadError {
    Vendor(MeasoftError),
    Stop(Stop),
}

impl From<MeasoftError> for ReadError {
    fn from(error: MeasoftError) -> Self {
        Self::Vendor(error)
    }
}

impl From<Stop> for ReadError {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// The next rows of an answer; fewer than `size` are its last.
async fn chunk(stream: &mut StatusStream, size: usize) -> Result<Vec<RawRow>, MeasoftError> {
    let mut rows = Vec::with_capacity(size);
    while rows.len() < size {
        match stream.next().await? {
            Some(row) => rows.push(row),
            None => break,
        }
    }
    Ok(rows)
}

/// Reads rows, on as many threads as there are cores up to [`READERS`]; gives their segments
/// and the hash of what they hold.
async fn write_down(rows: Vec<RawRow>, key: &SecretKey) -> (Vec<(usize, String)>, ContentSum) {
    let readers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(READERS);
    let share = rows.len().div_ceil(readers);
    let mut rest = rows.into_iter();
    let mut reading = Vec::with_capacity(readers);
    while rest.len() > 0 {
        let part: Vec<RawRow> = rest.by_ref().take(share).collect();
        let key = key.clone();
        reading.push(tokio::task::spawn_blocking(move || {
            let mut sum = ContentSum::default();
            let rows = part.into_iter().map(RawRow::read).inspect(|row| sum.add(row));
            (segment::write(rows, &key), sum)
        }));
    }
    let mut whole = (Vec::new(), ContentSum::default());
    for part in reading {
        let (segments, sum) = part.await.expect("reading does not panic and is not cancelled");
        whole.0.extend(segments);
        whole.1 = whole.1.and(&sum);
    }
    whole
}

/// A hash of an answer that does not depend on the order of its rows.
mod content {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};

    use super::Row;

    /// The sum of its rows' hashes. It is compared with that of the answer before, so that
    /// another release of the hash costs no more than one comparison.
    #[derive(Default)]
    pub(super) struct ContentSum(u64);

    impl ContentSum {
        pub(super) fn add(&mut self, row: &Row) {
            let mut hasher = DefaultHasher::new();
            row.hash(&mut hasher);
            self.0 = self.0.wrapping_add(hasher.finish());
        }

        /// Of the rows of both.
        pub(super) fn and(&self, other: &Self) -> Self {
            Self(self.0.wrapping_add(other.0))
        }

        pub(super) fn text(&self, rows: usize) -> String {
            format!("{rows}:{:016x}", self.0)
        }
    }
}
