//! Work that must reach its end although the one who waits for it goes away.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio_util::task::TaskTracker;

/// A future that is polled where it is awaited and, when it is dropped before its end, goes
/// on as a task of its own for at most `limit`. A task from the start would cost every
/// request two more turns of the scheduler.
pub(crate) struct Finish<F: Future + Send + 'static> {
    /// `None` once it has ended.
    work: Option<Pin<Box<F>>>,
    tasks: TaskTracker,
    limit: Duration,
}

impl<F: Future + Send + 'static> Finish<F> {
    pub(crate) fn new(tasks: TaskTracker, limit: Duration, work: F) -> Self {
        Self { work: Some(Box::pin(work)), tasks, limit }
    }
}

impl<F: Future + Send + 'static> Future for Finish<F> {
    type Output = F::Output;

    /// # Panics
    /// When polled again after its end, as futures do.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let work = self.work.as_mut().expect("not polled after its end");
        let polled = work.as_mut().poll(context);
        if polled.is_ready() {
            self.work = None;
        }
        polled
    }
}

impl<F: Future + Send + 'static> Drop for Finish<F> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take()
            && !std::thread::panicking()
        {
            let limit = self.limit;
            self.tasks.spawn(async move {
                let _ = tokio::time::timeout(limit, work).await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    struct Work {
        ended: Arc<AtomicUsize>,
        go: Option<oneshot::Sender<()>>,
        tasks: TaskTracker,
    }

    impl Work {
        fn new() -> (Self, Finish<impl Future<Output = usize> + Send + 'static>) {
            let (go, gone) = oneshot::channel();
            let (ended, tasks) = (Arc::new(AtomicUsize::new(0)), TaskTracker::new());
            let counted = ended.clone();
            let work = async move {
                let _ = gone.await;
                counted.fetch_add(1, Ordering::SeqCst) + 1
            };
            let finish = Finish::new(tasks.clone(), Duration::from_secs(30), work);
            (Self { ended, go: Some(go), tasks }, finish)
        }

        fn go(&mut self) {
            self.go.take().expect("once").send(()).expect("the work waits");
        }

        async fn over(&self) -> usize {
            self.tasks.close();
            self.tasks.wait().await;
            self.ended.load(Ordering::SeqCst)
        }
    }

    #[tokio::test]
    async fn what_is_awaited_to_its_end_needs_no_task() {
        let (mut work, finish) = Work::new();
        work.go();
        assert_eq!(finish.await, 1);
        assert!(work.tasks.is_empty());
        assert_eq!(work.over().await, 1);
    }

    #[tokio::test]
    async fn what_is_dropped_half_way_goes_on_and_is_done_once() {
        let (mut work, mut finish) = Work::new();
        let waited = tokio::time::timeout(Duration::from_millis(1), &mut finish).await;
        assert!(waited.is_err(), "nobody told it to go");
        drop(finish);
        assert_eq!(work.tasks.len(), 1);
        work.go();
        assert_eq!(work.over().await, 1);
    }

    #[tokio::test]
    async fn what_was_never_polled_is_done_all_the_same() {
        let (mut work, finish) = Work::new();
        drop(finish);
        work.go();
        assert_eq!(work.over().await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_is_given_up_in_the_end() {
        let (work, finish) = Work::new();
        drop(finish);
        assert_eq!(work.over().await, 0);
    }
}
