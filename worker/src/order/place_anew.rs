//! A new number for what we cancelled and is wanted again.

use jiff::Timestamp;
use shared::domain::delivery::{CrmWritten, DeliveryState as S, Event};
use shared::domain::{Delivery, OrderNo, OrderNumber};
use shared::message::{Outcome, RetryWhy};
use shared::store;
use shared::store::numbers::{numbers, numbers_by_id};
use shared::store::past_deliveries::PastDelivery;
use shared::story::Event as Told;

use crate::order::attempt::{Attempt, Step};
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;

pub(crate) async fn place_anew(tools: &Tools, active: &ActiveIntegration, attempt: &mut Attempt) -> Step {
    match free_number(tools, active, attempt.held()).await {
        Ok((generation, orderno)) => {
            renumber(attempt, generation, orderno, tools.clock.now());
            Ok(())
        }
        Err(error) => {
            tracing::warn!(%error, "no number for an order that is placed anew");
            Err(Outcome::retry(RetryWhy::Internal))
        }
    }
}

/// The next number. Another order may bear the obvious one.
async fn free_number(tools: &Tools, active: &ActiveIntegration, d: &Delivery) -> store::Result<(u32, OrderNo)> {
    let (prefix, next) = (&active.integration.prefix, d.generation + 1);
    match OrderNumber::parse(&d.number) {
        Ok(number) if !d.orderno.as_str().starts_with(&format!("{prefix}R{}", d.crm_order)) => {
            tools.store.free_number(active.id(), numbers(prefix, &number, d.crm_order, next)).await
        }
        _ => tools.store.free_number(active.id(), numbers_by_id(prefix, d.crm_order, next)).await,
    }
}

fn renumber(attempt: &mut Attempt, generation: u32, orderno: OrderNo, now: Timestamp) {
    let before = attempt.held().clone();
    attempt.retired = Some(PastDelivery::of(&before, now));
    attempt.recreated = true;
    attempt.notes.push(Told::NewNumber { orderno: orderno.to_string() });
    let d = attempt.held_mut();
    d.generation = generation;
    d.orderno = orderno;
    d.state = d.state.after(Event::WantedAgain).unwrap_or(S::Planned);
    d.ordercode = None;
    d.status = None;
    d.status_at = None;
    d.status_seen_at = None;
    d.cancelled_by_us = false;
    d.sent_hash = None;
    d.sending_hash = None;
    d.sending = None;
    d.sent_at = None;
    d.price = None;
    d.item_codes.clear();
    d.crm_written = CrmWritten::default();
    attempt.cancelled = Some(Box::new(before));
}
