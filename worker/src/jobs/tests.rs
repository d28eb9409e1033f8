use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use shared::domain::{IntegrationId, IntegrationState, PausedBy};
use shared::message::{Command, Envelope, Kind, Lane, Outcome, RECONCILE_HISTORY, decode};
use shared::queue::Publisher;
use shared::queue::jobs::JobQueue;
use shared::queue::{Consumer as _, Queue as _};
use shared::reason;
use shared::store::audit::Who;
use shared::store::breakers::Held;
use shared::store::dead_letters::DeadFilter;
use shared::store::replays::Step as Replay;
use shared::telemetry::metrics::{BreakerState, BreakerTarget};
use simulators::retailcrm::{Action, FaultRule, When, an_order};

use super::attempt::{attempt, is_replaced};
use crate::policy::Policy;
use crate::testing::World;
use crate::vendor::held;

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
    assert!(matches!(world.job(Command::ProbeIntegration {}).await, Outcome::AlreadyDone(_)));
    assert!(matches!(state().await, IntegrationState::Paused { .. }));
    world.crm.clear_faults();
    assert!(matches!(world.job(Command::ProbeIntegration {}).await, Outcome::Done(_)));
    assert_eq!(state().await, IntegrationState::Active);
}

/// One attempt at a command; answers the copy that is to be tried again.
async fn tried_again(world: &World, envelope: Envelope) -> Option<Envelope> {
    let lane = envelope.lane();
    let queue = Arc::new(JobQueue::start(world.store().clone()));
    queue.publish(envelope).await.expect("stored");
    let delivery = queue.subscribe(lane, 1).next().await.expect("a delivery");
    let envelope = decode(&delivery.body).expect("readable");
    attempt(&world.tools, &world.integrations, envelope, delivery).await;
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
    let (interval, asked_at) = (Duration::from_secs(300), Timestamp::UNIX_EPOCH);
    let of = |command| Envelope::new(command, Some(IntegrationId(1)), asked_at);
    let is_replaced = |envelope: &Envelope, after: Duration| is_replaced(envelope, asked_at + after, interval);
    let sync = of(Command::SyncStatuses {});
    assert!(!is_replaced(&sync, interval - Duration::from_secs(1)));
    assert!(is_replaced(&sync, interval));
    let history = Envelope { key: RECONCILE_HISTORY.into(), ..of(Command::Reconcile {}) };
    assert!(is_replaced(&history, interval));
    assert!(!is_replaced(&of(Command::Reconcile {}), interval * 99), "the next one is a day off");
    assert!(!is_replaced(&Envelope { generation: 1, ..sync }, interval), "a person asked for it");
    assert!(!is_replaced(&of(Command::SyncPayments {}), interval * 99));
}

#[test]
fn whatever_goes_over_the_bulk_lane_has_a_job() {
    let commands = [
        Command::SyncStatuses {},
        Command::PushStatuses {},
        Command::SyncPayments {},
        Command::SyncReturns {},
        Command::NotifyOfCauses {},
        Command::Reconcile {},
        Command::Retention {},
        Command::ReplayLetters {},
    ];
    for command in commands {
        assert!(command.lane() == Lane::Bulk && super::of(command.kind()).is_some(), "{command:?}");
    }
    assert!(super::of(Kind::ProbeIntegration).is_some(), "and what comes over the other one");
}

#[tokio::test]
async fn the_story_of_an_order_is_kept_as_long_as_is_said() {
    let world = World::new().await;
    world.place("A-1").await;
    let kept = async |journal: Duration| {
        let mut tools = world.another_worker();
        tools.policy = tools.policy.clone().with_kept(journal, Policy::DAY);
        assert!(matches!(world.job_by(&tools, &world.command(Command::Retention {})).await, Outcome::Done(_)));
        world.store().timeline("A-1", &[], None).await.expect("read").len()
    };
    let whole = kept(Duration::from_secs(60)).await;
    assert!(whole > 1, "{whole}");
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(kept(Duration::from_millis(1)).await, 0);
    let deliveries = world.store().db.count("SELECT COUNT(*) AS n FROM deliveries", vec![]).await;
    assert_eq!(deliveries.expect("counted"), 1, "an order that goes on is kept");
}

#[tokio::test]
async fn a_replay_waits_while_the_accounts_breaker_is_open_and_does_not_burst_after_it() {
    let world = World::new().await;
    for n in 0..4 {
        let number = format!("70{n}");
        let order = an_order().number(&number).delivery_type("incity").status("SentMeaSoft").receiver("Яна", "нет");
        world.crm.add_order(world.account, order);
        world.send(world.id, &number).await;
    }
    // As a trigger's letters are: with the command.
    let who = Who::at_machine(None, "root".to_owned());
    let planned = world.store().plan_replay(&DeadFilter::default(), 60, true, &who).await.expect("planned");
    let id = planned.id.expect("letters with their commands");
    let account = world.first().integration.courier_account();
    let held = Held {
        target: BreakerTarget::Account,
        name: held::named(&account),
        state: BreakerState::Open,
        until: world.tools.clock.now() + HOUR,
        why: "no answer".to_owned(),
    };
    let queued = async || world.store().replay(id).await.expect("read").expect("there").count(&[Replay::Queued]);
    world.store().note_breakers("another worker", &[held]).await.expect("noted");
    assert!(matches!(world.job(Command::ReplayLetters {}).await, Outcome::Done(_)));
    assert_eq!(queued().await, 4, "nothing is begun while it is left alone");
    tokio::time::sleep(Duration::from_millis(2100)).await;
    world.job(Command::ReplayLetters {}).await;
    world.store().note_breakers("another worker", &[]).await.expect("noted");
    world
        .until("its pause passes", async || {
            world.job(Command::ReplayLetters {}).await;
            queued().await < 4
        })
        .await;
    assert_eq!(queued().await, 3, "one, and not those whose turn passed");
    assert_eq!(world.run_published().await, ["SendOrder"]);
    assert!(matches!(world.job(Command::ReplayLetters {}).await, Outcome::Done(_)));
    let dead = world.store().replay(id).await.expect("read").expect("there").count(&[Replay::Dead]);
    assert_eq!(dead, 1, "its phone is as bad as before");
}
