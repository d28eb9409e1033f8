//! What a clock wrote that was ahead holds nothing up.

use shared::clock::Clock;
use shared::domain::delivery::{CALL_LIMIT, Fingerprint};
use shared::domain::{CrmOrderId, OrderNumber};
use shared::message::Lane;
use shared::store::Store;
use shared::store::deliveries::DeliveryKey;
use shared::store::intents::{OrderRequest, RequestKind};
use shared::store::payment_moves::Closing;
use shared::store::status_stream::{NewRow, RowState};
use shared::store::tracking_outbox::{NewTracking, TrackingState};

use crate::bench::{Bench, CABINET, SOON, job, request, status_row};
use crate::budgets::{used, window};
use crate::jobs::claimed;

async fn a_clock_that_was_ahead_puts_nothing_to_sleep(bench: &Bench) {
    let id = bench.integration("").await.id;
    let of = |order| OrderRequest { order: Some(CrmOrderId(order)), ..request(bench, id, "x", RequestKind::Send) };
    let late = OrderRequest { due_at: bench.after(24 * 3600), ..request(bench, id, "1", RequestKind::Send) };
    bench.record(late).await;
    bench.record(OrderRequest { due_at: bench.after(24 * 3600), ..of(1) }).await;
    bench.record(OrderRequest { due_at: bench.after(3600), ..of(2) }).await;
    assert_eq!(bench.store.integrations_with_work().await.expect("listed"), [(id, bench.after(3600))]);
    let due = bench.claim(id, "w1").await;
    assert_eq!(due.len(), 2, "the honest pause of an hour stays");
    // Leases of a day, taken by that clock.
    let day = bench.after(24 * 3600);
    let id2 = bench.integration("B-").await.id;
    bench.want(id2, "1", RequestKind::Send).await;
    assert_eq!(bench.store.claim_intents(id2, "ahead", day, 9).await.expect("claimed").len(), 1);
    assert_eq!(bench.claim(id2, "w1").await.len(), 1);
    let number = OrderNumber::parse("1").expect("a number");
    let key = DeliveryKey { integration: id2, crm_order: CrmOrderId(1), number: &number, prefix: "B-" };
    assert!(bench.store.lease_delivery(&key, "ahead", day).await.expect("asked").taken().is_some());
    assert!(bench.lease(id2, 1, "1", "B-", "w1").await.is_some());
}

/// The same database, as a process sees it whose clock is ahead by so many seconds.
fn ahead_by(bench: &Bench, seconds: i64) -> Store {
    Store::new(bench.store.db.clone(), bench.store.key.clone(), Clock::standing_at(bench.after(seconds)))
}

const DAY: i64 = 24 * 3600;

async fn a_clock_that_was_ahead_delays_no_message(bench: &Bench) {
    let ahead = ahead_by(bench, DAY);
    let jobs = [job("put off", Lane::Bulk, bench.after(DAY + 300)), job("held", Lane::Bulk, bench.after(DAY))];
    ahead.enqueue(&jobs).await.expect("stored");
    assert_eq!(ahead.claim_jobs(Some(Lane::Bulk), "ahead", SOON, 9).await.expect("claimed").len(), 1);
    bench.store.enqueue(&[job("honest", Lane::Bulk, bench.after(3600))]).await.expect("stored");
    assert_eq!(bench.store.next_job_due(Lane::Bulk).await.expect("asked"), Some(bench.now()));
    assert!(bench.store.waiting_jobs().await.expect("counted").contains(&(Lane::Bulk, 2)));
    assert_eq!(bench.store.oldest_waiting_job().await.expect("asked"), Some(bench.now()));
    assert_eq!(bench.store.oldest_waiting_jobs().await.expect("asked"), [(Lane::Bulk, bench.now())]);
    let mut got: Vec<String> = claimed(bench, Some(Lane::Bulk), "a").await.into_iter().map(|(id, _)| id).collect();
    got.sort();
    assert_eq!(got, ["held", "put off"], "the honest pause of an hour stays");
    assert_eq!(bench.store.next_job_due(Lane::Bulk).await.expect("asked"), Some(bench.after(60)), "in hand");
}

async fn a_clock_that_was_ahead_delays_no_status_and_no_payment(bench: &Bench) {
    let (store, id) = (&bench.store, bench.integration("").await.id);
    let d = bench.lease(id, 1, "1", "", "w").await.expect("leased");
    assert!(bench.save(&d, true).await);
    let ahead = ahead_by(bench, DAY);
    let lease = ahead.take_lease("stream|test", "ahead", bench.after(DAY + 90)).await.expect("asked");
    let lease = lease.expect("nobody holds it");
    let batch =
        ahead.begin_batch(&lease, CABINET, 100, ahead.clock.now()).await.expect("begun").expect("the lease holds");
    let row = NewRow {
        delivery: Some((d.id, id)),
        state: RowState::Pending,
        facts: Some("{}".to_owned()),
        ..status_row("1")
    };
    ahead.store_status_rows(&lease, CABINET, batch, 0, &[row]).await.expect("stored").expect("held");
    let tracking = NewTracking {
        integration: id,
        delivery: d.id,
        orderno: "1".to_owned(),
        code: "NEW".to_owned(),
        made_at: None,
        tell_at: None,
        comment: None,
        details: None,
        state: TrackingState::Waiting,
        why: None,
        seen_at: bench.after(DAY),
    };
    let mut tx = ahead.db.begin().await.expect("begins");
    assert_eq!(tx.add_tracking(&[tracking]).await.expect("noted"), 1);
    let closing = Closing { integration: id, delivery: d.id, mark: "a".to_owned(), facts: "{}".to_owned() };
    assert_eq!(tx.want_payments(&[closing], bench.after(DAY)).await.expect("noted"), [d.id]);
    tx.commit().await.expect("committed");

    let dues = async || {
        [
            store.next_row_due(CABINET).await.expect("asked"),
            store.next_tracking_due(id).await.expect("asked"),
            store.next_payment_due(id).await.expect("asked"),
        ]
    };
    assert_eq!(dues().await, [Some(bench.now()); 3]);
    assert_eq!(store.accounts_with_rows().await.expect("asked"), [CABINET]);
    assert_eq!(store.deliveries_with_rows(CABINET, 9).await.expect("asked"), [d.id]);
    assert_eq!(store.integrations_with_tracking().await.expect("asked"), [id]);
    let told = store.waiting_tracking(id, 9).await.expect("asked");
    assert_eq!(store.integrations_with_payments().await.expect("asked"), [id]);
    let moves = store.due_payments(id, 9).await.expect("asked");
    assert_eq!((told.len(), moves.len()), (1, 1));

    // An honest pause of an hour stays.
    let waits = bench.commit(async |tx| tx.pending_rows(CABINET, &[d.id]).await).await;
    bench.commit(async |tx| tx.postpone_rows(&[(waits[0].id, bench.after(3600))]).await).await;
    store.postpone_tracking(&[told[0].id], bench.after(3600)).await.expect("put off");
    let until = [(moves[0].id, bench.after(3600), "")];
    bench.commit(async |tx| tx.postpone_payments(&until, bench.now()).await).await;
    assert_eq!(dues().await, [Some(bench.after(3600)); 3]);
    assert!(store.deliveries_with_rows(CABINET, 9).await.expect("asked").is_empty());
    assert!(store.waiting_tracking(id, 9).await.expect("asked").is_empty());
    assert!(store.due_payments(id, 9).await.expect("asked").is_empty());
    let taken = store.take_lease("stream|test", "w", bench.after(90)).await.expect("asked");
    assert!(taken.is_some(), "a lease of tomorrow is over");
    assert!(store.take_lease("stream|test", "x", bench.after(90)).await.expect("asked").is_none());
}

async fn a_clock_that_was_ahead_uses_up_no_budget_of_today(bench: &Bench) {
    let minute = [window("minute", 10, 60)];
    let take =
        async |store: &Store| store.take_budget(&minute, 10, false).await.expect("asked").map(|taken| taken.count);
    assert_eq!(take(&ahead_by(bench, DAY)).await, Ok(10));
    assert_eq!(used(bench, &minute[0]).await, 0);
    assert_eq!(take(&bench.store).await, Ok(10));
    bench.pass(600);
    assert_eq!(take(&ahead_by(bench, 5)).await, Ok(10));
    assert!(take(&bench.store).await.is_err(), "clocks of two machines differ by seconds");
}

async fn a_clock_that_was_ahead_has_nothing_wait_for_what_was_sent_tomorrow(bench: &Bench) {
    let id = bench.integration("").await.id;
    let mut d = bench.lease(id, 1, "1", "", "w").await.expect("leased");
    (d.sent_at, d.status_seen_at) = (Some(bench.after(DAY)), Some(bench.after(DAY)));
    d.sending = Some(Fingerprint { late_until: Some(bench.after(DAY + 45)), ..Fingerprint::default() });
    assert!(bench.save(&d, true).await);
    let mut d = bench.lease(id, 1, "1", "", "w").await.expect("leased");
    assert_eq!((d.sent_at, d.status_seen_at), (Some(bench.now()), None));
    let late_until = d.sending.as_ref().and_then(|sent| sent.late_until);
    assert_eq!(late_until, Some(bench.now() + CALL_LIMIT), "a write of now may be late by one call");
    (d.sent_at, d.status_seen_at) = (Some(bench.after(DAY)), Some(bench.after(2)));
    assert!(bench.save(&d, true).await);
    let locked = bench.commit(async |tx| tx.lock_free_deliveries(&[d.id], bench.now()).await).await;
    assert_eq!((locked[0].sent_at, locked[0].status_seen_at), (Some(bench.now()), Some(bench.after(2))));
    let fresh = ahead_by(bench, DAY);
    let number = OrderNumber::parse("2").expect("a number");
    let key = DeliveryKey { integration: id, crm_order: CrmOrderId(2), number: &number, prefix: "" };
    let made = fresh.lease_delivery(&key, "ahead", bench.after(DAY + 90)).await.expect("made");
    assert!(made.taken().is_some());
    assert_eq!(bench.lease(id, 2, "2", "", "w").await.expect("leased").created_at, bench.now());
}

async fn a_slot_won_by_a_clock_that_was_ahead_is_published_today(bench: &Bench) {
    assert!(ahead_by(bench, DAY).win_slot("sync", 7).await.expect("won"));
    let left = bench.store.unpublished_slots(bench.after(-60)).await.expect("listed");
    assert_eq!(left, [("sync".to_owned(), 7)]);
}

contract![
    a_clock_that_was_ahead_puts_nothing_to_sleep,
    a_clock_that_was_ahead_delays_no_message,
    a_clock_that_was_ahead_delays_no_status_and_no_payment,
    a_clock_that_was_ahead_uses_up_no_budget_of_today,
    a_clock_that_was_ahead_has_nothing_wait_for_what_was_sent_tomorrow,
    a_slot_won_by_a_clock_that_was_ahead_is_published_today,
];
