//! Watches for a PostgreSQL server that took over from another, and says what may be missing.

use std::time::Duration;

use shared::store::{Dialect, Store};
use tokio_util::sync::CancellationToken;

/// How exactly the beginning of a window is known.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Runs until `stop`.
pub async fn run(store: Store, stop: CancellationToken) {
    if store.db.dialect() == Dialect::Sqlite {
        return;
    }
    loop {
        match store.taken_over().await {
            Ok(Some(window)) => tracing::error!(
                from = %window.from,
                until = %window.until,
                "another PostgreSQL server has taken over: what was accepted in this time may be missing; \
                 both sides are compared anew"
            ),
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "whether another server took over is not known"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}
