//! Payments back as the shop's accountant sees them, over both simulators: newest facts alone,
//! nothing silent, and no payment lost on the way.

use jiff::{SignedDuration, Timestamp};
use shared::domain::integration::PayKind;
use shared::domain::{DeliveryState, IntegrationState, Settings};
use shared::message::{Command, Envelope};
use shared::store::payment_moves::MoveState;
use shared::store::status_stream::RowState;
use simulators::retailcrm::{Action, FaultRule, Payment, When};

use crate::sync::deliver;
use crate::testing::World;

fn both(settings: &mut Settings) {
    settings.payment_status = Some("paid".into());
    settings.receive_payment = true;
}

fn status_only(settings: &mut Settings) {
    settings.payment_status = Some("paid".into());
}

fn soon(world: &World, seconds: i64) -> Timestamp {
    world.courier.now() + SignedDuration::from_secs(seconds)
}

/// What the courier was to collect, kopecks.
fn to_collect(world: &World, orderno: &str) -> i64 {
    world.courier.order(orderno).expect("placed").price_kopecks
}

/// The courier's report on a placed order.
fn report(world: &World, orderno: &str, code: &str, paytype: &str, kopecks: i64, seconds: i64) {
    world.courier.set_payment(orderno, paytype, kopecks);
    assert!(world.courier.set_status(orderno, code, soon(world, seconds)));
}

async fn sync(world: &World) {
    world.job(Command::SyncStatuses {}).await;
}

fn payments(world: &World, order: i64) -> Vec<Payment> {
    world.crm.payments(world.account, order)
}

/// Type, status, kopecks.
fn rows(world: &World, order: i64) -> Vec<(String, String, i64)> {
    payments(world, order).into_iter().map(|p| (p.payment_type, p.status, p.amount)).collect()
}

fn row(kind: &str, status: &str, kopecks: i64) -> (String, String, i64) {
    (kind.to_owned(), status.to_owned(), kopecks)
}

async fn open_moves(world: &World) -> i64 {
    let count = async |state| world.store().count_payments(state).await.expect("read");
    count(MoveState::Wanted).await + count(MoveState::Moving).await
}

async fn settle(world: &World) {
    world
        .until("the payments are settled", async || {
            deliver(&world.tools, &world.first()).await;
            // A row may wait for a delivery that a dead worker held.
            let rows = world.store().count_status_rows(RowState::Pending).await.expect("read");
            rows == 0 && open_moves(world).await == 0
        })
        .await;
}

async fn replay(world: &World) {
    let mut replay: Envelope = world.command(Command::SyncPayments {});
    replay.generation = 1;
    world.job_by(&world.tools, &replay).await;
}

/// Reason and detail of each open dead letter.
async fn letters(world: &World) -> Vec<(String, String)> {
    world.dead().await.into_iter().map(|dead| (dead.reason, dead.detail.to_string())).collect()
}

fn refuse(op: &str, field: &str) -> Vec<FaultRule> {
    let action = Action::Refuse { field: field.to_owned(), text: "This value is not valid.".to_owned() };
    vec![FaultRule::new(op, When::Always, action)]
}

#[tokio::test]
async fn a_new_payment_that_is_refused_costs_the_old_one_nothing_and_the_letter_says_what_was_tried() {
    let world = World::with(both).await;
    let order = world.place("A-1").await;
    let sum = to_collect(&world, "A-1");
    let before = payments(&world, order);
    report(&world, "A-1", "COMPLETE", "CARD", sum, 1);
    world.crm.set_faults(refuse("payments.create", "status"));
    sync(&world).await;
    settle(&world).await;
    assert_eq!(rows(&world, order), [row("cash", "not-paid", sum)]);
    assert_eq!(payments(&world, order)[0].external_id, before[0].external_id);
    let letters = letters(&world).await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    let detail = &letters[0].1;
    assert!(detail.contains("bank-card") && detail.contains("cash"), "{detail}");
    assert!(detail.contains("This value is not valid"), "{detail}");
    // What stood in the way is put right: the replay does it.
    world.crm.clear_faults();
    replay(&world).await;
    assert_eq!(rows(&world, order), [row("bank-card", "paid", sum)]);
    assert!(world.dead().await.is_empty());
}

#[tokio::test]
async fn a_right_that_is_missing_for_one_call_gives_up_that_call_and_is_named() {
    let world = World::with(both).await;
    let order = world.place("A-1").await;
    let sum = to_collect(&world, "A-1");
    report(&world, "A-1", "COMPLETE", "CARD", sum, 1);
    world.crm.set_faults(vec![FaultRule::new("payments.delete", When::Always, Action::Forbidden)]);
    sync(&world).await;
    settle(&world).await;
    assert_eq!(
        world.store().integration(world.id).await.expect("read").expect("there").state,
        IntegrationState::Active
    );
    let letters_now = letters(&world).await;
    assert_eq!(letters_now.len(), 1, "{letters_now:?}");
    assert_eq!(letters_now[0].0, "crm_scope_missing");
    assert!(letters_now[0].1.contains("order_write"), "{letters_now:?}");
    assert!(payments(&world, order).iter().any(|p| p.payment_type == "cash"), "nothing was removed");
    // Orders go out meanwhile.
    world.place("A-2").await;
    assert!(world.courier.order("A-2").is_some());
    world.crm.clear_faults();
    replay(&world).await;
    assert_eq!(rows(&world, order), [row("bank-card", "paid", sum)]);
    assert!(world.dead().await.is_empty());
}

#[tokio::test]
async fn a_payment_replaced_by_hand_while_others_are_settled_is_left_alone() {
    let world = World::with(both).await;
    let (first, second) = (world.place("A-1").await, world.place("A-2").await);
    let sum = to_collect(&world, "A-2");
    report(&world, "A-1", "COMPLETE", "CARD", sum, 1);
    report(&world, "A-2", "COMPLETE", "CARD", sum, 2);
    // The first order's payment takes its time; the second was read in the same batch.
    world.crm.set_faults(vec![FaultRule::new("payments.*", When::FirstN(1), Action::DelayAnswer { ms: 1500 })]);
    tokio::join!(sync(&world), async {
        world.until("the first is worked on", async || payments(&world, first).len() != 1).await;
        world.crm.edit(world.account, second, |order| {
            order.remove_payments();
            order.add_payment("bank-card", sum, "paid");
        });
    });
    settle(&world).await;
    assert_eq!(rows(&world, first), [row("bank-card", "paid", sum)]);
    assert_eq!(rows(&world, second), [row("bank-card", "paid", sum)], "theirs, and nothing beside it");
}

#[tokio::test]
async fn a_payment_replaced_by_hand_in_the_middle_of_our_own_replacement_is_a_persons() {
    let world = World::with(both).await;
    let order = world.place("A-1").await;
    let sum = to_collect(&world, "A-1");
    report(&world, "A-1", "COMPLETE", "CARD", sum, 1);
    world.crm.set_faults(vec![FaultRule::new("payments.*", When::FirstN(1), Action::DelayAnswer { ms: 1500 })]);
    tokio::join!(sync(&world), async {
        world.until("a first step is taken", async || payments(&world, order).len() != 1).await;
        let cash = payments(&world, order).into_iter().find(|p| p.payment_type == "cash").map(|p| p.id);
        world.crm.edit(world.account, order, |order| {
            if let Some(cash) = cash {
                order.remove_payment(cash);
            }
            order.add_payment("cash", sum, "paid");
        });
    });
    settle(&world).await;
    assert_eq!(rows(&world, order), [row("cash", "paid", sum)], "theirs stands and ours is taken back");
    let letters = letters(&world).await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0].0, "payment_conflict");
}

#[tokio::test]
async fn money_that_does_not_fit_the_order_is_a_letter_with_both_figures() {
    // Another sum, two sums, nothing at all, less than nothing.
    let world = World::with(status_only).await;
    let sum = to_collect_of_new(&world).await;
    let cases: [(&str, i64, bool, &str, [String; 2]); 4] = [
        ("A-1", sum - 10_000, false, "payment_differs", [roubles(sum - 10_000), roubles(sum)]),
        ("A-2", sum, true, "payment_several", [roubles(sum), roubles(5000)]),
        ("A-3", 0, false, "payment_not_collected", [roubles(0), roubles(sum)]),
        ("A-4", -10_000, false, "payment_not_collected", [roubles(-10_000), roubles(sum)]),
    ];
    for (number, collected, second, reason, figures) in cases {
        let order = world.place(number).await;
        if second {
            world.crm.edit(world.account, order, |order| order.add_payment("bank-card", 5000, "not-paid"));
        }
        report(&world, number, "COMPLETE", "CASH", collected, 1);
        sync(&world).await;
        settle(&world).await;
        let letters: Vec<_> =
            world.dead().await.into_iter().filter(|dead| dead.number.as_deref() == Some(number)).collect();
        assert_eq!(letters.len(), 1, "{number}: {letters:?}");
        assert_eq!(letters[0].reason, reason, "{number}");
        for figure in figures {
            assert!(letters[0].detail.to_string().contains(&figure), "{number}: {figure} in {}", letters[0].detail);
        }
        assert!(payments(&world, order).iter().all(|p| p.status == "not-paid"), "{number}");
        // A person puts it right; the replay looks at what is there now.
        world.crm.edit(world.account, order, |order| {
            order.remove_payments();
            order.add_payment("cash", sum, "paid");
        });
        replay(&world).await;
        let open: Vec<_> = world.dead().await;
        assert!(open.is_empty(), "{number}: {open:?}");
    }
}

async fn to_collect_of_new(world: &World) -> i64 {
    world.place("A-0").await;
    to_collect(world, "A-0")
}

fn roubles(kopecks: i64) -> String {
    shared::domain::Kopecks(kopecks).to_string()
}

#[tokio::test]
async fn a_refund_reported_by_the_courier_is_never_entered_as_a_payment() {
    let world = World::with(both).await;
    let order = world.place("A-1").await;
    let sum = to_collect(&world, "A-1");
    report(&world, "A-1", "PARTIALLY", "CASH", -10_000, 1);
    sync(&world).await;
    settle(&world).await;
    assert_eq!(rows(&world, order), [row("cash", "not-paid", sum)]);
    assert_eq!(letters(&world).await[0].0, "payment_not_collected");
}

#[tokio::test]
async fn a_shop_that_receives_no_payments_gets_no_letters_about_them() {
    let world = World::new().await;
    for (number, collected) in [("A-1", 0), ("A-2", 100), ("A-3", -100)] {
        world.place(number).await;
        report(&world, number, "COMPLETE", "CASH", collected, 1);
    }
    sync(&world).await;
    assert!(world.dead().await.is_empty());
}

#[tokio::test]
async fn what_is_paid_as_it_was_meant_to_be_is_paid_whatever_its_kind_is_called() {
    let world = World::with(|settings| {
        both(settings);
        settings.paytype_map.insert("bank-card".to_owned(), PayKind::Other);
    })
    .await;
    let order = world.place("A-1").await;
    let sum = to_collect(&world, "A-1");
    world.crm.edit(world.account, order, |order| {
        order.remove_payments();
        order.add_payment("bank-card", sum, "not-paid");
    });
    report(&world, "A-1", "COMPLETE", "OTHER", sum, 1);
    sync(&world).await;
    settle(&world).await;
    assert_eq!(rows(&world, order), [row("bank-card", "paid", sum)]);
    assert!(world.dead().await.is_empty(), "{:?}", letters(&world).await);
}

#[tokio::test]
async fn a_deposit_by_card_does_not_hide_the_cash_that_was_entered_by_hand() {
    let world = World::with(both).await;
    let order = world.place("A-1").await;
    let sum = to_collect(&world, "A-1");
    world.crm.edit(world.account, order, |order| {
        order.remove_payments();
        order.add_payment("bank-card", 40_000, "paid");
        order.add_payment("cash", sum - 40_000, "paid");
    });
    report(&world, "A-1", "COMPLETE", "CASH", sum - 40_000, 1);
    sync(&world).await;
    settle(&world).await;
    assert!(world.dead().await.is_empty(), "{:?}", letters(&world).await);
}

/// RetailCRM is away until the faults are cleared.
fn away(world: &World) {
    world.crm.set_faults(vec![FaultRule::new("*", When::Always, Action::FailBefore)]);
}

#[tokio::test]
async fn a_delivery_that_is_no_longer_one_is_not_paid() {
    let world = World::with(both).await;
    let order = world.place("A-1").await;
    let sum = to_collect(&world, "A-1");
    away(&world);
    report(&world, "A-1", "COMPLETE", "CARD", sum, 1);
    sync(&world).await;
    assert_eq!(open_moves(&world).await, 1);
    report(&world, "A-1", "CANCELED", "CARD", sum, 2);
    sync(&world).await;
    assert_eq!(open_moves(&world).await, 0, "the reopening closes the move");
    world.crm.clear_faults();
    settle(&world).await;
    assert_eq!(rows(&world, order), [row("cash", "not-paid", sum)]);
    assert!(world.dead().await.is_empty(), "nothing was done, nothing is to be undone");
    // Delivered after all: the same facts count again.
    report(&world, "A-1", "COMPLETE", "CARD", sum, 3);
    sync(&world).await;
    settle(&world).await;
    assert_eq!(rows(&world, order), [row("bank-card", "paid", sum)]);
}

#[tokio::test]
async fn newer_figures_replace_older_ones_and_one_move_is_open() {
    let world = World::with(both).await;
    let order = world.place("A-1").await;
    let sum = to_collect(&world, "A-1");
    away(&world);
    for (seconds, kopecks) in [(1, sum / 2), (2, sum), (3, sum / 2), (4, sum - 100)] {
        report(&world, "A-1", "COMPLETE", "CASH", kopecks, seconds);
        sync(&world).await;
        assert_eq!(open_moves(&world).await, 1, "after report {seconds}");
    }
    world.crm.clear_faults();
    settle(&world).await;
    assert_eq!(rows(&world, order), [row("cash", "paid", sum - 100)]);
    assert!(world.dead().await.is_empty(), "{:?}", letters(&world).await);
    assert_eq!(world.crm.count("payments.edit"), 2, "the sum once, the status once");
}

#[tokio::test]
async fn a_letter_that_is_replayed_looks_at_what_is_there_now() {
    let world = World::with(|settings| {
        both(settings);
        settings.payment_type_map.insert("OTHER".to_owned(), "other".to_owned());
    })
    .await;
    let order = world.place("A-1").await;
    let sum = to_collect(&world, "A-1");
    report(&world, "A-1", "COMPLETE", "OTHER", sum, 1);
    sync(&world).await;
    assert_eq!(letters(&world).await[0].0, "payment_unmapped");
    report(&world, "A-1", "CANCELED", "OTHER", sum, 2);
    sync(&world).await;
    // What the letter asked for is done, and it is replayed; the order came back meanwhile.
    world.crm.add_payment_type(world.account, "other", false);
    let mut replay: Envelope = world.command(Command::SyncPayments {});
    replay.generation = 1;
    world.job_by(&world.another_worker(), &replay).await;
    settle(&world).await;
    assert_eq!(rows(&world, order), [row("cash", "not-paid", sum)]);
}

#[tokio::test]
async fn a_reopening_after_the_payment_was_settled_is_told_and_closes_when_it_is_delivered_again() {
    let world = World::with(both).await;
    let order = world.place("A-1").await;
    let sum = to_collect(&world, "A-1");
    report(&world, "A-1", "COMPLETE", "CASH", sum, 1);
    sync(&world).await;
    settle(&world).await;
    assert_eq!(rows(&world, order), [row("cash", "paid", sum)]);
    report(&world, "A-1", "CANCELED", "CASH", sum, 2);
    sync(&world).await;
    assert_eq!(letters(&world).await[0].0, "payment_corrected");
    report(&world, "A-1", "COMPLETE", "CASH", sum, 3);
    sync(&world).await;
    settle(&world).await;
    assert!(world.dead().await.is_empty(), "the payment is as MeaSoft says: {:?}", letters(&world).await);
}

#[tokio::test]
async fn an_unknown_code_after_the_end_changes_nothing_about_the_end() {
    for at_once in [true, false] {
        let world = World::with(both).await;
        let order = world.place("A-1").await;
        let sum = to_collect(&world, "A-1");
        report(&world, "A-1", "COMPLETE", "CASH", sum, 1);
        if !at_once {
            sync(&world).await;
        }
        assert!(world.courier.set_status("A-1", "SOMETHING_NEW", soon(&world, 2)));
        sync(&world).await;
        settle(&world).await;
        let delivery = world.delivery(order).await;
        assert_eq!((delivery.state, delivery.status.as_deref()), (DeliveryState::Delivered, Some("COMPLETE")));
        assert_eq!(rows(&world, order), [row("cash", "paid", sum)], "at once: {at_once}");
        assert_eq!(world.told(order), ["NEW", "COMPLETE"]);
        let reasons: Vec<_> = letters(&world).await.into_iter().map(|(reason, _)| reason).collect();
        assert_eq!(reasons, ["status_unmapped"], "told once");
    }
}

#[tokio::test]
async fn the_status_measoft_holds_for_present_is_told_though_its_record_is_the_older_one() {
    for history in [true, false] {
        let world = World::with(both).await;
        world.courier.update_account(crate::testing::CABINET, |cabinet| cabinet.statushistory = history);
        let order = world.place("A-1").await;
        let sum = to_collect(&world, "A-1");
        world.courier.set_payment("A-1", "CASH", sum);
        assert!(world.courier.set_status("A-1", "COURIERDELIVERED", soon(&world, 60)));
        sync(&world).await;
        let confirmed = soon(&world, 30);
        assert!(world.courier.set_status("A-1", "COMPLETE", confirmed));
        sync(&world).await;
        settle(&world).await;
        assert_eq!(world.delivery(order).await.state, DeliveryState::Delivered, "history: {history}");
        assert_eq!(world.told(order), ["NEW", "COURIERDELIVERED", "COMPLETE"], "history: {history}");
        assert_eq!(rows(&world, order), [row("cash", "paid", sum)], "history: {history}");
        let times: Vec<String> =
            world.crm.tracking(world.account, order).into_iter().skip(1).map(|entry| entry.updated_at).collect();
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "RetailCRM sees it as the newest: {times:?}");
        // The same again is told once.
        world.courier.set_payment("A-1", "CASH", sum - 100);
        sync(&world).await;
        assert_eq!(world.told(order).len(), 3);
    }
}

/// Waits for the breath between two tries.
async fn later(world: &World) {
    world.store().db.exec("UPDATE tracking_outbox SET due_at = 0", vec![]).await.expect("due");
    deliver(&world.tools, &world.first()).await;
}

#[tokio::test]
async fn statuses_that_the_key_may_not_tell_are_one_letter_and_wait() {
    let world = World::new().await;
    let orders = [world.place("A-1").await, world.place("A-2").await, world.place("A-3").await];
    for number in ["A-1", "A-2", "A-3"] {
        assert!(world.courier.set_status(number, "ACCEPTED", soon(&world, 1)));
    }
    world.crm.set_faults(vec![FaultRule::new("tracking", When::Always, Action::Forbidden)]);
    sync(&world).await;
    for _ in 0..6 {
        later(&world).await;
    }
    let letters_now = letters(&world).await;
    assert_eq!(letters_now.len(), 1, "{letters_now:?}");
    assert_eq!(letters_now[0].0, "crm_scope_missing");
    assert!(letters_now[0].1.contains("delivery_write"), "{letters_now:?}");
    assert_eq!(
        world.store().integration(world.id).await.expect("read").expect("there").state,
        IntegrationState::Active
    );
    // The right is given: nothing was lost, and the letter goes.
    world.crm.clear_faults();
    later(&world).await;
    for order in orders {
        assert_eq!(world.told(order), ["NEW", "ACCEPTED"]);
    }
    assert!(world.dead().await.is_empty(), "{:?}", letters(&world).await);
}

#[tokio::test]
async fn an_order_whose_key_may_not_write_is_placed_and_told_of_by_a_letter() {
    let world = World::new().await;
    world.crm.set_faults(vec![FaultRule::new("orders.edit", When::Always, Action::Forbidden)]);
    world.place("A-1").await;
    assert!(world.courier.order("A-1").is_some());
    assert_eq!(
        world.store().integration(world.id).await.expect("read").expect("there").state,
        IntegrationState::Active
    );
    let letters = letters(&world).await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert!(letters[0].1.contains("order_write"), "{letters:?}");
}

#[tokio::test]
async fn a_side_field_that_could_not_be_read_is_noted_and_holds_nothing_up() {
    use crate::sync::{apply, facts::OrderSnapshot};
    use shared::store::journal::Search;
    let world = World::with(both).await;
    let order = world.place("A-1").await;
    let sum = to_collect(&world, "A-1");
    report(&world, "A-1", "COMPLETE", "CASH", sum, 1);
    apply::stories::polled_while_held(&world).await;
    // As if the row had come with a weight of «н/д».
    let row = world.store().db.fetch_one("SELECT id, facts FROM status_rows WHERE state = 'pending'", vec![]).await;
    let row = row.expect("read").expect("a row");
    let mut facts: OrderSnapshot = serde_json::from_str(&row.text("facts").expect("facts")).expect("facts");
    facts.unreadable = vec!["weight".to_owned()];
    let text = serde_json::to_string(&facts).expect("json");
    let sql = format!("UPDATE status_rows SET facts = '{text}' WHERE id = {}", row.int("id").expect("id"));
    world.store().db.exec(sql, vec![]).await.expect("written");
    apply::run(&world.tools, &world.first().integration.courier_account()).await;
    settle(&world).await;
    assert_eq!(rows(&world, order), [self::row("cash", "paid", sum)]);
    let search = Search { text: Some("could not be read: weight".into()), limit: 10, ..Search::default() };
    assert_eq!(world.store().search_journal(&search).await.expect("read").len(), 1);
    assert!(world.ctx.metrics.render().contains(r#"bridge_status_rows_total{result="side_field_dropped"} 1"#));
}

/// Small and repeatable.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Whatever comes in whatever order, and whoever dies in between: one move is open at most, and
/// in the end the payments are what the newest facts say, or a letter is open.
#[tokio::test]
async fn in_the_end_the_payments_are_what_the_newest_facts_say() {
    for seed in 0..12_u64 {
        let mut dice = Dice(seed * 7919 + 13);
        let world = World::with(both).await;
        let order = world.place("A-1").await;
        let sum = to_collect(&world, "A-1");
        let mut newest = ("NEW", "CASH", sum);
        let mut history = Vec::new();
        for step in 1..=6 {
            let code = ["COMPLETE", "COMPLETE", "PARTIALLY", "CANCELED", "SOMETHING_NEW"][dice.throw(5) as usize];
            let paytype = ["CASH", "CARD"][dice.throw(2) as usize];
            let kopecks = [sum, sum / 2, sum - 100][dice.throw(3) as usize];
            report(&world, "A-1", code, paytype, kopecks, step);
            newest = (if code == "SOMETHING_NEW" { newest.0 } else { code }, paytype, kopecks);
            let op = ["payments.create", "payments.edit", "payments.delete", "orders.*", "*"][dice.throw(5) as usize];
            let action = [
                Action::FailBefore,
                Action::LoseAnswer,
                Action::ServerError { acted: true },
                Action::Delay { ms: 60_000 },
                Action::DelayAnswer { ms: 60_000 },
            ][dice.throw(5) as usize]
                .clone();
            history.push(format!("{code} {paytype} {kopecks}, {op} {action:?}"));
            world.crm.set_faults(vec![FaultRule::new(op, When::FirstN(dice.throw(3)), action)]);
            // A worker that is still waiting for RetailCRM then is killed.
            let working = tokio::time::timeout(std::time::Duration::from_millis(500), async {
                sync(&world).await;
                deliver(&world.tools, &world.first()).await;
            });
            let _ = working.await;
            for held in ["UPDATE leases SET lease_until = 0", "UPDATE deliveries SET lease_until = 0"] {
                world.store().db.exec(held, vec![]).await.expect("leases run out");
            }
            assert!(open_moves(&world).await <= 1, "seed {seed}: {history:?}");
        }
        world.crm.clear_faults();
        sync(&world).await;
        settle(&world).await;
        let found = rows(&world, order);
        let letters = letters(&world).await;
        let told = letters.iter().any(|(reason, _)| reason.starts_with("payment_"));
        let kind = if newest.1 == "CASH" { "cash" } else { "bank-card" };
        let right = match newest.0 {
            "COMPLETE" | "PARTIALLY" => found == [row(kind, "paid", newest.2)],
            _ => found == [row("cash", "not-paid", sum)],
        };
        assert!(right || told, "seed {seed}: {found:?} after {history:?}");
        assert!(!found.is_empty(), "seed {seed}: an order never loses its payment: {letters:?} after {history:?}");
        // And what is looked at again stays as it is.
        world.store().db.exec("UPDATE payment_moves SET due_at = 0", vec![]).await.expect("due");
        settle(&world).await;
        assert_eq!(rows(&world, order), found, "seed {seed}");
    }
}
