//! What the status stream brought.

use shared::store::status_stream::RowState;

use crate::bench::{Bench, CABINET, status_row};

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
    let first = store.next_segment(CABINET, stream).await.expect("read").expect("waits");
    assert_eq!((first.batch, first.first, first.content.as_str()), (batch, 0, "first\n"));
    assert_eq!(first.created_at, fetched);
    let rows = [status_row("a"), status_row("b")];
    let stored = store.unpack_segment(&lease, CABINET, &first, &rows).await.expect("unpacked").expect("held");
    assert_eq!((stored.fresh, stored.repeated), (2, 0));
    // Once more, as after an answer of the database that was lost.
    let again = store.unpack_segment(&lease, CABINET, &first, &rows).await.expect("unpacked").expect("held");
    assert_eq!((again.fresh, again.repeated), (0, 0));
    assert_eq!(store.count_status_rows(RowState::Foreign).await.expect("counted"), 2);
    let second = store.next_segment(CABINET, stream).await.expect("read").expect("waits");
    assert_eq!((second.first, second.content.as_str()), (64, "second\n"));
    // The same snapshot again, and one that is new.
    let rows = [status_row("b"), status_row("c")];
    let stored = store.unpack_segment(&lease, CABINET, &second, &rows).await.expect("unpacked").expect("held");
    assert_eq!((stored.fresh, stored.repeated), (1, 1));
    assert_eq!(store.next_segment(CABINET, stream).await.expect("read"), None);
    // What nobody polls any more is forgotten with everything else of its age.
    bench.pass(1);
    assert!(store.forget_status_rows(bench.now(), bench.now(), 100).await.expect("forgotten") > 0);
    assert_eq!(store.next_segment(CABINET, 418).await.expect("read"), None);
}

async fn who_lost_the_stream_stores_and_unpacks_nothing(bench: &Bench) {
    let (store, stream) = (&bench.store, 417);
    let lost = bench.lease_of_stream("w1").await;
    let batch = store.begin_batch(&lost, CABINET, stream, bench.now()).await.expect("begun").expect("the lease holds");
    assert!(store.store_segments(&lost, CABINET, stream, batch, vec![(0, "x".to_owned())]).await.expect("stored"));
    let segment = store.next_segment(CABINET, stream).await.expect("read").expect("waits");
    bench.pass(91);
    let held = bench.lease_of_stream("w2").await;
    assert!(!store.store_segments(&lost, CABINET, stream, batch, vec![(1, "y".to_owned())]).await.expect("asked"));
    let rows = [status_row("a")];
    assert_eq!(store.unpack_segment(&lost, CABINET, &segment, &rows).await.expect("asked"), None);
    assert_eq!(store.count_status_rows(RowState::Foreign).await.expect("counted"), 0);
    assert!(store.unpack_segment(&held, CABINET, &segment, &rows).await.expect("unpacked").is_some());
    assert_eq!(store.next_segment(CABINET, stream).await.expect("read"), None, "and the late one stored nothing");
}

contract![segments_wait_in_their_order_and_are_unpacked_once, who_lost_the_stream_stores_and_unpacks_nothing,];
