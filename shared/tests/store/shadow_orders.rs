//! Orders of a shadow: sides that stay, decisions that overtake what was found of an earlier one.

use std::time::Duration;

use shared::domain::{CrmOrderId, DeliveryState, IntegrationId};
use shared::store::shadow_orders::{ShadowOrder, Side, Verdict};

use crate::bench::Bench;

fn row(bench: &Bench, id: IntegrationId, order: i64, side: Side) -> ShadowOrder {
    let mut row = ShadowOrder::new(id, Some(CrmOrderId(order)), &order.to_string(), side, bench.now());
    row.orderno = Some(format!("A-{order}"));
    row
}

async fn read(bench: &Bench, id: IntegrationId, order: i64) -> ShadowOrder {
    bench.store.shadow_orders(id, &[CrmOrderId(order)]).await.expect("read").pop().expect("a row")
}

async fn the_side_of_an_order_is_chosen_once(bench: &Bench) {
    let id = bench.integration("").await.id;
    bench.store.choose_sides(&[row(bench, id, 1, Side::Live), row(bench, id, 2, Side::Shadow)]).await.expect("chosen");
    bench.store.choose_sides(&[row(bench, id, 1, Side::Shadow)]).await.expect("chosen");
    assert_eq!(read(bench, id, 1).await.side, Side::Live);
    let decided = ShadowOrder { state: DeliveryState::Created, ..row(bench, id, 1, Side::Shadow) };
    bench.store.keep_shadow_orders(&[decided]).await.expect("kept");
    let kept = read(bench, id, 1).await;
    assert_eq!((kept.side, kept.state, kept.version), (Side::Live, DeliveryState::Created, 1));
    let other = bench.integration("B-").await.id;
    assert_eq!(bench.store.shadow_orders(other, &[CrmOrderId(1)]).await.expect("read"), []);
    // A number that no order can be told by has a row of its own.
    let nobody = ShadowOrder { order: None, ..row(bench, id, 1, Side::Shadow) };
    bench.store.keep_shadow_orders(&[nobody]).await.expect("kept");
    let all = bench.store.shadow_orders_since(Some(id), bench.now()).await.expect("read");
    assert_eq!((all.len(), all.iter().filter(|row| row.order.is_none()).count()), (3, 1));
}

async fn what_was_found_of_an_earlier_decision_is_not_kept(bench: &Bench) {
    let id = bench.integration("").await.id;
    let now = bench.now();
    let due = ShadowOrder { verdict: Verdict::Waiting, due_at: Some(now), ..row(bench, id, 1, Side::Shadow) };
    bench
        .store
        .keep_shadow_orders(&[due.clone(), ShadowOrder { due_at: None, ..row(bench, id, 2, Side::Shadow) }])
        .await
        .expect("kept");
    let asked = bench.store.due_shadow_orders(id, now, 9).await.expect("read");
    assert_eq!(asked.iter().map(|row| row.number.as_str()).collect::<Vec<_>>(), ["1"]);
    assert!(bench.store.due_shadow_orders(id, now - Duration::from_millis(1), 9).await.expect("read").is_empty());
    let found = ShadowOrder { verdict: Verdict::Same, due_at: None, asks: 1, ..asked[0].clone() };
    // A trigger comes between the question and its answer.
    bench.store.keep_shadow_orders(&[due]).await.expect("kept");
    bench.store.note_compared(std::slice::from_ref(&found)).await.expect("noted");
    assert_eq!(read(bench, id, 1).await.verdict, Verdict::Waiting);
    let newer = ShadowOrder { version: read(bench, id, 1).await.version, ..found };
    bench.store.note_compared(&[newer]).await.expect("noted");
    let kept = read(bench, id, 1).await;
    assert_eq!((kept.verdict, kept.due_at, kept.asks), (Verdict::Same, None, 1));
    let known = bench.store.known_in_shadow(id, &["A-1", "A-9"]).await.expect("read");
    assert_eq!(known.iter().filter_map(|row| row.orderno.as_deref()).collect::<Vec<_>>(), ["A-1"]);
}

async fn who_goes_live_leaves_the_shadow_and_old_ones_are_forgotten(bench: &Bench) {
    let id = bench.integration("").await.id;
    assert_eq!(bench.store.in_shadow_since(id).await.expect("read"), None);
    let rows = [row(bench, id, 1, Side::Shadow), row(bench, id, 2, Side::Shadow)];
    bench.store.choose_sides(&rows).await.expect("chosen");
    assert_eq!(bench.store.in_shadow_since(id).await.expect("read"), Some(bench.now()));
    let mut tx = bench.store.db.begin().await.expect("begins");
    tx.leave_shadow(&rows[..1]).await.expect("left");
    tx.commit().await.expect("committed");
    let left = async |since| {
        let left = bench.store.left_in_shadow(id, since, 9).await.expect("read");
        left.into_iter().map(|row| row.number).collect::<Vec<_>>()
    };
    assert_eq!(left(bench.now()).await, ["2"]);
    // A worker with the old picture decides on it once more.
    let late = ShadowOrder { due_at: Some(bench.now()), ..rows[0].clone() };
    bench.store.keep_shadow_orders(&[late]).await.expect("kept");
    assert_eq!(left(bench.now()).await, ["1", "2"]);
    assert_eq!(left(bench.now() + Duration::from_millis(1)).await, ["2"], "of what was decided before it went live");
    assert!(!bench.store.has_deliveries(id).await.expect("read"));
    bench.lease(id, 7, "7", "", "worker").await.expect("leased");
    assert!(bench.store.has_deliveries(id).await.expect("read"));
    assert_eq!(bench.store.forget_shadow_orders(bench.now()).await.expect("forgotten"), 0);
    assert_eq!(bench.store.forget_shadow_orders(bench.now() + Duration::from_secs(1)).await.expect("forgotten"), 2);
}

contract!(
    the_side_of_an_order_is_chosen_once,
    what_was_found_of_an_earlier_decision_is_not_kept,
    who_goes_live_leaves_the_shadow_and_old_ones_are_forgotten,
);
