//! How many statements it takes to tell statuses.

use jiff::SignedDuration;
use shared::measoft::Details;
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
        taken.push(pushed(&world).await);
        for order in orders {
            assert_eq!(world.told(order), ["NEW", "ACCEPTED"]);
        }
    }
    assert_eq!(taken[0], taken[1]);
}

#[tokio::test]
async fn who_took_the_parcel_is_forgotten_once_it_was_told_and_who_carried_it_is_not() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    for (code, seconds) in [("DELIVERY", 1), ("COMPLETE", 2)] {
        let at = world.courier.now() + SignedDuration::from_secs(seconds);
        assert!(world.courier.set_status("A-1", code, at));
    }
    poll::run(&world.tools, &world.first()).await;
    let delivery = world.delivery(order).await.id;
    let people = async || {
        let kept = world.store().newest_details(delivery).await.expect("read").expect("kept");
        let details: Details = serde_json::from_str(&kept).expect("JSON");
        let people = details.people(&world.store().key);
        (people.courier.is_some(), people.taken_by.is_some(), details.planned.is_some())
    };
    assert_eq!(people().await, (true, true, true));
    pushed(&world).await;
    assert_eq!(world.told(order), ["NEW", "DELIVERY", "COMPLETE"]);
    assert_eq!(people().await, (true, false, true));
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
