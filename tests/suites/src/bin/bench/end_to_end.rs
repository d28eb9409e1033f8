//! What the bridge adds between a trigger and its effect, to a callback's answer, and to
//! the neighbours of a shop that floods it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::{Role, World};
use jiff::Timestamp;

use crate::database::Database;
use crate::load::Line;
use crate::measure::{Samples, say};
use crate::report::{Report, Target};
use crate::rig::{Orders, Trigger, cpu_of, fire, grow, ingress, lifted, served, workers};

/// Triggers or callbacks a second.
pub const PACE: u32 = 50;
/// The flooding shop and its neighbours.
const SHOPS: usize = 10;
const FLOOD: usize = 20_000;
/// The neighbours' triggers a second during a flood, all together.
const NEIGHBOURS: u32 = 20;
/// After this long a flood must not be felt.
const BEARING: Duration = Duration::from_secs(5);

pub async fn run(report: &mut Report) -> anyhow::Result<()> {
    let builder = World::scaled("bench-end-to-end").with(Role::Worker, 2).with(Role::Scheduler, 0);
    let mut world = lifted(builder).start().await;
    let mut orders = Orders::default();
    grow(&mut world, &mut orders, SHOPS).await?;
    paced(&world, orders.place(&world, 0..SHOPS, 20 * SHOPS), PACE).await?;

    let seen = workers(&world, 2);
    let (before, database) = (cpu_of(&seen)?, Database::seen(&world).await?);
    let steady = paced(&world, orders.place(&world, 0..SHOPS, 1000), PACE).await?.latencies(Duration::ZERO);
    let cpu_ms = (cpu_of(&seen)? - before).as_secs_f64() * 1000.0 / steady.len() as f64;
    let spent = Database::seen(&world).await?.since(database, steady.len());
    say(format_args!("trigger to effect: median {:?}, p99 {:?}", steady.quantile(0.5), steady.quantile(0.99)));
    report.figure("end to end at 50/s: median", ms(&steady, 0.5), "ms", Target::AtMost(10.0));
    report.figure("end to end at 50/s: p99", ms(&steady, 0.99), "ms", Target::AtMost(40.0));
    report.figure("end to end at 50/s: CPU of the workers per command", cpu_ms, "ms", Target::None);
    spent.tell(report, "end to end at 50/s", "command", cpu_ms);

    callbacks(&world, &mut orders, report).await?;
    flood(&world, &mut orders, report).await?;
    world.discard().await;
    Ok(())
}

pub fn ms(samples: &Samples, share: f64) -> f64 {
    samples.quantile(share).as_secs_f64() * 1000.0
}

/// `calculate` as the CRM asks it, from its request to our answer; the simulator's own
/// time is in it.
async fn callbacks(world: &World, orders: &mut Orders, report: &mut Report) -> anyhow::Result<()> {
    let placed = orders.put(world, 0..2, 20);
    let account = world.shops[0].account;
    let mut asking = tokio::task::JoinSet::new();
    let begun = Instant::now();
    for n in 0..PACE * 10 {
        tokio::time::sleep_until((begun + Duration::from_secs(1) / PACE * n).into()).await;
        let (crm, id) = (world.crm.clone(), placed[n as usize % placed.len()].id);
        asking.spawn(async move { crm.calculate(account, id).await });
    }
    let mut samples = Samples::default();
    while let Some(answer) = asking.join_next().await {
        let answer = answer??;
        anyhow::ensure!(answer.json()["success"] == true, "calculate: {}", answer.text());
        samples.add(answer.took);
    }
    say(format_args!("callbacks: median {:?}, p95 {:?}", samples.quantile(0.5), samples.quantile(0.95)));
    report.figure("callback at 50/s through RabbitMQ: median", ms(&samples, 0.5), "ms", Target::None);
    report.figure("callback at 50/s through RabbitMQ: p95", ms(&samples, 0.95), "ms", Target::AtMost(15.0));
    Ok(())
}

async fn flood(world: &World, orders: &mut Orders, report: &mut Report) -> anyhow::Result<()> {
    let few = usize::try_from(NEIGHBOURS)?;
    let idle = paced(world, orders.place(world, 1..SHOPS, few * 6), NEIGHBOURS).await?.latencies(Duration::ZERO);
    let flood = orders.place(world, 0..1, FLOOD);
    let neighbours = orders.place(world, 1..SHOPS, few * 18);
    let before = served(world).await?;
    let (round, meanwhile) = tokio::join!(fire(world, flood, 32), paced_unserved(world, neighbours, NEIGHBOURS));
    let (round, meanwhile) = (round?, meanwhile?);
    let left = before + i64::try_from(FLOOD)? + i64::from(NEIGHBOURS) * 18 - served(world).await?;
    say(format_args!("{FLOOD} commands posted in {:?}; {left} were left when the neighbours were done", round.took));
    let found = eventually_served(world, meanwhile).await?.latencies(BEARING);
    let limit = 2.0 * ms(&idle, 0.95) + 100.0;
    say(format_args!("neighbours of a flood: p95 {:?}, idle {:?}", found.quantile(0.95), idle.quantile(0.95)));
    report.compared(
        "neighbours of a flood: p95 (allowed: 2 × idle + 100 ms)",
        ms(&found, 0.95),
        limit,
        "ms",
        Target::AtMost(1.0),
    );
    Ok(())
}

/// When triggers were sent.
pub struct Sent {
    begun: Timestamp,
    at: HashMap<String, Timestamp>,
    /// When each number reached MeaSoft.
    effects: HashMap<String, Timestamp>,
}

impl Sent {
    /// From trigger to effect, of those sent this long after the beginning or later.
    pub fn latencies(&self, after: Duration) -> Samples {
        let mut samples = Samples::default();
        for (orderno, sent) in &self.at {
            if sent.duration_since(self.begun).unsigned_abs() >= after
                && let Some(effect) = self.effects.get(orderno)
            {
                samples.add(effect.duration_since(*sent).unsigned_abs());
            }
        }
        samples
    }
}

/// Fires at a pace, whatever comes back, and waits until all of it is served.
pub async fn paced(world: &World, triggers: Vec<Trigger>, pace: u32) -> anyhow::Result<Sent> {
    let sent = paced_unserved(world, triggers, pace).await?;
    eventually_served(world, sent).await
}

pub async fn paced_unserved(world: &World, triggers: Vec<Trigger>, pace: u32) -> anyhow::Result<Sent> {
    const LINES: usize = 16;
    let address = ingress(world)?;
    let triggers = Arc::new(triggers);
    let mut lines = Vec::new();
    for _ in 0..LINES {
        lines.push(Line::open(address).await?);
    }
    let begun = Instant::now();
    let first = Timestamp::now();
    let tasks: Vec<_> = lines
        .into_iter()
        .enumerate()
        .map(|(place, mut line)| {
            let triggers = triggers.clone();
            tokio::spawn(async move {
                let mut at = HashMap::new();
                for (n, trigger) in triggers.iter().enumerate().skip(place).step_by(LINES) {
                    let due = begun + Duration::from_secs(1) / pace * u32::try_from(n)?;
                    tokio::time::sleep_until(due.into()).await;
                    let now = Timestamp::now();
                    let (status, body) = line.ask(&trigger.bytes).await?;
                    anyhow::ensure!(status == 200, "answered {status}: {}", String::from_utf8_lossy(body));
                    at.insert(trigger.orderno.clone(), now);
                }
                Ok(at)
            })
        })
        .collect();
    let mut at = HashMap::new();
    for task in tasks {
        at.extend(task.await??);
    }
    Ok(Sent { begun: first, at, effects: HashMap::new() })
}

/// Waits until every order of these has reached MeaSoft, and notes when it did.
async fn eventually_served(world: &World, mut sent: Sent) -> anyhow::Result<Sent> {
    let begun = Instant::now();
    loop {
        for request in world.measoft.requests() {
            if request.op == "neworder" {
                for orderno in request.ordernos {
                    sent.effects.entry(orderno).or_insert(request.at);
                }
            }
        }
        let missing = sent.at.keys().filter(|orderno| !sent.effects.contains_key(*orderno)).count();
        if missing == 0 {
            return Ok(sent);
        }
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(60), "{missing} orders have not reached MeaSoft");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
