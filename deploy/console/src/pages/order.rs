//! One order: what happened to it, in words, with every exchange folded.

use std::collections::BTreeSet;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use shared::domain::{CrmOrderId, IntegrationId};
use shared::store::dead_letters::DeadFilter;
use shared::store::journal::{StoredEntry, What};

use crate::html;
use crate::pages::frame::{Frame, titles};
use crate::pages::letters::{Letter, order_at};
use crate::seen::moments;
use crate::seen::story::Story;
use crate::seen::told;
use crate::seen::words::state;
use crate::visit::{Stop, Visit};

/// Entries that are shown of a long story.
const SHOWN: usize = 200;
/// Failures that are looked at to find whose a number is.
const SOME: u32 = 50;

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
    is_waiting: bool,
    waiting_at: String,
    entries: Vec<Entry>,
    /// Several orders bear the number.
    several: bool,
    cut: bool,
}

/// One order that bears the number.
struct Order {
    crm_id: i64,
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
    /// The journal's own words, English.
    text: String,
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
            text: kept.text.clone(),
            is_good: good == Some(true) && kept.what != What::Trigger,
            is_bad: good == Some(false) && kept.what != What::Trigger,
            took: kept.duration_ms.map_or_else(String::new, |ms| told::took(ms, visit.language)),
            request: told::pretty(kept.request.as_deref().unwrap_or_default()),
            response: told::pretty(kept.response.as_deref().unwrap_or_default()),
            crm_id: crm_id.map(|id| id.0),
        }
    }
}

fn orders(story: &Story, visit: &Visit<'_>) -> Vec<Order> {
    let of = |key: &(IntegrationId, CrmOrderId)| Order {
        crm_id: key.1.0,
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

pub async fn page(visit: &Visit<'_>) -> Result<Response, Stop> {
    let found = visit.integration().await?;
    let number = visit.parts.get(1).cloned().unwrap_or_default();
    let story = Story::of(visit.store(), &number, Some(found.id)).await?;
    let order = story.orders().into_iter().next().map(|(_, order)| order);
    let letters = visit.store().open_letters_of(found.id, order, &number).await?;
    let waits = visit.store().order_waits(found.id, &number).await?;
    // The journal is forgotten sooner than what is open.
    if story.is_empty() && letters.is_empty() && !waits {
        let view = Find { f: Frame::of(visit, "orders"), number, found: Vec::new() };
        return Ok(html::page(StatusCode::NOT_FOUND, &view));
    }
    let names = titles(visit, vec![found.id]).await?;
    let several = story.orders().len() > 1;
    let entries = story.timeline.iter().rev().take(SHOWN).map(|kept| {
        let crm_id = story.order_of(kept).map(|(_, order)| order).filter(|_| several);
        Entry::of(kept, crm_id, visit)
    });
    let view = View {
        f: Frame::of(visit, "orders"),
        integration: found.id.0,
        title: found.title,
        orders: orders(&story, visit),
        letters: letters.into_iter().map(|dead| Letter::of(dead, &names, visit)).collect(),
        replays: story.replays.iter().map(|waiting| (waiting.letter, visit.at(waiting.due))).collect(),
        is_waiting: waits,
        waiting_at: format!("/waiting?integration={}", found.id),
        entries: entries.collect(),
        several,
        cut: story.timeline.len() > SHOWN,
        number,
    };
    Ok(html::page(StatusCode::OK, &view))
}
