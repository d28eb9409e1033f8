//! The sync over both simulators.

use jiff::{SignedDuration, Timestamp};
use shared::domain::{CrmOrderId, DeliveryState as S, Fault};
use shared::message::{Command, Kind, Outcome};
use shared::reason;
use shared::store::dead_letters::NewDeadLetter;
use shared::store::status_stream::{BatchState, RowState};
use shared::store::tracking_outbox::TrackingState;
use simulators::measoft::{CommitMode, FaultAction, FaultRule};

use crate::sync::deliver;
use crate::sync::guard::LeaseGuard;
use crate::sync::poll::{self, Stream};
use crate::testing::World;

fn soon(world: &World, seconds: i64) -> Timestamp {
    world.courier.now() + SignedDuration::from_secs(seconds)
}

async fn sync(world: &World) -> Outcome {
    world.job(Command::SyncStatuses {}).await
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

#[tokio::test]
async fn a_status_that_lay_for_days_is_taken_over_like_a_new_one() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    let id = world.delivery(order).await.id;
    world.courier.set_status("A-1", "ACCEPTED", soon(&world, 1));
    let held = world.store().lease_known_delivery(id, "another", world.tools.lease_until()).await.expect("leased");
    sync(&world).await;
    let age = async |attempt: &str| {
        let sql = format!("UPDATE status_rows SET created_at = created_at - 90000000, due_at = 0, attempt = {attempt}");
        world.store().db.exec(sql, vec![]).await.expect("aged");
        deliver(&world.tools, &world.first()).await;
        world.store().count_status_rows(RowState::Pending).await.expect("counted")
    };
    assert_eq!(age("attempt").await, 1, "it lay for 25 hours and was tried twice");
    let mut tx = world.store().db.begin().await.expect("begins");
    assert!(tx.save_delivery(&held.expect("free"), true, world.tools.clock.now()).await.expect("let go"));
    tx.commit().await.expect("committed");
    assert_eq!(age("attempt").await, 0);
    assert_eq!(world.delivery(order).await.status.as_deref(), Some("ACCEPTED"));
    // One that was tried for a day is not tried for ever.
    world.courier.set_status("A-1", "DELIVERY", soon(&world, 2));
    world.store().lease_known_delivery(id, "another", world.tools.lease_until()).await.expect("leased");
    sync(&world).await;
    assert_eq!(age("20000").await, 0);
    assert_eq!(world.store().count_status_rows(RowState::Parked).await.expect("counted"), 1);
}

async fn stream<'a>(world: &'a World, active: &'a crate::vendor::ActiveIntegration) -> (LeaseGuard, Stream<'a>) {
    let guard = LeaseGuard::take(&world.tools, "stream|test").await.expect("store").expect("free");
    let stream = Stream::open(&world.tools, active, guard.lease.clone()).await.expect("open");
    (guard, stream)
}

#[tokio::test]
async fn a_crash_before_the_seal_fetches_again() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    world.courier.set_status("A-1", "ACCEPTED", soon(&world, 1));
    let active = world.first();
    let (guard, stream) = stream(&world, &active).await;
    let fetched = stream.fetch().await.expect("fetched");
    assert_eq!(fetched.rows, 1);
    guard.release().await;
    // Here the worker dies. The next one must not acknowledge what it does not know whole.
    world.courier.set_status("A-1", "DELIVERY", soon(&world, 2));
    sync(&world).await;
    assert_eq!(world.told(order), ["NEW", "ACCEPTED", "DELIVERY"]);
    let commits = world.courier.requests().iter().filter(|r| r.op == "commitlaststatus").count();
    assert_eq!(commits, 1, "one for the answer that was fetched again");
}

#[tokio::test]
async fn a_crash_after_the_seal_acknowledges_first() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    world.courier.set_status("A-1", "ACCEPTED", soon(&world, 1));
    let active = world.first();
    let (guard, stream) = stream(&world, &active).await;
    let fetched = stream.fetch().await.expect("fetched");
    stream.seal(&fetched).await.expect("sealed");
    guard.release().await;
    world.courier.reset_counters();
    sync(&world).await;
    let ops: Vec<String> = world.courier.requests().into_iter().map(|r| r.op).collect();
    assert_eq!(ops, ["commitlaststatus", "statusreq"], "nothing was fetched twice");
    assert_eq!(world.told(order), ["NEW", "ACCEPTED"]);
}

#[tokio::test]
async fn a_sealed_answer_is_not_acknowledged_once_another_was_fetched() {
    let world = World::new().await;
    world.place("A-1").await;
    let active = world.first();
    let (guard, stream) = stream(&world, &active).await;
    let first = stream.fetch().await.expect("fetched");
    stream.seal(&first).await.expect("sealed");
    world.courier.set_status("A-1", "ACCEPTED", soon(&world, 1));
    stream.fetch().await.expect("fetched, never sealed");
    world.courier.reset_counters();
    stream.resume().await.expect("resumed");
    assert_eq!(world.courier.count("commitlaststatus"), 0);
    guard.release().await;
}

#[tokio::test]
async fn a_crash_after_the_commit_loses_nothing() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    world.courier.set_status("A-1", "ACCEPTED", soon(&world, 1));
    let active = world.first();
    let (guard, stream) = stream(&world, &active).await;
    let fetched = stream.fetch().await.expect("fetched");
    stream.seal(&fetched).await.expect("sealed");
    stream.commit(fetched.batch).await.expect("committed");
    guard.release().await;
    assert_eq!(world.told(order), ["NEW"], "stored, not told yet");
    sync(&world).await;
    assert_eq!(world.told(order), ["NEW", "ACCEPTED"]);
}

#[tokio::test]
async fn what_was_acknowledged_before_a_crash_comes_before_what_is_fetched_after_it() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    let active = world.first();
    let (guard, stream) = stream(&world, &active).await;
    for (n, code) in [(1, "ACCEPTED"), (2, "DELIVERY")] {
        world.courier.set_status("A-1", code, soon(&world, n));
        let fetched = stream.fetch().await.expect("fetched");
        stream.seal(&fetched).await.expect("sealed");
        stream.commit(fetched.batch).await.expect("committed");
    }
    guard.release().await;
    // Here the worker dies: two answers are acknowledged and none is unpacked.
    assert_eq!(world.store().count_status_rows(RowState::Pending).await.expect("read"), 0);
    world.courier.set_status("A-1", "COMPLETE", soon(&world, 3));
    sync(&world).await;
    assert_eq!(world.told(order), ["NEW", "ACCEPTED", "DELIVERY", "COMPLETE"]);
    assert_eq!(world.store().count_status_rows(RowState::Applied).await.expect("read"), 3);
    let account = active.integration.courier_account();
    assert!(world.store().next_segments(&account, 417, 9).await.expect("read").is_empty());
}

#[tokio::test]
async fn a_lost_answer_to_the_commit_repeats_nothing_in_retailcrm() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    world.courier.set_status("A-1", "ACCEPTED", soon(&world, 1));
    world.courier.set_faults(vec![FaultRule::new(FaultAction::FailAfter).op("commitlaststatus").first(1)]);
    assert!(matches!(sync(&world).await, Outcome::RetryLater { .. }));
    world.courier.set_status("A-1", "DELIVERY", soon(&world, 2));
    sync(&world).await;
    sync(&world).await;
    assert_eq!(world.told(order), ["NEW", "ACCEPTED", "DELIVERY"]);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_acknowledged() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    world.courier.set_status("A-1", "ACCEPTED", soon(&world, 1));
    world.courier.set_faults(vec![FaultRule::new(FaultAction::CutXml).op("statusreq").first(1)]);
    assert!(matches!(sync(&world).await, Outcome::RetryLater { .. }));
    assert_eq!(world.courier.count("commitlaststatus"), 0);
    sync(&world).await;
    assert_eq!(world.told(order), ["NEW", "ACCEPTED"]);
}

#[tokio::test]
async fn a_row_limit_is_walked_in_answers_one_after_another() {
    let world = World::made(|_| {}, |options| options.only_last_limit = Some(2)).await;
    for n in 1..=5 {
        world.place(&format!("A-{n}")).await;
        world.courier.set_status(&format!("A-{n}"), "ACCEPTED", soon(&world, 1));
    }
    sync(&world).await;
    assert_eq!(world.store().count_status_rows(RowState::Applied).await.expect("read"), 5);
    assert!(matches!(sync(&world).await, Outcome::AlreadyDone(_)));
}

#[tokio::test]
async fn foreign_orders_are_recorded_and_skipped() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    world.courier.seed_orders(crate::testing::CABINET, 2500, "S-");
    world.courier.set_status("A-1", "ACCEPTED", soon(&world, 1));
    sync(&world).await;
    assert_eq!(world.store().count_status_rows(RowState::Foreign).await.expect("read"), 2500);
    assert_eq!(world.told(order), ["NEW", "ACCEPTED"]);
    assert!(world.dead().await.is_empty());
}

#[tokio::test]
async fn an_unknown_code_is_kept_counted_and_passed_on_once_it_is_mapped() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    world.courier.set_status("A-1", "SOMETHING_NEW", soon(&world, 1));
    world.courier.set_status("A-1", "DELIVERY", soon(&world, 2));
    sync(&world).await;
    assert_eq!(world.told(order), ["NEW", "DELIVERY"]);
    assert!(world.ctx.metrics.render().contains(r#"bridge_status_rows_total{result="unknown_code"} 1"#));
    let mapped = World::with(|s| drop(s.status_map.insert("SOMETHING_NEW".into(), "INVENTORY".into()))).await;
    let order = mapped.place("A-1").await;
    mapped.courier.set_status("A-1", "SOMETHING_NEW", soon(&mapped, 1));
    sync(&mapped).await;
    assert_eq!(mapped.told(order), ["NEW", "INVENTORY"]);
}

#[tokio::test]
async fn a_correction_of_a_final_status_is_let_through() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    world.courier.set_status("A-1", "CANCELED", soon(&world, 1));
    sync(&world).await;
    assert_eq!(world.delivery(order).await.state, S::NotDelivered);
    world.courier.set_status("A-1", "COMPLETE", soon(&world, 2));
    sync(&world).await;
    assert_eq!(world.delivery(order).await.state, S::Delivered);
    assert_eq!(world.told(order), ["NEW", "CANCELED", "COMPLETE"]);
}

#[tokio::test]
async fn why_it_was_not_delivered_is_told() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    world.courier.set_status_with_reason("A-1", "CANCELED", soon(&world, 1), "Отказ: не подошёл цвет");
    sync(&world).await;
    let last = world.crm.tracking(world.account, order).pop().expect("told");
    assert_eq!(last.comment.as_deref(), Some("Отказ: не подошёл цвет"));
    assert_eq!(last.track_number.as_deref(), Some("A-1"));
}

#[tokio::test]
async fn integrations_of_one_cabinet_share_its_stream() {
    let world = World::new().await;
    let second = world.add_shop("B-", "outcity", |_| {}).await;
    let ours = world.place("1").await;
    let theirs = world.place_as(second, "2", |order| order).await;
    world.courier.set_status("1", "ACCEPTED", soon(&world, 1));
    world.courier.set_status("B-2", "DELIVERY", soon(&world, 1));
    world.courier.reset_counters();
    sync(&world).await;
    assert_eq!(world.told(ours), ["NEW", "ACCEPTED"]);
    assert_eq!(world.told(theirs), ["NEW", "DELIVERY"]);
    assert_eq!(world.courier.count("commitlaststatus"), 1, "one answer for both");
    let metrics = world.ctx.metrics.render();
    assert!(metrics.contains(&format!(r#"bridge_sync_last_success_timestamp_seconds{{integration="{second}"}}"#)));
}

#[tokio::test]
async fn a_stream_has_one_poller() {
    let world = World::new().await;
    world.place("A-1").await;
    let active = world.first();
    let name = format!("stream|{}|{}", active.integration.courier_account(), active.integration.settings.stream_id);
    let other = LeaseGuard::take(&world.another_worker(), &name).await.expect("store").expect("free");
    world.courier.reset_counters();
    assert!(matches!(poll::run(&world.tools, &active).await, Outcome::Superseded(_)));
    assert!(world.courier.requests().is_empty());
    other.release().await;
    assert!(matches!(poll::run(&world.tools, &active).await, Outcome::Done(_)));
}

#[tokio::test]
async fn a_poller_whose_lease_was_taken_over_acknowledges_nothing() {
    let world = World::new().await;
    world.place("A-1").await;
    let active = world.first();
    let guard = LeaseGuard::take(&world.tools, "stream|test").await.expect("store").expect("free");
    let stream = Stream::open(&world.tools, &active, guard.lease.clone()).await.expect("open");
    let fetched = stream.fetch().await.expect("fetched");
    stream.seal(&fetched).await.expect("sealed");
    world.store().release_lease(&guard.lease).await.expect("released");
    let other = LeaseGuard::take(&world.another_worker(), "stream|test").await.expect("store").expect("free");
    assert!(matches!(stream.commit(fetched.batch).await, Err(poll::Stop::LeaseLost)));
    assert!(matches!(stream.fetch().await, Err(poll::Stop::LeaseLost)));
    assert_eq!(world.courier.count("commitlaststatus"), 0);
    other.release().await;
}

#[tokio::test]
async fn a_commit_that_has_no_effect_stops_the_run_with_a_warning() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    world.courier.set_status("A-1", "ACCEPTED", soon(&world, 1));
    // The server says yes and does nothing.
    let account = world.first().integration.courier_account();
    sync(&world).await;
    let batch = world.store().newest_batch(&account, 417).await.expect("read").expect("a batch");
    assert_eq!(batch.state, BatchState::Void, "the empty answer");
    let deaf = crate::testing::DeafCommit::over(&world.first());
    for _ in 0..3 {
        assert!(matches!(poll::run(&world.tools, &deaf).await, Outcome::Done(_) | Outcome::AlreadyDone(_)));
    }
    let dead = world.dead().await;
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert_eq!(dead[0].reason, "commit_not_effective");
    assert_eq!(world.told(order), ["NEW", "ACCEPTED"]);
    // It works again: the warning goes.
    sync(&world).await;
    sync(&world).await;
    assert!(world.dead().await.is_empty());
}

#[tokio::test]
async fn an_order_that_left_and_came_back_is_told_of_again() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    let shown = || world.crm.order(world.account, order).expect("there")["delivery"]["data"]["externalId"].clone();
    let ours = shown();
    assert!(ours.is_string(), "{ours}");
    let back = world.first().integration.settings.delivery_types[0].clone();
    for kind in ["russian-post", &back] {
        world.crm.edit(world.account, order, |order| order.set_delivery_type(kind));
    }
    assert!(shown().is_null(), "RetailCRM forgot");
    world.send(world.id, "A-1").await;
    assert_eq!(shown(), ours);
    assert_eq!(world.courier.order("A-1").expect("there").creates, 1);
}

#[tokio::test]
async fn a_status_of_an_order_that_left_unreported_waits_for_nothing_and_comes_when_it_returns() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    let ours = world.first().integration.settings.delivery_types[0].clone();
    world.crm.edit(world.account, order, |order| order.set_delivery_type("russian-post"));
    // It left before RetailCRM heard that it was placed.
    let mut delivery = world.delivery(order).await;
    delivery.crm_written = Default::default();
    let mut tx = world.store().db.begin().await.expect("begun");
    assert!(tx.save_delivery(&delivery, false, world.tools.clock.now()).await.expect("saved"));
    tx.commit().await.expect("committed");
    world.courier.set_status("A-1", "ACCEPTED", soon(&world, 1));
    sync(&world).await;
    assert_eq!(world.store().next_tracking_due(world.id).await.expect("read"), None, "nothing is tried for ever");
    world.crm.edit(world.account, order, |order| order.set_delivery_type(&ours));
    world.send(world.id, "A-1").await;
    sync(&world).await;
    assert_eq!(world.told(order).last().map(String::as_str), Some("ACCEPTED"));
}

#[tokio::test]
async fn an_order_at_work_is_not_disturbed_and_its_status_comes_later() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    let delivery = world.delivery(order).await;
    let until = world.tools.lease_until();
    let held = world.store().lease_known_delivery(delivery.id, "an order's worker", until).await.expect("read");
    world.courier.set_status("A-1", "ACCEPTED", soon(&world, 1));
    sync(&world).await;
    assert_eq!(world.told(order), ["NEW"]);
    assert_eq!(world.store().count_status_rows(RowState::Pending).await.expect("read"), 1);
    world.store().release_delivery(&held.expect("leased")).await.expect("released");
    world
        .until("the status is told", async || {
            deliver(&world.tools, &world.first()).await;
            world.told(order).len() == 2
        })
        .await;
}

#[tokio::test]
async fn an_order_that_arrived_when_nobody_waited_for_it_any_more_is_taken_over() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    // As if the request had hung, had been given up, and its process had died since.
    let given_up =
        "UPDATE deliveries SET state = 'planned', ordercode = NULL, sending_hash = sent_hash, sent_hash = NULL";
    world.store().db.exec(given_up, vec![]).await.expect("written");
    world.courier.set_status("A-1", "AWAITING_SYNC", soon(&world, 1));
    sync(&world).await;
    let intent = world.store().intent(world.id, CrmOrderId(order)).await.expect("read").expect("an intent");
    assert!(intent.verify && intent.requested > intent.served, "{intent:?}");
    world.work(world.id).await;
    let delivery = world.delivery(order).await;
    assert_eq!((delivery.state, delivery.ordercode.is_some()), (S::Created, true));
    assert_eq!(world.courier.order("A-1").expect("there").creates, 1);
    assert!(world.dead().await.is_empty());
}

#[tokio::test]
async fn a_change_between_fetch_and_commit_is_not_seen_where_the_commit_stamps_its_time() {
    // What the reconcile is for: see `reconcile`.
    let world = World::made(|_| {}, |options| options.commit = CommitMode::StampNow).await;
    let order = world.place("A-1").await;
    let active = world.first();
    let (guard, stream) = stream(&world, &active).await;
    let fetched = stream.fetch().await.expect("fetched");
    world.courier.set_status("A-1", "DELIVERY", world.courier.now());
    stream.seal(&fetched).await.expect("sealed");
    stream.commit(fetched.batch).await.expect("committed");
    guard.release().await;
    sync(&world).await;
    assert_eq!(world.told(order), ["NEW"]);
}

#[tokio::test]
async fn a_refused_status_holds_up_nobody_else() {
    let world = World::new().await;
    let mut orders = Vec::new();
    for n in 1..=7 {
        orders.push(world.place(&format!("A-{n}")).await);
        world.courier.set_status(&format!("A-{n}"), "ACCEPTED", soon(&world, 1));
    }
    // One order went to another delivery type: RetailCRM knows no such delivery any more.
    world.crm.edit(world.account, orders[3], |order| order.set_delivery_type("russian-post"));
    sync(&world).await;
    for (n, order) in orders.iter().enumerate() {
        let expected: &[&str] = if n == 3 { &["NEW"] } else { &["NEW", "ACCEPTED"] };
        assert_eq!(world.told(*order), expected, "order {n}");
    }
    world
        .until("the refusal is believed", async || {
            deliver(&world.tools, &world.first()).await;
            !world.dead().await.is_empty()
        })
        .await;
    let dead = world.dead().await;
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].number.as_deref(), dead[0].reason.as_str()), (Some("A-4"), "status_refused"));
    assert_eq!(world.store().count_tracking(TrackingState::Waiting).await.expect("read"), 0);
}

#[tokio::test]
async fn a_refused_status_of_an_order_that_is_cancelled_then_is_nobodys_dead_letter() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    let delivery = world.delivery(order).await;
    let refused = NewDeadLetter {
        integration: Some(world.id),
        delivery: Some(delivery.id),
        number: Some("A-1".to_owned()),
        kind: Kind::PushStatuses.as_str().to_owned(),
        reason: reason::STATUS_REFUSED.to_owned(),
        fault: Fault::Shop,
        detail: "Delivery not found.".into(),
        tries: 1,
        command: None,
        raw: None,
    };
    let now = world.tools.clock.now();
    let mut tx = world.store().db.begin().await.expect("begun");
    tx.add_dead_letter_of(Some(delivery.crm_order), &refused, now).await.expect("added");
    tx.commit().await.expect("committed");
    world.crm.edit(world.account, order, |order| order.set_delivery_type("russian-post"));
    world.request(world.id, "A-1", shared::store::intents::RequestKind::Cancel).await;
    world
        .until("the letter is closed with the cancel", async || {
            world.work(world.id).await;
            world.dead().await.is_empty()
        })
        .await;
    assert_eq!(world.delivery(order).await.state, S::Cancelled);
}

#[tokio::test]
async fn a_status_of_an_order_that_was_to_leave_is_nobodys_dead_letter() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    world.courier.set_status("A-1", "ACCEPTED", soon(&world, 1));
    world.crm.edit(world.account, order, |order| order.set_delivery_type("russian-post"));
    world.request(world.id, "A-1", shared::store::intents::RequestKind::Cancel).await;
    sync(&world).await;
    assert_eq!(world.told(order), ["NEW"]);
    assert_eq!(world.store().count_tracking(TrackingState::Waiting).await.expect("read"), 0);
    assert!(world.dead().await.is_empty());
}

/// RetailCRM refuses an operation for a while.
fn refuses(operation: &str) -> Vec<simulators::retailcrm::FaultRule> {
    use simulators::retailcrm::{Action, FaultRule, When};
    vec![FaultRule::new(operation, When::Always, Action::RateLimited { status: 429, retry_after_s: None })]
}

/// An update of the order A-1 that comes too late.
async fn gives_up_an_update(world: &World) {
    world.request(world.id, "A-1", shared::store::intents::RequestKind::Update).await;
    world
        .until("it gave up", async || {
            world.work(world.id).await;
            !world.dead().await.is_empty()
        })
        .await;
}

#[tokio::test]
async fn telling_retailcrm_closes_no_dead_letter_of_a_change_that_came_too_late() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    world.courier.set_status("A-1", "ACCEPTED", soon(&world, 1));
    sync(&world).await;
    world.crm.edit(world.account, order, |order| order.set_phone("+7 (916) 000-33-44"));
    // The manager is not told of the failure: RetailCRM is away for that.
    world.crm.set_faults(refuses("tracking"));
    gives_up_an_update(&world).await;
    world.crm.clear_faults();
    world.crm.edit(world.account, order, |order| order.delivery.data.clear());
    world.send(world.id, "A-1").await;
    assert_eq!(world.dead().await.iter().map(|dead| dead.reason.as_str()).collect::<Vec<_>>(), ["too_late"]);
}

#[tokio::test]
async fn who_lost_an_order_before_anything_of_it_was_noted_announces_nothing() {
    use shared::store::intents::RequestKind;
    let world = World::new().await;
    let active = world.first();
    let ours = active.integration.settings.delivery_types[0].clone();
    let order = simulators::retailcrm::an_order().number("A-1").delivery_type(&ours).status("SentMeaSoft");
    let order = world.crm.add_order(world.account, order);
    world.request(world.id, "A-1", RequestKind::Send).await;
    // A worker takes it and stands still for longer than its lease.
    let over = world.tools.clock.now();
    let taken = world.store().claim_intents(world.id, "frozen", over, 50).await.expect("claimed");
    assert_eq!(taken.len(), 1);
    // Meanwhile the order leaves, and another worker clears up: there is nothing to clear.
    world.crm.edit(world.account, order, |order| order.set_delivery_type("russian-post"));
    world.request(world.id, "A-1", RequestKind::Cancel).await;
    world
        .until("the cancel is served", async || {
            world.work(world.id).await;
            world.store().backlog_of(world.id).await.expect("read").0 == 0
        })
        .await;
    // What the first had read of RetailCRM before is what it goes on with.
    world.crm.edit(world.account, order, |order| order.set_delivery_type(&ours));
    crate::order::batch::process(&world.another_worker(), &active, taken).await;
    assert_eq!(world.courier.count("neworder"), 0);
    let known = world.store().delivery_by_order(world.id, CrmOrderId(order)).await.expect("read");
    assert!(known.is_none_or(|d| d.state != S::Sending), "nobody would look for it");
}

#[tokio::test]
async fn what_gave_up_is_shown_once_retailcrm_can_be_told() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    world.courier.set_status("A-1", "ACCEPTED", soon(&world, 1));
    sync(&world).await;
    world.crm.edit(world.account, order, |order| order.set_phone("+7 (916) 000-33-44"));
    world.crm.set_faults(refuses("tracking"));
    gives_up_an_update(&world).await;
    assert_eq!(world.told(order), ["NEW", "ACCEPTED"]);
    world.crm.clear_faults();
    world
        .until("the manager sees why", async || {
            world.work(world.id).await;
            world.told(order).len() == 3
        })
        .await;
    let shown = world.crm.tracking(world.account, order).pop().expect("told");
    assert_eq!(shown.code, crate::order::report::ERROR_STATUS);
    assert!(shown.comment.is_some_and(|words| words.contains("уже")), "in words");
    world.work(world.id).await;
    assert_eq!(world.told(order).len(), 3, "once");
    assert_eq!(world.dead().await.len(), 1, "and the dead letter stays");
}

#[tokio::test]
async fn an_order_that_was_placed_is_told_of_although_its_update_came_too_late() {
    for report in [true, false] {
        let world = World::with(|settings| settings.report_errors_to_crm = report).await;
        world.crm.set_faults(refuses("orders.edit"));
        let order = world.place("A-1").await;
        assert!(world.told(order).is_empty(), "placed, and RetailCRM does not know");
        world.courier.set_status("A-1", "ACCEPTED", soon(&world, 1));
        sync(&world).await;
        world.crm.edit(world.account, order, |order| order.set_phone("+7 (916) 000-33-44"));
        gives_up_an_update(&world).await;
        world.crm.clear_faults();
        world
            .until("RetailCRM knows the delivery", async || {
                world.work(world.id).await;
                let shown = world.crm.order(world.account, order).expect("there");
                shown["delivery"]["data"]["externalId"].is_string()
            })
            .await;
        assert_eq!(world.dead().await.len(), 1);
    }
}

#[tokio::test]
async fn statuses_of_an_order_that_left_before_retailcrm_knew_of_it_do_not_wait() {
    let world = World::new().await;
    world.crm.set_faults(refuses("orders.edit"));
    let order = world.place("A-1").await;
    sync(&world).await;
    let waiting = async || world.store().count_tracking(TrackingState::Waiting).await.expect("read");
    assert_eq!(waiting().await, 1, "until RetailCRM knows the delivery");
    world.crm.edit(world.account, order, |order| order.set_delivery_type("russian-post"));
    world.request(world.id, "A-1", shared::store::intents::RequestKind::Cancel).await;
    world
        .until("it is withdrawn", async || {
            world.work(world.id).await;
            world.delivery(order).await.state == S::Cancelled
        })
        .await;
    world
        .until("nothing waits", async || {
            deliver(&world.tools, &world.first()).await;
            waiting().await == 0
        })
        .await;
    assert!(world.told(order).is_empty());
}

#[tokio::test]
async fn a_refusal_is_not_believed_while_a_trigger_is_worked_off() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    world.courier.set_status("A-1", "ACCEPTED", soon(&world, 1));
    let back = world.first().integration.settings.delivery_types[0].clone();
    for kind in ["russian-post", &back] {
        world.crm.edit(world.account, order, |order| order.set_delivery_type(kind));
    }
    world.request(world.id, "A-1", shared::store::intents::RequestKind::Send).await;
    sync(&world).await;
    world
        .until("it was refused more often than would be believed", async || {
            deliver(&world.tools, &world.first()).await;
            let waiting = world.store().waiting_tracking(world.id, 10).await.expect("read");
            waiting.iter().any(|status| status.attempt > 6)
        })
        .await;
    assert!(world.dead().await.is_empty());
    world.work(world.id).await;
    world
        .until("RetailCRM knows the delivery again and takes the status", async || {
            deliver(&world.tools, &world.first()).await;
            world.told(order).last().is_some_and(|code| code == "ACCEPTED")
        })
        .await;
    assert!(world.dead().await.is_empty());
}

#[tokio::test]
async fn a_status_is_told_only_when_retailcrm_says_so() {
    use simulators::retailcrm::{Action, FaultRule as CrmFault, When};
    let world = World::new().await;
    let order = world.place("A-1").await;
    world.courier.set_status("A-1", "ACCEPTED", soon(&world, 1));
    world.crm.set_faults(vec![CrmFault::new("tracking", When::FirstN(2), Action::ServerError { acted: false })]);
    sync(&world).await;
    assert_eq!(world.told(order), ["NEW"]);
    world
        .until("it is told", async || {
            deliver(&world.tools, &world.first()).await;
            world.told(order) == ["NEW", "ACCEPTED"]
        })
        .await;
    assert!(world.ctx.metrics.render().contains("bridge_status_to_crm_seconds_count 1"));
}

#[tokio::test]
async fn a_crash_between_two_tracking_batches_tells_each_status_once() {
    use simulators::retailcrm::{Action, FaultRule as CrmFault, When};
    let world = World::new().await;
    let mut orders = Vec::new();
    for n in 1..=120 {
        let number = format!("A-{n}");
        let order = simulators::retailcrm::an_order().number(&number).delivery_type("incity").status("SentMeaSoft");
        orders.push(world.crm.add_order(world.account, order));
        world.request(world.id, &number, shared::store::intents::RequestKind::Send).await;
    }
    world.work(world.id).await;
    for n in 1..=120 {
        world.courier.set_status(&format!("A-{n}"), "ACCEPTED", soon(&world, 1));
    }
    // The second request hangs; the worker dies waiting for it.
    world.crm.set_faults(vec![CrmFault::new("tracking", When::AfterN(1), Action::Delay { ms: 60_000 })]);
    let running = sync(&world);
    tokio::select! {
        _ = running => panic!("the second batch hangs"),
        () = world.until("the first batch is there", async || {
            world.store().count_tracking(TrackingState::Sent).await.expect("read") == 100
        }) => {}
    }
    world.crm.clear_faults();
    let name = format!("push|{}", world.id);
    // The dead worker's lease runs out.
    world.store().db.exec("UPDATE leases SET lease_until = 0", vec![]).await.expect("ended");
    assert!(LeaseGuard::take(&world.another_worker(), &name).await.expect("store").is_some_and(|k| {
        drop(k);
        true
    }));
    world.store().db.exec("UPDATE leases SET lease_until = 0", vec![]).await.expect("ended");
    deliver(&world.another_worker(), &world.first()).await;
    for order in &orders {
        assert_eq!(world.told(*order), ["NEW", "ACCEPTED"]);
    }
}

#[tokio::test]
async fn statuses_that_are_not_wanted_stay_here() {
    let world = World::with(|settings| settings.receive_statuses = false).await;
    let order = world.place("A-1").await;
    world.courier.set_status("A-1", "ACCEPTED", soon(&world, 1));
    sync(&world).await;
    assert_eq!(world.told(order), ["NEW"]);
    assert_eq!(world.delivery(order).await.status.as_deref(), Some("ACCEPTED"));
    assert!(world.store().count_tracking(TrackingState::Kept).await.expect("read") > 0);
}

#[tokio::test]
async fn statuses_wait_for_a_module_that_is_off() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    let active = world.first();
    let code = active.integration.code(&world.tools.module_code);
    let module = active.vendors.crm.module(&code).await.expect("a module");
    let off = shared::retailcrm::wire::module::IntegrationModule { active: false, ..module.clone() };
    active.vendors.crm.edit_module(&off).await.expect("off");
    world.courier.set_status("A-1", "ACCEPTED", soon(&world, 1));
    sync(&world).await;
    assert!(world.dead().await.is_empty(), "nobody is blamed");
    assert_eq!(world.store().count_tracking(TrackingState::Waiting).await.expect("read"), 1);
    active.vendors.crm.edit_module(&module).await.expect("on");
    world.store().db.exec("UPDATE tracking_outbox SET due_at = 0", vec![]).await.expect("due");
    deliver(&world.tools, &active).await;
    assert_eq!(world.told(order), ["NEW", "ACCEPTED"]);
}

mod reconciling {
    use shared::store::intents::RequestKind;
    use shared::store::journal::Search;
    use simulators::retailcrm::an_order;

    use super::*;

    fn sending(settings: &mut shared::domain::Settings) {
        settings.send_statuses = vec!["SentMeaSoft".into()];
    }

    /// A walk through the history, and whatever it published.
    async fn round(world: &World) -> Vec<&'static str> {
        // Changes of the last moments are left to the next walk.
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        let mut envelope = world.command(Command::Reconcile {});
        envelope.key = shared::message::RECONCILE_HISTORY.into();
        let outcome = world.job_by(&world.tools, &envelope).await;
        assert!(matches!(outcome, Outcome::Done(_) | Outcome::AlreadyDone(_)), "{outcome:?}");
        world.run_published().await
    }

    async fn repairs(world: &World) -> usize {
        world.tools.journal.flush().await;
        let search = Search { text: Some("the reconcile found".into()), limit: 1000, ..Search::default() };
        world.store().search_journal(&search).await.expect("read").len()
    }

    #[tokio::test]
    async fn dropped_triggers_are_made_good_within_two_rounds() {
        let world = World::with(sending).await;
        let order = |n: usize| an_order().number(&format!("A-{n}")).delivery_type("incity").status("SentMeaSoft");
        let mut ids = Vec::new();
        for n in 0..40 {
            ids.push(world.crm.add_order(world.account, order(n)));
            // Every eighth trigger is dropped before it reaches us.
            if n % 8 != 0 {
                world.request(world.id, &format!("A-{n}"), RequestKind::Send).await;
            }
        }
        world.work(world.id).await;
        assert_eq!(world.courier.orders().len(), 35);
        let mut published = round(&world).await;
        published.extend(round(&world).await);
        assert_eq!(published, ["SendOrder"; 5], "only what was missed");
        assert_eq!(world.courier.orders().len(), 40);
        assert!(world.courier.effects().values().all(|effects| effects.creates == 1));
        assert_eq!(repairs(&world).await, 5);
        assert!(world.ctx.metrics.render().contains(r#"bridge_repairs_total{what="send"} 5"#));
        // A change and a change of type that nobody announced.
        world.crm.edit(world.account, ids[1], |order| order.set_phone("+79160009999"));
        world.crm.edit(world.account, ids[2], |order| order.set_delivery_type("russian-post"));
        let mut published = round(&world).await;
        published.sort_unstable();
        assert_eq!(published, ["CancelOrder", "UpdateOrder"]);
        let effects = world.courier.effects();
        assert_eq!((effects["A-1"].edits, effects["A-2"].cancels), (1, 1));
        assert!(round(&world).await.is_empty(), "our own writes are no reason for another round");
    }

    #[tokio::test]
    async fn without_send_statuses_nothing_is_ever_sent() {
        let world = World::new().await;
        world.crm.add_order(world.account, an_order().number("A-1").delivery_type("incity").status("SentMeaSoft"));
        assert!(round(&world).await.is_empty());
    }

    #[tokio::test]
    async fn an_order_older_than_the_integration_is_not_sent() {
        let world = World::with(sending).await;
        let old = an_order().number("A-1").delivery_type("incity").status("new").created_at("2020-01-01 10:00:00");
        let id = world.crm.add_order(world.account, old);
        world.crm.edit(world.account, id, |order| order.set_status("SentMeaSoft"));
        assert!(round(&world).await.is_empty());
    }

    #[tokio::test]
    async fn a_trigger_on_its_way_is_not_a_missed_one() {
        let world = World::with(sending).await;
        world.crm.add_order(world.account, an_order().number("A-1").delivery_type("incity").status("SentMeaSoft"));
        world.request(world.id, "A-1", RequestKind::Send).await;
        assert!(round(&world).await.is_empty());
        assert_eq!(repairs(&world).await, 0);
    }

    #[tokio::test]
    async fn a_status_that_the_stream_swallowed_is_found() {
        let world = World::made(|_| {}, |options| options.commit = CommitMode::StampNow).await;
        let order = world.place("A-1").await;
        let active = world.first();
        let (guard, stream) = stream(&world, &active).await;
        let fetched = stream.fetch().await.expect("fetched");
        world.courier.set_status("A-1", "DELIVERY", world.courier.now() + SignedDuration::from_secs(1));
        stream.seal(&fetched).await.expect("sealed");
        // Read back as the commit stamps it away.
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        stream.commit(fetched.batch).await.expect("committed");
        guard.release().await;
        sync(&world).await;
        assert_eq!(world.told(order), ["NEW"]);
        let envelope = world.command(Command::Reconcile {});
        world.job_by(&world.tools, &envelope).await;
        assert_eq!(world.told(order), ["NEW", "DELIVERY"]);
        assert_eq!(repairs(&world).await, 1);
        // Known now: nothing is found a second time.
        world.job_by(&world.tools, &envelope).await;
        assert_eq!(repairs(&world).await, 1);
    }

    #[tokio::test]
    async fn an_order_that_ended_unseen_is_asked_about_by_its_number() {
        let world = World::made(|_| {}, |options| options.commit = CommitMode::StampNow).await;
        let order = world.place("A-1").await;
        let gone = world.place("A-2").await;
        sync(&world).await;
        let active = world.first();
        let (guard, stream) = stream(&world, &active).await;
        let fetched = stream.fetch().await.expect("fetched");
        world.courier.set_status("A-1", "COMPLETE", world.courier.now() + SignedDuration::from_secs(1));
        stream.seal(&fetched).await.expect("sealed");
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        active.vendors.courier.commit_last_status(417).await.expect("committed");
        guard.release().await;
        world.courier.delete("A-2");
        // Both were sent long ago.
        world.store().db.exec("UPDATE deliveries SET sent_at = sent_at - 7200000", vec![]).await.expect("aged");
        world.job(Command::Reconcile {}).await;
        assert_eq!(world.delivery(order).await.state, S::Delivered);
        assert_eq!(world.told(order).last().map(String::as_str), Some("COMPLETE"));
        let dead = world.dead().await;
        assert_eq!(dead.len(), 1);
        assert_eq!((dead[0].reason.as_str(), dead[0].number.as_deref()), ("delivery_vanished", Some("A-2")));
        assert_eq!(world.delivery(gone).await.state, S::Created, "a person decides");
    }
}
