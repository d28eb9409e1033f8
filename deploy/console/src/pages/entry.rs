//! Coming in and going out, and what those read who may not.

use std::net::IpAddr;

use askama::Template;
use axum::http::StatusCode;
use axum::http::request::Parts as Head;
use axum::response::Response;
use shared::domain::Language;
use shared::store::console::{NoEntry, SESSION_LASTS};

use crate::Console;
use crate::form::Fields;
use crate::html;
use crate::refusals::{Refused, Unwelcome};
use crate::texts::Texts;
use crate::visit::{self, Stop, Visit};

/// What lets somebody in.
const OPEN: &str = "bridge console open --role operator --as NAME";

#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    t: &'static Texts,
    heading: &'a str,
    text: &'a str,
    command: &'a str,
    /// Whether there is a provider to sign in at.
    signs_in: bool,
}

#[derive(Template)]
#[template(path = "enter.html")]
struct Enter<'a> {
    t: &'static Texts,
    link: &'a str,
}

/// The page of a one-time address. Looking at it uses nothing up: programs look at addresses too.
pub fn form(parts: &[String], language: Language) -> Response {
    let link = parts.first().map_or("", String::as_str);
    html::page(StatusCode::OK, &Enter { t: Texts::of(language), link })
}

/// Uses a one-time address up: a session, or whom the address was made for and why it opens nothing.
pub async fn enter(
    console: &Console,
    head: &Head,
    form: &Fields,
    from: IpAddr,
) -> Result<Result<Response, Unwelcome>, Stop> {
    if !from.to_canonical().is_loopback() {
        return Ok(Err((None, Refused::Untrusted)));
    }
    let link = form.text("link").unwrap_or_default();
    let entered = console.0.store.enter_console(link, visit::session_cookie(&head.headers)).await?;
    Ok(match entered {
        Ok((token, _)) => {
            let mut response = html::see("/");
            visit::hold(&mut response, &head.headers, Some(token.expose()), SESSION_LASTS.as_secs(), false);
            Ok(response)
        }
        Err(NoEntry::Unknown) => Err((None, Refused::UnknownLink)),
        Err(NoEntry::Expired(person)) => Err((Some(person.who()), Refused::ExpiredLink)),
        Err(NoEntry::Used(person)) => Err((Some(person.who()), Refused::UsedLink)),
    })
}

/// What somebody reads who is not let in.
pub fn refused(why: Refused, language: Language) -> Response {
    let t = Texts::of(language);
    let (text, command, signs_in) = match why {
        Refused::ExpiredLink => (t.link_expired, OPEN, false),
        Refused::UsedLink => (t.link_used, OPEN, false),
        Refused::OtherBrowser => (t.sign_in_other, "", true),
        Refused::LateSignIn => (t.sign_in_late, "", true),
        Refused::UsedSignIn => (t.sign_in_used, "", true),
        Refused::ByProvider => (t.sign_in_denied, "", true),
        Refused::Code => (t.sign_in_code, "", true),
        Refused::IdToken => (t.sign_in_token, "", true),
        Refused::NoName => (t.sign_in_nameless, "CONSOLE_OIDC_USER_CLAIM", true),
        Refused::NoGroup => (t.sign_in_no_group, "bridge-viewer, bridge-operator, bridge-owner", true),
        _ => (t.link_unknown, OPEN, false),
    };
    html::page(StatusCode::FORBIDDEN, &Message { t, heading: t.not_signed_in, text, command, signs_in })
}

pub async fn leave(visit: &Visit<'_>, head: &Head) -> Result<Response, Stop> {
    if let Some(session) = &visit.visitor.session {
        visit.store().end_console_session(session, &visit.who()).await?;
    }
    let mut response = html::see("/");
    visit::hold(&mut response, &head.headers, None, 0, false);
    Ok(response)
}

/// What is read instead of a page; `provider`: there is one to sign in at.
pub fn stopped(stop: Stop, provider: bool, language: Language) -> Response {
    let t = Texts::of(language);
    let (status, heading, text, command) = match stop {
        Stop::NotSignedIn => (StatusCode::UNAUTHORIZED, t.not_signed_in, t.not_signed_in_text, OPEN),
        Stop::Forbidden => (StatusCode::FORBIDDEN, t.forbidden, t.forbidden_text, ""),
        Stop::NotFound => (StatusCode::NOT_FOUND, t.not_found, t.not_found_text, ""),
        Stop::BadForm => (StatusCode::BAD_REQUEST, t.bad_form, t.bad_form_text, ""),
        Stop::BadFilter => (StatusCode::BAD_REQUEST, t.bad_filter, t.bad_filter_text, ""),
        Stop::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, t.unavailable, t.unavailable_text, "bridge doctor"),
        Stop::NoProvider => (StatusCode::BAD_GATEWAY, t.unavailable, t.no_provider, ""),
        Stop::NotItsClient => {
            let settings = "CONSOLE_OIDC_CLIENT_ID, CONSOLE_OIDC_CLIENT_SECRET";
            (StatusCode::BAD_GATEWAY, t.unavailable, t.not_its_client, settings)
        }
    };
    let signs_in = provider && matches!(stop, Stop::NotSignedIn | Stop::NoProvider | Stop::NotItsClient);
    html::page(status, &Message { t, heading, text, command, signs_in })
}
