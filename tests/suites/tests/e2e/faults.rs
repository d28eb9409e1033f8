//! The fault suite in short: what most often goes wrong, one after another under traffic.

use std::time::Duration;

use suites::faults::{Mode, Plan, run, short};

#[tokio::test(flavor = "multi_thread")]
async fn broker_wide_a_minute_of_faults_loses_and_doubles_nothing() {
    let blows = short();
    let faults = blows.len() as u64;
    let plan = Plan {
        seed: 1,
        mode: Mode::Scaled,
        blows: Box::new(blows.into_iter()),
        lasts: Duration::from_secs(75),
        triggers: 0,
        walked: false,
        rate: 12.0,
        folder: "faults-short".to_owned(),
    };
    let summary = run(plan, |_| {}).await;
    let (lost, doubled, rest) = (&summary.lost, &summary.doubled, &summary.unexplained);
    assert!(summary.is_well(), "seed 1; lost: {lost:#?}, doubled: {doubled:#?}, unexplained: {rest:#?}");
    assert_eq!(summary.faults.values().sum::<u64>(), faults, "{:?}", summary.faults);
    assert!(summary.accepted > 100 && summary.effects.0 > 30, "{summary:?}");
}
