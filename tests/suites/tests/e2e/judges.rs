//! What was written by others judges what was written here: RetailCRM's official client its
//! simulator, a serialiser of that client's models our callbacks, facts of public clients
//! MeaSoft's fixtures and simulator.

use harness::judges::{judge, passed};
use harness::{Collect, World, a_parcel};
use serde_json::{Value, json};
use shared::retailcrm::Op;
use simulators::measoft::{Account, MeasoftSim};
use simulators::retailcrm::{Options, RetailcrmSim, an_order};

/// What RetailCRM's simulator counts the calls of the product under.
const fn counted(op: Op) -> &'static str {
    match op {
        Op::Orders => "orders.list",
        Op::Order => "orders.get",
        Op::OrderEdit => "orders.edit",
        Op::OrderHistory => "orders.history",
        Op::PaymentCreate => "payments.create",
        Op::PaymentEdit => "payments.edit",
        Op::PaymentDelete => "payments.delete",
        Op::Tracking => "tracking",
        Op::PaymentTypes => "reference.payment-types",
        Op::PaymentStatuses => "reference.payment-statuses",
        Op::ProductStatuses => "reference.product-statuses",
        Op::DeliveryTypes => "reference.delivery-types",
        Op::Statuses => "reference.statuses",
        Op::Credentials => "credentials",
        Op::Settings => "settings",
        Op::Module => "modules.get",
        Op::ModuleEdit => "modules.edit",
        Op::NotificationSend => "notifications.send",
    }
}

fn fixture(name: &str) -> Value {
    let path = suites::root().join("shared/fixtures/retailcrm").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).expect("a fixture")).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn retailcrm_s_own_client_finds_the_simulator_right_in_every_call_of_the_product_s() {
    const KEY: &str = "k3yFr0mCrm0000000000000000000000";
    let sim = RetailcrmSim::start(Options::default()).await.expect("the simulator");
    let account = sim.add_account(KEY);
    let module = &fixture("module-edit-request.json")["integrationModule"];
    let url = format!("{}/api/v5/integration-modules/measoft-17/edit", sim.url());
    let http = simulators::http().build().expect("a client");
    let sent = http.post(url).header("x-api-key", KEY).form(&[("integrationModule", module.to_string())]).send().await;
    assert_eq!(sent.expect("an answer").status().as_u16(), 201);
    sim.add_delivery_type(account, "incity", Some("measoft-17"), &["cash", "bank-card"]);
    let order = an_order().delivery_data("externalId", "ms-17-1".into()).delivery_at("2026-12-24", "10:00", "14:00");
    let orders = [sim.add_order(account, order), sim.add_order(account, an_order().no_payments())];
    sim.forget_requests();

    let given = json!({"url": sim.url(), "key": KEY, "module": "measoft-17", "orders": orders});
    passed(&judge("crm.py", &given).await, 60);
    for op in Op::ALL {
        assert!(sim.count(counted(op)) > 0, "{op} was not called");
    }
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_public_clients_of_measoft_read_stands_in_the_fixtures_and_the_simulator_s_answers() {
    let sim = MeasoftSim::start(simulators::measoft::Options::default()).await.expect("the simulator");
    sim.add_account(Account { sync_after_ms: Some(0), ..Account::new("8", "judged", "secret") });
    let given = json!({"url": sim.url(), "control": sim.control_url(), "extra": "8", "login": "judged",
        "pass": "secret"});
    passed(&judge("measoft.py", &given).await, 40);
    sim.stop().await;
}

/// Each form of dates, with and without nulls.
const FORMS: [(&str, bool); 4] = [("models", false), ("models", true), ("days", true), ("days", false)];

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_written_by_the_models_of_retailcrm_s_client_do_what_they_say() {
    let world = World::scaled("judged-callbacks").unregistered().start().await;
    world.register(0).await;
    let shop = &world.shops[0];
    let module = world.crm.module(shop.account, &shop.module).expect("registered");
    for (n, (dates, nulls)) in (1..).zip(FORMS) {
        let number = format!("{n}001C");
        let (builder, collect) = a_parcel(n, &number, &shop.delivery_type, Collect::Cash);
        let order = world.place_as(0, &number, builder.delivery_at("2026-12-24", "10:00", "14:00"), collect);
        let card = world.crm.order(shop.account, order.id).expect("the order");
        let given = json!({"url": world.ingress(), "systemUrl": world.crm.url(), "clientId": shop.client_id,
            "module": module, "order": card, "dates": dates, "nulls": nulls});
        let verdict = judge("callbacks.py", &given).await;
        passed(&verdict, 20);
        assert_eq!(verdict["deliveryId"], format!("ms-{}-{}", shop.integration, order.id));
        let there = world.measoft.order(&world.orderno(&order)).expect("at the courier's");
        assert_eq!((there.creates, there.edits, there.status.as_str()), (1, 0, "CANCELED"), "{dates} {nulls}");
        let receiver = &there.receiver;
        assert_eq!(
            (receiver.date.as_str(), receiver.time_min.as_str(), receiver.time_max.as_str()),
            ("2026-12-24", "10:00", "14:00")
        );
        assert_eq!(there.price_kopecks, order.collect, "{dates} {nulls}");
    }
    world.finish().await;
}
