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

use shared::planted::{Bug, plant};

use crate::history::History;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

fn runner(seed: u64, shrinks: u32) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config =
        Config { failure_persistence: None, max_shrink_iters: shrinks, max_shrink_time: 120_000, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// Lives histories through until one breaks a rule: its seed, and the story of the
/// smallest one like it that was found in so many steps.
fn first_failure(first: u64, histories: u64, shrinks: u32) -> Option<(u64, String)> {
    (first..first + histories).find_map(|seed| {
        let mut runner = runner(seed, shrinks);
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
    if let Some((seed, story)) = first_failure(number("MODEL_SEED", 1), number("MODEL_HISTORIES", 300), 3000) {
        panic!("MODEL_SEED={seed}: {story}");
    }
}

/// What the model is worth: it finds a bug that was put there on purpose.
fn finds(bug: Bug, sign: &str) {
    plant(Some(bug));
    let found = first_failure(1, 300, 0);
    plant(None);
    let (seed, story) = found.unwrap_or_else(|| panic!("300 histories do not show {bug:?}"));
    let broken = story.lines().next().unwrap_or_default();
    assert!(broken.contains(sign), "seed {seed} shows something else than {bug:?}: {story}");
}

#[test]
fn a_dropped_fence_check_is_found() {
    finds(Bug::FenceUnchecked, "after its lease was lost");
}

#[test]
fn a_resend_without_a_look_up_is_found() {
    finds(Bug::ResentUnseen, "without a look-up");
}

#[test]
fn a_forgotten_cancel_mark_is_found() {
    finds(Bug::CancelForgotten, "it was sent, and MeaSoft has nothing");
}
