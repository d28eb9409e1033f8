//! What the courier did with each parcel and each of its lines, as the order in RetailCRM shows it:
//! over every kind of status, an order taken in part, and ends that are corrected.

use std::time::Duration;

use harness::{Collect, LONG, Placed, World, eventually};
use serde_json::Value;
use simulators::measoft::StatusChange;
use simulators::retailcrm::TriggerKind;

/// Two chairs and a lamp each: the place of a line and how many of it were refused.
type Refused = &'static [(usize, i64)];

/// A parcel's way, and what its order shows at the end.
struct Life {
    way: &'static [(&'static str, Refused)],
    /// Quantity and status of both positions.
    shows: [(i64, &'static str); 2],
    /// Edits of the positions that this takes.
    edits: usize,
}

const UNTOUCHED: [(i64, &str); 2] = [(2, "new"), (1, "new")];

const LIVES: [Life; 8] = [
    Life {
        way: &[("ACCEPTED", &[]), ("DEPARTURE", &[]), ("DELIVERY", &[]), ("COURIERDELIVERED", &[]), ("COMPLETE", &[])],
        shows: UNTOUCHED,
        edits: 0,
    },
    Life {
        way: &[
            ("DELIVERY", &[]),
            ("COURIERPARTIALLY", &[(0, 1)]),
            ("PARTIALLY", &[(0, 1), (1, 1)]),
            ("PARTLYRETURNING", &[]),
            ("PARTLYRETURNED", &[]),
        ],
        shows: [(1, "new"), (1, "returned")],
        edits: 1,
    },
    Life {
        way: &[
            ("DELIVERY", &[]),
            ("COURIERCANCELED", &[]),
            ("COURIERRETURN", &[]),
            ("CANCELED", &[]),
            ("RETURNING", &[]),
            ("RETURNED", &[]),
        ],
        shows: UNTOUCHED,
        edits: 0,
    },
    Life {
        way: &[("UNCONFIRM", &[]), ("DATECHANGE", &[]), ("DELIVERY", &[]), ("COMPLETE", &[])],
        shows: UNTOUCHED,
        edits: 0,
    },
    Life { way: &[("DELIVERY", &[]), ("LOST", &[])], shows: UNTOUCHED, edits: 0 },
    // Ends that are corrected.
    Life { way: &[("DELIVERY", &[]), ("PARTIALLY", &[(0, 1)]), ("COMPLETE", &[(0, 0)])], shows: UNTOUCHED, edits: 2 },
    Life {
        way: &[("DELIVERY", &[]), ("COMPLETE", &[]), ("PARTIALLY", &[(1, 1)]), ("PARTIALLY", &[(0, 2), (1, 0)])],
        shows: [(2, "returned"), (1, "new")],
        edits: 2,
    },
    Life { way: &[("DELIVERY", &[]), ("PARTIALLY", &[(0, 1)]), ("CANCELED", &[])], shows: UNTOUCHED, edits: 2 },
];

fn order(world: &World, placed: &Placed) -> Value {
    world.crm.order(world.shops[placed.shop].account, placed.id).expect("there")
}

fn told(world: &World, placed: &Placed) -> Vec<(String, String)> {
    let told = world.crm.tracking(world.shops[placed.shop].account, placed.id);
    told.into_iter().map(|entry| (entry.code, entry.updated_at)).collect()
}

/// Edits of each order.
fn edits(world: &World, orders: &[Placed]) -> Vec<usize> {
    let requests = world.crm.requests();
    let of = |order: &Placed| {
        requests.iter().filter(|request| request.op == "orders.edit" && request.order_ids == [order.id]).count()
    };
    orders.iter().map(of).collect()
}

/// The courier's next report on each parcel that has one; answers whether there was any.
fn report(world: &World, orders: &[Placed], step: usize) -> bool {
    let mut any = false;
    for (placed, life) in orders.iter().zip(&LIVES) {
        let Some((code, refused)) = life.way.get(step) else { continue };
        let items = order(world, placed)["items"].clone();
        let returns = refused.iter().map(|(line, count)| (items[*line]["id"].to_string(), *count)).collect();
        let change = StatusChange { returns, ..StatusChange::to(code, world.measoft.now()) };
        assert!(world.measoft.change_status(&world.orderno(placed), &change), "{code}");
        any = true;
    }
    any
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_status_a_partial_delivery_and_corrections_show_on_the_order_and_nothing_is_written_twice() {
    let world = World::scaled("returns")
        .shops(1)
        .unregistered()
        .setting("returned_item_status=returned")
        .set("SYNC_INTERVAL_S", "1")
        .start()
        .await;
    world.register(0).await;
    let orders: Vec<Placed> = (0..LIVES.len()).map(|n| world.place(0, n, Collect::Paid)).collect();
    for placed in &orders {
        world.fires(TriggerKind::Send, placed).await;
    }
    world.served("all are placed").await;
    let placed = edits(&world, &orders);

    for step in 0.. {
        // MeaSoft's times are whole seconds: of one second the same status is the same.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        if !report(&world, &orders, step) {
            break;
        }
        eventually("RetailCRM is told of the step", LONG, || async {
            for (order, life) in orders.iter().zip(&LIVES) {
                let said = life.way.len().min(step + 1);
                let heard =
                    told(&world, order).iter().filter(|(code, _)| life.way.iter().any(|w| w.0 == *code)).count();
                if heard < said {
                    return Err(format!("order {} heard {heard} of {said}", order.number));
                }
            }
            Ok(())
        })
        .await;
    }
    eventually("the positions show it", LONG, || async {
        for (placed, life) in orders.iter().zip(&LIVES) {
            let items = order(&world, placed)["items"].clone();
            let shows = [0, 1].map(|n| (items[n]["quantity"].as_i64(), items[n]["status"].as_str()));
            if shows != life.shows.map(|(quantity, status)| (Some(quantity), Some(status))) {
                return Err(format!("order {}: {shows:?}", placed.number));
            }
        }
        Ok(())
    })
    .await;
    // Some more polls find nothing to write.
    let polls = || world.measoft.requests().iter().filter(|request| request.only_last).count();
    let before = polls();
    eventually("MeaSoft is asked again", LONG, || async {
        if polls() > before + 3 { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;

    let written: Vec<usize> = edits(&world, &orders).iter().zip(&placed).map(|(now, then)| now - then).collect();
    assert_eq!(written, LIVES.map(|life| life.edits), "edits of each order");
    for (placed, life) in orders.iter().zip(&LIVES) {
        let heard = told(&world, placed);
        let mut once = heard.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), heard.len(), "nothing is told twice: {heard:?}");
        let shown = order(&world, placed)["delivery"]["data"].clone();
        assert_eq!(shown["status"], life.way.last().expect("a way").0, "{}", placed.number);
    }
    let letters = world.ledger.count("SELECT COUNT(*) AS n FROM dead_letters WHERE state = 'open'").await;
    assert_eq!(letters.expect("counted"), 0);
    world.finish().await;
}
