//! Notifies users of RetailCRM when a failure of a new cause comes up and when nothing of it is
//! left, where the shop asks for it: seldom, and never twice of one thing. A RetailCRM that refuses
//! it loses nothing else; `bridge doctor` tells.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::clock::later;
use shared::domain::{Integration, IntegrationId, Language};
use shared::explain;
use shared::message::{Change, Kind, Needless, Outcome};
use shared::retailcrm::{Class, Notification, NotificationKind};
use shared::store;
use shared::store::Store;
use shared::store::causes::Cause;
use shared::store::dead_letters::DeadFilter;
use shared::store::journal::{Entry, What};
use shared::story::{Event, Reason};

use crate::jobs::job::{Asked, Job};
use crate::sync::guard::LeaseGuard;
use crate::sync::internal;
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;

/// Between two notifications of an integration; what comes up meanwhile goes together.
const EVERY: Duration = Duration::from_secs(300);
/// A cause that was over and comes again sooner is not told of until then.
const QUIET: Duration = Duration::from_secs(3600);

pub(super) const JOB: Job = Job { kind: Kind::NotifyOfCauses, comes_again: |_| true, run: |asked| run(asked).boxed() };

/// What users were told, as it is kept under [`name`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Told {
    /// Reasons that came up.
    open: BTreeSet<String>,
    /// Reasons that were over, and when.
    over: BTreeMap<String, Timestamp>,
    /// Nothing is told before.
    not_before: Option<Timestamp>,
    /// What RetailCRM said when it refused.
    refused: Option<String>,
}

/// What there is to tell.
#[derive(Debug, PartialEq, Eq)]
struct News {
    new: Vec<(String, i64)>,
    over: Vec<String>,
    /// When it is told.
    after: Told,
}

fn name(id: IntegrationId) -> String {
    format!("notified:{id}")
}

async fn told(store: &Store, id: IntegrationId) -> store::Result<Told> {
    let kept = store.cursor(&name(id)).await?;
    Ok(kept.and_then(|(text, _)| serde_json::from_str(&text).ok()).unwrap_or_default())
}

/// What RetailCRM said when it refused to notify users for the last time, if it does.
pub async fn refused_to_notify(store: &Store, id: IntegrationId) -> Option<String> {
    told(store, id).await.ok()?.refused
}

/// Compares what was told with what is open.
fn decide(told: &Told, causes: &[Cause], now: Timestamp) -> Option<News> {
    if told.not_before.is_some_and(|moment| now < moment) {
        return None;
    }
    let is_quiet = |reason: &String| told.over.get(reason).is_some_and(|at| now < later(*at, QUIET));
    let new: Vec<(String, i64)> = causes
        .iter()
        .filter(|cause| cause.snoozed.is_none() && !told.open.contains(&cause.reason) && !is_quiet(&cause.reason))
        .map(|cause| (cause.reason.clone(), cause.letters))
        .collect();
    let over: Vec<String> =
        told.open.iter().filter(|reason| causes.iter().all(|cause| cause.reason != **reason)).cloned().collect();
    if new.is_empty() && over.is_empty() {
        return None;
    }
    let mut after = Told { not_before: Some(later(now, EVERY)), refused: None, ..told.clone() };
    after.open.retain(|reason| !over.contains(reason));
    after.open.extend(new.iter().map(|(reason, _)| reason.clone()));
    after.over.retain(|_, at| now < later(*at, QUIET));
    after.over.extend(over.iter().map(|reason| (reason.clone(), now)));
    Some(News { new, over, after })
}

async fn run(asked: &Asked<'_>) -> Outcome {
    let active = match asked.active() {
        Ok(active) => active,
        Err(outcome) => return outcome,
    };
    if active.integration.settings.notify_groups.is_empty() {
        return Outcome::AlreadyDone(Needless::NotForThisJob);
    }
    let guard = match LeaseGuard::take(asked.tools, &format!("notify|{}", active.id())).await {
        Ok(Some(guard)) => guard,
        Ok(None) => return Outcome::Superseded(Needless::OthersTurn),
        Err(_) => return internal(),
    };
    let done = tell(asked.tools, &active, &guard).await;
    guard.release().await;
    match done {
        Ok(true) => Outcome::Done(Change::Synced),
        Ok(false) => Outcome::AlreadyDone(Needless::NothingWaits),
        Err(_) => internal(),
    }
}

/// It is written down first: who dies between that and the request has told nothing, and nobody is
/// told twice.
async fn tell(tools: &Tools, active: &ActiveIntegration, guard: &LeaseGuard) -> store::Result<bool> {
    let (id, now) = (active.id(), tools.clock.now());
    let before = told(&tools.store, id).await?;
    let causes = tools.store.causes(&DeadFilter { integration: Some(id), ..DeadFilter::default() }).await?;
    let Some(news) = decide(&before, &causes, now) else { return Ok(false) };
    if !keep(tools, guard, id, &news.after).await? {
        return Ok(false);
    }
    match active.vendors.crm.notify(&notification(&active.integration, &news)).await {
        Ok(()) => {
            tools.journal.write(Entry::of(now, What::Crm, story(&news)).about(id, ""));
            Ok(true)
        }
        Err(error) if error.may_have_happened() => Ok(true),
        Err(error) => {
            tracing::info!(integration = id.0, outcome = error.label(), "RetailCRM's users are not notified");
            let passes = error.class() == Class::Retry;
            let not_before = Some(later(now, if passes { EVERY } else { QUIET }));
            let refused = (!passes).then(|| error.to_string());
            keep(tools, guard, id, &Told { not_before, refused, ..before }).await?;
            Ok(false)
        }
    }
}

async fn keep(tools: &Tools, guard: &LeaseGuard, id: IntegrationId, told: &Told) -> store::Result<bool> {
    let text = serde_json::to_string(told).expect("texts and moments serialise");
    let (name, now) = (name(id), tools.clock.now());
    let kept = tools.store.under_lease(&guard.lease, async |tx| tx.set_cursor(&name, &text, now).await).await?;
    Ok(kept.is_some())
}

fn story(news: &News) -> Vec<Event> {
    let reasons = |of: &mut dyn Iterator<Item = &String>| -> Vec<Reason> { of.map(|r| r.as_str().into()).collect() };
    let mut told = Vec::new();
    if !news.new.is_empty() {
        told.push(Event::UsersNotified { of_them: reasons(&mut news.new.iter().map(|(reason, _)| reason)) });
    }
    if !news.over.is_empty() {
        told.push(Event::UsersNotifiedOfEnd { of_them: reasons(&mut news.over.iter()) });
    }
    told
}

/// In the shop's language: what happened and what to do, nothing of any order.
fn notification(integration: &Integration, news: &News) -> Notification {
    let language = integration.settings.language;
    let of = |ru: &'static str, en: &'static str| if language == Language::En { en } else { ru };
    let title = match integration.title.trim() {
        "" => String::new(),
        title => format!(" ({})", escaped(title)),
    };
    let mut message = format!("<p>{}{title}</p>", of("Доставка MeaSoft", "MeaSoft delivery"));
    for (reason, letters) in &news.new {
        let words = explain::translated(reason, language);
        let failed = of("Не выполнено", "Not done");
        let (text, next) = (escaped(words.text), escaped(words.next_step));
        message.push_str(&format!("<p>{text} {next} {failed}: {letters}.</p>"));
    }
    for reason in &news.over {
        let text = escaped(explain::translated(reason, language).text);
        message.push_str(&format!("<p>{}: {text}</p>", of("Больше не повторяется", "It is over")));
    }
    Notification {
        kind: if news.new.is_empty() { NotificationKind::Info } else { NotificationKind::Error },
        message,
        user_groups: integration.settings.notify_groups.clone(),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests;
