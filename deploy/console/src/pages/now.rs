//! «Сейчас»: is all well?

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use bridge_worker::vendor::budget::Budget;
use shared::domain::{Integration, IntegrationState};

use crate::chart::{Day, percent};
use crate::pages::frame::{Frame, ago};
use crate::seen::moments;
use crate::seen::overview::{Level, Line, Overview};
use crate::seen::why::{held_words, paused};
use crate::seen::words::who_acts;
use crate::visit::{Stop, Visit};
use crate::{csv, html};

#[derive(Template)]
#[template(path = "now.html")]
struct Now {
    f: Frame,
    /// How many of how many need attention.
    bad: usize,
    rows: Vec<Row>,
    of_none: Vec<String>,
    held: Vec<String>,
}

pub struct Row {
    pub id: i64,
    pub title: String,
    pub level: &'static str,
    pub level_words: &'static str,
    pub state: String,
    pub is_paused: bool,
    /// Fault, count, who acts.
    pub failures: Vec<(&'static str, i64, &'static str)>,
    pub waiting: Option<(i64, String, String)>,
    pub last_sync: String,
    pub last_success: String,
    /// Percent of MeaSoft's tightest window.
    pub share: u32,
    pub day: Day,
}

/// What an integration's state is called.
pub fn state_words(integration: &Integration, visit: &Visit<'_>) -> String {
    match &integration.state {
        IntegrationState::Active if integration.settings.is_shadow() => {
            format!("{}, {}", visit.t().active, visit.t().in_shadow)
        }
        IntegrationState::Active => visit.t().active.to_owned(),
        IntegrationState::Paused { by, reason } => paused(*by, reason, visit.language),
        IntegrationState::Removed => visit.t().removed.to_owned(),
    }
}

impl Row {
    async fn of(
        level: Level,
        line: &Line,
        hours: &shared::store::last_day::Hours,
        visit: &Visit<'_>,
    ) -> Result<Self, Stop> {
        let t = visit.t();
        let (level, level_words) = match level {
            Level::Ok => ("ok", t.level_ok),
            Level::Warning => ("warning", t.level_warning),
            Level::Error => ("error", t.level_error),
        };
        let waiting = line.oldest().map(|oldest| {
            let why = line.main().map_or_else(String::new, |row| row.why.words(visit.language, visit.zone()));
            (line.count(), moments::age(oldest, visit.now(), visit.language), why)
        });
        let budget = Budget::new(visit.store().clone(), &visit.console.0.config.budgets);
        let windows = budget.used_by(&line.integration.courier_account()).await?;
        Ok(Self {
            id: line.integration.id.0,
            title: line.integration.title.clone(),
            level,
            level_words,
            state: state_words(&line.integration, visit),
            is_paused: matches!(line.integration.state, IntegrationState::Paused { .. }),
            failures: line
                .failures
                .iter()
                .map(|(fault, count)| (fault.as_str(), *count, who_acts(*fault, visit.language)))
                .collect(),
            waiting,
            last_sync: ago(line.last_sync, visit),
            last_success: ago(line.last_success, visit),
            share: windows.iter().map(|(_, limit, used)| percent(*used, *limit)).max().unwrap_or(0),
            day: Day::of(hours, t),
        })
    }
}

async fn rows(visit: &Visit<'_>) -> Result<(Overview, Vec<Row>), Stop> {
    let overview = Overview::at(visit.store(), visit.console.0.config.timing.sync_interval).await?;
    let day = visit.store().last_day().await?;
    let mut rows = Vec::with_capacity(overview.lines.len());
    for (level, line) in &overview.lines {
        let hours = day.get(&line.integration.id).copied().unwrap_or_default();
        rows.push(Row::of(*level, line, &hours, visit).await?);
    }
    Ok((overview, rows))
}

pub async fn page(visit: &Visit<'_>) -> Result<Response, Stop> {
    let (overview, rows) = rows(visit).await?;
    let words =
        |(fault, count): (&shared::domain::Fault, &i64)| format!("{count}: {}", who_acts(*fault, visit.language));
    let held = overview.look.held.iter().map(|held| held_words(held, visit.language, visit.zone()));
    let view = Now {
        f: Frame::of(visit, "now"),
        bad: rows.iter().filter(|row| row.level != "ok").count(),
        of_none: overview.of_none.iter().map(words).collect(),
        held: held.collect(),
        rows,
    };
    Ok(html::page(StatusCode::OK, &view))
}

pub async fn csv(visit: &Visit<'_>) -> Result<Response, Stop> {
    let (t, (_, rows)) = (visit.t(), rows(visit).await?);
    let heading = [t.integration, t.level_ok, t.state, t.failures, t.waits, t.why, t.last_sync, t.last_order, t.share];
    let lines: Vec<Vec<String>> = rows
        .into_iter()
        .map(|row| {
            let failures: i64 = row.failures.iter().map(|(_, count, _)| count).sum();
            let (waits, why) = row.waiting.map_or((0, String::new()), |(count, _, why)| (count, why));
            vec![
                format!("{} {}", row.id, row.title),
                row.level_words.to_owned(),
                row.state,
                failures.to_string(),
                waits.to_string(),
                why,
                row.last_sync,
                row.last_success,
                format!("{} %", row.share),
            ]
        })
        .collect();
    Ok(csv::file("now", &heading, &lines))
}
