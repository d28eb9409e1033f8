//! What goes wrong and when: a function of the seed.

use std::time::Duration;

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
}

impl Kind {
    /// Its line in the report.
    #[must_use]
    pub fn label(self) -> String {
        let program = |program| match program {
            Program::Ingress => "ingress",
            Program::Worker => "worker",
            Program::Scheduler => "scheduler",
        };
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
        }
    }

    /// What it happens to; two faults of one place would end each other.
    const fn place(self) -> u8 {
        match self {
            Self::Kill(Program::Ingress) | Self::Freeze(Program::Ingress) => 0,
            Self::Kill(Program::Worker) | Self::Freeze(Program::Worker) | Self::ClockJump(_) => 1,
            Self::Kill(Program::Scheduler) | Self::Freeze(Program::Scheduler) => 2,
            Self::BrokerCrash | Self::BrokerStop | Self::MemoryAlarm | Self::QueueDeleted => 3,
            Self::Reset(Link::Broker) | Self::BlackHole(Link::Broker) | Self::Slow(Link::Broker) => 3,
            Self::DatabaseCrash => 4,
            Self::Reset(Link::Database) | Self::BlackHole(Link::Database) | Self::Slow(Link::Database) => 4,
            Self::Vendor(Vendor::Measoft, _) => 5,
            Self::Reset(Link::Measoft) | Self::BlackHole(Link::Measoft) | Self::Slow(Link::Measoft) => 5,
            Self::Vendor(Vendor::Crm, _) => 6,
            Self::Reset(Link::Crm) | Self::BlackHole(Link::Crm) | Self::Slow(Link::Crm) => 6,
        }
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
fn deck() -> Vec<Kind> {
    use Misbehaviour::{Cut, Html, Late, LostAfter, LostBefore, TooMany, Unavailable};
    let mut deck = vec![
        Kind::BrokerCrash,
        Kind::BrokerStop,
        Kind::MemoryAlarm,
        Kind::QueueDeleted,
        Kind::DatabaseCrash,
        Kind::ClockJump(8_000),
        Kind::ClockJump(-8_000),
        // The part that acts dies most.
        Kind::Kill(Program::Worker),
        Kind::Freeze(Program::Worker),
    ];
    for program in [Program::Ingress, Program::Worker, Program::Scheduler] {
        deck.extend([Kind::Kill(program), Kind::Freeze(program)]);
    }
    for link in [Link::Broker, Link::Database, Link::Measoft, Link::Crm] {
        deck.extend([Kind::Reset(link), Kind::BlackHole(link), Kind::Slow(link)]);
    }
    for vendor in [Vendor::Measoft, Vendor::Crm] {
        deck.extend(
            [LostBefore, LostAfter, Html, Cut, TooMany, Unavailable, Late].map(|how| Kind::Vendor(vendor, how)),
        );
    }
    deck
}

/// Blows without end, every kind before any comes a second time.
pub struct Schedule {
    chance: Chance,
    deck: Vec<Kind>,
}

impl Schedule {
    /// That of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { chance: Chance::new(seed, 0), deck: Vec::new() }
    }

    fn fault(&mut self, kind: Kind) -> Fault {
        let lasts = match kind {
            Kind::Freeze(_) => self.chance.millis(BEYOND_LEASE),
            Kind::Kill(_) => self.chance.millis(0..2_000),
            Kind::ClockJump(_) => self.chance.millis(3_500..5_000),
            _ => self.chance.millis(1_000..5_000),
        };
        Fault { kind, which: usize::try_from(self.chance.within(0..6)).unwrap_or(0), lasts }
    }
}

impl Iterator for Schedule {
    type Item = Blow;

    fn next(&mut self) -> Option<Blow> {
        if self.deck.is_empty() {
            self.deck = self.chance.shuffled(deck());
        }
        let first = self.deck.pop()?;
        let mut faults = vec![self.fault(first)];
        if self.chance.percent(40)
            && let Some(at) = self.deck.iter().rposition(|kind| kind.place() != first.place())
        {
            let second = self.deck.remove(at);
            faults.push(self.fault(second));
        }
        Some(Blow { faults, quiet: self.chance.millis(0..800) })
    }
}

/// The short story: what most often goes wrong, one after another.
#[must_use]
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
        let of = |seed| Schedule::new(seed).take(60).collect::<Vec<_>>();
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
    }

    #[test]
    fn every_kind_comes_before_any_comes_again() {
        let mut faults = Schedule::new(3).flat_map(|blow| blow.faults);
        let mut first: Vec<String> = faults.by_ref().take(deck().len()).map(|fault| fault.kind.label()).collect();
        let mut all: Vec<String> = deck().into_iter().map(Kind::label).collect();
        first.sort();
        all.sort();
        assert_eq!(first, all);
    }

    #[test]
    fn two_at_once_are_at_two_places() {
        let pairs: Vec<Blow> = Schedule::new(5).take(200).filter(|blow| blow.faults.len() == 2).collect();
        assert!(pairs.len() > 30, "{} of 200", pairs.len());
        assert!(pairs.iter().all(|blow| blow.faults[0].kind.place() != blow.faults[1].kind.place()));
    }
}
