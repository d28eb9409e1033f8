//! How a process ends: a soft stop that everybody hears, a grace period, a hard stop.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Turns SIGTERM and SIGINT into a soft stop; the second signal asks for the hard one. A
/// terminal that is closed (SIGHUP) does not end a process that serves shops; settings are read
/// at start alone, so there is nothing to read anew either.
pub fn watch_signals(stop: CancellationToken, hard: CancellationToken) -> std::io::Result<()> {
    let mut signals = Signals::new()?;
    tokio::spawn(async move {
        let name = signals.next().await;
        tracing::info!(signal = name, "stopping: finishing what is in hand");
        stop.cancel();
        let name = signals.next().await;
        tracing::warn!(signal = name, "stopping at once: asked a second time");
        hard.cancel();
    });
    Ok(())
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hang_up.recv() => tracing::info!("SIGHUP is ignored; new settings need a restart"),
            }
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> &'static str {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}

/// How a soft stop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every task ended by itself.
    Clean,
    /// The grace period was over, or a hard stop was asked for, with this many tasks left.
    Cut { left: usize },
}

/// Waits for the tracked tasks to end, within the grace period. Call after the stop token
/// was cancelled.
pub async fn drain(tasks: &TaskTracker, grace: Duration, hard: &CancellationToken) -> Drained {
    tasks.close();
    tokio::select! {
        () = tasks.wait() => Drained::Clean,
        () = tokio::time::sleep(grace) => Drained::Cut { left: tasks.len() },
        () = hard.cancelled() => Drained::Cut { left: tasks.len() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_that_end_make_a_clean_stop() {
        let (tasks, hard) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(tokio::task::yield_now());
        assert_eq!(drain(&tasks, Duration::from_secs(60), &hard).await, Drained::Clean);
    }

    #[tokio::test]
    async fn a_task_that_hangs_is_cut_by_the_grace_period_or_the_hard_stop() {
        let (tasks, hard) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(std::future::pending::<()>());
        assert_eq!(drain(&tasks, Duration::from_millis(1), &hard).await, Drained::Cut { left: 1 });
        hard.cancel();
        assert_eq!(drain(&tasks, Duration::from_secs(60), &hard).await, Drained::Cut { left: 1 });
    }
}
