//! The settings page RetailCRM opens for the shop's manager: «Настройки», «Отладка»,
//! «Триггеры». Server-rendered; nothing on it needs JavaScript.

pub mod form;
pub mod session;
pub mod texts;
mod views;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;

use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use shared::domain::crm_account;
use shared::domain::{Integration, IntegrationId, IntegrationState, Language, Secret};
use shared::draft::Draft;
use shared::message::CallbackReply;
use shared::retailcrm::AllowedHosts;
use shared::store::StoreError;
use shared::store::dead_letters::{DeadFilter, DeadLetter};
use shared::store::journal::Search;
use shared::store::replays::Replay;
use shared::trigger_forms::{self, Served, Tied};
use url::Url;

use crate::State;
use crate::ask;
use crate::body;
use crate::callbacks::form::Fields;
use crate::keys::Found;
use crate::reply::Reply;
use crate::settings_page::form::{Entered, Errors};
use crate::settings_page::session::Session;
use crate::settings_page::texts::Texts;

/// Longest form, bytes.
const FORM_LIMIT: usize = 64 * 1024;
/// Entries of the journal on one page.
const SHOWN: u32 = 100;
/// A code is looked up for so long before it is saved unseen.
const CODE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
/// Cookie of the chosen language.
const LANGUAGE: &str = "measoft_language";

const STYLE: &str = include_str!("../../static/account.css");
const LOGO: &str = include_str!("../../static/logo.svg");

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
    #[must_use]
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

/// What ends a request early.
enum Stop {
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

/// Answers anything of the page.
pub async fn answer(state: &State, page: Page, request: Request, from: IpAddr, language: Language) -> Response {
    if let Some(file) = asset(page) {
        return file;
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
            html(status, views::Message { t, base: &base, heading, text }, None)
        }
    }
}

fn asset(page: Page) -> Option<Response> {
    let (kind, text) = match page {
        Page::Style => ("text/css; charset=utf-8", STYLE),
        Page::Logo => ("image/svg+xml", LOGO),
        _ => return None,
    };
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Some(response)
}

/// What stands before our paths when a proxy serves us below its root.
fn base_path(public_url: &str) -> String {
    Url::parse(public_url).map(|url| url.path().trim_end_matches('/').to_owned()).unwrap_or_default()
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok())
}

/// As asked for in the address, as asked for before, else as the integration has it.
fn chosen_language(head: &Parts, asked: Option<&str>, otherwise: Language) -> Language {
    match asked.or_else(|| session::named(cookies(&head.headers), LANGUAGE)) {
        Some("en") => Language::En,
        Some("ru") => Language::Ru,
        _ => otherwise,
    }
}

/// Who has a session here, and what every page of it needs.
struct Visit<'a> {
    state: &'a State,
    integration: Integration,
    session: Session,
    language: Language,
    base: &'a str,
    /// The language was chosen just now and is to be remembered.
    remember: bool,
}

async fn respond(state: &State, page: Page, head: &Parts, fields: &Fields, base: &str) -> Result<Response, Stop> {
    let post = head.method == Method::POST;
    if !post && head.method != Method::GET {
        return Err(Stop::NotAllowed);
    }
    if page == Page::Settings && post {
        return open(state, fields, base).await;
    }
    let visit = visit(state, head, fields, base).await?;
    let acts = matches!(page, Page::Save | Page::Check | Page::Replay);
    if acts != post {
        // The address of an action, opened anew after its session: back to where it was.
        return if acts { Ok(visit.redirect("")) } else { Err(Stop::NotAllowed) };
    }
    if acts && !visit.session.accepts(fields.text("csrf").unwrap_or(""), &state.0.store.key) {
        return Err(Stop::Forbidden);
    }
    match page {
        Page::Settings => Ok(visit.settings(Shown {
            values: Entered::of(&visit.integration),
            saved: fields.text("saved").is_some(),
            ..Shown::default()
        })),
        Page::Save => visit.save(fields).await,
        Page::Check => Ok(visit.check(fields).await),
        Page::Debug => visit.debug(fields).await,
        Page::Replay => visit.replay(fields).await,
        Page::Triggers => visit.triggers().await,
        Page::Style | Page::Logo | Page::Unknown => Err(Stop::NotFound),
    }
}

/// RetailCRM's form post: who shows the `clientId` gets a session.
async fn open(state: &State, fields: &Fields, base: &str) -> Result<Response, Stop> {
    let id = match state.0.keys.find_client(fields.text("clientId").unwrap_or("")) {
        Found::Known(known) => known.integration,
        Found::Unknown => return Err(Stop::Forbidden),
        Found::NotLoaded => return Err(Stop::Unavailable),
    };
    let integration = integration(state, id).await?;
    let session = Session::begin(id, state.0.clock.now());
    let language = integration.settings.language;
    let visit = Visit { state, integration, session, language, base, remember: false };
    Ok(visit.redirect(""))
}

async fn integration(state: &State, id: IntegrationId) -> Result<Integration, Stop> {
    match state.0.store.integration(id).await? {
        Some(found) if found.state != IntegrationState::Removed => Ok(found),
        _ => Err(Stop::Forbidden),
    }
}

async fn visit<'a>(state: &'a State, head: &Parts, fields: &Fields, base: &'a str) -> Result<Visit<'a>, Stop> {
    let now = state.0.clock.now();
    let claimed = session::cookie(cookies(&head.headers)).and_then(Session::claimed);
    let Some((session, signature)) = claimed else { return Err(Stop::Forbidden) };
    let integration = integration(state, session.integration).await?;
    if !session.is_genuine(&signature, &integration, &state.0.store.key, now) {
        return Err(Stop::Forbidden);
    }
    let asked = fields.text("lang").filter(|code| ["ru", "en"].contains(code));
    let language = chosen_language(head, asked, integration.settings.language);
    let session = session.renewed(now);
    Ok(Visit { state, integration, session, language, base, remember: asked.is_some() })
}

/// What the settings page shows beside the stored values.
#[derive(Default)]
struct Shown {
    values: Entered,
    errors: Errors,
    saved: bool,
    problem: Option<String>,
    findings: Vec<views::Finding>,
    /// What was checked is not saved.
    unsaved: bool,
    /// Secrets entered and not saved yet.
    draft: Option<String>,
    /// The [mark](Entered::mark) the values are compared with when they are saved; the stored
    /// values' own when there is none.
    seen: Option<String>,
    /// Others changed the settings while the form was open.
    moved: bool,
}

impl Visit<'_> {
    fn t(&self) -> &'static Texts {
        Texts::of(self.language)
    }

    fn token(&self) -> String {
        self.session.token(&self.state.0.store.key)
    }

    /// `Set-Cookie` values of every answer: the session lasts on while it is used.
    fn cookies(&self) -> Vec<String> {
        let secure = if self.state.0.config.public_url.starts_with("https://") { "; Secure" } else { "" };
        let path = format!("{}/retailcrm/account", self.base);
        let sealed = self.session.sealed(&self.integration, &self.state.0.store.key);
        let mut cookies = vec![format!(
            "{}={sealed}; Path={path}; Max-Age={}; HttpOnly; SameSite=Lax{secure}",
            session::COOKIE,
            session::LASTS.as_secs()
        )];
        if self.remember {
            let code = self.t().code;
            cookies.push(format!("{LANGUAGE}={code}; Path={path}; Max-Age=31536000; HttpOnly; SameSite=Lax{secure}"));
        }
        cookies
    }

    fn redirect(&self, rest: &str) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SEE_OTHER;
        let to = format!("{}/retailcrm/account{rest}", self.base);
        set(response.headers_mut(), header::LOCATION, &to);
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

    fn page(&self, status: StatusCode, view: impl askama::Template) -> Response {
        self.with_cookies(html(status, view, Some(&self.integration.crm_url)))
    }

    fn settings(&self, shown: Shown) -> Response {
        let status = match (shown.errors.is_empty(), shown.moved) {
            (false, _) => StatusCode::UNPROCESSABLE_ENTITY,
            (true, true) => StatusCode::CONFLICT,
            (true, false) => StatusCode::OK,
        };
        let paused = match &self.integration.state {
            IntegrationState::Paused { reason, .. } => Some(reason.clone()),
            _ => None,
        };
        let view = views::Settings {
            t: self.t(),
            name: &self.integration.title,
            base: self.base,
            tab: "settings",
            token: self.token(),
            values: shown.values,
            errors: shown.errors,
            saved: shown.saved,
            problem: shown.problem,
            paused,
            findings: shown.findings,
            unsaved: shown.unsaved,
            draft: shown.draft,
            seen: shown.seen.unwrap_or_else(|| Entered::of(&self.integration).mark()),
        };
        self.page(status, view)
    }

    fn allowed(&self) -> AllowedHosts {
        AllowedHosts::parse(&self.state.0.config.crm_allowed_hosts).unwrap_or_default()
    }

    /// What stands in the form. Secrets entered before a check come back sealed.
    fn entered(&self, fields: &Fields) -> Entered {
        let mut values: BTreeMap<String, String> = fields
            .iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value.as_str()?.to_owned())))
            .filter(|(name, _)| !["csrf", "draft", "seen"].contains(&name.as_str()))
            .collect();
        let draft = fields.text("draft").unwrap_or("");
        if let Some(draft) = Draft::open(draft, self.integration.id, &self.state.0.store.key) {
            for (name, secret) in [("crm_api_key", draft.crm_api_key()), ("password", draft.password())] {
                if values.get(name).is_none_or(String::is_empty) {
                    values.insert(name.to_owned(), secret.expose().to_owned());
                }
            }
        }
        Entered(values)
    }

    async fn save(&self, fields: &Fields) -> Result<Response, Stop> {
        let entered = self.entered(fields);
        let seen = fields.text("seen").map(str::to_owned);
        let proved = match entered.apply(&self.integration, &self.allowed(), self.language) {
            Ok(trial) if opens_alike(&trial, &self.integration) => None,
            Ok(trial) => match self.prove(&trial).await {
                Ok(()) => Some(trial),
                Err(text) => {
                    let problem = Some(text);
                    return Ok(self.settings(Shown { values: entered, problem, seen, ..Shown::default() }));
                }
            },
            // Told below, beside their fields.
            Err(_) => None,
        };
        if let Ok(trial) = entered.apply(&self.integration, &self.allowed(), self.language)
            && self.is_cabinet_of_another(&trial).await?
        {
            let problem = Some(self.t().cabinet_of_another.to_owned());
            return Ok(self.settings(Shown { values: entered, problem, seen, ..Shown::default() }));
        }
        if let Ok(trial) = entered.apply(&self.integration, &self.allowed(), self.language)
            && let Some(text) = self.unknown_code(&trial).await
        {
            return Ok(self.settings(Shown { values: entered, problem: Some(text), seen, ..Shown::default() }));
        }
        let mut said = String::new();
        let mut from = String::new();
        let change = |stored: &mut Integration| -> Result<(), NotSaved> {
            let now = Entered::of(stored);
            if seen.as_ref().is_some_and(|seen| *seen != now.mark()) {
                return Err(NotSaved::Moved(now));
            }
            let changed = entered.apply(stored, &self.allowed(), self.language).map_err(NotSaved::Wrong)?;
            let known = proved.as_ref().unwrap_or(stored);
            if !opens_alike(&changed, known) {
                return Err(NotSaved::Moved(now));
            }
            from.clone_from(&stored.crm_url);
            said = what_changed(stored, &changed);
            *stored = changed;
            Ok(())
        };
        let shown = match self.state.0.store.change_integration(self.integration.id, change).await {
            Ok(stored) => {
                self.note(format!("settings changed on the page by the shop: {said}"));
                if crm_account::address(&from) != crm_account::address(&stored.crm_url) {
                    self.state.0.store.tell_of_move(&stored, &from, "the shop, on the page").await?;
                }
                return Ok(self.redirect("?saved=1"));
            }
            Err(NotSaved::Wrong(errors)) => Shown { errors, seen, ..Shown::default() },
            Err(NotSaved::Moved(now)) => self.moved(&entered, &now),
            Err(NotSaved::Store(StoreError::Config(why))) => Shown { problem: Some(why), seen, ..Shown::default() },
            Err(NotSaved::Store(StoreError::ChangedMeanwhile)) => {
                self.moved(&entered, &Entered::of(&integration(self.state, self.integration.id).await?))
            }
            Err(NotSaved::Store(error)) => return Err(error.into()),
        };
        Ok(self.settings(Shown { values: entered, ..shown }))
    }

    /// An address or key is taken over only if the key works there: whoever may open this page
    /// could name any account otherwise.
    async fn prove(&self, trial: &Integration) -> Result<(), String> {
        let draft = Draft::of(trial).seal(self.integration.id, &self.state.0.store.key);
        let asked = json!({ "draft": draft, "language": self.t().code });
        let reply = ask::call(self.state, self.integration.id, "prove", asked, None).await;
        let answer: Option<Value> = reply.ok().and_then(|reply| serde_json::from_slice(&reply.body).ok());
        match answer.map(|answer| answer["result"].clone()) {
            Some(result) if result["ok"] == true => Ok(()),
            Some(result) if result["text"].is_string() => {
                Err(format!("{}: {}", self.t().not_proved, result["text"].as_str().unwrap_or_default()))
            }
            _ => Err(self.t().check_failed.to_owned()),
        }
    }

    /// What is wrong with a payment status that was entered now. When nobody can be asked it is
    /// taken as it is: the check of the connection says then what is wrong with it.
    async fn unknown_code(&self, trial: &Integration) -> Option<String> {
        let code = trial.settings.payment_status.as_ref()?;
        if self.integration.settings.payment_status.as_ref() == Some(code) {
            return None;
        }
        let draft = Draft::of(trial).seal(self.integration.id, &self.state.0.store.key);
        let asked = json!({ "payment_status": code, "draft": draft, "language": self.t().code });
        let call = ask::call(self.state, self.integration.id, "code", asked, None);
        let reply = tokio::time::timeout(CODE_PATIENCE, call).await.ok()?.ok()?;
        let answer: Value = serde_json::from_slice(&reply.body).ok()?;
        let wrong = answer["result"]["ok"] == false;
        wrong.then(|| answer["result"]["text"].as_str().unwrap_or_default().to_owned()).filter(|text| !text.is_empty())
    }

    /// Whether the form names a cabinet that others use, without knowing its password: budget,
    /// breaker and status stream are shared by whoever has the same one.
    async fn is_cabinet_of_another(&self, trial: &Integration) -> Result<bool, Stop> {
        if trial.courier_account() == self.integration.courier_account() {
            return Ok(false);
        }
        let all = self.state.0.store.integrations().await?;
        let mut others = all.iter().filter(|i| i.id != trial.id && i.courier_account() == trial.courier_account());
        Ok(others.any(|other| other.secrets.password != trial.secrets.password))
    }

    /// What is stored where the form has something else.
    fn moved(&self, entered: &Entered, now: &Entered) -> Shown {
        let t = self.t();
        let other =
            t.fields().into_iter().filter(|(name, _)| entered.0.contains_key(*name) && now.0.contains_key(*name));
        let other: Vec<String> = other
            .filter(|(name, _)| entered.get(name) != now.get(name))
            .map(|(name, label)| format!("{label}: «{}»", now.get(name)))
            .collect();
        let problem = format!("{}: {}", t.changed_meanwhile, other.join("; "));
        Shown { problem: Some(problem), seen: Some(now.mark()), moved: true, ..Shown::default() }
    }

    fn note(&self, text: String) {
        use shared::store::journal::{Entry, What};
        let mut entry = Entry::new(self.state.0.clock.now(), What::Operator, text);
        entry.integration = Some(self.integration.id);
        self.state.0.journal.write(entry);
    }

    async fn check(&self, fields: &Fields) -> Response {
        let entered = self.entered(fields);
        let seen = fields.text("seen").map(str::to_owned);
        let mut values = Entered::of(&self.integration);
        values.0.extend(entered.0.clone());
        let trial = match entered.apply(&self.integration, &self.allowed(), self.language) {
            Ok(trial) => Draft::of(&trial),
            Err(errors) => return self.settings(Shown { values, errors, seen, ..Shown::default() }),
        };
        let stored = Draft::of(&self.integration);
        let sealed = (trial != stored).then(|| trial.seal(self.integration.id, &self.state.0.store.key));
        let asked = json!({
            "town": entered.get("town"), "weight": entered.get("weight").parse::<u32>().ok(),
            "language": self.t().code, "draft": sealed,
        });
        let reply = ask::call(self.state, self.integration.id, "check", asked, None).await;
        let findings = reply.ok().and_then(|reply| findings(&reply));
        let problem = findings.is_none().then(|| self.t().check_failed.to_owned());
        let kept = |new: &Secret, old: &Secret| new != old;
        let secrets = kept(trial.crm_api_key(), stored.crm_api_key()) || kept(trial.password(), stored.password());
        self.settings(Shown {
            values,
            problem,
            findings: findings.unwrap_or_default(),
            unsaved: sealed.is_some(),
            draft: sealed.filter(|_| secrets),
            seen,
            ..Shown::default()
        })
    }

    async fn debug(&self, fields: &Fields) -> Result<Response, Stop> {
        let t = self.t();
        let query = fields.text("q").unwrap_or("").trim().to_owned();
        let store = &self.state.0.store;
        let filter = DeadFilter { integration: Some(self.integration.id), ..DeadFilter::default() };
        let mut failures = store.dead_letters(&filter).await?;
        failures.retain(|dead| query.is_empty() || dead.number.as_deref().is_some_and(|n| n.contains(&query)));
        failures.reverse();
        failures.truncate(SHOWN as usize);
        let search = Search {
            integration: Some(self.integration.id),
            text: (!query.is_empty()).then(|| query.clone()),
            since: None,
            limit: SHOWN,
        };
        let entries = store.search_journal(&search).await?;
        let notice = match fields.text("replayed") {
            Some("1") => Some(t.replayed),
            Some(_) => Some(t.not_replayed),
            None => None,
        };
        let view = views::Debug {
            t,
            name: &self.integration.title,
            base: self.base,
            tab: "debug",
            token: self.token(),
            notice,
            failures: failures.iter().map(|dead| views::Failure::of(dead, t, self.language)).collect(),
            entries: entries.into_iter().map(views::Exchange::of).collect(),
            query,
        };
        Ok(self.page(StatusCode::OK, view))
    }

    async fn replay(&self, fields: &Fields) -> Result<Response, Stop> {
        let id: i64 = fields.text("id").and_then(|id| id.parse().ok()).ok_or(Stop::NotFound)?;
        let store = &self.state.0.store;
        let ours = |dead: &DeadLetter| dead.integration == Some(self.integration.id);
        let dead = store.dead_letter(id).await?.filter(ours).ok_or(Stop::NotFound)?;
        let done = store.replay_dead_letter(&dead, store.clock.now(), "replayed by the shop's manager").await?;
        let done = done == Replay::Done;
        let query = url::form_urlencoded::byte_serialize(fields.text("q").unwrap_or("").as_bytes()).collect::<String>();
        Ok(self.redirect(&format!("/debug?replayed={}&q={query}", u8::from(done))))
    }

    async fn triggers(&self) -> Result<Response, Stop> {
        let t = self.t();
        let account = crm_account::siblings(&self.integration, self.state.0.store.integrations().await?);
        let tied = if trigger_forms::must_ask(&account) { self.tied().await } else { Vec::new() };
        let config = &self.state.0.config;
        let served = Served::all(&account, &config.module_code, &tied);
        let view = views::Triggers {
            t,
            name: &self.integration.title,
            base: self.base,
            tab: "triggers",
            key: self.integration.secrets.delivery_api_key.expose().to_owned(),
            unnamed: trigger_forms::without_types(&served).into_iter().map(|other| other.title.clone()).collect(),
            forms: trigger_forms::forms(self.integration.id, &served, &config.public_url)
                .into_iter()
                .map(|form| views::Form::of(form, t))
                .collect(),
        };
        Ok(self.page(StatusCode::OK, view))
    }

    /// RetailCRM's delivery types with their modules, as a worker reads them; none when it
    /// cannot be asked. The forms then have gaps, and the page says so.
    async fn tied(&self) -> Vec<Tied> {
        let reply = ask::call(self.state, self.integration.id, "deliveryTypes", json!({}), None).await;
        let answer: Option<Value> = reply.ok().and_then(|reply| serde_json::from_slice(&reply.body).ok());
        answer.and_then(|answer| serde_json::from_value(answer["result"].clone()).ok()).unwrap_or_default()
    }
}

/// Whether both open the same RetailCRM account with the same key.
fn opens_alike(one: &Integration, other: &Integration) -> bool {
    crm_account::address(&one.crm_url) == crm_account::address(&other.crm_url)
        && one.secrets.crm_api_key == other.secrets.crm_api_key
}

/// Why the form's values are not stored.
enum NotSaved {
    Wrong(Errors),
    /// These are stored now, and others were when the form was shown.
    Moved(Entered),
    Store(StoreError),
}

impl From<StoreError> for NotSaved {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Names of what differs, never values: some are secret.
fn what_changed(old: &Integration, new: &Integration) -> String {
    let before = Entered::of(old);
    let mut names: Vec<String> = Entered::of(new)
        .0
        .into_iter()
        .filter(|(name, value)| before.0.get(name) != Some(value))
        .map(|(name, _)| name)
        .collect();
    if old.secrets.crm_api_key != new.secrets.crm_api_key {
        names.push("crm_api_key".to_owned());
    }
    if old.secrets.password != new.secrets.password {
        names.push("password".to_owned());
    }
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

fn findings(reply: &CallbackReply) -> Option<Vec<views::Finding>> {
    let answer: Value = serde_json::from_slice(&reply.body).ok()?;
    answer["result"].as_array().map(|rows| {
        rows.iter()
            .map(|row| views::Finding {
                what: row["what"].as_str().unwrap_or_default().to_owned(),
                ok: row["ok"] == true,
                text: row["text"].as_str().unwrap_or_default().to_owned(),
            })
            .collect()
    })
}

fn set(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// A page with its safety headers. `frame`: who may show it within its own.
fn html(status: StatusCode, view: impl askama::Template, frame: Option<&str>) -> Response {
    let (status, body) = match view.render() {
        Ok(body) => (status, body),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            (StatusCode::INTERNAL_SERVER_ERROR, String::new())
        }
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self' {}",
        frame.unwrap_or_default()
    );
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    set(headers, header::CONTENT_SECURITY_POLICY, policy.trim());
    response
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
