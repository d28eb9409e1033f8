//! Lays what a shadow would have done beside what is at MeaSoft; once it is live, takes that over.

use futures_util::FutureExt as _;
use shared::message::{Kind, Outcome};

use crate::jobs::job::{Asked, Job};
use crate::shadow;
use crate::sync::reconcile::with_lease;

pub(super) const JOB: Job = Job { kind: Kind::CompareShadow, comes_again: |_| true, run: |asked| run(asked).boxed() };

async fn run(asked: &Asked<'_>) -> Outcome {
    let active = match asked.active() {
        Ok(active) => active,
        Err(outcome) => return outcome,
    };
    let name = format!("shadow|{}", active.id());
    with_lease(asked.tools, &name, async |_| Ok(shadow::run(asked.tools, &active).await)).await
}
