//! One click in RetailCRM's marketplace, with ingress and a worker behind it.

mod installation;

use installation::{Installation, Plan};
use serde_json::json;
use shared::crypto::hex;
use shared::domain::{Fault, Integration, IntegrationState, PausedBy, Secret};
use shared::message::{Command, Envelope};
use simulators::retailcrm::Answer;

const SECRET: &str = "secret-of-the-partner-cabinet";

/// As RetailCRM signs a key, by another implementation than ours: RFC 2104 over SHA-256.
fn signed(key: &str, secret: &str) -> String {
    let digest = |bytes: &[u8]| shared::crypto::sha256_hex(bytes);
    let unhex = |text: &str| -> Vec<u8> {
        (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hex")).collect()
    };
    let mut block = secret.as_bytes().to_vec();
    block.resize(64, 0);
    let pad = |with: u8| block.iter().map(|byte| byte ^ with).collect::<Vec<u8>>();
    let inner = unhex(&digest(&[pad(0x36), key.as_bytes().to_vec()].concat()));
    hex(&unhex(&digest(&[pad(0x5c), inner].concat())))
}

/// An installation whose own integration is of another account.
async fn installation() -> Installation {
    let env = vec![("MODULE_SECRET", SECRET.to_owned())];
    let world = Installation::of(Plan { env, registered: false, ..Plan::default() }).await;
    world.change(world.integration.id, |i| i.crm_url = "https://another.retailcrm.ru".to_owned()).await;
    world
}

async fn click(world: &Installation, key: &str, secret: &str) -> Answer {
    let at = format!("{}/retailcrm/connect", world.url());
    world.crm.connect(world.account, &at, key, |key| signed(key, secret)).await.expect("answered")
}

async fn others(world: &Installation) -> Vec<Integration> {
    let all = world.ctx.store.integrations().await.expect("read");
    all.into_iter().filter(|i| i.id != world.integration.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_click_connects_a_shop_which_resumes_once_its_cabinet_is_entered() {
    let world = installation().await;
    let answer = click(&world, "issued-1", SECRET).await;
    let body = answer.json();
    assert_eq!((answer.status, &body["success"]), (201, &json!(true)), "{body}");
    assert_eq!(body["accountUrl"], format!("{}/retailcrm/account", world.url()));
    let made = others(&world).await;
    assert_eq!(made.len(), 1);
    let by = PausedBy::Credentials(Fault::Courier);
    assert!(matches!(&made[0].state, IntegrationState::Paused { by: paused, .. } if *paused == by), "{:?}", made[0]);
    let code = made[0].code(&world.ctx.config.module_code);
    let module = world.crm.module(world.account, &code).expect("registered with the key");
    assert_eq!(module["clientId"], made[0].secrets.client_id.expose());
    // RetailCRM sends the manager there at once.
    let page = [("clientId", made[0].secrets.client_id.expose())];
    let page = world.crm.post(body["accountUrl"].as_str().expect("an address"), &page).await.expect("answered");
    assert_eq!(page.status, 303, "{}", page.text());

    // A second click is the same shop with the newer key.
    assert_eq!(click(&world, "issued-2", SECRET).await.status, 201);
    let again = others(&world).await;
    assert_eq!((again.len(), again[0].id), (1, made[0].id));
    assert_eq!(again[0].secrets.crm_api_key.expose(), "issued-2");
    assert_eq!(again[0].secrets.client_id, made[0].secrets.client_id);

    let probe = || Envelope::new(Command::ProbeIntegration {}, Some(made[0].id), world.ctx.store.clock.now());
    world.queue.publisher.publish(probe()).await.expect("published");
    world
        .change(made[0].id, |i| {
            (i.extra, i.login) = ("8".to_owned(), "shop-demo".to_owned());
            i.secrets.password = Secret::new("pass-demo");
            i.prefix = "M-".to_owned();
            i.measoft_url = world.courier.url();
        })
        .await;
    world
        .until("it resumes", async || {
            world.queue.publisher.publish(probe()).await.expect("published");
            others(&world).await[0].is_active()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_only_entered_the_address_gets_no_key_of_the_account() {
    let world = installation().await;
    // Of somebody who knows the shop's address, and a key that opens nothing there.
    let stranger = world.integration.id;
    world
        .change(stranger, |i| {
            (i.crm_url, i.secrets.crm_api_key) = (world.crm.url(), Secret::new("of-another"));
        })
        .await;
    assert_eq!(click(&world, "issued-1", SECRET).await.status, 201);
    let kept = world.ctx.store.integration(stranger).await.expect("read").expect("there");
    assert_eq!(kept.secrets.crm_api_key.expose(), "of-another");
    let made = others(&world).await;
    assert_eq!((made.len(), made[0].secrets.crm_api_key.expose()), (1, "issued-1"));
    // A second click finds its own.
    assert_eq!(click(&world, "issued-2", SECRET).await.status, 201);
    assert_eq!(others(&world).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_signed_or_does_not_work_there_connects_and_changes_nothing() {
    let world = installation().await;
    let forged = click(&world, "issued-1", "another secret").await;
    assert_eq!((forged.status, &forged.json()["success"]), (401, &json!(false)));
    let at = format!("{}/retailcrm/connect", world.url());
    let send = async |url: &str, key: &str| {
        let register = json!({"token": signed(key, SECRET), "apiKey": key, "systemUrl": url}).to_string();
        world.crm.post(&at, &[("register", &register)]).await.expect("answered")
    };
    assert_eq!(send("https://evil.example", "issued-1").await.status, 400);
    assert_eq!(world.crm.post(&at, &[("register", "no JSON")]).await.expect("answered").status, 400);
    assert!(others(&world).await.is_empty(), "nothing was made");

    assert_eq!(click(&world, "issued-1", SECRET).await.status, 201);
    let refused = send(&world.crm.url(), "a key of another account").await;
    assert_eq!(refused.json()["success"], false, "{}", refused.text());
    assert_eq!(others(&world).await[0].secrets.crm_api_key.expose(), "issued-1", "the key that works stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_modules_secret_nobody_is_connected() {
    let world = Installation::new().await;
    let answer = world.crm.post(&format!("{}/retailcrm/connect", world.url()), &[("register", "{}")]).await;
    assert_eq!(answer.expect("answered").status, 404);
}
