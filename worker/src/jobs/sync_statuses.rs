//! Polls a cabinet's status stream, then brings what came to its end for every integration of that
//! cabinet.

use futures_util::FutureExt as _;
use shared::message::{Kind, Needless, Outcome, PUSHED, RetryWhy};

use crate::jobs::job::{Asked, Job};
use crate::sync::{active_siblings, deliver, internal, poll};
use crate::vendor::integrations::Availability;

pub(super) const JOB: Job = Job { kind: Kind::SyncStatuses, comes_again: |_| true, run: |asked| run(asked).boxed() };

async fn run(asked: &Asked<'_>) -> Outcome {
    let Some(id) = asked.envelope.integration else { return Outcome::Superseded(Needless::Gone) };
    let Availability::Active(active) = asked.integrations.find(id) else {
        return Outcome::Superseded(Needless::NotActive);
    };
    match asked.is_only_watching(&active).await {
        Ok(false) => {}
        Ok(true) => return Outcome::Superseded(Needless::InShadow),
        Err(_) => return internal(),
    }
    let polled = poll::run(asked.tools, &active).await;
    // Whatever came of the poll: what is stored goes on.
    for sibling in active_siblings(asked.integrations, &active) {
        deliver(asked.tools, &sibling).await;
    }
    // What was pushed may have come after the other's last look.
    let is_pushed = asked.envelope.key == PUSHED;
    if is_pushed && polled == poll::TAKEN { Outcome::retry(RetryWhy::LeaseHeld) } else { polled }
}
