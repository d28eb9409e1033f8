//! Writes down what taking rows over comes to: a statement for each table, however many rows.

use jiff::Timestamp;
use shared::domain::{Delivery, DeliveryId};
use shared::message::Kind;
use shared::store;
use shared::store::journal::{Entry, What};
use shared::story::Event;

use crate::sync::apply::note::code_name;
use crate::sync::apply::plan::Plan;

/// Writes all of a plan but its suspects.
pub(super) async fn write(tx: &mut store::Tx, plan: &Plan, now: Timestamp) -> store::Result<()> {
    tx.save_locked_deliveries(&plan.deliveries, now).await?;
    tx.settle_status_rows(&plan.ends, now).await?;
    tx.postpone_rows(&plan.put_off).await?;
    tx.add_tracking(&plan.statuses).await?;
    tx.append_all(&plan.entries).await?;
    tx.want_returns(&plan.returns, now).await?;
    write_payments(tx, plan, now).await?;
    // One for each code, of which there are few.
    for letter in plan.unmapped.values() {
        tx.add_dead_letter_once(letter, now).await?;
    }
    for (integration, code) in &plan.mapped {
        let name = code_name(code);
        tx.resolve_dead_letters_of(*integration, Some(&name), Kind::SyncStatuses.as_str(), now).await?;
    }
    Ok(())
}

async fn write_payments(tx: &mut store::Tx, plan: &Plan, now: Timestamp) -> store::Result<()> {
    // What was reopened may be closed again by now.
    let reopened: Vec<DeliveryId> = plan.reopened.iter().map(|(delivery, _)| *delivery).collect();
    let changed = tx.reopen_payments(&reopened, now).await?;
    tx.want_payments(&plan.closings, now).await?;
    for (delivery, letter) in &plan.reopened {
        if let Some(letter) = letter.as_ref().filter(|_| changed.contains(delivery)) {
            tx.add_dead_letter(letter, now).await?;
        }
    }
    Ok(())
}

/// Has suspects looked up, and puts their rows off meanwhile.
pub(super) async fn suspect(tx: &mut store::Tx, plan: &Plan, now: Timestamp) -> store::Result<()> {
    tx.suspect_deliveries(&plan.suspects, now).await?;
    let entry = |d: &Delivery| {
        Entry::new(now, What::Status, Event::NeverPlaced)
            .about(d.integration, d.number.as_str())
            .orderno(d.orderno.as_str())
    };
    tx.append_all(&plan.suspects.iter().map(entry).collect::<Vec<_>>()).await?;
    tx.postpone_rows(&plan.suspicious).await
}
