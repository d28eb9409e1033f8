//! One neighbour's trouble stays its own, told with both simulators and servers that accept
//! and never answer.

use std::sync::Arc;
use std::time::Duration;

use shared::domain::crm_account::Access;
use shared::domain::{DeliveryState as S, IntegrationId, Secret, Settings};
use shared::store::breakers::Held;
use shared::store::integrations::NewIntegration;
use shared::store::intents::RequestKind;
use shared::telemetry::metrics::BreakerTarget;
use simulators::measoft::{Account, FaultAction, FaultRule};
use simulators::retailcrm::an_order;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::dispatch;
use crate::kinship;
use crate::testing::World;
use crate::vendor::held;
use crate::vendor::references::References;

/// A server that takes every connection and says nothing; answers its address.
async fn silence() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            held.push(socket);
        }
    });
    format!("http://{address}")
}

/// A neighbour with a cabinet of its own at the courier.
fn neighbour(world: &World, login: &str) -> NewIntegration {
    NewIntegration {
        title: login.to_owned(),
        crm_url: world.crm.url(),
        crm_api_key: Secret::new("crm-key"),
        measoft_url: world.courier.url(),
        extra: "8".into(),
        login: login.to_owned(),
        password: Secret::new("pass"),
        prefix: String::new(),
        settings: Settings { delivery_types: vec![login.to_owned()], ..Settings::default() },
    }
}

async fn add(world: &World, new: NewIntegration) -> IntegrationId {
    let kind = new.settings.delivery_types[0].clone();
    let id = world.store().add_integration(new).await.expect("added").id;
    world.integrations.refresh().await.expect("integrations");
    world.crm.add_delivery_type(world.account, &kind, None, &["cash", "bank-card"]);
    id
}

fn order_of(world: &World, login: &str, number: &str) -> i64 {
    world.crm.add_order(world.account, an_order().number(number).delivery_type(login).status("SentMeaSoft"))
}

/// A world whose courier knows another cabinet, `other`.
async fn two_cabinets() -> (World, IntegrationId) {
    let world = World::made(|_| {}, |options| options.accounts.push(Account::new("8", "other", "pass"))).await;
    let other = add(&world, neighbour(&world, "other")).await;
    (world, other)
}

fn of_other(action: FaultAction) -> Vec<FaultRule> {
    vec![FaultRule { account: Some("8:other".to_owned()), ..FaultRule::new(action) }]
}

fn names(held: &[Held], target: BreakerTarget) -> Vec<&str> {
    held.iter().filter(|held| held.target == target).map(|held| held.name.as_str()).collect()
}

#[tokio::test]
async fn an_account_that_answers_502_is_held_alone_and_named() {
    let (world, other) = two_cabinets().await;
    world.place("A-0").await;
    world.courier.set_faults(of_other(FaultAction::Html { status: 502, act: false }));
    for n in 0..8 {
        order_of(&world, "other", &format!("B-{n}"));
        world.request(other, &format!("B-{n}"), RequestKind::Send).await;
    }
    world
        .until("the account is held", async || {
            world.work(other).await;
            world.tools.limiter.open_for(&world.active(other).integration.courier_account()).is_err()
        })
        .await;
    let order = world.place("A-1").await;
    assert_eq!(world.delivery(order).await.state, S::Created);
    let held = held::held(&world.tools.limiter, world.tools.clock.now(), &world.integrations);
    let [name] = names(&held, BreakerTarget::Account)[..] else { panic!("{held:?}") };
    assert!(name.contains("courier 8 login other"), "{name}");
    assert_eq!(names(&held, BreakerTarget::Measoft), [""; 0]);
    assert!(held[0].why.contains("502"), "{held:?}");
    // And whoever asks the store is told.
    world.store().note_breakers("worker-1", &held).await.expect("noted");
    let told = world.store().breakers().await.expect("read");
    assert_eq!((told.len(), told[0].name.as_str(), told[0].why.as_str()), (1, name, held[0].why.as_str()));
    world.store().note_breakers("worker-1", &[]).await.expect("noted");
    assert_eq!(world.store().breakers().await.expect("read"), []);
}

#[tokio::test]
async fn a_pause_asked_of_one_account_holds_that_one_for_a_quarter_of_an_hour_at_most() {
    for status in [429, 503] {
        let (world, other) = two_cabinets().await;
        world.courier.set_faults(of_other(FaultAction::Status { status, retry_after: Some(86_400), act: false }));
        order_of(&world, "other", "B-1");
        world.request(other, "B-1", RequestKind::Send).await;
        world.work(other).await;
        let until = world.tools.limiter.open_for(&world.active(other).integration.courier_account()).expect_err("held");
        let pause = until.duration_since(world.tools.clock.now()).unsigned_abs();
        assert!(pause <= Duration::from_secs(900) && pause > Duration::from_secs(600), "{pause:?}");
        let order = world.place("A-1").await;
        assert_eq!(world.delivery(order).await.state, S::Created, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neighbours_that_never_answer_hold_up_nobody() {
    let world = World::new().await;
    let silent = silence().await;
    for n in 0..10 {
        let mut hanging_crm = neighbour(&world, &format!("crm-{n}"));
        hanging_crm.crm_url = silent.clone();
        let mut hanging_courier = neighbour(&world, &format!("courier-{n}"));
        hanging_courier.measoft_url = format!("{silent}/api/");
        for new in [hanging_crm, hanging_courier] {
            let login = new.login.clone();
            let id = add(&world, new).await;
            for k in 0..3 {
                let number = format!("{login}-{k}");
                order_of(&world, &login, &number);
                world.request(id, &number, RequestKind::Send).await;
            }
        }
    }
    let (_hints, hinted) = mpsc::channel(8);
    let beat = world.ctx.health.heartbeat("runner", Duration::from_secs(60));
    let (tools, integrations, stop) = (world.tools.clone(), world.integrations.clone(), world.ctx.stop.clone());
    let running = tokio::spawn(dispatch::run(tools, integrations, hinted, 4, Arc::default(), beat, stop));
    for n in 0..5 {
        let number = format!("A-{n}");
        let order = order_of(&world, "incity", &number);
        world.request(world.id, &number, RequestKind::Send).await;
        let of = shared::domain::CrmOrderId(order);
        world
            .until("a healthy shop's order is placed", async || {
                let found = world.store().delivery_by_order(world.id, of).await.expect("read");
                found.is_some_and(|d| d.state == S::Created)
            })
            .await;
    }
    running.abort();
}

#[tokio::test]
async fn lists_that_cannot_be_read_are_waited_for_by_nobody_who_has_older_ones() {
    let world = World::new().await;
    let active = world.first();
    let before = References::of(&world.tools, &active).await.expect("read");
    // The account moves to where nobody answers, and the lists count as old.
    let mut moved = (*active.integration).clone();
    moved.crm_url = silence().await;
    moved.version += 1;
    let active = world.integrations.trial(moved).expect("a shop");
    let reading = {
        let (tools, active) = (world.tools.clone(), active.clone());
        tokio::spawn(async move { References::of(&tools, &active).await.is_ok() })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    let meanwhile = tokio::time::timeout(Duration::from_secs(5), References::of(&world.tools, &active)).await;
    assert!(Arc::ptr_eq(&meanwhile.expect("at once").expect("the older ones"), &before));
    reading.abort();
}

#[tokio::test]
async fn two_keys_that_see_each_others_module_are_of_one_account_and_others_are_not() {
    let world = World::new().await;
    let first = world.first();
    let registered = add(&world, NewIntegration { prefix: "B-".into(), ..neighbour(&world, "shop-b") }).await;
    let mut module = first.vendors.crm.module(&first.integration.code("measoft")).await.expect("a module");
    module.code = world.active(registered).integration.code("measoft");
    module.client_id = Some(world.active(registered).integration.secrets.client_id.clone());
    first.vendors.crm.edit_module(&module).await.expect("registered");
    world.crm.add_key(world.account, "second-key", None, &simulators::retailcrm::SCOPES);
    let stranger = world.crm.add_account("key-of-a-stranger");
    let with_key = async |id: IntegrationId, key: &str| {
        let change = |i: &mut shared::domain::Integration| -> Result<(), shared::store::StoreError> {
            i.secrets.crm_api_key = Secret::new(key);
            Ok(())
        };
        world.store().change_integration(id, change).await.expect("changed");
        world.integrations.refresh().await.expect("read");
    };
    // A stranger's account at the same address sees neither.
    with_key(registered, "key-of-a-stranger").await;
    assert!(!kinship::find_out(&world.tools, &world.first(), &world.active(registered)).await.expect("asked"));
    with_key(registered, "second-key").await;
    assert!(kinship::find_out(&world.tools, &world.first(), &world.active(registered)).await.expect("asked"));
    world.integrations.refresh().await.expect("read");
    let access = |id| Access::of(&world.active(id).integration);
    assert!(access(world.id).is_one_with(&access(registered)), "{stranger:?}");
    with_key(registered, "key-of-a-stranger").await;
    assert!(!access(world.id).is_one_with(&access(registered)), "a proof ends with its key");
}
