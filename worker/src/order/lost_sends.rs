//! What was sent and then lost by the database: for a while after another server took over, the
//! first send of an order is preceded by a look at what MeaSoft has. The number that the ledger
//! would give it now may be another order's there, and the order may be there under one that the
//! ledger would not think of. Whose a parcel is, its lines say.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, ZonedDateTime};
use shared::domain::OrderNumber;
use shared::domain::delivery::{DeliveryState as S, Phase};
use shared::measoft::{Done, StatusRow};
use shared::message::RetryWhy;
use shared::store::numbers::{numbers, numbers_by_id};
use shared::store::{self, StoreError};

use crate::order::attempt::Attempt;
use crate::order::prepayment::PREPAYMENT;
use crate::order::recognise::is_cancelled_by_client;
use crate::order::take_over::{phase, take_over};
use crate::takeover;
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;

/// Whatever was lost is wanted again by then: the reconcile over the window has run.
const DOUBTED: Duration = Duration::from_secs(3600);

/// What the look showed.
#[derive(Default)]
pub struct Seen {
    /// Whether any is to be decided on anew: it was found, or has another number now.
    pub anew: bool,
    /// What MeaSoft has, as of a moment.
    rows: Vec<StatusRow>,
    looked_at: Option<Timestamp>,
}

impl Seen {
    /// Takes over what it showed of an order that is known to be placed: the ledger may have lost
    /// that as well. Answers whether that was news.
    pub fn report(&self, attempt: &mut Attempt) -> bool {
        let Some(d) = attempt.delivery.as_ref().filter(|d| d.state == S::Created) else { return false };
        let before = (d.state, d.status.clone());
        let Some(row) = self.rows.iter().find(|row| row.orderno.as_ref() == Some(&d.orderno)) else { return false };
        attempt.looked_at = self.looked_at;
        take_over(attempt, row);
        attempt.delivery.as_ref().is_some_and(|d| (d.state, d.status.clone()) != before)
    }
}

/// Looks for the parcels of first sends.
pub async fn find(tools: &Tools, active: &ActiveIntegration, attempts: &mut [&mut Attempt]) -> Seen {
    let mut suspects: Vec<&mut Attempt> =
        attempts.iter_mut().map(|attempt| &mut **attempt).filter(|attempt| is_first_send(attempt)).collect();
    if suspects.is_empty() {
        return Seen::default();
    }
    let now = tools.clock.now();
    let window = match takeover::since(&tools.store, now - DOUBTED).await {
        Ok(Some(window)) => window,
        Ok(None) => return Seen::default(),
        Err(error) => {
            tracing::warn!(%error, "whether another server took over is not known; nothing was sent");
            suspects.iter_mut().for_each(|attempt| attempt.retry(RetryWhy::Internal, None));
            return Seen::default();
        }
    };
    let Ok(looked_at) = tools.store.agreed_now().await else {
        suspects.iter_mut().for_each(|attempt| attempt.retry(RetryWhy::Internal, None));
        return Seen::default();
    };
    // The courier's day may be ahead of or behind ours.
    let day = |at: Timestamp| ZonedDateTime::new(at, TimeZone::UTC).date();
    let (from, to) = (day(window.from - 24.hours()), day(now + 24.hours()));
    let rows = match tools.answer(active, active.vendors.courier.status_by_created(from, to, Done::All)).await {
        Ok(rows) => rows,
        Err(outcome) => {
            suspects.iter_mut().for_each(|attempt| attempt.close(outcome.clone()));
            return Seen::default();
        }
    };
    let mut anew = false;
    // Who gives a number up goes before who gets it.
    suspects.sort_by_key(|attempt| own(attempt, &rows).is_some());
    for attempt in suspects {
        let before = attempt.delivery.clone();
        let settled = match own(attempt, &rows).cloned() {
            Some(row) => {
                anew = true;
                attempt.looked_at = Some(looked_at);
                adopted(tools, attempt, &row, now).await
            }
            None if is_anothers(attempt, &rows) => {
                anew = true;
                renumbered(tools, active, attempt, &rows, now).await
            }
            None => Ok(()),
        };
        if let Err(error) = settled {
            // The number is another's row still, which gives it up in its turn.
            let expected = matches!(error, StoreError::Refused(_));
            tracing::info!(%error, expected, "an order that may have been sent before is looked at again");
            attempt.delivery = before;
            attempt.retry(RetryWhy::Internal, None);
        }
    }
    Seen { anew, rows, looked_at: Some(looked_at) }
}

fn is_first_send(attempt: &Attempt) -> bool {
    attempt.is_open()
        && attempt.delivery.as_ref().is_some_and(|d| {
            matches!(d.state, S::Planned | S::Rejected) && d.sent_at.is_none() && d.sent_hash.is_none()
        })
}

/// RetailCRM's ids of the lines: what is added to them tells pieces of one apart.
fn lines<'a>(codes: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    codes.filter(|code| !code.is_empty() && *code != PREPAYMENT).filter_map(|code| code.split('-').next()).collect()
}

/// The order's parcel among the rows, the newest of several. One that we cancelled is none any
/// more.
fn own<'a>(attempt: &Attempt, rows: &'a [StatusRow]) -> Option<&'a StatusRow> {
    let wanted = lines(attempt.wanted()?.order.items.iter().map(|item| item.extcode.as_str()));
    rows.iter()
        .filter(|row| {
            let there = lines(row.items.iter().filter_map(|item| item.extcode.as_deref()));
            row.orderno.is_some() && !wanted.is_disjoint(&there)
        })
        .filter(|row| phase(row) != Phase::NotDelivered || !is_cancelled_by_client(row.deliveredto.as_deref()))
        .max_by_key(|row| row.status.as_ref().and_then(|status| status.createtime_gmt))
}

/// Whether MeaSoft has something else under the number that the ledger chose.
fn is_anothers(attempt: &Attempt, rows: &[StatusRow]) -> bool {
    let number = attempt.delivery.as_ref().map(|d| &d.orderno);
    rows.iter().any(|row| row.orderno.as_ref() == number)
}

async fn adopted(tools: &Tools, attempt: &mut Attempt, row: &StatusRow, now: Timestamp) -> store::Result<()> {
    let Some(d) = &mut attempt.delivery else { return Ok(()) };
    d.orderno = row.orderno.clone().unwrap_or_else(|| d.orderno.clone());
    d.state = S::Created;
    d.reject_reason = None;
    // What was sent is not known in full: only a complete edit makes sure.
    d.sent_hash = None;
    take_over(attempt, row);
    attempt.notes.push("MeaSoft has it from before another PostgreSQL server took over: taken over".to_owned());
    saved(tools, attempt, now).await
}

/// Another order has the number at MeaSoft, or an earlier parcel of this one: the next is taken.
async fn renumbered(
    tools: &Tools,
    active: &ActiveIntegration,
    attempt: &mut Attempt,
    rows: &[StatusRow],
    now: Timestamp,
) -> store::Result<()> {
    let Some(d) = &mut attempt.delivery else { return Ok(()) };
    let taken: BTreeSet<&str> = rows.iter().filter_map(|row| row.orderno.as_ref()).map(|no| no.as_str()).collect();
    let (prefix, first) = (&active.integration.prefix, d.generation);
    let free = |(_, orderno): &(u32, shared::domain::OrderNo)| !taken.contains(orderno.as_str());
    let (generation, orderno) = match OrderNumber::parse(&d.number) {
        Ok(number) => {
            tools.store.free_number(active.id(), numbers(prefix, &number, d.crm_order, first).filter(free)).await?
        }
        Err(_) => tools.store.free_number(active.id(), numbers_by_id(prefix, d.crm_order, first).filter(free)).await?,
    };
    attempt.notes.push(format!("MeaSoft has another order under {}: new number {orderno}", d.orderno));
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
