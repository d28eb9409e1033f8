//! A new database, and one of an earlier release.

use futures_util::future::join_all;
use shared::domain::{CrmOrderId, DeliveryId, DeliveryState, Fault, IntegrationId, Kopecks};
use shared::store::dead_letters::{DeadFilter, NewDeadLetter};
use shared::store::intents::RequestKind;
use shared::store::{Db, Dialect, migrations};

use crate::bench::{Bench, Place, dead};

async fn migrations_may_be_repeated(bench: &Bench) {
    let db = &bench.store.db;
    assert_eq!(db.schema_version().await.expect("asked"), migrations::newest());
    bench.want(bench.integration("").await.id, "1", RequestKind::Send).await;
    db.migrate().await.expect("repeated");
    assert_eq!(db.schema_version().await.expect("asked"), migrations::newest());
    assert_eq!(bench.store.backlog().await.expect("asked").0, 1, "what was there stays");
    bench.store.ping().await.expect("answers");
}

/// An installation of the release before orders were told apart by their ids, in the middle
/// of its work.
async fn what_was_in_flight_under_the_fourth_schema_goes_on(bench: &Bench) {
    let old = bench.another().await;
    let db = &old.store.db;
    db.migrate_to(4).await.expect("the fourth schema");
    assert_eq!(db.schema_version().await.expect("asked"), 4);
    let at = old.now().as_millisecond();
    let lease = at + 30_000;
    let blob = if db.dialect() == Dialect::Sqlite { "X'00'" } else { "'\\x00'::bytea" };
    let delivery = |id: i64, number: &str, orderno: &str, generation: i64, state: &str, lease: i64| {
        format!(
            "INSERT INTO deliveries (id, integration_id, crm_order_id, number, orderno, generation, state, sent_hash, price, \
             overlay, lease_owner, lease_until, fence, created_at, updated_at) VALUES ({id}, 1, 10{id}, '{number}', \
             '{orderno}', {generation}, '{state}', 'hash', 37900, '{{}}', 'old', {lease}, 3, {at}, {at})"
        )
    };
    let request = |number: &str, delivery: &str, requested: i64, served: i64, seqs: &str, lease: i64| {
        format!(
            "INSERT INTO intents (integration_id, number, delivery_id, requested, served, send_seq, update_seq, cancel_seq, \
             declared, due_at, wanted_at, command_id, lease_owner, lease_until, fence, created_at, updated_at) VALUES \
             (1, '{number}', {delivery}, {requested}, {served}, {seqs}, 77700, {at}, {at}, 'c-{number}', 'old', {lease}, 2, \
             {at}, {at})"
        )
    };
    let letter = |delivery: &str, number: &str, kind: &str, reason: &str| {
        format!(
            "INSERT INTO dead_letters (integration_id, delivery_id, number, kind, reason, fault, state, created_at, \
             updated_at) VALUES (1, {delivery}, '{number}', '{kind}', '{reason}', 'shop', 'open', {at}, {at})"
        )
    };
    for sql in [
        format!(
            "INSERT INTO integrations (title, crm_url, measoft_url, extra, login, prefix, settings, crm_api_key, password, \
             delivery_api_key, client_id, delivery_api_key_hash, client_id_hash, state, created_at, updated_at) \
             VALUES ('Shop', 'c', 'm', '8', 'l', '', '{{}}', {blob}, {blob}, {blob}, {blob}, 'k', 'i', 'active', {at}, {at})"
        ),
        delivery(1, "A-1", "A-1", 1, "created", 0),
        // In the hands of a worker of the old release, and placed anew after a cancel.
        delivery(2, "A-2", "A-2-2", 2, "sending", lease),
        delivery(3, "A-3", "A-3", 1, "rejected", 0),
        request("A-1", "1", 2, 2, "1, 2, 0", 0),
        request("A-2", "2", 3, 2, "3, 0, 2", lease),
        request("A-3", "3", 2, 1, "1, 2, 0", 0),
        // Nobody has read it yet.
        request("A-4", "NULL", 1, 0, "1, 0, 0", 0),
        letter("3", "A-3", "SendOrder", "bad_phone"),
        letter("NULL", "A-4", "SendOrder", "order_not_found"),
        letter("1", "A-1", "SyncPayments", "payment_conflict"),
    ] {
        db.exec(sql, vec![]).await.expect("written");
    }
    db.migrate().await.expect("migrated");
    let id = IntegrationId(1);

    // What was served is known of the order; what was not waits under its number.
    let known = old.store.intent(id, CrmOrderId(101)).await.expect("read").expect("there");
    assert_eq!((known.requested, known.served, known.update_seq), (2, 2, 2));
    assert_eq!(known.declared, Some(Kopecks(77700)));
    assert_eq!(old.store.backlog_of(id).await.expect("counted").0, 3);
    let due = async || {
        let claimed = old.store.claim_intents(id, "new", old.after(30), 10).await.expect("claimed");
        claimed.into_iter().map(|intent| (intent.number.as_str().to_owned(), intent.order, intent.unserved())).collect()
    };
    let of_number = |number: &str, want: RequestKind| (number.to_owned(), None, vec![want]);
    let claimed: Vec<_> = due().await;
    assert_eq!(
        claimed,
        [of_number("A-3", RequestKind::Update), of_number("A-4", RequestKind::Send)],
        "not what is held"
    );
    old.pass(31);
    let all: Vec<_> = due().await;
    assert!(all.contains(&of_number("A-2", RequestKind::Send)), "its lease has run out: {all:?}");

    // The ledger goes on where it was, under the same lease and number.
    let held = old.store.delivery_by_order(id, CrmOrderId(102)).await.expect("read").expect("there");
    assert_eq!(
        (held.state, held.orderno.as_str(), held.generation, held.fence),
        (DeliveryState::Sending, "A-2-2", 2, 3)
    );
    assert_eq!(held.saved_request.as_deref(), Some("{}"));
    let past = old.store.past_by_number("A-2", None).await.expect("read");
    assert_eq!(
        past.iter().map(|past| past.orderno.as_str()).collect::<Vec<_>>(),
        ["A-2"],
        "its first number stays used"
    );

    // A repeat is counted on its letter, and a success answers it.
    let of_3 = NewDeadLetter { delivery: Some(DeliveryId(3)), ..dead(Some(id), Some("A-3"), "bad_phone", Fault::Shop) };
    let of_3 = NewDeadLetter { kind: "SendOrder".to_owned(), ..of_3 };
    let repeated = old.add_dead_letter(&of_3).await;
    let read = old.store.dead_letter(repeated).await.expect("read").expect("there");
    assert_eq!((read.attempts, read.order), (2, Some(CrmOrderId(103))));
    let mut tx = db.begin().await.expect("begins");
    for (order, number) in [(103, "A-3"), (104, "A-4")] {
        let resolved = tx.resolve_dead_letters(id, &[(CrmOrderId(order), number)], old.now()).await;
        assert_eq!(resolved.expect("resolved"), 1);
    }
    let payment = tx
        .resolve_dead_letters_of_orders(id, &[(CrmOrderId(101), DeliveryId(1))], "SyncPayments", old.now())
        .await
        .expect("resolved");
    tx.commit().await.expect("committed");
    assert_eq!(payment, 1);
    assert!(old.dead(DeadFilter::default()).await.is_empty());
    old.clear().await;
}

/// A fresh start of several processes at once.
async fn migrations_may_run_in_several_processes(bench: &Bench) {
    let fresh = bench.another().await;
    let processes: Vec<Db> = match &fresh.place {
        // A file that is not there yet, opened by all of them at once.
        Place::File(folder) => {
            let path = folder.join("fresh.db");
            let opened = join_all((0..4).map(|_| Db::open_sqlite(&path))).await;
            opened.into_iter().map(|db| db.expect("opens")).collect()
        }
        Place::Server { .. } => vec![fresh.store.db.clone(); 4],
    };
    assert_eq!(processes[0].schema_version().await.expect("asked"), 0);
    let done = join_all(processes.iter().map(Db::migrate)).await;
    done.into_iter().for_each(|done| done.expect("migrated"));
    for process in processes {
        assert_eq!(process.schema_version().await.expect("asked"), migrations::newest());
        if process.dialect() == Dialect::Sqlite {
            process.close().await;
        }
    }
    fresh.clear().await;
}

contract![
    migrations_may_be_repeated,
    migrations_may_run_in_several_processes,
    what_was_in_flight_under_the_fourth_schema_goes_on,
];
