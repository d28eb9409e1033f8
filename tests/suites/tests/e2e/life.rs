//! What becomes of an order after it was sent: changes, cancels, moves, refusals and what
//! mends them.

use harness::{Collect, LONG, Placed, World, a_parcel, eventually};
use serde_json::Value;
use simulators::measoft::{FaultAction, FaultRule};
use simulators::retailcrm::TriggerKind::{Cancel, Send, Update};

/// Fires and waits until it is served.
async fn sent(world: &World, order: &Placed) {
    world.fires(Send, order).await;
    world.settled("the send is served").await;
}

fn at_measoft(world: &World, orderno: &str) -> simulators::measoft::Order {
    world.measoft.order(orderno).unwrap_or_else(|| panic!("MeaSoft has no {orderno}"))
}

fn edit(world: &World, order: &Placed, change: impl FnOnce(&mut simulators::retailcrm::OrderDraft)) {
    assert!(world.crm.edit(world.shops[order.shop].account, order.id, change), "the order is there");
}

/// The one dead letter of the story, in the documented shape.
async fn the_dead_letter(world: &World, order: &Placed) -> Value {
    let found = world.dead_letters().await;
    assert_eq!(found.len(), 1, "{found:?}");
    let dead = found[0].clone();
    assert_eq!(
        (&dead["integration"], &dead["order"]),
        (&world.shops[order.shop].integration.into(), &order.number.as_str().into())
    );
    assert_eq!((&dead["state"], &dead["attempts"]), (&"open".into(), &1.into()), "{dead}");
    assert!(dead["id"].is_i64(), "{dead}");
    for field in ["text", "next_step"] {
        assert!(dead[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {dead}");
    }
    let created = dead["created_at"].as_str().unwrap_or_default();
    assert!(created.parse::<jiff::Timestamp>().is_ok(), "created_at: {dead}");
    dead
}

fn why(dead: &Value) -> (&str, &str, &str) {
    let text = |name: &str| dead[name].as_str().unwrap_or_default();
    (text("kind"), text("fault"), text("reason"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mended_phone_sends_the_refused_order() {
    let world = World::embedded("life-phone").start().await;
    let (builder, collect) = a_parcel(1, "1001C", "incity", Collect::Cash);
    let order = world.place_as(0, "1001C", builder.text("phone", "нет"), collect);
    sent(&world, &order).await;
    let dead = the_dead_letter(&world, &order).await;
    assert_eq!(why(&dead), ("SendOrder", "shop", "bad_phone"));
    assert!(dead["text"].as_str().is_some_and(|text| text.contains("field [receiver phone]")), "{dead}");
    assert!(world.measoft.orders().is_empty());
    let shown = world.crm.tracking(world.shops[0].account, order.id);
    let comment = shown.last().and_then(|entry| entry.comment.as_deref()).unwrap_or_default();
    let (what, next_step) = comment.rsplit_once("; ").expect("the manager sees what is wrong and what to do");
    assert!(what.contains("field [receiver phone]") && next_step.contains("Укажите в заказе телефон"), "{comment}");
    let fields = extra(&world, &order);
    assert_eq!((&fields["deliveryError"], &fields["nextStep"]), (&what.into(), &next_step.into()));

    edit(&world, &order, |order| order.set_phone("+7 (916) 555-00-77"));
    world.fires(Update, &order).await;
    world.settled("the mended order is placed").await;
    assert_eq!(at_measoft(&world, "A-1001C").price_kopecks, collect);
    assert!(world.dead_letters().await.is_empty(), "a later success closes it");
    assert_eq!(extra(&world, &order).get("deliveryError"), None, "and takes the error off the order");
    let all = world.bridge(&["dead", "list", "--all", "--json"]).await.json();
    assert_eq!(all[0]["state"], "resolved");
    world.finish().await;
}

/// What the order's delivery block shows beside the status.
fn extra(world: &World, order: &Placed) -> Value {
    let order = world.crm.order(world.shops[order.shop].account, order.id).expect("the order is there");
    order["delivery"]["data"]["extraData"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_shows_who_carries_it_when_it_comes_and_who_took_it() {
    let world = World::embedded("life-fields").set("SYNC_INTERVAL_S", "1").start().await;
    let order = world.place(0, 4, Collect::Cash);
    sent(&world, &order).await;
    let name = at_measoft(&world, &world.orderno(&order)).receiver.person;
    for code in ["DELIVERY", "COMPLETE"] {
        assert!(world.measoft.set_status(&world.orderno(&order), code, world.measoft.now()));
        eventually(code, LONG, || async {
            let told = world.crm.tracking(world.shops[0].account, order.id);
            if told.last().is_some_and(|entry| entry.code == code) { Ok(()) } else { Err(format!("{told:?}")) }
        })
        .await;
        let fields = extra(&world, &order);
        assert_eq!(fields["courier"], "Петров Сергей", "{fields}");
        assert!(fields["plannedDate"].as_str().is_some_and(|date| date.split('.').count() == 3), "{fields}");
        let taken_by = if code == "COMPLETE" { Value::from(&*name) } else { Value::Null };
        assert_eq!(fields.get("deliveredTo").cloned().unwrap_or_default(), taken_by, "{fields}");
    }
    world.settled("all is told").await;
    for sql in ["SELECT content FROM status_batches", "SELECT facts FROM status_rows", "SELECT * FROM tracking_outbox"]
    {
        let kept = format!("{:?}", world.ledger.rows(sql).await.expect("rows"));
        assert!(!kept.contains("Петров") && !kept.contains(&name), "names are sealed on their way: {sql}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_while_new_changes_the_order_once() {
    let world = World::embedded("life-edit").start().await;
    let order = world.place(0, 2, Collect::Cash);
    sent(&world, &order).await;
    edit(&world, &order, |order| {
        order.set_address("Москва", "Потаённая ул., д. 99");
        order.set_delivery_cost(40_000);
        order.remove_payments();
    });
    let total = order.collect - (35_000 + 2 * 50) + 40_000;
    edit(&world, &order, |order| order.add_payment("cash", total, "not-paid"));
    world.fires(Update, &order).await;
    world.settled("the change has arrived").await;
    let there = at_measoft(&world, &world.orderno(&order));
    assert!(there.receiver.address.contains("д. 99"));
    assert_eq!((there.price_kopecks, there.edits, there.creates), (total, 1, 1));
    // A repeat finds nothing to do.
    world.fires(Update, &order).await;
    world.fires(Send, &order).await;
    world.settled("the repeats are served").await;
    assert_eq!(at_measoft(&world, &world.orderno(&order)).edits, 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_comes_too_late_is_the_shops_dead_letter() {
    let world = World::embedded("life-too-late").start().await;
    let order = world.place(0, 3, Collect::Cash);
    sent(&world, &order).await;
    let orderno = world.orderno(&order);
    assert!(world.measoft.set_status(&orderno, "ACCEPTED", world.measoft.now()));
    edit(&world, &order, |order| order.set_address("Москва", "Потаённая ул., д. 100"));
    world.fires(Update, &order).await;
    world.settled("the change was refused").await;
    let dead = the_dead_letter(&world, &order).await;
    assert_eq!(why(&dead), ("UpdateOrder", "shop", "too_late"));
    assert_eq!(at_measoft(&world, &orderno).edits, 0);
    world.expect_dead_letter(&order.number, "too_late");

    // A cancel comes too late as well.
    edit(&world, &order, |order| order.set_delivery_type("russian-post"));
    world.fires(Cancel, &order).await;
    world.settled("the cancel was refused").await;
    assert_eq!((at_measoft(&world, &orderno).status.as_str(), at_measoft(&world, &orderno).cancels), ("ACCEPTED", 0));
    let found = world.dead_letters().await;
    assert!(found.iter().any(|dead| why(dead) == ("CancelOrder", "shop", "too_late")), "{found:?}");
    world.expect_dead_letter(&order.number, "too_late");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_order_that_comes_back_gets_a_new_number() {
    let world = World::embedded("life-cancel").start().await;
    let order = world.place(0, 4, Collect::Cash);
    sent(&world, &order).await;
    let orderno = world.orderno(&order);
    edit(&world, &order, |order| order.set_delivery_type("russian-post"));
    world.fires(Cancel, &order).await;
    world.fires(Cancel, &order).await;
    world.settled("the cancel has arrived").await;
    let there = at_measoft(&world, &orderno);
    assert_eq!((there.status.as_str(), there.cancels), ("CANCELED", 1));

    edit(&world, &order, |order| order.set_delivery_type("incity"));
    sent(&world, &order).await;
    let again = at_measoft(&world, &format!("{orderno}-2"));
    assert_eq!(again.price_kopecks, order.collect);
    assert_ne!(again.status, "CANCELED");
    assert_eq!(world.measoft.orders().len(), 2);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_moves_between_our_integrations_is_at_the_new_one_only() {
    let world = World::scaled("life-move").start().await;
    let orders: Vec<Placed> = (0..6).map(|n| world.place(0, n, Collect::nth(n))).collect();
    for order in &orders {
        world.fires(Send, order).await;
    }
    world.settled("all are placed").await;
    for (n, order) in orders.iter().enumerate() {
        edit(&world, order, |order| order.set_delivery_type("outcity"));
        let moved = Placed { shop: 1, ..order.clone() };
        // RetailCRM fires both; which one is first is nobody's promise.
        let kinds = if n % 2 == 0 { [(Cancel, order), (Send, &moved)] } else { [(Send, &moved), (Cancel, order)] };
        for (kind, order) in kinds {
            world.fires(kind, order).await;
        }
    }
    world.settled("all have moved").await;
    for order in &orders {
        assert_eq!(at_measoft(&world, &world.orderno(order)).status, "CANCELED", "{}", order.number);
        let there = at_measoft(&world, &order.number);
        assert_eq!((there.account.as_str(), there.price_kopecks), (world.shops[1].cabinet.as_str(), order.collect));
        assert_ne!(there.status, "CANCELED", "{}", order.number);
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_beats_a_send_that_still_waits() {
    let world = World::embedded("life-overtaken").start().await;
    let order = world.place(0, 5, Collect::Cash);
    let id = world.shops[0].integration.to_string();
    assert_eq!(world.bridge(&["integration", "pause", &id]).await.code, 0);
    world.fires(Send, &order).await;
    edit(&world, &order, |order| order.set_delivery_type("russian-post"));
    world.fires(Cancel, &order).await;
    assert_eq!(world.bridge(&["integration", "resume", &id]).await.code, 0);
    world.settled("both are served").await;
    assert!(world.measoft.orders().is_empty(), "nothing was sent");
    assert_eq!(world.measoft.count("neworder"), 0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_pauses_the_integration_until_it_is_corrected() {
    let world = World::embedded("life-password").start().await;
    let (first, other) = (world.place(0, 6, Collect::Cash), world.place(1, 7, Collect::Paid));
    let id = world.shops[0].integration.to_string();
    let new = format!("changed-{}", uuid::Uuid::new_v4().simple());
    world.secrets.plant("MeaSoft's new password", &new);
    assert!(world.measoft.update_account(&world.shops[0].cabinet, |account| account.pass.clone_from(&new)));
    world.fires(Send, &first).await;
    world.fires(Send, &other).await;
    let shown = eventually("the integration is paused", LONG, || async {
        let shown = world.bridge(&["integration", "show", &id, "--json"]).await.json();
        if shown["state"] == "paused" { Ok(shown) } else { Err(shown["state"].to_string()) }
    })
    .await;
    assert!(shown["paused_reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{shown}");
    // Triggers are accepted and wait; the other integration works on.
    world.fires(Send, &first).await;
    eventually("the other shop's order is placed", LONG, || async {
        world.measoft.order(&world.orderno(&other)).map(|_| ()).ok_or_else(|| "not yet".to_owned())
    })
    .await;
    assert!(world.measoft.order(&world.orderno(&first)).is_none());
    assert!(world.dead_letters().await.is_empty(), "it waits, it has not failed");

    let corrected = world.bridge_with(&["integration", "edit", &id, "--password-stdin", "--json"], &new).await;
    assert_eq!(corrected.code, 0, "{}", corrected.stderr);
    world.settled("the waiting order is placed").await;
    assert_eq!(at_measoft(&world, &world.orderno(&first)).price_kopecks, first.collect);
    let shown = world.bridge(&["integration", "show", &id, "--json"]).await.json();
    assert_eq!(shown["state"], "active");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_dead_letter_is_tried_again() {
    let world = World::scaled("life-replay").start().await;
    let (builder, collect) = a_parcel(8, "1008A", "incity", Collect::Cash);
    let order = world.place_as(0, "1008A", builder.no_payments().payment("cash", collect - 1, "not-paid"), collect);
    sent(&world, &order).await;
    let dead = the_dead_letter(&world, &order).await;
    assert_eq!(why(&dead), ("SendOrder", "shop", "sum_mismatch"));
    assert!(world.measoft.orders().is_empty(), "no sum is guessed");
    let account = world.shops[0].account;
    edit(&world, &order, |order| order.remove_payments());
    edit(&world, &order, |order| order.add_payment("cash", collect, "not-paid"));
    assert_eq!(world.crm.payments(account, order.id).len(), 1);

    let id = dead["id"].to_string();
    let replayed = world.bridge(&["dead", "replay", &id, "--json"]).await.json();
    assert_eq!(replayed["replayed"][0], dead["id"]);
    eventually("the replayed order is placed", LONG, || async {
        world.measoft.order("A-1008A").map(|_| ()).ok_or_else(|| "not yet".to_owned())
    })
    .await;
    world.settled("the replay is served").await;
    assert_eq!(at_measoft(&world, "A-1008A").price_kopecks, collect);
    assert!(world.dead_letters().await.is_empty());
    let all = world.bridge(&["dead", "list", "--all", "--json"]).await.json();
    assert_eq!(all[0]["state"], "replayed");
    let twice = world.bridge(&["dead", "replay", &id]).await;
    assert_eq!(twice.code, 1, "a closed one is not tried again: {}", twice.stdout);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_at_every_moment_of_a_lost_answer_ends_in_what_was_saved_last() {
    let world = World::embedded("life-saves").start().await;
    world.measoft.set_faults(vec![
        FaultRule::new(FaultAction::DelayBefore { ms: 120 }).op("neworder"),
        FaultRule::new(FaultAction::FailAfter).op("neworder").first(1),
        FaultRule::new(FaultAction::FailAfter).op("editorder").first(1),
    ]);
    let order = world.place(0, 9, Collect::Paid);
    for house in 101..=106 {
        edit(&world, &order, |order| order.set_address("Москва", &format!("Потаённая ул., д. {house}")));
        world.fires(if house == 101 { Send } else { Update }, &order).await;
        let seen = world.measoft.requests().len();
        eventually("the courier is asked something", LONG, || async {
            let (waiting, _) = world.ledger.waiting().await.map_err(|error| format!("{error:#}"))?;
            if world.measoft.requests().len() > seen || waiting == 0 { Ok(()) } else { Err("nothing".to_owned()) }
        })
        .await;
    }
    world.settled("all saves are served").await;
    let there = at_measoft(&world, &world.orderno(&order));
    assert!(there.receiver.address.contains("д. 106"));
    assert_eq!(there.creates, 1);
    world.finish().await;
}
