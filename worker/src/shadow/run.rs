//! One run: compare while it is a shadow, take over once it is none.

use std::collections::BTreeMap;

use jiff::ToSpan as _;
use shared::message::{Change, Outcome, RetryWhy};
use shared::store::shadow_orders::ShadowOrder;

use crate::order::shadow::pause;
use crate::shadow::ask::{Stop, keep, last_listed, listing, look_up, note_listed};
use crate::shadow::{judge, move_in, strangers};
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;

/// Orders laid beside MeaSoft's in one run.
const AT_ONCE: u32 = 1000;
/// So many numbers are asked about one by one; more wait for the next list of the days on which they
/// were made.
const FEW: usize = 3;
/// What MeaSoft does not list by its day is asked about by number: so many in one run, since
/// look-ups of unknown numbers are rationed (protocols/measoft.md#limits).
const LOOK_UPS: usize = 20;
/// What is older is asked about by number only.
const DAYS: i64 = 7;

/// Compares while the integration is a shadow, and takes over what is there once it is none.
pub async fn run(tools: &Tools, active: &ActiveIntegration) -> Outcome {
    let done = match active.integration.settings.is_shadow() {
        true => compare(tools, active).await,
        false => move_in::run(tools, active).await,
    };
    match done {
        Ok(()) => Outcome::Done(Change::Synced),
        Err(Stop::Outcome(outcome)) => outcome,
        Err(Stop::Store(error)) => {
            tracing::warn!(%error, "the shadow's orders could not be read or kept");
            Outcome::retry(RetryWhy::Internal)
        }
    }
}

async fn compare(tools: &Tools, active: &ActiveIntegration) -> Result<(), Stop> {
    let now = tools.clock.now();
    let due = tools.store.due_shadow_orders(active.id(), now, AT_ONCE).await?;
    let (last, long_ago) = last_listed(tools, active).await?;
    let Some(since) = tools.store.in_shadow_since(active.id()).await? else { return Ok(()) };
    let (young, old): (Vec<ShadowOrder>, Vec<ShadowOrder>) =
        due.into_iter().partition(|row| row.decided_at >= now - (DAYS * 24).hours());
    let from = young.iter().map(|row| row.decided_at).min();
    let young = if young.len() > FEW && !long_ago { Vec::new() } else { young };
    let mut there = BTreeMap::new();
    if long_ago {
        let from = from.unwrap_or(now).min(last.unwrap_or(since)).max(now - (DAYS * 24).hours());
        let rows = listing(tools, active, from).await?;
        strangers::note(tools, active, &rows, since).await?;
        rows.into_iter().for_each(|row| keep(&mut there, row));
        note_listed(tools, active).await?;
    }
    let mut found = Vec::new();
    let mut looked_up = 0;
    for row in young.into_iter().chain(old) {
        let Some(orderno) = row.orderno.as_deref() else { continue };
        if !there.contains_key(orderno) {
            if looked_up == LOOK_UPS {
                continue;
            }
            looked_up += 1;
            look_up(tools, active, orderno, &mut there).await?;
        }
        found.push(judge::judged(row.clone(), there.get(orderno), &tools.store.key, now, pause(tools)));
    }
    tools.store.note_compared(&found).await?;
    Ok(())
}
