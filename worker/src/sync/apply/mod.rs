//! Takes stored status rows over into the ledger: state, status, line codes, what RetailCRM
//! is to be told, and the request to settle the payment. Some hundred rows at a time, all in one
//! commit: their deliveries are locked, what each row means is planned, and written in a few
//! statements. Most rows are taken over in the commit that unpacks them (`straight`); the others
//! wait until their delivery can have them.

mod merge;
mod note;
mod plan;
#[cfg(test)]
pub(in crate::sync) mod stories;
mod straight;
mod write;

use std::collections::HashMap;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use shared::domain::{DeliveryId, Integration, IntegrationId};
use shared::message::{Change, Needless, Outcome};
use shared::store;
use shared::store::again::at_once;
use shared::store::status_stream::PendingRow;
use shared::telemetry::metrics::StatusRowResult;

pub(crate) use crate::sync::apply::note::payment_letter;
use crate::sync::apply::plan::{Plan, Planner, Told};
use crate::sync::apply::write::{suspect, write};
use crate::sync::{internal, of_account};
use crate::tools::Tools;

/// Rows taken over in one commit, as far as each delivery has one.
const BATCH: u32 = 256;

/// What a look at the rows of a cabinet came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    NothingWaits,
    Taken,
    /// Another takes them over at this moment.
    AnothersTurn,
}

/// Takes over whatever waits of a cabinet.
pub async fn run(tools: &Tools, account: &str) -> Outcome {
    match take_over(tools, account).await {
        Ok(Came::NothingWaits) => Outcome::AlreadyDone(Needless::NothingWaits),
        Ok(Came::Taken) => Outcome::Done(Change::Synced),
        Ok(Came::AnothersTurn) => Outcome::Superseded(Needless::OthersTurn),
        Err(error) => {
            tracing::warn!(%error, "stored statuses wait for the database");
            internal()
        }
    }
}

async fn take_over(tools: &Tools, account: &str) -> store::Result<Came> {
    let mut due = tools.store.deliveries_with_rows(account, BATCH).await?;
    if due.is_empty() {
        return Ok(Came::NothingWaits);
    }
    let cabinet = Cabinet::open(tools, account).await?;
    while !due.is_empty() {
        if !cabinet.take(&due).await? {
            return Ok(Came::AnothersTurn);
        }
        due = tools.store.deliveries_with_rows(account, BATCH).await?;
    }
    Ok(Came::Taken)
}

/// A cabinet whose rows are taken over by one at a time.
pub(in crate::sync) struct Cabinet<'a> {
    tools: &'a Tools,
    account: &'a str,
    pub(in crate::sync) integrations: HashMap<IntegrationId, Integration>,
    turn: String,
}

impl<'a> Cabinet<'a> {
    pub(in crate::sync) async fn open(tools: &'a Tools, account: &'a str) -> store::Result<Self> {
        let integrations = of_account(tools, account).await?.into_iter().map(|one| (one.id, one)).collect();
        let turn = format!("apply|{account}");
        tools.store.make_turn(&turn).await?;
        Ok(Self { tools, account, integrations, turn })
    }
}

impl Cabinet<'_> {
    /// Takes the rows of some deliveries over. False: it is another's turn.
    fn take<'a>(&'a self, due: &'a [DeliveryId]) -> BoxFuture<'a, store::Result<bool>> {
        async move {
            match at_once(|| self.in_one_commit(due)).await {
                Ok(taken) => Ok(taken),
                Err(error) if error.is_the_databases() => Err(error),
                // One delivery that the database refuses holds up no other.
                Err(_) if due.len() > 1 => {
                    let (first, second) = due.split_at(due.len() / 2);
                    Ok(self.take(first).await? && self.take(second).await?)
                }
                Err(error) => {
                    tracing::warn!(delivery = due[0].0, %error, "a status cannot be taken over");
                    self.put_off(due[0]).await
                }
            }
        }
        .boxed()
    }

    async fn in_one_commit(&self, due: &[DeliveryId]) -> store::Result<bool> {
        let now = self.tools.clock.now();
        let mut tx = self.tools.store.db.begin().await?;
        if !tx.is_my_turn(&self.turn).await? {
            return Ok(false);
        }
        let free = tx.lock_free_deliveries(due, now).await?;
        let mut rows = by_delivery(tx.pending_rows(self.account, due).await?);
        let ids: Vec<DeliveryId> = free.iter().map(|d| d.id).collect();
        let mut planner = Planner::new(&self.integrations, Told::of(tx.noted_tracking(&ids).await?), now);
        for d in free {
            let rows = rows.remove(&d.id).unwrap_or_default();
            planner.take(d, &rows);
        }
        for rows in rows.values() {
            planner.wait(rows, "its delivery was never free");
        }
        let plan = planner.done();
        write(&mut tx, &plan, now).await?;
        tx.commit().await?;
        self.count(&plan);
        if !plan.suspects.is_empty() {
            let mut tx = self.tools.store.db.begin().await?;
            suspect(&mut tx, &plan, now).await?;
            tx.commit().await?;
        }
        Ok(true)
    }

    /// Rows whose delivery the database does not read or write wait for a person to mend it.
    async fn put_off(&self, delivery: DeliveryId) -> store::Result<bool> {
        let now = self.tools.clock.now();
        let mut tx = self.tools.store.db.begin().await?;
        if !tx.is_my_turn(&self.turn).await? {
            return Ok(false);
        }
        let rows = tx.pending_rows(self.account, &[delivery]).await?;
        let mut planner = Planner::new(&self.integrations, Told::default(), now);
        planner.wait(&rows, "the database never took it");
        let plan = planner.done();
        write(&mut tx, &plan, now).await?;
        tx.commit().await?;
        self.count(&plan);
        Ok(true)
    }

    fn count(&self, plan: &Plan) {
        let metrics = &self.tools.metrics;
        metrics.status_rows(StatusRowResult::UnknownCode, plan.counts.unknown);
        metrics.status_rows(StatusRowResult::SideFieldDropped, plan.counts.unreadable);
        metrics.status_rows(StatusRowResult::Parked, plan.counts.parked);
    }
}

/// Rows of each delivery, in their order.
fn by_delivery(rows: Vec<PendingRow>) -> HashMap<DeliveryId, Vec<PendingRow>> {
    let mut by: HashMap<DeliveryId, Vec<PendingRow>> = HashMap::with_capacity(rows.len());
    for row in rows {
        by.entry(row.delivery).or_default().push(row);
    }
    by
}
