//! Finds what triggers and the status stream missed, and makes it good.
//!
//! RetailCRM's side walks the history of orders since a cursor: an order that meets the
//! conditions of a trigger and that nothing was done about gets the command of that
//! trigger (retailcrm-api.md I.3). MeaSoft's side looks at everything that is still open
//! there, and asks by number only about ours that are missing (measoft-api.md §11.3).

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, ZonedDateTime};
use shared::domain::delivery::DeliveryState as S;
use shared::domain::{CrmOrderId, Delivery, Integration, IntegrationId, OrderNumber};
use shared::measoft::wire::statusreq::Done;
use shared::measoft::{PoisonRow, StatusRow};
use shared::message::{Candidate, Change, Command, Envelope, Kind, Outcome, RECONCILE_HISTORY};
use shared::retailcrm::CrmError;
use shared::retailcrm::wire::history::{HistoryFrom, HistoryPage};
use shared::retailcrm::wire::order::Order;
use shared::store::dead_letters::NewDeadLetter;
use shared::store::intents::Intent;
use shared::store::jobs::NewJob;
use shared::store::journal::{Entry, What};
use shared::store::leases::Lease;
use shared::store::status_stream::{NO_STREAM, NewRow, RowState};
use shared::telemetry::metrics::Repair;
use shared::{reason, store};

use crate::order::left_behind::is_left_behind;
use crate::order::{report, request};
use crate::sync::guard::LeaseGuard;
use crate::sync::segment::{Kept, by_number};
use crate::sync::{active_siblings, deliver, internal, of_account, poll, shop_of};
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::budget::Priority;
use crate::vendor::integrations::ActiveIntegrations;
use crate::vendor::references::References;

/// Records of the history in one request.
const RECORDS: u32 = 100;
/// Requests of one walk; the rest comes with the next.
const PIECES: usize = 100;
/// Days of creation in one question to MeaSoft.
const WINDOW_DAYS: i32 = 7;
/// Open deliveries older than this are asked about by number only.
const HORIZON_DAYS: i32 = 60;
/// Questions by number in one run: look-ups are rationed (measoft-api.md §5).
const LOOK_UPS: usize = 200;
/// MeaSoft may show a new order late.
const YOUNG: Duration = Duration::from_secs(3600);

/// Runs a reconcile: of RetailCRM's side, and of MeaSoft's unless only the former is asked for.
pub async fn run(tools: &Tools, integrations: &ActiveIntegrations, envelope: &Envelope) -> Outcome {
    let active = match shop_of(integrations, envelope) {
        Ok(active) => active,
        Err(outcome) => return outcome,
    };
    let crm =
        with_lease(tools, &format!("history|{}", active.id()), async |lease| walk(tools, &active, lease).await).await;
    if envelope.key == RECONCILE_HISTORY {
        return crm;
    }
    let account = active.integration.courier_account();
    let name = format!("reconcile|{account}");
    let courier =
        with_lease(tools, &name, async |lease| look_at_courier(tools, integrations, &active, lease).await).await;
    for sibling in active_siblings(integrations, &active) {
        deliver(tools, &sibling).await;
    }
    // The worse of both; what went well is not undone.
    if matches!(crm, Outcome::RetryLater { .. } | Outcome::GiveUp(_)) { crm } else { courier }
}

async fn with_lease(tools: &Tools, name: &str, work: impl AsyncFnOnce(&Lease) -> Result<Outcome, Stop>) -> Outcome {
    let guard = match LeaseGuard::take(tools, name).await {
        Ok(Some(guard)) => guard,
        Ok(None) => return Outcome::Superseded("another worker reconciles this"),
        Err(_) => return internal(),
    };
    let outcome = match work(&guard.lease).await {
        Ok(outcome) | Err(Stop::Outcome(outcome)) => outcome,
        Err(Stop::Store(error)) => {
            tracing::warn!(%error, "a reconcile waits for the database");
            internal()
        }
    };
    guard.release().await;
    outcome
}

enum Stop {
    Outcome(Outcome),
    Store(store::StoreError),
}

impl From<store::StoreError> for Stop {
    fn from(error: store::StoreError) -> Self {
        Self::Store(error)
    }
}

/// What has to be made good about an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    Send,
    Update,
    Cancel,
    /// The order is gone from RetailCRM: deleted, or combined into another.
    Gone,
}

/// What a changed order looks like beside what was done about it.
#[derive(Debug, Clone, Copy)]
pub struct Changed<'a> {
    pub order: &'a Order,
    /// Its delivery type belongs to this integration.
    pub ours: bool,
    /// `None`: not in the ledger.
    pub delivery: Option<&'a Delivery>,
    /// What triggers asked for so far.
    pub intent: Option<&'a Intent>,
    /// Hash of what would be sent now; `None`: it cannot be sent as it is.
    pub hash: Option<&'a str>,
    /// The order is no older than the integration.
    pub young: bool,
}

/// Decides whether a trigger was missed. Pure.
#[must_use]
pub fn missed(found: &Changed<'_>, integration: &Integration) -> Option<Missed> {
    let settings = &integration.settings;
    // A trigger is on its way to its effect.
    if found.intent.is_some_and(|intent| intent.requested > intent.served) {
        return None;
    }
    if !found.ours {
        let d = found.delivery?;
        let asked = found.intent.is_some_and(|intent| intent.cancel_seq > intent.send_seq);
        let live = matches!(d.state, S::Sending | S::Unknown | S::Created | S::InWork);
        return (live && !asked).then_some(Missed::Cancel);
    }
    let to_be_sent = found.young && settings.send_statuses.contains(&found.order.status);
    match found.delivery {
        None => to_be_sent.then_some(Missed::Send),
        Some(d) => match d.state {
            // Nothing reached MeaSoft: what stood against it may be mended.
            S::Planned => (to_be_sent && found.hash.is_some()).then_some(Missed::Send),
            S::Rejected => (found.hash.is_some() && found.hash != d.sending_hash.as_deref()).then_some(Missed::Update),
            S::Created => {
                let differs = found.hash.is_some() && found.hash != d.sent_hash.as_deref();
                (differs && settings.allow_edit_cancel).then_some(Missed::Update)
            }
            _ => None,
        },
    }
}

/// Walks the history of orders since the cursor.
async fn walk(tools: &Tools, active: &ActiveIntegration, lease: &Lease) -> Result<Outcome, Stop> {
    let references = match References::of(tools, active).await {
        Ok(references) => references,
        Err(error) => return Err(failed(tools, active, &error).await),
    };
    let name = format!("history|{}", active.id());
    let local = |at: Timestamp| ZonedDateTime::new(at, references.zone.clone()).datetime();
    // RetailCRM writes whole seconds.
    let made = active.integration.created_at;
    let since = local(Timestamp::from_second(made.as_second()).unwrap_or(made));
    let mut from = match tools.store.cursor(&name).await? {
        Some((value, _)) => HistoryFrom::After(value.parse().unwrap_or(0)),
        None => HistoryFrom::Since(since),
    };
    let mut repaired = 0;
    for _ in 0..PIECES {
        let page = match active.vendors.crm.history(from, RECORDS).await {
            Ok(page) => page,
            Err(error) => return Err(failed(tools, active, &error).await),
        };
        // A trigger of the last seconds may still be on its way: its change is left to the
        // next walk.
        let now = tools.clock.now();
        let fresh = local(now.checked_sub(tools.limits.settle * 10).unwrap_or(now));
        let Settled { orders, gone, last } = settled_changes(&page, fresh);
        let Some(last) = last else { break };
        repaired += repair(tools, active, &references, lease, (orders, gone), since, (&name, last)).await?;
        from = HistoryFrom::After(last);
        if !page.more || Some(last) != page.last_id {
            break;
        }
    }
    if repaired > 0 {
        tracing::warn!(integration = active.id().0, repaired, "the reconcile made missed triggers good");
    }
    Ok(if repaired > 0 { Outcome::Done(Change::Synced) } else { Outcome::AlreadyDone("no trigger was missed") })
}

/// What the records say that are old enough.
#[derive(Debug, Default, PartialEq, Eq)]
struct Settled {
    /// Orders that others changed.
    orders: BTreeSet<CrmOrderId>,
    /// Orders that were deleted, or combined into another, whoever did it.
    gone: BTreeSet<CrmOrderId>,
    /// The last of those records.
    last: Option<i64>,
}

fn settled_changes(page: &HistoryPage, fresh: DateTime) -> Settled {
    let young = page.records.iter().find(|record| record.created_at.is_some_and(|at| at >= fresh)).map(|r| r.id);
    let old = |id: i64| young.is_none_or(|young| id < young);
    let records = || page.records.iter().filter(|record| old(record.id));
    let gone: BTreeSet<CrmOrderId> =
        records().filter(|record| record.deleted || record.combined).map(|record| record.order).collect();
    let orders = records()
        .filter(|record| !record.by_this_key && !gone.contains(&record.order))
        .map(|record| record.order)
        .collect();
    let last = match young {
        None => page.last_id,
        Some(_) => records().map(|record| record.id).max(),
    };
    Settled { orders, gone, last }
}

/// Looks at changed orders and has done what was missed, in one commit with the cursor.
async fn repair(
    tools: &Tools,
    active: &ActiveIntegration,
    references: &References,
    lease: &Lease,
    (ids, gone): (BTreeSet<CrmOrderId>, BTreeSet<CrmOrderId>),
    since: DateTime,
    cursor: (&str, i64),
) -> Result<u64, Stop> {
    let ids: Vec<CrmOrderId> = ids.into_iter().collect();
    let mut found = Vec::new();
    for id in gone {
        let Some(d) = tools.store.delivery_by_order(active.id(), id).await? else { continue };
        let intent = tools.store.intent(active.id(), id).await?;
        if let (true, Ok(number)) = (is_left_behind(&d, intent.as_ref()), OrderNumber::parse(&d.number)) {
            found.push((Missed::Gone, id, number, Some(d)));
        }
    }
    for chunk in ids.chunks(100) {
        let rows = match active.vendors.crm.orders_by_ids(chunk).await {
            Ok(rows) => rows,
            Err(error) => return Err(failed(tools, active, &error).await),
        };
        for order in rows.iter().flatten() {
            if let Some((what, delivery)) = look_at(tools, active, references, order, since).await? {
                found.push((what, order.id, order.number.clone(), delivery));
            }
        }
    }
    let now = tools.clock.now();
    let mut tx = tools.store.db.begin().await?;
    if !tx.holds_lease(lease).await? {
        return Err(Stop::Outcome(Outcome::Superseded("another worker took the reconcile over")));
    }
    for (what, order, number, delivery) in &found {
        let command = command(*what, number.clone(), delivery.as_ref(), active.id());
        let envelope = Envelope::new(command, Some(active.id()), now).of_order(*order);
        tx.enqueue(&NewJob::of(&envelope, now), now).await?;
        let words = match what {
            Missed::Send => "the reconcile found an order to be sent that no trigger announced: sending it",
            Missed::Update => "the reconcile found a change that no trigger announced: passing it on",
            Missed::Cancel => "the reconcile found another delivery type that no trigger announced: cancelling",
            Missed::Gone => "the reconcile found that the order is gone from RetailCRM: cancelling",
        };
        let mut entry = Entry::new(now, What::Decision, words).about(active.id(), number.as_str()).outcome("repair");
        entry.orderno = delivery.as_ref().map(|d| d.orderno.to_string());
        tx.append_journal(&entry).await?;
    }
    tx.set_cursor(cursor.0, &cursor.1.to_string(), now).await?;
    tx.commit().await?;
    for (what, ..) in &found {
        tools.metrics.repaired(match what {
            Missed::Send => Repair::Send,
            Missed::Update => Repair::Update,
            Missed::Cancel | Missed::Gone => Repair::Cancel,
        });
    }
    Ok(found.len() as u64)
}

fn command(what: Missed, number: OrderNumber, delivery: Option<&Delivery>, integration: IntegrationId) -> Command {
    match what {
        // Its delivery type says nothing any more.
        Missed::Gone => {
            Command::CancelOrder { number, declared: None, candidates: vec![Candidate::withdrawn(integration)] }
        }
        Missed::Send => Command::SendOrder { number, declared: None },
        Missed::Update => Command::UpdateOrder { number, declared: None },
        Missed::Cancel => Command::CancelOrder {
            number,
            declared: None,
            candidates: vec![Candidate {
                delivery_type: delivery.map(|d| d.delivery_type.clone()).unwrap_or_default(),
                integration,
            }],
        },
    }
}

async fn look_at(
    tools: &Tools,
    active: &ActiveIntegration,
    references: &References,
    order: &Order,
    since: DateTime,
) -> Result<Option<(Missed, Option<Delivery>)>, Stop> {
    let delivery = tools.store.delivery_by_order(active.id(), order.id).await?;
    let ours = is_ours(order, active, &tools.module_code, delivery.as_ref());
    if !ours && delivery.is_none() {
        return Ok(None);
    }
    // A trigger whose order was not read yet is on its way to its effect.
    if tools.store.waiting_by_number(active.id(), order.number.as_str()).await?.is_some() {
        return Ok(None);
    }
    let intent = tools.store.intent(active.id(), order.id).await?;
    let declared = intent.as_ref().and_then(|intent| intent.declared);
    let desired = match &delivery {
        Some(d) => request::desired(order, &active.integration, references, declared, d).ok(),
        None => None,
    };
    let found = Changed {
        order,
        ours,
        delivery: delivery.as_ref(),
        intent: intent.as_ref(),
        hash: desired.as_ref().map(|desired| desired.hash.as_str()),
        young: order.created_at.is_some_and(|at| at >= since),
    };
    Ok(missed(&found, &active.integration).map(|what| (what, delivery)))
}

/// Whose the order is now, without a trigger's word.
fn is_ours(order: &Order, active: &ActiveIntegration, module_code: &str, delivery: Option<&Delivery>) -> bool {
    let code = order.delivery.code.as_deref();
    let types = &active.integration.settings.delivery_types;
    if code.is_some_and(|code| types.iter().any(|t| t == code)) {
        return true;
    }
    match order.delivery.integration_code.as_deref() {
        Some(instance) => instance == active.integration.code(module_code),
        None => {
            let known = delivery.map(|d| d.delivery_type.as_str()).filter(|t| !t.is_empty());
            types.is_empty() && known.is_some() && known == code
        }
    }
}

async fn failed(tools: &Tools, active: &ActiveIntegration, error: &CrmError) -> Stop {
    Stop::Outcome(report::failure(tools, active, error).await)
}

/// Compares what is open here with what is open at MeaSoft.
async fn look_at_courier(
    tools: &Tools,
    integrations: &ActiveIntegrations,
    active: &ActiveIntegration,
    lease: &Lease,
) -> Result<Outcome, Stop> {
    // The stream first: what it still holds was not missed.
    if let Outcome::RetryLater { why, not_before } = poll::run(tools, active).await {
        return Ok(Outcome::RetryLater { why, not_before });
    }
    for sibling in active_siblings(integrations, active) {
        deliver(tools, &sibling).await;
    }
    let account = active.integration.courier_account();
    let ids: Vec<IntegrationId> = of_account(tools, &account).await?.iter().map(|i| i.id).collect();
    let open = tools.store.open_deliveries(&ids).await?;
    let Some(oldest) = open.first() else { return Ok(Outcome::AlreadyDone("nothing is open")) };
    let now = tools.clock.now();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut found = 0;
    for (from, to) in windows(day(oldest.created_at), day(now)) {
        let asked_at = tools.store.agreed_now().await?;
        let asked = tools.ask_as(
            active,
            Priority::Bulk,
            active.vendors.courier.status_by_created(from, to, Done::OnlyDelivery),
        );
        let rows = answered(tools, active, asked.await).await?;
        seen.extend(rows.iter().filter_map(|row| row.orderno.as_ref()).map(ToString::to_string));
        found += keep(tools, lease, &account, &ids, (asked_at, rows)).await?;
    }
    let missing = open.iter().filter(|d| !seen.contains(d.orderno.as_str()) && !is_young(d, now));
    for d in missing.take(LOOK_UPS) {
        let asked_at = tools.store.agreed_now().await?;
        let asked = tools.ask_as(active, Priority::Bulk, active.vendors.courier.status_by_orderno(&d.orderno));
        let rows = answered(tools, active, asked.await).await?;
        if rows.is_empty() {
            vanished(tools, d, now).await?;
        }
        found += keep(tools, lease, &account, &ids, (asked_at, rows)).await?;
    }
    Ok(if found > 0 { Outcome::Done(Change::Synced) } else { Outcome::AlreadyDone("nothing was missed") })
}

fn is_young(d: &Delivery, now: Timestamp) -> bool {
    let sent = d.sent_at.unwrap_or(d.created_at);
    now.duration_since(sent).unsigned_abs() < YOUNG
}

/// MeaSoft dates by the courier's day; ours may be another.
fn day(at: Timestamp) -> Date {
    ZonedDateTime::new(at, TimeZone::UTC).date()
}

/// Windows of creation dates, both ends included, no wider than a week.
fn windows(oldest: Date, today: Date) -> Vec<(Date, Date)> {
    let last = today.checked_add(1.day()).unwrap_or(today);
    let horizon = today.checked_sub(HORIZON_DAYS.days()).unwrap_or(today);
    let mut from = oldest.checked_sub(1.day()).unwrap_or(oldest).max(horizon);
    let mut windows = Vec::new();
    while from <= last {
        let to = from.checked_add((WINDOW_DAYS - 1).days()).unwrap_or(last).min(last);
        windows.push((from, to));
        let Ok(next) = to.checked_add(1.day()) else { break };
        from = next;
    }
    windows
}

async fn answered(
    tools: &Tools,
    active: &ActiveIntegration,
    asked: Result<Result<Vec<StatusRow>, shared::measoft::MeasoftError>, Outcome>,
) -> Result<Vec<StatusRow>, Stop> {
    match asked {
        Err(closed) => Err(Stop::Outcome(closed)),
        Ok(Err(error)) => Err(Stop::Outcome(tools.failure(active, &error).await)),
        Ok(Ok(rows)) => Ok(rows),
    }
}

/// Keeps rows of ours that the stream has not brought; answers how many.
async fn keep(
    tools: &Tools,
    lease: &Lease,
    account: &str,
    integrations: &[IntegrationId],
    (asked_at, rows): (Timestamp, Vec<StatusRow>),
) -> Result<u64, Stop> {
    let rows: Vec<Result<StatusRow, PoisonRow>> = rows.into_iter().map(Ok).collect();
    let numbers: Vec<&str> =
        rows.iter().flatten().filter_map(|row| row.orderno.as_ref()).map(|number| number.as_str()).collect();
    let owners = by_number(tools.store.owners_of(integrations, &numbers).await?);
    let ours: Vec<NewRow> =
        rows.iter().map(|row| Kept::of(row).owned(&owners)).filter(|row| row.state == RowState::Pending).collect();
    if ours.is_empty() {
        return Ok(0);
    }
    let gone = || Stop::Outcome(Outcome::Superseded("another worker took the reconcile over"));
    let known = tools.store.known_marks(account, ours.iter().map(|row| row.mark.as_str())).await?;
    let batch = tools.store.begin_batch(lease, account, NO_STREAM, asked_at).await?.ok_or_else(gone)?;
    let mut found = 0;
    for (part, chunk) in ours.chunks(poll::CHUNK).enumerate() {
        let first = part * poll::CHUNK;
        tools.store.store_status_rows(lease, account, batch, first, chunk).await?.ok_or_else(gone)?;
    }
    for row in ours.iter().filter(|row| !known.contains(&row.mark)) {
        found += 1;
        tools.metrics.repaired(Repair::Status);
        if let Some((delivery, integration)) = row.delivery
            && let Some(d) = tools.store.delivery(delivery).await?
        {
            let words = "the reconcile found a status that the stream had not brought";
            let entry = Entry::new(tools.clock.now(), What::Decision, words).about(integration, d.number.as_str());
            tools.journal.write(entry.orderno(d.orderno.as_str()).outcome("repair"));
        }
    }
    tools.store.seal_batch(lease, batch, ours.len(), "").await?;
    tools.store.batch_committed(batch).await?;
    Ok(found)
}

/// MeaSoft does not show an order it had.
async fn vanished(tools: &Tools, d: &Delivery, now: Timestamp) -> Result<(), Stop> {
    let give_up = reason::give_up(reason::DELIVERY_VANISHED, format!("number {}", d.orderno));
    let dead = NewDeadLetter {
        integration: Some(d.integration),
        delivery: Some(d.id),
        number: Some(d.number.clone()),
        kind: Kind::Reconcile.as_str().to_owned(),
        reason: give_up.reason.to_owned(),
        fault: give_up.fault,
        detail: give_up.detail,
        tries: 1,
        command: None,
        raw: None,
    };
    let mut tx = tools.store.db.begin().await?;
    tx.add_dead_letter(&dead, now).await?;
    tx.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{delivery, integration};
    use jiff::civil::date;
    use serde_json::json;

    fn order(status: &str) -> Order {
        let text =
            json!({"id": 4817, "number": "A-1", "status": status, "totalSumm": 1000, "delivery": {"code": "incity"}});
        shared::retailcrm::wire::order::read_single(&text).expect("an order")
    }

    #[test]
    fn the_table_of_missed_triggers() {
        let mut active = integration();
        active.settings.send_statuses = vec!["SentMeaSoft".into()];
        let with = |state, sent: Option<&str>| {
            let mut d = delivery(state);
            d.sent_hash = sent.map(str::to_owned);
            d.sending_hash = sent.map(str::to_owned);
            Some(d)
        };
        // Name; ours; status; ledger; hash now; what was missed.
        type Attempt = (&'static str, bool, &'static str, Option<Delivery>, Option<&'static str>, Option<Missed>);
        let cases: Vec<Attempt> = vec![
            ("to be sent and never was", true, "SentMeaSoft", None, None, Some(Missed::Send)),
            ("not to be sent yet", true, "new", None, None, None),
            ("another's order", false, "SentMeaSoft", None, None, None),
            ("stood against it, still does", true, "SentMeaSoft", with(S::Planned, None), None, None),
            ("stood against it, mended", true, "SentMeaSoft", with(S::Planned, None), Some("b"), Some(Missed::Send)),
            ("rejected, unchanged", true, "SentMeaSoft", with(S::Rejected, Some("a")), Some("a"), None),
            ("rejected, mended", true, "SentMeaSoft", with(S::Rejected, Some("a")), Some("b"), Some(Missed::Update)),
            ("placed as it is", true, "SentMeaSoft", with(S::Created, Some("a")), Some("a"), None),
            ("placed and changed", true, "new", with(S::Created, Some("a")), Some("b"), Some(Missed::Update)),
            ("placed, now unfit", true, "new", with(S::Created, Some("a")), None, None),
            ("in work and changed", true, "new", with(S::InWork, Some("a")), Some("b"), None),
            ("ended", true, "SentMeaSoft", with(S::Delivered, Some("a")), Some("b"), None),
            ("cancelled by us", true, "SentMeaSoft", with(S::Cancelled, Some("a")), Some("b"), None),
            ("left while placed", false, "new", with(S::Created, Some("a")), None, Some(Missed::Cancel)),
            ("left while in work", false, "new", with(S::InWork, Some("a")), None, Some(Missed::Cancel)),
            ("left after its end", false, "new", with(S::NotDelivered, Some("a")), None, None),
            ("left before it was sent", false, "new", with(S::Planned, None), None, None),
        ];
        for (name, ours, status, d, hash, expected) in cases {
            let order = order(status);
            let found = Changed { order: &order, ours, delivery: d.as_ref(), intent: None, hash, young: true };
            assert_eq!(missed(&found, &active), expected, "{name}");
        }
    }

    #[test]
    fn an_order_older_than_the_integration_and_one_without_send_statuses_are_never_sent() {
        let order = order("SentMeaSoft");
        let mut active = integration();
        let mut found = Changed { order: &order, ours: true, delivery: None, intent: None, hash: None, young: true };
        assert_eq!(missed(&found, &active), None, "no send statuses");
        active.settings.send_statuses = vec!["SentMeaSoft".into()];
        assert_eq!(missed(&found, &active), Some(Missed::Send));
        found.young = false;
        assert_eq!(missed(&found, &active), None);
    }

    #[test]
    fn windows_cover_every_day_once_and_are_no_wider_than_a_week() {
        let windows = windows(date(2026, 9, 1), date(2026, 9, 20));
        assert_eq!(windows.first().map(|w| w.0), Some(date(2026, 8, 31)));
        assert_eq!(windows.last().map(|w| w.1), Some(date(2026, 9, 21)));
        for (from, to) in &windows {
            assert!(from <= to && to.since(*from).expect("span").get_days() < WINDOW_DAYS);
        }
        for pair in windows.windows(2) {
            assert_eq!(pair[0].1.tomorrow().expect("day"), pair[1].0);
        }
        let first = super::windows(date(2020, 1, 1), date(2026, 9, 20)).len();
        assert!(first <= 10, "an order open for years does not ask for years: {first}");
    }

    #[test]
    fn changes_of_the_last_seconds_and_our_own_are_left_out() {
        let page = HistoryPage::read(&json!({"history": [
            {"id": 1, "createdAt": "2026-09-01 10:00:00", "order": {"id": 1}},
            {"id": 2, "createdAt": "2026-09-01 10:00:01", "apiKey": {"current": true}, "order": {"id": 2}},
            {"id": 3, "createdAt": "2026-09-01 10:00:02", "deleted": true, "order": {"id": 3}},
            {"id": 4, "createdAt": "2026-09-01 10:00:30", "order": {"id": 4}},
            {"id": 5, "createdAt": "2026-09-01 10:00:02", "order": {"id": 5}}]}))
        .expect("read");
        let settled = settled_changes(&page, date(2026, 9, 1).at(10, 0, 20, 0));
        let expected = Settled { orders: [CrmOrderId(1)].into(), gone: [CrmOrderId(3)].into(), last: Some(3) };
        assert_eq!(settled, expected, "what was deleted is kept apart");
        let settled = settled_changes(&page, date(2026, 9, 1).at(10, 1, 0, 0));
        assert_eq!((settled.orders.len(), settled.last), (3, Some(5)));
    }
}
