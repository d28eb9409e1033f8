//! Accepted and durable triggers a second, and how long a sender waits, against the raw
//! publisher (same broker, queue, message and number of callers, no HTTP), a bare axum
//! handler (HTTP and nothing else) and the same job in Go and Node, in turn.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use harness::{Role, World, broker_url};
use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueuePurgeOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};

use crate::load::{self, Round, Until};
use crate::measure::{Samples, Seen, rested, say};
use crate::peers::Peer;
use crate::report::{Report, Target};
use crate::rig::{SEND, ingress, lifted};

/// Connections at a time, unless others are asked for.
pub const CONNECTIONS: [usize; 4] = [1, 16, 64, 256];
/// The number of connections the targets are about.
const MEANT: usize = 64;
/// Turns of each side, an even number (see [`measure`]). Single ones differ by a tenth and more
/// on a small machine, so that the figures with a target take more of them.
const TURNS: usize = 4;
const TURNS_MEANT: usize = 10;
const TURN: Duration = Duration::from_millis(1500);
/// Publishing channels of ingress.
const CHANNELS: usize = 2;

/// The figures of one number of connections.
#[derive(Default)]
struct Found {
    ours: Round,
    raw: Round,
    raw_spread: Round,
    bare: Round,
    embedded: Round,
    cpu: Duration,
    /// Those in other languages, with the CPU time they took.
    peers: Vec<(&'static str, Round, Duration)>,
}

pub async fn run(report: &mut Report, connections: &[usize]) -> anyhow::Result<()> {
    let scaled = World::scaled("bench-ingress").with(Role::Worker, 0).with(Role::Scheduler, 0);
    let scaled = lifted(scaled).start().await;
    // In one process the worker takes the requests off the queue; none comes due meanwhile.
    let embedded = lifted(World::embedded("bench-ingress-embedded")).set("SETTLE_MS", "600000").start().await;
    let broker = Broker::open(&scaled).await?;
    let bare = Peer::bare()?;
    let peers = Peer::of_other_languages(&scaled)?;
    let mut all = Vec::new();
    for &connections in connections {
        let found = measure(&scaled, &embedded, &broker, &bare, &peers, connections).await?;
        say(format_args!(
            "{connections} connections: {:.0}/s, raw {:.0}/s, bare axum {:.0}/s, embedded {:.0}/s",
            found.ours.rate(),
            found.raw.rate(),
            found.bare.rate(),
            found.embedded.rate()
        ));
        all.push((connections, found));
    }
    drop((broker, peers));
    scaled.discard().await;
    embedded.discard().await;
    for (connections, found) in &all {
        tell(report, *connections, found);
    }
    Ok(())
}

async fn measure(
    scaled: &World,
    embedded: &World,
    broker: &Broker,
    bare: &Peer,
    peers: &[Peer],
    connections: usize,
) -> anyhow::Result<Found> {
    let process = Seen(scaled.process_id("ingress-1"));
    let until = Until::Elapsed(TURN);
    let nothing = |peer: &Peer| (peer.name, Round::default(), Duration::ZERO);
    let mut found = Found { peers: peers.iter().map(nothing).collect(), ..Found::default() };
    for turn in 0..if connections == MEANT { TURNS_MEANT } else { TURNS } {
        let mark = format!("{connections}-{turn}");
        // RabbitMQ still writes a side's messages out after its turn, so that both come after
        // one that leaves it alone, and each is first as often as the other.
        for ours in [turn % 2 == 1, turn % 2 == 0] {
            rested().await?;
            if ours {
                let before = process.cpu()?;
                found.ours.merge(load::drive(ingress(scaled)?, connections, until, triggers(scaled, &mark)).await?);
                found.cpu += process.cpu()? - before;
                broker.purge().await?;
                rested().await?;
                found
                    .embedded
                    .merge(load::drive(ingress(embedded)?, connections, until, triggers(embedded, &mark)).await?);
            } else {
                found.raw.merge(broker.publish(&broker.channels[..1], connections, TURN).await?);
                broker.purge().await?;
                rested().await?;
                found.bare.merge(load::drive(bare.address, connections, until, triggers(scaled, &mark)).await?);
            }
        }
        rested().await?;
        found.raw_spread.merge(broker.publish(&broker.channels, connections, TURN).await?);
        broker.purge().await?;
        for (peer, (_, round, cpu)) in peers.iter().zip(&mut found.peers) {
            rested().await?;
            let before = peer.process.cpu()?;
            round.merge(load::drive(peer.address, connections, until, triggers(scaled, &mark)).await?);
            *cpu += peer.process.cpu()? - before;
            broker.purge().await?;
        }
    }
    Ok(found)
}

/// Send triggers of numbers that were never used.
pub fn triggers(world: &World, mark: &str) -> impl Fn(u64) -> Vec<u8> + Send + Sync + 'static + use<> {
    let (key, mark) = (world.shops[0].key.clone(), mark.to_owned());
    move |n| load::form(SEND, &format!("id={mark}-{n}&sum=3790&key={key}"))
}

fn tell(report: &mut Report, connections: usize, found: &Found) {
    let target = |target| if connections == MEANT { target } else { Target::None };
    let name = |what: &str| format!("ingress, {connections} connections: {what}");
    let (ours, raw) = (found.ours.rate(), found.raw.rate());
    report.compared(name("accepted against raw publisher"), ours, raw, "/s", target(Target::AtLeast(0.75)));
    let p99 = |round: &Round| round.samples.quantile(0.99).as_secs_f64() * 1000.0;
    report.compared(
        name("p99 against raw publisher"),
        p99(&found.ours),
        p99(&found.raw),
        "ms",
        target(Target::AtMost(2.0)),
    );
    let spread = found.raw_spread.rate();
    report.compared(name("accepted against raw publisher over two channels"), ours, spread, "/s", Target::None);
    report.compared(name("accepted against bare axum"), ours, found.bare.rate(), "/s", Target::None);
    let per_thousand = |cpu: Duration, round: &Round| cpu.as_secs_f64() * 1000.0 / round.done as f64;
    let cpu = per_thousand(found.cpu, &found.ours);
    report.figure(name("CPU for 1,000 triggers"), cpu, "s", target(Target::AtMost(0.06)));
    for (peer, round, took) in &found.peers {
        let theirs = round.rate();
        report.compared(name(&format!("accepted against {peer}")), ours, theirs, "/s", target(Target::AtLeast(2.0)));
        let what = name(&format!("CPU for 1,000 triggers against {peer}"));
        report.compared(what, cpu, per_thousand(*took, round), "s", target(Target::AtMost(0.35)));
    }
    report.figure(name("embedded, accepted"), found.embedded.rate(), "/s", target(Target::AtLeast(5000.0)));
    report.figure(name("embedded, p99"), p99(&found.embedded), "ms", Target::None);
}

/// The product's own queue, published to without the product.
pub struct Broker {
    _connection: Connection,
    /// As many as ingress has. The raw publisher that the target is about is a plain one and
    /// uses the first.
    channels: [Channel; CHANNELS],
    exchange: String,
    queue: String,
    body: Vec<u8>,
    properties: BasicProperties,
}

impl Broker {
    /// Takes one message that ingress has published as the pattern of its own.
    pub async fn open(world: &World) -> anyhow::Result<Self> {
        let connection = Connection::connect(&broker_url(), ConnectionProperties::default()).await?;
        let mut channels = Vec::with_capacity(CHANNELS);
        for _ in 0..CHANNELS {
            let channel = connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            channels.push(channel);
        }
        let channels = channels.try_into().map_err(|_| anyhow::anyhow!("as many were opened"))?;
        let queue = format!("{}.interactive.v1", world.queue_prefix());
        load::drive(ingress(world)?, 1, Until::Sent(1), triggers(world, "pattern")).await?;
        // Before ingress has a connection it takes triggers into the store and forwards them, and
        // has declared no queue; to ask for one that is missing closes the channel.
        let begun = Instant::now();
        let message = loop {
            let asking = connection.create_channel().await?;
            if let Ok(Some(message)) = asking.basic_get(queue.as_str().into(), BasicGetOptions { no_ack: true }).await {
                break message;
            }
            anyhow::ensure!(begun.elapsed() < Duration::from_secs(10), "ingress has published nothing");
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let (body, properties) = (message.delivery.data.clone(), message.delivery.properties.clone());
        let exchange = format!("{}.jobs", world.queue_prefix());
        Ok(Self { _connection: connection, channels, exchange, queue, body, properties })
    }

    /// Empties the queue.
    pub async fn purge(&self) -> anyhow::Result<()> {
        self.channels[0].queue_purge(self.queue.as_str().into(), QueuePurgeOptions::default()).await?;
        Ok(())
    }

    /// Publishes with so many messages unconfirmed at a time, over the channels in turn.
    async fn publish(&self, channels: &[Channel], callers: usize, limit: Duration) -> anyhow::Result<Round> {
        let begun = Instant::now();
        let mut samples = Samples::default();
        let mut flight = FuturesUnordered::new();
        let mut channels = channels.iter().cycle();
        let mut send = || channels.next().map(|channel| self.send(channel));
        flight.extend((0..callers).filter_map(|_| send()));
        while let Some(took) = flight.next().await {
            samples.add(took?);
            if begun.elapsed() < limit {
                flight.extend(send());
            }
        }
        Ok(Round { done: samples.len() as u64, took: begun.elapsed(), samples })
    }

    async fn send(&self, channel: &Channel) -> anyhow::Result<Duration> {
        let asked = Instant::now();
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let (exchange, key) = (self.exchange.as_str().into(), "interactive.SendOrder".into());
        let sent = channel.basic_publish(exchange, key, options, &self.body, self.properties.clone()).await?;
        anyhow::ensure!(matches!(sent.await?, Confirmation::Ack(None)), "the broker did not take a message");
        Ok(asked.elapsed())
    }
}
