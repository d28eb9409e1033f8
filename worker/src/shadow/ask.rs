//! What MeaSoft has, within its limits, and why a run stops.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};
use shared::clock::elapsed;
use shared::domain::OrderNo;
use shared::measoft::{Done, MeasoftError, StatusRow};
use shared::message::Outcome;
use shared::store;

use crate::order::shadow::pause;
use crate::order::weeks::day;
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::budget::Priority;

/// MeaSoft is listed as often as that, as it is installed each 15 minutes, also where nothing is due:
/// what no trigger has told of is found so.
const LISTED_EACH: u32 = 15;

/// Why a run stops.
pub(super) enum Stop {
    Outcome(Outcome),
    Store(store::StoreError),
}

impl From<store::StoreError> for Stop {
    fn from(error: store::StoreError) -> Self {
        Self::Store(error)
    }
}

/// MeaSoft's orders that were made since a moment.
pub(super) async fn listing(
    tools: &Tools,
    active: &ActiveIntegration,
    from: Timestamp,
) -> Result<Vec<StatusRow>, Stop> {
    // The courier's day may be ahead of or behind ours.
    listing_of(tools, active, (day(from - 24.hours()), day(tools.clock.now() + 24.hours()))).await
}

/// MeaSoft's orders that were made from one day to another, both included.
pub(super) async fn listing_of(
    tools: &Tools,
    active: &ActiveIntegration,
    (from, to): (Date, Date),
) -> Result<Vec<StatusRow>, Stop> {
    ask(tools, active, active.vendors.courier.status_by_created(from, to, Done::All)).await
}

/// The cursor that says when MeaSoft was last listed.
fn listed(active: &ActiveIntegration) -> String {
    format!("shadow listed|{}", active.id())
}

/// MeaSoft was listed just now.
pub(super) async fn note_listed(tools: &Tools, active: &ActiveIntegration) -> store::Result<()> {
    let mut tx = tools.store.db.begin().await?;
    tx.set_cursor(&listed(active), "", tools.clock.now()).await?;
    tx.commit().await
}

/// When MeaSoft was last listed, and whether that is long ago: a listing is large, and so many bytes
/// an hour are a cabinet's (protocols/measoft.md#limits).
pub(super) async fn last_listed(tools: &Tools, active: &ActiveIntegration) -> store::Result<(Option<Timestamp>, bool)> {
    let last = tools.store.cursor(&listed(active)).await?.map(|(_, at)| at);
    let is_long_ago = last.is_none_or(|at| elapsed(at, tools.clock.now()) >= pause(tools) * LISTED_EACH);
    Ok((last, is_long_ago))
}

/// What MeaSoft has under a number is added to what is known to be there.
pub(super) async fn look_up(
    tools: &Tools,
    active: &ActiveIntegration,
    orderno: &str,
    there: &mut BTreeMap<String, StatusRow>,
) -> Result<(), Stop> {
    let number = OrderNo::known(orderno);
    let rows = ask(tools, active, active.vendors.courier.status_by_orderno(&number)).await?;
    rows.into_iter().for_each(|row| keep(there, row));
    Ok(())
}

async fn ask<T>(
    tools: &Tools,
    active: &ActiveIntegration,
    call: impl Future<Output = Result<T, MeasoftError>>,
) -> Result<T, Stop> {
    match tools.ask_as(active, Priority::Bulk, call).await {
        Ok(Ok(rows)) => Ok(rows),
        Ok(Err(error)) => Err(Stop::Outcome(tools.failure(active, &error).await)),
        Err(closed) => Err(Stop::Outcome(closed)),
    }
}

/// Numbers repeat over the years: the newest counts.
pub(super) fn keep(there: &mut BTreeMap<String, StatusRow>, row: StatusRow) {
    let Some(orderno) = row.orderno.as_ref().map(ToString::to_string) else { return };
    let made = |row: &StatusRow| row.status.as_ref().and_then(|status| status.createtime_gmt);
    if there.get(&orderno).is_none_or(|known| made(known) <= made(&row)) {
        there.insert(orderno, row);
    }
}
