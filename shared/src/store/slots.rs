//! Slots of periodic jobs: replicas race to insert a slot's row, the winner publishes.

use jiff::Timestamp;

use crate::args;
use crate::store::Store;
use crate::store::db::Result;

impl Store {
    /// Whether this process won the slot.
    pub async fn win_slot(&self, job: &str, slot: i64) -> Result<bool> {
        let sql = "INSERT INTO slots (job, slot, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        self.db.changed(sql, args![job, slot, self.clock.now_ms()]).await
    }

    pub async fn slot_published(&self, job: &str, slot: i64) -> Result<()> {
        let sql = "UPDATE slots SET published_at = $3 WHERE job = $1 AND slot = $2";
        self.db.run(sql, args![job, slot, self.clock.now_ms()]).await
    }

    /// Slots won before a moment, or by a clock that was ahead, and never published: their winner
    /// died in between.
    pub async fn unpublished_slots(&self, before: Timestamp) -> Result<Vec<(String, i64)>> {
        let sql = "SELECT job, slot FROM slots WHERE published_at IS NULL AND (created_at < $1 OR created_at > $2)";
        self.db
            .read_all(sql, args![before, self.latest(self.clock.now_ms())], |row| {
                Ok((row.text("job")?, row.int("slot")?))
            })
            .await
    }

    /// Forgets fired slots, but never the newest of a job: a restart would fire it again.
    pub async fn forget_slots(&self, before: Timestamp) -> Result<u64> {
        let sql = "DELETE FROM slots WHERE created_at < $1 AND EXISTS (SELECT 1 FROM slots n WHERE n.job = slots.job \
                   AND n.slot > slots.slot)";
        self.db.exec(sql, args![before]).await
    }
}
