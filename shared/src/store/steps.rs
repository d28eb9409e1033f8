//! Where a test may stop or fail a task: at each step it takes with the database. Without
//! the feature `testing` nothing of this is compiled in.

use crate::store::db::Result;

/// A step about to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A reading or writing statement of its own.
    Statement,
    /// A transaction's begin.
    Begin,
    /// A statement of an open transaction: others may wait for its end.
    Within,
    Commit,
}

#[cfg(feature = "testing")]
mod watched {
    use std::sync::Arc;

    use futures_util::future::BoxFuture;

    use super::{Result, Step};

    /// Called before each step; an error is what the step then answers.
    pub type Watch = Arc<dyn Fn(Step) -> BoxFuture<'static, Result<()>> + Send + Sync>;

    tokio::task_local! {
        static WATCH: Watch;
    }

    /// Runs a task whose steps are watched. Tasks that it starts are not.
    pub async fn watched<F: Future>(watch: Watch, task: F) -> F::Output {
        WATCH.scope(watch, task).await
    }

    pub(in crate::store) async fn about_to(step: Step) -> Result<()> {
        match WATCH.try_with(Arc::clone) {
            Ok(watch) => watch(step).await,
            Err(_) => Ok(()),
        }
    }
}

#[cfg(feature = "testing")]
pub(super) use watched::about_to;
#[cfg(feature = "testing")]
pub use watched::{Watch, watched};

#[cfg(not(feature = "testing"))]
pub(super) async fn about_to(_: Step) -> Result<()> {
    Ok(())
}
