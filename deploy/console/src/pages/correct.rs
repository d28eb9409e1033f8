//! One order set right: what RetailCRM says of it, corrected for MeaSoft.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use bridge_worker::correct::{Corrigible, NotCorrected};
use shared::domain::{CorrectedField, OrderNumber};
use shared::store::corrections::Corrected;

use crate::pages::order::{self, Draft};
use crate::seen::corrected::form;
use crate::texts::Notice;
use crate::visit::{Stop, Visit};

/// RetailCRM is waited for this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Values of the form. A field that is to be emptied is ticked apart: what is left empty stays.
fn given(visit: &Visit<'_>) -> Vec<(CorrectedField, String)> {
    let empties = |field: CorrectedField| visit.form.text(&format!("no-{}", field.as_str())).is_some();
    let value = |field: CorrectedField| match visit.form.text(field.as_str()) {
        Some(text) => Some((field, text.to_owned())),
        None => empties(field).then(|| (field, String::new())),
    };
    CorrectedField::ALL.into_iter().filter_map(value).collect()
}

pub async fn correct(visit: &Visit<'_>) -> Result<Response, Stop> {
    let integration = visit.live_integration().await?;
    let number = visit.parts.get(1).and_then(|text| OrderNumber::parse(text).ok()).ok_or(Stop::NotFound)?;
    let given = given(visit);
    if given.is_empty() {
        return Ok(visit.done(Notice::NothingGiven));
    }
    let seen = visit.form.number("seen").ok_or(Stop::BadForm)?;
    let (config, store, t) = (&visit.console.0.config, visit.store(), visit.t());
    let found = tokio::time::timeout(PATIENCE, Corrigible::find(config, store, &integration, &number)).await;
    let found = found.unwrap_or_else(|_| Err(anyhow::anyhow!("RetailCRM does not answer")));
    let done = match found {
        Ok(order) => order.correct(store, &given, seen, &visit.who()).await.map(|done| (done, order.version)),
        Err(error) => match error.downcast::<NotCorrected>() {
            Ok(why) => Err(why),
            Err(other) => {
                tracing::warn!(error = %other, "an order could not be corrected");
                return again(visit, given, seen, t.crm_silent.to_owned()).await;
            }
        },
    };
    match done {
        Ok((Corrected::Done(_), _)) => Ok(visit.done(Notice::Corrected)),
        Ok((Corrected::Overtaken { who, at }, version)) => {
            let why = format!("{} {who}, {}. {}", t.overtaken, visit.at(at), t.overtaken_next);
            again(visit, given, version, why).await
        }
        Err(NotCorrected::Refused { field, .. }) => {
            let why = format!("{} {} ({})", t.bad_value, field.words(visit.language), form(field, visit.language));
            again(visit, given, seen, why).await
        }
        Err(NotCorrected::Nothing) => Ok(visit.done(Notice::NothingDiffers)),
        Err(NotCorrected::NotFound(_)) => again(visit, given, seen, t.crm_has_none.to_owned()).await,
        Err(NotCorrected::Several(..)) => again(visit, given, seen, t.several_orders.to_owned()).await,
        Err(NotCorrected::Crm(error)) => {
            tracing::warn!(%error, "RetailCRM did not say what an order is like");
            again(visit, given, seen, t.crm_silent.to_owned()).await
        }
        Err(NotCorrected::Store(error)) => Err(error.into()),
    }
}

/// The page once more, with what was typed and why it was not kept.
async fn again(
    visit: &Visit<'_>,
    given: Vec<(CorrectedField, String)>,
    seen: i64,
    why: String,
) -> Result<Response, Stop> {
    order::shown(visit, StatusCode::UNPROCESSABLE_ENTITY, Some(Draft { given, seen, why })).await
}
