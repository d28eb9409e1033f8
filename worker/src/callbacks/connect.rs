//! RetailCRM's marketplace hands over a key of its own making: the module is registered with it, and
//! the key is stored once that has worked.

use serde_json::{Value, json};
use shared::domain::crm_account;
use shared::draft::Draft;
use shared::retailcrm::CrmError;
use shared::store::audit::{Act, NewAudit, Who};
use shared::store::{self, StoreError};

use crate::callbacks::check::crm_words;
use crate::callbacks::registration::{self, Registered};
use crate::callbacks::{Answered, CallbackContext, Refusal, Request, result, texts};

/// Body: `{"draft", "made"}`, the integration with the new key, and whether it was made for it.
/// `{"another": true}`: the key's account is not this integration's, although the address is one.
pub async fn connect(context: &CallbackContext, request: &Request) -> Answered {
    let (language, store) = (request.language(), &context.tools.store);
    let sealed = request.body.get("draft").and_then(Value::as_str).unwrap_or_default();
    let draft = Draft::open(sealed, request.active.id(), &store.key);
    let draft = draft.ok_or_else(|| texts::unavailable(language))?;
    let mut wanted = (*request.active.integration).clone();
    draft.clone().put_into(&mut wanted);
    let unstored = |error: StoreError| {
        tracing::warn!(%error, "a connection from RetailCRM's marketplace could not be stored");
        texts::unavailable(language)
    };
    let first = registration::is_first(store, &wanted).await.map_err(unstored)?;
    let active = context.integrations.trial(wanted).map_err(|why| Refusal::new("crm", why))?;
    let (own, is_made) = (&request.active.integration, request.body.get("made") == Some(&Value::Bool(true)));
    if !is_made && own.secrets.crm_api_key != *draft.crm_api_key() {
        // Anybody can enter an address: an account is what the key opens.
        match active.vendors.crm.module(&own.code(&context.config.module_code)).await {
            Ok(module) if module.client_id.as_ref() == Some(&own.secrets.client_id) => {}
            Ok(_) | Err(CrmError::NotFound { .. }) => return Ok(result(json!({ "another": true }))),
            Err(error) => return Err(Refusal::new("crm", crm_words(language, &error))),
        }
    }
    let done = registration::register(&active, first, &context.config).await;
    let done = done.map_err(|error| Refusal::new("crm", crm_words(language, &error)))?;
    keep(context, request, draft, &done).await.map_err(unstored)?;
    Ok(result(json!({ "code": done.code })))
}

async fn keep(context: &CallbackContext, request: &Request, draft: Draft, done: &Registered) -> store::Result<()> {
    let (id, store) = (request.active.id(), &context.tools.store);
    let who = Who::at_console("RetailCRM's marketplace", None);
    let change = |integration: &mut shared::domain::Integration| -> store::Result<()> {
        integration.secrets.crm_api_key = draft.crm_api_key().clone();
        Ok(())
    };
    // All of one key are one account, and stay it.
    for one in crm_account::siblings(&request.active.integration, store.integrations().await?) {
        store.change_integration_by(one.id, Some((&who, Act::Edited)), change).await?;
    }
    let mut entry = NewAudit::of_integration(&who, Act::Registered, id);
    entry.after.insert("code".to_owned(), json!(done.code));
    entry.after.insert("widget".to_owned(), json!(done.widget.as_str()));
    store.note_act(&entry).await?;
    context.integrations.refresh().await.map(|_| ())
}
