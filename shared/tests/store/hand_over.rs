//! Requests by number, by id, and from the one to the other.

use shared::domain::{CrmOrderId, Kopecks};
use shared::message::Candidate;
use shared::store::intents::{HandOver, Intent, Leave, OrderRequest, RequestKind};

use crate::bench::{Bench, request};

async fn hand_over(bench: &Bench, from: &Intent, order: i64, with_declared: bool) {
    let mut tx = bench.store.db.begin().await.expect("begins");
    let wants = from.unserved();
    let number = from.number.as_str();
    let requests = HandOver { from, order: CrmOrderId(order), number, wants: &wants, with_declared };
    tx.hand_over(&[requests], bench.now()).await.expect("handed over");
    tx.commit().await.expect("committed");
}

async fn requests_by_number_become_those_of_the_orders_that_bear_it(bench: &Bench) {
    let id = bench.integration("").await.id;
    let declared = Some(Kopecks::roubles(790));
    bench.record(OrderRequest { declared, ..request(bench, id, "7001", RequestKind::Send) }).await;
    bench.want(id, "7001", RequestKind::Cancel).await;
    let by_number = bench.claim_one(id, "w1").await;
    assert_eq!((by_number.order, by_number.unserved()), (None, vec![RequestKind::Send, RequestKind::Cancel]));
    hand_over(bench, &by_number, 1, true).await;
    hand_over(bench, &by_number, 2, false).await;
    assert!(bench.leave(&by_number, Leave::Served).await);
    let of_orders = bench.claim(id, "w1").await;
    let said = |i: &Intent| (i.order.map(|o| o.0), i.requested, i.send_seq, i.cancel_seq, i.declared);
    assert_eq!(
        of_orders.iter().map(said).collect::<Vec<_>>(),
        [(Some(1), 2, 1, 2, declared), (Some(2), 2, 1, 2, None)],
        "the sum is one order's"
    );
    for intent in &of_orders {
        assert!(bench.leave(intent, Leave::Served).await);
    }
    // A newer one goes on counting, and its order keeps what it has.
    bench.want(id, "7001", RequestKind::Update).await;
    let by_number = bench.claim_one(id, "w1").await;
    hand_over(bench, &by_number, 1, true).await;
    assert!(bench.leave(&by_number, Leave::Served).await);
    let again = bench.claim_one(id, "w1").await;
    assert_eq!((again.requested, again.served, again.update_seq, again.send_seq), (3, 2, 3, 1));
    assert_eq!(again.declared, declared);
    assert_eq!(again.unserved(), [RequestKind::Update]);
}

async fn a_request_by_id_is_the_order_s_own_whatever_its_number(bench: &Bench) {
    let id = bench.integration("").await.id;
    let of = |order, number: &str| OrderRequest {
        order: Some(CrmOrderId(order)),
        ..request(bench, id, number, RequestKind::Send)
    };
    bench.store.record_requests(&[of(1, "7001"), of(2, "7001"), of(1, "7001-A")]).await.expect("recorded");
    let mut claimed = bench.claim(id, "w1").await;
    claimed.sort_by_key(|intent| intent.order);
    let said = |i: &Intent| (i.order.map(|o| o.0), i.number.as_str().to_owned(), i.requested);
    assert_eq!(
        claimed.iter().map(said).collect::<Vec<_>>(),
        [(Some(1), "7001-A".to_owned(), 2), (Some(2), "7001".to_owned(), 1)]
    );
    let progress = bench.store.intent_progress(id, CrmOrderId(2)).await.expect("read").expect("there");
    assert_eq!((progress.requested, progress.served), (1, 0));
    assert!(bench.store.waiting_by_numbers(id, &["7001"]).await.expect("read").is_empty());
}

async fn a_send_older_than_the_withdrawal_of_its_order_sends_nothing(bench: &Bench) {
    let id = bench.integration("").await.id;
    bench.want(id, "1", RequestKind::Send).await;
    bench.pass(1);
    let withdrawal = OrderRequest {
        order: Some(CrmOrderId(7)),
        candidates: vec![Candidate::withdrawn(id)],
        ..request(bench, id, "1", RequestKind::Cancel)
    };
    bench.record(withdrawal).await;
    let claimed = bench.claim(id, "w1").await;
    let (by_id, by_number): (Vec<Intent>, Vec<Intent>) = claimed.into_iter().partition(|i| i.order.is_some());
    assert!(bench.leave(&by_id[0], Leave::Served).await);
    hand_over(bench, &by_number[0], 7, true).await;
    assert!(bench.leave(&by_number[0], Leave::Served).await);
    let looked_at = bench.claim_one(id, "w1").await;
    assert_eq!((looked_at.unserved(), looked_at.cancel_seq), (vec![], 1));
    assert!(bench.leave(&looked_at, Leave::Served).await);
    bench.pass(1);
    bench.want(id, "1", RequestKind::Send).await;
    let newer = bench.claim_one(id, "w1").await;
    hand_over(bench, &newer, 7, true).await;
    assert!(bench.leave(&newer, Leave::Served).await);
    assert_eq!(bench.claim_one(id, "w1").await.unserved(), [RequestKind::Send], "a newer one does");
}

contract![
    requests_by_number_become_those_of_the_orders_that_bear_it,
    a_request_by_id_is_the_order_s_own_whatever_its_number,
    a_send_older_than_the_withdrawal_of_its_order_sends_nothing,
];
