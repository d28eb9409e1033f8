//! Databases that are there and cannot do their work: each is named by what it is, in its own
//! words and code, and nobody waits for it without end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::args;
use shared::clock::Clock;
use shared::crypto::SecretKey;
use shared::domain::{CrmOrderId, OrderNumber};
use shared::store::deliveries::DeliveryKey;
use shared::store::{Db, Store, StoreError};
use url::Url;
use uuid::Uuid;

mod sample;

use sample::new_integration;

const LIMIT: Duration = Duration::from_secs(5);
const AFTER: Duration = Duration::from_secs(900);

/// A schema of its own on the tests' PostgreSQL, migrated.
struct Server {
    admin: Db,
    schema: String,
    url: Url,
}

impl Server {
    async fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "set by the test run, no setting of the product")]
        let url = std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL: run ./tests/run");
        let schema = format!("bridge_ailing_{}", Uuid::new_v4().simple());
        let admin = Db::open_postgres(&url, 2).expect("a URL");
        admin.exec(format!("CREATE SCHEMA {schema}"), vec![]).await.expect("a schema");
        let mut url = Url::parse(&url).expect("a URL");
        url.query_pairs_mut().append_pair("options[search_path]", &schema);
        let server = Self { admin, schema, url };
        server.store("").await.db.migrate().await.expect("migrated");
        server
    }

    /// A pool of its own with one more option (`name=value`).
    async fn store(&self, option: &str) -> Store {
        let mut url = self.url.clone();
        if let Some((name, value)) = option.split_once('=') {
            url.query_pairs_mut().append_pair(&format!("options[{name}]"), value);
        }
        store(Db::open_postgres(url.as_str(), 4).expect("a URL"))
    }

    /// One whose sessions have a name.
    fn named(&self, name: &str) -> Store {
        let mut url = self.url.clone();
        url.query_pairs_mut().append_pair("application_name", name);
        store(Db::open_postgres(url.as_str(), 4).expect("a URL"))
    }

    async fn clear(self) {
        self.admin.exec(format!("DROP SCHEMA {} CASCADE", self.schema), vec![]).await.expect("dropped");
    }
}

fn store(db: Db) -> Store {
    Store::new(db, SecretKey::from_bytes([7; 32]), Clock::system())
}

#[tokio::test]
async fn a_database_that_takes_no_writes_is_a_problem_though_it_answers() {
    let server = Server::new().await;
    assert_eq!(server.store("").await.problem("test", LIMIT).await, None);
    let standby = server.store("default_transaction_read_only=on").await;
    let said = standby.problem("test", LIMIT).await.expect("it takes no writes");
    assert!(said.contains("takes no writes") && said.contains("SQLSTATE 25006"), "{said}");
    server.clear().await;
}

#[tokio::test]
async fn a_locked_table_is_named_before_anybody_asks_twice() {
    let server = Server::new().await;
    let (holder, store) = (server.store("").await, server.store("").await);
    for table in ["deliveries", "intents", "order_intents", "jobs"] {
        let mut tx = holder.db.begin().await.expect("begun");
        tx.exec(format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"), vec![]).await.expect("locked");
        let said = store.problem("test", LIMIT).await.expect("it is locked");
        assert!(said.contains(table) && said.contains("SQLSTATE 55P03"), "{said}");
        drop(tx);
        shared_eventually(async || store.problem("test", LIMIT).await.is_none()).await;
    }
    server.clear().await;
}

/// A lock is let go of a moment after its transaction was dropped.
async fn shared_eventually(holds: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_secs(60), "never");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn who_is_not_let_in_is_told_in_the_servers_own_words() {
    let server = Server::new().await;
    let role = format!("bridge_role_{}", Uuid::new_v4().simple());
    let create = format!("CREATE ROLE {role} LOGIN PASSWORD 'x' CONNECTION LIMIT 1");
    server.admin.exec(create, vec![]).await.expect("a role");
    let mut url = server.url.clone();
    url.set_username(&role).expect("a name");
    url.set_password(Some("x")).expect("a password");
    let first = store(Db::open_postgres(url.as_str(), 1).expect("a URL"));
    // It is in, and may do nothing: that is not a database without tables.
    let version = first.db.schema_version().await;
    assert!(matches!(version, Ok(0) | Err(StoreError::Closed(..))), "{version:?}");
    server.admin.exec(format!("GRANT USAGE ON SCHEMA {} TO {role}", server.schema), vec![]).await.expect("granted");
    let version = first.db.schema_version().await;
    assert!(matches!(version, Err(StoreError::Closed(..))), "not version 0: {version:?}");
    // Its only connection is taken.
    let second = store(Db::open_postgres(url.as_str(), 1).expect("a URL"));
    let said = second.problem("test", Duration::from_secs(2)).await.expect("there is no connection left");
    assert!(said.contains("too many connections for role") && said.contains("SQLSTATE 53300"), "{said}");
    let error = second.db.explained(second.db.schema_version().await.expect_err("none left")).await;
    assert!(error.to_string().contains("too many connections for role"), "{error}");
    first.db.close().await;
    second.db.close().await;
    server.admin.exec(format!("DROP OWNED BY {role}"), vec![]).await.expect("revoked");
    server.admin.exec(format!("DROP ROLE {role}"), vec![]).await.expect("dropped");
    server.clear().await;
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for_without_end() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            held.push(socket);
        }
    });
    let db = Db::open_postgres(&format!("postgres://u:p@127.0.0.1:{port}/x"), 1).expect("a URL");
    let said = store(db.clone()).problem("test", Duration::from_secs(1)).await.expect("it says nothing");
    assert!(said.contains("did not answer") && said.contains(&format!("127.0.0.1:{port}")), "{said}");
    let error = db.with_limit(Duration::from_secs(1)).exec("UPDATE deliveries SET fence = 1", vec![]).await;
    let said = error.expect_err("silent").to_string();
    assert!(said.contains("within 1 s (UPDATE deliveries SET fence)"), "{said}");
    silent.abort();
}

/// Two rows, each updated by two sessions in the other's order, until both have waited.
#[tokio::test]
async fn connections_that_the_server_ended_are_noticed_by_nobody() {
    let server = Server::new().await;
    let store = server.named("ended");
    let db = &store.db;
    let use_all = async || {
        let sleeps = (0..4).map(|_| db.fetch("SELECT 1 AS one FROM pg_sleep(0.05)", vec![]));
        futures_util::future::join_all(sleeps).await.into_iter().for_each(|slept| drop(slept.expect("slept")));
    };
    let end_all = async || {
        let sql = "SELECT COUNT(pg_terminate_backend(pid)) AS n FROM pg_stat_activity WHERE application_name = 'ended'";
        assert!(server.admin.count(sql, vec![]).await.expect("ended") >= 4);
        shared_eventually(async || {
            let left = "SELECT COUNT(*) AS n FROM pg_stat_activity WHERE application_name = 'ended'";
            server.admin.count(left, vec![]).await.expect("counted") == 0
        })
        .await;
    };
    let row = |round: i32| args![format!("round {round}"), "", 1];
    let sql = "INSERT INTO cursors (name, value, updated_at) VALUES ($1, $2, $3)";
    use_all().await;
    end_all().await;
    db.exec(sql, row(1)).await.expect("a statement that writes");
    use_all().await;
    end_all().await;
    let mut tx = db.begin().await.expect("a transaction");
    tx.exec(sql, row(2)).await.expect("written");
    tx.commit().await.expect("committed");
    use_all().await;
    end_all().await;
    use_all().await;
    assert_eq!(db.count("SELECT COUNT(*) AS n FROM cursors", vec![]).await.expect("read"), 2, "each once");
    db.close().await;
    server.clear().await;
}

#[tokio::test]
async fn a_statement_that_gave_way_to_another_transaction_is_done_at_once() {
    let server = Server::new().await;
    let (one, other) = (server.store("deadlock_timeout=50").await, server.store("deadlock_timeout=10s").await);
    let put = "INSERT INTO cursors (name, value, updated_at) VALUES ($1, 'first', 1)";
    for name in ["a", "b"] {
        one.db.exec(put, args![name]).await.expect("put");
    }
    let mut tx = other.db.begin().await.expect("begun");
    tx.exec("UPDATE cursors SET value = 'tx' WHERE name = 'a'", vec![]).await.expect("held");
    // Takes b, then waits for a: one statement, whose session finds the deadlock and gives way.
    let both = "WITH b AS (UPDATE cursors SET value = 'one' WHERE name = 'b' RETURNING 1), \
                w AS (SELECT COUNT(*) AS n FROM b) \
                UPDATE cursors SET value = 'one' WHERE name = 'a' AND (SELECT n FROM w) = 1";
    let one = Arc::new(one);
    let waiting = {
        let one = one.clone();
        tokio::spawn(async move { one.db.exec(both, vec![]).await })
    };
    let blocked = String::from(
        "SELECT 1 AS one FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid WHERE NOT l.granted \
         AND a.query LIKE 'WITH b AS%'",
    );
    shared_eventually(async || !server.admin.fetch(blocked.clone(), vec![]).await.expect("read").is_empty()).await;
    tx.exec("UPDATE cursors SET value = 'tx' WHERE name = 'b'", vec![]).await.expect("the other gives way");
    tx.commit().await.expect("committed");
    waiting.await.expect("ended").expect("done after all");
    let values = one.db.fetch("SELECT value FROM cursors WHERE name IN ('a', 'b')", vec![]).await.expect("read");
    assert!(values.iter().all(|row| row.text("value").expect("text") == "one"));
    server.clear().await;
}

#[tokio::test]
async fn a_transaction_with_a_failed_statement_is_never_called_committed() {
    let server = Server::new().await;
    let folder = std::env::temp_dir().join(format!("bridge-ailing-{}", Uuid::new_v4().simple()));
    std::fs::create_dir(&folder).expect("a folder");
    let sqlite = store(Db::open_sqlite(&folder.join("bridge.db")).await.expect("opens"));
    sqlite.db.migrate().await.expect("migrated");
    for store in [server.store("").await, sqlite] {
        let mut tx = store.db.begin().await.expect("begun");
        let put = "INSERT INTO cursors (name, value, updated_at) VALUES ('a', '', 1)";
        tx.exec(put, vec![]).await.expect("put");
        tx.exec(put, vec![]).await.expect_err("it is there");
        assert!(matches!(tx.exec("DELETE FROM cursors", vec![]).await, Err(StoreError::Broken)));
        tx.commit().await.expect_err("nothing of it happened, and it says so");
        assert!(store.db.fetch("SELECT name FROM cursors WHERE name = 'a'", vec![]).await.expect("read").is_empty());
    }
    let _ = std::fs::remove_dir_all(folder);
    server.clear().await;
}

#[tokio::test]
async fn rows_are_locked_in_the_order_of_their_ids() {
    let server = Server::new().await;
    let store = server.store("").await;
    let integration = store.add_integration(new_integration("")).await.expect("added").id;
    let until = store.clock.now().checked_add(Duration::from_secs(900)).expect("a moment");
    let mut ids = Vec::new();
    for order in [1, 2] {
        let number = OrderNumber::parse(&format!("{order}A")).expect("a number");
        let key = DeliveryKey { integration, crm_order: CrmOrderId(order), number: &number, prefix: "" };
        ids.push(store.lease_delivery(&key, "w", until).await.expect("asked").taken().expect("free").id.0);
    }
    assert!(ids[0] < ids[1], "ids keep the order in which they were given");
    // On the disk the first comes last now.
    store.db.exec("UPDATE deliveries SET updated_at = updated_at WHERE id = $1", args![ids[0]]).await.expect("moved");
    let mut tx = store.db.begin().await.expect("begun");
    tx.fetch("SELECT id FROM deliveries WHERE id = $1 FOR UPDATE", args![ids[0]]).await.expect("held");
    let waiting = {
        let (store, ids) = (server.store("").await, [ids[1], ids[0]]);
        tokio::spawn(async move { store.renew_deliveries("w", &ids, until).await })
    };
    let blocked = "SELECT 1 AS one FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND state = 'active' \
                   AND query LIKE 'UPDATE deliveries SET lease_until%'";
    shared_eventually(async || !server.admin.fetch(blocked, vec![]).await.expect("read").is_empty()).await;
    let mut other = store.db.begin().await.expect("begun");
    let second = "SELECT id FROM deliveries WHERE id = $1 FOR UPDATE NOWAIT";
    other.fetch(second, args![ids[1]]).await.expect("whoever waits for the first does not hold the second");
    other.commit().await.expect("let go");
    tx.commit().await.expect("let go");
    assert_eq!(waiting.await.expect("ended").expect("renewed"), 2);
    server.clear().await;
}

#[tokio::test]
async fn what_several_processes_did_is_put_in_order_by_the_databases_clock() {
    let server = Server::new().await;
    let schema = &server.schema;
    // A server an hour behind this process.
    let behind = format!(
        "CREATE FUNCTION {schema}.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS \
         'SELECT pg_catalog.clock_timestamp() - make_interval(hours => 1)'"
    );
    server.admin.exec(behind, vec![]).await.expect("made");
    let store = server.store(&format!("search_path={schema},pg_catalog")).await;
    let agreed = store.agreed_now().await.expect("asked");
    let off = store.clock.now().duration_since(agreed).as_secs();
    assert!((3590..3700).contains(&off), "{off} s");
    // A clock that tests set is everybody's.
    let still = "2026-09-01T10:00:00Z".parse().expect("a moment");
    let store = Store::new(store.db.clone(), SecretKey::from_bytes([7; 32]), Clock::standing_at(still));
    assert_eq!(store.agreed_now().await.expect("asked"), still);
    server.clear().await;
}

#[tokio::test]
async fn a_server_that_took_over_is_noticed_once_and_both_sides_are_compared_anew() {
    let server = Server::new().await;
    let store = server.store("").await;
    let id = store.add_integration(new_integration("")).await.expect("added").id;
    assert_eq!(store.taken_over(AFTER).await.expect("asked"), None, "the first look");
    assert_eq!(store.taken_over(AFTER).await.expect("asked"), None, "the same server");
    // The log of the server that took over begins a new timeline.
    let other = "UPDATE cursors SET value = '000000FE', updated_at = 1000 WHERE name = 'timeline'";
    assert_eq!(store.db.exec(other, vec![]).await.expect("written"), 1);
    let (one, two) = tokio::join!(store.taken_over(AFTER), store.taken_over(AFTER));
    let told: Vec<_> = [one, two].into_iter().filter_map(|told| told.expect("asked")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].from.as_millisecond(), 1000, "since it was last seen");
    assert_eq!(store.last_takeover().await.expect("asked"), Some(told[0]));
    let jobs = store.claim_jobs(None, "test", LIMIT, 10).await.expect("claimed");
    assert_eq!(jobs.len(), 1);
    let asked = shared::message::decode(&jobs[0].body).expect("an envelope");
    assert_eq!((asked.integration, asked.command.kind()), (Some(id), shared::message::Kind::Reconcile));
    assert_ne!(asked.key, shared::message::RECONCILE_HISTORY, "MeaSoft's side as well");
    store.finish_jobs("test", &[jobs[0].id.clone()]).await.expect("done");
    let due = store.next_job_due(shared::message::Lane::Bulk).await.expect("read").expect("one more");
    assert!(due > told[0].until + AFTER / 2, "for what has no order any more");
    assert!(!store.replicates_behind().await.expect("asked"));
    server.clear().await;
}

#[tokio::test]
async fn a_queue_that_was_made_anew_is_told_once_and_both_sides_are_compared_over_its_window() {
    let server = Server::new().await;
    let store = server.store("").await;
    let id = store.add_integration(new_integration("")).await.expect("added").id;
    let queue = "shop.interactive.v1";
    assert_eq!(store.lost_queue(queue).await.expect("noted"), None, "the first start");
    let long_ago = "UPDATE cursors SET updated_at = updated_at - 60000 WHERE name LIKE 'queue empty|%'";
    assert_eq!(store.db.exec(long_ago, vec![]).await.expect("written"), 1);
    assert!(store.saw_empty(queue).await.expect("noted"));
    let (one, two) = tokio::join!(store.lost_queue(queue), store.lost_queue(queue));
    let told: Vec<_> = [one, two].into_iter().filter_map(|told| told.expect("noted")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].from < told[0].until);
    assert_eq!(store.lost_queues().await.expect("read").len(), 1);
    // Due in a moment: others may still notice the same.
    let due = store.next_job_due(shared::message::Lane::Bulk).await.expect("read").expect("a reconcile");
    assert!(due > told[0].until);
    let jobs = "SELECT body FROM jobs";
    let jobs = store.db.fetch(jobs, vec![]).await.expect("read");
    assert_eq!(jobs.len(), 1);
    let asked = shared::message::decode(&jobs[0].bytes("body").expect("bytes")).expect("an envelope");
    assert_eq!((asked.integration, asked.command.kind()), (Some(id), shared::message::Kind::Reconcile));
    server.clear().await;
}
