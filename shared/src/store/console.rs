//! Who is in the console: one-time addresses and sessions. What a person holds, a token, is drawn
//! at random and kept as its hash alone; every coming, going and refusal is noted in the audit.

use std::time::Duration;

use jiff::Timestamp;

use crate::crypto::{random_hex, sha256_hex};
use crate::domain::Secret;
use crate::store::Store;
use crate::store::audit::{Act, NewAudit, Who};
use crate::store::db::{Result, Row, Tx};
use crate::{args, closed_set};

closed_set! {
    /// What somebody may do at the console; each may do what those before may.
    Role {
        /// Reads, everything masked.
        Viewer => "viewer",
        /// Acts on orders, causes and what waits.
        Operator => "operator",
        /// Changes settings, and ends the sessions of others.
        Owner => "owner",
    }
}

/// How long a one-time address is good.
pub const LINK_LASTS: Duration = Duration::from_secs(5 * 60);
/// How long a session lasts, used or not.
pub const SESSION_LASTS: Duration = Duration::from_secs(8 * 3600);
/// How long one that is over is kept, so that it can be said why it is refused.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// Somebody, as the console knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub name: String,
    /// Who made the address that let them in, at the machine.
    pub os_user: Option<String>,
    pub role: Role,
}

impl Person {
    /// As whom their acts are noted.
    pub fn who(&self) -> Who {
        Who::at_console(&self.name, self.os_user.clone())
    }
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Names it, and opens nothing.
    pub hash: String,
    pub person: Person,
    pub began_at: Timestamp,
    pub expires_at: Timestamp,
    /// The provider of OpenID Connect that said who it is; `None`: a one-time address let them in.
    pub issuer: Option<String>,
}

/// Somebody whom a provider of OpenID Connect knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vouched<'a> {
    pub issuer: &'a str,
    /// What they are to the provider, whatever their name becomes.
    pub subject: &'a str,
}

/// Why a one-time address opens nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoEntry {
    Unknown,
    /// Made for somebody, and over.
    Expired(Person),
    /// Made for somebody, and used before.
    Used(Person),
}

const SESSIONS: &str = "SELECT hash, name, os_user, role, began_at, expires_at, issuer FROM console_sessions";

/// What a token is kept as. It has the randomness of a key, so that its hash needs no salt.
fn kept(token: &str) -> String {
    sha256_hex(token.as_bytes())
}

impl Store {
    /// Makes a one-time address for somebody; answers with its token.
    pub async fn make_console_link(&self, person: &Person, by: &Who) -> Result<Secret> {
        let (token, now) = (Secret::new(random_hex::<32>()), self.clock.now());
        let mut tx = self.db.begin().await?;
        tx.run("DELETE FROM console_links WHERE expires_at < $1", args![now - REMEMBERED]).await?;
        let sql = "INSERT INTO console_links (hash, name, os_user, role, expires_at) VALUES ($1, $2, $3, $4, $5)";
        let (role, ends) = (person.role.as_str(), now + LINK_LASTS);
        tx.run(sql, args![kept(token.expose()), &person.name, person.os_user.as_deref(), role, ends]).await?;
        let mut entry = NewAudit::new(by, Act::Invited, None, format!("console user {}", person.name));
        entry.after.insert("role".to_owned(), role.into());
        tx.append_audit(&self.key, &entry, now).await?;
        tx.commit().await?;
        Ok(token)
    }

    /// Uses a one-time address up. Answers with the token of a new session, which takes the place
    /// of the one that the browser held, if any: a session that somebody else put there is of no
    /// use to them.
    pub async fn enter_console(
        &self,
        link: &str,
        held: Option<&str>,
    ) -> Result<std::result::Result<(Secret, Session), NoEntry>> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let sql = "UPDATE console_links SET used_at = $2 WHERE hash = $1 AND used_at IS NULL AND expires_at > $2";
        let opens = tx.changed(sql, args![kept(link), now]).await?;
        let sql = "SELECT name, os_user, role, used_at FROM console_links WHERE hash = $1";
        let read = |row: &Row| Ok((person(row)?, row.opt_int("used_at")?.is_some()));
        let Some((person, used)) = tx.read_one(sql, args![kept(link)], read).await? else {
            return Ok(Err(NoEntry::Unknown));
        };
        if !opens {
            return Ok(Err(if used { NoEntry::Used(person) } else { NoEntry::Expired(person) }));
        }
        let began = self.begin_session(&mut tx, person, None, held, now).await?;
        tx.commit().await?;
        Ok(Ok(began))
    }

    /// Begins the session of somebody whom a provider knows, as [`Store::enter_console`] does.
    pub async fn sign_in_console(&self, person: Person, by: Vouched<'_>, held: Option<&str>) -> Result<Secret> {
        let mut tx = self.db.begin().await?;
        let (token, _) = self.begin_session(&mut tx, person, Some(by), held, self.clock.now()).await?;
        tx.commit().await?;
        Ok(token)
    }

    async fn begin_session(
        &self,
        tx: &mut Tx,
        person: Person,
        by: Option<Vouched<'_>>,
        held: Option<&str>,
        now: Timestamp,
    ) -> Result<(Secret, Session)> {
        if let Some(held) = held {
            tx.run("DELETE FROM console_sessions WHERE hash = $1", args![kept(held)]).await?;
        }
        tx.run("DELETE FROM console_sessions WHERE expires_at < $1", args![now - REMEMBERED]).await?;
        let token = Secret::new(random_hex::<32>());
        let issuer = by.map(|by| by.issuer.to_owned());
        let session =
            Session { hash: kept(token.expose()), person, began_at: now, expires_at: now + SESSION_LASTS, issuer };
        let sql = "INSERT INTO console_sessions (hash, name, os_user, role, began_at, expires_at, issuer) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let Session { hash, person, expires_at, issuer, .. } = &session;
        let (os_user, role) = (person.os_user.as_deref(), person.role.as_str());
        tx.run(sql, args![hash, &person.name, os_user, role, now, *expires_at, issuer.as_deref()]).await?;
        let who = person.who();
        let mut entry = NewAudit::new(&who, Act::SignedIn, None, "console");
        entry.after.insert("role".to_owned(), role.into());
        if let Some(by) = by {
            entry.after.insert("issuer".to_owned(), by.issuer.into());
            entry.after.insert("subject".to_owned(), by.subject.into());
        }
        tx.append_audit(&self.key, &entry, now).await?;
        Ok((token, session))
    }

    /// The session that a token opens, if it is not over.
    pub async fn console_session(&self, token: &str) -> Result<Option<Session>> {
        let sql = format!("{SESSIONS} WHERE hash = $1 AND expires_at > $2");
        self.db.read_one(sql, args![kept(token), self.clock.now()], read).await
    }

    /// Everybody who is in, the newest first.
    pub async fn console_sessions(&self) -> Result<Vec<Session>> {
        let sql = format!("{SESSIONS} WHERE expires_at > $1 ORDER BY began_at DESC, hash");
        self.db.read_all(sql, args![self.clock.now()], read).await
    }

    /// Ends a session by its hash. Answers false when there was none.
    pub async fn end_console_session(&self, hash: &str, by: &Who) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        let sql = format!("{SESSIONS} WHERE hash = $1");
        let Some(session) = tx.read_one(sql, args![hash], read).await? else { return Ok(false) };
        tx.run("DELETE FROM console_sessions WHERE hash = $1", args![hash]).await?;
        let entry = NewAudit::new(by, Act::SignedOut, None, format!("console user {}", session.person.name));
        tx.append_audit(&self.key, &entry, self.clock.now()).await?;
        tx.commit().await?;
        Ok(true)
    }
}

fn person(row: &Row) -> Result<Person> {
    Ok(Person { name: row.text("name")?, os_user: row.opt_text("os_user")?, role: row.word("role", Role::parse)? })
}

fn read(row: &Row) -> Result<Session> {
    Ok(Session {
        hash: row.text("hash")?,
        person: person(row)?,
        began_at: row.moment("began_at")?,
        expires_at: row.moment("expires_at")?,
        issuer: row.opt_text("issuer")?,
    })
}
