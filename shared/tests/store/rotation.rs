//! What is sealed beside the integrations' secrets, while the secret key is changed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use shared::crypto::{PEOPLE, SecretKey};
use shared::domain::{Delivery, Secret};
use shared::store::Store;
use shared::store::status_stream::{NewRow, RowState};
use shared::store::tracking_outbox::{NewTracking, TrackingState};

use crate::bench::{Bench, CABINET};

const NAMES: &str = r#"{"courier":"Петров"}"#;

fn sealed(key: &SecretKey, place: &str, text: &str) -> String {
    STANDARD.encode(key.seal(place, &Secret::new(text)))
}

fn with_people(key: &SecretKey) -> Value {
    json!({ "planned": { "date": "2026-09-02" }, "people": sealed(key, PEOPLE, NAMES) })
}

/// Under another key, that knows ours as well.
fn rotated(bench: &Bench) -> Store {
    let new = SecretKey::from_bytes([42; 32]).beside(bench.store.key.clone());
    Store::new(bench.store.db.clone(), new, bench.clock().clone())
}

async fn delivery(bench: &Bench) -> Delivery {
    let id = bench.integration("").await.id;
    bench.lease(id, 7, "7", "", "w1").await.expect("leased")
}

async fn add_status(bench: &Bench, d: &Delivery, key: &SecretKey) {
    let tracking = NewTracking {
        integration: d.integration,
        delivery: d.id,
        orderno: "7".to_owned(),
        code: "DELIVERY".to_owned(),
        made_at: Some(bench.now()),
        tell_at: None,
        comment: None,
        details: Some(with_people(key).to_string()),
        state: TrackingState::Sent,
        why: None,
        seen_at: bench.now(),
    };
    bench.commit(async |tx| tx.add_tracking(std::slice::from_ref(&tracking)).await).await;
}

async fn add_row(bench: &Bench, d: &Delivery, key: &SecretKey) {
    let lease = bench.lease_of_stream("w").await;
    let batch = bench.store.begin_batch(&lease, CABINET, 417, bench.now()).await.expect("begun").expect("held");
    let row = NewRow {
        order_key: "7".to_owned(),
        mark: "7".to_owned(),
        orderno: Some("7".to_owned()),
        ordercode: None,
        delivery: Some((d.id, d.integration)),
        state: RowState::Pending,
        why: None,
        facts: Some(json!({ "returned": 2, "details": with_people(key) }).to_string()),
    };
    bench.store.store_status_rows(&lease, CABINET, batch, 0, &[row]).await.expect("stored").expect("held");
}

async fn names_that_came_with_a_status_are_sealed_with_the_other_key(bench: &Bench) {
    let (d, both) = (delivery(bench).await, rotated(bench));
    add_status(bench, &d, &bench.store.key).await;
    add_row(bench, &d, &bench.store.key).await;
    assert_eq!(both.reseal(|_, _, _| None, |_| ()).await.expect("sealed").deliveries, 2);
    let alone = SecretKey::from_bytes([42; 32]);
    for (sql, at) in
        [("SELECT details AS text FROM tracking_outbox", ""), ("SELECT facts AS text FROM status_rows", "/details")]
    {
        let text = bench.store.db.read_one(sql, vec![], |row| row.text("text")).await.expect("read").expect("there");
        let all: Value = serde_json::from_str(&text).expect("JSON");
        let details = all.pointer(at).expect("there");
        assert_eq!(details["planned"], json!({ "date": "2026-09-02" }), "{text}");
        let people = STANDARD.decode(details["people"].as_str().expect("a text")).expect("base64");
        assert_eq!(alone.open(PEOPLE, &people).expect("opened").expose(), NAMES);
    }
    assert_eq!(both.reseal(|_, _, _| None, |_| ()).await.expect("sealed").deliveries, 0, "once");
}

/// One kind after another is all that a rotation that was cut short has left.
async fn a_backup_names_both_keys_while_anything_is_sealed_with_the_other(bench: &Bench) {
    let (d, both) = (delivery(bench).await, rotated(bench));
    let old = &bench.store.key;
    let needed = async || both.needed_keys().await.expect("asked").len();
    assert_eq!(needed().await, 2, "the integration's secrets");
    both.reseal_integrations().await.expect("sealed");
    assert_eq!(needed().await, 1);
    let saved = json!({ "collect": 100, "request": sealed(old, "delivery:1:7:save", "{}") }).to_string();
    let db = &bench.store.db;
    db.exec(format!("UPDATE deliveries SET overlay = '{saved}'"), vec![]).await.expect("saved");
    assert_eq!(needed().await, 2, "a saved request");
    db.exec("UPDATE deliveries SET overlay = '{}'", vec![]).await.expect("over");
    crate::corrections::corrected(bench, d.integration).await;
    assert_eq!(needed().await, 2, "a correction");
    db.exec("DELETE FROM corrections", vec![]).await.expect("over");
    add_status(bench, &d, old).await;
    assert_eq!(needed().await, 2, "a status");
    db.exec("DELETE FROM tracking_outbox", vec![]).await.expect("over");
    add_row(bench, &d, old).await;
    assert_eq!(needed().await, 2, "a row of the stream");
    both.reseal(|_, _, _| None, |_| ()).await.expect("sealed");
    assert_eq!(needed().await, 1, "all of it is sealed anew");
}

contract![
    names_that_came_with_a_status_are_sealed_with_the_other_key,
    a_backup_names_both_keys_while_anything_is_sealed_with_the_other,
];
