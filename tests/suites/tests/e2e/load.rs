//! The load that several stories share: 500 triggers for 300 orders.

use harness::{Answer, LONG, Placed, World, eventually};
use simulators::measoft::{FaultAction, FaultRule};
use simulators::retailcrm::TriggerKind;

/// Orders, and repeats of their triggers.
pub(crate) const ORDERS: usize = 300;
const REPEATS: usize = 200;

/// Whether the stories run at their full size: `E2E_LONG=1`.
pub(crate) fn long() -> bool {
    std::env::var("E2E_LONG").is_ok_and(|long| long == "1")
}

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

/// Waits until MeaSoft has so many orders.
pub(crate) async fn placed(world: &World, count: usize) {
    eventually(&format!("{count} orders are placed"), LONG, || async {
        let there = world.measoft.orders().len();
        if there >= count { Ok(()) } else { Err(format!("{there} are")) }
    })
    .await;
}
