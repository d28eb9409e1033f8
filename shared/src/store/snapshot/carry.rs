//! Carries all rows of a snapshot, or of a backup, into an empty database.

use std::collections::BTreeMap;
use std::path::Path;

use crate::store::db::{Db, Result};
use crate::store::error::StoreError;
use crate::store::snapshot::file::Backup;
use crate::store::snapshot::line::Sum;
use crate::store::snapshot::load::Load;
use crate::store::snapshot::source::Snapshot;
use crate::store::snapshot::tables::Table;

/// Puts every row of a snapshot in, and reads it back.
pub async fn from_snapshot(
    load: &mut Load,
    snapshot: &mut Snapshot,
    mut progress: impl FnMut(&Table, u64),
) -> Result<BTreeMap<String, i64>> {
    for table in snapshot.tables.clone() {
        let (mut into, mut rows) = (load.fill(&table).await?, 0);
        let sum = snapshot
            .rows(&table, async |values, _| {
                rows += 1;
                progress(&table, rows);
                into.put(values).await
            })
            .await?;
        into.finish().await?;
        load.must_hold(&table, sum).await?;
    }
    snapshot.ids().await
}

/// Puts every row of a backup in, and reads it back. The backup was checked before.
pub async fn from_backup(
    load: &mut Load,
    path: &Path,
    mut progress: impl FnMut(&Table, u64),
) -> anyhow::Result<BTreeMap<String, i64>> {
    let mut backup = Backup::open(path)?;
    loop {
        let table = match backup.table()? {
            Ok(table) => table,
            Err(ids) => return Ok(ids),
        };
        let (mut into, mut rows) = (load.fill(&table).await?, 0);
        while let Some(values) = backup.row(&table)? {
            rows += 1;
            progress(&table, rows);
            into.put(values).await?;
        }
        into.finish().await?;
        load.must_hold(&table, backup.sum()).await?;
    }
}

/// Refuses a source that is not any more what was read of it.
///
/// # Errors
/// [`StoreError::Config`] naming a table that somebody has written to.
pub async fn must_be_unchanged(source: &Db, read: &[(Table, Sum)]) -> Result<()> {
    let mut now = Snapshot::of(source).await?;
    for (table, sum) in read {
        if now.sum(table).await? != *sum {
            return Err(StoreError::Config(format!(
                "the table {} was written to while it was copied: something still runs on the source; stop it and \
                 begin again. Nothing was changed",
                table.name
            )));
        }
    }
    Ok(())
}
