//! A PostgreSQL server dies under load, and its standby, which is behind, takes over: what was
//! stored last is gone. `./tests/run promotion` plays it on two real servers.
//!
//! One worker stands still from before the standby falls behind until after it has taken over. The
//! verdict is that of the fault suite; what was lost must be found again without another trigger.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::{Connection as _, PgConnection, Row as _};
use tokio_util::sync::CancellationToken;

use harness::proxy::{Path, Proxy};
use harness::{LONG, Line, Role, World, eventually};

use super::chance::Chance;
use super::lives;
use super::traffic::Traffic;
use super::verdict::{self, is_of};

/// Between two looks at a status; the walk through RetailCRM's history is every third.
const SYNC_S: u64 = 4;
/// Everything that was lost is found again by then.
const FOUND: Duration = Duration::from_secs(120);
/// Triggers that were asked for have come by then.
const FLOWED: Duration = Duration::from_secs(900);
const FROZEN: &str = "worker-1";
/// Differences that are told with what the journal says of their orders.
const TOLD: usize = 5;

/// What one promotion showed.
#[derive(Debug, Clone, Default)]
pub struct Promotion {
    /// Its seed.
    pub seed: u64,
    /// How far the standby was behind.
    pub behind: Duration,
    /// Bytes of the primary's log that it never got.
    pub bytes: i64,
    /// Triggers answered with 200, and those of them that the ledger knows nothing of afterwards.
    pub accepted: usize,
    /// See [`Promotion::accepted`].
    pub forgotten: usize,
    /// Orders that lived.
    pub orders: usize,
    /// Until all that was lost was found again.
    pub found: Duration,
    /// Orders that were missed and sent, changed or cancelled after all, and statuses found.
    pub repairs: i64,
    /// Effects that are missing and nobody is told of, or of another order.
    pub lost: Vec<String>,
    /// Effects that are there more than once.
    pub doubled: Vec<String>,
    /// Rows that hold another order's, and whatever else does not hold.
    pub wrong: Vec<String>,
}

impl Promotion {
    /// Nothing is wrong.
    pub fn is_well(&self) -> bool {
        self.lost.is_empty() && self.doubled.is_empty() && self.wrong.is_empty()
    }
}

/// The run's primary and standby.
struct Pair;

impl Pair {
    /// # Panics
    /// Without a pair, or when the command fails.
    async fn does(&self, what: &[&str]) -> String {
        let command = std::env::var("TEST_PAIR").expect("TEST_PAIR is not set: run ./tests/run promotion");
        let done = tokio::process::Command::new(command).args(what).output().await.expect("a shell");
        assert!(done.status.success(), "{what:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }
}

fn url(port: &str) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/postgres")
}

async fn ask(url: &str, sql: &'static str) -> Result<i64, String> {
    let failed = |error: sqlx::Error| error.to_string();
    let mut connection = PgConnection::connect(url).await.map_err(failed)?;
    let row = sqlx::query(sql).fetch_one(&mut connection).await.map_err(failed)?;
    let _ = connection.close().await;
    row.try_get(0).map_err(failed)
}

const STREAMS: &str = "SELECT COUNT(*) FROM pg_stat_replication WHERE state = 'streaming'";
const WRITTEN: &str = "SELECT CAST(pg_current_wal_lsn() - '0/0'::pg_lsn AS BIGINT)";
const REPLAYED: &str = "SELECT CAST(pg_last_wal_replay_lsn() - '0/0'::pg_lsn AS BIGINT)";

/// Plays one seed: until so many triggers were accepted, at least.
///
/// # Panics
/// When the servers or the installation cannot be started.
pub async fn promotion(seed: u64, triggers: usize) -> Promotion {
    let mut seen = Promotion { seed, ..Promotion::default() };
    let mut chance = Chance::new(seed, 77);
    let pair = Pair;
    pair.does(&["end"]).await;
    let primary = pair.does(&["primary"]).await;
    let link = Proxy::start(format!("127.0.0.1:{primary}")).await.expect("a proxy");
    let standby = pair.does(&["standby", &link.address().port().to_string()]).await;
    let world = World::scaled(&format!("promotion-{seed}"))
        .with(Role::Ingress, 1)
        .with(Role::Worker, 3)
        .with(Role::Scheduler, 2)
        .alone()
        .on_server(&url(&primary))
        .accounts(2)
        .setting(&format!("send_statuses={}", lives::TO_BE_SENT))
        .set("SYNC_INTERVAL_S", &SYNC_S.to_string())
        .set("RUST_LOG", "info,shared=debug,bridge_worker=debug")
        .start()
        .await;
    let world = Arc::new(world);
    eventually("the standby follows", LONG, || async {
        match ask(&url(&primary), STREAMS).await {
            Ok(1) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let doctor = said(&world).await;
    if !doctor.contains("asynchronous") {
        seen.wrong.push(format!("the doctor does not say that a standby follows asynchronously: {doctor}"));
    }
    let traffic = Traffic::new(Arc::clone(&world), seed);
    let stop = CancellationToken::new();
    let rate = if triggers > 0 { 50.0 } else { 20.0 };
    let flowing = tokio::spawn(Arc::clone(&traffic).flow(rate, stop.clone()));
    tokio::time::sleep(chance.millis(6_000..9_000)).await;
    flowed(&world, triggers / 2).await;

    let frozen_before = chance.millis(0..1_200);
    world.freeze(FROZEN, true);
    tokio::time::sleep(frozen_before).await;
    seen.behind = chance.millis(200..3_000);
    link.set(Path::BlackHole);
    tokio::time::sleep(seen.behind).await;
    let written = ask(&url(&primary), WRITTEN).await.expect("the primary answers");
    pair.does(&["kill"]).await;
    tokio::time::sleep(chance.millis(200..1_500)).await;
    link.set(Path::Reset);
    pair.does(&["promote"]).await;
    seen.bytes = written - ask(&url(&standby), REPLAYED).await.expect("the standby answers");
    let address = world.database_path.as_ref().expect("a proxy before PostgreSQL");
    address.aim(format!("127.0.0.1:{standby}"));
    address.cut(Path::Reset, Duration::from_millis(200)).await;
    let taken_over = Instant::now();
    // Others get the ids meanwhile.
    tokio::time::sleep(chance.millis(300..2_500)).await;
    world.freeze(FROZEN, false);
    tokio::time::sleep(chance.millis(6_000..8_000)).await;
    flowed(&world, triggers).await;
    stop.cancel();
    if let Err(error) = flowing.await {
        seen.wrong.push(format!("the traffic broke off: {error}"));
    }
    let found = loop {
        let verdict = judged(&world, &traffic).await;
        if verdict.lost.is_empty() || taken_over.elapsed() > FOUND {
            break verdict;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    seen.found = taken_over.elapsed();
    seen.lost = found.lost;
    conclude(&world, &traffic, &mut seen).await;
    drop(traffic);
    if let Ok(world) = Arc::try_unwrap(world) {
        world.discard().await;
    }
    pair.does(&["end"]).await;
    seen
}

/// Returns when so many triggers were accepted.
async fn flowed(world: &World, triggers: usize) {
    let begun = Instant::now();
    while world.accepted().len() < triggers && begun.elapsed() < FLOWED {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn said(world: &World) -> String {
    let doctor = world.bridge(&["doctor"]).await;
    format!("{}{}", doctor.stdout, doctor.stderr)
}

/// The verdict of the fault suite; what a person is told of is not lost.
async fn judged(world: &World, traffic: &Traffic) -> verdict::Verdict {
    let records = traffic.records();
    let mut verdict = verdict::judge(&records, &world.shops, &world.measoft.orders(), true);
    let sql = "SELECT number, crm_order_id FROM dead_letters WHERE state = 'open'";
    let letters = world.ledger.rows(sql).await.unwrap_or_default();
    let is_told = |record: &verdict::Record, sentence: &str| {
        letters.iter().any(|row| {
            let number = row["number"].as_str().unwrap_or_default();
            let id = row["crm_order_id"].as_i64();
            // A parcel that no order names any more goes by its own number.
            sentence.contains(&format!("live as {number} "))
                || record.numbers.iter().any(|own| own == number) && id.is_none_or(|id| id == record.id)
        })
    };
    verdict.lost.retain(|sentence| {
        let record = records.iter().find(|record| sentence.starts_with(&record.name()));
        record.is_none_or(|record| !is_told(record, sentence))
    });
    verdict
}

async fn conclude(world: &World, traffic: &Traffic, seen: &mut Promotion) {
    let records = traffic.records();
    seen.orders = records.len();
    let settled = world.nothing_waits(Duration::from_secs(60)).await;
    seen.wrong.extend(settled.err());
    let verdict = judged(world, traffic).await;
    let with_its_triggers = |sentence: String| {
        let its = records.iter().find(|record| sentence.starts_with(&record.name()));
        its.map_or(sentence.clone(), |record| format!("{sentence}: {}", record.requests.join(", ")))
    };
    seen.lost = verdict.lost.into_iter().map(with_its_triggers).collect();
    for sentence in seen.lost.iter_mut().take(TOLD) {
        let known = what_is_known(world, sentence).await.unwrap_or_else(|error| error.to_string());
        *sentence = format!("{sentence}\n{known}");
    }
    seen.doubled = verdict.doubled.into_iter().map(with_its_triggers).collect();
    seen.wrong.extend(traffic.strange());
    let differences = world.differences().await.unwrap_or_else(|error| vec![format!("{error:#}")]);
    let letters = world.ledger.rows("SELECT number FROM dead_letters WHERE state = 'open'").await.unwrap_or_default();
    // A person is told of its order: it was deleted before anybody could ask whose the parcel is.
    let is_told = |sentence: &String| {
        let mut numbers = letters.iter().filter_map(|row| row["number"].as_str()).filter(|number| !number.is_empty());
        numbers.any(|number| sentence.contains(&format!("{number} (NEW), which the ledger")))
    };
    let differences = differences.into_iter().filter(|sentence| !is_of_nothing_wanted(sentence) && !is_told(sentence));
    for sentence in differences {
        let known = if seen.wrong.len() < TOLD { what_is_known(world, &sentence).await } else { Ok(String::new()) };
        seen.wrong.push(format!("{sentence}\n{}", known.unwrap_or_else(|error| error.to_string())));
    }
    seen.wrong.extend(others_goods(world, &records).await.unwrap_or_else(|error| vec![format!("{error:#}")]));
    let sql = "SELECT outcome AS id FROM journal WHERE what = 'trigger' UNION SELECT command_id FROM intents \
               UNION SELECT command_id FROM order_intents";
    let known = world.ledger.rows(sql).await.unwrap_or_default();
    let known: std::collections::BTreeSet<&str> = known.iter().filter_map(|row| row["id"].as_str()).collect();
    let accepted = world.accepted();
    seen.accepted = accepted.len();
    seen.forgotten = accepted.iter().filter(|fired| !known.contains(fired.command.as_str())).count();
    let repairs = "SELECT COUNT(*) AS n FROM journal WHERE what = 'decision' AND outcome = 'repair'";
    seen.repairs = world.ledger.count(repairs).await.unwrap_or(-1);
    let workers = world.process_names().into_iter().filter(|name| name.starts_with("worker"));
    let told = workers.map(|name| world.log(&name).matches("another PostgreSQL server has taken over").count());
    if told.clone().sum::<usize>() != 1 {
        seen.wrong.push(format!("the takeover is told {} times", told.sum::<usize>()));
    }
    let doctor = said(world).await;
    if !doctor.contains("took over") && !doctor.contains("taken over") {
        seen.wrong.push(format!("the doctor does not tell the takeover: {doctor}"));
    }
}

/// An order that was sent and cancelled within what was lost: nobody wants it, and its parcel is
/// cancelled there as it is here. Nothing says that it ever was ours, and nothing is to be done.
fn is_of_nothing_wanted(difference: &str) -> bool {
    difference.ends_with("(CANCELED), which the ledger does not know")
}

/// What the journal says of the order that a difference is about, for whoever looks into it.
async fn what_is_known(world: &World, difference: &str) -> anyhow::Result<String> {
    let words = difference.split([' ', ':', '(']);
    let number = words.into_iter().find(|word| word.contains(|c: char| c.is_ascii_digit())).unwrap_or_default();
    let digits: String =
        number.rsplit('-').find(|part| part.len() > 3).unwrap_or(number).chars().filter(char::is_ascii_digit).collect();
    let sql = "SELECT at, what, integration_id, number, orderno, op, outcome, text FROM journal ORDER BY at, id";
    let rows = world.ledger.rows(sql).await?;
    let is_about = |row: &&Line| {
        ["number", "orderno"].iter().any(|column| row[*column].as_str().is_some_and(|text| text.contains(&digits)))
    };
    let told = |row: &Line| {
        let words =
            ["integration_id", "number", "orderno", "what", "op", "outcome", "text"].map(|column| match &row[column] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
        format!("{} {}\n", row["at"], words.join(" | "))
    };
    Ok(rows.iter().filter(is_about).map(told).collect())
}

/// Rows that hold another order's number, sum or goods. Whose a parcel is, its goods say.
async fn others_goods(world: &World, records: &[verdict::Record]) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    let orders = world.measoft.orders();
    let text = |row: &Line, column: &str| row.get(column).and_then(Value::as_str).unwrap_or_default().to_owned();
    let rows = world
        .ledger
        .rows("SELECT integration_id, crm_order_id, number, orderno, ordercode, price, item_codes FROM deliveries")
        .await?;
    for row in &rows {
        let (id, orderno) = (row["crm_order_id"].as_i64(), text(row, "orderno"));
        let Some(shop) = world.shops.iter().find(|shop| Some(shop.integration) == row["integration_id"].as_i64())
        else {
            continue;
        };
        let side = |record: &&verdict::Record| {
            record.shops.iter().any(|n| world.shops[*n].integration == shop.integration) && Some(record.id) == id
        };
        let Some(record) = records.iter().find(side) else { continue };
        // An order that RetailCRM has deleted has no other name than its parcel's.
        let nameless = record.wanted.deleted && text(row, "number") == orderno;
        if !record.numbers.contains(&text(row, "number")) && !nameless {
            wrong.push(format!("the row of {} bears the number {}", record.name(), text(row, "number")));
        }
        if let Some(parcel) = orders.iter().find(|o| o.account == shop.cabinet && o.orderno == orderno) {
            if !is_of(parcel, record, &world.shops) {
                wrong.push(format!("the row of {} bears {orderno}, a parcel of another", record.name()));
            }
            let code = text(row, "ordercode");
            if !code.is_empty() && code != parcel.ordercode {
                wrong.push(format!("the row of {} knows {orderno} as {code}", record.name()));
            }
        }
        let codes: BTreeMap<String, String> = serde_json::from_str(&text(row, "item_codes")).unwrap_or_default();
        let line = |line: &String| line.split('-').next().and_then(|id| id.parse::<i64>().ok());
        if let Some(other) = codes.keys().filter_map(line).find(|line| !record.items.contains(line)) {
            wrong.push(format!("the row of {} holds the goods {other}, another's", record.name()));
        }
    }
    Ok(wrong)
}
