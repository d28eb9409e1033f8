//! One-click connection from RetailCRM's marketplace (protocols/retailcrm.md#connection): RetailCRM
//! asks what rights the module needs, makes a key with them and hands it over, signed with the
//! module's secret. The integration waits, paused, until the shop's manager has entered the MeaSoft
//! cabinet on its page, which RetailCRM opens next.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::crypto::{is_signed_with, random_number};
use shared::domain::{Fault, Integration, IntegrationState, Language, PausedBy, Secret, Settings, crm_account};
use shared::draft::Draft;
use shared::message::CallbackReply;
use shared::retailcrm::{AllowedHosts, Credentials, check};
use shared::store;
use shared::store::audit::Who;
use shared::store::integrations::NewIntegration;

use crate::State;
use crate::ask::call;
use crate::callbacks::{Sentence, Told, fields_of, told};

/// Where both requests go; below the public address.
const PATH: [&str; 2] = ["retailcrm", "connect"];
/// Why a new integration waits.
const PENDING: &str = "connected in RetailCRM's marketplace; the MeaSoft cabinet is not entered yet";

/// Whether a path is this one, repeated slashes forgiven.
pub(crate) fn is_path(path: &str) -> bool {
    path.split('/').filter(|part| !part.is_empty()).eq(PATH)
}

/// What RetailCRM hands over.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Registration {
    /// HMAC-SHA256 of the key under the module's secret, in hexadecimal.
    token: String,
    api_key: String,
    system_url: String,
}

pub(crate) async fn answer(
    state: &State,
    secret: &Secret,
    request: Request,
    from: IpAddr,
    language: Language,
) -> Response {
    let handled = async {
        if request.method() == Method::GET { Told::Reply(offer(state)) } else { connect(state, secret, request).await }
    };
    told(state, handled, "connect", from, language).await
}

fn public(state: &State, path: &str) -> String {
    format!("{}/{path}", state.0.config.public_url.trim_end_matches('/'))
}

/// What rights the module needs, and where the key is to go.
fn offer(state: &State) -> CallbackReply {
    let (scopes, to) = (Credentials::NEEDED_SCOPES, public(state, &PATH.join("/")));
    let body = json!({ "success": true, "scopes": scopes, "registerUrl": to });
    CallbackReply::json(200, body.to_string().into_bytes())
}

async fn connect(state: &State, secret: &Secret, request: Request) -> Told {
    let fields = match fields_of(state, request).await {
        Ok((_, fields)) => fields,
        Err(refused) => return refused,
    };
    let given = fields.json("register").and_then(Result::ok).and_then(|given| serde_json::from_value(given).ok());
    let Some(Registration { token, api_key, system_url }) = given else {
        return Told::Stranger(StatusCode::BAD_REQUEST, Sentence::NoInput);
    };
    if !is_signed_with(secret, &api_key, &token) {
        return Told::Stranger(StatusCode::UNAUTHORIZED, Sentence::NotSigned);
    }
    let allowed = AllowedHosts::parse(&state.0.config.crm_allowed_hosts).unwrap_or_default();
    let Ok(url) = check(&system_url, &allowed) else {
        return Told::Stranger(StatusCode::BAD_REQUEST, Sentence::ForeignAddress);
    };
    let (url, key) = (url.as_str().trim_end_matches('/').to_owned(), Secret::new(api_key));
    let registered = async {
        let is_registered = register_one(state, &url, &key).await?;
        // RetailCRM sends the manager to the page at once.
        state.0.keys.refresh(&state.0.store).await.map(|_| is_registered)
    };
    match registered.await {
        Ok(Ok(())) => {
            let body = json!({ "success": true, "accountUrl": public(state, "retailcrm/account") });
            Told::Reply(CallbackReply::json(201, body.to_string().into_bytes()))
        }
        Ok(Err(refused)) => refused,
        Err(error) => {
            tracing::warn!(%error, "a connection from RetailCRM's marketplace has no database");
            Told::Error(StatusCode::OK, Sentence::Starting)
        }
    }
}

/// Registers the account's integration with the new key, or a new one that is paused: a repeated
/// press of the button makes no second one. Others may have entered the same address; whose account
/// it is, the worker asks RetailCRM.
async fn register_one(state: &State, url: &str, key: &Secret) -> store::Result<Result<(), Told>> {
    let (store, account) = (&state.0.store, crm_account::address(url));
    let known = store.integrations().await?.into_iter().filter(|i| crm_account::address(&i.crm_url) == account);
    for one in known {
        match register(state, &one, key, false).await {
            Ok(Registered::AnothersAccount) => {}
            Ok(Registered::Done) => return Ok(Ok(())),
            Err(refused) => return Ok(Err(refused)),
        }
    }
    let made = make(state, url, key).await?;
    let done = register(state, &made, key, true).await;
    if done.is_err() {
        // A key that does not work there is not kept.
        store.set_integration_state(made.id, &IntegrationState::Removed).await?;
    }
    Ok(done.map(|_| ()))
}

async fn make(state: &State, url: &str, key: &Secret) -> store::Result<Integration> {
    let store = &state.0.store;
    let (first, last) = (*Settings::STREAMS.start(), *Settings::STREAMS.end());
    let drawn = random_number().unsigned_abs() % u64::from(last - first + 1);
    let stream_id = first + u32::try_from(drawn).unwrap_or_default();
    let new = NewIntegration {
        crm_url: url.to_owned(),
        crm_api_key: key.clone(),
        measoft_url: state.0.config.measoft_url.clone(),
        settings: Settings { stream_id, follows_measoft_url: true, ..Settings::default() },
        ..NewIntegration::default()
    };
    let made = store.add_integration_by(new, Some(&Who::at_console("RetailCRM's marketplace", None))).await?;
    let by = PausedBy::Credentials(Fault::Courier);
    let paused = IntegrationState::Paused { by, reason: PENDING.to_owned() };
    store.set_integration_state(made.id, &paused).await?;
    Ok(made)
}

enum Registered {
    Done,
    AnothersAccount,
}

/// Has a worker register the module with the new key, which is stored only if it works there.
async fn register(state: &State, integration: &Integration, key: &Secret, made: bool) -> Result<Registered, Told> {
    let mut with_key = integration.clone();
    with_key.secrets.crm_api_key = key.clone();
    let draft = Draft::of(&with_key).seal(integration.id, &state.0.store.key);
    let reply = call(state, integration.id, "connect", json!({ "draft": draft, "made": made }), None).await;
    let reply = reply.map_err(|_| Told::Error(StatusCode::OK, Sentence::Deadline))?;
    let said: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    match (said["success"] == true, said["result"]["another"] == true) {
        (true, false) => Ok(Registered::Done),
        (true, true) => Ok(Registered::AnothersAccount),
        (false, _) => Err(Told::Reply(reply)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_path_is_recognised_however_it_was_joined() {
        assert!(is_path("/retailcrm/connect") && is_path("//retailcrm/connect/"));
        assert!(!is_path("/retailcrm/connect/x") && !is_path("/retailcrm/account"));
    }
}
