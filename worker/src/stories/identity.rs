//! Whose an order is, told with both simulators: numbers repeat, are edited and given anew;
//! orders are told apart by RetailCRM's id.

use std::time::Duration;

use shared::domain::{CrmOrderId, DeliveryState as S, IntegrationId, IntegrationState, Kopecks, PausedBy};
use shared::message::{Command, RECONCILE_HISTORY};
use shared::store::intents::RequestKind;
use simulators::measoft::{FaultAction, FaultRule};
use simulators::retailcrm::an_order;

use crate::callbacks::{Request, delete, save};
use crate::testing::World;

/// An order of another shop of the account, with our delivery type.
fn another(world: &World, number: &str, status: &str) -> i64 {
    let order = an_order().number(number).delivery_type("incity").status(status).receiver("Яна", "+79160009988");
    world.crm.add_order(world.account, order)
}

pub(crate) async fn dead_reasons(world: &World) -> Vec<String> {
    world.dead().await.into_iter().map(|dead| dead.reason).collect()
}

/// Works until nothing waits.
async fn settle(world: &World) {
    settle_all(world, &[world.id]).await;
}

async fn settle_all(world: &World, integrations: &[IntegrationId]) {
    world
        .until("nothing waits", async || {
            let mut waiting = 0;
            for active in integrations {
                world.work(*active).await;
            }
            for active in integrations {
                waiting += world.store().backlog_of(*active).await.expect("read").0;
            }
            waiting == 0
        })
        .await;
}

#[tokio::test]
async fn two_shops_orders_with_one_number_are_both_shipped_once() {
    let world = World::new().await;
    let first = world.place("7001").await;
    let second = another(&world, "7001", "SentMeaSoft");
    for _ in 0..3 {
        world.send(world.id, "7001").await;
    }
    settle(&world).await;
    let (first, second) = (world.delivery(first).await, world.delivery(second).await);
    assert_eq!((first.orderno.as_str(), first.state), ("7001", S::Created));
    assert_eq!((second.orderno.as_str(), second.state), (format!("R{}", second.crm_order).as_str(), S::Created));
    assert_eq!(world.courier.orders().len(), 2);
    assert_eq!(world.courier.count("editorder"), 0, "the placed one was let alone");
    assert_eq!(dead_reasons(&world).await, [""; 0]);
}

/// A trigger that names the total, recorded and read once.
async fn send_of(world: &World, number: &str, roubles: i64, want: RequestKind) {
    world.request_of(world.id, number, want, Some(Kopecks::roubles(roubles))).await;
    world.work(world.id).await;
}

#[tokio::test]
async fn which_of_two_unplaced_orders_with_one_number_is_meant_is_a_persons() {
    let world = World::new().await;
    let (first, second) = (another(&world, "7001", "new"), another(&world, "7001", "new"));
    world.send(world.id, "7001").await;
    assert_eq!(dead_reasons(&world).await, [""; 0], "not before it was read again");
    settle(&world).await;
    assert_eq!(dead_reasons(&world).await, ["ambiguous_number"]);
    assert_eq!(world.courier.count("neworder"), 0);
    // As the letter says: one gets another number, and the right one is saved again.
    world.crm.edit(world.account, first, |order| order.set_number("7001-A"));
    world.send(world.id, "7001").await;
    assert_eq!(world.delivery(second).await.state, S::Created);
    assert_eq!(world.courier.orders().len(), 1);
    // A trigger may have meant the other as well.
    assert_eq!(dead_reasons(&world).await, ["ambiguous_number"]);
    world.send(world.id, "7001-A").await;
    assert_eq!(world.delivery(first).await.state, S::Created);
    assert_eq!(dead_reasons(&world).await, [""; 0], "each of them is answered");
}

#[tokio::test]
async fn the_success_of_one_order_leaves_the_letter_open_for_another_of_its_number() {
    let world = World::new().await;
    let dear = an_order().number("7001").delivery_type("incity").status("new").item("Ваза", 55_500, 1, 300);
    let (first, second) = (another(&world, "7001", "new"), world.crm.add_order(world.account, dear));
    let shown = world.first().vendors.crm.order(CrmOrderId(second)).await.expect("an order");
    let total = shown.total_summ.0 / 100;
    world.send(world.id, "7001").await;
    settle(&world).await;
    send_of(&world, "7001", total, RequestKind::Send).await;
    assert_eq!(world.delivery(second).await.state, S::Created);
    assert_eq!(dead_reasons(&world).await, ["ambiguous_number"], "order {first} was never placed");
    world.send(world.id, "7001").await;
    assert_eq!(world.delivery(first).await.state, S::Created);
    assert_eq!(dead_reasons(&world).await, [""; 0]);
}

#[tokio::test]
async fn a_repeated_send_of_a_placed_order_does_not_ship_anothers_draft() {
    let world = World::with(|settings| settings.send_statuses = vec!["SentMeaSoft".to_owned()]).await;
    let placed = world.place("7001").await;
    let draft = another(&world, "7001", "new");
    world.send(world.id, "7001").await;
    settle(&world).await;
    assert_eq!(world.delivery(placed).await.state, S::Created);
    assert_eq!(world.courier.orders().len(), 1);
    assert_eq!(dead_reasons(&world).await, [""; 0]);
    // Once it is to be sent, it is.
    world.crm.edit(world.account, draft, |order| order.set_status("SentMeaSoft"));
    world.send(world.id, "7001").await;
    assert_eq!(world.delivery(draft).await.state, S::Created);
}

#[tokio::test]
async fn a_send_that_ran_ahead_of_the_status_is_read_again_before_it_is_ambiguous() {
    let world = World::with(|settings| settings.send_statuses = vec!["SentMeaSoft".to_owned()]).await;
    let (late, draft) = (another(&world, "7001", "new"), another(&world, "7001", "new"));
    world.send(world.id, "7001").await;
    world.crm.edit(world.account, late, |order| order.set_status("SentMeaSoft"));
    settle(&world).await;
    assert_eq!(world.delivery(late).await.state, S::Created);
    assert!(
        world
            .store()
            .delivery_by_order(world.id, CrmOrderId(draft))
            .await
            .expect("read")
            .is_none_or(|d| d.state == S::Planned)
    );
    assert_eq!(dead_reasons(&world).await, [""; 0]);
    assert_eq!(world.courier.orders().len(), 1);
}

#[tokio::test]
async fn a_change_that_shows_after_a_new_declared_value_reaches_measoft() {
    let world = World::new().await;
    let order = another(&world, "A-1", "SentMeaSoft");
    send_of(&world, "A-1", 100, RequestKind::Send).await;
    // The trigger names the new total while RetailCRM still shows the order as it was.
    send_of(&world, "A-1", 200, RequestKind::Update).await;
    assert_eq!(world.courier.count("editorder"), 0, "a declared value alone is no difference yet");
    world.crm.edit(world.account, order, |order| order.set_phone("+7 (916) 000-77-66"));
    settle(&world).await;
    assert_eq!(world.courier.count("editorder"), 1);
    assert!(world.courier.order("A-1").expect("there").receiver.phone.contains("9160007766"));
    // And nothing but the value does reach it in the end; also after an edit.
    send_of(&world, "A-1", 300, RequestKind::Update).await;
    assert_eq!(world.courier.count("editorder"), 1);
    settle(&world).await;
    assert_eq!(world.courier.count("editorder"), 2);
}

#[tokio::test]
async fn both_orders_of_one_number_are_sent_when_their_status_says_so() {
    let world = World::with(|settings| settings.send_statuses = vec!["SentMeaSoft".to_owned()]).await;
    let orders = [another(&world, "7001", "SentMeaSoft"), another(&world, "7001", "SentMeaSoft")];
    another(&world, "7001", "new");
    world.send(world.id, "7001").await;
    for order in orders {
        assert_eq!(world.delivery(order).await.state, S::Created);
    }
    assert_eq!(world.courier.orders().len(), 2, "the third was not asked for");
}

#[tokio::test]
async fn a_number_given_to_a_new_order_leaves_the_old_parcel_alone() {
    let world = World::new().await;
    let old = world.place("101").await;
    let before = world.courier.order("101").expect("there");
    world.crm.edit(world.account, old, |order| order.set_number("101-old"));
    let new = another(&world, "101", "SentMeaSoft");
    world.send(world.id, "101").await;
    settle(&world).await;
    let new = world.delivery(new).await;
    assert_eq!(new.state, S::Created);
    assert_ne!(new.orderno.as_str(), "101");
    assert_eq!(world.courier.count("editorder"), 0);
    assert_eq!(world.courier.order("101").expect("there").receiver.phone, before.receiver.phone);
    // Its own triggers go on reaching the old order, under the new number and the old parcel.
    world.crm.edit(world.account, old, |order| order.set_phone("+7 (916) 000-77-66"));
    world.request(world.id, "101-old", RequestKind::Update).await;
    settle(&world).await;
    assert_eq!(world.courier.count("editorder"), 1);
    assert!(world.courier.order("101").expect("there").receiver.phone.contains("9160007766"));
}

pub(crate) fn request(world: &World, body: serde_json::Value) -> Request {
    let now = world.tools.clock.now();
    Request {
        active: world.first(),
        body,
        command: uuid::Uuid::now_v7().to_string(),
        received_at: now,
        answer_by: now + Duration::from_secs(10),
    }
}

pub(crate) fn save_of(order: i64, number: &str) -> serde_json::Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/fixtures/retailcrm/callback-save-request.json");
    let text = std::fs::read_to_string(path).expect("the sample");
    let mut save = serde_json::from_str::<serde_json::Value>(&text).expect("JSON")["save"].clone();
    save["order"] = order.to_string().into();
    save["orderNumber"] = number.into();
    // What is collected, RetailCRM's own payments say.
    save["delivery"].as_object_mut().expect("a map").remove("withCod");
    save["packages"] = serde_json::json!([]);
    save
}

/// Does something while the orders are worked on.
pub(crate) async fn meanwhile<T>(world: &World, what: impl Future<Output = T>) -> T {
    let work = async {
        loop {
            world.work(world.id).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        done = what => done,
        () = work => unreachable!(),
    }
}

#[tokio::test]
async fn a_save_of_one_order_never_acts_on_another_of_its_number() {
    let world = World::new().await;
    let first = world.place("7001").await;
    let second = another(&world, "7001", "new");
    let (hints, _kept) = tokio::sync::mpsc::channel(8);
    let context = crate::callbacks::rpc::context(&world.ctx, world.tools.clone(), world.integrations.clone(), hints);
    let saved = meanwhile(&world, save::save(&context, &request(&world, save_of(second, "7001")))).await;
    let answer = String::from_utf8(saved.expect("answered").body).expect("utf-8");
    let placed = world.delivery(second).await;
    assert_eq!(placed.state, S::Created);
    assert!(
        answer.contains(placed.orderno.as_str()) && answer.contains(&format!("ms-{}-{second}", world.id)),
        "{answer}"
    );
    assert!(world.delivery(first).await.saved_request.is_none());
    assert_eq!((world.courier.orders().len(), world.courier.count("editorder")), (2, 0));
    // And a withdrawal of one takes that one.
    let body = serde_json::json!({ "deliveryId": format!("ms-{}-{second}", world.id) });
    meanwhile(&world, delete::delete(&context, &request(&world, body))).await.expect("withdrawn");
    assert_eq!(world.delivery(second).await.state, S::Cancelled);
    assert_eq!(world.delivery(first).await.state, S::Created);
}

#[tokio::test]
async fn an_order_that_ended_long_ago_is_never_shipped_again() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    world
        .store()
        .db
        .exec("UPDATE deliveries SET state = 'delivered', status = 'COMPLETE', finished_at = 1, updated_at = 1", vec![])
        .await
        .expect("written");
    let now = world.tools.clock.now();
    assert_eq!(world.store().forget_deliveries(now, 9).await.expect("forgotten"), 1);
    assert!(world.store().delivery_by_order(world.id, CrmOrderId(order)).await.expect("read").is_none());
    world.courier.advance_year();
    world.send(world.id, "A-1").await;
    settle(&world).await;
    assert_eq!(world.courier.count("neworder"), 1);
    assert_eq!(dead_reasons(&world).await, [""; 0]);
    // A `save` of it hears what became of it.
    let (hints, _kept) = tokio::sync::mpsc::channel(8);
    let context = crate::callbacks::rpc::context(&world.ctx, world.tools.clone(), world.integrations.clone(), hints);
    let saved = meanwhile(&world, save::save(&context, &request(&world, save_of(order, "A-1")))).await;
    let answer = String::from_utf8(saved.expect("answered").body).expect("utf-8");
    assert!(answer.contains(r#""trackNumber":"A-1""#), "{answer}");
    assert_eq!(world.courier.count("neworder"), 1);
}

#[tokio::test]
async fn what_we_cancelled_is_placed_anew_past_another_orders_real_number() {
    let world = World::new().await;
    let order = world.place("100").await;
    let real = world.place("100-2").await;
    world.crm.edit(world.account, order, |order| order.set_delivery_type("russian-post"));
    world.request(world.id, "100", RequestKind::Cancel).await;
    settle(&world).await;
    assert_eq!(world.delivery(order).await.state, S::Cancelled);
    world.crm.edit(world.account, order, |order| order.set_delivery_type("incity"));
    world.send(world.id, "100").await;
    settle(&world).await;
    let anew = world.delivery(order).await;
    assert_eq!((anew.state, anew.orderno.as_str(), anew.generation), (S::Created, "100-3", 3));
    assert_eq!(world.delivery(real).await.orderno.as_str(), "100-2");
    // Numbers that were used stay used.
    world.crm.edit(world.account, order, |order| order.set_number("100-moved"));
    let next = another(&world, "100", "SentMeaSoft");
    world.send(world.id, "100").await;
    settle(&world).await;
    assert_eq!(world.delivery(next).await.orderno.as_str(), format!("R{next}"));
}

#[tokio::test]
async fn what_the_database_refuses_for_one_order_ends_as_its_letter_and_holds_up_no_other() {
    let world = World::new().await;
    let (bad, good) = (another(&world, "BAD", "new"), another(&world, "GOOD", "new"));
    let refuse = "CREATE TRIGGER refuse BEFORE UPDATE ON deliveries WHEN NEW.number = 'BAD' AND NEW.state <> 'planned' \
                  BEGIN SELECT RAISE(ABORT, 'refused'); END";
    world.store().db.exec(refuse, vec![]).await.expect("a trigger");
    world.request(world.id, "BAD", RequestKind::Send).await;
    world.request(world.id, "GOOD", RequestKind::Send).await;
    world.work(world.id).await;
    assert_eq!(world.delivery(good).await.state, S::Created);
    // A phone that cannot be called: the refusal is to be written down, and cannot be.
    world.crm.edit(world.account, bad, |order| order.set_phone("none"));
    world
        .until("the letter", async || {
            world.work(world.id).await;
            !world.dead().await.is_empty()
        })
        .await;
    assert_eq!(dead_reasons(&world).await, ["internal"]);
    assert_eq!(world.store().backlog_of(world.id).await.expect("read").0, 0);
}

#[tokio::test]
async fn an_edited_number_changes_neither_the_declared_value_nor_the_parcel() {
    let world = World::new().await;
    let order = an_order().number("A-1").delivery_type("incity").status("SentMeaSoft");
    let order = world.crm.add_order(world.account, order);
    world.request_of(world.id, "A-1", RequestKind::Send, Some(Kopecks::roubles(777))).await;
    settle(&world).await;
    let sent = world.delivery(order).await.sent_hash;
    world.crm.edit(world.account, order, |order| order.set_number("A-2"));
    world.send(world.id, "A-2").await;
    world.request(world.id, "A-2", RequestKind::Update).await;
    settle(&world).await;
    assert_eq!(world.courier.count("editorder"), 0);
    let d = world.delivery(order).await;
    assert_eq!((d.sent_hash, d.number.as_str()), (sent, "A-2"));
    assert_eq!(dead_reasons(&world).await, [""; 0]);
}

#[tokio::test]
async fn an_order_that_another_integration_handed_over_is_never_shipped_again() {
    let world = World::new().await;
    let foreign = an_order().number("A-1").delivery_type("incity").status("SentMeaSoft");
    let by_id = world.crm.add_order(world.account, foreign.clone().delivery_data("externalId", "8-4711".into()));
    world.send(world.id, "A-1").await;
    world.send(world.id, "A-1").await;
    world.request(world.id, "A-1", RequestKind::Update).await;
    settle(&world).await;
    assert_eq!(world.courier.count("neworder"), 0);
    let dead = world.dead().await;
    assert!(
        dead.iter().all(|dead| dead.reason == "handed_over_elsewhere" && dead.detail.to_string().contains("8-4711")),
        "{dead:?}"
    );
    assert!(!dead.is_empty());
    let shown = world.crm.order(world.account, by_id).expect("there");
    assert_eq!(shown["delivery"]["data"]["externalId"], "8-4711", "what the other wrote stays");
    let by_status = foreign.number("A-2").delivery_data("status", "DELIVERY".into());
    world.crm.add_order(world.account, by_status);
    world.send(world.id, "A-2").await;
    assert_eq!(world.courier.count("neworder"), 0);
    // The data is cleared, and it is sent anew.
    world.crm.edit(world.account, by_id, |order| order.delivery.data.clear());
    world.send(world.id, "A-1").await;
    settle(&world).await;
    assert_eq!(world.delivery(by_id).await.state, S::Created);
}

#[tokio::test]
async fn a_number_with_html_codes_means_the_order_without_them() {
    let world = World::new().await;
    let order = another(&world, "A&B", "SentMeaSoft");
    world.crm.forget_requests();
    world.send(world.id, "A&amp;B").await;
    assert_eq!(world.delivery(order).await.state, S::Created);
    let asked = world.crm.requests().iter().filter(|r| r.op == "orders.list").count();
    assert!(asked <= 2, "both spellings in one request: {asked}");
    world.crm.edit(world.account, order, |order| order.set_delivery_type("russian-post"));
    world.request(world.id, "A&amp;B", RequestKind::Cancel).await;
    settle(&world).await;
    assert_eq!(world.delivery(order).await.state, S::Cancelled, "a cancel too");
}

#[tokio::test]
async fn both_spellings_of_a_number_as_real_orders_are_a_persons() {
    let world = World::new().await;
    another(&world, "A&B", "new");
    another(&world, "A&amp;B", "new");
    world.send(world.id, "A&amp;B").await;
    assert_eq!(dead_reasons(&world).await, ["escaped_number"]);
    assert_eq!(world.courier.count("neworder"), 0);
}

#[tokio::test]
async fn a_pause_of_days_ages_nothing() {
    let world = World::new().await;
    let order = another(&world, "A-1", "new");
    world.request(world.id, "A-1", RequestKind::Send).await;
    let paused = IntegrationState::Paused { by: PausedBy::Operator, reason: String::new() };
    world.store().set_integration_state(world.id, &paused).await.expect("paused");
    let day_ago = world.tools.clock.now().as_millisecond() - 25 * 3600 * 1000;
    for table in ["intents", "order_intents"] {
        let aged = format!("UPDATE {table} SET wanted_at = {day_ago}, due_at = {day_ago}");
        world.store().db.exec(aged, vec![]).await.expect("aged");
    }
    world.store().set_integration_state(world.id, &IntegrationState::Active).await.expect("resumed");
    let unavailable = FaultAction::Status { status: 503, retry_after: None, act: false };
    world.courier.set_faults(vec![FaultRule::new(unavailable).first(1)]);
    settle(&world).await;
    assert_eq!(dead_reasons(&world).await, [""; 0]);
    assert_eq!(world.delivery(order).await.state, S::Created);
}

#[tokio::test]
async fn what_measoft_does_not_show_yet_is_not_taken_for_cancelled() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    world.crm.edit(world.account, order, |order| order.set_delivery_type("russian-post"));
    world.request(world.id, "A-1", RequestKind::Cancel).await;
    // Neither its cancel nor its lists know of the order that it has confirmed.
    let unknown =
        |op: &str| FaultRule::new(FaultAction::Refuse { code: 52, text: "заказ не найден".to_owned() }).op(op);
    world.courier.set_faults(vec![unknown("cancelorder").first(1)]);
    world.work_behind(world.id, 1).await;
    assert_eq!(world.delivery(order).await.state, S::Created, "not believed");
    let time_passes = async || {
        // What was sent is not under way any more.
        for sql in ["UPDATE order_intents SET due_at = 0", "UPDATE deliveries SET sent_at = 1, sending = NULL"] {
            world.store().db.exec(sql, vec![]).await.expect("time passes");
        }
        world.work(world.id).await;
    };
    // The refused cancel may still arrive: once it can no longer be under way MeaSoft is looked at.
    world
        .until("nothing waits", async || {
            time_passes().await;
            world.store().backlog_of(world.id).await.expect("read").0 == 0
        })
        .await;
    assert_eq!(world.delivery(order).await.state, S::Cancelled);
    assert_eq!(world.courier.count("cancelorder"), 2);
}

#[tokio::test]
async fn an_unknown_refusal_is_tried_again_before_it_is_final() {
    let world = World::new().await;
    let odd =
        || FaultRule::new(FaultAction::Refuse { code: 977, text: "date expected later".to_owned() }).op("neworder");
    world.courier.set_faults(vec![odd().first(2)]);
    let order = another(&world, "A-1", "new");
    world.request(world.id, "A-1", RequestKind::Send).await;
    settle(&world).await;
    assert_eq!(world.delivery(order).await.state, S::Created);
    world.courier.set_faults(vec![odd()]);
    another(&world, "A-2", "new");
    world.request(world.id, "A-2", RequestKind::Send).await;
    settle(&world).await;
    let dead = world.dead().await;
    assert_eq!(dead.iter().map(|dead| dead.reason.as_str()).collect::<Vec<_>>(), ["unknown_code"], "not our bad XML");
}

#[tokio::test]
async fn what_a_refusal_quotes_of_people_and_passwords_is_kept_nowhere() {
    let world = World::with(|settings| settings.report_errors_to_crm = true).await;
    let text = "Серафима Птицына не принята: вход pass-demo, тел. +7 916 000-99-88".to_owned();
    world.courier.set_faults(vec![FaultRule::new(FaultAction::Refuse { code: 977, text }).op("neworder")]);
    let order = an_order().number("A-3").delivery_type("incity").status("new").receiver("Серафима", "+79160009988");
    let order = world.crm.add_order(world.account, order);
    world.request(world.id, "A-3", RequestKind::Send).await;
    settle(&world).await;
    world.tools.journal.flush().await;
    let dead = world.dead().await.remove(0);
    assert!(dead.detail.to_string().contains("не принята"), "the rest of its words stays: {}", dead.detail);
    let columns = ["text", "story", "request", "response"].map(|column| format!("COALESCE({column}, '')")).join(" || ");
    let rows = world.store().db.fetch(format!("SELECT {columns} AS kept FROM journal"), vec![]).await.expect("read");
    let mut kept: Vec<String> = rows.iter().map(|row| row.text("kept").expect("text")).collect();
    assert!(kept.iter().any(|text| text.contains("не принята")));
    kept.push(dead.detail.to_string());
    for hidden in ["Серафима", "pass-demo", "000-99-88"] {
        assert!(!kept.iter().any(|text| text.contains(hidden)), "{hidden} in {kept:#?}");
    }
    // RetailCRM may see its own customer's name, never a password.
    let told = world.delivery(order).await.crm_written.error.expect("told");
    assert!(told.contains("Серафима") && !told.contains("pass-demo"), "{told}");
}

/// The reconcile of RetailCRM's side, and what it asks for.
async fn reconcile(world: &World) -> Vec<&'static str> {
    let mut envelope = world.command(Command::Reconcile {});
    envelope.key = RECONCILE_HISTORY.to_owned();
    // What changed in the last seconds is left to the next walk.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    world.job_by(&world.tools, &envelope).await;
    let kinds = world.run_published().await;
    settle(world).await;
    kinds
}

#[tokio::test]
async fn an_order_that_is_deleted_or_combined_after_it_was_sent_is_cancelled_without_a_trigger() {
    let world = World::new().await;
    let (kept, deleted, combined) =
        (world.place("KEPT").await, world.place("DELETED").await, world.place("COMBINED").await);
    assert!(world.crm.delete_order(world.account, deleted));
    assert!(world.crm.combine_orders(world.account, combined, kept));
    assert_eq!(reconcile(&world).await, ["CancelOrder", "CancelOrder"]);
    for order in [deleted, combined] {
        assert_eq!(world.delivery(order).await.state, S::Cancelled);
    }
    assert_eq!(world.delivery(kept).await.state, S::Created);
    assert_eq!(dead_reasons(&world).await, [""; 0]);
    assert_eq!(reconcile(&world).await, [""; 0], "once");
}

#[tokio::test]
async fn a_cancel_that_meant_another_order_leaves_a_deleted_one_to_be_cancelled() {
    let world = World::new().await;
    let order = world.place("7001").await;
    world.send(world.id, "7001").await;
    settle(&world).await;
    // Of an order with this number that was never ours.
    world.request(world.id, "7001", RequestKind::Cancel).await;
    settle(&world).await;
    assert_eq!(world.delivery(order).await.state, S::Created, "it has our delivery type still");
    assert!(world.crm.delete_order(world.account, order));
    assert_eq!(reconcile(&world).await, ["CancelOrder"]);
    assert_eq!(world.delivery(order).await.state, S::Cancelled);
    assert_eq!(dead_reasons(&world).await, [""; 0]);
}

#[tokio::test]
async fn an_order_that_leaves_and_is_renumbered_at_once_leaves_no_parcel_behind() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    world.send(world.id, "A-1").await;
    settle(&world).await;
    // The cancel trigger spoke of A-1, which another order bears by the time it is read.
    world.crm.edit(world.account, order, |order| order.set_delivery_type("russian-post"));
    world.crm.edit(world.account, order, |order| order.set_number("A-9"));
    world.request(world.id, "A-9", RequestKind::Update).await;
    settle(&world).await;
    assert_eq!(world.delivery(order).await.state, S::Cancelled);
    assert_eq!((world.courier.count("neworder"), world.courier.count("cancelorder")), (1, 1));
    assert_eq!(dead_reasons(&world).await, [""; 0]);
}

/// The states of one order's deliveries at two shops.
async fn at_both(world: &World, integrations: [IntegrationId; 2], order: i64) -> [Option<S>; 2] {
    let mut states = [None; 2];
    for (state, active) in states.iter_mut().zip(integrations) {
        let kept = world.store().delivery_by_order(active, CrmOrderId(order)).await.expect("read");
        *state = kept.map(|d| d.state);
    }
    states
}

#[tokio::test]
async fn an_order_that_moves_between_shops_under_ever_new_numbers_has_one_parcel() {
    let world = World::new().await;
    let other = world.add_shop("B", "incity-b", |_| {}).await;
    let integrations = [world.id, other];
    let order = world.place("A-1").await;
    settle(&world).await;
    // Each time the cancel trigger speaks of the last number, which another order bears by then.
    let moves = [(other, "incity-b", "A-2"), (world.id, "incity", "A-3"), (other, "incity-b", "A-4")];
    for (active, delivery_type, number) in moves {
        world.crm.edit(world.account, order, |order| order.set_delivery_type(delivery_type));
        world.crm.edit(world.account, order, |order| order.set_number(number));
        world.send(active, number).await;
        settle_all(&world, &integrations).await;
        let expected = integrations.map(|id| Some(if id == active { S::Created } else { S::Cancelled }));
        assert_eq!(at_both(&world, integrations, order).await, expected, "{number}");
    }
    assert_eq!((world.courier.count("neworder"), world.courier.count("cancelorder")), (4, 3));
    assert_eq!(dead_reasons(&world).await, [""; 0]);
}

#[tokio::test]
async fn a_deleted_order_that_the_courier_works_on_is_a_persons() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    world.courier.set_status("A-1", "ACCEPTED", world.tools.clock.now());
    assert!(world.crm.delete_order(world.account, order));
    assert_eq!(reconcile(&world).await, ["CancelOrder"]);
    let dead = world.dead().await;
    assert_eq!(dead.iter().map(|dead| dead.reason.as_str()).collect::<Vec<_>>(), ["too_late"]);
    assert_eq!(world.courier.count("cancelorder"), 1);
}

#[tokio::test]
async fn a_cancel_trigger_of_a_deleted_order_finds_its_parcel() {
    let world = World::new().await;
    let order = world.place("A-1").await;
    assert!(world.crm.delete_order(world.account, order));
    world.request(world.id, "A-1", RequestKind::Cancel).await;
    settle(&world).await;
    assert_eq!(world.delivery(order).await.state, S::Cancelled);
    assert_eq!(dead_reasons(&world).await, [""; 0]);
}

/// A doubt as a holder raises it whose lease was lost, with what else the ledger says by then.
async fn suspect(world: &World, order: i64, ledger: &str) {
    let intent = world.store().intent(world.id, CrmOrderId(order)).await.expect("read").expect("kept");
    let mut tx = world.store().db.begin().await.expect("a transaction");
    let now = world.tools.clock.now();
    tx.exec(ledger, vec![]).await.expect("written");
    tx.ask_to_verify(&intent, now, now).await.expect("asked");
    tx.commit().await.expect("committed");
    settle(world).await;
}

#[tokio::test]
async fn an_order_found_after_a_lost_answer_and_a_lost_lease_is_not_edited() {
    let world = World::new().await;
    let order = world.place("7001").await;
    world.send(world.id, "7001").await;
    settle(&world).await;
    let lost = "UPDATE deliveries SET state = 'unknown', sending_hash = sent_hash, sent_hash = NULL, sent_at = 1";
    suspect(&world, order, lost).await;
    assert_eq!(world.delivery(order).await.state, S::Created);
    assert_eq!(world.courier.count("neworder"), 1, "looked up, not sent again");
    assert_eq!(world.courier.count("editorder"), 0, "what was found is what was sent");
    // Of one that is known to be placed, another holder may have changed anything.
    suspect(&world, order, "UPDATE deliveries SET number = number").await;
    assert_eq!(world.courier.count("editorder"), 1);
}

#[tokio::test]
async fn a_doubt_about_what_nobody_can_change_any_more_makes_no_letter_and_a_change_does() {
    let world = World::new().await;
    let order = world.place("7001").await;
    world.send(world.id, "7001").await;
    settle(&world).await;
    assert!(world.courier.set_status("7001", "ACCEPTED", world.tools.clock.now()));
    world.request(world.id, "7001", RequestKind::Update).await;
    suspect(&world, order, "UPDATE deliveries SET number = number").await;
    assert_eq!(world.delivery(order).await.state, S::InWork);
    assert_eq!(dead_reasons(&world).await, [""; 0], "nothing was to be changed");
    world.crm.edit(world.account, order, |order| order.set_address("Москва", "Другая ул., д. 9"));
    world.request(world.id, "7001", RequestKind::Update).await;
    suspect(&world, order, "UPDATE deliveries SET number = number").await;
    assert_eq!(dead_reasons(&world).await, ["too_late"], "and the shop hears of what cannot be");
    assert_eq!(world.courier.count("editorder"), 0);
}
