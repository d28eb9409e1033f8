//! What MeaSoft has, within its limits, and why a run stops.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, ZonedDateTime};
use shared::domain::OrderNo;
use shared::measoft::{Done, MeasoftError, StatusRow};
use shared::message::Outcome;
use shared::store;

use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::budget::Priority;

/// Why a run stops.
pub(super) enum Stop {
    Outcome(Outcome),
    Store,
}

impl From<store::StoreError> for Stop {
    fn from(error: store::StoreError) -> Self {
        tracing::debug!(%error, "the shadow's orders could not be read or kept");
        Self::Store
    }
}

/// MeaSoft's orders that were made since a moment.
pub(super) async fn listing(
    tools: &Tools,
    active: &ActiveIntegration,
    from: Timestamp,
) -> Result<Vec<StatusRow>, Stop> {
    // The courier's day may be ahead of or behind ours.
    let day = |at: Timestamp| ZonedDateTime::new(at, TimeZone::UTC).date();
    let (from, to) = (day(from - 24.hours()), day(tools.clock.now() + 24.hours()));
    ask(tools, active, active.vendors.courier.status_by_created(from, to, Done::All)).await
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
