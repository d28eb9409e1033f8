//! A shadow beside the integration that it is to replace, with both vendors simulated: what it
//! would do, what it finds, and what becomes of it all when it goes live.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use shared::domain::{CrmOrderId, DeliveryState as S};
use shared::message::{Command, Needless, Outcome};
use shared::store::StoreError;
use shared::store::intents::RequestKind;
use shared::store::shadow_orders::{ShadowOrder, Side, Verdict};
use simulators::measoft::MeasoftSim;
use simulators::predecessor::Predecessor;
use simulators::retailcrm::{OrderBuilder, an_order};

use crate::testing::{CABINET, World};

/// Requests that change something at either vendor, since the world was made.
fn writes(world: &World) -> usize {
    let at_measoft = ["neworder", "editorder", "cancelorder", "commitlaststatus"];
    let changes = ["orders.edit", "tracking", "modules.edit", "payments.create", "payments.edit", "payments.delete"];
    at_measoft.iter().map(|op| world.courier.count(op)).sum::<usize>()
        + changes.iter().map(|op| world.crm.count(op)).sum::<usize>()
}

pub(super) async fn shadow() -> World {
    World::with(|settings| settings.mode = shared::domain::integration::Mode::Shadow).await
}

pub(super) fn predecessor(world: &World) -> Predecessor {
    Predecessor::new(&world.courier, &world.crm, world.account, CABINET, "")
}

/// An order of a chair and a lamp, paid at the door.
pub(super) fn order(number: &str) -> OrderBuilder {
    an_order()
        .number(number)
        .delivery_type("incity")
        .status("SentMeaSoft")
        .item("Стул", 100_000, 2, 2300)
        .item("Лампа", 49_990, 1, 800)
        .delivery_cost(35_000)
        .receiver("Иванова Анна Петровна", "+7 (916) 123-45-67")
        .address("Москва", "ул. Лесная, д. 5")
}

pub(super) const TOTAL: i64 = 2 * 100_000 + 49_990 + 35_000;

pub(super) async fn change(world: &World, change: impl Fn(&mut shared::domain::Settings)) {
    let changed = world.store().change_integration::<StoreError>(world.id, |integration| {
        change(&mut integration.settings);
        Ok(())
    });
    changed.await.expect("changed");
    world.integrations.refresh().await.expect("read");
}

pub(super) async fn go_live(world: &World) {
    change(world, |settings| settings.mode = shared::domain::integration::Mode::Live).await;
}

/// Compares until so many are found so.
pub(super) async fn compared(world: &World) -> BTreeMap<String, ShadowOrder> {
    for _ in 0..2 {
        tokio::time::sleep(crate::order::shadow::pause(&world.tools) * 16).await;
        let done = world.job(Command::CompareShadow {}).await;
        assert!(matches!(done, Outcome::Done(_)), "{done:?}");
    }
    report(world).await
}

pub(super) async fn report(world: &World) -> BTreeMap<String, ShadowOrder> {
    let rows = world.store().shadow_orders_since(Some(world.id), Timestamp::UNIX_EPOCH).await.expect("read");
    rows.into_iter().map(|row| (row.number.clone(), row)).collect()
}

fn creates(courier: &MeasoftSim, orderno: &str) -> u64 {
    u64::from(courier.order(orderno).expect("an order").creates)
}

fn differing(row: &ShadowOrder) -> Vec<(&str, Option<&str>, Option<&str>)> {
    let told = row.content.differences.iter();
    told.map(|one| (one.field.as_str(), one.ours.as_deref(), one.theirs.as_deref())).collect()
}

#[tokio::test]
async fn a_shadow_names_what_differs_and_writes_nothing() {
    let world = shadow().await;
    let (before, theirs) = (writes(&world), predecessor(&world));
    let same = world.crm.add_order(world.account, order("1").payment("cash", TOTAL, "not-paid"));
    // To be paid on the site: the integration before collects it all the same.
    let on_site = world.crm.add_order(world.account, order("2").payment("2", TOTAL, "not-paid"));
    let other_phone = world.crm.add_order(world.account, order("3").payment("cash", TOTAL, "not-paid"));
    for id in [same, on_site] {
        assert!(theirs.send(id));
    }
    assert!(theirs.send_as(other_phone, |order| order["phone"] = "+7 (916) 000-00-00".into()));
    world.crm.add_order(world.account, order("4").payment("cash", TOTAL, "not-paid"));
    let bad = order("5").text("phone", "нет").payment("cash", TOTAL, "not-paid");
    world.crm.add_order(world.account, bad);
    for number in ["1", "2", "3", "4", "5"] {
        world.send(world.id, number).await;
    }
    let found = compared(&world).await;
    let verdicts: Vec<_> = found.values().map(|row| row.verdict).collect();
    let (same, different) = (Verdict::Same, Verdict::Different);
    assert_eq!(verdicts, [same, different, different, Verdict::MissingThere, Verdict::Refused], "{found:#?}");
    assert_eq!(differing(&found["2"]), [("sum", Some("0.00"), Some("2849.90")), ("paytype", Some("NO"), Some("CASH"))]);
    assert_eq!(differing(&found["3"]), [("phone", None, None)], "people are not shown");
    assert_eq!(found["5"].content.refusal.as_ref().map(|why| why.reason.as_str()), Some("bad_phone"));
    assert_eq!(writes(&world), before, "nothing is written");
    assert!(world.dead().await.is_empty(), "what would be refused is no dead letter");
    assert!(!world.store().has_deliveries(world.id).await.expect("read"), "nor is anything in the ledger");
    let kept =
        format!("{:?}", world.store().db.fetch("SELECT content FROM shadow_orders", vec![]).await.expect("read").len());
    assert_eq!(kept, "5");
}

#[tokio::test]
async fn an_order_that_no_trigger_told_of_is_missing_here() {
    let world = shadow().await;
    world.crm.add_order(world.account, order("1").payment("cash", TOTAL, "not-paid"));
    world.send(world.id, "1").await;
    let forgotten = world.crm.add_order(world.account, order("2").payment("cash", TOTAL, "not-paid"));
    assert!(predecessor(&world).send(forgotten));
    // Entered by hand at MeaSoft: RetailCRM does not know it.
    assert!(world.courier.seed_orders(CABINET, 1, "hand-"));
    let found = compared(&world).await;
    assert_eq!(found.get("2").map(|row| row.verdict), Some(Verdict::MissingHere), "{found:#?}");
    assert_eq!(found.len(), 2);
}

#[tokio::test]
async fn a_shadow_lives_through_changes_and_cancels_as_the_other_does() {
    let world = shadow().await;
    let (before, theirs) = (writes(&world), predecessor(&world));
    let id = world.crm.add_order(world.account, order("1").payment("cash", TOTAL, "not-paid"));
    world.request(world.id, "1", RequestKind::Update).await;
    world.work(world.id).await;
    assert!(report(&world).await["1"].content.hash.is_none(), "a change of what was never sent sends nothing");
    assert!(theirs.send(id));
    world.send(world.id, "1").await;
    let first = report(&world).await["1"].clone();
    assert_eq!((first.state, first.verdict), (S::Created, Verdict::Waiting));
    world.send(world.id, "1").await;
    assert_eq!(report(&world).await["1"].content.hash, first.content.hash, "a repeat is the same");
    world.crm.edit(world.account, id, |order| order.set_phone("+7 (916) 555-00-77"));
    world.request(world.id, "1", RequestKind::Update).await;
    world.work(world.id).await;
    let found = compared(&world).await;
    assert_eq!(differing(&found["1"]), [("phone", None, None)], "the other one was not told of the change");
    world.crm.edit(world.account, id, |order| order.set_delivery_type("russian-post"));
    world.request(world.id, "1", RequestKind::Cancel).await;
    world.work(world.id).await;
    assert_eq!(compared(&world).await["1"].verdict, Verdict::Different, "it is there still");
    theirs.cancel("1");
    assert_eq!(compared(&world).await["1"].verdict, Verdict::Same);
    assert_eq!(writes(&world), before);
}

#[tokio::test]
async fn whoever_goes_live_takes_over_what_is_there_and_sends_nothing_twice() {
    let world = shadow().await;
    let theirs = predecessor(&world);
    let id = world.crm.add_order(world.account, order("1").payment("cash", TOTAL, "not-paid"));
    let wrong = world.crm.add_order(world.account, order("2").payment("2", TOTAL, "not-paid"));
    for order in [id, wrong] {
        assert!(theirs.send(order));
    }
    world.send(world.id, "1").await;
    world.send(world.id, "2").await;
    compared(&world).await;
    // Of this one no trigger came while the integration was a shadow.
    let late = world.crm.add_order(world.account, order("3").payment("cash", TOTAL, "not-paid"));
    assert!(theirs.send(late));
    go_live(&world).await;
    assert!(matches!(world.job(Command::CompareShadow {}).await, Outcome::Done(_)));
    world.work(world.id).await;
    for (order, number) in [(id, "1"), (wrong, "2")] {
        let d = world.delivery(order).await;
        assert_eq!((d.state, d.orderno.as_str()), (S::Created, number));
        assert_eq!(world.told(order), ["NEW"], "RetailCRM knows our delivery");
    }
    assert_eq!(world.courier.count("neworder") + world.courier.count("editorder"), 0, "taken over as it is");
    // Triggers go on: what is as it should be stays, what is not is put right, and nothing is doubled.
    for number in ["1", "2", "3"] {
        world.send(world.id, number).await;
    }
    let after: Vec<_> = ["1", "2", "3"].map(|n| world.courier.order(n).expect("there")).into();
    assert_eq!(
        after.iter().map(|o| (o.creates, o.edits, o.price_kopecks)).collect::<Vec<_>>(),
        [(1, 0, TOTAL), (1, 1, 0), (1, 0, TOTAL)]
    );
    assert_eq!(world.courier.orders().len(), 3);
    assert_eq!(world.delivery(late).await.state, S::Created);
    assert!(world.dead().await.is_empty());
    assert!(report(&world).await.values().all(|row| row.side == Side::Live));
}

#[tokio::test]
async fn an_order_of_the_last_moment_that_nobody_placed_is_sent_once_it_is_live() {
    let world = shadow().await;
    let id = world.crm.add_order(world.account, order("1").payment("cash", TOTAL, "not-paid"));
    world.send(world.id, "1").await;
    assert!(world.courier.orders().is_empty());
    go_live(&world).await;
    world.job(Command::CompareShadow {}).await;
    world.work(world.id).await;
    assert_eq!((world.delivery(id).await.state, creates(&world.courier, "1")), (S::Created, 1));
}

#[tokio::test]
async fn a_number_that_the_other_took_at_the_same_moment_is_taken_over() {
    let world = shadow().await;
    let id = world.crm.add_order(world.account, order("1").payment("2", TOTAL, "not-paid"));
    go_live(&world).await;
    // Of today's number MeaSoft is not asked first: it refuses it.
    assert!(predecessor(&world).send(id));
    world.request(world.id, "1", RequestKind::Send).await;
    world.work(world.id).await;
    let there = world.courier.order("1").expect("there");
    assert_eq!((there.creates, there.price_kopecks), (1, 0), "one order, with the sum that is right");
    assert!(world.dead().await.is_empty(), "no conflict with whom we replace");
}

/// Numbers of so many orders, sent while a share of them is live.
async fn sent(world: &World, numbers: std::ops::Range<usize>) {
    for n in numbers {
        let number = format!("C-{n}");
        world.crm.add_order(world.account, order(&number).payment("cash", TOTAL, "not-paid"));
        world.request(world.id, &number, RequestKind::Send).await;
    }
    world.work(world.id).await;
}

#[tokio::test]
async fn a_share_of_the_orders_goes_live_and_none_changes_sides() {
    let world = shadow().await;
    change(&world, |settings| settings.live_share = 10).await;
    sent(&world, 0..200).await;
    let sides = |rows: &BTreeMap<String, ShadowOrder>| -> BTreeMap<String, Side> {
        rows.iter().map(|(number, row)| (number.clone(), row.side)).collect()
    };
    let first = sides(&report(&world).await);
    let live: Vec<&String> = first.iter().filter(|(_, side)| **side == Side::Live).map(|(number, _)| number).collect();
    assert!((10..=32).contains(&live.len()), "{} of 200", live.len());
    let there: Vec<String> = world.courier.orders().into_iter().map(|order| order.orderno).collect();
    assert_eq!(there.len(), live.len());
    assert!(there.iter().all(|number| live.contains(&number)), "those and no others");
    // Taken back, and more than before: what was decided stays.
    for share in [0, 60] {
        change(&world, |settings| settings.live_share = share).await;
        for number in first.keys() {
            world.request(world.id, number, RequestKind::Send).await;
        }
        world.work(world.id).await;
        assert_eq!(sides(&report(&world).await), first);
        assert_eq!(world.courier.orders().len(), live.len());
    }
    // What is live is followed to its end although nothing new is.
    change(&world, |settings| settings.live_share = 0).await;
    let (number, id) =
        (live[0].as_str(), world.store().deliveries_by_number(live[0], None).await.expect("read")[0].crm_order);
    assert!(world.courier.set_status(number, "DELIVERY", world.courier.now()));
    world.job(Command::SyncStatuses {}).await;
    assert_eq!(world.told(id.0), ["NEW", "DELIVERY"]);
    sent(&world, 200..220).await;
    assert_eq!(world.courier.orders().len(), live.len(), "new ones are the shadow's");
    let shadow = first.iter().find(|(_, side)| **side == Side::Shadow).expect("most");
    let row = report(&world).await[shadow.0].clone();
    assert!(
        world.store().delivery_by_order(world.id, row.order.unwrap_or(CrmOrderId(0))).await.expect("read").is_none()
    );
}

#[tokio::test]
async fn orders_of_a_live_delivery_type_go_live() {
    let world = shadow().await;
    change(&world, |settings| {
        settings.delivery_types.push("outcity".to_owned());
        settings.live_delivery_types = vec!["outcity".to_owned()];
    })
    .await;
    let code = world.first().integration.code(&world.tools.module_code);
    world.crm.add_delivery_type(world.account, "outcity", Some(&code), &["cash", "bank-card"]);
    for (number, delivery_type) in [("1", "incity"), ("2", "outcity")] {
        let order = order(number).delivery_type(delivery_type).payment("cash", TOTAL, "not-paid");
        world.crm.add_order(world.account, order);
        world.send(world.id, number).await;
    }
    let there: Vec<String> = world.courier.orders().into_iter().map(|order| order.orderno).collect();
    assert_eq!(there, ["2"]);
}

#[tokio::test]
async fn the_jobs_of_a_shadow_move_no_cursor_and_tell_nothing() {
    let world = shadow().await;
    let before = writes(&world);
    for command in [Command::SyncStatuses {}, Command::Reconcile {}] {
        let outcome = world.job(command).await;
        assert_eq!(outcome, Outcome::Superseded(Needless::InShadow));
    }
    assert_eq!((writes(&world), world.courier.count("statusreq")), (before, 0));
    tokio::time::sleep(Duration::from_millis(1)).await;
}
