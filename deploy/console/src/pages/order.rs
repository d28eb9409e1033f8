//! One order: what happened to it, in words, with every exchange folded.

use std::collections::BTreeSet;
use std::time::Duration;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use bridge_worker::inquire;
use shared::domain::{CorrectedField, CrmOrderId, Integration, IntegrationId, IntegrationState};
use shared::store::corrections::Correction;
use shared::store::dead_letters::DeadFilter;
use shared::store::journal::{StoredEntry, What};

use crate::errands::{Came, Errand};
use crate::html;
use crate::pages::errand::{self, Shown};
use crate::pages::frame::{Frame, titles};
use crate::pages::letters::{Letter, order_at};
use crate::seen::corrected;
use crate::seen::moments;
use crate::seen::story::Story;
use crate::seen::told;
use crate::seen::why::Row;
use crate::seen::words::state;
use crate::visit::{Stop, Visit};

/// Entries that are shown of a long story.
const SHOWN: usize = 200;
/// Failures that are looked at to find whose a number is.
const SOME: u32 = 50;
/// MeaSoft is waited for this long.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Template)]
#[template(path = "order.html")]
struct View {
    f: Frame,
    number: String,
    integration: i64,
    title: String,
    orders: Vec<Order>,
    letters: Vec<Letter>,
    /// When failures of it are tried again.
    replays: Vec<(i64, String)>,
    waits: Vec<Wait>,
    waiting_at: String,
    entries: Vec<Entry>,
    /// Several orders bear the number.
    several: bool,
    cut: bool,
    /// Where the order's own addresses begin.
    here: String,
    cabinet: Option<String>,
    is_live: bool,
    corrections: Vec<(String, String)>,
    fields: Vec<Field>,
    /// The newest version of its corrections that the form knows of.
    seen: i64,
    /// Why a correction was not kept.
    refused: Option<String>,
    errand: Option<Shown>,
    said: Vec<Said>,
}

/// A request about it that waits.
struct Wait {
    why: String,
    since: String,
    next: Option<String>,
}

impl Wait {
    fn of(row: &Row, visit: &Visit<'_>) -> Self {
        let next = row.next.map(|at| visit.at(at));
        Self { why: row.why.words(visit.language, visit.zone()), since: visit.at(row.since), next }
    }
}

/// A correction that somebody typed and that was not kept.
pub struct Draft {
    pub given: Vec<(CorrectedField, String)>,
    /// The newest version that they know of from now on.
    pub seen: i64,
    pub why: String,
}

/// A field of the form that corrects it.
struct Field {
    code: &'static str,
    name: &'static str,
    form: &'static str,
    value: String,
    may_be_empty: bool,
}

/// What MeaSoft says of one delivery.
struct Said {
    orderno: String,
    is_there: bool,
    status: String,
    at: String,
    sum: String,
    paytype: String,
    planned: String,
    is_news: bool,
}

/// One order that bears the number.
struct Order {
    crm_id: i64,
    /// Where RetailCRM shows it.
    crm_at: Option<String>,
    deliveries: Vec<Delivery>,
    past: Vec<(String, &'static str, String)>,
}

struct Delivery {
    orderno: String,
    state: &'static str,
    status: String,
    price: String,
}

struct Entry {
    at: String,
    head: String,
    text: String,
    /// Its text is of a release that knew English alone.
    is_old: bool,
    is_good: bool,
    is_bad: bool,
    took: String,
    request: String,
    response: String,
    crm_id: Option<i64>,
}

#[derive(Template)]
#[template(path = "find.html")]
struct Find {
    f: Frame,
    number: String,
    found: Vec<(String, i64, String)>,
}

/// To the order, or to a choice where several integrations know the number.
pub async fn find(visit: &Visit<'_>) -> Result<Response, Stop> {
    let number = visit.query.text("number").unwrap_or_default().to_owned();
    let mut ids: Vec<IntegrationId> = Vec::new();
    if !number.is_empty() {
        let story = Story::of(visit.store(), &number, None).await?;
        let letters = visit.store().dead_letters_page(&DeadFilter::default(), Some(&number), None, SOME).await?;
        let mut known: BTreeSet<IntegrationId> = story.titles.keys().copied().collect();
        known.extend(letters.iter().filter_map(|dead| dead.integration));
        ids = known.into_iter().collect();
        if let [only] = ids[..] {
            return Ok(html::see(&order_at(only.0, &number)));
        }
    }
    let names = titles(visit, ids).await?;
    let found = names.into_iter().map(|(id, title)| (order_at(id.0, &number), id.0, title)).collect();
    Ok(html::page(StatusCode::OK, &Find { f: Frame::of(visit, "orders"), number, found }))
}

impl Entry {
    fn of(kept: &StoredEntry, crm_id: Option<CrmOrderId>, visit: &Visit<'_>) -> Self {
        let good = kept.outcome.as_deref().map(told::is_good);
        Self {
            at: moments::millisecond(kept.at, visit.zone()),
            head: told::head(kept, visit.language),
            text: told::story(kept, &visit.reader()),
            is_old: told::is_old(kept),
            is_good: good == Some(true) && kept.what != What::Trigger,
            is_bad: good == Some(false) && kept.what != What::Trigger,
            took: kept.duration_ms.map_or_else(String::new, |ms| told::took(ms, visit.language)),
            request: told::pretty(kept.request.as_deref().unwrap_or_default()),
            response: told::pretty(kept.response.as_deref().unwrap_or_default()),
            crm_id: crm_id.map(|id| id.0),
        }
    }
}

/// An address of another site, if it may be linked to.
fn outside(address: String) -> Option<String> {
    ["https://", "http://"].iter().any(|scheme| address.starts_with(scheme)).then_some(address)
}

/// The client's cabinet: the courier's code stands in its address.
fn cabinet(of: &Integration) -> Option<String> {
    let mut url = url::Url::parse(&of.measoft_url).ok()?;
    url.set_path(&format!("/{}/", of.extra));
    outside(url.into())
}

fn orders(story: &Story, integration: &Integration, visit: &Visit<'_>) -> Vec<Order> {
    let of = |key: &(IntegrationId, CrmOrderId)| Order {
        crm_id: key.1.0,
        crm_at: outside(format!("{}/orders/{}/edit", integration.crm_url.trim_end_matches('/'), key.1)),
        deliveries: story
            .deliveries
            .iter()
            .filter(|d| (d.integration, d.crm_order) == *key)
            .map(|d| Delivery {
                orderno: d.orderno.as_str().to_owned(),
                state: state(d.state, visit.language),
                status: d.status.clone().unwrap_or_default(),
                price: d.price.map_or_else(String::new, |price| price.to_string()),
            })
            .collect(),
        past: story
            .past
            .iter()
            .filter(|past| (past.integration, past.crm_order) == *key)
            .map(|past| (past.orderno.as_str().to_owned(), state(past.state, visit.language), visit.at(past.ended_at)))
            .collect(),
    };
    story.orders().iter().map(of).collect()
}

impl Said {
    fn of(one: &inquire::Said, visit: &Visit<'_>) -> Self {
        let row = one.row.as_ref();
        let status = row.and_then(|row| row.status.as_ref());
        Self {
            orderno: one.delivery.orderno.as_str().to_owned(),
            is_there: row.is_some(),
            status: status.map_or_else(String::new, |status| status.code.as_str().to_owned()),
            at: status.and_then(|status| status.createtime_gmt).map_or_else(String::new, |at| visit.at(at)),
            sum: row.and_then(|row| row.price).map_or_else(String::new, |sum| sum.to_string()),
            paytype: row.and_then(|row| row.paytype.clone()).unwrap_or_default(),
            planned: row
                .and_then(|row| row.planned.as_ref())
                .map_or_else(String::new, |planned| planned.date.to_string()),
            is_news: one.is_news(),
        }
    }
}

pub async fn page(visit: &Visit<'_>) -> Result<Response, Stop> {
    shown(visit, StatusCode::OK, None).await
}

/// The page, with a correction that was not kept where there is one.
pub async fn shown(visit: &Visit<'_>, status: StatusCode, draft: Option<Draft>) -> Result<Response, Stop> {
    let found = visit.integration().await?;
    let number = visit.parts.get(1).cloned().unwrap_or_default();
    let story = Story::of(visit.store(), &number, Some(found.id)).await?;
    let order = story.orders().into_iter().next().map(|(_, order)| order);
    let letters = visit.store().open_letters_of(found.id, order, &number).await?;
    let (errand, came) = errand::look(visit, &Errand::Inquire(found.id, number.clone())).await.unzip();
    // The journal is forgotten sooner than what is open.
    if story.is_empty() && letters.is_empty() && draft.is_none() {
        let view = Find { f: Frame::of(visit, "orders"), number, found: Vec::new() };
        return Ok(html::page(StatusCode::NOT_FOUND, &view));
    }
    let names = titles(visit, vec![found.id]).await?;
    let several = story.orders().len() > 1;
    let entries = story.timeline.iter().rev().take(SHOWN).map(|kept| {
        let crm_id = story.order_of(kept).map(|(_, order)| order).filter(|_| several);
        Entry::of(kept, crm_id, visit)
    });
    let kept: Vec<&Correction> = story.corrections.iter().map(|(_, one)| one).collect();
    let newest = kept.iter().map(|one| one.version).max().unwrap_or(0);
    let (given, seen, why) = match draft {
        Some(draft) => (draft.given, draft.seen, Some(draft.why)),
        None => (Vec::new(), newest, None),
    };
    let said = match came.flatten().as_deref() {
        Some(Came::Inquire(said)) => said.iter().map(|one| Said::of(one, visit)).collect(),
        _ => Vec::new(),
    };
    let here = order_at(found.id.0, &number);
    let view = View {
        f: Frame::at(visit, "orders", &here),
        integration: found.id.0,
        orders: orders(&story, &found, visit),
        here,
        cabinet: cabinet(&found),
        is_live: found.state != IntegrationState::Removed,
        corrections: kept
            .iter()
            .map(|one| (corrected::words(one, false, visit.language), visit.at(one.made_at)))
            .collect(),
        fields: fields(&given, visit),
        seen,
        refused: why,
        errand,
        said,
        letters: letters.into_iter().map(|dead| Letter::of(dead, &names, visit)).collect(),
        replays: story.replays.iter().map(|waiting| (waiting.letter, visit.at(waiting.due))).collect(),
        waits: story.waits.iter().map(|row| Wait::of(row, visit)).collect(),
        waiting_at: format!("/waiting?integration={}", found.id),
        entries: entries.collect(),
        several,
        cut: story.timeline.len() > SHOWN,
        title: found.title,
        number,
    };
    Ok(html::page(status, &view))
}

/// What may be corrected, with what was typed already.
fn fields(given: &[(CorrectedField, String)], visit: &Visit<'_>) -> Vec<Field> {
    let field = |field: CorrectedField| Field {
        code: field.as_str(),
        name: field.words(visit.language),
        form: corrected::form(field, visit.language),
        value: given.iter().find(|(known, _)| *known == field).map(|(_, text)| text.clone()).unwrap_or_default(),
        may_be_empty: matches!(field, CorrectedField::Date | CorrectedField::Window | CorrectedField::Comment),
    };
    CorrectedField::ALL.into_iter().map(field).collect()
}

/// Asks MeaSoft what it has of the order now.
pub async fn inquire(visit: &Visit<'_>) -> Result<Response, Stop> {
    let id = visit.live_integration().await?.id;
    let number = visit.parts.get(1).cloned().unwrap_or_default();
    let at = order_at(id.0, &number);
    let errand = Errand::Inquire(id, number.clone());
    let (config, store) = (visit.console.0.config.clone(), visit.store().clone());
    let begun = visit.begin(&errand, PATIENCE, move |_| async move {
        let integration = errand::live(&store, id).await?;
        Ok(Came::Inquire(inquire::inquire(&config, &store, &integration, &number).await?))
    });
    errand::begun(visit, begun, &format!("{at}#measoft"))
}
