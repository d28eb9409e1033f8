//! Corrections: sealed, one version after another, gone with RetailCRM's own change.

use shared::crypto::SecretKey;
use shared::domain::{CorrectedField as F, CrmOrderId, IntegrationId};
use shared::store::audit::{AuditFilter, Who};
use shared::store::corrections::{Corrected, NewCorrections, Values};
use shared::store::intents::{OrderRequest, RequestKind};
use shared::store::{Store, StoreError};

use crate::bench::{Bench, request};

const ORDER: CrmOrderId = CrmOrderId(7);

async fn correct(store: &Store, bench: &Bench, id: IntegrationId, who: &str, seen: i64, field: F) -> Corrected {
    try_correct(store, bench, id, who, seen, field).await.expect("asked")
}

/// A correction of some order, sealed with the key of the bench.
pub(crate) async fn corrected(bench: &Bench, integration: IntegrationId) {
    correct(&bench.store, bench, integration, "Анна", 0, F::Phone).await;
}

async fn try_correct(
    store: &Store,
    bench: &Bench,
    integration: IntegrationId,
    who: &str,
    seen: i64,
    field: F,
) -> Result<Corrected, StoreError> {
    let values = Values { before: "89160001122".to_owned(), after: format!("8903765{seen}") };
    let new = NewCorrections { integration, order: ORDER, number: "7".to_owned(), values: vec![(field, values)], seen };
    let request = OrderRequest { order: Some(ORDER), ..request(bench, integration, "7", RequestKind::Update) };
    store.correct(&new, &request, &Who::at_machine(Some(who.to_owned()), "root".to_owned())).await
}

async fn a_correction_its_request_and_its_note_are_one_commit_and_say_nothing_of_a_person(bench: &Bench) {
    let id = bench.integration("").await.id;
    assert_eq!(correct(&bench.store, bench, id, "Анна", 0, F::Phone).await, Corrected::Done(1));
    let kept = bench.store.corrections(id, &[ORDER]).await.expect("read");
    assert_eq!((kept.len(), kept[0].field, kept[0].who.as_str(), kept[0].version), (1, F::Phone, "Анна", 1));
    assert_eq!((kept[0].values.after.as_str(), kept[0].made_at), ("89037650", bench.now()));
    assert_eq!(bench.store.corrections_of(id).await.expect("read"), kept);
    assert!(bench.store.corrections(id, &[CrmOrderId(8)]).await.expect("read").is_empty());
    let intent = bench.store.intent(id, ORDER).await.expect("read").expect("asked for");
    assert_eq!(intent.unserved(), [RequestKind::Update]);
    let acts = bench.store.audit(&AuditFilter { limit: 9, ..AuditFilter::default() }).await.expect("listed");
    assert_eq!(
        (acts.len(), acts[0].act.as_str(), acts[0].after.as_str()),
        (1, "corrected", "{\"phone\":\"изменено\"}")
    );
    let sql = "SELECT text || COALESCE(story, '') AS text FROM journal";
    let texts: Vec<String> = bench.store.db.read_all(sql, vec![], |row| row.text("text")).await.expect("read");
    assert!(!format!("{acts:?}{texts:?}{:?}", kept[0]).contains("89037650"), "{texts:?}");
    let sealed = bench.store.db.read_one("SELECT value FROM corrections", vec![], |row| row.bytes("value")).await;
    assert!(!String::from_utf8_lossy(&sealed.expect("read").expect("there")).contains("8903"));
    // Where the note cannot be written, nothing is corrected and nothing asked for.
    bench.store.db.exec("ALTER TABLE audit RENAME TO audit_elsewhere", vec![]).await.expect("away");
    try_correct(&bench.store, bench, id, "Анна", 1, F::Name).await.expect_err("not noted");
    assert_eq!(bench.store.corrections(id, &[ORDER]).await.expect("read").len(), 1);
    assert_eq!(bench.store.intent(id, ORDER).await.expect("read").map(|intent| intent.requested), Some(1));
}

async fn of_many_who_correct_at_once_one_does_and_the_others_are_told_who(bench: &Bench) {
    let id = bench.integration("").await.id;
    let neighbour = bench.neighbour().await;
    for round in 0..5 {
        // Also of different fields.
        let (a, b) = tokio::join!(
            correct(&bench.store, bench, id, "Анна", round, F::Phone),
            correct(&neighbour, bench, id, "Борис", round, F::Name)
        );
        let done = [&a, &b].into_iter().filter(|one| **one == Corrected::Done(round + 1)).count();
        assert_eq!(done, 1, "{a:?} {b:?}");
        let told = [a, b].into_iter().find(|one| !matches!(one, Corrected::Done(_)));
        assert!(matches!(told, Some(Corrected::Overtaken { at, .. }) if at == bench.now()), "{told:?}");
    }
    neighbour.db.close().await;
}

async fn what_is_over_goes_and_a_newer_one_in_its_place_stays(bench: &Bench) {
    let id = bench.integration("").await.id;
    correct(&bench.store, bench, id, "Анна", 0, F::Phone).await;
    let first = bench.store.corrections(id, &[ORDER]).await.expect("read").remove(0);
    assert_eq!(correct(&bench.store, bench, id, "Борис", 1, F::Phone).await, Corrected::Done(2));
    bench.store.end_correction(id, &first).await.expect("asked");
    let kept = bench.store.corrections(id, &[ORDER]).await.expect("read");
    assert_eq!(kept.iter().map(|one| one.version).collect::<Vec<_>>(), [2], "whoever read the old one ends that alone");
    // Another key seals it anew, and it says the same.
    let other = SecretKey::from_bytes([9; 32]).beside(bench.store.key.clone());
    let rotated = Store::new(bench.store.db.clone(), other, bench.clock().clone());
    let done = rotated.reseal(|_, _, _| None, |_| ()).await.expect("sealed");
    assert_eq!(done.deliveries, 1);
    let alone = Store::new(bench.store.db.clone(), SecretKey::from_bytes([9; 32]), bench.clock().clone());
    assert_eq!(alone.corrections(id, &[ORDER]).await.expect("read"), kept);
    assert!(bench.store.corrections(id, &[ORDER]).await.expect("read").is_empty(), "the old key opens nothing");
    // Forgotten with its delivery, not before.
    bench.lease(id, ORDER.0, "7", "", "w1").await.expect("leased");
    bench.pass(1);
    assert_eq!(alone.forget_corrections(bench.now()).await.expect("asked"), 0);
    bench.store.db.exec("DELETE FROM deliveries", vec![]).await.expect("over");
    assert_eq!(alone.forget_corrections(bench.now()).await.expect("asked"), 1);
}

contract![
    a_correction_its_request_and_its_note_are_one_commit_and_say_nothing_of_a_person,
    of_many_who_correct_at_once_one_does_and_the_others_are_told_who,
    what_is_over_goes_and_a_newer_one_in_its_place_stays,
];
