//! The order card's endpoints through ingress and the ledger of an installation with RabbitMQ: how
//! long a card waits for its button, and what the others feel while one client asks a thousand
//! times a second for what is its own, for what is not, and for what was done before.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use harness::{Placed, Role, World};
use serde_json::{Value, json};

use crate::end_to_end::ms;
use crate::load::{self, Line};
use crate::measure::{Samples, rested, say};
use crate::report::{Report, Target};
use crate::rig::{self, Orders, grow, ingress, lifted};

/// Cards that are opened a second, and for how long.
const PACE: u32 = 50;
const LASTS: u32 = 20;
/// Requests a second of the client that floods.
const FLOOD: u32 = 1_000;
/// Orders of each shop whose cards are opened.
const CARDS: usize = 100;

pub async fn run(report: &mut Report) -> anyhow::Result<()> {
    let builder = World::scaled("bench-widget").with(Role::Worker, 1).with(Role::Scheduler, 0);
    let mut world = lifted(builder).start().await;
    let mut orders = Orders::default();
    grow(&mut world, &mut orders, 2).await?;
    let before = rig::served(&world).await?;
    let placed: Vec<Placed> = orders.put(&world, 0..2, 2 * CARDS);
    rig::fire(&world, placed.iter().map(|order| rig::trigger(&world, order)).collect(), 8).await?;
    rig::until_served(&world, before + i64::try_from(placed.len())?, Duration::from_secs(60)).await?;

    let (address, cards) = (ingress(&world)?, cards(&world, &placed, 0));
    let pace = Pace { per_second: PACE, lasts: LASTS, lines: 16 };
    let _warm = paced(address, pace, cards.clone()).await?;
    rested().await?;
    let alone = paced(address, pace, cards.clone()).await?;
    say(format_args!("alone: {alone:?}"));
    let flooding = Pace { per_second: FLOOD, lasts: LASTS, lines: 64 };
    let (beside, flood) =
        tokio::try_join!(paced(address, pace, cards), paced(address, flooding, flood(&world, &placed)))?;
    say(format_args!("beside the flood: {beside:?}; the flood: {flood:?}"));
    world.discard().await;

    for felt in [&alone, &beside] {
        anyhow::ensure!(felt.by_status.keys().eq([&200]), "a card was refused: {felt:?}");
    }
    anyhow::ensure!(!flood.by_status.keys().any(|status| *status >= 500), "the flood broke something: {flood:?}");
    let name = |what: &str| format!("order card, {what}");
    report.figure(name("50 a second: p95"), ms(&alone.samples, 0.95), "ms", Target::AtMost(50.0));
    let limit = 2.0 * ms(&alone.samples, 0.99) + 100.0;
    let what = name("beside 1,000 requests a second of another client: p99 (allowed: 2 × alone + 100 ms)");
    report.compared(what, ms(&beside.samples, 0.99), limit, "ms", Target::AtMost(1.0));
    let refused = flood.samples.len() - flood.by_status.get(&200).copied().unwrap_or_default();
    let share = 100.0 * refused as f64 / flood.samples.len() as f64;
    report.figure(name("1,000 requests a second of one client: refused"), share, "%", Target::AtLeast(90.0));
    Ok(())
}

fn asking(what: &str, client: &str, payload: &Value) -> Vec<u8> {
    let payload: String = payload.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
    load::form(&format!("/retailcrm/widget/{what}"), &format!("clientId={client}&payload={payload}"))
}

/// The cards of a shop's own orders.
fn cards(world: &World, placed: &[Placed], shop: usize) -> Vec<Vec<u8>> {
    let client = &world.shops[shop].client_id;
    let own = placed.iter().filter(|order| order.shop == shop);
    own.map(|order| asking("order", client, &json!({"order": order.id, "language": "ru-RU"}))).collect()
}

/// The second shop's own cards, with as many requests of each kind that is none of its business.
fn flood(world: &World, placed: &[Placed]) -> Vec<Vec<u8>> {
    let client = &world.shops[1].client_id;
    let foreign = placed.iter().filter(|order| order.shop == 0);
    let odd = foreign.flat_map(|order| {
        let payload = json!({"order": order.id, "seen": 1, "letter": 1, "language": "ru-RU"});
        [asking("ask", client, &payload), asking("retry", client, &payload), asking("order", "of-nobody", &payload)]
    });
    let mut own = cards(world, placed, 1).into_iter().cycle();
    odd.flat_map(|odd| std::iter::once(odd).chain(own.next())).collect()
}

#[derive(Clone, Copy)]
struct Pace {
    per_second: u32,
    /// Seconds.
    lasts: u32,
    /// Connections.
    lines: usize,
}

/// What came of requests.
#[derive(Default)]
struct Felt {
    /// From the moment a request was to be sent.
    samples: Samples,
    by_status: BTreeMap<u16, usize>,
}

impl std::fmt::Debug for Felt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let quantile = |share| ms(&self.samples, share);
        write!(f, "p50 {:.1} p95 {:.1} p99 {:.1} ms, ", quantile(0.5), quantile(0.95), quantile(0.99))?;
        write!(f, "answers by status {:?}", self.by_status)
    }
}

/// Sends requests in turn at a pace, whatever becomes of those before.
async fn paced(address: SocketAddr, pace: Pace, requests: Vec<Vec<u8>>) -> anyhow::Result<Felt> {
    let alone = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(paced_on_this_thread(address, pace, requests))
    };
    tokio::task::spawn_blocking(alone).await?
}

async fn paced_on_this_thread(address: SocketAddr, pace: Pace, requests: Vec<Vec<u8>>) -> anyhow::Result<Felt> {
    let count = u64::from(pace.per_second * pace.lasts);
    let (requests, turn) = (Arc::new(requests), Arc::new(AtomicU64::new(0)));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..pace.lines)
        .map(|_| {
            let (requests, turn) = (requests.clone(), turn.clone());
            tokio::spawn(async move {
                let mut line = Line::open(address).await?;
                let mut felt = Felt::default();
                loop {
                    let n = turn.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return anyhow::Ok(felt);
                    }
                    let due = begun + Duration::from_secs_f64(n as f64 / f64::from(pace.per_second));
                    tokio::time::sleep_until(due.into()).await;
                    let request = &requests[usize::try_from(n)? % requests.len()];
                    let (status, _) = line.ask(request).await?;
                    felt.samples.add(due.elapsed());
                    *felt.by_status.entry(status).or_default() += 1;
                }
            })
        })
        .collect();
    let mut all = Felt::default();
    for task in tasks {
        let felt = task.await??;
        all.samples.merge(felt.samples);
        for (status, count) in felt.by_status {
            *all.by_status.entry(status).or_default() += count;
        }
    }
    Ok(all)
}
