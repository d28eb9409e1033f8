//! What is durable together is written together: each row of a set keeps its own fence, number and
//! sequence, and what may be forgotten does not wait for the disk.

use std::collections::HashMap;

use shared::domain::{CrmOrderId, Delivery, DeliveryState, OrderNumber};
use shared::message::RetryWhy;
use shared::store::deliveries::{DeliveryKey, Leased};
use shared::store::intents::{HandOver, Held, Leave, RequestKind};
use shared::store::{Dialect, Tx};

use crate::bench::{Bench, SPENT};

async fn of_several_deliveries_those_whose_lease_is_held_are_saved(bench: &Bench) {
    let id = bench.integration("").await.id;
    let mut mine = Vec::new();
    for n in 1..=3 {
        let mut d = bench.lease(id, n, &format!("A-{n}"), "", "w").await.expect("leased");
        d.state = DeliveryState::Created;
        mine.push(d);
    }
    bench.store.release_delivery(&mine[1]).await.expect("released");
    let others = bench.lease(id, 2, "A-2", "", "another").await.expect("free");
    let saved = bench.commit(async |tx| tx.save_deliveries(&mine, false, bench.now()).await).await;
    let mut saved: Vec<i64> = saved.into_iter().map(|id| id.0).collect();
    saved.sort_unstable();
    assert_eq!(saved, [mine[0].id.0, mine[2].id.0]);
    let read = async |d: &Delivery| bench.store.delivery(d.id).await.expect("read").expect("there");
    assert_eq!((read(&mine[0]).await.state, read(&mine[2]).await.state), (mine[0].state, mine[2].state));
    assert_eq!(read(&mine[1]).await, others, "the other's row is as it was");
    let held = bench.store.still_held(&mine.iter().collect::<Vec<_>>()).await.expect("asked");
    assert_eq!((held.len(), held.contains(&mine[1].crm_order)), (2, false));
}

async fn several_intents_are_left_each_as_it_says(bench: &Bench) {
    let id = bench.integration("").await.id;
    for number in ["1", "2", "3", "4"] {
        bench.want(id, number, RequestKind::Send).await;
    }
    let mut intents = bench.claim(id, "w").await;
    intents.sort_by(|a, b| a.number.cmp(&b.number));
    bench.want(id, "2", RequestKind::Update).await;
    let due_at = bench.after(60);
    let wait = Leave::Wait { why: RetryWhy::CrmUnavailable, due_at, attempt: 3, rereads: 1, spent: SPENT };
    intents[3].fence += 1;
    let left: Vec<_> = intents.iter().zip([Leave::Served, Leave::Served, wait, Leave::Served]).collect();
    let held = bench.commit(async |tx| tx.leave_intents(&left, bench.now()).await).await;
    let expected = [(&intents[0], false), (&intents[1], true), (&intents[2], true)];
    assert_eq!(held, HashMap::from(expected.map(|(intent, more)| (Held::from(intent), more))), "the fourth was lost");
    let next = bench.claim_one(id, "w").await;
    assert_eq!((next.number.as_str(), next.unserved()), ("2", vec![RequestKind::Update]), "the newer one is due");
    bench.pass(60);
    let waited = bench.claim_one(id, "w").await;
    assert_eq!((waited.number.as_str(), waited.attempt, waited.rereads, waited.spent), ("3", 3, 1, SPENT));
}

async fn orders_that_are_made_together_get_numbers_of_their_own(bench: &Bench) {
    let id = bench.integration("").await.id;
    let numbers = ["R7", "заказ", "A-9"].map(|number| OrderNumber::parse(number).expect("a number"));
    let key = |at: usize, order: i64| DeliveryKey {
        integration: id,
        crm_order: CrmOrderId(order),
        number: &numbers[at],
        prefix: "",
    };
    bench.lease(id, 9, "A-9", "", "another").await.expect("leased");
    let keys = [key(0, 6), key(1, 7), key(2, 9)];
    let make = async |tx: &mut Tx| tx.lease_new_deliveries(&keys, "w", bench.after(90), bench.now()).await;
    let made = bench.commit(make).await;
    assert_eq!(made[2], Leased::Held, "it was there, and another holds it");
    let ordernos: Vec<String> =
        made.into_iter().filter_map(Leased::taken).map(|d| d.orderno.as_str().to_owned()).collect();
    assert_eq!(ordernos, ["R7", "R7-2"], "what another of them has is taken");
}

async fn requests_of_one_order_that_came_by_two_numbers_are_handed_over_together(bench: &Bench) {
    let id = bench.integration("").await.id;
    bench.want(id, "1", RequestKind::Send).await;
    bench.want(id, "2", RequestKind::Update).await;
    let mut from = bench.claim(id, "w").await;
    from.sort_by(|a, b| a.number.cmp(&b.number));
    let wants: Vec<Vec<RequestKind>> = from.iter().map(|intent| intent.unserved()).collect();
    let requests: Vec<HandOver<'_>> = from
        .iter()
        .zip(&wants)
        .map(|(from, wants)| HandOver { from, order: CrmOrderId(7), number: "1", wants, with_declared: true })
        .collect();
    bench.commit(async |tx| tx.hand_over(&requests, bench.now()).await).await;
    let intent = bench.store.intent(id, CrmOrderId(7)).await.expect("read").expect("there");
    assert_eq!((intent.requested, intent.send_seq, intent.update_seq), (2, 1, 2));
}

async fn what_may_be_forgotten_does_not_wait_for_the_disk_and_what_follows_does(bench: &Bench) {
    let db = &bench.store.db;
    let (asked, column) = match db.dialect() {
        Dialect::Sqlite => ("SELECT CAST(synchronous AS TEXT) AS waits FROM pragma_synchronous", "waits"),
        Dialect::Postgres => ("SELECT current_setting('synchronous_commit') AS waits", "waits"),
    };
    let waits = async |tx: &mut Tx| tx.fetch_one(asked, vec![]).await.expect("read").expect("a row").text(column);
    let mut tx = db.begin_forgettable().await.expect("begins");
    let forgettable = waits(&mut tx).await.expect("text");
    tx.commit().await.expect("committed");
    // Also where one was broken off.
    drop(db.begin_forgettable().await.expect("begins"));
    let own = db.exec_returning(asked, vec![]).await.expect("read");
    let own = own[0].text(column).expect("text");
    let mut tx = db.begin().await.expect("begins");
    assert!(["1", "off"].contains(&forgettable.as_str()), "{forgettable}");
    for waited in [own, waits(&mut tx).await.expect("text")] {
        assert!(["2", "on"].contains(&waited.as_str()), "{waited}");
    }
}

contract![
    of_several_deliveries_those_whose_lease_is_held_are_saved,
    several_intents_are_left_each_as_it_says,
    orders_that_are_made_together_get_numbers_of_their_own,
    requests_of_one_order_that_came_by_two_numbers_are_handed_over_together,
    what_may_be_forgotten_does_not_wait_for_the_disk_and_what_follows_does,
];
