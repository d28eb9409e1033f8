//! Brings stored statuses on: into the ledger, to RetailCRM, and the payments with them. A replay
//! tells anew what RetailCRM did not take.

use futures_util::FutureExt as _;
use shared::message::{Change, Kind, Outcome};

use crate::jobs::job::{Asked, Job};
use crate::sync::{deliver, internal};

pub(super) const JOB: Job = Job { kind: Kind::PushStatuses, comes_again: |_| true, run: |asked| run(asked).boxed() };

async fn run(asked: &Asked<'_>) -> Outcome {
    let active = match asked.active() {
        Ok(active) => active,
        Err(outcome) => return outcome,
    };
    if asked.by_a_person() && asked.tools.store.revive_tracking(active.id()).await.is_err() {
        return internal();
    }
    deliver(asked.tools, &active).await;
    Outcome::Done(Change::Synced)
}
