//! A standby that was behind takes over from a PostgreSQL that died: `./tests/run promotion`.

use std::io::Write as _;

use suites::faults::promotion;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "kills a PostgreSQL with a standby, which only ./tests/run promotion starts"]
async fn a_standby_that_was_behind_takes_over_and_no_row_holds_anothers() {
    let seeds = std::env::var("PROMOTION_SEEDS").unwrap_or_else(|_| "1".to_owned());
    // As many as the traffic makes in half a minute, if none are asked for.
    let triggers = std::env::var("PROMOTION_TRIGGERS").map_or(0, |n| n.parse().expect("a number of triggers"));
    let mut failed = Vec::new();
    for seed in seeds.split(',') {
        let seen = promotion(seed.trim().parse().expect("a seed"), triggers).await;
        let _ = writeln!(
            std::io::stdout().lock(),
            "seed {}: {:.1} s and {} KiB behind; {} triggers accepted for {} orders, {} of them forgotten; {} repairs, \
             all is right after {:.0} s; lost={} doubled={} wrong={}",
            seen.seed,
            seen.behind.as_secs_f64(),
            seen.bytes / 1024,
            seen.accepted,
            seen.orders,
            seen.forgotten,
            seen.repairs,
            seen.found.as_secs_f64(),
            seen.lost.len(),
            seen.doubled.len(),
            seen.wrong.len()
        );
        if !seen.is_well() {
            // Now, and not after the other seeds.
            let _ = writeln!(std::io::stdout().lock(), "{seen:#?}");
            failed.push(seen.seed);
        }
    }
    assert!(failed.is_empty(), "seeds {failed:?}");
}
