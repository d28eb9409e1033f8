//! What is said of a database whose standby took over, or may.

use jiff::{Timestamp, ToSpan};
use shared::store::promotion::Window;

use super::finding::{Finding, Level};
use super::store::{Contents, Facts, State, judge};

fn facts(kept: Contents) -> Facts {
    let state = State::Good { found: 8, newest: 8 };
    Facts { database: "PostgreSQL".to_owned(), is_sqlite: false, state, with_broker: true, kept }
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a moment")
}

/// All but what is well.
fn said(facts: &Facts, now: Timestamp) -> Vec<Finding> {
    judge(facts, now).into_iter().filter(|finding| finding.level != Level::Ok).collect()
}

#[test]
fn a_takeover_is_told_with_its_window_and_what_to_do_for_three_days() {
    let now = at("2026-11-28T12:00:00Z");
    let window = Window { from: at("2026-11-28T11:59:51Z"), until: at("2026-11-28T12:00:00Z") };
    let after = facts(Contents { takeover: Some(window), ..Contents::default() });
    let found = said(&after, now);
    let [finding] = &found[..] else { panic!("{found:?}") };
    assert_eq!(finding.level, Level::Warning);
    for part in ["another PostgreSQL server has taken over", "2026-11-28T11:59:51Z", "2026-11-28T12:00:00Z"] {
        assert!(finding.what.contains(part), "{part}: {}", finding.what);
    }
    // Whom the reconcile helps, and what is left to do for the others.
    for part in ["reconcile", "send_statuses", "save them again"] {
        assert!(finding.remedy.contains(part), "{part}: {}", finding.remedy);
    }
    assert_eq!(said(&after, now + 71.hours()), found);
    assert_eq!(said(&after, now + 72.hours()), []);
    assert_eq!(said(&facts(Contents::default()), now), []);
}

#[test]
fn a_standby_that_confirms_nothing_is_told_with_what_200_is_worth_then() {
    let now = at("2026-11-28T12:00:00Z");
    let found = said(&facts(Contents { replicates_behind: true, ..Contents::default() }), now);
    let [finding] = &found[..] else { panic!("{found:?}") };
    assert_eq!(finding.level, Level::Warning);
    assert!(finding.what.contains("asynchronously") && finding.what.contains("a 200 is worth"), "{}", finding.what);
    assert!(finding.remedy.contains("synchronous_standby_names"), "{}", finding.remedy);
}
