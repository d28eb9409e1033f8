//! The journal: every exchange with a vendor and every decision, masked before it gets
//! here. What the vendor's users know as «отладка», and the timeline of `order show`.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::domain::IntegrationId;
use crate::phrases::Reader;
use crate::store::Store;
use crate::store::db::{Dialect, Result, Row, Tx};
use crate::store::sets::Set;
use crate::story::{self, Event};
use crate::{args, closed_set};

closed_set! {
    /// The closed set of entry sorts (JSON of `order show`).
    What {
        Trigger => "trigger",
        Decision => "decision",
        Call => "call",
        Status => "status",
        Crm => "crm",
        Operator => "operator",
    }
}

/// One entry. `request` and `response` are masked bodies.
#[derive(Debug, Clone)]
pub struct Entry {
    pub at: Timestamp,
    pub integration: Option<IntegrationId>,
    /// RetailCRM's order number.
    pub number: Option<String>,
    /// Our number at MeaSoft.
    pub orderno: Option<String>,
    pub what: What,
    pub vendor: Option<&'static str>,
    pub op: Option<String>,
    pub outcome: Option<String>,
    pub duration: Option<Duration>,
    pub http_status: Option<u16>,
    /// What happened; nothing where the exchange says it all.
    pub story: Vec<Event>,
    pub request: Option<String>,
    pub response: Option<String>,
}

impl Entry {
    pub fn new(at: Timestamp, what: What, event: Event) -> Self {
        Self::of(at, what, vec![event])
    }

    /// Of several things at once, in their order.
    pub fn of(at: Timestamp, what: What, story: Vec<Event>) -> Self {
        Self {
            at,
            integration: None,
            number: None,
            orderno: None,
            what,
            vendor: None,
            op: None,
            outcome: None,
            duration: None,
            http_status: None,
            story,
            request: None,
            response: None,
        }
    }

    pub fn about(mut self, integration: IntegrationId, number: impl Into<String>) -> Self {
        self.integration = Some(integration);
        self.number = Some(number.into());
        self
    }

    pub fn outcome(mut self, outcome: impl Into<String>) -> Self {
        self.outcome = Some(outcome.into());
        self
    }

    pub fn orderno(mut self, orderno: impl Into<String>) -> Self {
        self.orderno = Some(orderno.into());
        self
    }

    /// In plain English: for searches, and for releases that know no story.
    fn text(&self) -> String {
        let exchange = self.op.clone().filter(|_| self.vendor.is_some()).filter(|op| !op.is_empty());
        let told = Some(story::words(&self.story, &Reader::plain())).filter(|told| !told.is_empty());
        exchange.into_iter().chain(told).collect::<Vec<_>>().join(" ")
    }
}

/// An entry as it is read back.
#[derive(Debug, Clone)]
pub struct StoredEntry {
    pub id: i64,
    pub at: Timestamp,
    pub integration: Option<IntegrationId>,
    pub number: Option<String>,
    pub orderno: Option<String>,
    pub what: What,
    pub vendor: Option<String>,
    pub op: Option<String>,
    pub outcome: Option<String>,
    pub duration_ms: Option<i64>,
    pub http_status: Option<i64>,
    /// In plain English; of releases that knew no story, all there is.
    pub text: String,
    /// What happened; nothing where an exchange says it all, or this release cannot tell.
    pub story: Vec<Event>,
    pub request: Option<String>,
    pub response: Option<String>,
}

const COLUMNS: &str = "id, at, integration_id, number, orderno, what, vendor, op, outcome, duration_ms, http_status, text, request, \
                       response, story";

/// What to look for in the journal.
#[derive(Debug, Clone, Default)]
pub struct Search {
    pub integration: Option<IntegrationId>,
    /// Found in the number, our number, the text, request or response.
    pub text: Option<String>,
    pub since: Option<Timestamp>,
    pub limit: u32,
}

/// Requests of one operation, made for one integration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requests {
    pub integration: IntegrationId,
    /// `measoft` or `retailcrm`.
    pub vendor: String,
    pub op: String,
    pub number: i64,
    /// Those of them whose outcome was not good.
    pub failed: i64,
}

/// In the story of an order whose town the courier's list lacks; the town follows in «».
pub const NO_TOWN: &str = "the courier's list has no town";

impl Store {
    /// What orders and callbacks of an integration were told about towns that were not found
    /// or not clear: texts with the town in «», newest first, at most `limit`.
    pub async fn town_complaints(
        &self,
        integration: IntegrationId,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<String>> {
        let sql = "SELECT text FROM journal WHERE integration_id = $1 AND at >= $2 AND (outcome IN ('unknown_town', 'town_unclear') \
                   OR text LIKE $3 OR text LIKE $4 OR story LIKE $5) ORDER BY at DESC LIMIT $6";
        self.db
            .read_all(
                sql,
                args![
                    integration,
                    since,
                    format!("%{NO_TOWN} «%"),
                    "%gave up (town_unclear, %",
                    "%\"town_unclear\"%",
                    limit
                ],
                |row| row.text("text"),
            )
            .await
    }

    /// Requests to the vendors since a moment, by integration and operation. Of several orders in
    /// one request each has an entry, of one moment: they count once.
    pub async fn requests_since(&self, since: Timestamp) -> Result<Vec<Requests>> {
        let sql = "SELECT integration_id, vendor, op, COUNT(*) AS n, CAST(SUM(bad) AS BIGINT) AS bad FROM (\
                   SELECT integration_id, vendor, op, at, CAST(MAX(CASE WHEN outcome = 'ok' THEN 0 ELSE 1 END) AS BIGINT) AS bad \
                   FROM journal WHERE at >= $1 AND vendor IS NOT NULL AND op IS NOT NULL AND integration_id IS NOT NULL \
                   GROUP BY integration_id, vendor, op, at) AS requests \
                   GROUP BY integration_id, vendor, op ORDER BY n DESC, op";
        self.db
            .read_all(sql, args![since], |row| {
                Ok(Requests {
                    integration: IntegrationId(row.int("integration_id")?),
                    vendor: row.text("vendor")?,
                    op: row.text("op")?,
                    number: row.int("n")?,
                    failed: row.int("bad")?,
                })
            })
            .await
    }

    /// Does not wait for the disk: of the last second a server that breaks down may forget some.
    pub async fn append_journal(&self, entries: &[Entry]) -> Result<()> {
        let mut tx = self.db.begin_forgettable().await?;
        tx.append_all(entries).await?;
        tx.commit().await
    }

    /// Entries of an order, oldest first: those under its number and those under the
    /// MeaSoft numbers given.
    pub async fn timeline(
        &self,
        number: &str,
        ordernos: &[String],
        integration: Option<IntegrationId>,
    ) -> Result<Vec<StoredEntry>> {
        let mut found: Vec<StoredEntry> = Vec::new();
        let by_orderno = ordernos.iter().map(|orderno| ("orderno", orderno.as_str()));
        for (column, value) in std::iter::once(("number", number)).chain(by_orderno) {
            let sql = format!(
                "SELECT {COLUMNS} FROM journal WHERE {column} = $1 AND (CAST($2 AS BIGINT) IS NULL OR integration_id = $2) \
                 ORDER BY at, id LIMIT 2000"
            );
            let of_it: Vec<StoredEntry> = self.db.read_all(sql, args![value, integration], read).await?;
            found.extend(of_it);
        }
        found.sort_by_key(|kept| (kept.at, kept.id));
        found.dedup_by_key(|kept| kept.id);
        Ok(found)
    }

    /// Newest first.
    pub async fn search_journal(&self, search: &Search) -> Result<Vec<StoredEntry>> {
        let like = search
            .text
            .as_ref()
            .map(|text| format!("%{}%", text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")));
        // SQLite's LIKE takes Latin letters of either case for one another.
        let like_op = match self.db.dialect() {
            Dialect::Sqlite => "LIKE",
            Dialect::Postgres => "ILIKE",
        };
        let found = ["number", "orderno", "text", "request", "response"]
            .map(|column| format!("{column} {like_op} $3 ESCAPE '\\'"))
            .join(" OR ");
        let sql = format!(
            "SELECT {COLUMNS} FROM journal WHERE (CAST($1 AS BIGINT) IS NULL OR integration_id = $1) \
             AND at >= $2 AND (CAST($3 AS TEXT) IS NULL OR {found}) ORDER BY at DESC, id DESC LIMIT $4"
        );
        self.db
            .read_all(
                sql,
                args![search.integration, search.since.map_or(0, Timestamp::as_millisecond), like, search.limit],
                read,
            )
            .await
    }

    /// Forgets entries older than a moment, at most `limit` at once.
    pub async fn forget_journal(&self, before: Timestamp, limit: u32) -> Result<u64> {
        let sql = "DELETE FROM journal WHERE id IN (SELECT id FROM journal WHERE at < $1 ORDER BY at LIMIT $2)";
        self.db.exec(sql, args![before, limit]).await
    }
}

impl Tx {
    pub async fn append_journal(&mut self, entry: &Entry) -> Result<()> {
        self.append_all(std::slice::from_ref(entry)).await
    }

    /// All in one statement, in their order.
    pub async fn append_all(&mut self, entries: &[Entry]) -> Result<()> {
        let columns = COLUMNS.split(", ").skip(1).collect::<Vec<_>>();
        let set = Set::of(columns.iter().copied(), entries, |entry| {
            args![
                entry.at,
                entry.integration,
                entry.number.as_deref(),
                entry.orderno.as_deref(),
                entry.what.as_str(),
                entry.vendor,
                entry.op.as_deref(),
                entry.outcome.as_deref(),
                entry.duration.map(|d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)),
                entry.http_status.map(i64::from),
                entry.text(),
                entry.request.as_deref(),
                entry.response.as_deref(),
                (!entry.story.is_empty()).then(|| serde_json::to_string(&entry.story).expect("a story serialises"))
            ]
        });
        let added = self.exec_set(set, vec![], |v| {
            let values = columns.iter().map(|name| format!("v.{name}")).collect::<Vec<_>>().join(", ");
            format!("INSERT INTO journal ({}) SELECT {values} FROM {v}", columns.join(", "))
        });
        added.await.map(|_| ())
    }
}

fn read(row: &Row) -> Result<StoredEntry> {
    Ok(StoredEntry {
        id: row.int("id")?,
        at: row.moment("at")?,
        integration: row.opt_int("integration_id")?.map(IntegrationId),
        number: row.opt_text("number")?,
        orderno: row.opt_text("orderno")?,
        what: What::parse(&row.text("what")?).unwrap_or(What::Call),
        vendor: row.opt_text("vendor")?,
        op: row.opt_text("op")?,
        outcome: row.opt_text("outcome")?,
        duration_ms: row.opt_int("duration_ms")?,
        http_status: row.opt_int("http_status")?,
        text: row.text("text")?,
        story: row.opt_text("story")?.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
        request: row.opt_text("request")?,
        response: row.opt_text("response")?,
    })
}

enum Line {
    Entry(Box<Entry>),
    Flush(oneshot::Sender<()>),
}

/// Writes entries in groups behind the callers' backs: a vendor call never waits for its
/// journal row. At most 40 ms of entries are lost with the process.
#[derive(Debug, Clone)]
pub struct Journal {
    lines: mpsc::Sender<Line>,
}

impl Journal {
    const EVERY: Duration = Duration::from_millis(40);
    const GROUP: usize = 200;

    /// Starts the writing task; it ends when the last handle is dropped.
    pub fn start(store: Store) -> Self {
        let (lines, mut inbox) = mpsc::channel::<Line>(20_000);
        tokio::spawn(async move {
            let mut group: Vec<Entry> = Vec::new();
            let mut waiting: Vec<oneshot::Sender<()>> = Vec::new();
            let mut open = true;
            while open {
                let mut received = Vec::with_capacity(Self::GROUP);
                if inbox.recv_many(&mut received, Self::GROUP).await == 0 {
                    open = false;
                }
                if open && received.len() < Self::GROUP && !received.iter().any(|l| matches!(l, Line::Flush(_))) {
                    // A short pause gathers the entries of one burst into one commit.
                    tokio::time::sleep(Self::EVERY).await;
                    while received.len() < Self::GROUP {
                        match inbox.try_recv() {
                            Ok(line) => received.push(line),
                            Err(_) => break,
                        }
                    }
                }
                for line in received {
                    match line {
                        Line::Entry(entry) => group.push(*entry),
                        Line::Flush(done) => waiting.push(done),
                    }
                }
                if group.is_empty() {
                    waiting.clear();
                    continue;
                }
                let mut tries = 0;
                while let Err(error) = store.append_journal(&group).await {
                    tries += 1;
                    if tries >= 5 {
                        tracing::warn!(entries = group.len(), %error, "journal entries are lost: the database does not take them");
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(200 * tries)).await;
                }
                group.clear();
                waiting.clear();
            }
        });
        Self { lines }
    }

    /// Never waits; when twenty thousand entries are behind, new ones are dropped and said.
    pub fn write(&self, entry: Entry) {
        if self.lines.try_send(Line::Entry(Box::new(entry))).is_err() {
            tracing::warn!("the journal is behind; an entry was dropped");
        }
    }

    /// Returns when everything written so far is stored.
    pub async fn flush(&self) {
        let (done, stored) = oneshot::channel();
        if self.lines.send(Line::Flush(done)).await.is_ok() {
            // The sender is dropped, not sent, once the group is through.
            let _ = stored.await;
        }
    }
}
