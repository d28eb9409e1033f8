//! The ledger: its leases, its numbers, what ended.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use shared::domain::delivery::{CrmWritten, Fingerprint};
use shared::domain::{CrmOrderId, Delivery, DeliveryId, DeliveryState, IntegrationId, Kopecks, OrderNo, OrderNumber};
use shared::store::StoreError;
use shared::store::deliveries::{DeliveryKey, Leased};
use shared::store::intents::{Leave, RequestKind};

use crate::bench::Bench;

async fn a_number_by_id_that_is_a_real_number_gives_way_to_the_next_free_one(bench: &Bench) {
    let id = bench.integration("").await.id;
    let number = async |order, number: &str| {
        bench.lease(id, order, number, "", "w").await.expect("leased").orderno.as_str().to_owned()
    };
    assert_eq!(number(1, "R7").await, "R7");
    assert_eq!(number(2, "R7-2").await, "R7-2");
    assert_eq!(number(7, "заказ").await, "R7-3");
    assert_eq!(number(8, "R7").await, "R8");
}

async fn what_ended_is_remembered_for_good_and_its_number_is_never_given_again(bench: &Bench) {
    let id = bench.integration("").await.id;
    let mut delivered = bench.lease(id, 1, "100", "", "w").await.expect("leased");
    delivered.state = DeliveryState::Delivered;
    delivered.status = Some("COMPLETE".to_owned());
    assert!(bench.save(&delivered, true).await);
    let mut cancelled = bench.lease(id, 2, "200", "", "w").await.expect("leased");
    cancelled.state = DeliveryState::Cancelled;
    cancelled.cancelled_by_us = true;
    assert!(bench.save(&cancelled, true).await);
    bench.pass(100 * 24 * 3600);
    assert_eq!(bench.store.forget_deliveries(bench.after(-90 * 24 * 3600), 9).await.expect("forgotten"), 2);
    let number = OrderNumber::parse("100").expect("a number");
    let key = |order| DeliveryKey { integration: id, crm_order: CrmOrderId(order), number: &number, prefix: "" };
    let again = bench.store.lease_delivery(&key(1), "w", bench.after(90)).await.expect("asked");
    let Leased::Over(past) = again else { panic!("{again:?}") };
    assert_eq!((past.orderno.as_str(), past.status.as_deref()), ("100", Some("COMPLETE")));
    assert_eq!(past.state, DeliveryState::Delivered);
    // A `save` brings no row back either.
    bench.store.put_saved_request(&key(1), "{}").await.expect("asked");
    assert!(bench.store.delivery_by_order(id, CrmOrderId(1)).await.expect("read").is_none());
    assert_eq!(bench.lease(id, 3, "100", "", "w").await.expect("leased").orderno.as_str(), "R3", "a used number");
    let anew = bench.lease(id, 2, "200", "", "w").await.expect("what we cancelled may be placed anew");
    assert_eq!((anew.orderno.as_str(), anew.generation), ("200-2", 2));
    assert_eq!(bench.store.past_by_number("100", None).await.expect("read").len(), 1);
}

async fn a_delivery_is_made_once_and_leased_to_one(bench: &Bench) {
    let id = bench.integration("MS-").await.id;
    let made = bench.lease(id, 4817, "1234A", "MS-", "w1").await.expect("made");
    assert_eq!(made.orderno.as_str(), "MS-1234A");
    assert_eq!((made.state, made.generation, made.prior_fence), (DeliveryState::Planned, 1, 0));
    assert_eq!(made.created_at, bench.now());
    assert!(bench.lease(id, 4817, "1234A", "MS-", "w2").await.is_none(), "held");
    assert!(bench.store.lease_known_delivery(made.id, "w2", bench.after(90)).await.expect("asked").is_none());
    bench.pass(91);
    let taken = bench.lease(id, 4817, "5678B", "MS-", "w2").await.expect("its lease ran out");
    assert_eq!((taken.id, taken.prior_fence), (made.id, made.fence));
    assert_eq!(taken.orderno, made.orderno, "an edited number changes nothing");
    bench.store.release_delivery(&taken).await.expect("released");
    let known = bench.store.lease_known_delivery(made.id, "w3", bench.after(90)).await.expect("asked");
    assert_eq!(known.expect("free").prior_fence, taken.fence);
    let gone = bench.store.lease_known_delivery(DeliveryId(4040), "w3", bench.after(90)).await.expect("asked");
    assert!(gone.is_none());
}

async fn of_many_that_lease_a_new_delivery_one_gets_it(bench: &Bench) {
    let id = bench.integration("").await.id;
    let owners: Vec<String> = (0..8).map(|n| format!("w{n}")).collect();
    let leased = join_all(owners.iter().map(|owner| bench.lease(id, 1, "1", "", owner))).await;
    assert_eq!(leased.iter().flatten().count(), 1);
}

async fn a_writer_whose_lease_ran_out_changes_nothing(bench: &Bench) {
    let id = bench.integration("").await.id;
    let mut late = bench.lease(id, 1, "1", "", "w1").await.expect("leased");
    late.state = DeliveryState::Sending;
    assert!(bench.save(&late, false).await, "while it holds");
    bench.pass(91);
    let mut present = bench.lease(id, 1, "1", "", "w2").await.expect("leased");
    assert_eq!(present.state, DeliveryState::Sending, "what was saved is seen");
    late.state = DeliveryState::Created;
    assert!(!bench.save(&late, true).await);
    bench.store.release_delivery(&late).await.expect("harmless");
    assert_eq!(bench.store.renew_deliveries("w1", &[late.id.0], bench.after(900)).await.expect("asked"), 0);
    assert!(bench.lease(id, 1, "1", "", "w3").await.is_none(), "the present holder holds on");
    present.state = DeliveryState::Unknown;
    assert!(bench.save(&present, true).await);
    let read = bench.store.delivery(present.id).await.expect("read").expect("there");
    assert_eq!(read.state, DeliveryState::Unknown);
    assert!(bench.lease(id, 1, "1", "", "w3").await.is_some(), "it let go");
}

async fn a_delivery_lease_lives_as_long_as_it_is_renewed(bench: &Bench) {
    let id = bench.integration("").await.id;
    let held = bench.lease(id, 1, "1", "", "w1").await.expect("leased");
    for _ in 0..4 {
        bench.pass(60);
        assert_eq!(bench.store.renew_deliveries("w1", &[held.id.0], bench.after(90)).await.expect("renewed"), 1);
        assert!(bench.lease(id, 1, "1", "", "w2").await.is_none());
    }
    assert!(bench.save(&held, false).await, "the fence is still its own");
}

async fn a_number_that_is_taken_gives_way_to_the_orders_id(bench: &Bench) {
    let id = bench.integration("S-").await.id;
    let other = bench.integration("T-").await.id;
    assert_eq!(bench.lease(id, 1, "12", "S-", "w").await.expect("leased").orderno.as_str(), "S-12");
    assert_eq!(bench.lease(id, 2, "12", "S-", "w").await.expect("leased").orderno.as_str(), "S-R2");
    assert_eq!(bench.lease(other, 3, "12", "T-", "w").await.expect("leased").orderno.as_str(), "T-12");
    bench.pass(91);
    assert_eq!(bench.lease(id, 2, "12", "S-", "w").await.expect("leased").orderno.as_str(), "S-R2", "for good");
}

/// Fills every field that is written back.
fn fill(bench: &Bench, d: &mut Delivery) {
    d.number = "№ 5 «б»".to_owned();
    d.site = "main-shop".to_owned();
    d.delivery_type = "incity".to_owned();
    d.orderno = OrderNo::known("1234A-2");
    d.ordercode = Some("0003401771".to_owned());
    d.generation = 2;
    d.state = DeliveryState::Partly;
    d.status = Some("PARTIALLY".to_owned());
    d.status_at = Some("2024-05-17T09:41:12Z".parse().expect("a moment"));
    d.status_seen_at = Some("2024-05-17T09:45:00Z".parse().expect("a moment"));
    d.cancelled_by_us = true;
    d.sent_hash = Some("aa".to_owned());
    d.sending_hash = Some("bb".to_owned());
    d.sending = Some(Fingerprint {
        price: Some(Kopecks(-1)),
        extcodes: vec!["3301".to_owned(), "3301-2".to_owned()],
        phone_hash: "cc".to_owned(),
        undeclared_hash: "ee".to_owned(),
        late_until: Some(bench.after(45)),
        cancel_unheard: true,
        earlier: vec![Fingerprint { phone_hash: "dd".to_owned(), ..Fingerprint::default() }],
    });
    d.sent_at = Some(bench.after(-60));
    d.price = Some(Kopecks(i64::MAX));
    d.item_codes = BTreeMap::from([("3301".to_owned(), "77".to_owned())]);
    d.crm_written = CrmWritten {
        external_id: "ms-1-4817".to_owned(),
        track_number: "1234A".to_owned(),
        status: "NEW".to_owned(),
        error: Some("нет телефона".to_owned()),
        next_step: Some("указать телефон".to_owned()),
        owed: Some("нет адреса".to_owned()),
        owed_next_step: Some("указать адрес".to_owned()),
        unseen: 2,
    };
    d.reject_reason = Some("bad_phone".to_owned());
    d.requests = 9;
}

async fn every_field_of_a_delivery_is_kept(bench: &Bench) {
    let id = bench.integration("").await.id;
    let mut d = bench.lease(id, 4817, "1234A", "", "w").await.expect("leased");
    fill(bench, &mut d);
    assert!(bench.save(&d, false).await);
    assert_eq!(bench.store.delivery(d.id).await.expect("read"), Some(d.clone()));
    for state in DeliveryState::ALL {
        d.state = state;
        assert!(bench.save(&d, false).await);
        assert_eq!(bench.store.delivery(d.id).await.expect("read").expect("there").state, state);
    }
}

async fn deliveries_locked_and_written_together_are_as_if_each_was_held(bench: &Bench) {
    let id = bench.integration("").await.id;
    let late = bench.lease(id, 4817, "1234A", "", "late").await.expect("leased");
    let plain = bench.lease(id, 4818, "1235A", "", "late").await.expect("leased");
    bench.pass(91);
    let held = bench.lease(id, 4819, "1236A", "", "w").await.expect("leased");
    let mut tx = bench.store.db.begin().await.expect("begins");
    let free = tx.lock_free_deliveries(&[held.id, plain.id, late.id], bench.now()).await.expect("locked");
    assert_eq!(free.iter().map(|d| d.id).collect::<Vec<_>>(), [late.id, plain.id], "not what another holds");
    let mut written = free.clone();
    fill(bench, &mut written[0]);
    written[1].status = Some("a \"b\"\n\u{2028}\\\0'; --".to_owned());
    tx.save_locked_deliveries(&written, bench.now()).await.expect("saved");
    tx.commit().await.expect("committed");
    written[1].status = written[1].status.as_ref().map(|text| text.replace('\0', "\u{fffd}"));
    for was in &written {
        let kept = bench.store.delivery(was.id).await.expect("read").expect("there");
        assert_eq!(kept.prior_fence, was.fence);
        assert_ne!(kept.fence, was.fence);
        assert_eq!(&Delivery { fence: was.fence, prior_fence: was.prior_fence, ..kept }, was);
    }
    assert!(!bench.save(&late, true).await, "who held it before is late");
    // What is not as it was read is not written, nor is what goes with it.
    let mut tx = bench.store.db.begin().await.expect("begins");
    let saved = tx.save_locked_deliveries(&[held, late], bench.now()).await;
    assert!(matches!(saved, Err(StoreError::ChangedMeanwhile)), "{saved:?}");
    drop(tx);
    bench.commit(async |tx| tx.save_locked_deliveries(&[], bench.now()).await).await;
    for was in &written {
        assert!(bench.store.lease_known_delivery(was.id, "w", bench.after(90)).await.expect("asked").is_some());
    }
}

async fn a_delivery_is_found_by_any_of_its_numbers(bench: &Bench) {
    let id = bench.integration("S-").await.id;
    let other = bench.integration("T-").await.id;
    let mut d = bench.lease(id, 4817, "1234A", "S-", "w").await.expect("leased");
    bench.lease(other, 4817, "1234A", "T-", "w").await.expect("leased");
    // The number was edited; a request under the old one is bound to it.
    d.number = "NEW-1".to_owned();
    assert!(bench.save(&d, true).await);
    bench.want(id, "1234A", RequestKind::Send).await;
    let intent = bench.claim_one(id, "w").await;
    let mut tx = bench.store.db.begin().await.expect("begins");
    tx.note_deliveries(&[(&intent, d.id)]).await.expect("noted");
    tx.leave_intent(&intent, Leave::Served, bench.now()).await.expect("left");
    tx.commit().await.expect("committed");
    let find = async |number: &str, integration: Option<IntegrationId>| -> Vec<i64> {
        let found = bench.store.deliveries_by_number(number, integration).await.expect("found");
        found.into_iter().map(|d| d.integration.0).collect()
    };
    assert_eq!(find("NEW-1", None).await, [id.0]);
    assert_eq!(find("S-1234A", None).await, [id.0]);
    assert_eq!(find("1234A", None).await, [id.0, other.0]);
    assert_eq!(find("1234A", Some(other)).await, [other.0]);
    assert_eq!(find("1234", None).await, [0_i64; 0]);
    let by_order = bench.store.delivery_by_order(id, CrmOrderId(4817)).await.expect("read");
    assert_eq!(by_order.map(|d| d.id), Some(d.id));
}

contract![
    a_number_by_id_that_is_a_real_number_gives_way_to_the_next_free_one,
    what_ended_is_remembered_for_good_and_its_number_is_never_given_again,
    a_delivery_is_made_once_and_leased_to_one,
    of_many_that_lease_a_new_delivery_one_gets_it,
    a_writer_whose_lease_ran_out_changes_nothing,
    a_delivery_lease_lives_as_long_as_it_is_renewed,
    a_number_that_is_taken_gives_way_to_the_orders_id,
    every_field_of_a_delivery_is_kept,
    deliveries_locked_and_written_together_are_as_if_each_was_held,
    a_delivery_is_found_by_any_of_its_numbers,
];
