//! The settings page RetailCRM opens for the shop's manager: «Настройки», «Отладка»,
//! «Триггеры». Server-rendered; nothing on it needs JavaScript.

pub mod form;
mod html;
pub mod session;
mod settings;
mod tabs;
pub mod texts;
pub(crate) mod views;
mod visit;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;

use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use futures_util::FutureExt as _;
use shared::domain::Language;
use url::Url;

use crate::State;
use crate::body;
use crate::callbacks::form::Fields;
use crate::reply::Reply;
use crate::settings_page::texts::Texts;
use crate::settings_page::visit::{Stop, Visit, chosen_language};

/// Longest form, bytes.
const FORM_LIMIT: usize = 64 * 1024;

/// What a path shows or does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    Settings,
    Save,
    Check,
    Debug,
    Replay,
    Triggers,
    Style,
    Logo,
    Unknown,
}

impl Page {
    /// `None` when the path is none of ours.
    pub fn of(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        Some(match parts.as_slice() {
            ["retailcrm", "account"] => Self::Settings,
            ["retailcrm", "logo.svg"] => Self::Logo,
            ["retailcrm", "account", name] => match *name {
                "settings" => Self::Save,
                "check" => Self::Check,
                "debug" => Self::Debug,
                "replay" => Self::Replay,
                "triggers" => Self::Triggers,
                "style.css" => Self::Style,
                _ => Self::Unknown,
            },
            ["retailcrm", "account", ..] => Self::Unknown,
            _ => return None,
        })
    }
}

/// Answers anything of the page.
pub async fn answer(state: &State, page: Page, request: Request, from: IpAddr, language: Language) -> Response {
    match page {
        Page::Style => return html::style(),
        Page::Logo => return html::logo(),
        _ => {}
    }
    let (head, body) = request.into_parts();
    let base = base_path(&state.0.config.public_url);
    let handled = AssertUnwindSafe(async {
        let body = body::read_body(body, FORM_LIMIT, state.0.patience.body).await.map_err(|reply| match reply {
            Reply::TooLarge => Stop::BadForm,
            _ => Stop::NotAllowed,
        })?;
        let kind = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let fields = Fields::read(head.uri.query(), kind, &body).map_err(|_| Stop::BadForm)?;
        respond(state, page, &head, &fields, &base).await
    });
    match handled.catch_unwind().await.unwrap_or(Err(Stop::Unavailable)) {
        Ok(response) => response,
        Err(stop) => {
            let t = Texts::of(chosen_language(&head, None, language));
            let (status, heading, text) = match stop {
                Stop::Forbidden => (StatusCode::FORBIDDEN, t.forbidden, t.forbidden_text),
                Stop::NotFound => (StatusCode::NOT_FOUND, t.not_found, t.forbidden_text),
                Stop::NotAllowed => (StatusCode::METHOD_NOT_ALLOWED, t.not_found, t.forbidden_text),
                Stop::BadForm => (StatusCode::BAD_REQUEST, t.not_found, t.forbidden_text),
                Stop::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, t.unavailable, t.unavailable_text),
            };
            let limited = status.is_client_error() && !state.0.failures.allow(from);
            let status = if limited { StatusCode::TOO_MANY_REQUESTS } else { status };
            html::page(status, views::Message { t, base: &base, heading, text }, None)
        }
    }
}

/// What stands before our paths when a proxy serves us below its root.
fn base_path(public_url: &str) -> String {
    Url::parse(public_url).map(|url| url.path().trim_end_matches('/').to_owned()).unwrap_or_default()
}

async fn respond(state: &State, page: Page, head: &Parts, fields: &Fields, base: &str) -> Result<Response, Stop> {
    let post = head.method == Method::POST;
    if !post && head.method != Method::GET {
        return Err(Stop::NotAllowed);
    }
    if page == Page::Settings && post {
        return Ok(Visit::begin(state, fields, base).await?.redirect(""));
    }
    let visit = Visit::of(state, head, fields, base).await?;
    let acts = matches!(page, Page::Save | Page::Check | Page::Replay);
    if acts != post {
        // The address of an action, opened anew after its session: back to where it was.
        return if acts { Ok(visit.redirect("")) } else { Err(Stop::NotAllowed) };
    }
    if acts && !visit.session.accepts(fields.text("csrf").unwrap_or(""), &state.0.store.key) {
        return Err(Stop::Forbidden);
    }
    match page {
        Page::Settings => Ok(visit.settings(fields)),
        Page::Save => visit.save(fields).await,
        Page::Check => Ok(visit.check(fields).await),
        Page::Debug => visit.debug(fields).await,
        Page::Replay => visit.replay(fields).await,
        Page::Triggers => visit.triggers().await,
        Page::Style | Page::Logo | Page::Unknown => Err(Stop::NotFound),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_page_are_recognised() {
        assert_eq!(Page::of("/retailcrm/account"), Some(Page::Settings));
        assert_eq!(Page::of("//retailcrm/account/"), Some(Page::Settings));
        assert_eq!(Page::of("/retailcrm/account/debug"), Some(Page::Debug));
        assert_eq!(Page::of("/retailcrm/account/nothing"), Some(Page::Unknown));
        assert_eq!(Page::of("/retailcrm/callback/save"), None);
    }

    #[test]
    fn a_proxy_s_path_is_kept_before_ours() {
        assert_eq!(base_path("https://bridge.example"), "");
        assert_eq!(base_path("https://bridge.example/measoft/"), "/measoft");
    }
}
