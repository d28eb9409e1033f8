//! A status sync of many orders, until its rows are stored, against reading the same answer
//! with a bare XML event loop.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use harness::{Role, World};
use simulators::measoft::Account;

use crate::database::{Database, Spent};
use crate::measure::{Seen, median, say};
use crate::report::{Report, Target};
use crate::rig::{lifted, workers};

/// Orders of an answer, and how often it is measured: a short one says little alone.
const SIZES: [(usize, u32); 2] = [(10_000, 5), (100_000, 1)];
/// A cabinet beside the shops', with the same orders, for the baseline.
const TWIN: (&str, &str, &str) = ("8", "bench-twin", "bench-twin");

/// Orders of a sync before the measured one: a worker's first fetch opens connections and
/// starts threads, and it polls every few minutes from then on.
const FIRST: usize = 200;

/// What the syncs of one size took together.
#[derive(Debug, Default)]
struct Found {
    stored: Duration,
    /// Fetched and read by the bare loop, and read alone.
    bare: Duration,
    loop_alone: Duration,
    applied: Duration,
    cpu: Duration,
    /// Of the worker for one order until it is in the ledger, in ms, and what PostgreSQL spent.
    ledger: Vec<(f64, Spent)>,
    peak: f64,
}

pub async fn run(report: &mut Report) -> anyhow::Result<()> {
    for (count, times) in SIZES {
        let mut found = Found::default();
        for _ in 0..times {
            let builder = World::scaled("bench-sync").with(Role::Worker, 1).with(Role::Scheduler, 0);
            let world = lifted(builder).start().await;
            let measured = one(&world, count, &mut found).await;
            world.discard().await;
            measured?;
        }
        tell(report, count, times, &found);
    }
    Ok(())
}

async fn one(world: &World, count: usize, found: &mut Found) -> anyhow::Result<()> {
    let (extra, login, password) = TWIN;
    world.measoft.add_account(Account::new(extra, login, password));
    let (baseline, worker) = (Bare::new(world)?, workers(world, 1)[0]);
    seed(world, "F", 1, FIRST).await?;
    baseline.settled().await?;
    baseline.acknowledge().await?;
    sync(world, worker, FIRST).await?;
    applied(world, FIRST, FIRST).await?;
    seed(world, "S", FIRST + 1, count).await?;
    baseline.settled().await?;

    let read = baseline.fetch().await?;
    found.bare += read.fetched;
    found.loop_alone += read.alone;
    worker.forget_peak()?;
    let (before, database) = (worker.cpu()?, Database::seen(world).await?);
    let took = sync(world, worker, count).await?;
    let (orders, ours) = (read.orders, took.rows);
    anyhow::ensure!(orders == count && ours == count, "{ours} orders were stored, the baseline read {orders}");
    found.stored += took.stored;
    found.cpu += took.cpu - before;
    found.applied += applied(world, count, FIRST + count).await?;
    found.peak = found.peak.max(worker.peak_rss_mib()?);
    let each = (worker.cpu()? - before).as_secs_f64() * 1000.0 / count as f64;
    found.ledger.push((each, Database::seen(world).await?.since(database, count)));
    Ok(())
}

/// Puts orders into the shop's cabinet, where they are ours as if we had placed them, and into
/// its twin. `first` is RetailCRM's id of the first, less nine million.
async fn seed(world: &World, series: &str, first: usize, count: usize) -> anyhow::Result<()> {
    let shop = &world.shops[0];
    let (extra, login, _) = TWIN;
    let (integration, prefix) = (shop.integration, format!("{}{series}", shop.prefix));
    for cabinet in [shop.cabinet.as_str(), &format!("{extra}:{login}")] {
        anyhow::ensure!(world.measoft.seed_orders(cabinet, count, &prefix), "no cabinet {cabinet}");
    }
    let (now, base) = (jiff::Timestamp::now().as_millisecond(), 9_000_000 + first - 1);
    let sql = format!(
        "INSERT INTO deliveries (integration_id, crm_order_id, number, orderno, state, created_at, updated_at) \
         SELECT {integration}, {base} + g, '{series}' || g, '{prefix}' || g, 'created', {now}, {now} \
         FROM generate_series(1, {count}) g"
    );
    world.ledger.rows(&sql).await?;
    world.ledger.rows("ANALYZE deliveries").await?;
    Ok(())
}

fn tell(report: &mut Report, count: usize, times: u32, found: &Found) {
    let orders = count as f64 * f64::from(times);
    let rate = |took: Duration| orders / took.as_secs_f64();
    let (stored, bare) = (rate(found.stored), rate(found.bare));
    say(format_args!(
        "{count} statuses: {stored:.0}/s stored, bare {bare:.0}/s, {:.0}/s in the ledger, peak {:.0} MiB",
        rate(found.applied),
        found.peak
    ));
    let name = |what: &str| format!("status sync of {count}: {what}");
    report.compared(
        name("orders until stored, against fetching and bare reading"),
        stored,
        bare,
        "/s",
        Target::AtLeast(0.5),
    );
    let alone = rate(found.loop_alone);
    report.compared(name("orders until stored, against bare reading in memory"), stored, alone, "/s", Target::None);
    report.figure(name("orders until in the ledger"), rate(found.applied), "/s", Target::None);
    let cpu = found.cpu.as_secs_f64() * 1e6 / orders;
    report.figure(name("CPU of the worker for 1,000 orders"), cpu, "ms", Target::None);
    let (worker, database): (Vec<f64>, Vec<Spent>) = found.ledger.iter().copied().unzip();
    Spent::median(&database).tell(report, &format!("status sync of {count}"), "order", median(worker));
    report.figure(name("peak RSS of the worker"), found.peak, "MiB", Target::AtMost(150.0));
}

/// The baseline: a client that asks for what changed in the twin.
struct Bare<'a> {
    world: &'a World,
    client: reqwest::Client,
}

impl<'a> Bare<'a> {
    fn new(world: &'a World) -> anyhow::Result<Self> {
        Ok(Self { world, client: simulators::http().build()? })
    }

    async fn ask(&self, op: &str, changes: &str) -> anyhow::Result<reqwest::Response> {
        let (extra, login, password) = TWIN;
        let question = format!(
            r#"<?xml version="1.0" encoding="UTF-8"?><{op}><auth extra="{extra}" login="{login}" pass="{password}"/><client>CLIENT</client>{changes}<streamid>7</streamid></{op}>"#
        );
        Ok(self.client.post(self.world.measoft.url()).body(question).send().await?)
    }

    async fn fetch(&self) -> anyhow::Result<Read> {
        let begun = Instant::now();
        let answer = self.ask("statusreq", "<changes>ONLY_LAST</changes>").await?.bytes().await?;
        let orders = read(&answer)?;
        let fetched = begun.elapsed();
        let begun = Instant::now();
        read(&answer)?;
        Ok(Read { orders, fetched, alone: begun.elapsed() })
    }

    /// Waits until the courier has taken every order in: rows of those it has not are half as
    /// long, and both sides have to read the same.
    async fn settled(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let answer = self.ask("statusreq", "<changes>ONLY_LAST</changes>").await?.text().await?;
            if !answer.contains("AWAITING_SYNC") {
                return Ok(());
            }
            anyhow::ensure!(begun.elapsed() < Duration::from_secs(60), "the simulator takes no orders in");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn acknowledge(&self) -> anyhow::Result<()> {
        self.ask("commitlaststatus", "").await?.error_for_status()?;
        Ok(())
    }
}

/// How long fetching and reading took, and reading alone.
struct Read {
    orders: usize,
    fetched: Duration,
    alone: Duration,
}

/// The event loop: every event is taken, every order counted, nothing kept.
fn read(bytes: &[u8]) -> anyhow::Result<usize> {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_str(std::str::from_utf8(bytes)?);
    let mut orders = 0;
    loop {
        match reader.read_event()? {
            Event::Start(tag) if tag.name().as_ref() == "order" => orders += 1,
            Event::Eof => return Ok(orders),
            _ => {}
        }
    }
}

struct Took {
    rows: usize,
    stored: Duration,
    cpu: Duration,
}

async fn sync(world: &World, worker: Seen, count: usize) -> anyhow::Result<Took> {
    let asked = world.bridge(&["sync", &world.shops[0].integration.to_string()]).await;
    anyhow::ensure!(asked.code == 0, "bridge sync: {}", asked.stderr);
    let begun = Instant::now();
    let sql =
        format!("SELECT sealed_at - created_at AS took, row_count FROM status_batches WHERE row_count >= {count}");
    loop {
        if let Some(row) = world.ledger.rows(&sql).await?.first() {
            let cpu = worker.cpu()?;
            let millis = row["took"].as_u64().context("a batch is sealed after it began")?;
            let stored = Duration::from_millis(millis.max(1));
            let rows = row["row_count"].as_u64().and_then(|rows| usize::try_from(rows).ok()).context("a count")?;
            return Ok(Took { rows, stored, cpu });
        }
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(120), "the answer was not stored within two minutes");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// From the beginning of the fetch until the ledger has taken every row, `all` of the run.
async fn applied(world: &World, count: usize, all: usize) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let sql = "SELECT COUNT(*) AS n, MAX(updated_at) AS last FROM status_rows WHERE state = 'applied'";
    loop {
        let rows = world.ledger.rows(sql).await?;
        let row = rows.first().context("a count")?;
        if row["n"].as_u64() >= u64::try_from(all).ok() {
            let sql = format!("SELECT MIN(created_at) AS began FROM status_batches WHERE row_count >= {count}");
            let began = world.ledger.count(&sql).await?;
            let last = row["last"].as_i64().context("a row has a time")?;
            return Ok(Duration::from_millis(u64::try_from(last - began)?.max(1)));
        }
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(300), "the ledger has not taken every row in 5 minutes");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
