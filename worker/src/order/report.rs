//! What is done at RetailCRM on an order's behalf: whose it is now, and telling it what
//! became of it at MeaSoft.

use std::collections::BTreeMap;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use shared::domain::delivery::CrmWritten;
use shared::domain::{CrmOrderId, Delivery, Language, status_list};
use shared::explain;
use shared::message::{Candidate, Change, GiveUp, Outcome, RetryWhy};
use shared::phrases::{Detail, Reader, Value as _};
use shared::reason;
use shared::retailcrm::CrmError;
use shared::retailcrm::error::Class;
use shared::retailcrm::wire::order::Order;
use shared::retailcrm::wire::tracking::{MAX_UPDATES, TrackingEntry, TrackingUpdate};
use shared::story::Event as Told;

use crate::order::attempt::Attempt;
use crate::order::confidential;
use crate::order::decide::Presence;
use crate::order::delivery_fields;
use crate::order::tell;
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::references::References;

pub use shared::domain::status_list::ERROR as ERROR_STATUS;

/// Edits of orders under way at one time: RetailCRM's own rate holds them back, not its distance.
const EDITS_AT_ONCE: usize = 6;

/// How often RetailCRM is told of a delivery without showing that it knows.
const TOLD_UNSEEN: u8 = 3;

/// What an answer to `save` takes at most, from its result to RetailCRM.
const ANSWERING: std::time::Duration = std::time::Duration::from_millis(300);

/// The outcome of a failed call. An account that refuses us pauses the integration.
pub async fn failure(tools: &Tools, active: &ActiveIntegration, error: &CrmError) -> Outcome {
    let not_before = error.retry_after().and_then(|pause| tools.clock.now().checked_add(pause).ok());
    match error.class() {
        Class::Retry => {
            let why = match error {
                CrmError::RateLimited { .. } => RetryWhy::CrmRateLimited,
                CrmError::Resting { .. } => RetryWhy::BreakerOpen,
                _ => RetryWhy::CrmUnavailable,
            };
            Outcome::retry_at(why, not_before)
        }
        Class::Park => {
            let reason = match error {
                CrmError::AccessDenied { .. } => reason::CRM_SCOPE_MISSING,
                CrmError::Unreadable(_) => reason::UNREADABLE_ORDER,
                _ => reason::CRM_ERROR,
            };
            Outcome::GiveUp(GiveUp { reason, fault: error.fault(), detail: error.detail() })
        }
        Class::StopIntegration => {
            let why = match error {
                CrmError::AccessDenied { op, .. } => {
                    format!("{}: the right {} is missing", reason::CRM_ACCESS, op.scope().unwrap_or("to use the API"))
                }
                _ => reason::CRM_ACCESS.to_owned(),
            };
            tools.pause_for_crm(active, &why).await;
            Outcome::retry(RetryWhy::Paused)
        }
    }
}

/// What there is to tell by whose an order is, beside the order itself.
#[derive(Debug, Clone, Copy)]
pub struct Whose<'a> {
    /// Pairs of the shop's own cancel trigger.
    pub candidates: &'a [Candidate],
    /// Delivery type that the ledger knows of it.
    pub known_type: Option<&'a str>,
    /// A cancel is unserved.
    pub cancel: bool,
}

/// Whose the order is now.
pub fn shown(order: &Order, attempt: &Attempt, active: &ActiveIntegration, module_code: &str) -> Presence {
    let claim = Whose {
        candidates: &attempt.intent.candidates,
        known_type: attempt.delivery.as_ref().map(|d| d.delivery_type.as_str()),
        cancel: attempt.requested().cancel,
    };
    whose(order, &claim, active, module_code)
}

pub fn whose(order: &Order, claim: &Whose<'_>, active: &ActiveIntegration, module_code: &str) -> Presence {
    let settings = &active.integration.settings;
    let code = order.delivery.code.as_deref();
    if code.is_some_and(|code| settings.delivery_types.iter().any(|t| t == code)) {
        return Presence::Ours;
    }
    if let Some(instance) = order.delivery.integration_code.as_deref() {
        return if instance == active.integration.code(module_code) { Presence::Ours } else { Presence::Elsewhere };
    }
    // RetailCRM ties the type to no module: what the shop's own trigger and our ledger say.
    let named = claim.candidates.iter().filter(|c| c.integration == active.id()).map(|c| c.delivery_type.as_str());
    let known = claim.known_type.filter(|t| !t.is_empty());
    let mut types = named.chain(known).peekable();
    match (code, types.peek().is_some()) {
        (Some(code), true) if types.any(|t| t == code) => Presence::Ours,
        (_, true) => Presence::Elsewhere,
        // Nothing says what our types are: the key of the trigger is all there is.
        _ if settings.delivery_types.is_empty() && !claim.cancel && code.is_some() => Presence::Ours,
        _ => Presence::Elsewhere,
    }
}

/// What shows that another integration has handed the order over: a delivery's id that is none
/// of ours, or a status without any (protocols/retailcrm.md#delivery).
pub fn foreign(order: &Order) -> Option<Detail> {
    let data = &order.delivery.data;
    let given = |text: &Option<String>| text.as_deref().map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned);
    match (given(&data.external_id), given(&data.status)) {
        (Some(id), _) if Delivery::is_external_id_of(&id, order.id) => None,
        (Some(id), _) => Some(Detail::ForeignDelivery { id }),
        (None, Some(status)) => Some(Detail::ForeignStatus { status }),
        (None, None) => None,
    }
}

/// The module's status code for a MeaSoft status.
pub fn module_status(active: &ActiveIntegration, measoft: &str) -> String {
    status_list::module_code(&active.integration.settings, measoft).unwrap_or_else(|| measoft.to_owned())
}

/// What RetailCRM shows of a failure.
struct Trouble {
    what: String,
    next_step: Option<String>,
}

fn to_write(d: &Delivery, active: &ActiveIntegration, trouble: Option<Trouble>) -> CrmWritten {
    let (error, next_step) = trouble.map(|trouble| (trouble.what, trouble.next_step)).unzip();
    CrmWritten {
        external_id: Delivery::external_id(d.integration, d.crm_order),
        track_number: if d.state.is_placed() { d.orderno.as_str().to_owned() } else { String::new() },
        status: match &error {
            Some(_) => ERROR_STATUS.to_owned(),
            // Told before: what changed since is the sync's to tell, with its own time.
            None if !d.crm_written.status.is_empty() && d.crm_written.error.is_none() => d.crm_written.status.clone(),
            None => module_status(active, d.status.as_deref().unwrap_or("NEW")),
        },
        next_step: next_step.flatten(),
        error,
        owed: None,
        owed_next_step: None,
        unseen: d.crm_written.unseen,
    }
}

/// RetailCRM knows that MeaSoft has the order. Later statuses are the sync's business.
pub fn is_reported(d: &Delivery, active: &ActiveIntegration) -> bool {
    let expected = to_write(d, active, None);
    d.crm_written.external_id == expected.external_id
        && d.crm_written.track_number == expected.track_number
        && d.crm_written.error.is_none()
        && !d.crm_written.status.is_empty()
}

/// RetailCRM drops what it was told of a delivery when the order's type changes, or was told
/// of another integration's meanwhile. An order that came back does not show our id: then
/// nothing was told. An error that is shown stays.
///
/// Telling it is an edit, and may fire the shop's triggers: a RetailCRM that never shows the
/// id would be told for ever.
pub fn notice_forgotten(order: &Order, d: &mut Delivery) {
    let ours = Delivery::external_id(d.integration, d.crm_order);
    if order.delivery.data.external_id.as_deref() == Some(ours.as_str()) {
        d.crm_written.unseen = 0;
    } else if !d.crm_written.external_id.is_empty()
        && d.crm_written.error.is_none()
        && d.crm_written.unseen < TOLD_UNSEEN
    {
        let was = std::mem::take(&mut d.crm_written);
        d.crm_written.unseen = was.unseen + 1;
        (d.crm_written.owed, d.crm_written.owed_next_step) = (was.owed, was.owed_next_step);
    }
}

/// Tells RetailCRM what the batch came to: the delivery's id on the order, its status by
/// tracking. Orders that left meanwhile are let alone.
pub async fn write_back(tools: &Tools, active: &ActiveIntegration, references: &References, attempts: &mut [Attempt]) {
    let mut reports: BTreeMap<CrmOrderId, CrmWritten> = BTreeMap::new();
    for attempt in attempts.iter_mut() {
        if let Some((id, written)) = report_of(attempt, tools, active) {
            let answered = attempt.answer_by.is_some_and(|by| tools.clock.now() + ANSWERING < by);
            match &mut attempt.delivery {
                // RetailCRM is waiting in `save` and must not find its order changed meanwhile.
                Some(d) if answered => d.crm_written = written,
                _ => {
                    reports.insert(id, written);
                }
            }
        }
    }
    if reports.is_empty() {
        return;
    }
    let ids: Vec<CrmOrderId> = reports.keys().copied().collect();
    let orders = match active.vendors.crm.orders_by_ids(&ids).await {
        Ok(rows) => rows.into_iter().flatten().map(|order| (order.id, order)).collect::<BTreeMap<_, _>>(),
        Err(error) => return not_reported(tools, active, attempts, &ids, &error).await,
    };
    // Who lost a delivery's lease has old news of it.
    let leased: Vec<&Delivery> = attempts.iter().filter_map(|attempt| attempt.delivery.as_ref()).collect();
    let Ok(held) = tools.store.still_held(&leased).await else {
        let unreported =
            |attempt: &&mut Attempt| attempt.delivery.as_ref().is_some_and(|d| reports.contains_key(&d.crm_order));
        let later = Outcome::retry(RetryWhy::Internal);
        return attempts.iter_mut().filter(unreported).for_each(|attempt| not_now(attempt, active, later.clone()));
    };
    reports.retain(|id, _| held.contains(id));
    let mut told = Vec::new();
    for attempt in attempts.iter_mut() {
        let Some(id) = attempt.delivery.as_ref().map(|d| d.crm_order) else { continue };
        let Some(written) = reports.get(&id) else { continue };
        match orders.get(&id) {
            Some(order) if shown(order, attempt, active, &tools.module_code) == Presence::Ours => {
                attempt.began = true;
                told.push((order, written));
            }
            _ => attempt.notes.push(Told::CrmNotTold),
        }
    }
    let refused = write_ids(active, &told).await;
    for attempt in attempts.iter_mut() {
        let Some(error) = attempt.delivery.as_ref().and_then(|d| refused.get(&d.crm_order)) else { continue };
        attempt.notes.push(Told::CrmRefusedToHear { why: error.detail() });
        let outcome = refused_write(tools, active, error).await;
        not_now(attempt, active, outcome);
    }
    told.retain(|(order, _)| !refused.contains_key(&order.id));
    let updates: Vec<_> =
        told.into_iter().map(|(order, written)| (order.id, update(tools, references, written))).collect();
    for chunk in updates.chunks(MAX_UPDATES) {
        track(tools, active, attempts, &reports, chunk).await;
    }
}

/// Writes our ids on the orders that do not bear them yet, a few at a time. Answers what failed.
async fn write_ids(active: &ActiveIntegration, told: &[(&Order, &CrmWritten)]) -> BTreeMap<CrmOrderId, CrmError> {
    let unwritten = told
        .iter()
        .filter(|(order, written)| order.delivery.data.external_id.as_deref() != Some(written.external_id.as_str()));
    let edits: Vec<_> = unwritten
        .map(|(order, written)| async { (order.id, write_id(active, order, &written.external_id).await) }.boxed())
        .collect();
    let done: Vec<_> = stream::iter(edits).buffer_unordered(EDITS_AT_ONCE).collect().await;
    done.into_iter().filter_map(|(id, done)| Some((id, done.err()?))).collect()
}

/// Tells the module's statuses.
async fn track(
    tools: &Tools,
    active: &ActiveIntegration,
    attempts: &mut [Attempt],
    reports: &BTreeMap<CrmOrderId, CrmWritten>,
    updates: &[(CrmOrderId, TrackingUpdate)],
) {
    let (ids, batch): (Vec<CrmOrderId>, Vec<TrackingUpdate>) = updates.iter().cloned().unzip();
    match tell::track(tools, active, batch).await {
        Ok(()) => mark_reported(attempts, reports, &ids),
        // The module is not registered, or it knows no such status: the order itself carries our
        // id, and `doctor` points at the module. A right that the key lacks a person can give, and
        // then RetailCRM is told.
        Err(error) if error.class() == Class::Park && !matches!(error, CrmError::AccessDenied { .. }) => {
            tracing::warn!(integration = active.id().0, error = error.label(), "RetailCRM does not take the status");
            mark_reported(attempts, reports, &ids);
        }
        Err(error) => not_reported(tools, active, attempts, &ids, &error).await,
    }
}

/// What an order's outcome makes worth telling, if RetailCRM does not know it yet.
fn report_of(attempt: &Attempt, tools: &Tools, active: &ActiveIntegration) -> Option<(CrmOrderId, CrmWritten)> {
    let d = attempt.delivery.as_ref()?;
    let order = attempt.order.as_ref()?;
    if shown(order, attempt, active, &tools.module_code) != Presence::Ours {
        return None;
    }
    let unreported = d.state.is_placed() && d.crm_written.error.is_none() && !is_reported(d, active);
    let owed = || {
        let what = d.crm_written.owed.clone()?;
        Some(Trouble { what, next_step: d.crm_written.owed_next_step.clone() })
    };
    let written = match attempt.outcome.as_ref()? {
        Outcome::Done(Change::Created | Change::Updated) => to_write(d, active, None),
        Outcome::Done(Change::WrittenBack) => to_write(d, active, owed()),
        // An error that is shown stays until a success takes it away.
        Outcome::AlreadyDone(_) if unreported || d.crm_written.owed.is_some() => to_write(d, active, owed()),
        // What the other integration wrote on the order is all that tells of it.
        Outcome::GiveUp(give_up) if give_up.reason == reason::HANDED_OVER_ELSEWHERE => return None,
        Outcome::GiveUp(give_up) => match shown_error(give_up, active) {
            None if !unreported => return None,
            trouble => to_write(d, active, trouble),
        },
        // Placed, and the rest has to wait: the manager sees it all the same.
        _ => return None,
    };
    (d.crm_written != written).then_some((d.crm_order, written))
}

/// What RetailCRM is to show of a give-up, if the shop wants to see any.
fn shown_error(give_up: &GiveUp, active: &ActiveIntegration) -> Option<Trouble> {
    let settings = &active.integration.settings;
    let next_step = explain::reason(give_up.reason, settings.language).next_step;
    settings.report_errors_to_crm.then(|| Trouble {
        what: confidential::secrets(active).hide(&error_text(give_up, settings.language)),
        next_step: Some(next_step.to_owned()).filter(|step| !step.is_empty()),
    })
}

/// «What happened; what to do.»
fn comment(written: &CrmWritten) -> Option<String> {
    let error = written.error.as_deref()?;
    Some(written.next_step.as_deref().map_or_else(|| error.to_owned(), |step| format!("{error}; {step}")))
}

/// A give-up in the words managers know: the vendor's own text where there is one.
pub fn error_text(give_up: &GiveUp, language: Language) -> String {
    let words = explain::reason(give_up.reason, language);
    // What is said beside a reason has no moments in it.
    let detail = give_up.detail.words(&Reader { language, ..Reader::plain() });
    if detail.is_empty() { words.text.to_owned() } else { format!("{} ({detail})", words.text) }
}

/// A small patch without the delivery's code, which could undo a change of type that
/// happens at this moment; with it only if RetailCRM wants it.
async fn write_id(active: &ActiveIntegration, order: &Order, external_id: &str) -> Result<(), CrmError> {
    let data = serde_json::json!({ "externalId": external_id });
    let bare = serde_json::json!({ "delivery": { "data": data } });
    match active.vendors.crm.edit_order(order.id, &order.site, bare).await {
        Err(CrmError::Refused { .. }) => {
            let full = serde_json::json!({ "delivery": { "code": order.delivery.code, "data": data } });
            active.vendors.crm.edit_order(order.id, &order.site, full).await
        }
        done => done,
    }
}

fn update(tools: &Tools, references: &References, written: &CrmWritten) -> TrackingUpdate {
    TrackingUpdate {
        delivery_id: written.external_id.clone(),
        track_number: Some(written.track_number.clone()).filter(|t| !t.is_empty()),
        cost: None,
        history: vec![TrackingEntry {
            code: written.status.clone(),
            updated_at: jiff::ZonedDateTime::new(tools.clock.now(), references.zone.clone()),
            comment: comment(written),
        }],
        extra_data: references
            .declared(delivery_fields::trouble(written.error.as_deref(), written.next_step.as_deref())),
    }
}

fn mark_reported(attempts: &mut [Attempt], reports: &BTreeMap<CrmOrderId, CrmWritten>, ids: &[CrmOrderId]) {
    for attempt in attempts.iter_mut() {
        if let Some(d) = &mut attempt.delivery
            && ids.contains(&d.crm_order)
            && let Some(written) = reports.get(&d.crm_order)
        {
            let is_new = matches!(attempt.outcome, Some(Outcome::Done(Change::Created)));
            attempt.reported_late = d.crm_written.external_id.is_empty() && !is_new;
            d.crm_written = written.clone();
        }
    }
}

async fn not_reported(
    tools: &Tools,
    active: &ActiveIntegration,
    attempts: &mut [Attempt],
    ids: &[CrmOrderId],
    error: &CrmError,
) {
    let outcome = refused_write(tools, active, error).await;
    for attempt in attempts.iter_mut() {
        if attempt.delivery.as_ref().is_some_and(|d| ids.contains(&d.crm_order)) {
            attempt.notes.push(Told::CrmRefusedToHear { why: error.detail() });
            not_now(attempt, active, outcome.clone());
        }
    }
}

async fn refused_write(tools: &Tools, active: &ActiveIntegration, error: &CrmError) -> Outcome {
    match failure(tools, active, error).await {
        Outcome::GiveUp(_) => Outcome::GiveUp(reason::give_up(reason::CRM_REFUSED, error.detail())),
        other => other,
    }
}

/// What could not be told is told again. What gave up keeps its reason, and is told when
/// RetailCRM can be.
fn not_now(attempt: &mut Attempt, active: &ActiveIntegration, outcome: Outcome) {
    let Some(Outcome::GiveUp(give_up)) = &attempt.outcome else {
        attempt.outcome = Some(outcome);
        return;
    };
    if matches!(outcome, Outcome::RetryLater { .. })
        && let Some(d) = &mut attempt.delivery
    {
        let (what, next_step) = shown_error(give_up, active).map(|owed| (owed.what, owed.next_step)).unzip();
        d.crm_written.owed = what;
        d.crm_written.owed_next_step = next_step.flatten();
        attempt.unreported = true;
    }
}

/// The CRM failed for the batch as a whole.
pub(crate) async fn fail_all(tools: &Tools, active: &ActiveIntegration, attempts: &mut [Attempt], error: &CrmError) {
    let outcome = failure(tools, active, error).await;
    for attempt in attempts.iter_mut().filter(|attempt| attempt.is_open()) {
        attempt.close(outcome.clone());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::domain::delivery::DeliveryState;
    use shared::retailcrm::wire::order::read_single;

    use super::*;

    fn order(external_id: Option<&str>) -> Order {
        let order =
            json!({"id": 4817, "number": "A-1", "totalSumm": 0, "delivery": {"data": {"externalId": external_id}}});
        read_single(&order).expect("an order")
    }

    #[test]
    fn what_retailcrm_never_shows_is_told_a_few_times_only() {
        let mut d = crate::testing::delivery(DeliveryState::Created);
        let written = d.crm_written.clone();
        for shown in [None, Some("ms-2-4817"), None] {
            notice_forgotten(&order(shown), &mut d);
            assert!(d.crm_written.external_id.is_empty(), "forgotten");
            d.crm_written = CrmWritten { unseen: d.crm_written.unseen, ..written.clone() };
        }
        notice_forgotten(&order(None), &mut d);
        assert_eq!(d.crm_written.external_id, written.external_id, "no more");
        notice_forgotten(&order(Some("ms-1-4817")), &mut d);
        assert_eq!((d.crm_written.unseen, &d.crm_written.external_id), (0, &written.external_id), "seen: counted anew");
    }
}
