//! Makes a fault happen and ends it.

use std::time::Duration;

use crate::harness::{Outage, Server, World};
use crate::measoft::{FaultAction, FaultRule};
use crate::proxy::Path;
use crate::retailcrm;

use super::schedule::{Fault, Kind, Link, Misbehaviour, Program, Vendor};
use super::traffic::Traffic;

/// Share of the requests that a vendor spoils.
const SHARE: f64 = 0.6;

/// From the beginning of a fault to its end.
pub async fn happen(world: &World, traffic: &Traffic, fault: Fault, seed: u64) {
    let name = |program: Program| {
        let prefix = match program {
            Program::Ingress => "ingress-",
            Program::Worker => "worker-",
            Program::Scheduler => "scheduler-",
        };
        let of_it: Vec<String> = world.process_names().into_iter().filter(|name| name.starts_with(prefix)).collect();
        of_it[fault.which % of_it.len()].clone()
    };
    match fault.kind {
        Kind::Kill(program) => {
            world.kill(&name(program));
            tokio::time::sleep(fault.lasts).await;
            world.launch(&name(program));
        }
        Kind::Freeze(program) => {
            world.freeze(&name(program), true);
            tokio::time::sleep(fault.lasts).await;
            world.freeze(&name(program), false);
        }
        Kind::BrokerCrash => {
            Server::Broker.crash().await;
            Server::Broker.is_up().await;
        }
        Kind::BrokerStop => {
            let outage = Outage::stop_broker().await;
            tokio::time::sleep(fault.lasts).await;
            outage.end().await;
        }
        Kind::MemoryAlarm => {
            let outage = Outage::memory_alarm().await;
            tokio::time::sleep(fault.lasts).await;
            outage.end().await;
        }
        Kind::QueueDeleted => delete_queue(world, traffic, ["interactive", "bulk"][fault.which % 2]).await,
        Kind::DatabaseCrash => {
            Server::Database.crash().await;
            Server::Database.is_up().await;
        }
        Kind::Reset(link) => on_path(world, link, Path::Reset, fault.lasts).await,
        Kind::BlackHole(link) => on_path(world, link, Path::BlackHole, fault.lasts * 2).await,
        Kind::Slow(link) => {
            let delay = Duration::from_millis(50 + 50 * (fault.which as u64));
            on_path(world, link, Path::Slow(delay), fault.lasts).await;
        }
        Kind::Vendor(Vendor::Measoft, how) => {
            world.measoft.set_faults(vec![FaultRule::new(of_measoft(how)).probability(SHARE, seed)]);
            tokio::time::sleep(fault.lasts).await;
            world.measoft.clear_faults();
        }
        Kind::Vendor(Vendor::Crm, how) => {
            let when = retailcrm::When::Probability { p: SHARE, seed };
            world.crm.set_faults(vec![retailcrm::FaultRule::new("*", when, of_crm(how))]);
            tokio::time::sleep(fault.lasts).await;
            world.crm.clear_faults();
        }
        Kind::ClockJump(ms) => {
            world.skew(&name(Program::Worker), ms);
            tokio::time::sleep(fault.lasts).await;
            world.skew(&name(Program::Worker), 0);
        }
    }
}

async fn on_path(world: &World, link: Link, path: Path, lasts: Duration) {
    let proxy = match link {
        Link::Broker => &world.broker_path,
        Link::Database => &world.database_path,
        Link::Measoft => &world.measoft_path,
        Link::Crm => &world.crm_path,
    };
    proxy.as_ref().expect("the suite puts proxies before everything").cut(path, lasts).await;
}

/// Only an empty queue is deleted: messages that go with it would be destroyed, not lost.
async fn delete_queue(world: &World, traffic: &Traffic, queue: &str) {
    let _shut = traffic.gate.write().await;
    for _ in 0..100 {
        // Spilled triggers are on their way back into the queue.
        let spilled = world.ledger.waiting().await.map_or(1, |(_, jobs)| jobs);
        if spilled == 0 && world.delete_empty_queue(queue).await.unwrap_or(false) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

const fn of_measoft(how: Misbehaviour) -> FaultAction {
    match how {
        Misbehaviour::LostBefore => FaultAction::FailBefore,
        Misbehaviour::LostAfter => FaultAction::FailAfter,
        Misbehaviour::Html => FaultAction::Html { status: 200, act: true },
        Misbehaviour::Cut => FaultAction::CutXml,
        Misbehaviour::TooMany => FaultAction::Status { status: 429, retry_after: Some(1), act: false },
        Misbehaviour::Unavailable => FaultAction::Status { status: 503, retry_after: None, act: true },
        Misbehaviour::Late => FaultAction::DelayAfter { ms: 1_500 },
    }
}

const fn of_crm(how: Misbehaviour) -> retailcrm::Action {
    match how {
        Misbehaviour::LostBefore => retailcrm::Action::FailBefore,
        Misbehaviour::LostAfter => retailcrm::Action::LoseAnswer,
        Misbehaviour::Html => retailcrm::Action::Html { status: 502, acted: true },
        Misbehaviour::Cut => retailcrm::Action::CutJson,
        Misbehaviour::TooMany => retailcrm::Action::RateLimited { status: 429, retry_after_s: Some(1) },
        Misbehaviour::Unavailable => retailcrm::Action::RateLimited { status: 503, retry_after_s: None },
        Misbehaviour::Late => retailcrm::Action::DelayAnswer { ms: 1_500 },
    }
}
