//! A shadow that goes live: what the integration before placed becomes ours, as it is. Nothing is
//! sent to MeaSoft for that; RetailCRM is told, so that statuses reach it from now on.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan};
use shared::domain::delivery::{DeliveryState as S, Event};
use shared::domain::{Delivery, OrderNo, OrderNumber};
use shared::measoft::StatusRow;
use shared::store::deliveries::{DeliveryKey, Leased};
use shared::store::intents::{OrderRequest, RequestKind};
use shared::store::journal::{Entry, What};
use shared::store::shadow_orders::{ShadowOrder, Verdict};
use shared::story::Event as Told;

use crate::order::recognise::item_codes;
use crate::order::shadow::pause;
use crate::order::take_over::{phase, remember_status};
use crate::shadow::ask::{Stop, keep, listing, look_up};
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;

/// Orders taken over in one run.
const AT_ONCE: u32 = 500;
/// Of what MeaSoft does not list so many are asked about by number in one run.
const LOOK_UPS: usize = 50;
/// Before it went live, in pauses: a trigger of that time may have been left to the other integration
/// when that one was switched off already.
const HANDED_OVER: u32 = 10;

pub(super) async fn run(tools: &Tools, active: &ActiveIntegration) -> Result<(), Stop> {
    loop {
        let rows = tools.store.left_in_shadow(active.id(), AT_ONCE).await?;
        let Some(from) = rows.iter().map(|row| row.decided_at).min() else { return Ok(()) };
        let mut there = BTreeMap::new();
        let looked_at = tools.store.agreed_now().await?;
        let listed = listing(tools, active, from - 24.hours()).await?;
        listed.into_iter().for_each(|row| keep(&mut there, row));
        let missing = |row: &&ShadowOrder| row.orderno.as_ref().is_some_and(|orderno| !there.contains_key(orderno));
        let missing: Vec<String> =
            rows.iter().filter(missing).filter_map(|row| row.orderno.clone()).take(LOOK_UPS).collect();
        for orderno in &missing {
            look_up(tools, active, orderno, &mut there).await?;
        }
        let mut busy = false;
        for row in &rows {
            let parcel = row.orderno.as_ref().and_then(|orderno| there.get(orderno));
            if parcel.is_none() && row.orderno.as_ref().is_some_and(|orderno| !missing.contains(orderno)) {
                // Its turn to be asked about comes with a later run.
                busy = true;
                continue;
            }
            busy |= !take_over(tools, active, row, parcel, looked_at).await?;
        }
        if busy || rows.len() < AT_ONCE as usize {
            return Ok(());
        }
    }
}

/// `false`: somebody works on it at the moment.
async fn take_over(
    tools: &Tools,
    active: &ActiveIntegration,
    row: &ShadowOrder,
    parcel: Option<&StatusRow>,
    looked_at: Timestamp,
) -> Result<bool, Stop> {
    let now = tools.clock.now();
    let (Some(order), Ok(number)) = (row.order, OrderNumber::parse(&row.number)) else {
        let mut tx = tools.store.db.begin().await?;
        tx.leave_shadow(std::slice::from_ref(row)).await?;
        tx.commit().await?;
        return Ok(true);
    };
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
    let mut tx = tools.store.db.begin().await?;
    if let Some(d) = &adopted {
        if !tx.save_delivery(d, true, now).await? {
            return Ok(false);
        }
        // Of what has ended the other integration has told all there is.
        if !d.state.is_ended() {
            tx.ask_to_tell(d, now).await?;
        }
        let entry = Entry::new(now, What::Decision, Told::MovedIn).about(active.id(), row.number.as_str());
        tx.append_journal(&entry.orderno(d.orderno.as_str()).outcome("moved_in")).await?;
    } else if is_handed_over(tools, active, row) {
        // Nobody may have acted on its trigger; whoever serves this looks at MeaSoft first.
        let request = OrderRequest::at(now, active.id(), number, RequestKind::Send);
        tx.record_request(&OrderRequest { order: Some(order), ..request }, now).await?;
    }
    tx.leave_shadow(std::slice::from_ref(row)).await?;
    tx.commit().await?;
    Ok(true)
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
    d
}

/// Its trigger came about when the integration went live.
fn is_handed_over(tools: &Tools, active: &ActiveIntegration, row: &ShadowOrder) -> bool {
    let since = active.integration.settings.moved_in_at.map(|at| at - pause(tools) * HANDED_OVER);
    row.state == S::Created && since.is_some_and(|since| row.decided_at >= since)
}
