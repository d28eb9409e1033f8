//! 500 triggers for 300 orders on `bridge up`: nothing installed, everything once.

use simulators::harness::{Answer, LONG, Placed, World, eventually};
use simulators::measoft::{FaultAction, FaultRule};
use simulators::retailcrm::TriggerKind;

/// Orders, and repeats of their triggers.
const ORDERS: usize = 300;
const REPEATS: usize = 200;

/// Every order once and two in three of them a second time, mixed.
pub(crate) fn triggers(orders: &[Placed]) -> Vec<(TriggerKind, &Placed)> {
    let mut triggers: Vec<(TriggerKind, &Placed)> = Vec::with_capacity(ORDERS + REPEATS);
    for (n, order) in orders.iter().enumerate() {
        triggers.push((TriggerKind::Send, order));
        // The repeat of an order sent a little before.
        if n % 3 != 2 {
            triggers.push((TriggerKind::Send, &orders[n.saturating_sub(7 * (n % 4))]));
        }
    }
    assert_eq!(triggers.len(), ORDERS + REPEATS);
    triggers
}

pub(crate) fn all_accepted(answers: &[Answer]) {
    let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!(refused.is_empty(), "{} of {} not accepted: {:?}", refused.len(), answers.len(), refused.first());
}

/// Each order is at MeaSoft exactly once with the right sum, and RetailCRM shows it.
pub(crate) fn each_once(world: &World, orders: &[Placed]) {
    let effects = world.measoft.effects();
    assert_eq!(world.measoft.orders().len(), orders.len(), "orders at MeaSoft");
    for order in orders {
        let orderno = world.orderno(order);
        assert_eq!(effects[&orderno].creates, 1, "{orderno}");
        let there = world.measoft.order(&orderno).expect("just counted");
        assert_eq!(there.price_kopecks, order.collect, "{orderno}: kopecks to collect");
        let shop = &world.shops[order.shop];
        assert_eq!(there.account, shop.cabinet, "{orderno}");
        let card = world.crm.order(shop.account, order.id).expect("the order");
        assert_eq!(
            card["delivery"]["data"]["externalId"],
            format!("ms-{}-{}", shop.integration, order.id),
            "{orderno}: written back"
        );
    }
}

pub(crate) fn every_tenth_answer_is_lost(world: &World) {
    world.measoft.set_faults(vec![FaultRule::new(FaultAction::FailAfter).every(10)]);
}

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
    let lost = world.measoft.requests().iter().filter(|request| request.lost && request.acted).count();
    assert!(lost > 0, "no answer was lost");
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
        for placed in [1, ORDERS / 4, ORDERS / 2] {
            eventually(&format!("{placed} orders are placed"), LONG, || async {
                let there = world.measoft.orders().len();
                if there >= placed { Ok(()) } else { Err(format!("{there} are")) }
            })
            .await;
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
