//! The protocol of intents, leases, fences and the ledger, tested against a small model:
//! histories are made up, lived through with the real handlers, and judged.
//!
//! `MODEL_HISTORIES` says how many (default 300), `MODEL_SEED` where to begin; a failure
//! names the seed of its history, which repeats it with `MODEL_HISTORIES=1`.

mod crm;
mod history;
mod measoft;
mod rules;
mod steps;
mod world;

use proptest::strategy::Strategy as _;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::history::History;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

fn runner(seed: u64) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config =
        Config { failure_persistence: None, max_shrink_iters: 3000, max_shrink_time: 120_000, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// Seeds of histories that break a rule today, left out until they are mended. In all of
/// them an order's number is edited, or it moves, while its first send hangs for longer than
/// the lease: the ledger (or RetailCRM) does not learn of what arrives after all.
const OPEN: &[u64] = &[];

/// Lives histories through until one breaks a rule: its seed, and the story of the
/// smallest one like it.
fn first_failure(first: u64, histories: u64) -> Option<(u64, String)> {
    (first..first + histories).filter(|seed| !OPEN.contains(seed)).find_map(|seed| {
        let mut runner = runner(seed);
        let tree = history::histories().new_tree(&mut runner).expect("a history");
        let lived = runner.run_one(tree, |history: History| world::live(&history).map_err(TestCaseError::fail));
        match lived {
            Ok(_) => None,
            Err(TestError::Fail(why, history)) => Some((seed, format!("{why}\n\nThe history:\n{history}"))),
            Err(TestError::Abort(why)) => Some((seed, why.to_string())),
        }
    })
}

#[test]
fn no_history_breaks_the_protocol() {
    if let Some((seed, story)) = first_failure(number("MODEL_SEED", 1), number("MODEL_HISTORIES", 300)) {
        panic!("MODEL_SEED={seed}: {story}");
    }
}
