//! Finds what triggers and the status stream missed, and makes it good: on RetailCRM's side several
//! times an hour, on both once a day.

use futures_util::FutureExt as _;
use shared::message::{Kind, Needless, Outcome, RECONCILE_HISTORY};

use crate::jobs::job::{Asked, Job};
use crate::sync::reconcile::{courier, history, unknown, with_lease};
use crate::sync::{active_siblings, deliver, internal};

pub(super) const JOB: Job = Job {
    kind: Kind::Reconcile,
    // The daily one's next slot is a day off.
    comes_again: |envelope| envelope.key == RECONCILE_HISTORY,
    run: |asked| run(asked).boxed(),
};

async fn run(asked: &Asked<'_>) -> Outcome {
    let (tools, integrations) = (asked.tools, asked.integrations);
    let active = match asked.active() {
        Ok(active) => active,
        Err(outcome) => return outcome,
    };
    let crm = match active.integration.settings.is_shadow() {
        // What no trigger tells of, the other integration does not know either.
        true => Outcome::Superseded(Needless::InShadow),
        false => {
            let name = format!("history|{}", active.id());
            with_lease(tools, &name, async |lease| history::walk(tools, &active, lease).await).await
        }
    };
    match asked.is_only_watching(&active).await {
        Ok(false) => {}
        Ok(true) => return crm,
        Err(_) => return internal(),
    }
    if asked.envelope.key == RECONCILE_HISTORY {
        return crm;
    }
    let name = format!("reconcile|{}", active.integration.courier_account());
    let courier = with_lease(tools, &name, async |lease| {
        let compared = courier::compare(tools, integrations, &active, lease).await?;
        unknown::tell(tools, &active).await?;
        Ok(compared)
    })
    .await;
    for sibling in active_siblings(integrations, &active) {
        deliver(tools, &sibling).await;
    }
    // The worse of both; what went well is not undone.
    if matches!(crm, Outcome::RetryLater { .. } | Outcome::GiveUp(_)) { crm } else { courier }
}
