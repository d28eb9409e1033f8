//! What is wanted: recorded, claimed, left, doubted.

use futures_util::future::join_all;
use shared::domain::{CrmOrderId, IntegrationId, Kopecks};
use shared::message::{Candidate, RetryWhy};
use shared::store::intents::{Held, Intent, Leave, OrderRequest, RequestKind};

use crate::bench::{Bench, SPENT, request};

async fn requests_for_one_order_are_one_intent(bench: &Bench) {
    let id = bench.integration("").await.id;
    let first = bench.now();
    let send =
        OrderRequest { declared: Some(Kopecks::roubles(3790)), ..request(bench, id, "1234A", RequestKind::Send) };
    bench.record(send).await;
    bench.pass(5);
    bench.want(id, "1234A", RequestKind::Update).await;
    bench.pass(5);
    let candidates = vec![Candidate { delivery_type: "incity".to_owned(), integration: id }];
    let cancel = OrderRequest {
        candidates: candidates.clone(),
        generation: 2,
        traceparent: Some("00-aa-bb-01".to_owned()),
        ..request(bench, id, "1234A", RequestKind::Cancel)
    };
    bench.record(cancel).await;
    bench.want(id, "1234B", RequestKind::Send).await;
    let claimed = bench.claim(id, "w1").await;
    assert_eq!(claimed.len(), 2);
    let intent = claimed.iter().find(|i| i.number.as_str() == "1234A").expect("claimed");
    assert_eq!((intent.requested, intent.served), (3, 0));
    assert_eq!((intent.send_seq, intent.update_seq, intent.cancel_seq), (1, 2, 3));
    assert_eq!(intent.declared, Some(Kopecks::roubles(3790)), "a wish without a value leaves it");
    assert_eq!(intent.candidates, candidates);
    assert_eq!(intent.wanted_at, first, "since the oldest unserved wish");
    assert_eq!((intent.generation, intent.traceparent.as_deref()), (2, Some("00-aa-bb-01")));
    assert_eq!((intent.attempt, intent.rereads, intent.verify, intent.delivery), (0, 0, false, None));
}

async fn the_same_command_twice_is_one_request(bench: &Bench) {
    let id = bench.integration("").await.id;
    let send = request(bench, id, "1", RequestKind::Send);
    bench.store.record_requests(&[send.clone(), send.clone()]).await.expect("recorded");
    bench.record(send.clone()).await;
    assert_eq!(bench.claim_one(id, "w1").await.requested, 1);
    bench.record(OrderRequest { generation: 1, ..send }).await;
    bench.pass(91);
    assert_eq!(bench.claim_one(id, "w1").await.requested, 2, "a replay is a wish of its own");
}

async fn a_burst_of_requests_is_recorded_as_if_one_by_one(bench: &Bench) {
    let id = bench.integration("").await.id;
    let other = bench.integration("B-").await.id;
    // Several statements' worth, some orders often, some commands delivered twice.
    let mut burst = Vec::new();
    for n in 0..200_u32 {
        let want =
            [RequestKind::Send, RequestKind::Update, RequestKind::Cancel][usize::try_from(n / 7 % 3).expect("small")];
        let number = format!("n{}", n % 90);
        let declared = (n % 2 == 0).then_some(Kopecks(n.into()));
        burst.push(OrderRequest { declared, due_at: bench.after(-i64::from(n)), ..request(bench, id, &number, want) });
        if n % 11 == 0 {
            burst.extend(burst.last().cloned());
        }
    }
    bench.store.record_requests(&burst).await.expect("recorded");
    for request in &burst {
        bench.record(OrderRequest { integration: other, ..request.clone() }).await;
    }
    let until = bench.after(90);
    let mut both = Vec::new();
    for integration in [id, other] {
        let mut claimed = bench.store.claim_intents(integration, "w1", until, 500).await.expect("claimed");
        claimed.sort_by(|a, b| a.number.as_str().cmp(b.number.as_str()));
        let of =
            |i: &Intent| (i.number.clone(), i.requested, i.send_seq, i.update_seq, i.cancel_seq, i.declared, i.due_at);
        both.push(claimed.iter().map(of).collect::<Vec<_>>());
    }
    assert_eq!(both[0].len(), 90);
    assert_eq!(both[0], both[1]);
    bench.store.record_requests(&[]).await.expect("nothing is nothing");
}

async fn requests_that_cannot_all_be_recorded_are_none(bench: &Bench) {
    let id = bench.integration("").await.id;
    let good = request(bench, id, "1", RequestKind::Send);
    let bad = request(bench, IntegrationId(4040), "2", RequestKind::Send);
    assert!(bench.store.record_requests(&[good, bad]).await.is_err());
    assert!(bench.claim(id, "w1").await.is_empty());
}

async fn due_intents_are_claimed_oldest_first_up_to_a_limit(bench: &Bench) {
    let id = bench.integration("").await.id;
    let other = bench.integration("B-").await.id;
    for (number, seconds) in [("c", 3), ("a", 1), ("d", 60), ("b", 2)] {
        bench
            .record(OrderRequest { due_at: bench.after(seconds), ..request(bench, id, number, RequestKind::Send) })
            .await;
    }
    bench.want(other, "a", RequestKind::Send).await;
    let numbers = |claimed: Vec<Intent>| -> Vec<String> {
        claimed.into_iter().map(|intent| intent.number.as_str().to_owned()).collect()
    };
    assert!(bench.claim(id, "w1").await.is_empty(), "nothing is due yet");
    bench.pass(3);
    let claimed = bench.store.claim_intents(id, "w1", bench.after(90), 2).await.expect("claimed");
    assert_eq!(numbers(claimed), ["a", "b"]);
    assert_eq!(numbers(bench.claim(id, "w2").await), ["c"], "held ones and later ones are left");
    assert!(bench.claim(id, "w3").await.is_empty());
    bench.pass(91);
    assert_eq!(numbers(bench.claim(id, "w3").await), ["a", "b", "c", "d"], "their leases ran out");
}

async fn a_claim_takes_no_more_than_its_limit_whatever_the_planner_believes(bench: &Bench) {
    let id = bench.integration("").await.id;
    let of =
        |n: i64| OrderRequest { order: Some(CrmOrderId(n)), ..request(bench, id, &n.to_string(), RequestKind::Send) };
    bench.record(of(1)).await;
    // Then a table of one row is what PostgreSQL plans for.
    bench.store.db.exec("ANALYZE order_intents", vec![]).await.expect("analysed");
    bench.store.record_requests(&(2..=10).map(of).collect::<Vec<_>>()).await.expect("recorded");
    let claimed = bench.store.claim_intents(id, "w1", bench.after(90), 4).await.expect("claimed");
    assert_eq!(claimed.len(), 4);
}

async fn two_workers_never_hold_one_intent(bench: &Bench) {
    let id = bench.integration("").await.id;
    let requests: Vec<OrderRequest> =
        (0..60).map(|n| request(bench, id, &format!("n{n}"), RequestKind::Send)).collect();
    bench.store.record_requests(&requests).await.expect("recorded");
    let owners: Vec<String> = (0..6).map(|n| format!("w{n}")).collect();
    let until = bench.after(90);
    let claims = join_all(owners.iter().map(|owner| bench.store.claim_intents(id, owner, until, 13))).await;
    let mut ids: Vec<i64> = claims.into_iter().flat_map(|claimed| claimed.expect("claimed")).map(|i| i.id).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "no intent twice");
    assert!(all >= 13, "somebody got something");
    let rest = bench.store.claim_intents(id, "late", until, 100).await.expect("claimed").len();
    assert_eq!(all + rest, 60, "none is lost");
}

async fn a_holder_whose_lease_ran_out_leaves_no_mark(bench: &Bench) {
    let id = bench.integration("").await.id;
    bench.want(id, "1", RequestKind::Send).await;
    let late = bench.claim_one(id, "w1").await;
    bench.pass(91);
    let present = bench.claim_one(id, "w2").await;
    assert_ne!(present.fence, late.fence);
    assert!(!bench.leave(&late, Leave::Served).await);
    let wait = Leave::Wait { why: RetryWhy::CrmLag, due_at: bench.after(900), attempt: 7, rereads: 7, spent: SPENT };
    assert!(!bench.leave(&late, wait).await);
    bench.store.release_intent(&late).await.expect("harmless");
    assert!(bench.claim(id, "w3").await.is_empty(), "the present holder holds on");
    assert!(bench.leave(&present, Leave::Served).await);
    bench.pass(91);
    assert!(bench.claim(id, "w3").await.is_empty(), "served");
}

async fn a_lease_lives_as_long_as_it_is_renewed(bench: &Bench) {
    let id = bench.integration("").await.id;
    bench.want(id, "1", RequestKind::Send).await;
    let intent = bench.claim_one(id, "w1").await;
    for _ in 0..5 {
        bench.pass(60);
        assert_eq!(bench.store.renew_intents("w1", &[Held::from(&intent)], bench.after(90)).await.expect("renewed"), 1);
        assert!(bench.claim(id, "w2").await.is_empty());
    }
    assert_eq!(bench.store.renew_intents("w2", &[Held::from(&intent)], bench.after(900)).await.expect("asked"), 0);
    assert_eq!(bench.store.renew_intents("w1", &[], bench.after(90)).await.expect("asked"), 0);
    bench.pass(91);
    assert_eq!(bench.claim(id, "w2").await.len(), 1);
}

async fn a_released_intent_is_due_at_once(bench: &Bench) {
    let id = bench.integration("").await.id;
    bench.want(id, "1", RequestKind::Send).await;
    let intent = bench.claim_one(id, "w1").await;
    bench.store.release_intent(&intent).await.expect("released");
    let again = bench.claim_one(id, "w2").await;
    assert_eq!((again.requested, again.attempt), (intent.requested, intent.attempt));
}

async fn what_waits_is_due_when_it_said(bench: &Bench) {
    let id = bench.integration("").await.id;
    bench.want(id, "1", RequestKind::Send).await;
    let intent = bench.claim_one(id, "w1").await;
    assert!(
        bench
            .leave(
                &intent,
                Leave::Wait { why: RetryWhy::CrmLag, due_at: bench.after(15), attempt: 1, rereads: 2, spent: SPENT }
            )
            .await
    );
    assert!(bench.claim(id, "w1").await.is_empty());
    bench.pass(15);
    let again = bench.claim_one(id, "w1").await;
    assert_eq!((again.attempt, again.rereads, again.served), (1, 2, 0));
    assert_eq!(again.wanted_at, intent.wanted_at);
}

async fn a_request_that_came_meanwhile_is_not_served_with_the_old_one(bench: &Bench) {
    let id = bench.integration("").await.id;
    bench.want(id, "1", RequestKind::Send).await;
    let intent = bench.claim_one(id, "w1").await;
    bench.pass(1);
    bench.want(id, "1", RequestKind::Update).await;
    assert!(bench.leave(&intent, Leave::Served).await);
    let newer = bench.claim_one(id, "w1").await;
    assert_eq!((newer.requested, newer.served), (2, 1));
    assert!(newer.update_seq > newer.served && newer.send_seq <= newer.served);
    assert!(bench.leave(&newer, Leave::Served).await);
    bench.pass(5);
    bench.want(id, "1", RequestKind::Update).await;
    assert_eq!(bench.claim_one(id, "w1").await.wanted_at, bench.now(), "what was served does not age the new one");
}

async fn a_request_that_came_meanwhile_keeps_its_own_time(bench: &Bench) {
    let id = bench.integration("").await.id;
    bench.want(id, "1", RequestKind::Send).await;
    let intent = bench.claim_one(id, "w1").await;
    bench.record(OrderRequest { due_at: bench.after(2), ..request(bench, id, "1", RequestKind::Update) }).await;
    assert!(
        bench
            .leave(
                &intent,
                Leave::Wait { why: RetryWhy::CrmLag, due_at: bench.after(3600), attempt: 9, rereads: 9, spent: SPENT }
            )
            .await
    );
    bench.pass(2);
    let newer = bench.claim_one(id, "w1").await;
    assert_eq!((newer.attempt, newer.rereads), (0, 0));
    assert!(newer.send_seq > newer.served, "the old wish is not forgotten");
}

async fn a_doubt_makes_an_intent_due_and_is_settled_by_serving_it(bench: &Bench) {
    let id = bench.integration("").await.id;
    bench.want(id, "1", RequestKind::Send).await;
    let late = bench.claim_one(id, "w1").await;
    bench.pass(91);
    let present = bench.claim_one(id, "w2").await;
    assert!(bench.leave(&present, Leave::Served).await);
    bench.suspect(&late).await;
    let suspected = bench.claim_one(id, "w3").await;
    assert!(suspected.verify && suspected.requested == 2);
    assert!(suspected.send_seq <= suspected.served, "it is no new send");
    assert!(
        bench
            .leave(
                &suspected,
                Leave::Wait { why: RetryWhy::CrmLag, due_at: bench.now(), attempt: 1, rereads: 0, spent: SPENT }
            )
            .await
    );
    let suspected = bench.claim_one(id, "w3").await;
    assert!(suspected.verify, "waiting settles no doubt");
    assert!(bench.leave(&suspected, Leave::Served).await);
    bench.want(id, "1", RequestKind::Update).await;
    assert!(!bench.claim_one(id, "w3").await.verify);
}

async fn a_doubt_that_comes_while_another_holds_is_not_wiped(bench: &Bench) {
    let id = bench.integration("").await.id;
    bench.want(id, "1", RequestKind::Send).await;
    let late = bench.claim_one(id, "w1").await;
    bench.pass(91);
    let present = bench.claim_one(id, "w2").await;
    bench.suspect(&late).await;
    assert!(bench.leave(&present, Leave::Served).await);
    assert!(bench.claim_one(id, "w3").await.verify);
}

async fn what_is_due_is_known_per_integration(bench: &Bench) {
    let id = bench.integration("").await.id;
    let other = bench.integration("B-").await.id;
    let due = async || {
        let mut work = bench.store.integrations_with_work().await.expect("listed");
        work.sort_unstable();
        work
    };
    assert_eq!(due().await, []);
    assert_eq!(bench.store.backlog().await.expect("asked"), (0, None));
    bench.record(OrderRequest { due_at: bench.after(30), ..request(bench, id, "1", RequestKind::Send) }).await;
    bench.record(OrderRequest { due_at: bench.after(10), ..request(bench, id, "2", RequestKind::Send) }).await;
    bench.record(OrderRequest { due_at: bench.after(-5), ..request(bench, other, "3", RequestKind::Send) }).await;
    assert_eq!(due().await, [(id, bench.after(10)), (other, bench.after(-5))]);
    assert_eq!(bench.store.backlog().await.expect("asked"), (3, Some(bench.after(-5))));
    let held = bench.claim_one(other, "w1").await;
    assert_eq!(due().await, [(id, bench.after(10)), (other, bench.after(90))], "held until its lease ends");
    bench.leave(&held, Leave::Served).await;
    assert_eq!(due().await, [(id, bench.after(10))]);
    assert_eq!(bench.store.backlog().await.expect("asked"), (2, None));
}

async fn what_was_wanted_is_forgotten_once_it_is_of_no_use(bench: &Bench) {
    let id = bench.integration("").await.id;
    let of = |order| OrderRequest { order: Some(CrmOrderId(order)), ..request(bench, id, "x", RequestKind::Send) };
    bench
        .store
        .record_requests(&[of(1), of(2), of(3), request(bench, id, "n", RequestKind::Send)])
        .await
        .expect("recorded");
    bench.lease(id, 1, "x", "", "w").await.expect("leased");
    for intent in bench.claim(id, "w").await {
        if intent.order != Some(CrmOrderId(3)) {
            assert!(bench.leave(&intent, Leave::Served).await);
        }
    }
    bench.pass(9);
    assert_eq!(bench.store.forget_intents(bench.now(), 9).await.expect("forgotten"), 2);
    let kept = async |order| bench.store.intent(id, CrmOrderId(order)).await.expect("read").is_some();
    assert!(kept(1).await, "its delivery is known");
    assert!(!kept(2).await);
    assert!(kept(3).await, "unserved");
}

async fn what_is_tried_again_leaves_room_for_what_is_new(bench: &Bench) {
    let id = bench.integration("").await.id;
    let of = |order| OrderRequest { order: Some(CrmOrderId(order)), ..request(bench, id, "x", RequestKind::Send) };
    let old: Vec<OrderRequest> = (0..20).map(of).collect();
    bench.store.record_requests(&old).await.expect("recorded");
    bench.pass(1);
    let new: Vec<OrderRequest> = (0..20).map(|n| request(bench, id, &format!("n{n}"), RequestKind::Send)).collect();
    bench.store.record_requests(&new).await.expect("recorded");
    let until = bench.after(90);
    let mut sorts = Vec::new();
    for _ in 0..4 {
        let claimed = bench.store.claim_intents(id, "w1", until, 12).await.expect("claimed");
        sorts.push((claimed.iter().filter(|i| i.order.is_some()).count(), claimed.len()));
    }
    assert_eq!(sorts, [(6, 12), (6, 12), (6, 12), (2, 4)]);
}

contract![
    requests_for_one_order_are_one_intent,
    the_same_command_twice_is_one_request,
    a_burst_of_requests_is_recorded_as_if_one_by_one,
    requests_that_cannot_all_be_recorded_are_none,
    due_intents_are_claimed_oldest_first_up_to_a_limit,
    a_claim_takes_no_more_than_its_limit_whatever_the_planner_believes,
    two_workers_never_hold_one_intent,
    a_holder_whose_lease_ran_out_leaves_no_mark,
    a_lease_lives_as_long_as_it_is_renewed,
    a_released_intent_is_due_at_once,
    what_waits_is_due_when_it_said,
    a_request_that_came_meanwhile_is_not_served_with_the_old_one,
    a_request_that_came_meanwhile_keeps_its_own_time,
    a_doubt_makes_an_intent_due_and_is_settled_by_serving_it,
    a_doubt_that_comes_while_another_holds_is_not_wiped,
    what_is_due_is_known_per_integration,
    what_is_tried_again_leaves_room_for_what_is_new,
    what_was_wanted_is_forgotten_once_it_is_of_no_use,
];
