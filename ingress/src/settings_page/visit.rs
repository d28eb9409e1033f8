//! Who has a session on the page, and what every page of it needs.

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::Value;
use shared::domain::{Integration, IntegrationId, IntegrationState, Language};
use shared::phrases::Reader;
use shared::retailcrm::AllowedHosts;
use shared::store::StoreError;
use shared::store::journal::{Entry, What};
use shared::story::Event;

use crate::callbacks::form::Fields;
use crate::keys::KeyLookup;
use crate::settings_page::html;
use crate::settings_page::session::{self, Session};
use crate::settings_page::texts::Texts;
use crate::{State, ask};

/// Cookie of the chosen language.
const LANGUAGE: &str = "measoft_language";

/// What ends a request early.
pub(super) enum Stop {
    Forbidden,
    NotFound,
    NotAllowed,
    BadForm,
    Unavailable,
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "the settings page has no database");
        Self::Unavailable
    }
}

pub(super) struct Visit<'a> {
    pub(super) state: &'a State,
    pub(super) integration: Integration,
    pub(super) session: Session,
    pub(super) language: Language,
    /// What stands before our paths.
    pub(super) base: &'a str,
    /// The language was chosen just now and is to be remembered.
    remember: bool,
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok())
}

/// As asked for in the address, as asked for before, else as the integration has it.
pub(super) fn chosen_language(head: &Parts, asked: Option<&str>, otherwise: Language) -> Language {
    match asked.or_else(|| session::named(cookies(&head.headers), LANGUAGE)) {
        Some("en") => Language::En,
        Some("ru") => Language::Ru,
        _ => otherwise,
    }
}

/// An integration that is in service.
pub(super) async fn stored(state: &State, id: IntegrationId) -> Result<Integration, Stop> {
    match state.0.store.integration(id).await? {
        Some(found) if found.state != IntegrationState::Removed => Ok(found),
        _ => Err(Stop::Forbidden),
    }
}

impl<'a> Visit<'a> {
    /// RetailCRM's form post: who shows the `clientId` gets a session.
    pub(super) async fn begin(state: &'a State, fields: &Fields, base: &'a str) -> Result<Self, Stop> {
        let id = match state.0.keys.find_client(fields.text("clientId").unwrap_or("")) {
            KeyLookup::Known(known) => known.integration,
            KeyLookup::Unknown => return Err(Stop::Forbidden),
            KeyLookup::NotLoaded => return Err(Stop::Unavailable),
        };
        let integration = stored(state, id).await?;
        let session = Session::begin(id, state.0.clock.now());
        let language = integration.settings.language;
        Ok(Self { state, integration, session, language, base, remember: false })
    }

    /// Of who has a session.
    pub(super) async fn of(state: &'a State, head: &Parts, fields: &Fields, base: &'a str) -> Result<Self, Stop> {
        let now = state.0.clock.now();
        let claimed = session::cookie(cookies(&head.headers)).and_then(Session::claimed);
        let Some((session, signature)) = claimed else { return Err(Stop::Forbidden) };
        let integration = stored(state, session.integration).await?;
        if !session.is_genuine(&signature, &integration, &state.0.store.key, now) {
            return Err(Stop::Forbidden);
        }
        let asked = fields.text("lang").filter(|code| ["ru", "en"].contains(code));
        let language = chosen_language(head, asked, integration.settings.language);
        let session = session.renewed(now);
        Ok(Self { state, integration, session, language, base, remember: asked.is_some() })
    }

    pub(super) fn reader(&self) -> Reader {
        Reader::new(self.language, self.state.0.config.display_zone.clone())
    }

    pub(super) fn t(&self) -> &'static Texts {
        Texts::of(self.language)
    }

    pub(super) fn token(&self) -> String {
        self.session.token(&self.state.0.store.key)
    }

    pub(super) fn allowed(&self) -> AllowedHosts {
        AllowedHosts::parse(&self.state.0.config.crm_allowed_hosts).unwrap_or_default()
    }

    /// What a worker answers; `None` when nothing can be had.
    pub(super) async fn ask(&self, action: &str, request: Value) -> Option<Value> {
        ask::result(self.state, self.integration.id, action, request).await
    }

    pub(super) fn note(&self, event: Event) {
        let mut entry = Entry::new(self.state.0.clock.now(), What::Operator, event);
        entry.integration = Some(self.integration.id);
        self.state.0.journal.write(entry);
    }

    /// `Set-Cookie` values of every answer: the session lasts on while it is used.
    fn cookies(&self) -> Vec<String> {
        let secure = if self.state.0.config.public_url.starts_with("https://") { "; Secure" } else { "" };
        let path = format!("{}/retailcrm/account", self.base);
        let sealed = self.session.sealed(&self.integration, &self.state.0.store.key);
        let cookie = |name: &str, value: &str, lasts: u64| {
            format!("{name}={value}; Path={path}; Max-Age={lasts}; HttpOnly; SameSite=Lax{secure}")
        };
        let mut cookies = vec![cookie(session::COOKIE, &sealed, session::LASTS.as_secs())];
        if self.remember {
            cookies.push(cookie(LANGUAGE, self.t().code, 365 * 24 * 3600));
        }
        cookies
    }

    pub(super) fn redirect(&self, rest: &str) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SEE_OTHER;
        let to = format!("{}/retailcrm/account{rest}", self.base);
        html::set(response.headers_mut(), header::LOCATION, &to);
        self.with_cookies(response)
    }

    fn with_cookies(&self, mut response: Response) -> Response {
        for cookie in self.cookies() {
            if let Ok(value) = HeaderValue::from_str(&cookie) {
                response.headers_mut().append(header::SET_COOKIE, value);
            }
        }
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    pub(super) fn page(&self, status: StatusCode, view: impl askama::Template) -> Response {
        self.with_cookies(html::page(status, view, Some(&self.integration.crm_url)))
    }
}
