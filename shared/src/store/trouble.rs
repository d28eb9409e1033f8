//! How a statement that does not end is noticed, and what the database says of its own trouble.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::locked::locked;
use crate::store::error::{Result, StoreError};

/// A connection that was used so shortly before is taken to be there: to ask costs a round trip
/// each time.
const FRESH: Duration = Duration::from_secs(5);

/// What the database said last of its own trouble.
#[derive(Debug, Clone, Default)]
pub(super) struct Trouble {
    /// When it said that it cannot do its work, for whoever asks how it is.
    last: Arc<Mutex<Option<(Instant, String)>>>,
    /// SQLite's write connection was opened for reading alone.
    pub(super) only_reads: Arc<AtomicBool>,
    /// When a connection was last found broken: others that lay idle then may be as well.
    broken: Arc<Mutex<Option<Instant>>>,
}

impl Trouble {
    pub(super) fn noted<T>(&self, result: Result<T>) -> Result<T> {
        // A lock ends by itself, and only whoever asks how the database is gives up on one.
        if let Err(error @ StoreError::Failing(..)) = &result
            && !error.is_locked()
        {
            *locked(&self.last) = Some((Instant::now(), error.to_string()));
            if error.is_of_a_read_only_connection() {
                self.only_reads.store(true, Ordering::Relaxed);
            }
        }
        if let Err(StoreError::Unreachable(_)) = &result {
            *locked(&self.broken) = Some(Instant::now());
        }
        result
    }

    /// Whether a connection that has lain idle for so long may be broken.
    pub(super) fn doubts(&self, idle: Duration) -> bool {
        idle > FRESH || locked(&self.broken).is_some_and(|at| at.elapsed() <= idle)
    }

    /// What it said in the last moments.
    pub(super) fn recent(&self, within: Duration) -> Option<String> {
        let last = locked(&self.last);
        last.as_ref().filter(|(at, _)| at.elapsed() <= within).map(|(_, words)| words.clone())
    }
}

/// The statement without its values: its first words, for an error's text.
pub(super) fn headline(sql: &str) -> String {
    let mut words = sql.split_whitespace().take_while(|word| !word.starts_with(['(', '$']));
    let few: Vec<&str> = words.by_ref().take(4).collect();
    few.join(" ")
}

/// A test's failure or delay, then the statement within its time.
pub(super) async fn within<T>(limit: Duration, what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(StoreError::Silent { what: what.to_owned(), seconds: limit.as_secs() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_asked_when_it_lay_long_or_another_was_found_broken_meanwhile() {
        let trouble = Trouble::default();
        assert!(!trouble.doubts(Duration::ZERO));
        assert!(!trouble.doubts(FRESH));
        assert!(trouble.doubts(FRESH + Duration::from_millis(1)));
        let _ = trouble.noted(Err::<(), _>(StoreError::Unreachable(sqlx::Error::WorkerCrashed)));
        assert!(trouble.doubts(Duration::from_secs(1)), "it lay there when that was found");
        std::thread::sleep(Duration::from_millis(2));
        assert!(!trouble.doubts(Duration::from_millis(1)), "it has been used since");
    }
}
