//! The journal of payments.

use shared::args;
use shared::domain::Delivery;
use shared::store::payment_moves::{Begun, Closing, MoveState, PaymentEnd, PaymentMove};

use crate::bench::Bench;

/// A closing with these facts; answers whether it is news.
async fn closed(bench: &Bench, d: &Delivery, mark: &str) -> bool {
    let facts = format!("{{\"says\":\"{mark}\"}}");
    let closing = Closing { integration: d.integration, delivery: d.id, mark: mark.to_owned(), facts };
    let news = bench.commit(async |tx| tx.want_payments(&[closing], bench.now()).await).await;
    assert!(news.is_empty() || news == [d.id]);
    !news.is_empty()
}

async fn reopened(bench: &Bench, d: &Delivery) -> bool {
    bench.commit(async |tx| tx.reopen_payments(&[d.id], bench.now()).await).await.contains(&d.id)
}

async fn ended(bench: &Bench, id: i64, state: MoveState) -> bool {
    let end = PaymentEnd { id, state, why: String::new(), steps: None, taken_back: false };
    bench.commit(async |tx| tx.end_payments(&[end], bench.now()).await).await.contains(&id)
}

async fn begun(bench: &Bench, id: i64, plan: &str) -> bool {
    let begun = Begun { id, plan: Some(plan.to_owned()), tried: 1 };
    bench.commit(async |tx| tx.begin_payments(&[begun], bench.now()).await).await.contains(&id)
}

async fn due(bench: &Bench, d: &Delivery) -> Vec<PaymentMove> {
    bench.store.due_payments(d.integration, 10).await.expect("read")
}

async fn of_a_deliverys_payments_one_is_open_with_the_newest_facts(bench: &Bench) {
    let id = bench.integration("").await.id;
    let d = bench.lease(id, 4817, "A-1", "", "w").await.expect("leased");
    assert!(closed(bench, &d, "a").await);
    assert!(!closed(bench, &d, "a").await, "known");
    for mark in ["b", "a", "b"] {
        assert!(closed(bench, &d, mark).await, "{mark} again is news after others");
        let due = due(bench, &d).await;
        assert_eq!(due.len(), 1);
        assert!(due[0].facts.contains(mark), "{mark}: {}", due[0].facts);
    }
    let open = due(bench, &d).await.remove(0);
    assert!(!reopened(bench, &d).await, "nothing was begun");
    assert!(due(bench, &d).await.is_empty());
    assert!(!ended(bench, open.id, MoveState::Done).await, "a reopening is not overwritten");
    assert!(closed(bench, &d, "b").await, "the same facts count anew");
    // Settled; then the same again says nothing, and others are after it.
    let open = due(bench, &d).await.remove(0);
    assert!(begun(bench, open.id, "{}").await);
    bench.store.payment_step_done(open.id, 1).await.expect("noted");
    assert!(ended(bench, open.id, MoveState::Done).await);
    assert!(!closed(bench, &d, "b").await);
    assert!(closed(bench, &d, "c").await);
    let after = due(bench, &d).await.remove(0);
    assert!(after.after_settling && after.interrupted.is_none());
    assert!(reopened(bench, &d).await, "a payment was changed for it");
}

async fn a_payment_step_is_taken_on_the_newest_facts_only(bench: &Bench) {
    let id = bench.integration("").await.id;
    let d = bench.lease(id, 4817, "A-1", "", "w").await.expect("leased");
    closed(bench, &d, "a").await;
    let open = due(bench, &d).await.remove(0);
    assert!(begun(bench, open.id, "first").await);
    // While the step is under way newer facts come.
    closed(bench, &d, "b").await;
    bench.store.payment_step_done(open.id, 1).await.expect("noted all the same");
    assert!(!bench.store.payment_step_begun(open.id, 2).await.expect("asked"), "no more of it");
    assert!(!bench.store.replan_payment(open.id, "x").await.expect("asked"));
    assert!(!ended(bench, open.id, MoveState::Done).await);
    let newer = due(bench, &d).await;
    assert_eq!((newer.len(), newer[0].interrupted.as_deref()), (1, Some("first")));
    assert!(!newer[0].after_settling);
    // A person's letter of the older one brings nothing back.
    assert_eq!(bench.store.revive_payments(id).await.expect("asked"), 0);
    assert!(ended(bench, newer[0].id, MoveState::Dead).await);
    assert_eq!(bench.store.revive_payments(id).await.expect("revived"), 1);
    let revived = due(bench, &d).await;
    assert_eq!((revived.len(), revived[0].id, revived[0].replayed), (1, newer[0].id, true));
    ended(bench, newer[0].id, MoveState::Dead).await;
    reopened(bench, &d).await;
    assert_eq!(bench.store.revive_payments(id).await.expect("asked"), 0, "it is open again");
}

async fn two_moves_that_an_earlier_release_left_open_become_one(bench: &Bench) {
    let id = bench.integration("").await.id;
    let d = bench.lease(id, 4817, "A-1", "", "w").await.expect("leased");
    for mark in ["a", "b"] {
        let sql = "INSERT INTO payment_moves (integration_id, delivery_id, facts_mark, facts, state, due_at, created_at, \
                   updated_at) VALUES ($1, $2, $3, $3, 'wanted', 0, 0, 0)";
        bench.store.db.exec(sql, args![id, d.id, mark]).await.expect("written");
    }
    let due = due(bench, &d).await;
    assert_eq!(due.iter().map(|row| row.facts.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(bench.store.count_payments(MoveState::Wanted).await.expect("counted"), 1);
}

async fn closings_noted_together_are_as_if_one_by_one(bench: &Bench) {
    let id = bench.integration("").await.id;
    let mut all = Vec::new();
    for order in 1..=4 {
        all.push(bench.lease(id, order, &format!("{order}"), "", "w").await.expect("leased"));
    }
    let [fresh, same, newer, anew] = &all[..] else { panic!("four") };
    for d in [same, newer, anew] {
        assert!(closed(bench, d, "a").await);
    }
    assert!(bench.commit(async |tx| tx.reopen_payments(&[anew.id], bench.now()).await).await.is_empty());
    let closing = |(d, mark): (&Delivery, &str)| Closing {
        integration: id,
        delivery: d.id,
        mark: mark.to_owned(),
        facts: format!("{{\"says\":\"{mark}\"}}"),
    };
    let closings = [(fresh, "a"), (same, "a"), (newer, "b"), (anew, "a")].map(closing);
    let mut news = bench.commit(async |tx| tx.want_payments(&closings, bench.now()).await).await;
    news.sort();
    assert_eq!(news, [fresh.id, newer.id, anew.id], "what was known is no news");
    let open = due(bench, fresh).await;
    assert_eq!(open.len(), 4, "one of each");
    assert!(open.iter().all(|row| row.facts.contains(if row.delivery == newer.id { "b" } else { "a" })));
    assert!(bench.commit(async |tx| tx.want_payments(&[], bench.now()).await).await.is_empty());
    // Of those that are open again, one was begun.
    let first = open.iter().find(|row| row.delivery == newer.id).expect("open");
    assert!(begun(bench, first.id, "{}").await);
    let reopened = [fresh.id, newer.id];
    let changed = bench.commit(async |tx| tx.reopen_payments(&reopened, bench.now()).await).await;
    assert_eq!(changed.into_iter().collect::<Vec<_>>(), [newer.id]);
    let left: Vec<_> = due(bench, fresh).await.into_iter().map(|row| row.delivery).collect();
    assert_eq!(left, [same.id, anew.id]);
}

contract![
    of_a_deliverys_payments_one_is_open_with_the_newest_facts,
    a_payment_step_is_taken_on_the_newest_facts_only,
    two_moves_that_an_earlier_release_left_open_become_one,
    closings_noted_together_are_as_if_one_by_one,
];
