//! What a series of runs showed, for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::{RECOVERY, Summary};

/// Hears how a run goes on.
pub type Told = fn(&str);

/// Sentences shown of one failure.
const SHOWN: usize = 20;

/// The last line of the suite.
#[must_use]
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
#[must_use]
pub fn markdown(runs: &[Summary], command: &str, built: &str) -> String {
    let mut page = String::new();
    let _ = writeln!(page, "# Fault suite\n\nMade by `{command}` ({built}).\n\n    {}\n", last_line(runs));
    let _ = writeln!(
        page,
        "Two ingresses, three workers and two schedulers on RabbitMQ and PostgreSQL, four integrations of two RetailCRM\n\
         accounts, a TCP proxy before each of RabbitMQ, PostgreSQL, MeaSoft and RetailCRM; both vendors simulated. Orders\n\
         and cancels are counted where they must have their effect: in MeaSoft's simulator, against the triggers answered\n\
         with 200. Whose a parcel is, its lines say, by RetailCRM's ids: every fifth order of an integration is of a\n\
         second site and has the number of another («same number»), others get a new number in the middle of their lives,\n\
         half of them one that a repeated shipment of a neighbour would get. The walk through RetailCRM's history, which\n\
         makes missed triggers good, is kept from running; in the end it runs once, for orders that were deleted.\n"
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
        "\n«Fired again»: triggers that got no 200 (no answer within 4 s, a cut connection, 503) and were repeated; those\n\
         are not counted as accepted.\n\n## Recovery\n\nSeconds from a fault's end until every process says it is ready and a new order of each account has arrived at\n\
         MeaSoft; of two faults at once, from the end of the later one. The limit is {} s.\n",
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
        let page = markdown(&runs, "./tests/run faults", "release");
        assert!(page.contains("| kill -9 of worker | 2 | 2.0 | 3.0 | 3.0 |"), "{page}");
        assert!(page.contains("seed 2") && page.contains("* lost: 1001A is not there"), "{page}");
    }
}
