//! What a series of runs showed, for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::inject::Seen;
use super::schedule::Mode;
use super::told::Named;
use super::{RECOVERY, Summary};

/// Hears how a run goes on.
pub type Told = fn(&str);

/// Sentences shown of one failure.
const SHOWN: usize = 20;

/// How a fault was named and what it cost neighbours, for the line of its blow.
pub(super) fn told(seen: &Seen) -> String {
    let mut line = String::new();
    if let Some(named) = &seen.named {
        for (who, took) in [("/ready", named.ready), ("doctor", named.doctor), ("metric", named.held)] {
            if let Some(took) = took {
                let _ = write!(line, "{who} told after {:.1} s, ", took.as_secs_f64());
            }
        }
    }
    if let Some(waits) = &seen.waits {
        let _ = write!(line, "neighbours waited {:.1} s (p95), ", waits.quantile(95).as_secs_f64());
    }
    line
}

/// The last line of the suite.
pub fn last_line(runs: &[Summary]) -> String {
    let sum = |of: fn(&Summary) -> u64| runs.iter().map(of).sum::<u64>();
    format!(
        "faults={} accepted={} lost={} doubled={}",
        sum(|run| run.faults.values().sum()),
        sum(|run| run.accepted),
        sum(|run| run.lost.len() as u64),
        sum(|run| run.doubled.len() as u64)
    )
}

/// The report, with the command that made it and what it ran on.
pub fn markdown(runs: &[Summary], mode: Mode, command: &str, built: &str) -> String {
    let mut page = String::new();
    let _ = writeln!(page, "# Fault suite\n\nMade by `{command}` ({built}).\n\n    {}\n", last_line(runs));
    let installation = match mode {
        Mode::Scaled => {
            "Two ingresses, three workers and two schedulers on RabbitMQ and PostgreSQL, with a TCP proxy before\n\
             each of the two and of MeaSoft and RetailCRM;"
        }
        Mode::Embedded => "One process (`bridge up`) on SQLite, with a TCP proxy before each of MeaSoft and RetailCRM;",
    };
    let _ = writeln!(
        page,
        "{installation}\n\
         four integrations of two RetailCRM accounts; both vendors simulated. Orders and cancels are counted\n\
         where they must have their effect: in MeaSoft's simulator, against the triggers answered with 200.\n\
         Whose a parcel is, its lines say, by RetailCRM's ids: every fifth order of an integration is of a\n\
         second site and has the number of another («same number»), others get a new number in the middle of\n\
         their lives, half of them one that a repeated shipment of a neighbour would get. The walk through\n\
         RetailCRM's history, which makes missed triggers good, is kept from running; in the end it runs\n\
         once, for orders that were deleted.\n"
    );
    let _ = writeln!(
        page,
        "| seed | minutes | faults | accepted | fired again | orders | same number | renumbered | deleted | created | changed | cancelled | lost | doubled | unexplained |"
    );
    let _ = writeln!(page, "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for run in runs {
        let _ = writeln!(
            page,
            "| {} | {:.1} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            run.seed,
            run.took.as_secs_f64() / 60.0,
            run.faults.values().sum::<u64>(),
            run.accepted,
            run.repeated,
            run.orders,
            run.twins,
            run.renumbered,
            run.deleted,
            run.effects.0,
            run.effects.1,
            run.effects.2,
            run.lost.len(),
            run.doubled.len(),
            run.unexplained.len()
        );
    }
    let _ = writeln!(
        page,
        "\n«Fired again»: triggers that got no 200 (no answer within 4 s, a cut connection, 503) and were\n\
         repeated; those are not counted as accepted.\n\n## Recovery\n\n\
         Seconds from a fault's end until every process says it is ready and a new order of each account has\n\
         arrived at MeaSoft; of two faults at once, from the end of the later one. The limit is {} s.\n",
        RECOVERY.as_secs()
    );
    let _ = writeln!(page, "| fault | times | p50 | p99 | max |\n|---|---:|---:|---:|---:|");
    let mut by_label: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for recovery in runs.iter().flat_map(|run| &run.recoveries) {
        for label in &recovery.labels {
            by_label.entry(label).or_default().push(recovery.ready.max(recovery.served));
        }
    }
    for (label, mut times) in by_label {
        times.sort_unstable();
        let [p50, p99, max] = [50, 99, 100].map(|share| quantile(&times, share).as_secs_f64());
        let _ = writeln!(page, "| {label} | {} | {p50:.1} | {p99:.1} | {max:.1} |", times.len());
    }
    page.push_str(&named_and_waited(runs));
    for run in runs.iter().filter(|run| !run.is_well()) {
        let _ = writeln!(page, "\n## What does not hold with seed {}\n", run.seed);
        for (name, all) in [("lost", &run.lost), ("doubled", &run.doubled), ("unexplained", &run.unexplained)] {
            for sentence in all.iter().take(SHOWN) {
                let _ = writeln!(page, "* {name}: {sentence}");
            }
        }
    }
    page
}

/// Who named a fault that came alone, and how long the neighbours of a tenant in trouble waited.
fn named_and_waited(runs: &[Summary]) -> String {
    // What neighbours waited, as a rule, and at most.
    type Row = (usize, Named, Option<[Duration; 3]>);
    let mut page = String::new();
    let _ = writeln!(
        page,
        "\n## Told, and what it cost others\n\n\
         Seconds until all of `/ready`, `bridge doctor` and the breakers' metric that had to name a fault\n\
         which came alone did so (the latest of so many; 10 at most), and how long orders of other tenants\n\
         took from trigger to parcel while one was in trouble (p95). The limit is twice the usual time and a\n\
         second.\n"
    );
    let _ = writeln!(page, "| fault | times | /ready | doctor | metric | neighbours | usual | limit |");
    let _ = writeln!(page, "|---|---:|---:|---:|---:|---:|---:|---:|");
    let mut by_label: BTreeMap<&str, Row> = BTreeMap::new();
    for run in runs {
        for recovery in run.recoveries.iter().filter(|r| r.named.is_some() || r.waits.is_some()) {
            let row = by_label.entry(recovery.labels[0].as_str()).or_default();
            let named = recovery.named.unwrap_or_default();
            row.0 += 1;
            row.1 = Named {
                ready: row.1.ready.max(named.ready),
                doctor: row.1.doctor.max(named.doctor),
                held: row.1.held.max(named.held),
            };
            if let Some(waits) = &recovery.waits {
                let these = [waits.quantile(95), run.usual.quantile(95), run.usual.limit()];
                row.2 = Some(row.2.map_or(these, |before| before.max(these)));
            }
        }
    }
    let seconds = |took: Option<Duration>| took.map_or_else(String::new, |took| format!("{:.1}", took.as_secs_f64()));
    for (label, (times, named, waits)) in by_label {
        let _ = writeln!(
            page,
            "| {label} | {times} | {} | {} | {} | {} | {} | {} |",
            seconds(named.ready),
            seconds(named.doctor),
            seconds(named.held),
            seconds(waits.map(|waits| waits[0])),
            seconds(waits.map(|waits| waits[1])),
            seconds(waits.map(|waits| waits[2])),
        );
    }
    page
}

/// The smallest of sorted times that so many in a hundred do not exceed.
fn quantile(sorted: &[Duration], share: usize) -> Duration {
    let place = (sorted.len() * share).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Recovery;

    #[test]
    fn a_report_adds_up_and_shows_what_failed() {
        let recovery = |ready| Recovery {
            labels: vec!["kill -9 of worker".into()],
            ready: Duration::from_secs(ready),
            served: Duration::from_secs(1),
            named: Some(Named { ready: Some(Duration::from_secs(ready)), ..Named::default() }),
            waits: None,
        };
        let well = Summary {
            seed: 1,
            faults: [("kill -9 of worker".to_owned(), 2)].into(),
            accepted: 100,
            recoveries: vec![recovery(2), recovery(3)],
            ..Summary::default()
        };
        let ill = Summary { seed: 2, lost: vec!["1001A is not there".into()], accepted: 50, ..Summary::default() };
        let runs = [well, ill];
        assert_eq!(last_line(&runs), "faults=2 accepted=150 lost=1 doubled=0");
        let page = markdown(&runs, Mode::Scaled, "./tests/run faults", "release");
        assert!(page.contains("| kill -9 of worker | 2 | 2.0 | 3.0 | 3.0 |"), "{page}");
        assert!(page.contains("| kill -9 of worker | 2 | 3.0 |  |  |  |  |  |"), "{page}");
        assert!(page.contains("seed 2") && page.contains("* lost: 1001A is not there"), "{page}");
    }
}
