//! How many statements it takes to tell statuses.

use jiff::SignedDuration;
use shared::message::Outcome;
use shared::store::intents::RequestKind;
use shared::store::tracking_outbox::TrackingState;
use simulators::retailcrm::an_order;

use crate::sync::apply::stories::{counted, news_of};
use crate::sync::{poll, push};
use crate::testing::{World, steps_of};

async fn pushed(world: &World) -> usize {
    let (outcome, steps) = steps_of(push::run(&world.tools, &world.first())).await;
    assert!(matches!(outcome, Outcome::Done(_) | Outcome::AlreadyDone(_)), "{outcome:?}");
    steps
}

#[tokio::test]
async fn sixty_statuses_are_told_in_as_many_statements_as_five() {
    let mut taken = Vec::new();
    for count in [5, 60] {
        let world = World::new().await;
        let numbers: Vec<String> = (1..=count).map(|n| format!("A-{n}")).collect();
        let mut orders = Vec::new();
        for number in &numbers {
            let order = an_order().number(number).delivery_type("incity").status("SentMeaSoft");
            orders.push(world.crm.add_order(world.account, order));
            world.request(world.id, number, RequestKind::Send).await;
        }
        world.work(world.id).await;
        let at = world.courier.now() + SignedDuration::from_secs(1);
        assert!(numbers.iter().all(|number| world.courier.set_status(number, "ACCEPTED", at)));
        poll::run(&world.tools, &world.first()).await;
        counted(&world).await;
        taken.push(pushed(&world).await);
        for order in orders {
            assert_eq!(world.told(order), ["NEW", "ACCEPTED"]);
        }
    }
    assert_eq!(taken[0], taken[1]);
}

#[tokio::test]
async fn ninety_statuses_that_cannot_be_told_yet_are_kept_in_as_many_statements_as_five() {
    let mut taken = Vec::new();
    for count in [5, 90] {
        let world = World::new().await;
        news_of(&world, count, "ACCEPTED").await;
        counted(&world).await;
        taken.push(pushed(&world).await);
        assert_eq!(world.store().count_tracking(TrackingState::Waiting).await.expect("counted"), 0);
        let kept = world.store().count_tracking(TrackingState::Kept).await.expect("counted");
        assert!(kept >= i64::try_from(count).expect("few"), "{kept}");
    }
    assert_eq!(taken[0], taken[1]);
}
