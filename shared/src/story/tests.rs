//! Whatever can happen is said in the reader's language, and nothing else is.

use jiff::tz::TimeZone;

use super::*;
use crate::domain::{CorrectedField, Fault, Language, RetryWhy};
use crate::message::Needless;
use crate::phrases::{Detail, Details, Payment, PaymentStep, Sum};

/// Names that are the same in both languages.
const NAMES: [&str; 8] = ["RetailCRM", "MeaSoft", "API", "HTTP", "PostgreSQL", "HTML", "amp", "sum"];

/// Words of the other language.
fn strange(text: &str, language: Language) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphabetic());
    let is_latin = |word: &str| word.chars().any(|c| c.is_ascii_alphabetic());
    let strange = words.filter(|word| !word.is_empty() && !NAMES.contains(word));
    strange.filter(|word| is_latin(word) == (language == Language::Ru)).map(str::to_owned).collect()
}

/// Each of a kind is said in both languages, in its own words, with all of its values.
fn said_in_both<T: Value + PartialEq + std::fmt::Debug>(all: Vec<T>) {
    for one in all {
        for language in [Language::Ru, Language::En] {
            let text = one.words(&Reader::new(language, TimeZone::UTC));
            assert!(!text.trim().is_empty(), "{one:?}");
            let found = strange(&text, language);
            assert!(found.is_empty(), "{found:?} in «{text}» of {one:?}");
        }
    }
}

#[test]
fn a_story_without_figures_ends_with_its_last_word() {
    let gave_up = Event::PaymentsGaveUp { reason: "internal".into(), fault: Fault::Bridge };
    let figures = Event::Figures { detail: Details::NONE };
    let (alone, both) = ([gave_up.clone()], [gave_up, figures]);
    assert_eq!(words(&both, &Reader::plain()), words(&alone, &Reader::plain()));
}

#[test]
fn every_event_and_every_value_in_it_is_said_in_the_readers_language() {
    said_in_both(Event::some());
    said_in_both(Detail::some());
    said_in_both(Field::some());
    said_in_both(FieldChange::some());
    said_in_both(Fits::some());
    said_in_both(Wish::some());
    said_in_both(Silence::some());
    said_in_both(Reported::some());
    said_in_both(Reason::some());
    said_in_both(Action::some());
    said_in_both(Person::some());
    said_in_both(PaymentStep::some());
    said_in_both(Payment::some());
    said_in_both(Sum::some());
    said_in_both(RetryWhy::some());
    said_in_both(Needless::some());
    said_in_both(Fault::some());
    said_in_both(CorrectedField::some());
}
