//! What was done at MeaSoft and then lost by the database. For a while after another server took
//! over or a backup was restored, the ledger is not believed before MeaSoft's own list was looked at: the number that it
//! would give an order may be another's there, the order may be there under one that it would not
//! think of, and what it holds for placed may be cancelled. Whose a parcel is, its lines say.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, ZonedDateTime};
use shared::domain::delivery::{DeliveryState as S, Phase};
use shared::domain::{CrmOrderId, Delivery, Integration, OrderNo, OrderNumber};
use shared::measoft::{Done, StatusRow};
use shared::message::{Outcome, RetryWhy};
use shared::retailcrm::wire::order::Order;
use shared::store::deliveries::{DeliveryKey, Leased};
use shared::store::numbers::{numbers, numbers_by_id};
use shared::store::promotion::Window;
use shared::store::{self, StoreError};
use shared::story::Event as Told;

use crate::order::attempt::Attempt;
use crate::order::decide::Decision;
use crate::order::recognise::is_cancelled_by_client;
use crate::order::take_over::{cancelled, phase, take_over};
use crate::takeover;
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;

/// Whatever was lost is wanted again by then: the reconcile over the window has run.
const DOUBTED: Duration = Duration::from_secs(3600);

/// How far MeaSoft's clock may be from ours.
const CLOCKS_APART: Duration = Duration::from_secs(60);
/// Numbers by an order's id that are looked for.
const NUMBERS: usize = 20;

/// The takeover because of which the ledger is in doubt.
pub(crate) async fn doubt(tools: &Tools) -> store::Result<Option<Window>> {
    takeover::since(tools, tools.clock.now() - DOUBTED).await
}

/// Whether a delivery may have changed at MeaSoft without the ledger.
pub(crate) fn is_doubtful(d: &Delivery, looked_at: Option<Timestamp>, window: &Window) -> bool {
    let seen = looked_at.max(d.status_seen_at).max(d.sent_at);
    match d.state {
        S::Planned | S::Rejected | S::Created => seen.is_none_or(|at| at < window.until),
        // The end of the parcel that the ledger knows says nothing of one that was placed after it.
        S::Cancelled => looked_at.max(d.sent_at).is_none_or(|at| at < window.until),
        // The stream told of a cancel that may have been ours.
        S::NotDelivered => {
            !d.cancelled_by_us && looked_at.is_none() && d.status_at.is_some_and(|at| is_within(at, window))
        }
        _ => false,
    }
}

/// By MeaSoft's clock.
pub(crate) fn is_within(at: Timestamp, window: &Window) -> bool {
    window.from - CLOCKS_APART <= at && at <= window.until + CLOCKS_APART
}

/// Which numbers of an account may be one integration's.
pub(crate) struct OwnNumbers<'a> {
    prefix: &'a str,
    longer: Vec<&'a str>,
}

impl<'a> OwnNumbers<'a> {
    pub(crate) fn of(all: &'a [Integration], own: &'a Integration) -> Self {
        let (account, prefix) = (own.courier_account(), own.prefix.as_str());
        // Numbers of a sibling may begin with ours, most of all when ours is empty.
        let longer = all
            .iter()
            .filter(|other| other.id != own.id && other.courier_account() == account)
            .map(|other| other.prefix.as_str())
            .filter(|other| other.len() > prefix.len() && other.starts_with(prefix))
            .collect();
        Self { prefix, longer }
    }

    pub(crate) fn has(&self, number: &str) -> bool {
        number.starts_with(self.prefix) && !self.longer.iter().any(|other| number.starts_with(other))
    }
}

/// What MeaSoft has under the numbers of one integration, of the days around a takeover.
pub(crate) struct Listing {
    rows: Vec<StatusRow>,
    looked_at: Timestamp,
}

impl Listing {
    /// # Errors
    /// What an attempt comes to that needed it.
    pub(crate) async fn read(tools: &Tools, active: &ActiveIntegration, window: &Window) -> Result<Self, Outcome> {
        let others = tools.store.integrations().await.map_err(|_| Outcome::retry(RetryWhy::Internal))?;
        let mut listing = Self::of_account(tools, active, window).await?;
        let own = OwnNumbers::of(&others, &active.integration);
        listing.rows.retain(|row| own.has(row.orderno.as_ref().map_or("", |number| number.as_str())));
        Ok(listing)
    }

    /// Those of every integration of the account.
    ///
    /// # Errors
    /// What an attempt comes to that needed it.
    pub(crate) async fn of_account(
        tools: &Tools,
        active: &ActiveIntegration,
        window: &Window,
    ) -> Result<Self, Outcome> {
        let looked_at = tools.store.agreed_now().await.map_err(|_| Outcome::retry(RetryWhy::Internal))?;
        // The courier's day may be ahead of or behind ours.
        let day = |at: Timestamp| ZonedDateTime::new(at, TimeZone::UTC).date();
        let (from, to) = (day(window.from - 24.hours()), day(tools.clock.now() + 24.hours()));
        let rows = tools.answer(active, active.vendors.courier.status_by_created(from, to, Done::All)).await?;
        Ok(Self { rows, looked_at })
    }

    pub(crate) fn rows(&self) -> &[StatusRow] {
        &self.rows
    }

    /// The order's parcel, the newest of several. One that we cancelled is none any more.
    pub(crate) fn parcel_of(&self, order: &Order) -> Option<&StatusRow> {
        let wanted: Vec<String> = order.items.iter().map(|item| item.id.to_string()).collect();
        // What is added to the id of a line tells pieces of one apart.
        let is_of = |code: &str| wanted.iter().any(|id| code.split('-').next() == Some(id.as_str()));
        self.rows
            .iter()
            .filter(|row| row.items.iter().filter_map(|item| item.extcode.as_deref()).any(is_of))
            .filter(|row| !is_cancelled(row))
            .max_by_key(|row| row.status.as_ref().and_then(|status| status.createtime_gmt))
    }

    /// The parcel of an order that is still to be delivered.
    pub(crate) fn live_parcel_of(&self, order: &Order) -> Option<&StatusRow> {
        self.parcel_of(order).filter(|row| is_live(row))
    }

    /// The live parcel that bears a number by an order's id: all that tells whose it is once
    /// RetailCRM has deleted the order.
    pub(crate) fn live_parcel_by_id(&self, active: &ActiveIntegration, order: CrmOrderId) -> Option<&StatusRow> {
        let by_id: Vec<OrderNo> =
            numbers_by_id(&active.integration.prefix, order, 1).take(NUMBERS).map(|(_, number)| number).collect();
        let is_its = |row: &&StatusRow| row.orderno.as_ref().is_some_and(|number| by_id.contains(number));
        self.rows.iter().filter(is_its).find(|row| is_live(row))
    }

    fn numbered(&self, d: &Delivery) -> Option<&StatusRow> {
        self.rows.iter().find(|row| row.orderno.as_ref() == Some(&d.orderno))
    }
}

pub(crate) fn is_live(row: &StatusRow) -> bool {
    matches!(phase(row), Phase::New | Phase::Working)
}

fn is_cancelled(row: &StatusRow) -> bool {
    phase(row) == Phase::NotDelivered && is_cancelled_by_client(row.deliveredto.as_deref())
}

/// Looks for the parcels of what is about to be done, while the ledger is in doubt. What it was
/// decided otherwise for is left out of `decided`. Answers whether anything is to be decided anew.
pub(crate) async fn look(
    tools: &Tools,
    active: &ActiveIntegration,
    creates: &mut [&mut Attempt],
    decided: &mut Vec<(&mut Attempt, Decision)>,
) -> bool {
    if decided.is_empty() && !creates.iter().any(|attempt| is_first_send(attempt)) {
        return false;
    }
    let window = match doubt(tools).await {
        Ok(Some(window)) => window,
        Ok(None) => return false,
        Err(error) => {
            tracing::warn!(%error, "whether the ledger went back to an earlier state is not known; nothing was done");
            creates.iter_mut().for_each(|attempt| attempt.retry(RetryWhy::Internal, None));
            decided.drain(..).for_each(|(attempt, _)| attempt.retry(RetryWhy::Internal, None));
            return false;
        }
    };
    let is_suspect = |attempt: &Attempt| match &attempt.delivery {
        None => attempt.past.is_none() && attempt.looked_at.is_none(),
        Some(d) => is_doubtful(d, attempt.looked_at, &window),
    };
    let mut firsts: Vec<&mut Attempt> =
        creates.iter_mut().map(|attempt| &mut **attempt).filter(|attempt| is_first_send(attempt)).collect();
    if firsts.is_empty() && !decided.iter().any(|(attempt, _)| is_suspect(attempt)) {
        return false;
    }
    let listing = match Listing::read(tools, active, &window).await {
        Ok(listing) => listing,
        Err(outcome) => {
            firsts.iter_mut().for_each(|attempt| attempt.close(outcome.clone()));
            decided.retain_mut(|(attempt, _)| {
                let is_suspect = is_suspect(attempt);
                if is_suspect {
                    attempt.close(outcome.clone());
                }
                !is_suspect
            });
            return false;
        }
    };
    let mut anew = false;
    // Who gives a number up goes before who gets it.
    firsts.sort_by_key(|attempt| own(attempt, &listing).is_some());
    for attempt in firsts {
        anew |= settled(tools, active, attempt, &listing).await;
    }
    let mut kept = Vec::with_capacity(decided.len());
    for (attempt, decision) in decided.drain(..) {
        if is_suspect(attempt) && settled(tools, active, attempt, &listing).await {
            anew = true;
        } else if attempt.is_open() {
            kept.push((attempt, decision));
        }
    }
    *decided = kept;
    anew
}

fn is_first_send(attempt: &Attempt) -> bool {
    attempt.is_open()
        && attempt.delivery.as_ref().is_some_and(|d| {
            matches!(d.state, S::Planned | S::Rejected) && d.sent_at.is_none() && d.sent_hash.is_none()
        })
}

fn own<'a>(attempt: &Attempt, listing: &'a Listing) -> Option<&'a StatusRow> {
    listing.parcel_of(attempt.order.as_ref()?)
}

/// Takes over what MeaSoft has of an order; answers whether that was news.
async fn settled(tools: &Tools, active: &ActiveIntegration, attempt: &mut Attempt, listing: &Listing) -> bool {
    let before = attempt.delivery.clone();
    let now = tools.clock.now();
    let own = match (&attempt.order, attempt.intent.order) {
        (None, Some(id)) => listing.live_parcel_by_id(active, id).cloned(),
        _ => own(attempt, listing).cloned(),
    };
    attempt.looked_at = Some(listing.looked_at);
    let settled = match (&attempt.delivery, own) {
        (None, Some(row)) => {
            // What was never in the ledger, or is over, stays as it is.
            match leased(tools, active, attempt).await {
                Ok(true) => adopted(tools, attempt, &row, now).await,
                Ok(false) => Ok(()),
                Err(error) => Err(error),
            }
        }
        (None, None) => Ok(()),
        (Some(d), own) => {
            let numbered = listing.numbered(d).cloned();
            match (d.state, own, numbered) {
                (S::Planned | S::Rejected, Some(row), _) => adopted(tools, attempt, &row, now).await,
                (S::Planned | S::Rejected, None, Some(_)) => renumbered(tools, active, attempt, listing, now).await,
                // Placed anew meanwhile, under another number.
                (S::Created | S::Cancelled | S::NotDelivered, Some(row), numbered)
                    if row.orderno.as_ref() != Some(&d.orderno) && numbered.as_ref().is_none_or(is_cancelled) =>
                {
                    adopted(tools, attempt, &row, now).await
                }
                (S::Created, _, Some(row)) => {
                    // Who asked for the cancel is lost with it; by the interface only we do.
                    attempt.held_mut().cancelled_by_us |= is_cancelled(&row);
                    take_over(attempt, &row);
                    Ok(())
                }
                (S::NotDelivered, _, Some(row)) if is_cancelled(&row) => {
                    cancelled(attempt.held_mut());
                    Ok(())
                }
                _ => Ok(()),
            }
        }
    };
    if let Err(error) = settled {
        // The number is another's row still, which gives it up in its turn.
        let expected = matches!(error, StoreError::Refused(_));
        tracing::info!(%error, expected, "an order that may have been sent before is looked at again");
        attempt.delivery = before;
        attempt.retry(RetryWhy::Internal, None);
        return false;
    }
    let what = |d: &Option<Delivery>| d.as_ref().map(|d| (d.state, d.status.clone(), d.orderno.clone()));
    what(&attempt.delivery) != what(&before)
}

/// Takes the lease of a delivery that the ledger has lost; `false` when it cannot be had now.
async fn leased(tools: &Tools, active: &ActiveIntegration, attempt: &mut Attempt) -> store::Result<bool> {
    let (order, number) = match (&attempt.order, attempt.intent.order) {
        (Some(order), _) => (order.id, &order.number),
        (None, Some(id)) => (id, &attempt.intent.number),
        (None, None) => return Ok(false),
    };
    let key = DeliveryKey { integration: active.id(), crm_order: order, number, prefix: &active.integration.prefix };
    match tools.store.lease_delivery(&key, &tools.owner, tools.lease_until()).await? {
        Leased::Taken(delivery) => {
            attempt.delivery = Some(*delivery);
            return Ok(true);
        }
        Leased::Over(past) => attempt.past = Some(past),
        Leased::Held => attempt.retry(RetryWhy::LeaseHeld, None),
    }
    Ok(false)
}

async fn adopted(tools: &Tools, attempt: &mut Attempt, row: &StatusRow, now: Timestamp) -> store::Result<()> {
    let Some(d) = &mut attempt.delivery else { return Ok(()) };
    d.orderno = row.orderno.clone().unwrap_or_else(|| d.orderno.clone());
    d.state = S::Created;
    d.reject_reason = None;
    // What was sent is not known in full: only a complete edit makes sure.
    d.sent_hash = None;
    take_over(attempt, row);
    attempt.notes.push(Told::TakenOverAnew);
    saved(tools, attempt, now).await
}

/// Another order has the number at MeaSoft, or an earlier parcel of this one: the next is taken.
async fn renumbered(
    tools: &Tools,
    active: &ActiveIntegration,
    attempt: &mut Attempt,
    listing: &Listing,
    now: Timestamp,
) -> store::Result<()> {
    let Some(d) = &mut attempt.delivery else { return Ok(()) };
    let taken: BTreeSet<&str> =
        listing.rows.iter().filter_map(|row| row.orderno.as_ref()).map(|no| no.as_str()).collect();
    let (prefix, first) = (&active.integration.prefix, d.generation);
    let free = |(_, orderno): &(u32, OrderNo)| !taken.contains(orderno.as_str());
    let (generation, orderno) = match OrderNumber::parse(&d.number) {
        Ok(number) => {
            tools.store.free_number(active.id(), numbers(prefix, &number, d.crm_order, first).filter(free)).await?
        }
        Err(_) => tools.store.free_number(active.id(), numbers_by_id(prefix, d.crm_order, first).filter(free)).await?,
    };
    attempt.notes.push(Told::NumberTaken { taken: d.orderno.to_string(), orderno: orderno.to_string() });
    (d.generation, d.orderno) = (generation, orderno);
    saved(tools, attempt, now).await
}

async fn saved(tools: &Tools, attempt: &mut Attempt, now: Timestamp) -> store::Result<()> {
    let Some(d) = &attempt.delivery else { return Ok(()) };
    let mut tx = tools.store.db.begin().await?;
    if tx.save_delivery(d, false, now).await? {
        return tx.commit().await;
    }
    attempt.retry(RetryWhy::LeaseHeld, None);
    Ok(())
}
