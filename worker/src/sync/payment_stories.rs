//! Payments over both simulators: crashes between the steps, lost answers, other people's
//! changes.

use jiff::SignedDuration;
use shared::domain::{CrmOrderId, Settings};
use shared::message::{Command, Envelope, Outcome};
use shared::store::payment_moves::MoveState;
use simulators::retailcrm::{Action, FaultRule, Payment, When};

use crate::sync::{deliver, poll};
use crate::testing::{World, counted};

fn both(settings: &mut Settings) {
    settings.payment_status = Some("paid".into());
    settings.receive_payment = true;
}

/// An order delivered and paid in another way than RetailCRM thinks.
async fn delivered(world: &World, paytype: &str, share: i64) -> i64 {
    let order = world.place("A-1").await;
    let price = world.courier.order("A-1").expect("placed").price_kopecks;
    world.courier.set_payment("A-1", paytype, price * share / 100);
    assert!(world.courier.set_status("A-1", "COMPLETE", world.courier.now() + SignedDuration::from_secs(1)));
    order
}

fn payments(world: &World, order: i64) -> Vec<Payment> {
    world.crm.payments(world.account, order)
}

async fn count_of(world: &World, state: MoveState) -> i64 {
    world.store().count_payments(state).await.expect("read")
}

async fn settle(world: &World) {
    world
        .until("the payment is settled", async || {
            deliver(&world.tools, &world.first()).await;
            count_of(world, MoveState::Wanted).await + count_of(world, MoveState::Moving).await == 0
        })
        .await;
}

async fn dead_worker(world: &World) {
    world.store().db.exec("UPDATE leases SET lease_until = 0", vec![]).await.expect("leases run out");
}

#[tokio::test]
async fn a_payment_of_another_type_is_replaced_once() {
    let world = World::with(both).await;
    let order = delivered(&world, "CARD", 100).await;
    let before = payments(&world, order);
    assert_eq!((before.len(), before[0].payment_type.as_str()), (1, "cash"));
    world.job(Command::SyncStatuses {}).await;
    let after = payments(&world, order);
    assert_eq!(after.len(), 1);
    assert_eq!((after[0].payment_type.as_str(), after[0].status.as_str()), ("bank-card", "paid"));
    assert_eq!(after[0].amount, before[0].amount);
    assert_eq!(after[0].external_id.as_deref(), Some(format!("measoft-{}-{order}-1", world.id).as_str()));
    assert!(after[0].paid_at.is_some());
    // Again and again: nothing more happens.
    for _ in 0..3 {
        world.job(Command::SyncStatuses {}).await;
    }
    assert_eq!(payments(&world, order).len(), 1);
    assert_eq!((world.crm.count("payments.create"), world.crm.count("payments.delete")), (1, 1));
    assert!(world.dead().await.is_empty());
}

#[tokio::test]
async fn a_partial_buy_out_lowers_the_sum_and_then_marks_it_paid() {
    let world = World::with(both).await;
    let order = delivered(&world, "CASH", 50).await;
    let before = payments(&world, order)[0].clone();
    world.job(Command::SyncStatuses {}).await;
    let after = payments(&world, order);
    assert_eq!(after.len(), 1);
    assert_eq!((after[0].id, after[0].amount, after[0].status.as_str()), (before.id, before.amount / 2, "paid"));
    assert_eq!(world.crm.count("payments.create"), 0);
}

#[tokio::test]
async fn eight_payments_are_settled_in_as_many_statements_as_one() {
    let mut taken = Vec::new();
    for count in [1, 8, 16] {
        let world = World::with(|settings| settings.payment_status = Some("paid".into())).await;
        let mut orders = Vec::new();
        for n in 1..=count {
            let number = format!("A-{n}");
            orders.push(world.place(&number).await);
            assert!(world.courier.set_status(&number, "COMPLETE", world.courier.now() + SignedDuration::from_secs(1)));
        }
        assert!(matches!(poll::run(&world.tools, &world.first()).await, Outcome::Done(_)));
        let (outcome, steps) = counted(super::payments::run(&world.tools, &world.first())).await;
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
        assert!(orders.iter().all(|order| payments(&world, *order)[0].status == "paid"));
        assert_eq!(count_of(&world, MoveState::Done).await, count);
        taken.push(steps);
    }
    assert_eq!(taken[0], taken[1]);
    // Their plans are begun in one commit, and what came of them is another.
    assert_eq!((taken[1].commits, taken[2].commits), (2, 4));
}

#[tokio::test]
async fn a_payment_that_the_database_refuses_to_end_holds_up_no_other() {
    let world = World::with(|settings| settings.payment_status = Some("paid".into())).await;
    let mut orders = Vec::new();
    for n in 1..=5 {
        let number = format!("A-{n}");
        orders.push(world.place(&number).await);
        assert!(world.courier.set_status(&number, "COMPLETE", world.courier.now() + SignedDuration::from_secs(1)));
    }
    assert!(matches!(poll::run(&world.tools, &world.first()).await, Outcome::Done(_)));
    let trouble = "CREATE TRIGGER refuses BEFORE UPDATE ON payment_moves WHEN NEW.state = 'done' AND NEW.delivery_id = \
                   (SELECT id FROM deliveries WHERE orderno = 'A-3') BEGIN SELECT RAISE(ABORT, 'not this one'); END";
    world.store().db.exec(trouble, vec![]).await.expect("prepared");
    super::payments::run(&world.tools, &world.first()).await;
    assert_eq!(count_of(&world, MoveState::Done).await, 4);
    world.store().db.exec("DROP TRIGGER refuses", vec![]).await.expect("mended");
    super::payments::run(&world.tools, &world.first()).await;
    assert_eq!(count_of(&world, MoveState::Done).await, 5);
    assert_eq!(world.crm.count("payments.edit"), 5, "none twice");
}

#[tokio::test]
async fn without_both_settings_no_payment_is_looked_at() {
    let world = World::new().await;
    let order = delivered(&world, "CARD", 100).await;
    world.job(Command::SyncStatuses {}).await;
    assert_eq!(payments(&world, order)[0].status, "not-paid");
    assert_eq!(count_of(&world, MoveState::Nothing).await, 0);
}

/// The worker dies while RetailCRM takes its time over an operation, before or after it acted.
async fn dies_at(operation: &str, action: Action, gone_so_far: impl Fn(&[Payment]) -> bool) {
    let world = World::with(both).await;
    let order = delivered(&world, "CARD", 100).await;
    world.crm.set_faults(vec![FaultRule::new(operation, When::Always, action)]);
    tokio::select! {
        _ = world.job(Command::SyncStatuses {}) => panic!("{operation} hangs"),
        () = world.until("it has come so far", async || gone_so_far(&payments(&world, order))) => {}
    }
    // The worker is dead, and what it had not sent never arrives.
    world.crm.clear_faults();
    dead_worker(&world).await;
    let next = world.another_worker();
    deliver(&next, &world.first()).await;
    let after = payments(&world, order);
    assert_eq!(after.len(), 1, "{operation}");
    assert_eq!((after[0].payment_type.as_str(), after[0].status.as_str()), ("bank-card", "paid"));
    assert_eq!(count_of(&world, MoveState::Done).await, 1);
    assert!(world.dead().await.is_empty());
}

#[tokio::test]
async fn a_crash_at_any_step_leaves_exactly_one_payment() {
    let entered = |payments: &[Payment]| payments.len() == 2;
    let replaced = |payments: &[Payment]| payments.len() == 1 && payments[0].payment_type == "bank-card";
    // Carried out, and the answer never comes: the journal says «begun».
    dies_at("payments.create", Action::DelayAnswer { ms: 60_000 }, entered).await;
    // Noted as entered; the removal never arrives.
    dies_at("payments.delete", Action::Delay { ms: 60_000 }, entered).await;
    dies_at("payments.delete", Action::DelayAnswer { ms: 60_000 }, replaced).await;
}

#[tokio::test]
async fn a_replacement_that_an_earlier_release_began_by_removing_is_carried_to_its_end() {
    let world = World::with(both).await;
    let order = delivered(&world, "CARD", 100).await;
    let old = payments(&world, order)[0].clone();
    // Its journal: the removal was begun, and happened or not.
    for removed in [true, false] {
        crate::sync::poll::run(&world.tools, &world.first()).await;
        crate::sync::apply::run(&world.tools, &world.first().integration.courier_account()).await;
        let (tag, id) = (format!("measoft-{}-{order}-1", world.id), old.id);
        let plan = serde_json::json!({"moves": [{"do": "delete", "payment": id},
            {"do": "create", "tag": tag, "kind": "bank-card", "amount": old.amount, "status": "paid"}],
            "seen": [{"id": id, "kind": "cash", "status": "not-paid", "amount": old.amount}], "paid_at": null});
        let sql = format!("UPDATE payment_moves SET state = 'moving', step = 0, plan = '{plan}'");
        world.store().db.exec(sql, vec![]).await.expect("written");
        if removed {
            world.crm.edit(world.account, order, |order| order.remove_payments());
        }
        settle(&world).await;
        let after = payments(&world, order);
        assert_eq!((after.len(), after[0].payment_type.as_str()), (1, "bank-card"));
        assert!(world.dead().await.is_empty());
    }
}

#[tokio::test]
async fn a_lost_answer_to_the_create_does_not_double_the_payment() {
    let world = World::with(both).await;
    let order = delivered(&world, "CARD", 100).await;
    world.crm.set_faults(vec![FaultRule::new("payments.create", When::FirstN(1), Action::LoseAnswer)]);
    world.job(Command::SyncStatuses {}).await;
    settle(&world).await;
    assert_eq!(payments(&world, order).len(), 1);
    assert_eq!(count_of(&world, MoveState::Done).await, 1);
    assert_eq!(world.crm.count("payments.create"), 1, "the one whose answer was lost");
}

#[tokio::test]
async fn failures_of_retailcrm_are_walked_through() {
    for action in [
        Action::FailBefore,
        Action::LoseAnswer,
        Action::ServerError { acted: true },
        Action::ServerError { acted: false },
        Action::Html { status: 502, acted: true },
        Action::CutJson,
        Action::RateLimited { status: 429, retry_after_s: None },
    ] {
        let world = World::with(both).await;
        let order = delivered(&world, "CARD", 90).await;
        let price = world.courier.order("A-1").expect("placed").price_kopecks;
        world.crm.set_faults(vec![FaultRule::new("payments.*", When::EveryNth(2), action.clone())]);
        world.job(Command::SyncStatuses {}).await;
        settle(&world).await;
        let after = payments(&world, order);
        let found: Vec<(&str, i64)> = after.iter().map(|p| (p.payment_type.as_str(), p.amount)).collect();
        assert_eq!(found, [("bank-card", price)], "{action:?}");
        assert!(world.dead().await.is_empty(), "{action:?}");
    }
}

#[tokio::test]
async fn a_payment_that_somebody_added_meanwhile_stops_the_replacement() {
    let world = World::with(both).await;
    let order = delivered(&world, "CARD", 100).await;
    world.crm.set_faults(vec![FaultRule::new("payments.create", When::Always, Action::FailBefore)]);
    world.job(Command::SyncStatuses {}).await;
    assert_eq!(payments(&world, order).len(), 1, "the old one is there as long as the new one is not");
    world.crm.edit(world.account, order, |order| order.add_payment("bank-card", 1000, "paid"));
    world.crm.clear_faults();
    settle(&world).await;
    assert_eq!(payments(&world, order).len(), 2, "theirs and the old one");
    let dead = world.dead().await;
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert_eq!((dead[0].reason.as_str(), dead[0].number.as_deref()), ("payment_conflict", Some("A-1")));
    // They take everything away and replay: what is there now decides.
    world.crm.edit(world.account, order, |order| order.remove_payments());
    let mut replay: Envelope = world.command(Command::SyncPayments {});
    replay.generation = 1;
    world.job_by(&world.tools, &replay).await;
    assert_eq!(payments(&world, order).len(), 1);
    assert!(world.dead().await.is_empty());
}

#[tokio::test]
async fn an_online_payment_is_reported_and_not_touched() {
    let world = World::with(both).await;
    let order = world.place("A-1").await;
    world.crm.edit(world.account, order, |order| {
        order.remove_payments();
        order.add_payment("2", 273_000, "not-paid");
    });
    world.courier.set_payment("A-1", "CASH", 273_000);
    world.courier.set_status("A-1", "COMPLETE", world.courier.now() + SignedDuration::from_secs(1));
    world.job(Command::SyncStatuses {}).await;
    let after = payments(&world, order);
    assert_eq!((after.len(), after[0].payment_type.as_str(), after[0].status.as_str()), (1, "2", "not-paid"));
    let dead = world.dead().await;
    assert_eq!(dead[0].reason, "payment_online");
    assert_eq!(world.crm.count("payments.edit") + world.crm.count("payments.delete"), 0);
}

#[tokio::test]
async fn a_correction_after_the_payment_was_settled_is_a_persons() {
    let world = World::with(both).await;
    let order = delivered(&world, "CASH", 100).await;
    world.job(Command::SyncStatuses {}).await;
    assert_eq!(payments(&world, order)[0].status, "paid");
    world.courier.set_payment("A-1", "CASH", 100);
    world.job(Command::SyncStatuses {}).await;
    let dead = world.dead().await;
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert_eq!(dead[0].reason, "payment_corrected");
    let why = "the payment was left as it is: The courier collected";
    assert!(dead[0].detail.to_string().contains(why), "and it says why: {}", dead[0].detail);
    // An update trigger that has nothing to do does not hide it.
    world.send(world.id, "A-1").await;
    assert_eq!(world.dead().await.len(), 1);
}

#[tokio::test]
async fn two_workers_settle_one_payment_once() {
    let world = World::with(both).await;
    let order = delivered(&world, "CARD", 100).await;
    crate::sync::poll::run(&world.tools, &world.first()).await;
    let (other, third) = (world.another_worker(), world.another_worker());
    let envelope = world.command(Command::PushStatuses {});
    tokio::join!(
        world.job_by(&world.tools, &envelope),
        world.job_by(&other, &envelope),
        world.job_by(&third, &envelope),
    );
    settle(&world).await;
    assert_eq!(payments(&world, order).len(), 1);
    assert_eq!(world.crm.count("payments.create"), 1);
    assert_eq!(world.told(order), ["NEW", "COMPLETE"]);
    let kept = world.store().delivery_by_order(world.id, CrmOrderId(order)).await.expect("read").expect("there");
    assert_eq!(kept.status.as_deref(), Some("COMPLETE"));
}
