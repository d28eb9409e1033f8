//! Asks whether a paused integration's credentials work again.

use futures_util::FutureExt as _;
use shared::domain::{Fault, IntegrationState, OrderNumber, PausedBy};
use shared::message::{Change, Kind, Needless, Outcome};
use shared::retailcrm::CrmError;

use crate::jobs::job::{Asked, Job};
use crate::sync::internal;
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;

pub(super) const JOB: Job =
    Job { kind: Kind::ProbeIntegration, comes_again: |_| true, run: |asked| run(asked).boxed() };

async fn run(asked: &Asked<'_>) -> Outcome {
    // A fresh look: the state may have changed since the scheduler's.
    let _ = asked.integrations.refresh().await;
    match asked.envelope.integration.and_then(|id| asked.integrations.any(id)) {
        Some(active) => probe(asked.tools, &active).await,
        None => Outcome::Superseded(Needless::Gone),
    }
}

/// Asks the vendor that refused us whether it still does; a good answer resumes.
async fn probe(tools: &Tools, active: &ActiveIntegration) -> Outcome {
    let IntegrationState::Paused { by: PausedBy::Credentials(whose), .. } = active.integration.state else {
        return Outcome::AlreadyDone(Needless::NotForThisJob);
    };
    let good = match whose {
        Fault::Crm => crm_lets_us_work(active).await,
        // Without a cabinet there is nobody to ask.
        _ => !active.integration.login.is_empty() && active.vendors.courier.probe().await.is_ok(),
    };
    if !good {
        return Outcome::AlreadyDone(Needless::StillRefused);
    }
    match tools.store.set_state_as_seen(&active.integration, &IntegrationState::Active).await {
        Ok(false) => Outcome::Superseded(Needless::ChangedMeanwhile),
        Ok(true) => {
            tracing::info!(integration = active.id().0, "integration resumed: its credentials work again");
            Outcome::Done(Change::Synced)
        }
        Err(_) => internal(),
    }
}

/// Makes the calls whose refusal pauses an integration: a key that is accepted may still be
/// denied what every order needs, and would be paused again at once.
async fn crm_lets_us_work(active: &ActiveIntegration) -> bool {
    let crm = &active.vendors.crm;
    let asked = async {
        let may = crm.credentials().await?.lets_us_work();
        crm.payment_statuses().await?;
        crm.payment_types().await?;
        crm.delivery_types().await?;
        if let Ok(number) = OrderNumber::parse("0") {
            crm.orders_by_numbers(&[number]).await?;
        }
        Ok::<_, CrmError>(may)
    };
    asked.await.unwrap_or(false)
}
