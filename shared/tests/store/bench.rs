//! A database for each case, and what cases put into it.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::{Timestamp, ToSpan};
use shared::clock::Clock;
use shared::crypto::SecretKey;
use shared::domain::{CrmOrderId, Delivery, Fault, Integration, IntegrationId, OrderNumber};
use shared::message::Lane;
use shared::store::dead_letters::{DeadFilter, NewDeadLetter};
use shared::store::deliveries::DeliveryKey;
use shared::store::intents::{Intent, Leave, OrderRequest, RequestKind};
use shared::store::jobs::NewJob;
use shared::store::leases::Lease;
use shared::store::status_stream::{NewRow, RowState};
use shared::store::{Db, Store, Tx};
use uuid::Uuid;

use crate::sample::new_integration;

pub(crate) const CABINET: &str = "8:city";
pub(crate) const SOON: Duration = Duration::from_secs(60);
pub(crate) const SPENT: Duration = Duration::from_secs(7);

/// A database to itself for one case.
pub(crate) struct Bench {
    pub(crate) store: Store,
    pub(crate) place: Place,
}

pub(crate) enum Place {
    File(PathBuf),
    Server { admin: Db, schema: String },
}

impl Bench {
    /// What `work` does, in one commit.
    pub(crate) async fn commit<T>(&self, work: impl AsyncFnOnce(&mut Tx) -> shared::store::Result<T>) -> T {
        let mut tx = self.store.db.begin().await.expect("begins");
        let done = work(&mut tx).await.expect("done");
        tx.commit().await.expect("committed");
        done
    }

    /// Another one of the same sort.
    pub(crate) async fn another(&self) -> Self {
        match self.place {
            Place::File(_) => Self::sqlite().await,
            Place::Server { .. } => Self::postgres().await,
        }
    }

    pub(crate) async fn sqlite() -> Self {
        let folder = std::env::temp_dir().join(format!("bridge-store-{}", Uuid::new_v4().simple()));
        std::fs::create_dir(&folder).expect("a folder of its own");
        let db = Db::open_sqlite(&folder.join("bridge.db")).await.expect("opens");
        Self::around(db, Place::File(folder))
    }

    /// Without a server these cases fail: a skipped one would look like a pass.
    pub(crate) async fn postgres() -> Self {
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

    pub(crate) fn around(db: Db, place: Place) -> Self {
        let start: Timestamp = "2024-05-17T10:00:00Z".parse().expect("a moment");
        let store = Store::new(db, SecretKey::from_bytes([7; 32]), Clock::standing_at(start));
        Self { store, place }
    }

    /// A second process on the same database.
    pub(crate) async fn neighbour(&self) -> Store {
        let db = match (&self.place, &self.store.db) {
            (Place::File(folder), _) => Db::open_sqlite(&folder.join("bridge.db")).await.expect("opens"),
            (_, db) => db.clone(),
        };
        Store::new(db, self.store.key.clone(), self.store.clock.clone())
    }

    pub(crate) async fn clear(self) {
        self.store.db.close().await;
        match self.place {
            Place::File(folder) => std::fs::remove_dir_all(folder).expect("its folder goes"),
            Place::Server { admin, schema } => {
                admin.exec(format!("DROP SCHEMA {schema} CASCADE"), vec![]).await.expect("its schema goes");
                admin.close().await;
            }
        }
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.store.clock
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock().now()
    }

    pub(crate) fn after(&self, seconds: i64) -> Timestamp {
        self.now() + seconds.seconds()
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.clock().advance(Duration::from_secs(seconds));
    }

    pub(crate) async fn integration(&self, prefix: &str) -> Integration {
        self.store.add_integration(new_integration(prefix)).await.expect("added")
    }

    pub(crate) async fn want(&self, integration: IntegrationId, number: &str, want: RequestKind) {
        self.record(request(self, integration, number, want)).await;
    }

    pub(crate) async fn record(&self, request: OrderRequest) {
        self.store.record_requests(&[request]).await.expect("recorded");
    }

    pub(crate) async fn claim(&self, integration: IntegrationId, owner: &str) -> Vec<Intent> {
        self.store.claim_intents(integration, owner, self.after(90), 50).await.expect("claimed")
    }

    pub(crate) async fn claim_one(&self, integration: IntegrationId, owner: &str) -> Intent {
        let mut claimed = self.claim(integration, owner).await;
        assert_eq!(claimed.len(), 1, "one intent is due");
        claimed.remove(0)
    }

    pub(crate) async fn lease_of_stream(&self, owner: &str) -> Lease {
        let taken = self.store.take_lease("stream|test", owner, self.after(90)).await;
        taken.expect("asked").expect("nobody holds it")
    }

    pub(crate) async fn leave(&self, intent: &Intent, leave: Leave) -> bool {
        self.commit(async |tx| tx.leave_intent(intent, leave, self.now()).await).await
    }

    pub(crate) async fn suspect(&self, intent: &Intent) {
        self.commit(async |tx| tx.ask_to_verify(intent, self.now(), self.now()).await).await;
    }

    pub(crate) async fn lease(
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

    pub(crate) async fn save(&self, delivery: &Delivery, release: bool) -> bool {
        self.commit(async |tx| tx.save_delivery(delivery, release, self.now()).await).await
    }

    pub(crate) async fn add_dead_letter(&self, dead: &NewDeadLetter) -> i64 {
        self.store.add_dead_letter(dead).await.expect("buried")
    }

    pub(crate) async fn dead(&self, filter: DeadFilter) -> Vec<i64> {
        self.store.dead_letters(&filter).await.expect("listed").into_iter().map(|dead| dead.id).collect()
    }
}

pub(crate) fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "set by the test run, no setting of the product")]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

pub(crate) fn server_url() -> Option<String> {
    variable("TEST_DATABASE_URL")
}

pub(crate) fn request(bench: &Bench, integration: IntegrationId, number: &str, want: RequestKind) -> OrderRequest {
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

pub(crate) fn dead(
    integration: Option<IntegrationId>,
    number: Option<&str>,
    reason: &str,
    fault: Fault,
) -> NewDeadLetter {
    NewDeadLetter {
        integration,
        delivery: None,
        number: number.map(str::to_owned),
        kind: "SendOrder".to_owned(),
        reason: reason.to_owned(),
        fault,
        detail: "как было".into(),
        tries: 3,
        command: Some("{}".to_owned()),
        raw: None,
    }
}

pub(crate) fn job(id: &str, lane: Lane, run_at: Timestamp) -> NewJob {
    NewJob { id: id.to_owned(), lane, body: format!("body of {id}").into_bytes(), run_at }
}

/// Runs a case against a fresh, migrated database, which goes whatever becomes of it.
pub(crate) async fn run(bench: Bench, case: impl AsyncFnOnce(&Bench)) {
    bench.store.db.migrate().await.expect("migrated");
    let done = std::panic::AssertUnwindSafe(case(&bench)).catch_unwind().await;
    bench.clear().await;
    if let Err(panic) = done {
        std::panic::resume_unwind(panic);
    }
}

/// A snapshot of somebody else's order.
pub(crate) fn status_row(mark: &str) -> NewRow {
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
