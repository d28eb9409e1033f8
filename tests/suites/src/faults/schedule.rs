//! What goes wrong and when: a function of the seed.

use std::time::Duration;

use harness::{Disk, Right};

use super::chance::Chance;

/// Beyond `LEASE_S` of the harness.
const BEYOND_LEASE: std::ops::Range<u64> = 3_500..6_000;

/// A program of the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Program {
    Ingress,
    Worker,
    Scheduler,
    /// All of them in one process.
    Bridge,
}

impl Program {
    /// What the names of its processes begin with.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Worker => "worker",
            Self::Scheduler => "scheduler",
            Self::Bridge => "bridge",
        }
    }
}

/// How the installation runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Roles of their own on RabbitMQ and PostgreSQL.
    Scaled,
    /// One process on SQLite.
    Embedded,
}

/// A policy of RabbitMQ that takes commands out of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Policy {
    MessageTtl,
    MaxLength,
    MaxLengthBytes,
    /// Deletes a queue that nobody uses.
    Expires,
}

impl Policy {
    /// Its argument, as RabbitMQ calls it.
    pub const fn argument(self) -> &'static str {
        match self {
            Self::MessageTtl => "message-ttl",
            Self::MaxLength => "max-length",
            Self::MaxLengthBytes => "max-length-bytes",
            Self::Expires => "expires",
        }
    }
}

/// What a PostgreSQL that answers does not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ails {
    /// `default_transaction_read_only`, as after a failover.
    ReadOnly,
    /// Every write is an I/O error.
    FailingWrites,
    /// No file of it grows.
    DiskFull,
    /// Somebody holds its tables.
    Locked,
}

/// A network path that has a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Link {
    Broker,
    Database,
    Measoft,
    Crm,
}

/// A vendor that misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Vendor {
    Measoft,
    Crm,
}

/// How a vendor misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Misbehaviour {
    LostBefore,
    LostAfter,
    Html,
    /// XML or JSON that breaks off.
    Cut,
    TooMany,
    Unavailable,
    /// Acts, and answers late.
    Late,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `kill -9`, and a new start.
    Kill(Program),
    /// SIGSTOP, and SIGCONT beyond the lease.
    Freeze(Program),
    /// `kill -9` of RabbitMQ.
    BrokerCrash,
    /// RabbitMQ is stopped in order and started.
    BrokerStop,
    /// RabbitMQ takes no messages.
    MemoryAlarm,
    /// A queue is deleted.
    QueueDeleted,
    /// `kill -9` of PostgreSQL.
    DatabaseCrash,
    /// Connections are cut, new ones too.
    Reset(Link),
    /// Nothing goes through and nothing is said.
    BlackHole(Link),
    /// Everything takes longer.
    Slow(Link),
    /// Answers of a vendor.
    Vendor(Vendor, Misbehaviour),
    /// A worker's clock jumps so many milliseconds, and back.
    ClockJump(i64),
    /// The clock of one process is a day ahead, and is put right.
    DayAhead(Program),
    /// SIGHUP.
    HangUp(Program),
    /// Nothing more can be opened: no file, no connection.
    Descriptors(Program),
    /// More silent connections than there is room for.
    Crowd(Program),
    /// A policy while no worker runs.
    Policy(Policy),
    /// The user of RabbitMQ loses a right, or all.
    Forbidden(Option<Right>),
    /// The virtual host is deleted, and made anew without queues.
    VhostRecreated,
    /// PostgreSQL answers and does not work.
    Database(Ails),
    /// The disk under the SQLite file.
    Sqlite(Disk),
    /// The SQLite file is removed; the process is started anew by whoever looks after it.
    FileRemoved,
    /// One account of a vendor accepts and never answers.
    Hanging(Vendor),
    /// One courier asks to be left alone for a year.
    YearsPause,
}

impl Kind {
    /// Its line in the report.
    pub fn label(self) -> String {
        let program = Program::name;
        let link = |link| match link {
            Link::Broker => "RabbitMQ",
            Link::Database => "PostgreSQL",
            Link::Measoft => "MeaSoft",
            Link::Crm => "RetailCRM",
        };
        match self {
            Self::Kill(which) => format!("kill -9 of {}", program(which)),
            Self::Freeze(which) => format!("SIGSTOP of {} beyond the lease", program(which)),
            Self::BrokerCrash => "kill -9 of RabbitMQ".to_owned(),
            Self::BrokerStop => "restart of RabbitMQ".to_owned(),
            Self::MemoryAlarm => "memory alarm".to_owned(),
            Self::QueueDeleted => "queue deleted".to_owned(),
            Self::DatabaseCrash => "kill -9 of PostgreSQL".to_owned(),
            Self::Reset(which) => format!("TCP reset, {}", link(which)),
            Self::BlackHole(which) => format!("black hole, {}", link(which)),
            Self::Slow(which) => format!("slow link, {}", link(which)),
            Self::Vendor(vendor, how) => {
                let vendor = match vendor {
                    Vendor::Measoft => "MeaSoft",
                    Vendor::Crm => "RetailCRM",
                };
                let how = match how {
                    Misbehaviour::LostBefore => "answers lost before acting",
                    Misbehaviour::LostAfter => "answers lost after acting",
                    Misbehaviour::Html => "HTML",
                    Misbehaviour::Cut => "cut answers",
                    Misbehaviour::TooMany => "429",
                    Misbehaviour::Unavailable => "503",
                    Misbehaviour::Late => "late answers",
                };
                format!("{vendor}: {how}")
            }
            Self::ClockJump(_) => "a worker's clock jumps".to_owned(),
            Self::DayAhead(which) => format!("clock a day ahead, {}", program(which)),
            Self::HangUp(which) => format!("SIGHUP to {}", program(which)),
            Self::Descriptors(which) => format!("descriptors used up, {}", program(which)),
            Self::Crowd(which) => format!("crowd of silent connections, {}", program(which)),
            Self::Policy(policy) => format!("queue policy {}", policy.argument()),
            Self::Forbidden(None) => "RabbitMQ: all rights taken away".to_owned(),
            Self::Forbidden(Some(right)) => {
                let right = match right {
                    Right::Configure => "configure",
                    Right::Write => "write",
                    Right::Read => "read",
                };
                format!("RabbitMQ: right to {right} taken away")
            }
            Self::VhostRecreated => "vhost recreated".to_owned(),
            Self::Database(Ails::ReadOnly) => "PostgreSQL read-only".to_owned(),
            Self::Database(Ails::FailingWrites) => "PostgreSQL: failing writes".to_owned(),
            Self::Database(Ails::DiskFull) => "PostgreSQL: disk full".to_owned(),
            Self::Database(Ails::Locked) => "PostgreSQL: tables locked".to_owned(),
            Self::Sqlite(Disk::Full) => "SQLite: disk full".to_owned(),
            Self::Sqlite(Disk::Failing) => "SQLite: failing writes".to_owned(),
            Self::Sqlite(Disk::ReadOnly) => "SQLite: read-only".to_owned(),
            Self::FileRemoved => "SQLite: file removed".to_owned(),
            Self::Hanging(Vendor::Measoft) => "a tenant hangs, MeaSoft".to_owned(),
            Self::Hanging(Vendor::Crm) => "a tenant hangs, RetailCRM".to_owned(),
            Self::YearsPause => "a courier asks for a year's pause".to_owned(),
        }
    }

    /// What it happens to, a bit for each place; two faults of one place would end each other.
    const fn places(self) -> u16 {
        const INGRESS: u16 = 1;
        const WORKER: u16 = 2;
        const SCHEDULER: u16 = 4;
        const BRIDGE: u16 = 8;
        const BROKER: u16 = 16;
        const DATABASE: u16 = 32;
        const MEASOFT: u16 = 64;
        const CRM: u16 = 128;
        match self {
            Self::Kill(program)
            | Self::Freeze(program)
            | Self::DayAhead(program)
            | Self::HangUp(program)
            | Self::Descriptors(program)
            | Self::Crowd(program) => match program {
                Program::Ingress => INGRESS,
                Program::Worker => WORKER,
                Program::Scheduler => SCHEDULER,
                Program::Bridge => BRIDGE,
            },
            Self::ClockJump(_) => WORKER | BRIDGE,
            Self::BrokerCrash | Self::BrokerStop | Self::MemoryAlarm | Self::QueueDeleted => BROKER,
            Self::Forbidden(_) | Self::VhostRecreated => BROKER,
            Self::Policy(_) => BROKER | WORKER,
            Self::DatabaseCrash | Self::Database(_) => DATABASE,
            // A process that starts on a bad disk ends at once.
            Self::Sqlite(_) | Self::FileRemoved => DATABASE | BRIDGE,
            Self::Vendor(Vendor::Measoft, _) | Self::Hanging(Vendor::Measoft) | Self::YearsPause => MEASOFT,
            Self::Vendor(Vendor::Crm, _) | Self::Hanging(Vendor::Crm) => CRM,
            Self::Reset(link) | Self::BlackHole(link) | Self::Slow(link) => match link {
                Link::Broker => BROKER,
                Link::Database => DATABASE,
                Link::Measoft => MEASOFT,
                Link::Crm => CRM,
            },
        }
    }

    /// Whether it comes alone as a rule: what it does to others is measured.
    const fn is_alone(self) -> bool {
        matches!(self, Self::Hanging(_) | Self::YearsPause | Self::FileRemoved)
    }
}

/// A fault with its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub kind: Kind,
    /// Which of several processes or queues.
    pub which: usize,
    /// From its beginning to its end, as far as that is ours to choose.
    pub lasts: Duration,
}

/// One, or two at once, and the quiet after them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blow {
    /// What happens at once.
    pub faults: Vec<Fault>,
    /// Between the recovery and the next.
    pub quiet: Duration,
}

/// Every kind once.
fn deck(mode: Mode) -> Vec<Kind> {
    use Misbehaviour::{Cut, Html, Late, LostAfter, LostBefore, TooMany, Unavailable};
    let mut deck = vec![Kind::ClockJump(8_000), Kind::ClockJump(-8_000), Kind::YearsPause];
    let (programs, links): (&[Program], &[Link]) = match mode {
        Mode::Scaled => (
            &[Program::Ingress, Program::Worker, Program::Scheduler],
            &[Link::Broker, Link::Database, Link::Measoft, Link::Crm],
        ),
        Mode::Embedded => (&[Program::Bridge], &[Link::Measoft, Link::Crm]),
    };
    for program in programs.iter().copied() {
        deck.extend([Kind::Kill(program), Kind::Freeze(program), Kind::DayAhead(program), Kind::HangUp(program)]);
        deck.push(Kind::Descriptors(program));
    }
    for link in links.iter().copied() {
        deck.extend([Kind::Reset(link), Kind::BlackHole(link), Kind::Slow(link)]);
    }
    for vendor in [Vendor::Measoft, Vendor::Crm] {
        deck.extend(
            [LostBefore, LostAfter, Html, Cut, TooMany, Unavailable, Late].map(|how| Kind::Vendor(vendor, how)),
        );
        deck.push(Kind::Hanging(vendor));
    }
    match mode {
        Mode::Scaled => {
            deck.extend([
                Kind::BrokerCrash,
                Kind::BrokerStop,
                Kind::MemoryAlarm,
                Kind::QueueDeleted,
                Kind::VhostRecreated,
                Kind::DatabaseCrash,
                Kind::Crowd(Program::Ingress),
                // The part that acts dies most.
                Kind::Kill(Program::Worker),
                Kind::Freeze(Program::Worker),
            ]);
            deck.extend([None, Some(Right::Configure), Some(Right::Write), Some(Right::Read)].map(Kind::Forbidden));
            deck.extend([Policy::MessageTtl, Policy::MaxLength, Policy::MaxLengthBytes].map(Kind::Policy));
            deck.extend([Ails::ReadOnly, Ails::FailingWrites, Ails::DiskFull, Ails::Locked].map(Kind::Database));
        }
        Mode::Embedded => {
            deck.extend([Disk::Full, Disk::Failing, Disk::ReadOnly].map(Kind::Sqlite));
            deck.extend([Kind::FileRemoved, Kind::Crowd(Program::Bridge)]);
        }
    }
    deck
}

/// Every kind that `--only` knows, by its label.
pub fn kinds(mode: Mode) -> Vec<Kind> {
    let mut all = deck(mode);
    all.dedup_by_key(|kind| kind.label());
    all
}

/// Blows without end, every kind before any comes a second time.
pub struct Schedule {
    chance: Chance,
    deck: Vec<Kind>,
    full: Vec<Kind>,
}

impl Schedule {
    /// That of a seed.
    pub fn new(seed: u64, mode: Mode) -> Self {
        Self::of(seed, deck(mode))
    }

    /// That of a seed, of some kinds only.
    pub fn of(seed: u64, full: Vec<Kind>) -> Self {
        Self { chance: Chance::new(seed, 0), deck: Vec::new(), full }
    }

    fn fault(&mut self, kind: Kind) -> Fault {
        let lasts = match kind {
            Kind::Freeze(_) => self.chance.millis(BEYOND_LEASE),
            Kind::Kill(_) => self.chance.millis(0..2_000),
            Kind::ClockJump(_) => self.chance.millis(3_500..5_000),
            // Until its time limit is over a few times.
            Kind::Hanging(_) => self.chance.millis(7_000..12_000),
            _ => self.chance.millis(1_000..5_000),
        };
        Fault { kind, which: usize::try_from(self.chance.within(0..6)).unwrap_or(0), lasts }
    }
}

impl Iterator for Schedule {
    type Item = Blow;

    fn next(&mut self) -> Option<Blow> {
        if self.deck.is_empty() {
            self.deck = self.chance.shuffled(self.full.clone());
        }
        let first = self.deck.pop()?;
        let mut faults = vec![self.fault(first)];
        let beside = |kind: &Kind| !kind.is_alone() && kind.places() & first.places() == 0;
        if self.chance.percent(40)
            && !first.is_alone()
            && let Some(at) = self.deck.iter().rposition(beside)
        {
            let second = self.deck.remove(at);
            faults.push(self.fault(second));
        }
        Some(Blow { faults, quiet: self.chance.millis(0..800) })
    }
}

/// The short story: what most often goes wrong, one after another.
pub fn short() -> Vec<Blow> {
    let blow = |kind, which, ms| Blow {
        faults: vec![Fault { kind, which, lasts: Duration::from_millis(ms) }],
        quiet: Duration::from_millis(200),
    };
    vec![
        blow(Kind::Vendor(Vendor::Measoft, Misbehaviour::LostAfter), 0, 2_500),
        blow(Kind::Kill(Program::Worker), 0, 300),
        blow(Kind::BrokerCrash, 0, 0),
        blow(Kind::Freeze(Program::Worker), 1, 3_800),
        blow(Kind::DatabaseCrash, 0, 0),
        blow(Kind::Kill(Program::Ingress), 0, 300),
        blow(Kind::Vendor(Vendor::Crm, Misbehaviour::LostAfter), 0, 1_500),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_schedule() {
        let of = |seed| Schedule::new(seed, Mode::Scaled).take(60).collect::<Vec<_>>();
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
    }

    #[test]
    fn every_kind_comes_before_any_comes_again() {
        for mode in [Mode::Scaled, Mode::Embedded] {
            let mut faults = Schedule::new(3, mode).flat_map(|blow| blow.faults);
            let count = deck(mode).len();
            let mut first: Vec<String> = faults.by_ref().take(count).map(|fault| fault.kind.label()).collect();
            let mut all: Vec<String> = deck(mode).into_iter().map(Kind::label).collect();
            first.sort();
            all.sort();
            assert_eq!(first, all);
        }
    }

    #[test]
    fn two_at_once_are_at_two_places() {
        let blows = [Mode::Scaled, Mode::Embedded].map(|mode| Schedule::new(5, mode).take(200));
        let pairs: Vec<Blow> = blows.into_iter().flatten().filter(|blow| blow.faults.len() == 2).collect();
        assert!(pairs.len() > 60, "{} of 400", pairs.len());
        assert!(pairs.iter().all(|blow| blow.faults[0].kind.places() & blow.faults[1].kind.places() == 0));
        assert!(pairs.iter().flat_map(|blow| &blow.faults).all(|fault| !fault.kind.is_alone()));
    }
}
