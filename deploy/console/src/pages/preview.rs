//! What would be done for an order now, as an errand: nothing is written or sent.

use std::time::Duration;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use bridge_worker::preview::{Preview, preview};
use shared::domain::OrderNumber;
use shared::story;

use crate::errands::{Came, Errand};
use crate::html;
use crate::pages::errand::{self, Shown};
use crate::pages::frame::Frame;
use crate::pages::letters::order_at;
use crate::seen::corrected;
use crate::seen::previewed::{field, in_lines, unchanged, word, words};
use crate::seen::told;
use crate::seen::words as reasons;
use crate::visit::{Stop, Visit};

/// RetailCRM and MeaSoft are waited for this long.
const LIMIT: Duration = Duration::from_secs(180);

#[derive(Template)]
#[template(path = "preview.html")]
struct View {
    f: Frame,
    number: String,
    order_at: String,
    errand: Option<Shown>,
    found: Option<Found>,
}

struct Found {
    decisions: Vec<Decision>,
    failures: Vec<Failure>,
    corrections: Vec<String>,
    /// Number at MeaSoft, field, as it is, as it would be.
    differences: Vec<(String, String, String, String)>,
    unchanged: Option<&'static str>,
    /// Whose, what it is called, its body.
    requests: Vec<(&'static str, String, String)>,
}

struct Decision {
    words: String,
    is_bad: bool,
    crm_id: Option<i64>,
    orderno: String,
    /// The journal's own words, English.
    text: String,
}

struct Failure {
    reason: String,
    text: &'static str,
    next_step: &'static str,
    fault: &'static str,
    who_acts: &'static str,
}

impl Found {
    fn of(found: &Preview, visit: &Visit<'_>) -> Self {
        let language = visit.language;
        let decision = |one: &bridge_worker::preview::Decision| {
            let word = word(one, found);
            Decision {
                words: words(word, language).to_owned(),
                is_bad: word == "give_up",
                crm_id: one.order.map(|id| id.0),
                orderno: one.orderno.clone().unwrap_or_default(),
                text: story::words(&one.story, &visit.reader()),
            }
        };
        let failure = |dead: &shared::store::dead_letters::DeadLetter| {
            let words = reasons::reason(&dead.reason, language);
            Failure {
                reason: dead.reason.clone(),
                text: words.text,
                next_step: words.next_step,
                fault: dead.fault.as_str(),
                who_acts: reasons::who_acts(dead.fault, language),
            }
        };
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "—".to_owned());
        let measoft =
            found.to_measoft.iter().map(|held| ("MeaSoft", held.op.as_str().to_owned(), in_lines(&held.masked)));
        let crm =
            found.to_crm.iter().map(|held| ("RetailCRM", held.op.as_str().to_owned(), told::pretty(&held.masked)));
        Self {
            decisions: found.decisions.iter().map(decision).collect(),
            failures: found.failures.iter().map(failure).collect(),
            corrections: found.corrections.iter().map(|one| corrected::words(one, false, language)).collect(),
            differences: found
                .differences
                .iter()
                .map(|one| (one.orderno.clone(), field(&one.field, language), shown(&one.has), shown(&one.would_have)))
                .collect(),
            unchanged: unchanged(found, language),
            requests: measoft.chain(crm).collect(),
        }
    }
}

/// The order of the address.
fn number(visit: &Visit<'_>) -> Result<OrderNumber, Stop> {
    visit.parts.get(1).and_then(|text| OrderNumber::parse(text).ok()).ok_or(Stop::NotFound)
}

pub async fn page(visit: &Visit<'_>) -> Result<Response, Stop> {
    let (integration, number) = (visit.integration().await?, number(visit)?);
    let errand = Errand::Preview(integration.id, number.as_str().to_owned());
    let (shown, came) = errand::look(visit, &errand).await.unzip();
    let found = match came.flatten().as_deref() {
        Some(Came::Preview(found)) => Some(Found::of(found, visit)),
        _ => None,
    };
    let view = View {
        f: Frame::of(visit, "orders"),
        order_at: order_at(integration.id.0, number.as_str()),
        number: number.as_str().to_owned(),
        errand: shown,
        found,
    };
    Ok(html::page(StatusCode::OK, &view))
}

pub async fn ask(visit: &Visit<'_>) -> Result<Response, Stop> {
    let (id, number) = (visit.live_integration().await?.id, number(visit)?);
    let errand = Errand::Preview(id, number.as_str().to_owned());
    let at = format!("{}/preview", order_at(id.0, number.as_str()));
    let (config, store) = (visit.console.0.config.clone(), visit.store().clone());
    let begun = visit.begin(&errand, LIMIT, move |_| async move {
        let integration = errand::live(&store, id).await?;
        Ok(Came::Preview(Box::new(preview(&config, &store, &integration, &number, None).await?)))
    });
    errand::begun(visit, begun, &at)
}
