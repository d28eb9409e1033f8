//! Tells RetailCRM what of each line was brought back. A replay looks again at what gave up.

use futures_util::FutureExt as _;
use shared::message::{Kind, Outcome};

use crate::jobs::job::{Asked, Job};
use crate::sync::{follow_up, internal, returns};

pub(super) const JOB: Job = Job { kind: Kind::SyncReturns, comes_again: |_| false, run: |asked| run(asked).boxed() };

async fn run(asked: &Asked<'_>) -> Outcome {
    let active = match asked.active() {
        Ok(active) => active,
        Err(outcome) => return outcome,
    };
    if asked.by_a_person() && asked.tools.store.revive_returns(active.id()).await.is_err() {
        return internal();
    }
    let done = returns::run(asked.tools, &active).await;
    follow_up(asked.tools, &active).await;
    done
}
