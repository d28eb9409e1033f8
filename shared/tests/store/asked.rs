//! What an order's card asks of the store.

use shared::domain::{CrmOrderId, Delivery, DeliveryState, IntegrationId};
use shared::message::RetryWhy;
use shared::store::audit::{Act, AuditFilter, Who};
use shared::store::intents::{Leave, OrderRequest, RequestKind};
use shared::store::tracking_outbox::{NewTracking, TrackingState};
use shared::store::waits::Stand;

use crate::bench::{Bench, SPENT, request};

async fn requested(bench: &Bench, id: IntegrationId) -> i64 {
    let progress = bench.store.intent_progress(id, CrmOrderId(7)).await.expect("read");
    progress.map_or(0, |progress| progress.requested)
}

/// The delivery of order 7, in a state.
async fn delivery(bench: &Bench, id: IntegrationId, state: DeliveryState) -> Delivery {
    let delivery = Delivery { state, ..bench.lease(id, 7, "7", "", "w1").await.expect("leased") };
    assert!(bench.save(&delivery, true).await, "nobody else holds it");
    delivery
}

async fn noted(bench: &Bench) -> Vec<String> {
    let asked = AuditFilter { act: Some(Act::Asked), limit: 9, ..AuditFilter::default() };
    bench.store.audit(&asked).await.expect("read").into_iter().map(|one| one.object).collect()
}

async fn jobs(bench: &Bench) -> u64 {
    bench.store.due_jobs().await.expect("counted")
}

async fn what_is_in_doubt_is_looked_up_once_for_what_was_seen_however_often_at_once(bench: &Bench) {
    let id = bench.integration("").await.id;
    let delivery = delivery(bench, id, DeliveryState::Unknown).await;
    let who = Who::manager(id);
    let seen = requested(bench, id).await;
    let ask = || bench.store.ask_courier(&delivery, seen, &who);
    let (a, b, c) = tokio::join!(ask(), ask(), ask());
    let asked = [a, b, c].into_iter().filter(|asked| *asked.as_ref().expect("stored")).count();
    assert_eq!((asked, requested(bench, id).await), (1, seen + 1), "of three at once");
    assert!(!ask().await.expect("stored"), "a repeat");
    let intent = bench.claim_one(id, "w1").await;
    assert!(intent.verify && intent.unserved().is_empty(), "it is looked up, and nothing is wanted: {intent:?}");
    assert_eq!((noted(bench).await, jobs(bench).await), (vec!["order 7".to_owned()], 0));
}

async fn what_waits_in_doubt_comes_sooner_and_its_tries_stay_counted(bench: &Bench) {
    let id = bench.integration("").await.id;
    let delivery = delivery(bench, id, DeliveryState::Unknown).await;
    let who = Who::manager(id);
    bench.record(OrderRequest { order: Some(CrmOrderId(7)), ..request(bench, id, "7", RequestKind::Send) }).await;
    let intent = bench.claim_one(id, "w1").await;
    let due_at = bench.after(600);
    let wait = Leave::Wait { why: RetryWhy::UnknownOutcome, due_at, attempt: 3, rereads: 2, spent: SPENT };
    assert!(bench.leave(&intent, wait).await);
    let seen = requested(bench, id).await;
    let ask = async || bench.store.ask_courier(&delivery, seen, &who).await.expect("stored");
    assert_eq!((ask().await, ask().await), (true, false));
    let intent = bench.claim_one(id, "w1").await;
    assert_eq!((intent.attempt, intent.rereads, intent.spent), (3, 2, SPENT));
    assert!(!intent.verify, "the state alone has it looked up: placed meanwhile, nothing is edited");
    assert_eq!(noted(bench).await.len(), 1);
}

async fn of_what_is_placed_the_statuses_are_fetched_and_nothing_is_to_be_served(bench: &Bench) {
    let id = bench.integration("").await.id;
    let who = Who::manager(id);
    let mut asked = 0;
    for state in [DeliveryState::Created, DeliveryState::InWork] {
        let delivery = delivery(bench, id, state).await;
        let seen = requested(bench, id).await;
        let ask = || bench.store.ask_courier(&delivery, seen, &who);
        let (a, b, c) = tokio::join!(ask(), ask(), ask());
        asked += [a, b, c].into_iter().filter(|asked| *asked.as_ref().expect("stored")).count();
        assert!(!ask().await.expect("stored"), "a repeat");
        assert!(bench.claim(id, "w1").await.is_empty(), "nothing that could end in an edit");
    }
    assert_eq!((asked, jobs(bench).await, noted(bench).await.len()), (2, 2, 2));
    // One that ended, and one that is about to be changed, are not asked about.
    let ended = delivery(bench, id, DeliveryState::Delivered).await;
    assert!(!bench.store.ask_courier(&ended, requested(bench, id).await, &who).await.expect("read"));
    let placed = delivery(bench, id, DeliveryState::Created).await;
    bench.record(OrderRequest { order: Some(CrmOrderId(7)), ..request(bench, id, "7", RequestKind::Update) }).await;
    assert!(!bench.store.ask_courier(&placed, requested(bench, id).await, &who).await.expect("read"));
    assert_eq!((jobs(bench).await, noted(bench).await.len()), (2, 2));
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
    what_is_in_doubt_is_looked_up_once_for_what_was_seen_however_often_at_once,
    what_waits_in_doubt_comes_sooner_and_its_tries_stay_counted,
    of_what_is_placed_the_statuses_are_fetched_and_nothing_is_to_be_served,
    an_order_waits_for_its_own_request_or_one_about_its_number,
    what_a_status_said_of_a_delivery_is_kept_when_it_was_told,
];
