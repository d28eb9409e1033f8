//! Commands that are about no order's intent: periodic jobs and probes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use shared::domain::{Fault, IntegrationId, IntegrationState, OrderNumber, PausedBy};
use shared::message::{Change, Command, Envelope, Kind, Lane, Outcome, RECONCILE_HISTORY, RetryWhy, decode};
use shared::queue::watched::WatchedQueue;
use shared::queue::{Delivery, Publisher};
use shared::reason;
use shared::retailcrm::CrmError;
use shared::store::dead_letters::NewDeadLetter;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::consume::dead_letters::{self, undecodable};
use crate::consume::forward;
use crate::order::settle::{Settlement, settle, spent_trying};
use crate::sync;
use crate::tools::Tools;
use crate::vendor::ActiveIntegration;
use crate::vendor::integrations::ActiveIntegrations;

/// Errands under way at once.
const AT_ONCE: usize = 8;
/// One that takes longer does not count any more: a cabinet that does not answer must not hold
/// up the others.
const LONG: Duration = Duration::from_secs(5);
/// With those that take long.
const AT_MOST: usize = 64;
/// How long errands under way may take when the process stops.
const GRACE: Duration = Duration::from_secs(10);
/// How long the journal is kept.
const JOURNAL_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long fired slots are remembered.
const SLOTS_KEPT: Duration = Duration::from_secs(6 * 3600);
/// How long deliveries that ended are kept, with their statuses and payments.
const DELIVERIES_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
/// How long status rows of orders that are not ours are kept: only to know repeats by.
const FOREIGN_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Rows deleted in one commit: others write meanwhile.
const AT_A_TIME: u32 = 2000;

/// Runs until `stop`. Deliveries come from the bulk lane and from the intake.
pub async fn run(
    tools: Tools,
    integrations: ActiveIntegrations,
    queue: WatchedQueue,
    publisher: Arc<dyn Publisher>,
    mut from_intake: mpsc::Receiver<(Envelope, Delivery)>,
    stop: CancellationToken,
) {
    let (mut inbox, pumping) = forward::start(queue.subscribe(Lane::Bulk, AT_MOST as u16), 1, stop.clone());
    let mut running: JoinSet<()> = JoinSet::new();
    let mut begun: HashMap<tokio::task::Id, Instant> = HashMap::new();
    let mut more = true;
    loop {
        let quick: Vec<Instant> = begun.values().map(|at| *at + LONG).filter(|until| *until > Instant::now()).collect();
        let room = quick.len() < AT_ONCE && begun.len() < AT_MOST;
        let next_long = quick.into_iter().min();
        let (envelope, delivery) = tokio::select! {
            Some(ended) = running.join_next_with_id(), if !running.is_empty() => {
                begun.remove(&ended.map_or_else(|broken| broken.id(), |(id, ())| id));
                continue;
            }
            () = tokio::time::sleep_until(next_long.unwrap_or_else(Instant::now)), if !room && next_long.is_some() => continue,
            Some(pair) = from_intake.recv(), if room => pair,
            received = inbox.recv(), if more && room => match received {
                None => {
                    more = false;
                    continue;
                }
                Some(delivery) => match decode(&delivery.body) {
                    Ok(envelope) => (envelope, delivery),
                    Err(why) => {
                        let dead = undecodable(&delivery.body, &why.to_string());
                        if dead_letters::add_dead_letter(&tools.store, &dead, &stop).await {
                            delivery.ack().await;
                        } else {
                            delivery.requeue().await;
                        }
                        continue;
                    }
                },
            },
            () = stop.cancelled() => break,
        };
        if stop.is_cancelled() {
            delivery.requeue().await;
            continue;
        }
        let (tools, integrations, publisher) = (tools.clone(), integrations.clone(), publisher.clone());
        let job = running.spawn(async move { attempt(&tools, &integrations, &publisher, envelope, delivery).await });
        begun.insert(job.id(), Instant::now());
    }
    // What is under way may finish; what takes longer is handed back and resumes elsewhere.
    let finishing = async { while running.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, finishing).await.is_err() {
        running.shutdown().await;
    }
    while let Ok((_, delivery)) = from_intake.try_recv() {
        delivery.requeue().await;
    }
    let _ = pumping.await;
    while let Ok(delivery) = inbox.try_recv() {
        delivery.requeue().await;
    }
}

/// One attempt: carry out, record, settle.
async fn attempt(
    tools: &Tools,
    integrations: &ActiveIntegrations,
    publisher: &Arc<dyn Publisher>,
    envelope: Envelope,
    delivery: Delivery,
) {
    let started = tools.clock.now();
    let outcome = carry_out(tools, integrations, &envelope).await;
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
        traceparent = envelope.traceparent.as_deref(),
        duration_ms = u64::try_from(millis(started).as_millis()).unwrap_or(u64::MAX),
        "attempt.finished"
    );
    let spent = spent_trying(Duration::from_millis(envelope.spent_ms), millis(started));
    match settle(&outcome, envelope.attempt, spent, Duration::ZERO, &tools.policy) {
        Settlement::Ack => {
            if let (Outcome::Done(_) | Outcome::AlreadyDone(_), Some(id)) = (&outcome, envelope.integration) {
                resolve(tools, id, kind).await;
            }
            delivery.ack().await;
        }
        // The next slot's command finds the same work: retries of every slot that failed
        // would only pile up.
        Settlement::Wait { .. } if replaced(&envelope, millis(envelope.received_at), tools.limits.sync_interval) => {
            delivery.ack().await;
        }
        Settlement::Wait { pause, counts } => {
            if let Outcome::RetryLater { why, .. } = &outcome {
                tools.metrics.retry(kind, *why);
            }
            let mut copy = envelope;
            // Counted in any case: two copies with one number would be taken for one.
            copy.attempt += 1;
            if counts {
                copy.spent_ms = u64::try_from((spent + pause).as_millis()).unwrap_or(u64::MAX);
            }
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
            match tools.store.add_dead_letter(&dead).await {
                Ok(_) => delivery.ack().await,
                Err(_) => delivery.requeue().await,
            }
        }
    }
}

/// Whether the scheduler has asked again since for what a failing command was to do. The
/// daily reconcile and what a person replays go on.
fn replaced(envelope: &Envelope, age: Duration, interval: Duration) -> bool {
    let frequent = match envelope.command {
        Command::SyncStatuses {} | Command::PushStatuses {} | Command::ProbeIntegration {} => true,
        Command::Reconcile {} => envelope.key == RECONCILE_HISTORY,
        _ => false,
    };
    frequent && envelope.generation == 0 && age >= interval
}

/// A periodic job that works again closes what it left open.
async fn resolve(tools: &Tools, integration: IntegrationId, kind: Kind) {
    let closing = async {
        let mut tx = tools.store.db.begin().await?;
        tx.resolve_dead_letters_of(integration, None, kind.as_str(), tools.clock.now()).await?;
        tx.commit().await
    };
    if let Err(error) = closing.await {
        tracing::debug!(%error, "dead letters of a job that works again stay open");
    }
}

async fn carry_out(tools: &Tools, integrations: &ActiveIntegrations, envelope: &Envelope) -> Outcome {
    match &envelope.command {
        Command::Retention {} => retention(tools).await,
        Command::ProbeIntegration {} => {
            // A fresh look: the state may have changed since the scheduler's.
            let _ = integrations.refresh().await;
            match envelope.integration.and_then(|id| integrations.any(id)) {
                Some(active) => probe(tools, &active).await,
                None => Outcome::Superseded("the integration is gone"),
            }
        }
        Command::SyncStatuses {} => match envelope.integration {
            Some(id) => sync::sync_statuses(tools, integrations, id).await,
            None => Outcome::Superseded("no integration is named"),
        },
        Command::PushStatuses {} => sync::push_statuses(tools, integrations, envelope).await,
        Command::SyncPayments {} => sync::sync_payments(tools, integrations, envelope).await,
        Command::Reconcile {} => sync::reconcile::run(tools, integrations, envelope).await,
        _ => Outcome::Superseded("nothing to do for this command"),
    }
}

/// Asks the vendor that refused us whether it still does; a good answer resumes.
async fn probe(tools: &Tools, active: &ActiveIntegration) -> Outcome {
    let IntegrationState::Paused { by: PausedBy::Credentials(whose), .. } = active.integration.state else {
        return Outcome::AlreadyDone("not paused for its credentials");
    };
    let good = match whose {
        Fault::Crm => crm_lets_us_work(active).await,
        _ => active.vendors.courier.probe().await.is_ok(),
    };
    if !good {
        return Outcome::AlreadyDone("still refused");
    }
    match tools.store.set_state_as_seen(&active.integration, &IntegrationState::Active).await {
        Ok(false) => Outcome::Superseded("the integration was changed meanwhile"),
        Ok(true) => {
            tracing::info!(integration = active.id().0, "integration resumed: its credentials work again");
            Outcome::Done(Change::Synced)
        }
        Err(_) => Outcome::RetryLater { why: RetryWhy::Internal, not_before: None },
    }
}

/// Makes the calls whose refusal pauses an integration: a key that is accepted may still be
/// denied what every order needs, and would be paused again at once.
async fn crm_lets_us_work(active: &ActiveIntegration) -> bool {
    let crm = &active.vendors.crm;
    let asked = async {
        let may = crm.credentials().await?.lets_us_work();
        crm.payment_statuses().await?;
        crm.payment_types().await?;
        crm.delivery_types().await?;
        if let Ok(number) = OrderNumber::parse("0") {
            crm.orders_by_numbers(&[number]).await?;
        }
        Ok::<_, CrmError>(may)
    };
    asked.await.unwrap_or(false)
}

/// Forgets what is older than it is kept; nothing grows for ever.
pub async fn retention(tools: &Tools) -> Outcome {
    let now = tools.clock.now();
    let before = |kept: Duration| now.checked_sub(kept).unwrap_or(Timestamp::UNIX_EPOCH);
    let ended = before(DELIVERIES_KEPT);
    let store = &tools.store;
    let forgotten = async {
        while store.forget_journal(before(JOURNAL_KEPT), 5000).await? > 0 {}
        while store.forget_status_rows(before(FOREIGN_KEPT), ended, AT_A_TIME).await? > 0 {}
        while store.forget_tracking(ended, AT_A_TIME).await? > 0 {}
        while store.forget_payments(ended, AT_A_TIME).await? > 0 {}
        while store.forget_deliveries(ended, AT_A_TIME / 4).await? > 0 {}
        while store.forget_intents(ended, AT_A_TIME).await? > 0 {}
        store.forget_slots(before(SLOTS_KEPT)).await
    };
    match forgotten.await {
        Ok(_) => Outcome::Done(Change::Synced),
        Err(_) => Outcome::RetryLater { why: RetryWhy::Internal, not_before: None },
    }
}

#[cfg(test)]
mod tests {
    use shared::queue::jobs::JobQueue;
    use shared::queue::{Consumer as _, Queue as _};
    use shared::store::dead_letters::DeadFilter;
    use simulators::retailcrm::{Action, FaultRule, When, an_order};

    use super::*;
    use crate::testing::World;

    #[tokio::test]
    async fn a_key_that_is_denied_what_every_order_needs_stays_paused_until_it_may() {
        let world = World::new().await;
        world.crm.add_order(world.account, an_order().number("A-1").delivery_type("incity").status("SentMeaSoft"));
        world.crm.set_faults(vec![FaultRule::new("orders.list", When::Always, Action::Forbidden)]);
        world.send(world.id, "A-1").await;
        let state = async || {
            world.integrations.refresh().await.expect("read");
            world.first().integration.state.clone()
        };
        let IntegrationState::Paused { reason, .. } = state().await else { panic!("nothing can be done without it") };
        assert!(reason.contains("order_read"), "{reason}");
        // The key itself is good, and is refused all the same.
        assert!(matches!(probe(&world.tools, &world.first()).await, Outcome::AlreadyDone(_)));
        assert!(matches!(state().await, IntegrationState::Paused { .. }));
        world.crm.clear_faults();
        assert!(matches!(probe(&world.tools, &world.first()).await, Outcome::Done(_)));
        assert_eq!(state().await, IntegrationState::Active);
    }

    /// One attempt at a command; answers the copy that is to be tried again.
    async fn tried_again(world: &World, envelope: Envelope) -> Option<Envelope> {
        let lane = envelope.lane();
        let queue = Arc::new(JobQueue::start(world.store().clone()));
        queue.publish(envelope, None).await.expect("stored");
        let delivery = queue.subscribe(lane, 1).next().await.expect("a delivery");
        let envelope = decode(&delivery.body).expect("readable");
        let publisher: Arc<dyn Publisher> = queue.clone();
        attempt(&world.tools, &world.integrations, &publisher, envelope, delivery).await;
        queue.close().await;
        tokio::time::sleep(world.tools.policy.rungs.iter().max().copied().unwrap_or_default()).await;
        let mut jobs = world.store().claim_jobs(Some(lane), "test", LEASE, 9).await.expect("claimed");
        assert!(jobs.len() < 2, "a copy takes the place of the first");
        let ids: Vec<String> = jobs.iter().map(|job| job.id.clone()).collect();
        world.store().finish_jobs("test", &ids).await.expect("finished");
        jobs.pop().map(|job| decode(&job.body).expect("readable"))
    }

    async fn letters(world: &World) -> Vec<String> {
        let letters = world.store().dead_letters(&DeadFilter::default()).await.expect("read");
        letters.into_iter().map(|letter| letter.reason).collect()
    }

    const LEASE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_periodic_command_ages_by_the_time_it_was_tried_for() {
        let world = World::new().await;
        world.crm.set_faults(vec![FaultRule::new("*", When::Always, Action::Html { status: 503, acted: false })]);
        let mut command = world.command(Command::Reconcile {});
        command.received_at -= HOUR * 60;
        let command = tried_again(&world, command).await.expect("what lay for days is tried like a new one");
        let spent = command.spent_ms;
        assert!((20..60_000).contains(&spent), "the attempt and the pause after it: {spent} ms");
        let command = tried_again(&world, command).await.expect("tried again");
        assert!(command.spent_ms > spent && command.attempt == 2);
        assert!(letters(&world).await.is_empty());
        let tired = Envelope { spent_ms: 24 * 3_600_000, ..command };
        assert!(tried_again(&world, tired).await.is_none());
        assert_eq!(letters(&world).await, [reason::EXPIRED]);
    }

    #[tokio::test]
    async fn what_a_person_asked_for_waits_for_the_end_of_a_pause_and_does_not_age() {
        let world = World::new().await;
        let paused = IntegrationState::Paused { by: PausedBy::Operator, reason: String::new() };
        world.store().set_integration_state(world.id, &paused).await.expect("paused");
        world.integrations.refresh().await.expect("read");
        for command in [Command::SyncPayments {}, Command::PushStatuses {}, Command::Reconcile {}] {
            let asked = Envelope { generation: 1, spent_ms: 25 * 3_600_000, ..world.command(command.clone()) };
            let again = tried_again(&world, asked).await.expect("it waits");
            assert_eq!(again.spent_ms, 25 * 3_600_000, "a pause does not age");
            assert!(tried_again(&world, world.command(command)).await.is_none(), "the scheduler asks again");
        }
        assert!(letters(&world).await.is_empty());
    }

    #[test]
    fn a_failing_slot_is_tried_again_until_the_next_one() {
        let (interval, at) = (Duration::from_secs(300), Timestamp::UNIX_EPOCH);
        let of = |command| Envelope::new(command, Some(IntegrationId(1)), at);
        let sync = of(Command::SyncStatuses {});
        assert!(!replaced(&sync, interval - Duration::from_secs(1), interval));
        assert!(replaced(&sync, interval, interval));
        let history = Envelope { key: RECONCILE_HISTORY.into(), ..of(Command::Reconcile {}) };
        assert!(replaced(&history, interval, interval));
        assert!(!replaced(&of(Command::Reconcile {}), interval * 99, interval), "the next one is a day off");
        assert!(!replaced(&Envelope { generation: 1, ..sync }, interval, interval), "a person asked for it");
        assert!(!replaced(&of(Command::SyncPayments {}), interval * 99, interval));
    }
}
