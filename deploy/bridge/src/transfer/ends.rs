//! The two ends: what is read, and what is filled.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::config::{Config, Database};
use shared::crypto::SecretKey;
use shared::store::audit::{Act, NewAudit, Who};
use shared::store::file::{self, FileLock, Share};
use shared::store::snapshot::{Snapshot, Sum, Table};
use shared::store::{Db, Store, Tx, migrations};
use shared::{existing, files};

use crate::output::{Failure, Output, Progress};
use crate::version::version;

/// One to work with, one to look.
const CONNECTIONS: u32 = 2;
/// A commit of everything takes its time.
const LIMIT: Duration = Duration::from_secs(3600);
/// Rows between two lines of progress.
const TOLD: u64 = 5_000;

/// The database that is read. Nothing in it is changed.
pub struct Source {
    pub store: Store,
    pub shown: String,
    /// Nothing is sealed where there is none.
    pub key: Option<SecretKey>,
}

impl Source {
    /// That of the settings, of this release's schema and readable with our key.
    pub async fn open(config: &Config) -> Result<Self, Failure> {
        existing::check(config).await.map_err(Failure::sentence)?;
        let key = config.find_secret_key().map_err(Failure::Config)?;
        let db = match &config.database {
            Database::Sqlite(path) => Db::look_at(path).await?,
            Database::Postgres(url) => Db::open_postgres(url.expose(), CONNECTIONS)?,
        }
        .with_limit(LIMIT);
        let shown = shown(&config.database, &db);
        let (found, newest) = (version(&db).await?, migrations::newest());
        if found != newest {
            let step = if found < newest { "run `bridge migrate` first" } else { "use the release that migrated it" };
            return Err(Failure::sentence(format!(
                "the schema of {shown} is at version {found}, this release's is {newest}: {step}"
            )));
        }
        let store = Store::new(db, key.clone().unwrap_or_else(|| SecretKey::from_bytes([0; 32])), Clock::system());
        if !store.key_fits().await? {
            return Err(match key {
                Some(_) => shared::store::StoreError::WrongKey.into(),
                None => Failure::Config(existing::no_key(config)),
            });
        }
        Ok(Self { store, shown, key })
    }

    pub async fn snapshot(&self) -> anyhow::Result<Snapshot> {
        Snapshot::of(&self.store.db).await.with_context(|| self.shown.clone())
    }
}

/// The database that is filled.
pub struct Target {
    pub db: Db,
    pub shown: String,
    draft: Option<Draft>,
}

/// A file is filled under another name. Until everything is in it, an empty one has its own, which
/// no role starts on.
struct Draft {
    path: PathBuf,
    draft: PathBuf,
    /// Until the end: nobody begins to run on the file meanwhile.
    _held: FileLock,
}

impl Target {
    /// One that is empty, made where it is a file that is missing, and on which nobody runs. Its
    /// schema is the caller's.
    pub async fn open(database: &Database) -> Result<Self, Failure> {
        let (db, draft) = match database {
            Database::Sqlite(path) => {
                let cannot = || format!("the database file {} cannot be made", path.display());
                let (db, draft) = make(path).await.with_context(cannot)?;
                (db, Some(draft))
            }
            Database::Postgres(url) => {
                let db = Db::open_postgres(url.expose(), CONNECTIONS)?;
                version(&db).await?;
                (db, None)
            }
        };
        let db = db.with_limit(LIMIT);
        let shown = shown(database, &db);
        nobody_runs(&db, &shown).await?;
        db.needs_emptiness().await.with_context(|| shown.clone())?;
        Ok(Self { db, shown, draft })
    }

    /// The last of all: a file gets its name.
    ///
    /// # Errors
    /// When it does not.
    pub async fn settle_in(self) -> anyhow::Result<()> {
        let Some(Draft { path, draft, .. }) = &self.draft else {
            // Plans that are made for empty tables are slow ones.
            let _ = self.db.exec("ANALYZE", vec![]).await;
            return Ok(());
        };
        self.db.close().await;
        let is_whole = std::fs::metadata(beside(draft, "-wal")).map_or(true, |found| found.len() == 0);
        ensure!(is_whole, "{} could not be closed", draft.display());
        File::open(draft)?.sync_all()?;
        std::fs::rename(draft, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(File::open(folder)?.sync_all()?)
    }

    /// Nothing came of it.
    pub async fn give_up(self) {
        self.db.close().await;
        if let Some(Draft { draft, .. }) = &self.draft {
            let _ = remove(draft);
        }
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(suffix);
    PathBuf::from(beside)
}

/// A file that may be missing, with what SQLite puts beside it.
fn remove(path: &Path) -> std::io::Result<()> {
    for file in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")] {
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

async fn make(path: &Path) -> anyhow::Result<(Db, Draft)> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        files::make_folder(folder)?;
    }
    let is_new = std::fs::metadata(path).map_or(true, |found| found.len() == 0);
    for suffix in ["-wal", "-shm"] {
        let beside = beside(path, suffix);
        // SQLite would put what is in it into the new file.
        ensure!(!(is_new && beside.exists()), "{} is left of another database: remove it", beside.display());
    }
    files::private().create(true).truncate(false).open(path)?;
    let held = file::lock(path, Share::Alone)?;
    if !is_new {
        let db = Db::open_sqlite(path).await?;
        let emptiness = db.needs_emptiness().await;
        db.close().await;
        emptiness?;
    }
    file::settle_in(path)?;
    let draft = beside(path, ".draft");
    remove(&draft)?;
    files::private().create_new(true).open(&draft)?;
    Ok((Db::open_sqlite(&draft).await?, Draft { path: path.to_owned(), draft, _held: held }))
}

/// Refuses a server's database on which a role runs.
pub async fn nobody_runs(db: &Db, shown: &str) -> Result<(), Failure> {
    let running = db.running().await?;
    if running.is_empty() {
        return Ok(());
    }
    Err(Failure::sentence(format!("{shown} is in use by {}: stop all roles first", running.join(", "))))
}

/// How a database is called, without user and password.
fn shown(database: &Database, db: &Db) -> String {
    match database {
        Database::Sqlite(path) => format!("SQLite {}", existing::absolute(path)),
        Database::Postgres(_) => format!("PostgreSQL {}", db.place().unwrap_or_default()),
    }
}

/// The last of it, in the commit that brings all rows: nobody holds anything any more, and the act
/// is noted where there is a key to sign it with.
pub async fn begin_anew(
    tx: &mut Tx,
    key: Option<&SecretKey>,
    act: (&Who, Act, &str),
    from: Value,
) -> shared::store::Result<()> {
    tx.free_all_leases().await?;
    let (Some(key), (who, act, to)) = (key, act) else { return Ok(()) };
    let entry = NewAudit::new(who, act, None, "ledger").with("database", from, to);
    tx.append_audit(key, &entry, Clock::system().now()).await
}

/// Says how far it is.
pub fn told(progress: &Progress, doing: &'static str) -> impl FnMut(&Table, u64) {
    move |table, rows| {
        if rows % TOLD == 0 {
            progress.say(&format!("{doing} {}: {rows} rows", table.name));
        }
    }
}

pub fn all_rows(tables: &[(Table, Sum)]) -> u64 {
    tables.iter().map(|(_, sum)| sum.rows).sum()
}

/// Each table with rows in it, for a program.
pub fn document(tables: &[(Table, Sum)]) -> Value {
    let of = |(table, sum): &(Table, Sum)| json!({ "table": table.name, "rows": sum.rows, "sum": sum.to_string() });
    tables.iter().map(of).collect()
}

/// The same for people.
pub fn say_tables(out: &Output, tables: &[(Table, Sum)]) {
    let with_rows = tables.iter().filter(|(_, sum)| sum.rows > 0);
    let rows: Vec<Vec<String>> =
        with_rows.map(|(table, sum)| vec![table.name.clone(), sum.rows.to_string(), sum.to_string()]).collect();
    out.table(&["TABLE", "ROWS", "SUM"], &rows);
}
