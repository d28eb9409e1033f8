//! Whether a store that has been in use for long makes anything slower: two installations
//! side by side, one empty, one with 100,000 finished deliveries and 1,000,000 rows of
//! journal, measured in turn.

use std::time::Duration;

use harness::{Role, World};

use crate::end_to_end::{PACE, ms, paced};
use crate::ingress::{Broker, triggers};
use crate::load::{self, Round, Until};
use crate::measure::{Samples, median, say};
use crate::report::{Report, Target};
use crate::rig::{Orders, drain, grow, ingress, lifted, workers};

const DELIVERIES: usize = 100_000;
const JOURNAL: usize = 1_000_000;
const TURNS: usize = 3;
const BACKLOG: usize = 1000;
const SHOPS: usize = 10;
const CONNECTIONS: usize = 64;

#[derive(Default)]
struct Found {
    rates: Vec<f64>,
    cpu: Vec<f64>,
    steady: Samples,
    accepted: Round,
}

struct Side {
    world: World,
    orders: Orders,
    found: Found,
}

impl Side {
    async fn start(name: &str) -> anyhow::Result<Self> {
        let builder = World::scaled(name).with(Role::Worker, 1).with(Role::Scheduler, 0);
        let mut world = lifted(builder).start().await;
        let mut orders = Orders::default();
        grow(&mut world, &mut orders, SHOPS).await?;
        Ok(Self { world, orders, found: Found::default() })
    }

    async fn turn(&mut self) -> anyhow::Result<()> {
        let backlog = self.orders.place(&self.world, 0..SHOPS, BACKLOG);
        let drained = drain(&self.world, &workers(&self.world, 1), backlog).await?;
        self.found.rates.push(drained.per_second);
        self.found.cpu.push(drained.cpu_ms);
        let some = self.orders.place(&self.world, 0..SHOPS, 250);
        self.found.steady.merge(paced(&self.world, some, PACE).await?.latencies(Duration::ZERO));
        Ok(())
    }

    /// Last, since nobody serves these: the worker stands still.
    async fn accept(&mut self, broker: &Broker, turn: usize) -> anyhow::Result<()> {
        let make = triggers(&self.world, &format!("growth-{turn}"));
        let until = Until::Elapsed(Duration::from_millis(1500));
        self.found.accepted.merge(load::drive(ingress(&self.world)?, CONNECTIONS, until, make).await?);
        broker.purge().await
    }
}

pub async fn run(report: &mut Report) -> anyhow::Result<()> {
    let mut full = Side::start("bench-growth-full").await?;
    fill(&full.world).await?;
    let mut empty = Side::start("bench-growth-empty").await?;
    for turn in 0..TURNS {
        say(format_args!("growth: turn {} of {TURNS}", turn + 1));
        empty.turn().await?;
        full.turn().await?;
    }
    for side in [&empty, &full] {
        side.world.terminate("worker-1").await;
    }
    let brokers = [Broker::open(&empty.world).await?, Broker::open(&full.world).await?];
    for turn in 0..TURNS {
        empty.accept(&brokers[0], turn).await?;
        full.accept(&brokers[1], turn).await?;
    }
    drop(brokers);
    let (old, new) = (full.found, empty.found);
    full.world.discard().await;
    empty.world.discard().await;
    let name = |what: &str| format!("growth, full store against empty: {what}");
    report.compared(name("CPU per command"), median(old.cpu), median(new.cpu), "ms", Target::AtMost(1.2));
    report.compared(name("commands"), median(old.rates), median(new.rates), "/s", Target::AtLeast(0.8));
    let (slow, quick) = (ms(&old.steady, 0.5), ms(&new.steady, 0.5));
    report.compared(name("end to end, median"), slow, quick, "ms", Target::AtMost(1.2));
    let (slow, quick) = (old.accepted.rate(), new.accepted.rate());
    report.compared(name("ingress, 64 connections"), slow, quick, "/s", Target::AtLeast(0.8));
    Ok(())
}

async fn fill(world: &World) -> anyhow::Result<()> {
    say(format_args!("growth: filling a store"));
    let now = jiff::Timestamp::now().as_millisecond();
    let (shop, day) = (&world.shops[0], 86_400_000);
    let (id, prefix) = (shop.integration, &shop.prefix);
    let words = "«order» masked text of an exchange with a vendor; ".repeat(8);
    for sql in [
        format!(
            "INSERT INTO deliveries (integration_id, crm_order_id, number, delivery_type, orderno, ordercode, state, status, \
             status_at, sent_hash, price, crm_written, created_at, updated_at, finished_at) \
             SELECT {id}, 5000000 + g, 'G' || g, 'incity', '{prefix}G' || g, g::text, 'delivered', 'COMPLETE', {now}, \
             md5(g::text), 100000, '{{\"external_id\":\"ms-{id}-' || g || '\",\"track_number\":\"G\",\"status\":\"COMPLETE\"}}', \
             {now} - {day} + g, {now} - {day} + g, {now} - {day} + g FROM generate_series(1, {DELIVERIES}) g"
        ),
        "INSERT INTO intents (integration_id, number, delivery_id, requested, served, send_seq, due_at, wanted_at, \
         command_id, created_at, updated_at) SELECT integration_id, number, id, 1, 1, 1, created_at, created_at, \
         md5(number), created_at, created_at FROM deliveries WHERE crm_order_id > 5000000"
            .to_owned(),
        format!(
            "INSERT INTO journal (at, integration_id, number, orderno, what, vendor, op, outcome, duration_ms, http_status, \
             text, request, response) SELECT {now} - {day} + g, {id}, 'G' || (g % {DELIVERIES}), '{prefix}G' || (g % \
             {DELIVERIES}), 'call', 'measoft', 'neworder', 'ok', 40, 200, 'neworder', '{words}', '{words}' \
             FROM generate_series(1, {JOURNAL}) g"
        ),
        "ANALYZE".to_owned(),
    ] {
        world.ledger.rows(&sql).await?;
    }
    Ok(())
}
