//! What this worker holds back, named as people know it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use shared::domain::{Integration, IntegrationId, IntegrationState};
use shared::store::breakers::Held;
use shared::store::{self, Store};
use shared::telemetry::metrics::{BreakerState, BreakerTarget};

use crate::vendor::integrations::ActiveIntegrations;
use crate::vendor::limiter::{self, Limiter, Target};

/// Addresses and accounts of MeaSoft, and RetailCRM accounts.
pub fn held(limiter: &Limiter, now: Timestamp, integrations: &ActiveIntegrations) -> Vec<Held> {
    let courier = limiter.held().into_iter().map(|held| Held {
        target: match held.what {
            Target::Address => BreakerTarget::Measoft,
            Target::Account => BreakerTarget::Account,
        },
        name: named(&held.name),
        state: held.state,
        until: held.until,
        why: held.why,
    });
    let crm: BTreeMap<String, Held> = integrations
        .all()
        .into_iter()
        .filter_map(|active| {
            let resting = active.vendors.crm.resting()?;
            let name = active.integration.crm_url.clone();
            let state = if resting.until > now { BreakerState::Open } else { BreakerState::HalfOpen };
            let target = BreakerTarget::Retailcrm;
            Some((name.clone(), Held { target, name, state, until: resting.until, why: resting.why }))
        })
        .collect();
    courier.chain(crm.into_values()).collect()
}

/// Those that an integration waits for.
pub fn of(held: Vec<Held>, integration: &Integration) -> Vec<Held> {
    let account = integration.courier_account();
    let names = [
        (BreakerTarget::Measoft, limiter::address_of(&account)),
        (BreakerTarget::Account, named(&account)),
        (BreakerTarget::Retailcrm, integration.crm_url.clone()),
    ];
    held.into_iter()
        .filter(|held| names.iter().any(|(target, name)| *target == held.target && *name == held.name))
        .collect()
}

/// Integrations for which nothing new is begun now: paused ones, and those of which an address or
/// account is left alone, as any worker noted.
pub async fn that_must_wait(store: &Store) -> store::Result<Vec<IntegrationId>> {
    let mut open = store.breakers().await?;
    open.retain(|held| held.state == BreakerState::Open);
    let waits = |integration: &Integration| {
        matches!(integration.state, IntegrationState::Paused { .. }) || !of(open.clone(), integration).is_empty()
    };
    Ok(store.integrations().await?.into_iter().filter(waits).map(|integration| integration.id).collect())
}

/// `https://host/api/|8|active` is MeaSoft's address, the courier's number and the login.
pub fn named(name: &str) -> String {
    match name.split('|').collect::<Vec<_>>().as_slice() {
        [url, extra, login] => format!("{} courier {extra} login {login}", limiter::address_of(url)),
        _ => name.to_owned(),
    }
}

/// The worst of a kind.
pub fn worst(held: &[Held], target: BreakerTarget) -> BreakerState {
    held.iter().filter(|held| held.target == target).map(|held| held.state).max().unwrap_or(BreakerState::Closed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_named_as_people_know_it() {
        assert_eq!(named("https://a.example/api/|8|shop"), "https://a.example:443 courier 8 login shop");
        assert_eq!(named("https://a.example:443"), "https://a.example:443");
    }
}
