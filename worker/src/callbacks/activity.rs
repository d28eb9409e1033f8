//! RetailCRM says that the module was switched on, off or frozen, that the account moved
//! to another address, or that its settings changed.

use shared::domain::{IntegrationState, PausedBy, crm_account};
use shared::retailcrm::wire::callbacks::Activity;
use shared::store::journal::{Entry, What};
use shared::story::{Event, Person};
use shared::{retailcrm, store};

use crate::callbacks::{Answered, CallbackContext, Refusal, Request, check, done, texts};
use crate::vendor::ActiveIntegration;

/// Body: `{"activity": {...}, "systemUrl": "…"}`. Nothing is changed when the address is none of
/// RetailCRM's.
pub async fn activity(context: &CallbackContext, request: &Request) -> Answered {
    let (active, language) = (&request.active, request.language());
    let text = request.body.get("activity").map(ToString::to_string).unwrap_or_default();
    let activity = Activity::parse(&text).map_err(|bad| texts::misread(language, &bad))?;
    let named = named_address(context, request)?;
    // Whoever has the `clientId` may name an address; only one where our key works is believed.
    let (moved, stays) = match named {
        Some(url) if is_ours(context, request, &url).await => (Some(url), None),
        Some(_) => {
            tracing::warn!(integration = active.id().0, "a callback named an address where our API key does not work");
            let refusal = Refusal::new("foreign_address", texts::key_refused_there(language)).with_status(400);
            (None, Some(refusal))
        }
        None => (None, None),
    };
    take_over(context, active, &activity, moved.as_deref()).await.map_err(|error| {
        tracing::warn!(%error, "an activity callback could not be stored");
        texts::unavailable(language)
    })?;
    stays.map_or_else(|| Ok(done()), Err)
}

/// Another address of RetailCRM's than the one we know, if the callback names one.
fn named_address(context: &CallbackContext, request: &Request) -> Result<Option<String>, Refusal> {
    let (active, language) = (&request.active, request.language());
    let url = request.body.get("systemUrl").and_then(serde_json::Value::as_str).map(str::trim);
    let Some(url) = url.filter(|url| !url.is_empty()) else { return Ok(None) };
    let url = retailcrm::check(url, &context.allowed).map_err(|_| {
        tracing::warn!(integration = active.id().0, "a callback named an address that is none of RetailCRM's");
        Refusal::new("foreign_address", texts::foreign_address(language)).with_status(400)
    })?;
    let url = url.as_str().trim_end_matches('/').to_owned();
    Ok((url != active.integration.crm_url.trim_end_matches('/')).then_some(url))
}

async fn take_over(
    context: &CallbackContext,
    active: &ActiveIntegration,
    activity: &Activity,
    moved: Option<&str>,
) -> store::Result<()> {
    let ledger = &context.tools.store;
    let mut told = Vec::new();
    let stored = ledger
        .change_integration(active.id(), |integration| -> store::Result<()> {
            told.clear();
            if let Some(state) = wanted_state(activity, &integration.state) {
                told.push(if state == IntegrationState::Active { Event::SwitchedOn } else { Event::SwitchedOff });
                integration.state = state;
            }
            if let Some(url) = moved {
                told.push(Event::AccountMoved);
                url.clone_into(&mut integration.crm_url);
            }
            Ok(())
        })
        .await?;
    if !told.is_empty() {
        let mut entry = Entry::of(context.tools.clock.now(), What::Operator, told);
        entry.integration = Some(active.id());
        context.tools.journal.write(entry);
    }
    if moved.is_some() {
        ledger.tell_of_move(&stored, &active.integration.crm_url, &Person::Crm).await?;
    }
    context.integrations.refresh().await.map(|_| ())
}

/// What RetailCRM's switch makes of an integration. Who paused it for another reason resumes it.
fn wanted_state(activity: &Activity, now: &IntegrationState) -> Option<IntegrationState> {
    match (activity.is_working(), now) {
        (true, IntegrationState::Paused { by: PausedBy::Crm, .. }) => Some(IntegrationState::Active),
        (false, IntegrationState::Active) => {
            let reason = if activity.freeze { "frozen in RetailCRM" } else { "switched off in RetailCRM" };
            Some(IntegrationState::Paused { by: PausedBy::Crm, reason: reason.to_owned() })
        }
        _ => None,
    }
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
