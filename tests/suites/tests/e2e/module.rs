//! The delivery module as RetailCRM drives it, on the real binaries: registered by the
//! operator's command, called by managers, beside the triggers.

use std::time::{Duration, Instant};

use harness::{Builder, Collect, LONG, Placed, Shop, World, a_parcel, eventually};
use serde_json::{Value, json};
use simulators::measoft::{FaultAction, FaultRule};
use simulators::retailcrm::{Answer, TriggerKind, TriggerSetup};
use tokio::net::TcpListener;

/// What the manager gets when all went well.
#[track_caller]
fn result(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.content_type.starts_with("application/json"), "{}", answer.content_type);
    answer.as_manager_sees().unwrap_or_else(|error| panic!("{error}"))["result"].clone()
}

/// The error, which is well-formed whatever happened.
#[track_caller]
fn refused(answer: &Answer) -> String {
    assert!(answer.content_type.starts_with("application/json"), "{}", answer.content_type);
    let body = answer.json();
    assert_eq!(body["success"], false, "{body}");
    body["errorMsg"].as_str().filter(|text| !text.is_empty()).expect("a text").to_owned()
}

async fn save(world: &World, order: &Placed) -> Answer {
    world.crm.save(world.shops[order.shop].account, order.id).await.expect("an answer")
}

fn effects(world: &World, order: &Placed) -> (u32, u32) {
    let there = world.measoft.order(&world.orderno(order));
    there.map_or((0, 0), |there| (there.creates, there.edits))
}

/// What could have changed something at the courier's, or been asked for a manager.
fn asked(world: &World) -> usize {
    ["neworder", "editorder", "cancelorder", "calculator", "waybill"].iter().map(|op| world.measoft.count(op)).sum()
}

/// Registers the first shop's module with the operator's command, as a shop begins.
async fn begun(plan: Builder) -> World {
    let world = plan.unregistered().start().await;
    let done = world.register(0).await;
    assert_eq!(done["firstTime"], true, "{done}");
    let shop = &world.shops[0];
    let sent = world.crm.send_settings(shop.account, &shop.module).await.expect("an answer");
    assert_eq!(sent.json(), json!({"success": true}));
    world
}

async fn from_registration_to_withdrawal(plan: Builder) {
    let world = begun(plan).await;
    let shop: &Shop = &world.shops[0];
    let (builder, collect) = a_parcel(1, "1001C", &shop.delivery_type, Collect::Cash);
    let order = world.place_as(0, "1001C", builder.status("new"), collect);

    let tariffs = result(&world.crm.calculate(shop.account, order.id).await.expect("an answer"));
    let rows = tariffs.as_array().expect("a list");
    let kinds: Vec<&str> = rows.iter().filter_map(|row| row["type"].as_str()).collect();
    assert_eq!(kinds, ["courier", "courier", "courier", "selfDelivery"], "{tariffs}");
    assert!(rows[3]["pickuppointList"].as_array().is_some_and(|points| !points.is_empty()), "{tariffs}");
    world.crm.choose_tariff(shop.account, order.id, &rows[1]).expect("chosen");

    let saved = result(&save(&world, &order).await);
    let id = format!("ms-{}-{}", shop.integration, order.id);
    assert_eq!((&saved["deliveryId"], &saved["status"]), (&json!(id), &json!("NEW")), "{saved}");
    assert_eq!(saved["trackNumber"], world.orderno(&order));
    assert_eq!(effects(&world, &order), (1, 0));
    let there = world.measoft.order(&world.orderno(&order)).expect("placed");
    assert_eq!(
        (there.price_kopecks, there.service.as_str()),
        (order.collect, rows[1]["code"].as_str().expect("a code"))
    );

    // The same order's triggers: no second order, no pointless edit.
    let ingress = world.ingress();
    let pair = (shop.delivery_type.as_str(), shop.key.as_str());
    world.crm.set_triggers(shop.account, Some(TriggerSetup::new(&ingress, &[pair.0], &[pair])));
    assert!(world.crm.edit(shop.account, order.id, |draft| draft.set_status("SentMeaSoft")));
    for kind in [TriggerKind::Send, TriggerKind::Update] {
        let answer = world.crm.fire_for(shop.account, order.id, kind).await.expect("an answer");
        assert_eq!(answer.status, 200, "{kind:?}: {}", answer.text());
    }
    world.crm.triggers_settled().await;
    world.settled("the triggers are served").await;
    let fired = world.crm.triggers_fired();
    assert!(!fired.is_empty() && fired.iter().all(|fired| fired.status == Some(200)), "{fired:?}");
    world.crm.set_triggers(shop.account, None);
    assert_eq!(effects(&world, &order), (1, 0));

    // A change while NEW, once; and nothing for a save without a change.
    assert!(world.crm.edit(shop.account, order.id, |draft| draft.set_phone("+7 (916) 555-00-78")));
    assert_eq!(result(&save(&world, &order).await)["deliveryId"], json!(id));
    assert_eq!(effects(&world, &order), (1, 1));
    result(&save(&world, &order).await);
    assert_eq!(effects(&world, &order), (1, 1), "nothing had changed");

    let second = world.place(0, 2, Collect::Paid);
    let other = result(&save(&world, &second).await)["deliveryId"].as_str().expect("an id").to_owned();
    let printed = world.crm.print(shop.account, &shop.module, "courier", &[&id, &other]).await.expect("an answer");
    assert_eq!((printed.status, printed.content_type.as_str()), (200, "application/pdf"));
    let text = String::from_utf8_lossy(&printed.body);
    assert!(text.starts_with("%PDF"));
    for order in [&order, &second] {
        assert!(text.contains(&world.orderno(order)), "both are in one file");
    }

    let gone = world.crm.delete_delivery(shop.account, order.id).await.expect("an answer");
    assert_eq!(gone.json(), json!({"success": true}));
    assert_eq!(world.measoft.order(&world.orderno(&order)).expect("there").status, "CANCELED");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_registration_to_withdrawal_there_is_one_delivery_on_one_process() {
    from_registration_to_withdrawal(World::embedded("module-embedded")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_registration_to_withdrawal_there_is_one_delivery_over_rabbitmq() {
    from_registration_to_withdrawal(World::scaled("module-scaled")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_courier_slower_than_the_deadline_gets_one_order_and_the_manager_its_final_status() {
    let world = begun(World::scaled("module-slow").set("CALLBACK_DEADLINE_S", "1")).await;
    let shop = &world.shops[0];
    world.measoft.set_faults(vec![FaultRule::new(FaultAction::DelayAfter { ms: 2_500 }).op("neworder").first(1)]);
    let order = world.place(0, 1, Collect::Cash);
    for attempt in 0..2 {
        let answer = save(&world, &order).await;
        assert_eq!(result(&answer)["status"], "PREPROCESSING", "{attempt}");
        assert_eq!(result(&answer)["deliveryId"], format!("ms-{}-{}", shop.integration, order.id));
    }
    let last = || world.crm.tracking(shop.account, order.id).last().map(|entry| entry.code.clone());
    eventually("RetailCRM is told of the placed order", LONG, || async {
        if last().as_deref() == Some("NEW") { Ok(()) } else { Err(format!("{:?}", last())) }
    })
    .await;
    world.settled("the saves are served").await;
    assert_eq!(effects(&world, &order), (1, 0));
    assert_eq!(world.measoft.count("neworder"), 1, "the repeat of the save asked for nothing");
    // And how it ends comes by tracking too.
    assert!(world.measoft.set_status(&world.orderno(&order), "COMPLETE", world.measoft.now()));
    assert_eq!(world.bridge(&["sync"]).await.code, 0);
    eventually("the final status is in RetailCRM", LONG, || async {
        if last().as_deref() == Some("COMPLETE") { Ok(()) } else { Err(format!("{:?}", last())) }
    })
    .await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_phone_is_the_manager_s_error_and_the_mended_order_is_placed() {
    let world = begun(World::scaled("module-phone")).await;
    let shop = &world.shops[0];
    let (builder, collect) = a_parcel(1, "1001C", "incity", Collect::Cash);
    let order = world.place_as(0, "1001C", builder.text("phone", "нет"), collect);
    let shown = save(&world, &order).await.as_manager_sees().expect_err("refused");
    assert_eq!(
        shown,
        "Ошибка сервиса доставки \"Курьерская служба 2008\": field [receiver phone] has no valid phone number"
    );
    assert!(world.measoft.orders().is_empty());
    assert!(world.crm.edit(shop.account, order.id, |draft| draft.set_phone("+7 (916) 555-00-77")));
    assert_eq!(result(&save(&world, &order).await)["status"], "NEW");
    assert_eq!(effects(&world, &order), (1, 0));
    assert!(world.dead_letters().await.is_empty(), "the success closed it");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_frozen_modules_and_foreign_addresses_are_refused_and_nothing_is_called() {
    let world = begun(World::scaled("module-refused")).await;
    let shop = &world.shops[0];
    let order = world.place(0, 1, Collect::Cash);
    let quiet = asked(&world);

    // Not a client of ours.
    for action in ["calculate", "save", "get", "delete", "print", "tariffList", "shipmentPointList"] {
        for client in ["", "stranger", shop.key.as_str()] {
            let url = format!("{}/retailcrm/callback/{action}", world.ingress());
            let answer = world.crm.post(&url, &[("clientId", client), (action, "{}")]).await.expect("an answer");
            assert_eq!(answer.status, 403, "{action}");
            refused(&answer);
        }
    }

    // A system address that is none of RetailCRM's: not taken over, not even connected to.
    let trap = TcpListener::bind("0.0.0.0:0").await.expect("a port");
    let port = trap.local_addr().expect("an address").port();
    let on = json!({"active": true, "freeze": false}).to_string();
    let url = format!("{}/retailcrm/activity", world.ingress());
    for foreign in [
        format!("http://localhost:{port}"),
        format!("http://127.0.0.2:{port}/"),
        format!("http://0.0.0.0:{port}"),
        format!("http://[::ffff:127.0.0.2]:{port}"),
        format!("http://user@127.0.0.2:{port}"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "https://shop.retailcrm.ru.evil.example".to_owned(),
        "https://evil.example/#.retailcrm.ru".to_owned(),
        "https://shop.retailcrm.ru@evil.example".to_owned(),
        "file:///etc/passwd".to_owned(),
        "gopher://shop.retailcrm.ru".to_owned(),
    ] {
        let fields = [("clientId", shop.client_id.as_str()), ("activity", &on), ("systemUrl", &foreign)];
        let answer = world.crm.post(&url, &fields).await.expect("an answer");
        assert_eq!(answer.status, 400, "{foreign}: {}", answer.text());
        refused(&answer);
    }
    let kept = world.ledger.rows("SELECT crm_url FROM integrations WHERE id = 1").await.expect("read");
    assert_eq!(
        kept[0]["crm_url"].as_str().map(|url| url.trim_end_matches('/')),
        Some(world.crm.url().trim_end_matches('/'))
    );

    // Frozen in RetailCRM. The other processes know it within two seconds.
    world.crm.activity(shop.account, &shop.module, true, true).await.expect("an answer");
    let calculated = async || world.crm.calculate(shop.account, order.id).await.expect("an answer");
    eventually("every worker refuses", LONG, || async {
        for _ in 0..6 {
            let answer = calculated().await;
            if answer.json()["success"] != false {
                return Err(answer.text());
            }
        }
        Ok(())
    })
    .await;
    let frozen = asked(&world);
    assert!(refused(&save(&world, &order).await).contains("заморожен"));
    assert!(refused(&calculated().await).contains("заморожен"));
    assert_eq!(asked(&world), frozen, "nothing was asked of the courier while frozen");
    assert_eq!(world.measoft.count("neworder"), 0);
    assert!(frozen >= quiet);

    // Thawed, it works, and the trap has caught nothing all the while.
    world.crm.activity(shop.account, &shop.module, true, false).await.expect("an answer");
    eventually("the save is taken", LONG, || async {
        let answer = save(&world, &order).await;
        if answer.json()["success"] == true { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    world.settled("the save is served").await;
    assert_eq!(effects(&world, &order), (1, 0));
    let caught = tokio::time::timeout(Duration::from_millis(1), trap.accept()).await;
    assert!(caught.is_err(), "somebody connected to a foreign address");
    world.finish().await;
}

/// A metric of one process, summed over its labels.
async fn metric(world: &World, process: &str, name: &str) -> f64 {
    let metrics = world.metrics(process).await;
    let values = metrics.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (key, value) = line.rsplit_once(' ')?;
        (key.split('{').next() == Some(name)).then(|| value.parse::<f64>().ok())?
    });
    values.sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_workers_managers_are_answered_and_two_hundred_abandoned_callbacks_leave_nothing() {
    // Longer than anything here is waited for: what ends before was ended by hanging up.
    let plan = World::scaled("module-no-worker").set("CALLBACK_DEADLINE_S", "300").set("CALCULATE_DEADLINE_S", "1");
    let world = begun(plan).await;
    let shop = &world.shops[0];
    let order = world.place(0, 1, Collect::Cash);
    result(&world.crm.calculate(shop.account, order.id).await.expect("an answer"));
    world.kill("worker-1");
    world.kill("worker-2");

    let begun = Instant::now();
    let answer = world.crm.calculate(shop.account, order.id).await.expect("an answer");
    assert_eq!(answer.status, 200);
    assert!(refused(&answer).contains("не ответил вовремя"));
    assert!(begun.elapsed() < LONG, "no hang");

    // Two hundred that hang up while they are waited for.
    let files = metric(&world, "ingress-1", "process_open_fds").await;
    let address = world.ingress().trim_start_matches("http://").to_owned();
    let body = format!("clientId={}&save=%7B%22order%22%3A%22{}%22%7D", shop.client_id, order.id);
    let request = format!(
        "POST /retailcrm/callback/save HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut callers = Vec::new();
    for _ in 0..200 {
        use tokio::io::AsyncWriteExt as _;
        let mut caller = tokio::net::TcpStream::connect(&address).await.expect("ingress listens");
        caller.write_all(request.as_bytes()).await.expect("sent");
        callers.push(caller);
    }
    eventually("all of them wait", LONG, || async {
        let waiting = metric(&world, "ingress-1", "bridge_callbacks_in_flight").await;
        if waiting >= 200.0 { Ok(()) } else { Err(format!("{waiting}")) }
    })
    .await;
    drop(callers);
    eventually("nothing is left of them", LONG, || async {
        let waiting = metric(&world, "ingress-1", "bridge_callbacks_in_flight").await;
        let open = metric(&world, "ingress-1", "process_open_fds").await;
        if waiting == 0.0 && open <= files + 5.0 { Ok(()) } else { Err(format!("{waiting} waiting, {open} files")) }
    })
    .await;

    // With workers again, what nobody waits for any more makes no order of its own.
    world.start("worker-1").await;
    world.start("worker-2").await;
    assert_eq!(result(&save(&world, &order).await)["status"], "NEW");
    world.settled("the save is served").await;
    assert_eq!(effects(&world, &order), (1, 0));
    world.finish().await;
}
