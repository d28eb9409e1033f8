//! Waiting for a condition instead of for a time.

use std::time::{Duration, Instant};

/// Longer than anything in a story takes on a busy machine.
pub const LONG: Duration = Duration::from_secs(60);

/// Pause between two looks.
const EVERY: Duration = Duration::from_millis(40);

/// Looks again and again until `look` answers `Ok`, and gives its value.
///
/// # Panics
/// When `limit` is over; the message has `label` and what the last look saw.
pub async fn eventually<T, F, Fut>(label: &str, limit: Duration, look: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, String>>,
{
    let seen = within(limit, EVERY, look).await;
    seen.unwrap_or_else(|seen| panic!("not within {limit:?}: {label}; last seen: {seen}"))
}

/// The same, `every` so often.
///
/// # Errors
/// With what the last look saw when `limit` is over.
pub async fn within<T, F, Fut>(limit: Duration, every: Duration, mut look: F) -> Result<T, String>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, String>>,
{
    let begun = Instant::now();
    loop {
        match look().await {
            Err(_) if begun.elapsed() <= limit => tokio::time::sleep(every).await,
            done => return done,
        }
    }
}
