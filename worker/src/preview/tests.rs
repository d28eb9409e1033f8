//! A preview is what then happens, and nothing of it happens by itself.

use std::sync::Arc;

use shared::domain::{CrmOrderId, OrderNumber};
use shared::measoft::Op;
use shared::store::intents::{OrderRequest, RequestKind};
use shared::store::journal::Search;
use simulators::retailcrm::an_order;

use crate::preview::{Field, Preview, preview};
use crate::testing::World;

async fn look(world: &World, number: &str, asked: Option<RequestKind>) -> Preview {
    let number = OrderNumber::parse(number).expect("a number");
    let integration = world.first().integration;
    preview(&Arc::new((*world.ctx.config).clone()), world.store(), &integration, &number, asked)
        .await
        .expect("a preview")
}

/// The requests of an operation that left, as the journal has them, the newest first.
async fn sent(world: &World, op: Op) -> Vec<String> {
    world.tools.journal.flush().await;
    let all = world.store().search_journal(&Search { limit: 500, ..Search::default() }).await.expect("read");
    let of_op = all.into_iter().filter(|entry| entry.op.as_deref() == Some(op.as_str()));
    of_op.filter_map(|entry| entry.request).collect()
}

/// Everything that is written anywhere, counted.
async fn written(world: &World) -> Vec<i64> {
    world.tools.journal.flush().await;
    let mut all = Vec::new();
    for table in ["deliveries", "past_deliveries", "intents", "order_intents", "dead_letters", "journal", "jobs"] {
        all.push(world.store().db.count(format!("SELECT COUNT(*) AS n FROM {table}"), vec![]).await.expect("counted"));
    }
    let writes = ["neworder", "editorder", "cancelorder"].map(|op| world.courier.count(op));
    let told = ["orders.edit", "payments.create", "tracking"].map(|op| world.crm.count(op));
    all.extend(writes.into_iter().chain(told).map(|count| i64::try_from(count).expect("few")));
    all
}

fn words(preview: &Preview) -> Vec<&str> {
    preview.decisions.iter().map(|decision| decision.outcome.as_str()).collect()
}

#[tokio::test]
async fn what_a_preview_shows_is_what_then_leaves_and_nothing_is_written_by_looking() {
    let world = World::new().await;
    let order = world.crm.add_order(world.account, an_order().number("7001").delivery_type("incity").status("new"));
    let before = written(&world).await;
    let seen = look(&world, "7001", None).await;
    assert_eq!(written(&world).await, before, "looking changes nothing");
    assert_eq!((seen.asked, seen.failures.len(), seen.at_measoft.len()), (Some(RequestKind::Send), 0, 0));
    let [held] = &seen.to_measoft[..] else { panic!("one request: {:?}", seen.to_measoft) };
    assert_eq!((held.op, held.about[0].as_str()), (Op::NewOrder, "7001"));
    assert!(!held.masked.contains("Петрова") && held.plain().contains("Петрова"), "{}", held.masked);
    assert!(!held.plain().contains("pass-demo") && held.plain().contains("[hidden]"), "no credentials");
    world.send(world.id, "7001").await;
    assert_eq!(sent(&world, Op::NewOrder).await, [held.masked.as_str()], "to the letter");

    // As it stands at MeaSoft there is nothing to do.
    let same = look(&world, "7001", None).await;
    assert_eq!((same.asked, words(&same), same.to_measoft.len()), (Some(RequestKind::Update), vec!["already_done"], 0));
    assert_eq!((same.at_measoft.len(), same.differences.len()), (1, 0));

    world.crm.edit(world.account, order, |order| {
        order.set_quantity(0, 5);
        order.adjust_payment();
        order.set_phone("+79160009999");
    });
    let before = written(&world).await;
    let edit = look(&world, "7001", None).await;
    assert_eq!(written(&world).await, before);
    let [held] = &edit.to_measoft[..] else { panic!("one request: {:?}", edit.to_measoft) };
    assert_eq!(held.op, Op::EditOrder);
    let sums = edit.differences.iter().filter(|one| one.field == Field::Sum).count();
    let lines = edit.differences.iter().filter(|one| matches!(one.field, Field::Line(_))).count();
    assert_eq!((sums, lines), (1, 1), "{:?}", edit.differences);
    world.request(world.id, "7001", RequestKind::Update).await;
    world.work(world.id).await;
    assert_eq!(sent(&world, Op::EditOrder).await, [held.masked.as_str()], "to the letter");

    // What has left is cancelled, whatever was asked.
    world.crm.edit(world.account, order, |order| order.set_delivery_type("russian-post"));
    world.request(world.id, "7001", RequestKind::Update).await;
    let waiting = look(&world, "7001", None).await;
    assert_eq!(waiting.asked, None, "what waits is looked at");
    let [held] = &waiting.to_measoft[..] else { panic!("one request: {:?}", words(&waiting)) };
    assert_eq!((held.op, waiting.decisions.len()), (Op::CancelOrder, 1), "{:?}", words(&waiting));
    world
        .until("its parcel is cancelled", async || {
            world.work(world.id).await;
            world.store().backlog_of(world.id).await.expect("read").0 == 0
        })
        .await;
    assert_eq!(sent(&world, Op::CancelOrder).await, [held.masked.as_str()], "to the letter");
}

#[tokio::test]
async fn a_preview_of_what_cannot_be_handed_over_names_the_reason_and_buries_nothing() {
    let world = World::new().await;
    let order = an_order().number("7002").delivery_type("incity").status("new").receiver("Яна", "нет");
    world.crm.add_order(world.account, order);
    let before = written(&world).await;
    let seen = look(&world, "7002", None).await;
    assert_eq!(written(&world).await, before);
    assert_eq!((words(&seen), seen.to_measoft.len()), (vec!["give_up"], 0));
    assert_eq!(seen.failures.iter().map(|dead| dead.reason.as_str()).collect::<Vec<_>>(), ["bad_phone"]);
    assert!(!seen.to_crm.is_empty(), "what the order would show in RetailCRM is kept too");
    let unknown = look(&world, "4711", None).await;
    assert_eq!(unknown.failures.iter().map(|dead| dead.reason.as_str()).collect::<Vec<_>>(), ["order_not_found"]);
}

#[tokio::test]
async fn a_number_that_is_taken_is_seen_by_a_preview_too() {
    let world = World::new().await;
    world.place("7003").await;
    let draft = an_order().number("7003").delivery_type("incity").status("SentMeaSoft").receiver("Яна", "+79160009988");
    let second = world.crm.add_order(world.account, draft);
    let seen = look(&world, "7003", Some(RequestKind::Send)).await;
    let created: Vec<&str> = seen
        .to_measoft
        .iter()
        .filter(|held| held.op == Op::NewOrder)
        .flat_map(|held| held.about.iter().map(|orderno| orderno.as_str()))
        .collect();
    assert_eq!(created, [format!("R{second}").as_str()], "{:?}", seen.failures);
}

#[tokio::test]
async fn a_send_that_waits_by_the_number_is_seen_beside_a_request_of_the_order_s_own() {
    let world = World::new().await;
    let id = world.crm.add_order(world.account, an_order().number("7001").delivery_type("incity").status("new"));
    let now = world.tools.clock.now();
    let number = OrderNumber::parse("7001").expect("a number");
    let of = |order, want| OrderRequest { order, ..OrderRequest::at(now, world.id, number.clone(), want) };
    let requests = [of(None, RequestKind::Send), of(Some(CrmOrderId(id)), RequestKind::Update)];
    world.store().record_requests(&requests).await.expect("recorded");
    let seen = look(&world, "7001", None).await;
    let [held] = &seen.to_measoft[..] else { panic!("one request: {:?}", words(&seen)) };
    assert_eq!((held.op, seen.decisions.len()), (Op::NewOrder, 1));
    world.work(world.id).await;
    assert_eq!(sent(&world, Op::NewOrder).await, [held.masked.as_str()], "to the letter");
}
