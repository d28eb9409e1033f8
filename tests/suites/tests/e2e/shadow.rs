//! A shop moves in: our integration beside the one before it, which takes the same triggers and
//! collects what is paid on the site as well, as its documentation says.

use std::collections::BTreeMap;

use harness::{Collect, LONG, Placed, World, eventually};
use serde_json::Value;
use simulators::predecessor::Predecessor;
use simulators::retailcrm::TriggerKind::{Send, Update};

use crate::load::all_accepted;

fn orders() -> usize {
    if std::env::var_os("E2E_LONG").is_some() { 2000 } else { 200 }
}

async fn beside(name: &str) -> World {
    let world = World::scaled(name).shops(1).set("SYNC_INTERVAL_S", "2").set("SETTLE_MS", "40").start().await;
    edited(&world, &["--mode", "shadow"]).await;
    world
}

async fn edited(world: &World, given: &[&str]) {
    let id = world.shops[0].integration.to_string();
    let arguments: Vec<&str> =
        ["integration", "edit", &id, "--json"].into_iter().chain(given.iter().copied()).collect();
    let done = world.bridge(&arguments).await;
    assert_eq!(done.code, 0, "{}", done.stderr);
    // Running roles notice within two seconds.
    tokio::time::sleep(std::time::Duration::from_millis(2200)).await;
}

fn predecessor(world: &World) -> Predecessor {
    let shop = &world.shops[0];
    Predecessor::new(&world.measoft, &world.crm, shop.account, &shop.cabinet, &shop.prefix)
}

/// Requests that change something at either vendor. What the other integration asks is none.
fn writes(world: &World) -> Vec<(&'static str, usize)> {
    let at_measoft = ["neworder", "editorder", "cancelorder", "commitlaststatus"];
    let at_crm = ["orders.edit", "tracking", "modules.edit", "payments.create", "payments.edit", "payments.delete"];
    let measoft = at_measoft.map(|op| (op, world.measoft.count(op)));
    let crm = at_crm.map(|op| (op, world.crm.count(op)));
    measoft.into_iter().chain(crm).filter(|(_, n)| *n > 0).collect()
}

async fn report(world: &World) -> Value {
    let said = world.bridge(&["shadow", "report", "--json"]).await;
    assert!(said.code <= 1, "1 says that something differs: {}", said.stderr);
    serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("no single JSON document: {}", said.stdout))
}

fn verdicts(report: &Value) -> BTreeMap<String, String> {
    let rows = report["orders"].as_array().expect("rows").iter();
    rows.map(|row| (row["order"].as_str().unwrap_or_default().to_owned(), named(row))).collect()
}

/// `different sum paytype`
fn named(row: &Value) -> String {
    let fields =
        row["differences"].as_array().into_iter().flatten().map(|one| one["field"].as_str().unwrap_or_default());
    std::iter::once(row["verdict"].as_str().unwrap_or_default()).chain(fields).collect::<Vec<_>>().join(" ")
}

async fn triggers(world: &World, orders: &[Placed]) {
    let all: Vec<_> = orders.iter().map(|order| (Send, order)).collect();
    all_accepted(&world.storm(&all, 32).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_names_exactly_what_differs_writes_nothing_and_goes_live_without_a_double() {
    let world = beside("shadow").await;
    let (theirs, before) = (predecessor(&world), writes(&world));
    let orders = world.place_many(orders());
    // Both triggers of an order fire at its save; one in a hundred the other integration never places.
    for (n, order) in orders.iter().enumerate().filter(|(n, _)| n % 100 != 99) {
        assert!(theirs.send_as(order.id, |seen| {
            if n % 100 == 98 {
                seen["phone"] = "+7 (916) 000-00-00".into();
            }
        }));
    }
    triggers(&world, &orders).await;
    world.served("all triggers").await;
    let expected: BTreeMap<String, String> = orders
        .iter()
        .enumerate()
        .filter_map(|(n, order)| {
            let told = match (n % 100, Collect::nth(n / 2)) {
                (99, _) => "missing_there",
                (98, Collect::OnSite) => "different sum paytype phone",
                (98, _) => "different phone",
                // Paid on the site later: collected at the door by the other one.
                (_, Collect::OnSite) => "different sum paytype",
                _ => return None,
            };
            Some((order.number.clone(), told.to_owned()))
        })
        .collect();
    let found = eventually("the report is whole", LONG, || async {
        let found = report(&world).await;
        if found["counts"]["waiting"] == 0 { Ok(found) } else { Err(found["counts"].to_string()) }
    })
    .await;
    assert_eq!(verdicts(&found), expected);
    assert_eq!(found["counts"]["same"], orders.len() - expected.len());
    assert_eq!(writes(&world), before, "nothing was written");
    assert_eq!(world.measoft.orders().len(), orders.len() - orders.len() / 100);

    edited(&world, &["--mode", "live"]).await;
    let owned = || async { world.ledger.count("SELECT COUNT(*) AS n FROM deliveries WHERE state = 'created'").await };
    let there = i64::try_from(world.measoft.orders().len()).expect("fits");
    eventually("what is there is ours", LONG, || async {
        match owned().await.map_err(|error| format!("{error:#}"))? {
            n if n >= there => Ok(()),
            n => Err(format!("{n} of {there}")),
        }
    })
    .await;
    triggers(&world, &orders).await;
    world.served("all triggers once more").await;
    let numbers: Vec<String> = world.measoft.orders().into_iter().map(|order| order.orderno.clone()).collect();
    assert_eq!(numbers.len(), orders.len(), "what nobody had placed is there by now, and nothing twice");
    for (n, order) in orders.iter().enumerate() {
        let there = world.measoft.order(&world.orderno(order)).expect("there");
        assert_eq!(there.creates, 1, "{}", order.number);
        // One that is edited keeps the line by which the other integration noted an advance: the
        // sum that MeaSoft shows is not the one that was sent, and a person hears of it.
        if (n % 100, Collect::nth(n / 2)) == (98, Collect::Rest) {
            world.expect_dead_letter(&order.number, "change_dropped");
        } else {
            assert_eq!(there.price_kopecks, order.collect, "{}", order.number);
        }
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenth_goes_live_stays_so_and_is_taken_back_without_a_loss() {
    let world = beside("canary").await;
    edited(&world, &["--live-share", "10"]).await;
    let theirs = predecessor(&world);
    let orders = world.place_many(200);
    triggers(&world, &orders).await;
    world.served("all triggers").await;
    let there = |world: &World| -> Vec<String> {
        let mut all: Vec<String> = world.measoft.orders().into_iter().map(|order| order.orderno.clone()).collect();
        all.sort();
        all
    };
    let live = there(&world);
    assert!((10..=32).contains(&live.len()), "{} of 200", live.len());
    // The rest is the other integration's, as before.
    for order in orders.iter().filter(|order| !live.contains(&world.orderno(order))) {
        assert!(theirs.send(order.id));
    }
    let back = world.bridge(&["shadow", "back", &world.shops[0].integration.to_string()]).await;
    assert_eq!(back.code, 0, "{}", back.stderr);
    tokio::time::sleep(std::time::Duration::from_millis(2200)).await;
    let (ours, rest): (Vec<&Placed>, Vec<&Placed>) =
        orders.iter().partition(|order| live.contains(&world.orderno(order)));
    for order in ours.iter().take(3).chain(rest.iter().take(3)) {
        assert!(world.crm.edit(world.shops[0].account, order.id, |order| order.set_phone("+7 (916) 555-00-77")));
        world.fires(Update, order).await;
    }
    for order in &ours {
        assert!(world.measoft.order(&world.orderno(order)).is_some_and(|there| there.creates == 1));
    }
    world.served("the changes").await;
    let edits = |order: &&&Placed| world.measoft.order(&world.orderno(order)).is_some_and(|there| there.edits == 1);
    assert_eq!((ours.iter().filter(edits).count(), rest.iter().filter(edits).count()), (3, 0), "sides stay");
    assert_eq!(there(&world).len(), orders.len(), "nothing doubled, nothing new");
    // What is live is followed to its end.
    for order in &ours {
        assert!(world.measoft.set_status(&world.orderno(order), "COMPLETE", world.measoft.now()));
    }
    eventually("RetailCRM knows their end", LONG, || async {
        let told = |order: &&&Placed| {
            world.crm.tracking(world.shops[0].account, order.id).last().is_some_and(|entry| entry.code == "COMPLETE")
        };
        match ours.iter().filter(told).count() {
            n if n == ours.len() => Ok(()),
            n => Err(format!("{n} of {}", ours.len())),
        }
    })
    .await;
    let new = world.place(0, 777, Collect::Cash);
    world.fires(Send, &new).await;
    world.served("a new order").await;
    assert!(world.measoft.order(&world.orderno(&new)).is_none(), "a new one is the shadow's");
    assert!(world.dead_letters().await.is_empty());
    world.discard().await;
}
