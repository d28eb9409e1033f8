//! How an errand is shown while it runs, and when it failed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::response::Response;
use shared::domain::{Integration, IntegrationId, IntegrationState};
use shared::store::Store;

use crate::errands::{Came, Errand, Look, Stand};
use crate::html;
use crate::seen::compared;
use crate::texts::Notice;
use crate::visit::{Stop, Visit};

/// An errand is waited for this long before its page says that it runs.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// Who asked for an errand and when, and how far it is.
pub struct Shown {
    pub who: String,
    pub at: String,
    /// What is being read; empty where that is not told.
    pub runs: Option<String>,
    /// Why it failed, in English.
    pub failed: Option<String>,
}

/// How an errand is, with what came of it; `None`: nobody asked for it lately.
pub async fn look(visit: &Visit<'_>, errand: &Errand) -> Option<(Shown, Option<Arc<Came>>)> {
    look_for(visit, errand, PATIENCE).await
}

/// The same, waiting for its end as long as is said.
pub async fn look_for(visit: &Visit<'_>, errand: &Errand, patience: Duration) -> Option<(Shown, Option<Arc<Came>>)> {
    let Look { began, who, stand } = visit.console.0.errands.look(errand, patience).await?;
    let mut shown = Shown { who, at: visit.at(began), runs: None, failed: None };
    let mut came = None;
    match stand {
        Stand::Runs(reads) => {
            shown.runs = Some(reads.map_or_else(String::new, |step| compared::reads(step, visit.language)));
        }
        Stand::Failed(why) => shown.failed = Some(why),
        Stand::Done(what) => came = Some(what),
    }
    Some((shown, came))
}

/// The integration as it is when the turn of an errand has come: its keys may be others by then.
///
/// # Errors
/// When it is removed, or the database does not answer.
pub async fn live(store: &Store, id: IntegrationId) -> anyhow::Result<Integration> {
    let found = store.integration(id).await?.filter(|found| found.state != IntegrationState::Removed);
    found.with_context(|| format!("integration {id} is removed"))
}

/// To where an errand that was begun is shown.
pub fn begun(visit: &Visit<'_>, begun: bool, at: &str) -> Result<Response, Stop> {
    if begun { Ok(html::see(at)) } else { Ok(visit.done(Notice::TooMany)) }
}
