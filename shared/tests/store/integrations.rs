//! Integrations and their secrets at rest.

use shared::args;
use shared::crypto::SecretKey;
use shared::domain::{CrmOrderId, Fault, Integration, IntegrationId, IntegrationState, PausedBy, Secret};
use shared::store::integrations::NewIntegration;
use shared::store::intents::RequestKind;
use shared::store::{Store, StoreError};

use crate::bench::{Bench, Place};
use crate::sample::{CRM_KEY, PASSWORD, new_integration};

const NEW_PASSWORD: &str = "planted-password-5e01";

/// Every row of every table as the database itself writes it; for a file, its bytes.
async fn everything(bench: &Bench) -> Vec<u8> {
    let mut all = Vec::new();
    if let Place::File(folder) = &bench.place {
        for file in std::fs::read_dir(folder).expect("a folder") {
            all.extend(std::fs::read(file.expect("a file").path()).expect("its bytes"));
        }
        return all;
    }
    let db = &bench.store.db;
    let tables = db
        .fetch(
            "SELECT CAST(table_name AS TEXT) AS name FROM information_schema.tables WHERE table_schema = current_schema()",
            vec![],
        )
        .await
        .expect("tables");
    for table in tables {
        let name = table.text("name").expect("a name");
        for row in db.fetch(format!("SELECT CAST(t AS TEXT) AS line FROM {name} t"), vec![]).await.expect("its rows") {
            all.extend(row.text("line").expect("a row").into_bytes());
        }
    }
    all
}

async fn secrets_are_not_readable_at_rest(bench: &Bench) {
    let mut integration = bench.integration("").await;
    let first = integration.secrets.clone();
    integration.secrets.password = Secret::new(NEW_PASSWORD);
    bench.store.update_integration(&integration).await.expect("updated");
    bench.want(integration.id, "1234A", RequestKind::Send).await;
    let all = everything(bench).await;
    let holds = |text: &str| all.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("shop-demo"), "the search finds what is not secret");
    let read = bench.store.integration(integration.id).await.expect("read").expect("there");
    assert_eq!(read.secrets.password.expose(), NEW_PASSWORD);
    assert_eq!(read.secrets.crm_api_key.expose(), CRM_KEY);
    for secret in [
        CRM_KEY,
        PASSWORD,
        NEW_PASSWORD,
        first.delivery_api_key.expose(),
        first.delivery_api_key.expose().trim_start_matches("dk-"),
        first.client_id.expose(),
    ] {
        assert!(!holds(secret), "{} characters of a secret are readable", secret.len());
        assert!(!holds(&shared::crypto::hex(secret.as_bytes())), "as hex digits too");
    }
}

async fn secrets_open_only_with_their_key(bench: &Bench) {
    let integration = bench.integration("").await;
    let mut stranger = bench.store.clone();
    stranger.key = SecretKey::from_bytes([8; 32]);
    assert!(matches!(stranger.integration(integration.id).await, Err(StoreError::WrongKey)));
    // A secret moved into another row does not open there.
    let other = bench.integration("MS-").await;
    let sql = "UPDATE integrations SET password = (SELECT password FROM integrations WHERE id = $1) WHERE id = $2";
    bench.store.db.exec(sql, args![integration.id, other.id]).await.expect("moved");
    assert!(matches!(bench.store.integration(other.id).await, Err(StoreError::WrongKey)));
}

async fn an_integration_is_read_back_as_it_was_written(bench: &Bench) {
    let mut new = new_integration("MS-");
    new.settings.set("payment_type_map.CARD", "карта").expect("a setting");
    new.settings.set("delivery_types", "incity,outcity").expect("a setting");
    let added = bench.store.add_integration(new.clone()).await.expect("added");
    assert_eq!((added.title.as_str(), added.prefix.as_str()), ("Магазин", "MS-"));
    assert_eq!(added.settings, new.settings);
    assert_eq!(added.state, IntegrationState::Active);
    assert_eq!(added.created_at, bench.now());
    assert!(added.secrets.delivery_api_key.expose().starts_with("dk-"));
    let other = bench.integration("").await;
    assert_ne!(other.secrets.delivery_api_key, added.secrets.delivery_api_key);
    assert_ne!(other.secrets.client_id, added.secrets.client_id);
    let mut changed = added.clone();
    changed.title = "Другой".to_owned();
    changed.crm_url = "https://other.retailcrm.ru".to_owned();
    changed.secrets.delivery_api_key = Secret::new("dk-rotated");
    bench.store.update_integration(&changed).await.expect("updated");
    let read = bench.store.integration(added.id).await.expect("read").expect("there");
    assert_eq!((read.title.as_str(), read.version), ("Другой", added.version + 1));
    assert_eq!(read.secrets, changed.secrets);
    let all: Vec<IntegrationId> = bench.store.integrations().await.expect("listed").iter().map(|i| i.id).collect();
    assert_eq!(all, [added.id, other.id], "by id");
    assert!(bench.store.integration(IntegrationId(99)).await.expect("asked").is_none());
}

async fn two_integrations_of_one_cabinet_need_their_own_prefixes(bench: &Bench) {
    let first = bench.integration("").await;
    let refused = bench.store.add_integration(new_integration("")).await.expect_err("the same prefix");
    assert!(refused.to_string().contains("--prefix"), "{refused}");
    let second = bench.integration("MS-").await;
    let other_login = NewIntegration { login: "other".to_owned(), ..new_integration("") };
    bench.store.add_integration(other_login).await.expect("another cabinet");
    let mut taken = second.clone();
    taken.prefix = String::new();
    assert!(bench.store.update_integration(&taken).await.is_err(), "nor by an edit");
    let unchanged = bench.store.integration(second.id).await.expect("read").expect("there");
    assert_eq!((unchanged.prefix.as_str(), unchanged.version), ("MS-", second.version));
    bench.store.update_integration(&second).await.expect("its own prefix is no conflict");
    let mut removed = first.clone();
    removed.state = IntegrationState::Removed;
    bench.store.update_integration(&removed).await.expect("removed");
    bench.integration("").await;
}

async fn every_change_moves_the_stamp(bench: &Bench) {
    let mut seen = vec![bench.store.integrations_stamp().await.expect("asked")];
    let mut note = async |what: &str| {
        let stamp = bench.store.integrations_stamp().await.expect("asked");
        assert!(!seen.contains(&stamp), "{what} does not move the stamp");
        seen.push(stamp);
    };
    let first = bench.integration("").await;
    note("adding").await;
    bench.integration("B-").await;
    note("adding another").await;
    bench.store.update_integration(&first).await.expect("updated");
    note("an edit").await;
    let paused = IntegrationState::Paused { by: PausedBy::Operator, reason: String::new() };
    bench.store.set_integration_state(first.id, &paused).await.expect("paused");
    note("a pause").await;
    bench.store.touch_integration(first.id).await.expect("touched");
    note("a new version").await;
    bench.store.set_integration_state(first.id, &IntegrationState::Removed).await.expect("removed");
    note("a removal").await;
}

async fn a_write_of_an_older_copy_undoes_nothing(bench: &Bench) {
    let read = bench.integration("").await;
    let state = IntegrationState::Paused { by: PausedBy::Operator, reason: "ремонт".to_owned() };
    bench.store.set_integration_state(read.id, &state).await.expect("paused");
    let late = Integration { title: "Другой".to_owned(), ..read.clone() };
    assert!(matches!(bench.store.update_integration(&late).await, Err(StoreError::ChangedMeanwhile)));
    // What was concluded from the older copy is void too: a probe resumes nothing.
    assert!(!bench.store.set_state_as_seen(&read, &IntegrationState::Active).await.expect("asked"));
    let rotate = |i: &mut Integration| -> Result<(), StoreError> {
        i.secrets.delivery_api_key = Secret::new("dk-rotated");
        Ok(())
    };
    bench.store.change_integration(read.id, rotate).await.expect("changed");
    let now = bench.store.integration(read.id).await.expect("read").expect("there");
    assert_eq!((now.title.as_str(), &now.state), (read.title.as_str(), &state));
    assert_eq!(now.secrets.delivery_api_key.expose(), "dk-rotated");
    assert!(bench.store.set_state_as_seen(&now, &IntegrationState::Active).await.expect("asked"));
}

async fn changes_made_at_once_are_all_kept_or_told(bench: &Bench) {
    let id = bench.integration("").await.id;
    let set = |key: &'static str, value: String| {
        let store = bench.store.clone();
        async move {
            store
                .change_integration(id, |i| -> Result<(), StoreError> {
                    i.settings.set(key, &value).expect("a setting");
                    Ok(())
                })
                .await
        }
    };
    for round in 0..20_u32 {
        let (one, other, key) = tokio::join!(
            set("default_weight_g", (round + 1).to_string()),
            set("payment_status", format!("paid-{round}")),
            bench.store.change_integration(id, |i| -> Result<(), StoreError> {
                i.secrets.delivery_api_key = Secret::new(format!("dk-{round}"));
                Ok(())
            }),
        );
        let now = bench.store.integration(id).await.expect("read").expect("there");
        for (told, kept) in [
            (one, now.settings.default_weight_g == round + 1),
            (other, now.settings.payment_status == Some(format!("paid-{round}"))),
            (key, now.secrets.delivery_api_key.expose() == format!("dk-{round}")),
        ] {
            match told {
                Ok(_) => assert!(kept, "round {round}: what was said to be done is done"),
                Err(StoreError::ChangedMeanwhile) => assert!(!kept, "round {round}"),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

async fn an_integration_is_paused_resumed_and_removed(bench: &Bench) {
    let id = bench.integration("").await.id;
    let state = async || bench.store.integration(id).await.expect("read").expect("there").state;
    let set = async |state: &IntegrationState| bench.store.set_integration_state(id, state).await.expect("set");
    for by in
        [PausedBy::Operator, PausedBy::Credentials(Fault::Crm), PausedBy::Credentials(Fault::Courier), PausedBy::Crm]
    {
        let paused = IntegrationState::Paused { by, reason: "потому".to_owned() };
        assert!(set(&paused).await, "{by:?}");
        assert_eq!(state().await, paused);
        assert!(!set(&paused).await, "no change is no change");
    }
    assert!(set(&IntegrationState::Active).await);
    assert!(!set(&IntegrationState::Active).await);
    assert!(set(&IntegrationState::Removed).await);
    assert!(!set(&IntegrationState::Active).await, "what is removed stays so");
    assert_eq!(state().await, IntegrationState::Removed);
    assert!(bench.store.integrations().await.expect("listed").is_empty());
}

/// Two runs at once, as when one is begun again too early.
async fn everything_is_sealed_with_another_key_beside_running_processes(bench: &Bench) {
    let first = bench.integration("").await;
    let second = bench.integration("B-").await;
    let new = SecretKey::from_bytes([42; 32]);
    let with = |key: SecretKey| Store::new(bench.store.db.clone(), key, bench.store.clock.clone());
    let both = with(new.clone().beside(bench.store.key.clone()));
    assert!(!with(new.clone()).key_fits().await.expect("asked"));
    let none = |_: &str, _: IntegrationId, _: CrmOrderId| None;
    let (one, other) = tokio::join!(both.reseal(none, |_| ()), both.reseal(none, |_| ()));
    let sealed = one.expect("sealed").integrations + other.expect("sealed").integrations;
    assert_eq!(sealed, 2, "each row by one of them");
    let after = with(new);
    assert!(after.key_fits().await.expect("asked"));
    for was in [&first, &second] {
        let now = after.integration(was.id).await.expect("opened").expect("there");
        assert_eq!(now.secrets.delivery_api_key.expose(), was.secrets.delivery_api_key.expose());
        assert_eq!(now.secrets.password.expose(), was.secrets.password.expose());
        assert_eq!(now.version, was.version, "nothing else has changed");
    }
    assert!(matches!(bench.store.reseal(none, |_| ()).await, Err(StoreError::WrongKey)), "the old key opens nothing");
}

contract![
    secrets_are_not_readable_at_rest,
    secrets_open_only_with_their_key,
    an_integration_is_read_back_as_it_was_written,
    two_integrations_of_one_cabinet_need_their_own_prefixes,
    every_change_moves_the_stamp,
    a_write_of_an_older_copy_undoes_nothing,
    changes_made_at_once_are_all_kept_or_told,
    an_integration_is_paused_resumed_and_removed,
    everything_is_sealed_with_another_key_beside_running_processes,
];
