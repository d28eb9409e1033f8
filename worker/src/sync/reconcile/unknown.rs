//! Live parcels that a takeover left without an order: their writes were lost, and RetailCRM has
//! deleted the order since, so that nothing names them any more. A person is told of each.

use std::time::Duration;

use jiff::Timestamp;
use shared::clock::later;
use shared::domain::IntegrationId;
use shared::measoft::StatusRow;
use shared::message::Kind;
use shared::phrases::Detail;
use shared::reason;
use shared::store::dead_letters::NewDeadLetter;
use shared::store::promotion::Window;

use crate::order::lost_writes::{Listing, is_live, is_within};
use crate::sync::of_account;
use crate::sync::reconcile::Stop;
use crate::takeover;
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;

/// A takeover is not looked at any more after so long: a courier was away for days.
const KEPT: Duration = Duration::from_secs(7 * 86_400);

/// Tells of the parcels of an account that no order is known of; once for each takeover.
pub(crate) async fn tell(tools: &Tools, active: &ActiveIntegration) -> Result<(), Stop> {
    let now = tools.clock.now();
    let Some(window) = takeover::since(tools, now - KEPT).await? else { return Ok(()) };
    // Before that the walks through the orders still find parcels.
    if now < later(window.until, takeover::cleared_up_after(tools)) {
        return Ok(());
    }
    let account = active.integration.courier_account();
    let name = format!("unknown parcels|{account}");
    let mark = window.until.as_millisecond().to_string();
    if tools.store.cursor(&name).await?.is_some_and(|(told, _)| told == mark) {
        return Ok(());
    }
    let integrations = of_account(tools, &account).await?;
    let ids: Vec<IntegrationId> = integrations.iter().map(|integration| integration.id).collect();
    let listing = Listing::of_account(tools, active, &window).await.map_err(Stop::Outcome)?;
    let suspects: Vec<&str> = listing.rows().iter().filter(|row| is_suspect(row, &window)).filter_map(number).collect();
    let known = tools.store.owners_of(&ids, &suspects).await?;
    let mut tx = tools.store.db.begin().await?;
    for unknown in suspects.into_iter().filter(|number| !known.iter().any(|owner| owner.orderno == *number)) {
        let give_up = reason::give_up(reason::PARCEL_UNKNOWN, Detail::Number { orderno: unknown.to_string() });
        // Whose the number is, its prefix says: the longest, for an empty one begins every number.
        let of = integrations.iter().filter(|i| unknown.starts_with(i.prefix.as_str()));
        let dead = NewDeadLetter {
            integration: of.max_by_key(|i| i.prefix.as_str().len()).map(|i| i.id).or(Some(active.id())),
            number: Some(unknown.to_owned()),
            ..NewDeadLetter::new(Kind::Reconcile.as_str(), give_up)
        };
        tx.add_dead_letter(&dead, now).await?;
    }
    tx.set_cursor(&name, &mark, now).await?;
    tx.commit().await?;
    Ok(())
}

/// Whether we may have made a parcel in the window. Pure. One that people entered by hand has no
/// lines that bear the id of a line of an order.
fn is_suspect(row: &StatusRow, window: &Window) -> bool {
    let first: Option<Timestamp> =
        row.history.iter().chain(&row.status).filter_map(|status| status.createtime_gmt).min();
    let is_line = |code: &str| code.split('-').next().is_some_and(|id| id.parse::<u64>().is_ok());
    let is_ours = row.items.iter().filter_map(|item| item.extcode.as_deref()).any(is_line);
    is_live(row) && is_ours && first.is_none_or(|at| is_within(at, window))
}

fn number(row: &StatusRow) -> Option<&str> {
    row.orderno.as_ref().map(|number| number.as_str())
}
