//! What workers hold back for now, kept only so that a person can be told.

use jiff::Timestamp;

use crate::args;
use crate::store::db::Result;
use crate::store::{Store, moment};
use crate::telemetry::metrics::{BreakerState, BreakerTarget};

/// A worker that has not said so for so long has stopped, or holds it back no more.
const BELIEVED_MS: i64 = 30_000;

/// An address or account that is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub target: BreakerTarget,
    /// The address, or the account as people know it.
    pub name: String,
    pub state: BreakerState,
    pub until: Timestamp,
    /// What its last request came to.
    pub why: String,
}

impl Store {
    /// Replaces what a process holds back.
    pub async fn note_breakers(&self, process: &str, held: &[Held]) -> Result<()> {
        let now = self.clock.now_ms();
        let mut tx = self.db.begin().await?;
        tx.exec("DELETE FROM breakers WHERE process = $1 OR seen_at < $2", args![process, now - BELIEVED_MS]).await?;
        for one in held {
            let sql = "INSERT INTO breakers (process, target, name, why, held_until, seen_at) VALUES ($1, $2, $3, $4, $5, $6) \
                       ON CONFLICT DO NOTHING";
            tx.exec(sql, args![process, one.target.as_str(), &one.name, &one.why, one.until, now]).await?;
        }
        tx.commit().await
    }

    /// What any worker holds back, once each, with the latest moment.
    pub async fn breakers(&self) -> Result<Vec<Held>> {
        let now = self.clock.now_ms();
        let sql = "SELECT target, name, MAX(why) AS why, MAX(held_until) AS held_until FROM breakers WHERE seen_at >= $1 \
                   GROUP BY target, name ORDER BY target, name";
        self.db
            .read_all(sql, args![now - BELIEVED_MS], |row| {
                let until = row.int("held_until")?;
                Ok(Held {
                    target: row.word("target", BreakerTarget::parse)?,
                    name: row.text("name")?,
                    state: if until > now { BreakerState::Open } else { BreakerState::HalfOpen },
                    until: moment(until),
                    why: row.text("why")?,
                })
            })
            .await
    }
}
