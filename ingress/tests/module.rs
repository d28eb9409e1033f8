//! The delivery module as RetailCRM drives it.

mod installation;

use std::sync::Arc;
use std::time::{Duration, Instant};

use installation::{Installation, Plan};
use serde_json::{Value, json};
use shared::domain::{DeliveryState, IntegrationState, PausedBy, Secret};
use simulators::measoft::{FaultAction, FaultRule};
use simulators::retailcrm::{Answer, CallbackShapes, RetailcrmSim, TriggerKind, an_order};

fn result(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.content_type.starts_with("application/json"), "{}", answer.content_type);
    answer.as_manager_sees().unwrap_or_else(|error| panic!("{error}"))["result"].clone()
}

fn refused(answer: &Answer) -> String {
    assert!(answer.content_type.starts_with("application/json"), "{}", answer.content_type);
    let body = answer.json();
    assert_eq!(body["success"], false, "{body}");
    assert_eq!(body.as_object().expect("object").len(), 2, "{body}");
    body["errorMsg"].as_str().expect("a text").to_owned()
}

fn sample(name: &str) -> Value {
    let path = format!("{}/../shared/fixtures/retailcrm/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).expect("a sample")).expect("JSON")
}

/// Every field of ours is one of the sample's, in the same sort of value.
#[track_caller]
fn same_shape(ours: &Value, theirs: &Value, at: &str) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for (name, value) in ours {
                if at.ends_with("extraData") {
                    assert!(value.is_string(), "{at}.{name}");
                    continue;
                }
                let known = theirs.get(name).unwrap_or_else(|| panic!("{at}.{name} is not in the sample"));
                same_shape(value, known, &format!("{at}.{name}"));
            }
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            for value in ours {
                let best = theirs.iter().find(|t| t["type"] == value["type"]).or(theirs.first()).expect("an element");
                same_shape(value, best, &format!("{at}[]"));
            }
        }
        (ours, theirs) => {
            assert_eq!(std::mem::discriminant(ours), std::mem::discriminant(theirs), "{at}: {ours} / {theirs}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_tariff_to_withdrawal_there_is_one_delivery() {
    let world = Installation::new().await;
    world.with_triggers();
    let order = world.plain_order("A-1");
    let calculated = world.calculate(order).await;
    same_shape(&calculated.json(), &sample("callback-calculate-response.json"), "");
    let tariffs = result(&calculated);
    let codes: Vec<&str> = tariffs.as_array().expect("a list").iter().filter_map(|t| t["code"].as_str()).collect();
    assert_eq!(codes, ["1", "2", "3", "pvz-3"]);
    let pickup = &tariffs[3];
    assert_eq!(pickup["type"], "selfDelivery");
    let points: Vec<&Value> =
        pickup["pickuppointList"].as_array().expect("points").iter().map(|p| &p["code"]).collect();
    assert_eq!(points, ["101"], "the parcel is too heavy for the locker");
    assert!(pickup["pickuppointList"][0]["coordinates"]["latitude"].is_number());
    assert_eq!(tariffs[1]["extraData"]["deliveryApiKey"], world.key());
    world.crm.choose_tariff(world.account, order, &tariffs[1]).expect("chosen");

    let saved = world.save(order).await;
    same_shape(&saved.json(), &sample("callback-save-response.json"), "");
    let saved = result(&saved);
    assert_eq!(saved["deliveryId"], format!("ms-1-{order}"));
    assert_eq!(saved["trackNumber"], "A-1");
    assert_eq!(saved["status"], "NEW");
    assert_eq!(saved["extraData"]["deliveryApiKey"], world.key());
    let placed = world.courier.order("A-1").expect("placed");
    assert_eq!(placed.service, "2");
    assert_eq!((placed.price_kopecks, placed.paytype.as_str()), (414_000, "CASH"));
    assert_eq!(placed.receiver.regioncode, "77");
    assert_eq!(world.writes(), (1, 0, 0));
    assert_eq!(world.crm.count("orders.edit"), 0, "the manager's order is not touched while he saves it");

    // The trigger of the same order: nothing second, nothing pointless.
    world.crm.edit(world.account, order, |draft| draft.set_status("SentMeaSoft"));
    world.crm.triggers_settled().await;
    world.at_rest().await;
    assert_eq!(world.writes(), (1, 0, 0));

    // A change while the courier has not begun.
    world.crm.set_triggers(world.account, None);
    world.crm.edit(world.account, order, |draft| draft.set_text("phone", "+7 916 222-33-44"));
    let again = result(&world.save(order).await);
    assert_eq!(again["deliveryId"], saved["deliveryId"]);
    assert_eq!(world.writes(), (1, 1, 0));
    assert!(world.courier.order("A-1").expect("there").receiver.phone.contains("9162223344"));
    // Saved once more without a change.
    result(&world.save(order).await);
    assert_eq!(world.writes(), (1, 1, 0));

    let second = world.plain_order("A-2");
    let second = result(&world.save(second).await)["deliveryId"].clone();
    let ids = [saved["deliveryId"].as_str().expect("an id"), second.as_str().expect("an id")];
    let printed = world.print(&ids).await;
    assert_eq!((printed.status, printed.content_type.as_str()), (200, "application/pdf"));
    let text = String::from_utf8_lossy(&printed.body).into_owned();
    assert!(text.starts_with("%PDF") && text.contains("A-1") && text.contains("A-2"));

    let got = world.crm.get_delivery(world.account, &world.module(), ids[0]).await.expect("answered");
    same_shape(&got.json(), &sample("callback-get-response.json"), "");
    let got = result(&got);
    assert_eq!(
        (&got["trackNumber"], &got["status"]["code"], &got["tariff"]),
        (&json!("A-1"), &json!("NEW"), &json!("2"))
    );
    assert_eq!(got["deliveryAddress"]["city"], "Москва");

    let gone = world.withdraw(order).await;
    assert_eq!(gone.json(), sample("callback-delete-response.json"));
    assert_eq!(world.writes().2, 1);
    assert_eq!(world.delivery(order).await.expect("known").state, DeliveryState::Cancelled);
    assert_eq!(world.courier.order("A-1").expect("there").status, "CANCELED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_withdrawn_and_saved_again_is_a_new_shipment_under_the_same_id() {
    let world = Installation::new().await;
    let order = world.plain_order("A-1");
    let first = result(&world.save(order).await);
    assert_eq!(world.withdraw(order).await.json()["success"], true);
    let again = result(&world.save(order).await);
    assert_eq!(first["deliveryId"], again["deliveryId"]);
    assert_eq!(again["trackNumber"], "A-1-2");
    assert_eq!(world.writes(), (2, 0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn withdrawing_twice_or_what_never_was_succeeds() {
    let world = Installation::new().await;
    let order = world.plain_order("A-1");
    let saved = result(&world.save(order).await);
    let id = saved["deliveryId"].as_str().expect("an id");
    for id in [id, id, "ms-1-999999"] {
        let body = json!({ "deliveryId": id }).to_string();
        let answer = world.post("callback/delete", &[("delete", &body)]).await;
        assert_eq!(answer.json(), json!({"success": true}), "{id}");
    }
    assert_eq!(world.writes().2, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_in_work_is_neither_changed_nor_withdrawn_and_the_manager_reads_why() {
    let world = Installation::new().await;
    let order = world.plain_order("A-1");
    result(&world.save(order).await);
    world.courier.set_status("A-1", "DELIVERY", world.courier.now());
    let refusal = refused(&world.withdraw(order).await);
    assert!(refusal.contains("уже в работе"), "{refusal}");
    world.crm.edit(world.account, order, |draft| draft.set_text("phone", "+7 916 222-33-44"));
    let refusal = refused(&world.save(order).await);
    assert!(refusal.contains("уже в работе"), "{refusal}");
    assert_eq!(world.courier.order("A-1").expect("there").edits, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_phone_is_said_in_measoft_s_words_and_the_corrected_order_goes() {
    let world = Installation::new().await;
    let order = world.add_order(an_order().number("A-1").delivery_type("incity").text("phone", "нет"));
    let answer = world.save(order).await;
    assert_eq!(
        answer.as_manager_sees().expect_err("refused"),
        "Ошибка сервиса доставки \"Курьерская служба 2008\": field [receiver phone] has no valid phone number"
    );
    assert!(world.courier.orders().is_empty());
    world.crm.edit(world.account, order, |draft| draft.set_text("phone", "+7 916 222-33-44"));
    result(&world.save(order).await);
    assert_eq!(world.courier.orders().len(), 1);
    assert!(world.ctx.store.dead_letters(&Default::default()).await.expect("read").is_empty(), "the success closed it");

    // And what MeaSoft itself refuses comes through as it is.
    let text = "Курьерская служба: \"адрес\" не обслуживается";
    world.courier.set_faults(vec![
        FaultRule::new(FaultAction::Refuse { code: 7, text: text.into() }).op("neworder").orderno("A-2"),
    ]);
    let order = world.plain_order("A-2");
    assert_eq!(refused(&world.save(order).await), text);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callback_s_data_go_before_an_order_that_is_still_the_old_one() {
    let world = Installation::new().await;
    let order = world.plain_order("A-1");
    result(&world.save(order).await);
    // RetailCRM asks for the save before its own commit: REST shows the change later.
    world.crm.configure(|options| options.commit_lag_ms = 1_500);
    world.crm.edit(world.account, order, |draft| {
        draft.set_text("phone", "+7 916 222-33-44");
        draft.set_delivery_date("2031-05-20");
    });
    result(&world.save(order).await);
    let placed = world.courier.order("A-1").expect("there");
    assert!(placed.receiver.phone.contains("9162223344"), "the new phone");
    assert_eq!(placed.receiver.date, "2031-05-20");
    assert_eq!(world.writes(), (1, 1, 0));
    // Once it is committed, a trigger finds nothing left to do.
    world.crm.configure(|options| options.commit_lag_ms = 0);
    tokio::time::sleep(Duration::from_millis(1_600)).await;
    world.with_triggers();
    world.crm.fire_for(world.account, order, TriggerKind::Send).await.expect("answered");
    world.at_rest().await;
    assert_eq!(world.writes(), (1, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_courier_gets_a_provisional_answer_and_one_order() {
    let world = Installation::of(Plan { env: vec![("CALLBACK_DEADLINE_S", "1".into())], ..Plan::default() }).await;
    world.courier.set_faults(vec![FaultRule::new(FaultAction::DelayAfter { ms: 2_500 }).op("neworder").first(1)]);
    let order = world.plain_order("A-1");
    let asked = Instant::now();
    let answer = world.save(order).await;
    assert!(asked.elapsed() < Duration::from_millis(1_300), "{:?}", asked.elapsed());
    same_shape(&answer.json(), &sample("callback-save-async-response.json"), "");
    assert_eq!(result(&answer)["status"], "PREPROCESSING");
    let again = result(&world.save(order).await);
    assert_eq!((&again["deliveryId"], &again["status"]), (&json!(format!("ms-1-{order}")), &json!("PREPROCESSING")));
    world
        .until("RetailCRM is told", async || {
            world.crm.tracking(world.account, order).last().is_some_and(|entry| entry.code == "NEW")
        })
        .await;
    world.at_rest().await;
    assert_eq!(world.writes(), (1, 0, 0));
    assert_eq!(world.courier.orders().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_after_the_provisional_answer_is_told_by_tracking() {
    let world = Installation::of(Plan { env: vec![("CALLBACK_DEADLINE_S", "1".into())], ..Plan::default() }).await;
    let text = "адрес не обслуживается";
    world.courier.set_faults(vec![
        FaultRule::new(FaultAction::DelayBefore { ms: 1_500 }).op("neworder"),
        FaultRule::new(FaultAction::Refuse { code: 7, text: text.into() }).op("neworder"),
    ]);
    let order = world.plain_order("A-1");
    assert_eq!(result(&world.save(order).await)["status"], "PREPROCESSING");
    world
        .until("RetailCRM is told", async || {
            world.crm.tracking(world.account, order).iter().any(|entry| {
                entry.code == "ERROR" && entry.comment.as_deref().is_some_and(|comment| comment.contains(text))
            })
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_saves_of_one_order_at_once_make_one_delivery() {
    let world = Installation::new().await;
    let order = world.plain_order("A-1");
    let saves = (0..8).map(|_| world.save(order));
    for answer in futures_util::future::join_all(saves).await {
        assert_eq!(result(&answer)["deliveryId"], format!("ms-1-{order}"));
    }
    assert_eq!(world.writes(), (1, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn homonym_towns_are_told_apart_by_the_region_or_asked_about() {
    let world = Installation::new().await;
    let to = |number: &str, region: Option<&str>| {
        let order = an_order().number(number).delivery_type("incity").address("Железногорск", "ул. Ленина, д. 1");
        world.add_order(match region {
            Some(region) => order.address_field("region", region),
            None => order,
        })
    };
    let known = to("A-1", Some("Курская обл."));
    result(&world.calculate(known).await);
    result(&world.save(known).await);
    assert_eq!(world.courier.order("A-1").expect("placed").receiver.regioncode, "46");
    let unclear = to("A-2", None);
    for answer in [world.calculate(unclear).await, world.save(unclear).await] {
        let refusal = refused(&answer);
        assert!(refusal.contains("Железногорск") && refusal.contains("Курская область"), "{refusal}");
    }
    assert!(world.courier.order("A-2").is_none());
    assert_eq!(world.courier.count("townlist"), 2, "what was found is kept");
    let nowhere =
        world.add_order(an_order().number("A-3").delivery_type("incity").address("Нигдеград", "ул. Ленина, д. 1"));
    let refusal = refused(&world.calculate(nowhere).await);
    assert!(refusal.contains("Нигдеград"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_none_is_named_and_left_in_the_journal() {
    let world = Installation::new().await;
    let order = world.plain_order("A-1");
    world.courier.set_faults(vec![FaultRule::new(FaultAction::Html { status: 200, act: false }).op("calculator")]);
    let answer = world.calculate(order).await;
    assert_eq!(refused(&answer), "Служба доставки прислала ответ в неверном формате");
    world
        .until("a journal entry", async || {
            let search =
                shared::store::journal::Search { text: Some("no answer".into()), limit: 50, ..Default::default() };
            let found = world.ctx.store.search_journal(&search).await.expect("read");
            found.iter().any(|entry| entry.response.as_deref().is_some_and(|body| body.contains("html")))
        })
        .await;
    world.courier.set_faults(vec![FaultRule::new(FaultAction::FailBefore).op("calculator")]);
    let refusal = refused(&world.calculate(order).await);
    assert!(refusal.contains("не отвечает"), "{refusal}");
    world.courier.clear_faults();
    result(&world.calculate(order).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused_and_nothing_is_called() {
    let world = Installation::new().await;
    world.courier.reset_counters();
    world.crm.forget_requests();
    for action in
        ["calculate", "save", "get", "delete", "print", "tariffList", "shipmentPointList", "activity", "settings"]
    {
        for client in ["", "stranger", world.key()] {
            let url = format!("{}/retailcrm/callback/{action}", world.url());
            let answer = world.crm.post(&url, &[("clientId", client), (action, "{}")]).await.expect("answered");
            assert_eq!(answer.status, 403, "{action} {client}");
            refused(&answer);
        }
    }
    let answer = world.post("callback/shipmentSave", &[]).await;
    assert_eq!(answer.status, 404);
    refused(&answer);
    for broken in ["", "{", "[]", "\"text\""] {
        let answer = world.post("callback/save", &[("save", broken)]).await;
        assert_eq!(answer.status, 400, "{broken}");
        refused(&answer);
    }
    assert!(world.courier.requests().is_empty());
    assert!(world.crm.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_module_answers_with_the_reason_until_it_is_thawed() {
    let world = Installation::new().await;
    let order = world.plain_order("A-1");
    let module = world.module();
    assert_eq!(
        world.crm.activity(world.account, &module, true, true).await.expect("answered").json(),
        json!({"success": true})
    );
    let state = world.stored().await.state;
    assert!(matches!(state, IntegrationState::Paused { by: PausedBy::Crm, .. }), "{state:?}");
    world.courier.reset_counters();
    for answer in [world.calculate(order).await, world.save(order).await] {
        let refusal = refused(&answer);
        assert!(refusal.contains("заморожен"), "{refusal}");
    }
    assert!(world.courier.requests().is_empty());
    world.crm.activity(world.account, &module, true, false).await.expect("answered");
    result(&world.save(order).await);

    // What the operator paused, RetailCRM does not resume.
    let paused = IntegrationState::Paused { by: PausedBy::Operator, reason: "holiday".into() };
    world.set_state(&paused).await;
    world.crm.activity(world.account, &module, true, false).await.expect("answered");
    assert_eq!(world.stored().await.state, paused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_system_url_changes_nothing() {
    let world = Installation::new().await;
    let on = json!({"active": true, "freeze": false}).to_string();
    for foreign in [
        "https://evil.example",
        "http://169.254.169.254/latest",
        "https://shop.retailcrm.ru.evil.example",
        "https://user:pass@shop.retailcrm.ru",
        "http://shop.retailcrm.ru",
        "file:///etc/passwd",
        "http://localhost:5432",
        "nonsense",
    ] {
        let answer = world.post("activity", &[("activity", &on), ("systemUrl", foreign)]).await;
        assert_eq!(answer.status, 400, "{foreign}: {}", answer.text());
        refused(&answer);
    }
    assert_eq!(world.stored().await.crm_url, world.integration.crm_url);
}

/// A courier that takes every connection and says nothing; answers its address.
async fn silence() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            held.push(socket);
        }
    });
    format!("http://{address}/api/")
}

#[tokio::test(flavor = "multi_thread")]
async fn open_forms_of_a_shop_whose_courier_hangs_cost_other_shops_nothing() {
    let env = vec![("CALLBACK_DEADLINE_S", "3".to_owned()), ("CALCULATE_DEADLINE_S", "3".to_owned())];
    let world = Arc::new(Installation::of(Plan { env, ..Plan::default() }).await);
    let silent = silence().await;
    let neighbour = world
        .tenant(|new| {
            new.crm_api_key = Secret::new("crm-key");
            new.measoft_url = silent;
            new.extra = "9".to_owned();
        })
        .await;
    let client = neighbour.secrets.client_id.expose().to_owned();
    let url = format!("{}/retailcrm/callback/tariffList", world.url());
    world
        .until("the neighbour is known, and its courier does not answer", async || {
            let answer = world.crm.post(&url, &[("clientId", &client)]).await.expect("answered");
            answer.text().contains("Курьерская служба сейчас не отвечает")
        })
        .await;
    let forms: Vec<_> = (0..140)
        .map(|_| {
            let (world, url, client) = (world.clone(), url.clone(), client.clone());
            tokio::spawn(async move { world.crm.post(&url, &[("clientId", &client)]).await.expect("answered").status })
        })
        .collect();
    for n in 0..17 {
        let order = world.plain_order(&format!("A-{n}"));
        result(&world.calculate(order).await);
    }
    for form in forms {
        assert_eq!(form.await.expect("ended"), 200, "a refusal in words");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_account_moves_only_to_where_our_key_works() {
    let world = Installation::new().await;
    let on = json!({"active": true, "freeze": false}).to_string();
    let there = RetailcrmSim::start(simulators::retailcrm::Options::default()).await.expect("another CRM");
    there.add_account("key-of-others");
    let address = there.url();
    let moved = [("activity", on.as_str()), ("systemUrl", address.as_str())];
    let refusal = world.post("activity", &moved).await;
    assert_eq!(refusal.status, 400, "{}", refusal.text());
    refused(&refusal);
    assert_eq!(world.stored().await.crm_url, world.integration.crm_url);
    there.add_account("crm-key");
    assert_eq!(world.post("activity", &moved).await.status, 200);
    assert_eq!(world.stored().await.crm_url.trim_end_matches('/'), address.trim_end_matches('/'));
}

#[tokio::test(flavor = "multi_thread")]
async fn get_waits_for_nobody_and_knows_only_its_own() {
    let world = Installation::new().await;
    let order = world.plain_order("A-1");
    let saved = result(&world.save(order).await);
    let delivery = world.delivery(order).await.expect("known");
    let until = world.ctx.clock.now() + Duration::from_secs(60);
    world.ctx.store.lease_known_delivery(delivery.id, "somebody", until).await.expect("leased").expect("free");
    world.crm.forget_requests();
    let asked = Instant::now();
    let id = saved["deliveryId"].as_str().expect("an id");
    let got = result(&world.crm.get_delivery(world.account, &world.module(), id).await.expect("answered"));
    assert_eq!(got["status"]["code"], "NEW");
    assert!(asked.elapsed() < Duration::from_secs(1));
    assert!(world.crm.requests().is_empty(), "RetailCRM may be in the middle of our own edit");
    for unknown in ["ms-1-424242", "ms-2-1", "x", "ms-1-"] {
        let answer = world.crm.get_delivery(world.account, &world.module(), unknown).await.expect("answered");
        assert_eq!(answer.status, 404, "{unknown}");
        refused(&answer);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_from_the_courier_once_a_day() {
    let world = Installation::new().await;
    let module = world.module();
    let listed = world.crm.tariff_list(world.account, &module).await.expect("answered");
    same_shape(&listed.json(), &sample("callback-tarifflist-response.json"), "");
    let codes: Vec<String> = result(&listed)
        .as_array()
        .expect("a list")
        .iter()
        .map(|t| t["code"].as_str().expect("a code").to_owned())
        .collect();
    assert_eq!(codes, ["1", "2", "3", "pvz-3"]);
    let points = world.crm.shipment_point_list(world.account, &module, "Химки").await.expect("answered");
    same_shape(&points.json(), &sample("callback-shipmentpointlist-response.json"), "");
    assert_eq!(result(&points)[0]["code"], "318");
    assert_eq!(result(&world.crm.shipment_point_list(world.account, &module, "").await.expect("answered")), json!([]));
    for _ in 0..3 {
        world.crm.tariff_list(world.account, &module).await.expect("answered");
        world.crm.shipment_point_list(world.account, &module, "Химки").await.expect("answered");
    }
    assert_eq!((world.courier.count("services"), world.courier.count("pvzlist")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_handed_over_is_printed() {
    let world = Installation::new().await;
    let answer = world.print(&["ms-1-77"]).await;
    assert_eq!(answer.status, 404);
    assert!(refused(&answer).contains("ms-1-77"));
    let body = sample("callback-print-request.json")["print"].to_string();
    let answer = world.post("callback/print", &[("print", &body)]).await;
    assert_eq!(answer.status, 404);
    assert!(refused(&answer).contains("ms-17-4817, ms-17-4820"), "nesting is flattened");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ways_of_writing_callbacks_make_the_same_delivery() {
    let world = Installation::new().await;
    let (mut dates, mut placed) = (Vec::new(), Vec::new());
    for (number, shapes) in [("A-1", CallbackShapes::Guide), ("A-2", CallbackShapes::Models)] {
        world.crm.configure(|options| options.callbacks = shapes);
        let order = an_order().number(number).delivery_type("incity").text("shipmentDate", "2024-05-17");
        let order = world.add_order(order.delivery_at("2024-05-18", "10:00", "18:00"));
        assert_eq!(result(&world.calculate(order).await)[0]["code"], "1");
        result(&world.save(order).await);
        dates.push(world.courier.order(number).expect("placed").receiver.date.clone());
        placed.push(format!("ms-1-{order}"));
        let ids: Vec<&str> = placed.iter().map(String::as_str).collect();
        let printed = world.print(&ids).await;
        assert_eq!((printed.status, printed.content_type.as_str()), (200, "application/pdf"), "{}", printed.text());
    }
    assert_eq!(dates[0], dates[1]);
    assert_eq!(dates[0], "2024-05-18");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_refused_on_the_answer_s_root_pauses_like_any_other() {
    for (code, text) in [(25, "authorization error"), (25, ""), (24, "login is missing")] {
        let world = Installation::new().await;
        let order = world.plain_order("A-1");
        let refusal = FaultAction::RootError { code, text: text.to_owned() };
        world.courier.set_faults(vec![FaultRule::new(refusal.clone()).op("calculator")]);
        let answer = world.calculate(order).await;
        // Its own words, else ours.
        let words = if text.is_empty() { "MeaSoft не принял логин или пароль" } else { text };
        assert!(refused(&answer).contains(words), "{code}: {}", answer.text());
        assert_eq!(world.stored().await.state, IntegrationState::Active, "{code}: its login is good elsewhere");

        world.courier.set_faults(vec![FaultRule::new(refusal)]);
        let answer = world.save(order).await;
        assert_eq!(answer.json()["success"] == true, answer.json()["result"]["status"] == "PREPROCESSING");
        let paused =
            |state: &IntegrationState| matches!(state, IntegrationState::Paused { by: PausedBy::Credentials(_), .. });
        world.until("it is paused", async || paused(&world.stored().await.state)).await;
        assert!(world.courier.order("A-1").is_none());

        // What waited goes out when the login is good again.
        world.courier.clear_faults();
        world.set_state(&IntegrationState::Active).await;
        world.until("the order is placed", async || world.courier.order("A-1").is_some()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_town_that_measoft_does_not_know_is_named_to_the_manager() {
    let world = Installation::new().await;
    let far = an_order().number("A-1").delivery_type("incity").address("Малые Вязёмы", "ул. Мира, 1");
    let order = world.add_order(far);
    let answer = world.calculate(order).await;
    assert!(refused(&answer).contains("Малые Вязёмы"), "{}", answer.text());
    // The calculator may know fewer towns than the list.
    let refusal = FaultAction::RootError { code: 22, text: "destination town not found".to_owned() };
    world.courier.set_faults(vec![FaultRule::new(refusal).op("calculator")]);
    let known = world.plain_order("A-2");
    let answer = world.calculate(known).await;
    let text = refused(&answer);
    assert!(text.contains("не нашёл город") || text.contains("destination town not found"), "{text}");
    assert_eq!(world.stored().await.state, IntegrationState::Active);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sample_request_is_understood() {
    let world = Installation::new().await;
    for (file, action) in [
        ("callback-save-request.json", "save"),
        ("callback-save-edit-request.json", "save"),
        ("callback-save-models-request.json", "save"),
        ("callback-calculate-request.json", "calculate"),
        ("callback-calculate-models-request.json", "calculate"),
    ] {
        let body = sample(file)[action].to_string();
        let answer = world.post(&format!("callback/{action}"), &[(action, &body)]).await;
        assert_ne!(answer.status, 400, "{file}: {}", answer.text());
        // The sample's order is not there: the save is accepted and goes on without the manager.
        assert_eq!(answer.json()["success"], true, "{file}: {}", answer.text());
    }
    let activity = sample("callback-activity.json")["request"].clone();
    let answer = world.post("activity", &[("activity", &activity["activity"].to_string())]).await;
    assert_eq!(answer.json(), json!({"success": true}));
    let answer = world.crm.send_settings(world.account, &world.module()).await.expect("answered");
    assert_eq!(answer.json(), json!({"success": true}));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_worker_there_is_an_answer_at_the_deadline() {
    let env = vec![("CALLBACK_DEADLINE_S", "0.5".into()), ("CALCULATE_DEADLINE_S", "0.3".into())];
    let world = Installation::of(Plan { worker: false, env, ..Plan::default() }).await;
    let order = world.plain_order("A-1");
    for answer in [world.calculate(order).await, world.save(order).await] {
        assert_eq!(answer.status, 200);
        assert!(refused(&answer).contains("не ответил вовремя"));
        assert!(answer.took < Duration::from_secs(2), "{:?}", answer.took);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_manager_ticked_as_cash_on_delivery_decides() {
    let world = Installation::new().await;
    let module = world.module();
    world.crm.set_module_settings(
        world.account,
        &module,
        &json!({"paymentTypes": [{"code": "cash", "active": true, "cod": false}]}),
    );
    let answer = world.crm.send_settings(world.account, &module).await.expect("answered");
    assert_eq!(answer.json(), json!({"success": true}));
    let order = world.plain_order("A-1");
    result(&world.save(order).await);
    let placed = world.courier.order("A-1").expect("placed");
    assert_eq!((placed.price_kopecks, placed.paytype.as_str()), (0, "NO"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_settings_are_sent_only_with_the_first_registration() {
    let world = Installation::of(Plan { registered: false, ..Plan::default() }).await;
    assert!(world.register().await.first_time);
    let module = world.crm.module(world.account, &world.module()).expect("registered");
    let delivery = &module["integrations"]["delivery"];
    assert_eq!(delivery["settings"]["deliveryExtraData"]["deliveryApiKey"], world.key());
    assert_eq!(delivery["deliveryDataFieldList"][0]["code"], "deliveryApiKey");
    assert_eq!(delivery["plateList"], json!([{"type": "order", "code": "courier", "label": "Курьерская служба"}]));
    assert_eq!(module["clientId"], world.client_id());
    assert_eq!(module["accountUrl"], format!("{}/retailcrm/account", world.url()));
    let sample = sample("module-edit-request.json")["integrationModule"].clone();
    for name in sample["integrations"]["delivery"].as_object().expect("object").keys() {
        let empty = ["availableCountries", "shipmentDataFieldList"].contains(&name.as_str());
        assert!(empty || !delivery[name].is_null(), "{name} is missing");
    }
    world.crm.set_module_settings(world.account, &world.module(), &json!({"costCalculateBy": "manual"}));
    assert!(!world.register().await.first_time);
    let module = world.crm.module(world.account, &world.module()).expect("registered");
    assert_eq!(module["integrations"]["delivery"]["settings"]["costCalculateBy"], "manual");
}

/// Names of an object's fields, also of the objects within, as paths.
fn names(value: &Value, at: &str, into: &mut std::collections::BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                into.insert(format!("{at}.{name}"));
                names(value, &format!("{at}.{name}"), into);
            }
        }
        Value::Array(rows) => rows.iter().for_each(|row| names(row, &format!("{at}[]"), into)),
        _ => {}
    }
}

fn all_names(value: &Value) -> std::collections::BTreeSet<String> {
    let mut found = std::collections::BTreeSet::new();
    names(value, "", &mut found);
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registration_is_the_reference_s_field_by_field() {
    let world = Installation::new().await;
    let module = world.crm.module(world.account, &world.module()).expect("registered");
    let sample = sample("module-edit-request.json")["integrationModule"].clone();
    let (ours, theirs) = (all_names(&module), all_names(&sample));
    // Besides, the sample has other actions, and defaults of fields it does not have.
    let more = |name: &&String| {
        !name.contains(".actions.")
            && !name.contains(".settings.")
            && !["freeze", "native"].iter().any(|n| name.ends_with(n))
    };
    let unknown: Vec<&String> = ours.difference(&theirs).filter(more).collect();
    assert!(unknown.is_empty(), "not in the reference: {unknown:?}");
    let delivery = &module["integrations"]["delivery"];
    // Which form its fields have is said in E.5.
    let field = &delivery["deliveryDataFieldList"][0];
    let expected = json!({"code": "deliveryApiKey", "label": "API ключ службы доставки", "type": "text",
        "visible": true, "required": false, "affectsCost": false, "editable": false});
    for (name, value) in expected.as_object().expect("object") {
        // What is false is RetailCRM's default and may be left out.
        let given = if field[name].is_null() { &Value::Bool(false) } else { &field[name] };
        assert_eq!(given, value, "{name}");
    }
    for status in delivery["statusList"].as_array().expect("statuses") {
        assert!(status["code"].is_string() && status["name"].as_str().is_some_and(|name| !name.is_empty()));
        for flag in ["isEditable", "isError", "isPreprocessing"] {
            assert!(status[flag].is_boolean(), "{status}: {flag}");
        }
    }
    // Exactly the callbacks that are served, at addresses that answer.
    let mut actions: Vec<&String> = delivery["actions"].as_object().expect("actions").keys().collect();
    actions.sort();
    assert_eq!(actions, ["calculate", "delete", "get", "print", "save", "shipmentPointList", "tariffList"]);
    let paths = delivery["actions"].as_object().expect("actions").values();
    for path in paths.chain(module["actions"].as_object().expect("actions").values()) {
        let url = format!("{}{}", module["baseUrl"].as_str().expect("a URL"), path.as_str().expect("a path"));
        let answer = world.crm.post(&url, &[("clientId", "stranger")]).await.expect("answered");
        assert_eq!(answer.status, 403, "{url} leads to a callback");
        refused(&answer);
    }
    for url in ["logo", "accountUrl"] {
        let address = module[url].as_str().expect("a URL");
        assert!(address.starts_with(&world.url()), "{address}");
    }
    let logo = simulators::http()
        .build()
        .expect("a client")
        .get(module["logo"].as_str().expect("a URL"))
        .send()
        .await
        .expect("answered");
    assert_eq!(logo.headers()["content-type"], "image/svg+xml");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_is_understood_however_it_is_dressed() {
    let world = Installation::new().await;
    let order = world.plain_order("A-1");
    result(&world.save(order).await);
    // As RetailCRM has just sent it, but for what installations and versions differ in.
    let text = json!({
        "order": order.to_string(), "orderNumber": "A-1", "site": "main-shop", "packages": [], "currency": "RUB",
        "customer": {"firstName": "Анна", "lastName": "Петрова", "phones": ["+7 916 000-11-22"]},
        "delivery": {"withCod": false, "deliveryAddress": {"city": "Москва", "text": "ул. Льва Толстого, д. 16"}, "extraData": []},
    });
    let mut numbers = text.clone();
    numbers["order"] = order.into();
    numbers["customer"]["phones"] = json!({"0": {"number": "+7 916 000-11-22"}});
    numbers["delivery"]["withCod"] = json!("0");
    numbers["delivery"]["extraData"] = json!([{"code": "packing", "value": 1}]);
    let http = simulators::http().build().expect("a client");
    let url = format!("{}/retailcrm/callback/save", world.url());
    let client = world.client_id();
    let multipart = format!(
        "--x\r\nContent-Disposition: form-data; name=\"clientId\"\r\n\r\n{client}\r\n\
         --x\r\nContent-Disposition: form-data; name=\"save\"\r\n\r\n{text}\r\n--x--\r\n"
    );
    let json_body = json!({"clientId": client, "save": text}).to_string();
    let ids = [
        http.post(&url).form(&[("clientId", client), ("save", &text.to_string())]),
        http.post(&url).form(&[("clientId", client), ("save", &numbers.to_string())]),
        http.post(format!("{url}?clientId={client}")).form(&[("save", &text.to_string())]),
        http.post(format!("{}//retailcrm//callback/save/", world.url()))
            .form(&[("clientId", client), ("save", &text.to_string())]),
        http.post(&url).header("content-type", "multipart/form-data; boundary=x").body(multipart),
        http.post(&url).header("content-type", "application/json; charset=utf-8").body(json_body),
    ];
    for (place, request) in ids.into_iter().enumerate() {
        let answer = request.send().await.expect("answered").text().await.expect("text");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer["result"]["deliveryId"], format!("ms-1-{order}"), "{place}: {answer}");
    }
    assert_eq!(world.writes().0, 1, "one order, whatever it was sent as");
    assert_eq!(world.courier.orders().len(), 1);
    // And numbers where texts are usual.
    for body in [json!({"deliveryId": [1]}), json!({"deliveryId": null})] {
        let sent = http.post(format!("{}/retailcrm/callback/delete", world.url()));
        let answer = sent.form(&[("clientId", client), ("delete", &body.to_string())]).send().await.expect("answered");
        assert_eq!(answer.status(), 400, "{body}");
    }
}
