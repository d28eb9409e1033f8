//! Jobs: commands that are about no order's intent, most of them periodic. One file each, with its
//! kind and its run, and one line in `ALL`.

mod attempt;
mod compare_shadow;
mod consumer;
mod job;
mod notify_of_causes;
mod probe;
mod push_statuses;
mod reconcile;
mod replay_letters;
mod retention;
mod sync_payments;
mod sync_returns;
mod sync_statuses;

use shared::message::{Envelope, Kind, Needless, Outcome};

pub use self::consumer::run;
use self::job::{Asked, Job};
pub use self::notify_of_causes::refused_to_notify;
use crate::tools::Tools;
use crate::vendor::integrations::ActiveIntegrations;

const ALL: [Job; 10] = [
    compare_shadow::JOB,
    notify_of_causes::JOB,
    probe::JOB,
    push_statuses::JOB,
    reconcile::JOB,
    replay_letters::JOB,
    retention::JOB,
    sync_payments::JOB,
    sync_returns::JOB,
    sync_statuses::JOB,
];

fn of(kind: Kind) -> Option<&'static Job> {
    ALL.iter().find(|job| job.kind == kind)
}

/// Does what a command asks for.
pub async fn carry_out(tools: &Tools, integrations: &ActiveIntegrations, envelope: &Envelope) -> Outcome {
    match of(envelope.command.kind()) {
        Some(job) => (job.run)(&Asked { tools, integrations, envelope }).await,
        None => Outcome::Superseded(Needless::NotForThisJob),
    }
}

#[cfg(test)]
mod tests;
