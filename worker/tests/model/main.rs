//! The protocol of intents, leases, fences and the ledger, tested against a small model:
//! histories are made up, lived through with the real handlers, and judged.
//!
//! `MODEL_HISTORIES` says how many (default 300), `MODEL_SEED` where to begin; a failure
//! names the seed of its history, which repeats it with `MODEL_HISTORIES=1`.

mod back;
mod crm;
mod history;
mod measoft;
mod own_rows;
mod rules;
mod standby;
mod steps;
mod takeovers;
mod world;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::strategy::Strategy as _;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use shared::mutant::{Mutant, become_mutant};

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

/// A broken rule without the figures of its case.
fn rule(story: &str) -> String {
    let line = story.lines().next().unwrap_or_default();
    line.split(|c: char| c.is_ascii_digit()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("#")
}

/// Lives histories through until one breaks a rule: its seed, and the story of the smallest
/// one that was found in so many steps to break the same rule.
fn first_failure(first: u64, histories: u64, shrinks: u32) -> Option<(u64, String)> {
    (first..first + histories).find_map(|seed| {
        let mut runner = runner(seed, shrinks);
        let tree = history::histories().new_tree(&mut runner).expect("a history");
        let broken = OnceCell::new();
        let lived = runner.run_one(tree, |history: History| match world::live(&history) {
            // A smaller history that breaks another rule is another story.
            Err(story) if *broken.get_or_init(|| rule(&story)) == rule(&story) => Err(TestCaseError::fail(story)),
            _ => Ok(()),
        });
        match lived {
            Ok(_) => None,
            Err(TestError::Fail(why, history)) => Some((seed, format!("{why}\n\nThe history:\n{history}"))),
            Err(TestError::Abort(why)) => Some((seed, why.to_string())),
        }
    })
}

#[test]
fn no_history_breaks_the_protocol() {
    let (first, histories) = (number("MODEL_SEED", 1), number("MODEL_HISTORIES", 300));
    let next = AtomicU64::new(first);
    let broken = Mutex::new(BTreeMap::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while broken.lock().expect("lock").is_empty() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + histories {
                        break;
                    }
                    if let Some((seed, story)) = first_failure(seed, 1, 3000) {
                        broken.lock().expect("lock").insert(seed, story);
                    }
                }
            });
        }
    });
    if let Some((seed, story)) = broken.into_inner().expect("lock").pop_first() {
        panic!("MODEL_SEED={seed}: {story}");
    }
}

/// What the model is worth: it finds a bug that was put there on purpose.
fn finds(bug: Mutant, signs: &[&str]) {
    become_mutant(Some(bug));
    let found = first_failure(1, 300, 0);
    become_mutant(None);
    let (seed, story) = found.unwrap_or_else(|| panic!("300 histories do not show {bug:?}"));
    let broken = story.lines().next().unwrap_or_default();
    assert!(signs.iter().any(|sign| broken.contains(sign)), "seed {seed} shows something else than {bug:?}: {story}");
}

#[test]
fn a_dropped_fence_check_is_found() {
    finds(Mutant::FenceUnchecked, &["the ledger says", "after its lease was lost", "dead letter"]);
}

#[test]
fn a_resend_without_a_look_up_is_found() {
    finds(Mutant::ResentUnseen, &["without a look-up"]);
}

#[test]
fn a_number_taken_for_an_order_is_found() {
    finds(Mutant::NumberTakenForOrder, &["MeaSoft has nothing", "it left and was cancelled"]);
}

#[test]
fn a_forgotten_end_is_found() {
    finds(Mutant::TombstoneForgotten, &["a second shipment", "conflict"]);
}

#[test]
fn an_age_that_counts_pauses_is_found() {
    finds(Mutant::AgeInherited, &["an unexplained dead letter: expired"]);
}

#[test]
fn a_number_used_twice_is_found() {
    finds(Mutant::NumberUnchecked, &["at integration"]);
}

#[test]
fn an_order_shipped_after_another_integration_is_found() {
    finds(Mutant::HandOverUnseen, &["which another integration handed over, ships again"]);
}

#[test]
fn older_facts_after_newer_ones_are_found() {
    finds(Mutant::OlderFactsGoOn, &["its payment is marked paid without a word"]);
}

#[test]
fn a_sum_overwritten_by_an_old_row_is_found() {
    finds(Mutant::StaleFigures, &["to collect, MeaSoft has"]);
}

#[test]
fn a_late_edit_or_cancel_that_nobody_looks_for_is_found() {
    finds(Mutant::LateWriteForgotten, &["MeaSoft"]);
}

#[test]
fn a_forgotten_cancel_mark_is_found() {
    finds(Mutant::CancelForgotten, &["MeaSoft has nothing", "not_delivered, MeaSoft has []"]);
}

#[test]
fn a_draft_that_is_sent_for_another_is_found() {
    finds(Mutant::DraftSent, &["a draft, whose number another order has", "an unexplained dead letter"]);
}

#[test]
fn a_meaning_that_is_believed_at_the_first_reading_is_found() {
    finds(Mutant::AmbiguityBelieved, &["it was sent, and MeaSoft has nothing"]);
}

#[test]
fn a_letter_that_anothers_success_closes_is_found() {
    finds(Mutant::LetterClosedByAnother, &["it was sent, and MeaSoft has nothing"]);
}

#[test]
fn a_declared_value_that_passes_for_the_change_is_found() {
    finds(Mutant::DeclaredPassesForChange, &["MeaSoft has"]);
}
