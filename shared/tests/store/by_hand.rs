//! What a person does about what waits and what gave up.

use shared::domain::{Fault, IntegrationId};
use shared::message::RetryWhy;
use shared::store::audit::{AuditFilter, Who};
use shared::store::dead_letters::{DeadFilter, DeadState};
use shared::store::intents::{Leave, RequestKind};
use shared::store::journal::Search;
use shared::store::last_day::HOURS;
use shared::store::waiting_orders::{Dropped, WaitingFilter, WaitingOrder};
use shared::store::waits::{Stand, Work};

use crate::bench::{Bench, dead, request};

fn anna() -> Who {
    Who::at_console("Анна", None)
}

async fn waiting(bench: &Bench, integration: IntegrationId) -> Vec<WaitingOrder> {
    let filter = WaitingFilter { integration: Some(integration), limit: 50, ..WaitingFilter::default() };
    bench.store.waiting_orders(&filter).await.expect("listed")
}

async fn acts(bench: &Bench) -> usize {
    bench.store.audit(&AuditFilter { limit: 50, ..AuditFilter::default() }).await.expect("listed").len()
}

/// An order that was tried and put off for a while.
async fn put_off(bench: &Bench, integration: IntegrationId, number: &str, seconds: i64) {
    bench.want(integration, number, RequestKind::Send).await;
    let held = bench.claim_one(integration, "worker").await;
    let (why, due_at, spent) = (RetryWhy::CourierUnavailable, bench.after(seconds), std::time::Duration::ZERO);
    assert!(bench.leave(&held, Leave::Wait { why, due_at, attempt: 1, rereads: 0, spent }).await);
}

async fn orders_that_wait_are_listed_oldest_first_a_page_at_a_time(bench: &Bench) {
    let id = bench.integration("").await.id;
    let other = bench.integration("X").await.id;
    put_off(bench, id, "1", 300).await;
    bench.pass(5);
    let by_id = shared::domain::CrmOrderId(77);
    bench
        .record(shared::store::intents::OrderRequest {
            order: Some(by_id),
            ..request(bench, id, "2", RequestKind::Send)
        })
        .await;
    bench.want(id, "3", RequestKind::Send).await;
    bench.want(other, "4", RequestKind::Send).await;
    let all = waiting(bench, id).await;
    let told: Vec<_> = all.iter().map(|one| (one.number.as_str(), one.stand, one.why, one.order)).collect();
    assert_eq!(
        told,
        [
            ("1", Stand::Later, Some(RetryWhy::CourierUnavailable), None),
            ("3", Stand::Due, None, None),
            ("2", Stand::Due, None, Some(by_id)),
        ]
    );
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let filter = WaitingFilter { integration: None, after, limit: 1 };
        let Some(one) = bench.store.waiting_orders(&filter).await.expect("listed").pop() else { break };
        after = Some((one.since, one.key));
        seen.push(one.number);
    }
    assert_eq!(seen, ["1", "3", "4", "2"], "each once");
    let of_number = async |number: &str, only| {
        let found = bench.store.waiting_by_number(number, only).await.expect("listed");
        found.iter().map(|one| (one.integration, one.tried)).collect::<Vec<_>>()
    };
    assert_eq!(of_number("1", None).await, [(id, true)]);
    assert_eq!(of_number("2", Some(id)).await, [(id, false)]);
    assert_eq!((of_number("2", Some(other)).await, of_number("none", None).await), (Vec::new(), Vec::new()));
}

async fn what_is_put_off_is_made_due_and_nothing_else(bench: &Bench) {
    let (id, other) = (bench.integration("").await.id, bench.integration("X").await.id);
    for number in ["1", "2"] {
        put_off(bench, id, number, 300).await;
    }
    put_off(bench, other, "3", 300).await;
    let before = acts(bench).await;
    let first = waiting(bench, id).await[0].clone();
    assert_eq!(bench.store.hurry(Work::Orders, id, Some(first.key), &anna()).await.expect("done"), 1);
    assert_eq!(bench.store.hurry(Work::Orders, id, Some(first.key), &anna()).await.expect("done"), 0, "it is due");
    assert_eq!(bench.claim(id, "worker").await.len(), 1);
    assert_eq!(bench.store.hurry(Work::Orders, id, None, &anna()).await.expect("done"), 1, "the one in hand is left");
    assert_eq!(bench.store.hurry(Work::Payments, id, None, &anna()).await.expect("done"), 0);
    assert!(waiting(bench, other).await.iter().all(|one| one.due > bench.now()), "others are not meant");
    assert_eq!(acts(bench).await - before, 2, "what changed nothing is no act");
}

async fn a_request_is_dropped_only_as_it_was_seen_and_only_where_nothing_is_under_way(bench: &Bench) {
    let id = bench.integration("").await.id;
    put_off(bench, id, "1", 300).await;
    let seen = waiting(bench, id).await[0].clone();
    let drop = async |requested: i64| {
        bench.store.drop_request(seen.key, requested, "cancelled by phone", &anna()).await.expect("asked")
    };
    bench.want(id, "1", RequestKind::Update).await;
    assert_eq!(drop(seen.requested).await, Dropped::Gone, "a newer wish was not seen");
    let newer = waiting(bench, id).await[0].requested;
    let held = bench.claim_one(id, "worker").await;
    assert_eq!(drop(newer).await, Dropped::InHand);
    let wait = Leave::Wait {
        why: RetryWhy::UnknownOutcome,
        due_at: bench.after(30),
        attempt: 1,
        rereads: 0,
        spent: std::time::Duration::ZERO,
    };
    assert!(bench.leave(&held, wait).await);
    let mut delivery = bench.lease(id, 77, "1", "", "worker").await.expect("free");
    delivery.state = shared::domain::DeliveryState::Unknown;
    assert!(bench.save(&delivery, true).await);
    assert_eq!(drop(newer).await, Dropped::Uncertain, "MeaSoft may have it");
    let mut delivery = bench.lease(id, 77, "1", "", "worker").await.expect("free");
    delivery.state = shared::domain::DeliveryState::Planned;
    assert!(bench.save(&delivery, true).await);
    assert_eq!(drop(newer).await, Dropped::Done);
    assert_eq!(drop(newer).await, Dropped::Gone);
    assert!(waiting(bench, id).await.is_empty());
    let search = Search { text: Some("cancelled by phone".to_owned()), limit: 9, ..Search::default() };
    let told = bench.store.search_journal(&search).await.expect("read");
    assert_eq!((told.len(), told[0].number.as_deref()), (1, Some("1")));
    bench.want(id, "1", RequestKind::Send).await;
    assert_eq!(bench.claim(id, "worker").await.len(), 1, "a later trigger is a wish of its own");
}

async fn a_cause_is_discarded_as_it_was_seen(bench: &Bench) {
    let (id, other) = (bench.integration("").await.id, bench.integration("X").await.id);
    for number in ["1", "2"] {
        bench.add_dead_letter(&dead(Some(id), Some(number), "bad_phone", Fault::Shop)).await;
    }
    let kept = bench.add_dead_letter(&dead(Some(other), Some("3"), "bad_phone", Fault::Shop)).await;
    let none = bench.add_dead_letter(&dead(None, None, "bad_phone", Fault::Shop)).await;
    let seen = bench.now();
    bench.pass(60);
    let later = bench.add_dead_letter(&dead(Some(id), Some("4"), "bad_phone", Fault::Shop)).await;
    // One that happened again is another news.
    let again = bench.add_dead_letter(&dead(Some(id), Some("2"), "bad_phone", Fault::Shop)).await;
    let discard = async |of: Option<IntegrationId>| {
        bench.store.discard_cause("bad_phone", of, seen, "no longer wanted", &anna()).await.expect("done")
    };
    assert_eq!((discard(Some(id)).await, discard(Some(id)).await), (1, 0));
    assert_eq!(bench.dead(DeadFilter::default()).await, [again, kept, none, later]);
    assert_eq!(discard(None).await, 1, "letters of no integration are a cause of their own");
    let letter = bench.store.dead_letter(again).await.expect("read").expect("there");
    assert!(bench.store.discard_dead_letter(&letter, "by hand", &anna()).await.expect("done"));
    assert!(!bench.store.discard_dead_letter(&letter, "by hand", &anna()).await.expect("done"));
    let closed = bench.store.dead_letter(again).await.expect("read").expect("there");
    assert_eq!((closed.state, closed.closed_why.as_deref()), (DeadState::Discarded, Some("by hand")));
    assert_eq!(acts(bench).await, 3);
}

async fn letters_are_listed_newest_first_a_page_at_a_time(bench: &Bench) {
    let id = bench.integration("").await.id;
    for number in ["1", "2", "3"] {
        bench.add_dead_letter(&dead(Some(id), Some(number), "bad_phone", Fault::Shop)).await;
    }
    bench.add_dead_letter(&dead(Some(id), Some("4"), "no_address", Fault::Shop)).await;
    let filter = DeadFilter { reason: Some("bad_phone".to_owned()), integration: Some(id), ..DeadFilter::default() };
    let page = async |number: Option<&str>, before: Option<i64>, limit: u32| {
        let found = bench.store.dead_letters_page(&filter, number, before, limit).await.expect("listed");
        found.into_iter().map(|dead| (dead.id, dead.number.unwrap_or_default())).collect::<Vec<_>>()
    };
    let first = page(None, None, 2).await;
    assert_eq!(first.iter().map(|(_, number)| number.as_str()).collect::<Vec<_>>(), ["3", "2"]);
    let rest = page(None, Some(first[1].0), 2).await;
    assert_eq!(rest.iter().map(|(_, number)| number.as_str()).collect::<Vec<_>>(), ["1"]);
    assert_eq!(page(Some("2"), None, 9).await.len(), 1);
    assert_eq!(bench.store.open_letters_of(id, None, "4").await.expect("listed").len(), 1);
}

async fn a_day_is_told_by_its_hours(bench: &Bench) {
    let (id, other) = (bench.integration("").await.id, bench.integration("X").await.id);
    bench.lease(id, 1, "1", "", "worker").await.expect("a row");
    bench.pass(2 * 3600);
    for (order, number) in [(2, "2"), (3, "3")] {
        bench.lease(id, order, number, "", "worker").await.expect("a row");
    }
    bench.add_dead_letter(&dead(Some(other), Some("9"), "bad_phone", Fault::Shop)).await;
    let day = bench.store.last_day().await.expect("read");
    let (last, of_id) = (HOURS - 1, day[&id]);
    assert_eq!((of_id.orders[last - 2], of_id.orders[last], of_id.failures[last]), (1, 2, 0));
    assert_eq!((day[&other].orders[last], day[&other].failures[last]), (0, 1));
    bench.pass(22 * 3600);
    assert_eq!(bench.store.last_day().await.expect("read")[&id].orders.iter().sum::<i64>(), 2, "a day, and no more");
}

contract![
    orders_that_wait_are_listed_oldest_first_a_page_at_a_time,
    what_is_put_off_is_made_due_and_nothing_else,
    a_request_is_dropped_only_as_it_was_seen_and_only_where_nothing_is_under_way,
    a_cause_is_discarded_as_it_was_seen,
    letters_are_listed_newest_first_a_page_at_a_time,
    a_day_is_told_by_its_hours,
];
