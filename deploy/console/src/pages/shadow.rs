//! «Тень»: what an integration found that is a shadow of the one before it.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::{Timestamp, ToSpan as _};
use shared::store::shadow_orders::{ShadowOrder, Side};

use crate::pages::frame::{Choice, Frame, choices};
use crate::pages::letters::order_at;
use crate::seen::shadow::{counts, is_told, verdict, why};
use crate::visit::{Stop, Visit};
use crate::{csv, html};

/// Orders of a page; the table for other programs has all of them.
const SHOWN: usize = 200;
/// How far back it looks, days.
const DAYS: i64 = 7;

#[derive(Template)]
#[template(path = "shadow.html")]
struct View {
    f: Frame,
    choices: Vec<Choice>,
    /// How many, of what.
    counts: Vec<(usize, &'static str)>,
    live: usize,
    rows: Vec<Row>,
    /// Those that are not shown.
    more: usize,
    /// No order was looked at at all.
    is_empty: bool,
    csv_at: String,
}

struct Row {
    number: String,
    order_at: String,
    integration: i64,
    verdict: &'static str,
    why: String,
    status: String,
    decided: String,
}

async fn read(visit: &Visit<'_>) -> Result<Vec<ShadowOrder>, Stop> {
    let since = visit.now().checked_sub((DAYS * 24).hours()).unwrap_or(Timestamp::UNIX_EPOCH);
    Ok(visit.store().shadow_orders_since(visit.only().await?, since).await?)
}

impl Row {
    fn of(row: &ShadowOrder, visit: &Visit<'_>) -> Self {
        Self {
            order_at: order_at(row.integration.0, &row.number),
            number: row.number.clone(),
            integration: row.integration.0,
            verdict: verdict(row.verdict, visit.language),
            why: why(row, visit.language),
            status: row.content.status.clone().unwrap_or_else(|| "—".to_owned()),
            decided: visit.at(row.decided_at),
        }
    }
}

pub async fn page(visit: &Visit<'_>) -> Result<Response, Stop> {
    let rows = read(visit).await?;
    let told: Vec<&ShadowOrder> = rows.iter().filter(|row| is_told(row)).collect();
    let counted = counts(&rows).into_iter().filter(|(_, n)| *n > 0);
    let view = View {
        f: Frame::of(visit, "compare"),
        choices: choices(visit).await?,
        counts: counted.map(|(one, n)| (n, verdict(one, visit.language))).collect(),
        live: rows.iter().filter(|row| row.side == Side::Live).count(),
        more: told.len().saturating_sub(SHOWN),
        rows: told.into_iter().take(SHOWN).map(|row| Row::of(row, visit)).collect(),
        is_empty: rows.is_empty(),
        csv_at: format!("/shadow.csv{}", visit.query.with(&[("done", "")]).query()),
    };
    Ok(html::page(StatusCode::OK, &view))
}

pub async fn csv(visit: &Visit<'_>) -> Result<Response, Stop> {
    let (t, rows) = (visit.t(), read(visit).await?);
    let heading = [t.integration, t.order, t.orderno, t.what, t.why, t.status, t.since];
    let line = |row: &ShadowOrder| {
        let shown = Row::of(row, visit);
        let orderno = row.orderno.clone().unwrap_or_default();
        vec![
            shown.integration.to_string(),
            shown.number,
            orderno,
            shown.verdict.to_owned(),
            shown.why,
            shown.status,
            shown.decided,
        ]
    };
    Ok(csv::file("shadow", &heading, &rows.iter().map(line).collect::<Vec<_>>()))
}
