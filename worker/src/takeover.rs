//! Watches for a PostgreSQL server that took over from another, and says what may be missing.

use std::time::Duration;

use jiff::Timestamp;
use shared::store::promotion::Window;
use shared::store::{self, Dialect, Store};
use tokio_util::sync::CancellationToken;

/// How exactly the beginning of a window is known.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Runs until `stop`.
pub async fn run(store: Store, stop: CancellationToken) {
    if store.db.dialect() == Dialect::Sqlite {
        return;
    }
    loop {
        if let Err(error) = notice(&store).await {
            tracing::debug!(%error, "whether another server took over is not known");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn notice(store: &Store) -> store::Result<()> {
    if let Some(window) = store.taken_over().await? {
        tracing::error!(
            from = %window.from,
            until = %window.until,
            "another PostgreSQL server has taken over: what was accepted in this time may be missing; \
             both sides are compared anew"
        );
    }
    Ok(())
}

/// A takeover after a moment, also one that nobody has noticed yet.
pub async fn since(store: &Store, moment: Timestamp) -> store::Result<Option<Window>> {
    if store.is_taken_over_unnoticed().await? {
        notice(store).await?;
    }
    Ok(store.last_takeover().await?.filter(|window| window.until >= moment))
}
