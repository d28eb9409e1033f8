//! The sync over both simulators.

use jiff::{SignedDuration, Timestamp};
use shared::domain::DeliveryState as S;
use shared::message::Outcome;
use shared::store::status_stream::{BatchState, RowState};
use shared::store::tracking_outbox::TrackingState;
use simulators::measoft::{CommitMode, FaultAction, FaultRule};

use super::keeper::Keeper;
use super::poll::{self, Stream};
use super::{deliver, sync_statuses};
use crate::testing::World;

fn soon(world: &World, seconds: i64) -> Timestamp {
    world.courier.now() + SignedDuration::from_secs(seconds)
}

async fn sync(world: &World) -> Outcome {
    sync_statuses(&world.tools, &world.shops, world.id).await
}

#[tokio::test]
async fn every_status_reaches_the_order_in_order_and_none_twice() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    for (n, code) in ["ACCEPTED", "DEPARTURE", "DELIVERY"].into_iter().enumerate() {
        assert!(world.courier.set_status("A-1", code, soon(&world, 1 + n as i64)));
    }
    assert!(matches!(sync(&world).await, Outcome::Done(_)));
    assert_eq!(world.told(order), ["NEW", "ACCEPTED", "DEPARTURE", "DELIVERY"]);
    assert_eq!(world.delivery(order).await.state, S::InWork);
    world.courier.set_status("A-1", "COMPLETE", soon(&world, 10));
    sync(&world).await;
    assert!(matches!(sync(&world).await, Outcome::AlreadyDone(_)));
    assert_eq!(world.told(order), ["NEW", "ACCEPTED", "DEPARTURE", "DELIVERY", "COMPLETE"]);
    let delivery = world.delivery(order).await;
    assert_eq!((delivery.state, delivery.status.as_deref()), (S::Delivered, Some("COMPLETE")));
    let times: Vec<String> =
        world.crm.tracking(world.account, order).into_iter().skip(1).map(|entry| entry.updated_at).collect();
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
    assert!(times.iter().all(|time| time.ends_with("+03:00")), "{times:?}");
    assert!(world.dead().await.is_empty());
}

#[tokio::test]
async fn without_a_history_each_status_current_at_a_poll_arrives() {
    let world = World::new().await;
    world.courier.update_account(crate::testing::CABINET, |cabinet| cabinet.statushistory = false);
    let order = world.place("A-1").await;
    for (n, code) in ["ACCEPTED", "DELIVERY", "COMPLETE"].into_iter().enumerate() {
        world.courier.set_status("A-1", code, soon(&world, 1 + n as i64));
        sync(&world).await;
    }
    assert_eq!(world.told(order), ["NEW", "ACCEPTED", "DELIVERY", "COMPLETE"]);
}
