//! Integrations with their encrypted secrets.

use crate::args;
use crate::crypto::random_hex;
use crate::domain::crm_account;
use crate::domain::{Integration, IntegrationId, IntegrationState, PausedBy, Secret, Secrets, Settings};
use crate::store::Store;
use crate::store::audit::{self, Act, NewAudit, Who};
use crate::store::db::{Dialect, Result, Row, StoreError, Tx, Value};
use crate::store::journal::{Entry, What};
use crate::story::{Event, Person};

/// What `integration add` gives.
#[derive(Debug, Clone, Default)]
pub struct NewIntegration {
    pub title: String,
    pub crm_url: String,
    pub crm_api_key: Secret,
    pub measoft_url: String,
    pub extra: String,
    pub login: String,
    pub password: Secret,
    pub prefix: String,
    pub settings: Settings,
}

/// How many there are, and the sum of their versions: changes whenever any integration does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(pub(super) i64, pub(super) i64);

const COLUMNS: &str = "id, title, crm_url, measoft_url, extra, login, prefix, settings, crm_api_key, password, \
                       delivery_api_key, client_id, state, paused_by, paused_reason, version, created_at, crm_proof";

fn place(id: i64, column: &str) -> String {
    format!("integration:{id}:{column}")
}

impl Store {
    /// Stores a new integration and makes its `deliveryApiKey` and `clientId`.
    ///
    /// # Errors
    /// [`StoreError::Config`] when another integration has the same MeaSoft account without
    /// a distinct prefix: their order numbers would meet.
    pub async fn add_integration(&self, new: NewIntegration) -> Result<Integration> {
        self.add_integration_by(new, None).await
    }

    /// The same, with who adds it noted in the same commit.
    pub async fn add_integration_by(&self, new: NewIntegration, who: Option<&Who>) -> Result<Integration> {
        let now = self.clock.now_ms();
        let delivery_api_key = Secret::new(format!("dk-{}", random_hex::<16>()));
        let client_id = Secret::new(random_hex::<16>());
        let mut tx = self.db.begin().await?;
        one_at_a_time(&mut tx).await?;
        self.refuse_shared_prefix(&mut tx, 0, &new.measoft_url, &new.extra, &new.login, &new.prefix).await?;
        let sql = "INSERT INTO integrations (title, crm_url, measoft_url, extra, login, prefix, settings, crm_api_key, \
                   password, delivery_api_key, client_id, delivery_api_key_hash, client_id_hash, state, created_at, updated_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $8, $8, $9, $10, 'active', $11, $11) RETURNING id";
        let args = args![
            &new.title,
            &new.crm_url,
            &new.measoft_url,
            &new.extra,
            &new.login,
            &new.prefix,
            settings_text(&new.settings),
            Vec::<u8>::new(),
            self.key.lookup_hash(delivery_api_key.expose()),
            self.key.lookup_hash(client_id.expose()),
            now
        ];
        let rows = tx.fetch(sql, args).await?;
        let id = rows.first().ok_or(StoreError::BadRow("id"))?.int("id")?;
        // The row's id is part of what binds a sealed secret to its place.
        tx.exec(
            "UPDATE integrations SET crm_api_key = $2, password = $3, delivery_api_key = $4, client_id = $5 WHERE id = $1",
            args![
                id,
                self.key.seal(&place(id, "crm_api_key"), &new.crm_api_key),
                self.key.seal(&place(id, "password"), &new.password),
                self.key.seal(&place(id, "delivery_api_key"), &delivery_api_key),
                self.key.seal(&place(id, "client_id"), &client_id)
            ],
        )
        .await?;
        if let Some(who) = who {
            let sql = format!("SELECT {COLUMNS} FROM integrations WHERE id = $1");
            let made = tx.read_one(sql, args![id], |row| self.read_integration(row)).await?;
            let made = made.ok_or(StoreError::BadRow("id"))?;
            let mut entry = NewAudit::of_integration(who, Act::Added, made.id);
            entry.after = audit::of_new(&made);
            tx.append_audit(&self.key, &entry, self.clock.now()).await?;
        }
        tx.commit().await?;
        self.integration(IntegrationId(id)).await?.ok_or(StoreError::BadRow("id"))
    }

    pub async fn integration(&self, id: IntegrationId) -> Result<Option<Integration>> {
        let sql = format!("SELECT {COLUMNS} FROM integrations WHERE id = $1");
        self.db.read_one(sql, args![id], |row| self.read_integration(row)).await
    }

    /// All integrations that are not removed, by id.
    pub async fn integrations(&self) -> Result<Vec<Integration>> {
        let sql = format!("SELECT {COLUMNS} FROM integrations WHERE state <> 'removed' ORDER BY id");
        self.db.read_all(sql, vec![], |row| self.read_integration(row)).await
    }

    /// All integrations and their stamp, unless nothing has changed since this one was read. Cheap
    /// to poll.
    pub async fn integrations_since(&self, stamp: Option<Stamp>) -> Result<Option<(Stamp, Vec<Integration>)>> {
        // The stamp is read first: a change in between is seen at the next look.
        let now = self.integrations_stamp().await?;
        if stamp == Some(now) {
            return Ok(None);
        }
        Ok(Some((now, self.integrations().await?)))
    }

    /// Whether our key is the one the stored secrets were sealed with. True while there are
    /// none.
    pub async fn key_fits(&self) -> Result<bool> {
        // All of them: a change of keys may have stopped half-way.
        for row in self.db.fetch("SELECT id, client_id FROM integrations ORDER BY id", vec![]).await? {
            if self.key.open(&place(row.int("id")?, "client_id"), &row.bytes("client_id")?).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Fingerprints of the keys without which what is stored cannot be opened: ours, and the other
    /// one's while something may still be sealed with it.
    pub async fn needed_keys(&self) -> Result<Vec<String>> {
        let mut keys = self.key.fingerprints();
        if keys.len() > 1 && !self.other_is_needed().await? {
            keys.truncate(1);
        }
        Ok(keys)
    }

    /// Seals the secrets of all integrations, removed ones too, with our key where another
    /// has sealed them. Answers how many integrations that was. A row somebody else changes
    /// at that moment is left to the next call.
    ///
    /// # Errors
    /// [`StoreError::WrongKey`] for a secret that no key we have opens.
    pub async fn reseal_integrations(&self) -> Result<u64> {
        const SEALED: [&str; 4] = ["crm_api_key", "password", "delivery_api_key", "client_id"];
        let mut done = 0;
        let sql = "SELECT id, crm_api_key, password, delivery_api_key, client_id FROM integrations ORDER BY id";
        for row in self.db.fetch(sql, vec![]).await? {
            let id = row.int("id")?;
            let mut were = Vec::with_capacity(SEALED.len());
            let mut secrets = Vec::with_capacity(SEALED.len());
            for column in SEALED {
                let sealed = row.bytes(column)?;
                secrets.push(self.key.open(&place(id, column), &sealed).map_err(|_| StoreError::WrongKey)?);
                were.push(sealed);
            }
            if were.iter().all(|sealed| self.key.has_sealed(sealed)) {
                continue;
            }
            let anew = |n: usize| self.key.seal(&place(id, SEALED[n]), &secrets[n]);
            let sql = "UPDATE integrations SET crm_api_key = $2, password = $3, delivery_api_key = $4, client_id = $5, \
                       delivery_api_key_hash = $6, client_id_hash = $7 \
                       WHERE id = $1 AND crm_api_key = $8 AND password = $9 AND delivery_api_key = $10 AND client_id = $11";
            let args = args![
                id,
                anew(0),
                anew(1),
                anew(2),
                anew(3),
                self.key.lookup_hash(secrets[2].expose()),
                self.key.lookup_hash(secrets[3].expose()),
                were[0].clone(),
                were[1].clone(),
                were[2].clone(),
                were[3].clone()
            ];
            let changed = self.db.exec(sql, args).await?;
            done += changed;
        }
        Ok(done)
    }

    /// Reads an integration, has it changed and writes it. When it was written in between it is
    /// read and changed anew, once: `change` says what is wanted, and nothing it does not touch
    /// is undone. Answers with what was stored.
    ///
    /// # Errors
    /// [`StoreError::Config`] when there is no such integration, or on a prefix that meets
    /// another's; [`StoreError::ChangedMeanwhile`] when it happened again; what `change` says.
    pub async fn change_integration<E: From<StoreError>>(
        &self,
        id: IntegrationId,
        change: impl FnMut(&mut Integration) -> std::result::Result<(), E>,
    ) -> std::result::Result<Integration, E> {
        self.change_integration_by(id, None, change).await
    }

    /// The same, with who does it noted in the same commit.
    ///
    /// # Errors
    /// Those of [`Store::change_integration`].
    pub async fn change_integration_by<E: From<StoreError>>(
        &self,
        id: IntegrationId,
        by: Option<(&Who, Act)>,
        mut change: impl FnMut(&mut Integration) -> std::result::Result<(), E>,
    ) -> std::result::Result<Integration, E> {
        let mut tries = 0;
        loop {
            let found = self.integration(id).await?.filter(|i| i.state != IntegrationState::Removed);
            let mut changed = found.ok_or_else(|| StoreError::Config(format!("there is no integration {id}")))?;
            let before = changed.clone();
            change(&mut changed)?;
            if changed == before {
                return Ok(changed);
            }
            if before.settings.is_shadow() && !changed.settings.is_shadow() {
                changed.settings.moved_in_at = Some(self.clock.now());
            }
            let entry = by.map(|(who, act)| {
                let (was, is) = audit::changes(&before, &changed);
                NewAudit { before: was, after: is, ..NewAudit::of_integration(who, act, id) }
            });
            match self.write_integration(&changed, entry.as_ref()).await {
                Ok(()) => return Ok(Integration { version: changed.version + 1, ..changed }),
                Err(StoreError::ChangedMeanwhile) if tries == 0 => tries += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A new version of an integration in which nothing differs: whoever keeps something that
    /// belongs to it forgets it.
    pub async fn touch_integration(&self, id: IntegrationId) -> Result<()> {
        let sql = "UPDATE integrations SET version = version + 1, updated_at = $2 WHERE id = $1";
        self.db.run(sql, args![id, self.clock.now_ms()]).await
    }

    /// Overwrites an integration with what the caller changed in a copy, if that is of its
    /// present version.
    ///
    /// # Errors
    /// [`StoreError::ChangedMeanwhile`] when it is not; [`StoreError::Config`] on a prefix that
    /// meets another integration's.
    pub async fn update_integration(&self, changed: &Integration) -> Result<()> {
        self.write_integration(changed, None).await
    }

    async fn write_integration(&self, changed: &Integration, entry: Option<&NewAudit<'_>>) -> Result<()> {
        let id = changed.id.0;
        let (by, reason) = paused_columns(&changed.state);
        let mut tx = self.db.begin().await?;
        if changed.state != IntegrationState::Removed {
            let i = changed;
            one_at_a_time(&mut tx).await?;
            self.refuse_shared_prefix(&mut tx, id, &i.measoft_url, &i.extra, &i.login, &i.prefix).await?;
        }
        // What was shown of one address or key shows nothing of another.
        let stored = tx.fetch_one(format!("SELECT {COLUMNS} FROM integrations WHERE id = $1"), args![id]).await?;
        let stored = stored.map(|row| self.read_integration(&row)).transpose()?;
        let same_account = stored.is_some_and(|stored| {
            crm_account::address(&stored.crm_url) == crm_account::address(&changed.crm_url)
                && stored.secrets.crm_api_key == changed.secrets.crm_api_key
        });
        let secrets = &changed.secrets;
        let sql = "UPDATE integrations SET title = $2, crm_url = $3, measoft_url = $4, extra = $5, login = $6, prefix = $7, \
                   settings = $8, crm_api_key = $9, password = $10, delivery_api_key = $11, client_id = $12, \
                   delivery_api_key_hash = $13, client_id_hash = $14, state = $15, paused_by = $16, paused_reason = $17, \
                   version = version + 1, updated_at = $18, crm_proof = CASE WHEN $20 = 1 THEN crm_proof ELSE NULL END \
                   WHERE id = $1 AND version = $19";
        let args = args![
            id,
            &changed.title,
            &changed.crm_url,
            &changed.measoft_url,
            &changed.extra,
            &changed.login,
            &changed.prefix,
            settings_text(&changed.settings),
            self.key.seal(&place(id, "crm_api_key"), &secrets.crm_api_key),
            self.key.seal(&place(id, "password"), &secrets.password),
            self.key.seal(&place(id, "delivery_api_key"), &secrets.delivery_api_key),
            self.key.seal(&place(id, "client_id"), &secrets.client_id),
            self.key.lookup_hash(secrets.delivery_api_key.expose()),
            self.key.lookup_hash(secrets.client_id.expose()),
            changed.state.as_str(),
            by,
            reason,
            self.clock.now_ms(),
            changed.version,
            same_account
        ];
        let written = tx.exec(sql, args).await?;
        if written == 0 {
            return Err(StoreError::ChangedMeanwhile);
        }
        if let Some(entry) = entry {
            tx.append_audit(&self.key, entry, self.clock.now()).await?;
        }
        tx.commit().await
    }

    /// Notes that two integrations are of one RetailCRM account, if both are as they were seen.
    pub async fn prove_accounts(&self, proofs: [(&Integration, &str); 2]) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        for (seen, proof) in proofs {
            let sql = "UPDATE integrations SET crm_proof = $3, version = version + 1, updated_at = $4 \
                       WHERE id = $1 AND version = $2";
            if tx.exec(sql, args![seen.id, seen.version, proof, self.clock.now_ms()]).await? == 0 {
                return Ok(false);
            }
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Tells in the journal of both sides that an integration names another RetailCRM address:
    /// its own, and of whoever works for the account there.
    pub async fn tell_of_move(&self, moved: &Integration, from: &str, who: &Person) -> Result<()> {
        let (from, to) = (crm_account::address(from), crm_account::address(&moved.crm_url));
        let there = self.integrations().await?.into_iter().filter(|i| crm_account::address(&i.crm_url) == to);
        let mut tx = self.db.begin().await?;
        for other in there {
            let who = who.clone();
            let event = if other.id == moved.id {
                Event::AddressChanged { from: from.clone(), to: to.clone(), who }
            } else {
                Event::AddressShared { other: moved.id, who }
            };
            let mut entry = Entry::new(self.clock.now(), What::Operator, event);
            entry.integration = Some(other.id);
            tx.append_journal(&entry).await?;
        }
        tx.commit().await
    }

    /// Pauses or resumes without touching anything else. Answers whether the state changed.
    pub async fn set_integration_state(&self, id: IntegrationId, state: &IntegrationState) -> Result<bool> {
        self.write_state(id, state, None).await
    }

    /// The same, with who does it noted in the same commit.
    pub async fn set_integration_state_by(
        &self,
        who: &Who,
        id: IntegrationId,
        state: &IntegrationState,
    ) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        let lock = self.db.dialect().for_update();
        let sql = format!("SELECT state, paused_by, paused_reason FROM integrations WHERE id = $1 {lock}");
        let Some(row) = tx.fetch_one(sql, args![id]).await? else { return Ok(false) };
        let was = read_state(&row)?;
        let (sql, args) = self.state_change(id, state, None);
        if tx.exec(sql, args).await? == 0 {
            return Ok(false);
        }
        let act = match state {
            IntegrationState::Active => Act::Resumed,
            IntegrationState::Paused { .. } => Act::Paused,
            IntegrationState::Removed => Act::Removed,
        };
        let trial = |state: &IntegrationState| Integration { state: state.clone(), ..Integration::default() };
        let (before, after) = audit::changes(&trial(&was), &trial(state));
        let entry = NewAudit { before, after, ..NewAudit::of_integration(who, act, id) };
        tx.append_audit(&self.key, &entry, self.clock.now()).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The same for what was concluded from an integration as it was seen: if it has changed
    /// since, nothing is done. A pause for an old password must not stop one with a new one, nor
    /// may a probe resume what a person paused meanwhile.
    pub async fn set_state_as_seen(&self, seen: &Integration, state: &IntegrationState) -> Result<bool> {
        self.write_state(seen.id, state, Some(seen.version)).await
    }

    async fn write_state(&self, id: IntegrationId, state: &IntegrationState, version: Option<i64>) -> Result<bool> {
        let (sql, args) = self.state_change(id, state, version);
        Ok(self.db.exec(sql, args).await? > 0)
    }

    fn state_change(
        &self,
        id: IntegrationId,
        state: &IntegrationState,
        version: Option<i64>,
    ) -> (&'static str, Vec<Value>) {
        let (by, reason) = paused_columns(state);
        let sql = "UPDATE integrations SET state = $2, paused_by = $3, paused_reason = $4, version = version + 1, \
                   updated_at = $5 WHERE id = $1 AND state <> 'removed' \
                   AND (state <> $2 OR COALESCE(paused_by, '') <> COALESCE($3, '')) AND version = COALESCE($6, version)";
        (sql, args![id, state.as_str(), by, reason, self.clock.now_ms(), version])
    }

    /// The address in the row of one that follows the installation's is that of the time it was
    /// written.
    async fn refuse_shared_prefix(
        &self,
        tx: &mut Tx,
        id: i64,
        url: &str,
        extra: &str,
        login: &str,
        prefix: &str,
    ) -> Result<()> {
        // Its cabinet is not entered yet.
        if login.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SELECT {COLUMNS} FROM integrations WHERE extra = $1 AND login = $2 AND prefix = $3 AND state <> 'removed' \
             AND id <> $4 ORDER BY id"
        );
        for row in tx.fetch(sql, args![extra, login, prefix, id]).await? {
            let other = self.read_integration(&row)?;
            if other.measoft_url == url {
                return Err(StoreError::Config(format!(
                    "integration {} already uses this MeaSoft cabinet with the same order prefix; give this one its own \
                     with --prefix",
                    other.id
                )));
            }
        }
        Ok(())
    }

    fn read_integration(&self, row: &Row) -> Result<Integration> {
        let id = row.int("id")?;
        let open = |column: &'static str| -> Result<Secret> {
            self.key.open(&place(id, column), &row.bytes(column)?).map_err(|_| StoreError::WrongKey)
        };
        let state = read_state(row)?;
        let settings: Settings =
            serde_json::from_str(&row.text("settings")?).map_err(|_| StoreError::BadRow("settings"))?;
        Ok(Integration {
            id: IntegrationId(id),
            title: row.text("title")?,
            crm_url: row.text("crm_url")?,
            measoft_url: match &self.measoft_url {
                Some(url) if settings.follows_measoft_url => url.to_string(),
                _ => row.text("measoft_url")?,
            },
            extra: row.text("extra")?,
            login: row.text("login")?,
            prefix: row.text("prefix")?,
            settings,
            secrets: Secrets {
                crm_api_key: open("crm_api_key")?,
                password: open("password")?,
                delivery_api_key: open("delivery_api_key")?,
                client_id: open("client_id")?,
            },
            state,
            version: row.int("version")?,
            created_at: row.moment("created_at")?,
            crm_proof: row.opt_text("crm_proof")?,
        })
    }
}

fn read_state(row: &Row) -> Result<IntegrationState> {
    Ok(match row.text("state")?.as_str() {
        "active" => IntegrationState::Active,
        "removed" => IntegrationState::Removed,
        _ => IntegrationState::Paused {
            by: row.opt_text("paused_by")?.and_then(|by| PausedBy::parse(&by)).unwrap_or(PausedBy::Operator),
            reason: row.opt_text("paused_reason")?.unwrap_or_default(),
        },
    })
}

fn settings_text(settings: &Settings) -> String {
    serde_json::to_string(settings).expect("settings serialise")
}

fn paused_columns(state: &IntegrationState) -> (Option<&'static str>, Option<String>) {
    match state {
        IntegrationState::Paused { by, reason } => (Some(by.as_str()), Some(reason.clone())),
        _ => (None, None),
    }
}

/// Two that take one prefix at the same moment must see each other. SQLite has one writer.
async fn one_at_a_time(tx: &mut Tx) -> Result<()> {
    if tx.dialect() == Dialect::Postgres {
        tx.exec("LOCK TABLE integrations IN SHARE ROW EXCLUSIVE MODE", vec![]).await?;
    }
    Ok(())
}
