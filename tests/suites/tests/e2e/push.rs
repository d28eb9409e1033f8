//! MeaSoft's own pushes: what changed is told in seconds, however seldom the stream is polled.

use harness::{Collect, LONG, World, eventually};
use simulators::retailcrm::TriggerKind;

const BODY: &str = r#"<?xml version="1.0"?><order orderno="1"><status>DELIVERY</status><webhook_status_code>DELIVERY</webhook_status_code></order>"#;

async fn push(world: &World, path: &str) -> u16 {
    world.send("POST", path, "application/xml", BODY.as_bytes().to_vec(), "").await.expect("an answer").status
}

fn polls(world: &World) -> usize {
    world.measoft.requests().iter().filter(|request| request.only_last).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_answered_by_a_look_at_once_and_a_flood_of_them_by_few() {
    // Nobody polls by the clock.
    let world = World::scaled("push").later("scheduler-1").shops(1).start().await;
    let order = world.place(0, 1, Collect::Paid);
    world.fires(TriggerKind::Send, &order).await;
    world.settled("it is placed").await;
    assert!(world.measoft.set_status(&world.orderno(&order), "DELIVERY", world.measoft.now()));
    let id = world.shops[0].integration.to_string();
    let shown = world.bridge_in_public(&["--json", "integration", "show", &id, "--show-key"]).await.json();
    let address = shown["measoftWebhook"].as_str().expect("an address").to_owned();
    let path = address.split_once("/measoft/").map(|(_, rest)| format!("/measoft/{rest}")).expect("its path");
    let before = polls(&world);

    assert_eq!(push(&world, &format!("{path}0")).await, 404, "another token");
    assert_eq!(push(&world, &path).await, 200);
    let account = world.shops[0].account;
    eventually("RetailCRM is told", LONG, || async {
        let told = world.crm.tracking(account, order.id).iter().any(|entry| entry.code == "DELIVERY");
        if told { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    for _ in 0..300 {
        assert_eq!(push(&world, &path).await, 200);
    }
    let asked = polls(&world) - before;
    // One look reads the stream until it is empty.
    assert!((1..=4).contains(&asked), "{asked} requests for 301 pushes");
    world.finish().await;
}
