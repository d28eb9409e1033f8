//! Taking over at its seams: how many statements it takes, what the database refuses, who is late.

use jiff::SignedDuration;
use shared::domain::{DeliveryId, DeliveryState as S};
use shared::message::{Command, Outcome};
use shared::store::status_stream::RowState;
use shared::store::tracking_outbox::TrackingState;

use crate::sync::guard::LeaseGuard;
use crate::sync::poll::Stream;
use crate::sync::{apply, poll};
use crate::testing::{CABINET, World, steps_of};

/// So many orders at MeaSoft that are ours, each with news that nobody has fetched.
async fn news_at_measoft(world: &World, count: usize, code: &str) {
    world.courier.seed_orders(CABINET, count, "S");
    let at = world.courier.now() + SignedDuration::from_secs(1);
    for n in 1..=count {
        assert!(world.courier.set_status(&format!("S{n}"), code, at));
    }
    let sql = format!(
        "WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g WHERE n < {count}) \
         INSERT INTO deliveries (integration_id, crm_order_id, number, orderno, state, created_at, updated_at) \
         SELECT {}, 900000 + n, 'S' || n, 'S' || n, 'created', 1, 1 FROM g",
        world.id
    );
    world.store().db.exec(sql, vec![]).await.expect("written");
}

/// So many orders at MeaSoft that are ours, each with news that wait to be taken over.
pub(in crate::sync) async fn news_of(world: &World, count: usize, code: &str) {
    news_at_measoft(world, count, code).await;
    polled_while_held(world).await;
    assert_eq!(waiting(world).await, i64::try_from(count).expect("few"));
}

/// Polls while another has all deliveries in hand: what comes waits.
pub(in crate::sync) async fn polled_while_held(world: &World) {
    let hold = |until: i64| format!("UPDATE deliveries SET lease_owner = 'another', lease_until = {until}");
    let soon = world.tools.clock.now() + SignedDuration::from_secs(60);
    world.store().db.exec(hold(soon.as_millisecond()), vec![]).await.expect("held");
    assert!(matches!(poll::run(&world.tools, &world.first()).await, Outcome::Done(_)));
    world.store().db.exec(hold(0), vec![]).await.expect("let go");
}

async fn waiting(world: &World) -> i64 {
    world.store().count_status_rows(RowState::Pending).await.expect("counted")
}

/// Takes over what waits; answers how many statements that took, begins and commits with them.
pub(in crate::sync) async fn counted(world: &World) -> usize {
    let account = world.first().integration.courier_account();
    let (outcome, steps) = steps_of(apply::run(&world.tools, &account)).await;
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    steps
}

#[tokio::test]
async fn two_hundred_statuses_are_taken_over_in_as_many_statements_as_five() {
    let mut taken = Vec::new();
    for (count, code) in [(5, "ACCEPTED"), (200, "ACCEPTED"), (5, "COMPLETE"), (200, "COMPLETE")] {
        let world = World::with(|settings| settings.payment_status = Some("paid".to_owned())).await;
        news_of(&world, count, code).await;
        taken.push(counted(&world).await);
        assert_eq!(waiting(&world).await, 0);
        let told = world.store().count_tracking(TrackingState::Waiting).await.expect("counted");
        assert!(told >= i64::try_from(count).expect("few"), "{told}");
    }
    assert_eq!(taken[0], taken[1]);
    assert_eq!(taken[2], taken[3]);
    assert!(taken.iter().all(|statements| *statements <= 18), "{taken:?}");
}

#[tokio::test]
async fn what_an_order_can_have_at_once_never_waits() {
    let mut taken = Vec::new();
    for (count, code, state) in [
        (5, "ACCEPTED", "in_work"),
        (200, "ACCEPTED", "in_work"),
        (5, "COMPLETE", "delivered"),
        (200, "COMPLETE", "delivered"),
    ] {
        let world = World::with(|settings| settings.payment_status = Some("paid".to_owned())).await;
        news_at_measoft(&world, count, code).await;
        let active = world.first();
        let guard = LeaseGuard::take(&world.tools, "stream|test").await.expect("store").expect("free");
        let stream = Stream::open(&world.tools, &active, guard.lease.clone()).await.expect("open");
        let fetched = stream.fetch().await.expect("fetched");
        stream.seal(&fetched).await.expect("sealed");
        let (unpacked, steps) = steps_of(stream.unpack()).await;
        unpacked.expect("unpacked");
        taken.push(steps);
        let all = i64::try_from(count).expect("few");
        assert_eq!((waiting(&world).await, applied(&world).await), (0, all));
        let in_state = format!("SELECT COUNT(*) AS n FROM deliveries WHERE state = '{state}'");
        assert_eq!(world.store().db.count(in_state, vec![]).await.expect("counted"), all);
        assert!(world.store().count_tracking(TrackingState::Waiting).await.expect("counted") >= all);
    }
    assert_eq!((taken[0], taken[2]), (taken[1], taken[3]));
}

async fn applied(world: &World) -> i64 {
    world.store().count_status_rows(RowState::Applied).await.expect("counted")
}

#[tokio::test]
async fn a_later_status_waits_behind_an_earlier_one() {
    let world = World::new().await;
    world.courier.update_account(CABINET, |cabinet| cabinet.statushistory = false);
    let order = world.place("A-1").await;
    let status = |code, seconds| {
        assert!(world.courier.set_status("A-1", code, world.courier.now() + SignedDuration::from_secs(seconds)));
    };
    status("ACCEPTED", 1);
    polled_while_held(&world).await;
    status("DELIVERY", 2);
    assert!(matches!(poll::run(&world.tools, &world.first()).await, Outcome::Done(_)));
    assert_eq!(waiting(&world).await, 2);
    counted(&world).await;
    assert_eq!((waiting(&world).await, world.delivery(order).await.status.as_deref()), (0, Some("DELIVERY")));
}

#[tokio::test]
async fn an_order_that_the_database_refuses_holds_up_no_other() {
    let unreadable = "UPDATE deliveries SET item_codes = 'no JSON' WHERE orderno = 'S7'";
    let unwritable = "CREATE TRIGGER refuses BEFORE UPDATE ON deliveries WHEN NEW.orderno = 'S7' \
                      BEGIN SELECT RAISE(ABORT, 'not this one'); END";
    for trouble in [unreadable, unwritable] {
        let world = World::new().await;
        news_at_measoft(&world, 20, "ACCEPTED").await;
        world.store().db.exec(trouble, vec![]).await.expect("prepared");
        assert!(matches!(poll::run(&world.tools, &world.first()).await, Outcome::Done(_)));
        assert_eq!(waiting(&world).await, 20, "stored first");
        counted(&world).await;
        let row = "SELECT d.orderno, r.attempt FROM status_rows r JOIN deliveries d ON d.id = r.delivery_id \
                   WHERE r.state = 'pending'";
        let rows = world.store().db.fetch(row, vec![]).await.expect("read");
        let left: Vec<_> = rows.iter().map(|row| (row.text("orderno").expect("text"), row.int("attempt"))).collect();
        assert!(matches!(&left[..], [(orderno, Ok(1))] if orderno == "S7"), "{left:?}");
        let taken = "SELECT COUNT(*) AS n FROM deliveries WHERE state = 'in_work'";
        assert_eq!(world.store().db.count(taken, vec![]).await.expect("counted"), 19);
    }
}

#[tokio::test]
async fn a_late_worker_overwrites_no_status_that_was_taken_over() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    let id: DeliveryId = world.delivery(order).await.id;
    let past = world.tools.clock.now() - SignedDuration::from_secs(1);
    let late = world.store().lease_known_delivery(id, "late", past).await.expect("asked").expect("free");
    world.courier.set_status("A-1", "ACCEPTED", world.courier.now() + SignedDuration::from_secs(1));
    world.job(Command::SyncStatuses {}).await;
    let taken = world.delivery(order).await;
    assert_eq!((taken.state, taken.prior_fence), (S::InWork, late.fence), "who looks next sees that others were here");
    let mut tx = world.store().db.begin().await.expect("begins");
    assert!(!tx.save_delivery(&late, true, world.tools.clock.now()).await.expect("asked"));
    drop(tx);
    assert_eq!(world.delivery(order).await.status.as_deref(), Some("ACCEPTED"));
}

#[tokio::test]
async fn several_news_of_one_order_are_taken_in_their_order_and_are_one_line_of_its_story() {
    let world = World::new().await;
    world.courier.update_account(CABINET, |cabinet| cabinet.statushistory = false);
    let order = world.place("A-1").await;
    for (n, code) in ["ACCEPTED", "DELIVERY", "COMPLETE"].into_iter().enumerate() {
        world.courier.set_status("A-1", code, world.courier.now() + SignedDuration::from_secs(1 + n as i64));
        polled_while_held(&world).await;
    }
    assert_eq!(waiting(&world).await, 3);
    counted(&world).await;
    assert_eq!(world.delivery(order).await.state, S::Delivered);
    let lines: Vec<String> = world
        .store()
        .timeline("A-1", &[], None)
        .await
        .expect("read")
        .into_iter()
        .filter(|entry| entry.what == shared::store::journal::What::Status)
        .map(|entry| entry.text)
        .collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let places: Vec<Option<usize>> = ["ACCEPTED", "DELIVERY", "COMPLETE"].map(|code| lines[0].find(code)).to_vec();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{lines:?}");
}
