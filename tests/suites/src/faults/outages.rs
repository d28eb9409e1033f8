//! One fault at a time under many triggers: it comes while they flow, lasts until it was told, and
//! heals. A line for each, and a page.

use std::fmt::Write as _;
use std::time::Duration;

use super::schedule::{Ails, Blow, Fault, Kind, Mode, Policy, Program};
use super::{Plan, Summary, told};
use harness::Disk;

/// Lives of orders under way at a time make the rate; this one keeps a debug build busy.
const SEED: u64 = 1;
/// Before a fault heals, at least.
const LASTS: Duration = Duration::from_secs(8);
/// When it is too late for another trigger.
const LONGEST: Duration = Duration::from_secs(1_200);

/// A fault with what is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Outage {
    /// What.
    pub kind: Kind,
    /// How the installation runs.
    pub mode: Mode,
    /// What it destroys on the broker the reconcile makes good.
    pub walked: bool,
}

impl Outage {
    /// A fault of the suite, alone.
    pub const fn of(kind: Kind, mode: Mode) -> Self {
        Self { kind, mode, walked: matches!(kind, Kind::VhostRecreated) }
    }

    /// Its place in file names.
    pub fn name(&self) -> String {
        let words: Vec<String> = self
            .kind
            .label()
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect();
        words.join("-")
    }

    /// A run of so many triggers, about so many a second.
    pub fn plan(&self, triggers: u64, rate: f64) -> Plan {
        let fault = Fault { kind: self.kind, which: 1, lasts: LASTS };
        let blow = Blow { faults: vec![fault], quiet: Duration::ZERO };
        Plan {
            seed: SEED,
            mode: self.mode,
            blows: Box::new(std::iter::once(blow)),
            lasts: LONGEST,
            triggers,
            walked: self.walked,
            rate,
            folder: format!("outage-{}", self.name()),
        }
    }
}

/// What an operator or a server does, one after another.
pub fn outages() -> Vec<Outage> {
    let embedded = [
        Kind::Sqlite(Disk::Full),
        Kind::Sqlite(Disk::Failing),
        Kind::Sqlite(Disk::ReadOnly),
        Kind::FileRemoved,
        Kind::DayAhead(Program::Bridge),
        Kind::Kill(Program::Bridge),
    ];
    let scaled = [
        Kind::Database(Ails::ReadOnly),
        Kind::Database(Ails::DiskFull),
        Kind::Database(Ails::FailingWrites),
        Kind::Database(Ails::Locked),
        Kind::Policy(Policy::MessageTtl),
        Kind::Policy(Policy::MaxLength),
        Kind::Policy(Policy::MaxLengthBytes),
        Kind::Policy(Policy::Expires),
        Kind::VhostRecreated,
        Kind::DayAhead(Program::Worker),
        Kind::Kill(Program::Worker),
    ];
    let of = |mode| move |kind| Outage::of(kind, mode);
    embedded.into_iter().map(of(Mode::Embedded)).chain(scaled.into_iter().map(of(Mode::Scaled))).collect()
}

fn seconds(took: Option<Duration>) -> String {
    took.map_or_else(|| "-".to_owned(), |took| format!("{:.1}", took.as_secs_f64()))
}

/// What one came to: accepted, lost, doubled, recovered after, named after.
pub fn line(outage: &Outage, run: &Summary) -> String {
    let recovery = run.recoveries.first();
    let named = recovery.and_then(|recovery| recovery.named).unwrap_or_default();
    format!(
        "{}: accepted={} lost={} doubled={} recovered_s={} ready_told_s={} doctor_told_s={} unexplained={}",
        outage.name(),
        run.accepted,
        run.lost.len(),
        run.doubled.len(),
        seconds(recovery.map(|recovery| recovery.ready.max(recovery.served))),
        seconds(named.ready),
        seconds(named.doctor),
        run.unexplained.len()
    )
}

/// The page, with the command that made it.
pub fn page(runs: &[(Outage, Summary)], command: &str, built: &str) -> String {
    let mut page = String::new();
    let _ = writeln!(
        page,
        "# Outages\n\nMade by `{command}` ({built}).\n\n\
         Each fault in an installation of its own: it comes after a quarter of the triggers, while the others\n\
         flow, and heals when it was told, after {} s at least. Orders are counted at MeaSoft's simulator\n\
         against the triggers that were answered with 200. «Recovered»: seconds from its end until every\n\
         process is ready and a new order of each account is at MeaSoft. «Told»: seconds from its beginning\n\
         until all processes that cannot work say so on `/ready`, and until `bridge doctor` has said it;\n\
         within {} s.\n",
        LASTS.as_secs(),
        told::NAMED.as_secs()
    );
    let _ =
        writeln!(page, "| fault | runs as | accepted | lost | doubled | recovered | told by /ready | told by doctor |");
    let _ = writeln!(page, "|---|---|---:|---:|---:|---:|---:|---:|");
    for (outage, run) in runs {
        let recovery = run.recoveries.first();
        let named = recovery.and_then(|recovery| recovery.named).unwrap_or_default();
        let mode = match outage.mode {
            Mode::Scaled => "roles",
            Mode::Embedded => "one process",
        };
        let _ = writeln!(
            page,
            "| {} | {mode} | {} | {} | {} | {} | {} | {} |",
            outage.kind.label(),
            run.accepted,
            run.lost.len(),
            run.doubled.len(),
            seconds(recovery.map(|recovery| recovery.ready.max(recovery.served))),
            seconds(named.ready),
            seconds(named.doctor)
        );
    }
    for (outage, run) in runs.iter().filter(|(_, run)| !run.is_well()) {
        let _ = writeln!(page, "\n## What does not hold with {}\n", outage.kind.label());
        let all = run.lost.iter().chain(&run.doubled).chain(&run.unexplained);
        for sentence in all.take(20) {
            let _ = writeln!(page, "* {sentence}");
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{Named, Recovery};

    #[test]
    fn a_line_says_what_became_of_the_triggers_and_who_told() {
        let outage = Outage::of(Kind::Sqlite(Disk::Full), Mode::Embedded);
        let of = |s| Duration::from_secs(s);
        let recovery = Recovery {
            labels: vec![outage.kind.label()],
            ready: of(1),
            served: of(2),
            named: Some(Named { ready: Some(of(3)), doctor: Some(of(4)), held: None }),
            waits: None,
        };
        let run = Summary { accepted: 10_000, recoveries: vec![recovery], ..Summary::default() };
        let line = line(&outage, &run);
        assert!(line.starts_with("sqlite-disk-full: accepted=10000 lost=0 doubled=0 recovered_s=2.0"), "{line}");
        let page = page(&[(outage, run)], "faults --each", "dev profile");
        assert!(page.contains("| SQLite: disk full | one process | 10000 | 0 | 0 | 2.0 | 3.0 | 4.0 |"), "{page}");
    }

    #[test]
    fn every_outage_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<String> = outages().iter().map(Outage::name).collect();
        assert_eq!(names.len(), outages().len());
    }
}
