//! «Сверка»: a day in three books, and what makes it good. Reading takes minutes, so it is an errand
//! for each integration; this page says how far each is.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use bridge_worker::compare::books::{Found, Repair};
use bridge_worker::compare::{self, Comparison};
use jiff::civil::Date;
use shared::domain::{Integration, IntegrationId};

use crate::errands::{Came, Errand};
use crate::form::Fields;
use crate::pages::errand::{self, Shown};
use crate::pages::frame::{Choice, Frame, choices};
use crate::pages::letters::order_at;
use crate::seen::compared;
use crate::texts::Notice;
use crate::visit::{Stop, Visit};
use crate::{csv, html};

/// One integration's books may take this long.
const LIMIT: Duration = Duration::from_secs(3600);

#[derive(Template)]
#[template(path = "compare.html")]
struct View {
    f: Frame,
    choices: Vec<Choice>,
    day: String,
    /// No later one can be compared.
    today: String,
    only: String,
    books: Vec<Books>,
    csv_at: String,
    any: bool,
}

/// One integration's books.
struct Books {
    id: i64,
    title: String,
    errand: Option<Shown>,
    read: Option<Read>,
}

struct Read {
    /// Orders in RetailCRM, the ledger and at MeaSoft.
    orders: [usize; 3],
    unlisted: bool,
    unasked: usize,
    rows: Vec<Row>,
    /// Disagreements that can be made good.
    repairs: usize,
}

struct Row {
    name: String,
    order_at: Option<String>,
    what: &'static str,
    says: [String; 3],
    repair: Option<&'static str>,
}

impl Row {
    fn of(one: &Found, integration: IntegrationId, visit: &Visit<'_>) -> Self {
        let known = (!one.number.is_empty()).then(|| order_at(integration.0, &one.number));
        Self {
            name: if one.number.is_empty() { one.orderno.clone().unwrap_or_default() } else { one.number.clone() },
            order_at: known,
            what: compared::what(one, visit.language),
            says: one.says.clone().map(|said| said.unwrap_or_else(|| "—".to_owned())),
            repair: one.repair.map(|repair| compared::repair(repair.as_str(), visit.language)),
        }
    }
}

impl Read {
    fn of(books: &Comparison, integration: IntegrationId, visit: &Visit<'_>) -> Self {
        Self {
            orders: books.orders,
            unlisted: books.unlisted,
            unasked: books.unasked,
            rows: books.found.iter().map(|one| Row::of(one, integration, visit)).collect(),
            repairs: books.found.iter().filter(|one| one.repair.is_some()).count(),
        }
    }
}

/// A day that is over or begun, of an address or a form; else yesterday.
fn day(fields: &Fields, visit: &Visit<'_>) -> Result<Date, Stop> {
    match fields.text("day") {
        Some(text) => text.parse().ok().filter(|day| *day <= today(visit)).ok_or(Stop::BadFilter),
        None => compared::yesterday(visit.now(), visit.zone()).map_err(|_| Stop::BadForm),
    }
}

fn today(visit: &Visit<'_>) -> Date {
    visit.now().to_zoned_datetime(visit.zone().clone()).date()
}

/// Those that are meant: one, or all that are active.
async fn meant(only: Option<IntegrationId>, visit: &Visit<'_>) -> Result<Vec<Integration>, Stop> {
    let all = visit.store().integrations().await?;
    Ok(match only {
        Some(id) => vec![all.into_iter().find(|found| found.id == id).ok_or(Stop::NotFound)?],
        None => all.into_iter().filter(Integration::is_active).collect(),
    })
}

/// What came of the comparisons that were asked for.
async fn books(day: Date, visit: &Visit<'_>) -> Result<Vec<(Integration, Option<Shown>, Option<Arc<Came>>)>, Stop> {
    let (mut books, mut patience) = (Vec::new(), errand::PATIENCE);
    for integration in meant(visit.only().await?, visit).await? {
        let errand = Errand::Compare(integration.id, day);
        let (shown, came) = errand::look_for(visit, &errand, patience).await.unzip();
        // The first one that runs is waited for, not each.
        if shown.as_ref().is_some_and(|shown: &Shown| shown.runs.is_some()) {
            patience = Duration::ZERO;
        }
        books.push((integration, shown, came.flatten()));
    }
    Ok(books)
}

pub async fn page(visit: &Visit<'_>) -> Result<Response, Stop> {
    let day = day(&visit.query, visit)?;
    let mut shown = Vec::new();
    for (integration, errand, came) in books(day, visit).await? {
        let read = match came.as_deref() {
            Some(Came::Compare(books)) => Some(Read::of(books, integration.id, visit)),
            _ => None,
        };
        shown.push(Books { id: integration.id.0, title: integration.title, errand, read });
    }
    let view = View {
        f: Frame::of(visit, "compare"),
        choices: choices(visit).await?,
        day: day.to_string(),
        today: today(visit).to_string(),
        only: visit.query.text("integration").unwrap_or_default().to_owned(),
        any: shown.iter().any(|one| one.read.is_some()),
        books: shown,
        csv_at: format!("/compare.csv{}", visit.query.with(&[("done", "")]).query()),
    };
    Ok(html::page(StatusCode::OK, &view))
}

/// Begins to read: one errand an integration.
pub async fn ask(visit: &Visit<'_>) -> Result<Response, Stop> {
    let (day, only) = (day(&visit.form, visit)?, visit.named(&visit.form).await?);
    let mut all_begun = true;
    for id in meant(only, visit).await?.into_iter().map(|found| found.id) {
        let (config, store) = (visit.console.0.config.clone(), visit.store().clone());
        all_begun &= visit.begin(&Errand::Compare(id, day), LIMIT, move |tell| async move {
            let integration = errand::live(&store, id).await?;
            let books = compare::compare(&config, &store, &integration, day, &*tell).await?;
            Ok(Came::Compare(Box::new(books)))
        });
    }
    let only = only.map_or_else(String::new, |id| id.to_string());
    let query = Fields::default().with(&[("day", &day.to_string()), ("integration", &only)]);
    errand::begun(visit, all_begun, &format!("/compare{}", query.query()))
}

pub async fn csv(visit: &Visit<'_>) -> Result<Response, Stop> {
    let (t, day) = (visit.t(), day(&visit.query, visit)?);
    let heading = [t.integration, t.order, t.orderno, t.what, "RetailCRM", t.ledger, "MeaSoft", t.makes_good];
    let mut rows = Vec::new();
    for (integration, _, came) in books(day, visit).await? {
        let Some(Came::Compare(books)) = came.as_deref() else { continue };
        for one in &books.found {
            let [crm, ledger, measoft] = one.says.clone().map(Option::unwrap_or_default);
            let orderno = one.orderno.clone().unwrap_or_default();
            let repair = one.repair.map(Repair::as_str).map_or("", |word| compared::repair(word, visit.language));
            let what = compared::what(one, visit.language).to_owned();
            let place = integration.title.clone();
            rows.push(vec![place, one.number.clone(), orderno, what, crm, ledger, measoft, repair.to_owned()]);
        }
    }
    Ok(csv::file(&format!("compare-{day}"), &heading, &rows))
}

/// Asks for what makes good what was seen.
pub async fn repair(visit: &Visit<'_>) -> Result<Response, Stop> {
    let day = day(&visit.form, visit)?;
    let id = visit.form.number("integration").ok_or(Stop::BadForm)?;
    let integration = visit.integration_of(id).await?;
    let errand = Errand::Compare(integration.id, day);
    let Some((_, Some(came))) = errand::look(visit, &errand).await else { return Ok(visit.done(Notice::NotCompared)) };
    let Came::Compare(books) = &*came else { return Err(Stop::NotFound) };
    if !integration.is_active() {
        return Ok(visit.done(Notice::NotActive));
    }
    let asked = compare::repair::repair(visit.store(), &integration, books, &visit.who()).await?;
    // What was asked for once is not asked for twice: it is compared anew.
    visit.console.0.errands.forget(&errand);
    Ok(visit.done(if asked.is_empty() { Notice::NothingToRepair } else { Notice::Repaired }))
}
