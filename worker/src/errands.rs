//! Commands that are about no order's intent: periodic jobs and probes.

use std::sync::Arc;
use std::time::Duration;

use shared::domain::{Fault, IntegrationState, PausedBy};
use shared::message::{Change, Command, Envelope, Lane, Outcome, RetryWhy, decode};
use shared::queue::watched::WatchedQueue;
use shared::queue::{Delivery, Publisher};
use shared::reason;
use shared::store::dead_letters::NewDeadLetter;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::intake::bury_undecodable;
use crate::ports::{Shop, Tools};
use crate::settle::{Settlement, settle};
use crate::shops::Shops;

/// How long the journal is kept.
const JOURNAL_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long fired slots are remembered.
const SLOTS_KEPT: Duration = Duration::from_secs(3 * 24 * 3600);

/// Runs until `stop`. Deliveries come from the bulk lane and from the intake.
pub async fn run(
    tools: Tools,
    shops: Shops,
    queue: WatchedQueue,
    publisher: Arc<dyn Publisher>,
    mut from_intake: mpsc::Receiver<(Envelope, Delivery)>,
    stop: CancellationToken,
) {
    let mut bulk = queue.subscribe(Lane::Bulk, 8);
    let (pump, mut inbox) = mpsc::channel::<Delivery>(8);
    let pump_stop = stop.clone();
    let pumping = tokio::spawn(async move {
        loop {
            tokio::select! {
                biased;
                () = pump_stop.cancelled() => break,
                delivery = bulk.next() => match delivery {
                    Some(delivery) => {
                        if pump.send(delivery).await.is_err() {
                            break;
                        }
                    }
                    None => break,
                },
            }
        }
        bulk.stop().await;
    });
    loop {
        let (envelope, delivery) = tokio::select! {
            Some(pair) = from_intake.recv() => pair,
            Some(delivery) = inbox.recv() => match decode(&delivery.body) {
                Ok(envelope) => (envelope, delivery),
                Err(why) => {
                    bury_undecodable(&tools, &delivery, &why.to_string(), reason::UNDECODABLE).await;
                    delivery.ack().await;
                    continue;
                }
            },
            else => break,
        };
        if stop.is_cancelled() {
            delivery.requeue().await;
            continue;
        }
        attempt(&tools, &shops, &publisher, envelope, delivery).await;
    }
    let _ = pumping.await;
}

/// One attempt: carry out, record, settle.
async fn attempt(tools: &Tools, shops: &Shops, publisher: &Arc<dyn Publisher>, envelope: Envelope, delivery: Delivery) {
    let started = tools.clock.now();
    let outcome = carry_out(tools, shops, &envelope).await;
    let now = tools.clock.now();
    let millis = |from: jiff::Timestamp| {
        Duration::from_millis(u64::try_from(now.as_millisecond() - from.as_millisecond()).unwrap_or(0))
    };
    let kind = envelope.command.kind();
    tools.metrics.command(kind, &outcome, millis(started));
    tracing::info!(
        integration = envelope.integration.map(|id| id.0),
        command = kind.as_str(),
        attempt = envelope.attempt,
        outcome = outcome.label(),
        duration_ms = u64::try_from(millis(started).as_millis()).unwrap_or(u64::MAX),
        "attempt.finished"
    );
    match settle(&outcome, envelope.attempt, millis(envelope.received_at), Duration::ZERO, &tools.policy) {
        Settlement::Ack => delivery.ack().await,
        Settlement::Wait { pause, .. } => {
            if let Outcome::RetryLater { why, .. } = &outcome {
                tools.metrics.retry(kind, *why);
            }
            let mut copy = envelope;
            copy.attempt += 1;
            // The copy first: a crash in between makes two, never none.
            match publisher.publish(copy, Some(pause)).await {
                Ok(()) => delivery.ack().await,
                Err(_) => delivery.requeue().await,
            }
        }
        Settlement::DeadLetter | Settlement::Expire => {
            let give_up = match outcome {
                Outcome::GiveUp(give_up) => give_up,
                _ => reason::give_up(reason::EXPIRED, ""),
            };
            let dead = NewDeadLetter {
                integration: envelope.integration,
                delivery: None,
                number: None,
                kind: kind.as_str().to_owned(),
                reason: give_up.reason.to_owned(),
                fault: give_up.fault,
                detail: give_up.detail,
                tries: envelope.attempt + 1,
                command: serde_json::to_string(&envelope).ok(),
                raw: None,
            };
            match tools.store.bury(&dead).await {
                Ok(_) => delivery.ack().await,
                Err(_) => delivery.requeue().await,
            }
        }
    }
}

async fn carry_out(tools: &Tools, shops: &Shops, envelope: &Envelope) -> Outcome {
    match &envelope.command {
        Command::Retention {} => retention(tools).await,
        Command::ProbeIntegration {} => {
            // A fresh look: the state may have changed since the scheduler's.
            let _ = shops.refresh().await;
            match envelope.integration.and_then(|id| shops.any(id)) {
                Some(shop) => probe(tools, &shop).await,
                None => Outcome::Superseded("the integration is gone"),
            }
        }
        _ => Outcome::Superseded("nothing to do for this command"),
    }
}

/// Asks the vendor that refused us whether it still does; a good answer resumes.
async fn probe(tools: &Tools, shop: &Shop) -> Outcome {
    let IntegrationState::Paused { by: PausedBy::Credentials(whose), .. } = shop.integration.state else {
        return Outcome::AlreadyDone("not paused for its credentials");
    };
    let good = match whose {
        Fault::Crm => shop.vendors.crm.credentials().await.is_ok(),
        _ => shop.vendors.courier.probe().await.is_ok(),
    };
    if !good {
        return Outcome::AlreadyDone("still refused");
    }
    match tools.store.set_integration_state(shop.id(), &IntegrationState::Active).await {
        Ok(_) => {
            tracing::info!(integration = shop.id().0, "integration resumed: its credentials work again");
            Outcome::Done(Change::Synced)
        }
        Err(_) => Outcome::RetryLater { why: RetryWhy::Internal, not_before: None },
    }
}

/// Forgets what is older than it is kept; nothing grows for ever.
async fn retention(tools: &Tools) -> Outcome {
    let now = tools.clock.now();
    let (Ok(journal), Ok(slots)) = (now.checked_sub(JOURNAL_KEPT), now.checked_sub(SLOTS_KEPT)) else {
        return Outcome::AlreadyDone("");
    };
    let forgotten = async {
        while tools.store.forget_journal(journal, 5000).await? > 0 {}
        tools.store.forget_slots(slots).await
    };
    match forgotten.await {
        Ok(_) => Outcome::Done(Change::Synced),
        Err(_) => Outcome::RetryLater { why: RetryWhy::Internal, not_before: None },
    }
}
