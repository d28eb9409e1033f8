//! The same on ingress, two workers and a scheduler over RabbitMQ and PostgreSQL, with
//! things going wrong in the middle.

use harness::{Outage, Role, World};
use simulators::measoft::{FaultAction, FaultRule};
use simulators::retailcrm::TriggerKind;

use crate::load::{ORDERS, all_accepted, each_once, every_tenth_answer_is_lost, placed, triggers};

#[tokio::test(flavor = "multi_thread")]
async fn two_ingresses_and_two_workers_make_each_order_once() {
    let world = World::scaled("scaled").with(Role::Ingress, 2).start().await;
    let orders = world.place_many(ORDERS);
    let answers = world.storm(&triggers(&orders), 64).await;
    all_accepted(&answers);
    world.settled("all orders are placed").await;
    each_once(&world, &orders);
    for ingress in ["ingress-1", "ingress-2"] {
        let metrics = world.metrics(ingress).await;
        let sent = metrics
            .lines()
            .find(|line| line.starts_with(r#"bridge_triggers_total{kind="SendOrder",result="accepted"}"#));
        let count: u32 = sent.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0);
        assert!(count > 200, "{ingress} accepted {count}");
    }
    // Leases and queues of several machines meet at the database's clock.
    let doctor = world.bridge(&["doctor"]).await;
    assert!(doctor.stdout.contains("clock agrees with PostgreSQL's"), "{}{}", doctor.stdout, doctor.stderr);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_in_the_middle_and_lost_answers_double_nothing() {
    let world = World::scaled("scaled-killed").start().await;
    world.measoft.set_faults(vec![
        FaultRule::new(FaultAction::DelayAfter { ms: 150 }).op("neworder"),
        FaultRule::new(FaultAction::FailAfter).every(10),
    ]);
    let orders = world.place_many(ORDERS);
    let storm = triggers(&orders);
    let killing = async {
        placed(&world, ORDERS / 6).await;
        world.kill("worker-1");
        placed(&world, ORDERS / 2).await;
        world.start("worker-1").await;
    };
    let (answers, ()) = tokio::join!(world.storm(&storm, 64), killing);
    all_accepted(&answers);
    world.settled("all orders are placed").await;
    assert!(world.measoft.requests().iter().any(|request| request.lost && request.acted), "no answer was lost");
    each_once(&world, &orders);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_held_is_served_long_before_its_leases_end() {
    const HELD: usize = 12;
    // Longer than any condition of a story is waited for.
    let world = World::scaled("scaled-dead-holder").set("LEASE_S", "900").start().await;
    world.measoft.set_faults(vec![FaultRule::new(FaultAction::DelayAfter { ms: 120_000 }).op("neworder")]);
    let orders = world.place_many(HELD);
    let sends: Vec<_> = orders.iter().map(|order| (TriggerKind::Send, order)).collect();
    all_accepted(&world.storm(&sends, 8).await);
    // MeaSoft has them, and nobody has heard of it.
    placed(&world, HELD).await;
    world.kill("worker-1");
    world.kill("worker-2");
    world.measoft.set_faults(vec![]);
    world.start("worker-1").await;
    world.settled("whoever comes after finds them").await;
    world.start("worker-2").await;
    each_once(&world, &orders);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_wide_rabbitmq_stopped_in_the_middle_loses_no_trigger() {
    let world = World::scaled("scaled-broker-stopped").alone().start().await;
    every_tenth_answer_is_lost(&world);
    let orders = world.place_many(ORDERS);
    let storm = triggers(&orders);
    let (before, rest) = storm.split_at(storm.len() / 5);
    all_accepted(&world.storm(before, 64).await);
    // The stop takes a moment: triggers come before, while and after it happens.
    let outage = async {
        let outage = Outage::stop_broker().await;
        placed(&world, 1).await;
        outage
    };
    let (middle, late) = rest.split_at(rest.len() / 2);
    let (answers, outage) = tokio::join!(world.storm(middle, 8), outage);
    all_accepted(&answers);
    let (answers, ()) = tokio::join!(world.storm(late, 8), outage.end());
    all_accepted(&answers);
    world.settled("all orders are placed").await;
    each_once(&world, &orders);
    world.finish().await;
}
