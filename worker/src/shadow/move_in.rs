//! A shadow that goes live: what the integration before placed becomes ours, as it is. Nothing is
//! sent to MeaSoft for that; RetailCRM is told, so that statuses reach it from now on.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan};
use shared::domain::delivery::{DeliveryState as S, Event};
use shared::domain::{CrmOrderId, Delivery, OrderNo, OrderNumber};
use shared::measoft::StatusRow;
use shared::message::Kind;
use shared::phrases::Detail;
use shared::store::again::at_once;
use shared::store::dead_letters::NewDeadLetter;
use shared::store::deliveries::{DeliveryKey, Leased};
use shared::store::intents::{OrderRequest, RequestKind};
use shared::store::journal::{Entry, What};
use shared::store::shadow_orders::{ShadowOrder, Verdict};
use shared::story::Event as Told;
use shared::{reason, store};

use crate::order::figures::{Field, differences};
use crate::order::lost_writes::is_live;
use crate::order::recognise::{is_cancelled_by_client, item_codes};
use crate::order::shadow::{handed_over, pause};
use crate::order::take_over::{cancelled, phase, remember_status};
use crate::order::weeks::{day, windows};
use crate::shadow::ask::{Stop, keep, last_listed, listing_of, look_up, note_listed};
use crate::shadow::judge::judged;
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;

/// Orders taken over at once.
const AT_ONCE: u32 = 500;
/// Of what MeaSoft does not list so many are asked about by number in one run.
const LOOK_UPS: usize = 50;

pub(super) async fn run(tools: &Tools, active: &ActiveIntegration) -> Result<(), Stop> {
    let live_since = active.integration.settings.moved_in_at.unwrap_or(Timestamp::UNIX_EPOCH);
    let left = || tools.store.left_in_shadow(active.id(), live_since, AT_ONCE);
    let mut rows = left().await?;
    let Some(oldest) = rows.iter().map(|row| row.decided_at).min() else { return Ok(()) };
    let looked_at = tools.store.agreed_now().await?;
    let mut there = listed(tools, active, oldest, live_since).await?;
    loop {
        let missing = |row: &&ShadowOrder| row.orderno.as_ref().is_some_and(|orderno| !there.contains_key(orderno));
        let missing: Vec<String> =
            rows.iter().filter(missing).filter_map(|row| row.orderno.clone()).take(LOOK_UPS).collect();
        for orderno in &missing {
            look_up(tools, active, orderno, &mut there).await?;
        }
        let numbers: Vec<&str> = rows.iter().filter_map(|row| row.orderno.as_deref()).collect();
        let bearers = tools.store.known_in_shadow(active.id(), &numbers).await?;
        let mut busy = false;
        for row in &rows {
            let parcel = row.orderno.as_ref().and_then(|orderno| there.get(orderno));
            if parcel.is_none() && row.orderno.as_ref().is_some_and(|orderno| !missing.contains(orderno)) {
                // Its turn to be asked about comes with a later run.
                busy = true;
                continue;
            }
            busy |= !move_in(tools, active, row, (parcel, &bearers), looked_at).await?;
        }
        if busy || rows.len() < AT_ONCE as usize {
            return Ok(());
        }
        rows = left().await?;
    }
}

/// What MeaSoft has of the time since a moment, in weeks. It was listed since the integration is live:
/// what that showed is taken over, and what is left is asked about by number.
async fn listed(
    tools: &Tools,
    active: &ActiveIntegration,
    since: Timestamp,
    live_since: Timestamp,
) -> Result<BTreeMap<String, StatusRow>, Stop> {
    let mut there = BTreeMap::new();
    let (last, is_long_ago) = last_listed(tools, active).await?;
    if !is_long_ago && last.is_some_and(|at| at >= live_since) {
        return Ok(there);
    }
    for week in windows(day(since - 24.hours()), day(tools.clock.now())).into_iter().rev() {
        listing_of(tools, active, week).await?.into_iter().for_each(|row| keep(&mut there, row));
    }
    note_listed(tools, active).await?;
    Ok(there)
}

/// `false`: somebody works on it at the moment.
async fn move_in(
    tools: &Tools,
    active: &ActiveIntegration,
    row: &ShadowOrder,
    (parcel, bearers): (Option<&StatusRow>, &[ShadowOrder]),
    looked_at: Timestamp,
) -> Result<bool, Stop> {
    let (Some(order), Ok(number)) = (row.order, OrderNumber::parse(&row.number)) else {
        return Ok(leave(tools, row, None).await.map(|()| true)?);
    };
    let theirs = |row: &ShadowOrder| parcel.is_some_and(|parcel| bears_phone(tools, row, parcel));
    let of_number: Vec<&ShadowOrder> = bearers.iter().filter(|other| other.orderno == row.orderno).collect();
    let is_shared = parcel.is_some() && of_number.iter().any(|other| other.order != row.order);
    if is_shared && of_number.iter().filter(|other| theirs(other)).count() != 1 {
        return Ok(leave(tools, row, Some(order)).await.map(|()| true)?);
    }
    let parcel = parcel.filter(|_| !is_shared || theirs(row));
    match take_over(tools, active, (row, order, number), parcel, looked_at).await {
        Ok(done) => Ok(done),
        Err(error) if error.is_the_databases() => Err(Stop::Store(error)),
        // The number is another order's in the ledger.
        Err(error) => {
            tracing::warn!(%error, "an order could not be taken over");
            Ok(leave(tools, row, Some(order)).await.map(|()| true)?)
        }
    }
}

/// Whether an order's phone is the parcel's: of several that bear one number it may be so of one.
fn bears_phone(tools: &Tools, row: &ShadowOrder, parcel: &StatusRow) -> bool {
    let (phone, figures) = (Field::Phone.as_str(), &row.content.figures);
    let differs = differences(figures, parcel, &tools.store.key).iter().any(|one| one.field == phone);
    figures.contains_key(phone) && !differs
}

/// It is ours, and nothing is known to be there of it. Of what may be there a person is told.
async fn leave(tools: &Tools, row: &ShadowOrder, in_doubt: Option<CrmOrderId>) -> store::Result<()> {
    let now = tools.clock.now();
    at_once(async || {
        let mut tx = tools.store.db.begin().await?;
        if in_doubt.is_some() {
            let orderno = row.orderno.clone().unwrap_or_default();
            let dead = NewDeadLetter {
                integration: Some(row.integration),
                number: Some(row.number.clone()),
                ..NewDeadLetter::new(
                    Kind::CompareShadow.as_str(),
                    reason::give_up(reason::CONFLICT, Detail::Number { orderno }),
                )
            };
            tx.add_dead_letter_of(in_doubt, &dead, now).await?;
        }
        tx.leave_shadow(std::slice::from_ref(row)).await?;
        tx.commit().await
    })
    .await
}

/// `false`: somebody works on it at the moment.
async fn take_over(
    tools: &Tools,
    active: &ActiveIntegration,
    (row, order, number): (&ShadowOrder, CrmOrderId, OrderNumber),
    parcel: Option<&StatusRow>,
    looked_at: Timestamp,
) -> store::Result<bool> {
    let now = tools.clock.now();
    // What was found of it before is older than what MeaSoft shows now.
    let row = match row.due_at {
        Some(_) => &judged(row.clone(), parcel, &tools.store.key, now, pause(tools)),
        None => row,
    };
    let is_handed_over = handed_over(tools, active).is_some_and(|since| row.decided_at >= since);
    let want = wanted(row, parcel).filter(|_| is_handed_over);
    let mut adopted = None;
    if let Some(parcel) = parcel {
        let prefix = &active.integration.prefix;
        let key = DeliveryKey { integration: active.id(), crm_order: order, number: &number, prefix };
        match tools.store.lease_delivery(&key, &tools.owner, tools.lease_until()).await? {
            Leased::Held => return Ok(false),
            Leased::Over(_) => {}
            Leased::Taken(d) => adopted = Some(as_it_is(*d, row, parcel, looked_at)),
        }
    }
    at_once(async || {
        let mut tx = tools.store.db.begin().await?;
        if let Some(want) = want {
            // Nobody may have acted on its trigger.
            let request = OrderRequest::at(now, active.id(), number.clone(), want);
            tx.record_request(&OrderRequest { order: Some(order), ..request }, now).await?;
        }
        if let Some(d) = &adopted {
            // Of what has ended the other integration has told all there is.
            if !d.state.is_ended() {
                tx.ask_to_tell(d, now).await?;
            }
            if !tx.save_delivery(d, true, now).await? {
                return Ok(false);
            }
            let entry = Entry::new(now, What::Decision, Told::MovedIn).about(active.id(), row.number.as_str());
            tx.append_journal(&entry.orderno(d.orderno.as_str()).outcome("moved_in")).await?;
        }
        tx.leave_shadow(std::slice::from_ref(row)).await?;
        tx.commit().await?;
        Ok(true)
    })
    .await
}

/// What is to be done for an order whose last trigger neither integration may have acted on.
fn wanted(row: &ShadowOrder, parcel: Option<&StatusRow>) -> Option<RequestKind> {
    match (row.state, parcel) {
        (S::Cancelled, Some(parcel)) if is_live(parcel) => Some(RequestKind::Cancel),
        (S::Created, Some(_)) if row.verdict != Verdict::Same => Some(RequestKind::Update),
        // Whoever serves this looks at MeaSoft first, or is told by it that the number is taken.
        (S::Created | S::Rejected, None) => Some(RequestKind::Send),
        _ => None,
    }
}

/// The ledger's row of what is there. One that we placed ourselves stays as it is.
fn as_it_is(mut d: Delivery, row: &ShadowOrder, parcel: &StatusRow, looked_at: Timestamp) -> Delivery {
    if !matches!(d.state, S::Planned | S::Rejected) || d.sent_at.is_some() {
        return d;
    }
    d.orderno = parcel.orderno.clone().unwrap_or_else(|| OrderNo::known(row.orderno.clone().unwrap_or_default()));
    d.generation = row.content.generation.max(1);
    // What differs is put right by the next trigger that wants something of it, not by moving in.
    d.sent_hash = row.content.hash.clone().filter(|_| row.verdict == Verdict::Same);
    d.reject_reason = None;
    d.price = parcel.price;
    d.item_codes = item_codes(parcel);
    remember_status(&mut d, parcel, Some(looked_at));
    d.state = S::Created.after(Event::Reported(phase(parcel))).unwrap_or(S::Created);
    let is_withdrawn = row.state == S::Cancelled || is_cancelled_by_client(parcel.deliveredto.as_deref());
    if d.state == S::NotDelivered && is_withdrawn {
        cancelled(&mut d);
    }
    d
}
