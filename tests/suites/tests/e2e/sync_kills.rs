//! A worker killed at each step of the way back: nothing is lost, nothing is doubled. The
//! database holds the worker at the step, so that each kill hits exactly there.

use std::collections::BTreeMap;

use harness::{Collect, LONG, Placed, Role, World, eventually};
use simulators::measoft::{FaultAction, FaultRule, StatusChange};
use simulators::retailcrm::{Action, FaultRule as CrmFault, TriggerKind, When};

use crate::load::{all_accepted, each_once};

/// One worker, so that the kill is of the one that does it.
async fn one_worker(name: &str) -> World {
    World::scaled(name)
        .with(Role::Worker, 1)
        .shops(1)
        .setting("payment_status=paid")
        .setting("receive_payment=true")
        .set("SYNC_INTERVAL_S", "1")
        .start()
        .await
}

async fn sent(world: &World, orders: &[Placed]) {
    let sends: Vec<_> = orders.iter().map(|order| (TriggerKind::Send, order)).collect();
    all_accepted(&world.storm(&sends, 32).await);
    world.served("all orders are placed").await;
    each_once(world, orders);
}

fn all_get(world: &World, orders: &[Placed], code: &str) {
    for order in orders {
        assert!(world.measoft.set_status(&world.orderno(order), code, world.measoft.now()));
    }
}

/// How often RetailCRM was told a status of an order.
fn told(world: &World, order: &Placed, code: &str) -> usize {
    let all = world.crm.tracking(world.shops[order.shop].account, order.id);
    all.iter().filter(|entry| entry.code == code).count()
}

async fn each_told(world: &World, orders: &[Placed], code: &str) {
    eventually(&format!("{code} of every order is told"), LONG, || async {
        let open = orders.iter().filter(|order| told(world, order, code) == 0).count();
        if open == 0 { Ok(()) } else { Err(format!("{open} orders lack it")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_at_each_step_of_the_sync_loses_and_doubles_no_status() {
    let world = one_worker("sync-kills").await;
    let orders: Vec<Placed> = (0..20).map(|n| world.place(0, n, Collect::Paid)).collect();
    sent(&world, &orders).await;
    // After the fetch; after the acknowledgement, of which nothing is known; after the
    // rows were taken over.
    for (code, table, step) in [
        ("ACCEPTED", "status_batches", "UPDATE WHEN NEW.state = 'sealed'"),
        ("DEPARTURE", "status_batches", "UPDATE WHEN NEW.state = 'committed'"),
        ("TRANSACCEPTED", "status_rows", "INSERT WHEN NEW.state = 'applied'"),
        ("DELIVERY", "tracking_outbox", "UPDATE WHEN NEW.state = 'sent'"),
    ] {
        let mut hold = world.hold(table, step).await;
        all_get(&world, &orders, code);
        hold.reached().await;
        world.kill("worker-1");
        hold.undo().await;
        world.start("worker-1").await;
        each_told(&world, &orders, code).await;
        // The next step is held for what comes next, not for the end of this.
        world.settled("what was told is noted").await;
    }
    // After the seal: while it asks for the acknowledgement.
    let silent = FaultRule::new(FaultAction::DelayBefore { ms: 600_000 }).op("commitlaststatus");
    world.measoft.set_faults(vec![silent]);
    let asked = world.measoft.count("commitlaststatus");
    all_get(&world, &orders, "COURIERDELIVERED");
    eventually("it asks for the acknowledgement", LONG, || async {
        if world.measoft.count("commitlaststatus") > asked { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    world.kill("worker-1");
    world.measoft.clear_faults();
    world.start("worker-1").await;
    each_told(&world, &orders, "COURIERDELIVERED").await;

    world.settled("nothing is under way").await;
    let mut counts: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for code in ["ACCEPTED", "DEPARTURE", "TRANSACCEPTED", "COURIERDELIVERED"] {
        counts.insert(code, orders.iter().map(|order| told(&world, order, code)).collect());
    }
    assert!(counts.values().flatten().all(|count| *count == 1), "{counts:?}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_between_two_tracking_batches_tells_the_rest_and_nothing_twice() {
    // Polled once, on demand, so that the statuses make two requests.
    let world =
        World::scaled("tracking-kill").with(Role::Worker, 1).shops(1).set("SYNC_INTERVAL_S", "3600").start().await;
    let orders: Vec<Placed> = (0..120).map(|n| world.place(0, n, Collect::Paid)).collect();
    sent(&world, &orders).await;
    world.settled("the first slots are done").await;
    all_get(&world, &orders, "ACCEPTED");
    world.crm.set_faults(vec![CrmFault::new("tracking", When::AfterN(1), Action::Delay { ms: 600_000 })]);
    assert_eq!(world.bridge(&["sync"]).await.code, 0);
    let recorded = "SELECT COUNT(*) AS n FROM tracking_outbox WHERE code = 'ACCEPTED' AND state = 'sent'";
    eventually("the first request is recorded", LONG, || async {
        match world.ledger.count(recorded).await {
            Ok(100) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    world.kill("worker-1");
    world.crm.clear_faults();
    assert_eq!(orders.iter().filter(|order| told(&world, order, "ACCEPTED") == 1).count(), 100);
    world.start("worker-1").await;
    each_told(&world, &orders, "ACCEPTED").await;
    assert!(orders.iter().all(|order| told(&world, order, "ACCEPTED") == 1), "none is told twice");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_between_a_payments_entry_and_the_old_ones_removal_leaves_exactly_one() {
    let world = one_worker("payment-kill").await;
    let orders: Vec<Placed> = (0..6).map(|n| world.place(0, n, Collect::Cash)).collect();
    sent(&world, &orders).await;
    let payments = |order: &Placed| world.crm.payments(world.shops[0].account, order.id);
    // All new payments but one are entered, and the removal of their old ones hangs.
    let hangs = CrmFault::new("payments.delete", When::AfterN(1), Action::Delay { ms: 600_000 });
    world.crm.set_faults(vec![hangs]);
    for order in &orders {
        let paid =
            StatusChange { paytype: Some("CARD".to_owned()), ..StatusChange::to("COMPLETE", world.measoft.now()) };
        assert!(world.measoft.change_status(&world.orderno(order), &paid));
    }
    eventually("some orders have both payments", LONG, || async {
        let both = orders.iter().filter(|order| payments(order).len() == 2).count();
        if both >= 1 { Ok(()) } else { Err("none has two".to_owned()) }
    })
    .await;
    world.kill("worker-1");
    world.crm.clear_faults();
    world.start("worker-1").await;
    eventually("every order is paid by card", LONG, || async {
        let open: Vec<_> = orders
            .iter()
            .filter(|order| payments(order).first().is_none_or(|payment| payment.payment_type != "bank-card"))
            .map(|order| &order.number)
            .collect();
        if open.is_empty() { Ok(()) } else { Err(format!("{open:?} are not")) }
    })
    .await;
    world.settled("nothing is under way").await;
    for order in &orders {
        let found = payments(order);
        assert_eq!(found.len(), 1, "{}: {found:?}", order.number);
        assert_eq!(
            (found[0].payment_type.as_str(), found[0].amount, found[0].status.as_str()),
            ("bank-card", order.collect, "paid"),
            "{}",
            order.number
        );
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_schedulers_and_three_workers_poll_each_stream_one_at_a_time() {
    let world = World::scaled("one-poller")
        .with(Role::Scheduler, 2)
        .with(Role::Worker, 3)
        .set("SYNC_INTERVAL_S", "0.5")
        .start()
        .await;
    // So slow that the next slots come while it is under way.
    let slow = |op| FaultRule::new(FaultAction::DelayAfter { ms: 700 }).op(op);
    world.measoft.set_faults(vec![slow("statusreq"), slow("commitlaststatus")]);
    let orders = world.place_many(20);
    sent(&world, &orders).await;
    for code in ["ACCEPTED", "DEPARTURE", "DELIVERY"] {
        all_get(&world, &orders, code);
        each_told(&world, &orders, code).await;
    }
    world.measoft.clear_faults();
    for shop in &world.shops {
        let mut polls: Vec<_> = world.measoft.requests();
        polls.retain(|r| r.account == shop.cabinet && (r.only_last || r.op == "commitlaststatus"));
        assert!(polls.len() >= 6, "{} polls of {}", polls.len(), shop.cabinet);
        for pair in polls.windows(2) {
            assert!(pair[0].finished_at.is_some_and(|end| end <= pair[1].at), "two at once: {pair:?}");
        }
    }
    for order in &orders {
        for code in ["ACCEPTED", "DEPARTURE", "DELIVERY"] {
            assert_eq!(told(&world, order, code), 1, "{code} of {}", order.number);
        }
    }
    world.finish().await;
}
