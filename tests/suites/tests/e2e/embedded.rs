//! 500 triggers for 300 orders on `bridge up`: nothing installed, everything once.

use harness::World;
use simulators::measoft::{FaultAction, FaultRule};

use crate::load::{ORDERS, all_accepted, each_once, every_tenth_answer_is_lost, placed, triggers};

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_triggers_make_three_hundred_orders() {
    let world = World::embedded("embedded").start().await;
    let orders = world.place_many(ORDERS);
    let answers = world.storm(&triggers(&orders), 64).await;
    all_accepted(&answers);
    world.settled("all orders are placed").await;
    each_once(&world, &orders);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tenth_answer_lost_after_acting_makes_no_second_order() {
    let world = World::embedded("embedded-lost-answers").start().await;
    every_tenth_answer_is_lost(&world);
    let orders = world.place_many(ORDERS);
    let answers = world.storm(&triggers(&orders), 64).await;
    all_accepted(&answers);
    world.settled("all orders are placed").await;
    assert!(world.measoft.requests().iter().any(|request| request.lost && request.acted), "no answer was lost");
    each_once(&world, &orders);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_kills_in_the_middle_lose_nothing_and_double_nothing() {
    let world = World::embedded("embedded-killed").start().await;
    // Slow enough that the kills hit requests under way.
    let slow = FaultRule::new(FaultAction::DelayAfter { ms: 150 }).op("neworder");
    world.measoft.set_faults(vec![slow]);
    let orders = world.place_many(ORDERS);
    let storm = triggers(&orders);
    let firing = world.storm(&storm, 64);
    let killing = async {
        for count in [1, ORDERS / 4, ORDERS / 2] {
            placed(&world, count).await;
            world.kill("bridge");
            world.start("bridge").await;
        }
    };
    let (answers, ()) = tokio::join!(firing, killing);
    all_accepted(&answers);
    world.settled("all orders are placed").await;
    each_once(&world, &orders);
    world.finish().await;
}
