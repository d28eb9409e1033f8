//! What a command costs a worker, and what more workers bring.

use harness::{Role, World};
use simulators::measoft::FaultAction;
use simulators::{measoft, retailcrm};

use crate::database::Spent;
use crate::measure::{median, say};
use crate::report::{Report, Target};
use crate::rig::{Orders, drain, grow, lifted, workers};

/// Integrations that share the work.
const SHOPS: usize = 10;
/// Commands of one backlog.
const BACKLOG: usize = 2000;
const ROUNDS: usize = 3;

pub async fn run(report: &mut Report) -> anyhow::Result<()> {
    cost(report).await?;
    scaling(report).await
}

/// One worker, vendors that answer at once.
async fn cost(report: &mut Report) -> anyhow::Result<()> {
    let builder = World::scaled("bench-worker").with(Role::Worker, 1).with(Role::Scheduler, 0);
    let mut world = lifted(builder).start().await;
    let mut orders = Orders::default();
    grow(&mut world, &mut orders, SHOPS).await?;
    let seen = workers(&world, 1);
    drain(&world, &seen, orders.place(&world, 0..SHOPS, 300)).await?;
    let (mut rates, mut cpu, mut database) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let round = drain(&world, &seen, orders.place(&world, 0..SHOPS, BACKLOG)).await?;
        say(format_args!("worker: {:.0} commands/s, {:.3} ms CPU each", round.per_second, round.cpu_ms));
        rates.push(round.per_second);
        cpu.push(round.cpu_ms);
        database.push(round.database);
    }
    world.discard().await;
    let cpu = median(cpu);
    report.figure("worker: CPU per command of a backlog", cpu, "ms", Target::AtMost(1.5));
    Spent::median(&database).tell(report, "backlog", "command", cpu);
    report.figure("worker: commands of a backlog", median(rates), "/s", Target::AtLeast(500.0));
    Ok(())
}

/// Vendors that take 50 ms for an answer, four slots a worker.
async fn scaling(report: &mut Report) -> anyhow::Result<()> {
    const SLOTS: usize = 16;
    // A slot takes fifty orders of an integration at a time. Eight times each: the last round,
    // when some slots have none left, must not weigh much.
    const SHARE: usize = 8 * 50;
    let builder = World::scaled("bench-scaling").with(Role::Worker, 4).with(Role::Scheduler, 0);
    let mut world = lifted(builder).set("WORKER_CONCURRENCY", "4").start().await;
    for n in 2..=4 {
        world.terminate(&format!("worker-{n}")).await;
    }
    let mut orders = Orders::default();
    grow(&mut world, &mut orders, SLOTS).await?;
    world.measoft.set_faults(vec![measoft::FaultRule::new(FaultAction::DelayBefore { ms: 50 })]);
    let slow = retailcrm::FaultRule::new("*", retailcrm::When::Always, retailcrm::Action::Delay { ms: 50 });
    world.crm.set_faults(vec![slow]);
    let one = drain(&world, &workers(&world, 1), orders.place(&world, 0..SLOTS, SHARE * 4)).await?;
    say(format_args!("one worker: {:.1} commands/s", one.per_second));
    for n in 2..=4 {
        world.start(&format!("worker-{n}")).await;
    }
    // References are fetched once; they are not what is compared.
    drain(&world, &workers(&world, 4), orders.place(&world, 0..SLOTS, 4 * SLOTS)).await?;
    let four = drain(&world, &workers(&world, 4), orders.place(&world, 0..SLOTS, SHARE * SLOTS)).await?;
    say(format_args!("four workers: {:.1} commands/s", four.per_second));
    world.discard().await;
    report.compared(
        "worker: four workers against one (50 ms vendors)",
        four.per_second,
        one.per_second,
        "/s",
        Target::AtLeast(3.5),
    );
    Ok(())
}
