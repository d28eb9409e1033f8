//! What comes back: statuses told to RetailCRM, and payments moved there.

use std::time::{Duration, Instant};

use harness::{Collect, Placed, Role, World};
use simulators::measoft::StatusChange;

use crate::database::{Database, Spent};
use crate::measure::{median, say};
use crate::report::{Report, Target};
use crate::rig::{Orders, cpu_of, drain, grow, lifted, workers};

/// Orders of a round.
const ORDERS: usize = 1000;
const ROUNDS: usize = 3;

pub async fn run(report: &mut Report) -> anyhow::Result<()> {
    let scaled = World::scaled("bench-money").with(Role::Worker, 1).with(Role::Scheduler, 0);
    let builder = scaled.setting("receive_payment=true").setting("payment_status=paid");
    let mut world = lifted(builder).start().await;
    let mut orders = Orders::default();
    grow(&mut world, &mut orders, 1).await?;
    let mut found = [Found::default(), Found::default()];
    for _ in 0..ROUNDS {
        let (placed, triggers) = orders.place_paying(&world, ORDERS, Collect::Cash);
        drain(&world, &workers(&world, 1), triggers).await?;
        let moves = [("ACCEPTED", None), ("COMPLETE", Some("CARD".to_owned()))];
        for ((code, paytype), found) in moves.into_iter().zip(&mut found) {
            one(&world, &placed, code, paytype, found).await?;
        }
    }
    world.discard().await;
    let [told, paid] = found;
    told.tell(report, "statuses told to RetailCRM", "status");
    paid.tell(report, "statuses told and payments moved", "order");
    Ok(())
}

#[derive(Debug, Default)]
struct Found {
    rates: Vec<f64>,
    cpu_ms: Vec<f64>,
    database: Vec<Spent>,
}

impl Found {
    fn tell(&self, report: &mut Report, part: &str, thing: &str) {
        let cpu = median(self.cpu_ms.clone());
        say(format_args!("{part}: {:.0}/s, {cpu:.3} ms CPU each", median(self.rates.clone())));
        report.figure(part, median(self.rates.clone()), "/s", Target::None);
        report.figure(format!("{part}: CPU of the worker per {thing}"), cpu, "ms", Target::None);
        Spent::median(&self.database).tell(report, part, thing, cpu);
    }
}

/// All orders get the status, and a sync begins; until RetailCRM has it of every one, and the
/// payment where one was named.
async fn one(
    world: &World,
    placed: &[Placed],
    code: &str,
    paytype: Option<String>,
    found: &mut Found,
) -> anyhow::Result<()> {
    let seen = workers(world, 1);
    let with_payment = paytype.is_some();
    for order in placed {
        let change = StatusChange { paytype: paytype.clone(), ..StatusChange::to(code, world.measoft.now()) };
        anyhow::ensure!(world.measoft.change_status(&world.orderno(order), &change), "no order {}", order.number);
    }
    let (cpu, database) = (cpu_of(&seen)?, Database::seen(world).await?);
    let asked = world.bridge(&["sync"]).await;
    anyhow::ensure!(asked.code == 0, "bridge sync: {}", asked.stderr);
    let begun = Instant::now();
    let known = |order: &Placed| {
        let account = world.shops[order.shop].account;
        world.crm.tracking(account, order.id).iter().any(|entry| entry.code == code)
            && (!with_payment
                || world.crm.payments(account, order.id).iter().any(|payment| payment.payment_type == "bank-card"))
    };
    // Orders come in any order: each is asked about until it is done, and not again.
    let mut open: Vec<&Placed> = placed.iter().collect();
    while !open.is_empty() {
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(120), "{} of {code} are not in RetailCRM", open.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
        open.retain(|order| !known(order));
    }
    let took = begun.elapsed();
    // What follows the answer is part of its price: the ends and the journal's rows.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let count = placed.len();
    found.rates.push(count as f64 / took.as_secs_f64());
    found.cpu_ms.push((cpu_of(&seen)? - cpu).as_secs_f64() * 1000.0 / count as f64);
    found.database.push(Database::seen(world).await?.since(database, count));
    Ok(())
}
