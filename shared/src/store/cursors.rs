//! Where a walk through somebody else's list stopped.

use jiff::Timestamp;

use crate::args;
use crate::store::Store;
use crate::store::db::{Result, Tx};

impl Store {
    /// A cursor and when it was last moved.
    pub async fn cursor(&self, name: &str) -> Result<Option<(String, Timestamp)>> {
        let row = self.db.fetch_one("SELECT value, updated_at FROM cursors WHERE name = $1", args![name]).await?;
        row.map(|row| Ok((row.text("value")?, row.moment("updated_at")?))).transpose()
    }
}

impl Tx {
    /// Moves a cursor with whatever else the transaction does.
    pub async fn set_cursor(&mut self, name: &str, value: &str, now: Timestamp) -> Result<()> {
        let sql = "INSERT INTO cursors (name, value, updated_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (name) DO UPDATE SET value = $2, updated_at = $3";
        self.run(sql, args![name, value, now]).await
    }
}
