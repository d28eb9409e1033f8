//! The disk under a database, made bad from outside: a library that is loaded before libc
//! (`tests/harness/shim/disk.c`) and a file that tells it what the disk is like.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::process::programs;

const SOURCE: &str = include_str!("../shim/disk.c");

/// What a disk is like that is not well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// No file grows (ENOSPC).
    Full,
    /// No write succeeds (EIO).
    Failing,
    /// Nothing may be written (EROFS).
    ReadOnly,
}

impl Disk {
    const fn word(self) -> &'static str {
        match self {
            Self::Full => "no room",
            Self::Failing => "errors",
            Self::ReadOnly => "read-only",
        }
    }
}

/// The disk of a world or of the run's PostgreSQL; it is well again when this is gone.
#[must_use]
pub struct BadDisk(PathBuf);

impl BadDisk {
    /// From now on.
    ///
    /// # Panics
    /// When it cannot be told.
    pub fn begin(told: &Path, disk: Disk) -> Self {
        // Whole or not at all, for whoever reads it meanwhile.
        let draft = told.with_extension("draft");
        std::fs::write(&draft, disk.word()).expect("the disk's file can be written");
        std::fs::rename(&draft, told).expect("the disk's file can be written");
        Self(told.to_owned())
    }

    /// That of the run's PostgreSQL.
    ///
    /// # Panics
    /// When the services were started without the library.
    pub fn of_postgres(disk: Disk) -> Self {
        let told = std::env::var("TEST_DISK_FILE").expect("TEST_DISK_FILE: `./tests/run faults` and `services` set it");
        Self::begin(Path::new(&told), disk)
    }
}

impl Drop for BadDisk {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The library, made once for each program that asks.
fn library() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = programs().parent().map_or_else(std::env::temp_dir, |target| target.join("shim"));
        std::fs::create_dir_all(&folder).expect("a folder for the library");
        // Others may make it at the same time.
        let (source, draft) = (folder.join("disk.c"), folder.join(format!("disk-{}.so", std::process::id())));
        std::fs::write(&source, SOURCE).expect("the source can be written");
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&draft).arg(&source).arg("-ldl");
        let made = cc.status().expect("a C compiler (cc)");
        assert!(made.success(), "the library of bad disks cannot be compiled");
        let done = folder.join("disk.so");
        std::fs::rename(&draft, &done).expect("the library can be put in its place");
        done
    })
}

/// What a process needs in its environment to have a disk of its own under the files whose path
/// contains `part`.
pub(crate) fn environment(told: &Path, part: &str) -> [(String, String); 3] {
    [
        ("LD_PRELOAD", library().display().to_string()),
        ("TEST_DISK", told.display().to_string()),
        ("TEST_DISK_OF", part.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
}
