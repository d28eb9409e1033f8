//! The journal of payments.

use shared::args;
use shared::domain::Delivery;
use shared::store::payment_moves::{MoveState, PaymentMove};

use crate::bench::Bench;

/// A closing with these facts; answers whether it is news.
async fn closed(bench: &Bench, d: &Delivery, mark: &str) -> bool {
    let mut tx = bench.store.db.begin().await.expect("begins");
    let facts = format!("{{\"says\":\"{mark}\"}}");
    let news = tx.want_payment(d.integration, d.id, mark, &facts, bench.now()).await.expect("noted");
    tx.commit().await.expect("commits");
    news
}

async fn reopened(bench: &Bench, d: &Delivery) -> bool {
    bench.commit(async |tx| tx.reopen_payment(d.id, bench.now()).await).await
}

async fn ended(bench: &Bench, id: i64, state: MoveState) -> bool {
    bench.commit(async |tx| tx.end_payment(id, state, "", bench.now()).await).await
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
    assert!(bench.store.begin_payment(open.id, "{}").await.expect("noted"));
    assert!(bench.store.payment_step_begun(open.id, 1).await.expect("noted"));
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
    assert!(bench.store.begin_payment(open.id, "first").await.expect("noted"));
    assert!(bench.store.payment_step_begun(open.id, 1).await.expect("noted"));
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

contract![
    of_a_deliverys_payments_one_is_open_with_the_newest_facts,
    a_payment_step_is_taken_on_the_newest_facts_only,
    two_moves_that_an_earlier_release_left_open_become_one,
];
