//! Makes a fault happen and ends it.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use harness::proxy::Path;
use harness::{Outage, Server, World};
use simulators::measoft::{FaultAction, FaultRule};
use simulators::retailcrm;

use super::schedule::{Fault, Kind, Link, Misbehaviour, Mode, Program, Vendor};
use super::told::{self, Addresses, Named};
use super::traffic::Traffic;
use super::waiting::{self, Waits};
use super::{broker, crowd, database};

/// Share of the requests that a vendor spoils.
const SHARE: f64 = 0.6;
/// Milliseconds.
const DAY: i64 = 24 * 3_600 * 1_000;
/// Seconds.
const YEAR: u64 = 365 * 24 * 3_600;
/// More than the descriptors of [`super::DESCRIPTORS`] leave room for.
const CROWD: (usize, usize) = (600, 100);

/// What a fault showed while it lasted.
#[derive(Debug, Default)]
pub struct Seen {
    /// Who named it when, if somebody had to.
    pub named: Option<Named>,
    /// How long neighbours waited, if it was one tenant's.
    pub waits: Option<Waits>,
    /// What was not as it has to be.
    pub wrong: Vec<String>,
}

/// What a fault is watched for while it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Care {
    /// Whether it is told; only of a fault that comes alone, since one hides another.
    pub watched: bool,
    /// Whether nothing that is accepted may be destroyed with the broker.
    pub sparing: bool,
}

/// Names of the processes of a program.
pub fn of_program(world: &World, program: Program) -> Vec<String> {
    let prefix = program.name();
    world.process_names().into_iter().filter(|name| name.starts_with(prefix)).collect()
}

/// One of its processes; `which` is counted round.
pub fn the_process(world: &World, program: Program, which: usize) -> String {
    let of_it = of_program(world, program);
    of_it[which % of_it.len()].clone()
}

struct Happening<'a> {
    world: &'a World,
    traffic: &'a Traffic,
    fault: Fault,
    care: Care,
}

impl Happening<'_> {
    fn process(&self, program: Program) -> String {
        the_process(self.world, program, self.fault.which)
    }

    /// While it lasts: its time, and until it was told.
    async fn lasts(&self, lasts: Duration) -> Seen {
        let (world, begun, over) = (self.world, Instant::now(), CancellationToken::new());
        let ill = &world.shops[waiting::troubled(world, &self.fault)];
        let mut seen = Seen::default();
        if !self.care.watched {
            tokio::time::sleep(lasts).await;
            return seen;
        }
        let (courier, login) = ill.cabinet.split_once(':').unwrap_or_default();
        let at = Addresses {
            mode: if world.is_embedded() { Mode::Embedded } else { Mode::Scaled },
            login: login.to_owned(),
            courier: courier.to_owned(),
            crm_url: world.crm_address(),
        };
        let expected = told::expected(&self.fault, &at);
        let watching = async {
            let named = async {
                match &expected {
                    Some(expected) => Some(told::named(world, expected, begun).await),
                    None => None,
                }
            };
            let (named, ()) = tokio::join!(named, tokio::time::sleep(lasts));
            over.cancel();
            named
        };
        let shops = waiting::neighbours(world, &self.fault);
        let (named, waits) = tokio::join!(watching, waiting::of(self.traffic, &shops, &over));
        if let Some((named, untold)) = named {
            seen.named = Some(named);
            seen.wrong = untold;
        }
        match waits {
            Ok(waits) if waits.count() > 0 => seen.waits = Some(waits),
            Ok(_) => {}
            Err(why) => seen.wrong.push(format!("a neighbour's order: {why}")),
        }
        seen
    }

    async fn on_path(&self, link: Link, path: Path, lasts: Duration) -> Seen {
        let proxy = match link {
            Link::Broker => &self.world.broker_path,
            Link::Database => &self.world.database_path,
            Link::Measoft => &self.world.measoft_path,
            Link::Crm => &self.world.crm_path,
        };
        let proxy = proxy.as_ref().expect("the suite puts proxies before everything");
        proxy.set(path);
        let seen = self.lasts(lasts).await;
        proxy.set(Path::Pass);
        seen
    }

    async fn at_measoft(&self, rule: FaultRule) -> Seen {
        self.world.measoft.set_faults(vec![rule]);
        let seen = self.lasts(self.fault.lasts).await;
        self.world.measoft.clear_faults();
        seen
    }

    async fn at_crm(&self, rule: retailcrm::FaultRule) -> Seen {
        self.world.crm.set_faults(vec![rule]);
        let seen = self.lasts(self.fault.lasts).await;
        self.world.crm.clear_faults();
        seen
    }

    async fn clock(&self, program: Program, ms: i64) -> Seen {
        let name = self.process(program);
        self.world.skew(&name, ms);
        let seen = self.lasts(self.fault.lasts).await;
        self.world.skew(&name, 0);
        seen
    }

    /// The program whose clock jumps.
    fn clockwork(&self) -> Program {
        if self.world.is_embedded() { Program::Bridge } else { Program::Worker }
    }
}

/// From the beginning of a fault to its end.
#[expect(clippy::too_many_lines, reason = "one arm for each kind")]
pub async fn happen(world: &World, traffic: &Traffic, fault: Fault, seed: u64, care: Care) -> Seen {
    let at = Happening { world, traffic, fault, care };
    let lasts = fault.lasts;
    match fault.kind {
        Kind::Kill(program) => {
            let name = at.process(program);
            world.kill(&name);
            let seen = at.lasts(lasts).await;
            world.launch(&name);
            seen
        }
        Kind::Freeze(program) => {
            let name = at.process(program);
            world.freeze(&name, true);
            let seen = at.lasts(lasts).await;
            world.freeze(&name, false);
            seen
        }
        Kind::HangUp(program) => {
            for name in of_program(world, program) {
                world.hang_up(&name);
            }
            at.lasts(lasts).await
        }
        Kind::Descriptors(program) => {
            let name = at.process(program);
            // Nothing below the limit is free.
            world.limit_descriptors_now(&name, Some(3));
            let seen = at.lasts(lasts).await;
            world.limit_descriptors_now(&name, None);
            seen
        }
        Kind::Crowd(program) => {
            let name = at.process(program);
            let place = of_program(world, program).iter().position(|one| *one == name).unwrap_or(0);
            let (public, monitoring) = tokio::join!(
                crowd::silent(world.public_ports()[place], CROWD.0),
                crowd::silent(world.ops(&name), CROWD.1)
            );
            let seen = at.lasts(lasts).await;
            drop((public, monitoring));
            seen
        }
        Kind::BrokerCrash => {
            Server::Broker.crash().await;
            Server::Broker.is_up().await;
            Seen::default()
        }
        Kind::BrokerStop => {
            let outage = Outage::stop_broker().await;
            let seen = at.lasts(lasts).await;
            outage.end().await;
            seen
        }
        Kind::MemoryAlarm => {
            let outage = Outage::memory_alarm().await;
            let seen = at.lasts(lasts).await;
            outage.end().await;
            seen
        }
        Kind::QueueDeleted => {
            broker::delete_queue(world, traffic, ["interactive", "bulk"][fault.which % 2]).await;
            Seen::default()
        }
        Kind::VhostRecreated => {
            broker::delete_vhost(world, traffic, care.sparing).await;
            let seen = at.lasts(lasts).await;
            world.vhost().make().await;
            seen
        }
        Kind::Forbidden(right) => {
            world.vhost().forbid(right).await;
            let seen = at.lasts(lasts).await;
            world.vhost().allow().await;
            // It remembers refusals as well.
            world.vhost().throw_out().await;
            seen
        }
        Kind::Policy(policy) => {
            broker::begin_policy(world, policy).await;
            let seen = at.lasts(lasts).await;
            broker::end_policy(world).await;
            seen
        }
        Kind::DatabaseCrash => {
            Server::Database.crash().await;
            Server::Database.is_up().await;
            Seen::default()
        }
        Kind::Database(how) => {
            let ailing = database::Ailing::begin(world, how).await;
            let seen = at.lasts(lasts).await;
            ailing.end().await;
            seen
        }
        Kind::Sqlite(disk) => {
            let bad = world.bad_disk(disk);
            let seen = at.lasts(lasts).await;
            drop(bad);
            seen
        }
        Kind::FileRemoved => match database::remove_file(world).await {
            Ok(took) => Seen { named: Some(Named { ready: Some(took), ..Named::default() }), ..Seen::default() },
            Err(why) => Seen { wrong: vec![why], ..Seen::default() },
        },
        Kind::Reset(link) => at.on_path(link, Path::Reset, lasts).await,
        Kind::BlackHole(link) => at.on_path(link, Path::BlackHole, lasts * 2).await,
        Kind::Slow(link) => {
            let delay = Duration::from_millis(50 + 50 * (fault.which as u64));
            at.on_path(link, Path::Slow(delay), lasts).await
        }
        Kind::Vendor(Vendor::Measoft, how) => {
            at.at_measoft(FaultRule::new(of_measoft(how)).probability(SHARE, seed)).await
        }
        Kind::Vendor(Vendor::Crm, how) => {
            let when = retailcrm::When::Probability { p: SHARE, seed };
            at.at_crm(retailcrm::FaultRule::new("*", when, of_crm(how))).await
        }
        Kind::Hanging(Vendor::Measoft) => {
            let cabinet = &world.shops[waiting::troubled(world, &fault)].cabinet;
            at.at_measoft(FaultRule::new(FaultAction::Hang).account(cabinet)).await
        }
        Kind::Hanging(Vendor::Crm) => {
            let account = world.shops[waiting::troubled(world, &fault)].account.0;
            let rule = retailcrm::FaultRule::new("*", retailcrm::When::Always, retailcrm::Action::Hang);
            at.at_crm(rule.account(account)).await
        }
        Kind::YearsPause => {
            let cabinet = &world.shops[waiting::troubled(world, &fault)].cabinet;
            let pause = FaultAction::Status { status: 429, retry_after: Some(YEAR), act: false };
            at.at_measoft(FaultRule::new(pause).account(cabinet)).await
        }
        Kind::ClockJump(ms) => at.clock(at.clockwork(), ms).await,
        Kind::DayAhead(program) => at.clock(program, DAY).await,
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
