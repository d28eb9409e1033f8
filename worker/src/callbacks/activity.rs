//! RetailCRM says that the module was switched on, off or frozen, that the account moved
//! to another address, or that its settings changed.

use shared::domain::{IntegrationState, PausedBy, crm_account};
use shared::retailcrm::wire::callbacks::Activity;
use shared::store::journal::{Entry, What};
use shared::{retailcrm, store};

use crate::callbacks::{Answered, CallbackContext, Refusal, Request, check, done, texts};

/// Body: `{"activity": {...}, "systemUrl": "…"}`.
///
/// # Errors
/// Nothing is changed when the address is none of RetailCRM's.
pub async fn activity(context: &CallbackContext, request: &Request) -> Answered {
    let (active, language) = (&request.active, request.language());
    let text = request.body.get("activity").map(ToString::to_string).unwrap_or_default();
    let activity = Activity::parse(&text).map_err(|bad| texts::misread(language, &bad))?;
    let url =
        request.body.get("systemUrl").and_then(serde_json::Value::as_str).map(str::trim).filter(|u| !u.is_empty());
    let moved = match url {
        None => None,
        Some(url) => {
            let url = retailcrm::check(url, &context.allowed).map_err(|_| {
                tracing::warn!(integration = active.id().0, "a callback named an address that is none of RetailCRM's");
                Refusal::new("foreign_address", texts::foreign_address(language)).with_status(400)
            })?;
            let url = url.as_str().trim_end_matches('/').to_owned();
            (url != active.integration.crm_url.trim_end_matches('/')).then_some(url)
        }
    };
    // Whoever has the `clientId` may name an address; only one where our key works is believed.
    let (moved, stays) = match moved {
        Some(url) if is_ours(context, request, &url).await => (Some(url), None),
        Some(_) => {
            tracing::warn!(integration = active.id().0, "a callback named an address where our API key does not work");
            let refusal = Refusal::new("foreign_address", texts::key_refused_there(language)).with_status(400);
            (None, Some(refusal))
        }
        None => (None, None),
    };
    let from = active.integration.crm_url.clone();
    let ledger = &context.tools.store;
    let stored = async {
        let mut said = Vec::new();
        let stored = ledger
            .change_integration(active.id(), |integration| -> store::Result<()> {
                said.clear();
                let wanted = match (activity.is_working(), &integration.state) {
                    (true, IntegrationState::Paused { by: PausedBy::Crm, .. }) => Some(IntegrationState::Active),
                    (false, IntegrationState::Active) => {
                        let reason = if activity.freeze { "frozen in RetailCRM" } else { "switched off in RetailCRM" };
                        Some(IntegrationState::Paused { by: PausedBy::Crm, reason: reason.to_owned() })
                    }
                    // Who paused it for another reason resumes it.
                    _ => None,
                };
                if let Some(state) = wanted {
                    said.push(format!("RetailCRM: the integration is {}", state.as_str()));
                    integration.state = state;
                }
                if let Some(url) = &moved {
                    said.push("RetailCRM: the account has a new address".to_owned());
                    integration.crm_url.clone_from(url);
                }
                Ok(())
            })
            .await?;
        if !said.is_empty() {
            let mut entry = Entry::new(context.tools.clock.now(), What::Operator, said.join("; "));
            entry.integration = Some(active.id());
            context.tools.journal.write(entry);
        }
        if moved.is_some() {
            ledger.tell_of_move(&stored, &from, "RetailCRM").await?;
        }
        context.integrations.refresh().await.map(|_| ())
    };
    stored.await.map_err(|error: store::StoreError| {
        tracing::warn!(%error, "an activity callback could not be stored");
        texts::unavailable(language)
    })?;
    stays.map_or_else(|| Ok(done()), Err)
}

/// Whether our API key is accepted at an address.
async fn is_ours(context: &CallbackContext, request: &Request, url: &str) -> bool {
    let mut integration = (*request.active.integration).clone();
    if crm_account::address(&integration.crm_url) == crm_account::address(url) {
        return true;
    }
    url.clone_into(&mut integration.crm_url);
    match context.integrations.trial(integration) {
        Ok(active) => check::accepted(&active).await.is_ok(),
        Err(_) => false,
    }
}

/// Whatever was kept of the account's settings and of the module's maps is read anew.
///
/// # Errors
/// When the database does not answer.
pub async fn settings(context: &CallbackContext, request: &Request) -> Answered {
    let (active, language) = (&request.active, request.language());
    let ledger = &context.tools.store;
    let stored = async {
        // A new version makes every worker forget what it kept.
        ledger.touch_integration(active.id()).await?;
        context.integrations.refresh().await
    };
    stored.await.map_err(|error: store::StoreError| {
        tracing::warn!(%error, "a settings callback could not be stored");
        texts::unavailable(language)
    })?;
    Ok(done())
}
