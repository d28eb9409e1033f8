//! A status sync of many orders, until its rows are stored, against reading the same answer
//! with a bare XML event loop.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use simulators::harness::{Role, World};
use simulators::measoft::Account;

use crate::measure::{Seen, say};
use crate::report::{Report, Target};
use crate::rig::{lifted, workers};

/// Orders of an answer, and how often it is measured: a short one says little alone.
const SIZES: [(usize, u32); 2] = [(10_000, 5), (100_000, 1)];
/// A cabinet beside the shops', with the same orders, for the baseline.
const TWIN: (&str, &str, &str) = ("8", "bench-twin", "bench-twin");

/// What the syncs of one size took together.
#[derive(Debug, Default)]
struct Found {
    stored: Duration,
    /// Fetched and read by the bare loop, and read alone.
    bare: Duration,
    loop_alone: Duration,
    applied: Duration,
    cpu: Duration,
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
    let shop = &world.shops[0];
    let (extra, login, password) = TWIN;
    world.measoft.add_account(Account::new(extra, login, password));
    let prefix = format!("{}S", shop.prefix);
    for cabinet in [shop.cabinet.as_str(), &format!("{extra}:{login}")] {
        anyhow::ensure!(world.measoft.seed_orders(cabinet, count, &prefix), "no cabinet {cabinet}");
    }
    own(world, shop.integration, &prefix, count).await?;

    let (fetched, alone) = bare(world, count).await?;
    found.bare += fetched;
    found.loop_alone += alone;
    let worker = workers(world, 1)[0];
    worker.forget_peak()?;
    let before = worker.cpu()?;
    let took = sync(world, worker, count).await?;
    found.stored += took.stored;
    found.cpu += took.cpu - before;
    found.peak = found.peak.max(took.peak);
    found.applied += applied(world, count).await?;
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
    report.figure(name("peak RSS of the worker"), found.peak, "MiB", Target::AtMost(150.0));
}

/// Makes the orders ours, as if we had placed them.
async fn own(world: &World, integration: i64, prefix: &str, count: usize) -> anyhow::Result<()> {
    let now = jiff::Timestamp::now().as_millisecond();
    let sql = format!(
        "INSERT INTO deliveries (integration_id, crm_order_id, number, orderno, state, created_at, updated_at) \
         SELECT {integration}, 9000000 + g, 'S' || g, '{prefix}' || g, 'created', {now}, {now} \
         FROM generate_series(1, {count}) g"
    );
    world.ledger.rows(&sql).await?;
    world.ledger.rows("ANALYZE deliveries").await?;
    Ok(())
}

/// How long fetching and reading takes, and reading alone.
async fn bare(world: &World, count: usize) -> anyhow::Result<(Duration, Duration)> {
    let (extra, login, password) = TWIN;
    let question = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?><statusreq><auth extra="{extra}" login="{login}" pass="{password}"/><client>CLIENT</client><changes>ONLY_LAST</changes><streamid>7</streamid></statusreq>"#
    );
    let client = reqwest::Client::builder().no_proxy().build()?;
    let begun = Instant::now();
    let answer = client.post(world.measoft.url()).body(question).send().await?.bytes().await?;
    let orders = read(&answer)?;
    let fetched = begun.elapsed();
    anyhow::ensure!(orders == count, "the baseline got {orders} orders of {count}");
    let begun = Instant::now();
    read(&answer)?;
    Ok((fetched, begun.elapsed()))
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
    stored: Duration,
    cpu: Duration,
    peak: f64,
}

async fn sync(world: &World, worker: Seen, count: usize) -> anyhow::Result<Took> {
    let asked = world.bridge(&["sync", &world.shops[0].integration.to_string()]).await;
    anyhow::ensure!(asked.code == 0, "bridge sync: {}", asked.stderr);
    let begun = Instant::now();
    let sql = format!("SELECT sealed_at - created_at AS took FROM status_batches WHERE row_count >= {count}");
    loop {
        if let Some(row) = world.ledger.rows(&sql).await?.first() {
            let cpu = worker.cpu()?;
            let millis = row["took"].as_u64().context("a batch is sealed after it began")?;
            return Ok(Took { stored: Duration::from_millis(millis.max(1)), cpu, peak: worker.peak_rss_mib()? });
        }
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(120), "the answer was not stored within two minutes");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// From the beginning of the fetch until the ledger has taken every row.
async fn applied(world: &World, count: usize) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let sql = "SELECT COUNT(*) AS n, MAX(updated_at) AS last FROM status_rows WHERE state = 'applied'";
    loop {
        let rows = world.ledger.rows(sql).await?;
        let row = rows.first().context("a count")?;
        if row["n"].as_u64() >= u64::try_from(count).ok() {
            let began = world.ledger.count("SELECT MIN(created_at) AS began FROM status_batches").await?;
            let last = row["last"].as_i64().context("a row has a time")?;
            return Ok(Duration::from_millis(u64::try_from(last - began)?.max(1)));
        }
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(300), "the ledger has not taken every row in 5 minutes");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
