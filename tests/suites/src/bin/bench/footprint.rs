//! What a process needs that does nothing: memory, time to start, room on the disk.

use std::time::{Duration, Instant};

use harness::{Role, World};

use crate::database::Database;
use crate::load::Line;
use crate::measure::{Seen, median, rested, say};
use crate::report::{Report, Target};
use crate::rig::{Orders, cpu_of, grow, lifted};

const ROLES: [&str; 3] = ["ingress-1", "worker-1", "scheduler-1"];
/// How long idleness is watched.
const IDLE: Duration = Duration::from_secs(30);
const STARTS: usize = 5;
/// After this long what start-up needed is given back.
const CALM: Duration = Duration::from_secs(5);

pub async fn run(report: &mut Report) -> anyhow::Result<()> {
    let mut scaled = lifted(World::scaled("bench-footprint").with(Role::Worker, 1)).start().await;
    for name in ROLES {
        of(report, &scaled, name).await?;
    }
    idle(report, &mut scaled).await?;
    scaled.discard().await;
    let embedded = lifted(World::embedded("bench-footprint-embedded")).start().await;
    of(report, &embedded, "bridge").await?;
    embedded.discard().await;
    Ok(())
}

/// An installation with three integrations and nothing to do.
async fn idle(report: &mut Report, world: &mut World) -> anyhow::Result<()> {
    grow(world, &mut Orders::default(), 3).await?;
    rested().await?;
    tokio::time::sleep(CALM).await;
    let roles: Vec<Seen> = ROLES.map(|name| Seen(world.process_id(name))).to_vec();
    let (cpu, database) = (cpu_of(&roles)?, Database::seen(world).await?);
    tokio::time::sleep(IDLE).await;
    let seconds = IDLE.as_secs_f64();
    let spent = Database::seen(world).await?.since(database, usize::try_from(IDLE.as_secs())?);
    let ours = (cpu_of(&roles)? - cpu).as_secs_f64() * 1000.0 / seconds;
    say(format_args!("idle: {:.1} transactions/s, {ours:.2} ms CPU a second", spent.transactions()));
    report.figure("idle: transactions a second", spent.transactions(), "/s", Target::None);
    report.figure("idle: CPU of all roles a second", ours, "ms", Target::None);
    report.figure("idle: CPU of PostgreSQL a second", spent.cpu_ms, "ms", Target::None);
    Ok(())
}

async fn of(report: &mut Report, world: &World, name: &str) -> anyhow::Result<()> {
    let program = name.split('-').next().unwrap_or(name);
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        world.terminate(name).await;
        let begun = Instant::now();
        world.launch(name);
        until_ready(world, name).await?;
        starts.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    tokio::time::sleep(CALM).await;
    let rss = Seen(world.process_id(name)).rss_mib()?;
    let file = harness::programs().join(program);
    let size = std::fs::metadata(file)?.len() as f64 / f64::from(1 << 20);
    say(format_args!("{program}: {rss:.1} MiB, starts {starts:.0?} ms"));
    report.figure(format!("{program}: idle RSS"), rss, "MiB", Target::AtMost(25.0));
    report.figure(format!("{program}: start to ready"), median(starts), "ms", Target::AtMost(300.0));
    report.figure(format!("{program}: binary"), size, "MiB", Target::None);
    Ok(())
}

async fn until_ready(world: &World, name: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    let request = b"GET /ready HTTP/1.1\r\nHost: bench\r\n\r\n";
    while begun.elapsed() < Duration::from_secs(20) {
        if let Ok(mut line) = Line::open(world.ops(name)).await
            && let Ok((200, _)) = line.ask(request).await
        {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    anyhow::bail!("{name} was not ready within 20 s")
}
