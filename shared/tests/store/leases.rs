//! Who holds what, slots, cursors, and what a dead holder leaves.

use std::time::Duration;

use futures_util::future::join_all;
use shared::domain::{CrmOrderId, DeliveryState, Kopecks, OrderNumber};
use shared::message::Lane;
use shared::store::Dialect;
use shared::store::intents::{Leave, RequestKind};
use uuid::Uuid;

use crate::bench::{Bench, SOON, job, request};

async fn a_process_that_is_alone_frees_what_it_held_before_a_crash(bench: &Bench) {
    let id = bench.integration("").await.id;
    bench.want(id, "1", RequestKind::Send).await;
    let held = bench.claim_one(id, "before").await;
    bench.lease(id, 1, "1", "", "before").await.expect("leased");
    bench.store.enqueue(&[job("j", Lane::Bulk, bench.now())]).await.expect("stored");
    assert_eq!(bench.store.claim_jobs(None, "before", SOON, 9).await.expect("claimed").len(), 1);
    bench.store.free_all_leases().await.expect("freed");
    assert_eq!(bench.claim(id, "after").await.len(), 1);
    assert!(bench.lease(id, 1, "1", "", "after").await.is_some());
    assert_eq!(bench.store.claim_jobs(None, "after", SOON, 9).await.expect("claimed").len(), 1);
    assert!(!bench.leave(&held, Leave::Served).await, "the old holder is fenced off");
}

async fn a_slot_is_won_once(bench: &Bench) {
    let stores = join_all((0..8).map(|_| bench.neighbour())).await;
    for slot in 0..5 {
        let won = join_all(stores.iter().map(|store| store.win_slot("sync", slot))).await;
        assert_eq!(won.into_iter().filter(|won| *won.as_ref().expect("asked")).count(), 1, "slot {slot}");
    }
    assert!(bench.store.win_slot("retention", 0).await.expect("asked"), "another job");
    for store in stores {
        if bench.store.db.dialect() == Dialect::Sqlite {
            store.db.close().await;
        }
    }
}

async fn a_slot_that_was_won_and_never_published_is_found(bench: &Bench) {
    for slot in 0..3 {
        assert!(bench.store.win_slot("sync", slot).await.expect("won"));
        bench.pass(10);
    }
    bench.store.slot_published("sync", 1).await.expect("noted");
    let open = bench.store.unpublished_slots(bench.after(-5)).await.expect("listed");
    assert_eq!(open, [("sync".to_owned(), 0), ("sync".to_owned(), 2)]);
    let old = bench.store.unpublished_slots(bench.after(-10)).await.expect("listed");
    assert_eq!(old, [("sync".to_owned(), 0)]);
    assert_eq!(bench.store.forget_slots(bench.after(-15)).await.expect("forgotten"), 2);
}

/// A replica that was behind when it took over: rows are gone, sequences count again.
async fn behind(bench: &Bench) {
    let sets: &[&str] = match bench.store.db.dialect() {
        Dialect::Sqlite => &["DELETE FROM sqlite_sequence WHERE name <> 'integrations'"],
        Dialect::Postgres => &[
            "SELECT setval('deliveries_id_seq', 1, false)",
            "SELECT setval('intents_id_seq', 1, false)",
            "SELECT setval('order_intents_id_seq', 1, false)",
        ],
    };
    for table in ["deliveries", "intents", "order_intents", "leases"] {
        bench.store.db.exec(format!("DELETE FROM {table}"), vec![]).await.expect("lost");
    }
    for set in sets {
        bench.store.db.exec_returning(*set, vec![]).await.expect("set back");
    }
}

async fn a_late_result_lands_in_no_other_orders_row(bench: &Bench) {
    let integration = bench.integration("").await.id;
    for round in 0..20_i64 {
        let (first, second) = (CrmOrderId(2 * round + 1), CrmOrderId(2 * round + 2));
        let mut request = request(bench, integration, "1A", RequestKind::Send);
        request.order = Some(first);
        bench.record(request.clone()).await;
        let intent = bench.claim_one(integration, "frozen").await;
        let mut late = bench.lease(integration, first.0, "1A", "", "frozen").await.expect("free");
        let stream = bench.lease_of_stream("frozen").await;
        behind(bench).await;
        (request.order, request.command_id) = (Some(second), Uuid::now_v7().to_string());
        request.number = OrderNumber::parse("2A").expect("a number");
        bench.record(request).await;
        let other = bench.claim_one(integration, "other").await;
        let others = bench.lease(integration, second.0, "2A", "", "other").await.expect("free");
        bench.lease_of_stream("other").await;
        if bench.store.db.dialect() == Dialect::Postgres {
            assert_ne!((others.id, other.id), (late.id, intent.id), "ids do not repeat either");
        }
        // Sent, and only now settled.
        (late.state, late.price) = (DeliveryState::Created, Some(Kopecks(1)));
        assert!(!bench.save(&late, true).await && !bench.leave(&intent, Leave::Served).await);
        bench.suspect(&intent).await;
        bench.store.release_intent(&intent).await.expect("harmless");
        bench.store.release_delivery(&late).await.expect("harmless");
        let renewed = bench.store.renew_lease(&stream, bench.after(900)).await.expect("asked");
        assert!(!renewed, "nor does the lease of a stream");
        let held = bench.store.delivery(others.id).await.expect("read").expect("there");
        assert_eq!((&held, held.price), (&others, None));
        let wanted = bench.store.intent(integration, second).await.expect("read").expect("there");
        assert_eq!((wanted.verify, wanted.served, wanted.fence), (false, 0, other.fence));
        behind(bench).await;
    }
}

/// Even where id and fence were the same, as the release before counted them.
async fn every_write_names_its_own_order(bench: &Bench) {
    let integration = bench.integration("").await.id;
    let mut late = bench.lease(integration, 1, "1A", "", "w1").await.expect("free");
    let others = bench.lease(integration, 2, "2A", "", "w2").await.expect("free");
    (late.id, late.fence) = (others.id, others.fence);
    late.state = DeliveryState::Created;
    assert!(!bench.save(&late, true).await);
    assert!(bench.store.still_held(&[&late]).await.expect("asked").is_empty());
    bench.store.release_delivery(&late).await.expect("harmless");
    assert_eq!(bench.store.delivery(others.id).await.expect("read"), Some(others));
}

async fn what_a_dead_holder_held_is_free_and_looked_at_first(bench: &Bench) {
    let integration = bench.integration("").await.id;
    for (order, number) in [(1, "1A"), (2, "2A")] {
        let mut request = request(bench, integration, number, RequestKind::Send);
        request.order = Some(CrmOrderId(order));
        bench.record(request).await;
    }
    let held = bench.claim(integration, "dead").await;
    let mut sending = bench.lease(integration, 1, "1A", "", "dead").await.expect("free");
    sending.state = DeliveryState::Sending;
    assert!(bench.save(&sending, false).await);
    bench.lease(integration, 2, "2A", "", "dead").await.expect("free");
    bench.lease_of_stream("dead").await;
    bench.lease(integration, 3, "3A", "", "alive").await.expect("free");
    assert!(bench.claim(integration, "next").await.is_empty());
    match bench.store.db.dialect() {
        Dialect::Sqlite => bench.store.free_all_leases().await.expect("freed"),
        Dialect::Postgres => {
            let key = shared::crypto::random_number();
            let sign = bench.store.announce("dead", key).await.expect("announced").expect("free");
            assert!(bench.store.announce("other", key).await.expect("asked").is_none(), "it has one holder");
            assert_eq!(bench.store.dead_holders().await.expect("asked"), Vec::<String>::new());
            assert_eq!(bench.store.take_over("dead").await.expect("asked"), None, "it lives");
            drop(sign);
            let began = std::time::Instant::now();
            while bench.store.dead_holders().await.expect("asked") != ["dead"] {
                assert!(began.elapsed() < Duration::from_secs(60), "never");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert_eq!(bench.store.take_over("dead").await.expect("asked"), Some(2));
            assert_eq!(bench.store.take_over("dead").await.expect("asked"), None, "once");
            assert!(bench.lease(integration, 3, "3A", "", "next").await.is_none(), "others keep theirs");
        }
    }
    let mut next = bench.claim(integration, "next").await;
    next.sort_by_key(|intent| intent.order);
    let verify: Vec<bool> = next.iter().map(|intent| intent.verify).collect();
    assert_eq!(verify, [true, false], "only what may have been sent is looked at");
    let again = bench.lease(integration, 1, "1A", "", "next").await.expect("free at once");
    assert_ne!(again.prior_fence, sending.fence, "not held by it any more");
    assert!(!bench.save(&sending, true).await, "and it cannot write, had it only been away");
    assert!(!bench.leave(&held[0], Leave::Served).await);
    bench.lease_of_stream("next").await;
}

async fn a_named_lease_has_one_holder_and_a_fence(bench: &Bench) {
    let take = async |owner: &str| bench.store.take_lease("poll", owner, bench.after(90)).await.expect("asked");
    let first = take("w1").await.expect("free");
    assert!(take("w2").await.is_none());
    bench.pass(60);
    assert!(bench.store.renew_lease(&first, bench.after(90)).await.expect("renewed"));
    bench.pass(91);
    let second = take("w2").await.expect("ran out");
    assert_ne!(second.fence, first.fence);
    assert!(!bench.store.renew_lease(&first, bench.after(90)).await.expect("asked"));
    let mut tx = bench.store.db.begin().await.expect("begins");
    assert!(!tx.holds_lease(&first).await.expect("asked"));
    assert!(tx.holds_lease(&second).await.expect("asked"));
    tx.commit().await.expect("committed");
    bench.store.release_lease(&first).await.expect("harmless");
    assert!(take("w3").await.is_none());
    bench.store.release_lease(&second).await.expect("released");
    assert!(take("w3").await.is_some());
}

async fn a_turn_is_one_transactions_at_a_time(bench: &Bench) {
    for _ in 0..2 {
        bench.store.make_turn("apply|8").await.expect("made");
    }
    let mut first = bench.store.db.begin().await.expect("begins");
    assert!(first.is_my_turn("apply|8").await.expect("asked"));
    let store = bench.neighbour().await;
    let second = tokio::spawn(async move {
        let mut second = store.db.begin().await.expect("begins");
        second.is_my_turn("apply|8").await.expect("asked")
    });
    match bench.store.db.dialect() {
        // There one writes at a time whatever it is about.
        Dialect::Sqlite => drop(first),
        Dialect::Postgres => {
            assert!(!second.await.expect("ran"), "it does not wait for the first");
            drop(first);
            bench.commit(async |tx| tx.is_my_turn("apply|8").await.map(|mine| assert!(mine))).await;
            return;
        }
    }
    assert!(second.await.expect("ran"));
}

async fn set_cursor(bench: &Bench, value: &str) {
    bench.commit(async |tx| tx.set_cursor("history", value, bench.now()).await).await;
}

async fn cursors_and_reference_lists_are_kept(bench: &Bench) {
    let id = bench.integration("").await.id;
    assert_eq!(bench.store.cursor("history").await.expect("read"), None);
    set_cursor(bench, "17").await;
    bench.pass(5);
    set_cursor(bench, "18").await;
    assert_eq!(bench.store.cursor("history").await.expect("read"), Some(("18".to_owned(), bench.now())));
    bench.store.keep_reference(id, "types", "[1]").await.expect("kept");
    bench.store.keep_reference(id, "types", "[2]").await.expect("kept");
    assert_eq!(bench.store.reference(id, "types").await.expect("read"), Some(("[2]".to_owned(), bench.now())));
    assert_eq!(bench.store.reference(id, "sites").await.expect("read"), None);
}

contract![
    a_process_that_is_alone_frees_what_it_held_before_a_crash,
    a_slot_is_won_once,
    a_slot_that_was_won_and_never_published_is_found,
    a_late_result_lands_in_no_other_orders_row,
    every_write_names_its_own_order,
    what_a_dead_holder_held_is_free_and_looked_at_first,
    a_named_lease_has_one_holder_and_a_fence,
    a_turn_is_one_transactions_at_a_time,
    cursors_and_reference_lists_are_kept,
];
