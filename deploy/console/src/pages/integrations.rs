//! «Интеграции»: the list, and one of them with its settings.

use std::time::Duration;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use bridge_worker::manage::check::Looked;
use bridge_worker::manage::key::NotRotated;
use bridge_worker::manage::{check, key, register};
use shared::domain::{IntegrationId, IntegrationState, Language, PausedBy, Settings};
use shared::store::dead_letters::DeadFilter;
use shared::store::last_day::Hours;

use crate::chart::Day;
use crate::errands::{Came, Errand};
use crate::html;
use crate::pages::errand::{self, Shown};
use crate::pages::frame::{Frame, ago};
use crate::pages::now::state_words;
use crate::routes::What;
use crate::seen::causes::Causes;
use crate::seen::overview::Overview;
use crate::seen::words;
use crate::texts::Notice;
use crate::visit::{Stop, Visit};

/// Both vendors are waited for this long.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Template)]
#[template(path = "integrations.html")]
struct List {
    f: Frame,
    rows: Vec<Listed>,
}

struct Listed {
    id: i64,
    title: String,
    state: String,
    crm: String,
    cabinet: String,
}

#[derive(Template)]
#[template(path = "integration.html")]
struct View {
    f: Frame,
    id: i64,
    title: String,
    state: String,
    is_paused: bool,
    is_removed: bool,
    /// Label, value.
    facts: Vec<(&'static str, String)>,
    last_sync: String,
    last_success: String,
    waiting: i64,
    /// Count, words, reason.
    causes: Vec<(i64, &'static str, String)>,
    day: Day,
    settings: Vec<Setting>,
    check: Option<Shown>,
    /// What was looked at, whether it is well, and details in English.
    findings: Vec<(&'static str, bool, String)>,
    registration: Option<Shown>,
    /// Instance code, whether RetailCRM did not know it before, delivery type.
    registered: Option<(String, bool, Option<String>)>,
    /// Names the key that a new one is to replace.
    key_mark: String,
}

#[derive(Template)]
#[template(path = "key.html")]
struct NewKey<'a> {
    f: Frame,
    id: i64,
    title: String,
    key: &'a str,
}

pub struct Setting {
    pub name: String,
    pub value: String,
    pub is_usual: bool,
}

/// Name and value of each setting; who the sender is stays hidden.
pub fn settings(of: &Settings) -> Vec<Setting> {
    let all = |settings: &Settings| serde_json::to_value(settings).unwrap_or_default();
    let (own, usual) = (all(of), all(&Settings::default()));
    let shown = |name: &String, value: &serde_json::Value| {
        let is_usual = usual.get(name) == Some(value);
        let value = if name == "sender" && !is_usual { "•••".to_owned() } else { value.to_string() };
        Setting { name: name.clone(), value, is_usual }
    };
    own.as_object().into_iter().flatten().map(|(name, value)| shown(name, value)).collect()
}

pub async fn list(visit: &Visit<'_>) -> Result<Response, Stop> {
    let all = visit.store().integrations().await?;
    let row = |found: &shared::domain::Integration| Listed {
        id: found.id.0,
        title: found.title.clone(),
        state: state_words(found, visit),
        crm: found.crm_url.clone(),
        cabinet: format!("{} / {}", found.extra, found.login),
    };
    let view = List { f: Frame::of(visit, "integrations"), rows: all.iter().map(row).collect() };
    Ok(html::page(StatusCode::OK, &view))
}

pub async fn page(visit: &Visit<'_>) -> Result<Response, Stop> {
    let (t, found) = (visit.t(), visit.integration().await?);
    let config = &visit.console.0.config;
    let overview = Overview::at(visit.store(), config.timing.sync_interval).await?;
    let line = overview.lines.iter().map(|(_, line)| line).find(|line| line.integration.id == found.id);
    let filter = DeadFilter { integration: Some(found.id), ..DeadFilter::default() };
    let causes = Causes::of(visit.store(), &filter, true).await?.shown;
    let hours = visit.store().last_day().await?.get(&found.id).copied().unwrap_or(Hours::default());
    let text = |reason: &str| words::reason(reason, visit.language).text;
    let (check, findings) = checked(visit, found.id).await;
    let (registration, registered) = registered(visit, found.id).await;
    let view = View {
        f: Frame::of(visit, "integrations"),
        id: found.id.0,
        state: state_words(&found, visit),
        is_paused: matches!(found.state, IntegrationState::Paused { .. }),
        is_removed: found.state == IntegrationState::Removed,
        facts: vec![
            (t.address_crm, found.crm_url.clone()),
            (t.address_measoft, found.measoft_url.clone()),
            (t.cabinet, format!("{} / {}", found.extra, found.login)),
            (t.prefix, found.prefix.clone()),
            (t.module, found.code(&config.module_code)),
            (t.added, visit.at(found.created_at)),
        ],
        last_sync: ago(line.and_then(|line| line.last_sync), visit),
        last_success: ago(line.and_then(|line| line.last_success), visit),
        waiting: line.map_or(0, |line| line.count()),
        causes: causes.into_iter().map(|cause| (cause.letters, text(&cause.reason), cause.reason)).collect(),
        day: Day::of(&hours, t),
        settings: settings(&found.settings),
        check,
        findings,
        registration,
        registered,
        key_mark: key::mark(&visit.store().key, &found),
        title: found.title,
    };
    Ok(html::page(StatusCode::OK, &view))
}

/// Paused or resumed, as the command does it.
pub async fn set_state(visit: &Visit<'_>, what: What) -> Result<Response, Stop> {
    let id = visit.live_integration().await?.id;
    let (state, done) = match (what, visit.why()?) {
        (What::Resume, _) => (IntegrationState::Active, Notice::Resumed),
        (_, None) => return Ok(visit.done(Notice::ReasonMissing)),
        (_, Some(why)) => (IntegrationState::Paused { by: PausedBy::Operator, reason: why.to_owned() }, Notice::Paused),
    };
    visit.store().set_integration_state_by(&visit.who(), id, &state).await?;
    Ok(visit.done(done))
}

pub async fn sync(visit: &Visit<'_>) -> Result<Response, Stop> {
    let id = visit.live_integration().await?.id;
    visit.store().ask_for_sync(&[id]).await?;
    Ok(visit.done(Notice::Asked))
}

/// How the last check went, for whoever may ask for one.
async fn checked(visit: &Visit<'_>, id: IntegrationId) -> (Option<Shown>, Vec<(&'static str, bool, String)>) {
    let (shown, came) = errand::look(visit, &Errand::Check(id)).await.unzip();
    let finding = |(what, found): &check::Finding| {
        let why = found.clone().unwrap_or_else(|why| why);
        (looked(*what, visit.language), found.is_ok(), why)
    };
    match came.flatten().as_deref() {
        Some(Came::Check(findings)) => (shown, findings.iter().map(finding).collect()),
        _ => (shown, Vec::new()),
    }
}

const fn looked(at: Looked, language: Language) -> &'static str {
    match at {
        Looked::Key => words::of(language, "Ключ API RetailCRM", "RetailCRM API key"),
        Looked::Rights => words::of(language, "Права ключа в RetailCRM", "RetailCRM rights"),
        Looked::Codes => words::of(language, "Коды справочников RetailCRM", "RetailCRM codes"),
        Looked::Login => words::of(language, "Вход в кабинет MeaSoft", "MeaSoft login"),
        Looked::Tariffs => words::of(language, "Тарифы MeaSoft", "MeaSoft tariffs"),
    }
}

type Registration = Option<(String, bool, Option<String>)>;

async fn registered(visit: &Visit<'_>, id: IntegrationId) -> (Option<Shown>, Registration) {
    let (shown, came) = errand::look(visit, &Errand::Register(id)).await.unzip();
    match came.flatten().as_deref() {
        Some(Came::Register(done)) => (shown, Some((done.code.clone(), done.first_time, done.delivery_type.clone()))),
        _ => (shown, None),
    }
}

/// Asks both vendors whether it works.
pub async fn check(visit: &Visit<'_>) -> Result<Response, Stop> {
    let id = visit.live_integration().await?.id;
    let (config, store) = (visit.console.0.config.clone(), visit.store().clone());
    let begun = visit.begin(&Errand::Check(id), PATIENCE, move |_| async move {
        let found = errand::live(&store, id).await?;
        Ok(Came::Check(check::check(&config, &store, &found, None).await?))
    });
    errand::begun(visit, begun, &format!("/integrations/{id}#owner"))
}

/// Tells RetailCRM what the module offers.
pub async fn register(visit: &Visit<'_>) -> Result<Response, Stop> {
    let (id, who) = (visit.live_integration().await?.id, visit.who());
    let (config, store) = (visit.console.0.config.clone(), visit.store().clone());
    let begun = visit.begin(&Errand::Register(id), PATIENCE, move |_| async move {
        let found = errand::live(&store, id).await?;
        Ok(Came::Register(register::register(&config, &store, &found, &who).await?))
    });
    errand::begun(visit, begun, &format!("/integrations/{id}#owner"))
}

/// Makes another key. It is shown in this one answer, which nobody keeps, and never again.
pub async fn rotate_key(visit: &Visit<'_>) -> Result<Response, Stop> {
    let found = visit.live_integration().await?;
    let seen = visit.form.text("seen").ok_or(Stop::BadForm)?;
    let fresh = match key::rotate(visit.store(), found.id, Some(seen), &visit.who()).await {
        Ok(fresh) => fresh,
        Err(NotRotated::Another) => return Ok(visit.done(Notice::KeyIsAnother)),
        Err(NotRotated::Store(error)) => return Err(error.into()),
    };
    let page = format!("/integrations/{}", found.id);
    let f = Frame::at(visit, "integrations", &page);
    let view = NewKey { f, id: found.id.0, title: found.title, key: fresh.expose() };
    Ok(html::page(StatusCode::OK, &view))
}
