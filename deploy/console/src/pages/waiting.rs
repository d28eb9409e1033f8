//! «Ожидание»: what waits, why, since when and until when.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use shared::domain::{IntegrationId, IntegrationState};
use shared::store::waiting_orders::{Dropped, RequestKey, WaitingFilter, WaitingOrder};
use shared::store::waits::{Stand, Work};

use crate::pages::frame::{Choice, Frame, choices};
use crate::pages::letters::order_at;
use crate::seen::why::{self, Look, Row as Waits, held_words, paused};
use crate::texts::Notice;
use crate::visit::{Stop, Visit};
use crate::{csv, html};

/// Orders of a page.
const PAGE: u32 = 50;

#[derive(Template)]
#[template(path = "waiting.html")]
struct View {
    f: Frame,
    choices: Vec<Choice>,
    rows: Vec<Row>,
    more: bool,
    held: Vec<String>,
    /// Of an integration that rests: number, name, by whom and why.
    paused: Vec<(i64, String, String)>,
    orders: Vec<Order>,
    csv_at: String,
    further_at: Option<String>,
    newest_at: Option<String>,
}

struct Row {
    count: i64,
    what: String,
    /// A word of `Work` that can be hurried.
    hurry: Option<&'static str>,
    integration: Option<(i64, String)>,
    since: String,
    next: String,
    why: String,
}

struct Order {
    key: String,
    requested: i64,
    number: String,
    order_at: String,
    integration: i64,
    title: String,
    since: String,
    next: String,
    why: String,
    can_hurry: bool,
    can_drop: bool,
}

/// What waits, of the integration that is asked for.
async fn asked(visit: &Visit<'_>) -> Result<Look, Stop> {
    let mut look = Look::at(visit.store()).await?;
    if let Some(id) = visit.only().await? {
        look.held = look.held_of(id);
        look.rows.retain(|row| row.integration == Some(id));
        look.integrations.retain(|other, _| *other == id);
    }
    Ok(look)
}

fn title(look: &Look, id: IntegrationId) -> String {
    look.integrations.get(&id).map_or_else(|| id.to_string(), |found| found.title.clone())
}

impl Row {
    fn of(row: &Waits, look: &Look, visit: &Visit<'_>) -> Self {
        let may = row.why.may_be_hurried() && row.integration.is_some() && row.next.is_some();
        let hurry = Work::parse(row.what).filter(|_| may);
        Self {
            count: row.number,
            what: row.words(visit.language),
            hurry: hurry.map(Work::as_str),
            integration: row.integration.map(|id| (id.0, title(look, id))),
            since: visit.at(row.since),
            next: row.next.map_or_else(|| "—".to_owned(), |at| visit.at(at)),
            why: row.why.words(visit.language, visit.zone()),
        }
    }
}

/// `1.27`: of an order's own requests, row 27.
fn key_text(key: RequestKey) -> String {
    format!("{}.{}", u8::from(key.by_id), key.row)
}

fn parse_key(text: &str) -> Option<RequestKey> {
    let (by_id, row) = text.split_once('.')?;
    Some(RequestKey { by_id: by_id == "1", row: row.parse().ok()? })
}

impl Order {
    fn of(order: WaitingOrder, look: &Look, visit: &Visit<'_>) -> Self {
        let row = why::of_order(&order, look.integrations.get(&order.integration), &look.held);
        Self {
            key: key_text(order.key),
            requested: order.requested,
            order_at: order_at(order.integration.0, &order.number),
            number: order.number,
            integration: order.integration.0,
            title: title(look, order.integration),
            since: visit.at(order.since),
            next: row.next.map_or_else(|| "—".to_owned(), |at| visit.at(at)),
            why: row.why.words(visit.language, visit.zone()),
            can_hurry: order.stand == Stand::Later && row.why.may_be_hurried(),
            can_drop: order.stand != Stand::InHand,
        }
    }
}

pub async fn page(visit: &Visit<'_>) -> Result<Response, Stop> {
    let look = asked(visit).await?;
    let after = visit.query.text("after").and_then(|text| {
        let (at, key) = text.split_once('.')?;
        Some((Timestamp::from_millisecond(at.parse().ok()?).ok()?, parse_key(key)?))
    });
    let filter = WaitingFilter { integration: visit.only().await?, after, limit: PAGE + 1 };
    let mut orders = visit.store().waiting_orders(&filter).await?;
    let more = orders.len() > PAGE as usize;
    orders.truncate(PAGE as usize);
    let at = |after: &str| format!("/waiting{}", visit.query.with(&[("after", after), ("done", "")]).query());
    let last = orders.last().filter(|_| more);
    let resting = look.integrations.values().filter_map(|found| match &found.state {
        IntegrationState::Paused { by, reason } => {
            Some((found.id.0, found.title.clone(), paused(*by, reason, visit.language)))
        }
        _ => None,
    });
    let view = View {
        f: Frame::of(visit, "waiting"),
        choices: choices(visit).await?,
        rows: look.rows.iter().map(|row| Row::of(row, &look, visit)).collect(),
        more: look.more,
        held: look.held.iter().map(|held| held_words(held, visit.language, visit.zone())).collect(),
        paused: resting.collect(),
        further_at: last.map(|one| at(&format!("{}.{}", one.since.as_millisecond(), key_text(one.key)))),
        newest_at: visit.query.text("after").map(|_| at("")),
        csv_at: format!("/waiting.csv{}", visit.query.with(&[("after", "")]).query()),
        orders: orders.into_iter().map(|order| Order::of(order, &look, visit)).collect(),
    };
    Ok(html::page(StatusCode::OK, &view))
}

pub async fn csv(visit: &Visit<'_>) -> Result<Response, Stop> {
    let (t, look) = (visit.t(), asked(visit).await?);
    let heading = [t.how_many, t.what, t.integration, t.since, t.next_try, t.why];
    let line = |row: &Waits| {
        let row = Row::of(row, &look, visit);
        let place = row.integration.map_or_else(String::new, |(id, title)| format!("{id} {title}"));
        vec![row.count.to_string(), row.what, place, row.since, row.next, row.why]
    };
    Ok(csv::file("waiting", &heading, &look.rows.iter().map(line).collect::<Vec<_>>()))
}

/// The integration that a form is about.
fn of_form(visit: &Visit<'_>) -> Result<IntegrationId, Stop> {
    visit.form.number("integration").map(IntegrationId).ok_or(Stop::BadForm)
}

/// All of a sort, or one order.
pub async fn hurry(visit: &Visit<'_>) -> Result<Response, Stop> {
    let integration = of_form(visit)?;
    let (work, only) = match visit.form.text("order") {
        Some(key) => (Work::Orders, Some(parse_key(key).ok_or(Stop::BadForm)?)),
        None => (visit.form.text("work").and_then(Work::parse).ok_or(Stop::BadForm)?, None),
    };
    let hurried = visit.store().hurry(work, integration, only, &visit.who()).await?;
    Ok(visit.done(if hurried == 0 { Notice::NothingWaits } else { Notice::Hurried }))
}

pub async fn drop(visit: &Visit<'_>) -> Result<Response, Stop> {
    let key = visit.form.text("order").and_then(parse_key).ok_or(Stop::BadForm)?;
    let seen = visit.form.number("requested").ok_or(Stop::BadForm)?;
    let Some(why) = visit.why()? else { return Ok(visit.done(Notice::ReasonMissing)) };
    Ok(visit.done(match visit.store().drop_request(key, seen, why, &visit.who()).await? {
        Dropped::Done => Notice::Dropped,
        Dropped::Gone => Notice::Gone,
        Dropped::InHand => Notice::InHand,
        Dropped::Uncertain => Notice::Uncertain,
    }))
}
