//! How PostgreSQL answers what the pages ask of a store that has been in use for long: by indexes,
//! never reading a table that grows from its beginning to its end. The server itself tells how it
//! carried out each statement (`auto_explain`).

mod world;

use std::fmt;
use std::sync::{Arc, Mutex};

use harness::{Database, Full, GROWING};
use serde_json::Value;
use shared::clock::Clock;
use shared::crypto::SecretKey;
use shared::store::console::Role;
use shared::store::{Db, Store};
use tokio::net::TcpListener;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use world::World;

const FULL: Full = Full { deliveries: 20_000, journal: 60_000 };
/// Rows that one look at such a table may come by.
const FEW: f64 = 4_000.0;

const PAGES: [&str; 24] = [
    "/",
    "/now.csv",
    "/causes",
    "/causes?integration=1&fault=shop",
    "/causes?reason=bad_phone",
    "/letters",
    "/letters?closed=1",
    "/letters?closed=1&before=10000",
    "/letters?reason=bad_phone&integration=1",
    "/letters?number={}",
    "/waiting",
    "/waiting?integration=1",
    "/waiting.csv",
    "/orders?number={}",
    "/orders?number=P{}",
    "/orders?number=nothing",
    "/orders/{of}/{}",
    "/replays",
    "/replays/1",
    "/integrations/1",
    "/compare",
    "/budget",
    "/audit",
    "/people",
];

/// What the server says on its own.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Told {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct Message<'a>(&'a Told);
        impl Visit for Message<'_> {
            fn record_str(&mut self, _: &Field, text: &str) {
                self.0.0.lock().expect("whole").push(text.to_owned());
            }

            fn record_debug(&mut self, _: &Field, value: &dyn fmt::Debug) {
                self.0.0.lock().expect("whole").push(format!("{value:?}"));
            }
        }
        event.record(&mut Message(self));
    }
}

impl Told {
    /// The plans since the last look, each with its statement.
    fn plans(&self) -> Vec<Value> {
        let told = std::mem::take(&mut *self.0.lock().expect("whole"));
        told.iter().filter_map(|text| serde_json::from_str(&text[text.find('{')?..]).ok()).collect()
    }
}

/// Looks of a plan at tables that grow: how, at which, and rows that it came by.
fn looks(plan: &Value, found: &mut Vec<(String, String, f64)>) {
    if let Some(table) = plan["Relation Name"].as_str().filter(|table| GROWING.contains(table)) {
        let number = |name: &str| plan[name].as_f64().unwrap_or(0.0);
        let rows = (number("Actual Rows") + number("Rows Removed by Filter")) * number("Actual Loops");
        found.push((plan["Node Type"].as_str().unwrap_or_default().to_owned(), table.to_owned(), rows));
    }
    for below in plan["Plans"].as_array().into_iter().flatten() {
        looks(below, found);
    }
}

/// What is wrong with the plans of a page.
fn wrong(page: &str, plans: &[Value]) -> Vec<String> {
    let mut wrong = Vec::new();
    for plan in plans {
        let mut found = Vec::new();
        looks(&plan["Plan"], &mut found);
        let bad = found.iter().filter(|(how, _, rows)| how == "Seq Scan" || *rows > FEW);
        wrong.extend(
            bad.map(|(how, table, rows)| format!("{page}: {how} of {table}, {rows} rows: {}", plan["Query Text"])),
        );
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_reads_a_table_that_grows_through() {
    let told = Told::default();
    let only = Targets::new().with_target("sqlx::postgres::notice", Level::TRACE);
    tracing_subscriber::registry().with(told.clone().with_filter(only)).init();
    let database = Database::create().await.expect("a database");
    let plain = Db::open_postgres(database.url.as_str(), 2).expect("a URL");
    plain.migrate().await.expect("migrated");
    let mut explained = database.url.clone();
    explained.query_pairs_mut().extend_pairs([
        ("options[session_preload_libraries]", "auto_explain"),
        ("options[auto_explain.log_min_duration]", "0"),
        ("options[auto_explain.log_analyze]", "on"),
        ("options[auto_explain.log_timing]", "off"),
        ("options[auto_explain.log_format]", "json"),
        ("options[client_min_messages]", "log"),
    ]);
    let db = Db::open_postgres(explained.as_str(), 4).expect("a URL");
    let store = Store::new(db, SecretKey::from_bytes([7; 32]), Clock::system());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let world = World::over(listener, &[], store).await;
    for n in 0..10 {
        world.add_integration(&format!("Shop {n}"), &n.to_string()).await;
    }
    FULL.fill(database.url.as_str()).await.expect("filled");
    let cookie = world.session("Anna", Role::Owner).await;
    let of = "SELECT integration_id AS n FROM deliveries WHERE number = $1";
    let of = plain.count(of, vec![FULL.number().as_str().into()]).await.expect("there").to_string();
    // A statement that does read a table through is noticed.
    told.plans();
    let through = "SELECT COUNT(*) AS n FROM deliveries WHERE sent_hash = 'none'";
    world.store().db.count(through, vec![]).await.expect("counted");
    assert_eq!(wrong("planted", &told.plans()).len(), 1);
    let (mut all, mut seen) = (Vec::new(), 0);
    for page in PAGES {
        let at = page.replace("{of}", &of).replace("{}", &FULL.number());
        let got = world.get(&at, Some(&cookie)).await;
        assert!([200, 303].contains(&got.status), "{at}: {}", got.status);
        let plans = told.plans();
        seen += plans.len();
        all.extend(wrong(page, &plans));
    }
    assert!(seen > 100, "{seen} statements were explained");
    assert!(all.is_empty(), "{}", all.join("\n"));
    world.store().db.close().await;
    plain.close().await;
}
