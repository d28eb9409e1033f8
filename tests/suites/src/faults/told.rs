//! Whether an installation tells of what ails it: `/ready` of the roles that cannot work, `bridge
//! doctor`, the breakers' metric. What is expected is a pure function of the fault.

use std::time::{Duration, Instant};

use harness::{Readiness, World};

use super::inject::{of_program, the_process};
use super::schedule::{Ails, Fault, Kind, Link, Mode, Program, Vendor};

/// A fault that lasts is named by then.
pub const NAMED: Duration = Duration::from_secs(10);
/// Silence is told from slowness when the time limit of a request is over: RetailCRM's of what is
/// read, and MeaSoft's.
const SILENCE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(45));
/// When a look that hangs is given up.
const HANGS: Duration = Duration::from_secs(60);

/// Who has to say what while a fault lasts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// Every process of the program answers 503 and names the check.
    pub unready: Vec<(Program, &'static str)>,
    /// Every process of it names the check, whatever the status.
    pub noted: Vec<(Program, &'static str)>,
    /// Part of a finding of `bridge doctor`, one of them.
    pub doctor: Vec<String>,
    /// By the clock and settings of which of a program's processes doctor is asked.
    pub by: Option<(Program, usize)>,
    /// Part of a line of `bridge_breaker_held` of some worker.
    pub held: Option<String>,
    /// What nobody can know before.
    pub silent: Duration,
}

impl Expected {
    /// All of it is said by then.
    fn within(&self) -> Duration {
        NAMED + self.silent
    }

    const fn is_nothing(&self) -> bool {
        self.unready.is_empty() && self.noted.is_empty() && self.doctor.is_empty() && self.held.is_none()
    }
}

/// What is known of the world when a fault begins.
pub struct Addresses {
    /// How it runs.
    pub mode: Mode,
    /// The account at MeaSoft (`login`) that the fault is about, and its courier's number.
    pub login: String,
    /// See [`Addresses::login`].
    pub courier: String,
    /// RetailCRM's address in the integrations.
    pub crm_url: String,
}

/// What has to be said of a fault. Nothing of what is over at once.
pub fn expected(fault: &Fault, at: &Addresses) -> Option<Expected> {
    let says = |words: &[&str]| words.iter().map(|words| (*words).to_owned()).collect::<Vec<_>>();
    let works = match at.mode {
        Mode::Scaled => vec![(Program::Worker, "queue"), (Program::Scheduler, "queue")],
        Mode::Embedded => Vec::new(),
    };
    let stores = match at.mode {
        Mode::Scaled => vec![(Program::Worker, "database"), (Program::Scheduler, "database")],
        Mode::Embedded => vec![(Program::Bridge, "database")],
    };
    let shows = vec![(Program::Ingress, "database")];
    let broker = |words: &[&str]| Expected {
        unready: works.clone(),
        noted: vec![(Program::Ingress, "queue")],
        doctor: says(words),
        ..Expected::default()
    };
    let database = |words: &[&str]| Expected {
        unready: stores.clone(),
        noted: if at.mode == Mode::Scaled { shows.clone() } else { Vec::new() },
        doctor: says(words),
        ..Expected::default()
    };
    let doctor = |words: &[&str]| Expected { doctor: says(words), ..Expected::default() };
    let expected = match fault.kind {
        Kind::BrokerStop => broker(&["RabbitMQ cannot be reached"]),
        Kind::Reset(Link::Broker) => broker(&["RabbitMQ cannot be reached"]),
        Kind::MemoryAlarm => broker(&["RabbitMQ takes no messages"]),
        Kind::Forbidden(None) => broker(&["does not let us into the virtual host"]),
        Kind::VhostRecreated => broker(&["does not let us into the virtual host"]),
        // Who only publishes does not read.
        Kind::Forbidden(Some(_)) => doctor(&["does not give the right to"]),
        Kind::Policy(policy) => Expected {
            doctor: vec![format!("sets {} on", policy.argument()), format!("with {} takes", policy.argument())],
            ..Expected::default()
        },
        Kind::Reset(Link::Database) => database(&["PostgreSQL cannot be used"]),
        Kind::BlackHole(Link::Database) => database(&["PostgreSQL cannot be used"]),
        // Who only changes what is there already goes on: a page takes it.
        Kind::Database(Ails::DiskFull) => Expected {
            unready: vec![(Program::Worker, "database")],
            ..doctor(&["No space left on device", "SQLSTATE 53100"])
        },
        Kind::Database(Ails::ReadOnly) => database(&["SQLSTATE 25006"]),
        Kind::Database(Ails::FailingWrites) => database(&["SQLSTATE 58030"]),
        Kind::Database(Ails::Locked) => database(&["SQLSTATE 55P03"]),
        Kind::Sqlite(_) => database(&["takes no writes", "cannot be used"]),
        Kind::DayAhead(program) => Expected { by: Some((program, fault.which)), ..doctor(&["s ahead of"]) },
        Kind::Hanging(Vendor::Measoft) | Kind::YearsPause => Expected {
            silent: if fault.kind == Kind::YearsPause { Duration::ZERO } else { SILENCE.1 },
            held: Some(format!("login {}\"", at.login)),
            // By what a worker holds, or by its own question.
            doctor: vec![format!("login {} failed in a row", at.login), format!("courier {}):", at.courier)],
            ..Expected::default()
        },
        Kind::Hanging(Vendor::Crm) => Expected {
            silent: SILENCE.0,
            held: Some("retailcrm".to_owned()),
            ..doctor(&["RetailCRM account", &at.crm_url])
        },
        _ => return None,
    };
    (!expected.is_nothing()).then_some(expected)
}

/// How long it took until a fault was named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Named {
    /// By `/ready` of all that had to, if anybody had to.
    pub ready: Option<Duration>,
    /// By `bridge doctor`.
    pub doctor: Option<Duration>,
    /// By the breakers' metric.
    pub held: Option<Duration>,
}

/// Waits until all of it is said. The second answer is what was not, or hung.
pub async fn named(world: &World, expected: &Expected, begun: Instant) -> (Named, Vec<String>) {
    let (ready, doctor, held) =
        tokio::join!(ready(world, expected, begun), doctor(world, expected, begun), held(world, expected, begun));
    let mut untold = Vec::new();
    let mut keep = |what: Result<Option<Duration>, String>| {
        what.unwrap_or_else(|why| {
            untold.push(why);
            None
        })
    };
    let named = Named { ready: keep(ready), doctor: keep(doctor), held: keep(held) };
    (named, untold)
}

fn is_said(answer: &Readiness, check: &str, must_refuse: bool) -> bool {
    answer.failing.iter().any(|failing| failing == check) && (!must_refuse || answer.status == 503)
}

async fn ready(world: &World, expected: &Expected, begun: Instant) -> Result<Option<Duration>, String> {
    let all = expected.unready.iter().map(|one| (one, true)).chain(expected.noted.iter().map(|one| (one, false)));
    let mut left: Vec<(String, &str, bool)> = Vec::new();
    for ((program, check), must_refuse) in all {
        left.extend(of_program(world, *program).into_iter().map(|name| (name, *check, must_refuse)));
    }
    if left.is_empty() {
        return Ok(None);
    }
    loop {
        // At the same time: each may take seconds to find out.
        let answers = futures_util::future::join_all(left.iter().map(|(name, ..)| world.readiness(name))).await;
        let mut seen = Vec::new();
        for ((name, check, must_refuse), answer) in left.into_iter().zip(answers) {
            if !answer.as_ref().is_ok_and(|answer| is_said(answer, check, must_refuse)) {
                let said = answer.map_or_else(|why| why, |answer| format!("{} {}", answer.status, answer.body));
                seen.push(((name, check, must_refuse), said));
            }
        }
        if seen.is_empty() {
            return Ok(Some(begun.elapsed()));
        }
        if begun.elapsed() > expected.within() {
            let (((name, check, _), said), within) = (&seen[0], expected.within());
            return Err(format!("/ready of {name} does not name «{check}» within {within:?}: {said}"));
        }
        left = seen.into_iter().map(|(one, _)| one).collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn doctor(world: &World, expected: &Expected, begun: Instant) -> Result<Option<Duration>, String> {
    if expected.doctor.is_empty() {
        return Ok(None);
    }
    let first = world.process_names()[0].clone();
    let by = expected.by.map_or(first, |(program, which)| the_process(world, program, which));
    loop {
        let found = world.doctor_of(&by, HANGS).await;
        let took = begun.elapsed();
        let said = match found {
            Ok(found) if found.iter().any(|what| expected.doctor.iter().any(|words| what.contains(words))) => {
                return if took > expected.within() {
                    Err(format!("doctor names it only after {took:.1?}"))
                } else {
                    Ok(Some(took))
                };
            }
            Ok(found) => found.join("; "),
            Err(why) => why,
        };
        let within = expected.within();
        if took > within {
            return Err(format!("doctor does not say {:?} within {within:?}: {said}", expected.doctor));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn held(world: &World, expected: &Expected, begun: Instant) -> Result<Option<Duration>, String> {
    let Some(words) = &expected.held else { return Ok(None) };
    let workers: Vec<String> =
        [Program::Worker, Program::Bridge].into_iter().flat_map(|program| of_program(world, program)).collect();
    loop {
        for worker in &workers {
            if world.held(worker).await.iter().any(|line| line.contains(words.as_str())) {
                return Ok(Some(begun.elapsed()));
            }
        }
        let within = expected.within();
        if begun.elapsed() > within {
            return Err(format!("bridge_breaker_held of no worker names «{words}» within {within:?}"));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness::Disk;

    fn of(kind: Kind, mode: Mode) -> Option<Expected> {
        let at =
            Addresses { mode, login: "shop".to_owned(), courier: "8".to_owned(), crm_url: "http://crm".to_owned() };
        expected(&Fault { kind, which: 0, lasts: Duration::ZERO }, &at)
    }

    #[test]
    fn whoever_cannot_work_has_to_say_so_and_whoever_can_need_not() {
        let scaled = of(Kind::Database(Ails::ReadOnly), Mode::Scaled).expect("it lasts");
        assert_eq!(scaled.unready, [(Program::Worker, "database"), (Program::Scheduler, "database")]);
        assert_eq!(scaled.noted, [(Program::Ingress, "database")], "it goes on accepting");
        let embedded = of(Kind::Sqlite(Disk::Full), Mode::Embedded).expect("it lasts");
        assert_eq!(embedded.unready, [(Program::Bridge, "database")]);
        let tenant = of(Kind::Hanging(Vendor::Measoft), Mode::Scaled).expect("it lasts");
        assert!(tenant.unready.is_empty() && tenant.held.is_some() && tenant.within() > NAMED, "{tenant:?}");
        assert_eq!(of(Kind::Kill(Program::Worker), Mode::Scaled), None);
        assert_eq!(of(Kind::HangUp(Program::Ingress), Mode::Scaled), None);
    }

    #[test]
    fn a_check_that_only_shows_is_no_refusal() {
        let answer = |status| Readiness { status, failing: vec!["database".to_owned()], body: String::new() };
        assert!(is_said(&answer(503), "database", true) && is_said(&answer(200), "database", false));
        assert!(!is_said(&answer(200), "database", true) && !is_said(&answer(503), "queue", false));
    }
}
