//! Making good what a comparison found: the way every trigger goes, and nothing around it.

use std::collections::BTreeMap;

use serde_json::json;
use shared::domain::{Integration, OrderNumber};
use shared::message::{Command, Envelope};
use shared::store::audit::{Act, NewAudit, Who};
use shared::store::jobs::NewJob;
use shared::store::journal::{Entry, What};
use shared::store::{self, Store};
use shared::story::Event;

use crate::compare::Comparison;
use crate::compare::books::Repair;

/// Asks for what would make good what can be made good. Answers how often for what; commands,
/// journal and audit are one commit.
///
/// # Errors
/// When the database does not take it: then nothing is asked for.
pub async fn repair(
    store: &Store,
    integration: &Integration,
    comparison: &Comparison,
    who: &Who,
) -> store::Result<BTreeMap<&'static str, usize>> {
    let now = store.clock.now();
    let mut asked: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut tx = store.db.begin().await?;
    for found in &comparison.found {
        let Some(repair) = found.repair else { continue };
        *asked.entry(repair.as_str()).or_default() += 1;
        let (Repair::Trigger(missed), Some(order), Ok(number)) =
            (repair, found.order, OrderNumber::parse(&found.number))
        else {
            continue;
        };
        let delivery = comparison.deliveries.iter().find(|d| d.crm_order == order);
        let command = missed.command(number, delivery, integration.id);
        let envelope = Envelope::new(command, Some(integration.id), now).of_order(order);
        tx.enqueue(&NewJob::of(&envelope, now), now).await?;
        let event = Event::RepairAsked { day: comparison.day, who: who.person(), wish: repair.wish() };
        tx.append_journal(&Entry::new(now, What::Operator, event).about(integration.id, found.number.as_str())).await?;
    }
    if asked.contains_key(Repair::Statuses.as_str()) {
        // A person asks for it: it outlasts a pause.
        let envelope = Envelope { generation: 1, ..Envelope::new(Command::Reconcile {}, Some(integration.id), now) };
        tx.enqueue(&NewJob::of(&envelope, now), now).await?;
    }
    if !asked.is_empty() {
        let object = format!("orders of {} of integration {}", comparison.day, integration.id);
        let mut entry = NewAudit::new(who, Act::Repaired, Some(integration.id), object);
        entry.after.extend(asked.iter().map(|(what, number)| ((*what).to_owned(), json!(number))));
        tx.append_audit(&store.key, &entry, now).await?;
    }
    tx.commit().await?;
    Ok(asked)
}
