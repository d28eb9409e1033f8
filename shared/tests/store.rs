//! The contract of the store, kept by SQLite and by PostgreSQL alike: the same cases run
//! against both. The clock stands still unless a case moves it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use jiff::{Timestamp, ToSpan};
use shared::args;
use shared::clock::Clock;
use shared::crypto::SecretKey;
use shared::domain::delivery::{CALL_LIMIT, CrmWritten, Fingerprint};
use shared::domain::{
    CrmOrderId, Delivery, DeliveryId, DeliveryState, Fault, Integration, IntegrationId, IntegrationState, Kopecks,
    OrderNo, OrderNumber, PausedBy, Secret,
};
use shared::message::{Candidate, Lane};
use shared::store::budgets::{SHARED_BY, SLICES, Taken, Window};
use shared::store::dead_letters::{DeadFilter, DeadState, NewDeadLetter, name_orders};
use shared::store::deliveries::{DeliveryKey, Leased};
use shared::store::integrations::NewIntegration;
use shared::store::intents::{HandOver, Held, Intent, Leave, OrderRequest, RequestKind};
use shared::store::jobs::NewJob;
use shared::store::journal::{Entry, Journal, Search, What};
use shared::store::leases::Lease;
use shared::store::payment_moves::{MoveState, PaymentMove};
use shared::store::status_stream::{NewRow, RowState};
use shared::store::tracking_outbox::{NewTracking, TrackingState};
use shared::store::{Db, Dialect, Store, StoreError, migrations};
use uuid::Uuid;

mod sample;

use sample::{CRM_KEY, PASSWORD, new_integration};

const CABINET: &str = "8:city";
const NEW_PASSWORD: &str = "planted-password-5e01";

/// A snapshot of somebody else's order.
fn status_row(mark: &str) -> NewRow {
    NewRow {
        order_key: format!("no:{mark}"),
        mark: mark.to_owned(),
        orderno: Some(mark.to_owned()),
        ordercode: None,
        delivery: None,
        state: RowState::Foreign,
        why: None,
        facts: None,
    }
}

/// A database to itself for one case.
struct Bench {
    store: Store,
    place: Place,
}

enum Place {
    File(PathBuf),
    Server { admin: Db, schema: String },
}

impl Bench {
    async fn sqlite() -> Self {
        let folder = std::env::temp_dir().join(format!("bridge-store-{}", Uuid::new_v4().simple()));
        std::fs::create_dir(&folder).expect("a folder of its own");
        let db = Db::open_sqlite(&folder.join("bridge.db")).await.expect("opens");
        Self::around(db, Place::File(folder))
    }

    /// Without a server these cases fail: a skipped one would look like a pass.
    async fn postgres() -> Self {
        let url = server_url().unwrap_or_else(|| {
            panic!(
                "TEST_DATABASE_URL is not set: this test needs a PostgreSQL; run ./tests/run, which starts one, \
                 or set BRIDGE_TEST_UNIT_ONLY=1 to do without"
            )
        });
        // A schema, not a database: dropping a database waits for a checkpoint.
        let schema = format!("bridge_store_{}", Uuid::new_v4().simple());
        let admin = Db::open_postgres(&url, 1).expect("TEST_DATABASE_URL is a URL");
        admin.exec(format!("CREATE SCHEMA {schema}"), vec![]).await.expect("a schema of its own");
        let mut own = url::Url::parse(&url).expect("TEST_DATABASE_URL is a URL");
        own.query_pairs_mut().append_pair("options[search_path]", &schema);
        let db = Db::open_postgres(own.as_str(), 8).expect("a URL");
        Self::around(db, Place::Server { admin, schema })
    }

    fn around(db: Db, place: Place) -> Self {
        let start: Timestamp = "2024-05-17T10:00:00Z".parse().expect("a moment");
        let store = Store::new(db, SecretKey::from_bytes([7; 32]), Clock::standing_at(start));
        Self { store, place }
    }

    /// A second process on the same database.
    async fn neighbour(&self) -> Store {
        let db = match (&self.place, &self.store.db) {
            (Place::File(folder), _) => Db::open_sqlite(&folder.join("bridge.db")).await.expect("opens"),
            (_, db) => db.clone(),
        };
        Store::new(db, self.store.key.clone(), self.store.clock.clone())
    }

    async fn clear(self) {
        self.store.db.close().await;
        match self.place {
            Place::File(folder) => std::fs::remove_dir_all(folder).expect("its folder goes"),
            Place::Server { admin, schema } => {
                admin.exec(format!("DROP SCHEMA {schema} CASCADE"), vec![]).await.expect("its schema goes");
                admin.close().await;
            }
        }
    }

    fn clock(&self) -> &Clock {
        &self.store.clock
    }

    fn now(&self) -> Timestamp {
        self.clock().now()
    }

    fn after(&self, seconds: i64) -> Timestamp {
        self.now() + seconds.seconds()
    }

    fn pass(&self, seconds: u64) {
        self.clock().advance(Duration::from_secs(seconds));
    }

    async fn integration(&self, prefix: &str) -> Integration {
        self.store.add_integration(new_integration(prefix)).await.expect("added")
    }

    async fn want(&self, integration: IntegrationId, number: &str, want: RequestKind) {
        self.record(request(self, integration, number, want)).await;
    }

    async fn record(&self, request: OrderRequest) {
        self.store.record_requests(&[request]).await.expect("recorded");
    }

    async fn claim(&self, integration: IntegrationId, owner: &str) -> Vec<Intent> {
        self.store.claim_intents(integration, owner, self.after(90), 50).await.expect("claimed")
    }

    async fn claim_one(&self, integration: IntegrationId, owner: &str) -> Intent {
        let mut claimed = self.claim(integration, owner).await;
        assert_eq!(claimed.len(), 1, "one intent is due");
        claimed.remove(0)
    }

    async fn lease_of_stream(&self, owner: &str) -> Lease {
        let taken = self.store.take_lease("stream|test", owner, self.after(90)).await;
        taken.expect("asked").expect("nobody holds it")
    }

    async fn leave(&self, intent: &Intent, leave: Leave) -> bool {
        let mut tx = self.store.db.begin().await.expect("begins");
        let held = tx.leave_intent(intent, leave, self.now()).await.expect("left");
        tx.commit().await.expect("committed");
        held
    }

    async fn suspect(&self, intent: &Intent) {
        let mut tx = self.store.db.begin().await.expect("begins");
        tx.ask_to_verify(intent, self.now(), self.now()).await.expect("asked");
        tx.commit().await.expect("committed");
    }

    async fn lease(
        &self,
        integration: IntegrationId,
        crm_order: i64,
        number: &str,
        prefix: &str,
        owner: &str,
    ) -> Option<Delivery> {
        let number = OrderNumber::parse(number).expect("a number");
        let key = DeliveryKey { integration, crm_order: CrmOrderId(crm_order), number: &number, prefix };
        self.store.lease_delivery(&key, owner, self.after(90)).await.expect("asked").taken()
    }

    async fn save(&self, delivery: &Delivery, release: bool) -> bool {
        let mut tx = self.store.db.begin().await.expect("begins");
        let held = tx.save_delivery(delivery, release, self.now()).await.expect("saved");
        tx.commit().await.expect("committed");
        held
    }

    async fn add_dead_letter(&self, dead: &NewDeadLetter) -> i64 {
        self.store.add_dead_letter(dead).await.expect("buried")
    }

    async fn dead(&self, filter: DeadFilter) -> Vec<i64> {
        self.store.dead_letters(&filter).await.expect("listed").into_iter().map(|dead| dead.id).collect()
    }
}

fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "set by the test run, no setting of the product")]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn server_url() -> Option<String> {
    variable("TEST_DATABASE_URL")
}

fn request(bench: &Bench, integration: IntegrationId, number: &str, want: RequestKind) -> OrderRequest {
    OrderRequest {
        integration,
        number: OrderNumber::parse(number).expect("a number"),
        order: None,
        want,
        declared: None,
        candidates: Vec::new(),
        due_at: bench.now(),
        received_at: bench.now(),
        generation: 0,
        traceparent: None,
        command_id: Uuid::now_v7().to_string(),
    }
}

fn dead(integration: Option<IntegrationId>, number: Option<&str>, reason: &str, fault: Fault) -> NewDeadLetter {
    NewDeadLetter {
        integration,
        delivery: None,
        number: number.map(str::to_owned),
        kind: "SendOrder".to_owned(),
        reason: reason.to_owned(),
        fault,
        detail: "как было".to_owned(),
        tries: 3,
        command: Some("{}".to_owned()),
        raw: None,
    }
}

fn job(id: &str, lane: Lane, run_at: Timestamp) -> NewJob {
    NewJob { id: id.to_owned(), lane, body: format!("body of {id}").into_bytes(), run_at }
}

const SOON: Duration = Duration::from_secs(60);
const SPENT: Duration = Duration::from_secs(7);

mod cases {
    use super::*;

    // Migrations.

    pub(super) async fn migrations_may_be_repeated(bench: &Bench) {
        let db = &bench.store.db;
        assert_eq!(db.schema_version().await.expect("asked"), migrations::newest());
        bench.want(bench.integration("").await.id, "1", RequestKind::Send).await;
        db.migrate().await.expect("repeated");
        assert_eq!(db.schema_version().await.expect("asked"), migrations::newest());
        assert_eq!(bench.store.backlog().await.expect("asked").0, 1, "what was there stays");
        bench.store.ping().await.expect("answers");
    }

    /// An installation of the release before orders were told apart by their ids, in the middle
    /// of its work.
    pub(super) async fn what_was_in_flight_under_the_fourth_schema_goes_on(bench: &Bench) {
        let old = match bench.place {
            Place::File(_) => Bench::sqlite().await,
            Place::Server { .. } => Bench::postgres().await,
        };
        let db = &old.store.db;
        db.migrate_to(4).await.expect("the fourth schema");
        assert_eq!(db.schema_version().await.expect("asked"), 4);
        let at = old.now().as_millisecond();
        let lease = at + 30_000;
        let blob = if db.dialect() == Dialect::Sqlite { "X'00'" } else { "'\\x00'::bytea" };
        let delivery = |id: i64, number: &str, orderno: &str, generation: i64, state: &str, lease: i64| {
            format!(
                "INSERT INTO deliveries (id, integration_id, crm_order_id, number, orderno, generation, state, sent_hash, price, \
                 overlay, lease_owner, lease_until, fence, created_at, updated_at) VALUES ({id}, 1, 10{id}, '{number}', \
                 '{orderno}', {generation}, '{state}', 'hash', 37900, '{{}}', 'old', {lease}, 3, {at}, {at})"
            )
        };
        let request = |number: &str, delivery: &str, requested: i64, served: i64, seqs: &str, lease: i64| {
            format!(
                "INSERT INTO intents (integration_id, number, delivery_id, requested, served, send_seq, update_seq, cancel_seq, \
                 declared, due_at, wanted_at, command_id, lease_owner, lease_until, fence, created_at, updated_at) VALUES \
                 (1, '{number}', {delivery}, {requested}, {served}, {seqs}, 77700, {at}, {at}, 'c-{number}', 'old', {lease}, 2, \
                 {at}, {at})"
            )
        };
        let letter = |delivery: &str, number: &str, kind: &str, reason: &str| {
            format!(
                "INSERT INTO dead_letters (integration_id, delivery_id, number, kind, reason, fault, state, created_at, \
                 updated_at) VALUES (1, {delivery}, '{number}', '{kind}', '{reason}', 'shop', 'open', {at}, {at})"
            )
        };
        for sql in [
            format!(
                "INSERT INTO integrations (title, crm_url, measoft_url, extra, login, prefix, settings, crm_api_key, password, \
                 delivery_api_key, client_id, delivery_api_key_hash, client_id_hash, state, created_at, updated_at) \
                 VALUES ('Shop', 'c', 'm', '8', 'l', '', '{{}}', {blob}, {blob}, {blob}, {blob}, 'k', 'i', 'active', {at}, {at})"
            ),
            delivery(1, "A-1", "A-1", 1, "created", 0),
            // In the hands of a worker of the old release, and placed anew after a cancel.
            delivery(2, "A-2", "A-2-2", 2, "sending", lease),
            delivery(3, "A-3", "A-3", 1, "rejected", 0),
            request("A-1", "1", 2, 2, "1, 2, 0", 0),
            request("A-2", "2", 3, 2, "3, 0, 2", lease),
            request("A-3", "3", 2, 1, "1, 2, 0", 0),
            // Nobody has read it yet.
            request("A-4", "NULL", 1, 0, "1, 0, 0", 0),
            letter("3", "A-3", "SendOrder", "bad_phone"),
            letter("NULL", "A-4", "SendOrder", "order_not_found"),
            letter("1", "A-1", "SyncPayments", "payment_conflict"),
        ] {
            db.exec(sql, vec![]).await.expect("written");
        }
        db.migrate().await.expect("migrated");
        let id = IntegrationId(1);

        // What was served is known of the order; what was not waits under its number.
        let known = old.store.intent(id, CrmOrderId(101)).await.expect("read").expect("there");
        assert_eq!((known.requested, known.served, known.update_seq), (2, 2, 2));
        assert_eq!(known.declared, Some(Kopecks(77700)));
        assert_eq!(old.store.backlog_of(id).await.expect("counted").0, 3);
        let due = async || {
            let claimed = old.store.claim_intents(id, "new", old.after(30), 10).await.expect("claimed");
            claimed
                .into_iter()
                .map(|intent| (intent.number.as_str().to_owned(), intent.order, intent.unserved()))
                .collect()
        };
        let of_number = |number: &str, want: RequestKind| (number.to_owned(), None, vec![want]);
        let claimed: Vec<_> = due().await;
        assert_eq!(
            claimed,
            [of_number("A-3", RequestKind::Update), of_number("A-4", RequestKind::Send)],
            "not what is held"
        );
        old.pass(31);
        let all: Vec<_> = due().await;
        assert!(all.contains(&of_number("A-2", RequestKind::Send)), "its lease has run out: {all:?}");

        // The ledger goes on where it was, under the same lease and number.
        let held = old.store.delivery_by_order(id, CrmOrderId(102)).await.expect("read").expect("there");
        assert_eq!(
            (held.state, held.orderno.as_str(), held.generation, held.fence),
            (DeliveryState::Sending, "A-2-2", 2, 3)
        );
        assert_eq!(held.saved_request.as_deref(), Some("{}"));
        let past = old.store.past_by_number("A-2", None).await.expect("read");
        assert_eq!(
            past.iter().map(|past| past.orderno.as_str()).collect::<Vec<_>>(),
            ["A-2"],
            "its first number stays used"
        );

        // A repeat is counted on its letter, and a success answers it.
        let of_3 =
            NewDeadLetter { delivery: Some(DeliveryId(3)), ..dead(Some(id), Some("A-3"), "bad_phone", Fault::Shop) };
        let of_3 = NewDeadLetter { kind: "SendOrder".to_owned(), ..of_3 };
        let repeated = old.add_dead_letter(&of_3).await;
        let read = old.store.dead_letter(repeated).await.expect("read").expect("there");
        assert_eq!((read.attempts, read.order), (2, Some(CrmOrderId(103))));
        let mut tx = db.begin().await.expect("begins");
        for (order, number) in [(103, "A-3"), (104, "A-4")] {
            assert_eq!(tx.resolve_dead_letters(id, CrmOrderId(order), number, old.now()).await.expect("resolved"), 1);
        }
        let payment = tx
            .resolve_dead_letters_of_order(id, CrmOrderId(101), DeliveryId(1), "SyncPayments", old.now())
            .await
            .expect("resolved");
        tx.commit().await.expect("committed");
        assert_eq!(payment, 1);
        assert!(old.dead(DeadFilter::default()).await.is_empty());
        old.clear().await;
    }

    /// A fresh start of several processes at once.
    pub(super) async fn migrations_may_run_in_several_processes(bench: &Bench) {
        let fresh = match bench.place {
            Place::File(_) => Bench::sqlite().await,
            Place::Server { .. } => Bench::postgres().await,
        };
        let processes: Vec<Db> = match &fresh.place {
            // A file that is not there yet, opened by all of them at once.
            Place::File(folder) => {
                let path = folder.join("fresh.db");
                let opened = join_all((0..4).map(|_| Db::open_sqlite(&path))).await;
                opened.into_iter().map(|db| db.expect("opens")).collect()
            }
            Place::Server { .. } => vec![fresh.store.db.clone(); 4],
        };
        assert_eq!(processes[0].schema_version().await.expect("asked"), 0);
        let done = join_all(processes.iter().map(Db::migrate)).await;
        done.into_iter().for_each(|done| done.expect("migrated"));
        for process in processes {
            assert_eq!(process.schema_version().await.expect("asked"), migrations::newest());
            if process.dialect() == Dialect::Sqlite {
                process.close().await;
            }
        }
        fresh.clear().await;
    }

    // Integrations.

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
            for row in
                db.fetch(format!("SELECT CAST(t AS TEXT) AS line FROM {name} t"), vec![]).await.expect("its rows")
            {
                all.extend(row.text("line").expect("a row").into_bytes());
            }
        }
        all
    }

    pub(super) async fn secrets_are_not_readable_at_rest(bench: &Bench) {
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

    pub(super) async fn secrets_open_only_with_their_key(bench: &Bench) {
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

    pub(super) async fn an_integration_is_read_back_as_it_was_written(bench: &Bench) {
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

    pub(super) async fn two_integrations_of_one_cabinet_need_their_own_prefixes(bench: &Bench) {
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

    pub(super) async fn every_change_moves_the_stamp(bench: &Bench) {
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

    pub(super) async fn a_write_of_an_older_copy_undoes_nothing(bench: &Bench) {
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

    pub(super) async fn changes_made_at_once_are_all_kept_or_told(bench: &Bench) {
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

    pub(super) async fn an_integration_is_paused_resumed_and_removed(bench: &Bench) {
        let id = bench.integration("").await.id;
        let state = async || bench.store.integration(id).await.expect("read").expect("there").state;
        let set = async |state: &IntegrationState| bench.store.set_integration_state(id, state).await.expect("set");
        for by in [
            PausedBy::Operator,
            PausedBy::Credentials(Fault::Crm),
            PausedBy::Credentials(Fault::Courier),
            PausedBy::Crm,
        ] {
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

    // Intents.

    pub(super) async fn requests_for_one_order_are_one_intent(bench: &Bench) {
        let id = bench.integration("").await.id;
        let first = bench.now();
        let send =
            OrderRequest { declared: Some(Kopecks::roubles(3790)), ..request(bench, id, "1234A", RequestKind::Send) };
        bench.record(send).await;
        bench.pass(5);
        bench.want(id, "1234A", RequestKind::Update).await;
        bench.pass(5);
        let candidates = vec![Candidate { delivery_type: "incity".to_owned(), integration: id }];
        let cancel = OrderRequest {
            candidates: candidates.clone(),
            generation: 2,
            traceparent: Some("00-aa-bb-01".to_owned()),
            ..request(bench, id, "1234A", RequestKind::Cancel)
        };
        bench.record(cancel).await;
        bench.want(id, "1234B", RequestKind::Send).await;
        let claimed = bench.claim(id, "w1").await;
        assert_eq!(claimed.len(), 2);
        let intent = claimed.iter().find(|i| i.number.as_str() == "1234A").expect("claimed");
        assert_eq!((intent.requested, intent.served), (3, 0));
        assert_eq!((intent.send_seq, intent.update_seq, intent.cancel_seq), (1, 2, 3));
        assert_eq!(intent.declared, Some(Kopecks::roubles(3790)), "a wish without a value leaves it");
        assert_eq!(intent.candidates, candidates);
        assert_eq!(intent.wanted_at, first, "since the oldest unserved wish");
        assert_eq!((intent.generation, intent.traceparent.as_deref()), (2, Some("00-aa-bb-01")));
        assert_eq!((intent.attempt, intent.rereads, intent.verify, intent.delivery), (0, 0, false, None));
    }

    pub(super) async fn the_same_command_twice_is_one_request(bench: &Bench) {
        let id = bench.integration("").await.id;
        let send = request(bench, id, "1", RequestKind::Send);
        bench.store.record_requests(&[send.clone(), send.clone()]).await.expect("recorded");
        bench.record(send.clone()).await;
        assert_eq!(bench.claim_one(id, "w1").await.requested, 1);
        bench.record(OrderRequest { generation: 1, ..send }).await;
        bench.pass(91);
        assert_eq!(bench.claim_one(id, "w1").await.requested, 2, "a replay is a wish of its own");
    }

    pub(super) async fn a_burst_of_requests_is_recorded_as_if_one_by_one(bench: &Bench) {
        let id = bench.integration("").await.id;
        let other = bench.integration("B-").await.id;
        // Several statements' worth, some orders often, some commands delivered twice.
        let mut burst = Vec::new();
        for n in 0..200_u32 {
            let want = [RequestKind::Send, RequestKind::Update, RequestKind::Cancel]
                [usize::try_from(n / 7 % 3).expect("small")];
            let number = format!("n{}", n % 90);
            let declared = (n % 2 == 0).then_some(Kopecks(n.into()));
            burst.push(OrderRequest {
                declared,
                due_at: bench.after(-i64::from(n)),
                ..request(bench, id, &number, want)
            });
            if n % 11 == 0 {
                burst.extend(burst.last().cloned());
            }
        }
        bench.store.record_requests(&burst).await.expect("recorded");
        for request in &burst {
            bench.record(OrderRequest { integration: other, ..request.clone() }).await;
        }
        let until = bench.after(90);
        let mut both = Vec::new();
        for integration in [id, other] {
            let mut claimed = bench.store.claim_intents(integration, "w1", until, 500).await.expect("claimed");
            claimed.sort_by(|a, b| a.number.as_str().cmp(b.number.as_str()));
            let of = |i: &Intent| {
                (i.number.clone(), i.requested, i.send_seq, i.update_seq, i.cancel_seq, i.declared, i.due_at)
            };
            both.push(claimed.iter().map(of).collect::<Vec<_>>());
        }
        assert_eq!(both[0].len(), 90);
        assert_eq!(both[0], both[1]);
        bench.store.record_requests(&[]).await.expect("nothing is nothing");
    }

    pub(super) async fn requests_that_cannot_all_be_recorded_are_none(bench: &Bench) {
        let id = bench.integration("").await.id;
        let good = request(bench, id, "1", RequestKind::Send);
        let bad = request(bench, IntegrationId(4040), "2", RequestKind::Send);
        assert!(bench.store.record_requests(&[good, bad]).await.is_err());
        assert!(bench.claim(id, "w1").await.is_empty());
    }

    pub(super) async fn due_intents_are_claimed_oldest_first_up_to_a_limit(bench: &Bench) {
        let id = bench.integration("").await.id;
        let other = bench.integration("B-").await.id;
        for (number, seconds) in [("c", 3), ("a", 1), ("d", 60), ("b", 2)] {
            bench
                .record(OrderRequest { due_at: bench.after(seconds), ..request(bench, id, number, RequestKind::Send) })
                .await;
        }
        bench.want(other, "a", RequestKind::Send).await;
        let numbers = |claimed: Vec<Intent>| -> Vec<String> {
            claimed.into_iter().map(|intent| intent.number.as_str().to_owned()).collect()
        };
        assert!(bench.claim(id, "w1").await.is_empty(), "nothing is due yet");
        bench.pass(3);
        let claimed = bench.store.claim_intents(id, "w1", bench.after(90), 2).await.expect("claimed");
        assert_eq!(numbers(claimed), ["a", "b"]);
        assert_eq!(numbers(bench.claim(id, "w2").await), ["c"], "held ones and later ones are left");
        assert!(bench.claim(id, "w3").await.is_empty());
        bench.pass(91);
        assert_eq!(numbers(bench.claim(id, "w3").await), ["a", "b", "c", "d"], "their leases ran out");
    }

    pub(super) async fn two_workers_never_hold_one_intent(bench: &Bench) {
        let id = bench.integration("").await.id;
        let requests: Vec<OrderRequest> =
            (0..60).map(|n| request(bench, id, &format!("n{n}"), RequestKind::Send)).collect();
        bench.store.record_requests(&requests).await.expect("recorded");
        let owners: Vec<String> = (0..6).map(|n| format!("w{n}")).collect();
        let until = bench.after(90);
        let claims = join_all(owners.iter().map(|owner| bench.store.claim_intents(id, owner, until, 13))).await;
        let mut ids: Vec<i64> =
            claims.into_iter().flat_map(|claimed| claimed.expect("claimed")).map(|i| i.id).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all, "no intent twice");
        assert!(all >= 13, "somebody got something");
        let rest = bench.store.claim_intents(id, "late", until, 100).await.expect("claimed").len();
        assert_eq!(all + rest, 60, "none is lost");
    }

    pub(super) async fn a_holder_whose_lease_ran_out_leaves_no_mark(bench: &Bench) {
        let id = bench.integration("").await.id;
        bench.want(id, "1", RequestKind::Send).await;
        let late = bench.claim_one(id, "w1").await;
        bench.pass(91);
        let present = bench.claim_one(id, "w2").await;
        assert_ne!(present.fence, late.fence);
        assert!(!bench.leave(&late, Leave::Served).await);
        let wait = Leave::Wait { due_at: bench.after(900), attempt: 7, rereads: 7, spent: SPENT };
        assert!(!bench.leave(&late, wait).await);
        bench.store.release_intent(&late).await.expect("harmless");
        assert!(bench.claim(id, "w3").await.is_empty(), "the present holder holds on");
        assert!(bench.leave(&present, Leave::Served).await);
        bench.pass(91);
        assert!(bench.claim(id, "w3").await.is_empty(), "served");
    }

    pub(super) async fn a_lease_lives_as_long_as_it_is_renewed(bench: &Bench) {
        let id = bench.integration("").await.id;
        bench.want(id, "1", RequestKind::Send).await;
        let intent = bench.claim_one(id, "w1").await;
        for _ in 0..5 {
            bench.pass(60);
            assert_eq!(
                bench.store.renew_intents("w1", &[Held::from(&intent)], bench.after(90)).await.expect("renewed"),
                1
            );
            assert!(bench.claim(id, "w2").await.is_empty());
        }
        assert_eq!(bench.store.renew_intents("w2", &[Held::from(&intent)], bench.after(900)).await.expect("asked"), 0);
        assert_eq!(bench.store.renew_intents("w1", &[], bench.after(90)).await.expect("asked"), 0);
        bench.pass(91);
        assert_eq!(bench.claim(id, "w2").await.len(), 1);
    }

    pub(super) async fn a_released_intent_is_due_at_once(bench: &Bench) {
        let id = bench.integration("").await.id;
        bench.want(id, "1", RequestKind::Send).await;
        let intent = bench.claim_one(id, "w1").await;
        bench.store.release_intent(&intent).await.expect("released");
        let again = bench.claim_one(id, "w2").await;
        assert_eq!((again.requested, again.attempt), (intent.requested, intent.attempt));
    }

    pub(super) async fn what_waits_is_due_when_it_said(bench: &Bench) {
        let id = bench.integration("").await.id;
        bench.want(id, "1", RequestKind::Send).await;
        let intent = bench.claim_one(id, "w1").await;
        assert!(
            bench.leave(&intent, Leave::Wait { due_at: bench.after(15), attempt: 1, rereads: 2, spent: SPENT }).await
        );
        assert!(bench.claim(id, "w1").await.is_empty());
        bench.pass(15);
        let again = bench.claim_one(id, "w1").await;
        assert_eq!((again.attempt, again.rereads, again.served), (1, 2, 0));
        assert_eq!(again.wanted_at, intent.wanted_at);
    }

    pub(super) async fn a_request_that_came_meanwhile_is_not_served_with_the_old_one(bench: &Bench) {
        let id = bench.integration("").await.id;
        bench.want(id, "1", RequestKind::Send).await;
        let intent = bench.claim_one(id, "w1").await;
        bench.pass(1);
        bench.want(id, "1", RequestKind::Update).await;
        assert!(bench.leave(&intent, Leave::Served).await);
        let newer = bench.claim_one(id, "w1").await;
        assert_eq!((newer.requested, newer.served), (2, 1));
        assert!(newer.update_seq > newer.served && newer.send_seq <= newer.served);
        assert!(bench.leave(&newer, Leave::Served).await);
        bench.pass(5);
        bench.want(id, "1", RequestKind::Update).await;
        assert_eq!(bench.claim_one(id, "w1").await.wanted_at, bench.now(), "what was served does not age the new one");
    }

    pub(super) async fn a_request_that_came_meanwhile_keeps_its_own_time(bench: &Bench) {
        let id = bench.integration("").await.id;
        bench.want(id, "1", RequestKind::Send).await;
        let intent = bench.claim_one(id, "w1").await;
        bench.record(OrderRequest { due_at: bench.after(2), ..request(bench, id, "1", RequestKind::Update) }).await;
        assert!(
            bench.leave(&intent, Leave::Wait { due_at: bench.after(3600), attempt: 9, rereads: 9, spent: SPENT }).await
        );
        bench.pass(2);
        let newer = bench.claim_one(id, "w1").await;
        assert_eq!((newer.attempt, newer.rereads), (0, 0));
        assert!(newer.send_seq > newer.served, "the old wish is not forgotten");
    }

    pub(super) async fn a_doubt_makes_an_intent_due_and_is_settled_by_serving_it(bench: &Bench) {
        let id = bench.integration("").await.id;
        bench.want(id, "1", RequestKind::Send).await;
        let late = bench.claim_one(id, "w1").await;
        bench.pass(91);
        let present = bench.claim_one(id, "w2").await;
        assert!(bench.leave(&present, Leave::Served).await);
        bench.suspect(&late).await;
        let suspected = bench.claim_one(id, "w3").await;
        assert!(suspected.verify && suspected.requested == 2);
        assert!(suspected.send_seq <= suspected.served, "it is no new send");
        assert!(
            bench.leave(&suspected, Leave::Wait { due_at: bench.now(), attempt: 1, rereads: 0, spent: SPENT }).await
        );
        let suspected = bench.claim_one(id, "w3").await;
        assert!(suspected.verify, "waiting settles no doubt");
        assert!(bench.leave(&suspected, Leave::Served).await);
        bench.want(id, "1", RequestKind::Update).await;
        assert!(!bench.claim_one(id, "w3").await.verify);
    }

    pub(super) async fn a_doubt_that_comes_while_another_holds_is_not_wiped(bench: &Bench) {
        let id = bench.integration("").await.id;
        bench.want(id, "1", RequestKind::Send).await;
        let late = bench.claim_one(id, "w1").await;
        bench.pass(91);
        let present = bench.claim_one(id, "w2").await;
        bench.suspect(&late).await;
        assert!(bench.leave(&present, Leave::Served).await);
        assert!(bench.claim_one(id, "w3").await.verify);
    }

    pub(super) async fn what_is_due_is_known_per_integration(bench: &Bench) {
        let id = bench.integration("").await.id;
        let other = bench.integration("B-").await.id;
        let due = async || {
            let mut work = bench.store.integrations_with_work().await.expect("listed");
            work.sort_unstable();
            work
        };
        assert_eq!(due().await, []);
        assert_eq!(bench.store.backlog().await.expect("asked"), (0, None));
        bench.record(OrderRequest { due_at: bench.after(30), ..request(bench, id, "1", RequestKind::Send) }).await;
        bench.record(OrderRequest { due_at: bench.after(10), ..request(bench, id, "2", RequestKind::Send) }).await;
        bench.record(OrderRequest { due_at: bench.after(-5), ..request(bench, other, "3", RequestKind::Send) }).await;
        assert_eq!(due().await, [(id, bench.after(10)), (other, bench.after(-5))]);
        assert_eq!(bench.store.backlog().await.expect("asked"), (3, Some(bench.after(-5))));
        let stale = bench.store.stale_intents(bench.now(), 10).await.expect("listed");
        assert_eq!(stale, [(other, OrderNumber::parse("3").expect("a number"))]);
        let held = bench.claim_one(other, "w1").await;
        assert_eq!(due().await, [(id, bench.after(10)), (other, bench.after(90))], "held until its lease ends");
        assert_eq!(bench.store.stale_intents(bench.now(), 10).await.expect("listed"), [], "somebody works on it");
        bench.leave(&held, Leave::Served).await;
        assert_eq!(due().await, [(id, bench.after(10))]);
        assert_eq!(bench.store.backlog().await.expect("asked"), (2, None));
    }

    pub(super) async fn a_process_that_is_alone_frees_what_it_held_before_a_crash(bench: &Bench) {
        let id = bench.integration("").await.id;
        bench.want(id, "1", RequestKind::Send).await;
        let held = bench.claim_one(id, "before").await;
        bench.lease(id, 1, "1", "", "before").await.expect("leased");
        bench.store.enqueue(&[job("j", Lane::Bulk, bench.now())]).await.expect("stored");
        assert_eq!(bench.store.claim_jobs(None, "before", SOON, 9).await.expect("claimed").len(), 1);
        bench.store.free_all_leases().await.expect("freed");
        assert_eq!(bench.claim(id, "after").await.len(), 1);
        assert!(bench.lease(id, 1, "1", "", "after").await.is_some());
        assert_eq!(bench.store.claim_jobs(None, "after", SOON, 9).await.expect("claimed").len(), 1);
        assert!(!bench.leave(&held, Leave::Served).await, "the old holder is fenced off");
    }

    async fn hand_over(bench: &Bench, from: &Intent, order: i64, with_declared: bool) {
        let mut tx = bench.store.db.begin().await.expect("begins");
        let wants = from.unserved();
        let number = from.number.as_str();
        let requests = HandOver { from, order: CrmOrderId(order), number, wants: &wants, with_declared };
        tx.hand_over(&requests, bench.now()).await.expect("handed over");
        tx.commit().await.expect("committed");
    }

    pub(super) async fn requests_by_number_become_those_of_the_orders_that_bear_it(bench: &Bench) {
        let id = bench.integration("").await.id;
        let declared = Some(Kopecks::roubles(790));
        bench.record(OrderRequest { declared, ..request(bench, id, "7001", RequestKind::Send) }).await;
        bench.want(id, "7001", RequestKind::Cancel).await;
        let by_number = bench.claim_one(id, "w1").await;
        assert_eq!((by_number.order, by_number.unserved()), (None, vec![RequestKind::Send, RequestKind::Cancel]));
        hand_over(bench, &by_number, 1, true).await;
        hand_over(bench, &by_number, 2, false).await;
        assert!(bench.leave(&by_number, Leave::Served).await);
        let of_orders = bench.claim(id, "w1").await;
        let said = |i: &Intent| (i.order.map(|o| o.0), i.requested, i.send_seq, i.cancel_seq, i.declared);
        assert_eq!(
            of_orders.iter().map(said).collect::<Vec<_>>(),
            [(Some(1), 2, 1, 2, declared), (Some(2), 2, 1, 2, None)],
            "the sum is one order's"
        );
        for intent in &of_orders {
            assert!(bench.leave(intent, Leave::Served).await);
        }
        // A newer one goes on counting, and its order keeps what it has.
        bench.want(id, "7001", RequestKind::Update).await;
        let by_number = bench.claim_one(id, "w1").await;
        hand_over(bench, &by_number, 1, true).await;
        assert!(bench.leave(&by_number, Leave::Served).await);
        let again = bench.claim_one(id, "w1").await;
        assert_eq!((again.requested, again.served, again.update_seq, again.send_seq), (3, 2, 3, 1));
        assert_eq!(again.declared, declared);
        assert_eq!(again.unserved(), [RequestKind::Update]);
    }

    pub(super) async fn a_request_by_id_is_the_order_s_own_whatever_its_number(bench: &Bench) {
        let id = bench.integration("").await.id;
        let of = |order, number: &str| OrderRequest {
            order: Some(CrmOrderId(order)),
            ..request(bench, id, number, RequestKind::Send)
        };
        bench.store.record_requests(&[of(1, "7001"), of(2, "7001"), of(1, "7001-A")]).await.expect("recorded");
        let mut claimed = bench.claim(id, "w1").await;
        claimed.sort_by_key(|intent| intent.order);
        let said = |i: &Intent| (i.order.map(|o| o.0), i.number.as_str().to_owned(), i.requested);
        assert_eq!(
            claimed.iter().map(said).collect::<Vec<_>>(),
            [(Some(1), "7001-A".to_owned(), 2), (Some(2), "7001".to_owned(), 1)]
        );
        let progress = bench.store.intent_progress(id, CrmOrderId(2)).await.expect("read").expect("there");
        assert_eq!((progress.requested, progress.served), (1, 0));
        assert!(bench.store.waiting_by_number(id, "7001").await.expect("read").is_none());
    }

    pub(super) async fn a_send_older_than_the_withdrawal_of_its_order_sends_nothing(bench: &Bench) {
        let id = bench.integration("").await.id;
        bench.want(id, "1", RequestKind::Send).await;
        bench.pass(1);
        let withdrawal = OrderRequest {
            order: Some(CrmOrderId(7)),
            candidates: vec![Candidate::withdrawn(id)],
            ..request(bench, id, "1", RequestKind::Cancel)
        };
        bench.record(withdrawal).await;
        let claimed = bench.claim(id, "w1").await;
        let (by_id, by_number): (Vec<Intent>, Vec<Intent>) = claimed.into_iter().partition(|i| i.order.is_some());
        assert!(bench.leave(&by_id[0], Leave::Served).await);
        hand_over(bench, &by_number[0], 7, true).await;
        assert!(bench.leave(&by_number[0], Leave::Served).await);
        let looked_at = bench.claim_one(id, "w1").await;
        assert_eq!((looked_at.unserved(), looked_at.cancel_seq), (vec![], 1));
        assert!(bench.leave(&looked_at, Leave::Served).await);
        bench.pass(1);
        bench.want(id, "1", RequestKind::Send).await;
        let newer = bench.claim_one(id, "w1").await;
        hand_over(bench, &newer, 7, true).await;
        assert!(bench.leave(&newer, Leave::Served).await);
        assert_eq!(bench.claim_one(id, "w1").await.unserved(), [RequestKind::Send], "a newer one does");
    }

    pub(super) async fn what_is_tried_again_leaves_room_for_what_is_new(bench: &Bench) {
        let id = bench.integration("").await.id;
        let of = |order| OrderRequest { order: Some(CrmOrderId(order)), ..request(bench, id, "x", RequestKind::Send) };
        let old: Vec<OrderRequest> = (0..20).map(of).collect();
        bench.store.record_requests(&old).await.expect("recorded");
        bench.pass(1);
        let new: Vec<OrderRequest> = (0..20).map(|n| request(bench, id, &format!("n{n}"), RequestKind::Send)).collect();
        bench.store.record_requests(&new).await.expect("recorded");
        let until = bench.after(90);
        let mut sorts = Vec::new();
        for _ in 0..4 {
            let claimed = bench.store.claim_intents(id, "w1", until, 12).await.expect("claimed");
            sorts.push((claimed.iter().filter(|i| i.order.is_some()).count(), claimed.len()));
        }
        assert_eq!(sorts, [(6, 12), (6, 12), (6, 12), (2, 4)]);
    }

    pub(super) async fn a_clock_that_was_ahead_puts_nothing_to_sleep(bench: &Bench) {
        let id = bench.integration("").await.id;
        let of = |order| OrderRequest { order: Some(CrmOrderId(order)), ..request(bench, id, "x", RequestKind::Send) };
        let late = OrderRequest { due_at: bench.after(24 * 3600), ..request(bench, id, "1", RequestKind::Send) };
        bench.record(late).await;
        bench.record(OrderRequest { due_at: bench.after(24 * 3600), ..of(1) }).await;
        bench.record(OrderRequest { due_at: bench.after(3600), ..of(2) }).await;
        assert_eq!(bench.store.integrations_with_work().await.expect("listed"), [(id, bench.after(3600))]);
        let due = bench.claim(id, "w1").await;
        assert_eq!(due.len(), 2, "the honest pause of an hour stays");
        // Leases of a day, taken by that clock.
        let day = bench.after(24 * 3600);
        let id2 = bench.integration("B-").await.id;
        bench.want(id2, "1", RequestKind::Send).await;
        assert_eq!(bench.store.claim_intents(id2, "ahead", day, 9).await.expect("claimed").len(), 1);
        assert_eq!(bench.claim(id2, "w1").await.len(), 1);
        let number = OrderNumber::parse("1").expect("a number");
        let key = DeliveryKey { integration: id2, crm_order: CrmOrderId(1), number: &number, prefix: "B-" };
        assert!(bench.store.lease_delivery(&key, "ahead", day).await.expect("asked").taken().is_some());
        assert!(bench.lease(id2, 1, "1", "B-", "w1").await.is_some());
    }

    /// The same database, as a process sees it whose clock is ahead by so many seconds.
    fn ahead_by(bench: &Bench, seconds: i64) -> Store {
        Store::new(bench.store.db.clone(), bench.store.key.clone(), Clock::standing_at(bench.after(seconds)))
    }

    const DAY: i64 = 24 * 3600;

    pub(super) async fn a_clock_that_was_ahead_delays_no_message(bench: &Bench) {
        let ahead = ahead_by(bench, DAY);
        let jobs = [job("put off", Lane::Bulk, bench.after(DAY + 300)), job("held", Lane::Bulk, bench.after(DAY))];
        ahead.enqueue(&jobs).await.expect("stored");
        assert_eq!(ahead.claim_jobs(Some(Lane::Bulk), "ahead", SOON, 9).await.expect("claimed").len(), 1);
        bench.store.enqueue(&[job("honest", Lane::Bulk, bench.after(3600))]).await.expect("stored");
        assert_eq!(bench.store.next_job_due(Lane::Bulk).await.expect("asked"), Some(bench.now()));
        assert!(bench.store.waiting_jobs().await.expect("counted").contains(&(Lane::Bulk, 2)));
        assert_eq!(bench.store.oldest_waiting_job().await.expect("asked"), Some(bench.now()));
        assert_eq!(bench.store.oldest_waiting_jobs().await.expect("asked"), [(Lane::Bulk, bench.now())]);
        let mut got: Vec<String> = claimed(bench, Some(Lane::Bulk), "a").await.into_iter().map(|(id, _)| id).collect();
        got.sort();
        assert_eq!(got, ["held", "put off"], "the honest pause of an hour stays");
        assert_eq!(bench.store.next_job_due(Lane::Bulk).await.expect("asked"), Some(bench.after(60)), "in hand");
    }

    pub(super) async fn a_clock_that_was_ahead_delays_no_status_and_no_payment(bench: &Bench) {
        let (store, id) = (&bench.store, bench.integration("").await.id);
        let d = bench.lease(id, 1, "1", "", "w").await.expect("leased");
        assert!(bench.save(&d, true).await);
        let ahead = ahead_by(bench, DAY);
        let lease = ahead.take_lease("stream|test", "ahead", bench.after(DAY + 90)).await.expect("asked");
        let lease = lease.expect("nobody holds it");
        let batch =
            ahead.begin_batch(&lease, CABINET, 100, ahead.clock.now()).await.expect("begun").expect("the lease holds");
        let row = NewRow {
            delivery: Some((d.id, id)),
            state: RowState::Pending,
            facts: Some("{}".to_owned()),
            ..status_row("1")
        };
        ahead.store_status_rows(&lease, CABINET, batch, 0, &[row]).await.expect("stored").expect("held");
        let tracking = NewTracking {
            integration: id,
            delivery: d.id,
            orderno: "1".to_owned(),
            code: "NEW".to_owned(),
            made_at: None,
            tell_at: None,
            comment: None,
            state: TrackingState::Waiting,
            why: None,
            seen_at: bench.after(DAY),
        };
        let mut tx = ahead.db.begin().await.expect("begins");
        assert!(tx.add_tracking(&tracking).await.expect("noted"));
        assert!(tx.want_payment(id, d.id, "a", "{}", bench.after(DAY)).await.expect("noted"));
        tx.commit().await.expect("committed");

        let dues = async || {
            [
                store.next_row_due(CABINET).await.expect("asked"),
                store.next_tracking_due(id).await.expect("asked"),
                store.next_payment_due(id).await.expect("asked"),
            ]
        };
        assert_eq!(dues().await, [Some(bench.now()); 3]);
        assert_eq!(store.accounts_with_rows().await.expect("asked"), [CABINET]);
        assert_eq!(store.deliveries_with_rows(CABINET, 9).await.expect("asked"), [d.id]);
        assert_eq!(store.integrations_with_tracking().await.expect("asked"), [id]);
        let told = store.waiting_tracking(id, 9).await.expect("asked");
        assert_eq!(store.integrations_with_payments().await.expect("asked"), [id]);
        let moves = store.due_payments(id, 9).await.expect("asked");
        assert_eq!((told.len(), moves.len()), (1, 1));

        // An honest pause of an hour stays.
        store.postpone_rows(CABINET, &[d.id], bench.after(3600)).await.expect("put off");
        store.postpone_tracking(&[told[0].id], bench.after(3600)).await.expect("put off");
        store.postpone_payment(moves[0].id, bench.after(3600), "").await.expect("put off");
        assert_eq!(dues().await, [Some(bench.after(3600)); 3]);
        assert!(store.deliveries_with_rows(CABINET, 9).await.expect("asked").is_empty());
        assert!(store.waiting_tracking(id, 9).await.expect("asked").is_empty());
        assert!(store.due_payments(id, 9).await.expect("asked").is_empty());
        let taken = store.take_lease("stream|test", "w", bench.after(90)).await.expect("asked");
        assert!(taken.is_some(), "a lease of tomorrow is over");
        assert!(store.take_lease("stream|test", "x", bench.after(90)).await.expect("asked").is_none());
    }

    pub(super) async fn a_clock_that_was_ahead_uses_up_no_budget_of_today(bench: &Bench) {
        let minute = [window("minute", 10, 60)];
        let take =
            async |store: &Store| store.take_budget(&minute, 10, false).await.expect("asked").map(|taken| taken.count);
        assert_eq!(take(&ahead_by(bench, DAY)).await, Ok(10));
        assert_eq!(used(bench, &minute[0]).await, 0);
        assert_eq!(take(&bench.store).await, Ok(10));
        bench.pass(600);
        assert_eq!(take(&ahead_by(bench, 5)).await, Ok(10));
        assert!(take(&bench.store).await.is_err(), "clocks of two machines differ by seconds");
    }

    pub(super) async fn a_clock_that_was_ahead_has_nothing_wait_for_what_was_sent_tomorrow(bench: &Bench) {
        let id = bench.integration("").await.id;
        let mut d = bench.lease(id, 1, "1", "", "w").await.expect("leased");
        (d.sent_at, d.status_seen_at) = (Some(bench.after(DAY)), Some(bench.after(DAY)));
        d.sending = Some(Fingerprint { late_until: Some(bench.after(DAY + 45)), ..Fingerprint::default() });
        assert!(bench.save(&d, true).await);
        let mut d = bench.lease(id, 1, "1", "", "w").await.expect("leased");
        assert_eq!((d.sent_at, d.status_seen_at), (Some(bench.now()), None));
        let late_until = d.sending.as_ref().and_then(|sent| sent.late_until);
        assert_eq!(late_until, Some(bench.now() + CALL_LIMIT), "a write of now may be late by one call");
        (d.sent_at, d.status_seen_at) = (Some(bench.after(DAY)), Some(bench.after(2)));
        assert!(bench.save(&d, true).await);
        let leased = bench.store.lease_deliveries(&[d.id], "w", bench.after(90)).await.expect("leased");
        assert_eq!((leased[0].sent_at, leased[0].status_seen_at), (Some(bench.now()), Some(bench.after(2))));
        let fresh = ahead_by(bench, DAY);
        let number = OrderNumber::parse("2").expect("a number");
        let key = DeliveryKey { integration: id, crm_order: CrmOrderId(2), number: &number, prefix: "" };
        let made = fresh.lease_delivery(&key, "ahead", bench.after(DAY + 90)).await.expect("made");
        assert!(made.taken().is_some());
        assert_eq!(bench.lease(id, 2, "2", "", "w").await.expect("leased").created_at, bench.now());
    }

    pub(super) async fn a_slot_won_by_a_clock_that_was_ahead_is_published_today(bench: &Bench) {
        assert!(ahead_by(bench, DAY).win_slot("sync", 7).await.expect("won"));
        let left = bench.store.unpublished_slots(bench.after(-60)).await.expect("listed");
        assert_eq!(left, [("sync".to_owned(), 7)]);
    }

    // Deliveries.

    pub(super) async fn a_number_by_id_that_is_a_real_number_gives_way_to_the_next_free_one(bench: &Bench) {
        let id = bench.integration("").await.id;
        let number = async |order, number: &str| {
            bench.lease(id, order, number, "", "w").await.expect("leased").orderno.as_str().to_owned()
        };
        assert_eq!(number(1, "R7").await, "R7");
        assert_eq!(number(2, "R7-2").await, "R7-2");
        assert_eq!(number(7, "заказ").await, "R7-3");
        assert_eq!(number(8, "R7").await, "R8");
    }

    pub(super) async fn what_ended_is_remembered_for_good_and_its_number_is_never_given_again(bench: &Bench) {
        let id = bench.integration("").await.id;
        let mut delivered = bench.lease(id, 1, "100", "", "w").await.expect("leased");
        delivered.state = DeliveryState::Delivered;
        delivered.status = Some("COMPLETE".to_owned());
        assert!(bench.save(&delivered, true).await);
        let mut cancelled = bench.lease(id, 2, "200", "", "w").await.expect("leased");
        cancelled.state = DeliveryState::Cancelled;
        cancelled.cancelled_by_us = true;
        assert!(bench.save(&cancelled, true).await);
        bench.pass(100 * 24 * 3600);
        assert_eq!(bench.store.forget_deliveries(bench.after(-90 * 24 * 3600), 9).await.expect("forgotten"), 2);
        let number = OrderNumber::parse("100").expect("a number");
        let key = |order| DeliveryKey { integration: id, crm_order: CrmOrderId(order), number: &number, prefix: "" };
        let again = bench.store.lease_delivery(&key(1), "w", bench.after(90)).await.expect("asked");
        let Leased::Over(past) = again else { panic!("{again:?}") };
        assert_eq!((past.orderno.as_str(), past.status.as_deref()), ("100", Some("COMPLETE")));
        assert_eq!(past.state, DeliveryState::Delivered);
        // A `save` brings no row back either.
        bench.store.put_saved_request(&key(1), "{}").await.expect("asked");
        assert!(bench.store.delivery_by_order(id, CrmOrderId(1)).await.expect("read").is_none());
        assert_eq!(bench.lease(id, 3, "100", "", "w").await.expect("leased").orderno.as_str(), "R3", "a used number");
        let anew = bench.lease(id, 2, "200", "", "w").await.expect("what we cancelled may be placed anew");
        assert_eq!((anew.orderno.as_str(), anew.generation), ("200-2", 2));
        assert_eq!(bench.store.past_by_number("100", None).await.expect("read").len(), 1);
    }

    pub(super) async fn what_was_wanted_is_forgotten_once_it_is_of_no_use(bench: &Bench) {
        let id = bench.integration("").await.id;
        let of = |order| OrderRequest { order: Some(CrmOrderId(order)), ..request(bench, id, "x", RequestKind::Send) };
        bench
            .store
            .record_requests(&[of(1), of(2), of(3), request(bench, id, "n", RequestKind::Send)])
            .await
            .expect("recorded");
        bench.lease(id, 1, "x", "", "w").await.expect("leased");
        for intent in bench.claim(id, "w").await {
            if intent.order != Some(CrmOrderId(3)) {
                assert!(bench.leave(&intent, Leave::Served).await);
            }
        }
        bench.pass(9);
        assert_eq!(bench.store.forget_intents(bench.now(), 9).await.expect("forgotten"), 2);
        let kept = async |order| bench.store.intent(id, CrmOrderId(order)).await.expect("read").is_some();
        assert!(kept(1).await, "its delivery is known");
        assert!(!kept(2).await);
        assert!(kept(3).await, "unserved");
    }

    pub(super) async fn a_delivery_is_made_once_and_leased_to_one(bench: &Bench) {
        let id = bench.integration("MS-").await.id;
        let made = bench.lease(id, 4817, "1234A", "MS-", "w1").await.expect("made");
        assert_eq!(made.orderno.as_str(), "MS-1234A");
        assert_eq!((made.state, made.generation, made.prior_fence), (DeliveryState::Planned, 1, 0));
        assert_eq!(made.created_at, bench.now());
        assert!(bench.lease(id, 4817, "1234A", "MS-", "w2").await.is_none(), "held");
        assert!(bench.store.lease_known_delivery(made.id, "w2", bench.after(90)).await.expect("asked").is_none());
        bench.pass(91);
        let taken = bench.lease(id, 4817, "5678B", "MS-", "w2").await.expect("its lease ran out");
        assert_eq!((taken.id, taken.prior_fence), (made.id, made.fence));
        assert_eq!(taken.orderno, made.orderno, "an edited number changes nothing");
        bench.store.release_delivery(&taken).await.expect("released");
        let known = bench.store.lease_known_delivery(made.id, "w3", bench.after(90)).await.expect("asked");
        assert_eq!(known.expect("free").prior_fence, taken.fence);
        let gone = bench.store.lease_known_delivery(DeliveryId(4040), "w3", bench.after(90)).await.expect("asked");
        assert!(gone.is_none());
    }

    pub(super) async fn of_many_that_lease_a_new_delivery_one_gets_it(bench: &Bench) {
        let id = bench.integration("").await.id;
        let owners: Vec<String> = (0..8).map(|n| format!("w{n}")).collect();
        let leased = join_all(owners.iter().map(|owner| bench.lease(id, 1, "1", "", owner))).await;
        assert_eq!(leased.iter().flatten().count(), 1);
    }

    pub(super) async fn a_writer_whose_lease_ran_out_changes_nothing(bench: &Bench) {
        let id = bench.integration("").await.id;
        let mut late = bench.lease(id, 1, "1", "", "w1").await.expect("leased");
        late.state = DeliveryState::Sending;
        assert!(bench.save(&late, false).await, "while it holds");
        bench.pass(91);
        let mut present = bench.lease(id, 1, "1", "", "w2").await.expect("leased");
        assert_eq!(present.state, DeliveryState::Sending, "what was saved is seen");
        late.state = DeliveryState::Created;
        assert!(!bench.save(&late, true).await);
        bench.store.release_delivery(&late).await.expect("harmless");
        assert_eq!(bench.store.renew_deliveries("w1", &[late.id.0], bench.after(900)).await.expect("asked"), 0);
        assert!(bench.lease(id, 1, "1", "", "w3").await.is_none(), "the present holder holds on");
        present.state = DeliveryState::Unknown;
        assert!(bench.save(&present, true).await);
        let read = bench.store.delivery(present.id).await.expect("read").expect("there");
        assert_eq!(read.state, DeliveryState::Unknown);
        assert!(bench.lease(id, 1, "1", "", "w3").await.is_some(), "it let go");
    }

    pub(super) async fn a_delivery_lease_lives_as_long_as_it_is_renewed(bench: &Bench) {
        let id = bench.integration("").await.id;
        let held = bench.lease(id, 1, "1", "", "w1").await.expect("leased");
        for _ in 0..4 {
            bench.pass(60);
            assert_eq!(bench.store.renew_deliveries("w1", &[held.id.0], bench.after(90)).await.expect("renewed"), 1);
            assert!(bench.lease(id, 1, "1", "", "w2").await.is_none());
        }
        assert!(bench.save(&held, false).await, "the fence is still its own");
    }

    pub(super) async fn a_number_that_is_taken_gives_way_to_the_orders_id(bench: &Bench) {
        let id = bench.integration("S-").await.id;
        let other = bench.integration("T-").await.id;
        assert_eq!(bench.lease(id, 1, "12", "S-", "w").await.expect("leased").orderno.as_str(), "S-12");
        assert_eq!(bench.lease(id, 2, "12", "S-", "w").await.expect("leased").orderno.as_str(), "S-R2");
        assert_eq!(bench.lease(other, 3, "12", "T-", "w").await.expect("leased").orderno.as_str(), "T-12");
        bench.pass(91);
        assert_eq!(bench.lease(id, 2, "12", "S-", "w").await.expect("leased").orderno.as_str(), "S-R2", "for good");
    }

    pub(super) async fn every_field_of_a_delivery_is_kept(bench: &Bench) {
        let id = bench.integration("").await.id;
        let mut d = bench.lease(id, 4817, "1234A", "", "w").await.expect("leased");
        d.number = "№ 5 «б»".to_owned();
        d.site = "main-shop".to_owned();
        d.delivery_type = "incity".to_owned();
        d.orderno = OrderNo::known("1234A-2");
        d.ordercode = Some("0003401771".to_owned());
        d.generation = 2;
        d.state = DeliveryState::Partly;
        d.status = Some("PARTIALLY".to_owned());
        d.status_at = Some("2024-05-17T09:41:12Z".parse().expect("a moment"));
        d.status_seen_at = Some("2024-05-17T09:45:00Z".parse().expect("a moment"));
        d.cancelled_by_us = true;
        d.sent_hash = Some("aa".to_owned());
        d.sending_hash = Some("bb".to_owned());
        d.sending = Some(Fingerprint {
            price: Some(Kopecks(-1)),
            extcodes: vec!["3301".to_owned(), "3301-2".to_owned()],
            phone_hash: "cc".to_owned(),
            undeclared_hash: "ee".to_owned(),
            late_until: Some(bench.after(45)),
            cancel_unheard: true,
            earlier: vec![Fingerprint { phone_hash: "dd".to_owned(), ..Fingerprint::default() }],
        });
        d.sent_at = Some(bench.after(-60));
        d.price = Some(Kopecks(i64::MAX));
        d.item_codes = BTreeMap::from([("3301".to_owned(), "77".to_owned())]);
        d.crm_written = CrmWritten {
            external_id: "ms-1-4817".to_owned(),
            track_number: "1234A".to_owned(),
            status: "NEW".to_owned(),
            error: Some("нет телефона".to_owned()),
            owed: Some("нет адреса".to_owned()),
            unseen: 2,
        };
        d.reject_reason = Some("bad_phone".to_owned());
        d.requests = 9;
        assert!(bench.save(&d, false).await);
        assert_eq!(bench.store.delivery(d.id).await.expect("read"), Some(d.clone()));
        for state in DeliveryState::ALL {
            d.state = state;
            assert!(bench.save(&d, false).await);
            assert_eq!(bench.store.delivery(d.id).await.expect("read").expect("there").state, state);
        }
    }

    pub(super) async fn a_delivery_is_found_by_any_of_its_numbers(bench: &Bench) {
        let id = bench.integration("S-").await.id;
        let other = bench.integration("T-").await.id;
        let mut d = bench.lease(id, 4817, "1234A", "S-", "w").await.expect("leased");
        bench.lease(other, 4817, "1234A", "T-", "w").await.expect("leased");
        // The number was edited; a request under the old one is bound to it.
        d.number = "NEW-1".to_owned();
        assert!(bench.save(&d, true).await);
        bench.want(id, "1234A", RequestKind::Send).await;
        let intent = bench.claim_one(id, "w").await;
        let mut tx = bench.store.db.begin().await.expect("begins");
        tx.note_delivery(&intent, d.id).await.expect("noted");
        tx.leave_intent(&intent, Leave::Served, bench.now()).await.expect("left");
        tx.commit().await.expect("committed");
        let find = async |number: &str, integration: Option<IntegrationId>| -> Vec<i64> {
            let found = bench.store.deliveries_by_number(number, integration).await.expect("found");
            found.into_iter().map(|d| d.integration.0).collect()
        };
        assert_eq!(find("NEW-1", None).await, [id.0]);
        assert_eq!(find("S-1234A", None).await, [id.0]);
        assert_eq!(find("1234A", None).await, [id.0, other.0]);
        assert_eq!(find("1234A", Some(other)).await, [other.0]);
        assert_eq!(find("1234", None).await, [0_i64; 0]);
        let by_order = bench.store.delivery_by_order(id, CrmOrderId(4817)).await.expect("read");
        assert_eq!(by_order.map(|d| d.id), Some(d.id));
    }

    // Journal.

    fn entry(bench: &Bench, what: What, text: &str) -> Entry {
        Entry::new(bench.now(), what, text)
    }

    pub(super) async fn the_timeline_of_an_order_is_in_order_of_time(bench: &Bench) {
        let id = bench.integration("").await.id;
        let other = bench.integration("B-").await.id;
        let full = Entry {
            vendor: Some("measoft"),
            op: Some("neworder".to_owned()),
            outcome: Some("ok".to_owned()),
            duration: Some(Duration::from_millis(120)),
            http_status: Some(200),
            request: Some("<neworder/>".to_owned()),
            response: Some("<ok/>".to_owned()),
            ..Entry::new(bench.after(2), What::Call, "").about(id, "1234A").orderno("MS-1")
        };
        bench
            .store
            .append_journal(&[
                full,
                entry(bench, What::Trigger, "first").about(id, "1234A"),
                Entry::new(bench.after(3), What::Status, "under our number only").orderno("MS-1"),
                Entry::new(bench.after(1), What::Decision, "of a neighbour").about(other, "1234A"),
                entry(bench, What::Crm, "another order").about(id, "9"),
            ])
            .await
            .expect("written");
        let texts = async |ordernos: &[&str], integration: Option<IntegrationId>| -> Vec<String> {
            let ordernos: Vec<String> = ordernos.iter().map(|o| (*o).to_owned()).collect();
            let found = bench.store.timeline("1234A", &ordernos, integration).await.expect("read");
            found.into_iter().map(|kept| format!("{}:{}", kept.what.as_str(), kept.text)).collect()
        };
        assert_eq!(
            texts(&["MS-1"], None).await,
            ["trigger:first", "decision:of a neighbour", "call:", "status:under our number only"]
        );
        assert_eq!(texts(&[], Some(id)).await, ["trigger:first", "call:"]);
        let call = bench.store.timeline("1234A", &[], Some(id)).await.expect("read").remove(1);
        assert_eq!((call.vendor.as_deref(), call.op.as_deref()), (Some("measoft"), Some("neworder")));
        assert_eq!((call.duration_ms, call.http_status), (Some(120), Some(200)));
        assert_eq!((call.request.as_deref(), call.response.as_deref()), (Some("<neworder/>"), Some("<ok/>")));
        assert_eq!((call.at, call.outcome.as_deref()), (bench.after(2), Some("ok")));
    }

    pub(super) async fn a_search_takes_every_character_as_itself(bench: &Bench) {
        let id = bench.integration("").await.id;
        let texts = ["скидка 10% на всё", "скидка 10 на всё", "a_b", "axb", r"c:\d", "c:d", "Order not Found", "x'y"];
        for (n, text) in texts.iter().enumerate() {
            let at = bench.after(n.try_into().expect("small"));
            let line = match n % 3 {
                0 => Entry::new(at, What::Call, *text),
                1 => Entry { request: Some((*text).to_owned()), ..Entry::new(at, What::Call, "") },
                _ => Entry { response: Some((*text).to_owned()), ..Entry::new(at, What::Call, "") },
            };
            bench.store.append_journal(&[line.about(id, format!("N-{n}"))]).await.expect("written");
        }
        let find = async |text: &str| -> Vec<String> {
            let search = Search { text: Some(text.to_owned()), limit: 50, ..Search::default() };
            let found = bench.store.search_journal(&search).await.expect("found");
            found.into_iter().filter_map(|kept| kept.number).collect()
        };
        assert_eq!(find("10%").await, ["N-0"]);
        assert_eq!(find("a_b").await, ["N-2"]);
        assert_eq!(find(r":\").await, ["N-4"]);
        assert_eq!(find("x'y").await, ["N-7"]);
        assert_eq!(find("N-3").await, ["N-3"], "in the number");
        assert_eq!(find("order NOT found").await, ["N-6"], "whatever the case");
        assert_eq!(find("скидка").await, ["N-1", "N-0"], "newest first");
        assert_eq!(find("nothing of the kind").await, [""; 0]);
    }

    pub(super) async fn a_search_is_narrowed(bench: &Bench) {
        let id = bench.integration("").await.id;
        let other = bench.integration("B-").await.id;
        for (n, integration) in [id, other, id, id].into_iter().enumerate() {
            let at = bench.after(n.try_into().expect("small"));
            let line = Entry::new(at, What::Crm, "x").about(integration, format!("N-{n}"));
            bench.store.append_journal(&[line]).await.expect("written");
        }
        let find = async |search: Search| -> Vec<String> {
            let found = bench.store.search_journal(&search).await.expect("found");
            found.into_iter().filter_map(|kept| kept.number).collect()
        };
        assert_eq!(find(Search { limit: 2, ..Search::default() }).await, ["N-3", "N-2"]);
        assert_eq!(find(Search { integration: Some(other), limit: 9, ..Search::default() }).await, ["N-1"]);
        let since = Some(bench.after(2));
        assert_eq!(find(Search { since, integration: Some(id), limit: 9, ..Search::default() }).await, ["N-3", "N-2"]);
    }

    /// PostgreSQL refuses NUL in a text; whatever brings one must not stop the work.
    pub(super) async fn a_nul_in_a_text_stops_nothing(bench: &Bench) {
        let id = bench.integration("").await.id;
        let line = Entry {
            request: Some("a\0b".to_owned()),
            response: Some("\0".to_owned()),
            outcome: Some("o\0".to_owned()),
            ..entry(bench, What::Call, "broken \0 answer").about(id, "1\u{0}2").orderno("MS\0")
        };
        bench.store.append_journal(&[line]).await.expect("written");
        let found = bench.store.search_journal(&Search { limit: 9, ..Search::default() }).await.expect("found");
        assert_eq!(found[0].text, "broken \u{fffd} answer");
        bench.want(id, "1\u{0}2", RequestKind::Send).await;
        assert_eq!(bench.claim_one(id, "w").await.number.as_str(), "1\u{fffd}2");
        let letter =
            NewDeadLetter { detail: "\0".to_owned(), ..dead(Some(id), Some("1\u{0}2"), "conflict", Fault::Shop) };
        bench.add_dead_letter(&letter).await;
        assert_eq!(bench.store.timeline("1\u{0}2", &[], None).await.expect("read").len(), 1);
    }

    pub(super) async fn old_entries_are_forgotten_bit_by_bit(bench: &Bench) {
        let id = bench.integration("").await.id;
        for n in 0..10 {
            let line = Entry::new(bench.after(n), What::Call, format!("{n}")).about(id, "1");
            bench.store.append_journal(&[line]).await.expect("written");
        }
        let forget = async |before: i64| bench.store.forget_journal(bench.after(before), 4).await.expect("forgotten");
        assert_eq!((forget(6).await, forget(6).await, forget(6).await), (4, 2, 0));
        let left = bench.store.timeline("1", &[], None).await.expect("read");
        assert_eq!(left.iter().map(|kept| kept.text.as_str()).collect::<Vec<_>>(), ["6", "7", "8", "9"]);
    }

    pub(super) async fn what_was_written_is_there_after_a_flush(bench: &Bench) {
        let journal = Journal::start(bench.store.clone());
        for n in 0..500 {
            journal.write(entry(bench, What::Call, &format!("{n}")));
        }
        journal.flush().await;
        let found = bench.store.search_journal(&Search { limit: 1000, ..Search::default() }).await.expect("found");
        assert_eq!(found.len(), 500);
        journal.flush().await;
    }

    // Dead letters.

    pub(super) async fn a_repeated_failure_is_one_dead_letter_with_a_counter(bench: &Bench) {
        let id = bench.integration("").await.id;
        let first = bench.add_dead_letter(&dead(Some(id), Some("1"), "bad_phone", Fault::Shop)).await;
        bench.pass(60);
        let again = NewDeadLetter {
            detail: "как стало".to_owned(),
            tries: 5,
            delivery: Some(DeliveryId(9)),
            ..dead(Some(id), Some("1"), "bad_phone", Fault::Shop)
        };
        assert_eq!(bench.add_dead_letter(&again).await, first);
        let letter = bench.store.dead_letter(first).await.expect("read").expect("there");
        assert_eq!((letter.attempts, letter.tries, letter.detail.as_str()), (2, 5, "как стало"));
        assert_eq!((letter.created_at, letter.updated_at), (bench.after(-60), bench.now()));
        assert_eq!(letter.delivery, Some(DeliveryId(9)));
        let mut others = vec![first];
        others.push(bench.add_dead_letter(&dead(Some(id), Some("1"), "no_address", Fault::Shop)).await);
        others.push(bench.add_dead_letter(&dead(Some(id), Some("2"), "bad_phone", Fault::Shop)).await);
        let update =
            NewDeadLetter { kind: "UpdateOrder".to_owned(), ..dead(Some(id), Some("1"), "bad_phone", Fault::Shop) };
        others.push(bench.add_dead_letter(&update).await);
        others.dedup();
        assert_eq!(others.len(), 4, "another reason, order or kind is another letter");
        let raw = NewDeadLetter { raw: Some(vec![0, 255, 1]), ..dead(None, None, "undecodable", Fault::Bridge) };
        let unreadable = bench.add_dead_letter(&raw).await;
        assert_ne!(bench.add_dead_letter(&raw).await, unreadable, "messages nobody can read stay apart");
        let kept = bench.store.dead_letter(unreadable).await.expect("read").expect("there");
        assert_eq!(kept.raw, Some(vec![0, 255, 1]));
    }

    pub(super) async fn dead_letters_are_listed_as_asked(bench: &Bench) {
        let id = bench.integration("").await.id;
        let other = bench.integration("B-").await.id;
        let a = bench.add_dead_letter(&dead(Some(id), Some("1"), "bad_phone", Fault::Shop)).await;
        bench.pass(60);
        let b = bench.add_dead_letter(&dead(Some(other), Some("2"), "crm_refused", Fault::Crm)).await;
        let c = bench.add_dead_letter(&dead(None, None, "undecodable", Fault::Bridge)).await;
        let mut tx = bench.store.db.begin().await.expect("begins");
        assert!(tx.close_dead_letter(c, DeadState::Discarded, "мусор", bench.now()).await.expect("closed"));
        assert!(!tx.close_dead_letter(c, DeadState::Replayed, "", bench.now()).await.expect("asked"), "only once");
        tx.commit().await.expect("committed");
        assert_eq!(bench.dead(DeadFilter::default()).await, [a, b]);
        assert_eq!(bench.dead(DeadFilter { all: true, ..DeadFilter::default() }).await, [a, b, c]);
        assert_eq!(bench.dead(DeadFilter { integration: Some(other), ..DeadFilter::default() }).await, [b]);
        assert_eq!(bench.dead(DeadFilter { fault: Some(Fault::Shop), ..DeadFilter::default() }).await, [a]);
        let reason = Some("crm_refused".to_owned());
        assert_eq!(bench.dead(DeadFilter { reason, ..DeadFilter::default() }).await, [b]);
        assert_eq!(bench.dead(DeadFilter { since: Some(bench.now()), ..DeadFilter::default() }).await, [b]);
        let none = DeadFilter { integration: Some(id), fault: Some(Fault::Crm), ..DeadFilter::default() };
        assert_eq!(bench.dead(none).await, [0_i64; 0]);
        bench.add_dead_letter(&dead(None, None, "poison", Fault::Bridge)).await;
        let mut open = bench.store.open_dead_letters_by_integration().await.expect("counted");
        open.sort_unstable();
        let expected = [(None, Fault::Bridge, 1), (Some(id), Fault::Shop, 1), (Some(other), Fault::Crm, 1)];
        assert_eq!(open, expected);
        let closed = bench.store.dead_letter(c).await.expect("read").expect("there");
        assert_eq!((closed.state, closed.closed_why.as_deref()), (DeadState::Discarded, Some("мусор")));
    }

    pub(super) async fn a_success_resolves_what_was_open_for_its_order(bench: &Bench) {
        let id = bench.integration("").await.id;
        let other = bench.integration("B-").await.id;
        let mine = bench.add_dead_letter(&dead(Some(id), Some("1"), "bad_phone", Fault::Shop)).await;
        bench.add_dead_letter(&dead(Some(id), Some("1"), "no_address", Fault::Shop)).await;
        let neighbour = bench.add_dead_letter(&dead(Some(other), Some("1"), "bad_phone", Fault::Shop)).await;
        let other_order = bench.add_dead_letter(&dead(Some(id), Some("2"), "bad_phone", Fault::Shop)).await;
        let of_kind = |kind: &str, reason| NewDeadLetter {
            kind: kind.to_owned(),
            ..dead(Some(id), Some("1"), reason, Fault::Bridge)
        };
        // A cancel that never came in concerns others too; one that was worked on here does not.
        let never_came_in = bench.add_dead_letter(&of_kind("CancelOrder", "unroutable")).await;
        bench.add_dead_letter(&of_kind("CancelOrder", "too_late")).await;
        bench.add_dead_letter(&of_kind("SendOrder", "unroutable")).await;
        let mut tx = bench.store.db.begin().await.expect("begins");
        assert_eq!(tx.resolve_dead_letters(id, CrmOrderId(1), "1", bench.now()).await.expect("resolved"), 4);
        tx.commit().await.expect("committed");
        assert_eq!(bench.dead(DeadFilter::default()).await, [neighbour, other_order, never_came_in]);
        let resolved = bench.store.dead_letter(mine).await.expect("read").expect("there");
        assert_eq!(resolved.state, DeadState::Resolved);
        let anew = bench.add_dead_letter(&dead(Some(id), Some("1"), "bad_phone", Fault::Shop)).await;
        assert_ne!(anew, mine, "what is closed is not counted on");
    }

    pub(super) async fn letters_of_two_orders_with_one_number_are_told_apart(bench: &Bench) {
        let id = bench.integration("").await.id;
        let letter = dead(Some(id), Some("7001"), "bad_phone", Fault::Shop);
        let add_dead_letter = async |order: Option<i64>, letter: &NewDeadLetter| {
            let mut tx = bench.store.db.begin().await.expect("begins");
            let dead_lettered =
                tx.add_dead_letter_of(order.map(CrmOrderId), letter, bench.now()).await.expect("buried");
            tx.commit().await.expect("committed");
            dead_lettered
        };
        let (one, two) = (add_dead_letter(Some(1), &letter).await, add_dead_letter(Some(2), &letter).await);
        assert_ne!(one, two);
        assert_eq!(add_dead_letter(Some(1), &letter).await, one, "its own repeat is counted");
        let newest = bench.store.newest_dead_letter(id, CrmOrderId(2), bench.after(-9)).await.expect("read");
        assert_eq!(newest.map(|letter| letter.id), Some(two));
        let of_number = |reason| dead(Some(id), Some("7001"), reason, Fault::Shop);
        let not_found = add_dead_letter(None, &of_number("order_not_found")).await;
        let ambiguous = add_dead_letter(None, &of_number("ambiguous_number")).await;
        let resolve = async |order: i64| {
            let mut tx = bench.store.db.begin().await.expect("begins");
            tx.resolve_dead_letters(id, CrmOrderId(order), "7001", bench.now()).await.expect("resolved");
            tx.commit().await.expect("committed");
            bench.dead(DeadFilter::default()).await
        };
        assert_eq!(resolve(1).await, [two, ambiguous], "not the neighbour's, and which is meant is open");
        assert!(not_found < ambiguous);
        assert_eq!(resolve(2).await, [ambiguous]);
    }

    pub(super) async fn a_letter_about_several_orders_is_answered_by_all_of_them(bench: &Bench) {
        let id = bench.integration("").await.id;
        let naming = |orders: &[i64]| NewDeadLetter {
            detail: name_orders(&orders.iter().copied().map(CrmOrderId).collect::<Vec<_>>()),
            ..dead(Some(id), Some("7001"), "ambiguous_number", Fault::Shop)
        };
        let letter = bench.add_dead_letter(&naming(&[11, 12])).await;
        assert_eq!(bench.add_dead_letter(&naming(&[12, 13])).await, letter);
        let read = bench.store.dead_letter(letter).await.expect("read").expect("there");
        assert_eq!(read.detail, "RetailCRM ids 11, 12, 13", "those named before stay named");
        let other = bench.add_dead_letter(&NewDeadLetter { number: Some("7002".into()), ..naming(&[14]) }).await;
        let look = async |order: i64, has_left: bool, sql: &str| {
            let mut tx = bench.store.db.begin().await.expect("begins");
            tx.exec(sql, vec![]).await.expect("written");
            tx.resolve_ambiguous(id, CrmOrderId(order), has_left, bench.now()).await.expect("resolved");
            tx.commit().await.expect("committed");
            bench.dead(DeadFilter::default()).await
        };
        let delivery = |order: i64, number: &str, state: &str| {
            format!(
                "INSERT INTO deliveries (integration_id, crm_order_id, number, orderno, state, created_at, updated_at) \
                 VALUES ({id}, {order}, '{number}', 'N{order}', '{state}', 1, 1)"
            )
        };
        // By whatever number it goes now, but not before it is placed.
        assert_eq!(look(11, false, &delivery(11, "7001-A", "rejected")).await, [letter, other]);
        let placed = "UPDATE deliveries SET state = 'created' WHERE crm_order_id = 11";
        assert_eq!(look(11, false, placed).await, [letter, other]);
        let over = format!(
            "INSERT INTO past_deliveries (integration_id, crm_order_id, number, orderno, generation, state, ended_at) \
             VALUES ({id}, 12, '7001', '7001', 1, 'delivered', 1)"
        );
        assert_eq!(look(12, false, &over).await, [letter, other]);
        let cancelled = format!(
            "INSERT INTO order_intents (integration_id, crm_order_id, number, requested, served, send_seq, cancel_seq, \
             due_at, wanted_at, created_at, updated_at) VALUES ({id}, 13, '7001', 2, 2, 1, 2, 1, 1, 1, 1)"
        );
        // A cancel that was served may have meant another; an order that left is named no more.
        assert_eq!(look(13, false, &cancelled).await, [letter, other]);
        let nothing = "UPDATE order_intents SET number = number";
        assert_eq!(look(12, true, nothing).await, [letter, other]);
        let read = bench.store.dead_letter(letter).await.expect("read").expect("there");
        assert_eq!(read.detail, "RetailCRM ids 11, 13");
        assert_eq!(look(13, true, nothing).await, [other]);
        assert_eq!(look(14, true, nothing).await, [0; 0]);
    }

    pub(super) async fn a_payment_that_is_settled_answers_its_own_orders_letter(bench: &Bench) {
        let id = bench.integration("").await.id;
        let of_payment = dead(Some(id), Some("7001"), "payment_conflict", Fault::Crm);
        let of_payment = NewDeadLetter { kind: "SyncPayments".into(), ..of_payment };
        let add_dead_letter = async |order: i64, number: &str| {
            let mut tx = bench.store.db.begin().await.expect("begins");
            let letter = NewDeadLetter { number: Some(number.into()), ..of_payment.clone() };
            let id = tx.add_dead_letter_of(Some(CrmOrderId(order)), &letter, bench.now()).await.expect("buried");
            tx.commit().await.expect("committed");
            id
        };
        let (_, neighbour) = (add_dead_letter(1, "7001").await, add_dead_letter(2, "7001").await);
        let mut tx = bench.store.db.begin().await.expect("begins");
        let closed = tx
            .resolve_dead_letters_of_order(id, CrmOrderId(1), DeliveryId(99), "SyncPayments", bench.now())
            .await
            .expect("resolved");
        tx.resolve_dead_letters_of(id, Some("7001"), "SyncPayments", bench.now()).await.expect("nothing");
        tx.commit().await.expect("committed");
        assert_eq!(closed, 1);
        assert_eq!(bench.dead(DeadFilter::default()).await, [neighbour]);
    }

    // Jobs.

    async fn claimed(bench: &Bench, lane: Option<Lane>, owner: &str) -> Vec<(String, i64)> {
        let jobs = bench.store.claim_jobs(lane, owner, SOON, 10).await.expect("claimed");
        jobs.into_iter().map(|job| (job.id, job.deliveries)).collect()
    }

    pub(super) async fn a_message_stored_twice_is_one(bench: &Bench) {
        let message = job("m", Lane::Interactive, bench.now());
        let other_body = NewJob { body: b"late".to_vec(), ..message.clone() };
        bench.store.enqueue(&[message.clone(), message.clone()]).await.expect("stored");
        bench.store.enqueue(&[other_body]).await.expect("stored");
        let jobs = bench.store.claim_jobs(Some(Lane::Interactive), "a", SOON, 10).await.expect("claimed");
        assert_eq!(jobs.len(), 1);
        assert_eq!(jobs[0].body, message.body, "the first one stands");
    }

    pub(super) async fn messages_are_handed_out_when_due_and_oldest_first(bench: &Bench) {
        let jobs = [
            job("third", Lane::Interactive, bench.after(3)),
            job("first", Lane::Interactive, bench.after(1)),
            job("later", Lane::Interactive, bench.after(100)),
            job("second", Lane::Interactive, bench.after(2)),
            job("bulk", Lane::Bulk, bench.after(1)),
        ];
        bench.store.enqueue(&jobs).await.expect("stored");
        assert_eq!(bench.store.next_job_due(Lane::Interactive).await.expect("asked"), Some(bench.after(1)));
        assert_eq!(bench.store.next_job_due(Lane::Rpc).await.expect("asked"), None);
        assert_eq!(claimed(bench, Some(Lane::Interactive), "a").await, []);
        bench.pass(3);
        let two = bench.store.claim_jobs(Some(Lane::Interactive), "a", SOON, 2).await.expect("claimed");
        assert_eq!(two.iter().map(|job| job.id.as_str()).collect::<Vec<_>>(), ["first", "second"]);
        let rest = claimed(bench, None, "b").await;
        assert_eq!(rest.len(), 2, "the third and the bulk one: {rest:?}");
        let mut counts = bench.store.job_counts().await.expect("counted");
        counts.sort_unstable();
        assert_eq!(counts, [(Lane::Interactive, 4), (Lane::Bulk, 1)]);
        assert_eq!(bench.store.next_job_due(Lane::Interactive).await.expect("asked"), Some(bench.after(60)));
    }

    pub(super) async fn a_settled_message_is_gone_and_only_its_holder_settles_it(bench: &Bench) {
        bench.store.enqueue(&[job("m", Lane::Bulk, bench.now())]).await.expect("stored");
        assert_eq!(claimed(bench, None, "a").await, [("m".to_owned(), 0)]);
        let id = ["m".to_owned()];
        assert_eq!(bench.store.finish_jobs("b", &id).await.expect("asked"), 0);
        bench.store.hand_back_jobs("b", &id).await.expect("asked");
        assert_eq!(claimed(bench, None, "b").await, [], "a still holds it");
        assert_eq!(bench.store.finish_jobs("a", &id).await.expect("settled"), 1);
        bench.pass(3600);
        assert_eq!(claimed(bench, None, "b").await, []);
    }

    pub(super) async fn a_message_handed_back_is_free_at_once(bench: &Bench) {
        bench.store.enqueue(&[job("m", Lane::Bulk, bench.now())]).await.expect("stored");
        claimed(bench, None, "a").await;
        bench.store.hand_back_jobs("a", &["m".to_owned()]).await.expect("handed back");
        assert_eq!(claimed(bench, None, "b").await, [("m".to_owned(), 1)], "and says that it was out before");
    }

    pub(super) async fn a_message_whose_holder_died_comes_back(bench: &Bench) {
        bench.store.enqueue(&[job("m", Lane::Bulk, bench.now())]).await.expect("stored");
        claimed(bench, None, "dead").await;
        bench.pass(59);
        assert_eq!(claimed(bench, None, "b").await, []);
        bench.pass(1);
        assert_eq!(claimed(bench, None, "b").await, [("m".to_owned(), 1)]);
        assert_eq!(bench.store.finish_jobs("dead", &["m".to_owned()]).await.expect("asked"), 0, "no longer its own");
    }

    pub(super) async fn no_message_is_handed_to_two(bench: &Bench) {
        let jobs: Vec<NewJob> = (0..60).map(|n| job(&format!("m{n}"), Lane::Interactive, bench.now())).collect();
        bench.store.enqueue(&jobs).await.expect("stored");
        let owners: Vec<String> = (0..6).map(|n| format!("w{n}")).collect();
        let all = join_all(owners.iter().map(|owner| claimed(bench, Some(Lane::Interactive), owner))).await;
        let mut ids: Vec<String> = all.into_iter().flatten().map(|(id, _)| id).collect();
        let handed_out = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), handed_out);
        assert!(handed_out >= 10);
    }

    pub(super) async fn what_is_rolled_back_was_never_published(bench: &Bench) {
        let mut tx = bench.store.db.begin().await.expect("begins");
        tx.enqueue(&job("m", Lane::Bulk, bench.now()), bench.now()).await.expect("stored");
        drop(tx);
        assert_eq!(claimed(bench, None, "a").await, []);
    }

    // Slots, leases, cursors.

    pub(super) async fn a_slot_is_won_once(bench: &Bench) {
        let stores = join_all((0..8).map(|_| bench.neighbour())).await;
        for slot in 0..5 {
            let won = join_all(stores.iter().map(|store| store.win_slot("sync", slot))).await;
            assert_eq!(won.into_iter().filter(|won| *won.as_ref().expect("asked")).count(), 1, "slot {slot}");
        }
        assert!(bench.store.win_slot("retention", 0).await.expect("asked"), "another job");
        for store in stores {
            if bench.store.db.dialect() == Dialect::Sqlite {
                store.db.close().await;
            }
        }
    }

    pub(super) async fn a_slot_that_was_won_and_never_published_is_found(bench: &Bench) {
        for slot in 0..3 {
            assert!(bench.store.win_slot("sync", slot).await.expect("won"));
            bench.pass(10);
        }
        bench.store.slot_published("sync", 1).await.expect("noted");
        let open = bench.store.unpublished_slots(bench.after(-5)).await.expect("listed");
        assert_eq!(open, [("sync".to_owned(), 0), ("sync".to_owned(), 2)]);
        let old = bench.store.unpublished_slots(bench.after(-10)).await.expect("listed");
        assert_eq!(old, [("sync".to_owned(), 0)]);
        assert_eq!(bench.store.forget_slots(bench.after(-15)).await.expect("forgotten"), 2);
    }

    /// A replica that was behind when it took over: rows are gone, sequences count again.
    async fn behind(bench: &Bench) {
        let sets: &[&str] = match bench.store.db.dialect() {
            Dialect::Sqlite => &["DELETE FROM sqlite_sequence WHERE name <> 'integrations'"],
            Dialect::Postgres => &[
                "SELECT setval('deliveries_id_seq', 1, false)",
                "SELECT setval('intents_id_seq', 1, false)",
                "SELECT setval('order_intents_id_seq', 1, false)",
            ],
        };
        for table in ["deliveries", "intents", "order_intents", "leases"] {
            bench.store.db.exec(format!("DELETE FROM {table}"), vec![]).await.expect("lost");
        }
        for set in sets {
            bench.store.db.exec_returning(*set, vec![]).await.expect("set back");
        }
    }

    pub(super) async fn a_late_result_lands_in_no_other_orders_row(bench: &Bench) {
        let integration = bench.integration("").await.id;
        for round in 0..20_i64 {
            let (first, second) = (CrmOrderId(2 * round + 1), CrmOrderId(2 * round + 2));
            let mut request = request(bench, integration, "1A", RequestKind::Send);
            request.order = Some(first);
            bench.record(request.clone()).await;
            let intent = bench.claim_one(integration, "frozen").await;
            let mut late = bench.lease(integration, first.0, "1A", "", "frozen").await.expect("free");
            let stream = bench.lease_of_stream("frozen").await;
            behind(bench).await;
            (request.order, request.command_id) = (Some(second), Uuid::now_v7().to_string());
            request.number = OrderNumber::parse("2A").expect("a number");
            bench.record(request).await;
            let other = bench.claim_one(integration, "other").await;
            let others = bench.lease(integration, second.0, "2A", "", "other").await.expect("free");
            bench.lease_of_stream("other").await;
            if bench.store.db.dialect() == Dialect::Postgres {
                assert_ne!((others.id, other.id), (late.id, intent.id), "ids do not repeat either");
            }
            // Sent, and only now settled.
            (late.state, late.price) = (DeliveryState::Created, Some(Kopecks(1)));
            assert!(!bench.save(&late, true).await && !bench.leave(&intent, Leave::Served).await);
            bench.suspect(&intent).await;
            bench.store.release_intent(&intent).await.expect("harmless");
            bench.store.release_delivery(&late).await.expect("harmless");
            let renewed = bench.store.renew_lease(&stream, bench.after(900)).await.expect("asked");
            assert!(!renewed, "nor does the lease of a stream");
            let held = bench.store.delivery(others.id).await.expect("read").expect("there");
            assert_eq!((&held, held.price), (&others, None));
            let wanted = bench.store.intent(integration, second).await.expect("read").expect("there");
            assert_eq!((wanted.verify, wanted.served, wanted.fence), (false, 0, other.fence));
            behind(bench).await;
        }
    }

    /// Even where id and fence were the same, as the release before counted them.
    pub(super) async fn every_write_names_its_own_order(bench: &Bench) {
        let integration = bench.integration("").await.id;
        let mut late = bench.lease(integration, 1, "1A", "", "w1").await.expect("free");
        let others = bench.lease(integration, 2, "2A", "", "w2").await.expect("free");
        (late.id, late.fence) = (others.id, others.fence);
        late.state = DeliveryState::Created;
        assert!(!bench.save(&late, true).await);
        assert_eq!(bench.store.still_held(&[&late]).await.expect("asked"), []);
        bench.store.release_delivery(&late).await.expect("harmless");
        assert_eq!(bench.store.delivery(others.id).await.expect("read"), Some(others));
    }

    pub(super) async fn what_a_dead_holder_held_is_free_and_looked_at_first(bench: &Bench) {
        let integration = bench.integration("").await.id;
        for (order, number) in [(1, "1A"), (2, "2A")] {
            let mut request = request(bench, integration, number, RequestKind::Send);
            request.order = Some(CrmOrderId(order));
            bench.record(request).await;
        }
        let held = bench.claim(integration, "dead").await;
        let mut sending = bench.lease(integration, 1, "1A", "", "dead").await.expect("free");
        sending.state = DeliveryState::Sending;
        assert!(bench.save(&sending, false).await);
        bench.lease(integration, 2, "2A", "", "dead").await.expect("free");
        bench.lease_of_stream("dead").await;
        bench.lease(integration, 3, "3A", "", "alive").await.expect("free");
        assert!(bench.claim(integration, "next").await.is_empty());
        match bench.store.db.dialect() {
            Dialect::Sqlite => bench.store.free_all_leases().await.expect("freed"),
            Dialect::Postgres => {
                let key = shared::crypto::random_number();
                let sign = bench.store.announce("dead", key).await.expect("announced").expect("free");
                assert!(bench.store.announce("other", key).await.expect("asked").is_none(), "it has one holder");
                assert_eq!(bench.store.dead_holders().await.expect("asked"), Vec::<String>::new());
                assert_eq!(bench.store.take_over("dead").await.expect("asked"), None, "it lives");
                drop(sign);
                let began = std::time::Instant::now();
                while bench.store.dead_holders().await.expect("asked") != ["dead"] {
                    assert!(began.elapsed() < Duration::from_secs(60), "never");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                assert_eq!(bench.store.take_over("dead").await.expect("asked"), Some(2));
                assert_eq!(bench.store.take_over("dead").await.expect("asked"), None, "once");
                assert!(bench.lease(integration, 3, "3A", "", "next").await.is_none(), "others keep theirs");
            }
        }
        let mut next = bench.claim(integration, "next").await;
        next.sort_by_key(|intent| intent.order);
        let verify: Vec<bool> = next.iter().map(|intent| intent.verify).collect();
        assert_eq!(verify, [true, false], "only what may have been sent is looked at");
        let again = bench.lease(integration, 1, "1A", "", "next").await.expect("free at once");
        assert_ne!(again.prior_fence, sending.fence, "not held by it any more");
        assert!(!bench.save(&sending, true).await, "and it cannot write, had it only been away");
        assert!(!bench.leave(&held[0], Leave::Served).await);
        bench.lease_of_stream("next").await;
    }

    pub(super) async fn a_named_lease_has_one_holder_and_a_fence(bench: &Bench) {
        let take = async |owner: &str| bench.store.take_lease("poll", owner, bench.after(90)).await.expect("asked");
        let first = take("w1").await.expect("free");
        assert!(take("w2").await.is_none());
        bench.pass(60);
        assert!(bench.store.renew_lease(&first, bench.after(90)).await.expect("renewed"));
        bench.pass(91);
        let second = take("w2").await.expect("ran out");
        assert_ne!(second.fence, first.fence);
        assert!(!bench.store.renew_lease(&first, bench.after(90)).await.expect("asked"));
        let mut tx = bench.store.db.begin().await.expect("begins");
        assert!(!tx.holds_lease(&first).await.expect("asked"));
        assert!(tx.holds_lease(&second).await.expect("asked"));
        tx.commit().await.expect("committed");
        bench.store.release_lease(&first).await.expect("harmless");
        assert!(take("w3").await.is_none());
        bench.store.release_lease(&second).await.expect("released");
        assert!(take("w3").await.is_some());
    }

    async fn set_cursor(bench: &Bench, value: &str) {
        let mut tx = bench.store.db.begin().await.expect("begins");
        tx.set_cursor("history", value, bench.now()).await.expect("kept");
        tx.commit().await.expect("commits");
    }

    pub(super) async fn cursors_and_reference_lists_are_kept(bench: &Bench) {
        let id = bench.integration("").await.id;
        assert_eq!(bench.store.cursor("history").await.expect("read"), None);
        set_cursor(bench, "17").await;
        bench.pass(5);
        set_cursor(bench, "18").await;
        assert_eq!(bench.store.cursor("history").await.expect("read"), Some(("18".to_owned(), bench.now())));
        bench.store.keep_reference(id, "types", "[1]").await.expect("kept");
        bench.store.keep_reference(id, "types", "[2]").await.expect("kept");
        assert_eq!(bench.store.reference(id, "types").await.expect("read"), Some(("[2]".to_owned(), bench.now())));
        assert_eq!(bench.store.reference(id, "sites").await.expect("read"), None);
    }

    // Budgets.

    fn window(scope: &str, limit: u32, seconds: u64) -> Window {
        Window::new(scope.to_owned(), limit, Duration::from_secs(seconds) / SLICES)
    }

    /// Requests that count in a window now.
    async fn used(bench: &Bench, window: &Window) -> i64 {
        let length = i64::try_from(window.slice.as_millis()).expect("short");
        let now = bench.now().as_millisecond().div_euclid(length);
        let sql = "SELECT CAST(COALESCE(SUM(used), 0) AS BIGINT) AS used FROM budget_slices WHERE scope = $1 AND slice \
                   BETWEEN $2 AND $3";
        let row = bench.store.db.fetch_one(sql, args![&window.scope, now - i64::from(SLICES) - 1, now]).await;
        row.expect("read").expect("a row").int("used").expect("a number")
    }

    async fn take_of(bench: &Bench, windows: &[Window], block: u32, leave_some: bool) -> Result<u32, Timestamp> {
        bench.store.take_budget(windows, block, leave_some).await.expect("asked").map(|taken| taken.count)
    }

    /// Requests taken in the `length` before each take, at most.
    fn most_in_any_window(taken: &[(Timestamp, u32)], length: Duration) -> u32 {
        let inside = |until: Timestamp| {
            let from = until.as_millisecond() - i64::try_from(length.as_millis()).expect("short");
            taken.iter().filter(|(at, _)| at.as_millisecond() > from && *at <= until).map(|(_, n)| n).sum()
        };
        taken.iter().map(|(at, _)| inside(*at)).max().unwrap_or(0)
    }

    /// Two takers that want all they can get, for an hour of the clock.
    pub(super) async fn a_budget_is_never_exceeded_in_any_window(bench: &Bench) {
        let windows = [window("minute", 30, 60), window("quarter", 200, 900)];
        let neighbour = bench.neighbour().await;
        let mut taken: Vec<(Timestamp, u32)> = Vec::new();
        let end = bench.after(3600);
        // Steps that divide nothing evenly; the same in every run.
        let mut noise = 7_u64;
        while bench.now() < end {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let block = 1 + u32::try_from((noise >> 33) % 9).expect("small");
            let (a, b) = tokio::join!(
                bench.store.take_budget(&windows, block, false),
                neighbour.take_budget(&windows, block, false)
            );
            for answer in [a, b] {
                match answer.expect("asked") {
                    Ok(Taken { count: n, at }) => {
                        assert!(n >= 1 && n <= block);
                        taken.push((at, n));
                    }
                    Err(free_at) => assert!(free_at > bench.now(), "a refusal names a later moment"),
                }
            }
            bench.clock().advance(Duration::from_millis(2_000 + (noise >> 40) % 26_000));
        }
        assert!(most_in_any_window(&taken, Duration::from_secs(60)) <= 30);
        assert!(most_in_any_window(&taken, Duration::from_secs(900)) <= 200);
        // The price of counting by slices is a sixth: twelve of them are looked at.
        let total: u32 = taken.iter().map(|(_, n)| n).sum();
        assert!(total >= 200 * 4 * 8 / 10, "the budget is used too: {total} of 800");
        if bench.store.db.dialect() == Dialect::Sqlite {
            neighbour.db.close().await;
        }
    }

    pub(super) async fn a_used_up_budget_says_when_it_is_free_again(bench: &Bench) {
        let minute = [window("minute", 10, 60)];
        let take = async |block: u32, leave_some: bool| take_of(bench, &minute, block, leave_some).await;
        assert_eq!(take(4, false).await, Ok(4));
        bench.pass(12);
        assert_eq!(take(100, false).await, Ok(6), "as many as there are");
        assert_eq!(used(bench, &minute[0]).await, 10);
        let free_at = take(1, false).await.expect_err("used up");
        assert!(free_at > bench.after(30) && free_at <= bench.after(60), "{free_at}");
        let pause = free_at.as_millisecond() - bench.now().as_millisecond();
        bench.clock().advance(Duration::from_millis(u64::try_from(pause).expect("later") - 1));
        assert!(take(1, false).await.is_err(), "not a moment earlier");
        bench.clock().advance(Duration::from_millis(1));
        assert_eq!(take(100, false).await, Ok(4), "what the first slice held");
    }

    pub(super) async fn work_that_can_wait_leaves_some_of_the_budget(bench: &Bench) {
        let minute = [window("minute", 10, 60), window("other", 1000, 60)];
        assert_eq!(take_of(bench, &minute, 100, true).await, Ok(8));
        assert!(take_of(bench, &minute, 1, true).await.is_err());
        assert_eq!(take_of(bench, &minute, 100, false).await, Ok(2));
        assert_eq!(used(bench, &minute[1]).await, 10, "all windows count alike");
        let elsewhere = [window("account", 5, 60)];
        assert_eq!(take_of(bench, &elsewhere, 9, false).await, Ok(5), "scopes are apart");
    }

    pub(super) async fn who_floods_a_shared_window_leaves_the_others_their_share(bench: &Bench) {
        let of = |who: &str| {
            [Window { share: Some(format!("share_minute:s{SHARED_BY}{who}")), ..window("minute:s", 100, 60) }]
        };
        // Alone it may have everything.
        assert_eq!(take_of(bench, &of("flood"), 30, false).await, Ok(30));
        assert_eq!(take_of(bench, &of("small"), 1, false).await, Ok(1));
        assert_eq!(take_of(bench, &of("flood"), 500, false).await, Ok(49), "all but the last fifth");
        assert!(take_of(bench, &of("flood"), 1, false).await.is_err(), "it has had more than its share");
        assert_eq!(take_of(bench, &of("small"), 3, false).await, Ok(3), "which is kept for who had less");
        assert_eq!(take_of(bench, &of("third"), 3, false).await, Ok(3), "and for who comes anew");
        assert_eq!(take_of(bench, &of("third"), 500, false).await, Ok(14), "as much as there is");
        assert!(take_of(bench, &of("small"), 1, false).await.is_err(), "the limit is the limit");
        assert_eq!(used(bench, &window("minute:s", 100, 60)).await, 100);
        bench.pass(120);
        assert_eq!(take_of(bench, &of("flood"), 500, false).await, Ok(100), "alone again");
    }

    pub(super) async fn the_fullest_window_of_many_accounts_is_told(bench: &Bench) {
        let of = |account: &str| window(&format!("account_hour:{account}"), 100, 3600);
        let any = window("account_hour", 100, 3600);
        assert_eq!(bench.store.budget_used_most(&any).await.expect("asked"), 0, "nobody has used anything");
        for (account, n) in [("8:a", 3), ("12:b", 7), ("12:b", 4), ("9:c", 5)] {
            assert_eq!(take_of(bench, &[of(account)], n, false).await, Ok(n));
            bench.pass(400);
        }
        bench.store.take_budget(&[window("account_hourly", 100, 3600)], 99, false).await.expect("asked").expect("free");
        assert_eq!(bench.store.budget_used_most(&any).await.expect("asked"), 11);
        bench.pass(3200);
        assert_eq!(bench.store.budget_used_most(&any).await.expect("asked"), 5, "the rest has left its window");
    }

    pub(super) async fn segments_wait_in_their_order_and_are_unpacked_once(bench: &Bench) {
        let (store, stream) = (&bench.store, 417);
        let lease = bench.lease_of_stream("w1").await;
        let batch =
            store.begin_batch(&lease, CABINET, stream, bench.now()).await.expect("begun").expect("the lease holds");
        let segments = vec![(0, "first\n".to_owned()), (64, "second\n".to_owned())];
        assert!(store.store_segments(&lease, CABINET, stream, batch, segments).await.expect("stored"));
        assert!(
            store.store_segments(&lease, CABINET, 418, batch, vec![(0, "another's".to_owned())]).await.expect("stored")
        );
        let fetched = bench.now();
        bench.pass(30);
        let first = store.next_segment(CABINET, stream).await.expect("read").expect("waits");
        assert_eq!((first.batch, first.first, first.content.as_str()), (batch, 0, "first\n"));
        assert_eq!(first.created_at, fetched);
        let rows = [status_row("a"), status_row("b")];
        let stored = store.unpack_segment(&lease, CABINET, &first, &rows).await.expect("unpacked").expect("held");
        assert_eq!((stored.fresh, stored.repeated), (2, 0));
        // Once more, as after an answer of the database that was lost.
        let again = store.unpack_segment(&lease, CABINET, &first, &rows).await.expect("unpacked").expect("held");
        assert_eq!((again.fresh, again.repeated), (0, 0));
        assert_eq!(store.count_status_rows(RowState::Foreign).await.expect("counted"), 2);
        let second = store.next_segment(CABINET, stream).await.expect("read").expect("waits");
        assert_eq!((second.first, second.content.as_str()), (64, "second\n"));
        // The same snapshot again, and one that is new.
        let rows = [status_row("b"), status_row("c")];
        let stored = store.unpack_segment(&lease, CABINET, &second, &rows).await.expect("unpacked").expect("held");
        assert_eq!((stored.fresh, stored.repeated), (1, 1));
        assert_eq!(store.next_segment(CABINET, stream).await.expect("read"), None);
        // What nobody polls any more is forgotten with everything else of its age.
        bench.pass(1);
        assert!(store.forget_status_rows(bench.now(), bench.now(), 100).await.expect("forgotten") > 0);
        assert_eq!(store.next_segment(CABINET, 418).await.expect("read"), None);
    }

    pub(super) async fn who_lost_the_stream_stores_and_unpacks_nothing(bench: &Bench) {
        let (store, stream) = (&bench.store, 417);
        let lost = bench.lease_of_stream("w1").await;
        let batch =
            store.begin_batch(&lost, CABINET, stream, bench.now()).await.expect("begun").expect("the lease holds");
        assert!(store.store_segments(&lost, CABINET, stream, batch, vec![(0, "x".to_owned())]).await.expect("stored"));
        let segment = store.next_segment(CABINET, stream).await.expect("read").expect("waits");
        bench.pass(91);
        let held = bench.lease_of_stream("w2").await;
        assert!(!store.store_segments(&lost, CABINET, stream, batch, vec![(1, "y".to_owned())]).await.expect("asked"));
        let rows = [status_row("a")];
        assert_eq!(store.unpack_segment(&lost, CABINET, &segment, &rows).await.expect("asked"), None);
        assert_eq!(store.count_status_rows(RowState::Foreign).await.expect("counted"), 0);
        assert!(store.unpack_segment(&held, CABINET, &segment, &rows).await.expect("unpacked").is_some());
        assert_eq!(store.next_segment(CABINET, stream).await.expect("read"), None, "and the late one stored nothing");
    }

    /// Two runs at once, as when one is begun again too early.
    pub(super) async fn everything_is_sealed_with_another_key_beside_running_processes(bench: &Bench) {
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
        assert!(
            matches!(bench.store.reseal(none, |_| ()).await, Err(StoreError::WrongKey)),
            "the old key opens nothing"
        );
    }

    /// A closing with these facts; answers whether it is news.
    async fn closed(bench: &Bench, d: &Delivery, mark: &str) -> bool {
        let mut tx = bench.store.db.begin().await.expect("begins");
        let facts = format!("{{\"says\":\"{mark}\"}}");
        let news = tx.want_payment(d.integration, d.id, mark, &facts, bench.now()).await.expect("noted");
        tx.commit().await.expect("commits");
        news
    }

    async fn reopened(bench: &Bench, d: &Delivery) -> bool {
        let mut tx = bench.store.db.begin().await.expect("begins");
        let settled = tx.reopen_payment(d.id, bench.now()).await.expect("noted");
        tx.commit().await.expect("commits");
        settled
    }

    async fn ended(bench: &Bench, id: i64, state: MoveState) -> bool {
        let mut tx = bench.store.db.begin().await.expect("begins");
        let ended = tx.end_payment(id, state, "", bench.now()).await.expect("noted");
        tx.commit().await.expect("commits");
        ended
    }

    async fn due(bench: &Bench, d: &Delivery) -> Vec<PaymentMove> {
        bench.store.due_payments(d.integration, 10).await.expect("read")
    }

    pub(super) async fn of_a_deliverys_payments_one_is_open_with_the_newest_facts(bench: &Bench) {
        let id = bench.integration("").await.id;
        let d = bench.lease(id, 4817, "A-1", "", "w").await.expect("leased");
        assert!(closed(bench, &d, "a").await);
        assert!(!closed(bench, &d, "a").await, "known");
        for mark in ["b", "a", "b"] {
            assert!(closed(bench, &d, mark).await, "{mark} again is news after others");
            let due = due(bench, &d).await;
            assert_eq!(due.len(), 1);
            assert!(due[0].facts.contains(mark), "{mark}: {}", due[0].facts);
        }
        let open = due(bench, &d).await.remove(0);
        assert!(!reopened(bench, &d).await, "nothing was begun");
        assert!(due(bench, &d).await.is_empty());
        assert!(!ended(bench, open.id, MoveState::Done).await, "a reopening is not overwritten");
        assert!(closed(bench, &d, "b").await, "the same facts count anew");
        // Settled; then the same again says nothing, and others are after it.
        let open = due(bench, &d).await.remove(0);
        assert!(bench.store.begin_payment(open.id, "{}").await.expect("noted"));
        assert!(bench.store.payment_step_begun(open.id, 1).await.expect("noted"));
        bench.store.payment_step_done(open.id, 1).await.expect("noted");
        assert!(ended(bench, open.id, MoveState::Done).await);
        assert!(!closed(bench, &d, "b").await);
        assert!(closed(bench, &d, "c").await);
        let after = due(bench, &d).await.remove(0);
        assert!(after.after_settling && after.interrupted.is_none());
        assert!(reopened(bench, &d).await, "a payment was changed for it");
    }

    pub(super) async fn a_payment_step_is_taken_on_the_newest_facts_only(bench: &Bench) {
        let id = bench.integration("").await.id;
        let d = bench.lease(id, 4817, "A-1", "", "w").await.expect("leased");
        closed(bench, &d, "a").await;
        let open = due(bench, &d).await.remove(0);
        assert!(bench.store.begin_payment(open.id, "first").await.expect("noted"));
        assert!(bench.store.payment_step_begun(open.id, 1).await.expect("noted"));
        // While the step is under way newer facts come.
        closed(bench, &d, "b").await;
        bench.store.payment_step_done(open.id, 1).await.expect("noted all the same");
        assert!(!bench.store.payment_step_begun(open.id, 2).await.expect("asked"), "no more of it");
        assert!(!bench.store.replan_payment(open.id, "x").await.expect("asked"));
        assert!(!ended(bench, open.id, MoveState::Done).await);
        let newer = due(bench, &d).await;
        assert_eq!((newer.len(), newer[0].interrupted.as_deref()), (1, Some("first")));
        assert!(!newer[0].after_settling);
        // A person's letter of the older one brings nothing back.
        assert_eq!(bench.store.revive_payments(id).await.expect("asked"), 0);
        assert!(ended(bench, newer[0].id, MoveState::Dead).await);
        assert_eq!(bench.store.revive_payments(id).await.expect("revived"), 1);
        let revived = due(bench, &d).await;
        assert_eq!((revived.len(), revived[0].id, revived[0].replayed), (1, newer[0].id, true));
        ended(bench, newer[0].id, MoveState::Dead).await;
        reopened(bench, &d).await;
        assert_eq!(bench.store.revive_payments(id).await.expect("asked"), 0, "it is open again");
    }

    pub(super) async fn two_moves_that_an_earlier_release_left_open_become_one(bench: &Bench) {
        let id = bench.integration("").await.id;
        let d = bench.lease(id, 4817, "A-1", "", "w").await.expect("leased");
        for mark in ["a", "b"] {
            let sql = "INSERT INTO payment_moves (integration_id, delivery_id, facts_mark, facts, state, due_at, created_at, \
                       updated_at) VALUES ($1, $2, $3, $3, 'wanted', 0, 0, 0)";
            bench.store.db.exec(sql, args![id, d.id, mark]).await.expect("written");
        }
        let due = due(bench, &d).await;
        assert_eq!(due.iter().map(|row| row.facts.as_str()).collect::<Vec<_>>(), ["b"]);
        assert_eq!(bench.store.count_payments(MoveState::Wanted).await.expect("counted"), 1);
    }

    pub(super) async fn a_thing_told_once_is_not_told_again_after_it_was_discarded(bench: &Bench) {
        let id = bench.integration("").await.id;
        let dead = NewDeadLetter {
            integration: Some(id),
            delivery: None,
            number: Some("status X".to_owned()),
            kind: "SyncStatuses".to_owned(),
            reason: "status_unmapped".to_owned(),
            fault: Fault::Bridge,
            detail: String::new(),
            tries: 1,
            command: None,
            raw: None,
        };
        let open = async || bench.store.dead_letters(&DeadFilter::default()).await.expect("read");
        let tell = async || {
            let mut tx = bench.store.db.begin().await.expect("begins");
            tx.add_dead_letter_once(&dead, bench.now()).await.expect("noted");
            tx.commit().await.expect("commits");
        };
        tell().await;
        tell().await;
        assert_eq!(open().await.iter().map(|letter| letter.attempts).collect::<Vec<_>>(), [1]);
        let mut tx = bench.store.db.begin().await.expect("begins");
        let first = open().await[0].id;
        assert!(tx.close_dead_letter(first, DeadState::Discarded, "seen", bench.now()).await.expect("closed"));
        tx.commit().await.expect("commits");
        tell().await;
        assert!(open().await.is_empty());
    }

    pub(super) async fn a_refused_take_uses_nothing(bench: &Bench) {
        let tight = window("tight", 1, 60);
        let wide = window("wide", 100, 60);
        let both = [tight.clone(), wide.clone()];
        assert_eq!(take_of(bench, &both, 5, false).await, Ok(1));
        for _ in 0..5 {
            assert!(take_of(bench, &both, 5, false).await.is_err());
        }
        assert_eq!(used(bench, &wide).await, 1);
    }
}

/// Runs a case against a fresh, migrated database, which goes whatever becomes of it.
async fn run(bench: Bench, case: impl AsyncFnOnce(&Bench)) {
    bench.store.db.migrate().await.expect("migrated");
    let done = std::panic::AssertUnwindSafe(case(&bench)).catch_unwind().await;
    bench.clear().await;
    if let Err(panic) = done {
        std::panic::resume_unwind(panic);
    }
}

macro_rules! contract {
    ($($case:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::run(super::Bench::sqlite().await, super::cases::$case).await;
                }
            )*
        }

        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    if super::server_url().is_none() && super::variable("BRIDGE_TEST_UNIT_ONLY").is_some() {
                        return;
                    }
                    super::run(super::Bench::postgres().await, super::cases::$case).await;
                }
            )*
        }
    };
}

contract![
    segments_wait_in_their_order_and_are_unpacked_once,
    who_lost_the_stream_stores_and_unpacks_nothing,
    migrations_may_be_repeated,
    migrations_may_run_in_several_processes,
    what_was_in_flight_under_the_fourth_schema_goes_on,
    secrets_are_not_readable_at_rest,
    secrets_open_only_with_their_key,
    an_integration_is_read_back_as_it_was_written,
    two_integrations_of_one_cabinet_need_their_own_prefixes,
    every_change_moves_the_stamp,
    a_write_of_an_older_copy_undoes_nothing,
    changes_made_at_once_are_all_kept_or_told,
    an_integration_is_paused_resumed_and_removed,
    requests_for_one_order_are_one_intent,
    the_same_command_twice_is_one_request,
    a_burst_of_requests_is_recorded_as_if_one_by_one,
    requests_that_cannot_all_be_recorded_are_none,
    due_intents_are_claimed_oldest_first_up_to_a_limit,
    two_workers_never_hold_one_intent,
    a_holder_whose_lease_ran_out_leaves_no_mark,
    a_lease_lives_as_long_as_it_is_renewed,
    a_released_intent_is_due_at_once,
    what_waits_is_due_when_it_said,
    a_request_that_came_meanwhile_is_not_served_with_the_old_one,
    a_request_that_came_meanwhile_keeps_its_own_time,
    a_doubt_makes_an_intent_due_and_is_settled_by_serving_it,
    a_doubt_that_comes_while_another_holds_is_not_wiped,
    what_is_due_is_known_per_integration,
    a_process_that_is_alone_frees_what_it_held_before_a_crash,
    requests_by_number_become_those_of_the_orders_that_bear_it,
    a_request_by_id_is_the_order_s_own_whatever_its_number,
    a_send_older_than_the_withdrawal_of_its_order_sends_nothing,
    what_is_tried_again_leaves_room_for_what_is_new,
    a_clock_that_was_ahead_puts_nothing_to_sleep,
    a_clock_that_was_ahead_delays_no_message,
    a_clock_that_was_ahead_delays_no_status_and_no_payment,
    a_clock_that_was_ahead_uses_up_no_budget_of_today,
    a_clock_that_was_ahead_has_nothing_wait_for_what_was_sent_tomorrow,
    a_slot_won_by_a_clock_that_was_ahead_is_published_today,
    a_number_by_id_that_is_a_real_number_gives_way_to_the_next_free_one,
    what_ended_is_remembered_for_good_and_its_number_is_never_given_again,
    what_was_wanted_is_forgotten_once_it_is_of_no_use,
    letters_of_two_orders_with_one_number_are_told_apart,
    a_letter_about_several_orders_is_answered_by_all_of_them,
    a_payment_that_is_settled_answers_its_own_orders_letter,
    a_delivery_is_made_once_and_leased_to_one,
    of_many_that_lease_a_new_delivery_one_gets_it,
    a_writer_whose_lease_ran_out_changes_nothing,
    a_delivery_lease_lives_as_long_as_it_is_renewed,
    a_number_that_is_taken_gives_way_to_the_orders_id,
    every_field_of_a_delivery_is_kept,
    a_delivery_is_found_by_any_of_its_numbers,
    the_timeline_of_an_order_is_in_order_of_time,
    a_search_takes_every_character_as_itself,
    a_search_is_narrowed,
    a_nul_in_a_text_stops_nothing,
    old_entries_are_forgotten_bit_by_bit,
    what_was_written_is_there_after_a_flush,
    a_repeated_failure_is_one_dead_letter_with_a_counter,
    dead_letters_are_listed_as_asked,
    a_success_resolves_what_was_open_for_its_order,
    a_message_stored_twice_is_one,
    messages_are_handed_out_when_due_and_oldest_first,
    a_settled_message_is_gone_and_only_its_holder_settles_it,
    a_message_handed_back_is_free_at_once,
    a_message_whose_holder_died_comes_back,
    no_message_is_handed_to_two,
    what_is_rolled_back_was_never_published,
    a_slot_is_won_once,
    a_slot_that_was_won_and_never_published_is_found,
    a_late_result_lands_in_no_other_orders_row,
    every_write_names_its_own_order,
    what_a_dead_holder_held_is_free_and_looked_at_first,
    a_named_lease_has_one_holder_and_a_fence,
    cursors_and_reference_lists_are_kept,
    a_budget_is_never_exceeded_in_any_window,
    a_used_up_budget_says_when_it_is_free_again,
    work_that_can_wait_leaves_some_of_the_budget,
    who_floods_a_shared_window_leaves_the_others_their_share,
    the_fullest_window_of_many_accounts_is_told,
    everything_is_sealed_with_another_key_beside_running_processes,
    a_refused_take_uses_nothing,
    of_a_deliverys_payments_one_is_open_with_the_newest_facts,
    a_payment_step_is_taken_on_the_newest_facts_only,
    two_moves_that_an_earlier_release_left_open_become_one,
    a_thing_told_once_is_not_told_again_after_it_was_discarded,
];
