//! Signing in at the provider: away to it, and back.

use askama::Template;
use axum::http::StatusCode;
use axum::http::request::Parts as Head;
use axum::response::Response;
use shared::domain::Language;
use shared::store::audit::Who;
use shared::store::console::{Person, SESSION_LASTS, Vouched};

use crate::Console;
use crate::form::Fields;
use crate::html;
use crate::oidc::{Failure, LASTS};
use crate::refusals::{Refused, Unwelcome};
use crate::texts::Texts;
use crate::visit::{self, Stop};

/// What a browser reads that comes back. It is a page and no redirect: the session's cookie is not
/// sent with what another site began, a redirect of its own among that.
#[derive(Template)]
#[template(path = "signed_in.html")]
struct SignedIn {
    t: &'static Texts,
}

/// Away to the provider.
pub async fn begin(console: &Console, head: &Head) -> Result<Response, Stop> {
    let oidc = console.0.oidc.as_ref().ok_or(Stop::NotSignedIn)?;
    let store = &console.0.store;
    let begun = oidc.begin(&store.key, store.clock.now()).await.map_err(stop)?;
    let mut response = html::see(&begun.url);
    visit::hold_sign_in(&mut response, &head.headers, Some(&begun.cookie), LASTS.as_secs(), oidc.is_https());
    Ok(response)
}

/// Back from it: a session, or who is refused and why.
pub async fn end(
    console: &Console,
    head: &Head,
    said: &Fields,
    language: Language,
) -> Result<Result<Response, Unwelcome>, Stop> {
    let oidc = console.0.oidc.as_ref().ok_or(Stop::NotSignedIn)?;
    let store = &console.0.store;
    let known = match oidc.end(&store.key, store.clock.now(), visit::sign_in_cookie(&head.headers), said).await {
        Ok(known) => known,
        Err(Failure::Refused(why)) => return Ok(Err((None, why))),
        Err(failure) => return Err(stop(failure)),
    };
    let Some(name) = known.name else { return Ok(Err((None, Refused::NoName))) };
    let groups = known.groups.iter().flat_map(|text| text.split(visit::BETWEEN));
    let Some(role) = visit::role_of(groups) else {
        return Ok(Err((Some(Who::at_console(name, None)), Refused::NoGroup)));
    };
    let by = Vouched { issuer: &oidc.settings.issuer, subject: &known.subject };
    let person = Person { name, os_user: None, role };
    let token = store.sign_in_console(person, by, visit::session_cookie(&head.headers)).await?;
    let mut response = html::page(StatusCode::OK, &SignedIn { t: Texts::of(language) });
    visit::hold(&mut response, &head.headers, Some(token.expose()), SESSION_LASTS.as_secs(), oidc.is_https());
    Ok(Ok(response))
}

fn stop(failure: Failure) -> Stop {
    match failure {
        Failure::Refused(_) => Stop::Forbidden,
        Failure::Provider => Stop::NoProvider,
        Failure::NotItsClient => Stop::NotItsClient,
    }
}
