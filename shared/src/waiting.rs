//! What a command waits for, so that one that comes to no end can say it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::locked::locked;

tokio::task_local! {
    static WAITING: Arc<Mutex<String>>;
}

/// Notes what is waited for next, where somebody asks ([`limited`]).
pub fn on(what: impl FnOnce() -> String) {
    let _ = WAITING.try_with(|waiting| *locked(waiting) = what());
}

/// Runs a command within its time.
///
/// # Errors
/// When the time is over: what it waited for last.
pub async fn limited<F: Future>(limit: Duration, command: F) -> Result<F::Output, String> {
    let waiting = Arc::new(Mutex::new(String::new()));
    let done = tokio::time::timeout(limit, WAITING.scope(waiting.clone(), command)).await;
    done.map_err(|_| locked(&waiting).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_that_comes_to_no_end_says_what_it_waited_for() {
        let said = limited(Duration::from_millis(20), async {
            on(|| "a lamp".to_owned());
            on(|| "a train".to_owned());
            std::future::pending::<()>().await;
        });
        assert_eq!(said.await, Err("a train".to_owned()));
        on(|| "nobody asks".to_owned());
        assert_eq!(limited(Duration::from_secs(9), std::future::ready(3)).await, Ok(3));
    }
}
