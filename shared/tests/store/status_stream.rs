//! What the status stream brought.

use shared::domain::{Delivery, DeliveryId};
use shared::store::status_stream::{NewRow, RowEnd, RowState, Segment};

use crate::bench::{Bench, CABINET, status_row};

async fn next(bench: &Bench) -> Vec<Segment> {
    bench.store.next_segments(CABINET, 417, 9).await.expect("read")
}

/// Of two answers that wait the second is unpacked after the first: the same snapshot in both
/// counts at its later place.
async fn segments_of_two_answers_are_not_unpacked_together(bench: &Bench) {
    let lease = bench.lease_of_stream("w1").await;
    for content in ["first", "second"] {
        let batch =
            bench.store.begin_batch(&lease, CABINET, 417, bench.now()).await.expect("begun").expect("the lease holds");
        let segments = vec![(0, content.to_owned()), (64, content.to_owned())];
        assert!(bench.store.store_segments(&lease, CABINET, 417, batch, segments).await.expect("stored"));
    }
    assert_eq!(bench.store.next_segments(CABINET, 417, 1).await.expect("read").len(), 1);
    for content in ["first", "second"] {
        let waiting = next(bench).await;
        assert_eq!(
            waiting.iter().map(|one| (one.first, one.content.as_str())).collect::<Vec<_>>(),
            [(0, content), (64, content)]
        );
        let rows: Vec<_> = waiting.into_iter().map(|one| (one, vec![])).collect();
        bench.store.unpack_segments(&lease, CABINET, &rows).await.expect("unpacked").expect("held");
    }
}

async fn segments_wait_in_their_order_and_are_unpacked_once(bench: &Bench) {
    let (store, stream) = (&bench.store, 417);
    let lease = bench.lease_of_stream("w1").await;
    let batch = store.begin_batch(&lease, CABINET, stream, bench.now()).await.expect("begun").expect("the lease holds");
    let segments = vec![(0, "first\n".to_owned()), (64, "second\n".to_owned())];
    assert!(store.store_segments(&lease, CABINET, stream, batch, segments).await.expect("stored"));
    assert!(
        store.store_segments(&lease, CABINET, 418, batch, vec![(0, "another's".to_owned())]).await.expect("stored")
    );
    let fetched = bench.now();
    bench.pass(30);
    let first = next(bench).await.remove(0);
    assert_eq!((first.batch, first.first, first.content.as_str()), (batch, 0, "first\n"));
    assert_eq!(first.created_at, fetched);
    let of_first = [(first, vec![status_row("a"), status_row("b")])];
    let stored = store.unpack_segments(&lease, CABINET, &of_first).await.expect("unpacked").expect("held");
    assert_eq!((stored.fresh, stored.repeated), (2, 0));
    // Once more, as after an answer of the database that was lost.
    let again = store.unpack_segments(&lease, CABINET, &of_first).await.expect("unpacked").expect("held");
    assert_eq!((again.fresh, again.repeated), (0, 0));
    assert_eq!(store.count_status_rows(RowState::Foreign).await.expect("counted"), 2);
    let second = next(bench).await.remove(0);
    assert_eq!((second.first, second.content.as_str()), (64, "second\n"));
    // The same snapshot again, and one that is new.
    let [(first, rows)] = of_first;
    let both = [(first, rows), (second, vec![status_row("b"), status_row("c")])];
    let stored = store.unpack_segments(&lease, CABINET, &both).await.expect("unpacked").expect("held");
    assert_eq!((stored.fresh, stored.repeated), (1, 1), "what was unpacked before is left out");
    assert!(next(bench).await.is_empty());
    // What nobody polls any more is forgotten with everything else of its age.
    bench.pass(1);
    assert!(store.forget_status_rows(bench.now(), bench.now(), 100).await.expect("forgotten") > 0);
    assert!(store.next_segments(CABINET, 418, 9).await.expect("read").is_empty());
}

async fn who_lost_the_stream_stores_and_unpacks_nothing(bench: &Bench) {
    let (store, stream) = (&bench.store, 417);
    let lost = bench.lease_of_stream("w1").await;
    let batch = store.begin_batch(&lost, CABINET, stream, bench.now()).await.expect("begun").expect("the lease holds");
    assert!(store.store_segments(&lost, CABINET, stream, batch, vec![(0, "x".to_owned())]).await.expect("stored"));
    let segment = next(bench).await.remove(0);
    bench.pass(91);
    let held = bench.lease_of_stream("w2").await;
    assert!(!store.store_segments(&lost, CABINET, stream, batch, vec![(1, "y".to_owned())]).await.expect("asked"));
    let rows = [(segment, vec![status_row("a")])];
    assert_eq!(store.unpack_segments(&lost, CABINET, &rows).await.expect("asked"), None);
    assert_eq!(store.count_status_rows(RowState::Foreign).await.expect("counted"), 0);
    assert!(store.unpack_segments(&held, CABINET, &rows).await.expect("unpacked").is_some());
    assert!(next(bench).await.is_empty(), "and the late one stored nothing");
}

/// Stores a waiting row of each delivery.
async fn waiting(bench: &Bench, of: &[(&Delivery, &str)]) {
    let lease = bench.lease_of_stream("w").await;
    let batch = bench.store.begin_batch(&lease, CABINET, 417, bench.now()).await.expect("begun").expect("held");
    let row = |(d, mark): &(&Delivery, &str)| NewRow {
        delivery: Some((d.id, d.integration)),
        state: RowState::Pending,
        facts: Some("{}".to_owned()),
        ..status_row(mark)
    };
    let rows: Vec<NewRow> = of.iter().map(row).collect();
    bench.store.store_status_rows(&lease, CABINET, batch, 0, &rows).await.expect("stored").expect("held");
    bench.store.release_lease(&lease).await.expect("released");
}

async fn rows_are_settled_and_put_off_together_and_found_by_their_delivery(bench: &Bench) {
    let store = &bench.store;
    let id = bench.integration("").await.id;
    let mut orders = Vec::new();
    for order in 1..=3 {
        orders.push(bench.lease(id, order, &format!("{order}"), "", "w").await.expect("leased"));
    }
    let [a, b, c] = &orders[..] else { panic!("three") };
    waiting(bench, &[(a, "a1"), (b, "b1"), (a, "a2"), (c, "c1")]).await;
    assert_eq!(store.deliveries_with_rows(CABINET, 9).await.expect("asked").len(), 3, "each once");
    assert_eq!(store.deliveries_with_rows(CABINET, 1).await.expect("asked").len(), 1);
    assert!(store.deliveries_with_rows("another", 9).await.expect("asked").is_empty());

    let read = async |of: &[DeliveryId]| bench.commit(async |tx| tx.pending_rows(CABINET, of).await).await;
    let rows = read(&[c.id, a.id]).await;
    assert_eq!(rows.iter().map(|row| row.delivery).collect::<Vec<_>>(), [a.id, a.id, c.id], "as they were read");
    assert!(bench.commit(async |tx| tx.pending_rows("another", &[a.id]).await).await.is_empty());
    let end = |row: i64, state, why| RowEnd { row, state, why };
    let ends = [end(rows[0].id, RowState::Applied, None), end(rows[2].id, RowState::Parked, Some("why"))];
    bench.commit(async |tx| tx.settle_status_rows(&ends, bench.now()).await).await;
    for (state, count) in [(RowState::Pending, 2), (RowState::Applied, 1), (RowState::Parked, 1)] {
        assert_eq!(store.count_status_rows(state).await.expect("counted"), count, "{state:?}");
    }
    // What is put off is read all the same where it is another row's turn.
    let until = [(rows[1].id, bench.after(8))];
    bench.commit(async |tx| tx.postpone_rows(&until).await).await;
    assert_eq!(store.deliveries_with_rows(CABINET, 9).await.expect("asked"), [b.id]);
    let rest = read(&[a.id, b.id, c.id]).await;
    assert_eq!(rest.iter().map(|row| (row.delivery, row.attempt)).collect::<Vec<_>>(), [(b.id, 0), (a.id, 1)]);
    bench.pass(8);
    assert_eq!(store.deliveries_with_rows(CABINET, 9).await.expect("asked"), [b.id, a.id], "who waits longest");
}

contract![
    segments_wait_in_their_order_and_are_unpacked_once,
    segments_of_two_answers_are_not_unpacked_together,
    who_lost_the_stream_stores_and_unpacks_nothing,
    rows_are_settled_and_put_off_together_and_found_by_their_delivery,
];
