//! Gives the letters of replays their turn. They wait while the vendor's breaker is open or their
//! integration is paused, and come at their pace when that is over, not in a burst.

use futures_util::FutureExt as _;
use shared::message::{Change, Kind, Outcome};

use crate::jobs::job::Job;
use crate::sync::internal;
use crate::tools::Tools;
use crate::vendor::held;

pub(super) const JOB: Job =
    Job { kind: Kind::ReplayLetters, comes_again: |_| true, run: |asked| run(asked.tools).boxed() };

async fn run(tools: &Tools) -> Outcome {
    let given = async {
        let must_wait = held::that_must_wait(&tools.store).await?;
        let sent = tools.store.take_turns(&must_wait).await?;
        tools.store.settle_replays().await.map(|()| sent)
    };
    match given.await {
        Ok(_) => Outcome::Done(Change::Synced),
        Err(_) => internal(),
    }
}
