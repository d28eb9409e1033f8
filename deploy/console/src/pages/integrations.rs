//! «Интеграции»: the list, and one of them with its settings.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use shared::domain::{IntegrationState, PausedBy, Settings};
use shared::store::dead_letters::DeadFilter;
use shared::store::last_day::Hours;

use crate::chart::Day;
use crate::html;
use crate::pages::frame::{Frame, ago};
use crate::pages::now::state_words;
use crate::routes::What;
use crate::seen::causes::Causes;
use crate::seen::overview::Overview;
use crate::seen::words;
use crate::texts::Notice;
use crate::visit::{Stop, Visit};

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
}

struct Setting {
    name: String,
    value: String,
    is_usual: bool,
}

/// Name and value of each setting; who the sender is stays hidden.
fn settings(of: &Settings) -> Vec<Setting> {
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
