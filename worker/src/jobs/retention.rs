//! Forgets what is older than it is kept; nothing grows for ever.

use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::Timestamp;
use shared::message::{Change, Kind, Outcome};

use crate::jobs::job::Job;
use crate::sync::internal;
use crate::tools::Tools;

/// How long fired slots are remembered.
const SLOTS_KEPT: Duration = Duration::from_secs(6 * 3600);
/// How long status rows of orders that are not ours are kept, unless ours are kept for less: only
/// to know repeats by.
const FOREIGN_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Rows deleted in one commit: others write meanwhile.
const AT_A_TIME: u32 = 2000;

pub(super) const JOB: Job =
    Job { kind: Kind::Retention, comes_again: |_| false, run: |asked| run(asked.tools).boxed() };

async fn run(tools: &Tools) -> Outcome {
    let now = tools.clock.now();
    let before = |kept: Duration| now.checked_sub(kept).unwrap_or(Timestamp::UNIX_EPOCH);
    let (journal, orders) = (tools.policy.journal_kept, tools.policy.orders_kept);
    let ended = before(orders);
    let store = &tools.store;
    let forgotten = async {
        while store.forget_journal(before(journal), 5000).await? > 0 {}
        while store.forget_status_rows(before(FOREIGN_KEPT.min(orders)), ended, AT_A_TIME).await? > 0 {}
        while store.forget_tracking(ended, AT_A_TIME).await? > 0 {}
        while store.forget_payments(ended, AT_A_TIME).await? > 0 {}
        while store.forget_deliveries(ended, AT_A_TIME / 4).await? > 0 {}
        while store.forget_intents(ended, AT_A_TIME).await? > 0 {}
        store.forget_corrections(ended).await?;
        store.forget_shadow_orders(ended).await?;
        store.forget_slots(before(SLOTS_KEPT)).await
    };
    match forgotten.await {
        Ok(_) => Outcome::Done(Change::Synced),
        Err(_) => internal(),
    }
}
