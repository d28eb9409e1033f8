//! What people set right for one order, told with both simulators: it is used by sends and changes
//! alike, ends with RetailCRM's own change, and holds whatever dies on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use shared::domain::{CorrectedField as F, CrmOrderId, OrderNumber};
use shared::store::audit::{AuditFilter, Who};
use shared::store::corrections::{Corrected, Correction};
use shared::store::intents::RequestKind;
use shared::store::journal::Search;
use shared::store::steps::{Step, watched};
use simulators::retailcrm::an_order;

use crate::correct::{Corrigible, NotCorrected};
use crate::preview::preview;
use crate::testing::World;

fn anna() -> Who {
    Who::at_machine(Some("Анна".to_owned()), "root".to_owned())
}

async fn read(world: &World, number: &str) -> Result<Corrigible, NotCorrected> {
    let number = OrderNumber::parse(number).expect("a number");
    let active = world.first();
    let instance = active.integration.code(&world.tools.module_code);
    Corrigible::read(world.store(), &active.integration, &active.vendors, &number, &instance).await
}

async fn correct(world: &World, number: &str, given: &[(F, &str)]) -> Result<Corrected, NotCorrected> {
    let order = read(world, number).await?;
    let given: Vec<(F, String)> = given.iter().map(|(field, text)| (*field, (*text).to_owned())).collect();
    order.correct(world.store(), &given, order.version, &anna()).await
}

async fn corrections(world: &World, order: i64) -> Vec<Correction> {
    world.store().corrections(world.id, &[CrmOrderId(order)]).await.expect("read")
}

fn phone(world: &World, number: &str) -> String {
    world.courier.order(number).expect("there").receiver.phone
}

#[tokio::test]
async fn a_correction_is_used_by_changes_and_sends_alike_until_retailcrms_own_value_changes() {
    let world = World::new().await;
    let order = world.place("7001").await;
    let all = [
        (F::Phone, "8 903 765-43-21"),
        (F::Name, "Сидорова Яна"),
        (F::Address, "ул. Новая, 7"),
        (F::Date, "2024-05-20"),
        (F::Window, "12-15"),
        (F::Comment, "звонить за час"),
    ];
    assert_eq!(correct(&world, "7001", &all).await.expect("corrected"), Corrected::Done(1));
    world.work(world.id).await;
    let there = world.courier.order("7001").expect("there");
    let receiver = &there.receiver;
    assert_eq!((receiver.phone.as_str(), receiver.person.as_str()), ("+79037654321", "Сидорова Яна"));
    assert_eq!((receiver.address.as_str(), receiver.date.as_str()), ("ул. Новая, 7", "2024-05-20"));
    assert_eq!((receiver.time_min.as_str(), receiver.time_max.as_str()), ("12:00", "15:00"));
    // A trigger of another change keeps it.
    world.crm.edit(world.account, order, |order| {
        order.set_quantity(0, 5);
        order.adjust_payment();
    });
    world.request(world.id, "7001", RequestKind::Update).await;
    world.work(world.id).await;
    let edits = world.courier.count("editorder");
    assert_eq!((phone(&world, "7001").as_str(), edits), ("+79037654321", 2));
    world.send(world.id, "7001").await;
    assert_eq!(world.courier.count("editorder"), edits, "what is as it should be is let alone");
    // RetailCRM's own phone changes, and only that correction ends.
    world.crm.edit(world.account, order, |order| order.set_phone("+7 916 555-66-77"));
    world.send(world.id, "7001").await;
    assert_eq!(phone(&world, "7001"), "+79165556677");
    let left: Vec<F> = corrections(&world, order).await.into_iter().map(|one| one.field).collect();
    assert_eq!(left, [F::Address, F::Comment, F::Date, F::Name, F::Window]);
    assert_eq!(world.courier.order("7001").expect("there").receiver.person, "Сидорова Яна");
    assert!(world.dead().await.is_empty());
}

#[tokio::test]
async fn an_order_that_was_refused_for_its_phone_leaves_with_the_corrected_one() {
    let world = World::new().await;
    let order = an_order().number("7002").delivery_type("incity").status("SentMeaSoft").receiver("Яна", "нет");
    let order = world.crm.add_order(world.account, order);
    world.send(world.id, "7002").await;
    assert_eq!(world.dead().await.len(), 1);
    assert_eq!(correct(&world, "7002", &[(F::Phone, "+79160001122")]).await.expect("corrected"), Corrected::Done(1));
    let number = OrderNumber::parse("7002").expect("a number");
    let config = Arc::new((*world.ctx.config).clone());
    let seen = preview(&config, world.store(), &world.first().integration, &number, None).await.expect("a preview");
    let [held] = &seen.to_measoft[..] else { panic!("one request: {:?}", seen.to_measoft) };
    assert!(held.plain().contains("+79160001122") && !held.masked.contains("+79160001122"), "{}", held.masked);
    assert_eq!(seen.corrections.iter().map(|one| one.field).collect::<Vec<_>>(), [F::Phone]);
    world.work(world.id).await;
    assert_eq!(phone(&world, "7002"), "+79160001122");
    assert!(world.dead().await.is_empty(), "its letter is answered");
    assert_eq!(corrections(&world, order).await.len(), 1);
    // Nobody reads the phone in what is kept of it.
    let acts = world.store().audit(&AuditFilter { limit: 9, ..AuditFilter::default() }).await.expect("listed");
    let told = acts.iter().find(|act| act.act == "corrected").expect("noted");
    assert!(told.after.contains("изменено") && told.who == "Анна", "{told:?}");
    world.tools.journal.flush().await;
    let journal = world.store().search_journal(&Search { limit: 500, ..Search::default() }).await.expect("read");
    let texts: Vec<String> = journal
        .into_iter()
        .filter(|entry| entry.op.is_none())
        .map(|entry| format!("{} {:?}", entry.text, entry.story))
        .collect();
    assert!(texts.iter().any(|text| text.contains("corrected by Анна: phone")), "{texts:?}");
    assert!(!format!("{acts:?}{texts:?}").contains("9160001122"), "{acts:?}{texts:?}");
}

#[tokio::test]
async fn of_two_who_correct_at_once_the_second_is_told_who_was_first() {
    let world = World::new().await;
    let order = world.place("7001").await;
    let (first, second) = (read(&world, "7001").await.expect("read"), read(&world, "7001").await.expect("read"));
    let given = |text: &str| vec![(F::Phone, text.to_owned())];
    let done = first.correct(world.store(), &given("+79037654321"), first.version, &anna()).await.expect("corrected");
    assert_eq!(done, Corrected::Done(1));
    let boris = Who::at_machine(Some("Борис".to_owned()), "root".to_owned());
    let told = second.correct(world.store(), &given("+79030000000"), second.version, &boris).await.expect("asked");
    assert!(matches!(told, Corrected::Overtaken { ref who, .. } if who == "Анна"), "{told:?}");
    let kept = corrections(&world, order).await;
    assert_eq!((kept.len(), kept[0].values.after.as_str()), (1, "+79037654321"));
    // Once he has seen it, he may.
    assert_eq!(correct(&world, "7001", &[(F::Date, "2024-05-21")]).await.expect("corrected"), Corrected::Done(2));
    world.work(world.id).await;
    assert_eq!(phone(&world, "7001"), "+79037654321");
    // What would change nothing, or cannot be, is told and kept nowhere.
    let same = correct(&world, "7001", &[(F::Phone, "8 (903) 765-43-21")]).await;
    assert!(matches!(same, Err(NotCorrected::Nothing)), "{same:?}");
    let bad = correct(&world, "7001", &[(F::Phone, "позвонить")]).await;
    assert!(matches!(bad, Err(NotCorrected::Refused { field: F::Phone, .. })), "{bad:?}");
    let unknown = correct(&world, "4711", &[(F::Phone, "+79037654321")]).await;
    assert!(matches!(unknown, Err(NotCorrected::NotFound(_))), "{unknown:?}");
    world.crm.add_order(world.account, an_order().number("7001").delivery_type("incity").status("SentMeaSoft"));
    let several = correct(&world, "7001", &[(F::Name, "Яна")]).await;
    assert!(matches!(several, Err(NotCorrected::Several(..))), "{several:?}");
}

/// Runs a task that dies before its n-th step with the database; true: it came to its end.
async fn dying(step: usize, task: impl Future<Output = ()>) -> bool {
    let steps = Arc::new(AtomicUsize::new(0));
    let died = Arc::new(tokio::sync::Notify::new());
    let (count, tell) = (steps.clone(), died.clone());
    let watch = Arc::new(move |_: Step| {
        let (at, tell) = (count.fetch_add(1, Ordering::SeqCst), tell.clone());
        async move {
            if at == step {
                tell.notify_one();
                std::future::pending::<()>().await;
            }
            Ok(())
        }
        .boxed()
    });
    tokio::select! {
        () = watched(watch, task) => true,
        () = died.notified() => false,
    }
}

/// Has a task die before its first step, its second and so on, each time with an order of its own,
/// until it comes to its end; then another goes on. Answers how many steps it has.
async fn dies_at_each_step(
    world: &World,
    prefix: &str,
    begin: impl AsyncFn(&str) -> i64,
    task: impl AsyncFn(&str),
    mut judge: impl AsyncFnMut(&str, i64),
) -> usize {
    for step in 0.. {
        let number = format!("{prefix}{step:03}");
        let order = begin(&number).await;
        let through = dying(step, task(&number)).await;
        // Leases of the dead run out.
        for table in ["intents", "order_intents", "deliveries"] {
            let sql = format!("UPDATE {table} SET lease_until = 0");
            world.store().db.exec(sql, vec![]).await.expect("as time does");
        }
        let idle = async || {
            world.work(world.id).await;
            world.store().backlog_of(world.id).await.expect("read").0 == 0
        };
        world.until(&format!("nothing waits after it died at step {step}"), idle).await;
        judge(&number, order).await;
        if through {
            return step;
        }
    }
    unreachable!("it has an end")
}

/// Where what may still be on its way to MeaSoft is waited for shortly.
async fn hasty() -> World {
    let mut world = World::new().await;
    world.tools.limits.call_limit = Duration::from_millis(100);
    world.tools.limits.unknown_recheck = Duration::from_millis(100);
    world
}

async fn noted(world: &World) -> usize {
    let acts = world.store().audit(&AuditFilter { limit: 999, ..AuditFilter::default() }).await.expect("listed");
    acts.iter().filter(|act| act.act == "corrected").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_correction_is_kept_whole_or_not_at_all_and_reaches_measoft_once_whatever_dies_at_whichever_step() {
    let world = hasty().await;
    let mut kept = 0;
    let correcting = async |number: &str| {
        let done = correct(&world, number, &[(F::Phone, "+79037654321"), (F::Date, "2024-05-20")]).await;
        assert!(matches!(done, Ok(Corrected::Done(1))), "{done:?}");
        world.work(world.id).await;
    };
    let begin = async |number: &str| {
        let order = world.place(number).await;
        world.courier.reset_counters();
        order
    };
    let judge = async |number: &str, order: i64| {
        let there = corrections(&world, order).await;
        assert!([0, 2].contains(&there.len()), "{number}: {there:?}");
        kept += there.len() / 2;
        let expected = if there.is_empty() { "+79160001122" } else { "+79037654321" };
        assert_eq!(phone(&world, number), expected, "{number}");
        // The same edit may be asked for again, when nobody heard its answer.
        let made = world.courier.count("editorder");
        assert!(made <= 3 && (made > 0) == (there.len() == 2), "{number}: {made} edits");
        assert_eq!(world.courier.count("neworder"), 0, "{number}");
    };
    let steps = dies_at_each_step(&world, "8", begin, correcting, judge).await;
    assert!(world.dead().await.is_empty());
    assert!(steps > 20 && kept > 10, "{steps} steps, kept at {kept}");
    assert_eq!(noted(&world).await, kept, "with each its note");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_order_that_is_corrected_leaves_once_or_keeps_its_letter_whatever_dies_at_whichever_step() {
    let world = hasty().await;
    let (mut kept, mut letters) = (0, 0);
    let begin = async |number: &str| {
        let order = an_order().number(number).delivery_type("incity").status("SentMeaSoft").receiver("Яна", "нет");
        let order = world.crm.add_order(world.account, order);
        world.send(world.id, number).await;
        order
    };
    let correcting = async |number: &str| {
        let done = correct(&world, number, &[(F::Phone, "+79037654321")]).await;
        assert!(matches!(done, Ok(Corrected::Done(1))), "{done:?}");
        world.work(world.id).await;
    };
    let judge = async |number: &str, order: i64| {
        let there = corrections(&world, order).await;
        kept += there.len();
        let dead = world.dead().await.len();
        let (is_open, creates) = (dead > letters, world.courier.effects().get(number).map_or(0, |one| one.creates));
        letters = dead;
        assert_eq!((is_open, creates), (there.is_empty(), u32::from(!there.is_empty())), "{number}");
        if !there.is_empty() {
            assert_eq!(phone(&world, number), "+79037654321", "{number}");
        }
    };
    let steps = dies_at_each_step(&world, "6", begin, correcting, judge).await;
    assert!(steps > 20 && kept > 10, "{steps} steps, kept at {kept}");
    assert_eq!(noted(&world).await, kept, "with each its note");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_correction_yields_to_retailcrms_own_change_whatever_dies_at_whichever_step() {
    let world = hasty().await;
    let begin = async |number: &str| {
        let order = world.place(number).await;
        let given = [(F::Phone, "+79037654321"), (F::Name, "Сидорова Яна")];
        assert_eq!(correct(&world, number, &given).await.expect("corrected"), Corrected::Done(1));
        world.work(world.id).await;
        assert_eq!(phone(&world, number), "+79037654321");
        world.crm.edit(world.account, order, |order| order.set_phone("+7 916 555-66-77"));
        world.request(world.id, number, RequestKind::Update).await;
        order
    };
    let judge = async |number: &str, order: i64| {
        let left: Vec<F> = corrections(&world, order).await.into_iter().map(|one| one.field).collect();
        assert_eq!(left, [F::Name], "{number}: the other one holds");
        let there = world.courier.order(number).expect("there").receiver;
        assert_eq!((there.phone.as_str(), there.person.as_str()), ("+79165556677", "Сидорова Яна"), "{number}");
        assert_eq!(world.courier.effects()[number].creates, 1, "{number}");
    };
    let working = async |_: &str| world.work(world.id).await;
    let steps = dies_at_each_step(&world, "9", begin, working, judge).await;
    assert!(steps > 10, "{steps} steps");
    assert!(world.dead().await.is_empty());
}
