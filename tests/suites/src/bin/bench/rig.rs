//! An installation to measure, and what is done with it more than once.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use harness::{Builder, Collect, Placed, World};
use tokio::sync::OnceCell;

use crate::database::{Database, Spent};
use crate::load::{self, Line, Round, Until};
use crate::measure::Seen;

/// Path of the send trigger.
pub const SEND: &str = "/reintegrations/requests/trigger/retailcrm";

/// The settings of an installation that is measured: no settling time, no budgets, the log
/// level of production, leases and retries that do not come up.
pub fn lifted(builder: Builder) -> Builder {
    [
        ("SETTLE_MS", "0"),
        ("RUST_LOG", "info"),
        ("LEASE_S", "90"),
        ("SWEEP_S", "300"),
        ("UNKNOWN_RECHECK_S", "30"),
        ("BREAKER_OPEN_S", "5"),
        ("RETRY_RUNGS_S", "2,15,45"),
        ("CRM_RPS", "1000000"),
    ]
    .into_iter()
    .fold(builder, |builder, (name, value)| builder.set(name, value))
}

/// The address of ingress as a socket's.
pub fn ingress(world: &World) -> anyhow::Result<SocketAddr> {
    let url = world.ingress();
    url.trim_start_matches("http://").parse().context("ingress has a socket address")
}

/// A send trigger, ready to be sent.
pub struct Trigger {
    pub orderno: String,
    pub bytes: Vec<u8>,
}

/// Orders that were never placed in a rig before.
#[derive(Debug, Default)]
pub struct Orders(usize);

impl Orders {
    /// Puts orders into RetailCRM, in turn over the shops.
    pub fn put(&mut self, world: &World, shops: std::ops::Range<usize>, count: usize) -> Vec<Placed> {
        let first = self.0;
        self.0 += count;
        (first..first + count)
            .map(|n| world.place(shops.start + n % shops.len(), n, Collect::nth(n / shops.len())))
            .collect()
    }

    /// The same, and gives their send triggers.
    pub fn place(&mut self, world: &World, shops: std::ops::Range<usize>, count: usize) -> Vec<Trigger> {
        self.put(world, shops, count).iter().map(|order| trigger(world, order)).collect()
    }

    /// Orders of the first shop that are all to be collected alike, with their send triggers.
    pub fn place_paying(&mut self, world: &World, count: usize, collect: Collect) -> (Vec<Placed>, Vec<Trigger>) {
        let first = self.0;
        self.0 += count;
        let placed: Vec<Placed> = (first..first + count).map(|n| world.place(0, n, collect)).collect();
        let triggers = placed.iter().map(|order| trigger(world, order)).collect();
        (placed, triggers)
    }
}

pub fn trigger(world: &World, order: &Placed) -> Trigger {
    let body = format!("id={}&sum=&key={}", order.number, world.shops[order.shop].key);
    Trigger { orderno: world.orderno(order), bytes: load::form(SEND, &body) }
}

/// Fires triggers as fast as they are taken.
pub async fn fire(world: &World, triggers: Vec<Trigger>, lines: usize) -> anyhow::Result<Round> {
    let count = triggers.len() as u64;
    let make = move |n: u64| triggers[usize::try_from(n).unwrap_or(0)].bytes.clone();
    load::drive(ingress(world)?, lines, Until::Sent(count), make).await
}

/// Adds integrations until there are `count`, and serves one order of each: then every
/// process knows them, references are fetched and connections are made.
pub async fn grow(world: &mut World, orders: &mut Orders, count: usize) -> anyhow::Result<()> {
    world.grow_to(count).await;
    let before = served(world).await?;
    let first = orders.place(world, 0..count, count);
    let mut line = Line::open(ingress(world)?).await?;
    for trigger in &first {
        let begun = Instant::now();
        while line.ask(&trigger.bytes).await?.0 != 200 {
            anyhow::ensure!(begun.elapsed() < Duration::from_secs(10), "ingress does not notice a new integration");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    until_served(world, before + i64::try_from(count)?, Duration::from_secs(60)).await
}

/// Orders whose requests are all served.
pub async fn served(world: &World) -> anyhow::Result<i64> {
    let table = intents(world).await?;
    world.ledger.count(&format!("SELECT COUNT(*) AS n FROM {table} WHERE requested = served")).await
}

/// The table of intents: an earlier commit, compared with, calls it `intents`.
async fn intents(world: &World) -> anyhow::Result<&'static str> {
    static NAME: OnceCell<&str> = OnceCell::const_new();
    let sql = "SELECT COUNT(*) AS n FROM information_schema.tables \
               WHERE table_schema = current_schema() AND table_name = 'order_intents'";
    let found = async || Ok(if world.ledger.count(sql).await? > 0 { "order_intents" } else { "intents" });
    NAME.get_or_try_init(found).await.copied()
}

/// Waits until so many orders have been served.
pub async fn until_served(world: &World, count: i64, limit: Duration) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let now = served(world).await?;
        if now >= count {
            return Ok(());
        }
        anyhow::ensure!(begun.elapsed() < limit, "only {now} of {count} orders were served within {limit:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The worker processes that run.
pub fn workers(world: &World, count: usize) -> Vec<Seen> {
    (1..=count).map(|n| Seen(world.process_id(&format!("worker-{n}")))).collect()
}

/// What a drained backlog came to.
#[derive(Debug, Clone, Copy)]
pub struct Drained {
    pub per_second: f64,
    /// CPU of the workers for one command.
    pub cpu_ms: f64,
    pub database: Spent,
}

/// Fires triggers while the workers stand still, lets them go and times them.
pub async fn drain(world: &World, workers: &[Seen], triggers: Vec<Trigger>) -> anyhow::Result<Drained> {
    let count = triggers.len();
    let before = served(world).await?;
    for worker in workers {
        worker.hold(true)?;
    }
    let fired = fire(world, triggers, 32).await;
    let (cpu_before, database) = (cpu_of(workers)?, Database::seen(world).await?);
    let begun = Instant::now();
    for worker in workers {
        worker.hold(false)?;
    }
    fired?;
    until_served(world, before + i64::try_from(count)?, Duration::from_secs(180)).await?;
    let took = begun.elapsed();
    // What follows an order's end is part of its price: the journal's last rows.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let cpu = cpu_of(workers)? - cpu_before;
    Ok(Drained {
        per_second: count as f64 / took.as_secs_f64(),
        cpu_ms: cpu.as_secs_f64() * 1000.0 / count as f64,
        database: Database::seen(world).await?.since(database, count),
    })
}

pub fn cpu_of(workers: &[Seen]) -> anyhow::Result<Duration> {
    workers.iter().map(|worker| worker.cpu()).sum()
}
