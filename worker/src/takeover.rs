//! Watches for a ledger that went back to an earlier state (a PostgreSQL server that took over from
//! another, a restored backup), and says what may be missing.

use std::time::Duration;

use jiff::Timestamp;
use shared::store::promotion::Window;
use shared::store::{self, Dialect};
use tokio_util::sync::CancellationToken;

use crate::tools::Tools;

/// How exactly the beginning of a window is known.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A quarter of an hour as it is installed.
const SETTLES: u32 = 600;

/// Runs until `stop`. With SQLite nothing can come while the process runs: one look is enough.
pub async fn run(tools: Tools, stop: CancellationToken) {
    loop {
        match notice(&tools).await {
            Ok(()) if tools.store.db.dialect() == Dialect::Sqlite => return,
            Ok(()) => {}
            Err(error) => tracing::debug!(%error, "whether the ledger went back to an earlier state is not known"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// By then the walks through both sides have found whatever still has an order.
pub fn cleared_up_after(tools: &Tools) -> Duration {
    tools.limits.settle * SETTLES
}

async fn notice(tools: &Tools) -> store::Result<()> {
    if let Some(window) = tools.store.taken_over(cleared_up_after(tools)).await? {
        tracing::error!(
            from = %window.from,
            until = %window.until,
            "a backup was restored or another PostgreSQL server has taken over: what was accepted in this time may be \
             missing; both sides are compared anew"
        );
    }
    Ok(())
}

/// A window that ended after a moment, also one that nobody has noticed yet.
pub async fn since(tools: &Tools, moment: Timestamp) -> store::Result<Option<Window>> {
    if tools.store.is_taken_over_unnoticed().await? {
        notice(tools).await?;
    }
    Ok(tools.store.last_takeover().await?.filter(|window| window.until >= moment))
}
