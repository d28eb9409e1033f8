//! What the integration before left, once a shadow goes live: whose it is, and who acts on what was
//! asked for meanwhile.

use std::time::Duration;

use jiff::{Timestamp, ToSpan};
use shared::domain::{CrmOrderId, DeliveryState as S};
use shared::message::{Command, Needless, Outcome};
use shared::store::intents::RequestKind;
use shared::store::shadow_orders::{ShadowOrder, Side, Verdict};

use crate::callbacks::save;
use crate::shadow::stories::{TOTAL, change, compared, go_live, order, predecessor, report, shadow};
use crate::stories::identity::{dead_reasons, meanwhile, request, save_of};
use crate::testing::World;

/// An order in RetailCRM, and at MeaSoft by the integration before.
fn placed(world: &World, number: &str) -> i64 {
    let id = world.crm.add_order(world.account, order(number).payment("cash", TOTAL, "not-paid"));
    assert!(predecessor(world).send(id));
    id
}

async fn take_over(world: &World) {
    let done = world.job(Command::CompareShadow {}).await;
    assert!(matches!(done, Outcome::Done(_)), "{done:?}");
}

async fn keep(world: &World, row: ShadowOrder) {
    world.store().keep_shadow_orders(&[row]).await.expect("kept");
}

async fn left(world: &World) -> usize {
    world.store().left_in_shadow(world.id, world.tools.clock.now(), 100).await.expect("read").len()
}

/// Requests that place or change an order at MeaSoft.
fn writes(world: &World) -> usize {
    ["neworder", "editorder", "cancelorder"].iter().map(|op| world.courier.count(op)).sum::<usize>()
}

async fn walk(world: &World) {
    world.job(Command::Reconcile {}).await;
    world.run_published().await;
    world.work(world.id).await;
}

#[tokio::test]
async fn the_history_of_the_time_as_a_shadow_is_not_walked() {
    let world = shadow().await;
    change(&world, |settings| settings.send_statuses = vec!["SentMeaSoft".to_owned()]).await;
    let theirs = predecessor(&world);
    let (same, wrong) =
        (placed(&world, "1"), world.crm.add_order(world.account, order("2").payment("2", TOTAL, "not-paid")));
    assert!(theirs.send(wrong));
    // Of this one no trigger came, and whether it is at MeaSoft nobody knows.
    let unheard = world.crm.add_order(world.account, order("3").payment("cash", TOTAL, "not-paid"));
    world.send(world.id, "1").await;
    world.send(world.id, "2").await;
    compared(&world).await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    go_live(&world).await;
    take_over(&world).await;
    world.work(world.id).await;
    assert!(world.delivery(wrong).await.sent_hash.is_none(), "as it is, which is not as it would be");
    walk(&world).await;
    assert_eq!(writes(&world), 0, "nothing of that time is made good");
    assert!(world.store().delivery_by_order(world.id, CrmOrderId(unheard)).await.expect("read").is_none());
    // What is missed later is.
    world.crm.edit(world.account, same, |order| order.set_phone("+7 (916) 555-00-77"));
    tokio::time::sleep(Duration::from_millis(1100)).await;
    walk(&world).await;
    assert_eq!((writes(&world), world.courier.count("editorder")), (1, 1));
}

#[tokio::test]
async fn what_the_other_integration_cancelled_is_placed_anew_by_a_send() {
    let world = shadow().await;
    let known = placed(&world, "1");
    world.send(world.id, "1").await;
    let unheard = placed(&world, "2");
    let theirs = predecessor(&world);
    theirs.cancel("1");
    theirs.cancel("2");
    go_live(&world).await;
    let statuses = world.job(Command::SyncStatuses {}).await;
    assert_eq!(statuses, Outcome::Superseded(Needless::InShadow), "they wait for the ledger's rows");
    take_over(&world).await;
    assert_ne!(world.job(Command::SyncStatuses {}).await, Outcome::Superseded(Needless::InShadow));
    let d = world.delivery(known).await;
    assert_eq!((d.state, d.cancelled_by_us), (S::Cancelled, true));
    for number in ["1", "2"] {
        world.send(world.id, number).await;
    }
    for (id, number) in [(known, "1-2"), (unheard, "2-2")] {
        let d = world.delivery(id).await;
        assert_eq!((d.state, d.orderno.as_str()), (S::Created, number));
        assert_eq!(world.courier.order(number).expect("there").status, "NEW");
    }
    assert_eq!(dead_reasons(&world).await, [""; 0]);
}

#[tokio::test]
async fn of_two_orders_with_one_number_the_one_whose_phone_it_is_gets_the_parcel() {
    let world = shadow().await;
    let (first, second) = (placed(&world, "1"), placed(&world, "2"));
    world.send(world.id, "1").await;
    world.send(world.id, "2").await;
    let known = report(&world).await;
    let other = |number: &str, id: i64, phone: Option<&str>| {
        let mut row = ShadowOrder { order: Some(CrmOrderId(id)), ..known[number].clone() };
        let phone = phone.map(|phone| world.store().key.blind(phone));
        row.content.figures.extend(phone.map(|phone| ("phone".to_owned(), phone)));
        // Before all the others.
        ShadowOrder { decided_at: row.decided_at - 1.minutes(), ..row }
    };
    keep(&world, other("1", 90_001, Some("+79160000000"))).await;
    go_live(&world).await;
    take_over(&world).await;
    assert_eq!((left(&world).await, world.delivery(first).await.orderno.as_str()), (0, "1"));
    assert!(world.store().delivery_by_order(world.id, CrmOrderId(90_001)).await.expect("read").is_none());
    assert_eq!(world.delivery(second).await.state, S::Created);
    assert_eq!(dead_reasons(&world).await, [""; 0]);
    // Whose it is cannot be told, or it is another's in the ledger: a person is, and the rest goes on.
    let third = placed(&world, "3");
    let row = ShadowOrder { orderno: Some("3".to_owned()), ..other("1", third, None) };
    for id in [90_002, 90_003] {
        keep(&world, ShadowOrder { orderno: Some("2".to_owned()), ..other("2", id, None) }).await;
    }
    keep(&world, ShadowOrder { number: "3".to_owned(), decided_at: world.tools.clock.now(), ..row }).await;
    take_over(&world).await;
    assert_eq!(dead_reasons(&world).await, ["conflict", "conflict"]);
    assert_eq!((left(&world).await, world.delivery(third).await.state), (0, S::Created));
    assert_eq!(writes(&world), 0);
}

#[tokio::test]
async fn a_number_that_is_anothers_in_the_ledger_stops_nobody() {
    let world = shadow().await;
    let second = placed(&world, "2");
    world.send(world.id, "2").await;
    go_live(&world).await;
    let live = world.place("1").await;
    let row = report(&world).await["2"].clone();
    let orderno = Some("1".to_owned());
    let taken = ShadowOrder { order: Some(CrmOrderId(90_001)), orderno, number: "1".to_owned(), ..row.clone() };
    keep(&world, ShadowOrder { decided_at: row.decided_at - 1.minutes(), ..taken }).await;
    take_over(&world).await;
    assert_eq!(dead_reasons(&world).await, ["conflict"]);
    assert_eq!((left(&world).await, world.delivery(second).await.state), (0, S::Created));
    assert_eq!(world.delivery(live).await.orderno.as_str(), "1");
}

#[tokio::test]
async fn what_was_asked_for_in_the_hand_over_is_done_and_what_is_older_stays() {
    let world = shadow().await;
    let ids: Vec<i64> = ["1", "2", "3"].map(|number| placed(&world, number)).into();
    for number in ["1", "2", "3"] {
        world.send(world.id, number).await;
    }
    let known = report(&world).await;
    for id in ids {
        world.crm.edit(world.account, id, |order| order.set_phone("+7 (916) 555-00-77"));
    }
    go_live(&world).await;
    let changed = |number: &str, decided_at: Timestamp| {
        let mut row = known[number].clone();
        row.content.figures.insert("phone".to_owned(), world.store().key.blind("+79165550077"));
        ShadowOrder { verdict: Verdict::Waiting, due_at: Some(decided_at), decided_at, ..row }
    };
    let now = world.tools.clock.now();
    keep(&world, changed("1", now)).await;
    keep(&world, changed("3", now - 1.hours())).await;
    take_over(&world).await;
    // Of one that was moved in already a worker with the old picture decides.
    assert_eq!(report(&world).await["2"].side, Side::Live);
    keep(&world, changed("2", world.tools.clock.now())).await;
    take_over(&world).await;
    assert_eq!(left(&world).await, 0);
    tokio::time::sleep(Duration::from_millis(5)).await;
    world.work(world.id).await;
    let changed = ["1", "2", "3"].map(|number| {
        let there = world.courier.order(number).expect("there");
        let phone: String = there.receiver.phone.chars().filter(char::is_ascii_digit).collect();
        (there.creates, there.edits, phone.ends_with("9165550077"))
    });
    assert_eq!(changed, [(1, 1, true), (1, 1, true), (1, 0, false)]);
    assert_eq!(dead_reasons(&world).await, [""; 0]);
}

#[tokio::test]
async fn an_order_of_today_is_sent_without_a_look_and_an_older_one_is_looked_up() {
    let world = shadow().await;
    go_live(&world).await;
    let asked = || world.courier.count("statusreq");
    let before = asked();
    world.place("1").await;
    assert_eq!((asked() - before, world.courier.count("neworder")), (0, 1));
    world.place_as(world.id, "2", |order| order.created_at("2024-05-16 10:00:00")).await;
    assert_eq!((asked() - before, world.courier.count("neworder")), (1, 2));
    world.request(world.id, "2", RequestKind::Update).await;
    world.work(world.id).await;
    assert_eq!(asked() - before, 1, "what is ours is known");
}

#[tokio::test]
async fn a_save_of_a_shadow_is_taken_of_what_goes_live_only() {
    let world = shadow().await;
    change(&world, |settings| {
        settings.delivery_types.push("outcity".to_owned());
        settings.live_delivery_types = vec!["outcity".to_owned()];
    })
    .await;
    let code = world.first().integration.code(&world.tools.module_code);
    world.crm.add_delivery_type(world.account, "outcity", Some(&code), &["cash", "bank-card"]);
    let (hints, _kept) = tokio::sync::mpsc::channel(8);
    let context = crate::callbacks::rpc::context(&world.ctx, world.tools.clone(), world.integrations.clone(), hints);
    let made = |number: &str, kind: &str| {
        let order = order(number).delivery_type(kind).payment("cash", TOTAL, "not-paid");
        world.crm.add_order(world.account, order)
    };
    let (theirs, ours) = (made("1", "incity"), made("2", "outcity"));
    for _ in 0..2 {
        let saved = save::save(&context, &request(&world, save_of(theirs, "1"))).await;
        assert_eq!(saved.err().map(|refusal| refusal.label), Some("in_shadow"));
    }
    assert!(!world.store().has_deliveries(world.id).await.expect("read"));
    assert!(meanwhile(&world, save::save(&context, &request(&world, save_of(ours, "2")))).await.is_ok());
    let sides = report(&world).await;
    assert_eq!((sides["1"].side, sides["2"].side), (Side::Shadow, Side::Live));
    let there: Vec<String> = world.courier.orders().into_iter().map(|order| order.orderno).collect();
    assert_eq!(there, ["2"]);
}
