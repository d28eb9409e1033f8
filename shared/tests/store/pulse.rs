//! Signs of life of an integration.

use shared::domain::DeliveryState;

use crate::bench::{Bench, CABINET};

async fn an_integration_was_last_synced_when_its_cabinets_stream_last_answered_to_its_end(bench: &Bench) {
    let integration = bench.integration("").await;
    let (account, stream) = (integration.courier_account(), integration.settings.stream_id);
    let synced = async || bench.store.last_synced(&integration).await.expect("read");
    assert_eq!(synced().await, None);
    let lease = bench.lease_of_stream("w1").await;
    let begin = async |account: &str, stream: u32| {
        let batch = bench.store.begin_batch(&lease, account, stream, bench.now()).await.expect("begun");
        batch.expect("the lease is held")
    };
    let first = begin(&account, stream).await;
    assert_eq!(synced().await, None, "it may break off yet");
    bench.pass(5);
    // Nothing new is an answer too.
    assert!(bench.store.seal_batch(&lease, first, 0, "").await.expect("sealed"));
    let at = bench.now();
    assert_eq!(synced().await, Some(at));
    bench.pass(5);
    for (account, stream) in [(CABINET, stream), (account.as_str(), stream + 1)] {
        let other = begin(account, stream).await;
        assert!(bench.store.seal_batch(&lease, other, 3, "x").await.expect("sealed"));
    }
    begin(&account, stream).await;
    assert_eq!(synced().await, Some(at), "others' answers, and one under way, say nothing");
}

async fn the_last_order_at_measoft_is_of_each_integration_its_own(bench: &Bench) {
    let (one, other) = (bench.integration("").await.id, bench.integration("X").await.id);
    assert!(bench.store.last_placed().await.expect("read").is_empty());
    let begun = bench.now();
    for (order, state) in [(7, DeliveryState::Created), (8, DeliveryState::Created), (9, DeliveryState::Unknown)] {
        bench.pass(60);
        let mut d = bench.lease(one, order, &order.to_string(), "", "w1").await.expect("leased");
        (d.state, d.sent_at) = (state, Some(bench.now()));
        assert!(bench.save(&d, true).await);
    }
    bench.lease(other, 7, "7", "X", "w1").await.expect("planned, not sent");
    let placed = bench.store.last_placed().await.expect("read");
    let since: Vec<_> = placed.iter().map(|(id, at)| (*id, at.duration_since(begun).as_secs())).collect();
    assert_eq!(since, [(one, 120)]);
}

contract![
    an_integration_was_last_synced_when_its_cabinets_stream_last_answered_to_its_end,
    the_last_order_at_measoft_is_of_each_integration_its_own,
];
