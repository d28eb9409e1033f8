//! A backup: a file of lines of JSON. The first says what it is, then comes each table (its columns,
//! its rows, what they come to), the ids, and the last has the hash of all before it. Secrets in it are
//! sealed; the key is not in it, only what the key is recognised by.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::crypto::hex;
use crate::files::private;
use crate::store::db::Value;
use crate::store::snapshot::line::{Sum, read_line};
use crate::store::snapshot::source::Snapshot;
use crate::store::snapshot::tables::Table;

/// Of the file, not of the schema.
const FORMAT: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    #[serde(rename = "measoft-bridge backup")]
    format: u32,
    /// The schema's version.
    pub schema: i64,
    pub release: String,
    pub made_at: Timestamp,
    /// Fingerprints of the keys without which its secrets cannot be opened.
    pub keys: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct End {
    end: String,
    sum: Sum,
}

#[derive(Serialize, Deserialize)]
struct Ids {
    /// See [`Snapshot::ids`].
    ids: BTreeMap<String, i64>,
}

#[derive(Serialize, Deserialize)]
struct Last {
    /// Of every byte before this line.
    sha256: String,
}

/// What a backup holds.
#[derive(Debug)]
pub struct Manifest {
    pub header: Header,
    pub tables: Vec<(Table, Sum)>,
    pub ids: BTreeMap<String, i64>,
}

impl Header {
    pub fn new(schema: i64, release: &str, made_at: Timestamp, keys: Vec<String>) -> Self {
        Self { format: FORMAT, schema, release: release.to_owned(), made_at, keys }
    }
}

/// Hashes what goes through it.
struct Hashed {
    file: BufWriter<File>,
    hash: Sha256,
}

impl Hashed {
    fn line(&mut self, line: &[u8]) -> std::io::Result<()> {
        for part in [line, b"\n"] {
            self.hash.update(part);
            self.file.write_all(part)?;
        }
        Ok(())
    }

    fn json(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        Ok(self.line(&serde_json::to_vec(value)?)?)
    }
}

/// Writes a backup for its owner alone. The file has its name once all of it is on the disk;
/// one that is there is left.
pub async fn write(
    path: &Path,
    header: Header,
    snapshot: &mut Snapshot,
    progress: impl FnMut(&Table, u64),
) -> anyhow::Result<Manifest> {
    ensure!(!path.exists(), "{} is there already: name another file", path.display());
    let draft = draft(path);
    let file =
        private().create_new(true).open(&draft).with_context(|| format!("{} cannot be made", draft.display()))?;
    let done = async {
        let manifest = write_into(file, header, snapshot, progress).await?;
        std::fs::rename(&draft, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
        Ok::<_, anyhow::Error>(manifest)
    };
    let done = done.await.with_context(|| format!("{} cannot be written", path.display()));
    if done.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    done
}

/// The name it bears until it is whole.
fn draft(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}

async fn write_into(
    file: File,
    header: Header,
    snapshot: &mut Snapshot,
    mut progress: impl FnMut(&Table, u64),
) -> anyhow::Result<Manifest> {
    let mut out = Hashed { file: BufWriter::with_capacity(1 << 20, file), hash: Sha256::new() };
    out.json(&header)?;
    let mut tables = Vec::new();
    for table in snapshot.tables.clone() {
        out.json(&table)?;
        let mut rows = 0;
        let sum = snapshot
            .rows(&table, async |_, line| {
                rows += 1;
                progress(&table, rows);
                out.line(line).map_err(anyhow::Error::from)
            })
            .await?;
        out.json(&End { end: table.name.clone(), sum })?;
        tables.push((table, sum));
    }
    let ids = snapshot.ids().await?;
    out.json(&Ids { ids: ids.clone() })?;
    let sha256 = hex(&out.hash.clone().finalize());
    out.json(&Last { sha256 })?;
    out.file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    Ok(Manifest { header, tables, ids })
}

/// A backup that is read.
pub struct Backup {
    pub header: Header,
    file: BufReader<File>,
    line: Vec<u8>,
    /// Lines read so far.
    lines: u64,
    hash: Sha256,
    /// Of the rows of the present table.
    sum: Sum,
}

impl Backup {
    /// # Errors
    /// One sentence when there is none, or it is no backup of the bridge that this release reads.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let header = Header::new(0, "", Timestamp::UNIX_EPOCH, Vec::new());
        let file = BufReader::with_capacity(1 << 20, file);
        let mut backup = Self { header, file, line: Vec::new(), lines: 0, hash: Sha256::new(), sum: Sum::default() };
        let none = || format!("{} is no backup that `bridge backup` has written", path.display());
        backup.next().with_context(none)?;
        backup.header = serde_json::from_slice(&backup.line).map_err(|_| anyhow::Error::msg(none()))?;
        let format = backup.header.format;
        ensure!(format == FORMAT, "{} is of the format {format}: use the release that wrote it", path.display());
        Ok(backup)
    }

    /// Reads all of a backup, which must be whole and as it was written.
    ///
    /// # Errors
    /// One sentence that says where it is not.
    pub fn check(path: &Path, mut progress: impl FnMut(&Table, u64)) -> anyhow::Result<Manifest> {
        let mut backup = Self::open(path)?;
        let mut tables = Vec::new();
        let bad = || format!("{} is damaged, take another backup", path.display());
        loop {
            match backup.table().with_context(bad)? {
                Ok(table) => {
                    let mut rows = 0;
                    while backup.row(&table).with_context(bad)?.is_some() {
                        rows += 1;
                        progress(&table, rows);
                    }
                    tables.push((table, backup.sum));
                }
                Err(ids) => return Ok(Manifest { header: backup.header, tables, ids }),
            }
        }
    }

    /// The next line, without its end; the hash has what came before it.
    fn next(&mut self) -> anyhow::Result<()> {
        self.line.clear();
        self.file.read_until(b'\n', &mut self.line)?;
        ensure!(self.line.pop() == Some(b'\n'), "it is cut off after line {}", self.lines);
        self.lines += 1;
        Ok(())
    }

    fn hashed(&mut self) {
        self.hash.update(&self.line);
        self.hash.update(b"\n");
    }

    /// The next table, or behind the last one the ids.
    pub(super) fn table(&mut self) -> anyhow::Result<Result<Table, BTreeMap<String, i64>>> {
        if self.lines == 1 {
            self.hashed();
        }
        self.next()?;
        if let Ok(table) = serde_json::from_slice(&self.line) {
            self.hashed();
            self.sum = Sum::default();
            return Ok(Ok(table));
        }
        let ids: Ids = serde_json::from_slice(&self.line).ok().with_context(|| self.unreadable())?;
        self.hashed();
        self.next()?;
        let last: Last = serde_json::from_slice(&self.line).ok().with_context(|| self.unreadable())?;
        ensure!(last.sha256 == hex(&self.hash.clone().finalize()), "its hash is not that of what is in it");
        ensure!(self.file.fill_buf()?.is_empty(), "something stands behind its end");
        Ok(Err(ids.ids))
    }

    /// The next row of a table, or none behind its last.
    pub(super) fn row(&mut self, table: &Table) -> anyhow::Result<Option<Vec<Value>>> {
        self.next()?;
        self.hashed();
        if self.line.first() == Some(&b'[') {
            self.sum.add(&self.line);
            return read_line(&self.line, table).with_context(|| self.unreadable()).map(Some);
        }
        let end: End = serde_json::from_slice(&self.line).ok().with_context(|| self.unreadable())?;
        if (&end.end, end.sum) != (&table.name, self.sum) {
            bail!("the rows of the table {} are not those that were written, before line {}", table.name, self.lines);
        }
        Ok(None)
    }

    fn unreadable(&self) -> String {
        format!("line {} is not as it was written", self.lines)
    }

    /// What the rows of the table that was read last come to.
    pub(super) const fn sum(&self) -> Sum {
        self.sum
    }
}
