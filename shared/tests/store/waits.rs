//! What waits, counted by whose it is and why.

use shared::domain::{CrmOrderId, DeliveryId, IntegrationId, OrderNumber};
use shared::message::{Command, Envelope, Kind, Lane, RetryWhy};
use shared::store::intents::{Leave, OrderRequest, RequestKind};
use shared::store::jobs::NewJob;
use shared::store::tracking_outbox::{NewTracking, TrackingState};
use shared::store::waits::{Stand, Waits, Work};

use crate::bench::{Bench, SPENT, request};

async fn waits(bench: &Bench) -> Vec<Waits> {
    bench.store.what_waits().await.expect("read")
}

fn short(waits: &[Waits]) -> Vec<(Work, Stand, Option<RetryWhy>, bool, i64)> {
    waits.iter().map(|w| (w.work, w.stand, w.why, w.tried, w.number)).collect()
}

async fn requests_wait_for_what_was_noted_until_something_else_is_known(bench: &Bench) {
    let id = bench.integration("").await.id;
    let began = bench.now();
    assert!(waits(bench).await.is_empty());
    bench.want(id, "1", RequestKind::Send).await;
    bench.record(OrderRequest { due_at: bench.after(5), ..request(bench, id, "2", RequestKind::Send) }).await;
    let found = waits(bench).await;
    let mut told = short(&found);
    told.sort();
    assert_eq!(told, [(Work::Orders, Stand::Due, None, false, 1), (Work::Orders, Stand::Later, None, false, 1)]);
    let intent = bench.claim_one(id, "w1").await;
    assert!(short(&waits(bench).await).contains(&(Work::Orders, Stand::InHand, None, false, 1)));
    bench.pass(10);
    let wait = Leave::Wait {
        why: RetryWhy::CourierUnavailable,
        due_at: bench.after(60),
        attempt: 1,
        rereads: 0,
        spent: SPENT,
    };
    assert!(bench.leave(&intent, wait).await);
    let noted = waits(bench).await.into_iter().find(|w| w.why.is_some()).expect("noted");
    assert_eq!((noted.why, noted.stand, noted.tried), (Some(RetryWhy::CourierUnavailable), Stand::Later, true));
    assert_eq!((noted.integration, noted.since, noted.due), (id, began, bench.after(60)));
    // What came meanwhile is due for its own sake.
    bench.record(OrderRequest { due_at: bench.after(2), ..request(bench, id, "1", RequestKind::Update) }).await;
    assert!(waits(bench).await.iter().all(|w| w.why.is_none()), "{:?}", waits(bench).await);
    // And what is served waits no more.
    bench.pass(5);
    for intent in bench.claim(id, "w1").await {
        assert!(bench.leave(&intent, Leave::Served).await);
    }
    assert!(waits(bench).await.is_empty());
}

async fn a_release_that_notes_nothing_takes_back_what_was_noted(bench: &Bench) {
    let id = bench.integration("").await.id;
    let order = OrderRequest { order: Some(CrmOrderId(7)), ..request(bench, id, "7", RequestKind::Send) };
    bench.record(order).await;
    let intent = bench.claim_one(id, "w1").await;
    let due_at = bench.after(60);
    let wait = Leave::Wait { why: RetryWhy::Budget, due_at, attempt: 0, rereads: 0, spent: SPENT };
    assert!(bench.leave(&intent, wait).await);
    assert_eq!(short(&waits(bench).await), [(Work::Orders, Stand::Later, Some(RetryWhy::Budget), false, 1)]);
    let sql = format!("UPDATE order_intents SET due_at = {}, attempt = 3", bench.after(90).as_millisecond());
    bench.store.db.exec(sql, vec![]).await.expect("as the release before writes it");
    assert_eq!(short(&waits(bench).await), [(Work::Orders, Stand::Later, None, true, 1)]);
}

async fn statuses_and_messages_that_wait_are_counted_too(bench: &Bench) {
    let id = bench.integration("").await.id;
    let delivery = bench.lease(id, 7, "7", "", "w1").await.expect("leased");
    let tracking = NewTracking {
        integration: id,
        delivery: DeliveryId(delivery.id.0),
        orderno: "7".to_owned(),
        code: "NEW".to_owned(),
        made_at: Some(bench.now()),
        tell_at: None,
        comment: None,
        details: None,
        state: TrackingState::Waiting,
        why: None,
        seen_at: bench.now(),
    };
    bench.commit(async |tx| tx.add_tracking(std::slice::from_ref(&tracking)).await).await;
    assert_eq!(short(&waits(bench).await), [(Work::Tracking, Stand::Due, None, false, 1)]);
    let number = OrderNumber::parse("7").expect("a number");
    let send = |of: IntegrationId| {
        Envelope::new(Command::SendOrder { number: number.clone(), declared: None }, Some(of), bench.now())
    };
    let other = bench.integration("X").await.id;
    let mut jobs: Vec<NewJob> = [id, id, other].map(|of| NewJob::of(&send(of), bench.after(30))).to_vec();
    jobs[1].run_at = bench.after(10);
    jobs.push(NewJob { id: "strange".to_owned(), lane: Lane::Bulk, body: b"?".to_vec(), run_at: bench.now() });
    bench.store.enqueue(&jobs).await.expect("stored");
    let (mut messages, more) = bench.store.waiting_messages().await.expect("read");
    messages.sort_by_key(|m| m.due);
    let told: Vec<_> = messages.iter().map(|m| (m.kind, m.integration, m.stand, m.number, m.due)).collect();
    let send = Some(Kind::SendOrder);
    assert_eq!(
        told,
        [
            (None, None, Stand::Due, 1, bench.now()),
            (send, Some(id), Stand::Later, 2, bench.after(10)),
            (send, Some(other), Stand::Later, 1, bench.after(30)),
        ]
    );
    assert!(!more);
}

contract![
    requests_wait_for_what_was_noted_until_something_else_is_known,
    a_release_that_notes_nothing_takes_back_what_was_noted,
    statuses_and_messages_that_wait_are_counted_too,
];
