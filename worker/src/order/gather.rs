//! From due requests to orders in hand: what the ledger says, what RetailCRM shows, whose order
//! a number is, and the leases.
//!
//! Requests by number become requests of orders in the commit that also takes the leases, so that
//! a crash at any moment leaves them on one side or the other.

use std::collections::BTreeMap;

use shared::domain::delivery::DeliveryState as S;
use shared::domain::{CrmOrderId, Delivery, DeliveryId, OrderNumber};
use shared::message::{Outcome, RetryWhy};
use shared::mutant::{Mutant, is_mutant};
use shared::phrases::{Detail, Details};
use shared::reason;
use shared::retailcrm::wire::order::{Order, Unreadable};
use shared::store::again::at_once;
use shared::store::deliveries::{DeliveryKey, Leased};
use shared::store::intents::{HandOver, Held, Intent, Leave};
use shared::store::past_deliveries::PastDelivery;
use shared::store::{self, StoreError, Tx};
use shared::story::Event as Told;

use crate::order::attempt::Attempt;
use crate::order::decide::{Presence, REREADS};
use crate::order::lease::OrderLeaseGuard;
use crate::order::read::{LedgerBefore, Read, bearers_of, read, spellings};
use crate::order::report::{self, Whose, whose};
use crate::order::resolve::{Asked, Bearer, Resolved, Share, Standing, resolve};
use crate::order::shadow::Sides;
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;

/// Tries after which what the database refuses for one order is a person's.
const REFUSED_TRIES: u32 = 3;

/// Reads the orders of the batch and takes them in hand. What comes back are the orders to be
/// worked on, and requests by number that came to an outcome of their own.
pub(crate) async fn gather(
    tools: &Tools,
    active: &ActiveIntegration,
    guard: &OrderLeaseGuard,
    mut attempts: Vec<Attempt>,
) -> Vec<Attempt> {
    let Some(seen) = LedgerBefore::before(tools, active, &attempts).await else {
        attempts.iter_mut().for_each(|attempt| attempt.retry(RetryWhy::Internal, None));
        return attempts;
    };
    let Some((read, seen)) = read(tools, active, seen, &mut attempts).await else { return attempts };
    let Ok(sides) = Sides::of(tools, active, &read, &seen, &attempts).await else {
        attempts.iter_mut().for_each(|attempt| attempt.retry(RetryWhy::Internal, None));
        return attempts;
    };
    let mut done = Vec::new();
    let mut units = Vec::new();
    for attempt in attempts {
        match unit(tools, active, &read, &seen, &sides, attempt) {
            Ok(unit) => units.push(unit),
            Err(attempt) => done.push(*attempt),
        }
    }
    // In the order of their keys, as everybody who writes several of these rows.
    units.sort_by(|a, b| a.attempt.intent.number.cmp(&b.attempt.intent.number));
    let mut taken = match at_once(|| take(tools, active, &read, &units)).await {
        Ok(taken) => taken,
        // One order's refused statement holds up no other.
        Err(_) if units.len() > 1 => {
            let mut all = Vec::new();
            for (n, unit) in units.iter().enumerate() {
                let one = std::slice::from_ref(unit);
                match at_once(|| take(tools, active, &read, one)).await {
                    Ok(one) => all.extend(one.into_iter().map(|taken| Taken { unit: n, ..taken })),
                    Err(error) => all.push(Taken { unit: n, got: Got::Failed(error) }),
                }
            }
            all
        }
        Err(error) => vec![Taken { unit: 0, got: Got::Failed(error) }],
    };
    for (n, unit) in units.into_iter().enumerate() {
        let (mine, others): (Vec<Taken>, Vec<Taken>) = taken.into_iter().partition(|taken| taken.unit == n);
        taken = others;
        assemble(&read, &seen, guard, unit, mine, &mut done);
    }
    // As everybody writes them.
    done.sort_by_key(|attempt| attempt.intent.order);
    read_stale(tools, active, &seen, &mut done).await;
    sides.mark(active, tools.clock.now(), &mut done);
    done
}

/// One intent and what it is about.
struct Unit {
    attempt: Attempt,
    /// Of requests by number: whose they are.
    resolved: Option<Resolved>,
    /// Orders it may be about that are ours: their rows are made if there are none.
    ours: Vec<CrmOrderId>,
}

/// `Err`: the attempt has its outcome.
fn unit(
    tools: &Tools,
    active: &ActiveIntegration,
    read: &Read,
    seen: &LedgerBefore,
    sides: &Sides,
    mut attempt: Attempt,
) -> Result<Unit, Box<Attempt>> {
    let is_ours = |attempt: &Attempt, order: &Order| is_ours(tools, active, seen, &attempt.intent, order);
    if let Some(id) = attempt.intent.order {
        attempt.order = read.orders.get(&id).cloned();
        if let (None, Some(bad)) = (&attempt.order, read.unreadable.iter().find(|bad| bad.id == Some(id))) {
            attempt.give_up(reason::give_up(reason::UNREADABLE_ORDER, Detail::Unread { at: bad.why.path.clone() }));
            return Err(Box::new(attempt));
        }
        let ours = attempt.order.iter().filter(|order| is_ours(&attempt, order)).map(|order| order.id);
        let ours = ours.filter(|order| sides.is_live(*order)).collect();
        return Ok(Unit { resolved: None, ours, attempt });
    }
    let bearer = |(id, exact): (CrmOrderId, bool)| {
        let order = read.orders.get(&id);
        Bearer {
            order: id,
            exact,
            ours: order.is_some_and(|order| is_ours(&attempt, order)),
            standing: beside(sides, seen, id, order),
            to_be_sent: order.is_some_and(|o| active.integration.settings.send_statuses.contains(&o.status)),
            total: order.map(|order| order.total_summ).unwrap_or_default(),
        }
    };
    let bearers: Vec<Bearer> = bearers_of(&attempt, read, seen).into_iter().map(bearer).collect();
    if bearers.is_empty() {
        let outcome = borne_by_nobody(&mut attempt, read);
        attempt.close(outcome);
        return Err(Box::new(attempt));
    }
    let wants = attempt.intent.unserved();
    let asked = Asked {
        wants: &wants,
        several: attempt.intent.requested - attempt.intent.served > 1,
        declared: attempt.intent.declared,
        by_status: !active.integration.settings.send_statuses.is_empty(),
        once_more: attempt.intent.rereads < REREADS && !is_mutant(Mutant::AmbiguityBelieved),
    };
    let resolved = resolve(asked, &bearers);
    if resolved.read_again {
        attempt.notes.push(Told::WhichIsMeant);
        let outcome = attempt.read_again();
        attempt.close(outcome);
        return Err(Box::new(attempt));
    }
    let ours = bearers.iter().filter(|bearer| bearer.ours).map(|bearer| bearer.order);
    let ours = ours.filter(|order| sides.is_live(*order)).collect();
    Ok(Unit { resolved: Some(resolved), ours, attempt })
}

fn borne_by_nobody(attempt: &mut Attempt, read: &Read) -> Outcome {
    let came = spellings(attempt);
    let bad = |bad: &&Unreadable| bad.number.as_deref().is_some_and(|n| came.iter().any(|c| c.as_str() == n));
    match read.unreadable.iter().find(bad) {
        Some(bad) => {
            Outcome::GiveUp(reason::give_up(reason::UNREADABLE_ORDER, Detail::Unread { at: bad.why.path.clone() }))
        }
        // RetailCRM may be behind.
        None if attempt.intent.rereads < REREADS => attempt.read_again(),
        None => Outcome::GiveUp(reason::give_up(reason::ORDER_NOT_FOUND, Details::NONE)),
    }
}

fn is_ours(tools: &Tools, active: &ActiveIntegration, seen: &LedgerBefore, intent: &Intent, order: &Order) -> bool {
    let known = seen.of(order.id).map(|seen| seen.delivery_type.as_str());
    let cancel = intent.cancel_seq > intent.served;
    let notes = Whose { candidates: &intent.candidates, known_type: known, cancel };
    whose(order, &notes, active, &tools.module_code) == Presence::Ours
}

/// How an order stands, of which a shadow may know what the ledger does not.
fn beside(sides: &Sides, seen: &LedgerBefore, id: CrmOrderId, order: Option<&Order>) -> Standing {
    let live = sides.is_live(id);
    match sides.would_be_placed(id).filter(|_| !live) {
        Some(true) => Standing::Settled,
        Some(false) => Standing::Open,
        // A shadow's orders bear the other integration's marks.
        None => standing(seen, id, live && order.is_some_and(|order| report::foreign(order).is_some())),
    }
}

fn standing(seen: &LedgerBefore, order: CrmOrderId, foreign: bool) -> Standing {
    match seen.of(order) {
        Some(d) => match d.state {
            S::Planned | S::Rejected => Standing::Open,
            S::Cancelled if d.cancelled_by_us => Standing::Open,
            _ => Standing::Settled,
        },
        None => match seen.past.iter().find(|past| past.crm_order == order) {
            Some(past) if past.is_final() => Standing::Settled,
            Some(_) => Standing::Open,
            None if foreign => Standing::Settled,
            None => Standing::Unknown,
        },
    }
}

/// What taking one order in hand came to.
struct Taken {
    unit: usize,
    got: Got,
}

enum Got {
    /// The order's own intent, when its requests came by number; its delivery, as far as there
    /// is one.
    Order(CrmOrderId, Option<Box<Intent>>, Delivered),
    /// The lease of the intent was lost meanwhile.
    Lost,
    Failed(StoreError),
}

enum Delivered {
    Here(Box<Delivery>),
    /// Another works on it.
    Held,
    Over(PastDelivery),
    /// There is none, and the order is not ours.
    None,
}

/// One commit for all, with a statement for each table: requests by number go to their orders, and
/// the leases are taken. Rows are written in the order that everybody keeps to: numbers, intents,
/// deliveries. Nothing is sent before a later commit has announced it, so this one may be
/// forgotten.
async fn take(tools: &Tools, active: &ActiveIntegration, read: &Read, units: &[Unit]) -> store::Result<Vec<Taken>> {
    let (now, until) = (tools.clock.now(), tools.lease_until());
    let mut tx = tools.store.db.begin_forgettable().await?;
    // What cannot be told stays with the number until its letter is written.
    let told = |unit: &Unit| unit.resolved.as_ref().is_some_and(|resolved| resolved.give_up.is_none());
    let left: Vec<(&Intent, Leave)> =
        units.iter().filter(|unit| told(unit)).map(|unit| (&unit.attempt.intent, Leave::Served)).collect();
    let held = tx.leave_intents(&left, now).await?;
    let lost = |unit: &Unit| told(unit) && !held.contains_key(&Held::from(&unit.attempt.intent));
    let mut taken: Vec<Taken> = Vec::with_capacity(units.len());
    let mut shares: Vec<(usize, &Share)> = Vec::new();
    let mut orders: BTreeMap<CrmOrderId, (usize, Option<Intent>)> = BTreeMap::new();
    for (n, unit) in units.iter().enumerate() {
        match &unit.resolved {
            Some(_) if lost(unit) => taken.push(Taken { unit: n, got: Got::Lost }),
            Some(resolved) => shares.extend(resolved.shares.iter().map(|share| (n, share))),
            None => orders.extend(unit.attempt.intent.order.map(|order| (order, (n, None)))),
        }
    }
    let number = |order: CrmOrderId, n: usize| {
        let came = &units[n].attempt.intent.number;
        read.orders.get(&order).map_or(came, |order| &order.number)
    };
    let handed: Vec<HandOver<'_>> = shares
        .iter()
        .map(|(n, share)| HandOver {
            from: &units[*n].attempt.intent,
            order: share.order,
            number: number(share.order, *n).as_str(),
            wants: &share.wants,
            with_declared: share.with_declared,
        })
        .collect();
    tx.hand_over(&handed, now).await?;
    let wanted: Vec<CrmOrderId> = shares.iter().map(|(_, share)| share.order).collect();
    for intent in tx.claim_orders(active.id(), &wanted, &tools.owner, until, now).await? {
        // The requests of one order may have come under several numbers: the first speaks for it.
        if let Some((n, share)) = shares.iter().find(|(_, share)| Some(share.order) == intent.order) {
            orders.insert(share.order, (*n, Some(intent)));
        }
    }
    let mut delivered = lease(&mut tx, tools, active, units, &orders, number).await?;
    let spoke_of = |(order, (n, intent)): (&CrmOrderId, &(usize, Option<Intent>))| match delivered.get(order) {
        Some(Delivered::Here(d)) if intent.is_some() => Some((&units[*n].attempt.intent, d.id)),
        _ => None,
    };
    let noted: Vec<(&Intent, DeliveryId)> = orders.iter().filter_map(spoke_of).collect();
    tx.note_deliveries(&noted).await?;
    tx.commit().await?;
    taken.extend(orders.into_iter().map(|(order, (n, intent))| {
        let delivered = delivered.remove(&order).unwrap_or(Delivered::None);
        Taken { unit: n, got: Got::Order(order, intent.map(Box::new), delivered) }
    }));
    Ok(taken)
}

/// Leases the deliveries of the orders, each of a unit. A row is made only for orders that were
/// ever with this integration.
async fn lease<'a>(
    tx: &mut Tx,
    tools: &Tools,
    active: &ActiveIntegration,
    units: &[Unit],
    orders: &BTreeMap<CrmOrderId, (usize, Option<Intent>)>,
    number: impl Fn(CrmOrderId, usize) -> &'a OrderNumber,
) -> store::Result<BTreeMap<CrmOrderId, Delivered>> {
    let (now, until) = (tools.clock.now(), tools.lease_until());
    let (id, prefix) = (active.id(), active.integration.prefix.as_str());
    let all: Vec<CrmOrderId> = orders.keys().copied().collect();
    let known = tx.lease_orders(id, &all, &tools.owner, until, now).await?;
    let mut delivered: BTreeMap<CrmOrderId, Delivered> =
        known.into_iter().map(|d| (d.crm_order, Delivered::Here(Box::new(d)))).collect();
    let keys: Vec<DeliveryKey<'_>> = orders
        .iter()
        .filter(|(order, (n, _))| !delivered.contains_key(order) && units[*n].ours.contains(order))
        .map(|(order, (n, _))| DeliveryKey { integration: id, crm_order: *order, number: number(*order, *n), prefix })
        .collect();
    let made = tx.lease_new_deliveries(&keys, &tools.owner, until, now).await?;
    delivered.extend(keys.iter().map(|key| key.crm_order).zip(made.into_iter().map(|leased| match leased {
        Leased::Taken(d) => Delivered::Here(d),
        Leased::Held => Delivered::Held,
        Leased::Over(past) => Delivered::Over(past),
    })));
    Ok(delivered)
}

/// Makes the attempts that are worked on.
fn assemble(
    read: &Read,
    seen: &LedgerBefore,
    guard: &OrderLeaseGuard,
    unit: Unit,
    taken: Vec<Taken>,
    done: &mut Vec<Attempt>,
) {
    let mut own = Some(unit.attempt);
    let by_number = unit.resolved.is_some();
    for taken in taken {
        match taken.got {
            Got::Order(order, intent, delivered) => {
                let attempt = match intent {
                    Some(intent) => {
                        guard.add_intent(&intent);
                        Some(Attempt::new(*intent))
                    }
                    None => own.take(),
                };
                let Some(mut attempt) = attempt else { continue };
                attempt.order = read.orders.get(&order).cloned();
                if let Some(order) = &attempt.order {
                    attempt.intent.number.clone_from(&order.number);
                }
                match delivered {
                    Delivered::Here(d) => {
                        guard.add_delivery(d.id.0);
                        attempt.delivery = Some(*d);
                    }
                    Delivered::Over(past) => attempt.past = Some(past),
                    Delivered::None if seen.of(order).is_none() => {}
                    Delivered::None | Delivered::Held => attempt.retry(RetryWhy::LeaseHeld, None),
                }
                done.push(attempt);
            }
            // Another works on it.
            Got::Lost => own = None,
            Got::Failed(error) => {
                tracing::warn!(%error, "an order could not be taken in hand");
                let Some(mut attempt) = own.take() else { continue };
                // What the database refuses again and again it will go on refusing.
                if matches!(error, StoreError::Refused(_) | StoreError::Config(_) | StoreError::BadRow(_))
                    && attempt.intent.attempt >= REFUSED_TRIES
                {
                    attempt.give_up(reason::give_up(reason::INTERNAL, error.to_string()));
                } else {
                    attempt.retry(RetryWhy::Internal, None);
                }
                done.push(attempt);
            }
        }
    }
    let give_up = unit.resolved.and_then(|resolved| resolved.give_up);
    if let (true, Some(give_up), Some(mut attempt)) = (by_number, give_up, own) {
        attempt.give_up(give_up);
        done.push(attempt);
    }
}

/// What others have worked on since the look makes the reading stale: it is read anew under
/// the lease.
async fn read_stale(tools: &Tools, active: &ActiveIntegration, seen: &LedgerBefore, attempts: &mut [Attempt]) {
    let stale: Vec<CrmOrderId> = attempts
        .iter()
        .filter(|attempt| attempt.is_open())
        .filter_map(|attempt| attempt.delivery.as_ref())
        .filter(|d| !seen.is_fresh(d))
        .map(|d| d.crm_order)
        .collect();
    if stale.is_empty() {
        return;
    }
    let of_stale = |attempt: &&mut Attempt| {
        attempt.is_open() && attempt.delivery.as_ref().is_some_and(|d| stale.contains(&d.crm_order))
    };
    match active.vendors.crm.orders_by_ids(&stale).await {
        Ok(rows) => {
            for order in rows.into_iter().flatten() {
                for attempt in attempts.iter_mut().filter(of_stale) {
                    if attempt.delivery.as_ref().is_some_and(|d| d.crm_order == order.id) {
                        attempt.order = Some(order.clone());
                    }
                }
            }
        }
        Err(error) => {
            let outcome = report::failure(tools, active, &error).await;
            attempts.iter_mut().filter(of_stale).for_each(|attempt| attempt.close(outcome.clone()));
        }
    }
}
