//! A killed worker's orders: how long until another takes them up, and until they are served.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use harness::{Role, World};
use simulators::measoft::{FaultAction, FaultRule};

use crate::end_to_end::ms;
use crate::measure::{Samples, say};
use crate::report::{Report, Target};
use crate::rig::{Orders, fire, grow, lifted};

const SHOPS: usize = 8;
/// Orders fired before each kill.
const ORDERS: usize = 24;
/// MeaSoft takes so long for each request, so that a kill meets requests under way.
const SLOW_MS: u64 = 300;
const VICTIM: &str = "worker-1";

pub async fn run(report: &mut Report, kills: usize) -> anyhow::Result<()> {
    let builder = World::scaled("bench-takeover").with(Role::Worker, 2).with(Role::Scheduler, 0);
    // What a dead one sent is looked for as soon as it can have arrived.
    let mut world = lifted(builder).set("UNKNOWN_RECHECK_S", "1").start().await;
    let mut orders = Orders::default();
    grow(&mut world, &mut orders, SHOPS).await?;
    world.terminate(VICTIM).await;
    let survivor = owners(&world).await?;
    world.start(VICTIM).await;
    world.measoft.set_faults(vec![FaultRule::new(FaultAction::DelayBefore { ms: SLOW_MS }).op("neworder")]);
    let (mut taken, mut served, mut round) = (Samples::default(), Samples::default(), 0);
    while round < kills {
        fire(&world, orders.place(&world, 0..SHOPS, ORDERS), 8).await?;
        let victim = newcomer(&world, &survivor).await?;
        let Some(begun) = kill_with_orders_in_hand(&world, &victim).await? else {
            until_none(&world, WAITING, Duration::from_secs(120)).await?;
            continue;
        };
        round += 1;
        let held = format!("SELECT id FROM order_intents WHERE requested > served AND lease_owner = '{victim}'");
        let mut in_hand = ids(&world, &held).await?;
        let mut unserved = in_hand.clone();
        while !unserved.is_empty() {
            anyhow::ensure!(begun.elapsed() < Duration::from_secs(120), "orders of a dead worker stay where they are");
            let (still_held, waiting) = (ids(&world, &held).await?, ids(&world, WAITING).await?);
            note(&mut in_hand, &still_held, begun, &mut taken);
            note(&mut unserved, &waiting, begun, &mut served);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        world.start(VICTIM).await;
        until_none(&world, WAITING, Duration::from_secs(120)).await?;
    }
    let doubled: Vec<_> = world.differences().await?;
    anyhow::ensure!(doubled.is_empty(), "after {kills} kills: {}", doubled.join("; "));
    say(format_args!(
        "{kills} kills, {} orders in hand: taken up p50 {:?}, p99 {:?}; served p50 {:?}, p99 {:?}",
        taken.len(),
        taken.quantile(0.5),
        taken.quantile(0.99),
        served.quantile(0.5),
        served.quantile(0.99),
    ));
    let name = |what: &str| format!("a killed worker's orders ({kills} kills): {what}");
    report.figure(name("taken up by another, median"), ms(&taken, 0.5), "ms", Target::None);
    report.figure(name("taken up by another, p99"), ms(&taken, 0.99), "ms", Target::AtMost(5_000.0));
    report.figure(name("served, p99"), ms(&served, 0.99), "ms", Target::None);
    world.discard().await;
    Ok(())
}

const WAITING: &str = "SELECT id FROM order_intents WHERE requested > served";

/// Kills the worker as soon as it holds orders; `None` when there is nothing to be held any more.
async fn kill_with_orders_in_hand(world: &World, victim: &str) -> anyhow::Result<Option<Instant>> {
    let held = format!("SELECT id FROM order_intents WHERE requested > served AND lease_owner = '{victim}'");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        if !ids(world, &held).await?.is_empty() {
            world.kill(VICTIM);
            return Ok(Some(Instant::now()));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(None)
}

/// Takes down when orders left a set that they were in.
fn note(watched: &mut BTreeSet<i64>, still: &BTreeSet<i64>, begun: Instant, samples: &mut Samples) {
    watched.retain(|id| {
        let stays = still.contains(id);
        if !stays {
            samples.add(begun.elapsed());
        }
        stays
    });
}

async fn ids(world: &World, sql: &str) -> anyhow::Result<BTreeSet<i64>> {
    let rows = world.ledger.rows(sql).await?;
    Ok(rows.iter().filter_map(|row| row["id"].as_i64()).collect())
}

async fn owners(world: &World) -> anyhow::Result<BTreeSet<String>> {
    let rows = world.ledger.rows("SELECT owner FROM holders").await?;
    Ok(rows.iter().filter_map(|row| row["owner"].as_str().map(str::to_owned)).collect())
}

/// Who is there besides; one that has just started is waited for.
async fn newcomer(world: &World, known: &BTreeSet<String>) -> anyhow::Result<String> {
    for _ in 0..200 {
        if let Some(newcomer) = owners(world).await?.difference(known).next() {
            return Ok(newcomer.clone());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("a started worker does not say that it lives")
}

async fn until_none(world: &World, sql: &str, limit: Duration) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !ids(world, sql).await?.is_empty() {
        anyhow::ensure!(begun.elapsed() < limit, "not all was served within {limit:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
