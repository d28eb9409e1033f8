//! A copy of what is known of some orders, to try things on.

use shared::domain::{CrmOrderId, DeliveryState, Kopecks};
use shared::store::Store;
use shared::store::intents::{OrderRequest, RequestKind};

use crate::bench::{Bench, request};

async fn what_is_known_of_some_orders_is_copied_whole_and_held_by_nobody(bench: &Bench) {
    let (one, other) = (bench.integration("").await.id, bench.integration("X").await.id);
    for (integration, order, number) in [(one, 7, "A-7"), (other, 7, "A-7"), (one, 8, "A-8"), (one, 9, "A-9")] {
        let prefix = if integration == one { "" } else { "X" };
        let mut d = bench.lease(integration, order, number, prefix, "w1").await.expect("leased");
        (d.state, d.price, d.sent_hash) = (DeliveryState::Created, Some(Kopecks::roubles(37)), Some("hash".to_owned()));
        assert!(bench.save(&d, order == 8).await);
    }
    bench.record(OrderRequest { order: Some(CrmOrderId(7)), ..request(bench, one, "A-7", RequestKind::Update) }).await;
    bench.want(one, "A-7", RequestKind::Send).await;
    bench.want(one, "A-9", RequestKind::Send).await;
    let held = bench.claim(one, "w1").await;
    assert_eq!(held.len(), 3);
    let scratch = Bench::sqlite().await;
    scratch.store.db.migrate().await.expect("migrated");
    let (taken, ids) = (["A-8".to_owned()], [CrmOrderId(7)]);
    bench.store.copy_orders_to(&scratch.store, one, &["A-7"], &ids, &taken).await.expect("copied");
    let read = async |store: &Store, integration, order| {
        store.delivery_by_order(integration, CrmOrderId(order)).await.expect("read")
    };
    for (integration, order) in [(one, 7), (other, 7), (one, 8)] {
        let (mut real, copy) =
            (read(&bench.store, integration, order).await, read(&scratch.store, integration, order).await);
        real.as_mut().expect("there").fence = copy.as_ref().expect("copied").fence;
        assert_eq!(format!("{real:?}"), format!("{copy:?}"));
    }
    assert!(read(&scratch.store, one, 9).await.is_none(), "nobody asked for it");
    let opened = scratch.store.integration(one).await.expect("read").expect("copied");
    assert_eq!(opened.secrets, bench.store.integration(one).await.expect("read").expect("there").secrets);
    let mut due =
        scratch.claim(one, "w2").await.into_iter().map(|i| (i.number.to_string(), i.order)).collect::<Vec<_>>();
    due.sort();
    assert_eq!(due, [("A-7".to_owned(), None), ("A-7".to_owned(), Some(CrmOrderId(7)))], "held by nobody there");
    assert!(bench.claim(one, "w2").await.is_empty(), "and held as before here");
    scratch.clear().await;
}

contract![what_is_known_of_some_orders_is_copied_whole_and_held_by_nobody];
