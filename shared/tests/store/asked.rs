//! What an order's card asks of the store.

use shared::domain::{CrmOrderId, IntegrationId};
use shared::store::audit::{Act, AuditFilter, Who};
use shared::store::intents::{OrderRequest, RequestKind};
use shared::store::tracking_outbox::{NewTracking, TrackingState};
use shared::store::waits::Stand;

use crate::bench::{Bench, request};

async fn requested(bench: &Bench, id: IntegrationId) -> i64 {
    let progress = bench.store.intent_progress(id, CrmOrderId(7)).await.expect("read");
    progress.map_or(0, |progress| progress.requested)
}

async fn the_courier_is_asked_once_for_what_was_seen_however_often_at_once(bench: &Bench) {
    let id = bench.integration("").await.id;
    let delivery = bench.lease(id, 7, "7", "", "w1").await.expect("leased");
    assert!(bench.save(&delivery, true).await, "nobody holds it");
    let who = Who::manager(id);
    let seen = requested(bench, id).await;
    let ask = || bench.store.ask_courier(&delivery, seen, &who);
    let (a, b, c) = tokio::join!(ask(), ask(), ask());
    let asked = [a, b, c].into_iter().filter(|asked| *asked.as_ref().expect("stored")).count();
    assert_eq!((asked, requested(bench, id).await), (1, seen + 1), "of three at once");
    assert!(!ask().await.expect("stored"), "a repeat");
    let intent = bench.claim_one(id, "w1").await;
    assert!(intent.verify && intent.unserved().is_empty(), "it is looked up, and nothing is wanted: {intent:?}");
    let noted = AuditFilter { act: Some(Act::Asked), limit: 9, ..AuditFilter::default() };
    let noted = bench.store.audit(&noted).await.expect("read");
    assert_eq!(noted.iter().map(|one| one.object.as_str()).collect::<Vec<_>>(), ["order 7"]);
}

async fn an_order_waits_for_its_own_request_or_one_about_its_number(bench: &Bench) {
    let id = bench.integration("").await.id;
    let neighbour = bench.integration("N-").await.id;
    let waiting = async |id, order| bench.store.order_waiting(id, CrmOrderId(order), "7").await.expect("read");
    assert_eq!(waiting(id, 7).await, None);
    bench.record(OrderRequest { due_at: bench.after(5), ..request(bench, id, "7", RequestKind::Send) }).await;
    let by_number = waiting(id, 7).await.expect("it waits");
    assert_eq!((by_number.key.by_id, by_number.stand), (false, Stand::Later));
    assert_eq!(waiting(neighbour, 7).await, None);
    let own = OrderRequest { order: Some(CrmOrderId(7)), ..request(bench, id, "7", RequestKind::Send) };
    bench.record(own).await;
    let own = waiting(id, 7).await.expect("it waits");
    assert_eq!((own.key.by_id, own.stand), (true, Stand::Due));
    assert!(!waiting(id, 8).await.expect("by number").key.by_id, "another order of that number");
}

async fn what_a_status_said_of_a_delivery_is_kept_when_it_was_told(bench: &Bench) {
    let id = bench.integration("").await.id;
    let delivery = bench.lease(id, 7, "7", "", "w1").await.expect("leased");
    let tracking = |code: &str, details: Option<&str>| NewTracking {
        integration: id,
        delivery: delivery.id,
        orderno: "7".to_owned(),
        code: code.to_owned(),
        made_at: Some(bench.now()),
        tell_at: None,
        comment: None,
        details: details.map(str::to_owned),
        state: TrackingState::Waiting,
        why: None,
        seen_at: bench.now(),
    };
    let statuses = [tracking("NEW", Some("a")), tracking("PICKUP", Some("b")), tracking("DELIVERY", None)];
    bench.commit(async |tx| tx.add_tracking(&statuses).await).await;
    let waiting = bench.store.waiting_tracking(id, 9).await.expect("read");
    let ids: Vec<i64> = waiting.iter().map(|one| one.id).collect();
    assert_eq!(ids.len(), 3);
    bench.store.tracking_sent(&ids[..1], &[]).await.expect("stored");
    let newest = async || bench.store.newest_details(delivery.id).await.expect("read");
    assert_eq!(newest().await.as_deref(), Some("b"));
    bench.store.tracking_sent(&ids[1..], &[(ids[1], "c".to_owned())]).await.expect("stored");
    assert_eq!(newest().await.as_deref(), Some("c"), "what lasts of it");
}

contract![
    the_courier_is_asked_once_for_what_was_seen_however_often_at_once,
    an_order_waits_for_its_own_request_or_one_about_its_number,
    what_a_status_said_of_a_delivery_is_kept_when_it_was_told,
];
