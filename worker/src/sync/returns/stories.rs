//! What was refused of each line as the shop's manager sees it, over both simulators.

use jiff::SignedDuration;
use serde_json::Value;
use shared::domain::{Integration, Settings};
use shared::message::{Command, Envelope};
use shared::store::StoreError;
use shared::store::line_returns::ReturnsState;
use simulators::measoft::StatusChange;
use simulators::retailcrm::{Action, FaultRule, When};

use crate::sync::deliver;
use crate::testing::World;

fn on(settings: &mut Settings) {
    settings.returned_item_status = Some("returned".into());
}

/// Three chairs and a lamp at the courier. Answers the order and its positions.
async fn placed(world: &World) -> (i64, [String; 2]) {
    let order = world
        .place_as(world.id, "A-1", |order| order.item("Стул", 140_000, 3, 2300).item("Лампа", 99_000, 1, 800))
        .await;
    let ids = [0, 1].map(|place| items(world, order)[place]["id"].to_string());
    (order, ids)
}

fn items(world: &World, order: i64) -> Vec<Value> {
    world.crm.order(world.account, order).expect("there")["items"].as_array().expect("positions").clone()
}

/// Quantity and status of each position.
fn shown(world: &World, order: i64) -> Vec<(String, String)> {
    let shown = |item: &Value| (item["quantity"].to_string(), item["status"].as_str().unwrap_or_default().to_owned());
    items(world, order).iter().map(shown).collect()
}

fn position(quantity: &str, status: &str) -> (String, String) {
    (quantity.to_owned(), status.to_owned())
}

/// The courier's report with what was refused of each line, and all that follows from it.
async fn reported(world: &World, code: &str, refused: &[(&String, i64)]) {
    let at = world.courier.now() + SignedDuration::from_secs(1);
    world.courier.advance(SignedDuration::from_secs(2));
    let returns = refused.iter().map(|(line, count)| ((*line).clone(), *count)).collect();
    assert!(world.courier.change_status("A-1", &StatusChange { returns, ..StatusChange::to(code, at) }));
    world.job(Command::SyncStatuses {}).await;
    settle(world).await;
}

async fn settle(world: &World) {
    world
        .until("the positions are settled", async || {
            deliver(&world.tools, &world.first()).await;
            world.store().count_returns(ReturnsState::Wanted).await.expect("counted") == 0
        })
        .await;
}

async fn replay(world: &World) {
    let mut replay: Envelope = world.command(Command::SyncReturns {});
    replay.generation = 1;
    world.job_by(&world.tools, &replay).await;
}

/// Edits of orders since the world stood.
fn edits(world: &World) -> usize {
    world.crm.count("orders.edit")
}

async fn letters(world: &World) -> Vec<(String, String)> {
    world.dead().await.into_iter().map(|dead| (dead.reason, dead.detail.to_string())).collect()
}

#[tokio::test]
async fn what_was_refused_is_written_once_and_follows_every_correction() {
    let world = World::with(on).await;
    let (order, [chair, lamp]) = placed(&world).await;
    let untouched = [position("3", "new"), position("1", "new")];
    let mut expected = edits(&world);
    for code in ["ACCEPTED", "DELIVERY"] {
        reported(&world, code, &[]).await;
    }
    // What the courier says himself is not final yet.
    reported(&world, "COURIERPARTIALLY", &[(&chair, 1)]).await;
    assert_eq!((edits(&world), shown(&world, order)), (expected, untouched.to_vec()));

    for (code, refused, after) in [
        ("PARTIALLY", vec![(&chair, 1), (&lamp, 1)], [position("2", "new"), position("1", "returned")]),
        // Corrected: by the row alone, then by another status, then taken back, then as before.
        ("PARTIALLY", vec![(&chair, 2), (&lamp, 0)], [position("1", "new"), position("1", "new")]),
        ("COMPLETE", vec![(&chair, 0)], untouched.clone()),
        ("PARTIALLY", vec![(&lamp, 1)], [position("3", "new"), position("1", "returned")]),
        ("CANCELED", vec![], untouched.clone()),
        ("PARTIALLY", vec![(&chair, 3), (&lamp, 0)], [position("3", "returned"), position("1", "new")]),
    ] {
        reported(&world, code, &refused).await;
        expected += 1;
        assert_eq!((shown(&world, order), edits(&world)), (after.to_vec(), expected), "{code} {refused:?}");
    }
    // What follows it says the same.
    for code in ["PARTLYRETURNING", "PARTLYRETURNED"] {
        reported(&world, code, &[]).await;
    }
    assert_eq!(edits(&world), expected, "nothing is written twice");
    assert!(items(&world, order)[1]["initialPrice"].to_string().starts_with("990"), "what was not said stays");
    assert!(letters(&world).await.is_empty());
}

#[tokio::test]
async fn a_lost_answer_writes_nothing_again_and_a_payment_counts_what_was_taken() {
    let world = World::with(|settings| {
        on(settings);
        settings.delivered_item_status = Some("delivered".into());
        settings.receive_payment = true;
        settings.payment_status = Some("paid".into());
    })
    .await;
    let (order, [chair, _]) = placed(&world).await;
    let before = edits(&world);
    world.crm.set_faults(vec![FaultRule::new("orders.edit", When::FirstN(1), Action::LoseAnswer)]);
    reported(&world, "PARTIALLY", &[(&chair, 1)]).await;
    assert_eq!(shown(&world, order), [position("2", "delivered"), position("1", "delivered")]);
    assert_eq!(edits(&world), before + 1, "the order shows it");
    let paid = world.crm.payments(world.account, order);
    assert_eq!(
        paid.iter().map(|p| (p.amount, p.status.as_str())).collect::<Vec<_>>(),
        [(world.courier.order("A-1").expect("placed").price_kopecks, "paid")]
    );
    assert!(letters(&world).await.is_empty());
}

#[tokio::test]
async fn what_retailcrm_refuses_or_a_person_changed_is_a_letter_and_a_replay_tries_again() {
    let world = World::with(|settings| settings.returned_item_status = Some("no-such".into())).await;
    let (order, [chair, lamp]) = placed(&world).await;
    reported(&world, "PARTIALLY", &[(&lamp, 1)]).await;
    let told = letters(&world).await;
    assert!(
        matches!(&told[..], [(reason, text)] if reason == "returns_refused" && text.contains("choice")),
        "{told:?}"
    );
    let mend = |i: &mut Integration| -> Result<(), StoreError> {
        i.settings.returned_item_status = Some("returned".into());
        Ok(())
    };
    world.store().change_integration(world.id, mend).await.expect("mended");
    world.integrations.refresh().await.expect("read");
    replay(&world).await;
    assert_eq!(shown(&world, order), [position("3", "new"), position("1", "returned")]);
    assert!(letters(&world).await.is_empty());

    // A person has set another number meanwhile: it is theirs, and the other line is written.
    world.crm.edit(world.account, order, |order| order.set_quantity(0, 5));
    reported(&world, "PARTIALLY", &[(&chair, 1), (&lamp, 0)]).await;
    assert_eq!(shown(&world, order), [position("5", "new"), position("1", "new")]);
    let told = letters(&world).await;
    assert!(matches!(&told[..], [(reason, text)] if reason == "returns_unclear" && text.contains('5')), "{told:?}");
    world.crm.edit(world.account, order, |order| order.set_quantity(0, 3));
    replay(&world).await;
    assert_eq!(shown(&world, order)[0], position("2", "new"));
    assert!(letters(&world).await.is_empty());
}

#[tokio::test]
async fn a_shop_that_did_not_ask_for_it_has_its_positions_left_alone() {
    let world = World::new().await;
    let (order, [chair, lamp]) = placed(&world).await;
    let before = edits(&world);
    reported(&world, "PARTIALLY", &[(&chair, 1), (&lamp, 1)]).await;
    reported(&world, "CANCELED", &[]).await;
    assert_eq!((edits(&world), shown(&world, order)), (before, vec![position("3", "new"), position("1", "new")]));
}
