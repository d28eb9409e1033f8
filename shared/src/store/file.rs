//! The file of SQLite as the system sees it: made for its owner alone, held by who runs on it,
//! watched while it is in use, and written back when somebody took it away.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::files::private;
use crate::store::db::Db;
use crate::store::error::Result;

/// Who else may run on the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Nobody: one process with all roles.
    Alone,
    /// The other roles, each a process of its own.
    Roles,
}

/// Held for as long as the process runs on the file.
#[derive(Debug)]
pub struct FileLock {
    _held: File,
}

/// What became of a file that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    Removed,
    /// Another file has its name.
    Replaced,
}

/// A database file by what it is, not by its name.
#[derive(Debug, Clone)]
pub struct Watched {
    path: PathBuf,
    id: Option<(u64, u64)>,
}

/// Beside the database file, whatever name the folder goes by.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// Its lock, and with a word in it the sign that an installation lives in the file.
fn lock_path(path: &Path) -> PathBuf {
    beside(path, ".lock")
}

/// Makes the file when it is missing, readable by its owner alone: what SQLite puts beside it
/// takes its mode. An empty one is refused where there was an installation.
pub fn prepare(path: &Path) -> anyhow::Result<()> {
    match private().create_new(true).open(path) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(anyhow::Error::new(error)),
    }
    let lived_in = || std::fs::metadata(lock_path(path)).is_ok_and(|found| found.len() > 0);
    if std::fs::metadata(path)?.len() == 0 && lived_in() {
        anyhow::bail!(
            "it is empty, and there was an installation in it: remove it and `bridge restore` the latest backup, or remove \
             it and {} to begin anew",
            lock_path(path).display()
        );
    }
    Ok(())
}

/// Leaves the sign that an installation lives in the file.
pub fn settle_in(path: &Path) -> io::Result<()> {
    let mut file = private().create(true).truncate(false).open(lock_path(path))?;
    if file.metadata()?.len() == 0 {
        file.write_all(b"the database beside this file is in use by measoft-bridge\n")?;
    }
    Ok(())
}

/// Holds the file, by whatever name or folder others know it.
///
/// # Errors
/// One sentence when another process holds it.
pub fn lock(path: &Path, share: Share) -> anyhow::Result<FileLock> {
    let file = private().read(true).create(true).truncate(false).open(lock_path(path))?;
    let (held, who) = match share {
        Share::Alone => (file.try_lock(), "another `bridge up`, or a role of its own,"),
        Share::Roles => (file.try_lock_shared(), "another `bridge up`"),
    };
    match held {
        Ok(()) => Ok(FileLock { _held: file }),
        Err(std::fs::TryLockError::WouldBlock) => Err(anyhow::anyhow!(
            "{who} runs on {}; stop it first, or set another DATA_DIR or DATABASE_URL",
            path.display()
        )),
        Err(std::fs::TryLockError::Error(error)) => Err(error.into()),
    }
}

#[cfg(unix)]
fn id(path: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn id(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::metadata(path).map(|_| (0, 0))
}

impl Watched {
    /// The file that has the name now.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf(), id: id(path).ok() }
    }

    /// Whether the name leads to another file by now, or to none. A folder that cannot be
    /// looked into says nothing.
    pub fn lost(&self) -> Option<Lost> {
        match id(&self.path) {
            Ok(now) => (self.id.is_some_and(|before| before != now)).then_some(Lost::Replaced),
            Err(error) => (error.kind() == io::ErrorKind::NotFound).then_some(Lost::Removed),
        }
    }

    /// Writes what is open to a file again, closes it, and gives the file its name back if
    /// nothing else has it. Answers the sentence the process ends with.
    pub async fn rescue(&self, db: &Db, lost: Lost) -> String {
        let shown = self.path.display();
        let what = match lost {
            Lost::Removed => format!("the database file {shown} was removed while the bridge ran"),
            Lost::Replaced => format!("the database file {shown} was replaced by another while the bridge ran"),
        };
        let copy = beside(&self.path, &format!(".rescued-{}", std::process::id()));
        let written = write_copy(db, &copy).await;
        db.close().await;
        if let Err(error) = written {
            return format!("{what}, and what was in it cannot be written to {}: {error}", copy.display());
        }
        match self.give_back(&copy) {
            Ok(()) => format!("{what}; all that was in it has been written there again: start the bridge anew"),
            Err(_) => format!(
                "{what}; all that was in the old one is kept in {}: put that one in place which counts, remove the \
                 files -wal and -shm beside it, and start the bridge anew",
                copy.display()
            ),
        }
    }

    /// Only onto a name that is free: a link fails on one that is not.
    fn give_back(&self, copy: &Path) -> io::Result<()> {
        if self.lost() != Some(Lost::Removed) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        // Of the file that is gone: to the new one they would be foreign.
        for suffix in ["-wal", "-shm"] {
            match std::fs::remove_file(beside(&self.path, suffix)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        std::fs::hard_link(copy, &self.path)?;
        std::fs::remove_file(copy)
    }
}

async fn write_copy(db: &Db, copy: &Path) -> Result<()> {
    let _ = private().create_new(true).open(copy);
    let name = copy.display().to_string().replace('\'', "''");
    db.exec(format!("VACUUM INTO '{name}'"), vec![]).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::make_folder;

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("bridge-file-{}", uuid::Uuid::new_v4()));
            make_folder(&path).expect("made");
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn an_empty_file_is_a_beginning_only_where_nothing_was() {
        let folder = Folder::new();
        let file = folder.0.join("bridge.db");
        prepare(&file).expect("missing");
        prepare(&file).expect("empty, and nothing was");
        settle_in(&file).expect("settled");
        let refused = prepare(&file).expect_err("something was").to_string();
        assert!(refused.contains("latest backup"), "{refused}");
        std::fs::write(&file, "something").expect("written");
        prepare(&file).expect("not empty");
    }

    #[test]
    fn one_process_runs_on_a_file_or_its_roles_do_by_whatever_name() {
        let folder = Folder::new();
        let file = folder.0.join("bridge.db");
        prepare(&file).expect("made");
        let alone = lock(&file, Share::Alone).expect("free");
        for share in [Share::Alone, Share::Roles] {
            assert!(lock(&file, share).is_err());
        }
        let other_name = folder.0.join("other.db");
        #[cfg(unix)]
        std::os::unix::fs::symlink(&file, &other_name).expect("linked");
        #[cfg(unix)]
        assert!(lock(&other_name, Share::Alone).is_err(), "another name of the same file");
        drop(alone);
        let _ingress = lock(&file, Share::Roles).expect("free again");
        let _worker = lock(&file, Share::Roles).expect("roles side by side");
        assert!(lock(&file, Share::Alone).is_err());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn files_and_folders_are_their_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = Folder::new();
        let data = folder.0.join("data");
        make_folder(&data).expect("made");
        let file = data.join("bridge.db");
        prepare(&file).expect("made");
        let db = Db::open_sqlite(&file).await.expect("opened");
        db.migrate().await.expect("migrated");
        settle_in(&file).expect("settled");
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&data), 0o700);
        let mut seen = 0;
        for entry in std::fs::read_dir(&data).expect("read") {
            let path = entry.expect("entry").path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
            seen += 1;
        }
        assert_eq!(seen, 4, "the database, -wal, -shm, the lock");
        db.close().await;
    }

    async fn filled(file: &Path) -> Db {
        prepare(file).expect("made");
        let db = Db::open_sqlite(file).await.expect("opened");
        db.migrate().await.expect("migrated");
        db.exec("INSERT INTO cursors (name, value, updated_at) VALUES ('kept', 'yes', 1)", vec![]).await.expect("put");
        db
    }

    async fn has_the_row(file: &Path) -> bool {
        let db = Db::open_sqlite(file).await.expect("opened");
        let row = db.fetch_one("SELECT value FROM cursors WHERE name = 'kept'", vec![]).await.expect("read");
        db.close().await;
        row.is_some()
    }

    #[tokio::test]
    async fn a_file_that_was_removed_is_written_back_with_all_that_was_in_it() {
        let folder = Folder::new();
        let file = folder.0.join("bridge.db");
        let db = filled(&file).await;
        let watched = Watched::new(&file);
        assert_eq!(watched.lost(), None);
        std::fs::remove_file(&file).expect("removed");
        assert_eq!(watched.lost(), Some(Lost::Removed));
        let said = watched.rescue(&db, Lost::Removed).await;
        assert!(said.contains("was removed") && said.contains("written there again"), "{said}");
        assert!(has_the_row(&file).await);
        let names = std::fs::read_dir(&folder.0).expect("read").map(|entry| entry.expect("entry").file_name());
        assert!(!names.into_iter().any(|name| name.to_string_lossy().contains("rescued")), "no copy is left");
    }

    #[tokio::test]
    async fn a_file_that_was_replaced_is_left_and_the_old_one_kept_beside_it() {
        let folder = Folder::new();
        let file = folder.0.join("bridge.db");
        let db = filled(&file).await;
        let watched = Watched::new(&file);
        let newer = folder.0.join("newer");
        std::fs::write(&newer, "another").expect("written");
        std::fs::rename(&newer, &file).expect("replaced");
        assert_eq!(watched.lost(), Some(Lost::Replaced));
        let said = watched.rescue(&db, Lost::Replaced).await;
        assert!(said.contains("was replaced"), "{said}");
        assert_eq!(std::fs::read(&file).expect("there"), b"another");
        let copy = folder.0.join(format!("bridge.db.rescued-{}", std::process::id()));
        assert!(said.contains(&copy.display().to_string()), "{said}");
        assert!(has_the_row(&copy).await);
    }
}
