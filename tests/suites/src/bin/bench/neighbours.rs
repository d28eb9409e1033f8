//! What a healthy shop feels of thirty-one sick ones on the same installation: ten whose
//! RetailCRM hangs, ten whose cabinet is silent, ten that answer 502, one that was told to
//! come back tomorrow.

use std::ops::Range;
use std::time::{Duration, Instant};

use harness::{Placed, Role, World};
use simulators::measoft::{FaultAction, FaultRule};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::end_to_end::{ms, paced, paced_unserved};
use crate::measure::{Samples, say};
use crate::report::{Report, Target};
use crate::rig::{Orders, Trigger, grow, lifted};

const HEALTHY: Range<usize> = 0..1;
const CRM_HANGS: Range<usize> = 1..11;
const SILENT: Range<usize> = 11..21;
const BAD_GATEWAY: Range<usize> = 21..31;
const TOMORROW: usize = 31;
const SHOPS: usize = 32;
/// Triggers a second of the healthy shop and of all the sick ones; callbacks of each.
const PACE: u32 = 5;
const SICK_PACE: u32 = 45;
const CALLBACKS: u32 = 2;
const LASTS: u32 = 40;

pub async fn run(report: &mut Report) -> anyhow::Result<()> {
    let builder = World::scaled("bench-neighbours").with(Role::Worker, 2).with(Role::Scheduler, 1);
    let mut world = lifted(builder).start().await;
    let mut orders = Orders::default();
    grow(&mut world, &mut orders, SHOPS).await?;
    let all = usize::try_from(PACE * LASTS)?;
    let alone = healthy(&world, &mut orders, all).await?;
    say(format_args!("alone: {alone}"));

    let hanging = fall_ill(&world).await?;
    let stop = CancellationToken::new();
    let sick = orders.place(&world, 1..SHOPS, usize::try_from(SICK_PACE * LASTS * 4)?);
    let forms = orders.put(&world, 1..SHOPS, 2 * SHOPS);
    let filling = callbacks(&world, &forms, CALLBACKS * 4, &stop);
    let beside = async {
        // Whatever comes of it, the sick ones are not waited for.
        let _over = stop.clone().drop_guard();
        let beside = healthy(&world, &mut orders, all).await?;
        say(format_args!("beside the sick: {beside}"));
        for name in ["worker-1", "worker-2", "ingress-1"] {
            world.terminate(name).await;
            world.start(name).await;
        }
        let restarted = healthy(&world, &mut orders, all).await?;
        say(format_args!("after a restart: {restarted}"));
        anyhow::Ok((beside, restarted))
    };
    let firing = fire_until(&world, sick, &stop);
    let (found, _, ()) = tokio::join!(beside, filling, firing);
    let (beside, restarted) = found?;
    drop(hanging);
    for (when, found) in [("among 31 sick shops", &beside), ("after a restart", &restarted)] {
        let trigger = format!("a healthy shop {when}: trigger to effect, p95 (allowed: 2 × alone + 1 s)");
        let limit = 2.0 * ms(&alone.effects, 0.95) + 1_000.0;
        report.compared(trigger, ms(&found.effects, 0.95), limit, "ms", Target::AtMost(1.0));
        let callback = format!("a healthy shop {when}: callback, p95 (allowed: 2 × alone + 0.5 s)");
        let limit = 2.0 * ms(&alone.callbacks, 0.95) + 500.0;
        report.compared(callback, ms(&found.callbacks, 0.95), limit, "ms", Target::AtMost(1.0));
    }
    world.discard().await;
    Ok(())
}

/// What the healthy shop saw.
struct Felt {
    effects: Samples,
    callbacks: Samples,
    failed: usize,
}

impl std::fmt::Display for Felt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (effects, callbacks) = (&self.effects, &self.callbacks);
        write!(
            f,
            "effects p50 {:?} p95 {:?} max {:?}; callbacks p50 {:?} p95 {:?}, {} of {} failed",
            effects.quantile(0.5),
            effects.quantile(0.95),
            effects.quantile(1.0),
            callbacks.quantile(0.5),
            callbacks.quantile(0.95),
            self.failed,
            callbacks.len(),
        )
    }
}

/// Fires the healthy shop's triggers and asks its tariffs meanwhile.
async fn healthy(world: &World, orders: &mut Orders, count: usize) -> anyhow::Result<Felt> {
    let triggers = orders.place(world, HEALTHY, count);
    let forms = orders.put(world, HEALTHY, 20);
    let done = CancellationToken::new();
    let sent = async {
        let sent = paced(world, triggers, PACE).await;
        done.cancel();
        sent
    };
    let (sent, asked) = tokio::join!(sent, callbacks(world, &forms, CALLBACKS, &done));
    let (callbacks, failed) = asked;
    anyhow::ensure!(failed == 0, "{failed} callbacks of the healthy shop failed");
    Ok(Felt { effects: sent?.latencies(Duration::ZERO), callbacks, failed })
}

/// `calculate` of these orders in turn, until it is enough; how long each took, how many failed.
async fn callbacks(world: &World, forms: &[Placed], pace: u32, done: &CancellationToken) -> (Samples, usize) {
    let mut asking = JoinSet::new();
    let begun = Instant::now();
    for n in 0u32.. {
        tokio::select! {
            () = done.cancelled() => break,
            () = tokio::time::sleep_until((begun + Duration::from_secs(1) / pace * n).into()) => {}
        }
        let form = &forms[n as usize % forms.len()];
        let (crm, account, id) = (world.crm.clone(), world.shops[form.shop].account, form.id);
        asking.spawn(async move { crm.calculate(account, id).await });
    }
    let (mut samples, mut failed) = (Samples::default(), 0);
    while let Some(answer) = asking.join_next().await {
        match answer {
            Ok(Ok(answer)) => {
                failed += usize::from(answer.json()["success"] != true);
                samples.add(answer.took);
            }
            _ => failed += 1,
        }
    }
    (samples, failed)
}

async fn fire_until(world: &World, triggers: Vec<Trigger>, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        _ = paced_unserved(world, triggers, SICK_PACE) => {}
    }
}

/// Makes everybody sick but one. What hangs does so for as long as the result lives.
async fn fall_ill(world: &World) -> anyhow::Result<JoinSet<()>> {
    let mut hanging = JoinSet::new();
    for shop in CRM_HANGS {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        hanging.spawn(async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                held.push(stream);
            }
        });
        let id = world.shops[shop].integration.to_string();
        let moved = world.bridge(&["integration", "edit", &id, "--crm-url", &url]).await;
        anyhow::ensure!(moved.code == 0, "{}", moved.stderr);
    }
    let cabinet = |shop: usize| world.shops[shop].cabinet.as_str();
    let silent = FaultRule::new(FaultAction::DelayBefore { ms: 600_000 });
    let bad_gateway = FaultRule::new(FaultAction::Html { status: 502, act: false });
    let tomorrow = FaultAction::Status { status: 429, retry_after: Some(86_400), act: false };
    let rules = SILENT.map(|shop| silent.clone().account(cabinet(shop)));
    let rules = rules.chain(BAD_GATEWAY.map(|shop| bad_gateway.clone().account(cabinet(shop))));
    world.measoft.set_faults(rules.chain([FaultRule::new(tomorrow).account(cabinet(TOMORROW))]).collect());
    Ok(hanging)
}
