//! What gave up: counted, listed, answered.

use shared::domain::{CrmOrderId, DeliveryId, Fault, Kopecks, Language};
use shared::phrases::{Detail, Details, Reader, Value as _};
use shared::store::dead_letters::{DeadFilter, DeadState, NewDeadLetter, name_orders};

use crate::bench::{Bench, dead};

async fn a_repeated_failure_is_one_dead_letter_with_a_counter(bench: &Bench) {
    let id = bench.integration("").await.id;
    let first = bench.add_dead_letter(&dead(Some(id), Some("1"), "bad_phone", Fault::Shop)).await;
    bench.pass(60);
    let again = NewDeadLetter {
        detail: "как стало".into(),
        tries: 5,
        delivery: Some(DeliveryId(9)),
        ..dead(Some(id), Some("1"), "bad_phone", Fault::Shop)
    };
    assert_eq!(bench.add_dead_letter(&again).await, first);
    let letter = bench.store.dead_letter(first).await.expect("read").expect("there");
    assert_eq!((letter.attempts, letter.tries, letter.detail.to_string().as_str()), (2, 5, "как стало"));
    assert_eq!((letter.created_at, letter.updated_at), (bench.after(-60), bench.now()));
    assert_eq!(letter.delivery, Some(DeliveryId(9)));
    let mut others = vec![first];
    others.push(bench.add_dead_letter(&dead(Some(id), Some("1"), "no_address", Fault::Shop)).await);
    others.push(bench.add_dead_letter(&dead(Some(id), Some("2"), "bad_phone", Fault::Shop)).await);
    let update =
        NewDeadLetter { kind: "UpdateOrder".to_owned(), ..dead(Some(id), Some("1"), "bad_phone", Fault::Shop) };
    others.push(bench.add_dead_letter(&update).await);
    others.dedup();
    assert_eq!(others.len(), 4, "another reason, order or kind is another letter");
    let raw = NewDeadLetter { raw: Some(vec![0, 255, 1]), ..dead(None, None, "undecodable", Fault::Bridge) };
    let unreadable = bench.add_dead_letter(&raw).await;
    assert_ne!(bench.add_dead_letter(&raw).await, unreadable, "messages nobody can read stay apart");
    let kept = bench.store.dead_letter(unreadable).await.expect("read").expect("there");
    assert_eq!(kept.raw, Some(vec![0, 255, 1]));
}

async fn dead_letters_are_listed_as_asked(bench: &Bench) {
    let id = bench.integration("").await.id;
    let other = bench.integration("B-").await.id;
    let a = bench.add_dead_letter(&dead(Some(id), Some("1"), "bad_phone", Fault::Shop)).await;
    bench.pass(60);
    let b = bench.add_dead_letter(&dead(Some(other), Some("2"), "crm_refused", Fault::Crm)).await;
    let c = bench.add_dead_letter(&dead(None, None, "undecodable", Fault::Bridge)).await;
    let mut tx = bench.store.db.begin().await.expect("begins");
    assert!(tx.close_dead_letter(c, DeadState::Discarded, "мусор", bench.now()).await.expect("closed"));
    assert!(!tx.close_dead_letter(c, DeadState::Replayed, "", bench.now()).await.expect("asked"), "only once");
    tx.commit().await.expect("committed");
    assert_eq!(bench.dead(DeadFilter::default()).await, [a, b]);
    assert_eq!(bench.dead(DeadFilter { all: true, ..DeadFilter::default() }).await, [a, b, c]);
    assert_eq!(bench.dead(DeadFilter { integration: Some(other), ..DeadFilter::default() }).await, [b]);
    assert_eq!(bench.dead(DeadFilter { fault: Some(Fault::Shop), ..DeadFilter::default() }).await, [a]);
    let reason = Some("crm_refused".to_owned());
    assert_eq!(bench.dead(DeadFilter { reason, ..DeadFilter::default() }).await, [b]);
    assert_eq!(bench.dead(DeadFilter { since: Some(bench.now()), ..DeadFilter::default() }).await, [b]);
    let none = DeadFilter { integration: Some(id), fault: Some(Fault::Crm), ..DeadFilter::default() };
    assert_eq!(bench.dead(none).await, [0_i64; 0]);
    bench.add_dead_letter(&dead(None, None, "poison", Fault::Bridge)).await;
    let mut open = bench.store.open_dead_letters_by_integration().await.expect("counted");
    open.sort_unstable();
    let expected = [(None, Fault::Bridge, 1, 1), (Some(id), Fault::Shop, 1, 1), (Some(other), Fault::Crm, 1, 1)];
    assert_eq!(open, expected);
    bench.add_dead_letter(&dead(Some(id), Some("5"), "bad_phone", Fault::Shop)).await;
    bench.add_dead_letter(&dead(Some(id), Some("6"), "bad_phone", Fault::Shop)).await;
    bench.add_dead_letter(&dead(Some(id), Some("7"), "no_address", Fault::Shop)).await;
    let open = bench.store.open_dead_letters_by_integration().await.expect("counted");
    let (_, _, letters, reasons) = open.iter().find(|(of, ..)| *of == Some(id)).expect("counted");
    assert_eq!((*letters, *reasons), (4, 2), "a reason is one cause, however many letters");
    let closed = bench.store.dead_letter(c).await.expect("read").expect("there");
    assert_eq!((closed.state, closed.closed_why.as_deref()), (DeadState::Discarded, Some("мусор")));
}

async fn a_success_resolves_what_was_open_for_its_order(bench: &Bench) {
    let id = bench.integration("").await.id;
    let other = bench.integration("B-").await.id;
    let mine = bench.add_dead_letter(&dead(Some(id), Some("1"), "bad_phone", Fault::Shop)).await;
    bench.add_dead_letter(&dead(Some(id), Some("1"), "no_address", Fault::Shop)).await;
    let neighbour = bench.add_dead_letter(&dead(Some(other), Some("1"), "bad_phone", Fault::Shop)).await;
    let other_order = bench.add_dead_letter(&dead(Some(id), Some("2"), "bad_phone", Fault::Shop)).await;
    let of_kind = |kind: &str, reason| NewDeadLetter {
        kind: kind.to_owned(),
        ..dead(Some(id), Some("1"), reason, Fault::Bridge)
    };
    // A cancel that never came in concerns others too; one that was worked on here does not.
    let never_came_in = bench.add_dead_letter(&of_kind("CancelOrder", "unroutable")).await;
    bench.add_dead_letter(&of_kind("CancelOrder", "too_late")).await;
    bench.add_dead_letter(&of_kind("SendOrder", "unroutable")).await;
    let mut tx = bench.store.db.begin().await.expect("begins");
    assert_eq!(tx.resolve_dead_letters(id, &[(CrmOrderId(1), "1")], bench.now()).await.expect("resolved"), 4);
    tx.commit().await.expect("committed");
    assert_eq!(bench.dead(DeadFilter::default()).await, [neighbour, other_order, never_came_in]);
    let resolved = bench.store.dead_letter(mine).await.expect("read").expect("there");
    assert_eq!(resolved.state, DeadState::Resolved);
    let anew = bench.add_dead_letter(&dead(Some(id), Some("1"), "bad_phone", Fault::Shop)).await;
    assert_ne!(anew, mine, "what is closed is not counted on");
}

async fn letters_of_two_orders_with_one_number_are_told_apart(bench: &Bench) {
    let id = bench.integration("").await.id;
    let letter = dead(Some(id), Some("7001"), "bad_phone", Fault::Shop);
    let add_dead_letter = async |order: Option<i64>, letter: &NewDeadLetter| {
        bench.commit(async |tx| tx.add_dead_letter_of(order.map(CrmOrderId), letter, bench.now()).await).await
    };
    let (one, two) = (add_dead_letter(Some(1), &letter).await, add_dead_letter(Some(2), &letter).await);
    assert_ne!(one, two);
    assert_eq!(add_dead_letter(Some(1), &letter).await, one, "its own repeat is counted");
    let newest = bench.store.newest_dead_letter(id, CrmOrderId(2), bench.after(-9)).await.expect("read");
    assert_eq!(newest.map(|letter| letter.id), Some(two));
    let of_number = |reason| dead(Some(id), Some("7001"), reason, Fault::Shop);
    let not_found = add_dead_letter(None, &of_number("order_not_found")).await;
    let ambiguous = add_dead_letter(None, &of_number("ambiguous_number")).await;
    let resolve = async |order: i64| {
        bench.commit(async |tx| tx.resolve_dead_letters(id, &[(CrmOrderId(order), "7001")], bench.now()).await).await;
        bench.dead(DeadFilter::default()).await
    };
    assert_eq!(resolve(1).await, [two, ambiguous], "not the neighbour's, and which is meant is open");
    assert!(not_found < ambiguous);
    assert_eq!(resolve(2).await, [ambiguous]);
}

async fn a_letter_about_several_orders_is_answered_by_all_of_them(bench: &Bench) {
    let id = bench.integration("").await.id;
    let naming = |orders: &[i64]| NewDeadLetter {
        detail: name_orders(&orders.iter().copied().map(CrmOrderId).collect::<Vec<_>>()),
        ..dead(Some(id), Some("7001"), "ambiguous_number", Fault::Shop)
    };
    let letter = bench.add_dead_letter(&naming(&[11, 12])).await;
    assert_eq!(bench.add_dead_letter(&naming(&[12, 13])).await, letter);
    let read = bench.store.dead_letter(letter).await.expect("read").expect("there");
    assert_eq!(read.detail.to_string(), "RetailCRM ids 11, 12, 13", "those named before stay named");
    let other = bench.add_dead_letter(&NewDeadLetter { number: Some("7002".into()), ..naming(&[14]) }).await;
    let look = async |order: i64, has_left: bool, sql: &str| {
        let mut tx = bench.store.db.begin().await.expect("begins");
        tx.exec(sql, vec![]).await.expect("written");
        tx.resolve_ambiguous(id, &[(CrmOrderId(order), has_left)], bench.now()).await.expect("resolved");
        tx.commit().await.expect("committed");
        bench.dead(DeadFilter::default()).await
    };
    let delivery = |order: i64, number: &str, state: &str| {
        format!(
            "INSERT INTO deliveries (integration_id, crm_order_id, number, orderno, state, created_at, updated_at) \
             VALUES ({id}, {order}, '{number}', 'N{order}', '{state}', 1, 1)"
        )
    };
    // By whatever number it goes now, but not before it is placed.
    assert_eq!(look(11, false, &delivery(11, "7001-A", "rejected")).await, [letter, other]);
    let placed = "UPDATE deliveries SET state = 'created' WHERE crm_order_id = 11";
    assert_eq!(look(11, false, placed).await, [letter, other]);
    let over = format!(
        "INSERT INTO past_deliveries (integration_id, crm_order_id, number, orderno, generation, state, ended_at) \
         VALUES ({id}, 12, '7001', '7001', 1, 'delivered', 1)"
    );
    assert_eq!(look(12, false, &over).await, [letter, other]);
    let cancelled = format!(
        "INSERT INTO order_intents (integration_id, crm_order_id, number, requested, served, send_seq, cancel_seq, \
         due_at, wanted_at, created_at, updated_at) VALUES ({id}, 13, '7001', 2, 2, 1, 2, 1, 1, 1, 1)"
    );
    // A cancel that was served may have meant another; an order that left is named no more.
    assert_eq!(look(13, false, &cancelled).await, [letter, other]);
    let nothing = "UPDATE order_intents SET number = number";
    assert_eq!(look(12, true, nothing).await, [letter, other]);
    let read = bench.store.dead_letter(letter).await.expect("read").expect("there");
    assert_eq!(read.detail.to_string(), "RetailCRM ids 11, 13");
    assert_eq!(look(13, true, nothing).await, [other]);
    assert_eq!(look(14, true, nothing).await, [0; 0]);
}

async fn a_payment_that_is_settled_answers_its_own_orders_letter(bench: &Bench) {
    let id = bench.integration("").await.id;
    let of_payment = dead(Some(id), Some("7001"), "payment_conflict", Fault::Crm);
    let of_payment = NewDeadLetter { kind: "SyncPayments".into(), ..of_payment };
    let add_dead_letter = async |order: i64, number: &str| {
        let mut tx = bench.store.db.begin().await.expect("begins");
        let letter = NewDeadLetter { number: Some(number.into()), ..of_payment.clone() };
        let id = tx.add_dead_letter_of(Some(CrmOrderId(order)), &letter, bench.now()).await.expect("buried");
        tx.commit().await.expect("committed");
        id
    };
    let (_, neighbour) = (add_dead_letter(1, "7001").await, add_dead_letter(2, "7001").await);
    let mut tx = bench.store.db.begin().await.expect("begins");
    let closed = tx
        .resolve_dead_letters_of_orders(id, &[(CrmOrderId(1), DeliveryId(99))], "SyncPayments", bench.now())
        .await
        .expect("resolved");
    tx.resolve_dead_letters_of(id, Some("7001"), "SyncPayments", bench.now()).await.expect("nothing");
    tx.commit().await.expect("committed");
    assert_eq!(closed, 1);
    assert_eq!(bench.dead(DeadFilter::default()).await, [neighbour]);
}

async fn figures_are_told_in_the_readers_language_and_those_of_an_earlier_release_as_they_are(bench: &Bench) {
    let id = bench.integration("").await.id;
    let detail: Details = Detail::Prices { ours: Kopecks::roubles(1), theirs: Kopecks::roubles(2) }.into();
    let letter =
        NewDeadLetter { detail: detail.clone(), ..dead(Some(id), Some("1"), "price_mismatch", Fault::Courier) };
    let letter = bench.add_dead_letter(&letter).await;
    let read = async || bench.store.dead_letter(letter).await.expect("read").expect("there").detail;
    assert_eq!(read().await, detail);
    let russian = Reader { language: Language::Ru, ..Reader::plain() };
    assert_eq!(read().await.words(&russian), "у нас 1.00, в MeaSoft 2.00");
    // The release before counts a repeat in words alone.
    let sql = "UPDATE dead_letters SET detail = 'ours 3.00, MeaSoft''s 4.00' WHERE id = $1";
    bench.store.db.exec(sql, vec![letter.into()]).await.expect("written");
    assert_eq!(read().await.words(&russian), "ours 3.00, MeaSoft's 4.00", "not what was before");
}

async fn a_thing_told_once_is_not_told_again_after_it_was_discarded(bench: &Bench) {
    let id = bench.integration("").await.id;
    let dead = NewDeadLetter {
        integration: Some(id),
        delivery: None,
        number: Some("status X".to_owned()),
        kind: "SyncStatuses".to_owned(),
        reason: "status_unmapped".to_owned(),
        fault: Fault::Bridge,
        detail: Details::NONE,
        tries: 1,
        command: None,
        raw: None,
    };
    let open = async || bench.store.dead_letters(&DeadFilter::default()).await.expect("read");
    let tell = async || {
        bench.commit(async |tx| tx.add_dead_letter_once(&dead, bench.now()).await).await;
    };
    tell().await;
    tell().await;
    assert_eq!(open().await.iter().map(|letter| letter.attempts).collect::<Vec<_>>(), [1]);
    let mut tx = bench.store.db.begin().await.expect("begins");
    let first = open().await[0].id;
    assert!(tx.close_dead_letter(first, DeadState::Discarded, "seen", bench.now()).await.expect("closed"));
    tx.commit().await.expect("commits");
    tell().await;
    assert!(open().await.is_empty());
}

contract![
    letters_of_two_orders_with_one_number_are_told_apart,
    a_letter_about_several_orders_is_answered_by_all_of_them,
    a_payment_that_is_settled_answers_its_own_orders_letter,
    a_repeated_failure_is_one_dead_letter_with_a_counter,
    dead_letters_are_listed_as_asked,
    figures_are_told_in_the_readers_language_and_those_of_an_earlier_release_as_they_are,
    a_success_resolves_what_was_open_for_its_order,
    a_thing_told_once_is_not_told_again_after_it_was_discarded,
];
