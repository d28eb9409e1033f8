//! Finds out which integrations with different keys are of one RetailCRM account: the key of
//! each sees the module of the other there, with the `clientId` that only its account knows.

use std::collections::HashSet;
use std::time::Duration;

use shared::domain::crm_account::{Access, proofs};
use shared::store;
use shared::store::journal::{Entry, What};
use shared::story::Event;
use tokio_util::sync::CancellationToken;

use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::integrations::ActiveIntegrations;

/// How often it is looked whether there is something to find out.
const EVERY: Duration = Duration::from_secs(5);
/// Looks after which what was not shown is tried again.
const AGAIN: u32 = 120;

/// Runs until `stop`.
pub async fn keep(tools: Tools, integrations: ActiveIntegrations, stop: CancellationToken) {
    let mut tried = HashSet::new();
    for round in 1_u32.. {
        if round % AGAIN == 0 {
            tried.clear();
        }
        for (one, other) in unclear(&integrations.all()) {
            let pair = (one.id(), one.integration.version, other.id(), other.integration.version);
            if !tried.insert(pair) {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                found = find_out(&tools, &one, &other) => if let Err(error) = found {
                    tracing::debug!(%error, "which integrations are of one account could not be noted");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

fn unclear(integrations: &[ActiveIntegration]) -> Vec<(ActiveIntegration, ActiveIntegration)> {
    let mut pairs = Vec::new();
    for (n, one) in integrations.iter().enumerate() {
        for other in &integrations[n + 1..] {
            if Access::of(&one.integration).is_unclear(&Access::of(&other.integration)) {
                pairs.push((one.clone(), other.clone()));
            }
        }
    }
    pairs
}

pub async fn find_out(tools: &Tools, one: &ActiveIntegration, other: &ActiveIntegration) -> store::Result<bool> {
    if !(sees(one, other, &tools.module_code).await && sees(other, one, &tools.module_code).await) {
        return Ok(false);
    }
    let (of_one, of_other) = proofs(&one.integration, &other.integration);
    let kept = tools.store.prove_accounts([(&one.integration, &of_one), (&other.integration, &of_other)]).await?;
    if kept {
        for (active, kin) in [(one, other), (other, one)] {
            let event = Event::SameAccount { other: kin.id() };
            let mut entry = Entry::new(tools.clock.now(), What::Operator, event);
            entry.integration = Some(active.id());
            tools.journal.write(entry);
        }
    }
    Ok(kept)
}

/// Whether a shop's key sees the other's module.
async fn sees(one: &ActiveIntegration, other: &ActiveIntegration, module_code: &str) -> bool {
    match one.vendors.crm.module(&other.integration.code(module_code)).await {
        Ok(module) => module.client_id.as_ref() == Some(&other.integration.secrets.client_id),
        Err(_) => false,
    }
}
