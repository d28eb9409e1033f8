//! What ingress is measured beside: servers in processes of their own, each of which prints its
//! address on one line once it listens.

use std::io::BufRead as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use harness::{World, broker_url};

use crate::measure::{Seen, say};

pub struct Peer {
    pub name: &'static str,
    pub address: SocketAddr,
    pub process: Seen,
    child: Child,
}

impl Peer {
    fn start(name: &'static str, command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("{name} does not start"))?;
        let stdout = child.stdout.take().context("piped")?;
        let process = Seen(child.id());
        // Held from here on, so that it is ended whatever comes.
        let mut peer = Self { name, address: SocketAddr::from(([127, 0, 0, 1], 0)), process, child };
        let mut line = String::new();
        std::io::BufReader::new(stdout).read_line(&mut line)?;
        peer.address = line.trim().parse().with_context(|| format!("{name} gave no address"))?;
        Ok(peer)
    }

    /// An axum handler that keeps nothing.
    pub fn bare() -> anyhow::Result<Self> {
        Self::start("bare axum", Command::new(std::env::current_exe()?).arg("--serve-bare"))
    }

    /// The same job in other languages, as far as `tests/run` has built them.
    pub fn of_other_languages(world: &World) -> anyhow::Result<Vec<Self>> {
        let node = Path::new("target/peers/node/peer.mjs");
        let go = Path::new("target/peers/go");
        let mut with_node = Command::new("node");
        with_node.arg(node);
        let mut peers = Vec::new();
        for (name, program, mut command) in [("Go", go, Command::new(go)), ("Node", node, with_node)] {
            if !program.exists() {
                say(format_args!("no peer in {name}"));
                continue;
            }
            command
                .env("AMQP_URL", broker_url())
                .env("PEER_EXCHANGE", format!("{}.jobs", world.queue_prefix()))
                .env("PEER_ROUTE", "interactive.SendOrder")
                .env("PEER_KEY", &world.shops[0].key);
            peers.push(Self::start(name, &mut command)?);
        }
        Ok(peers)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
