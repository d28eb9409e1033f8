//! Who did what, to what, and what it was before: written in the commit of the act itself, never
//! changed, each row with the hash of the one before it. Holds neither secrets nor personal data.
//!
//! A chain alone shows a row that was changed or taken out, but not that its end was cut off, nor
//! that somebody wrote all of it anew. So the newest hash is kept apart, signed with the
//! installation's key, which the database does not hold.

mod changes;
mod verify;

use jiff::Timestamp;
use serde_json::{Map, Value as Json};

use crate::crypto::SecretKey;
use crate::digest::sha256_hex;
use crate::domain::IntegrationId;
use crate::store::Store;
use crate::store::db::{Dialect, Result, Row, Tx, Value};
use crate::story::Person;
use crate::{args, closed_set};

pub use changes::{changes, of_new};
pub use verify::{Flaw, Verified};

closed_set! {
    /// What was done.
    Act {
        Added => "added",
        Edited => "edited",
        KeyRotated => "key_rotated",
        Paused => "paused",
        Resumed => "resumed",
        Removed => "removed",
        Registered => "registered",
        Replayed => "replayed",
        ReplayPlanned => "replay_planned",
        ReplayStarted => "replay_started",
        ReplayStopped => "replay_stopped",
        ReplayPaced => "replay_paced",
        Discarded => "discarded",
        Corrected => "corrected",
        /// What a comparison of the books found was asked to be made good.
        Repaired => "repaired",
        Acknowledged => "acknowledged",
        Snoozed => "snoozed",
        Woken => "woken",
        /// Everything was sealed with another secret key.
        Resealed => "resealed",
        /// What waited was made due at once.
        Hurried => "hurried",
        /// What MeaSoft has of an order is looked up.
        Asked => "asked",
        /// A request that waited is not carried out.
        Dropped => "dropped",
        /// A one-time address of the console was made.
        Invited => "invited",
        SignedIn => "signed_in",
        SignedOut => "signed_out",
        /// Somebody tried what they may not.
        Refused => "refused",
        /// Everything came from another database.
        Moved => "moved",
        /// Everything is as a backup had it.
        Restored => "restored",
    }
}

closed_set! {
    /// How it is known who it was.
    Via {
        /// The user of the machine.
        OsUser => "os_user",
        /// A name that was given beside it.
        Named => "named",
        /// A shop's manager, on the page of an integration.
        Manager => "manager",
        /// Who is signed in at the console, or tried to be.
        Console => "console",
    }
}

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    pub name: String,
    pub via: Via,
    /// The user of the machine, also where a name was given.
    pub os_user: Option<String>,
}

impl Who {
    /// Somebody at the machine, under a name of their own or that of the user there.
    pub fn at_machine(given: Option<String>, os_user: String) -> Self {
        match given {
            Some(name) => Self { name, via: Via::Named, os_user: Some(os_user) },
            None => Self { name: os_user.clone(), via: Via::OsUser, os_user: Some(os_user) },
        }
    }

    /// Somebody at the console; `os_user` made the address that let them in.
    pub fn at_console(name: impl Into<String>, os_user: Option<String>) -> Self {
        Self { name: name.into(), via: Via::Console, os_user }
    }

    /// The manager of the shop that an integration is of.
    pub fn manager(integration: IntegrationId) -> Self {
        Self { name: format!("manager of integration {integration}"), via: Via::Manager, os_user: None }
    }

    /// As the story names them.
    pub fn person(&self) -> Person {
        match self.via {
            Via::Manager => Person::Manager,
            _ => Person::Named { name: self.name.clone() },
        }
    }
}

/// An act, as it is noted.
#[derive(Debug, Clone)]
pub struct NewAudit<'a> {
    pub who: &'a Who,
    pub act: Act,
    pub integration: Option<IntegrationId>,
    /// `integration 1`, `dead letter 7`, `cause bad_phone`.
    pub object: String,
    /// What the act is about, as it was and as it is: the same names, or none.
    pub before: Map<String, Json>,
    pub after: Map<String, Json>,
}

impl<'a> NewAudit<'a> {
    pub fn new(who: &'a Who, act: Act, integration: Option<IntegrationId>, object: impl Into<String>) -> Self {
        Self { who, act, integration, object: object.into(), before: Map::new(), after: Map::new() }
    }

    /// About an integration.
    pub fn of_integration(who: &'a Who, act: Act, id: IntegrationId) -> Self {
        Self::new(who, act, Some(id), format!("integration {id}"))
    }

    /// With a value as it was and as it is.
    pub fn with(mut self, name: &str, before: impl Into<Json>, after: impl Into<Json>) -> Self {
        self.before.insert(name.to_owned(), before.into());
        self.after.insert(name.to_owned(), after.into());
        self
    }
}

/// An act that was noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    pub seq: i64,
    pub at: Timestamp,
    pub who: String,
    /// A word of [`Via`], or of a later release.
    pub via: String,
    pub os_user: Option<String>,
    /// A word of [`Act`], or of a later release.
    pub act: String,
    pub integration: Option<i64>,
    pub object: String,
    /// JSON objects.
    pub before: String,
    pub after: String,
    /// The hash of the row before.
    pub prior: String,
    pub hash: String,
}

impl Audited {
    /// Of everything it says and the row before it.
    fn true_hash(&self) -> String {
        let all = serde_json::json!([
            self.prior,
            self.seq,
            self.at.as_millisecond(),
            self.who,
            self.via,
            self.os_user,
            self.act,
            self.integration,
            self.object,
            self.before,
            self.after,
        ]);
        sha256_hex(all.to_string().as_bytes())
    }
}

/// Which acts to list.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    pub integration: Option<IntegrationId>,
    pub act: Option<Act>,
    pub since: Option<Timestamp>,
    /// Only older ones than this.
    pub before: Option<i64>,
    pub limit: u32,
}

/// The newest row, as it is kept apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Head {
    seq: i64,
    hash: String,
    signature: String,
}

/// Where the newest row is kept apart.
const HEAD: &str = "audit head";
/// What its signature is good for.
const PURPOSE: &str = "audit head";
/// What the first row follows.
const BEGINNING: &str = "";
/// Stands before the hash of a row that this installation did not leave as the newest.
const NOT_OURS: &str = "not ours: ";

const COLUMNS: &str = "seq, at, who, via, os_user, act, integration_id, object, before, after, prior, hash";

impl Head {
    fn text(seq: i64, hash: &str) -> String {
        format!("{seq} {hash}")
    }

    fn signed(key: &SecretKey, seq: i64, hash: &str) -> Self {
        let signature = key.sign(PURPOSE, &Self::text(seq, hash));
        Self { seq, hash: hash.to_owned(), signature }
    }

    fn parse(value: &str) -> Option<Self> {
        let mut parts = value.split(' ');
        let (seq, hash, signature) = (parts.next()?.parse().ok()?, parts.next()?.to_owned(), parts.next()?.to_owned());
        Some(Self { seq, hash, signature })
    }

    fn value(&self) -> String {
        format!("{} {}", Self::text(self.seq, &self.hash), self.signature)
    }

    fn is_ours(&self, key: &SecretKey) -> bool {
        key.has_signed(PURPOSE, &Self::text(self.seq, &self.hash), &self.signature)
    }
}

impl Store {
    /// Acts, the newest first.
    pub async fn audit(&self, filter: &AuditFilter) -> Result<Vec<Audited>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM audit WHERE at >= $1 AND (CAST($2 AS BIGINT) IS NULL OR integration_id = $2) \
             AND (CAST($3 AS TEXT) IS NULL OR act = $3) AND (CAST($4 AS BIGINT) IS NULL OR seq < $4) \
             ORDER BY seq DESC LIMIT $5"
        );
        let since = filter.since.map_or(0, Timestamp::as_millisecond);
        let args = args![since, filter.integration, filter.act.map(Act::as_str), filter.before, filter.limit];
        self.db.read_all(sql, args, read).await
    }

    /// Notes an act that is a commit of its own: it was done elsewhere.
    pub async fn note_act(&self, entry: &NewAudit<'_>) -> Result<()> {
        let mut tx = self.db.begin().await?;
        tx.append_audit(&self.key, entry, self.clock.now()).await?;
        tx.commit().await
    }

    /// Signs the newest row with our key where another that we know has signed it.
    pub(super) async fn reseal_audit(&self) -> Result<()> {
        let mut tx = self.db.begin().await?;
        tx.lock_audit().await?;
        if let Some(head) = tx.audit_head().await?.filter(|head| head.is_ours(&self.key)) {
            let head = Head::signed(&self.key, head.seq, &head.hash);
            tx.set_cursor(HEAD, &head.value(), self.clock.now()).await?;
        }
        tx.commit().await
    }
}

impl Tx {
    /// Notes an act with whatever else the transaction does. The last thing it does: nobody else
    /// notes one until it ends.
    pub async fn append_audit(&mut self, key: &SecretKey, entry: &NewAudit<'_>, now: Timestamp) -> Result<()> {
        self.lock_audit().await?;
        let (seq, prior) = match self.audit_head().await? {
            None => (1, BEGINNING.to_owned()),
            // Whoever wrote the chain anew is not covered up for.
            Some(head) if !head.is_ours(key) => (head.seq + 1, format!("{NOT_OURS}{}", head.hash)),
            Some(head) => (head.seq + 1, head.hash),
        };
        let json = |map: &Map<String, Json>| serde_json::to_string(map).expect("JSON serialises");
        // PostgreSQL takes none, and what is hashed is what is stored.
        let plain = |text: &str| text.replace('\0', "\u{fffd}");
        let mut row = Audited {
            seq,
            // As it is stored.
            at: crate::store::moment(now.as_millisecond()),
            who: plain(&entry.who.name),
            via: entry.who.via.as_str().to_owned(),
            os_user: entry.who.os_user.as_deref().map(plain),
            act: entry.act.as_str().to_owned(),
            integration: entry.integration.map(|id| id.0),
            object: plain(&entry.object),
            before: json(&entry.before),
            after: json(&entry.after),
            prior,
            hash: String::new(),
        };
        row.hash = row.true_hash();
        let sql = format!("INSERT INTO audit ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)");
        let args: Vec<Value> = args![
            row.seq,
            row.at,
            &row.who,
            &row.via,
            row.os_user.as_deref(),
            &row.act,
            row.integration,
            &row.object,
            &row.before,
            &row.after,
            &row.prior,
            &row.hash
        ];
        self.run(sql, args).await?;
        self.set_cursor(HEAD, &Head::signed(key, row.seq, &row.hash).value(), now).await
    }

    /// One at a time; SQLite has one writer.
    async fn lock_audit(&mut self) -> Result<()> {
        match self.dialect() {
            Dialect::Sqlite => Ok(()),
            Dialect::Postgres => self.fetch("SELECT pg_advisory_xact_lock(7204108, 0)", vec![]).await.map(|_| ()),
        }
    }

    async fn audit_head(&mut self) -> Result<Option<Head>> {
        let sql = "SELECT value FROM cursors WHERE name = $1";
        let value = self.read_one(sql, args![HEAD], |row| row.text("value")).await?;
        if let Some(head) = value.as_deref().and_then(Head::parse) {
            return Ok(Some(head));
        }
        // Taken away or made unreadable: the chain goes on behind its last row, and shows it.
        let sql = "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1";
        let read = |row: &Row| Ok(Head { seq: row.int("seq")?, hash: row.text("hash")?, signature: String::new() });
        self.read_one(sql, vec![], read).await
    }
}

fn read(row: &Row) -> Result<Audited> {
    Ok(Audited {
        seq: row.int("seq")?,
        at: row.moment("at")?,
        who: row.text("who")?,
        via: row.text("via")?,
        os_user: row.opt_text("os_user")?,
        act: row.text("act")?,
        integration: row.opt_int("integration_id")?,
        object: row.text("object")?,
        before: row.text("before")?,
        after: row.text("after")?,
        prior: row.text("prior")?,
        hash: row.text("hash")?,
    })
}
